package lower

import (
	"fmt"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// A convolution with a large kernel on few plain channels, such as 7x7 of stride 2 on colours: with the input's rows
// and columns sorted by their remainders modulo the stride, its phases, it is one of stride 1 with a kernel of r x r, the
// phases of each channel being channels, and that is done by minimal filtering F(4x4,rxr). (Zhang and others, "DWM:
// A Decomposable Winograd Method for Convolution Acceleration", 2020, do so phase by phase.) What is between the
// transforms stays in local memory, for a few tiles and one block of output channels at a time.
type phases struct {
	*conv
	t        *cookToom
	s        int64     // stride
	channels int64     // times phases
	in       *ir.Value // sorted input: [N, rows, columns, 16], with its padding
}

const (
	phaseOut   = 4 // output pixels of a tile in a row
	phaseTiles = 7 // tiles at a time: their inputs and their products are in local memory
)

// phaseFilters are F(4,r) by r. The points are those with the least error of such that have pairs p and -p.
var phaseFilters = map[int64]*cookToom{
	3: newCookToom(phaseOut, 3, []float64{0, 1, -1, 2, -2}),
	4: newCookToom(phaseOut, 4, []float64{0, 1, -1, 2, -2, -1.0 / 2}),
}

// byPhases gives the convolution by phases where it can be done so in clearly less time.
func (v *conv) byPhases(c *Ctx, w, bias *ir.Value) *phases {
	s := v.sw
	t := phaseFilters[max((v.kh+s-1)/s, (v.kw+s-1)/s)]
	if t == nil || v.sh != s || v.dh != 1 || v.dw != 1 || v.c*s*s > block || c.Opts.Strict || c.constOf(w) == nil || bias != nil && c.constOf(bias) == nil {
		return nil
	}
	p := &phases{conv: v, t: t, s: s, channels: v.c * s * s}
	// Operations for a block of output channels of a tile: products and their way through memory, and transforms, of
	// the input once for all blocks.
	n := float64(t.n)
	cost := n*n*float64(p.channels) + 4*n*n + 4*n*(n+phaseOut) + 2*n*n*n/float64(blocks(v.oc))
	pixels := float64(phaseOut * phaseOut)
	if v.oh.IsConst() && v.ow.IsConst() {
		pixels = float64(v.oh.Value()*v.ow.Value()) / float64(max(1, p.tiles(v.oh).Mul(p.tiles(v.ow)).Value()))
	}
	if cost > 0.7*pixels*float64(v.c*v.kh*v.kw) {
		return nil
	}
	return p
}

// tiles is the number of tiles along so many output pixels.
func (p *phases) tiles(pixels ir.Dim) ir.Dim { return pixels.CeilDiv(phaseOut) }

// width is the number of tiles at a time.
func (p *phases) width(l *target.Level) int64 {
	w := int64(max(1, min(phaseTiles, l.Tile/vectors(l))))
	if t := p.tiles(p.ow); t.IsConst() && t.Value() > 0 {
		w = t.CeilDiv(t.CeilDiv(w).Value()).Value()
	}
	return w
}

// products is the number of products of a tile.
func (p *phases) products() int64 { return int64(p.t.n * p.t.n) }

func (p *phases) lower(c *Ctx, w, bias *ir.Value) error {
	if err := p.packBias(c, bias); err != nil {
		return err
	}
	if err := p.packFilters(c, c.constOf(w)); err != nil {
		return err
	}
	if err := p.sort(c); err != nil {
		return err
	}
	tiles, mem := p.n.Mul(p.tiles(p.oh)), p.body.memInputs()
	all, weights := tiles.Mul(p.tiles(p.ow)), p.products()*p.channels*blocks(p.oc)*block
	return c.Kernel(Step{
		Op: p.op, Name: fmt.Sprintf("conv%dx%d_winograd", p.kh, p.kw), Ins: append(append([]*ir.Value{}, mem...), p.in), Outs: []*ir.Value{p.out},
		InPlace: mem, ParAt: func(l *target.Level) ir.Dim { return tiles.Mul(p.tiles(p.ow).CeilDiv(p.width(l))) },
		NsPerIter: float64(weights*phaseTiles/block) / 2.5, Flops: all.MulInt(2 * p.products() * p.channels * p.oc),
		Bytes: bytesOf(p.in).Add(bytesOf(p.out)).AddInt(4 * weights), Build: p.build,
	})
}

// packFilters puts the transformed weights into the weights file: [OB][products][channels][16].
func (p *phases) packFilters(c *Ctx, d *ir.Data) error {
	size := p.products() * p.channels
	off, err := c.weights.Packed(d, fmt.Sprintf("phases of %d", p.s), func(t *tensor.Tensor) ([]byte, error) {
		src, err := floats(t)
		if err != nil {
			return nil, err
		}
		dst := make([]float32, blocks(p.oc)*size*block)
		for o := range p.oc {
			for k := range p.channels {
				channel, y, x := k/(p.s*p.s), k/p.s%p.s, k%p.s
				u := p.t.filter(func(i, j int) float64 {
					row, col := int64(i)*p.s+y, int64(j)*p.s+x
					if row >= p.kh || col >= p.kw {
						return 0
					}
					return float64(src[((o*p.c+channel)*p.kh+row)*p.kw+col])
				})
				for q, e := range u {
					dst[(o/block*size+int64(q)*p.channels+k)*block+o%block] = float32(e)
				}
			}
		}
		return tensor.AsBytes(dst), nil
	})
	if err != nil {
		return err
	}
	p.weights = c.weightBuf(off, blocks(p.oc)*size*block*4, d.Name)
	return nil
}

// reach is the number of tiles that are computed of a row, at any level: the last ones may be behind its end.
func (p *phases) reach(c *Ctx) ir.Dim {
	var all ir.Dim
	for _, l := range c.Target.Levels {
		w := p.width(l)
		all = all.Max(p.tiles(p.ow).CeilDiv(w).MulInt(w))
	}
	return all
}

// sort emits the step that writes the phases of the padded input side by side.
func (p *phases) sort(c *Ctx) error {
	more := int64(p.t.r - 1)
	rows := p.tiles(p.oh).MulInt(phaseOut).AddInt(more)
	columns := p.reach(c).MulInt(phaseOut).AddInt(more)
	p.in = c.Scratch(ir.TensorType(tensor.F32, p.n, rows, columns, ir.Const(block)))
	return c.Kernel(Step{
		Op: p.op, Name: "phases", Ins: []*ir.Value{p.x}, Outs: []*ir.Value{p.in}, Par: p.n.Mul(rows), NsPerIter: 500, Bytes: bytesOf(p.x).Add(bytesOf(p.in)),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, p.n, rows)
				n, row, to := co[0], co[1], k.MulDim(i, columns.MulInt(block))
				k.vectorLoop(k.Int(0), k.Dim(columns.MulInt(block)), k.Level.Lanes(4), func(i *loop.Value, lanes int) {
					k.Store(k.Buf(p.in), k.Add(to, i), k.Float(loop.Vec(tensor.F32, lanes), 0))
				})
				k.Range(k.Int(0), k.Int(p.c), 1, func(ch *loop.Value) {
					for y := range p.s {
						from := k.AddInt(k.MulInt(row, p.s), y-p.top)
						inside := k.And(k.Cmp(loop.GE, from, k.Int(0)), k.Cmp(loop.LT, from, k.Dim(p.h)))
						plane := k.Add(k.MulInt(n, p.c), ch)
						k.choose(inside, func() {
							p.sortRow(k, k.MulDim(k.Add(k.MulDim(plane, p.h), from), p.w), k.AddInt(k.Add(to, k.MulInt(ch, p.s*p.s)), y*p.s), columns)
						}, nil)
					}
				})
			})
		},
	})
}

// sortRow writes the phases of an input row.
func (p *phases) sortRow(k *K, from, to *loop.Value, columns ir.Dim) {
	for x := range p.s {
		first := x - p.left // column of the input at the phase's first
		up := func(d ir.Dim) *loop.Value { return k.Dim(d.CeilDiv(p.s).Max(ir.Dim{}).Min(columns)) }
		k.Range(up(ir.Const(-first)), up(p.w.AddInt(-first)), 1, func(i *loop.Value) {
			e := k.Load(k.Buf(p.x), k.AddInt(k.Add(from, k.MulInt(i, p.s)), first), 1)
			k.Store(k.Buf(p.in), k.AddInt(k.Add(to, k.MulInt(i, block)), x), e)
		})
	}
}

// phaseTile is the code for the tiles that an iteration takes at once.
type phaseTile struct {
	*phases
	*K
	d, m            *loop.Buf // transformed inputs [tiles][products][16], products [products][tiles][lanes of a block]
	count           int64
	img, row, first *loop.Value // image, row of tiles, first tile of it
}

func (p *phases) build(k *K) {
	t := &phaseTile{phases: p, K: k, count: p.width(k.Level)}
	t.d = k.Local("d", tensor.F32, t.count*p.products()*block)
	t.m = k.Local("m", tensor.F32, t.count*p.products()*block)
	k.Parallel(func(i *loop.Value) {
		co := k.Unflatten(i, p.n, p.tiles(p.oh), p.tiles(p.ow).CeilDiv(t.count))
		t.img, t.row, t.first = co[0], co[1], k.MulInt(co[2], t.count)
		k.Range(k.Int(0), k.Int(t.count), 1, t.transform)
		k.Range(k.Int(0), k.Int(blocks(p.oc)), 1, func(ob *loop.Value) {
			k.Range(k.Int(0), k.Int(p.products()), 1, func(q *loop.Value) { t.multiply(ob, q) })
			end := k.Int(t.count)
			if w := p.tiles(p.ow); !w.IsConst() || w.Value()%t.count != 0 {
				end = k.MinIdx(end, k.Sub(k.Dim(w), t.first))
			}
			k.Range(k.Int(0), end, 1, func(tile *loop.Value) {
				k.Range(k.Int(0), k.Int(block), int64(k.Level.Lanes(4)), func(lane *loop.Value) { t.back(ob, tile, lane) })
			})
		})
	})
}

// apply gives the product of a matrix and vectors of a local buffer, those at base and from there on in steps.
func (t *phaseTile) apply(matrix [][]float64, buf *loop.Buf, base *loop.Value, step int64) []*loop.Value {
	x := make([]*loop.Value, t.t.n)
	for i := range x {
		x[i] = t.Load(buf, t.AddInt(base, int64(i)*step), t.Level.Lanes(4))
	}
	return t.times(matrix, x)
}

// put writes vectors to a local buffer, in steps.
func (t *phaseTile) put(buf *loop.Buf, base *loop.Value, step int64, x []*loop.Value) {
	for i, e := range x {
		t.Store(buf, t.AddInt(base, int64(i)*step), e)
	}
}

// transform computes B^T d B of a tile: columns, and then rows in place.
func (t *phaseTile) transform(tile *loop.Value) {
	lanes, n := int64(t.Level.Lanes(4)), int64(t.t.n)
	shape := t.in.Type.Shape
	y, x := t.MulInt(t.row, phaseOut), t.MulInt(t.Add(t.first, tile), phaseOut)
	from := t.Flatten([]*loop.Value{t.img, y, x, t.Int(0)}, shape)
	to := t.MulInt(tile, t.products()*block)
	t.Range(t.Int(0), t.Int((t.channels+lanes-1)/lanes*lanes), lanes, func(lane *loop.Value) {
		t.Range(t.Int(0), t.Int(n), 1, func(j *loop.Value) {
			d, at := make([]*loop.Value, n), t.Add(lane, t.MulInt(j, block))
			for i := range d {
				d[i] = t.Load(t.Buf(t.in), t.Add(t.Add(from, at), t.MulDim(t.Int(int64(i)*block), shape[2])), int(lanes))
			}
			t.put(t.d, t.Add(to, at), n*block, t.times(t.t.bt, d))
		})
		t.Range(t.Int(0), t.Int(n), 1, func(i *loop.Value) {
			at := t.Add(t.Add(to, lane), t.MulInt(i, n*block))
			t.put(t.d, at, block, t.apply(t.t.bt, t.d, at, block))
		})
	})
}

// multiply computes product q of all tiles and a block of output channels.
func (t *phaseTile) multiply(ob, q *loop.Value) {
	lanes := int64(t.Level.Lanes(4))
	weights := t.MulInt(t.Add(t.MulInt(ob, t.products()), q), t.channels*block)
	a := t.reduceK(t.Int(0), t.Int(t.channels), t.channels, t.zeroAccs(tile{int(t.count), 1}),
		func(p int, k *loop.Value, d int64) *loop.Value {
			return t.Load(t.d, t.AddInt(t.Add(t.MulInt(q, block), k), int64(p)*t.products()*block+d), 1)
		},
		func(j int, k *loop.Value, d int64) *loop.Value {
			return t.Load(t.WeightBuf(t.weights, tensor.F32), t.AddInt(t.Add(weights, t.MulInt(k, block)), d*block+int64(j)*lanes), int(lanes))
		})
	for p := range a {
		for j, e := range a[p] {
			t.Store(t.m, t.AddInt(t.MulInt(q, t.count*block), int64(p)*block+int64(j)*lanes), e)
		}
	}
}

// back computes A^T m A of a tile, columns in place, and then rows, which are output pixels.
func (t *phaseTile) back(ob, tile, lane *loop.Value) {
	n, step := int64(t.t.n), t.count*block
	from := t.Add(t.MulInt(tile, block), lane)
	t.Range(t.Int(0), t.Int(n), 1, func(j *loop.Value) {
		at := t.Add(from, t.MulInt(j, step))
		t.put(t.m, at, n*step, t.apply(t.t.at, t.m, at, n*step))
	})
	oh, ow := t.MulInt(t.row, phaseOut), t.MulInt(t.Add(t.first, tile), phaseOut)
	t.Range(t.Int(0), t.MinIdx(t.Int(phaseOut), t.Sub(t.Dim(t.oh), oh)), 1, func(i *loop.Value) {
		for j, e := range t.apply(t.t.at, t.m, t.Add(from, t.MulInt(i, n*step)), step) {
			x := t.AddInt(ow, int64(j))
			store := func() {
				if t.bias >= 0 {
					e = t.K.Add(e, t.Load(t.WeightBuf(t.bias, tensor.F32), t.Add(t.MulInt(ob, block), lane), e.Type.Lanes))
				}
				t.storeBlocked(t.out, t.body, t.img, ob, t.Add(oh, i), x, t.oh, t.ow, lane, e, e.Type.Lanes)
			}
			if j == 0 || t.ow.IsConst() && t.ow.Value()%phaseOut == 0 {
				store()
			} else {
				t.choose(t.Cmp(loop.LT, x, t.Dim(t.ow)), store, nil)
			}
		}
	})
}
