package llvm

import (
	"fmt"
	"math"
	"strings"

	"github.com/llir/llvm/ir/types"
	"github.com/llir/llvm/ir/value"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// ptr is LLVM's opaque pointer, which llir does not know.
type opaque struct{}

var ptr types.Type = opaque{}

func (opaque) String() string          { return "ptr" }
func (opaque) LLString() string        { return "ptr" }
func (opaque) Equal(u types.Type) bool { _, ok := u.(opaque); return ok }
func (opaque) Name() string            { return "" }
func (opaque) SetName(string)          {}

// vecPtr is a vector of n pointers.
type vecPtr int

func (v vecPtr) String() string          { return fmt.Sprintf("<%d x ptr>", int(v)) }
func (v vecPtr) LLString() string        { return v.String() }
func (v vecPtr) Equal(u types.Type) bool { return v == u }
func (vecPtr) Name() string              { return "" }
func (vecPtr) SetName(string)            {}

// bfloats is bfloat or a vector of so many, which llir does not know.
type bfloats int

func (b bfloats) String() string {
	if b == 1 {
		return "bfloat"
	}
	return fmt.Sprintf("<%d x bfloat>", int(b))
}
func (b bfloats) LLString() string        { return b.String() }
func (b bfloats) Equal(u types.Type) bool { return b == u }
func (bfloats) Name() string              { return "" }
func (bfloats) SetName(string)            {}

// word is a constant given by its text.
type word struct {
	t    types.Type
	text string
}

func (w word) String() string   { return w.t.String() + " " + w.text }
func (w word) Type() types.Type { return w.t }
func (w word) Ident() string    { return w.text }

// elemType is the LLVM type of an element: f16 and bf16 travel as their bits.
func elemType(d tensor.DType) types.Type {
	switch d {
	case tensor.F32:
		return types.Float
	case tensor.F64:
		return types.Double
	case tensor.Bool:
		return types.I1
	}
	return types.NewInt(uint64(d.Bits()))
}

func typeOf(t loop.Type) types.Type {
	e := elemType(t.Elem)
	if t.Lanes == 1 {
		return e
	}
	return types.NewVector(uint64(t.Lanes), e)
}

// constant is a constant of type t whose elements all have the given bits.
func constant(t loop.Type, bits uint64) value.Value {
	if bits == 0 && t.Lanes > 1 {
		return word{typeOf(t), "zeroinitializer"}
	}
	s := elemText(t.Elem, bits)
	if t.Lanes == 1 {
		return word{typeOf(t), s}
	}
	return vector(t, func(int) string { return s })
}

// vector is a constant with an element per lane.
func vector(t loop.Type, elem func(i int) string) value.Value {
	e := elemType(t.Elem).String()
	parts := make([]string, t.Lanes)
	for i := range parts {
		parts[i] = e + " " + elem(i)
	}
	return word{typeOf(t), "<" + strings.Join(parts, ", ") + ">"}
}

func elemText(d tensor.DType, bits uint64) string {
	switch d {
	case tensor.F32: // LLVM writes floats as the doubles that they equal; NaNs keep their bits
		f := math.Float32frombits(uint32(bits))
		if f != f {
			return fmt.Sprintf("0x%016X", bits>>31<<63|0x7ff<<52|bits&(1<<23-1)<<29)
		}
		return fmt.Sprintf("0x%016X", math.Float64bits(float64(f)))
	case tensor.F64:
		return fmt.Sprintf("0x%016X", bits)
	case tensor.Bool:
		if bits&1 == 1 {
			return "true"
		}
		return "false"
	}
	s := 64 - d.Bits()
	return fmt.Sprint(int64(bits<<s) >> s)
}

// mangle is the suffix by which intrinsics are overloaded: "v16f32", "i64".
func mangle(t loop.Type) string {
	e := fmt.Sprintf("i%d", t.Elem.Bits())
	switch t.Elem {
	case tensor.F32, tensor.F64:
		e = fmt.Sprintf("f%d", t.Elem.Bits())
	case tensor.Bool:
		e = "i1"
	}
	if t.Lanes == 1 {
		return e
	}
	return fmt.Sprintf("v%d%s", t.Lanes, e)
}
