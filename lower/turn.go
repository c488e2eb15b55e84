package lower

import (
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// turn is a move whose result is contiguous in its last dimension, column, and whose source is in another, row: the
// transposition of matrices. It is done by squares, which are transposed in registers.
type turn struct {
	*move
	row, column int
	outer       []int // the other dimensions
}

// turnRows is how many rows an iteration moves; a multiple of all lengths of vectors.
const turnRows = 16

// turn gives m as a turn, nil where it is none or is known to be too small.
func (m *move) turn(d tensor.DType) *turn {
	t := &turn{move: m, row: slices.IndexFunc(m.from, func(d ir.Dim) bool { return d.Is(1) }), column: len(m.dims) - 1}
	small := func(d ir.Dim) bool { return d.IsConst() && d.Value() < turnRows }
	if d.Size() != 4 || t.row < 0 || t.row == t.column || m.from[t.column].Is(0) || !m.to[t.column].Is(1) || small(m.dims[t.row]) || small(m.dims[t.column]) {
		return nil
	}
	for i := range m.dims {
		if i != t.row && i != t.column {
			t.outer = append(t.outer, i)
		}
	}
	return t
}

func (t *turn) emit(c *Ctx, op *ir.Op, name string, src, dst *ir.Value) error {
	rows, columns := t.dims[t.row], t.dims[t.column]
	var shape []ir.Dim
	for _, i := range t.outer {
		shape = append(shape, t.dims[i])
	}
	shape = append(shape, rows.CeilDiv(turnRows))
	return c.Kernel(Step{
		Op: op, Name: name, Ins: []*ir.Value{src}, Outs: []*ir.Value{dst}, Par: ir.Product(shape), NsPerIter: perChunk(columns, 2), Bytes: ir.Product(t.dims).MulInt(8),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, shape...)
				from, to := k.Dim(t.fromBase), k.Dim(t.toBase)
				for j, d := range t.outer {
					from, to = k.Add(from, k.MulDim(co[j], t.from[d])), k.Add(to, k.MulDim(co[j], t.to[d]))
				}
				first := k.MulInt(co[len(t.outer)], turnRows)
				squares := func() { t.squares(k, src, dst, from, to, k.MinIdx(first, k.AddInt(k.Dim(rows), -turnRows))) }
				if rows.IsConst() && columns.IsConst() {
					squares()
					return
				}
				large := k.And(k.Cmp(loop.GE, k.Dim(rows), k.Int(turnRows)), k.Cmp(loop.GE, k.Dim(columns), k.Int(turnRows)))
				k.choose(large, squares, func() {
					k.Range(first, k.MinIdx(k.AddInt(first, turnRows), k.Dim(rows)), 1, func(r *loop.Value) {
						k.Range(k.Int(0), k.Dim(columns), 1, func(e *loop.Value) {
							x := k.Load(k.Buf(src), k.Add(k.Add(from, r), k.MulDim(e, t.from[t.column])), 1)
							k.Store(k.Buf(dst), k.Add(k.Add(to, k.MulDim(r, t.to[t.row])), e), x)
						})
					})
				})
			})
		},
	})
}

// squares moves turnRows rows from the first on. The last rows and the last square of a row may overlap those before.
func (t *turn) squares(k *K, src, dst *ir.Value, from, to, first *loop.Value) {
	lanes := k.Level.Lanes(4)
	columns := k.Dim(t.dims[t.column])
	square := func(e *loop.Value) {
		for r := 0; r < turnRows; r += lanes {
			row := k.AddInt(first, int64(r))
			v := make([]*loop.Value, lanes)
			for j := range v {
				v[j] = k.Load(k.Buf(src), k.Add(k.Add(from, row), k.MulDim(k.AddInt(e, int64(j)), t.from[t.column])), lanes)
			}
			for j, x := range k.transpose(v) {
				k.Store(k.Buf(dst), k.Add(k.Add(to, k.MulDim(k.AddInt(row, int64(j)), t.to[t.row])), e), x)
			}
		}
	}
	last := k.AddInt(columns, -int64(lanes))
	k.Range(k.Int(0), last, int64(lanes), square)
	square(last)
}
