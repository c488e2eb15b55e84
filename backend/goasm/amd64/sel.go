package amd64

import (
	"encoding/binary"

	"github.com/nnc-go/nnc/backend/goasm/mach"
	"github.com/nnc-go/nnc/backend/goasm/selection"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// sel selects the instructions of one kernel.
type sel struct {
	selection.Selector
	wide bool // AVX-512
	pool *mach.Pool

	consts     map[constKey]mach.Reg
	byteConsts map[string]mach.Reg
}

type constKey struct {
	t    loop.Type
	bits uint64
}

// selectFunc turns a kernel into machine instructions.
func selectFunc(f *loop.Func, level *target.Level, symbol string, pool *mach.Pool) (*mach.Func, error) {
	s := &sel{Selector: selection.New(symbol, level), wide: level.Masks, pool: pool, consts: map[constKey]mach.Reg{}, byteConsts: map[string]mach.Reg{}}
	return s.F, s.Select(f, s)
}

// LoadWord implements selection.Arch.
func (s *sel) LoadWord(at mach.Arg, again bool) mach.Reg {
	r := s.F.New(mach.GPR, 8)
	s.F.Add(&mach.Inst{Op: "MOVQ", Args: []mach.Arg{at, mach.W(r, 0)}, Remat: again})
	return r
}

// Return implements selection.Arch.
func (s *sel) Return() {
	s.F.Emit("VZEROUPPER")
	s.F.Emit("RET")
}

// classOf is the register class of a type's values.
func (s *sel) classOf(t loop.Type) mach.Class {
	switch {
	case t.Lanes == 1 && (t.Elem == tensor.F32 || t.Elem == tensor.F64):
		return mach.Vec
	case t.Lanes == 1:
		return mach.GPR
	case t.Elem == tensor.Bool && s.wide:
		return mach.Pred
	}
	return mach.Vec
}

// sizeOf is the number of bytes of a type's values in registers.
func (s *sel) sizeOf(t loop.Type) int {
	switch {
	case t.Lanes == 1 && s.classOf(t) == mach.GPR:
		return 8
	case t.Elem == tensor.Bool && s.wide:
		return 8
	case t.Elem == tensor.Bool:
		return t.Lanes * s.MaskWidth(t)
	}
	return t.Lanes * t.Elem.Size()
}

func (s *sel) NewReg(t loop.Type) mach.Reg { return s.F.New(s.classOf(t), s.sizeOf(t)) }

// result makes the register of an instruction's result.
func (s *sel) result(in *loop.Instr) mach.Reg {
	v := in.Results[0]
	r := s.NewReg(v.Type)
	s.Regs[v] = r
	return r
}

// integer is the value of an integer constant that fits an immediate operand.
func (s *sel) integer(v *loop.Value) (int64, bool) {
	bits, ok := s.Constant(v)
	if !ok || v.Type.Lanes != 1 || v.Type.Elem.IsFloat() && s.classOf(v.Type) == mach.Vec {
		return 0, false
	}
	n := int64(bits)
	if w := v.Type.Elem.Bits(); w < 64 && w > 1 {
		if v.Type.Elem.Class() == tensor.ClassInt {
			n = n << (64 - w) >> (64 - w)
		} else {
			n = int64(uint64(n) << (64 - w) >> (64 - w))
		}
	}
	return n, n == int64(int32(n))
}

// r is v as an operand that is read.
func (s *sel) r(v *loop.Value) mach.Arg { return mach.R(s.Reg(v), s.view(v.Type)) }

// view is the view of a type's registers.
func (s *sel) view(t loop.Type) uint8 {
	if s.classOf(t) != mach.Vec {
		return 0
	}
	return viewOf(s.sizeOf(t))
}

// Const is a register with a constant. General registers are set where they are needed; vectors where the
// kernel begins, and again where registers are short.
func (s *sel) Const(t loop.Type, bits uint64) mach.Reg {
	switch s.classOf(t) {
	case mach.GPR:
		r := s.NewReg(t)
		s.setInt(r, int64(bits))
		return r
	case mach.Pred:
		r := s.NewReg(t)
		op := "KXORQ"
		if bits&1 == 1 {
			op = "KXNORQ"
		}
		s.F.Emit(op, mach.W(r, 0), mach.W(r, 0), mach.W(r, 0))
		return r
	}
	if t.Elem == tensor.Bool {
		return s.maskConst(t.Lanes*s.MaskWidth(t), bits&1 == 1)
	}
	return s.vecConst(t, bits)
}

// setInt sets r, which is set nowhere else. The assembler clears registers with XORL, which changes the flags, so that this
// must not be repeated just anywhere.
func (s *sel) setInt(r mach.Reg, n int64) {
	s.F.Add(&mach.Inst{Op: "MOVQ", Args: []mach.Arg{mach.Imm(n), mach.W(r, 0)}, Remat: n != 0})
}

// vecConst is a register all of whose lanes are bits; computed at the kernel's beginning.
func (s *sel) vecConst(t loop.Type, bits uint64) mach.Reg {
	if w := t.Elem.Bits(); w < 64 {
		bits &= 1<<w - 1
	}
	key := constKey{t, bits}
	if r, ok := s.consts[key]; ok {
		return r
	}
	r := s.F.New(mach.Vec, t.Lanes*t.Elem.Size())
	s.consts[key] = r
	in := s.setVec(r, t, bits)
	in.Remat = true
	s.Entry = append(s.Entry, in)
	return r
}

// setVec is the instruction that sets all lanes of r to bits. Constants are in memory at full width, so that
// where registers are short they become memory operands.
func (s *sel) setVec(r mach.Reg, t loop.Type, bits uint64) *mach.Inst {
	size := t.Elem.Size()
	switch {
	case bits == 0:
		w := mach.W(r, vX)
		return &mach.Inst{Op: s.xorOp(), Args: []mach.Arg{w, w, w}}
	case t.Lanes == 1:
		return &mach.Inst{Op: moveOp(size), Args: []mach.Arg{s.pool.Bits(bits, size), mach.W(r, vX)}}
	}
	all := make([]byte, 0, t.Lanes*size)
	for range t.Lanes {
		all = binary.LittleEndian.AppendUint64(all, bits)[:len(all)+size]
	}
	return &mach.Inst{Op: moveOp(len(all)), Args: []mach.Arg{s.pool.Add(all), mach.W(r, viewOf(len(all)))}}
}

// xorOp is the exclusive or that both halves of the register file take.
func (s *sel) xorOp() string {
	if s.wide {
		return "VPXORQ"
	}
	return "VPXOR"
}

// letter is how integer vector instructions call elements of size bytes.
func letter(size int) string {
	return map[int]string{1: "B", 2: "W", 4: "D", 8: "Q"}[size]
}

// Move copies a value of type t; the copy is dropped where both can be one register.
func (s *sel) Move(t loop.Type, dst, src mach.Reg) {
	op, view := "MOVQ", s.view(t)
	switch s.classOf(t) {
	case mach.Vec:
		op = "VMOVAPS"
	case mach.Pred:
		op = "KMOVQ"
	}
	s.F.Add(&mach.Inst{Op: op, Args: []mach.Arg{mach.R(src, view), mach.W(dst, view)}, Move: true})
}

// copyOf is a new register with v in it, to be written over.
func (s *sel) copyOf(v *loop.Value) mach.Reg {
	r := s.NewReg(v.Type)
	if n, ok := s.integer(v); ok && s.classOf(v.Type) == mach.GPR {
		s.setInt(r, n)
		return r
	}
	s.Move(v.Type, r, s.Reg(v))
	return r
}

// Instr selects one instruction.
func (s *sel) Instr(in *loop.Instr) {
	rule := rules[in.Op]
	if rule == nil {
		s.Fail("no rule for %v", in.Op)
	}
	rule(s, in)
}
