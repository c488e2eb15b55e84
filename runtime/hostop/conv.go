package hostop

import "github.com/nnc-go/nnc/runtime/tensor"

// kernelOf gives kernel_shape, which must agree with the weights.
func kernelOf(a Attrs, w *tensor.Tensor) []int64 {
	check(len(w.Shape) >= 3, "weights of rank 3 or more wanted, got %s", w.TypeString())
	k := w.Shape[2:]
	if given := a.Ints("kernel_shape", nil); given != nil {
		check(tensor.ShapeString(given) == tensor.ShapeString(k), "kernel_shape %v for weights %s", given, w.TypeString())
	}
	return k
}

// convolve computes a convolution in float64, as all convolutions do; x and w hold the elements of
// tensors of the given shapes. It gives the sums and their shape.
func convolve(a Attrs, x []float64, xs []int64, w []float64, wt *tensor.Tensor) ([]float64, []int64) {
	check(len(xs) == len(wt.Shape) && len(xs) >= 3, "input %s for weights %s", tensor.ShapeString(xs), wt.TypeString())
	group, n, cin, spatial := a.Int("group", 1), xs[0], xs[1], xs[2:]
	win := windowOf(a, spatial, kernelOf(a, wt))
	m, cg := wt.Shape[0], wt.Shape[1]
	check(group > 0 && cin == cg*group && m%group == 0, "%d groups of weights %s for input %s", group, wt.TypeString(), tensor.ShapeString(xs))
	shape := append([]int64{n, m}, win.out...)
	y := make([]float64, elemCount(shape, 64))
	in, out, taps := product(spatial), product(win.out), product(win.kernel)
	win.eachTap(spatial, win.out, func(tap, pos, at int64, box, posStr, atStr []int64) {
		strides := [][]int64{posStr, atStr}
		for nm := range n * m {
			b, o := nm/m, nm%m
			acc := y[nm*out:]
			for c := range cg {
				f := w[(o*cg+c)*taps+tap]
				img := x[(b*cin+o/(m/group)*cg+c)*in:]
				eachRow(box, strides, func(_, k int64, off, step []int64) {
					addScaled(acc, pos+off[0], step[0], f, img, at+off[1], step[1], k)
				})
			}
		}
	})
	return y, shape
}

// addScaled adds f times n elements of src, from j in steps, to those of dst, from i in steps.
func addScaled(dst []float64, i, di int64, f float64, src []float64, j, dj, n int64) {
	if di == 1 && dj == 1 {
		d := dst[i : i+n]
		for k, x := range src[j : j+n] {
			d[k] += f * x
		}
		return
	}
	for range n {
		dst[i] += f * src[j]
		i, j = i+di, j+dj
	}
}

// addBias adds b[c] to channel c of y, of shape [N,C,...].
func addBias(y []float64, shape []int64, b *tensor.Tensor) {
	if b == nil {
		return
	}
	check(b.Len() == shape[1], "bias %s for %d channels", b.TypeString(), shape[1])
	v, per := floatsOf(b), product(shape[2:])
	for i := range y {
		y[i] += v[int64(i)/per%shape[1]]
	}
}

// Conv is convolution of any rank.
func Conv(c *Call) (err error) {
	defer guard(&err)
	x, w := c.in(0), c.in(1)
	sameType(x, w)
	y, shape := convolve(c.Attrs, floatsOf(x), x.Shape, floatsOf(w), w)
	addBias(y, shape, c.opt(2))
	c.give(fromFloats(c.productType(x), shape, y))
	return nil
}

// ConvTranspose is transposed convolution of any rank.
func ConvTranspose(c *Call) (err error) {
	defer guard(&err)
	x, w := c.in(0), c.in(1)
	sameType(x, w)
	check(len(x.Shape) == len(w.Shape), "input %s for weights %s", x.TypeString(), w.TypeString())
	n, cin, spatial := images(x)
	group := c.Attrs.Int("group", 1)
	check(group > 0 && w.Shape[0] == cin && cin%group == 0, "%d groups of weights %s for input %s", group, w.TypeString(), x.TypeString())
	win := transposeWindow(c.Attrs, spatial, kernelOf(c.Attrs, w))
	mg, cg := w.Shape[1], cin/group
	shape := append([]int64{n, mg * group}, win.out...)
	y := make([]float64, elemCount(shape, 64))
	xv, wv := floatsOf(x), floatsOf(w)
	in, out, taps := product(spatial), product(win.out), product(win.kernel)
	// Positions are those of the input; a tap lies at p*stride + k*dilation - pad of the output.
	win.eachTap(win.out, spatial, func(tap, pos, at int64, box, posStr, atStr []int64) {
		strides := [][]int64{posStr, atStr}
		for bc := range n * cin {
			b, ch := bc/cin, bc%cin
			img := xv[bc*in:]
			for o := range mg {
				f := wv[(ch*mg+o)*taps+tap]
				acc := y[(b*mg*group+ch/cg*mg+o)*out:]
				eachRow(box, strides, func(_, k int64, off, step []int64) {
					addScaled(acc, at+off[1], step[1], f, img, pos+off[0], step[0], k)
				})
			}
		}
	})
	addBias(y, shape, c.opt(2))
	c.give(fromFloats(x.DType, shape, y))
	return nil
}

// transposeWindow computes the padding and output size of a transposed convolution.
func transposeWindow(a Attrs, spatial, kernel []int64) window {
	n := len(spatial)
	w := window{
		kernel: kernel, strides: listAttr(a, "strides", n, 1, 1), dilations: listAttr(a, "dilations", n, 1, 1),
		before: make([]int64, n), after: make([]int64, n), out: make([]int64, n),
	}
	auto := a.Str("auto_pad", "NOTSET")
	oneOf("auto_pad", auto, "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER", "")
	pads, extra := listAttr(a, "pads", 2*n, 0, 0), listAttr(a, "output_padding", n, 0, 0)
	want := a.Ints("output_shape", nil)
	if len(want) == n+2 {
		want = want[2:] // with batch and channels
	}
	check(want == nil || len(want) == n, "output_shape %v for %d spatial dimensions", want, n)
	for i, size := range spatial {
		full := w.strides[i]*(size-1) + extra[i] + (kernel[i]-1)*w.dilations[i] + 1
		switch {
		case want != nil:
			w.out[i] = want[i]
		case auto == "SAME_UPPER" || auto == "SAME_LOWER":
			w.out[i] = size * w.strides[i]
		default:
			if auto != "VALID" {
				w.before[i], w.after[i] = pads[i], pads[n+i]
			}
			w.out[i] = full - w.before[i] - w.after[i]
			check(w.out[i] >= 0, "padding %v takes more than there is", pads)
			continue
		}
		total := max(0, full-w.out[i])
		w.before[i] = total - total/2
		if auto == "SAME_UPPER" {
			w.before[i] = total / 2
		}
		w.after[i] = total - w.before[i]
	}
	return w
}
