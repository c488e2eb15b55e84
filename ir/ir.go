// Package ir is nnc's tensor-level intermediate representation: SSA whose values are tensors.
//
// A Module holds one Region, the graph. A Region has parameters, a list of Ops in an order in which
// every value is defined before it is used, and results. An Op applies one row of the op table
// (ops.go) to operands and may hold regions of its own (If, Loop, Scan, Fused); a region sees the
// values of the regions around it. The op names, operand order and attribute names are those of the
// newest ONNX opset; the importer rewrites older versions into them, so that every later level knows
// one form of each op. Ops that ONNX does not have are nnc's own and named so in the table.
package ir

import (
	"fmt"
	"slices"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// Kind tells tensors from ONNX's container types.
type Kind uint8

// The kinds of types.
const (
	KindTensor Kind = iota
	KindSeq
	KindOptional
	KindMap
)

// Type is the type of a value. Shape is meaningful when Ranked; Elem is the element of a sequence,
// optional or map (whose key is DType).
type Type struct {
	Kind   Kind
	DType  tensor.DType
	Ranked bool
	Shape  []Dim
	Elem   *Type
}

// TensorType is the type of a tensor of known rank.
func TensorType(d tensor.DType, shape ...Dim) Type {
	return Type{DType: d, Ranked: true, Shape: shape}
}

// Rank is the number of dimensions; -1 when unknown.
func (t Type) Rank() int {
	if !t.Ranked {
		return -1
	}
	return len(t.Shape)
}

// Value is an SSA value: a result of an op or a parameter of a region.
type Value struct {
	ID    int
	Name  string // the ONNX value it came from; need not be unique after passes
	Type  Type
	Def   *Op // nil for a parameter
	Index int // which result or parameter
}

// Origin says where an op came from, for errors, dumps and symbol names.
type Origin struct {
	Node   string // node name, or its first output where it has none
	Op     string // ONNX op type
	Domain string
	Opset  int
}

// String is "Conv 'conv1' (ai.onnx 13)".
func (o Origin) String() string {
	d := o.Domain
	if d == "" {
		d = "ai.onnx"
	}
	return fmt.Sprintf("%s %q (%s %d)", o.Op, o.Node, d, o.Opset)
}

// Op applies a row of the op table. A nil operand is an absent optional input; a nil result an unused
// optional output.
type Op struct {
	Info     *OpInfo
	Operands []*Value
	Results  []*Value
	Attrs    Attrs
	Regions  []*Region
	Origin   Origin

	relations []Relation
}

// Name is the op's name in the table.
func (op *Op) Name() string { return op.Info.Name }

// Operand is operand i, nil where it is absent or beyond those given.
func (op *Op) Operand(i int) *Value {
	if i >= 0 && i < len(op.Operands) {
		return op.Operands[i]
	}
	return nil
}

// Result is result i, nil where it is absent.
func (op *Op) Result(i int) *Value {
	if i < len(op.Results) {
		return op.Results[i]
	}
	return nil
}

// Errorf makes an error that names the op and its node.
func (op *Op) Errorf(format string, args ...any) error {
	if op.Origin.Op == "" {
		return fmt.Errorf("%s: %w", op.Info.Name, fmt.Errorf(format, args...))
	}
	return fmt.Errorf("%v: %w", op.Origin, fmt.Errorf(format, args...))
}

// Region is a list of ops with parameters and results.
type Region struct {
	Params  []*Value
	Ops     []*Op
	Results []*Value
}

// Module is a whole model.
type Module struct {
	Name  string
	Graph *Region
	// Inputs and Outputs are the external names of Graph.Params and Graph.Results.
	Inputs, Outputs []string
	// Defaults gives the value of an input that a caller may leave out (an ONNX initialiser that is also an input).
	Defaults map[string]*Data
	// Meta is free text about the model: producer, doc string, metadata_props.
	Meta map[string]string

	nextID int
}

// NewModule makes an empty module.
func NewModule(name string) *Module {
	return &Module{Name: name, Graph: &Region{}, Defaults: map[string]*Data{}, Meta: map[string]string{}}
}

// NewValue makes a value that nothing defines yet.
func (m *Module) NewValue(name string, t Type) *Value {
	m.nextID++
	return &Value{ID: m.nextID, Name: name, Type: t}
}

// NewSym makes a symbol that no other dimension of m mentions.
func (m *Module) NewSym() Dim {
	m.nextID++
	return Sym(fmt.Sprintf("u%d", m.nextID))
}

// AddParam appends a parameter to r.
func (r *Region) AddParam(v *Value) *Value {
	v.Def, v.Index = nil, len(r.Params)
	r.Params = append(r.Params, v)
	return v
}

// NewOp makes an op with nres results of unknown type; Infer types them. It does not insert the op.
func (m *Module) NewOp(name string, operands []*Value, nres int, attrs Attrs, origin Origin) *Op {
	info := OpByName(name)
	if info == nil {
		panic("ir: no op " + name)
	}
	op := &Op{Info: info, Operands: operands, Attrs: attrs, Origin: origin}
	for i := range nres {
		v := m.NewValue("", Type{})
		v.Def, v.Index = op, i
		op.Results = append(op.Results, v)
	}
	return op
}

// NewConst makes a Const op that holds d.
func (m *Module) NewConst(name string, d *Data) *Op {
	op := m.NewOp("Const", nil, 1, Attrs{"value": d}, Origin{})
	op.Results[0].Name = name
	op.Results[0].Type = d.Type()
	return op
}

// ConstOf gives the data of a value that a Const op defines, nil for any other.
func ConstOf(v *Value) *Data {
	if v == nil || v.Def == nil || v.Def.Info.Name != "Const" {
		return nil
	}
	d, _ := v.Def.Attrs["value"].(*Data)
	return d
}

// Walk calls f for every op of r and of the regions in it, outer ops first.
func (r *Region) Walk(f func(*Op)) {
	for _, op := range r.Ops {
		f(op)
		for _, s := range op.Regions {
			s.Walk(f)
		}
	}
}

// Uses counts for every value of r and its nested regions how often it is used, region results included.
func (r *Region) Uses() map[*Value]int {
	u := map[*Value]int{}
	r.addUses(u)
	return u
}

func (r *Region) addUses(u map[*Value]int) {
	for _, op := range r.Ops {
		for _, v := range op.Operands {
			if v != nil {
				u[v]++
			}
		}
		for _, s := range op.Regions {
			s.addUses(u)
		}
	}
	for _, v := range r.Results {
		u[v]++
	}
}

// ReplaceUses makes every use in r and its nested regions of a key of m a use of its value; chains are followed.
func (r *Region) ReplaceUses(m map[*Value]*Value) {
	if len(m) == 0 {
		return
	}
	rep := func(vs []*Value) {
		for i, v := range vs {
			for w, ok := m[v]; ok && v != nil; w, ok = m[v] {
				v = w
			}
			vs[i] = v
		}
	}
	for _, op := range r.Ops {
		rep(op.Operands)
		for _, s := range op.Regions {
			s.ReplaceUses(m)
		}
	}
	rep(r.Results)
}

// Attrs are an op's attributes by ONNX name: int64, float64, string, []int64, []float64, []string,
// tensor.DType or *Data. Importers leave out attributes that have their default value.
type Attrs = tensor.Attrs

// Data is constant tensor data. Bytes are fetched when needed, so that a constant can stay in the
// mapped model file: Load returns a slice that must not be written to.
type Data struct {
	DType tensor.DType
	Shape []int64
	Name  string // in the text form; "" for data that is printed in place
	Load  func() ([]byte, error)
	Strs  []string // when DType is String

	hash string // of the contents, once it was asked for; guarded by hashMu
}

// DataOf wraps a tensor.
func DataOf(t *tensor.Tensor) *Data {
	return &Data{DType: t.DType, Shape: slices.Clone(t.Shape), Strs: t.Strings, Load: func() ([]byte, error) { return t.Data, nil }}
}

// Type is the tensor type of d.
func (d *Data) Type() Type { return TensorType(d.DType, Dims(d.Shape...)...) }

// Len is the number of elements.
func (d *Data) Len() int64 { return tensor.NumElements(d.Shape) }

// Tensor loads d. The result shares memory with the model and must not be written to. It is an error
// when there are not as many elements as the shape says.
func (d *Data) Tensor() (*tensor.Tensor, error) {
	t := &tensor.Tensor{DType: d.DType, Shape: append([]int64{}, d.Shape...), Strings: d.Strs}
	for _, n := range d.Shape {
		if n < 0 {
			return nil, fmt.Errorf("data %q: negative dimension in shape %v", d.Name, d.Shape)
		}
	}
	if d.DType == tensor.String {
		if int64(len(d.Strs)) != d.Len() {
			return nil, fmt.Errorf("data %q: %d strings, want %d for shape %v", d.Name, len(d.Strs), d.Len(), d.Shape)
		}
		return t, nil
	}
	if d.Load == nil {
		return nil, fmt.Errorf("data %q of type %v%v has no contents", d.Name, d.DType, d.Shape)
	}
	b, err := d.Load()
	if err != nil {
		return nil, err
	}
	if want := d.DType.Bytes(d.Len()); int64(len(b)) != want {
		return nil, fmt.Errorf("data %q: %d bytes, want %d for %v", d.Name, len(b), want, t.TypeString())
	}
	t.Data = b
	return t, nil
}

// Int64s gives the elements of an integer constant; false for other types or when loading fails.
func (d *Data) Int64s() ([]int64, bool) {
	if d == nil || d.DType != tensor.I64 && d.DType != tensor.I32 {
		return nil, false
	}
	t, err := d.Tensor()
	if err != nil {
		return nil, false
	}
	if d.DType == tensor.I64 {
		return slices.Clone(alignedView[int64](t)), true
	}
	out := make([]int64, d.Len())
	for i, x := range alignedView[int32](t) {
		out[i] = int64(x)
	}
	return out, true
}

// alignedView views t, copying first where the mapped file does not align it.
func alignedView[T tensor.Native](t *tensor.Tensor) []T {
	b := tensor.AlignedBytes(int64(len(t.Data)))
	copy(b, t.Data)
	return tensor.BytesAs[T](b)
}
