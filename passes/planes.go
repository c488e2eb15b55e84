package passes

import (
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/eval"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// Channel shuffles, splits and concatenations that are no multiple of a block move whole planes [H,W] between
// places, whatever ranks they pass through. Which planes of which tensors a value then has is found by doing
// to the planes' numbers what its op does to the planes, and a blocked tensor of them is one BlockedSelect.

// planes numbers the planes of a value of shape [N?, ..., plane]. Numbers are places in layouter.planeList.
type planes struct {
	ids     *tensor.Tensor // of the value's shape, but 1 for the batch and for the dimensions of planes
	n, h, w ir.Dim
	tail    int // how many dimensions a plane has here
}

// planeOf is channel ch of root.
type planeOf struct {
	root *ir.Value
	ch   int64
}

// maxSelected bounds the channels of a BlockedSelect, and the vectors of which they are picked: its code has them all.
const maxSelected = 512

// planesOf numbers the planes of v, nil where they have none.
func (l *layouter) planesOf(v *ir.Value) *planes {
	if p, ok := l.planes[v]; ok {
		return p
	}
	l.planes[v] = nil // a value of no op, or one that does not move planes
	if v.Def != nil && l.inside[v.Def] && movesPlanes[v.Def.Name()] {
		l.movedPlanes(v.Def)
		if p := l.planes[v]; p != nil {
			return p
		}
	}
	c, ok := channels(v)
	if !ok {
		return nil
	}
	ids := make([]int64, c)
	for i := range ids {
		ids[i] = int64(len(l.planeList))
		l.planeList = append(l.planeList, planeOf{v, int64(i)})
	}
	s := v.Type.Shape
	l.planes[v] = &planes{ids: tensor.Of(ids, 1, c, 1, 1), n: s[0], h: s[2], w: s[3], tail: 2}
	return l.planes[v]
}

// movesPlanes lists the ops that can move planes: those of all operands of Concat, else of the first.
var movesPlanes = map[string]bool{"Reshape": true, "Transpose": true, "Slice": true, "Split": true, "Gather": true, "Concat": true}

// movedPlanes numbers the planes of op's results if it moves nothing but planes.
func (l *layouter) movedPlanes(op *ir.Op) {
	if lo := l.ops[op]; lo != nil { // a concatenation that has a blocked form
		return
	}
	var first *planes
	args := make([]hostop.Value, len(op.Operands))
	for i, v := range op.Operands {
		switch {
		case v == nil:
		case i == 0 || op.Name() == "Concat":
			p := l.planesOf(v)
			if p == nil || first != nil && !(first.n.Equal(p.n) && first.h.Equal(p.h) && first.w.Equal(p.w) && first.tail == p.tail) {
				return
			}
			if first == nil {
				first = p
			}
			args[i] = p.ids
		case op.Name() == "Reshape": // of numbers it is another
		default:
			d := ir.ConstOf(v)
			if d == nil {
				return
			}
			t, err := d.Tensor()
			if err != nil {
				return
			}
			args[i] = t
		}
	}
	results := make([]*planes, len(op.Results))
	if op.Name() == "Reshape" {
		if results[0] = first.like(op.Results[0]); results[0] == nil || results[0].ids.Len() != first.ids.Len() {
			return
		}
		copy(results[0].ids.Data, first.ids.Data)
	} else if !first.movedBy(op, args, results) {
		return
	}
	for i, v := range op.Results {
		l.planes[v] = results[i]
	}
	l.moves[op] = true
}

// movedBy does op to the numbers and reports whether that is what it does to planes.
func (p *planes) movedBy(op *ir.Op, args []hostop.Value, results []*planes) bool {
	rank := len(p.ids.Shape)
	for _, a := range movedAxes(op, rank) {
		if a >= rank-p.tail || a == 0 && p.batched() {
			return false
		}
	}
	vals, err := eval.Op(op, args)
	if err != nil {
		return false
	}
	for i, v := range op.Results {
		t, ok := vals[i].(*tensor.Tensor)
		if v == nil || !ok {
			return false
		}
		if results[i] = p.like(v); results[i] == nil || results[i].tail != p.tail || !slices.Equal(results[i].ids.Shape, t.Shape) {
			return false
		}
		results[i].ids = t
	}
	return true
}

// batched reports whether dimension 0 is of images, whose planes are moved alike.
func (p *planes) batched() bool { return !p.n.Is(1) }

// like gives planes of the same batch and sizes in v's shape, unnumbered; nil if v cannot be made of such.
func (p *planes) like(v *ir.Value) *planes {
	if !isF32(v) {
		return nil
	}
	s, r := v.Type.Shape, &planes{n: p.n, h: p.h, w: p.w, tail: 1}
	n := len(s)
	switch {
	case n >= 2 && s[n-2].Equal(p.h) && s[n-1].Equal(p.w):
		r.tail = 2
	case n < 1 || !s[n-1].Equal(p.h.Mul(p.w)):
		return nil
	}
	shape := slices.Repeat([]int64{1}, n)
	for i := range n - r.tail {
		switch {
		case i == 0 && p.batched():
			if !s[0].Equal(p.n) {
				return nil
			}
		case !s[i].IsConst():
			return nil
		default:
			shape[i] = s[i].Value()
		}
	}
	if p.batched() && n == r.tail {
		return nil
	}
	r.ids = tensor.New(tensor.I64, shape...)
	return r
}

// movedAxes lists the dimensions along which op moves.
func movedAxes(op *ir.Op, rank int) (axes []int) {
	var along []int64
	switch op.Name() {
	case "Transpose":
		for i, a := range permOf(op) {
			if int64(i) != a {
				along = append(along, a)
			}
		}
	case "Slice":
		if v := op.Operand(3); v != nil {
			along, _ = ir.ConstOf(v).Int64s()
		} else {
			for i := range op.Operands[1].Type.Shape[0].Value() {
				along = append(along, i)
			}
		}
	default:
		along = []int64{op.Attrs.Int("axis", 0)}
	}
	for _, a := range along {
		if a < 0 {
			a += int64(rank)
		}
		axes = append(axes, int(a))
	}
	return axes
}

// selection gives the planes of which v, the result of an op that moves planes, is made; nil if v is no tensor
// that has a blocked form, or of too many.
func (l *layouter) selection(v *ir.Value) []planeOf {
	if s, ok := l.selections[v]; ok {
		return s
	}
	var s []planeOf
	if c, ok := channels(v); ok && v.Def != nil && c <= maxSelected {
		if p := l.planesOf(v); p != nil && l.moves[v.Def] && p.tail == 2 && p.ids.Shape[1] == c && p.ids.Shape[0] == 1 {
			for _, id := range tensor.View[int64](p.ids) {
				s = append(s, l.planeList[id])
			}
		}
	}
	type source struct {
		to   int
		root *ir.Value
		from int64
	}
	from := map[source]bool{}
	for i, p := range s {
		from[source{i / target.Block, p.root, p.ch / target.Block}] = true
	}
	if len(from) > maxSelected {
		s = nil
	}
	l.selections[v] = s
	return s
}

// selected reports whether v can be picked out of blocked tensors, some of which conversion may have made already.
func (l *layouter) selected(v *ir.Value) bool {
	s := l.selection(v)
	return len(s) > 0 && !slices.ContainsFunc(s, func(p planeOf) bool { return !l.isBlocked(p.root) && l.form[p.root] == nil })
}

// emitSelect emits the BlockedSelect of a selected value.
func (l *layouter) emitSelect(v *ir.Value) (*ir.Value, error) {
	var args []*ir.Value
	begin := map[*ir.Value]int64{}
	var from []int64
	lanes := int64(0)
	for _, p := range l.selection(v) {
		if _, ok := begin[p.root]; !ok {
			x, err := l.blockedForm(p.root)
			if err != nil {
				return nil, err
			}
			c, _ := channels(p.root)
			args, begin[p.root] = append(args, x), lanes
			lanes += (c + target.Block - 1) / target.Block * target.Block
		}
		from = append(from, begin[p.root]+p.ch)
	}
	return l.emit("BlockedSelect", ir.Attrs{"from": from}, args...)
}

// reading is an op that reads v; nil stands for what is outside the region.
type reading struct {
	op *ir.Op
	v  *ir.Value
}

// readings lists what reads v or what ops that move planes make of it.
func (l *layouter) readings(v *ir.Value) []reading {
	if r, ok := l.reads[v]; ok {
		return r
	}
	var rs []reading
	if l.escapes[v] {
		rs = append(rs, reading{nil, v})
	}
	for _, u := range l.users[v] {
		if l.moves[u] {
			for _, r := range u.Results {
				rs = append(rs, l.readings(r)...)
			}
		} else {
			rs = append(rs, reading{u, v})
		}
	}
	l.reads[v] = rs
	return rs
}
