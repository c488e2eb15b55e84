package onnx

import (
	"fmt"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// The quantised operators of com.microsoft are ops on the numbers that their operands stand for, between
// DequantizeLinear and QuantizeLinear.

// dequantized gives the numbers of a quantised tensor; the operands are x and, after it, its scale and zero point.
func (c *nodeCtx) dequantized(i int) *ir.Value {
	return c.one("DequantizeLinear", nil, c.operand(i), c.operand(i+1), c.operand(i+2))
}

// quantizedAs defines the node's output: v with the scale and zero point at operands i and i+1, in the type
// of the quantised operand like.
func (c *nodeCtx) quantizedAs(v *ir.Value, i int, like *ir.Value) error {
	attrs := ir.Attrs{}
	if c.operand(i+1) == nil && like.Type.DType != tensor.U8 {
		if like.Type.DType == tensor.Invalid {
			return unsupportedf("without a zero point of the result, the type of %q must be known", like.Name)
		}
		attrs["output_dtype"] = like.Type.DType
	}
	return c.define1("QuantizeLinear", attrs, v, c.operand(i), c.operand(i+1))
}

func qLinearBinary(c *nodeCtx) error {
	return c.quantizedAs(c.one(c.row.ir, nil, c.dequantized(0), c.dequantized(3)), 6, c.in[0])
}

// qLinearUnary imports ops of one operand; pools may have channels last.
func qLinearUnary(c *nodeCtx) error {
	x := c.dequantized(0)
	if take(c, "channels_last", int64(0)) == 0 {
		return c.quantizedAs(c.one(c.row.ir, c.attrs, x), 3, c.in[0])
	}
	y, err := c.channelsFirst(x, func(x *ir.Value) *ir.Value { return c.one(c.row.ir, c.attrs, x) })
	if err != nil {
		return err
	}
	return c.quantizedAs(y, 3, c.in[0])
}

// channelsFirst applies f, which wants [N,C,...], to x, which is [N,...,C], and gives the result so too.
func (c *nodeCtx) channelsFirst(x *ir.Value, f func(x *ir.Value) *ir.Value) (*ir.Value, error) {
	r := rank(c.in[0])
	if r < 3 {
		return nil, unsupportedf("channels last need an operand of known rank, at least 3")
	}
	first, last := []int64{0, int64(r - 1)}, []int64{0}
	for i := 1; i < r-1; i++ {
		first, last = append(first, int64(i)), append(last, int64(i+1))
	}
	y := f(c.one("Transpose", ir.Attrs{"perm": first}, x))
	return c.one("Transpose", ir.Attrs{"perm": append(last, 1)}, y), nil
}

func nhwcMaxPool(c *nodeCtx) error {
	y, err := c.channelsFirst(c.in[0], func(x *ir.Value) *ir.Value { return c.one("MaxPool", c.attrs, x) })
	if err != nil {
		return err
	}
	return c.bind(0, y)
}

func qLinearConcat(c *nodeCtx) error {
	n := len(c.in) - 2
	if n == 0 || n%3 != 0 {
		return fmt.Errorf("%d operands after the scale and zero point of the result, want a tensor, a scale and a zero point of each", n)
	}
	var parts []*ir.Value
	for i := 2; i < len(c.in); i += 3 {
		parts = append(parts, c.dequantized(i))
	}
	return c.quantizedAs(c.one("Concat", c.attrs, parts...), 0, c.in[2])
}

// qLinearSoftmax has the axis of Softmax as in the opset that an attribute names.
func qLinearSoftmax(c *nodeCtx) error {
	axis, opset := take(c, "axis", int64(-1)), take(c, "opset", int64(13))
	x := c.dequantized(0)
	if opset >= 13 {
		return c.quantizedAs(c.one("Softmax", ir.Attrs{"axis": axis}, x), 3, c.in[0])
	}
	flat := c.one("Softmax", nil, c.one("Flatten", ir.Attrs{"axis": axis}, x))
	return c.quantizedAs(c.one("Reshape", ir.Attrs{"allowzero": int64(1)}, flat, c.one("Shape", nil, x)), 3, c.in[0])
}

func qLinearWhere(c *nodeCtx) error {
	return c.quantizedAs(c.one("Where", nil, c.in[0], c.dequantized(1), c.dequantized(4)), 7, c.in[1])
}

// scaledProduct is a product of integers times both scales, plus a bias if there is one.
func (c *nodeCtx) scaledProduct(acc, aScale, bScale, bias *ir.Value) *ir.Value {
	y := c.one("Mul", nil, c.one("CastLike", nil, acc, aScale), c.one("Mul", nil, aScale, bScale))
	if bias != nil {
		y = c.one("Add", nil, y, bias)
	}
	return y
}

func matMulIntegerToFloat(c *nodeCtx) error {
	acc := c.one("MatMulInteger", nil, c.in[0], c.in[1], c.operand(4), c.operand(5))
	return c.bind(0, c.scaledProduct(acc, c.in[2], c.in[3], c.operand(6)))
}

func dynamicQuantizeMatMul(c *nodeCtx) error {
	q := c.emit("DynamicQuantizeLinear", []*ir.Value{c.in[0]}, 3, nil)
	c.infer(q)
	acc := c.one("MatMulInteger", nil, q.Results[0], c.in[1], q.Results[2], c.operand(3))
	return c.bind(0, c.scaledProduct(acc, q.Results[1], c.in[2], c.operand(4)))
}

// qGemm is alpha*A*B + C, where C is i32 of the scale alpha*a_scale*b_scale; the result is quantised where
// it has a scale.
func qGemm(c *nodeCtx) error {
	side := func(i int, attr string) *ir.Value {
		if c.attrs.Int(attr, 0) == 0 {
			return c.in[i]
		}
		return c.one("Transpose", ir.Attrs{"perm": []int64{1, 0}}, c.in[i])
	}
	acc := c.one("MatMulInteger", nil, side(0, "transA"), side(3, "transB"), c.in[2], c.in[5])
	if v := c.operand(6); v != nil {
		acc = c.one("Add", nil, acc, v)
	}
	aScale := c.in[1]
	if alpha := c.attrs.Float("alpha", 1); alpha != 1 {
		aScale = c.one("Mul", nil, aScale, c.scalar(alpha, aScale))
	}
	y := c.scaledProduct(acc, aScale, c.in[4], nil)
	if c.operand(7) == nil {
		return c.bind(0, y)
	}
	return c.quantizedAs(y, 7, c.in[0])
}

func matMulNBits(c *nodeCtx) error {
	take(c, "accuracy_level", int64(0)) // permission to be less exact
	if take(c, "weight_prepacked", int64(0)) != 0 {
		return unsupportedf("weights packed for a device are not supported")
	}
	return direct(c)
}

// gatherBlockQuantized gathers rows of packed data with their scales and then dequantises them. Data and zero
// points of type u8 hold elements of 4 or 8 bits, whose middle is the default zero point.
func gatherBlockQuantized(c *nodeCtx) error {
	data, indices, scales, zps := c.in[0], c.in[1], c.in[2], c.operand(3)
	r, q := rank(data), rank(indices)
	if r < 1 || q < 0 || data.Type.DType == tensor.Invalid {
		return unsupportedf("operands of unknown rank or type")
	}
	bits, block := take(c, "bits", int64(4)), take(c, "block_size", int64(128))
	axes := [2]int64{take(c, "gather_axis", int64(0)), take(c, "quantize_axis", int64(1))}
	for i, a := range axes {
		if a < int64(-r) || a >= int64(r) {
			return fmt.Errorf("axis %d is out of range for rank %d, want %d to %d", a, r, -r, r-1)
		}
		if a < 0 {
			axes[i] += int64(r)
		}
	}
	gather, quant := axes[0], axes[1]
	if gather == quant {
		return fmt.Errorf("gather_axis and quantize_axis are both %d", gather)
	}
	var middle *ir.Value
	if data.Type.DType == tensor.U8 {
		if bits != 4 && bits != 8 {
			return fmt.Errorf("bits is %d, want 4 or 8", bits)
		}
		code := tensor.U8
		if bits == 4 {
			code = tensor.U4
			data = c.one("Regroup", ir.Attrs{"to": code}, data)
			if zps != nil {
				blocks := c.one("Shape", ir.Attrs{"start": int64(-1)}, scales)
				zps = c.one("Slice", nil, c.one("Regroup", ir.Attrs{"to": code}, zps), c.ints(0), blocks, c.ints(-1))
			}
		}
		if zps == nil {
			t := tensor.New(code, 1)
			t.Data[0] = 1 << (bits - 1)
			middle = c.constant(t)
		}
	}
	pick := func(v *ir.Value) *ir.Value {
		if v == nil {
			return nil
		}
		return c.one("Gather", ir.Attrs{"axis": gather}, v, indices)
	}
	scales = pick(scales)
	if zps = pick(zps); middle != nil {
		zps = c.one("Expand", nil, middle, c.one("Shape", nil, scales))
	}
	if quant > gather {
		quant += int64(q - 1)
	}
	return c.define1("DequantizeLinear", ir.Attrs{"axis": quant, "block_size": block}, pick(data), scales, zps)
}
