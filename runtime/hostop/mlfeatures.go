package hostop

import (
	"math"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// perFeature gives the attribute value for element i of x: one for all elements, or one for each position
// along the last axis.
func perFeature[T any](name string, v []T, x *tensor.Tensor) func(i int64) T {
	check(len(x.Shape) > 0, "%s has no features", x.TypeString())
	f := x.Shape[len(x.Shape)-1]
	check(len(v) == 1 || int64(len(v)) == f, "%d values of %s for %d features, want 1 or %d", len(v), name, f, f)
	if len(v) == 1 {
		return func(int64) T { return v[0] }
	}
	return func(i int64) T { return v[i%f] }
}

// Scaler is (x - offset) * scale per feature, f32.
func Scaler(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	offset, scale := perFeature("offset", c.Attrs.Floats("offset", []float64{0}), x), perFeature("scale", c.Attrs.Floats("scale", []float64{1}), x)
	v := floatsOf(x)
	for i := range v {
		v[i] = (v[i] - offset(int64(i))) * scale(int64(i))
	}
	c.give(fromFloats(tensor.F32, x.Shape, v))
	return nil
}

// Normalizer divides each row by its maximum (MAX), sum of absolute values (L1) or root of the sum of
// squares (L2), unless that is 0; f32.
func Normalizer(c *Call) (err error) {
	defer guard(&err)
	x, norm := c.in(0), c.Attrs.Str("norm", "MAX")
	oneOf("norm", norm, "MAX", "L1", "L2")
	rows := rowsOf(x)
	var out []float64
	for _, row := range rows {
		var n float64
		switch norm {
		case "MAX":
			n = fold(math.Inf(-1), row, maxNaN)
		case "L1":
			n = fold(0, row, func(a, b float64) float64 { return a + math.Abs(b) })
		default:
			n = math.Sqrt(fold(0, row, func(a, b float64) float64 { return a + b*b }))
		}
		for _, v := range row {
			if n != 0 {
				v /= n
			}
			out = append(out, v)
		}
	}
	c.give(fromFloats(tensor.F32, x.Shape, out))
	return nil
}

// Imputer replaces the elements that equal one value, NaN too, by another one per feature.
func Imputer(c *Call) (err error) {
	defer guard(&err)
	x, a := c.in(0), c.Attrs
	if x.DType.IsFloat() {
		old, by := a.Float("replaced_value_float", 0), perFeature("imputed_value_floats", a.Floats("imputed_value_floats", nil), x)
		v := floatsOf(x)
		for i, e := range v {
			if e == old || e != e && old != old {
				v[i] = by(int64(i))
			}
		}
		c.give(fromFloats(x.DType, x.Shape, v))
		return nil
	}
	old, by := a.Int("replaced_value_int64", 0), perFeature("imputed_value_int64s", a.Ints("imputed_value_int64s", nil), x)
	v := intsOf(x)
	for i, e := range v {
		if e == old {
			v[i] = by(int64(i))
		}
	}
	c.give(fromInts(x.DType, x.Shape, v))
	return nil
}

// Binarizer is 1 where x > threshold, else 0.
func Binarizer(c *Call) (err error) {
	defer guard(&err)
	x, threshold := c.in(0), c.Attrs.Float("threshold", 0)
	v := floatsOf(x)
	for i, e := range v {
		v[i] = 0
		if e > threshold {
			v[i] = 1
		}
	}
	c.give(fromFloats(x.DType, x.Shape, v))
	return nil
}

// FeatureVectorizer puts the features of its operands, [N,C] or [C] for [1,C], side by side, f32. Each
// has as many as inputdimensions says: more are cut off, missing ones are 0.
func FeatureVectorizer(c *Call) (err error) {
	defer guard(&err)
	check(len(c.In) > 0, "no operands")
	dims := c.Attrs.Ints("inputdimensions", nil)
	check(dims == nil || len(dims) == len(c.In), "%d inputdimensions for %d operands", len(dims), len(c.In))
	var parts []*tensor.Tensor
	for i := range c.In {
		x := c.in(i)
		rows := rowsOf(x)
		width := x.Shape[len(x.Shape)-1]
		if dims != nil {
			width = dims[i]
		}
		out := make([]float64, elemCount([]int64{int64(len(rows)), width}, 64))
		for r, row := range rows {
			copy(out[int64(r)*width:int64(r+1)*width], row)
		}
		parts = append(parts, fromFloats(tensor.F32, []int64{int64(len(rows)), width}, out))
	}
	c.give(concat(parts, 1))
	return nil
}

// ArrayFeatureExtractor takes elements of the last axis by index; a vector is taken as one row.
func ArrayFeatureExtractor(c *Call) (err error) {
	defer guard(&err)
	x, idx := c.in(0), c.in(1)
	check(len(x.Shape) > 0, "%s has no features", x.TypeString())
	if len(x.Shape) == 1 {
		x = reshaped(x, 1, x.Shape[0])
	}
	sub := &Call{In: []Value{x, reshaped(idx, idx.Len())}, Attrs: Attrs{"axis": int64(-1)}, NumOut: 1}
	if err := Gather(sub); err != nil {
		return err
	}
	c.Out = sub.Out
	return nil
}

// OneHotEncoder has a new last axis with a 1 at the place of the element's category; numbers are cast to
// integers first. An unknown category gives zeros, or fails with zeros=0.
func OneHotEncoder(c *Call) (err error) {
	defer guard(&err)
	x, cats := c.in(0), c.Attrs.Strs("cats_strings", nil)
	check((x.DType == tensor.String) == (len(cats) > 0), "input %s for categories of another type", x.TypeString())
	values := x.Strings
	if x.DType != tensor.String {
		cats, values = intWords(c.Attrs.Ints("cats_int64s", nil)), intWords(intsOf(castTo(x, tensor.I64, true, "")))
	}
	place := map[string]int64{}
	for i, s := range cats {
		if _, known := place[s]; !known {
			place[s] = int64(i)
		}
	}
	n := int64(len(cats))
	out := alloc(tensor.F32, append(append([]int64{}, x.Shape...), n)...)
	one := view[float32](out)
	for i, s := range values {
		k, known := place[s]
		check(known || c.Attrs.Int("zeros", 1) != 0, "element %d, %s, is in no category", i, s)
		if known {
			one[int64(i)*n+k] = 1
		}
	}
	c.give(out)
	return nil
}
