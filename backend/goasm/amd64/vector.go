package amd64

import (
	"github.com/nnc-go/nnc/backend/goasm/mach"
	"github.com/nnc-go/nnc/backend/goasm/selection"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// rule selects the instructions of an operation.
type rule func(s *sel, in *loop.Instr)

// rules is the table of operations. It is filled by init since rules use it.
var rules map[loop.Op]rule

func init() {
	rules = map[loop.Op]rule{
		loop.OpAdd: arith, loop.OpSub: arith, loop.OpMul: arith, loop.OpDiv: arith, loop.OpRem: arith, loop.OpAnd: arith, loop.OpOr: arith, loop.OpXor: arith,
		loop.OpNot: arith, loop.OpNeg: arith, loop.OpAbs: arith, loop.OpMin: arith, loop.OpMax: arith, loop.OpShl: arith, loop.OpShr: arith,
		loop.OpFMA: fmaRule, loop.OpSqrt: sqrtRule, loop.OpFloor: roundRule(1), loop.OpCeil: roundRule(2), loop.OpTrunc: roundRule(3), loop.OpRound: roundRule(0),
		loop.OpCmp: cmpRule, loop.OpSelect: selectRule, loop.OpConvert: convertRule, loop.OpBitcast: bitcastRule, loop.OpBroadcast: broadcastRule,
		loop.OpExtract: extractRule, loop.OpShuffle: shuffleRule, loop.OpIota: iotaRule,
		loop.OpReduceAdd: reduceRule(loop.OpAdd), loop.OpReduceMul: reduceRule(loop.OpMul), loop.OpReduceMin: reduceRule(loop.OpMin), loop.OpReduceMax: reduceRule(loop.OpMax),
		loop.OpLoad: loadRule, loop.OpStore: storeRule, loop.OpLoadMask: loadMaskRule, loop.OpStoreMask: storeMaskRule, loop.OpGather: gatherRule,
		loop.OpDot4: dot4Rule, loop.OpFor: func(s *sel, in *loop.Instr) { s.Loop(in) }, loop.OpIf: func(s *sel, in *loop.Instr) { s.Cond(in) },
	}
}

// isFloat reports whether a type's arithmetic is that of f32 or f64.
func isFloat(t loop.Type) bool { return t.Elem == tensor.F32 || t.Elem == tensor.F64 }

// floatSuffix is how float instructions call their type: PS, PD, SS, SD.
func floatSuffix(t loop.Type) string {
	s := "P"
	if t.Lanes == 1 {
		s = "S"
	}
	if t.Elem == tensor.F64 {
		return s + "D"
	}
	return s + "S"
}

// arith sorts arithmetic by kind of operand.
func arith(s *sel, in *loop.Instr) {
	switch t := in.Results[0].Type; {
	case isFloat(t):
		s.float(in)
	case t.Lanes == 1:
		scalarInt(s, in)
	case t.Elem == tensor.Bool:
		s.maskLogic(in)
	default:
		s.vectorInt(in)
	}
}

// floatOps are the float instructions that are a plain function of two operands.
var floatOps = map[loop.Op]string{loop.OpAdd: "VADD", loop.OpSub: "VSUB", loop.OpMul: "VMUL", loop.OpDiv: "VDIV", loop.OpMin: "VMIN", loop.OpMax: "VMAX"}

func (s *sel) float(in *loop.Instr) {
	t := in.Results[0].Type
	view := s.view(t)
	switch in.Op {
	case loop.OpNeg:
		s.F.Emit(s.xorOp(), s.r(in.Args[0]), mach.R(s.vecConst(t, signBit(t.Elem)), view), mach.W(s.result(in), view))
	case loop.OpAbs:
		s.F.Emit(s.logic("AND"), s.r(in.Args[0]), mach.R(s.vecConst(t, signBit(t.Elem)-1), view), mach.W(s.result(in), view))
	case loop.OpMin, loop.OpMax:
		s.minMaxFloat(in)
	default:
		x, y := in.Args[0], in.Args[1]
		if s.Fused[x] && (in.Op == loop.OpAdd || in.Op == loop.OpMul) {
			x, y = y, x
		}
		a := s.r(x)
		b, repeat := s.rm(y)
		s.F.Emit(floatOps[in.Op]+floatSuffix(t)+repeat, b, a, mach.W(s.result(in), view))
	}
}

// rm is v as a register or, where it is a load that is fused, as memory; repeat is what the instruction's
// name gets where it repeats one element of memory for all lanes.
func (s *sel) rm(v *loop.Value) (a mach.Arg, repeat string) {
	d := s.Def[v]
	switch {
	case s.Fused[v] && d.Op == loop.OpLoad && s.sizeOf(v.Type) >= 16:
		return s.addr(d.Buf, d.Args[0]), ""
	case s.Fused[v] && d.Op == loop.OpBroadcast:
		d = s.Def[d.Args[0]]
		return s.addr(d.Buf, d.Args[0]), ".BCST"
	}
	return s.r(v), ""
}

func signBit(d tensor.DType) uint64 { return 1 << (d.Bits() - 1) }

// logic is the bitwise instruction for whole vectors.
func (s *sel) logic(op string) string {
	if s.wide {
		return "VP" + op + "Q"
	}
	return "VP" + op
}

// minMaxFloat: the instruction gives its second operand where either is NaN, so that NaN of the first
// is all that is left to do.
func (s *sel) minMaxFloat(in *loop.Instr) {
	t := in.Results[0].Type
	view := s.view(t)
	a, b := s.r(in.Args[0]), s.r(in.Args[1])
	m := s.NewReg(t)
	s.F.Emit(floatOps[in.Op]+floatSuffix(t), b, a, mach.W(m, view))
	const unordered = 3
	if s.wide {
		k := s.F.New(mach.Pred, 8)
		s.F.Emit("VCMP"+floatSuffix(t), mach.Imm(unordered), a, a, mach.W(k, 0))
		s.F.Emit("VBLENDMP"+floatSuffix(t)[1:], a, mach.R(m, view), mach.R(k, 0), mach.W(s.result(in), view))
		return
	}
	k := s.NewReg(t)
	s.F.Emit("VCMP"+floatSuffix(t), mach.Imm(unordered), a, a, mach.W(k, view))
	s.F.Emit("VBLENDVP"+floatSuffix(t)[1:], mach.R(k, view), a, mach.R(m, view), mach.W(s.result(in), view))
}

// fmaRule: the instruction writes over one of its operands; best over one that is not needed any more.
func fmaRule(s *sel, in *loop.Instr) {
	t := in.Results[0].Type
	view, suffix := s.view(t), floatSuffix(t)
	a, b, c := in.Args[0], in.Args[1], in.Args[2]
	if s.Fused[a] || s.Uses[b] == 1 && s.Uses[a] != 1 && !s.Fused[b] {
		a, b = b, a
	}
	_, konst := s.Constant(c)
	if (s.Uses[c] > 1 || konst) && s.Uses[a] == 1 && !s.Fused[a] && !s.isConst(a) { // a = a*b + c
		rb := s.r(b)
		rc := s.r(c)
		r := s.copyOf(a)
		s.F.Emit("VFMADD213"+suffix, rc, rb, mach.RW(r, view))
		s.Regs[in.Results[0]] = r
		return
	}
	x := s.r(a)
	y, repeat := s.rm(b)
	r := s.copyOf(c)
	s.F.Emit("VFMADD231"+suffix+repeat, y, x, mach.RW(r, view))
	s.Regs[in.Results[0]] = r
}

func (s *sel) isConst(v *loop.Value) bool { _, ok := s.Constant(v); return ok }

func sqrtRule(s *sel, in *loop.Instr) {
	t := in.Results[0].Type
	x := s.r(in.Args[0])
	if t.Lanes == 1 {
		s.F.Emit("VSQRT"+floatSuffix(t), x, x, mach.W(s.result(in), vX))
		return
	}
	s.F.Emit("VSQRT"+floatSuffix(t), x, mach.W(s.result(in), s.view(t)))
}

// roundRule rounds to an integer in the given mode, without raising exceptions.
func roundRule(mode int64) rule {
	return func(s *sel, in *loop.Instr) {
		t := in.Results[0].Type
		op := "VROUND"
		if s.wide {
			op = "VRNDSCALE"
		}
		x := s.r(in.Args[0])
		args := []mach.Arg{mach.Imm(mode | 8), x, mach.W(s.result(in), s.view(t))}
		if t.Lanes == 1 {
			args = []mach.Arg{mach.Imm(mode | 8), x, x, args[2]}
		}
		s.F.Emit(op+floatSuffix(t), args...)
	}
}

// vectorInt selects arithmetic on vectors of integers.
func (s *sel) vectorInt(in *loop.Instr) {
	t := in.Results[0].Type
	view, l := s.view(t), letter(t.Elem.Size())
	x := s.r(in.Args[0])
	switch in.Op {
	case loop.OpNeg:
		s.F.Emit("VPSUB"+l, x, mach.R(s.vecConst(t, 0), view), mach.W(s.result(in), view))
	case loop.OpNot:
		s.F.Emit(s.xorOp(), x, mach.R(s.vecConst(t, ^uint64(0)), view), mach.W(s.result(in), view))
	case loop.OpAbs:
		if t.Elem.Class() != tensor.ClassInt {
			s.Regs[in.Results[0]] = x.Reg
			return
		}
		s.F.Emit("VPABS"+l, x, mach.W(s.result(in), view))
	case loop.OpShl, loop.OpShr:
		s.shiftVec(in)
	case loop.OpMul:
		if t.Elem.Size() == 8 && !s.wide {
			s.multiply64(in)
			return
		}
		fallthrough
	default:
		y := s.r(in.Args[1])
		s.F.Emit(s.vecOp(in.Op, t), y, x, mach.W(s.result(in), view))
	}
}

// multiply64 is the product of vectors of 64-bit integers on AVX2, by products of their halves.
func (s *sel) multiply64(in *loop.Instr) {
	view := s.view(in.Results[0].Type)
	x, y := s.r(in.Args[0]), s.r(in.Args[1])
	op := func(name string, a, b mach.Arg) mach.Arg {
		r := s.NewReg(in.Results[0].Type)
		s.F.Emit(name, a, b, mach.W(r, view))
		return mach.R(r, view)
	}
	cross := op("VPADDQ", op("VPMULUDQ", op("VPSRLQ", mach.Imm(32), x), y), op("VPMULUDQ", op("VPSRLQ", mach.Imm(32), y), x))
	s.F.Emit("VPADDQ", op("VPSLLQ", mach.Imm(32), cross), op("VPMULUDQ", x, y), mach.W(s.result(in), view))
}

// vecOp is the instruction for two vectors of integers.
func (s *sel) vecOp(op loop.Op, t loop.Type) string {
	l := letter(t.Elem.Size())
	sign := "U"
	if t.Elem.Class() == tensor.ClassInt {
		sign = "S"
	}
	switch op {
	case loop.OpAdd:
		return "VPADD" + l
	case loop.OpSub:
		return "VPSUB" + l
	case loop.OpMul:
		return "VPMULL" + l
	case loop.OpMin:
		return "VPMIN" + sign + l
	case loop.OpMax:
		return "VPMAX" + sign + l
	case loop.OpAnd:
		return s.logic("AND")
	case loop.OpOr:
		return s.logic("OR")
	case loop.OpXor:
		return s.xorOp()
	}
	s.Fail("%v of %v", op, t)
	return ""
}

func (s *sel) shiftVec(in *loop.Instr) {
	t := in.Results[0].Type
	op := "VPSLL"
	if in.Op == loop.OpShr {
		op = "VPSRL"
		if t.Elem.Class() == tensor.ClassInt {
			op = "VPSRA"
		}
	}
	x, view := s.r(in.Args[0]), s.view(t)
	if n, ok := s.Constant(in.Args[1]); ok {
		s.F.Emit(op+letter(t.Elem.Size()), mach.Imm(int64(n)), x, mach.W(s.result(in), view))
		return
	}
	y := s.r(in.Args[1])
	s.F.Emit(op+"V"+letter(t.Elem.Size()), y, x, mach.W(s.result(in), view))
}

// iotaRule loads 0, 1, 2, ...
func iotaRule(s *sel, in *loop.Instr) {
	s.Regs[in.Results[0]] = s.bytesConst(selection.Iota(in.Results[0].Type))
}

// reduceRule combines the halves of a vector until one lane is left.
func reduceRule(op loop.Op) rule { return func(s *sel, in *loop.Instr) { s.Reduce(in, op) } }

// bytesConst is a register with the given bytes, loaded where the kernel begins.
func (s *sel) bytesConst(b []byte) mach.Reg {
	at := s.pool.Add(b)
	if r, ok := s.byteConsts[at.Sym]; ok && s.F.Size(r) == len(b) {
		return r
	}
	r := s.F.New(mach.Vec, len(b))
	s.byteConsts[at.Sym] = r
	s.Entry = append(s.Entry, &mach.Inst{Op: moveOp(len(b)), Args: []mach.Arg{at, mach.W(r, viewOf(len(b)))}, Remat: true})
	return r
}

// dot4Rule multiplies even and odd bytes apart, as 16-bit numbers, so that nothing saturates.
func dot4Rule(s *sel, in *loop.Instr) {
	t := in.Results[0].Type
	u, b := s.r(in.Args[1]), s.r(in.Args[2])
	size := 4 * t.Lanes
	view := viewOf(size)
	low := s.vecConst(loop.Vec(tensor.U16, size/2), 0xff)
	op := func(name string, args ...mach.Arg) mach.Arg {
		r := s.F.New(mach.Vec, size)
		s.F.Emit(name, append(args, mach.W(r, view))...)
		return mach.R(r, view)
	}
	ue, uo := op(s.logic("AND"), mach.R(low, view), u), op("VPSRLW", mach.Imm(8), u)
	be, bo := op("VPSRAW", mach.Imm(8), op("VPSLLW", mach.Imm(8), b)), op("VPSRAW", mach.Imm(8), b)
	sum := op("VPADDD", op("VPMADDWD", be, ue), op("VPMADDWD", bo, uo))
	if t.Lanes == 1 { // the accumulator is in a general register
		r := s.NewReg(t)
		s.F.Emit("VMOVD", sum, mach.W(r, 0))
		s.F.Emit("ADDQ", s.r(in.Args[0]), mach.RW(r, 0))
		s.Regs[in.Results[0]] = r
		return
	}
	s.F.Emit("VPADDD", sum, s.r(in.Args[0]), mach.W(s.result(in), view))
}
