package ir

import (
	"strings"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// Untyped reports whether nothing is known about t.
func (t Type) Untyped() bool {
	return t.Kind == KindTensor && t.DType == tensor.Invalid && !t.Ranked
}

// kindNames are the names of container types in the text form.
var kindNames = map[Kind]string{KindSeq: "seq", KindOptional: "opt", KindMap: "map"}

func shapeString(s []Dim) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, d := range s {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(d.String())
	}
	b.WriteByte(']')
	return b.String()
}

// String prints t as the text form has it: "f32[N,3]", "f32[]" for a scalar, "f32[...]" for unknown
// rank, "?" for an unknown type, "seq<f32[...]>", "opt<...>", "map<i64,f32[]>".
func (t Type) String() string {
	if t.Kind != KindTensor {
		e := Type{}
		if t.Elem != nil {
			e = *t.Elem
		}
		if t.Kind == KindMap {
			return "map<" + t.DType.String() + "," + e.String() + ">"
		}
		return kindNames[t.Kind] + "<" + e.String() + ">"
	}
	d := t.DType.String()
	if t.DType == tensor.Invalid {
		d = "?"
	}
	switch {
	case t.Ranked:
		return d + shapeString(t.Shape)
	case t.DType == tensor.Invalid:
		return "?"
	}
	return d + "[...]"
}

// Equal reports whether t and u are the same type, dimensions as expressions.
func (t Type) Equal(u Type) bool {
	if t.Kind != u.Kind || t.DType != u.DType || t.Ranked != u.Ranked || (t.Elem == nil) != (u.Elem == nil) {
		return false
	}
	if t.Elem != nil && !t.Elem.Equal(*u.Elem) {
		return false
	}
	return equalShape(t.Shape, u.Shape)
}

func equalShape(a, b []Dim) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !a[i].Equal(b[i]) {
			return false
		}
	}
	return true
}
