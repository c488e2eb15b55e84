package lower

import (
	"fmt"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// winograd is a 3x3 convolution by Winograd's minimal filtering F(nxn,3x3) (Lavin and Gray, "Fast
// Algorithms for Convolutional Neural Networks", 2015): tiles of n x n output pixels take (n+2)^2
// products for each pair of channels instead of 9n^2. One step transforms the tiles of n+2 x n+2 input
// pixels; another, for some tiles and channels at a time, does the (n+2)^2 matrix products over the
// channels and transforms their results back while they are in cache.
type winograd struct {
	*conv
	*cookToom
	size, pixels int64  // input and output pixels of a tile in a row
	mul          int64  // products of a tile
	th, tw       int64  // tiles of an image
	tiles        ir.Dim // of all images
	in           *ir.Value
	u            int32 // plan buffer of the transformed weights
}

// winoForms are the forms there are: F(4x4) takes a quarter of the products and four times the weights, F(2x2) four
// ninths and 16/9.
var winoForms = []*cookToom{newCookToom(2, 3, []float64{0, 1, -1}), phaseFilters[3]}

// winograd names F(m x m, 3x3).
func (t *cookToom) winograd() string { return fmt.Sprintf("winograd%d", t.m) }

// newWinograd is the convolution in form f.
func (v *conv) newWinograd(f *cookToom) *winograd {
	w := &winograd{conv: v, cookToom: f, size: int64(f.n), pixels: int64(f.m), mul: int64(f.n * f.n)}
	w.th, w.tw = v.oh.CeilDiv(w.pixels).Value(), v.ow.CeilDiv(w.pixels).Value()
	w.tiles = v.n.MulInt(w.th * w.tw)
	return w
}

// lower emits the steps.
func (w *winograd) lower(c *Ctx, weights, bias *ir.Value) error {
	if err := w.packBias(c, bias); err != nil {
		return err
	}
	if err := w.packFilters(c, c.constOf(weights)); err != nil {
		return err
	}
	w.in = c.Scratch(ir.TensorType(tensor.F32, w.tiles, ir.Const(w.stride())))
	if err := w.transform(c); err != nil {
		return err
	}
	return w.products(c)
}

// row and stride are the lengths of a row of transformed input, which is all channels of one product, and of
// the rows of a tile, with what keeps tiles off the same L1 set.
func (w *winograd) row() int64    { return blocks(w.c) * block }
func (w *winograd) stride() int64 { return w.mul*w.row() + block }

// packFilters puts the transformed weights into the weights file: [OB][products][C][16]. What pads a block of
// output channels is zero; what pads one of input channels is left out, since it may be infinite.
func (w *winograd) packFilters(c *Ctx, d *ir.Data) error {
	size := w.mul * w.c * blocks(w.oc) * block
	off, err := c.weights.Packed(d, w.winograd(), func(t *tensor.Tensor) ([]byte, error) {
		src, err := floats(t)
		if err != nil {
			return nil, err
		}
		dst := make([]float32, size)
		for o := range w.oc {
			for i := range w.c {
				g := src[(o*w.c+i)*9:]
				for q, x := range w.filter(func(y, x int) float64 { return float64(g[3*y+x]) }) {
					dst[((o/block*w.mul+int64(q))*w.c+i)*block+o%block] = float32(x)
				}
			}
		}
		return tensor.AsBytes(dst), nil
	})
	if err != nil {
		return err
	}
	w.u = c.weightBuf(off, size*4, d.Name)
	return nil
}

// transform emits the step that writes B^T d B of all tiles d to [tiles][products][C]. Its time is that of getting the cache
// lines that it writes, which may have to come from another core.
func (w *winograd) transform(c *Ctx) error {
	nb := blocks(w.c)
	return c.Kernel(Step{
		Op: w.op, Name: w.winograd() + "_in", Ins: []*ir.Value{w.x}, Outs: []*ir.Value{w.in}, Par: w.tiles,
		NsPerIter: float64(10 * w.mul * nb), Bytes: bytesOf(w.x).Add(bytesOf(w.in)),
		Build: func(k *K) {
			pixels := k.Local("pixels", tensor.F32, w.mul*int64(k.Level.Lanes(4)))
			k.Parallel(func(tile *loop.Value) {
				n, y, x := w.place(k, tile)
				p := &winoPatch{w, k, n, k.AddInt(y, -w.top), k.AddInt(x, -w.left), tile}
				inside := k.And(k.within(p.y, w.size, w.h), k.within(p.x, w.size, w.w))
				k.choose(inside, p.whole, func() { p.edge(pixels) })
			})
		},
	})
}

// place is the image of a tile and where its output starts.
func (w *winograd) place(k *K, tile *loop.Value) (n, y, x *loop.Value) {
	co := k.Unflatten(tile, w.conv.n, ir.Const(w.th), ir.Const(w.tw))
	return co[0], k.MulInt(co[1], w.pixels), k.MulInt(co[2], w.pixels)
}

// within reports whether size pixels from x on are in an image of n.
func (k *K) within(x *loop.Value, size int64, n ir.Dim) *loop.Value {
	return k.And(k.Cmp(loop.GE, x, k.Int(0)), k.Cmp(loop.LE, k.AddInt(x, size), k.Dim(n)))
}

// winoPatch is the code for a tile of input pixels, from (y, x) on.
type winoPatch struct {
	*winograd
	*K
	n, y, x, tile *loop.Value
}

// eachVector runs body for the vectors of channels: read gives pixel (i, j) of one, at is where its products go.
func (p *winoPatch) eachVector(body func(read func(i, j *loop.Value) *loop.Value, at *loop.Value)) {
	nb, lanes := blocks(p.c), p.Level.Lanes(4)
	p.Range(p.Int(0), p.Int(nb), 1, func(b *loop.Value) {
		plane := p.MulDim(p.Add(p.MulInt(p.n, nb), b), p.h)
		base := p.MulInt(p.Add(p.MulDim(p.Add(plane, p.y), p.w), p.x), block)
		p.Range(p.Int(0), p.Int(block), int64(lanes), func(lane *loop.Value) {
			body(func(i, j *loop.Value) *loop.Value {
				return p.Load(p.Buf(p.conv.x), p.Add(p.Add(base, lane), p.MulInt(p.Add(p.MulDim(i, p.w), j), block)), lanes)
			}, p.Add(p.Add(p.MulInt(p.tile, p.stride()), p.MulInt(b, block)), lane))
		})
	})
}

// write transforms the pixels d and stores the products.
func (p *winoPatch) write(d []*loop.Value, at *loop.Value) {
	for q, e := range p.timesBoth(p.bt, d) {
		p.Store(p.Buf(p.in), p.AddInt(at, int64(q)*p.row()), e)
	}
}

// whole is the code for a tile that is inside the image.
func (p *winoPatch) whole() {
	p.eachVector(func(read func(i, j *loop.Value) *loop.Value, at *loop.Value) {
		d := make([]*loop.Value, p.mul)
		for q := range p.mul {
			d[q] = read(p.Int(q/p.size), p.Int(q%p.size))
		}
		p.write(d, at)
	})
}

// edge is the code for a tile of which a part is outside: the others are copied to where that is zero.
func (p *winoPatch) edge(pixels *loop.Buf) {
	lanes, size := p.Level.Lanes(4), p.size
	p.Range(p.Int(0), p.Int(p.mul), 1, func(q *loop.Value) {
		p.Store(pixels, p.MulInt(q, int64(lanes)), p.Float(loop.Vec(tensor.F32, lanes), 0))
	})
	span := func(x *loop.Value, n ir.Dim) (lo, hi *loop.Value) {
		return p.MaxIdx(p.Int(0), p.Sub(p.Int(0), x)), p.MinIdx(p.Int(size), p.Sub(p.Dim(n), x))
	}
	top, bottom := span(p.y, p.h)
	left, right := span(p.x, p.w)
	p.eachVector(func(read func(i, j *loop.Value) *loop.Value, at *loop.Value) {
		p.Range(top, bottom, 1, func(i *loop.Value) {
			p.Range(left, right, 1, func(j *loop.Value) {
				p.Store(pixels, p.MulInt(p.Add(p.MulInt(i, size), j), int64(lanes)), read(i, j))
			})
		})
		d := make([]*loop.Value, p.mul)
		for q := range d {
			d[q] = p.Load(pixels, p.Int(int64(q*lanes)), lanes)
		}
		p.write(d, at)
	})
}

// localBytes is how much of a kernel's stack the products of some tiles may take.
const localBytes = 42 << 10

// tileFor picks how many tiles and blocks of output channels to take at a time.
func (w *winograd) tileFor(l *target.Level) tile {
	small := *l
	small.Tile = min(l.Tile, int(localBytes/(w.mul*block*4))*vectors(l))
	n := ir.Const(blocks(w.oc) * block)
	return w.body.c.chooseTile(convTile, l, evenTiles(&small, w.tiles, n), []ir.Dim{w.tiles, n}, "winograd", w.pixels, w.c, w.body)
}

// products emits the step that multiplies and writes A^T m A of all products m, with bias and epilogue.
func (w *winograd) products(c *Ctx) error {
	mem := w.body.memInputs()
	top := c.Target.Levels[len(c.Target.Levels)-1]
	weights := w.mul * w.c * blocks(w.oc) * block
	return c.Kernel(Step{
		Op: w.op, Name: w.winograd(), Ins: append(append([]*ir.Value{}, mem...), w.in), Outs: []*ir.Value{w.out}, InPlace: mem,
		NsPerIter: float64(w.mul*w.c) * w.tileFor(top).cycles(top) / 4,
		Flops:     w.tiles.MulInt(2 * w.mul * w.c * w.oc), Bytes: bytesOf(w.in).Add(bytesOf(w.out)).AddInt(weights * 4),
		ParAt: func(l *target.Level) ir.Dim {
			t := w.tileFor(l)
			return w.tiles.CeilDiv(int64(t.rows)).MulInt(w.groups(t))
		},
		Build: w.build,
	})
}

// groups is the number of groups of output blocks that a tile takes at once.
func (w *winograd) groups(t tile) int64 {
	return (blocks(w.oc) + int64(t.blocks) - 1) / int64(t.blocks)
}

func (w *winograd) build(k *K) {
	t := w.tileFor(k.Level)
	groups := w.groups(t)
	sums := k.Local("sums", tensor.F32, w.mul*block*int64(t.rows*t.blocks))
	k.Parallel(func(i *loop.Value) {
		co := k.Unflatten(i, ir.Const(groups), w.tiles.CeilDiv(int64(t.rows)))
		group := func(blocks int) {
			k.evenRows(w.tiles, t.rows, co[1], func(rows int, off *loop.Value) {
				w.strip(k, sums, tile{rows, blocks}, k.MulInt(co[0], int64(t.blocks)), k.Add(k.firstRow(w.tiles, t.rows, co[1]), off))
			})
		}
		rest := int(blocks(w.oc) - (groups-1)*int64(t.blocks))
		switch {
		case rest == t.blocks || groups == 1:
			group(rest)
		default:
			k.choose(k.Cmp(loop.LT, co[0], k.Int(groups-1)), func() { group(t.blocks) }, func() { group(rest) })
		}
	})
}

// strip computes the output of t.rows tiles from first on, in t.blocks blocks from ob on.
func (w *winograd) strip(k *K, sums *loop.Buf, t tile, ob, first *loop.Value) {
	lanes, vs := k.Level.Lanes(4), int64(t.blocks*vectors(k.Level))
	at := func(q, p *loop.Value, j int64) *loop.Value { // in sums
		return k.MulInt(k.AddInt(k.MulInt(k.Add(k.MulInt(q, int64(t.rows)), p), vs), j), int64(lanes))
	}
	x, u := k.Buf(w.in), k.WeightBuf(w.u, tensor.F32)
	k.Range(k.Int(0), k.Int(w.mul), 1, func(q *loop.Value) {
		from := k.Add(k.MulInt(first, w.stride()), k.MulInt(q, w.row()))
		panel := k.MulInt(k.Add(k.MulInt(ob, w.mul), q), w.c*block)
		a := k.reduceK(k.Int(0), k.Int(w.c), 4, k.zeroAccs(t),
			func(p int, i *loop.Value, d int64) *loop.Value {
				return k.Load(x, k.AddInt(k.Add(from, i), int64(p)*w.stride()+d), 1)
			},
			func(j int, i *loop.Value, d int64) *loop.Value {
				b, lane := int64(j/vectors(k.Level)), int64(j%vectors(k.Level)*lanes)
				return k.Load(u, k.AddInt(k.Add(panel, k.MulInt(i, block)), b*w.mul*w.c*block+d*block+lane), lanes)
			})
		for p := range a {
			for j, acc := range a[p] {
				k.Store(sums, at(q, k.Int(int64(p)), int64(j)), acc)
			}
		}
	})
	k.Range(k.Int(0), k.Int(int64(t.rows)), 1, func(p *loop.Value) {
		n, y, x := w.place(k, k.Add(first, p))
		k.Range(k.Int(0), k.Int(vs), 1, func(j *loop.Value) {
			b, lane := k.Div(j, k.Int(int64(vectors(k.Level)))), k.MulInt(k.Rem(j, k.Int(int64(vectors(k.Level)))), int64(lanes))
			here := func(q *loop.Value) *loop.Value { return k.Add(at(q, p, 0), k.MulInt(j, int64(lanes))) }
			w.finish(k, sums, here, n, k.Add(ob, b), y, x, lane)
		})
	})
}

// finish transforms the products of a tile, a vector of channels from lane on of block ob, and writes its pixels.
// They replace the products in sums, so that those of the image can be picked.
func (w *winograd) finish(k *K, sums *loop.Buf, at func(q *loop.Value) *loop.Value, n, ob, y, x, lane *loop.Value) {
	lanes, size := k.Level.Lanes(4), w.pixels
	m := make([]*loop.Value, w.mul)
	for q := range m {
		m[q] = k.Load(sums, at(k.Int(int64(q))), lanes)
	}
	for q, e := range k.timesBoth(w.at, m) {
		if w.bias >= 0 {
			e = k.Add(e, k.Load(k.WeightBuf(w.bias, tensor.F32), k.Add(k.MulInt(ob, block), lane), lanes))
		}
		k.Store(sums, at(k.Int(int64(q))), e)
	}
	pixel := func(i, j *loop.Value) {
		acc := k.Load(sums, at(k.Add(k.MulInt(i, size), j)), lanes)
		k.storeBlocked(w.out, w.body, n, ob, k.Add(y, i), k.Add(x, j), w.oh, w.ow, lane, acc, lanes)
	}
	k.Range(k.Int(0), k.MinIdx(k.Int(size), k.Sub(k.Dim(w.oh), y)), 1, func(i *loop.Value) {
		cols := k.Sub(k.Dim(w.ow), x)
		whole := func() {
			for j := range size {
				pixel(i, k.Int(j))
			}
		}
		if w.ow.Value()%size == 0 {
			whole()
			return
		}
		k.choose(k.Cmp(loop.GE, cols, k.Int(size)), whole, func() { k.Range(k.Int(0), cols, 1, func(j *loop.Value) { pixel(i, j) }) })
	})
}
