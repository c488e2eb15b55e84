package mach

import "fmt"

// spill rewrites f so that the given registers (representatives of what a has coalesced) live in memory: each use loads them into a register of its own, each
// definition stores. A register that one repeatable instruction defines is computed again instead.
func (f *Func) spill(m *Machine, a *allocator, spilled []Reg) error {
	s := &spiller{f: f, m: m, home: map[Reg]*home{}, a: a}
	for _, r := range spilled {
		s.home[r] = &home{}
	}
	defs := map[Reg]int{}
	for _, in := range f.Insts {
		in.eachReg(func(r *Reg, mode Mode) {
			h := s.home[a.find(*r)]
			if h == nil || mode == Use {
				return
			}
			defs[a.find(*r)]++
			h.remat = nil
			if in.Remat && defs[a.find(*r)] == 1 {
				h.remat = in
			}
		})
	}
	old := f.Insts
	f.Insts = make([]*Inst, 0, len(old)+len(old)/4)
	for _, in := range old {
		s.inst(in)
	}
	return s.err
}

// home is where a spilled register lives.
type home struct {
	remat *Inst
	slot  *Arg
}

type spiller struct {
	f    *Func
	m    *Machine
	a    *allocator
	home map[Reg]*home
	err  error
}

// slot is the memory of r: general and predicate registers in the frame, vectors in the scratch memory,
// which is aligned.
func (s *spiller) slot(r Reg) Arg {
	h := s.home[r]
	if h.slot == nil {
		f := s.f
		var at Arg
		if f.regs[r].class != Vec && f.frame+8 <= maxFrame-s.m.FrameBase {
			at = Text(fmt.Sprintf("%d(%s)", s.m.FrameBase+f.frame, s.m.SP))
			f.frame += 8
		} else {
			n := int64(max(s.a.size[r], 8))
			f.Locals = (f.Locals + n - 1) / n * n
			at = Mem(f.Scratch, f.Locals)
			f.Locals += n
		}
		h.slot = &at
	}
	return *h.slot
}

func (s *spiller) inst(in *Inst) {
	f := s.f
	if h := s.home[s.defOf(in)]; h != nil && h.remat == in {
		return // repeated at each use
	}
	s.fold(in)
	var before, after []*Inst
	temps := map[Reg]Reg{}
	loaded := map[Reg]bool{}
	in.eachReg(func(r *Reg, mode Mode) {
		rep := s.a.find(*r)
		h := s.home[rep]
		if h == nil {
			return
		}
		t, ok := temps[rep]
		if !ok {
			t = f.New(f.regs[rep].class, f.regs[rep].size)
			f.regs[t].size = s.a.size[rep]
			temps[rep] = t
		}
		if (mode == Use || mode == UseDef) && !loaded[rep] {
			loaded[rep] = true
			before = append(before, s.reload(h, rep, t))
		}
		if mode != Use {
			after = append(after, s.m.Store(f.regs[t].class, f.regs[t].size, t, s.slot(rep)))
		}
		*r = t
	})
	for _, list := range [][]*Inst{before, {in}, after} {
		for _, x := range list {
			x.Depth = in.Depth
			f.Insts = append(f.Insts, x)
		}
	}
}

// defOf is the register that in computes from nothing, if it may be repeated.
func (s *spiller) defOf(in *Inst) Reg {
	if !in.Remat {
		return 0
	}
	return s.a.find(in.Args[len(in.Args)-1].Reg)
}

func (s *spiller) reload(h *home, rep, t Reg) *Inst {
	if h.remat == nil {
		return s.m.Load(s.f.regs[t].class, s.f.regs[t].size, t, s.slot(rep))
	}
	c := *h.remat
	c.Args = append([]Arg{}, c.Args...)
	c.Args[len(c.Args)-1].Reg = t
	return &c
}

// fold makes an operand of in that is in memory a memory operand, where the instruction takes one.
func (s *spiller) fold(in *Inst) {
	if s.m.Fold == nil {
		return
	}
	for i, a := range in.Args {
		if a.Kind != KReg || a.Mode != Use || a.Reg == 0 {
			continue
		}
		rep := s.a.find(a.Reg)
		h := s.home[rep]
		if h == nil || s.uses(in, rep) != 1 || !s.m.Fold(in, i, s.a.size[rep]) {
			continue
		}
		switch {
		case h.remat == nil:
			in.Args[i] = s.slot(rep)
		case h.remat.Args[0].Kind == KText && len(h.remat.Args) == 2 && h.remat.Encode == nil:
			in.Args[i] = h.remat.Args[0]
		default:
			continue
		}
		return
	}
}

func (s *spiller) uses(in *Inst, rep Reg) (n int) {
	in.eachReg(func(r *Reg, _ Mode) {
		if s.a.find(*r) == rep {
			n++
		}
	})
	return n
}
