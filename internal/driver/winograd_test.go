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

// winoCase is a 3x3 convolution, padded by one, that is done by F(n x n, 3x3).
type winoCase struct{ n, channels, size int64 }

var winoCases = []winoCase{{2, 64, 7}, {4, 64, 16}}

// compile gives the convolution from and to so many channels, and its weights.
func (c winoCase) compile(t *testing.T, mode string) (*Loaded, []float32) {
	src := fmt.Sprintf("module \"m\"\ngraph (%%x: f32[1,%[1]d,%[2]d,%[2]d]) -> (%%y) {\n  %%w = Const() {value = f32[%[1]d,%[1]d,3,3] random(1)}\n"+
		"  %%y = Conv(%%x, %%w) {pads = [1, 1, 1, 1]}\n}\n", c.channels, c.size)
	m, err := ir.Parse(src)
	require.NoError(t, err)
	w, err := ir.ConstOf(m.Graph.Ops[0].Results[0]).Tensor()
	require.NoError(t, err)
	p, err := CompileModule(context.Background(), m, Options{CPU: "native", Math: mode})
	require.NoError(t, err)
	t.Cleanup(func() { p.Close() })
	name := fmt.Sprintf("winograd%d_1", c.n)
	require.Equal(t, mode != "strict", slices.Contains(p.Program.Plan.Kernels, name), "%v, want %s unless strict", p.Program.Plan.Kernels, name)
	if mode == "strict" {
		require.NotContains(t, strings.Join(p.Program.Plan.Kernels, " "), "winograd")
	}
	l, err := p.Load(context.Background(), exec.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l, tensor.View[float32](w)
}

// run gives the result for x.
func (c winoCase) run(t *testing.T, l *Loaded, x []float32) []float32 {
	out := make([]hostop.Value, 1)
	require.NoError(t, l.Run(context.Background(), []hostop.Value{tensor.Of(x, 1, c.channels, c.size, c.size)}, out))
	return tensor.View[float32](out[0].(*tensor.Tensor))
}

// pixels are random numbers from -1 to 1.
func (c winoCase) pixels() []float32 {
	r, x := rand.New(rand.NewPCG(1, 2)), make([]float32, c.channels*c.size*c.size)
	for i := range x {
		x[i] = 2*r.Float32() - 1
	}
	return x
}

// each calls f for the weights and pixels that result o is the sum of products of.
func (c winoCase) each(o int64, x, w []float32, f func(w, x float64)) {
	oc, oy, ox := o/c.size/c.size, o/c.size%c.size, o%c.size
	for i := range c.channels * 9 {
		ic, y, z := i/9, oy+i%9/3-1, ox+i%3-1
		if y >= 0 && y < c.size && z >= 0 && z < c.size {
			f(float64(w[oc*c.channels*9+i]), float64(x[(ic*c.size+y)*c.size+z]))
		}
	}
}

// TestWinogradError bounds the error: against sums in f64, in units of the largest pixel times the sum of the absolute
// weights that a result takes, it is at most 2^-22 for F(2x2,3x3) and 2^-19 for F(4x4,3x3).
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
		t.Logf("F(%dx%d): %.3g", c.n, c.n, worst)
		require.Less(t, worst, map[int64]float64{2: 0x1p-22, 4: 0x1p-19}[c.n])
	}
}

// TestWinogradInfinity: an infinity reaches the pixels that depend on it, and with -math=default all of the tiles that
// have one of these.
func TestWinogradInfinity(t *testing.T) {
	for _, c := range winoCases {
		for _, mode := range []string{"default", "strict"} {
			l, _ := c.compile(t, mode)
			x := c.pixels()
			finite := slices.Clone(c.run(t, l, x))
			const row, col = 5, 2
			x[row*c.size+col] = float32(math.Inf(1))
			near := func(a, b int64) bool { // a pixel or, by default, a tile
				if mode == "default" {
					return a/c.n*c.n-1 <= b && b <= a/c.n*c.n+c.n
				}
				return a-1 <= b && b <= a+1
			}
			for o, y := range c.run(t, l, x) {
				oy, ox := int64(o)/c.size%c.size, int64(o)%c.size
				switch bad := math.IsInf(float64(y), 0) || y != y; {
				case !near(oy, row) || !near(ox, col):
					require.Equal(t, finite[o], y, "%v %s: %d, %d", c, mode, oy, ox)
				case mode == "default" && oy >= row-1 && oy <= row+1 && ox >= col-1 && ox <= col+1:
					require.True(t, bad, "%v: %d, %d is %v", c, oy, ox, y)
				}
			}
		}
	}
}
