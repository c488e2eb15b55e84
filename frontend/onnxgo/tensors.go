package onnxgo

import (
	"fmt"
	"reflect"

	gorgonia "gorgonia.org/tensor"

	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// elements are the element types that both sides have.
var elements = map[reflect.Type]tensor.DType{
	reflect.TypeFor[float32](): tensor.F32, reflect.TypeFor[float64](): tensor.F64, reflect.TypeFor[bool](): tensor.Bool,
	reflect.TypeFor[int8](): tensor.I8, reflect.TypeFor[int16](): tensor.I16, reflect.TypeFor[int32](): tensor.I32, reflect.TypeFor[int64](): tensor.I64,
	reflect.TypeFor[uint8](): tensor.U8, reflect.TypeFor[uint16](): tensor.U16, reflect.TypeFor[uint32](): tensor.U32, reflect.TypeFor[uint64](): tensor.U64,
	reflect.TypeFor[complex64](): tensor.C64, reflect.TypeFor[complex128](): tensor.C128, reflect.TypeFor[string](): tensor.String,
}

// fromGorgonia copies a tensor.
func fromGorgonia(t gorgonia.Tensor) (*tensor.Tensor, error) {
	if t == nil {
		return nil, fmt.Errorf("no tensor is set")
	}
	if v, ok := t.(gorgonia.View); ok && v.IsMaterializable() {
		t = v.Materialize()
	}
	data := reflect.ValueOf(t.Data())
	if data.Kind() != reflect.Slice { // a scalar
		s := reflect.MakeSlice(reflect.SliceOf(data.Type()), 1, 1)
		s.Index(0).Set(data)
		data = s
	}
	d, ok := elements[data.Type().Elem()]
	if !ok {
		return nil, fmt.Errorf("elements of type %v are not supported", t.Dtype())
	}
	shape, n := make([]int64, len(t.Shape())), 1
	for i, x := range t.Shape() {
		shape[i] = int64(x)
		n *= x
	}
	if data.Len() < n {
		return nil, fmt.Errorf("%d elements for shape %v", data.Len(), t.Shape())
	}
	out := tensor.New(d, shape...)
	if d == tensor.String {
		reflect.Copy(reflect.ValueOf(out.Strings), data)
		return out, nil
	}
	copySlice(out, data.Interface(), true)
	return out, nil
}

// toGorgonia copies a value, which must be a tensor.
func toGorgonia(v hostop.Value) (gorgonia.Tensor, error) {
	t, ok := v.(*tensor.Tensor)
	if !ok || t == nil {
		return nil, fmt.Errorf("%T is no tensor", v)
	}
	shape := make([]int, len(t.Shape))
	for i, n := range t.Shape {
		shape[i] = int(n)
	}
	for typ, d := range elements {
		if d != t.DType {
			continue
		}
		s := reflect.MakeSlice(reflect.SliceOf(typ), int(t.Len()), int(t.Len()))
		if d == tensor.String {
			reflect.Copy(s, reflect.ValueOf(t.Strings))
		} else {
			copySlice(t, s.Interface(), false)
		}
		if len(shape) == 0 {
			return gorgonia.New(gorgonia.FromScalar(s.Index(0).Interface())), nil
		}
		return gorgonia.New(gorgonia.WithShape(shape...), gorgonia.WithBacking(s.Interface())), nil
	}
	return nil, fmt.Errorf("elements of type %v are not supported", t.DType)
}

// copySlice copies the elements of a slice to t, or those of t to the slice.
func copySlice(t *tensor.Tensor, slice any, in bool) {
	switch s := slice.(type) {
	case []float32:
		copyElems(t, s, in)
	case []float64:
		copyElems(t, s, in)
	case []bool:
		copyElems(t, s, in)
	case []int8:
		copyElems(t, s, in)
	case []int16:
		copyElems(t, s, in)
	case []int32:
		copyElems(t, s, in)
	case []int64:
		copyElems(t, s, in)
	case []uint8:
		copyElems(t, s, in)
	case []uint16:
		copyElems(t, s, in)
	case []uint32:
		copyElems(t, s, in)
	case []uint64:
		copyElems(t, s, in)
	case []complex64:
		copyElems(t, s, in)
	case []complex128:
		copyElems(t, s, in)
	}
}

func copyElems[T tensor.Native](t *tensor.Tensor, s []T, in bool) {
	own := tensor.View[T](t)
	if in {
		copy(own, s)
	} else {
		copy(s, own)
	}
}
