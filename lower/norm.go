package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
)

// rowNorm normalises rows of n neighbouring elements: (x-mean)/sqrt(var+epsilon), or without the mean
// x/sqrt(mean square+epsilon), then scale and bias, which belong to the elements of a row or to channels.
type rowNorm struct {
	op          *ir.Op
	x, out      *ir.Value
	rows, n     ir.Dim
	centre      bool
	eps         float64
	mean, inv   *ir.Value // results, nil where not wanted
	scale, bias *ir.Value // bias nil for none
	// perRow is how many of the channels a row has, of pixels elements each; 0 where scale and bias belong
	// to elements.
	perRow, channels, pixels ir.Dim
	// whole: scale and bias have as many elements as x.
	wholeScale, wholeBias bool
}

func normRules() map[string]rule {
	return map[string]rule{"MeanVarianceNormalization": expandMVN, "LpNormalization": expandLpNorm, "GlobalLpPool": expandGlobalLpPool, "BatchNormalization": expandBatchNorm,
		"LayerNormalization": lowerLayerNorm, "RMSNormalization": lowerLayerNorm, "InstanceNormalization": lowerGroupNorm, "GroupNormalization": lowerGroupNorm, "LRN": lowerLRN,
		"ChannelNorm": lowerChannelNorm, "BlockedChannelNorm": lowerChannelNorm}
}

// lowerLayerNorm compiles LayerNormalization and RMSNormalization, over the dimensions from axis on.
func lowerLayerNorm(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	if x.Type.Rank() < 1 || !compiled(x.Type.DType) || !x.Type.DType.IsFloat() {
		return errDecline
	}
	axis := axisOf(op.Attrs.Int("axis", -1), x.Type.Rank())
	r := &rowNorm{op: op, x: x, out: out, rows: ir.Product(x.Type.Shape[:axis]), n: ir.Product(x.Type.Shape[axis:]), eps: op.Attrs.Float("epsilon", 1e-5)}
	if op.Info.Name == "LayerNormalization" {
		r.centre, r.mean, r.inv = true, op.Result(1), op.Result(2)
	} else {
		r.inv = op.Result(1)
	}
	var err error
	if r.scale, r.wholeScale, err = r.affine(c, op.Operands[1], axis); err != nil {
		return err
	}
	if v := op.Operand(2); v != nil {
		if r.bias, r.wholeBias, err = r.affine(c, v, axis); err != nil {
			return err
		}
	}
	return r.lower(c)
}

// affine gives v with the shape of a row, or of all of x where its rows differ.
func (r *rowNorm) affine(c *Ctx, v *ir.Value, axis int) (_ *ir.Value, whole bool, err error) {
	if !v.Type.Ranked || !compiled(v.Type.DType) || !v.Type.DType.IsFloat() {
		return nil, false, errDecline
	}
	shape, want := v.Type.Shape, r.x.Type.Shape
	for len(shape) > 0 && shape[0].Is(1) {
		shape = shape[1:]
	}
	if len(shape) <= len(want)-axis {
		want = want[axis:]
	} else {
		whole = true
	}
	if ir.Product(shape).Equal(ir.Product(want)) {
		return v, whole, nil
	}
	from, err := c.broadcastStrides(r.op, shape, want)
	if err != nil {
		return nil, false, err
	}
	wide := c.Scratch(ir.TensorType(v.Type.DType, want...))
	m := &move{dims: want, from: from, to: Strides(want)}
	return wide, whole, m.emit(c, r.op, "expand", v, wide)
}

// lowerGroupNorm compiles InstanceNormalization and GroupNormalization: a row is the pixels of the
// channels of a group.
func lowerGroupNorm(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	if x.Type.Rank() < 2 || !compiled(x.Type.DType) || !x.Type.DType.IsFloat() {
		return errDecline
	}
	n, channels := x.Type.Shape[0], x.Type.Shape[1]
	groups, perRow := channels, ir.Const(1)
	if op.Info.Name == "GroupNormalization" {
		groups = ir.Const(op.Attrs.Int("num_groups", 0))
		if groups.Value() < 1 {
			return errDecline
		}
		perRow = channels.Div(groups)
		c.checkEqual(op, channels.Mod(groups), ir.Dim{}, "the rest of channels divided by groups, and 0,")
	}
	r := &rowNorm{op: op, x: x, out: out, rows: n.Mul(groups), pixels: ir.Product(x.Type.Shape[2:]), channels: channels, perRow: perRow, centre: true,
		eps: op.Attrs.Float("epsilon", 1e-5), scale: op.Operands[1], bias: op.Operands[2]}
	r.n = perRow.Mul(r.pixels)
	for _, v := range []*ir.Value{r.scale, r.bias} {
		if v.Type.Rank() != 1 || !compiled(v.Type.DType) || !v.Type.DType.IsFloat() {
			return errDecline
		}
		c.checkEqual(op, v.Type.Shape[0], channels, "the number of channels and the size of scale or bias")
	}
	return r.lower(c)
}

func (r *rowNorm) lower(c *Ctx) error {
	ins := []*ir.Value{r.x, r.scale}
	if r.bias != nil {
		ins = append(ins, r.bias)
	}
	outs := []*ir.Value{r.out}
	for _, v := range []*ir.Value{r.mean, r.inv} {
		if v != nil {
			outs = append(outs, v)
		}
	}
	ns := 500.0
	if r.n.IsConst() {
		ns = 20 + float64(r.n.Value())/4
	}
	return c.Kernel(Step{
		Op: r.op, Name: "norm", Ins: ins, Outs: outs, Par: r.rows, NsPerIter: ns, Flops: ir.Product(r.x.Type.Shape).MulInt(8), Bytes: bytesOf(r.x).MulInt(2),
		Build: func(k *K) { k.Parallel(func(i *loop.Value) { r.row(k, i) }) },
	})
}

// row normalises row i.
func (r *rowNorm) row(k *K, i *loop.Value) {
	ct := computeType(r.x.Type.DType)
	s := &softmaxRow{K: k, x: r.x, out: r.out, n: k.Dim(r.n), stride: ir.Const(1), base: k.MulDim(i, r.n)}
	count := k.Convert(k.MaxIdx(k.Dim(r.n), k.Int(1)), ct) // moments of nothing are 0
	var mean *loop.Value
	centred := func(at *loop.Value, lanes int) *loop.Value {
		if mean == nil {
			return s.load(at, lanes)
		}
		return k.Sub(s.load(at, lanes), k.Broadcast(mean, lanes))
	}
	if r.centre {
		mean = k.Div(s.each(loop.OpAdd, 0, s.load), count)
	}
	square := k.Div(s.each(loop.OpAdd, 0, func(at *loop.Value, lanes int) *loop.Value {
		d := centred(at, lanes)
		return k.Mul(d, d)
	}), count)
	inv := k.Div(k.num(square, 1), k.Unary(loop.OpSqrt, k.Add(square, k.num(square, r.eps))))
	stash := func(v *ir.Value, x *loop.Value) {
		if v != nil {
			k.Store(k.Buf(v), i, k.toMemory(k.Convert(x, computeType(v.Type.DType)), v.Type.DType))
		}
	}
	stash(r.mean, mean)
	stash(r.inv, inv)
	normal := func(at *loop.Value, lanes int) *loop.Value { return k.Mul(centred(at, lanes), k.Broadcast(inv, lanes)) }
	if r.perRow.Is(0) {
		r.elements(k, s, normal)
	} else {
		r.byChannel(k, i, s, normal)
	}
}

// param reads elements of scale or bias in the type of the computation.
func (r *rowNorm) param(k *K, v *ir.Value, at *loop.Value, lanes int) *loop.Value {
	return k.Convert(k.fromMemory(k.Load(k.Buf(v), at, lanes), v.Type.DType), computeType(r.x.Type.DType))
}

func (r *rowNorm) elements(k *K, s *softmaxRow, normal func(at *loop.Value, lanes int) *loop.Value) {
	k.vectorLoop(k.Int(0), s.n, k.Level.Lanes(4), func(e *loop.Value, lanes int) {
		at := k.Add(s.base, e)
		of := func(whole bool) *loop.Value {
			if whole {
				return at
			}
			return e
		}
		y := k.Mul(normal(at, lanes), r.param(k, r.scale, of(r.wholeScale), lanes))
		if r.bias != nil {
			y = k.Add(y, r.param(k, r.bias, of(r.wholeBias), lanes))
		}
		k.Store(k.Buf(r.out), at, k.toMemory(y, r.out.Type.DType))
	})
}

func (r *rowNorm) byChannel(k *K, i *loop.Value, s *softmaxRow, normal func(at *loop.Value, lanes int) *loop.Value) {
	first := k.Rem(k.MulDim(i, r.perRow), k.Dim(r.channels))
	k.Range(k.Int(0), k.Dim(r.perRow), 1, func(ch *loop.Value) {
		scale, bias := r.param(k, r.scale, k.Add(first, ch), 1), r.param(k, r.bias, k.Add(first, ch), 1)
		base := k.Add(s.base, k.MulDim(ch, r.pixels))
		k.vectorLoop(k.Int(0), k.Dim(r.pixels), k.Level.Lanes(4), func(e *loop.Value, lanes int) {
			at := k.Add(base, e)
			y := k.FMA(normal(at, lanes), k.Broadcast(scale, lanes), k.Broadcast(bias, lanes))
			k.Store(k.Buf(r.out), at, k.toMemory(y, r.out.Type.DType))
		})
	})
}

// lowerLRN compiles local response normalisation across channels.
func lowerLRN(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	d := x.Type.DType
	ct := computeType(d)
	if !compiled(d) || !loop.MathSupported("Pow", ct) || x.Type.Rank() < 2 {
		return errDecline
	}
	size := op.Attrs.Int("size", 1)
	alpha, beta, bias := op.Attrs.Float("alpha", 1e-4), op.Attrs.Float("beta", 0.75), op.Attrs.Float("bias", 1)
	n, ch, pixels := x.Type.Shape[0], x.Type.Shape[1], ir.Product(x.Type.Shape[2:])
	return c.Kernel(Step{
		Op: op, Name: "lrn", Ins: []*ir.Value{x}, Outs: []*ir.Value{out}, Par: n.Mul(ch), NsPerIter: 5000, Bytes: bytesOf(x).MulInt(2),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, n, ch)
				lo := k.MaxIdx(k.AddInt(co[1], -(size-1)/2), k.Int(0))
				hi := k.MinIdx(k.AddInt(co[1], size/2+1), k.Dim(ch))
				image := k.MulDim(co[0], ch)
				k.vectorLoop(k.Int(0), k.Dim(pixels), k.Level.Lanes(4), func(p *loop.Value, lanes int) {
					load := func(ch *loop.Value) *loop.Value {
						return k.fromMemory(k.Load(k.Buf(x), k.Add(k.MulDim(k.Add(image, ch), pixels), p), lanes), d)
					}
					zero := k.Float(loop.Vec(ct, lanes), 0)
					sum := k.For(lo, hi, 1, []*loop.Value{zero}, func(q *loop.Value, a []*loop.Value) []*loop.Value {
						v := load(q)
						return []*loop.Value{k.FMA(v, v, a[0])}
					})
					den := k.Pow(k.FMA(sum[0], k.num(zero, alpha/float64(size)), k.num(zero, bias)), k.num(zero, beta))
					k.Store(k.Buf(out), k.Add(k.MulDim(i, pixels), p), k.toMemory(k.Div(load(co[1]), den), d))
				})
			})
		},
	})
}
