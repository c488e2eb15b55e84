package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// sampleRules are the ops that read images at computed places.
func sampleRules() map[string]rule {
	return map[string]rule{"Resize": lowerResize, "GridSample": lowerGridSample, "AffineGrid": lowerAffineGrid, "RoiAlign": lowerRoiAlign, "MaxRoiPool": lowerMaxRoiPool}
}

// gridSample is GridSample over any number of spatial dimensions. A vector runs along the last of the
// grid's; what is known of its points serves all channels.
type gridSample struct {
	*K
	x, grid       *ir.Value
	mode, padding string
	align         bool
	dims          []ir.Dim // of the image
	coord, weight tensor.DType
	wide          tensor.DType // in which places and weights are computed from coordinates
}

// samplePixel is an index along one axis and its weight, of each lane; the pixels of lanes not in valid,
// if it is there, count as 0.
type samplePixel struct{ at, weight, valid *loop.Value }

func lowerGridSample(c *Ctx, op *ir.Op) error {
	x, grid, out := op.Operands[0], op.Operands[1], op.Results[0]
	r := x.Type.Rank()
	g := gridSample{x: x, grid: grid, mode: op.Attrs.Str("mode", "linear"), padding: op.Attrs.Str("padding_mode", "zeros"), align: op.Attrs.Int("align_corners", 0) != 0,
		coord: tensor.F32, weight: tensor.F64}
	if r < 3 || !compiled(x.Type.DType) || !isHalfOrFloat(grid.Type.DType) && grid.Type.DType != tensor.F64 {
		return errDecline
	}
	if grid.Type.DType == tensor.F64 {
		g.coord = tensor.F64
	}
	g.wide = tensor.F64
	if computeType(x.Type.DType) == tensor.F32 {
		g.weight, g.wide = tensor.F32, g.coord
	}
	g.dims = x.Type.Shape[2:]
	batch, channels, shape := x.Type.Shape[0], x.Type.Shape[1], out.Type.Shape[2:]
	c.checkEqual(op, grid.Type.Shape[0], batch, "batch sizes")
	c.checkEqual(op, grid.Type.Shape[r-1], ir.Const(int64(r-2)), "the coordinates of a point and the dimensions of the image")
	if err := c.checkImage(op, g.dims, ir.Product(out.Type.Shape)); err != nil {
		return err
	}
	width, rows, points, plane := shape[r-3], ir.Product(shape[:r-3]), ir.Product(shape), ir.Product(g.dims)
	return c.Kernel(Step{
		Op: op, Name: "gridsample_" + g.mode, Ins: []*ir.Value{x, grid}, Outs: []*ir.Value{out}, Par: batch.Mul(rows), NsPerIter: perChunk(width.Mul(channels), 4),
		Bytes: bytesOf(x).Add(bytesOf(out)),
		Build: func(k *K) {
			g := g
			g.K = k
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, batch, rows)
				k.vectorLoop(k.Int(0), k.Dim(width), k.Level.Lanes(g.weight.Size()), func(e *loop.Value, lanes int) {
					taps := g.taps(k.Add(k.MulDim(i, width), e), lanes)
					k.Range(k.Int(0), k.Dim(channels), 1, func(ch *loop.Value) {
						image := k.Add(k.MulDim(co[0], channels), ch)
						to := k.Add(k.Add(k.MulDim(image, points), k.MulDim(co[1], width)), e)
						k.Store(k.Buf(out), to, g.pixel(taps, k.MulDim(image, plane)))
					})
				})
			})
		},
	})
}

// checkImage emits a step that fails where an empty image is sampled for a result of n elements.
func (c *Ctx) checkImage(op *ir.Op, dims []ir.Dim, n ir.Dim) error {
	plane := ir.Product(dims)
	if plane.AddInt(-1).NonNegative() || n.Is(0) {
		return nil
	}
	// 1 where there are pixels, or where nothing is asked for.
	some := plane.Min(ir.Const(1)).Max(ir.Const(1).Sub(n))
	if some.IsConst() && some.Is(0) {
		return op.Errorf("the image %v is empty", op.Operands[0].Type)
	}
	c.checkEqual(op, some, ir.Const(1), "images that are not empty and this one")
	return nil
}

// taps gives the pixels along each axis for the points from number p of the grid on.
func (g *gridSample) taps(p *loop.Value, lanes int) [][]samplePixel {
	n := int64(len(g.dims))
	all := make([][]samplePixel, n)
	for i := range all {
		at := g.Add(g.Broadcast(g.AddInt(g.MulInt(p, n), n-1-int64(i)), lanes), g.Mul(g.steps(lanes), g.IntOf(loop.Vec(tensor.I64, lanes), n)))
		x := g.Convert(g.fromMemory(g.loadAt(g.Buf(g.grid), at), g.grid.Type.DType), g.coord)
		all[i] = g.axis(g.dims[i], x)
	}
	return all
}

// axis gives the pixels along an axis of n that lie around the normalised coordinate x.
func (g *gridSample) axis(n ir.Dim, x *loop.Value) []samplePixel {
	num := func(v float64) *loop.Value { return g.num(x, v) }
	size := g.Broadcast(g.Convert(g.Dim(n), g.coord), x.Type.Lanes)
	last := g.Sub(size, num(1))
	if g.align {
		x = g.Mul(g.Mul(g.Add(x, num(1)), num(0.5)), last)
	} else {
		x = g.Mul(g.Sub(g.Mul(g.Add(x, num(1)), size), num(1)), num(0.5))
	}
	x, size, last = g.Convert(x, g.wide), g.Convert(size, g.wide), g.Convert(last, g.wide)
	lo, hi := num(-0.5), g.Sub(size, num(0.5))
	if g.align {
		lo, hi = num(0), last
	}
	if g.mode == "nearest" {
		x = g.Unary(loop.OpRound, x)
	}
	outside := g.Or(g.Cmp(loop.LT, x, lo), g.Cmp(loop.GT, x, hi))
	switch g.padding {
	case "border":
		x = g.Select(outside, g.Select(g.Cmp(loop.LT, x, lo), num(0), last), x)
	case "reflection":
		inner := g.Convert(g.Convert(g.reflect(x, lo, hi), g.coord), g.wide) // as precise as coordinates are
		x = g.Select(outside, inner, x)
	}
	pixel := func(p, w *loop.Value) samplePixel {
		t := samplePixel{weight: g.Convert(w, g.weight)}
		switch g.padding {
		case "zeros":
			t.valid = g.And(g.Cmp(loop.GE, p, num(0)), g.Cmp(loop.LE, p, last))
		case "reflection":
			p = g.Unary(loop.OpTrunc, g.reflect(p, lo, hi))
		}
		t.at = g.inside(p, n)
		return t
	}
	f := g.Unary(loop.OpFloor, x)
	d := g.Sub(x, f)
	at := func(off float64) *loop.Value { return g.Add(f, num(off)) }
	switch g.mode {
	case "nearest":
		return []samplePixel{pixel(x, num(1))}
	case "linear":
		return []samplePixel{pixel(f, g.Sub(num(1), d)), pixel(at(1), d)}
	}
	e := g.Sub(num(1), d)
	return []samplePixel{pixel(at(-1), g.cubic(g.Add(d, num(1)), -0.75, false)), pixel(f, g.cubic(d, -0.75, true)),
		pixel(at(1), g.cubic(e, -0.75, true)), pixel(at(2), g.cubic(g.Add(e, num(1)), -0.75, false))}
}

// cubic is the cubic convolution of R. Keys (1981) with coefficient a at distance d: near is for d of
// [0, 1], else d is in [1, 2].
func (k *K) cubic(d *loop.Value, a float64, near bool) *loop.Value {
	num := func(v float64) *loop.Value { return k.num(d, v) }
	if near {
		return k.Add(k.Mul(k.Mul(k.Sub(k.Mul(num(a+2), d), num(a+3)), d), d), num(1))
	}
	return k.Sub(k.Mul(k.Add(k.Mul(k.Sub(k.Mul(num(a), d), num(5*a)), d), num(8*a)), d), num(4*a))
}

// reflect folds x into [lo, hi] at both ends.
func (g *gridSample) reflect(x, lo, hi *loop.Value) *loop.Value {
	zero, two := g.num(x, 0), g.num(x, 2)
	span := g.Sub(hi, lo)
	below := g.Cmp(loop.LT, x, lo)
	d := g.Select(below, g.Sub(lo, x), g.Sub(x, hi))
	n := g.Unary(loop.OpTrunc, g.Div(d, span))
	r := g.Sub(d, g.Mul(n, span))
	even := g.Cmp(loop.EQ, n, g.Mul(two, g.Unary(loop.OpTrunc, g.Div(n, two))))
	up := g.Or(g.And(below, even), g.And(g.Not(below), g.Not(even))) // from lo upwards
	folded := g.Select(up, g.Add(lo, r), g.Sub(hi, r))
	v := g.Select(g.Cmp(loop.GT, d, zero), folded, x)
	return g.Select(g.Cmp(loop.GT, span, zero), v, lo)
}

// pixel interpolates in the image from offset base on: along the first axis last.
func (g *gridSample) pixel(taps [][]samplePixel, base *loop.Value) *loop.Value {
	d := g.x.Type.DType
	lanes := taps[0][0].at.Type.Lanes
	if g.mode == "nearest" {
		at, valid := g.Broadcast(base, lanes), (*loop.Value)(nil)
		for i, st := range Strides(g.dims) {
			t := taps[i][0]
			at = g.Add(at, g.Mul(t.at, g.Broadcast(g.Dim(st), lanes)))
			valid = g.both(valid, t.valid)
		}
		v := g.loadAt(g.Buf(g.x), at)
		if valid != nil {
			v = g.Select(valid, v, g.Bits(v.Type, 0))
		}
		return v
	}
	st := Strides(g.dims)
	var sum func(i int, at, valid *loop.Value) *loop.Value
	sum = func(i int, at, valid *loop.Value) *loop.Value {
		if i == len(taps) {
			v := g.CastTo(g.fromMemory(g.loadAt(g.Buf(g.x), at), d), g.weight)
			if valid != nil {
				v = g.Select(valid, v, g.num(v, 0))
			}
			return v
		}
		var acc *loop.Value
		for _, t := range taps[i] {
			v := sum(i+1, g.Add(at, g.Mul(t.at, g.Broadcast(g.Dim(st[i]), lanes))), g.both(valid, t.valid))
			switch {
			case acc == nil:
				acc = g.Mul(v, t.weight)
			case isExact(d):
				acc = g.Add(acc, g.Mul(v, t.weight))
			default:
				acc = g.FMA(v, t.weight, acc)
			}
		}
		return acc
	}
	return g.rounded(sum(0, g.Broadcast(base, lanes), nil), d)
}

// isExact reports whether what is interpolated becomes whole, or true unless it is 0: that hangs on the last bit, so sums are
// rounded as in the reference function, without FMA.
func isExact(d tensor.DType) bool { return d.IsInt() || d == tensor.Bool }

// both is x and y, either of which may be absent.
func (k *K) both(x, y *loop.Value) *loop.Value {
	switch {
	case x == nil:
		return y
	case y == nil:
		return x
	}
	return k.And(x, y)
}

// lowerAffineGrid maps the points of a regular grid.
func lowerAffineGrid(c *Ctx, op *ir.Op) error {
	theta, size, out := op.Operands[0], op.Operands[1], op.Results[0]
	d := theta.Type.DType
	if theta.Type.Rank() != 3 || out.Type.Rank() < 4 || !isHalfOrFloat(d) && d != tensor.F64 {
		return errDecline
	}
	shape := out.Type.Shape
	n := int64(len(shape) - 2)
	for i, want := range []int64{n, n + 1} {
		if got := theta.Type.Shape[1+i]; got.IsConst() && !got.Is(want) {
			return op.Errorf("theta is %v, want maps of %d x %d", theta.Type, n, n+1)
		}
		c.checkEqual(op, theta.Type.Shape[1+i], ir.Const(want), "theta and the maps that size asks for")
	}
	known := append([]ir.Dim{shape[0], {}}, shape[1:1+n]...)
	if err := c.bindDims(op, size, known, 0, "size of the grid"); err != nil {
		return err
	}
	c.checkEqual(op, theta.Type.Shape[0], shape[0], "the maps and the batch size")
	align := op.Attrs.Int("align_corners", 0) != 0
	ct := computeType(d)
	width, outer := shape[n], shape[:n]
	return c.Kernel(Step{
		Op: op, Name: "affine_grid", Ins: []*ir.Value{theta}, Outs: []*ir.Value{out}, Par: ir.Product(outer), NsPerIter: perChunk(width, 3), Bytes: bytesOf(out),
		Build: func(k *K) {
			coord := func(i *loop.Value, n ir.Dim) *loop.Value {
				f := func(x *loop.Value) *loop.Value { return k.Convert(x, tensor.F64) }
				one := k.Float(loop.Scalar(tensor.F64), 1)
				if !align {
					return k.Sub(k.Div(f(k.AddInt(k.MulInt(i, 2), 1)), f(k.Dim(n))), one)
				}
				v := k.Sub(k.Div(f(k.MulInt(i, 2)), f(k.MaxIdx(k.Dim(n.AddInt(-1)), k.Int(1)))), one)
				return k.Select(k.Cmp(loop.GT, k.Dim(n), k.Int(1)), v, k.num(v, 0))
			}
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, outer...)
				at := make([]*loop.Value, n+1) // x, y, z, 1
				at[n] = k.Float(loop.Scalar(ct), 1)
				for j := int64(1); j < n; j++ {
					at[n-j] = k.Convert(coord(co[j], outer[j]), ct)
				}
				t := func(j, l int64) *loop.Value {
					return k.Convert(k.fromMemory(k.Load(k.Buf(theta), k.AddInt(k.MulInt(co[0], n*(n+1)), j*(n+1)+l), 1), d), ct)
				}
				k.Range(k.Int(0), k.Dim(width), 1, func(e *loop.Value) {
					at[0] = k.Convert(coord(e, width), ct)
					to := k.MulInt(k.Add(k.MulDim(i, width), e), n)
					for j := range n {
						sum := k.Mul(t(j, 0), at[0])
						for l := int64(1); l <= n; l++ {
							sum = k.FMA(t(j, l), at[l], sum)
						}
						k.Store(k.Buf(out), k.AddInt(to, j), k.toMemory(sum, d))
					}
				})
			})
		},
	})
}
