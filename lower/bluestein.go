package lower

import (
	"errors"
	"math"
	"math/bits"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
)

// bluestein transforms any length n by a convolution of a power of two m >= 2n-1 (L. Bluestein, "A linear
// filtering approach to the computation of discrete Fourier transform", 1970): i*k is (i^2+k^2-(k-i)^2)/2.
func (f *fft) bluestein(x planes, n int64) (planes, error) {
	m := int64(1) << bits.Len64(uint64(2*n-2))
	chirp := make([]complex128, n) // exp(-pi i k^2/n)
	for k := range chirp {
		q := int64(k) * int64(k) % (2 * n)
		sin, cos := math.Sincos(math.Pi * float64(q) / float64(n))
		chirp[k] = complex(cos, -sin)
	}
	filter := make([]complex128, m)
	for k, v := range chirp {
		back := complex(real(v), -imag(v))
		filter[k] = back
		if k > 0 {
			filter[m-int64(k)] = back
		}
	}
	pow2DFT(filter)
	a, b, y := f.planes(m), f.planes(m), f.planes(n)
	if err := f.timesTable(x, a, n, m, chirp, 1, false); err != nil {
		return y, err
	}
	spectrum, err := f.transform(a, m, ir.Const(m))
	if err != nil {
		return y, err
	}
	// The way back is the transform with real and imaginary parts swapped before and after it.
	if err := f.timesTable(spectrum, b, m, m, filter, 1, true); err != nil {
		return y, err
	}
	if b, err = f.transform(b, m, ir.Const(m)); err != nil {
		return y, err
	}
	return y, f.timesTable(planes{b.im, b.re}, y, n, n, chirp, 1/float64(m), false)
}

// pow2DFT transforms in place, by recursion on halves.
func pow2DFT(x []complex128) {
	n := len(x)
	if n == 1 {
		return
	}
	even, odd := make([]complex128, n/2), make([]complex128, n/2)
	for i := range even {
		even[i], odd[i] = x[2*i], x[2*i+1]
	}
	pow2DFT(even)
	pow2DFT(odd)
	for k := range even {
		sin, cos := math.Sincos(2 * math.Pi * float64(k) / float64(n))
		t := odd[k] * complex(cos, -sin)
		x[k], x[k+n/2] = even[k]+t, even[k]-t
	}
}

// timesTable emits the kernel that multiplies the first n numbers of each row of x by a table and a scale
// and stores them, followed by zeros, as rows of m; swap exchanges real and imaginary parts.
func (f *fft) timesTable(x, y planes, n, m int64, table []complex128, scale float64, swap bool) error {
	re, im := make([]float64, n), make([]float64, n)
	for i := range re {
		re[i], im[i] = real(table[i])*scale, imag(table[i])*scale
	}
	tre, err1 := f.table(re, "chirp")
	tim, err2 := f.table(im, "chirp")
	if err := errors.Join(err1, err2); err != nil {
		return f.op.Errorf("%w", err)
	}
	length := x.re.Type.Shape[1]
	return f.c.Kernel(Step{
		Op: f.op, Name: "fft_chirp", Ins: []*ir.Value{x.re, x.im}, Outs: []*ir.Value{y.re, y.im}, Par: f.batch, NsPerIter: perChunk(ir.Const(m), 0.5),
		Build: func(k *K) {
			w := k.Level.Lanes(f.d.Size())
			k.Parallel(func(b *loop.Value) {
				from, to := k.MulDim(b, length), k.MulInt(b, m)
				put := func(e *loop.Value, v cplx) {
					if swap {
						v.re, v.im = v.im, v.re
					}
					k.Store(k.Buf(y.re), k.Add(to, e), v.re)
					k.Store(k.Buf(y.im), k.Add(to, e), v.im)
				}
				k.vectorLoop(k.Int(0), k.Int(n), w, func(e *loop.Value, lanes int) {
					v := cplx{k.Load(k.Buf(x.re), k.Add(from, e), lanes), k.Load(k.Buf(x.im), k.Add(from, e), lanes)}
					put(e, k.cmul(v, cplx{k.Load(k.WeightBuf(tre, f.d), e, lanes), k.Load(k.WeightBuf(tim, f.d), e, lanes)}))
				})
				k.vectorLoop(k.Int(n), k.Int(m), w, func(e *loop.Value, lanes int) {
					zero := k.Float(loop.Vec(f.d, lanes), 0)
					put(e, cplx{zero, zero})
				})
			})
		},
	})
}
