package passes

import (
	"math"
	"slices"

	"github.com/nnc-go/nnc/ir"
)

// linearRules move per-channel scales and shifts into the weights and biases of linear ops. They round
// differently (the scale is applied before the sum instead of after it), hence inexact.
var linearRules = []*rule{
	{"bn-split", []string{"BatchNormalization"}, "BN(x, s, b, m, v) -> x*a + (b - m*a), a = s/sqrt(v+eps), constants", true, bnSplit},
	{"linear-sub", []string{"Sub"}, "linear(x) - c -> linear(x) + (-c) (exact)", false, linearSub},
	{"linear-scale", []string{"Mul", "Div"}, "linear(x, W, B) * c -> linear(x, W*c, B*c), c constant per output channel", true, linearScale},
	{"linear-shift", []string{"Add"}, "linear(x, W, B) + c -> linear(x, W, B+c), c constant per output channel", true, linearShift},
}

// linearOp is an op that is linear in its first operand with constant f32 weights.
type linearOp struct {
	op   *ir.Op
	w, b *ir.Data // b is nil when there is none
	n    int64    // output channels
	axis int      // of the channels in the result
}

// linear matches v = Conv, ConvTranspose, Gemm or MatMul with constant weights and bias, used once.
func (rw *rewriter) linear(v *ir.Value) *linearOp {
	op := def(v, "Conv", "ConvTranspose", "Gemm", "MatMul")
	if op == nil || !rw.single(v) || !isF32(v) || len(v.Type.Shape) < 2 {
		return nil
	}
	l := &linearOp{op: op, w: ir.ConstOf(op.Operands[1]), b: ir.ConstOf(op.Operand(2)), axis: 1}
	if l.w == nil || op.Operand(2) != nil && l.b == nil {
		return nil
	}
	switch op.Name() {
	case "Conv":
		l.n = l.w.Shape[0]
	case "ConvTranspose":
		l.n = l.w.Shape[1] * op.Attrs.Int("group", 1)
	case "Gemm":
		l.n = l.w.Shape[1-op.Attrs.Int("transB", 0)]
	case "MatMul":
		if len(l.w.Shape) != 2 {
			return nil
		}
		l.n, l.axis = l.w.Shape[1], len(v.Type.Shape)-1
	}
	if op.Name() == "Gemm" && l.b != nil && !(len(l.b.Shape) <= 1 || len(l.b.Shape) == 2 && l.b.Shape[0] == 1) {
		return nil // a bias per row
	}
	return l
}

// channelOf gives which output channel weight i belongs to.
func (l *linearOp) channelOf() func(i int64) int64 {
	s := l.w.Shape
	inner := int64(1)
	switch l.op.Name() {
	case "Conv":
		for _, d := range s[1:] {
			inner *= d
		}
		return func(i int64) int64 { return i / inner }
	case "ConvTranspose": // [I, O/groups, ...]: rows of a group hold its own outputs
		for _, d := range s[2:] {
			inner *= d
		}
		perGroup := s[0] / l.op.Attrs.Int("group", 1)
		return func(i int64) int64 { return i/(inner*s[1])/perGroup*s[1] + i/inner%s[1] }
	}
	if l.op.Attrs.Int("transB", 0) != 0 {
		return func(i int64) int64 { return i / s[1] }
	}
	return func(i int64) int64 { return i % s[1] }
}

// bias gives the bias per channel, with Gemm's beta in it; zeros when there is none.
func (l *linearOp) bias() []float64 {
	out := make([]float64, l.n)
	if l.b == nil {
		return out
	}
	b := f64s(l.b)
	if len(b) == 0 || int64(len(b)) != 1 && int64(len(b)) != l.n {
		return nil
	}
	beta := 1.0
	if l.op.Name() == "Gemm" {
		beta = l.op.Attrs.Float("beta", 1)
	}
	if beta == 0 {
		return out
	}
	for i := range out {
		out[i] = b[i%len(b)] * beta
	}
	return out
}

// rebuild makes the op with other weights and bias; a nil keeps what was there.
func (l *linearOp) rebuild(rw *rewriter, w *ir.Data, b []float64) *ir.Value {
	wv := l.op.Operands[1]
	if w != nil {
		wv = rw.constant(w)
	}
	args := []*ir.Value{l.op.Operands[0], wv}
	attrs := ir.Attrs{}
	for k, v := range l.op.Attrs {
		attrs[k] = v
	}
	if b != nil {
		args = append(args, rw.constant(floatData(l.w.DType, b, l.n)))
		delete(attrs, "beta")
	}
	rw.origin = l.op.Origin
	return rw.op(l.op.Name(), attrs, args...)
}

// perChannel gives the n values of a float constant that, broadcast to a tensor of the given rank,
// varies along axis alone.
func perChannel(v *ir.Value, rank, axis int, n int64) []float64 {
	d := ir.ConstOf(v)
	if d == nil || len(d.Shape) > rank || d.Len() != 1 && d.Len() != n {
		return nil
	}
	for i, s := range d.Shape {
		if s != 1 && i+rank-len(d.Shape) != axis {
			return nil
		}
	}
	x := f64s(d)
	if x == nil {
		return nil
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = x[i%len(x)]
	}
	return out
}

// linearAndConst matches op(linear, c): the linear op and c per channel.
func (rw *rewriter) linearAndConst(op *ir.Op) (*linearOp, []float64) {
	x, c := op.Operands[0], op.Operands[1]
	if ir.ConstOf(c) == nil && op.Name() != "Div" && op.Name() != "Sub" {
		x, c = c, x
	}
	l := rw.linear(x)
	if l == nil {
		return nil, nil
	}
	return l, perChannel(c, len(x.Type.Shape), l.axis, l.n)
}

func linearScale(rw *rewriter, op *ir.Op) []*ir.Value {
	l, c := rw.linearAndConst(op)
	if c == nil {
		return nil
	}
	if op.Name() == "Div" {
		for i := range c {
			c[i] = 1 / c[i]
		}
	}
	if slices.ContainsFunc(c, func(x float64) bool { return math.IsInf(x, 0) || math.IsNaN(x) }) {
		return nil
	}
	w := f32s(l.w)
	if w == nil {
		return nil
	}
	ch := l.channelOf()
	for i := range w {
		w[i] = float32(float64(w[i]) * c[ch(int64(i))])
	}
	var b []float64
	if l.b != nil {
		if b = l.bias(); b == nil {
			return nil
		}
		for i := range b {
			b[i] *= c[i]
		}
	}
	return one(l.rebuild(rw, f32Data(w, l.w.Shape), b))
}

func linearShift(rw *rewriter, op *ir.Op) []*ir.Value {
	l, c := rw.linearAndConst(op)
	if c == nil || l.op.Name() == "MatMul" { // MatMul has no bias operand; fusion takes the Add as its epilogue
		return nil
	}
	b := l.bias()
	if b == nil {
		return nil
	}
	for i := range b {
		b[i] += c[i]
	}
	return one(l.rebuild(rw, nil, b))
}

func linearSub(rw *rewriter, op *ir.Op) []*ir.Value {
	l, c := rw.linearAndConst(op)
	if c == nil {
		return nil
	}
	d := ir.ConstOf(op.Operands[1])
	x := f64s(d)
	for i := range x {
		x[i] = -x[i]
	}
	rw.origin = op.Origin
	return one(rw.op("Add", nil, l.op.Results[0], rw.constant(floatData(d.DType, x, d.Shape...))))
}

func bnSplit(rw *rewriter, op *ir.Op) []*ir.Value {
	x := op.Operands[0]
	if !isF32(x) || len(x.Type.Shape) < 2 || len(op.Results) != 1 || op.Attrs.Int("training_mode", 0) != 0 {
		return nil
	}
	var p [4][]float64 // scale, shift, mean, variance
	for i := range p {
		if p[i] = f64s(ir.ConstOf(op.Operands[i+1])); p[i] == nil {
			return nil
		}
	}
	a, b := make([]float64, len(p[0])), make([]float64, len(p[0]))
	eps := float64(float32(op.Attrs.Float("epsilon", 1e-5)))
	for i := range a {
		a[i] = p[0][i] / math.Sqrt(p[3][i]+eps)
		b[i] = p[1][i] - p[2][i]*a[i]
	}
	shape := slices.Repeat([]int64{1}, len(x.Type.Shape)-1)
	shape[0] = int64(len(a))
	m := rw.op("Mul", nil, x, rw.constant(floatData(x.Type.DType, a, shape...)))
	return one(rw.op("Add", nil, m, rw.constant(floatData(x.Type.DType, b, shape...))))
}
