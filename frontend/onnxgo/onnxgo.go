// Package onnxgo is nnc as a backend of github.com/owulveryck/onnx-go: a program written for that module
// runs its models with nnc once it makes its backend here.
//
//	backend := onnxgo.NewGraph(native.Compile) // instead of gorgonnx.NewGraph()
//	model := onnx.NewModel(backend)
//
// onnx-go decodes a model and hands over its graph: nodes for values, edges from each output of an
// operation to its inputs, and an Operation with the attributes. This package spells that out as ONNX
// again, imports it with package onnx, and gives the module to a Compile function. It does so when Run is
// called, once for each combination of the inputs' types and shapes.
//
// What onnx-go does not hand over has to be inferred. The opset: the oldest from 9 on in which all nodes
// are well formed, unless Opset says it. Which leaves are inputs: those that SetInput has set; the others
// are constants. Which values are results: those that no operation uses, and those that the model declares.
package onnxgo

import (
	"fmt"
	"slices"
	"strings"

	"github.com/owulveryck/onnx-go"
	"gonum.org/v1/gonum/graph"
	"gonum.org/v1/gonum/graph/simple"
	gorgonia "gorgonia.org/tensor"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/eval"
	"github.com/nnc-go/nnc/runtime/hostop"
)

// Program runs a module: it takes a value for each input, in the module's order, and gives one for each output.
type Program func(in []hostop.Value) ([]hostop.Value, error)

// Compile makes a Program of a module, which it may change.
type Compile func(m *ir.Module) (Program, error)

// Evaluate is a Compile function that needs nothing: the program interprets the module. It is slow.
func Evaluate(m *ir.Module) (Program, error) {
	return func(in []hostop.Value) ([]hostop.Value, error) { return eval.Run(m, in, eval.Options{}) }, nil
}

// Graph is the backend; it has the methods of backend.ComputationBackend. Use one Graph for one model.
type Graph struct {
	*simple.WeightedDirectedGraph
	// Opset is the version of ONNX's operators that the model is written in; 0 to find one that fits.
	Opset int64

	compile  Compile
	nodes    []*Node
	inputs   map[int64][]*Node // of a value that an operation makes, by its node
	calls    []call
	programs map[string]Program
}

// call is an operation with its outputs.
type call struct {
	op   onnx.Operation
	outs []*Node
}

// NewGraph makes a backend that compiles with the given function; nil means Evaluate.
func NewGraph(compile Compile) *Graph {
	if compile == nil {
		compile = Evaluate
	}
	return &Graph{WeightedDirectedGraph: simple.NewWeightedDirectedGraph(0, 0), compile: compile, inputs: map[int64][]*Node{}, programs: map[string]Program{}}
}

// Node is a value of the graph.
type Node struct {
	g      *Graph
	id     int64
	name   string
	value  gorgonia.Tensor
	made   bool // an operation makes it
	given  bool // SetTensor was called after decoding: it is an input
	listed bool // the model declares its type
}

// ID is the node's number: 0, 1, ... in the order of NewNode.
func (n *Node) ID() int64 { return n.id }

// SetName sets the name of the value in the model.
func (n *Node) SetName(name string) { n.name = name }

// GetName gives the name of the value in the model.
func (n *Node) GetName() string { return n.name }

// SetTensor sets the value: a constant or a placeholder while the model is decoded, an input later.
func (n *Node) SetTensor(t gorgonia.Tensor) error {
	n.value = t
	if len(n.g.calls) > 0 {
		n.given = true
	} else {
		n.listed = true
	}
	return nil
}

// GetTensor gives the value: after Run that of a result.
func (n *Node) GetTensor() gorgonia.Tensor { return n.value }

// NewNode makes a node.
func (g *Graph) NewNode() graph.Node {
	n := &Node{g: g, id: int64(len(g.nodes))}
	g.nodes = append(g.nodes, n)
	return n
}

// SetWeightedEdge notes that the value at one end is input number `weight` of what makes the other.
func (g *Graph) SetWeightedEdge(e graph.WeightedEdge) {
	from, to, i := e.From().ID(), e.To().(*Node), int(e.Weight())
	for len(g.inputs[from]) <= i {
		g.inputs[from] = append(g.inputs[from], nil)
	}
	g.inputs[from][i] = to
	g.WeightedDirectedGraph.SetWeightedEdge(e)
}

// ApplyOperation notes the operation that makes values.
func (g *Graph) ApplyOperation(op onnx.Operation, outs ...graph.Node) error {
	c := call{op: op}
	for _, o := range outs {
		n, ok := o.(*Node)
		if !ok {
			return fmt.Errorf("onnxgo: operation %s on a node of another backend", op.Name)
		}
		n.made = true
		c.outs = append(c.outs, n)
	}
	g.calls = append(g.calls, c)
	return nil
}

// results are the values to compute: those that nothing uses or that the model declares.
func (g *Graph) results() (out []*Node) {
	for _, n := range g.nodes {
		if n.made && n.name != "" && (n.listed || g.To(n.id).Len() == 0) {
			out = append(out, n)
		}
	}
	return out
}

// Run computes the results. Operators and forms of them that nnc lacks give an *onnx.ErrNotImplemented.
func (g *Graph) Run() error {
	var given []*Node
	var in []hostop.Value
	var key strings.Builder
	for _, n := range g.nodes {
		if n.made || !n.given || n.name == "" {
			continue
		}
		t, err := fromGorgonia(n.value)
		if err != nil {
			return fmt.Errorf("onnxgo: input %q: %w", n.name, err)
		}
		given, in = append(given, n), append(in, t)
		fmt.Fprintf(&key, "%d:%s ", n.id, t.TypeString())
	}
	results := g.results()
	p, ok := g.programs[key.String()]
	if !ok {
		m, err := g.module(given, in, results)
		if err != nil {
			return err
		}
		if p, err = g.compile(m); err != nil {
			return fmt.Errorf("onnxgo: %w", err)
		}
		g.programs[key.String()] = p
	}
	out, err := p(in)
	if err != nil {
		return fmt.Errorf("onnxgo: %w", err)
	}
	for i, n := range results {
		if n.value, err = toGorgonia(out[i]); err != nil {
			return fmt.Errorf("onnxgo: output %q: %w", n.name, err)
		}
	}
	return nil
}

// operands are the inputs of an operation; one that onnx-go made up for an operation without inputs is left out.
func (g *Graph) operands(c call) []*Node {
	if len(c.outs) == 0 {
		return nil
	}
	in := slices.Clone(g.inputs[c.outs[0].id])
	if len(in) == 1 && in[0] != nil && !in[0].made && in[0].value == nil && strings.HasSuffix(in[0].name, "/input") {
		return nil
	}
	return in
}
