package hostop

import "github.com/nnc-go/nnc/runtime/tensor"

// Unpack puts elements of 2 or 4 bits into a byte each: integers by value, float codes as they are.
func Unpack(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	check(x.DType.Bits() > 0 && x.DType.Bits() < 8, "elements of less than a byte wanted, got %s", x.TypeString())
	to := tensor.U8
	if x.DType.Class() == tensor.ClassInt {
		to = tensor.I8
	}
	out := alloc(to, x.Shape...)
	for i := range out.Data {
		v, ok := x.IntAt(int64(i))
		if !ok {
			v = int64(bitsAt(x, int64(i)))
		}
		out.Data[i] = byte(v)
	}
	c.give(out)
	return nil
}

// Pack keeps the low bits of bytes as elements of a type of 2 or 4 bits.
func Pack(c *Call) (err error) {
	defer guard(&err)
	x, to := c.in(0), c.Attrs.DType("to", tensor.Invalid)
	check(to.Bits() > 0 && to.Bits() < 8 && x.DType.Size() == 1, "cannot pack %s as %v", x.TypeString(), to)
	out := alloc(to, x.Shape...)
	for i := range x.Len() {
		putBits(out, i, x.Data[i])
	}
	c.give(out)
	return nil
}

// Decode gives the values of codes of a float type of at most 8 bits.
func Decode(c *Call) (err error) {
	defer guard(&err)
	x, from := c.in(0), c.Attrs.DType("from", tensor.Invalid)
	_, _, _, ok := tensor.MiniFormat(from)
	check(ok && x.DType == tensor.U8, "cannot decode %s as %v", x.TypeString(), from)
	v := make([]float64, x.Len())
	for i := range v {
		v[i] = tensor.MiniToF64(from, x.Data[i]&byte(1<<from.Bits()-1))
	}
	c.give(fromFloats(tensor.F32, x.Shape, v))
	return nil
}

// Encode rounds to a float type of at most 8 bits, as Cast does, and gives the codes.
func Encode(c *Call) (err error) {
	defer guard(&err)
	x, to := c.in(0), c.Attrs.DType("to", tensor.Invalid)
	_, _, _, ok := tensor.MiniFormat(to)
	check(ok, "cannot encode %s as %v", x.TypeString(), to)
	y := castTo(x, to, c.Attrs.Int("saturate", 1) != 0, c.Attrs.Str("round_mode", "up"))
	out := alloc(tensor.U8, x.Shape...)
	for i := range out.Data {
		if to.Bits() == 8 {
			out.Data[i] = y.Data[i]
		} else {
			out.Data[i] = bitsAt(y, int64(i))
		}
	}
	c.give(out)
	return nil
}

// Part gives the bits of the real or imaginary parts.
func Part(c *Call) (err error) {
	defer guard(&err)
	x, index := c.in(0), c.Attrs.Int("index", 0)
	half, ok := halves[x.DType]
	check(ok && (index == 0 || index == 1), "part %d of %s", index, x.TypeString())
	c.give(part(x, index, half.bits))
	return nil
}

// Join makes complex numbers of the bits of their parts.
func Join(c *Call) (err error) {
	defer guard(&err)
	re, im := c.in(0), c.in(1)
	wantShape("the imaginary part", im, re.Shape...)
	for d, half := range halves {
		if re.DType == half.bits && im.DType == half.bits {
			c.give(joined(d, re, im))
			return nil
		}
	}
	fail("parts of u32 or u64 wanted, got %s and %s", re.TypeString(), im.TypeString())
	return nil
}

// Regroup sees the bytes of the last dimension as elements of another width.
func Regroup(c *Call) (err error) {
	defer guard(&err)
	x, to := c.in(0), c.Attrs.DType("to", tensor.Invalid)
	check(len(x.Shape) > 0 && x.DType.Bits() > 0 && to.Bits() > 0, "cannot regroup %s as %v", x.TypeString(), to)
	shape := append([]int64{}, x.Shape...)
	last := len(shape) - 1
	bits := shape[last] * int64(x.DType.Bits())
	check(bits%8 == 0 && bits%int64(to.Bits()) == 0, "the last dimension of %s is not a whole number of bytes and of elements of %v", x.TypeString(), to)
	shape[last] = bits / int64(to.Bits())
	y := reshaped(x, shape...)
	y.DType = to
	c.give(y)
	return nil
}
