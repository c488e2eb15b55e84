package ir

import (
	"regexp"
	"slices"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// scalar reads a scalar integer operand; fresh where it is unknown.
func (c *InferCtx) scalar(v *Value) Dim {
	if e, ok := c.Elems(v); ok && len(e) == 1 {
		return e[0]
	}
	return c.Fresh()
}

func inferDFT(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	if !t.Ranked {
		return c.unranked(op, t.DType)
	}
	if err := wantRank(op, 0, 2, anyRank); err != nil {
		return err
	}
	n := len(t.Shape)
	oneSided, inverse := op.Attrs.Int("onesided", 0) != 0, op.Attrs.Int("inverse", 0) != 0
	last := Const(2)
	if oneSided && inverse {
		last = Const(1)
	}
	if p := t.Shape[n-1]; p.IsConst() && !p.Is(1) && !p.Is(2) {
		return op.Errorf("the last dimension of %v holds real or real and imaginary parts: want 1 or 2", t)
	}
	a := int64(-2)
	if op.Operand(2) != nil {
		e, ok := c.Ints(op.Operand(2))
		if !ok || len(e) != 1 {
			return c.set(op, t.DType, append(c.FreshShape(n-1), last))
		}
		a = e[0]
	}
	axis, err := normAxis(op, a, n)
	if err != nil {
		return err
	}
	if axis == n-1 {
		return op.Errorf("axis %d is that of real and imaginary part", a)
	}
	length := t.Shape[axis]
	if oneSided && inverse {
		length = length.AddInt(-1).MulInt(2)
	}
	if op.Operand(1) != nil {
		length = c.scalar(op.Operand(1))
	}
	shape := slices.Clone(t.Shape)
	shape[axis], shape[n-1] = length, last
	if oneSided && !inverse {
		shape[axis] = length.Div(Const(2)).AddInt(1)
	}
	return firstErr(noNegative(op, shape), c.set(op, t.DType, shape))
}

func inferSTFT(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	if t.Ranked {
		if err := wantRank(op, 0, 2, 3); err != nil {
			return err
		}
		if len(t.Shape) == 3 && t.Shape[2].IsConst() && !t.Shape[2].Is(1) && !t.Shape[2].Is(2) {
			return op.Errorf("the last dimension of %v holds real or real and imaginary parts: want 1 or 2", t)
		}
	}
	var length Dim
	switch w := op.Operand(2); {
	case op.Operand(3) != nil:
		length = c.scalar(op.Operand(3))
		if w != nil && w.Type.Ranked && len(w.Type.Shape) == 1 {
			if _, err := unify(op, "frame_length and the length of the window", length, w.Type.Shape[0]); err != nil {
				return err
			}
		}
	case w != nil && w.Type.Ranked && len(w.Type.Shape) == 1:
		length = w.Type.Shape[0]
	case w == nil && t.Ranked:
		length = t.Shape[1]
	default:
		length = c.Fresh()
	}
	bins := length
	if op.Attrs.Int("onesided", 1) != 0 {
		bins = length.Div(Const(2)).AddInt(1)
	}
	batch, frames := c.Fresh(), c.Fresh()
	if t.Ranked {
		batch = t.Shape[0]
		if step, ok := c.Ints(op.Operand(1)); ok && len(step) == 1 {
			if step[0] < 1 {
				return op.Errorf("frame_step %d, want at least 1", step[0])
			}
			frames = t.Shape[1].Sub(length).Div(Const(step[0])).AddInt(1)
		}
	}
	shape := []Dim{batch, frames, bins, Const(2)}
	return firstErr(noNegative(op, shape), c.set(op, t.DType, shape))
}

func inferWindow(c *InferCtx, op *Op) error {
	shape := []Dim{c.scalar(op.Operand(0))}
	if d := op.Attrs.DType("output_datatype", tensor.F32); !isNumber(d) {
		return op.Errorf("output_datatype is %v, want %s", d, numberTypes)
	}
	return firstErr(noNegative(op, shape), c.set(op, op.Attrs.DType("output_datatype", tensor.F32), shape))
}

func inferMel(c *InferCtx, op *Op) error {
	shape := []Dim{c.scalar(op.Operand(1)).Div(Const(2)).AddInt(1), c.scalar(op.Operand(0))}
	return firstErr(noNegative(op, shape), c.set(op, op.Attrs.DType("output_datatype", tensor.F32), shape))
}

func inferRandom(c *InferCtx, op *Op) error {
	shape := Dims(op.Attrs.Ints("shape", nil)...)
	d := op.Attrs.DType("dtype", tensor.F32)
	return firstErr(noNegative(op, shape), wantFloats(op, "dtype", d), c.set(op, d, shape))
}

// wantFloats refuses an element type of an attribute that holds no numbers with a fraction.
func wantFloats(op *Op, attr string, d tensor.DType) error {
	if d != tensor.Invalid && !isArithFloat(d) {
		return op.Errorf("%s is %v, want a float type", attr, d)
	}
	return nil
}

func inferRandomLike(c *InferCtx, op *Op) error {
	return c.like(op, 0, op.Attrs.DType("dtype", dtypeOf(op, 0)))
}

// inferDrawnLike is inferRandomLike of numbers with a fraction.
func inferDrawnLike(c *InferCtx, op *Op) error {
	if d := op.Attrs.DType("dtype", dtypeOf(op, 0)); d != tensor.Invalid && !isArithFloat(d) {
		return op.Errorf("the result would be of type %v, want a dtype that is a float type", d)
	}
	return inferRandomLike(c, op)
}

func inferMultinomial(c *InferCtx, op *Op) error {
	batch := c.Fresh()
	if t := op.Operands[0].Type; t.Ranked {
		if err := wantRank(op, 0, 2, 2); err != nil {
			return err
		}
		batch = t.Shape[0]
	}
	shape := []Dim{batch, Const(op.Attrs.Int("sample_size", 1))}
	return firstErr(noNegative(op, shape), c.set(op, op.Attrs.DType("dtype", tensor.I32), shape))
}

func inferRegex(c *InferCtx, op *Op) error {
	if _, err := regexp.Compile(op.Attrs.Str("pattern", "")); err != nil {
		return op.Errorf("pattern: %w", err)
	}
	return inferPredicate(c, op)
}

func inferStringNormalizer(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	if !t.Ranked {
		return c.unranked(op, tensor.String)
	}
	if err := wantRank(op, 0, 1, 2); err != nil {
		return err
	}
	shape := slices.Clone(t.Shape)
	if n := len(shape) - 1; len(op.Attrs.Strs("stopwords", nil)) > 0 || !shape[n].IsConst() || shape[n].Is(0) {
		shape[n] = c.Fresh() // at least 1, even where nothing is left
	}
	return c.set(op, tensor.String, shape)
}

func inferStringSplit(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	if !t.Ranked {
		return c.unranked(op, tensor.String, tensor.I64)
	}
	c.Set(op, 1, tensor.I64, t.Shape)
	return c.set(op, tensor.String, append(slices.Clone(t.Shape), c.Fresh()))
}

func inferTfIdf(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	if has := listLen(op, "pool_strings") > 0; t.DType != tensor.Invalid && (t.DType == tensor.String) != has {
		return op.Errorf("operand %q is %v, want elements of the type of the pool, which is of %s", op.Operands[0].Name, t, map[bool]string{true: "strings", false: "integers"}[has])
	}
	if !t.Ranked {
		return c.unranked(op, tensor.F32)
	}
	if err := wantRank(op, 0, 1, 2); err != nil {
		return err
	}
	ix := op.Attrs.Ints("ngram_indexes", nil)
	if len(ix) == 0 {
		return op.Errorf("ngram_indexes is empty")
	}
	shape := append(slices.Clone(t.Shape[:len(t.Shape)-1]), Const(slices.Max(ix)+1))
	return firstErr(noNegative(op, shape), c.set(op, tensor.F32, shape))
}
