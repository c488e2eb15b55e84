package hostop

import "github.com/nnc-go/nnc/runtime/tensor"

// stridesOf gives row-major strides in elements.
func stridesOf(shape []int64) []int64 {
	st := make([]int64, len(shape))
	n := int64(1)
	for i := len(shape) - 1; i >= 0; i-- {
		st[i] = n
		n *= shape[i]
	}
	return st
}

// broadcastShape gives the shape that numpy's rules make of several.
func broadcastShape(shapes ...[]int64) []int64 {
	var out []int64
	for _, s := range shapes {
		for len(out) < len(s) {
			out = append([]int64{1}, out...)
		}
		for i, d := range s {
			o := &out[len(out)-len(s)+i]
			switch {
			case *o == d || d == 1:
			case *o == 1:
				*o = d
			default:
				fail("shapes do not broadcast: %s and %s", tensor.ShapeString(out), tensor.ShapeString(s))
			}
		}
	}
	if out == nil {
		out = []int64{}
	}
	return out
}

// broadcastStrides gives strides that read a tensor of shape in as one of shape out: 0 where it repeats.
func broadcastStrides(in, out []int64) []int64 {
	check(len(in) <= len(out), "shape %s does not broadcast to %s", tensor.ShapeString(in), tensor.ShapeString(out))
	st := make([]int64, len(out))
	own := stridesOf(in)
	for i, d := range in {
		o := len(out) - len(in) + i
		check(d == out[o] || d == 1, "shape %s does not broadcast to %s", tensor.ShapeString(in), tensor.ShapeString(out))
		if d != 1 {
			st[o] = own[i]
		}
	}
	return st
}

// eachRow calls f for each run of n elements along the last dimension of shape, in order: o is the
// number of its first element, off holds an offset per list of strides, and step the last strides.
func eachRow(shape []int64, strides [][]int64, f func(o, n int64, off, step []int64)) {
	total := product(shape)
	if total == 0 {
		return
	}
	off, step := make([]int64, len(strides)), make([]int64, len(strides))
	last := len(shape) - 1
	if last < 0 {
		f(0, 1, off, step)
		return
	}
	n := shape[last]
	for i, s := range strides {
		step[i] = s[last]
	}
	idx := make([]int64, last)
	for o := int64(0); o < total; o += n {
		f(o, n, off, step)
		for d := last - 1; d >= 0; d-- {
			idx[d]++
			for i, s := range strides {
				off[i] += s[d]
			}
			if idx[d] < shape[d] {
				break
			}
			for i, s := range strides {
				off[i] -= s[d] * shape[d]
			}
			idx[d] = 0
		}
	}
}

// eachIndex calls f with each multi-index of shape in row-major order and its number. f must not keep idx.
func eachIndex(shape []int64, f func(o int64, idx []int64)) {
	total := product(shape)
	idx := make([]int64, len(shape))
	for o := int64(0); o < total; o++ {
		f(o, idx)
		for d := len(shape) - 1; d >= 0; d-- {
			if idx[d]++; idx[d] < shape[d] {
				break
			}
			idx[d] = 0
		}
	}
}

func dot(a, b []int64) int64 {
	n := int64(0)
	for i, x := range a {
		n += x * b[i]
	}
	return n
}

// stridedCopy makes a tensor of the given shape whose element at index i is src[base + i . strides].
func stridedCopy(src *tensor.Tensor, base int64, shape, strides []int64) *tensor.Tensor {
	dst := alloc(src.DType, shape...)
	copyStrided(dst, 0, stridesOf(shape), src, base, strides, shape)
	return dst
}

// copyStrided copies a box of the given shape between two tensors of one type, each with its own base
// and strides in elements.
func copyStrided(dst *tensor.Tensor, dbase int64, dstr []int64, src *tensor.Tensor, sbase int64, sstr, shape []int64) {
	run := func(copyRow func(d, s, dstep, sstep, n int64)) {
		eachRow(shape, [][]int64{dstr, sstr}, func(_, n int64, off, step []int64) {
			copyRow(dbase+off[0], sbase+off[1], step[0], step[1], n)
		})
	}
	switch {
	case src.DType == tensor.String:
		run(rowCopier(dst.Strings, src.Strings))
	case src.DType.Bits() < 8:
		run(func(d, s, dstep, sstep, n int64) {
			for i := range n {
				putBits(dst, d+i*dstep, bitsAt(src, s+i*sstep))
			}
		})
	case src.DType.Size() == 1:
		run(rowCopier(dst.Data, src.Data))
	case src.DType.Size() == 2:
		run(rowCopier(raw[uint16](dst), raw[uint16](src)))
	case src.DType.Size() == 4:
		run(rowCopier(raw[uint32](dst), raw[uint32](src)))
	case src.DType.Size() == 8:
		run(rowCopier(raw[uint64](dst), raw[uint64](src)))
	default:
		run(rowCopier(raw[complex128](dst), raw[complex128](src)))
	}
}

// raw views t's bytes as words of its element width; misaligned memory is copied, so t must not be
// written through it then (results are always aligned).
func raw[T tensor.Native](t *tensor.Tensor) []T {
	b := t.Data
	if !tensor.IsAligned(b, t.DType) {
		b = tensor.AlignedBytes(int64(len(t.Data)))
		copy(b, t.Data)
	}
	return tensor.BytesAs[T](b)
}

func rowCopier[T any](dst, src []T) func(d, s, dstep, sstep, n int64) {
	return func(d, s, dstep, sstep, n int64) {
		if dstep == 1 && sstep == 1 {
			copy(dst[d:d+n], src[s:s+n])
			return
		}
		for range n {
			dst[d] = src[s]
			d, s = d+dstep, s+sstep
		}
	}
}

// bitsAt gives the code of element i of a type narrower than a byte.
func bitsAt(t *tensor.Tensor, i int64) byte {
	w := int64(t.DType.Bits())
	per := 8 / w
	return t.Data[i/per] >> (i % per * w) & (1<<w - 1)
}

// putBits sets it.
func putBits(t *tensor.Tensor, i int64, code byte) {
	w := int64(t.DType.Bits())
	per := 8 / w
	sh := i % per * w
	mask := byte(1<<w-1) << sh
	t.Data[i/per] = t.Data[i/per]&^mask | code<<sh&mask
}

// copyElem copies one element between tensors of one type.
func copyElem(dst *tensor.Tensor, d int64, src *tensor.Tensor, s int64) { copyElems(dst, d, src, s, 1) }

// copyElems copies n consecutive elements.
func copyElems(dst *tensor.Tensor, d int64, src *tensor.Tensor, s, n int64) {
	switch size := int64(src.DType.Size()); {
	case src.DType == tensor.String:
		copy(dst.Strings[d:d+n], src.Strings[s:s+n])
	case size == 0:
		for i := range n {
			putBits(dst, d+i, bitsAt(src, s+i))
		}
	default:
		copy(dst.Data[d*size:(d+n)*size], src.Data[s*size:(s+n)*size])
	}
}
