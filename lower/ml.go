package lower

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// mlRules are the ops of classical machine learning, trees apart, that are not written as others.
func mlRules() map[string]rule {
	return map[string]rule{"ml.LabelEncoder": lowerLabelEncoder, "ml.OneHotEncoder": lowerOneHotEncoder, "SquaredDistance": lowerSquaredDistance,
		"PairwiseCoupling": lowerPairwiseCoupling, "TfIdfVectorizer": lowerTfIdf}
}

// find gives the place of the last of n rising keys that is at most x, 0 where there is none.
func (k *K) find(keys *loop.Buf, n int, x *loop.Value) *loop.Value {
	at := k.IntOf(loop.Vec(tensor.I64, x.Type.Lanes), 0)
	for n > 1 {
		half := n / 2
		probe := k.Add(at, k.IntOf(at.Type, int64(half)))
		at = k.Select(k.Cmp(loop.LE, k.Gather(keys, probe), x), probe, at)
		n -= half
	}
	return at
}

// labelTable is the mapping of a LabelEncoder: rising keys with the places of their values, the last of
// equal keys, and the place of the value of NaN, -1 for none.
type labelTable[T cmp.Ordered] struct {
	keys   []T
	values []int64
	nan    int64
}

func newLabelTable[T cmp.Ordered](keys []T) labelTable[T] {
	t := labelTable[T]{nan: -1}
	last := map[T]int64{}
	for i, x := range keys {
		if x != x {
			t.nan = int64(i)
			continue
		}
		last[x] = int64(i)
	}
	for x := range last {
		t.keys = append(t.keys, x)
	}
	slices.Sort(t.keys)
	for _, x := range t.keys {
		t.values = append(t.values, last[x])
	}
	return t
}

// lowerLabelEncoder looks numbers up in a sorted table, several at a time.
func lowerLabelEncoder(c *Ctx, op *ir.Op) error {
	keys, err := attrTensor(op, "keys_tensor")
	if err != nil {
		return err
	}
	x := op.Operands[0]
	if x.Type.Rank() < 0 || x.Type.DType != keys.DType || !compiled(op.Results[0].Type.DType) || op.Results[0].Type.DType == tensor.Bool {
		return errDecline
	}
	switch keys.DType {
	case tensor.F32:
		return encodeLabels(c, op, tensor.View[float32](keys), tensor.F32)
	case tensor.F64:
		return encodeLabels(c, op, tensor.View[float64](keys), tensor.F64)
	case tensor.I16, tensor.I32, tensor.I64:
		ints := make([]int64, keys.Len())
		for i := range ints {
			ints[i], _ = keys.IntAt(int64(i))
		}
		return encodeLabels(c, op, ints, tensor.I64)
	}
	return errDecline
}

// attrTensor reads a tensor attribute.
func attrTensor(op *ir.Op, name string) (*tensor.Tensor, error) {
	d, _ := op.Attrs[name].(*ir.Data)
	if d == nil {
		return nil, errDecline
	}
	t, err := d.Tensor()
	if err != nil {
		return nil, op.Errorf("%w", err)
	}
	if t.DType != tensor.String && !tensor.IsAligned(t.Data, t.DType) {
		b := tensor.AlignedBytes(int64(len(t.Data)))
		copy(b, t.Data)
		t.Data = b
	}
	return t, nil
}

// encodeLabels emits the kernel; wide is the type that keys are compared in.
func encodeLabels[T interface {
	tensor.Native
	cmp.Ordered
}](c *Ctx, op *ir.Op, keys []T, wide tensor.DType) error {
	values, err := attrTensor(op, "values_tensor")
	if err != nil {
		return err
	}
	def, err := attrTensor(op, "default_tensor")
	if err != nil {
		return err
	}
	t := newLabelTable(keys)
	d, size := values.DType, int64(values.DType.Size())
	// The values in the order of the keys, behind them that of NaN, and the default.
	nan := t.nan >= 0
	var data []byte
	for _, i := range t.values {
		data = append(data, values.Data[i*size:(i+1)*size]...)
	}
	if nan {
		data = append(data, values.Data[t.nan*size:(t.nan+1)*size]...)
	} else {
		data = append(data, def.Data[:size]...)
	}
	data = append(data, def.Data[:size]...)
	n := len(t.keys)
	tKeys, tValues := table(c, &err, append(t.keys, 0)), table(c, &err, data)
	if err != nil {
		return err
	}
	x, out := op.Operands[0], op.Results[0]
	count := ir.Product(x.Type.Shape)
	chunk, chunks := chunked(count)
	return c.Kernel(Step{
		Op: op, Name: "labels", Ins: []*ir.Value{x}, Outs: []*ir.Value{out}, Par: chunks, NsPerIter: perChunk(chunk, 1+float64(bits.Len(uint(n)))), Bytes: bytesOf(x).Add(bytesOf(out)),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				lo, hi := k.chunkRange(i, chunk, count)
				k.vectorLoop(lo, hi, k.Level.Lanes(4), func(e *loop.Value, lanes int) {
					v := k.Convert(k.Load(k.Buf(x), e, lanes), wide)
					place := func(i int) *loop.Value { return k.IntOf(loop.Vec(tensor.I64, lanes), int64(i)) }
					at := place(n + 1)
					if nan {
						at = k.Select(k.Cmp(loop.NE, v, v), place(n), at)
					}
					if n > 0 {
						found := k.find(k.WeightBuf(tKeys, wide), n, v)
						at = k.Select(k.Cmp(loop.EQ, k.Gather(k.WeightBuf(tKeys, wide), found), v), found, at)
					}
					k.Store(k.Buf(out), e, k.Gather(k.WeightBuf(tValues, d), at))
				})
			})
		},
	})
}

// lowerOneHotEncoder compares each element with all categories.
func lowerOneHotEncoder(c *Ctx, op *ir.Op) error {
	x, out, cats := op.Operands[0], op.Results[0], op.Attrs.Ints("cats_int64s", nil)
	n := int64(len(cats))
	sorted := slices.Clone(cats)
	slices.Sort(sorted)
	if x.Type.Rank() < 0 || !compiled(x.Type.DType) || n == 0 || len(slices.Compact(sorted)) != len(cats) {
		return errDecline
	}
	var err error
	tCats := table(c, &err, cats)
	if err != nil {
		return err
	}
	category := func(k *K, i *loop.Value) *loop.Value {
		return k.CastTo(k.fromMemory(k.Load(k.Buf(x), i, 1), x.Type.DType), tensor.I64)
	}
	count := ir.Product(x.Type.Shape)
	if op.Attrs.Int("zeros", 1) == 0 {
		if err := c.checkCategories(op, count, tCats, n, category); err != nil {
			return err
		}
	}
	return c.Kernel(Step{
		Op: op, Name: "categories", Ins: []*ir.Value{x}, Outs: []*ir.Value{out}, Par: count, NsPerIter: 5 + float64(n)/4, Bytes: bytesOf(out),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				v, row := category(k, i), k.MulInt(i, n)
				k.vectorLoop(k.Int(0), k.Int(n), k.Level.Lanes(4), func(j *loop.Value, lanes int) {
					hit := k.Cmp(loop.EQ, k.Load(k.WeightBuf(tCats, tensor.I64), j, lanes), k.Broadcast(v, lanes))
					f := loop.Vec(tensor.F32, lanes)
					k.Store(k.Buf(out), k.Add(row, j), k.Select(hit, k.Float(f, 1), k.Float(f, 0)))
				})
			})
		},
	})
}

// checkCategories emits the steps that fail where an element is in none of n categories.
func (c *Ctx) checkCategories(op *ir.Op, count ir.Dim, tCats int32, n int64, category func(k *K, i *loop.Value) *loop.Value) error {
	bad := c.Scratch(ir.TensorType(tensor.I64))
	err := c.Kernel(Step{
		Op: op, Name: "check_categories", Ins: op.Operands, Outs: []*ir.Value{bad}, Par: ir.Const(1), NsPerIter: 100, Bytes: bytesOf(op.Operands[0]),
		Build: func(k *K) {
			k.Parallel(func(*loop.Value) {
				sum := k.For(k.Int(0), k.Dim(count), 1, []*loop.Value{k.Int(0)}, func(i *loop.Value, a []*loop.Value) []*loop.Value {
					v := category(k, i)
					hits := k.For(k.Int(0), k.Int(n), 1, []*loop.Value{k.Int(1)}, func(j *loop.Value, h []*loop.Value) []*loop.Value {
						return []*loop.Value{k.Select(k.Cmp(loop.EQ, k.Load(k.WeightBuf(tCats, tensor.I64), j, 1), v), k.Int(0), h[0])}
					})
					return []*loop.Value{k.Add(a[0], hits[0])}
				})
				k.Store(k.Buf(bad), k.Int(0), sum[0])
			})
		},
	})
	if err != nil {
		return err
	}
	return c.checkFaults(op, bad, "elements in no category")
}

// lowerSquaredDistance sums over the features for several columns at a time.
func lowerSquaredDistance(c *Ctx, op *ir.Op) error {
	x, y, out := op.Operands[0], op.Operands[1], op.Results[0]
	d := x.Type.DType
	if d != tensor.F32 && d != tensor.F64 {
		return errDecline
	}
	rows, f, cols := x.Type.Shape[0], x.Type.Shape[1], y.Type.Shape[1]
	c.checkEqual(op, f, y.Type.Shape[0], "numbers of features")
	chunk, chunks := chunked(cols)
	return c.Kernel(Step{
		Op: op, Name: "distance", Ins: []*ir.Value{x, y}, Outs: []*ir.Value{out}, Par: rows.Mul(chunks), NsPerIter: perChunk(f.Mul(chunk), 0.2),
		Flops: rows.Mul(f).Mul(cols).MulInt(3), Bytes: bytesOf(x).Add(bytesOf(y)).Add(bytesOf(out)),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, rows, chunks)
				lo, hi := k.chunkRange(co[1], chunk, cols)
				row := k.MulDim(co[0], f)
				k.vectorLoop(lo, hi, k.Level.Lanes(d.Size()), func(e *loop.Value, lanes int) {
					sum := k.For(k.Int(0), k.Dim(f), 1, []*loop.Value{k.Float(loop.Vec(d, lanes), 0)}, func(j *loop.Value, a []*loop.Value) []*loop.Value {
						v := k.Sub(k.Broadcast(k.Load(k.Buf(x), k.Add(row, j), 1), lanes), k.Load(k.Buf(y), k.Add(k.MulDim(j, cols), e), lanes))
						return []*loop.Value{k.FMA(v, v, a[0])}
					})
					k.Store(k.Buf(out), k.Add(k.MulDim(co[0], cols), e), sum[0])
				})
			})
		},
	})
}
