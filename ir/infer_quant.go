package ir

import "github.com/nnc-go/nnc/runtime/tensor"

func inferQuantize(c *InferCtx, op *Op) error {
	d := op.Attrs.DType("output_dtype", tensor.Invalid)
	if v := op.Operand(2); v != nil {
		if zp := v.Type.DType; d != tensor.Invalid && zp != tensor.Invalid && zp != d {
			return op.Errorf("output_dtype is %v, but the zero point is %v", d, v.Type)
		} else if d == tensor.Invalid {
			d = zp
		}
	} else if d == tensor.Invalid {
		d = tensor.U8
	}
	return c.like(op, 0, d)
}

func inferDequantize(c *InferCtx, op *Op) error {
	return c.like(op, 0, op.Attrs.DType("output_dtype", dtypeOf(op, 1)))
}

func inferDynamicQuantize(c *InferCtx, op *Op) error {
	c.Set(op, 1, tensor.F32, nil)
	c.Set(op, 2, tensor.U8, nil)
	if t := op.Operands[0].Type; t.Ranked {
		return c.set(op, tensor.U8, t.Shape)
	}
	c.SetType(op, 0, Type{DType: tensor.U8})
	return nil
}
