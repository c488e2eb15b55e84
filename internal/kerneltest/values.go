package kerneltest

import (
	"math"
	"math/rand/v2"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// The element types by what they can do.
var (
	floats   = []tensor.DType{tensor.F32, tensor.F64}
	halves   = []tensor.DType{tensor.F16, tensor.BF16}
	integers = []tensor.DType{tensor.I8, tensor.U8, tensor.I16, tensor.U16, tensor.I32, tensor.U32, tensor.I64, tensor.U64}
	numbers  = append(append([]tensor.DType{}, floats...), integers...)
	stored   = append(append([]tensor.DType{}, numbers...), halves...)
	all      = append(append([]tensor.DType{}, stored...), tensor.Bool)
)

// awkward are the floats that rounding, comparing and converting get wrong first.
var awkward = []float64{0, math.Copysign(0, -1), 1, -1, 0.5, -0.5, 1.5, -2.5, 3, 1.0 / 3, -1e10, 0x1p-30, math.Inf(1), math.Inf(-1), 2147483648, -8388607.5}

// more are values that matter for conversions: ends of ranges and halfway cases.
var more = []float64{2, 2.5, 3.5, -3.5, 127, 128, -128, -129, 127.5, 255, 255.9, 256, -0.99, 32767, 32768, -32768, 65535, 65536, 65504, 65519, 65520, -65520, 65535.9, 8388608, 8388609, 16777215, 16777217,
	4194303.5, 0x1p-14, 0x1p-15, 0x1p-24, 0x1p-25, 0x1.8p-25, 0x1p-26, 0x1.002p0, 0x1.006p0, 0x1.001p0, 0x1.003p0, 2147483647, -2147483648, -2147483649, 2147483520, 4294967295, 4294967040, 4294967296, 0x1p52, 0x1p53 + 2, 0x1p62, 0x1p63,
	-0x1p63, 0x1p63 - 1024, 0x1p63 - 0x1p39, 0x1p64 - 2048, 0x1p64 - 0x1p40, 1e300, 1e-300, 0x1.000001p0, 0x1.0000010000001p0, 0x1.000003p0, 0x1.fffffefp127, 0x1.ffffffp127, 3.4e38, 0x1p-126, 0x1p-149, 0x1p-150, 0x1.8p-150}

// bitsOf are the bits of x in a float type.
func bitsOf(d tensor.DType, x float64) uint64 {
	switch d {
	case tensor.F64:
		return math.Float64bits(x)
	case tensor.F16:
		return uint64(tensor.F32ToF16(float32(x)))
	case tensor.BF16:
		return uint64(tensor.F32ToBF16(float32(x)))
	}
	return uint64(math.Float32bits(float32(x)))
}

// fractionBits is the width of a float type's fraction.
func fractionBits(d tensor.DType) int {
	return map[tensor.DType]int{tensor.F64: 52, tensor.F32: 23, tensor.F16: 10, tensor.BF16: 7}[d]
}

func ones(n int) uint64 { return 1<<n - 1 }

// values are the elements of a type that are worth a case with each other.
func values(d tensor.DType) (bits []uint64) {
	switch {
	case d == tensor.Bool:
		return []uint64{0, 1}
	case d.IsFloat():
		for _, x := range awkward {
			bits = append(bits, bitsOf(d, x))
		}
		f := fractionBits(d)
		inf := ones(d.Bits()-1) &^ ones(f)
		return append(bits, 1, ones(f), ones(f)+1, inf-1, inf-1|1<<(d.Bits()-1), inf|1<<(f-1), inf|1, inf|ones(f)|1<<(d.Bits()-1))
	}
	n := d.Bits()
	top := uint64(1) << (n - 1)
	for _, v := range []uint64{0, 1, 2, 3, 7, 10, 100, top - 1, top, top + 1, top | top>>1, top >> 1, ^uint64(0), ^uint64(1), ^uint64(6), 0x5a5a5a5a5a5a5a5a, 0xf0e1d2c3b4a59687} {
		bits = append(bits, v&ones(n))
	}
	return bits
}

// many are the awkward values of a type and random ones.
func many(d tensor.DType, r *rand.Rand, n int) []uint64 {
	bits := values(d)
	if d.IsFloat() {
		for _, x := range more {
			bits = append(bits, bitsOf(d, x), bitsOf(d, -x))
		}
	}
	return append(bits, random(d, r, n)...)
}

// random gives n elements: any bits, and floats of common size.
func random(d tensor.DType, r *rand.Rand, n int) (bits []uint64) {
	for i := range n {
		v := r.Uint64() & ones(d.Bits())
		switch {
		case d == tensor.Bool:
			v &= 1
		case d.IsFloat() && i%4 > 0:
			v = bitsOf(d, math.Ldexp(r.Float64()*2-1, r.IntN(12)-4))
		}
		bits = append(bits, v)
	}
	return bits
}

// signed is the value of an element of a signed integer type.
func signed(d tensor.DType, bits uint64) int64 {
	s := 64 - d.Bits()
	return int64(bits<<s) >> s
}

// toFloat is the value of an element of a float type.
func toFloat(d tensor.DType, bits uint64) float64 {
	switch d {
	case tensor.F64:
		return math.Float64frombits(bits)
	case tensor.F16:
		return float64(tensor.F16ToF32(uint16(bits)))
	case tensor.BF16:
		return float64(tensor.BF16ToF32(uint16(bits)))
	}
	return float64(math.Float32frombits(uint32(bits)))
}

// pairs gives every element of xs with every element of ys.
func pairs(xs, ys []uint64) (x, y []uint64) {
	for _, a := range xs {
		for _, b := range ys {
			x, y = append(x, a), append(y, b)
		}
	}
	return x, y
}

// divisible drops the pairs that have no quotient.
func divisible(d tensor.DType, xs, ys []uint64) (x, y []uint64) {
	for i, b := range ys {
		least := d.Class() == tensor.ClassInt && signed(d, b) == -1 && signed(d, xs[i]) == math.MinInt64>>(64-d.Bits())
		if b != 0 && !least {
			x, y = append(x, xs[i]), append(y, b)
		}
	}
	return x, y
}

// convertible keeps the elements of type from that type to has: a float's integer part must be there.
func convertible(from, to tensor.DType, bits []uint64) (out []uint64) {
	if !from.IsFloat() || to.IsFloat() {
		return bits
	}
	lo, hi := 0.0, math.Ldexp(1, to.Bits())
	if to.Class() == tensor.ClassInt {
		lo, hi = -hi/2, hi/2
	}
	for _, v := range bits {
		if x := math.Trunc(toFloat(from, v)); x >= lo && x < hi {
			out = append(out, v)
		}
	}
	return out
}
