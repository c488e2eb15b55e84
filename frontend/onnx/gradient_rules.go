package onnx

import (
	"slices"

	"github.com/nnc-go/nnc/ir"
)

// gradRules is the table of derivatives.
var gradRules = map[string]gradRule{
	"Identity":   unaryGrad(func(t *tape, _, _, dy *ir.Value) *ir.Value { return dy }),
	"Neg":        unaryGrad(func(t *tape, _, _, dy *ir.Value) *ir.Value { return t.neg(dy) }),
	"Abs":        unaryGrad(func(t *tape, x, _, dy *ir.Value) *ir.Value { return t.mul(dy, t.one("Sign", nil, x)) }),
	"Exp":        unaryGrad(func(t *tape, _, y, dy *ir.Value) *ir.Value { return t.mul(dy, y) }),
	"Log":        unaryGrad(func(t *tape, x, _, dy *ir.Value) *ir.Value { return t.div(dy, x) }),
	"Sqrt":       unaryGrad(func(t *tape, _, y, dy *ir.Value) *ir.Value { return t.div(dy, t.mul(y, t.scalar(2, y))) }),
	"Reciprocal": unaryGrad(func(t *tape, _, y, dy *ir.Value) *ir.Value { return t.neg(t.mul(dy, t.mul(y, y))) }),
	"Tanh": unaryGrad(func(t *tape, _, y, dy *ir.Value) *ir.Value {
		return t.mul(dy, t.one("Sub", nil, t.scalar(1, y), t.mul(y, y)))
	}),
	"Sigmoid": unaryGrad(func(t *tape, _, y, dy *ir.Value) *ir.Value {
		return t.mul(dy, t.mul(y, t.one("Sub", nil, t.scalar(1, y), y)))
	}),
	"Relu": unaryGrad(func(t *tape, x, _, dy *ir.Value) *ir.Value {
		return t.one("Where", nil, t.one("Greater", nil, x, t.scalar(0, x)), dy, t.scalar(0, dy))
	}),
	"Sin": unaryGrad(func(t *tape, x, _, dy *ir.Value) *ir.Value { return t.mul(dy, t.one("Cos", nil, x)) }),
	"Cos": unaryGrad(func(t *tape, x, _, dy *ir.Value) *ir.Value { return t.neg(t.mul(dy, t.one("Sin", nil, x))) }),

	"Add": func(t *tape, _ *ir.Op, x []*ir.Value, _, dy *ir.Value) ([]*ir.Value, error) {
		return t.each([]*ir.Value{dy, dy}, x)
	},
	"Sum": func(t *tape, _ *ir.Op, x []*ir.Value, _, dy *ir.Value) ([]*ir.Value, error) {
		return t.each(slices.Repeat([]*ir.Value{dy}, len(x)), x)
	},
	"Sub": func(t *tape, _ *ir.Op, x []*ir.Value, _, dy *ir.Value) ([]*ir.Value, error) {
		return t.each([]*ir.Value{dy, t.neg(dy)}, x)
	},
	"Mul": func(t *tape, _ *ir.Op, x []*ir.Value, _, dy *ir.Value) ([]*ir.Value, error) {
		return t.each([]*ir.Value{t.mul(dy, x[1]), t.mul(dy, x[0])}, x)
	},
	"Div": func(t *tape, _ *ir.Op, x []*ir.Value, y, dy *ir.Value) ([]*ir.Value, error) {
		d := t.div(dy, x[1])
		return t.each([]*ir.Value{d, t.neg(t.mul(d, y))}, x)
	},
	"Pow": powGrad, "Conv": convGrad, "MatMul": matMulGrad, "Gemm": gemmGrad, "Transpose": transposeGrad, "ReduceSum": reduceGrad, "ReduceMean": reduceGrad,
	"Reshape": viewGrad, "Flatten": viewGrad, "Squeeze": viewGrad, "Unsqueeze": viewGrad,
}

// unaryGrad is the rule of an op of one operand.
func unaryGrad(f func(t *tape, x, y, dy *ir.Value) *ir.Value) gradRule {
	return func(t *tape, _ *ir.Op, x []*ir.Value, y, dy *ir.Value) ([]*ir.Value, error) {
		return []*ir.Value{f(t, x[0], y, dy)}, nil
	}
}

// powGrad: d(x^p) = p*x^(p-1) dx + x^p*log(x) dp; the second only where p is not constant.
func powGrad(t *tape, _ *ir.Op, x []*ir.Value, y, dy *ir.Value) ([]*ir.Value, error) {
	p := t.one("CastLike", nil, x[1], x[0])
	less := t.one("Sub", nil, p, t.scalar(1, p))
	ds := []*ir.Value{t.mul(dy, t.mul(p, t.one("Pow", nil, x[0], less))), nil}
	if ir.ConstOf(x[1]) == nil && x[1].Type.DType == x[0].Type.DType {
		ds[1] = t.mul(dy, t.mul(y, t.one("Log", nil, x[0])))
	}
	return t.each(ds, x)
}

// flipped swaps the last two dimensions.
func (t *tape) flipped(v *ir.Value) *ir.Value {
	return t.one("Transpose", ir.Attrs{"perm": swapped(rank(v), false, true)}, v)
}

func matMulGrad(t *tape, _ *ir.Op, x []*ir.Value, _, dy *ir.Value) ([]*ir.Value, error) {
	if rank(x[0]) < 2 || rank(x[1]) < 2 {
		return nil, unsupportedf("operands of ranks %d and %d", rank(x[0]), rank(x[1]))
	}
	return t.each([]*ir.Value{t.one("MatMul", nil, dy, t.flipped(x[1])), t.one("MatMul", nil, t.flipped(x[0]), dy)}, x)
}

// gemmGrad: Y = alpha*A'*B' + beta*C.
func gemmGrad(t *tape, op *ir.Op, x []*ir.Value, _, dy *ir.Value) ([]*ir.Value, error) {
	turn := func(v *ir.Value, attr string) *ir.Value {
		if op.Attrs.Int(attr, 0) != 0 {
			return t.flipped(v)
		}
		return v
	}
	d := t.mul(dy, t.scalar(op.Attrs.Float("alpha", 1), dy))
	da := t.one("MatMul", nil, d, t.flipped(turn(x[1], "transB")))
	db := t.one("MatMul", nil, t.flipped(turn(x[0], "transA")), d)
	ds := []*ir.Value{turn(da, "transA"), turn(db, "transB")}
	if len(x) > 2 && x[2] != nil {
		dc, err := t.unbroadcast(t.mul(dy, t.scalar(op.Attrs.Float("beta", 1), dy)), x[2])
		if err != nil {
			return nil, err
		}
		ds = append(ds, dc)
	}
	return ds, nil
}

func transposeGrad(t *tape, op *ir.Op, x []*ir.Value, _, dy *ir.Value) ([]*ir.Value, error) {
	perm := op.Attrs.Ints("perm", nil)
	if perm == nil {
		return []*ir.Value{t.one("Transpose", nil, dy)}, nil
	}
	back := make([]int64, len(perm))
	for i, p := range perm {
		back[p] = int64(i)
	}
	return []*ir.Value{t.one("Transpose", ir.Attrs{"perm": back}, dy)}, nil
}

// viewGrad is the rule of ops that only change the shape.
func viewGrad(t *tape, _ *ir.Op, x []*ir.Value, _, dy *ir.Value) ([]*ir.Value, error) {
	return []*ir.Value{t.one("Reshape", ir.Attrs{"allowzero": int64(1)}, dy, t.one("Shape", nil, x[0]))}, nil
}

// reduceGrad: each element has the gradient of the sum that it is in, or of the mean divided by how many there are.
func reduceGrad(t *tape, op *ir.Op, x []*ir.Value, y, dy *ir.Value) ([]*ir.Value, error) {
	if op.Attrs.Int("noop_with_empty_axes", 0) != 0 && len(x) < 2 {
		return []*ir.Value{dy}, nil
	}
	r := rank(x[0])
	if r < 0 {
		return nil, unsupportedf("an operand of unknown rank")
	}
	d := dy
	if op.Attrs.Int("keepdims", 1) == 0 {
		axes := t.all(r)
		if len(x) > 1 && x[1] != nil {
			axes = x[1]
		}
		d = t.one("Unsqueeze", nil, d, axes)
	}
	shape := t.one("Shape", nil, x[0])
	if op.Name() == "ReduceMean" {
		size := func(v *ir.Value) *ir.Value { return t.one("CastLike", nil, t.one("Size", nil, v), dy) }
		d = t.div(d, t.div(size(x[0]), size(y)))
	}
	return []*ir.Value{t.one("Expand", nil, d, shape)}, nil
}

// all is a constant of all axes.
func (t *tape) all(rank int) *ir.Value {
	axes := make([]int64, rank)
	for i := range axes {
		axes[i] = int64(i)
	}
	return t.ints(axes...)
}

// convGrad: the operand's gradient is the transposed convolution of the result's; the kernel's is the convolution of the
// operand with the result's gradient as a kernel, batch and channels changing places and strides and dilations too.
func convGrad(t *tape, op *ir.Op, x []*ir.Value, y, dy *ir.Value) ([]*ir.Value, error) {
	in, ok1 := ir.StaticShape(x[0].Type.Shape)
	w, ok2 := ir.StaticShape(x[1].Type.Shape)
	out, ok3 := ir.StaticShape(y.Type.Shape)
	n := len(in) - 2
	if auto := op.Attrs.Str("auto_pad", "NOTSET"); !ok1 || !ok2 || !ok3 || n < 1 || auto != "NOTSET" || op.Attrs.Int("group", 1) != 1 {
		return nil, unsupportedf("sizes that are not known, auto_pad or groups")
	}
	ones := slices.Repeat([]int64{1}, n)
	strides, dilations, pads := op.Attrs.Ints("strides", ones), op.Attrs.Ints("dilations", ones), op.Attrs.Ints("pads", make([]int64, 2*n))
	extra, perm, axes := make([]int64, n), []int64{1, 0}, []int64{0}
	for i := range n {
		extra[i] = in[2+i] - ((out[2+i]-1)*strides[i] + (w[2+i]-1)*dilations[i] + 1 - pads[i] - pads[n+i])
		perm, axes = append(perm, int64(2+i)), append(axes, int64(2+i))
	}
	turn := func(v *ir.Value) *ir.Value { return t.one("Transpose", ir.Attrs{"perm": perm}, v) }
	dx := t.one("ConvTranspose", ir.Attrs{"strides": strides, "dilations": dilations, "pads": pads, "output_padding": extra}, dy, x[1])
	dw := t.one("Conv", ir.Attrs{"strides": dilations, "dilations": strides, "pads": pads}, turn(x[0]), turn(dy))
	dw = turn(t.one("Slice", nil, dw, t.ints(make([]int64, n)...), t.ints(w[2:]...), t.ints(axes[1:]...)))
	ds := []*ir.Value{dx, dw}
	if len(x) > 2 && x[2] != nil {
		ds = append(ds, t.one("ReduceSum", ir.Attrs{"keepdims": int64(0)}, dy, t.ints(axes...)))
	}
	return ds, nil
}
