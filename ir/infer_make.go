package ir

import (
	"math"
	"slices"

	"github.com/nnc-go/nnc/runtime/tensor"
)

func inferConstantOfShape(c *InferCtx, op *Op) error {
	d := tensor.F32
	value, _ := op.Attrs["value"].(*Data)
	if value != nil {
		d = value.DType
	}
	shape, _, ok, err := c.shapeFrom(op, 0)
	if err != nil {
		return err
	}
	if !ok {
		return c.unranked(op, d)
	}
	if err := noNegative(op, shape); err != nil {
		return err
	}
	c.Set(op, 0, d, shape)
	if n := Product(shape); len(shape) <= 1 && n.IsConst() && n.c <= MaxElems {
		if x, ok := value.Int64s(); ok && len(x) == 1 {
			c.setIntElems(op, slices.Repeat(Dims(x[0]), int(n.c)))
		}
	}
	return nil
}

func inferEyeLike(c *InferCtx, op *Op) error {
	d := op.Attrs.DType("dtype", dtypeOf(op, 0))
	if d == tensor.String {
		return op.Errorf("dtype is %v, want numbers or bool", d)
	}
	return c.like(op, 0, d)
}

func inferRange(c *InferCtx, op *Op) error {
	d, err := sameDType(op, 0)
	if err != nil {
		return err
	}
	if delta, ok := c.Ints(op.Operand(2)); ok && len(delta) == 1 && delta[0] == 0 {
		return op.Errorf("delta is 0, want another number")
	}
	n, ok := c.rangeLen(op)
	if !ok {
		n = c.Fresh()
	}
	c.Set(op, 0, d, []Dim{n})
	start, ok1 := c.Elems(op.Operand(0))
	step, ok2 := c.Elems(op.Operand(2))
	if n.IsConst() && n.c <= MaxElems && ok1 && ok2 && len(start) == 1 && len(step) == 1 {
		e := make([]Dim, n.c)
		for i := range e {
			e[i] = start[0].Add(step[0].MulInt(int64(i)))
		}
		c.setIntElems(op, e)
	}
	return nil
}

// rangeLen is max(0, ceil((limit-start)/delta)).
func (c *InferCtx) rangeLen(op *Op) (Dim, bool) {
	var e [3]Dim
	ints := true
	for i := range e {
		x, ok := c.Elems(op.Operand(i))
		if ints = ints && ok && len(x) == 1; ints {
			e[i] = x[0]
		}
	}
	if ints {
		switch delta := e[2]; {
		case !delta.IsConst() || delta.Is(0):
			return Dim{}, false
		case delta.c > 0:
			return e[1].Sub(e[0]).CeilDiv(delta.c).Max(Dim{}), true
		default:
			return e[0].Sub(e[1]).CeilDiv(-delta.c).Max(Dim{}), true
		}
	}
	var f [3]float64
	for i := range f {
		x, ok := constFloats(op.Operand(i))
		if !ok || len(x) != 1 {
			return Dim{}, false
		}
		f[i] = x[0]
	}
	n := math.Ceil((f[1] - f[0]) / f[2])
	if math.IsNaN(n) || n >= 1<<40 {
		return Dim{}, false
	}
	return Const(int64(max(n, 0))), true
}

// constFloats gives the elements of a small real constant.
func constFloats(v *Value) ([]float64, bool) {
	d := ConstOf(v)
	if d == nil || d.Len() > MaxElems || d.Len() < 0 || !d.DType.IsFloat() && !d.DType.IsInt() {
		return nil, false
	}
	t, err := d.Tensor()
	if err != nil {
		return nil, false
	}
	out := make([]float64, d.Len())
	for i := range out {
		out[i] = t.At(int64(i))
	}
	return out, true
}
