package onnx

import (
	"fmt"
	"math"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// flexAttention imports FlexAttention: as Attention where no graph changes scores or probabilities, and
// as the products around a softmax where one does.
func flexAttention(c *nodeCtx) error {
	for i, v := range c.in {
		if r := rank(v); r >= 0 && r != 4 {
			return fmt.Errorf("%s has rank %d, want 4", c.row.ins.names[i], r)
		}
	}
	_, onScores := c.graphs["score_mod"]
	_, onProbs := c.graphs["prob_mod"]
	if !onScores && !onProbs {
		return c.define1("Attention", c.attrs, c.in...)
	}
	q, k, v := c.in[0], c.in[1], c.in[2]
	if rank(q) < 0 || rank(k) < 0 || rank(v) < 0 {
		return unsupportedf("operands of unknown rank")
	}
	d := tensor.F32
	if q.Type.DType == tensor.F64 {
		d = tensor.F64
	}
	if p := c.attrs.Int("softmax_precision", 0); p != 0 {
		d = tensor.DType(p)
	}
	hq, hk, size := q.Type.Shape[1], k.Type.Shape[1], q.Type.Shape[3]
	if _, given := c.attrs["scale"]; !given && !size.IsConst() {
		return unsupportedf("a head size that is not known, without a scale")
	}
	scale := 1.0
	if size.IsConst() {
		scale = 1 / math.Sqrt(float64(size.Value()))
	}
	whole := c.one("Shape", nil, q)
	to := ir.Attrs{"to": d}
	q, k, v = c.one("Cast", to, q), c.one("Cast", to, k), c.one("Cast", to, v)
	grouped := !hq.Equal(hk)
	if grouped { // [B,Hk,group,L,D] against [B,Hk,1,S,D]
		if !hq.IsConst() || !hk.IsConst() || hk.Value() < 1 || hq.Value()%hk.Value() != 0 {
			return fmt.Errorf("Q has %v heads and K %v, want a multiple", hq, hk)
		}
		q = c.one("Reshape", nil, q, c.one("Concat", ir.Attrs{"axis": int64(0)}, c.dimOf(whole, 0), c.ints(hk.Value(), hq.Value()/hk.Value()), c.dimOf(whole, 2), c.dimOf(whole, 3)))
		k, v = c.one("Unsqueeze", nil, k, c.ints(2)), c.one("Unsqueeze", nil, v, c.ints(2))
	}
	perm := []int64{0, 1, 3, 2}
	if grouped {
		perm = []int64{0, 1, 2, 4, 3}
	}
	x := c.one("MatMul", nil, q, c.one("Transpose", ir.Attrs{"perm": perm}, k))
	x = c.one("Mul", nil, x, c.scalar(c.attrs.Float("scale", scale), x))
	inGroups := c.one("Shape", nil, x)
	// apply runs a graph on scores of [B,Hq,L,S].
	apply := func(name string, given bool) (err error) {
		if !given {
			return nil
		}
		if grouped {
			x = c.one("Reshape", nil, x, c.one("Concat", ir.Attrs{"axis": int64(0)}, c.dimOf(whole, 0), c.dimOf(whole, 1), c.dimOf(whole, 2), c.dimOf(inGroups, 4)))
		}
		if x, err = c.inline(name, x); err == nil && grouped {
			x = c.one("Reshape", nil, x, inGroups)
		}
		return err
	}
	if err := apply("score_mod", onScores); err != nil {
		return err
	}
	x = c.one("Softmax", nil, x)
	if err := apply("prob_mod", onProbs); err != nil {
		return err
	}
	y := c.one("MatMul", nil, x, v)
	if grouped {
		y = c.one("Reshape", nil, y, c.one("Concat", ir.Attrs{"axis": int64(0)}, c.dimOf(whole, 0), c.dimOf(whole, 1), c.dimOf(whole, 2), c.ints(-1)))
	}
	return c.define1("CastLike", nil, y, c.in[2])
}

// dimOf takes element i of a shape as a list of one.
func (c *nodeCtx) dimOf(shape *ir.Value, i int64) *ir.Value {
	return c.one("Slice", nil, shape, c.ints(i), c.ints(i+1))
}

// inline applies a graph attribute of one input and one output to x, here and now.
func (c *nodeCtx) inline(name string, x *ir.Value) (*ir.Value, error) {
	r, err := c.region(name)
	if err != nil {
		return nil, err
	}
	if len(r.Params) != 1 || len(r.Results) != 1 {
		return nil, fmt.Errorf("%s has %d inputs and %d outputs, want 1 and 1", name, len(r.Params), len(r.Results))
	}
	// The graph's input becomes the result of an Identity.
	id := c.emit("Identity", []*ir.Value{x}, 1, nil)
	p := r.Params[0]
	id.Results[0], p.Def, p.Index = p, id, 0
	c.infer(id)
	for _, op := range r.Ops {
		c.s.region.Ops = append(c.s.region.Ops, op)
		c.infer(op)
	}
	return r.Results[0], nil
}
