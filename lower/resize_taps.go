package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// taps emits the kernel that lists, for each output of an axis, the inputs it is made of.
func (r *resize) taps(a *resizeAxis) error {
	a.index = r.c.Scratch(ir.TensorType(tensor.I64, a.count, a.out))
	outs := []*ir.Value{a.index}
	if r.mode != "nearest" {
		a.weights = r.c.Scratch(ir.TensorType(r.weight, a.count, a.out))
		outs = append(outs, a.weights)
	}
	if r.roi != nil {
		a.beyond = r.c.Scratch(ir.TensorType(tensor.U8, a.out))
		outs = append(outs, a.beyond)
	}
	at := int64(0)
	for i, b := range r.axes {
		if a == b {
			at = int64(i)
		}
	}
	return r.c.Kernel(Step{
		Op: r.op, Name: "resize_taps", Ins: []*ir.Value{r.params}, Outs: outs, Par: a.out, NsPerIter: 30,
		Build: func(k *K) {
			t := &tapWriter{K: k, r: r, a: a}
			param := func(j int64) *loop.Value { return k.Load(k.Buf(r.params), k.Int(4*at+j), 1) }
			t.scale = param(0)
			f32 := func(v *loop.Value) *loop.Value { return k.Convert(v, tensor.F32) }
			t.scale32, t.length, t.start, t.end = f32(t.scale), f32(param(1)), f32(param(2)), f32(param(3))
			k.Parallel(func(i *loop.Value) {
				x := k.Convert(t.source(i), tensor.F64)
				if a.beyond != nil {
					last := k.Convert(k.Dim(a.in.AddInt(-1)), tensor.F64)
					out := k.Or(k.Cmp(loop.LT, x, k.num(x, 0)), k.Cmp(loop.GT, x, last))
					k.Store(k.Buf(a.beyond), i, k.toMemory(out, tensor.Bool))
				}
				if r.mode == "nearest" {
					k.Store(k.Buf(a.index), i, k.inside(t.round(x), a.in))
					return
				}
				t.filter(i, x)
			})
		},
	})
}

// tapWriter writes the kernel of taps.
type tapWriter struct {
	*K
	r                           *resize
	a                           *resizeAxis
	scale                       *loop.Value // f64
	scale32, length, start, end *loop.Value // f32
}

// source is the coordinate in the input of output i, computed in f32 as ONNX Runtime does, so that ties
// fall on the same side.
func (t *tapWriter) source(i *loop.Value) *loop.Value {
	f := func(d ir.Dim) *loop.Value { return t.Convert(t.Dim(d), tensor.F32) }
	x := t.Convert(i, tensor.F32)
	in, out := f(t.a.in), f(t.a.out)
	zero, half, one := t.num(x, 0), t.num(x, 0.5), t.num(x, 1)
	centred := func() *loop.Value { return t.Sub(t.Div(t.Add(x, half), t.scale32), half) }
	many := t.Cmp(loop.GT, out, one)
	switch t.r.coord {
	case "asymmetric":
		return t.Div(x, t.scale32)
	case "tf_half_pixel_for_nn":
		return t.Div(t.Add(x, half), t.scale32)
	case "align_corners":
		// The length of the result is a fraction where it comes from a scale.
		den := t.Select(many, t.Sub(t.length, one), one)
		return t.Select(many, t.Div(t.Mul(x, t.Sub(in, one)), den), zero)
	case "pytorch_half_pixel":
		return t.Select(many, centred(), zero)
	case "half_pixel_symmetric":
		off := t.Mul(t.Div(in, t.num(x, 2)), t.Sub(one, t.Div(out, t.length)))
		return t.Sub(t.Add(off, t.Div(t.Add(x, half), t.scale32)), half)
	case "tf_crop_and_resize":
		last := t.Sub(in, one)
		den := t.Select(many, t.Sub(out, one), one)
		walk := t.Add(t.Mul(t.start, last), t.Div(t.Mul(t.Mul(x, t.Sub(t.end, t.start)), last), den))
		return t.Select(many, walk, t.Mul(t.Mul(half, t.Add(t.start, t.end)), last))
	}
	return centred()
}

// round picks the nearest index by the nearest_mode.
func (t *tapWriter) round(x *loop.Value) *loop.Value {
	half := t.num(x, 0.5)
	switch t.r.nearest {
	case "floor":
		return t.Unary(loop.OpFloor, x)
	case "ceil":
		return t.Unary(loop.OpCeil, x)
	case "round_prefer_ceil":
		return t.Unary(loop.OpFloor, t.Add(x, half))
	}
	return t.Unary(loop.OpCeil, t.Sub(x, half))
}

// inside converts a whole float to an index, limited to [0, n); NaN gives 0.
func (k *K) inside(x *loop.Value, n ir.Dim) *loop.Value {
	lanes := x.Type.Lanes
	last := k.Broadcast(k.Convert(k.Dim(n.AddInt(-1)), x.Type.Elem), lanes)
	x = k.Select(k.Cmp(loop.GE, x, k.num(x, 0)), x, k.num(x, 0))
	return k.Convert(k.Select(k.Cmp(loop.GT, x, last), last, x), tensor.I64)
}

// filter writes the taps of output i: samples of the interpolating function around x. Inputs beyond the
// edge repeat it, or are left out with exclude_outside.
func (t *tapWriter) filter(i, x *loop.Value) {
	widen := t.num(x, 1)
	if t.r.antialias {
		widen = t.narrow(t.scale)
	}
	zero, one := t.num(x, 0), t.num(x, 1)
	last := t.Convert(t.Dim(t.a.in.AddInt(-1)), tensor.F64)
	first := t.Add(t.Unary(loop.OpFloor, t.Sub(x, t.Div(t.num(x, t.r.support()), widen))), one)
	tap := func(j *loop.Value) (at, w *loop.Value) {
		at = t.Add(first, t.Convert(j, tensor.F64))
		w = t.kernel(t.Unary(loop.OpAbs, t.Mul(t.Sub(at, x), widen)))
		if t.r.exclude {
			w = t.Select(t.And(t.Cmp(loop.GE, at, zero), t.Cmp(loop.LE, at, last)), w, zero)
		}
		return at, w
	}
	n := t.Dim(t.a.count)
	sum := t.For(t.Int(0), n, 1, []*loop.Value{zero}, func(j *loop.Value, acc []*loop.Value) []*loop.Value {
		_, w := tap(j)
		return []*loop.Value{t.Add(acc[0], w)}
	})[0]
	none := t.Cmp(loop.EQ, sum, zero)
	den := t.Select(none, one, sum)
	t.Range(t.Int(0), n, 1, func(j *loop.Value) {
		at, w := tap(j)
		// Where all is left out, the input before x stands for it.
		alone := t.Select(t.Cmp(loop.EQ, j, t.Int(0)), one, zero)
		at, w = t.Select(none, t.Unary(loop.OpFloor, x), at), t.Select(none, alone, t.Div(w, den))
		to := t.Add(t.MulDim(j, t.a.out), i)
		t.Store(t.Buf(t.a.index), to, t.inside(at, t.a.in))
		t.Store(t.Buf(t.a.weights), to, t.Convert(w, t.r.weight))
	})
}

// kernel is the interpolating function at distance d >= 0: a tent, or cubic convolution.
func (t *tapWriter) kernel(d *loop.Value) *loop.Value {
	num := func(v float64) *loop.Value { return t.num(d, v) }
	below := func(v *loop.Value, limit float64, p loop.Pred, els *loop.Value) *loop.Value {
		return t.Select(t.Cmp(p, d, num(limit)), v, els)
	}
	if t.r.mode == "linear" {
		return below(t.Sub(num(1), d), 1, loop.LT, num(0))
	}
	near, far := t.cubic(d, t.r.cubicA, true), t.cubic(d, t.r.cubicA, false)
	return below(near, 1, loop.LE, below(far, 2, loop.LT, num(0)))
}
