package opt

import (
	"slices"

	"github.com/nnc-go/nnc/ir/loop"
)

// refetch is the opposite of reload, for where registers do not suffice: a loaded vector that waits for several uses is
// loaded for each of them instead, which is less than to store it first, and nothing where arithmetic takes an
// operand from memory. Tiles of three rows by four vectors are such: they want 17 registers of AVX2's 16.
func refetch(f *loop.Func, t *Target) {
	r := &refetcher{b: loop.Rewrite(f, level), defs: definitions(f), regs: t.registers()}
	r.block(f.Body)
}

type refetcher struct {
	b    *loop.Builder
	defs *table[*loop.Instr]
	regs int
}

// fetched is a load that may be repeated, with the places of its uses.
type fetched struct {
	load *loop.Instr
	at   int
	uses []int
}

func (f *fetched) last() int { return f.uses[len(f.uses)-1] }

func (r *refetcher) block(b *loop.Block) {
	for _, in := range b.Instrs {
		for _, s := range in.Blocks {
			r.block(s)
		}
	}
	live := pressure(b, r.defs)
	if len(live) == 0 || slices.Max(live) <= r.regs {
		return
	}
	repeat := map[*loop.Value]*loop.Instr{}
	for _, c := range r.candidates(b) {
		if slices.Max(live[c.at:c.last()]) <= r.regs {
			continue
		}
		for i := c.at; i < c.last(); i++ {
			live[i]--
		}
		repeat[c.load.Results[0]] = c.load
	}
	if len(repeat) > 0 {
		r.rewrite(b, repeat)
	}
}

// takes are the operations that may have an operand in memory.
var takes = map[loop.Op]bool{loop.OpAdd: true, loop.OpSub: true, loop.OpMul: true, loop.OpFMA: true, loop.OpDiv: true}

// candidates lists the loads of float vectors for which arithmetic waits, those with the fewest uses first.
func (r *refetcher) candidates(b *loop.Block) (all []*fetched) {
	open := map[*loop.Value]*fetched{}
	written := map[*loop.Buf]int{}
	for i, in := range b.Instrs {
		for _, a := range in.Args {
			if f := open[a]; f != nil {
				f.uses = append(f.uses, i)
				if !takes[in.Op] || written[f.load.Buf] > f.at {
					delete(open, a)
				}
			}
		}
		for _, s := range in.Blocks {
			for v := range open {
				if uses(s, v) {
					delete(open, v)
				}
			}
			walk(s, func(x *loop.Instr) {
				if x.Op.Writes() {
					written[x.Buf] = i
				}
			})
		}
		if in.Op.Writes() {
			written[in.Buf] = i
		}
		if in.Op == loop.OpLoad && in.Results[0].Type.Lanes > 1 && in.Results[0].Type.Elem.IsFloat() {
			f := &fetched{load: in, at: i}
			open[in.Results[0]] = f
			all = append(all, f)
		}
	}
	for _, y := range b.Yield {
		delete(open, y)
	}
	all = slices.DeleteFunc(all, func(f *fetched) bool { return open[f.load.Results[0]] != f || len(f.uses) < 2 })
	slices.SortStableFunc(all, func(x, y *fetched) int { return len(x.uses) - len(y.uses) })
	return all
}

// uses reports whether b or a block in it uses v.
func uses(b *loop.Block, v *loop.Value) (yes bool) {
	yes = slices.Contains(b.Yield, v)
	walk(b, func(in *loop.Instr) {
		yes = yes || slices.Contains(in.Args, v)
		for _, s := range in.Blocks {
			yes = yes || slices.Contains(s.Yield, v)
		}
	})
	return yes
}

// rewrite repeats loads before their uses.
func (r *refetcher) rewrite(b *loop.Block, repeat map[*loop.Value]*loop.Instr) {
	old := b.Instrs
	b.Instrs = make([]*loop.Instr, 0, len(old)+len(old)/4)
	r.b.In(b, func() {
		for _, in := range old {
			if len(in.Results) == 1 && repeat[in.Results[0]] == in {
				continue
			}
			for i, a := range in.Args {
				if l := repeat[a]; l != nil {
					in.Args[i] = r.b.Load(l.Buf, l.Args[0], l.Results[0].Type.Lanes)
				}
			}
			r.b.Append(in)
		}
	})
}
