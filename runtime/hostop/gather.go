package hostop

import "github.com/nnc-go/nnc/runtime/tensor"

// wrapIndex turns an index of [-n, n) into one of [0, n).
func wrapIndex(i, n int64) int64 {
	check(i >= -n && i < n, "index %d out of range for dimension %d", i, n)
	if i < 0 {
		i += n
	}
	return i
}

// Gather takes slices of an axis by index.
func Gather(c *Call) (err error) {
	defer guard(&err)
	x, it := c.in(0), c.in(1)
	a := normAxis(c.Attrs.Int("axis", 0), len(x.Shape))
	shape := append(append(append([]int64{}, x.Shape[:a]...), it.Shape...), x.Shape[a+1:]...)
	out := alloc(x.DType, shape...)
	idx, n := intsOf(it), x.Shape[a]
	for i := range idx {
		idx[i] = wrapIndex(idx[i], n)
	}
	inner, o := product(x.Shape[a+1:]), int64(0)
	if out.Len() > 0 {
		for outer := range product(x.Shape[:a]) {
			for _, i := range idx {
				copyElems(out, o, x, (outer*n+i)*inner, inner)
				o += inner
			}
		}
	}
	c.give(out)
	return nil
}

// GatherElements takes elements by their index along an axis.
func GatherElements(c *Call) (err error) {
	defer guard(&err)
	x, it := c.in(0), c.in(1)
	a := elementAxis(c, x, it)
	out := alloc(x.DType, it.Shape...)
	ind, st := intsOf(it), stridesOf(x.Shape)
	eachIndex(it.Shape, func(o int64, idx []int64) {
		i := wrapIndex(ind[o], x.Shape[a])
		copyElem(out, o, x, dot(idx, st)+(i-idx[a])*st[a])
	})
	c.give(out)
	return nil
}

// elementAxis checks the operands of GatherElements and ScatterElements.
func elementAxis(c *Call, x, it *tensor.Tensor) int {
	a := normAxis(c.Attrs.Int("axis", 0), len(x.Shape))
	check(len(it.Shape) == len(x.Shape), "indices %s for %s", it.TypeString(), x.TypeString())
	for d := range it.Shape {
		check(d == a || it.Shape[d] <= x.Shape[d], "indices %s for %s", it.TypeString(), x.TypeString())
	}
	return a
}

// tupleOffset gives the offset that a tuple of indices selects in the given dimensions.
func tupleOffset(tuple, dims, strides []int64) int64 {
	n := int64(0)
	for k, i := range tuple {
		n += wrapIndex(i, dims[k]) * strides[k]
	}
	return n
}

// GatherND takes slices by tuples of indices.
func GatherND(c *Call) (err error) {
	defer guard(&err)
	x, it, b := c.in(0), c.in(1), int(c.Attrs.Int("batch_dims", 0))
	r, q := len(x.Shape), len(it.Shape)
	check(b >= 0 && b < q && b < r, "batch_dims %d for %s and %s", b, x.TypeString(), it.TypeString())
	k := int(it.Shape[q-1])
	check(k >= 1 && k <= r-b, "tuples of %d indices for %s", k, x.TypeString())
	for i := range b {
		check(x.Shape[i] == it.Shape[i], "batch dimensions differ: %s and %s", x.TypeString(), it.TypeString())
	}
	shape := append(append([]int64{}, it.Shape[:q-1]...), x.Shape[b+k:]...)
	out := alloc(x.DType, shape...)
	ind, st, inner := intsOf(it), stridesOf(x.Shape), product(x.Shape[b+k:])
	tuples := product(it.Shape[:q-1])
	perBatch := product(it.Shape[b : q-1])
	for t := range tuples {
		base := t / perBatch * product(x.Shape[b:])
		copyElems(out, t*inner, x, base+tupleOffset(ind[t*int64(k):(t+1)*int64(k)], x.Shape[b:], st[b:]), inner)
	}
	c.give(out)
	return nil
}

// scatterOps are the reductions of ScatterND and ScatterElements.
var scatterOps = map[string]arith{"add": opAdd, "mul": opMul, "max": opMax, "min": opMin}

// scatter puts n elements of upd at u over those of out at o, or combines them.
func scatterer(c *Call, out, upd *tensor.Tensor) func(o, u, n int64) {
	red := c.Attrs.Str("reduction", "none")
	if red == "none" {
		return func(o, u, n int64) { copyElems(out, o, upd, u, n) }
	}
	op, ok := scatterOps[red]
	check(ok, "reduction is %q, want none, add, mul, max or min", red)
	if out.DType == tensor.String || out.DType.Class() == tensor.ClassComplex {
		check(out.DType != tensor.String, "reduction is %q for strings, want none", red)
		check(red == "add" || red == "mul", "reduction is %q for complex numbers, which have no order, want none, add or mul", red)
		if out.DType == tensor.C64 {
			return foldComplex(view[complex64](out), view[complex64](upd), red == "mul")
		}
		return foldComplex(view[complex128](out), view[complex128](upd), red == "mul")
	}
	if out.DType.IsFloat() {
		put := floatPutter(out, true)
		return func(o, u, n int64) {
			for i := range n {
				put(o+i, op.f(out.At(o+i), upd.At(u+i)))
			}
		}
	}
	put := intPutter(out)
	return func(o, u, n int64) {
		for i := range n {
			a, _ := out.IntAt(o + i)
			b, _ := upd.IntAt(u + i)
			if out.DType.Class() == tensor.ClassUint {
				put(o+i, int64(op.u(uint64(a), uint64(b))))
			} else {
				put(o+i, op.i(a, b))
			}
		}
	}
}

// clone copies a tensor.
func clone(x *tensor.Tensor) *tensor.Tensor { return stridedCopy(x, 0, x.Shape, stridesOf(x.Shape)) }

// ScatterElements is data with elements replaced or combined by index along an axis; the last write wins.
func ScatterElements(c *Call) (err error) {
	defer guard(&err)
	x, it, upd := c.in(0), c.in(1), c.in(2)
	sameType(x, upd)
	a := elementAxis(c, x, it)
	check(tensor.ShapeString(it.Shape) == tensor.ShapeString(upd.Shape), "indices %s for updates %s", it.TypeString(), upd.TypeString())
	out := clone(x)
	put, ind, st := scatterer(c, out, upd), intsOf(it), stridesOf(x.Shape)
	eachIndex(it.Shape, func(o int64, idx []int64) {
		i := wrapIndex(ind[o], x.Shape[a])
		put(dot(idx, st)+(i-idx[a])*st[a], o, 1)
	})
	c.give(out)
	return nil
}

// ScatterND is data with slices replaced or combined by tuples of indices; the last write wins.
func ScatterND(c *Call) (err error) {
	defer guard(&err)
	x, it, upd := c.in(0), c.in(1), c.in(2)
	sameType(x, upd)
	q := len(it.Shape)
	check(q >= 1, "indices must have a dimension, got %s", it.TypeString())
	k := it.Shape[q-1]
	check(k >= 1 && k <= int64(len(x.Shape)), "tuples of %d indices for %s", k, x.TypeString())
	inner := product(x.Shape[k:])
	want := append(append([]int64{}, it.Shape[:q-1]...), x.Shape[k:]...)
	check(tensor.ShapeString(want) == tensor.ShapeString(upd.Shape), "updates %s, want shape %s", upd.TypeString(), tensor.ShapeString(want))
	out := clone(x)
	put, ind, st := scatterer(c, out, upd), intsOf(it), stridesOf(x.Shape)
	for t := range product(it.Shape[:q-1]) {
		put(tupleOffset(ind[t*k:(t+1)*k], x.Shape, st), t*inner, inner)
	}
	c.give(out)
	return nil
}

// OneHot has values[1] at the index along a new axis of size depth, values[0] elsewhere; an index out of
// [-depth, depth) gives values[0] everywhere.
func OneHot(c *Call) (err error) {
	defer guard(&err)
	it, dt, vals := c.in(0), c.in(1), c.in(2)
	check(dt.Len() == 1, "depth must be a scalar, got %s", dt.TypeString())
	depth := floatToInt(tensor.I64, floatsOf(dt)[0])
	check(depth >= 0 && depth <= maxBytes, "depth is %d", depth)
	check(vals.Len() == 2, "values must be two, got %s", vals.TypeString())
	a := normAxis(c.Attrs.Int("axis", -1), len(it.Shape)+1)
	shape := append(append(append([]int64{}, it.Shape[:a]...), depth), it.Shape[a:]...)
	out := stridedCopy(vals, 0, shape, make([]int64, len(shape)))
	inner := product(it.Shape[a:])
	for o, f := range floatsOf(it) {
		i := floatToInt(tensor.I64, f)
		if i < 0 {
			i += depth
		}
		if i >= 0 && i < depth {
			outer, in := int64(o)/inner, int64(o)%inner
			copyElem(out, (outer*depth+i)*inner+in, vals, 1)
		}
	}
	c.give(out)
	return nil
}

// ReverseSequence reverses the first elements of each sequence of a batch.
func ReverseSequence(c *Call) (err error) {
	defer guard(&err)
	x, lens := c.in(0), intsOf(c.in(1))
	axes := normAxes([]int64{c.Attrs.Int("batch_axis", 1), c.Attrs.Int("time_axis", 0)}, len(x.Shape))
	b, t := axes[0], axes[1]
	check(int64(len(lens)) == x.Shape[b], "%d lengths for a batch of %d", len(lens), x.Shape[b])
	out, st := alloc(x.DType, x.Shape...), stridesOf(x.Shape)
	eachIndex(x.Shape, func(o int64, idx []int64) {
		n := lens[idx[b]]
		check(n >= 0 && n <= x.Shape[t], "length %d of a sequence of %d", n, x.Shape[t])
		src := o
		if idx[t] < n {
			src += (n - 1 - 2*idx[t]) * st[t]
		}
		copyElem(out, o, x, src)
	})
	c.give(out)
	return nil
}

// Compress takes the slices along an axis, or the elements, for which the condition holds.
func Compress(c *Call) (err error) {
	defer guard(&err)
	x, cond := c.in(0), c.in(1)
	check(cond.DType == tensor.Bool && len(cond.Shape) == 1, "a bool vector wanted, got %s", cond.TypeString())
	a := 0
	if ax, ok := c.Attrs["axis"].(int64); ok {
		a = normAxis(ax, len(x.Shape))
	} else {
		x = reshaped(x, x.Len())
	}
	var idx []int64
	for i, b := range cond.Data[:cond.Len()] {
		if b != 0 {
			check(int64(i) < x.Shape[a], "condition %d holds beyond dimension %d", i, x.Shape[a])
			idx = append(idx, int64(i))
		}
	}
	sub := &Call{In: []Value{x, tensor.Of(append([]int64{}, idx...), int64(len(idx)))}, Attrs: Attrs{"axis": int64(a)}, NumOut: 1}
	if err := Gather(sub); err != nil {
		return err
	}
	c.Out = sub.Out
	return nil
}

// truthOf tells which elements are not 0; strings, which are not empty.
func truthOf(x *tensor.Tensor) []bool {
	out := make([]bool, x.Len())
	if x.DType == tensor.String {
		for i, s := range x.Strings {
			out[i] = s != ""
		}
		return out
	}
	parts := []*tensor.Tensor{x}
	if half, ok := halves[x.DType]; ok {
		parts = []*tensor.Tensor{part(x, 0, half.number), part(x, 1, half.number)}
	}
	for _, p := range parts {
		for i, v := range floatsOf(p) {
			out[i] = out[i] || v != 0
		}
	}
	return out
}

// NonZero gives the indices of the non-zero elements, [rank, count].
func NonZero(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	var hits []int64
	r := int64(len(x.Shape))
	hit := truthOf(x)
	eachIndex(x.Shape, func(o int64, idx []int64) {
		if hit[o] {
			hits = append(hits, idx...)
			if r == 0 {
				hits = append(hits, 0)
			}
		}
	})
	n := int64(len(hits)) / max(r, 1)
	if r == 0 {
		c.give(alloc(tensor.I64, 0, n))
		return nil
	}
	out := alloc(tensor.I64, r, n)
	dst := view[int64](out)
	for i, h := range hits {
		dst[int64(i)%r*n+int64(i)/r] = h
	}
	c.give(out)
	return nil
}
