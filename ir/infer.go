package ir

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// Infer types every value of m from the types of the graph's parameters. What the ops' results were
// declared to be is a hint only: the inferred type wins, and a warning says where the two contradict.
func Infer(m *Module) (warnings []string, err error) {
	_, warnings, err = InferAll(m)
	return warnings, err
}

// InferAll is Infer that also gives the context, which knows the symbolic contents of small integer
// tensors (InferCtx.Elems).
func InferAll(m *Module) (*InferCtx, []string, error) {
	m.reserveSyms()
	c := NewInferCtx(m)
	err := c.inferRegion(m.Graph)
	return c, c.warnings, err
}

// reserveSyms makes sure that NewSym gives no name that m mentions already.
func (m *Module) reserveSyms() {
	var visit func(r *Region)
	see := func(vs []*Value) {
		for _, v := range vs {
			if v == nil {
				continue
			}
			m.nextID = max(m.nextID, v.ID)
			for t := &v.Type; t != nil; t = t.Elem {
				for _, d := range t.Shape {
					for _, s := range d.Symbols(nil) {
						m.nextID = max(m.nextID, symNumber(s))
					}
				}
			}
		}
	}
	visit = func(r *Region) {
		see(r.Params)
		for _, op := range r.Ops {
			see(op.Results)
			for _, s := range op.Regions {
				visit(s)
			}
		}
	}
	visit(m.Graph)
}

// symNumber is the number in a symbol that NewSym could have made, 0 for other symbols.
func symNumber(s string) int {
	if len(s) < 2 || s[0] != 'u' {
		return 0
	}
	n, err := strconv.ParseUint(s[1:], 10, 31)
	if err != nil {
		return 0
	}
	return int(n)
}

func (c *InferCtx) inferRegion(r *Region) error {
	for _, op := range r.Ops {
		if err := c.InferOp(op); err != nil {
			return err
		}
	}
	return nil
}

// InferOp types the results of op and, where it has regions, all values in them.
func (c *InferCtx) InferOp(op *Op) error {
	if err := checkArity(op); err != nil {
		return err
	}
	op.relations = nil
	declared := make([]Type, len(op.Results))
	for i, v := range op.Results {
		if v != nil {
			declared[i] = v.Type
			delete(c.elems, v)
		}
	}
	if err := op.Info.Infer(c, op); err != nil {
		return err
	}
	for i, v := range op.Results {
		if v == nil {
			continue
		}
		if why := contradiction(declared[i], v.Type); why != "" {
			c.warnings = append(c.warnings, op.Errorf("result %q was declared %v, inferred %v: %s", v.Name, declared[i], v.Type, why).Error())
		}
	}
	return nil
}

// contradiction says how two types of the same value cannot both hold, "" where they can.
func contradiction(a, b Type) string {
	switch {
	case a.Untyped() || b.Untyped():
		return ""
	case a.Kind != b.Kind:
		return "the kinds differ"
	case a.DType != b.DType && a.DType != tensor.Invalid && b.DType != tensor.Invalid:
		return "the element types differ"
	case a.Elem != nil && b.Elem != nil:
		return contradiction(*a.Elem, *b.Elem)
	case !a.Ranked || !b.Ranked:
		return ""
	case len(a.Shape) != len(b.Shape):
		return "the ranks differ"
	}
	for i, d := range a.Shape {
		if diff := d.Sub(b.Shape[i]); diff.IsConst() && !diff.Is(0) {
			return fmt.Sprintf("dimension %d differs", i)
		}
	}
	return ""
}

// checkArity holds the operands and results of op against its row.
func checkArity(op *Op) error {
	for _, side := range []struct {
		what  string
		names []string
		vs    []*Value
	}{{"operand", op.Info.Operands, op.Operands}, {"result", op.Info.Results, op.Results}} {
		min, max := operandRange(side.names)
		if n := len(side.vs); max >= 0 && n > max {
			return op.Errorf("%d %ss, want at most %d", n, side.what, max)
		}
		if side.what == "result" {
			continue // unused results may be left out
		}
		for i := range min {
			if n := side.names[i]; (i >= len(side.vs) || side.vs[i] == nil) && n[len(n)-1] != '?' && n[len(n)-1] != '*' {
				return op.Errorf("%s %q is missing", side.what, n)
			}
		}
		for i := len(side.names) - 1; max < 0 && i < len(side.vs); i++ {
			if n := side.names[len(side.names)-1]; side.vs[i] == nil && op.Info.Regions == 0 {
				return op.Errorf("%s %d (%s) is missing", side.what, i, n)
			}
		}
	}
	if len(op.Regions) != op.Info.Regions {
		return op.Errorf("%d regions, want %d", len(op.Regions), op.Info.Regions)
	}
	return nil
}

// SetType types result i, if it is wanted.
func (c *InferCtx) SetType(op *Op, i int, t Type) {
	if v := op.Result(i); v != nil {
		v.Type = t
	}
}

// unranked gives the results tensors of unknown rank; the last of dts repeats.
func (c *InferCtx) unranked(op *Op, dts ...tensor.DType) error {
	for i := range op.Results {
		c.SetType(op, i, Type{DType: dts[min(i, len(dts)-1)]})
	}
	return nil
}

// anyUnranked reports whether one of the operands that are there has no known rank.
func anyUnranked(op *Op, operands ...int) bool {
	for _, i := range operands {
		if v := op.Operand(i); v != nil && !v.Type.Ranked {
			return true
		}
	}
	return false
}

// set types result 0 and cannot fail: the usual end of a rule.
func (c *InferCtx) set(op *Op, d tensor.DType, shape []Dim) error {
	c.Set(op, 0, d, shape)
	return nil
}

func shapeOf(op *Op, i int) []Dim        { return op.Operands[i].Type.Shape }
func dtypeOf(op *Op, i int) tensor.DType { return op.Operands[i].Type.DType }
func wantRank(op *Op, i int, low, high int) error {
	if r := len(shapeOf(op, i)); r < low || r > high {
		want := fmt.Sprint(low)
		if high > low {
			want = fmt.Sprintf("%d to %d", low, high)
		}
		if high >= anyRank {
			want = fmt.Sprintf("at least %d", low)
		}
		return op.Errorf("operand %d %q is %v, want rank %s", i, op.Operands[i].Name, op.Operands[i].Type, want)
	}
	return nil
}

// anyRank is no upper bound for wantRank.
const anyRank = 1 << 20

// normAxis makes an axis non-negative.
func normAxis(op *Op, axis int64, rank int) (int, error) {
	if axis < -int64(rank) || axis >= int64(rank) {
		if rank == 0 {
			return 0, op.Errorf("axis %d of a scalar, which has none: want rank at least 1", axis)
		}
		return 0, op.Errorf("axis %d is out of range for rank %d, want %d to %d", axis, rank, -rank, rank-1)
	}
	if axis < 0 {
		axis += int64(rank)
	}
	return int(axis), nil
}

// normAxes makes axes non-negative and refuses repeated ones.
func normAxes(op *Op, axes []int64, rank int) ([]int, error) {
	out := make([]int, len(axes))
	for i, a := range axes {
		x, err := normAxis(op, a, rank)
		if err != nil {
			return nil, err
		}
		if slices.Contains(out[:i], x) {
			return nil, op.Errorf("axis %d is given twice in %v", a, axes)
		}
		out[i] = x
	}
	return out, nil
}

// broadcast gives the shape that a and b broadcast to. Where neither of two different symbolic
// dimensions is known to be 1, they must be equal at run time or the result is the first's owner's
// responsibility: the first is kept.
func broadcast(op *Op, a, b []Dim) ([]Dim, error) {
	if len(a) < len(b) {
		pad := slices.Repeat([]Dim{Const(1)}, len(b)-len(a))
		a = append(pad, a...)
	}
	out := slices.Clone(a)
	off := len(a) - len(b)
	for i, y := range b {
		x := a[off+i]
		switch {
		case x.Equal(y) || y.Is(1):
		case x.Is(1):
			out[off+i] = y
		case x.IsConst() && y.IsConst():
			return nil, op.Errorf("shapes %v and %v do not broadcast: dimension %d is %v and %v", shapeString(a), shapeString(b), off+i, x, y)
		case y.IsConst(): // the other is 1 or the same
			out[off+i] = y
		}
	}
	return out, nil
}

// unify gives the dimension that both x and y are, preferring an integer, then x.
func unify(op *Op, what string, x, y Dim) (Dim, error) {
	if diff := x.Sub(y); diff.IsConst() && !diff.Is(0) {
		return Dim{}, op.Errorf("%s is %v and %v, want the same", what, x, y)
	}
	if !x.Equal(y) {
		op.relations = append(op.relations, Relation{what, x, y})
	}
	if y.IsConst() {
		return y, nil
	}
	return x, nil
}

// Relation is an equality of dimensions on which the type of an op's results relies, and which only the run
// time can check.
type Relation struct {
	What string // "the inner dimension of f32[N,K] and f32[L,5]"
	X, Y Dim
}

// Relations lists what the last inference of op took for granted.
func (op *Op) Relations() []Relation { return op.relations }
