package onnx

import (
	"fmt"

	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// nodeName is a node's name, or its first output where it has none.
func nodeName(n *onnxpb.NodeProto) string {
	if n.GetName() != "" {
		return n.GetName()
	}
	for _, o := range n.Output {
		if o != "" {
			return o
		}
	}
	return ""
}

// nodeCtx is what the import of one node works with.
type nodeCtx struct {
	im     *importer
	s      *scope
	node   *onnxpb.NodeProto
	row    *row
	origin ir.Origin
	in     []*ir.Value // nil for an absent one
	attrs  ir.Attrs    // without those that have their default
	graphs map[string]boundGraph
	typ    *onnxpb.TypeProto // of a type attribute
}

// boundGraph is a graph attribute and the scope that its free names belong to.
type boundGraph struct {
	proto *onnxpb.GraphProto
	scope *scope
}

// unsupported is the error of a form of an operator that cannot be imported; all of them are collected.
type unsupported struct{ why string }

func (e unsupported) Error() string { return e.why }

func unsupportedf(format string, args ...any) error { return unsupported{fmt.Sprintf(format, args...)} }

// node imports a node.
func (im *importer) node(s *scope, n *onnxpb.NodeProto) error {
	if f := im.functionOf(n); f != nil {
		return im.call(s, n, f)
	}
	domain := domainOf(n.GetDomain())
	opset, imported := s.opsets[domain]
	c := &nodeCtx{im: im, s: s, node: n, attrs: ir.Attrs{}, origin: ir.Origin{Node: nodeName(n), Op: n.GetOpType(), Domain: domain, Opset: int(opset)}}
	if !imported && newestOpset[domain] > 0 {
		return c.errorf("the model does not import an opset of domain %q", domain)
	}
	c.row = findRow(im.rows[opKey{domain, n.GetOpType()}], opset)
	if c.row == nil || c.row.fn == nil {
		return im.skip(c, whyNot(im.rows[opKey{domain, n.GetOpType()}], c.row))
	}
	if err := c.read(); err != nil {
		return c.errorf("%w", err)
	}
	err := c.row.fn(c)
	if u, ok := err.(unsupported); ok {
		return im.skip(c, u.why)
	}
	if err != nil {
		return c.errorf("%w", err)
	}
	return nil
}

func (c *nodeCtx) errorf(format string, args ...any) error {
	return fmt.Errorf("%v: %w", c.origin, fmt.Errorf(format, args...))
}

// skip notes an unsupported node and gives its outputs values that nothing defines, so that the nodes
// behind it can be looked at.
func (im *importer) skip(c *nodeCtx, why string) error {
	im.unsupported = append(im.unsupported, UnsupportedNode{c.origin.Op, c.origin.Domain, int64(c.origin.Opset), c.origin.Node, why})
	for _, name := range c.node.Output {
		if name != "" && c.s.vals[name] == nil {
			c.s.vals[name] = im.m.NewValue(name, ir.Type{})
		}
	}
	return nil
}

// read holds the node against its row and resolves its inputs and attributes.
func (c *nodeCtx) read() error {
	ins, outs := len(c.node.Input), len(c.node.Output)
	for ins > 0 && c.node.Input[ins-1] == "" {
		ins--
	}
	for outs > 0 && c.node.Output[outs-1] == "" {
		outs--
	}
	if err := c.row.ins.check("input", ins); err != nil {
		return err
	}
	if c.row.outs.max >= 0 && outs > c.row.outs.max { // an unused output need not be given
		return c.row.outs.check("output", outs)
	}
	for _, name := range c.node.Input[:ins] {
		v, ok := c.s.lookup(name)
		if !ok {
			return fmt.Errorf("input %q is not defined", name)
		}
		c.in = append(c.in, v)
	}
	for i, name := range c.row.ins.names {
		if last := name[len(name)-1]; last != '?' && last != '*' && c.operand(i) == nil {
			return fmt.Errorf("input %d (%s) is missing", i, name)
		}
	}
	if err := c.checkTypes(); err != nil {
		return err
	}
	return c.readAttributes()
}

// operand is input i, nil where it is absent.
func (c *nodeCtx) operand(i int) *ir.Value {
	if i < len(c.in) {
		return c.in[i]
	}
	return nil
}

// wants reports whether output i has a name.
func (c *nodeCtx) wants(i int) bool { return i < len(c.node.Output) && c.node.Output[i] != "" }

// uses reports whether anything uses output i.
func (c *nodeCtx) uses(i int) bool { return c.wants(i) && c.s.body.used[c.node.Output[i]] }

// emit appends an op and types its results as far as they can be.
func (c *nodeCtx) emit(name string, operands []*ir.Value, results int, attrs ir.Attrs, regions ...*ir.Region) *ir.Op {
	for len(operands) > 0 && operands[len(operands)-1] == nil {
		operands = operands[:len(operands)-1]
	}
	if attrs == nil {
		attrs = ir.Attrs{}
	}
	op := c.im.m.NewOp(name, operands, results, attrs, c.origin)
	op.Regions = regions
	c.s.region.Ops = append(c.s.region.Ops, op)
	return op
}

// one is emit for ops with one result.
func (c *nodeCtx) one(name string, attrs ir.Attrs, operands ...*ir.Value) *ir.Value {
	op := c.emit(name, operands, 1, attrs)
	c.infer(op)
	return op.Results[0]
}

// infer types an op's results, for upgrades that ask for a rank. Errors come later, when
// the whole module is inferred.
func (c *nodeCtx) infer(op *ir.Op) {
	if len(c.im.unsupported) > 0 || op.Info.Infer == nil {
		return
	}
	if err := c.im.inferCtx.InferOp(op); err != nil {
		for _, v := range op.Results {
			if v != nil {
				v.Type = c.im.declared[v]
			}
		}
	}
}

// bind makes v output i. v must be a result of an op that this node made.
func (c *nodeCtx) bind(i int, v *ir.Value) error {
	if !c.wants(i) {
		return nil
	}
	name := c.node.Output[i]
	v.Name = name
	c.s.vals[name] = v
	if t := c.s.types[name]; t != nil {
		d, err := c.im.typeOf(t, name)
		if err != nil {
			return fmt.Errorf("declared type of %q: %w", name, err)
		}
		c.im.declared[v] = d
		if v.Type.Untyped() {
			v.Type = d
		}
	}
	return nil
}

// define emits an op whose results are the node's outputs in order.
func (c *nodeCtx) define(name string, operands []*ir.Value, attrs ir.Attrs, regions ...*ir.Region) error {
	op := c.emit(name, operands, len(c.node.Output), attrs, regions...)
	for i, v := range op.Results {
		if !c.wants(i) {
			op.Results[i] = nil
			continue
		}
		if err := c.bind(i, v); err != nil {
			return err
		}
	}
	c.infer(op)
	return nil
}

// define1 emits an op whose one result is the node's first output.
func (c *nodeCtx) define1(name string, attrs ir.Attrs, operands ...*ir.Value) error {
	return c.bind(0, c.one(name, attrs, operands...))
}

// direct imports a version that has the form of ir's op.
func direct(c *nodeCtx) error { return c.define(c.row.ir, c.in, c.attrs) }

// constant makes a Const.
func (c *nodeCtx) constant(t *tensor.Tensor) *ir.Value {
	op := c.im.m.NewConst("", ir.DataOf(t))
	op.Origin = c.origin
	c.im.declared[op.Results[0]] = op.Results[0].Type
	c.s.region.Ops = append(c.s.region.Ops, op)
	return op.Results[0]
}

// ints makes a Const of a list of i64.
func (c *nodeCtx) ints(v ...int64) *ir.Value { return c.constant(tensor.Of(v, int64(len(v)))) }

// scalar makes a scalar Const of f in the element type of v.
func (c *nodeCtx) scalar(f float64, v *ir.Value) *ir.Value {
	k := c.constant(tensor.Of([]float32{float32(f)}))
	if v.Type.DType == tensor.F32 {
		return k
	}
	return c.one("CastLike", nil, k, v)
}

// take removes an attribute that became something else in newer versions.
func take[T any](c *nodeCtx, name string, def T) T {
	v, ok := c.attrs[name].(T)
	delete(c.attrs, name)
	if !ok {
		return def
	}
	return v
}
