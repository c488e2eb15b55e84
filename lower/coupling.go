package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// maxCoupled bounds the classes whose probabilities a kernel keeps in local memory.
const maxCoupled = 1024

// coupling finds the probabilities of classes from those of pairs as the host function does: steps of
// Wu, Lin and Weng's second method until they change little.
type coupling struct {
	*K
	n          int64
	r          *loop.Buf
	row        *loop.Value // where the pairs of this row begin
	p, qp, dia *loop.Buf   // probabilities, Q times them, and the diagonal of Q
}

// lowerPairwiseCoupling runs the iteration for each row.
func lowerPairwiseCoupling(c *Ctx, op *ir.Op) error {
	r, out, n := op.Operands[0], op.Results[0], op.Attrs.Int("classes", 2)
	if r.Type.DType != tensor.F32 || n > maxCoupled {
		return errDecline
	}
	pairs := n * (n - 1) / 2
	c.checkEqual(op, r.Type.Shape[1], ir.Const(pairs), "numbers of pairs")
	return c.Kernel(Step{
		Op: op, Name: "coupling", Ins: []*ir.Value{r}, Outs: []*ir.Value{out}, Par: r.Type.Shape[0], NsPerIter: float64(20*n*n) + 100, Bytes: bytesOf(r).Add(bytesOf(out)),
		Build: func(k *K) {
			s := &coupling{K: k, n: n, r: k.Buf(r), p: k.Local("p", tensor.F64, n), qp: k.Local("qp", tensor.F64, n), dia: k.Local("dia", tensor.F64, n)}
			k.Parallel(func(i *loop.Value) {
				s.row = k.MulInt(i, pairs)
				s.start()
				k.For(k.Int(0), k.Int(100), 1, []*loop.Value{k.Int(0)}, func(_ *loop.Value, a []*loop.Value) []*loop.Value {
					return k.If(k.Cmp(loop.EQ, a[0], k.Int(0)), func() []*loop.Value { return []*loop.Value{s.step()} }, func() []*loop.Value { return a })
				})
				s.each(func(j *loop.Value) {
					k.Store(k.Buf(out), k.Add(k.MulInt(i, n), j), k.Convert(s.get(s.p, j), tensor.F32))
				})
			})
		},
	})
}

func (s *coupling) each(f func(i *loop.Value)) { s.Range(s.Int(0), s.Int(s.n), 1, f) }

func (s *coupling) get(b *loop.Buf, i *loop.Value) *loop.Value { return s.Load(b, i, 1) }

func (s *coupling) num(x float64) *loop.Value { return s.Float(loop.Scalar(tensor.F64), x) }

// pair gives the probability of class i against class j.
func (s *coupling) pair(i, j *loop.Value) *loop.Value {
	first := s.Cmp(loop.LT, i, j)
	a, b := s.Select(first, i, j), s.Select(first, j, i)
	// Before the pairs of a there are (n-1) + (n-2) + ... of those below it.
	at := s.Div(s.Mul(a, s.Sub(s.Int(2*s.n-1), a)), s.Int(2))
	v := s.Convert(s.Load(s.r, s.Add(s.row, s.Add(at, s.Sub(s.AddInt(b, -1), a))), 1), tensor.F64)
	return s.Select(first, v, s.Sub(s.num(1), v))
}

// off is element i, j of Q.
func (s *coupling) off(i, j *loop.Value) *loop.Value {
	return s.If(s.Cmp(loop.EQ, i, j), func() []*loop.Value { return []*loop.Value{s.get(s.dia, i)} }, func() []*loop.Value {
		v := s.pair(i, j)
		return []*loop.Value{s.Neg(s.Mul(v, s.Sub(s.num(1), v)))}
	})[0]
}

// sum adds f over all classes.
func (s *coupling) sum(f func(j *loop.Value) *loop.Value) *loop.Value {
	return s.For(s.Int(0), s.Int(s.n), 1, []*loop.Value{s.num(0)}, func(j *loop.Value, a []*loop.Value) []*loop.Value {
		return []*loop.Value{s.Add(a[0], f(j))}
	})[0]
}

func (s *coupling) start() {
	s.each(func(i *loop.Value) {
		s.Store(s.p, i, s.num(1/float64(s.n)))
		s.Store(s.dia, i, s.sum(func(j *loop.Value) *loop.Value {
			return s.If(s.Cmp(loop.EQ, i, j), func() []*loop.Value { return []*loop.Value{s.num(0)} }, func() []*loop.Value {
				v := s.pair(j, i)
				return []*loop.Value{s.Mul(v, v)}
			})[0]
		}))
	})
}

// step improves p and gives 0, or 1 where it is good enough.
func (s *coupling) step() *loop.Value {
	s.each(func(i *loop.Value) {
		s.Store(s.qp, i, s.sum(func(j *loop.Value) *loop.Value { return s.Mul(s.off(i, j), s.get(s.p, j)) }))
	})
	pqp := s.sum(func(i *loop.Value) *loop.Value { return s.Mul(s.get(s.p, i), s.get(s.qp, i)) })
	worst := s.For(s.Int(0), s.Int(s.n), 1, []*loop.Value{s.num(0)}, func(i *loop.Value, a []*loop.Value) []*loop.Value {
		return []*loop.Value{s.Max(a[0], s.Unary(loop.OpAbs, s.Sub(s.get(s.qp, i), pqp)))}
	})[0]
	return s.If(s.Cmp(loop.LT, worst, s.num(0.005/float64(s.n))), func() []*loop.Value { return []*loop.Value{s.Int(1)} }, func() []*loop.Value {
		s.For(s.Int(0), s.Int(s.n), 1, []*loop.Value{pqp}, func(i *loop.Value, a []*loop.Value) []*loop.Value { return []*loop.Value{s.improve(i, a[0])} })
		return []*loop.Value{s.Int(0)}
	})[0]
}

// improve moves p along class i and gives the new p*Q*p.
func (s *coupling) improve(i, pqp *loop.Value) *loop.Value {
	q, qp := s.get(s.dia, i), s.get(s.qp, i)
	d := s.Div(s.Sub(pqp, qp), q)
	s.Store(s.p, i, s.Add(s.get(s.p, i), d))
	scale := s.Add(s.num(1), d)
	next := s.Add(pqp, s.Mul(d, s.Add(s.Mul(d, q), s.Add(qp, qp))))
	s.each(func(j *loop.Value) {
		s.Store(s.qp, j, s.Div(s.Add(s.get(s.qp, j), s.Mul(d, s.off(i, j))), scale))
		s.Store(s.p, j, s.Div(s.get(s.p, j), scale))
	})
	return s.Div(s.Div(next, scale), scale)
}
