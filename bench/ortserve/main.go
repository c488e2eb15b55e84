// Command ortserve runs models with ONNX Runtime, in a process of its own since it may crash: for each line of
// its input, the path of a model and the names of its input, f32[1], and of its outputs, separated by tabs, it writes the outputs as
// output_K.pb beside the model and answers "ok" or "error MESSAGE". Graph optimisations are off, so that it computes what the model says.
//
//	cd bench && go build -o /tmp/ortserve ./ortserve && /tmp/ortserve -lib libonnxruntime.so.1
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/runtime/tensorio"
)

func main() {
	lib := flag.String("lib", "libonnxruntime.so.1", "ONNX Runtime's shared `LIBRARY`, of the npm package onnxruntime-node")
	flag.Parse()
	ort.SetSharedLibraryPath(*lib)
	if err := ort.InitializeEnvironment(ort.WithLogLevelFatal()); err != nil {
		fmt.Fprintln(os.Stderr, "ortserve:", err)
		os.Exit(1)
	}
	for s := bufio.NewScanner(os.Stdin); s.Scan(); {
		if err := serve(strings.Split(s.Text(), "\t")); err != nil {
			fmt.Println("error", strings.Join(strings.Fields(err.Error()), " "))
		} else {
			fmt.Println("ok")
		}
	}
}

func serve(request []string) error {
	if len(request) < 3 {
		return fmt.Errorf("%d words, want a path, an input and outputs", len(request))
	}
	model, inputs, names := request[0], request[1:2], request[2:]
	opt, err := ort.NewSessionOptions()
	if err != nil {
		return err
	}
	defer opt.Destroy()
	opt.SetIntraOpNumThreads(1)
	opt.SetInterOpNumThreads(1)
	opt.SetGraphOptimizationLevel(ort.GraphOptimizationLevelDisableAll)
	s, err := ort.NewDynamicAdvancedSession(model, inputs, names, opt)
	if err != nil {
		return err
	}
	defer s.Destroy()
	unused, err := ort.NewTensor(ort.NewShape(1), []float32{0})
	if err != nil {
		return err
	}
	defer unused.Destroy()
	vals := make([]ort.Value, len(names))
	if err := s.Run([]ort.Value{unused}, vals); err != nil {
		return err
	}
	for k, v := range vals {
		err := write(filepath.Join(filepath.Dir(model), fmt.Sprintf("output_%d.pb", k)), v)
		v.Destroy()
		if err != nil {
			return err
		}
	}
	return nil
}

// write writes an output; its shape is one dimension of at least one element.
func write(path string, v ort.Value) error {
	t := tensor.Tensor{Shape: append([]int64{}, v.GetShape()...)}
	switch x := v.(type) {
	case *ort.Tensor[float32]:
		set(&t, x.GetData())
	case *ort.Tensor[float64]:
		set(&t, x.GetData())
	case *ort.Tensor[int8]:
		set(&t, x.GetData())
	case *ort.Tensor[int16]:
		set(&t, x.GetData())
	case *ort.Tensor[int32]:
		set(&t, x.GetData())
	case *ort.Tensor[int64]:
		set(&t, x.GetData())
	case *ort.Tensor[uint8]:
		set(&t, x.GetData())
	case *ort.Tensor[uint16]:
		set(&t, x.GetData())
	case *ort.Tensor[uint32]:
		set(&t, x.GetData())
	case *ort.Tensor[uint64]:
		set(&t, x.GetData())
	case *ort.Tensor[bool]:
		set(&t, x.GetData())
	default:
		return fmt.Errorf("an output of type %T", v)
	}
	return tensorio.WriteFile(path, &t)
}

func set[T tensor.Native](t *tensor.Tensor, vals []T) {
	u := tensor.Of(vals, int64(len(vals)))
	t.DType, t.Data = u.DType, u.Data
}
