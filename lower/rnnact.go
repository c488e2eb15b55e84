package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
)

// rnnAct is an activation of recurrent layers: how many of alpha and beta it takes, their defaults, and the
// function; nil for one that is an elementwise op with attributes of these names.
type rnnAct struct {
	takes       int
	alpha, beta float64
	f           func(k *K, x *loop.Value, alpha, beta float64) *loop.Value
}

// rnnActs is ONNX's list.
var rnnActs = map[string]rnnAct{
	"Relu": {}, "Tanh": {}, "Sigmoid": {}, "Softsign": {}, "Softplus": {},
	"LeakyRelu": {takes: 1, alpha: 0.01}, "ThresholdedRelu": {takes: 1, alpha: 1}, "Elu": {takes: 1, alpha: 1}, "HardSigmoid": {takes: 2, alpha: 0.2, beta: 0.5},
	"Affine": {2, 1, 0, func(k *K, x *loop.Value, a, b float64) *loop.Value { return k.FMA(x, k.num(x, a), k.num(x, b)) }},
	"ScaledTanh": {2, 1, 1, func(k *K, x *loop.Value, a, b float64) *loop.Value {
		return k.Mul(k.num(x, a), k.Tanh(k.Mul(x, k.num(x, b))))
	}},
}

// rnnFunc is an activation with its parameters.
type rnnFunc func(k *K, x *loop.Value) *loop.Value

// rnnActivations reads the activations of all directions: alpha and beta are taken in order by those that have them.
// With clip > 0, arguments are brought into [-clip, clip].
func rnnActivations(op *ir.Op, defaults []string, dirs int) ([]rnnFunc, error) {
	names, _ := op.Attrs["activations"].([]string)
	if names == nil {
		for range dirs {
			names = append(names, defaults...)
		}
	}
	if len(names) != dirs*len(defaults) {
		return nil, op.Errorf("%d activations, want %d", len(names), dirs*len(defaults))
	}
	take := func(list *[]float64, def float64) float64 {
		if len(*list) == 0 {
			return def
		}
		v := (*list)[0]
		*list = (*list)[1:]
		return v
	}
	alphas, betas := op.Attrs.Floats("activation_alpha", nil), op.Attrs.Floats("activation_beta", nil)
	clip := op.Attrs.Float("clip", 0)
	var out []rnnFunc
	for _, n := range names {
		act, ok := rnnActs[n]
		if !ok {
			return nil, op.Errorf("activation %q is not known", n)
		}
		alpha, beta := act.alpha, act.beta
		if act.takes > 0 {
			alpha = take(&alphas, alpha)
		}
		if act.takes > 1 {
			beta = take(&betas, beta)
		}
		out = append(out, act.with(n, alpha, beta, clip))
	}
	return out, nil
}

func (a rnnAct) with(name string, alpha, beta, clip float64) rnnFunc {
	return func(k *K, x *loop.Value) *loop.Value {
		if clip > 0 {
			lo, hi := k.num(x, -clip), k.num(x, clip)
			x = k.Select(k.Cmp(loop.LT, x, lo), lo, x)
			x = k.Select(k.Cmp(loop.GT, x, hi), hi, x)
		}
		if a.f != nil {
			return a.f(k, x, alpha, beta)
		}
		y, err := elementwise[name](k, &ir.Op{Attrs: ir.Attrs{"alpha": alpha, "beta": beta}}, []*loop.Value{x})
		if err != nil {
			k.Fail(err)
			return x
		}
		return y
	}
}
