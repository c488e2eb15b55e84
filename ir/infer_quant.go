package ir

import (
	"slices"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// checkScales holds scale and zero point against x: one number, one per place along an axis, or one per
// block of elements along it.
func checkScales(op *Op) error {
	x, scale, block := op.Operands[0].Type, op.Operands[1].Type, op.Attrs.Int("block_size", 0)
	if block < 0 {
		return op.Errorf("block_size is %d, want at least 0", block)
	}
	if zp := op.Operand(2); zp != nil && zp.Type.Ranked && scale.Ranked {
		a, b := Product(zp.Type.Shape), Product(scale.Shape)
		if diff := a.Sub(b); diff.IsConst() && !diff.Is(0) {
			return op.Errorf("the zero point is %v, want the shape of the scale, %v", zp.Type, scale)
		}
	}
	if !x.Ranked || !scale.Ranked || block == 0 && Product(scale.Shape).Is(1) {
		return nil
	}
	axis, err := normAxis(op, op.Attrs.Int("axis", 1), len(x.Shape))
	if err != nil {
		return err
	}
	want := x.Shape[axis : axis+1]
	if block > 0 {
		want = slices.Clone(x.Shape)
		want[axis] = want[axis].CeilDiv(block)
	}
	ok := len(scale.Shape) == len(want)
	for i := 0; ok && i < len(want); i++ {
		diff := scale.Shape[i].Sub(want[i])
		ok = !diff.IsConst() || diff.Is(0)
	}
	if !ok && block > 0 {
		return op.Errorf("the scale is %v, want shape %v for blocks of %d along axis %d of %v", scale, shapeString(want), block, axis, x)
	} else if !ok {
		return op.Errorf("the scale is %v, want one number or %v, one per place along axis %d of %v", scale, shapeString(want), axis, x)
	}
	return nil
}

func inferQuantize(c *InferCtx, op *Op) error {
	if err := checkScales(op); err != nil {
		return err
	}
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
	if err := checkScales(op); err != nil {
		return err
	}
	d := op.Attrs.DType("output_dtype", dtypeOf(op, 1))
	if d == tensor.F8E8M0 {
		return op.Errorf("the result would be of the type of the scale, %v, want output_dtype f32, f16 or bf16", op.Operands[1].Type)
	}
	return c.like(op, 0, d)
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

// inferMatMulNBits checks the sizes of the packed operands: rows of blocks, each of whole bytes.
func inferMatMulNBits(c *InferCtx, op *Op) error {
	k, n, bits, block := op.Attrs.Int("K", 0), op.Attrs.Int("N", 0), op.Attrs.Int("bits", 4), op.Attrs.Int("block_size", 0)
	switch {
	case k < 1 || n < 1:
		return op.Errorf("K is %d and N %d, want at least 1", k, n)
	case bits != 2 && bits != 4 && bits != 8:
		return op.Errorf("bits is %d, want 2, 4 or 8", bits)
	case block < 16 || block&(block-1) != 0:
		return op.Errorf("block_size is %d, want a power of 2 from 16 on", block)
	}
	blocks := (k + block - 1) / block
	for _, w := range []struct {
		i, n int64
		what string
	}{{1, n * blocks * block * bits / 8, "bytes of B"}, {2, n * blocks, "scales"}, {5, n, "numbers in bias"}} {
		if err := wantLen(op, int(w.i), w.n, w.what); err != nil {
			return err
		}
	}
	if z := op.Operand(3); z != nil && z.Type.DType != tensor.Invalid {
		want := n * blocks
		if z.Type.DType == tensor.U8 {
			want = n * ((blocks*bits + 7) / 8)
		}
		if err := wantLen(op, 3, want, "zero points"); err != nil {
			return err
		}
	}
	if t := op.Operands[1].Type; t.DType != tensor.Invalid && t.DType != tensor.U8 {
		return op.Errorf("B is %v, want u8", t)
	}
	t := op.Operands[0].Type
	if !t.Ranked {
		return c.unranked(op, t.DType)
	}
	if err := wantRank(op, 0, 1, anyRank); err != nil {
		return err
	}
	if _, err := unify(op, "the last dimension of A and K", t.Shape[len(t.Shape)-1], Const(k)); err != nil {
		return err
	}
	shape := append([]Dim{}, t.Shape...)
	shape[len(shape)-1] = Const(n)
	return c.set(op, t.DType, shape)
}

// wantLen checks how many elements an operand has, as far as that is known.
func wantLen(op *Op, i int, n int64, what string) error {
	v := op.Operand(i)
	if v == nil || !v.Type.Ranked {
		return nil
	}
	if have := Product(v.Type.Shape); have.IsConst() && !have.Is(n) {
		return op.Errorf("%v %s, want %d", have, what, n)
	}
	return nil
}
