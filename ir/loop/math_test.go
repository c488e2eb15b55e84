package loop

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

var fmaLevel = &target.Level{Name: "test", VecBytes: 64, FMA: true}

// ulps is the distance of got from the exact value in units of the last place of element type d.
func ulps(d tensor.DType, got float64, want *big.Float) float64 {
	w, _ := want.Float64()
	least, above := 0x1p-1074, math.Nextafter(w, math.Inf(1))
	if d == tensor.F32 {
		f, _ := want.Float32()
		w, least, above = float64(f), 0x1p-149, float64(math.Nextafter32(f, float32(math.Inf(1))))
	}
	if math.IsInf(w, 0) || math.IsInf(got, 0) || got != got {
		if got == w {
			return 0
		}
		return math.Inf(1)
	}
	off, _ := bsub(bf(got), want).Float64()
	return math.Abs(off) / math.Max(math.Abs(above-w), least)
}

// ulpsOf is the same for a reference in f64, which may be NaN.
func ulpsOf(d tensor.DType, got, want float64) float64 {
	if want != want {
		if got != got {
			return 0
		}
		return math.Inf(1)
	}
	return ulps(d, got, bf(want))
}

// evalMath runs f over xs and ys of element type d, 8 lanes at a time.
func evalMath(t *testing.T, level *target.Level, d tensor.DType, f func(b *Builder, x, y *Value) *Value, xs, ys []float64) []float64 {
	b := NewFunc("math", level)
	in, in2, out := b.Param("x", d, 0, false), b.Param("y", d, 1, false), b.Param("z", d, 2, true)
	b.Parallel(func(i *Value) {
		at := b.MulInt(i, 8)
		b.Store(out, at, f(b, b.Load(in, at, 8), b.Load(in2, at, 8)))
	})
	Simplify(b.F)
	require.NoError(t, Verify(b.F))
	n := (len(xs) + 7) / 8 * 8
	x, y, z := tensor.New(d, int64(n)), tensor.New(d, int64(n)), tensor.New(d, int64(n))
	for i := range xs {
		putBits(x.Data[i*d.Size():(i+1)*d.Size()], fromFloat(d, xs[i]))
		putBits(y.Data[i*d.Size():(i+1)*d.Size()], fromFloat(d, ys[i]))
	}
	require.NoError(t, Eval(b.F, map[int][]byte{0: x.Data, 1: y.Data, 2: z.Data}, nil, 0, int64(n/8)))
	got := make([]float64, len(xs))
	for i := range got {
		got[i] = z.At(int64(i))
	}
	return got
}

var special = []float32{0, float32(math.Copysign(0, -1)), 1, -1, 0.5, -0.5, 2, -2, 3, -3, 1e-30, -1e-30, 1e-40, -1e-40, 1e30, -1e30, 88.7, 88.8, -87.4, -103, -104, -150,
	float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32}

// specials gives those and, for f64, some of its own.
func specials(d tensor.DType) []float64 {
	var out []float64
	for _, x := range special {
		out = append(out, float64(x))
	}
	if d == tensor.F64 {
		out = append(out, 1e-300, -1e-310, 1e300, -1e300, 708, 709.7, 710.4, -708, -745, -746, math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64)
	}
	return out
}

// unaryMath are the functions of one operand with their bounds in f32 and f64 and the range to test them in. Package math is the
// reference for f32 and at the ends of domains, bigMath for f64.
var unaryMath = []struct {
	name           string
	f              func(b *Builder, x *Value) *Value
	want           func(float64) float64
	bound, bound64 float64
	lo, hi         float64
}{
	{"Exp", (*Builder).Exp, math.Exp, 1, 1, -104, 89},
	{"Expm1", (*Builder).Expm1, math.Expm1, 2, 2, -10, 89},
	{"Log", (*Builder).Log, math.Log, 1, 1, 0, 100},
	{"Log1p", (*Builder).Log1p, math.Log1p, 2, 2, -1, 100},
	{"Tanh", (*Builder).Tanh, math.Tanh, 2, 3, -10, 10},
	{"Sigmoid", (*Builder).Sigmoid, func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }, 3, 3, -80, 30},
	{"Softplus", (*Builder).Softplus, func(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }, 2, 2, -80, 80},
	{"Erf", (*Builder).Erf, math.Erf, 2, 2, -5, 5},
	{"Sin", (*Builder).Sin, math.Sin, 2, 2, -1e4, 1e4},
	{"Cos", (*Builder).Cos, math.Cos, 2, 2, -1e4, 1e4},
	{"Tan", (*Builder).Tan, math.Tan, 4, 4, -100, 100},
	{"SinFar", (*Builder).Sin, math.Sin, 2, 2, -3e13, 3e13},
	{"CosFar", (*Builder).Cos, math.Cos, 2, 2, -3e13, 3e13},
	{"Asin", (*Builder).Asin, math.Asin, 4, 4, -1, 1},
	{"Acos", (*Builder).Acos, math.Acos, 4, 4, -1, 1},
	{"Atan", (*Builder).Atan, math.Atan, 2, 2, -10, 10},
	{"Sinh", (*Builder).Sinh, math.Sinh, 3, 3, -90, 90},
	{"Cosh", (*Builder).Cosh, math.Cosh, 2, 2, -90, 90},
	{"Asinh", (*Builder).Asinh, math.Asinh, 3, 3, -100, 100},
	{"Acosh", (*Builder).Acosh, math.Acosh, 3, 3, 1, 100},
	{"Atanh", (*Builder).Atanh, math.Atanh, 3, 3, -1, 1},
}

func TestUnaryMathULP(t *testing.T) {
	for _, c := range unaryMath {
		for _, d := range []tensor.DType{tensor.F32, tensor.F64} {
			t.Run(c.name+"/"+d.String(), func(t *testing.T) {
				t.Parallel()
				r := rand.New(rand.NewPCG(1, 2))
				xs := specials(d)
				for range map[tensor.DType]int{tensor.F32: 5000, tensor.F64: 200}[d] {
					xs = append(xs, c.lo+(c.hi-c.lo)*r.Float64(), math.Ldexp(r.Float64(), r.IntN(20)-18), math.Ldexp(r.Float64()-0.5, r.IntN(60)-58))
				}
				for i, x := range xs {
					xs[i] = asFloat(d, fromFloat(d, x))
				}
				bound, least := c.bound, 0x1p-126
				if d == tensor.F64 {
					bound, least = c.bound64, 0x1p-1022
				}
				got := evalMath(t, fmaLevel, d, func(b *Builder, x, _ *Value) *Value { return c.f(b, x) }, xs, make([]float64, len(xs)))
				worst, at := 0.0, 0.0
				for i, x := range xs {
					want := c.want(x)
					switch {
					case strings.Contains("Sin Cos Tan SinFar CosFar", c.name) && math.Abs(x) >= 1<<45 && !math.IsInf(x, 0):
						continue
					case c.name == "Sigmoid" && want < least:
						assert.InDelta(t, want, got[i], least/4)
						continue
					}
					if x == 0 && want == 0 {
						require.Equal(t, math.Signbit(want), math.Signbit(got[i]), "sign at %g", x)
					}
					u := ulpsOf(d, got[i], want)
					if d == tensor.F64 && want == want && exactly(c.name, x) {
						u = ulps(d, got[i], bigFuncs[c.name](bf(x)))
					}
					if u > worst {
						worst, at = u, x
					}
				}
				t.Logf("%.3f ULP at %g", worst, at)
				assert.LessOrEqual(t, worst, bound)
			})
		}
	}
}

func TestExpDown(t *testing.T) {
	xs := []float64{0, math.Copysign(0, -1), -1e-30, -87, -88, -104, -1e30, math.Inf(-1), math.NaN()}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		xs = append(xs, asFloat(tensor.F32, fromFloat(tensor.F32, -90*r.Float64())))
	}
	got := evalMath(t, fmaLevel, tensor.F32, func(b *Builder, x, _ *Value) *Value { return b.ExpDown(x) }, xs, make([]float64, len(xs)))
	for i, x := range xs {
		want := math.Exp(x)
		if want < 0x1p-126 {
			require.LessOrEqual(t, got[i], 0x1p-126, "at %g", x)
			continue
		}
		require.LessOrEqual(t, ulpsOf(tensor.F32, got[i], want), 2.0, "at %g", x)
	}
}

func TestNormalCDF(t *testing.T) {
	xs := append(specials(tensor.F32), -5.75, 5.75)
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		xs = append(xs, asFloat(tensor.F32, fromFloat(tensor.F32, 16*r.Float64()-8)))
	}
	got := evalMath(t, fmaLevel, tensor.F32, func(b *Builder, x, _ *Value) *Value { return b.NormalCDF(x) }, xs, make([]float64, len(xs)))
	for i, x := range xs {
		if x == x {
			require.InDelta(t, math.Erfc(-x/math.Sqrt2)/2, got[i], 0x1.8p-24, "at %g", x)
		}
	}
}

func TestPowULP(t *testing.T) {
	for _, d := range []tensor.DType{tensor.F32, tensor.F64} {
		r := rand.New(rand.NewPCG(1, 2))
		var xs, ys []float64
		for _, x := range specials(d) {
			for _, y := range specials(d) {
				xs, ys = append(xs, x), append(ys, y)
			}
		}
		for x := 2.0; x < 40; x++ { // exact powers
			for y := 1.0; math.Pow(x, y) < 1<<53; y++ {
				xs, ys = append(xs, x), append(ys, y)
			}
		}
		for range map[tensor.DType]int{tensor.F32: 10000, tensor.F64: 500}[d] {
			xs = append(xs, asFloat(d, fromFloat(d, math.Exp(20*r.Float64()-10))))
			ys = append(ys, asFloat(d, fromFloat(d, 20*r.Float64()-10)))
		}
		got := evalMath(t, fmaLevel, d, (*Builder).Pow, xs, ys)
		for i := range xs {
			want, bound := math.Pow(xs[i], ys[i]), 1.0
			u := ulpsOf(d, got[i], want)
			if p := xs[i]; d == tensor.F64 && p == math.Trunc(p) && 1 < p && p < 40 && 1 < want && want < 1<<53 && want == math.Trunc(want) {
				bound = 0
			} else if d == tensor.F64 && p != 0 && math.Abs(p) != 1 && want != 0 && want-want == 0 && p-p == 0 && ys[i]-ys[i] == 0 {
				u = ulps(d, math.Copysign(got[i], got[i]*want), bigMath{}.exp(bmul(bf(ys[i]), bigMath{}.log(bf(math.Abs(p))))))
			}
			require.LessOrEqual(t, u, bound, "pow(%g, %g) = %g in %v", xs[i], ys[i], got[i], d)
		}
	}
}

func TestFmod(t *testing.T) {
	for _, d := range []tensor.DType{tensor.F32, tensor.F64} {
		r := rand.New(rand.NewPCG(1, 2))
		var xs, ys []float64
		for _, x := range specials(d) {
			for _, y := range specials(d) {
				xs, ys = append(xs, x), append(ys, y)
			}
		}
		for range 2000 {
			xs = append(xs, asFloat(d, fromFloat(d, math.Ldexp(r.Float64()-0.5, r.IntN(200)-100))))
			ys = append(ys, asFloat(d, fromFloat(d, math.Ldexp(r.Float64()-0.5, r.IntN(200)-100))))
		}
		got := evalMath(t, fmaLevel, d, (*Builder).Fmod, xs, ys)
		for i := range xs {
			want := math.Mod(xs[i], ys[i])
			same := got[i] == want && math.Signbit(got[i]) == math.Signbit(want) || got[i] != got[i] && want != want
			require.True(t, same, "fmod(%g, %g) = %g, want %g", xs[i], ys[i], got[i], want)
		}
	}
}

// TestMathWithoutFMA: levels without it lose little.
func TestMathWithoutFMA(t *testing.T) {
	soft := &target.Level{Name: "soft", VecBytes: 16}
	r := rand.New(rand.NewPCG(5, 6))
	for _, c := range unaryMath {
		for _, d := range []tensor.DType{tensor.F32, tensor.F64} {
			var xs []float64
			for range 100 {
				xs = append(xs, asFloat(d, fromFloat(d, c.lo+(c.hi-c.lo)*r.Float64())))
			}
			got := evalMath(t, soft, d, func(b *Builder, x, _ *Value) *Value { return c.f(b, x) }, xs, xs)
			for i, x := range xs {
				u := ulpsOf(d, got[i], c.want(x))
				if d == tensor.F64 && exactly(c.name, x) {
					u = ulps(d, got[i], bigFuncs[c.name](bf(x)))
				}
				require.LessOrEqual(t, u, c.bound64+1, "%s(%g) in %v", c.name, x, d)
			}
		}
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
