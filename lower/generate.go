package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// lowerRange compiles Range: integers in i64, floats in f64, rounded once.
func lowerRange(c *Ctx, op *ir.Op) error {
	out := op.Results[0]
	d := out.Type.DType
	if !compiled(d) || d == tensor.Bool {
		return errDecline
	}
	for _, v := range op.Operands {
		if v.Type.DType != d || !ir.Product(v.Type.Shape).Is(1) {
			return errDecline
		}
	}
	if !c.sizesKnown(op) {
		if err := c.learnRange(op); err != nil {
			return err
		}
	}
	acc := tensor.I64
	if d.IsFloat() {
		acc = tensor.F64
	}
	start, delta, n := op.Operands[0], op.Operands[2], out.Type.Shape[0]
	return c.Kernel(Step{
		Op: op, Name: "range", Ins: []*ir.Value{start, delta}, Outs: []*ir.Value{out}, Par: n.CeilDiv(elemChunk), NsPerIter: elemChunk / 4, Bytes: bytesOf(out),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				from, by := k.scalarAs(start, acc), k.scalarAs(delta, acc)
				lo, hi := k.chunkRange(i, ir.Const(elemChunk), n)
				k.vectorLoop(lo, hi, k.Level.Lanes(4), func(e *loop.Value, lanes int) {
					at := k.Convert(k.Add(k.Broadcast(e, lanes), k.steps(lanes)), acc)
					v := k.Add(k.Broadcast(from, lanes), k.Mul(at, k.Broadcast(by, lanes)))
					k.Store(k.Buf(out), e, k.toMemory(k.Convert(v, computeType(d)), d))
				})
			})
		},
	})
}

// scalarAs is the only element of v, converted.
func (k *K) scalarAs(v *ir.Value, d tensor.DType) *loop.Value {
	return k.Convert(k.fromMemory(k.Load(k.Buf(v), k.Int(0), 1), v.Type.DType), d)
}

// learnRange counts the elements of a Range.
func (c *Ctx) learnRange(op *ir.Op) error {
	start, limit, delta := op.Operands[0], op.Operands[1], op.Operands[2]
	return c.learn(learning{op: op, ins: op.Operands, dims: op.Results[0].Type.Shape, fault: "delta is 0, or the range has no end", build: func(k *K) ([]*loop.Value, *loop.Value) {
		if start.Type.DType.IsFloat() {
			zero, most := k.Float(loop.Scalar(tensor.F64), 0), k.Float(loop.Scalar(tensor.F64), far)
			by := k.scalarAs(delta, tensor.F64)
			n := k.Unary(loop.OpCeil, k.Div(k.Sub(k.scalarAs(limit, tensor.F64), k.scalarAs(start, tensor.F64)), by))
			fits := k.And(k.Cmp(loop.LT, n, most), k.Cmp(loop.NE, by, zero))
			ok := k.And(fits, k.Cmp(loop.GT, n, zero))
			return []*loop.Value{k.Convert(k.Select(ok, n, zero), tensor.I64)}, k.flag(k.Not(fits))
		}
		zero, one := k.Int(0), k.Int(1)
		by := k.scalarAs(delta, tensor.I64)
		back := k.Cmp(loop.LT, by, zero)
		from, to := k.scalarAs(start, tensor.I64), k.scalarAs(limit, tensor.I64)
		from, to = k.Select(back, to, from), k.Select(back, from, to)
		span := k.Sub(to, from) // wraps where it is too large for anything
		n := k.Add(k.Div(k.AddInt(span, -1), k.MaxIdx(k.Select(back, k.Sub(zero, by), by), one)), one)
		some := k.Cmp(loop.GT, to, from)
		n = k.Select(some, n, zero)
		bad := k.Or(k.Cmp(loop.EQ, by, zero), k.Or(k.And(some, k.Cmp(loop.LE, span, zero)), k.Cmp(loop.GT, n, k.Int(far))))
		return []*loop.Value{k.MaxIdx(k.MinIdx(n, k.Int(far)), zero)}, k.flag(bad)
	}})
}

// lowerEyeLike writes rows of zeros with a 1 on the diagonal.
func lowerEyeLike(c *Ctx, op *ir.Op) error {
	out := op.Results[0]
	d := out.Type.DType
	if out.Type.Rank() != 2 || !compiled(d) {
		return errDecline
	}
	w, diagonal := out.Type.Shape[1], op.Attrs.Int("k", 0)
	return c.Kernel(Step{
		Op: op, Name: "eye", Outs: []*ir.Value{out}, Par: out.Type.Shape[0], NsPerIter: perChunk(w, 0.2), Bytes: bytesOf(out),
		Build: func(k *K) {
			ct := computeType(d)
			k.Parallel(func(i *loop.Value) {
				row, at := k.MulDim(i, w), k.AddInt(i, diagonal)
				k.vectorLoop(k.Int(0), k.Dim(w), k.Level.Lanes(4), func(e *loop.Value, lanes int) {
					hit := k.Cmp(loop.EQ, k.Add(k.Broadcast(e, lanes), k.steps(lanes)), k.Broadcast(at, lanes))
					if ct != tensor.Bool {
						t := &loop.Value{Type: loop.Vec(ct, lanes)}
						hit = k.Select(hit, k.num(t, 1), k.num(t, 0))
					}
					k.Store(k.Buf(out), k.Add(row, e), k.toMemory(hit, d))
				})
			})
		},
	})
}
