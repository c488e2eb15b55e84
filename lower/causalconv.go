package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
)

// causalConv is a CausalConvWithState: rows of l inputs, one per channel of each sample, behind a state of taps-1.
type causalConv struct {
	x, w, bias, past *ir.Value
	rows, ch, l      ir.Dim
	taps, state      ir.Dim // the kernel's length, and one less
	silu             bool
}

func lowerCausalConv(c *Ctx, op *ir.Op) error {
	a := &causalConv{x: op.Operands[0], w: op.Operands[1], bias: op.Operand(2), past: op.Operand(3), silu: op.Attrs.Str("activation", "none") != "none"}
	ins := []*ir.Value{a.x, a.w}
	for _, v := range []*ir.Value{a.bias, a.past} {
		if v != nil {
			ins = append(ins, v)
		}
	}
	for _, v := range ins {
		if v.Type.Rank() < 1 || !v.Type.DType.IsFloat() || !compiled(v.Type.DType) {
			return errDecline
		}
	}
	s, w := a.x.Type.Shape, a.w.Type.Shape
	ct := computeType(a.x.Type.DType)
	if len(s) != 3 || len(w) != 3 || a.silu && !loop.MathSupported("Sigmoid", ct) {
		return errDecline
	}
	a.rows, a.ch, a.l, a.taps, a.state = s[0].Mul(s[1]), s[1], s[2], w[2], w[2].AddInt(-1)
	err := firstError(c.same(op, ir.Product(w), a.ch.Mul(a.taps), "the size of weight and of a kernel per channel"), c.checkSize(op, a.taps, 1, "the kernel"))
	if err == nil && a.bias != nil {
		err = c.same(op, ir.Product(a.bias.Type.Shape), a.ch, "the size of bias and the channels")
	}
	if err == nil && a.past != nil {
		err = c.same(op, ir.Product(a.past.Type.Shape), a.rows.Mul(a.state), "the size of past_state and of the inputs before the first")
	}
	if err != nil {
		return err
	}
	if y := op.Result(0); y != nil {
		chunk, chunks := chunked(a.l)
		err = c.Kernel(Step{
			Op: op, Name: "causal_conv", Ins: ins, Outs: []*ir.Value{y}, Par: a.rows.Mul(chunks), NsPerIter: perChunk(chunk.Mul(a.taps), 0.2), Bytes: bytesOf(a.x).MulInt(2),
			Build: func(k *K) {
				k.Parallel(func(i *loop.Value) {
					co := k.Unflatten(i, a.rows, chunks)
					lo, hi := k.chunkRange(co[1], chunk, a.l)
					a.row(k, y, co[0], lo, hi)
				})
			},
		})
	}
	if next := op.Result(1); next != nil && err == nil {
		err = a.next(c, op, ins, next)
	}
	return err
}

// input is the input at a position of row r, which for those below 0 is the state's, or zero without one.
func (a *causalConv) input(k *K, r, pos *loop.Value) *loop.Value {
	ct := computeType(a.x.Type.DType)
	return k.If(k.Cmp(loop.GE, pos, k.Int(0)),
		func() []*loop.Value { return []*loop.Value{k.loadAs(a.x, k.Add(k.MulDim(r, a.l), pos), 1, ct)} },
		func() []*loop.Value {
			if a.past == nil {
				return []*loop.Value{k.Float(loop.Scalar(ct), 0)}
			}
			at := k.Add(k.MulDim(r, a.state), k.Add(pos, k.Dim(a.state)))
			return []*loop.Value{k.loadAs(a.past, at, 1, ct)}
		})[0]
}

// row computes outputs [lo, hi) of row r: those that reach into the state one by one.
func (a *causalConv) row(k *K, y *ir.Value, r, lo, hi *loop.Value) {
	ct := computeType(a.x.Type.DType)
	ch := k.Rem(r, k.Dim(a.ch))
	emit := func(e *loop.Value, lanes int, load func(pos *loop.Value) *loop.Value) {
		sum := k.Float(loop.Vec(ct, lanes), 0)
		if a.bias != nil {
			sum = k.Broadcast(k.loadAs(a.bias, ch, 1, ct), lanes)
		}
		first := k.Sub(e, k.Dim(a.state))
		sum = k.For(k.Int(0), k.Dim(a.taps), 1, []*loop.Value{sum}, func(t *loop.Value, s []*loop.Value) []*loop.Value {
			w := k.Broadcast(k.loadAs(a.w, k.Add(k.MulDim(ch, a.taps), t), 1, ct), lanes)
			return []*loop.Value{k.FMA(w, load(k.Add(first, t)), s[0])}
		})[0]
		if a.silu {
			sum = k.Mul(sum, k.Sigmoid(sum))
		}
		k.storeAs(y, k.Add(k.MulDim(r, a.l), e), sum)
	}
	mid := k.MinIdx(k.MaxIdx(k.Dim(a.state), lo), hi)
	k.Range(lo, mid, 1, func(e *loop.Value) {
		emit(e, 1, func(pos *loop.Value) *loop.Value { return a.input(k, r, pos) })
	})
	k.vectorLoop(mid, hi, k.Level.VecBytes/ct.Size(), func(e *loop.Value, lanes int) {
		emit(e, lanes, func(pos *loop.Value) *loop.Value { return k.loadAs(a.x, k.Add(k.MulDim(r, a.l), pos), lanes, ct) })
	})
}

// next emits the step that writes the last inputs as the next state.
func (a *causalConv) next(c *Ctx, op *ir.Op, ins []*ir.Value, next *ir.Value) error {
	return c.Kernel(Step{
		Op: op, Name: "causal_conv_state", Ins: ins, Outs: []*ir.Value{next}, Par: a.rows, NsPerIter: perChunk(a.state, 1), Bytes: bytesOf(next).MulInt(2),
		Build: func(k *K) {
			k.Parallel(func(r *loop.Value) {
				k.Range(k.Int(0), k.Dim(a.state), 1, func(j *loop.Value) {
					pos := k.Add(j, k.Dim(a.l.Sub(a.state)))
					k.storeAs(next, k.Add(k.MulDim(r, a.state), j), a.input(k, r, pos))
				})
			})
		},
	})
}
