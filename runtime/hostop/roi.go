package hostop

import (
	"math"
)

// maxRoiSamples bounds the samples of one cell along one axis: beyond it a region is not one of an image.
const maxRoiSamples = 1 << 16

// RoiAlign pools interpolated samples over the cells of regions: X [N,C,H,W], rois [R,4] as x1, y1, x2,
// y2, batch_indices [R].
func RoiAlign(c *Call) (err error) {
	defer guard(&err)
	x, rois, batch := c.in(0), c.in(1), intsOf(c.in(2))
	oh, ow := c.Attrs.Int("output_height", 1), c.Attrs.Int("output_width", 1)
	mode, coord := c.Attrs.Str("mode", "avg"), c.Attrs.Str("coordinate_transformation_mode", "half_pixel")
	oneOf("mode", mode, "avg", "max")
	oneOf("coordinate_transformation_mode", coord, "half_pixel", "output_half_pixel")
	check(len(x.Shape) == 4 && len(rois.Shape) == 2 && rois.Shape[1] == 4 && int64(len(batch)) == rois.Shape[0],
		"X is %s, rois is %s, batch_indices has %d numbers", x.TypeString(), rois.TypeString(), len(batch))
	ratio, scale := c.Attrs.Int("sampling_ratio", 0), c.Attrs.Float("spatial_scale", 1)
	channels, h, w := x.Shape[1], x.Shape[2], x.Shape[3]
	shape := []int64{rois.Shape[0], channels, oh, ow}
	v, r := floatsOf(x), floatsOf(rois)
	out := make([]float64, elemCount(shape, 64))
	for i := range rois.Shape[0] {
		b := batch[i]
		check(b >= 0 && b < x.Shape[0], "batch index %d of %d", b, x.Shape[0])
		axis := func(j, n int64) roiAxis {
			return newRoiAxis(r[i*4+j], r[i*4+2+j], scale, n, ratio, coord == "half_pixel")
		}
		ax, ay := axis(0, ow), axis(1, oh)
		for ch := range channels {
			image := v[(b*channels+ch)*h*w:][:h*w]
			for p := range oh * ow {
				out[((i*channels+ch)*oh*ow)+p] = roiCell(image, h, w, ay, ax, p/ow, p%ow, mode == "max")
			}
		}
	}
	c.give(fromFloats(x.DType, shape, out))
	return nil
}

// roiAxis divides one axis of a region into cells of so many samples.
type roiAxis struct {
	start, cell float64
	samples     int64
}

func newRoiAxis(from, to, scale float64, cells, ratio int64, halfPixel bool) roiAxis {
	off := 0.0
	if halfPixel {
		off = 0.5
	}
	a := roiAxis{start: from*scale - off, samples: ratio}
	length := to*scale - off - a.start
	if !halfPixel { // malformed regions become 1x1
		length = max(length, 1)
	}
	a.cell = length / float64(cells)
	if ratio <= 0 {
		n := math.Ceil(a.cell)
		check(n <= maxRoiSamples, "a region from %g to %g", from, to)
		a.samples = int64(max(n, 0))
	}
	return a
}

func (a roiAxis) at(cell, i int64) float64 {
	return a.start + float64(cell)*a.cell + (float64(i)+0.5)*a.cell/float64(a.samples)
}

// roiCell pools the samples of one cell. The maximum is that of weighted pixels, as the definition has it.
func roiCell(image []float64, h, w int64, ay, ax roiAxis, cy, cx int64, largest bool) float64 {
	sum, top, first := 0.0, 0.0, true
	for iy := range ay.samples {
		y0, y1, fy, oky := roiTaps(ay.at(cy, iy), h)
		for ix := range ax.samples {
			x0, x1, fx, okx := roiTaps(ax.at(cx, ix), w)
			var p [4]float64
			if oky && okx {
				p = [4]float64{weighted((1-fy)*(1-fx), image[y0*w+x0]), weighted((1-fy)*fx, image[y0*w+x1]),
					weighted(fy*(1-fx), image[y1*w+x0]), weighted(fy*fx, image[y1*w+x1])}
			}
			sum += p[0] + p[1] + p[2] + p[3]
			if m := max(p[0], p[1], p[2], p[3]); first || m > top || m != m {
				top, first = m, false
			}
		}
	}
	if largest {
		return top
	}
	return sum / float64(max(ay.samples*ax.samples, 1))
}

// weighted is w*x, 0 for a weight of 0: an infinity there must not become NaN.
func weighted(w, x float64) float64 {
	if w == 0 {
		return 0
	}
	return w * x
}

// roiTaps gives the neighbours of x among n pixels and the weight of the second; false outside.
func roiTaps(x float64, n int64) (i0, i1 int64, f float64, ok bool) {
	if !(x >= -1 && x <= float64(n)) || n == 0 {
		return 0, 0, 0, false
	}
	x = max(x, 0)
	i0 = int64(x)
	if i0 >= n-1 {
		return n - 1, n - 1, 0, true
	}
	return i0, i0 + 1, x - float64(i0), true
}

// MaxRoiPool takes the maximum over the cells of regions: X [N,C,H,W], rois [R,5] as batch index, x1, y1,
// x2, y2. A cell that covers no pixel gives 0.
func MaxRoiPool(c *Call) (err error) {
	defer guard(&err)
	x, rois := c.in(0), c.in(1)
	pooled, scale := c.Attrs.Ints("pooled_shape", nil), c.Attrs.Float("spatial_scale", 1)
	check(len(x.Shape) == 4 && len(rois.Shape) == 2 && rois.Shape[1] == 5 && len(pooled) == 2, "X is %s, rois is %s, pooled_shape %v", x.TypeString(), rois.TypeString(), pooled)
	channels, h, w := x.Shape[1], x.Shape[2], x.Shape[3]
	shape := []int64{rois.Shape[0], channels, pooled[0], pooled[1]}
	v, r := floatsOf(x), floatsOf(rois)
	out := make([]float64, elemCount(shape, 64))
	for i := range rois.Shape[0] {
		roi := r[i*5:][:5]
		check(roi[0] >= 0 && roi[0] < float64(x.Shape[0]), "batch index %g of %d", roi[0], x.Shape[0])
		for ch := range channels {
			image := v[(int64(roi[0])*channels+ch)*h*w:][:h*w]
			for p := range pooled[0] * pooled[1] {
				y0, y1 := roiCellRange(roi[2]*scale, roi[4]*scale, p/pooled[1], pooled[0], h)
				x0, x1 := roiCellRange(roi[1]*scale, roi[3]*scale, p%pooled[1], pooled[1], w)
				out[(i*channels+ch)*pooled[0]*pooled[1]+p] = maxOver(image, w, y0, y1, x0, x1)
			}
		}
	}
	c.give(fromFloats(x.DType, shape, out))
	return nil
}

// roiCellRange is the range of pixels of one of cells cells of the region [from, to].
func roiCellRange(from, to float64, cell, cells, n int64) (lo, hi int64) {
	check(from == from && to == to, "a region with NaN")
	limit := func(x float64) float64 { return min(max(math.Round(x), -1<<30), 1<<30) }
	start := limit(from)
	size := float64(float32(max(limit(to)-start+1, 1)) / float32(cells))
	at := func(x float64) int64 { return int64(min(max(x+start, 0), float64(n))) }
	return at(math.Floor(float64(float32(float64(cell) * size)))), at(math.Ceil(float64(float32(float64(cell+1) * size))))
}

func maxOver(image []float64, w, y0, y1, x0, x1 int64) float64 {
	if y0 >= y1 || x0 >= x1 {
		return 0
	}
	top := math.Inf(-1)
	for y := y0; y < y1; y++ {
		for x := x0; x < x1; x++ {
			top = max(top, image[y*w+x])
		}
	}
	return top
}
