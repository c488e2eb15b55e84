package lower

import (
	"math"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// selectRules are ops that compare positions or values along an axis.
func selectRules() map[string]rule {
	return map[string]rule{"ArgMax": lowerArg, "ArgMin": lowerArg, "OneHot": lowerOneHot, "CumSum": lowerCumulate, "CumProd": lowerCumulate, "TopK": lowerTopK, "Trilu": lowerTrilu, "EyeLike": lowerEyeLike,
		"Einsum": lowerEinsum, "Det": lowerDet, "ms.Inverse": lowerInverse,
	}
}

// axisOr1 gives the size of an axis and the products of the dimensions before and after it; a scalar has one of size 1.
func axisOr1(shape []ir.Dim, axis int64) (outer, n, inner ir.Dim) {
	if len(shape) == 0 {
		return ir.Const(1), ir.Const(1), ir.Const(1)
	}
	a := axisOf(axis, len(shape))
	outer, inner = around(shape, a)
	return outer, shape[a], inner
}

// around gives the products of the dimensions before and after an axis.
func around(shape []ir.Dim, axis int) (outer, inner ir.Dim) {
	return ir.Product(shape[:axis]), ir.Product(shape[axis+1:])
}

// argSearch finds the best element and its index. NaN counts as the largest value.
type argSearch struct {
	*K
	x    *ir.Value
	min  bool // the smallest is the best
	last bool // the highest index of equals
}

// gt: x is larger than y, NaN being larger than all numbers.
func (s *argSearch) gt(x, y *loop.Value) *loop.Value {
	r := s.Cmp(loop.GT, x, y)
	if x.Type.Elem.IsFloat() {
		r = s.Or(r, s.And(s.Cmp(loop.NE, x, x), s.Cmp(loop.EQ, y, y)))
	}
	return r
}

func (s *argSearch) better(x, y *loop.Value) *loop.Value {
	if s.min {
		return s.gt(y, x)
	}
	return s.gt(x, y)
}

// worst is a value that no other is worse than.
func (s *argSearch) worst(t loop.Type) *loop.Value {
	class, bits := t.Elem.Class(), t.Elem.Bits()
	switch {
	case class == tensor.ClassFloat && s.min:
		return s.Float(t, math.NaN())
	case class == tensor.ClassFloat:
		return s.Float(t, math.Inf(-1))
	case class == tensor.ClassInt && s.min:
		return s.IntOf(t, math.MaxInt64>>(64-bits))
	case class == tensor.ClassInt:
		return s.IntOf(t, math.MinInt64>>(64-bits))
	case s.min:
		return s.IntOf(t, -1)
	}
	return s.IntOf(t, 0)
}

// take gives the better of the best so far (value and index in best) and v at a later index.
func (s *argSearch) take(best []*loop.Value, v, at *loop.Value) []*loop.Value {
	c := s.better(v, best[0])
	if s.last {
		c = s.Not(s.better(best[0], v))
	}
	return []*loop.Value{s.Select(c, v, best[0]), s.Select(c, at, best[1])}
}

// merge is take for indices in any order.
func (s *argSearch) merge(best []*loop.Value, v, at *loop.Value) []*loop.Value {
	order := loop.LT
	if s.last {
		order = loop.GT
	}
	tie := s.And(s.Not(s.better(best[0], v)), s.Cmp(order, at, best[1]))
	c := s.Or(s.better(v, best[0]), tie)
	return []*loop.Value{s.Select(c, v, best[0]), s.Select(c, at, best[1])}
}

func (s *argSearch) load(at *loop.Value, lanes int) *loop.Value {
	return s.fromMemory(s.Load(s.Buf(s.x), at, lanes), s.x.Type.DType)
}

// row searches n neighbouring elements from base on.
func (s *argSearch) row(base *loop.Value, n ir.Dim) *loop.Value {
	ct, w, end := computeType(s.x.Type.DType), s.Level.Lanes(4), s.Dim(n)
	t := loop.Vec(tensor.I64, w)
	if n.IsConst() && n.Value() <= math.MaxInt32 {
		t.Elem = tensor.I32
	}
	at := func(e *loop.Value) *loop.Value { return s.Convert(e, t.Elem) }
	mid := s.MulInt(s.Div(end, s.Int(int64(w))), int64(w))
	best := s.For(s.Int(0), mid, int64(w), []*loop.Value{s.worst(loop.Vec(ct, w)), s.IntOf(t, 0)}, func(e *loop.Value, a []*loop.Value) []*loop.Value {
		return s.take(a, s.load(s.Add(base, e), w), s.Add(s.Broadcast(at(e), w), s.Iota(t)))
	})
	for h := w / 2; h > 0; h /= 2 {
		low, high := make([]int, h), make([]int, h)
		for i := range h {
			low[i], high[i] = i, h+i
		}
		half := func(x *loop.Value, lanes []int) *loop.Value { return s.Shuffle(x, x, lanes...) }
		best = s.merge([]*loop.Value{half(best[0], low), half(best[1], low)}, half(best[0], high), half(best[1], high))
	}
	best = s.For(mid, end, 1, best, func(e *loop.Value, a []*loop.Value) []*loop.Value {
		return s.take(a, s.load(s.Add(base, e), 1), at(e))
	})
	return s.Convert(best[1], tensor.I64)
}

// along searches each lane of an axis: put gets the best index for the lanes that begin at inner index e (an
// index value) of outer index o.
func (s *argSearch) along(i *loop.Value, outer, n, inner ir.Dim, put func(o, e *loop.Value, lanes int, best *loop.Value)) {
	if inner.Is(1) {
		put(i, s.Int(0), 1, s.row(s.MulDim(i, n), n))
		return
	}
	chunk, chunks := chunked(inner)
	co := s.Unflatten(i, outer, chunks)
	lo, hi := s.chunkRange(co[1], chunk, inner)
	s.vectorLoop(lo, hi, s.Level.Lanes(4), func(e *loop.Value, lanes int) {
		init := []*loop.Value{s.worst(loop.Vec(computeType(s.x.Type.DType), lanes)), s.IntOf(loop.Vec(tensor.I64, lanes), 0)}
		base := s.Add(s.MulDim(co[0], n.Mul(inner)), e)
		best := s.For(s.Int(0), s.Dim(n), 1, init, func(j *loop.Value, a []*loop.Value) []*loop.Value {
			return s.take(a, s.load(s.Add(base, s.MulDim(j, inner)), lanes), s.Broadcast(j, lanes))
		})
		put(co[0], e, lanes, best[1])
	})
}

func lowerArg(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	if x.Type.Rank() < 0 || !compiled(x.Type.DType) || x.Type.DType == tensor.Bool {
		return errDecline
	}
	outer, n, inner := axisOr1(x.Type.Shape, op.Attrs.Int("axis", 0))
	if err := c.checkSize(op, n, 1, "the axis"); err != nil {
		return err
	}
	chunk, chunks := chunked(inner)
	return c.Kernel(Step{
		Op: op, Name: "arg", Ins: []*ir.Value{x}, Outs: []*ir.Value{out}, Par: outer.Mul(chunks), NsPerIter: perChunk(n.Mul(chunk), 0.3), Bytes: bytesOf(x),
		Build: func(k *K) {
			s := &argSearch{K: k, x: x, min: op.Info.Name == "ArgMin", last: op.Attrs.Int("select_last_index", 0) != 0}
			k.Parallel(func(i *loop.Value) {
				s.along(i, outer, n, inner, func(o, e *loop.Value, _ int, best *loop.Value) {
					k.Store(k.Buf(out), k.Add(k.MulDim(o, inner), e), best)
				})
			})
		},
	})
}

// lowerHardmax compiles Hardmax: 1 at the first maximum of each lane.
func lowerHardmax(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	d := x.Type.DType
	if x.Type.Rank() < 0 || !compiled(d) || !d.IsFloat() {
		return errDecline
	}
	outer, n, inner := axisOr1(x.Type.Shape, op.Attrs.Int("axis", -1))
	chunk, chunks := chunked(inner)
	return c.Kernel(Step{
		Op: op, Name: "hardmax", Ins: []*ir.Value{x}, Outs: []*ir.Value{out}, Par: outer.Mul(chunks), NsPerIter: perChunk(n.Mul(chunk), 0.5), Bytes: bytesOf(x).MulInt(2),
		Build: func(k *K) {
			s := &argSearch{K: k, x: x}
			one := func(hit *loop.Value) *loop.Value {
				t := loop.Vec(computeType(d), hit.Type.Lanes)
				return k.toMemory(k.Select(hit, k.Float(t, 1), k.Float(t, 0)), d)
			}
			k.Parallel(func(i *loop.Value) {
				s.along(i, outer, n, inner, func(o, e *loop.Value, lanes int, best *loop.Value) {
					base := k.Add(k.MulDim(o, n.Mul(inner)), e)
					if inner.Is(1) {
						k.vectorLoop(k.Int(0), k.Dim(n), k.Level.Lanes(4), func(j *loop.Value, lanes int) {
							k.Store(k.Buf(out), k.Add(base, j), one(k.Cmp(loop.EQ, k.Add(k.Broadcast(j, lanes), k.steps(lanes)), k.Broadcast(best, lanes))))
						})
						return
					}
					k.Range(k.Int(0), k.Dim(n), 1, func(j *loop.Value) {
						k.Store(k.Buf(out), k.Add(base, k.MulDim(j, inner)), one(k.Cmp(loop.EQ, k.Broadcast(j, lanes), best)))
					})
				})
			})
		},
	})
}

// lowerOneHot compares each position along the new axis with the index.
func lowerOneHot(c *Ctx, op *ir.Op) error {
	idx, vals, out := op.Operands[0], op.Operands[2], op.Results[0]
	if idx.Type.Rank() < 0 || !compiled(idx.Type.DType) || idx.Type.DType == tensor.Bool || !compiled(vals.Type.DType) || out.Type.DType != vals.Type.DType ||
		!ir.Product(vals.Type.Shape).Is(2) {
		return errDecline
	}
	axis := axisOf(op.Attrs.Int("axis", -1), out.Type.Rank())
	if v := op.Operands[1]; !c.sizesKnown(op) {
		if !compiled(v.Type.DType) || v.Type.DType == tensor.Bool || !ir.Product(v.Type.Shape).Is(1) {
			return errDecline
		}
		if err := c.learnShape(op, v, []ir.Dim{out.Type.Shape[axis]}); err != nil {
			return err
		}
	}
	depth := out.Type.Shape[axis]
	outer, inner := around(out.Type.Shape, axis)
	width, par := depth, outer
	if !inner.Is(1) {
		width, par = inner, outer.Mul(depth)
	}
	return c.Kernel(Step{
		Op: op, Name: "onehot", Ins: []*ir.Value{idx, vals}, Outs: []*ir.Value{out}, Par: par, NsPerIter: perChunk(width, 0.3), Bytes: bytesOf(out),
		Build: func(k *K) {
			wrap := func(at *loop.Value, lanes int) *loop.Value {
				i := k.CastTo(k.fromMemory(k.Load(k.Buf(idx), at, lanes), idx.Type.DType), tensor.I64)
				if idx.Type.DType == tensor.U64 { // what is negative as i64 is far beyond the depth
					return i
				}
				return k.Select(k.Cmp(loop.LT, i, k.IntOf(i.Type, 0)), k.Add(i, k.Broadcast(k.Dim(depth), lanes)), i)
			}
			put := func(to, hit *loop.Value) {
				n := hit.Type.Lanes
				off, on := k.Load(k.Buf(vals), k.Int(0), 1), k.Load(k.Buf(vals), k.Int(1), 1)
				k.Store(k.Buf(out), to, k.Select(hit, k.Broadcast(on, n), k.Broadcast(off, n)))
			}
			k.Parallel(func(i *loop.Value) {
				row := k.MulDim(i, width)
				if inner.Is(1) {
					at := wrap(i, 1)
					k.vectorLoop(k.Int(0), k.Dim(depth), k.Level.Lanes(4), func(e *loop.Value, lanes int) {
						put(k.Add(row, e), k.Cmp(loop.EQ, k.Add(k.Broadcast(e, lanes), k.steps(lanes)), k.Broadcast(at, lanes)))
					})
					return
				}
				co := k.Unflatten(i, outer, depth)
				from := k.MulDim(co[0], inner)
				k.vectorLoop(k.Int(0), k.Dim(inner), k.Level.Lanes(4), func(e *loop.Value, lanes int) {
					put(k.Add(row, e), k.Cmp(loop.EQ, wrap(k.Add(from, e), lanes), k.Broadcast(co[1], lanes)))
				})
			})
		},
	})
}

// lowerTrilu copies the part of each row on one side of a diagonal; the rest is 0.
func lowerTrilu(c *Ctx, op *ir.Op) error {
	x, diag, out := op.Operands[0], op.Operand(1), op.Results[0]
	rank := x.Type.Rank()
	if rank < 2 || !compiled(x.Type.DType) || diag != nil && (diag.Type.DType != tensor.I64 || !ir.Product(diag.Type.Shape).Is(1)) {
		return errDecline
	}
	h, w := x.Type.Shape[rank-2], x.Type.Shape[rank-1]
	upper := op.Attrs.Int("upper", 1) != 0
	ins := []*ir.Value{x}
	if diag != nil {
		ins = append(ins, diag)
	}
	return c.Kernel(Step{
		Op: op, Name: "trilu", Ins: ins, Outs: []*ir.Value{out}, Par: ir.Product(x.Type.Shape[:rank-1]), NsPerIter: perChunk(w, 0.2), Bytes: bytesOf(x).MulInt(2),
		Build: func(k *K) {
			elem := k.Buf(out).Elem
			k.Parallel(func(i *loop.Value) {
				row := k.MulDim(i, w)
				edge := k.Rem(i, k.Dim(h)) // first column of the upper part
				if diag != nil {
					d := k.Load(k.Buf(diag), k.Int(0), 1)
					edge = k.Add(edge, k.MaxIdx(k.MinIdx(d, k.Dim(w)), k.Sub(k.Int(0), k.Dim(h))))
				}
				if !upper {
					edge = k.AddInt(edge, 1) // first column of what is dropped
				}
				edge = k.MaxIdx(k.MinIdx(edge, k.Dim(w)), k.Int(0))
				part := func(lo, hi *loop.Value, keep bool) {
					k.vectorLoop(lo, hi, k.Level.Lanes(x.Type.DType.Size()), func(e *loop.Value, lanes int) {
						at, v := k.Add(row, e), k.Bits(loop.Vec(elem, lanes), 0)
						if keep {
							v = k.Load(k.Buf(x), at, lanes)
						}
						k.Store(k.Buf(out), at, v)
					})
				}
				part(k.Int(0), edge, !upper)
				part(edge, k.Dim(w), upper)
			})
		},
	})
}
