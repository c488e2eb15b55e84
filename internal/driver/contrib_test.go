//go:build linux

package driver

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/nnc-go/nnc/backend/llvm"
	"github.com/nnc-go/nnc/frontend/onnx"
	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
	"github.com/nnc-go/nnc/internal/testcase"
	"github.com/nnc-go/nnc/ir/eval"
	"github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// contribCase is an application of an operator of com.microsoft, with what ONNX Runtime 1.30 gave.
type contribCase struct {
	Name, Op string
	Attrs    map[string]any
	Ins      []*contribTensor // null for an absent one
	Outs     []*contribTensor
}

// contribTensor is a tensor. Without data it is made of random multiples of 1/8, from a seed; Keep, if it is there,
// says how many rows along axis 2 are not zero, for each index of axis 0.
type contribTensor struct {
	Name, Type string
	Dims       []int64
	Sym        []string // what the dimensions are called, where they are not fixed
	Data       []float64
	Seed       uint32
	Keep       []int64
	Const      bool
}

func (c *contribTensor) tensor(t *testing.T) *tensor.Tensor {
	d := map[string]tensor.DType{"": tensor.F32, "float32": tensor.F32, "int32": tensor.I32, "int64": tensor.I64, "uint8": tensor.U8, "int8": tensor.I8}[c.Type]
	out := tensor.New(d, c.Dims...)
	if c.Seed == 0 {
		require.Len(t, c.Data, int(out.Len()), c.Name)
		for i, x := range c.Data {
			switch d {
			case tensor.F32:
				tensor.View[float32](out)[i] = float32(x)
			case tensor.I32:
				tensor.View[int32](out)[i] = int32(x)
			case tensor.I64:
				tensor.View[int64](out)[i] = int64(x)
			default:
				out.Data[i] = byte(int(x))
			}
		}
		return out
	}
	x := c.Seed*2654435761 + 12345
	for i := range tensor.View[float32](out) {
		x = x*1664525 + 1013904223
		tensor.View[float32](out)[i] = float32(int(x>>16%25)-12) / 8
	}
	for b, n := range c.Keep {
		row := c.Dims[2] * c.Dims[3]
		for h := range c.Dims[1] {
			at := (int64(b)*c.Dims[1] + h) * row
			clear(tensor.View[float32](out)[at+n*c.Dims[3] : at+row])
		}
	}
	return out
}

// contribModel is one model of all cases, its inputs and the expected outputs.
func contribModel(t *testing.T, cases []contribCase) (m *onnxpb.ModelProto, in, want []hostop.Value) {
	g := &onnxpb.GraphProto{Name: proto.String("contrib")}
	for _, c := range cases {
		n := &onnxpb.NodeProto{OpType: proto.String(c.Op), Domain: proto.String("com.microsoft"), Name: proto.String(c.Name)}
		for k, v := range c.Attrs {
			n.Attribute = append(n.Attribute, contribAttr(k, v))
		}
		for _, x := range c.Ins {
			if x == nil {
				n.Input = append(n.Input, "")
				continue
			}
			name := c.Name + "." + x.Name
			n.Input = append(n.Input, name)
			v := x.tensor(t)
			if x.Const {
				b := &onnxpb.TensorProto{Name: proto.String(name), Dims: v.Shape, DataType: proto.Int32(int32(v.DType)), RawData: v.Data}
				g.Initializer = append(g.Initializer, b)
				continue
			}
			in = append(in, v)
			shape := &onnxpb.TensorShapeProto{}
			for i, d := range x.Dims {
				dim := &onnxpb.TensorShapeProto_Dimension{Value: &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: d}}
				if x.Sym != nil {
					if _, err := strconv.Atoi(x.Sym[i]); err != nil {
						dim.Value = &onnxpb.TensorShapeProto_Dimension_DimParam{DimParam: c.Name + "." + x.Sym[i]}
					}
				}
				shape.Dim = append(shape.Dim, dim)
			}
			tt := &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(int32(v.DType)), Shape: shape}
			g.Input = append(g.Input, &onnxpb.ValueInfoProto{Name: proto.String(name), Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: tt}}})
		}
		for _, x := range c.Outs {
			name := c.Name + "." + x.Name
			n.Output = append(n.Output, name)
			g.Output = append(g.Output, &onnxpb.ValueInfoProto{Name: proto.String(name)})
			want = append(want, x.tensor(t))
		}
		g.Node = append(g.Node, n)
	}
	opset := func(domain string, v int64) *onnxpb.OperatorSetIdProto {
		return &onnxpb.OperatorSetIdProto{Domain: proto.String(domain), Version: proto.Int64(v)}
	}
	return &onnxpb.ModelProto{IrVersion: proto.Int64(8), Graph: g, OpsetImport: []*onnxpb.OperatorSetIdProto{opset("", 17), opset("com.microsoft", 1)}}, in, want
}

// contribAttr makes an attribute: numbers with a fraction, and those that are not whole in the operator, are floats.
func contribAttr(name string, v any) *onnxpb.AttributeProto {
	a := &onnxpb.AttributeProto{Name: proto.String(name)}
	typ := onnxpb.AttributeProto_INT
	switch v := v.(type) {
	case string:
		a.S, typ = []byte(v), onnxpb.AttributeProto_STRING
	case []any:
		typ = onnxpb.AttributeProto_INTS
		for _, x := range v {
			a.Ints = append(a.Ints, int64(x.(float64)))
		}
	case float64:
		if v != float64(int64(v)) || name == "mask_filter_value" {
			a.F, typ = proto.Float32(float32(v)), onnxpb.AttributeProto_FLOAT
		} else {
			a.I = proto.Int64(int64(v))
		}
	}
	a.Type = typ.Enum()
	return a
}

// TestContrib holds operators of com.microsoft, evaluated and compiled, against ONNX Runtime.
func TestContrib(t *testing.T) {
	files, err := filepath.Glob("../../testdata/contrib/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			b, err := os.ReadFile(f)
			require.NoError(t, err)
			var cases []contribCase
			require.NoError(t, json.Unmarshal(b, &cases))
			m, in, want := contribModel(t, cases)
			b, err = proto.Marshal(m)
			require.NoError(t, err)
			path := filepath.Join(t.TempDir(), "model.onnx")
			require.NoError(t, os.WriteFile(path, b, 0o644))
			check := func(how string, got []hostop.Value) {
				for i, w := range want {
					assert.Empty(t, testcase.Compare(got[i], w, testcase.Tolerance{Rel: 1e-3, Abs: 2e-4}), "%s, %s", m.Graph.Output[i].GetName(), how)
				}
			}
			mod, rep, err := onnx.Load(path, onnx.Options{})
			require.NoError(t, err)
			defer rep.Close()
			got, err := eval.Run(mod, in, eval.Options{})
			require.NoError(t, err)
			check("evaluated", got)

			if _, err := llvm.New(); err != nil {
				t.Skip(err)
			}
			c, err := Compile(context.Background(), path, Options{CPU: "native"})
			require.NoError(t, err)
			defer c.Close()
			assert.Empty(t, c.Program.HostSteps)
			l, err := c.Load(context.Background(), exec.Options{Threads: 1})
			require.NoError(t, err)
			defer l.Close()
			out := make([]hostop.Value, len(want))
			require.NoError(t, l.Run(context.Background(), in, out))
			check("compiled", out)
		})
	}
}
