package hostop

import (
	"math"
	"sort"
	"strconv"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// tensorAttr is a required tensor attribute.
func (c *Call) tensorAttr(name string) *tensor.Tensor {
	t, _ := c.Attrs[name].(*tensor.Tensor)
	check(t != nil, "attribute %s is missing", name)
	return t
}

// keyOf gives a text for element i that is the same for equal elements; all NaN are equal.
func keyOf(t *tensor.Tensor, i int64) string {
	switch {
	case t.DType == tensor.String:
		return t.Strings[i]
	case t.DType.IsFloat():
		x := t.At(i)
		if x != x {
			return "NaN"
		}
		return strconv.FormatUint(math.Float64bits(x+0), 16) // -0 + 0 is 0
	}
	v, ok := t.IntAt(i)
	check(ok, "keys of type %v", t.DType)
	return strconv.FormatInt(v, 10)
}

// LabelEncoder maps each element that is element i of keys_tensor to element i of values_tensor, and any
// other to default_tensor. Of equal keys the last counts.
func LabelEncoder(c *Call) (err error) {
	defer guard(&err)
	x, keys, values, def := c.in(0), c.tensorAttr("keys_tensor"), c.tensorAttr("values_tensor"), c.tensorAttr("default_tensor")
	check(x.DType == keys.DType, "input %s for keys of type %v", x.TypeString(), keys.DType)
	check(keys.Len() == values.Len(), "%d keys and %d values", keys.Len(), values.Len())
	check(def.DType == values.DType && def.Len() == 1, "default %s for values of type %v", def.TypeString(), values.DType)
	at := map[string]int64{}
	for i := range keys.Len() {
		at[keyOf(keys, i)] = i
	}
	out := alloc(values.DType, x.Shape...)
	for i := range x.Len() {
		if k, ok := at[keyOf(x, i)]; ok {
			copyElem(out, i, values, k)
		} else {
			copyElem(out, i, def, 0)
		}
	}
	c.give(out)
	return nil
}

// CategoryMapper maps strings to the integers at the same place of a list, or back.
func CategoryMapper(c *Call) (err error) {
	defer guard(&err)
	strs, ints := c.Attrs.Strs("cats_strings", nil), c.Attrs.Ints("cats_int64s", nil)
	check(len(strs) == len(ints), "%d cats_strings and %d cats_int64s", len(strs), len(ints))
	n := int64(len(ints))
	a := Attrs{"keys_tensor": tensor.OfStrings(strs, n), "values_tensor": tensor.Of(ints, n), "default_tensor": tensor.Of([]int64{c.Attrs.Int("default_int64", -1)}, 1)}
	if c.in(0).DType != tensor.String {
		a["keys_tensor"], a["values_tensor"] = a["values_tensor"], a["keys_tensor"]
		a["default_tensor"] = tensor.OfStrings([]string{c.Attrs.Str("default_string", "_Unused")}, 1)
	}
	sub := &Call{In: c.In, Attrs: a, NumOut: 1}
	if err := LabelEncoder(sub); err != nil {
		return err
	}
	c.Out = sub.Out
	return nil
}

// keyList is a tensor of the integers, or of the strings where there are any.
func keyList(ints []int64, strs []string) *tensor.Tensor {
	if len(strs) > 0 {
		return tensor.OfStrings(strs, int64(len(strs)))
	}
	return tensor.Of(append([]int64{}, ints...), int64(len(ints)))
}

// ZipMap makes of each row of [N,C], or of [C], a map from the class labels to its elements.
func ZipMap(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	keys := keyList(c.Attrs.Ints("classlabels_int64s", nil), c.Attrs.Strs("classlabels_strings", nil))
	check(len(x.Shape) == 1 || len(x.Shape) == 2, "[N,C] or [C] wanted, got %s", x.TypeString())
	n, width := int64(1), x.Shape[len(x.Shape)-1]
	if len(x.Shape) == 2 {
		n = x.Shape[0]
	}
	check(width == keys.Len(), "%d columns for %d class labels", width, keys.Len())
	out := make(Seq, n)
	for i := range n {
		row := alloc(x.DType, width)
		copyElems(row, 0, x, i*width, width)
		m, err := NewMap(keys, row)
		if err != nil {
			return err
		}
		out[i] = m
	}
	return c.Return(out)
}

// mapScalar is the value of a map as a scalar of type d.
func mapScalar(v Value, d tensor.DType) *tensor.Tensor {
	t, ok := v.(*tensor.Tensor)
	check(ok && t.Len() == 1 && (d == tensor.Invalid || t.DType == d), "a map of scalars wanted, got %T", v)
	return t
}

// DictVectorizer puts the values of a map at the places of their keys in the vocabulary, [1,C]; the
// others are 0 or empty. Every key must be in the vocabulary.
func DictVectorizer(c *Call) (err error) {
	defer guard(&err)
	m := c.mapIn(0)
	vocabulary := keyList(c.Attrs.Ints("int64_vocabulary", nil), c.Attrs.Strs("string_vocabulary", nil))
	check(m.Keys.DType == vocabulary.DType, "keys of type %v for a vocabulary of type %v", m.Keys.DType, vocabulary.DType)
	place := map[string]int64{}
	for i := range vocabulary.Len() {
		place[keyOf(vocabulary, i)] = i
	}
	d := c.Attrs.DType("dtype", tensor.F32)
	out := alloc(d, 1, vocabulary.Len())
	for i, v := range m.Values {
		at, ok := place[keyOf(m.Keys, int64(i))]
		check(ok, "key %s is not in the vocabulary", keyOf(m.Keys, int64(i)))
		copyElem(out, at, mapScalar(v, d), 0)
	}
	c.give(out)
	return nil
}

// CastMap makes a row [1,C] of the values of a map with integer keys: in the order of the keys (DENSE),
// or at the places that they name among max_map (SPARSE). Missing ones are 0, as a string "0.f".
func CastMap(c *Call) (err error) {
	defer guard(&err)
	m, form, to := c.mapIn(0), c.Attrs.Str("map_form", "DENSE"), c.Attrs.Str("cast_to", "TO_FLOAT")
	oneOf("map_form", form, "DENSE", "SPARSE")
	oneOf("cast_to", to, "TO_FLOAT", "TO_STRING", "TO_INT64")
	check(m.Keys.DType == tensor.I64, "keys of type %v, want i64", m.Keys.DType)
	keys, order := intsOf(m.Keys), make([]int, len(m.Values))
	for i := range order {
		order[i] = i
	}
	sort.Slice(order, func(i, j int) bool { return keys[order[i]] < keys[order[j]] })
	d := map[string]tensor.DType{"TO_FLOAT": tensor.F32, "TO_STRING": tensor.String, "TO_INT64": tensor.I64}[to]
	n := int64(len(order))
	if form == "SPARSE" {
		n = c.Attrs.Int("max_map", 1)
	}
	out := alloc(d, 1, n)
	for i := range out.Strings {
		out.Strings[i] = "0.f"
	}
	for i, k := range order {
		at := int64(i)
		if form == "SPARSE" {
			at = keys[k]
			check(at >= 0 && at < n, "key %d, want 0 to %d", at, n-1)
		}
		copyElem(out, at, castTo(mapScalar(m.Values[k], tensor.Invalid), d, true, ""), 0)
	}
	c.give(out)
	return nil
}
