package loop

import (
	"math"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// Transcendental functions, expanded into arithmetic so that every backend gives the same answer and
// no libm is linked. Each works on scalars and vectors of f32 and f64. The bounds are for levels with
// FMA and are held by math_test.go against package math; levels without it may lose one more ULP.
//
// The f32 polynomials for exp, log and tanh are those of Cephes (S. Moshier, "Methods and Programs for
// Mathematical Functions", 1989), single precision. The f64 ones, and those of atan and erf, are Chebyshev fits.

// mathFuncs lists the functions.
var mathFuncs = map[string]bool{
	"Exp": true, "Expm1": true, "Log": true, "Log1p": true, "Tanh": true, "Sigmoid": true, "Softplus": true, "Erf": true, "Pow": true, "Fmod": true,
	"Sin": true, "Cos": true, "Tan": true, "Asin": true, "Acos": true, "Atan": true,
	"Sinh": true, "Cosh": true, "Asinh": true, "Acosh": true, "Atanh": true,
}

// MathSupported reports whether the function exists for element type d.
func MathSupported(name string, d tensor.DType) bool {
	return mathFuncs[name] && (d == tensor.F32 || d == tensor.F64)
}

// floatFormat is what the expansions need to know of an element type.
type floatFormat struct {
	bits         tensor.DType // the integer type of the same width
	fraction     int64        // stored bits of the fraction
	bias         int64        // of the exponent
	magic        float64      // 1.5 * 2^fraction: adding it rounds to an integer
	tiny         float64      // below it, x + x^2 rounds to x
	ln2hi, ln2lo float64      // ln 2 in two parts; products of the first with exponents are exact
}

var floatFormats = map[tensor.DType]floatFormat{
	tensor.F32: {tensor.I32, 23, 127, 0x1.8p23, 0x1p-30, 0.693359375, -2.12194440e-4},
	tensor.F64: {tensor.I64, 52, 1023, 0x1.8p52, 0x1p-60, 0x1.62e42feep-1, 0x1.a39ef35793c76p-33},
}

func format(x *Value) floatFormat { return floatFormats[x.Type.Elem] }

// poly evaluates a polynomial by Horner's scheme, highest coefficient first.
func (b *Builder) poly(x *Value, c ...float64) *Value {
	r := b.Float(x.Type, c[0])
	for _, k := range c[1:] {
		r = b.FMA(r, x, b.Float(x.Type, k))
	}
	return r
}

func like(t Type, d tensor.DType) Type { return Type{d, t.Lanes} }

// clampOrdered limits x to [lo, hi]; NaN stays.
func (b *Builder) clampOrdered(x *Value, lo, hi float64) *Value {
	l, h := b.Float(x.Type, lo), b.Float(x.Type, hi)
	x = b.Select(b.Cmp(LT, x, l), l, x)
	return b.Select(b.Cmp(GT, x, h), h, x)
}

// nearest gives round(x) as a float and as an integer, for |x| below a quarter of the format's magic number, by adding
// and subtracting that: it has no case that a conversion would leave undefined.
func (b *Builder) nearest(x *Value) (f, n *Value) {
	fm := format(x)
	it := like(x.Type, fm.bits)
	magic := b.Float(x.Type, fm.magic)
	t := b.Add(x, magic)
	return b.Sub(t, magic), b.Sub(b.Bitcast(t, it), b.Bitcast(magic, it))
}

// pow2 is 2^n in the float format ft for exponents n of normal numbers.
func (b *Builder) pow2(n *Value, ft Type) *Value {
	fm := floatFormats[ft.Elem]
	return b.Bitcast(b.Shl(b.Add(n, b.IntOf(n.Type, fm.bias)), b.IntOf(n.Type, fm.fraction)), ft)
}

// scale is y*2^n in two factors, so that 2^n may leave the range of normal numbers by as much as the range is wide.
func (b *Builder) scale(y, n *Value) *Value {
	half := b.Shr(n, b.IntOf(n.Type, 1))
	return b.Mul(b.Mul(y, b.pow2(half, y.Type)), b.pow2(b.Sub(n, half), y.Type))
}

// copySign gives |x| the sign of s.
func (b *Builder) copySign(x, s *Value) *Value {
	it := like(x.Type, format(x).bits)
	top := b.IntOf(it, math.MinInt64>>(64-it.Elem.Bits()))
	return b.Bitcast(b.Or(b.And(b.Bitcast(x, it), b.Not(top)), b.And(b.Bitcast(s, it), top)), x.Type)
}

// keepTiny is y, or x where that is too small for y to differ: y may have lost the sign of zero, or bits of subnormals.
func (b *Builder) keepTiny(x, y *Value) *Value {
	return b.Select(b.Cmp(LT, b.Unary(OpAbs, x), b.Float(x.Type, format(x).tiny)), x, y)
}

// smallToF64 converts |n| < 2^51 by adding 1.5*2^52: vectors of I64 have no conversion before AVX-512.
func (b *Builder) smallToF64(n *Value) *Value {
	dt := like(n.Type, tensor.F64)
	magic := b.Float(dt, 0x1.8p52)
	return b.Sub(b.Bitcast(b.Add(n, b.Bitcast(magic, n.Type)), dt), magic)
}

// twoSum is x+y and what its rounding lost, exactly (D. Knuth, "The Art of Computer Programming", vol. 2, 4.2.2).
func (b *Builder) twoSum(x, y *Value) (sum, err *Value) {
	s := b.Add(x, y)
	t := b.Sub(s, x)
	return s, b.Add(b.Sub(x, b.Sub(s, t)), b.Sub(y, t))
}

// twoProd is the f64 product x*y and what its rounding lost: by FMA, or by halves of 26 bits (T. Dekker, "A floating-point
// technique for extending the available precision", 1971), which wants |x|, |y| < 2^996.
func (b *Builder) twoProd(x, y *Value) (prod, err *Value) {
	p := b.Mul(x, y)
	if b.Level.FMA {
		return p, b.FMA(x, y, b.Neg(p))
	}
	split := func(v *Value) (hi, lo *Value) {
		t := b.Mul(v, b.Float(v.Type, 0x1p27+1))
		hi = b.Sub(t, b.Sub(t, v))
		return hi, b.Sub(v, hi)
	}
	xh, xl := split(x)
	yh, yl := split(y)
	e := b.Sub(b.Mul(xh, yh), p)
	e = b.Add(b.Add(e, b.Mul(xh, yl)), b.Mul(xl, yh))
	return p, b.Add(e, b.Mul(xl, yl))
}
