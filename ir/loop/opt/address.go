package opt

import (
	"math"

	"github.com/nnc-go/nnc/ir/loop"
)

// address writes the index of each load and store as a sum whose parts are added from the outermost loop inwards,
// with the constant last:
//
//	((what no loop changes + what the outer changes) + what the inner changes) + constant
//
// so that each sum is computed in the outermost loop that it can be, addresses that differ by a constant share all
// but that, and it becomes part of the instruction. Products are spread over sums whose parts differ in depth.
func address(f *loop.Func, _ *Target) {
	a := &addresser{b: loop.Rewrite(f, level)}
	a.parameters(f)
	a.block(f.Body, 0)
}

// form is an index as a sum: parts[d] is what the d loops around it determine, nil for nothing.
type form struct {
	c     int64
	parts []*loop.Value
}

// maxOffset bounds the constants that are left to instructions, far below what those can hold.
const maxOffset = 1 << 26

// single gives the depth of the only part of a form without a constant.
func (f form) single() (depth int, ok bool) {
	depth = -1
	for d, p := range f.parts {
		switch {
		case p == nil:
		case depth >= 0:
			return 0, false
		default:
			depth = d
		}
	}
	return depth, depth >= 0 && f.c == 0
}

// scope is a block that is being rewritten.
type scope struct {
	block *loop.Block
	depth int
	made  map[sum]*loop.Value // what is computed in it
}

type sum struct {
	op   loop.Op
	x, y *loop.Value
}

// scaledBy is the product x*k.
type scaledBy struct {
	x *loop.Value
	k int64
}

type addresser struct {
	b     *loop.Builder
	forms table[form]
	ints  map[int64]*loop.Value // constants that address has made, at the top
	times table[scaledBy]       // products with a constant that address has made
	open  []*scope
}

func (a *addresser) parameters(f *loop.Func) {
	a.ints = map[int64]*loop.Value{}
	for _, v := range append([]*loop.Value{f.Lo, f.Hi}, f.Ints...) {
		a.opaque(v, 0)
	}
}

func (a *addresser) opaque(v *loop.Value, depth int) {
	if v.Type == loop.Index {
		p := make([]*loop.Value, depth+1)
		p[depth] = v
		a.forms.set(v, form{parts: p})
	}
}

func (a *addresser) block(b *loop.Block, depth int) {
	old := b.Instrs
	b.Instrs = make([]*loop.Instr, 0, len(old)+len(old)/4)
	a.open = append(a.open, &scope{b, depth, map[sum]*loop.Value{}})
	for _, p := range b.Params {
		a.opaque(p, depth)
	}
	for _, in := range old {
		if (in.Op.Reads() || in.Op.Writes()) && in.Args[0].Type == loop.Index {
			in.Args[0] = a.rewrite(in.Args[0], depth)
		}
		inside := depth
		if in.Op == loop.OpFor {
			inside++
		}
		for _, s := range in.Blocks {
			a.block(s, inside)
		}
		b.Instrs = append(b.Instrs, in)
		for _, r := range in.Results {
			a.opaque(r, depth)
		}
		if len(in.Results) == 1 && in.Results[0].Type == loop.Index {
			if f, ok := a.combine(in, depth); ok {
				a.forms.set(in.Results[0], f)
			} else if len(in.Args) == 2 {
				a.open[len(a.open)-1].made[sum{in.Op, in.Args[0], in.Args[1]}] = in.Results[0]
			}
		}
	}
	a.open = a.open[:len(a.open)-1]
}

// rewrite gives the index v again, added up from outside.
func (a *addresser) rewrite(v *loop.Value, depth int) *loop.Value {
	f := a.forms.get(v)
	c := f.c
	if c < -maxOffset || c > maxOffset {
		f, c = a.add(f, form{c: 0, parts: []*loop.Value{a.int(c)}}, loop.OpAdd), 0
	}
	var acc *loop.Value
	for d, p := range f.parts {
		acc = a.plus(d, acc, p)
	}
	switch {
	case acc == nil:
		return a.int(c)
	case c == 0:
		return acc
	}
	return a.emit(depth, loop.OpAdd, acc, a.int(c))
}

func (a *addresser) int(n int64) *loop.Value {
	v := a.ints[n]
	if v == nil {
		v = a.b.F.NewValue(loop.Index)
		in := &loop.Instr{Op: loop.OpConst, Imm: uint64(n), Results: []*loop.Value{v}}
		top := a.open[0].block
		top.Instrs = append(top.Instrs, in)
		a.ints[n] = v
	}
	return v
}

// at is the innermost open block with depth loops around it.
func (a *addresser) at(depth int) int {
	i := len(a.open) - 1
	for a.open[i].depth > depth {
		i--
	}
	return i
}

// emit computes x op y in the loop of the given depth, before the loop inside it that is being rewritten.
func (a *addresser) emit(depth int, op loop.Op, x, y *loop.Value) *loop.Value {
	at := a.at(depth)
	key := sum{op, x, y}
	for i := at; i >= 0; i-- {
		if v := a.open[i].made[key]; v != nil {
			return v
		}
	}
	v := a.b.F.NewValue(loop.Index)
	s := a.open[at]
	s.block.Instrs = append(s.block.Instrs, &loop.Instr{Op: op, Args: []*loop.Value{x, y}, Results: []*loop.Value{v}})
	s.made[key] = v
	return v
}

// plus is x+y, where nil is 0.
func (a *addresser) plus(depth int, x, y *loop.Value) *loop.Value {
	switch {
	case x == nil:
		return y
	case y == nil:
		return x
	}
	return a.emit(depth, loop.OpAdd, x, y)
}

// combine gives the form of an index that in computes from others.
func (a *addresser) combine(in *loop.Instr, depth int) (form, bool) {
	switch in.Op {
	case loop.OpConst:
		if n := int64(in.Imm); len(a.open) == 1 && a.ints[n] == nil {
			a.ints[n] = in.Results[0]
		}
		return form{c: int64(in.Imm)}, true
	case loop.OpAdd, loop.OpSub:
		x, y := a.forms.get(in.Args[0]), a.forms.get(in.Args[1])
		if a.whole(x, y, depth) {
			return form{}, false
		}
		return a.add(x, y, in.Op), true
	case loop.OpMul:
		return a.product(in, depth)
	}
	return form{}, false
}

// whole reports whether the operands are all of this loop, so that taking them apart gains nothing.
func (a *addresser) whole(x, y form, depth int) bool {
	d, ok := x.single()
	e, also := y.single()
	return ok && also && d == depth && e == depth
}

func (a *addresser) add(x, y form, op loop.Op) form {
	r := form{c: x.c + y.c, parts: make([]*loop.Value, max(len(x.parts), len(y.parts)))}
	if op == loop.OpSub {
		r.c = x.c - y.c
	}
	copy(r.parts, x.parts)
	for d, p := range y.parts {
		switch {
		case p == nil:
		case op == loop.OpAdd:
			r.parts[d] = a.plus(d, r.parts[d], p)
		case r.parts[d] == nil:
			r.parts[d] = a.emit(d, loop.OpSub, a.int(0), p)
		default:
			r.parts[d] = a.emit(d, loop.OpSub, r.parts[d], p)
		}
	}
	return r
}

// product spreads a factor over a sum: a constant, or a value as it is.
func (a *addresser) product(in *loop.Instr, depth int) (form, bool) {
	f, g := a.forms.get(in.Args[0]), a.forms.get(in.Args[1])
	if len(f.parts) == 0 && len(g.parts) == 0 {
		return form{c: f.c * g.c}, true
	}
	if len(f.parts) == 0 {
		f, g = g, f
	}
	d, ok := f.single()
	if len(g.parts) == 0 {
		if v := in.Results[0]; ok && d == depth && a.times.get(f.parts[d]).x == nil {
			a.times.set(v, scaledBy{f.parts[d], g.c})
			return form{}, false
		}
		return a.scaled(f, g.c), true
	}
	if ok && d == depth || a.whole(f, g, depth) {
		return form{}, false
	}
	if _, ok := g.single(); !ok {
		f, g = g, f
	}
	e, ok := g.single()
	if !ok || f.c != 0 && (f.c < math.MinInt32 || f.c > math.MaxInt32) {
		return form{}, false
	}
	r := form{parts: make([]*loop.Value, max(len(f.parts), e+1))}
	for d, p := range f.parts {
		if p != nil {
			at := max(d, e)
			r.parts[at] = a.plus(at, r.parts[at], a.emit(at, loop.OpMul, p, g.parts[e]))
		}
	}
	if f.c != 0 {
		r.parts[e] = a.plus(e, r.parts[e], a.emit(e, loop.OpMul, g.parts[e], a.int(f.c)))
	}
	return r, true
}

func (a *addresser) scaled(f form, k int64) form {
	if k == 0 {
		return form{}
	}
	r := form{c: f.c * k, parts: make([]*loop.Value, len(f.parts))}
	for d, p := range f.parts {
		if p != nil {
			r.parts[d] = a.scale(d, p, k)
		}
	}
	return r
}

// scale is p*k; of a product with a constant, the factors become one.
func (a *addresser) scale(depth int, p *loop.Value, k int64) *loop.Value {
	if t := a.times.get(p); t.x != nil {
		p, k = t.x, t.k*k
	}
	if k == 1 {
		return p
	}
	v := a.emit(depth, loop.OpMul, p, a.int(k))
	a.times.set(v, scaledBy{p, k})
	return v
}
