package hostop

import (
	"cmp"
	"math"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// arith is a binary operation on each class of numbers. A nil function means that the op refuses the
// class. Results are rounded or truncated to the element type.
type arith struct {
	f func(a, b float64) float64
	i func(a, b int64) int64
	u func(a, b uint64) uint64
}

// apply computes op on a and b, broadcast.
func (op arith) apply(a, b *tensor.Tensor) *tensor.Tensor {
	sameType(a, b)
	shape := broadcastShape(a.Shape, b.Shape)
	elemCount(shape, max(64, a.DType.Bits()))
	switch cl := a.DType.Class(); {
	case cl == tensor.ClassFloat && op.f != nil:
		return fromFloats(a.DType, shape, zip(shape, a.Shape, b.Shape, floatsOf(a), floatsOf(b), op.f))
	case cl == tensor.ClassUint && op.u != nil:
		// Narrow unsigned integers are non-negative int64s, so that only the operation differs.
		return fromInts(a.DType, shape, zip(shape, a.Shape, b.Shape, intsOf(a), intsOf(b), func(x, y int64) int64 {
			return int64(op.u(uint64(x), uint64(y)))
		}))
	case cl == tensor.ClassInt && op.i != nil:
		return fromInts(a.DType, shape, zip(shape, a.Shape, b.Shape, intsOf(a), intsOf(b), op.i))
	}
	fail("no such operation on %v", a.DType)
	return nil
}

// zip applies f to the elements of a and b, broadcast from shapes sa and sb to shape.
func zip[A, B, R any](shape, sa, sb []int64, a []A, b []B, f func(x A, y B) R) []R {
	out := make([]R, product(shape))
	eachRow(shape, [][]int64{broadcastStrides(sa, shape), broadcastStrides(sb, shape)}, func(o, n int64, off, step []int64) {
		i, j := off[0], off[1]
		for k := range n {
			out[o+k] = f(a[i], b[j])
			i, j = i+step[0], j+step[1]
		}
	})
	return out
}

func arithmetic(c *Call, op arith) (err error) {
	defer guard(&err)
	c.give(op.apply(c.in(0), c.in(1)))
	return nil
}

var (
	opAdd = arith{func(a, b float64) float64 { return a + b }, func(a, b int64) int64 { return a + b }, func(a, b uint64) uint64 { return a + b }}
	opSub = arith{func(a, b float64) float64 { return a - b }, func(a, b int64) int64 { return a - b }, func(a, b uint64) uint64 { return a - b }}
	opMul = arith{func(a, b float64) float64 { return a * b }, func(a, b int64) int64 { return a * b }, func(a, b uint64) uint64 { return a * b }}
	opDiv = arith{func(a, b float64) float64 { return a / b }, divInt[int64], divInt[uint64]}
	opMax = arith{maxNaN, func(a, b int64) int64 { return max(a, b) }, func(a, b uint64) uint64 { return max(a, b) }}
	opMin = arith{minNaN, func(a, b int64) int64 { return min(a, b) }, func(a, b uint64) uint64 { return min(a, b) }}
	opAnd = arith{nil, func(a, b int64) int64 { return a & b }, func(a, b uint64) uint64 { return a & b }}
	opOr  = arith{nil, func(a, b int64) int64 { return a | b }, func(a, b uint64) uint64 { return a | b }}
	opXor = arith{nil, func(a, b int64) int64 { return a ^ b }, func(a, b uint64) uint64 { return a ^ b }}

	opMod  = arith{nil, floorMod, remInt[uint64]}
	opFmod = arith{math.Mod, remInt[int64], remInt[uint64]}
	opShl  = arith{nil, nil, func(a, b uint64) uint64 { return a << b }}
	opShr  = arith{nil, nil, func(a, b uint64) uint64 { return a >> b }}
)

// maxNaN is the larger; NaN where either is, the first of equals (0 and -0).
func maxNaN(a, b float64) float64 {
	if a != a || a >= b {
		return a
	}
	return b
}

func minNaN(a, b float64) float64 {
	if a != a || a <= b {
		return a
	}
	return b
}

// divInt truncates towards zero; MIN / -1 wraps, as Go has it.
func divInt[T int64 | uint64](a, b T) T {
	check(b != 0, "integer division by zero")
	return a / b
}

func remInt[T int64 | uint64](a, b T) T {
	check(b != 0, "integer division by zero")
	return a % b
}

// floorMod has the divisor's sign.
func floorMod(a, b int64) int64 {
	r := remInt(a, b)
	if r != 0 && (r < 0) != (b < 0) {
		r += b
	}
	return r
}

// Add is the sum.
func Add(c *Call) error { return arithmetic(c, opAdd) }

// Sub is the difference.
func Sub(c *Call) error { return arithmetic(c, opSub) }

// Mul is the product.
func Mul(c *Call) error { return arithmetic(c, opMul) }

// Div is the quotient; integers truncate, and a zero divisor is an error for them.
func Div(c *Call) error { return arithmetic(c, opDiv) }

// Mod is the remainder with the divisor's sign, or the dividend's with fmod. Floats need fmod.
func Mod(c *Call) error {
	if c.Attrs.Int("fmod", 0) != 0 {
		return arithmetic(c, opFmod)
	}
	if x := c.Tensor(0); x != nil && x.DType.IsFloat() {
		return Errorf("fmod is 0 for operands of type %v, want 1", x.DType)
	}
	return arithmetic(c, opMod)
}

// BitShift shifts unsigned integers LEFT or RIGHT; a shift by the width or more gives 0.
func BitShift(c *Call) error {
	switch d := c.Attrs.Str("direction", ""); d {
	case "LEFT":
		return arithmetic(c, opShl)
	case "RIGHT":
		return arithmetic(c, opShr)
	default:
		return Errorf("direction is %q, want LEFT or RIGHT", d)
	}
}

// BitwiseAnd is the and of each bit.
func BitwiseAnd(c *Call) error { return arithmetic(c, opAnd) }

// BitwiseOr is the or of each bit.
func BitwiseOr(c *Call) error { return arithmetic(c, opOr) }

// BitwiseXor is the exclusive or of each bit.
func BitwiseXor(c *Call) error { return arithmetic(c, opXor) }

// Pow is x to the power y in x's type; y may have another.
func Pow(c *Call) (err error) {
	defer guard(&err)
	x, y := c.in(0), c.in(1)
	shape := broadcastShape(x.Shape, y.Shape)
	elemCount(shape, 64)
	if x.DType.IsInt() && y.DType.IsInt() {
		// Exact, modulo 2^width; a negative exponent goes the way of floats: 0 but for 1 and -1.
		signed := y.DType.Class() == tensor.ClassInt
		c.give(fromInts(x.DType, shape, zip(shape, x.Shape, y.Shape, intsOf(x), intsOf(y), func(a, b int64) int64 {
			if signed && b < 0 {
				return floatToInt(x.DType, math.Pow(float64(a), float64(b)))
			}
			return powInt(a, uint64(b))
		})))
		return nil
	}
	c.give(fromFloats(x.DType, shape, zip(shape, x.Shape, y.Shape, floatsOf(x), floatsOf(y), math.Pow)))
	return nil
}

func powInt(a int64, n uint64) int64 {
	r := int64(1)
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			r *= a
		}
		a *= a
	}
	return r
}

// variadic folds op over all operands from the left.
func variadic(c *Call, op arith) *tensor.Tensor {
	check(len(c.In) > 0, "no operands")
	acc := c.in(0)
	for i := 1; i < len(c.In); i++ {
		acc = op.apply(acc, c.in(i))
	}
	return acc
}

// Max is the largest of the operands, NaN where one is.
func Max(c *Call) (err error) {
	defer guard(&err)
	c.give(variadic(c, opMax))
	return nil
}

// Min is the smallest of the operands, NaN where one is.
func Min(c *Call) (err error) {
	defer guard(&err)
	c.give(variadic(c, opMin))
	return nil
}

// Sum is the sum of the operands, rounded after each.
func Sum(c *Call) (err error) {
	defer guard(&err)
	c.give(variadic(c, opAdd))
	return nil
}

// Mean is the mean of the operands; that of integers truncates the quotient of the sum.
func Mean(c *Call) (err error) {
	defer guard(&err)
	sum := variadic(c, opAdd)
	c.give(opDiv.apply(sum, fromFloats(sum.DType, nil, []float64{float64(len(c.In))})))
	return nil
}

// relation tells whether a compares to b as an op wants; NaN compares to nothing.
type relation func(less, equal bool) bool

func compare(c *Call, rel relation) (err error) {
	defer guard(&err)
	a, b := c.in(0), c.in(1)
	sameType(a, b)
	shape := broadcastShape(a.Shape, b.Shape)
	out := alloc(tensor.Bool, shape...)
	set := func(r []bool) { copy(out.Data, tensor.AsBytes(r)) }
	switch {
	case a.DType == tensor.String:
		set(zip(shape, a.Shape, b.Shape, a.Strings, b.Strings, relOf[string](rel)))
	case a.DType == tensor.U64:
		set(zip(shape, a.Shape, b.Shape, view[uint64](a), view[uint64](b), relOf[uint64](rel)))
	case a.DType.IsFloat():
		set(zip(shape, a.Shape, b.Shape, floatsOf(a), floatsOf(b), relOf[float64](rel)))
	default:
		set(zip(shape, a.Shape, b.Shape, intsOf(a), intsOf(b), relOf[int64](rel)))
	}
	c.give(out)
	return nil
}

func relOf[T cmp.Ordered](rel relation) func(a, b T) bool {
	return func(a, b T) bool { return a == a && b == b && rel(a < b, a == b) }
}

// Equal is a = b.
func Equal(c *Call) error { return compare(c, func(_, eq bool) bool { return eq }) }

// Greater is a > b.
func Greater(c *Call) error { return compare(c, func(lt, eq bool) bool { return !lt && !eq }) }

// GreaterOrEqual is a >= b.
func GreaterOrEqual(c *Call) error { return compare(c, func(lt, _ bool) bool { return !lt }) }

// Less is a < b.
func Less(c *Call) error { return compare(c, func(lt, _ bool) bool { return lt }) }

// LessOrEqual is a <= b.
func LessOrEqual(c *Call) error { return compare(c, func(lt, eq bool) bool { return lt || eq }) }

func logic(c *Call, f func(a, b bool) bool) (err error) {
	defer guard(&err)
	a, b := c.in(0), c.in(1)
	check(a.DType == tensor.Bool && b.DType == tensor.Bool, "booleans wanted, got %v and %v", a.DType, b.DType)
	shape := broadcastShape(a.Shape, b.Shape)
	out := alloc(tensor.Bool, shape...)
	copy(out.Data, tensor.AsBytes(zip(shape, a.Shape, b.Shape, a.Data, b.Data, func(x, y byte) bool { return f(x != 0, y != 0) })))
	c.give(out)
	return nil
}

// And is the logical and.
func And(c *Call) error { return logic(c, func(a, b bool) bool { return a && b }) }

// Or is the logical or.
func Or(c *Call) error { return logic(c, func(a, b bool) bool { return a || b }) }

// Xor is the logical exclusive or.
func Xor(c *Call) error { return logic(c, func(a, b bool) bool { return a != b }) }

// Where is x where the condition holds, else y; all broadcast.
func Where(c *Call) (err error) {
	defer guard(&err)
	cond, x, y := c.in(0), c.in(1), c.in(2)
	sameType(x, y)
	check(cond.DType == tensor.Bool, "the condition must be bool, got %v", cond.DType)
	shape := broadcastShape(cond.Shape, x.Shape, y.Shape)
	out := stridedCopy(y, 0, shape, broadcastStrides(y.Shape, shape))
	eachRow(shape, [][]int64{broadcastStrides(cond.Shape, shape), broadcastStrides(x.Shape, shape)}, func(o, n int64, off, step []int64) {
		for k := range n {
			if cond.Data[off[0]+k*step[0]] != 0 {
				copyElem(out, o+k, x, off[1]+k*step[1])
			}
		}
	})
	c.give(out)
	return nil
}

// opRaise and opLower are the bounds of Clip: what does not compare, NaN, stays and does not bound.
var (
	opRaise = arith{func(x, lo float64) float64 {
		if x < lo {
			return lo
		}
		return x
	}, opMax.i, opMax.u}
	opLower = arith{func(x, hi float64) float64 {
		if x > hi {
			return hi
		}
		return x
	}, opMin.i, opMin.u}
)

// Clip is min(max, max(x, min)) with scalar bounds; NaN stays, and with min > max all become max.
func Clip(c *Call) (err error) {
	defer guard(&err)
	y := c.in(0)
	for i, op := range []arith{opRaise, opLower} {
		b := c.opt(i + 1)
		if b == nil {
			continue
		}
		check(b.Len() == 1, "bounds must be scalars, got %s", b.TypeString())
		y = op.apply(y, reshaped(b))
	}
	c.give(y)
	return nil
}

// PRelu is x where x >= 0, else slope*x; slope broadcasts to x.
func PRelu(c *Call) (err error) {
	defer guard(&err)
	x, slope := c.in(0), c.in(1)
	broadcastStrides(slope.Shape, x.Shape)
	op := arith{
		f: func(a, s float64) float64 {
			if a < 0 {
				return a * s
			}
			return a
		},
		i: func(a, s int64) int64 {
			if a < 0 {
				return a * s
			}
			return a
		},
		u: func(a, _ uint64) uint64 { return a },
	}
	c.give(op.apply(x, slope))
	return nil
}

// SwiGLU is a * sigmoid(alpha*a) * b.
func SwiGLU(c *Call) error {
	alpha := c.Attrs.Float("alpha", 1)
	return arithmetic(c, arith{f: func(a, b float64) float64 { return a * sigmoid(alpha*a) * b }})
}
