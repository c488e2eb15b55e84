package llvm

import (
	"fmt"

	"github.com/llir/llvm/ir"
	"github.com/llir/llvm/ir/enum"
	"github.com/llir/llvm/ir/types"
	"github.com/llir/llvm/ir/value"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// rendering is how an operation is written: for floats, signed and unsigned integers (nil where it has
// no such form).
type rendering func(r *renderer, in *loop.Instr, x []value.Value) value.Value

// The operations that reductions use too.
var (
	add     = arith(func(x, y value.Value) inst { return ir.NewFAdd(x, y) }, func(x, y value.Value) inst { return ir.NewAdd(x, y) }, nil)
	mul     = arith(func(x, y value.Value) inst { return ir.NewFMul(x, y) }, func(x, y value.Value) inst { return ir.NewMul(x, y) }, nil)
	minimum = minMax(enum.FPredOLT, "minimum", "smin", "umin")
	maximum = minMax(enum.FPredOGT, "maximum", "smax", "umax")
)

// table is the operations without regions.
var table = map[loop.Op]rendering{
	loop.OpConst: func(r *renderer, in *loop.Instr, _ []value.Value) value.Value {
		return constant(in.Results[0].Type, in.Imm)
	},
	loop.OpAdd: add, loop.OpMul: mul, loop.OpMin: minimum, loop.OpMax: maximum,
	loop.OpSub: arith(func(x, y value.Value) inst { return ir.NewFSub(x, y) }, func(x, y value.Value) inst { return ir.NewSub(x, y) }, nil),
	loop.OpDiv: arith(func(x, y value.Value) inst { return ir.NewFDiv(x, y) }, func(x, y value.Value) inst { return ir.NewSDiv(x, y) }, func(x, y value.Value) inst { return ir.NewUDiv(x, y) }),
	loop.OpRem: arith(nil, func(x, y value.Value) inst { return ir.NewSRem(x, y) }, func(x, y value.Value) inst { return ir.NewURem(x, y) }),
	loop.OpAnd: arith(nil, func(x, y value.Value) inst { return ir.NewAnd(x, y) }, nil),
	loop.OpOr:  arith(nil, func(x, y value.Value) inst { return ir.NewOr(x, y) }, nil),
	loop.OpXor: arith(nil, func(x, y value.Value) inst { return ir.NewXor(x, y) }, nil),
	loop.OpShl: arith(nil, func(x, y value.Value) inst { return ir.NewShl(x, y) }, nil),
	loop.OpShr: arith(nil, func(x, y value.Value) inst { return ir.NewAShr(x, y) }, func(x, y value.Value) inst { return ir.NewLShr(x, y) }),

	loop.OpFMA: intrinsic("fma"), loop.OpSqrt: intrinsic("sqrt"), loop.OpFloor: intrinsic("floor"),
	loop.OpCeil: intrinsic("ceil"), loop.OpTrunc: intrinsic("trunc"), loop.OpRound: intrinsic("roundeven"),

	loop.OpNeg: neg, loop.OpNot: not, loop.OpAbs: abs,
	loop.OpCmp: cmp,
	loop.OpSelect: func(r *renderer, in *loop.Instr, x []value.Value) value.Value {
		t := in.Results[0].Type
		return r.add(ir.NewSelect(x[0], r.opaque(x[1], t), r.opaque(x[2], t)))
	},
	loop.OpConvert: convert,
	loop.OpBitcast: func(r *renderer, in *loop.Instr, x []value.Value) value.Value {
		return r.bitcast(x[0], typeOf(in.Results[0].Type))
	},
	loop.OpBroadcast: func(r *renderer, in *loop.Instr, x []value.Value) value.Value {
		return r.splat(x[0], in.Results[0].Type)
	},
	loop.OpExtract: func(r *renderer, in *loop.Instr, x []value.Value) value.Value {
		return r.add(ir.NewExtractElement(x[0], index32(int(in.Imm))))
	},
	loop.OpShuffle: func(r *renderer, in *loop.Instr, x []value.Value) value.Value {
		return r.shuffle(x[0], x[1], in.Results[0].Type, func(i int) int { return in.Lanes[i] })
	},
	loop.OpReduceAdd: halving(add), loop.OpReduceMul: halving(mul), loop.OpReduceMin: halving(minimum), loop.OpReduceMax: halving(maximum),
	loop.OpIota: func(_ *renderer, in *loop.Instr, _ []value.Value) value.Value {
		return vector(in.Results[0].Type, func(i int) string { return fmt.Sprint(i) })
	},
	loop.OpLoad: load, loop.OpLoadMask: loadMask, loop.OpGather: gather, loop.OpStore: store, loop.OpStoreMask: storeMask, loop.OpPrefetch: prefetch,
	loop.OpDot4: dot4, loop.OpDot2: dot2,
}

func (r *renderer) instr(in *loop.Instr) value.Value {
	f := table[in.Op]
	if f == nil {
		panic(fmt.Sprintf("llvm: no rendering of %v", in.Op))
	}
	return f(r, in, r.vals(in.Args))
}

// arith picks by element type; unsigned nil means the same as signed.
func arith(float, signed, unsigned func(x, y value.Value) inst) rendering {
	return func(r *renderer, in *loop.Instr, x []value.Value) value.Value {
		switch c := in.Results[0].Type.Elem.Class(); {
		case c == tensor.ClassFloat:
			return r.add(float(x[0], x[1]))
		case c == tensor.ClassInt || unsigned == nil:
			return r.add(signed(x[0], x[1]))
		}
		return r.add(unsigned(x[0], x[1]))
	}
}

func intrinsic(name string) rendering {
	return func(r *renderer, in *loop.Instr, x []value.Value) value.Value {
		t := in.Results[0].Type
		return r.call("llvm."+name+"."+mangle(t), typeOf(t), x...)
	}
}

func neg(r *renderer, in *loop.Instr, x []value.Value) value.Value {
	if t := in.Results[0].Type; !t.Elem.IsFloat() {
		return r.add(ir.NewSub(constant(t, 0), x[0]))
	}
	return r.add(ir.NewFNeg(x[0]))
}

func not(r *renderer, in *loop.Instr, x []value.Value) value.Value {
	return r.add(ir.NewXor(x[0], constant(in.Results[0].Type, ^uint64(0))))
}

func abs(r *renderer, in *loop.Instr, x []value.Value) value.Value {
	t := in.Results[0].Type
	if t.Elem.IsFloat() {
		return r.call("llvm.fabs."+mangle(t), typeOf(t), x[0])
	}
	return r.call("llvm.abs."+mangle(t), typeOf(t), x[0], word{types.I1, "false"})
}

// minMax: for floats, the comparison picks y where it is unordered, so NaN of x is all that is left to do. Arm has
// instructions that give NaN if either is.
func minMax(p enum.FPred, float, signed, unsigned string) rendering {
	return func(r *renderer, in *loop.Instr, x []value.Value) value.Value {
		t := in.Results[0].Type
		switch class := t.Elem.Class(); {
		case class == tensor.ClassFloat && r.t.Arch.Name == "arm64":
			return r.call("llvm."+float+"."+mangle(t), typeOf(t), x...)
		case class == tensor.ClassFloat:
			m := r.add(ir.NewSelect(r.add(ir.NewFCmp(p, x[0], x[1])), x[0], x[1]))
			return r.add(ir.NewSelect(r.add(ir.NewFCmp(enum.FPredUNO, x[0], x[0])), x[0], m))
		case class == tensor.ClassInt:
			return r.call("llvm."+signed+"."+mangle(t), typeOf(t), x...)
		}
		return r.call("llvm."+unsigned+"."+mangle(t), typeOf(t), x...)
	}
}

var (
	floatPreds  = map[loop.Pred]enum.FPred{loop.EQ: enum.FPredOEQ, loop.NE: enum.FPredUNE, loop.LT: enum.FPredOLT, loop.LE: enum.FPredOLE, loop.GT: enum.FPredOGT, loop.GE: enum.FPredOGE}
	signedPreds = map[loop.Pred]enum.IPred{loop.EQ: enum.IPredEQ, loop.NE: enum.IPredNE, loop.LT: enum.IPredSLT, loop.LE: enum.IPredSLE, loop.GT: enum.IPredSGT, loop.GE: enum.IPredSGE}
	unsignPreds = map[loop.Pred]enum.IPred{loop.EQ: enum.IPredEQ, loop.NE: enum.IPredNE, loop.LT: enum.IPredULT, loop.LE: enum.IPredULE, loop.GT: enum.IPredUGT, loop.GE: enum.IPredUGE}
)

func cmp(r *renderer, in *loop.Instr, x []value.Value) value.Value {
	switch in.Args[0].Type.Elem.Class() {
	case tensor.ClassFloat:
		return r.add(ir.NewFCmp(floatPreds[in.Pred], x[0], x[1]))
	case tensor.ClassInt:
		return r.add(ir.NewICmp(signedPreds[in.Pred], x[0], x[1]))
	}
	return r.add(ir.NewICmp(unsignPreds[in.Pred], x[0], x[1]))
}

func convert(r *renderer, in *loop.Instr, x []value.Value) value.Value {
	from, to := in.Args[0].Type, in.Results[0].Type
	a, b := x[0], typeOf(to)
	switch {
	case isHalf(from.Elem):
		h := r.bitcast(a, halfType(from.Lanes))
		// Behind a fence: a comparison and choice against a constant would be done on half floats, for which llc has no
		// instructions, and calls fmaxf.
		return r.call("llvm.arithmetic.fence."+mangle(to), b, r.add(ir.NewFPExt(h, b)))
	case isHalf(to.Elem):
		return r.bitcast(r.add(ir.NewFPTrunc(a, halfType(to.Lanes))), b)
	case to.Elem == tensor.BF16:
		return r.bitcast(r.add(ir.NewFPTrunc(a, bfloats(to.Lanes))), b)
	case from.Elem.IsFloat() && to.Elem.IsFloat():
		if from.Elem.Bits() < to.Elem.Bits() {
			return r.add(ir.NewFPExt(a, b))
		}
		return r.add(ir.NewFPTrunc(a, b))
	case from.Elem.IsFloat():
		if to.Elem.Class() == tensor.ClassInt {
			return r.add(ir.NewFPToSI(a, b))
		}
		return r.add(ir.NewFPToUI(a, b))
	case to.Elem.IsFloat():
		if from.Elem.Class() == tensor.ClassInt {
			return r.add(ir.NewSIToFP(a, b))
		}
		return r.add(ir.NewUIToFP(a, b))
	case from.Elem.Bits() == to.Elem.Bits():
		return a
	case from.Elem.Bits() > to.Elem.Bits():
		return r.add(ir.NewTrunc(a, b))
	case from.Elem.Class() == tensor.ClassInt:
		return r.add(ir.NewSExt(a, b))
	}
	return r.add(ir.NewZExt(a, b))
}

func isHalf(d tensor.DType) bool { return d == tensor.F16 }

func halfType(lanes int) types.Type {
	if lanes == 1 {
		return types.Half
	}
	return types.NewVector(uint64(lanes), types.Half)
}

func (r *renderer) bitcast(x value.Value, t types.Type) value.Value {
	if x.Type().Equal(t) {
		return x
	}
	return r.add(ir.NewBitCast(x, t))
}

func index32(i int) value.Value { return word{types.I32, fmt.Sprint(i)} }

func (r *renderer) splat(x value.Value, t loop.Type) value.Value {
	v := r.add(&ir.InstInsertElement{X: word{typeOf(t), "poison"}, Elem: x, Index: index32(0), Typ: typeOf(t).(*types.VectorType)})
	return r.shuffle(v, word{typeOf(t), "poison"}, t, func(int) int { return 0 })
}

func (r *renderer) shuffle(x, y value.Value, t loop.Type, lane func(i int) int) value.Value {
	if t.Lanes == 1 { // LLVM has no vectors of one lane here
		return r.oneLane(x, y, lane(0))
	}
	mask := vector(loop.Type{Elem: tensor.I32, Lanes: t.Lanes}, func(i int) string { return fmt.Sprint(lane(i)) })
	return r.add(&ir.InstShuffleVector{X: x, Y: y, Mask: mask, Typ: typeOf(t).(*types.VectorType)})
}

// halving combines the halves of a vector until one lane is left.
func halving(op rendering) rendering {
	return func(r *renderer, in *loop.Instr, x []value.Value) value.Value {
		v, t := x[0], in.Args[0].Type
		for n := t.Lanes / 2; n > 0; n /= 2 {
			h := loop.Type{Elem: t.Elem, Lanes: n}
			var a, b value.Value
			if n == 1 {
				a, b = r.add(ir.NewExtractElement(v, index32(0))), r.add(ir.NewExtractElement(v, index32(1)))
			} else {
				a = r.shuffle(v, v, h, func(i int) int { return i })
				b = r.shuffle(v, v, h, func(i int) int { return i + n })
			}
			res := []*loop.Value{{Type: h}}
			v = op(r, &loop.Instr{Results: res, Args: []*loop.Value{res[0], res[0]}}, []value.Value{a, b})
		}
		return v
	}
}

// oneLane is lane i of the concatenation of x and y, which may be scalars.
func (r *renderer) oneLane(x, y value.Value, i int) value.Value {
	n := 1
	v, vec := x.Type().(*types.VectorType)
	if vec {
		n = int(v.Len)
	}
	if i >= n {
		x, i = y, i-n
	}
	if !vec {
		return x
	}
	return r.add(ir.NewExtractElement(x, index32(i)))
}

func (r *renderer) addr(b *loop.Buf, idx value.Value) value.Value {
	return r.gep(elemType(b.Elem), r.bufs[b], ptr, idx)
}

func align(b *loop.Buf) ir.Align { return ir.Align(b.Elem.Size()) }

func load(r *renderer, in *loop.Instr, x []value.Value) value.Value {
	return r.add(&ir.InstLoad{ElemType: typeOf(in.Results[0].Type), Src: r.addr(in.Buf, x[0]), Align: align(in.Buf)})
}

func store(r *renderer, in *loop.Instr, x []value.Value) value.Value {
	r.cur.Insts = append(r.cur.Insts, &ir.InstStore{Src: x[1], Dst: r.addr(in.Buf, x[0]), Align: align(in.Buf)})
	return nil
}

// prefetch reads into all caches.
func prefetch(r *renderer, in *loop.Instr, x []value.Value) value.Value {
	r.call("llvm.prefetch.p0", types.Void, r.addr(in.Buf, x[0]), word{types.I32, "0"}, word{types.I32, "3"}, word{types.I32, "1"})
	return nil
}

func alignArg(b *loop.Buf) value.Value { return word{types.I32, fmt.Sprint(b.Elem.Size())} }

func loadMask(r *renderer, in *loop.Instr, x []value.Value) value.Value {
	t := in.Results[0].Type
	return r.call("llvm.masked.load."+mangle(t)+".p0", typeOf(t), r.addr(in.Buf, x[0]), alignArg(in.Buf), x[1], word{typeOf(t), "zeroinitializer"})
}

func storeMask(r *renderer, in *loop.Instr, x []value.Value) value.Value {
	r.call("llvm.masked.store."+mangle(in.Args[1].Type)+".p0", types.Void, x[1], r.addr(in.Buf, x[0]), alignArg(in.Buf), x[2])
	return nil
}

func gather(r *renderer, in *loop.Instr, x []value.Value) value.Value {
	t := in.Results[0].Type
	if t.Lanes == 1 {
		return load(r, in, x)
	}
	at := r.gep(elemType(in.Buf.Elem), r.bufs[in.Buf], vecPtr(t.Lanes), x[0])
	all := constant(loop.Type{Elem: tensor.Bool, Lanes: t.Lanes}, 1)
	return r.call(fmt.Sprintf("llvm.masked.gather.%s.v%dp0", mangle(t), t.Lanes), typeOf(t), at, alignArg(in.Buf), all, word{typeOf(t), "zeroinitializer"})
}
