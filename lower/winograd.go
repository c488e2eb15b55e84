package lower

import (
	"fmt"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// A 3x3 convolution by Winograd's minimal filtering F(4x4,3x3) (Lavin and Gray, "Fast Algorithms for
// Convolutional Neural Networks", 2015), with the points 0, 1, -1, 2, -2 and infinity: an output tile
// of 4x4 pixels takes 36 products for each pair of channels instead of 144. Tiles of 6x6 input pixels
// are transformed, 36 matrix products over the channels follow, and their results are transformed back.
const (
	winoOut = 4               // output pixels of a tile in a row
	winoIn  = winoOut + 2     // input pixels of a tile in a row
	winoMul = winoIn * winoIn // products of a tile
	winoPad = int64(block)    // keeps rows of transformed input off the same L1 set
)

// winoFilter is G of the filter transform G g G^T.
var winoFilter = [winoIn][3]float64{
	{1.0 / 4, 0, 0}, {-1.0 / 6, -1.0 / 6, -1.0 / 6}, {-1.0 / 6, 1.0 / 6, -1.0 / 6},
	{1.0 / 24, 1.0 / 12, 1.0 / 6}, {1.0 / 24, -1.0 / 12, 1.0 / 6}, {0, 0, 1},
}

// winogradPays reports whether the convolution can be done so, and in clearly less time.
func (v *conv) winogradPays(c *Ctx, w, bias *ir.Value) bool {
	direct, minimal, ok := v.winogradTimes(c, w, bias)
	if !ok {
		return false
	}
	pays := direct > 1.3*minimal && v.worthMemory(direct-minimal)
	if direct < minimal {
		return pays
	}
	return c.rather(convAlgorithm, fmt.Sprint(v.sizes(), v), "winograd4", "direct", pays)
}

// winogradTimes estimates what the direct form and this one take, in ns: flops at what a core computes and bytes at what it
// streams from L3 or memory, which the weights, four times as large as the original, take once.
func (v *conv) winogradTimes(c *Ctx, w, bias *ir.Value) (direct, minimal float64, ok bool) {
	if c.Opts.Strict || v.pairs || c.constOf(w) == nil || bias != nil && c.constOf(bias) == nil || v.plain || v.group != 1 ||
		v.kh != 3 || v.kw != 3 || v.sh != 1 || v.sw != 1 || v.dh != 1 || v.dw != 1 || !v.oh.IsConst() || !v.ow.IsConst() {
		return 0, 0, false
	}
	const flopsPerNs, bytesPerNs = 90, 20
	channels, both := float64(v.c*v.oc), float64((blocks(v.c)+blocks(v.oc))*block)
	tiles := float64(v.tileRows() * v.tileCols())
	direct = 2 * 9 * channels * float64(v.oh.Value()*v.ow.Value()) / flopsPerNs
	products := 2 * winoMul * channels * tiles / flopsPerNs
	stream := 4 * winoMul * (channels + 2*both*tiles) / bytesPerNs
	return direct, products + stream, true
}

// worthMemory reports whether so many ns are worth the memory that the weights grow by.
func (v *conv) worthMemory(ns float64) bool {
	const growthPerNs = 4
	return float64(4*(winoMul-9)*v.c*v.oc) < growthPerNs*ns
}

func (v *conv) tileRows() int64 { return (v.oh.Value() + winoOut - 1) / winoOut }
func (v *conv) tileCols() int64 { return (v.ow.Value() + winoOut - 1) / winoOut }

// lowerWinograd emits the three steps.
func (v *conv) lowerWinograd(c *Ctx, w, bias *ir.Value) error {
	if err := v.packBias(c, bias); err != nil {
		return err
	}
	b, err := v.winogradWeights(c, c.constOf(w))
	if err != nil {
		return err
	}
	oc := blocks(v.oc) * block
	tiles := v.n.MulInt(v.tileRows() * v.tileCols())
	row := ir.Const(blocks(v.c)*block + winoPad)
	in := c.Scratch(ir.TensorType(tensor.F32, ir.Const(winoMul), tiles, row))
	out := c.Scratch(ir.TensorType(tensor.F32, ir.Const(winoMul), tiles, ir.Const(oc)))
	if err := v.winogradInput(c, in, tiles); err != nil {
		return err
	}
	g := &gemm{
		op: v.op, m: tiles, n: ir.Const(oc), k: ir.Const(v.c), batch: []ir.Dim{ir.Const(winoMul)}, lead: []ir.Dim{tiles},
		a: in, aBatch: []ir.Dim{tiles.Mul(row)}, aRow: row, aK: ir.Const(1),
		b: b, bBatch: []ir.Dim{ir.Const(v.c * oc)}, out: out, body: &body{c: c, anchor: out, result: out},
	}
	if err := g.lower(c); err != nil {
		return err
	}
	return v.winogradOutput(c, out, tiles)
}

// winogradWeights puts the transformed weights into the weights file: [36][OB][C][16]. What pads a block of
// output channels is zero; what pads one of input channels is left out, since it may be infinite.
func (v *conv) winogradWeights(c *Ctx, d *ir.Data) (panels, error) {
	ic, oc := v.c, blocks(v.oc)*block
	off, err := c.weights.Packed(d, "winograd4", func(t *tensor.Tensor) ([]byte, error) {
		src, err := floats(t)
		if err != nil {
			return nil, err
		}
		dst := make([]float32, winoMul*ic*oc)
		for o := range v.oc {
			for i := range v.c {
				u := winogradFilter(src[(o*v.c+i)*9:])
				for q, x := range u {
					dst[int64(q)*ic*oc+(o/block*ic+i)*block+o%block] = float32(x)
				}
			}
		}
		return tensor.AsBytes(dst), nil
	})
	if err != nil {
		return panels{}, err
	}
	size := winoMul * ic * oc * 4
	return panels{weights: c.addBuf(plan.Buf{Kind: plan.BufWeight, Offset: off, Bytes: c.constSlot(size), Name: d.Name})}, nil
}

// winogradFilter is G g G^T.
func winogradFilter(g []float32) (u [winoMul]float64) {
	for q := range u {
		for a, x := range winoFilter[q/winoIn] {
			for b, y := range winoFilter[q%winoIn] {
				u[q] += x * y * float64(g[a*3+b])
			}
		}
	}
	return u
}

// eachTile runs body for the tiles of a row of tiles and the vectors of a block; tile counts over all images.
func (v *conv) eachTile(k *K, nb int64, body func(n, b, th, tw, tile, lane *loop.Value)) {
	k.Parallel(func(i *loop.Value) {
		co := k.Unflatten(i, v.n, ir.Const(nb), ir.Const(v.tileRows()))
		first := k.MulInt(k.Add(k.MulInt(co[0], v.tileRows()), co[2]), v.tileCols())
		k.Range(k.Int(0), k.Int(v.tileCols()), 1, func(tw *loop.Value) {
			k.Range(k.Int(0), k.Int(block), int64(k.Level.Lanes(4)), func(lane *loop.Value) {
				body(co[0], co[1], co[2], tw, k.Add(first, tw), lane)
			})
		})
	})
}

// winogradInput emits the step that writes B^T d B of all tiles d to [36][tiles][C].
func (v *conv) winogradInput(c *Ctx, to *ir.Value, tiles ir.Dim) error {
	nb := blocks(v.c)
	return c.Kernel(Step{
		Op: v.op, Name: "winograd_in", Ins: []*ir.Value{v.x}, Outs: []*ir.Value{to}, Par: v.n.MulInt(nb * v.tileRows()),
		NsPerIter: float64(60 * v.tileCols()), Bytes: bytesOf(v.x).Add(bytesOf(to)),
		Build: func(k *K) {
			lanes, row := k.Level.Lanes(4), nb*block+winoPad
			v.eachTile(k, nb, func(n, b, th, tw, tile, lane *loop.Value) {
				y := k.AddInt(k.MulInt(th, winoOut), -v.top)
				x := k.AddInt(k.MulInt(tw, winoOut), -v.left)
				plane := k.MulDim(k.Add(k.MulInt(n, nb), b), v.h)
				base := k.Add(k.MulInt(k.Add(k.MulDim(k.Add(plane, y), v.w), x), block), lane)
				at := k.Add(k.Add(k.MulInt(tile, row), k.MulInt(b, block)), lane)
				store := func(d []*loop.Value) {
					d = winoApply(d, winoIn, k.winoIn)
					for q, e := range d {
						k.Store(k.Buf(to), k.Add(at, k.MulDim(k.Int(int64(q)*row), tiles)), e)
					}
				}
				inside := k.And(k.within(y, v.h), k.within(x, v.w))
				k.choose(inside, func() { store(v.winoLoad(k, base, lanes, nil)) }, func() {
					store(v.winoLoad(k, base, lanes, k.winoMasks(y, x, v.h, v.w, lanes)))
				})
			})
		},
	})
}

// within reports whether the pixels of a tile from x on are in an image of n.
func (k *K) within(x *loop.Value, n ir.Dim) *loop.Value {
	return k.And(k.Cmp(loop.GE, x, k.Int(0)), k.Cmp(loop.LE, k.AddInt(x, winoIn), k.Dim(n)))
}

// winoMasks select the pixels of a tile that are in the image, in all lanes or none.
func (k *K) winoMasks(y, x *loop.Value, h, w ir.Dim, lanes int) []*loop.Value {
	in := func(x *loop.Value, n ir.Dim) *loop.Value { // as unsigned numbers, those below zero are large
		return k.Cmp(loop.LT, k.Broadcast(k.Convert(x, tensor.U32), lanes), k.Broadcast(k.Convert(k.Dim(n), tensor.U32), lanes))
	}
	masks := make([]*loop.Value, winoMul)
	for q := range masks {
		masks[q] = k.And(in(k.AddInt(y, int64(q/winoIn)), h), in(k.AddInt(x, int64(q%winoIn)), w))
	}
	return masks
}

// winoLoad reads the pixels of a tile.
func (v *conv) winoLoad(k *K, base *loop.Value, lanes int, masks []*loop.Value) []*loop.Value {
	d := make([]*loop.Value, winoMul)
	for q := range d {
		at := k.AddInt(k.Add(base, k.MulDim(k.Int(int64(q/winoIn)*block), v.w)), int64(q%winoIn)*block)
		if masks == nil {
			d[q] = k.Load(k.Buf(v.x), at, lanes)
		} else {
			d[q] = k.LoadMask(k.Buf(v.x), at, masks[q])
		}
	}
	return d
}

// winoApply applies f, from winoIn to n values, to the columns and then to the rows of d.
func winoApply(d []*loop.Value, n int, f func(x [winoIn]*loop.Value) []*loop.Value) []*loop.Value {
	half, out := make([]*loop.Value, n*winoIn), make([]*loop.Value, n*n)
	for j := range winoIn {
		var x [winoIn]*loop.Value
		for i := range x {
			x[i] = d[i*winoIn+j]
		}
		for i, y := range f(x) {
			half[i*winoIn+j] = y
		}
	}
	for i := range n {
		copy(out[i*n:], f([winoIn]*loop.Value(half[i*winoIn:])))
	}
	return out
}

// winoIn is B^T x.
func (k *K) winoIn(x [winoIn]*loop.Value) []*loop.Value {
	times := func(c float64, x, y *loop.Value) *loop.Value { return k.FMA(k.Float(x.Type, c), x, y) }
	e, o := times(-4, x[2], x[4]), times(-4, x[1], x[3])
	f, g := k.Sub(x[4], x[2]), k.Mul(k.Float(x[0].Type, 2), k.Sub(x[3], x[1]))
	return []*loop.Value{
		times(4, x[0], times(-5, x[2], x[4])), k.Add(e, o), k.Sub(e, o),
		k.Add(f, g), k.Sub(f, g), times(4, x[1], times(-5, x[3], x[5])),
	}
}

// winoOut is A^T x.
func (k *K) winoOut(x [winoIn]*loop.Value) []*loop.Value {
	times := func(c float64, x, y *loop.Value) *loop.Value { return k.FMA(k.Float(x.Type, c), x, y) }
	a, b, c, d := k.Add(x[1], x[2]), k.Sub(x[1], x[2]), k.Add(x[3], x[4]), k.Sub(x[3], x[4])
	return []*loop.Value{k.Add(k.Add(x[0], a), c), times(2, d, b), times(4, c, a), k.Add(times(8, d, b), x[5])}
}

// winogradOutput emits the step that writes A^T m A of all tiles m, with bias and epilogue.
func (v *conv) winogradOutput(c *Ctx, from *ir.Value, tiles ir.Dim) error {
	nb := blocks(v.oc)
	mem := v.body.memInputs()
	return c.Kernel(Step{
		Op: v.op, Name: fmt.Sprintf("winograd_out%d", winoOut), Ins: append(append([]*ir.Value{}, mem...), from), Outs: []*ir.Value{v.out}, InPlace: mem,
		Par: v.n.MulInt(nb * v.tileRows()), NsPerIter: float64(60 * v.tileCols()), Bytes: bytesOf(from).Add(bytesOf(v.out)),
		Build: func(k *K) {
			lanes := k.Level.Lanes(4)
			pixels := k.Local("pixels", tensor.F32, int64(winoOut*winoOut*lanes))
			v.eachTile(k, nb, func(n, b, th, tw, tile, lane *loop.Value) {
				channel := k.Add(k.MulInt(b, block), lane)
				at := k.Add(k.MulInt(tile, nb*block), channel)
				m := make([]*loop.Value, winoMul)
				for q := range m {
					m[q] = k.Load(k.Buf(from), k.Add(at, k.MulDim(k.Int(int64(q)*nb*block), tiles)), lanes)
				}
				for q, e := range winoApply(m, winoOut, k.winoOut) {
					if v.bias >= 0 {
						e = k.Add(e, k.Load(k.WeightBuf(v.bias, tensor.F32), channel, lanes))
					}
					k.Store(pixels, k.Int(int64(q*lanes)), e)
				}
				y, x := k.MulInt(th, winoOut), k.MulInt(tw, winoOut)
				k.Range(k.Int(0), k.MinIdx(k.Int(winoOut), k.Sub(k.Dim(v.oh), y)), 1, func(i *loop.Value) {
					k.Range(k.Int(0), k.MinIdx(k.Int(winoOut), k.Sub(k.Dim(v.ow), x)), 1, func(j *loop.Value) {
						acc := k.Load(pixels, k.MulInt(k.Add(k.MulInt(i, winoOut), j), int64(lanes)), lanes)
						k.storeBlocked(v.out, v.body, n, b, k.Add(y, i), k.Add(x, j), v.oh, v.ow, lane, acc, lanes)
					})
				})
			})
		},
	})
}
