package hostop

import "github.com/nnc-go/nnc/runtime/tensor"

// Col2Im sums columns of patches [N, C*block, positions] into an image [N, C, image...]: the transpose of taking
// the patches of a convolution's windows. Strings are joined, in the order of the taps.
func Col2Im(c *Call) (err error) {
	defer guard(&err)
	return byParts(c, col2Im)
}

func col2Im(c *Call) error {
	x, image, block := c.in(0), intsOf(c.in(1)), intsOf(c.in(2))
	check(len(x.Shape) == 3 && len(image) == len(block) && len(image) > 0, "columns %s for image_shape %v and block_shape %v", x.TypeString(), image, block)
	n, taps := x.Shape[0], product(block)
	for _, d := range image {
		check(d >= 0, "image_shape is %v", image)
	}
	w := windowOf(c.Attrs, image, block)
	check(taps > 0 && x.Shape[1]%taps == 0 && x.Shape[2] == product(w.out), "columns %s for blocks %v at positions %v", x.TypeString(), block, w.out)
	ch := x.Shape[1] / taps
	shape := append([]int64{n, ch}, image...)
	size, count := product(image), product(w.out)
	switch {
	case x.DType == tensor.String:
		out := alloc(x.DType, shape...)
		col2im(w, image, n*ch, taps, size, count, x.Strings, out.Strings)
		c.give(out)
		return nil
	case x.DType.IsInt():
		y := make([]int64, elemCount(shape, 64))
		col2im(w, image, n*ch, taps, size, count, intsOf(x), y)
		c.give(fromInts(x.DType, shape, y))
		return nil
	}
	y := make([]float64, elemCount(shape, 64))
	col2im(w, image, n*ch, taps, size, count, floatsOf(x), y)
	c.give(fromFloats(x.DType, shape, y))
	return nil
}

func col2im[T float64 | int64 | string](w window, image []int64, planes, taps, size, count int64, x, y []T) {
	w.eachTap(image, w.out, func(tap, pos, at int64, box, posStr, atStr []int64) {
		for p := range planes {
			src, dst := x[(p*taps+tap)*count:], y[p*size:]
			eachRow(box, [][]int64{posStr, atStr}, func(_, k int64, off, step []int64) {
				i, j := pos+off[0], at+off[1]
				for range k {
					dst[j] += src[i]
					i, j = i+step[0], j+step[1]
				}
			})
		}
	})
}
