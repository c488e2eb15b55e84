package loop

import (
	"math"
	"slices"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// expPoly is (e^r - 1 - r) / r^2 for |r| <= ln(2)/2.
var expPoly = map[tensor.DType][]float64{
	tensor.F32: {1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1},
	tensor.F64: {2.0915442297780116e-09, 2.5106274733573296e-08, 2.75572718102198e-07, 2.755725283351691e-06, 2.4801587327007187e-05,
		0.00019841269876864356, 0.0013888888888883327, 0.008333333333325544, 0.04166666666666667, 0.1666666666666667, 0.5},
}

// Exp is e^x within 1 ULP, subnormal results included.
func (b *Builder) Exp(x *Value) *Value {
	if x.Type.Elem == tensor.F64 {
		return b.expSum(b.clampOrdered(x, -746, 710), b.Float(x.Type, 0))
	}
	return b.scale(b.expParts32(b.clampOrdered(x, -104, 89)))
}

// ExpDown is e^x for x <= 0 within 2 ULP, or 0 where that is no normal number. In f32 the bias of the exponent stands in the number
// that rounds, so that one shift makes the power of 2.
func (b *Builder) ExpDown(x *Value) *Value {
	if x.Type.Elem == tensor.F64 {
		return b.Exp(x)
	}
	least := b.Float(x.Type, -88) // where that power is 0
	x = b.Select(b.Cmp(LT, x, least), least, x)
	fm := format(x)
	magic := b.Float(x.Type, fm.magic+float64(fm.bias))
	t := b.FMA(x, b.Float(x.Type, math.Log2E), magic)
	n := b.Sub(t, magic)
	r := b.FMA(n, b.Float(x.Type, -fm.ln2lo), b.FMA(n, b.Float(x.Type, -fm.ln2hi), x))
	it := like(x.Type, fm.bits)
	power := b.Bitcast(b.Shl(b.Bitcast(t, it), b.IntOf(it, fm.fraction)), x.Type)
	return b.Mul(b.poly(r, append(slices.Clone(expPoly[tensor.F32]), 1, 1)...), power)
}

// expParts32 gives y and n of e^x = y*2^n, y near 1.
func (b *Builder) expParts32(x *Value) (y, n *Value) {
	f, n := b.nearest(b.Mul(x, b.Float(x.Type, math.Log2E)))
	fm := format(x)
	r := b.FMA(f, b.Float(x.Type, -fm.ln2lo), b.FMA(f, b.Float(x.Type, -fm.ln2hi), x))
	p := b.poly(r, expPoly[tensor.F32]...)
	return b.Add(b.FMA(p, b.Mul(r, r), r), b.Float(x.Type, 1)), n
}

// expSum is e^(x+t) in f64 within 0.6 ULP, for |x| <= 800 and |t| below an ULP of x.
func (b *Builder) expSum(x, t *Value) *Value {
	n, r, rl := b.expReduce(x, t)
	one := b.Float(x.Type, 1)
	s := b.Add(one, r)
	lost := b.Add(b.Sub(one, s), r)
	q := b.FMA(b.poly(r, expPoly[tensor.F64]...), b.Mul(r, r), rl)
	return b.scale(b.Add(s, b.Add(lost, q)), n)
}

// expReduce splits x+t into n*ln(2) + r + rl with |r| <= ln(2)/2.
func (b *Builder) expReduce(x, t *Value) (n, r, rl *Value) {
	fm := format(x)
	f, n := b.nearest(b.Mul(x, b.Float(x.Type, math.Log2E)))
	hi := b.FMA(f, b.Float(x.Type, -fm.ln2hi), x) // exact
	lo := b.Sub(t, b.Mul(f, b.Float(x.Type, fm.ln2lo)))
	r = b.Add(hi, lo)
	return n, r, b.Add(b.Sub(hi, r), lo)
}

// halfExpm1 is (e^x - 1)/2, which overflows where sinh does. Of tiny x it is x/2 but for bits of subnormals.
func (b *Builder) halfExpm1(x *Value) *Value {
	lo, hi := -20.0, 90.0
	if x.Type.Elem == tensor.F64 {
		lo, hi = -40, 711
	}
	x = b.clampOrdered(x, lo, hi)
	n, r, rl := b.expReduce(x, b.Float(x.Type, 0))
	p := b.Add(r, b.FMA(b.poly(r, expPoly[x.Type.Elem]...), b.Mul(r, r), rl))
	// 2^n*p + (2^n-1), an eighth of it, so that 2^(n-3) is in range.
	u := b.pow2(b.Sub(n, b.IntOf(n.Type, 3)), x.Type)
	return b.Mul(b.FMA(u, p, b.Sub(u, b.Float(x.Type, 0.125))), b.Float(x.Type, 4))
}

// Expm1 is e^x - 1 within 2 ULP.
func (b *Builder) Expm1(x *Value) *Value {
	h := b.halfExpm1(x)
	return b.keepTiny(x, b.Add(h, h))
}

// Sinh is the hyperbolic sine within 3 ULP: with E = e^|x|-1, (E + E/(E+1))/2.
func (b *Builder) Sinh(x *Value) *Value {
	h := b.halfExpm1(b.Unary(OpAbs, x))
	most := b.Float(x.Type, 0x1p60) // from where the quotient is 1/2
	c := b.Select(b.Cmp(GT, h, most), most, h)
	y := b.Add(h, b.Div(c, b.Add(b.Add(c, c), b.Float(x.Type, 1))))
	return b.keepTiny(x, b.copySign(y, x))
}

// Cosh is the hyperbolic cosine within 2 ULP: with e = e^|x|/2, e + 1/(4e).
func (b *Builder) Cosh(x *Value) *Value {
	e := b.Add(b.halfExpm1(b.Unary(OpAbs, x)), b.Float(x.Type, 0.5))
	return b.Add(e, b.Div(b.Float(x.Type, 0.25), e))
}

// Tanh is the hyperbolic tangent within 2 ULP, in f64 3 ULP: with E = e^2|x|-1, E/(E+2).
func (b *Builder) Tanh(x *Value) *Value {
	a, one := b.Unary(OpAbs, x), b.Float(x.Type, 1)
	if x.Type.Elem == tensor.F64 {
		h := b.halfExpm1(b.clampOrdered(b.Add(a, a), 0, 40))
		return b.keepTiny(x, b.copySign(b.Div(h, b.Add(h, one)), x))
	}
	z := b.Mul(x, x)
	p := b.poly(z, -5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
	small := b.FMA(b.Mul(p, z), x, x)
	e := b.Exp(b.Add(a, a))
	big := b.Sub(one, b.Div(b.Float(x.Type, 2), b.Add(e, one)))
	return b.copySign(b.Select(b.Cmp(LT, a, b.Float(x.Type, 0.625)), small, big), x)
}

// Sigmoid is 1/(1+e^-x) within 3 ULP, and within a quarter of the least normal number where that is subnormal.
func (b *Builder) Sigmoid(x *Value) *Value {
	if x.Type.Elem == tensor.F64 {
		one := b.Float(x.Type, 1)
		return b.Div(one, b.Add(one, b.Exp(b.Neg(x))))
	}
	half := b.Float(x.Type, 0.5)
	return b.Div(half, b.Add(half, b.halfExpNeg(x)))
}

// expNegPoly is e^-s in f32 for |s| <= ln(2)/2, with the least relative error of polynomials of its degree (Remez): 2^-29.
var expNegPoly = []float64{1.38367940229e-3, -8.37485707379e-3, 4.16682286832e-2, -0.166664196805, 0.499999920561, -1, 1}

// halfExpNeg is e^-x/2 in f32, for use beside 1/2: below 2^-40 it is not exact. The half makes the largest one
// factor can hold, 2^127, enough; the bias of the exponent stands in the number that rounds, so that one shift
// makes the factor.
func (b *Builder) halfExpNeg(x *Value) *Value {
	x = b.clampOrdered(x, -89.4, 30) // the factor is infinite from -89.1 down
	fm := format(x)
	magic := b.Float(x.Type, fm.magic+float64(fm.bias-1))
	t := b.FMA(x, b.Float(x.Type, -math.Log2E), magic)
	n := b.Sub(t, magic)
	s := b.FMA(n, b.Float(x.Type, fm.ln2lo), b.FMA(n, b.Float(x.Type, fm.ln2hi), x)) // -x = n*ln(2) - s
	it := like(x.Type, fm.bits)
	factor := b.Bitcast(b.Shl(b.Bitcast(t, it), b.IntOf(it, fm.fraction)), x.Type)
	return b.Mul(b.poly(s, expNegPoly...), factor)
}
