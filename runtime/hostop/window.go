package hostop

import "github.com/nnc-go/nnc/runtime/tensor"

// window says how a kernel moves over the spatial dimensions of a tensor.
type window struct {
	kernel, strides, dilations []int64
	before, after              []int64 // padding
	out                        []int64 // number of positions
}

// listAttr is a list attribute of n entries that are at least least, def each when absent.
func listAttr(a Attrs, name string, n int, def, least int64) []int64 {
	v := a.Ints(name, nil)
	if v == nil {
		v = make([]int64, n)
		for i := range v {
			v[i] = def
		}
	}
	check(len(v) == n, "%s has %d entries, want %d", name, len(v), n)
	for _, x := range v {
		check(x >= least && x <= 1<<31, "%s is %v", name, v)
	}
	return v
}

// windowOf reads the window attributes of a convolution or pool over spatial dimensions.
func windowOf(a Attrs, spatial, kernel []int64) window {
	n := len(spatial)
	for _, k := range kernel {
		check(k >= 1 && k <= 1<<31, "kernel_shape is %v", kernel)
	}
	check(len(kernel) == n, "kernel_shape %v for %d spatial dimensions", kernel, n)
	w := window{
		kernel: kernel, strides: listAttr(a, "strides", n, 1, 1), dilations: listAttr(a, "dilations", n, 1, 1),
		before: make([]int64, n), after: make([]int64, n), out: make([]int64, n),
	}
	auto := a.Str("auto_pad", "NOTSET")
	oneOf("auto_pad", auto, "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER", "")
	pads := listAttr(a, "pads", 2*n, 0, -1<<31) // negative ones crop
	ceil := a.Int("ceil_mode", 0) != 0
	for i, size := range spatial {
		extent := (kernel[i]-1)*w.dilations[i] + 1
		s := w.strides[i]
		switch auto {
		case "SAME_UPPER", "SAME_LOWER":
			w.out[i] = (size + s - 1) / s
			total := max(0, (w.out[i]-1)*s+extent-size)
			w.before[i] = total / 2
			if auto == "SAME_LOWER" {
				w.before[i] = total - total/2
			}
			w.after[i] = total - w.before[i]
			continue
		case "NOTSET", "":
			w.before[i], w.after[i] = pads[i], pads[n+i]
		}
		w.out[i] = positions(size+w.before[i]+w.after[i], extent, s, ceil)
		// A last window that would start in the padding is left out.
		if ceil && w.out[i] > 0 && (w.out[i]-1)*s >= size+w.before[i] {
			w.out[i]--
		}
	}
	return w
}

// positions counts the places of a window of the given extent in a padded dimension.
func positions(padded, extent, stride int64, ceil bool) int64 {
	room := padded - extent
	check(room >= 0, "the kernel spans %d elements of a dimension that has only %d with its padding", extent, padded)
	if ceil {
		room += stride - 1
	}
	return room/stride + 1
}

// box is the range of positions for which a tap of the kernel lies inside, and where it starts.
// A position p of dimension i touches p*stride + shift[i].
type box struct {
	lo, shape []int64
}

// boxOf finds the positions p, of count along each dimension, with 0 <= p*stride+shift < size.
func boxOf(count, size, strides, shift []int64) (b box, empty bool) {
	b.lo, b.shape = make([]int64, len(count)), make([]int64, len(count))
	for i := range count {
		lo, hi := int64(0), count[i]
		if shift[i] < 0 {
			lo = (-shift[i] + strides[i] - 1) / strides[i]
		}
		if last := size[i] - 1 - shift[i]; last < 0 {
			hi = 0
		} else {
			hi = min(hi, last/strides[i]+1)
		}
		if hi <= lo {
			return b, true
		}
		b.lo[i], b.shape[i] = lo, hi-lo
	}
	return b, false
}

// eachTap calls f for each tap of the kernel, with its number and the positions at which it lies
// inside a tensor of the given size: the offset of the first in each, and the strides between them.
func (w window) eachTap(size, count []int64, f func(tap, posBase, atBase int64, shape, posStr, atStr []int64)) {
	if product(count) == 0 {
		return
	}
	posStr, sizeStr := stridesOf(count), stridesOf(size)
	atStr, shift, at := make([]int64, len(size)), make([]int64, len(size)), make([]int64, len(size))
	for i := range size {
		atStr[i] = sizeStr[i] * w.strides[i]
	}
	eachIndex(w.kernel, func(tap int64, idx []int64) {
		for i := range idx {
			shift[i] = idx[i]*w.dilations[i] - w.before[i]
		}
		b, empty := boxOf(count, size, w.strides, shift)
		if empty {
			return
		}
		for i := range at {
			at[i] = b.lo[i]*w.strides[i] + shift[i]
		}
		f(tap, dot(b.lo, posStr), dot(at, sizeStr), b.shape, posStr, atStr)
	})
}

// images reads the operand of a spatial op: [N, C, spatial...].
func images(x *tensor.Tensor) (n, c int64, spatial []int64) {
	check(len(x.Shape) >= 3, "an image [N,C,...] wanted, got %s", x.TypeString())
	return x.Shape[0], x.Shape[1], x.Shape[2:]
}
