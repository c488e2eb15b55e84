package lower

import (
	"fmt"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// fewChannels is the number of output channels up to which vectors along the output row do better than
// vectors of channels, which are then mostly padding.
const fewChannels = target.Block / 2

// lowerConvChannels compiles a dense Conv on plain tensors with vectors of output channels: strides, short rows and
// sizes that the run time decides, which are what one-dimensional convolutions have, cost it nothing. The sums
// are those of the blocked convolution on a plain input; a second step puts them in order and does the epilogue.
func lowerConvChannels(c *Ctx, op, anchor *ir.Op, out *ir.Value) error {
	p, err := newPlainConv(c, op, anchor, out)
	if err != nil {
		return err
	}
	w, bias := c.constOf(anchor.Operands[1]), p.bias
	if w == nil || bias != nil && c.constOf(bias) == nil || p.group != 1 || p.x.Type.DType != tensor.F32 {
		return errDecline
	}
	if !p.channelsPay(c) {
		return errDecline
	}
	before, after, err := p.padsOf(anchor)
	if err != nil {
		return err
	}
	sums := c.Scratch(ir.TensorType(tensor.F32, p.n, ir.Const(blocks(p.ws[0])), p.oh, p.ow, ir.Const(block)))
	h, wd := plane(p.x.Type.Shape)
	v := &conv{op: op, x: p.x, out: sums, n: p.n, c: p.ws[1], oc: p.ws[0], group: 1, plain: true, body: &body{c: c, anchor: sums, result: sums},
		window: window{h: h, w: wd, oh: p.oh, ow: p.ow, kh: p.k[0], kw: p.k[1], sh: p.s[0], sw: p.s[1], dh: p.d[0], dw: p.d[1],
			top: before[0], left: before[1], bottom: after[0], right: after[1]}}
	if err := v.pack(c, anchor.Operands[1], bias); err != nil {
		return err
	}
	if err := v.lowerPlain(c); err != nil {
		return err
	}
	return p.inOrder(c, sums)
}

// channelsPay chooses between vectors of channels and of pixels.
func (v *plainConv) channelsPay(c *Ctx) bool {
	many, sizes := v.ws[0] > fewChannels, []ir.Dim{v.oh, v.ow}
	if v.ws[0]*4 < fewChannels || v.ws[0] > fewChannels*4 || !fixed(sizes...) {
		return many
	}
	return c.rather(convVectors, fmt.Sprint(v.n, sizes, v.ws, v.s, v.d, v.body), "channels", "pixels", many)
}

// inOrder emits the step that takes the results of channels out of blocks, and the epilogue.
func (v *plainConv) inOrder(c *Ctx, sums *ir.Value) error {
	pixels := v.oh.Mul(v.ow)
	return c.Kernel(Step{
		Op: v.op, Name: "conv_order", Ins: append(v.body.memInputs(), sums), Outs: []*ir.Value{v.out}, Par: v.n.MulInt(v.ws[0]).Mul(v.oh),
		NsPerIter: perChunk(v.ow, 1), Bytes: bytesOf(v.out).MulInt(2),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, v.n, ir.Const(v.ws[0]), v.oh)
				oc := co[1]
				image := k.MulDim(k.Add(k.MulInt(co[0], blocks(v.ws[0])), k.Div(oc, k.Int(block))), pixels)
				from := k.Add(k.MulInt(k.Add(image, k.MulDim(co[2], v.ow)), block), k.Rem(oc, k.Int(block)))
				k.vectorLoop(k.Int(0), k.Dim(v.ow), k.Level.VecBytes/8, func(ow *loop.Value, lanes int) {
					at := k.Add(from, k.MulInt(ow, block))
					var x *loop.Value
					if lanes == 1 {
						x = k.Load(k.Buf(sums), at, 1)
					} else {
						t := loop.Vec(tensor.I64, lanes)
						x = k.Gather(k.Buf(sums), k.Add(k.Broadcast(at, lanes), k.Mul(k.Iota(t), k.IntOf(t, block))))
					}
					v.put(k, co[0], oc, co[2], ow, x)
				})
			})
		},
	})
}
