package ir_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/frontend/onnx"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/runtime/tensorio"
)

// TestInferAgainstONNX holds the inferred types of ONNX's own tests against the recorded outputs: once
// with the operands unknown, once with small ones as constants.
func TestInferAgainstONNX(t *testing.T) {
	if testing.Short() {
		t.Skip("1,900 models")
	}
	models, err := filepath.Glob("../../shared/onnx-tests/*/*/model.onnx")
	require.NoError(t, err)
	if len(models) == 0 {
		t.Skip("../shared/onnx-tests is absent")
	}
	var checked, refused, ranks, dims, unknown int
	for _, path := range models {
		dir := filepath.Dir(path)
		if fi, err := os.Stat(path); err != nil || fi.Size() > 4<<20 {
			continue
		}
		for _, known := range []bool{false, true} {
			m, rep, err := onnx.Load(path, onnx.Options{})
			if err != nil {
				refused++
				continue
			}
			in, out := dataSet(dir, "input"), dataSet(dir, "output")
			if known {
				constants(m, in)
			}
			if _, err := ir.Infer(m); err != nil {
				t.Errorf("%s known=%v: %v", dir, known, err)
				continue
			}
			if err := ir.Verify(m); err != nil {
				t.Errorf("%s known=%v: %v\n%v", dir, known, err, m)
			}
			env := map[string]int64{}
			for i, p := range m.Graph.Params {
				if i < len(in) && in[i] != nil {
					bind(env, p.Type, in[i].Shape)
				}
			}
			for i, r := range m.Graph.Results {
				if i >= len(out) || out[i] == nil {
					continue
				}
				checked++
				why := disagree(r.Type, out[i], env, &ranks, &dims, &unknown)
				if why != "" {
					t.Errorf("%s known=%v: output %d is %s, inferred %v: %s", dir, known, i, out[i].TypeString(), r.Type, why)
				}
			}
			require.NoError(t, rep.Close())
		}
	}
	t.Logf("%d outputs, %d refused models; %d unknown ranks, %d dimensions, %d of them not known", checked, refused, ranks, dims, unknown)
}

// dataSet reads the tensors of the first data set; nil where there is another kind of value.
func dataSet(dir, what string) []*tensor.Tensor {
	var ts []*tensor.Tensor
	for i := 0; ; i++ {
		b, err := os.ReadFile(filepath.Join(dir, "test_data_set_0", fmt.Sprintf("%s_%d.pb", what, i)))
		if errors.Is(err, os.ErrNotExist) {
			return ts
		}
		x, err := tensorio.DecodeTensorPB(b)
		if err != nil {
			x = nil
		}
		ts = append(ts, x)
	}
}

// constants makes Const ops of the parameters that are small tensors.
func constants(m *ir.Module, in []*tensor.Tensor) {
	replace := map[*ir.Value]*ir.Value{}
	var consts []*ir.Op
	for i, p := range m.Graph.Params {
		if i < len(in) && in[i] != nil && p.Type.Kind == ir.KindTensor && in[i].DType == p.Type.DType && in[i].Len() <= 32 {
			op := m.NewConst("", ir.DataOf(in[i]))
			consts = append(consts, op)
			replace[p] = op.Results[0]
		}
	}
	m.Graph.Ops = append(consts, m.Graph.Ops...)
	m.Graph.ReplaceUses(replace)
}

func bind(env map[string]int64, t ir.Type, shape []int64) {
	for i, d := range t.Shape {
		if n := d.SymName(); n != "" && i < len(shape) {
			env[n] = shape[i]
		}
	}
}

func disagree(t ir.Type, x *tensor.Tensor, env map[string]int64, ranks, dims, unknown *int) string {
	switch {
	case t.Kind == ir.KindOptional || t.Kind == ir.KindSeq:
		return ""
	case t.DType != x.DType:
		return "the element type differs"
	case !t.Ranked:
		*ranks++
		return ""
	case len(t.Shape) != len(x.Shape):
		return "the rank differs"
	}
	var wrong []string
	for i, d := range t.Shape {
		*dims++
		n, ok := d.Eval(env)
		if !ok {
			*unknown++
		} else if n != x.Shape[i] {
			wrong = append(wrong, fmt.Sprintf("dimension %d is %d", i, n))
		}
	}
	return strings.Join(wrong, ", ")
}
