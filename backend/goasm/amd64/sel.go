package amd64

import (
	"encoding/binary"
	"fmt"

	"github.com/nnc-go/nnc/backend/goasm/mach"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// sel selects the instructions of one kernel.
type sel struct {
	f     *mach.Func
	level *target.Level
	wide  bool // AVX-512
	pool  *mach.Pool

	regs       map[*loop.Value]mach.Reg
	width      map[*loop.Value]int // AVX2: bytes per lane of a vector of booleans
	def        map[*loop.Value]*loop.Instr
	uses       map[*loop.Value]int
	fused      map[*loop.Value]bool // not computed where defined: part of the instruction that uses it
	bases      map[*loop.Buf]mach.Arg
	consts     map[constKey]mach.Reg
	byteConsts map[string]mach.Reg
	entry      []*mach.Inst // constants, computed where the kernel begins
}

type constKey struct {
	t    loop.Type
	bits uint64
}

// selError is a kernel that cannot be rendered: an operation that the level lacks after legalising.
type selError struct{ error }

func (s *sel) fail(format string, args ...any) {
	panic(selError{fmt.Errorf("goasm: amd64 %s: %s: %s", s.level.Name, s.f.Name, fmt.Sprintf(format, args...))})
}

// selectFunc turns a kernel into machine instructions.
func selectFunc(f *loop.Func, level *target.Level, symbol string, pool *mach.Pool) (s *sel, err error) {
	s = &sel{f: mach.NewFunc(symbol), level: level, wide: level.Masks, pool: pool, regs: map[*loop.Value]mach.Reg{}, width: map[*loop.Value]int{},
		def: map[*loop.Value]*loop.Instr{}, uses: map[*loop.Value]int{}, fused: map[*loop.Value]bool{}, bases: map[*loop.Buf]mach.Arg{}, consts: map[constKey]mach.Reg{}, byteConsts: map[string]mach.Reg{}}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case selError:
			err = r.error
		default:
			panic(r)
		}
	}()
	s.survey(f.Body)
	s.prologue(f)
	n := len(s.f.Insts)
	s.block(f.Body)
	s.f.Emit("VZEROUPPER")
	s.f.Add(&mach.Inst{Op: "RET"})
	body := append([]*mach.Inst{}, s.f.Insts[n:]...)
	s.f.Insts = append(append(s.f.Insts[:n], s.entry...), body...)
	return s, nil
}

// prologue loads the arguments.
func (s *sel) prologue(f *loop.Func) {
	arg := func(text string) mach.Reg {
		r := s.f.New(mach.GPR, 8)
		s.f.Add(&mach.Inst{Op: "MOVQ", Args: []mach.Arg{mach.Text(text), mach.W(r, 0)}, Remat: true})
		return r
	}
	s.f.Scratch = arg("scratch+24(FP)")
	args := arg("args+0(FP)")
	word := func(i int) mach.Reg {
		r := s.f.New(mach.GPR, 8)
		s.f.Emit("MOVQ", mach.Mem(args, int64(8*i)), mach.W(r, 0))
		return r
	}
	for _, b := range f.Bufs {
		if b.Arg < 0 {
			s.bases[b] = mach.Mem(s.f.Scratch, s.f.Local(b.N*int64(b.Elem.Size())))
			continue
		}
		s.bases[b] = mach.Mem(word(b.Arg), 0)
	}
	for i, v := range f.Ints {
		s.regs[v] = word(f.IntArgs[i])
	}
	s.regs[f.Lo], s.regs[f.Hi] = arg("lo+8(FP)"), arg("hi+16(FP)")
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
		return t.Lanes * s.maskWidth(t)
	}
	return t.Lanes * t.Elem.Size()
}

func (s *sel) newReg(t loop.Type) mach.Reg { return s.f.New(s.classOf(t), s.sizeOf(t)) }

// result makes the register of an instruction's result.
func (s *sel) result(in *loop.Instr) mach.Reg {
	v := in.Results[0]
	r := s.newReg(v.Type)
	s.regs[v] = r
	return r
}

// constant reports whether v is a constant, and its bits.
func (s *sel) constant(v *loop.Value) (uint64, bool) {
	d := s.def[v]
	if d == nil || d.Op != loop.OpConst {
		return 0, false
	}
	return d.Imm, true
}

// integer is the value of an integer constant that fits an immediate operand.
func (s *sel) integer(v *loop.Value) (int64, bool) {
	bits, ok := s.constant(v)
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

// reg is the register that holds v.
func (s *sel) reg(v *loop.Value) mach.Reg {
	if r, ok := s.regs[v]; ok {
		return r
	}
	d := s.def[v]
	if d == nil {
		s.fail("value %d is not computed", v.ID)
	}
	if d.Op == loop.OpConst {
		return s.konst(v.Type, d.Imm)
	}
	if s.fused[v] { // computed for this use alone: the next may be where this one is not executed
		s.instr(d)
		r := s.regs[v]
		delete(s.regs, v)
		return r
	}
	s.fail("value %d of %v is not computed", v.ID, d.Op)
	return 0
}

// r is v as an operand that is read.
func (s *sel) r(v *loop.Value) mach.Arg { return mach.R(s.reg(v), s.view(v.Type)) }

// view is the view of a type's registers.
func (s *sel) view(t loop.Type) uint8 {
	if s.classOf(t) != mach.Vec {
		return 0
	}
	return viewOf(s.sizeOf(t))
}

// konst is a register with a constant. General registers are set where they are needed; vectors where the
// kernel begins, and again where registers are short.
func (s *sel) konst(t loop.Type, bits uint64) mach.Reg {
	switch s.classOf(t) {
	case mach.GPR:
		r := s.newReg(t)
		s.setInt(r, int64(bits))
		return r
	case mach.Pred:
		r := s.newReg(t)
		op := "KXORQ"
		if bits&1 == 1 {
			op = "KXNORQ"
		}
		s.f.Emit(op, mach.W(r, 0), mach.W(r, 0), mach.W(r, 0))
		return r
	}
	if t.Elem == tensor.Bool {
		return s.maskConst(t.Lanes*s.maskWidth(t), bits&1 == 1)
	}
	return s.vecConst(t, bits)
}

// setInt sets r, which is set nowhere else. The assembler clears registers with XORL, which changes the flags, so that this
// must not be repeated just anywhere.
func (s *sel) setInt(r mach.Reg, n int64) {
	s.f.Add(&mach.Inst{Op: "MOVQ", Args: []mach.Arg{mach.Imm(n), mach.W(r, 0)}, Remat: n != 0})
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
	r := s.f.New(mach.Vec, t.Lanes*t.Elem.Size())
	s.consts[key] = r
	in := s.setVec(r, t, bits)
	in.Remat = true
	s.entry = append(s.entry, in)
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

// move copies a value of type t; the copy is dropped where both can be one register.
func (s *sel) move(t loop.Type, dst, src mach.Reg) {
	op, view := "MOVQ", s.view(t)
	switch s.classOf(t) {
	case mach.Vec:
		op = "VMOVAPS"
	case mach.Pred:
		op = "KMOVQ"
	}
	s.f.Add(&mach.Inst{Op: op, Args: []mach.Arg{mach.R(src, view), mach.W(dst, view)}, Move: true})
}

// copyOf is a new register with v in it, to be written over.
func (s *sel) copyOf(v *loop.Value) mach.Reg {
	r := s.newReg(v.Type)
	if n, ok := s.integer(v); ok && s.classOf(v.Type) == mach.GPR {
		s.setInt(r, n)
		return r
	}
	s.move(v.Type, r, s.reg(v))
	return r
}

// instr selects one instruction.
func (s *sel) instr(in *loop.Instr) {
	rule := rules[in.Op]
	if rule == nil {
		s.fail("no rule for %v", in.Op)
	}
	rule(s, in)
}
