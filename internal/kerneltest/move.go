package kerneltest

import (
	"fmt"
	"math/rand/v2"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// results collects values of any length in one buffer, each a part of its own.
type results struct {
	m    *maker
	p    *loop.Buf
	n    int // elements so far
	like Like
}

// results makes a buffer that grows with what is added to it.
func (m *maker) results(d tensor.DType, like Like) *results {
	return &results{m, m.out(d, 0), 0, like}
}

// add stores a value behind those before it.
func (r *results) add(v *loop.Value, format string, a ...any) {
	r.m.part(r.p, r.n, v.Type.Lanes, r.like, format, a...)
	r.m.store(r.p, r.m.Int(int64(r.n)), v)
	r.n += v.Type.Lanes
	grown := make([]byte, r.n*r.p.Elem.Size())
	for i := range grown {
		grown[i] = 0xa5
	}
	r.m.k.Bufs[r.p.Arg] = grown
}

// constants are splats of the values of a type.
func constants(level *target.Level, d tensor.DType) *Kernel {
	m := newKernel(level, "const_%v", d)
	out := m.results(d, Exact)
	for _, lanes := range lengths {
		for _, v := range values(d) {
			out.add(m.Bits(loop.Vec(d, lanes), v), "%v %#x", loop.Vec(d, lanes), v)
		}
	}
	return m.done()
}

// lanesOf takes vectors apart and makes them of scalars.
func lanesOf(level *target.Level, d tensor.DType, r *rand.Rand) *Kernel {
	m := newKernel(level, "lanes_%v", d)
	x := m.in(d, pad(values(d), loop.MaxLanes))
	out := m.results(d, Exact)
	for _, lanes := range lengths[1:] {
		v := m.load(x, d, m.Int(0), lanes)
		for _, i := range []int{0, 1, lanes / 2, lanes - 1, r.IntN(lanes)} {
			out.add(m.Extract(v, i), "lane %d of %d", i, lanes)
		}
		for _, i := range []int{0, r.IntN(loop.MaxLanes)} {
			out.add(m.Broadcast(m.load(x, d, m.Int(int64(i)), 1), lanes), "broadcast to %d", lanes)
		}
		out.add(m.Broadcast(m.Extract(v, lanes-1), lanes), "broadcast of the last of %d", lanes)
	}
	return m.done()
}

// patterns are shuffles of two vectors of n lanes; each gives the lanes that the result has.
func patterns(n int, r *rand.Rand) map[string][]int {
	pick := func(m int, f func(i int) int) []int {
		l := make([]int, m)
		for i := range l {
			l[i] = f(i)
		}
		return l
	}
	h := n / 2
	ps := map[string][]int{
		"identity": pick(n, func(i int) int { return i }), "second": pick(n, func(i int) int { return n + i }),
		"low half": pick(h, func(i int) int { return i }), "high half": pick(h, func(i int) int { return h + i }), "halves": pick(n, func(i int) int { return i%h + i/h*n }),
		"low with high": pick(n, func(i int) int { return i + i/h*n }), "last": {n - 1}, "one of second": {n + h},
		"interleave low": pick(n, func(i int) int { return i/2 + i%2*n }), "interleave high": pick(n, func(i int) int { return h + i/2 + i%2*n }),
		"even": pick(n, func(i int) int { return 2 * i }), "odd": pick(n, func(i int) int { return 2*i + 1 }),
		"reverse": pick(n, func(i int) int { return n - 1 - i }), "swap pairs": pick(n, func(i int) int { return i ^ 1 }), "swap halves": pick(n, func(i int) int { return i ^ h }),
		"splat": pick(n, func(int) int { return h }), "rotate": pick(n, func(i int) int { return (i + 1) % n }), "window": pick(n, func(i int) int { return i + 1 }),
		"each twice": pick(n, func(i int) int { return i / 2 }), "blend": pick(n, func(i int) int { return i + i%2*n }), "merge last": pick(n, func(i int) int { return i + i/(n-1)*n }),
		"general": pick(n, func(int) int { return r.IntN(2 * n) }), "permutation": r.Perm(n), "narrow": pick(max(h, 1), func(int) int { return r.IntN(2 * n) }),
	}
	if n >= 4 {
		for k := range 4 {
			ps[fmt.Sprintf("every fourth from %d", k)] = pick(n/4, func(i int) int { return 4*i + k })
		}
		ps["quarters"] = pick(n, func(i int) int { return i&^3 | (i+1)&3 })
	}
	if 2*n <= loop.MaxLanes {
		ps["concatenation"] = pick(2*n, func(i int) int { return i })
		ps["interleave"] = pick(2*n, func(i int) int { return i/2 + i%2*n })
		ps["wide"] = pick(2*n, func(int) int { return r.IntN(2 * n) })
	}
	return ps
}

// shuffles are all patterns of vectors of one length, of two operands and of one.
func shuffles(level *target.Level, d tensor.DType, lanes int, r *rand.Rand) *Kernel {
	m := newKernel(level, "shuffle_%vx%d", d, lanes)
	x := m.in(d, random(d, r, 2*lanes))
	out := m.results(d, Exact)
	a, b := m.load(x, d, m.Int(0), lanes), m.load(x, d, m.Int(int64(lanes)), lanes)
	ps := patterns(lanes, r)
	for _, name := range sortedKeys(ps) {
		out.add(m.Shuffle(a, b, ps[name]...), "%s", name)
		out.add(m.Shuffle(b, b, ps[name]...), "%s of one", name)
	}
	return m.done()
}

// bitcasts see the bits of a type as each other type, at all lengths.
func bitcasts(level *target.Level, from tensor.DType) *Kernel {
	m := newKernel(level, "bitcast_%v", from)
	x := m.in(from, pad(values(from), loop.MaxLanes))
	for _, to := range stored {
		out := m.results(to, Exact)
		for _, lanes := range lengths {
			n := lanes * from.Bits() / to.Bits()
			if t := loop.Vec(to, n); n >= 1 && n <= loop.MaxLanes {
				out.add(m.Bitcast(m.Load(x, m.Int(0), lanes), t), "%v as %v", loop.Vec(from, lanes), t)
			}
		}
	}
	return m.done()
}

// reductions reduce vectors of each length; likeness is that of the operation.
func reductions(level *target.Level, d tensor.DType, r *rand.Rand) *Kernel {
	m := newKernel(level, "reduce_%v", d)
	bits := append(random(d, r, 4*loop.MaxLanes), pad(values(d), 2*loop.MaxLanes)...)
	x := m.in(d, bits)
	for _, op := range []loop.Op{loop.OpReduceAdd, loop.OpReduceMul, loop.OpReduceMin, loop.OpReduceMax} {
		out := m.results(d, AnyNaNOrZero)
		for _, lanes := range lengths[1:] {
			for _, at := range []int{0, 1, 2 * loop.MaxLanes, 3*loop.MaxLanes + 5, 4 * loop.MaxLanes, 5 * loop.MaxLanes} {
				out.add(m.Reduce(op, m.Load(x, m.Int(int64(at)), lanes)), "%v of %d from %d", op, lanes, at)
			}
		}
	}
	return m.done()
}

// counting is Iota of each length.
func counting(level *target.Level, d tensor.DType) *Kernel {
	m := newKernel(level, "iota_%v", d)
	x := m.in(d, []uint64{5})
	out := m.results(d, Exact)
	for _, lanes := range lengths[1:] {
		t := loop.Vec(d, lanes)
		out.add(m.Iota(t), "%v", t)
		out.add(m.Add(m.Mul(m.Iota(t), m.IntOf(t, 3)), m.Broadcast(m.Load(x, m.Int(0), 1), lanes)), "3*%v+5", t)
	}
	return m.done()
}

// dots are Dot4 of each length, with what saturating instructions get wrong.
func dots(level *target.Level, r *rand.Rand) *Kernel {
	m := newKernel(level, "dot4")
	acc := m.in(tensor.I32, append([]uint64{0, 0x7fffffff, 0x80000000}, random(tensor.I32, r, 29)...))
	x := m.in(tensor.U8, append(pad([]uint64{255}, 16), random(tensor.U8, r, 112)...))
	y := m.in(tensor.I8, append(pad([]uint64{0x80, 0x80, 0x7f, 0x7f}, 16), random(tensor.I8, r, 112)...))
	out := m.results(tensor.I32, Exact)
	for _, lanes := range lengths {
		if 4*lanes > loop.MaxLanes {
			break
		}
		for _, at := range []int64{0, 4, 16} {
			out.add(m.Dot4(m.Load(acc, m.Int(at/4), lanes), m.Load(x, m.Int(at), 4*lanes), m.Load(y, m.Int(at), 4*lanes)), "%d groups from %d", lanes, at)
		}
	}
	return m.done()
}

// prefetches are Prefetch of elements in a buffer and far outside of it.
func prefetches(level *target.Level, r *rand.Rand) *Kernel {
	m := newKernel(level, "prefetch")
	x := m.in(tensor.F32, random(tensor.F32, r, 16))
	out := m.results(tensor.F32, Exact)
	for _, at := range []int64{0, 15, -1 << 40, 1 << 40} {
		m.Prefetch(x, m.Int(at))
		out.add(m.Load(x, m.Int(max(0, min(at, 15))), 1), "after a prefetch of element %d", at)
	}
	return m.done()
}

// moves are the kernels of this file.
func moves(level *target.Level, r *rand.Rand) (ks []*Kernel) {
	for _, d := range all {
		ks = append(ks, constants(level, d), lanesOf(level, d, r))
		for _, lanes := range lengths[1:] {
			ks = append(ks, shuffles(level, d, lanes, r))
		}
	}
	for _, d := range stored {
		ks = append(ks, bitcasts(level, d))
	}
	for _, d := range numbers {
		ks = append(ks, reductions(level, d, r))
	}
	for _, d := range integers {
		ks = append(ks, counting(level, d))
	}
	return append(ks, dots(level, r), pairProducts(level, r), prefetches(level, r))
}
