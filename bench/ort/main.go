// Command ort is ONNX Runtime as bench times it. ORT_LIB is its shared library.
package main

import (
	"fmt"
	"os"
	"slices"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/nnc-go/nnc/bench/child"
	"github.com/nnc-go/nnc/runtime/tensor"
)

func main() { child.Main(load) }

func load(model string, threads int, in []child.Input) (child.Run, error) {
	ort.SetSharedLibraryPath(os.Getenv("ORT_LIB"))
	if err := ort.InitializeEnvironment(); err != nil {
		return nil, err
	}
	child.Version = ort.GetVersion()
	_, outs, err := ort.GetInputOutputInfo(model)
	if err != nil {
		return nil, err
	}
	opt, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	opt.SetIntraOpNumThreads(threads)
	opt.SetInterOpNumThreads(1)
	opt.SetGraphOptimizationLevel(ort.GraphOptimizationLevelEnableAll)
	var inNames, outNames []string
	var values []ort.Value
	for _, i := range in {
		v, err := give(i.Tensor)
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", i.Name, err)
		}
		inNames, values = append(inNames, i.Name), append(values, v)
	}
	for _, o := range outs {
		outNames = append(outNames, o.Name)
	}
	s, err := ort.NewDynamicAdvancedSession(model, inNames, outNames, opt)
	if err != nil {
		return nil, err
	}
	return func(keep bool) (ts []*tensor.Tensor, err error) {
		got := make([]ort.Value, len(outNames))
		for i, o := range outs {
			if got[i], err = halves(o); err != nil {
				return nil, err
			}
		}
		if err := s.Run(values, got); err != nil {
			return nil, err
		}
		for _, v := range got {
			if keep {
				t, err := take(v)
				if err != nil {
					return nil, err
				}
				ts = append(ts, t)
			}
			v.Destroy()
		}
		return ts, nil
	}, nil
}

// types maps element types to ONNX Runtime's.
var types = map[tensor.DType]ort.TensorElementDataType{
	tensor.F32: ort.TensorElementDataTypeFloat, tensor.F64: ort.TensorElementDataTypeDouble, tensor.F16: ort.TensorElementDataTypeFloat16,
	tensor.I64: ort.TensorElementDataTypeInt64, tensor.I32: ort.TensorElementDataTypeInt32, tensor.U8: ort.TensorElementDataTypeUint8,
	tensor.I8: ort.TensorElementDataTypeInt8, tensor.Bool: ort.TensorElementDataTypeBool,
}

func give(t *tensor.Tensor) (ort.Value, error) {
	if types[t.DType] == 0 {
		return nil, fmt.Errorf("want a plain type, got %v", t.DType)
	}
	if len(t.Shape) == 0 {
		if t.DType != tensor.I64 {
			return nil, fmt.Errorf("a scalar of type %v", t.DType)
		}
		return ort.NewScalar(tensor.View[int64](t)[0])
	}
	data := t.Data
	if len(data) == 0 {
		data = make([]byte, 1) // the binding wants some
	}
	return ort.NewCustomDataTensor(ort.NewShape(t.Shape...), data, types[t.DType])
}

// halves is room for an output of half floats, which the binding does not allocate; nil for others.
func halves(o ort.InputOutputInfo) (ort.Value, error) {
	if o.DataType != ort.TensorElementDataTypeFloat16 {
		return nil, nil
	}
	if slices.Min(append(slices.Clone(o.Dimensions), 1)) < 1 {
		return nil, fmt.Errorf("output %q: half floats of unknown shape %v", o.Name, o.Dimensions)
	}
	return ort.NewCustomDataTensor(o.Dimensions, make([]byte, 2*o.Dimensions.FlattenedSize()), o.DataType)
}

func take(v ort.Value) (*tensor.Tensor, error) {
	shape := append([]int64{}, v.GetShape()...)
	switch x := v.(type) {
	case *ort.Tensor[float32]:
		return tensor.Of(append([]float32{}, x.GetData()...), shape...), nil
	case *ort.Tensor[int64]:
		return tensor.Of(append([]int64{}, x.GetData()...), shape...), nil
	case *ort.Tensor[int32]:
		return tensor.Of(append([]int32{}, x.GetData()...), shape...), nil
	case *ort.CustomDataTensor: // of half floats, see halves
		return &tensor.Tensor{DType: tensor.F16, Shape: shape, Data: slices.Clone(x.GetData())}, nil
	}
	return nil, fmt.Errorf("an output is a %T", v)
}
