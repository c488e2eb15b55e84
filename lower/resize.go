package lower

import (
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// resize is Resize of the last two dimensions by nearest or linear interpolation. Source coordinates
// are computed in f32 as ONNX Runtime does, so that ties fall on the same side.
type resize struct {
	op            *ir.Op
	x, out        *ir.Value
	mode, nearest string
	coord         string
	in, size      [2]ir.Dim
	scale         [2]float64 // 0 where it is size/in
	planes        ir.Dim
}

func lowerResize(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	rank := x.Type.Rank()
	r := &resize{op: op, x: x, out: out, mode: op.Attrs.Str("mode", "nearest"), nearest: op.Attrs.Str("nearest_mode", "round_prefer_floor"),
		coord: op.Attrs.Str("coordinate_transformation_mode", "half_pixel")}
	known := []string{"half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"}
	if rank < 2 || op.Attrs.Ints("axes", nil) != nil || op.Attrs.Int("antialias", 0) != 0 || r.mode == "cubic" || !slices.Contains(known, r.coord) ||
		op.Attrs.Str("keep_aspect_ratio_policy", "stretch") != "stretch" || !compiled(x.Type.DType) || r.mode == "linear" && !isHalfOrFloat(x.Type.DType) {
		return errDecline
	}
	for i := range rank - 2 {
		if !x.Type.Shape[i].Equal(out.Type.Shape[i]) {
			return errDecline
		}
	}
	copy(r.in[:], x.Type.Shape[rank-2:])
	copy(r.size[:], out.Type.Shape[rank-2:])
	r.planes = ir.Product(x.Type.Shape[:rank-2])
	if v := op.Operand(2); v != nil { // explicit scales, not those that follow from the sizes
		d := c.constOf(v)
		if d == nil {
			return errDecline
		}
		if d.Len() == int64(rank) {
			t, err := d.Tensor()
			if err != nil {
				return op.Errorf("%w", err)
			}
			s, err := floats(t)
			if err != nil {
				return err
			}
			r.scale = [2]float64{float64(s[rank-2]), float64(s[rank-1])}
		}
	}
	width := 64.0
	if r.size[1].IsConst() {
		width = float64(r.size[1].Value())
	}
	return c.Kernel(Step{
		Op: op, Name: "resize_" + r.mode, Ins: []*ir.Value{x}, Outs: []*ir.Value{out}, Par: r.planes.Mul(r.size[0]), NsPerIter: 10 + width*3,
		Bytes: bytesOf(x).Add(bytesOf(out)), Build: r.build,
	})
}

func (r *resize) build(k *K) {
	k.Parallel(func(i *loop.Value) {
		co := k.Unflatten(i, r.planes, r.size[0])
		base := k.MulDim(co[0], r.in[0].Mul(r.in[1]))
		y := r.source(k, co[1], 0)
		row := k.MulDim(i, r.size[1])
		if r.mode == "nearest" {
			from := k.Add(base, k.MulDim(r.pick(k, y, 0), r.in[1]))
			k.Range(k.Int(0), k.Dim(r.size[1]), 1, func(ow *loop.Value) {
				k.Store(k.Buf(r.out), k.Add(row, ow), k.Load(k.Buf(r.x), k.Add(from, r.pick(k, r.source(k, ow, 1), 1)), 1))
			})
			return
		}
		y0, y1, fy := r.taps(k, y, 0)
		top, bottom := k.Add(base, k.MulDim(y0, r.in[1])), k.Add(base, k.MulDim(y1, r.in[1]))
		k.Range(k.Int(0), k.Dim(r.size[1]), 1, func(ow *loop.Value) {
			x0, x1, fx := r.taps(k, r.source(k, ow, 1), 1)
			at := func(b, x *loop.Value) *loop.Value {
				return k.fromMemory(k.Load(k.Buf(r.x), k.Add(b, x), 1), r.x.Type.DType)
			}
			one := k.num(fx, 1)
			gx, gy := k.Sub(one, fx), k.Sub(one, fy)
			mix := func(b *loop.Value) *loop.Value { return k.Add(k.Mul(at(b, x0), gx), k.Mul(at(b, x1), fx)) }
			v := k.Add(k.Mul(mix(top), gy), k.Mul(mix(bottom), fy))
			k.Store(k.Buf(r.out), k.Add(row, ow), k.toMemory(v, r.out.Type.DType))
		})
	})
}

// source is the coordinate in the input of output coordinate o along axis a.
func (r *resize) source(k *K, o *loop.Value, a int) *loop.Value {
	f := func(d ir.Dim) *loop.Value { return k.Convert(k.Dim(d), tensor.F32) }
	x := k.Convert(o, tensor.F32)
	in, size := f(r.in[a]), f(r.size[a])
	zero, half, one := k.num(x, 0), k.num(x, 0.5), k.num(x, 1)
	scale := k.Div(size, in)
	if r.scale[a] != 0 {
		scale = k.num(x, r.scale[a])
	}
	switch r.coord {
	case "asymmetric":
		return k.Div(x, scale)
	case "align_corners":
		if r.scale[a] != 0 { // the length before it is rounded down
			size = k.Mul(in, scale)
		}
		single := k.Cmp(loop.EQ, size, one)
		den := k.Select(single, one, k.Sub(size, one))
		return k.Select(single, zero, k.Div(k.Mul(x, k.Sub(in, one)), den))
	case "pytorch_half_pixel":
		v := k.Sub(k.Div(k.Add(x, half), scale), half)
		return k.Select(k.Cmp(loop.GT, size, one), v, zero)
	}
	return k.Sub(k.Div(k.Add(x, half), scale), half)
}

// index converts a coordinate to an index within axis a.
func (r *resize) index(k *K, x *loop.Value, a int) *loop.Value {
	last := k.Convert(k.Dim(r.in[a].AddInt(-1)), tensor.F32)
	x = k.below(x, k.num(x, 0))
	x = k.Select(k.Cmp(loop.GT, x, last), last, x)
	return k.Convert(x, tensor.I64)
}

// pick rounds a coordinate to the nearest index by the nearest_mode.
func (r *resize) pick(k *K, x *loop.Value, a int) *loop.Value {
	half := k.num(x, 0.5)
	switch r.nearest {
	case "floor":
		x = k.Unary(loop.OpFloor, x)
	case "ceil":
		x = k.Unary(loop.OpCeil, x)
	case "round_prefer_ceil":
		x = k.Unary(loop.OpFloor, k.Add(x, half))
	default:
		x = k.Unary(loop.OpCeil, k.Sub(x, half))
	}
	return r.index(k, x, a)
}

// taps gives the two neighbours of a coordinate and the weight of the second.
func (r *resize) taps(k *K, x *loop.Value, a int) (i0, i1, w *loop.Value) {
	last := k.Convert(k.Dim(r.in[a].AddInt(-1)), tensor.F32)
	x = k.below(x, k.num(x, 0))
	x = k.Select(k.Cmp(loop.GT, x, last), last, x)
	fl := k.Unary(loop.OpFloor, x)
	i0 = k.Convert(fl, tensor.I64)
	return i0, k.MinIdx(k.AddInt(i0, 1), k.Dim(r.in[a].AddInt(-1))), k.Sub(x, fl)
}
