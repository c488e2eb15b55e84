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
	"Div": div, "Mean": mean, "Pow": pow, "PRelu": prelu,
	"Equal": compare(loop.EQ), "Less": compare(loop.LT), "LessOrEqual": compare(loop.LE),
	"Greater": compare(loop.GT), "GreaterOrEqual": compare(loop.GE),
	"And": binary((*loop.Builder).And), "Or": binary((*loop.Builder).Or), "Xor": binary((*loop.Builder).Xor),
	"BitwiseAnd": binary((*loop.Builder).And), "BitwiseOr": binary((*loop.Builder).Or), "BitwiseXor": binary((*loop.Builder).Xor),
	"Not": unaryOp(loop.OpNot), "BitwiseNot": unaryOp(loop.OpNot),
	"Neg": unaryOp(loop.OpNeg), "Abs": abs, "Sqrt": floatOp(loop.OpSqrt), "Floor": floatOp(loop.OpFloor), "Ceil": floatOp(loop.OpCeil), "Round": floatOp(loop.OpRound),
	"Exp": mathOp("Exp", (*loop.Builder).Exp), "Log": mathOp("Log", (*loop.Builder).Log), "Tanh": mathOp("Tanh", (*loop.Builder).Tanh),
	"Sigmoid": mathOp("Sigmoid", (*loop.Builder).Sigmoid), "Erf": mathOp("Erf", (*loop.Builder).Erf),
	"Sin": mathOp("Sin", (*loop.Builder).Sin), "Cos": mathOp("Cos", (*loop.Builder).Cos), "Tan": mathOp("Tan", (*loop.Builder).Tan),
	"Relu": relu, "LeakyRelu": leakyRelu, "Clip": clip, "Reciprocal": reciprocal, "Elu": elu, "Selu": selu, "Gelu": gelu,
	"HardSigmoid": hardSigmoid, "HardSwish": hardSwish, "ThresholdedRelu": thresholdedRelu, "Softsign": softsign, "Sign": sign,
	"Where": where, "Cast": cast, "IsNaN": isNaN, "Mod": mod,
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

func compare(p loop.Pred) elemFunc {
	return func(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
		if x[0].Type.Elem == tensor.Bool {
			if p != loop.EQ {
				return nil, errDecline
			}
			return k.Not(k.Xor(x[0], x[1])), nil
		}
		return k.Cmp(p, x[0], x[1]), nil
	}
}

// num makes a constant of x's type.
func (k *K) num(x *loop.Value, c float64) *loop.Value {
	if x.Type.Elem.IsFloat() {
		return k.Float(x.Type, c)
	}
	return k.IntOf(x.Type, int64(c))
}

// div divides. The integer form can fail or trap, so it is compiled for divisors that are known.
func div(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	if !x[0].Type.Elem.IsFloat() && !k.safeDivisor(op) {
		return nil, errDecline
	}
	return k.Div(x[0], x[1]), nil
}

// safeDivisor reports whether the second operand is constant integers other than 0 and -1.
func (k *K) safeDivisor(op *ir.Op) bool {
	d := k.C.constOf(op.Operands[1])
	if d == nil || !d.DType.IsInt() || d.DType.Size() == 0 {
		return false
	}
	t, err := d.Tensor()
	if err != nil {
		return false
	}
	for i := range t.Len() {
		if v, ok := t.IntAt(i); !ok || v == 0 || v == -1 {
			return false
		}
	}
	return true
}

// mod is the integer remainder with the divisor's sign, or with fmod the dividend's.
func mod(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	if x[0].Type.Elem.IsFloat() || !k.safeDivisor(op) {
		return nil, errDecline
	}
	r := k.Rem(x[0], x[1])
	if op.Attrs.Int("fmod", 0) != 0 || r.Type.Elem.Class() == tensor.ClassUint {
		return r, nil
	}
	zero := k.num(r, 0)
	wrong := k.And(k.Cmp(loop.NE, r, zero), k.Cmp(loop.LT, k.Xor(r, x[1]), zero))
	return k.Select(wrong, k.Add(r, x[1]), r), nil
}

func mean(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	s, err := variadic((*loop.Builder).Add)(k, op, x)
	if err != nil || !s.Type.Elem.IsFloat() {
		return nil, errDecline
	}
	return k.Div(s, k.num(s, float64(len(x)))), nil
}

func abs(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	if x[0].Type.Elem.Class() == tensor.ClassUint {
		return x[0], nil
	}
	return k.Unary(loop.OpAbs, x[0]), nil
}

// pow computes x^y; exponents that are small integers or halves, known at compile time, become products
// and roots.
func pow(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	if !x[0].Type.Elem.IsFloat() || x[0].Type != x[1].Type {
		return nil, errDecline
	}
	if d := k.C.constOf(op.Operands[1]); d != nil && d.Len() == 1 && d.DType == tensor.F32 {
		t, err := d.Tensor()
		if err != nil {
			return nil, err
		}
		fs, err := floats(t)
		if err != nil {
			return nil, err
		}
		switch fs[0] {
		case 1:
			return x[0], nil
		case 2:
			return k.Mul(x[0], x[0]), nil
		case 3:
			return k.Mul(k.Mul(x[0], x[0]), x[0]), nil
		}
	}
	if !loop.MathSupported("Pow", x[0].Type.Elem) {
		return nil, errDecline
	}
	return k.Pow(x[0], x[1]), nil
}

// below selects neg where x < 0, x elsewhere: NaN and -0 pass through.
func (k *K) below(x, neg *loop.Value) *loop.Value {
	return k.Select(k.Cmp(loop.LT, x, k.num(x, 0)), neg, x)
}

func relu(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	return k.below(x[0], k.num(x[0], 0)), nil
}

func prelu(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	return k.below(x[0], k.Mul(x[0], x[1])), nil
}

func leakyRelu(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	return k.below(x[0], k.Mul(x[0], k.num(x[0], op.Attrs.Float("alpha", 0.01)))), nil
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

// expm1 scaled: alpha*(exp(x)-1) for x < 0, times gamma.
func eluLike(k *K, x *loop.Value, alpha, gamma float64) (*loop.Value, error) {
	if !loop.MathSupported("Exp", x.Type.Elem) {
		return nil, errDecline
	}
	neg := k.Mul(k.Sub(k.Exp(x), k.num(x, 1)), k.num(x, alpha))
	r := k.below(x, neg)
	if gamma != 1 {
		r = k.Mul(r, k.num(x, gamma))
	}
	return r, nil
}

func elu(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	return eluLike(k, x[0], op.Attrs.Float("alpha", 1), 1)
}

func selu(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	return eluLike(k, x[0], op.Attrs.Float("alpha", 1.67326319217681884765625), op.Attrs.Float("gamma", 1.05070102214813232421875))
}

// gelu is x/2*(1+erf(x/sqrt 2)), or the tanh form.
func gelu(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	if !loop.MathSupported("Erf", x[0].Type.Elem) {
		return nil, errDecline
	}
	v := x[0]
	var g *loop.Value
	if op.Attrs.Str("approximate", "none") == "tanh" {
		cube := k.Mul(k.Mul(v, v), v)
		g = k.Tanh(k.Mul(k.num(v, math.Sqrt(2/math.Pi)), k.FMA(k.num(v, 0.044715), cube, v)))
	} else {
		g = k.Erf(k.Mul(v, k.num(v, math.Sqrt(0.5))))
	}
	return k.Mul(k.Mul(v, k.num(v, 0.5)), k.Add(k.num(v, 1), g)), nil
}

// unit clamps to [0, 1]; NaN stays.
func (k *K) unit(x *loop.Value) *loop.Value {
	one := k.num(x, 1)
	x = k.below(x, k.num(x, 0))
	return k.Select(k.Cmp(loop.GT, x, one), one, x)
}

func hardSigmoid(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	v := x[0]
	return k.unit(k.FMA(v, k.num(v, op.Attrs.Float("alpha", 0.2)), k.num(v, op.Attrs.Float("beta", 0.5)))), nil
}

func hardSwish(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	v := x[0]
	return k.Mul(v, k.unit(k.FMA(v, k.num(v, 1.0/6), k.num(v, 0.5)))), nil
}

func thresholdedRelu(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	v := x[0]
	return k.Select(k.Cmp(loop.LE, v, k.num(v, op.Attrs.Float("alpha", 1))), k.num(v, 0), v), nil
}

func softsign(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	return k.Div(x[0], k.Add(k.num(x[0], 1), k.Unary(loop.OpAbs, x[0]))), nil
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

func isNaN(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	return k.Not(k.Cmp(loop.EQ, x[0], x[0])), nil
}
