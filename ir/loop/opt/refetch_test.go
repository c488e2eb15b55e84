package opt_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/ir/loop/opt"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// TestRefetch: a tile of three rows by four vectors has 12 sums, 4 vectors and a broadcast. With 16 registers one vector
// is loaded for each row, with 32 none.
func TestRefetch(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	m := memory{0: numbers(rng, tensor.F32, 64, 2, false), 1: numbers(rng, tensor.F32, 512, 2, false), 2: make([]byte, 4*96)}
	for regs, loads := range map[int]int{16: 3 + 3 + 3, 32: 3 + 4} {
		b := loop.NewFunc("tile", &target.Level{FMA: true})
		tile(b, 3, 4)
		f := loop.Clone(b.F)
		opt.Optimize(f, &opt.Target{VecBytes: 32, Registers: regs})
		require.NoError(t, loop.Verify(f), "%v", f)
		sameResults(t, b.F, f, m, nil, 0, 1)
		require.Equal(t, loads, countLoads(f.Body), "%d registers:\n%v", regs, f)
	}
}

// tile multiplies rows of x by the vectors of y, which it stores.
func tile(b *loop.Builder, rows, vecs int) {
	x, y, out := b.Param("x", tensor.F32, 0, false), b.Param("y", tensor.F32, 1, false), b.Param("out", tensor.F32, 2, true)
	zero := b.Float(loop.Vec(tensor.F32, 8), 0)
	sums := make([]*loop.Value, rows*vecs)
	for i := range sums {
		sums[i] = zero
	}
	sums = b.For(b.Int(0), b.Int(16), 1, sums, func(k *loop.Value, s []*loop.Value) (next []*loop.Value) {
		var ys []*loop.Value
		for v := range vecs {
			ys = append(ys, b.Load(y, b.AddInt(b.MulInt(k, int64(8*vecs)), int64(8*v)), 8))
		}
		for r := range rows {
			xr := b.Broadcast(b.Load(x, b.AddInt(k, int64(16*r)), 1), 8)
			for v := range vecs {
				next = append(next, b.FMA(xr, ys[v], s[r*vecs+v]))
			}
		}
		return next
	})
	for i, s := range sums {
		b.Store(out, b.Int(int64(8*i)), s)
	}
}

func countLoads(b *loop.Block) (n int) {
	for _, in := range b.Instrs {
		if in.Op == loop.OpLoad {
			n++
		}
		for _, s := range in.Blocks {
			n += countLoads(s)
		}
	}
	return n
}
