package loop

import (
	"math"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// ToF32 widens f16 or bf16; exact.
func (b *Builder) ToF32(x *Value) *Value {
	n := x.Type.Lanes
	u32 := Type{tensor.U32, n}
	h := b.Convert(b.Bitcast(x, Type{tensor.U16, n}), tensor.U32)
	num := func(v int64) *Value { return b.IntOf(u32, v) }
	if x.Type.Elem == tensor.BF16 {
		return b.Bitcast(b.Shl(h, num(16)), Type{tensor.F32, n})
	}
	if b.Level.F16C {
		return b.Convert(x, tensor.F32)
	}
	sign := b.Shl(b.And(h, num(0x8000)), num(16))
	mag := b.And(h, num(0x7fff))
	// The value with f32's bias; the product also makes subnormals normal.
	v := b.Mul(b.Bitcast(b.Shl(mag, num(13)), Type{tensor.F32, n}), b.Float(Type{tensor.F32, n}, 0x1p112))
	bits := b.Bitcast(v, u32)
	bits = b.Select(b.Cmp(GE, mag, num(0x7c00)), b.Or(bits, num(0x7f800000)), bits)
	return b.Bitcast(b.Or(bits, sign), Type{tensor.F32, n})
}

// FromF32 rounds to f16 or bf16, half to even; NaN stays NaN. A level with bf16 may give 0 for subnormal numbers.
func (b *Builder) FromF32(x *Value, d tensor.DType) *Value {
	n := x.Type.Lanes
	t, u32 := Type{d, n}, Type{tensor.U32, n}
	num := func(v int64) *Value { return b.IntOf(u32, v) }
	half := func(bits *Value) *Value { return b.Bitcast(b.Convert(bits, tensor.U16), t) }
	if b.Level.BF16 && d == tensor.BF16 {
		return b.Convert(x, d)
	}
	bits := b.Bitcast(x, u32)
	if d == tensor.BF16 {
		odd := b.And(b.Shr(bits, num(16)), num(1))
		r := b.Shr(b.Add(b.Add(bits, num(0x7fff)), odd), num(16))
		nan := b.Or(b.Shr(bits, num(16)), num(0x40))
		return half(b.Select(b.Cmp(EQ, x, x), r, nan))
	}
	if b.Level.F16C {
		return b.Convert(x, d)
	}
	sign := b.And(b.Shr(bits, num(16)), num(0x8000))
	mag := b.And(bits, num(0x7fffffff))
	large := b.Select(b.Cmp(GT, mag, num(0x7f800000)), num(0x7e00), num(0x7c00))
	// Adding 0.5 lines the bits of a subnormal result up and rounds them.
	small := b.Sub(b.Bitcast(b.Add(b.Bitcast(mag, x.Type), b.Float(x.Type, 0.5)), u32), num(0x3f000000))
	odd := b.And(b.Shr(mag, num(13)), num(1))
	normal := b.Shr(b.Add(b.Add(mag, num(0xc8000fff)), odd), num(13))
	r := b.Select(b.Cmp(LT, mag, num(0x38800000)), small, normal)
	r = b.Select(b.Cmp(GE, mag, num(0x47800000)), large, r)
	return half(b.Or(r, sign))
}

// CastTo converts between element types by ONNX's Cast (see docs/semantics.md: out of range or NaN gives the
// minimum of i32 and i64; narrower integers go through i32 and u32 through i64, truncated). f16 and
// bf16 are not among the types: their callers compute in f32.
func (b *Builder) CastTo(x *Value, d tensor.DType) *Value {
	from, n := x.Type.Elem, x.Type.Lanes
	switch {
	case from == d:
		return x
	case d == tensor.Bool:
		return b.Cmp(NE, x, b.zero(x.Type))
	case from == tensor.Bool:
		return b.Select(x, b.one(Type{d, n}), b.zero(Type{d, n}))
	case !from.IsFloat() || d.IsFloat():
		return b.Convert(x, d)
	case d == tensor.I32 || d == tensor.I64:
		return b.floatToInt(x, d)
	case d == tensor.U32:
		return b.Convert(b.floatToInt(x, tensor.I64), d)
	case d == tensor.U64:
		// From 2^63 on, the excess is converted and the top bit set.
		big := b.Cmp(GE, x, b.Float(x.Type, 0x1p63))
		low := b.floatToInt(b.Select(big, b.Sub(x, b.Float(x.Type, 0x1p63)), x), tensor.I64)
		i64 := Type{tensor.I64, n}
		r := b.Select(big, b.Xor(low, b.IntOf(i64, math.MinInt64)), low)
		return b.Bitcast(r, Type{d, n})
	}
	return b.Convert(b.floatToInt(x, tensor.I32), d)
}

func (b *Builder) zero(t Type) *Value { return b.Bits(t, 0) }

func (b *Builder) one(t Type) *Value {
	if t.Elem.IsFloat() {
		return b.Float(t, 1)
	}
	return b.IntOf(t, 1)
}

// floatToInt truncates to i32 or i64; what does not fit gives the minimum.
func (b *Builder) floatToInt(x *Value, d tensor.DType) *Value {
	limit := math.Ldexp(1, d.Bits()-1)
	fits := b.And(b.Cmp(GE, x, b.Float(x.Type, -limit)), b.Cmp(LT, x, b.Float(x.Type, limit)))
	t := Type{d, x.Type.Lanes}
	r := b.Convert(b.Select(fits, x, b.Float(x.Type, 0)), d)
	return b.Select(fits, r, b.IntOf(t, math.MinInt64>>(64-d.Bits())))
}
