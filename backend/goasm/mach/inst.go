// Package mach is what the assembly renderers of package goasm share: machine instructions on virtual
// registers, their liveness, register allocation, and the printing of functions in Go's assembly
// language.
//
// A renderer (amd64, arm64) walks a kernel's blocks and appends instructions to a Func. Registers are
// virtual and may be written more than once: a loop's carried values are registers that moves at the end of
// the loop's body write again. Allocate replaces them by the machine's.
package mach

// Class is a register file.
type Class uint8

// The classes. Scalars of floating point live in vector registers, as the processors have it.
const (
	GPR  Class = iota
	Vec        // vectors and floating-point scalars
	Pred       // predicate registers (AVX-512's K)
	classes
)

// Reg is a virtual register; 0 is none.
type Reg int32

// Phys is a machine register: its number in its class.
type Phys int8

// Mode says what an instruction does to a register.
type Mode uint8

// The modes. UseDef reads and writes; Early is written while the operands are still read, so that it
// must be another register than all of them.
const (
	Use Mode = iota
	Def
	UseDef
	Early
)

// Kind is the kind of an operand.
type Kind uint8

// The kinds of operands.
const (
	KReg   Kind = iota
	KImm        // $Imm
	KMem        // Disp(Base)(Index*Scale), or Sym+Disp(Base) where Base 0 means a pseudo register that Sym names
	KLabel      // a label of the function: Imm
	KText       // Sym as it stands
)

// Arg is an operand.
type Arg struct {
	Kind   Kind
	Mode   Mode // of Reg
	View   uint8
	Scale  uint8
	Reg    Reg // KReg; the base of KMem
	Index  Reg
	Imm    int64 // KImm, KLabel; the displacement of KMem
	Sym    string
	Hidden bool // used without being named
}

// R reads a register. view says under which of its names the machine prints it.
func R(r Reg, view uint8) Arg { return Arg{Reg: r, View: view} }

// W writes a register.
func W(r Reg, view uint8) Arg { return Arg{Reg: r, View: view, Mode: Def} }

// RW reads and writes a register.
func RW(r Reg, view uint8) Arg { return Arg{Reg: r, View: view, Mode: UseDef} }

// WEarly writes a register before all operands are read.
func WEarly(r Reg, view uint8) Arg { return Arg{Reg: r, View: view, Mode: Early} }

// Imm is an immediate operand.
func Imm(n int64) Arg { return Arg{Kind: KImm, Imm: n} }

// Mem is disp(base).
func Mem(base Reg, disp int64) Arg { return Arg{Kind: KMem, Reg: base, Imm: disp} }

// MemX is disp(base)(index*scale).
func MemX(base, index Reg, scale uint8, disp int64) Arg {
	return Arg{Kind: KMem, Reg: base, Index: index, Scale: scale, Imm: disp}
}

// Text is an operand that is printed as it stands: "lo+8(FP)", "c12<>(SB)".
func Text(s string) Arg { return Arg{Kind: KText, Sym: s} }

// Label is an operand of a jump.
func Label(n int) Arg { return Arg{Kind: KLabel, Imm: int64(n)} }

// Inst is an instruction. Args are in the order of Go's assembler: the destination last.
type Inst struct {
	Op    string
	Args  []Arg
	Depth uint8 // of the loops around it
	Flow  Flow
	Move  bool // copies Args[0], a register, to Args[1], of the same class: dropped where both become one
	Remat bool // writes Args[last] from nothing that changes: may be repeated instead of spilled
	// Encode gives the instruction's words where Go's assembler has no mnemonic; Op and Args then say in a
	// comment what they mean. regs are the machine registers of Args.
	Encode  func(regs []Phys) []uint32
	Comment string // printed behind it
}

// Flow is what an instruction does to the flow of control.
type Flow uint8

// The flows.
const (
	Next   Flow = iota
	Mark        // a label, Args[0]; no instruction
	Jump        // to Args[last]
	Branch      // to Args[last] or on
)

// regInfo is what is known of a virtual register.
type regInfo struct {
	class  Class
	size   int   // bytes to spill
	fixed  Phys  // -1 where any will do
	inside uint8 // made for the loops of this depth, out of a register that lives in memory around them
}

// Func is a function under construction.
type Func struct {
	Name    string
	Insts   []*Inst
	Depth   uint8 // given to new instructions
	Locals  int64 // bytes of scratch in use: local buffers, then spill slots
	Scratch Reg   // holds the address of the scratch memory
	regs    []regInfo
	labels  int
	frame   int64
}

// NewFunc starts a function.
func NewFunc(name string) *Func { return &Func{Name: name, regs: make([]regInfo, 1)} }

// New makes a virtual register of a class for values of size bytes.
func (f *Func) New(c Class, size int) Reg {
	f.regs = append(f.regs, regInfo{class: c, size: size, fixed: -1})
	return Reg(len(f.regs) - 1)
}

// Fixed makes a virtual register that is the given machine register. Keep its life short.
func (f *Func) Fixed(c Class, size int, p Phys) Reg {
	f.regs = append(f.regs, regInfo{class: c, size: size, fixed: p})
	return Reg(len(f.regs) - 1)
}

// Size is the number of bytes of a register's values.
func (f *Func) Size(r Reg) int { return f.regs[r].size }

// Class is the class of a register.
func (f *Func) Class(r Reg) Class { return f.regs[r].class }

// NewLabel makes a label.
func (f *Func) NewLabel() int {
	f.labels++
	return f.labels
}

// Emit appends an instruction.
func (f *Func) Emit(op string, args ...Arg) *Inst { return f.Add(&Inst{Op: op, Args: args}) }

// Add appends an instruction.
func (f *Func) Add(in *Inst) *Inst {
	in.Depth = f.Depth
	f.Insts = append(f.Insts, in)
	return in
}

// Place puts a label here.
func (f *Func) Place(label int) *Inst { return f.Add(&Inst{Flow: Mark, Args: []Arg{Label(label)}}) }

// Local reserves n bytes of scratch memory, aligned to 64, and gives their offset.
func (f *Func) Local(n int64) int64 {
	at := f.Locals
	f.Locals += (n + 63) &^ 63
	return at
}

// eachReg calls visit for each register of an instruction with what is done to it.
func (in *Inst) eachReg(visit func(r *Reg, m Mode)) {
	for i := range in.Args {
		a := &in.Args[i]
		switch a.Kind {
		case KReg:
			if a.Reg != 0 {
				visit(&a.Reg, a.Mode)
			}
		case KMem:
			if a.Reg != 0 {
				visit(&a.Reg, Use)
			}
			if a.Index != 0 {
				visit(&a.Index, Use)
			}
		}
	}
}
