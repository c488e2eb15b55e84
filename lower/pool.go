package lower

import (
	"math"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// pool is a max or average pooling in channel blocks.
type pool struct {
	window
	op, anchor *ir.Op
	x, out     *ir.Value
	body       *body
	max        bool
	includePad bool
}

func lowerBlockedPool(c *Ctx, op, anchor *ir.Op, out *ir.Value) error {
	x := c.resolve(anchor.Operands[0])
	ks := anchor.Attrs.Ints("kernel_shape", nil)
	if len(ks) != 2 || x.Type.DType != tensor.F32 || len(anchor.Results) > 1 && anchor.Results[1] != nil {
		return errDecline
	}
	bd, err := c.newBody(op, anchor)
	if err != nil {
		return err
	}
	xs, os := x.Type.Shape, anchor.Results[0].Type.Shape
	p := &pool{op: op, anchor: anchor, x: x, out: out, body: bd, max: anchor.Info.Name == "BlockedMaxPool",
		includePad: anchor.Attrs.Int("count_include_pad", 0) != 0}
	build := p.build
	p.window, err = newWindow(anchor, ks[0], ks[1], xs[2], xs[3], os[2], os[3])
	if err != nil || !p.colsInside() && !(p.w.IsConst() && p.ow.IsConst()) {
		p.window = window{h: xs[2], w: xs[3], oh: os[2], ow: os[3], kh: ks[0], kw: ks[1]}
		if build, err = p.pixelwise(anchor); err != nil {
			return err
		}
	}
	width := 64.0
	if p.ow.IsConst() {
		width = float64(p.ow.Value())
	}
	return c.Kernel(Step{
		Op: op, Name: "pool", Ins: append(bd.memInputs(), x), Outs: []*ir.Value{out}, Par: xs[0].Mul(xs[1]).Mul(p.oh),
		NsPerIter: 5 + width*float64(p.kh*p.kw)/4, Bytes: bytesOf(x).Add(bytesOf(out)), Build: build,
	})
}

// pixelwise gives the kernel for widths that the run time decides: one pixel at a time.
func (p *pool) pixelwise(anchor *ir.Op) (func(k *K), error) {
	xs := p.x.Type.Shape
	s, err := newSpatial(anchor, xs[2:4], []ir.Dim{p.oh, p.ow}, ir.Dims(p.kh, p.kw))
	if err != nil {
		return nil, err
	}
	fold := poolFolds["AveragePool"]
	if p.max {
		fold = poolFolds["MaxPool"]
	}
	any := &poolAny{spatial: s, includePad: p.includePad}
	plane := p.h.Mul(p.w)
	return func(k *K) {
		lanes := k.Level.Lanes(4)
		k.Parallel(func(i *loop.Value) {
			co := k.Unflatten(i, xs[0], xs[1], p.oh)
			from := k.MulDim(k.Flatten(co[:2], xs[:2]), plane)
			s.row(k, co[2], 1, func(at place) {
				for lane := int64(0); lane < block; lane += int64(lanes) {
					sum := s.taps(k, at, []*loop.Value{k.Float(loop.Vec(tensor.F32, lanes), fold.start)}, func(in, _ *loop.Value, acc []*loop.Value) []*loop.Value {
						return []*loop.Value{fold.step(k, any, acc[0], k.Load(k.Buf(p.x), k.AddInt(k.MulInt(k.Add(from, in), block), lane), lanes))}
					})
					k.storeBlocked(p.out, p.body, co[0], co[1], co[2], at.pos[1], p.oh, p.ow, k.Int(lane), fold.finish(k, any, at, sum[0]), lanes)
				}
			})
		})
	}, nil
}

func (p *pool) build(k *K) {
	xs := p.x.Type.Shape
	nv, lanes := vectors(k.Level), k.Level.Lanes(4)
	t := loop.Vec(tensor.F32, lanes)
	start := k.Float(t, 0)
	if p.max {
		start = k.Float(t, math.Inf(-1))
	}
	n := max(1, min(8, k.Level.Tile/nv))
	byColumn := p.columnPixels(k.Level)
	if byColumn > 0 {
		n = byColumn
	}
	k.Parallel(func(i *loop.Value) {
		co := k.Unflatten(i, xs[0], xs[1], p.oh)
		lo, hi := p.khRange(k, co[2])
		plane := k.Flatten(co[:2], xs[:2])
		rowAt := func(kh, ow0 *loop.Value) *loop.Value {
			ih := k.Add(k.AddInt(k.MulInt(co[2], p.sh), -p.top), k.MulInt(kh, p.dh))
			row := k.Add(k.MulDim(plane, p.h), ih)
			return k.MulInt(k.Add(k.MulDim(row, p.w), k.AddInt(k.MulInt(ow0, p.sw), -p.left)), block)
		}
		exact := func(n int, ow0 *loop.Value, valid func(int, int64) bool) {
			a := make(accs, n)
			for q := range a {
				for range nv {
					a[q] = append(a[q], start)
				}
			}
			a = k.loopOver(lo, hi, 1, a, func(kh *loop.Value, a accs) accs {
				return p.step(k, a, rowAt(kh, ow0), valid)
			})
			for q := range a {
				for j := range a[q] {
					r := a[q][j]
					if !p.max {
						r = k.Div(r, p.count(k, q, ow0, co[2], lo, hi, valid, lanes))
					}
					k.storeBlocked(p.out, p.body, co[0], co[1], co[2], k.AddInt(ow0, int64(q)), p.oh, p.ow, k.Int(int64(j*lanes)), r, lanes)
				}
			}
		}
		p.tiles(k, n, func(n int, ow0 *loop.Value, valid func(int, int64) bool) {
			if byColumn == 0 {
				exact(n, ow0, valid)
				return
			}
			t := &maxTile{pool: p, K: k, n: n, valid: valid, start: start, lo: lo, hi: hi, row: func(kh *loop.Value) *loop.Value { return rowAt(kh, ow0) }}
			r, nan := t.columns()
			k.choose(nan, func() { exact(n, ow0, valid) }, func() {
				for q := range r {
					for j, m := range r[q] {
						k.storeBlocked(p.out, p.body, co[0], co[1], co[2], k.AddInt(ow0, int64(q)), p.oh, p.ow, k.Int(int64(j*lanes)), m, lanes)
					}
				}
			})
		})
	})
}

// step accumulates one kernel row.
func (p *pool) step(k *K, a accs, base *loop.Value, valid func(int, int64) bool) accs {
	lanes := k.Level.Lanes(4)
	next := make(accs, len(a))
	for q := range a {
		next[q] = append([]*loop.Value{}, a[q]...)
		for j := range a[q] {
			for kw := range p.kw {
				if !valid(q, kw) {
					continue
				}
				x := k.Load(k.Buf(p.x), k.AddInt(base, (int64(q)*p.sw+kw*p.dw)*block+int64(j*lanes)), lanes)
				if p.max {
					next[q][j] = k.Max(next[q][j], x)
				} else {
					next[q][j] = k.Add(next[q][j], x)
				}
			}
		}
	}
	return next
}

// count is the number of elements that pixel q averages over: those on the input, or with
// count_include_pad those on the padded input.
func (p *pool) count(k *K, q int, ow0, oh, lo, hi *loop.Value, valid func(int, int64) bool, lanes int) *loop.Value {
	cols := int64(0)
	for kw := range p.kw {
		if valid(q, kw) {
			cols++
		}
	}
	n := k.Mul(k.Sub(hi, lo), k.Int(cols))
	if p.includePad {
		n = p.padded(k, oh, k.AddInt(ow0, int64(q)))
	}
	return k.Broadcast(k.Convert(n, tensor.F32), lanes)
}

// padded is the number of elements of a window on the padded input. A window may end past the padding
// with ceil_mode; it never starts before it.
func (p *pool) padded(k *K, oh, ow *loop.Value) *loop.Value {
	clip := func(o *loop.Value, s, before, after, kn, d int64, size ir.Dim) *loop.Value {
		left := k.Sub(k.Dim(size.AddInt(before+after)), k.MulInt(o, s))
		return k.MinIdx(k.Int(kn), k.Div(k.AddInt(left, d-1), k.Int(d)))
	}
	return k.Mul(clip(oh, p.sh, p.top, p.bottom, p.kh, p.dh, p.h), clip(ow, p.sw, p.left, p.right, p.kw, p.dw, p.w))
}

// lowerBlockedGlobalAveragePool averages the pixels of each channel block.
func lowerBlockedGlobalAveragePool(c *Ctx, op, anchor *ir.Op, out *ir.Value) error {
	x := c.resolve(anchor.Operands[0])
	if x.Type.DType != tensor.F32 {
		return errDecline
	}
	bd, err := c.newBody(op, anchor)
	if err != nil {
		return err
	}
	xs := x.Type.Shape
	pixels := xs[2].Mul(xs[3])
	return c.Kernel(Step{
		Op: op, Name: "gap", Ins: append(bd.memInputs(), x), Outs: []*ir.Value{out}, Par: xs[0].Mul(xs[1]), NsPerIter: 200, Bytes: bytesOf(x),
		Build: func(k *K) {
			nv, lanes := vectors(k.Level), k.Level.Lanes(4)
			one := ir.Const(1)
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, xs[0], xs[1])
				base := k.MulDim(i, pixels.MulInt(block))
				// Four partial sums hide the latency of the additions.
				a := k.zeroAccs(tile{4, 1})
				load := func(px *loop.Value, d, j int) *loop.Value {
					return k.Load(k.Buf(x), k.AddInt(k.Add(base, k.MulInt(px, block)), int64(d*block+j*lanes)), lanes)
				}
				add := func(n int) func(px *loop.Value, a accs) accs {
					return func(px *loop.Value, a accs) accs {
						next := append(accs{}, a...)
						for d := range n {
							next[d] = append([]*loop.Value{}, a[d]...)
							for j := range nv {
								next[d][j] = k.Add(a[d][j], load(px, d, j))
							}
						}
						return next
					}
				}
				mid := k.MulInt(k.Div(k.Dim(pixels), k.Int(4)), 4)
				a = k.loopOver(k.Int(0), mid, 4, a, add(4))
				a = k.loopOver(mid, k.Dim(pixels), 1, a, add(1))
				count := k.Broadcast(k.Convert(k.Dim(pixels), tensor.F32), lanes)
				for j := range nv {
					s := k.Add(k.Add(a[0][j], a[1][j]), k.Add(a[2][j], a[3][j]))
					k.storeBlocked(out, bd, co[0], co[1], k.Int(0), k.Int(0), one, one, k.Int(int64(j*lanes)), k.Div(s, count), lanes)
				}
			})
		},
	})
}
