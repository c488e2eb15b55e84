package opt

import "github.com/nnc-go/nnc/ir/loop"

// straighten drops loops that run never and conditions of loops that run once: lowering writes a loop over whole
// vectors and one over what is left for any length, also where one of them is empty.
func straighten(f *loop.Func, _ *Target) {
	s := &straightener{defs: definitions(f)}
	s.block(f.Body)
}

type straightener struct {
	defs *table[*loop.Instr]
	repl table[*loop.Value]
}

func (s *straightener) block(b *loop.Block) {
	old := b.Instrs
	b.Instrs = make([]*loop.Instr, 0, len(old))
	for _, in := range old {
		s.replace(in.Args)
		if in.Op != loop.OpFor {
			for _, side := range in.Blocks {
				s.block(side)
			}
			b.Instrs = append(b.Instrs, in)
			continue
		}
		body := in.Blocks[0]
		switch n := s.trips(in); n {
		case 0:
			s.become(in.Results, in.Args[2:])
		case 1:
			s.become(body.Params[:1], in.Args[:1])
			s.become(body.Params[1:], in.Args[2:])
			s.block(body)
			b.Instrs = append(b.Instrs, body.Instrs...)
			s.become(in.Results, body.Yield)
		default:
			s.block(body)
			b.Instrs = append(b.Instrs, in)
		}
	}
	s.replace(b.Yield)
}

// trips is how often a loop runs, where that is never or once, else more.
func (s *straightener) trips(in *loop.Instr) int {
	if in.Args[0] == in.Args[1] {
		return 0
	}
	lo, ok := constant(s.defs, in.Args[0])
	hi, known := constant(s.defs, in.Args[1])
	switch {
	case !ok || !known:
		return 2
	case lo >= hi:
		return 0
	case hi-lo <= int64(in.Imm):
		return 1
	}
	return 2
}

func (s *straightener) become(old, now []*loop.Value) {
	for i, v := range old {
		s.repl.set(v, now[i])
	}
}

func (s *straightener) replace(vs []*loop.Value) {
	for i, v := range vs {
		if w := s.repl.get(v); w != nil {
			vs[i] = w
		}
	}
}
