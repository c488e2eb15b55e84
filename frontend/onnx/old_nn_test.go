package onnx

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
	"github.com/nnc-go/nnc/ir/eval"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// TestOldForms runs forms of operators that newer versions have not, with results by hand.
func TestOldForms(t *testing.T) {
	for name, c := range map[string]struct {
		opset  int64
		node   *onnxpb.NodeProto
		in     []*onnxpb.ValueInfoProto
		values []hostop.Value
		want   []float32
	}{
		"LpPool with p = 0.5": {1, node("LpPool", names("x"), names("y"), attrOf("kernel_shape", []int64{2}), attrOf("p", float32(0.5))),
			[]*onnxpb.ValueInfoProto{value("x", 1, 1, 1, 3)}, []hostop.Value{tensor.Of([]float32{4, -9, 0}, 1, 1, 3)}, []float32{25, 9}},
		"GlobalLpPool with p = 1.5": {1, node("GlobalLpPool", names("x"), names("y"), attrOf("p", float32(1.5))),
			[]*onnxpb.ValueInfoProto{value("x", 1, 1, 1, 2)}, []hostop.Value{tensor.Of([]float32{4, 0}, 1, 1, 2)}, []float32{4}},
		"BatchNormalization with spatial = 0": {7, node("BatchNormalization", names("x", "s", "b", "m", "v"), names("y"), attrOf("spatial", 0), attrOf("epsilon", float32(0))),
			[]*onnxpb.ValueInfoProto{value("x", 1, 2, 1, 2), value("s", 1, 1, 2), value("b", 1, 1, 2), value("m", 1, 1, 2), value("v", 1, 1, 2)},
			[]hostop.Value{tensor.Of([]float32{1, 2, 3, 4}, 2, 1, 2), tensor.Of([]float32{1, 2}, 1, 2), tensor.Of([]float32{0, 1}, 1, 2), tensor.Of([]float32{1, 2}, 1, 2), tensor.Of([]float32{4, 1}, 1, 2)},
			[]float32{0, 1, 1, 5}},
	} {
		t.Run(name, func(t *testing.T) {
			m := model(c.opset, c.in, nil, c.node)
			m.Graph.Output[0].Name = proto.String("y")
			r, _, err := importModel(t, m, Options{})
			require.NoError(t, err)
			out, err := eval.Run(r, c.values, eval.Options{})
			require.NoError(t, err)
			require.InDeltaSlice(t, c.want, tensor.View[float32](out[0].(*tensor.Tensor)), 1e-4)
		})
	}
}
