package main

import (
	"slices"

	"google.golang.org/protobuf/proto"
)

// shrink makes a graph smaller as long as it still fails: fewer outputs, then nodes cut off at the top, whose
// results become inputs, then dimensions without symbols and inputs that are constants.
func shrink(g *graph, fails func(*graph) bool) *graph {
	g = g.clone()
	for changed := true; changed; {
		changed = false
		for _, f := range []func(*graph, int) *graph{onlyOutput, cutNode, asConstant, withoutSymbols} {
			for i := 0; ; i++ {
				smaller := f(g, i)
				if smaller == nil {
					break
				}
				if smaller.size() < g.size() && fails(smaller) {
					g, changed = smaller, true
					i--
				}
			}
		}
	}
	return g
}

// size orders graphs: nodes first, then outputs, inputs and symbols.
func (g *graph) size() int {
	n := 10000*len(g.nodes) + 100*len(g.outputs) + 10*len(g.inputs)
	for _, in := range g.inputs {
		if !in.konst {
			n += 2
		}
		for _, d := range in.dims {
			if d != "" {
				n++
			}
		}
	}
	return n
}

// onlyOutput keeps output i alone, or, behind the outputs, result i-len(outputs) of any node.
func onlyOutput(g *graph, i int) *graph {
	names := slices.Clone(g.outputs)
	for _, n := range g.nodes {
		names = append(names, n.Output...)
	}
	if i >= len(names) {
		return nil
	}
	c := g.clone()
	c.outputs = names[i : i+1]
	return c.prune()
}

// prune drops what the outputs do not need.
func (g *graph) prune() *graph {
	needed := map[string]bool{}
	for _, o := range g.outputs {
		needed[o] = true
	}
	for i := len(g.nodes) - 1; i >= 0; i-- {
		n := g.nodes[i]
		if !slices.ContainsFunc(n.Output, func(o string) bool { return needed[o] }) {
			g.nodes = slices.Delete(g.nodes, i, i+1)
			continue
		}
		for _, in := range reads(n) {
			needed[in] = true
		}
	}
	g.inputs = slices.DeleteFunc(g.inputs, func(in *input) bool { return !needed[in.name] })
	return g
}

// cutNode makes the results of node i inputs, with the values that the evaluator gives them.
func cutNode(g *graph, i int) *graph {
	if i >= len(g.nodes) {
		return nil
	}
	c := g.clone()
	n := c.nodes[i]
	c.nodes = slices.Delete(c.nodes, i, i+1)
	at := &graph{inputs: g.inputs, nodes: g.nodes[:i+1], outputs: n.Output}
	vals, err := evaluate(at, nil)
	if err != nil {
		return c
	}
	for k, name := range n.Output {
		if slices.Contains(c.outputs, name) {
			return g // an output must stay one of a node: no smaller
		}
		c.inputs = append(c.inputs, &input{name: name, t: vals[k], dims: make([]string, len(vals[k].Shape))})
	}
	return c.prune()
}

func asConstant(g *graph, i int) *graph {
	if i >= len(g.inputs) {
		return nil
	}
	c := g.clone()
	c.inputs[i].konst = true
	return c
}

func withoutSymbols(g *graph, i int) *graph {
	if i >= len(g.inputs) {
		return nil
	}
	c := g.clone()
	c.inputs[i].dims = make([]string, len(c.inputs[i].dims))
	return c
}

// bytes is the model file.
func (g *graph) bytes() ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(g.model())
}
