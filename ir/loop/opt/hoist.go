package opt

import (
	"slices"

	"github.com/nnc-go/nnc/ir/loop"
)

// hoist moves what does not change in a loop to before it, the innermost loops first, so that it ends as far out as
// it can. It bears in mind that what is moved holds a register throughout the loop:
//
//   - vectors and floats leave innermost loops alone, and no more of them than there are registers left;
//   - nothing leaves a conditional, whose side may be the rare one.
//
// What may trap, an integer division, leaves only loops that surely run. So do loads, from buffers that the kernel
// does not write; those of innermost loops that may not run get a condition of their own.
func hoist(f *loop.Func, t *Target) {
	h := &hoister{b: loop.Rewrite(f, level), defs: definitions(f), regs: t.registers()}
	h.block(f.Body, 1)
}

type hoister struct {
	b     *loop.Builder
	defs  *table[*loop.Instr]
	depth table[int] // how many loops are around the definition, and one; 0 for parameters
	regs  int
}

// block hoists out of the loops in b, which has depth-1 loops around it.
func (h *hoister) block(b *loop.Block, depth int) {
	old := b.Instrs
	b.Instrs = make([]*loop.Instr, 0, len(old)+8)
	h.b.In(b, func() {
		for _, in := range old {
			switch in.Op {
			case loop.OpFor:
				body := in.Blocks[0]
				h.depth.define(body.Params, depth+1)
				h.block(body, depth+1)
				h.leave(in, depth)
			case loop.OpIf:
				h.block(in.Blocks[0], depth)
				h.block(in.Blocks[1], depth)
			}
			h.depth.define(in.Results, depth)
			h.b.Append(in)
		}
	})
}

// leave moves instructions of a loop's body to before it.
func (h *hoister) leave(in *loop.Instr, depth int) {
	body := in.Blocks[0]
	inner, runs := !holdsLoop(body), h.runs(in)
	room := 0
	if inner {
		room = h.regs - spare - slices.Max(append(pressure(body, h.defs), 0))
	}
	var guarded []*loop.Instr
	kept := body.Instrs[:0]
	for _, i := range body.Instrs {
		load := i.Op == loop.OpLoad
		if !h.invariant(i, depth) || !h.worth(i, inner, room) || !runs && !load && h.traps(i) {
			kept = append(kept, i)
			continue
		}
		if load && !runs {
			guarded = append(guarded, i)
		} else {
			if usesAny(i, guarded) {
				h.guard(in, guarded)
				guarded = nil
			}
			h.b.Append(i)
		}
		h.depth.define(i.Results, depth)
		if !isInteger(i.Results[0]) && i.Op != loop.OpConst {
			room--
		}
	}
	body.Instrs = kept
	h.guard(in, guarded)
}

func usesAny(i *loop.Instr, from []*loop.Instr) bool {
	for _, a := range i.Args {
		for _, d := range from {
			if a == d.Results[0] {
				return true
			}
		}
	}
	return false
}

// guard loads before the loop in, if it runs; what it does not use it may get as 0.
func (h *hoister) guard(in *loop.Instr, loads []*loop.Instr) {
	if len(loads) == 0 {
		return
	}
	side := func(makes func(l *loop.Instr) *loop.Value) *loop.Block {
		b := &loop.Block{}
		h.b.In(b, func() {
			for _, l := range loads {
				b.Yield = append(b.Yield, makes(l))
			}
		})
		return b
	}
	c := h.b.Cmp(loop.LT, in.Args[0], in.Args[1])
	g := &loop.Instr{Op: loop.OpIf, Args: []*loop.Value{c}, Blocks: []*loop.Block{
		side(func(l *loop.Instr) *loop.Value { return h.b.Load(l.Buf, l.Args[0], l.Results[0].Type.Lanes) }),
		side(func(l *loop.Instr) *loop.Value { return h.b.Bits(l.Results[0].Type, 0) }),
	}}
	for _, l := range loads {
		g.Results = append(g.Results, l.Results[0])
	}
	h.b.Append(g)
}

// traps reports whether i may stop the program on operands that it would not have met.
func (h *hoister) traps(i *loop.Instr) bool {
	if i.Op != loop.OpDiv && i.Op != loop.OpRem || i.Results[0].Type.Elem.IsFloat() {
		return false
	}
	return !h.isConst(i.Args[1]) || h.defs.get(i.Args[1]).Imm == 0
}

// invariant reports whether all that i needs is there before the loop.
func (h *hoister) invariant(i *loop.Instr, depth int) bool {
	if !i.Op.Pure() && (i.Op != loop.OpLoad || i.Buf.Write) {
		return false
	}
	for _, a := range i.Args {
		if h.depth.get(a) > depth {
			return false
		}
	}
	return true
}

// worth reports whether i should leave a loop.
func (h *hoister) worth(i *loop.Instr, inner bool, room int) bool {
	r := i.Results[0]
	switch {
	case i.Op == loop.OpConst:
		return true
	case i.Op == loop.OpBitcast && h.isConst(i.Args[0]):
		return false // the constant's register does for both
	case i.Op == loop.OpLoad:
		return inner && room > 0
	}
	return isInteger(r) || inner && room > 0
}

func (h *hoister) isConst(v *loop.Value) bool {
	d := h.defs.get(v)
	return d != nil && d.Op == loop.OpConst
}

// runs reports whether a loop runs once at least.
func (h *hoister) runs(in *loop.Instr) bool {
	lo, ok := constant(h.defs, in.Args[0])
	hi, known := constant(h.defs, in.Args[1])
	return ok && known && lo < hi
}
