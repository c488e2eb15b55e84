package amd64

import (
	"math"

	"github.com/nnc-go/nnc/backend/goasm/mach"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// addr is the memory operand of element idx of a buffer.
func (s *sel) addr(b *loop.Buf, idx *loop.Value) mach.Arg {
	base, size := s.Bases[b], int64(b.Elem.Size())
	disp := base.Imm
	for s.Fused[idx] {
		d := s.Def[idx]
		n, _ := s.integer(d.Args[1])
		if next := disp + n*size; next != int64(int32(next)) {
			break
		}
		disp += n * size
		idx = d.Args[0]
	}
	if bits, ok := s.Constant(idx); ok && int64(bits) < math.MaxInt32/8 {
		return mach.Mem(base.Reg, disp+int64(bits)*size)
	}
	return mach.MemX(base.Reg, s.Reg(idx), uint8(size), disp)
}

// scalarMoves are the instructions that load and store scalar integers, by size.
var scalarMoves = map[int]struct{ zero, sign, store string }{
	1: {"MOVBQZX", "MOVBQSX", "MOVB"}, 2: {"MOVWQZX", "MOVWQSX", "MOVW"}, 4: {"MOVL", "MOVLQSX", "MOVL"}, 8: {"MOVQ", "MOVQ", "MOVQ"},
}

func loadRule(s *sel, in *loop.Instr) {
	t := in.Results[0].Type
	at := s.addr(in.Buf, in.Args[0])
	switch {
	case s.classOf(t) == mach.GPR:
		m := scalarMoves[t.Elem.Size()]
		op := m.zero
		if t.Elem.Class() == tensor.ClassInt {
			op = m.sign
		}
		s.F.Emit(op, at, mach.W(s.result(in), 0))
	case s.sizeOf(t) == 2:
		g := s.F.New(mach.GPR, 8)
		s.F.Emit("MOVWLZX", at, mach.W(g, 0))
		s.F.Emit("VMOVD", mach.R(g, 0), mach.W(s.result(in), vX))
	default:
		s.F.Emit(moveOp(s.sizeOf(t)), at, mach.W(s.result(in), s.view(t)))
	}
}

func storeRule(s *sel, in *loop.Instr) {
	v := in.Args[1]
	t := v.Type
	x := s.r(v)
	at := s.addr(in.Buf, in.Args[0])
	switch {
	case s.classOf(t) == mach.GPR:
		s.F.Emit(scalarMoves[t.Elem.Size()].store, x, at)
	case s.sizeOf(t) == 2:
		s.F.Emit("VPEXTRW", mach.Imm(0), x, at)
	default:
		s.F.Emit(moveOp(s.sizeOf(t)), x, at)
	}
}

// maskedMove is the instruction that moves the lanes of a predicate.
var maskedMove = map[tensor.DType]string{tensor.F32: "VMOVUPS", tensor.F64: "VMOVUPD"}

func wideMaskedMove(t loop.Type) string {
	if op := maskedMove[t.Elem]; op != "" {
		return op
	}
	return map[int]string{1: "VMOVDQU8", 2: "VMOVDQU16", 4: "VMOVDQU32", 8: "VMOVDQU64"}[t.Elem.Size()]
}

// narrowMaskedMove is its kind with AVX2, which has them for 4 and 8 bytes.
func narrowMaskedMove(t loop.Type) string {
	switch {
	case t.Elem == tensor.F32:
		return "VMASKMOVPS"
	case t.Elem == tensor.F64:
		return "VMASKMOVPD"
	case t.Elem.Size() == 4:
		return "VPMASKMOVD"
	}
	return "VPMASKMOVQ"
}

// lanesOnly is a mask for a memory access: nothing set beyond the lanes of t.
func (s *sel) lanesOnly(m *loop.Value, t loop.Type) mach.Reg {
	if !s.wide {
		k := s.mask(m, t.Elem.Size())
		if s.sizeOf(t) < 16 {
			r := s.F.New(mach.Vec, 16)
			s.F.Emit("VMOVQ", mach.R(k, vX), mach.W(r, vX))
			return r
		}
		return k
	}
	k := s.Reg(m)
	if s.sizeOf(t) < 16 {
		a, b := s.F.New(mach.Pred, 8), s.F.New(mach.Pred, 8)
		s.F.Emit("KSHIFTLQ", mach.Imm(int64(64-t.Lanes)), mach.R(k, 0), mach.W(a, 0))
		s.F.Emit("KSHIFTRQ", mach.Imm(int64(64-t.Lanes)), mach.R(a, 0), mach.W(b, 0))
		return b
	}
	return k
}

func loadMaskRule(s *sel, in *loop.Instr) {
	t := in.Results[0].Type
	k := s.lanesOnly(in.Args[1], t)
	at := s.addr(in.Buf, in.Args[0])
	if s.wide {
		s.F.Emit(wideMaskedMove(t)+".Z", at, mach.R(k, 0), mach.W(s.result(in), s.view(t)))
		return
	}
	s.F.Emit(narrowMaskedMove(t), at, mach.R(k, s.view(t)), mach.W(s.result(in), s.view(t)))
}

func storeMaskRule(s *sel, in *loop.Instr) {
	t := in.Args[1].Type
	k := s.lanesOnly(in.Args[2], t)
	x := s.r(in.Args[1])
	at := s.addr(in.Buf, in.Args[0])
	if s.wide {
		s.F.Emit(wideMaskedMove(t), x, mach.R(k, 0), at)
		return
	}
	s.F.Emit(narrowMaskedMove(t), x, mach.R(k, s.view(t)), at)
}

// gatherRule: instructions for elements of 4 and 8 bytes by 64-bit indices.
func gatherRule(s *sel, in *loop.Instr) {
	t := in.Results[0].Type
	if t.Lanes == 1 {
		loadRule(s, in)
		return
	}
	op := map[bool][2]string{true: {"VGATHERQPS", "VGATHERQPD"}, false: {"VPGATHERQD", "VPGATHERQQ"}}[isFloat(t)][t.Elem.Size()/8]
	idx := s.Reg(in.Args[0])
	base := s.Bases[in.Buf]
	at := mach.MemX(base.Reg, idx, uint8(t.Elem.Size()), base.Imm)
	at.View = s.view(in.Args[0].Type)
	r := s.result(in)
	z := mach.W(r, vX)
	s.F.Emit(s.xorOp(), z, z, z)
	if s.wide {
		k := s.F.New(mach.Pred, 8)
		s.F.Emit("KXNORQ", mach.W(k, 0), mach.W(k, 0), mach.W(k, 0))
		s.F.Emit(op, at, mach.RW(k, 0), mach.RW(r, s.view(t)))
		return
	}
	ones := s.F.New(mach.Vec, 32)
	w := mach.W(ones, s.view(t))
	s.F.Emit("VPCMPEQD", w, w, w)
	s.F.Emit(op, mach.RW(ones, s.view(t)), at, mach.RW(r, s.view(t)))
}

// broadcastRule repeats a scalar, from memory where that is its only use.
func broadcastRule(s *sel, in *loop.Instr) {
	v, t := in.Args[0], in.Results[0].Type
	if t.Elem == tensor.Bool {
		s.maskBroadcast(in)
		return
	}
	size := t.Elem.Size()
	view := s.view(t)
	if s.Fused[v] {
		d := s.Def[v]
		s.F.Emit(broadcastOp(t.Elem, size, view), s.addr(d.Buf, d.Args[0]), mach.W(s.result(in), view))
		return
	}
	if s.classOf(v.Type) == mach.Vec {
		s.F.Emit(broadcastOp(t.Elem, size, view), s.r(v), mach.W(s.result(in), view))
		return
	}
	g := s.Reg(v)
	if s.wide {
		s.F.Emit("VPBROADCAST"+letter(size), mach.R(g, 0), mach.W(s.result(in), view))
		return
	}
	x := s.F.New(mach.Vec, 16)
	s.F.Emit("VMOVQ", mach.R(g, 0), mach.W(x, vX))
	s.F.Emit("VPBROADCAST"+letter(size), mach.R(x, vX), mach.W(s.result(in), view))
}

func broadcastOp(elem tensor.DType, size int, view uint8) string {
	switch {
	case elem == tensor.F32:
		return "VBROADCASTSS"
	case elem == tensor.F64 && view == vX:
		return "VMOVDDUP"
	case elem == tensor.F64:
		return "VBROADCASTSD"
	}
	return "VPBROADCAST" + letter(size)
}
