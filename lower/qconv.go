package lower

import (
	"errors"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// intConv is a convolution of 8-bit integers, [N,C,H,W] or [N,C,L]. The input is first widened to f32
// less its zero point, with padding, each row as one sequence per residue of the column by the stride:
// then neighbours in a result row read neighbours in memory, whatever the stride.
type intConv struct {
	op             *ir.Op
	x, w, out      *ir.Value
	xzp, wzp       *ir.Value // nil, single, or for wzp one per channel
	n              ir.Dim
	m, group       int64
	cg, mg         int64 // channels of input and result in a group
	k, s, d, first [2]int64
	h, wd, oh, ow  ir.Dim
	hp, wq         ir.Dim    // rows of the padded input, and columns of each residue
	wide           *ir.Value // the padded input
	weights        int32     // with channels last, if >= 0
	extra          []*ir.Value
	finish         func(k *K, sum *loop.Value, per func(v *ir.Value) *loop.Value) *loop.Value
}

func newIntConv(op *ir.Op, x, w, xzp, wzp *ir.Value) (*intConv, error) {
	rank := x.Type.Rank()
	ws, static := ir.StaticShape(w.Type.Shape)
	if !isByte(x) || !isByte(w) || !static || rank != 3 && rank != 4 || len(ws) != rank {
		return nil, errDecline
	}
	g := op.Attrs.Int("group", 1)
	v := &intConv{op: op, x: x, w: w, xzp: xzp, wzp: wzp, out: op.Results[0], n: x.Type.Shape[0], m: ws[0], group: g, cg: ws[1], k: pair(ws[2:], 1),
		s: pair(op.Attrs.Ints("strides", nil), 1), d: pair(op.Attrs.Ints("dilations", nil), 1), weights: -1}
	if g < 1 || v.m%g != 0 || v.m == 0 || !x.Type.Shape[1].Is(v.cg*g) || v.k[0]*v.k[1] > exactBlock || v.k[0]*v.k[1] == 0 {
		return nil, errDecline
	}
	if xzp != nil && !single(xzp) || fitsVector(wzp, ir.Const(v.m)) != nil {
		return nil, errDecline
	}
	v.mg = v.m / g
	v.h, v.wd = plane(x.Type.Shape)
	v.oh, v.ow = plane(v.out.Type.Shape)
	v.first, _ = explicitPads(op)
	if a := op.Attrs.Str("auto_pad", "NOTSET"); a == "SAME_UPPER" || a == "SAME_LOWER" {
		win := window{h: v.h, w: v.wd, oh: v.oh, ow: v.ow, kh: v.k[0], kw: v.k[1], sh: v.s[0], sw: v.s[1], dh: v.d[0], dw: v.d[1]}
		if err := win.autoPad(a); err != nil {
			return nil, err
		}
		v.first = [2]int64{win.top, win.left}
	} else if a == "VALID" {
		v.first = [2]int64{}
	}
	v.hp = v.oh.AddInt(-1).MulInt(v.s[0]).AddInt((v.k[0]-1)*v.d[0] + 1)
	v.wq = v.ow.AddInt((v.k[1] - 1) * v.d[1] / v.s[1])
	return v, nil
}

// widen emits the step that pads.
func (v *intConv) widen(c *Ctx) error {
	ch := ir.Const(v.cg * v.group)
	sw := v.s[1]
	v.wide = c.Scratch(ir.TensorType(tensor.F32, v.n, ch, v.hp, ir.Const(sw), v.wq))
	return c.Kernel(Step{
		Op: v.op, Name: "widen", Ins: present(v.x, v.xzp), Outs: []*ir.Value{v.wide}, Par: v.n.Mul(ch).Mul(v.hp), NsPerIter: perChunk(v.wq.MulInt(sw), 0.2),
		Bytes: bytesOf(v.x).Add(bytesOf(v.wide)),
		Build: func(k *K) {
			ceil := func(x *loop.Value) *loop.Value { // ceil(max(x,0)/sw), at most wq
				return k.MinIdx(k.Div(k.AddInt(k.MaxIdx(x, k.Int(0)), sw-1), k.Int(sw)), k.Dim(v.wq))
			}
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, v.n.Mul(ch), v.hp)
				y := k.AddInt(co[1], -v.first[0])
				inside := k.And(k.Cmp(loop.GE, y, k.Int(0)), k.Cmp(loop.LT, y, k.Dim(v.h)))
				zp := k.Float(loop.Scalar(tensor.F32), 0)
				if v.xzp != nil {
					zp = k.loadByte(k.Buf(v.xzp), k.Int(0), 1)
				}
				from := k.MulDim(k.Add(k.MulDim(co[0], v.h), y), v.wd)
				for phase := range sw {
					to := k.MulDim(k.AddInt(k.MulInt(i, sw), phase), v.wq)
					fill := func(lo, hi *loop.Value) {
						k.vectorLoop(lo, hi, k.Level.Lanes(4), func(e *loop.Value, lanes int) {
							k.Store(k.Buf(v.wide), k.Add(to, e), k.Float(loop.Vec(tensor.F32, lanes), 0))
						})
					}
					lo := k.Select(inside, ceil(k.Int(v.first[1]-phase)), k.Dim(v.wq))
					hi := k.Select(inside, ceil(k.Dim(v.wd.AddInt(v.first[1]-phase))), k.Dim(v.wq))
					put := func(e *loop.Value, lanes int) {
						x := k.loadByte(k.Buf(v.x), k.AddInt(k.Add(from, k.MulInt(e, sw)), phase-v.first[1]), lanes)
						k.Store(k.Buf(v.wide), k.Add(to, e), k.Sub(x, k.Broadcast(zp, lanes)))
					}
					fill(k.Int(0), lo)
					if sw == 1 {
						k.vectorLoop(lo, hi, k.Level.Lanes(4), put)
					} else {
						k.Range(lo, hi, 1, func(e *loop.Value) { put(e, 1) })
					}
					fill(hi, k.Dim(v.wq))
				}
			})
		},
	})
}

func (v *intConv) lower(c *Ctx) error {
	if err := v.widen(c); err != nil {
		return err
	}
	if d := c.constOf(v.w); d != nil && v.mg >= 8 && v.ow.IsConst() && v.ow.Value() < 16 {
		off, err := c.weights.Packed(d, "channels last", func(t *tensor.Tensor) ([]byte, error) { return v.channelsLast(t.Data), nil })
		if err != nil {
			return err
		}
		v.weights = c.weightBuf(off, d.Len(), d.Name)
		return v.acrossChannels(c)
	}
	return v.alongRows(c)
}

// channelsLast turns weights [M, C/group, KH, KW] into [group, C/group, KH, KW, M/group].
func (v *intConv) channelsLast(src []byte) []byte {
	per := v.cg * v.k[0] * v.k[1]
	dst := make([]byte, v.m*per)
	for m := range v.m {
		for i := range per {
			dst[(m/v.mg*per+i)*v.mg+m%v.mg] = src[m*per+i]
		}
	}
	return dst
}

// step is the common part of both kernels.
func (v *intConv) step(name string, macs int64) Step {
	reduce := v.cg * v.k[0] * v.k[1]
	ins := append(present(v.wide, v.xzp, v.wzp), v.extra...)
	if v.weights < 0 {
		ins = append(ins, v.w)
	}
	return Step{Op: v.op, Name: name, Ins: ins, Outs: []*ir.Value{v.out}, NsPerIter: 10 + float64(reduce*macs)/4,
		Flops: v.n.Mul(v.oh).Mul(v.ow).MulInt(2 * v.m * reduce), Bytes: bytesOf(v.wide).Add(bytesOf(v.out))}
}

// alongRows has vectors along the result row and tiles of channels that share the input.
func (v *intConv) alongRows(c *Ctx) error {
	tile := int64(1)
	for _, t := range []int64{4, 3, 2} {
		if v.mg%t == 0 {
			tile = t
			break
		}
	}
	s := v.step("int_conv", tile*2)
	blocks := ir.Const(v.m / tile)
	s.ParAt = func(l *target.Level) ir.Dim { return v.n.Mul(blocks).Mul(v.oh).Mul(colTiles(l, v.ow)) }
	s.Build = func(k *K) {
		per := v.cg * v.k[0] * v.k[1]
		k.Parallel(func(i *loop.Value) {
			co := k.Unflatten(i, v.n, blocks, v.oh, colTiles(k.Level, v.ow))
			ch := make([]*loop.Value, tile)
			for r := range ch {
				ch[r] = k.AddInt(k.MulInt(co[1], tile), int64(r))
			}
			group := k.Div(ch[0], k.Int(v.mg))
			k.cols(co[3], v.ow, func(x *loop.Value, n, lanes int) {
				zp := v.zeroPoints(k, ch, lanes, false)
				sums := v.sum(k, co[0], group, co[2], len(ch)*n, lanes, func(tap, at *loop.Value, acc []*loop.Value) []*loop.Value {
					in := make([]*loop.Value, n)
					for j := range in {
						in[j] = k.Load(k.Buf(v.wide), k.AddInt(k.Add(at, x), int64(j*lanes)), lanes)
					}
					next := make([]*loop.Value, len(acc))
					for r := range ch {
						w := k.Broadcast(k.loadByte(k.Buf(v.w), k.Add(k.MulInt(ch[r], per), tap), 1), lanes)
						if zp != nil {
							w = k.Sub(w, zp[r])
						}
						for j := range in {
							next[r*n+j] = k.FMA(w, in[j], acc[r*n+j])
						}
					}
					return next
				})
				for r := range ch {
					row := k.MulDim(k.Add(k.MulDim(k.Add(k.MulInt(co[0], v.m), ch[r]), v.oh), co[2]), v.ow)
					for j := range n {
						y := v.done(k, sums[r*n+j], ch[r], false)
						k.Store(k.Buf(v.out), k.Add(row, k.AddInt(x, int64(j*lanes))), y)
					}
				}
			})
		})
	}
	return c.Kernel(s)
}

// acrossChannels has vectors across channels and tiles of pixels that share the weights.
func (v *intConv) acrossChannels(c *Ctx) error {
	tile := min(4, v.ow.Value())
	s := v.step("int_conv_ch", tile*16)
	tiles, groups, mg := v.ow.CeilDiv(tile), ir.Const(v.group), ir.Const(v.mg)
	s.ParAt = func(l *target.Level) ir.Dim { return v.n.Mul(groups).Mul(v.oh).Mul(tiles).Mul(colTiles(l, mg)) }
	area := v.oh.Mul(v.ow)
	s.Build = func(k *K) {
		k.Parallel(func(i *loop.Value) {
			co := k.Unflatten(i, v.n, groups, v.oh, tiles, colTiles(k.Level, mg))
			px := make([]*loop.Value, tile)
			for r := range px {
				px[r] = k.MinIdx(k.AddInt(k.MulInt(co[3], tile), int64(r)), k.Dim(v.ow.AddInt(-1)))
			}
			k.cols(co[4], mg, func(m *loop.Value, n, lanes int) {
				ch := make([]*loop.Value, n)
				for j := range ch {
					ch[j] = k.AddInt(k.Add(k.MulInt(co[1], v.mg), m), int64(j*lanes))
				}
				zp := v.zeroPoints(k, ch, lanes, true)
				first := k.MulInt(co[1], v.cg*v.k[0]*v.k[1])
				sums := v.sum(k, co[0], co[1], co[2], len(px)*n, lanes, func(tap, at *loop.Value, acc []*loop.Value) []*loop.Value {
					w := make([]*loop.Value, n)
					for j := range w {
						w[j] = k.loadByte(k.WeightBuf(v.weights, v.w.Type.DType), k.AddInt(k.Add(k.MulInt(k.Add(first, tap), v.mg), m), int64(j*lanes)), lanes)
						if zp != nil {
							w[j] = k.Sub(w[j], zp[j])
						}
					}
					next := make([]*loop.Value, len(acc))
					for r := range px {
						x := k.Broadcast(k.Load(k.Buf(v.wide), k.Add(at, px[r]), 1), lanes)
						for j := range w {
							next[r*n+j] = k.FMA(x, w[j], acc[r*n+j])
						}
					}
					return next
				})
				for r := range px {
					for j := range n {
						y := v.done(k, sums[r*n+j], ch[j], true)
						at := k.Add(k.MulDim(k.Add(k.MulInt(co[0], v.m), ch[j]), area), k.Add(k.MulDim(co[2], v.ow), px[r]))
						if area.Is(1) {
							k.Store(k.Buf(v.out), at, y)
							continue
						}
						for l := range lanes {
							k.Store(k.Buf(v.out), k.Add(at, k.MulDim(k.Int(int64(l)), area)), k.Extract(y, l))
						}
					}
				}
			})
		})
	}
	return c.Kernel(s)
}

// sum goes over the taps of a group's channels for result row y. body gets the number of the tap and where
// in the padded input the tap of column 0 is.
func (v *intConv) sum(k *K, n, group, y *loop.Value, count, lanes int, body func(tap, at *loop.Value, acc []*loop.Value) []*loop.Value) []*loop.Value {
	return k.exactSum(ir.Const(v.cg), v.k[0]*v.k[1], count, lanes, func(c *loop.Value, acc []*loop.Value) []*loop.Value {
		plane := k.Add(k.MulInt(n, v.cg*v.group), k.Add(k.MulInt(group, v.cg), c))
		return k.For(k.Int(0), k.Int(v.k[0]), 1, acc, func(ky *loop.Value, acc []*loop.Value) []*loop.Value {
			row := k.Add(k.MulDim(plane, v.hp), k.Add(k.MulInt(y, v.s[0]), k.MulInt(ky, v.d[0])))
			return k.For(k.Int(0), k.Int(v.k[1]), 1, acc, func(kx *loop.Value, acc []*loop.Value) []*loop.Value {
				col := k.MulInt(kx, v.d[1])
				at := k.Add(k.MulDim(k.Add(k.MulInt(row, v.s[1]), k.Rem(col, k.Int(v.s[1]))), v.wq), k.Div(col, k.Int(v.s[1])))
				tap := k.Add(k.MulInt(k.Add(k.MulInt(c, v.k[0]), ky), v.k[1]), kx)
				return body(tap, at, acc)
			})
		})
	})
}

// perChannel reads v, single or one per channel, for channel ch or the lanes that follow it, in its compute type.
func (k *K) perChannel(v *ir.Value, ch *loop.Value, lanes int, across bool) *loop.Value {
	d := v.Type.DType
	switch {
	case single(v):
		return k.Broadcast(k.fromMemory(k.Load(k.Buf(v), k.Int(0), 1), d), lanes)
	case across:
		return k.fromMemory(k.Load(k.Buf(v), ch, lanes), d)
	}
	return k.Broadcast(k.fromMemory(k.Load(k.Buf(v), ch, 1), d), lanes)
}

// zeroPoints are those of the weights of each channel, nil where there are none.
func (v *intConv) zeroPoints(k *K, ch []*loop.Value, lanes int, across bool) []*loop.Value {
	if v.wzp == nil {
		return nil
	}
	out := make([]*loop.Value, len(ch))
	for i := range ch {
		out[i] = k.Convert(k.Convert(k.perChannel(v.wzp, ch[i], lanes, across), tensor.I32), tensor.F32)
	}
	return out
}

func (v *intConv) done(k *K, sum, ch *loop.Value, across bool) *loop.Value {
	if v.finish == nil {
		return sum
	}
	return v.finish(k, sum, func(e *ir.Value) *loop.Value { return k.perChannel(e, ch, sum.Type.Lanes, across) })
}

func lowerConvInteger(c *Ctx, op *ir.Op) error {
	x, w, xzp, wzp := op.Operands[0], op.Operands[1], op.Operand(2), op.Operand(3)
	v, err := newIntConv(op, x, w, xzp, wzp)
	if errors.Is(err, errDecline) {
		return c.intConvAny(op, x, w, xzp, wzp, nil, nil)
	}
	if err != nil {
		return err
	}
	return v.lower(c)
}

func lowerQLinearConv(c *Ctx, op *ir.Op) error {
	o, bias, out := op.Operands, op.Operand(8), op.Results[0]
	xs, ws, ys, yz := o[1], o[4], o[6], o[7]
	if !o[3].Type.Ranked || o[3].Type.Rank() < 1 {
		return errDecline
	}
	m, one := o[3].Type.Shape[0], ir.Const(1)
	if scaleFits(xs, one) != nil || scaleFits(ws, m) != nil || scaleFits(ys, one) != nil || !single(yz) || !isByte(yz) ||
		bias != nil && (bias.Type.DType != tensor.I32 || bias.Type.Rank() != 1 || !bias.Type.Shape[0].Equal(m)) {
		return errDecline
	}
	extra := present(xs, ws, ys, yz, bias)
	finish := func(k *K, sum *loop.Value, per func(e *ir.Value) *loop.Value) *loop.Value {
		if bias != nil {
			sum = k.Add(sum, per(bias))
		}
		return k.requantize(sum, per(xs), per(ws), per(ys), per(yz), out.Type.DType)
	}
	v, err := newIntConv(op, o[0], o[3], o[2], o[5])
	if errors.Is(err, errDecline) {
		return c.intConvAny(op, o[0], o[3], o[2], o[5], extra, finish)
	}
	if err != nil {
		return err
	}
	v.extra, v.finish = extra, finish
	return v.lower(c)
}
