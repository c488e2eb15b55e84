package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/bits"
	"strings"

	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/runtime/tensorio"
)

// required reports whether an input has to be given.
func required(io *plan.IO) bool { return io.Default < 0 && !io.Optional }

// inputs reads or invents the inputs.
func (a *app) inputs() ([]hostop.Value, error) {
	paths, err := a.assign()
	if err != nil {
		return nil, err
	}
	values := make([]hostop.Value, len(paths))
	for i, path := range paths {
		io := &a.Plan.Inputs[i]
		switch {
		case path != "":
			if values[i], err = a.read(io, path); err != nil {
				return nil, err
			}
		case a.random != nil && required(io):
			if values[i], err = a.invent(i); err != nil {
				return nil, err
			}
		case required(io):
			return nil, usagef("no file for input %q, %s; give -input %s=FILE, or -random SEED", io.Name, io.TypeString(), io.Name)
		}
	}
	return values, nil
}

// assign gives the file of each input, "" for none: named ones first, the others in the model's order.
func (a *app) assign() ([]string, error) {
	paths := make([]string, len(a.Plan.Inputs))
	var unnamed []string
	for _, s := range a.files {
		if s == "" {
			return nil, usagef("the name of an input file is empty")
		}
		i := a.named(s)
		if i < 0 {
			unnamed = append(unnamed, s)
			continue
		}
		if paths[i] != "" {
			return nil, usagef("two files for input %q", a.Plan.Inputs[i].Name)
		}
		paths[i] = s[len(a.Plan.Inputs[i].Name)+1:]
	}
	for i := range paths {
		if paths[i] == "" && len(unnamed) > 0 {
			paths[i], unnamed = unnamed[0], unnamed[1:]
		}
	}
	if len(unnamed) > 0 {
		return nil, usagef("no input left for %q: the model has %d\n%s", unnamed[0], len(paths), strings.TrimRight(a.types(a.Plan.Inputs), "\n"))
	}
	return paths, nil
}

// named is the input that "NAME=FILE" names, -1 for none.
func (a *app) named(s string) int {
	for i := range a.Plan.Inputs {
		if strings.HasPrefix(s, a.Plan.Inputs[i].Name+"=") && len(s) > len(a.Plan.Inputs[i].Name)+1 {
			return i
		}
	}
	return -1
}

// innermost is the element type of the tensors in a container: f64 of "map<string,f64[2,3]>".
func innermost(typ string) tensor.DType {
	typ, _, _ = strings.Cut(typ, "[")
	d, _ := tensor.ParseDType(typ[strings.LastIndexAny(typ, "<,")+1:])
	return d
}

func (a *app) read(io *plan.IO, path string) (hostop.Value, error) {
	want := tensorio.Want{DType: io.DType, Name: io.Name, Shape: []int64{}}
	if io.Type != "" {
		want.DType = innermost(io.Type)
	}
	switch {
	case strings.HasPrefix(io.Type, "seq"):
		want.Kind = tensorio.KindSeq
	case strings.HasPrefix(io.Type, "opt"):
		want.Kind = tensorio.KindOptional
	case strings.HasPrefix(io.Type, "map"):
		want.Kind = tensorio.KindMap
	}
	for j, s := range io.Shape {
		n, ok := a.dims[io.Dims[j]]
		if !ok {
			n = -1
		}
		if d := a.Plan.Slots[s]; d.Op == plan.SlotConst {
			n = d.Imm
		}
		want.Shape = append(want.Shape, n)
	}
	v, err := tensorio.ReadFile(path, want)
	if err == nil {
		return v, nil
	}
	if name, _, ok := strings.Cut(path, "="); ok && errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("input %q: %w (there is no input %q either)", io.Name, err, name)
	}
	return nil, fmt.Errorf("input %q: %w", io.Name, err)
}

// slot computes a size from the -dim flags; a dimension without one is 1.
func (a *app) slot(s plan.Slot) int64 {
	d := a.Plan.Slots[s]
	switch d.Op {
	case plan.SlotConst:
		return d.Imm
	case plan.SlotInput:
		if n, ok := a.dims[a.Plan.Inputs[d.A].Dims[d.B]]; ok {
			return n
		}
		return 1
	case plan.SlotBound:
		return 1
	}
	x, y := a.slot(d.A), a.slot(d.B)
	switch d.Op {
	case plan.SlotAdd:
		return x + y
	case plan.SlotMul:
		return x * y
	case plan.SlotMax:
		return max(x, y)
	case plan.SlotMin:
		return min(x, y)
	}
	if y == 0 {
		return 0
	}
	q, r := x/y, x%y
	if r != 0 && (r < 0) != (y < 0) {
		q, r = q-1, r+y
	}
	if d.Op == plan.SlotDiv {
		return q
	}
	return r
}

// invent fills input i: floats from [-1,1), integers and booleans 0 or 1 (which are good as indices
// too), empty strings. Each input has its own stream of numbers.
func (a *app) invent(i int) (hostop.Value, error) {
	io := &a.Plan.Inputs[i]
	r := source(uint64(*a.random) + uint64(i)*0x9e3779b97f4a7c15)
	if io.Type != "" {
		if v, ok := r.value(plan.ParseType(io.Type), a.dims); ok {
			return v, nil
		}
		return nil, usagef("input %q: no random values of type %s; give -input %s=FILE", io.Name, io.Type, io.Name)
	}
	shape := make([]int64, len(io.Shape))
	n := uint64(1)
	for j, s := range io.Shape {
		if shape[j] = a.slot(s); shape[j] < 0 {
			return nil, usagef("input %q: dimension %s is %d with these -dim flags", io.Name, io.Dims[j], shape[j])
		}
		hi, lo := bits.Mul64(n, uint64(shape[j]))
		if n = lo; hi != 0 || n > math.MaxInt64/16 {
			return nil, usagef("input %q: %s is too large", io.Name, tensor.ShapeString(shape))
		}
	}
	if limit := a.maxMemory; limit > 0 && io.DType.Bytes(int64(n)) > limit {
		return nil, usagef("input %q: %s needs more than -max-memory", io.Name, tensor.ShapeString(shape))
	}
	t := tensor.New(io.DType, shape...)
	r.fill(t)
	return t, nil
}

// invented is how many elements a sequence has, and a dimension of an element that nothing else tells.
const invented = 3

// value makes a value for a box: sequences of a few tensors, maps of a few keys. dims are sizes by name.
func (s *source) value(t *plan.Type, dims map[string]int64) (hostop.Value, bool) {
	if t == nil {
		return nil, false
	}
	switch t.Kind {
	case "opt":
		return s.value(t.Elem, dims)
	case "":
		shape := make([]int64, max(t.Rank, 0))
		for i := range shape {
			shape[i] = invented
			if n, ok := t.Static(i); ok {
				shape[i] = n
			} else if n, ok := dims[t.Dims[i]]; ok {
				shape[i] = n
			}
		}
		x := tensor.New(t.DType, shape...)
		s.fill(x)
		return x, true
	}
	seq := hostop.Seq{}
	for range invented {
		v, ok := s.value(t.Elem, dims)
		if !ok {
			return nil, false
		}
		seq = append(seq, v)
	}
	switch {
	case t.Kind == "seq":
		return seq, true
	case t.DType == tensor.String:
		return &hostop.Map{Keys: tensor.OfStrings([]string{"a", "b", "c"}, invented), Values: seq}, true
	case t.DType == tensor.I64:
		return &hostop.Map{Keys: tensor.Of([]int64{0, 1, 2}, invented), Values: seq}, true
	}
	return nil, false
}

// source is the SplitMix64 generator.
type source uint64

func (s *source) next() uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// float is in [-1,1) and exact as a float32.
func (s *source) float() float64 { return float64(s.next()>>40)/(1<<23) - 1 }

func (s *source) fill(t *tensor.Tensor) {
	switch t.DType {
	case tensor.F32, tensor.C64:
		fill(t, func() float32 { return float32(s.float()) })
	case tensor.F64, tensor.C128:
		fill(t, s.float)
	case tensor.F16:
		fill(t, func() uint16 { return tensor.F32ToF16(float32(s.float())) })
	case tensor.BF16:
		fill(t, func() uint16 { return tensor.F32ToBF16(float32(s.float())) })
	case tensor.U16, tensor.I16:
		fill(t, func() uint16 { return uint16(s.next() >> 63) })
	case tensor.U32, tensor.I32:
		fill(t, func() uint32 { return uint32(s.next() >> 63) })
	case tensor.U64, tensor.I64:
		fill(t, func() uint64 { return s.next() >> 63 })
	case tensor.String:
	default: // also one of two elements of 4 bits, and small numbers of 8-bit floats
		fill(t, func() uint8 { return uint8(s.next() >> 63) })
	}
}

func fill[T tensor.Native](t *tensor.Tensor, next func() T) {
	v := tensor.BytesAs[T](t.Data)
	for i := range v {
		v[i] = next()
	}
}
