package hostop

import (
	"math"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// floatMap applies f to each element of a float tensor, in float64, and rounds to its type.
func floatMap(c *Call, f func(x float64) float64) (err error) {
	defer guard(&err)
	x := c.in(0)
	check(x.DType.IsFloat(), "floats wanted, got %s", x.TypeString())
	c.give(mapFloats(x, f))
	return nil
}

func mapFloats(x *tensor.Tensor, f func(x float64) float64) *tensor.Tensor {
	v := floatsOf(x)
	for i, e := range v {
		v[i] = f(e)
	}
	return fromFloats(x.DType, x.Shape, v)
}

// numberMap does so for integers too, each class by its own function; unsigned may be nil for the identity.
func numberMap(c *Call, f func(x float64) float64, signed, unsigned func(x int64) int64) (err error) {
	defer guard(&err)
	x := c.in(0)
	if x.DType.IsFloat() {
		c.give(mapFloats(x, f))
		return nil
	}
	check(x.DType.IsInt(), "numbers wanted, got %s", x.TypeString())
	g := signed
	if x.DType.Class() == tensor.ClassUint {
		g = unsigned
	}
	v := intsOf(x)
	if g != nil {
		for i, e := range v {
			v[i] = g(e)
		}
	}
	c.give(fromInts(x.DType, x.Shape, v))
	return nil
}

// Acos is the arc cosine.
func Acos(c *Call) error { return floatMap(c, math.Acos) }

// Acosh is the inverse hyperbolic cosine.
func Acosh(c *Call) error { return floatMap(c, math.Acosh) }

// Asin is the arc sine.
func Asin(c *Call) error { return floatMap(c, math.Asin) }

// Asinh is the inverse hyperbolic sine.
func Asinh(c *Call) error { return floatMap(c, math.Asinh) }

// Atan is the arc tangent.
func Atan(c *Call) error { return floatMap(c, math.Atan) }

// Atanh is the inverse hyperbolic tangent.
func Atanh(c *Call) error { return floatMap(c, math.Atanh) }

// Ceil is the least integer not below.
func Ceil(c *Call) error { return floatMap(c, math.Ceil) }

// Cos is the cosine.
func Cos(c *Call) error { return floatMap(c, math.Cos) }

// Cosh is the hyperbolic cosine.
func Cosh(c *Call) error { return floatMap(c, math.Cosh) }

// Erf is the error function.
func Erf(c *Call) error {
	return numberMap(c, math.Erf, func(x int64) int64 { return int64(math.Erf(float64(x))) }, func(x int64) int64 { return int64(math.Erf(float64(uint64(x)))) })
}

// Exp is e to the power x.
func Exp(c *Call) error { return floatMap(c, exp) }

// Floor is the greatest integer not above.
func Floor(c *Call) error { return floatMap(c, math.Floor) }

// HardSwish is x * max(0, min(1, x/6 + 1/2)).
func HardSwish(c *Call) error {
	return floatMap(c, func(x float64) float64 { return x * max(0, min(1, x/6+0.5)) })
}

// Log is the natural logarithm.
func Log(c *Call) error { return floatMap(c, log) }

// Mish is x * tanh(softplus(x)).
func Mish(c *Call) error {
	return floatMap(c, func(x float64) float64 { return x * math.Tanh(softplus(x)) })
}

// Reciprocal is 1/x.
func Reciprocal(c *Call) error { return floatMap(c, func(x float64) float64 { return 1 / x }) }

// Round gives the nearest integer, ties to even.
func Round(c *Call) error { return floatMap(c, math.RoundToEven) }

// Sigmoid is 1/(1+exp(-x)).
func Sigmoid(c *Call) error { return floatMap(c, sigmoid) }

// Sin is the sine.
func Sin(c *Call) error { return floatMap(c, math.Sin) }

// Sinh is the hyperbolic sine.
func Sinh(c *Call) error { return floatMap(c, math.Sinh) }

// Softplus is log(exp(x)+1).
func Softplus(c *Call) error { return floatMap(c, softplus) }

// Softsign is x/(1+|x|).
func Softsign(c *Call) error { return floatMap(c, softsign) }

// Sqrt is the square root.
func Sqrt(c *Call) error { return floatMap(c, math.Sqrt) }

// Tan is the tangent.
func Tan(c *Call) error { return floatMap(c, math.Tan) }

// Tanh is the hyperbolic tangent.
func Tanh(c *Call) error { return floatMap(c, math.Tanh) }

// exp is math.Exp, which on some machines overflows below the logarithm of the largest number.
func exp(x float64) float64 {
	if x > 709 {
		h := math.Exp(x / 2)
		return h * h
	}
	return math.Exp(x)
}

// log is math.Log, which on some machines is wrong for subnormal numbers.
func log(x float64) float64 {
	if 0 < x && x < 0x1p-1022 {
		return math.Log(x*0x1p54) - 54*math.Ln2
	}
	return math.Log(x)
}

func sigmoid(x float64) float64  { return 1 / (1 + math.Exp(-x)) }
func softsign(x float64) float64 { return x / (1 + math.Abs(x)) }

// softplus avoids the overflow of exp: log(1+e^x) = max(x,0) + log(1+e^-|x|).
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

// relu keeps -0 and NaN.
func relu(x float64) float64 {
	if x < 0 {
		return 0
	}
	return x
}

// Celu is max(0,x) + min(0, alpha*(exp(x/alpha)-1)).
func Celu(c *Call) error {
	a := c.Attrs.Float("alpha", 1)
	return floatMap(c, func(x float64) float64 { return max(0, x) + min(0, a*math.Expm1(x/a)) })
}

// Elu is x where x > 0, else alpha*(exp(x)-1).
func Elu(c *Call) error { return floatMap(c, elu(c.Attrs.Float("alpha", 1))) }

func elu(a float64) func(float64) float64 {
	return func(x float64) float64 {
		if x > 0 {
			return x
		}
		return a * math.Expm1(x)
	}
}

// Gelu is x * Phi(x), by erf or, with approximate=tanh, by tanh.
func Gelu(c *Call) error {
	switch a := c.Attrs.Str("approximate", "none"); a {
	case "none":
		return floatMap(c, func(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) })
	case "tanh":
		k := math.Sqrt(2 / math.Pi)
		return floatMap(c, func(x float64) float64 { return 0.5 * x * (1 + math.Tanh(k*(x+0.044715*x*x*x))) })
	default:
		return Errorf("approximate is %q, want none or tanh", a)
	}
}

// HardSigmoid is max(0, min(1, alpha*x + beta)).
func HardSigmoid(c *Call) error {
	return floatMap(c, hardSigmoid(c.Attrs.Float("alpha", 0.2), c.Attrs.Float("beta", 0.5)))
}

func hardSigmoid(a, b float64) func(float64) float64 {
	return func(x float64) float64 { return max(0, min(1, a*x+b)) }
}

// LeakyRelu is x where x >= 0, else alpha*x.
func LeakyRelu(c *Call) error { return floatMap(c, leakyRelu(c.Attrs.Float("alpha", 0.01))) }

func leakyRelu(a float64) func(float64) float64 {
	return func(x float64) float64 {
		if x < 0 {
			return a * x
		}
		return x
	}
}

// Selu is gamma * (x where x > 0, else alpha*(exp(x)-1)).
func Selu(c *Call) error {
	a, g := c.Attrs.Float("alpha", 1.67326319217681884765625), c.Attrs.Float("gamma", 1.05070102214813232421875)
	e := elu(a)
	return floatMap(c, func(x float64) float64 { return g * e(x) })
}

// Swish is x * sigmoid(alpha*x).
func Swish(c *Call) error {
	a := c.Attrs.Float("alpha", 1)
	return floatMap(c, func(x float64) float64 { return x * sigmoid(a*x) })
}

// ThresholdedRelu is x where x > alpha, else 0.
func ThresholdedRelu(c *Call) error { return floatMap(c, thresholdedRelu(c.Attrs.Float("alpha", 1))) }

func thresholdedRelu(a float64) func(float64) float64 {
	return func(x float64) float64 {
		if x > a {
			return x
		}
		return 0
	}
}

// Shrink is x+bias below -lambd, x-bias above lambd, else 0.
func Shrink(c *Call) error {
	bias, l := c.Attrs.Float("bias", 0), c.Attrs.Float("lambd", 0.5)
	f := func(x float64) float64 {
		switch {
		case x < -l:
			return x + bias
		case x > l:
			return x - bias
		}
		return 0
	}
	return numberMap(c, f, func(x int64) int64 { return floatToInt(tensor.I64, f(float64(x))) }, func(x int64) int64 {
		return floatToInt(tensor.U64, f(float64(uint64(x))))
	})
}

// Abs is the absolute value; that of the least integer wraps to itself.
func Abs(c *Call) error {
	return numberMap(c, math.Abs, func(x int64) int64 {
		if x < 0 {
			return -x
		}
		return x
	}, nil)
}

// Neg is the negation.
func Neg(c *Call) error {
	neg := func(x int64) int64 { return -x }
	return numberMap(c, func(x float64) float64 { return -x }, neg, neg)
}

// Relu is max(0, x); it keeps NaN and -0.
func Relu(c *Call) error {
	return numberMap(c, relu, func(x int64) int64 { return max(0, x) }, nil)
}

// Sign is -1, 0 or 1.
func Sign(c *Call) error {
	return numberMap(c, func(x float64) float64 {
		switch {
		case x > 0:
			return 1
		case x < 0:
			return -1
		}
		return x // keeps NaN
	}, func(x int64) int64 {
		switch {
		case x > 0:
			return 1
		case x < 0:
			return -1
		}
		return 0
	}, func(x int64) int64 {
		if x != 0 {
			return 1
		}
		return 0
	})
}

// BitwiseNot is the complement of each bit.
func BitwiseNot(c *Call) error {
	not := func(x int64) int64 { return ^x }
	return numberMap(c, func(float64) float64 { return math.NaN() }, not, not)
}

// predicate maps a real tensor to Bool.
func predicate(c *Call, f func(x float64) bool) (err error) {
	defer guard(&err)
	x := c.in(0)
	out := alloc(tensor.Bool, x.Shape...)
	for i, e := range floatsOf(x) {
		if f(e) {
			out.Data[i] = 1
		}
	}
	c.give(out)
	return nil
}

// Not is the logical not.
func Not(c *Call) error { return predicate(c, func(x float64) bool { return x == 0 }) }

// IsNaN tells whether x is not a number.
func IsNaN(c *Call) error { return predicate(c, func(x float64) bool { return x != x }) }

// IsInf tells whether x is infinite, of the signs that the attributes select.
func IsInf(c *Call) error {
	neg, pos := c.Attrs.Int("detect_negative", 1) != 0, c.Attrs.Int("detect_positive", 1) != 0
	return predicate(c, func(x float64) bool { return pos && math.IsInf(x, 1) || neg && math.IsInf(x, -1) })
}

// Cast converts to the element type `to` by the rules of docs/semantics.md.
func Cast(c *Call) (err error) {
	defer guard(&err)
	to := c.Attrs.DType("to", tensor.Invalid)
	check(to != tensor.Invalid, "attribute to is missing")
	c.give(castTo(c.in(0), to, c.Attrs.Int("saturate", 1) != 0, c.Attrs.Str("round_mode", "up")))
	return nil
}

// CastLike converts to the element type of its second operand.
func CastLike(c *Call) (err error) {
	defer guard(&err)
	c.give(castTo(c.in(0), c.in(1).DType, c.Attrs.Int("saturate", 1) != 0, c.Attrs.Str("round_mode", "up")))
	return nil
}

// BitCast gives the same bits as another element type of the same width.
func BitCast(c *Call) (err error) {
	defer guard(&err)
	x, to := c.in(0), c.Attrs.DType("to", tensor.Invalid)
	check(to.Bits() == x.DType.Bits() && to.Bits() > 0, "cannot take the bits of %v as %v", x.DType, to)
	y := reshaped(x, x.Shape...)
	y.DType = to
	c.give(y)
	return nil
}
