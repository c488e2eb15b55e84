package onnx

import (
	"fmt"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Gradient (ai.onnx.preview.training) by reverse-mode differentiation: the ops between xs and y are walked from
// y back, and each adds what its rule says to the gradients of its operands. See Baydin et al., "Automatic
// Differentiation in Machine Learning: a Survey", section 3.2.

// tape is a gradient under construction.
type tape struct {
	*nodeCtx
	given map[*ir.Value]*ir.Value // stand-ins for the values of xs and zs, and what depends on them
	grads map[*ir.Value]*ir.Value
}

// gradRule gives the gradient of each operand for that of the result, nil where it has none.
type gradRule func(t *tape, op *ir.Op, x []*ir.Value, y, dy *ir.Value) ([]*ir.Value, error)

// gradient imports Gradient. Its inputs are the values of xs and then of zs at which the gradient is taken.
func gradient(c *nodeCtx) error {
	xs, zs := c.attrs.Strs("xs", nil), c.attrs.Strs("zs", nil)
	names := slices.Concat(xs, zs)
	if len(c.in) != len(names) || len(c.node.Output) > len(xs) {
		return fmt.Errorf("%d inputs and %d outputs, want %d, one for each of xs and zs, and at most %d, one for each of xs", len(c.in), len(c.node.Output), len(names), len(xs))
	}
	t := &tape{nodeCtx: c, given: map[*ir.Value]*ir.Value{}, grads: map[*ir.Value]*ir.Value{}}
	var wanted []*ir.Value
	for i, name := range names {
		v, ok := c.s.lookup(name)
		if !ok || v == nil {
			return fmt.Errorf("%q in xs or zs is not defined", name)
		}
		t.given[v] = c.in[i]
		if i < len(xs) {
			wanted = append(wanted, v)
		}
	}
	y, ok := c.s.lookup(c.attrs.Str("y", ""))
	if !ok || y == nil {
		return fmt.Errorf("y, %q, is not defined before this node", c.attrs.Str("y", ""))
	}
	ops := t.between(y)
	for _, op := range ops {
		t.replay(op)
	}
	t.grads[y] = t.filled(1, t.now(y))
	for i := len(ops) - 1; i >= 0; i-- {
		if err := t.back(ops[i]); err != nil {
			return err
		}
	}
	for i, v := range wanted {
		if !c.wants(i) {
			continue
		}
		g := t.grads[v]
		if g == nil { // y does not depend on it
			g = t.filled(0, c.in[i])
		}
		if err := c.bind(i, t.one("Identity", nil, g)); err != nil {
			return err
		}
	}
	return nil
}

// filled is a tensor like v, all x.
func (t *tape) filled(x float32, v *ir.Value) *ir.Value {
	value := ir.Attrs{"value": ir.DataOf(tensor.Of([]float32{x}, 1))}
	return t.one("CastLike", nil, t.one("ConstantOfShape", value, t.one("Shape", nil, v)), v)
}

// between lists the ops on paths from the given values to y, in order.
func (t *tape) between(y *ir.Value) []*ir.Op {
	depends := map[*ir.Value]bool{}
	var visit func(v *ir.Value) bool
	var ops []*ir.Op
	seen := map[*ir.Op]bool{}
	visit = func(v *ir.Value) bool {
		if v == nil {
			return false
		}
		if _, ok := t.given[v]; ok {
			return true
		}
		if v.Def == nil || seen[v.Def] {
			return depends[v]
		}
		seen[v.Def] = true
		on := false
		for _, x := range v.Def.Operands {
			on = visit(x) || on
		}
		if on {
			ops = append(ops, v.Def)
			for _, r := range v.Def.Results {
				depends[r] = true
			}
		}
		return on
	}
	visit(y)
	return ops
}

// now is a value at the point where the gradient is taken.
func (t *tape) now(v *ir.Value) *ir.Value {
	if w, ok := t.given[v]; ok {
		return w
	}
	return v
}

// replay repeats op on the given values, where they differ from those of the model.
func (t *tape) replay(op *ir.Op) {
	differ := false
	args := make([]*ir.Value, len(op.Operands))
	for i, v := range op.Operands {
		args[i] = t.now(v)
		differ = differ || args[i] != v
	}
	if !differ || len(op.Regions) > 0 {
		return
	}
	o := t.emit(op.Name(), args, len(op.Results), op.Attrs)
	t.infer(o)
	for i, v := range op.Results {
		if v != nil {
			t.given[v] = o.Results[i]
		}
	}
}

// back adds to the gradients of op's operands.
func (t *tape) back(op *ir.Op) error {
	dy := t.grads[op.Results[0]]
	if dy == nil {
		return nil
	}
	rule := gradRules[op.Name()]
	if rule == nil {
		return unsupportedf("no gradient of %v", op.Origin)
	}
	x := make([]*ir.Value, len(op.Operands))
	for i, v := range op.Operands {
		x[i] = t.now(v)
	}
	ds, err := rule(t, op, x, t.now(op.Results[0]), dy)
	if err != nil {
		return fmt.Errorf("the gradient of %v: %w", op.Origin, err)
	}
	for i, d := range ds {
		v := op.Operands[i]
		switch {
		case d == nil || v == nil:
		case t.grads[v] == nil:
			t.grads[v] = d
		default:
			t.grads[v] = t.one("Add", nil, t.grads[v], d)
		}
	}
	return nil
}

// unbroadcast sums d over the dimensions in which x was broadcast to it.
func (t *tape) unbroadcast(d, x *ir.Value) (*ir.Value, error) {
	rd, rx := rank(d), rank(x)
	if rd < 0 || rx < 0 {
		return nil, unsupportedf("an operand of unknown rank")
	}
	var axes []int64
	for i := range rd {
		j := i - (rd - rx)
		switch {
		case j < 0:
			axes = append(axes, int64(i))
		case x.Type.Shape[j].Is(1) && !d.Type.Shape[i].Is(1):
			axes = append(axes, int64(i))
		case !x.Type.Shape[j].Equal(d.Type.Shape[i]):
			return nil, unsupportedf("sizes %v and %v, which may broadcast or not", x.Type.Shape[j], d.Type.Shape[i])
		}
	}
	if len(axes) == 0 {
		return d, nil
	}
	d = t.one("ReduceSum", nil, d, t.ints(axes...))
	if rd != rx {
		d = t.one("Reshape", nil, d, t.one("Shape", nil, x))
	}
	return d, nil
}

// each sums gradients over what was broadcast.
func (t *tape) each(ds, x []*ir.Value) ([]*ir.Value, error) {
	for i := range ds {
		if ds[i] == nil {
			continue
		}
		var err error
		if ds[i], err = t.unbroadcast(ds[i], x[i]); err != nil {
			return nil, err
		}
	}
	return ds, nil
}

func (t *tape) mul(x, y *ir.Value) *ir.Value { return t.one("Mul", nil, x, y) }
func (t *tape) div(x, y *ir.Value) *ir.Value { return t.one("Div", nil, x, y) }
func (t *tape) neg(x *ir.Value) *ir.Value    { return t.one("Neg", nil, x) }
