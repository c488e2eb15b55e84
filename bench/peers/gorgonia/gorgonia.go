// Package gorgonia turns nnc's tensors into those of gorgonia.org/tensor and back.
package gorgonia

import (
	"fmt"

	gt "gorgonia.org/tensor"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// Give makes a tensor of t's elements.
func Give(t *tensor.Tensor) (gt.Tensor, error) {
	var data any
	switch t.DType {
	case tensor.F32:
		data = tensor.View[float32](t)
	case tensor.F64:
		data = tensor.View[float64](t)
	case tensor.I64:
		data = tensor.View[int64](t)
	case tensor.I32:
		data = tensor.View[int32](t)
	case tensor.U8:
		data = tensor.View[uint8](t)
	default:
		return nil, fmt.Errorf("element type %v", t.DType)
	}
	dims := make([]int, len(t.Shape))
	for i, d := range t.Shape {
		dims[i] = int(d)
	}
	return gt.New(gt.WithShape(dims...), gt.WithBacking(data)), nil
}

// Take copies a result.
func Take(t gt.Tensor) (*tensor.Tensor, error) {
	dims := []int64{}
	for _, d := range t.Shape() {
		dims = append(dims, int64(d))
	}
	if d, ok := t.(*gt.Dense); ok && d.RequiresIterator() {
		t = d.Materialize()
	}
	switch x := t.Data().(type) {
	case []float32:
		return tensor.Of(append([]float32{}, x...), dims...), nil
	case []float64:
		return tensor.Of(append([]float64{}, x...), dims...), nil
	case []int64:
		return tensor.Of(append([]int64{}, x...), dims...), nil
	case []int32:
		return tensor.Of(append([]int32{}, x...), dims...), nil
	case float32:
		return tensor.Of([]float32{x}, dims...), nil
	}
	return nil, fmt.Errorf("an output holds %T", t.Data())
}
