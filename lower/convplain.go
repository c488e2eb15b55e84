package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// plainConv is a convolution on plain [N,C,H,W] or [N,C,L] tensors: what the layout pass leaves, such
// as groups that do not fit blocks, and transposed convolutions. The vector runs along the output
// row; a tile of output channels shares each load of the input, which is padded beforehand.
type plainConv struct {
	op       *ir.Op
	x        *ir.Value // padded: [N, C, hp, wp]
	hp, wp   ir.Dim
	out      *ir.Value
	rank     int     // of the result: 3 or 4
	ws       []int64 // shape of the weights
	n        ir.Dim
	c, oc    int64
	group    int64
	oh, ow   ir.Dim
	k, s, d  [2]int64
	weights  int32     // [OC, C/group, KH, KW], f32
	bias     *ir.Value // nil for none
	body     *body
	ocTile   int64
	perGroup int64
}

// pair reads a spatial attribute; one-dimensional ones get def in front.
func pair(a []int64, def int64) [2]int64 {
	switch len(a) {
	case 0:
		return [2]int64{def, def}
	case 1:
		return [2]int64{def, a[0]}
	}
	return [2]int64{a[0], a[1]}
}

// plane gives the two spatial dimensions of a shape of rank 3 or 4.
func plane(s []ir.Dim) (h, w ir.Dim) {
	if len(s) == 3 {
		return ir.Const(1), s[2]
	}
	return s[2], s[3]
}

// newPlainConv reads what Conv and ConvTranspose share.
func newPlainConv(c *Ctx, op, anchor *ir.Op, out *ir.Value) (*plainConv, error) {
	x := c.resolve(anchor.Operands[0])
	wt := anchor.Operands[1].Type
	ws, static := ir.StaticShape(wt.Shape)
	rank := x.Type.Rank()
	if !static || wt.DType != tensor.F32 && wt.DType != tensor.F16 || !isHalfOrFloat(x.Type.DType) || rank != 3 && rank != 4 {
		return nil, errDecline
	}
	bd, err := c.newBody(op, anchor)
	if err != nil {
		return nil, err
	}
	v := &plainConv{op: op, x: x, out: out, rank: rank, n: x.Type.Shape[0], group: anchor.Attrs.Int("group", 1), body: bd,
		s: pair(anchor.Attrs.Ints("strides", nil), 1), d: pair(anchor.Attrs.Ints("dilations", nil), 1), k: pair(ws[2:], 1), bias: anchor.Operand(2), ws: ws}
	v.oh, v.ow = plane(anchor.Results[0].Type.Shape)
	return v, nil
}

// padsOf gives the padding before and after for both spatial dimensions.
func (v *plainConv) padsOf(anchor *ir.Op) (before, after [2]int64, err error) {
	if a := anchor.Attrs.Str("auto_pad", "NOTSET"); a != "NOTSET" && a != "VALID" {
		h, w := plane(v.x.Type.Shape)
		win := window{h: h, w: w, oh: v.oh, ow: v.ow, kh: v.k[0], kw: v.k[1], sh: v.s[0], sw: v.s[1], dh: v.d[0], dw: v.d[1]}
		if err := win.autoPad(a); err != nil || anchor.Info.Name == "ConvTranspose" {
			return before, after, errDecline
		}
		return [2]int64{win.top, win.left}, [2]int64{win.bottom, win.right}, nil
	}
	before, after = explicitPads(anchor)
	return before, after, nil
}

// explicitPads reads the attribute pads.
func explicitPads(op *ir.Op) (before, after [2]int64) {
	p := op.Attrs.Ints("pads", nil)
	if len(p) == 0 {
		return
	}
	return pair(p[:len(p)/2], 0), pair(p[len(p)/2:], 0)
}

// lowerConv compiles Conv on plain tensors.
func lowerConv(c *Ctx, op, anchor *ir.Op, out *ir.Value) error {
	dense := func() error { return lowerConvChannels(c, op, anchor, out) }
	plain := func() error { return lowerConvPlain(c, op, anchor, out) }
	return c.either(func() error { return c.either(dense, plain) }, func() error {
		if op != anchor {
			return errDecline
		}
		return lowerConvAny(c, op, out)
	})
}

func lowerConvPlain(c *Ctx, op, anchor *ir.Op, out *ir.Value) error {
	v, err := newPlainConv(c, op, anchor, out)
	if err != nil {
		return err
	}
	v.oc, v.c = v.ws[0], v.ws[1]*v.group
	if v.weights, err = c.plainWeights(anchor.Operands[1]); err != nil {
		return err
	}
	before, after, err := v.padsOf(anchor)
	if err != nil {
		return err
	}
	if err := v.spread(c, [2]int64{1, 1}, before, after); err != nil {
		return err
	}
	return v.lower(c)
}

// plainWeights gives the buffer of weights in ONNX's order, as f32: constants, or a value computed at run time.
func (c *Ctx) plainWeights(w *ir.Value) (int32, error) {
	d := c.constOf(w)
	if d == nil {
		st, err := c.at(w)
		if err != nil || w.Type.DType != tensor.F32 {
			return -1, errDecline
		}
		return st.buf, nil
	}
	off, err := c.weights.Packed(d, "f32", func(t *tensor.Tensor) ([]byte, error) {
		f, err := floats(t)
		return tensor.AsBytes(f), err
	})
	if err != nil {
		return -1, err
	}
	return c.weightBuf(off, d.Len()*4, d.Name), nil
}

// lowerConvTranspose compiles ConvTranspose.
func lowerConvTranspose(c *Ctx, op, anchor *ir.Op, out *ir.Value) error {
	return c.either(func() error { return lowerConvTransposePlain(c, op, anchor, out) }, func() error {
		if op != anchor {
			return errDecline
		}
		return lowerConvTransposeAny(c, op, out)
	})
}

// lowerConvTransposePlain spreads the input by the strides and convolves it with the flipped kernel.
func lowerConvTransposePlain(c *Ctx, op, anchor *ir.Op, out *ir.Value) error {
	v, err := newPlainConv(c, op, anchor, out)
	if err != nil {
		return err
	}
	if len(anchor.Attrs.Ints("output_shape", nil)) > 0 {
		return errDecline
	}
	wd := c.constOf(anchor.Operands[1])
	if wd == nil {
		return errDecline
	}
	v.c, v.oc = wd.Shape[0], wd.Shape[1]*v.group
	off, err := c.weights.Packed(wd, "flipped", func(t *tensor.Tensor) ([]byte, error) {
		f, err := floats(t)
		if err != nil {
			return nil, err
		}
		return tensor.AsBytes(v.flip(f)), nil
	})
	if err != nil {
		return err
	}
	v.weights = c.weightBuf(off, wd.Len()*4, wd.Name)
	strides := v.s
	before, after, err := v.padsOf(anchor)
	if err != nil {
		return err
	}
	extra := pair(anchor.Attrs.Ints("output_padding", nil), 0)
	for i := range 2 {
		reach := (v.k[i] - 1) * v.d[i]
		before[i], after[i] = reach-before[i], reach-after[i]+extra[i]
		if before[i] < 0 || after[i] < 0 {
			return errDecline
		}
	}
	v.s = [2]int64{1, 1}
	if v.rank == 3 { // the dimension that a one-dimensional convolution lacks
		before[0], after[0] = 0, 0
	}
	if err := v.spread(c, strides, before, after); err != nil {
		return err
	}
	return v.lower(c)
}

// flip turns ConvTranspose weights [C, OC/group, KH, KW] into Conv weights [OC, C/group, KH, KW] of the
// mirrored kernel.
func (v *plainConv) flip(src []float32) []float32 {
	dst := make([]float32, len(src))
	ocg, cg, area := v.oc/v.group, v.c/v.group, v.k[0]*v.k[1]
	for g := range v.group {
		for i := range cg {
			for o := range ocg {
				for a := range area {
					dst[((g*ocg+o)*cg+i)*area+area-1-a] = src[((g*cg+i)*ocg+o)*area+a]
				}
			}
		}
	}
	return dst
}

// spread copies the input into a zeroed scratch with padding around it and step-1 zeros between
// neighbours.
func (v *plainConv) spread(c *Ctx, step, before, after [2]int64) error {
	if min(before[0], before[1], after[0], after[1]) < 0 {
		return errDecline
	}
	h, w := plane(v.x.Type.Shape)
	v.hp = h.AddInt(-1).MulInt(step[0]).AddInt(1 + before[0] + after[0])
	v.wp = w.AddInt(-1).MulInt(step[1]).AddInt(1 + before[1] + after[1])
	if before == [2]int64{} && after == [2]int64{} && step == [2]int64{1, 1} {
		return nil
	}
	ch := v.x.Type.Shape[1]
	p := c.Scratch(ir.TensorType(v.x.Type.DType, v.n, ch, v.hp, v.wp))
	if err := c.fill(v.op, p, zeroOf(v.x.Type.DType)); err != nil {
		return err
	}
	m := &move{dims: []ir.Dim{v.n.Mul(ch), h, w}, from: []ir.Dim{h.Mul(w), w, ir.Const(1)},
		to: []ir.Dim{v.hp.Mul(v.wp), v.wp.MulInt(step[0]), ir.Const(step[1])}, toBase: v.wp.MulInt(before[0]).AddInt(before[1])}
	x := v.x
	v.x = p
	return m.emit(c, v.op, "pad", x, p)
}

func (v *plainConv) lower(c *Ctx) error {
	v.perGroup = v.oc / v.group
	v.ocTile = 1
	for _, t := range []int64{4, 3, 2} {
		if v.perGroup%t == 0 {
			v.ocTile = t
			break
		}
	}
	ins := append(v.body.memInputs(), v.x)
	if v.bias != nil {
		ins = append(ins, v.bias)
	}
	width := 32.0
	if v.ow.IsConst() {
		width = float64(v.ow.Value())
	}
	reduce := v.c / v.group * v.k[0] * v.k[1]
	return c.Kernel(Step{
		Op: v.op, Name: "conv_plain", Ins: ins, Outs: []*ir.Value{v.out}, Par: v.n.MulInt(v.oc / v.ocTile).Mul(v.oh),
		NsPerIter: 5 + width*float64(reduce*v.ocTile)/16, Flops: v.n.Mul(v.oh).Mul(v.ow).MulInt(2 * v.oc * reduce), Bytes: bytesOf(v.x).Add(bytesOf(v.out)),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, v.n, ir.Const(v.oc/v.ocTile), v.oh)
				oc := k.MulInt(co[1], v.ocTile)
				lanes := v.lanes(k)
				vecs := rowVectors / v.ocTile
				wide := int64(lanes) * vecs
				mid := k.MulInt(k.Div(k.Dim(v.ow), k.Int(wide)), wide)
				k.Range(k.Int(0), mid, wide, func(ow *loop.Value) { v.pixels(k, co[0], oc, co[2], ow, lanes, vecs) })
				k.vectorLoop(mid, k.Dim(v.ow), lanes, func(ow *loop.Value, lanes int) { v.pixels(k, co[0], oc, co[2], ow, lanes, 1) })
			})
		},
	})
}

// rowVectors is how many vectors a tile of output channels accumulates at once, to hide the latency of the sums.
const rowVectors = 8

// lanes is the vector width along a row: one for strides that load cannot undo.
func (v *plainConv) lanes(k *K) int {
	if v.s[1] > 2 {
		return 1
	}
	return k.Level.Lanes(4)
}

// load reads the inputs of lanes neighbouring output pixels, the first at index at. With a stride of two they are
// every other element of two vectors, of which the second ends with the last one needed.
func (v *plainConv) load(k *K, at *loop.Value, lanes int) *loop.Value {
	x := k.Load(k.Buf(v.x), at, lanes)
	if v.s[1] == 2 && lanes > 1 {
		pick := make([]int, lanes)
		for i := range pick {
			pick[i] = 2 * i
			if i >= lanes/2 {
				pick[i]++
			}
		}
		x = k.Shuffle(x, k.Load(k.Buf(v.x), k.AddInt(at, int64(lanes-1)), lanes), pick...)
	}
	return k.fromMemory(x, v.x.Type.DType)
}

// pixels computes vecs vectors of neighbouring pixels of ocTile channels.
func (v *plainConv) pixels(k *K, n, oc, oh, ow *loop.Value, lanes int, vecs int64) {
	cg := v.c / v.group
	first := k.MulInt(k.Div(oc, k.Int(v.perGroup)), cg) // first input channel of the group
	area := v.k[0] * v.k[1]
	init := make([]*loop.Value, v.ocTile*vecs)
	for j := range init {
		init[j] = k.Float(loop.Vec(tensor.F32, lanes), 0)
		if v.bias != nil {
			init[j] = k.Broadcast(k.fromMemory(k.Load(k.Buf(v.bias), k.AddInt(oc, int64(j)/vecs), 1), v.bias.Type.DType), lanes)
		}
	}
	col := k.MulInt(ow, v.s[1])
	acc := k.For(k.Int(0), k.Int(cg), 1, init, func(ic *loop.Value, a []*loop.Value) []*loop.Value {
		return k.For(k.Int(0), k.Int(v.k[0]), 1, a, func(kh *loop.Value, a []*loop.Value) []*loop.Value {
			row := k.Add(k.MulInt(oh, v.s[0]), k.MulInt(kh, v.d[0]))
			ch := k.Add(k.MulInt(n, v.c), k.Add(first, ic))
			base := k.Add(k.MulDim(k.Add(k.MulDim(ch, v.hp), row), v.wp), col)
			return k.For(k.Int(0), k.Int(v.k[1]), 1, a, func(kw *loop.Value, a []*loop.Value) []*loop.Value {
				x := make([]*loop.Value, vecs)
				for u := range x {
					x[u] = v.load(k, k.AddInt(k.Add(base, k.MulInt(kw, v.d[1])), int64(u*lanes)*v.s[1]), lanes)
				}
				next := make([]*loop.Value, len(a))
				at := k.Add(k.MulInt(k.Add(k.MulInt(oc, cg), ic), area), k.Add(k.MulInt(kh, v.k[1]), kw))
				for j := range v.ocTile {
					w := k.Broadcast(k.Load(k.WeightBuf(v.weights, tensor.F32), k.AddInt(at, j*cg*area), 1), lanes)
					for u := range vecs {
						next[j*vecs+u] = k.FMA(w, x[u], a[j*vecs+u])
					}
				}
				return next
			})
		})
	})
	for j, r := range acc {
		v.put(k, n, k.AddInt(oc, int64(j)/vecs), oh, k.AddInt(ow, int64(j)%vecs*int64(lanes)), r)
	}
}

// put applies the epilogue to neighbouring pixels of a channel and writes them.
func (v *plainConv) put(k *K, n, oc, oh, ow, r *loop.Value) {
	shape, lanes := v.out.Type.Shape, r.Type.Lanes
	co := []*loop.Value{n, oc, oh, ow}
	if v.rank == 3 {
		co = []*loop.Value{n, oc, ow}
	}
	r = v.body.apply(k, r, lanes, func(e *ir.Value) *loop.Value { return k.LoadAt(e, shape, co, lanes, nil) })
	k.Store(k.Buf(v.out), k.Flatten(co, shape), k.toMemory(r, v.out.Type.DType))
}
