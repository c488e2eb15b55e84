// Command gomlx is github.com/gomlx/onnx-gomlx with GoMLX's backend in Go, as bench times it.
package main

import (
	"fmt"

	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/backends/simplego"
	"github.com/gomlx/gomlx/pkg/core/dtypes"
	"github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	"github.com/gomlx/gomlx/pkg/ml/context"
	"github.com/gomlx/onnx-gomlx/onnx"

	"github.com/nnc-go/nnc/bench/child"
	"github.com/nnc-go/nnc/runtime/tensor"
)

func main() { child.Main(load) }

func load(path string, threads int, in []child.Input) (child.Run, error) {
	model, err := onnx.ReadFile(path)
	if err != nil {
		return nil, err
	}
	ctx := context.New()
	if err := model.VariablesToContext(ctx); err != nil {
		return nil, err
	}
	var names []string
	var args []any
	for _, i := range in {
		t, err := give(i.Tensor)
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", i.Name, err)
		}
		names, args = append(names, i.Name), append(args, t)
	}
	backend, err := newBackend(threads)
	if err != nil {
		return nil, err
	}
	exec, err := context.NewExecAny(backend, ctx, func(ctx *context.Context, xs []*graph.Node) []*graph.Node {
		inputs := map[string]*graph.Node{}
		for k, x := range xs {
			inputs[names[k]] = x
		}
		return model.CallGraph(ctx, xs[0].Graph(), inputs)
	})
	if err != nil {
		return nil, err
	}
	return func(keep bool) (out []*tensor.Tensor, err error) {
		ys, err := exec.Exec(args...)
		if err != nil {
			return nil, err
		}
		for _, y := range ys {
			if keep {
				t, err := take(y)
				if err != nil {
					return nil, err
				}
				out = append(out, t)
			}
			if err := y.FinalizeAll(); err != nil {
				return nil, err
			}
		}
		return out, nil
	}, nil
}

// newBackend makes the backend with its defaults; on one thread, with what its documentation says is for that. It may not
// print, as it does when its parallelism is set: GOMAXPROCS, which child sets, is what it goes by.
func newBackend(threads int) (backends.Backend, error) {
	if threads == 1 {
		return simplego.New("ops_sequential")
	}
	return simplego.New("")
}

// kinds are the element types that models have here.
var kinds = map[tensor.DType]struct {
	give func(t *tensor.Tensor, dims []int) *tensors.Tensor
	take func(t *tensors.Tensor, dims []int64) (*tensor.Tensor, error)
	dt   dtypes.DType
}{
	tensor.F32:  {giveAs[float32], takeAs[float32], dtypes.Float32},
	tensor.F64:  {giveAs[float64], takeAs[float64], dtypes.Float64},
	tensor.I64:  {giveAs[int64], takeAs[int64], dtypes.Int64},
	tensor.I32:  {giveAs[int32], takeAs[int32], dtypes.Int32},
	tensor.U8:   {giveAs[uint8], takeAs[uint8], dtypes.Uint8},
	tensor.Bool: {giveAs[bool], takeAs[bool], dtypes.Bool},
}

type native interface {
	float32 | float64 | int64 | int32 | uint8 | bool
}

func giveAs[T native](t *tensor.Tensor, dims []int) *tensors.Tensor {
	return tensors.FromFlatDataAndDimensions(tensor.View[T](t), dims...)
}

func takeAs[T native](t *tensors.Tensor, dims []int64) (*tensor.Tensor, error) {
	flat, err := tensors.CopyFlatData[T](t)
	if err != nil {
		return nil, err
	}
	return tensor.Of(flat, dims...), nil
}

func give(t *tensor.Tensor) (*tensors.Tensor, error) {
	k, ok := kinds[t.DType]
	if !ok {
		return nil, fmt.Errorf("element type %v", t.DType)
	}
	dims := make([]int, len(t.Shape))
	for i, d := range t.Shape {
		dims[i] = int(d)
	}
	return k.give(t, dims), nil
}

func take(t *tensors.Tensor) (*tensor.Tensor, error) {
	dims := []int64{}
	for _, d := range t.Shape().Dimensions {
		dims = append(dims, int64(d))
	}
	for _, k := range kinds {
		if k.dt == t.DType() {
			return k.take(t, dims)
		}
	}
	return nil, fmt.Errorf("an output has element type %v", t.DType())
}
