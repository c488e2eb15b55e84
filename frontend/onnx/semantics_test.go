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

// The rows of docs/semantics.md about files.

// TestDuplicateNames: a name stands for one value, in a graph and in those around it.
func TestDuplicateNames(t *testing.T) {
	x, w := value("x", 1, 2), floats("w", []int64{2}, 1, 2)
	sum := func(in ...string) *onnxpb.NodeProto { return node("Sum", in, names("y")) }
	within := func(g *onnxpb.GraphProto) *onnxpb.ModelProto {
		g.Output = outputs("z")
		return model(17, inputs(x, value("c", 9)), []*onnxpb.TensorProto{w},
			node("If", names("c"), names("y"), attrOf("then_branch", g), attrOf("else_branch", g)))
	}
	sparse := model(17, inputs(x), []*onnxpb.TensorProto{w}, sum("x", "w"))
	sparse.Graph.SparseInitializer = []*onnxpb.SparseTensorProto{{Values: floats("w", []int64{1}, 5), Indices: int64s("", 1), Dims: []int64{2}}}
	for _, c := range []struct {
		name string
		m    *onnxpb.ModelProto
		want string
	}{
		{"two initialisers", model(17, inputs(x), []*onnxpb.TensorProto{w, w}, sum("x", "w")), "two initialisers"},
		{"a dense and a sparse initialiser", sparse, "two initialisers"},
		{"two inputs", model(17, inputs(x, x), nil, sum("x")), `two inputs are called "x"`},
		{"an input and a result", model(17, inputs(x, value("y", 1, 2)), nil, sum("x")), `"y", an output of node "y", is defined twice`},
		{"an initialiser and a result", model(17, inputs(x), []*onnxpb.TensorProto{w}, node("Neg", names("x"), names("w")), sum("w")), `"w", an output of node "w", is defined twice`},
		{"results of two nodes", model(17, inputs(x), nil, node("Neg", names("x"), names("y")), sum("x")), "defined twice"},
		{"two results of a node", model(17, inputs(x), nil, node("Split", names("x"), names("y", "y"))), "defined twice"},
		{"a result as around it", within(&onnxpb.GraphProto{Node: []*onnxpb.NodeProto{node("Neg", names("x"), names("w")), node("Neg", names("w"), names("z"))}}), `"w" is defined in a graph around it`},
		{"an initialiser as around it", within(&onnxpb.GraphProto{Initializer: []*onnxpb.TensorProto{w}, Node: []*onnxpb.NodeProto{node("Neg", names("w"), names("z"))}}), `"w" is defined in a graph around it`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := importModel(t, c.m, Options{})
			require.ErrorContains(t, err, c.want)
		})
	}
}

// TestDeclaredShapes: what a file says of a result is checked, not believed.
func TestDeclaredShapes(t *testing.T) {
	relu := node("Relu", names("x"), names("a"))
	relu.Name = proto.String("rectify")
	for _, c := range []struct {
		name     string
		a, y     *onnxpb.ValueInfoProto
		warnings []string
	}{
		{"right", value("a", 1, "N", 3), value("y", 1, "N", 3), nil},
		{"a size", value("a", 1, "N", 4), value("y", 1, "N", 3), []string{`Relu "rectify" (ai.onnx 17): result "a" was declared f32[N,4], inferred f32[N,3]`}},
		{"a rank", value("a", 1, 3), value("y", 1, 1, 1, 3), []string{`result "a" was declared f32[3], inferred f32[N,3]`, `result "y" was declared f32[1,1,3], inferred f32[N,3]`}},
		{"an element type", value("a", 11, "N", 3), value("y", 1, "N", 3), []string{`result "a" was declared f64[N,3], inferred f32[N,3]`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := model(17, inputs(value("x", 1, "N", 3)), nil, relu, node("Neg", names("a"), names("y")))
			m.Graph.ValueInfo, m.Graph.Output = inputs(c.a), inputs(c.y)
			mod, rep, err := importModel(t, m, Options{})
			require.NoError(t, err)
			require.Equal(t, "f32[N,3]", mod.Graph.Ops[0].Results[0].Type.String())
			require.Equal(t, "f32[N,3]", mod.Graph.Results[0].Type.String())
			require.Len(t, rep.Warnings, len(c.warnings))
			for i, w := range c.warnings {
				require.Contains(t, rep.Warnings[i], w)
			}
		})
	}
}

// TestSoftmaxByOpset: before opset 13 the dimensions from the axis on, by default all but the first, are one; later
// the axis is a dimension, by default the last.
func TestSoftmaxByOpset(t *testing.T) {
	for _, c := range []struct {
		opset int64
		attrs []*onnxpb.AttributeProto
		want  []float32
	}{
		{11, nil, []float32{0.25, 0.25, 0.25, 0.25}},
		{11, []*onnxpb.AttributeProto{attrOf("axis", 2)}, []float32{0.5, 0.5, 0.5, 0.5}},
		{11, []*onnxpb.AttributeProto{attrOf("axis", 0)}, []float32{0.25, 0.25, 0.25, 0.25}},
		{13, nil, []float32{0.5, 0.5, 0.5, 0.5}},
		{13, []*onnxpb.AttributeProto{attrOf("axis", 0)}, []float32{1, 1, 1, 1}},
	} {
		mod, _, err := importModel(t, model(c.opset, inputs(value("x", 1, 1, 2, 2)), nil, node("Softmax", names("x"), names("y"), c.attrs...)), Options{})
		require.NoError(t, err)
		out, err := eval.Run(mod, []hostop.Value{tensor.New(tensor.F32, 1, 2, 2)}, eval.Options{})
		require.NoError(t, err)
		require.Equal(t, c.want, tensor.View[float32](out[0].(*tensor.Tensor)), "opset %d, %v", c.opset, c.attrs)
	}
}

// TestAbsentInputs: "" is an operand that is left out, and nothing can be called so.
func TestAbsentInputs(t *testing.T) {
	x, hi := inputs(value("x", 1, 2)), []*onnxpb.TensorProto{floats("hi", nil, 1)}
	mod, _, err := importModel(t, model(17, x, hi, node("Clip", names("x", "", "hi"), names("y"))), Options{})
	require.NoError(t, err)
	clip := mod.Graph.Results[0].Def
	require.Nil(t, clip.Operand(1))
	require.Equal(t, "hi", clip.Operand(2).Name)
	mod, _, err = importModel(t, model(17, x, nil, node("Dropout", names("x", "", ""), names("y", ""))), Options{})
	require.NoError(t, err)
	require.Len(t, mod.Graph.Results[0].Def.Operands, 1)
	for want, m := range map[string]*onnxpb.ModelProto{
		"an input or initialiser has no name": model(17, x, []*onnxpb.TensorProto{floats("", nil, 1)}, node("Clip", names("x", ""), names("y"))),
		"has no name":                         model(17, inputs(value("x", 1, 2), value("", 1)), nil, node("Clip", names("x", ""), names("y"))),
		"1 inputs, want at least 2":           model(17, x, nil, node("Mul", names("x", ""), names("y"))),
	} {
		_, _, err := importModel(t, m, Options{})
		require.ErrorContains(t, err, want)
	}
}
