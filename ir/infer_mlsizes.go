package ir

import (
	"slices"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// features is the number of features of operand 0, [N,F] or [F], where it is known.
func features(op *Op) (int64, bool) {
	t := op.Operands[0].Type
	if !t.Ranked || len(t.Shape) == 0 || !t.Shape[len(t.Shape)-1].IsConst() {
		return 0, false
	}
	return t.Shape[len(t.Shape)-1].Value(), true
}

// listLen is the length of an attribute that is a list.
func listLen(op *Op, attr string) int64 {
	switch v := op.Attrs[attr].(type) {
	case []int64:
		return int64(len(v))
	case []float64:
		return int64(len(v))
	case []string:
		return int64(len(v))
	}
	return 0
}

// perFeature is a rule that wants one number, or one for each feature, in every attribute given.
func perFeature(f inferFn, attrs ...string) inferFn {
	return func(c *InferCtx, op *Op) error {
		n, ok := features(op)
		for _, a := range attrs {
			if have := listLen(op, a); ok && have > 1 && have != n {
				return op.Errorf("%s has %d numbers, want 1 or one for each of the %d features of %v", a, have, n, op.Operands[0].Type)
			}
		}
		return f(c, op)
	}
}

// inferImputer wants the values that go with the type of the data.
func inferImputer(c *InferCtx, op *Op) error {
	d, attr := dtypeOf(op, 0), "imputed_value_int64s"
	if d.IsFloat() {
		attr = "imputed_value_floats"
	}
	if d != tensor.Invalid && listLen(op, attr) == 0 {
		return op.Errorf("%s is missing, want it for data of type %v", attr, op.Operands[0].Type)
	}
	return inferSame(c, op)
}

// sameLengths is a rule that wants lists of the same length.
func sameLengths(f inferFn, attrs ...string) inferFn {
	return func(c *InferCtx, op *Op) error {
		for _, a := range attrs[1:] {
			if n, m := listLen(op, attrs[0]), listLen(op, a); n != m {
				return op.Errorf("%s has %d elements and %s %d, want as many", attrs[0], n, a, m)
			}
		}
		return f(c, op)
	}
}

// treeNodes are the attributes with one element for each node, but for the values, which may be a tensor.
func treeNodes(f inferFn) inferFn {
	return sameLengths(f, "nodes_nodeids", "nodes_treeids", "nodes_featureids", "nodes_modes", "nodes_truenodeids", "nodes_falsenodeids")
}

// wantList wants an attribute to be a list of so many numbers for each feature.
func wantList(op *Op, attr string, each int64) error {
	if n, ok := features(op); ok && listLen(op, attr) != each*n {
		return op.Errorf("%s has %d numbers, want %d: %d for each of the %d features of %v", attr, listLen(op, attr), each*n, each, n, op.Operands[0].Type)
	}
	return nil
}

// wantParts wants sizes that are numbers above 0 and, where there are several, make up a dimension.
func wantParts(op *Op, sizes []Dim, one bool, whole Dim) error {
	sum := Const(0)
	for _, s := range sizes {
		if s.IsConst() && (s.Value() < 0 || one && s.Value() < 1) {
			return op.Errorf("split has size %v, want sizes above 0", s)
		}
		sum = sum.Add(s)
	}
	if diff := sum.Sub(whole); !one && diff.IsConst() && !diff.Is(0) && !slices.ContainsFunc(sizes, func(d Dim) bool { return !d.IsConst() }) {
		return op.Errorf("split has sizes %s, want a sum of %v", shapeString(sizes), whole)
	}
	return nil
}
