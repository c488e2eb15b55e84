package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Ops whose results are as long as something is counted: a kernel counts in parts, another adds up where
// each part's results begin, and a third, once the size is bound, writes them.

// startsOf learns from the counts of parts their sum, which binds total, and gives where each part begins.
func (c *Ctx) startsOf(op *ir.Op, counts *ir.Value, total ir.Dim) (*ir.Value, error) {
	starts := c.Scratch(counts.Type)
	return starts, c.learn(learning{op: op, ins: []*ir.Value{counts}, outs: []*ir.Value{starts}, dims: []ir.Dim{total}, build: func(k *K) ([]*loop.Value, *loop.Value) {
		return k.For(k.Int(0), k.Dim(counts.Type.Shape[0]), 1, []*loop.Value{k.Int(0)}, func(i *loop.Value, a []*loop.Value) []*loop.Value {
			k.Store(k.Buf(starts), i, a[0])
			return []*loop.Value{k.Add(a[0], k.Load(k.Buf(counts), i, 1))}
		}), nil
	}})
}

// lowerNonZero counts in chunks, then writes the coordinates.
func lowerNonZero(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	if x.Type.Rank() < 0 || !compiled(x.Type.DType) {
		return errDecline
	}
	n := ir.Product(x.Type.Shape)
	chunks, total := n.CeilDiv(elemChunk), out.Type.Shape[1]
	counts := c.Scratch(ir.TensorType(tensor.I64, chunks))
	hit := func(k *K, at *loop.Value, lanes int) *loop.Value {
		v := k.fromMemory(k.Load(k.Buf(x), at, lanes), x.Type.DType)
		if x.Type.DType == tensor.Bool {
			return v
		}
		return k.Cmp(loop.NE, v, k.num(v, 0))
	}
	err := c.Kernel(Step{
		Op: op, Name: "count", Ins: []*ir.Value{x}, Outs: []*ir.Value{counts}, Par: chunks, NsPerIter: elemChunk / 4, Bytes: bytesOf(x),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				lo, hi := k.chunkRange(i, ir.Const(elemChunk), n)
				w := k.Level.Lanes(4)
				ones := func(at *loop.Value, lanes int) *loop.Value {
					t := loop.Vec(tensor.I64, lanes)
					return k.Select(hit(k, at, lanes), k.IntOf(t, 1), k.IntOf(t, 0))
				}
				mid := k.Add(lo, k.MulInt(k.Div(k.Sub(hi, lo), k.Int(int64(w))), int64(w)))
				part := k.For(lo, mid, int64(w), []*loop.Value{k.IntOf(loop.Vec(tensor.I64, w), 0)}, func(e *loop.Value, a []*loop.Value) []*loop.Value {
					return []*loop.Value{k.Add(a[0], ones(e, w))}
				})
				sum := k.For(mid, hi, 1, []*loop.Value{k.Reduce(loop.OpReduceAdd, part[0])}, func(e *loop.Value, a []*loop.Value) []*loop.Value {
					return []*loop.Value{k.Add(a[0], ones(e, 1))}
				})
				k.Store(k.Buf(counts), i, sum[0])
			})
		},
	})
	if err != nil {
		return err
	}
	starts, err := c.startsOf(op, counts, total)
	if err != nil {
		return err
	}
	return c.Kernel(Step{
		Op: op, Name: "nonzero", Ins: []*ir.Value{x, starts}, Outs: []*ir.Value{out}, Par: chunks, NsPerIter: elemChunk, Bytes: bytesOf(x),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				lo, hi := k.chunkRange(i, ir.Const(elemChunk), n)
				k.For(lo, hi, 1, []*loop.Value{k.Load(k.Buf(starts), i, 1)}, func(e *loop.Value, a []*loop.Value) []*loop.Value {
					return k.If(hit(k, e, 1), func() []*loop.Value {
						for d, p := range k.Unflatten(e, x.Type.Shape...) {
							k.Store(k.Buf(out), k.Add(k.MulDim(k.Dim(total), ir.Const(int64(d))), a[0]), p)
						}
						return []*loop.Value{k.AddInt(a[0], 1)}
					}, func() []*loop.Value { return []*loop.Value{a[0]} })
				})
			})
		},
	})
}

// lowerCompress lists the indices for which the condition holds, then gathers.
func lowerCompress(c *Ctx, op *ir.Op) error {
	x, cond, out := op.Operands[0], op.Operands[1], op.Results[0]
	if x.Type.Rank() < 0 || !compiled(x.Type.DType) || cond.Type.DType != tensor.Bool || cond.Type.Rank() != 1 {
		return errDecline
	}
	outer, n, inner, count := ir.Const(1), ir.Product(x.Type.Shape), ir.Const(1), out.Type.Shape[0]
	if a, ok := op.Attrs["axis"].(int64); ok {
		axis := axisOf(a, x.Type.Rank())
		outer, inner = around(x.Type.Shape, axis)
		n, count = x.Type.Shape[axis], out.Type.Shape[axis]
	}
	m := cond.Type.Shape[0]
	list := c.Scratch(ir.TensorType(tensor.I64, m.AddInt(1))) // one more: each index is written before it is known to count
	err := c.learn(learning{op: op, ins: []*ir.Value{cond}, outs: []*ir.Value{list}, dims: []ir.Dim{count}, fault: "the condition holds beyond the axis",
		build: func(k *K) ([]*loop.Value, *loop.Value) {
			r := k.For(k.Int(0), k.Dim(m), 1, []*loop.Value{k.Int(0), k.Int(0)}, func(i *loop.Value, a []*loop.Value) []*loop.Value {
				k.Store(k.Buf(list), a[0], i)
				yes := k.Cmp(loop.NE, k.Load(k.Buf(cond), i, 1), k.IntOf(loop.Scalar(tensor.U8), 0))
				beyond := k.And(yes, k.Cmp(loop.GE, i, k.Dim(n)))
				return []*loop.Value{k.Add(a[0], k.flag(yes)), k.Add(a[1], k.flag(beyond))}
			})
			return r[:1], r[1]
		}})
	if err != nil {
		return err
	}
	return c.gatherRows(op, x, list, out, outer, n, count, inner)
}
