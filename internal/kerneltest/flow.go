package kerneltest

import (
	"math/rand/v2"
	"slices"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// steps are what a loop does with three carried values, in terms of those and of one from outside.
var steps = map[string]func(m *maker, c []*loop.Value, outer *loop.Value) []*loop.Value{
	"swap":     func(m *maker, c []*loop.Value, _ *loop.Value) []*loop.Value { return []*loop.Value{c[1], c[0], c[2]} },
	"rotate":   func(m *maker, c []*loop.Value, _ *loop.Value) []*loop.Value { return []*loop.Value{c[1], c[2], c[0]} },
	"back":     func(m *maker, c []*loop.Value, _ *loop.Value) []*loop.Value { return []*loop.Value{c[2], c[0], c[1]} },
	"copy":     func(m *maker, c []*loop.Value, _ *loop.Value) []*loop.Value { return []*loop.Value{c[0], c[0], c[0]} },
	"shift in": func(m *maker, c []*loop.Value, o *loop.Value) []*loop.Value { return []*loop.Value{o, c[0], c[1]} },
	"constant": func(m *maker, c []*loop.Value, _ *loop.Value) []*loop.Value {
		return []*loop.Value{m.Bits(c[0].Type, 0), c[0], c[1]}
	},
	"sum": func(m *maker, c []*loop.Value, _ *loop.Value) []*loop.Value {
		return []*loop.Value{c[1], m.mix(c[0], c[1]), c[2]}
	},
	"swap and sum": func(m *maker, c []*loop.Value, o *loop.Value) []*loop.Value {
		s := m.mix(c[0], o)
		return []*loop.Value{c[1], s, m.mix(s, c[2])}
	},
}

// mix is some operation on two values of any type.
func (m *maker) mix(x, y *loop.Value) *loop.Value {
	switch d := x.Type.Elem; {
	case d == tensor.Bool:
		return m.Xor(x, y)
	case slices.Contains(halves, d):
		t := loop.Vec(tensor.U16, x.Type.Lanes)
		return m.Bitcast(m.Add(m.Bitcast(x, t), m.Bitcast(y, t)), x.Type)
	}
	return m.Add(x, y)
}

// carried are loops with three carried values, run 0 to 5 times, and once over an empty range that is turned round.
func carried(level *target.Level, d tensor.DType, r *rand.Rand) (ks []*Kernel) {
	for _, lanes := range []int{1, 4, 16, 64} {
		m := newKernel(level, "carried_%vx%d", d, lanes)
		x := m.in(d, random(d, r, 4*lanes))
		out := m.results(d, AnyNaN)
		var v []*loop.Value
		for i := range 4 {
			v = append(v, m.load(x, d, m.Int(int64(i*lanes)), lanes))
		}
		first, last := m.int(2), m.int(1)
		for _, name := range sortedKeys(steps) {
			for _, trips := range []int64{0, 1, 2, 5} {
				n := m.int(trips)
				res := m.For(m.Int(0), n, 1, v[:3], func(_ *loop.Value, c []*loop.Value) []*loop.Value { return steps[name](m, c, v[3]) })
				for i, s := range res {
					out.add(s, "%s %d times: value %d", name, trips, i)
				}
			}
			res := m.For(first, last, 3, v[:3], func(_ *loop.Value, c []*loop.Value) []*loop.Value { return steps[name](m, c, v[3]) })
			out.add(res[2], "%s: the loop that is turned round", name)
		}
		out.add(m.mix(v[0], v[2]), "the first values after all")
		ks = append(ks, m.done())
	}
	return ks
}

// counters are loops whose counter matters: steps that do not divide the range, negative ranges, the counter
// carried out, and ranges that depend on counters around.
func counters(level *target.Level) *Kernel {
	m := newKernel(level, "counters")
	out := m.results(tensor.I64, Exact)
	var bounds []*loop.Value
	for _, v := range []int64{-5, 0, 1, 3, 10, 1 << 40} {
		bounds = append(bounds, m.int(v))
	}
	zero := m.Int(0)
	for i, lo := range bounds {
		for _, step := range []int64{1, 2, 3, 64, 1 << 33} {
			hi := m.AddInt(bounds[(i+1)%len(bounds)], 1)
			hi = m.Min(hi, m.AddInt(lo, 20*step))
			res := m.For(lo, hi, step, []*loop.Value{zero, lo}, func(iv *loop.Value, c []*loop.Value) []*loop.Value {
				return []*loop.Value{m.Add(m.MulInt(c[0], 3), iv), iv}
			})
			out.add(res[0], "sum of counters from %d by %d", i, step)
			out.add(res[1], "last counter from %d by %d", i, step)
		}
	}
	tri := m.For(zero, m.Int(6), 1, []*loop.Value{zero, m.Int(1)}, func(i *loop.Value, a []*loop.Value) []*loop.Value {
		return m.For(i, m.Int(6), 2, a, func(j *loop.Value, b []*loop.Value) []*loop.Value {
			return m.For(j, m.Add(i, j), 1, []*loop.Value{b[1], b[0]}, func(k *loop.Value, c []*loop.Value) []*loop.Value {
				return []*loop.Value{m.Add(c[1], m.Mul(k, i)), m.Xor(c[0], j)}
			})
		})
	})
	out.add(tri[0], "three loops: first")
	out.add(tri[1], "three loops: second")
	m.k.Lo, m.k.Hi = -2, 3
	span := m.For(m.F.Lo, m.F.Hi, 1, []*loop.Value{zero}, func(i *loop.Value, c []*loop.Value) []*loop.Value {
		return []*loop.Value{m.Add(m.MulInt(c[0], 10), i)}
	})
	out.add(span[0], "the range of the kernel")
	return m.done()
}

// choices are conditionals: with results that change places, nested, in loops, and in both sides of others.
func choices(level *target.Level, d tensor.DType, r *rand.Rand) *Kernel {
	m := newKernel(level, "choices_%v", d)
	x := m.in(d, random(d, r, 128))
	out := m.results(d, AnyNaN)
	n := m.int(4)
	for _, lanes := range []int{1, 2, 8, 32} {
		a, b := m.load(x, d, m.Int(1), lanes), m.load(x, d, m.Int(int64(lanes+1)), lanes)
		pick := func(c *loop.Value, x, y *loop.Value) []*loop.Value {
			return m.If(c, func() []*loop.Value { return []*loop.Value{x, y} }, func() []*loop.Value { return []*loop.Value{y, x} })
		}
		for i := range int64(2) {
			p := pick(m.Cmp(loop.LT, n, m.Int(4+i)), a, b)
			out.add(p[0], "%v %d", a.Type, i)
			out.add(p[1], "%v %d, the other", a.Type, i)
		}
		res := m.For(m.Int(0), m.Int(9), 1, []*loop.Value{a, b}, func(i *loop.Value, c []*loop.Value) []*loop.Value {
			odd := m.Cmp(loop.EQ, m.And(i, m.Int(1)), m.Int(1))
			return m.If(odd, func() []*loop.Value { return pick(m.Cmp(loop.GT, i, n), c[0], m.mix(c[0], c[1])) }, func() []*loop.Value {
				return m.For(m.Int(0), i, 4, c, func(_ *loop.Value, e []*loop.Value) []*loop.Value {
					return []*loop.Value{e[1], m.mix(e[0], a)}
				})
			})
		})
		out.add(res[0], "%v in a loop", a.Type)
		out.add(res[1], "%v in a loop, the other", a.Type)
		y := m.out(d, 2*lanes)
		m.If(m.Cmp(loop.EQ, n, m.Int(4)), func() []*loop.Value { m.store(y, m.Int(0), a); return nil }, func() []*loop.Value { m.store(y, m.Int(0), b); return nil })
		m.If(m.And(m.Cmp(loop.GE, n, m.Int(0)), m.Cmp(loop.NE, n, m.Int(4))), func() []*loop.Value { m.store(y, m.Int(int64(lanes)), a); return nil }, nil)
	}
	return m.done()
}

// conditions make scalar predicates of each kind decide, among them some that are carried and stored.
func conditions(level *target.Level, r *rand.Rand) *Kernel {
	m := newKernel(level, "conditions")
	out := m.results(tensor.I64, Exact)
	flags := m.results(tensor.Bool, Exact)
	decide := func(c *loop.Value, what string, a ...any) {
		out.add(m.If(c, func() []*loop.Value { return []*loop.Value{m.Int(1)} }, func() []*loop.Value { return []*loop.Value{m.Int(2)} })[0], what, a...)
		flags.add(c, what, a...)
	}
	for _, d := range numbers {
		x := m.in(d, values(d))
		for _, p := range preds {
			for range 3 {
				a, b := m.Load(x, m.Int(int64(r.IntN(len(values(d))))), 1), m.Load(x, m.Int(int64(r.IntN(len(values(d))))), 1)
				c := m.Cmp(p, a, b)
				decide(c, "%v %v", p, d)
				decide(m.Or(m.Not(c), m.Cmp(loop.EQ, a, a)), "not %v %v or equal", p, d)
			}
		}
	}
	carried := m.For(m.Int(0), m.int(7), 1, []*loop.Value{m.Bits(loop.Scalar(tensor.Bool), 0), m.Bits(loop.Scalar(tensor.Bool), 1)}, func(i *loop.Value, c []*loop.Value) []*loop.Value {
		return []*loop.Value{m.Xor(c[1], m.Cmp(loop.EQ, i, m.Int(3))), m.Select(c[1], c[0], m.Cmp(loop.LT, i, m.Int(5)))}
	})
	decide(carried[0], "carried")
	decide(carried[1], "carried, the other")
	return m.done()
}

// pressed are kernels with more values alive than there are registers: n of a type, across a loop and a
// conditional.
func pressed(level *target.Level, d tensor.DType, lanes, n int, r *rand.Rand) *Kernel {
	m := newKernel(level, "pressed_%vx%d_%d", d, lanes, n)
	x := m.in(d, random(d, r, 2*n*lanes))
	out := m.results(d, AnyNaN)
	var v, init []*loop.Value
	for i := range n {
		v = append(v, m.load(x, d, m.Int(int64(i*lanes)), lanes))
		init = append(init, m.load(x, d, m.Int(int64((n+i)*lanes)), lanes))
	}
	res := m.For(m.Int(0), m.int(3), 1, init, func(i *loop.Value, c []*loop.Value) []*loop.Value {
		var next []*loop.Value
		for k := range c {
			next = append(next, m.mix(c[(k+1)%n], v[k]))
		}
		return next
	})
	res = m.If(m.Cmp(loop.LT, m.F.Lo, m.F.Hi), func() []*loop.Value {
		turned := slices.Clone(res)
		slices.Reverse(turned)
		return turned
	}, func() []*loop.Value { return v })
	for i := range n {
		out.add(m.mix(res[i], v[n-1-i]), "value %d", i)
	}
	return m.done()
}

// tile is the inner loop of a matrix product: all accumulators that the level has, and operands from memory.
func tile(level *target.Level, r *rand.Rand) *Kernel {
	m := newKernel(level, "tile")
	lanes := level.Lanes(4)
	rows := level.Tile / 2
	const depth = 9
	a, b := m.in(tensor.F32, random(tensor.F32, r, rows*depth)), m.in(tensor.F32, random(tensor.F32, r, 2*lanes*depth))
	out := m.results(tensor.F32, AnyNaN)
	acc := slices.Repeat([]*loop.Value{m.Float(loop.Vec(tensor.F32, lanes), 0)}, 2*rows)
	acc = m.For(m.Int(0), m.int(depth), 1, acc, func(k *loop.Value, c []*loop.Value) []*loop.Value {
		at := m.MulInt(k, int64(2*lanes))
		lo, hi := m.Load(b, at, lanes), m.Load(b, m.AddInt(at, int64(lanes)), lanes)
		var next []*loop.Value
		for i := range rows {
			s := m.Broadcast(m.Load(a, m.AddInt(m.MulInt(k, int64(rows)), int64(i)), 1), lanes)
			next = append(next, m.FMA(s, lo, c[2*i]), m.FMA(s, hi, c[2*i+1]))
		}
		return next
	})
	for i, v := range acc {
		out.add(v, "accumulator %d", i)
	}
	return m.done()
}

// words takes an argument block of 20 words, and more constants than fit any pool of small size.
func words(level *target.Level, r *rand.Rand) *Kernel {
	m := newKernel(level, "words")
	var v []*loop.Value
	for i := range 10 {
		d := stored[i]
		x := m.in(d, random(d, r, 3))
		y := m.out(d, 3)
		n := m.int(int64(r.Uint64()))
		v = append(v, n)
		m.Store(y, m.And(n, m.Int(1)), m.Load(x, m.Int(int64(i%3)), 1))
	}
	out := m.results(tensor.I64, Exact)
	for i := range v {
		out.add(m.Mul(m.Sub(v[i], v[(i+3)%10]), m.Xor(v[(i+7)%10], m.Int(int64(r.Uint64())))), "integers from %d on", i)
	}
	fs := m.results(tensor.F32, AnyNaN)
	x := m.Load(m.in(tensor.F32, random(tensor.F32, r, 16)), m.Int(0), 16)
	for i := range 100 {
		x = m.Add(x, m.Float(x.Type, float64(i)*1.25+0.3))
		if i%10 == 9 {
			fs.add(x, "sum of %d constants", i+1)
		}
	}
	return m.done()
}

// flows are the kernels of this file.
func flows(level *target.Level, r *rand.Rand) []*Kernel {
	ks := []*Kernel{counters(level), conditions(level, r), tile(level, r), words(level, r)}
	for _, d := range all {
		ks = append(ks, carried(level, d, r)...)
		ks = append(ks, choices(level, d, r))
	}
	for _, d := range []tensor.DType{tensor.F32, tensor.F64, tensor.I64, tensor.U8, tensor.Bool} {
		full := level.VecBytes / d.Size()
		for _, lanes := range slices.Compact([]int{1, full, min(loop.MaxLanes, 2*full)}) {
			ks = append(ks, pressed(level, d, lanes, 20, r), pressed(level, d, lanes, 40, r))
		}
	}
	return ks
}
