package lower

import (
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Ops whose operands besides the first say what their results look like. Where those are known as
// dimensions, symbolic ones too, the rules take them; else a kernel reads them (learn).

// learnShape binds dims to the elements of v, which must not be negative.
func (c *Ctx) learnShape(op *ir.Op, v *ir.Value, dims []ir.Dim) error {
	return c.learn(learning{op: op, ins: []*ir.Value{v}, dims: dims, fault: "a size is negative", build: func(k *K) ([]*loop.Value, *loop.Value) {
		var out []*loop.Value
		faults := k.Int(0)
		for i := range dims {
			p := k.param(v, int64(i))
			faults = k.Add(faults, k.ifNeg(p, k.Int(1), k.Int(0)))
			out = append(out, k.MaxIdx(p, k.Int(0)))
		}
		return out, faults
	}})
}

// hasElems reports whether v is a tensor of n integers.
func hasElems(v *ir.Value, n int) bool { return isIndex(v) && ir.Product(v.Type.Shape).Is(int64(n)) }

func lowerSplit(c *Ctx, op *ir.Op) error {
	x := op.Operands[0]
	if x.Type.Rank() < 1 || !compiled(x.Type.DType) {
		return errDecline
	}
	axis := axisOf(op.Attrs.Int("axis", 0), x.Type.Rank())
	var sizes []ir.Dim
	sum := ir.Dim{}
	for _, out := range op.Results {
		if out == nil {
			return errDecline
		}
		sizes = append(sizes, out.Type.Shape[axis])
		sum = sum.Add(out.Type.Shape[axis])
	}
	if v := op.Operand(1); v != nil {
		if !c.known(v) {
			if !hasElems(v, len(sizes)) {
				return errDecline
			}
			if err := c.learnShape(op, v, sizes); err != nil {
				return err
			}
		}
		c.checkEqual(op, sum, x.Type.Shape[axis], "the sum of the sizes and that of the axis")
	}
	from := Strides(x.Type.Shape)
	at := ir.Dim{}
	for i, out := range op.Results {
		if c.seePart(x, out, axis, at) {
			at = at.Add(sizes[i])
			continue
		}
		m := &move{dims: out.Type.Shape, from: from, to: Strides(out.Type.Shape), fromBase: at.Mul(from[axis])}
		if err := m.emit(c, op, "split", x, out); err != nil {
			return err
		}
		at = at.Add(sizes[i])
	}
	return nil
}

// slicing is what Slice does to each axis: where it starts and by which step it goes.
type slicing struct{ start, step []ir.Dim }

// whole gives the one axis of which a slice takes a part, in order; false where there are more.
func (s slicing) whole(x, out *ir.Value) (axis int, ok bool) {
	axis = -1
	for i, d := range x.Type.Shape {
		switch {
		case s.start[i].Is(0) && s.step[i].Is(1) && d.Equal(out.Type.Shape[i]):
		case axis >= 0 || !s.step[i].Is(1):
			return 0, false
		default:
			axis = i
		}
	}
	return axis, axis >= 0
}

func lowerSlice(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	if x.Type.Rank() < 0 || !compiled(x.Type.DType) {
		return errDecline
	}
	s, ok := c.knownSlicing(op)
	if !ok {
		var err error
		if s, err = c.learnSlicing(op); err != nil {
			return err
		}
	}
	if axis, ok := s.whole(x, out); ok && c.seePart(x, out, axis, s.start[axis]) {
		return nil
	}
	m := &move{dims: out.Type.Shape, from: Strides(x.Type.Shape), to: Strides(out.Type.Shape)}
	for i := range m.from {
		m.fromBase = m.fromBase.Add(s.start[i].Mul(m.from[i]))
		m.from[i] = m.from[i].Mul(s.step[i])
	}
	return m.emit(c, op, "slice", x, out)
}

// knownSlicing reads the operands of Slice where they and the sizes of its result are known.
func (c *Ctx) knownSlicing(op *ir.Op) (s slicing, ok bool) {
	x := op.Operands[0]
	rank := x.Type.Rank()
	starts, ok1 := c.elems(op.Operands[1])
	axes, ok2 := c.intsOr(op.Operand(3), len(starts), func(i int) int64 { return int64(i) })
	steps, ok3 := c.intsOr(op.Operand(4), len(starts), func(int) int64 { return 1 })
	if !ok1 || !ok2 || !ok3 || !c.sizesKnown(op) {
		return s, false
	}
	s = slicing{make([]ir.Dim, rank), slices.Repeat(oneDims(1), rank)}
	for i, a := range axes {
		axis := axisOf(a, rank)
		if s.start[axis], ok = clampStart(starts[i], x.Type.Shape[axis], steps[i]); !ok {
			return s, false
		}
		s.step[axis] = ir.Const(steps[i])
	}
	return s, true
}

// intsOr gives the constant elements of v, or n of def where v is absent.
func (c *Ctx) intsOr(v *ir.Value, n int, def func(i int) int64) ([]int64, bool) {
	if v != nil {
		return c.ints(v)
	}
	out := make([]int64, n)
	for i := range out {
		out[i] = def(i)
	}
	return out, true
}

// clampStart brings a start into the dimension n by the rules of Slice.
func clampStart(s, n ir.Dim, step int64) (ir.Dim, bool) {
	if s.IsConst() {
		if s.Value() < 0 {
			s = s.Add(n).Max(ir.Const(0))
		}
	} else if !s.NonNegative() {
		return s, false // its sign is not known
	}
	if step < 0 {
		return s.Min(n.AddInt(-1)), true
	}
	return s.Min(n), true
}

// learnSlicing reads the operands of Slice at run time.
func (c *Ctx) learnSlicing(op *ir.Op) (s slicing, err error) {
	x, starts, ends, axes, steps, out := op.Operands[0], op.Operands[1], op.Operands[2], op.Operand(3), op.Operand(4), op.Results[0]
	rank := x.Type.Rank()
	var ins []*ir.Value
	for _, v := range op.Operands[1:] {
		if v != nil {
			if !isIndex(v) || v.Type.Rank() != 1 {
				return s, errDecline
			}
			ins = append(ins, v)
		}
	}
	count := starts.Type.Shape[0]
	for _, v := range ins {
		c.checkEqual(op, v.Type.Shape[0], count, "the numbers of starts, ends, axes and steps")
	}
	s.start, s.step = c.newSyms(rank), slices.Repeat(oneDims(1), rank)
	dims := slices.Concat(s.start, out.Type.Shape)
	if steps != nil { // in two parts, since symbols are not negative
		up, down := c.newSyms(rank), c.newSyms(rank)
		dims = slices.Concat(dims, up, down)
		for i := range s.step {
			s.step[i] = up[i].Sub(down[i])
		}
	}
	err = c.learn(learning{op: op, ins: ins, dims: dims, fault: "a step is 0, or an axis out of range or given twice", build: func(k *K) ([]*loop.Value, *loop.Value) {
		var init []*loop.Value // start, end, step and number of mentions of each axis, faults
		for _, v := range []int64{0, far, 1, 0} {
			for range rank {
				init = append(init, k.Int(v))
			}
		}
		got := k.For(k.Int(0), k.Dim(count), 1, append(init, k.Int(0)), func(i *loop.Value, a []*loop.Value) []*loop.Value {
			axis, bad, step := i, k.flag(k.Cmp(loop.GE, i, k.Int(int64(rank)))), k.Int(1)
			if axes != nil {
				axis, bad = k.axisParam(axes, i, rank)
			}
			if steps != nil {
				step = k.paramAt(steps, i)
			}
			next := slices.Clone(a)
			for d := range rank {
				here := k.Cmp(loop.EQ, axis, k.Int(int64(d)))
				for j, v := range []*loop.Value{k.paramAt(starts, i), k.paramAt(ends, i), step, k.AddInt(a[3*rank+d], 1)} {
					next[j*rank+d] = k.Select(here, v, a[j*rank+d])
				}
			}
			next[4*rank] = k.Add(a[4*rank], bad)
			return next
		})
		var start, size, up, down []*loop.Value
		faults := got[4*rank]
		for d, n := range x.Type.Shape {
			step := got[2*rank+d]
			bad := k.Or(k.Cmp(loop.EQ, step, k.Int(0)), k.Cmp(loop.GT, got[3*rank+d], k.Int(1)))
			faults = k.Add(faults, k.flag(bad))
			first, length := k.sliceRange(got[d], got[rank+d], step, k.Dim(n))
			start, size = append(start, first), append(size, length)
			up, down = append(up, k.MaxIdx(step, k.Int(0))), append(down, k.MaxIdx(k.Sub(k.Int(0), step), k.Int(0)))
		}
		if steps == nil {
			up, down = nil, nil
		}
		return slices.Concat(start, size, up, down), faults
	}})
	return s, err
}

// sliceRange gives the first index and the count of start:end:step on a dimension n; 0 and 0 where there is
// none, or step is 0.
func (k *K) sliceRange(start, end, step, n *loop.Value) (first, count *loop.Value) {
	zero, one := k.Int(0), k.Int(1)
	back := k.Cmp(loop.LT, step, zero)
	lo := k.Select(back, k.Int(-1), zero)
	hi := k.Select(back, k.AddInt(n, -1), n)
	bound := func(i *loop.Value) *loop.Value {
		i = k.ifNeg(i, k.Add(i, n), i)
		return k.MaxIdx(k.MinIdx(i, hi), lo)
	}
	s, e := bound(start), bound(end)
	span := k.Select(back, k.Sub(s, e), k.Sub(e, s))
	size := k.MaxIdx(k.Select(back, k.Sub(zero, step), step), one)
	count = k.Div(k.Add(span, k.AddInt(size, -1)), size)
	none := k.Or(k.Cmp(loop.LE, span, zero), k.Cmp(loop.EQ, step, zero))
	return k.Select(none, zero, s), k.Select(none, zero, count)
}

func lowerExpand(c *Ctx, op *ir.Op) error {
	x, shape, out := op.Operands[0], op.Operands[1], op.Results[0]
	dims := out.Type.Shape
	if x.Type.Rank() < 0 || !compiled(x.Type.DType) || len(dims) < x.Type.Rank() {
		return errDecline
	}
	if !c.known(shape) {
		if shape.Type.Rank() != 1 || !shape.Type.Shape[0].IsConst() || !isIndex(shape) {
			return errDecline
		}
		if err := c.learnExpand(op); err != nil {
			return err
		}
	}
	st, err := c.broadcastStrides(op, x.Type.Shape, dims)
	if err != nil {
		return err
	}
	m := &move{dims: dims, from: st, to: Strides(dims)}
	return m.emit(c, op, "expand", x, out)
}

// learnExpand broadcasts the shape of the data with one of the run.
func (c *Ctx) learnExpand(op *ir.Op) error {
	x, shape, out := op.Operands[0], op.Operands[1], op.Results[0]
	n := shape.Type.Shape[0].Value()
	return c.learn(learning{op: op, ins: []*ir.Value{shape}, dims: out.Type.Shape, fault: "the shape does not broadcast with that of the data", build: func(k *K) ([]*loop.Value, *loop.Value) {
		one := k.Int(1)
		var sizes []*loop.Value
		faults := k.Int(0)
		rank := len(out.Type.Shape)
		for i := range rank {
			have, want := one, one
			if j := i - (rank - x.Type.Rank()); j >= 0 {
				have = k.Dim(x.Type.Shape[j])
			}
			if j := int64(i) - (int64(rank) - n); j >= 0 {
				want = k.param(shape, j)
			}
			differ := k.And(k.Cmp(loop.NE, have, want), k.And(k.Cmp(loop.NE, have, one), k.Cmp(loop.NE, want, one)))
			faults = k.Add(faults, k.flag(k.Or(differ, k.Cmp(loop.LT, want, k.Int(0)))))
			sizes = append(sizes, k.MaxIdx(k.Select(k.Cmp(loop.EQ, have, one), want, have), k.Int(0)))
		}
		return sizes, faults
	}})
}

// lowerReshape is reached by those ops that are no views: of constants, by a shape of the run, and where
// the numbers of elements differ symbolically though not in fact.
func lowerReshape(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	if x.Type.Rank() < 0 || x.Type.DType.Bits() == 0 {
		return errDecline
	}
	have, want := ir.Product(x.Type.Shape), ir.Product(out.Type.Shape)
	if !c.sizesKnown(op) {
		learn := reshapeLearners[op.Info.Name]
		if learn == nil || op.Operand(1) == nil || !isIndex(op.Operands[1]) || op.Operands[1].Type.Rank() != 1 {
			return errDecline
		}
		if err := learn(c, op); err != nil {
			return err
		}
	}
	c.checkEqual(op, have, want, "the numbers of elements")
	return c.copyAt(op, x, out, ir.Dim{}, ir.Dim{}, want)
}

// reshapeLearners are how ops that give another shape learn it.
var reshapeLearners = map[string]func(c *Ctx, op *ir.Op) error{
	"Reshape": (*Ctx).learnReshape, "Squeeze": (*Ctx).learnSqueeze, "Unsqueeze": (*Ctx).learnUnsqueeze,
}

// learnSqueeze reads the axes of a Squeeze at run time.
func (c *Ctx) learnSqueeze(op *ir.Op) error {
	shape, axes, out := op.Operands[0].Type.Shape, op.Operands[1], op.Results[0]
	return c.learn(learning{op: op, ins: []*ir.Value{axes}, dims: out.Type.Shape, fault: "an axis is out of range, given twice or not of size 1", build: func(k *K) ([]*loop.Value, *loop.Value) {
		marks, faults := k.axisMarks(axes, len(shape))
		for i, d := range shape {
			wrong := k.And(k.Cmp(loop.NE, marks[i], k.Int(0)), k.Cmp(loop.NE, k.Dim(d), k.Int(1)))
			faults = k.Add(faults, k.flag(wrong))
		}
		return k.reducedSizes(shape, marks, false, out.Type.Rank()), faults
	}})
}

// learnUnsqueeze reads the axes of an Unsqueeze at run time.
func (c *Ctx) learnUnsqueeze(op *ir.Op) error {
	shape, axes, out := op.Operands[0].Type.Shape, op.Operands[1], op.Results[0]
	return c.learn(learning{op: op, ins: []*ir.Value{axes}, dims: out.Type.Shape, fault: "an axis is out of range or given twice", build: func(k *K) ([]*loop.Value, *loop.Value) {
		marks, faults := k.axisMarks(axes, out.Type.Rank())
		var sizes []*loop.Value
		next := k.Int(0) // the dimension of the operand that comes next
		for _, m := range marks {
			size := k.Int(1)
			isNew := k.Cmp(loop.NE, m, k.Int(0))
			for j, d := range shape {
				here := k.And(k.Not(isNew), k.Cmp(loop.EQ, next, k.Int(int64(j))))
				size = k.Select(here, k.Dim(d), size)
			}
			sizes, next = append(sizes, size), k.Add(next, k.Select(isNew, k.Int(0), k.Int(1)))
		}
		return sizes, faults
	}})
}

// learnReshape reads the shape of a Reshape at run time: 0 copies a dimension, and -1 is what is left.
func (c *Ctx) learnReshape(op *ir.Op) error {
	x, shape, out := op.Operands[0], op.Operands[1], op.Results[0]
	zeros := op.Attrs.Int("allowzero", 0) != 0
	if !hasElems(shape, out.Type.Rank()) {
		return errDecline
	}
	return c.learn(learning{op: op, ins: []*ir.Value{shape}, dims: out.Type.Shape, fault: "cannot reshape the data to the shape given", build: func(k *K) ([]*loop.Value, *loop.Value) {
		zero, one := k.Int(0), k.Int(1)
		faults, known, holes := zero, one, zero
		var sizes []*loop.Value
		for i := range out.Type.Shape {
			p := k.param(shape, int64(i))
			is0 := k.Cmp(loop.EQ, p, zero)
			switch {
			case zeros:
			case i < x.Type.Rank():
				p = k.Select(is0, k.Dim(x.Type.Shape[i]), p)
			default:
				faults = k.Add(faults, k.flag(is0))
			}
			hole := k.Cmp(loop.EQ, p, k.Int(-1))
			holes = k.Add(holes, k.flag(hole))
			faults = k.Add(faults, k.flag(k.Cmp(loop.LT, p, k.Int(-1))))
			known = k.MinIdx(k.Mul(known, k.Select(hole, one, k.MinIdx(k.MaxIdx(p, zero), k.Int(1<<20)))), k.Int(far))
			sizes = append(sizes, p)
		}
		total := k.Dim(ir.Product(x.Type.Shape))
		rest := k.Div(total, k.MaxIdx(known, one))
		for i, p := range sizes {
			sizes[i] = k.MaxIdx(k.ifNeg(p, rest, p), zero)
		}
		known = k.Mul(known, k.Select(k.Cmp(loop.GT, holes, zero), rest, one))
		wrong := k.Or(k.Cmp(loop.NE, known, total), k.Cmp(loop.GT, holes, one))
		return sizes, k.Add(faults, k.flag(wrong))
	}})
}

func lowerConstantOfShape(c *Ctx, op *ir.Op) error {
	shape, out := op.Operands[0], op.Results[0]
	if !compiled(out.Type.DType) {
		return errDecline
	}
	if !c.known(shape) {
		if !hasElems(shape, out.Type.Rank()) {
			return errDecline
		}
		if err := c.learnShape(op, shape, out.Type.Shape); err != nil {
			return err
		}
	}
	d, _ := op.Attrs["value"].(*ir.Data)
	if d == nil {
		d = zeroOf(tensor.F32)
	}
	return c.fill(op, out, d)
}

// lowerTile walks the result as a tensor of twice the rank, in which the repeats stand still in the operand.
func lowerTile(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	rank := x.Type.Rank()
	if rank < 0 || !compiled(x.Type.DType) {
		return errDecline
	}
	repeats, ok := c.elems(op.Operands[1])
	if ok && len(repeats) != rank || !ok && !hasElems(op.Operands[1], rank) {
		return errDecline
	}
	if !ok {
		repeats = c.newSyms(rank)
		if err := c.learnTile(op, repeats); err != nil {
			return err
		}
	}
	from, to := Strides(x.Type.Shape), Strides(out.Type.Shape)
	m := &move{}
	for i, n := range x.Type.Shape {
		m.dims = append(m.dims, repeats[i], n)
		m.from = append(m.from, ir.Dim{}, from[i])
		m.to = append(m.to, to[i].Mul(n), to[i])
	}
	return m.emit(c, op, "tile", x, out)
}

func (c *Ctx) learnTile(op *ir.Op, repeats []ir.Dim) error {
	x, v, out := op.Operands[0], op.Operands[1], op.Results[0]
	return c.learn(learning{op: op, ins: []*ir.Value{v}, dims: slices.Concat(repeats, out.Type.Shape), fault: "a repeat is negative", build: func(k *K) ([]*loop.Value, *loop.Value) {
		var rep, size []*loop.Value
		faults := k.Int(0)
		for i, n := range x.Type.Shape {
			p := k.param(v, int64(i))
			faults = k.Add(faults, k.ifNeg(p, k.Int(1), k.Int(0)))
			// Within bounds that leave the product within 63 bits; the limit on memory does the rest.
			p = k.MaxIdx(k.MinIdx(p, k.Div(k.Int(1<<62), k.MaxIdx(k.Dim(n), k.Int(1)))), k.Int(0))
			rep, size = append(rep, p), append(size, k.Mul(p, k.Dim(n)))
		}
		return slices.Concat(rep, size), faults
	}})
}

// lowerDepthToSpace moves channels into blocks of pixels.
func lowerDepthToSpace(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	if x.Type.Rank() != 4 {
		return errDecline
	}
	b := ir.Const(op.Attrs.Int("blocksize", 1))
	s := x.Type.Shape
	ch := s[1].Div(b.Mul(b))
	c.checkEqual(op, s[1], ch.Mul(b).Mul(b), "the channels and those in whole blocks")
	shape := []ir.Dim{s[0], b, b, ch, s[2], s[3]}
	perm := []int{0, 3, 4, 1, 5, 2}
	if op.Attrs.Str("mode", "DCR") == "CRD" {
		shape, perm = []ir.Dim{s[0], ch, b, b, s[2], s[3]}, []int{0, 1, 4, 2, 5, 3}
	}
	return c.rearrange(op, "depth_to_space", x, out, shape, perm)
}

// lowerSpaceToDepth moves blocks of pixels into channels.
func lowerSpaceToDepth(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	if x.Type.Rank() != 4 {
		return errDecline
	}
	b := ir.Const(op.Attrs.Int("blocksize", 1))
	s := x.Type.Shape
	for _, d := range s[2:] {
		c.checkEqual(op, d, d.Div(b).Mul(b), "a dimension and that of whole blocks")
	}
	return c.rearrange(op, "space_to_depth", x, out, []ir.Dim{s[0], s[1], s[2].Div(b), b, s[3].Div(b), b}, []int{0, 3, 5, 1, 2, 4})
}

// rearrange moves x, seen in the given shape, to out with its dimensions permuted.
func (c *Ctx) rearrange(op *ir.Op, name string, x, out *ir.Value, shape []ir.Dim, perm []int) error {
	own := Strides(shape)
	m := &move{}
	for _, p := range perm {
		m.dims, m.from = append(m.dims, shape[p]), append(m.from, own[p])
	}
	m.to = Strides(m.dims)
	return m.emit(c, op, name, x, out)
}
