package opt

import (
	"cmp"
	"slices"

	"github.com/nnc-go/nnc/ir/loop"
)

// carry makes the indices of innermost loops that grow by the same in each iteration into carried values, so that one
// addition is all that an iteration spends on each. If nothing else needs the loop's counter then, one of them takes
// its place: the loop runs over the index itself.
func carry(f *loop.Func, _ *Target) {
	c := &carrier{b: loop.Rewrite(f, level), defs: definitions(f)}
	c.block(f.Body, 0)
}

// mostCarried bounds the integers that a loop carries: x86 has 14 registers for them and the buffers' addresses.
const mostCarried = 8

type carrier struct {
	b     *loop.Builder
	defs  *table[*loop.Instr]
	depth table[int] // loops around the definition
	lines table[*line]
	repl  table[*loop.Value]
}

// line is an index a*counter*by + base; by and base do not change in the loop, nil stands for 1 and 0.
type line struct {
	v        *loop.Value
	a        int64
	by, base *loop.Value
	needed   bool // used for other than lines
}

// cost is what a line takes an iteration when it is not carried.
func (l *line) cost() int {
	switch {
	case l.by != nil:
		return 3
	case l.a != 1:
		return 2
	case l.base != nil:
		return 1
	}
	return 0
}

func (c *carrier) block(b *loop.Block, depth int) {
	c.depth.define(b.Params, depth)
	old := b.Instrs
	b.Instrs = make([]*loop.Instr, 0, len(old)+8)
	c.b.In(b, func() {
		for _, in := range old {
			switch {
			case in.Op == loop.OpFor && !holdsLoop(in.Blocks[0]):
				c.mark(in.Blocks[0], depth+1)
				c.loop(in, depth)
			case in.Op == loop.OpFor:
				c.block(in.Blocks[0], depth+1)
			case in.Op == loop.OpIf:
				c.block(in.Blocks[0], depth)
				c.block(in.Blocks[1], depth)
			}
			c.depth.define(in.Results, depth)
			c.b.Append(in)
		}
	})
}

// mark says of all that an innermost loop defines that it is of that depth.
func (c *carrier) mark(b *loop.Block, depth int) {
	c.depth.define(b.Params, depth)
	walk(b, func(in *loop.Instr) {
		c.depth.define(in.Results, depth)
	})
}

// loop rewrites an innermost loop.
func (c *carrier) loop(in *loop.Instr, depth int) {
	body := in.Blocks[0]
	counter := &line{v: body.Params[0], a: 1}
	chosen := c.find(body, counter, depth)
	all := len(chosen) <= mostCarried
	if !all {
		slices.SortStableFunc(chosen, func(x, y *line) int { return cmp.Compare(y.cost(), x.cost()) })
		chosen = chosen[:mostCarried]
	}
	instead := -1 // the line that takes the counter's place
	if all && !counter.needed {
		instead = slices.IndexFunc(chosen, func(l *line) bool { return l.by == nil && l.a > 0 && l.a*int64(in.Imm) <= mostStep })
	}
	for i, l := range chosen {
		if i != instead {
			c.carried(in, l)
		}
	}
	if instead >= 0 {
		c.count(in, chosen[instead])
	}
	c.replace(body)
}

// mostStep bounds the step of a loop: the text form does.
const mostStep = 1 << 20

// find gives the lines of a body that it needs and whose computation takes something.
func (c *carrier) find(body *loop.Block, counter *line, depth int) (needed []*line) {
	var lines []*line
	c.lines.set(counter.v, counter)
	use := func(vs []*loop.Value) {
		for _, v := range vs {
			if l := c.lines.get(v); l != nil {
				l.needed = true
			}
		}
	}
	walk(body, func(in *loop.Instr) {
		if l := c.line(in, depth); l != nil {
			c.lines.set(l.v, l)
			lines = append(lines, l)
			return
		}
		use(in.Args)
	})
	walk(body, func(in *loop.Instr) {
		for _, s := range in.Blocks {
			use(s.Yield)
		}
	})
	use(body.Yield)
	for _, l := range lines {
		if l.needed && l.cost() > 0 {
			needed = append(needed, l)
		}
	}
	return needed
}

// line gives the line that in computes from another, if it does.
func (c *carrier) line(in *loop.Instr, depth int) *line {
	if in.Op != loop.OpAdd && in.Op != loop.OpMul || in.Results[0].Type != loop.Index {
		return nil
	}
	x, y := c.lines.get(in.Args[0]), in.Args[1]
	if x == nil {
		x, y = c.lines.get(in.Args[1]), in.Args[0]
	}
	if x == nil || x.base != nil || c.depth.get(y) > depth {
		return nil
	}
	k, isConst := constant(c.defs, y)
	switch {
	case in.Op == loop.OpAdd && !isConst:
		return &line{v: in.Results[0], a: x.a, by: x.by, base: y}
	case in.Op == loop.OpMul && isConst && k != 0:
		return &line{v: in.Results[0], a: x.a * k, by: x.by}
	case in.Op == loop.OpMul && !isConst && x.by == nil:
		return &line{v: in.Results[0], a: x.a, by: y}
	}
	return nil
}

// at gives a line's value where the counter is n, without the base.
func (c *carrier) at(l *line, n *loop.Value) *loop.Value {
	v := c.times(n, l.a)
	if l.by != nil {
		v = c.b.Mul(v, l.by)
	}
	return v
}

// times is n*k, known at once for constants.
func (c *carrier) times(n *loop.Value, k int64) *loop.Value {
	if m, ok := constant(c.defs, n); ok {
		return c.b.Int(m * k)
	}
	return c.b.MulInt(n, k)
}

// start is the line's value at the counter n.
func (c *carrier) start(l *line, n *loop.Value) *loop.Value {
	v := c.at(l, n)
	if l.base == nil {
		return v
	}
	return c.b.Add(l.base, v)
}

// carried has the loop carry a line.
func (c *carrier) carried(in *loop.Instr, l *line) {
	body := in.Blocks[0]
	init := c.start(l, in.Args[0])
	step := c.at(l, c.b.Int(int64(in.Imm)))
	p := c.b.F.NewValue(loop.Index)
	c.repl.set(l.v, p)
	body.Params = append(body.Params, p)
	c.b.In(body, func() {
		body.Yield = append(body.Yield, c.b.Add(p, step))
	})
	in.Args = append(in.Args, init)
	in.Results = append(in.Results, c.b.F.NewValue(loop.Index))
}

// count has the loop count in a line instead of its counter.
func (c *carrier) count(in *loop.Instr, l *line) {
	lo, hi := c.start(l, in.Args[0]), c.start(l, in.Args[1])
	in.Args[0], in.Args[1] = lo, hi
	in.Imm *= uint64(l.a)
	c.repl.set(l.v, in.Blocks[0].Params[0])
}

// replace puts what is carried where lines were computed.
func (c *carrier) replace(b *loop.Block) {
	change := func(vs []*loop.Value) {
		for i, v := range vs {
			if w := c.repl.get(v); w != nil {
				vs[i] = w
			}
		}
	}
	change(b.Yield)
	walk(b, func(in *loop.Instr) {
		change(in.Args)
		for _, s := range in.Blocks {
			change(s.Yield)
		}
	})
}
