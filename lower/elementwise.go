package lower

import (
	"math"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// elemFunc computes one element (of each lane) of an elementwise op. Operands and result are in the
// compute types of the op's value types; an absent operand is nil. It declines what it cannot do.
type elemFunc func(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error)

// elementwise is the table of elementwise ops.
var elementwise = map[string]elemFunc{
	"Add": variadic((*loop.Builder).Add), "Sub": binary((*loop.Builder).Sub), "Mul": variadic((*loop.Builder).Mul),
	"Sum": variadic((*loop.Builder).Add), "Max": variadic((*loop.Builder).Max), "Min": variadic((*loop.Builder).Min),
	"Div": div, "Mod": mod, "Mean": mean, "Pow": pow, "BitShift": bitShift,
	"Equal": compare(loop.EQ), "Less": compare(loop.LT), "LessOrEqual": compare(loop.LE),
	"Greater": compare(loop.GT), "GreaterOrEqual": compare(loop.GE),
	"And": binary((*loop.Builder).And), "Or": binary((*loop.Builder).Or), "Xor": binary((*loop.Builder).Xor),
	"BitwiseAnd": binary((*loop.Builder).And), "BitwiseOr": binary((*loop.Builder).Or), "BitwiseXor": binary((*loop.Builder).Xor),
	"Not": unaryOp(loop.OpNot), "BitwiseNot": unaryOp(loop.OpNot), "Neg": unaryOp(loop.OpNeg),
	"Abs": abs, "Sign": sign, "IsNaN": isNaN, "IsInf": isInf, "Where": where, "Cast": cast, "Clip": clip, "Reciprocal": reciprocal,
	"Sqrt": floatOp(loop.OpSqrt), "Floor": floatOp(loop.OpFloor), "Ceil": floatOp(loop.OpCeil), "Round": floatOp(loop.OpRound),

	"Exp": mathOp("Exp", (*loop.Builder).Exp), "Log": mathOp("Log", (*loop.Builder).Log), "Erf": erf,
	"Sin": mathOp("Sin", (*loop.Builder).Sin), "Cos": mathOp("Cos", (*loop.Builder).Cos), "Tan": mathOp("Tan", (*loop.Builder).Tan),
	"Asin": mathOp("Asin", (*loop.Builder).Asin), "Acos": mathOp("Acos", (*loop.Builder).Acos), "Atan": mathOp("Atan", (*loop.Builder).Atan),
	"Sinh": mathOp("Sinh", (*loop.Builder).Sinh), "Cosh": mathOp("Cosh", (*loop.Builder).Cosh), "Tanh": mathOp("Tanh", (*loop.Builder).Tanh),
	"Asinh": mathOp("Asinh", (*loop.Builder).Asinh), "Acosh": mathOp("Acosh", (*loop.Builder).Acosh), "Atanh": mathOp("Atanh", (*loop.Builder).Atanh),
	"Sigmoid": mathOp("Sigmoid", (*loop.Builder).Sigmoid), "Softplus": mathOp("Softplus", (*loop.Builder).Softplus),

	"Relu": relu, "LeakyRelu": leakyRelu, "PRelu": prelu, "ThresholdedRelu": thresholdedRelu, "Shrink": shrink,
	"Elu": elu, "Selu": selu, "Celu": celu, "Gelu": gelu, "Mish": mish, "Swish": swish, "SwiGLU": swiGLU,
	"HardSigmoid": hardSigmoid, "HardSwish": hardSwish, "Softsign": softsign,
	"QuantizeLinear": elementwiseQuantize, "DequantizeLinear": elementwiseDequantize,
	"Decode": decode, "Encode": encode,
	"Identity": func(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) { return x[0], nil },
}

func binary(f func(b *loop.Builder, x, y *loop.Value) *loop.Value) elemFunc {
	return func(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) { return f(k.Builder, x[0], x[1]), nil }
}

func variadic(f func(b *loop.Builder, x, y *loop.Value) *loop.Value) elemFunc {
	return func(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
		r := x[0]
		for _, y := range x[1:] {
			r = f(k.Builder, r, y)
		}
		return r, nil
	}
}

func unaryOp(o loop.Op) elemFunc {
	return func(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) { return k.Unary(o, x[0]), nil }
}

// floatOp is a unary op that is the identity on nothing: only floats have it.
func floatOp(o loop.Op) elemFunc {
	return func(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
		if !x[0].Type.Elem.IsFloat() {
			return nil, errDecline
		}
		return k.Unary(o, x[0]), nil
	}
}

// mathOp is a transcendental function that loop expands.
func mathOp(name string, f func(b *loop.Builder, x *loop.Value) *loop.Value) elemFunc {
	return func(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
		if !loop.MathSupported(name, x[0].Type.Elem) {
			return nil, errDecline
		}
		return f(k.Builder, x[0]), nil
	}
}

// compare orders false before true, NaN beside everything.
func compare(p loop.Pred) elemFunc {
	return func(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
		a, b := x[0], x[1]
		if a.Type.Elem == tensor.Bool {
			a, b = k.CastTo(a, tensor.U8), k.CastTo(b, tensor.U8)
		}
		return k.Cmp(p, a, b), nil
	}
}

// num makes a constant of x's type.
func (k *K) num(x *loop.Value, c float64) *loop.Value {
	if x.Type.Elem.IsFloat() {
		return k.Float(x.Type, c)
	}
	return k.IntOf(x.Type, int64(c))
}

// mean divides the sum; that of integers wraps, and the quotient truncates.
func mean(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	s := x[0]
	for _, y := range x[1:] {
		s = k.Add(s, y)
	}
	return k.Div(s, k.num(s, float64(len(x)))), nil
}

func abs(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	if x[0].Type.Elem.Class() == tensor.ClassUint {
		return x[0], nil
	}
	return k.Unary(loop.OpAbs, x[0]), nil
}

// clip is min(max(x, lo), hi): NaN stays, and hi wins where lo > hi.
func clip(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	r := x[0]
	if len(x) > 1 && x[1] != nil {
		r = k.Select(k.Cmp(loop.LT, r, x[1]), x[1], r)
	}
	if len(x) > 2 && x[2] != nil {
		r = k.Select(k.Cmp(loop.GT, r, x[2]), x[2], r)
	}
	return r, nil
}

func reciprocal(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	return k.Div(k.num(x[0], 1), x[0]), nil
}

func sign(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	zero, one := k.num(x[0], 0), k.num(x[0], 1)
	pos := k.Select(k.Cmp(loop.GT, x[0], zero), one, x[0])
	if x[0].Type.Elem.Class() == tensor.ClassUint {
		return pos, nil
	}
	neg := k.Cmp(loop.LT, x[0], zero)
	return k.Select(neg, k.Neg(one), pos), nil
}

func where(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	if x[1].Type.Elem == tensor.Bool {
		return k.Or(k.And(x[0], x[1]), k.And(k.Not(x[0]), x[2])), nil
	}
	return k.Select(x[0], x[1], x[2]), nil
}

// cast converts by ONNX's rules; half floats are rounded on the way to memory or here.
func cast(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	to := op.Results[0].Type.DType
	if !compiled(op.Operands[0].Type.DType) || !compiled(to) {
		return nil, errDecline
	}
	if to == tensor.F16 || to == tensor.BF16 {
		return k.ToF32(k.FromF32(k.CastTo(x[0], tensor.F32), to)), nil
	}
	return k.CastTo(x[0], to), nil
}

// isInf tells whether x is one of the infinities that the attributes select.
func isInf(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	if !x[0].Type.Elem.IsFloat() {
		return nil, errDecline
	}
	is := k.Cmp(loop.LT, x[0], x[0]) // never
	for _, s := range []struct {
		attr string
		inf  float64
	}{{"detect_negative", math.Inf(-1)}, {"detect_positive", math.Inf(1)}} {
		if op.Attrs.Int(s.attr, 1) != 0 {
			is = k.Or(is, k.Cmp(loop.EQ, x[0], k.num(x[0], s.inf)))
		}
	}
	return is, nil
}

// erf of integers is rounded towards zero: 0 until it is as good as 1.
func erf(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	v := x[0]
	if v.Type.Elem.IsFloat() {
		return k.Erf(v), nil
	}
	y := k.Select(k.Cmp(loop.GE, v, k.num(v, 6)), k.num(v, 1), k.num(v, 0))
	if v.Type.Elem.Class() == tensor.ClassUint {
		return y, nil
	}
	return k.Select(k.Cmp(loop.LE, v, k.num(v, -6)), k.num(v, -1), y), nil
}

func isNaN(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	return k.Not(k.Cmp(loop.EQ, x[0], x[0])), nil
}
