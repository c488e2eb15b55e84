package opt

import (
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Conversions that machines lack, by others and arithmetic, each of which is exact or rounds where the conversion does.

// convertVia goes through a type between the two.
func convertVia(d tensor.DType) func(b *loop.Builder, in *loop.Instr) *loop.Value {
	return func(b *loop.Builder, in *loop.Instr) *loop.Value {
		return b.Convert(b.Convert(in.Args[0], d), in.Results[0].Type.Elem)
	}
}

// narrow halves the width of integers: the low halves are every other lane of the same bits.
func narrow(b *loop.Builder, in *loop.Instr) *loop.Value {
	x, to := in.Args[0], in.Results[0].Type.Elem
	half := map[int]tensor.DType{64: tensor.I32, 32: tensor.I16, 16: tensor.I8}[x.Type.Elem.Bits()]
	if half.Bits() != to.Bits() {
		return b.Convert(b.Convert(x, half), to)
	}
	n := x.Type.Lanes
	v := b.Bitcast(x, loop.Vec(to, 2*n))
	lanes := make([]int, n)
	for i := range lanes {
		lanes[i] = 2 * i
	}
	return b.Shuffle(v, v, lanes...)
}

// floatToU32 converts from 2^31 on what is beyond it, and sets the top bit.
func floatToU32(b *loop.Builder, in *loop.Instr) *loop.Value {
	x := in.Args[0]
	half := b.Float(x.Type, 0x1p31)
	big := b.Cmp(loop.GE, x, half)
	low := b.Convert(b.Select(big, b.Sub(x, half), x), tensor.I32)
	r := b.Select(big, b.Xor(low, topBit(b, low.Type)), low)
	return b.Bitcast(r, in.Results[0].Type)
}

// u32ToF32 adds two halves of 16 bits, which are exact, with one rounding.
func u32ToF32(b *loop.Builder, in *loop.Instr) *loop.Value {
	x := in.Args[0]
	f := func(v *loop.Value) *loop.Value { return b.Convert(b.Bitcast(v, like(v, tensor.I32)), tensor.F32) }
	hi := f(b.Shr(x, b.IntOf(x.Type, 16)))
	lo := f(b.And(x, b.IntOf(x.Type, 0xffff)))
	return b.Add(b.Mul(hi, b.Float(hi.Type, 0x1p16)), lo)
}

// u32ToF64 converts x - 2^31, which is signed; all of it is exact.
func u32ToF64(b *loop.Builder, in *loop.Instr) *loop.Value {
	x := in.Args[0]
	s := b.Convert(b.Bitcast(b.Xor(x, topBit(b, x.Type)), like(x, tensor.I32)), tensor.F64)
	return b.Add(s, b.Float(s.Type, 0x1p31))
}

// int64ToF64 puts the halves of 32 bits into the mantissas of 2^52 and 2^84 and adds them without these: the last
// addition alone rounds. A signed high half has 2^31 added, that is 2^63 in the sum.
func int64ToF64(b *loop.Builder, in *loop.Instr) *loop.Value {
	x := in.Args[0]
	u, f := like(x, tensor.U64), like(x, tensor.F64)
	x = b.Bitcast(x, u)
	hi, bias := b.Shr(x, b.IntOf(u, 32)), 0x1p84+0x1p52
	if isSigned(in.Args[0].Type.Elem) {
		hi, bias = b.Xor(hi, b.IntOf(u, 1<<31)), bias+0x1p63
	}
	lo := b.Or(b.And(x, b.IntOf(u, 1<<32-1)), b.Bitcast(b.Float(f, 0x1p52), u))
	hi = b.Or(hi, b.Bitcast(b.Float(f, 0x1p84), u))
	return b.Add(b.Sub(b.Bitcast(hi, f), b.Float(f, bias)), b.Bitcast(lo, f))
}

// int64ToF32 goes through f64, which holds what is below 2^53; of more, the low 11 bits become one that says whether
// there were any: f64 then is exact, and f32 rounds as the integer would.
func int64ToF32(b *loop.Builder, in *loop.Instr) *loop.Value {
	x := in.Args[0]
	num := func(n int64) *loop.Value { return b.IntOf(x.Type, n) }
	sticky := b.And(b.Or(x, b.Add(b.And(x, num(0x7ff)), num(0x7ff))), num(^0x7ff))
	big := b.Cmp(loop.GE, x, num(1<<53))
	if isSigned(x.Type.Elem) {
		big = b.Or(big, b.Cmp(loop.LE, x, num(-1<<53)))
	}
	return b.Convert(b.Convert(b.Select(big, sticky, x), tensor.F64), tensor.F32)
}

// f64ToInt64 splits the truncated number into halves of 32 bits, each of which is added to a number whose last
// place is 1, so that it stands in the mantissa.
func f64ToInt64(b *loop.Builder, in *loop.Instr) *loop.Value {
	x, t := in.Args[0], in.Results[0].Type
	num := func(f float64) *loop.Value { return b.Float(x.Type, f) }
	whole := b.Unary(loop.OpTrunc, x)
	hi := b.Unary(loop.OpFloor, b.Mul(whole, num(0x1p-32)))
	lo := b.Sub(whole, b.Mul(hi, num(0x1p32)))
	place := func(v *loop.Value, magic float64) *loop.Value {
		return b.Sub(b.Bitcast(b.Add(v, num(magic)), t), b.Bitcast(num(magic), t))
	}
	return b.Add(b.Shl(place(hi, 0x1.8p52), b.IntOf(t, 32)), place(lo, 0x1p52))
}
