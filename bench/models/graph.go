package main

import (
	"fmt"
	"math"
	"math/rand/v2"

	"google.golang.org/protobuf/proto"

	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// graph is a model that grows.
type graph struct {
	*onnxpb.GraphProto
	rng     *rand.Rand
	weights int64
}

func newGraph(name string) *graph {
	return &graph{&onnxpb.GraphProto{Name: proto.String(name)}, rand.New(rand.NewPCG(1, 1)), 0}
}

func (g *graph) model(opset int64) *onnxpb.ModelProto {
	return &onnxpb.ModelProto{
		IrVersion: proto.Int64(8), ProducerName: proto.String("nnc bench"), Graph: g.GraphProto,
		OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(opset)}},
	}
}

func value(name string, dims []int64) *onnxpb.ValueInfoProto {
	shape := &onnxpb.TensorShapeProto{}
	for _, d := range dims {
		shape.Dim = append(shape.Dim, &onnxpb.TensorShapeProto_Dimension{Value: &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: d}})
	}
	t := &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(int32(onnxpb.TensorProto_FLOAT)), Shape: shape}
	return &onnxpb.ValueInfoProto{Name: proto.String(name), Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: t}}}
}

func (g *graph) input(dims ...int64) string {
	g.Input = append(g.Input, value("input", dims))
	return "input"
}

// result makes x, which the last node gives, the output.
func (g *graph) result(x string, dims ...int64) {
	g.Output = append(g.Output, value(x, dims))
}

// attrs are the attributes of a node: int, []int64, float32 or string.
type attrs map[string]any

// node adds a node and gives the name of its result.
func (g *graph) node(op string, in []string, as attrs) string {
	name := fmt.Sprintf("%s_%d", op, len(g.Node))
	n := &onnxpb.NodeProto{OpType: proto.String(op), Name: proto.String(name), Input: in, Output: []string{name + "_output"}}
	for k, v := range as {
		a := &onnxpb.AttributeProto{Name: proto.String(k)}
		switch v := v.(type) {
		case int:
			a.Type, a.I = onnxpb.AttributeProto_INT.Enum(), proto.Int64(int64(v))
		case []int64:
			a.Type, a.Ints = onnxpb.AttributeProto_INTS.Enum(), v
		case float32:
			a.Type, a.F = onnxpb.AttributeProto_FLOAT.Enum(), proto.Float32(v)
		default:
			panic(fmt.Sprintf("attribute %s is a %T", k, v))
		}
		n.Attribute = append(n.Attribute, a)
	}
	g.Node = append(g.Node, n)
	return n.Output[0]
}

func (g *graph) constant(data []byte, t onnxpb.TensorProto_DataType, dims []int64) string {
	name := fmt.Sprintf("const_%d", len(g.Initializer))
	g.Initializer = append(g.Initializer, &onnxpb.TensorProto{Name: proto.String(name), DataType: proto.Int32(int32(t)), Dims: dims, RawData: data})
	return name
}

// fill adds floats that are all x.
func (g *graph) fill(x float32, dims ...int64) string {
	f := make([]float32, tensor.NumElements(dims))
	for i := range f {
		f[i] = x
	}
	return g.constant(tensor.AsBytes(f), onnxpb.TensorProto_FLOAT, dims)
}

// weight adds random floats with the given standard deviation.
func (g *graph) weight(deviation float64, dims ...int64) string {
	f := make([]float32, tensor.NumElements(dims))
	for i := range f {
		f[i] = float32(g.rng.NormFloat64() * deviation)
	}
	g.weights += int64(len(f))
	return g.constant(tensor.AsBytes(f), onnxpb.TensorProto_FLOAT, dims)
}

// ints adds a vector of integers.
func (g *graph) ints(x ...int64) string {
	return g.constant(tensor.AsBytes(x), onnxpb.TensorProto_INT64, []int64{int64(len(x))})
}

// index adds an integer without dimensions.
func (g *graph) index(x int64) string {
	return g.constant(tensor.AsBytes([]int64{x}), onnxpb.TensorProto_INT64, []int64{})
}

// conv is a convolution with bias; gain is how much it scales what it gets, for random inputs.
func (g *graph) conv(x string, in, out, size, stride, group int64, gain float64) string {
	pad := (size - 1) / 2
	fan := float64(in / group * size * size)
	return g.node("Conv", []string{x, g.weight(gain/math.Sqrt(fan), out, in/group, size, size), g.weight(0.1, out)}, attrs{
		"kernel_shape": []int64{size, size}, "strides": []int64{stride, stride}, "pads": []int64{pad, pad, pad, pad},
		"dilations": []int64{1, 1}, "group": int(group),
	})
}

func (g *graph) relu(x string) string { return g.node("Relu", []string{x}, nil) }

func (g *graph) add(x, y string) string { return g.node("Add", []string{x, y}, nil) }

// gemm is a fully connected layer as PyTorch writes it: the weights lie output by output.
func (g *graph) gemm(x string, in, out int64) string {
	return g.node("Gemm", []string{x, g.weight(math.Sqrt2/math.Sqrt(float64(in)), out, in), g.weight(0.1, out)}, attrs{"alpha": float32(1), "beta": float32(1), "transB": 1})
}
