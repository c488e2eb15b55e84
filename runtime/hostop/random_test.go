package hostop

import (
	"math"
	"testing"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// TestPhilox holds the generator against the known answers of Random123, the authors' library.
func TestPhilox(t *testing.T) {
	for _, c := range []struct {
		key  uint64
		ctr  [4]uint32
		want [4]uint32
	}{
		{0, [4]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{math.MaxUint64, [4]uint32{math.MaxUint32, math.MaxUint32, math.MaxUint32, math.MaxUint32}, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{0x299f31d0a4093822, [4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		if got := Philox(c.key, c.ctr); got != c.want {
			t.Errorf("Philox(%#x, %#x) = %#x, want %#x", c.key, c.ctr, got, c.want)
		}
	}
}

// momentsOf gives mean and variance of the elements of the result of f.
func momentsOf(t *testing.T, f Func, attrs Attrs, in ...Value) (mean, variance float64, v []float64) {
	t.Helper()
	c := &Call{In: in, Attrs: attrs, NumOut: 1}
	if err := f(c); err != nil {
		t.Fatal(err)
	}
	v = floatsOf(c.Out[0].(*tensor.Tensor))
	for _, x := range v {
		mean += x / float64(len(v))
	}
	for _, x := range v {
		variance += (x - mean) * (x - mean) / float64(len(v))
	}
	return mean, variance, v
}

// near fails unless got is within tol of want.
func near(t *testing.T, what string, got, want, tol float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol) {
		t.Errorf("%s is %g, want %g within %g", what, got, want, tol)
	}
}

// TestRandomDistributions: mean, variance and, for uniform numbers, chi-square over bins, within five standard errors.
func TestRandomDistributions(t *testing.T) {
	const n = 100_000
	shape := []int64{n}
	for _, seed := range []float64{0, 1, 42} {
		m, v, u := momentsOf(t, RandomUniform, Attrs{"seed": seed, "shape": shape, "low": -1.0, "high": 3.0})
		near(t, "mean of uniform", m, 1, 5*math.Sqrt(16.0/12/n))
		near(t, "variance of uniform", v, 16.0/12, 0.02)
		bins, chi := make([]float64, 100), 0.0
		for _, x := range u {
			bins[int((x+1)*25)]++
		}
		for _, b := range bins {
			chi += (b - n/100) * (b - n/100) / (n / 100)
		}
		near(t, "chi-square of 100 bins", chi, 99, 5*math.Sqrt(2*99))

		m, v, z := momentsOf(t, RandomNormal, Attrs{"seed": seed, "shape": shape, "mean": 2.0, "scale": 3.0})
		near(t, "mean of normal", m, 2, 5*3/math.Sqrt(n))
		near(t, "variance of normal", v, 9, 5*9*math.Sqrt(2.0/n))
		within := 0.0
		for _, x := range z {
			if math.Abs(x-2) < 3 {
				within++
			}
		}
		near(t, "share within one sigma", within/n, 0.6827, 0.01)

		p := tensor.New(tensor.F32, n)
		for i := range tensor.View[float32](p) {
			tensor.View[float32](p)[i] = 0.3
		}
		m, _, _ = momentsOf(t, Bernoulli, Attrs{"seed": seed}, p)
		near(t, "mean of Bernoulli", m, 0.3, 5*math.Sqrt(0.21/n))

		logs := tensor.Of([]float64{0, math.Log(3), math.Inf(-1)}, 1, 3)
		m, _, _ = momentsOf(t, Multinomial, Attrs{"seed": seed, "sample_size": int64(n)}, logs)
		near(t, "share of class 1", m, 0.75, 5*math.Sqrt(0.19/n))

		ones := tensor.New(tensor.F32, n)
		for i := range tensor.View[float32](ones) {
			tensor.View[float32](ones)[i] = 1
		}
		ratio, yes := tensor.Of([]float32{0.25}), tensor.Of([]bool{true})
		m, _, _ = momentsOf(t, Dropout, Attrs{"seed": int64(seed)}, ones, ratio, yes)
		near(t, "mean of Dropout", m, 1, 5*math.Sqrt(0.34/n))
	}
}

// TestSeeds: a seed gives the same numbers again; without one they are new each time.
func TestSeeds(t *testing.T) {
	shape := []int64{50}
	_, _, a := momentsOf(t, RandomUniform, Attrs{"seed": 7.0, "shape": shape})
	_, _, b := momentsOf(t, RandomUniform, Attrs{"seed": 7.0, "shape": shape})
	_, _, c := momentsOf(t, RandomUniform, Attrs{"shape": shape})
	_, _, d := momentsOf(t, RandomUniform, Attrs{"shape": shape})
	same := func(x, y []float64) bool {
		for i := range x {
			if x[i] != y[i] {
				return false
			}
		}
		return true
	}
	if !same(a, b) || same(a, c) || same(c, d) {
		t.Error("seeded numbers must repeat, others must not")
	}
}
