package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// A convolution on a plain input reads it from a strip: the input rows of one row of output pixels, or of a segment
// of it, of all channels and with their padding, in local memory: [C][KH][columns]. No tile has borders then, and
// the rows of all channels are one loop.

// stripBytes bounds a strip: with the weights of a tile it stays in L1, or nearly, and in the stack of a kernel.
const stripBytes = 24 << 10

// stripPixels is the least number of output pixels for which a strip is worth its copy: a few tiles.
const stripPixels = 56

// stripColumns is the number of input columns under n output pixels.
func (v *conv) stripColumns(n int64) int64 { return (n-1)*v.sw + (v.kw-1)*v.dw + 1 }

// planStrips sets the number of output pixels of a strip, and reports whether strips pay.
func (v *conv) planStrips() bool {
	if v.colsInside() && v.kw == 1 || !v.rowsOuter() {
		return false // tiles have no borders as it is, and no column serves two pixels
	}
	columns := stripBytes / 4 / (v.c * v.kh)
	n, row := max(0, (columns-v.stripColumns(1))/v.sw+1), int64(stripPixels)
	if v.ow.IsConst() {
		n, row = min(n, v.ow.Value()), min(row, v.ow.Value())
	}
	if n >= row {
		v.strip = n
	}
	return v.strip > 0
}

// lowerPlain compiles a convolution on a plain input.
func (v *conv) lowerPlain(c *Ctx) (err error) {
	if !v.planStrips() && !v.colsInside() {
		if v.x, err = v.padColumns(c, v.op, v.x, v.n.MulInt(v.c).Mul(v.h), 1); err != nil {
			return err
		}
	}
	return v.lower(c)
}

// segments is the number of strips of a row of output pixels.
func (v *conv) segments(l *target.Level) ir.Dim {
	switch {
	case v.strip == 0:
		return ir.Const(1)
	case v.ow.IsConst():
		return v.ow.CeilDiv(v.strip)
	}
	return v.ow.CeilDiv(v.segment(l))
}

// segment is the number of pixels of a strip in rows of unknown length: full tiles.
func (v *conv) segment(l *target.Level) int64 {
	rows := int64(v.tileFor(l).rows)
	return v.strip / rows * rows
}

// buildStrips writes the kernel.
func (v *conv) buildStrips(k *K) {
	x := k.Local("strip", tensor.F32, v.c*v.kh*v.stripColumns(v.strip))
	ng := v.groups(k.Level)
	k.Parallel(func(i *loop.Value) {
		co := k.Unflatten(i, v.n, v.oh, v.segments(k.Level), ir.Const(ng))
		n, oh, segment, g := co[0], co[1], co[2], co[3]
		v.segmentPixels(k, segment, func(first *loop.Value, pixels func(r *convRow, tile int)) {
			fill := func() { v.fillStrip(k, x, n, oh, first) }
			if ng == 1 {
				fill()
			} else { // the strip serves all groups of channels that follow each other
				k.choose(k.Or(k.Cmp(loop.EQ, g, k.Int(0)), k.Cmp(loop.EQ, i, k.F.Lo)), fill, nil)
			}
			v.eachGroup(k, n, oh, g, func(r *convRow, rows int) {
				r.x0, r.in = first, x
				pixels(r, rows)
			})
		})
	})
}

// segmentPixels calls body with the first pixel of a segment and what covers its pixels by tiles.
func (v *conv) segmentPixels(k *K, segment *loop.Value, body func(first *loop.Value, pixels func(r *convRow, tile int))) {
	if !v.ow.IsConst() {
		size := v.segment(k.Level)
		first := k.MulInt(segment, size)
		n := k.MinIdx(k.Int(size), k.Sub(k.Dim(v.ow), first))
		body(first, func(r *convRow, tile int) {
			t := int64(tile)
			full := k.MulInt(k.Div(n, k.Int(t)), t)
			k.Range(k.Int(0), full, t, func(p *loop.Value) { r.stripTile(tile, p) })
			if tile > 1 {
				k.binaryRows(tile, k.Sub(n, full), full, r.stripTile)
			}
		})
		return
	}
	sizes := evenly(v.ow.Value(), v.strip)
	first := k.Add(k.MulInt(segment, sizes[1].rows), k.MinIdx(segment, k.Int(sizes[0].tiles)))
	some := func(n int64) func() {
		return func() { body(first, func(r *convRow, tile int) { r.stripTiles(n, int64(tile)) }) }
	}
	if sizes[0].tiles == 0 {
		some(sizes[1].rows)()
		return
	}
	k.choose(k.Cmp(loop.LT, segment, k.Int(sizes[0].tiles)), some(sizes[0].rows), some(sizes[1].rows))
}

// fillStrip copies the input under the pixels of output row oh from first on.
func (v *conv) fillStrip(k *K, x *loop.Buf, n, oh, first *loop.Value) {
	columns := v.stripColumns(v.strip)
	start := k.AddInt(k.MulInt(first, v.sw), -v.left) // input column of the strip's first
	clamp := func(i *loop.Value) *loop.Value { return k.MinIdx(k.MaxIdx(i, k.Int(0)), k.Int(columns)) }
	lo := clamp(k.Sub(k.Int(0), start))
	hi := clamp(k.Sub(k.Dim(v.w), start))
	k.Range(k.Int(0), k.Int(v.c), 1, func(ic *loop.Value) {
		k.Range(k.Int(0), k.Int(v.kh), 1, func(kh *loop.Value) {
			row := k.Add(k.AddInt(k.MulInt(oh, v.sh), -v.top), k.MulInt(kh, v.dh))
			lo, hi := lo, hi
			if v.top != 0 || !v.rowsInside() {
				inside := k.And(k.Cmp(loop.GE, row, k.Int(0)), k.Cmp(loop.LT, row, k.Dim(v.h)))
				hi = k.Select(inside, hi, lo)
			}
			to := k.MulInt(k.Add(k.MulInt(ic, v.kh), kh), columns)
			from := k.Add(k.MulDim(k.Add(k.MulDim(k.Add(k.MulInt(n, v.c), ic), v.h), row), v.w), start)
			zero := func(lo, hi *loop.Value) {
				k.vectorLoop(lo, hi, k.Level.Lanes(4), func(i *loop.Value, lanes int) {
					k.Store(x, k.Add(to, i), k.Float(loop.Vec(tensor.F32, lanes), 0))
				})
			}
			zero(k.Int(0), lo)
			k.vectorLoop(lo, hi, k.Level.Lanes(4), func(i *loop.Value, lanes int) {
				k.Store(x, k.Add(to, i), k.Load(k.Buf(v.x), k.Add(from, i), lanes))
			})
			zero(hi, k.Int(columns))
		})
	})
}

// stripTiles covers n pixels of a strip by tiles of at most so many, which differ by one at most.
func (r *convRow) stripTiles(n, tile int64) {
	at := int64(0)
	for _, s := range evenly(n, tile) {
		end := at + s.rows*s.tiles
		switch s.tiles {
		case 0:
		case 1:
			r.stripTile(int(s.rows), r.Int(at))
		default:
			r.Range(r.Int(at), r.Int(end), s.rows, func(p *loop.Value) { r.stripTile(int(s.rows), p) })
		}
		at = end
	}
}

// stripTile computes rows pixels from p of the strip on.
func (r *convRow) stripTile(rows int, p *loop.Value) {
	columns := r.stripColumns(r.strip)
	col := r.MulInt(p, r.sw)
	a := r.loopOver(r.Int(0), r.Int(r.c*r.kh), 1, r.initAccs(rows), func(i *loop.Value, a accs) accs {
		return r.plainColumns(a, r.in, r.Add(r.MulInt(i, columns), col), r.MulInt(i, r.kw*block))
	})
	r.storeTile(a, r.Add(r.x0, p))
}

// plainColumns adds the products of one kernel row: base is the index in x of the tile's first pixel, at that of the
// row's weights. Kernel columns that are a stride apart read the same elements for neighbouring pixels, so that
// unrolled ones would share what they load: more of it than there are registers. The loop keeps them apart.
func (r *convRow) plainColumns(a accs, x *loop.Buf, base, at *loop.Value) accs {
	u := int64(1)
	for u*r.dw%r.sw != 0 && u < min(r.kw, 4) {
		u++
	}
	if u < r.kw && r.kw < 2*u {
		u = 1 // what remains would follow a single turn, with no loop in between
	}
	return r.reduceK(r.Int(0), r.Int(r.kw), u, a,
		func(p int, i *loop.Value, d int64) *loop.Value {
			return r.Load(x, r.AddInt(r.Add(base, r.MulInt(i, r.dw)), int64(p)*r.sw+d*r.dw), 1)
		},
		func(j int, i *loop.Value, d int64) *loop.Value {
			return r.weightAt(j, r.Add(at, r.MulInt(i, block)), d*block)
		})
}
