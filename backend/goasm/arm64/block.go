package arm64

import (
	"maps"

	"github.com/nnc-go/nnc/backend/goasm/mach"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// survey counts uses and decides what becomes part of other instructions.
func (s *sel) survey(b *loop.Block) {
	s.users = map[*loop.Value][]use{}
	s.count(b)
	for v := range s.users {
		s.fused[v] = s.fuses(v)
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
			s.def[r] = in
		}
		for i, a := range in.Args {
			s.uses[a]++
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
		s.uses[y]++
	}
}

// fuses reports whether all of v's uses take it over: sums with constants that are in addresses, comparisons of
// scalars in branches and selections, broadcasts that multiply.
func (s *sel) fuses(v *loop.Value) bool {
	d := s.def[v]
	if d == nil || len(s.users[v]) < s.uses[v] {
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
	_, ok := s.constant(in.Args[1])
	return ok
}

// root takes constants off an index.
func (s *sel) root(idx *loop.Value) (root *loop.Value, offset int64) {
	for d := s.def[idx]; d != nil && s.isOffset(d); d = s.def[idx] {
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
	other := s.def[u.in.Args[1-u.i]]
	return other == nil || other.Op != loop.OpBroadcast
}

func (s *sel) block(b *loop.Block) {
	s.scope(func() {
		for _, in := range b.Instrs {
			if in.Op == loop.OpConst || len(in.Results) == 1 && s.fused[in.Results[0]] {
				continue
			}
			s.instr(in)
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

// forLoop writes a loop that tests at its end, guarded by a test before it. The carried values have
// registers of their own, which are the results after it.
func (s *sel) forLoop(in *loop.Instr) {
	body := in.Blocks[0]
	lo, hi := in.Args[0], in.Args[1]
	for i, p := range body.Params[1:] {
		r := s.newReg(p.Type)
		s.regs[p], s.regs[in.Results[i]] = r, r
		s.assign(r, in.Args[2+i])
	}
	iv := s.general()
	s.assign(iv, lo)
	s.regs[body.Params[0]] = iv
	top, end := s.f.NewLabel(), s.f.NewLabel()
	l, okl := s.integer(lo)
	h, okh := s.integer(hi)
	if !okl || !okh || l >= h {
		s.compare(loop.Index, iv, hi)
		s.branch("BGE", end)
	}
	s.f.Depth++
	s.f.Place(top).Comment = loop.Heading(in, s.constant)
	s.block(body)
	s.yield(body.Params[1:], body.Yield)
	s.addImm(iv, iv, int64(in.Imm))
	s.compare(loop.Index, iv, hi)
	s.branch("BLT", top)
	s.f.Depth--
	s.f.Place(end)
}

func (s *sel) branch(op string, label int, args ...mach.Arg) {
	s.f.Add(&mach.Inst{Op: op, Flow: mach.Branch, Args: append(args, mach.Label(label))})
}

// assign sets a register that outlives this place to v.
func (s *sel) assign(dst mach.Reg, v *loop.Value) {
	bits, ok := s.constant(v)
	switch n, _ := s.integer(v); {
	case ok && classOf(v.Type) == mach.GPR:
		s.f.Emit("MOVD", mach.Imm(n), mach.W(dst, 0))
	case ok && bits == 0:
		s.f.Add(setVec(dst, 0, 0, 16))
	default:
		s.move(dst, s.carried(v))
	}
}

// carried is v in the form in which values cross from block to block.
func (s *sel) carried(v *loop.Value) mach.Reg {
	if v.Type.Elem == tensor.Bool && v.Type.Lanes > 1 {
		return s.mask(v, s.maskWidth(v.Type))
	}
	return s.reg(v)
}

// yield moves values into the registers of params, all at once: values that are themselves among those
// registers are saved first.
func (s *sel) yield(params, values []*loop.Value) {
	targets := map[mach.Reg]bool{}
	for _, p := range params {
		targets[s.regs[p]] = true
	}
	from := make([]mach.Reg, len(values))
	for i, v := range values {
		if _, ok := s.constant(v); ok {
			continue
		}
		from[i] = s.carried(v)
		if from[i] != s.regs[params[i]] && targets[from[i]] {
			from[i] = s.copyOf(from[i])
		}
	}
	for i, v := range values {
		switch dst := s.regs[params[i]]; from[i] {
		case dst:
		case 0:
			s.assign(dst, v)
		default:
			s.move(dst, from[i])
		}
	}
}

// cond writes a conditional; its results are registers that both sides set.
func (s *sel) cond(in *loop.Instr) {
	for _, v := range in.Results {
		s.regs[v] = s.newReg(v.Type)
	}
	els, end := s.f.NewLabel(), s.f.NewLabel()
	s.branchUnless(in.Args[0], els)
	s.block(in.Blocks[0])
	s.yield(in.Results, in.Blocks[0].Yield)
	if len(in.Blocks[1].Instrs) == 0 && len(in.Results) == 0 {
		s.f.Place(els)
		return
	}
	s.f.Add(&mach.Inst{Op: "JMP", Flow: mach.Jump, Args: []mach.Arg{mach.Label(end)}})
	s.f.Place(els)
	s.block(in.Blocks[1])
	s.yield(in.Results, in.Blocks[1].Yield)
	s.f.Place(end)
}
