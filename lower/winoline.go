package lower

import (
	"fmt"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// winoLine is a convolution whose kernel is a row or a column of r taps, by Winograd's minimal filtering F(9-r,r) along the
// lines of the image: tiles of 9-r output pixels take eight products for each pair of channels instead of r(9-r).
type winoLine struct {
	*conv
	r, n     int64  // taps, and output pixels of a tile
	count    ir.Dim // lines of an image
	from, to int64  // input and output pixels of a line
	pad      int64  // before a line
	pixel    ir.Dim // how far apart the pixels of a line are, and the lines
	line     ir.Dim
	columns  bool // lines are columns
	form     *cookToom
}

// lineMul is the number of products of a tile.
const lineMul = 8

// lineFilters are the matrices by number of taps.
var lineFilters = map[int64]*cookToom{3: newLineFilter(3), 5: newLineFilter(5), 7: newLineFilter(7)}

func newLineFilter(r int) *cookToom {
	return newCookToom(lineMul+1-r, r, []float64{0, 1, -1, 2, -2, 1.0 / 2, -1.0 / 2})
}

// byLines gives v as a convolution along lines where that is estimated to be clearly faster, else nil.
func (v *conv) byLines(c *Ctx, w, bias *ir.Value) *winoLine {
	l := &winoLine{conv: v, r: max(v.kh, v.kw), pixel: ir.Const(1), line: v.w, count: v.h, pad: v.left}
	l.n = lineMul + 1 - l.r
	in, out := v.w, v.ow
	if v.kw == 1 {
		in, out, l.columns, l.pixel, l.line, l.count, l.pad = v.h, v.oh, true, v.w, ir.Const(1), v.w, v.top
	}
	across := l.columns && v.ow.Equal(v.w) && v.left == 0 || !l.columns && v.oh.Equal(v.h) && v.top == 0
	if c.Opts.Strict || v.pairs || c.constOf(w) == nil || bias != nil && c.constOf(bias) == nil || v.plain || v.group != 1 ||
		min(v.kh, v.kw) != 1 || lineFilters[l.r] == nil || !across || v.sh != 1 || v.sw != 1 || v.dh != 1 || v.dw != 1 || !in.IsConst() || !out.IsConst() {
		return nil
	}
	l.from, l.to = in.Value(), out.Value()
	lines := int64(1)
	if l.count.IsConst() {
		lines = l.count.Value()
	}
	const flopsPerNs, bytesPerNs = 90, 20
	channels, both := float64(v.c*v.oc), float64((blocks(v.c)+blocks(v.oc))*block)
	tiles := float64(lines * l.tiles())
	direct := 2 * float64(l.r) * channels * float64(lines*l.to) / flopsPerNs
	minimal := 2*lineMul*channels*tiles/flopsPerNs + 4*lineMul*(channels+2*both*tiles)/bytesPerNs
	if direct < 1.3*minimal || float64(4*(lineMul-l.r)*v.c*v.oc) > 4*(direct-minimal) {
		return nil
	}
	l.form = lineFilters[l.r]
	return l
}

// tiles is the number of tiles of a line.
func (l *winoLine) tiles() int64 { return (l.to + l.n - 1) / l.n }

// lower emits the three steps: the transforms of the input and of the products, and between them the products.
func (l *winoLine) lower(c *Ctx, w, bias *ir.Value) error {
	if err := l.packBias(c, bias); err != nil {
		return err
	}
	b, err := l.packFilters(c, c.constOf(w))
	if err != nil {
		return err
	}
	oc := blocks(l.oc) * block
	tiles := l.conv.n.Mul(l.count).MulInt(l.tiles())
	row := ir.Const(blocks(l.c)*block + block) // what keeps tiles off the same L1 set
	in := c.Scratch(ir.TensorType(tensor.F32, ir.Const(lineMul), tiles, row))
	out := c.Scratch(ir.TensorType(tensor.F32, ir.Const(lineMul), tiles, ir.Const(oc)))
	if err := l.input(c, in, tiles, row); err != nil {
		return err
	}
	g := &gemm{
		op: l.op, m: tiles, n: ir.Const(oc), k: ir.Const(l.c), batch: []ir.Dim{ir.Const(lineMul)}, lead: []ir.Dim{tiles},
		a: in, aBatch: []ir.Dim{tiles.Mul(row)}, aRow: row, aK: ir.Const(1),
		b: b, bBatch: []ir.Dim{ir.Const(l.c * oc)}, out: out, body: &body{c: c, anchor: out, result: out},
	}
	if err := g.lower(c); err != nil {
		return err
	}
	return l.output(c, out, tiles)
}

// packFilters puts the transformed weights into the weights file: [8][OB][C][16]. What pads a block of output channels is
// zero; what pads one of input channels is left out, since it may be infinite.
func (l *winoLine) packFilters(c *Ctx, d *ir.Data) (panels, error) {
	oc := blocks(l.oc) * block
	off, err := c.weights.Packed(d, "lines", func(t *tensor.Tensor) ([]byte, error) {
		src, err := floats(t)
		if err != nil {
			return nil, err
		}
		dst := make([]float32, lineMul*l.c*oc)
		for o := range l.oc {
			for i := range l.c {
				for q, row := range l.form.g {
					u := 0.0
					for a, x := range row {
						u += x * float64(src[(o*l.c+i)*l.r+int64(a)])
					}
					dst[int64(q)*l.c*oc+(o/block*l.c+i)*block+o%block] = float32(u)
				}
			}
		}
		return tensor.AsBytes(dst), nil
	})
	if err != nil {
		return panels{}, err
	}
	return panels{weights: c.weightBuf(off, lineMul*l.c*oc*4, d.Name)}, nil
}

// each runs body for the tiles of a line and the vectors of a block; tile counts over all images.
func (l *winoLine) each(k *K, nb int64, body func(n, b, line, t, tile, lane *loop.Value)) {
	k.Parallel(func(i *loop.Value) {
		co := k.Unflatten(i, l.conv.n, l.count, ir.Const(nb))
		first := k.MulInt(k.Add(k.MulDim(co[0], l.count), co[1]), l.tiles())
		k.Range(k.Int(0), k.Int(l.tiles()), 1, func(t *loop.Value) {
			k.Range(k.Int(0), k.Int(block), int64(k.Level.Lanes(4)), func(lane *loop.Value) {
				body(co[0], co[2], co[1], t, k.Add(first, t), lane)
			})
		})
	})
}

// input emits the step that writes B^T d of all tiles d to [8][tiles][C].
func (l *winoLine) input(c *Ctx, to *ir.Value, tiles, row ir.Dim) error {
	nb := blocks(l.c)
	return c.Kernel(Step{
		Op: l.op, Name: "lines_in", Ins: []*ir.Value{l.x}, Outs: []*ir.Value{to}, Par: l.conv.n.Mul(l.count).MulInt(nb),
		NsPerIter: float64(15 * l.tiles()), Bytes: bytesOf(l.x).Add(bytesOf(to)),
		Build: func(k *K) {
			lanes := k.Level.Lanes(4)
			l.each(k, nb, func(n, b, line, t, tile, lane *loop.Value) {
				x := k.AddInt(k.MulInt(t, l.n), -l.pad)
				image := k.MulDim(k.MulDim(k.Add(k.MulInt(n, nb), b), l.h), l.w)
				base := k.Add(k.MulInt(k.Add(image, k.Add(k.MulDim(line, l.line), k.MulDim(x, l.pixel))), block), lane)
				at := k.Add(k.MulDim(tile, row), k.Add(k.MulInt(b, block), lane))
				pixel := func(q int) *loop.Value { return k.Add(base, k.Dim(l.pixel.MulInt(int64(q)*block))) }
				store := func(load func(q int) *loop.Value) {
					d := make([]*loop.Value, lineMul)
					for q := range d {
						d[q] = load(q)
					}
					for q, e := range k.times(l.form.bt, d) {
						k.Store(k.Buf(to), k.Add(at, k.Dim(tiles.Mul(row).MulInt(int64(q)))), e)
					}
				}
				inside := k.And(k.Cmp(loop.GE, x, k.Int(0)), k.Cmp(loop.LE, x, k.Int(l.from-lineMul)))
				k.choose(inside, func() { store(func(q int) *loop.Value { return k.Load(k.Buf(l.x), pixel(q), lanes) }) }, func() {
					store(func(q int) *loop.Value {
						here := k.Convert(k.AddInt(x, int64(q)), tensor.U32) // numbers below zero are large
						mask := k.Cmp(loop.LT, k.Broadcast(here, lanes), k.IntOf(loop.Vec(tensor.U32, lanes), l.from))
						return k.LoadMask(k.Buf(l.x), pixel(q), mask)
					})
				})
			})
		},
	})
}

// output emits the step that writes A^T m of all tiles m, with bias and epilogue.
func (l *winoLine) output(c *Ctx, from *ir.Value, tiles ir.Dim) error {
	nb, mem := blocks(l.oc), l.body.memInputs()
	return c.Kernel(Step{
		Op: l.op, Name: fmt.Sprintf("lines_out%d", l.n), Ins: append(append([]*ir.Value{}, mem...), from), Outs: []*ir.Value{l.out}, InPlace: mem,
		Par: l.conv.n.Mul(l.count).MulInt(nb), NsPerIter: float64(15 * l.tiles()), Bytes: bytesOf(from).Add(bytesOf(l.out)),
		Build: func(k *K) {
			lanes := k.Level.Lanes(4)
			l.each(k, nb, func(n, b, line, t, tile, lane *loop.Value) {
				channel := k.Add(k.MulInt(b, block), lane)
				at := k.Add(k.MulInt(tile, nb*block), channel)
				m := make([]*loop.Value, lineMul)
				for q := range m {
					m[q] = k.Load(k.Buf(from), k.Add(at, k.Dim(tiles.MulInt(int64(q)*nb*block))), lanes)
				}
				for j, e := range k.times(l.form.at, m) {
					if l.bias >= 0 {
						e = k.Add(e, k.Load(k.WeightBuf(l.bias, tensor.F32), channel, lanes))
					}
					x := k.AddInt(k.MulInt(t, l.n), int64(j))
					y, z := line, x
					if l.columns {
						y, z = x, line
					}
					put := func() { k.storeBlocked(l.out, l.body, n, b, y, z, l.oh, l.ow, lane, e, lanes) }
					if l.to%l.n == 0 {
						put()
					} else {
						k.choose(k.Cmp(loop.LT, x, k.Int(l.to)), put, nil)
					}
				}
			})
		},
	})
}
