package plan

import (
	"strconv"
	"strings"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// Type is the type of a value in a box, as IO.Type says it in text: "seq<f32[N,3]>", "f32[...]".
type Type struct {
	Kind  string       // "seq", "opt", "map"; "" for a tensor
	DType tensor.DType // of a tensor, or of a map's keys
	Rank  int          // of a tensor, -1 where any will do
	Dims  []string     // of a tensor, Rank of them: numbers, or expressions that each value may have its own size for
	Elem  *Type        // of a container; nil where anything goes
}

// ParseType reads a type's text. It gives nil for what it does not understand.
func ParseType(s string) *Type {
	if kind, rest, ok := strings.Cut(s, "<"); ok && strings.HasSuffix(rest, ">") {
		t := &Type{Kind: kind}
		rest = rest[:len(rest)-1]
		if kind == "map" {
			var key string
			key, rest, _ = strings.Cut(rest, ",")
			t.DType, _ = tensor.ParseDType(key)
		}
		t.Elem = ParseType(rest)
		return t
	}
	name, dims, ok := strings.Cut(s, "[")
	d, known := tensor.ParseDType(name)
	if !ok || !known {
		return nil
	}
	t := &Type{DType: d, Rank: -1}
	switch {
	case dims == "]":
		t.Rank = 0
	case dims != "...]":
		t.Dims = splitDims(strings.TrimSuffix(dims, "]"))
		t.Rank = len(t.Dims)
	}
	return t
}

// splitDims cuts the text of a shape at its commas outside of parentheses.
func splitDims(s string) (dims []string) {
	depth, from := 0, 0
	for i, c := range s {
		switch {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth == 0:
			dims, from = append(dims, s[from:i]), i+1
		}
	}
	return append(dims, s[from:])
}

// Static gives dimension i where it is a number.
func (t *Type) Static(i int) (int64, bool) {
	n, err := strconv.ParseInt(t.Dims[i], 10, 64)
	return n, err == nil
}
