package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
)

// padMaps give the index along a dimension of size n that index p, which may lie outside, repeats.
var padMaps = map[string]func(k *K, p, n *loop.Value) *loop.Value{
	"edge": func(k *K, p, n *loop.Value) *loop.Value {
		return k.MaxIdx(k.MinIdx(p, k.AddInt(n, -1)), k.Int(0))
	},
	"reflect": func(k *K, p, n *loop.Value) *loop.Value {
		p = k.MaxIdx(p, k.Sub(k.Int(0), p))
		return k.MinIdx(p, k.Sub(k.MulInt(k.AddInt(n, -1), 2), p))
	},
	"wrap": func(k *K, p, n *loop.Value) *loop.Value {
		return k.Rem(k.Add(k.Rem(p, n), n), n)
	},
}

// lowerPadMode compiles the padding modes that repeat elements of the tensor, given the padding of each axis.
func lowerPadMode(c *Ctx, op *ir.Op, mode string, before, after []int64) error {
	x, out := op.Operands[0], op.Results[0]
	source := padMaps[mode]
	if source == nil {
		return errDecline
	}
	last := -1 // the innermost padded axis
	for i, n := range x.Type.Shape {
		lo, hi := before[i], after[i]
		if lo == 0 && hi == 0 {
			continue
		}
		last = i
		if lo < 0 && hi > 0 || lo > 0 && hi < 0 {
			return errDecline
		}
		if lo <= 0 && hi <= 0 {
			continue // a crop
		}
		need := int64(1)
		if mode == "reflect" {
			need = max(lo, hi) + 1
		}
		if err := c.checkSize(op, n, need, "the size of an axis padded in mode "+mode); err != nil {
			return err
		}
	}
	if last < 0 {
		return c.copy(op, x, out)
	}
	from, dims := Strides(x.Type.Shape), out.Type.Shape
	inner := ir.Product(dims[last+1:])
	// origin is where the row at coordinates co of the first axes begins.
	origin := func(k *K, co []*loop.Value) *loop.Value {
		at := k.Int(0)
		for d, p := range co {
			if before[d] != 0 || after[d] != 0 {
				p = source(k, k.AddInt(p, -before[d]), k.Dim(x.Type.Shape[d]))
			}
			at = k.Add(at, k.MulDim(p, from[d]))
		}
		return at
	}
	s := Step{Op: op, Name: "pad_" + mode, Ins: []*ir.Value{x}, Outs: []*ir.Value{out}, Bytes: bytesOf(out).MulInt(2)}
	if !inner.Is(1) {
		s.Par, s.NsPerIter = ir.Product(dims[:last+1]), perChunk(inner, 0.1)
		s.Build = func(k *K) {
			k.Parallel(func(i *loop.Value) {
				k.copyRow(x, out, origin(k, k.Unflatten(i, dims[:last+1]...)), k.MulDim(i, inner), inner)
			})
		}
		return c.Kernel(s)
	}
	width, n := dims[last], x.Type.Shape[last]
	s.Par, s.NsPerIter = ir.Product(dims[:last]), perChunk(width, 0.2)
	s.Build = func(k *K) {
		k.Parallel(func(i *loop.Value) {
			base := k.Int(0)
			if last > 0 {
				base = origin(k, k.Unflatten(i, dims[:last]...))
			}
			row := k.MulDim(i, width)
			border := func(lo, hi *loop.Value) {
				k.Range(lo, hi, 1, func(e *loop.Value) {
					p := source(k, k.AddInt(e, -before[last]), k.Dim(n))
					k.Store(k.Buf(out), k.Add(row, e), k.Load(k.Buf(x), k.Add(base, p), 1))
				})
			}
			lo, hi := k.Int(max(before[last], 0)), k.MinIdx(k.Dim(n.AddInt(before[last])), k.Dim(width))
			border(k.Int(0), lo)
			k.vectorLoop(lo, hi, k.Level.Lanes(x.Type.DType.Size()), func(e *loop.Value, lanes int) {
				k.Store(k.Buf(out), k.Add(row, e), k.Load(k.Buf(x), k.Add(base, k.AddInt(e, -before[last])), lanes))
			})
			border(hi, k.Dim(width))
		})
	}
	return c.Kernel(s)
}

// fillPadding sets all of out to the value v of Pad: a constant, computed at run time, or 0 if absent.
func (c *Ctx) fillPadding(op *ir.Op, out, v *ir.Value) error {
	switch d := c.constOf(v); {
	case v == nil:
		return c.fill(op, out, zeroOf(out.Type.DType))
	case d != nil && d.Len() == 1:
		return c.fill(op, out, d)
	case v.Type.DType != out.Type.DType || !v.Type.Ranked || !ir.Product(v.Type.Shape).Is(1):
		return errDecline
	}
	return c.fillFrom(op, out, v)
}

// fillFrom emits a step that sets all of out to the only element of v.
func (c *Ctx) fillFrom(op *ir.Op, out, v *ir.Value) error {
	n := ir.Product(out.Type.Shape)
	return c.Kernel(Step{
		Op: op, Name: "fill", Ins: []*ir.Value{v}, Outs: []*ir.Value{out}, Par: n.CeilDiv(elemChunk), NsPerIter: 300, Bytes: bytesOf(out),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				x := k.Load(k.Buf(v), k.Int(0), 1)
				lo, hi := k.chunkRange(i, ir.Const(elemChunk), n)
				k.vectorLoop(lo, hi, k.Level.Lanes(out.Type.DType.Size()), func(e *loop.Value, lanes int) {
					k.Store(k.Buf(out), e, k.Broadcast(x, lanes))
				})
			})
		},
	})
}

// lowerTile walks the result as a tensor of twice the rank, in which the repeats stand still in the operand.
func lowerTile(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	repeats, ok := c.elems(op.Operands[1])
	if !ok || x.Type.Rank() < 0 || len(repeats) != x.Type.Rank() {
		return errDecline
	}
	from, to := Strides(x.Type.Shape), Strides(out.Type.Shape)
	m := &move{}
	for i, n := range x.Type.Shape {
		if !out.Type.Shape[i].Equal(n.Mul(repeats[i])) {
			return errDecline
		}
		m.dims = append(m.dims, repeats[i], n)
		m.from = append(m.from, ir.Dim{}, from[i])
		m.to = append(m.to, to[i].Mul(n), to[i])
	}
	return m.emit(c, op, "tile", x, out)
}
