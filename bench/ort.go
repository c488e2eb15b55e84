package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"time"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/runtime/tensorio"
)

// ortResult is what a run of ONNX Runtime in a process of its own reports.
type ortResult struct {
	LoadMS  float64 `json:"load_ms"`
	FirstMS float64 `json:"first_ms"`
	P50MS   float64 `json:"p50_ms"`
	N       int     `json:"iterations"`
}

// runORT is the body of the child process: it loads the model, runs it once, and then for dur.
// Where outDir is set, the outputs of the first run are written there as output_K.pb.
func runORT(lib, model string, threads int, dur time.Duration, inputs []string, outDir string) error {
	ort.SetSharedLibraryPath(lib)
	if err := ort.InitializeEnvironment(); err != nil {
		return err
	}
	ins, outs, err := ort.GetInputOutputInfo(model)
	if err != nil {
		return err
	}
	opt, err := ort.NewSessionOptions()
	if err != nil {
		return err
	}
	defer opt.Destroy()
	opt.SetIntraOpNumThreads(threads)
	opt.SetInterOpNumThreads(1)
	opt.SetGraphOptimizationLevel(ort.GraphOptimizationLevelEnableAll)
	var in, on []string
	var iv []ort.Value
	for i, info := range ins {
		if i >= len(inputs) {
			break
		}
		v, err := readORT(inputs[i])
		if err != nil {
			return fmt.Errorf("%s: %w", inputs[i], err)
		}
		in, iv = append(in, info.Name), append(iv, v)
	}
	for _, o := range outs {
		on = append(on, o.Name)
	}
	start := time.Now()
	s, err := ort.NewDynamicAdvancedSession(model, in, on, opt)
	if err != nil {
		return err
	}
	defer s.Destroy()
	res := ortResult{LoadMS: ms(time.Since(start))}
	run := func(keep bool) ([]ort.Value, error) {
		ov := make([]ort.Value, len(on))
		err := s.Run(iv, ov)
		if keep {
			return ov, err
		}
		for _, o := range ov {
			if o != nil {
				o.Destroy()
			}
		}
		return nil, err
	}
	start = time.Now()
	ov, err := run(true)
	if err != nil {
		return err
	}
	res.FirstMS = ms(time.Since(start))
	if outDir != "" {
		if err := writeORT(outDir, ov); err != nil {
			return err
		}
	}
	var ts []float64
	for start = time.Now(); dur > 0 && (time.Since(start) < dur || len(ts) < 10); {
		t := time.Now()
		if _, err := run(false); err != nil {
			return err
		}
		ts = append(ts, ms(time.Since(t)))
	}
	sort.Float64s(ts)
	if res.N = len(ts); res.N > 0 {
		res.P50MS = ts[res.N/2]
	}
	return json.NewEncoder(os.Stdout).Encode(res)
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// ortTypes maps element types to ONNX Runtime's.
var ortTypes = map[tensor.DType]ort.TensorElementDataType{
	tensor.F32: ort.TensorElementDataTypeFloat, tensor.F64: ort.TensorElementDataTypeDouble, tensor.F16: ort.TensorElementDataTypeFloat16,
	tensor.I64: ort.TensorElementDataTypeInt64, tensor.I32: ort.TensorElementDataTypeInt32, tensor.U8: ort.TensorElementDataTypeUint8,
	tensor.I8: ort.TensorElementDataTypeInt8, tensor.Bool: ort.TensorElementDataTypeBool,
}

func readORT(path string) (ort.Value, error) {
	v, err := tensorio.ReadFile(path, tensorio.Want{})
	if err != nil {
		return nil, err
	}
	t, ok := v.(*tensor.Tensor)
	if !ok || ortTypes[t.DType] == 0 {
		return nil, fmt.Errorf("want a tensor of a plain type, got %T", v)
	}
	if len(t.Shape) == 0 {
		if t.DType != tensor.I64 {
			return nil, fmt.Errorf("a scalar of type %v", t.DType)
		}
		return ort.NewScalar(tensor.View[int64](t)[0])
	}
	return ort.NewCustomDataTensor(ort.NewShape(t.Shape...), t.Data, ortTypes[t.DType])
}

func writeORT(dir string, ov []ort.Value) error {
	for k, v := range ov {
		t := tensor.Tensor{Shape: append([]int64{}, v.GetShape()...)}
		switch x := v.(type) {
		case *ort.Tensor[float32]:
			t.DType, t.Data = tensor.F32, tensor.AsBytes(x.GetData())
		case *ort.Tensor[int64]:
			t.DType, t.Data = tensor.I64, tensor.AsBytes(x.GetData())
		case *ort.Tensor[int32]:
			t.DType, t.Data = tensor.I32, tensor.AsBytes(x.GetData())
		default:
			return fmt.Errorf("output %d is a %T", k, v)
		}
		if err := tensorio.WriteFile(filepath.Join(dir, fmt.Sprintf("output_%d.pb", k)), &t); err != nil {
			return err
		}
	}
	return nil
}
