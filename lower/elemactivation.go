package lower

import (
	"math"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Activation functions, elementwise.

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

// thresholdedRelu is x above alpha, else 0, also for NaN.
func thresholdedRelu(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	v := x[0]
	return k.Select(k.Cmp(loop.GT, v, k.num(v, op.Attrs.Float("alpha", 1))), v, k.num(v, 0)), nil
}

// shrink computes on integers in f64, and truncates the result towards zero and to their width.
func shrink(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	d := x[0].Type.Elem
	v := x[0]
	if !d.IsFloat() {
		v = k.CastTo(v, tensor.F64)
	}
	bias, lambd := k.num(v, op.Attrs.Float("bias", 0)), op.Attrs.Float("lambd", 0.5)
	y := k.Select(k.Cmp(loop.GT, v, k.num(v, lambd)), k.Sub(v, bias), k.num(v, 0))
	y = k.Select(k.Cmp(loop.LT, v, k.num(v, -lambd)), k.Add(v, bias), y)
	switch {
	case d.IsFloat():
		return y, nil
	case d == tensor.U64:
		return k.CastTo(y, d), nil
	}
	return k.CastTo(k.CastTo(y, tensor.I64), d), nil
}

// expm1 is alpha*(exp(x)-1).
func (k *K) expm1(x *loop.Value, alpha float64) *loop.Value {
	return k.Mul(k.Expm1(x), k.num(x, alpha))
}

func elu(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	return k.below(x[0], k.expm1(x[0], op.Attrs.Float("alpha", 1))), nil
}

func selu(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	y := k.below(x[0], k.expm1(x[0], op.Attrs.Float("alpha", 1.67326319217681884765625)))
	return k.Mul(y, k.num(y, op.Attrs.Float("gamma", 1.05070102214813232421875))), nil
}

// celu is max(0, x) + min(0, alpha*(exp(x/alpha)-1)).
func celu(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	v, alpha := x[0], op.Attrs.Float("alpha", 1)
	zero := k.num(v, 0)
	neg := k.expm1(k.Div(v, k.num(v, alpha)), alpha)
	pos := k.Select(k.Cmp(loop.LE, v, zero), zero, v) // of -0, 0
	return k.Add(pos, k.Select(k.Cmp(loop.GT, neg, zero), zero, neg)), nil
}

// gelu is x times the normal distribution function of x, in f64 by erf; or the tanh form.
func gelu(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	v := x[0]
	half := func(g *loop.Value) *loop.Value { return k.Mul(k.Mul(v, k.num(v, 0.5)), k.Add(k.num(v, 1), g)) }
	switch {
	case op.Attrs.Str("approximate", "none") == "tanh":
		cube := k.Mul(k.Mul(v, v), v)
		return half(k.Tanh(k.Mul(k.num(v, math.Sqrt(2/math.Pi)), k.FMA(k.num(v, 0.044715), cube, v)))), nil
	case v.Type.Elem == tensor.F64:
		return half(k.Erf(k.Mul(v, k.num(v, math.Sqrt(0.5))))), nil
	}
	return k.Mul(v, k.NormalCDF(v)), nil
}

// mish is x*tanh(log(1+e)) with e = exp(x): x * n/(n+2) where n = e*(e+2).
func mish(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	v := x[0]
	most := k.num(v, 40) // from where the quotient is 1
	if v.Type.Elem == tensor.F32 {
		most = k.num(v, 20)
	}
	e := k.Exp(k.Select(k.Cmp(loop.GT, v, most), most, v))
	n := k.Mul(e, k.Add(e, k.num(v, 2)))
	return k.Mul(v, k.Div(n, k.Add(n, k.num(v, 2)))), nil
}

func swish(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	return k.Mul(x[0], k.Sigmoid(k.Mul(x[0], k.num(x[0], op.Attrs.Float("alpha", 1))))), nil
}

func swiGLU(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	s, err := swish(k, op, x)
	return k.Mul(s, x[1]), err
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

func softsign(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	return k.Div(x[0], k.Add(k.num(x[0], 1), k.Unary(loop.OpAbs, x[0]))), nil
}
