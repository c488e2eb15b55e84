package opt

import (
	"math/bits"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// rule writes an operation as others that give the same bits. They hold for scalars and vectors alike and need
// not mind the width of a register: what they make is split after them.
type rule struct {
	op   loop.Op
	when func(in *loop.Instr) bool
	make func(b *loop.Builder, in *loop.Instr) *loop.Value
}

// rules are tried in order; one that makes nothing does not apply.
var rules = []rule{
	{loop.OpCmp, compares(isUnsigned), cmpUnsigned},
	{loop.OpMin, gives(isInt), minMaxInt(loop.LT)},
	{loop.OpMax, gives(isInt), minMaxInt(loop.GT)},
	{loop.OpMin, gives(isFloat), minMaxFloat(loop.LT)},
	{loop.OpMax, gives(isFloat), minMaxFloat(loop.GT)},
	{loop.OpAbs, gives(isSigned), absInt},
	{loop.OpAbs, gives(isFloat), absFloat},
	{loop.OpNeg, gives(isInt), func(b *loop.Builder, in *loop.Instr) *loop.Value {
		return b.Sub(b.Bits(in.Args[0].Type, 0), in.Args[0])
	}},
	{loop.OpNeg, gives(isFloat), negFloat},
	{loop.OpNot, always, func(b *loop.Builder, in *loop.Instr) *loop.Value {
		return b.Xor(in.Args[0], ones(b, in.Args[0].Type))
	}},
	{loop.OpShl, vector(isNarrow), shiftInWords},
	{loop.OpShr, vector(isNarrow), shiftInWords},
	{loop.OpShl, gives(isNarrow), widened},
	{loop.OpShr, gives(isNarrow), widened},
	{loop.OpShr, gives(isElem(tensor.I64)), shrI64},
	{loop.OpMul, gives(isNarrow), widened},
	{loop.OpDiv, vector(isInt), divPowerOfTwo},
	{loop.OpDiv, vector(isNarrow), divVia(tensor.F32)},
	{loop.OpDiv, vector(isElem(tensor.I32, tensor.U32)), divVia(tensor.F64)},
	{loop.OpRem, vector(isInt), remPowerOfTwo},
	{loop.OpRem, vector(isInt), func(b *loop.Builder, in *loop.Instr) *loop.Value {
		return b.Sub(in.Args[0], b.Mul(b.Div(in.Args[0], in.Args[1]), in.Args[1]))
	}},
	{loop.OpSelect, gives(isBool), selectBool},
	{loop.OpSelect, gives(isElem(tensor.F16, tensor.BF16)), func(b *loop.Builder, in *loop.Instr) *loop.Value {
		x, y := b.Bitcast(in.Args[1], like(in.Args[1], tensor.U16)), b.Bitcast(in.Args[2], like(in.Args[2], tensor.U16))
		return b.Bitcast(b.Select(in.Args[0], x, y), in.Results[0].Type)
	}},
	{loop.OpBroadcast, gives(isBool), func(b *loop.Builder, in *loop.Instr) *loop.Value {
		return fromBytes(b, b.Broadcast(toBytes(b, in.Args[0]), in.Results[0].Type.Lanes))
	}},
	{loop.OpExtract, gives(isBool), func(b *loop.Builder, in *loop.Instr) *loop.Value {
		return fromBytes(b, b.Extract(toBytes(b, in.Args[0]), int(in.Imm)))
	}},
	{loop.OpShuffle, gives(isBool), func(b *loop.Builder, in *loop.Instr) *loop.Value {
		return fromBytes(b, b.Shuffle(toBytes(b, in.Args[0]), toBytes(b, in.Args[1]), in.Lanes...))
	}},
	{loop.OpShuffle, always, shuffleHalves},
	{loop.OpReduceAdd, always, halve(loop.OpAdd)},
	{loop.OpReduceMul, always, halve(loop.OpMul)},
	{loop.OpReduceMin, always, halve(loop.OpMin)},
	{loop.OpReduceMax, always, halve(loop.OpMax)},
	{loop.OpDot4, always, dot4},
	{loop.OpConvert, sameWidthInts, func(b *loop.Builder, in *loop.Instr) *loop.Value {
		return b.Bitcast(in.Args[0], in.Results[0].Type)
	}},
	{loop.OpConvert, converts(isNarrow, isFloat), convertVia(tensor.I32)},
	{loop.OpConvert, converts(isFloat, isNarrow), convertVia(tensor.I32)},
	{loop.OpConvert, converts(isElem(tensor.F32, tensor.F64), isElem(tensor.U32)), floatToU32},
	{loop.OpConvert, converts(isElem(tensor.U32), isElem(tensor.F32)), u32ToF32},
	{loop.OpConvert, converts(isElem(tensor.U32), isElem(tensor.F64)), u32ToF64},
	{loop.OpConvert, converts(is64, isElem(tensor.F64)), int64ToF64},
	{loop.OpConvert, converts(is64, isElem(tensor.F32)), int64ToF32},
	{loop.OpConvert, converts(isElem(tensor.F32), is64), convertVia(tensor.F64)},
	{loop.OpConvert, converts(isElem(tensor.F64), is64), f64ToInt64},
	{loop.OpConvert, narrows, narrow},
}

// What rules ask of element types.

type elems func(d tensor.DType) bool

func isBool(d tensor.DType) bool     { return d == tensor.Bool }
func isFloat(d tensor.DType) bool    { return d.IsFloat() }
func isInt(d tensor.DType) bool      { return d.IsInt() }
func isSigned(d tensor.DType) bool   { return d.Class() == tensor.ClassInt }
func isUnsigned(d tensor.DType) bool { return d.Class() == tensor.ClassUint }
func isNarrow(d tensor.DType) bool   { return d.IsInt() && d.Bits() <= 16 }
func is64(d tensor.DType) bool       { return d.IsInt() && d.Bits() == 64 }

func isElem(ds ...tensor.DType) elems {
	return func(d tensor.DType) bool {
		for _, e := range ds {
			if d == e {
				return true
			}
		}
		return false
	}
}

func always(*loop.Instr) bool { return true }

func gives(e elems) func(in *loop.Instr) bool {
	return func(in *loop.Instr) bool { return e(in.Results[0].Type.Elem) }
}

func vector(e elems) func(in *loop.Instr) bool {
	return func(in *loop.Instr) bool { return in.Results[0].Type.Lanes > 1 && e(in.Results[0].Type.Elem) }
}

func compares(e elems) func(in *loop.Instr) bool {
	return func(in *loop.Instr) bool { return e(in.Args[0].Type.Elem) }
}

func converts(from, to elems) func(in *loop.Instr) bool {
	return func(in *loop.Instr) bool { return from(in.Args[0].Type.Elem) && to(in.Results[0].Type.Elem) }
}

func sameWidthInts(in *loop.Instr) bool {
	from, to := in.Args[0].Type.Elem, in.Results[0].Type.Elem
	return from.IsInt() && to.IsInt() && from.Bits() == to.Bits()
}

func narrows(in *loop.Instr) bool {
	from, to := in.Args[0].Type, in.Results[0].Type
	return from.Lanes > 1 && from.Elem.IsInt() && to.Elem.IsInt() && from.Elem.Bits() > to.Elem.Bits()
}

// like is v's type with another element.
func like(v *loop.Value, d tensor.DType) loop.Type { return loop.Vec(d, v.Type.Lanes) }

// intOf is the type of v's elements as integers of their width.
func intOf(v *loop.Value) loop.Type {
	return like(v, map[int]tensor.DType{8: tensor.I8, 16: tensor.I16, 32: tensor.I32, 64: tensor.I64}[v.Type.Elem.Bits()])
}

func ones(b *loop.Builder, t loop.Type) *loop.Value {
	if t.Elem == tensor.Bool {
		return b.Bits(t, 1)
	}
	return b.IntOf(t, -1)
}

// topBit is the sign bit of each element.
func topBit(b *loop.Builder, t loop.Type) *loop.Value { return b.Bits(t, 1<<(t.Elem.Bits()-1)) }

// toBytes and fromBytes change a predicate into bytes, 0 or 1, and back.
func toBytes(b *loop.Builder, v *loop.Value) *loop.Value {
	t := like(v, tensor.U8)
	return b.Select(v, b.IntOf(t, 1), b.IntOf(t, 0))
}

func fromBytes(b *loop.Builder, v *loop.Value) *loop.Value {
	return b.Cmp(loop.NE, v, b.IntOf(v.Type, 0))
}

// cmpUnsigned: with the top bits flipped, signed order is unsigned order.
func cmpUnsigned(b *loop.Builder, in *loop.Instr) *loop.Value {
	signed := func(x *loop.Value) *loop.Value {
		if in.Pred != loop.EQ && in.Pred != loop.NE {
			x = b.Xor(x, topBit(b, x.Type))
		}
		return b.Bitcast(x, intOf(x))
	}
	return b.Cmp(in.Pred, signed(in.Args[0]), signed(in.Args[1]))
}

func minMaxInt(p loop.Pred) func(b *loop.Builder, in *loop.Instr) *loop.Value {
	return func(b *loop.Builder, in *loop.Instr) *loop.Value {
		x, y := in.Args[0], in.Args[1]
		return b.Select(b.Cmp(p, x, y), x, y)
	}
}

// minMaxFloat: the comparison picks y where it is unordered, so NaN of x is all that is left to do.
func minMaxFloat(p loop.Pred) func(b *loop.Builder, in *loop.Instr) *loop.Value {
	return func(b *loop.Builder, in *loop.Instr) *loop.Value {
		x, y := in.Args[0], in.Args[1]
		return b.Select(b.Cmp(loop.NE, x, x), x, b.Select(b.Cmp(p, x, y), x, y))
	}
}

func absInt(b *loop.Builder, in *loop.Instr) *loop.Value {
	x, zero := in.Args[0], b.IntOf(in.Args[0].Type, 0)
	return b.Select(b.Cmp(loop.LT, x, zero), b.Sub(zero, x), x)
}

func absFloat(b *loop.Builder, in *loop.Instr) *loop.Value {
	t := intOf(in.Args[0])
	return b.Bitcast(b.And(b.Bitcast(in.Args[0], t), b.Bits(t, 1<<(t.Elem.Bits()-1)-1)), in.Args[0].Type)
}

func negFloat(b *loop.Builder, in *loop.Instr) *loop.Value {
	t := intOf(in.Args[0])
	return b.Bitcast(b.Xor(b.Bitcast(in.Args[0], t), topBit(b, t)), in.Args[0].Type)
}

// widened computes on 8 bits in 16, and on 16 in 32; the low bits are the same.
func widened(b *loop.Builder, in *loop.Instr) *loop.Value {
	wide := map[tensor.DType]tensor.DType{tensor.I8: tensor.I16, tensor.U8: tensor.U16, tensor.I16: tensor.I32, tensor.U16: tensor.U32}
	d := in.Results[0].Type.Elem
	x, y := b.Convert(in.Args[0], wide[d]), b.Convert(in.Args[1], wide[d])
	return b.Convert(b.Emit(&loop.Instr{Op: in.Op, Args: []*loop.Value{x, y}}, x.Type), d)
}

// shrI64 extends the sign after a logical shift: (x>>n ^ m) - m with the sign bit's place m.
func shrI64(b *loop.Builder, in *loop.Instr) *loop.Value {
	t := like(in.Args[0], tensor.U64)
	n := b.Bitcast(in.Args[1], t)
	m := b.Shr(topBit(b, t), n)
	return b.Bitcast(b.Sub(b.Xor(b.Shr(b.Bitcast(in.Args[0], t), n), m), m), in.Args[0].Type)
}

func selectBool(b *loop.Builder, in *loop.Instr) *loop.Value {
	c, x, y := in.Args[0], in.Args[1], in.Args[2]
	return b.Or(b.And(c, x), b.And(b.Not(c), y))
}

// halve reduces by what OpReduceAdd is defined as.
func halve(op loop.Op) func(b *loop.Builder, in *loop.Instr) *loop.Value {
	return func(b *loop.Builder, in *loop.Instr) *loop.Value {
		v := in.Args[0]
		combine := func(x, y *loop.Value) *loop.Value {
			return b.Emit(&loop.Instr{Op: op, Args: []*loop.Value{x, y}}, x.Type)
		}
		for n := v.Type.Lanes / 2; n > 1; n /= 2 {
			v = combine(b.Shuffle(v, v, count(0, n)...), b.Shuffle(v, v, count(n, n)...))
		}
		return combine(b.Extract(v, 0), b.Extract(v, 1))
	}
}

// dot4 takes the bytes of each group out of a 32-bit lane.
func dot4(b *loop.Builder, in *loop.Instr) *loop.Value {
	acc := in.Args[0]
	u32 := like(acc, tensor.U32)
	x, y := b.Bitcast(in.Args[1], u32), b.Bitcast(in.Args[2], acc.Type)
	for j := range 4 {
		xj := b.And(b.Shr(x, b.IntOf(u32, int64(8*j))), b.IntOf(u32, 0xff))
		yj := b.Shr(b.Shl(y, b.IntOf(acc.Type, int64(24-8*j))), b.IntOf(acc.Type, 24))
		acc = b.Add(acc, b.Mul(b.Bitcast(xj, acc.Type), yj))
	}
	return acc
}

// divVia divides integers as floats with more than twice their bits: a quotient below an integer n differs from
// it by 1/divisor at least, more than rounding can add.
func divVia(d tensor.DType) func(b *loop.Builder, in *loop.Instr) *loop.Value {
	return func(b *loop.Builder, in *loop.Instr) *loop.Value {
		return b.Convert(b.Div(b.Convert(in.Args[0], d), b.Convert(in.Args[1], d)), in.Results[0].Type.Elem)
	}
}

// powerOfTwo gives k where v is the constant 2^k.
func powerOfTwo(b *loop.Builder, v *loop.Value) (k int, ok bool) {
	c, ok := b.ConstBits(v)
	k = bits.TrailingZeros64(c)
	return k, ok && c == 1<<k && (isUnsigned(v.Type.Elem) || k < v.Type.Elem.Bits()-1)
}

// towardZero adds 2^k-1 to what is negative, so that a shift by k then rounds to zero as a division does.
func towardZero(b *loop.Builder, x *loop.Value, k int) *loop.Value {
	if isUnsigned(x.Type.Elem) {
		return x
	}
	sign := b.Shr(x, b.IntOf(x.Type, int64(x.Type.Elem.Bits()-1)))
	return b.Add(x, b.And(sign, b.IntOf(x.Type, 1<<k-1)))
}

func divPowerOfTwo(b *loop.Builder, in *loop.Instr) *loop.Value {
	k, ok := powerOfTwo(b, in.Args[1])
	if !ok {
		return nil
	}
	return b.Shr(towardZero(b, in.Args[0], k), b.IntOf(in.Args[0].Type, int64(k)))
}

func remPowerOfTwo(b *loop.Builder, in *loop.Instr) *loop.Value {
	x := in.Args[0]
	k, ok := powerOfTwo(b, in.Args[1])
	switch {
	case !ok:
		return nil
	case isUnsigned(x.Type.Elem):
		return b.And(x, b.IntOf(x.Type, 1<<k-1))
	}
	return b.Sub(x, b.And(towardZero(b, x, k), b.IntOf(x.Type, -1<<k)))
}
