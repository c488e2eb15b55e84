package filetest

import (
	"bytes"
	"fmt"
	"math"
	"slices"

	"github.com/nnc-go/nnc/internal/testcase"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/runtime/tensorio"
)

// compare gives the worst disagreement as text, "" when there is none.
func (c *testCase) compare(got, want hostop.Value) string {
	g, ok := got.(*tensor.Tensor)
	w, ok2 := want.(*tensor.Tensor)
	if ok && ok2 && g.DType == w.DType && g.DType.Class() == tensor.ClassComplex {
		return c.compare(testcase.AsParts(g), testcase.AsParts(w))
	}
	if !ok || !ok2 || !w.DType.IsFloat() {
		return testcase.Compare(got, want, testcase.Tolerance{})
	}
	if g.DType != w.DType || !slices.Equal(g.Shape, w.Shape) {
		return fmt.Sprintf("got %s, want %s", g.TypeString(), w.TypeString())
	}
	worst, at := 0.0, int64(-1)
	bad := 0
	for i := range w.Len() {
		if e := c.excess(g.At(i), w.At(i), w.DType); e > 0 {
			bad++
			if e > worst {
				worst, at = e, i
			}
		}
	}
	if at < 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d elements differ, the worst number %d of %s: got %s, want %s", bad, w.Len(), at, w.TypeString(),
		tensorio.FormatElement(g, at), tensorio.FormatElement(w, at))
}

// excess is how far g is outside of its tolerance around w; 0 inside.
func (c *testCase) excess(g, w float64, d tensor.DType) float64 {
	switch {
	case g != g && w != w:
		return 0
	case g == w:
		if c.signs && math.Signbit(g) != math.Signbit(w) {
			return math.Inf(1)
		}
		return 0
	case g != g || w != w || math.IsInf(g, 0) || math.IsInf(w, 0):
		return math.Inf(1)
	}
	return max(0, math.Abs(g-w)-c.ulp*spacing(w, d)-c.tol*(1+math.Abs(w)))
}

// formats are the bits of the fraction and the least exponent of the float types; those that are not here,
// of 8 bits and less, must agree.
var formats = map[tensor.DType]struct{ fraction, least int }{
	tensor.F64: {52, -1074}, tensor.F32: {23, -149}, tensor.F16: {10, -24}, tensor.BF16: {7, -133},
}

// spacing is the unit in the last place of x.
func spacing(x float64, d tensor.DType) float64 {
	f, ok := formats[d]
	if !ok {
		return 0
	}
	if x == 0 {
		return math.Ldexp(1, f.least)
	}
	_, e := math.Frexp(x)
	return math.Ldexp(1, max(e-1-f.fraction, f.least))
}

// differentBits says how two tensors differ, where any NaN is like any other; other values are not compared.
func differentBits(a, b hostop.Value) string {
	x, ok1 := a.(*tensor.Tensor)
	y, ok2 := b.(*tensor.Tensor)
	if !ok1 || !ok2 || x.DType == tensor.String || bytes.Equal(x.Data, y.Data) {
		return ""
	}
	n := 0
	for i := range x.Len() {
		if size := int64(x.DType.Size()); size > 0 && !bytes.Equal(x.Data[i*size:(i+1)*size], y.Data[i*size:(i+1)*size]) && !(isNaN(x, i) && isNaN(y, i)) {
			n++
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d elements of %v", n, x.Len(), x.TypeString())
}

func isNaN(t *tensor.Tensor, i int64) bool {
	switch t.DType {
	case tensor.F32:
		x := tensor.View[float32](t)[i]
		return x != x
	case tensor.F64:
		x := tensor.View[float64](t)[i]
		return x != x
	case tensor.F16:
		return tensor.View[uint16](t)[i]&0x7fff > 0x7c00
	case tensor.BF16:
		return tensor.View[uint16](t)[i]&0x7fff > 0x7f80
	}
	return false
}
