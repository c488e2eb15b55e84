package arm64

import (
	"math/bits"

	"github.com/nnc-go/nnc/backend/goasm/mach"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Scalar integers are in general registers. Above the bits of their type there may be anything;
// what depends on it extends them first. Booleans are 0 or 1.

// extended is v as 64 bits, extended as its type says.
func (s *sel) extended(v *loop.Value) mach.Reg {
	if n, ok := s.integer(v); ok {
		r := s.general()
		s.setInt(r, n)
		return r
	}
	src := s.Reg(v)
	op := map[tensor.DType]string{tensor.I8: "MOVB", tensor.U8: "MOVBU", tensor.I16: "MOVH", tensor.U16: "MOVHU", tensor.I32: "MOVW", tensor.U32: "MOVWU"}[v.Type.Elem]
	if op == "" {
		return src
	}
	return s.general1(op, src)
}

// general1 is the result of an instruction of one operand in general registers.
func (s *sel) general1(op string, x mach.Reg) mach.Reg {
	r := s.general()
	s.F.Emit(op, mach.R(x, 0), mach.W(r, 0))
	return r
}

// general2 is x op y.
func (s *sel) general2(op string, x mach.Reg, y mach.Arg) mach.Reg {
	r := s.general()
	s.F.Emit(op, y, mach.R(x, 0), mach.W(r, 0))
	return r
}

// addImm sets dst to src plus a constant.
func (s *sel) addImm(dst, src mach.Reg, n int64) {
	op := "ADD"
	if n < 0 {
		op, n = "SUB", -n
	}
	s.F.Emit(op, mach.Imm(n), mach.R(src, 0), mach.W(dst, 0))
}

// intOps are the instructions that are a plain function of two general registers.
var intOps = map[loop.Op]string{loop.OpAdd: "ADD", loop.OpSub: "SUB", loop.OpMul: "MUL", loop.OpAnd: "AND", loop.OpOr: "ORR", loop.OpXor: "EOR"}

// scalarInt selects arithmetic on scalar integers and booleans.
func (s *sel) scalarInt(in *loop.Instr) {
	x := in.Args[0]
	switch in.Op {
	case loop.OpNot:
		if x.Type.Elem == tensor.Bool {
			s.give(in, s.general2("EOR", s.Reg(x), mach.Imm(1)))
		} else {
			s.give(in, s.general1("MVN", s.Reg(x)))
		}
	case loop.OpNeg:
		s.give(in, s.general1("NEG", s.Reg(x)))
	case loop.OpAbs:
		s.absInt(in)
	case loop.OpShl, loop.OpShr:
		s.shiftInt(in)
	case loop.OpDiv, loop.OpRem:
		s.divInt(in)
	case loop.OpMin, loop.OpMax:
		s.minMaxInt(in)
	case loop.OpAdd, loop.OpSub, loop.OpMul:
		if !s.byConst(in) {
			s.give(in, s.general2(intOps[in.Op], s.Reg(x), s.r(in.Args[1])))
		}
	default:
		s.give(in, s.general2(intOps[in.Op], s.Reg(x), s.r(in.Args[1])))
	}
}

// byConst selects sums, differences and products with a constant that need no register for it.
func (s *sel) byConst(in *loop.Instr) bool {
	x, y := in.Args[0], in.Args[1]
	if _, ok := s.integer(x); ok && in.Op != loop.OpSub {
		x, y = y, x
	}
	n, ok := s.integer(y)
	switch {
	case !ok:
		return false
	case in.Op == loop.OpMul:
		if n <= 0 || n&(n-1) != 0 {
			return false
		}
		s.give(in, s.general2("LSL", s.Reg(x), mach.Imm(int64(bits.TrailingZeros64(uint64(n))))))
		return true
	case in.Op == loop.OpSub:
		n = -n
	}
	if n < -1<<24 || n > 1<<24 {
		return false
	}
	src := s.Reg(x)
	s.addImm(s.result(in), src, n)
	return true
}

func (s *sel) absInt(in *loop.Instr) {
	x := s.extended(in.Args[0])
	if !isSigned(in.Results[0].Type) {
		s.give(in, x)
		return
	}
	n, r := s.general1("NEG", x), s.result(in)
	s.F.Emit("CMP", mach.Imm(0), mach.R(x, 0))
	s.csel("CSEL", "LT", n, x, r)
}

// csel sets r to a where a condition holds, else to b.
func (s *sel) csel(op, cond string, a, b, r mach.Reg) {
	s.F.Emit(op, mach.Text(cond), mach.R(a, 0), mach.R(b, 0), mach.W(r, 0))
}

func (s *sel) shiftInt(in *loop.Instr) {
	op, x := "LSL", in.Args[0]
	src := s.Reg
	if in.Op == loop.OpShr {
		op, src = "LSR", s.extended
		if isSigned(x.Type) {
			op = "ASR"
		}
	}
	if n, ok := s.integer(in.Args[1]); ok {
		s.give(in, s.general2(op, src(x), mach.Imm(n&63)))
		return
	}
	s.give(in, s.general2(op, src(x), s.r(in.Args[1])))
}

func (s *sel) divInt(in *loop.Instr) {
	if s.divConst(in) {
		return
	}
	op := "UDIV"
	if isSigned(in.Results[0].Type) {
		op = "SDIV"
	}
	var x, y mach.Reg
	if in.Results[0].Type.Elem.Bits() == 32 {
		op, x, y = op+"W", s.Reg(in.Args[0]), s.Reg(in.Args[1])
	} else {
		x, y = s.extended(in.Args[0]), s.extended(in.Args[1])
	}
	q := s.general2(op, x, mach.R(y, 0))
	if in.Op == loop.OpDiv {
		s.give(in, q)
		return
	}
	s.multiplySub(s.result(in), x, q, y)
}

// multiplySub sets r to x - q*y.
func (s *sel) multiplySub(r, x, q, y mach.Reg) {
	s.F.Emit("MSUB", mach.R(y, 0), mach.R(x, 0), mach.R(q, 0), mach.W(r, 0))
}

// divConst divides a signed 64-bit integer by a constant above 1: by shifting, or by the high half of a product.
func (s *sel) divConst(in *loop.Instr) bool {
	d, ok := s.integer(in.Args[1])
	if !ok || d < 2 || in.Results[0].Type != loop.Index {
		return false
	}
	x := s.Reg(in.Args[0])
	power, k := d&(d-1) == 0, int64(bits.TrailingZeros64(uint64(d)))
	var q mach.Reg
	if power {
		sign := s.general2("ASR", x, mach.Imm(63))
		low := s.general2("LSR", sign, mach.Imm(64-k))
		q = s.general2("ASR", s.general2("ADD", x, mach.R(low, 0)), mach.Imm(k))
	} else {
		q = s.divMagic(x, d)
	}
	switch {
	case in.Op == loop.OpDiv:
		s.give(in, q)
	case power:
		s.give(in, s.general2("SUB", x, mach.R(s.general2("LSL", q, mach.Imm(k)), 0)))
	default:
		y := s.general()
		s.setInt(y, d)
		s.multiplySub(s.result(in), x, q, y)
	}
	return true
}

// divMagic is x/d.
func (s *sel) divMagic(x mach.Reg, d int64) mach.Reg {
	m, shift := mach.Magic(d)
	c := s.general()
	s.setInt(c, m)
	q := s.general2("SMULH", x, mach.R(c, 0))
	if m < 0 {
		q = s.general2("ADD", q, mach.R(x, 0))
	}
	if shift > 0 {
		q = s.general2("ASR", q, mach.Imm(shift))
	}
	return s.general2("SUB", q, mach.R(s.general2("ASR", x, mach.Imm(63)), 0))
}

// Conditions of the flags by comparison, for signed and unsigned integers, and for floats, which are unordered where
// one is NaN. The opposite of a condition is that of the flags.
var (
	signedCC   = [...]string{loop.EQ: "EQ", loop.NE: "NE", loop.LT: "LT", loop.LE: "LE", loop.GT: "GT", loop.GE: "GE"}
	unsignedCC = [...]string{loop.EQ: "EQ", loop.NE: "NE", loop.LT: "LO", loop.LE: "LS", loop.GT: "HI", loop.GE: "HS"}
	floatCC    = [...]string{loop.EQ: "EQ", loop.NE: "NE", loop.LT: "MI", loop.LE: "LS", loop.GT: "GT", loop.GE: "GE"}
	opposite   = map[string]string{"EQ": "NE", "NE": "EQ", "LT": "GE", "GE": "LT", "LE": "GT", "GT": "LE", "LO": "HS", "HS": "LO", "LS": "HI", "HI": "LS", "MI": "PL"}
)

func cc(t loop.Type, p loop.Pred) string {
	switch {
	case isFloat(t):
		return floatCC[p]
	case isSigned(t):
		return signedCC[p]
	}
	return unsignedCC[p]
}

// compare sets the flags by an integer and v. Of narrow types both are extended.
func (s *sel) compare(t loop.Type, x mach.Reg, v *loop.Value) {
	op := "CMP"
	if t.Elem.Bits() == 32 {
		op += "W"
	}
	n, ok := s.small(v)
	switch {
	case ok && n >= 0:
		s.F.Emit(op, mach.Imm(n), mach.R(x, 0))
	case ok:
		s.F.Emit("CMN"+op[3:], mach.Imm(-n), mach.R(x, 0))
	case t.Elem.Bits() < 32:
		s.F.Emit(op, mach.R(s.extended(v), 0), mach.R(x, 0))
	default:
		s.F.Emit(op, s.r(v), mach.R(x, 0))
	}
}

// compareScalars sets the flags by a comparison, and gives the condition that says whether it holds.
func (s *sel) compareScalars(cmp *loop.Instr) string {
	x, y := cmp.Args[0], cmp.Args[1]
	t := x.Type
	switch {
	case isFloat(t):
		s.F.Emit("FCMP"+scalarSuffix(t), s.r(y), s.r(x))
	case t.Elem.Bits() < 32:
		s.compare(t, s.extended(x), y)
	default:
		s.compare(t, s.Reg(x), y)
	}
	return cc(t, cmp.Pred)
}

// flags sets the flags so that the condition that it gives says whether c holds.
func (s *sel) flags(c *loop.Value) string {
	if s.Fused[c] {
		return s.compareScalars(s.Def[c])
	}
	s.F.Emit("CMP", mach.Imm(0), s.r(c))
	return "NE"
}

// Unless jumps where c does not hold.
func (s *sel) Unless(c *loop.Value, label int) {
	if !s.Fused[c] {
		s.branch("CBZ", label, s.r(c))
		return
	}
	s.branch("B"+opposite[s.compareScalars(s.Def[c])], label)
}

func (s *sel) minMaxInt(in *loop.Instr) {
	t := in.Results[0].Type
	a, b := s.extended(in.Args[0]), s.extended(in.Args[1])
	p := loop.LT
	if in.Op == loop.OpMax {
		p = loop.GT
	}
	s.F.Emit("CMP", mach.R(b, 0), mach.R(a, 0))
	s.csel("CSEL", cc(t, p), a, b, s.result(in))
}

// scalarSuffix ends the names of instructions on f32 and f64.
func scalarSuffix(t loop.Type) string {
	if t.Elem == tensor.F64 {
		return "D"
	}
	return "S"
}

// scalarFloats are the instructions on floats, by operation.
var scalarFloats = map[loop.Op]string{loop.OpAdd: "FADD", loop.OpSub: "FSUB", loop.OpMul: "FMUL", loop.OpDiv: "FDIV", loop.OpMin: "FMIN", loop.OpMax: "FMAX",
	loop.OpNeg: "FNEG", loop.OpAbs: "FABS", loop.OpSqrt: "FSQRT", loop.OpFloor: "FRINTM", loop.OpCeil: "FRINTP", loop.OpTrunc: "FRINTZ", loop.OpRound: "FRINTN"}

func (s *sel) scalarFloat(in *loop.Instr) {
	op := scalarFloats[in.Op] + scalarSuffix(in.Results[0].Type)
	args := []mach.Arg{s.r(in.Args[0])}
	if len(in.Args) > 1 {
		args = []mach.Arg{s.r(in.Args[1]), args[0]}
	}
	s.F.Emit(op, append(args, mach.W(s.result(in), 0))...)
}

// selectScalar chooses between scalars.
func (s *sel) selectScalar(in *loop.Instr) {
	t := in.Results[0].Type
	a, b := s.Reg(in.Args[1]), s.Reg(in.Args[2])
	op := "CSEL"
	if isFloat(t) {
		op = "FCSEL" + scalarSuffix(t)
	}
	cond := s.flags(in.Args[0])
	s.csel(op, cond, a, b, s.result(in))
}
