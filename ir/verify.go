package ir

import (
	"errors"
	"fmt"
	"slices"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// maxProblems bounds what Verify reports.
const maxProblems = 20

// Verify is the specification of a well-formed module; every pass may rely on it and must keep it. It
// reports all that is wrong, up to maxProblems:
//
//   - Each value is defined once, by a region as parameter or by an op as result, and its Def and Index say where.
//   - A use comes after the definition, in the region of the definition or in one nested in it.
//   - An op has the operands, results, regions and attributes that its row allows, attributes of the
//     kind that the row says. Results of a region are there.
//   - The parameters and results of a region fit its op.
//   - Every value has a type; constant dimensions are not negative; a Const has the type of its data.
//   - The graph has one distinct external name for each parameter and result. A default belongs to an input and has its element type.
//   - No op and no region occurs twice.
func Verify(m *Module) error {
	v := &verifier{defined: map[*Value]bool{}, ops: map[*Op]bool{}, regions: map[*Region]bool{}}
	if m.Graph == nil {
		return errors.New("the module has no graph")
	}
	v.region(m.Graph, "the graph", map[*Value]bool{})
	v.names("input", m.Inputs, len(m.Graph.Params))
	v.names("output", m.Outputs, len(m.Graph.Results))
	for name, d := range m.Defaults {
		i := slices.Index(m.Inputs, name)
		switch {
		case d == nil:
			v.fail("the default of input %q is nil", name)
		case i < 0:
			v.fail("default for %q, which is no input", name)
		case i < len(m.Graph.Params) && m.Graph.Params[i].Type.DType != d.DType:
			v.fail("the default of input %q is %v, want %v", name, d.Type(), m.Graph.Params[i].Type)
		}
	}
	if v.more > 0 {
		v.problems = append(v.problems, fmt.Errorf("and %d more", v.more))
	}
	return errors.Join(v.problems...)
}

type verifier struct {
	defined  map[*Value]bool
	ops      map[*Op]bool
	regions  map[*Region]bool
	problems []error
	more     int
}

func (v *verifier) add(err error) {
	if len(v.problems) >= maxProblems {
		v.more++
		return
	}
	v.problems = append(v.problems, err)
}

func (v *verifier) fail(format string, args ...any) { v.add(fmt.Errorf(format, args...)) }

func (v *verifier) names(what string, names []string, n int) {
	if len(names) != n {
		v.fail("%d %s names, want %d", len(names), what, n)
	}
	for i, s := range names {
		if s == "" || slices.Contains(names[:i], s) {
			v.fail("%s %d has the name %q, want a distinct one", what, i, s)
		}
	}
}

// region checks r, which sees the values of visible; it leaves visible as it was.
func (v *verifier) region(r *Region, where string, visible map[*Value]bool) {
	if r == nil || v.regions[r] {
		v.fail("%s is missing or occurs twice", where)
		return
	}
	v.regions[r] = true
	var own []*Value
	define := func(x *Value, def *Op, i int, what string) {
		if x == nil {
			if def == nil {
				v.fail("%s: %s %d is nil", where, what, i)
			}
			return
		}
		if v.defined[x] {
			v.fail("%s: %s %d, %q, is defined twice", where, what, i, x.Name)
		}
		if x.Def != def || x.Index != i {
			v.fail("%s: %s %d, %q, says that it is number %d of %v", where, what, i, x.Name, x.Index, opName(x.Def))
		}
		v.typ(x, where)
		v.defined[x], visible[x] = true, true
		own = append(own, x)
	}
	for i, p := range r.Params {
		define(p, nil, i, "parameter")
	}
	for _, op := range r.Ops {
		if op == nil || op.Info == nil || v.ops[op] {
			v.fail("%s: an op is nil, has no row or occurs twice", where)
			continue
		}
		v.ops[op] = true
		v.op(op, visible)
		for i, x := range op.Results {
			define(x, op, i, opName(op)+" result")
		}
	}
	for i, x := range r.Results {
		if x == nil || !visible[x] {
			v.fail("%s: result %d is missing or not defined", where, i)
		}
	}
	for _, x := range own {
		delete(visible, x)
	}
}

func opName(op *Op) string {
	if op == nil {
		return "a region"
	}
	if op.Origin.Op == "" {
		return op.Info.Name
	}
	return op.Origin.String()
}

func (v *verifier) op(op *Op, visible map[*Value]bool) {
	if err := checkArity(op); err != nil {
		v.add(err)
	}
	for i, x := range op.Operands {
		if x != nil && !visible[x] {
			v.add(op.Errorf("operand %d, %q, is used where nothing defined it", i, x.Name))
		}
	}
	for _, k := range op.Attrs.Keys() {
		kind, ok := op.Info.Attrs[k]
		if !ok {
			v.add(op.Errorf("attribute %q, want one of %v", k, op.Info.AttrNames()))
		} else if got, ok := kindOf(op.Attrs[k]); !ok || got != kind {
			v.add(op.Errorf("attribute %q is a %T, want %v", k, op.Attrs[k], kind))
		}
	}
	for i, r := range op.Regions {
		if r != nil {
			v.regionFits(op, r, i)
		}
		v.region(r, fmt.Sprintf("region %d of %s", i, opName(op)), visible)
	}
	if d, _ := op.Attrs["value"].(*Data); op.Info.Name == "Const" && d != nil && op.Result(0) != nil && !op.Result(0).Type.Equal(d.Type()) {
		v.add(op.Errorf("result is %v, but the data is %v", op.Result(0).Type, d.Type()))
	}
}

// kindOf is the kind of an attribute's Go type.
func kindOf(a any) (AttrKind, bool) {
	switch a := a.(type) {
	case int64:
		return AttrInt, true
	case float64:
		return AttrFloat, true
	case string:
		return AttrString, true
	case []int64:
		return AttrInts, true
	case []float64:
		return AttrFloats, true
	case []string:
		return AttrStrs, true
	case tensor.DType:
		return AttrDType, true
	case *Data:
		return AttrData, a != nil
	}
	return 0, false
}

// regionFits holds the numbers of parameters and results of a region against those of its op.
func (v *verifier) regionFits(op *Op, r *Region, i int) {
	in, out := len(op.Operands), len(op.Results)
	switch op.Info.Name {
	case "If": // trailing results that nobody uses may be left out
		in, out = 0, max(out, len(r.Results))
	case "Loop": // iteration and condition in; condition out
		in, out = max(in, 2), max(out+1, len(r.Results))
		if len(r.Results) < len(r.Params)-1 {
			v.add(op.Errorf("region %d has %d results for %d parameters, want at least %d", i, len(r.Results), len(r.Params), len(r.Params)-1))
		}
	case "Scan", "SequenceMap":
		out = max(out, len(r.Results))
	}
	if len(r.Params) != in || len(r.Results) != out {
		v.add(op.Errorf("region %d has %d parameters and %d results, want %d and %d", i, len(r.Params), len(r.Results), in, out))
	}
}

func (v *verifier) typ(x *Value, where string) {
	for t := &x.Type; t != nil; t = t.Elem {
		if t == &x.Type && t.Untyped() {
			v.fail("%s: value %q has no type", where, x.Name)
		}
		if (t.Kind == KindTensor) != (t.Elem == nil) {
			v.fail("%s: value %q has the type %v, want an element type for containers alone", where, x.Name, x.Type)
		}
		for i, d := range t.Shape {
			if d.IsConst() && d.c < 0 {
				v.fail("%s: dimension %d of value %q is negative in %v", where, i, x.Name, x.Type)
			}
		}
	}
}
