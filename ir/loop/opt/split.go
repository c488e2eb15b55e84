package opt

import (
	"fmt"

	"github.com/nnc-go/nnc/ir/loop"
)

// split cuts what is wider than a register into pieces.
func split(f *loop.Func, t *Target) {
	s := &splitter{b: loop.Rewrite(f, level), width: t.VecBytes, special: splits, wants: map[*loop.Value]int{}, grain: map[*loop.Value]int{}, pieces: map[part][]*loop.Value{}}
	s.plan(f.Body)
	s.block(f.Body, nil)
}

// block rewrites b. own are its parameters that may have become several.
func (s *splitter) block(b *loop.Block, own []*loop.Value) {
	old := b.Instrs
	b.Instrs = nil
	s.b.In(b, func() {
		for _, p := range own {
			s.derive(p, nil)
		}
		for _, in := range old {
			s.instr(in)
		}
	})
}

// get gives the pieces of v in the grain g.
func (s *splitter) get(v *loop.Value, g int) []*loop.Value {
	p := s.pieces[part{v, g}]
	switch {
	case p != nil:
		return p
	case v.Type.Lanes > 1:
		panic(fmt.Sprintf("opt: value %d of %v is not there in pieces of %d", v.ID, v.Type, g))
	}
	return []*loop.Value{v}
}

// own gives the pieces of v in its own grain, and that.
func (s *splitter) own(v *loop.Value) ([]*loop.Value, int) {
	g := max(s.grain[v], 1)
	return s.get(v, g), g
}

// define says of what pieces v consists; what wants other ones gets them here, where all uses see them.
func (s *splitter) define(v *loop.Value, pieces []*loop.Value) {
	s.pieces[part{v, s.grain[v]}] = pieces
	s.derive(v, nil)
}

// derive makes the pieces of v that uses want, by again where that is given, else by shuffles.
func (s *splitter) derive(v *loop.Value, again func(g int) []*loop.Value) {
	if v.Type.Lanes == 1 {
		return
	}
	own, g := s.own(v)
	for w := 2; w <= s.wants[v]; w *= 2 {
		if s.wants[v]&w == 0 || w == g {
			continue
		}
		if again != nil {
			s.pieces[part{v, w}] = again(w)
		} else {
			s.pieces[part{v, w}] = s.regrain(own, g, w)
		}
	}
}

func (s *splitter) regrain(p []*loop.Value, from, to int) (out []*loop.Value) {
	if to < from {
		for _, v := range p {
			for at := 0; at < from; at += to {
				out = append(out, s.b.Shuffle(v, v, count(at, to)...))
			}
		}
		return out
	}
	for ; from < to; from *= 2 {
		out = nil
		for i := 0; i < len(p); i += 2 {
			out = append(out, s.b.Shuffle(p[i], p[i+1], count(0, 2*from)...))
		}
		p = out
	}
	return p
}

// count is from, from+1, ... of n numbers.
func count(from, n int) []int {
	c := make([]int, n)
	for i := range c {
		c[i] = from + i
	}
	return c
}

// splits are the operations whose pieces are not the operation on pieces.
var splits = map[loop.Op]func(s *splitter, in *loop.Instr){
	loop.OpConst: splitUniform, loop.OpBroadcast: splitUniform, loop.OpIota: splitIota, loop.OpExtract: splitExtract, loop.OpShuffle: splitShuffle,
	loop.OpReduceAdd: splitReduce(loop.OpAdd), loop.OpReduceMul: splitReduce(loop.OpMul), loop.OpReduceMin: splitReduce(loop.OpMin), loop.OpReduceMax: splitReduce(loop.OpMax),
	loop.OpStore: splitStore, loop.OpFor: splitFor, loop.OpIf: splitIf,
}

func (s *splitter) instr(in *loop.Instr) {
	if f := s.special[in.Op]; f != nil {
		f(s, in)
		return
	}
	s.lanewise(in)
}

// lanewise does the operation on pieces, of as many bytes or lanes as plan has said; addresses move along.
func (s *splitter) lanewise(in *loop.Instr) {
	n, lanes := 1, 1
	if len(in.Results) > 0 {
		r := in.Results[0]
		lanes = max(s.grain[r], 1)
		n = max(1, r.Type.Lanes/lanes)
	} else { // a masked store
		lanes = s.most(in.Args[1].Type)
		n = in.Args[1].Type.Lanes / lanes
	}
	args := make([][]*loop.Value, len(in.Args))
	for i, a := range in.Args {
		args[i] = s.get(a, a.Type.Lanes/n)
	}
	if n == 1 && (len(in.Results) == 0 || in.Results[0].Type.Lanes == lanes) {
		for i := range in.Args {
			in.Args[i] = args[i][0]
		}
		s.b.Append(in)
		s.keep(in)
		return
	}
	var out []*loop.Value
	for k := range n {
		piece := &loop.Instr{Op: in.Op, Pred: in.Pred, Imm: in.Imm, Buf: in.Buf}
		for i, a := range args {
			v := a[min(k, len(a)-1)]
			if i == 0 && in.Buf != nil && in.Op != loop.OpGather {
				v = s.b.AddInt(v, int64(k*lanes))
			}
			piece.Args = append(piece.Args, v)
		}
		if len(in.Results) == 0 {
			s.b.Append(piece)
			continue
		}
		out = append(out, s.b.Emit(piece, loop.Vec(in.Results[0].Type.Elem, lanes)))
	}
	if out != nil {
		s.define(in.Results[0], out)
	}
}

// keep is define for an instruction that stays whole.
func (s *splitter) keep(in *loop.Instr) {
	for _, r := range in.Results {
		s.define(r, []*loop.Value{r})
	}
}

// splitUniform: all pieces of a constant or broadcast are one.
func splitUniform(s *splitter, in *loop.Instr) {
	r := in.Results[0]
	if r.Type.Lanes == 1 {
		s.b.Append(in)
		return
	}
	again := func(g int) []*loop.Value {
		one := s.b.Emit(&loop.Instr{Op: in.Op, Imm: in.Imm, Args: in.Args}, loop.Vec(r.Type.Elem, g))
		p := make([]*loop.Value, r.Type.Lanes/g)
		for i := range p {
			p[i] = one
		}
		return p
	}
	s.pieces[part{r, s.grain[r]}] = again(s.grain[r])
	s.derive(r, again)
}

func splitIota(s *splitter, in *loop.Instr) {
	r := in.Results[0]
	if r.Type.Lanes == 1 {
		s.b.Append(in)
		return
	}
	again := func(g int) []*loop.Value {
		t := loop.Vec(r.Type.Elem, g)
		p := []*loop.Value{s.b.Iota(t)}
		for k := 1; k < r.Type.Lanes/g; k++ {
			p = append(p, s.b.Add(p[0], s.b.IntOf(t, int64(k*g))))
		}
		return p
	}
	s.pieces[part{r, s.grain[r]}] = again(s.grain[r])
	s.derive(r, again)
}

func splitExtract(s *splitter, in *loop.Instr) {
	p, g := s.own(in.Args[0])
	in.Args[0], in.Imm = p[int(in.Imm)/g], in.Imm%uint64(g)
	s.b.Append(in)
}

func splitStore(s *splitter, in *loop.Instr) {
	p, g := s.own(in.Args[1])
	for k, v := range p {
		s.b.Store(in.Buf, s.b.AddInt(in.Args[0], int64(k*g)), v)
	}
}

// splitReduce combines pieces as lanes are: the first half with the second.
func splitReduce(op loop.Op) func(s *splitter, in *loop.Instr) {
	return func(s *splitter, in *loop.Instr) {
		p := append([]*loop.Value(nil), s.get(in.Args[0], s.most(in.Args[0].Type))...)
		for n := len(p) / 2; n > 0; n /= 2 {
			for i := range n {
				p[i] = s.b.Emit(&loop.Instr{Op: op, Args: []*loop.Value{p[i], p[i+n]}}, p[i].Type)
			}
		}
		in.Args[0] = p[0]
		s.b.Append(in)
	}
}

// splitShuffle makes each piece of the result from the pieces that have its lanes, two at a time, and merges these.
func splitShuffle(s *splitter, in *loop.Instr) {
	x, g := s.own(in.Args[0])
	y, h := s.own(in.Args[1])
	if h != g {
		y = s.regrain(y, h, g)
	}
	src := append(append([]*loop.Value(nil), x...), y...)
	r := in.Results[0]
	if l := in.Lanes[0]; r.Type.Lanes == 1 {
		s.b.Append(&loop.Instr{Op: loop.OpExtract, Args: []*loop.Value{src[l/g]}, Imm: uint64(l % g), Results: in.Results})
		return
	}
	n := max(s.grain[r], 1)
	var out []*loop.Value
	for at := 0; at < r.Type.Lanes; at += n {
		out = append(out, pick(s.b, src, g, in.Lanes[at:at+n]))
	}
	s.define(r, out)
}

// pick gives the chosen lanes of the concatenation of pieces of g lanes.
func pick(b *loop.Builder, src []*loop.Value, g int, lanes []int) *loop.Value {
	n := len(lanes)
	var from []int // the pieces that are needed
	slot := map[int]int{}
	for _, l := range lanes {
		if _, ok := slot[l/g]; !ok {
			slot[l/g] = len(from)
			from = append(from, l/g)
		}
	}
	if len(from) == 1 && n == g && isCount(lanes) {
		return src[from[0]]
	}
	var acc *loop.Value
	for k := 0; k < len(from); k += 2 {
		x := src[from[k]]
		y := x
		if k+1 < len(from) {
			y = src[from[k+1]]
		}
		pick, merge := make([]int, n), make([]int, n)
		for i, l := range lanes {
			merge[i] = i
			if j := slot[l/g]; j == k || j == k+1 {
				pick[i], merge[i] = (j-k)*g+l%g, n+i
			}
		}
		v := b.Shuffle(x, y, pick...)
		if acc != nil {
			v = b.Shuffle(acc, v, merge...)
		}
		acc = v
	}
	return acc
}

// isCount reports whether lanes are those of a piece in order.
func isCount(lanes []int) bool {
	for i, l := range lanes {
		if l != lanes[0]+i {
			return false
		}
	}
	return lanes[0]%len(lanes) == 0
}

// spread replaces each value of vs by its pieces in the largest grain.
func (s *splitter) spread(vs []*loop.Value) (out []*loop.Value) {
	for _, v := range vs {
		out = append(out, s.get(v, s.most(v.Type))...)
	}
	return out
}

// fresh makes the pieces of values that a region defines.
func (s *splitter) fresh(vs []*loop.Value) (out []*loop.Value) {
	for _, v := range vs {
		g := s.most(v.Type)
		if g == v.Type.Lanes {
			s.pieces[part{v, g}] = []*loop.Value{v}
			out = append(out, v)
			continue
		}
		var p []*loop.Value
		for range v.Type.Lanes / g {
			p = append(p, s.b.F.NewValue(loop.Vec(v.Type.Elem, g)))
		}
		s.pieces[part{v, g}] = p
		out = append(out, p...)
	}
	return out
}

func splitFor(s *splitter, in *loop.Instr) {
	blk := in.Blocks[0]
	carried := blk.Params[1:]
	in.Args = append(in.Args[:2:2], s.spread(in.Args[2:])...)
	blk.Params = append(blk.Params[:1:1], s.fresh(carried)...)
	s.block(blk, carried)
	blk.Yield = s.spread(blk.Yield)
	s.results(in)
}

func splitIf(s *splitter, in *loop.Instr) {
	for _, blk := range in.Blocks {
		s.block(blk, nil)
		blk.Yield = s.spread(blk.Yield)
	}
	s.results(in)
}

// results gives a region's instruction its results in pieces.
func (s *splitter) results(in *loop.Instr) {
	old := in.Results
	in.Results = s.fresh(old)
	s.b.Append(in)
	for _, r := range old {
		s.derive(r, nil)
	}
}
