package hostop

import (
	"math"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// sampler reads an image of any number of spatial dimensions at fractional coordinates.
type sampler struct {
	mode, padding string
	align, single bool // single: coordinates are computed in f32
	dims          []int64
}

// samplePoint is an index along one axis with its weight; out marks a pixel that counts as 0.
type samplePoint struct {
	at     int64
	weight float64
	out    bool
}

func (s *sampler) narrow(x float64) float64 {
	if s.single {
		return float64(float32(x))
	}
	return x
}

// GridSample samples X [N,C,spatial...] at the points of grid [N,out spatial...,number of spatial
// dimensions], whose coordinates -1 to 1 span the image, the last dimension first.
func GridSample(c *Call) (err error) {
	defer guard(&err)
	return byParts(c, gridSample)
}

func gridSample(c *Call) error {
	x, grid := c.in(0), c.in(1)
	s := &sampler{mode: c.Attrs.Str("mode", "linear"), padding: c.Attrs.Str("padding_mode", "zeros"), align: c.Attrs.Int("align_corners", 0) != 0,
		single: grid.DType != tensor.F64}
	oneOf("mode", s.mode, "linear", "nearest", "cubic")
	oneOf("padding_mode", s.padding, "zeros", "border", "reflection")
	r := len(x.Shape)
	check(r >= 3 && len(grid.Shape) == r && grid.Shape[r-1] == int64(r-2) && grid.Shape[0] == x.Shape[0], "X is %s, grid is %s", x.TypeString(), grid.TypeString())
	s.dims = x.Shape[2:]
	points := product(grid.Shape[1 : r-1])
	shape := append(append([]int64{}, x.Shape[:2]...), grid.Shape[1:r-1]...)
	g, plane, n := floatsOf(grid), product(s.dims), len(s.dims)
	check(elemCount(shape, 64) == 0 || plane > 0, "an empty image %s cannot be sampled", x.TypeString())
	out := alloc(x.DType, shape...)
	var pixels, sums []float64
	if s.mode != "nearest" { // which takes elements of any type
		pixels, sums = floatsOf(x), make([]float64, out.Len())
	}
	taps := make([][]samplePoint, n)
	for b := range x.Shape[0] {
		for p := range points {
			at := g[(b*points+p)*int64(n):][:n]
			for i := range taps {
				taps[i] = s.taps(i, at[n-1-i])
			}
			for ch := range x.Shape[1] {
				image := b*x.Shape[1] + ch
				if sums != nil {
					sums[image*points+p] = s.sum(pixels[image*plane:][:plane], taps, 0, 0)
				} else if at, ok := s.nearest(taps); ok {
					copyElem(out, image*points+p, x, image*plane+at)
				}
			}
		}
	}
	if sums != nil {
		out = roundedTo(x.DType, shape, sums)
	}
	c.give(out)
	return nil
}

// nearest is the offset of the only pixel of each axis; ok is false where it counts as 0.
func (s *sampler) nearest(taps [][]samplePoint) (off int64, ok bool) {
	for i, t := range taps {
		if t[0].out {
			return 0, false
		}
		off = off*s.dims[i] + t[0].at
	}
	return off, true
}

// sum interpolates along axis i and those after it, from the given offset on.
func (s *sampler) sum(image []float64, taps [][]samplePoint, i int, off int64) float64 {
	if i == len(taps) {
		return image[off]
	}
	total := 0.0
	for _, t := range taps[i] {
		pixel := 0.0
		if !t.out {
			pixel = s.sum(image, taps, i+1, off*s.dims[i]+t.at)
		}
		total += t.weight * pixel
	}
	return total
}

// taps lists the pixels along axis i that the normalised coordinate x lies between.
func (s *sampler) taps(i int, x float64) []samplePoint {
	n := float64(s.dims[i])
	lo, hi := -0.5, n-0.5
	if s.align {
		lo, hi = 0, n-1
		x = s.narrow(s.narrow(s.narrow(x+1)/2) * (n - 1))
	} else {
		x = s.narrow(s.narrow(s.narrow(s.narrow(x+1)*n)-1) / 2)
	}
	if s.mode == "nearest" {
		x = math.RoundToEven(x)
	}
	if x < lo || x > hi {
		switch s.padding {
		case "border":
			x = min(max(x, 0), n-1)
		case "reflection":
			x = s.narrow(reflect(x, lo, hi))
		}
	}
	point := func(p, w float64) samplePoint {
		t := samplePoint{weight: w}
		switch s.padding {
		case "zeros":
			t.out = !(p >= 0 && p <= n-1)
		case "reflection":
			p = math.Trunc(reflect(p, lo, hi))
		}
		if p >= 0 { // not NaN
			t.at = int64(min(p, n-1))
		}
		return t
	}
	f := math.Floor(x)
	d := x - f
	switch s.mode {
	case "nearest":
		return []samplePoint{point(x, 1)}
	case "linear":
		return []samplePoint{point(f, 1-d), point(f+1, d)}
	}
	k := resizer{cubicA: -0.75}
	return []samplePoint{point(f-1, k.cubic(1+d)), point(f, k.cubic(d)), point(f+1, k.cubic(1-d)), point(f+2, k.cubic(2-d))}
}

// reflect folds x into [lo, hi] at both ends.
func reflect(x, lo, hi float64) float64 {
	span := hi - lo
	if !(span > 0) {
		return lo
	}
	fold := func(d, from, to float64) float64 {
		n := math.Trunc(d / span)
		r := d - n*span
		if math.Mod(n, 2) == 0 {
			return from + math.Copysign(r, to-from)
		}
		return to + math.Copysign(r, from-to)
	}
	switch {
	case x < lo:
		return fold(lo-x, lo, hi)
	case x > hi:
		return fold(x-hi, hi, lo)
	}
	return x
}

// AffineGrid gives the points that affine maps theta [N,2,3] or [N,3,4] send the points of a regular
// grid of size [N,C,H,W] or [N,C,D,H,W] to.
func AffineGrid(c *Call) (err error) {
	defer guard(&err)
	theta, size := c.in(0), intsOf(c.in(1))
	n := len(size) - 2
	check(n == 2 || n == 3, "size has %d numbers, want 4 or 5", len(size))
	check(len(theta.Shape) == 3 && theta.Shape[0] == size[0] && theta.Shape[1] == int64(n) && theta.Shape[2] == int64(n+1),
		"theta is %s, want [%d,%d,%d]", theta.TypeString(), size[0], n, n+1)
	align := c.Attrs.Int("align_corners", 0) != 0
	shape := append(append([]int64{size[0]}, size[2:]...), int64(n))
	out := make([]float64, elemCount(shape, 64))
	t := floatsOf(theta)
	points := product(size[2:])
	for b := range size[0] {
		for p := range points {
			at := make([]float64, n+1)
			at[n] = 1
			rest := p
			for i := n - 1; i >= 0; i-- {
				at[n-1-i] = gridCoord(rest%size[2+i], size[2+i], align)
				rest /= size[2+i]
			}
			for j := range n {
				sum := 0.0
				for k, x := range at {
					sum += t[(int(b)*n+j)*(n+1)+k] * x
				}
				out[(b*points+p)*int64(n)+int64(j)] = sum
			}
		}
	}
	c.give(fromFloats(theta.DType, shape, out))
	return nil
}

// gridCoord is the normalised coordinate of pixel i of n.
func gridCoord(i, n int64, align bool) float64 {
	switch {
	case !align:
		return float64(2*i+1)/float64(n) - 1
	case n == 1:
		return 0
	}
	return float64(2*i)/float64(n-1) - 1
}
