package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// dft is a DFT of an operand [outer, have, inner, parts] to [outer, bins, inner, 1 or 2], or an STFT: what
// is transformed is first gathered as rows of length numbers, which fft transforms.
type dft struct {
	c                   *Ctx
	op                  *ir.Op
	x, out              *ir.Value
	outer, have, inner  ir.Dim
	length, bins, parts ir.Dim
	inverse, half       bool
}

// newDFT reads what does not depend on the axis.
func newDFT(c *Ctx, op *ir.Op) (*dft, error) {
	f := &dft{c: c, op: op, x: op.Operands[0], out: op.Results[0], parts: ir.Const(1)}
	if f.x.Type.Rank() < 2 || !isFloat(f.x.Type.DType) {
		return nil, errDecline
	}
	return f, nil
}

// setParts notes whether numbers are complex, from the last dimension of the operand.
func (f *dft) setParts(d ir.Dim) error {
	f.parts = d
	if !d.Is(1) && !d.Is(2) {
		return errDecline
	}
	return nil
}

func lowerDFT(c *Ctx, op *ir.Op) error {
	f, err := newDFT(c, op)
	if err != nil {
		return err
	}
	x := f.x.Type.Shape
	rank := len(x)
	f.inverse, f.half = op.Attrs.Int("inverse", 0) != 0, op.Attrs.Int("onesided", 0) != 0
	if err := f.setParts(x[rank-1]); err != nil {
		return err
	}
	axis := int64(-2)
	if v := op.Operand(2); v != nil {
		a, ok := c.ints(v)
		if !ok || len(a) != 1 {
			return f.anyAxis()
		}
		axis = a[0]
	}
	a := axisOf(axis, rank)
	f.outer, f.have, f.inner = ir.Product(x[:a]), x[a], ir.Product(x[a+1:rank-1])
	f.bins, f.length = f.out.Type.Shape[a], f.usualLength()
	if v := op.Operand(1); v != nil {
		if f.length, err = c.scalarDim(op, v, f.bins, 0, "dft_length"); err != nil {
			return err
		}
	}
	return f.run(f.load)
}

// usualLength is the length of the transform where none is given.
func (f *dft) usualLength() ir.Dim {
	if f.half && f.inverse {
		return f.have.AddInt(-1).MulInt(2)
	}
	return f.have
}

// scalarDim gives the dimension that an integer scalar holds; where it is data, the unknown symbol of
// bound stands for it, and is bound to it.
func (c *Ctx) scalarDim(op *ir.Op, v *ir.Value, bound ir.Dim, least int64, what string) (ir.Dim, error) {
	if e, ok := c.elems(v); ok && len(e) == 1 {
		return e[0], nil
	}
	sym := c.unboundIn(bound)
	if sym == "" || !isIndex(v) || !ir.Product(v.Type.Shape).Is(1) {
		return ir.Dim{}, errDecline
	}
	d := ir.Sym(sym)
	return d, c.bindDims(op, v, []ir.Dim{d}, least, what)
}

// anyAxis compiles a DFT whose axis is data: a kernel finds the sizes.
func (f *dft) anyAxis() error {
	axis, length := f.op.Operands[2], f.op.Operand(1)
	rank := int64(f.x.Type.Rank())
	if !isIndex(axis) || !ir.Product(axis.Type.Shape).Is(1) || length != nil && (!isIndex(length) || !ir.Product(length.Type.Shape).Is(1)) {
		return errDecline
	}
	sym := f.c.M.NewSym
	static := f.lengths()
	f.outer, f.have, f.inner, f.length, f.bins = sym(), sym(), sym(), sym(), sym()
	dims := append([]ir.Dim{f.outer, f.have, f.inner, f.length, f.bins}, f.out.Type.Shape[:rank-1]...)
	found, bad := f.c.Scratch(ir.TensorType(tensor.I64, ir.Const(int64(len(dims))))), f.c.Scratch(ir.TensorType(tensor.I64))
	ins := []*ir.Value{axis}
	if length != nil {
		ins = append(ins, length)
	}
	err := f.c.Kernel(Step{
		Op: f.op, Name: "dft_sizes", Ins: ins, Outs: append([]*ir.Value{found, bad}, static...), Par: ir.Const(1), NsPerIter: 50,
		Build: func(k *K) {
			k.Parallel(func(*loop.Value) {
				a := k.loadIndex(axis, k.Int(0), 1, ir.Const(rank))
				for i, v := range static {
					k.Store(k.Buf(v), k.Int(0), k.toMemory(k.Cmp(loop.EQ, a, k.Int(int64(i))), tensor.Bool))
				}
				// The last axis is that of real and imaginary part.
				ok := k.And(k.Cmp(loop.GE, a, k.Int(0)), k.Cmp(loop.LT, a, k.Int(rank-1)))
				k.Store(k.Buf(bad), k.Int(0), k.Select(ok, k.Int(0), k.Int(1)))
				outer, have, inner := k.Int(1), k.Int(0), k.Int(1)
				for i := range rank - 1 {
					d, at := k.Dim(f.x.Type.Shape[i]), k.Int(i)
					outer = k.Select(k.Cmp(loop.LT, at, a), k.Mul(outer, d), outer)
					have = k.Select(k.Cmp(loop.EQ, at, a), d, have)
					inner = k.Select(k.Cmp(loop.GT, at, a), k.Mul(inner, d), inner)
				}
				n := have
				if length != nil {
					n = k.Convert(k.Load(k.Buf(length), k.Int(0), 1), tensor.I64)
				} else if f.half && f.inverse {
					n = k.MulInt(k.AddInt(have, -1), 2)
				}
				bins := n
				if f.half && !f.inverse {
					bins = k.AddInt(k.Div(n, k.Int(2)), 1)
				}
				sizes := []*loop.Value{outer, have, inner, n, bins}
				for i := range rank - 1 {
					sizes = append(sizes, k.Select(k.Cmp(loop.EQ, k.Int(i), a), bins, k.Dim(f.x.Type.Shape[i])))
				}
				for i, v := range sizes {
					k.Store(k.Buf(found), k.Int(int64(i)), v)
				}
			})
		},
	})
	if err != nil {
		return err
	}
	if err := f.c.checkFaults(f.op, bad, "the axis is out of range"); err != nil {
		return err
	}
	if err := f.c.bindDims(f.op, found, dims, 0, "sizes of the result"); err != nil {
		return err
	}
	if static != nil {
		return f.eachAxis(static)
	}
	return f.run(f.load)
}

// lengths gives a flag for each axis that might be meant, where the length of the transform along each is
// known; else nil.
func (f *dft) lengths() (flags []*ir.Value) {
	x := f.x.Type.Shape
	if length := f.op.Operand(1); length != nil {
		if _, ok := f.c.ints(length); !ok {
			return nil
		}
	}
	for _, d := range x[:len(x)-1] {
		if !d.IsConst() {
			return nil
		}
		flags = append(flags, f.c.Scratch(ir.TensorType(tensor.Bool)))
	}
	return flags
}

// eachAxis emits a transform for each axis, of which the one runs whose flag is set.
func (f *dft) eachAxis(flags []*ir.Value) error {
	x := f.x.Type.Shape
	rank := len(x)
	var ends []int
	for a, flag := range flags {
		ref, err := f.c.ref(flag)
		if err != nil {
			return f.op.Errorf("%w", err)
		}
		skip := f.c.jump(plan.Step{Kind: plan.StepJumpIf, Name: "DFT " + f.op.Origin.Node, In: []plan.TensorRef{ref}})
		g := *f
		g.outer, g.have, g.inner = ir.Product(x[:a]), x[a], ir.Product(x[a+1:rank-1])
		g.length = g.usualLength()
		if v := f.op.Operand(1); v != nil {
			n, _ := f.c.ints(v)
			g.length = ir.Const(n[0])
		}
		g.bins = g.length
		if f.half && !f.inverse {
			g.bins = g.length.Div(ir.Const(2)).AddInt(1)
		}
		if err := g.run(g.load); err != nil {
			return err
		}
		ends = append(ends, f.c.jump(plan.Step{Kind: plan.StepJump, Name: "end of the axis"}))
		f.c.p.Steps[skip].A = int32(len(f.c.p.Steps))
	}
	for _, i := range ends {
		f.c.p.Steps[i].A = int32(len(f.c.p.Steps))
	}
	return nil
}

// run loads, transforms and stores.
func (f *dft) run(load func(to planes, d tensor.DType) error) error {
	t := &fft{c: f.c, op: f.op, batch: f.outer.Mul(f.inner), d: computeType(f.x.Type.DType)}
	typ := ir.TensorType(t.d, t.batch, f.length)
	x := planes{f.c.Scratch(typ), f.c.Scratch(typ)}
	to := x
	if f.inverse { // the forward transform with real and imaginary parts swapped before and after it
		to.re, to.im = x.im, x.re
	}
	if err := load(to, t.d); err != nil {
		return err
	}
	var err error
	if f.length.IsConst() && f.length.Value() >= 1 {
		x, err = t.transform(x, f.length.Value(), f.bins)
	} else {
		x, err = t.direct(x, f.length, f.bins)
	}
	if err != nil {
		return err
	}
	if f.inverse {
		x.re, x.im = x.im, x.re
	}
	return f.store(x)
}

// load emits the kernel that gathers the rows: what is missing is 0, and the second half of a one-sided
// spectrum the conjugate of the first.
func (f *dft) load(to planes, d tensor.DType) error {
	return f.c.Kernel(Step{
		Op: f.op, Name: "dft_load", Ins: []*ir.Value{f.x}, Outs: []*ir.Value{to.re, to.im}, Par: f.outer.Mul(f.inner), NsPerIter: perChunk(f.length, 1), Bytes: bytesOf(f.x).MulInt(2),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, f.outer, f.inner)
				row, stride := k.MulDim(i, f.length), k.Dim(f.inner.Mul(f.parts))
				base := k.Mul(k.Add(k.MulDim(k.MulDim(co[0], f.have), f.inner), co[1]), k.Dim(f.parts))
				part := func(lo, hi *loop.Value, value func(e *loop.Value, lanes int) cplx) {
					k.vectorLoop(lo, hi, k.Level.Lanes(d.Size()), func(e *loop.Value, lanes int) {
						v := value(e, lanes)
						k.Store(k.Buf(to.re), k.Add(row, e), v.re)
						k.Store(k.Buf(to.im), k.Add(row, e), v.im)
					})
				}
				// number reads element number at of the signal.
				number := func(at *loop.Value) cplx {
					return k.complexAt(f.x, k.Add(k.Broadcast(base, at.Type.Lanes), k.Mul(at, k.Broadcast(stride, at.Type.Lanes))), f.parts, d)
				}
				n, kept := k.Dim(f.length), f.length
				if f.half && f.inverse {
					kept = f.length.Div(ir.Const(2)).AddInt(1).Min(f.length)
				}
				given := k.MinIdx(k.Dim(f.have), k.Dim(kept))
				part(k.Int(0), given, func(e *loop.Value, lanes int) cplx { return number(k.Add(k.Broadcast(e, lanes), k.steps(lanes))) })
				rest := n
				if f.half && f.inverse {
					rest = k.MaxIdx(k.Dim(kept), k.AddInt(k.Sub(n, given), 1))
					part(rest, n, func(e *loop.Value, lanes int) cplx {
						v := number(k.Sub(k.Broadcast(k.Sub(n, e), lanes), k.steps(lanes)))
						return cplx{v.re, k.Neg(v.im)}
					})
				}
				part(given, k.MinIdx(rest, n), func(_ *loop.Value, lanes int) cplx {
					zero := k.Float(loop.Vec(d, lanes), 0)
					return cplx{zero, zero}
				})
			})
		},
	})
}

// complexAt reads the numbers of x at indices of elements: real parts, with the imaginary ones next to them
// where there are two parts.
func (k *K) complexAt(x *ir.Value, at *loop.Value, parts ir.Dim, d tensor.DType) cplx {
	read := func(at *loop.Value) *loop.Value {
		return k.Convert(k.fromMemory(k.loadAt(k.Buf(x), at), x.Type.DType), d)
	}
	v := cplx{re: read(at)}
	if parts.Is(2) {
		v.im = read(k.Add(at, k.IntOf(at.Type, 1)))
	} else {
		v.im = k.num(v.re, 0)
	}
	return v
}

// store emits the kernel that writes the bins, real and imaginary parts next to each other.
func (f *dft) store(x planes) error {
	d := x.re.Type.DType
	s := Step{Op: f.op, Name: "dft_store", Ins: []*ir.Value{x.re, x.im}, Outs: []*ir.Value{f.out}, Bytes: bytesOf(f.out).MulInt(2)}
	alone := f.inner.Is(1) // then rows are those of the result too
	width := f.inner
	s.Par = f.outer.Mul(f.bins)
	if alone {
		width, s.Par = f.bins, f.outer
	}
	s.NsPerIter = perChunk(width, 1)
	s.Build = func(k *K) {
		k.Parallel(func(i *loop.Value) {
			row := k.MulDim(i, width)
			if alone {
				k.vectorLoop(k.Int(0), k.Dim(width), k.Level.Lanes(d.Size()), func(e *loop.Value, lanes int) {
					at := k.Add(k.Broadcast(k.Add(k.MulDim(i, f.length), e), lanes), k.steps(lanes))
					f.put(k, x, at, k.Add(k.Broadcast(e, lanes), k.steps(lanes)), k.Add(row, e))
				})
				return
			}
			co := k.Unflatten(i, f.outer, f.bins)
			k.vectorLoop(k.Int(0), k.Dim(width), k.Level.Lanes(d.Size()), func(e *loop.Value, lanes int) {
				b := k.Add(k.Broadcast(k.Add(k.MulDim(co[0], f.inner), e), lanes), k.steps(lanes))
				at := k.Add(k.Mul(b, k.Broadcast(k.Dim(f.length), lanes)), k.Broadcast(co[1], lanes))
				f.put(k, x, at, k.Broadcast(co[1], lanes), k.Add(row, e))
			})
		})
	}
	return f.c.Kernel(s)
}

// put writes the numbers at the given indices of x as elements from number to on of the result.
func (f *dft) put(k *K, x planes, at, bin, to *loop.Value) {
	lanes := at.Type.Lanes
	v := cplx{k.loadAt(k.Buf(x.re), at), k.loadAt(k.Buf(x.im), at)}
	length := k.Broadcast(k.Dim(f.length), lanes)
	if f.inverse {
		n := k.Convert(length, v.re.Type.Elem)
		if f.length.IsConst() {
			n = k.num(v.re, 1/float64(max(f.length.Value(), 1)))
		} else {
			n = k.Div(k.num(v.re, 1), n)
		}
		v.re, v.im = k.Mul(v.re, n), k.Mul(v.im, n)
	} else if f.parts.Is(1) { // sums of a real signal, with no sign or alternating ones, are real
		real := k.Or(k.Cmp(loop.EQ, bin, k.IntOf(bin.Type, 0)), k.Cmp(loop.EQ, k.Add(bin, bin), length))
		v.im = k.Select(real, k.num(v.im, 0), v.im)
	}
	d := f.out.Type.DType
	re, im := k.toMemory(v.re, d), k.toMemory(v.im, d)
	switch {
	case f.half && f.inverse:
		k.Store(k.Buf(f.out), to, re)
	case lanes == 1:
		k.Store(k.Buf(f.out), k.MulInt(to, 2), re)
		k.Store(k.Buf(f.out), k.AddInt(k.MulInt(to, 2), 1), im)
	default:
		for half := range 2 {
			var mix []int
			for j := range lanes / 2 {
				mix = append(mix, half*lanes/2+j, lanes+half*lanes/2+j)
			}
			k.Store(k.Buf(f.out), k.AddInt(k.MulInt(to, 2), int64(half*lanes)), k.Shuffle(re, im, mix...))
		}
	}
}

// lowerSTFT transforms frames of a signal, weighted by a window.
func lowerSTFT(c *Ctx, op *ir.Op) error {
	f, err := newDFT(c, op)
	if err != nil {
		return err
	}
	x, out := f.x.Type.Shape, f.out.Type.Shape
	step, window := op.Operands[1], op.Operand(2)
	if len(x) == 3 {
		if err := f.setParts(x[2]); err != nil {
			return err
		}
	}
	if !isIndex(step) || !ir.Product(step.Type.Shape).Is(1) || window != nil && (window.Type.Rank() != 1 || window.Type.DType != f.x.Type.DType) {
		return errDecline
	}
	f.have, f.inner, f.bins, f.length = x[1], ir.Const(1), out[2], x[1]
	if window != nil {
		f.length = window.Type.Shape[0]
	}
	if v := op.Operand(3); v != nil {
		if f.length, err = c.scalarDim(op, v, f.bins, 1, "frame_length"); err != nil {
			return err
		}
		if window != nil {
			c.checkEqual(op, window.Type.Shape[0], f.length, "the window and frame_length")
		}
	}
	if err := c.checkSize(op, f.length, 1, "frame_length"); err != nil {
		return err
	}
	if err := c.checkSize(op, f.have.Sub(f.length), 0, "what of the signal is left after a frame"); err != nil {
		return err
	}
	if err := f.bindFrames(step, out[1]); err != nil {
		return err
	}
	f.outer = out[0].Mul(out[1])
	return f.run(func(to planes, d tensor.DType) error { return f.loadFrames(step, window, out[1], to, d) })
}

// bindFrames emits the kernel that counts frames, where the step is data.
func (f *dft) bindFrames(step *ir.Value, frames ir.Dim) error {
	if f.c.unboundIn(frames) == "" {
		return nil
	}
	count := f.c.Scratch(ir.TensorType(tensor.I64))
	err := f.c.Kernel(Step{
		Op: f.op, Name: "frames", Ins: []*ir.Value{step}, Outs: []*ir.Value{count}, Par: ir.Const(1), NsPerIter: 10,
		Build: func(k *K) {
			k.Parallel(func(*loop.Value) {
				s := k.Convert(k.Load(k.Buf(step), k.Int(0), 1), tensor.I64)
				ok := k.Cmp(loop.GE, s, k.Int(1))
				n := k.AddInt(k.Div(k.Dim(f.have.Sub(f.length)), k.Select(ok, s, k.Int(1))), 1)
				k.Store(k.Buf(count), k.Int(0), k.Select(ok, n, k.Int(-1)))
			})
		},
	})
	if err != nil {
		return err
	}
	return f.c.bindDims(f.op, count, []ir.Dim{frames}, 0, "frame_step")
}

// loadFrames emits the kernel that gathers the frames.
func (f *dft) loadFrames(step, window *ir.Value, frames ir.Dim, to planes, d tensor.DType) error {
	ins := []*ir.Value{f.x, step}
	if window != nil {
		ins = append(ins, window)
	}
	return f.c.Kernel(Step{
		Op: f.op, Name: "stft_load", Ins: ins, Outs: []*ir.Value{to.re, to.im}, Par: f.outer, NsPerIter: perChunk(f.length, 1),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, f.outer.Div(frames), frames)
				hop := k.Convert(k.Load(k.Buf(step), k.Int(0), 1), tensor.I64)
				first, row := k.Add(k.MulDim(co[0], f.have), k.Mul(co[1], hop)), k.MulDim(i, f.length)
				k.vectorLoop(k.Int(0), k.Dim(f.length), k.Level.Lanes(d.Size()), func(e *loop.Value, lanes int) {
					at := k.Add(k.Broadcast(k.Add(first, e), lanes), k.steps(lanes))
					v := k.complexAt(f.x, k.Mul(at, k.Broadcast(k.Dim(f.parts), lanes)), f.parts, d)
					if window != nil {
						w := k.Convert(k.fromMemory(k.Load(k.Buf(window), e, lanes), window.Type.DType), d)
						v.re, v.im = k.Mul(v.re, w), k.Mul(v.im, w)
					}
					k.Store(k.Buf(to.re), k.Add(row, e), v.re)
					k.Store(k.Buf(to.im), k.Add(row, e), v.im)
				})
			})
		},
	})
}
