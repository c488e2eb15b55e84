package lower

import (
	"math"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// unrolledTaps is up to how many taps are loaded before the loop over a row.
const unrolledTaps = 4

// passes resamples one axis after another.
func (r *resize) passes() error {
	list := r.active()
	if len(list) == 0 {
		return r.c.copy(r.op, r.x, r.out)
	}
	from, shape := r.x, slices.Clone(r.x.Type.Shape)
	for i, a := range list {
		next := slices.Clone(shape)
		next[a.axis] = a.out
		to := r.out
		if i < len(list)-1 {
			to = r.c.Scratch(ir.TensorType(r.weight, next...))
		}
		if err := r.pass(a, from, to, shape); err != nil {
			return err
		}
		from, shape = to, next
	}
	return nil
}

// pass emits the kernel that makes axis a of to from that of from, whose shape is given.
func (r *resize) pass(a *resizeAxis, from, to *ir.Value, shape []ir.Dim) error {
	outer, inner := around(shape, a.axis)
	s := Step{Op: r.op, Name: "resize_" + r.mode, Ins: []*ir.Value{from, a.index, a.weights}, Outs: []*ir.Value{to}, Bytes: bytesOf(from).Add(bytesOf(to))}
	taps := 8.0
	if a.count.IsConst() {
		taps = float64(a.count.Value())
	}
	if inner.Is(1) {
		chunk, chunks := chunked(a.out)
		s.Par, s.NsPerIter = outer.Mul(chunks), perChunk(chunk, taps/2)
		s.Build = func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, outer, chunks)
				lo, hi := k.chunkRange(co[1], chunk, a.out)
				r.along(k, a, from, to, co[0], lo, hi)
			})
		}
		return r.c.Kernel(s)
	}
	chunk, chunks := chunked(inner)
	s.Par, s.NsPerIter = outer.Mul(a.out).Mul(chunks), perChunk(chunk, taps/8)
	s.Build = func(k *K) {
		k.Parallel(func(i *loop.Value) {
			co := k.Unflatten(i, outer, a.out, chunks)
			lo, hi := k.chunkRange(co[2], chunk, inner)
			r.across(k, a, from, to, co[0], co[1], inner, lo, hi)
		})
	}
	return r.c.Kernel(s)
}

// along makes elements [lo, hi) of a row from a row: each lane reads where its taps say.
func (r *resize) along(k *K, a *resizeAxis, from, to *ir.Value, row, lo, hi *loop.Value) {
	src, dst := k.MulDim(row, a.in), k.MulDim(row, a.out)
	k.vectorLoop(lo, hi, k.Level.Lanes(r.weight.Size()), func(e *loop.Value, lanes int) {
		v := r.sum(k, a, lanes, func(j *loop.Value) (x, w *loop.Value) {
			at := k.Add(k.MulDim(j, a.out), e)
			x = k.loadAt(k.Buf(from), k.Add(k.Load(k.Buf(a.index), at, lanes), k.Broadcast(src, lanes)))
			return r.number(k, x, from), k.Load(k.Buf(a.weights), at, lanes)
		})
		k.Store(k.Buf(to), k.Add(dst, e), k.rounded(v, to.Type.DType))
	})
}

// loadAt reads p at an index, or at each lane of a vector of them.
func (k *K) loadAt(p *loop.Buf, at *loop.Value) *loop.Value {
	if at.Type.Lanes == 1 {
		return k.Load(p, at, 1)
	}
	return k.Gather(p, at)
}

// across makes elements [lo, hi) of the given row from the rows that its taps say.
func (r *resize) across(k *K, a *resizeAxis, from, to *ir.Value, outer, row *loop.Value, inner ir.Dim, lo, hi *loop.Value) {
	dst := k.MulDim(k.Add(k.MulDim(outer, a.out), row), inner)
	tap := func(j *loop.Value) (src, w *loop.Value) {
		at := k.Add(k.MulDim(j, a.out), row)
		src = k.MulDim(k.Add(k.MulDim(outer, a.in), k.Load(k.Buf(a.index), at, 1)), inner)
		return src, k.Load(k.Buf(a.weights), at, 1)
	}
	if a.count.IsConst() && a.count.Value() <= unrolledTaps { // loaded once for the row
		var src, w []*loop.Value
		for j := range a.count.Value() {
			s, v := tap(k.Int(j))
			src, w = append(src, s), append(w, v)
		}
		tap = func(j *loop.Value) (*loop.Value, *loop.Value) {
			n, _ := k.ConstInt(j)
			return src[n], w[n]
		}
	}
	k.vectorLoop(lo, hi, k.Level.Lanes(r.weight.Size()), func(e *loop.Value, lanes int) {
		v := r.sum(k, a, lanes, func(j *loop.Value) (x, w *loop.Value) {
			src, w := tap(j)
			return r.number(k, k.Load(k.Buf(from), k.Add(src, e), lanes), from), k.Broadcast(w, lanes)
		})
		k.Store(k.Buf(to), k.Add(dst, e), k.rounded(v, to.Type.DType))
	})
}

// number turns what was loaded from v into the type of sums.
func (r *resize) number(k *K, x *loop.Value, v *ir.Value) *loop.Value {
	return k.CastTo(k.fromMemory(x, v.Type.DType), r.weight)
}

// sum adds up the taps of an output. An infinity under a weight of 0 must not become NaN.
func (r *resize) sum(k *K, a *resizeAxis, lanes int, tap func(j *loop.Value) (x, w *loop.Value)) *loop.Value {
	zero := k.Bits(loop.Vec(r.weight, lanes), 0)
	add := func(acc, j *loop.Value) *loop.Value {
		x, w := tap(j)
		x = k.Select(k.Cmp(loop.EQ, w, zero), zero, x)
		if isExact(r.x.Type.DType) {
			return k.Add(acc, k.Mul(x, w))
		}
		return k.FMA(x, w, acc)
	}
	if a.count.IsConst() && a.count.Value() <= unrolledTaps {
		acc := zero
		for j := range a.count.Value() {
			acc = add(acc, k.Int(j))
		}
		return acc
	}
	return k.For(k.Int(0), k.Dim(a.count), 1, []*loop.Value{zero}, func(j *loop.Value, acc []*loop.Value) []*loop.Value {
		return []*loop.Value{add(acc[0], j)}
	})[0]
}

// rounded turns a float into an element of type d as it is stored: integers are rounded half to even and saturate,
// and what is not 0 is true.
func (k *K) rounded(x *loop.Value, d tensor.DType) *loop.Value {
	if d == tensor.Bool {
		return k.toMemory(k.CastTo(x, d), d)
	}
	if !d.IsInt() {
		return k.toMemory(k.Convert(x, computeType(d)), d)
	}
	t, bits := loop.Vec(d, x.Type.Lanes), d.Bits()
	least, most, top := 0.0, math.Ldexp(1, bits), int64(uint64(math.MaxUint64)>>(64-bits))
	if d.Class() == tensor.ClassInt {
		least, most, top = -most/2, most/2, math.MaxInt64>>(64-bits)
	}
	x = k.Unary(loop.OpRound, x)
	x = k.Select(k.Cmp(loop.GE, x, k.num(x, least)), x, k.num(x, least))
	fits := k.Cmp(loop.LT, x, k.num(x, most))
	return k.Select(fits, k.CastTo(k.Select(fits, x, k.num(x, 0)), d), k.IntOf(t, top))
}

// pickAll takes the nearest along all axes at once.
func (r *resize) pickAll() error {
	rank := r.x.Type.Rank()
	by := make([]*resizeAxis, rank)
	ins := []*ir.Value{r.x}
	for _, a := range r.active() {
		by[a.axis] = a
		ins = append(ins, a.index)
	}
	shape, st := r.out.Type.Shape, Strides(r.x.Type.Shape)
	width := shape[rank-1]
	return r.c.Kernel(Step{
		Op: r.op, Name: "resize_nearest", Ins: ins, Outs: []*ir.Value{r.out}, Par: ir.Product(shape[:rank-1]), NsPerIter: perChunk(width, 0.5) + 10,
		Bytes: bytesOf(r.out).MulInt(2),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				base := k.Int(0)
				for d, x := range k.Unflatten(i, shape[:rank-1]...) {
					if by[d] != nil {
						x = k.Load(k.Buf(by[d].index), x, 1)
					}
					base = k.Add(base, k.MulDim(x, st[d]))
				}
				row := k.MulDim(i, width)
				if by[rank-1] == nil {
					k.copyRow(r.x, r.out, base, row, width)
					return
				}
				k.vectorLoop(k.Int(0), k.Dim(width), k.Level.Lanes(4), func(e *loop.Value, lanes int) {
					at := k.Add(k.Load(k.Buf(by[rank-1].index), e, lanes), k.Broadcast(base, lanes))
					k.Store(k.Buf(r.out), k.Add(row, e), k.loadAt(k.Buf(r.x), at))
				})
			})
		},
	})
}

// fillOutside sets what lies outside of the input, along any axis, to extrapolation_value.
func (r *resize) fillOutside() error {
	rank := r.out.Type.Rank()
	by := make([]*resizeAxis, rank)
	var ins []*ir.Value
	for _, a := range r.axes {
		by[a.axis] = a
		ins = append(ins, a.beyond)
	}
	shape := r.out.Type.Shape
	width := shape[rank-1]
	return r.c.Kernel(Step{
		Op: r.op, Name: "resize_outside", Ins: ins, Outs: []*ir.Value{r.out}, Par: ir.Product(shape[:rank-1]), NsPerIter: perChunk(width, 0.3) + 10, Bytes: bytesOf(r.out).MulInt(2),
		Build: func(k *K) {
			mark := func(a *resizeAxis, at *loop.Value, lanes int) *loop.Value {
				return k.fromMemory(k.Load(k.Buf(a.beyond), at, lanes), tensor.Bool)
			}
			k.Parallel(func(i *loop.Value) {
				all := k.IntOf(loop.Scalar(tensor.Bool), 0)
				for j, x := range k.Unflatten(i, shape[:rank-1]...) {
					if by[j] != nil {
						all = k.Or(all, mark(by[j], x, 1))
					}
				}
				row := k.MulDim(i, width)
				k.vectorLoop(k.Int(0), k.Dim(width), k.Level.Lanes(4), func(e *loop.Value, lanes int) {
					at, here := k.Add(row, e), k.Broadcast(all, lanes)
					if by[rank-1] != nil {
						here = k.Or(here, mark(by[rank-1], e, lanes))
					}
					value := k.rounded(k.Float(loop.Vec(r.weight, lanes), r.outside), r.out.Type.DType)
					k.Store(k.Buf(r.out), at, k.Select(here, value, k.Load(k.Buf(r.out), at, lanes)))
				})
			})
		},
	})
}
