package lower

import (
	"math"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// maxRoiSamples bounds the samples of one cell along one axis, as the reference function does.
const maxRoiSamples = 1 << 16

// roiPool is RoiAlign or MaxRoiPool: an iteration makes one cell of one region, vectors run along the
// channels, so that what is known of the cell's geometry serves them all.
type roiPool struct {
	*K
	op            *ir.Op
	x, rois, out  *ir.Value
	n, ch, h, w   ir.Dim
	cellsY, cellX int64
	scale         float64
	// of RoiAlign
	batch   *ir.Value
	half    bool // half_pixel
	largest bool
	ratio   int64
}

func (p *roiPool) init(c *Ctx, op *ir.Op, columns int64) error {
	p.op, p.x, p.rois, p.out, p.scale = op, op.Operands[0], op.Operands[1], op.Results[0], op.Attrs.Float("spatial_scale", 1)
	if x, r := p.x.Type, p.rois.Type; x.Rank() != 4 || r.Rank() != 2 || !isFloat(x.DType) || r.DType != x.DType {
		return errDecline
	}
	s := p.x.Type.Shape
	p.n, p.ch, p.h, p.w = s[0], s[1], s[2], s[3]
	if d := p.rois.Type.Shape[1]; d.IsConst() && !d.Is(columns) {
		return op.Errorf("rois is %v, want %d numbers for each", p.rois.Type, columns)
	}
	c.checkEqual(op, p.rois.Type.Shape[1], ir.Const(columns), "the numbers of a region")
	return c.checkImage(op, s[2:], ir.Product(p.out.Type.Shape))
}

// isFloat reports whether kernels compute on d as f32 or f64.
func isFloat(d tensor.DType) bool { return isHalfOrFloat(d) || d == tensor.F64 }

// check emits the kernel that counts regions for which ok does not hold.
func (p *roiPool) check(c *Ctx, ins []*ir.Value, ok func(p *roiPool, roi *loop.Value) *loop.Value) error {
	bad := c.Scratch(ir.TensorType(tensor.I64))
	err := c.Kernel(Step{
		Op: p.op, Name: "check_rois", Ins: ins, Outs: []*ir.Value{bad}, Par: ir.Const(1), NsPerIter: 100,
		Build: func(k *K) {
			q := *p
			q.K = k
			k.Parallel(func(*loop.Value) {
				n := k.For(k.Int(0), k.Dim(p.rois.Type.Shape[0]), 1, []*loop.Value{k.Int(0)}, func(r *loop.Value, a []*loop.Value) []*loop.Value {
					return []*loop.Value{k.Add(a[0], k.Select(ok(&q, r), k.Int(0), k.Int(1)))}
				})
				k.Store(k.Buf(bad), k.Int(0), n[0])
			})
		},
	})
	if err != nil {
		return err
	}
	return c.checkFaults(p.op, bad, "regions of batch indices out of range, or too large")
}

// cells emits the kernel that makes all cells. cell gives, for a vector of channels whose images start at
// the given offsets, the value of a cell of a region.
func (p *roiPool) cells(c *Ctx, ins []*ir.Value, name string, cell func(p *roiPool, roi, cy, cx, image *loop.Value) *loop.Value, batch func(p *roiPool, roi *loop.Value) *loop.Value) error {
	d := p.x.Type.DType
	regions, count := p.out.Type.Shape[0], p.cellsY*p.cellX
	plane := p.h.Mul(p.w)
	return c.Kernel(Step{
		Op: p.op, Name: name, Ins: ins, Outs: []*ir.Value{p.out}, Par: regions.MulInt(count), NsPerIter: perChunk(p.ch, 10), Bytes: bytesOf(p.x).Add(bytesOf(p.out)),
		Build: func(k *K) {
			q := *p
			q.K = k
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, regions, ir.Const(p.cellsY), ir.Const(p.cellX))
				first := k.MulDim(batch(&q, co[0]), p.ch)
				k.vectorLoop(k.Int(0), k.Dim(p.ch), k.Level.Lanes(computeType(d).Size()), func(e *loop.Value, lanes int) {
					ch := k.Add(k.Broadcast(k.Add(first, e), lanes), k.steps(lanes))
					v := k.toMemory(cell(&q, co[0], co[1], co[2], k.Mul(ch, k.Broadcast(k.Dim(plane), lanes))), d)
					at := k.Add(k.MulInt(k.Add(k.MulDim(co[0], p.ch), e), count), k.Add(k.MulInt(co[1], p.cellX), co[2]))
					for j := range lanes {
						one := v
						if lanes > 1 {
							one = k.Extract(v, j)
						}
						k.Store(k.Buf(p.out), k.AddInt(at, int64(j)*count), one)
					}
				})
			})
		},
	})
}

// number is number j of a region in the type of computations.
func (p *roiPool) number(roi *loop.Value, columns, j int64) *loop.Value {
	return p.fromMemory(p.Load(p.Buf(p.rois), p.AddInt(p.MulInt(roi, columns), j), 1), p.rois.Type.DType)
}

// image reads the pixel at offset off of the image of each channel.
func (p *roiPool) pixel(image, off *loop.Value) *loop.Value {
	return p.fromMemory(p.loadAt(p.Buf(p.x), p.Add(image, p.Broadcast(off, image.Type.Lanes))), p.x.Type.DType)
}

func lowerRoiAlign(c *Ctx, op *ir.Op) error {
	p := roiPool{
		batch: op.Operands[2], half: op.Attrs.Str("coordinate_transformation_mode", "half_pixel") == "half_pixel", largest: op.Attrs.Str("mode", "avg") == "max",
		ratio: op.Attrs.Int("sampling_ratio", 0), cellsY: op.Attrs.Int("output_height", 1), cellX: op.Attrs.Int("output_width", 1),
	}
	if !isIndex(p.batch) || p.batch.Type.Rank() != 1 {
		return errDecline
	}
	if err := p.init(c, op, 4); err != nil {
		return err
	}
	c.checkEqual(op, p.batch.Type.Shape[0], p.rois.Type.Shape[0], "the numbers of rois and batch_indices")
	ins := []*ir.Value{p.x, p.rois, p.batch}
	if err := p.check(c, ins[1:], (*roiPool).alignFits); err != nil {
		return err
	}
	return p.cells(c, ins, "roi_align", (*roiPool).alignCell, func(p *roiPool, roi *loop.Value) *loop.Value { return p.batchIndex(roi) })
}

func (p *roiPool) batchIndex(roi *loop.Value) *loop.Value {
	return p.Convert(p.Load(p.Buf(p.batch), roi, 1), tensor.I64)
}

// alignFits reports whether a region has a batch index in range and no more than maxRoiSamples.
func (p *roiPool) alignFits(roi *loop.Value) *loop.Value {
	b := p.batchIndex(roi)
	ok := p.And(p.Cmp(loop.GE, b, p.Int(0)), p.Cmp(loop.LT, b, p.Dim(p.n)))
	if p.ratio > 0 {
		return ok
	}
	for j, cells := range []int64{p.cellX, p.cellsY} {
		_, size := p.span(roi, int64(j), cells)
		ok = p.And(ok, p.Cmp(loop.LE, p.Unary(loop.OpCeil, size), p.num(size, maxRoiSamples)))
	}
	return ok
}

// span is where a region starts along an axis, 0 for x and 1 for y, and the size of its cells.
func (p *roiPool) span(roi *loop.Value, axis, cells int64) (start, size *loop.Value) {
	at := func(j int64) *loop.Value {
		v := p.number(roi, 4, j)
		v = p.Mul(v, p.num(v, p.scale))
		if p.half {
			v = p.Sub(v, p.num(v, 0.5))
		}
		return v
	}
	start = at(axis)
	length := p.Sub(at(axis+2), start)
	if !p.half { // malformed regions become 1x1
		length = p.Select(p.Cmp(loop.LT, length, p.num(length, 1)), p.num(length, 1), length)
	}
	return start, p.Div(length, p.num(length, float64(cells)))
}

// samples is the number of samples of a cell along an axis.
func (p *roiPool) samples(size *loop.Value) *loop.Value {
	if p.ratio > 0 {
		return p.Int(p.ratio)
	}
	return p.inside(p.Unary(loop.OpCeil, size), ir.Const(maxRoiSamples+1))
}

// roiNeighbours are the two pixels along an axis around a sample, and the weight of each, 0 outside.
type roiNeighbours struct{ at, weight [2]*loop.Value }

// neighbours of sample number i of the given cell.
func (p *roiPool) neighbours(start, size, cell, i, count *loop.Value, n ir.Dim) roiNeighbours {
	f := func(v *loop.Value) *loop.Value { return p.Convert(v, size.Type.Elem) }
	num := func(v float64) *loop.Value { return p.num(size, v) }
	x := p.Add(p.Add(start, p.Mul(f(cell), size)), p.Div(p.Mul(p.Add(f(i), num(0.5)), size), f(count)))
	ok := p.And(p.Cmp(loop.GE, x, num(-1)), p.Cmp(loop.LE, x, f(p.Dim(n))))
	x = p.Select(p.And(ok, p.Cmp(loop.GT, x, num(0))), x, num(0))
	low := p.inside(p.Unary(loop.OpFloor, x), n)
	last := p.Dim(n.AddInt(-1))
	frac := p.Select(p.Cmp(loop.GE, low, last), num(0), p.Sub(x, f(low)))
	weight := func(v *loop.Value) *loop.Value { return p.Select(ok, v, num(0)) }
	return roiNeighbours{[2]*loop.Value{low, p.MinIdx(p.AddInt(low, 1), last)}, [2]*loop.Value{weight(p.Sub(num(1), frac)), weight(frac)}}
}

// alignCell is the mean, or the maximum, over the samples of a cell.
func (p *roiPool) alignCell(roi, cy, cx, image *loop.Value) *loop.Value {
	startX, sizeX := p.span(roi, 0, p.cellX)
	startY, sizeY := p.span(roi, 1, p.cellsY)
	nx, ny := p.samples(sizeX), p.samples(sizeY)
	lanes := image.Type.Lanes
	zero := p.num(&loop.Value{Type: loop.Vec(sizeX.Type.Elem, lanes)}, 0)
	acc := p.For(p.Int(0), ny, 1, []*loop.Value{zero}, func(iy *loop.Value, a []*loop.Value) []*loop.Value {
		y := p.neighbours(startY, sizeY, cy, iy, ny, p.h)
		return p.For(p.Int(0), nx, 1, a, func(ix *loop.Value, a []*loop.Value) []*loop.Value {
			x := p.neighbours(startX, sizeX, cx, ix, nx, p.w)
			var v *loop.Value
			for i := range 2 {
				row := p.MulDim(y.at[i], p.w)
				for j := range 2 {
					w := p.Mul(y.weight[i], x.weight[j])
					t := p.Mul(p.pixel(image, p.Add(row, x.at[j])), p.Broadcast(w, lanes))
					t = p.Select(p.Broadcast(p.Cmp(loop.EQ, w, p.num(w, 0)), lanes), zero, t)
					switch {
					case v == nil:
						v = t
					case p.largest:
						v = p.Max(v, t)
					default:
						v = p.Add(v, t)
					}
				}
			}
			if !p.largest {
				return []*loop.Value{p.Add(a[0], v)}
			}
			first := p.And(p.Cmp(loop.EQ, iy, p.Int(0)), p.Cmp(loop.EQ, ix, p.Int(0)))
			better := p.Or(p.Broadcast(first, lanes), p.Or(p.Cmp(loop.GT, v, a[0]), p.Cmp(loop.NE, v, v)))
			return []*loop.Value{p.Select(better, v, a[0])}
		})
	})[0]
	if p.largest {
		return acc
	}
	count := p.Convert(p.MaxIdx(p.Mul(nx, ny), p.Int(1)), zero.Type.Elem)
	return p.Div(acc, p.Broadcast(count, lanes))
}

func lowerMaxRoiPool(c *Ctx, op *ir.Op) error {
	pooled := op.Attrs.Ints("pooled_shape", nil)
	p := roiPool{cellsY: pooled[0], cellX: pooled[1]}
	if err := p.init(c, op, 5); err != nil {
		return err
	}
	ins := []*ir.Value{p.x, p.rois}
	if err := p.check(c, ins[1:], (*roiPool).maxFits); err != nil {
		return err
	}
	return p.cells(c, ins, "max_roi_pool", (*roiPool).maxCell, func(p *roiPool, roi *loop.Value) *loop.Value {
		return p.inside(p.Unary(loop.OpTrunc, p.number(roi, 5, 0)), p.n)
	})
}

// maxFits reports whether a region has a batch index in range and no NaN.
func (p *roiPool) maxFits(roi *loop.Value) *loop.Value {
	b := p.number(roi, 5, 0)
	ok := p.And(p.Cmp(loop.GE, b, p.num(b, 0)), p.Cmp(loop.LT, b, p.Convert(p.Dim(p.n), b.Type.Elem)))
	for j := int64(1); j < 5; j++ {
		v := p.number(roi, 5, j)
		ok = p.And(ok, p.Cmp(loop.EQ, v, v))
	}
	return ok
}

// cellRange is the range of pixels, of n, of a cell of a region along an axis, 1 for x and 2 for y.
func (p *roiPool) cellRange(roi *loop.Value, axis int64, cell *loop.Value, cells int64, n ir.Dim) (lo, hi *loop.Value) {
	f64 := func(v *loop.Value) *loop.Value { return p.Convert(v, tensor.F64) }
	num := func(v float64) *loop.Value { return p.Float(loop.Scalar(tensor.F64), v) }
	limit := func(v *loop.Value, lo, hi *loop.Value) *loop.Value {
		v = p.Select(p.Cmp(loop.LT, v, lo), lo, v)
		return p.Select(p.Cmp(loop.GT, v, hi), hi, v)
	}
	at := func(j int64) *loop.Value { // rounded half away from 0
		v := p.Mul(f64(p.number(roi, 5, j)), num(p.scale))
		t := p.Unary(loop.OpTrunc, v)
		up := p.Select(p.Cmp(loop.GE, v, num(0)), num(1), num(-1))
		t = p.Select(p.Cmp(loop.GE, p.Unary(loop.OpAbs, p.Sub(v, t)), num(0.5)), p.Add(t, up), t)
		return limit(t, num(-1<<30), num(1<<30))
	}
	start := at(axis)
	length := p.Add(p.Sub(at(axis+2), start), num(1))
	length = p.Convert(p.Select(p.Cmp(loop.LT, length, num(1)), num(1), length), tensor.F32)
	size := f64(p.Div(length, p.num(length, float64(cells))))
	edge := func(cell *loop.Value, round loop.Op) *loop.Value {
		v := p.Unary(round, f64(p.Convert(p.Mul(f64(cell), size), tensor.F32)))
		return p.Convert(limit(p.Add(v, start), num(0), f64(p.Dim(n))), tensor.I64)
	}
	return edge(cell, loop.OpFloor), edge(p.AddInt(cell, 1), loop.OpCeil)
}

// maxCell is the maximum over the pixels of a cell, 0 if there is none.
func (p *roiPool) maxCell(roi, cy, cx, image *loop.Value) *loop.Value {
	y0, y1 := p.cellRange(roi, 2, cy, p.cellsY, p.h)
	x0, x1 := p.cellRange(roi, 1, cx, p.cellX, p.w)
	lanes := image.Type.Lanes
	t := loop.Vec(computeType(p.x.Type.DType), lanes)
	top := p.For(y0, y1, 1, []*loop.Value{p.Float(t, math.Inf(-1))}, func(y *loop.Value, a []*loop.Value) []*loop.Value {
		row := p.MulDim(y, p.w)
		return p.For(x0, x1, 1, a, func(x *loop.Value, a []*loop.Value) []*loop.Value {
			return []*loop.Value{p.Max(a[0], p.pixel(image, p.Add(row, x)))}
		})
	})[0]
	some := p.And(p.Cmp(loop.LT, y0, y1), p.Cmp(loop.LT, x0, x1))
	return p.Select(p.Broadcast(some, lanes), top, p.Float(t, 0))
}
