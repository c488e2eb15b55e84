package loop

import (
	"math"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// Transcendental functions, expanded into arithmetic so that every backend gives the same answer and
// no libm is linked. Each works on scalars and vectors of f32. The bounds are for levels with FMA and
// are held by math_test.go against float64; levels without it may lose one more ULP.
//
// The polynomials for exp, log and tanh are those of Cephes (S. Moshier, "Methods and Programs for
// Mathematical Functions", 1989), single precision.

// mathFuncs lists the functions and the element types they exist for.
var mathFuncs = map[string]bool{
	"Exp": true, "Log": true, "Tanh": true, "Sigmoid": true, "Erf": true, "Sin": true, "Cos": true, "Tan": true, "Pow": true,
}

// MathSupported reports whether the function exists for element type d.
func MathSupported(name string, d tensor.DType) bool { return mathFuncs[name] && d == tensor.F32 }

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

// nearest gives round(x) as a float and as an integer, for |x| < 2^22, by adding and subtracting 1.5*2^23:
// it has no case that a conversion would leave undefined.
func (b *Builder) nearest(x *Value) (f, n *Value) {
	it := like(x.Type, tensor.I32)
	magic := b.Float(x.Type, 12582912)
	t := b.Add(x, magic)
	return b.Sub(t, magic), b.Sub(b.Bitcast(t, it), b.Bitcast(magic, it))
}

// pow2 is 2^n for -126 <= n <= 127.
func (b *Builder) pow2(n *Value) *Value {
	it := n.Type
	return b.Bitcast(b.Shl(b.Add(n, b.IntOf(it, 127)), b.IntOf(it, 23)), like(it, tensor.F32))
}

// Exp is e^x within 1 ULP, subnormal results included.
func (b *Builder) Exp(x *Value) *Value {
	x = b.clampOrdered(x, -104, 89)
	f, n := b.nearest(b.Mul(x, b.Float(x.Type, math.Log2E)))
	r := b.FMA(f, b.Float(x.Type, -0.693359375), x)
	r = b.FMA(f, b.Float(x.Type, 2.12194440e-4), r)
	p := b.poly(r, 1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
	one := b.Float(x.Type, 1)
	y := b.Add(b.FMA(p, b.Mul(r, r), r), one)
	// In two factors, so that 2^128 and results below the normal range come out right.
	half := b.Shr(n, b.IntOf(n.Type, 1))
	return b.Mul(b.Mul(y, b.pow2(half)), b.pow2(b.Sub(n, half)))
}

// Log is the natural logarithm within 1 ULP: NaN below 0, -Inf at 0.
func (b *Builder) Log(x *Value) *Value {
	ft, it := x.Type, like(x.Type, tensor.I32)
	num := func(v float64) *Value { return b.Float(ft, v) }
	tiny := b.Cmp(LT, x, num(0x1p-126))
	xs := b.Select(tiny, b.Mul(x, num(0x1p23)), x)
	bits := b.Bitcast(xs, it)
	// The mantissa in [sqrt(1/2), sqrt(2)) and the exponent that goes with it.
	off := b.IntOf(it, 0x3f3504f3)
	e := b.Shr(b.Sub(bits, off), b.IntOf(it, 23))
	m := b.Bitcast(b.Sub(bits, b.Shl(e, b.IntOf(it, 23))), ft)
	e = b.Add(e, b.Select(tiny, b.IntOf(it, -23), b.IntOf(it, 0)))
	ef := b.Convert(e, tensor.F32)
	r := b.Sub(m, num(1))
	z := b.Mul(r, r)
	p := b.poly(r, 7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
		-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1)
	y := b.Mul(b.Mul(p, r), z)
	y = b.FMA(ef, num(-2.12194440e-4), y)
	y = b.FMA(z, num(-0.5), y)
	y = b.FMA(ef, num(0.693359375), b.Add(r, y))
	inf := num(math.Inf(1))
	y = b.Select(b.Cmp(EQ, x, inf), inf, y)
	y = b.Select(b.Cmp(EQ, x, num(0)), num(math.Inf(-1)), y)
	return b.Select(b.Cmp(GE, x, num(0)), y, num(math.NaN()))
}

// copySign gives |x| the sign of s.
func (b *Builder) copySign(x, s *Value) *Value {
	it := like(x.Type, tensor.I32)
	sign := b.And(b.Bitcast(s, it), b.IntOf(it, math.MinInt32))
	mag := b.And(b.Bitcast(x, it), b.IntOf(it, math.MaxInt32))
	return b.Bitcast(b.Or(mag, sign), x.Type)
}

// Tanh is the hyperbolic tangent within 2 ULP.
func (b *Builder) Tanh(x *Value) *Value {
	a, one := b.Unary(OpAbs, x), b.Float(x.Type, 1)
	z := b.Mul(x, x)
	p := b.poly(z, -5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
	small := b.FMA(b.Mul(p, z), x, x)
	e := b.Exp(b.Add(a, a))
	big := b.Sub(one, b.Div(b.Float(x.Type, 2), b.Add(e, one)))
	return b.Select(b.Cmp(LT, a, b.Float(x.Type, 0.625)), small, b.copySign(big, x))
}

// Sigmoid is 1/(1+e^-x) within 3 ULP, and within 2^-24 absolutely where that is subnormal.
func (b *Builder) Sigmoid(x *Value) *Value {
	one := b.Float(x.Type, 1)
	return b.Div(one, b.Add(one, b.Exp(b.Neg(x))))
}

// Erf is the error function within 2 ULP: a polynomial near 0, and beyond 1-exp of a polynomial. The
// minimax coefficients are N. Juffa's ("Implementation of the error function", public domain).
func (b *Builder) Erf(x *Value) *Value {
	a, s, one := b.Unary(OpAbs, x), b.Mul(x, x), b.Float(x.Type, 1)
	num := func(v float64) *Value { return b.Float(x.Type, v) }
	t := b.Select(b.Cmp(GT, a, num(4)), num(4), a) // erf(4) rounds to 1
	r := b.FMA(num(-1.72853470e-5), t, num(3.83197126e-4))
	u := b.FMA(num(-3.88396438e-3), t, num(2.42546219e-2))
	r = b.FMA(r, b.Mul(t, t), u)
	for _, c := range []float64{-1.06777877e-1, -6.34846687e-1, -1.28717512e-1} {
		r = b.FMA(r, t, num(c))
	}
	r = b.FMA(r, t, b.Neg(t))
	far := b.copySign(b.Sub(one, b.Exp(r)), x)
	p := b.poly(s, -5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1, -3.76125336e-1, 1.28379166e-1)
	near := b.FMA(p, x, x)
	y := b.Select(b.Cmp(GT, a, num(0.927734375)), far, near)
	return b.Select(b.Cmp(EQ, x, x), y, x)
}

// reduceHalfPi gives x - q*pi/2 in f32 with |.| <= pi/4, and q modulo 4 as I64, for |x| < 2^30: the
// reduction is done in f64.
func (b *Builder) reduceHalfPi(x *Value) (r, q *Value) {
	dt, it := like(x.Type, tensor.F64), like(x.Type, tensor.I64)
	num := func(v float64) *Value { return b.Float(dt, v) }
	d := b.Convert(x, tensor.F64)
	magic := num(6755399441055744) // 1.5 * 2^52
	t := b.Add(b.Mul(d, num(2/math.Pi)), magic)
	n := b.Sub(t, magic)
	const hi = 1.57079632673412561417 // the leading 33 bits of pi/2: n*hi is exact
	d = b.Sub(d, b.Mul(n, num(hi)))
	d = b.Sub(d, b.Mul(n, num(6.07710050650619224932e-11)))
	return b.Convert(d, tensor.F32), b.And(b.Bitcast(t, it), b.IntOf(it, 3))
}

// sinCosPoly gives sin(r) and cos(r) for |r| <= pi/4.
func (b *Builder) sinCosPoly(r *Value) (sin, cos *Value) {
	z := b.Mul(r, r)
	s := b.poly(z, -1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
	sin = b.FMA(b.Mul(s, z), r, r)
	c := b.poly(z, 2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
	cos = b.FMA(b.Mul(z, z), c, b.FMA(z, b.Float(r.Type, -0.5), b.Float(r.Type, 1)))
	return sin, cos
}

// quadrant picks sin or cos by q and negates in the lower half.
func (b *Builder) quadrant(sin, cos, q *Value) *Value {
	bit := func(n int64) *Value { return b.Cmp(NE, b.And(q, b.IntOf(q.Type, n)), b.IntOf(q.Type, 0)) }
	y := b.Select(bit(1), cos, sin)
	return b.Select(bit(2), b.Neg(y), y)
}

// Sin is the sine within 2 ULP for |x| < 2^30; beyond it the result is in [-1,1] but has no bound.
func (b *Builder) Sin(x *Value) *Value {
	r, q := b.reduceHalfPi(x)
	s, c := b.sinCosPoly(r)
	return b.quadrant(s, c, q)
}

// Cos is the cosine, with the bound of Sin.
func (b *Builder) Cos(x *Value) *Value {
	r, q := b.reduceHalfPi(x)
	s, c := b.sinCosPoly(r)
	return b.quadrant(s, c, b.Add(q, b.IntOf(q.Type, 1)))
}

// Tan is the tangent within 4 ULP, by Sin and Cos.
func (b *Builder) Tan(x *Value) *Value {
	r, q := b.reduceHalfPi(x)
	s, c := b.sinCosPoly(r)
	return b.Div(b.quadrant(s, c, q), b.quadrant(s, c, b.Add(q, b.IntOf(q.Type, 1))))
}

// Pow is x^y within 1 ULP, computed in f64, with the special cases of C99 (annex F.10.4.4).
func (b *Builder) Pow(x, y *Value) *Value {
	ft, dt, it := x.Type, like(x.Type, tensor.F64), like(x.Type, tensor.I64)
	num := func(v float64) *Value { return b.Float(dt, v) }
	a := b.Unary(OpAbs, x)
	l := b.log2Wide(a)
	l = b.Select(b.Cmp(EQ, a, b.Float(ft, 0)), num(-1e300), l)
	l = b.Select(b.Cmp(EQ, a, b.Float(ft, math.Inf(1))), num(1e300), l)
	t := b.clampOrdered(b.Mul(b.Convert(y, tensor.F64), l), -160, 160)
	magic := num(6755399441055744)
	tm := b.Add(t, magic)
	f := b.Mul(b.Sub(t, b.Sub(tm, magic)), num(math.Ln2))
	p := b.poly(f, 1.0/3628800, 1.0/362880, 1.0/40320, 1.0/5040, 1.0/720, 1.0/120, 1.0/24, 1.0/6, 0.5, 1, 1)
	n := b.Sub(b.Bitcast(tm, it), b.Bitcast(magic, it))
	scale := b.Bitcast(b.Shl(b.Add(n, b.IntOf(it, 1023)), b.IntOf(it, 52)), dt)
	r := b.Convert(b.Mul(p, scale), tensor.F32)

	half := b.Mul(y, b.Float(ft, 0.5))
	whole := b.Cmp(EQ, b.Unary(OpTrunc, y), y)
	odd := b.And(whole, b.Cmp(NE, b.Unary(OpTrunc, half), half))
	r = b.Select(odd, b.copySign(r, x), r)
	neg := b.And(b.Cmp(LT, x, b.Float(ft, 0)), b.Not(whole))
	neg = b.And(neg, b.Cmp(NE, a, b.Float(ft, math.Inf(1))))
	r = b.Select(neg, b.Float(ft, math.NaN()), r)
	r = b.Select(b.Cmp(EQ, x, x), r, x) // a NaN of y is in t and so in r
	// What is 1 whatever the other operand is:
	one := b.Float(ft, 1)
	mone := b.And(b.Cmp(EQ, a, one), b.Cmp(EQ, b.Unary(OpAbs, y), b.Float(ft, math.Inf(1))))
	fixed := b.Or(b.Or(b.Cmp(EQ, x, one), b.Cmp(EQ, y, b.Float(ft, 0))), mone)
	return b.Select(fixed, one, r)
}

// log2Wide is the base-2 logarithm in f64 of positive finite f32 x, with an error below 2^-44.
func (b *Builder) log2Wide(x *Value) *Value {
	dt, it := like(x.Type, tensor.F64), like(x.Type, tensor.I64)
	num := func(v float64) *Value { return b.Float(dt, v) }
	bits := b.Bitcast(b.Convert(x, tensor.F64), it)
	// The exponent of the nearest power of two in the sense of [sqrt(1/2), sqrt(2)).
	shift := b.IntOf(it, 52)
	e := b.Shr(b.Sub(bits, b.IntOf(it, 0x3fe6a09e667f3bcd)), shift)
	m := b.Bitcast(b.Sub(bits, b.Shl(e, shift)), dt)
	s := b.Div(b.Sub(m, num(1)), b.Add(m, num(1)))
	z := b.Mul(s, s)
	var c []float64
	for k := 17; k >= 1; k -= 2 {
		c = append(c, 2/(math.Ln2*float64(k)))
	}
	return b.Add(b.Mul(b.poly(z, c...), s), b.smallToF64(e))
}

// smallToF64 converts |n| < 2^51 by adding 1.5*2^52: vectors of I64 have no conversion before AVX-512.
func (b *Builder) smallToF64(n *Value) *Value {
	dt := like(n.Type, tensor.F64)
	magic := b.Float(dt, 6755399441055744)
	return b.Sub(b.Bitcast(b.Add(n, b.Bitcast(magic, n.Type)), dt), magic)
}
