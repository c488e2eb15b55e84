package ir

import (
	"slices"

	"github.com/nnc-go/nnc/runtime/tensor"
)

func inferIdentity(c *InferCtx, op *Op) error {
	c.SetType(op, 0, op.Operands[0].Type)
	c.keepElems(op)
	return nil
}

func inferShape(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	if !t.Ranked {
		return c.set(op, tensor.I64, []Dim{c.Fresh()})
	}
	n := int64(len(t.Shape))
	clamp := func(x int64) int64 {
		if x < 0 {
			x += n
		}
		return min(max(x, 0), n)
	}
	start, end := clamp(op.Attrs.Int("start", 0)), clamp(op.Attrs.Int("end", n))
	e := slices.Clone(t.Shape[start:max(start, end)])
	if err := c.set(op, tensor.I64, Dims(int64(len(e)))); err != nil {
		return err
	}
	c.setIntElems(op, e)
	return nil
}

func inferSize(c *InferCtx, op *Op) error {
	c.Set(op, 0, tensor.I64, nil)
	if t := op.Operands[0].Type; t.Ranked {
		c.setIntElems(op, []Dim{Product(t.Shape)})
	}
	return nil
}

// shapeFrom reads a shape operand: its elements, or fresh dimensions where only their number is known.
// exact is false for the latter; ok is false where not even the rank is known.
func (c *InferCtx) shapeFrom(op *Op, i int) (shape []Dim, exact, ok bool, err error) {
	v := op.Operands[i]
	if e, known := c.Elems(v); known {
		return e, true, true, nil
	}
	if !v.Type.Ranked {
		return nil, false, false, nil
	}
	if err := wantRank(op, i, 1, 1); err != nil {
		return nil, false, false, err
	}
	if n := v.Type.Shape[0]; n.IsConst() && n.c >= 0 && n.c <= MaxElems {
		return c.FreshShape(int(n.c)), false, true, nil
	}
	return nil, false, false, nil
}

func inferReshape(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	target, exact, ok, err := c.shapeFrom(op, 1)
	switch {
	case err != nil:
		return err
	case !ok:
		return c.unranked(op, t.DType)
	case !exact:
		return c.set(op, t.DType, target)
	}
	shape := slices.Clone(target)
	hole := -1
	for i, d := range shape {
		switch {
		case d.Is(-1) && hole >= 0:
			return op.Errorf("shape %s has two dimensions -1", shapeString(target))
		case d.Is(-1):
			hole = i
		case d.IsConst() && d.c < 0:
			return op.Errorf("shape %s has dimension %v", shapeString(target), d)
		case d.Is(0) && op.Attrs.Int("allowzero", 0) == 0:
			if !t.Ranked {
				shape[i] = c.Fresh()
			} else if i >= len(t.Shape) {
				return op.Errorf("shape %s copies dimension %d of %v, which it lacks", shapeString(target), i, t)
			} else {
				shape[i] = t.Shape[i]
			}
		}
	}
	if err := c.fillHole(op, t, shape, hole); err != nil {
		return err
	}
	c.Set(op, 0, t.DType, shape)
	c.keepElems(op)
	return nil
}

// fillHole computes dimension hole of shape (none where negative) from the elements that t has, and
// holds the two numbers of elements against each other.
func (c *InferCtx) fillHole(op *Op, t Type, shape []Dim, hole int) error {
	if !t.Ranked {
		if hole >= 0 {
			shape[hole] = c.Fresh()
		}
		return nil
	}
	// What both sides have cancels; the rest is multiplied out.
	have := slices.Clone(t.Shape)
	rest := Const(1)
	for i, d := range shape {
		if i == hole {
			continue
		}
		if j := slices.IndexFunc(have, d.Equal); j >= 0 && !d.Is(0) {
			have = slices.Delete(have, j, j+1)
		} else {
			rest = rest.Mul(d)
		}
	}
	total := Product(have)
	if hole < 0 {
		if total.IsConst() && rest.IsConst() && total.c != rest.c {
			return op.Errorf("%v has %v elements, shape %s has %v", t, Product(t.Shape), shapeString(shape), Product(shape))
		}
		return nil
	}
	switch {
	case rest.Is(0):
		return op.Errorf("dimension -1 of shape %s cannot be inferred: the others have no elements", shapeString(shape))
	case rest.IsConst() && total.IsConst() && total.c%rest.c != 0:
		return op.Errorf("%v does not divide into shape %s", t, shapeString(shape))
	case rest.IsConst(): // must divide exactly at run time, so the floor is exact
		shape[hole] = total.Div(rest)
	default:
		shape[hole] = c.Fresh()
		if q := total.Div(rest); q.Mul(rest).Equal(total) {
			shape[hole] = q
		}
	}
	return nil
}

func inferFlatten(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	if !t.Ranked {
		return c.set(op, t.DType, c.FreshShape(2))
	}
	axis, n := op.Attrs.Int("axis", 1), int64(len(t.Shape))
	if axis < -n || axis > n {
		return op.Errorf("axis %d is out of range for %v, want %d to %d", axis, t, -n, n)
	}
	if axis < 0 {
		axis += n
	}
	return c.set(op, t.DType, []Dim{Product(t.Shape[:axis]), Product(t.Shape[axis:])})
}

func inferSqueeze(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	if !t.Ranked {
		return c.unranked(op, t.DType)
	}
	var axes []int
	if op.Operand(1) == nil {
		for i, d := range t.Shape {
			if !d.IsConst() { // whether it goes is known at run time
				return c.unranked(op, t.DType)
			}
			if d.Is(1) {
				axes = append(axes, i)
			}
		}
	} else {
		a, ok := c.Ints(op.Operand(1))
		if n := c.reducedRank(op); !ok && n >= 0 {
			return c.set(op, t.DType, c.FreshShape(n))
		}
		if !ok {
			return c.unranked(op, t.DType)
		}
		var err error
		if axes, err = normAxes(op, a, len(t.Shape)); err != nil {
			return err
		}
	}
	var shape []Dim
	for i, d := range t.Shape {
		if !slices.Contains(axes, i) {
			shape = append(shape, d)
		} else if d.IsConst() && !d.Is(1) {
			return op.Errorf("dimension %d of %v is squeezed, want size 1", i, t)
		}
	}
	c.Set(op, 0, t.DType, shape)
	c.keepElems(op)
	return nil
}

func inferUnsqueeze(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	a, ok := c.Ints(op.Operand(1))
	if !t.Ranked || !ok {
		if n := op.Operands[1].Type; t.Ranked && n.Ranked && len(n.Shape) == 1 && n.Shape[0].IsConst() && n.Shape[0].c >= 0 && n.Shape[0].c <= MaxElems {
			return c.set(op, t.DType, c.FreshShape(len(t.Shape)+int(n.Shape[0].c)))
		}
		return c.unranked(op, t.DType)
	}
	axes, err := normAxes(op, a, len(t.Shape)+len(a))
	if err != nil {
		return err
	}
	shape := make([]Dim, len(t.Shape)+len(a))
	next := 0
	for i := range shape {
		if slices.Contains(axes, i) {
			shape[i] = Const(1)
		} else {
			shape[i] = t.Shape[next]
			next++
		}
	}
	c.Set(op, 0, t.DType, shape)
	c.keepElems(op)
	return nil
}

func inferTranspose(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	perm := op.Attrs.Ints("perm", nil)
	if !t.Ranked {
		if perm != nil {
			return c.set(op, t.DType, c.FreshShape(len(perm)))
		}
		return c.unranked(op, t.DType)
	}
	n := len(t.Shape)
	if perm == nil {
		for i := n - 1; i >= 0; i-- {
			perm = append(perm, int64(i))
		}
	}
	axes, err := normAxes(op, perm, n)
	if err != nil {
		return err
	}
	if len(axes) != n {
		return op.Errorf("perm %v has %d axes, want %d as %v", perm, len(axes), n, t)
	}
	shape := make([]Dim, n)
	for i, a := range axes {
		shape[i] = t.Shape[a]
	}
	c.Set(op, 0, t.DType, shape)
	c.keepElems(op)
	return nil
}

func inferExpand(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	target, exact, ok, err := c.shapeFrom(op, 1)
	switch {
	case err != nil:
		return err
	case !ok || !t.Ranked:
		return c.unranked(op, t.DType)
	case exact:
		for i, d := range target {
			if d.IsConst() && d.c < 0 {
				return op.Errorf("dimension %d of shape %s is negative", i, shapeString(target))
			}
		}
	}
	shape, err := broadcast(op, target, t.Shape)
	if err != nil {
		return err
	}
	c.Set(op, 0, t.DType, shape)
	if e, ok := c.Elems(op.Operand(0)); ok && len(e) == 1 && len(shape) == 1 && shape[0].IsConst() && shape[0].c <= MaxElems {
		c.setIntElems(op, slices.Repeat(e, int(shape[0].c)))
	}
	return nil
}

func inferTile(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	rep, exact, ok, err := c.shapeFrom(op, 1)
	if err != nil {
		return err
	}
	if !t.Ranked {
		if ok {
			return c.set(op, t.DType, c.FreshShape(len(rep)))
		}
		return c.unranked(op, t.DType)
	}
	if !exact {
		return c.set(op, t.DType, c.FreshShape(len(t.Shape)))
	}
	if len(rep) != len(t.Shape) {
		return op.Errorf("%d repeats for %v, want %d", len(rep), t, len(t.Shape))
	}
	shape := make([]Dim, len(rep))
	for i, d := range t.Shape {
		shape[i] = d.Mul(rep[i])
	}
	if err := noNegative(op, shape); err != nil {
		return err
	}
	c.Set(op, 0, t.DType, shape)
	if e, ok := c.Elems(op.Operand(0)); ok && len(rep) == 1 && rep[0].IsConst() && rep[0].c >= 0 && rep[0].c <= MaxElems {
		c.setIntElems(op, slices.Repeat(e, int(rep[0].c)))
	}
	return nil
}

// noNegative refuses shapes with a dimension that is below 0.
func noNegative(op *Op, shape []Dim) error {
	for i, d := range shape {
		if d.IsConst() && d.c < 0 {
			return op.Errorf("dimension %d of the result would be %v, in %s", i, d, shapeString(shape))
		}
	}
	return nil
}

func inferConcat(c *InferCtx, op *Op) error {
	d, err := sameDType(op, 0)
	if err != nil {
		return err
	}
	if len(op.Operands) == 0 {
		return op.Errorf("no operands, want at least one")
	}
	var shape []Dim
	axis := -1
	known := true
	for i, v := range op.Operands {
		if !v.Type.Ranked {
			known = false
			continue
		}
		s := v.Type.Shape
		if shape == nil {
			if axis, err = normAxis(op, op.Attrs.Int("axis", 0), len(s)); err != nil {
				return err
			}
			shape = slices.Clone(s)
			continue
		}
		if err := wantRank(op, i, len(shape), len(shape)); err != nil {
			return err
		}
		for j := range s {
			if j == axis {
				shape[j] = shape[j].Add(s[j])
			} else if shape[j], err = unify(op, "a dimension that is not joined", shape[j], s[j]); err != nil {
				return err
			}
		}
	}
	if shape == nil {
		return c.unranked(op, d)
	}
	if !known {
		shape[axis] = c.Fresh()
	}
	c.Set(op, 0, d, shape)
	c.concatElems(op)
	return nil
}

func (c *InferCtx) concatElems(op *Op) {
	var all []Dim
	for _, v := range op.Operands {
		e, ok := c.Elems(v)
		if !ok || len(v.Type.Shape) != 1 || len(all)+len(e) > MaxElems {
			return
		}
		all = append(all, e...)
	}
	c.setIntElems(op, all)
}

func inferSplit(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	if !t.Ranked {
		return c.unranked(op, t.DType)
	}
	axis, err := normAxis(op, op.Attrs.Int("axis", 0), len(t.Shape))
	if err != nil {
		return err
	}
	sizes, err := c.splitSizes(op, t.Shape[axis])
	if err != nil {
		return err
	}
	e, known := c.Elems(op.Operand(0))
	off := 0
	for i, s := range sizes {
		shape := slices.Clone(t.Shape)
		shape[axis] = s
		if err := noNegative(op, shape); err != nil {
			return err
		}
		c.Set(op, i, t.DType, shape)
		if known = known && s.IsConst() && s.c <= int64(len(e)-off); known {
			c.SetElems(op.Result(i), e[off:off+int(s.c)])
			off += int(s.c)
		}
	}
	return nil
}

// splitSizes gives the sizes of a Split's results along its axis, of size d.
func (c *InferCtx) splitSizes(op *Op, d Dim) ([]Dim, error) {
	n := len(op.Results)
	if op.Operand(1) != nil {
		sizes, exact, ok, err := c.shapeFrom(op, 1)
		switch {
		case err != nil:
			return nil, err
		case !ok:
			return c.FreshShape(n), nil
		case len(sizes) != n:
			return nil, op.Errorf("%d split sizes, want %d, one for each result", len(sizes), n)
		case exact:
			sum := Dim{}
			for _, s := range sizes {
				sum = sum.Add(s)
			}
			_, err = unify(op, "the sum of the split sizes and the dimension", sum, d)
		}
		return sizes, err
	}
	if want := op.Attrs.Int("num_outputs", int64(n)); want != int64(n) {
		return nil, op.Errorf("%d results, want num_outputs = %d", n, want)
	}
	if n == 0 {
		return nil, nil
	}
	if q := d.Div(Const(int64(n))); q.MulInt(int64(n)).Equal(d) {
		return slices.Repeat([]Dim{q}, n), nil
	}
	sizes := slices.Repeat([]Dim{d.CeilDiv(int64(n))}, n)
	sizes[n-1] = d.Sub(sizes[0].MulInt(int64(n - 1)))
	return sizes, nil
}

func inferPad(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	if !t.Ranked {
		return c.unranked(op, t.DType)
	}
	axes, ok, err := c.axesOperand(op, 3, len(t.Shape))
	if err != nil {
		return err
	}
	pads, known := c.Elems(op.Operand(1))
	if !ok {
		return c.set(op, t.DType, c.FreshShape(len(t.Shape)))
	}
	if known && len(pads) != 2*len(axes) {
		return op.Errorf("%d pads for %d axes of %v, want two each", len(pads), len(axes), t)
	}
	shape := slices.Clone(t.Shape)
	for i, a := range axes {
		if known {
			if n := shape[a]; op.Attrs.Str("mode", "constant") == "reflect" && n.IsConst() {
				for _, p := range []Dim{pads[i], pads[i+len(axes)]} {
					if p.IsConst() && p.Value() > 0 && p.Value() >= n.Value() {
						return op.Errorf("pads %s reflect %v along axis %d, want less than its %v", shapeString(pads), p, a, n)
					}
				}
			}
			shape[a] = shape[a].Add(pads[i]).Add(pads[i+len(axes)])
		} else {
			shape[a] = c.Fresh()
		}
	}
	if err := noNegative(op, shape); err != nil {
		return err
	}
	return c.set(op, t.DType, shape)
}

// axesOperand reads an optional operand of axes; all axes where it is absent, false where it is unknown.
func (c *InferCtx) axesOperand(op *Op, i, rank int) ([]int, bool, error) {
	if op.Operand(i) == nil {
		all := make([]int, rank)
		for j := range all {
			all[j] = j
		}
		return all, true, nil
	}
	a, ok := c.Ints(op.Operand(i))
	if !ok {
		return nil, false, nil
	}
	axes, err := normAxes(op, a, rank)
	return axes, true, err
}

func inferCenterCropPad(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	if !t.Ranked {
		return c.unranked(op, t.DType)
	}
	shape := slices.Clone(t.Shape)
	axes := make([]int, len(shape))
	for i := range axes {
		axes[i] = i
	}
	if a := op.Attrs.Ints("axes", nil); a != nil {
		var err error
		if axes, err = normAxes(op, a, len(shape)); err != nil {
			return err
		}
	}
	target, _, ok, err := c.shapeFrom(op, 1)
	if err != nil {
		return err
	}
	if ok && len(target) != len(axes) {
		return op.Errorf("shape %s, want %d sizes, one for each axis", shapeString(target), len(axes))
	}
	for i, a := range axes {
		if ok {
			shape[a] = target[i]
		} else {
			shape[a] = c.Fresh()
		}
	}
	if err := noNegative(op, shape); err != nil {
		return err
	}
	return c.set(op, t.DType, shape)
}
