package arm64

import (
	"math"

	"github.com/nnc-go/nnc/backend/goasm/mach"
	"github.com/nnc-go/nnc/backend/goasm/selection"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// addr is the memory operand of element idx of a buffer, for an access of size bytes. Constants in the index become
// the displacement; what is left is added to the base once for all accesses that share it. An access alone
// may have base and scaled index.
func (s *sel) addr(b *loop.Buf, idx *loop.Value, size int) mach.Arg {
	base, elem := s.Bases[b], int64(b.Elem.Size())
	root, offset := s.root(idx)
	if n, ok := s.integer(root); ok && s.near(base.Imm, offset+n, elem) {
		return mach.Mem(base.Reg, base.Imm+(offset+n)*elem)
	}
	if !s.near(base.Imm, offset, elem) {
		root, offset = idx, 0
	}
	key, disp := address{b, root}, base.Imm+offset*elem
	r, ok := s.addresses[key]
	switch {
	case !ok && disp == 0 && s.shared[key] < 2 && int(elem) == size:
		return mach.MemX(base.Reg, s.Reg(root), uint8(elem), 0)
	case !ok:
		r = s.general()
		s.F.Emit("ADD", mach.R(s.Reg(root), logOf(int(elem))), mach.R(base.Reg, 0), mach.W(r, 0))
		s.addresses[key] = r
	}
	return mach.Mem(r, disp)
}

// near reports whether a displacement is one that the assembler can add.
func (s *sel) near(at, offset, elem int64) bool {
	limit := int64(math.MaxInt32 / 16)
	return offset < limit && offset > -limit && at+offset*elem < limit
}

// scalarMoves are the instructions that load and store scalar integers, by size.
var scalarMoves = map[int]struct{ zero, sign, store string }{
	1: {"MOVBU", "MOVB", "MOVB"}, 2: {"MOVHU", "MOVH", "MOVH"}, 4: {"MOVWU", "MOVW", "MOVW"}, 8: {"MOVD", "MOVD", "MOVD"},
}

func loadRule(s *sel, in *loop.Instr) {
	t := in.Results[0].Type
	at := s.addr(in.Buf, in.Args[0], s.accessSize(t))
	if classOf(t) == mach.GPR {
		s.loadInt(t.Elem, at, s.result(in))
		return
	}
	s.loadVec(s.sizeOf(t), at, s.result(in))
}

// accessSize is the number of bytes of a value in memory.
func (s *sel) accessSize(t loop.Type) int { return t.Lanes * t.Elem.Size() }

func (s *sel) loadInt(elem tensor.DType, at mach.Arg, r mach.Reg) {
	m := scalarMoves[elem.Size()]
	op := m.zero
	if elem.Class() == tensor.ClassInt {
		op = m.sign
	}
	s.F.Emit(op, at, mach.W(r, 0))
}

// loadVec loads size bytes; two bytes go through a general register.
func (s *sel) loadVec(size int, at mach.Arg, r mach.Reg) {
	if size == 2 {
		g := s.general()
		s.F.Emit("MOVHU", at, mach.W(g, 0))
		s.F.Emit("FMOVS", mach.R(g, 0), mach.W(r, 0))
		return
	}
	s.F.Emit(moveOp(size), at, mach.W(r, 0))
}

func storeRule(s *sel, in *loop.Instr) {
	t, x := in.Args[1].Type, s.Reg(in.Args[1])
	at := s.addr(in.Buf, in.Args[0], s.accessSize(t))
	switch size := s.sizeOf(t); {
	case classOf(t) == mach.GPR:
		s.F.Emit(scalarMoves[t.Elem.Size()].store, mach.R(x, 0), at)
	case size == 2:
		g := s.general()
		s.F.Emit("FMOVS", mach.R(x, 0), mach.W(g, 0))
		s.F.Emit("MOVH", mach.R(g, 0), at)
	default:
		s.F.Emit(moveOp(size), mach.R(x, 0), at)
	}
}

// laneBits puts a mask for elements of type t into a general register, 64/t.Lanes equal bits per lane.
func (s *sel) laneBits(m *loop.Value, t loop.Type) mach.Reg {
	x, w := s.Reg(m), s.WidthOf(m)
	bits := s.general()
	switch {
	case t.Lanes == 16: // shifted right by 4 as 16-bit numbers and narrowed, there are 4 bits of each byte
		x = s.vec("xtn", shape{0, 0}, s.vecImm("ushr", shape{1, 1}, 4, x))
	case t.Lanes*w > 8:
		x = s.narrow(x, t.Lanes, w, 8/t.Lanes)
	case t.Lanes*w < 8:
		x = s.extend("sxtl", x, t.Lanes, w, 8/t.Lanes)
	}
	s.F.Emit("FMOVD", mach.R(x, 0), mach.W(bits, 0))
	return bits
}

// byMask runs all where the mask is set in all lanes, else lane for each that is set.
func (s *sel) byMask(m *loop.Value, t loop.Type, all func(), each func(i int)) {
	bits := s.laneBits(m, t)
	lanes, end := s.F.NewLabel(), s.F.NewLabel()
	s.F.Emit("CMN", mach.Imm(1), mach.R(bits, 0))
	s.branch("BNE", lanes)
	all()
	s.F.Add(&mach.Inst{Op: "JMP", Flow: mach.Jump, Args: []mach.Arg{mach.Label(end)}})
	s.F.Place(lanes)
	for i := range t.Lanes {
		next := s.F.NewLabel()
		s.branch("TBZ", next, mach.Imm(int64(i*64/t.Lanes)), mach.R(bits, 0))
		each(i)
		s.F.Place(next)
	}
	s.F.Place(end)
}

// elementAddr is the address of element idx of a buffer in a register.
func (s *sel) elementAddr(b *loop.Buf, idx *loop.Value) mach.Reg {
	at := s.addr(b, idx, 0)
	if at.Imm == 0 {
		return at.Reg
	}
	r := s.general()
	s.addImm(r, at.Reg, at.Imm)
	return r
}

// lanePointer is the operand of an instruction that loads or stores lane i of a vector at p.
func (s *sel) lanePointer(p mach.Reg, i int, elem tensor.DType) mach.Arg {
	if i == 0 {
		return mach.Mem(p, 0)
	}
	r := s.general()
	s.addImm(r, p, int64(i*elem.Size()))
	return mach.Mem(r, 0)
}

func loadMaskRule(s *sel, in *loop.Instr) {
	t := in.Results[0].Type
	p, r, sh := s.elementAddr(in.Buf, in.Args[0]), s.NewReg(t), s.shape(t)
	s.F.Add(setVec(r, 0, 0, 16))
	s.byMask(in.Args[1], t, func() { s.loadVec(s.sizeOf(t), mach.Mem(p, 0), r) }, func(i int) {
		s.F.Emit("VLD1", s.lanePointer(p, i, t.Elem), mach.RW(r, sh.element(i)))
	})
	s.give(in, r)
}

func storeMaskRule(s *sel, in *loop.Instr) {
	t := in.Args[1].Type
	p, x, sh := s.elementAddr(in.Buf, in.Args[0]), s.Reg(in.Args[1]), s.shape(t)
	s.byMask(in.Args[2], t, func() {
		if s.sizeOf(t) == 2 {
			s.F.Emit("VST1", mach.R(x, shape{1, 1}.element(0)), mach.Mem(p, 0))
			return
		}
		s.F.Emit(moveOp(s.sizeOf(t)), mach.R(x, 0), mach.Mem(p, 0))
	}, func(i int) {
		s.F.Emit("VST1", mach.R(x, sh.element(i)), s.lanePointer(p, i, t.Elem))
	})
}

// gatherRule loads lane by lane.
func gatherRule(s *sel, in *loop.Instr) {
	t := in.Results[0].Type
	if t.Lanes == 1 {
		loadRule(s, in)
		return
	}
	idx, base, r := s.Reg(in.Args[0]), s.Bases[in.Buf], s.NewReg(t)
	if base.Imm != 0 {
		b := s.general()
		s.addImm(b, base.Reg, base.Imm)
		base = mach.Mem(b, 0)
	}
	for i := range t.Lanes {
		n, p := s.general(), s.general()
		s.neon("umov", shape{3, 1}, i, n, idx)
		if i == 0 { // sets all of the register
			s.loadElement(t, mach.MemX(base.Reg, n, uint8(t.Elem.Size()), 0), r)
			continue
		}
		s.F.Emit("ADD", mach.R(n, logOf(t.Elem.Size())), mach.R(base.Reg, 0), mach.W(p, 0))
		s.F.Emit("VLD1", mach.Mem(p, 0), mach.RW(r, s.shape(t).element(i)))
	}
	s.give(in, r)
}

// loadElement loads the first lane of a vector.
func (s *sel) loadElement(t loop.Type, at mach.Arg, r mach.Reg) {
	if size := t.Elem.Size(); size >= 4 {
		s.F.Emit(moveOp(size), at, mach.W(r, 0))
		return
	}
	g := s.general()
	s.F.Emit(scalarMoves[t.Elem.Size()].zero, at, mach.W(g, 0))
	s.F.Emit("FMOVS", mach.R(g, 0), mach.W(r, 0))
}

// broadcastRule repeats a scalar.
func broadcastRule(s *sel, in *loop.Instr) {
	v, t := in.Args[0], in.Results[0].Type
	switch {
	case t.Elem == tensor.Bool:
		s.maskBroadcast(in)
	case classOf(v.Type) == mach.Vec:
		s.give(in, s.vec("dup lane", s.shape(t), s.Reg(v)))
	default:
		s.give(in, s.vec("dup", s.shape(t), s.Reg(v)))
	}
}

// iotaRule is a constant: 0, 1, 2, ...
func iotaRule(s *sel, in *loop.Instr) { s.give(in, s.bytesConst(selection.Iota(in.Results[0].Type))) }
