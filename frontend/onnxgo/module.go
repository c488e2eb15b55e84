package onnxgo

import (
	"errors"
	"fmt"
	"slices"

	onnxgo "github.com/owulveryck/onnx-go"
	"google.golang.org/protobuf/proto"
	gorgonia "gorgonia.org/tensor"

	"github.com/nnc-go/nnc/frontend/onnx"
	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/runtime/tensorio"
)

// oldestOpset is the version that onnx-go was written for; what came before has the same form but for
// operators that are gone.
const oldestOpset = 9

// newestOpset is the last that is tried where Opset is 0.
const newestOpset = 28

// module imports the graph with inputs of the types of in.
func (g *Graph) module(given []*Node, in []hostop.Value, results []*Node) (*ir.Module, error) {
	p, err := g.proto(given, in, results)
	if err != nil {
		return nil, err
	}
	first, last := g.Opset, g.Opset
	if first == 0 {
		first, last = oldestOpset, newestOpset
	}
	var failed []error // of the first version and of the last
	for opset := first; opset <= last; opset++ {
		p.OpsetImport = []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(opset)}, {Domain: proto.String("ai.onnx.ml"), Version: proto.Int64(3)}}
		b, err := proto.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("onnxgo: %w", err)
		}
		m, _, err := onnx.LoadBytes(b, "", onnx.Options{})
		if err == nil {
			return m, nil
		}
		failed = append(failed[:min(len(failed), 1)], err)
	}
	unsupported := ""
	for _, err := range failed {
		var u *onnx.UnsupportedError
		if !errors.As(err, &u) || len(u.Nodes) == 0 {
			return nil, fmt.Errorf("onnxgo: no opset from %d to %d fits: %w", first, last, errors.Join(failed...))
		}
		unsupported = u.Nodes[0].Op
	}
	return nil, &onnxgo.ErrNotImplemented{Operator: unsupported, Message: errors.Join(failed...).Error()}
}

// proto spells the graph out as an ONNX model.
func (g *Graph) proto(given []*Node, in []hostop.Value, results []*Node) (*onnxpb.ModelProto, error) {
	gp := &onnxpb.GraphProto{Name: proto.String("onnx-go")}
	names := g.names()
	for i, n := range given {
		gp.Input = append(gp.Input, &onnxpb.ValueInfoProto{Name: proto.String(names[n]), Type: typeProto(in[i].(*tensor.Tensor))})
	}
	for _, n := range g.nodes {
		if n.made || n.value == nil || slices.Contains(given, n) {
			continue
		}
		t, err := fromGorgonia(n.value)
		if err != nil {
			return nil, fmt.Errorf("onnxgo: constant %q: %w", n.name, err)
		}
		tp, err := tensorProto(t, names[n])
		if err != nil {
			return nil, err
		}
		gp.Initializer = append(gp.Initializer, tp)
	}
	for i, c := range g.calls {
		np := &onnxpb.NodeProto{Name: proto.String(fmt.Sprintf("%s_%d", c.op.Name, i)), OpType: proto.String(c.op.Name)}
		for _, n := range g.operands(c) {
			np.Input = append(np.Input, names[n])
		}
		for _, n := range c.outs {
			np.Output = append(np.Output, names[n])
		}
		for name, v := range c.op.Attributes {
			a, err := attribute(name, v)
			if err != nil {
				return nil, &onnxgo.ErrNotImplemented{Operator: c.op.Name, AttributeName: name, AttributeValue: v, Message: err.Error()}
			}
			if a != nil {
				np.Attribute = append(np.Attribute, a)
			}
		}
		slices.SortFunc(np.Attribute, func(a, b *onnxpb.AttributeProto) int {
			if a.GetName() < b.GetName() {
				return -1
			}
			return 1
		})
		gp.Node = append(gp.Node, np)
	}
	for _, n := range results {
		gp.Output = append(gp.Output, &onnxpb.ValueInfoProto{Name: proto.String(names[n])})
	}
	return &onnxpb.ModelProto{IrVersion: proto.Int64(8), Graph: gp}, nil
}

// names gives each node a name of its own; an absent input or output keeps none. onnx-go makes a second
// node where a model declares a name twice.
func (g *Graph) names() map[*Node]string {
	names, seen := map[*Node]string{nil: ""}, map[string]bool{}
	for _, n := range g.nodes {
		name := n.name
		if name == "" && !n.made && n.value == nil {
			names[n] = ""
			continue
		}
		if name == "" || seen[name] {
			name = fmt.Sprintf("%s#%d", name, n.id)
		}
		names[n], seen[name] = name, true
	}
	return names
}

func typeProto(t *tensor.Tensor) *onnxpb.TypeProto {
	shape := &onnxpb.TensorShapeProto{}
	for _, d := range t.Shape {
		shape.Dim = append(shape.Dim, &onnxpb.TensorShapeProto_Dimension{Value: &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: d}})
	}
	return &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(int32(t.DType)), Shape: shape}}}
}

func tensorProto(t *tensor.Tensor, name string) (*onnxpb.TensorProto, error) {
	p := &onnxpb.TensorProto{}
	if err := proto.Unmarshal(tensorio.EncodePB(t, name), p); err != nil {
		return nil, fmt.Errorf("onnxgo: constant %q: %w", name, err)
	}
	return p, nil
}

// attribute is an attribute as onnx-go gives it; nil for one without a value.
func attribute(name string, v any) (*onnxpb.AttributeProto, error) {
	a := &onnxpb.AttributeProto{Name: proto.String(name)}
	kind := func(t onnxpb.AttributeProto_AttributeType) { a.Type = t.Enum() }
	switch v := v.(type) {
	case struct{}:
		return nil, nil
	case float32:
		kind(onnxpb.AttributeProto_FLOAT)
		a.F = proto.Float32(v)
	case int64:
		kind(onnxpb.AttributeProto_INT)
		a.I = proto.Int64(v)
	case string:
		kind(onnxpb.AttributeProto_STRING)
		a.S = []byte(v)
	case []float32:
		kind(onnxpb.AttributeProto_FLOATS)
		a.Floats = v
	case []int64:
		kind(onnxpb.AttributeProto_INTS)
		a.Ints = v
	case []string:
		kind(onnxpb.AttributeProto_STRINGS)
		for _, s := range v {
			a.Strings = append(a.Strings, []byte(s))
		}
	case gorgonia.Tensor:
		kind(onnxpb.AttributeProto_TENSOR)
		t, err := fromGorgonia(v)
		if err != nil {
			return nil, err
		}
		if a.T, err = tensorProto(t, name); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("a value of type %T is not supported", v)
	}
	return a, nil
}
