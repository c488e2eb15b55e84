package tensor

import (
	"encoding/binary"
	"math"
)

// F16ToF32 widens an IEEE 754 binary16; exact.
func F16ToF32(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exp, man := uint32(h>>10)&31, uint32(h)&0x3ff
	switch {
	case exp == 31:
		return math.Float32frombits(sign | 0x7f800000 | man<<13)
	case exp == 0:
		f := float32(man) / (1 << 24)
		return math.Float32frombits(math.Float32bits(f) | sign)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | man<<13)
}

// F32ToF16 rounds to the nearest binary16, ties to even; too large becomes infinite. NaN stays NaN.
func F32ToF16(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b>>16) & 0x8000
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000:
		return sign | 0x7e00 | uint16(b>>13)&0x3ff
	case b >= 0x47800000: // 65536 and more
		return sign | 0x7c00
	case b < 0x38800000: // below the least normal number: units of 2^-24
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(b))*(1<<24)))
	}
	b += 0xfff + b>>13&1 // may carry into the exponent, up to infinity
	return sign | uint16((b-112<<23)>>13)
}

// BF16ToF32 widens a bfloat16; exact.
func BF16ToF32(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// F32ToBF16 rounds to the nearest bfloat16, ties to even. NaN stays NaN.
func F32ToBF16(f float32) uint16 {
	b := math.Float32bits(f)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// minifloats describes the float types of at most 8 bits: widths of exponent and mantissa, the bias,
// and which codes are not numbers.
var minifloats = map[DType]struct {
	exp, man, bias int
	isNaN          func(code uint8) bool
	ieee           bool // the largest exponent means infinity and NaN
}{
	F8E4M3FN:   {4, 3, 7, func(c uint8) bool { return c&0x7f == 0x7f }, false},
	F8E4M3FNUZ: {4, 3, 8, func(c uint8) bool { return c == 0x80 }, false},
	F8E5M2:     {5, 2, 15, func(c uint8) bool { return c&0x7f > 0x7c }, true},
	F8E5M2FNUZ: {5, 2, 16, func(c uint8) bool { return c == 0x80 }, false},
	F4E2M1:     {2, 1, 1, func(uint8) bool { return false }, false},
}

// MiniFormat gives the widths of the exponent and the mantissa of a float type of at most 8 bits and the
// bias of its exponent; ok is false for other types. F8E8M0 is all exponent.
func MiniFormat(d DType) (exp, man, bias int, ok bool) {
	if d == F8E8M0 {
		return 8, 0, 127, true
	}
	m, ok := minifloats[d]
	return m.exp, m.man, m.bias, ok
}

// MiniToF64 gives the value of a code of a float type of at most 8 bits (F8*, F4E2M1, F8E8M0).
func MiniToF64(d DType, code uint8) float64 {
	if d == F8E8M0 {
		if code == 0xff {
			return math.NaN()
		}
		return math.Ldexp(1, int(code)-127)
	}
	m := minifloats[d]
	if m.isNaN(code) {
		return math.NaN()
	}
	sign := 1.0
	if code>>(m.exp+m.man)&1 == 1 {
		sign = -1
	}
	e := int(code) >> m.man & (1<<m.exp - 1)
	f := float64(int(code) & (1<<m.man - 1))
	switch {
	case m.ieee && e == 1<<m.exp-1:
		return math.Inf(int(sign))
	case e == 0:
		return math.Copysign(math.Ldexp(f, 1-m.bias-m.man), sign)
	}
	return sign * math.Ldexp(f+float64(int(1)<<m.man), e-m.bias-m.man)
}

// At gives element i of a real numeric or Bool tensor as a float64, rounded where it has more than 53
// bits. i must be in range and t must not hold strings or complex numbers: their result is NaN.
func (t *Tensor) At(i int64) float64 {
	b := t.Data
	le := binary.LittleEndian
	switch t.DType {
	case F32:
		return float64(math.Float32frombits(le.Uint32(b[4*i:])))
	case F64:
		return math.Float64frombits(le.Uint64(b[8*i:]))
	case F16:
		return float64(F16ToF32(le.Uint16(b[2*i:])))
	case BF16:
		return float64(BF16ToF32(le.Uint16(b[2*i:])))
	case U64:
		return float64(le.Uint64(b[8*i:]))
	case F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0:
		return MiniToF64(t.DType, b[i])
	case F4E2M1:
		return MiniToF64(t.DType, b[i/2]>>(i%2*4)&15)
	}
	if v, ok := t.IntAt(i); ok {
		return float64(v)
	}
	return math.NaN()
}

// IntAt gives element i of an integer or Bool tensor; ok is false for other types. A U64 wraps.
func (t *Tensor) IntAt(i int64) (v int64, ok bool) {
	b := t.Data
	le := binary.LittleEndian
	switch t.DType {
	case I64, U64:
		return int64(le.Uint64(b[8*i:])), true
	case I32:
		return int64(int32(le.Uint32(b[4*i:]))), true
	case U32:
		return int64(le.Uint32(b[4*i:])), true
	case I16:
		return int64(int16(le.Uint16(b[2*i:]))), true
	case U16:
		return int64(le.Uint16(b[2*i:])), true
	case I8:
		return int64(int8(b[i])), true
	case U8, Bool:
		return int64(b[i]), true
	case I4:
		return int64(int8(b[i/2]>>(i%2*4)<<4) >> 4), true
	case U4:
		return int64(b[i/2] >> (i % 2 * 4) & 15), true
	case I2:
		return int64(int8(b[i/4]>>(i%4*2)<<6) >> 6), true
	case U2:
		return int64(b[i/4] >> (i % 4 * 2) & 3), true
	}
	return 0, false
}
