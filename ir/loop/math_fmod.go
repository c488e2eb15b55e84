package loop

import (
	"math"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// fmodBits is how many bits of the quotient a step of Fmod's division makes: mantissas have 53 bits and products 63.
const fmodBits = 10

// Fmod is the exact remainder of x/y with the sign of x, as C's fmod: NaN where x is infinite or y is 0. It is a long
// division of mantissas; the number of its steps is what the lane with the largest quotient needs.
func (b *Builder) Fmod(x, y *Value) *Value {
	if d := x.Type.Elem; d != tensor.F64 {
		return b.Convert(b.Fmod(b.Convert(x, tensor.F64), b.Convert(y, tensor.F64)), d)
	}
	it := like(x.Type, tensor.I64)
	num := func(n int64) *Value { return b.IntOf(it, n) }
	a, c := b.Unary(OpAbs, x), b.Unary(OpAbs, y)
	ma, ea := b.mantissa(a)
	mc, ec := b.mantissa(c)
	mc = b.Select(b.Cmp(EQ, mc, num(0)), num(1), mc)
	left := b.Max(b.Sub(ea, ec), num(0))
	steps := b.Div(b.AddInt(b.Reduce(OpReduceMax, left), fmodBits-1), b.Int(fmodBits))
	r := b.For(b.Int(0), steps, 1, []*Value{b.Rem(ma, mc), left}, func(_ *Value, v []*Value) []*Value {
		n := b.Min(v[1], num(fmodBits))
		return []*Value{b.Rem(b.Shl(v[0], n), mc), b.Sub(v[1], n)}
	})[0]
	// r has up to 53 bits, more than smallToF64 takes.
	f := b.FMA(b.smallToF64(b.Shr(r, num(26))), b.Float(x.Type, 0x1p26), b.smallToF64(b.And(r, num(1<<26-1))))
	f = b.copySign(b.scale(f, b.Sub(ec, num(1075))), x)
	f = b.Select(b.Cmp(LT, a, c), x, f)
	valid := b.And(b.Cmp(LT, a, b.Float(x.Type, math.Inf(1))), b.Cmp(GT, c, b.Float(x.Type, 0)))
	return b.Select(valid, f, b.Float(x.Type, math.NaN()))
}

// mantissa splits finite f64 a >= 0 into m*2^(e-1075) with an integer m below 2^53.
func (b *Builder) mantissa(a *Value) (m, e *Value) {
	it := like(a.Type, tensor.I64)
	num := func(n int64) *Value { return b.IntOf(it, n) }
	bits := b.Bitcast(a, it)
	e = b.Shr(bits, num(52))
	m = b.And(bits, num(1<<52-1))
	normal := b.Cmp(NE, e, num(0))
	return b.Select(normal, b.Or(m, num(1<<52)), m), b.Select(normal, e, num(1))
}
