package lower

import (
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
)

// padMaps give the index along a dimension of size n that index p, which may lie outside, repeats.
var padMaps = map[string]func(k *K, p, n *loop.Value) *loop.Value{
	"edge": func(k *K, p, n *loop.Value) *loop.Value {
		return k.MaxIdx(k.MinIdx(p, k.AddInt(n, -1)), k.Int(0))
	},
	"reflect": func(k *K, p, n *loop.Value) *loop.Value {
		p = k.MaxIdx(p, k.Sub(k.Int(0), p))
		return k.MinIdx(p, k.Sub(k.MulInt(k.AddInt(n, -1), 2), p))
	},
	"wrap": func(k *K, p, n *loop.Value) *loop.Value {
		return k.Rem(k.Add(k.Rem(p, n), n), n)
	},
}

// padding is what Pad does to each axis: how much it adds before and after what stays, and how much it cuts
// off before that.
type padding struct{ addLo, addHi, cutLo, cutHi []ir.Dim }

// kept is what stays of a dimension n of axis i.
func (p *padding) kept(n ir.Dim, i int) ir.Dim { return n.Sub(p.cutLo[i]).Sub(p.cutHi[i]) }

func newPadding(rank int) *padding {
	none := func() []ir.Dim { return make([]ir.Dim, rank) }
	return &padding{none(), none(), none(), none()}
}

// set takes the pads of axis i, of which negative ones cut.
func (p *padding) set(i int, lo, hi ir.Dim) {
	zero := ir.Dim{}
	p.addLo[i], p.cutLo[i] = lo.Max(zero), lo.MulInt(-1).Max(zero)
	p.addHi[i], p.cutHi[i] = hi.Max(zero), hi.MulInt(-1).Max(zero)
}

// lowerPad compiles Pad. With a constant value: a fill, then the elements that stay.
func lowerPad(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	mode := op.Attrs.Str("mode", "constant")
	if x.Type.Rank() < 0 || !compiled(x.Type.DType) || mode != "constant" && padMaps[mode] == nil || !canFill(op.Operand(2), out) {
		return errDecline
	}
	p, err := c.padding(op, mode)
	if err != nil {
		return err
	}
	if mode != "constant" {
		return lowerPadMode(c, op, mode, p)
	}
	return c.padConstant(op, op.Operand(2), p)
}

// padConstant emits the steps of padding operand 0 of op with the value v.
func (c *Ctx) padConstant(op *ir.Op, v *ir.Value, p *padding) error {
	x, out := op.Operands[0], op.Results[0]
	if err := c.fillPadding(op, out, v); err != nil {
		return err
	}
	m := &move{from: Strides(x.Type.Shape), to: Strides(out.Type.Shape)}
	for i, d := range x.Type.Shape {
		m.fromBase = m.fromBase.Add(m.from[i].Mul(p.cutLo[i]))
		m.toBase = m.toBase.Add(m.to[i].Mul(p.addLo[i]))
		m.dims = append(m.dims, p.kept(d, i))
	}
	return m.emit(c, op, "pad", x, out)
}

// padding reads the operands of Pad.
func (c *Ctx) padding(op *ir.Op, mode string) (*padding, error) {
	x := op.Operands[0]
	rank := x.Type.Rank()
	p := newPadding(rank)
	axes := make([]int64, rank)
	for i := range axes {
		axes[i] = int64(i)
	}
	pads, ok := c.elems(op.Operands[1])
	if v := op.Operand(3); v != nil && ok {
		axes, ok = c.ints(v)
	}
	if !ok {
		return c.learnPadding(op, mode)
	}
	if len(pads) != 2*len(axes) {
		return nil, errDecline
	}
	for i, a := range axes {
		p.set(axisOf(a, rank), pads[i], pads[len(axes)+i])
	}
	for i, n := range x.Type.Shape {
		if err := c.checkSize(op, p.kept(n, i), 0, "the pads cut more than an axis has"); err != nil {
			return nil, err
		}
		lo, hi := p.addLo[i], p.addHi[i]
		if mode == "constant" || lo.Is(0) && hi.Is(0) {
			continue
		}
		need := ir.Const(1)
		if mode == "reflect" {
			need = lo.Max(hi).AddInt(1)
		}
		if err := c.checkSize(op, p.kept(n, i).Sub(need), 0, "the size of an axis padded in mode "+mode); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// learnPadding reads pads and axes at run time.
func (c *Ctx) learnPadding(op *ir.Op, mode string) (*padding, error) {
	x, pads, axes, out := op.Operands[0], op.Operands[1], op.Operand(3), op.Results[0]
	rank := x.Type.Rank()
	if !isIndex(pads) || pads.Type.Rank() != 1 || axes != nil && (!isIndex(axes) || axes.Type.Rank() != 1) {
		return nil, errDecline
	}
	ins, count := []*ir.Value{pads}, pads.Type.Shape[0].Div(ir.Const(2))
	if axes != nil {
		ins = append(ins, axes)
	}
	p := &padding{c.newSyms(rank), c.newSyms(rank), c.newSyms(rank), c.newSyms(rank)}
	dims := slices.Concat(p.addLo, p.addHi, p.cutLo, p.cutHi, out.Type.Shape)
	err := c.learn(learning{op: op, ins: ins, dims: dims, fault: "its pads ask for a cut or a reflection of more than there is", build: func(k *K) ([]*loop.Value, *loop.Value) {
		zero := k.Int(0)
		init := make([]*loop.Value, 2*rank+1) // low and high pads, faults
		for i := range init {
			init[i] = zero
		}
		n := k.Dim(count)
		got := k.For(zero, n, 1, init, func(i *loop.Value, a []*loop.Value) []*loop.Value {
			axis, bad := i, k.flag(k.Cmp(loop.GE, i, k.Int(int64(rank))))
			if axes != nil {
				axis, bad = k.axisParam(axes, i, rank)
			}
			lo, hi := k.paramAt(pads, i), k.paramAt(pads, k.Add(n, i))
			next := make([]*loop.Value, 2*rank, 2*rank+1)
			for d := range rank {
				here := k.Cmp(loop.EQ, axis, k.Int(int64(d)))
				next[d], next[rank+d] = k.Select(here, lo, a[d]), k.Select(here, hi, a[rank+d])
			}
			return append(next, k.Add(a[2*rank], bad))
		})
		faults := k.Add(got[2*rank], k.flag(k.Cmp(loop.NE, k.MulInt(n, 2), k.Dim(pads.Type.Shape[0]))))
		if axes != nil {
			faults = k.Add(faults, k.flag(k.Cmp(loop.NE, n, k.Dim(axes.Type.Shape[0]))))
		} else {
			faults = k.Add(faults, k.flag(k.Cmp(loop.NE, n, k.Int(int64(rank)))))
		}
		part := make([][]*loop.Value, 5)
		for d, size := range x.Type.Shape {
			lo, hi := got[d], got[rank+d]
			add := []*loop.Value{k.MaxIdx(lo, zero), k.MaxIdx(hi, zero)}
			cut := []*loop.Value{k.MaxIdx(k.Sub(zero, lo), zero), k.MaxIdx(k.Sub(zero, hi), zero)}
			kept := k.Sub(k.Sub(k.Dim(size), cut[0]), cut[1])
			faults = k.Add(faults, k.flag(k.Cmp(loop.LT, kept, padNeed(k, mode, add))))
			for j, v := range []*loop.Value{add[0], add[1], cut[0], cut[1], k.MaxIdx(k.Add(kept, k.Add(add[0], add[1])), zero)} {
				part[j] = append(part[j], v)
			}
		}
		return slices.Concat(part...), faults
	}})
	return p, err
}

// padNeed is how much of an axis must stay for what is added to it.
func padNeed(k *K, mode string, add []*loop.Value) *loop.Value {
	most := k.MaxIdx(add[0], add[1])
	switch mode {
	case "constant":
		return k.Int(0)
	case "reflect":
		return k.Select(k.Cmp(loop.GT, most, k.Int(0)), k.AddInt(most, 1), k.Int(0))
	}
	return k.MinIdx(most, k.Int(1))
}

// lowerPadMode compiles the padding modes that repeat elements of the tensor, of what stays of it.
func lowerPadMode(c *Ctx, op *ir.Op, mode string, p *padding) error {
	x, out := op.Operands[0], op.Results[0]
	source := padMaps[mode]
	last := -1 // the innermost padded axis
	for i := range x.Type.Shape {
		if !(p.addLo[i].Is(0) && p.addHi[i].Is(0) && p.cutLo[i].Is(0) && p.cutHi[i].Is(0)) {
			last = i
		}
	}
	if last < 0 {
		return c.copy(op, x, out)
	}
	from, dims := Strides(x.Type.Shape), out.Type.Shape
	inner := ir.Product(dims[last+1:])
	// at is the place along axis d of the element that stands at e in the result.
	at := func(k *K, d int, e *loop.Value) *loop.Value {
		q := source(k, k.Sub(e, k.Dim(p.addLo[d])), k.Dim(p.kept(x.Type.Shape[d], d)))
		return k.Add(q, k.Dim(p.cutLo[d]))
	}
	// origin is where the row at coordinates co of the first axes begins.
	origin := func(k *K, co []*loop.Value) *loop.Value {
		o := k.Int(0)
		for d, e := range co {
			o = k.Add(o, k.MulDim(at(k, d, e), from[d]))
		}
		return o
	}
	s := Step{Op: op, Name: "pad_" + mode, Ins: []*ir.Value{x}, Outs: []*ir.Value{out}, Bytes: bytesOf(out).MulInt(2)}
	if !inner.Is(1) {
		s.Par, s.NsPerIter = ir.Product(dims[:last+1]), perChunk(inner, 0.1)
		s.Build = func(k *K) {
			k.Parallel(func(i *loop.Value) {
				k.copyRow(x, out, origin(k, k.Unflatten(i, dims[:last+1]...)), k.MulDim(i, inner), inner)
			})
		}
		return c.Kernel(s)
	}
	width, n := dims[last], p.kept(x.Type.Shape[last], last)
	s.Par, s.NsPerIter = ir.Product(dims[:last]), perChunk(width, 0.2)
	s.Build = func(k *K) {
		k.Parallel(func(i *loop.Value) {
			base := k.Int(0)
			if last > 0 {
				base = origin(k, k.Unflatten(i, dims[:last]...))
			}
			row := k.MulDim(i, width)
			border := func(lo, hi *loop.Value) {
				k.Range(lo, hi, 1, func(e *loop.Value) {
					k.Store(k.Buf(out), k.Add(row, e), k.Load(k.Buf(x), k.Add(base, at(k, last, e)), 1))
				})
			}
			lo, hi := k.Dim(p.addLo[last]), k.Dim(p.addLo[last].Add(n))
			shift := k.Dim(p.cutLo[last].Sub(p.addLo[last]))
			border(k.Int(0), lo)
			k.vectorLoop(lo, hi, k.Level.Lanes(x.Type.DType.Size()), func(e *loop.Value, lanes int) {
				k.Store(k.Buf(out), k.Add(row, e), k.Load(k.Buf(x), k.Add(base, k.Add(e, shift)), lanes))
			})
			border(hi, k.Dim(width))
		})
	}
	return c.Kernel(s)
}

// canFill reports whether fillPadding can set out to v.
func canFill(v, out *ir.Value) bool {
	return v == nil || v.Type.DType == out.Type.DType && v.Type.Ranked && ir.Product(v.Type.Shape).Is(1)
}

// lowerCenterCropPad cuts or pads around the centre.
func lowerCenterCropPad(c *Ctx, op *ir.Op) error {
	x, target, out := op.Operands[0], op.Operands[1], op.Results[0]
	rank := x.Type.Rank()
	if rank < 0 || !compiled(x.Type.DType) || !isIndex(target) {
		return errDecline
	}
	axes := op.Attrs.Ints("axes", nil)
	if axes == nil {
		for i := range rank {
			axes = append(axes, int64(i))
		}
	}
	var dims []ir.Dim
	for _, a := range axes {
		dims = append(dims, out.Type.Shape[axisOf(a, rank)])
	}
	if !c.known(target) {
		if !ir.Product(target.Type.Shape).Is(int64(len(axes))) {
			return errDecline
		}
		if err := c.learnShape(op, target, dims); err != nil {
			return err
		}
	}
	p, two := newPadding(rank), ir.Const(2)
	for i, a := range axes {
		d := axisOf(a, rank)
		n := x.Type.Shape[d]
		cut, add := n.Sub(dims[i]).Max(ir.Dim{}), dims[i].Sub(n).Max(ir.Dim{})
		p.cutLo[d], p.addLo[d] = cut.Div(two), add.Div(two)
		p.cutHi[d], p.addHi[d] = cut.Sub(p.cutLo[d]), add.Sub(p.addLo[d])
	}
	return c.padConstant(op, nil, p)
}

// fillPadding sets all of out to the value v of Pad: a constant, computed at run time, or 0 if absent.
func (c *Ctx) fillPadding(op *ir.Op, out, v *ir.Value) error {
	switch d := c.constOf(v); {
	case v == nil:
		return c.fill(op, out, zeroOf(out.Type.DType))
	case d != nil && d.Len() == 1:
		return c.fill(op, out, d)
	}
	return c.fillFrom(op, out, v)
}

// fillFrom emits a step that sets all of out to the only element of v.
func (c *Ctx) fillFrom(op *ir.Op, out, v *ir.Value) error {
	n := ir.Product(out.Type.Shape)
	return c.Kernel(Step{
		Op: op, Name: "fill", Ins: []*ir.Value{v}, Outs: []*ir.Value{out}, Par: n.CeilDiv(elemChunk), NsPerIter: 300, Bytes: bytesOf(out),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				x := k.Load(k.Buf(v), k.Int(0), 1)
				lo, hi := k.chunkRange(i, ir.Const(elemChunk), n)
				k.vectorLoop(lo, hi, k.Level.Lanes(out.Type.DType.Size()), func(e *loop.Value, lanes int) {
					k.Store(k.Buf(out), e, k.Broadcast(x, lanes))
				})
			})
		},
	})
}
