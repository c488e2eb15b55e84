package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// channelNorm normalises the channels of each pixel of an image, which are apart by its size: some pixels at a time, so
// that what is read of a channel, or of a block of them, is contiguous. The first of three passes brings them to L1.
type channelNorm struct {
	x, out, scale, bias *ir.Value // bias is nil for none
	n, channels, pixels ir.Dim    // pixels of an image
	blocked             bool
	eps                 float64
}

// Pixels that an iteration takes: of a blocked tensor they have a register each.
const (
	normPixels      = 64
	normPixelBlocks = 8
)

// lowerChannelNorm compiles ChannelNorm and BlockedChannelNorm.
func lowerChannelNorm(c *Ctx, op *ir.Op) error {
	s := op.Operands[0].Type.Shape
	n := &channelNorm{x: op.Operands[0], out: op.Results[0], scale: op.Operands[1], bias: op.Operand(2), eps: op.Attrs.Float("epsilon", 1e-5)}
	ins, chunk := []*ir.Value{n.x, n.scale}, int64(normPixels)
	if n.bias != nil {
		ins = append(ins, n.bias)
	}
	for i, v := range ins {
		if v.Type.DType != tensor.F32 || i > 0 && v.Type.Rank() != 1 {
			return errDecline
		}
	}
	switch len(s) {
	case 4:
		n.channels = s[1]
	case 5:
		n.channels, n.blocked, chunk = ir.Const(op.Attrs.Int("channels", 0)), true, normPixelBlocks
	default:
		return errDecline
	}
	if n.blocked && n.channels.Value()%block != 0 {
		return errDecline
	}
	for _, v := range ins[1:] {
		c.checkEqual(op, v.Type.Shape[0], n.channels, "the number of channels and the size of scale or bias")
	}
	n.n, n.pixels = s[0], s[2].Mul(s[3])
	chunks, ns := n.pixels.CeilDiv(chunk), 1000.0
	if n.channels.IsConst() {
		ns = 100 + float64(n.channels.Value()*chunk)/8
	}
	return c.Kernel(Step{
		Op: op, Name: "channelnorm", Ins: ins, Outs: []*ir.Value{n.out}, Par: n.n.Mul(chunks), NsPerIter: ns,
		Flops: ir.Product(s).MulInt(8), Bytes: bytesOf(n.x).MulInt(2),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, n.n, chunks)
				lo := k.MulInt(co[1], chunk)
				hi := k.MinIdx(k.AddInt(lo, chunk), k.Dim(n.pixels))
				if !n.blocked {
					k.vectorLoop(lo, hi, k.Level.Lanes(4), func(p *loop.Value, lanes int) { n.plain(k, co[0], p, lanes).emit() })
					return
				}
				k.choose(k.Cmp(loop.EQ, k.Sub(hi, lo), k.Int(chunk)), func() { n.inBlocks(k, co[0], lo, int(chunk)).emit() },
					func() { k.Range(lo, hi, 1, func(p *loop.Value) { n.inBlocks(k, co[0], p, 1).emit() }) })
			})
		},
	})
}

// normTile are the pixels that are normalised together. Each step of a pass visits vecs vectors of each of them.
type normTile struct {
	*K
	*channelNorm
	steps              ir.Dim
	count, vecs, lanes int
	at                 func(step *loop.Value, p, j int) *loop.Value
	param              func(v *ir.Value, step *loop.Value, j int) *loop.Value
	total              func(sum *loop.Value) *loop.Value // of a pixel, of its vector of sums
}

// plain has a pixel in each lane, from p on, and steps over channels.
func (n *channelNorm) plain(k *K, image, p *loop.Value, lanes int) *normTile {
	first := k.MulDim(image, n.channels)
	return &normTile{K: k, channelNorm: n, steps: n.channels, count: 1, vecs: 1, lanes: lanes,
		at: func(ch *loop.Value, _, _ int) *loop.Value { return k.Add(k.MulDim(k.Add(first, ch), n.pixels), p) },
		param: func(v *ir.Value, ch *loop.Value, _ int) *loop.Value {
			return k.Broadcast(k.Load(k.Buf(v), ch, 1), lanes)
		},
		total: func(sum *loop.Value) *loop.Value { return sum },
	}
}

// inBlocks has channels in the lanes, those of count pixels from p on, and steps over blocks.
func (n *channelNorm) inBlocks(k *K, image, p *loop.Value, count int) *normTile {
	lanes, nb := k.Level.Lanes(4), n.channels.Value()/block
	first := k.MulInt(image, nb)
	return &normTile{K: k, channelNorm: n, steps: ir.Const(nb), count: count, vecs: vectors(k.Level), lanes: lanes,
		at: func(b *loop.Value, q, j int) *loop.Value {
			return k.AddInt(k.MulInt(k.Add(k.MulDim(k.Add(first, b), n.pixels), p), block), int64(q*block+j*lanes))
		},
		param: func(v *ir.Value, b *loop.Value, j int) *loop.Value {
			return k.Load(k.Buf(v), k.AddInt(k.MulInt(b, block), int64(j*lanes)), lanes)
		},
		total: func(sum *loop.Value) *loop.Value { return k.Broadcast(k.Reduce(loop.OpReduceAdd, sum), lanes) },
	}
}

func (t *normTile) load(step *loop.Value, p, j int) *loop.Value {
	return t.Load(t.Buf(t.x), t.at(step, p, j), t.lanes)
}

// means gives for each pixel the mean of f over its channels.
func (t *normTile) means(f func(p int, x *loop.Value) *loop.Value) []*loop.Value {
	zero := t.Float(loop.Vec(tensor.F32, t.lanes), 0)
	sums := t.For(t.Int(0), t.Dim(t.steps), 1, repeat(t.count, zero), func(step *loop.Value, a []*loop.Value) []*loop.Value {
		next := append([]*loop.Value{}, a...)
		for p := range next {
			for j := range t.vecs {
				next[p] = t.Add(next[p], f(p, t.load(step, p, j)))
			}
		}
		return next
	})
	count := t.Broadcast(t.Convert(t.Dim(t.channels), tensor.F32), t.lanes)
	means := make([]*loop.Value, t.count)
	for p, s := range sums {
		means[p] = t.Div(t.total(s), count)
	}
	return means
}

func (t *normTile) emit() {
	mean := t.means(func(_ int, x *loop.Value) *loop.Value { return x })
	variance := t.means(func(p int, x *loop.Value) *loop.Value {
		d := t.Sub(x, mean[p])
		return t.Mul(d, d)
	})
	inv := make([]*loop.Value, t.count)
	for p, v := range variance {
		inv[p] = t.Div(t.num(v, 1), t.Unary(loop.OpSqrt, t.Add(v, t.num(v, t.eps))))
	}
	t.Range(t.Int(0), t.Dim(t.steps), 1, func(step *loop.Value) {
		for j := range t.vecs {
			scale := t.param(t.scale, step, j)
			for p := range t.count {
				y := t.Mul(t.Mul(t.Sub(t.load(step, p, j), mean[p]), inv[p]), scale)
				if t.bias != nil {
					y = t.Add(y, t.param(t.bias, step, j))
				}
				t.Store(t.Buf(t.out), t.at(step, p, j), y)
			}
		}
	})
}
