package lower

import (
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// squares are the matrices [..., n, n] of an op, which a kernel eliminates in scratch memory, in f64.
type squares struct {
	*K
	x    *ir.Value
	work []*ir.Value // f64 tensors in x's shape
	n    ir.Dim
}

// newSquares gives an op with square matrices scratch tensors.
func (c *Ctx) newSquares(op *ir.Op, scratch int) (*squares, error) {
	x := op.Operands[0]
	r, d := x.Type.Rank(), x.Type.DType
	if r < 2 || !compiled(d) || !d.IsFloat() {
		return nil, errDecline
	}
	s := &squares{x: x, n: x.Type.Shape[r-1]}
	c.checkEqual(op, x.Type.Shape[r-2], s.n, "the height and width of a matrix")
	for range scratch {
		s.work = append(s.work, c.Scratch(ir.TensorType(tensor.F64, x.Type.Shape...)))
	}
	return s, nil
}

// at is element (i, j) of the matrix that begins at base.
func (s *squares) at(base, i, j *loop.Value) *loop.Value {
	return s.Add(base, s.Add(s.MulDim(i, s.n), j))
}

// row runs over columns [lo, n) of a row by vectors.
func (s *squares) row(lo *loop.Value, f func(j *loop.Value, lanes int)) {
	s.vectorLoop(lo, s.Dim(s.n), s.Level.Lanes(4), f)
}

func (s *squares) load(w *ir.Value, at *loop.Value, lanes int) *loop.Value {
	return s.Load(s.Buf(w), at, lanes)
}

// start copies the matrix at base to scratch memory.
func (s *squares) start(base *loop.Value) {
	all := s.n.Mul(s.n)
	s.vectorLoop(s.Int(0), s.Dim(all), s.Level.Lanes(4), func(e *loop.Value, lanes int) {
		p := s.Add(base, e)
		s.Store(s.Buf(s.work[0]), p, s.Convert(s.fromMemory(s.Load(s.Buf(s.x), p, lanes), s.x.Type.DType), tensor.F64))
	})
}

// pivot swaps row k with that below it which has the largest element in column k. It gives that row and the element.
func (s *squares) pivot(base, k *loop.Value) (row, value *loop.Value) {
	abs := func(i *loop.Value) *loop.Value {
		return s.Unary(loop.OpAbs, s.load(s.work[0], s.at(base, i, k), 1))
	}
	best := s.For(s.AddInt(k, 1), s.Dim(s.n), 1, []*loop.Value{k, abs(k)}, func(i *loop.Value, a []*loop.Value) []*loop.Value {
		v := abs(i)
		more := s.Cmp(loop.GT, v, a[1])
		return []*loop.Value{s.Select(more, i, a[0]), s.Select(more, v, a[1])}
	})
	for _, w := range s.work {
		s.row(s.Int(0), func(j *loop.Value, lanes int) {
			p, q := s.at(base, k, j), s.at(base, best[0], j)
			x, y := s.load(w, p, lanes), s.load(w, q, lanes)
			s.Store(s.Buf(w), p, y)
			s.Store(s.Buf(w), q, x)
		})
	}
	return best[0], s.load(s.work[0], s.at(base, k, k), 1)
}

// subtract takes f times row k from row i, from column lo on.
func (s *squares) subtract(w *ir.Value, base, i, k, f, lo *loop.Value) {
	s.row(lo, func(j *loop.Value, lanes int) {
		p := s.at(base, i, j)
		s.Store(s.Buf(w), p, s.Sub(s.load(w, p, lanes), s.Mul(s.Broadcast(f, lanes), s.load(w, s.at(base, k, j), lanes))))
	})
}

// lowerDet compiles determinants by Gaussian elimination.
func lowerDet(c *Ctx, op *ir.Op) error {
	proto, err := c.newSquares(op, 1)
	if err != nil {
		return err
	}
	x, out, n := proto.x, op.Results[0], proto.n
	return c.Kernel(Step{
		Op: op, Name: "det", Ins: []*ir.Value{x}, Outs: append(slices.Clone(proto.work), out), Par: ir.Product(out.Type.Shape), NsPerIter: chunkNs, Bytes: bytesOf(x),
		Build: func(k *K) {
			s := *proto
			s.K = k
			one, zero := k.Float(loop.Scalar(tensor.F64), 1), k.Float(loop.Scalar(tensor.F64), 0)
			k.Parallel(func(m *loop.Value) {
				base := k.MulDim(m, n.Mul(n))
				s.start(base)
				det := k.For(k.Int(0), k.Dim(n), 1, []*loop.Value{one}, func(i *loop.Value, a []*loop.Value) []*loop.Value {
					from, pivot := s.pivot(base, i)
					det := k.Mul(k.Select(k.Cmp(loop.NE, from, i), k.Neg(a[0]), a[0]), pivot)
					det = k.Select(k.Cmp(loop.EQ, a[0], zero), a[0], det) // without a pivot it is 0, whatever follows
					k.Range(k.AddInt(i, 1), k.Dim(n), 1, func(r *loop.Value) {
						f := k.Div(s.load(s.work[0], s.at(base, r, i), 1), pivot)
						s.subtract(s.work[0], base, r, i, f, k.AddInt(i, 1))
					})
					return []*loop.Value{det}
				})
				k.Store(k.Buf(out), m, k.toMemory(k.Convert(det[0], computeType(out.Type.DType)), out.Type.DType))
			})
		},
	})
}

// lowerInverse compiles inverses by Gauss-Jordan elimination.
func lowerInverse(c *Ctx, op *ir.Op) error {
	proto, err := c.newSquares(op, 2)
	if err != nil {
		return err
	}
	x, out, n := proto.x, op.Results[0], proto.n
	rank := x.Type.Rank()
	return c.Kernel(Step{
		Op: op, Name: "inverse", Ins: []*ir.Value{x}, Outs: append(slices.Clone(proto.work), out), Par: ir.Product(x.Type.Shape[:rank-2]), NsPerIter: chunkNs, Bytes: bytesOf(x).MulInt(2),
		Build: func(k *K) {
			s := *proto
			s.K = k
			k.Parallel(func(m *loop.Value) {
				base := k.MulDim(m, n.Mul(n))
				s.start(base)
				s.identity(base)
				k.Range(k.Int(0), k.Dim(n), 1, func(i *loop.Value) { s.eliminate(base, i) })
				k.vectorLoop(k.Int(0), k.Dim(n.Mul(n)), k.Level.Lanes(4), func(e *loop.Value, lanes int) {
					p := k.Add(base, e)
					k.Store(k.Buf(out), p, k.toMemory(k.Convert(s.load(s.work[1], p, lanes), computeType(out.Type.DType)), out.Type.DType))
				})
			})
		},
	})
}

// identity makes the second scratch matrix the unit matrix.
func (s *squares) identity(base *loop.Value) {
	f64 := loop.Scalar(tensor.F64)
	s.Range(s.Int(0), s.Dim(s.n), 1, func(i *loop.Value) {
		s.row(s.Int(0), func(j *loop.Value, lanes int) {
			s.Store(s.Buf(s.work[1]), s.at(base, i, j), s.Broadcast(s.Float(f64, 0), lanes))
		})
		s.Store(s.Buf(s.work[1]), s.at(base, i, i), s.Float(f64, 1))
	})
}

// eliminate makes column k that of the unit matrix, doing the same to the second matrix.
func (s *squares) eliminate(base, k *loop.Value) {
	_, pivot := s.pivot(base, k)
	for _, w := range s.work {
		s.row(s.Int(0), func(j *loop.Value, lanes int) {
			p := s.at(base, k, j)
			s.Store(s.Buf(w), p, s.Div(s.load(w, p, lanes), s.Broadcast(pivot, lanes)))
		})
	}
	s.Range(s.Int(0), s.Dim(s.n), 1, func(i *loop.Value) {
		s.If(s.Cmp(loop.NE, i, k), func() []*loop.Value {
			f := s.load(s.work[0], s.at(base, i, k), 1)
			for _, w := range s.work {
				s.subtract(w, base, i, k, f, s.Int(0))
			}
			return nil
		}, nil)
	})
}
