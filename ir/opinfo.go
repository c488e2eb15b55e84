package ir

import "github.com/nnc-go/nnc/runtime/tensor"

// Trait is a set of facts about an op that passes rely on.
type Trait uint32

// The traits.
const (
	// Elementwise: result element i depends on element i of each (broadcast) operand alone.
	Elementwise Trait = 1 << iota
	// Commutative: the first two operands may be swapped.
	Commutative
	// Impure: not a function of its operands (random ops); never merged, folded or moved.
	Impure
	// View: the result has the operand's bytes in the same order (Reshape, Squeeze, ...).
	View
	// OwnOp: nnc's own, not in ONNX.
	OwnOp
)

// AttrKind is the Go type that an attribute has in Attrs.
type AttrKind uint8

// The attribute kinds.
const (
	AttrInt    AttrKind = iota // int64
	AttrFloat                  // float64
	AttrString                 // string
	AttrInts                   // []int64
	AttrFloats                 // []float64
	AttrStrs                   // []string
	AttrDType                  // tensor.DType
	AttrData                   // *Data
)

// OpInfo is a row of the op table.
type OpInfo struct {
	Name string
	// Doc is one line: what the op computes.
	Doc string
	// Operands are the operand names in order. A suffix "?" marks an optional one, "*" a variadic last one.
	Operands []string
	// Results are the result names in order, with the same suffixes.
	Results []string
	// Attrs lists the attributes that the op knows.
	Attrs map[string]AttrKind
	// Regions is the number of regions (If 2, Loop and Scan 1, Fused 1).
	Regions int
	Traits  Trait
	// Infer types op.Results from the operand types and attributes, or says what is wrong. Optional.
	Infer func(c *InferCtx, op *Op) error
}

// Has reports whether the op has all traits of t.
func (o *OpInfo) Has(t Trait) bool { return o.Traits&t == t }

// InferCtx is what shape rules work with: fresh symbols, and what is known of the contents of small
// integer tensors, so that Shape -> Gather -> Concat -> Reshape keeps symbolic dimensions.
type InferCtx struct {
	M *Module
	// elems holds the symbolic contents of integer tensors of rank 0 or 1, in order.
	elems    map[*Value][]Dim
	warnings []string
}

// MaxElems bounds the integer tensors whose contents are tracked.
const MaxElems = 256

// NewInferCtx makes a context for m in which nothing is known.
func NewInferCtx(m *Module) *InferCtx { return &InferCtx{M: m, elems: map[*Value][]Dim{}} }

// Elems gives the contents of an integer tensor of rank 0 or 1, from a constant or from a rule.
func (c *InferCtx) Elems(v *Value) ([]Dim, bool) {
	if v == nil {
		return nil, false
	}
	if e, ok := c.elems[v]; ok {
		return e, true
	}
	if t := v.Type; t.Ranked && len(t.Shape) == 1 && t.Shape[0].Is(0) && t.DType.IsInt() {
		return nil, true
	}
	d := ConstOf(v)
	if d == nil || len(d.Shape) > 1 || d.Len() > MaxElems {
		return nil, false
	}
	n, ok := d.Int64s()
	if !ok {
		return nil, false
	}
	e := Dims(n...)
	c.elems[v] = e
	return e, true
}

// Ints gives the contents of an integer tensor that are all constant.
func (c *InferCtx) Ints(v *Value) ([]int64, bool) {
	e, ok := c.Elems(v)
	if !ok {
		return nil, false
	}
	return StaticShape(e)
}

// SetElems records the contents of v.
func (c *InferCtx) SetElems(v *Value, e []Dim) {
	if v != nil && len(e) <= MaxElems {
		c.elems[v] = e
	}
}

// Fresh makes a dimension that is known only at run time.
func (c *InferCtx) Fresh() Dim { return c.M.NewSym() }

// FreshShape makes n of them.
func (c *InferCtx) FreshShape(n int) []Dim {
	s := make([]Dim, n)
	for i := range s {
		s[i] = c.Fresh()
	}
	return s
}

// Set types result i, if it is wanted.
func (c *InferCtx) Set(op *Op, i int, d tensor.DType, shape []Dim) {
	if v := op.Result(i); v != nil {
		v.Type = TensorType(d, shape...)
	}
}

// OpByName finds a row of the op table, nil when there is none.
func OpByName(name string) *OpInfo { return opIndex[name] }
