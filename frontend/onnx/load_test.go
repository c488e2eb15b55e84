package onnx

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// TestRowsFit holds the tables against ir's op table: a direct row must have the operands, results and
// attributes of its op, and every op of ONNX must have a row.
func TestRowsFit(t *testing.T) {
	have := map[string]bool{}
	for key, rs := range rowIndex() {
		for i, r := range rs {
			if i > 0 {
				require.NotEqual(t, rs[i-1].since, r.since, key)
			}
			if r.fn == nil {
				continue
			}
			have[r.ir] = true
			info := ir.OpByName(r.ir)
			require.NotNil(t, info, r.ir)
			if fmt.Sprintf("%p", r.fn) != fmt.Sprintf("%p", direct) {
				continue
			}
			require.LessOrEqual(t, len(r.ins.names), len(info.Operands), "%v %d", key, r.since)
			require.LessOrEqual(t, len(r.outs.names), len(info.Results), "%v %d", key, r.since)
			for _, a := range r.attrs {
				kind, ok := info.Attrs[a.name]
				require.True(t, ok, "%v %d: %s", key, r.since, a.name)
				require.Equal(t, kind.String(), a.kind, "%v %d: %s", key, r.since, a.name)
			}
		}
	}
	for _, info := range ir.Ops() {
		if !info.Has(ir.OwnOp) {
			require.True(t, have[info.Name], info.Name)
		}
	}
	require.Greater(t, len(Rows()), 500)
}

// TestUpgrades imports old forms and looks at what they become.
func TestUpgrades(t *testing.T) {
	x := inputs(value("x", 1, 2, 3, 4))
	xb := inputs(value("x", 1, 2, 3, 4), value("b", 1, 3))
	in, out := names("x"), names("y")
	for _, c := range []struct {
		name  string
		opset int64
		in    []*onnxpb.ValueInfoProto
		node  *onnxpb.NodeProto
		want  []string
		shape []int64
	}{
		{"axes", 11, x, node("ReduceMean", in, out, attrOf("axes", []int64{1}), attrOf("keepdims", 0)), names("ReduceMean"), []int64{2, 4}},
		{"unsqueeze", 11, x, node("Unsqueeze", in, out, attrOf("axes", []int64{0})), names("Unsqueeze"), []int64{1, 2, 3, 4}},
		{"slice", 9, x, node("Slice", in, out, attrOf("starts", []int64{1}), attrOf("ends", []int64{3}), attrOf("axes", []int64{2})), names("Slice"), []int64{2, 3, 2}},
		{"pad", 2, x, node("Pad", in, out, attrOf("pads", []int64{0, 0, 1, 0, 0, 1}), attrOf("value", float32(2))), names("Pad"), []int64{2, 3, 6}},
		{"clip", 6, x, node("Clip", in, out, attrOf("max", float32(6))), names("Clip"), []int64{2, 3, 4}},
		{"softmax", 11, x, node("Softmax", in, out), names("Flatten", "Softmax", "Shape", "Reshape"), []int64{2, 3, 4}},
		{"softmax last", 11, x, node("Softmax", in, out, attrOf("axis", 2)), names("Softmax"), []int64{2, 3, 4}},
		{"broadcast", 6, xb, node("Add", names("x", "b"), out, attrOf("broadcast", 1), attrOf("axis", 1)), names("Unsqueeze", "Add"), []int64{2, 3, 4}},
		{"broadcast from the end", 1, xb, node("Pow", names("x", "b"), out, attrOf("broadcast", 1), attrOf("axis", -2)), names("Unsqueeze", "Pow"), []int64{2, 3, 4}},
		{"broadcast of a scalar", 1, x, node("Div", names("x", "s"), out, attrOf("broadcast", 1)), names("Div"), []int64{2, 3, 4}},
		{"clip without bounds", 1, x, node("Clip", in, out), names("Clip"), []int64{2, 3, 4}},
		{"prelu", 6, xb, node("PRelu", names("x", "b"), out), names("Unsqueeze", "PRelu"), []int64{2, 3, 4}},
		{"split", 11, x, node("Split", in, names("y", "z"), attrOf("axis", 2)), names("Split"), []int64{2, 3, 2}},
		{"topk", 9, x, node("TopK", in, names("y", "i"), attrOf("k", 2)), names("TopK"), []int64{2, 3, 2}},
		{"upsample", 7, x, node("Upsample", in, out, attrOf("scales", []float32{1, 1, 2})), names("Resize"), []int64{2, 3, 8}},
		{"dropout", 6, x, node("Dropout", in, out, attrOf("is_test", 1)), names("Identity"), []int64{2, 3, 4}},
		{"dropout mask", 10, x, node("Dropout", in, names("m", "y")), names("Identity", "Shape", "ConstantOfShape"), []int64{2, 3, 4}},
		{"cast", 1, x, node("Cast", in, out, attrOf("to", "DOUBLE")), names("Cast"), []int64{2, 3, 4}},
		{"reshape", 1, x, node("Reshape", in, out, attrOf("shape", []int64{6, -1})), names("Reshape"), []int64{6, 4}},
		{"dft", 17, x, node("DFT", names("w"), out, attrOf("axis", 1)), names("DFT"), []int64{1, 8, 2}},
		{"consumed", 1, x, node("Relu", in, out, attrOf("consumed_inputs", []int64{0})), names("Relu"), []int64{2, 3, 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := model(c.opset, c.in, []*onnxpb.TensorProto{floats("w", []int64{1, 8, 1}, make([]float32, 8)...), floats("s", nil, 2)}, c.node)
			got, last := ops(t, m)
			require.Equal(t, c.want, got)
			s, ok := ir.StaticShape(last.Results[len(last.Results)-1].Type.Shape)
			require.True(t, ok)
			require.Equal(t, c.shape, s)
		})
	}
}

// TestVersions: an operator of an opset in which ONNX no longer has it is refused, all nodes at once.
func TestVersions(t *testing.T) {
	m := model(13, inputs(value("x", 1, 1, 1, 2, 2)), nil, node("Upsample", names("x"), names("a")), node("Nonsense", names("a"), names("b")),
		node("Relu", names("b"), names("y")))
	_, _, err := importModel(t, m, Options{})
	var u *UnsupportedError
	require.ErrorAs(t, err, &u)
	require.Len(t, u.Nodes, 2)
	require.Contains(t, err.Error(), `Upsample "a" (ai.onnx 13)`)
	require.Contains(t, err.Error(), `Nonsense "b"`)
}

func TestDefaultsOfInputs(t *testing.T) {
	m := model(17, inputs(value("x", 1, 2), value("w", 1, 2)), []*onnxpb.TensorProto{floats("w", []int64{2}, 3, 4)}, node("Add", names("x", "w"), names("y")))
	mod, _, err := importModel(t, m, Options{})
	require.NoError(t, err)
	require.Equal(t, names("x", "w"), mod.Inputs)
	require.Contains(t, mod.Defaults, "w")
	m.IrVersion = proto.Int64(3)
	mod, _, err = importModel(t, m, Options{})
	require.NoError(t, err)
	require.Equal(t, names("x"), mod.Inputs)
	require.Empty(t, mod.Defaults)
	require.NotNil(t, ir.ConstOf(mod.Graph.Results[0].Def.Operands[1]))
}

func TestShapes(t *testing.T) {
	m := model(17, inputs(value("x", 1, "batch size", -1), value("z", 1, "batch size", "u7")), nil, node("Add", names("x", "z"), names("y")))
	mod, _, err := importModel(t, m, Options{})
	require.NoError(t, err)
	require.Equal(t, "f32[batch_size,x_1]", mod.Graph.Params[0].Type.String())
	require.Equal(t, "f32[batch_size,_u7]", mod.Graph.Params[1].Type.String())
	mod, _, err = importModel(t, m, Options{Shapes: map[string][]ir.Dim{"x": ir.Dims(5, 6)}})
	require.NoError(t, err)
	require.Equal(t, "f32[5,6]", mod.Graph.Params[0].Type.String())
	require.Equal(t, "f32[5,_u7]", mod.Graph.Params[1].Type.String())
	for name, dims := range map[string][]ir.Dim{"nope": ir.Dims(1), "x": ir.Dims(1)} {
		_, _, err = importModel(t, m, Options{Shapes: map[string][]ir.Dim{name: dims}})
		require.ErrorContains(t, err, name)
	}
}

func TestNodesOutOfOrder(t *testing.T) {
	m := model(17, inputs(value("x", 1, 2)), nil, node("Exp", names("b"), names("y")), node("Neg", names("a"), names("b")), node("Relu", names("x"), names("a")))
	got, _ := ops(t, m)
	require.Equal(t, names("Relu", "Neg", "Exp"), got)
}

// TestFunctions inlines a function with an attribute that a caller gives, one with a default and one left out.
func TestFunctions(t *testing.T) {
	ref := func(name, to string) *onnxpb.AttributeProto {
		return &onnxpb.AttributeProto{Name: proto.String(name), RefAttrName: proto.String(to), Type: onnxpb.AttributeProto_FLOAT.Enum()}
	}
	m := model(17, inputs(value("x", 1, 2)), nil, &onnxpb.NodeProto{
		OpType: proto.String("F"), Domain: proto.String("local"), Input: names("x"), Output: names("y"),
		Attribute: []*onnxpb.AttributeProto{attrOf("a", float32(7))},
	})
	m.Functions = []*onnxpb.FunctionProto{{
		Name: proto.String("F"), Domain: proto.String("local"), Input: names("p", "absent"), Output: names("q"), Attribute: names("a", "c"),
		AttributeProto: []*onnxpb.AttributeProto{attrOf("b", float32(3))},
		OpsetImport:    []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(17)}},
		Node: []*onnxpb.NodeProto{
			node("Elu", names("p"), names("x"), ref("alpha", "a")), node("HardSigmoid", names("x"), names("z"), ref("beta", "b"), ref("alpha", "c")),
			node("Clip", names("z", "absent"), names("q")),
		},
	}}
	mod, _, err := importModel(t, m, Options{})
	require.NoError(t, err)
	require.Len(t, mod.Graph.Ops, 3)
	require.Equal(t, ir.Attrs{"alpha": 7.0}, mod.Graph.Ops[0].Attrs)
	require.Equal(t, ir.Attrs{"beta": 3.0}, mod.Graph.Ops[1].Attrs)
	require.Nil(t, mod.Graph.Ops[2].Operand(1))
}

// TestSubgraphs captures an outer value that is defined behind the node in the file.
func TestSubgraphs(t *testing.T) {
	branch := func(op, out string) *onnxpb.GraphProto {
		return &onnxpb.GraphProto{Name: proto.String(op), Node: []*onnxpb.NodeProto{node(op, names("e"), names(out))}, Output: outputs(out)}
	}
	m := model(17, inputs(value("x", 1, 2), value("c", 9)), nil,
		node("If", names("c"), names("y"), attrOf("then_branch", branch("Neg", "t")), attrOf("else_branch", branch("Abs", "t"))), node("Exp", names("x"), names("e")))
	got, last := ops(t, m)
	require.Equal(t, names("Exp", "If"), got)
	require.Len(t, last.Regions, 2)
	require.Equal(t, "Exp", last.Regions[1].Ops[0].Operands[0].Def.Name())
}

// TestTypedFields reads every element type from the field that holds it.
func TestTypedFields(t *testing.T) {
	for _, c := range []struct {
		t    *onnxpb.TensorProto
		dt   tensor.DType
		dims []int64
		want []byte
	}{
		{&onnxpb.TensorProto{FloatData: []float32{1}}, tensor.F32, nil, []byte{0, 0, 0x80, 0x3f}},
		{&onnxpb.TensorProto{Int32Data: []int32{-1, 5}}, tensor.I8, []int64{2}, []byte{0xff, 5}},
		{&onnxpb.TensorProto{Int32Data: []int32{0x3c00}}, tensor.F16, nil, []byte{0, 0x3c}},
		{&onnxpb.TensorProto{Int32Data: []int32{0x21, 3}}, tensor.I4, []int64{3}, []byte{0x21, 3}},
		{&onnxpb.TensorProto{Int32Data: []int32{0xe4, 1}}, tensor.U2, []int64{5}, []byte{0xe4, 1}},
		{&onnxpb.TensorProto{Int32Data: []int32{0x1b}}, tensor.I2, []int64{4}, []byte{0x1b}},
		{&onnxpb.TensorProto{Int32Data: []int32{0x72, 0xf}}, tensor.F4E2M1, []int64{3}, []byte{0x72, 0xf}},
		{&onnxpb.TensorProto{Int32Data: []int32{0x98}}, tensor.U4, []int64{1, 2}, []byte{0x98}},
		{&onnxpb.TensorProto{Int32Data: []int32{0xbf80}}, tensor.BF16, nil, []byte{0x80, 0xbf}},
		{&onnxpb.TensorProto{Int32Data: []int32{0x7f, 0x80}}, tensor.F8E4M3FN, []int64{2}, []byte{0x7f, 0x80}},
		{&onnxpb.TensorProto{Int32Data: []int32{1}}, tensor.F8E4M3FNUZ, nil, []byte{1}},
		{&onnxpb.TensorProto{Int32Data: []int32{2}}, tensor.F8E5M2, nil, []byte{2}},
		{&onnxpb.TensorProto{Int32Data: []int32{3}}, tensor.F8E5M2FNUZ, nil, []byte{3}},
		{&onnxpb.TensorProto{Int32Data: []int32{0xff}}, tensor.F8E8M0, nil, []byte{0xff}},
		{&onnxpb.TensorProto{Int32Data: []int32{-2}}, tensor.I16, nil, []byte{0xfe, 0xff}},
		{&onnxpb.TensorProto{Int32Data: []int32{0xfffe}}, tensor.U16, nil, []byte{0xfe, 0xff}},
		{&onnxpb.TensorProto{Int32Data: []int32{1, 0}}, tensor.Bool, []int64{2}, []byte{1, 0}},
		{&onnxpb.TensorProto{DoubleData: []float64{1, -2}}, tensor.C128, nil, []byte{0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0xc0}},
		{&onnxpb.TensorProto{RawData: []byte{0x21, 0x43, 5}}, tensor.U4, []int64{5}, []byte{0x21, 0x43, 5}},
		{&onnxpb.TensorProto{Uint64Data: []uint64{7}}, tensor.U32, nil, []byte{7, 0, 0, 0}},
		{&onnxpb.TensorProto{RawData: []byte{2, 0}}, tensor.Bool, []int64{2}, []byte{1, 0}},
		{&onnxpb.TensorProto{FloatData: []float32{0, 1}}, tensor.C64, nil, []byte{0, 0, 0, 0, 0, 0, 0x80, 0x3f}},
	} {
		c.t.DataType, c.t.Dims = proto.Int32(int32(c.dt)), c.dims
		m := model(17, nil, nil, node("Constant", nil, names("y"), attrOf("value", c.t)))
		mod, _, err := importModel(t, m, Options{})
		require.NoError(t, err, c.dt)
		b, err := ir.ConstOf(mod.Graph.Results[0]).Load()
		require.NoError(t, err)
		require.Equal(t, c.want, b, c.dt)
	}
}

func TestSparse(t *testing.T) {
	m := relu()
	m.Graph.Node[0] = node("Add", names("x", "s"), names("y"))
	m.Graph.SparseInitializer = []*onnxpb.SparseTensorProto{{Values: floats("s", []int64{2}, 5, 6), Indices: int64s("", 1, 5), Dims: []int64{2, 3}}}
	m.Graph.Input = inputs(value("x", 1, 2, 3))
	mod, _, err := importModel(t, m, Options{})
	require.NoError(t, err)
	tt, err := ir.ConstOf(mod.Graph.Ops[1].Operands[1]).Tensor()
	require.NoError(t, err)
	require.Equal(t, []float32{0, 5, 0, 0, 0, 6}, tensor.View[float32](tt))
}

// TestSparsePacked: elements of less than a byte find their places too.
func TestSparsePacked(t *testing.T) {
	vals := &onnxpb.TensorProto{DataType: proto.Int32(int32(tensor.I4)), Dims: []int64{3}, RawData: []byte{0xe1, 7}}
	s := &onnxpb.SparseTensorProto{Values: vals, Indices: int64s("", 0, 3, 4), Dims: []int64{5}}
	mod, _, err := importModel(t, model(21, nil, nil, node("Constant", nil, names("y"), attrOf("sparse_value", s))), Options{})
	require.NoError(t, err)
	b, err := ir.ConstOf(mod.Graph.Results[0]).Load()
	require.NoError(t, err)
	require.Equal(t, []byte{0x01, 0xe0, 0x07}, b)
}
