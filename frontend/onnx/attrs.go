package onnx

import (
	"fmt"

	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// protoKinds tells which ONNX attribute type each kind in rowSpec.attrs is.
var protoKinds = map[string]onnxpb.AttributeProto_AttributeType{
	"int": onnxpb.AttributeProto_INT, "dtype": onnxpb.AttributeProto_INT, "float": onnxpb.AttributeProto_FLOAT,
	"string": onnxpb.AttributeProto_STRING, "ints": onnxpb.AttributeProto_INTS, "floats": onnxpb.AttributeProto_FLOATS,
	"strings": onnxpb.AttributeProto_STRINGS, "data": onnxpb.AttributeProto_TENSOR, "graph": onnxpb.AttributeProto_GRAPH,
	"sparse": onnxpb.AttributeProto_SPARSE_TENSOR, "type": onnxpb.AttributeProto_TYPE_PROTO,
}

// readAttributes fills c.attrs, c.graphs and c.typ, and refuses what the row does not know.
func (c *nodeCtx) readAttributes() error {
	specs := map[string]attrSpec{}
	for _, a := range c.row.attrs {
		specs[a.name] = a
	}
	given, seen := map[string]bool{}, map[string]bool{}
	for _, a := range c.node.Attribute {
		name := a.GetName()
		if seen[name] {
			return fmt.Errorf("attribute %q is given twice", name)
		}
		seen[name] = true
		spec, ok := specs[name]
		if !ok {
			if name == "consumed_inputs" { // a hint about memory that opset 1 had
				continue
			}
			return fmt.Errorf("attribute %q is unknown", name)
		}
		arg, ok, err := c.s.resolve(a)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		given[name] = true
		if err := c.readAttribute(spec, arg); err != nil {
			return fmt.Errorf("attribute %q: %w", name, err)
		}
	}
	for _, a := range c.row.attrs {
		if a.required && !given[a.name] {
			return fmt.Errorf("attribute %q is missing", a.name)
		}
	}
	return nil
}

func (c *nodeCtx) readAttribute(spec attrSpec, arg argument) error {
	a := arg.attr
	want := protoKinds[spec.kind]
	if t := a.GetType(); t != want && t != onnxpb.AttributeProto_UNDEFINED {
		return fmt.Errorf("type %v, want %v", t, want)
	}
	if a.GetType() == onnxpb.AttributeProto_UNDEFINED && !holds(a, want) {
		return fmt.Errorf("no value of type %v", want)
	}
	switch spec.kind {
	case "graph":
		if a.G == nil {
			return fmt.Errorf("no graph is given")
		}
		if c.graphs == nil {
			c.graphs = map[string]boundGraph{}
		}
		s := arg.scope
		if s == nil {
			s = c.s
		}
		c.graphs[spec.name] = boundGraph{a.G, s}
		return nil
	case "type":
		c.typ = a.Tp
		return nil
	}
	v, err := c.value(spec.kind, a)
	if err == nil && !spec.isDefault(v) {
		c.attrs[spec.name] = v
	}
	return err
}

// holds reports whether an attribute without a type, as old writers left it, has a value of type t.
func holds(a *onnxpb.AttributeProto, t onnxpb.AttributeProto_AttributeType) bool {
	switch t {
	case onnxpb.AttributeProto_INT:
		return a.I != nil
	case onnxpb.AttributeProto_FLOAT:
		return a.F != nil
	case onnxpb.AttributeProto_STRING:
		return a.S != nil
	case onnxpb.AttributeProto_TENSOR:
		return a.T != nil
	case onnxpb.AttributeProto_GRAPH:
		return a.G != nil
	case onnxpb.AttributeProto_SPARSE_TENSOR:
		return a.SparseTensor != nil
	case onnxpb.AttributeProto_INTS:
		return a.I == nil && a.F == nil && a.S == nil && len(a.Floats)+len(a.Strings) == 0
	case onnxpb.AttributeProto_FLOATS:
		return a.I == nil && a.F == nil && a.S == nil && len(a.Ints)+len(a.Strings) == 0
	case onnxpb.AttributeProto_STRINGS:
		return a.I == nil && a.F == nil && a.S == nil && len(a.Ints)+len(a.Floats) == 0
	}
	return false
}

// value gives the value of an attribute in the Go type that ir has for it.
func (c *nodeCtx) value(kind string, a *onnxpb.AttributeProto) (any, error) {
	switch kind {
	case "int":
		return a.GetI(), nil
	case "dtype":
		if i := a.GetI(); i < 0 || i > int64(tensor.I2) {
			return nil, fmt.Errorf("data type %d is unknown", i)
		}
		return tensor.DType(a.GetI()), nil
	case "float":
		return float64(a.GetF()), nil
	case "string":
		return string(a.S), nil
	case "ints":
		return append([]int64{}, a.Ints...), nil
	case "floats":
		out := make([]float64, len(a.Floats))
		for i, f := range a.Floats {
			out[i] = float64(f)
		}
		return out, nil
	case "strings":
		out := make([]string, len(a.Strings))
		for i, s := range a.Strings {
			out[i] = string(s)
		}
		return out, nil
	case "data":
		if a.T == nil {
			return nil, fmt.Errorf("no tensor is given")
		}
		return c.im.tensor(a.T)
	case "sparse":
		if a.SparseTensor == nil {
			return nil, fmt.Errorf("no sparse tensor is given")
		}
		return c.im.sparse(a.SparseTensor)
	}
	return nil, fmt.Errorf("attributes of kind %s cannot be read", kind)
}
