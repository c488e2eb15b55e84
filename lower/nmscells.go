package lower

import (
	"math"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// nmsCells has the boxes that a class took so far. One of the axes is divided into cells, none shorter than the
// longest box, so that a box can only meet boxes that begin in its own cell or in one beside it: exporters move
// the boxes of each class to a place of their own, and then most boxes are far from each other.
//
// The boxes of a cell are in rows of nmsRow: first the low y of all boxes, then the low x, the high y, the high x
// and the area, so that a candidate is held against a vector of boxes at a time.
type nmsCells struct {
	taken *ir.Value // the rows
	// book has for each class the newest row of each cell, the number of boxes in each cell, and for each row
	// the one before it in its cell.
	book        *ir.Value
	cells, rows ir.Dim

	bookAt, rowsAt     *loop.Value // where those of a class begin
	second, low, scale *loop.Value // whether the second axis is divided; where it begins; cells per unit
}

// nmsRow is how many boxes a row has; a multiple of all lengths of vectors.
const nmsRow = 64

// maxCells bounds the cells, so that rounding cannot move a box past the next one.
const maxCells = 256

// reserve makes room for longest boxes of each of so many classes.
func (n *nmsCells) reserve(c *Ctx, parts, longest ir.Dim) {
	full := longest.CeilDiv(nmsRow)
	n.cells = full.Min(ir.Const(maxCells)).Max(ir.Const(1))
	n.rows = full.Add(n.cells)
	n.taken = c.Scratch(ir.TensorType(tensor.F32, parts, n.rows, ir.Const(5*nmsRow)))
	n.book = c.Scratch(ir.TensorType(tensor.I64, parts, n.rows.Add(n.cells.MulInt(2))))
}

// divide empties the cells of part i and lays them out for n boxes.
func (s *nms) divide(i, n *loop.Value, box func(e *loop.Value) [4]*loop.Value) {
	s.bookAt, s.rowsAt = s.MulDim(i, s.rows.Add(s.cells.MulInt(2))), s.MulDim(i, s.rows.MulInt(5*nmsRow))
	s.Range(s.Int(0), s.Dim(s.cells), 1, func(c *loop.Value) { s.Store(s.Buf(s.book), s.count(c), s.Int(0)) })
	num := func(x float64) *loop.Value { return s.Float(loop.Scalar(tensor.F32), x) }
	inf := num(math.Inf(1))
	// The lowest and highest begin and the longest box, by axis. What is no number meets nothing, wherever it is.
	type extent struct{ low, high, long *loop.Value }
	ext := s.For(s.Int(0), n, 1, []*loop.Value{inf, s.Neg(inf), num(0), inf, s.Neg(inf), num(0)}, func(e *loop.Value, a []*loop.Value) []*loop.Value {
		v := box(e)
		pick := func(p loop.Pred, x, y *loop.Value) *loop.Value { return s.Select(s.Cmp(p, x, y), x, y) }
		var next []*loop.Value
		for j := range 2 {
			next = append(next, pick(loop.LT, v[j], a[3*j]), pick(loop.GT, v[j], a[3*j+1]), pick(loop.GT, s.Sub(v[j+2], v[j]), a[3*j+2]))
		}
		return next
	})
	axis := func(j int) (parts *loop.Value, e extent) {
		e = extent{ext[3*j], ext[3*j+1], ext[3*j+2]}
		return s.Div(s.Sub(e.high, e.low), e.long), e
	}
	p, a := axis(0)
	q, b := axis(1)
	s.second = s.Cmp(loop.GT, q, p)
	s.low = s.Select(s.second, b.low, a.low)
	span, long := s.Sub(s.Select(s.second, b.high, a.high), s.low), s.Select(s.second, b.long, a.long)
	// A hundredth more than the longest box, for roundings.
	s.scale = s.Min(s.Div(num(1), s.Mul(long, num(1.01))), s.Div(s.Convert(s.Dim(s.cells), tensor.F32), span))
}

// newest and count are where the newest row of cell c and the number of its boxes are, before where row r's predecessor is.
func (s *nms) newest(c *loop.Value) *loop.Value { return s.Add(s.bookAt, c) }

func (s *nms) count(c *loop.Value) *loop.Value { return s.Add(s.newest(c), s.Dim(s.cells)) }

func (s *nms) before(r *loop.Value) *loop.Value {
	return s.Add(s.Add(s.bookAt, s.Dim(s.cells.MulInt(2))), r)
}

// cellOf is the cell in which box begins.
func (s *nms) cellOf(box [4]*loop.Value) *loop.Value {
	v := s.Mul(s.Sub(s.Select(s.second, box[1], box[0]), s.low), s.scale)
	last := s.Convert(s.Dim(s.cells.AddInt(-1)), tensor.F32)
	zero := s.Float(loop.Scalar(tensor.F32), 0)
	v = s.Select(s.Cmp(loop.LT, v, last), v, last)
	return s.Convert(s.Select(s.Cmp(loop.GT, v, zero), v, zero), tensor.I64)
}

// area is the size of a box.
func (s *nms) area(v [4]*loop.Value) *loop.Value {
	return s.Mul(s.Sub(v[2], v[0]), s.Sub(v[3], v[1]))
}

// rowAt is where row r begins.
func (s *nms) rowAt(r *loop.Value) *loop.Value { return s.Add(s.rowsAt, s.MulInt(r, 5*nmsRow)) }

// keep adds a box to a cell, where used rows are in use, and gives how many then are. A row is begun with boxes of
// no extent, which meet none.
func (s *nms) keep(cell, used *loop.Value, box [4]*loop.Value) *loop.Value {
	b, book, lanes := s.Buf(s.taken), s.Buf(s.book), s.Level.Lanes(4)
	n := s.Load(book, s.count(cell), 1)
	in := s.Rem(n, s.Int(nmsRow))
	row := s.If(s.Cmp(loop.EQ, in, s.Int(0)), func() []*loop.Value {
		s.Store(book, s.before(used), s.Load(book, s.newest(cell), 1))
		s.Store(book, s.newest(cell), used)
		s.Range(s.Int(0), s.Int(5*nmsRow), int64(lanes), func(j *loop.Value) {
			s.Store(b, s.Add(s.rowAt(used), j), s.Float(loop.Vec(tensor.F32, lanes), 0))
		})
		return []*loop.Value{used, s.AddInt(used, 1)}
	}, func() []*loop.Value { return []*loop.Value{s.Load(book, s.newest(cell), 1), used} })
	for j, v := range append(box[:], s.area(box)) {
		s.Store(b, s.Add(s.Add(s.rowAt(row[0]), in), s.Int(int64(j*nmsRow))), v)
	}
	s.Store(book, s.count(cell), s.AddInt(n, 1))
	return row[1]
}

// free reports whether no box that was taken overlaps box, which begins in cell.
func (s *nms) free(cell *loop.Value, box [4]*loop.Value, limit *loop.Value) *loop.Value {
	lanes := s.Level.Lanes(4)
	own, top := s.Broadcast(s.area(box), lanes), s.Broadcast(limit, lanes)
	for j := range box {
		box[j] = s.Broadcast(box[j], lanes)
	}
	from, to := s.MaxIdx(s.AddInt(cell, -1), s.Int(0)), s.MinIdx(s.AddInt(cell, 2), s.Dim(s.cells))
	hit := s.For(from, to, 1, []*loop.Value{s.Int(0)}, func(c *loop.Value, hit []*loop.Value) []*loop.Value {
		rows := s.Div(s.AddInt(s.Load(s.Buf(s.book), s.count(c), 1), nmsRow-1), s.Int(nmsRow))
		return s.For(s.Int(0), rows, 1, []*loop.Value{hit[0], s.Load(s.Buf(s.book), s.newest(c), 1)}, func(_ *loop.Value, a []*loop.Value) []*loop.Value {
			return s.If(s.Cmp(loop.EQ, a[0], s.Int(0)), func() []*loop.Value {
				return []*loop.Value{s.overlaps(s.rowAt(a[1]), box, own, top), s.Load(s.Buf(s.book), s.before(a[1]), 1)}
			}, func() []*loop.Value { return a })
		})[:1]
	})
	return s.Cmp(loop.EQ, hit[0], s.Int(0))
}

// overlaps is 1 where a box of a row overlaps box too much, else 0. Most pairs of boxes do not meet at all, so the row
// is looked through for that first, without a division.
func (s *nms) overlaps(row *loop.Value, box [4]*loop.Value, own, top *loop.Value) *loop.Value {
	lanes := s.Level.Lanes(4)
	zero := s.Float(loop.Vec(tensor.F32, lanes), 0)
	meet := s.any(row, func(at *loop.Value) *loop.Value { return s.Cmp(loop.GT, s.meet(box, at), zero) })
	return s.If(meet, func() []*loop.Value {
		return []*loop.Value{s.flag(s.any(row, func(at *loop.Value) *loop.Value {
			inter := s.meet(box, at)
			union := s.Sub(s.Add(own, s.Load(s.Buf(s.taken), s.AddInt(at, 4*nmsRow), lanes)), inter)
			some := s.And(s.Cmp(loop.GT, inter, zero), s.Cmp(loop.GT, union, zero))
			return s.And(some, s.Cmp(loop.GT, s.Div(inter, union), top))
		}))}
	}, func() []*loop.Value { return []*loop.Value{s.Int(0)} })[0]
}

// meet gives the areas that box has in common with the boxes of a row at at.
func (s *nms) meet(box [4]*loop.Value, at *loop.Value) *loop.Value {
	lanes := s.Level.Lanes(4)
	zero := s.Float(loop.Vec(tensor.F32, lanes), 0)
	other := func(j int) *loop.Value { return s.Load(s.Buf(s.taken), s.AddInt(at, int64(j*nmsRow)), lanes) }
	side := func(j int) *loop.Value {
		return s.Max(s.Sub(s.Min(box[j+2], other(j+2)), s.Max(box[j], other(j))), zero)
	}
	return s.Mul(side(0), side(1))
}

// any reports whether test is true of any of the boxes of a row.
func (s *nms) any(row *loop.Value, test func(at *loop.Value) *loop.Value) *loop.Value {
	lanes := s.Level.Lanes(4)
	t := loop.Vec(tensor.F32, lanes)
	found := s.For(s.Int(0), s.Int(nmsRow), int64(lanes), []*loop.Value{s.Float(t, 0)}, func(j *loop.Value, f []*loop.Value) []*loop.Value {
		return []*loop.Value{s.Select(test(s.Add(row, j)), s.Float(t, 1), f[0])}
	})
	return s.Cmp(loop.GT, s.Reduce(loop.OpReduceMax, found[0]), s.Float(loop.Scalar(tensor.F32), 0))
}
