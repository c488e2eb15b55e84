// Command onnxgo is a program written for github.com/owulveryck/onnx-go that runs its model with nnc. The
// line that makes the backend is the only one that knows.
package main

import (
	"fmt"
	"log"
	"os"

	"github.com/owulveryck/onnx-go"
	"gorgonia.org/tensor"

	"github.com/nnc-go/nnc/frontend/onnxgo"
	"github.com/nnc-go/nnc/native"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: onnxgo MODEL.onnx INPUT.npy")
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func run(path, input string) error {
	backend := onnxgo.NewGraph(native.Compile) // was: gorgonnx.NewGraph()
	model := onnx.NewModel(backend)
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := model.UnmarshalBinary(b); err != nil {
		return err
	}
	f, err := os.Open(input)
	if err != nil {
		return err
	}
	defer f.Close()
	x := new(tensor.Dense)
	if err := x.ReadNpy(f); err != nil {
		return err
	}
	if err := model.SetInput(0, x); err != nil {
		return err
	}
	if err := backend.Run(); err != nil {
		return err
	}
	out, err := model.GetOutputTensors()
	if err != nil {
		return err
	}
	fmt.Println(out[0])
	return nil
}
