package passes

import (
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// gemm is x [N,F] times the transpose of n rows of coefficients plus intercepts, of which there may be
// none; nil where their number does not fit. An F that only the run time knows is checked then.
func (rw *rewriter) gemm(x *ir.Value, coefficients, intercepts []float64, n int) *ir.Value {
	if n < 1 || len(coefficients)%n != 0 || len(intercepts) != 0 && len(intercepts) != n || !mayBe(x.Type.Shape[1], len(coefficients)/n) {
		return nil
	}
	d := x.Type.DType
	args := []*ir.Value{x, rw.floats(d, []int64{int64(n), int64(len(coefficients) / n)}, coefficients...)}
	if len(intercepts) > 0 {
		args = append(args, rw.floats(d, []int64{int64(n)}, intercepts...))
	}
	return rw.op("Gemm", ir.Attrs{"transB": int64(1)}, args...)
}

func mayBe(d ir.Dim, n int) bool { return !d.IsConst() || d.Is(int64(n)) }

// features is the operand of an op as rows of working type, nil where it is none.
func (rw *rewriter) features(op *ir.Op) *ir.Value {
	if !isNumeric(op.Operands[0], 1, 2) || postTransforms[op.Attrs.Str("post_transform", "NONE")] == nil {
		return nil
	}
	return rw.working(rw.matrix(op.Operands[0]))
}

// finish transforms scores as op says and makes f32 of them.
func (rw *rewriter) finish(op *ir.Op, s *ir.Value) *ir.Value {
	return rw.post(op.Attrs.Str("post_transform", "NONE"), rw.castTo(s, tensor.F32))
}

func mlLinearRegressor(rw *rewriter, op *ir.Op) []*ir.Value {
	x := rw.features(op)
	if x == nil {
		return nil
	}
	s := rw.gemm(x, op.Attrs.Floats("coefficients", nil), op.Attrs.Floats("intercepts", nil), int(op.Attrs.Int("targets", 1)))
	if s == nil {
		return nil
	}
	return one(rw.finish(op, s))
}

// best is the number of the column of s that is largest, the first of several.
func (rw *rewriter) best(s *ir.Value) *ir.Value {
	return rw.op("ArgMax", ir.Attrs{"axis": int64(1), "keepdims": int64(0)}, s)
}

// unwanted leaves out the results that op has not.
func unwanted(op *ir.Op, res ...*ir.Value) []*ir.Value { return res[:len(op.Results)] }

func mlLinearClassifier(rw *rewriter, op *ir.Op) []*ir.Value {
	x, a := rw.features(op), op.Attrs
	ints, strs, intercepts := a.Ints("classlabels_ints", nil), a.Strs("classlabels_strings", nil), a.Floats("intercepts", nil)
	classes := max(len(ints), len(strs))
	functions := classes
	if len(intercepts) > 0 {
		functions = len(intercepts)
	}
	if x == nil || functions != classes && functions != 1 {
		return nil
	}
	s := rw.gemm(x, a.Floats("coefficients", nil), intercepts, functions)
	if s == nil {
		return nil
	}
	if functions > 1 {
		return unwanted(op, rw.labelsOf(rw.best(s), ints, strs), rw.finish(op, s))
	}
	// One function: its sign chooses between two classes.
	d := s.Type.DType
	class := rw.castTo(rw.op("Greater", nil, rw.op("Squeeze", nil, s, rw.ints(1)), rw.scalar(d, 0)), tensor.I64)
	switch post := a.Str("post_transform", "NONE"); {
	case classes != 2:
		ints, strs = []int64{0, 1}, map[bool][]string{true: {"0", "1"}}[len(strs) > 0]
	case post == "NONE" || post == "PROBIT":
		s = rw.op("Concat", ir.Attrs{"axis": int64(1)}, rw.op("Sub", nil, rw.scalar(d, 1), s), s)
	default:
		s = rw.op("Concat", ir.Attrs{"axis": int64(1)}, rw.op("Neg", nil, s), s)
	}
	return unwanted(op, rw.labelsOf(class, ints, strs), rw.finish(op, s))
}

// svmKernel applies the kernel of an SVM to the rows of x and each of n support vectors, [N,n]; nil where
// the support vectors do not fit.
func (rw *rewriter) svmKernel(op *ir.Op, x *ir.Value, n int) *ir.Value {
	kind, sv, d := op.Attrs.Str("kernel_type", "LINEAR"), op.Attrs.Floats("support_vectors", nil), x.Type.DType
	params := append(slices.Clone(op.Attrs.Floats("kernel_params", nil)), 0, 0, 0)
	gamma, coef0, degree := params[0], params[1], params[2]
	if kind == "RBF" {
		if len(sv)%n != 0 || !mayBe(x.Type.Shape[1], len(sv)/n) {
			return nil
		}
		f := len(sv) / n
		columns := make([]float64, len(sv))
		for i, v := range sv {
			columns[i%f*n+i/f] = v
		}
		dist := rw.op("SquaredDistance", nil, x, rw.floats(d, []int64{int64(f), int64(n)}, columns...))
		return rw.op("Exp", nil, rw.op("Mul", nil, dist, rw.scalar(d, -gamma)))
	}
	s := rw.gemm(x, sv, nil, n)
	if s == nil || kind == "LINEAR" {
		return s
	}
	s = rw.op("Add", nil, rw.op("Mul", nil, s, rw.scalar(d, gamma)), rw.scalar(d, coef0))
	switch kind {
	case "POLY":
		return rw.op("Pow", nil, s, rw.scalar(d, degree))
	case "SIGMOID":
		return rw.op("Tanh", nil, s)
	}
	return nil
}

func mlSVMRegressor(rw *rewriter, op *ir.Op) []*ir.Value {
	x, n, rho := rw.features(op), int(op.Attrs.Int("n_supports", 0)), op.Attrs.Floats("rho", nil)
	if x == nil || len(rho) == 0 {
		return nil
	}
	if n > 0 {
		if x = rw.svmKernel(op, x, n); x == nil {
			return nil
		}
	}
	s := rw.gemm(x, op.Attrs.Floats("coefficients", nil), rho[:1], 1)
	if s == nil {
		return nil
	}
	if op.Attrs.Int("one_class", 0) != 0 {
		d := s.Type.DType
		s = rw.op("Where", nil, rw.op("Greater", nil, s, rw.scalar(d, 0)), rw.scalar(d, 1), rw.scalar(d, -1))
	}
	return one(rw.finish(op, s))
}

// maxPairWeights bounds the matrix from support vectors to pairs of classes, most of which is zeros.
const maxPairWeights = 1 << 24

func mlSVMClassifier(rw *rewriter, op *ir.Op) []*ir.Value {
	x, a := rw.features(op), op.Attrs
	ints, strs, rho := a.Ints("classlabels_ints", nil), a.Strs("classlabels_strings", nil), a.Floats("rho", nil)
	classes := max(len(ints), len(strs))
	if x == nil || len(rho) == 0 || classes < 2 {
		return nil
	}
	perClass, vectors := a.Ints("vectors_per_class", nil), 0
	for _, n := range perClass {
		vectors += int(n)
	}
	if vectors == 0 {
		s := rw.gemm(x, a.Floats("coefficients", nil), slices.Repeat(rho[:1], classes), classes)
		if s == nil {
			return nil
		}
		return unwanted(op, rw.labelsOf(rw.best(s), ints, strs), rw.finish(op, s))
	}
	pairs := classes * (classes - 1) / 2
	weights := pairWeights(a.Floats("coefficients", nil), perClass, vectors)
	if weights == nil || len(perClass) != classes || len(rho) < pairs {
		return nil
	}
	k := rw.svmKernel(op, x, vectors)
	if k == nil {
		return nil
	}
	s := rw.gemm(k, weights, rho[:pairs], pairs)
	if s == nil {
		return nil
	}
	label := rw.labelsOf(rw.best(rw.votes(s, classes)), ints, strs)
	pa, pb := a.Floats("prob_a", nil), a.Floats("prob_b", nil)
	switch d := s.Type.DType; {
	case len(pa) != len(pb) || len(pa) != 0 && len(pa) < pairs:
		return nil
	case len(pa) > 0:
		neg := func(v []float64) *ir.Value {
			v = slices.Clone(v[:pairs])
			for i := range v {
				v[i] = -v[i]
			}
			return rw.floats(d, []int64{int64(pairs)}, v...)
		}
		s = rw.castTo(rw.op("Sigmoid", nil, rw.op("Add", nil, rw.op("Mul", nil, s, neg(pa)), neg(pb))), tensor.F32)
		s = rw.op("Clip", nil, s, rw.scalar(tensor.F32, 1e-7), rw.scalar(tensor.F32, 1-1e-7))
		s = rw.op("PairwiseCoupling", ir.Attrs{"classes": int64(classes)}, s)
	case classes == 2:
		s = rw.op("Concat", ir.Attrs{"axis": int64(1)}, rw.op("Neg", nil, s), s)
	}
	return unwanted(op, label, rw.finish(op, s))
}

// pairWeights spreads the coefficients of an SVM, [classes-1, vectors], to a row of weights for each pair
// of classes i < j: the vectors of i weigh as coefficient row j-1 says, those of j as row i, others nothing.
func pairWeights(coefficients []float64, perClass []int64, vectors int) []float64 {
	classes := len(perClass)
	pairs := classes * (classes - 1) / 2
	if len(coefficients) < (classes-1)*vectors || pairs*vectors > maxPairWeights {
		return nil
	}
	starts := []int{0}
	for i, n := range perClass {
		if n < 0 {
			return nil
		}
		starts = append(starts, starts[i]+int(n))
	}
	w := make([]float64, 0, pairs*vectors)
	for i := range classes {
		for j := i + 1; j < classes; j++ {
			row := make([]float64, vectors)
			copy(row[starts[i]:starts[i+1]], coefficients[(j-1)*vectors+starts[i]:])
			copy(row[starts[j]:starts[j+1]], coefficients[i*vectors+starts[j]:])
			w = append(w, row...)
		}
	}
	return w
}

// votes counts for each class the pairs in which it wins, by the signs of their scores.
func (rw *rewriter) votes(s *ir.Value, classes int) *ir.Value {
	pairs := classes * (classes - 1) / 2
	first, second := make([]float64, classes*pairs), make([]float64, classes) // what a positive score adds; what all negative ones give
	p := 0
	for i := range classes {
		for j := i + 1; j < classes; j++ {
			first[i*pairs+p], first[j*pairs+p] = 1, -1
			second[j]++
			p++
		}
	}
	won := rw.castTo(rw.op("Greater", nil, s, rw.scalar(s.Type.DType, 0)), tensor.F32)
	return rw.gemm(won, first, second, classes)
}
