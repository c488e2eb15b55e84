package onnx

import (
	"fmt"

	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
	"github.com/nnc-go/nnc/ir"
)

// functionKey identifies a function of the model.
type functionKey struct{ domain, name, overload string }

// function is a function of the model and what calling it costs.
type function struct {
	proto   *onnxpb.FunctionProto
	opsets  map[string]int64
	body    *body
	visited visit
	nodes   int // after inlining; capped
	depth   int // of calls, itself included
}

type visit uint8

const (
	visitNew visit = iota
	visitOpen
	visitDone
)

// argument is an attribute that a function was called with, and the scope that names in it belong to.
type argument struct {
	attr  *onnxpb.AttributeProto
	scope *scope
}

// addFunctions indexes the model's functions and refuses those whose inlining would not end or would
// take too long. The cost of each is computed once, so that functions that double each other are no work.
func (im *importer) addFunctions() error {
	for _, f := range im.model.Functions {
		k := functionKey{domainOf(f.GetDomain()), f.GetName(), f.GetOverload()}
		if im.functions[k] != nil {
			return fmt.Errorf("function %q of domain %q is defined twice", f.GetName(), f.GetDomain())
		}
		fn := &function{proto: f}
		var err error
		if fn.opsets, err = opsetsOf(f.OpsetImport); err != nil {
			return fmt.Errorf("function %q: %w", f.GetName(), err)
		}
		given := map[string]bool{}
		for _, in := range f.Input {
			if given[in] {
				return fmt.Errorf("function %q: two inputs are called %q", f.GetName(), in)
			}
			given[in] = true
		}
		if fn.body, err = im.newBody(f.Input, f.Node, f.Output); err != nil {
			return fmt.Errorf("function %q: %w", f.GetName(), err)
		}
		im.functions[k] = fn
	}
	for _, f := range im.model.Functions {
		if err := im.cost(im.functions[functionKey{domainOf(f.GetDomain()), f.GetName(), f.GetOverload()}], 1); err != nil {
			return err
		}
	}
	nodes, depth, err := im.costOf(im.model.Graph.Node, 0)
	if err == nil && nodes > im.opts.MaxNodes {
		err = fmt.Errorf("more than %d nodes after inlining functions", im.opts.MaxNodes)
	}
	if err == nil && depth > im.opts.MaxCallDepth {
		err = fmt.Errorf("functions call each other more than %d deep", im.opts.MaxCallDepth)
	}
	return err
}

func (im *importer) functionOf(n *onnxpb.NodeProto) *function {
	return im.functions[functionKey{domainOf(n.GetDomain()), n.GetOpType(), n.GetOverload()}]
}

// cost computes how many nodes a call of f becomes, and how deep it calls; level is how deep f is called.
func (im *importer) cost(f *function, level int) error {
	if level > im.opts.MaxCallDepth {
		return fmt.Errorf("functions call each other more than %d deep", im.opts.MaxCallDepth)
	}
	switch f.visited {
	case visitDone:
		return nil
	case visitOpen:
		return fmt.Errorf("function %q calls itself", f.proto.GetName())
	}
	f.visited = visitOpen
	nodes, depth, err := im.costOf(f.proto.Node, level)
	if err != nil {
		return fmt.Errorf("function %q: %w", f.proto.GetName(), err)
	}
	f.nodes, f.depth, f.visited = nodes, depth+1, visitDone
	if f.depth > im.opts.MaxCallDepth {
		return fmt.Errorf("function %q calls functions more than %d deep", f.proto.GetName(), im.opts.MaxCallDepth)
	}
	return nil
}

func (im *importer) costOf(list []*onnxpb.NodeProto, level int) (nodes, depth int, err error) {
	add := func(n, d int) {
		nodes = min(nodes+n, im.opts.MaxNodes+1)
		depth = max(depth, d)
	}
	for _, n := range list {
		add(1, 0)
		if f := im.functionOf(n); f != nil {
			if err := im.cost(f, level+1); err != nil {
				return 0, 0, err
			}
			add(f.nodes, f.depth)
		}
		for _, a := range n.Attribute {
			graphs := a.Graphs
			if a.G != nil {
				graphs = append(graphs[:len(graphs):len(graphs)], a.G)
			}
			for _, g := range graphs {
				gn, gd, err := im.costOf(g.Node, level)
				if err != nil {
					return 0, 0, err
				}
				add(gn, gd)
			}
		}
	}
	return nodes, depth, nil
}

// call inlines a call of f.
func (im *importer) call(s *scope, n *onnxpb.NodeProto, f *function) error {
	p := f.proto
	fail := func(format string, args ...any) error {
		return fmt.Errorf("node %q calls function %q: %w", nodeName(n), p.GetName(), fmt.Errorf(format, args...))
	}
	inner := &scope{
		region: s.region, vals: map[string]*ir.Value{}, types: map[string]*onnxpb.TypeProto{}, body: f.body,
		opsets: f.opsets, nesting: s.nesting, calls: s.calls + 1,
	}
	if inner.calls > im.opts.MaxCallDepth {
		return fail("calls are nested more than %d deep", im.opts.MaxCallDepth)
	}
	if len(n.Input) > len(p.Input) || len(n.Output) > len(p.Output) {
		return fail("%d inputs and %d outputs, want at most %d and %d", len(n.Input), len(n.Output), len(p.Input), len(p.Output))
	}
	for i, formal := range p.Input {
		inner.vals[formal] = nil
		if i >= len(n.Input) {
			continue
		}
		v, ok := s.lookup(n.Input[i])
		if !ok {
			return fail("input %q is not defined", n.Input[i])
		}
		inner.vals[formal] = v
	}
	var err error
	if inner.args, err = arguments(s, n, p); err != nil {
		return fail("%w", err)
	}
	for _, v := range p.ValueInfo {
		inner.types[v.GetName()] = v.Type
	}
	if err := im.importNodes(inner); err != nil {
		return fail("%w", err)
	}
	for i, name := range n.Output {
		if name == "" {
			continue
		}
		v := inner.vals[p.Output[i]]
		if v == nil {
			return fail("its output %q is not defined", p.Output[i])
		}
		s.vals[name] = v
	}
	return nil
}

// arguments binds the attributes of a function.
func arguments(s *scope, n *onnxpb.NodeProto, p *onnxpb.FunctionProto) (map[string]argument, error) {
	args, known := map[string]argument{}, map[string]bool{}
	for _, name := range p.Attribute {
		known[name] = true
	}
	for _, a := range p.AttributeProto {
		known[a.GetName()] = true
		args[a.GetName()] = argument{a, nil}
	}
	seen := map[string]bool{}
	for _, a := range n.Attribute {
		name := a.GetName()
		if seen[name] {
			return nil, fmt.Errorf("attribute %q is given twice", name)
		}
		seen[name] = true
		if !known[name] {
			return nil, fmt.Errorf("attribute %q is unknown", name)
		}
		bound, ok, err := s.resolve(a)
		if err != nil {
			return nil, err
		}
		if ok {
			args[name] = bound
		}
	}
	return args, nil
}

// resolve follows a reference to an attribute of the function that a node is in; ok is false where the
// caller did not give it.
func (s *scope) resolve(a *onnxpb.AttributeProto) (arg argument, ok bool, err error) {
	ref := a.GetRefAttrName()
	if ref == "" {
		return argument{a, s}, true, nil
	}
	if s.args == nil {
		return argument{}, false, fmt.Errorf("attribute %q refers to attribute %q of a function, but is not in one", a.GetName(), ref)
	}
	arg, ok = s.args[ref]
	return arg, ok, nil
}
