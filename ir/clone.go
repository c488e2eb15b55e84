package ir

import (
	"maps"
	"slices"
)

// Clone copies m; constants share their Data.
func (m *Module) Clone() *Module {
	c := &cloner{values: map[*Value]*Value{}, ops: map[*Op]*Op{}}
	return &Module{
		Name: m.Name, Graph: c.region(m.Graph), Inputs: slices.Clone(m.Inputs), Outputs: slices.Clone(m.Outputs),
		Defaults: maps.Clone(m.Defaults), Meta: maps.Clone(m.Meta), nextID: m.nextID,
	}
}

type cloner struct {
	values map[*Value]*Value
	ops    map[*Op]*Op
}

func (c *cloner) value(v *Value) *Value {
	if v == nil {
		return nil
	}
	if w, ok := c.values[v]; ok {
		return w
	}
	w := *v
	w.Type = v.Type.clone()
	w.Def = c.opOf(v.Def)
	c.values[v] = &w
	return &w
}

// opOf makes room for the copy of op, so that values can point to it before it is filled.
func (c *cloner) opOf(op *Op) *Op {
	if op == nil {
		return nil
	}
	if c.ops[op] == nil {
		c.ops[op] = &Op{Info: op.Info}
	}
	return c.ops[op]
}

func (c *cloner) list(vs []*Value) []*Value {
	out := make([]*Value, len(vs))
	for i, v := range vs {
		out[i] = c.value(v)
	}
	return out
}

func (c *cloner) region(r *Region) *Region {
	if r == nil {
		return nil
	}
	out := &Region{Params: c.list(r.Params)}
	for _, op := range r.Ops {
		o := c.opOf(op)
		o.Operands, o.Results, o.Origin, o.Attrs = c.list(op.Operands), c.list(op.Results), op.Origin, maps.Clone(op.Attrs)
		for k, a := range o.Attrs {
			switch a := a.(type) {
			case []int64:
				o.Attrs[k] = slices.Clone(a)
			case []float64:
				o.Attrs[k] = slices.Clone(a)
			case []string:
				o.Attrs[k] = slices.Clone(a)
			}
		}
		for _, s := range op.Regions {
			o.Regions = append(o.Regions, c.region(s))
		}
		out.Ops = append(out.Ops, o)
	}
	out.Results = c.list(r.Results)
	return out
}

func (t Type) clone() Type {
	t.Shape = slices.Clone(t.Shape)
	if t.Elem != nil {
		e := t.Elem.clone()
		t.Elem = &e
	}
	return t
}

// NumOps counts the ops of r and of the regions in it.
func (r *Region) NumOps() int {
	n := 0
	r.Walk(func(*Op) { n++ })
	return n
}
