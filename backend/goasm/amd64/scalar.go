package amd64

import (
	"math/bits"

	"github.com/nnc-go/nnc/backend/goasm/mach"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Scalar integers are in general registers. Above the bits of their type there may be anything;
// what depends on it extends them first.

// extended is v as 64 bits, extended as its type says.
func (s *sel) extended(v *loop.Value) mach.Reg {
	src := s.Reg(v)
	if _, ok := s.Constant(v); ok {
		if n, ok := s.integer(v); ok {
			s.setInt(src, n)
		}
		return src
	}
	op := map[tensor.DType]string{tensor.I8: "MOVBQSX", tensor.U8: "MOVBQZX", tensor.I16: "MOVWQSX", tensor.U16: "MOVWQZX", tensor.F16: "MOVWQZX", tensor.BF16: "MOVWQZX",
		tensor.I32: "MOVLQSX", tensor.U32: "MOVL"}[v.Type.Elem]
	if op == "" {
		return src
	}
	r := s.F.New(mach.GPR, 8)
	s.F.Emit(op, mach.R(src, 0), mach.W(r, 0))
	return r
}

// scalarInt selects arithmetic on scalar integers and booleans.
func scalarInt(s *sel, in *loop.Instr) {
	x := in.Args[0]
	switch in.Op {
	case loop.OpAdd:
		s.addInt(in)
	case loop.OpSub:
		s.twoAddress(in, "SUBQ")
	case loop.OpMul:
		s.mulInt(in)
	case loop.OpAnd:
		s.twoAddress(in, "ANDQ")
	case loop.OpOr:
		s.twoAddress(in, "ORQ")
	case loop.OpXor:
		s.twoAddress(in, "XORQ")
	case loop.OpNot:
		r := s.copyOf(x)
		if x.Type.Elem == tensor.Bool {
			s.F.Emit("XORQ", mach.Imm(1), mach.RW(r, 0))
		} else {
			s.F.Emit("NOTQ", mach.RW(r, 0))
		}
		s.Regs[in.Results[0]] = r
	case loop.OpNeg:
		r := s.copyOf(x)
		s.F.Emit("NEGQ", mach.RW(r, 0))
		s.Regs[in.Results[0]] = r
	case loop.OpAbs:
		s.absInt(in)
	case loop.OpShl, loop.OpShr:
		s.shiftInt(in)
	case loop.OpDiv, loop.OpRem:
		s.divInt(in)
	case loop.OpMin, loop.OpMax:
		s.minMaxInt(in)
	default:
		s.Fail("scalar %v", in.Op)
	}
}

func (s *sel) addInt(in *loop.Instr) {
	x, y := in.Args[0], in.Args[1]
	if _, ok := s.integer(x); ok {
		x, y = y, x
	}
	if n, ok := s.integer(y); ok {
		a := s.Reg(x)
		s.F.Emit("LEAQ", mach.Mem(a, n), mach.W(s.result(in), 0))
		return
	}
	a, b := s.Reg(x), s.Reg(y)
	s.F.Emit("LEAQ", mach.MemX(a, b, 1, 0), mach.W(s.result(in), 0))
}

// twoAddress selects an instruction that writes over its first operand.
func (s *sel) twoAddress(in *loop.Instr, op string) {
	src := s.limit(in.Args[1])
	r := s.copyOf(in.Args[0])
	s.F.Emit(op, src, mach.RW(r, 0))
	s.Regs[in.Results[0]] = r
}

func (s *sel) mulInt(in *loop.Instr) {
	x, y := in.Args[0], in.Args[1]
	if _, ok := s.integer(x); ok {
		x, y = y, x
	}
	n, ok := s.integer(y)
	switch {
	case ok && n > 0 && n&(n-1) == 0:
		r := s.copyOf(x)
		s.F.Emit("SHLQ", mach.Imm(int64(bits.TrailingZeros64(uint64(n)))), mach.RW(r, 0))
		s.Regs[in.Results[0]] = r
	case ok && (n == 3 || n == 5 || n == 9):
		a := s.Reg(x)
		s.F.Emit("LEAQ", mach.MemX(a, a, uint8(n-1), 0), mach.W(s.result(in), 0))
	case ok:
		a := s.Reg(x)
		s.F.Emit("IMUL3Q", mach.Imm(n), mach.R(a, 0), mach.W(s.result(in), 0))
	default:
		b := s.r(y)
		r := s.copyOf(x)
		s.F.Emit("IMULQ", b, mach.RW(r, 0))
		s.Regs[in.Results[0]] = r
	}
}

// absInt: (x ^ m) - m with m the sign.
func (s *sel) absInt(in *loop.Instr) {
	x := s.extended(in.Args[0])
	sign, r := s.F.New(mach.GPR, 8), s.result(in)
	s.Move(loop.Index, sign, x)
	s.F.Emit("SARQ", mach.Imm(63), mach.RW(sign, 0))
	s.Move(loop.Index, r, x)
	s.F.Emit("XORQ", mach.R(sign, 0), mach.RW(r, 0))
	s.F.Emit("SUBQ", mach.R(sign, 0), mach.RW(r, 0))
}

func (s *sel) shiftInt(in *loop.Instr) {
	signed := in.Results[0].Type.Elem.Class() == tensor.ClassInt
	op := "SHL"
	if in.Op == loop.OpShr {
		op = "SHR"
		if signed {
			op = "SAR"
		}
	}
	x := s.Reg(in.Args[0])
	if in.Op == loop.OpShr {
		x = s.extended(in.Args[0])
	}
	if n, ok := s.integer(in.Args[1]); ok {
		r := s.result(in)
		s.Move(loop.Index, r, x)
		s.F.Emit(op+"Q", mach.Imm(n&63), mach.RW(r, 0))
		return
	}
	n := s.Reg(in.Args[1])
	s.F.Emit(op+"XQ", mach.R(n, 0), mach.R(x, 0), mach.W(s.result(in), 0))
}

// divInt divides in 64 bits: quotient in AX, remainder in DX.
func (s *sel) divInt(in *loop.Instr) {
	if s.divConst(in) {
		return
	}
	x, y := s.extended(in.Args[0]), s.extended(in.Args[1])
	ax, dx := s.F.Fixed(mach.GPR, 8, rAX), s.F.Fixed(mach.GPR, 8, rDX)
	d := s.F.New(mach.GPR, 8)
	s.Move(loop.Index, d, y)
	s.Move(loop.Index, ax, x)
	if in.Results[0].Type.Elem.Class() == tensor.ClassInt {
		s.F.Emit("CQO", hidden(ax, mach.Use), hidden(dx, mach.Def))
		s.F.Emit("IDIVQ", mach.R(d, 0), hidden(ax, mach.UseDef), hidden(dx, mach.UseDef))
	} else {
		s.F.Emit("XORL", mach.W(dx, 0), mach.W(dx, 0))
		s.F.Emit("DIVQ", mach.R(d, 0), hidden(ax, mach.UseDef), hidden(dx, mach.UseDef))
	}
	if in.Op == loop.OpDiv {
		s.Move(loop.Index, s.result(in), ax)
	} else {
		s.Move(loop.Index, s.result(in), dx)
	}
}

// hidden is a register that an instruction uses without naming it.
func hidden(r mach.Reg, m mach.Mode) mach.Arg {
	return mach.Arg{Reg: r, Mode: m, Hidden: true}
}

// divConst divides a signed 64-bit integer by a constant above 1: by shifting, or by the high half of a product
// (Warren, Hacker's Delight, 10-1).
func (s *sel) divConst(in *loop.Instr) bool {
	d, ok := s.integer(in.Args[1])
	if !ok || d < 2 || in.Results[0].Type != loop.Index {
		return false
	}
	x := s.Reg(in.Args[0])
	q := s.F.New(mach.GPR, 8)
	if d&(d-1) == 0 {
		k := int64(bits.TrailingZeros64(uint64(d)))
		s.Move(loop.Index, q, x)
		s.F.Emit("SARQ", mach.Imm(63), mach.RW(q, 0))
		s.F.Emit("SHRQ", mach.Imm(64-k), mach.RW(q, 0))
		s.F.Emit("ADDQ", mach.R(x, 0), mach.RW(q, 0))
		s.F.Emit("SARQ", mach.Imm(k), mach.RW(q, 0))
	} else {
		s.divMagic(q, x, d)
	}
	if in.Op == loop.OpDiv {
		s.Regs[in.Results[0]] = q
		return true
	}
	r, t := s.result(in), s.F.New(mach.GPR, 8)
	if d&(d-1) == 0 {
		s.Move(loop.Index, t, q)
		s.F.Emit("SHLQ", mach.Imm(int64(bits.TrailingZeros64(uint64(d)))), mach.RW(t, 0))
	} else {
		s.F.Emit("IMUL3Q", mach.Imm(d), mach.R(q, 0), mach.W(t, 0))
	}
	s.Move(loop.Index, r, x)
	s.F.Emit("SUBQ", mach.R(t, 0), mach.RW(r, 0))
	return true
}

// divMagic sets q to x/d.
func (s *sel) divMagic(q, x mach.Reg, d int64) {
	m, shift := mach.Magic(d)
	ax, dx := s.F.Fixed(mach.GPR, 8, rAX), s.F.Fixed(mach.GPR, 8, rDX)
	s.setIntPlain(ax, m)
	s.F.Emit("IMULQ", mach.R(x, 0), hidden(ax, mach.UseDef), hidden(dx, mach.Def))
	s.Move(loop.Index, q, dx)
	if m < 0 {
		s.F.Emit("ADDQ", mach.R(x, 0), mach.RW(q, 0))
	}
	s.F.Emit("SARQ", mach.Imm(shift), mach.RW(q, 0))
	t := s.F.New(mach.GPR, 8)
	s.Move(loop.Index, t, x)
	s.F.Emit("SARQ", mach.Imm(63), mach.RW(t, 0))
	s.F.Emit("SUBQ", mach.R(t, 0), mach.RW(q, 0))
}

// Conditions of the flags by comparison, for signed and unsigned integers.
var (
	signedCC   = [...]string{loop.EQ: "EQ", loop.NE: "NE", loop.LT: "LT", loop.LE: "LE", loop.GT: "GT", loop.GE: "GE"}
	unsignedCC = [...]string{loop.EQ: "EQ", loop.NE: "NE", loop.LT: "CS", loop.LE: "LS", loop.GT: "HI", loop.GE: "CC"}
	negated    = [...]loop.Pred{loop.EQ: loop.NE, loop.NE: loop.EQ, loop.LT: loop.GE, loop.LE: loop.GT, loop.GT: loop.LE, loop.GE: loop.LT}
)

func cc(t loop.Type, p loop.Pred) string {
	if t.Elem.Class() == tensor.ClassInt {
		return signedCC[p]
	}
	return unsignedCC[p]
}

// compare sets the flags by x and y.
func (s *sel) compare(t loop.Type, x, y mach.Arg) {
	op := "CMPQ"
	if t.Elem.Bits() == 32 {
		op = "CMPL"
	}
	if y.Kind == mach.KImm && y.Imm == 0 && x.Kind == mach.KReg {
		s.F.Emit(map[string]string{"CMPQ": "TESTQ", "CMPL": "TESTL"}[op], x, x)
		return
	}
	s.F.Emit(op, x, y)
}

// compareInts sets the flags by a comparison of scalar integers.
func (s *sel) compareInts(cmp *loop.Instr) {
	x, y := cmp.Args[0], cmp.Args[1]
	if x.Type.Elem.Bits() >= 32 || x.Type.Elem == tensor.Bool {
		b := s.limit(y)
		if b.Kind == mach.KImm && x.Type.Elem.Bits() == 32 {
			b.Imm = int64(int32(b.Imm))
		}
		s.compare(x.Type, s.r(x), b)
		return
	}
	a, b := s.extended(x), s.extended(y)
	s.compare(loop.Index, mach.R(a, 0), mach.R(b, 0))
}

// flags sets the flags so that the condition that it gives says whether c holds.
func (s *sel) flags(c *loop.Value) string {
	if d := s.Def[c]; d != nil && d.Op == loop.OpCmp && s.Fused[c] {
		s.compareInts(d)
		return cc(d.Args[0].Type, d.Pred)
	}
	r := s.Reg(c)
	s.F.Emit("TESTB", mach.R(r, 0), mach.R(r, 0))
	return "NE"
}

// Unless jumps where c does not hold.
func (s *sel) Unless(c *loop.Value, label int) {
	if d := s.Def[c]; d != nil && d.Op == loop.OpCmp && s.Fused[c] {
		s.compareInts(d)
		s.branch("J"+cc(d.Args[0].Type, negated[d.Pred]), label)
		return
	}
	s.flags(c)
	s.branch("JEQ", label)
}

// setFlag is the result of a comparison as 0 or 1.
func (s *sel) setFlag(in *loop.Instr, cond string) {
	r := s.result(in)
	t := s.F.New(mach.GPR, 8)
	s.F.Emit("SET"+cond, mach.W(t, 0))
	s.F.Emit("MOVBLZX", mach.R(t, 0), mach.W(r, 0))
}

func (s *sel) minMaxInt(in *loop.Instr) {
	x, y := in.Args[0], in.Args[1]
	a, b := s.extended(x), s.extended(y)
	r := s.result(in)
	s.Move(loop.Index, r, a)
	p := loop.LT
	if in.Op == loop.OpMin {
		p = loop.GT
	}
	s.F.Emit("CMPQ", mach.R(r, 0), mach.R(b, 0))
	s.F.Emit("CMOVQ"+cc(x.Type, p), mach.R(b, 0), mach.RW(r, 0))
}

// selectInt chooses between scalar integers.
func (s *sel) selectInt(in *loop.Instr) {
	a := s.Reg(in.Args[1])
	r := s.copyOf(in.Args[2])
	cond := s.flags(in.Args[0])
	s.F.Emit("CMOVQ"+cond, mach.R(a, 0), mach.RW(r, 0))
	s.Regs[in.Results[0]] = r
}
