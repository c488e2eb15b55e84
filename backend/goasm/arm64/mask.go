package arm64

import (
	"github.com/nnc-go/nnc/backend/goasm/mach"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// maskConst is a mask with all lanes set or none.
func (s *sel) maskConst(size int, on bool) mach.Reg {
	bits := uint64(0)
	if on {
		bits = ^uint64(0)
	}
	return s.splat(size, 1, bits)
}

// mask is v, a vector of booleans, with lanes of width bytes.
func (s *sel) mask(v *loop.Value, width int) mach.Reg {
	n := v.Type.Lanes
	if n*width > s.Level.VecBytes {
		s.Fail("%d booleans of %d bytes", n, width)
	}
	if bits, ok := s.Constant(v); ok {
		return s.maskConst(n*width, bits&1 == 1)
	}
	r := s.Reg(v)
	have := s.WidthOf(v)
	if have > width {
		return s.narrow(r, n, have, width)
	}
	return s.extend("sxtl", r, n, have, width)
}

// extend widens n lanes of from bytes to some power of two more.
func (s *sel) extend(op string, x mach.Reg, n, from, to int) mach.Reg {
	for ; from < to; from *= 2 {
		x = s.vec(op, shape{logOf(from), 0}, x)
	}
	return x
}

// narrow truncates n lanes of from bytes.
func (s *sel) narrow(x mach.Reg, n, from, to int) mach.Reg {
	for ; from > to; from /= 2 {
		x = s.vec("xtn", shape{logOf(from / 2), 0}, x)
	}
	return x
}

// maskLogic selects and, or, xor and not of vectors of booleans.
func (s *sel) maskLogic(in *loop.Instr) {
	w := s.Common(in.Args...)
	sh := shapeOf(in.Results[0].Type.Lanes, w).octets()
	var args []mach.Reg
	for _, a := range in.Args {
		args = append(args, s.mask(a, w))
	}
	s.SetMask(in, s.vec(bitOps[in.Op], sh, args...), w)
}

// maskBroadcast repeats a scalar boolean.
func (s *sel) maskBroadcast(in *loop.Instr) {
	t := in.Results[0].Type
	w := s.MaskWidth(t)
	g := s.general1("NEG", s.Reg(in.Args[0]))
	s.SetMask(in, s.vec("dup", shapeOf(t.Lanes, w), g), w)
}

// comparison is an instruction that compares vectors; swap exchanges its operands, not inverts its result.
type comparison struct {
	op        string
	swap, not bool
}

// Floats are ordered but for NE, which is true with NaN as the opposite of EQ.
var (
	floatPreds    = [...]comparison{loop.EQ: {op: "fcmeq"}, loop.NE: {op: "fcmeq", not: true}, loop.LT: {op: "fcmgt", swap: true}, loop.LE: {op: "fcmge", swap: true}, loop.GT: {op: "fcmgt"}, loop.GE: {op: "fcmge"}}
	signedPreds   = [...]comparison{loop.EQ: {op: "cmeq"}, loop.NE: {op: "cmeq", not: true}, loop.LT: {op: "cmgt", swap: true}, loop.LE: {op: "cmge", swap: true}, loop.GT: {op: "cmgt"}, loop.GE: {op: "cmge"}}
	unsignedPreds = [...]comparison{loop.EQ: {op: "cmeq"}, loop.NE: {op: "cmeq", not: true}, loop.LT: {op: "cmhi", swap: true}, loop.LE: {op: "cmhs", swap: true}, loop.GT: {op: "cmhi"}, loop.GE: {op: "cmhs"}}
)

func cmpRule(s *sel, in *loop.Instr) {
	t := in.Args[0].Type
	if t.Lanes == 1 {
		cond := s.compareScalars(in)
		s.F.Emit("CSET", mach.Text(cond), mach.W(s.result(in), 0))
		return
	}
	c := unsignedPreds[in.Pred]
	switch {
	case isFloat(t):
		c = floatPreds[in.Pred]
	case isSigned(t):
		c = signedPreds[in.Pred]
	}
	x, y := s.Reg(in.Args[0]), s.Reg(in.Args[1])
	if c.swap {
		x, y = y, x
	}
	sh := s.shape(t)
	r := s.vec(c.op, sh, x, y)
	if c.not {
		r = s.vec("mvn", sh.octets(), r)
	}
	s.SetMask(in, r, t.Elem.Size())
}

func selectRule(s *sel, in *loop.Instr) {
	t := in.Results[0].Type
	switch {
	case t.Lanes == 1:
		s.selectScalar(in)
	case t.Elem == tensor.Bool:
		c, a, b := in.Args[0], in.Args[1], in.Args[2]
		w := s.Common(c, a, b)
		s.SetMask(in, s.blend(in, s.mask(c, w), s.mask(a, w), s.mask(b, w), shapeOf(t.Lanes, w)), w)
	default:
		size := t.Elem.Size()
		s.give(in, s.blend(in, s.mask(in.Args[0], size), s.Reg(in.Args[1]), s.Reg(in.Args[2]), s.shape(t)))
	}
}

// blend takes a where the mask c is set, else b. Of the three instructions for it each writes over another operand; best
// over one that is not needed any more.
func (s *sel) blend(in *loop.Instr, c, a, b mach.Reg, sh shape) mach.Reg {
	last := func(i int) bool {
		_, konst := s.Constant(in.Args[i])
		return s.Uses[in.Args[i]] == 1 && !konst
	}
	op, r, x, y := "bsl", c, a, b
	switch {
	case last(0):
	case last(2):
		op, r, x, y = "bit", b, a, c
	case last(1):
		op, r, x, y = "bif", a, b, c
	}
	r = s.copyOf(r)
	s.neon(op, sh.octets(), 0, r, x, y)
	return r
}
