package loop

import "github.com/nnc-go/nnc/runtime/tensor"

// DecodeMini gives the values, as f32, of codes (u8) of a float type of at most 8 bits; exact.
func (b *Builder) DecodeMini(code *Value, d tensor.DType) *Value {
	exp, man, bias, ok := tensor.MiniFormat(d)
	must(ok && code.Type.Elem == tensor.U8, "decoding %v as %v", code.Type, d)
	n := code.Type.Lanes
	u32, f32 := Type{tensor.U32, n}, Type{tensor.F32, n}
	num := func(v int64) *Value { return b.IntOf(u32, v) }
	c := b.Convert(code, tensor.U32)
	if d == tensor.F8E8M0 {
		bits := b.Shl(c, num(23))
		bits = b.Select(b.Cmp(EQ, c, num(0)), num(0x00400000), bits)
		return b.Bitcast(b.Select(b.Cmp(EQ, c, num(0xff)), num(0x7fc00000), bits), f32)
	}
	width := int64(exp + man)
	sign := b.Shl(b.And(c, num(1<<width)), num(31-width))
	mag := b.And(c, num(1<<width-1))
	// The value with f32's bias; the product also makes subnormals normal.
	bits := b.Shl(mag, num(int64(23-man)))
	bits = b.Bitcast(b.Mul(b.Bitcast(bits, f32), b.Float(f32, pow2(127-bias))), u32)
	bits = b.Or(bits, sign)
	switch d {
	case tensor.F8E4M3FN:
		bits = b.Select(b.Cmp(EQ, mag, num(0x7f)), b.Or(sign, num(0x7fc00000)), bits)
	case tensor.F8E5M2:
		bits = b.Select(b.Cmp(GE, mag, num(0x7c)), b.Or(bits, num(0x7f800000)), bits)
	case tensor.F8E4M3FNUZ, tensor.F8E5M2FNUZ:
		bits = b.Select(b.Cmp(EQ, c, num(0x80)), num(0x7fc00000), bits)
	}
	return b.Bitcast(bits, f32)
}

// pow2 is 2^e for a normal f32.
func pow2(e int) float64 {
	x := 1.0
	for ; e > 0; e-- {
		x *= 2
	}
	for ; e < 0; e++ {
		x /= 2
	}
	return x
}

// miniLimits are the largest finite code of a type, without the sign, the code that NaN gets, and the one
// that numbers beyond the largest get when they do not saturate; signed codes take the number's sign.
var miniLimits = map[tensor.DType]struct {
	most, nan, over int64
	signed          bool
}{
	tensor.F8E4M3FN:   {0x7e, 0x7f, 0x7f, true},
	tensor.F8E5M2:     {0x7b, 0x7f, 0x7c, true},
	tensor.F8E4M3FNUZ: {0x7f, 0x80, 0x80, false},
	tensor.F8E5M2FNUZ: {0x7f, 0x80, 0x80, false},
	tensor.F4E2M1:     {7, 8, 7, false},
}

// EncodeMini gives the codes (u8) of the numbers of a float type of at most 8 bits that are nearest to x
// (f32 or f64), ties to even. saturate says whether numbers beyond the largest become it; round is the
// mode of F8E8M0, "up", "down" or "nearest".
func (b *Builder) EncodeMini(x *Value, d tensor.DType, saturate bool, round string) *Value {
	if d == tensor.F8E8M0 {
		return b.encodeE8M0(x, saturate, round)
	}
	exp, man, bias, ok := tensor.MiniFormat(d)
	must(ok && x.Type.Elem.IsFloat(), "encoding %v as %v", x.Type, d)
	lim := miniLimits[d]
	ut, own, ownBias := floatBits(x.Type)
	num := func(v int64) *Value { return b.IntOf(ut, v) }
	bits := b.Bitcast(x, ut)
	sign := b.And(b.Shr(bits, num(int64(ut.Elem.Bits()-1-exp-man))), num(1<<(exp+man)))
	mag := b.And(bits, num(1<<(ut.Elem.Bits()-1)-1))
	// Adding a number whose last place is the type's least number rounds a subnormal result.
	magic := b.Float(x.Type, pow2(own-man+1-bias))
	small := b.Sub(b.Bitcast(b.Add(b.Bitcast(mag, x.Type), magic), ut), b.Bitcast(magic, ut))
	odd := b.And(b.Shr(mag, num(int64(own-man))), num(1))
	rebias := int64(bias-ownBias)<<own + 1<<(own-man-1) - 1
	normal := b.Shr(b.Add(b.Add(mag, num(rebias)), odd), num(int64(own-man)))
	code := b.Select(b.Cmp(LT, mag, num(int64(1-bias+ownBias)<<own)), small, normal)
	over := num(lim.most)
	if !saturate {
		over = num(lim.over)
	}
	code = b.Select(b.Cmp(GT, code, num(lim.most)), over, code)
	switch {
	case lim.signed:
		code = b.Or(b.Select(b.Cmp(EQ, x, x), code, num(lim.nan)), sign)
	case d == tensor.F4E2M1:
		code = b.Select(b.Cmp(EQ, x, x), b.Or(code, sign), num(lim.nan))
	default: // no negative zero, one NaN
		plain := b.Or(b.Cmp(EQ, code, num(0)), b.Cmp(EQ, code, num(lim.nan)))
		code = b.Select(b.Cmp(EQ, x, x), b.Select(plain, code, b.Or(code, sign)), num(lim.nan))
	}
	return b.Convert(code, tensor.U8)
}

// floatBits gives the integer type of f32's or f64's bits, the width of the mantissa and the bias.
func floatBits(t Type) (bits Type, man, bias int) {
	if t.Elem == tensor.F64 {
		return Type{tensor.U64, t.Lanes}, 52, 1023
	}
	return Type{tensor.U32, t.Lanes}, 23, 127
}

// encodeE8M0 gives exponents: 0xff for NaN and negative numbers, 0 for what is too small. It works in f64,
// where the numbers around the least power of two are normal.
func (b *Builder) encodeE8M0(x *Value, saturate bool, round string) *Value {
	x = b.Convert(x, tensor.F64)
	t := Type{tensor.I64, x.Type.Lanes}
	num := func(v int64) *Value { return b.IntOf(t, v) }
	bits := b.Bitcast(x, t)
	man := b.And(bits, num(1<<52-1))
	code := b.Sub(b.Shr(bits, num(52)), num(1023-127))
	inc := b.Cmp(NE, man, num(0))
	if round == "nearest" {
		inc = b.Cmp(GE, man, num(1<<51))
	}
	if round != "down" {
		code = b.Add(code, b.Select(inc, num(1), num(0)))
	}
	over := num(0xff)
	if saturate {
		over = num(0xfe)
	}
	code = b.Select(b.Cmp(LT, code, num(0)), num(0), code)
	code = b.Select(b.Cmp(GT, code, num(0xfe)), over, code)
	// False with NaN, true with -0, which becomes 0.
	fits := b.Cmp(GE, x, b.Float(x.Type, 0))
	code = b.Select(b.Cmp(EQ, x, b.Float(x.Type, 0)), num(0), code)
	return b.Convert(b.Select(fits, code, num(0xff)), tensor.U8)
}
