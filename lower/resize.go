package lower

import (
	"math"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// resize compiles Resize in all its modes. A small kernel computes scales and sizes (and binds sizes that
// are data); one per axis then lists which inputs each output is made of, with their weights (taps);
// last come the passes over the data, one for each axis, or one in all where the nearest is taken.
// Interpolation in several dimensions is the product of interpolations in each.
type resize struct {
	c                    *Ctx
	op                   *ir.Op
	x, out               *ir.Value
	mode, coord, nearest string
	cubicA, outside      float64
	exclude, antialias   bool
	policy               string
	roi, scales, sizes   *ir.Value // scales or sizes is nil
	axes                 []*resizeAxis
	params               *ir.Value    // f64[axes, 4]: scale, length before rounding, start and end of the region
	weight               tensor.DType // of weights and sums
}

// resizeAxis is an axis that scales or sizes speak of.
type resizeAxis struct {
	axis    int
	in, out ir.Dim
	same    bool   // the axis certainly stays as it is
	count   ir.Dim // inputs per output
	// The taps, [count, out]: indices, weights (none in mode nearest); and for each output whether it lies
	// outside of the input, with tf_crop_and_resize.
	index, weights, beyond *ir.Value
}

func lowerResize(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	r := &resize{
		c: c, op: op, x: x, out: out, mode: op.Attrs.Str("mode", "nearest"), nearest: op.Attrs.Str("nearest_mode", "round_prefer_floor"),
		coord: op.Attrs.Str("coordinate_transformation_mode", "half_pixel"), cubicA: op.Attrs.Float("cubic_coeff_a", -0.75),
		outside: op.Attrs.Float("extrapolation_value", 0), exclude: op.Attrs.Int("exclude_outside", 0) != 0,
		antialias: op.Attrs.Int("antialias", 0) != 0, policy: op.Attrs.Str("keep_aspect_ratio_policy", "stretch"), weight: tensor.F64,
	}
	if x.Type.Rank() < 1 || !compiled(x.Type.DType) {
		return errDecline
	}
	if computeType(x.Type.DType) == tensor.F32 {
		r.weight = tensor.F32
	}
	if err := r.operands(); err != nil {
		return err
	}
	if err := r.setup(); err != nil {
		return err
	}
	for _, a := range r.axes {
		if !a.same {
			if err := r.taps(a); err != nil {
				return err
			}
		}
	}
	pass := r.passes
	if r.mode == "nearest" {
		pass = r.pickAll
	}
	if err := pass(); err != nil || r.coord != "tf_crop_and_resize" {
		return err
	}
	return r.fillOutside()
}

// operands reads the axes and what is known of them, and checks the lengths of the operands.
func (r *resize) operands() error {
	rank := r.x.Type.Rank()
	axes := r.op.Attrs.Ints("axes", nil)
	if axes == nil {
		for i := range rank {
			axes = append(axes, int64(i))
		}
	}
	for _, a := range axes {
		i := axisOf(a, rank)
		r.axes = append(r.axes, &resizeAxis{axis: i, in: r.x.Type.Shape[i], out: r.out.Type.Shape[i]})
	}
	given := r.op.Operand(3)
	if given != nil && !(given.Type.Rank() == 1 && given.Type.Shape[0].Is(0)) {
		r.sizes = given
	} else {
		given = r.op.Operand(2)
		r.scales = given
	}
	if r.coord == "tf_crop_and_resize" {
		if r.roi = r.op.Operand(1); r.roi == nil {
			return r.op.Errorf("tf_crop_and_resize needs the operand roi")
		}
	}
	if given.Type.Rank() != 1 || r.scales != nil && r.scales.Type.DType != tensor.F32 || r.roi != nil && (r.roi.Type.Rank() != 1 || !isHalfOrFloat(r.roi.Type.DType) && r.roi.Type.DType != tensor.F64) {
		return errDecline
	}
	n := int64(len(axes))
	if d := given.Type.Shape[0]; d.IsConst() && !d.Is(n) {
		return r.op.Errorf("%v scales or sizes for %d axes", d, n)
	}
	r.c.checkEqual(r.op, given.Type.Shape[0], ir.Const(n), "the number of scales or sizes")
	if r.roi != nil {
		if d := r.roi.Type.Shape[0]; d.IsConst() && !d.Is(2*n) {
			return r.op.Errorf("roi has %v numbers, want two for each of %d axes", d, n)
		}
		r.c.checkEqual(r.op, r.roi.Type.Shape[0], ir.Const(2*n), "the numbers of roi")
	}
	for i, a := range r.axes {
		if err := r.describe(i, a); err != nil {
			return err
		}
	}
	return nil
}

// describe finds whether axis number i stays as it is, and how many taps it has.
func (r *resize) describe(i int, a *resizeAxis) error {
	if a.in.Is(0) && a.out.IsConst() && !a.out.Is(0) {
		return r.op.Errorf("cannot resize axis %d from 0 to %v", a.axis, a.out)
	}
	scale := 0.0 // not known
	switch {
	case r.scales != nil:
		if d := r.c.constOf(r.scales); d != nil && d.Len() == int64(len(r.axes)) {
			t, err := d.Tensor()
			if err != nil {
				return r.op.Errorf("%w", err)
			}
			scale = t.At(int64(i))
		}
	case a.out.Equal(a.in) && r.policy == "stretch":
		scale = 1
	case a.out.IsConst() && a.in.IsConst() && !a.in.Is(0) && r.policy == "stretch":
		scale = float64(a.out.Value()) / float64(a.in.Value())
	}
	a.same = scale == 1 && a.out.Equal(a.in) && r.coord != "tf_crop_and_resize" && r.coord != "tf_half_pixel_for_nn"
	switch {
	case r.mode == "nearest":
		a.count = ir.Const(1)
	case !r.antialias || scale >= 1:
		a.count = ir.Const(int64(2 * r.support()))
	case scale > 0:
		a.count = ir.Const(int64(math.Ceil(2*r.support()/scale)) + 1)
	default:
		a.count = r.c.M.NewSym() // setup binds it
	}
	return nil
}

// support is how far the interpolating function reaches.
func (r *resize) support() float64 {
	if r.mode == "cubic" {
		return 2
	}
	return 1
}

// setup emits the kernel that computes the parameters of the axes, and binds sizes and counts of taps
// that only it knows.
func (r *resize) setup() error {
	n := int64(len(r.axes))
	r.params = r.c.Scratch(ir.TensorType(tensor.F64, ir.Const(4*n)))
	dims := r.c.Scratch(ir.TensorType(tensor.I64, ir.Const(2*n)))
	bad := r.c.Scratch(ir.TensorType(tensor.I64))
	var ins []*ir.Value
	for _, v := range []*ir.Value{r.roi, r.scales, r.sizes} {
		if v != nil && !(v == r.sizes && r.c.known(v)) {
			ins = append(ins, v)
		}
	}
	err := r.c.Kernel(Step{
		Op: r.op, Name: "resize_setup", Ins: ins, Outs: []*ir.Value{r.params, dims, bad}, Par: ir.Const(1), NsPerIter: 50,
		Build: func(k *K) {
			k.Parallel(func(*loop.Value) { (&resizeSetup{K: k, r: r, dims: dims, faults: k.Int(0)}).emit(bad) })
		},
	})
	if err != nil {
		return err
	}
	if err := r.c.checkFaults(r.op, bad, "scales that are not positive, or sizes that an empty or negative dimension cannot have"); err != nil {
		return err
	}
	var unknown []ir.Dim
	for _, a := range r.axes {
		unknown = append(unknown, a.out)
	}
	for _, a := range r.axes {
		unknown = append(unknown, a.count)
	}
	return r.c.bindDims(r.op, dims, unknown, 0, "sizes of the result")
}

// resizeSetup writes the kernel of setup.
type resizeSetup struct {
	*K
	r      *resize
	dims   *ir.Value
	faults *loop.Value
}

func (s *resizeSetup) f64(x float64) *loop.Value { return s.Float(loop.Scalar(tensor.F64), x) }

// fault counts a fault where ok does not hold.
func (s *resizeSetup) fault(ok *loop.Value) {
	s.faults = s.Add(s.faults, s.Select(ok, s.Int(0), s.Int(1)))
}

func (s *resizeSetup) emit(bad *ir.Value) {
	n := len(s.r.axes)
	var start, end, scale, length, out []*loop.Value
	for i := range n {
		lo, hi := s.f64(0), s.f64(1)
		if s.r.roi != nil {
			at := func(j int) *loop.Value {
				return s.Convert(s.fromMemory(s.Load(s.Buf(s.r.roi), s.Int(int64(j)), 1), s.r.roi.Type.DType), tensor.F64)
			}
			lo, hi = at(i), at(n+i)
		}
		start, end = append(start, lo), append(end, hi)
	}
	if s.r.sizes != nil {
		scale, length, out = s.fromSizes()
	} else {
		scale, length, out = s.fromScales(start, end)
	}
	for i := range n {
		for j, v := range []*loop.Value{scale[i], length[i], start[i], end[i]} {
			s.Store(s.Buf(s.r.params), s.Int(int64(4*i+j)), v)
		}
		s.Store(s.Buf(s.dims), s.Int(int64(i)), out[i])
		// As many inputs as lie strictly within the support on both sides, and one for rounding.
		reach := s.Div(s.f64(2*s.r.support()), s.narrow(scale[i]))
		s.Store(s.Buf(s.dims), s.Int(int64(n+i)), s.AddInt(s.CastTo(s.Unary(loop.OpCeil, reach), tensor.I64), 1))
	}
	s.Store(s.Buf(bad), s.Int(0), s.faults)
}

// narrow is the factor by which antialiasing widens the kernel where an axis shrinks.
func (k *K) narrow(scale *loop.Value) *loop.Value {
	one := k.num(scale, 1)
	return k.Select(k.Cmp(loop.LT, scale, one), scale, one)
}

// fromSizes gives scales, lengths and sizes where sizes are given; the policies keep the ratio between axes.
func (s *resizeSetup) fromSizes() (scale, length, out []*loop.Value) {
	known, ok := s.r.c.elems(s.r.sizes)
	var best *loop.Value
	for i, a := range s.r.axes {
		var size *loop.Value
		if ok {
			size = s.Dim(known[i])
		} else {
			size = s.Convert(s.Load(s.Buf(s.r.sizes), s.Int(int64(i)), 1), tensor.I64)
		}
		empty := s.Cmp(loop.EQ, s.Dim(a.in), s.Int(0))
		s.fault(s.And(s.Cmp(loop.GE, size, s.Int(0)), s.Or(s.Not(empty), s.Cmp(loop.EQ, size, s.Int(0)))))
		f := s.Convert(size, tensor.F64)
		q := s.Select(empty, s.f64(1), s.Div(f, s.Convert(s.MaxIdx(s.Dim(a.in), s.Int(1)), tensor.F64)))
		scale, length, out = append(scale, q), append(length, s.Convert(s.Convert(f, tensor.F32), tensor.F64)), append(out, size)
		switch {
		case best == nil:
			best = q
		case s.r.policy == "not_larger":
			best = s.Select(s.Cmp(loop.LT, q, best), q, best)
		case s.r.policy == "not_smaller":
			best = s.Select(s.Cmp(loop.GT, q, best), q, best)
		}
	}
	if s.r.policy == "stretch" {
		return scale, length, out
	}
	for i, a := range s.r.axes {
		v := s.Mul(best, s.Convert(s.Dim(a.in), tensor.F64))
		scale[i], length[i] = best, s.Convert(s.Convert(v, tensor.F32), tensor.F64)
		out[i] = s.CastTo(s.Unary(loop.OpFloor, s.Add(v, s.f64(0.5))), tensor.I64)
	}
	return scale, length, out
}

// fromScales gives scales, lengths and sizes where scales are given: in f32, as they are.
func (s *resizeSetup) fromScales(start, end []*loop.Value) (scale, length, out []*loop.Value) {
	f32 := loop.Scalar(tensor.F32)
	for i, a := range s.r.axes {
		v := s.Load(s.Buf(s.r.scales), s.Int(int64(i)), 1)
		s.fault(s.And(s.Cmp(loop.GT, v, s.Float(f32, 0)), s.Cmp(loop.LT, v, s.Float(f32, 1<<31))))
		n := s.Convert(s.Dim(a.in), tensor.F32)
		if s.r.roi != nil {
			n = s.Mul(n, s.Convert(s.Sub(end[i], start[i]), tensor.F32))
		}
		n = s.Mul(n, v)
		scale, length = append(scale, s.Convert(v, tensor.F64)), append(length, s.Convert(n, tensor.F64))
		out = append(out, s.CastTo(s.Unary(loop.OpFloor, n), tensor.I64))
	}
	return scale, length, out
}

// active lists the axes that change, in the order of their passes: the last first.
func (r *resize) active() (list []*resizeAxis) {
	for _, a := range r.axes {
		if !a.same {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, func(a, b *resizeAxis) int { return b.axis - a.axis })
	return list
}
