// Package eval runs IR modules on tensors, op by op, with the reference implementations of package
// hostop: it is the oracle that compiled products are held against, and it folds constants.
package eval

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Options steer Run.
type Options struct {
	// MaxBytes bounds the tensors alive at one time; 0 means no bound.
	MaxBytes int64
	// Trace, if not nil, is called after each op, those of regions included, with its results.
	Trace func(op *ir.Op, out []hostop.Value)
	// Apply, if not nil, evaluates the ops that have no regions, instead of Op.
	Apply func(op *ir.Op, in []hostop.Value) ([]hostop.Value, error)
}

// HostName gives the name in package hostop of the function that implements an op, "" when there is none.
func HostName(op string) string {
	if Lookup(op) == nil {
		return ""
	}
	return op[strings.LastIndexByte(op, '.')+1:]
}

// Lookup gives the function that implements an op without regions, or one that compiled loops call, nil
// when there is none.
func Lookup(op string) hostop.Func {
	if f := Funcs[op]; f != nil {
		return f
	}
	return loopFuncs[op]
}

// Run evaluates m. in has a value per graph parameter; nil, or a shorter in, takes the default or leaves
// out an input that may be absent. The results are those of the graph, in order.
func Run(m *ir.Module, in []hostop.Value, opts Options) ([]hostop.Value, error) {
	params := m.Graph.Params
	if len(in) > len(params) {
		return nil, fmt.Errorf("%d inputs given, the model has %d", len(in), len(params))
	}
	vals := make([]hostop.Value, len(params))
	copy(vals, in)
	for i, p := range params {
		if !isNil(vals[i]) {
			continue
		}
		vals[i] = nil
		d := m.Defaults[inputName(m, i)]
		switch {
		case d != nil:
			t, err := load(d)
			if err != nil {
				return nil, err
			}
			vals[i] = t
		case p.Type.Kind != ir.KindOptional:
			return nil, fmt.Errorf("input %q is missing: want %v", inputName(m, i), p.Type)
		}
	}
	r := &runner{opts: opts, uses: map[*ir.Region][][]*ir.Value{}, dims: map[string]int64{}}
	return r.region(m.Graph, nil, vals)
}

// bind learns the sizes of the symbols that are dimensions of a value.
func (r *runner) bind(v *ir.Value, x hostop.Value) {
	t, ok := x.(*tensor.Tensor)
	if !ok || t == nil || len(t.Shape) != len(v.Type.Shape) {
		return
	}
	for i, d := range v.Type.Shape {
		if name := d.SymName(); name != "" {
			r.dims[name] = t.Shape[i]
		}
	}
}

func inputName(m *ir.Module, i int) string {
	if i < len(m.Inputs) {
		return m.Inputs[i]
	}
	return m.Graph.Params[i].Name
}

func isNil(v hostop.Value) bool {
	t, ok := v.(*tensor.Tensor)
	return v == nil || ok && t == nil
}

// Op evaluates one op without regions. in has a value per operand, nil for an absent one; the result
// has one per op result.
func Op(op *ir.Op, in []hostop.Value) ([]hostop.Value, error) {
	out, err := apply(op, in)
	if err != nil {
		return nil, op.Errorf("%w", err)
	}
	return out, nil
}

func apply(op *ir.Op, in []hostop.Value) ([]hostop.Value, error) {
	f := Lookup(op.Name())
	if f == nil {
		return nil, errors.New("no reference implementation")
	}
	attrs, err := hostAttrs(op.Attrs)
	if err != nil {
		return nil, err
	}
	c := &hostop.Call{In: in, Attrs: attrs, NumOut: len(op.Results)}
	if err := f(c); err != nil {
		return nil, err
	}
	out := make([]hostop.Value, len(op.Results))
	copy(out, c.Out)
	for i, v := range op.Results {
		if v != nil && isNil(out[i]) && v.Type.Kind != ir.KindOptional {
			return nil, fmt.Errorf("result %d of %d was not computed", i, len(op.Results))
		}
	}
	return out, nil
}

// hostAttrs turns constant data into tensors.
func hostAttrs(a ir.Attrs) (hostop.Attrs, error) {
	out := hostop.Attrs{}
	for n, v := range a {
		d, ok := v.(*ir.Data)
		if !ok {
			out[n] = v
			continue
		}
		t, err := load(d)
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", n, err)
		}
		out[n] = t
	}
	return out, nil
}

// load loads constant data, copied where the mapped file does not align it.
func load(d *ir.Data) (*tensor.Tensor, error) {
	t, err := d.Tensor()
	if err != nil || tensor.IsAligned(t.Data, t.DType) {
		return t, err
	}
	b := tensor.AlignedBytes(int64(len(t.Data)))
	copy(b, t.Data)
	t.Data = b
	return t, nil
}

// scope holds the values of one run of a region.
type scope struct {
	vals   map[*ir.Value]hostop.Value
	parent *scope
}

func (s *scope) get(v *ir.Value) (hostop.Value, bool) {
	for ; s != nil; s = s.parent {
		if x, ok := s.vals[v]; ok {
			return x, true
		}
	}
	return nil, false
}

// runner is the state of one Run.
type runner struct {
	opts Options
	live int64
	dims map[string]int64 // sizes of the symbols that are dimensions of values so far
	// uses lists for each op of a region the values that nothing after it needs.
	uses map[*ir.Region][][]*ir.Value
}

// region runs r once with the given parameters; it sees the values of the scopes around it.
func (r *runner) region(reg *ir.Region, parent *scope, params []hostop.Value) ([]hostop.Value, error) {
	if len(params) != len(reg.Params) {
		return nil, fmt.Errorf("region wants %d parameters, got %d", len(reg.Params), len(params))
	}
	s := &scope{vals: map[*ir.Value]hostop.Value{}, parent: parent}
	defer func() {
		for _, v := range s.vals {
			r.live -= size(v)
		}
	}()
	for i, p := range reg.Params {
		s.vals[p] = params[i]
		r.bind(p, params[i])
		r.live += size(params[i])
	}
	dead := r.deadAfter(reg)
	for i, op := range reg.Ops {
		if err := r.step(op, s); err != nil {
			return nil, err
		}
		for _, v := range dead[i] {
			r.live -= size(s.vals[v])
			delete(s.vals, v)
		}
	}
	out := make([]hostop.Value, len(reg.Results))
	for i, v := range reg.Results {
		x, ok := s.get(v)
		if !ok && v != nil {
			return nil, fmt.Errorf("value %q is a result of a region but was never computed", v.Name)
		}
		out[i] = x
	}
	return out, nil
}

// step runs one op and stores its results.
func (r *runner) step(op *ir.Op, s *scope) error {
	in := make([]hostop.Value, len(op.Operands))
	for i, v := range op.Operands {
		if v == nil {
			continue
		}
		x, ok := s.get(v)
		if !ok {
			return op.Errorf("operand %d (%q) was never computed", i, v.Name)
		}
		in[i] = x
	}
	var out []hostop.Value
	var err error
	switch f := controls[op.Name()]; {
	case f != nil:
		out, err = f(r, op, s, in)
	case r.opts.Apply != nil:
		out, err = r.opts.Apply(op, in)
	default:
		out, err = apply(op, in)
	}
	if err != nil {
		return op.Errorf("%w", err)
	}
	if r.opts.Trace != nil {
		r.opts.Trace(op, out)
	}
	for i, v := range op.Results {
		if v == nil {
			continue
		}
		if i >= len(out) {
			return op.Errorf("%d results, want %d", len(out), len(op.Results))
		}
		s.vals[v] = out[i]
		r.bind(v, out[i])
		r.live += size(out[i])
	}
	if r.opts.MaxBytes > 0 && r.live > r.opts.MaxBytes {
		return op.Errorf("%d bytes of tensors are alive, the limit is %d", r.live, r.opts.MaxBytes)
	}
	return nil
}

// deadAfter finds for each op the values of its own region whose last use it is.
func (r *runner) deadAfter(reg *ir.Region) [][]*ir.Value {
	if d, ok := r.uses[reg]; ok {
		return d
	}
	last := map[*ir.Value]int{}
	for _, p := range reg.Params {
		last[p] = 0
	}
	for i, op := range reg.Ops {
		for _, v := range op.Results {
			if v != nil {
				last[v] = i
			}
		}
		touch := func(v *ir.Value) {
			if _, own := last[v]; own {
				last[v] = i
			}
		}
		for _, v := range op.Operands {
			touch(v)
		}
		for _, sub := range op.Regions {
			for v := range sub.Uses() {
				touch(v)
			}
		}
	}
	for _, v := range reg.Results {
		delete(last, v)
	}
	d := make([][]*ir.Value, len(reg.Ops))
	for v, i := range last {
		if len(d) > 0 {
			d[i] = append(d[i], v)
		}
	}
	r.uses[reg] = d
	return d
}

// size is what a value takes in memory, views counted as if they were copies.
func size(v hostop.Value) int64 {
	switch v := v.(type) {
	case *tensor.Tensor:
		if v == nil {
			return 0
		}
		return int64(len(v.Data)) + 16*int64(len(v.Strings))
	case hostop.Seq:
		n := int64(0)
		for _, e := range v {
			n += size(e)
		}
		return n
	case *hostop.Map:
		return size(v.Keys) + size(v.Values)
	}
	return 0
}
