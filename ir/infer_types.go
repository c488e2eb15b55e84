package ir

import "github.com/nnc-go/nnc/runtime/tensor"

// The element types that ONNX allows for arithmetic, as wrappers of shape rules that refuse others. They look at the first
// operand: that all have the same type is the rule's business.

func onFloats(f inferFn) inferFn {
	return onTypes("f16, bf16, f32 or f64", f, isArithFloat)
}

func onNumbers(f inferFn) inferFn {
	return onTypes(numberTypes, f, isNumber)
}

func onInts(f inferFn) inferFn {
	return onTypes("integers of 8 to 64 bits", f, func(d tensor.DType) bool { return d.IsInt() && d.Bits() >= 8 })
}

func onUints(f inferFn) inferFn {
	return onTypes("unsigned integers of 8 to 64 bits", f, func(d tensor.DType) bool { return d.Class() == tensor.ClassUint && d.Bits() >= 8 })
}

func onBools(f inferFn) inferFn {
	return onTypes("bool", f, func(d tensor.DType) bool { return d == tensor.Bool })
}

const numberTypes = "numbers of 8 to 64 bits, not float8"

func isNumber(d tensor.DType) bool { return isArithFloat(d) || d.IsInt() && d.Bits() >= 8 }

func isArithFloat(d tensor.DType) bool {
	return d == tensor.F32 || d == tensor.F64 || d == tensor.F16 || d == tensor.BF16
}

func onTypes(want string, f inferFn, allowed func(d tensor.DType) bool) inferFn {
	return func(c *InferCtx, op *Op) error {
		if len(op.Operands) > 0 && op.Operands[0] != nil {
			if v := op.Operands[0]; v.Type.DType != tensor.Invalid && !allowed(v.Type.DType) {
				return op.Errorf("operand %q is %v, want %s", v.Name, v.Type, want)
			}
		}
		return f(c, op)
	}
}
