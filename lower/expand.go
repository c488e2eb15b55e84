package lower

import (
	"fmt"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// expander lowers an op as other ops: those whose speed does not pay for a kernel of their own. It declines
// as a whole where one of them does; after an error it does nothing.
type expander struct {
	c   *Ctx
	op  *ir.Op
	err error
}

// one lowers an op with one result.
func (e *expander) one(name string, attrs ir.Attrs, operands ...*ir.Value) *ir.Value {
	return e.into(nil, name, attrs, operands...)
}

// into is one whose result lives where that of the expanded op does, if that is not nil.
func (e *expander) into(result *ir.Value, name string, attrs ir.Attrs, operands ...*ir.Value) *ir.Value {
	if attrs == nil {
		attrs = ir.Attrs{}
	}
	o := e.c.M.NewOp(name, operands, 1, attrs, e.op.Origin)
	if e.err != nil {
		return o.Results[0]
	}
	if e.err = e.c.infer.InferOp(o); e.err != nil {
		return o.Results[0]
	}
	if result != nil {
		st, err := e.c.define(result)
		if err != nil {
			e.err = e.op.Errorf("%w", err)
			return o.Results[0]
		}
		e.c.storage[o.Results[0]] = st
	} else if isView(o) {
		return o.Results[0]
	}
	r := e.c.rules[name]
	switch {
	case r == nil:
		e.err = fmt.Errorf("%w: no rule for %s", errDecline, name)
	case isView(o):
		e.err = e.c.copy(e.op, operands[0], o.Results[0])
	default:
		e.c.depth++ // as in a branch: later ops of the expansion may read the operands, so nothing is in place
		e.err = r(e.c, o)
		e.c.depth--
	}
	return o.Results[0]
}

// ints is a constant list of i64.
func (e *expander) ints(v ...int64) *ir.Value {
	return e.c.M.NewConst("", ir.DataOf(tensor.Of(v, int64(len(v))))).Results[0]
}

// scalar is a constant in f32 or f64.
func (e *expander) scalar(d tensor.DType, x float64) *ir.Value {
	t := tensor.Of([]float64{x})
	if d != tensor.F64 {
		t = tensor.Of([]float32{float32(x)})
	}
	return e.c.M.NewConst("", ir.DataOf(t)).Results[0]
}

// cast gives v in another element type.
func (e *expander) cast(v *ir.Value, d tensor.DType) *ir.Value {
	if v.Type.DType == d {
		return v
	}
	return e.one("Cast", ir.Attrs{"to": d}, v)
}

// finish makes result of an op on operands of another float type, perhaps.
func (e *expander) finish(result *ir.Value, name string, operands ...*ir.Value) error {
	if operands[0].Type.DType == result.Type.DType {
		e.into(result, name, nil, operands...)
	} else {
		e.into(result, "Cast", ir.Attrs{"to": result.Type.DType}, e.one(name, nil, operands...))
	}
	return e.err
}

// isFloatTensor reports whether v is a tensor of known rank in one of the four float types that kernels know.
func isFloatTensor(v *ir.Value) bool {
	return v.Type.Ranked && compiled(v.Type.DType) && v.Type.DType.IsFloat()
}

// expandMVN lowers MeanVarianceNormalization: (x-mean)/(sqrt(mean((x-mean)^2))+1e-9).
func expandMVN(c *Ctx, op *ir.Op) error {
	x := op.Operands[0]
	if !isFloatTensor(x) {
		return errDecline
	}
	e := &expander{c: c, op: op}
	ct := computeType(x.Type.DType)
	axes := e.ints(op.Attrs.Ints("axes", []int64{0, 2, 3})...)
	wide := e.cast(x, ct)
	d := e.one("Sub", nil, wide, e.one("ReduceMean", nil, wide, axes))
	dev := e.one("Add", nil, e.one("Sqrt", nil, e.one("ReduceMean", nil, e.one("Mul", nil, d, d), axes)), e.scalar(ct, 1e-9))
	return e.finish(op.Results[0], "Div", d, dev)
}

// expandLpNorm lowers LpNormalization: x divided by its norm along an axis, where that is not 0.
func expandLpNorm(c *Ctx, op *ir.Op) error {
	x := op.Operands[0]
	norm := map[int64]string{1: "ReduceL1", 2: "ReduceL2"}[op.Attrs.Int("p", 2)]
	if !isFloatTensor(x) || norm == "" {
		return errDecline
	}
	e := &expander{c: c, op: op}
	ct := computeType(x.Type.DType)
	wide := e.cast(x, ct)
	n := e.one(norm, nil, wide, e.ints(op.Attrs.Int("axis", -1)))
	n = e.one("Where", nil, e.one("Equal", nil, n, e.scalar(ct, 0)), e.scalar(ct, 1), n)
	return e.finish(op.Results[0], "Div", wide, n)
}

// expandGlobalLpPool lowers GlobalLpPool: (sum |x|^p)^(1/p) over all pixels.
func expandGlobalLpPool(c *Ctx, op *ir.Op) error {
	x := op.Operands[0]
	if !isFloatTensor(x) || x.Type.Rank() < 2 {
		return errDecline
	}
	var axes []int64
	for i := 2; i < x.Type.Rank(); i++ {
		axes = append(axes, int64(i))
	}
	e := &expander{c: c, op: op}
	at, p := e.ints(axes...), op.Attrs.Int("p", 2)
	if name := map[int64]string{1: "ReduceL1", 2: "ReduceL2"}[p]; name != "" && len(axes) > 0 {
		e.into(op.Results[0], name, nil, x, at)
		return e.err
	}
	ct := computeType(x.Type.DType)
	sum := e.one("Pow", nil, e.one("Abs", nil, e.cast(x, ct)), e.scalar(ct, float64(p)))
	if len(axes) > 0 {
		sum = e.one("ReduceSum", nil, sum, at)
	}
	return e.finish(op.Results[0], "Pow", sum, e.scalar(ct, 1/float64(p)))
}

// expandBatchNorm lowers BatchNormalization: with the moments of x in training mode, where running ones are
// results, else with those that are operands.
func expandBatchNorm(c *Ctx, op *ir.Op) error {
	x := op.Operands[0]
	ct := computeType(x.Type.DType)
	for _, v := range op.Operands {
		if !isFloatTensor(v) {
			return errDecline
		}
		if v.Type.DType == tensor.F64 {
			ct = tensor.F64
		}
	}
	rank := x.Type.Rank()
	if rank < 2 {
		return errDecline
	}
	e := &expander{c: c, op: op}
	axes := []int64{0}
	for i := 2; i < rank; i++ {
		axes = append(axes, int64(i))
	}
	all := e.ints(axes...)
	wide := e.cast(x, ct)
	perChannel := func(i int) *ir.Value { return e.one("Unsqueeze", nil, e.cast(op.Operands[i], ct), all) }
	mean, variance := perChannel(3), perChannel(4)
	if op.Attrs.Int("training_mode", 0) != 0 {
		momentum := op.Attrs.Float("momentum", 0.9)
		running := func(i int, old, now *ir.Value) {
			if v := op.Result(i); v != nil {
				old, now = e.one("Squeeze", nil, old, all), e.one("Squeeze", nil, now, all)
				e.finish(v, "Add", e.one("Mul", nil, old, e.scalar(ct, momentum)), e.one("Mul", nil, now, e.scalar(ct, 1-momentum)))
			}
		}
		now := e.one("ReduceMean", nil, wide, all)
		d := e.one("Sub", nil, wide, now)
		spread := e.one("ReduceMean", nil, e.one("Mul", nil, d, d), all)
		running(1, mean, now)
		running(2, variance, spread)
		mean, variance = now, spread
	}
	a := e.one("Div", nil, perChannel(1), e.one("Sqrt", nil, e.one("Add", nil, variance, e.scalar(ct, op.Attrs.Float("epsilon", 1e-5)))))
	y := e.one("Mul", nil, e.one("Sub", nil, wide, mean), a)
	return e.finish(op.Results[0], "Add", y, perChannel(2))
}
