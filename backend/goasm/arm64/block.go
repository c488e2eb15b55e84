package arm64

import (
	"maps"

	"github.com/nnc-go/nnc/backend/goasm/mach"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Survey counts uses and decides what becomes part of other instructions.
func (s *sel) Survey(b *loop.Block) {
	s.users = map[*loop.Value][]use{}
	s.count(b)
	for v := range s.users {
		s.Fused[v] = s.fuses(v)
	}
}

// use is an operand of an instruction.
type use struct {
	in *loop.Instr
	i  int
}

func (u use) isIndex() bool { return (u.in.Op.Reads() || u.in.Op.Writes()) && u.i == 0 }

func (s *sel) count(b *loop.Block) {
	for _, in := range b.Instrs {
		for _, r := range in.Results {
			s.Def[r] = in
		}
		for i, a := range in.Args {
			s.Uses[a]++
			s.users[a] = append(s.users[a], use{in, i})
			if u := (use{in, i}); u.isIndex() {
				root, _ := s.root(a)
				s.shared[address{in.Buf, root}]++
			}
		}
		for _, sub := range in.Blocks {
			s.count(sub)
		}
	}
	for _, y := range b.Yield {
		s.Uses[y]++
	}
}

// fuses reports whether all of v's uses take it over: sums with constants that are in addresses, comparisons of
// scalars in branches and selections, broadcasts that multiply.
func (s *sel) fuses(v *loop.Value) bool {
	d := s.Def[v]
	if d == nil || len(s.users[v]) < s.Uses[v] {
		return false
	}
	var takes func(u use) bool
	switch {
	case s.isOffset(d):
		takes = func(u use) bool { return u.isIndex() || s.isOffset(u.in) && s.fuses(u.in.Results[0]) }
	case d.Op == loop.OpCmp && v.Type.Lanes == 1:
		takes = func(u use) bool { return (u.in.Op == loop.OpIf || u.in.Op == loop.OpSelect) && u.i == 0 }
	case d.Op == loop.OpBroadcast && isFloat(v.Type):
		takes = s.multiplies
	default:
		return false
	}
	for _, u := range s.users[v] {
		if !takes(u) {
			return false
		}
	}
	return true
}

// isOffset reports whether in is the sum of an index and a constant.
func (s *sel) isOffset(in *loop.Instr) bool {
	if in.Op != loop.OpAdd || in.Results[0].Type != loop.Index {
		return false
	}
	_, ok := s.Constant(in.Args[1])
	return ok
}

// root takes constants off an index.
func (s *sel) root(idx *loop.Value) (root *loop.Value, offset int64) {
	for d := s.Def[idx]; d != nil && s.isOffset(d); d = s.Def[idx] {
		n, _ := s.integer(d.Args[1])
		idx, offset = d.Args[0], offset+n
	}
	return idx, offset
}

// multiplies reports whether a broadcast that is operand i of an instruction can be a lane that multiplies all.
func (s *sel) multiplies(u use) bool {
	if u.in.Op != loop.OpFMA && u.in.Op != loop.OpMul || u.i > 1 {
		return false
	}
	other := s.Def[u.in.Args[1-u.i]]
	return other == nil || other.Op != loop.OpBroadcast
}

func (s *sel) Block(b *loop.Block) {
	s.scope(func() {
		for _, in := range b.Instrs {
			if in.Op == loop.OpConst || len(in.Results) == 1 && s.Fused[in.Results[0]] {
				continue
			}
			s.Instr(in)
		}
	})
}

// scope forgets the addresses that body computes, which may not run.
func (s *sel) scope(body func()) {
	outer := s.addresses
	s.addresses = maps.Clone(outer)
	body()
	s.addresses = outer
}

// Align implements selection.Arch.
func (s *sel) Align(*loop.Block) {}

// Done implements selection.Arch.
func (s *sel) Done(iv mach.Reg, hi *loop.Value, label int) {
	s.compare(loop.Index, iv, hi)
	s.branch("BGE", label)
}

// Again implements selection.Arch.
func (s *sel) Again(iv mach.Reg, step int64, hi *loop.Value, label int) {
	s.addImm(iv, iv, step)
	s.compare(loop.Index, iv, hi)
	s.branch("BLT", label)
}

func (s *sel) branch(op string, label int, args ...mach.Arg) {
	s.F.Add(&mach.Inst{Op: op, Flow: mach.Branch, Args: append(args, mach.Label(label))})
}

// Jump implements selection.Arch.
func (s *sel) Jump(label int) {
	s.F.Add(&mach.Inst{Op: "JMP", Flow: mach.Jump, Args: []mach.Arg{mach.Label(label)}})
}

// Assign implements selection.Arch.
func (s *sel) Assign(dst mach.Reg, v *loop.Value) {
	bits, ok := s.Constant(v)
	switch n, _ := s.integer(v); {
	case ok && classOf(v.Type) == mach.GPR:
		s.F.Emit("MOVD", mach.Imm(n), mach.W(dst, 0))
	case ok && bits == 0:
		s.F.Add(setVec(dst, 0, 0, 16))
	default:
		s.Move(v.Type, dst, s.Carried(v))
	}
}

// Carried is v in the form in which values cross from block to block.
func (s *sel) Carried(v *loop.Value) mach.Reg {
	if v.Type.Elem == tensor.Bool && v.Type.Lanes > 1 {
		return s.mask(v, s.MaskWidth(v.Type))
	}
	return s.Reg(v)
}
