package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// gen builds a graph forwards. pool holds the value of every tensor so far: a node is kept if the importer and the
// shape rules accept it and the evaluator computes it, so that no shape rule is written down here again.
type gen struct {
	*rand.Rand
	g       graph
	pool    []*input
	special bool // NaN, infinities and zeros among random floats
	dynamic bool // symbols among the dimensions of inputs
	common  bool // the types that the peer has most kernels for, where an operator takes one of them
	names   int
	refused map[string]int // operators that were refused, for the report
}

// maxElements bounds the tensors of a graph.
const maxElements = 3000

// sizes are the dimensions of new inputs: empty, single, and those around vector lengths.
var sizes = []int64{0, 1, 1, 2, 2, 3, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33}

// generate makes a graph of 3 to 15 nodes.
func generate(seed uint64) *gen {
	r := &gen{Rand: rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)), refused: map[string]int{}}
	r.special, r.dynamic = r.IntN(6) == 0, r.IntN(2) == 0
	r.common = r.IntN(3) > 0
	want := 3 + r.IntN(13)
	for tries := 0; len(r.g.nodes) < want && tries < 20*want; tries++ {
		s := &specs[r.IntN(len(specs))]
		inputs, pool := len(r.g.inputs), len(r.pool)
		if !r.try(s) {
			r.g.inputs, r.pool = r.g.inputs[:inputs], r.pool[:pool]
			r.refused[s.op]++
		}
	}
	r.chooseOutputs()
	return r
}

// try appends a node and evaluates it.
func (r *gen) try(s *spec) bool {
	n := s.make(r, s)
	if n == nil {
		return false
	}
	results := max(1, s.results)
	if n.results > 0 {
		results = n.results
	}
	var out []string
	for range results {
		r.names++
		out = append(out, fmt.Sprintf("v%d", r.names))
	}
	next := r.g
	next.nodes = append(slices.Clone(r.g.nodes), newNode(s.op, n.in, out, n.attrs))
	next.outputs = out
	vals, err := evaluate(&next, nil)
	if err != nil {
		return false
	}
	for _, v := range vals {
		if v.Len() > maxElements {
			return false
		}
	}
	r.g.nodes = next.nodes
	if (s.op == "Loop" || s.op == "Scan") && vals[results-1].Shape[0] == 0 {
		vals = vals[:results-1] // of no iterations; what shape it has is not for others to rely on
	}
	for i, v := range vals {
		r.pool = append(r.pool, &input{name: out[i], t: v})
	}
	return true
}

// chooseOutputs makes outputs of what no node uses, and of some of the rest.
func (r *gen) chooseOutputs() {
	used := map[string]bool{}
	for _, n := range r.g.nodes {
		for _, i := range reads(n) {
			used[i] = true
		}
	}
	r.g.outputs = nil
	for _, n := range r.g.nodes {
		for _, o := range n.Output {
			if !used[o] || r.IntN(5) == 0 {
				r.g.outputs = append(r.g.outputs, o)
			}
		}
	}
	// Inputs of nodes that were refused are nobody's.
	r.g.inputs = slices.DeleteFunc(r.g.inputs, func(i *input) bool { return !used[i.name] })
}

// typeSets are names for sets of element types.
var typeSets = map[string][]tensor.DType{
	"float": {tensor.F32, tensor.F32, tensor.F32, tensor.F64, tensor.F16, tensor.BF16},
	"int":   {tensor.I64, tensor.I32, tensor.I8, tensor.U8, tensor.I16, tensor.U16, tensor.U32, tensor.U64},
	"index": {tensor.I64, tensor.I32},
	"byte":  {tensor.U8, tensor.I8},
	"bool":  {tensor.Bool},
}

func init() {
	typeSets["num"] = append(slices.Clone(typeSets["float"]), typeSets["int"]...)
	typeSets["all"] = append(slices.Clone(typeSets["num"]), tensor.Bool)
	for d := tensor.F32; d <= tensor.BF16; d++ {
		typeSets[d.String()] = []tensor.DType{d}
	}
}

// types lists the element types of a set: names separated by spaces.
func types(set string) (ds []tensor.DType) {
	for _, s := range strings.Fields(set) {
		if typeSets[s] == nil {
			panic("no types " + s)
		}
		ds = append(ds, typeSets[s]...)
	}
	return ds
}

// commonTypes are what gen.common allows.
var commonTypes = []tensor.DType{tensor.F32, tensor.I32, tensor.I64, tensor.U8, tensor.I8, tensor.Bool}

// types lists the element types of a set that the graph may have.
func (r *gen) types(set string) []tensor.DType {
	ds := types(set)
	if !r.common {
		return ds
	}
	some := slices.DeleteFunc(slices.Clone(ds), func(d tensor.DType) bool { return !slices.Contains(commonTypes, d) })
	if len(some) > 0 {
		return some
	}
	return ds
}

// pick gives a value of one of the types that ok accepts: often one that is there, else a new input.
func (r *gen) pick(set string, ok func(shape []int64) bool) *input {
	ds := r.types(set)
	var fit []*input
	for _, v := range r.pool {
		if slices.Contains(ds, v.t.DType) && (ok == nil || ok(v.t.Shape)) {
			fit = append(fit, v)
		}
	}
	if len(fit) > 0 && r.IntN(6) > 0 {
		// Later values more often: chains are what fusion works on.
		return fit[len(fit)-1-min(r.IntN(len(fit)), r.IntN(len(fit)))]
	}
	d := ds[r.IntN(len(ds))]
	for range 50 {
		shape := r.shape(r.IntN(5))
		if ok == nil || ok(shape) {
			return r.input(d, shape...)
		}
	}
	return nil
}

func (r *gen) shape(rank int) []int64 {
	for {
		s := make([]int64, rank)
		for i := range s {
			s[i] = sizes[r.IntN(len(sizes))]
		}
		if tensor.NumElements(s) <= maxElements/4 {
			return s
		}
	}
}

// input makes a new input with random elements.
func (r *gen) input(d tensor.DType, shape ...int64) *input {
	t := tensor.New(d, shape...)
	r.fill(t)
	return r.add(t, r.IntN(4) == 0)
}

// finite is input without NaN and infinities: for operands whose algebra compilers may change, as that of scales and weights,
// which meet zeros of padding.
func (r *gen) finite(d tensor.DType, shape ...int64) *input {
	special := r.special
	r.special = false
	in := r.input(d, shape...)
	r.special = special
	return in
}

// konst makes a constant of given elements; now and then it is an input all the same.
func (r *gen) konst(t *tensor.Tensor) *input { return r.add(t, r.IntN(12) > 0) }

// ints makes a constant list of i64.
func (r *gen) ints(v ...int64) *input { return r.konst(tensor.Of(v, int64(len(v)))) }

func (r *gen) add(t *tensor.Tensor, konst bool) *input {
	r.names++
	in := &input{name: fmt.Sprintf("x%d", r.names), t: t, konst: konst, dims: make([]string, len(t.Shape))}
	for i, n := range t.Shape {
		if r.dynamic && !konst && n > 1 && r.IntN(2) == 0 {
			in.dims[i] = fmt.Sprintf("D%d", n)
		}
	}
	r.g.inputs = append(r.g.inputs, in)
	r.pool = append(r.pool, in)
	return in
}

var specialFloats = []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 0, 1, -1}

// fill makes random elements: floats and signed integers around 0, unsigned ones from 0 on, now and then extremes.
func (r *gen) fill(t *tensor.Tensor) {
	extreme := r.IntN(8) == 0
	for i := range t.Len() {
		switch t.DType.Class() {
		case tensor.ClassFloat:
			v := r.Float64()*4 - 2
			if r.special && r.IntN(4) == 0 {
				v = specialFloats[r.IntN(len(specialFloats))]
			}
			setFloat(t, i, v)
		case tensor.ClassBool:
			t.Data[i] = byte(r.IntN(2))
		default:
			v := int64(r.IntN(17) - 8)
			if t.DType.Class() == tensor.ClassUint {
				v = int64(r.IntN(17))
			}
			if extreme && r.IntN(3) == 0 {
				v = int64(r.Uint64())
			}
			setInt(t, i, v)
		}
	}
}

func setFloat(t *tensor.Tensor, i int64, v float64) {
	switch t.DType {
	case tensor.F32:
		tensor.View[float32](t)[i] = float32(v)
	case tensor.F64:
		tensor.View[float64](t)[i] = v
	case tensor.F16:
		tensor.BytesAs[uint16](t.Data)[i] = tensor.F32ToF16(float32(v))
	case tensor.BF16:
		tensor.BytesAs[uint16](t.Data)[i] = tensor.F32ToBF16(float32(v))
	}
}

// setInt stores the low bytes of v.
func setInt(t *tensor.Tensor, i int64, v int64) {
	n := int64(t.DType.Size())
	for k := range n {
		t.Data[i*n+k] = byte(v >> (8 * k))
	}
}

// axis picks an axis of a rank, as a negative number half of the time; extra allows that many beyond.
func (r *gen) axis(rank int) int {
	a := r.IntN(rank)
	if r.IntN(2) == 0 {
		a -= rank
	}
	return a
}

// axes picks some distinct axes.
func (r *gen) axes(rank int) []int64 {
	var a []int64
	for i := range rank {
		if r.IntN(2) == 0 {
			a = append(a, int64(i))
		}
	}
	r.Shuffle(len(a), func(i, j int) { a[i], a[j] = a[j], a[i] })
	for i := range a {
		if r.IntN(2) == 0 {
			a[i] -= int64(rank)
		}
	}
	return a
}

func (r *gen) chance(n int) bool { return r.IntN(n) == 0 }

// oneOf picks a word.
func (r *gen) oneOf(words string) string {
	f := strings.Fields(words)
	return f[r.IntN(len(f))]
}

func minRank(n int) func([]int64) bool { return func(s []int64) bool { return len(s) >= n } }

func rankIs(n int) func([]int64) bool { return func(s []int64) bool { return len(s) == n } }
