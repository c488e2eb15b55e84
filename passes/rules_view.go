package passes

import (
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// viewRules remove ops that move nothing and give views of the same bytes one spelling, Reshape.
// All are exact.
var viewRules = []*rule{
	{"identity", []string{"Identity"}, "Identity(x) -> x", false, func(rw *rewriter, op *ir.Op) []*ir.Value {
		return one(op.Operands[0])
	}},
	{"cast-same", []string{"Cast"}, "Cast(x, to=type of x) -> x", false, castSame},
	{"view-same", []string{"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Expand"}, "view(x) of x's shape -> x", false, viewSame},
	{"view-reshape", []string{"Squeeze", "Unsqueeze", "Flatten"}, "view(x) -> Reshape(x, const)", false, viewReshape},
	{"reshape-const", []string{"Reshape"}, "Reshape(x, computed) -> Reshape(x, const) where 0 and -1 express the inferred shape", false, reshapeConst},
	{"reshape-merge", []string{"Reshape"}, "Reshape(Reshape(x)) -> Reshape(x)", false, reshapeMerge},
	{"transpose-same", []string{"Transpose"}, "Transpose(x, 0,1,2..) -> x", false, transposeSame},
	{"transpose-merge", []string{"Transpose"}, "Transpose(Transpose(x, p), q) -> Transpose(x, p[q])", false, transposeMerge},
	{"transpose-view", []string{"Transpose"}, "Transpose(x) that moves only dimensions of 1 -> Reshape(x)", false, transposeView},
	{"slice-all", []string{"Slice"}, "Slice(x, steps 1) of x's shape -> x", false, sliceAll},
	{"pad-none", []string{"Pad"}, "Pad(x, pads 0) -> x", false, padNone},
	{"tile-once", []string{"Tile"}, "Tile(x, repeats 1) -> x", false, tileOnce},
	{"variadic-one", []string{"Concat", "Max", "Min", "Sum", "Mean"}, "op(x) -> x", false, variadicOne},
	{"concat-empty", []string{"Concat"}, "Concat(.., x of extent 0, ..) -> Concat without x", false, concatEmpty},
	{"dropout-none", []string{"Dropout"}, "Dropout(x, ratio 0) -> x, and a mask that is all true", false, dropoutNone},
	{"split-one", []string{"Split"}, "Split(x) into one -> x", false, splitOne},
	{"expand-broadcast", []string{"*"}, "elementwise(.., Expand(x), y) -> elementwise(.., x, y) where y alone gives the shape", false, expandBroadcast},
}

func castSame(rw *rewriter, op *ir.Op) []*ir.Value {
	x := op.Operands[0]
	if x.Type.Kind == ir.KindTensor && x.Type.DType == op.Results[0].Type.DType {
		return one(x)
	}
	return nil
}

func castLike(rw *rewriter, op *ir.Op) []*ir.Value {
	y := op.Operands[1]
	if y.Type.Kind != ir.KindTensor || y.Type.DType == tensor.Invalid {
		return nil
	}
	attrs := ir.Attrs{"to": y.Type.DType}
	for k, v := range op.Attrs {
		attrs[k] = v
	}
	return one(rw.op("Cast", attrs, op.Operands[0]))
}

func viewSame(rw *rewriter, op *ir.Op) []*ir.Value {
	if isTensor(op.Operands[0]) && sameType(op.Operands[0].Type, op.Results[0].Type) {
		return one(op.Operands[0])
	}
	return nil
}

func viewReshape(rw *rewriter, op *ir.Op) []*ir.Value {
	x, y := op.Operands[0], op.Results[0]
	if !isTensor(x) || !isTensor(y) {
		return nil
	}
	if r := rw.reshape(x, y.Type.Shape); r != nil {
		return one(r)
	}
	return nil
}

func reshapeConst(rw *rewriter, op *ir.Op) []*ir.Value {
	if ir.ConstOf(op.Operand(1)) != nil {
		return nil
	}
	return viewReshape(rw, op)
}

func reshapeMerge(rw *rewriter, op *ir.Op) []*ir.Value {
	inner := def(op.Operands[0], "Reshape")
	if inner == nil || !isTensor(inner.Operands[0]) || !isTensor(op.Results[0]) {
		return nil
	}
	if r := rw.reshape(inner.Operands[0], op.Results[0].Type.Shape); r != nil {
		return one(r)
	}
	return nil
}

// permOf gives the permutation of a Transpose: result dimension i is operand dimension perm[i].
func permOf(op *ir.Op) []int64 {
	x := op.Operands[0]
	if !isTensor(x) {
		return nil
	}
	p := make([]int64, len(x.Type.Shape))
	for i := range p {
		p[i] = int64(len(p) - 1 - i)
	}
	return op.Attrs.Ints("perm", p)
}

func transposeSame(rw *rewriter, op *ir.Op) []*ir.Value {
	p := permOf(op)
	if p == nil || !slices.IsSorted(p) {
		return nil
	}
	return one(op.Operands[0])
}

func transposeMerge(rw *rewriter, op *ir.Op) []*ir.Value {
	inner := def(op.Operands[0], "Transpose")
	if inner == nil {
		return nil
	}
	p, q := permOf(inner), permOf(op)
	if p == nil || q == nil {
		return nil
	}
	m := make([]int64, len(q))
	for i := range q {
		m[i] = p[q[i]]
	}
	return one(rw.op("Transpose", ir.Attrs{"perm": m}, inner.Operands[0]))
}

func transposeView(rw *rewriter, op *ir.Op) []*ir.Value {
	p, x := permOf(op), op.Operands[0]
	if p == nil || !isTensor(op.Results[0]) {
		return nil
	}
	last := int64(-1)
	for _, i := range p {
		if x.Type.Shape[i].Is(1) {
			continue
		}
		if i < last {
			return nil
		}
		last = i
	}
	if r := rw.reshape(x, op.Results[0].Type.Shape); r != nil {
		return one(r)
	}
	return nil
}

func sliceAll(rw *rewriter, op *ir.Op) []*ir.Value {
	x, steps := op.Operands[0], op.Operand(4)
	if steps != nil {
		s, ok := rw.intsOf(steps)
		if !ok || slices.ContainsFunc(s, func(n int64) bool { return n != 1 }) {
			return nil
		}
	}
	// With steps of 1, a slice as long as its dimension is all of it.
	if isTensor(x) && sameType(x.Type, op.Results[0].Type) {
		return one(x)
	}
	return nil
}

func padNone(rw *rewriter, op *ir.Op) []*ir.Value {
	if p, ok := rw.intsOf(op.Operand(1)); ok && !slices.ContainsFunc(p, func(n int64) bool { return n != 0 }) {
		return one(op.Operands[0])
	}
	return nil
}

func tileOnce(rw *rewriter, op *ir.Op) []*ir.Value {
	if p, ok := rw.intsOf(op.Operand(1)); ok && !slices.ContainsFunc(p, func(n int64) bool { return n != 1 }) {
		return one(op.Operands[0])
	}
	return nil
}

func variadicOne(rw *rewriter, op *ir.Op) []*ir.Value {
	if len(op.Operands) == 1 {
		return one(op.Operands[0])
	}
	return nil
}

func concatEmpty(rw *rewriter, op *ir.Op) []*ir.Value {
	var keep []*ir.Value
	for _, v := range op.Operands {
		if !isTensor(v) {
			return nil
		}
		axis := op.Attrs.Int("axis", 0)
		if axis < 0 {
			axis += int64(len(v.Type.Shape))
		}
		if !v.Type.Shape[axis].Is(0) {
			keep = append(keep, v)
		}
	}
	if len(keep) == len(op.Operands) || len(keep) == 0 {
		return nil
	}
	return one(rw.op("Concat", op.Attrs, keep...))
}

func splitOne(rw *rewriter, op *ir.Op) []*ir.Value {
	if len(op.Results) == 1 && isTensor(op.Operands[0]) && sameType(op.Operands[0].Type, op.Results[0].Type) {
		return one(op.Operands[0])
	}
	return nil
}

// splatOf gives the operand whose broadcasting makes v: x of Expand(x, ..), or the scalar of a
// ConstantOfShape.
func (rw *rewriter) splatOf(v *ir.Value) *ir.Value {
	if d := def(v, "Expand"); d != nil && isTensor(d.Operands[0]) {
		return d.Operands[0]
	}
	if d := def(v, "ConstantOfShape"); d != nil && isTensor(v) {
		val, ok := d.Attrs["value"].(*ir.Data)
		if ok && val.Len() == 1 {
			return rw.constant(&ir.Data{DType: val.DType, Shape: []int64{}, Load: val.Load, Strs: val.Strs})
		}
	}
	return nil
}

// oneWay are the elementwise ops whose first operand has the shape of the result.
var oneWay = map[string]bool{"PRelu": true, "Clip": true, "QuantizeLinear": true, "DequantizeLinear": true}

func expandBroadcast(rw *rewriter, op *ir.Op) []*ir.Value {
	if !op.Info.Has(ir.Elementwise) || len(op.Operands) < 2 || len(op.Results) != 1 || !isTensor(op.Results[0]) || len(op.Regions) > 0 {
		return nil
	}
	out := op.Results[0].Type.Shape
	for i, v := range op.Operands {
		if def(v, "Expand", "ConstantOfShape") == nil || !isTensor(v) || i == 0 && oneWay[op.Name()] {
			continue
		}
		for j, w := range op.Operands {
			if j == i || !isTensor(w) || !sameShape(w.Type, ir.Type{Ranked: true, Shape: out}) {
				continue
			}
			x := rw.splatOf(v)
			if x == nil || len(x.Type.Shape) > len(out) {
				break
			}
			args := slices.Clone(op.Operands)
			args[i] = x
			r := rw.op(op.Name(), op.Attrs, args...)
			if !sameType(r.Type, op.Results[0].Type) {
				return nil
			}
			return one(r)
		}
	}
	return nil
}

// dropoutNone: models are exported in training mode with a ratio of 0 too.
func dropoutNone(rw *rewriter, op *ir.Op) []*ir.Value {
	x := op.Operands[0]
	if op.Operand(1) == nil || !isScalar(op.Operands[1], 0) || !isTensor(x) {
		return nil
	}
	if op.Result(1) == nil {
		return one(x)
	}
	yes := ir.DataOf(tensor.Of([]bool{true}, 1))
	return []*ir.Value{x, rw.op("ConstantOfShape", ir.Attrs{"value": yes}, rw.op("Shape", nil, x))}
}
