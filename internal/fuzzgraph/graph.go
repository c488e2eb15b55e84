package main

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/nnc-go/nnc/frontend/onnx"
	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// opset and irVersion are what generated models declare: the newest that the peer has released support for.
const (
	opset     = 23
	irVersion = 10
)

// input is a value that no node makes: an input of the model, or a constant in it.
type input struct {
	name  string
	t     *tensor.Tensor
	dims  []string // for each dimension the symbol that the model declares, "" for the size itself
	konst bool
}

// graph is a model with its data.
type graph struct {
	inputs  []*input
	nodes   []*onnxpb.NodeProto
	outputs []string
}

// clone copies what shrinking changes.
func (g *graph) clone() *graph {
	c := &graph{outputs: slices.Clone(g.outputs)}
	for _, in := range g.inputs {
		i := *in
		c.inputs = append(c.inputs, &i)
	}
	for _, n := range g.nodes {
		c.nodes = append(c.nodes, proto.CloneOf(n))
	}
	return c
}

// feeds are the values of the model's inputs, in order.
func (g *graph) feeds() (in []*input) {
	for _, i := range g.inputs {
		if !i.konst {
			in = append(in, i)
		}
	}
	return in
}

func tensorProto(name string, t *tensor.Tensor) *onnxpb.TensorProto {
	return &onnxpb.TensorProto{Name: proto.String(name), Dims: t.Shape, DataType: proto.Int32(int32(t.DType)), RawData: t.Data}
}

func valueInfo(in *input) *onnxpb.ValueInfoProto {
	shape := &onnxpb.TensorShapeProto{}
	for i, n := range in.t.Shape {
		d := &onnxpb.TensorShapeProto_Dimension{Value: &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: n}}
		if in.dims[i] != "" {
			d.Value = &onnxpb.TensorShapeProto_Dimension_DimParam{DimParam: in.dims[i]}
		}
		shape.Dim = append(shape.Dim, d)
	}
	tt := &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(int32(in.t.DType)), Shape: shape}
	return &onnxpb.ValueInfoProto{Name: proto.String(in.name), Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: tt}}}
}

// model makes the ONNX model.
func (g *graph) model() *onnxpb.ModelProto {
	gp := &onnxpb.GraphProto{Name: proto.String("fuzz"), Node: g.nodes}
	for _, in := range g.inputs {
		if in.konst {
			gp.Initializer = append(gp.Initializer, tensorProto(in.name, in.t))
		} else {
			gp.Input = append(gp.Input, valueInfo(in))
		}
	}
	for _, o := range g.outputs {
		gp.Output = append(gp.Output, &onnxpb.ValueInfoProto{Name: proto.String(o)})
	}
	return wrap(gp)
}

func wrap(gp *onnxpb.GraphProto) *onnxpb.ModelProto {
	return &onnxpb.ModelProto{
		IrVersion: proto.Int64(irVersion), ProducerName: proto.String("nnc fuzzgraph"),
		OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(opset)}}, Graph: gp,
	}
}

// closedModel makes the model for a runtime whose interface knows neither scalars nor empty tensors: all
// inputs are constants, but for one, f32[1], that nothing uses; for output k, "k" holds the elements in a row with one more behind them, and "k.shape"
// the dimensions with -1 behind them.
func (g *graph) closedModel(types []tensor.DType) *onnxpb.ModelProto {
	gp := &onnxpb.GraphProto{Name: proto.String("fuzz"), Node: slices.Clone(g.nodes)}
	for _, in := range g.inputs {
		gp.Initializer = append(gp.Initializer, tensorProto(in.name, in.t))
	}
	gp.Initializer = append(gp.Initializer, tensorProto("one.", tensor.Of([]int64{1}, 1)), tensorProto("end.", tensor.Of([]int64{-1}, 1)))
	gp.Input = append(gp.Input, valueInfo(&input{name: "unused.", t: tensor.New(tensor.F32, 1), dims: []string{""}}))
	add := func(op string, attrs attrs, out string, in ...string) {
		gp.Node = append(gp.Node, newNode(op, in, []string{out}, attrs))
	}
	for i, o := range g.outputs {
		k := fmt.Sprint(i)
		gp.Initializer = append(gp.Initializer, tensorProto(k+".pad", tensor.New(readable(types[i]), 1)))
		if d := readable(types[i]); d != types[i] {
			add("Cast", attrs{"to": d}, k+".wide", o)
			o = k + ".wide"
		}
		add("Size", nil, k+".size", o)
		add("Reshape", nil, k+".len", k+".size", "one.")
		add("Reshape", attrs{"allowzero": 1}, k+".flat", o, k+".len")
		add("Concat", attrs{"axis": 0}, k, k+".flat", k+".pad")
		add("Shape", nil, k+".dims", o)
		add("Concat", attrs{"axis": 0}, k+".shape", k+".dims", "end.")
		for _, out := range []struct {
			name string
			d    tensor.DType
		}{{k, readable(types[i])}, {k + ".shape", tensor.I64}} {
			tt := &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(int32(out.d))}
			gp.Output = append(gp.Output, &onnxpb.ValueInfoProto{Name: proto.String(out.name),
				Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: tt}}})
		}
	}
	return wrap(gp)
}

// readable is the type as which the peer's interface gives elements of type d: it does not know half floats.
func readable(d tensor.DType) tensor.DType {
	if d == tensor.F16 || d == tensor.BF16 {
		return tensor.F32
	}
	return d
}

type nodeProto = onnxpb.NodeProto

// attrs are a node's attributes: int, float64, string, []int64, tensor.DType, *onnxpb.GraphProto.
type attrs map[string]any

func newNode(op string, in, out []string, a attrs) *onnxpb.NodeProto {
	n := &onnxpb.NodeProto{OpType: proto.String(op), Input: in, Output: out}
	for _, name := range slices.Sorted(maps.Keys(a)) {
		p := &onnxpb.AttributeProto{Name: proto.String(name)}
		typ := onnxpb.AttributeProto_INT
		switch v := a[name].(type) {
		case int:
			p.I = proto.Int64(int64(v))
		case tensor.DType:
			p.I = proto.Int64(int64(v))
		case float64:
			p.F, typ = proto.Float32(float32(v)), onnxpb.AttributeProto_FLOAT
		case string:
			p.S, typ = []byte(v), onnxpb.AttributeProto_STRING
		case []int64:
			p.Ints, typ = v, onnxpb.AttributeProto_INTS
		case *onnxpb.GraphProto:
			p.G, typ = v, onnxpb.AttributeProto_GRAPH
		default:
			panic(fmt.Sprintf("attribute %s of type %T", name, v))
		}
		p.Type = typ.Enum()
		n.Attribute = append(n.Attribute, p)
	}
	return n
}

// reads lists the values that a node needs, those that its subgraphs take from outside included.
func reads(n *nodeProto) []string {
	in := slices.Clone(n.Input)
	for _, a := range n.Attribute {
		if a.G == nil {
			continue
		}
		own := map[string]bool{}
		for _, p := range a.G.Input {
			own[p.GetName()] = true
		}
		take := func(name string) {
			if !own[name] {
				in = append(in, name)
			}
		}
		for _, m := range a.G.Node {
			for _, name := range reads(m) {
				take(name)
			}
			for _, name := range m.Output {
				own[name] = true
			}
		}
		for _, o := range a.G.Output {
			take(o.GetName())
		}
	}
	return in
}

// all lists nodes with those of their subgraphs.
func all(nodes []*nodeProto) (ns []*nodeProto) {
	for _, n := range nodes {
		ns = append(ns, n)
		for _, a := range n.Attribute {
			ns = append(ns, all(a.GetG().GetNode())...)
		}
	}
	return ns
}

// module imports the graph.
func (g *graph) module() (*ir.Module, error) {
	b, err := proto.Marshal(g.model())
	if err != nil {
		return nil, err
	}
	m, _, err := onnx.LoadBytes(b, "", onnx.Options{})
	if err != nil {
		return nil, err
	}
	_, err = ir.Infer(m)
	return m, err
}
