package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// rnnTile builds the recurrence of a tile of batch elements in one direction. A step reads all of R, which bounds
// its speed: a tile reads it once for its rows. A single row has one chain of sums to a vector of a block, too
// few to hide their latency where a block is one vector, so it takes blocks by two.
type rnnTile struct {
	*K
	*rnn
	d, row *loop.Value // the direction; the first batch element
	rows   int
	blocks int64
	t, at  *loop.Value // the step; where in time it is
	y      *ir.Value   // nil for none
}

// tileRows is how many batch elements a tile has at most.
func (r *rnn) tileRows(l *target.Level) int64 {
	n := max(1, min(4, int64(l.Tile/(r.cell.gates*vectors(l)))))
	if r.b.IsConst() {
		n = max(1, min(n, r.b.Value()))
	}
	return n
}

// recur emits the recurrence.
func (r *rnn) recur() error {
	outs := []*ir.Value{r.states}
	if r.cell0 != nil {
		outs = append(outs, r.cell0)
	}
	y := r.op.Result(0)
	if y != nil {
		outs = append(outs, y)
	}
	g := int64(r.cell.gates)
	return r.c.Kernel(Step{
		Op: r.op, Name: "rnn", Ins: []*ir.Value{r.xproj}, Outs: outs, NsPerIter: float64(r.h*r.h) / 4, Flops: r.t.Mul(r.b).MulInt(2 * r.dirs * g * r.h * r.h),
		Bytes: ir.Const(r.dirs * r.hp * r.h * g * 4), ParAt: func(l *target.Level) ir.Dim { return r.b.CeilDiv(r.tileRows(l)).MulInt(r.dirs) },
		Build: func(k *K) {
			n := r.tileRows(k.Level)
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, ir.Const(r.dirs), r.b.CeilDiv(n))
				do := func(rows int, row *loop.Value) {
					(&rnnTile{K: k, rnn: r, d: co[0], row: row, rows: rows, y: y}).run()
				}
				row := k.MulInt(co[1], n)
				if r.b.IsConst() && r.b.Value()%n == 0 {
					do(int(n), row)
					return
				}
				// Each tile reads all of R: what is left is one tile too.
				left := k.Sub(k.Dim(r.b), row)
				tail := func() { do(1, row) }
				for m := int64(2); m <= n; m++ {
					fewer := tail
					tail = func() { k.choose(k.Cmp(loop.GE, left, k.Int(m)), func() { do(int(m), row) }, fewer) }
				}
				tail()
			})
		},
	})
}

// run goes through the steps. Every other one takes the hidden units from the last to the first, so that what R's
// end left in a cache too small for R is there when the next step begins.
func (r *rnnTile) run() {
	r.blocks = 1
	if all := r.hp / block; all%2 == 0 && r.rows == 1 && vectors(r.Level) == 1 {
		r.blocks = 2
	}
	last := r.hp/block/r.blocks - 1
	r.Range(r.Int(0), r.Dim(r.rnn.t), 1, func(t *loop.Value) {
		back := r.Sub(r.Dim(r.rnn.t.AddInt(-1)), t)
		r.t, r.at = t, t
		switch r.op.Attrs.Str("direction", "forward") {
		case "reverse":
			r.at = back
		case "bidirectional":
			r.at = r.Select(r.Cmp(loop.EQ, r.d, r.Int(0)), t, back)
		}
		odd := r.Cmp(loop.NE, r.And(t, r.Int(1)), r.Int(0))
		r.Range(r.Int(0), r.Int(last+1), 1, func(j *loop.Value) {
			r.units(r.MulInt(r.Select(odd, r.Sub(r.Int(last), j), j), r.blocks))
		})
	})
}

// units computes a step of the hidden units of r.blocks blocks from block first on.
func (r *rnnTile) units(first *loop.Value) {
	g, nv, lanes := r.cell.gates, vectors(r.Level), r.Level.Lanes(4)
	size := r.h * int64(g) * block // weights of a block
	bias, col := r.WeightBuf(r.biasBuf, tensor.F32), r.MulInt(first, block)
	bCol := r.Add(r.MulInt(r.d, 2*int64(g)*r.hp), col)
	hRow := r.stateRow(r.t)
	base := r.MulInt(r.Add(r.MulInt(r.d, r.hp/block), first), size)
	a := make(accs, r.rows)
	for j := range int64(g*nv) * r.blocks {
		in := j % int64(g*nv)
		at := j/int64(g*nv)*block + (int64(g)+in/int64(nv))*r.hp + in%int64(nv)*int64(lanes)
		x := r.Load(bias, r.AddInt(bCol, at), lanes)
		for p := range a {
			a[p] = append(a[p], x)
		}
	}
	a = r.reduceK(r.Int(0), r.Int(r.h), 4, a,
		func(p int, i *loop.Value, u int64) *loop.Value {
			return r.Load(r.Buf(r.states), r.AddInt(r.Add(hRow, i), int64(p)*r.hp+u), 1)
		},
		func(j int, i *loop.Value, u int64) *loop.Value {
			at := int64(j/(g*nv))*size + u*int64(g)*block + int64(j%(g*nv)*lanes)
			return r.Load(r.WeightBuf(r.rBuf, tensor.F32), r.AddInt(r.Add(base, r.MulInt(i, int64(g)*block)), at), lanes)
		})
	for p := range a {
		for q := range r.blocks {
			for v := range nv {
				off := q*block + int64(v*lanes)
				h := make([]*loop.Value, g)
				for i := range h {
					h[i] = a[p][(int(q)*g+i)*nv+v]
				}
				r.next(int64(p), r.AddInt(col, off), r.AddInt(bCol, off), h)
			}
		}
	}
}

// stateRow is where the states of the tile's first row before step t begin.
func (r *rnnTile) stateRow(t *loop.Value) *loop.Value {
	return r.MulInt(r.Add(r.MulDim(t, r.b.MulInt(r.dirs)), r.stateOf()), r.hp)
}

// stateOf is the number of the tile's first row among those of both directions.
func (r *rnnTile) stateOf() *loop.Value { return r.Add(r.MulDim(r.d, r.b), r.row) }

// next combines the gates of a vector of row p's hidden units from col on; bCol is its place in the biases, and h
// are the gates' recurrent halves.
func (r *rnnTile) next(p int64, col, bCol *loop.Value, h []*loop.Value) {
	lanes := r.Level.Lanes(4)
	xRow := r.MulInt(r.Add(r.MulInt(r.AddInt(r.Add(r.MulDim(r.at, r.b), r.row), p), r.dirs), r.d), int64(len(h))*r.hp)
	x := make([]*loop.Value, len(h))
	for q := range x {
		gate := int64(q) * r.hp
		x[q] = r.Add(r.Load(r.Buf(r.xproj), r.AddInt(r.Add(xRow, col), gate), lanes), r.Load(r.WeightBuf(r.biasBuf, tensor.F32), r.AddInt(bCol, gate), lanes))
	}
	var cPrev *loop.Value
	cAt := r.Add(r.MulInt(r.AddInt(r.stateOf(), p), r.hp), col)
	if r.cell0 != nil {
		cPrev = r.Load(r.Buf(r.cell0), cAt, lanes)
	}
	hAt := func(t *loop.Value) *loop.Value { return r.Add(r.AddInt(r.stateRow(t), p*r.hp), col) }
	hn, cn := r.cell.step(r.K, x, h, r.Load(r.Buf(r.states), hAt(r.t), lanes), cPrev)
	r.Store(r.Buf(r.states), hAt(r.AddInt(r.t, 1)), hn)
	if cn != nil {
		r.Store(r.Buf(r.cell0), cAt, cn)
	}
	if r.y != nil {
		r.output(p, col, hn)
	}
}

// output writes a vector of h to Y [T, D, B, H], whose rows are not padded.
func (r *rnnTile) output(p int64, col, h *loop.Value) {
	lanes := h.Type.Lanes
	row := r.Add(r.MulDim(r.Add(r.MulInt(r.at, r.dirs), r.d), r.b), r.AddInt(r.row, p))
	to := r.Add(r.MulInt(row, r.h), col)
	if r.h%int64(lanes) == 0 && r.h == r.hp {
		r.Store(r.Buf(r.y), to, h)
		return
	}
	t := loop.Vec(tensor.I64, lanes)
	mask := r.Cmp(loop.LT, r.Add(r.Iota(t), r.Broadcast(col, lanes)), r.IntOf(t, r.h))
	r.StoreMask(r.Buf(r.y), to, h, mask)
}
