package hostop

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// maxBytes bounds the size of one result, whatever Limit says: a wrong model must not take the machine down.
const maxBytes = 1 << 34

// limit is the bound that Limit set.
var limit atomic.Int64

// Limit bounds the size of one result in bytes, for the whole process; 0 means 16 GiB, which is also the most.
func Limit(bytes int64) { limit.Store(bytes) }

// failure is what fail throws and guard catches.
type failure struct{ err error }

// fail leaves the op with an error. Ops check a great many things; unwinding keeps them readable.
func fail(format string, args ...any) { panic(failure{fmt.Errorf(format, args...)}) }

// check fails unless ok.
func check(ok bool, format string, args ...any) {
	if !ok {
		fail(format, args...)
	}
}

// guard ends every op: it turns fail's error, and a slip of the runtime on operands that no check
// caught, into the op's error.
func guard(err *error) {
	switch r := recover().(type) {
	case nil:
	case failure:
		*err = r.err
	case runtime.Error:
		*err = fmt.Errorf("malformed operands: %w", r)
	default:
		panic(r)
	}
}

// in is the required tensor input i.
func (c *Call) in(i int) *tensor.Tensor {
	t := c.Tensor(i)
	check(t != nil, "input %d is missing or not a tensor", i)
	checkData(t, i)
	return t
}

// opt is the optional tensor input i, nil when it is absent.
func (c *Call) opt(i int) *tensor.Tensor {
	t := c.Tensor(i)
	if t != nil {
		checkData(t, i)
	}
	return t
}

func checkData(t *tensor.Tensor, i int) {
	n := elemCount(t.Shape, 1)
	if t.DType == tensor.String {
		check(int64(len(t.Strings)) == n, "input %d holds %d strings for %s", i, len(t.Strings), t.TypeString())
		return
	}
	check(int64(len(t.Data)) >= t.DType.Bytes(n), "input %d holds %d bytes for %s", i, len(t.Data), t.TypeString())
}

// wants reports whether result i is used.
func (c *Call) wants(i int) bool { return i < c.NumOut }

// give sets the results, as many as are wanted at most.
func (c *Call) give(out ...*tensor.Tensor) {
	c.Out = nil
	for _, t := range out {
		if t == nil {
			c.Out = append(c.Out, nil)
			continue
		}
		c.Out = append(c.Out, t)
	}
}

// elemCount is the number of elements of a shape; it fails where dimensions are negative or the
// elements of the given width in bits take more than maxBytes.
func elemCount(shape []int64, bits int) int64 {
	n, empty := int64(1), false
	most := int64(maxBytes)
	if l := limit.Load(); l > 0 {
		most = min(most, l)
	}
	for _, d := range shape {
		check(d >= 0, "dimension %d in shape %s", d, tensor.ShapeString(shape))
		empty = empty || d == 0
	}
	if empty {
		return 0
	}
	for _, d := range shape {
		if n > most*8/int64(max(bits, 1))/d {
			want := float64(bits) / 8 // as a float: the product may not fit an integer
			for _, e := range shape {
				want *= float64(e)
			}
			fail("a result of shape %s needs %.0f bytes, at most %d are allowed (see -max-memory)", tensor.ShapeString(shape), want, most)
		}
		n *= d
	}
	return n
}

// alloc makes a zeroed tensor, or fails where it would be too large.
func alloc(d tensor.DType, shape ...int64) *tensor.Tensor {
	bits := d.Bits()
	if d == tensor.String {
		bits = 128
	}
	check(bits > 0, "no tensor of type %v", d)
	elemCount(shape, bits)
	return tensor.New(d, shape...)
}

// reshaped gives t's elements another shape.
func reshaped(t *tensor.Tensor, shape ...int64) *tensor.Tensor {
	return &tensor.Tensor{DType: t.DType, Shape: append([]int64{}, shape...), Data: t.Data, Strings: t.Strings}
}

// normAxis turns an axis of [-rank, rank) into one of [0, rank).
func normAxis(axis int64, rank int) int {
	a := axis
	if a < 0 {
		a += int64(rank)
	}
	check(a >= 0 && a < int64(rank), "axis %d for a tensor of rank %d", axis, rank)
	return int(a)
}

// normAxes does so for several axes, which must differ.
func normAxes(axes []int64, rank int) []int {
	out := make([]int, len(axes))
	seen := make([]bool, rank)
	for i, a := range axes {
		out[i] = normAxis(a, rank)
		check(!seen[out[i]], "axis %d is given twice", a)
		seen[out[i]] = true
	}
	return out
}

// sameType fails unless all tensors have one element type.
func sameType(ts ...*tensor.Tensor) {
	for _, t := range ts[1:] {
		check(t == nil || t.DType == ts[0].DType, "element types differ: %v and %v", ts[0].DType, typeOf(t))
	}
}

func typeOf(t *tensor.Tensor) tensor.DType {
	if t == nil {
		return tensor.Invalid
	}
	return t.DType
}

// intsOf gives the elements of an integer tensor.
func intsOf(t *tensor.Tensor) []int64 {
	check(t.DType.Class() == tensor.ClassInt || t.DType.Class() == tensor.ClassUint || t.DType == tensor.Bool, "integers wanted, got %s", t.TypeString())
	if t.DType == tensor.I64 {
		return append([]int64{}, view[int64](t)...)
	}
	out := make([]int64, t.Len())
	for i := range out {
		out[i], _ = t.IntAt(int64(i))
	}
	return out
}

// scalarInt gives the only element of an integer tensor.
func scalarInt(t *tensor.Tensor, name string) int64 {
	check(t.Len() == 1, "%s must be a scalar, got %s", name, t.TypeString())
	return intsOf(t)[0]
}

// scalarFloat gives the only element of a real tensor.
func scalarFloat(t *tensor.Tensor, name string) float64 {
	check(t.Len() == 1, "%s must be a scalar, got %s", name, t.TypeString())
	return floatsOf(t)[0]
}

// view views t's elements, copied where they are not aligned.
func view[T tensor.Native](t *tensor.Tensor) []T {
	n := t.Len()
	if tensor.IsAligned(t.Data, t.DType) {
		return tensor.View[T](t)[:n]
	}
	b := tensor.AlignedBytes(int64(len(t.Data)))
	copy(b, t.Data)
	return tensor.BytesAs[T](b)[:n]
}

// oneOf fails unless s is one of the words.
func oneOf(attr, s string, words ...string) {
	for _, w := range words {
		if s == w {
			return
		}
	}
	fail("%s is %q, want one of %s", attr, s, strings.Join(words, ", "))
}

func product(s []int64) int64 { return tensor.NumElements(s) }
