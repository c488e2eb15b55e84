package hostop

import (
	"math"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// perChannel gives the elements of a vector of n.
func perChannel(t *tensor.Tensor, n int64, name string) []float64 {
	check(t.Len() == n, "%s is %s, want %d elements", name, t.TypeString(), n)
	return floatsOf(t)
}

// BatchNormalization is (x-mean)/sqrt(var+epsilon)*scale + B per channel. In training mode the moments
// are those of x (population variance), and running ones are results.
func BatchNormalization(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	check(len(x.Shape) >= 2, "an image [N,C,...] wanted, got %s", x.TypeString())
	ch, per := x.Shape[1], product(x.Shape[2:])
	scale, bias := perChannel(c.in(1), ch, "scale"), perChannel(c.in(2), ch, "B")
	mean, vari := perChannel(c.in(3), ch, "input_mean"), perChannel(c.in(4), ch, "input_var")
	v := floatsOf(x)
	var out []*tensor.Tensor
	if c.Attrs.Int("training_mode", 0) != 0 {
		m, s := channelMoments(v, ch, per)
		f := c.Attrs.Float("momentum", 0.9)
		out = []*tensor.Tensor{fromFloats(c.in(3).DType, []int64{ch}, blend(mean, m, f)), fromFloats(c.in(4).DType, []int64{ch}, blend(vari, s, f))}
		mean, vari = m, s
	}
	eps := c.Attrs.Float("epsilon", 1e-5)
	for i := range v {
		k := int64(i) / per % ch
		v[i] = (v[i]-mean[k])/math.Sqrt(vari[k]+eps)*scale[k] + bias[k]
	}
	c.give(append([]*tensor.Tensor{fromFloats(x.DType, x.Shape, v)}, out...)...)
	return nil
}

func blend(old, cur []float64, f float64) []float64 {
	out := make([]float64, len(old))
	for i := range out {
		out[i] = old[i]*f + cur[i]*(1-f)
	}
	return out
}

// channelMoments gives mean and population variance of each channel.
func channelMoments(v []float64, ch, per int64) (mean, vari []float64) {
	mean, vari = make([]float64, ch), make([]float64, ch)
	n := float64(len(v)) / float64(max(ch, 1))
	for i, x := range v {
		mean[int64(i)/per%ch] += x / n
	}
	for i, x := range v {
		k := int64(i) / per % ch
		vari[k] += square(x-mean[k]) / n
	}
	return mean, vari
}

// moments gives mean and population variance.
func moments(v []float64) (mean, vari float64) {
	mean = meanOf(v)
	return mean, meanOf(mapped(v, func(x float64) float64 { return square(x - mean) }))
}

func mapped(v []float64, f func(x float64) float64) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = f(x)
	}
	return out
}

// InstanceNormalization normalises the pixels of each channel of each sample.
func InstanceNormalization(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	_, ch, _ := images(x)
	c.give(groupNorm(c, x, ch))
	return nil
}

// GroupNormalization normalises groups of channels of each sample.
func GroupNormalization(c *Call) (err error) {
	defer guard(&err)
	c.give(groupNorm(c, c.in(0), c.Attrs.Int("num_groups", 0)))
	return nil
}

func groupNorm(c *Call, x *tensor.Tensor, groups int64) *tensor.Tensor {
	check(len(x.Shape) >= 2, "an image [N,C,...] wanted, got %s", x.TypeString())
	ch, per := x.Shape[1], product(x.Shape[2:])
	check(groups > 0 && ch%groups == 0, "%d groups of %d channels", groups, ch)
	scale, bias := perChannel(c.in(1), ch, "scale"), perChannel(c.in(2), ch, "bias")
	v, eps := floatsOf(x), c.Attrs.Float("epsilon", 1e-5)
	size := ch / groups * per
	for at := int64(0); size > 0 && at < int64(len(v)); at += size {
		mean, vari := moments(v[at : at+size])
		d := math.Sqrt(vari + eps)
		for i := at; i < at+size; i++ {
			k := i / per % ch
			v[i] = (v[i]-mean)/d*scale[k] + bias[k]
		}
	}
	return fromFloats(x.DType, x.Shape, v)
}

// trailing splits x before axis: the shape with 1 from there on, and the number of elements after it.
func trailing(c *Call, x *tensor.Tensor) (stats []int64, axis int, size int64) {
	axis = normAxis(c.Attrs.Int("axis", -1), len(x.Shape))
	stats = append([]int64{}, x.Shape...)
	for i := axis; i < len(stats); i++ {
		stats[i] = 1
	}
	return stats, axis, product(x.Shape[axis:])
}

// affine is x*scale + bias, broadcast to x; both may be nil.
func affine(x []float64, shape []int64, scale, bias *tensor.Tensor) []float64 {
	if scale != nil {
		x = zip(shape, shape, scale.Shape, x, floatsOf(scale), opMul.f)
	}
	if bias != nil {
		x = zip(shape, shape, bias.Shape, x, floatsOf(bias), opAdd.f)
	}
	return x
}

// LayerNormalization normalises the dimensions from axis on; it also gives mean and inverse deviation.
func LayerNormalization(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	stats, _, size := trailing(c, x)
	v, eps := floatsOf(x), c.Attrs.Float("epsilon", 1e-5)
	var means, invs []float64
	for at := int64(0); at < int64(len(v)); at += size {
		mean, vari := moments(v[at : at+size])
		inv := 1 / math.Sqrt(vari+eps)
		for i := at; i < at+size; i++ {
			v[i] = (v[i] - mean) * inv
		}
		means, invs = append(means, mean), append(invs, inv)
	}
	if size == 0 { // no element to normalise, but perhaps statistics of nothing
		means, invs = make([]float64, product(stats)), make([]float64, product(stats))
		for i := range invs {
			invs[i] = 1 / math.Sqrt(eps)
		}
	}
	st := tensor.DType(c.Attrs.Int("stash_type", int64(tensor.F32)))
	c.give(fromFloats(x.DType, x.Shape, affine(v, x.Shape, c.in(1), c.opt(2))), fromFloats(st, stats, means), fromFloats(st, stats, invs))
	return nil
}

// ChannelNorm is LayerNormalization of the channels of each pixel of [N,C,H,W].
func ChannelNorm(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	check(len(x.Shape) == 4, "[N,C,H,W] wanted, got %s", x.TypeString())
	sub := &Call{In: append([]Value{permute(x, []int{0, 2, 3, 1})}, c.In[1:]...), Attrs: c.Attrs, NumOut: 1}
	if err := LayerNormalization(sub); err != nil {
		return err
	}
	c.give(permute(sub.Out[0].(*tensor.Tensor), []int{0, 3, 1, 2}))
	return nil
}

// RMSNormalization divides by the root mean square over the dimensions from axis on; it also gives the
// inverse of that.
func RMSNormalization(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	stats, _, size := trailing(c, x)
	v, eps := floatsOf(x), c.Attrs.Float("epsilon", 1e-5)
	invs := make([]float64, product(stats))
	for r := range invs {
		row := v[int64(r)*size : int64(r+1)*size]
		invs[r] = 1 / math.Sqrt(meanOf(mapped(row, square[float64]))+eps)
		for i := range row {
			row[i] *= invs[r]
		}
	}
	st := tensor.DType(c.Attrs.Int("stash_type", int64(tensor.F32)))
	c.give(fromFloats(x.DType, x.Shape, affine(v, x.Shape, c.in(1), nil)), fromFloats(st, stats, invs))
	return nil
}

// MeanVarianceNormalization is (x-mean)/stddev over axes.
func MeanVarianceNormalization(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	l := lanesOf(x, normAxes(c.Attrs.Ints("axes", []int64{0, 2, 3}), len(x.Shape)), true)
	v := floatsOf(x)
	buf := make([]float64, len(l.within))
	for _, b := range l.bases {
		for k, w := range l.within {
			buf[k] = v[b+w]
		}
		mean, vari := moments(buf)
		for _, w := range l.within {
			v[b+w] = (v[b+w] - mean) / (math.Sqrt(vari) + 1e-9)
		}
	}
	c.give(fromFloats(x.DType, x.Shape, v))
	return nil
}

// LRN divides by a power of the squares of neighbouring channels.
func LRN(c *Call) (err error) {
	defer guard(&err)
	x, size := c.in(0), c.Attrs.Int("size", 0)
	check(len(x.Shape) >= 2 && size > 0, "size %d for %s", size, x.TypeString())
	alpha, beta, bias := c.Attrs.Float("alpha", 1e-4), c.Attrs.Float("beta", 0.75), c.Attrs.Float("bias", 1)
	ch, per := x.Shape[1], product(x.Shape[2:])
	v := floatsOf(x)
	y := make([]float64, len(v))
	for i := range v {
		k, s := int64(i)/per%ch, 0.0
		for j := max(0, k-(size-1)/2); j <= min(ch-1, k+size/2); j++ {
			s += square(v[int64(i)+(j-k)*per])
		}
		y[i] = v[i] / math.Pow(bias+alpha/float64(size)*s, beta)
	}
	c.give(fromFloats(x.DType, x.Shape, y))
	return nil
}
