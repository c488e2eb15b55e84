package hostop

import (
	"math"
	"math/bits"
	"math/rand/v2"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// Philox is the generator Philox 4x32-10 (J. Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3",
// SC 2011): ten rounds of multiplications mix a counter under a key. Any element of a stream is computed by
// itself, so that results do not depend on who computes what; docs/random.md says how ops use it.
func Philox(key uint64, counter [4]uint32) [4]uint32 {
	k0, k1, c := uint32(key), uint32(key>>32), counter
	for range 10 {
		h0, l0 := bits.Mul32(0xD2511F53, c[0])
		h1, l1 := bits.Mul32(0xCD9E8D57, c[2])
		c = [4]uint32{h1 ^ c[1] ^ k0, l1, h0 ^ c[3] ^ k1, l0}
		k0, k1 = k0+0x9E3779B9, k1+0xBB67AE85
	}
	return c
}

// draw gives the two numbers of [0, 1) that belong to element i, of 53 bits each.
func draw(key uint64, i int64) (u1, u2 float64) {
	w := Philox(key, [4]uint32{uint32(i), uint32(i >> 32)})
	unit := func(a, b uint32) float64 { return float64(uint64(a>>5)<<26|uint64(b>>6)) * 0x1p-53 }
	return unit(w[0], w[1]), unit(w[2], w[3])
}

// randomKey is the key of an op: that of its attribute seed, or a fresh one.
func randomKey(c *Call) uint64 {
	switch s := c.Attrs["seed"].(type) {
	case float64:
		return FloatKey(s)
	case int64:
		return uint64(s)
	}
	return rand.Uint64()
}

// FloatKey is the key of a seed that is a float: its bits as an f32.
func FloatKey(seed float64) uint64 { return uint64(math.Float32bits(float32(seed))) }

// Seed is a random number for this run, i64.
func Seed(c *Call) error {
	c.give(tensor.Of([]int64{int64(rand.Uint64())}))
	return nil
}

// random makes a result of the given shape from the draws of each element.
func random(c *Call, d tensor.DType, shape []int64, f func(i int64, u1, u2 float64) float64) *tensor.Tensor {
	key := randomKey(c)
	vals := make([]float64, elemCount(shape, 64))
	for i := range vals {
		u1, u2 := draw(key, int64(i))
		vals[i] = f(int64(i), u1, u2)
	}
	return fromFloats(d, shape, vals)
}

// uniform makes uniform random floats of [low, high).
func uniform(c *Call, d tensor.DType, shape []int64) (err error) {
	defer guard(&err)
	check(d.IsFloat(), "random numbers of type %v", d)
	low, high := c.Attrs.Float("low", 0), c.Attrs.Float("high", 1)
	c.give(random(c, d, shape, func(_ int64, u, _ float64) float64 { return low + u*(high-low) }))
	return nil
}

// normal makes normal random floats by the method of Box and Muller.
func normal(c *Call, d tensor.DType, shape []int64) (err error) {
	defer guard(&err)
	check(d.IsFloat(), "random numbers of type %v", d)
	mean, scale := c.Attrs.Float("mean", 0), c.Attrs.Float("scale", 1)
	c.give(random(c, d, shape, func(_ int64, u1, u2 float64) float64 {
		return mean + scale*(math.Sqrt(-2*math.Log(1-u1))*math.Cos(2*math.Pi*u2))
	}))
	return nil
}

// RandomUniform makes uniform random numbers of [low, high).
func RandomUniform(c *Call) error {
	return uniform(c, c.Attrs.DType("dtype", tensor.F32), c.Attrs.Ints("shape", nil))
}

// RandomNormal makes normal random numbers.
func RandomNormal(c *Call) error {
	return normal(c, c.Attrs.DType("dtype", tensor.F32), c.Attrs.Ints("shape", nil))
}

// like calls f with the shape of operand 0 and the type that is asked for.
func like(c *Call, f func(c *Call, d tensor.DType, shape []int64) error) (err error) {
	defer guard(&err)
	x := c.in(0)
	return f(c, c.Attrs.DType("dtype", x.DType), x.Shape)
}

// RandomUniformLike makes uniform random numbers in a tensor's shape.
func RandomUniformLike(c *Call) error { return like(c, uniform) }

// RandomNormalLike makes normal random numbers in a tensor's shape.
func RandomNormalLike(c *Call) error { return like(c, normal) }

// Bernoulli is 1 with the probabilities of its operand, else 0.
func Bernoulli(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	check(x.DType.IsFloat(), "probabilities wanted, got %s", x.TypeString())
	p := floatsOf(x)
	c.give(random(c, c.Attrs.DType("dtype", x.DType), x.Shape, func(i int64, u, _ float64) float64 {
		if u < p[i] {
			return 1
		}
		return 0
	}))
	return nil
}

// Multinomial draws classes by the unnormalised log-probabilities of each row.
func Multinomial(c *Call) (err error) {
	defer guard(&err)
	x, n := c.in(0), c.Attrs.Int("sample_size", 1)
	check(x.DType.IsFloat() && len(x.Shape) == 2 && x.Shape[1] > 0 && n >= 0, "%d samples of %s", n, x.TypeString())
	classes := x.Shape[1]
	sums := floatsOf(x) // running sums of the probabilities
	for b := range x.Shape[0] {
		row := sums[b*classes : (b+1)*classes]
		top, acc := fold(math.Inf(-1), row, maxNaN), 0.0
		for i, v := range row {
			acc += math.Exp(v - top)
			row[i] = acc
		}
	}
	c.give(random(c, c.Attrs.DType("dtype", tensor.I32), []int64{x.Shape[0], n}, func(i int64, u, _ float64) float64 {
		row := sums[i/n*classes : (i/n+1)*classes]
		at := int64(0)
		for _, s := range row[:classes-1] {
			if s <= u*row[classes-1] {
				at++
			}
		}
		return float64(at)
	}))
	return nil
}

// Dropout in training mode sets elements to 0 with probability ratio and scales the others by 1/(1-ratio); its
// mask says which stay. Else it is the identity, with a mask of all true. With a seed, the numbers are those of twister,
// in the order of the elements.
func Dropout(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	ratio, train := 0.5, false
	if r := c.opt(1); r != nil {
		ratio = scalarFloat(r, "ratio")
	}
	check(ratio >= 0 && ratio <= 1, "ratio is %g, want one of [0, 1]", ratio)
	if t := c.opt(2); t != nil {
		train = scalarFloat(t, "training_mode") != 0
	}
	var seeded *twister
	if s, ok := c.Attrs["seed"].(int64); ok {
		seeded = newTwister(uint32(s))
	}
	mask := random(c, tensor.Bool, x.Shape, func(_ int64, u, _ float64) float64 {
		if seeded != nil {
			u = seeded.float()
		}
		if train && u < ratio {
			return 0
		}
		return 1
	})
	out := x
	if train {
		vals := floatsOf(x)
		for i := range vals {
			if mask.Data[i] == 0 {
				vals[i] = 0
			} else {
				vals[i] *= 1 / (1 - ratio)
			}
		}
		out = fromFloats(x.DType, x.Shape, vals)
	}
	c.give(out, mask)
	return nil
}
