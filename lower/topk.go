package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// heap is a binary heap of (value, index) pairs in two buffers, the pair that comes last at its root.
// Which comes first follows argSearch; of equals, the lower index.
type heap struct {
	*argSearch
	vals, idx    *loop.Buf
	base, stride *loop.Value
	levels       *loop.Value // at least as many as the heap has
}

func (h *heap) at(i *loop.Value) *loop.Value { return h.Add(h.base, h.Mul(i, h.stride)) }

func (h *heap) get(i *loop.Value) (v, n *loop.Value) {
	return h.Load(h.vals, h.at(i), 1), h.Load(h.idx, h.at(i), 1)
}

func (h *heap) put(i, v, n *loop.Value) {
	h.Store(h.vals, h.at(i), v)
	h.Store(h.idx, h.at(i), n)
}

// first reports whether the pair (v, n) comes before (w, m).
func (h *heap) first(v, n, w, m *loop.Value) *loop.Value {
	d := h.x.Type.DType
	x, y := h.fromMemory(v, d), h.fromMemory(w, d)
	tie := h.And(h.Not(h.better(y, x)), h.Cmp(loop.LT, n, m))
	return h.Or(h.better(x, y), tie)
}

// sift puts the pair (v, n) into the heap of m pairs from position p down.
func (h *heap) sift(p, v, n, m *loop.Value) {
	end := h.For(h.Int(0), h.levels, 1, []*loop.Value{p}, func(_ *loop.Value, a []*loop.Value) []*loop.Value {
		p := a[0]
		child := h.AddInt(h.MulInt(p, 2), 1)
		return h.If(h.Cmp(loop.LT, child, m), func() []*loop.Value {
			cv, cn := h.get(child)
			right := h.MinIdx(h.AddInt(child, 1), h.AddInt(m, -1))
			rv, rn := h.get(right)
			swap := h.first(cv, cn, rv, rn)
			cv, cn, child := h.Select(swap, rv, cv), h.Select(swap, rn, cn), h.Select(swap, right, child)
			return h.If(h.first(v, n, cv, cn), func() []*loop.Value {
				h.put(p, cv, cn)
				return []*loop.Value{child}
			}, func() []*loop.Value { return []*loop.Value{p} })
		}, func() []*loop.Value { return []*loop.Value{p} })
	})
	h.put(end[0], v, n)
}

// build makes a heap of m pairs in any order.
func (h *heap) build(m *loop.Value) {
	half := h.Div(m, h.Int(2))
	h.Range(h.Int(0), half, 1, func(i *loop.Value) {
		p := h.Sub(h.AddInt(half, -1), i)
		v, n := h.get(p)
		h.sift(p, v, n, m)
	})
}

// sort brings a heap of m pairs in order.
func (h *heap) sort(m *loop.Value) {
	h.Range(h.Int(1), m, 1, func(i *loop.Value) {
		end := h.Sub(m, i)
		v, n := h.get(end)
		rv, rn := h.get(h.Int(0))
		h.put(end, rv, rn)
		h.sift(h.Int(0), v, n, end)
	})
}

// logOf is a bound on the levels of a heap of n pairs.
func (k *K) logOf(n *loop.Value) *loop.Value {
	return k.For(k.Int(0), k.Int(48), 1, []*loop.Value{k.Int(0)}, func(i *loop.Value, a []*loop.Value) []*loop.Value {
		return []*loop.Value{k.Add(a[0], k.flag(k.Cmp(loop.GT, k.Shr(n, i), k.Int(0))))}
	})[0]
}

// lowerTopK keeps the best K of each lane in a heap, which stands where the results go, and sorts it:
// O(n log K). Most elements of a long lane fail against the root, which is done by vectors.
func lowerTopK(c *Ctx, op *ir.Op) error {
	x, vals, idx := op.Operands[0], op.Results[0], op.Result(1)
	d := x.Type.DType
	if x.Type.Rank() < 1 || !compiled(d) || d == tensor.Bool || !isIndex(op.Operands[1]) {
		return errDecline
	}
	axis := axisOf(op.Attrs.Int("axis", -1), x.Type.Rank())
	n, count := x.Type.Shape[axis], vals.Type.Shape[axis]
	if err := c.topCount(op, n, count); err != nil {
		return err
	}
	if idx == nil {
		idx = c.Scratch(ir.TensorType(tensor.I64, vals.Type.Shape...))
	}
	outer, inner := around(x.Type.Shape, axis)
	return c.Kernel(Step{
		Op: op, Name: "topk", Ins: []*ir.Value{x}, Outs: []*ir.Value{vals, idx}, Par: outer.Mul(inner), NsPerIter: perChunk(n, 5), Bytes: bytesOf(x),
		Build: func(k *K) {
			s := &argSearch{K: k, x: x, min: op.Attrs.Int("largest", 1) == 0}
			k.Parallel(func(i *loop.Value) {
				m := k.Dim(count)
				co := k.Unflatten(i, outer, inner)
				h := &heap{argSearch: s, vals: k.Buf(vals), idx: k.Buf(idx), base: k.Add(k.MulDim(co[0], count.Mul(inner)), co[1]), stride: k.Dim(inner), levels: k.logOf(m)}
				from := k.Add(k.MulDim(co[0], n.Mul(inner)), co[1])
				at := func(e *loop.Value) *loop.Value { return k.Add(from, k.MulDim(e, inner)) }
				k.Range(k.Int(0), m, 1, func(e *loop.Value) { h.put(e, k.Load(k.Buf(x), at(e), 1), e) })
				k.If(k.Cmp(loop.GT, m, k.Int(0)), func() []*loop.Value {
					h.build(m)
					h.scan(m, k.Dim(n), inner.Is(1), at)
					h.sort(m)
					return nil
				}, nil)
			})
		},
	})
}

// scan takes the elements [lo, n), each of which may replace the root.
func (h *heap) scan(m, n *loop.Value, contiguous bool, at func(e *loop.Value) *loop.Value) {
	d, w := h.x.Type.DType, h.Level.Lanes(4)
	root := func() *loop.Value { return h.fromMemory(h.Load(h.vals, h.base, 1), d) }
	one := func(e *loop.Value) {
		v := h.Load(h.Buf(h.x), at(e), 1)
		h.If(h.better(h.fromMemory(v, d), root()), func() []*loop.Value {
			h.sift(h.Int(0), v, e, m)
			return nil
		}, nil)
	}
	lo := m
	if contiguous {
		mid := h.Add(m, h.MulInt(h.Div(h.Sub(n, m), h.Int(int64(w))), int64(w)))
		h.Range(m, mid, int64(w), func(e *loop.Value) {
			t := loop.Vec(tensor.I32, w)
			hit := h.better(h.load(at(e), w), h.Broadcast(root(), w))
			any := h.Reduce(loop.OpReduceMax, h.Select(hit, h.IntOf(t, 1), h.IntOf(t, 0)))
			h.If(h.Cmp(loop.NE, any, h.IntOf(any.Type, 0)), func() []*loop.Value {
				h.Range(e, h.AddInt(e, int64(w)), 1, one)
				return nil
			}, nil)
		})
		lo = mid
	}
	h.Range(lo, n, 1, one)
}

// topCount binds K, or has it held against the size of the axis.
func (c *Ctx) topCount(op *ir.Op, n, count ir.Dim) error {
	v := op.Operands[1]
	if c.known(v) {
		if n.IsConst() && count.IsConst() {
			return nil
		}
		return c.checkSize(op, n.Sub(count), 0, "K is more than the axis has")
	}
	return c.learn(learning{op: op, ins: []*ir.Value{v}, dims: []ir.Dim{count}, fault: "K is negative or more than the axis has",
		build: func(k *K) ([]*loop.Value, *loop.Value) {
			p := k.param(v, 0)
			bad := k.Or(k.Cmp(loop.LT, p, k.Int(0)), k.Cmp(loop.GT, p, k.Dim(n)))
			return []*loop.Value{k.MaxIdx(p, k.Int(0))}, k.flag(bad)
		}})
}
