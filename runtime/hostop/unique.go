package hostop

import (
	"bytes"
	"sort"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// Unique gives the distinct elements, or slices along an axis, in order of value or of their first occurrence;
// the index of that occurrence, for each of the operand's elements or slices its place among them, and how
// often each occurs. NaN equals NaN and comes last.
func Unique(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	a, outer, n, inner := 0, int64(1), x.Len(), int64(1)
	axis, given := c.Attrs["axis"].(int64)
	if given {
		a = normAxis(axis, len(x.Shape))
		outer, n, inner = product(x.Shape[:a]), x.Shape[a], product(x.Shape[a+1:])
	}
	less := elementLess(x)
	// compare orders slices by their elements.
	compare := func(i, j int64) int {
		for o := range outer {
			for e := range inner {
				p, q := (o*n+i)*inner+e, (o*n+j)*inner+e
				switch {
				case less(p, q):
					return -1
				case less(q, p):
					return 1
				}
			}
		}
		return 0
	}
	order := make([]int64, n)
	for i := range order {
		order[i] = int64(i)
	}
	sort.SliceStable(order, func(i, j int) bool { return compare(order[i], order[j]) < 0 })
	inverse, first, counts := make([]int64, n), []int64{}, []int64{}
	for i, o := range order {
		if i == 0 || compare(order[i-1], o) != 0 {
			first, counts = append(first, o), append(counts, 0)
		}
		inverse[o] = int64(len(first) - 1)
		counts[len(counts)-1]++
	}
	if c.Attrs.Int("sorted", 1) == 0 {
		first, inverse, counts = byOccurrence(first, inverse, counts)
	}
	shape := []int64{int64(len(first))}
	if given {
		shape = append([]int64{}, x.Shape...)
		shape[a] = int64(len(first))
	}
	y := alloc(x.DType, shape...)
	for o := range outer {
		for k, i := range first {
			copyElems(y, (o*int64(len(first))+int64(k))*inner, x, (o*n+i)*inner, inner)
		}
	}
	vec := func(v []int64) *tensor.Tensor { return tensor.Of(v, int64(len(v))) }
	c.give(y, vec(first), vec(inverse), vec(counts))
	return nil
}

// byOccurrence puts the distinct slices in the order in which they occur first.
func byOccurrence(first, inverse, counts []int64) (f, inv, n []int64) {
	order := make([]int, len(first))
	for i := range order {
		order[i] = i
	}
	sort.Slice(order, func(i, j int) bool { return first[order[i]] < first[order[j]] })
	place := make([]int64, len(first))
	f, n, inv = make([]int64, len(first)), make([]int64, len(first)), make([]int64, len(inverse))
	for k, o := range order {
		place[o], f[k], n[k] = int64(k), first[o], counts[o]
	}
	for i, o := range inverse {
		inv[i] = place[o]
	}
	return f, inv, n
}

// elementLess orders the elements of x, NaN last.
func elementLess(x *tensor.Tensor) func(i, j int64) bool {
	switch {
	case x.DType == tensor.String:
		return func(i, j int64) bool { return x.Strings[i] < x.Strings[j] }
	case x.DType.Class() == tensor.ClassComplex:
		size := int64(x.DType.Size())
		return func(i, j int64) bool { // any order will do: complex numbers have none
			return bytes.Compare(x.Data[i*size:(i+1)*size], x.Data[j*size:(j+1)*size]) < 0
		}
	case x.DType == tensor.Bool:
		return func(i, j int64) bool { return x.Data[i] < x.Data[j] }
	}
	gt := ranker(x, true)
	return func(i, j int64) bool { return gt(j, i) }
}
