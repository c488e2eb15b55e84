package onnx

import (
	"fmt"
	"math"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// flattenedSoftmax imports Softmax, LogSoftmax and Hardmax from before version 13, which work on the
// matrix that their operand becomes when it is split before axis.
func flattenedSoftmax(c *nodeCtx) error {
	axis := take(c, "axis", int64(1))
	x := c.in[0]
	r := rank(x)
	if r >= 0 && (axis < int64(-r) || axis > int64(r)) {
		return fmt.Errorf("axis %d is out of range for rank %d, want %d to %d", axis, r, -r, r)
	}
	if axis == -1 || r >= 0 && axis == int64(r-1) {
		return c.define1(c.row.ir, nil, x) // the last axis is the default
	}
	flat := c.one("Flatten", ir.Attrs{"axis": axis}, x)
	return c.define1("Reshape", ir.Attrs{"allowzero": int64(1)}, c.one(c.row.ir, nil, flat), c.one("Shape", nil, x))
}

// clipAttrs imports Clip-1 and 6; without an attribute there is no bound.
func clipAttrs(c *nodeCtx) error {
	for _, name := range []string{"min", "max"} {
		f, ok := c.attrs[name].(float64)
		delete(c.attrs, name)
		if !ok || math.Abs(f) >= math.MaxFloat32 {
			c.in = append(c.in, nil)
			continue
		}
		c.in = append(c.in, c.scalar(f, c.in[0]))
	}
	return direct(c)
}

func topKAttr(c *nodeCtx) error {
	c.in = append(c.in, c.ints(take(c, "k", int64(0))))
	return direct(c)
}

// selu1 imports Selu-1, whose constants had fewer digits.
func selu1(c *nodeCtx) error {
	c.attrs["alpha"] = c.attrs.Float("alpha", float64(float32(1.6732)))
	c.attrs["gamma"] = c.attrs.Float("gamma", float64(float32(1.0507)))
	return direct(c)
}

// dropout imports all versions. Outside training it is its operand, with a mask that is all true.
func dropout(c *nodeCtx) error {
	if mode := c.operand(2); mode != nil {
		d := ir.ConstOf(mode)
		if d == nil {
			return direct(c)
		}
		t, err := d.Tensor()
		if err != nil {
			return err
		}
		if d.Len() != 1 || d.DType != tensor.Bool {
			return fmt.Errorf("training_mode is %v, want one bool", d.Type())
		}
		if t.At(0) != 0 {
			return direct(c)
		}
	}
	if c.row.since < 7 && take(c, "is_test", int64(0)) == 0 {
		c.im.warn("%v: taken as in inference although is_test is 0", c.origin)
	}
	if err := c.define1("Identity", nil, c.in[0]); err != nil || !c.wants(1) {
		return err
	}
	yes := ir.DataOf(tensor.Of([]bool{true}, 1))
	mask := c.one("ConstantOfShape", ir.Attrs{"value": yes}, c.one("Shape", nil, c.in[0]))
	if c.row.since < 10 { // where the mask had the operand's type
		mask = c.one("CastLike", nil, mask, c.in[0])
	}
	return c.bind(1, mask)
}

// batchNorm9 imports versions up to 9, which have no training mode but outputs that only training has.
func batchNorm9(c *nodeCtx) error {
	perElement := take(c, "spatial", int64(1)) == 0
	if c.row.since < 7 && take(c, "is_test", int64(0)) == 0 {
		c.im.warn("%v: taken as in inference although is_test is 0", c.origin)
	}
	for i := 1; i < len(c.node.Output); i++ {
		if c.uses(i) {
			return unsupportedf("output %q exists in training only", c.node.Output[i])
		}
	}
	if perElement {
		return c.batchNormElements()
	}
	return c.define1("BatchNormalization", c.attrs, c.in...)
}

// batchNormElements imports BatchNormalization with spatial=0: its parameters belong to the elements of a sample.
func (c *nodeCtx) batchNormElements() error {
	x, scale, shift, mean, variance := c.in[0], c.in[1], c.in[2], c.in[3], c.in[4]
	dev := c.one("Sqrt", nil, c.one("Add", nil, variance, c.scalar(c.attrs.Float("epsilon", 1e-5), variance)))
	y := c.one("Div", nil, c.one("Sub", nil, x, mean), dev)
	return c.define1("Add", nil, c.one("Mul", nil, y, scale), shift)
}

// dropOutputSequence imports RNN, GRU and LSTM from when an attribute said whether Y is wanted.
func dropOutputSequence(c *nodeCtx) error {
	delete(c.attrs, "output_sequence")
	return direct(c)
}

// floatP imports LpPool-1 and GlobalLpPool-1, whose p was a float. Where it is no integer, the sum of |x|^p is
// that of the 1-norm.
func floatP(c *nodeCtx) error {
	p, ok := c.attrs["p"].(float64)
	if !ok {
		return direct(c)
	}
	if !(p > 0) || p > 1<<20 {
		return fmt.Errorf("p is %g, want more than 0 and at most %d", p, 1<<20)
	}
	if p == math.Trunc(p) {
		c.attrs["p"] = int64(p)
		return direct(c)
	}
	x := c.one("Abs", nil, c.in[0])
	c.attrs["p"] = int64(1)
	sum := c.one(c.row.ir, c.attrs, c.one("Pow", nil, x, c.scalar(p, x)))
	return c.define1("Pow", nil, sum, c.scalar(1/p, sum))
}

// groupNorm18 imports GroupNormalization-18, which has a scale and a bias per group: they are repeated
// for each channel.
func groupNorm18(c *nodeCtx) error {
	x, groups := c.in[0], c.attrs.Int("num_groups", 0)
	if rank(x) < 2 || !x.Type.Shape[1].IsConst() {
		return unsupportedf("GroupNormalization-18 needs a known number of channels")
	}
	channels := x.Type.Shape[1].Value()
	if groups < 1 || channels%groups != 0 {
		return fmt.Errorf("num_groups is %d, want a divisor of the %d channels", groups, channels)
	}
	for i := 1; i < 3; i++ {
		v := c.one("Expand", nil, c.trailing(c.in[i], 1), c.ints(groups, channels/groups))
		c.in[i] = c.one("Reshape", nil, v, c.ints(-1))
	}
	return direct(c)
}

func roiAlign10(c *nodeCtx) error {
	c.attrs["coordinate_transformation_mode"] = "output_half_pixel"
	return direct(c)
}

// dftAxis imports DFT-17, whose axis was an attribute with the default 1.
func dftAxis(c *nodeCtx) error {
	axis := take(c, "axis", int64(1))
	return c.define1("DFT", c.attrs, c.in[0], c.operand(1), c.constant(tensor.Of([]int64{axis})))
}

func gridSample16(c *nodeCtx) error {
	switch mode := take(c, "mode", "bilinear"); mode {
	case "bilinear": // the default, now called linear
	case "bicubic":
		c.attrs["mode"] = "cubic"
	default:
		c.attrs["mode"] = mode
	}
	return direct(c)
}
