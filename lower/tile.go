package lower

import (
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// A register tile: rows (pixels of a convolution, rows of a matrix) by blocks of 16 columns. Its
// accumulators stay in registers over the whole reduction. Each step of the reduction broadcasts one
// scalar per row and loads one vector of packed weights per 16/lanes columns.
type tile struct {
	rows, blocks int
}

// vectors is the number of registers that hold a block of 16 columns.
func vectors(l *target.Level) int { return target.Block / l.Lanes(4) }

// fits reports whether the accumulators of t fit the registers that the level has for them.
func (t tile) fits(l *target.Level) bool { return t.rows*t.blocks*vectors(l) <= l.Tile }

// l2BytesPerCycle is what a core streams from its L2 without the FMA pipes waiting.
const l2BytesPerCycle = 14

// cycles estimates one reduction step on a core with two FMA pipes of latency four and two load ports,
// whose weights come from L2: a tile's panels are longer than L1.
func (t tile) cycles(l *target.Level) float64 {
	acc := float64(t.rows * t.blocks * vectors(l))
	loads := float64(t.rows + t.blocks*vectors(l))
	if t.blocks*vectors(l) == 1 { // a scalar that one vector needs is loaded by the multiplication, which takes longer
		loads *= 1.5
	}
	stream := float64(t.blocks*target.Block*4) / l2BytesPerCycle
	return max(acc/2, loads/2, stream, 4) + 0.15*loads/2
}

// accs are a tile's accumulators: accs[row][vector].
type accs [][]*loop.Value

func (k *K) zeroAccs(t tile) accs {
	z := k.Float(loop.Vec(tensor.F32, k.Level.Lanes(4)), 0)
	a := make(accs, t.rows)
	for p := range a {
		a[p] = make([]*loop.Value, t.blocks*vectors(k.Level))
		for j := range a[p] {
			a[p][j] = z
		}
	}
	return a
}

func (a accs) flat() []*loop.Value {
	var f []*loop.Value
	for _, r := range a {
		f = append(f, r...)
	}
	return f
}

func (a accs) unflat(f []*loop.Value) accs {
	n := len(a[0])
	r := make(accs, len(a))
	for p := range r {
		r[p] = f[p*n : (p+1)*n]
	}
	return r
}

// loopOver runs body over [lo, hi) by step, carrying the accumulators.
func (k *K) loopOver(lo, hi *loop.Value, step int64, a accs, body func(i *loop.Value, a accs) accs) accs {
	if l, ok := k.ConstInt(lo); ok {
		if h, ok := k.ConstInt(hi); ok && h-l == step {
			return body(lo, a)
		}
	}
	out := k.For(lo, hi, step, a.flat(), func(i *loop.Value, c []*loop.Value) []*loop.Value {
		return body(i, a.unflat(c)).flat()
	})
	return a.unflat(out)
}

// reduceK accumulates over [lo, hi) unrolled by u, the rest one by one. x gives row p's scalar and w
// block vector j's weights at step i+d, d constant; rows for which x gives nil are left out.
func (k *K) reduceK(lo, hi *loop.Value, u int64, a accs, x func(p int, i *loop.Value, d int64) *loop.Value, w func(j int, i *loop.Value, d int64) *loop.Value) accs {
	step := func(i *loop.Value, d int64, a accs) accs {
		next := make(accs, len(a))
		ws := make([]*loop.Value, len(a[0]))
		for j := range ws {
			ws[j] = w(j, i, d)
		}
		for p := range a {
			s := x(p, i, d)
			if s == nil {
				next[p] = a[p]
				continue
			}
			next[p] = make([]*loop.Value, len(ws))
			all := map[int]*loop.Value{} // by lanes
			for j, w := range ws {
				n := w.Type.Lanes
				if all[n] == nil {
					all[n] = k.Broadcast(s, n)
				}
				next[p][j] = k.accumulate(a[p][j], all[n], w)
			}
		}
		return next
	}
	l, okl := k.ConstInt(lo)
	h, okh := k.ConstInt(hi)
	mid := hi
	rest := true
	if okl && okh {
		mid, rest = k.Int(l+(h-l)/u*u), (h-l)%u != 0
		if h-l < u {
			mid = lo
		}
	} else {
		mid = k.Add(lo, k.MulInt(k.Div(k.Sub(hi, lo), k.Int(u)), u))
	}
	if !(okl && okh && h-l < u) {
		a = k.loopOver(lo, mid, u, a, func(i *loop.Value, a accs) accs {
			for d := range u {
				a = step(i, d, a)
			}
			return a
		})
	}
	if rest {
		a = k.loopOver(mid, hi, 1, a, func(i *loop.Value, a accs) accs { return step(i, 0, a) })
	}
	return a
}

// laneMask selects the first n of the lanes of vector v of a block.
func (k *K) laneMask(n int) *loop.Value {
	t := loop.Vec(tensor.I32, k.Level.Lanes(4))
	return k.Cmp(loop.LT, k.Iota(t), k.IntOf(t, int64(n)))
}
