package ir

import (
	"math"
	"slices"
	"strings"

	"github.com/nnc-go/nnc/runtime/tensor"
)

func inferResize(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	if err := canInterpolate(op, "nearest"); err != nil {
		return err
	}
	if !t.Ranked {
		return c.unranked(op, t.DType)
	}
	if err := checkResize(op); err != nil {
		return err
	}
	axes, _, _ := c.axesOperand(op, -1, len(t.Shape))
	if a := op.Attrs.Ints("axes", nil); a != nil {
		var err error
		if axes, err = normAxes(op, a, len(t.Shape)); err != nil {
			return err
		}
	}
	shape := slices.Clone(t.Shape)
	var out []Dim
	var err error
	switch {
	case present(op.Operand(3)):
		out, err = c.resizeSizes(op, shape, axes)
	case op.Operand(2) != nil:
		out, err = c.resizeScales(op, shape, axes)
	default:
		err = op.Errorf("neither scales nor sizes are given")
	}
	if err != nil {
		return err
	}
	for i, a := range axes {
		shape[a] = out[i]
	}
	return firstErr(noNegative(op, shape), c.set(op, t.DType, shape))
}

// canInterpolate refuses strings where mode, whose default is given, is not nearest.
func canInterpolate(op *Op, absent string) error {
	if mode := op.Attrs.Str("mode", absent); mode != "nearest" && dtypeOf(op, 0) == tensor.String {
		return op.Errorf("operand %q is %v and mode is %q, want numbers, or mode nearest", op.Operands[0].Name, op.Operands[0].Type, mode)
	}
	return nil
}

// checkResize refuses words that no version of Resize knows.
func checkResize(op *Op) error {
	return firstErr(
		wantWord(op, "mode", "nearest", "nearest", "linear", "cubic"),
		wantWord(op, "nearest_mode", "floor", "round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
		wantWord(op, "coordinate_transformation_mode", "half_pixel", "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners",
			"asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize"),
		wantWord(op, "keep_aspect_ratio_policy", "stretch", "stretch", "not_larger", "not_smaller"))
}

// wantWord refuses an attribute that is none of the words.
func wantWord(op *Op, attr, absent string, words ...string) error {
	if s := op.Attrs.Str(attr, absent); !slices.Contains(words, s) {
		return op.Errorf("%s is %q, want one of %s", attr, s, strings.Join(words, ", "))
	}
	return nil
}

// present reports whether an optional operand is there; an empty tensor stands for an absent one.
func present(v *Value) bool {
	return v != nil && !(v.Type.Ranked && len(v.Type.Shape) == 1 && v.Type.Shape[0].Is(0))
}

// resizeSizes gives the new sizes of axes from the operand sizes.
func (c *InferCtx) resizeSizes(op *Op, in []Dim, axes []int) ([]Dim, error) {
	sizes, exact, ok, err := c.shapeFrom(op, 3)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return c.FreshShape(len(axes)), nil
	case len(sizes) != len(axes):
		return nil, op.Errorf("%d sizes, want %d, one for each axis", len(sizes), len(axes))
	}
	policy := op.Attrs.Str("keep_aspect_ratio_policy", "stretch")
	if policy == "stretch" || !exact {
		return sizes, nil
	}
	scale := math.Inf(1)
	if policy == "not_smaller" {
		scale = 0
	}
	for i, a := range axes {
		if !in[a].IsConst() || !sizes[i].IsConst() || in[a].Is(0) {
			return c.FreshShape(len(axes)), nil
		}
		r := float64(sizes[i].c) / float64(in[a].c)
		if policy == "not_smaller" {
			scale = max(scale, r)
		} else {
			scale = min(scale, r)
		}
	}
	out := make([]Dim, len(axes))
	for i, a := range axes {
		out[i] = Const(int64(math.Floor(scale*float64(in[a].c) + 0.5)))
	}
	return out, nil
}

// resizeScales gives floor(size*scale), with tf_crop_and_resize of the size of the region of interest.
// The product is rounded to f32, as every implementation does.
func (c *InferCtx) resizeScales(op *Op, in []Dim, axes []int) ([]Dim, error) {
	scales, ok := constFloats(op.Operand(2))
	if !ok {
		return c.FreshShape(len(axes)), nil
	}
	if len(scales) != len(axes) {
		return nil, op.Errorf("%d scales, want %d, one for each axis", len(scales), len(axes))
	}
	crop := op.Attrs.Str("coordinate_transformation_mode", "") == "tf_crop_and_resize"
	var roi []float64
	if crop {
		if roi, ok = constFloats(op.Operand(1)); !ok || len(roi) != 2*len(axes) {
			return c.FreshShape(len(axes)), nil
		}
	}
	out := make([]Dim, len(axes))
	for i, a := range axes {
		s := float32(scales[i])
		if !(s > 0) || s > math.MaxInt32 {
			return nil, op.Errorf("scale %v, want a positive one", s)
		}
		d := in[a]
		switch num, den, ok := dyadic(float64(s)); {
		case crop && d.IsConst():
			out[i] = Const(int64(math.Floor(float64(float32(d.c) * float32(roi[i+len(axes)]-roi[i]) * s))))
		case crop:
			out[i] = c.Fresh()
		case d.IsConst():
			out[i] = Const(int64(math.Floor(float64(float32(d.c) * s))))
		case ok:
			out[i] = d.MulInt(num).Div(Const(den))
		default:
			out[i] = c.Fresh()
		}
	}
	return out, nil
}

// dyadic writes x as num/den with a small power of two den, for which f32 rounding plays no role.
func dyadic(x float64) (num, den int64, ok bool) {
	for den = 1; den <= 64; den *= 2 {
		if n := x * float64(den); n == math.Trunc(n) && n < 1<<12 {
			return int64(n), den, true
		}
	}
	return 0, 0, false
}

func inferGridSample(c *InferCtx, op *Op) error {
	d := dtypeOf(op, 0)
	if err := firstErr(wantWord(op, "mode", "linear", "linear", "nearest", "cubic"), wantWord(op, "padding_mode", "zeros", "zeros", "border", "reflection"),
		canInterpolate(op, "linear")); err != nil {
		return err
	}
	if anyUnranked(op, 0, 1) {
		return c.convUnranked(op, 0, 1, d)
	}
	if err := firstErr(wantRank(op, 0, 3, anyRank), wantRank(op, 1, len(shapeOf(op, 0)), len(shapeOf(op, 0)))); err != nil {
		return err
	}
	x, grid := shapeOf(op, 0), shapeOf(op, 1)
	if n := grid[len(grid)-1]; n.IsConst() && !n.Is(int64(len(x)-2)) {
		return op.Errorf("grid is %v, want points of %d coordinates", op.Operands[1].Type, len(x)-2)
	}
	return c.set(op, d, slices.Concat(x[:2], grid[1:len(grid)-1]))
}

func inferAffineGrid(c *InferCtx, op *Op) error {
	d := dtypeOf(op, 0)
	size, _, ok, err := c.shapeFrom(op, 1)
	if err != nil {
		return err
	}
	if !ok {
		return c.unranked(op, d)
	}
	if len(size) < 4 || len(size) > 5 {
		return op.Errorf("size has %d numbers, want 4 or 5", len(size))
	}
	if n := int64(len(size) - 2); op.Operands[0].Type.Ranked {
		if err := wantRank(op, 0, 3, 3); err != nil {
			return err
		}
		t := shapeOf(op, 0)
		_, err1 := unify(op, "the number of rows of theta and of spatial dimensions", t[1], Const(n))
		_, err2 := unify(op, "the number of columns of theta and of spatial dimensions and one", t[2], Const(n+1))
		if err := firstErr(err1, err2); err != nil {
			return err
		}
	}
	shape := append([]Dim{size[0]}, size[2:]...)
	shape = append(shape, Const(int64(len(size)-2)))
	return firstErr(noNegative(op, shape), c.set(op, d, shape))
}

func inferImageDecoder(c *InferCtx, op *Op) error {
	channels := int64(3)
	if op.Attrs.Str("pixel_format", "RGB") == "Grayscale" {
		channels = 1
	}
	return c.set(op, tensor.U8, append(c.FreshShape(2), Const(channels)))
}
