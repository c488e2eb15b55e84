package lower

import (
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/arena"
	"github.com/nnc-go/nnc/runtime/plan"
)

// Parts: values that live within the buffer of a larger one. An operand of a Concat is computed right where
// the concatenation has it, and the results of a Split or a Slice are seen where they lie, if all dimensions
// before the axis are 1, so that a part is contiguous. Where concatenations grow, as in DenseNet, the shorter
// ones are parts of the longest: each layer writes its channels beside those of the layers before it.
//
// The whole lives as long as any of its parts is used. Nothing in it is ever overwritten in place: others
// may look at the same memory.

// spot is where a value lies in the buffer of a whole.
type spot struct {
	whole int32
	at    ir.Dim // in bytes
}

// placeOf gives the place of a value in the arena that has memory: a whole, or a buffer that may become
// one, is at its own start.
func (c *Ctx) placeOf(v *ir.Value) (spot, bool) {
	st, ok := c.storage[c.resolve(viewRoot(v))]
	if !ok || st.buf < 0 {
		return spot{}, false
	}
	if p, ok := c.places[st.buf]; ok {
		return p, true
	}
	return spot{whole: st.buf}, c.p.Bufs[st.buf].Kind == plan.BufArena
}

// addPart makes v a part.
func (c *Ctx) addPart(v *ir.Value, p spot) {
	buf := c.addBuf(plan.Buf{Kind: plan.BufPart, Index: p.whole, Start: c.slot(p.at), Bytes: c.slot(bytesOf(v)), Name: v.Name})
	c.places[buf], c.places[p.whole] = p, spot{whole: p.whole}
	c.storage[v] = storage{buf, -1}
}

// ofInputs reports whether d follows from the shapes of the inputs; before steps are lowered no other symbol has
// a slot.
func (c *Ctx) ofInputs(d ir.Dim) bool {
	return !slices.ContainsFunc(d.Symbols(nil), func(s string) bool {
		slot, ok := c.slots[s]
		return !ok || c.p.Slots[slot].Op == plan.SlotBound
	})
}

// partAt reports whether a part of a tensor of the given shape, along an axis and from byte at on, is contiguous
// and begins where a buffer of the arena could.
func (c *Ctx) partAt(v *ir.Value, axis int, at ir.Dim) bool {
	return compiled(v.Type.DType) && ir.Product(v.Type.Shape[:axis]).Is(1) && c.ofInputs(at) && c.ofInputs(bytesOf(v)) &&
		at.Div(ir.Const(arena.Align)).MulInt(arena.Align).Equal(at)
}

// concatParts places the operands of the graph's concatenations, the last one first: those before it may be
// parts of it.
func (c *Ctx) concatParts() {
	ops := map[*ir.Op]bool{}
	for _, op := range c.M.Graph.Ops {
		ops[op] = true
	}
	for _, op := range slices.Backward(c.M.Graph.Ops) {
		if op.Info.Name == "Concat" && c.needed[op] && !touchesBox(op) {
			c.placeOperands(op, ops)
		}
	}
}

// placeOperands makes parts of those operands of a Concat that have no place yet; where all lie one after
// another already, it makes the result a part.
func (c *Ctx) placeOperands(op *ir.Op, ops map[*ir.Op]bool) {
	out := op.Results[0]
	starts, ok := c.concatStarts(op)
	if !ok || c.known(out) {
		return
	}
	_, has := c.storage[out]
	if first, ok := c.placeOf(op.Operands[0]); ok && !has && c.inPlaces(op.Operands, first, starts) {
		c.addPart(out, first)
		return
	}
	var free []int
	for i, x := range op.Operands {
		root := viewRoot(x)
		if _, has := c.storage[root]; !has && ops[root.Def] && c.needed[root.Def] && (len(root.Def.Regions) == 0 || root.Def.Info.Name == "Fused") &&
			root.Def.Info.Name != "Require" && ir.ConstOf(root) == nil && !c.known(root) && !slices.ContainsFunc(free, func(j int) bool { return viewRoot(op.Operands[j]) == root }) {
			free = append(free, i)
		}
	}
	if len(free) == 0 {
		return
	}
	if !has {
		c.storage[out] = storage{c.newBuf(bytesOf(out), out.Name), -1}
	}
	whole, ok := c.placeOf(out)
	if !ok {
		return // in memory of the caller
	}
	for _, i := range free {
		c.addPart(viewRoot(op.Operands[i]), spot{whole.whole, whole.at.Add(starts[i])})
	}
}

// concatStarts gives the bytes at which the operands of a Concat start in its result; false where they cannot be parts.
func (c *Ctx) concatStarts(op *ir.Op) ([]ir.Dim, bool) {
	out := op.Results[0]
	axis := axisOf(op.Attrs.Int("axis", 0), out.Type.Rank())
	var starts []ir.Dim
	at := ir.Dim{}
	for _, x := range op.Operands {
		if x.Type.Rank() != out.Type.Rank() || !c.partAt(x, axis, at) {
			return nil, false
		}
		starts = append(starts, at)
		at = at.Add(bytesOf(x))
	}
	return starts, bytesOf(out).Equal(at)
}

// inPlaces reports whether values lie at starts from a place on.
func (c *Ctx) inPlaces(vs []*ir.Value, from spot, starts []ir.Dim) bool {
	for i, v := range vs {
		if p, ok := c.placeOf(v); !ok || p.whole != from.whole || !p.at.Equal(from.at.Add(starts[i])) {
			return false
		}
	}
	return true
}

// seePart makes out, which starts at element at of x along an axis, a part of it if it can be one.
func (c *Ctx) seePart(x, out *ir.Value, axis int, at ir.Dim) bool {
	if _, has := c.storage[out]; has || c.depth != 1 {
		return false
	}
	start := at.Mul(ir.Product(x.Type.Shape[axis+1:])).MulInt(int64(x.Type.DType.Size()))
	p, ok := c.placeOf(x)
	if !ok || !c.partAt(out, axis, start) || !c.ofInputs(bytesOf(x)) {
		return false
	}
	p.at = p.at.Add(start)
	c.addPart(out, p)
	return true
}
