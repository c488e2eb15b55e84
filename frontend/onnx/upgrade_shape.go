package onnx

import (
	"fmt"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// rank is the rank of v as far as it is known here, -1 where it is not.
func rank(v *ir.Value) int {
	if v == nil || v.Type.Kind != ir.KindTensor {
		return -1
	}
	return v.Type.Rank()
}

// trailing unsqueezes v by n dimensions at its end.
func (c *nodeCtx) trailing(v *ir.Value, n int) *ir.Value {
	axes := make([]int64, n)
	for i := range axes {
		axes[i] = int64(i - n)
	}
	return c.one("Unsqueeze", nil, v, c.ints(axes...))
}

// legacyBroadcast imports binary operators from before version 7: with the attribute broadcast, B's
// dimensions stand below A's from axis on; without axis, below A's last ones, as today.
func legacyBroadcast(c *nodeCtx) error {
	on := take(c, "broadcast", int64(0)) != 0
	_, given := c.attrs["axis"]
	axis := take(c, "axis", int64(0))
	if !on || !given {
		return direct(c)
	}
	a, b := rank(c.in[0]), rank(c.in[1])
	if a < 0 || b < 0 {
		return unsupportedf("broadcast with an axis needs operands of known rank")
	}
	if axis < 0 {
		axis += int64(a)
	}
	n := int64(a) - axis - int64(b)
	if axis < 0 || n < 0 {
		return fmt.Errorf("broadcast axis %d does not fit ranks %d and %d", axis, a, b)
	}
	if n > 0 {
		c.in[1] = c.trailing(c.in[1], int(n))
	}
	return direct(c)
}

// dropBroadcast imports Gemm-1 and 6, which broadcast C only where an attribute says so.
func dropBroadcast(c *nodeCtx) error {
	delete(c.attrs, "broadcast")
	return direct(c)
}

// preluChannels imports PRelu-1 and 6, whose slope is one number or one per channel.
func preluChannels(c *nodeCtx) error {
	x, slope := rank(c.in[0]), rank(c.in[1])
	if slope == 1 && !c.in[1].Type.Shape[0].Is(1) {
		if x < 0 {
			return unsupportedf("a slope per channel needs an operand of known rank")
		}
		if x > 2 {
			c.in[1] = c.trailing(c.in[1], x-2)
		}
	}
	return direct(c)
}

// axesOperand imports versions that had axes as an attribute.
func axesOperand(c *nodeCtx) error {
	if axes := take(c, "axes", []int64(nil)); axes != nil {
		c.in = append(c.in, c.ints(axes...))
	}
	return direct(c)
}

func sliceAttrs(c *nodeCtx) error {
	starts, ends, axes := take(c, "starts", []int64{}), take(c, "ends", []int64{}), take(c, "axes", []int64(nil))
	if len(starts) != len(ends) || axes != nil && len(axes) != len(starts) {
		return fmt.Errorf("%d starts, %d ends and %d axes, want as many of each", len(starts), len(ends), len(axes))
	}
	c.in = append(c.in, c.ints(starts...), c.ints(ends...))
	if axes != nil {
		c.in = append(c.in, c.ints(axes...))
	}
	return direct(c)
}

func padAttrs(c *nodeCtx) error {
	pads := take(c, "pads", []int64(nil))
	if old := take(c, "paddings", []int64(nil)); pads == nil {
		pads = old
	}
	value := take(c, "value", 0.0)
	c.in = append(c.in, c.ints(pads...))
	if value != 0 {
		c.in = append(c.in, c.scalar(value, c.in[0]))
	}
	return direct(c)
}

// splitEqual imports Split: sizes are an operand now, and equal parts must be counted.
func splitEqual(c *nodeCtx) error {
	sizes := take(c, "split", []int64(nil))
	n, counted := c.attrs["num_outputs"].(int64)
	switch {
	case len(c.in) > 1 && (sizes != nil || counted):
		return fmt.Errorf("sizes or a number of parts are given besides the operand split")
	case sizes != nil && len(sizes) != len(c.node.Output):
		return fmt.Errorf("%d sizes in split, want %d, one per output", len(sizes), len(c.node.Output))
	case sizes != nil:
		c.in = append(c.in, c.ints(sizes...))
	case counted && n != int64(len(c.node.Output)):
		return fmt.Errorf("num_outputs is %d, the node has %d outputs", n, len(c.node.Output))
	case len(c.in) == 1:
		c.attrs["num_outputs"] = int64(len(c.node.Output))
	}
	return direct(c)
}

func reshapeAttr(c *nodeCtx) error {
	shape := take(c, "shape", []int64(nil))
	if shape == nil {
		return fmt.Errorf("attribute \"shape\" is missing")
	}
	return c.define1("Reshape", nil, c.in[0], c.ints(shape...))
}

// concat1 imports Concat-1, whose axis has a default.
func concat1(c *nodeCtx) error {
	c.attrs["axis"] = c.attrs.Int("axis", 1)
	return direct(c)
}

// tile1 imports Tile-1, which repeats along one axis that is an operand.
func tile1(c *nodeCtx) error {
	d := ir.ConstOf(c.in[2])
	r := rank(c.in[0])
	if d == nil || d.Len() != 1 || r < 0 {
		return unsupportedf("Tile-1 needs a constant axis and an operand of known rank")
	}
	t, err := d.Tensor()
	if err != nil {
		return err
	}
	axis := t.At(0)
	if !(axis >= 0 && axis < float64(r)) {
		return fmt.Errorf("axis %g is out of range for rank %d, want 0 to %d", axis, r, r-1)
	}
	one := c.ints(1)
	parts := slices.Repeat([]*ir.Value{one}, r)
	count := c.one("Cast", ir.Attrs{"to": tensor.I64}, c.in[1])
	parts[int(axis)] = c.one("Reshape", nil, count, one)
	return c.define1("Tile", nil, c.in[0], c.one("Concat", ir.Attrs{"axis": int64(0)}, parts...))
}

// trilu imports com.microsoft's Trilu, which became ONNX's.
func trilu(c *nodeCtx) error { return c.define("Trilu", c.in, c.attrs) }

func scatter(c *nodeCtx) error { return c.define("ScatterElements", c.in, c.attrs) }

// upsample imports Upsample, which is a Resize with the coordinates of Resize-10.
func upsample(c *nodeCtx) error {
	if c.row.since == 1 {
		h, w := take(c, "height_scale", 1.0), take(c, "width_scale", 1.0)
		c.in = append(c.in, c.constant(tensor.Of([]float32{1, 1, float32(h), float32(w)}, 4)))
	} else if c.row.since == 7 {
		c.in = append(c.in, c.constant(valueTensor(take(c, "scales", []float64{}))))
	}
	if c.attrs.Str("mode", "") == "bilinear" {
		c.attrs["mode"] = "linear"
	}
	return resize10(c)
}

// resize10 imports Resize-10, which had one way to compute coordinates.
func resize10(c *nodeCtx) error {
	c.attrs["coordinate_transformation_mode"] = "asymmetric"
	c.attrs["nearest_mode"] = "floor"
	return c.define("Resize", []*ir.Value{c.in[0], nil, c.in[1]}, c.attrs)
}

// resize imports the other versions, where an empty constant may stand for an absent operand.
func resize(c *nodeCtx) error {
	for i := 1; i < len(c.in); i++ {
		if d := ir.ConstOf(c.in[i]); d != nil && d.Len() == 0 {
			c.in[i] = nil
		}
	}
	if (c.operand(2) == nil) == (c.operand(3) == nil) {
		return fmt.Errorf("want either scales or sizes")
	}
	return direct(c)
}
