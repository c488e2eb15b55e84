package passes

import (
	"math"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// postTransforms map scores [N,C], row by row.
var postTransforms = map[string]func(rw *rewriter, s *ir.Value) *ir.Value{
	"NONE":         func(_ *rewriter, s *ir.Value) *ir.Value { return s },
	"LOGISTIC":     func(rw *rewriter, s *ir.Value) *ir.Value { return rw.op("Sigmoid", nil, s) },
	"SOFTMAX":      func(rw *rewriter, s *ir.Value) *ir.Value { return rw.op("Softmax", ir.Attrs{"axis": int64(-1)}, s) },
	"SOFTMAX_ZERO": (*rewriter).softmaxZero,
	"PROBIT":       (*rewriter).probit,
}

// post applies a transform to scores, to half floats in f32.
func (rw *rewriter) post(name string, s *ir.Value) *ir.Value {
	if s.Type.DType != tensor.F16 {
		return postTransforms[name](rw, s)
	}
	return rw.castTo(postTransforms[name](rw, rw.castTo(s, tensor.F32)), tensor.F16)
}

// softmaxZero is softmax over the scores that are not 0; those stay (nearly) 0.
func (rw *rewriter) softmaxZero(s *ir.Value) *ir.Value {
	d, last := s.Type.DType, rw.ints(-1)
	m := rw.op("ReduceMax", nil, s, last)
	some := rw.op("Greater", nil, rw.op("Abs", nil, s), rw.scalar(d, 1e-7))
	e := rw.op("Exp", nil, rw.op("Sub", nil, s, m))
	sum := rw.op("ReduceSum", nil, rw.op("Where", nil, some, e, rw.scalar(d, 0)), last)
	sum = rw.op("Where", nil, rw.op("Equal", nil, sum, rw.scalar(d, 0)), rw.scalar(d, 1), sum)
	zero := rw.op("Mul", nil, s, rw.op("Exp", nil, rw.op("Neg", nil, m)))
	return rw.op("Div", nil, rw.op("Where", nil, some, e, zero), sum)
}

// probit is the approximation that the reference function has: with x = 2s-1, l = log(1-x*x) and v =
// 2/(pi*a) + l/2, it is sqrt(2) * sign(x) * sqrt(sqrt(v*v - l/a) - v). The logarithm near 1 and the
// difference of nearly equal numbers are written so that they keep their digits.
func (rw *rewriter) probit(s *ir.Value) *ir.Value {
	const a = 0.147
	d := s.Type.DType
	k := func(x float64) *ir.Value { return rw.scalar(d, x) }
	add, sub := func(x, y *ir.Value) *ir.Value { return rw.op("Add", nil, x, y) }, func(x, y *ir.Value) *ir.Value { return rw.op("Sub", nil, x, y) }
	mul, div := func(x, y *ir.Value) *ir.Value { return rw.op("Mul", nil, x, y) }, func(x, y *ir.Value) *ir.Value { return rw.op("Div", nil, x, y) }
	x := sub(add(s, s), k(1))
	y := rw.op("Neg", nil, mul(x, x))
	u := add(k(1), y)
	// log1p(y): what 1+y lost is added to the logarithm of the sum.
	l := add(rw.op("Log", nil, u), div(sub(y, sub(u, k(1))), rw.op("Max", nil, u, k(1e-30))))
	v := add(k(2/(math.Pi*a)), mul(l, k(0.5)))
	q := mul(l, k(-1/a))
	root := rw.op("Sqrt", nil, add(mul(v, v), q))
	// root - v is q / (root + v) where v is positive.
	diff := rw.op("Where", nil, rw.op("Greater", nil, v, k(0)), div(q, add(root, v)), sub(root, v))
	e := mul(rw.op("Sqrt", nil, diff), k(math.Sqrt2))
	return rw.op("Where", nil, rw.op("Less", nil, x, k(0)), rw.op("Neg", nil, e), e)
}
