package hostop

import (
	"math"
	"sort"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// tap is a source index and its weight.
type tap struct {
	at     int64
	weight float64
}

// resizer resamples one axis after another: interpolation in several dimensions is the product of
// interpolations in each.
type resizer struct {
	mode, coord, nearest string
	cubicA, outside      float64
	exclude, antialias   bool
}

var (
	resizeModes  = []string{"nearest", "linear", "cubic"}
	coordModes   = []string{"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize", "tf_half_pixel_for_nn"}
	nearestModes = []string{"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}
)

// axisPlan is what happens to one axis.
type axisPlan struct {
	axis       int
	in, out    int64
	scale      float64
	length     float32 // out before it was rounded
	start, end float64 // of the region, as fractions of the axis, for tf_crop_and_resize
}

// Resize resamples to scales or sizes.
func Resize(c *Call) (err error) {
	defer guard(&err)
	return byParts(c, resizeOne)
}

func resizeOne(c *Call) error {
	x := c.in(0)
	r := resizer{
		mode: c.Attrs.Str("mode", "nearest"), coord: c.Attrs.Str("coordinate_transformation_mode", "half_pixel"),
		nearest: c.Attrs.Str("nearest_mode", "round_prefer_floor"), cubicA: c.Attrs.Float("cubic_coeff_a", -0.75),
		outside: c.Attrs.Float("extrapolation_value", 0), exclude: c.Attrs.Int("exclude_outside", 0) != 0, antialias: c.Attrs.Int("antialias", 0) != 0,
	}
	oneOf("mode", r.mode, resizeModes...)
	oneOf("coordinate_transformation_mode", r.coord, coordModes...)
	oneOf("nearest_mode", r.nearest, nearestModes...)
	plans := r.plan(c, x)
	shape := append([]int64{}, x.Shape...)
	for _, p := range plans {
		shape[p.axis] = p.out
	}
	n := elemCount(shape, 64)
	check(n == 0 || x.Len() > 0, "cannot resize %s to %s", x.TypeString(), tensor.ShapeString(shape))
	// The last axis first, as kernels do.
	sort.Slice(plans, func(i, j int) bool { return plans[i].axis > plans[j].axis })
	outside := make([]bool, n)
	taps := make([][][]tap, len(plans))
	for i, p := range plans {
		var out []bool
		taps[i], out = r.taps(p)
		markOutside(outside, shape, p.axis, out)
	}
	if r.mode == "nearest" {
		c.give(r.pick(x, shape, plans, taps, outside))
		return nil
	}
	v, at := floatsOf(x), append([]int64{}, x.Shape...)
	for i, p := range plans {
		v = resample(v, at, p.axis, taps[i])
		at[p.axis] = p.out
	}
	for i, o := range outside {
		if o {
			v[i] = r.outside
		}
	}
	c.give(roundedTo(x.DType, shape, v))
	return nil
}

// roundedTo is fromFloats that rounds half to even, and saturates, to integer types.
func roundedTo(d tensor.DType, shape []int64, v []float64) *tensor.Tensor {
	if !d.IsInt() {
		return fromFloats(d, shape, v)
	}
	ints := make([]int64, len(v))
	for i := range v {
		ints[i] = saturateInt(d, math.RoundToEven(v[i]))
	}
	return fromInts(d, shape, ints)
}

// pick copies the nearest elements, of any type.
func (r *resizer) pick(x *tensor.Tensor, shape []int64, plans []axisPlan, taps [][][]tap, outside []bool) *tensor.Tensor {
	by := make([][][]tap, len(shape))
	for i, p := range plans {
		by[p.axis] = taps[i]
	}
	out := alloc(x.DType, shape...)
	size := x.DType.Size()
	check(size > 0 || x.DType == tensor.String, "resizing %v is not supported", x.DType)
	var beyond *tensor.Tensor
	for i := range out.Len() {
		from, rest, stride := int64(0), i, int64(1)
		for d := len(shape) - 1; d >= 0; d-- {
			at := rest % shape[d]
			rest /= shape[d]
			if by[d] != nil {
				at = by[d][at][0].at
			}
			from += at * stride
			stride *= x.Shape[d]
		}
		switch {
		case x.DType == tensor.String:
			out.Strings[i] = x.Strings[from]
		case outside[i]:
			if beyond == nil {
				beyond = roundedTo(x.DType, []int64{1}, []float64{r.outside})
			}
			copy(out.Data[int(i)*size:], beyond.Data[:size])
		default:
			copy(out.Data[int(i)*size:][:size], x.Data[int(from)*size:])
		}
	}
	return out
}

// plan reads scales or sizes, the axes they are for, and the region.
func (r *resizer) plan(c *Call, x *tensor.Tensor) []axisPlan {
	rank := len(x.Shape)
	axes := make([]int, rank)
	for i := range axes {
		axes[i] = i
	}
	if a := c.Attrs.Ints("axes", nil); a != nil {
		axes = normAxes(a, rank)
	}
	plans := make([]axisPlan, len(axes))
	for i, a := range axes {
		plans[i] = axisPlan{axis: a, in: x.Shape[a], end: 1}
	}
	if r.coord == "tf_crop_and_resize" {
		roi := floatsOf(c.in(1))
		check(len(roi) == 2*len(axes), "a region of %d numbers for %d axes", len(roi), len(axes))
		for i := range plans {
			plans[i].start, plans[i].end = roi[i], roi[len(axes)+i]
		}
	}
	scales, sizes := c.opt(2), c.opt(3)
	switch {
	case sizes != nil && sizes.Len() > 0:
		check(sizes.Len() == int64(len(axes)), "%d sizes for %d axes", sizes.Len(), len(axes))
		setSizes(plans, intsOf(sizes), c.Attrs.Str("keep_aspect_ratio_policy", "stretch"))
	case scales != nil && scales.Len() > 0:
		check(scales.Len() == int64(len(axes)), "%d scales for %d axes", scales.Len(), len(axes))
		for i, s := range floatsOf(scales) {
			check(s > 0 && s < 1<<31, "scale %g", s)
			plans[i].scale = s
			plans[i].length = float32(plans[i].in) // in f32, as scales are given
			if r.coord == "tf_crop_and_resize" {
				plans[i].length *= float32(plans[i].end - plans[i].start)
			}
			plans[i].length *= float32(s)
			check(plans[i].length >= 0 && plans[i].length < 1<<62, "a region from %g to %g", plans[i].start, plans[i].end)
			plans[i].out = int64(plans[i].length)
		}
	default:
		fail("neither scales nor sizes are given")
	}
	return plans
}

// setSizes sets the output sizes; the policies keep the ratio between axes.
func setSizes(plans []axisPlan, sizes []int64, policy string) {
	oneOf("keep_aspect_ratio_policy", policy, "stretch", "not_larger", "not_smaller")
	best := math.NaN()
	for i := range plans {
		p := &plans[i]
		check(sizes[i] >= 0 && (p.in > 0 || sizes[i] == 0), "size %d for a dimension of %d", sizes[i], p.in)
		p.out, p.length, p.scale = sizes[i], float32(sizes[i]), 1
		if p.in > 0 {
			p.scale = float64(sizes[i]) / float64(p.in)
		}
		if best != best || policy == "not_larger" && p.scale < best || policy == "not_smaller" && p.scale > best {
			best = p.scale
		}
	}
	if policy == "stretch" {
		return
	}
	for i := range plans {
		plans[i].scale = best
		plans[i].length = float32(best * float64(plans[i].in))
		plans[i].out = int64(math.Floor(best*float64(plans[i].in) + 0.5))
	}
}

// source gives the coordinate in the input of output i, computed in float32: which pixel is nearest
// hangs on the rounding, and ONNX Runtime and nnc's kernels compute so.
func (r *resizer) source(p axisPlan, i int64) float64 {
	x, scale, in, out := float32(i), float32(p.scale), float32(p.in), float32(p.out)
	start, end := float32(p.start), float32(p.end)
	switch {
	case r.coord == "asymmetric":
		x /= scale
	case r.coord == "tf_half_pixel_for_nn":
		x = (x + 0.5) / scale
	case r.coord == "tf_crop_and_resize" && p.out > 1:
		x = start*(in-1) + x*(end-start)*(in-1)/(out-1)
	case r.coord == "tf_crop_and_resize":
		x = 0.5 * (start + end) * (in - 1)
	case p.out <= 1 && (r.coord == "align_corners" || r.coord == "pytorch_half_pixel"):
		x = 0
	case r.coord == "align_corners":
		// The length of the result is a fraction where it comes from a scale, as in ONNX's reference.
		x = x * (in - 1) / (p.length - 1)
	case r.coord == "half_pixel_symmetric":
		x = in/2*(1-out/p.length) + (x+0.5)/scale - 0.5
	default:
		x = (x+0.5)/scale - 0.5
	}
	return float64(x)
}

// taps lists for each output of an axis the inputs it is made of, and whether it lies outside, which
// matters to tf_crop_and_resize alone.
func (r *resizer) taps(p axisPlan) (taps [][]tap, outside []bool) {
	taps, outside = make([][]tap, p.out), make([]bool, p.out)
	for i := range p.out {
		x := r.source(p, i)
		outside[i] = r.coord == "tf_crop_and_resize" && (x < 0 || x > float64(p.in-1))
		switch {
		case r.mode == "nearest":
			taps[i] = []tap{{min(max(r.round(x), 0), p.in-1), 1}}
		case r.mode == "linear":
			taps[i] = r.filter(p, x, 1, func(d float64) float64 { return max(0, 1-math.Abs(d)) })
		default:
			taps[i] = r.filter(p, x, 2, r.cubic)
		}
	}
	return taps, outside
}

func (r *resizer) round(x float64) int64 {
	switch r.nearest {
	case "round_prefer_floor":
		return int64(math.Ceil(x - 0.5))
	case "round_prefer_ceil":
		return int64(math.Floor(x + 0.5))
	case "ceil":
		return int64(math.Ceil(x))
	}
	return int64(math.Floor(x))
}

// cubic is the convolution kernel of Keys with coefficient a.
func (r *resizer) cubic(d float64) float64 {
	a := r.cubicA
	switch d = math.Abs(d); {
	case d <= 1:
		return ((a+2)*d-(a+3))*d*d + 1
	case d < 2:
		return ((a*d-5*a)*d+8*a)*d - 4*a
	}
	return 0
}

// filter samples a kernel of the given support around x. Inputs beyond the edge repeat it, or are left
// out with exclude_outside; antialiasing widens the kernel where the axis shrinks, over inputs that exist.
func (r *resizer) filter(p axisPlan, x, support float64, kernel func(d float64) float64) []tap {
	widen := 1.0
	if r.antialias && p.scale < 1 {
		widen = p.scale
	}
	lo, hi := int64(math.Floor(x-support/widen))+1, int64(math.Ceil(x+support/widen))-1
	if lo > hi {
		lo = hi
	}
	var out []tap
	sum := 0.0
	for i := lo; i <= hi; i++ {
		w := kernel((float64(i) - x) * widen)
		if r.exclude && (i < 0 || i >= p.in) {
			continue
		}
		out = append(out, tap{min(max(i, 0), p.in-1), w})
		sum += w
	}
	if sum == 0 || len(out) == 0 {
		return []tap{{min(max(int64(math.Floor(x)), 0), p.in-1), 1}}
	}
	for i := range out {
		out[i].weight /= sum
	}
	return out
}

// resample makes axis of v, of the given shape, from taps.
func resample(v []float64, shape []int64, axis int, taps [][]tap) []float64 {
	outer, n, inner := product(shape[:axis]), shape[axis], product(shape[axis+1:])
	m := int64(len(taps))
	out := make([]float64, elemCount([]int64{outer, m, inner}, 64))
	for o := range outer {
		for i, ts := range taps {
			dst := out[(o*m+int64(i))*inner:][:inner]
			if len(ts) == 1 && ts[0].weight == 1 {
				copy(dst, v[(o*n+ts[0].at)*inner:][:inner])
				continue
			}
			for _, t := range ts {
				if t.weight == 0 {
					continue // an infinity there must not become NaN
				}
				for k, e := range v[(o*n+t.at)*inner:][:inner] {
					dst[k] += t.weight * e
				}
			}
		}
	}
	return out
}

// markOutside marks the elements of a tensor whose index along axis is outside.
func markOutside(mark []bool, shape []int64, axis int, outside []bool) {
	inner, n := product(shape[axis+1:]), shape[axis]
	for i := range mark {
		if outside[int64(i)/inner%n] {
			mark[i] = true
		}
	}
}
