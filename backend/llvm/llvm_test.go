//go:build linux

package llvm

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/backend"
	"github.com/nnc-go/nnc/internal/native"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/abi"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// cases are kernels from x, y to z; each computes 64 elements per iteration.
var cases = map[string]struct {
	elem tensor.DType
	out  tensor.DType
	f    func(b *loop.Builder, x, y *loop.Value) *loop.Value
}{
	"add_f32":  {tensor.F32, tensor.F32, (*loop.Builder).Add},
	"div_f64":  {tensor.F64, tensor.F64, (*loop.Builder).Div},
	"min_f32":  {tensor.F32, tensor.F32, (*loop.Builder).Min},
	"max_f32":  {tensor.F32, tensor.F32, (*loop.Builder).Max},
	"max_u8":   {tensor.U8, tensor.U8, (*loop.Builder).Max},
	"min_i8":   {tensor.I8, tensor.I8, (*loop.Builder).Min},
	"mul_i32":  {tensor.I32, tensor.I32, (*loop.Builder).Mul},
	"mul_i64":  {tensor.I64, tensor.I64, (*loop.Builder).Mul},
	"exp":      {tensor.F32, tensor.F32, func(b *loop.Builder, x, _ *loop.Value) *loop.Value { return b.Exp(x) }},
	"log":      {tensor.F32, tensor.F32, func(b *loop.Builder, x, _ *loop.Value) *loop.Value { return b.Log(x) }},
	"tanh":     {tensor.F32, tensor.F32, func(b *loop.Builder, x, _ *loop.Value) *loop.Value { return b.Tanh(x) }},
	"erf":      {tensor.F32, tensor.F32, func(b *loop.Builder, x, _ *loop.Value) *loop.Value { return b.Erf(x) }},
	"sin":      {tensor.F32, tensor.F32, func(b *loop.Builder, x, _ *loop.Value) *loop.Value { return b.Sin(x) }},
	"pow":      {tensor.F32, tensor.F32, (*loop.Builder).Pow},
	"fma":      {tensor.F32, tensor.F32, func(b *loop.Builder, x, y *loop.Value) *loop.Value { return b.FMA(x, y, x) }},
	"round":    {tensor.F32, tensor.F32, func(b *loop.Builder, x, _ *loop.Value) *loop.Value { return b.Unary(loop.OpRound, x) }},
	"sqrt":     {tensor.F32, tensor.F32, func(b *loop.Builder, x, _ *loop.Value) *loop.Value { return b.Unary(loop.OpSqrt, x) }},
	"neg_i16":  {tensor.I16, tensor.I16, func(b *loop.Builder, x, _ *loop.Value) *loop.Value { return b.Neg(x) }},
	"f32_i32":  {tensor.F32, tensor.I32, func(b *loop.Builder, x, _ *loop.Value) *loop.Value { return b.CastTo(x, tensor.I32) }},
	"f32_u8":   {tensor.F32, tensor.U8, func(b *loop.Builder, x, _ *loop.Value) *loop.Value { return b.CastTo(x, tensor.U8) }},
	"f32_i64":  {tensor.F32, tensor.I64, func(b *loop.Builder, x, _ *loop.Value) *loop.Value { return b.CastTo(x, tensor.I64) }},
	"f32_u64":  {tensor.F32, tensor.U64, func(b *loop.Builder, x, _ *loop.Value) *loop.Value { return b.CastTo(x, tensor.U64) }},
	"u8_f32":   {tensor.U8, tensor.F32, func(b *loop.Builder, x, _ *loop.Value) *loop.Value { return b.CastTo(x, tensor.F32) }},
	"i64_f32":  {tensor.I64, tensor.F32, func(b *loop.Builder, x, _ *loop.Value) *loop.Value { return b.CastTo(x, tensor.F32) }},
	"i8_i32":   {tensor.I8, tensor.I32, func(b *loop.Builder, x, _ *loop.Value) *loop.Value { return b.CastTo(x, tensor.I32) }},
	"f16_f32":  {tensor.F16, tensor.F32, func(b *loop.Builder, x, _ *loop.Value) *loop.Value { return b.ToF32(x) }},
	"f32_f16":  {tensor.F32, tensor.F16, func(b *loop.Builder, x, _ *loop.Value) *loop.Value { return b.FromF32(x, tensor.F16) }},
	"bf16_f32": {tensor.BF16, tensor.F32, func(b *loop.Builder, x, _ *loop.Value) *loop.Value { return b.ToF32(x) }},
	"shr_u16":  {tensor.U16, tensor.U16, func(b *loop.Builder, x, _ *loop.Value) *loop.Value { return b.Shr(x, b.IntOf(x.Type, 3)) }},
	"select":   {tensor.F32, tensor.F32, func(b *loop.Builder, x, y *loop.Value) *loop.Value { return b.Select(b.Cmp(loop.LE, x, y), x, y) }},
	"cmp_ne":   {tensor.F32, tensor.U8, func(b *loop.Builder, x, y *loop.Value) *loop.Value { return b.CastTo(b.Cmp(loop.NE, x, y), tensor.U8) }},
	"reduce": {tensor.F32, tensor.F32, func(b *loop.Builder, x, _ *loop.Value) *loop.Value {
		return b.Broadcast(b.Reduce(loop.OpReduceAdd, x), x.Type.Lanes)
	}},
	"reducemax": {tensor.I32, tensor.I32, func(b *loop.Builder, x, _ *loop.Value) *loop.Value {
		return b.Broadcast(b.Reduce(loop.OpReduceMax, x), x.Type.Lanes)
	}},
	"shuffle": {tensor.F32, tensor.F32, func(b *loop.Builder, x, y *loop.Value) *loop.Value {
		if x.Type.Lanes == 1 {
			return y // kernels shuffle vectors only
		}
		lanes := make([]int, x.Type.Lanes)
		for i := range lanes {
			lanes[i] = (5*i + 3) % (2 * x.Type.Lanes)
		}
		return b.Shuffle(x, y, lanes...)
	}},
}

const perIter = 64

func build(name string, level *target.Level, lanes int) *loop.Func {
	c := cases[name]
	b := loop.NewFunc(name, level)
	x, y, z := b.Param("x", c.elem, 0, false), b.Param("y", c.elem, 1, false), b.Param("z", c.out, 2, true)
	b.Parallel(func(i *loop.Value) {
		lo := b.MulInt(i, perIter)
		b.Range(lo, b.AddInt(lo, perIter), int64(lanes), func(j *loop.Value) {
			b.Store(z, j, c.f(b, b.Load(x, j, lanes), b.Load(y, j, lanes)))
		})
	})
	loop.Simplify(b.F)
	return b.F
}

// fill makes n elements with the awkward ones among them.
func fill(r *rand.Rand, d tensor.DType, n int) []byte {
	b := tensor.AlignedBytes(int64(n * d.Size()))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	if d == tensor.F32 {
		f := tensor.BytesAs[float32](b)
		for i := range f {
			switch i % 8 {
			case 0, 1, 2, 3, 4:
				f[i] = float32(40 * (r.Float64() - 0.5))
			case 5:
				f[i] = []float32{0, float32(math.Copysign(0, -1)), float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 1e38, -3e9, 2147483648}[r.IntN(8)]
			}
		}
	}
	return b
}

// TestKernelsAgainstEvaluator holds every operation, on each level that this machine has, as scalars
// and as vectors, against package loop's evaluator, bit for bit (NaNs are all the same).
func TestKernelsAgainstEvaluator(t *testing.T) {
	back, err := New()
	if err != nil {
		t.Skip(err)
	}
	arch, err := target.ArchByName(runtime.GOARCH)
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(1, 1))
	for _, level := range arch.Levels {
		if !abi.HasFeatures(level.CPUID) {
			t.Logf("skipping level %s: this processor lacks it", level.Name)
			continue
		}
		var fs []*loop.Func
		for name := range cases {
			for _, lanes := range []int{1, level.Lanes(4)} {
				f := build(name, level, lanes)
				f.Name = fmt.Sprintf("%s_%d", name, lanes)
				fs = append(fs, f)
			}
		}
		files, err := back.Generate(context.Background(), &target.Target{OS: "linux", Arch: arch, Levels: arch.Levels}, []backend.Kernels{{Level: level, Funcs: fs}}, backend.Object)
		require.NoError(t, err)
		var objs [][]byte
		for _, f := range files {
			objs = append(objs, f.Data)
		}
		code, err := native.Load(objs...)
		require.NoError(t, err)
		for _, f := range fs {
			t.Run(level.Name+"/"+f.Name, func(t *testing.T) {
				require.NoError(t, loop.Verify(f))
				n := 4 * perIter
				x, y := fill(r, f.Bufs[0].Elem, n), fill(r, f.Bufs[1].Elem, n)
				size := n * f.Bufs[2].Elem.Size()
				want, got := make([]byte, size), tensor.AlignedBytes(int64(size))
				require.NoError(t, loop.Eval(f, map[int][]byte{0: x, 1: y, 2: want}, nil, 0, 4))
				args := []int64{addr(x), addr(y), addr(got)}
				abi.Call(code.Symbol(backend.Symbol(f.Name, level.Name)), &args[0], 0, 4)
				w, g := &tensor.Tensor{DType: f.Bufs[2].Elem, Data: want}, &tensor.Tensor{DType: f.Bufs[2].Elem, Data: got}
				for i := range int64(n) {
					if a, b := w.At(i), g.At(i); a == a || b == b {
						in := &tensor.Tensor{DType: f.Bufs[0].Elem, Data: x}
						in2 := &tensor.Tensor{DType: f.Bufs[0].Elem, Data: y}
						require.Equal(t, a, b, "element %d of %v, %v", i, in.At(i), in2.At(i))
					}
				}
			})
		}
		require.NoError(t, code.Close())
	}
}

func addr(b []byte) int64 { return int64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }

// TestEveryOperationIsRendered: a new operation of package loop cannot be forgotten.
func TestEveryOperationIsRendered(t *testing.T) {
	for op := loop.OpConst; op < loop.OpFor; op++ {
		require.NotNil(t, table[op], "%v", op)
	}
}

// TestTargets compiles for every system and architecture.
func TestTargets(t *testing.T) {
	back, err := New()
	if err != nil {
		t.Skip(err)
	}
	for _, arch := range target.Archs {
		for os := range arch.Triple {
			level := arch.Levels[len(arch.Levels)-1]
			ks := []backend.Kernels{{Level: level, Funcs: []*loop.Func{build("exp", level, level.Lanes(4)), build("u8_f32", level, 1)}}}
			files, err := back.Generate(context.Background(), &target.Target{OS: os, Arch: arch, Levels: arch.Levels}, ks, backend.Object)
			require.NoError(t, err, "%s/%s", os, arch.Name)
			require.Len(t, files, 1)
		}
	}
}
