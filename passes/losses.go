package passes

import (
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// crossEntropy splits SoftmaxCrossEntropyLoss into its two halves.
func crossEntropy(rw *rewriter, op *ir.Op) []*ir.Value {
	logs := rw.op("LogSoftmax", ir.Attrs{"axis": int64(1)}, op.Operands[0])
	loss := rw.op("NegativeLogLikelihoodLoss", op.Attrs, append([]*ir.Value{logs}, op.Operands[1:]...)...)
	return []*ir.Value{loss, logs}[:len(op.Results)]
}

// negLogLikelihood writes the loss as a gather along the classes, scaled and reduced. Ignored targets,
// which may be no class at all, look up class 0 and are masked.
func negLogLikelihood(rw *rewriter, op *ir.Op) []*ir.Value {
	x, target, weight := op.Operands[0], op.Operands[1], op.Operand(2)
	if !isTensor(x) || !isTensor(target) || len(x.Type.Shape) < 2 || !slices.Contains([]tensor.DType{tensor.I32, tensor.I64}, target.Type.DType) {
		return nil
	}
	d := x.Type.DType
	num := func(f float64) *ir.Value { return rw.constant(floatData(d, []float64{f})) }
	index := func(v int64) *ir.Value {
		return rw.op("Cast", ir.Attrs{"to": target.Type.DType}, rw.constant(ir.DataOf(tensor.Of([]int64{v}))))
	}
	var ignored *ir.Value
	if ignore, ok := op.Attrs["ignore_index"].(int64); ok {
		ignored = rw.op("Equal", nil, target, index(ignore))
		target = rw.op("Where", nil, ignored, index(0), target)
	}
	axis := rw.constant(ir.DataOf(tensor.Of([]int64{1}, 1)))
	picked := rw.op("GatherElements", ir.Attrs{"axis": int64(1)}, x, rw.op("Unsqueeze", nil, target, axis))
	loss := rw.op("Neg", nil, rw.op("Squeeze", nil, picked, axis))
	var scale *ir.Value // of each target; nil when all are 1
	if weight != nil {
		scale = rw.op("Gather", nil, weight, target)
		loss = rw.op("Mul", nil, loss, scale)
	}
	if ignored != nil {
		loss = rw.op("Where", nil, ignored, num(0), loss)
		if scale == nil {
			scale = num(1)
		}
		scale = rw.op("Where", nil, ignored, num(0), scale)
	}
	all := ir.Attrs{"keepdims": int64(0)}
	switch op.Attrs.Str("reduction", "mean") {
	case "none":
		return one(loss)
	case "sum":
		return one(rw.op("ReduceSum", all, loss))
	}
	if scale == nil {
		return one(rw.op("ReduceMean", all, loss))
	}
	return one(rw.op("Div", nil, rw.op("ReduceSum", all, loss), rw.op("ReduceSum", all, scale)))
}
