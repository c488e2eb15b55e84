package lower

import (
	"fmt"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
)

func (v *conv) lowerDepthwise(c *Ctx) error {
	nb := blocks(v.c)
	bands := v.oh.CeilDiv(v.bandRows())
	width := 64.0
	if v.ow.IsConst() {
		width = float64(v.ow.Value())
	}
	return c.Kernel(Step{
		Op: v.op, Name: fmt.Sprintf("dwconv%dx%d", v.kh, v.kw), Ins: v.ins(), Outs: []*ir.Value{v.out}, InPlace: v.body.memInputs(),
		Par: v.n.Mul(bands).MulInt(nb), NsPerIter: 5 + float64(v.bandRows())*width*float64(v.kh*v.kw)/4,
		Flops: v.n.Mul(v.oh).Mul(v.ow).MulInt(2 * v.c * v.kh * v.kw), Bytes: bytesOf(v.x).Add(bytesOf(v.out)),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, v.n, bands, ir.Const(nb))
				first := k.MulInt(co[1], v.bandRows())
				end := k.AddInt(first, v.bandRows())
				if !v.oh.IsConst() || v.oh.Value()%v.bandRows() != 0 {
					end = k.MinIdx(end, k.Dim(v.oh))
				}
				k.Range(first, end, 1, func(oh *loop.Value) {
					r := &convRow{conv: v, K: k, n: co[0], oh: oh, ob: co[2], vs: blockVectors(k.Level, 1, block)}
					r.depthwiseRow()
				})
			})
		},
	})
}

// bandRows is the number of rows of a block that a parallel iteration computes. Bands come before blocks, so that
// threads share an image by rows, as they do for the pointwise convolutions before and after, and find what they wrote in their
// own cache; inside a band, rows that a window has in common with the next one stay in L1.
func (v *conv) bandRows() int64 {
	const rows, most = 4, 8 // at least, and bands at most
	if !v.oh.IsConst() {
		return rows
	}
	return max(rows, (v.oh.Value()+most-1)/most)
}

// depthwiseTiles are numbers of pixels of a tile of at most so many, the usual one first.
func (v *conv) depthwiseTiles(most int) (ts []tile) {
	for _, n := range []int{8, 4, 7, 14, most} {
		if t := (tile{max(1, min(n, most)), 1}); !slices.Contains(ts, t) {
			ts = append(ts, t)
		}
	}
	return ts
}

func (r *convRow) depthwiseRow() {
	nv, lanes := vectors(r.Level), r.Level.Lanes(4)
	n := r.C.chooseTile(dwTile, r.Level, r.depthwiseTiles(r.Level.Tile/nv), r.sizes(), r.conv).rows
	lo, hi := r.khRange(r.K, r.oh)
	x := r.Buf(r.x)
	r.tiles(r.K, n, func(n int, ow0 *loop.Value, valid func(p int, kw int64) bool) {
		a := r.initAccs(n)
		a = r.loopOver(lo, hi, 1, a, func(kh *loop.Value, a accs) accs {
			plane := r.Add(r.MulInt(r.n, blocks(r.c)), r.ob)
			row := r.Add(r.MulDim(plane, r.h), r.inputRow(kh))
			base := r.MulInt(r.Add(r.MulDim(row, r.w), r.firstPixel(ow0)), block)
			column := func(base, at *loop.Value, kw int64, a accs) accs {
				next := make(accs, n)
				for p := range next {
					next[p] = append([]*loop.Value{}, a[p]...)
				}
				for j := range nv {
					w := r.weightAt(j, at, kw*block)
					for p := range n {
						if !valid(p, kw) {
							continue
						}
						off := (int64(p)*r.sw+kw*r.dw)*block + int64(j*lanes)
						next[p][j] = r.FMA(r.Load(x, r.AddInt(base, off), lanes), w, a[p][j])
					}
				}
				return next
			}
			at := r.MulInt(kh, r.kw*block)
			if r.wide() {
				return r.loopOver(r.Int(0), r.Int(r.kw), 1, a, func(q *loop.Value, a accs) accs {
					return column(r.Add(base, r.MulInt(q, r.dw*block)), r.Add(at, r.MulInt(q, block)), 0, a)
				})
			}
			for kw := range r.kw {
				a = column(base, at, kw, a)
			}
			return a
		})
		for p := range a {
			for j := range a[p] {
				r.store(r.AddInt(ow0, int64(p)), j, a[p][j])
			}
		}
	})
}
