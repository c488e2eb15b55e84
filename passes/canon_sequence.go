package passes

import (
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// sequenceMap writes SequenceMap as the Loop that defines it: iteration i runs the body on element i of
// each sequence and appends the body's results to sequences that it carries.
func sequenceMap(rw *rewriter, op *ir.Op) []*ir.Value {
	m, body := rw.s.M, op.Regions[0]
	length := rw.op("SequenceLength", nil, op.Operands[0])
	operands := []*ir.Value{length, nil}
	loop := &ir.Region{}
	i := loop.AddParam(m.NewValue("", ir.TensorType(tensor.I64)))
	cond := loop.AddParam(m.NewValue("", ir.TensorType(tensor.Bool)))
	add := func(name string, vs ...*ir.Value) *ir.Value {
		o := m.NewOp(name, vs, 1, nil, rw.origin)
		loop.Ops = append(loop.Ops, o)
		return o.Results[0]
	}
	with := map[*ir.Value]*ir.Value{}
	for k, v := range op.Operands {
		if v.Type.Kind == ir.KindSeq {
			v = add("SequenceAt", v, i)
		}
		with[body.Params[k]] = v
	}
	body.ReplaceUses(with)
	loop.Ops = slices.Concat(loop.Ops, body.Ops)
	loop.Results = []*ir.Value{cond}
	for _, r := range body.Results {
		empty := rw.op("SequenceEmpty", ir.Attrs{"dtype": r.Type.DType})
		elem := r.Type
		empty.Type = ir.Type{Kind: ir.KindSeq, Elem: &elem}
		operands = append(operands, empty)
		so := loop.AddParam(m.NewValue("", empty.Type))
		loop.Results = append(loop.Results, add("SequenceInsert", so, r))
	}
	l := m.NewOp("Loop", operands, len(body.Results), nil, rw.origin)
	l.Regions = []*ir.Region{loop}
	rw.insert(l)
	return l.Results
}
