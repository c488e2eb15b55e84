package ir

import (
	"math"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// window is the geometry of a convolution or pool over spatial dimensions.
type window struct {
	kernel    []Dim
	strides   []int64
	dilations []int64
	pads      []int64 // begins, then ends
	autoPad   string
	ceil      bool
}

// newWindow reads the attributes that all windowed ops share; kernel overrides kernel_shape where not nil.
func newWindow(op *Op, n int, kernel []Dim) (*window, error) {
	w := &window{kernel: kernel, autoPad: op.Attrs.Str("auto_pad", "NOTSET"), ceil: op.Attrs.Int("ceil_mode", 0) != 0}
	ints := func(name string, n int, def, least int64) ([]int64, error) {
		v := op.Attrs.Ints(name, nil)
		if v == nil {
			v = make([]int64, n)
			for i := range v {
				v[i] = def
			}
		}
		if len(v) != n {
			return nil, op.Errorf("attribute %s is %v, want %d numbers", name, v, n)
		}
		for _, x := range v {
			if x < least || x > math.MaxInt32 {
				return nil, op.Errorf("attribute %s is %v, want numbers from %d to %d", name, v, least, math.MaxInt32)
			}
		}
		return v, nil
	}
	shape := op.Attrs.Ints("kernel_shape", nil)
	if shape != nil || kernel == nil {
		k, err := ints("kernel_shape", n, 0, 1)
		if err != nil {
			return nil, err
		}
		for i, x := range k {
			if kernel != nil && kernel[i].IsConst() && kernel[i].c != x {
				return nil, op.Errorf("kernel_shape %v, but the weights are %s", k, shapeString(kernel))
			}
		}
		w.kernel = Dims(k...)
	}
	var err error
	if w.strides, err = ints("strides", n, 1, 1); err != nil {
		return nil, err
	}
	if w.dilations, err = ints("dilations", n, 1, 1); err != nil {
		return nil, err
	}
	w.pads, err = ints("pads", 2*n, 0, -math.MaxInt32)
	return w, err
}

// extent is what dimension i of the kernel spans, dilation included.
func (w *window) extent(i int) Dim { return w.kernel[i].AddInt(-1).MulInt(w.dilations[i]).AddInt(1) }

// out gives the output size of spatial dimension i for the input size in.
func (w *window) out(op *Op, i int, in Dim) (Dim, error) {
	s, n := w.strides[i], len(w.kernel)
	begin, end := w.pads[i], w.pads[n+i]
	switch w.autoPad {
	case "SAME_UPPER", "SAME_LOWER":
		return in.CeilDiv(s), nil
	case "VALID":
		begin, end = 0, 0
	case "NOTSET", "":
	default:
		return Dim{}, op.Errorf("auto_pad %q, want NOTSET, VALID, SAME_UPPER or SAME_LOWER", w.autoPad)
	}
	ext := w.extent(i)
	room := in.AddInt(begin + end).Sub(ext)
	if room.IsConst() && room.c < 0 {
		return Dim{}, op.Errorf("the kernel spans %v in spatial dimension %d, which has only %v with its padding", ext, i, in.AddInt(begin+end))
	}
	if !w.ceil || w.autoPad == "VALID" {
		return room.Div(Const(s)).AddInt(1), nil
	}
	// A last window that would begin beyond the input and its left padding does not count:
	// out <= ceil((in+begin)/s). With a constant kernel it is known which bound is the smaller.
	full, last := room.CeilDiv(s).AddInt(1), in.AddInt(begin).CeilDiv(s)
	switch {
	case !ext.IsConst():
		return full.Min(last), nil
	case end-ext.c+s >= 0:
		return last, nil
	}
	return full, nil
}

// spatial gives the output sizes for the input sizes in.
func (w *window) spatial(op *Op, in []Dim) ([]Dim, error) {
	out := make([]Dim, len(in))
	for i, d := range in {
		var err error
		if out[i], err = w.out(op, i, d); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// convShape gives the result's shape for operand x convolved with operand w.
func (c *InferCtx) convShape(op *Op, x, w int) ([]Dim, error) {
	if err := wantRank(op, x, 2, anyRank); err != nil {
		return nil, err
	}
	xs, ws := shapeOf(op, x), shapeOf(op, w)
	if err := wantRank(op, w, len(xs), len(xs)); err != nil {
		return nil, err
	}
	group := op.Attrs.Int("group", 1)
	if group < 1 {
		return nil, op.Errorf("group %d, want at least 1", group)
	}
	if _, err := unify(op, "the number of input channels of data and weights", xs[1], ws[1].MulInt(group)); err != nil {
		return nil, err
	}
	if ws[0].IsConst() && ws[0].c%group != 0 {
		return nil, op.Errorf("%v output channels in %d groups", ws[0], group)
	}
	win, err := newWindow(op, len(xs)-2, ws[2:])
	if err != nil {
		return nil, err
	}
	out, err := win.spatial(op, xs[2:])
	return append([]Dim{xs[0], ws[0]}, out...), err
}

// conv types result 0 as d for operand x convolved with operand w, whose optional bias is operand b.
func (c *InferCtx) conv(op *Op, x, w, b int, d tensor.DType) error {
	if anyUnranked(op, x, w) {
		return c.convUnranked(op, x, w, d)
	}
	shape, err := c.convShape(op, x, w)
	if err != nil {
		return err
	}
	if v := op.Operand(b); v != nil && v.Type.Ranked {
		if err := wantRank(op, b, 1, 1); err != nil {
			return err
		}
		if _, err := unify(op, "the number of output channels and the size of the bias", shape[1], v.Type.Shape[0]); err != nil {
			return err
		}
	}
	return c.set(op, d, shape)
}

// convUnranked keeps the rank that one of data and weights has.
func (c *InferCtx) convUnranked(op *Op, x, w int, d tensor.DType) error {
	for _, i := range []int{x, w} {
		if t := op.Operands[i].Type; t.Ranked {
			return c.set(op, d, c.FreshShape(len(t.Shape)))
		}
	}
	return c.unranked(op, d)
}

func inferConv(c *InferCtx, op *Op) error {
	bias := 2
	if op.Name() == "DeformConv" {
		bias = 3
	}
	return c.conv(op, 0, 1, bias, dtypeOf(op, 0))
}

func inferConvInteger(c *InferCtx, op *Op) error {
	return firstErr(onePer(op, 3, 1, 0), c.conv(op, 0, 1, -1, tensor.I32))
}

func inferQLinearConv(c *InferCtx, op *Op) error {
	return firstErr(onePer(op, 4, 3, 0), onePer(op, 5, 3, 0), c.conv(op, 0, 3, 8, dtypeOf(op, 7)))
}

// onePer wants operand i, if it has one dimension, to have one element or one for each place along a dimension
// of operand of, counted from its end where it is negative.
func onePer(op *Op, i, of, dim int) error {
	v, x := op.Operand(i), op.Operand(of)
	if v == nil || !v.Type.Ranked || len(v.Type.Shape) != 1 || !x.Type.Ranked || len(x.Type.Shape) < 2 {
		return nil
	}
	n, have := x.Type.Shape[(dim+len(x.Type.Shape))%len(x.Type.Shape)], v.Type.Shape[0]
	if have.IsConst() && !have.Is(1) && n.IsConst() && !have.Equal(n) {
		return op.Errorf("operand %d %q is %v, want one element or %v as %v has there", i, v.Name, v.Type, n, x.Type)
	}
	return nil
}

func inferConvTranspose(c *InferCtx, op *Op) error {
	d := dtypeOf(op, 0)
	if anyUnranked(op, 0, 1) {
		return c.convUnranked(op, 0, 1, d)
	}
	if err := wantRank(op, 0, 2, anyRank); err != nil {
		return err
	}
	xs, ws := shapeOf(op, 0), shapeOf(op, 1)
	if err := wantRank(op, 1, len(xs), len(xs)); err != nil {
		return err
	}
	if _, err := unify(op, "the number of input channels of data and weights", xs[1], ws[0]); err != nil {
		return err
	}
	g := op.Attrs.Int("group", 1)
	if g < 1 || xs[1].IsConst() && xs[1].Value()%g != 0 {
		return op.Errorf("group is %d, want at least 1 and a divisor of the %v input channels", g, xs[1])
	}
	n := len(xs) - 2
	win, err := newWindow(op, n, ws[2:])
	if err != nil {
		return err
	}
	if b := op.Operand(2); b != nil && b.Type.Ranked {
		if err := wantRank(op, 2, 1, 1); err != nil {
			return err
		}
		if _, err := unify(op, "the number of output channels and the size of the bias", ws[1].MulInt(g), b.Type.Shape[0]); err != nil {
			return err
		}
	}
	extra, fixed := op.Attrs.Ints("output_padding", make([]int64, n)), op.Attrs.Ints("output_shape", nil)
	if len(extra) != n || fixed != nil && len(fixed) != n && len(fixed) != n+2 {
		return op.Errorf("output_padding %v and output_shape %v, want %d numbers", extra, fixed, n)
	}
	out := append([]Dim{xs[0], ws[1].MulInt(g)}, Dims(make([]int64, n)...)...)
	for i, in := range xs[2:] {
		switch {
		case fixed != nil:
			out[2+i] = Const(fixed[len(fixed)-n+i])
		case win.autoPad == "SAME_UPPER" || win.autoPad == "SAME_LOWER":
			out[2+i] = in.MulInt(win.strides[i])
		default:
			pads := win.pads[i] + win.pads[n+i]
			if win.autoPad == "VALID" {
				pads = 0
			}
			out[2+i] = in.AddInt(-1).MulInt(win.strides[i]).AddInt(extra[i] - pads).Add(win.extent(i))
		}
	}
	if err := noNegative(op, out); err != nil {
		return err
	}
	return c.set(op, d, out)
}

func inferPool(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	if p := op.Attrs.Int("p", 2); p < 1 {
		return op.Errorf("p is %d, want 1 or more", p)
	}
	if !t.Ranked {
		return c.unranked(op, t.DType, tensor.I64)
	}
	if err := wantRank(op, 0, 2, anyRank); err != nil {
		return err
	}
	win, err := newWindow(op, len(t.Shape)-2, nil)
	if err != nil {
		return err
	}
	out, err := win.spatial(op, t.Shape[2:])
	if err != nil {
		return err
	}
	shape := append([]Dim{t.Shape[0], t.Shape[1]}, out...)
	c.Set(op, 0, t.DType, shape)
	c.Set(op, 1, tensor.I64, shape)
	return nil
}

func inferGlobalPool(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	if p := op.Attrs.Int("p", 2); p < 1 {
		return op.Errorf("p is %d, want 1 or more", p)
	}
	if !t.Ranked {
		return c.unranked(op, t.DType)
	}
	if err := wantRank(op, 0, 2, anyRank); err != nil {
		return err
	}
	shape := []Dim{t.Shape[0], t.Shape[1]}
	for range t.Shape[2:] {
		shape = append(shape, Const(1))
	}
	return c.set(op, t.DType, shape)
}

func inferMaxUnpool(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	if op.Operand(2) != nil {
		shape, _, ok, err := c.shapeFrom(op, 2)
		if err != nil || ok {
			return firstErr(err, noNegative(op, shape), c.set(op, t.DType, shape))
		}
	}
	if !t.Ranked || op.Operand(2) != nil {
		return c.like(op, 0, t.DType)
	}
	if err := wantRank(op, 0, 2, anyRank); err != nil {
		return err
	}
	win, err := newWindow(op, len(t.Shape)-2, nil)
	if err != nil {
		return err
	}
	shape := []Dim{t.Shape[0], t.Shape[1]}
	for i, in := range t.Shape[2:] {
		pads := win.pads[i] + win.pads[len(win.kernel)+i]
		shape = append(shape, in.AddInt(-1).MulInt(win.strides[i]).AddInt(-pads).Add(win.kernel[i]))
	}
	return firstErr(noNegative(op, shape), c.set(op, t.DType, shape))
}

// firstErr is the first of errs that is not nil.
func firstErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func inferMaxRoiPool(c *InferCtx, op *Op) error {
	pooled := op.Attrs.Ints("pooled_shape", nil)
	if len(pooled) != 2 {
		return op.Errorf("pooled_shape %v, want height and width", pooled)
	}
	return c.roiPool(op, Dims(pooled...))
}

func inferRoiAlign(c *InferCtx, op *Op) error {
	if err := firstErr(wantWord(op, "mode", "avg", "avg", "max"),
		wantWord(op, "coordinate_transformation_mode", "half_pixel", "half_pixel", "output_half_pixel")); err != nil {
		return err
	}
	return c.roiPool(op, Dims(op.Attrs.Int("output_height", 1), op.Attrs.Int("output_width", 1)))
}

// roiPool types [regions, channels, pooled...].
func (c *InferCtx) roiPool(op *Op, pooled []Dim) error {
	d := dtypeOf(op, 0)
	if anyUnranked(op, 0, 1) {
		return c.set(op, d, append(c.FreshShape(2), pooled...))
	}
	if err := firstErr(wantRank(op, 0, 4, 4), wantRank(op, 1, 2, 2), noNegative(op, pooled)); err != nil {
		return err
	}
	return c.set(op, d, append([]Dim{shapeOf(op, 1)[0], shapeOf(op, 0)[1]}, pooled...))
}

func inferCol2Im(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	image, _, ok1, err1 := c.shapeFrom(op, 1)
	block, exact, ok2, err2 := c.shapeFrom(op, 2)
	if err := firstErr(err1, err2); err != nil {
		return err
	}
	if !ok1 || !ok2 {
		return c.unranked(op, t.DType)
	}
	channels, batch := c.Fresh(), c.Fresh()
	if t.Ranked {
		if err := wantRank(op, 0, 3, 3); err != nil {
			return err
		}
		batch = t.Shape[0]
		if p := Product(block); exact && !p.Is(0) {
			if p.IsConst() && t.Shape[1].IsConst() && t.Shape[1].Value()%p.Value() != 0 {
				return op.Errorf("operand %q is %v, want channels of blocks of %v elements", op.Operands[0].Name, t, p)
			}
			channels = t.Shape[1].Div(p)
		}
	}
	shape := append([]Dim{batch, channels}, image...)
	return firstErr(noNegative(op, shape), c.set(op, t.DType, shape))
}
