//go:build linux

package driver

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/lower"
	"github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/peak"
)

var (
	benchBackend = flag.String("backend", "auto", "-backend of the benchmarks of kernels")
	benchCPU     = flag.String("level", "native", "-cpu of the benchmarks of kernels")
)

// limits are what this machine does at most on one thread, measured once.
var limits = sync.OnceValue(func() (l struct {
	gflops map[string]float64 // by level
	read   []peak.Bandwidth
}) {
	l.gflops, l.read = map[string]float64{}, peak.Bandwidths(1)
	return l
})

// work is a kernel to time: a graph, and what it has to do at least.
type work struct {
	graph        string
	flops, bytes float64
	algorithm    string // of a convolution, "" as the cost model chooses
}

// bench times w on one thread, weights and all in whatever cache they stay in.
func (w work) bench(b *testing.B, name string) {
	b.Run(name, func(b *testing.B) {
		l := w.load(b)
		p := l.Plan()
		in, out := make([]hostop.Value, len(p.Inputs)), make([]hostop.Value, len(p.Outputs))
		for i := range in {
			x, err := invent(p, &p.Inputs[i], uint64(i))
			require.NoError(b, err)
			in[i] = x
		}
		ctx := context.Background()
		require.NoError(b, l.Run(ctx, in, out))
		for b.Loop() {
			require.NoError(b, l.Run(ctx, in, out))
		}
		w.report(b, l.Level(), float64(b.Elapsed().Nanoseconds())/float64(b.N))
	})
}

// report gives rates, and parts of what the machine can do: of its arithmetic, or of reading from the cache that
// holds the operands where there is little arithmetic.
func (w work) report(b *testing.B, level string, ns float64) {
	m := limits()
	if w.flops > 0 {
		if m.gflops[level] == 0 {
			m.gflops[level] = peak.GFLOPS(level, 1)
		}
		b.ReportMetric(w.flops/ns, "GFLOP/s")
		b.ReportMetric(100*w.flops/ns/m.gflops[level], "%peak")
		return
	}
	fit := slices.IndexFunc(m.read, func(r peak.Bandwidth) bool { return float64(r.Bytes) >= w.bytes })
	if fit < 0 {
		fit = len(m.read) - 1
	}
	b.ReportMetric(w.bytes/ns, "GB/s")
	b.ReportMetric(100*w.bytes/ns/m.read[fit].GBPS, "%bandwidth")
}

// load compiles w for this machine.
func (w work) load(b *testing.B) *Loaded {
	m, err := ir.Parse("module \"m\"\n" + w.graph)
	require.NoError(b, err)
	offered := w.algorithm == "" || w.algorithm == "direct"
	ctx := context.Background()
	c, err := start("m", Options{CPU: *benchCPU, Backend: *benchBackend})
	require.NoError(b, err)
	b.Cleanup(func() { c.Close() })
	c.Module = m
	c.choose = func(ch lower.Choice) int {
		i := slices.Index(ch.Candidates, w.algorithm)
		offered = offered || i >= 0
		return max(i, 0)
	}
	require.NoError(b, c.middle(ctx))
	if !offered {
		b.Skipf("%s is far from paying", w.algorithm)
	}
	l, err := c.Load(ctx, exec.Options{Threads: 1})
	require.NoError(b, err)
	b.Cleanup(func() { l.Close() })
	return l
}

// weights defines constants of some shapes: %w, %w1 and so on.
func weights(shapes ...string) string {
	s := ""
	for i, shape := range shapes {
		name := strings.TrimSuffix(fmt.Sprintf("%%w%d", i), "0")
		s += fmt.Sprintf("  %s_shape = Const() {value = i64[%d] [%s]}\n  %s = ConstantOfShape(%s_shape) {value = f32[1] [0.01]}\n",
			name, strings.Count(shape, ",")+1, shape, name, name)
	}
	return s
}

func BenchmarkGEMM(b *testing.B) {
	for _, s := range [][3]int{{14, 32, 256}, {1, 1000, 2048}, {49, 768, 3072}, {197, 768, 768}, {197, 3072, 768}, {384, 384, 384}, {1024, 1024, 1024}} {
		m, n, k := s[0], s[1], s[2]
		w := work{flops: 2 * float64(m*n*k)}
		w.graph = fmt.Sprintf("graph (%%x: f32[%d,%d]) -> (%%y) {\n%s  %%y = MatMul(%%x, %%w)\n}\n", m, k, weights(fmt.Sprintf("%d,%d", k, n)))
		w.bench(b, fmt.Sprintf("M=%d,N=%d,K=%d", m, n, k))
	}
}

// convolution is one on blocked tensors, with padding that keeps the size; of a plain image if c is 3.
type convolution struct{ k, stride, c, o, group, size int }

func (v convolution) work() work {
	out := v.size / v.stride
	w := work{flops: 2 * float64(v.k*v.k*v.c/v.group*v.o*out*out)}
	in, attrs := fmt.Sprintf("1,%d,%d,%d,16", (v.c+15)/16, v.size, v.size), fmt.Sprintf("channels = %d", v.c)
	if v.c == 3 {
		in, attrs = fmt.Sprintf("1,3,%d,%d", v.size, v.size), attrs+", plain_input = 1"
	}
	p := v.k / 2
	w.graph = fmt.Sprintf("graph (%%x: f32[%s]) -> (%%y) {\n%s  %%y = BlockedConv(%%x, %%w) {%s, group = %d, strides = [%d, %d], pads = [%d, %d, %d, %d]}\n}\n",
		in, weights(fmt.Sprintf("%d,%d,%d,%d", v.o, v.c/v.group, v.k, v.k)), attrs, v.group, v.stride, v.stride, p, p, p, p)
	return w
}

func (v convolution) String() string {
	return fmt.Sprintf("K=%d,S=%d,C=%d,O=%d,HW=%d", v.k, v.stride, v.c, v.o, v.size)
}

func BenchmarkConv(b *testing.B) {
	for _, v := range []convolution{{1, 1, 64, 256, 1, 56}, {1, 1, 256, 64, 1, 56}, {1, 1, 1024, 256, 1, 14}, {1, 2, 512, 1024, 1, 28}, {1, 1, 96, 24, 1, 56}, {3, 2, 128, 128, 1, 56}, {7, 2, 3, 64, 1, 224}, {3, 2, 3, 32, 1, 224}} {
		v.work().bench(b, v.String())
	}
}

// BenchmarkConv3x3 has the algorithms side by side; the operations are those of the direct one.
func BenchmarkConv3x3(b *testing.B) {
	for _, size := range [][2]int{{64, 56}, {128, 28}, {256, 14}, {512, 7}} {
		v := convolution{3, 1, size[0], size[0], 1, size[1]}
		for _, alg := range []string{"direct", "winograd2", "winograd4"} {
			w := v.work()
			w.algorithm = alg
			w.bench(b, "alg="+alg+"/"+v.String())
		}
	}
}

func BenchmarkDepthwise(b *testing.B) {
	for _, v := range []convolution{{3, 1, 32, 32, 32, 112}, {3, 2, 96, 96, 96, 112}, {3, 1, 384, 384, 384, 14}, {5, 1, 672, 672, 672, 14}, {7, 1, 96, 96, 96, 56}} {
		v.work().bench(b, v.String())
	}
}

func BenchmarkAttention(b *testing.B) {
	for _, s := range [][4]int{{12, 197, 197, 64}, {12, 128, 128, 64}, {12, 1, 512, 64}, {8, 1024, 1024, 64}} {
		h, q, k, d := s[0], s[1], s[2], s[3]
		w := work{flops: 4 * float64(h*q*k*d)}
		w.graph = fmt.Sprintf("graph (%%q: f32[1,%d,%d,%d], %%k: f32[1,%d,%d,%d], %%v: f32[1,%d,%d,%d]) -> (%%y) {\n  %%y = Attention(%%q, %%k, %%v)\n}\n", h, q, d, h, k, d, h, k, d)
		w.bench(b, fmt.Sprintf("H=%d,Q=%d,K=%d,D=%d", h, q, k, d))
	}
}

// rowwise are ops on rows of a matrix, which read and write it once.
func rowwise(b *testing.B, op string, ws func(n int) string, sizes ...[2]int) {
	for _, s := range sizes {
		w := work{bytes: 8 * float64(s[0]*s[1])}
		w.graph = fmt.Sprintf("graph (%%x: f32[%d,%d]) -> (%%y) {\n%s  %%y = %s\n}\n", s[0], s[1], ws(s[1]), op)
		w.bench(b, fmt.Sprintf("M=%d,N=%d", s[0], s[1]))
	}
}

func BenchmarkSoftmax(b *testing.B) {
	rowwise(b, "Softmax(%x)", func(int) string { return "" }, [2]int{128, 128}, [2]int{2364, 197}, [2]int{1, 50257})
}

func BenchmarkLayerNorm(b *testing.B) {
	ws := func(n int) string { return weights(fmt.Sprint(n), fmt.Sprint(n)) }
	rowwise(b, "LayerNormalization(%x, %w, %w1)", ws, [2]int{197, 768}, [2]int{3136, 96}, [2]int{1, 1024})
}
