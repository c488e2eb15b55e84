package lower

import (
	"math"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Elementwise division, remainder, shift and power: what integers make hard.

// divisor gives the divisors of an integer division, 0 and -1 replaced by 1, so that no hardware traps, and where they
// were -1. Zeros are errors: checkDivisor runs before the kernel.
func (k *K) divisor(op *ir.Op, d *loop.Value) (safe, minus *loop.Value) {
	if k.C.safeDivisor(op) {
		return d, nil
	}
	one := k.num(d, 1)
	safe = k.Select(k.Cmp(loop.EQ, d, k.num(d, 0)), one, d)
	if d.Type.Elem.Class() != tensor.ClassInt {
		return safe, nil
	}
	minus = k.Cmp(loop.EQ, d, k.num(d, -1))
	return k.Select(minus, one, safe), minus
}

// safeDivisor reports whether the second operand is constant integers other than 0 and -1.
func (c *Ctx) safeDivisor(op *ir.Op) bool {
	d := c.constOf(op.Operands[1])
	if d == nil || !d.DType.IsInt() || d.DType.Size() == 0 {
		return false
	}
	t, err := d.Tensor()
	if err != nil {
		return false
	}
	for i := range t.Len() {
		if v, ok := t.IntAt(i); !ok || v == 0 || v == -1 {
			return false
		}
	}
	return true
}

// mayDivideByZero reports whether op divides integers by what may be zero.
func (c *Ctx) mayDivideByZero(op *ir.Op) bool {
	n := op.Info.Name
	return (n == "Div" || n == "Mod") && op.Operands[1].Type.DType.IsInt() && !c.safeDivisor(op)
}

// checkDivisor emits the steps that fail where an integer division would divide by zero. An operand that is not used,
// because the result is empty, may hold zeros.
func (c *Ctx) checkDivisor(op *ir.Op) error {
	d, bad := op.Operands[1], c.Scratch(ir.TensorType(tensor.I64))
	count := ir.Product(d.Type.Shape).Min(ir.Product(op.Results[0].Type.Shape))
	err := c.Kernel(Step{
		Op: op, Name: "check_divisor", Ins: []*ir.Value{d}, Outs: []*ir.Value{bad}, Par: ir.Const(1), NsPerIter: 10, Bytes: bytesOf(d),
		Build: func(k *K) {
			k.Parallel(func(*loop.Value) {
				k.Store(k.Buf(bad), k.Int(0), k.tally(count, 1, func(at *loop.Value, lanes, _ int) *loop.Value {
					x := k.Load(k.Buf(d), at, lanes)
					return k.Cmp(loop.EQ, x, k.num(x, 0))
				}))
			})
		},
	})
	if err != nil {
		return err
	}
	return c.checkFaults(op, bad, "integer division by zero")
}

// div divides; integers truncate, and MIN / -1 wraps.
func div(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	if x[0].Type.Elem.IsFloat() {
		return k.Div(x[0], x[1]), nil
	}
	d, minus := k.divisor(op, x[1])
	q := k.Div(x[0], d)
	if minus == nil {
		return q, nil
	}
	return k.Select(minus, k.Neg(q), q), nil
}

// mod is the integer remainder with the divisor's sign, or with fmod the dividend's; floats have the latter alone.
func mod(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	fmod := op.Attrs.Int("fmod", 0) != 0
	if x[0].Type.Elem.IsFloat() {
		if !fmod {
			return nil, errDecline
		}
		return k.Fmod(x[0], x[1]), nil
	}
	d, _ := k.divisor(op, x[1]) // that of -1 is 0, as that of 1
	r := k.Rem(x[0], d)
	if fmod || r.Type.Elem.Class() == tensor.ClassUint {
		return r, nil
	}
	zero := k.num(r, 0)
	wrong := k.And(k.Cmp(loop.NE, r, zero), k.Cmp(loop.LT, k.Xor(r, d), zero))
	return k.Select(wrong, k.Add(r, d), r), nil
}

// bitShift gives 0 for a shift by the width or more.
func bitShift(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	v := x[0]
	if v.Type.Elem.Class() != tensor.ClassUint {
		return nil, errDecline
	}
	zero := k.num(v, 0)
	fits := k.Cmp(loop.LT, x[1], k.num(v, float64(v.Type.Elem.Bits())))
	n := k.Select(fits, x[1], zero)
	y := k.Shr(v, n)
	if op.Attrs.Str("direction", "") == "LEFT" {
		y = k.Shl(v, n)
	}
	return k.Select(fits, y, zero), nil
}

// pow computes x^y in x's type. Exponents that are known to be simple make products and roots. Powers of
// integers to integers are exact, modulo 2^width; the others are computed in f64 where f32 does not hold the exponents.
func pow(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	v, y := x[0], x[1]
	d, e := v.Type.Elem, y.Type.Elem
	if e == tensor.Bool || !d.IsFloat() && d != tensor.I32 && d != tensor.I64 {
		return nil, errDecline
	}
	if !d.IsFloat() && e.IsFloat() { // the power is rounded to an integer, and does not wrap
		v = k.CastTo(v, tensor.F64)
	}
	if p, ok := k.simplePower(op, v); ok {
		return k.CastTo(p, d), nil
	}
	switch wide := e.Size() > 2 && e != d; {
	case !d.IsFloat() && !e.IsFloat():
		return k.intPower(v, y), nil
	case d == tensor.F32 && wide, !d.IsFloat():
		return k.CastTo(k.Pow(k.CastTo(v, tensor.F64), k.CastTo(y, tensor.F64)), d), nil
	}
	return k.Pow(v, k.CastTo(y, d)), nil
}

// simplePower is the power by products, a root or a reciprocal, where the exponent is known to be one such number.
func (k *K) simplePower(op *ir.Op, v *loop.Value) (*loop.Value, bool) {
	d := k.C.constOf(op.Operands[1])
	if d == nil || d.Len() != 1 {
		return nil, false
	}
	t, err := d.Tensor()
	if err != nil {
		return nil, false
	}
	n := t.At(0)
	switch n {
	case 1:
		return v, true
	case 2:
		return k.Mul(v, v), true
	case 3:
		return k.Mul(k.Mul(v, v), v), true
	}
	if !v.Type.Elem.IsFloat() {
		return nil, false
	}
	switch n {
	case 0.5:
		return k.halfPower(v), true
	case -0.5:
		return k.Div(k.num(v, 1), k.halfPower(v)), true
	case -1:
		return k.Div(k.num(v, 1), v), true
	}
	return nil, false
}

// halfPower is v to the power 1/2, which differs from the square root of -0 and -Inf.
func (k *K) halfPower(v *loop.Value) *loop.Value {
	r := k.Add(k.Unary(loop.OpSqrt, v), k.num(v, 0))
	return k.Select(k.Cmp(loop.EQ, v, k.num(v, math.Inf(-1))), k.num(v, math.Inf(1)), r)
}

// intPower multiplies squares, as many as the largest exponent of the lanes has bits. A negative exponent makes what the
// reciprocal truncates to: 0 but for 1 and -1, and of 0, which has none, the minimum.
func (k *K) intPower(v, y *loop.Value) *loop.Value {
	neg := k.Xor(k.Cmp(loop.EQ, y, y), k.Cmp(loop.EQ, y, y)) // nowhere
	if y.Type.Elem.Class() == tensor.ClassInt {
		neg = k.Cmp(loop.LT, y, k.num(y, 0))
	}
	e := k.Convert(y, tensor.U64)
	zero, one := k.num(e, 0), k.num(e, 1)
	odd := k.Cmp(loop.NE, k.And(e, one), zero)
	e = k.Select(neg, zero, e)
	most := k.Convert(k.Reduce(loop.OpReduceMax, e), tensor.F64)
	bits := k.AddInt(k.Shr(k.Bitcast(most, loop.Index), k.Int(52)), -1022)
	r := k.For(k.Int(0), bits, 1, []*loop.Value{k.num(v, 1), v, e}, func(_ *loop.Value, a []*loop.Value) []*loop.Value {
		set := k.Cmp(loop.NE, k.And(a[2], one), zero)
		return []*loop.Value{k.Select(set, k.Mul(a[0], a[1]), a[0]), k.Mul(a[1], a[1]), k.Shr(a[2], one)}
	})[0]
	is := func(n float64) *loop.Value { return k.Cmp(loop.EQ, v, k.num(v, n)) }
	least := k.IntOf(v.Type, math.MinInt64>>(64-v.Type.Elem.Bits()))
	back := k.Select(is(0), least, k.num(v, 0))
	back = k.Select(is(1), k.num(v, 1), back)
	back = k.Select(is(-1), k.Select(odd, k.num(v, -1), k.num(v, 1)), back)
	return k.Select(neg, back, r)
}
