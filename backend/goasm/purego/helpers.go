package purego

import "math"

// fma32 is x*y+z rounded once: the sum is rounded to odd in float64, which is wide enough that rounding it
// again gives the same as rounding the exact sum.
func fma32(x, y, z float32) float32 {
	p, c := float64(x)*float64(y), float64(z) // the product is exact
	s := p + c
	if s == 0 || math.IsInf(s, 0) || s != s {
		return float32(s)
	}
	t := s - p
	lost := (p - (s - t)) + (c - t)
	if b := math.Float64bits(s); lost != 0 && b&1 == 0 {
		if (lost > 0) == (s > 0) {
			s = math.Float64frombits(b + 1)
		} else {
			s = math.Float64frombits(b - 1)
		}
	}
	return float32(s)
}

// f16ToF32 widens a binary16; exact.
func f16ToF32(h uint16) float32 {
	sign, mag := uint32(h&0x8000)<<16, uint32(h&0x7fff)
	if mag >= 0x7c00 {
		return math.Float32frombits(sign | 0x7f800000 | mag<<13)
	}
	// The exponent's bias is another; the product makes subnormal numbers normal too.
	f := math.Float32frombits(mag<<13) * 0x1p112
	return math.Float32frombits(sign | math.Float32bits(f))
}

// f32ToF16 rounds to the nearest binary16, ties to even; NaN stays NaN.
func f32ToF16(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b>>16) & 0x8000
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000:
		return sign | 0x7e00 | uint16(b>>13)&0x3ff
	case b >= 0x47800000:
		return sign | 0x7c00
	case b < 0x38800000: // subnormal: adding 0.5 lines the bits up and rounds them
		return sign | uint16(math.Float32bits(math.Float32frombits(b)+0.5)-0x3f000000)
	}
	return sign | uint16((b+0xc8000fff+b>>13&1)>>13)
}
