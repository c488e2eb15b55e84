package ir

import (
	"slices"

	"github.com/nnc-go/nnc/runtime/tensor"
)

func inferReduce(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	keep := op.Attrs.Int("keepdims", 1) != 0
	if !t.Ranked {
		return c.unranked(op, t.DType)
	}
	axes, ok, err := c.axesOperand(op, 1, len(t.Shape))
	switch {
	case err != nil:
		return err
	case !ok && keep:
		return c.set(op, t.DType, c.FreshShape(len(t.Shape)))
	case !ok && c.reducedRank(op) >= 0:
		return c.set(op, t.DType, c.FreshShape(c.reducedRank(op)))
	case !ok:
		return c.unranked(op, t.DType)
	}
	if op.Operand(1) == nil || len(axes) == 0 {
		if op.Attrs.Int("noop_with_empty_axes", 0) != 0 {
			return c.set(op, t.DType, t.Shape)
		}
		axes, _, _ = c.axesOperand(op, -1, len(t.Shape))
	}
	c.Set(op, 0, t.DType, reduced(t.Shape, axes, keep))
	if e, ok := c.Elems(op.Operand(0)); ok && len(axes) == 1 && len(t.Shape) == 1 && len(e) > 0 {
		if f := elemReduce[op.Name()]; f != nil {
			acc := e[0]
			for _, x := range e[1:] {
				acc = f(acc, x)
			}
			c.setIntElems(op, []Dim{acc})
		}
	}
	return nil
}

// reducedRank is the rank of a reduction by axes of which only the number is known, without keepdims; -1
// where not even that is.
func (c *InferCtx) reducedRank(op *Op) int {
	rank := int64(len(shapeOf(op, 0)))
	axes := op.Operands[1].Type
	if !axes.Ranked || len(axes.Shape) != 1 || !axes.Shape[0].IsConst() {
		return -1
	}
	return int(max(rank-axes.Shape[0].c, -1))
}

var elemReduce = map[string]func(a, b Dim) Dim{
	"ReduceSum": Dim.Add, "ReduceProd": Dim.Mul, "ReduceMax": Dim.Max, "ReduceMin": Dim.Min,
}

// reduced is shape with axes removed, or of size 1 with keep.
func reduced(shape []Dim, axes []int, keep bool) []Dim {
	var out []Dim
	for i, d := range shape {
		switch {
		case !slices.Contains(axes, i):
			out = append(out, d)
		case keep:
			out = append(out, Const(1))
		}
	}
	return out
}

func inferArg(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	if !t.Ranked {
		return c.unranked(op, tensor.I64)
	}
	axis, err := normAxis(op, op.Attrs.Int("axis", 0), len(t.Shape))
	if err != nil {
		return err
	}
	return c.set(op, tensor.I64, reduced(t.Shape, []int{axis}, op.Attrs.Int("keepdims", 1) != 0))
}

func inferTopK(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	if !t.Ranked {
		return c.unranked(op, t.DType, tensor.I64)
	}
	axis, err := normAxis(op, op.Attrs.Int("axis", -1), len(t.Shape))
	if err != nil {
		return err
	}
	k := c.Fresh()
	if e, ok := c.Elems(op.Operand(1)); ok {
		if len(e) != 1 {
			return op.Errorf("K has %d elements, want one", len(e))
		}
		k = e[0]
	}
	if d := t.Shape[axis]; k.IsConst() && (k.c < 0 || d.IsConst() && k.c > d.c) {
		return op.Errorf("K is %v, want 0 to %v, the size of axis %d", k, d, axis)
	}
	shape := slices.Clone(t.Shape)
	shape[axis] = k
	c.Set(op, 0, t.DType, shape)
	c.Set(op, 1, tensor.I64, shape)
	return nil
}

func inferNonZero(c *InferCtx, op *Op) error {
	rank := c.Fresh()
	if t := op.Operands[0].Type; t.Ranked {
		rank = Const(int64(len(t.Shape)))
	}
	return c.set(op, tensor.I64, []Dim{rank, c.Fresh()})
}

func inferUnique(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	n, all := c.Fresh(), c.Fresh()
	shape := []Dim{n}
	a, given := op.Attrs["axis"].(int64)
	switch {
	case !t.Ranked && given:
		c.SetType(op, 0, Type{DType: t.DType})
	case t.Ranked && given:
		axis, err := normAxis(op, a, len(t.Shape))
		if err != nil {
			return err
		}
		all = t.Shape[axis]
		shape = slices.Clone(t.Shape)
		shape[axis] = n
	case t.Ranked:
		all = Product(t.Shape)
	}
	if t.Ranked || !given {
		c.Set(op, 0, t.DType, shape)
	}
	c.Set(op, 1, tensor.I64, []Dim{n})
	c.Set(op, 2, tensor.I64, []Dim{all})
	c.Set(op, 3, tensor.I64, []Dim{n})
	return nil
}

func inferCompress(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	a, given := op.Attrs["axis"].(int64)
	switch {
	case !given:
		return c.set(op, t.DType, []Dim{c.Fresh()})
	case !t.Ranked:
		return c.unranked(op, t.DType)
	}
	axis, err := normAxis(op, a, len(t.Shape))
	if err != nil {
		return err
	}
	shape := slices.Clone(t.Shape)
	shape[axis] = c.Fresh()
	return c.set(op, t.DType, shape)
}

// inferCumulative: the axis is an operand.
func inferCumulative(c *InferCtx, op *Op) error {
	if axis, ok := c.Ints(op.Operand(1)); ok && len(axis) == 1 && !anyUnranked(op, 0) {
		if _, err := normAxis(op, axis[0], len(shapeOf(op, 0))); err != nil {
			return err
		}
	}
	return inferSame(c, op)
}
