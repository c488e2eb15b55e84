package ir

import (
	"slices"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// rowsOf is the number of rows of operand 0, [N,F] or [F], which stands for [1,F].
func (c *InferCtx) rowsOf(op *Op) (Dim, error) {
	t := op.Operands[0].Type
	if !t.Ranked {
		return c.Fresh(), nil
	}
	if err := wantRank(op, 0, 1, 2); err != nil {
		return Dim{}, err
	}
	if len(t.Shape) == 1 {
		return Const(1), nil
	}
	return t.Shape[0], nil
}

// regressor types f32[N, columns].
func (c *InferCtx) regressor(op *Op, columns int64) error {
	n, err := c.rowsOf(op)
	if err != nil {
		return err
	}
	shape := []Dim{n, Const(columns)}
	return firstErr(noNegative(op, shape), c.set(op, tensor.F32, shape))
}

func inferTreeRegressor(c *InferCtx, op *Op) error {
	return c.regressor(op, op.Attrs.Int("n_targets", 1))
}

func inferLinearRegressor(c *InferCtx, op *Op) error {
	n := op.Attrs.Int("targets", 1)
	return firstErr(wantList(op, "coefficients", n), c.regressor(op, n))
}

// classifier types the labels [N] and scores [N, classes]; ints and strs name the attributes of labels.
func (c *InferCtx) classifier(op *Op, ints, strs string, classes int) error {
	n, err := c.rowsOf(op)
	if err != nil {
		return err
	}
	labels, d := len(op.Attrs.Ints(ints, nil)), tensor.I64
	if s := op.Attrs.Strs(strs, nil); len(s) > 0 {
		labels, d = len(s), tensor.String
	}
	c.Set(op, 0, d, []Dim{n})
	c.Set(op, 1, tensor.F32, []Dim{n, Const(int64(max(labels, classes)))})
	return nil
}

func inferTreeClassifier(c *InferCtx, op *Op) error {
	return c.classifier(op, "classlabels_int64s", "classlabels_strings", 0)
}

func inferLinearClassifier(c *InferCtx, op *Op) error {
	return c.classifier(op, "classlabels_ints", "classlabels_strings", len(op.Attrs.Floats("intercepts", nil)))
}

func inferToF32(c *InferCtx, op *Op) error { return c.like(op, 0, tensor.F32) }

func inferArrayFeatureExtractor(c *InferCtx, op *Op) error {
	t, ix := op.Operands[0].Type, op.Operands[1].Type
	if !t.Ranked {
		return c.unranked(op, t.DType)
	}
	if err := wantRank(op, 0, 1, anyRank); err != nil {
		return err
	}
	n := c.Fresh()
	if ix.Ranked {
		n = Product(ix.Shape)
	}
	lead := slices.Clone(t.Shape[:len(t.Shape)-1])
	if len(lead) == 0 {
		lead = Dims(1)
	}
	return c.set(op, t.DType, append(lead, n))
}

func inferTreeEnsemble(c *InferCtx, op *Op) error {
	if d := dtypeOf(op, 0); !d.IsFloat() && d != tensor.Invalid {
		return op.Errorf("operand %q is %v, want floats", op.Operands[0].Name, op.Operands[0].Type)
	}
	n, err := c.rowsOf(op)
	if err != nil {
		return err
	}
	shape := []Dim{n, Const(op.Attrs.Int("n_targets", 1))}
	return firstErr(noNegative(op, shape), c.set(op, dtypeOf(op, 0), shape))
}

func inferSVMRegressor(c *InferCtx, op *Op) error {
	if n := op.Attrs.Int("n_supports", 0); n > 0 {
		if err := wantList(op, "support_vectors", n); err != nil {
			return err
		}
	}
	return c.regressor(op, 1)
}

func inferSVMClassifier(c *InferCtx, op *Op) error {
	if err := c.classifier(op, "classlabels_ints", "classlabels_strings", 0); err != nil {
		return err
	}
	vectors := int64(0)
	for _, n := range op.Attrs.Ints("vectors_per_class", nil) {
		vectors += n
	}
	// One score per pair of classes.
	n := int64(max(len(op.Attrs.Ints("classlabels_ints", nil)), len(op.Attrs.Strs("classlabels_strings", nil))))
	if z := op.Result(1); z != nil && vectors > 0 && n > 2 && len(op.Attrs.Floats("prob_a", nil)) == 0 {
		z.Type.Shape[1] = Const(n * (n - 1) / 2)
	}
	return nil
}

func inferFeatureVectorizer(c *InferCtx, op *Op) error {
	if len(op.Operands) == 0 {
		return op.Errorf("no operands, want at least one")
	}
	dims := op.Attrs.Ints("inputdimensions", nil)
	if dims != nil && len(dims) != len(op.Operands) {
		return op.Errorf("%d inputdimensions for %d operands", len(dims), len(op.Operands))
	}
	rows, width := c.Fresh(), Const(0)
	for i, v := range op.Operands {
		w := c.Fresh()
		if v.Type.Ranked {
			if err := wantRank(op, i, 1, 2); err != nil {
				return err
			}
			n := Const(1)
			if len(v.Type.Shape) == 2 {
				n = v.Type.Shape[0]
			}
			w = v.Type.Shape[len(v.Type.Shape)-1]
			if i > 0 && op.Operands[i-1].Type.Ranked {
				var err error
				if n, err = unify(op, "the number of rows", rows, n); err != nil {
					return err
				}
			}
			rows = n
		}
		if dims != nil {
			w = Const(dims[i])
		}
		width = width.Add(w)
	}
	shape := []Dim{rows, width}
	return firstErr(noNegative(op, shape), c.set(op, tensor.F32, shape))
}

func inferOneHotEncoder(c *InferCtx, op *Op) error {
	ints, strs := len(op.Attrs.Ints("cats_int64s", nil)), len(op.Attrs.Strs("cats_strings", nil))
	if (ints > 0) == (strs > 0) {
		return op.Errorf("%d cats_int64s and %d cats_strings, want some of one of them", ints, strs)
	}
	if d := dtypeOf(op, 0); d != tensor.Invalid && (d == tensor.String) != (strs > 0) {
		return op.Errorf("operand %q is %v, which the categories are not", op.Operands[0].Name, op.Operands[0].Type)
	}
	t := op.Operands[0].Type
	if !t.Ranked {
		return c.unranked(op, tensor.F32)
	}
	return c.set(op, tensor.F32, append(slices.Clone(t.Shape), Const(int64(ints+strs))))
}

func inferLabelEncoder(c *InferCtx, op *Op) error {
	keys, _ := op.Attrs["keys_tensor"].(*Data)
	values, _ := op.Attrs["values_tensor"].(*Data)
	def, _ := op.Attrs["default_tensor"].(*Data)
	switch {
	case keys == nil || values == nil || def == nil:
		return op.Errorf("keys_tensor, values_tensor or default_tensor is missing")
	case keys.Len() != values.Len():
		return op.Errorf("%d keys and %d values, want as many", keys.Len(), values.Len())
	case def.DType != values.DType || def.Len() != 1:
		return op.Errorf("default is %v, want one element of type %v", def.Type(), values.DType)
	case dtypeOf(op, 0) != keys.DType && dtypeOf(op, 0) != tensor.Invalid:
		return op.Errorf("operand %q is %v, want element type %v, that of the keys", op.Operands[0].Name, op.Operands[0].Type, keys.DType)
	}
	return c.like(op, 0, values.DType)
}

func inferCategoryMapper(c *InferCtx, op *Op) error {
	switch d := dtypeOf(op, 0); d {
	case tensor.String:
		return c.like(op, 0, tensor.I64)
	case tensor.I64:
		return c.like(op, 0, tensor.String)
	case tensor.Invalid:
		return c.like(op, 0, tensor.Invalid)
	}
	return op.Errorf("operand %q is %v, want string or i64", op.Operands[0].Name, op.Operands[0].Type)
}

func inferZipMap(c *InferCtx, op *Op) error {
	ints, strs := len(op.Attrs.Ints("classlabels_int64s", nil)), len(op.Attrs.Strs("classlabels_strings", nil))
	if (ints > 0) == (strs > 0) {
		return op.Errorf("%d classlabels_int64s and %d classlabels_strings, want some of one of them", ints, strs)
	}
	t := op.Operands[0].Type
	if t.Ranked {
		if err := wantRank(op, 0, 1, 2); err != nil {
			return err
		}
		if d := t.Shape[len(t.Shape)-1]; d.IsConst() && !d.Is(int64(ints+strs)) {
			return op.Errorf("operand %q is %v for %d class labels", op.Operands[0].Name, t, ints+strs)
		}
	}
	key, elem := tensor.I64, TensorType(t.DType)
	if strs > 0 {
		key = tensor.String
	}
	c.SetType(op, 0, seqOf(Type{Kind: KindMap, DType: key, Elem: &elem}))
	return nil
}

// mapOperand is the type of operand 0, which must be a map with keys of type key (Invalid for any).
func mapOperand(op *Op, key tensor.DType) (Type, error) {
	v := op.Operands[0]
	if v.Type.Untyped() {
		return Type{Kind: KindMap}, nil
	}
	if v.Type.Kind != KindMap || key != tensor.Invalid && v.Type.DType != key {
		return Type{}, op.Errorf("operand %q is %v, want a map with keys of type %v", v.Name, v.Type, key)
	}
	return v.Type, nil
}

func inferDictVectorizer(c *InferCtx, op *Op) error {
	ints, strs := len(op.Attrs.Ints("int64_vocabulary", nil)), len(op.Attrs.Strs("string_vocabulary", nil))
	key := tensor.I64
	if strs > 0 {
		key = tensor.String
	}
	if (ints > 0) == (strs > 0) {
		return op.Errorf("%d words in int64_vocabulary and %d in string_vocabulary, want some in one of them", ints, strs)
	}
	t, err := mapOperand(op, key)
	if err != nil {
		return err
	}
	d := op.Attrs.DType("dtype", tensor.F32)
	if t.Elem != nil && t.Elem.DType != tensor.Invalid && t.Elem.DType != d {
		return op.Errorf("operand %q is %v, want values of type %v", op.Operands[0].Name, t, d)
	}
	return c.set(op, d, Dims(1, int64(ints+strs)))
}

func inferCastMap(c *InferCtx, op *Op) error {
	if _, err := mapOperand(op, tensor.I64); err != nil {
		return err
	}
	d, ok := map[string]tensor.DType{"TO_FLOAT": tensor.F32, "TO_STRING": tensor.String, "TO_INT64": tensor.I64}[op.Attrs.Str("cast_to", "TO_FLOAT")]
	if !ok {
		return op.Errorf("cast_to is %q, want TO_FLOAT, TO_STRING or TO_INT64", op.Attrs.Str("cast_to", ""))
	}
	n := c.Fresh()
	if op.Attrs.Str("map_form", "DENSE") == "SPARSE" {
		n = Const(op.Attrs.Int("max_map", 1))
	}
	shape := []Dim{Const(1), n}
	return firstErr(noNegative(op, shape), c.set(op, d, shape))
}

func inferSquaredDistance(c *InferCtx, op *Op) error {
	if err := firstErr(wantRank(op, 0, 2, 2), wantRank(op, 1, 2, 2)); err != nil {
		return err
	}
	x, y := op.Operands[0].Type, op.Operands[1].Type
	if _, err := unify(op, "the number of features", x.Shape[1], y.Shape[0]); err != nil {
		return err
	}
	if x.DType != y.DType {
		return op.Errorf("operands of element types %v and %v, want the same", x.DType, y.DType)
	}
	return c.set(op, x.DType, []Dim{x.Shape[0], y.Shape[1]})
}

func inferPairwiseCoupling(c *InferCtx, op *Op) error {
	if err := wantRank(op, 0, 2, 2); err != nil {
		return err
	}
	n := op.Attrs.Int("classes", 2)
	if d := op.Operands[0].Type.Shape[1]; n < 2 || d.IsConst() && !d.Is(n*(n-1)/2) {
		return op.Errorf("operand is %v for the pairs of %d classes", op.Operands[0].Type, n)
	}
	return c.set(op, tensor.F32, []Dim{op.Operands[0].Type.Shape[0], Const(n)})
}
