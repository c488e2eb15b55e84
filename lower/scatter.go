package lower

import (
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// scatterFolds are the reductions of ScatterND and ScatterElements.
var scatterFolds = map[string]loop.Op{"add": loop.OpAdd, "mul": loop.OpMul, "max": loop.OpMax, "min": loop.OpMin}

// scatterBools are those of booleans: a sum is true where either is, a product where both are.
var scatterBools = map[string]func(k *K, x, y *loop.Value) *loop.Value{"add": (*K).Or, "mul": (*K).And, "max": (*K).Or, "min": (*K).And}

// canScatter reports whether updates can be written to copies of x.
func canScatter(x, upd *ir.Value, how string) bool {
	_, folds := scatterFolds[how]
	d := x.Type.DType
	if d.Class() == tensor.ClassComplex {
		folds = how == "add" || how == "mul"
		return upd.Type.DType == d && folds
	}
	return compiled(d) && upd.Type.DType == d && (how == "none" || folds)
}

// scatterLanes is how many neighbouring elements of d scatterTo takes at once.
func (k *K) scatterLanes(d tensor.DType) int {
	if d.Class() == tensor.ClassComplex {
		return 1
	}
	return k.Level.Lanes(d.Size())
}

// foldComplex adds a complex number of upd to one of out, or multiplies it with it. Products are computed in f64, and rounded once.
func (k *K) foldComplex(out, upd *ir.Value, to, from *loop.Value, how string) {
	part := tensor.F32
	if upd.Type.DType == tensor.C128 {
		part = tensor.F64
	}
	load := func(v *ir.Value, at *loop.Value) (re, im *loop.Value) {
		at = k.MulInt(at, 2)
		return k.Convert(k.Load(k.bufAs(v, part), at, 1), tensor.F64), k.Convert(k.Load(k.bufAs(v, part), k.AddInt(at, 1), 1), tensor.F64)
	}
	a, b := load(out, to)
	c, d := load(upd, from)
	re, im := k.Add(a, c), k.Add(b, d)
	if how == "mul" {
		re, im = k.Sub(k.Mul(a, c), k.Mul(b, d)), k.Add(k.Mul(a, d), k.Mul(b, c))
	}
	k.Store(k.bufAs(out, part), k.MulInt(to, 2), k.Convert(re, part))
	k.Store(k.bufAs(out, part), k.AddInt(k.MulInt(to, 2), 1), k.Convert(im, part))
}

// scatterTo writes, or folds, elements of upd into out.
func (k *K) scatterTo(out, upd *ir.Value, to, from *loop.Value, lanes int, how string) {
	if upd.Type.DType.Class() == tensor.ClassComplex {
		k.foldComplex(out, upd, to, from, how)
		return
	}
	v, d := k.Load(k.Buf(upd), from, lanes), upd.Type.DType
	if fold, ok := scatterFolds[how]; ok {
		old := k.fromMemory(k.Load(k.Buf(out), to, lanes), d)
		upd := k.fromMemory(v, d)
		if d == tensor.Bool {
			v = k.toMemory(scatterBools[how](k, old, upd), d)
		} else {
			v = k.toMemory(k.fold(fold, old, upd), d)
		}
	}
	k.Store(k.Buf(out), to, v)
}

// startFrom makes out a copy of x, to be changed by the steps that follow.
func (c *Ctx) startFrom(op *ir.Op, x, out *ir.Value) error {
	if _, err := c.define(out); err != nil {
		return op.Errorf("%w", err)
	}
	return c.copy(op, x, out)
}

// lowerScatterND copies the data and then writes the slices. Tuples that may be equal are taken in
// order, each iteration doing its part of all slices, so that the last wins.
func lowerScatterND(c *Ctx, op *ir.Op) error {
	x, upd, out := op.Operands[0], op.Operands[2], op.Results[0]
	how := op.Attrs.Str("reduction", "none")
	if !canScatter(x, upd, how) {
		return errDecline
	}
	t, err := c.newTuples(op, x, op.Operands[1], 0)
	if err != nil {
		return err
	}
	want := append(append([]ir.Dim{}, t.idx.Type.Shape[:t.idx.Type.Rank()-1]...), x.Type.Shape[len(t.dims):]...)
	c.checkEqual(op, ir.Product(upd.Type.Shape), ir.Product(want), "the numbers of elements of the updates and of what the indices select")
	if err := c.startFrom(op, x, out); err != nil {
		return err
	}
	put := func(k *K, from, to *loop.Value, lo, hi *loop.Value) {
		k.vectorLoop(lo, hi, k.scatterLanes(x.Type.DType), func(e *loop.Value, lanes int) {
			k.scatterTo(out, upd, k.Add(to, e), k.Add(from, e), lanes, how)
		})
	}
	s := Step{Op: op, Name: "scatter", Ins: append(t.ins(), upd), Outs: []*ir.Value{out}, Bytes: bytesOf(upd).MulInt(2)}
	if t.distinct {
		s.Par, s.NsPerIter = t.count, perChunk(t.inner, 0.2)
		s.Build = func(k *K) {
			k.Parallel(func(i *loop.Value) { put(k, k.MulDim(i, t.inner), t.offset(k, i), k.Int(0), k.Dim(t.inner)) })
		}
		return c.Kernel(s)
	}
	chunk, chunks := chunked(t.inner)
	s.Par, s.NsPerIter = chunks, chunkNs
	s.Build = func(k *K) {
		k.Parallel(func(i *loop.Value) {
			lo, hi := k.chunkRange(i, chunk, t.inner)
			k.Range(k.Int(0), k.Dim(t.count), 1, func(j *loop.Value) { put(k, k.MulDim(j, t.inner), t.offset(k, j), lo, hi) })
		})
	}
	return c.Kernel(s)
}

// lowerScatterElements copies the data and then writes along the lanes of the axis, which have no element in
// common; each in order, so that of equal indices the last wins.
func lowerScatterElements(c *Ctx, op *ir.Op) error {
	x, idx, upd, out := op.Operands[0], op.Operands[1], op.Operands[2], op.Results[0]
	rank, how := x.Type.Rank(), op.Attrs.Str("reduction", "none")
	if rank < 1 || !isIndex(idx) || idx.Type.Rank() != rank || upd.Type.Rank() != rank || !canScatter(x, upd, how) {
		return errDecline
	}
	axis := axisOf(op.Attrs.Int("axis", 0), rank)
	for i, d := range idx.Type.Shape {
		c.checkEqual(op, upd.Type.Shape[i], d, "dimensions of updates and indices")
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
	if err := c.startFrom(op, x, out); err != nil {
		return err
	}
	lanes := slices.Delete(slices.Clone(idx.Type.Shape), axis, axis+1)
	to, from := Strides(x.Type.Shape), Strides(idx.Type.Shape)
	count := idx.Type.Shape[axis]
	return c.Kernel(Step{
		Op: op, Name: "scatter_elems", Ins: []*ir.Value{idx, upd}, Outs: []*ir.Value{out}, Par: ir.Product(lanes), NsPerIter: perChunk(count, 1), Bytes: bytesOf(upd).MulInt(2),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				src, dst := k.Int(0), k.Int(0)
				if len(lanes) > 0 {
					for d, p := range k.Unflatten(i, lanes...) {
						if d >= axis {
							d++
						}
						src, dst = k.Add(src, k.MulDim(p, from[d])), k.Add(dst, k.MulDim(p, to[d]))
					}
				}
				k.Range(k.Int(0), k.Dim(count), 1, func(j *loop.Value) {
					at := k.Add(src, k.MulDim(j, from[axis]))
					k.scatterTo(out, upd, k.Add(dst, k.MulDim(k.loadIndex(idx, at, 1, n), to[axis])), at, 1, how)
				})
			})
		},
	})
}

// lowerTensorScatter copies a cache and writes an update at a position of its own in each batch, modulo the
// size of the axis in mode circular.
func lowerTensorScatter(c *Ctx, op *ir.Op) error {
	x, upd, at, out := op.Operands[0], op.Operands[1], op.Operand(2), op.Results[0]
	rank := x.Type.Rank()
	if rank < 2 || upd.Type.Rank() != rank || !canScatter(x, upd, "none") || at != nil && (!isIndex(at) || at.Type.Rank() != 1) {
		return errDecline
	}
	axis := axisOf(op.Attrs.Int("axis", -2), rank)
	if axis < 1 {
		return errDecline
	}
	circular := op.Attrs.Str("mode", "linear") == "circular"
	n, count := x.Type.Shape[axis], upd.Type.Shape[axis]
	for i, d := range x.Type.Shape {
		if i != axis {
			c.checkEqual(op, upd.Type.Shape[i], d, "dimensions of the update and the cache")
		}
	}
	if err := c.checkSize(op, n.Sub(count), 0, "the update is longer than the cache"); err != nil {
		return err
	}
	ins := []*ir.Value{upd}
	if at != nil {
		ins = append(ins, at)
		c.checkEqual(op, at.Type.Shape[0], x.Type.Shape[0], "the numbers of write indices and batches")
		limit := n.Sub(count).AddInt(1)
		if circular {
			limit = n
		}
		if err := c.checkBelow(op, at, limit, "write indices out of range"); err != nil {
			return err
		}
	}
	if err := c.startFrom(op, x, out); err != nil {
		return err
	}
	inner, rows := ir.Product(x.Type.Shape[axis+1:]), upd.Type.Shape[:axis+1]
	return c.Kernel(Step{
		Op: op, Name: "tensor_scatter", Ins: ins, Outs: []*ir.Value{out}, Par: ir.Product(rows), NsPerIter: perChunk(inner, 0.2), Bytes: bytesOf(upd).MulInt(2),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, rows...)
				p := co[axis]
				if at != nil {
					p = k.Add(p, k.Convert(k.Load(k.Buf(at), co[0], 1), tensor.I64))
				}
				if circular {
					p = k.Rem(p, k.Dim(n))
				}
				co[axis] = p
				k.copyRow(upd, out, k.MulDim(i, inner), k.MulDim(k.Flatten(co, x.Type.Shape[:axis+1]), inner), inner)
			})
		},
	})
}

// checkBelow emits the steps that fail, saying what, unless all elements of v lie in [0, n).
func (c *Ctx) checkBelow(op *ir.Op, v *ir.Value, n ir.Dim, what string) error {
	return c.learn(learning{op: op, ins: []*ir.Value{v}, fault: what, build: func(k *K) ([]*loop.Value, *loop.Value) {
		bad := k.For(k.Int(0), k.Dim(ir.Product(v.Type.Shape)), 1, []*loop.Value{k.Int(0)}, func(i *loop.Value, a []*loop.Value) []*loop.Value {
			x := k.Convert(k.Load(k.Buf(v), i, 1), tensor.I64)
			out := k.Or(k.Cmp(loop.LT, x, k.Int(0)), k.Cmp(loop.GE, x, k.Dim(n)))
			return []*loop.Value{k.Add(a[0], k.flag(out))}
		})
		return nil, bad[0]
	}})
}

// lowerReverseSequence copies rows, those within the length of their sequence in reverse.
func lowerReverseSequence(c *Ctx, op *ir.Op) error {
	x, lens, out := op.Operands[0], op.Operands[1], op.Results[0]
	rank := x.Type.Rank()
	if rank < 2 || !compiled(x.Type.DType) || !isIndex(lens) || lens.Type.Rank() != 1 {
		return errDecline
	}
	batch, time := axisOf(op.Attrs.Int("batch_axis", 1), rank), axisOf(op.Attrs.Int("time_axis", 0), rank)
	c.checkEqual(op, lens.Type.Shape[0], x.Type.Shape[batch], "the numbers of lengths and sequences")
	if err := c.checkBelow(op, lens, x.Type.Shape[time].AddInt(1), "lengths out of range"); err != nil {
		return err
	}
	last := max(batch, time)
	rows, inner := x.Type.Shape[:last+1], ir.Product(x.Type.Shape[last+1:])
	return c.Kernel(Step{
		Op: op, Name: "reverse", Ins: []*ir.Value{x, lens}, Outs: []*ir.Value{out}, Par: ir.Product(rows), NsPerIter: perChunk(inner, 0.2), Bytes: bytesOf(x).MulInt(2),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, rows...)
				t, n := co[time], k.Convert(k.Load(k.Buf(lens), co[batch], 1), tensor.I64)
				co[time] = k.Select(k.Cmp(loop.LT, t, n), k.Sub(k.AddInt(n, -1), t), t)
				k.copyRow(x, out, k.MulDim(k.Flatten(co, rows), inner), k.MulDim(i, inner), inner)
			})
		},
	})
}
