package imagedec

import "math"

// synthesize puts the bands of all resolutions together (annex F).
func (c *j2kComp) synthesize(all []*j2kRes) []float32 {
	low := all[0].bands[0].coef
	for _, res := range all[1:] {
		w, h := res.w(), res.h()
		out := make([]float32, w*h)
		// The coefficients of low and high pass alternate; even places of the grid are low.
		place := func(coef []float32, kind, width int) {
			if width == 0 {
				return
			}
			x0, y0 := (res.x0+kind&1)&1, (res.y0+kind>>1)&1
			for i, v := range coef {
				out[(y0+i/width*2)*w+x0+i%width*2] = v
			}
		}
		place(low, 0, (res.x1+1)>>1-(res.x0+1)>>1)
		for _, b := range res.bands {
			place(b.coef, b.kind, b.w())
		}
		line := make([]float32, max(w, h))
		for y := range h {
			c.inverse(out[y*w:][:w], res.x0&1)
		}
		for x := range w {
			for y := range h {
				line[y] = out[y*w+x]
			}
			c.inverse(line[:h], res.y0&1)
			for y := range h {
				out[y*w+x] = line[y]
			}
		}
		low = out
	}
	return low
}

// inverse undoes the transform of a line whose first number is low pass where odd is 0.
func (c *j2kComp) inverse(v []float32, odd int) {
	n := len(v)
	if n == 1 {
		if odd == 1 {
			v[0] /= 2
			if c.reversible {
				v[0] = float32(math.Floor(float64(v[0])))
			}
		}
		return
	}
	// lift adds to every second number, from the first of the given parity, what f makes of its neighbours; the
	// line goes on mirrored at its ends.
	lift := func(parity int, f func(sum float32) float32) {
		for i := (parity + odd) & 1; i < n; i += 2 {
			a, b := i-1, i+1
			if a < 0 {
				a = 1
			}
			if b >= n {
				b = n - 2
			}
			v[i] += f(v[a] + v[b])
		}
	}
	if c.reversible {
		lift(0, func(s float32) float32 { return -float32(math.Floor(float64(s+2) / 4)) })
		lift(1, func(s float32) float32 { return float32(math.Floor(float64(s) / 2)) })
		return
	}
	const k = 1.230174104914001
	for i := range v {
		if (i+odd)&1 == 0 {
			v[i] *= k
		} else {
			v[i] *= 1 / k
		}
	}
	for i, f := range []float32{-0.443506852043971, -0.882911075530934, 0.052980118572961, 1.586134342059924} {
		lift(i&1, func(s float32) float32 { return f * s })
	}
}
