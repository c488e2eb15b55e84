package loop

import "github.com/nnc-go/nnc/runtime/tensor"

// Erf is the error function within 2 ULP: a polynomial near 0, and 1-erfc beyond.
func (b *Builder) Erf(x *Value) *Value {
	near, far, from := b.erf32, b.erfc32, 0.927734375
	if x.Type.Elem == tensor.F64 {
		near, far, from = b.erf64, b.erfc64, 1
	}
	a := b.Unary(OpAbs, x)
	outside := b.copySign(b.Sub(b.Float(x.Type, 1), far(a)), x)
	y := b.Select(b.Cmp(GT, a, b.Float(x.Type, from)), outside, b.FMA(near(b.Mul(x, x)), x, x))
	return b.Select(b.Cmp(EQ, x, x), y, x)
}

// farNormal is from where half of erfc is below a quarter of an ULP of 1.
const farNormal = 5.75

// NormalCDF is the distribution function of the standard normal distribution in f32 within 1.5*2^-24, which is an ULP and a
// half above 1/2: erfc(|x|/sqrt 2)/2 on the left of 0, 1 less that on the right. The exponent of 2 is a polynomial of |x|, a
// minimax fit weighted by the result.
func (b *Builder) NormalCDF(x *Value) *Value {
	a, zero := b.Unary(OpAbs, x), b.Float(x.Type, 0)
	t := b.poly(a, 1.7072673586e-7, -4.1959019654e-6, 4.0877224819e-5, -1.7141934950e-4, -1.9400364545e-4, 7.1471515112e-3, -5.2552722394e-2,
		-4.5919179916e-1, -1.1511067152, -1)
	magic := b.Float(x.Type, format(x).magic)
	rounded := b.Add(t, magic) // its last bits are the integer; the shift leaves nothing of the others
	p := b.poly(b.Sub(t, b.Sub(rounded, magic)), 1.5353361960e-4, 1.3398873853e-3, 9.6184369177e-3, 5.5503323674e-2, 2.4022647738e-1, 6.9314718246e-1, 1)
	it := like(x.Type, tensor.I32)
	left := b.Bitcast(b.Add(b.Bitcast(p, it), b.Shl(b.Bitcast(rounded, it), b.IntOf(it, format(x).fraction))), x.Type)
	left = b.Select(b.Cmp(LT, a, b.Float(x.Type, farNormal)), left, zero)
	return b.Select(b.Cmp(LT, x, zero), left, b.Sub(b.Float(x.Type, 1), left))
}

// erf32 is erf(x)/x - 1 by z = x^2. This and erfc32 are N. Juffa's minimax fits ("Implementation of the error function",
// public domain).
func (b *Builder) erf32(z *Value) *Value {
	return b.poly(z, -5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1, -3.76125336e-1, 1.28379166e-1)
}

// erfc32 is 1-erf(a), by the exponential function of a polynomial.
func (b *Builder) erfc32(a *Value) *Value {
	num := func(v float64) *Value { return b.Float(a.Type, v) }
	t := b.Select(b.Cmp(GT, a, num(4)), num(4), a) // erf(4) rounds to 1
	r := b.FMA(num(-1.72853470e-5), t, num(3.83197126e-4))
	u := b.FMA(num(-3.88396438e-3), t, num(2.42546219e-2))
	r = b.FMA(r, b.Mul(t, t), u)
	for _, c := range []float64{-1.06777877e-1, -6.34846687e-1, -1.28717512e-1} {
		r = b.FMA(r, t, num(c))
	}
	y, n := b.expParts32(b.FMA(r, t, b.Neg(t))) // from e^-18 to 1
	return b.Mul(y, b.pow2(n, y.Type))
}

// erf64 is erf(x)/x - 1 by z = x^2 <= 1.
func (b *Builder) erf64(z *Value) *Value {
	return b.poly(z, -7.795898827002142e-10, 1.3720064546777686e-08, -1.6208483801871705e-07, 1.6447424703317362e-06, -1.492473690741966e-05,
		0.00012055294904839707, -0.0008548325975389692, 0.0052239776071164225, -0.02686617064323777, 0.11283791670945006, -0.37612638903183543, 0.12837916709551256)
}

// erfc64 is 1-erf(a) for a >= 1: e^(-a^2) times a polynomial of 1/(1+a/3).
func (b *Builder) erfc64(a *Value) *Value {
	num := func(v float64) *Value { return b.Float(a.Type, v) }
	a = b.Select(b.Cmp(GT, a, num(6)), num(6), a) // erf(6) rounds to 1
	t := b.Div(num(3), b.Add(a, num(3)))
	p := b.poly(t, -0.00011080024529446188, 0.02173013560677321, -0.16569712608897857, 0.5561644357489371, -1.0588530224370087, 1.2871572921223842,
		-1.1404859715055813, 0.7814085855006287, -0.32253763814025715, 0.23853160948431334, 0.08409193153151949, 0.1662328955965366, 0.17608254502247533,
		0.18823319588814605, 0.18805157979136622, 3.6860690286802047e-07)
	return b.Mul(b.Exp(b.Neg(b.Mul(a, a))), p)
}
