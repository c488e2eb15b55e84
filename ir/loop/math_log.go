package loop

import (
	"math"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// logParts splits a positive finite x into m*2^e with m in [sqrt(1/2), sqrt(2)).
func (b *Builder) logParts(x *Value) (m, e *Value) {
	fm := format(x)
	it := like(x.Type, fm.bits)
	num := func(n int64) *Value { return b.IntOf(it, n) }
	tiny := b.Cmp(LT, x, b.Float(x.Type, math.Ldexp(1, int(1-fm.bias))))
	bits := b.Bitcast(b.Select(tiny, b.Mul(x, b.Float(x.Type, math.Ldexp(1, int(fm.fraction)))), x), it)
	root := int64(math.Float64bits(math.Sqrt2 / 2))
	if x.Type.Elem == tensor.F32 {
		root = int64(math.Float32bits(math.Sqrt2 / 2))
	}
	e = b.Shr(b.Sub(bits, num(root)), num(fm.fraction))
	m = b.Bitcast(b.Sub(bits, b.Shl(e, num(fm.fraction))), x.Type)
	return m, b.Add(e, b.Select(tiny, num(-fm.fraction), num(0)))
}

// Log is the natural logarithm within 1 ULP: NaN below 0, -Inf at 0.
func (b *Builder) Log(x *Value) *Value {
	num := func(v float64) *Value { return b.Float(x.Type, v) }
	m, e := b.logParts(x)
	f := b.Sub(m, num(1))
	var y *Value
	if x.Type.Elem == tensor.F64 {
		y = b.logTail(f, b.smallToF64(e))
	} else {
		y = b.logTail32(f, b.Convert(e, tensor.F32))
	}
	inf := num(math.Inf(1))
	y = b.Select(b.Cmp(EQ, x, inf), inf, y)
	y = b.Select(b.Cmp(EQ, x, num(0)), num(math.Inf(-1)), y)
	return b.Select(b.Cmp(GE, x, num(0)), y, num(math.NaN()))
}

// logTail32 is log(1+f) + e*ln(2).
func (b *Builder) logTail32(f, e *Value) *Value {
	fm := format(f)
	z := b.Mul(f, f)
	p := b.poly(f, 7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
		-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1)
	y := b.Mul(b.Mul(p, f), z)
	y = b.FMA(e, b.Float(f.Type, fm.ln2lo), y)
	y = b.FMA(z, b.Float(f.Type, -0.5), y)
	return b.FMA(e, b.Float(f.Type, fm.ln2hi), b.Add(f, y))
}

// logTail is the same in f64, with s = f/(2+f) by log(1+f) = 2 atanh(s) = f - (f^2/2 - s*(f^2/2 + R)), where R is
// s^2 times a polynomial in s^2.
func (b *Builder) logTail(f, e *Value) *Value {
	num := func(v float64) *Value { return b.Float(f.Type, v) }
	fm := format(f)
	s := b.Div(f, b.Add(f, num(2)))
	z := b.Mul(s, s)
	p := b.poly(z, 0.14617807153417325, 0.15331611722055008, 0.1818289243253687, 0.22222211089379496, 0.28571428626253836, 0.3999999999989889, 0.666666666666667)
	half := b.Mul(b.Mul(f, f), num(0.5))
	y := b.FMA(s, b.FMA(p, z, half), b.Mul(e, num(fm.ln2lo)))
	return b.Sub(b.Mul(e, num(fm.ln2hi)), b.Sub(b.Sub(half, y), f))
}

// Log1p is log(1+x) within 2 ULP: the logarithm of the rounded sum, and the first order of what rounding lost.
func (b *Builder) Log1p(x *Value) *Value {
	u, lost := b.twoSum(b.Float(x.Type, 1), x)
	zero := b.Float(x.Type, 0)
	some := b.Cmp(GT, b.Unary(OpAbs, lost), zero) // not where x is infinite or -1
	y := b.Add(b.Log(u), b.Select(some, b.Div(lost, u), zero))
	return b.copySign(y, x)
}

// Softplus is log(1+e^x) = max(x, 0) + log1p(e^-|x|) within 2 ULP.
func (b *Builder) Softplus(x *Value) *Value {
	zero := b.Float(x.Type, 0)
	pos := b.Select(b.Cmp(LT, x, zero), zero, x)
	return b.Add(pos, b.Log1p(b.Exp(b.Neg(b.Unary(OpAbs, x)))))
}

// Asinh is the inverse hyperbolic sine within 3 ULP: log1p(a + a^2/(1+sqrt(1+a^2))) for a = |x|, log(2a) for large ones.
func (b *Builder) Asinh(x *Value) *Value {
	a, one := b.Unary(OpAbs, x), b.Float(x.Type, 1)
	z := b.Mul(a, a)
	u := b.Add(a, b.Div(z, b.Add(one, b.Unary(OpSqrt, b.Add(z, one)))))
	return b.copySign(b.log1pOrDouble(a, b.Sub(a, one), u), x)
}

// Acosh is the inverse hyperbolic cosine within 3 ULP: log1p(t + sqrt(t*(t+2))) for t = x-1; NaN below 1.
func (b *Builder) Acosh(x *Value) *Value {
	t := b.Sub(x, b.Float(x.Type, 1))
	u := b.Add(t, b.Unary(OpSqrt, b.Mul(t, b.Add(t, b.Float(x.Type, 2)))))
	y := b.log1pOrDouble(x, t, u)
	return b.Select(b.Cmp(GE, x, b.Float(x.Type, 1)), y, b.Float(x.Type, math.NaN()))
}

// log1pOrDouble is log1p(u), but log(2x) where x is large; less is x-1.
func (b *Builder) log1pOrDouble(x, less, u *Value) *Value {
	large := b.Cmp(GT, x, b.Float(x.Type, 0x1p30))
	y := b.Log1p(b.Select(large, less, u))
	return b.Add(y, b.Select(large, b.Float(x.Type, math.Ln2), b.Float(x.Type, 0)))
}

// Atanh is the inverse hyperbolic tangent within 3 ULP: log1p(2a/(1-a))/2 for a = |x|; NaN beyond 1.
func (b *Builder) Atanh(x *Value) *Value {
	a := b.Unary(OpAbs, x)
	y := b.Log1p(b.Div(b.Add(a, a), b.Sub(b.Float(x.Type, 1), a)))
	return b.copySign(b.Mul(y, b.Float(x.Type, 0.5)), x)
}
