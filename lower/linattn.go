package lower

import (
	"math"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// readAtOnce is how many query heads read the state while it is updated.
const readAtOnce = 4

// linearAttention is a LinearAttention on its way to a kernel. The columns of a head's state matrix do not depend on
// each other, so an iteration takes a block of them through all positions; everything is computed in f32.
type linearAttention struct {
	q, k, v, y    headView
	past          *ir.Value
	decay, beta   *ir.Value // decay after exp
	decayL, betaL ir.Dim    // what they hold per position
	decayD        bool      // the decay has a number for each feature of the key
	betaOne       bool      // beta has one number for all heads
	state         *ir.Value // in f32
	next          *ir.Value // present_state
	b, l, d, dv   ir.Dim
	hk, group     int64
	delta         bool
	scale         float64
}

func lowerLinearAttention(c *Ctx, op *ir.Op) error {
	hq, hk := op.Attrs.Int("q_num_heads", 0), op.Attrs.Int("kv_num_heads", 0)
	var ins []*ir.Value
	for _, v := range op.Operands {
		if v == nil {
			continue
		}
		if v.Type.Rank() < 3 || computeType(v.Type.DType) != tensor.F32 {
			return errDecline
		}
		ins = append(ins, v)
	}
	q, k, v := op.Operands[0], op.Operands[1], op.Operands[2]
	s := q.Type.Shape
	a := &linearAttention{past: op.Operand(3), beta: op.Operand(5), b: s[0], l: s[1], d: s[2].Div(ir.Const(hq)), dv: v.Type.Shape[2].Div(ir.Const(hk)), hk: hk, group: hq / hk,
		delta: op.Operand(5) != nil, scale: op.Attrs.Float("scale", 0), next: op.Result(1)}
	if a.scale == 0 {
		if !a.d.IsConst() {
			return errDecline
		}
		a.scale = 1 / math.Sqrt(float64(a.d.Value()))
	}
	a.q, a.k, a.v = headViewOf(q, ir.Const(hq), a.d), headViewOf(k, ir.Const(hk), a.d), headViewOf(v, ir.Const(hk), a.dv)
	if err := a.checks(c, op); err != nil {
		return err
	}
	y := op.Result(0)
	if y == nil {
		y = c.Scratch(ir.TensorType(q.Type.DType, a.b, a.l, a.dv.MulInt(hq)))
	}
	a.y = headViewOf(y, ir.Const(hq), a.dv)
	a.state = a.next
	outs := []*ir.Value{y}
	if a.next != nil {
		outs = append(outs, a.next)
	}
	if a.next == nil || a.next.Type.DType != tensor.F32 {
		a.state = c.Scratch(ir.TensorType(tensor.F32, a.b, ir.Const(hk), a.d, a.dv))
		outs = append(outs, a.state)
	}
	if d := op.Operand(4); d != nil {
		if err := a.expDecay(c, op, d); err != nil {
			return err
		}
		ins = append(ins, a.decay)
	}
	ns := float64(chunkNs)
	if n := a.l.Mul(a.d); n.IsConst() {
		ns = 50 + float64(n.Value()*(2+a.group))
	}
	blocks := a.dv.CeilDiv(target.Block)
	return c.Kernel(Step{
		Op: op, Name: "linear_attention", Ins: ins, Outs: outs, Par: a.b.MulInt(hk).Mul(blocks), NsPerIter: ns,
		Flops: a.b.Mul(a.l).Mul(a.d).Mul(a.dv).MulInt(hk * (4 + 2*a.group)),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, a.b, ir.Const(hk), blocks)
				lo := k.MulInt(co[2], target.Block)
				k.vectorLoop(lo, k.MinIdx(k.AddInt(lo, target.Block), k.Dim(a.dv)), k.Level.Lanes(4), func(e *loop.Value, lanes int) {
					a.columns(k, co[0], co[1], e, lanes)
				})
			})
		},
	})
}

// checks emits what of the shapes only the run time can tell.
func (a *linearAttention) checks(c *Ctx, op *ir.Op) error {
	k, v := a.k.v.Type.Shape, a.v.v.Type.Shape
	err := firstError(c.same(op, k[0], a.b, "the batches of query and key"), c.same(op, v[0], a.b, "the batches of query and value"),
		c.same(op, k[1], a.l, "the lengths of query and key"), c.same(op, v[1], a.l, "the lengths of query and value"),
		c.same(op, a.q.v.Type.Shape[2], a.d.MulInt(a.hk*a.group), "the size of query and of its heads"),
		c.same(op, k[2], a.d.MulInt(a.hk), "the size of key and of its heads"), c.same(op, v[2], a.dv.MulInt(a.hk), "the size of value and of its heads"))
	if err == nil && a.past != nil {
		err = c.same(op, ir.Product(a.past.Type.Shape), a.b.MulInt(a.hk).Mul(a.d).Mul(a.dv), "the size of past_state and of the state")
	}
	if d := op.Operand(4); d != nil && err == nil {
		a.decayL = d.Type.Shape[2]
		a.decayD = !a.decayL.Is(a.hk)
		if a.decayD {
			err = c.same(op, a.decayL, a.d.MulInt(a.hk), "the last dimension of decay and the size of key")
		}
		if err == nil {
			err = c.same(op, ir.Product(d.Type.Shape), a.b.Mul(a.l).Mul(a.decayL), "the size of decay and its positions")
		}
	}
	if a.beta != nil && err == nil {
		a.betaL = a.beta.Type.Shape[2]
		if a.betaOne = a.betaL.Is(1); !a.betaOne {
			err = c.same(op, a.betaL, ir.Const(a.hk), "the last dimension of beta and kv_num_heads")
		}
		if err == nil {
			err = c.same(op, ir.Product(a.beta.Type.Shape), a.b.Mul(a.l).Mul(a.betaL), "the size of beta and its positions")
		}
	}
	return err
}

// expDecay emits the step that takes the decay out of log space.
func (a *linearAttention) expDecay(c *Ctx, op *ir.Op, d *ir.Value) error {
	a.decay = c.Scratch(ir.TensorType(tensor.F32, d.Type.Shape...))
	n := ir.Product(d.Type.Shape)
	chunk, chunks := chunked(n)
	return c.Kernel(Step{
		Op: op, Name: "linear_decay", Ins: []*ir.Value{d}, Outs: []*ir.Value{a.decay}, Par: chunks, NsPerIter: perChunk(chunk, 0.5), Bytes: n.MulInt(8),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				lo, hi := k.chunkRange(i, chunk, n)
				k.vectorLoop(lo, hi, k.Level.Lanes(4), func(e *loop.Value, lanes int) {
					k.Store(k.Buf(a.decay), e, k.Exp(k.loadAs(d, e, lanes, tensor.F32)))
				})
			})
		},
	})
}

// columns takes the columns of a head's state from e on through all positions.
func (a *linearAttention) columns(k *K, b, h, e *loop.Value, lanes int) {
	zero := k.Float(loop.Vec(tensor.F32, lanes), 0)
	base := k.Add(k.MulDim(k.Add(k.MulInt(b, a.hk), h), a.d.Mul(a.dv)), e)
	at := func(d *loop.Value) *loop.Value { return k.Add(base, k.MulDim(d, a.dv)) }
	features := func(init []*loop.Value, f func(d *loop.Value, c []*loop.Value) []*loop.Value) []*loop.Value {
		return k.For(k.Int(0), k.Dim(a.d), 1, init, f)
	}
	features(nil, func(d *loop.Value, _ []*loop.Value) []*loop.Value {
		v := zero
		if a.past != nil {
			v = k.loadAs(a.past, at(d), lanes, tensor.F32)
		}
		k.Store(k.Buf(a.state), at(d), v)
		return nil
	})
	k.Range(k.Int(0), k.Dim(a.l), 1, func(t *loop.Value) { a.step(k, b, h, t, e, lanes, at, features) })
	if a.next != nil && a.next != a.state {
		features(nil, func(d *loop.Value, _ []*loop.Value) []*loop.Value {
			k.storeAs(a.next, at(d), k.Load(k.Buf(a.state), at(d), lanes))
			return nil
		})
	}
}

// step updates the columns by position t and writes what the queries read.
func (a *linearAttention) step(k *K, b, h, t, e *loop.Value, lanes int, at func(d *loop.Value) *loop.Value,
	features func([]*loop.Value, func(*loop.Value, []*loop.Value) []*loop.Value) []*loop.Value) {
	f32 := tensor.F32
	zero := k.Float(loop.Vec(f32, lanes), 0)
	state := k.Buf(a.state)
	key, pos := k.headAt(a.k, b, h, t), k.Add(k.MulDim(b, a.l), t)
	scalar := func(v *ir.Value, i *loop.Value) *loop.Value { return k.Broadcast(k.loadAs(v, i, 1, f32), lanes) }
	val := k.loadAs(a.v.v, k.Add(k.headAt(a.v, b, h, t), e), lanes, f32)
	if a.decay != nil || a.delta {
		recalled := features([]*loop.Value{zero}, func(d *loop.Value, c []*loop.Value) []*loop.Value {
			s := k.Load(state, at(d), lanes)
			if a.decay != nil {
				i := k.Add(k.MulDim(pos, a.decayL), h)
				if a.decayD {
					i = k.Add(k.Add(k.MulDim(pos, a.decayL), k.MulDim(h, a.d)), d)
				}
				s = k.Mul(s, scalar(a.decay, i))
				k.Store(state, at(d), s)
			}
			return []*loop.Value{k.FMA(s, scalar(a.k.v, k.Add(key, d)), c[0])}
		})[0]
		if a.delta {
			i := k.MulDim(pos, a.betaL)
			if !a.betaOne {
				i = k.Add(i, h)
			}
			val = k.Mul(scalar(a.beta, i), k.Sub(val, recalled))
		}
	}
	query := func(g *loop.Value) *loop.Value { return k.Add(k.MulInt(h, a.group), g) }
	give := func(g, v *loop.Value) {
		k.storeAs(a.y.v, k.Add(k.headAt(a.y, b, query(g), t), e), k.Mul(v, k.Float(v.Type, a.scale)))
	}
	n := 0
	if a.group <= readAtOnce {
		n = int(a.group)
	}
	read := features(repeat(n, zero), func(d *loop.Value, c []*loop.Value) []*loop.Value {
		s := k.FMA(scalar(a.k.v, k.Add(key, d)), val, k.Load(state, at(d), lanes))
		k.Store(state, at(d), s)
		next := make([]*loop.Value, n)
		for g := range next {
			next[g] = k.FMA(scalar(a.q.v, k.Add(k.headAt(a.q, b, query(k.Int(int64(g))), t), d)), s, c[g])
		}
		return next
	})
	for g, v := range read {
		give(k.Int(int64(g)), v)
	}
	if n > 0 {
		return
	}
	k.Range(k.Int(0), k.Int(a.group), 1, func(g *loop.Value) {
		from := k.headAt(a.q, b, query(g), t)
		give(g, features([]*loop.Value{zero}, func(d *loop.Value, c []*loop.Value) []*loop.Value {
			return []*loop.Value{k.FMA(scalar(a.q.v, k.Add(from, d)), k.Load(state, at(d), lanes), c[0])}
		})[0])
	})
}
