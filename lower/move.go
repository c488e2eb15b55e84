package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// moveRules are the ops that only move elements.
func moveRules() map[string]rule {
	return map[string]rule{
		"Transpose": lowerTranspose, "Concat": lowerConcat, "Split": lowerSplit, "Slice": lowerSlice, "Expand": lowerExpand,
		"Pad": lowerPad, "CenterCropPad": lowerCenterCropPad, "Tile": lowerTile, "ConstantOfShape": lowerConstantOfShape, "Gather": lowerGather, "Range": lowerRange,
		"Reshape": lowerReshape, "Flatten": lowerReshape, "Squeeze": lowerReshape, "Unsqueeze": lowerReshape,
		"DepthToSpace": lowerDepthToSpace, "SpaceToDepth": lowerSpaceToDepth,
	}
}

// move copies a box of elements between two tensors, each walked by strides of its own.
type move struct {
	dims             []ir.Dim
	from, to         []ir.Dim // strides in elements
	fromBase, toBase ir.Dim
}

// collapse merges dimensions that both sides walk as one.
func (m *move) collapse() {
	var r move
	r.fromBase, r.toBase = m.fromBase, m.toBase
	for i, d := range m.dims {
		if d.Is(1) {
			continue
		}
		n := len(r.dims)
		if n > 0 && r.from[n-1].Equal(m.from[i].Mul(d)) && r.to[n-1].Equal(m.to[i].Mul(d)) {
			r.dims[n-1] = r.dims[n-1].Mul(d)
			r.from[n-1], r.to[n-1] = m.from[i], m.to[i]
			continue
		}
		r.dims, r.from, r.to = append(r.dims, d), append(r.from, m.from[i]), append(r.to, m.to[i])
	}
	if len(r.dims) == 0 {
		r.dims, r.from, r.to = oneDims(1), oneDims(1), oneDims(1)
	}
	*m = r
}

// emit makes the step.
func (m *move) emit(c *Ctx, op *ir.Op, name string, src, dst *ir.Value) error {
	if !compiled(src.Type.DType) {
		return errDecline
	}
	m.collapse()
	if t := m.turn(src.Type.DType); t != nil {
		return t.emit(c, op, name, src, dst)
	}
	r := len(m.dims)
	inner := m.dims[r-1]
	chunk := ir.Const(elemChunk)
	if inner.IsConst() && inner.Value() <= 2*elemChunk {
		chunk = inner
	}
	nchunk := ir.Const(1)
	if !chunk.Equal(inner) {
		nchunk = inner.CeilDiv(elemChunk)
	}
	// Rows that are short are taken several to an iteration's worth of work by the step's grain.
	ns := float64(elemChunk) / 4
	if chunk.IsConst() {
		ns = 5 + float64(chunk.Value())/4
	}
	total := ir.Product(m.dims)
	return c.Kernel(Step{
		Op: op, Name: name, Ins: []*ir.Value{src}, Outs: []*ir.Value{dst}, Par: ir.Product(m.dims[:r-1]).Mul(nchunk), NsPerIter: ns,
		Bytes: total.MulInt(int64(2 * src.Type.DType.Size())),
		Build: func(k *K) {
			a, b := k.Buf(src), k.Buf(dst)
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, append(append([]ir.Dim{}, m.dims[:r-1]...), nchunk)...)
				f, t := k.Dim(m.fromBase), k.Dim(m.toBase)
				for d := range r - 1 {
					f, t = k.Add(f, k.MulDim(co[d], m.from[d])), k.Add(t, k.MulDim(co[d], m.to[d]))
				}
				lo := k.MulDim(co[r-1], chunk)
				hi := k.Dim(inner)
				if !nchunk.Is(1) {
					hi = k.MinIdx(k.Add(lo, k.Dim(chunk)), hi)
				}
				lanes := 1
				if m.to[r-1].Is(1) && (m.from[r-1].Is(1) || m.from[r-1].Is(0)) {
					lanes = k.Level.Lanes(src.Type.DType.Size())
				}
				body := func(x *loop.Value, n int) {
					at := k.Add(f, k.MulDim(x, m.from[r-1]))
					var v *loop.Value
					if m.from[r-1].Is(0) {
						v = k.Broadcast(k.Load(a, at, 1), n)
					} else {
						v = k.Load(a, at, n)
					}
					k.Store(b, k.Add(t, k.MulDim(x, m.to[r-1])), v)
				}
				if lanes == 1 {
					k.Range(lo, hi, 1, func(x *loop.Value) { body(x, 1) })
				} else {
					k.vectorLoop(lo, hi, lanes, body)
				}
			})
		},
	})
}

func lowerTranspose(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	r := x.Type.Rank()
	if r < 0 {
		return errDecline
	}
	perm := op.Attrs.Ints("perm", nil)
	own := Strides(x.Type.Shape)
	m := &move{dims: out.Type.Shape, to: Strides(out.Type.Shape)}
	for i := range r {
		p := int64(r - 1 - i)
		if perm != nil {
			p = perm[i]
		}
		m.from = append(m.from, own[p])
	}
	return m.emit(c, op, "transpose", x, out)
}

// axisOf normalises an axis attribute.
func axisOf(axis int64, rank int) int {
	if axis < 0 {
		axis += int64(rank)
	}
	return int(axis)
}

func lowerConcat(c *Ctx, op *ir.Op) error {
	out := op.Results[0]
	if out.Type.Rank() < 0 {
		return errDecline
	}
	axis := axisOf(op.Attrs.Int("axis", 0), out.Type.Rank())
	to := Strides(out.Type.Shape)
	at := ir.Dim{}
	home, placed := c.placeOf(out)
	starts, _ := c.concatStarts(op)
	for i, x := range op.Operands {
		if x.Type.Rank() != out.Type.Rank() {
			return errDecline
		}
		if placed && starts != nil && c.inPlaces(op.Operands[i:i+1], home, starts[i:]) {
			at = at.Add(x.Type.Shape[axis])
			continue
		}
		m := &move{dims: x.Type.Shape, from: Strides(x.Type.Shape), to: to, toBase: at.Mul(to[axis])}
		if err := m.emit(c, op, "concat", x, out); err != nil {
			return err
		}
		at = at.Add(x.Type.Shape[axis])
	}
	return nil
}

// fill emits a step that sets all of out to a constant.
func (c *Ctx) fill(op *ir.Op, out *ir.Value, d *ir.Data) error {
	n := ir.Product(out.Type.Shape)
	return c.Kernel(Step{
		Op: op, Name: "fill", Outs: []*ir.Value{out}, Par: n.CeilDiv(elemChunk), NsPerIter: 300, Bytes: bytesOf(out),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				lo := k.MulInt(i, elemChunk)
				hi := k.MinIdx(k.AddInt(lo, elemChunk), k.Dim(n))
				k.vectorLoop(lo, hi, k.Level.Lanes(out.Type.DType.Size()), func(x *loop.Value, lanes int) {
					k.Store(k.Buf(out), x, k.toMemory(k.splat(d, lanes), out.Type.DType))
				})
			})
		},
	})
}

// zeroOf is the scalar 0 of a type.
func zeroOf(d tensor.DType) *ir.Data { return ir.DataOf(tensor.New(d)) }

// lowerGather compiles Gather with constant indices, which are checked here, and leaves others to
// lowerGatherAt.
func lowerGather(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	idx := c.constOf(op.Operands[1])
	if x.Type.Rank() < 1 || !compiled(x.Type.DType) {
		return errDecline
	}
	ids, ok := idx.Int64s()
	axis := axisOf(op.Attrs.Int("axis", 0), x.Type.Rank())
	if !ok || !x.Type.Shape[axis].IsConst() {
		return lowerGatherAt(c, op)
	}
	n := x.Type.Shape[axis].Value()
	for i, v := range ids {
		if v < -n || v >= n {
			return op.Errorf("index %d is outside [%d, %d)", v, -n, n)
		}
		if v < 0 {
			ids[i] += n
		}
	}
	outer, inner := ir.Product(x.Type.Shape[:axis]), ir.Product(x.Type.Shape[axis+1:])
	if len(ids) == 1 {
		m := &move{dims: []ir.Dim{outer, inner}, from: []ir.Dim{inner.MulInt(n), ir.Const(1)}, to: []ir.Dim{inner, ir.Const(1)}, fromBase: inner.MulInt(ids[0])}
		return m.emit(c, op, "gather", x, out)
	}
	off, err := c.weights.Add(tensor.AsBytes(ids))
	if err != nil {
		return err
	}
	table := c.weightBuf(off, int64(len(ids))*8, "indices")
	count := ir.Const(int64(len(ids)))
	return c.Kernel(Step{
		Op: op, Name: "gather", Ins: []*ir.Value{x}, Outs: []*ir.Value{out}, Par: outer.Mul(count), NsPerIter: 50, Bytes: bytesOf(out).MulInt(2),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, outer, count)
				row := k.Load(k.WeightBuf(table, tensor.I64), co[1], 1)
				from := k.MulDim(k.Add(k.MulInt(co[0], n), row), inner)
				to := k.MulDim(i, inner)
				k.vectorLoop(k.Int(0), k.Dim(inner), k.Level.Lanes(x.Type.DType.Size()), func(e *loop.Value, lanes int) {
					k.Store(k.Buf(out), k.Add(to, e), k.Load(k.Buf(x), k.Add(from, e), lanes))
				})
			})
		},
	})
}
