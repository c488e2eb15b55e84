// Package selection is what the instruction selections of all architectures have in common: what is known of a
// kernel's values, its prologue, loops and conditionals, the widths of masks, reductions by halving.
package selection

import (
	"fmt"
	"io"

	"github.com/nnc-go/nnc/backend/goasm/mach"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/target"
)

// Arch is what an architecture does.
type Arch interface {
	// Survey looks at a kernel before anything is selected: it fills Def, Uses and Fused.
	Survey(body *loop.Block)
	// Block and Instr select; Return ends the kernel.
	Block(b *loop.Block)
	Instr(in *loop.Instr)
	Return()
	// LoadWord sets a new general register to a word of memory; an argument's may be read again instead of spilled.
	LoadWord(at mach.Arg, again bool) mach.Reg
	// NewReg is a register for a type; Const one with a constant; Carried one with v in the form in which values
	// cross from block to block.
	NewReg(t loop.Type) mach.Reg
	Const(t loop.Type, bits uint64) mach.Reg
	Carried(v *loop.Value) mach.Reg
	// Assign sets a register that has other definitions to v; Move to what is in another.
	Assign(dst mach.Reg, v *loop.Value)
	Move(t loop.Type, dst, src mach.Reg)
	// Unless jumps where the condition c does not hold, Done where iv >= hi, Jump always. Again adds step to iv and
	// jumps where it is below hi then. Align comes before the label at the top of a loop.
	Unless(c *loop.Value, label int)
	Done(iv mach.Reg, hi *loop.Value, label int)
	Jump(label int)
	Again(iv mach.Reg, step int64, hi *loop.Value, label int)
	Align(body *loop.Block)
}

// Selector selects the instructions of one kernel.
type Selector struct {
	F     *mach.Func
	Level *target.Level
	Regs  map[*loop.Value]mach.Reg
	Width map[*loop.Value]int // bytes per lane of a vector of booleans that is one of masks
	Def   map[*loop.Value]*loop.Instr
	Uses  map[*loop.Value]int
	Fused map[*loop.Value]bool // not computed where defined: part of the instructions that use it
	Bases map[*loop.Buf]mach.Arg
	Entry []*mach.Inst // constants, computed where the kernel begins

	arch Arch
}

// New starts the selection of a kernel.
func New(symbol string, level *target.Level) Selector {
	return Selector{F: mach.NewFunc(symbol), Level: level, Regs: map[*loop.Value]mach.Reg{}, Width: map[*loop.Value]int{}, Def: map[*loop.Value]*loop.Instr{},
		Uses: map[*loop.Value]int{}, Fused: map[*loop.Value]bool{}, Bases: map[*loop.Buf]mach.Arg{}}
}

// selError is a kernel that cannot be rendered: an operation that the level lacks after legalising.
type selError struct{ error }

// Fail ends Select with an error.
func (s *Selector) Fail(format string, args ...any) {
	panic(selError{fmt.Errorf("goasm: %s %s: %s", s.Level.Name, s.F.Name, fmt.Sprintf(format, args...))})
}

// Select turns f into machine instructions.
func (s *Selector) Select(f *loop.Func, arch Arch) (err error) {
	s.arch = arch
	defer func() {
		switch r := recover().(type) {
		case nil:
		case selError:
			err = r.error
		default:
			panic(r)
		}
	}()
	arch.Survey(f.Body)
	s.prologue(f)
	n := len(s.F.Insts)
	arch.Block(f.Body)
	arch.Return()
	body := append([]*mach.Inst{}, s.F.Insts[n:]...)
	s.F.Insts = append(append(s.F.Insts[:n], s.Entry...), body...)
	return nil
}

// prologue loads the arguments.
func (s *Selector) prologue(f *loop.Func) {
	arg := func(text string) mach.Reg { return s.arch.LoadWord(mach.Text(text), true) }
	s.F.Scratch = arg("scratch+24(FP)")
	args := arg("args+0(FP)")
	word := func(i int) mach.Reg { return s.arch.LoadWord(mach.Mem(args, int64(8*i)), false) }
	for _, b := range f.Bufs {
		if b.Arg < 0 {
			s.Bases[b] = mach.Mem(s.F.Scratch, s.F.Local(b.N*int64(b.Elem.Size())))
			continue
		}
		s.Bases[b] = mach.Mem(word(b.Arg), 0)
	}
	for i, v := range f.Ints {
		s.Regs[v] = word(f.IntArgs[i])
	}
	s.Regs[f.Lo], s.Regs[f.Hi] = arg("lo+8(FP)"), arg("hi+16(FP)")
}

// Constant reports whether v is a constant, and its bits.
func (s *Selector) Constant(v *loop.Value) (uint64, bool) {
	d := s.Def[v]
	if d == nil || d.Op != loop.OpConst {
		return 0, false
	}
	return d.Imm, true
}

// Reg is the register that holds v.
func (s *Selector) Reg(v *loop.Value) mach.Reg {
	if r, ok := s.Regs[v]; ok {
		return r
	}
	d := s.Def[v]
	switch {
	case d == nil:
		s.Fail("value %d is not computed", v.ID)
	case d.Op == loop.OpConst:
		return s.arch.Const(v.Type, d.Imm)
	case !s.Fused[v]:
		s.Fail("value %d of %v is not computed", v.ID, d.Op)
	}
	// Wanted here in a register after all. It is computed for this use alone: the next may be where this one is not executed.
	s.arch.Instr(d)
	r := s.Regs[v]
	delete(s.Regs, v)
	return r
}

// Loop writes a loop that tests at its end, guarded by a test before it. The carried values have
// registers of their own, which are the results after it.
func (s *Selector) Loop(in *loop.Instr) {
	body := in.Blocks[0]
	lo, hi := in.Args[0], in.Args[1]
	for i, p := range body.Params[1:] {
		r := s.arch.NewReg(p.Type)
		s.Regs[p], s.Regs[in.Results[i]] = r, r
		s.arch.Assign(r, in.Args[2+i])
	}
	iv := s.arch.NewReg(loop.Index)
	s.arch.Assign(iv, lo)
	s.Regs[body.Params[0]] = iv
	top, end := s.F.NewLabel(), s.F.NewLabel()
	l, okl := s.Constant(lo)
	h, okh := s.Constant(hi)
	if !okl || !okh || int64(l) >= int64(h) {
		s.arch.Done(iv, hi, end)
	}
	s.F.Depth++
	s.arch.Align(body)
	s.F.Place(top).Comment = loop.Heading(in, s.Constant)
	s.arch.Block(body)
	s.yield(body.Params[1:], body.Yield)
	s.arch.Again(iv, int64(in.Imm), hi, top)
	s.F.Depth--
	s.F.Place(end)
}

// Cond writes a conditional; its results are registers that both sides set.
func (s *Selector) Cond(in *loop.Instr) {
	for _, v := range in.Results {
		s.Regs[v] = s.arch.NewReg(v.Type)
	}
	els, end := s.F.NewLabel(), s.F.NewLabel()
	s.arch.Unless(in.Args[0], els)
	s.arch.Block(in.Blocks[0])
	s.yield(in.Results, in.Blocks[0].Yield)
	if len(in.Blocks[1].Instrs) == 0 && len(in.Results) == 0 {
		s.F.Place(els)
		return
	}
	s.arch.Jump(end)
	s.F.Place(els)
	s.arch.Block(in.Blocks[1])
	s.yield(in.Results, in.Blocks[1].Yield)
	s.F.Place(end)
}

// yield moves values into the registers of params, all at once: values that are themselves among those
// registers are saved first.
func (s *Selector) yield(params, values []*loop.Value) {
	targets := map[mach.Reg]bool{}
	for _, p := range params {
		targets[s.Regs[p]] = true
	}
	from := make([]mach.Reg, len(values))
	for i, v := range values {
		if _, ok := s.Constant(v); ok {
			continue
		}
		from[i] = s.arch.Carried(v)
		if from[i] != s.Regs[params[i]] && targets[from[i]] {
			saved := s.arch.NewReg(v.Type)
			s.arch.Move(v.Type, saved, from[i])
			from[i] = saved
		}
	}
	for i, v := range values {
		switch dst := s.Regs[params[i]]; from[i] {
		case dst:
		case 0:
			s.arch.Assign(dst, v)
		default:
			s.arch.Move(v.Type, dst, from[i])
		}
	}
}

// MaskWidth is how wide the lanes are in which a vector of booleans crosses from block to block, where it is a vector of masks: as wide
// as elements of that many lanes can be.
func (s *Selector) MaskWidth(t loop.Type) int {
	return max(1, min(8, s.Level.VecBytes/t.Lanes))
}

// WidthOf is the width of the lanes in which v is held.
func (s *Selector) WidthOf(v *loop.Value) int {
	if w, ok := s.Width[v]; ok {
		return w
	}
	return s.MaskWidth(v.Type)
}

// SetMask makes r, with lanes of width bytes, the result of in.
func (s *Selector) SetMask(in *loop.Instr, r mach.Reg, width int) {
	s.Regs[in.Results[0]], s.Width[in.Results[0]] = r, width
}

// Common is the width in which to combine masks: the wider of those that have one.
func (s *Selector) Common(vs ...*loop.Value) (w int) {
	for _, v := range vs {
		if _, ok := s.Constant(v); !ok {
			w = max(w, s.WidthOf(v))
		}
	}
	if w == 0 {
		w = s.MaskWidth(vs[0].Type)
	}
	return w
}

// Reduce combines the halves of a vector by op until one lane is left.
func (s *Selector) Reduce(in *loop.Instr, op loop.Op) {
	v := in.Args[0]
	elem := v.Type.Elem
	for n := v.Type.Lanes / 2; n > 0; n /= 2 {
		half := func(from int) *loop.Value {
			if n == 1 {
				return s.Synth(&loop.Instr{Op: loop.OpExtract, Args: []*loop.Value{v}, Imm: uint64(from)}, loop.Scalar(elem))
			}
			lanes := make([]int, n)
			for i := range lanes {
				lanes[i] = from + i
			}
			return s.Synth(&loop.Instr{Op: loop.OpShuffle, Args: []*loop.Value{v, v}, Lanes: lanes}, loop.Vec(elem, n))
		}
		a := half(0)
		v = s.Synth(&loop.Instr{Op: op, Args: []*loop.Value{a, half(n)}}, loop.Vec(elem, n))
	}
	s.Regs[in.Results[0]] = s.Reg(v)
}

// Synth selects an instruction that the kernel does not have.
func (s *Selector) Synth(in *loop.Instr, t loop.Type) *loop.Value {
	v := &loop.Value{Type: t}
	in.Results = []*loop.Value{v}
	s.Def[v], s.Uses[v] = in, 2 // more than one: nothing is folded into its user
	s.arch.Instr(in)
	return v
}

// Iota is the bytes of a vector 0, 1, 2, ...
func Iota(t loop.Type) []byte {
	size := t.Elem.Size()
	b := make([]byte, t.Lanes*size)
	for i := range t.Lanes {
		b[i*size] = byte(i)
	}
	return b
}

// argBytes is the size of a kernel's arguments: args, lo, hi, scratch.
const argBytes = 32

// Render selects kernels, hands out the registers of m and writes the functions. names gives the symbol of each.
func Render(w io.Writer, m *mach.Machine, funcs []*loop.Func, names func(f *loop.Func) string, selectFunc func(f *loop.Func, symbol string) (*mach.Func, error)) error {
	fs := make([]*mach.Func, len(funcs))
	for i, f := range funcs {
		var err error
		if fs[i], err = selectFunc(f, names(f)); err != nil {
			return err
		}
	}
	phys, err := mach.AllocateAll(fs, m)
	if err != nil {
		return err
	}
	for i, f := range funcs {
		mach.Print(w, fs[i], m, phys[i], fmt.Sprintf("%s: %s", f.Name, f.Comment), argBytes)
	}
	return nil
}
