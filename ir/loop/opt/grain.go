package opt

import (
	"math/bits"

	"github.com/nnc-go/nnc/ir/loop"
)

// The grain of a vector is the number of lanes of its pieces. Operations between elements of different widths meet
// at the grain of the widest; the narrower operand is then wanted in smaller pieces than its register could hold.
// plan chooses grains from the last instruction to the first, so that what is cheap to make in small pieces
// (loads, constants, conversions) is made in those that its uses want, and arithmetic in full registers.

// fine are the operations that take the grain that their uses want.
var fine = map[loop.Op]bool{
	loop.OpLoad: true, loop.OpLoadMask: true, loop.OpGather: true, loop.OpConst: true, loop.OpBroadcast: true, loop.OpIota: true,
	loop.OpConvert: true, loop.OpCmp: true, loop.OpShuffle: true, loop.OpBitcast: true,
}

type splitter struct {
	b       *loop.Builder
	width   int
	special map[loop.Op]func(s *splitter, in *loop.Instr) // splits, by way of which the table may hold what uses it
	wants   map[*loop.Value]int                           // the grains that uses want, which are powers of two, or-ed
	grain   map[*loop.Value]int
	pieces  map[part][]*loop.Value
}

// part is a value in pieces of some lanes.
type part struct {
	v     *loop.Value
	lanes int
}

// most is the largest grain of a type.
func (s *splitter) most(t loop.Type) int { return min(t.Lanes, s.width/t.Elem.Size()) }

func (s *splitter) want(v *loop.Value, lanes int) { s.wants[v] |= lanes }

func (s *splitter) plan(b *loop.Block) {
	for i := len(b.Instrs) - 1; i >= 0; i-- {
		in := b.Instrs[i]
		switch {
		case in.Op == loop.OpFor:
			s.planRegions(in, in.Results, in.Blocks[0].Params[1:], in.Args[2:], in.Blocks[0].Yield)
		case in.Op == loop.OpIf:
			s.planRegions(in, in.Results, in.Blocks[0].Yield, in.Blocks[1].Yield)
		default:
			s.planInstr(in)
		}
	}
}

// planRegions gives the values that are one and the same to a region the largest grain.
func (s *splitter) planRegions(in *loop.Instr, same ...[]*loop.Value) {
	for i, r := range in.Results {
		for _, vs := range same {
			s.want(vs[i], s.most(r.Type))
		}
	}
	for _, blk := range in.Blocks {
		for _, p := range blk.Params {
			s.grain[p] = s.most(p.Type)
		}
		s.plan(blk)
	}
	for _, r := range in.Results {
		s.grain[r] = s.most(r.Type)
	}
}

func (s *splitter) planInstr(in *loop.Instr) {
	g := 1 << 16
	for _, vs := range [][]*loop.Value{in.Results, in.Args} {
		for _, v := range vs {
			if v.Type.Lanes > 1 {
				g = min(g, s.most(v.Type))
			}
		}
	}
	switch in.Op {
	case loop.OpStore, loop.OpExtract:
		return // they take what is there
	case loop.OpReduceAdd, loop.OpReduceMul, loop.OpReduceMin, loop.OpReduceMax:
		s.want(in.Args[0], s.most(in.Args[0].Type))
		return
	}
	if len(in.Results) > 0 {
		r := in.Results[0]
		if in.Op == loop.OpShuffle || in.Op == loop.OpBitcast {
			g = s.most(r.Type)
		}
		if w := s.wants[r]; w != 0 && fine[in.Op] {
			g = min(g, 1<<(bits.Len(uint(w))-1))
		}
	}
	switch in.Op {
	case loop.OpShuffle:
	case loop.OpBitcast:
		g = s.planBitcast(in, g)
	case loop.OpDot4:
		g = s.most(in.Results[0].Type)
		s.want(in.Args[0], g)
		s.want(in.Args[1], 4*g)
		s.want(in.Args[2], 4*g)
	default:
		for _, a := range in.Args {
			if a.Type.Lanes > 1 {
				s.want(a, g)
			}
		}
	}
	if len(in.Results) > 0 {
		s.grain[in.Results[0]] = min(g, in.Results[0].Type.Lanes)
	}
}

// planBitcast lets pieces of as many bytes meet, of two lanes at least.
func (s *splitter) planBitcast(in *loop.Instr, g int) int {
	a, r := in.Args[0].Type, in.Results[0].Type
	if a.Lanes == 1 || r.Lanes == 1 {
		s.want(in.Args[0], a.Lanes)
		return r.Lanes
	}
	n := max(g*r.Elem.Size()/a.Elem.Size(), 2)
	s.want(in.Args[0], n)
	return n * a.Elem.Size() / r.Elem.Size()
}
