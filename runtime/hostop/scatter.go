package hostop

// TensorScatter is a cache with an update written along an axis at a position for each batch, modulo the size
// of the axis in mode circular.
func TensorScatter(c *Call) (err error) {
	defer guard(&err)
	x, upd := c.in(0), c.in(1)
	sameType(x, upd)
	r := len(x.Shape)
	a := normAxis(c.Attrs.Int("axis", -2), r)
	check(a > 0, "the axis must not be that of the batches")
	check(len(upd.Shape) == r && upd.Shape[a] <= x.Shape[a], "update %s for cache %s", upd.TypeString(), x.TypeString())
	for i, d := range x.Shape {
		check(i == a || upd.Shape[i] == d, "update %s for cache %s", upd.TypeString(), x.TypeString())
	}
	mode := c.Attrs.Str("mode", "linear")
	oneOf("mode", mode, "linear", "circular")
	at := make([]int64, x.Shape[0])
	if t := c.opt(2); t != nil {
		at = intsOf(t)
	}
	check(int64(len(at)) == x.Shape[0], "%d write indices for %d batches", len(at), x.Shape[0])
	n, inner := x.Shape[a], product(x.Shape[a+1:])
	for _, p := range at {
		check(p >= 0 && (mode == "linear" && p+upd.Shape[a] <= n || mode == "circular" && p < n), "write index %d out of range", p)
	}
	out := clone(x)
	rows := upd.Shape[:a+1]
	eachIndex(rows, func(o int64, idx []int64) {
		p := (idx[a] + at[idx[0]]) % n
		copyElems(out, (o/rows[a]*n+p)*inner, upd, o*inner, inner)
	})
	c.give(out)
	return nil
}

// CenterCropPad cuts or pads axes to a shape, around the centre; of an odd number, the end gets the larger part.
func CenterCropPad(c *Call) (err error) {
	defer guard(&err)
	x, shape := c.in(0), intsOf(c.in(1))
	r := len(x.Shape)
	axes := make([]int, r)
	for i := range axes {
		axes[i] = i
	}
	if a := c.Attrs.Ints("axes", nil); a != nil {
		axes = normAxes(a, r)
	}
	check(len(shape) == len(axes), "%d sizes for %d axes", len(shape), len(axes))
	before, after := make([]int64, r), make([]int64, r)
	for i, a := range axes {
		check(shape[i] >= 0 && shape[i] <= maxBytes, "size %d", shape[i])
		more := shape[i] - x.Shape[a]
		before[a] = more / 2 // towards 0, of what is cut and of what is added
		after[a] = more - before[a]
	}
	c.give(pad(x, before, after, "constant", nil))
	return nil
}
