package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// blockSelect is BlockedSelect: it picks the channels of a blocked tensor out of those of others. All channels of a pixel
// are written one after another, each vector by shuffles of those that hold its channels.
type blockSelect struct {
	*K
	xs     []*ir.Value
	out    *ir.Value
	pixels ir.Dim
	from   []laneOf
}

// laneOf is a lane of the blocks of operand x.
type laneOf struct{ x, lane int }

func lowerBlockedSelect(c *Ctx, op *ir.Op) error {
	s := &blockSelect{xs: op.Operands, out: op.Results[0]}
	var at []laneOf // by lane of all operands
	bytes := bytesOf(s.out).MulInt(2)
	for i, x := range s.xs {
		if x.Type.DType != tensor.F32 || !x.Type.Shape[1].IsConst() {
			return errDecline
		}
		for l := range x.Type.Shape[1].Value() * block {
			at = append(at, laneOf{i, int(l)})
		}
	}
	for _, l := range op.Attrs.Ints("from", nil) {
		s.from = append(s.from, at[l])
	}
	shape := s.out.Type.Shape
	s.pixels = shape[2].Mul(shape[3])
	chunks := s.pixels.CeilDiv(selectChunk)
	return c.Kernel(Step{
		Op: op, Name: "select", Ins: s.xs, Outs: []*ir.Value{s.out}, Par: shape[0].Mul(chunks), NsPerIter: float64(selectChunk*len(s.from)) / 8, Bytes: bytes,
		Build: func(k *K) {
			s := *s
			s.K = k
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, shape[0], chunks)
				lo := k.MulInt(co[1], selectChunk)
				k.Range(lo, k.MinIdx(k.AddInt(lo, selectChunk), k.Dim(s.pixels)), 1, func(p *loop.Value) { s.pixel(co[0], p) })
			})
		},
	})
}

// selectChunk is how many pixels an iteration moves.
const selectChunk = 32

// pixel writes all channels of pixel p of image n.
func (s *blockSelect) pixel(n, p *loop.Value) {
	lanes := s.Level.Lanes(4)
	bases := make([]*loop.Value, len(s.xs))
	place := func(v *ir.Value) *loop.Value {
		return s.Add(s.MulDim(n, s.pixels.Mul(v.Type.Shape[1]).MulInt(block)), s.MulInt(p, block))
	}
	for i, x := range s.xs {
		bases[i] = place(x)
	}
	vector := func(base *loop.Value, lane int) *loop.Value {
		return s.AddInt(s.Add(base, s.Dim(s.pixels.MulInt(int64(lane/block*block)))), int64(lane%block))
	}
	to := place(s.out)
	for first := 0; first < len(s.from); first += lanes {
		var acc *loop.Value
		for _, g := range bySource(s.from[first:min(first+lanes, len(s.from))], lanes) {
			v := s.Load(s.Buf(s.xs[g.src.x]), vector(bases[g.src.x], g.src.lane), lanes)
			if acc == nil {
				acc = v
				if !g.inPlace {
					acc = s.Shuffle(v, v, g.alone...)
				}
				continue
			}
			acc = s.Shuffle(acc, v, g.merged...)
		}
		s.Store(s.Buf(s.out), vector(to, first), acc)
	}
}

// laneGroup are the lanes of a result vector that come from one source vector.
type laneGroup struct {
	src     laneOf // the vector's first lane
	alone   []int  // picks them out of the source, other lanes at will
	merged  []int  // puts them among those of the groups before
	inPlace bool   // whether they stand where they belong
}

// bySource groups the lanes of a result vector.
func bySource(from []laneOf, lanes int) []*laneGroup {
	var groups []*laneGroup
	index := map[laneOf]*laneGroup{}
	for i, l := range from {
		src := laneOf{l.x, l.lane / lanes * lanes}
		g := index[src]
		if g == nil {
			g = &laneGroup{src: src, inPlace: true}
			for j := range lanes {
				g.alone, g.merged = append(g.alone, j), append(g.merged, j)
			}
			index[src] = g
			groups = append(groups, g)
		}
		g.alone[i], g.merged[i] = l.lane%lanes, lanes+l.lane%lanes
		g.inPlace = g.inPlace && l.lane%lanes == i
	}
	return groups
}
