package loop

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

var fmaLevel = &target.Level{Name: "test", VecBytes: 64, FMA: true}

// ulps is the distance of got from the exact value in units of the last place of f32.
func ulps(got float32, want float64) float64 {
	w := float32(want)
	switch {
	case want != want:
		if got != got {
			return 0
		}
		return math.Inf(1)
	case math.IsInf(float64(w), 0) || math.IsInf(float64(got), 0):
		if got == w {
			return 0
		}
		return math.Inf(1)
	}
	unit := math.Max(math.Abs(float64(math.Nextafter32(w, float32(math.Inf(1))))-float64(w)), 0x1p-149)
	return math.Abs(float64(got)-want) / unit
}

// evalUnary runs f over xs, 16 lanes at a time.
func evalMath(t *testing.T, f func(b *Builder, x, y *Value) *Value, xs, ys []float32) []float32 {
	b := NewFunc("math", fmaLevel)
	in, in2, out := b.Param("x", tensor.F32, 0, false), b.Param("y", tensor.F32, 1, false), b.Param("z", tensor.F32, 2, true)
	b.Parallel(func(i *Value) {
		at := b.MulInt(i, 16)
		b.Store(out, at, f(b, b.Load(in, at, 16), b.Load(in2, at, 16)))
	})
	Simplify(b.F)
	require.NoError(t, Verify(b.F))
	for len(xs)%16 != 0 {
		xs, ys = append(xs, 0), append(ys, 0)
	}
	z := make([]float32, len(xs))
	require.NoError(t, Eval(b.F, map[int][]byte{0: tensor.AsBytes(xs), 1: tensor.AsBytes(ys), 2: tensor.AsBytes(z)}, nil, 0, int64(len(xs)/16)))
	return z
}

var special = []float32{0, float32(math.Copysign(0, -1)), 1, -1, 0.5, -0.5, 2, -2, 3, -3, 1e-30, -1e-30, 1e-40, -1e-40, 1e30, -1e30, 88.7, 88.8, -87.4, -103, -104, -150,
	float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32}

func TestUnaryMathULP(t *testing.T) {
	for _, c := range []struct {
		name  string
		f     func(b *Builder, x *Value) *Value
		want  func(float64) float64
		bound float64
		lo    float64
		hi    float64
	}{
		{"Exp", (*Builder).Exp, math.Exp, 1, -104, 89},
		{"Log", (*Builder).Log, math.Log, 1, 0, 100},
		{"Tanh", (*Builder).Tanh, math.Tanh, 2, -10, 10},
		{"Sigmoid", (*Builder).Sigmoid, func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }, 3, -80, 30},
		{"Erf", (*Builder).Erf, math.Erf, 2, -5, 5},
		{"Sin", (*Builder).Sin, math.Sin, 2, -1e4, 1e4},
		{"Cos", (*Builder).Cos, math.Cos, 2, -1e4, 1e4},
		{"Tan", (*Builder).Tan, math.Tan, 4, -100, 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			xs := append([]float32{}, special...)
			for range 20000 {
				xs = append(xs, float32(c.lo+(c.hi-c.lo)*r.Float64()), float32(math.Ldexp(r.Float64(), r.IntN(20)-18)))
			}
			got := evalMath(t, func(b *Builder, x, _ *Value) *Value { return c.f(b, x) }, xs, make([]float32, len(xs)))
			worst, at := 0.0, float32(0)
			for i, x := range xs {
				if (c.name == "Sin" || c.name == "Cos" || c.name == "Tan") && math.Abs(float64(x)) >= 1<<30 {
					continue
				}
				want := c.want(float64(x))
				if c.name == "Sigmoid" && want < 0x1p-126 {
					assert.InDelta(t, want, got[i], 0x1p-24)
					continue
				}
				if u := ulps(got[i], want); u > worst {
					worst, at = u, x
				}
			}
			t.Logf("%s: %.3f ULP at %g", c.name, worst, at)
			assert.LessOrEqual(t, worst, c.bound)
		})
	}
}

func TestPowULP(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var xs, ys []float32
	for _, x := range special {
		for _, y := range special {
			xs, ys = append(xs, x), append(ys, y)
		}
	}
	for range 20000 {
		xs = append(xs, float32(math.Exp(20*r.Float64()-10)))
		ys = append(ys, float32(20*r.Float64()-10))
	}
	got := evalMath(t, (*Builder).Pow, xs, ys)
	for i := range xs {
		require.LessOrEqual(t, ulps(got[i], math.Pow(float64(xs[i]), float64(ys[i]))), 1.0, "pow(%g, %g) = %g", xs[i], ys[i], got[i])
	}
}

// TestHalves holds the conversions without F16C against package tensor, for all f16 and many f32.
func TestHalves(t *testing.T) {
	soft := &target.Level{Name: "soft", VecBytes: 16}
	for _, d := range []tensor.DType{tensor.F16, tensor.BF16} {
		b := NewFunc("halves", soft)
		in, wide, back := b.Param("h", d, 0, false), b.Param("w", tensor.F32, 1, true), b.Param("b", d, 2, true)
		b.Parallel(func(i *Value) {
			x := b.ToF32(b.Load(in, i, 1))
			b.Store(wide, i, x)
			b.Store(back, i, b.FromF32(x, d))
		})
		Simplify(b.F)
		h := make([]uint16, 1<<16)
		for i := range h {
			h[i] = uint16(i)
		}
		w, k := make([]float32, len(h)), make([]uint16, len(h))
		require.NoError(t, Eval(b.F, map[int][]byte{0: tensor.AsBytes(h), 1: tensor.AsBytes(w), 2: tensor.AsBytes(k)}, nil, 0, int64(len(h))))
		for i := range h {
			want := tensor.F16ToF32(h[i])
			if d == tensor.BF16 {
				want = tensor.BF16ToF32(h[i])
			}
			if want != want {
				require.True(t, w[i] != w[i], "%v %#x", d, i)
				continue
			}
			require.Equal(t, want, w[i], "%v %#x", d, i)
			require.Equal(t, h[i], k[i], "%v %#x", d, i)
		}
	}
	b := NewFunc("round", soft)
	in, out := b.Param("x", tensor.F32, 0, false), b.Param("h", tensor.F16, 1, true)
	b.Parallel(func(i *Value) { b.Store(out, i, b.FromF32(b.Load(in, i, 1), tensor.F16)) })
	r := rand.New(rand.NewPCG(3, 4))
	xs := append([]float32{65519, 65520, 65504, -65520, 5.9e-8, 2.9e-8, 3e-8}, special...)
	for range 20000 {
		xs = append(xs, float32((r.Float64()-0.5)*math.Ldexp(1, r.IntN(50)-30)))
	}
	h := make([]uint16, len(xs))
	require.NoError(t, Eval(b.F, map[int][]byte{0: tensor.AsBytes(xs), 1: tensor.AsBytes(h)}, nil, 0, int64(len(xs))))
	for i, x := range xs {
		if x == x {
			require.Equal(t, tensor.F32ToF16(x), h[i], "%g", x)
		}
	}
}

// TestText: what Print writes, Parse reads, and it prints the same again.
func TestText(t *testing.T) {
	b := NewFunc("all", fmaLevel)
	in, out := b.Param("x", tensor.F32, 0, false), b.Param("y", tensor.F32, 1, true)
	n := b.IntParam("n", 2)
	tmp := b.Local("t", tensor.F32, 16)
	b.Parallel(func(i *Value) {
		s := b.For(b.Int(0), n, 4, []*Value{b.Float(Scalar(tensor.F32), 0)}, func(j *Value, c []*Value) []*Value {
			return []*Value{b.Add(c[0], b.Load(in, b.Add(i, j), 1))}
		})[0]
		v := b.If(b.Cmp(LT, s, b.Float(s.Type, 0)), func() []*Value { return []*Value{b.Neg(s)} }, func() []*Value { return []*Value{s} })[0]
		w := b.Broadcast(v, 16)
		m := b.Cmp(LT, b.Iota(Vec(tensor.I32, 16)), b.IntOf(Vec(tensor.I32, 16), 3))
		b.StoreMask(tmp, b.Int(0), b.Shuffle(w, w, 0, 17, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 31), m)
		b.Store(out, i, b.Reduce(OpReduceAdd, b.LoadMask(tmp, b.Int(0), m)))
	})
	Simplify(b.F)
	require.NoError(t, Verify(b.F))
	text := b.F.String()
	fs, err := Parse(text)
	require.NoError(t, err)
	require.Len(t, fs, 1)
	require.NoError(t, Verify(fs[0]))
	assert.Equal(t, text, fs[0].String())

	x, y := []float32{1, 2, 3, 4, 5, -60, 7, 8}, make([]float32, 2)
	require.NoError(t, Eval(fs[0], map[int][]byte{0: tensor.AsBytes(x), 1: tensor.AsBytes(y)}, map[int]int64{2: 5}, 0, 2))
	assert.Equal(t, []float32{3 * 6, 3 * 58}, y)

	_, err = Parse("kernel k () range %0 %1 {\n  %2 f32 = add %7 %7\n}")
	assert.ErrorContains(t, err, `line 2: value "%7" is not defined`)
}
