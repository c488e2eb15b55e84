package onnx

import (
	"fmt"
	"math"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// listOf makes a vector of the one of a list of attributes that is given: PREFIX_floats, PREFIX_int64s,
// PREFIX_strings or PREFIX_tensor.
func listOf(c *nodeCtx, prefix string) (*ir.Data, error) {
	var found []*ir.Data
	if v := take[[]float64](c, prefix+"_floats", nil); v != nil {
		f := make([]float32, len(v))
		for i := range v {
			f[i] = float32(v[i])
		}
		found = append(found, ir.DataOf(tensor.Of(f, int64(len(f)))))
	}
	if v := take[[]int64](c, prefix+"_int64s", nil); v != nil {
		found = append(found, ir.DataOf(tensor.Of(v, int64(len(v)))))
	}
	if v := take[[]string](c, prefix+"_strings", nil); v != nil {
		found = append(found, ir.DataOf(tensor.OfStrings(v, int64(len(v)))))
	}
	if v := take[*ir.Data](c, prefix+"_tensor", nil); v != nil {
		found = append(found, v)
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%d of the attributes %s_floats, %s_int64s, %s_strings and %s_tensor are given, want one", len(found), prefix, prefix, prefix, prefix)
	}
	return found[0], nil
}

// labelEncoder imports LabelEncoder from version 2 on: keys, values and the default become tensors.
func labelEncoder(c *nodeCtx) error {
	keys, err := listOf(c, "keys")
	if err != nil {
		return err
	}
	values, err := listOf(c, "values")
	if err != nil {
		return err
	}
	f, i, s := take(c, "default_float", math.Copysign(0, -1)), take(c, "default_int64", int64(-1)), take(c, "default_string", "_Unused")
	def := take[*ir.Data](c, "default_tensor", nil)
	if def == nil {
		if def, err = labelDefault(values.DType, f, i, s); err != nil {
			return err
		}
	}
	c.attrs = ir.Attrs{"keys_tensor": keys, "values_tensor": values, "default_tensor": def}
	return direct(c)
}

// labelDefault is the default of values of type d where default_tensor is absent.
func labelDefault(d tensor.DType, f float64, i int64, s string) (*ir.Data, error) {
	switch d {
	case tensor.String:
		return ir.DataOf(tensor.OfStrings([]string{s}, 1)), nil
	case tensor.F32:
		return ir.DataOf(tensor.Of([]float32{float32(f)}, 1)), nil
	case tensor.F64:
		return ir.DataOf(tensor.Of([]float64{f}, 1)), nil
	case tensor.I64:
		return ir.DataOf(tensor.Of([]int64{i}, 1)), nil
	case tensor.I32:
		return ir.DataOf(tensor.Of([]int32{int32(i)}, 1)), nil
	case tensor.I16:
		return ir.DataOf(tensor.Of([]int16{int16(i)}, 1)), nil
	}
	return nil, fmt.Errorf("values of type %v, want strings, f32, f64, i16, i32 or i64", d)
}

// labelEncoder1 imports version 1, which maps the strings of a list to their places or back.
func labelEncoder1(c *nodeCtx) error {
	names := take[[]string](c, "classes_strings", nil)
	n := int64(len(names))
	places := make([]int64, n)
	for i := range places {
		places[i] = int64(i)
	}
	strs, ints := ir.DataOf(tensor.OfStrings(names, n)), ir.DataOf(tensor.Of(places, n))
	_, toInts := c.attrs["default_int64"]
	_, toStrings := c.attrs["default_string"]
	i, s := take(c, "default_int64", int64(-1)), take(c, "default_string", "_Unused")
	d := c.in[0].Type.DType
	if d == tensor.Invalid && toInts != toStrings { // which of the defaults is given tells it too
		d = map[bool]tensor.DType{true: tensor.String, false: tensor.I64}[toInts]
	}
	c.attrs = ir.Attrs{"keys_tensor": strs, "values_tensor": ints, "default_tensor": ir.DataOf(tensor.Of([]int64{i}, 1))}
	if d == tensor.I64 {
		c.attrs = ir.Attrs{"keys_tensor": ints, "values_tensor": strs, "default_tensor": ir.DataOf(tensor.OfStrings([]string{s}, 1))}
	}
	return direct(c)
}

// dictVectorizer notes the type of the map's values, which is the result's.
func dictVectorizer(c *nodeCtx) error {
	if t := c.in[0].Type; t.Kind == ir.KindMap && t.Elem != nil && t.Elem.DType != tensor.Invalid && t.Elem.DType != tensor.F32 {
		c.attrs["dtype"] = t.Elem.DType
	}
	return direct(c)
}
