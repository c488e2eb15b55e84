// Command onnxgo is github.com/owulveryck/onnx-go with its backend gorgonnx, which is Gorgonia, as bench times it.
package main

import (
	"fmt"
	"os"

	"github.com/owulveryck/onnx-go"
	"github.com/owulveryck/onnx-go/backend/x/gorgonnx"
	gt "gorgonia.org/tensor"

	"github.com/nnc-go/nnc/bench/child"
	"github.com/nnc-go/nnc/bench/peers/gorgonia"
	"github.com/nnc-go/nnc/runtime/tensor"
)

func main() { child.Main(load) }

func load(path string, _ int, in []child.Input) (child.Run, error) {
	graph := gorgonnx.NewGraph()
	model := onnx.NewModel(graph)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := model.UnmarshalBinary(b); err != nil {
		return nil, err
	}
	var xs []gt.Tensor
	for _, i := range in {
		x, err := gorgonia.Give(i.Tensor)
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", i.Name, err)
		}
		xs = append(xs, x)
	}
	return func(keep bool) (out []*tensor.Tensor, err error) {
		for k, x := range xs {
			if err := model.SetInput(k, x); err != nil {
				return nil, err
			}
		}
		if err := graph.Run(); err != nil || !keep {
			return nil, err
		}
		ys, err := model.GetOutputTensors()
		if err != nil {
			return nil, err
		}
		for _, y := range ys {
			t, err := gorgonia.Take(y)
			if err != nil {
				return nil, err
			}
			out = append(out, t)
		}
		return out, nil
	}, nil
}
