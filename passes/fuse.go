package passes

import (
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Fusion makes Fused ops. A group is a set of ops of one region that ends in one root, such that every
// use of another member's result is in the group; so nothing is computed twice, and the group can stand
// where its root stands: a path that left it would start at a member's use outside. All members have
// the root's shape; operands broadcast. A group may hold one anchor, an op with an inner loop (Conv,
// MatMul, ...), whose epilogue the elementwise members become.

// anchors are the ops that take an epilogue.
var anchors = map[string]bool{"Conv": true, "BlockedConv": true, "ConvTranspose": true, "MatMul": true, "Gemm": true}

// Limits of a group: kernels pass one address per operand, and long bodies spill registers.
const (
	maxGroupOps    = 48
	maxGroupParams = 16
)

// fusableType tells the element types that loop kernels compute with.
func fusableType(v *ir.Value) bool {
	if !isTensor(v) {
		return false
	}
	switch v.Type.DType {
	case tensor.F32, tensor.F64, tensor.F16, tensor.BF16, tensor.Bool, tensor.I8, tensor.I16, tensor.I32, tensor.I64,
		tensor.U8, tensor.U16, tensor.U32, tensor.U64:
		return true
	}
	return false
}

// fusable reports whether op may be an elementwise member of a group.
func fusable(op *ir.Op) bool {
	if len(op.Regions) > 0 || len(op.Results) != 1 || op.Info.Has(ir.Impure) {
		return false
	}
	if !op.Info.Has(ir.Elementwise) && !perTensorQuant(op) {
		return false
	}
	for _, v := range op.Operands {
		if v != nil && !fusableType(v) {
			return false
		}
	}
	return fusableType(op.Results[0])
}

// perTensorQuant matches Quantize/DequantizeLinear with one scale, which work element by element.
func perTensorQuant(op *ir.Op) bool {
	if op.Name() != "QuantizeLinear" && op.Name() != "DequantizeLinear" {
		return false
	}
	for _, v := range op.Operands[1:] {
		if v != nil && (!isTensor(v) || !ir.Product(v.Type.Shape).Is(1)) {
			return false
		}
	}
	return true
}

func isAnchor(op *ir.Op) bool {
	return anchors[op.Name()] && len(op.Results) == 1 && isF32(op.Results[0])
}

// group is a Fused in the making.
type group struct {
	root    *ir.Op
	anchor  *ir.Op
	members map[*ir.Op]bool
	params  map[*ir.Value]bool // operands of members, members' results included
}

func (g *group) add(op *ir.Op) {
	g.members[op] = true
	for _, v := range op.Operands {
		if v != nil && !smallScalar(v) {
			g.params[v] = true
		}
	}
}

func (g *group) full(op *ir.Op) bool {
	n := 0
	for v := range g.params {
		if v.Def == nil || !g.members[v.Def] {
			n++
		}
	}
	return len(g.members) >= maxGroupOps || n+len(op.Operands) > maxGroupParams
}

// smallScalar reports whether v is a constant of one element, which stands in the Fused itself.
func smallScalar(v *ir.Value) bool {
	d := ir.ConstOf(v)
	return d != nil && d.Len() == 1 && d.DType != tensor.String && len(d.Shape) <= 1
}

func fusePass(s *State) error {
	if err := s.infer(); err != nil {
		return err
	}
	fuseRegion(s, s.M.Graph)
	removeDead(s)
	return s.infer()
}

func fuseRegion(s *State, r *ir.Region) {
	for _, op := range r.Ops {
		if op.Name() == "Fused" {
			continue
		}
		for _, sub := range op.Regions {
			fuseRegion(s, sub)
		}
	}
	groups := findGroups(s, r)
	var out []*ir.Op
	for _, op := range r.Ops {
		g := groups[op]
		switch {
		case g == nil || len(g.members) < 2:
			out = append(out, op)
		case g.root == op:
			out = append(out, g.build(s, r))
		}
	}
	r.Ops = out
}

// findGroups assigns ops to groups, last op first, so that the users of a value have theirs already.
func findGroups(s *State, r *ir.Region) map[*ir.Op]*group {
	users := usersOf(r)
	here := map[*ir.Op]bool{}
	for _, op := range r.Ops {
		here[op] = true
	}
	isResult := map[*ir.Value]bool{}
	for _, op := range r.Ops { // results of nested regions may be values of this one
		for _, sub := range op.Regions {
			markResults(sub, isResult)
		}
	}
	for _, v := range r.Results {
		isResult[v] = true
	}
	groups := map[*ir.Op]*group{}
	for _, op := range slices.Backward(r.Ops) {
		elem, anchor := fusable(op) && (s.Opts.CanFuse == nil || s.Opts.CanFuse(op)), isAnchor(op)
		if elem {
			// Shape arithmetic stays visible to inference.
			if _, known := s.Inf.Elems(op.Results[0]); known {
				continue
			}
		}
		if !elem && !anchor {
			continue
		}
		v := op.Results[0]
		if g := onlyGroup(users[v], groups, here); g != nil && !isResult[v] && sameShape(v.Type, g.root.Results[0].Type) &&
			!g.full(op) && !isDivisor(v, users[v]) && (elem || g.anchor == nil && feedsBody(v, users[v])) {
			g.add(op)
			groups[op] = g
			if anchor {
				g.anchor = op
			}
			continue
		}
		if elem {
			groups[op] = &group{root: op, members: map[*ir.Op]bool{}, params: map[*ir.Value]bool{}}
			groups[op].add(op)
		}
	}
	return groups
}

func markResults(r *ir.Region, set map[*ir.Value]bool) {
	for _, v := range r.Results {
		set[v] = true
	}
	for _, op := range r.Ops {
		for _, sub := range op.Regions {
			markResults(sub, set)
		}
	}
}

// onlyGroup gives the one group that all users belong to; nil when there is none. An anchor ends a group:
// what it reads is not its epilogue.
func onlyGroup(users []*ir.Op, groups map[*ir.Op]*group, here map[*ir.Op]bool) *group {
	var g *group
	for _, u := range users {
		h := groups[u]
		if h == nil || !here[u] || g != nil && g != h || u == h.anchor {
			return nil
		}
		g = h
	}
	return g
}

// isDivisor reports whether an integer division divides by v. Its zeros are looked for before the kernel runs, so it must
// be in memory by then.
func isDivisor(v *ir.Value, users []*ir.Op) bool {
	return v.Type.DType.IsInt() && slices.ContainsFunc(users, func(u *ir.Op) bool {
		return (u.Name() == "Div" || u.Name() == "Mod") && u.Operands[1] == v
	})
}

// feedsBody reports whether an anchor's result is used as data, not as the scale of a quantisation.
func feedsBody(v *ir.Value, users []*ir.Op) bool {
	for _, u := range users {
		if perTensorQuant(u) && u.Operands[0] != v {
			return false
		}
	}
	return true
}

// build makes the Fused op. Its region holds the anchor first, then scalar constants, then the
// elementwise members in their order in r.
func (g *group) build(s *State, r *ir.Region) *ir.Op {
	f := s.M.NewOp("Fused", nil, 0, nil, g.root.Origin)
	body := &ir.Region{}
	f.Regions = []*ir.Region{body}
	local := map[*ir.Value]*ir.Value{} // of values outside, inside
	bind := func(op *ir.Op) {
		for i, v := range op.Operands {
			if v == nil {
				continue
			}
			w := local[v]
			if w == nil && (smallScalar(v) && op != g.anchor) {
				c := s.M.NewConst(v.Name, ir.ConstOf(v))
				body.Ops = append(body.Ops, c)
				w = c.Results[0]
			} else if w == nil {
				w = body.AddParam(s.M.NewValue(v.Name, v.Type))
				f.Operands = append(f.Operands, v)
			}
			local[v] = w
			op.Operands[i] = w
		}
		body.Ops = append(body.Ops, op)
		local[op.Results[0]] = op.Results[0]
	}
	if g.anchor != nil {
		bind(g.anchor)
		f.Origin = g.anchor.Origin
	}
	for _, op := range r.Ops {
		if g.members[op] && op != g.anchor {
			bind(op)
		}
	}
	// Users of the root's value go on using it: it becomes the result of the Fused, and the root gets a new one.
	root := g.root.Results[0]
	inner := s.M.NewValue(root.Name, root.Type)
	inner.Def, inner.Index = g.root, 0
	g.root.Results[0], body.Results = inner, []*ir.Value{inner}
	f.Results = []*ir.Value{root}
	root.Def, root.Index = f, 0
	if g.anchor != nil {
		s.hit("fuse-epilogue")
	} else {
		s.hit("fuse-elementwise")
	}
	return f
}
