package lower

import (
	"errors"
	"math"
	"math/bits"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// planes are complex numbers [batch, n], real and imaginary parts apart.
type planes struct{ re, im *ir.Value }

// fft emits the kernels of discrete Fourier transforms whose length is known. Lengths whose prime factors
// are small are done by stages in the order of G. Stockham, which needs no reordering; what is left of
// others by L. Bluestein's convolution with a chirp.
type fft struct {
	c     *Ctx
	op    *ir.Op
	batch ir.Dim
	d     tensor.DType // f32 or f64
}

const (
	maxRadix   = 13 // largest prime that a stage takes
	shortPrime = 96 // lengths with larger factors, up to which the definition is as fast
	// narrowStage is the length of runs below which a stage reads by tables of indices, of narrowRuns runs.
	narrowStage, narrowRuns = 16, 64
)

func (f *fft) planes(n int64) planes {
	t := ir.TensorType(f.d, f.batch, ir.Const(n))
	return planes{f.c.Scratch(t), f.c.Scratch(t)}
}

// radices factors n: powers of 2 as 4 and at most one 8, the larger last; nil where a prime is larger than maxRadix.
func radices(n int64) (r []int64) {
	if two := bits.TrailingZeros64(uint64(n)); two >= 3 && two%2 == 1 {
		r, n = append(r, 8), n/8
	}
	for _, p := range []int64{4, 2, 3, 5, 7, 11, maxRadix} {
		for n%p == 0 {
			r, n = append(r, p), n/p
		}
	}
	if n != 1 {
		return nil
	}
	slices.Sort(r)
	return r
}

// transform emits the forward transform of x, of length n >= 1; bins of the result are wanted.
func (f *fft) transform(x planes, n int64, bins ir.Dim) (planes, error) {
	r := radices(n)
	switch {
	case r != nil:
		return f.stages(x, n, r)
	case n <= shortPrime:
		return f.direct(x, ir.Const(n), bins)
	}
	return f.bluestein(x, n)
}

// stages transforms by one kernel for each radix: before a stage there are n/(l*r) blocks of l*r numbers to
// transform, after it r times as many of l.
func (f *fft) stages(x planes, n int64, radices []int64) (planes, error) {
	l := n
	for _, r := range radices {
		l /= r
		y := f.planes(n)
		if err := f.stage(x, y, n, r, l); err != nil {
			return y, err
		}
		x = y
	}
	return x, nil
}

// twiddles are the factors exp(-2 pi i j t/(l*r)) of a stage, as tables of one row for each t >= 1.
func twiddles(r, l, width int64) (re, im []float64) {
	for t := int64(1); t < r; t++ {
		for e := range width {
			sin, cos := math.Sincos(2 * math.Pi * float64(e%l*t%(l*r)) / float64(l*r))
			re, im = append(re, cos), append(im, -sin)
		}
	}
	return re, im
}

// table adds numbers to the weights, in the type of the transform.
func (f *fft) table(x []float64, name string) (int32, error) { return f.c.floatTable(x, f.d, name) }

// floatTable adds numbers to the weights, as f32 or f64.
func (c *Ctx) floatTable(x []float64, d tensor.DType, name string) (int32, error) {
	b := tensor.AsBytes(x)
	if d == tensor.F32 {
		s := make([]float32, len(x))
		for i, v := range x {
			s[i] = float32(v)
		}
		b = tensor.AsBytes(s)
	}
	off, err := c.weights.Add(b)
	return c.weightBuf(off, int64(len(b)), name), err
}

// stage emits one stage from x to y.
func (f *fft) stage(x, y planes, n, r, l int64) error {
	s := Step{Op: f.op, Name: "fft", Ins: []*ir.Value{x.re, x.im}, Outs: []*ir.Value{y.re, y.im}, Bytes: bytesOf(x.re).MulInt(4)}
	st := fftStage{d: f.d, x: x, y: y, n: n, r: r, l: l}
	width := l // of the tables
	if l < narrowStage {
		width = min(l*narrowRuns, n/r)
	}
	if l > 1 {
		re, im := twiddles(r, l, width)
		var err1, err2 error
		st.re, err1 = f.table(re, "twiddles")
		st.im, err2 = f.table(im, "twiddles")
		if err := errors.Join(err1, err2); err != nil {
			return f.op.Errorf("%w", err)
		}
	}
	st.width = width
	if l >= narrowStage {
		chunk, chunks := chunked(ir.Const(l))
		blocks := ir.Const(n / (l * r))
		s.Par, s.NsPerIter = f.batch.Mul(blocks).Mul(chunks), perChunk(chunk, float64(r))
		s.Build = func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, f.batch, blocks, chunks)
				lo, hi := k.chunkRange(co[2], chunk, ir.Const(l))
				st.wide(k, k.MulInt(co[0], n), co[1], lo, hi)
			})
		}
		return f.c.Kernel(s)
	}
	if l > 1 {
		index := make([]int64, width)
		for e := range index {
			index[e] = int64(e)%l + l*r*(int64(e)/l)
		}
		off, err := f.c.weights.Add(tensor.AsBytes(index))
		if err != nil {
			return f.op.Errorf("%w", err)
		}
		st.index = f.c.weightBuf(off, 8*width, "indices")
	}
	runs := (n/r + width - 1) / width
	s.Par, s.NsPerIter = f.batch.MulInt(runs), perChunk(ir.Const(width), float64(r))
	s.Build = func(k *K) {
		k.Parallel(func(i *loop.Value) {
			co := k.Unflatten(i, f.batch, ir.Const(runs))
			st.narrow(k, k.MulInt(co[0], n), k.MulInt(co[1], width))
		})
	}
	return f.c.Kernel(s)
}

// fftStage writes the kernel of a stage.
type fftStage struct {
	d             tensor.DType
	x, y          planes
	n, r, l       int64
	re, im, index int32 // tables in the weights, of rows of width
	width         int64
}

// cplx is a complex number, or a vector of them.
type cplx struct{ re, im *loop.Value }

// wide transforms numbers [lo, hi) of the given block.
func (s *fftStage) wide(k *K, base, block, lo, hi *loop.Value) {
	from, to := k.Add(base, k.MulInt(block, s.l*s.r)), k.Add(base, k.MulInt(block, s.l))
	k.vectorLoop(lo, hi, k.Level.Lanes(s.d.Size()), func(j *loop.Value, lanes int) {
		a := make([]cplx, s.r)
		for t := range a {
			at := k.Add(from, k.AddInt(j, int64(t)*s.l))
			a[t] = cplx{k.Load(k.Buf(s.x.re), at, lanes), k.Load(k.Buf(s.x.im), at, lanes)}
		}
		s.finish(k, a, k.Add(to, j), j, lanes)
	})
}

// narrow transforms a run of short blocks, the outputs from number first on, where each lane may be in
// another block.
func (s *fftStage) narrow(k *K, base, first *loop.Value) {
	hi := k.MinIdx(k.Int(s.width), k.Sub(k.Int(s.n/s.r), first))
	from := k.Add(base, k.MulInt(first, s.r))
	k.vectorLoop(k.Int(0), hi, k.Level.Lanes(s.d.Size()), func(e *loop.Value, lanes int) {
		var at *loop.Value
		if s.l > 1 {
			at = k.Load(k.WeightBuf(s.index, tensor.I64), e, lanes)
		} else {
			at = k.Mul(k.Add(k.Broadcast(e, lanes), k.steps(lanes)), k.IntOf(loop.Vec(tensor.I64, lanes), s.r))
		}
		at = k.Add(at, k.Broadcast(from, lanes))
		a := make([]cplx, s.r)
		for t := range a {
			p := k.Add(at, k.IntOf(loop.Vec(tensor.I64, lanes), int64(t)*s.l))
			a[t] = cplx{k.loadAt(k.Buf(s.x.re), p), k.loadAt(k.Buf(s.x.im), p)}
		}
		s.finish(k, a, k.Add(k.Add(base, first), e), e, lanes)
	})
}

// finish transforms a, turns what it gives by the twiddles at e, and stores it from at on.
func (s *fftStage) finish(k *K, a []cplx, at, e *loop.Value, lanes int) {
	for t, b := range k.smallDFT(a) {
		if t > 0 && s.l > 1 {
			p := k.AddInt(e, int64(t-1)*s.width)
			b = k.cmul(b, cplx{k.Load(k.WeightBuf(s.re, s.d), p, lanes), k.Load(k.WeightBuf(s.im, s.d), p, lanes)})
		}
		to := k.AddInt(at, int64(t)*(s.n/s.r))
		k.Store(k.Buf(s.y.re), to, b.re)
		k.Store(k.Buf(s.y.im), to, b.im)
	}
}

// cmul is the product of complex numbers. Sums here are not fused: with equal roundings, what should
// cancel does.
func (k *K) cmul(x, y cplx) cplx {
	return cplx{k.Sub(k.Mul(x.re, y.re), k.Mul(x.im, y.im)), k.Add(k.Mul(x.re, y.im), k.Mul(x.im, y.re))}
}

func (k *K) cadd(x, y cplx) cplx { return cplx{k.Add(x.re, y.re), k.Add(x.im, y.im)} }
func (k *K) csub(x, y cplx) cplx { return cplx{k.Sub(x.re, y.re), k.Sub(x.im, y.im)} }

// smallDFT is the forward transform of a few numbers, unrolled.
func (k *K) smallDFT(a []cplx) []cplx {
	n := len(a)
	if n == 1 {
		return a
	}
	if n%2 == 1 {
		return k.oddDFT(a)
	}
	var even, odd []cplx
	for i, v := range a {
		if i%2 == 0 {
			even = append(even, v)
		} else {
			odd = append(odd, v)
		}
	}
	even, odd = k.smallDFT(even), k.smallDFT(odd)
	out := make([]cplx, n)
	for q := range n / 2 {
		o := odd[q]
		switch {
		case q == 0:
		case 4*q == n:
			o = cplx{o.im, k.Neg(o.re)}
		default:
			sin, cos := math.Sincos(2 * math.Pi * float64(q) / float64(n))
			o = k.cmul(o, cplx{k.num(o.re, cos), k.num(o.re, -sin)})
		}
		out[q], out[q+n/2] = k.cadd(even[q], o), k.csub(even[q], o)
	}
	return out
}

// oddDFT pairs the numbers that have conjugate factors.
func (k *K) oddDFT(a []cplx) []cplx {
	n := len(a)
	sum, diff := make([]cplx, n/2+1), make([]cplx, n/2+1)
	out := make([]cplx, n)
	out[0] = a[0]
	for p := 1; p <= n/2; p++ {
		sum[p], diff[p] = k.cadd(a[p], a[n-p]), k.csub(a[p], a[n-p])
		out[0] = k.cadd(out[0], sum[p])
	}
	for q := 1; q <= n/2; q++ {
		even := a[0]
		var odd cplx
		for p := 1; p <= n/2; p++ {
			sin, cos := math.Sincos(2 * math.Pi * float64(p*q%n) / float64(n))
			scaled := func(x cplx, f float64) cplx { return cplx{k.Mul(x.re, k.num(x.re, f)), k.Mul(x.im, k.num(x.im, f))} }
			even = k.cadd(even, scaled(sum[p], cos))
			if d := scaled(diff[p], sin); p == 1 {
				odd = d
			} else {
				odd = k.cadd(odd, d)
			}
		}
		turned := cplx{odd.im, k.Neg(odd.re)} // times -i
		out[q], out[n-q] = k.cadd(even, turned), k.csub(even, turned)
	}
	return out
}

// direct transforms by the definition, summing in f64: for lengths that are known only at run time, or
// short and prime.
func (f *fft) direct(x planes, n, bins ir.Dim) (planes, error) {
	y := planes{f.c.Scratch(ir.TensorType(f.d, f.batch, n)), f.c.Scratch(ir.TensorType(f.d, f.batch, n))}
	turn := planes{f.c.Scratch(ir.TensorType(tensor.F64, n)), f.c.Scratch(ir.TensorType(tensor.F64, n))}
	err := f.c.Kernel(Step{
		Op: f.op, Name: "dft_turns", Outs: []*ir.Value{turn.re, turn.im}, Par: n, NsPerIter: 30,
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				angle := k.Convert(i, tensor.F64)
				angle = k.Div(k.Mul(angle, k.num(angle, 2*math.Pi)), k.Convert(k.Dim(n), tensor.F64))
				k.Store(k.Buf(turn.re), i, k.Cos(angle))
				k.Store(k.Buf(turn.im), i, k.Neg(k.Sin(angle)))
			})
		},
	})
	if err != nil {
		return y, err
	}
	return y, f.c.Kernel(Step{
		Op: f.op, Name: "dft", Ins: []*ir.Value{x.re, x.im, turn.re, turn.im}, Outs: []*ir.Value{y.re, y.im}, Par: f.batch, NsPerIter: 20_000,
		Build: func(k *K) {
			k.Parallel(func(b *loop.Value) {
				base := k.MulDim(b, n)
				k.vectorLoop(k.Int(0), k.MinIdx(k.Dim(bins), k.Dim(n)), k.Level.Lanes(8), func(e *loop.Value, lanes int) {
					t, it := loop.Vec(tensor.F64, lanes), loop.Vec(tensor.I64, lanes)
					bin, length := k.Add(k.Broadcast(e, lanes), k.steps(lanes)), k.Broadcast(k.Dim(n), lanes)
					init := []*loop.Value{k.IntOf(it, 0), k.Float(t, 0), k.Float(t, 0)}
					r := k.For(k.Int(0), k.Dim(n), 1, init, func(i *loop.Value, a []*loop.Value) []*loop.Value {
						w := cplx{k.loadAt(k.Buf(turn.re), a[0]), k.loadAt(k.Buf(turn.im), a[0])}
						at := func(v *ir.Value) *loop.Value {
							return k.Broadcast(k.Convert(k.Load(k.Buf(v), k.Add(base, i), 1), tensor.F64), lanes)
						}
						p := k.cmul(cplx{at(x.re), at(x.im)}, w)
						next := k.Add(a[0], bin)
						next = k.Select(k.Cmp(loop.GE, next, length), k.Sub(next, length), next)
						return []*loop.Value{next, k.Add(a[1], p.re), k.Add(a[2], p.im)}
					})
					k.Store(k.Buf(y.re), k.Add(base, e), k.Convert(r[1], f.d))
					k.Store(k.Buf(y.im), k.Add(base, e), k.Convert(r[2], f.d))
				})
			})
		},
	})
}
