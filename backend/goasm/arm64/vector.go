package arm64

import (
	"github.com/nnc-go/nnc/backend/goasm/mach"
	"github.com/nnc-go/nnc/ir/loop"
)

// floatOps are the instructions on vectors of floats, by operation. The minimum and the maximum are NaN if either is.
var floatOps = map[loop.Op]string{loop.OpAdd: "fadd", loop.OpSub: "fsub", loop.OpMul: "fmul", loop.OpDiv: "fdiv", loop.OpMin: "fmin", loop.OpMax: "fmax",
	loop.OpNeg: "fneg", loop.OpAbs: "fabs", loop.OpSqrt: "fsqrt", loop.OpFloor: "frintm", loop.OpCeil: "frintp", loop.OpTrunc: "frintz", loop.OpRound: "frintn"}

func (s *sel) vectorFloat(in *loop.Instr) {
	sh := s.shape(in.Results[0].Type)
	if in.Op == loop.OpMul {
		x, y, lane := s.factors(in)
		s.give(in, s.vec("fmul"+lane, sh, x, y))
		return
	}
	var args []mach.Reg
	for _, a := range in.Args {
		args = append(args, s.Reg(a))
	}
	s.give(in, s.vec(floatOps[in.Op], sh, args...))
}

// factors are the operands of a product; the second is the scalar of a broadcast, which multiplies all lanes as
// lane 0, where lane says so.
func (s *sel) factors(in *loop.Instr) (x, y mach.Reg, lane string) {
	a, b := in.Args[0], in.Args[1]
	if s.Fused[a] {
		a, b = b, a
	}
	if s.Fused[b] {
		return s.Reg(a), s.Reg(s.Def[b].Args[0]), " lane"
	}
	return s.Reg(a), s.Reg(b), ""
}

// fmaRule adds to a copy of the addend, which can be the addend itself where it is not needed any more.
func fmaRule(s *sel, in *loop.Instr) {
	t := in.Results[0].Type
	if t.Lanes == 1 {
		a, b, c := s.r(in.Args[0]), s.r(in.Args[1]), s.r(in.Args[2])
		s.F.Emit("FMADD"+scalarSuffix(t), b, c, a, mach.W(s.result(in), 0))
		return
	}
	x, y, lane := s.factors(in)
	r := s.copyOf(s.Reg(in.Args[2]))
	s.neon("fmla"+lane, s.shape(t), 0, r, x, y)
	s.give(in, r)
}

// vectorOps are the instructions on vectors of integers, by operation; those with two are for signed and unsigned elements.
var vectorOps = map[loop.Op][2]string{loop.OpAdd: {"add", "add"}, loop.OpSub: {"sub", "sub"}, loop.OpMul: {"mul", "mul"}, loop.OpNeg: {"neg", "neg"},
	loop.OpMin: {"smin", "umin"}, loop.OpMax: {"smax", "umax"}, loop.OpAbs: {"abs", ""}}

// bitOps are those on bits.
var bitOps = map[loop.Op]string{loop.OpAnd: "and", loop.OpOr: "orr", loop.OpXor: "eor", loop.OpNot: "mvn"}

func (s *sel) vectorInt(in *loop.Instr) {
	t := in.Results[0].Type
	sh, op := s.shape(t), vectorOps[in.Op][0]
	if !isSigned(t) {
		op = vectorOps[in.Op][1]
	}
	switch {
	case in.Op == loop.OpShl || in.Op == loop.OpShr:
		s.shiftVec(in)
		return
	case in.Op == loop.OpMul && sh.log == 3:
		s.give(in, s.mul64(s.Reg(in.Args[0]), s.Reg(in.Args[1])))
		return
	case in.Op == loop.OpAbs && op == "":
		s.give(in, s.Reg(in.Args[0]))
		return
	case bitOps[in.Op] != "":
		op, sh = bitOps[in.Op], sh.octets()
	}
	var args []mach.Reg
	for _, a := range in.Args {
		args = append(args, s.Reg(a))
	}
	s.give(in, s.vec(op, sh, args...))
}

// mul64 multiplies 64-bit lanes by their halves: the two mixed products count from bit 32 on.
func (s *sel) mul64(x, y mach.Reg) mach.Reg {
	words, pair := shape{2, 1}, shape{2, 0}
	mixed := s.vec("mul", words, s.vec("rev64", words, y), x)
	high := s.vecImm("shl", shape{3, 1}, 32, s.vec("uaddlp", words, mixed))
	s.neon("umlal", pair, 0, high, s.vec("xtn", pair, x), s.vec("xtn", pair, y))
	return high
}

// shiftVec shifts by constants, or by vectors; those shift to the right where they are negative.
func (s *sel) shiftVec(in *loop.Instr) {
	t := in.Results[0].Type
	sh, signed := s.shape(t), isSigned(t)
	x := s.Reg(in.Args[0])
	if bits, ok := s.Constant(in.Args[1]); ok {
		n := int(bits & uint64(t.Elem.Bits()-1))
		switch {
		case in.Op == loop.OpShl:
			x = s.vecImm("shl", sh, n, x)
		case n > 0 && signed:
			x = s.vecImm("sshr", sh, n, x)
		case n > 0:
			x = s.vecImm("ushr", sh, n, x)
		}
		s.give(in, x)
		return
	}
	y, op := s.Reg(in.Args[1]), "ushl"
	if in.Op == loop.OpShr {
		y = s.vec("neg", sh, y)
		if signed {
			op = "sshl"
		}
	}
	s.give(in, s.vec(op, sh, x, y))
}

// reduceRule combines the halves of a vector until one lane is left.
func reduceRule(op loop.Op) rule { return func(s *sel, in *loop.Instr) { s.Reduce(in, op) } }

// dot4Rule multiplies as 16-bit numbers, into which the products fit, and adds neighbours twice.
func dot4Rule(s *sel, in *loop.Instr) {
	acc, x, y := in.Args[0], s.Reg(in.Args[1]), s.Reg(in.Args[2])
	n := acc.Type.Lanes
	pairs := func(q uint8) mach.Reg { // q = 1: of the upper 8 bytes
		b := shape{0, q}
		return s.vec("saddlp", shape{1, 1}, s.vec("mul", shape{1, 1}, s.vec("uxtl", b, x), s.vec("sxtl", b, y)))
	}
	lo := pairs(0)
	hi := lo
	if n > 2 {
		hi = pairs(1)
	}
	sums := s.vec("addp", shape{2, 1}, lo, hi)
	if n > 1 {
		s.give(in, s.vec("add", s.shape(acc.Type), sums, s.Reg(acc)))
		return
	}
	g := s.general()
	s.F.Emit("FMOVS", mach.R(sums, 0), mach.W(g, 0))
	s.give(in, s.general2("ADD", g, s.r(acc)))
}
