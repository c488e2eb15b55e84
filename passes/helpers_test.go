package passes

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/internal/testcase"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/eval"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// specials are the floats on which rewrites that look exact go wrong.
var specials = []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 0, 1, -1, math.SmallestNonzeroFloat32}

// bindings gives every symbol of m's inputs a size, no two the same, so that a mix-up of dimensions shows.
func bindings(m *ir.Module) map[string]int64 {
	var syms []string
	for _, p := range m.Graph.Params {
		for _, d := range p.Type.Shape {
			syms = d.Symbols(syms)
		}
	}
	slices.Sort(syms)
	env := map[string]int64{}
	for i, s := range slices.Compact(syms) {
		env[s] = int64(2 + i)
	}
	return env
}

// randomInputs makes a tensor per input of m; special puts NaN, infinities and signed zeros among the floats.
func randomInputs(t *testing.T, m *ir.Module, seed uint64, special bool) []hostop.Value {
	rng, env := rand.New(rand.NewPCG(seed, 2)), bindings(m)
	var in []hostop.Value
	for _, p := range m.Graph.Params {
		in = append(in, randomValue(t, rng, p.Name, p.Type, env, special))
	}
	return in
}

// randomValue makes a tensor, or a sequence of three.
func randomValue(t *testing.T, rng *rand.Rand, name string, typ ir.Type, env map[string]int64, special bool) hostop.Value {
	if typ.Kind == ir.KindSeq {
		seq := hostop.Seq{}
		for range 3 {
			seq = append(seq, randomValue(t, rng, name, *typ.Elem, env, special))
		}
		return seq
	}
	require.True(t, typ.Kind == ir.KindTensor && typ.Ranked, "input %q: only tensors of known rank can be made up", name)
	shape := make([]int64, len(typ.Shape))
	for i, d := range typ.Shape {
		n, ok := d.Eval(env)
		if !ok {
			n = int64(1 + rng.IntN(4)) // of elements alone: each has its own
		}
		shape[i] = n
	}
	return randomTensor(t, rng, typ.DType, shape, special)
}

func randomTensor(t *testing.T, rng *rand.Rand, d tensor.DType, shape []int64, special bool) *tensor.Tensor {
	x := tensor.New(d, shape...)
	float := func() float64 {
		if special && rng.IntN(4) == 0 {
			return specials[rng.IntN(len(specials))]
		}
		return rng.Float64()*4 - 2
	}
	for i := range x.Len() {
		switch d {
		case tensor.F32:
			tensor.View[float32](x)[i] = float32(float())
		case tensor.F64:
			tensor.View[float64](x)[i] = float()
		case tensor.F16: // quarters: sums and products of a few are exact
			tensor.View[uint16](x)[i] = tensor.F32ToF16(float32(rng.IntN(17)-8) / 4)
		case tensor.I64:
			tensor.View[int64](x)[i] = rng.Int64N(5)
		case tensor.I32:
			tensor.View[int32](x)[i] = rng.Int32N(5)
		case tensor.Bool:
			x.Data[i] = byte(rng.IntN(2))
		default:
			require.Fail(t, "no random tensors of this type", "%v", d)
		}
	}
	return x
}

func evaluate(t *testing.T, m *ir.Module, in []hostop.Value) []hostop.Value {
	out, err := eval.Run(m, in, eval.Options{})
	require.NoError(t, err, "%s", m)
	return out
}

// requireClose compares results: bit for bit when exact (any NaN equals any other), else within what
// another order of roundings explains.
func requireClose(t *testing.T, want, got []hostop.Value, exact bool) {
	require.Len(t, got, len(want))
	tol := testcase.Tolerance{Rel: 1e-4, Abs: 1e-4}
	if exact {
		tol = testcase.Tolerance{}
	}
	for i := range want {
		require.Empty(t, testcase.Compare(got[i], want[i], tol), "result %d", i)
		if exact {
			requireSigns(t, want[i], got[i])
		}
	}
}

// requireSigns tells -0 from +0, which compare equal.
func requireSigns(t *testing.T, want, got hostop.Value) {
	w, ok := want.(*tensor.Tensor)
	if !ok || !w.DType.IsFloat() {
		return
	}
	g := got.(*tensor.Tensor)
	for i := range w.Len() {
		if w.At(i) == 0 {
			require.Equal(t, math.Signbit(w.At(i)), math.Signbit(g.At(i)), "sign of the zero at %d", i)
		}
	}
}
