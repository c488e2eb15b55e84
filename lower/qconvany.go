package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// intConvAny compiles the convolutions of integers that intConv declines, of any rank and with weights of
// any sizes: as a convolution in f64, which holds the sums exactly. finish, if set, turns the sum of a
// channel into the result; it reads extra.
func (c *Ctx) intConvAny(op *ir.Op, x, w, xzp, wzp *ir.Value, extra []*ir.Value, finish func(k *K, sum *loop.Value, per func(v *ir.Value) *loop.Value) *loop.Value) error {
	out := op.Results[0]
	if !isByte(x) || !isByte(w) || x.Type.Rank() < 3 || w.Type.Rank() != x.Type.Rank() || !out.Type.Ranked || xzp != nil && !single(xzp) {
		return errDecline
	}
	channels := w.Type.Shape[0]
	if fitsVector(wzp, channels) != nil {
		return errDecline
	}
	wide := func(v *ir.Value) *ir.Value { return c.Scratch(ir.TensorType(tensor.F64, v.Type.Shape...)) }
	xf, wf, sums := wide(x), wide(w), wide(out)
	if err := c.lessZero(op, x, xzp, xf, x.Type.Shape[0]); err != nil {
		return err
	}
	if err := c.lessZero(op, w, wzp, wf, channels); err != nil {
		return err
	}
	conv := *op
	conv.Operands, conv.Results = []*ir.Value{xf, wf}, []*ir.Value{sums}
	if err := lowerConvAny(c, &conv, sums); err != nil {
		return err
	}
	plane := ir.Product(out.Type.Shape[2:])
	return c.Kernel(Step{
		Op: op, Name: "int_conv_done", Ins: append([]*ir.Value{sums}, extra...), Outs: []*ir.Value{out}, Par: out.Type.Shape[0].Mul(channels),
		NsPerIter: perChunk(plane, 0.5), Bytes: bytesOf(sums).Add(bytesOf(out)),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				ch, row := k.Rem(i, k.Dim(channels)), k.MulDim(i, plane)
				k.vectorLoop(k.Int(0), k.Dim(plane), k.Level.Lanes(8), func(e *loop.Value, lanes int) {
					sum := k.Convert(k.Convert(k.Load(k.Buf(sums), k.Add(row, e), lanes), tensor.I64), tensor.I32)
					if finish != nil {
						sum = finish(k, sum, func(v *ir.Value) *loop.Value { return k.perChannel(v, ch, lanes, false) })
					}
					k.Store(k.Buf(out), k.Add(row, e), sum)
				})
			})
		},
	})
}

// lessZero emits the step that writes v, rows of 8-bit integers, less its zero point, one or one per row, as f64.
func (c *Ctx) lessZero(op *ir.Op, v, zp, out *ir.Value, rows ir.Dim) error {
	n := ir.Product(v.Type.Shape[1:])
	chunk, chunks := chunked(n)
	return c.Kernel(Step{
		Op: op, Name: "widen", Ins: present(v, zp), Outs: []*ir.Value{out}, Par: rows.Mul(chunks), NsPerIter: perChunk(chunk, 0.3), Bytes: bytesOf(v).Add(bytesOf(out)),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, rows, chunks)
				lo, hi := k.chunkRange(co[1], chunk, n)
				row := k.MulDim(co[0], n)
				k.vectorLoop(lo, hi, k.Level.Lanes(8), func(e *loop.Value, lanes int) {
					x := k.Convert(k.Load(k.Buf(v), k.Add(row, e), lanes), tensor.I32)
					if zp != nil {
						x = k.Sub(x, k.Convert(k.perChannel(zp, co[0], lanes, false), tensor.I32))
					}
					k.Store(k.Buf(out), k.Add(row, e), k.Convert(x, tensor.F64))
				})
			})
		},
	})
}
