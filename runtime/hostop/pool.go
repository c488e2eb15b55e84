package hostop

import (
	"math"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// poolWindow reads the attributes of a pool over x.
func poolWindow(a Attrs, x *tensor.Tensor) window {
	_, _, spatial := images(x)
	return windowOf(a, spatial, listAttr(a, "kernel_shape", len(spatial), 1, 1))
}

// pool folds each window of each channel: f gets the position in the result and the offset of an
// element, both counted over the whole tensors.
func pool(x *tensor.Tensor, w window, f func(o, i int64)) {
	n, c, spatial := images(x)
	in, out := product(spatial), product(w.out)
	w.eachTap(spatial, w.out, func(_, pos, at int64, box, posStr, atStr []int64) {
		for ch := range n * c {
			eachRow(box, [][]int64{posStr, atStr}, func(_, k int64, off, step []int64) {
				p, q := ch*out+pos+off[0], ch*in+at+off[1]
				for range k {
					f(p, q)
					p, q = p+step[0], q+step[1]
				}
			})
		}
	})
}

// outShape is the shape of a pool's result.
func (w window) outShape(x *tensor.Tensor) []int64 {
	return append([]int64{x.Shape[0], x.Shape[1]}, w.out...)
}

// MaxPool is the maximum over windows, NaN where there is one, and its flat index in the input.
func MaxPool(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	w := poolWindow(c.Attrs, x)
	shape := w.outShape(x)
	elemCount(shape, 64)
	v := floatsOf(x)
	y, idx := make([]float64, product(shape)), make([]int64, product(shape))
	floor := math.Inf(-1)
	if x.DType.IsInt() {
		lo, _ := intRange(x.DType)
		floor = float64(lo)
	}
	for i := range y {
		y[i], idx[i] = floor, -1
	}
	pool(x, w, func(o, i int64) {
		if idx[o] < 0 || better(v[i], y[o]) {
			y[o], idx[o] = v[i], i
		}
	})
	out := []*tensor.Tensor{fromFloats(x.DType, shape, y)}
	if c.wants(1) {
		if c.Attrs.Int("storage_order", 0) != 0 {
			columnMajor(idx, x.Shape[2:])
		}
		out = append(out, fromInts(tensor.I64, shape, idx))
	}
	c.give(out...)
	return nil
}

// columnMajor renumbers flat indices so that the first spatial dimension runs fastest.
func columnMajor(idx, spatial []int64) {
	per := product(spatial)
	for k, i := range idx {
		if i < 0 {
			continue
		}
		rest, flat := i%per, i/per*per
		scale := per
		for d := len(spatial) - 1; d >= 0; d-- {
			scale /= spatial[d]
			flat += rest % spatial[d] * scale
			rest /= spatial[d]
		}
		idx[k] = flat
	}
}

// AveragePool is the mean over windows; padding counts with count_include_pad.
func AveragePool(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	w := poolWindow(c.Attrs, x)
	shape := w.outShape(x)
	elemCount(shape, 64)
	v := floatsOf(x)
	sum, n := make([]float64, product(shape)), make([]float64, product(shape))
	pool(x, w, func(o, i int64) {
		sum[o] += v[i]
		n[o]++
	})
	if c.Attrs.Int("count_include_pad", 0) != 0 {
		w.countPadded(x.Shape[2:], n)
	}
	for i := range sum {
		if n[i] > 0 {
			sum[i] /= n[i]
		}
	}
	c.give(fromFloats(x.DType, shape, sum))
	return nil
}

// countPadded counts the taps of each position that lie in the padded tensor: with ceil_mode the last
// windows may reach beyond it.
func (w window) countPadded(spatial []int64, n []float64) {
	per := product(w.out)
	eachIndex(w.out, func(o int64, idx []int64) {
		count := 1.0
		for d, p := range idx {
			padded := spatial[d] + w.before[d] + w.after[d]
			inside := (padded-p*w.strides[d]-1)/w.dilations[d] + 1
			count *= float64(min(inside, w.kernel[d]))
		}
		for i := o; i < int64(len(n)); i += per {
			n[i] = count
		}
	})
}

// LpPool is the p-norm over windows.
func LpPool(c *Call) (err error) {
	defer guard(&err)
	x, p := c.in(0), float64(c.Attrs.Int("p", 2))
	check(p >= 1, "p is %v, want 1 or more", p)
	w := poolWindow(c.Attrs, x)
	shape := w.outShape(x)
	elemCount(shape, 64)
	v, sum := floatsOf(x), make([]float64, product(shape))
	pool(x, w, func(o, i int64) { sum[o] += math.Pow(math.Abs(v[i]), p) })
	for i := range sum {
		sum[i] = math.Pow(sum[i], 1/p)
	}
	c.give(fromFloats(x.DType, shape, sum))
	return nil
}

// MaxUnpool puts maxima back where MaxPool took them, zeros elsewhere.
func MaxUnpool(c *Call) (err error) {
	defer guard(&err)
	x, it := c.in(0), c.in(1)
	_, _, spatial := images(x)
	n := len(spatial)
	k, s, pads := listAttr(c.Attrs, "kernel_shape", n, 1, 1), listAttr(c.Attrs, "strides", n, 1, 1), listAttr(c.Attrs, "pads", 2*n, 0, 0)
	natural := append([]int64{}, x.Shape...)
	for i, d := range spatial {
		natural[2+i] = (d-1)*s[i] + k[i] - pads[i] - pads[n+i]
	}
	shape := natural
	if t := c.opt(2); t != nil {
		shape = intsOf(t)
		check(len(shape) == n+2, "output_shape %v for %s", shape, x.TypeString())
	}
	out, st := alloc(x.DType, shape...), stridesOf(shape)
	check(it.Len() == x.Len(), "indices %s for %s", it.TypeString(), x.TypeString())
	for o, i := range intsOf(it) {
		// Indices count in the natural shape; a larger one holds it at its start.
		check(i >= 0 && i < product(natural), "index %d out of range for %v", i, natural)
		at := int64(0)
		for d := len(natural) - 1; d >= 0; d-- {
			p := i % natural[d]
			check(p < shape[d], "index %d out of range for %v", i, shape)
			at += p * st[d]
			i /= natural[d]
		}
		copyElem(out, at, x, int64(o))
	}
	c.give(out)
	return nil
}

// globalPool folds all pixels of each channel.
func globalPool(c *Call, f func(v []float64) float64) (err error) {
	defer guard(&err)
	x := c.in(0)
	check(len(x.Shape) >= 2, "an image [N,C,...] wanted, got %s", x.TypeString())
	axes := make([]int, len(x.Shape)-2)
	for i := range axes {
		axes[i] = i + 2
	}
	l := lanesOf(x, axes, true)
	c.give(fromFloats(x.DType, l.shape, foldLanes(l, floatsOf(x), f)))
	return nil
}

func meanOf(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	return sumOf(ident[float64])(v) / float64(len(v))
}

// GlobalAveragePool is the mean over all pixels.
func GlobalAveragePool(c *Call) error { return globalPool(c, meanOf) }

// GlobalMaxPool is the maximum over all pixels.
func GlobalMaxPool(c *Call) error {
	return globalPool(c, func(v []float64) float64 { return fold(math.Inf(-1), v, maxNaN) })
}

// GlobalLpPool is the p-norm over all pixels.
func GlobalLpPool(c *Call) error {
	p := float64(c.Attrs.Int("p", 2))
	return globalPool(c, func(v []float64) float64 {
		return math.Pow(sumOf(func(x float64) float64 { return math.Pow(math.Abs(x), p) })(v), 1/p)
	})
}
