//go:build linux

package driver

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/backend/llvm"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/abi"
	"github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

const digits = "../../examples/digits_cnn/model.onnx"

// load compiles the example for this machine.
func load(t *testing.T, opts Options, eo exec.Options) *Loaded {
	if _, err := llvm.New(); err != nil {
		t.Skip(err)
	}
	opts.CPU = "native"
	m, err := Compile(context.Background(), digits, opts)
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	l, err := m.Load(context.Background(), eo)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

func images(seed uint64, n int64) *tensor.Tensor {
	x := tensor.New(tensor.F32, n, 1, 8, 8)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range tensor.View[float32](x) {
		tensor.View[float32](x)[i] = float32(r.IntN(17))
	}
	return x
}

func logits(t *testing.T, l *Loaded, x *tensor.Tensor) []byte {
	out := make([]hostop.Value, 1)
	require.NoError(t, l.Run(context.Background(), []hostop.Value{x}, out))
	return out[0].(*tensor.Tensor).Data
}

// TestThreadsAgree: results are the same bit for bit on one thread, on many, and in concurrent calls.
func TestThreadsAgree(t *testing.T) {
	one, many := load(t, Options{}, exec.Options{Threads: 1}), load(t, Options{}, exec.Options{Threads: 4})
	var wg sync.WaitGroup
	for n := range int64(9) {
		x := images(uint64(n), n)
		want := logits(t, one, x)
		for range 4 {
			wg.Go(func() {
				for range 20 {
					out := make([]hostop.Value, 1)
					if assert.NoError(t, many.Run(context.Background(), []hostop.Value{x}, out)) {
						assert.Equal(t, want, out[0].(*tensor.Tensor).Data, "batch of %d", n)
					}
				}
			})
		}
	}
	wg.Wait()
}

// TestLoadAll: models that are loaded together compute what they do alone, though kernels that are alike are compiled once.
func TestLoadAll(t *testing.T) {
	x := images(3, 4)
	var cs []*Compiled
	var want [][]byte
	kernels := 0
	for _, o := range []Options{{CPU: "native"}, {CPU: "native", NoOptimize: true}, {CPU: "native"}} {
		want = append(want, logits(t, load(t, o, exec.Options{}), x))
		c, err := Compile(context.Background(), digits, o)
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
		cs, kernels = append(cs, c), kernels+len(c.Kernels()[0].Funcs)
	}
	ks, _ := together(cs)
	require.LessOrEqual(t, len(ks[0].Funcs), kernels-len(cs[0].Kernels()[0].Funcs))
	ls, err := LoadAll(context.Background(), cs, exec.Options{})
	require.NoError(t, err)
	for i, l := range ls {
		require.Equal(t, want[i], logits(t, l, x))
		require.NoError(t, l.Close())
	}
}

// TestBatchAgrees: an image's result does not depend on its neighbours in the batch.
func TestBatchAgrees(t *testing.T) {
	l := load(t, Options{}, exec.Options{})
	x := images(7, 5)
	all := logits(t, l, x)
	for i := range int64(5) {
		part := &tensor.Tensor{DType: tensor.F32, Shape: []int64{1, 1, 8, 8}, Data: x.Data[i*256 : (i+1)*256]}
		assert.Equal(t, all[i*40:(i+1)*40], logits(t, l, part))
	}
}

// TestNoAllocations: a call whose outputs are reused allocates nothing.
func TestNoAllocations(t *testing.T) {
	l := load(t, Options{}, exec.Options{Threads: 1})
	in, out := []hostop.Value{images(1, 3)}, make([]hostop.Value, 1)
	ctx := context.Background()
	require.NoError(t, l.Run(ctx, in, out))
	assert.Zero(t, testing.AllocsPerRun(50, func() {
		if err := l.Run(ctx, in, out); err != nil {
			t.Error(err)
		}
	}))
}

func TestRunErrors(t *testing.T) {
	l := load(t, Options{}, exec.Options{})
	ctx := context.Background()
	run := func(ctx context.Context, in ...hostop.Value) error { return l.Run(ctx, in, make([]hostop.Value, 1)) }
	for _, c := range []struct {
		name string
		in   []hostop.Value
		kind error
		says string
	}{
		{"rank", []hostop.Value{tensor.New(tensor.F32, 8, 8)}, exec.ErrShape, "f32[N,1,8,8]"},
		{"dimension", []hostop.Value{tensor.New(tensor.F32, 1, 1, 8, 9)}, exec.ErrShape, "9"},
		{"type", []hostop.Value{tensor.New(tensor.F64, 1, 1, 8, 8)}, exec.ErrDType, "f64"},
		{"missing", []hostop.Value{nil}, exec.ErrInput, "got nothing"},
		{"number", nil, exec.ErrInput, "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := run(ctx, c.in...)
			require.ErrorIs(t, err, c.kind)
			assert.ErrorContains(t, err, c.says)
		})
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	assert.True(t, errors.Is(run(done, images(1, 1)), context.Canceled))

	small := load(t, Options{}, exec.Options{MaxMemory: 1 << 20})
	err := small.Run(ctx, []hostop.Value{images(1, 4096)}, make([]hostop.Value, 1))
	require.ErrorIs(t, err, exec.ErrMemory)

	l.Model.Close()
	assert.ErrorIs(t, run(ctx, images(1, 1)), exec.ErrClosed)
}

// TestModes: what -O and -math choose agrees within rounding.
func TestModes(t *testing.T) {
	x := images(3, 4)
	want := tensor.BytesAs[float32](logits(t, load(t, Options{}, exec.Options{}), x))
	for _, o := range []Options{{NoOptimize: true}, {Math: "strict"}, {Math: "fast"}} {
		got := tensor.BytesAs[float32](logits(t, load(t, o, exec.Options{}), x))
		delta := 1e-3
		if o.fast() {
			delta = 0.2
		}
		for i := range want {
			assert.InDelta(t, want[i], got[i], delta, "%+v", o)
		}
	}
	_, err := Compile(context.Background(), digits, Options{Math: "loose"})
	assert.ErrorContains(t, err, "want strict, default or fast")
}

// TestBlowUp: sizes that an input asks for and the machine has not are an error that names them.
func TestBlowUp(t *testing.T) {
	if _, err := llvm.New(); err != nil {
		t.Skip(err)
	}
	for name, src := range map[string]string{
		"ConstantOfShape": `%y: f32[?] = ConstantOfShape(%n) @ "big" ConstantOfShape ai.onnx 9`,
		"Expand":          `%c: f32[1] = Const() {value = f32[1] [1]}` + "\n" + `  %y: f32[?] = Expand(%c, %n) @ "big" Expand ai.onnx 13`,
		"Tile":            `%c: f32[1] = Const() {value = f32[1] [1]}` + "\n" + `  %y: f32[?] = Tile(%c, %n) @ "big" Tile ai.onnx 13`,
	} {
		t.Run(name, func(t *testing.T) {
			m, err := ir.Parse("module \"m\"\ngraph (%n: i64[1]) -> (%y) {\n  " + strings.ReplaceAll(src, "f32[?]", "f32[u1]") + "\n}")
			require.NoError(t, err)
			c, err := CompileModule(context.Background(), m, Options{CPU: "native"})
			require.NoError(t, err)
			defer c.Close()
			l, err := c.Load(context.Background(), exec.Options{})
			require.NoError(t, err)
			defer l.Close()
			run := func(n int64) error {
				return l.Run(context.Background(), []hostop.Value{tensor.Of([]int64{n}, 1)}, make([]hostop.Value, 1))
			}
			require.NoError(t, run(3))
			err = run(30_000_000_000)
			require.Error(t, err)
			t.Log(err)
			assert.ErrorContains(t, err, "got 120000000") // and what else is in memory
			assert.ErrorContains(t, err, "big")
		})
	}
}

// TestLevelsAgree: the kernels of every level of every architecture, evaluated, agree with what runs here.
func TestLevelsAgree(t *testing.T) {
	x := images(11, 2)
	want := tensor.BytesAs[float32](logits(t, load(t, Options{}, exec.Options{}), x))
	for _, a := range target.Archs {
		for _, l := range a.Levels {
			t.Run(a.Name+"/"+l.Name, func(t *testing.T) {
				c, err := Compile(context.Background(), digits, Options{Target: a.Name, CPU: l.Name})
				require.NoError(t, err)
				defer c.Close()
				m, err := c.LoadEvaluated(exec.Options{Threads: 1})
				require.NoError(t, err)
				defer m.Close()
				out := make([]hostop.Value, 1)
				require.NoError(t, m.Run(context.Background(), []hostop.Value{x}, out))
				got := tensor.View[float32](out[0].(*tensor.Tensor))
				for i := range want {
					assert.InDelta(t, want[i], got[i], 1e-4)
				}
			})
		}
	}
}

// TestFastOnEveryLevel: what -math=fast makes for all levels gives the same on each of them, to the bit where there are
// fused multiplications, and nearly what the default gives.
func TestFastOnEveryLevel(t *testing.T) {
	if _, err := llvm.New(); err != nil {
		t.Skip(err)
	}
	c, err := Compile(context.Background(), digits, Options{Math: "fast"})
	require.NoError(t, err)
	defer c.Close()
	if !c.Target.BF16() {
		t.Skip("no level multiplies bf16")
	}
	require.NotZero(t, c.Stats.Hits["narrow-product"])
	x := images(11, 2)
	want := tensor.BytesAs[float32](logits(t, load(t, Options{}, exec.Options{}), x))
	var bits []byte
	for _, l := range c.Target.Levels {
		if !abi.HasFeatures(l.CPUID) {
			continue
		}
		m, err := c.Load(context.Background(), exec.Options{CPU: l.Name})
		require.NoError(t, err, l.Name)
		got := logits(t, m, x)
		for i, y := range tensor.BytesAs[float32](got) {
			assert.InDelta(t, want[i], y, 0.2, l.Name)
		}
		if bits != nil {
			assert.Equal(t, bits, got, l.Name)
		}
		if l.FMA {
			bits = got
		}
		require.NoError(t, m.Close())
	}
}

// TestFastWeightsAgree: the further architectures of a Go package have the weights of the first, of bf16 if those are.
func TestFastWeightsAgree(t *testing.T) {
	amd64, err := Compile(context.Background(), digits, Options{Target: "amd64", Math: "fast"})
	require.NoError(t, err)
	defer amd64.Close()
	if !amd64.narrows() {
		t.Skip("no level multiplies bf16")
	}
	for _, narrow := range []bool{true, false} {
		arm64, err := Compile(context.Background(), digits, Options{Target: "arm64", Math: "fast", narrow: narrow})
		require.NoError(t, err)
		defer arm64.Close()
		assert.Equal(t, narrow, sameWeights(amd64, arm64) == nil)
		assert.Equal(t, narrow, len(arm64.Warnings()) == 0, "%v", arm64.Warnings())
	}
}

// TestOperandOfHigherRank: bounds of shape [1] for a scalar, which the specification does not foresee
// and exporters write, neither panic nor change the result's shape.
func TestOperandOfHigherRank(t *testing.T) {
	m, err := ir.Parse(`module "m"
graph (%x: f32[], %lo: f32[1]) -> (%y) {
  %y: f32[] = Clip(%x, %lo) @ "clip" Clip ai.onnx 13
}`)
	require.NoError(t, err)
	assert.NotPanics(t, func() {
		c, err := CompileModule(context.Background(), m, Options{CPU: "native"})
		if err == nil {
			assert.Empty(t, c.Module.Graph.Results[0].Type.Shape)
			c.Close()
		}
	})
}

// TestRankOfIf: an If whose branches differ in rank is compiled for the squeezed one; the build warns, and
// a run for which the condition does not hold is an error that names the node.
func TestRankOfIf(t *testing.T) {
	if _, err := llvm.New(); err != nil {
		t.Skip(err)
	}
	m, err := ir.Parse(`module "m"
graph (%x: f32[N,2], %c: bool[]) -> (%z) {
  %a: i64[1] = Const() {value = i64[1] [0]}
  %y = If(%c) @ "squeeze" If ai.onnx 16 region () -> (%s) {
    %s = Squeeze(%x, %a)
  } region () -> (%x) {
  }
  %z = Relu(%y)
}`)
	require.NoError(t, err)
	c, err := CompileModule(context.Background(), m, Options{CPU: "native"})
	require.NoError(t, err)
	defer c.Close()
	require.Len(t, c.Warnings(), 1)
	assert.Contains(t, c.Warnings()[0], `If "squeeze"`)
	l, err := c.Load(context.Background(), exec.Options{})
	require.NoError(t, err)
	defer l.Close()
	run := func(n int64, cond bool) error {
		return l.Run(context.Background(), []hostop.Value{tensor.New(tensor.F32, n, 2), tensor.Of([]bool{cond})}, make([]hostop.Value, 1))
	}
	assert.NoError(t, run(1, true))
	assert.ErrorContains(t, run(3, false), `If "squeeze"`)
}

// TestDefaultIsNotFolded: an input with a default value stays an input of the optimised program, also where
// all that depends on it could be computed beforehand.
func TestDefaultIsNotFolded(t *testing.T) {
	if _, err := llvm.New(); err != nil {
		t.Skip(err)
	}
	m, err := ir.Parse(`module "m"
graph (%x: f32[2], %w: f32[2]) -> (%y) {
  %e = Neg(%w)
  %y = Add(%x, %e)
}`)
	require.NoError(t, err)
	m.Defaults["w"] = ir.DataOf(tensor.Of([]float32{1, 2}, 2))
	c, err := CompileModule(context.Background(), m, Options{CPU: "native"})
	require.NoError(t, err)
	defer c.Close()
	l, err := c.Load(context.Background(), exec.Options{})
	require.NoError(t, err)
	defer l.Close()
	for _, r := range []struct {
		w    hostop.Value
		want []float32
	}{{nil, []float32{9, 18}}, {tensor.Of([]float32{5, 5}, 2), []float32{5, 15}}, {nil, []float32{9, 18}}} {
		out := make([]hostop.Value, 1)
		require.NoError(t, l.Run(context.Background(), []hostop.Value{tensor.Of([]float32{10, 20}, 2), r.w}, out))
		assert.Equal(t, r.want, tensor.View[float32](out[0].(*tensor.Tensor)))
	}
}
