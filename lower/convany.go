package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
)

// convAny is a convolution of any rank, element type and sizes, weights included: what the faster ones
// decline. A tile of output channels shares each load of the input.
type convAny struct {
	*spatial
	op       *ir.Op
	x, w     *ir.Value
	bias     *ir.Value // nil for none
	out      *ir.Value
	n        ir.Dim
	group    int64
	cg, ocg  ir.Dim // channels of a group: of the input and the output
	tile     int64  // divides ocg
	taps     ir.Dim // of the kernel
	oc, ic   ir.Dim // strides of the weights by channel of a group
	perGroup ir.Dim // and by group
	flip     bool   // the kernel is mirrored
}

// lowerConvAny compiles Conv.
func lowerConvAny(c *Ctx, op *ir.Op, out *ir.Value) error {
	v, err := newConvAny(op, out)
	if err != nil {
		return err
	}
	xs, ws := v.x.Type.Shape, v.w.Type.Shape
	if v.spatial, err = newSpatial(op, xs[2:], out.Type.Shape[2:], ws[2:]); err != nil {
		return err
	}
	v.cg, v.ocg = ws[1], ws[0].Div(ir.Const(v.group))
	v.ic, v.oc, v.perGroup = v.taps, v.cg.Mul(v.taps), v.ocg.Mul(v.cg).Mul(v.taps)
	c.checkEqual(op, v.ocg.MulInt(v.group), ws[0], "the number of output channels and a multiple of the groups")
	c.checkEqual(op, xs[1], ws[1].MulInt(v.group), "the numbers of input channels of data and weights")
	return v.lower(c)
}

func newConvAny(op *ir.Op, out *ir.Value) (*convAny, error) {
	v := &convAny{op: op, x: op.Operands[0], w: op.Operands[1], bias: op.Operand(2), out: out, group: op.Attrs.Int("group", 1)}
	if v.x.Type.Rank() < 3 || v.w.Type.Rank() != v.x.Type.Rank() || !compiled(v.x.Type.DType) || !v.x.Type.DType.IsFloat() || v.w.Type.DType != v.x.Type.DType {
		return nil, errDecline
	}
	v.n, v.taps = v.x.Type.Shape[0], ir.Product(v.w.Type.Shape[2:])
	return v, nil
}

// lowerConvTransposeAny compiles ConvTranspose: the input, spread by the strides, convolved with the mirrored kernel.
func lowerConvTransposeAny(c *Ctx, op *ir.Op, out *ir.Value) error {
	v, err := newConvAny(op, out)
	if err != nil {
		return err
	}
	xs, ws := v.x.Type.Shape, v.w.Type.Shape
	s, err := newSpatial(&ir.Op{Info: op.Info, Attrs: ir.Attrs{"strides": op.Attrs["strides"], "dilations": op.Attrs["dilations"]}}, xs[2:], out.Type.Shape[2:], ws[2:])
	if err != nil {
		return err
	}
	if err := s.transpose(op); err != nil {
		return err
	}
	v.spatial, v.flip = s, true
	v.cg, v.ocg = ws[0].Div(ir.Const(v.group)), ws[1]
	v.oc, v.ic, v.perGroup = v.taps, v.ocg.Mul(v.taps), v.cg.Mul(v.ocg).Mul(v.taps)
	c.checkEqual(op, xs[1], ws[0], "the numbers of input channels of data and weights")
	if err := v.spread(c); err != nil {
		return err
	}
	return v.lower(c)
}

// transpose turns the padding of a transposed convolution into that of the convolution which it is. Where
// the output's size is given, the padding follows from it.
func (s *spatial) transpose(op *ir.Op) error {
	n := len(s.in)
	pads, err := intsOr(op, "pads", 2*n, 0)
	if err != nil {
		return err
	}
	extra, err := intsOr(op, "output_padding", n, 0)
	if err != nil {
		return err
	}
	auto := op.Attrs.Str("auto_pad", "NOTSET")
	for i := range n {
		before := ir.Const(pads[i])
		switch {
		case len(op.Attrs.Ints("output_shape", nil)) > 0 || auto == "SAME_UPPER" || auto == "SAME_LOWER":
			full := s.in[i].AddInt(-1).MulInt(s.stride[i]).AddInt(extra[i]).Add(s.extent(i))
			total := full.Sub(s.out[i]).Max(ir.Dim{})
			before = total.Div(ir.Const(2))
			if auto != "SAME_UPPER" {
				before = total.Sub(before)
			}
		case auto == "VALID":
			before = ir.Dim{}
		}
		s.before[i] = s.extent(i).AddInt(-1).Sub(before)
		s.after[i] = ir.Const(1) // not known to be inside
	}
	return nil
}

// spread puts stride-1 zeros between the elements of the input.
func (v *convAny) spread(c *Ctx) error {
	stride := v.stride
	v.stride = make([]int64, len(stride))
	same := true
	for i, s := range stride {
		v.stride[i], same = 1, same && s == 1
	}
	if same {
		return nil
	}
	xs := v.x.Type.Shape
	m := &move{dims: append([]ir.Dim{v.n.Mul(xs[1])}, v.in...)}
	wide := make([]ir.Dim, len(v.in))
	for i, d := range v.in {
		wide[i] = d.AddInt(-1).MulInt(stride[i]).AddInt(1).Max(ir.Dim{})
	}
	m.from, m.to = Strides(m.dims), Strides(append([]ir.Dim{m.dims[0]}, wide...))
	for i, s := range stride {
		m.to[i+1] = m.to[i+1].MulInt(s)
	}
	t := c.Scratch(ir.TensorType(v.x.Type.DType, append([]ir.Dim{xs[0], xs[1]}, wide...)...))
	if err := c.fill(v.op, t, zeroOf(v.x.Type.DType)); err != nil {
		return err
	}
	x := v.x
	v.x, v.in = t, wide
	return m.emit(c, v.op, "spread", x, t)
}

func (v *convAny) lower(c *Ctx) error {
	v.tile = 1
	if v.ocg.IsConst() {
		for _, t := range []int64{4, 3, 2} {
			if v.ocg.Value()%t == 0 {
				v.tile = t
				break
			}
		}
	}
	ins := []*ir.Value{v.x, v.w}
	if v.bias != nil {
		ins = append(ins, v.bias)
	}
	tiles := v.ocg.Div(ir.Const(v.tile))
	work := v.cg.Mul(v.taps)
	return c.Kernel(Step{
		Op: v.op, Name: "conv_any", Ins: ins, Outs: []*ir.Value{v.out}, Par: v.n.MulInt(v.group).Mul(tiles).Mul(v.rows()), NsPerIter: 2000,
		Flops: ir.Product(v.out.Type.Shape).Mul(work).MulInt(2), Bytes: bytesOf(v.x).Add(bytesOf(v.out)),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, v.n, ir.Const(v.group), tiles, v.rows())
				v.row(k, co[3], k.Level.Lanes(computeType(v.x.Type.DType).Size()), func(p place) { v.pixels(k, co[0], co[1], k.MulInt(co[2], v.tile), p) })
			})
		},
	})
}

// pixels computes tile channels from oc of group g on at a place of image n.
func (v *convAny) pixels(k *K, n, g, oc *loop.Value, p place) {
	d := v.x.Type.DType
	first := k.Add(k.MulDim(g, v.ocg), oc) // output channel
	init := make([]*loop.Value, v.tile)
	for j := range init {
		init[j] = k.Bits(loop.Vec(computeType(d), p.lanes), 0)
		if v.bias != nil {
			init[j] = k.Broadcast(k.fromMemory(k.Load(k.Buf(v.bias), k.AddInt(first, int64(j)), 1), v.bias.Type.DType), p.lanes)
		}
	}
	weights := k.Add(k.MulDim(g, v.perGroup), k.MulDim(oc, v.oc))
	if v.flip {
		weights = k.Add(weights, k.Dim(v.taps.AddInt(-1)))
	}
	plane := k.MulDim(k.Add(k.MulInt(n, v.group), g), v.cg)
	size := ir.Product(v.in)
	sums := k.For(k.Int(0), k.Dim(v.cg), 1, init, func(ic *loop.Value, acc []*loop.Value) []*loop.Value {
		from, at := k.MulDim(k.Add(plane, ic), size), k.Add(weights, k.MulDim(ic, v.ic))
		return v.spatial.taps(k, p, acc, func(i, tap *loop.Value, acc []*loop.Value) []*loop.Value {
			x := k.fromMemory(k.Load(k.Buf(v.x), k.Add(from, i), p.lanes), d)
			if v.flip {
				tap = k.Sub(k.Int(0), tap)
			}
			next := make([]*loop.Value, len(acc))
			for j := range next {
				w := k.Load(k.Buf(v.w), k.Add(k.Add(at, tap), k.MulDim(k.Int(int64(j)), v.oc)), 1)
				next[j] = k.FMA(k.Broadcast(k.fromMemory(w, d), p.lanes), x, acc[j])
			}
			return next
		})
	})
	channels := v.ocg.MulInt(v.group)
	for j, r := range sums {
		ch := k.Add(k.MulDim(n, channels), k.AddInt(first, int64(j)))
		k.Store(k.Buf(v.out), k.Add(k.MulDim(ch, ir.Product(v.spatial.out)), v.flat(k, p)), k.toMemory(r, d))
	}
}
