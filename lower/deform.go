package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// deform is a deformable convolution: a kernel samples the input at all taps of all positions, and a
// product multiplies those columns by the weights.
type deform struct {
	*spatial
	op           *ir.Op
	x, off, mask *ir.Value // mask nil for none
	cols         *ir.Value // [n, channels, taps, positions]
	ct           tensor.DType
	n, channels  ir.Dim
	perOffset    ir.Dim // channels that share offsets
	groups       int64  // of offsets
	taps         ir.Dim
}

func lowerDeformConv(c *Ctx, op *ir.Op) error {
	x, w, off, bias, mask, out := op.Operands[0], op.Operands[1], op.Operands[2], op.Operand(3), op.Operand(4), op.Results[0]
	for _, v := range []*ir.Value{x, w, off, bias, mask} {
		if v != nil && !isFloatTensor(v) {
			return errDecline
		}
	}
	xs, ws, os := x.Type.Shape, w.Type.Shape, out.Type.Shape
	if len(xs) < 3 || len(ws) != len(xs) || off.Type.Rank() != len(xs) || w.Type.DType != x.Type.DType {
		return errDecline
	}
	geo, err := newSpatial(op, xs[2:], os[2:], ws[2:])
	if err != nil {
		return err
	}
	group := op.Attrs.Int("group", 1)
	v := &deform{spatial: geo, op: op, x: x, off: off, mask: mask, ct: computeType(x.Type.DType), n: xs[0], channels: xs[1], groups: op.Attrs.Int("offset_group", 1), taps: ir.Product(ws[2:])}
	if v.groups < 1 || mask != nil && mask.Type.Rank() != len(xs) {
		return errDecline
	}
	v.perOffset = xs[1].Div(ir.Const(v.groups))
	c.checkEqual(op, xs[1], v.perOffset.MulInt(v.groups), "the number of channels and a multiple of offset_group")
	c.checkEqual(op, xs[1], ws[1].MulInt(group), "the numbers of input channels of data and weights")
	points := ir.Product(os[2:])
	shifts := v.taps.MulInt(v.groups)
	for i, d := range append([]ir.Dim{xs[0], shifts.MulInt(int64(len(xs) - 2))}, os[2:]...) {
		c.checkEqual(op, off.Type.Shape[i], d, "a dimension of the offsets and what it must be")
		if mask != nil && i != 1 {
			c.checkEqual(op, mask.Type.Shape[i], d, "a dimension of the mask and what it must be")
		}
	}
	if mask != nil {
		c.checkEqual(op, mask.Type.Shape[1], shifts, "a dimension of the mask and what it must be")
	}
	v.cols = c.Scratch(ir.TensorType(v.ct, xs[0], xs[1], v.taps, points))
	if err := v.sample(c); err != nil {
		return err
	}
	row := ws[1].Mul(v.taps)
	ocg := ws[0].Div(ir.Const(group))
	p := &product{op: op, m: ocg, n: points, k: row, batch: []ir.Dim{xs[0], ir.Const(group)}, out: out,
		a: matrix{v: w, batch: []ir.Dim{{}, ocg.Mul(row)}, row: row, col: ir.Const(1)},
		b: matrix{v: v.cols, batch: []ir.Dim{xs[1].Mul(v.taps).Mul(points), row.Mul(points)}, row: points, col: ir.Const(1)}}
	if bias != nil {
		p.ins = []*ir.Value{bias}
		p.finish = func(k *K, sum *loop.Value, co []*loop.Value) *loop.Value {
			b := k.fromMemory(k.Load(k.Buf(bias), k.Add(k.MulDim(co[1], ocg), co[2]), 1), bias.Type.DType)
			return k.Add(sum, k.Broadcast(k.Convert(b, v.ct), sum.Type.Lanes))
		}
	}
	return p.lower(c)
}

// sample emits the kernel that fills the columns.
func (v *deform) sample(c *Ctx) error {
	ins := []*ir.Value{v.x, v.off}
	if v.mask != nil {
		ins = append(ins, v.mask)
	}
	return c.Kernel(Step{
		Op: v.op, Name: "deform", Ins: ins, Outs: []*ir.Value{v.cols}, Par: v.n.Mul(v.channels).Mul(v.taps).Mul(v.rows()), NsPerIter: 1000, Bytes: bytesOf(v.cols),
		Build: func(k *K) {
			last := len(v.out) - 1
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, append([]ir.Dim{v.n, v.channels, v.taps}, v.out[:last]...)...)
				k.vectorLoop(k.Int(0), k.Dim(v.out[last]), k.Level.Lanes(v.ct.Size()), func(x *loop.Value, lanes int) {
					v.points(k, co[0], co[1], co[2], append(co[3:len(co):len(co)], x), lanes)
				})
			})
		},
	})
}

// points samples lanes neighbouring positions from pos on for one tap.
func (v *deform) points(k *K, n, ch, tap *loop.Value, pos []*loop.Value, lanes int) {
	dims := len(v.in)
	t := loop.Vec(v.ct, lanes)
	flat, count := k.Flatten(pos, v.out), ir.Product(v.out)
	shift := k.Add(k.MulDim(k.Add(k.MulInt(n, v.groups), k.Div(ch, k.Dim(v.perOffset.Max(ir.Const(1))))), v.taps), tap) // of the mask; the offsets have dims for each
	taps := k.Unflatten(tap, v.kernel...)
	at, inside := make([]*loop.Value, dims), k.Cmp(loop.EQ, k.Float(t, 0), k.Float(t, 0))
	for d := range at {
		first := k.Add(k.Sub(k.MulInt(pos[d], v.stride[d]), k.Dim(v.before[d])), k.MulInt(taps[d], v.dilation[d]))
		x := k.Broadcast(k.Convert(first, v.ct), lanes)
		if d == dims-1 && lanes > 1 {
			x = k.Add(x, k.Mul(k.Convert(k.steps(lanes), v.ct), k.Float(t, float64(v.stride[d]))))
		}
		o := k.fromMemory(k.Load(k.Buf(v.off), k.Add(k.MulDim(k.AddInt(k.MulInt(shift, int64(dims)), int64(d)), count), flat), lanes), v.off.Type.DType)
		at[d] = k.Add(x, k.Convert(o, v.ct))
		ok := k.And(k.Cmp(loop.GT, at[d], k.Float(t, -1)), k.Cmp(loop.LT, at[d], k.Broadcast(k.Convert(k.Dim(v.in[d]), v.ct), lanes)))
		at[d] = k.Select(ok, at[d], k.Float(t, 0)) // not a number, perhaps
		inside = k.And(inside, ok)
	}
	base := k.MulDim(k.Add(k.MulDim(n, v.channels), ch), ir.Product(v.in))
	r := k.Select(inside, k.sampleLinear(v.x, base, v.in, at), k.Float(t, 0))
	if v.mask != nil {
		r = k.Mul(r, k.Convert(k.fromMemory(k.Load(k.Buf(v.mask), k.Add(k.MulDim(shift, count), flat), lanes), v.mask.Type.DType), v.ct))
	}
	row := k.Add(k.MulDim(k.Add(k.MulDim(n, v.channels), ch), v.taps), tap)
	k.Store(k.Buf(v.cols), k.Add(k.MulDim(row, count), flat), r)
}

// sampleLinear interpolates between the pixels around points of the image of x that begins at base; at is in (-1, size) in each
// dimension, and pixels outside are 0.
func (k *K) sampleLinear(x *ir.Value, base *loop.Value, size []ir.Dim, at []*loop.Value) *loop.Value {
	t, lanes := at[0].Type, at[0].Type.Lanes
	i64 := loop.Vec(tensor.I64, lanes)
	var walk func(d int, index, weight, ok *loop.Value) *loop.Value
	walk = func(d int, index, weight, ok *loop.Value) *loop.Value {
		if d == len(size) {
			index = k.Add(k.Select(ok, index, k.IntOf(i64, 0)), k.Broadcast(base, lanes))
			v := k.Convert(k.fromMemory(k.gatherOrLoad(x, index), x.Type.DType), t.Elem)
			return k.Select(ok, k.Mul(v, weight), k.Float(t, 0))
		}
		low := k.Unary(loop.OpFloor, at[d])
		f := k.Sub(at[d], low)
		i, n := k.CastTo(low, tensor.I64), k.Broadcast(k.Dim(size[d]), lanes)
		corner := func(i, f *loop.Value) *loop.Value {
			in := k.And(k.Cmp(loop.GE, i, k.IntOf(i64, 0)), k.Cmp(loop.LT, i, n))
			return walk(d+1, k.Add(k.Mul(index, n), i), k.Mul(weight, f), k.And(ok, in))
		}
		return k.Add(corner(i, k.Sub(k.Float(t, 1), f)), corner(k.Add(i, k.IntOf(i64, 1)), f))
	}
	return walk(0, k.IntOf(i64, 0), k.Float(t, 1), k.Cmp(loop.EQ, k.IntOf(i64, 0), k.IntOf(i64, 0)))
}

// gatherOrLoad reads v at a vector of indices, or at one.
func (k *K) gatherOrLoad(v *ir.Value, index *loop.Value) *loop.Value {
	if index.Type.Lanes == 1 {
		return k.Load(k.Buf(v), index, 1)
	}
	return k.Gather(k.Buf(v), index)
}
