package ir

import (
	"math"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// like types result 0 as a tensor of element type d in the shape of operand i.
func (c *InferCtx) like(op *Op, i int, d tensor.DType) error {
	t := op.Operands[i].Type
	if !t.Ranked {
		return c.unranked(op, d)
	}
	return c.set(op, d, t.Shape)
}

func inferSame(c *InferCtx, op *Op) error { return c.like(op, 0, dtypeOf(op, 0)) }

func inferPredicate(c *InferCtx, op *Op) error {
	if err := c.like(op, 0, tensor.Bool); err != nil {
		return err
	}
	if e, ok := c.Ints(op.Operand(0)); ok && op.Name() == "Not" {
		out := make([]Dim, len(e))
		for i, x := range e {
			out[i] = Const(1 - x)
		}
		c.SetElems(op.Result(0), out)
	}
	return nil
}

func inferNeg(c *InferCtx, op *Op) error {
	if err := inferSame(c, op); err != nil {
		return err
	}
	if e, ok := c.Elems(op.Operand(0)); ok {
		out := make([]Dim, len(e))
		for i, x := range e {
			out[i] = x.MulInt(-1)
		}
		c.setIntElems(op, out)
	}
	return nil
}

// setIntElems records the contents of result 0 unless they do not fit its element type.
func (c *InferCtx) setIntElems(op *Op, e []Dim) {
	v := op.Result(0)
	if v == nil {
		return
	}
	switch v.Type.DType {
	case tensor.I32:
		for _, x := range e {
			if x.IsConst() && int64(int32(x.c)) != x.c {
				return
			}
		}
	case tensor.I64, tensor.Bool:
	default:
		return
	}
	c.SetElems(v, e)
}

// keepElems gives result 0 the contents of operand 0, where its rank lets them be tracked.
func (c *InferCtx) keepElems(op *Op) {
	e, ok := c.Elems(op.Operand(0))
	if v := op.Result(0); ok && v != nil && v.Type.Ranked && len(v.Type.Shape) <= 1 {
		c.setIntElems(op, e)
	}
}

func inferCast(c *InferCtx, op *Op) error {
	to := op.Attrs.DType("to", tensor.Invalid)
	if to == tensor.Invalid {
		return op.Errorf("attribute to is missing")
	}
	return c.cast(op, to)
}

func inferCastLike(c *InferCtx, op *Op) error { return c.cast(op, dtypeOf(op, 1)) }

func (c *InferCtx) cast(op *Op, to tensor.DType) error {
	if err := c.like(op, 0, to); err != nil {
		return err
	}
	from := dtypeOf(op, 0)
	switch {
	case to == tensor.Bool && from != tensor.Bool:
		if e, ok := c.Ints(op.Operand(0)); ok {
			out := make([]Dim, len(e))
			for i, x := range e {
				if x != 0 {
					out[i] = Const(1)
				}
			}
			c.setIntElems(op, out)
		}
	default:
		c.keepElems(op)
	}
	return nil
}

func inferBitCast(c *InferCtx, op *Op) error {
	to := op.Attrs.DType("to", tensor.Invalid)
	if from := dtypeOf(op, 0); from != tensor.Invalid && from.Bits() != to.Bits() {
		return op.Errorf("BitCast of %v (%d bits) to %v (%d bits), want the same width", from, from.Bits(), to, to.Bits())
	}
	return c.like(op, 0, to)
}

// sameDType gives the element type that the operands from first on have in common.
func sameDType(op *Op, first int) (tensor.DType, error) {
	d := tensor.Invalid
	for i, v := range op.Operands[first:] {
		switch {
		case v == nil || v.Type.DType == tensor.Invalid:
		case d == tensor.Invalid:
			d = v.Type.DType
		case d != v.Type.DType:
			return d, op.Errorf("operand %d %q is %v, want element type %v as those before it", first+i, v.Name, v.Type, d)
		}
	}
	return d, nil
}

// broadcastAll types result 0 as d in the shape that all operands broadcast to.
func (c *InferCtx) broadcastAll(op *Op, d tensor.DType) error {
	var shape []Dim
	if len(op.Operands) == 0 {
		return op.Errorf("no operands, want at least one")
	}
	for i, v := range op.Operands {
		if !v.Type.Ranked {
			return c.unranked(op, d)
		}
		var err error
		if i == 0 {
			shape = v.Type.Shape
		} else if shape, err = broadcast(op, shape, v.Type.Shape); err != nil {
			return err
		}
	}
	return c.set(op, d, shape)
}

func inferBroadcast(c *InferCtx, op *Op) error {
	d, err := sameDType(op, 0)
	if err != nil {
		return err
	}
	return c.broadcastAll(op, d)
}

// inferPow lets the exponent have a type of its own.
func inferPow(c *InferCtx, op *Op) error {
	if y := op.Operands[1]; y.Type.DType != tensor.Invalid && !isNumber(y.Type.DType) {
		return op.Errorf("exponent %q is %v, want %s", y.Name, y.Type, numberTypes)
	}
	return c.broadcastAll(op, dtypeOf(op, 0))
}

// inferPRelu wants a slope that broadcasts to X and not the other way round.
func inferPRelu(c *InferCtx, op *Op) error {
	if _, err := sameDType(op, 0); err != nil {
		return err
	}
	x, slope := op.Operands[0].Type, op.Operands[1].Type
	if x.Ranked && slope.Ranked {
		shape, err := broadcast(op, x.Shape, slope.Shape)
		if err != nil {
			return err
		}
		grown := len(shape) > len(x.Shape)
		for i := 0; !grown && i < len(shape); i++ {
			grown = x.Shape[i].Is(1) && shape[i].IsConst() && !shape[i].Is(1)
		}
		if grown {
			return op.Errorf("slope %q is %v, which does not broadcast to %v", op.Operands[1].Name, slope, x)
		}
	}
	return inferSame(c, op)
}

// inferClip wants bounds of one element.
func inferClip(c *InferCtx, op *Op) error {
	if _, err := sameDType(op, 0); err != nil {
		return err
	}
	for _, v := range op.Operands[1:] {
		if v != nil && v.Type.Ranked {
			if n := Product(v.Type.Shape); n.IsConst() && !n.Is(1) {
				return op.Errorf("bound %q is %v, want a scalar", v.Name, v.Type)
			}
		}
	}
	return inferSame(c, op)
}

func inferArith(c *InferCtx, op *Op) error {
	if err := inferBroadcast(c, op); err != nil {
		return err
	}
	if f := elemArith[op.Name()]; f != nil {
		c.foldElems(op, func(a, b Dim) (Dim, bool) { return f(op, a, b) })
	}
	return nil
}

// inferMod refuses floats without fmod, whose sign of the result ONNX leaves open.
func inferMod(c *InferCtx, op *Op) error {
	if d := dtypeOf(op, 0); d.IsFloat() && op.Attrs.Int("fmod", 0) == 0 {
		return op.Errorf("fmod is 0 for operands of type %v, want 1: it may be 0 for integers alone", d)
	}
	return inferArith(c, op)
}

func inferBitShift(c *InferCtx, op *Op) error {
	if d := op.Attrs.Str("direction", ""); d != "LEFT" && d != "RIGHT" {
		return op.Errorf("direction is %q, want LEFT or RIGHT", d)
	}
	return inferBroadcast(c, op)
}

// elemArith computes on symbolic elements; false where the result has no exact expression.
var elemArith = map[string]func(op *Op, a, b Dim) (Dim, bool){
	"Add": func(_ *Op, a, b Dim) (Dim, bool) { return a.Add(b), true },
	"Sum": func(_ *Op, a, b Dim) (Dim, bool) { return a.Add(b), true },
	"Sub": func(_ *Op, a, b Dim) (Dim, bool) { return a.Sub(b), true },
	"Mul": func(_ *Op, a, b Dim) (Dim, bool) { return a.Mul(b), true },
	"Max": func(_ *Op, a, b Dim) (Dim, bool) { return a.Max(b), true },
	"Min": func(_ *Op, a, b Dim) (Dim, bool) { return a.Min(b), true },
	"Div": divElem,
	"Mod": modElem,
}

// divElem divides as integer tensors do, towards zero: by Dim.Div only where that is flooring too.
func divElem(_ *Op, a, b Dim) (Dim, bool) {
	switch {
	case b.Is(0):
		return Dim{}, false
	case a.IsConst() && b.IsConst():
		if a.c == math.MinInt64 {
			return Dim{}, false
		}
		return Const(a.c / b.c), true
	case a.NonNegative() && b.NonNegative():
		return a.Div(b), true
	case b.IsConst() && a.Div(b).Mul(b).Equal(a):
		return a.Div(b), true
	}
	return Dim{}, false
}

// modElem has the divisor's sign as Dim.Mod, but the dividend's with fmod.
func modElem(op *Op, a, b Dim) (Dim, bool) {
	if b.Is(0) || op.Attrs.Int("fmod", 0) != 0 && !(a.NonNegative() && b.NonNegative()) {
		return Dim{}, false
	}
	return a.Mod(b), true
}

// foldElems records the elements of result 0 where those of all operands are known and f combines them.
func (c *InferCtx) foldElems(op *Op, f func(a, b Dim) (Dim, bool)) {
	r := op.Result(0)
	if r == nil || !r.Type.Ranked || len(r.Type.Shape) > 1 || len(op.Operands) == 0 {
		return
	}
	acc, ok := c.Elems(op.Operands[0])
	for _, v := range op.Operands[1:] {
		e, known := c.Elems(v)
		if !ok || !known {
			return
		}
		acc, ok = zipElems(acc, e, f)
	}
	if ok {
		c.setIntElems(op, acc)
	}
}

func zipElems(a, b []Dim, f func(a, b Dim) (Dim, bool)) ([]Dim, bool) {
	n := max(len(a), len(b))
	if len(a) == 0 || len(b) == 0 {
		n = 0
	}
	out := make([]Dim, n)
	for i := range out {
		x, ok := f(a[i%len(a)], b[i%len(b)])
		if !ok {
			return nil, false
		}
		out[i] = x
	}
	return out, true
}

func inferCompare(c *InferCtx, op *Op) error {
	if _, err := sameDType(op, 0); err != nil {
		return err
	}
	if err := c.broadcastAll(op, tensor.Bool); err != nil {
		return err
	}
	if f := elemCompare[op.Name()]; f != nil {
		c.foldElems(op, func(a, b Dim) (Dim, bool) {
			yes, known := f(a, b)
			if yes {
				return Const(1), known
			}
			return Dim{}, known
		})
	}
	return nil
}

// elemCompare compares symbolic elements; known is false where the answer depends on the symbols.
var elemCompare = map[string]func(a, b Dim) (yes, known bool){
	"Equal": func(a, b Dim) (bool, bool) {
		return a.Equal(b), a.Equal(b) || less(a, b) || less(b, a)
	},
	"Less":           func(a, b Dim) (bool, bool) { return less(a, b), less(a, b) || lessEq(b, a) },
	"Greater":        func(a, b Dim) (bool, bool) { return less(b, a), less(b, a) || lessEq(a, b) },
	"LessOrEqual":    func(a, b Dim) (bool, bool) { return lessEq(a, b), lessEq(a, b) || less(b, a) },
	"GreaterOrEqual": func(a, b Dim) (bool, bool) { return lessEq(b, a), lessEq(b, a) || less(a, b) },
}

// lessEq reports whether a <= b whatever the symbols are.
func lessEq(a, b Dim) bool { return b.Sub(a).NonNegative() }

// less reports whether a < b whatever the symbols are.
func less(a, b Dim) bool { return b.Sub(a).AddInt(-1).NonNegative() }

func inferWhere(c *InferCtx, op *Op) error {
	if v := op.Operands[0]; v.Type.DType != tensor.Invalid && v.Type.DType != tensor.Bool {
		return op.Errorf("condition %q is %v, want bool", v.Name, v.Type)
	}
	d, err := sameDType(op, 1)
	if err != nil {
		return err
	}
	if err := c.broadcastAll(op, d); err != nil {
		return err
	}
	cond, ok := c.Ints(op.Operand(0))
	x, ok1 := c.Elems(op.Operand(1))
	y, ok2 := c.Elems(op.Operand(2))
	r := op.Result(0)
	if !ok || !ok1 || !ok2 || r == nil || len(r.Type.Shape) > 1 || len(cond)*len(x)*len(y) == 0 {
		return nil
	}
	out := make([]Dim, max(len(cond), len(x), len(y)))
	for i := range out {
		out[i] = y[i%len(y)]
		if cond[i%len(cond)] != 0 {
			out[i] = x[i%len(x)]
		}
	}
	c.setIntElems(op, out)
	return nil
}
