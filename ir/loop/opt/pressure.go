package opt

import "github.com/nnc-go/nnc/ir/loop"

// spare is how many vector registers are left to what an instruction needs besides its operands.
const spare = 2

// pressure counts the vectors and floats, but constants, that are needed across each instruction of b.
func pressure(b *loop.Block, defs *table[*loop.Instr]) []int {
	last := map[*loop.Value]int{}
	use := func(vs []*loop.Value, i int) {
		for _, v := range vs {
			if d := defs.get(v); !isInteger(v) && (d == nil || d.Op != loop.OpConst) {
				last[v] = i
			}
		}
	}
	for i, in := range b.Instrs {
		if in == nil {
			continue
		}
		use(in.Args, i)
		for _, s := range in.Blocks {
			walk(s, func(in *loop.Instr) { use(in.Args, i) })
		}
	}
	use(b.Yield, len(b.Instrs))
	live := make([]int, len(b.Instrs))
	inside := map[*loop.Value]bool{}
	count := func(v *loop.Value, from int) {
		inside[v] = true
		for i := from; i < last[v] && i < len(live); i++ {
			live[i]++
		}
	}
	for _, p := range b.Params {
		count(p, 0)
	}
	for i, in := range b.Instrs {
		if in == nil {
			continue
		}
		for _, v := range in.Results {
			count(v, i)
		}
	}
	outside := 0
	for v := range last {
		if !inside[v] {
			outside++
		}
	}
	for i := range live {
		live[i] += outside
	}
	return live
}
