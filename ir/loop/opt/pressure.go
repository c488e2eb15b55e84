package opt

import "github.com/nnc-go/nnc/ir/loop"

// spare is how many vector registers are left to what an instruction needs besides its operands.
const spare = 2

// pressure counts the vectors and floats, but constants, that are needed across each instruction of b.
func pressure(b *loop.Block, defs *table[*loop.Instr]) []int {
	p := &presser{defs: defs, last: map[*loop.Value]int{}, inside: map[*loop.Value]bool{}}
	p.uses(b)
	live := make([]int, len(b.Instrs))
	count := func(vs []*loop.Value, from int) {
		for _, v := range vs {
			p.inside[v] = true
			for i := from; i < p.last[v] && i < len(live); i++ {
				live[i]++
			}
		}
	}
	count(b.Params, 0)
	for i, in := range b.Instrs {
		if in != nil {
			count(in.Results, i)
		}
	}
	outside := 0
	for v := range p.last {
		if !p.inside[v] {
			outside++
		}
	}
	for i := range live {
		live[i] += outside
	}
	return live
}

type presser struct {
	defs   *table[*loop.Instr]
	last   map[*loop.Value]int  // the last use, by the instruction of the block that it is in
	inside map[*loop.Value]bool // defined in the block
}

func (p *presser) uses(b *loop.Block) {
	for i, in := range b.Instrs {
		if in == nil {
			continue
		}
		p.use(in.Args, i)
		for _, s := range in.Blocks {
			p.nested(s, i)
		}
	}
	p.use(b.Yield, len(b.Instrs))
}

// nested notes the uses in a block inside instruction i; what it defines is none of the block's.
func (p *presser) nested(b *loop.Block, i int) {
	own := func(vs []*loop.Value) {
		for _, v := range vs {
			p.inside[v] = true
		}
	}
	own(b.Params)
	for _, in := range b.Instrs {
		p.use(in.Args, i)
		for _, s := range in.Blocks {
			p.nested(s, i)
		}
		own(in.Results)
	}
	p.use(b.Yield, i)
}

func (p *presser) use(vs []*loop.Value, i int) {
	for _, v := range vs {
		if d := p.defs.get(v); !isInteger(v) && (d == nil || d.Op != loop.OpConst) {
			p.last[v] = i
		}
	}
}
