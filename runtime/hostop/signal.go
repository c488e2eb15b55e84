package hostop

import (
	"math"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// transform is the discrete Fourier transform of x, computed in T; backward with the other sign and
// divided by the length.
func transform[T float32 | float64](x []complex128, inverse bool) []complex128 {
	n := len(x)
	re, im := make([]T, n), make([]T, n)
	for i, v := range x {
		re[i], im[i] = T(real(v)), T(imag(v))
	}
	if inverse { // the forward transform with real and imaginary parts swapped before and after it
		re, im = im, re
	}
	rest := n
	for p := 2; rest > 1; p++ {
		for rest%p == 0 {
			rest /= p
			re, im = fftStage(re, im, p, rest)
		}
	}
	scale := T(1)
	if inverse {
		re, im = im, re
		scale = T(1 / float64(n))
	}
	out := make([]complex128, n)
	for k := range out {
		out[k] = complex(float64(re[k]*scale), float64(im[k]*scale))
	}
	return out
}

// fftStage is a stage of G. Stockham's transform: blocks of l*r numbers become r times as many of l, whose
// transforms make up those of the blocks.
func fftStage[T float32 | float64](re, im []T, r, l int) (yr, yi []T) {
	n := len(re)
	yr, yi = make([]T, n), make([]T, n)
	turn := func(k, n int) (cos, sin T) {
		s, c := math.Sincos(2 * math.Pi * float64(k%n) / float64(n))
		return T(c), T(s)
	}
	for block := range n / (l * r) {
		for j := range l {
			at := func(t int) int { return block*l*r + t*l + j }
			for t := range r {
				// Pairs of conjugate factors first: what should cancel does.
				sr, si := re[at(0)], im[at(0)]
				var dr, di T
				for p := 1; p <= r/2; p++ {
					cos, sin := turn(p*t, r)
					a, b := at(p), at(r-p)
					if 2*p == r {
						sr, si = sr+T(cos*re[a]), si+T(cos*im[a])
						continue
					}
					sr, si = sr+T(cos*(re[a]+re[b])), si+T(cos*(im[a]+im[b]))
					dr, di = dr+T(sin*(im[a]-im[b])), di-T(sin*(re[a]-re[b]))
				}
				sr, si = sr+dr, si+di
				cos, sin := turn(j*t, l*r)
				to := j + l*block + n/r*t
				yr[to], yi[to] = T(sr*cos)+T(si*sin), T(si*cos)-T(sr*sin)
			}
		}
	}
	return yr, yi
}

// spectrumOf transforms in the precision of d: f64, or f32.
func spectrumOf(x []complex128, inverse bool, d tensor.DType) []complex128 {
	if d == tensor.F64 {
		return transform[float64](x, inverse)
	}
	return transform[float32](x, inverse)
}

// realEdges drops the imaginary parts at 0 and n/2 of the spectrum of a real signal.
func realEdges(s []complex128) {
	if n := len(s); n > 0 {
		s[0] = complex(real(s[0]), 0)
		if n%2 == 0 {
			s[n/2] = complex(real(s[n/2]), 0)
		}
	}
}

// parts is the size of the last dimension, which holds real or real and imaginary parts.
func parts(x *tensor.Tensor) int64 {
	p := x.Shape[len(x.Shape)-1]
	check(p == 1 || p == 2, "the last dimension of %s holds real or real and imaginary parts: want 1 or 2", x.TypeString())
	return p
}

// DFT is the discrete Fourier transform along an axis. With onesided it gives the first half of the
// spectrum or, inverse, takes it and gives a real signal.
func DFT(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	rank := len(x.Shape)
	check(rank >= 2, "rank %d, want at least 2", rank)
	inverse, half := c.Attrs.Int("inverse", 0) != 0, c.Attrs.Int("onesided", 0) != 0
	p, a := parts(x), int64(-2)
	if t := c.opt(2); t != nil {
		a = scalarInt(t, "axis")
	}
	axis := normAxis(a, rank)
	check(axis != rank-1, "axis %d is that of real and imaginary part", a)
	have := x.Shape[axis]
	n := have
	if inverse && half {
		n = 2 * (have - 1)
	}
	if t := c.opt(1); t != nil {
		n = scalarInt(t, "dft_length")
	}
	check(n >= 0, "dft_length %d", n)
	bins, q := n, int64(2)
	if half && !inverse {
		bins = n/2 + 1
	} else if half {
		q = 1
	}
	shape := append([]int64{}, x.Shape...)
	shape[axis], shape[rank-1] = bins, q
	out := make([]float64, elemCount(shape, 64))
	elemCount([]int64{n}, 128)
	v := floatsOf(x)
	outer, inner := product(x.Shape[:axis]), product(x.Shape[axis+1:rank-1])
	for o := range outer {
		for i := range inner {
			row := make([]complex128, n)
			for k := range min(have, n) {
				at := ((o*have+k)*inner + i) * p
				row[k] = complex(v[at], 0)
				if p == 2 {
					row[k] = complex(v[at], v[at+1])
				}
			}
			if inverse && half {
				for k := n/2 + 1; k < n; k++ {
					row[k] = complex(real(row[n-k]), -imag(row[n-k]))
				}
			}
			spectrum := spectrumOf(row, inverse, x.DType)
			if p == 1 && !inverse {
				realEdges(spectrum)
			}
			for k := range min(bins, n) {
				at := ((o*bins+k)*inner + i) * q
				out[at] = real(spectrum[k])
				if q == 2 {
					out[at+1] = imag(spectrum[k])
				}
			}
		}
	}
	c.give(fromFloats(x.DType, shape, out))
	return nil
}

// STFT is the Fourier transform of frames of a signal [batch, length] or [batch, length, 1 or 2], each
// weighted by a window.
func STFT(c *Call) (err error) {
	defer guard(&err)
	x, step := c.in(0), scalarInt(c.in(1), "frame_step")
	check(len(x.Shape) == 2 || len(x.Shape) == 3, "signal is %s, want rank 2 or 3", x.TypeString())
	check(step >= 1, "frame_step %d", step)
	p := int64(1)
	if len(x.Shape) == 3 {
		p = parts(x)
	}
	length, n := x.Shape[1], x.Shape[1]
	window := c.opt(2)
	if window != nil {
		check(len(window.Shape) == 1, "window is %s, want rank 1", window.TypeString())
		n = window.Shape[0]
	}
	if t := c.opt(3); t != nil {
		n = scalarInt(t, "frame_length")
	}
	check(n >= 1 && n <= length, "frames of %d in a signal of %d", n, length)
	check(window == nil || window.Len() == n, "a window of %s for frames of %d", typeString(window), n)
	frames, bins := (length-n)/step+1, n
	if c.Attrs.Int("onesided", 1) != 0 {
		bins = n/2 + 1
	}
	shape := []int64{x.Shape[0], frames, bins, 2}
	out := make([]float64, 0, elemCount(shape, 64))
	v := floatsOf(x)
	var w []float64
	if window != nil {
		w = floatsOf(window)
	}
	for b := range x.Shape[0] {
		for f := range frames {
			row := make([]complex128, n)
			for i := range row {
				at := (b*length + f*step + int64(i)) * p
				row[i] = complex(v[at], 0)
				if p == 2 {
					row[i] = complex(v[at], v[at+1])
				}
				if w != nil {
					row[i] *= complex(w[i], 0)
				}
			}
			spectrum := spectrumOf(row, false, x.DType)
			if p == 1 {
				realEdges(spectrum)
			}
			for _, s := range spectrum[:bins] {
				out = append(out, real(s), imag(s))
			}
		}
	}
	c.give(fromFloats(x.DType, shape, out))
	return nil
}

func typeString(t *tensor.Tensor) string {
	if t == nil {
		return "nothing"
	}
	return t.TypeString()
}

// cosineWindow is c[0] - c[1]*cos(2 pi i/d) + c[2]*cos(4 pi i/d), d the size, or one less where the window
// is symmetric. A symmetric window of one number is 1.
func cosineWindow(c *Call, k ...float64) (err error) {
	defer guard(&err)
	n := scalarInt(c.in(0), "size")
	check(n >= 0, "size %d", n)
	out := make([]float64, elemCount([]int64{n}, 64))
	d := float64(n)
	if c.Attrs.Int("periodic", 1) == 0 {
		d--
	}
	for i := range out {
		out[i] = 1
		if d > 0 {
			// In this order the middle of Blackman's is 1.
			out[i] = k[2]*math.Cos(4*math.Pi*float64(i)/d) - k[1]*math.Cos(2*math.Pi*float64(i)/d) + k[0]
		}
	}
	c.give(fromFloats(c.Attrs.DType("output_datatype", tensor.F32), []int64{n}, out))
	return nil
}

// HannWindow is half of a raised cosine.
func HannWindow(c *Call) error { return cosineWindow(c, 0.5, 0.5, 0) }

// HammingWindow is the raised cosine with the constants 25/46 and 21/46.
func HammingWindow(c *Call) error { return cosineWindow(c, 25.0/46, 21.0/46, 0) }

// BlackmanWindow is the sum of two cosines with the constants 0.42, 0.5 and 0.08.
func BlackmanWindow(c *Call) error { return cosineWindow(c, 0.42, 0.5, 0.08) }

// MelWeightMatrix maps spectrogram bins [dft_length/2+1] to mel bins: triangles whose corners are evenly
// spaced in mels, 2595*log10(1+hertz/700).
func MelWeightMatrix(c *Call) (err error) {
	defer guard(&err)
	mels, n, rate := scalarInt(c.in(0), "num_mel_bins"), scalarInt(c.in(1), "dft_length"), scalarInt(c.in(2), "sample_rate")
	check(mels >= 0 && n >= 0 && rate > 0, "%d mel bins, dft_length %d, sample_rate %d", mels, n, rate)
	mel := func(i int) float64 { return 2595 * math.Log10(1+scalarFloat(c.in(i), "edge")/700) }
	low, high := mel(3), mel(4)
	step := (high - low) / float64(mels+2)
	bins := n/2 + 1
	corner := make([]int64, elemCount([]int64{mels + 2}, 64))
	for i := range corner {
		hertz := 700 * (math.Pow(10, (float64(i)*step+low)/2595) - 1)
		at := math.Floor(float64(n+1) * hertz / float64(rate))
		check(at >= 0 && at <= float64(bins), "edges %g to %g Hz do not fit %d bins at %d Hz", scalarFloat(c.in(3), ""), scalarFloat(c.in(4), ""), bins, rate)
		corner[i] = int64(at)
	}
	shape := []int64{bins, mels}
	out := make([]float64, elemCount(shape, 64))
	for i := range mels {
		for j := range bins {
			out[j*mels+i] = melWeight(j, corner[i], corner[i+1], corner[i+2])
		}
	}
	c.give(fromFloats(c.Attrs.DType("output_datatype", tensor.F32), shape, out))
	return nil
}

// melWeight is the height at j of the triangle over the corners l, m, h.
func melWeight(j, l, m, h int64) float64 {
	switch {
	case j >= m && j < h:
		return float64(h-j) / float64(h-m)
	case j == m:
		return 1
	case j >= l && j < m:
		return float64(j-l) / float64(m-l)
	}
	return 0
}
