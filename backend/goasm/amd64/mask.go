package amd64

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
	return s.vecConst(loop.Vec(tensor.U8, size), bits)
}

// mask is v, a vector of booleans, with lanes of width bytes (AVX2).
func (s *sel) mask(v *loop.Value, width int) mach.Reg {
	n := v.Type.Lanes
	if bits, ok := s.Constant(v); ok {
		return s.maskConst(n*width, bits&1 == 1)
	}
	r := s.Reg(v)
	have := s.WidthOf(v)
	if have == width {
		return r
	}
	if width > have {
		d := s.F.New(mach.Vec, n*width)
		s.F.Emit("VPMOVSX"+letter(have)+letter(width), mach.R(r, viewOf(n*have)), mach.W(d, viewOf(n*width)))
		return d
	}
	return s.narrow(r, n, have, width)
}

// maskLogic selects and, or, xor and not of vectors of booleans.
func (s *sel) maskLogic(in *loop.Instr) {
	op := map[loop.Op]string{loop.OpAnd: "AND", loop.OpOr: "OR", loop.OpXor: "XOR"}[in.Op]
	if s.wide {
		x := s.r(in.Args[0])
		if in.Op == loop.OpNot {
			s.F.Emit("KNOTQ", x, mach.W(s.result(in), 0))
			return
		}
		s.F.Emit("K"+op+"Q", s.r(in.Args[1]), x, mach.W(s.result(in), 0))
		return
	}
	w := s.Common(in.Args...)
	n := in.Results[0].Type.Lanes
	view := viewOf(n * w)
	r := s.F.New(mach.Vec, n*w)
	x := mach.R(s.mask(in.Args[0], w), view)
	if in.Op == loop.OpNot {
		s.F.Emit("VPXOR", x, mach.R(s.maskConst(n*w, true), view), mach.W(r, view))
	} else {
		s.F.Emit("VP"+op, mach.R(s.mask(in.Args[1], w), view), x, mach.W(r, view))
	}
	s.SetMask(in, r, w)
}

// maskBroadcast repeats a scalar boolean.
func (s *sel) maskBroadcast(in *loop.Instr) {
	t := in.Results[0].Type
	g := s.F.New(mach.GPR, 8)
	s.Move(loop.Index, g, s.Reg(in.Args[0]))
	s.F.Emit("NEGQ", mach.RW(g, 0))
	if s.wide {
		s.F.Emit("KMOVQ", mach.R(g, 0), mach.W(s.result(in), 0))
		return
	}
	w := s.MaskWidth(t)
	x, r := s.F.New(mach.Vec, 16), s.F.New(mach.Vec, w*t.Lanes)
	s.F.Emit("VMOVQ", mach.R(g, 0), mach.W(x, vX))
	s.F.Emit("VPBROADCASTQ", mach.R(x, vX), mach.W(r, viewOf(w*t.Lanes)))
	s.SetMask(in, r, w)
}

// floatPreds are the comparison codes of VCMPPS: quiet, ordered but for NE.
var floatPreds = [...]int64{loop.EQ: 0, loop.NE: 4, loop.LT: 0x11, loop.LE: 0x12, loop.GT: 0x1e, loop.GE: 0x1d}

// intPreds are those of VPCMP.
var intPreds = [...]int64{loop.EQ: 0, loop.NE: 4, loop.LT: 1, loop.LE: 2, loop.GT: 6, loop.GE: 5}

func cmpRule(s *sel, in *loop.Instr) {
	t := in.Args[0].Type
	switch {
	case isFloat(t) && t.Lanes == 1:
		s.cmpScalarFloat(in)
	case t.Lanes == 1:
		s.compareInts(in)
		s.setFlag(in, cc(t, in.Pred))
	case t.Elem == tensor.Bool:
		s.cmpMasks(in)
	case isFloat(t):
		s.cmpFloats(in)
	case s.wide:
		op := "VPCMP"
		if t.Elem.Class() != tensor.ClassInt {
			op = "VPCMPU"
		}
		x, y := s.r(in.Args[0]), s.r(in.Args[1])
		s.F.Emit(op+letter(t.Elem.Size()), mach.Imm(intPreds[in.Pred]), y, x, mach.W(s.result(in), 0))
	default:
		s.cmpInts(in)
	}
}

func (s *sel) cmpScalarFloat(in *loop.Instr) {
	t := in.Args[0].Type
	x, y := s.r(in.Args[0]), s.r(in.Args[1])
	r := s.result(in)
	if s.wide {
		k := s.F.New(mach.Pred, 8)
		s.F.Emit("VCMP"+floatSuffix(t), mach.Imm(floatPreds[in.Pred]), y, x, mach.W(k, 0))
		s.F.Emit("KMOVB", mach.R(k, 0), mach.W(r, 0))
		return
	}
	m := s.F.New(mach.Vec, 16)
	s.F.Emit("VCMP"+floatSuffix(t), mach.Imm(floatPreds[in.Pred]), y, x, mach.W(m, vX))
	g := s.F.New(mach.GPR, 8)
	s.F.Emit("VMOVQ", mach.R(m, vX), mach.W(g, 0))
	s.Move(loop.Index, r, g)
	s.F.Emit("ANDQ", mach.Imm(1), mach.RW(r, 0))
}

func (s *sel) cmpFloats(in *loop.Instr) {
	t := in.Args[0].Type
	x, y := s.r(in.Args[0]), s.r(in.Args[1])
	op := "VCMP" + floatSuffix(t)
	if s.wide {
		s.F.Emit(op, mach.Imm(floatPreds[in.Pred]), y, x, mach.W(s.result(in), 0))
		return
	}
	r := s.F.New(mach.Vec, s.sizeOf(t))
	s.F.Emit(op, mach.Imm(floatPreds[in.Pred]), y, x, mach.W(r, s.view(t)))
	s.SetMask(in, r, t.Elem.Size())
}

// cmpInts: AVX2 compares for equality and, as signed numbers, for greater; unsigned ones are
// compared with their sign bits flipped.
func (s *sel) cmpInts(in *loop.Instr) {
	t := in.Args[0].Type
	x, y := s.Reg(in.Args[0]), s.Reg(in.Args[1])
	view, size := s.view(t), s.sizeOf(t)
	op, p := "VPCMPGT", in.Pred
	switch p {
	case loop.EQ, loop.NE:
		op = "VPCMPEQ"
	default:
		if t.Elem.Class() != tensor.ClassInt {
			x, y = s.flipSigns(x, t), s.flipSigns(y, t)
		}
		if p == loop.LT || p == loop.GE {
			x, y = y, x
		}
	}
	r := s.F.New(mach.Vec, size)
	s.F.Emit(op+letter(t.Elem.Size()), mach.R(y, view), mach.R(x, view), mach.W(r, view))
	if p == loop.NE || p == loop.LE || p == loop.GE {
		n := s.F.New(mach.Vec, size)
		s.F.Emit("VPXOR", mach.R(r, view), mach.R(s.maskConst(size, true), view), mach.W(n, view))
		r = n
	}
	s.SetMask(in, r, t.Elem.Size())
}

func (s *sel) flipSigns(x mach.Reg, t loop.Type) mach.Reg {
	r := s.F.New(mach.Vec, s.sizeOf(t))
	s.F.Emit("VPXOR", mach.R(x, s.view(t)), mach.R(s.vecConst(t, signBit(t.Elem)), s.view(t)), mach.W(r, s.view(t)))
	return r
}

// cmpMasks compares vectors of booleans: x == y is not (x xor y), and so on.
func (s *sel) cmpMasks(in *loop.Instr) {
	t := in.Results[0].Type
	x, y := in.Args[0], in.Args[1]
	not := func(v *loop.Value) *loop.Value {
		return s.Synth(&loop.Instr{Op: loop.OpNot, Args: []*loop.Value{v}}, t)
	}
	both := func(op loop.Op, a, b *loop.Value) *loop.Value {
		return s.Synth(&loop.Instr{Op: op, Args: []*loop.Value{a, b}}, t)
	}
	var r *loop.Value
	switch in.Pred {
	case loop.EQ:
		r = not(both(loop.OpXor, x, y))
	case loop.NE:
		r = both(loop.OpXor, x, y)
	case loop.LT:
		r = both(loop.OpAnd, not(x), y)
	case loop.GT:
		r = both(loop.OpAnd, x, not(y))
	case loop.LE:
		r = both(loop.OpOr, not(x), y)
	case loop.GE:
		r = both(loop.OpOr, x, not(y))
	}
	s.Regs[in.Results[0]] = s.Regs[r]
	if w, ok := s.Width[r]; ok {
		s.Width[in.Results[0]] = w
	}
}

func selectRule(s *sel, in *loop.Instr) {
	t := in.Results[0].Type
	switch {
	case s.classOf(t) == mach.GPR:
		s.selectInt(in)
	case t.Elem == tensor.Bool:
		s.selectMask(in)
	case s.minMaxSelect(in):
	case t.Lanes == 1:
		s.selectFloat(in)
	default:
		s.selectVec(in)
	}
}

// minMaxSelect selects x<y ? x : y and the like as one instruction, which gives its second operand where the
// comparison is false, with NaN as well.
func (s *sel) minMaxSelect(in *loop.Instr) bool {
	op, first, second := minMaxOf(s.Def[in.Args[0]], in)
	if op == "" {
		return false
	}
	t := in.Results[0].Type
	a, b := s.r(first), s.r(second)
	s.F.Emit(op+floatSuffix(t), b, a, mach.W(s.result(in), s.view(t)))
	return true
}

// minMaxOf recognises a selection by a comparison of the same values.
func minMaxOf(c, in *loop.Instr) (op string, first, second *loop.Value) {
	if c == nil || c.Op != loop.OpCmp || !isFloat(c.Args[0].Type) || c.Pred != loop.LT && c.Pred != loop.GT {
		return "", nil, nil
	}
	x, y, a, b := c.Args[0], c.Args[1], in.Args[1], in.Args[2]
	less := c.Pred == loop.LT
	switch {
	case a == x && b == y: // x<y ? x : y
	case a == y && b == x: // x<y ? y : x = y>x ? y : x
		x, y, less = y, x, !less
	default:
		return "", nil, nil
	}
	if less {
		return "VMIN", x, y
	}
	return "VMAX", x, y
}

func (s *sel) selectVec(in *loop.Instr) {
	t := in.Results[0].Type
	view, size := s.view(t), t.Elem.Size()
	a, b := s.r(in.Args[1]), s.r(in.Args[2])
	if s.wide {
		k := s.r(in.Args[0])
		op := "VPBLENDM" + letter(size)
		if isFloat(t) {
			op = "VBLENDM" + floatSuffix(t)
		}
		s.F.Emit(op, a, b, k, mach.W(s.result(in), view))
		return
	}
	k := mach.R(s.mask(in.Args[0], size), view)
	op := map[int]string{1: "VPBLENDVB", 2: "VPBLENDVB", 4: "VBLENDVPS", 8: "VBLENDVPD"}[size]
	s.F.Emit(op, k, a, b, mach.W(s.result(in), view))
}

// selectFloat chooses between float scalars: by a comparison of floats, of which only the mask is needed, or by a boolean in a general
// register.
func (s *sel) selectFloat(in *loop.Instr) {
	t := in.Results[0].Type
	a, b := s.r(in.Args[1]), s.r(in.Args[2])
	op, k, view := "VBLENDVP", s.F.New(mach.Vec, 16), vX
	if s.wide {
		op, k, view = "VBLENDMP", s.F.New(mach.Pred, 8), 0
	}
	if d := s.Def[in.Args[0]]; s.Fused[in.Args[0]] && d.Op == loop.OpCmp && isFloat(d.Args[0].Type) {
		x, y := s.r(d.Args[0]), s.r(d.Args[1])
		s.F.Emit("VCMP"+floatSuffix(d.Args[0].Type), mach.Imm(floatPreds[d.Pred]), y, x, mach.W(k, view))
	} else {
		s.maskOf(k, s.Reg(in.Args[0]))
	}
	op += floatSuffix(t)[1:]
	if s.wide {
		s.F.Emit(op, a, b, mach.R(k, 0), mach.W(s.result(in), vX))
		return
	}
	s.F.Emit(op, mach.R(k, vX), a, b, mach.W(s.result(in), vX))
}

// maskOf makes k the mask of a boolean in a general register, for one lane.
func (s *sel) maskOf(k, c mach.Reg) {
	if s.wide {
		s.F.Emit("KMOVB", mach.R(c, 0), mach.W(k, 0))
		return
	}
	g := s.F.New(mach.GPR, 8)
	s.Move(loop.Index, g, c)
	s.F.Emit("NEGQ", mach.RW(g, 0))
	s.F.Emit("VMOVQ", mach.R(g, 0), mach.W(k, vX))
}

// selectMask chooses between vectors of booleans.
func (s *sel) selectMask(in *loop.Instr) {
	c, a, b := in.Args[0], in.Args[1], in.Args[2]
	if !s.wide {
		w := s.Common(c, a, b)
		n := in.Results[0].Type.Lanes
		view := viewOf(n * w)
		r := s.F.New(mach.Vec, n*w)
		s.F.Emit("VPBLENDVB", mach.R(s.mask(c, w), view), mach.R(s.mask(a, w), view), mach.R(s.mask(b, w), view), mach.W(r, view))
		s.SetMask(in, r, w)
		return
	}
	kc, ka, kb := s.r(c), s.r(a), s.r(b)
	x, y := s.F.New(mach.Pred, 8), s.F.New(mach.Pred, 8)
	s.F.Emit("KANDQ", ka, kc, mach.W(x, 0))
	s.F.Emit("KANDNQ", kb, kc, mach.W(y, 0))
	s.F.Emit("KORQ", mach.R(x, 0), mach.R(y, 0), mach.W(s.result(in), 0))
}
