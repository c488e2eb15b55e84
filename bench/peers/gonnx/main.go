// Command gonnx is github.com/advancedclimatesystems/gonnx as bench times it.
package main

import (
	"fmt"

	"github.com/advancedclimatesystems/gonnx"

	"github.com/nnc-go/nnc/bench/child"
	"github.com/nnc-go/nnc/bench/peers/gorgonia"
	"github.com/nnc-go/nnc/runtime/tensor"
)

func main() { child.Main(load) }

func load(path string, _ int, in []child.Input) (child.Run, error) {
	model, err := gonnx.NewModelFromFile(path)
	if err != nil {
		return nil, err
	}
	inputs := gonnx.Tensors{}
	for _, i := range in {
		if inputs[i.Name], err = gorgonia.Give(i.Tensor); err != nil {
			return nil, fmt.Errorf("input %q: %w", i.Name, err)
		}
	}
	names := model.OutputNames()
	return func(keep bool) (out []*tensor.Tensor, err error) {
		ys, err := model.Run(inputs)
		if err != nil || !keep {
			return nil, err
		}
		for _, n := range names {
			t, err := gorgonia.Take(ys[n])
			if err != nil {
				return nil, err
			}
			out = append(out, t)
		}
		return out, nil
	}, nil
}
