package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// tuples are the operands of GatherND and ScatterND: each tuple of indices selects a slice of inner
// neighbouring elements. Constant tuples become a table of offsets, in which runs of neighbouring
// slices are one.
type tuples struct {
	idx           *ir.Value
	dims, strides []ir.Dim // what the indices of a tuple select in
	count, inner  ir.Dim
	perBatch      ir.Dim // tuples, and elements of data, that belong to one batch
	batch         ir.Dim
	table         int32 // of offsets; -1 for none
	distinct      bool  // no two tuples are equal, for certain
}

// newTuples reads indices into the dimensions of data from batchDims on, and has them checked.
func (c *Ctx) newTuples(op *ir.Op, data, idx *ir.Value, batchDims int) (*tuples, error) {
	q, shape := idx.Type.Rank(), data.Type.Shape
	if q < 1 || !isIndex(idx) || !idx.Type.Shape[q-1].IsConst() || data.Type.Rank() < 1 {
		return nil, errDecline
	}
	k := int(idx.Type.Shape[q-1].Value())
	if k < 1 || batchDims >= q || batchDims+k > len(shape) {
		return nil, errDecline
	}
	for i := range batchDims {
		c.checkEqual(op, shape[i], idx.Type.Shape[i], "batch dimensions")
	}
	end := batchDims + k
	t := &tuples{idx: idx, dims: shape[batchDims:end], strides: Strides(shape)[batchDims:end], count: ir.Product(idx.Type.Shape[:q-1]), inner: ir.Product(shape[end:]),
		perBatch: ir.Product(idx.Type.Shape[batchDims : q-1]), batch: ir.Product(shape[batchDims:]), table: -1}
	if err := c.checkIndices(op, idx, t.dims); err != nil {
		return nil, err
	}
	return t, t.tabulate(c)
}

// tabulate replaces constant tuples by a table of offsets.
func (t *tuples) tabulate(c *Ctx) error {
	ids, ok := c.constOf(t.idx).Int64s()
	st, ok2 := ir.StaticShape(t.strides)
	dims, ok3 := ir.StaticShape(t.dims)
	if !ok || !ok2 || !ok3 || !t.inner.IsConst() || !t.perBatch.IsConst() || !t.batch.IsConst() || t.perBatch.Is(0) {
		return nil
	}
	off := make([]int64, len(ids)/len(dims))
	for i, x := range ids {
		if x < 0 {
			x += dims[i%len(dims)]
		}
		off[i/len(dims)] += x * st[i%len(dims)]
	}
	for i := range off {
		off[i] += int64(i) / t.perBatch.Value() * t.batch.Value()
	}
	off = t.joinRuns(off)
	seen := map[int64]bool{}
	for _, x := range off {
		seen[x] = true
	}
	t.distinct = len(seen) == len(off)
	at, err := c.weights.Add(tensor.AsBytes(off))
	if err != nil {
		return err
	}
	t.table = c.weightBuf(at, int64(len(off))*8, "offsets")
	return nil
}

// joinRuns makes one slice of every run neighbouring slices, where all runs divide into that many.
func (t *tuples) joinRuns(off []int64) []int64 {
	n, run, common := t.inner.Value(), int64(1), int64(0)
	for i := 1; i <= len(off); i++ {
		if i < len(off) && off[i] == off[i-1]+n {
			run++
			continue
		}
		for a := run; a != 0; {
			common, a = a, common%a
		}
		run = 1
	}
	if common <= 1 {
		return off
	}
	var out []int64
	for i := int64(0); i < int64(len(off)); i += common {
		out = append(out, off[i])
	}
	t.inner, t.count = t.inner.MulInt(common), ir.Const(int64(len(out)))
	return out
}

// offset is where the slice of tuple i begins.
func (t *tuples) offset(k *K, i *loop.Value) *loop.Value {
	if t.table >= 0 {
		return k.Load(k.WeightBuf(t.table, tensor.I64), i, 1)
	}
	at := k.Int(0)
	if !t.perBatch.Equal(t.count) {
		at = k.MulDim(k.Div(i, k.Dim(t.perBatch)), t.batch)
	}
	first := k.MulInt(i, int64(len(t.dims)))
	for j, n := range t.dims {
		at = k.Add(at, k.MulDim(k.loadIndex(t.idx, k.AddInt(first, int64(j)), 1, n), t.strides[j]))
	}
	return at
}

// ins are the values that offset reads.
func (t *tuples) ins() []*ir.Value {
	if t.table >= 0 {
		return nil
	}
	return []*ir.Value{t.idx}
}

func lowerGatherND(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	if !compiled(x.Type.DType) {
		return errDecline
	}
	t, err := c.newTuples(op, x, op.Operands[1], int(op.Attrs.Int("batch_dims", 0)))
	if err != nil {
		return err
	}
	return c.Kernel(Step{
		Op: op, Name: "gather_nd", Ins: append(t.ins(), x), Outs: []*ir.Value{out}, Par: t.count, NsPerIter: perChunk(t.inner, 0.1), Bytes: bytesOf(out).MulInt(2),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) { k.copyRow(x, out, t.offset(k, i), k.MulDim(i, t.inner), t.inner) })
		},
	})
}
