package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
)

// spatial is the geometry of a window that slides over any number of dimensions, any of whose sizes the run
// time may decide. Output position p touches input p*stride - before + tap*dilation of each dimension.
type spatial struct {
	in, out, kernel  []ir.Dim
	stride, dilation []int64
	before, after    []ir.Dim // padding; a negative one crops
}

// intsOr is a list attribute of n entries, all def when absent.
func intsOr(op *ir.Op, name string, n int, def int64) ([]int64, error) {
	v := op.Attrs.Ints(name, nil)
	if v == nil {
		v = make([]int64, n)
		for i := range v {
			v[i] = def
		}
	}
	if len(v) != n {
		return nil, errDecline
	}
	return v, nil
}

// newSpatial reads the window attributes of a convolution or pool.
func newSpatial(op *ir.Op, in, out, kernel []ir.Dim) (*spatial, error) {
	n := len(in)
	s := &spatial{in: in, out: out, kernel: kernel}
	pads, err := intsOr(op, "pads", 2*n, 0)
	if err != nil || n == 0 || len(out) != n || len(kernel) != n {
		return nil, errDecline
	}
	if s.stride, err = intsOr(op, "strides", n, 1); err != nil {
		return nil, err
	}
	if s.dilation, err = intsOr(op, "dilations", n, 1); err != nil {
		return nil, err
	}
	for i := range n {
		before, after := ir.Const(pads[i]), ir.Const(pads[n+i])
		switch op.Attrs.Str("auto_pad", "NOTSET") {
		case "VALID":
			before, after = ir.Dim{}, ir.Dim{}
		case "SAME_UPPER":
			total := s.total(i)
			before = total.Div(ir.Const(2))
			after = total.Sub(before)
		case "SAME_LOWER":
			total := s.total(i)
			after = total.Div(ir.Const(2))
			before = total.Sub(after)
		}
		s.before, s.after = append(s.before, before), append(s.after, after)
	}
	return s, nil
}

// extent is what the kernel spans in dimension i.
func (s *spatial) extent(i int) ir.Dim {
	return s.kernel[i].AddInt(-1).MulInt(s.dilation[i]).AddInt(1)
}

// total is the padding of dimension i with which all windows of SAME fit.
func (s *spatial) total(i int) ir.Dim {
	return s.out[i].AddInt(-1).MulInt(s.stride[i]).Add(s.extent(i)).Sub(s.in[i]).Max(ir.Dim{})
}

// rows is the number of rows of output positions, those that differ in the last dimension alone.
func (s *spatial) rows() ir.Dim { return ir.Product(s.out[:len(s.out)-1]) }

// interior is the range of positions along the last dimension whose windows lie inside the input.
func (s *spatial) interior() (lo, hi ir.Dim) {
	i := len(s.in) - 1
	lo = s.before[i].CeilDiv(s.stride[i]).Max(ir.Dim{}).Min(s.out[i])
	hi = s.in[i].Sub(s.extent(i)).Add(s.before[i]).Div(ir.Const(s.stride[i])).AddInt(1).Min(s.out[i]).Max(lo)
	return lo, hi
}

// place is what windows a kernel computes at once: lanes neighbouring positions from pos on.
type place struct {
	pos    []*loop.Value
	lanes  int
	inside bool // along the last dimension
}

// row covers row number i of output positions: its interior by vectors where the stride is 1, its ends one by one.
func (s *spatial) row(k *K, i *loop.Value, lanes int, body func(p place)) {
	n := len(s.out)
	outer := k.Unflatten(i, s.out[:n-1]...)
	at := func(x *loop.Value) []*loop.Value { return append(append([]*loop.Value{}, outer...), x) }
	lo, hi := s.interior()
	edge := func(a, b ir.Dim) {
		if !a.Equal(b) {
			k.Range(k.Dim(a), k.Dim(b), 1, func(x *loop.Value) { body(place{at(x), 1, false}) })
		}
	}
	edge(ir.Dim{}, lo)
	if s.stride[n-1] != 1 {
		lanes = 1
	}
	if lanes == 1 {
		k.Range(k.Dim(lo), k.Dim(hi), 1, func(x *loop.Value) { body(place{at(x), 1, true}) })
	} else if !lo.Equal(hi) {
		k.vectorLoop(k.Dim(lo), k.Dim(hi), lanes, func(x *loop.Value, lanes int) { body(place{at(x), lanes, true}) })
	}
	edge(hi, s.out[n-1])
}

// tapRange is the range of taps of dimension i that fall on the input.
func (s *spatial) tapRange(k *K, p place, i int) (lo, hi *loop.Value) {
	if p.inside && i == len(s.in)-1 || s.kernel[i].Is(1) && s.before[i].Is(0) && s.after[i].Is(0) {
		return k.Int(0), k.Dim(s.kernel[i])
	}
	up := func(x *loop.Value) *loop.Value { // ceil(max(x,0)/dilation)
		return k.Div(k.AddInt(k.MaxIdx(x, k.Int(0)), s.dilation[i]-1), k.Int(s.dilation[i]))
	}
	start := s.start(k, p, i)
	return up(k.Sub(k.Int(0), start)), k.MinIdx(k.Dim(s.kernel[i]), up(k.Sub(k.Dim(s.in[i]), start)))
}

// start is the input coordinate of tap 0.
func (s *spatial) start(k *K, p place, i int) *loop.Value {
	return k.Sub(k.MulInt(p.pos[i], s.stride[i]), k.Dim(s.before[i]))
}

// taps folds the taps of a window that fall on the input: body gets the offset in the input's plane and
// the number of the tap.
func (s *spatial) taps(k *K, p place, init []*loop.Value, body func(at, tap *loop.Value, acc []*loop.Value) []*loop.Value) []*loop.Value {
	var walk func(i int, at, tap *loop.Value, acc []*loop.Value) []*loop.Value
	walk = func(i int, at, tap *loop.Value, acc []*loop.Value) []*loop.Value {
		if i == len(s.in) {
			return body(at, tap, acc)
		}
		lo, hi := s.tapRange(k, p, i)
		start := s.start(k, p, i)
		return k.For(lo, hi, 1, acc, func(t *loop.Value, acc []*loop.Value) []*loop.Value {
			x := k.Add(start, k.MulInt(t, s.dilation[i]))
			return walk(i+1, k.Add(k.MulDim(at, s.in[i]), x), k.Add(k.MulDim(tap, s.kernel[i]), t), acc)
		})
	}
	return walk(0, k.Int(0), k.Int(0), init)
}

// count is the number of taps of a window that fall on the input, or with padded on the padded input: with
// ceil_mode a window may end beyond that.
func (s *spatial) count(k *K, p place, padded bool) *loop.Value {
	n := k.Int(1)
	for i := range s.in {
		lo, hi := s.tapRange(k, p, i)
		c := k.Sub(hi, lo)
		if padded && !(p.inside && i == len(s.in)-1) {
			left := k.Sub(k.Dim(s.in[i].Add(s.before[i]).Add(s.after[i])), k.MulInt(p.pos[i], s.stride[i]))
			c = k.MinIdx(k.Dim(s.kernel[i]), k.Div(k.AddInt(left, s.dilation[i]-1), k.Int(s.dilation[i])))
		}
		n = k.Mul(n, c)
	}
	return n
}

// flat is the offset of a place in the output's plane.
func (s *spatial) flat(k *K, p place) *loop.Value { return k.Flatten(p.pos, s.out) }
