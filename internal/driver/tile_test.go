package driver

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/backend"
	"github.com/nnc-go/nnc/backend/goasm"
	"github.com/nnc-go/nnc/internal/native"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/abi"
	"github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// tiles are products of one register tile by level, with operands that fit the first-level cache.
var tiles = []struct {
	level string
	m, n  int
}{{"avx2", 6, 16}, {"avx512", 14, 32}}

const tileDepth = 256

// BenchmarkTile runs the product of one register tile as each backend compiles it, and as many
// multiply-additions as the machine does without any memory: go test ./internal/driver -bench Tile -run - -count 5.
func BenchmarkTile(b *testing.B) {
	for _, t := range tiles {
		l, err := levelByName(t.level)
		require.NoError(b, err)
		if !abi.HasFeatures(l.CPUID) {
			b.Logf("%s: not on this processor", t.level)
			continue
		}
		b.Run(t.level+"/peak", func(b *testing.B) { benchPeak(b, l) })
		for _, name := range []string{"llvm", "goasm"} {
			if _, err := OpenBackend(name); err != nil {
				b.Log(err)
				continue
			}
			b.Run(t.level+"/"+name, func(b *testing.B) {
				src := fmt.Sprintf("module \"m\"\ngraph (%%x: f32[%d,%d], %%w: f32[%d,%d]) -> (%%y) {\n  %%y = MatMul(%%x, %%w)\n}\n", t.m, tileDepth, tileDepth, t.n)
				benchKernel(b, src, Options{CPU: t.level, Backend: name}, 2*float64(t.m*t.n*tileDepth))
			})
		}
	}
}

func levelByName(name string) (*target.Level, error) {
	for _, a := range target.Archs {
		for _, l := range a.Levels {
			if l.Name == name {
				return l, nil
			}
		}
	}
	return nil, fmt.Errorf("no level %s", name)
}

// benchKernel times the gemm kernel of a module, called again and again on the same operands.
func benchKernel(b *testing.B, src string, o Options, flops float64) {
	m, err := ir.Parse(src)
	require.NoError(b, err)
	ctx := context.Background()
	c, err := CompileModule(ctx, m, o)
	require.NoError(b, err)
	defer c.Close()
	ks, names := together([]*Compiled{c})
	code := &sharedCode{}
	enter, symbols, err := code.generate(ctx, c, ks)
	require.NoError(b, err)
	defer code.Code.Close()
	if enter == nil {
		enter = abi.Call
	}
	var gemm uintptr
	var best float64
	timed := func(fn uintptr, args *int64, lo, hi int64) {
		enter(fn, args, lo, hi)
		if fn != gemm {
			return
		}
		best = slices100(b, func() { enter(fn, args, lo, hi) })
	}
	model, err := c.model(exec.Options{Threads: 1}, timed, func(_, k int) uintptr {
		f := c.Program.Kernels[0][k]
		s := backend.Symbol(names[f], o.CPU)
		if symbols != nil {
			s = symbols[s]
		}
		if strings.HasPrefix(f.Name, "gemm") {
			gemm = code.Symbol(s)
		}
		return code.Symbol(s)
	})
	require.NoError(b, err)
	defer model.Close()
	require.NotZero(b, gemm)
	in := []hostop.Value{}
	for _, io := range c.Program.Plan.Inputs {
		in = append(in, tensor.New(io.DType, c.Program.Plan.Slots[io.Shape[0]].Imm, c.Program.Plan.Slots[io.Shape[1]].Imm))
	}
	require.NoError(b, model.Run(ctx, in, make([]hostop.Value, 1)))
	b.ReportMetric(flops/best, "GFLOP/s")
}

// benchPeak times independent multiply-additions in registers.
func benchPeak(b *testing.B, l *target.Level) {
	const steps, chains = 1000, 12
	lanes := l.Lanes(4)
	k := loop.NewFunc("peak", l)
	out := k.Param("out", tensor.F32, 0, true)
	zero := k.Float(loop.Vec(tensor.F32, lanes), 0)
	one := k.Load(out, k.Int(0), lanes)
	var init []*loop.Value
	for range chains {
		init = append(init, zero)
	}
	acc := k.For(k.Int(0), k.Int(steps), 1, init, func(_ *loop.Value, acc []*loop.Value) []*loop.Value {
		next := make([]*loop.Value, chains)
		for i, a := range acc {
			next[i] = k.FMA(one, one, a)
		}
		return next
	})
	for i, a := range acc {
		k.Store(out, k.Int(int64(i*lanes)), a)
	}
	f := k.F
	a, err := target.ArchByName("amd64")
	require.NoError(b, err)
	files, err := goasm.GoAsm{}.Generate(context.Background(), &target.Target{OS: "linux", Arch: a}, []backend.Kernels{{Level: l, Funcs: []*loop.Func{f}}}, backend.GoAssembly)
	require.NoError(b, err)
	symbol := files[0].Funcs[backend.Symbol("peak", l.Name)]
	code, err := native.LoadGoAsm(context.Background(), map[string][]byte{"k_amd64.s": files[0].Data}, []string{symbol})
	require.NoError(b, err)
	defer code.Close()
	mem := tensor.AlignedBytes(64 * chains)
	args := []*byte{&mem[0]}
	best := slices100(b, func() { abi.CallGo(code.Symbol(symbol), (*int64)(unsafe.Pointer(&args[0])), 0, 1) })
	b.ReportMetric(2*steps*chains*float64(lanes)/best, "GFLOP/s")
}

// slices100 runs f b.N times and gives the least time of a run, in ns, over slices of a hundred: what else the machine does shows
// in some slices only.
func slices100(b *testing.B, f func()) float64 {
	const slice = 100
	b.ResetTimer()
	best := math.Inf(1)
	for n := 0; n < b.N; n += slice {
		start := time.Now()
		for range slice {
			f()
		}
		best = min(best, float64(time.Since(start).Nanoseconds())/slice)
	}
	b.StopTimer()
	return best
}
