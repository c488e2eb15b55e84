package onnx

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
	"github.com/nnc-go/nnc/ir/eval"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// TestScan8Lengths: sequences of a batch end at their own lengths, also when they are read from the end;
// what is scanned is filled up with zeros.
func TestScan8Lengths(t *testing.T) {
	body := &onnxpb.GraphProto{
		Input: inputs(value("s", 1, 1), value("e", 1, 1)), Output: outputs("s2", "o"),
		Node: []*onnxpb.NodeProto{node("Add", names("s", "e"), names("s2")), node("Identity", names("s2"), names("o"))},
	}
	for direction, want := range map[int64][2][]float32{0: {{3, 15}, {1, 3, 0, 4, 9, 15}}, 1: {{3, 15}, {2, 3, 0, 6, 11, 15}}} {
		m := model(8, inputs(value("l", 7, 2), value("h", 1, 2, 1), value("x", 1, 2, 3, 1)), nil,
			node("Scan", names("l", "h", "x"), names("z", "y"), attrOf("body", body), attrOf("num_scan_inputs", 1), attrOf("directions", []int64{direction})))
		m.Graph.Output = outputs("z", "y")
		mod, _, err := importModel(t, m, Options{})
		require.NoError(t, err)
		out, err := eval.Run(mod, []hostop.Value{tensor.Of([]int64{2, 3}, 2), tensor.Of([]float32{0, 0}, 2, 1), tensor.Of([]float32{1, 2, 3, 4, 5, 6}, 2, 3, 1)}, eval.Options{})
		require.NoError(t, err)
		for i, w := range want {
			require.Equal(t, w, tensor.View[float32](out[i].(*tensor.Tensor)), "direction %d, result %d", direction, i)
		}
		require.Equal(t, []int64{2, 3, 1}, out[1].(*tensor.Tensor).Shape)
	}
}
