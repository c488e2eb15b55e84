package passes

import (
	"math"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// expandRules write ops as arithmetic of others, which lowering compiles and fuse takes together. They
// run at every level of optimisation, and round as kernels of the ops would: once more here and there
// than the reference functions, which compute in f64.
var expandRules = []*rule{
	{"ml-scaler", []string{"ml.Scaler"}, "Scaler(x) -> (x - offset) * scale", false, mlScaler},
	{"ml-normalizer", []string{"ml.Normalizer"}, "Normalizer(x) -> x / n, n = norm(x) or 1 where that is 0", false, mlNormalizer},
	{"ml-imputer", []string{"ml.Imputer"}, "Imputer(x) -> Where(x == old, new, x)", false, mlImputer},
	{"ml-binarizer", []string{"ml.Binarizer"}, "Binarizer(x) -> Cast(x > threshold)", false, mlBinarizer},
	{"ml-vectorizer", []string{"ml.FeatureVectorizer"}, "FeatureVectorizer(x...) -> Concat(x...), cut or padded to their widths", false, mlVectorizer},
	{"ml-extractor", []string{"ml.ArrayFeatureExtractor"}, "ArrayFeatureExtractor(x, i) -> Gather(x, i) along the last axis", false, mlExtractor},
	{"ml-labels", []string{"ml.TreeEnsembleClassifier"}, "string labels -> Gather(labels, number of the class)", false, mlLabels},
	{"ml-post", []string{"ml.TreeEnsembleRegressor", "ml.TreeEnsembleClassifier", "ml.TreeEnsemble"}, "post_transform -> arithmetic on the scores", false, mlPost},
	{"sequence-map", []string{"SequenceMap"}, "SequenceMap(s, x...){body} -> Loop(length of s){body of SequenceAt(s, i), x...; SequenceInsert}", false, sequenceMap},
	{"ml-linear-regressor", []string{"ml.LinearRegressor"}, "LinearRegressor(x) -> post(Gemm(x, w, b))", false, mlLinearRegressor},
	{"ml-linear-classifier", []string{"ml.LinearClassifier"}, "LinearClassifier(x) -> Gather(labels, ArgMax(s)), post(s), s = Gemm(x, w, b)", false, mlLinearClassifier},
	{"ml-svm-regressor", []string{"ml.SVMRegressor"}, "SVMRegressor(x) -> Gemm(kernel(x, v), c, rho)", false, mlSVMRegressor},
	{"ml-svm-classifier", []string{"ml.SVMClassifier"}, "SVMClassifier(x) -> s = Gemm(kernel(x, v), c, rho) for all pairs of classes; ArgMax of their votes", false, mlSVMClassifier},
}

// floats makes a constant of type d; a scalar without shape.
func (rw *rewriter) floats(d tensor.DType, shape []int64, v ...float64) *ir.Value {
	return rw.constant(floatData(d, v, shape...))
}

func (rw *rewriter) scalar(d tensor.DType, v float64) *ir.Value { return rw.floats(d, nil, v) }

func (rw *rewriter) ints(v ...int64) *ir.Value { return rw.constant(intData(v)) }

func (rw *rewriter) castTo(v *ir.Value, d tensor.DType) *ir.Value {
	if v.Type.DType == d {
		return v
	}
	return rw.op("Cast", ir.Attrs{"to": d}, v)
}

// isNumeric reports whether v is a tensor of known rank of one of the types that ai.onnx.ml takes.
func isNumeric(v *ir.Value, low, high int) bool {
	if !isTensor(v) || len(v.Type.Shape) < low || len(v.Type.Shape) > high {
		return false
	}
	switch v.Type.DType {
	case tensor.F32, tensor.F64, tensor.I32, tensor.I64:
		return true
	}
	return false
}

// working is x in the type that its features are computed in: f64 stays, all else is f32.
func (rw *rewriter) working(x *ir.Value) *ir.Value {
	if x.Type.DType == tensor.F64 {
		return x
	}
	return rw.castTo(x, tensor.F32)
}

// fits reports whether a list of n attributes applies to the features of x: one for all, or one for each.
func fits(n int, x *ir.Value) bool {
	d := x.Type.Shape[len(x.Type.Shape)-1]
	return n == 1 || n > 1 && d.Is(int64(n))
}

// perFeature is a list of attributes as an operand for x.
func (rw *rewriter) perFeature(d tensor.DType, v []float64) *ir.Value {
	if len(v) == 1 {
		return rw.scalar(d, v[0])
	}
	return rw.floats(d, []int64{int64(len(v))}, v...)
}

func mlScaler(rw *rewriter, op *ir.Op) []*ir.Value {
	x := op.Operands[0]
	offset, scale := op.Attrs.Floats("offset", []float64{0}), op.Attrs.Floats("scale", []float64{1})
	if !isNumeric(x, 1, 64) || !fits(len(offset), x) || !fits(len(scale), x) {
		return nil
	}
	x = rw.working(x)
	d := x.Type.DType
	y := rw.op("Mul", nil, rw.op("Sub", nil, x, rw.perFeature(d, offset)), rw.perFeature(d, scale))
	return one(rw.castTo(y, tensor.F32))
}

func mlNormalizer(rw *rewriter, op *ir.Op) []*ir.Value {
	x := op.Operands[0]
	reduce := map[string]string{"MAX": "ReduceMax", "L1": "ReduceL1", "L2": "ReduceL2"}[op.Attrs.Str("norm", "MAX")]
	if !isNumeric(x, 1, 2) || reduce == "" {
		return nil
	}
	x = rw.working(x)
	d := x.Type.DType
	n := rw.op(reduce, nil, x, rw.ints(-1))
	n = rw.op("Where", nil, rw.op("Equal", nil, n, rw.scalar(d, 0)), rw.scalar(d, 1), n)
	return one(rw.castTo(rw.op("Div", nil, x, n), tensor.F32))
}

func mlImputer(rw *rewriter, op *ir.Op) []*ir.Value {
	x := op.Operands[0]
	if !isNumeric(x, 1, 64) {
		return nil
	}
	d := x.Type.DType
	if !d.IsFloat() {
		by := op.Attrs.Ints("imputed_value_int64s", nil)
		if !fits(len(by), x) {
			return nil
		}
		old := rw.castTo(rw.constant(ir.DataOf(tensor.Of([]int64{op.Attrs.Int("replaced_value_int64", 0)}))), d)
		return one(rw.op("Where", nil, rw.op("Equal", nil, x, old), rw.castTo(rw.ints(by...), d), x))
	}
	by, old := op.Attrs.Floats("imputed_value_floats", nil), op.Attrs.Float("replaced_value_float", 0)
	if !fits(len(by), x) {
		return nil
	}
	missing := rw.op("IsNaN", nil, x)
	if old == old {
		missing = rw.op("Equal", nil, x, rw.scalar(d, old))
	}
	return one(rw.op("Where", nil, missing, rw.perFeature(d, by), x))
}

func mlBinarizer(rw *rewriter, op *ir.Op) []*ir.Value {
	x, t := op.Operands[0], op.Attrs.Float("threshold", 0)
	if !isNumeric(x, 0, 64) {
		return nil
	}
	d := x.Type.DType
	if d.IsFloat() {
		return one(rw.castTo(rw.op("Greater", nil, x, rw.scalar(d, t)), d))
	}
	// An integer is greater than t if it is greater than the integer below t.
	t = math.Floor(t)
	if !(t >= math.MinInt32 && t <= math.MaxInt32) {
		return nil
	}
	limit := rw.castTo(rw.constant(ir.DataOf(tensor.Of([]int64{int64(t)}))), d)
	return one(rw.castTo(rw.op("Greater", nil, x, limit), d))
}

// matrix is x as [N,F]: a vector is one row.
func (rw *rewriter) matrix(x *ir.Value) *ir.Value {
	if len(x.Type.Shape) == 2 {
		return x
	}
	return rw.op("Unsqueeze", nil, x, rw.ints(0))
}

func mlVectorizer(rw *rewriter, op *ir.Op) []*ir.Value {
	dims := op.Attrs.Ints("inputdimensions", nil)
	var parts []*ir.Value
	for i, x := range op.Operands {
		if !isNumeric(x, 1, 2) {
			return nil
		}
		x = rw.castTo(rw.matrix(x), tensor.F32)
		if dims != nil {
			w := x.Type.Shape[1]
			switch {
			case !w.IsConst():
				return nil
			case w.Value() > dims[i]:
				x = rw.op("Slice", nil, x, rw.ints(0), rw.ints(dims[i]), rw.ints(1))
			case w.Value() < dims[i]:
				x = rw.op("Pad", nil, x, rw.ints(0, 0, 0, dims[i]-w.Value()))
			}
		}
		parts = append(parts, x)
	}
	return one(rw.op("Concat", ir.Attrs{"axis": int64(1)}, parts...))
}

func mlExtractor(rw *rewriter, op *ir.Op) []*ir.Value {
	x, idx := op.Operands[0], op.Operands[1]
	if !isTensor(x) || len(x.Type.Shape) == 0 || !isTensor(idx) {
		return nil
	}
	if len(x.Type.Shape) == 1 {
		x = rw.matrix(x)
	}
	if len(idx.Type.Shape) != 1 {
		idx = rw.op("Reshape", nil, idx, rw.ints(-1))
	}
	return one(rw.op("Gather", ir.Attrs{"axis": int64(-1)}, x, idx))
}

// without is op with other attributes: those that are nil are gone.
func (rw *rewriter) without(op *ir.Op, changes ir.Attrs) *ir.Op {
	attrs := ir.Attrs{}
	for k, v := range op.Attrs {
		attrs[k] = v
	}
	for k, v := range changes {
		if v == nil {
			delete(attrs, k)
		} else {
			attrs[k] = v
		}
	}
	n := rw.s.M.NewOp(op.Name(), op.Operands, len(op.Results), attrs, op.Origin)
	for i, v := range op.Results {
		if v == nil {
			n.Results[i] = nil
		}
	}
	rw.insert(n)
	return n
}

// labelsOf picks labels by the numbers of classes.
func (rw *rewriter) labelsOf(numbers *ir.Value, ints []int64, strs []string) *ir.Value {
	d := intData(ints)
	if len(strs) > 0 {
		d = ir.DataOf(tensor.OfStrings(strs, int64(len(strs))))
	}
	return rw.op("Gather", nil, rw.constant(d), numbers)
}

func mlLabels(rw *rewriter, op *ir.Op) []*ir.Value {
	strs := op.Attrs.Strs("classlabels_strings", nil)
	if len(strs) == 0 {
		return nil
	}
	numbers := make([]int64, len(strs))
	for i := range numbers {
		numbers[i] = int64(i)
	}
	n := rw.without(op, ir.Attrs{"classlabels_strings": nil, "classlabels_int64s": numbers})
	res := slices.Clone(n.Results)
	if res[0] != nil {
		res[0] = rw.labelsOf(res[0], nil, strs)
	}
	return res
}

// ensembleTransforms are the names of TreeEnsemble's numbers.
var ensembleTransforms = []string{"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"}

func mlPost(rw *rewriter, op *ir.Op) []*ir.Value {
	name := op.Attrs.Str("post_transform", "NONE")
	if i := op.Attrs.Int("post_transform", 0); i > 0 && i < int64(len(ensembleTransforms)) {
		name = ensembleTransforms[i]
	}
	last := len(op.Results) - 1
	scores := op.Results[last]
	if name == "NONE" || scores == nil || postTransforms[name] == nil || op.Name() == "ml.TreeEnsembleClassifier" && last != 1 {
		return nil
	}
	n := rw.without(op, ir.Attrs{"post_transform": nil})
	res := slices.Clone(n.Results)
	if !(op.Name() == "ml.TreeEnsembleClassifier" && name != "PROBIT" && positiveBinary(op)) {
		res[last] = rw.post(name, res[last])
	}
	return res
}

// positiveBinary reports whether a tree classifier gives probabilities of its own: two classes of which
// the leaves score one, by weights that are all positive.
func positiveBinary(op *ir.Op) bool {
	ids := op.Attrs.Ints("class_ids", nil)
	labels := max(len(op.Attrs.Ints("classlabels_int64s", nil)), len(op.Attrs.Strs("classlabels_strings", nil)))
	if labels != 2 || len(ids) == 0 || ids[0] > 1 || slices.ContainsFunc(ids, func(i int64) bool { return i != ids[0] }) {
		return false
	}
	negative := func(x float64) bool { return x < 0 }
	base, w := op.Attrs.Floats("base_values", nil), op.Attrs.Floats("class_weights", nil)
	if d, ok := op.Attrs["base_values_as_tensor"].(*ir.Data); ok {
		base = f64s(d)
	}
	if d, ok := op.Attrs["class_weights_as_tensor"].(*ir.Data); ok {
		w = f64s(d)
	}
	return len(base) < 2 && !slices.ContainsFunc(w, negative)
}
