package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// packAtRunTime emits the steps that bring weights which are not constants (initialisers that a caller
// may override) into the order of packWeights, and the bias to whole blocks.
func (v *conv) packAtRunTime(c *Ctx, w, bias *ir.Value) error {
	to := c.Scratch(ir.TensorType(tensor.F32, ir.Const(v.weightLen())))
	if err := v.packKernel(c, w, to); err != nil {
		return err
	}
	v.weights, v.bias = c.storage[to].buf, -1
	if bias == nil {
		return nil
	}
	padded := c.Scratch(ir.TensorType(tensor.F32, ir.Const(blocks(v.oc)*block)))
	v.bias = c.storage[padded].buf
	return c.Kernel(Step{
		Op: v.op, Name: "pack_bias", Ins: []*ir.Value{bias}, Outs: []*ir.Value{padded}, Par: ir.Const(1), NsPerIter: float64(v.oc),
		Build: func(k *K) {
			src, dst := k.Buf(bias), k.Buf(padded)
			k.Parallel(func(*loop.Value) {
				k.Range(k.Int(0), k.Int(v.oc), 1, func(i *loop.Value) { k.Store(dst, i, k.Load(src, i, 1)) })
				k.Range(k.Int(v.oc), k.Int(blocks(v.oc)*block), 1, func(i *loop.Value) {
					k.Store(dst, i, k.Float(loop.Scalar(tensor.F32), 0))
				})
			})
		},
	})
}

// packKernel walks the packed weights in their order; what has no counterpart in w is zero.
func (v *conv) packKernel(c *Ctx, w, to *ir.Value) error {
	area, ic := v.kh*v.kw, v.c/v.group
	// A packed block of output channels is [outer][area][inner][16 out].
	outer, inner := v.inBlocks(), int64(block)
	switch {
	case v.depthwise:
		outer, inner = 1, 1
	case v.plain:
		outer, inner = v.c, 1
	}
	return c.Kernel(Step{
		Op: v.op, Name: "pack_weights", Ins: []*ir.Value{w}, Outs: []*ir.Value{to}, Par: ir.Const(blocks(v.oc) * outer),
		NsPerIter: float64(area * inner * block), Bytes: ir.Const(v.weightLen() * 8),
		Build: func(k *K) {
			src, dst := k.Buf(w), k.Buf(to)
			zero := k.Float(loop.Scalar(tensor.F32), 0)
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, ir.Const(blocks(v.oc)), ir.Const(outer))
				base := k.MulInt(i, area*inner*block)
				k.Range(k.Int(0), k.Int(inner), 1, func(in *loop.Value) {
					ch := k.Add(k.MulInt(co[1], inner), in)
					k.Range(k.Int(0), k.Int(block), 1, func(lane *loop.Value) {
						o := k.Add(k.MulInt(co[0], block), lane)
						there := k.And(k.Cmp(loop.LT, o, k.Int(v.oc)), k.Cmp(loop.LT, ch, k.Int(ic)))
						from := k.MulInt(k.Add(k.MulInt(o, ic), ch), area)
						k.Range(k.Int(0), k.Int(area), 1, func(q *loop.Value) {
							at := k.Add(base, k.Add(k.MulInt(k.Add(k.MulInt(q, inner), in), block), lane))
							x := k.If(there, func() []*loop.Value { return []*loop.Value{k.Load(src, k.Add(from, q), 1)} },
								func() []*loop.Value { return []*loop.Value{zero} })
							k.Store(dst, at, x[0])
						})
					})
				})
			})
		},
	})
}
