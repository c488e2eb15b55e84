package passes

import (
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// qkvRules bring parts of the result of one product to where attention finds that they are.
var qkvRules = []*rule{
	{"split-gather", []string{"Reshape"}, "Reshape(Split(Transpose(x), a)[i]) that drops a, of size 1 -> Gather(Transpose(x), where the part begins, a)", false, splitGather},
	{"gather-transpose", []string{"Gather"}, "Gather(Transpose(x, p), scalar constant, a) -> Transpose(Gather(x, p[a]), p without it)", false, gatherTranspose},
	{"gather-slice", []string{"Gather"}, "Gather(Reshape(x) that splits the last dimension into [.., S, rest], scalar constant i, axis of S) -> Reshape(Slice(x, last, i*rest, (i+1)*rest))", false, gatherSlice},
}

// scalarIndex gives the one index of a Gather and its axis, both from 0 on.
func scalarIndex(op *ir.Op) (index, axis int64, ok bool) {
	x, at := op.Operands[0], op.Operands[1]
	if !isTensor(x) || !isTensor(at) || len(at.Type.Shape) != 0 || ir.ConstOf(at) == nil {
		return 0, 0, false
	}
	ids, ok := ir.ConstOf(at).Int64s()
	axis = op.Attrs.Int("axis", 0)
	if axis < 0 {
		axis += int64(len(x.Type.Shape))
	}
	if !ok || axis < 0 || axis >= int64(len(x.Type.Shape)) || !x.Type.Shape[axis].IsConst() {
		return 0, 0, false
	}
	n, index := x.Type.Shape[axis].Value(), ids[0]
	if index < 0 {
		index += n
	}
	return index, axis, index >= 0 && index < n
}

// splitGather brings parts of what a transposition made to gatherTranspose; parts of other values are views.
func splitGather(rw *rewriter, op *ir.Op) []*ir.Value {
	part := op.Operands[0]
	split := def(part, "Split")
	if split == nil || def(split.Operands[0], "Transpose") == nil || !isTensor(part) || !isTensor(op.Results[0]) {
		return nil
	}
	s := part.Type.Shape
	axis := split.Attrs.Int("axis", 0)
	if axis < 0 {
		axis += int64(len(s))
	}
	if !s[axis].Is(1) || !sameShape(op.Results[0].Type, ir.Type{Ranked: true, Shape: slices.Delete(slices.Clone(s), int(axis), int(axis)+1)}) {
		return nil
	}
	from := ir.Const(0)
	for _, v := range split.Results[:part.Index] {
		if v == nil || !isTensor(v) {
			return nil
		}
		from = from.Add(v.Type.Shape[axis])
	}
	if !from.IsConst() {
		return nil
	}
	at := tensor.Of([]int64{from.Value()})
	return one(rw.op("Gather", ir.Attrs{"axis": axis}, split.Operands[0], rw.constant(ir.DataOf(at))))
}

func gatherTranspose(rw *rewriter, op *ir.Op) []*ir.Value {
	turn := def(op.Operands[0], "Transpose")
	_, axis, ok := scalarIndex(op)
	if turn == nil || !ok {
		return nil
	}
	p := permOf(turn)
	if p == nil {
		return nil
	}
	gone := p[axis]
	rest := slices.Delete(slices.Clone(p), int(axis), int(axis)+1)
	for i, d := range rest {
		if d > gone {
			rest[i]--
		}
	}
	return one(rw.op("Transpose", ir.Attrs{"perm": rest}, rw.op("Gather", ir.Attrs{"axis": gone}, turn.Operands[0], op.Operands[1])))
}

func gatherSlice(rw *rewriter, op *ir.Op) []*ir.Value {
	view := def(op.Operands[0], "Reshape")
	index, axis, ok := scalarIndex(op)
	if view == nil || !ok || !isTensor(view.Operands[0]) || !isTensor(op.Results[0]) {
		return nil
	}
	x, split := view.Operands[0], view.Results[0].Type.Shape
	last := len(x.Type.Shape) - 1
	rest := ir.Product(split[axis+1:])
	if last != int(axis) || !sameShape(ir.Type{Ranked: true, Shape: x.Type.Shape[:last]}, ir.Type{Ranked: true, Shape: split[:axis]}) || !rest.IsConst() {
		return nil
	}
	n := rest.Value()
	at := func(i int64) *ir.Value { return rw.constant(intData([]int64{i})) }
	y := rw.reshape(rw.op("Slice", nil, x, at(index*n), at((index+1)*n), at(axis)), op.Results[0].Type.Shape)
	if y == nil {
		return nil
	}
	return one(y)
}

// lastPart matches v, [B,L,n], as a view of a Slice of the last dimension of x from an element on.
func (rw *rewriter) lastPart(v *ir.Value) (x *ir.Value, from int64, ok bool) {
	if r := def(v, "Reshape"); r != nil && lastDim(r.Operands[0]).Equal(lastDim(v)) {
		v = r.Operands[0]
	}
	op := def(v, "Slice")
	if op == nil || !isF32(op.Operands[0]) || op.Operand(3) == nil {
		return nil, 0, false
	}
	x = op.Operands[0]
	start, ok1 := rw.intsOf(op.Operands[1])
	axes, ok2 := rw.intsOf(op.Operands[3])
	steps := []int64{1}
	if s := op.Operand(4); s != nil {
		if steps, ok = rw.intsOf(s); !ok {
			return nil, 0, false
		}
	}
	rank := int64(len(x.Type.Shape))
	if !ok1 || !ok2 || len(axes) != 1 || axes[0] != rank-1 && axes[0] != -1 || steps[0] != 1 || start[0] < 0 {
		return nil, 0, false
	}
	return x, start[0], true
}

func qkvAttention(rw *rewriter, op *ir.Op) []*ir.Value {
	q, heads := op.Operands[0], op.Attrs.Int("q_num_heads", 0)
	_, plain := op.Attrs["masked_score"] // a row that sees nothing is as Softmax has it
	if !plain || len(op.Operands) > 4 || len(op.Results) != 1 || len(q.Type.Shape) != 3 || heads < 1 || heads != op.Attrs.Int("kv_num_heads", 0) {
		return nil
	}
	n := lastDim(q)
	var x *ir.Value
	for i, v := range op.Operands[:3] {
		from, at, ok := rw.lastPart(v)
		if !ok || i > 0 && from != x || !n.IsConst() || at != int64(i)*n.Value() || !sameType(v.Type, q.Type) {
			return nil
		}
		x = from
	}
	if !lastDim(x).Equal(n.MulInt(3)) {
		return nil
	}
	if x = rw.reshape(x, append(slices.Clone(q.Type.Shape[:2]), lastDim(x))); x == nil {
		return nil
	}
	args := []*ir.Value{x}
	if m := op.Operand(3); m != nil {
		args = append(args, m)
	}
	return one(rw.op("QKVAttention", ir.Attrs{"heads": heads, "scale": op.Attrs.Float("scale", 1), "masked_score": op.Attrs.Float("masked_score", 0)}, args...))
}
