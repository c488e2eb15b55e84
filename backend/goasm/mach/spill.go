package mach

import (
	"fmt"
	"slices"
)

// spill rewrites f so that the given registers (representatives of what a has coalesced) live in memory.
//
// A register that is used in a loop and around it gets another one inside the loop, loaded before and stored
// after: so the accumulators of a loop stay in registers though what follows it needs more registers than
// there are. Elsewhere each use loads and each definition stores. A register that one repeatable instruction
// defines is computed again instead of loaded.
func (f *Func) spill(m *Machine, a *allocator, spilled []Reg, split bool) {
	s := &spiller{f: f, m: m, home: map[Reg]*home{}, a: a}
	for _, r := range spilled {
		s.home[r] = &home{rep: r}
	}
	s.survey()
	if split {
		s.chooseLoops()
	}
	old := f.Insts
	f.Insts = make([]*Inst, 0, len(old)+len(old)/4)
	for i, in := range old {
		s.enter(old, i)
		s.inst(in)
		s.leave(old, i)
	}
}

// home is where a spilled register lives.
type home struct {
	rep      Reg
	remat    *Inst
	slot     *slot
	seen     bool
	defs     int
	min, max uint8 // depths of its uses and definitions
	inside   uint8 // max of the members'
	level    uint8 // depth from which a loop has a register of its own; 0 is none
	reg      Reg   // of the loop that is being rewritten
	written  bool  // there
}

// slot is memory for registers that are never needed at once.
type slot struct {
	at      Arg
	general bool // not for vectors
	size    int
	taken   []segment
}

type spiller struct {
	f    *Func
	m    *Machine
	a    *allocator
	home map[Reg]*home
	list []*home // in the order of their first use
	made []*slot // those that may be shared
}

// survey finds the depths and definitions of what is spilled.
func (s *spiller) survey() {
	for _, in := range s.f.Insts {
		var last *home // an instruction may name what it writes several times
		in.eachReg(func(r *Reg, mode Mode) {
			h := s.home[s.a.find(*r)]
			if h == nil || h == last && mode != Use {
				return
			}
			if !h.seen {
				h.seen, h.min = true, in.Depth
				s.list = append(s.list, h)
			}
			h.min, h.max, h.inside = min(h.min, in.Depth), max(h.max, in.Depth), max(h.inside, s.f.regs[*r].inside)
			if mode == Use {
				return
			}
			last = h
			h.defs++
			h.remat = nil
			if in.Remat && h.defs == 1 {
				h.remat = in
			}
		})
	}
}

// chooseLoops decides from which depth on loops have registers of their own: from the first at which there is a loop that the register is
// used in; next time the innermost.
func (s *spiller) chooseLoops() {
	for _, h := range s.list {
		switch {
		case h.inside == 0 && h.max > h.min:
			h.level = h.min + 1
		case h.inside > 0 && h.max > h.inside:
			h.level = h.max
		}
	}
}

// enter gives the loops that begin at instruction i their registers.
func (s *spiller) enter(insts []*Inst, i int) {
	for _, h := range s.list {
		if h.level == 0 || insts[i].Depth < h.level || i > 0 && insts[i-1].Depth >= h.level {
			continue
		}
		used := false
		for j := i; j < len(insts) && insts[j].Depth >= h.level; j++ {
			insts[j].eachReg(func(r *Reg, _ Mode) { used = used || s.a.find(*r) == h.rep })
		}
		if !used {
			continue
		}
		h.reg, h.written = s.temp(h), false
		s.f.regs[h.reg].inside = h.level
		if s.needed(h, i) {
			s.emit(s.reload(h, h.reg), h.level-1)
		}
	}
}

// needed reports whether h has a value that is needed before instruction i.
func (s *spiller) needed(h *home, i int) bool {
	at := segment{int32(2 * i), int32(2*i + 1)}
	return overlaps([]segment{at}, s.a.ivs[h.rep].segs)
}

// leave stores what the loops that end with instruction i have changed.
func (s *spiller) leave(insts []*Inst, i int) {
	for _, h := range s.list {
		if h.reg == 0 || i+1 < len(insts) && insts[i+1].Depth >= h.level {
			continue
		}
		if h.written && s.needed(h, i+1) {
			s.emit(s.save(h, h.reg), h.level-1)
		}
		h.reg = 0
	}
}

func (s *spiller) emit(in *Inst, depth uint8) {
	in.Depth = depth
	s.f.Insts = append(s.f.Insts, in)
}

// temp makes a register for values of h.
func (s *spiller) temp(h *home) Reg {
	return s.f.New(s.f.regs[h.rep].class, s.a.size[h.rep])
}

// slot is the memory of h: general and predicate registers in the frame, vectors in the scratch memory,
// which is aligned. Registers that are spilled together share where they can.
func (s *spiller) slot(h *home) Arg {
	if h.slot != nil {
		return h.slot.at
	}
	general, size, segs := s.f.regs[h.rep].class != Vec, max(s.a.size[h.rep], 8), s.a.ivs[h.rep].segs
	i := slices.IndexFunc(s.made, func(o *slot) bool {
		return o.general == general && o.size == size && !overlaps(o.taken, segs)
	})
	if i < 0 {
		i = len(s.made)
		s.made = append(s.made, s.newSlot(general, size))
	}
	h.slot = s.made[i]
	h.slot.taken = merge(h.slot.taken, segs)
	return h.slot.at
}

func (s *spiller) newSlot(general bool, size int) *slot {
	f := s.f
	if general && f.frame+8 <= maxFrame-s.m.FrameBase {
		f.frame += 8
		return &slot{at: Text(fmt.Sprintf("%d(%s)", s.m.FrameBase+f.frame-8, s.m.SP)), general: true, size: size}
	}
	n := int64(size)
	f.Locals = (f.Locals + n - 1) / n * n
	f.Locals += n
	return &slot{at: Mem(f.Scratch, f.Locals-n), general: general, size: size}
}

func (s *spiller) inst(in *Inst) {
	f := s.f
	if in.Move && s.home[s.a.find(in.Args[0].Reg)] != nil && s.a.find(in.Args[0].Reg) == s.a.find(in.Args[1].Reg) {
		return // from one place in memory to itself
	}
	if h := s.home[s.defOf(in)]; h != nil && h.remat == in { // repeated at each use
		if h.rep == s.a.find(f.Scratch) { // spilling makes new uses of the scratch memory's address
			s.emit(in, in.Depth)
		}
		return
	}
	s.fold(in)
	var after []*Inst
	temps := map[Reg]Reg{}
	loaded, stored := map[Reg]bool{}, map[Reg]bool{}
	in.eachReg(func(r *Reg, mode Mode) {
		h := s.home[s.a.find(*r)]
		if h == nil {
			return
		}
		if h.reg != 0 {
			*r = h.reg
			h.written = h.written || mode != Use
			return
		}
		t, ok := temps[h.rep]
		if !ok {
			t = s.temp(h)
			temps[h.rep] = t
		}
		if (mode == Use || mode == UseDef) && !loaded[h.rep] {
			loaded[h.rep] = true
			s.emit(s.reload(h, t), in.Depth)
		}
		if mode != Use && !stored[h.rep] {
			stored[h.rep] = true
			after = append(after, s.save(h, t))
		}
		*r = t
	})
	s.emit(in, in.Depth)
	for _, x := range after {
		s.emit(x, in.Depth)
	}
}

// defOf is the register that in computes from nothing, if it may be repeated.
func (s *spiller) defOf(in *Inst) Reg {
	if !in.Remat {
		return 0
	}
	return s.a.find(in.Args[len(in.Args)-1].Reg)
}

// save puts t into the memory of h.
func (s *spiller) save(h *home, t Reg) *Inst {
	in := s.m.Store(s.f.regs[t].class, s.f.regs[t].size, t, s.slot(h))
	in.Comment = "spill"
	return in
}

// reload sets t to the value of h.
func (s *spiller) reload(h *home, t Reg) *Inst {
	if h.remat == nil {
		in := s.m.Load(s.f.regs[t].class, s.f.regs[t].size, t, s.slot(h))
		in.Comment = "reload"
		return in
	}
	c := *h.remat
	c.Args = append([]Arg{}, c.Args...)
	for i := range c.Args {
		if c.Args[i].Kind == KReg {
			c.Args[i].Reg = t
		}
	}
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
		if h == nil || h.reg != 0 || s.uses(in, rep) != 1 || !s.m.Fold(in, i, s.a.size[rep]) {
			continue
		}
		switch {
		case h.remat == nil:
			in.Args[i] = s.slot(h)
		case h.remat.Args[0].Kind == KText && h.remat.Op == s.m.Load(s.f.regs[rep].class, s.a.size[rep], rep, h.remat.Args[0]).Op:
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
