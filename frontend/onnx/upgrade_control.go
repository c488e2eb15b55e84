package onnx

import (
	"fmt"
	"slices"

	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// region imports a graph attribute.
func (c *nodeCtx) region(name string) (*ir.Region, error) {
	g := c.graphs[name]
	// Names in the graph mean what they mean around it, but a graph that was passed to a function stands
	// as deep as the node that uses it.
	s := *g.scope
	s.nesting, s.calls = max(s.nesting, c.s.nesting), max(s.calls, c.s.calls)
	r, err := c.im.subgraph(&s, g.proto)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

func ifOp(c *nodeCtx) error {
	var regions []*ir.Region
	for _, name := range []string{"then_branch", "else_branch"} {
		r, err := c.region(name)
		if err != nil {
			return err
		}
		if len(r.Params) > 0 || len(r.Results) != len(c.node.Output) {
			return fmt.Errorf("%s has %d inputs and %d outputs, want none and %d", name, len(r.Params), len(r.Results), len(c.node.Output))
		}
		regions = append(regions, r)
	}
	return c.define("If", c.in, nil, regions...)
}

// bodyOp imports Loop, Scan and SequenceMap.
func bodyOp(c *nodeCtx) error {
	r, err := c.region("body")
	if err != nil {
		return err
	}
	params, results := len(c.in), len(r.Results)
	always := c.in
	switch c.row.op {
	case "Loop":
		for len(c.in) < 2 {
			c.in = append(c.in, nil)
		}
		params, results = len(c.in), len(r.Results)-1
		always = c.in[2:]
	case "Scan":
		if n := c.attrs.Int("num_scan_inputs", 0); n < 1 || n > int64(len(c.in)) {
			return fmt.Errorf("num_scan_inputs is %d, want 1 to %d", n, len(c.in))
		}
	}
	if slices.Contains(always, nil) {
		return fmt.Errorf("an input is missing")
	}
	if len(r.Params) != params || results != len(c.node.Output) {
		return fmt.Errorf("body has %d inputs and %d outputs, which does not fit %d inputs and %d outputs of the node",
			len(r.Params), len(r.Results), len(c.in), len(c.node.Output))
	}
	return c.define(c.row.ir, c.in, c.attrs, r)
}

// scan8 imports Scan-8, whose operands have a batch dimension in front: a Scan over the batch whose body
// is the Scan over the sequence. With sequence_lens, each sequence is cut to its length first, and what
// was scanned is filled up with zeros.
func scan8(c *nodeCtx) error {
	if len(c.in) == 0 {
		return fmt.Errorf("no inputs to scan")
	}
	lengths, in := c.operand(0), c.in[1:]
	if slices.Contains(in, nil) {
		return fmt.Errorf("an input is missing")
	}
	body, err := c.region("body")
	if err != nil {
		return err
	}
	n := take(c, "num_scan_inputs", int64(0))
	if n < 1 || n > int64(len(in)) || len(body.Params) != len(in) || len(body.Results) != len(c.node.Output) {
		return fmt.Errorf("body has %d inputs and %d outputs, num_scan_inputs is %d, which does not fit %d inputs and %d outputs of the node",
			len(body.Params), len(body.Results), n, len(in), len(c.node.Output))
	}
	attrs := ir.Attrs{"num_scan_inputs": n}
	if d := take(c, "directions", []int64(nil)); d != nil {
		attrs["scan_input_directions"] = d
	}
	batch := &ir.Region{}
	around := c.s.region
	c.s.region = batch
	defer func() { c.s.region = around }()
	param := func(v *ir.Value) *ir.Value {
		t := v.Type
		if t.Ranked && len(t.Shape) > 0 {
			t.Shape = t.Shape[1:]
		}
		p := batch.AddParam(c.im.m.NewValue("", t))
		c.im.declared[p] = t
		return p
	}
	var elems []*ir.Value
	for _, v := range in {
		elems = append(elems, param(v))
	}
	states := len(in) - int(n)
	var length, missing *ir.Value
	if lengths != nil {
		in = append(slices.Clone(in), lengths)
		length = c.one("Unsqueeze", nil, param(lengths), c.ints(0))
		whole := c.one("Slice", nil, c.one("Shape", nil, elems[states]), c.ints(0), c.ints(1))
		missing = c.one("Concat", ir.Attrs{"axis": int64(0)}, c.ints(0), c.one("Sub", nil, whole, length))
		for i, v := range elems[states:] {
			elems[states+i] = c.one("Slice", nil, v, c.ints(0), length, c.ints(0))
		}
	}
	scan := c.emit("Scan", elems, len(body.Results), attrs, body)
	c.infer(scan)
	batch.Results = slices.Clone(scan.Results)
	if lengths != nil {
		for i, v := range batch.Results[states:] {
			batch.Results[states+i] = c.one("Pad", nil, v, missing, nil, c.ints(0))
		}
	}
	c.s.region = around
	return c.define("Scan", in, ir.Attrs{"num_scan_inputs": int64(len(in))}, batch)
}

// optional imports Optional, whose type attribute says what an empty one would hold.
func optional(c *nodeCtx) error {
	if err := c.define("Optional", c.in, c.attrs); err != nil || c.typ == nil || !c.wants(0) {
		return err
	}
	t, err := c.im.typeOf(c.typ, c.origin.Node)
	if err != nil {
		return fmt.Errorf("attribute \"type\": %w", err)
	}
	v := c.s.vals[c.node.Output[0]]
	if _, ok := c.im.declared[v]; !ok {
		v.Type = ir.Type{Kind: ir.KindOptional, Elem: &t}
		c.im.declared[v] = v.Type
	}
	return nil
}

// constant imports Constant in all its forms.
func constant(c *nodeCtx) error {
	if len(c.attrs) != 1 {
		return fmt.Errorf("%d attributes, want exactly one value", len(c.attrs))
	}
	name := c.attrs.Keys()[0]
	d, ok := c.attrs[name].(*ir.Data)
	if !ok {
		d = ir.DataOf(valueTensor(c.attrs[name]))
	}
	if !c.wants(0) {
		return nil
	}
	c.im.addConst(c.s, c.node.Output[0], d)
	c.s.vals[c.node.Output[0]].Def.Origin = c.origin
	return nil
}

// valueTensor makes the tensor that a value_* attribute of Constant stands for.
func valueTensor(v any) *tensor.Tensor {
	switch v := v.(type) {
	case int64:
		return tensor.Of([]int64{v})
	case float64:
		return tensor.Of([]float32{float32(v)})
	case string:
		return tensor.OfStrings([]string{v})
	case []int64:
		return tensor.Of(v, int64(len(v)))
	case []string:
		return tensor.OfStrings(v, int64(len(v)))
	}
	f, _ := v.([]float64)
	out := make([]float32, len(f))
	for i, x := range f {
		out[i] = float32(x)
	}
	return tensor.Of(out, int64(len(out)))
}

// castString imports Cast-1, which names the element type.
func castString(c *nodeCtx) error {
	name := take(c, "to", "")
	d, ok := onnxpb.TensorProto_DataType_value[name]
	if !ok || d == 0 {
		return fmt.Errorf("to is %q, want the name of a data type", name)
	}
	c.attrs["to"] = tensor.DType(d)
	return direct(c)
}
