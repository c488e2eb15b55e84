package loop

import "github.com/nnc-go/nnc/target"

// Rewrite gives a builder for passes over a finished kernel: what it makes goes to the block that In names.
// level decides how FMA and the conversions from and to f16 are written.
func Rewrite(f *Func, level *target.Level) *Builder {
	return &Builder{F: f, Level: level, cur: f.Body, konst: map[*Value]uint64{}}
}

// In has emit append to blk.
func (b *Builder) In(blk *Block, emit func()) {
	outer := b.cur
	b.cur = blk
	emit()
	b.cur = outer
}

// Append adds an instruction that stands already, or is built by hand.
func (b *Builder) Append(in *Instr) {
	if in.Op == OpConst {
		b.konst[in.Results[0]] = in.Imm
	}
	b.cur.Instrs = append(b.cur.Instrs, in)
}

// Emit appends an operation without a method of its own and gives its result.
func (b *Builder) Emit(in *Instr, result Type) *Value { return b.emit(in, result) }

// ConstBits gives the bits of the elements of a constant that b has made or been given.
func (b *Builder) ConstBits(v *Value) (uint64, bool) {
	bits, ok := b.konst[v]
	return bits, ok
}

// NewValue makes a value for an instruction that is built by hand.
func (f *Func) NewValue(t Type) *Value { return f.newValue(t, "") }

// Pure reports whether o only computes: it may be merged, moved and dropped.
func (o Op) Pure() bool { return opInfos[o].pure }

// Clone copies f, so that a pass may change the copy.
func Clone(f *Func) *Func {
	c := &cloner{vals: map[*Value]*Value{}, bufs: map[*Buf]*Buf{}}
	g := *f
	g.Bufs = nil
	for _, b := range f.Bufs {
		n := *b
		c.bufs[b] = &n
		g.Bufs = append(g.Bufs, &n)
	}
	g.Ints, g.IntArgs = c.values(f.Ints), append([]int(nil), f.IntArgs...)
	g.Lo, g.Hi = c.value(f.Lo), c.value(f.Hi)
	g.Body = c.block(f.Body)
	return &g
}

type cloner struct {
	vals map[*Value]*Value
	bufs map[*Buf]*Buf
}

func (c *cloner) value(v *Value) *Value {
	w := c.vals[v]
	if w == nil {
		n := *v
		w = &n
		c.vals[v] = w
	}
	return w
}

func (c *cloner) values(vs []*Value) []*Value {
	if vs == nil {
		return nil
	}
	out := make([]*Value, len(vs))
	for i, v := range vs {
		out[i] = c.value(v)
	}
	return out
}

func (c *cloner) block(b *Block) *Block {
	n := &Block{Params: c.values(b.Params), Instrs: make([]*Instr, len(b.Instrs))}
	for i, in := range b.Instrs {
		m := *in
		m.Args, m.Results, m.Buf = c.values(in.Args), c.values(in.Results), c.bufs[in.Buf]
		m.Lanes = append([]int(nil), in.Lanes...)
		m.Blocks = nil
		for _, s := range in.Blocks {
			m.Blocks = append(m.Blocks, c.block(s))
		}
		n.Instrs[i] = &m
	}
	n.Yield = c.values(b.Yield)
	return n
}
