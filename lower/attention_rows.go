package lower

import (
	"math"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// queries are a few neighbouring queries of one head, in a kernel.
type queries struct {
	*K
	a           *attention
	s           *loop.Buf // scores, [rows][attnKeys]
	b, h, hk, q *loop.Value
	rows        int
	lo, hi      []*loop.Value // the keys that each may see
	acc         []*loop.Value // where the sums of each begin
}

func (r *queries) lanes() int { return r.Level.VecBytes / r.a.ct.Size() }

// lanesOf is how many lanes vectors of d features have: few features are part of a register.
func (r *queries) lanesOf(d ir.Dim) int {
	w := r.lanes()
	for d.IsConst() && int64(w) > d.Value() && w*r.a.ct.Size() > 16 {
		w /= 2
	}
	return w
}

func (r *queries) vectors() int { return attnVectors(r.Level) }

func (r *queries) num(lanes int, x float64) *loop.Value { return r.Float(loop.Vec(r.a.ct, lanes), x) }

func (r *queries) emit() {
	a, n := r.a, r.rows
	r.limits()
	for p := range n {
		at := r.headAt(a.acc, r.b, r.h, r.AddInt(r.q, int64(p)))
		r.acc = append(r.acc, at)
		if !a.oneBlock() {
			r.vectorLoop(r.Int(0), r.Dim(a.dv), r.lanesOf(a.dv), func(e *loop.Value, lanes int) { r.Store(r.Buf(a.acc.v), r.Add(at, e), r.num(lanes, 0)) })
		}
	}
	lo, hi := r.lo[0], r.hi[n-1]
	if a.qk != nil {
		lo, hi = r.Int(0), r.Dim(a.lk)
	} else if n > 1 {
		lo = r.MulInt(r.Div(lo, r.Int(attnKeys)), attnKeys) // to the beginning of a panel
	}
	top, sum := r.num(1, math.Inf(-1)), r.num(1, 0)
	if a.sink != nil { // it is there before all keys
		top, sum = r.loadAs(a.sink, r.h, 1, a.ct), r.num(1, 1)
	}
	end := append(repeat(n, top), repeat(n, sum)...)
	if a.oneBlock() {
		end = r.block(lo, r.MaxIdx(r.Sub(hi, lo), r.Int(0)), end[:n], end[n:])
	} else {
		end = r.For(lo, hi, attnKeys, end, func(key *loop.Value, c []*loop.Value) []*loop.Value {
			return r.block(key, r.MinIdx(r.Sub(hi, key), r.Int(attnKeys)), c[:n], c[n:])
		})
	}
	for p := range n {
		r.finish(p, end[p], end[n+p])
	}
}

// limits finds the keys that each query may see, the mask aside; a mask that is shorter than the keys forbids
// those that it lacks.
func (r *queries) limits() {
	a := r.a
	hi, offset := r.Dim(a.lk), r.Dim(a.past)
	if a.nonpad != nil {
		n := r.Convert(r.Load(r.Buf(a.nonpad), r.b, 1), tensor.I64)
		hi, offset = r.MaxIdx(r.MinIdx(hi, n), r.Int(0)), r.Sub(n, r.Dim(a.lq))
	}
	if a.mask != nil {
		if m := a.mask.Type.Shape[a.mask.Type.Rank()-1]; !m.Equal(a.lk) {
			hi = r.MinIdx(hi, r.Dim(m))
		}
	}
	for p := range r.rows {
		pos := r.Add(offset, r.AddInt(r.q, int64(p)))
		lo, h := r.Int(0), hi
		if a.causal {
			h = r.MinIdx(h, r.AddInt(pos, 1))
		}
		if a.right >= 0 {
			h = r.MinIdx(h, r.AddInt(pos, a.right+1))
		}
		if a.left >= 0 {
			lo = r.MaxIdx(r.Sub(pos, r.Int(a.left)), lo)
		}
		r.lo, r.hi = append(r.lo, lo), append(r.hi, h)
	}
}

// selects reports whether the loop over keys visits some that a query may not see.
func (r *queries) selects() bool {
	a := r.a
	window := a.causal || a.left >= 0 || a.right >= 0
	short := a.mask != nil && !a.mask.Type.Shape[a.mask.Type.Rank()-1].Equal(a.lk)
	return window && r.rows > 1 || a.qk != nil && (window || a.nonpad != nil || short)
}

// block takes the queries through n keys from key on: top and sum are their running maxima and sums.
func (r *queries) block(key, n *loop.Value, top, sum []*loop.Value) []*loop.Value {
	if r.rows > 1 || r.a.panels != nil && r.a.oneBlock() && r.a.lq.IsConst() && r.a.left < 0 { // keys from 0 on are whole panels
		r.scoreTile(key, n)
	} else {
		r.scoreRow(key, n)
	}
	scale := make([]*loop.Value, r.rows)
	tops, safe := r.biased(key, n), make([]*loop.Value, r.rows)
	for p := range tops {
		if !r.a.oneBlock() {
			tops[p] = r.Max(top[p], tops[p])
		}
		safe[p] = r.finite(tops[p])
	}
	sums := r.over(n, loop.OpAdd, 0, func(p int, e *loop.Value, lanes int, _ *loop.Value) *loop.Value {
		at := r.AddInt(e, int64(p)*attnKeys)
		v := r.ExpDown(r.Sub(r.Load(r.s, at, lanes), r.Broadcast(safe[p], lanes)))
		r.Store(r.s, at, v)
		return v
	})
	if !r.a.oneBlock() {
		for p := range sums {
			scale[p] = r.ExpDown(r.Sub(top[p], safe[p]))
			sums[p] = r.FMA(sum[p], scale[p], sums[p])
		}
	}
	r.values(key, n, scale)
	return append(tops, sums...)
}

// finite is the maximum that is subtracted: 0 where no key has been seen, so that nothing becomes NaN.
func (r *queries) finite(m *loop.Value) *loop.Value {
	return r.Select(r.Cmp(loop.EQ, m, r.num(1, math.Inf(-1))), r.num(1, 0), m)
}

// over folds f over [0, n) for each query, by vectors and then one by one, or in vectors alone, of the last of which those
// selected by live count. The queries take turns, since each is a chain of dependent instructions.
func (r *queries) over(n *loop.Value, op loop.Op, unit float64, f func(p int, e *loop.Value, lanes int, live *loop.Value) *loop.Value) []*loop.Value {
	w := r.lanes()
	if r.C.Opts.Strict && op == loop.OpAdd {
		w = 1
	}
	mid := r.MulInt(r.Div(n, r.Int(int64(w))), int64(w))
	step := func(lanes int, live *loop.Value) func(e *loop.Value, acc []*loop.Value) []*loop.Value {
		return func(e *loop.Value, acc []*loop.Value) []*loop.Value {
			next := make([]*loop.Value, r.rows)
			for p := range next {
				next[p] = r.join(op, acc[p], f(p, e, lanes, live))
			}
			return next
		}
	}
	wide := r.For(r.Int(0), mid, int64(w), repeat(r.rows, r.num(w, unit)), step(w, nil))
	one := make([]*loop.Value, r.rows)
	if r.padded() {
		wide = r.lastVector(mid, n, wide, func(live *loop.Value) func(e *loop.Value, acc []*loop.Value) []*loop.Value { return step(w, live) })
	}
	for p := range one {
		one[p] = r.across(op, wide[p])
	}
	if r.padded() {
		return one
	}
	return slices.Clone(r.For(mid, n, 1, one, step(1, nil)))
}

// lastVector takes a step over the scores from mid on, if there are any before n, which live selects.
func (r *queries) lastVector(mid, n *loop.Value, acc []*loop.Value, step func(live *loop.Value) func(e *loop.Value, acc []*loop.Value) []*loop.Value) []*loop.Value {
	w := r.lanes()
	t := loop.Vec(tensor.I32, w)
	c, known := r.ConstInt(n)
	switch rest := c % int64(w); {
	case !known:
		left := r.Broadcast(r.Convert(r.Sub(n, mid), tensor.I32), w)
		return r.For(mid, n, int64(w), acc, step(r.Cmp(loop.LT, r.Iota(t), left)))
	case rest > 0:
		return step(r.Cmp(loop.LT, r.Iota(t), r.IntOf(t, rest)))(mid, acc)
	}
	return acc
}

// join is the sum, or the larger of two of which the first is no NaN; it takes no NaN, which the exponential finds anyway.
func (r *queries) join(op loop.Op, x, y *loop.Value) *loop.Value {
	if op == loop.OpAdd {
		return r.Add(x, y)
	}
	return r.Select(r.Cmp(loop.LT, x, y), y, x)
}

// across joins the lanes of a vector.
func (r *queries) across(op loop.Op, v *loop.Value) *loop.Value {
	if op == loop.OpAdd {
		return r.Reduce(loop.OpReduceAdd, v)
	}
	for s := v.Type.Lanes / 2; s > 0; s /= 2 {
		at := make([]int, v.Type.Lanes)
		for i := range at {
			at[i] = i ^ s
		}
		v = r.join(op, v, r.Shuffle(v, v, at...))
	}
	return r.Extract(v, 0)
}

// padded reports whether the scores of a block are taken in vectors alone: what pads the last of them is then -inf.
func (r *queries) padded() bool { return r.lanes() > 1 && !r.C.Opts.Strict && r.a.qk == nil }

// scoreTile computes the products of all queries with n keys from key on, which begins a panel. It may compute
// some more, with the padding of the last panel.
func (r *queries) scoreTile(key, n *loop.Value) {
	a, lanes, nv := r.a, r.lanes(), r.vectors()
	rows := make([]*loop.Value, r.rows)
	for p := range rows {
		rows[p] = r.headAt(a.q, r.b, r.h, r.AddInt(r.q, int64(p)))
	}
	panel := r.MulDim(r.Add(r.MulDim(r.b, a.hk), r.hk), a.panelsPerHead)
	size := a.d.MulInt(target.Block)
	tile := func(g *loop.Value, nv int) {
		bases := make([]*loop.Value, nv)
		for j := range bases {
			at := r.AddInt(r.Add(key, g), int64(j*lanes))
			bases[j] = r.Add(r.MulDim(r.Add(panel, r.Div(at, r.Int(target.Block))), size), r.Rem(at, r.Int(target.Block)))
		}
		acc := make(accs, r.rows)
		for p := range acc {
			acc[p] = repeat(nv, r.num(lanes, 0))
		}
		acc = r.reduceK(r.Int(0), r.Dim(a.d), 4, acc,
			func(p int, i *loop.Value, u int64) *loop.Value {
				return r.loadAs(a.q.v, r.AddInt(r.Add(rows[p], i), u), 1, a.ct)
			},
			func(j int, i *loop.Value, u int64) *loop.Value {
				return r.Load(r.Buf(a.panels), r.AddInt(r.Add(bases[j], r.MulInt(i, target.Block)), u*target.Block), lanes)
			})
		for p := range acc {
			for j, v := range acc[p] {
				r.Store(r.s, r.AddInt(g, int64(p*attnKeys+j*lanes)), v)
			}
		}
	}
	wide := int64(nv * lanes)
	if c, ok := r.ConstInt(n); ok {
		r.Range(r.Int(0), r.Int(c/wide*wide), wide, func(g *loop.Value) { tile(g, nv) })
		if rest := c % wide; rest > 0 {
			tile(r.Int(c-rest), int((rest-1)/int64(lanes))+1)
		}
		return
	}
	mid := r.MulInt(r.Div(r.AddInt(n, wide-int64(lanes)-1), r.Int(wide)), wide) // by one vector only if that is the last
	r.Range(r.Int(0), mid, wide, func(g *loop.Value) { tile(g, nv) })
	r.Range(mid, n, int64(lanes), func(g *loop.Value) { tile(g, 1) })
}

// scoreRow computes the products of one query with n keys from key on, straight from K.
func (r *queries) scoreRow(key, n *loop.Value) {
	a, w := r.a, r.lanesOf(r.a.d)
	if r.C.Opts.Strict {
		w = 1
	}
	q, from := r.headAt(a.q, r.b, r.h, r.q), r.headAt(a.k, r.b, r.hk, key)
	mid := r.MulInt(r.Div(r.Dim(a.d), r.Int(int64(w))), int64(w))
	// dots gives the products with count keys from key+j on.
	dots := func(j *loop.Value, count int) {
		at := make([]*loop.Value, count)
		for i := range at {
			at[i] = r.Add(from, r.MulDim(r.AddInt(j, int64(i)), a.k.l))
		}
		step := func(lanes int) func(d *loop.Value, c []*loop.Value) []*loop.Value {
			return func(d *loop.Value, c []*loop.Value) []*loop.Value {
				x, next := r.loadAs(a.q.v, r.Add(q, d), lanes, a.ct), make([]*loop.Value, count)
				for i := range at {
					next[i] = r.FMA(x, r.loadAs(a.k.v, r.Add(at[i], d), lanes, a.ct), c[i])
				}
				return next
			}
		}
		var sums []*loop.Value
		for _, v := range r.For(r.Int(0), mid, int64(w), repeat(count, r.num(w, 0)), step(w)) {
			sums = append(sums, r.Reduce(loop.OpReduceAdd, v))
		}
		for i, v := range r.For(mid, r.Dim(a.d), 1, sums, step(1)) {
			r.Store(r.s, r.AddInt(j, int64(i)), v)
		}
	}
	fours := r.And(n, r.Int(^3))
	r.Range(r.Int(0), fours, 4, func(j *loop.Value) { dots(j, 4) })
	r.Range(fours, n, 1, func(j *loop.Value) { dots(j, 1) })
}

// biased turns the n products of each query into scores, stores what of them is an output, and gives their maxima.
func (r *queries) biased(key, n *loop.Value) []*loop.Value {
	a, maskRow := r.a, make([]*loop.Value, r.rows)
	for p := range maskRow {
		if a.mask == nil {
			break
		}
		maskRow[p] = r.Int(0)
		for i, x := range []*loop.Value{r.b, r.h, r.AddInt(r.q, int64(p))} {
			maskRow[p] = r.Add(maskRow[p], r.MulDim(x, a.maskStrides[i]))
		}
	}
	return r.over(n, loop.OpMax, math.Inf(-1), func(p int, e *loop.Value, lanes int, live *loop.Value) *loop.Value {
		row, q := r.Int(int64(p)*attnKeys), r.AddInt(r.q, int64(p))
		at := r.Add(key, e)
		v := r.Mul(r.Load(r.s, r.Add(row, e), lanes), r.num(lanes, a.scale))
		r.give(0, a.qk, q, at, v)
		if a.cap > 0 {
			v = r.Mul(r.Tanh(r.Mul(v, r.num(lanes, 1/a.cap))), r.num(lanes, a.cap))
		}
		r.give(1, a.qk, q, at, v)
		seen := live
		if r.selects() {
			t := loop.Vec(tensor.I32, lanes)
			j := r.Broadcast(r.Convert(at, tensor.I32), lanes)
			if lanes > 1 {
				j = r.Add(j, r.Iota(t))
			}
			limit := func(x *loop.Value) *loop.Value { return r.Broadcast(r.Convert(x, tensor.I32), lanes) }
			seen = r.And(r.Cmp(loop.GE, j, limit(r.lo[p])), r.Cmp(loop.LT, j, limit(r.hi[p])))
		}
		v = r.masked(v, maskRow[p], at, seen)
		r.give(2, a.qk, q, at, v)
		r.give(3, a.wait, q, at, v)
		r.Store(r.s, r.Add(row, e), v)
		return v
	})
}

// masked adds the mask to scores of keys from key on. Where the mask or seen forbids a key the score is -Inf, or what
// the op has for it, whatever it was, NaN included.
func (r *queries) masked(v, maskRow, key, seen *loop.Value) *loop.Value {
	a, lanes := r.a, v.Type.Lanes
	none := r.num(lanes, math.Inf(-1))
	if maskRow != nil {
		idx, d := r.Add(maskRow, key), a.mask.Type.DType
		m := r.fromMemory(r.loadIf(r.Buf(a.mask), idx, seen, lanes), d)
		switch {
		case d == tensor.Bool:
			v = r.Select(m, v, r.num(lanes, a.masked))
		case a.plain:
			v = r.Add(v, r.CastTo(m, a.ct))
		default:
			m = r.CastTo(m, a.ct)
			v = r.Select(r.Cmp(loop.EQ, m, none), none, r.Add(v, m))
		}
	}
	if seen != nil {
		v = r.Select(seen, v, none)
	}
	return v
}

// loadIf reads those of lanes elements that mask selects, all of them without one; the others are 0.
func (k *K) loadIf(b *loop.Buf, at, mask *loop.Value, lanes int) *loop.Value {
	switch {
	case mask == nil:
		return k.Load(b, at, lanes)
	case lanes > 1:
		return k.LoadMask(b, at, mask)
	}
	return k.If(mask, func() []*loop.Value { return []*loop.Value{k.Load(b, at, 1)} },
		func() []*loop.Value { return []*loop.Value{k.Bits(loop.Scalar(b.Elem), 0)} })[0]
}

// give stores scores to out, [B,H,Lq,Lk], if it is there and holds what comes at this stage.
func (r *queries) give(stage int64, out *ir.Value, q, key, v *loop.Value) {
	if out == nil || r.a.mode != stage {
		return
	}
	row := r.Add(r.MulDim(r.Add(r.MulDim(r.b, r.a.hq), r.h), r.a.lq), q)
	r.storeAs(out, r.Add(r.MulDim(row, r.a.lk), key), v)
}

// storeAs writes x to out in its element type.
func (k *K) storeAs(out *ir.Value, at, x *loop.Value) {
	d := out.Type.DType
	k.Store(k.Buf(out), at, k.toMemory(k.Convert(x, computeType(d)), d))
}

// values adds the weighted values of n keys from key on to the sums, which are scaled first.
func (r *queries) values(key, n *loop.Value, scale []*loop.Value) {
	a := r.a
	from := r.headAt(a.v, r.b, r.hk, key)
	tile := func(e *loop.Value, nv, lanes int) {
		acc := make(accs, r.rows)
		for p := range acc {
			for j := range nv {
				if a.oneBlock() {
					acc[p] = append(acc[p], r.num(lanes, 0))
					continue
				}
				old := r.Load(r.Buf(a.acc.v), r.AddInt(r.Add(r.acc[p], e), int64(j*lanes)), lanes)
				acc[p] = append(acc[p], r.Mul(old, r.Broadcast(scale[p], lanes)))
			}
		}
		acc = r.reduceK(r.Int(0), n, 4, acc,
			func(p int, i *loop.Value, u int64) *loop.Value {
				return r.Load(r.s, r.AddInt(i, int64(p)*attnKeys+u), 1)
			},
			func(j int, i *loop.Value, u int64) *loop.Value {
				row := r.Add(from, r.MulDim(r.AddInt(i, u), a.v.l))
				return r.loadAs(a.v.v, r.AddInt(r.Add(row, e), int64(j*lanes)), lanes, a.ct)
			})
		for p := range acc {
			for j, v := range acc[p] {
				r.Store(r.Buf(a.acc.v), r.AddInt(r.Add(r.acc[p], e), int64(j*lanes)), v)
			}
		}
	}
	lanes, nv := r.lanesOf(a.dv), r.vectors()
	if a.dv.IsConst() {
		nv = max(1, min(nv, int(a.dv.Value())/lanes))
	}
	wide := int64(nv * lanes)
	mid := r.MulInt(r.Div(r.Dim(a.dv), r.Int(wide)), wide)
	r.nonEmpty(r.Int(0), mid, func() { r.Range(r.Int(0), mid, wide, func(e *loop.Value) { tile(e, nv, lanes) }) })
	r.nonEmpty(mid, r.Dim(a.dv), func() { r.vectorLoop(mid, r.Dim(a.dv), lanes, func(e *loop.Value, n int) { tile(e, 1, n) }) })
}

// nonEmpty builds a loop over [lo, hi) unless that is known to be empty.
func (k *K) nonEmpty(lo, hi *loop.Value, build func()) {
	l, okl := k.ConstInt(lo)
	h, okh := k.ConstInt(hi)
	if !okl || !okh || l < h {
		build()
	}
}

// finish divides query p's sums by the sum of its weights, zeros where there was no key (NaN as of Softmax where that
// is wanted), and writes the
// probabilities if they are an output.
func (r *queries) finish(p int, top, sum *loop.Value) {
	a := r.a
	zero := r.num(1, 0)
	none := zero
	if a.plain {
		none = r.Select(r.Cmp(loop.EQ, r.Dim(a.lk), r.Int(0)), zero, r.num(1, math.NaN()))
	}
	inv := r.Select(r.Cmp(loop.EQ, sum, zero), none, r.Div(r.num(1, 1), sum))
	q := r.AddInt(r.q, int64(p))
	to := r.headAt(a.y, r.b, r.h, q)
	r.vectorLoop(r.Int(0), r.Dim(a.dv), r.lanesOf(a.dv), func(e *loop.Value, lanes int) {
		r.storeAs(a.y.v, r.Add(to, e), r.Mul(r.Load(r.Buf(a.acc.v), r.Add(r.acc[p], e), lanes), r.Broadcast(inv, lanes)))
	})
	if a.wait == nil {
		return
	}
	row := r.MulDim(r.Add(r.MulDim(r.Add(r.MulDim(r.b, a.hq), r.h), a.lq), q), a.lk)
	safe := r.finite(top)
	r.vectorLoop(r.Int(0), r.Dim(a.lk), r.lanes(), func(e *loop.Value, lanes int) {
		v := r.Exp(r.Sub(r.Load(r.Buf(a.wait), r.Add(row, e), lanes), r.Broadcast(safe, lanes)))
		r.storeAs(a.qk, r.Add(row, e), r.Mul(v, r.Broadcast(inv, lanes)))
	})
}
