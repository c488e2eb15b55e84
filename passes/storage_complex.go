package passes

import (
	"maps"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

func isComplex(v *ir.Value) bool {
	return v != nil && v.Type.Kind == ir.KindTensor && v.Type.DType.Class() == tensor.ClassComplex
}

// parts gives the real and the imaginary parts of complex numbers.
func (rw *rewriter) parts(v *ir.Value) (parts [2]*ir.Value) {
	number := tensor.F32
	if v.Type.DType == tensor.C128 {
		number = tensor.F64
	}
	for i := range parts {
		parts[i] = rw.bits(rw.op("Part", ir.Attrs{"index": int64(i)}, v), number)
	}
	return parts
}

// storeParts computes an op that is linear in its first operand on real and imaginary parts in turn.
func storeParts(rw *rewriter, op *ir.Op) []*ir.Value {
	x := op.Operands[0]
	if !isComplex(x) {
		return nil
	}
	bits, _ := ir.Part(x.Type.DType)
	var results []*ir.Value
	for i, p := range rw.parts(x) {
		attrs := maps.Clone(op.Attrs)
		if i == 1 {
			delete(attrs, "extrapolation_value") // which is real
		}
		operands := append([]*ir.Value{p}, op.Operands[1:]...)
		results = append(results, rw.bits(rw.op(op.Name(), attrs, operands...), bits))
	}
	return one(rw.op("Join", nil, results...))
}

// storeNonZero looks for a part that is not 0.
func storeNonZero(rw *rewriter, op *ir.Op) []*ir.Value {
	x := op.Operands[0]
	if !isComplex(x) {
		return nil
	}
	p := rw.parts(x)
	return one(rw.op("NonZero", nil, rw.op("Or", nil, rw.cast(p[0], tensor.Bool), rw.cast(p[1], tensor.Bool))))
}
