package onnx

import (
	"fmt"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// The optimisers of ai.onnx.preview.training as arithmetic. Learning rates are adjusted in f64: differences
// such as 1-beta^T lose most digits of f32.

// f64 makes a scalar Const.
func (c *nodeCtx) f64(x float64) *ir.Value { return c.constant(tensor.Of([]float64{x})) }

// wide gives v in f64.
func (c *nodeCtx) wide(v *ir.Value) *ir.Value { return c.one("Cast", ir.Attrs{"to": tensor.F64}, v) }

// optimise calls step for each tensor with its operands: the tensor, its gradient and its states, of which there
// are states. step gives the new tensor and the new states, in the order of the node's outputs.
func optimise(c *nodeCtx, states int, step func(x, g *ir.Value, state []*ir.Value) []*ir.Value) error {
	per := 2 + states
	in := c.in[2:]
	if len(in) == 0 || len(in)%per != 0 {
		return fmt.Errorf("%d tensors, want a multiple of %d: tensors, gradients and states", len(in), per)
	}
	n := len(in) / per
	if want := n * (1 + states); len(c.node.Output) > want {
		return fmt.Errorf("%d outputs, want %d: new tensors and states", len(c.node.Output), want)
	}
	norm := c.attrs.Float("norm_coefficient", 0)
	for i := range n {
		x, g := in[i], in[n+i]
		if norm != 0 {
			g = c.one("Add", nil, c.one("Mul", nil, x, c.scalar(norm, x)), g)
		}
		var state []*ir.Value
		for s := range states {
			state = append(state, in[(2+s)*n+i])
		}
		for j, v := range step(x, g, state) {
			if err := c.bind(j*n+i, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// blend is a*x + b*y.
func (c *nodeCtx) blend(a float64, x *ir.Value, b float64, y *ir.Value) *ir.Value {
	return c.one("Add", nil, c.one("Mul", nil, x, c.scalar(a, x)), c.one("Mul", nil, y, c.scalar(b, x)))
}

// descend is x - rate*d, the rate an f64 scalar.
func (c *nodeCtx) descend(x, rate, d *ir.Value) *ir.Value {
	return c.one("Sub", nil, x, c.one("Mul", nil, c.one("CastLike", nil, rate, x), d))
}

// deviation is sqrt(h)+epsilon.
func (c *nodeCtx) deviation(h *ir.Value) *ir.Value {
	return c.one("Add", nil, c.one("Sqrt", nil, h), c.scalar(c.attrs.Float("epsilon", 1e-6), h))
}

// adagrad: H' = H + G^2, X' = X - R/(1+T*decay) * G/(sqrt(H')+epsilon).
func adagrad(c *nodeCtx) error {
	steps := c.one("Mul", nil, c.wide(c.in[1]), c.f64(c.attrs.Float("decay_factor", 0)))
	rate := c.one("Div", nil, c.wide(c.in[0]), c.one("Add", nil, steps, c.f64(1)))
	return optimise(c, 1, func(x, g *ir.Value, state []*ir.Value) []*ir.Value {
		h := c.one("Add", nil, state[0], c.one("Mul", nil, g, g))
		return []*ir.Value{c.descend(x, rate, c.one("Div", nil, g, c.deviation(h))), h}
	})
}

// adam: V' = alpha*V + (1-alpha)*G, H' = beta*H + (1-beta)*G^2, X' = X - R' * V'/(sqrt(H')+epsilon), where for T > 0
// R' = R*sqrt(1-beta^T)/(1-alpha^T); then X' is scaled by 1-norm_coefficient_post.
func adam(c *nodeCtx) error {
	alpha, beta, post := c.attrs.Float("alpha", 0.9), c.attrs.Float("beta", 0.999), c.attrs.Float("norm_coefficient_post", 0)
	t := c.wide(c.in[1])
	rest := func(b float64) *ir.Value {
		return c.one("Sub", nil, c.f64(1), c.one("Pow", nil, c.f64(b), t))
	}
	r := c.wide(c.in[0])
	adjusted := c.one("Div", nil, c.one("Mul", nil, r, c.one("Sqrt", nil, rest(beta))), rest(alpha))
	rate := c.one("Where", nil, c.one("Greater", nil, t, c.f64(0)), adjusted, r)
	return optimise(c, 2, func(x, g *ir.Value, state []*ir.Value) []*ir.Value {
		v := c.blend(alpha, state[0], 1-alpha, g)
		h := c.blend(beta, state[1], 1-beta, c.one("Mul", nil, g, g))
		y := c.descend(x, rate, c.one("Div", nil, v, c.deviation(h)))
		if post != 0 {
			y = c.one("Mul", nil, y, c.scalar(1-post, y))
		}
		return []*ir.Value{y, v, h}
	})
}

// momentum: V' = alpha*V + beta*G, with a beta of 1 in the first step (T = 0), X' = X - R*V', or with nesterov
// X - R*(G + alpha*V').
func momentum(c *nodeCtx) error {
	alpha, mode := c.attrs.Float("alpha", 0), c.attrs.Str("mode", "")
	if mode != "standard" && mode != "nesterov" {
		return fmt.Errorf("mode is %q, want standard or nesterov", mode)
	}
	r, t := c.wide(c.in[0]), c.wide(c.in[1])
	beta := c.one("Where", nil, c.one("Greater", nil, t, c.f64(0)), c.f64(c.attrs.Float("beta", 1)), c.f64(1))
	return optimise(c, 1, func(x, g *ir.Value, state []*ir.Value) []*ir.Value {
		v := c.one("Add", nil, c.one("Mul", nil, state[0], c.scalar(alpha, x)), c.one("Mul", nil, c.one("CastLike", nil, beta, x), g))
		d := v
		if mode == "nesterov" {
			d = c.one("Add", nil, g, c.one("Mul", nil, v, c.scalar(alpha, x)))
		}
		return []*ir.Value{c.descend(x, r, d), v}
	})
}
