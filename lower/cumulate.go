package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// cumulations are the folds of the ops that run along an axis.
var cumulations = map[string]loop.Op{"CumSum": loop.OpAdd, "CumProd": loop.OpMul}

// lowerCumulate compiles CumSum and CumProd: floats in f64, as the host functions do.
func lowerCumulate(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	if x.Type.Rank() < 1 || !compiled(x.Type.DType) || x.Type.DType == tensor.Bool || !isIndex(op.Operands[1]) {
		return errDecline
	}
	outer, n, inner, err := c.axisAround(op, x.Type.Shape, op.Operands[1])
	if err != nil {
		return err
	}
	chunk, chunks := chunked(inner)
	exclusive, reverse := op.Attrs.Int("exclusive", 0) != 0, op.Attrs.Int("reverse", 0) != 0
	fold := cumulations[op.Info.Name]
	ct := computeType(x.Type.DType)
	acc := ct
	if ct.IsFloat() {
		acc = tensor.F64
	}
	return c.Kernel(Step{
		Op: op, Name: "cumulate", Ins: []*ir.Value{x}, Outs: []*ir.Value{out}, Par: outer.Mul(chunks), NsPerIter: perChunk(n.Mul(chunk), 0.5), Bytes: bytesOf(x).MulInt(2),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, outer, chunks)
				lo, hi := k.chunkRange(co[1], chunk, inner)
				k.vectorLoop(lo, hi, k.Level.Lanes(4), func(e *loop.Value, lanes int) {
					base := k.Add(k.MulDim(co[0], n.Mul(inner)), e)
					k.For(k.Int(0), k.Dim(n), 1, []*loop.Value{k.identity(fold, loop.Vec(acc, lanes))}, func(j *loop.Value, a []*loop.Value) []*loop.Value {
						if reverse {
							j = k.Sub(k.Dim(n.AddInt(-1)), j)
						}
						p := k.Add(base, k.MulDim(j, inner))
						next := k.fold(fold, a[0], k.Convert(k.fromMemory(k.Load(k.Buf(x), p, lanes), x.Type.DType), acc))
						r := next
						if exclusive {
							r = a[0]
						}
						k.Store(k.Buf(out), p, k.toMemory(k.Convert(r, ct), x.Type.DType))
						return []*loop.Value{next}
					})
				})
			})
		},
	})
}

// axisAround gives the size of the axis of shape that the scalar v names, and the products of the sizes
// before and after it; symbols, where v is known only at run time.
func (c *Ctx) axisAround(op *ir.Op, shape []ir.Dim, v *ir.Value) (outer, n, inner ir.Dim, err error) {
	if at, ok := c.ints(v); ok && len(at) == 1 {
		if a := axisOf(at[0], len(shape)); a >= 0 && a < len(shape) {
			outer, inner = around(shape, a)
			return outer, shape[a], inner, nil
		}
		return outer, n, inner, op.Errorf("axis %d is out of range for rank %d", at[0], len(shape))
	}
	s := c.newSyms(3)
	err = c.learn(learning{op: op, ins: []*ir.Value{v}, dims: s, fault: "its axis is out of range",
		build: func(k *K) ([]*loop.Value, *loop.Value) {
			axis, bad := k.axisParam(v, k.Int(0), len(shape))
			one := k.Int(1)
			part := []*loop.Value{one, one, one}
			for i, d := range shape {
				at := k.Int(int64(i))
				for j, p := range []loop.Pred{loop.LT, loop.EQ, loop.GT} {
					part[j] = k.Mul(part[j], k.Select(k.Cmp(p, at, axis), k.Dim(d), one))
				}
			}
			return part, bad
		}})
	return s[0], s[1], s[2], err
}
