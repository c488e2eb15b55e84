package opt_test

import (
	"math/rand/v2"
	"testing"

	"github.com/nnc-go/nnc/internal/filetest"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/ir/loop/opt"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// TestLegalizeCompare: predicates of one width choose among elements of another.
func TestLegalizeCompare(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for i, d := range elemTypes {
		for p := loop.EQ; p <= loop.GE; p++ {
			e := elemTypes[(i+int(p)+1)%len(elemTypes)]
			m := memory{0: numbers(rng, d, 64, 0, false), 1: numbers(rng, d, 64, 0, false), 2: numbers(rng, e, 64, 0, false), 3: numbers(rng, e, 64, 0, false), 4: make([]byte, 64*8), 5: make([]byte, 64*8)}
			copy(m[1][:16*d.Size()], m[0])
			for _, n := range []int{1, 4, 32} {
				legalize(t, func(b *loop.Builder) { compareKernel(b, p, d, e, n) }, m)
			}
		}
	}
}

func compareKernel(b *loop.Builder, p loop.Pred, d, e tensor.DType, n int) {
	load := func(name string, d tensor.DType, arg int) *loop.Value {
		return b.Load(b.Param(name, d, arg, false), b.Int(0), n)
	}
	x, y, u, v := load("x", d, 0), load("y", d, 1), load("u", e, 2), load("v", e, 3)
	c := b.Cmp(p, x, y)
	other := b.Cmp(p, u, v)
	wrote := b.Param("out", d, 4, true)
	b.Store(b.Param("to", e, 5, true), b.Int(0), b.Select(b.Xor(c, other), u, v))
	mixed := b.Select(b.Not(other), b.Or(c, other), b.And(c, b.Broadcast(b.Cmp(loop.LT, b.F.Lo, b.F.Hi), n)))
	b.Store(wrote, b.Int(0), b.Select(b.Xor(mixed, c), x, y))
	if n > 1 {
		turned := make([]int, n)
		for i := range turned {
			turned[i] = (7 * i) % (2 * n)
		}
		c = b.Shuffle(c, other, turned...)
		b.Store(wrote, b.Int(32), b.Select(b.Extract(c, n-1), b.Extract(x, 1), b.Extract(y, n/2)))
		b.StoreMask(wrote, b.Int(int64(63-n)), b.Select(c, x, y), other)
	}
}

// TestLegalizeMemory: masked accesses and gathers, and predicates and vectors that loops and conditionals carry.
func TestLegalizeMemory(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, d := range append([]tensor.DType{tensor.F16}, elemTypes...) {
		m := memory{0: numbers(rng, d, 80, 0, false), 1: make([]byte, 8*64), 2: make([]byte, 200*d.Size())}
		for i := range 64 {
			m[1][8*i] = byte(rng.IntN(80))
		}
		for _, n := range []int{2, 8, 32} {
			legalize(t, func(b *loop.Builder) { memoryKernel(b, d, n) }, m)
		}
	}
}

func memoryKernel(b *loop.Builder, d tensor.DType, n int) {
	src, idx, out := b.Param("src", d, 0, false), b.Param("idx", tensor.I64, 1, false), b.Param("out", d, 2, true)
	at := b.Load(idx, b.Int(0), n)
	lanes := b.Iota(at.Type)
	c := b.Cmp(loop.LT, at, b.Broadcast(b.Int(40), n))
	zero := b.Bits(loop.Vec(d, n), 0)
	res := b.For(b.Int(0), b.Int(5), 2, []*loop.Value{c, zero}, func(i *loop.Value, v []*loop.Value) []*loop.Value {
		x := b.Gather(src, b.Select(v[0], at, lanes))
		x = b.Select(v[0], x, b.LoadMask(src, i, v[0]))
		r := b.If(b.Cmp(loop.GT, i, b.Int(1)), func() []*loop.Value { return []*loop.Value{x, b.Not(v[0])} },
			func() []*loop.Value { return []*loop.Value{v[1], b.Cmp(loop.LE, lanes, b.Broadcast(i, n))} })
		b.Store(out, b.MulInt(i, int64(n)), r[0])
		return []*loop.Value{r[1], x}
	})
	b.StoreMask(out, b.Int(int64(3*n)), res[1], res[0])
	b.Store(out, b.Int(190), b.Extract(res[1], n-1))
}

// TestLegalizeShuffle: lanes from everywhere, other numbers of them than the operands', and bits in other widths.
func TestLegalizeShuffle(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for _, d := range []tensor.DType{tensor.U8, tensor.I16, tensor.F32, tensor.U64} {
		for _, n := range []int{2, 8, 64} {
			for _, to := range []int{2, 4, 32, 64} {
				m := memory{0: numbers(rng, d, 64, 0, false), 1: numbers(rng, d, 64, 0, false), 2: make([]byte, 64*8), 3: make([]byte, 64*8)}
				lanes := make([]int, to)
				if to*d.Size() > 256 {
					continue
				}
				for i := range lanes {
					lanes[i] = rng.IntN(2 * n)
				}
				legalize(t, func(b *loop.Builder) {
					x, y := b.Load(b.Param("x", d, 0, false), b.Int(0), n), b.Load(b.Param("y", d, 1, false), b.Int(0), n)
					v := b.Shuffle(x, y, lanes...)
					b.Store(b.Param("out", d, 2, true), b.Int(0), v)
					if bytes := to * d.Size(); bytes >= 8 {
						u := b.Bitcast(v, loop.Vec(tensor.U32, bytes/4))
						b.Store(b.Param("words", tensor.U32, 3, true), b.Int(0), b.Add(u, u))
					}
				}, m)
			}
		}
	}
}

func TestLegalizeDot4(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for _, n := range []int{2, 8, 16} {
		m := memory{0: numbers(rng, tensor.U8, 128, 0, false), 1: numbers(rng, tensor.I8, 128, 0, false), 2: numbers(rng, tensor.I32, 32, 0, false)}
		legalize(t, func(b *loop.Builder) {
			acc := b.Param("acc", tensor.I32, 2, true)
			x, y := b.Load(b.Param("x", tensor.U8, 0, false), b.Int(0), 4*n), b.Load(b.Param("y", tensor.I8, 1, false), b.Int(0), 4*n)
			b.Store(acc, b.Int(0), b.Dot4(b.Load(acc, b.Int(0), n), x, y))
		}, m)
	}
}

// TestOps: the kernels of ops give the same bits when they are cut to a quarter of their width for a poor machine, and
// optimised. A third of the files does here; compiled text tests run them all.
func TestOps(t *testing.T) {
	if testing.Short() {
		t.Skip("10 s")
	}
	tg := &opt.Target{VecBytes: 16, Native: func(in *loop.Instr) bool {
		// The rule may choose the other zero, as it may.
		if in.Op == loop.OpMin || in.Op == loop.OpMax {
			return in.Results[0].Type.Elem.IsFloat()
		}
		return little(in)
	}}
	for _, p := range []string{"../../../testdata/ops/[A-D]*.nir", "../../../lower/testdata/*.nir"} {
		filetest.Transformed(t, p, "amd64/avx512", func(f *loop.Func) error {
			if err := opt.Legalize(f, tg); err != nil {
				return err
			}
			opt.Optimize(f, tg)
			checkLegal(t, f, tg)
			return nil
		})
	}
}
