package passes

import (
	"fmt"
	"slices"

	"github.com/nnc-go/nnc/ir"
)

// BindSymbols fixes symbolic dimensions of m's inputs to integers and infers all types anew: what a
// build for known shapes begins with.
func BindSymbols(m *ir.Module, syms map[string]int64) error {
	env := map[string]ir.Dim{}
	for k, n := range syms {
		if n < 0 {
			return fmt.Errorf("passes: symbol %s bound to %d, want a size of 0 or more", k, n)
		}
		env[k] = ir.Const(n)
	}
	var known []string
	substRegion(m.Graph, env, &known)
	for k := range syms {
		if !slices.Contains(known, k) {
			slices.Sort(known)
			return fmt.Errorf("passes: no dimension of the model is named %q; there are %v", k, known)
		}
	}
	_, err := ir.Infer(m)
	return err
}

func substRegion(r *ir.Region, env map[string]ir.Dim, known *[]string) {
	subst := func(vs []*ir.Value) {
		for _, v := range vs {
			if v == nil {
				continue
			}
			for t := &v.Type; t != nil; t = t.Elem {
				shape := slices.Clone(t.Shape)
				for i, d := range shape {
					*known = d.Symbols(*known)
					shape[i] = d.Subst(env)
				}
				t.Shape = shape
			}
		}
	}
	subst(r.Params)
	for _, op := range r.Ops {
		subst(op.Results)
		for _, sub := range op.Regions {
			substRegion(sub, env, known)
		}
	}
}

// BindInput makes input name a constant: the compiled model no longer takes it. Branches that it decides fold away.
func BindInput(m *ir.Module, name string, d *ir.Data) error {
	i := slices.Index(m.Inputs, name)
	if i < 0 {
		return fmt.Errorf("passes: no input %q; there are %v", name, m.Inputs)
	}
	p := m.Graph.Params[i]
	want := p.Type
	if want.Kind != ir.KindTensor || want.DType != d.DType || want.Ranked && len(want.Shape) != len(d.Shape) {
		return fmt.Errorf("passes: input %q is %v of rank %d, got %v%v", name, want.DType, want.Rank(), d.DType, d.Shape)
	}
	c := m.NewConst(p.Name, d)
	m.Graph.Ops = slices.Insert(m.Graph.Ops, 0, c)
	m.Graph.ReplaceUses(map[*ir.Value]*ir.Value{p: c.Results[0]})
	m.Graph.Params = slices.Delete(m.Graph.Params, i, i+1)
	m.Inputs = slices.Delete(m.Inputs, i, i+1)
	delete(m.Defaults, name)
	for j, v := range m.Graph.Params {
		v.Index = j
	}
	return nil
}
