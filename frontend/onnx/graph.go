package onnx

import (
	"container/heap"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// scope is what names mean in a graph, or in one call of a function.
type scope struct {
	parent  *scope // nil for the model's graph and for functions
	region  *ir.Region
	vals    map[string]*ir.Value
	types   map[string]*onnxpb.TypeProto // declared by value_info and outputs
	body    *body
	opsets  map[string]int64
	args    map[string]argument // attributes of the function that is being called
	nesting int                 // of graphs
	calls   int                 // of functions
}

// lookup finds a value by name, in outer graphs too. It is nil where the name is of a function's input
// that the caller left out, and "" is always absent.
func (s *scope) lookup(name string) (v *ir.Value, ok bool) {
	for ; s != nil && name != ""; s = s.parent {
		if v, ok := s.vals[name]; ok {
			return v, true
		}
	}
	return nil, name == ""
}

// defines reports whether this graph or one around it gives the name a meaning at any point.
func (s *scope) defines(name string) bool {
	for ; s != nil; s = s.parent {
		if s.body.defined[name] {
			return true
		}
	}
	return false
}

// body is what can be said of a list of nodes before importing it.
type body struct {
	nodes   []*onnxpb.NodeProto // in an order in which definitions precede uses
	defined map[string]bool
	used    map[string]bool // by the nodes, by graphs in them, or as a result
}

// graph imports the model's graph.
func (im *importer) graph() error {
	g := im.model.Graph
	s := &scope{region: im.m.Graph, opsets: im.opsets}
	if err := im.open(s, g); err != nil {
		return err
	}
	if err := im.params(s, g); err != nil {
		return err
	}
	if err := im.inside(s, g); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, o := range g.Output {
		if seen[o.GetName()] {
			return fmt.Errorf("two outputs of the model are called %q", o.GetName())
		}
		seen[o.GetName()] = true
		im.m.Outputs = append(im.m.Outputs, o.GetName())
	}
	return nil
}

// subgraph imports a graph of a node as a region.
func (im *importer) subgraph(parent *scope, g *onnxpb.GraphProto) (*ir.Region, error) {
	s := &scope{parent: parent, region: &ir.Region{}, opsets: parent.opsets, args: parent.args, nesting: parent.nesting + 1, calls: parent.calls}
	if s.nesting >= im.opts.MaxNesting {
		return nil, fmt.Errorf("graphs are nested more than %d deep", im.opts.MaxNesting)
	}
	if err := im.open(s, g); err != nil {
		return nil, err
	}
	inits := initialisers(g)
	for _, in := range g.Input {
		if inits[in.GetName()] {
			if im.model.GetIrVersion() < 4 {
				continue
			}
			return nil, fmt.Errorf("input %q of a nested graph is an initialiser too", in.GetName())
		}
		t, err := im.typeOf(in.Type, in.GetName())
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", in.GetName(), err)
		}
		v := s.region.AddParam(im.m.NewValue(in.GetName(), t))
		im.declared[v] = t
		s.vals[in.GetName()] = v
	}
	return s.region, im.inside(s, g)
}

// open fills in a graph's scope.
func (im *importer) open(s *scope, g *onnxpb.GraphProto) (err error) {
	if s.body, err = im.bodyOf(g); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(s.body.defined)) {
		if s.parent.defines(name) {
			return fmt.Errorf("graph %q: value %q is defined in a graph around it too", g.GetName(), name)
		}
	}
	s.vals, s.types = map[string]*ir.Value{}, map[string]*onnxpb.TypeProto{}
	for _, list := range [][]*onnxpb.ValueInfoProto{g.ValueInfo, g.Output} {
		for _, v := range list {
			if v.Type != nil {
				s.types[v.GetName()] = v.Type
			}
		}
	}
	return nil
}

// params makes the model's inputs.
func (im *importer) params(s *scope, g *onnxpb.GraphProto) error {
	inits := map[string]*onnxpb.TensorProto{}
	for _, t := range g.Initializer {
		inits[t.GetName()] = t
	}
	all := initialisers(g)
	for _, in := range g.Input {
		name := in.GetName()
		if all[name] && im.model.GetIrVersion() < 4 {
			continue // before IR version 4 every initialiser had to be listed, and was a constant
		}
		t, err := im.typeOf(in.Type, name)
		if err != nil {
			return fmt.Errorf("input %q: %w", name, err)
		}
		if dims, ok := im.opts.Shapes[name]; ok {
			t.Ranked, t.Shape = true, dims
		}
		if all[name] {
			if t, err = im.addDefault(name, inits[name], t); err != nil {
				return err
			}
		}
		if t.Untyped() || t.Kind == ir.KindTensor && t.DType == tensor.Invalid {
			return fmt.Errorf("input %q has no type", name)
		}
		s.vals[name] = s.region.AddParam(im.m.NewValue(name, t))
		im.m.Inputs = append(im.m.Inputs, name)
	}
	return nil
}

// addDefault notes the value of an input that a caller may leave out.
func (im *importer) addDefault(name string, init *onnxpb.TensorProto, t ir.Type) (ir.Type, error) {
	if init == nil {
		return t, fmt.Errorf("input %q: a sparse initialiser as a default value is not supported", name)
	}
	d, err := im.tensor(init)
	if err != nil {
		return t, err
	}
	dt := d.Type()
	switch {
	case t.Untyped():
		t = dt
	case t.Kind != ir.KindTensor || t.DType != dt.DType || t.Ranked && len(t.Shape) != len(dt.Shape):
		return t, fmt.Errorf("input %q is %v, its default value %v", name, t, dt)
	case !t.Ranked:
		t = dt
	}
	for i, x := range t.Shape {
		if x.IsConst() && !x.Equal(dt.Shape[i]) {
			return t, fmt.Errorf("input %q is %v, its default value %v", name, t, dt)
		}
	}
	im.m.Defaults[name] = d
	return t, nil
}

// initialisers are the names of a graph's initialisers.
func initialisers(g *onnxpb.GraphProto) map[string]bool {
	out := map[string]bool{}
	for _, t := range g.Initializer {
		out[t.GetName()] = true
	}
	for _, s := range g.SparseInitializer {
		out[s.GetValues().GetName()] = true
	}
	return out
}

// inside imports what is between a graph's inputs and its outputs.
func (im *importer) inside(s *scope, g *onnxpb.GraphProto) error {
	for _, t := range g.Initializer {
		if s.vals[t.GetName()] != nil {
			continue // an input with a default value
		}
		d, err := im.tensor(t)
		if err != nil {
			return err
		}
		im.addConst(s, t.GetName(), d)
	}
	for _, t := range g.SparseInitializer {
		d, err := im.sparse(t)
		if err != nil {
			return err
		}
		im.addConst(s, t.GetValues().GetName(), d)
	}
	if err := im.importNodes(s); err != nil {
		return err
	}
	for _, o := range g.Output {
		v, _ := s.lookup(o.GetName())
		if v == nil {
			return fmt.Errorf("graph %q: output %q is not defined", g.GetName(), o.GetName())
		}
		s.region.Results = append(s.region.Results, v)
	}
	return nil
}

func (im *importer) addConst(s *scope, name string, d *ir.Data) {
	named := *d
	named.Name = unique(im.dataNames, name)
	op := im.m.NewConst(name, &named)
	im.declared[op.Results[0]] = op.Results[0].Type
	s.region.Ops = append(s.region.Ops, op)
	s.vals[name] = op.Results[0]
}

func (im *importer) importNodes(s *scope) error {
	for _, n := range s.body.nodes {
		if im.nodes++; im.nodes > im.opts.MaxNodes {
			return fmt.Errorf("more than %d nodes", im.opts.MaxNodes)
		}
		if err := im.node(s, n); err != nil {
			return err
		}
	}
	return nil
}

// bodyOf checks the names that a graph defines and sorts its nodes.
func (im *importer) bodyOf(g *onnxpb.GraphProto) (*body, error) {
	if b := im.bodies[g]; b != nil {
		return b, nil
	}
	inits := initialisers(g)
	if len(inits) != len(g.Initializer)+len(g.SparseInitializer) {
		return nil, fmt.Errorf("graph %q: two initialisers have the same name", g.GetName())
	}
	var given []string
	for name := range inits {
		given = append(given, name)
	}
	seen := map[string]bool{}
	for _, in := range g.Input {
		if seen[in.GetName()] {
			return nil, fmt.Errorf("graph %q: two inputs are called %q", g.GetName(), in.GetName())
		}
		seen[in.GetName()] = true
		if !inits[in.GetName()] {
			given = append(given, in.GetName())
		}
	}
	var results []string
	for _, o := range g.Output {
		results = append(results, o.GetName())
	}
	b, err := im.newBody(given, g.Node, results)
	if err != nil {
		return nil, fmt.Errorf("graph %q: %w", g.GetName(), err)
	}
	im.bodies[g] = b
	return b, nil
}

func (im *importer) newBody(given []string, nodes []*onnxpb.NodeProto, results []string) (*body, error) {
	b := &body{nodes: nodes, defined: map[string]bool{}, used: map[string]bool{}}
	for _, name := range given {
		if name == "" {
			return nil, fmt.Errorf("an input or initialiser has no name")
		}
		b.defined[name] = true
	}
	producer := map[string]int{}
	for i, n := range nodes {
		for _, out := range n.Output {
			if out == "" {
				continue
			}
			if b.defined[out] {
				return nil, fmt.Errorf("value %q, an output of node %q, is defined twice", out, nodeName(n))
			}
			b.defined[out] = true
			producer[out] = i
		}
	}
	deps := make([][]int, len(nodes))
	ordered := true
	for i, n := range nodes {
		for _, name := range im.usesOf(n) {
			b.used[name] = true
			if p, ok := producer[name]; ok {
				deps[i] = append(deps[i], p)
				ordered = ordered && p < i
			}
		}
	}
	for _, name := range results {
		b.used[name] = true
	}
	if ordered {
		return b, nil
	}
	var err error
	b.nodes, err = sortNodes(nodes, deps)
	return b, err
}

// usesOf lists the names that a node uses, those of its graphs included.
func (im *importer) usesOf(n *onnxpb.NodeProto) []string {
	var out []string
	for _, name := range n.Input {
		if name != "" {
			out = append(out, name)
		}
	}
	for _, a := range n.Attribute {
		if a.GetName() == "y" && n.GetOpType() == "Gradient" { // which names values instead of taking them
			out = append(out, string(a.S))
		}
		if a.G != nil {
			out = append(out, im.freeNames(a.G)...)
		}
		for _, g := range a.Graphs {
			out = append(out, im.freeNames(g)...)
		}
	}
	return out
}

// freeNames lists the names that a graph uses and does not define.
func (im *importer) freeNames(g *onnxpb.GraphProto) []string {
	if f, ok := im.free[g]; ok {
		return f
	}
	bound := initialisers(g)
	for _, in := range g.Input {
		bound[in.GetName()] = true
	}
	for _, n := range g.Node {
		for _, o := range n.Output {
			bound[o] = true
		}
	}
	out := []string{}
	use := func(name string) {
		if !bound[name] {
			bound[name] = true
			out = append(out, name)
		}
	}
	for _, n := range g.Node {
		for _, name := range im.usesOf(n) {
			use(name)
		}
	}
	for _, o := range g.Output {
		use(o.GetName())
	}
	im.free[g] = out
	return out
}

// intHeap is a heap of node indices, so that sorting keeps the given order where it can.
type intHeap struct{ sort.IntSlice }

func (h *intHeap) Push(x any) { h.IntSlice = append(h.IntSlice, x.(int)) }
func (h *intHeap) Pop() any {
	last := h.IntSlice[len(h.IntSlice)-1]
	h.IntSlice = h.IntSlice[:len(h.IntSlice)-1]
	return last
}

// sortNodes puts nodes behind those that they depend on.
func sortNodes(nodes []*onnxpb.NodeProto, deps [][]int) ([]*onnxpb.NodeProto, error) {
	waits := make([]int, len(nodes))
	users := make([][]int, len(nodes))
	ready := &intHeap{}
	for i, ds := range deps {
		waits[i] = len(ds)
		for _, d := range ds {
			users[d] = append(users[d], i)
		}
		if len(ds) == 0 {
			heap.Push(ready, i)
		}
	}
	var out []*onnxpb.NodeProto
	for ready.Len() > 0 {
		i := heap.Pop(ready).(int)
		out = append(out, nodes[i])
		for _, u := range users[i] {
			if waits[u]--; waits[u] == 0 {
				heap.Push(ready, u)
			}
		}
	}
	if len(out) == len(nodes) {
		return out, nil
	}
	return nil, cycleError(nodes, deps, waits)
}

// cycleError names the nodes of one cycle: it walks back from a node that still waits.
func cycleError(nodes []*onnxpb.NodeProto, deps [][]int, waits []int) error {
	at := 0
	for waits[at] == 0 {
		at++
	}
	place := map[int]int{}
	var path []int
	for {
		if p, ok := place[at]; ok {
			path = path[p:]
			break
		}
		place[at] = len(path)
		path = append(path, at)
		for _, d := range deps[at] {
			if waits[d] > 0 {
				at = d
				break
			}
		}
	}
	const most = 10
	var names []string
	for i := len(path) - 1; i >= 0 && len(names) < most; i-- {
		names = append(names, fmt.Sprintf("%q", nodeName(nodes[path[i]])))
	}
	if len(path) > most {
		names = append(names, "...")
	}
	return fmt.Errorf("nodes depend on each other in a cycle: %s", strings.Join(names, ", "))
}
