package hostop

import (
	"math"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// scaleIndex tells for an element which entry of a scale tensor applies: the only one, that of its
// place along axis, or that of its block.
func scaleIndex(c *Call, x, scale *tensor.Tensor) func(i int64) int64 {
	block := c.Attrs.Int("block_size", 0)
	if block == 0 && scale.Len() == 1 {
		return func(int64) int64 { return 0 }
	}
	axis := c.Attrs.Int("axis", 1)
	a := normAxis(axis, len(x.Shape))
	inner, n := product(x.Shape[a+1:]), x.Shape[a]
	if block == 0 {
		check(len(scale.Shape) == 1 && scale.Shape[0] == n, "scale %s for axis %d of %s", scale.TypeString(), a, x.TypeString())
		return func(i int64) int64 { return i / inner % n }
	}
	check(block > 0, "block_size is %d", block)
	want := append([]int64{}, x.Shape...)
	want[a] = (n + block - 1) / block
	wantShape("scale", scale, want...)
	return func(i int64) int64 { return (i/inner/n*want[a]+i/inner%n/block)*inner + i%inner }
}

// zeroPoint reads a zero point as integers; nil stands for zeros. It has the scale's shape.
func zeroPoint(zp, scale *tensor.Tensor) []float64 {
	if zp == nil {
		return make([]float64, scale.Len())
	}
	check(zp.Len() == scale.Len(), "zero point %s for scale %s", zp.TypeString(), scale.TypeString())
	return floatsOf(zp)
}

// quantize gives saturate(round(v) + zp) in an integer type.
func quantize(d tensor.DType, v, zp float64) int64 {
	if v != v {
		lo, _ := intRange(d)
		return lo
	}
	return saturateInt(d, math.RoundToEven(v)+zp)
}

// QuantizeLinear is saturate(round(x/scale) + zero_point), ties to even.
func QuantizeLinear(c *Call) (err error) {
	defer guard(&err)
	x, scale, zp := c.in(0), c.in(1), c.opt(2)
	d := c.Attrs.DType("output_dtype", tensor.Invalid)
	if zp != nil {
		check(d == tensor.Invalid || d == zp.DType, "output_dtype %v, zero point %v", d, zp.DType)
		d = zp.DType
	} else if d == tensor.Invalid {
		d = tensor.U8
	}
	at, s, z := scaleIndex(c, x, scale), floatsOf(scale), zeroPoint(zp, scale)
	round := f32
	if tensor.DType(c.Attrs.Int("precision", 0)) == tensor.F64 || x.DType == tensor.F64 {
		round = ident[float64]
	}
	out := alloc(d, x.Shape...)
	v := floatsOf(x)
	if d.IsFloat() {
		put := floatPutter(out, c.Attrs.Int("saturate", 1) != 0)
		for i := range v {
			put(int64(i), round(v[i]/s[at(int64(i))]))
		}
	} else {
		put := intPutter(out)
		for i := range v {
			k := at(int64(i))
			put(int64(i), quantize(d, round(v[i]/s[k]), z[k]))
		}
	}
	c.give(out)
	return nil
}

// f32 rounds to float32.
func f32(x float64) float64 { return float64(float32(x)) }

// DequantizeLinear is (x - zero_point) * scale.
func DequantizeLinear(c *Call) (err error) {
	defer guard(&err)
	x, scale := c.in(0), c.in(1)
	d := c.Attrs.DType("output_dtype", scale.DType)
	check(d != tensor.F8E8M0, "the scale is %s, want output_dtype", scale.TypeString())
	at, s, z := scaleIndex(c, x, scale), floatsOf(scale), zeroPoint(c.opt(2), scale)
	v := floatsOf(x)
	for i := range v {
		k := at(int64(i))
		v[i] = (v[i] - z[k]) * s[k]
	}
	c.give(fromFloats(d, x.Shape, v))
	return nil
}

// DynamicQuantizeLinear quantises to u8 by the range of the data, which is made to hold 0. Data of zeros
// has scale 1.
func DynamicQuantizeLinear(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	v := floatsOf(x)
	lo, hi := fold(0, v, math.Min), fold(0, v, math.Max)
	scale := f32(f32(hi-lo) / 255)
	if scale == 0 {
		scale = 1
	}
	zp := float64(quantize(tensor.U8, f32(-lo/scale), 0))
	out := alloc(tensor.U8, x.Shape...)
	for i, e := range v {
		out.Data[i] = byte(quantize(tensor.U8, f32(e/scale), zp))
	}
	c.give(out, fromFloats(tensor.F32, nil, []float64{scale}), fromInts(tensor.U8, nil, []int64{int64(zp)}))
	return nil
}

// shifted gives x minus its zero point: nothing, one for all, or one per entry of a dimension.
func shifted(x, zp *tensor.Tensor, axis int) []float64 {
	v := floatsOf(x)
	if zp == nil {
		return v
	}
	z := floatsOf(zp)
	if len(z) == 1 {
		for i := range v {
			v[i] -= z[0]
		}
		return v
	}
	if len(zp.Shape) > 1 { // with dimensions that broadcast
		return zip(x.Shape, x.Shape, zp.Shape, v, z, opSub.f)
	}
	check(axis >= 0 && axis < len(x.Shape) && int64(len(z)) == x.Shape[axis], "zero point %s for %s", zp.TypeString(), x.TypeString())
	inner := product(x.Shape[axis+1:])
	for i := range v {
		v[i] -= z[int64(i)/inner%x.Shape[axis]]
	}
	return v
}

// ConvInteger is convolution of integers in i32; padding stands for the zero point.
func ConvInteger(c *Call) (err error) {
	defer guard(&err)
	x, w := c.in(0), c.in(1)
	y, shape := convolve(c.Attrs, shifted(x, c.opt(2), -1), x.Shape, shifted(w, c.opt(3), 0), w)
	c.give(fromInts(tensor.I32, shape, toInts(y)))
	return nil
}

// toInts converts sums of integers, which float64 holds exactly.
func toInts(v []float64) []int64 {
	out := make([]int64, len(v))
	for i, x := range v {
		out[i] = int64(x)
	}
	return out
}

// quantProduct multiplies two quantised matrices in integers.
func quantProduct(a, b, azp, bzp *tensor.Tensor) ([]float64, []int64) {
	sa, sb, shape := matmulShapes(a.Shape, b.Shape)
	x, y := reshaped(a, sa...), reshaped(b, sb...)
	return mul(stacked(shifted(x, azp, len(sa)-2), sa), stacked(shifted(y, bzp, len(sb)-1), sb)).v, shape
}

// MatMulInteger is the matrix product of integers in i32.
func MatMulInteger(c *Call) (err error) {
	defer guard(&err)
	y, shape := quantProduct(c.in(0), c.in(1), c.opt(2), c.opt(3))
	c.give(fromInts(tensor.I32, shape, toInts(y)))
	return nil
}

// requantize turns integer sums into quantised results; scale gives the multiplier of element i.
func requantize(d tensor.DType, shape []int64, sums []float64, zp float64, scale func(i int64) float64) *tensor.Tensor {
	out := alloc(d, shape...)
	if d.IsFloat() {
		put := floatPutter(out, true)
		for i, s := range sums {
			put(int64(i), f32(s*scale(int64(i))))
		}
		return out
	}
	put := intPutter(out)
	for i, s := range sums {
		put(int64(i), quantize(d, f32(f32(s)*scale(int64(i))), zp))
	}
	return out
}

// QLinearConv is convolution of quantised tensors.
func QLinearConv(c *Call) (err error) {
	defer guard(&err)
	x, w, ws, yz := c.in(0), c.in(3), floatsOf(c.in(4)), c.in(7)
	xs, ys := scalarFloat(c.in(1), "x_scale"), scalarFloat(c.in(6), "y_scale")
	sums, shape := convolve(c.Attrs, shifted(x, c.in(2), -1), x.Shape, shifted(w, c.in(5), 0), w)
	addBias(sums, shape, c.opt(8))
	m, per := shape[1], product(shape[2:])
	check(len(ws) == 1 || int64(len(ws)) == m, "%d weight scales for %d channels", len(ws), m)
	c.give(requantize(yz.DType, shape, sums, scalarFloat(yz, "y_zero_point"), func(i int64) float64 {
		k := int64(0)
		if len(ws) > 1 {
			k = i / per % m
		}
		return f32(f32(xs*ws[k]) / ys)
	}))
	return nil
}

// QLinearMatMul is the matrix product of quantised tensors. Scales of A are one or per row, of B one or
// per column, or either broadcasts to the result.
func QLinearMatMul(c *Call) (err error) {
	defer guard(&err)
	a, as, b, bs, ys, yz := c.in(0), c.in(1), c.in(3), c.in(4), scalarFloat(c.in(6), "y_scale"), c.in(7)
	sums, shape := quantProduct(a, b, c.in(2), c.in(5))
	sa, sb, _ := matmulShapes(a.Shape, b.Shape)
	full := append(broadcastShape(sa[:len(sa)-2], sb[:len(sb)-2]), sa[len(sa)-2], sb[len(sb)-1])
	if len(as.Shape) == 1 && as.Len() != 1 {
		as = reshaped(as, as.Shape[0], 1)
	}
	each := func(s *tensor.Tensor) []float64 {
		if s.Len() == 1 {
			s = reshaped(s)
		}
		return zip(full, s.Shape, nil, floatsOf(s), []float64{0}, func(x, _ float64) float64 { return x })
	}
	rows, cols := each(as), each(bs)
	c.give(requantize(yz.DType, shape, sums, scalarFloat(yz, "y_zero_point"), func(i int64) float64 {
		return f32(f32(rows[i]*cols[i]) / ys)
	}))
	return nil
}
