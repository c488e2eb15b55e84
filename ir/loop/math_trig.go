package loop

import (
	"math"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// reduceHalfPi gives x - q*pi/2 for f64 x as r+rl with |r| <= pi/4 and a little, and q modulo 4 as I64, for |x| < 2^45.
// pi/2 is three numbers of 53 bits, whose products with the quotient are exact in two parts. Beyond 2^45 x is taken as 0.
func (b *Builder) reduceHalfPi(x *Value) (r, rl, q *Value) {
	num := func(v float64) *Value { return b.Float(x.Type, v) }
	it := like(x.Type, tensor.I64)
	far := b.Cmp(GE, b.Unary(OpAbs, x), num(0x1p45))
	x = b.Select(far, b.Sub(x, x), x) // NaN where x is infinite
	magic := num(0x1.8p52)
	t := b.Add(b.Mul(x, num(2/math.Pi)), magic)
	n := b.Sub(t, magic)
	h1, l1 := b.twoProd(n, num(0x1.921fb54442d18p+0))
	h2, l2 := b.twoProd(n, num(0x1.1a62633145c07p-54))
	s, e1 := b.twoSum(b.Sub(x, h1), b.Neg(l1))
	s, e2 := b.twoSum(s, b.Neg(h2))
	lo := b.Sub(b.Add(e1, e2), b.FMA(n, num(-0x1.f1976b7ed8fbcp-110), l2))
	r = b.Add(s, lo)
	rl = b.Add(b.Sub(s, r), lo)
	r = b.Select(b.Cmp(EQ, n, num(0)), x, r) // keeps -0
	return r, rl, b.And(b.Bitcast(t, it), b.IntOf(it, 3))
}

// sinCos gives the sine and the cosine of x before the quadrant is taken into account, and the quadrant.
func (b *Builder) sinCos(x *Value) (sin, cos, q *Value) {
	if x.Type.Elem == tensor.F32 {
		r, _, q := b.reduceHalfPi(b.Convert(x, tensor.F64))
		r = b.Convert(r, tensor.F32)
		z := b.Mul(r, r)
		s := b.poly(z, -1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
		c := b.poly(z, 2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
		return b.keepTiny(r, b.FMA(b.Mul(s, z), r, r)), b.FMA(b.Mul(z, z), c, b.FMA(z, b.Float(r.Type, -0.5), b.Float(r.Type, 1))), q
	}
	r, rl, q := b.reduceHalfPi(x)
	z := b.Mul(r, r)
	s := b.poly(z, -7.585486485235938e-13, 1.6058510875319195e-10, -2.505210610025599e-08, 2.7557319218954762e-06, -0.00019841269841264567,
		0.008333333333333331, -0.16666666666666666)
	sin = b.keepTiny(r, b.Add(r, b.FMA(b.Mul(s, z), r, rl)))
	c := b.poly(z, -1.1380868171449914e-11, 2.0876121534608454e-09, -2.7557317151858866e-07, 2.480158729853226e-05, -0.0013888888888887241, 0.041666666666666664)
	half, one := b.Mul(z, b.Float(x.Type, 0.5)), b.Float(x.Type, 1)
	w := b.Sub(one, half)
	lost := b.Sub(b.Sub(one, w), half)
	cos = b.Add(w, b.Add(lost, b.Sub(b.Mul(b.Mul(z, z), c), b.Mul(r, rl))))
	return sin, cos, q
}

// quadrant picks sin or cos by q and negates in the lower half.
func (b *Builder) quadrant(sin, cos, q *Value) *Value {
	bit := func(n int64) *Value { return b.Cmp(NE, b.And(q, b.IntOf(q.Type, n)), b.IntOf(q.Type, 0)) }
	y := b.Select(bit(1), cos, sin)
	return b.Select(bit(2), b.Neg(y), y)
}

// Sin is the sine within 2 ULP for |x| < 2^45; beyond it the result is that of 0, NaN at the infinities.
func (b *Builder) Sin(x *Value) *Value {
	s, c, q := b.sinCos(x)
	return b.quadrant(s, c, q)
}

// Cos is the cosine, with the bound of Sin.
func (b *Builder) Cos(x *Value) *Value {
	s, c, q := b.sinCos(x)
	return b.quadrant(s, c, b.Add(q, b.IntOf(q.Type, 1)))
}

// Tan is the tangent within 4 ULP, by Sin and Cos.
func (b *Builder) Tan(x *Value) *Value {
	s, c, q := b.sinCos(x)
	return b.Div(b.quadrant(s, c, q), b.quadrant(s, c, b.Add(q, b.IntOf(q.Type, 1))))
}

// atanPoly is (atan(t)/t - 1)/t^2 by t^2, for |t| <= tan(pi/8).
var atanPoly = map[tensor.DType][]float64{
	tensor.F32: {-0.06449835224591496, 0.1074309966767457, -0.14263897112598675, 0.1999953879477192, -0.3333333175381697},
	tensor.F64: {-0.019162068915902573, 0.03921955253255129, -0.05085030492810941, 0.058580687568615106, -0.06664502215671447,
		0.07692182535116648, -0.09090904549884611, 0.11111111014561013, -0.14285714284657894, 0.1999999999999548, -0.3333333333333333},
}

// Atan is the arc tangent within 2 ULP: of t = |x|, or pi/4 + atan((|x|-1)/(|x|+1)), or pi/2 + atan(-1/|x|).
func (b *Builder) Atan(x *Value) *Value {
	num := func(v float64) *Value { return b.Float(x.Type, v) }
	a := b.Unary(OpAbs, x)
	mid, big := b.Cmp(GT, a, num(math.Sqrt2-1)), b.Cmp(GT, a, num(math.Sqrt2+1))
	pick := func(small, middle, large *Value) *Value { return b.Select(big, large, b.Select(mid, middle, small)) }
	t := b.Div(pick(a, b.Sub(a, num(1)), num(-1)), pick(num(1), b.Add(a, num(1)), a))
	z := b.Mul(t, t)
	hi, lo := math.Pi/4, 0x1.1a62633145c07p-55
	if x.Type.Elem == tensor.F32 {
		hi = float64(float32(math.Pi / 4))
		lo = math.Pi/4 - hi
	}
	rest := b.FMA(b.Mul(b.poly(z, atanPoly[x.Type.Elem]...), z), t, pick(num(0), num(lo), num(2*lo)))
	return b.copySign(b.Add(pick(num(0), num(hi), num(2*hi)), b.Add(t, rest)), x)
}

// Asin is the arc sine within 4 ULP: atan(x/sqrt(1-x^2)); NaN beyond 1.
func (b *Builder) Asin(x *Value) *Value {
	one := b.Float(x.Type, 1)
	return b.Atan(b.Div(x, b.Unary(OpSqrt, b.Mul(b.Sub(one, x), b.Add(one, x)))))
}

// Acos is the arc cosine within 4 ULP: 2 atan(sqrt((1-x)/(1+x))); NaN beyond 1.
func (b *Builder) Acos(x *Value) *Value {
	one := b.Float(x.Type, 1)
	h := b.Atan(b.Unary(OpSqrt, b.Div(b.Sub(one, x), b.Add(one, x))))
	return b.Add(h, h)
}
