package ir

import (
	"slices"
	"strings"

	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

func inferMatMul(c *InferCtx, op *Op) error { return c.matMul(op, 0, 1, productType(op)) }

// productType is the type of a product's result: `to`, or that of its operands.
func productType(op *Op) tensor.DType { return op.Attrs.DType("to", dtypeOf(op, 0)) }

func inferMatMulInteger(c *InferCtx, op *Op) error {
	return firstErr(onePer(op, 2, 0, -2), onePer(op, 3, 1, -1), c.matMul(op, 0, 1, tensor.I32))
}

func inferQLinearMatMul(c *InferCtx, op *Op) error {
	return firstErr(onePer(op, 1, 0, -2), onePer(op, 4, 3, -1), c.matMul(op, 0, 3, dtypeOf(op, 7)))
}

// matMul types the product of operands a and b by numpy's rule: leading dimensions broadcast, an
// operand of rank 1 is a row on the left and a column on the right.
func (c *InferCtx) matMul(op *Op, a, b int, d tensor.DType) error {
	if anyUnranked(op, a, b) {
		return c.unranked(op, d)
	}
	if err := firstErr(wantRank(op, a, 1, anyRank), wantRank(op, b, 1, anyRank)); err != nil {
		return err
	}
	x, y := shapeOf(op, a), shapeOf(op, b)
	if len(x) == 1 {
		x = []Dim{Const(1), x[0]}
	}
	if len(y) == 1 {
		y = []Dim{y[0], Const(1)}
	}
	nx, ny := len(x), len(y)
	if _, err := unify(op, "the inner dimension of "+shapeString(x)+" and "+shapeString(y), x[nx-1], y[ny-2]); err != nil {
		return err
	}
	shape, err := broadcast(op, x[:nx-2], y[:ny-2])
	if err != nil {
		return err
	}
	shape = slices.Clip(shape)
	if len(shapeOf(op, a)) > 1 {
		shape = append(shape, x[nx-2])
	}
	if len(shapeOf(op, b)) > 1 {
		shape = append(shape, y[ny-1])
	}
	return c.set(op, d, shape)
}

func inferGemm(c *InferCtx, op *Op) error {
	d := productType(op)
	side := func(i int, trans string) (rows, cols Dim, err error) {
		if !op.Operands[i].Type.Ranked {
			return c.Fresh(), c.Fresh(), nil
		}
		if err := wantRank(op, i, 2, 2); err != nil {
			return rows, cols, err
		}
		s := shapeOf(op, i)
		if op.Attrs.Int(trans, 0) != 0 {
			return s[1], s[0], nil
		}
		return s[0], s[1], nil
	}
	m, k, err1 := side(0, "transA")
	k2, n, err2 := side(1, "transB")
	if err := firstErr(err1, err2); err != nil {
		return err
	}
	if _, err := unify(op, "the inner dimension", k, k2); err != nil {
		return err
	}
	shape := []Dim{m, n}
	if v := op.Operand(2); v != nil && v.Type.Ranked {
		if err := wantRank(op, 2, 0, 2); err != nil {
			return err
		}
		s, err := broadcast(op, shape, v.Type.Shape)
		if err != nil {
			return err
		}
		for i, x := range s {
			if x.IsConst() && shape[i].Is(1) && !x.Is(1) {
				return op.Errorf("C is %v, want what broadcasts to %s", v.Type, shapeString(shape))
			}
		}
	}
	return c.set(op, d, shape)
}

func inferDet(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	if !t.Ranked {
		return c.unranked(op, t.DType)
	}
	if err := wantRank(op, 0, 2, anyRank); err != nil {
		return err
	}
	n := len(t.Shape)
	if _, err := unify(op, "the height and width of a matrix", t.Shape[n-2], t.Shape[n-1]); err != nil {
		return err
	}
	return c.set(op, t.DType, t.Shape[:n-2])
}

func inferInverse(c *InferCtx, op *Op) error {
	if err := inferDet(c, op); err != nil {
		return err
	}
	return inferSame(c, op)
}

func inferEinsum(c *InferCtx, op *Op) error {
	d, err := sameDType(op, 0)
	if err != nil {
		return err
	}
	equation := op.Attrs.Str("equation", "")
	var ranks []int
	for _, v := range op.Operands {
		if !v.Type.Ranked {
			return c.einsumUnranked(op, d, equation)
		}
		ranks = append(ranks, len(v.Type.Shape))
	}
	eq, err := hostop.ParseEquation(equation, ranks)
	if err != nil {
		return op.Errorf("%w", err)
	}
	size := map[rune]Dim{}
	for i, t := range eq.Terms {
		for j, l := range t {
			d := shapeOf(op, i)[j]
			old, seen := size[l]
			switch {
			case !seen || old.Is(1):
				size[l] = d
			case !d.Is(1):
				if size[l], err = unify(op, "the size of label "+hostop.LabelName(l), old, d); err != nil {
					return err
				}
			}
		}
	}
	var shape []Dim
	for _, l := range eq.Out {
		shape = append(shape, size[l])
	}
	return c.set(op, d, shape)
}

func (c *InferCtx) einsumUnranked(op *Op, d tensor.DType, equation string) error {
	_, right, explicit := strings.Cut(strings.ReplaceAll(equation, " ", ""), "->")
	if explicit && !strings.Contains(right, "...") {
		return c.set(op, d, c.FreshShape(len([]rune(right))))
	}
	return c.unranked(op, d)
}

func inferBatchNorm(c *InferCtx, op *Op) error {
	c.SetType(op, 0, op.Operands[0].Type)
	c.SetType(op, 1, op.Operands[3].Type)
	c.SetType(op, 2, op.Operands[4].Type)
	t := op.Operands[0].Type
	if !t.Ranked || len(t.Shape) < 2 {
		return nil
	}
	for i := 1; i <= 4; i++ {
		if !op.Operands[i].Type.Ranked {
			continue
		}
		if err := wantRank(op, i, 1, 1); err != nil {
			return err
		}
		if _, err := unify(op, "the number of channels of the data and of operand "+op.Info.Operands[i], t.Shape[1], shapeOf(op, i)[0]); err != nil {
			return err
		}
	}
	return nil
}

// inferGroupNorm: the groups have the same number of channels.
func inferGroupNorm(c *InferCtx, op *Op) error {
	n := op.Attrs.Int("num_groups", 1)
	if t := op.Operands[0].Type; t.Ranked && t.Shape[1].IsConst() && t.Shape[1].Value()%n != 0 {
		return op.Errorf("operand %q is %v, want channels that make %d groups", op.Operands[0].Name, t, n)
	}
	return inferSame(c, op)
}

func inferMVN(c *InferCtx, op *Op) error {
	if t := op.Operands[0].Type; t.Ranked {
		if _, err := normAxes(op, op.Attrs.Ints("axes", []int64{0, 2, 3}), len(t.Shape)); err != nil {
			return err
		}
	}
	return inferSame(c, op)
}

// broadcastsTo wants operand i to broadcast to a shape without making it larger.
func broadcastsTo(op *Op, i int, shape []Dim) error {
	v := op.Operand(i)
	if v == nil || !v.Type.Ranked {
		return nil
	}
	if err := wantRank(op, i, 0, len(shape)); err != nil {
		return err
	}
	off := len(shape) - len(v.Type.Shape)
	for j, d := range v.Type.Shape {
		if d.IsConst() && !d.Is(1) && shape[off+j].IsConst() && !d.Equal(shape[off+j]) {
			return op.Errorf("operand %d %q is %v, want what broadcasts to %s", i, v.Name, v.Type, shapeString(shape))
		}
	}
	return nil
}

func inferLayerNorm(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	stash := tensor.DType(op.Attrs.Int("stash_type", int64(tensor.F32)))
	if !t.Ranked {
		return c.unranked(op, t.DType, stash)
	}
	axis, err := normAxis(op, op.Attrs.Int("axis", -1), len(t.Shape))
	if err != nil {
		return err
	}
	if !isArithFloat(stash) {
		return op.Errorf("stash_type is %v, want a float type", stash)
	}
	if err := firstErr(broadcastsTo(op, 1, t.Shape), broadcastsTo(op, 2, t.Shape)); err != nil {
		return err
	}
	c.Set(op, 0, t.DType, t.Shape)
	stat := slices.Clone(t.Shape)
	for i := axis; i < len(stat); i++ {
		stat[i] = Const(1)
	}
	c.Set(op, 1, stash, stat)
	c.Set(op, 2, stash, stat)
	return nil
}

func inferDropout(c *InferCtx, op *Op) error {
	c.SetType(op, 0, op.Operands[0].Type)
	c.keepElems(op)
	if t := op.Operands[0].Type; t.Ranked {
		c.Set(op, 1, tensor.Bool, t.Shape)
	} else {
		c.SetType(op, 1, Type{DType: tensor.Bool})
	}
	if r := op.Operand(2); r != nil { // in training mode elements change
		delete(c.elems, op.Result(0))
	}
	return nil
}

// inferNLL: the loss of each target, or one number.
func inferNLL(c *InferCtx, op *Op) error {
	how := op.Attrs.Str("reduction", "mean")
	if how != "none" && how != "sum" && how != "mean" {
		return op.Errorf("reduction is %q, want none, sum or mean", how)
	}
	if err := c.checkLoss(op); err != nil {
		return err
	}
	if how != "none" {
		return c.set(op, dtypeOf(op, 0), nil)
	}
	return c.like(op, 1, dtypeOf(op, 0))
}

// checkLoss holds the shapes of scores [N,C,...], targets [N,...] and weights [C] against each other.
func (c *InferCtx) checkLoss(op *Op) error {
	if !anyUnranked(op, 0, 1) {
		x, t := shapeOf(op, 0), shapeOf(op, 1)
		if err := firstErr(wantRank(op, 0, 2, anyRank), wantRank(op, 1, len(x)-1, len(x)-1)); err != nil {
			return err
		}
		for i, d := range append([]Dim{x[0]}, x[2:]...) {
			if _, err := unify(op, "a dimension of scores and targets", d, t[i]); err != nil {
				return err
			}
		}
	}
	if w := op.Operand(2); w != nil && !anyUnranked(op, 0, 2) {
		if err := firstErr(wantRank(op, 0, 2, anyRank), wantRank(op, 2, 1, 1)); err != nil {
			return err
		}
		if _, err := unify(op, "the number of classes and of weights", shapeOf(op, 0)[1], w.Type.Shape[0]); err != nil {
			return err
		}
	}
	return nil
}

func inferSCE(c *InferCtx, op *Op) error {
	c.SetType(op, 1, op.Operands[0].Type)
	return inferNLL(c, op)
}
