package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
)

// rnnStep builds what rnnAny does for one batch element in one direction.
type rnnStep struct {
	*K
	*rnnAny
	d     int
	batch *loop.Value
	lanes int
	x     *loop.Value // of a step: where its row of xproj begins
	out   *loop.Value // and its row of Y
}

// lastAt is where the batch element's row of a state operand or result begins.
func (s *rnnStep) lastAt() *loop.Value {
	row := s.Add(s.MulDim(s.Int(int64(s.d)), s.b), s.batch)
	if s.batchFirst {
		row = s.AddInt(s.MulInt(s.batch, int64(s.dirs)), int64(s.d))
	}
	return s.MulDim(row, s.h)
}

// yAt is where the row of Y of step t begins.
func (s *rnnStep) yAt(t *loop.Value) *loop.Value {
	row := s.Add(s.MulDim(s.AddInt(s.MulInt(t, int64(s.dirs)), int64(s.d)), s.b), s.batch)
	if s.batchFirst {
		row = s.AddInt(s.MulInt(s.Add(s.MulDim(s.batch, s.t), t), int64(s.dirs)), int64(s.d))
	}
	return s.MulDim(row, s.h)
}

// each covers the hidden units.
func (s *rnnStep) each(f func(j *loop.Value, lanes int)) {
	s.vectorLoop(s.Int(0), s.Dim(s.h), s.lanes, f)
}

// put writes to a result in its element type.
func (s *rnnStep) put(v *ir.Value, at, x *loop.Value) {
	s.Store(s.Buf(v), at, s.toMemory(s.Convert(x, computeType(v.Type.DType)), v.Type.DType))
}

func (s *rnnStep) run(reverse bool) {
	own := s.MulDim(s.batch, s.h)
	start := func(to, from *ir.Value) {
		s.each(func(j *loop.Value, lanes int) {
			v := s.Bits(loop.Vec(s.ct, lanes), 0)
			if from != nil {
				v = s.load(s.K, from, s.Add(s.lastAt(), j), lanes)
			}
			s.Store(s.Buf(to), s.Add(own, j), v)
		})
	}
	start(s.state, s.h0)
	start(s.cell, s.c0)
	steps := s.Dim(s.t)
	if s.lens != nil {
		steps = s.Convert(s.Load(s.Buf(s.lens), s.batch, 1), loop.Index.Elem)
	}
	s.Range(s.Int(0), steps, 1, func(i *loop.Value) {
		if reverse {
			i = s.Sub(s.AddInt(steps, -1), i)
		}
		s.x = s.MulDim(s.Add(s.MulDim(s.batch, s.t), i), s.h.MulInt(s.kind.gates))
		s.out = s.yAt(i)
		s.kind.step(s)
	})
	if s.y != nil && s.lens != nil { // zeros behind the end
		s.Range(steps, s.Dim(s.t), 1, func(i *loop.Value) {
			at := s.yAt(i)
			s.each(func(j *loop.Value, lanes int) { s.put(s.y, s.Add(at, j), s.Bits(loop.Vec(s.ct, lanes), 0)) })
		})
	}
	finish := func(to, from *ir.Value) {
		if to != nil {
			s.each(func(j *loop.Value, lanes int) {
				s.put(to, s.Add(s.lastAt(), j), s.Load(s.Buf(from), s.Add(own, j), lanes))
			})
		}
	}
	finish(s.lastH, s.state)
	finish(s.lastC, s.cell)
}

// recurrent writes R*v + Rb for the gates [lo, hi), v a state, to the gates' scratch.
func (s *rnnStep) recurrent(lo, hi int64, v *ir.Value) {
	gh := s.h.MulInt(s.kind.gates)
	own, gates := s.MulDim(s.batch, s.h), s.MulDim(s.batch, gh)
	matrix := s.MulDim(s.Int(int64(s.d)), s.h.Mul(gh))
	columns := func(col *loop.Value, n, lanes int) {
		acc := make([]*loop.Value, n)
		for q := range acc {
			acc[q] = s.Bits(loop.Vec(s.ct, lanes), 0)
			if s.bias != nil {
				acc[q] = s.load(s.K, s.bias, s.AddInt(s.Add(s.Dim(gh.MulInt(int64(2*s.d+1))), col), int64(q*lanes)), lanes)
			}
		}
		acc = s.For(s.Int(0), s.Dim(s.h), 1, acc, func(i *loop.Value, a []*loop.Value) []*loop.Value {
			h := s.Broadcast(s.Load(s.Buf(v), s.Add(own, i), 1), lanes)
			at := s.Add(s.Add(matrix, s.MulDim(i, gh)), col)
			next := make([]*loop.Value, n)
			for q := range next {
				next[q] = s.FMA(h, s.load(s.K, s.r, s.AddInt(at, int64(q*lanes)), lanes), a[q])
			}
			return next
		})
		for q, x := range acc {
			s.Store(s.Buf(s.gate), s.AddInt(s.Add(gates, col), int64(q*lanes)), x)
		}
	}
	const wide = 4 // vectors at once hide the latency of the sums
	from, to, step := s.Dim(s.h.MulInt(lo)), s.Dim(s.h.MulInt(hi)), int64(wide*s.lanes)
	mid := s.Add(from, s.MulInt(s.Div(s.Sub(to, from), s.Int(step)), step))
	s.Range(from, mid, step, func(col *loop.Value) { columns(col, wide, s.lanes) })
	s.vectorLoop(mid, to, s.lanes, func(col *loop.Value, lanes int) { columns(col, 1, lanes) })
}

// fromX and fromH are the two halves of a gate at hidden units j.
func (s *rnnStep) fromX(gate int64, j *loop.Value, lanes int) *loop.Value {
	return s.Load(s.Buf(s.xproj), s.Add(s.x, s.Add(s.Dim(s.h.MulInt(gate)), j)), lanes)
}

func (s *rnnStep) fromH(gate int64, j *loop.Value, lanes int) *loop.Value {
	return s.Load(s.Buf(s.gate), s.Add(s.MulDim(s.batch, s.h.MulInt(s.kind.gates)), s.Add(s.Dim(s.h.MulInt(gate)), j)), lanes)
}

func (s *rnnStep) sum(gate int64, j *loop.Value, lanes int) *loop.Value {
	return s.Add(s.fromX(gate, j, lanes), s.fromH(gate, j, lanes))
}

// act applies activation i of this direction.
func (s *rnnStep) act(i int, x *loop.Value) *loop.Value {
	return s.acts[s.d*len(s.kind.acts)+i](s.K, x)
}

// next sets the state of hidden units j.
func (s *rnnStep) next(j, h *loop.Value) {
	s.Store(s.Buf(s.state), s.Add(s.MulDim(s.batch, s.h), j), h)
	if s.y != nil {
		s.put(s.y, s.Add(s.out, j), h)
	}
}

// rnn: H = f(X*W + Wb + H*R + Rb).
func (s *rnnStep) rnn() {
	s.recurrent(0, 1, s.state)
	s.each(func(j *loop.Value, lanes int) { s.next(j, s.act(0, s.sum(0, j, lanes))) })
}

// gru has gates z, r, h: H = (1-z)*h + z*H. The reset gate applies to the state, or with
// linear_before_reset to the product of the state.
func (s *rnnStep) gru() {
	own := s.MulDim(s.batch, s.h)
	if s.linear {
		s.recurrent(0, 3, s.state)
	} else {
		s.recurrent(0, 2, s.state)
		s.each(func(j *loop.Value, lanes int) {
			at := s.Add(own, j)
			s.Store(s.Buf(s.gated), at, s.Mul(s.act(0, s.sum(1, j, lanes)), s.Load(s.Buf(s.state), at, lanes)))
		})
		s.recurrent(2, 3, s.gated)
	}
	s.each(func(j *loop.Value, lanes int) {
		z, n := s.act(0, s.sum(0, j, lanes)), s.fromH(2, j, lanes)
		if s.linear {
			n = s.Mul(s.act(0, s.sum(1, j, lanes)), n)
		}
		n = s.act(1, s.Add(s.fromX(2, j, lanes), n))
		old := s.Load(s.Buf(s.state), s.Add(own, j), lanes)
		s.next(j, s.Add(s.Mul(s.Sub(s.num(z, 1), z), n), s.Mul(z, old)))
	})
}

// lstm has gates i, o, f, c and peepholes i, o, f: C = f*C + i*c, H = o*g(C).
func (s *rnnStep) lstm() {
	s.recurrent(0, 4, s.state)
	s.each(func(j *loop.Value, lanes int) {
		at := s.Add(s.MulDim(s.batch, s.h), j)
		cell := s.Load(s.Buf(s.cell), at, lanes)
		gate := func(i int64, c *loop.Value) *loop.Value {
			x := s.sum(i, j, lanes)
			if s.peep != nil {
				p := s.load(s.K, s.peep, s.Add(s.Dim(s.h.MulInt(int64(3*s.d)+i)), j), lanes)
				x = s.FMA(p, c, x)
			}
			return s.act(0, x)
		}
		in := gate(0, cell)
		forget := s.Sub(s.num(in, 1), in)
		if !s.coupled {
			forget = gate(2, cell)
		}
		c := s.FMA(forget, cell, s.Mul(in, s.act(1, s.sum(3, j, lanes))))
		s.Store(s.Buf(s.cell), at, c)
		s.next(j, s.Mul(gate(1, c), s.act(2, c)))
	})
}
