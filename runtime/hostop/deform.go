package hostop

import (
	"math"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// DeformConv is convolution whose taps are moved by offsets, and weighted by a mask, of any rank. Between pixels it
// interpolates linearly, beyond the image it reads zeros. See Dai et al., "Deformable Convolutional
// Networks", and Zhu et al., "Deformable ConvNets v2", for the mask.
func DeformConv(c *Call) (err error) {
	defer guard(&err)
	x, w, off, mask := c.in(0), c.in(1), c.in(2), c.opt(4)
	sameType(x, w, off)
	n, cin, spatial := images(x)
	kernel := kernelOf(c.Attrs, w)
	win := windowOf(c.Attrs, spatial, kernel)
	group, og := c.Attrs.Int("group", 1), c.Attrs.Int("offset_group", 1)
	m, cg := w.Shape[0], w.Shape[1]
	check(group > 0 && cin == cg*group && m%group == 0, "%d groups of weights %s for input %s", group, w.TypeString(), x.TypeString())
	check(og > 0 && cin%og == 0, "%d groups of offsets for %d channels", og, cin)
	taps, out := product(kernel), product(win.out)
	wantShape("offset", off, append([]int64{n, og * taps * int64(len(kernel))}, win.out...)...)
	if mask != nil {
		wantShape("mask", mask, append([]int64{n, og * taps}, win.out...)...)
	}
	cols := deformed(x, off, mask, win, og)
	shape := append([]int64{n, m}, win.out...)
	y := make([]float64, elemCount(shape, 64))
	wv := floatsOf(w)
	for nm := range n * m {
		b, o := nm/m, nm%m
		first := b*cin + o/(m/group)*cg // channel of the input
		for k := range cg * taps {
			addScaled(y[nm*out:], 0, 1, wv[o*cg*taps+k], cols[(first*taps+k)*out:], 0, 1, out)
		}
	}
	addBias(y, shape, c.opt(3))
	c.give(fromFloats(x.DType, shape, y))
	return nil
}

// deformed samples the input at all taps of all positions: [n, channels, taps, positions].
func deformed(x, off, mask *tensor.Tensor, win window, og int64) []float64 {
	n, cin, spatial := images(x)
	dims, taps, out, size := int64(len(spatial)), product(win.kernel), product(win.out), product(spatial)
	xv, ov := floatsOf(x), floatsOf(off)
	var mv []float64
	if mask != nil {
		mv = floatsOf(mask)
	}
	cols := make([]float64, elemCount([]int64{n, cin, taps, out}, 64))
	at := make([]float64, dims)
	for b := range n {
		for ch := range cin {
			g := b*og + ch/(cin/og)
			img := xv[(b*cin+ch)*size:][:size]
			eachIndex(win.kernel, func(tap int64, kidx []int64) {
				eachIndex(win.out, func(p int64, pidx []int64) {
					for d := range at {
						shift := ov[((g*taps+tap)*dims+int64(d))*out+p]
						at[d] = float64(pidx[d]*win.strides[d]-win.before[d]+kidx[d]*win.dilations[d]) + shift
					}
					v := sampleLinear(img, spatial, at)
					if mv != nil {
						v *= mv[(g*taps+tap)*out+p]
					}
					cols[((b*cin+ch)*taps+tap)*out+p] = v
				})
			})
		}
	}
	return cols
}

// sampleLinear interpolates between the 2^n pixels around a point; those outside are 0, and so is a point that
// is a pixel or more away from the image, or not a number.
func sampleLinear(img []float64, size []int64, at []float64) float64 {
	for d, x := range at {
		if !(x > -1 && x < float64(size[d])) {
			return 0
		}
	}
	sum := 0.0
	for corner := range 1 << len(at) {
		weight, flat, inside := 1.0, int64(0), true
		for d, x := range at {
			low := math.Floor(x)
			i, f := int64(low), 1-(x-low)
			if corner>>d&1 != 0 {
				i, f = i+1, 1-f
			}
			inside = inside && i >= 0 && i < size[d]
			weight *= f
			flat = flat*size[d] + i
		}
		if inside {
			sum += weight * img[flat]
		}
	}
	return sum
}
