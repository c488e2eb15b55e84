package ir

import "github.com/nnc-go/nnc/runtime/tensor"

// Unpacked is the type of a byte that holds an element of a type of less: signed integers as i8, others
// as u8, f4e2m1 as its codes. ok is false for types that are not narrower than a byte.
func Unpacked(d tensor.DType) (tensor.DType, bool) {
	switch {
	case d.Bits() == 0 || d.Bits() >= 8:
		return tensor.Invalid, false
	case d.Class() == tensor.ClassInt:
		return tensor.I8, true
	}
	return tensor.U8, true
}

func inferUnpack(c *InferCtx, op *Op) error {
	from := dtypeOf(op, 0)
	to, ok := Unpacked(from)
	if !ok && from != tensor.Invalid {
		return op.Errorf("operand is %v, want elements of less than a byte", op.Operands[0].Type)
	}
	return c.like(op, 0, to)
}

func inferPack(c *InferCtx, op *Op) error {
	to := op.Attrs.DType("to", tensor.Invalid)
	if _, ok := Unpacked(to); !ok {
		return op.Errorf("attribute to is %v, want a type of less than a byte", to)
	}
	if from := dtypeOf(op, 0); from != tensor.Invalid && from != tensor.U8 && from != tensor.I8 {
		return op.Errorf("operand is %v, want u8 or i8", op.Operands[0].Type)
	}
	return c.like(op, 0, to)
}

// wantMini checks an attribute that names a float type of at most 8 bits.
func wantMini(op *Op, attr string) error {
	d := op.Attrs.DType(attr, tensor.Invalid)
	if _, _, _, ok := tensor.MiniFormat(d); !ok {
		return op.Errorf("attribute %s is %v, want a float type of at most 8 bits", attr, d)
	}
	return nil
}

func inferDecode(c *InferCtx, op *Op) error {
	if from := dtypeOf(op, 0); from != tensor.Invalid && from != tensor.U8 {
		return op.Errorf("operand is %v, want u8", op.Operands[0].Type)
	}
	if err := wantMini(op, "from"); err != nil {
		return err
	}
	return c.like(op, 0, tensor.F32)
}

func inferEncode(c *InferCtx, op *Op) error {
	if from := dtypeOf(op, 0); from != tensor.Invalid && from != tensor.F32 && from != tensor.F64 {
		return op.Errorf("operand is %v, want f32 or f64", op.Operands[0].Type)
	}
	if err := wantMini(op, "to"); err != nil {
		return err
	}
	return c.like(op, 0, tensor.U8)
}

// Part is the type of the bits of the parts of complex numbers; ok is false for others.
func Part(d tensor.DType) (bits tensor.DType, ok bool) {
	switch d {
	case tensor.C64:
		return tensor.U32, true
	case tensor.C128:
		return tensor.U64, true
	}
	return tensor.Invalid, false
}

func inferPart(c *InferCtx, op *Op) error {
	from := dtypeOf(op, 0)
	bits, ok := Part(from)
	if !ok && from != tensor.Invalid {
		return op.Errorf("operand is %v, want complex numbers", op.Operands[0].Type)
	}
	if i := op.Attrs.Int("index", 0); i != 0 && i != 1 {
		return op.Errorf("attribute index is %d, want 0 or 1", i)
	}
	return c.like(op, 0, bits)
}

func inferJoin(c *InferCtx, op *Op) error {
	d, err := sameDType(op, 0)
	for _, to := range []tensor.DType{tensor.C64, tensor.C128} {
		if bits, _ := Part(to); err == nil && d == bits {
			return c.like(op, 0, to)
		}
	}
	if err != nil || d != tensor.Invalid {
		return op.Errorf("operands are %v and %v, want u32 or u64", op.Operands[0].Type, op.Operands[1].Type)
	}
	return c.like(op, 0, tensor.Invalid)
}

func inferRegroup(c *InferCtx, op *Op) error {
	to, t := op.Attrs.DType("to", tensor.Invalid), op.Operands[0].Type
	from := t.DType
	if to.Bits() == 0 || from != tensor.Invalid && from.Bits() == 0 {
		return op.Errorf("elements of %v cannot be regrouped as %v", t, to)
	}
	if !t.Ranked || from == tensor.Invalid {
		return c.unranked(op, to)
	}
	if err := wantRank(op, 0, 1, anyRank); err != nil {
		return err
	}
	shape := append([]Dim{}, t.Shape...)
	bits := shape[len(shape)-1].MulInt(int64(from.Bits()))
	if bits.IsConst() && (bits.Value()%int64(to.Bits()) != 0 || bits.Value()%8 != 0) {
		return op.Errorf("the last dimension of %v is not a whole number of bytes and of elements of %v", t, to)
	}
	shape[len(shape)-1] = bits.Div(Const(int64(to.Bits())))
	return c.set(op, to, shape)
}
