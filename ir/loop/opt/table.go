package opt

import "github.com/nnc-go/nnc/ir/loop"

// table holds something per value, by its number; what was never set is zero.
type table[T any] struct{ rows []T }

func (t *table[T]) get(v *loop.Value) (x T) {
	if v.ID < len(t.rows) {
		return t.rows[v.ID]
	}
	return x
}

func (t *table[T]) set(v *loop.Value, x T) {
	if v.ID >= len(t.rows) {
		t.rows = append(t.rows, make([]T, v.ID+1+v.ID/4-len(t.rows))...)
	}
	t.rows[v.ID] = x
}

// define sets x for all of vs.
func (t *table[T]) define(vs []*loop.Value, x T) {
	for _, v := range vs {
		t.set(v, x)
	}
}

// constant gives the value of an index constant.
func constant(defs *table[*loop.Instr], v *loop.Value) (int64, bool) {
	d := defs.get(v)
	if d == nil || d.Op != loop.OpConst {
		return 0, false
	}
	return int64(d.Imm), true
}

// definitions lists where values come from; parameters have none.
func definitions(f *loop.Func) *table[*loop.Instr] {
	defs := &table[*loop.Instr]{}
	walk(f.Body, func(in *loop.Instr) { defs.define(in.Results, in) })
	return defs
}

// holdsLoop reports whether there is a loop in b or in a conditional of it.
func holdsLoop(b *loop.Block) (yes bool) {
	walk(b, func(in *loop.Instr) { yes = yes || in.Op == loop.OpFor })
	return yes
}

// isInteger reports whether v is held in a general register.
func isInteger(v *loop.Value) bool { return v.Type.Lanes == 1 && !v.Type.Elem.IsFloat() }
