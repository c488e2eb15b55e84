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
	return c.regressor(op, op.Attrs.Int("targets", 1))
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
