package hostop

import (
	"math"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// Identity is its operand, of any type.
func Identity(c *Call) error {
	if len(c.In) == 0 {
		return Errorf("input 0 is missing")
	}
	return c.Return(c.In[0])
}

// Const is the tensor that the op holds.
func Const(c *Call) error {
	t, ok := c.Attrs["value"].(*tensor.Tensor)
	if !ok || t == nil {
		return Errorf("attribute value is missing")
	}
	return c.Return(t)
}

// Reshape gives another shape: 0 copies a dimension (unless allowzero), one -1 is inferred.
func Reshape(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	shape := intsOf(c.in(1))
	infer, known := -1, int64(1)
	for i, d := range shape {
		switch {
		case d == 0 && c.Attrs.Int("allowzero", 0) == 0:
			check(i < len(x.Shape), "dimension %d of %v copies one that %s lacks", i, shape, x.TypeString())
			shape[i] = x.Shape[i]
		case d == -1:
			check(infer < 0, "two dimensions are -1 in %v", shape)
			infer = i
			continue
		}
		check(shape[i] >= 0, "dimension %d in %v", d, shape)
		check(shape[i] == 0 || known <= math.MaxInt64/shape[i], "shape %v is too large", shape)
		known *= shape[i]
	}
	n := x.Len()
	if infer >= 0 {
		check(known != 0 && n%known == 0, "cannot reshape %s to %v", x.TypeString(), shape)
		shape[infer] = n / known
		known = n
	}
	check(known == n, "cannot reshape %s to %v", x.TypeString(), shape)
	c.give(reshaped(x, shape...))
	return nil
}

// Flatten splits the dimensions before axis into two.
func Flatten(c *Call) (err error) {
	defer guard(&err)
	x, a := c.in(0), c.Attrs.Int("axis", 1)
	if a < 0 {
		a += int64(len(x.Shape))
	}
	check(a >= 0 && a <= int64(len(x.Shape)), "axis %d for %s", a, x.TypeString())
	c.give(reshaped(x, product(x.Shape[:a]), product(x.Shape[a:])))
	return nil
}

// Squeeze removes dimensions of size 1: those of axes, or all.
func Squeeze(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	drop := make([]bool, len(x.Shape))
	if t := c.opt(1); t != nil {
		for _, a := range normAxes(intsOf(t), len(x.Shape)) {
			check(x.Shape[a] == 1, "dimension %d of %s is not 1", a, x.TypeString())
			drop[a] = true
		}
	} else {
		for i, d := range x.Shape {
			drop[i] = d == 1
		}
	}
	var shape []int64
	for i, d := range x.Shape {
		if !drop[i] {
			shape = append(shape, d)
		}
	}
	c.give(reshaped(x, shape...))
	return nil
}

// Unsqueeze inserts dimensions of size 1 at axes of the result.
func Unsqueeze(c *Call) (err error) {
	defer guard(&err)
	x, axes := c.in(0), intsOf(c.in(1))
	shape := make([]int64, len(x.Shape)+len(axes))
	for _, a := range normAxes(axes, len(shape)) {
		shape[a] = 1
	}
	k := 0
	for i := range shape {
		if shape[i] == 0 {
			shape[i] = -1 // taken from x, whose dimensions may be 0
		}
	}
	for i := range shape {
		if shape[i] == -1 {
			shape[i] = x.Shape[k]
			k++
		}
	}
	c.give(reshaped(x, shape...))
	return nil
}

// Transpose permutes dimensions; without perm it reverses them.
func Transpose(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	r := len(x.Shape)
	perm := c.Attrs.Ints("perm", nil)
	if perm == nil {
		for i := range r {
			perm = append(perm, int64(r-1-i))
		}
	}
	check(len(perm) == r, "perm %v for %s", perm, x.TypeString())
	c.give(permute(x, normAxes(perm, r)))
	return nil
}

func permute(x *tensor.Tensor, perm []int) *tensor.Tensor {
	st := stridesOf(x.Shape)
	shape, strides := make([]int64, len(perm)), make([]int64, len(perm))
	for i, p := range perm {
		shape[i], strides[i] = x.Shape[p], st[p]
	}
	return stridedCopy(x, 0, shape, strides)
}

// Expand broadcasts to a shape, both ways.
func Expand(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	shape := broadcastShape(x.Shape, intsOf(c.in(1)))
	c.give(stridedCopy(x, 0, shape, broadcastStrides(x.Shape, shape)))
	return nil
}

// Tile repeats along each axis.
func Tile(c *Call) (err error) {
	defer guard(&err)
	x, rep := c.in(0), intsOf(c.in(1))
	check(len(rep) == len(x.Shape), "%d repeats for %s", len(rep), x.TypeString())
	// As a tensor of twice the rank: repeats have stride 0.
	shape, wide, strides := make([]int64, len(rep)), make([]int64, 2*len(rep)), make([]int64, 2*len(rep))
	st := stridesOf(x.Shape)
	for i, n := range rep {
		check(n >= 0, "repeat %d", n)
		elemCount([]int64{x.Shape[i], n}, x.DType.Bits())
		shape[i] = x.Shape[i] * n
		wide[2*i], wide[2*i+1], strides[2*i+1] = n, x.Shape[i], st[i]
	}
	elemCount(wide, x.DType.Bits())
	c.give(reshaped(stridedCopy(x, 0, wide, strides), shape...))
	return nil
}

// Concat joins along an axis.
func Concat(c *Call) (err error) {
	defer guard(&err)
	var xs []*tensor.Tensor
	for i := range c.In {
		xs = append(xs, c.in(i))
	}
	check(len(xs) > 0, "no operands")
	c.give(concat(xs, c.Attrs.Int("axis", 0)))
	return nil
}

func concat(xs []*tensor.Tensor, axis int64) *tensor.Tensor {
	sameType(xs...)
	a := normAxis(axis, len(xs[0].Shape))
	shape := append([]int64{}, xs[0].Shape...)
	shape[a] = 0
	for _, x := range xs {
		check(len(x.Shape) == len(shape), "ranks differ: %s and %s", xs[0].TypeString(), x.TypeString())
		for i, d := range x.Shape {
			check(i == a || d == shape[i], "cannot join %s and %s along axis %d", xs[0].TypeString(), x.TypeString(), a)
		}
		shape[a] += x.Shape[a]
	}
	out := alloc(xs[0].DType, shape...)
	st, at := stridesOf(shape), int64(0)
	for _, x := range xs {
		copyStrided(out, at*st[a], st, x, 0, stridesOf(x.Shape), x.Shape)
		at += x.Shape[a]
	}
	return out
}

// Split cuts along an axis: into the sizes of its second operand, or num_outputs equal parts, the last smaller.
func Split(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	a := normAxis(c.Attrs.Int("axis", 0), len(x.Shape))
	n := x.Shape[a]
	var sizes []int64
	if t := c.opt(1); t != nil {
		sizes = intsOf(t)
	} else {
		parts := c.Attrs.Int("num_outputs", int64(c.NumOut))
		check(parts > 0 && parts <= max(int64(c.NumOut), 1), "num_outputs is %d for %d results", parts, c.NumOut)
		each := (n + parts - 1) / parts
		for i := range parts {
			sizes = append(sizes, max(0, min(each, n-i*each)))
		}
	}
	c.give(cut(x, a, sizes)...)
	return nil
}

// cut splits x along axis a into parts of the given sizes.
func cut(x *tensor.Tensor, a int, sizes []int64) (out []*tensor.Tensor) {
	st, at := stridesOf(x.Shape), int64(0)
	for _, s := range sizes {
		check(s >= 0 && at+s <= x.Shape[a], "parts %v of dimension %d", sizes, x.Shape[a])
		shape := append([]int64{}, x.Shape...)
		shape[a] = s
		out = append(out, stridedCopy(x, at*st[a], shape, st))
		at += s
	}
	check(at == x.Shape[a], "parts %v of dimension %d", sizes, x.Shape[a])
	return out
}

// Slice takes every step-th element between start and end of each axis; ends clamp.
func Slice(c *Call) (err error) {
	defer guard(&err)
	x, starts, ends := c.in(0), intsOf(c.in(1)), intsOf(c.in(2))
	r := len(x.Shape)
	check(len(starts) == len(ends), "%d starts and %d ends", len(starts), len(ends))
	axes, steps := make([]int64, len(starts)), make([]int64, len(starts))
	for i := range axes {
		axes[i], steps[i] = int64(i), 1
	}
	if t := c.opt(3); t != nil {
		axes = intsOf(t)
	}
	if t := c.opt(4); t != nil {
		steps = intsOf(t)
	}
	check(len(axes) == len(starts) && len(steps) == len(starts), "%d starts, %d axes, %d steps", len(starts), len(axes), len(steps))
	shape, strides, base := append([]int64{}, x.Shape...), stridesOf(x.Shape), int64(0)
	for i, a := range normAxes(axes, r) {
		start, n := sliceRange(starts[i], ends[i], steps[i], x.Shape[a])
		shape[a] = n
		base += start * strides[a]
		if n > 1 {
			strides[a] *= steps[i]
		}
	}
	c.give(stridedCopy(x, base, shape, strides))
	return nil
}

// sliceRange gives the first index and the count of start:end:step on a dimension of size n.
func sliceRange(start, end, step, n int64) (first, count int64) {
	check(step != 0, "step is 0")
	wrap := func(i, lo, hi int64) int64 {
		if i < 0 {
			i += n // cannot overflow: n >= 0
		}
		return min(max(i, lo), hi)
	}
	if step > 0 {
		start, end = wrap(start, 0, n), wrap(end, 0, n)
		if end <= start {
			return 0, 0
		}
		return start, (end-start-1)/step + 1
	}
	start, end = wrap(start, -1, n-1), wrap(end, -1, n-1)
	if start <= end {
		return 0, 0
	}
	if step == math.MinInt64 {
		return start, 1
	}
	return start, (start-end-1)/-step + 1
}

// Pad adds a border or, where pads are negative, crops.
func Pad(c *Call) (err error) {
	defer guard(&err)
	x, pads := c.in(0), intsOf(c.in(1))
	r := len(x.Shape)
	axes := make([]int, r)
	for i := range axes {
		axes[i] = i
	}
	if t := c.opt(3); t != nil {
		axes = normAxes(intsOf(t), r)
	}
	check(len(pads) == 2*len(axes), "%d pads for %d axes", len(pads), len(axes))
	before, after := make([]int64, r), make([]int64, r)
	for i, a := range axes {
		before[a], after[a] = pads[i], pads[len(axes)+i]
	}
	mode := c.Attrs.Str("mode", "constant")
	oneOf("mode", mode, "constant", "reflect", "edge", "wrap")
	var fill *tensor.Tensor
	if t := c.opt(2); t != nil {
		sameType(x, t)
		check(t.Len() == 1, "the padding must be a scalar, got %s", t.TypeString())
		fill = t
	}
	c.give(pad(x, before, after, mode, fill))
	return nil
}

// pad pads one axis after another; the order does not matter in any mode.
func pad(x *tensor.Tensor, before, after []int64, mode string, fill *tensor.Tensor) *tensor.Tensor {
	shape := append([]int64{}, x.Shape...)
	for a := range shape {
		check(before[a] >= -maxBytes && before[a] <= maxBytes && after[a] >= -maxBytes && after[a] <= maxBytes, "pads %d, %d", before[a], after[a])
		shape[a] += before[a] + after[a]
		check(shape[a] >= 0, "pads %d, %d crop more than dimension %d of %s", before[a], after[a], a, x.TypeString())
		check(-before[a] <= x.Shape[a] && -after[a] <= x.Shape[a], "pads %d, %d crop more than dimension %d of %s", before[a], after[a], a, x.TypeString())
	}
	out := alloc(x.DType, shape...)
	maps := make([][]int64, len(shape))
	for a := range shape {
		maps[a] = padMap(x.Shape[a], before[a], after[a], mode)
	}
	st := stridesOf(x.Shape)
	eachIndex(shape, func(o int64, idx []int64) {
		src := int64(0)
		for a, i := range idx {
			m := maps[a][i]
			if m < 0 {
				if fill != nil {
					copyElem(out, o, fill, 0)
				}
				return
			}
			src += m * st[a]
		}
		copyElem(out, o, x, src)
	})
	return out
}

// padMap gives the source index, -1 for the fill value, of each index of a padded dimension of size n.
func padMap(n, before, after int64, mode string) []int64 {
	if mode == "reflect" {
		check(before < n && after < n || before <= 0 && after <= 0, "reflection by %d, %d of a dimension of %d", before, after, n)
	}
	if mode != "constant" {
		check(n > 0 || before <= 0 && after <= 0, "mode %s pads a dimension of 0", mode)
	}
	// Cropping comes first, so that modes repeat what is left of it.
	lo, hi := max(0, -before), n-max(0, -after)
	k := hi - lo
	m := make([]int64, max(0, n+before+after))
	for i := range m {
		p := int64(i) - max(before, 0)
		if p >= 0 && p < k {
			m[i] = lo + p
			continue
		}
		check(mode == "constant" || k > 0, "nothing is left to pad with")
		switch mode {
		case "constant":
			m[i] = -1
			continue
		case "edge":
			p = min(max(p, 0), k-1)
		case "reflect":
			if p < 0 {
				p = -p
			} else {
				p = 2*(k-1) - p
			}
			check(p >= 0 && p < k, "reflection by %d, %d of a dimension of %d", before, after, n)
		case "wrap":
			p = ((p % k) + k) % k
		}
		m[i] = lo + p
	}
	return m
}

// Shape gives the dimensions from start to end.
func Shape(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	r := int64(len(x.Shape))
	clamp := func(i int64) int64 {
		if i < 0 {
			i += r
		}
		return min(max(i, 0), r)
	}
	from, to := clamp(c.Attrs.Int("start", 0)), clamp(c.Attrs.Int("end", r))
	dims := append([]int64{}, x.Shape[from:max(from, to)]...)
	c.give(tensor.Of(dims, int64(len(dims))))
	return nil
}

// Size is the number of elements.
func Size(c *Call) (err error) {
	defer guard(&err)
	c.give(tensor.Of([]int64{c.in(0).Len()}))
	return nil
}

// ConstantOfShape fills a shape with one value, f32 0 by default.
func ConstantOfShape(c *Call) (err error) {
	defer guard(&err)
	shape := intsOf(c.in(0))
	v, _ := c.Attrs["value"].(*tensor.Tensor)
	if v == nil {
		v = tensor.New(tensor.F32)
	}
	check(v.Len() == 1, "value must have one element, got %s", v.TypeString())
	c.give(stridedCopy(v, 0, shape, make([]int64, len(shape))))
	return nil
}

// Range is start, start+delta, ... before limit.
func Range(c *Call) (err error) {
	defer guard(&err)
	a, b, d := c.in(0), c.in(1), c.in(2)
	sameType(a, b, d)
	if a.DType.IsInt() {
		c.give(intRangeTensor(a.DType, scalarInt(a, "start"), scalarInt(b, "limit"), scalarInt(d, "delta")))
		return nil
	}
	start, limit, delta := scalarFloat(a, "start"), scalarFloat(b, "limit"), scalarFloat(d, "delta")
	n := math.Ceil((limit - start) / delta)
	check(delta != 0 && n == n && n <= maxBytes/8, "range from %g to %g by %g", start, limit, delta)
	vals := make([]float64, int64(max(n, 0)))
	for i := range vals {
		vals[i] = start + float64(i)*delta
	}
	c.give(fromFloats(a.DType, []int64{int64(len(vals))}, vals))
	return nil
}

func intRangeTensor(d tensor.DType, start, limit, delta int64) *tensor.Tensor {
	check(delta != 0, "delta is 0")
	n := uint64(0)
	switch {
	case delta > 0 && limit > start:
		n = (uint64(limit)-uint64(start)-1)/uint64(delta) + 1
	case delta < 0 && limit < start:
		n = (uint64(start)-uint64(limit)-1)/-uint64(delta) + 1
	}
	check(n <= maxBytes/8, "range from %d to %d by %d", start, limit, delta)
	vals := make([]int64, n)
	for i := range vals {
		vals[i] = start + int64(i)*delta
	}
	return fromInts(d, []int64{int64(n)}, vals)
}

// EyeLike has 1 on diagonal k, 0 elsewhere, in the shape of a matrix.
func EyeLike(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	check(len(x.Shape) == 2, "a matrix wanted, got %s", x.TypeString())
	out, k := alloc(c.Attrs.DType("dtype", x.DType), x.Shape...), c.Attrs.Int("k", 0)
	put := floatPutter(out, true)
	for i := range x.Shape[0] {
		if j := i + k; j >= 0 && j < x.Shape[1] {
			put(i*x.Shape[1]+j, 1)
		}
	}
	c.give(out)
	return nil
}

// Trilu keeps the upper or lower triangle of matrices.
func Trilu(c *Call) (err error) {
	defer guard(&err)
	x, k := c.in(0), int64(0)
	if t := c.opt(1); t != nil {
		k = scalarInt(t, "k")
	}
	r := len(x.Shape)
	check(r >= 2, "matrices wanted, got %s", x.TypeString())
	h, w, upper := x.Shape[r-2], x.Shape[r-1], c.Attrs.Int("upper", 1) != 0
	out := alloc(x.DType, x.Shape...)
	for o := range x.Len() {
		i, j := o/w%h, o%w
		if upper && j-i >= k || !upper && j-i <= k {
			copyElem(out, o, x, o)
		}
	}
	c.give(out)
	return nil
}

// DepthToSpace moves channels into blocks of pixels.
func DepthToSpace(c *Call) (err error) {
	defer guard(&err)
	x, b := c.in(0), c.Attrs.Int("blocksize", 0)
	mode := c.Attrs.Str("mode", "DCR")
	oneOf("mode", mode, "DCR", "CRD")
	check(len(x.Shape) == 4 && b > 0 && b < 1<<15 && x.Shape[1]%(b*b) == 0, "blocksize %d for %s", b, x.TypeString())
	n, ch, h, w := x.Shape[0], x.Shape[1]/(b*b), x.Shape[2], x.Shape[3]
	y := permute(reshaped(x, n, b, b, ch, h, w), []int{0, 3, 4, 1, 5, 2})
	if mode == "CRD" {
		y = permute(reshaped(x, n, ch, b, b, h, w), []int{0, 1, 4, 2, 5, 3})
	}
	c.give(reshaped(y, n, ch, h*b, w*b))
	return nil
}

// SpaceToDepth moves blocks of pixels into channels.
func SpaceToDepth(c *Call) (err error) {
	defer guard(&err)
	x, b := c.in(0), c.Attrs.Int("blocksize", 0)
	check(len(x.Shape) == 4 && b > 0 && x.Shape[2]%b == 0 && x.Shape[3]%b == 0, "blocksize %d for %s", b, x.TypeString())
	n, ch, h, w := x.Shape[0], x.Shape[1], x.Shape[2]/b, x.Shape[3]/b
	y := reshaped(x, n, ch, h, b, w, b)
	if c.Attrs.Str("mode", "DCR") == "CRD" {
		y = permute(y, []int{0, 1, 3, 5, 2, 4})
	} else {
		y = permute(y, []int{0, 3, 5, 1, 2, 4})
	}
	c.give(reshaped(y, n, ch*b*b, h, w))
	return nil
}
