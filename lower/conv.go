package lower

import (
	"fmt"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// conv is a convolution whose result is in channel blocks [N,OB,OH,OW,16] and whose input is in
// channel blocks too, or plain [N,C,H,W] when it has few channels. Each tile of output pixels by
// output channels stays in registers over the whole reduction (input blocks, kernel rows, kernel
// columns, channels of the block); the packed weights are read in that order.
type conv struct {
	window
	op        *ir.Op
	x, out    *ir.Value
	n         ir.Dim
	c, oc     int64 // real channels
	group     int64
	plain     bool
	depthwise bool
	pairs     bool  // of bf16; x is seen as words then
	weights   int32 // plan buffer of the packed weights
	bias      int32 // plan buffer of the bias padded to blocks, -1 for none
	body      *body
	strip     int64 // output pixels of a strip of a plain input, 0 without strips
}

const block = target.Block

func blocks(c int64) int64 { return (c + block - 1) / block }

// lowerBlockedConv compiles a BlockedConv, alone or as the anchor of a Fused group.
func lowerBlockedConv(c *Ctx, op, anchor *ir.Op, out *ir.Value) error {
	v, err := newConv(anchor)
	if err != nil {
		return err
	}
	v.op, v.out, v.x = op, out, c.resolve(v.x)
	if v.body, err = c.newBody(op, anchor); err != nil {
		return err
	}
	if v.plain {
		if p := v.byPhases(c, anchor.Operands[1], anchor.Operand(2)); p != nil {
			return p.lower(c, anchor.Operands[1], anchor.Operand(2))
		}
	}
	if err := v.setType(c, anchor); err != nil {
		return err
	}
	if f := v.winogradForm(c, anchor); f != nil {
		return v.newWinograd(f).lower(c, anchor.Operands[1], anchor.Operand(2))
	}
	if l := v.byLines(c, anchor.Operands[1], anchor.Operand(2)); l != nil {
		return l.lower(c, anchor.Operands[1], anchor.Operand(2))
	}
	if err := v.pack(c, anchor.Operands[1], anchor.Operand(2)); err != nil {
		return err
	}
	if v.plain {
		return v.lowerPlain(c)
	}
	if !v.colsInside() && (v.wide() || !v.w.IsConst() || !v.ow.IsConst()) {
		xs := v.x.Type.Shape
		if v.x, err = v.padColumns(c, op, v.x, xs[0].Mul(xs[1]).Mul(xs[2]), v.lanesIn()); err != nil {
			return err
		}
	}
	if v.depthwise {
		return v.lowerDepthwise(c)
	}
	v.flatten(c)
	return v.lower(c)
}

// newConv reads the shapes and attributes of a BlockedConv.
func newConv(op *ir.Op) (*conv, error) {
	x, wt := op.Operands[0], op.Operands[1].Type
	ws, static := ir.StaticShape(wt.Shape)
	if !static || wt.DType != x.Type.DType {
		return nil, errDecline
	}
	at := op.Results[0].Type.Shape
	v := &conv{x: x, n: x.Type.Shape[0], group: op.Attrs.Int("group", 1),
		plain: op.Attrs.Int("plain_input", 0) != 0, oc: ws[0], c: ws[1] * op.Attrs.Int("group", 1)}
	v.depthwise = v.group > 1 && v.group == v.c && v.group == v.oc
	if v.group > 1 && !v.depthwise && (ws[1]%block != 0 || v.oc/v.group%block != 0) {
		return nil, errDecline
	}
	xs := x.Type.Shape
	var err error
	v.window, err = newWindow(op, ws[2], ws[3], xs[2], xs[3], at[2], at[3])
	return v, err
}

// wide reports whether the kernel has too many columns to unroll: the kernels then loop over them.
func (v *conv) wide() bool { return v.kw > 7 }

// pack puts weights and bias into the weights file in the order in which the kernels read them.
func (v *conv) pack(c *Ctx, w, bias *ir.Value) error {
	wd := c.constOf(w)
	if wd == nil || bias != nil && c.constOf(bias) == nil {
		return v.packAtRunTime(c, w, bias)
	}
	off, err := c.weights.Packed(wd, fmt.Sprintf("conv plain=%v dw=%v pairs=%v", v.plain, v.depthwise, v.pairs), func(t *tensor.Tensor) ([]byte, error) {
		src, err := floats(t)
		if err != nil {
			return nil, err
		}
		if v.pairs {
			single := *v
			single.pairs = false
			return tensor.AsBytes(pairRows(single.packWeights(src, t.Shape))), nil
		}
		return tensor.AsBytes(v.packWeights(src, t.Shape)), nil
	})
	if err != nil {
		return err
	}
	v.weights = c.addBuf(plan.Buf{Kind: plan.BufWeight, Offset: off, Bytes: c.constSlot(v.weightLen() * 4), Name: wd.Name})
	return v.packBias(c, bias)
}

// packBias puts a constant bias, padded to blocks, into the weights file.
func (v *conv) packBias(c *Ctx, bias *ir.Value) error {
	v.bias = -1
	if bias == nil {
		return nil
	}
	bd := c.constOf(bias)
	off, err := c.weights.Packed(bd, "bias16", func(t *tensor.Tensor) ([]byte, error) {
		src, err := floats(t)
		if err != nil {
			return nil, err
		}
		dst := make([]float32, blocks(v.oc)*block)
		copy(dst, src)
		return tensor.AsBytes(dst), nil
	})
	if err != nil {
		return err
	}
	v.bias = c.addBuf(plan.Buf{Kind: plan.BufWeight, Offset: off, Bytes: c.constSlot(blocks(v.oc) * block * 4), Name: bd.Name})
	return nil
}

// inBlocks is the number of blocks over which one output channel is reduced.
func (v *conv) inBlocks() int64 { return blocks(v.c / v.group) }

// perBlock is the number of packed weights of a block of output channels.
func (v *conv) perBlock() int64 {
	switch {
	case v.depthwise:
		return v.kh * v.kw * block
	case v.plain:
		return v.c * v.kh * v.kw * block
	}
	return v.inBlocks() * v.kh * v.kw * v.lanesIn() * block
}

func (v *conv) weightLen() int64 { return blocks(v.oc) * v.perBlock() }

// packWeights reorders OIHW weights: depthwise [CB][KH][KW][16], plain [OB][C][KH][KW][16], blocked
// [OB][IB][KH][KW][16 in][16 out]; what pads a block is zero.
func (v *conv) packWeights(src []float32, shape []int64) []float32 {
	dst := make([]float32, v.weightLen())
	ic, area := shape[1], v.kh*v.kw
	for o := range v.oc {
		ob := dst[o/block*v.perBlock()+o%block:]
		for i := range ic {
			for q := range area {
				x := src[(o*ic+i)*area+q]
				switch {
				case v.depthwise:
					ob[q*block] = x
				case v.plain:
					ob[(i*area+q)*block] = x
				default:
					ob[((i/block*area+q)*block+i%block)*block] = x
				}
			}
		}
	}
	return dst
}

// flatten makes rows of a pointwise convolution longer where that fits tiles better: its pixels are
// contiguous, so a row can be any divisor of the image.
func (v *conv) flatten(c *Ctx) {
	if !v.pointwise() || !v.oh.IsConst() || !v.ow.IsConst() {
		return
	}
	full := v.out.Type.Shape
	for _, in := range v.body.inputs {
		st, ok := BroadcastStrides(in.Type.Shape, full)
		if !ok || !st[2].Equal(st[3].Mul(v.ow)) {
			return
		}
	}
	top := c.Target.Levels[len(c.Target.Levels)-1]
	oh, ow := v.oh.Value(), v.ow.Value()
	best, cost := int64(1), -1.0
	perPixel := map[int64]float64{} // by rows that become one
	for f := int64(1); f <= oh; f++ {
		if oh%f != 0 || f > 1 && ow*f > 512 {
			continue
		}
		t := gemmTile(top, ir.Const(ow*f), ir.Const(v.oc/v.group), remainder)
		per := tilesCost(top, remainder(ow*f, int64(t.rows)), blocks(v.oc/v.group), int64(t.blocks)) / float64(ow*f)
		if perPixel[f] = per; cost < 0 || per < cost*0.98 {
			best, cost = f, per
		}
	}
	best = c.chooseRows(v, best, perPixel)
	v.oh, v.ow = ir.Const(oh/best), ir.Const(ow*best)
	v.h, v.w = v.oh, v.ow
}

// tileFor picks the register tile for a level.
func (v *conv) tileFor(l *target.Level) tile {
	split := remainder
	if v.strip > 0 {
		split = evenly
	}
	best := bestTiles(l, v.ow, ir.Const(blocks(v.oc/v.group)*block), split)
	return v.body.c.chooseTile(convTile, l, best, v.sizes(), v, v.strip)
}

// groups is the number of groups of output blocks that a tile takes at once, over all groups.
func (v *conv) groups(l *target.Level) int64 {
	t := int64(v.tileFor(l).blocks)
	return (blocks(v.oc/v.group) + t - 1) / t * v.group
}

func (v *conv) ins() []*ir.Value { return append(v.body.memInputs(), v.x) }

func (v *conv) lower(c *Ctx) error {
	reduce := v.c / v.group * v.kh * v.kw
	flops := ir.Product(v.out.Type.Shape[:1]).Mul(v.oh).Mul(v.ow).MulInt(2 * v.oc * reduce)
	top := c.Target.Levels[len(c.Target.Levels)-1]
	t := v.tileFor(top)
	width := 64.0
	if v.ow.IsConst() {
		width = float64(v.ow.Value())
	}
	build := v.build
	if v.strip > 0 {
		width, build = min(width, float64(v.strip)), v.buildStrips
	}
	ns := float64(reduce*v.lanesIn()/block) * width / float64(t.rows) * t.cycles(top) / 4
	inPlace := v.body.memInputs()
	if v.twice() {
		inPlace = nil // sums are where the operand was before it is read
	}
	return c.Kernel(Step{
		Op: v.op, Name: fmt.Sprintf("conv%dx%d", v.kh, v.kw), Ins: v.ins(), Outs: []*ir.Value{v.out}, InPlace: inPlace, NsPerIter: ns, Flops: flops,
		Bytes: bytesOf(v.x).Add(bytesOf(v.out)).AddInt(v.weightLen() * 4),
		ParAt: func(l *target.Level) ir.Dim { return v.n.Mul(v.oh).Mul(v.segments(l)).MulInt(v.groups(l)) },
		Build: build,
	})
}

// rowsOuter: with small weights, each row of the input is used for all output channels while it is in
// cache; with large ones a group of weights is used for all rows.
func (v *conv) rowsOuter() bool {
	const most = 512 << 10
	size := v.weightLen() * 4
	if size*4 < most || size > most*4 || !fixed(v.sizes()...) {
		return size <= most
	}
	return v.body.c.rather(convOrder, fmt.Sprint(v.sizes(), v), "rows", "weights", size <= most)
}

// sizes and String tell convolutions apart that take different times.
func (v *conv) sizes() []ir.Dim { return []ir.Dim{v.h, v.w, v.oh, v.ow} }
func (v *conv) String() string {
	return fmt.Sprintf(" n%v %dx%d s%dx%d d%dx%d c%d o%d g%d plain=%v pairs=%v%v", v.n, v.kh, v.kw, v.sh, v.sw, v.dh, v.dw, v.c, v.oc, v.group, v.plain, v.pairs, v.body)
}

func (v *conv) build(k *K) {
	ng := ir.Const(v.groups(k.Level))
	k.Parallel(func(i *loop.Value) {
		var n, g, oh *loop.Value
		if v.rowsOuter() {
			co := k.Unflatten(i, v.n, v.oh, ng)
			n, oh, g = co[0], co[1], co[2]
		} else {
			co := k.Unflatten(i, v.n, ng, v.oh)
			n, g, oh = co[0], co[1], co[2]
		}
		v.eachGroup(k, n, oh, g, (*convRow).row)
	})
}

// eachGroup calls body for output row oh and group g of output blocks, with the pixels of a tile: the last group's
// vectors may differ.
func (v *conv) eachGroup(k *K, n, oh, g *loop.Value, body func(r *convRow, rows int)) {
	t := v.tileFor(k.Level)
	per := blocks(v.oc / v.group) // output blocks of a convolution group
	gpg := (per + int64(t.blocks) - 1) / int64(t.blocks)
	cg := k.Div(g, k.Int(gpg))
	first := k.Add(k.MulInt(cg, per), k.MulInt(k.Rem(g, k.Int(gpg)), int64(t.blocks)))
	do := func(vs []blockVector) { body(&convRow{conv: v, K: k, n: n, oh: oh, cg: cg, ob: first, vs: vs}, t.rows) }
	end := int(per - (gpg-1)*int64(t.blocks)) // blocks of the last tile
	full, rest := blockVectors(k.Level, t.blocks, block), blockVectors(k.Level, end, v.lastChannels())
	switch {
	case slices.Equal(full, rest):
		do(full)
	case gpg == 1:
		do(rest)
	default:
		last := k.Cmp(loop.EQ, k.Rem(g, k.Int(gpg)), k.Int(gpg-1))
		k.choose(last, func() { do(rest) }, func() { do(full) })
	}
}

// convRow is the code for one row of output pixels and one group of output blocks.
type convRow struct {
	*conv
	*K
	n, oh, cg, ob *loop.Value
	vs            []blockVector // of the tile
	in            *loop.Buf     // the strip of a plain input
	x0            *loop.Value   // its first output pixel
}

// blockVector is a vector of channels of a tile: lanes from lane on of a block.
type blockVector struct{ block, lane, lanes int }

// blockVectors are the vectors that hold the channels of n blocks, the last of which has so many channels. Vectors of
// nothing but padding are left out, and one of 16 lanes that is half padding is half as long: processors that
// split such vectors in two take half the time for it.
func blockVectors(l *target.Level, n int, channels int64) []blockVector {
	var vs []blockVector
	for b := range n {
		end := block
		if b == n-1 {
			end = int(channels)
		}
		for at := 0; at < end; at += l.Lanes(4) {
			lanes := l.Lanes(4)
			if lanes == block && end <= block/2 {
				lanes = block / 2
			}
			vs = append(vs, blockVector{b, at, lanes})
		}
	}
	return vs
}

// lastChannels is the number of channels of the last block that are no padding.
func (v *conv) lastChannels() int64 {
	if !waits(v.out) {
		return block // what pads has values of the body then
	}
	return (v.oc-1)%block + 1
}

func (r *convRow) row(rows int) {
	lo, hi := r.khRange(r.K, r.oh)
	r.tiles(r.K, rows, func(n int, ow0 *loop.Value, valid func(p int, kw int64) bool) {
		a := r.initAccs(n)
		if r.plain {
			a = r.reducePlain(a, ow0, lo, hi)
		} else {
			a = r.reduceBlocked(a, ow0, lo, hi, valid)
		}
		r.storeTile(a, ow0)
	})
}

// initAccs starts the accumulators of rows pixels with the bias.
func (r *convRow) initAccs(rows int) accs {
	first := make([]*loop.Value, len(r.vs))
	for j, v := range r.vs {
		if r.bias < 0 {
			first[j] = r.Float(loop.Vec(tensor.F32, v.lanes), 0)
			continue
		}
		first[j] = r.Load(r.WeightBuf(r.bias, tensor.F32), r.AddInt(r.MulInt(r.ob, block), int64(v.block*block+v.lane)), v.lanes)
	}
	return slices.Repeat(accs{first}, rows)
}

// weightAt reads vector j of the weights at offset at within each block's weights.
func (r *convRow) weightAt(j int, at *loop.Value, d int64) *loop.Value {
	v, base := r.vs[j], r.MulInt(r.ob, r.perBlock())
	return r.Load(r.WeightBuf(r.weights, packedType(r.pairs)), r.AddInt(r.Add(base, at), int64(v.block)*r.perBlock()+int64(v.lane)+d), v.lanes)
}

// xAt reads pixel p's scalar; base is the index of the tile's first pixel at kernel column 0.
func (r *convRow) xAt(base *loop.Value, p int, kw, pixel, d int64) *loop.Value {
	return r.Load(r.Buf(r.x), r.AddInt(base, (int64(p)*r.sw+kw*r.dw)*pixel+d), 1)
}

// firstPixel is the column index in the input of the tile's first pixel.
func (r *convRow) firstPixel(ow0 *loop.Value) *loop.Value {
	return r.AddInt(r.MulInt(ow0, r.sw), -r.left)
}

// inputRow is the input row of kernel row kh.
func (r *convRow) inputRow(kh *loop.Value) *loop.Value {
	return r.Add(r.AddInt(r.MulInt(r.oh, r.sh), -r.top), r.MulInt(kh, r.dh))
}

func (r *convRow) reduceBlocked(a accs, ow0, lo, hi *loop.Value, valid func(p int, kw int64) bool) accs {
	xb, in := r.inBlocks(), r.lanesIn()
	all := blocks(r.c)
	u := int64(4)
	if r.kw*r.kh == 1 {
		u = in
	}
	inBlock := func(ib *loop.Value, channels int64, a accs) accs {
		plane := r.Add(r.MulInt(r.n, all), r.Add(r.MulInt(r.cg, xb), ib))
		return r.loopOver(lo, hi, 1, a, func(kh *loop.Value, a accs) accs {
			row := r.Add(r.MulDim(plane, r.h), r.inputRow(kh))
			base := r.MulInt(r.Add(r.MulDim(row, r.w), r.firstPixel(ow0)), in)
			at := r.MulInt(r.Add(r.MulInt(ib, r.kh), kh), r.kw*in*block)
			if r.wide() {
				return r.loopOver(r.Int(0), r.Int(r.kw), 1, a, func(q *loop.Value, a accs) accs {
					return r.reduceK(r.Int(0), r.Int(channels), u, a,
						func(p int, i *loop.Value, d int64) *loop.Value {
							return r.xAt(r.Add(r.Add(base, r.MulInt(q, r.dw*in)), i), p, 0, in, d)
						},
						func(j int, i *loop.Value, d int64) *loop.Value {
							return r.weightAt(j, r.Add(at, r.MulInt(r.Add(r.MulInt(q, in), i), block)), d*block)
						})
				})
			}
			for kw := range r.kw {
				r.prefetch(ow0, r.AddInt(at, kw*in*block))
				a = r.reduceK(r.Int(0), r.Int(channels), u, a,
					func(p int, i *loop.Value, d int64) *loop.Value {
						if !valid(p, kw) {
							return nil
						}
						return r.xAt(r.Add(base, i), p, kw, in, d)
					},
					func(j int, i *loop.Value, d int64) *loop.Value {
						return r.weightAt(j, r.Add(at, r.MulInt(i, block)), (kw*in+d)*block)
					})
			}
			return a
		})
	}
	full := r.c / r.group / block
	if full > 0 {
		a = r.loopOver(r.Int(0), r.Int(full), 1, a, func(ib *loop.Value, a accs) accs { return inBlock(ib, in, a) })
	}
	if rest := r.c / r.group % block; rest > 0 {
		a = inBlock(r.Int(full), rest*in/block, a)
	}
	return a
}

// reducePlain reads a plain input where it is, with its columns padded.
func (r *convRow) reducePlain(a accs, ow0, lo, hi *loop.Value) accs {
	return r.loopOver(r.Int(0), r.Int(r.c), 1, a, func(ic *loop.Value, a accs) accs {
		plane := r.Add(r.MulInt(r.n, r.c), ic)
		return r.loopOver(lo, hi, 1, a, func(kh *loop.Value, a accs) accs {
			row := r.Add(r.MulDim(plane, r.h), r.inputRow(kh))
			base := r.Add(r.MulDim(row, r.w), r.firstPixel(ow0))
			return r.plainColumns(a, r.Buf(r.x), base, r.MulInt(r.Add(r.MulInt(ic, r.kh), kh), r.kw*block))
		})
	})
}
