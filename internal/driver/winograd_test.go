//go:build linux

package driver

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// winoCase is a convolution, padded by half its kernel, that minimal filtering does by tiles of so many results. Pairs
// are along columns and along rows.
type winoCase struct {
	kernel                string
	tile, k               [2]int64
	in, out, stride, size int64
	bound                 float64 // of the error
}

// winoCases have the bounds of errors: against sums in f64, in units of the largest pixel times the sum of the absolute
// weights that a result takes.
var winoCases = []winoCase{
	{"winograd2", [2]int64{2, 2}, [2]int64{3, 3}, 64, 64, 1, 7, 0x1p-22},
	{"winograd4", [2]int64{4, 4}, [2]int64{3, 3}, 64, 64, 1, 16, 0x1p-19},
	{"conv7x7_winograd", [2]int64{4, 4}, [2]int64{7, 7}, 3, 32, 2, 30, 0x1p-19},
	{"lines_out6", [2]int64{1, 6}, [2]int64{1, 3}, 128, 128, 1, 24, 0x1p-20},
	{"lines_out4", [2]int64{4, 1}, [2]int64{5, 1}, 128, 128, 1, 24, 0x1p-20},
	{"lines_out2", [2]int64{1, 2}, [2]int64{1, 7}, 128, 128, 1, 24, 0x1p-20},
}

// results is the number of results in a row.
func (c winoCase) results() int64 { return (c.size-1)/c.stride + 1 }

// compile gives the convolution and its weights.
func (c winoCase) compile(t *testing.T, mode string) (*Loaded, []float32) {
	src := fmt.Sprintf("module \"m\"\ngraph (%%x: f32[1,%[1]d,%[2]d,%[2]d]) -> (%%y) {\n  %%w = Const() {value = f32[%[3]d,%[1]d,%[4]d,%[5]d] random(1)}\n"+
		"  %%y = Conv(%%x, %%w) {pads = [%[6]d, %[7]d, %[6]d, %[7]d], strides = [%[8]d, %[8]d]}\n}\n", c.in, c.size, c.out, c.k[0], c.k[1], c.k[0]/2, c.k[1]/2, c.stride)
	m, err := ir.Parse(src)
	require.NoError(t, err)
	w, err := ir.ConstOf(m.Graph.Ops[0].Results[0]).Tensor()
	require.NoError(t, err)
	p, err := CompileModule(context.Background(), m, Options{CPU: "native", Math: mode})
	require.NoError(t, err)
	t.Cleanup(func() { p.Close() })
	kernels := strings.Join(p.Program.Plan.Kernels, " ")
	if mode == "strict" {
		require.NotContains(t, kernels, c.kernel)
	} else {
		require.Contains(t, kernels, c.kernel)
	}
	l, err := p.Load(context.Background(), exec.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l, tensor.View[float32](w)
}

// run gives the result for x.
func (c winoCase) run(t *testing.T, l *Loaded, x []float32) []float32 {
	out := make([]hostop.Value, 1)
	require.NoError(t, l.Run(context.Background(), []hostop.Value{tensor.Of(x, 1, c.in, c.size, c.size)}, out))
	return tensor.View[float32](out[0].(*tensor.Tensor))
}

// pixels are random numbers from -1 to 1.
func (c winoCase) pixels() []float32 {
	r, x := rand.New(rand.NewPCG(1, 2)), make([]float32, c.in*c.size*c.size)
	for i := range x {
		x[i] = 2*r.Float32() - 1
	}
	return x
}

// each calls f for the weights and pixels that result o is the sum of products of.
func (c winoCase) each(o int64, x, w []float32, f func(w, x float64)) {
	n, kk := c.results(), c.k[0]*c.k[1]
	oc, oy, ox := o/n/n, o/n%n*c.stride-c.k[0]/2, o%n*c.stride-c.k[1]/2
	for i := range c.in * kk {
		ic, y, z := i/kk, oy+i%kk/c.k[1], ox+i%c.k[1]
		if y >= 0 && y < c.size && z >= 0 && z < c.size {
			f(float64(w[oc*c.in*kk+i]), float64(x[(ic*c.size+y)*c.size+z]))
		}
	}
}

// TestWinogradError bounds the error.
func TestWinogradError(t *testing.T) {
	for _, c := range winoCases {
		l, w := c.compile(t, "default")
		x := c.pixels()
		worst := 0.0
		for o, y := range c.run(t, l, x) {
			sum, weights := 0.0, 0.0
			c.each(int64(o), x, w, func(w, x float64) { sum, weights = sum+w*x, weights+math.Abs(w) })
			worst = max(worst, math.Abs(float64(y)-sum)/weights)
		}
		t.Logf("%s: %.3g", c.kernel, worst)
		require.Less(t, worst, c.bound, c.kernel)
	}
}

// sees reports whether n results from number first on read pixel p of a column or row, where kernels have so many taps.
func (c winoCase) sees(axis int, first, n, taps, p int64) bool {
	from := first*c.stride - c.k[axis]/2
	return from <= p && p < from+(n-1)*c.stride+taps
}

// TestWinogradInfinity: an infinity reaches the results that depend on it, and with -math=default all of the tiles that
// read it, for which a kernel has a multiple of the stride of taps.
func TestWinogradInfinity(t *testing.T) {
	for _, c := range winoCases {
		for _, mode := range []string{"default", "strict"} {
			l, _ := c.compile(t, mode)
			x := c.pixels()
			finite := slices.Clone(c.run(t, l, x))
			inf := [2]int64{5, 2}
			x[inf[0]*c.size+inf[1]] = float32(math.Inf(1))
			for o, y := range c.run(t, l, x) {
				at := [2]int64{int64(o) / c.results() % c.results(), int64(o) % c.results()}
				near, sees := true, true
				for i, p := range inf {
					sees = sees && c.sees(i, at[i], 1, c.k[i], p)
					near = near && c.sees(i, at[i]/c.tile[i]*c.tile[i], c.tile[i], (c.k[i]+c.stride-1)/c.stride*c.stride, p)
				}
				if mode == "strict" {
					near = sees
				}
				switch bad := math.IsInf(float64(y), 0) || y != y; {
				case !near:
					require.Equal(t, finite[o], y, "%s %s: %v", c.kernel, mode, at)
				case mode == "default" && sees:
					require.True(t, bad, "%s: %v is %v", c.kernel, at, y)
				}
			}
		}
	}
}
