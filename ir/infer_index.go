package ir

import (
	"fmt"
	"math"
	"slices"

	"github.com/nnc-go/nnc/runtime/tensor"
)

func inferGather(c *InferCtx, op *Op) error {
	t, ix := op.Operands[0].Type, op.Operands[1].Type
	if !t.Ranked || !ix.Ranked {
		return c.unranked(op, t.DType)
	}
	axis, err := normAxis(op, op.Attrs.Int("axis", 0), len(t.Shape))
	if err != nil {
		return err
	}
	c.Set(op, 0, t.DType, slices.Concat(t.Shape[:axis], ix.Shape, t.Shape[axis+1:]))
	e, ok1 := c.Elems(op.Operand(0))
	which, ok2 := c.Ints(op.Operand(1))
	if !ok1 || !ok2 || len(t.Shape) != 1 || len(ix.Shape) > 1 {
		return nil
	}
	out := make([]Dim, len(which))
	for i, w := range which {
		x, err := normAxis(op, w, len(e))
		if err != nil {
			return op.Errorf("index %d is out of range for %d elements", w, len(e))
		}
		out[i] = e[x]
	}
	c.setIntElems(op, out)
	return nil
}

func inferGatherElements(c *InferCtx, op *Op) error {
	if t := op.Operands[0].Type; t.Ranked && op.Operands[1].Type.Ranked {
		if err := wantRank(op, 1, len(t.Shape), len(t.Shape)); err != nil {
			return err
		}
		if err := withinData(op); err != nil {
			return err
		}
	}
	return c.like(op, 1, dtypeOf(op, 0))
}

// withinData wants the indices of GatherElements and ScatterElements to be no larger than the data, but along
// the axis.
func withinData(op *Op) error {
	data, ix := op.Operands[0].Type, op.Operands[1].Type
	axis, err := normAxis(op, op.Attrs.Int("axis", 0), len(data.Shape))
	if err != nil {
		return err
	}
	for i, n := range ix.Shape {
		m := data.Shape[i]
		switch {
		case i == axis || n.Equal(m) || lessEq(n, m):
		case n.IsConst() && m.IsConst():
			return op.Errorf("indices %v are larger than the data %v in dimension %d, want at most %v", ix, data, i, m)
		default:
			op.relations = append(op.relations, Relation{"the larger of a dimension of indices and data, and that of the data", n.Max(m), m})
		}
	}
	return nil
}

// canFold refuses reductions that the elements do not have: strings have none, complex numbers no order.
func canFold(op *Op) error {
	how, d := op.Attrs.Str("reduction", "none"), dtypeOf(op, 0)
	switch {
	case how == "none":
	case d == tensor.String:
		return op.Errorf("reduction is %q for %v, want none", how, op.Operands[0].Type)
	case d.Class() == tensor.ClassComplex && (how == "max" || how == "min"):
		return op.Errorf("reduction is %q for %v, which have no order, want none, add or mul", how, op.Operands[0].Type)
	}
	return nil
}

func inferScatterElements(c *InferCtx, op *Op) error {
	if err := canFold(op); err != nil {
		return err
	}
	if t := op.Operands[0].Type; t.Ranked && op.Operands[1].Type.Ranked {
		if err := wantRank(op, 1, len(t.Shape), len(t.Shape)); err != nil {
			return err
		}
		if err := withinData(op); err != nil {
			return err
		}
	}
	return inferSame(c, op)
}

// inferTensorScatter: the update is a cache that may be shorter along the axis.
func inferTensorScatter(c *InferCtx, op *Op) error {
	if anyUnranked(op, 0, 1) {
		return inferSame(c, op)
	}
	cache, update := shapeOf(op, 0), shapeOf(op, 1)
	axis, err := normAxis(op, op.Attrs.Int("axis", -2), len(cache))
	if err != nil {
		return err
	}
	if err := wantRank(op, 1, len(cache), len(cache)); err != nil {
		return err
	}
	for i, n := range update {
		if i == axis && n.IsConst() && cache[i].IsConst() && n.Value() > cache[i].Value() {
			return op.Errorf("the update is %v, longer than the cache %v along axis %d", op.Operands[1].Type, op.Operands[0].Type, axis)
		}
		if i == axis {
			continue
		}
		if _, err := unify(op, fmt.Sprintf("dimension %d of cache and update", i), cache[i], n); err != nil {
			return err
		}
	}
	return inferSame(c, op)
}

func inferScatterND(c *InferCtx, op *Op) error {
	if err := canFold(op); err != nil {
		return err
	}
	if anyUnranked(op, 0, 1, 2) {
		return inferSame(c, op)
	}
	if err := wantRank(op, 1, 1, anyRank); err != nil {
		return err
	}
	data, ix := op.Operands[0].Type, op.Operands[1].Type
	last := len(ix.Shape) - 1
	if n := ix.Shape[last]; !n.IsConst() {
		return inferSame(c, op)
	}
	n := ix.Shape[last].c
	if n < 1 || n > int64(len(data.Shape)) {
		return op.Errorf("%v indexed by tuples of %v, want 1 to %d numbers in each", data, ix, len(data.Shape))
	}
	want := slices.Concat(ix.Shape[:last], data.Shape[n:])
	if err := wantRank(op, 2, len(want), len(want)); err != nil {
		return err
	}
	for i, d := range shapeOf(op, 2) {
		if _, err := unify(op, fmt.Sprintf("dimension %d of updates %s and of what the indices select, %s,", i, shapeString(shapeOf(op, 2)), shapeString(want)), d, want[i]); err != nil {
			return err
		}
	}
	return inferSame(c, op)
}

// inferReverseSequence: one length for each sequence.
func inferReverseSequence(c *InferCtx, op *Op) error {
	batch, time := op.Attrs.Int("batch_axis", 1), op.Attrs.Int("time_axis", 0)
	if batch == time {
		return op.Errorf("batch_axis and time_axis are both %d, want 0 and 1", batch)
	}
	if !anyUnranked(op, 0, 1) {
		if _, err := unify(op, "the size of the batch and the number of lengths", shapeOf(op, 0)[batch], shapeOf(op, 1)[0]); err != nil {
			return err
		}
	}
	return inferSame(c, op)
}

func inferGatherND(c *InferCtx, op *Op) error {
	t, ix := op.Operands[0].Type, op.Operands[1].Type
	if !t.Ranked || !ix.Ranked || len(ix.Shape) > 0 && !ix.Shape[len(ix.Shape)-1].IsConst() {
		return c.unranked(op, t.DType)
	}
	if err := wantRank(op, 1, 1, anyRank); err != nil {
		return err
	}
	b := op.Attrs.Int("batch_dims", 0)
	last := len(ix.Shape) - 1
	n := ix.Shape[last].c
	if b < 0 || b > int64(last) || n < 1 || n > int64(len(t.Shape)) || b+n > int64(len(t.Shape)) {
		return op.Errorf("%v indexed by tuples of %v after %d batch dimensions, want at least 1 and at most as many numbers in each as dimensions are left", t, ix, b)
	}
	for i := range b {
		if _, err := unify(op, "a batch dimension of data and indices", t.Shape[i], ix.Shape[i]); err != nil {
			return err
		}
	}
	return c.set(op, t.DType, slices.Concat(ix.Shape[:last], t.Shape[b+n:]))
}

func inferOneHot(c *InferCtx, op *Op) error {
	d := dtypeOf(op, 2)
	t := op.Operands[0].Type
	if !t.Ranked {
		return c.unranked(op, d)
	}
	axis, err := normAxis(op, op.Attrs.Int("axis", -1), len(t.Shape)+1)
	if err != nil {
		return err
	}
	depth := c.Fresh()
	if e, ok := c.Elems(op.Operand(1)); ok && len(e) == 1 {
		depth = e[0]
	} else if f, ok := constFloats(op.Operand(1)); ok && len(f) == 1 {
		depth = Const(int64(f[0]))
	}
	shape := slices.Insert(slices.Clone(t.Shape), axis, depth)
	if err := noNegative(op, shape); err != nil {
		return err
	}
	return c.set(op, d, shape)
}

// blockSize is the attribute blocksize of DepthToSpace and SpaceToDepth, whose operand has rank 4.
func blockSize(op *Op) (int64, error) {
	b := op.Attrs.Int("blocksize", 0)
	if b <= 0 || b > math.MaxInt32 {
		return 0, op.Errorf("blocksize %d, want at least 1", b)
	}
	return b, wantRank(op, 0, 4, 4)
}

func inferDepthToSpace(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	if !t.Ranked {
		return c.set(op, t.DType, c.FreshShape(4))
	}
	b, err := blockSize(op)
	if err != nil {
		return err
	}
	s := t.Shape
	if s[1].IsConst() && s[1].c%(b*b) != 0 {
		return op.Errorf("%v channels do not divide into blocks of %dx%d", s[1], b, b)
	}
	return c.set(op, t.DType, []Dim{s[0], s[1].Div(Const(b * b)), s[2].MulInt(b), s[3].MulInt(b)})
}

func inferSpaceToDepth(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	if !t.Ranked {
		return c.set(op, t.DType, c.FreshShape(4))
	}
	b, err := blockSize(op)
	if err != nil {
		return err
	}
	s := t.Shape
	for _, d := range s[2:] {
		if d.IsConst() && d.c%b != 0 {
			return op.Errorf("%v does not divide into blocks of %dx%d", t, b, b)
		}
	}
	return c.set(op, t.DType, []Dim{s[0], s[1].MulInt(b * b), s[2].Div(Const(b)), s[3].Div(Const(b))})
}

func inferNMS(c *InferCtx, op *Op) error {
	return c.set(op, tensor.I64, []Dim{c.Fresh(), Const(3)})
}

func inferSlice(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	if !t.Ranked {
		return c.unranked(op, t.DType)
	}
	axes, ok, err := c.sliceAxes(op, len(t.Shape))
	if err != nil {
		return err
	}
	if !ok {
		return c.set(op, t.DType, c.FreshShape(len(t.Shape)))
	}
	starts, ok1 := c.Elems(op.Operand(1))
	ends, ok2 := c.Elems(op.Operand(2))
	steps, ok3 := c.Ints(op.Operand(4))
	if op.Operand(4) == nil {
		steps, ok3 = slices.Repeat([]int64{1}, len(axes)), true
	}
	known := ok1 && ok2 && ok3
	if ok1 && len(starts) != len(axes) || ok2 && len(ends) != len(axes) || ok3 && len(steps) != len(axes) {
		return op.Errorf("%d axes, %d starts, %d ends and %d steps, want as many of each", len(axes), len(starts), len(ends), len(steps))
	}
	shape := slices.Clone(t.Shape)
	for i, a := range axes {
		if known && steps[i] == 0 {
			return op.Errorf("step 0 on axis %d, want another number", a)
		}
		n, ok := Dim{}, false
		if known {
			n, ok = sliceLen(shape[a], starts[i], ends[i], steps[i])
		}
		if !ok {
			n = c.Fresh()
		}
		shape[a] = n
	}
	c.Set(op, 0, t.DType, shape)
	if e, ok := c.Elems(op.Operand(0)); ok && known && len(axes) == 1 && len(t.Shape) == 1 {
		c.sliceElems(op, e, starts[0], ends[0], steps[0])
	}
	return nil
}

// sliceAxes gives the axes that a Slice cuts; by default as many from the first as there are starts.
func (c *InferCtx) sliceAxes(op *Op, rank int) ([]int, bool, error) {
	if op.Operand(3) != nil {
		return c.axesOperand(op, 3, rank)
	}
	s := op.Operands[1].Type
	if e, ok := c.Elems(op.Operand(1)); ok {
		s = TensorType(s.DType, Const(int64(len(e))))
	}
	if !s.Ranked || len(s.Shape) != 1 || !s.Shape[0].IsConst() {
		return nil, false, nil
	}
	n := s.Shape[0].c
	if n < 0 || n > int64(rank) {
		return nil, false, op.Errorf("%d starts for %v", n, op.Operands[0].Type)
	}
	axes := make([]int, n)
	for i := range axes {
		axes[i] = i
	}
	return axes, true, nil
}

// sliceBounds clamps start and end for a dimension n as ONNX does: to [0,n], or with a negative step
// start to [0,n-1] and end to [-1,n-1].
func sliceBounds(n, start, end, step int64) (int64, int64) {
	if start < 0 {
		start += n
	}
	if end < 0 {
		end += n
	}
	if step > 0 {
		return min(max(start, 0), n), min(max(end, 0), n)
	}
	return min(max(start, 0), n-1), min(max(end, -1), n-1)
}

func (c *InferCtx) sliceElems(op *Op, e []Dim, start, end Dim, step int64) {
	if !start.IsConst() || !end.IsConst() {
		return
	}
	out := []Dim{}
	s, t := sliceBounds(int64(len(e)), start.c, end.c, step)
	for len(e) > 0 && (step > 0 && s < t || step < 0 && s > t) {
		out = append(out, e[s])
		if step > int64(len(e)) || step < -int64(len(e)) {
			break
		}
		s += step
	}
	c.setIntElems(op, out)
}

// sliceLen is the size of what Slice leaves of a dimension d; false where it has no expression.
func sliceLen(d, start, end Dim, step int64) (Dim, bool) {
	if d.IsConst() && start.IsConst() && end.IsConst() {
		if d.c <= 0 {
			return Dim{}, true
		}
		s, e := sliceBounds(d.c, start.c, end.c, step)
		if step < 0 {
			s, e, step = e, s, -max(step, -math.MaxInt64)
		}
		if e <= s {
			return Dim{}, true
		}
		return Const((e-s-1)/step + 1), true
	}
	if step < 0 {
		// The whole dimension backwards; other bounds have no use with an unknown size.
		if (start.Is(-1) || far(start) > 0) && far(end) < 0 && step > -math.MaxInt32 {
			return d.CeilDiv(-step), true
		}
		return Dim{}, false
	}
	s, ok1 := boundFrom(d, start)
	e, ok2 := boundFrom(d, end)
	if !ok1 || !ok2 {
		return Dim{}, false
	}
	return spanLen(d, s, e).CeilDiv(min(step, math.MaxInt32)), true
}

// far is 1 for bounds that mean "to the very end", -1 for "to the very beginning", else 0.
func far(x Dim) int {
	switch {
	case x.IsConst() && x.c >= math.MaxInt32:
		return 1
	case x.IsConst() && x.c <= -math.MaxInt32:
		return -1
	}
	return 0
}

// sliceBound is a bound of a slice of a dimension D: min(k, D), or max(D-k, 0) with fromEnd; k >= 0.
type sliceBound struct {
	k       Dim
	fromEnd bool
}

func boundFrom(d, x Dim) (sliceBound, bool) {
	neg := x.MulInt(-1)
	switch {
	case far(x) > 0 || lessEq(d, x):
		return sliceBound{Dim{}, true}, true
	case far(x) < 0:
		return sliceBound{}, true
	case x.NonNegative():
		return sliceBound{x, false}, true
	case neg.AddInt(-1).NonNegative(): // certainly negative
		return sliceBound{neg, true}, true
	}
	return sliceBound{}, false // which end it counts from is unknown
}

// spanLen is max(0, e-s) for bounds of a slice of dimension d.
func spanLen(d Dim, s, e sliceBound) Dim {
	zero := Dim{}
	switch {
	case !s.fromEnd && e.fromEnd: // max(D-k,0) - min(a,D), which is negative only where D < a+k
		return d.Sub(e.k).Sub(s.k).Max(zero)
	case !s.fromEnd && !e.fromEnd && s.k.Is(0):
		return e.k.Min(d)
	case !s.fromEnd && !e.fromEnd: // min(b-a, D-a)
		return e.k.Sub(s.k).Min(d.Sub(s.k)).Max(zero)
	case s.fromEnd && e.fromEnd && e.k.Is(0):
		return s.k.Min(d)
	case s.fromEnd && e.fromEnd: // min(j-k, D-k)
		return s.k.Sub(e.k).Min(d.Sub(e.k)).Max(zero)
	}
	return e.k.Min(d).Sub(d.Sub(s.k).Max(zero)).Max(zero)
}
