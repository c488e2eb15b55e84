package purego

import "github.com/nnc-go/nnc/ir/loop"

// uses says what of a kernel is needed.
type uses struct {
	def   map[*loop.Value]*loop.Instr // of values that an instruction without regions gives
	run   map[*loop.Value]int         // the straight line of code that defines a value
	depth map[*loop.Value]int         // of the computation of a value in its straight line
	need  map[lane]bool
	// far are the needed lanes that something outside of their straight line uses.
	far  map[lane]bool
	bufs map[*loop.Buf]bool
	ends map[*loop.Block]int // the line of a block's yields

	lines   int
	changed bool
}

func (u *uses) of(l lane) bool { return u.need[l] }

// straight reports whether an instruction is part of a straight line, inside of which order is free.
func straight(in *loop.Instr) bool { return len(in.Blocks) == 0 && !in.Op.Writes() }

// findUses finds out what the stores of the kernel need. Operands are those that the renderings ask for.
func (r *renderer) findUses() {
	u := &uses{def: map[*loop.Value]*loop.Instr{}, run: map[*loop.Value]int{}, depth: map[*loop.Value]int{}, need: map[lane]bool{}, far: map[lane]bool{}, bufs: map[*loop.Buf]bool{}, ends: map[*loop.Block]int{}}
	u.number(r.f.Body)
	r.uses, r.dry = u, true
	defer func() { r.dry = false }()
	for u.changed = true; u.changed; {
		u.changed = false
		r.walk(u, r.f.Body)
	}
}

// number gives every straight line a number.
func (u *uses) number(b *loop.Block) {
	for _, p := range b.Params {
		u.lines++
		u.run[p] = u.lines
	}
	u.lines++
	for _, in := range b.Instrs {
		if !straight(in) {
			u.lines++
		}
		for _, v := range in.Results {
			u.run[v] = u.lines
			u.def[v] = in
			for _, a := range in.Args {
				if u.run[a] == u.lines {
					u.depth[v] = max(u.depth[v], 1+u.depth[a])
				}
			}
		}
		if straight(in) {
			continue
		}
		for _, s := range in.Blocks {
			u.number(s)
		}
		u.lines++
	}
	u.lines++
	u.ends[b] = u.lines
}

// mark notes that line run uses l.
func (u *uses) mark(l lane, run int) {
	if !u.need[l] {
		u.need[l], u.changed = true, true
	}
	if u.run[l.v] != run && !u.far[l] {
		u.far[l], u.changed = true, true
	}
}

// walk goes through a block backwards.
func (r *renderer) walk(u *uses, b *loop.Block) {
	const elsewhere = -1
	for i := len(b.Instrs) - 1; i >= 0; i-- {
		in := b.Instrs[i]
		run := elsewhere
		if straight(in) {
			run = u.run[in.Results[0]]
		}
		r.arg = func(l lane) string {
			u.mark(l, run)
			return "x"
		}
		switch {
		case u.idle(in):
		case in.Op == loop.OpFor:
			r.walkLoop(u, in)
		case in.Op == loop.OpIf:
			r.arg(lane{in.Args[0], 0})
			for _, s := range in.Blocks {
				for k, y := range s.Yield {
					u.pass(in.Results[k], y)
				}
				r.walk(u, s)
			}
		case in.Op.Writes():
			u.bufs[in.Buf] = true
			r.store(in)
		default:
			r.walkLanes(u, in)
		}
	}
}

func (r *renderer) walkLanes(u *uses, in *loop.Instr) {
	v := in.Results[0]
	for l := range v.Type.Lanes {
		if u.need[lane{v, l}] {
			if in.Buf != nil {
				u.bufs[in.Buf] = true
			}
			r.instr(in, l, "x")
		}
	}
}

// pass marks the lanes of from that become needed lanes of to.
func (u *uses) pass(to, from *loop.Value) {
	for l := range to.Type.Lanes {
		if u.need[lane{to, l}] {
			u.mark(lane{from, l}, -1)
		}
	}
}

// walkLoop: a carried value is one variable, needed when the body's parameter or the result is.
func (r *renderer) walkLoop(u *uses, in *loop.Instr) {
	b := in.Blocks[0]
	r.arg(lane{in.Args[0], 0})
	r.arg(lane{in.Args[1], 0})
	carry := func() {
		for k, p := range b.Params[1:] {
			u.pass(in.Results[k], b.Yield[k])
			u.pass(p, b.Yield[k])
			u.pass(in.Results[k], in.Args[2+k])
			u.pass(p, in.Args[2+k])
		}
	}
	carry()
	r.walk(u, b)
	carry()
}

// idle reports whether a loop or conditional does nothing that is needed.
func (u *uses) idle(in *loop.Instr) bool {
	if len(in.Blocks) == 0 {
		return false
	}
	for k, v := range in.Results {
		for l := range v.Type.Lanes {
			if u.need[lane{v, l}] || in.Op == loop.OpFor && u.need[lane{in.Blocks[0].Params[k+1], l}] {
				return false
			}
		}
	}
	for _, b := range in.Blocks {
		for _, i := range b.Instrs {
			if i.Op.Writes() || len(i.Blocks) > 0 && !u.idle(i) {
				return false
			}
		}
	}
	return true
}
