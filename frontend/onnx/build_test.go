package onnx

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
	"github.com/nnc-go/nnc/ir"
)

// Builders of small models.

func node(op string, in, out []string, attrs ...*onnxpb.AttributeProto) *onnxpb.NodeProto {
	return &onnxpb.NodeProto{OpType: proto.String(op), Input: in, Output: out, Attribute: attrs}
}

func names(s ...string) []string { return s }

func attrOf(name string, v any) *onnxpb.AttributeProto {
	a := &onnxpb.AttributeProto{Name: proto.String(name)}
	typ := onnxpb.AttributeProto_UNDEFINED
	switch v := v.(type) {
	case int:
		a.I, typ = proto.Int64(int64(v)), onnxpb.AttributeProto_INT
	case float32:
		a.F, typ = proto.Float32(v), onnxpb.AttributeProto_FLOAT
	case string:
		a.S, typ = []byte(v), onnxpb.AttributeProto_STRING
	case []int64:
		a.Ints, typ = v, onnxpb.AttributeProto_INTS
	case []float32:
		a.Floats, typ = v, onnxpb.AttributeProto_FLOATS
	case *onnxpb.TensorProto:
		a.T, typ = v, onnxpb.AttributeProto_TENSOR
	case *onnxpb.SparseTensorProto:
		a.SparseTensor, typ = v, onnxpb.AttributeProto_SPARSE_TENSOR
	case *onnxpb.GraphProto:
		a.G, typ = v, onnxpb.AttributeProto_GRAPH
	}
	a.Type = typ.Enum()
	return a
}

func floats(name string, dims []int64, v ...float32) *onnxpb.TensorProto {
	var raw []byte
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return &onnxpb.TensorProto{Name: proto.String(name), Dims: dims, DataType: proto.Int32(1), RawData: raw}
}

func int64s(name string, v ...int64) *onnxpb.TensorProto {
	return &onnxpb.TensorProto{Name: proto.String(name), Dims: []int64{int64(len(v))}, DataType: proto.Int32(7), Int64Data: v}
}

// value declares a tensor; a dimension is an int or a symbol's name.
func value(name string, dt int32, dims ...any) *onnxpb.ValueInfoProto {
	shape := &onnxpb.TensorShapeProto{}
	for _, d := range dims {
		dim := &onnxpb.TensorShapeProto_Dimension{}
		switch d := d.(type) {
		case int:
			dim.Value = &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: int64(d)}
		case string:
			dim.Value = &onnxpb.TensorShapeProto_Dimension_DimParam{DimParam: d}
		}
		shape.Dim = append(shape.Dim, dim)
	}
	tt := &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(dt), Shape: shape}
	return &onnxpb.ValueInfoProto{Name: proto.String(name), Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: tt}}}
}

func outputs(names ...string) (out []*onnxpb.ValueInfoProto) {
	for _, n := range names {
		out = append(out, &onnxpb.ValueInfoProto{Name: proto.String(n)})
	}
	return out
}

// model makes a model of opset v with the output y.
func model(v int64, in []*onnxpb.ValueInfoProto, inits []*onnxpb.TensorProto, nodes ...*onnxpb.NodeProto) *onnxpb.ModelProto {
	return &onnxpb.ModelProto{
		IrVersion:   proto.Int64(8),
		OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(v)}, {Domain: proto.String("local"), Version: proto.Int64(1)}},
		Graph:       &onnxpb.GraphProto{Name: proto.String("g"), Input: in, Initializer: inits, Node: nodes, Output: outputs("y")},
	}
}

func inputs(v ...*onnxpb.ValueInfoProto) []*onnxpb.ValueInfoProto { return v }

// relu is the model y = Relu(x).
func relu() *onnxpb.ModelProto {
	return model(17, inputs(value("x", 1, "N", 3)), nil, node("Relu", names("x"), names("y")))
}

func marshal(t testing.TB, m *onnxpb.ModelProto) []byte {
	b, err := proto.Marshal(m)
	require.NoError(t, err)
	return b
}

func importModel(t testing.TB, m *onnxpb.ModelProto, opts Options) (*ir.Module, *Report, error) {
	return LoadBytes(marshal(t, m), "", opts)
}

// ops imports a model and lists its ops without constants.
func ops(t *testing.T, m *onnxpb.ModelProto) (names []string, last *ir.Op) {
	t.Helper()
	mod, _, err := importModel(t, m, Options{})
	require.NoError(t, err)
	for _, op := range mod.Graph.Ops {
		if op.Name() != "Const" {
			names, last = append(names, op.Name()), op
		}
	}
	return names, last
}
