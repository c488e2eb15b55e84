package passes

import (
	"fmt"
	"slices"

	"github.com/nnc-go/nnc/ir"
)

// rule is a local rewrite. It may look at anything that its op reaches; it replaces only its op's results.
type rule struct {
	name string
	// ops are the names of the ops that the rule is tried on; "*" is every op.
	ops []string
	// algebra is pattern -> replacement with its side conditions.
	algebra string
	// inexact rules round differently from the model as written; -math=strict turns them off.
	inexact bool
	// apply gives the values that replace the op's results, nil when the rule does not match. It makes
	// new ops with rw; the matched op goes, its operands stay until dead.
	apply func(rw *rewriter, op *ir.Op) []*ir.Value
}

// rewriter applies rules in one sweep over a module and makes the ops of their replacements.
type rewriter struct {
	s      *State
	rules  map[string][]*rule
	uses   map[*ir.Value]int // at the start of the sweep: rules use it to judge profit, never soundness
	users  map[*ir.Value][]*ir.Op
	out    []*ir.Op // the region under reconstruction
	repl   map[*ir.Value]*ir.Value
	origin ir.Origin
	hits   int
	// ranksSettled: if-rank has applied in this sweep.
	ranksSettled bool
	err          error
}

const maxSweeps = 64

// rewrite applies rules until none matches, with shape inference before each sweep.
func rewrite(s *State, rules []*rule) error {
	byOp := map[string][]*rule{}
	for _, r := range rules {
		if r.inexact && s.Opts.Strict {
			continue
		}
		for _, o := range r.ops {
			byOp[o] = append(byOp[o], r)
		}
	}
	for range maxSweeps {
		if err := s.infer(); err != nil {
			return err
		}
		removeDead(s)
		rw := &rewriter{s: s, rules: byOp, uses: s.M.Graph.Uses(), users: usersOf(s.M.Graph), repl: map[*ir.Value]*ir.Value{}}
		rw.region(s.M.Graph)
		if rw.err != nil {
			return rw.err
		}
		if rw.hits == 0 {
			removeDead(s)
			return nil
		}
	}
	return fmt.Errorf("rewriting did not settle after %d sweeps; hits so far: %v", maxSweeps, s.stats.Hits)
}

// usersOf lists for every value the ops that use it, in r and its nested regions.
func usersOf(r *ir.Region) map[*ir.Value][]*ir.Op {
	u := map[*ir.Value][]*ir.Op{}
	r.Walk(func(op *ir.Op) {
		for _, v := range op.Operands {
			if v != nil {
				u[v] = append(u[v], op)
			}
		}
	})
	return u
}

// find follows replacements.
func (rw *rewriter) find(v *ir.Value) *ir.Value {
	for w, ok := rw.repl[v]; ok; w, ok = rw.repl[v] {
		v = w
	}
	return v
}

func (rw *rewriter) findAll(vs []*ir.Value) {
	for i, v := range vs {
		if v != nil {
			vs[i] = rw.find(v)
		}
	}
}

func (rw *rewriter) region(r *ir.Region) {
	saved := rw.out
	rw.out = make([]*ir.Op, 0, len(r.Ops))
	for _, op := range r.Ops {
		rw.findAll(op.Operands)
		if op.Name() == "Fused" { // final, inside and out
			rw.out = append(rw.out, op)
			continue
		}
		for _, sub := range op.Regions {
			rw.region(sub)
		}
		if rw.err != nil {
			return
		}
		if !rw.try(op) {
			rw.out = append(rw.out, op)
		}
	}
	rw.findAll(r.Results)
	r.Ops = rw.out
	rw.out = saved
}

// try applies the first rule that matches op.
func (rw *rewriter) try(op *ir.Op) bool {
	for _, r := range slices.Concat(rw.rules["*"], rw.rules[op.Name()]) {
		rw.origin = op.Origin
		mark := len(rw.out)
		res := r.apply(rw, op)
		if rw.err != nil {
			rw.err = fmt.Errorf("rule %s on %v: %w", r.name, op.Origin, rw.err)
			return false
		}
		if res == nil {
			rw.out = rw.out[:mark] // a rule may have begun to build before it gave up
			continue
		}
		for i, v := range op.Results {
			if v == nil {
				continue
			}
			if res[i].Name == "" {
				res[i].Name = v.Name
			}
			rw.repl[v] = res[i]
		}
		rw.hits++
		rw.s.hit(r.name)
		return true
	}
	return false
}

// op makes an op with one result, types it and inserts it.
func (rw *rewriter) op(name string, attrs ir.Attrs, operands ...*ir.Value) *ir.Value {
	op := rw.s.M.NewOp(name, operands, 1, attrs, rw.origin)
	rw.insert(op)
	return op.Results[0]
}

// insert types op and appends it to the region under reconstruction.
func (rw *rewriter) insert(op *ir.Op) {
	if op.Info.Infer != nil && rw.err == nil {
		if err := op.Info.Infer(rw.s.Inf, op); err != nil {
			rw.err = op.Errorf("a replacement has no type: %w", err)
		}
	}
	rw.out = append(rw.out, op)
}

// constant makes a Const.
func (rw *rewriter) constant(d *ir.Data) *ir.Value {
	op := rw.s.M.NewConst("", d)
	op.Origin = rw.origin
	rw.out = append(rw.out, op)
	return op.Results[0]
}

// single reports whether v has one use: taking it into a replacement leaves its op dead.
func (rw *rewriter) single(v *ir.Value) bool { return rw.uses[v] == 1 }

// def is the op that defines v if it is one of the named ones, else nil.
func def(v *ir.Value, names ...string) *ir.Op {
	if v == nil || v.Def == nil {
		return nil
	}
	for _, n := range names {
		if v.Def.Name() == n {
			return v.Def
		}
	}
	return nil
}

func one(v *ir.Value) []*ir.Value { return []*ir.Value{v} }

// sameShape reports whether two types are tensors of the same dtype and provably the same shape.
func sameType(a, b ir.Type) bool { return a.DType == b.DType && sameShape(a, b) }

func sameShape(a, b ir.Type) bool {
	if !a.Ranked || !b.Ranked || len(a.Shape) != len(b.Shape) {
		return false
	}
	for i := range a.Shape {
		if !a.Shape[i].Equal(b.Shape[i]) {
			return false
		}
	}
	return true
}

// isTensor reports whether v is a tensor of known rank.
func isTensor(v *ir.Value) bool { return v != nil && v.Type.Kind == ir.KindTensor && v.Type.Ranked }
