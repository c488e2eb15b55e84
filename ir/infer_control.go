package ir

import (
	"slices"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// inferIf gives each result the type that both branches' results have in common, or that of the branch
// which is certainly taken.
func inferIf(c *InferCtx, op *Op) error {
	for i, r := range op.Regions {
		if len(r.Params) != 0 || len(r.Results) < len(op.Results) {
			return op.Errorf("branch %d has %d parameters and %d results, want none and %d", i, len(r.Params), len(r.Results), len(op.Results))
		}
	}
	taken := c.branch(op.Operand(0))
	for i, r := range op.Regions {
		if taken >= 0 && taken != i {
			c.inferDead(r)
		} else if err := c.inferRegion(r); err != nil {
			return err
		}
	}
	for i := range op.Results {
		a, b := op.Regions[0].Results[i].Type, op.Regions[1].Results[i].Type
		if taken >= 0 {
			c.SetType(op, i, op.Regions[taken].Results[i].Type)
			continue
		}
		t, err := c.join(op, "result "+op.Info.Results[0]+" of the branches", a, b)
		if err != nil {
			return err
		}
		c.SetType(op, i, t)
	}
	return nil
}

// inferDead types a branch that is never taken. Its shapes need not fit, as exporters guard ops by
// conditions on shapes: what a rule refuses has an unknown rank.
func (c *InferCtx) inferDead(r *Region) {
	for _, op := range r.Ops {
		if c.InferOp(op) == nil {
			continue
		}
		d := tensor.Invalid
		if x := op.Operand(0); x != nil {
			d = x.Type.DType
		}
		for _, v := range op.Results {
			if v != nil && v.Type.Untyped() {
				v.Type = Type{DType: d}
			}
		}
	}
}

// branch is the region that an If with this condition runs, -1 where that is not known.
func (c *InferCtx) branch(cond *Value) int {
	yes, known := knownBool(cond)
	if e, ok := c.Ints(cond); ok && len(e) == 1 {
		yes, known = e[0] != 0, true
	}
	switch {
	case !known:
		return -1
	case yes:
		return 0
	}
	return 1
}

// carried widens the types of values that a region passes on to its next run, until the region keeps them.
type carried struct {
	c      *InferCtx
	op     *Op
	region *Region
	params []*Value // of the region
	out    []*Value // of the region, what becomes params
	wide   map[*Value][]bool
}

// settle infers the region again and again: a dimension that it changes becomes fresh, a rank that it
// changes unknown. Each run makes at least one of finitely many dimensions fresh, so it ends.
func (w *carried) settle() error {
	w.wide = map[*Value][]bool{}
	for _, p := range w.params {
		w.wide[p] = make([]bool, len(p.Type.Shape))
	}
	declared := snapshot(w.region)
	warned := len(w.c.warnings)
	for {
		declared.restore()
		w.c.warnings = w.c.warnings[:warned]
		if err := w.c.inferRegion(w.region); err != nil {
			return err
		}
		changed := false
		for i, p := range w.params {
			ch, err := w.widen(p, w.out[i].Type)
			if err != nil {
				return err
			}
			changed = changed || ch
		}
		if !changed {
			return nil
		}
	}
}

// widen makes p's type cover t as well.
func (w *carried) widen(p *Value, t Type) (changed bool, err error) {
	old := p.Type
	if old.Kind == KindOptional && t.Kind != KindOptional && !t.Untyped() { // an optional that holds something
		held := t
		t = Type{Kind: KindOptional, Elem: &held}
	}
	switch {
	case old.Untyped() || t.Untyped() && old.Kind == KindTensor && !old.Ranked:
		return false, nil
	case old.Kind != t.Kind && !t.Untyped() || old.DType != t.DType && t.DType != tensor.Invalid && old.DType != tensor.Invalid:
		return false, w.op.Errorf("%q is carried as %v, but the body makes it %v", p.Name, old, t)
	case old.Kind != KindTensor:
		return w.widenElem(p, t)
	case !old.Ranked:
		return false, nil
	case !t.Ranked || len(t.Shape) != len(old.Shape):
		p.Type = Type{DType: old.DType}
		return true, nil
	}
	shape := slices.Clone(old.Shape)
	for i, d := range shape {
		if !w.wide[p][i] && !d.Equal(t.Shape[i]) {
			shape[i] = w.c.Fresh()
			w.wide[p][i], changed = true, true
		}
	}
	p.Type.Shape = shape
	return changed, nil
}

// widenElem forgets the shape of a container's elements where the body changes it.
func (w *carried) widenElem(p *Value, t Type) (bool, error) {
	if p.Type.Elem == nil || t.Elem == nil {
		return false, nil
	}
	e, changed, err := w.cover(p, *p.Type.Elem, *t.Elem)
	if changed {
		p.Type.Elem = &e
	}
	return changed, err
}

// cover is a type of elements that takes in a and b, and whether it is more than a.
func (w *carried) cover(p *Value, a, b Type) (Type, bool, error) {
	switch {
	case a.Untyped() || b.Untyped():
		return a, false, nil
	case a.Kind != b.Kind || a.DType != b.DType && a.DType != tensor.Invalid && b.DType != tensor.Invalid:
		return a, false, w.op.Errorf("%q is carried as %v, but the body makes elements %v of it", p.Name, p.Type, b)
	case a.Elem != nil && b.Elem != nil:
		e, changed, err := w.cover(p, *a.Elem, *b.Elem)
		a.Elem = &e
		return a, changed, err
	case a.Kind != KindTensor || !a.Ranked:
		return a, false, nil
	case !b.Ranked || len(a.Shape) != len(b.Shape):
		return Type{DType: a.DType}, true, nil
	}
	// Fresh symbols of an element stand for any size, so new ones are no change.
	e, changed := TensorType(a.DType, slices.Clone(a.Shape)...), false
	for i, d := range e.Shape {
		if !d.Equal(b.Shape[i]) && !newerThan(d, 0) {
			e.Shape[i], changed = w.c.Fresh(), true
		}
	}
	return e, changed, nil
}

// result is the type that carried value p has after the last run.
func (w *carried) result(p *Value) Type {
	t := p.Type
	t.Shape = slices.Clone(t.Shape)
	for i, wide := range w.wide[p] {
		if wide && i < len(t.Shape) {
			t.Shape[i] = w.c.Fresh()
		}
	}
	return t
}

// types remembers the types of values.
type types map[*Value]Type

// snapshot remembers the types of the results of all ops in r.
func snapshot(r *Region) types {
	s := types{}
	r.Walk(func(op *Op) {
		for _, v := range op.Results {
			if v != nil {
				s[v] = v.Type
			}
		}
		for _, sub := range op.Regions {
			for _, v := range sub.Params {
				s[v] = v.Type
			}
		}
	})
	return s
}

func (s types) restore() {
	for v, t := range s {
		v.Type = t
	}
}

// inferLoop: operands M?, cond?, carried...; body (iteration, cond, carried...) -> (cond, carried..., scanned...).
func inferLoop(c *InferCtx, op *Op) error {
	r := op.Regions[0]
	n := max(len(op.Operands)-2, 0)
	if len(r.Params) != n+2 || len(r.Results) < n+1 || len(op.Results) > len(r.Results)-1 {
		return op.Errorf("body with %d parameters and %d results for %d carried values and %d results", len(r.Params), len(r.Results), n, len(op.Results))
	}
	r.Params[0].Type = TensorType(tensor.I64)
	r.Params[1].Type = TensorType(tensor.Bool)
	for i, p := range r.Params[2:] {
		if op.Operands[2+i] == nil {
			return op.Errorf("carried value %d is missing", i)
		}
		p.Type = op.Operands[2+i].Type
	}
	mark := c.M.nextID
	// What is computed from the number of the iteration is known in terms of this symbol.
	c.SetElems(r.Params[0], []Dim{c.Fresh()})
	w := &carried{c: c, op: op, region: r, params: r.Params[2:], out: r.Results[1 : n+1]}
	if err := w.settle(); err != nil {
		return err
	}
	if t := r.Results[0].Type; t.Kind != KindTensor || t.DType != tensor.Bool && t.DType != tensor.Invalid || t.Ranked && len(t.Shape) > 1 {
		return op.Errorf("the condition that the body gives is %v, want a bool", t)
	}
	for i, p := range w.params {
		t := w.result(p)
		if v := op.Result(i); v != nil && t.Kind == KindOptional && t.Elem != nil && v.Type.Kind == t.Elem.Kind && w.out[i].Type.Kind == v.Type.Kind && !v.Type.Untyped() {
			t = *t.Elem // the model says that there is an iteration, whose body fills the optional
		}
		c.SetType(op, i, t)
	}
	trips, ok := c.trips(op)
	if !ok {
		trips = c.Fresh()
	}
	for i := n; i < len(op.Results); i++ {
		t := c.refresh(r.Results[i+1].Type, newer(mark))
		if t.Ranked {
			t.Shape = append([]Dim{trips}, t.Shape...)
		}
		c.SetType(op, i, t)
	}
	return nil
}

// trips is how often a Loop runs: M, where no condition can end it before.
func (c *InferCtx) trips(op *Op) (Dim, bool) {
	e, ok := c.Elems(op.Operand(0))
	if !ok || len(e) != 1 {
		return Dim{}, false
	}
	cond := op.Operand(1)
	yes, known := knownBool(cond)
	if cond != nil && known && !yes {
		return Dim{}, true
	}
	out := op.Regions[0].Results[0]
	for out.Def != nil && out.Def.Info.Name == "Identity" {
		out = out.Def.Operands[0]
	}
	always, sure := knownBool(out)
	if (cond == nil || yes) && (sure && always || out == op.Regions[0].Params[1]) {
		return e[0].Max(Dim{}), true
	}
	return Dim{}, false
}

// inferScan: operands state..., inputs...; body (state..., slices...) -> (state..., slices...).
func inferScan(c *InferCtx, op *Op) error {
	r := op.Regions[0]
	m := op.Attrs.Int("num_scan_inputs", 0)
	n := len(op.Operands) - int(m)
	if m < 1 || n < 0 || len(r.Params) != len(op.Operands) || len(r.Results) < n || len(op.Results) > len(r.Results) {
		return op.Errorf("body with %d parameters and %d results for %d operands, %d of them scanned, and %d results",
			len(r.Params), len(r.Results), len(op.Operands), m, len(op.Results))
	}
	for i, p := range r.Params[:n] {
		p.Type = op.Operands[i].Type
	}
	trips, err := c.scanSlices(op, n)
	if err != nil {
		return err
	}
	mark := c.M.nextID
	w := &carried{c: c, op: op, region: r, params: r.Params[:n], out: r.Results[:n]}
	if err := w.settle(); err != nil {
		return err
	}
	for i, p := range w.params {
		c.SetType(op, i, w.result(p))
	}
	axes := op.Attrs.Ints("scan_output_axes", nil)
	for i := n; i < len(op.Results); i++ {
		t := c.refresh(r.Results[i].Type, newer(mark))
		if t.Ranked {
			axis := 0
			if i-n < len(axes) {
				if axis, err = normAxis(op, axes[i-n], len(t.Shape)+1); err != nil {
					return err
				}
			}
			t.Shape = slices.Insert(t.Shape, axis, trips)
		}
		c.SetType(op, i, t)
	}
	return nil
}

// scanSlices types the body's parameters for the scanned operands, which begin at n, and gives the
// length of the axes that are scanned.
func (c *InferCtx) scanSlices(op *Op, n int) (trips Dim, err error) {
	axes := op.Attrs.Ints("scan_input_axes", nil)
	trips = c.Fresh()
	for i, v := range op.Operands[n:] {
		p := op.Regions[0].Params[n+i]
		if !v.Type.Ranked {
			p.Type = Type{DType: v.Type.DType}
			continue
		}
		axis := 0
		if i < len(axes) {
			axis = int(axes[i])
		}
		if axis, err = normAxis(op, int64(axis), len(v.Type.Shape)); err != nil {
			return trips, err
		}
		d := v.Type.Shape[axis]
		if i == 0 {
			trips = d
		} else if trips, err = unify(op, "the length of scanned operands", trips, d); err != nil {
			return trips, err
		}
		p.Type = TensorType(v.Type.DType, slices.Delete(slices.Clone(v.Type.Shape), axis, axis+1)...)
	}
	return trips, nil
}

// inferSequenceMap: the body gets elements of sequences and whole tensors, its results are elements.
func inferSequenceMap(c *InferCtx, op *Op) error {
	r := op.Regions[0]
	if len(r.Params) != len(op.Operands) || len(r.Results) < len(op.Results) {
		return op.Errorf("body with %d parameters and %d results for %d operands and %d results", len(r.Params), len(r.Results), len(op.Operands), len(op.Results))
	}
	for i, p := range r.Params {
		p.Type = op.Operands[i].Type
		if p.Type.Kind == KindSeq || i == 0 {
			var err error
			if p.Type, err = c.elemOf(op, op.Operands[i]); err != nil {
				return err
			}
		}
	}
	if err := c.inferRegion(r); err != nil {
		return err
	}
	for i := range op.Results {
		c.SetType(op, i, seqOf(r.Results[i].Type))
	}
	return nil
}
