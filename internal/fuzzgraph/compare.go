package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/runtime/tensorio"
)

// reference is what the outputs of a graph should be, and how far each element may be from it.
type reference struct {
	out   []*tensor.Tensor
	slack [][]float64 // per output and element; +Inf where rounding decides everything
}

// noisyRuns is how often a graph is evaluated with noise, and safety how much farther than they an
// implementation may be: it may sum in another order, fuse, or use other polynomials (a few units each).
const (
	noisyRuns = 9
	safety    = 16
)

// refer evaluates a graph without and with noise.
func refer(g *graph) (*reference, error) {
	out, err := evaluate(g, nil)
	if err != nil {
		return nil, err
	}
	r := &reference{out: out}
	for _, t := range out {
		s := make([]float64, t.Len())
		for i := range s {
			if t.DType.IsFloat() {
				s[i] = 2 * ulp(t.At(int64(i)), t.DType)
			}
		}
		r.slack = append(r.slack, s)
	}
	for k := range uint64(noisyRuns) {
		// Some runs have all of the noise that the others are multiplied to: they find what integers hang on it.
		n, factor := &noise{rand.New(rand.NewPCG(k, 7)), 1}, float64(safety)
		if k%3 == 2 {
			n.units, factor = safety, 1
		}
		noisy, err := evaluate(g, n)
		for o := range r.slack {
			if err != nil || !slices.Equal(noisy[o].Shape, out[o].Shape) {
				for i := range r.slack[o] { // even the shapes hang on rounding
					r.slack[o][i] = math.Inf(1)
				}
				continue
			}
			r.widen(o, noisy[o], factor)
		}
	}
	return r, nil
}

// widen makes room for what noise did to output o, times a factor.
func (r *reference) widen(o int, noisy *tensor.Tensor, factor float64) {
	t := r.out[o]
	for i := range t.Len() {
		switch {
		case same(t, noisy, i):
		case !t.DType.IsFloat():
			r.slack[o][i] = math.Inf(1)
		default:
			d := math.Abs(t.At(i) - noisy.At(i))
			if d != d {
				d = math.Inf(1)
			}
			r.slack[o][i] = max(r.slack[o][i], factor*d)
		}
	}
}

// same reports whether element i of two tensors of one type is the same, NaN being so to NaN.
func same(a, b *tensor.Tensor, i int64) bool {
	if a.DType.IsFloat() {
		x, y := a.At(i), b.At(i)
		return x == y || x != x && y != y
	}
	n := int64(a.DType.Size())
	return string(a.Data[i*n:(i+1)*n]) == string(b.Data[i*n:(i+1)*n])
}

// check says how outputs differ from the reference, "" where they do not.
func (r *reference) check(got []*tensor.Tensor) string {
	for o, want := range r.out {
		g := got[o]
		if g.TypeString() != want.TypeString() {
			if len(r.slack[o]) > 0 && slices.Min(r.slack[o]) == math.Inf(1) {
				continue
			}
			return fmt.Sprintf("output %d is %s, want %s", o, g.TypeString(), want.TypeString())
		}
		bad, first := 0, int64(-1)
		for i := range want.Len() {
			if same(g, want, i) || math.Abs(g.At(i)-want.At(i)) <= r.slack[o][i] || math.IsInf(r.slack[o][i], 1) {
				continue
			}
			if bad++; first < 0 {
				first = i
			}
		}
		if bad > 0 {
			return fmt.Sprintf("output %d, %s: %d elements differ, the first number %d: got %s, want %s within %.3g", o, want.TypeString(), bad, first,
				tensorio.FormatElement(g, first), tensorio.FormatElement(want, first), r.slack[o][first])
		}
	}
	return ""
}

// fractions are the bits of the fraction and the least exponent of the float types.
var fractions = map[tensor.DType][2]int{tensor.F64: {52, -1074}, tensor.F32: {23, -149}, tensor.F16: {10, -24}, tensor.BF16: {7, -133}}

// ulp is the distance of neighbours at x.
func ulp(x float64, d tensor.DType) float64 {
	f, ok := fractions[d]
	if !ok || math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	if x == 0 {
		return math.Ldexp(1, f[1])
	}
	_, e := math.Frexp(x)
	return math.Ldexp(1, max(e-1-f[0], f[1]))
}
