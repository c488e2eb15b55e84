package lower

import (
	"math"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// maxTile computes the maxima of a tile of n output pixels column by column, which neighbouring windows share, and with
// comparisons that know no NaN; the caller does it anew where there was one.
type maxTile struct {
	*pool
	*K
	n      int
	valid  func(p int, kw int64) bool
	start  *loop.Value // negative infinity
	lo, hi *loop.Value // kernel rows
	row    func(kh *loop.Value) *loop.Value
}

// columnPixels is the number of output pixels whose columns fit registers, 0 where maxima are not taken so.
func (p *pool) columnPixels(l *target.Level) int {
	reach := (p.kw - 1) * p.dw
	left := int64(l.Tile/vectors(l)) - 1 - reach
	if !p.max || p.kw == 1 || p.sw > p.kw || left < 0 {
		return 0
	}
	return int(min(8, left/p.sw+1))
}

// rowsMeet reports whether all windows certainly have a row on the input.
func (w *window) rowsMeet() bool {
	return w.dh == 1 && w.top >= 0 && w.top < w.kh && w.h.IsConst() && w.oh.IsConst() && (w.oh.Value()-1)*w.sh-w.top < w.h.Value()
}

// larger is the maximum of numbers, and y where one of them is NaN.
func (k *K) larger(x, y *loop.Value) *loop.Value { return k.Select(k.Cmp(loop.GT, x, y), x, y) }

// columns gives the maxima, and whether an element was NaN.
func (t *maxTile) columns() (r accs, nan *loop.Value) {
	used := make([]bool, int64(t.n-1)*t.sw+(t.kw-1)*t.dw+1)
	t.each(func(_ int, column int64) { used[column] = true })
	nv := vectors(t.Level)
	state := make(accs, len(used)+1) // columns, and what is NaN after one
	for i := range state {
		for range nv {
			state[i] = append(state[i], t.start)
		}
	}
	lo := t.lo
	if t.rowsMeet() {
		state = t.oneRow(lo, used, state, false)
		lo = t.AddInt(lo, 1)
	}
	state = t.loopOver(lo, t.hi, 1, state, func(kh *loop.Value, a accs) accs { return t.oneRow(kh, used, a, true) })
	r = make(accs, t.n)
	t.each(func(p int, column int64) {
		if r[p] == nil {
			r[p] = state[column]
			return
		}
		next := make([]*loop.Value, nv)
		for j := range next {
			next[j] = t.larger(r[p][j], state[column][j])
		}
		r[p] = next
	})
	for p := range r {
		if r[p] == nil {
			r[p] = state[len(used)]
		}
	}
	sum := state[len(used)][0]
	for _, s := range state[len(used)][1:] {
		sum = t.K.Add(sum, s)
	}
	s := t.Reduce(loop.OpReduceAdd, sum)
	return r, t.Cmp(loop.NE, s, s)
}

// each calls f for the pixels of the tile and the columns of their windows that are on the input.
func (t *maxTile) each(f func(p int, column int64)) {
	for p := range t.n {
		for kw := range t.kw {
			if t.valid(p, kw) {
				f(p, int64(p)*t.sw+kw*t.dw)
			}
		}
	}
}

// oneRow takes the maxima of columns and those of a row; the first row is the maxima.
func (t *maxTile) oneRow(kh *loop.Value, used []bool, state accs, more bool) accs {
	lanes, base := t.Level.Lanes(4), t.row(kh)
	next := make(accs, len(state))
	for i := range state {
		next[i] = append([]*loop.Value{}, state[i]...)
	}
	for j := range state[0] {
		var nan *loop.Value
		for i, u := range used {
			if !u {
				continue
			}
			x := t.Load(t.Buf(t.x), t.AddInt(base, int64(i)*block+int64(j*lanes)), lanes)
			next[i][j] = x
			if more {
				next[i][j] = t.larger(state[i][j], x)
			}
			if is := t.Cmp(loop.NE, x, x); nan == nil {
				nan = is
			} else {
				nan = t.Or(nan, is)
			}
		}
		if nan != nil {
			last := len(state) - 1
			next[last][j] = t.Select(nan, t.Float(loop.Vec(tensor.F32, lanes), math.NaN()), state[last][j])
		}
	}
	return next
}
