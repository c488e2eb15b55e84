package passes

import (
	"math"
	"slices"

	"github.com/nnc-go/nnc/ir"
)

// idiomRules recognise one op in the several that exporters write for it. The op computes the same real
// function with another order of roundings, hence inexact.
var idiomRules = []*rule{
	{"layernorm", []string{"Mul"}, "(x-mean)/Sqrt(mean((x-mean)^2)+eps) * g -> LayerNormalization(x, g) over trailing axes", true, layerNorm},
	{"layernorm-bias", []string{"Add"}, "LayerNormalization(x, g) + b -> LayerNormalization(x, g, b)", true, layerNormBias},
	{"gelu", []string{"Mul", "Div"}, "0.5 * x * (1 + Erf(x/sqrt 2)), in any association -> Gelu(x)", true, geluErf},
	{"gelu-tanh", []string{"Mul", "Div"}, "0.5 * x * (1 + Tanh(sqrt(2/pi) * (x + 0.044715 x^3))) -> Gelu(x, approximate=tanh)", true, geluTanh},
	{"mean-gap", []string{"ReduceMean"}, "ReduceMean(x[N,C,H,W], axes 2,3) -> GlobalAveragePool(x), reshaped where keepdims=0", true, meanGAP},
}

func idiomsPass(s *State) error {
	if err := rewrite(s, slices.Concat(foldRules, viewRules, idiomRules, qkvRules)); err != nil {
		return err
	}
	return rewrite(s, slices.Concat(foldRules, viewRules, attentionRules))
}

// product flattens v = coef * f1 * f2 * .. through Mul, Div by a constant and small integer powers.
func product(v *ir.Value, depth int) (coef float64, factors []*ir.Value) {
	if x, ok := scalarFloat(v); ok {
		return x, nil
	}
	op := def(v, "Mul", "Div", "Pow")
	if op == nil || depth == 0 {
		return 1, []*ir.Value{v}
	}
	switch op.Name() {
	case "Mul":
		c, f := product(op.Operands[0], depth-1)
		d, g := product(op.Operands[1], depth-1)
		return c * d, slices.Concat(f, g)
	case "Div":
		if d, ok := scalarFloat(op.Operands[1]); ok {
			c, f := product(op.Operands[0], depth-1)
			return c / d, f
		}
	case "Pow":
		if x, e, ok := powOf(op); ok && (e == 2 || e == 3) {
			return 1, slices.Repeat([]*ir.Value{x}, int(e))
		}
	}
	return 1, []*ir.Value{v}
}

func near(x, y float64) bool { return math.Abs(x-y) <= 1e-4*math.Abs(y) }

// onePlus matches v = 1 + f(arg).
func onePlus(v *ir.Value, f string) *ir.Value {
	add := def(v, "Add")
	if add == nil {
		return nil
	}
	for i := range 2 {
		if isScalar(add.Operands[1-i], 1) {
			if op := def(add.Operands[i], f); op != nil {
				return op.Operands[0]
			}
		}
	}
	return nil
}

// geluArg matches op = 0.5 * x * (1 + f(arg)) and gives x and arg.
func geluArg(op *ir.Op, f string) (x, arg *ir.Value) {
	c, fs := product(op.Results[0], 4)
	if !near(c, 0.5) || len(fs) != 2 {
		return nil, nil
	}
	for i := range 2 {
		if arg := onePlus(fs[i], f); arg != nil && isTensor(fs[1-i]) && sameType(fs[1-i].Type, op.Results[0].Type) {
			return fs[1-i], arg
		}
	}
	return nil, nil
}

func geluErf(rw *rewriter, op *ir.Op) []*ir.Value {
	x, arg := geluArg(op, "Erf")
	if x == nil {
		return nil
	}
	if c, fs := product(arg, 2); !near(c, math.Sqrt2/2) || len(fs) != 1 || fs[0] != x {
		return nil
	}
	return one(rw.op("Gelu", nil, x))
}

func geluTanh(rw *rewriter, op *ir.Op) []*ir.Value {
	x, arg := geluArg(op, "Tanh")
	if x == nil {
		return nil
	}
	c, fs := product(arg, 2)
	if !near(c, math.Sqrt(2/math.Pi)) || len(fs) != 1 {
		return nil
	}
	sum := def(fs[0], "Add")
	if sum == nil {
		return nil
	}
	for i := range 2 {
		c, cube := product(sum.Operands[i], 4)
		if sum.Operands[1-i] == x && near(c, 0.044715) && len(cube) == 3 && cube[0] == x && cube[1] == x && cube[2] == x {
			return one(rw.op("Gelu", ir.Attrs{"approximate": "tanh"}, x))
		}
	}
	return nil
}

// meanOver matches v = ReduceMean(x, axes, keepdims=1) over the trailing axes and gives x and the first of them.
func (rw *rewriter) meanOver(v *ir.Value) (*ir.Value, int) {
	op := def(v, "ReduceMean")
	if op == nil || op.Attrs.Int("keepdims", 1) != 1 || !isTensor(op.Operands[0]) {
		return nil, 0
	}
	axes, ok := rw.axes(op)
	rank := op.Operands[0].Type.Rank()
	if !ok || len(axes) == 0 || int(axes[0]) != rank-len(axes) {
		return nil, 0
	}
	return op.Operands[0], int(axes[0])
}

// axes gives the sorted axes of a reduction with given axes, each counted from the front.
func (rw *rewriter) axes(op *ir.Op) ([]int64, bool) {
	axes, ok := rw.intsOf(op.Operand(1))
	if !ok {
		return nil, false
	}
	axes = slices.Clone(axes)
	for i := range axes {
		if axes[i] < 0 {
			axes[i] += int64(op.Operands[0].Type.Rank())
		}
	}
	slices.Sort(axes)
	return slices.Compact(axes), true
}

// centred matches v = x - ReduceMean(x) and gives x.
func (rw *rewriter) centred(v *ir.Value) (*ir.Value, int) {
	sub := def(v, "Sub")
	if sub == nil {
		return nil, 0
	}
	x, axis := rw.meanOver(sub.Operands[1])
	if x == nil || x != sub.Operands[0] {
		return nil, 0
	}
	return x, axis
}

// normalised matches v = d / Sqrt(ReduceMean(d*d) + eps), d = x - ReduceMean(x).
func (rw *rewriter) normalised(v *ir.Value) (x *ir.Value, axis int, eps float64) {
	div := def(v, "Div")
	if div == nil {
		return nil, 0, 0
	}
	x, axis = rw.centred(div.Operands[0])
	sqrt := def(div.Operands[1], "Sqrt")
	if x == nil || sqrt == nil {
		return nil, 0, 0
	}
	add := def(sqrt.Operands[0], "Add")
	if add == nil {
		return nil, 0, 0
	}
	for i := range 2 {
		e, ok := scalarFloat(add.Operands[1-i])
		sq, a := rw.meanOver(add.Operands[i])
		if !ok || sq == nil || a != axis {
			continue
		}
		c, f := product(sq, 1)
		if c != 1 || len(f) != 2 || f[0] != f[1] {
			continue
		}
		if y, b := rw.centred(f[0]); y == x && b == axis {
			return x, axis, e
		}
	}
	return nil, 0, 0
}

// trailing gives v as an operand of the shape that the trailing dimensions of x from axis on have.
func (rw *rewriter) trailing(v, x *ir.Value, axis int) *ir.Value {
	want := ir.TensorType(x.Type.DType, x.Type.Shape[axis:]...)
	if !isTensor(v) || v.Type.DType != x.Type.DType {
		return nil
	}
	s := v.Type.Shape
	for len(s) > len(want.Shape) && s[0].Is(1) {
		s = s[1:]
	}
	if !sameShape(ir.Type{Ranked: true, Shape: s}, want) {
		return nil
	}
	return rw.reshape(v, want.Shape)
}

func layerNorm(rw *rewriter, op *ir.Op) []*ir.Value {
	for i := range 2 {
		x, axis, eps := rw.normalised(op.Operands[i])
		if x == nil || !isF32(x) {
			continue
		}
		g := rw.trailing(op.Operands[1-i], x, axis)
		if g == nil {
			continue
		}
		attrs := ir.Attrs{"axis": int64(axis - x.Type.Rank()), "epsilon": eps}
		return one(rw.op("LayerNormalization", attrs, x, g))
	}
	return nil
}

func layerNormBias(rw *rewriter, op *ir.Op) []*ir.Value {
	for i := range 2 {
		ln := def(op.Operands[i], "LayerNormalization")
		if ln == nil || ln.Operand(2) != nil || len(ln.Results) != 1 || !rw.single(op.Operands[i]) {
			continue
		}
		axis := int(ln.Attrs.Int("axis", -1))
		if axis < 0 {
			axis += ln.Operands[0].Type.Rank()
		}
		if b := rw.trailing(op.Operands[1-i], ln.Operands[0], axis); b != nil {
			return one(rw.op("LayerNormalization", ln.Attrs, ln.Operands[0], ln.Operands[1], b))
		}
	}
	return nil
}

func meanGAP(rw *rewriter, op *ir.Op) []*ir.Value {
	x := op.Operands[0]
	if !isF32(x) || len(x.Type.Shape) != 4 || op.Operand(1) == nil {
		return nil
	}
	axes, ok := rw.axes(op)
	if !ok || !slices.Equal(axes, []int64{2, 3}) {
		return nil
	}
	y := rw.op("GlobalAveragePool", nil, x)
	if op.Attrs.Int("keepdims", 1) == 0 {
		if y = rw.reshape(y, op.Results[0].Type.Shape); y == nil {
			return nil
		}
	}
	return one(y)
}
