package lower

import (
	"fmt"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// indexRules are the ops that read or write at indices which are data.
func indexRules() map[string]rule {
	return map[string]rule{
		"GatherElements": lowerGatherElements, "GatherND": lowerGatherND, "ScatterND": lowerScatterND, "ScatterElements": lowerScatterElements,
		"TensorScatter": lowerTensorScatter, "ReverseSequence": lowerReverseSequence, "NonZero": lowerNonZero, "Compress": lowerCompress,
		"NonMaxSuppression": lowerNMS,
	}
}

// chunked splits a dimension into count chunks for parallel iterations; one that is known to be short stays whole.
func chunked(n ir.Dim) (chunk, count ir.Dim) {
	if n.IsConst() && n.Value() <= 2*elemChunk {
		return n, ir.Const(1)
	}
	return ir.Const(elemChunk), n.CeilDiv(elemChunk)
}

// chunkRange is the part of n elements that chunk number i covers.
func (k *K) chunkRange(i *loop.Value, chunk, n ir.Dim) (lo, hi *loop.Value) {
	if chunk.Equal(n) {
		return k.Int(0), k.Dim(n)
	}
	lo = k.MulDim(i, chunk)
	return lo, k.MinIdx(k.Add(lo, k.Dim(chunk)), k.Dim(n))
}

// perChunk estimates the time of n cheap elements, of which nothing is known if n is not constant.
func perChunk(n ir.Dim, ns float64) float64 {
	if n.IsConst() {
		return 5 + float64(n.Value())*ns
	}
	return 300
}

// isIndex reports whether v can hold indices.
func isIndex(v *ir.Value) bool {
	return v.Type.Rank() >= 0 && (v.Type.DType == tensor.I64 || v.Type.DType == tensor.I32)
}

// loadIndex reads lanes indices and brings those of [-n, 0) into [0, n).
func (k *K) loadIndex(v *ir.Value, at *loop.Value, lanes int, n ir.Dim) *loop.Value {
	i := k.Convert(k.Load(k.Buf(v), at, lanes), tensor.I64)
	return k.Select(k.Cmp(loop.LT, i, k.IntOf(i.Type, 0)), k.Add(i, k.Broadcast(k.Dim(n), lanes)), i)
}

// checkIndices emits the steps that fail unless the indices v, tuples of one index per entry of limits, lie
// in [-limit, limit): a kernel counts those that do not. Constant ones are checked here.
func (c *Ctx) checkIndices(op *ir.Op, v *ir.Value, limits []ir.Dim) error {
	if ids, ok := c.constOf(v).Int64s(); ok {
		if n, static := ir.StaticShape(limits); static {
			for i, x := range ids {
				if d := n[i%len(n)]; x < -d || x >= d {
					return op.Errorf("index %d is outside [%d, %d)", x, -d, d)
				}
			}
			return nil
		}
	}
	bad := c.Scratch(ir.TensorType(tensor.I64))
	count := ir.Product(v.Type.Shape)
	err := c.Kernel(Step{
		Op: op, Name: "check_indices", Ins: []*ir.Value{v}, Outs: []*ir.Value{bad}, Par: ir.Const(1), NsPerIter: 10, Bytes: bytesOf(v),
		Build: func(k *K) {
			k.Parallel(func(*loop.Value) {
				k.Store(k.Buf(bad), k.Int(0), k.tally(count, len(limits), func(at *loop.Value, lanes, j int) *loop.Value {
					i, d := k.Convert(k.Load(k.Buf(v), at, lanes), tensor.I64), k.Broadcast(k.Dim(limits[j]), lanes)
					return k.Or(k.Cmp(loop.LT, i, k.Sub(k.IntOf(d.Type, 0), d)), k.Cmp(loop.GE, i, d))
				}))
			})
		},
	})
	if err != nil {
		return err
	}
	if len(limits) == 1 {
		return c.checkFaults(op, bad, fmt.Sprintf("indices out of range for an axis of size %v", limits[0]))
	}
	return c.checkFaults(op, bad, fmt.Sprintf("indices out of range for axes of size %v", limits))
}

// tally counts the faults among count elements, tuples of width; faulty tells which of those from at on are, the first of
// them number j of its tuple.
func (k *K) tally(count ir.Dim, width int, faulty func(at *loop.Value, lanes, j int) *loop.Value) *loop.Value {
	ones := func(at *loop.Value, lanes, j int) *loop.Value {
		t := loop.Vec(tensor.I64, lanes)
		return k.Select(faulty(at, lanes, j), k.IntOf(t, 1), k.IntOf(t, 0))
	}
	lo, sum := k.Int(0), k.Int(0)
	if width == 1 {
		w := k.Level.Lanes(4)
		lo = k.MulInt(k.Div(k.Dim(count), k.Int(int64(w))), int64(w))
		part := k.For(k.Int(0), lo, int64(w), []*loop.Value{k.IntOf(loop.Vec(tensor.I64, w), 0)}, func(e *loop.Value, a []*loop.Value) []*loop.Value {
			return []*loop.Value{k.Add(a[0], ones(e, w, 0))}
		})
		sum = k.Reduce(loop.OpReduceAdd, part[0])
	}
	return k.For(lo, k.Dim(count), int64(width), []*loop.Value{sum}, func(e *loop.Value, a []*loop.Value) []*loop.Value {
		s := a[0]
		for j := range width {
			s = k.Add(s, ones(k.AddInt(e, int64(j)), 1, j))
		}
		return []*loop.Value{s}
	})[0]
}

// checkSize emits a step that fails unless dimension d is at least n, where that is not known. A constant
// that is less is left to the host function, which says what is wrong if it is.
func (c *Ctx) checkSize(op *ir.Op, d ir.Dim, n int64, what string) error {
	switch {
	case d.AddInt(-n).NonNegative():
		return nil
	case d.IsConst():
		return errDecline
	}
	c.addStep(plan.Step{Kind: plan.StepCheck, Name: fmt.Sprintf("%s %q: %s", op.Info.Name, op.Origin.Node, what), A: c.slot(d), B: c.slot(d.Max(ir.Const(n)))})
	return nil
}

// lowerGatherAt compiles Gather with indices that are known only at run time.
func lowerGatherAt(c *Ctx, op *ir.Op) error {
	x, idx, out := op.Operands[0], op.Operands[1], op.Results[0]
	if x.Type.Rank() < 1 || !isIndex(idx) || !compiled(x.Type.DType) {
		return errDecline
	}
	axis := axisOf(op.Attrs.Int("axis", 0), x.Type.Rank())
	n := x.Type.Shape[axis]
	if err := c.checkIndices(op, idx, []ir.Dim{n}); err != nil {
		return err
	}
	outer, inner := around(x.Type.Shape, axis)
	if axis == 0 {
		if p, ok, err := c.tiedTable(x); err != nil {
			return err
		} else if ok {
			return c.gatherPanels(op, p, idx, out, n, inner)
		}
	}
	return c.gatherRows(op, x, idx, out, outer, n, ir.Product(idx.Type.Shape), inner)
}

// gatherRows emits the step that takes count slices of inner elements, at the indices idx along an axis of
// size n, from each of outer parts of x.
func (c *Ctx) gatherRows(op *ir.Op, x, idx, out *ir.Value, outer, n, count, inner ir.Dim) error {
	s := Step{Op: op, Name: "gather", Ins: []*ir.Value{x, idx}, Outs: []*ir.Value{out}, Bytes: bytesOf(out).MulInt(2)}
	if inner.Is(1) { // single elements
		chunk, chunks := chunked(count)
		s.Par, s.NsPerIter = outer.Mul(chunks), perChunk(chunk, 0.5)
		s.Build = func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, outer, chunks)
				lo, hi := k.chunkRange(co[1], chunk, count)
				from, to := k.MulDim(co[0], n), k.MulDim(co[0], count)
				k.vectorLoop(lo, hi, k.Level.Lanes(4), func(e *loop.Value, lanes int) {
					at := k.Add(k.loadIndex(idx, e, lanes, n), k.Broadcast(from, lanes))
					k.Store(k.Buf(out), k.Add(to, e), k.Gather(k.Buf(x), at))
				})
			})
		}
		return c.Kernel(s)
	}
	s.Par, s.NsPerIter = outer.Mul(count), perChunk(inner, 0.1)
	s.Build = func(k *K) {
		k.Parallel(func(i *loop.Value) {
			co := k.Unflatten(i, outer, count)
			row := k.loadIndex(idx, co[1], 1, n)
			k.copyRow(x, out, k.MulDim(k.Add(k.MulDim(co[0], n), row), inner), k.MulDim(i, inner), inner)
		})
	}
	return c.Kernel(s)
}

// copyRow copies n neighbouring elements.
func (k *K) copyRow(x, out *ir.Value, from, to *loop.Value, n ir.Dim) {
	k.vectorLoop(k.Int(0), k.Dim(n), k.Level.Lanes(x.Type.DType.Size()), func(e *loop.Value, lanes int) {
		k.Store(k.Buf(out), k.Add(to, e), k.Load(k.Buf(x), k.Add(from, e), lanes))
	})
}

func lowerGatherElements(c *Ctx, op *ir.Op) error {
	x, idx, out := op.Operands[0], op.Operands[1], op.Results[0]
	rank := x.Type.Rank()
	if rank < 1 || !isIndex(idx) || idx.Type.Rank() != rank || !compiled(x.Type.DType) {
		return errDecline
	}
	axis := axisOf(op.Attrs.Int("axis", 0), rank)
	for i, d := range idx.Type.Shape {
		// Outside the axis, the result must be no larger than the data.
		if i == axis {
			continue
		}
		if err := c.checkSize(op, x.Type.Shape[i].Sub(d), 0, "a dimension of the indices exceeds that of the data"); err != nil {
			return err
		}
	}
	n := x.Type.Shape[axis]
	if err := c.checkIndices(op, idx, []ir.Dim{n}); err != nil {
		return err
	}
	st, shape := Strides(x.Type.Shape), idx.Type.Shape
	width := shape[rank-1]
	return c.Kernel(Step{
		Op: op, Name: "gather_elems", Ins: []*ir.Value{x, idx}, Outs: []*ir.Value{out}, Par: ir.Product(shape[:rank-1]), NsPerIter: perChunk(width, 0.5),
		Bytes: bytesOf(out).MulInt(2),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				base := k.Int(0)
				if rank > 1 {
					for d, x := range k.Unflatten(i, shape[:rank-1]...) {
						if d != axis {
							base = k.Add(base, k.MulDim(x, st[d]))
						}
					}
				}
				row := k.MulDim(i, width)
				k.vectorLoop(k.Int(0), k.Dim(width), k.Level.Lanes(4), func(e *loop.Value, lanes int) {
					at, first := k.loadIndex(idx, k.Add(row, e), lanes, n), base
					if axis != rank-1 {
						first = k.Add(first, e)
						at = k.Add(k.Mul(at, k.Broadcast(k.Dim(st[axis]), lanes)), k.steps(lanes))
					}
					k.Store(k.Buf(out), k.Add(row, e), k.Gather(k.Buf(x), k.Add(at, k.Broadcast(first, lanes))))
				})
			})
		},
	})
}

// steps is the index 0, or the vector of indices 0, 1, 2, ...
func (k *K) steps(lanes int) *loop.Value {
	if lanes == 1 {
		return k.Int(0)
	}
	return k.Iota(loop.Vec(tensor.I64, lanes))
}
