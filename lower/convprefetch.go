package lower

import (
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// prefetch fetches the weights that are used after those at offset at of each block: the next group's where a group is
// used for all rows, else those that follow this convolution's in the file, which mostly are the next one's. They come
// from memory while tiles compute, each pass over the group's weights fetching a part of them: a model's weights are
// rarely all in cache, and what the processor fetches by itself ends at each page. The condition also keeps the
// prefetches out of the block that computes, where LLVM would not move loads across them and run out of registers.
func (r *convRow) prefetch(ow0, at *loop.Value) {
	if !r.prefetches() {
		return
	}
	n, rows := int64(r.vs[len(r.vs)-1].block+1), int64(r.tileFor(r.Level).rows)
	lines := n * block
	each := (lines + r.passes(rows) - 1) / r.passes(rows)
	ahead := r.weightLen()
	if !r.rowsOuter() {
		ahead = n * r.perBlock()
	}
	pass := r.Add(r.MulInt(r.oh, r.rowTiles(rows)), r.Div(ow0, r.Int(rows)))
	r.choose(r.Cmp(loop.LT, pass, r.Int((lines+each-1)/each)), func() {
		from := r.Add(r.AddInt(r.Add(r.MulInt(r.ob, r.perBlock()), r.MulInt(at, n)), ahead), r.MulInt(pass, each*block))
		for l := range each {
			r.Prefetch(r.WeightBuf(r.weights, tensor.F32), r.AddInt(from, l*block))
		}
	}, nil)
}

// rowTiles is the number of tiles of a row.
func (v *conv) rowTiles(rows int64) int64 { return (v.ow.Value() + rows - 1) / rows }

// passes is the number of times that the tiles of an image read each weight.
func (v *conv) passes(rows int64) int64 { return v.oh.Value() * v.rowTiles(rows) }

// prefetches: what a few pixels compute is too short to hide a fetch, and short reductions are unrolled whole.
func (r *convRow) prefetches() bool {
	const leastPasses, leastBlocks = 3, 3
	if r.pairs || !r.pointwise() || !r.conv.oh.IsConst() || !r.conv.ow.IsConst() || r.inBlocks() < leastBlocks {
		return false
	}
	return r.passes(int64(r.tileFor(r.Level).rows)) >= leastPasses
}
