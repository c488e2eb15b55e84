package kerneltest

import (
	"math"
	"math/rand/v2"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// normal drops subnormal numbers, which instructions on bf16 take for zero.
func normal(d tensor.DType, bits []uint64) (out []uint64) {
	for _, v := range bits {
		if x := math.Abs(toFloat(d, v)); x == 0 || !(x < 0x1p-126) {
			out = append(out, v)
		}
	}
	return out
}

// moderate drops numbers whose products are subnormal or too large.
func moderate(d tensor.DType, bits []uint64) (out []uint64) {
	for _, v := range bits {
		if x := math.Abs(toFloat(d, v)); x == 0 || math.IsInf(x, 0) || !(x < 0x1p-30) && !(x > 0x1p30) {
			out = append(out, v)
		}
	}
	return out
}

// pairProducts are Dot2 of each length.
func pairProducts(level *target.Level, r *rand.Rand) *Kernel {
	const n = 128
	m := newKernel(level, "dot2")
	acc := m.in(tensor.F32, pad(moderate(tensor.F32, many(tensor.F32, r, n)), n))
	x := m.in(tensor.BF16, pad(moderate(tensor.BF16, many(tensor.BF16, r, n)), 2*n))
	y := m.in(tensor.BF16, pad(moderate(tensor.BF16, random(tensor.BF16, r, n)), 2*n))
	out := m.results(tensor.F32, AnyNaN)
	for _, lanes := range lengths {
		if 2*lanes > loop.MaxLanes {
			break
		}
		for at := int64(0); at+int64(lanes) <= n; at += max(int64(lanes), 5) {
			out.add(m.Dot2(m.Load(acc, m.Int(at), lanes), m.Load(x, m.Int(2*at), 2*lanes), m.Load(y, m.Int(2*at), 2*lanes)), "%d pairs from %d", lanes, at)
		}
	}
	return m.done()
}

// pair is Dot2 of numbers from 1 to 2 in size, since subnormal ones count as 0.
func (g *dice) pair() {
	n := g.length(tensor.F32)
	if 2*n > loop.MaxLanes {
		return
	}
	factor := func() *loop.Value {
		u16 := loop.Vec(tensor.U16, 2*n)
		x := g.And(g.Bitcast(g.pick(loop.Vec(tensor.BF16, 2*n)), u16), g.IntOf(u16, 0x807f))
		return g.Bitcast(g.Or(x, g.IntOf(u16, 0x3f80)), loop.Vec(tensor.BF16, 2*n))
	}
	acc := g.pick(loop.Vec(tensor.F32, n))
	small := g.Cmp(loop.LT, g.Unary(loop.OpAbs, acc), g.Float(acc.Type, 0x1p-60))
	g.see(g.Dot2(g.Select(small, g.Float(acc.Type, 0), acc), factor(), factor()), true)
}
