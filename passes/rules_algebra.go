package passes

import (
	"math"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// algebraRules are strength reductions. docs/semantics.md keeps IEEE results, so that a rule that is not
// marked inexact gives the same bits for NaN, infinities and signed zeros too.
var algebraRules = []*rule{
	{"const-right", []string{"Add", "Mul", "And", "Or", "Xor", "Equal"}, "op(c, x) -> op(x, c)", false, constRight},
	{"neutral", []string{"Mul", "Div", "Sub", "Add", "Pow"}, "x*1, x/1, x-(+0), x+(-0), x^1; integers x+0 -> x", false, neutral},
	{"sum-add", []string{"Sum"}, "Sum(a, b, c) -> (a+b)+c", false, sumAdd},
	{"pow-2", []string{"Pow"}, "x^2 -> x*x", false, powSquare},
	{"pow-half", []string{"Pow"}, "x^0.5 -> Sqrt(x) where x >= +0 (they differ on -0 and -inf)", false, powHalf},
	{"pow-3", []string{"Pow"}, "x^3 -> x*x*x (two roundings)", true, powCube},
	{"div-pow2", []string{"Div"}, "x/2^k -> x*2^-k (exact: both round the same real number)", false, divPow2},
	{"relu-relu", []string{"Relu"}, "Relu(y) -> y where y is Relu, Sigmoid or Abs of something", false, reluRelu},
	{"pad-conv", []string{"Conv"}, "Conv(Pad(x, spatial, zeros)) -> Conv(x, more pads)", false, padConv},
	{"pad-avgpool", []string{"AveragePool"}, "AveragePool(Pad(x, spatial, zeros)) -> AveragePool(x, pads, count_include_pad=1)", false, padAvgPool},
}

func algebraPass(s *State) error {
	return rewrite(s, slices.Concat(foldRules, viewRules, channelRules, algebraRules, linearRules))
}

func constRight(rw *rewriter, op *ir.Op) []*ir.Value {
	if len(op.Operands) != 2 || !op.Info.Has(ir.Commutative) || ir.ConstOf(op.Operands[0]) == nil || ir.ConstOf(op.Operands[1]) != nil {
		return nil
	}
	return one(rw.op(op.Name(), op.Attrs, op.Operands[1], op.Operands[0]))
}

// neutralOf says by op which elements of the right operand leave the left one as it is.
var neutralOf = map[string]struct {
	float func(x float64) bool
	int   int64
}{
	"Mul": {func(x float64) bool { return x == 1 }, 1},
	"Div": {func(x float64) bool { return x == 1 }, 1},
	"Pow": {func(x float64) bool { return x == 1 }, 1},
	"Sub": {func(x float64) bool { return x == 0 && !math.Signbit(x) }, 0},
	"Add": {func(x float64) bool { return x == 0 && math.Signbit(x) }, 0},
}

func neutral(rw *rewriter, op *ir.Op) []*ir.Value {
	x, c, n := op.Operands[0], op.Operands[1], neutralOf[op.Name()]
	if !isTensor(x) || !sameType(x.Type, op.Results[0].Type) {
		return nil
	}
	if allFloats(c, n.float) || allInts(c, func(e int64) bool { return e == n.int }) {
		return one(x)
	}
	return nil
}

func sumAdd(rw *rewriter, op *ir.Op) []*ir.Value {
	if len(op.Operands) < 2 {
		return nil
	}
	acc := op.Operands[0]
	for _, v := range op.Operands[1:] {
		acc = rw.op("Add", nil, acc, v)
	}
	return one(acc)
}

// powOf gives x and the exponent of a Pow of a float by a constant scalar that does not widen x.
func powOf(op *ir.Op) (*ir.Value, float64, bool) {
	x := op.Operands[0]
	e, ok := scalarFloat(op.Operands[1])
	if d := ir.ConstOf(op.Operands[1]); !ok && d != nil && d.Len() == 1 {
		if n, isInt := d.Int64s(); isInt {
			e, ok = float64(n[0]), true
		}
	}
	return x, e, ok && isTensor(x) && x.Type.DType.IsFloat() && sameType(x.Type, op.Results[0].Type)
}

func powSquare(rw *rewriter, op *ir.Op) []*ir.Value {
	if x, e, ok := powOf(op); ok && e == 2 {
		return one(rw.op("Mul", nil, x, x))
	}
	return nil
}

func powCube(rw *rewriter, op *ir.Op) []*ir.Value {
	if x, e, ok := powOf(op); ok && e == 3 {
		return one(rw.op("Mul", nil, rw.op("Mul", nil, x, x), x))
	}
	return nil
}

func powHalf(rw *rewriter, op *ir.Op) []*ir.Value {
	if x, e, ok := powOf(op); ok && e == 0.5 && aboveZero(x, 8) {
		return one(rw.op("Sqrt", nil, x))
	}
	return nil
}

// aboveZero reports whether v is certainly +0, positive or NaN.
func aboveZero(v *ir.Value, depth int) bool {
	if allFloats(v, func(x float64) bool { return x > 0 || x == 0 && !math.Signbit(x) }) {
		return true
	}
	if v.Def == nil || depth == 0 {
		return false
	}
	switch op := v.Def; op.Name() {
	case "Exp", "Sigmoid", "Abs", "ReduceSumSquare", "ReduceL2":
		return true
	case "Mul":
		return op.Operands[0] == op.Operands[1] || aboveZero(op.Operands[0], depth-1) && aboveZero(op.Operands[1], depth-1)
	case "Pow":
		_, e, ok := powOf(op)
		return ok && e == 2
	case "Add", "Max":
		return len(op.Operands) == 2 && aboveZero(op.Operands[0], depth-1) && aboveZero(op.Operands[1], depth-1)
	case "ReduceMean", "ReduceSum", "Sqrt", "Reshape", "Transpose", "GlobalAveragePool":
		return aboveZero(op.Operands[0], depth-1)
	}
	return false
}

func divPow2(rw *rewriter, op *ir.Op) []*ir.Value {
	c := op.Operands[1]
	if !allFloats(c, isPow2) {
		return nil
	}
	x := smallFloats(c)
	inv := make([]float64, len(x))
	for i, e := range x {
		inv[i] = 1 / e
	}
	d := ir.ConstOf(c)
	return one(rw.op("Mul", nil, op.Operands[0], rw.constant(floatData(d.DType, inv, d.Shape...))))
}

func reluRelu(rw *rewriter, op *ir.Op) []*ir.Value {
	if x := op.Operands[0]; def(x, "Relu", "Sigmoid", "Abs") != nil {
		return one(x)
	}
	return nil
}

// spatialPads gives the pads of a Pad with zeros in constant mode that touches only dimensions from 2
// on and only enlarges, in the order of Conv's pads attribute.
func (rw *rewriter) spatialPads(op *ir.Op) []int64 {
	if op == nil || op.Attrs.Str("mode", "constant") != "constant" || !isTensor(op.Operands[0]) || !op.Operands[0].Type.DType.IsFloat() {
		return nil
	}
	if v := op.Operand(2); v != nil {
		if !allFloats(v, func(x float64) bool { return x == 0 }) {
			return nil
		}
	}
	p, ok := rw.intsOf(op.Operand(1))
	rank := op.Operands[0].Type.Rank()
	if !ok || rank < 3 {
		return nil
	}
	axes := make([]int64, rank)
	for i := range axes {
		axes[i] = int64(i)
	}
	if op.Operand(3) != nil {
		if axes, ok = rw.intsOf(op.Operand(3)); !ok {
			return nil
		}
	}
	out := make([]int64, 2*(rank-2))
	for i, a := range axes {
		if a < 0 {
			a += int64(rank)
		}
		lo, hi := p[i], p[i+len(axes)]
		if lo < 0 || hi < 0 || a < 2 && lo+hi != 0 {
			return nil
		}
		if a >= 2 {
			out[a-2], out[a-2+int64(rank)-2] = lo, hi
		}
	}
	return out
}

// withPads clones attrs with pads added to those there; nil when the op pads by another rule.
func withPads(op *ir.Op, pads []int64) ir.Attrs {
	if a := op.Attrs.Str("auto_pad", "NOTSET"); a != "NOTSET" && a != "" {
		return nil
	}
	sum := slices.Clone(pads)
	for i, p := range op.Attrs.Ints("pads", nil) {
		sum[i] += p
	}
	attrs := ir.Attrs{"pads": sum}
	for k, v := range op.Attrs {
		if k != "pads" {
			attrs[k] = v
		}
	}
	return attrs
}

func padConv(rw *rewriter, op *ir.Op) []*ir.Value {
	pad := def(op.Operands[0], "Pad")
	pads := rw.spatialPads(pad)
	if pads == nil || !rw.single(op.Operands[0]) {
		return nil
	}
	attrs := withPads(op, pads)
	if attrs == nil {
		return nil
	}
	args := slices.Clone(op.Operands)
	args[0] = pad.Operands[0]
	return one(rw.op("Conv", attrs, args...))
}

func padAvgPool(rw *rewriter, op *ir.Op) []*ir.Value {
	pad := def(op.Operands[0], "Pad")
	pads := rw.spatialPads(pad)
	if pads == nil || !rw.single(op.Operands[0]) || op.Attrs.Int("ceil_mode", 0) != 0 {
		return nil
	}
	// The padded zeros count; pads of the pool's own count only where it says so.
	for _, p := range op.Attrs.Ints("pads", nil) {
		if p != 0 && op.Attrs.Int("count_include_pad", 0) == 0 {
			return nil
		}
	}
	k := op.Attrs.Ints("kernel_shape", nil)
	for i, p := range pads {
		if p >= k[i%len(k)] {
			return nil // a window with no element of x: not every implementation of pooling takes that
		}
	}
	attrs := withPads(op, pads)
	if attrs == nil {
		return nil
	}
	attrs["count_include_pad"] = int64(1)
	return one(rw.op("AveragePool", attrs, pad.Operands[0]))
}

// isF32 reports whether v is a tensor of f32 of known rank.
func isF32(v *ir.Value) bool { return isTensor(v) && v.Type.DType == tensor.F32 }
