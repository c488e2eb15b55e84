package onnx

import (
	"maps"
	"os"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
)

// Operators lists the operators that a model file applies, those in subgraphs and functions included, in
// alphabetical order: "Conv", "ai.onnx.ml.Scaler". It reads no more of the model than that, and so also
// serves for models that cannot be imported.
func Operators(path string) ([]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := &onnxpb.ModelProto{}
	if err := proto.Unmarshal(b, m); err != nil {
		return nil, err
	}
	set := map[string]bool{}
	addOperators(set, m.GetGraph().GetNode())
	for _, f := range m.Functions {
		addOperators(set, f.Node)
	}
	return slices.Sorted(maps.Keys(set)), nil
}

func addOperators(set map[string]bool, nodes []*onnxpb.NodeProto) {
	for _, n := range nodes {
		name := n.GetOpType()
		if d := domainOf(n.GetDomain()); d != "" {
			name = d + "." + name
		}
		set[name] = true
		for _, a := range n.Attribute {
			for _, g := range append(a.Graphs, a.G) {
				addOperators(set, g.GetNode())
			}
		}
	}
}
