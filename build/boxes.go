package build

import (
	"fmt"

	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// boxType is how a value that lives in a box appears in the API of a Go package: its Go type, and the
// expressions for functions that turn it into the engine's values and back (template boxes.go).
type boxType struct{ Go, In, Out string }

// boxTypeOf translates a type: tensors are Tensor[T], sequences slices, optionals pointers (slices and maps
// themselves, nil for nothing), maps Go maps; in them, scalars are elements.
func boxTypeOf(io *plan.IO) (boxType, error) {
	t := &plan.Type{DType: io.DType, Rank: len(io.Shape)}
	if io.Type != "" {
		t = plan.ParseType(io.Type)
	}
	b, ok := goBox(t)
	if !ok {
		return b, fmt.Errorf("%q has type %s, which a Go package cannot take; use -emit=exe", io.Name, io.TypeString())
	}
	return b, nil
}

func goBox(t *plan.Type) (b boxType, ok bool) {
	if t == nil {
		return b, false
	}
	if t.Kind == "" {
		elem := goTypes[t.DType]
		if t.DType == tensor.String {
			return boxType{"Tensor[string]", "stringsIn", "stringsOut"}, true
		}
		arg := fmt.Sprintf("[%s](tensor.DType(%d))", elem, t.DType)
		return boxType{"Tensor[" + elem + "]", "tensorIn" + arg, "tensorOut" + arg}, elem != ""
	}
	e, ok := goBox(t.Elem)
	if !ok {
		return b, false
	}
	wrap := func(typ, f string) boxType { return boxType{typ, f + "In(" + e.In + ")", f + "Out(" + e.Out + ")"} }
	switch {
	case t.Kind == "seq":
		return wrap("[]"+e.Go, "seq"), true
	case t.Kind == "opt" && t.Elem.Kind == "seq":
		return wrap(e.Go, "optSeq"), true
	case t.Kind == "opt" && t.Elem.Kind == "":
		return wrap("*"+e.Go, "opt"), true
	case t.Kind == "map" && t.Elem.Kind == "":
		key, f := "int64", "map"
		if t.DType == tensor.String {
			key = "string"
		} else if t.DType != tensor.I64 {
			return b, false
		}
		if t.Elem.Rank == 0 && t.Elem.DType != tensor.String {
			elem := goTypes[t.Elem.DType]
			e = boxType{elem, "scalarIn(" + e.In + ")", "scalarOut(" + e.Out + ")"}
		}
		b = wrap("map["+key+"]"+e.Go, f)
		b.In = fmt.Sprintf("mapIn[%s](%s)", key, e.In)
		b.Out = fmt.Sprintf("mapOut[%s](%s)", key, e.Out)
		return b, true
	}
	return b, false
}
