package kerneltest

import (
	"math/rand/v2"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// accesses load and store at constant, computed and odd indices.
func accesses(level *target.Level, d tensor.DType, r *rand.Rand) *Kernel {
	m := newKernel(level, "access_%v", d)
	x := m.in(d, random(d, r, 5*loop.MaxLanes))
	y := m.out(d, 8*loop.MaxLanes*len(lengths))
	three, minus := m.int(3), m.int(-7)
	at := int64(0)
	for _, lanes := range lengths {
		m.part(y, int(at), 8*loop.MaxLanes, Exact, "%v", loop.Vec(d, lanes))
		m.Store(y, m.Int(at), m.Load(x, m.Int(0), lanes))
		m.Store(y, m.Int(at+64), m.Load(x, m.Int(7), lanes))
		m.Store(y, m.AddInt(three, at+128), m.Load(x, three, lanes))
		m.Store(y, m.Add(m.Int(at+200), minus), m.Load(x, m.Add(m.MulInt(three, 5), minus), lanes))
		m.Range(m.Int(0), three, 1, func(i *loop.Value) { // strided, the last ends where x does
			from := m.Add(m.Int(int64(5*loop.MaxLanes-lanes)), m.MulInt(m.Sub(i, m.Int(2)), 13))
			m.Store(y, m.Add(m.Int(at+270), m.MulInt(i, 65)), m.Load(x, from, lanes))
		})
		m.Range(minus, m.Int(0), 3, func(i *loop.Value) { // from the end
			m.Store(y, m.Sub(m.Int(at+499-int64(lanes)), m.MulInt(i, 1)), m.Load(x, m.Sub(m.Int(1), i), lanes))
		})
		at += 8 * loop.MaxLanes
	}
	return m.done()
}

// masks are predicates of n lanes as bytes: none, all, a head, a tail, every other one, a random one.
func masks(n int, r *rand.Rand) (ms [][]uint64) {
	k := r.IntN(n)
	for _, f := range []func(i int) bool{
		func(int) bool { return false }, func(int) bool { return true }, func(i int) bool { return i < k }, func(i int) bool { return i > k },
		func(i int) bool { return i%2 == 1 }, func(int) bool { return r.IntN(2) == 0 }} {
		m := make([]uint64, n)
		for i := range m {
			if f(i) {
				m[i] = 1
			}
		}
		ms = append(ms, m)
	}
	return ms
}

// masked are loads and stores by masks from memory, and by comparisons with the counter, at the very end of memory.
func masked(level *target.Level, d tensor.DType, lanes int, r *rand.Rand) *Kernel {
	m := newKernel(level, "masked_%vx%d", d, lanes)
	var bytes []uint64
	ms := masks(lanes, r)
	for _, bits := range ms {
		bytes = append(bytes, bits...)
	}
	mask := m.in(tensor.U8, bytes)
	n := lanes*3/2 + 1
	x, y := m.in(d, random(d, r, n)), m.out(d, n)
	out := m.results(d, Exact)
	for i := range ms {
		p := m.load(mask, tensor.Bool, m.Int(int64(i*lanes)), lanes)
		out.add(m.LoadMask(x, m.Int(0), p), "load under mask %d", i)
		m.StoreMask(y, m.Int(int64(i%2)), out.m.Load(x, m.Int(1), lanes), p)
	}
	size := m.int(int64(n))
	if lanes > 1 { // what is left over, as tails of loops do it
		z := m.out(d, n)
		t := loop.Vec(tensor.I32, lanes)
		m.Range(m.Int(0), size, int64(lanes), func(i *loop.Value) {
			left := m.Convert(m.Sub(size, i), tensor.I32)
			p := m.Cmp(loop.LT, m.Iota(t), m.Broadcast(left, lanes))
			m.StoreMask(z, i, m.LoadMask(x, i, p), p)
		})
	}
	return m.done()
}

// gathers read at indices from memory.
func gathers(level *target.Level, d tensor.DType, r *rand.Rand) *Kernel {
	m := newKernel(level, "gather_%v", d)
	const n = 100
	x := m.in(d, random(d, r, n))
	at := append([]uint64{n - 1, 0, 0, 50}, make([]uint64, loop.MaxLanes)...)
	for i := 4; i < len(at); i++ {
		at[i] = uint64(r.IntN(n))
	}
	idx := m.in(tensor.I64, at)
	out := m.results(d, Exact)
	for _, lanes := range lengths {
		out.add(m.Gather(x, m.Load(idx, m.Int(0), lanes)), "%d", lanes)
		out.add(m.Gather(x, m.Sub(m.IntOf(loop.Vec(tensor.I64, lanes), n-1), m.Load(idx, m.Int(3), lanes))), "%d, turned round", lanes)
	}
	return m.done()
}

// locals write to memory of the kernel and read it in other lengths and at other places.
func locals(level *target.Level, d tensor.DType, r *rand.Rand) *Kernel {
	m := newKernel(level, "local_%v", d)
	x := m.in(d, random(d, r, 4*loop.MaxLanes))
	y := m.out(d, 2*loop.MaxLanes*len(lengths))
	tmp, other := m.Local("t", d, 4*loop.MaxLanes), m.Local("u", d, int64(8<<10/d.Size()))
	for z, lanes := range lengths {
		m.Range(m.Int(0), m.Int(4*loop.MaxLanes), int64(lanes), func(i *loop.Value) {
			m.Store(tmp, i, m.Load(x, m.Sub(m.Int(int64(4*loop.MaxLanes-lanes)), i), lanes))
		})
		m.Store(other, m.Int(other.N-int64(lanes)), m.Load(x, m.Int(5), lanes))
		m.Store(other, m.Int(0), m.Load(tmp, m.Int(9), loop.MaxLanes))
		at := int64(2 * loop.MaxLanes * z)
		m.Store(y, m.Int(at), m.Load(other, m.Int(other.N-int64(lanes)), lanes))
		m.Range(m.Int(0), m.Int(loop.MaxLanes), 2, func(i *loop.Value) {
			m.Store(y, m.AddInt(i, at+loop.MaxLanes), m.Load(other, i, 2))
		})
	}
	return m.done()
}

// scatters are stores of single elements at indices from memory: not a vector operation, so a loop.
func scatters(level *target.Level, d tensor.DType, r *rand.Rand) *Kernel {
	m := newKernel(level, "scatter_%v", d)
	var at []uint64
	for _, i := range r.Perm(100) {
		at = append(at, uint64(i))
	}
	x, idx, y := m.in(d, random(d, r, 100)), m.in(tensor.I64, at), m.out(d, 100)
	m.k.Lo, m.k.Hi = 3, 98
	m.Parallel(func(i *loop.Value) { m.Store(y, m.Load(idx, i, 1), m.Load(x, i, 1)) })
	return m.done()
}

// memory are the kernels of this file.
func memory(level *target.Level, r *rand.Rand) (ks []*Kernel) {
	for _, d := range stored {
		ks = append(ks, accesses(level, d, r), gathers(level, d, r), locals(level, d, r), scatters(level, d, r))
		for _, lanes := range lengths[1:] {
			ks = append(ks, masked(level, d, lanes, r))
		}
	}
	return ks
}
