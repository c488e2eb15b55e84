package loop

import (
	"math"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// Pow is x^y within 1 ULP, and exact where a power is representable in f64, with the special cases of C99 (annex F.10.4.4).
// It is computed in f64, and for f64 with a logarithm of twice the precision.
func (b *Builder) Pow(x, y *Value) *Value {
	num := func(v float64) *Value { return b.Float(x.Type, v) }
	a, zero, inf := b.Unary(OpAbs, x), num(0), num(math.Inf(1))
	r := b.powPositive(a, y)
	none := b.Cmp(EQ, a, zero)
	grows := b.Not(b.Xor(b.Cmp(LT, y, zero), none)) // 0 to a negative power or Inf to a positive one
	r = b.Select(b.Or(none, b.Cmp(EQ, a, inf)), b.Select(grows, inf, zero), r)

	half := b.Mul(y, num(0.5))
	whole := b.Cmp(EQ, b.Unary(OpTrunc, y), y)
	odd := b.And(whole, b.Cmp(NE, b.Unary(OpTrunc, half), half))
	r = b.Select(odd, b.copySign(r, x), r)
	neg := b.And(b.And(b.Cmp(LT, x, zero), b.Not(whole)), b.Cmp(NE, a, inf))
	nan := b.Or(neg, b.Or(b.Cmp(NE, x, x), b.Cmp(NE, y, y)))
	r = b.Select(nan, num(math.NaN()), r)
	// What is 1 whatever the other operand is:
	one := num(1)
	mone := b.And(b.Cmp(EQ, a, one), b.Cmp(EQ, b.Unary(OpAbs, y), inf))
	fixed := b.Or(b.Or(b.Cmp(EQ, x, one), b.Cmp(EQ, y, zero)), mone)
	return b.Select(fixed, one, r)
}

// powPositive is a^y for positive finite a; for others it is some number.
func (b *Builder) powPositive(a, y *Value) *Value {
	if a.Type.Elem == tensor.F64 {
		return b.powWide(a, y)
	}
	num := func(v float64) *Value { return b.Float(like(a.Type, tensor.F64), v) }
	t := b.clampOrdered(b.Mul(b.Convert(y, tensor.F64), b.log2Wide(a)), -160, 160)
	f, n := b.nearest(t)
	p := b.poly(b.Mul(b.Sub(t, f), num(math.Ln2)), 1.0/3628800, 1.0/362880, 1.0/40320, 1.0/5040, 1.0/720, 1.0/120, 1.0/24, 1.0/6, 0.5, 1, 1)
	return b.Convert(b.Mul(p, b.pow2(n, p.Type)), tensor.F32)
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

// powWide is e^(y log a) in f64, the product exact to about 2^-64 of itself.
func (b *Builder) powWide(a, y *Value) *Value {
	h, l := b.logWide(a)
	y = b.clampOrdered(y, -0x1p70, 0x1p70) // beyond which every power is 0, 1 or infinite
	th, tl := b.twoProd(y, h)
	tl = b.Add(tl, b.Mul(y, l))
	most := b.Float(a.Type, 800)
	tl = b.Select(b.Cmp(LT, b.Unary(OpAbs, th), most), tl, b.Float(a.Type, 0))
	return b.expSum(b.clampOrdered(th, -800, 800), tl)
}

// logWide is the natural logarithm of positive finite f64 x as the sum of two numbers, with an error of about 2^-65 of
// it: as in logTail, the leading terms in pairs of numbers.
func (b *Builder) logWide(x *Value) (hi, lo *Value) {
	num := func(v float64) *Value { return b.Float(x.Type, v) }
	m, e := b.logParts(x)
	f := b.Sub(m, num(1))
	dh, dl := b.twoSum(m, num(1))
	s := b.Div(f, dh)
	ph, pl := b.twoProd(s, dh)
	sl := b.Div(b.Sub(b.Sub(b.Sub(f, ph), pl), b.Mul(s, dl)), dh)
	zh, zl := b.twoProd(s, s)
	zl = b.FMA(b.Add(s, s), sl, zl)
	// 2 atanh(s)/s - 2 = z*(2/3 + z*p)
	p := b.poly(zh, 0.11724327060846747, 0.11706126464563398, 0.1333480879881234, 0.1538459488700718, 0.18181818336099848, 0.22222222221652765, 0.2857142857142937, 0.4)
	ih, il := b.twoSum(num(0.6666666666666666), b.Mul(zh, p))
	il = b.Add(il, num(3.700743415417188e-17))
	wh, wl := b.twoProd(zh, ih)
	wl = b.Add(wl, b.FMA(zh, il, b.Mul(zl, ih)))
	vh, vl := b.twoProd(s, wh)
	vl = b.Add(vl, b.FMA(s, wl, b.Mul(sl, wh)))

	fm, ef := format(x), b.smallToF64(e)
	h, c1 := b.twoSum(b.Mul(ef, num(fm.ln2hi)), b.Add(s, s))
	h, c2 := b.twoSum(h, b.Mul(ef, num(fm.ln2lo)))
	h, c3 := b.twoSum(h, vh)
	l := b.Add(b.Add(b.Add(c1, c2), c3), b.Add(b.Add(sl, sl), vl))
	hi = b.Add(h, l)
	return hi, b.Add(b.Sub(h, hi), l)
}
