package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// storeTile writes the pixels of a tile from column ow0 on.
func (r *convRow) storeTile(a accs, ow0 *loop.Value) {
	twice := len(a) > 1 && r.twice()
	wait := func(p *loop.Value, j int) (*loop.Buf, *loop.Value) {
		if r.conv.out.Type.DType == tensor.F32 {
			return r.Buf(r.conv.out), r.index(r.Add(ow0, p), j)
		}
		pixel := int64(len(r.vs) * block)
		return r.waiting(int64(len(a)) * pixel), r.AddInt(r.MulInt(p, pixel), int64(j*block))
	}
	for p := range a {
		for j, acc := range a[p] {
			if twice {
				buf, at := wait(r.Int(int64(p)), j)
				r.Store(buf, at, acc)
			} else {
				r.store(r.AddInt(ow0, int64(p)), j, acc)
			}
		}
		r.pad(r.AddInt(ow0, int64(p)))
	}
	if !twice {
		return
	}
	r.Range(r.Int(0), r.Int(int64(len(a))), 1, func(p *loop.Value) {
		for j, v := range r.vs {
			buf, at := wait(p, j)
			r.store(r.Add(ow0, p), j, r.Load(buf, at, v.lanes))
		}
	})
}

// twice reports whether a tile's sums wait to be finished in a loop over its pixels.
func (v *conv) twice() bool { return waits(v.out) && v.body.long() }

// index is where vector j of the tile goes for output column ow.
func (r *convRow) index(ow *loop.Value, j int) *loop.Value {
	v := r.vs[j]
	pixel := r.Flatten([]*loop.Value{r.n, r.AddInt(r.ob, int64(v.block)), r.oh, ow}, []ir.Dim{r.conv.n, r.conv.out.Type.Shape[1], r.conv.oh, r.conv.ow})
	return r.AddInt(r.MulInt(pixel, block), int64(v.lane))
}

// pad writes zeros to what the tile's vectors leave of the last block.
func (r *convRow) pad(ow *loop.Value) {
	last := r.vs[len(r.vs)-1]
	end := r.index(ow, len(r.vs)-1)
	for at := last.lane + last.lanes; at < block; at += last.lanes {
		r.Store(r.Buf(r.conv.out), r.AddInt(end, int64(at-last.lane)), r.Bits(loop.Vec(r.conv.out.Type.DType, last.lanes), 0))
	}
}

// store applies the epilogue to vector j of the tile at output column ow and writes it.
func (r *convRow) store(ow *loop.Value, j int, acc *loop.Value) {
	v := r.vs[j]
	r.K.storeBlocked(r.conv.out, r.body, r.n, r.AddInt(r.ob, int64(v.block)), r.oh, ow, r.conv.oh, r.conv.ow, r.Int(int64(v.lane)), acc, v.lanes)
}

// storeBlocked applies an epilogue at (n, ob, oh, ow, lane) of a blocked tensor and writes the result.
// ohs and ows are the sizes of rows and columns as the kernel walks them (flattened or not).
func (k *K) storeBlocked(out *ir.Value, b *body, n, ob, oh, ow *loop.Value, ohs, ows ir.Dim, lane, acc *loop.Value, lanes int) {
	shape := out.Type.Shape
	nb := shape[1]
	res := b.apply(k, acc, lanes, func(v *ir.Value) *loop.Value {
		st, ok := BroadcastStrides(v.Type.Shape, shape)
		if !ok {
			k.Fail(errDecline)
			return acc
		}
		if !ows.Equal(shape[3]) { // flattened: rows are longer
			st[2] = st[3].Mul(ows)
		}
		return k.loadStrided(v, st, []*loop.Value{n, ob, oh, ow, lane}, lanes, nil)
	})
	pixel := k.Add(k.MulDim(k.Add(k.MulDim(k.Add(k.MulDim(n, nb), ob), ohs), oh), ows), ow)
	k.Store(k.Buf(out), k.Add(k.MulInt(pixel, block), lane), k.toMemory(res, out.Type.DType))
}
