package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// lowerBlockedPick compiles BlockedPick: a row of pixels to an iteration, from where tables say.
func lowerBlockedPick(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	if x.Type.DType != tensor.F32 {
		return errDecline
	}
	table := func(name string) (int32, error) {
		from := op.Attrs.Ints(name, nil)
		off, err := c.weights.Add(tensor.AsBytes(from))
		return c.weightBuf(off, int64(len(from))*8, name), err
	}
	rows, err := table("rows")
	if err != nil {
		return err
	}
	columns, err := table("columns")
	if err != nil {
		return err
	}
	xs, os := x.Type.Shape, out.Type.Shape
	return c.Kernel(Step{
		Op: op, Name: "pick", Ins: []*ir.Value{x}, Outs: []*ir.Value{out}, Par: ir.Product(os[:3]), NsPerIter: perChunk(os[3], 2), Bytes: bytesOf(x).Add(bytesOf(out)),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, os[0].Mul(os[1]), os[2])
				row := k.Add(k.MulDim(co[0], xs[2]), k.Load(k.WeightBuf(rows, tensor.I64), co[1], 1))
				from, to := k.MulDim(row, xs[3].MulInt(block)), k.MulDim(i, os[3].MulInt(block))
				k.Range(k.Int(0), k.Dim(os[3]), 1, func(j *loop.Value) {
					at := k.Add(from, k.MulInt(k.Load(k.WeightBuf(columns, tensor.I64), j, 1), block))
					lanes := k.Level.Lanes(4)
					for l := 0; l < block; l += lanes {
						k.Store(k.Buf(out), k.AddInt(k.Add(to, k.MulInt(j, block)), int64(l)), k.Load(k.Buf(x), k.AddInt(at, int64(l)), lanes))
					}
				})
			})
		},
	})
}
