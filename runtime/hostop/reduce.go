package hostop

import (
	"math"
	"sort"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// lanes says how reductions walk a tensor: for each of the kept positions, in order, the base offset, and
// the offsets of the elements reduced to it.
type lanes struct {
	shape  []int64 // of the result
	bases  []int64
	within []int64
}

// lanesOf splits the dimensions of x into those kept and those reduced.
func lanesOf(x *tensor.Tensor, axes []int, keepdims bool) lanes {
	red := make([]bool, len(x.Shape))
	for _, a := range axes {
		red[a] = true
	}
	l := lanes{shape: []int64{}}
	st := stridesOf(x.Shape)
	var kept, keptSt, in, inSt []int64
	for i, d := range x.Shape {
		if red[i] {
			in, inSt = append(in, d), append(inSt, st[i])
			if keepdims {
				l.shape = append(l.shape, 1)
			}
			continue
		}
		kept, keptSt = append(kept, d), append(keptSt, st[i])
		l.shape = append(l.shape, d)
	}
	l.bases, l.within = offsets(kept, keptSt), offsets(in, inSt)
	return l
}

// offsets lists the offsets of all indices of a shape in order.
func offsets(shape, strides []int64) []int64 {
	out := make([]int64, elemCount(shape, 64))
	eachIndex(shape, func(o int64, idx []int64) { out[o] = dot(idx, strides) })
	return out
}

// reduceAxes gives the axes of a Reduce op, and whether there is nothing to do.
func reduceAxes(c *Call, x *tensor.Tensor) (axes []int, noop bool) {
	if t := c.opt(1); t != nil && t.Len() > 0 {
		return normAxes(intsOf(t), len(x.Shape)), false
	}
	if c.Attrs.Int("noop_with_empty_axes", 0) != 0 {
		return nil, true
	}
	for i := range x.Shape {
		axes = append(axes, i)
	}
	return axes, false
}

// reduction folds the elements of a lane. Integers fold exactly, modulo 2^width; a reduction without
// an integer form goes through float64 and truncates.
type reduction struct {
	f     func(v []float64) float64
	i     func(v []int64, unsigned bool) int64
	empty func(d tensor.DType) int64 // the integer result over nothing, where it depends on the type
}

func reduce(c *Call, r reduction) (err error) {
	defer guard(&err)
	x := c.in(0)
	axes, noop := reduceAxes(c, x)
	l := lanesOf(x, axes, noop || c.Attrs.Int("keepdims", 1) != 0)
	isInt := x.DType.IsInt() || x.DType == tensor.Bool
	if isInt && r.i != nil {
		c.give(fromInts(x.DType, l.shape, foldLanes(l, intsOf(x), func(v []int64) int64 {
			if len(v) == 0 && r.empty != nil {
				return r.empty(x.DType)
			}
			return r.i(v, x.DType == tensor.U64)
		})))
		return nil
	}
	c.give(fromFloats(x.DType, l.shape, foldLanes(l, floatsOf(x), r.f)))
	return nil
}

func foldLanes[T any](l lanes, x []T, f func(v []T) T) []T {
	out := make([]T, len(l.bases))
	buf := make([]T, len(l.within))
	for o, b := range l.bases {
		for k, w := range l.within {
			buf[k] = x[b+w]
		}
		out[o] = f(buf)
	}
	return out
}

func sumOf(f func(x float64) float64) func(v []float64) float64 {
	return func(v []float64) float64 {
		s := 0.0
		for _, x := range v {
			s += f(x)
		}
		return s
	}
}

func sumOfInt(f func(x int64) int64) func(v []int64, unsigned bool) int64 {
	return func(v []int64, _ bool) int64 {
		s := int64(0)
		for _, x := range v {
			s += f(x)
		}
		return s
	}
}

func ident[T any](x T) T              { return x }
func square[T float64 | int64](x T) T { return x * x }

func absInt(x int64) int64 {
	if x < 0 {
		return -x
	}
	return x
}

// ReduceSum is the sum along axes; 0 over nothing.
func ReduceSum(c *Call) error {
	return reduce(c, reduction{f: sumOf(ident[float64]), i: sumOfInt(ident[int64])})
}

// ReduceSumSquare is the sum of squares along axes.
func ReduceSumSquare(c *Call) error {
	return reduce(c, reduction{f: sumOf(square[float64]), i: sumOfInt(square[int64])})
}

// ReduceL1 is the sum of absolute values along axes.
func ReduceL1(c *Call) error {
	return reduce(c, reduction{f: sumOf(math.Abs), i: func(v []int64, unsigned bool) int64 {
		if unsigned {
			return sumOfInt(ident[int64])(v, unsigned)
		}
		return sumOfInt(absInt)(v, unsigned)
	}})
}

// ReduceL2 is the square root of the sum of squares along axes.
func ReduceL2(c *Call) error {
	sum := sumOf(square[float64])
	return reduce(c, reduction{f: func(v []float64) float64 { return math.Sqrt(sum(v)) }})
}

// ReduceLogSum is the logarithm of the sum along axes.
func ReduceLogSum(c *Call) error {
	sum := sumOf(ident[float64])
	return reduce(c, reduction{f: func(v []float64) float64 { return math.Log(sum(v)) }})
}

// ReduceLogSumExp is the logarithm of the sum of exponentials along axes.
func ReduceLogSumExp(c *Call) error { return reduce(c, reduction{f: logSumExp}) }

// logSumExp takes the largest out first, so that nothing overflows.
func logSumExp(v []float64) float64 {
	m := fold(math.Inf(-1), v, maxNaN)
	if math.IsInf(m, 0) || m != m {
		return m
	}
	s := 0.0
	for _, x := range v {
		s += math.Exp(x - m)
	}
	return m + math.Log(s)
}

func fold(acc float64, v []float64, f func(a, b float64) float64) float64 {
	for _, x := range v {
		acc = f(acc, x)
	}
	return acc
}

// ReduceMean is the mean along axes; 0 over nothing.
func ReduceMean(c *Call) error {
	sum := sumOf(ident[float64])
	return reduce(c, reduction{
		f: func(v []float64) float64 {
			if len(v) == 0 {
				return 0
			}
			return sum(v) / float64(len(v))
		},
		i: func(v []int64, unsigned bool) int64 {
			s := sumOfInt(ident[int64])(v, unsigned)
			switch {
			case len(v) == 0:
				return 0
			case unsigned:
				return int64(uint64(s) / uint64(len(v)))
			}
			return s / int64(len(v))
		},
	})
}

// ReduceProd is the product along axes; 1 over nothing.
func ReduceProd(c *Call) error {
	return reduce(c, reduction{
		f: func(v []float64) float64 { return fold(1, v, opMul.f) },
		i: func(v []int64, _ bool) int64 {
			p := int64(1)
			for _, x := range v {
				p *= x
			}
			return p
		},
	})
}

// ReduceMax is the maximum along axes, NaN where there is one; the type's least over nothing.
func ReduceMax(c *Call) error {
	return reduce(c, extreme(math.Inf(-1), opMax, func(d tensor.DType) int64 {
		lo, _ := intRange(d)
		return lo
	}))
}

// ReduceMin is the minimum along axes, NaN where there is one; the type's largest over nothing.
func ReduceMin(c *Call) error {
	return reduce(c, extreme(math.Inf(1), opMin, func(d tensor.DType) int64 {
		_, hi := intRange(d)
		return hi
	}))
}

func extreme(start float64, op arith, empty func(d tensor.DType) int64) reduction {
	return reduction{
		f: func(v []float64) float64 { return fold(start, v, op.f) },
		i: func(v []int64, unsigned bool) int64 {
			m := v[0]
			for _, x := range v[1:] {
				if unsigned {
					m = int64(op.u(uint64(m), uint64(x)))
				} else {
					m = op.i(m, x)
				}
			}
			return m
		},
		empty: func(d tensor.DType) int64 {
			if d == tensor.Bool {
				return map[bool]int64{true: 0, false: 1}[start < 0]
			}
			return empty(d)
		},
	}
}

// better reports whether a comes before b when the largest is sought; NaN counts as largest.
func better(a, b float64) bool { return a > b || a != a && b == b }

// ranker compares elements of a tensor for ArgMax, ArgMin, TopK and Hardmax.
func ranker(x *tensor.Tensor, largest bool) func(i, j int64) bool {
	var gt func(i, j int64) bool
	switch {
	case x.DType == tensor.U64:
		v := view[uint64](x)
		gt = func(i, j int64) bool { return v[i] > v[j] }
	case x.DType.IsInt():
		v := intsOf(x)
		gt = func(i, j int64) bool { return v[i] > v[j] }
	default:
		v := floatsOf(x)
		gt = func(i, j int64) bool { return better(v[i], v[j]) }
	}
	if largest {
		return gt
	}
	return func(i, j int64) bool { return gt(j, i) }
}

func argExtreme(c *Call, largest bool) (err error) {
	defer guard(&err)
	x := c.in(0)
	a := normAxis(c.Attrs.Int("axis", 0), len(x.Shape))
	l := lanesOf(x, []int{a}, c.Attrs.Int("keepdims", 1) != 0)
	check(len(l.within) > 0 || len(l.bases) == 0, "no element along axis %d of %s", a, x.TypeString())
	before, last := ranker(x, largest), c.Attrs.Int("select_last_index", 0) != 0
	out := make([]int64, len(l.bases))
	for o, b := range l.bases {
		best := 0
		for k := 1; k < len(l.within); k++ {
			i, j := b+l.within[k], b+l.within[best]
			if before(i, j) || last && !before(j, i) {
				best = k
			}
		}
		out[o] = int64(best)
	}
	c.give(fromInts(tensor.I64, l.shape, out))
	return nil
}

// ArgMax is the index of the maximum along an axis, the lowest of equals or, with select_last_index, the highest.
func ArgMax(c *Call) error { return argExtreme(c, true) }

// ArgMin is the index of the minimum along an axis.
func ArgMin(c *Call) error { return argExtreme(c, false) }

// TopK gives the K largest or smallest along an axis, in order, ties by lower index.
func TopK(c *Call) (err error) {
	defer guard(&err)
	x, k := c.in(0), scalarInt(c.in(1), "K")
	a := normAxis(c.Attrs.Int("axis", -1), len(x.Shape))
	check(k >= 0 && k <= x.Shape[a], "K is %d for dimension %d", k, x.Shape[a])
	l := lanesOf(x, []int{a}, false)
	before := ranker(x, c.Attrs.Int("largest", 1) != 0)
	shape := append([]int64{}, x.Shape...)
	shape[a] = k
	vals, ind := alloc(x.DType, shape...), alloc(tensor.I64, shape...)
	dst := view[int64](ind)
	inner := product(x.Shape[a+1:])
	order := make([]int64, len(l.within))
	for o, b := range l.bases {
		for i := range order {
			order[i] = int64(i)
		}
		sort.SliceStable(order, func(i, j int) bool { return before(b+l.within[order[i]], b+l.within[order[j]]) })
		at := int64(o)/inner*k*inner + int64(o)%inner
		for i := range k {
			copyElem(vals, at+i*inner, x, b+l.within[order[i]])
			dst[at+i*inner] = order[i]
		}
	}
	c.give(vals, ind)
	return nil
}

// running accumulates along an axis.
func running(c *Call, op arith, start int64) (err error) {
	defer guard(&err)
	x := c.in(0)
	a := normAxis(scalarInt(c.in(1), "axis"), len(x.Shape))
	l := lanesOf(x, []int{a}, false)
	exclusive, reverse := c.Attrs.Int("exclusive", 0) != 0, c.Attrs.Int("reverse", 0) != 0
	if reverse {
		for i, j := 0, len(l.within)-1; i < j; i, j = i+1, j-1 {
			l.within[i], l.within[j] = l.within[j], l.within[i]
		}
	}
	if x.DType.IsFloat() {
		c.give(fromFloats(x.DType, x.Shape, scan(l, floatsOf(x), float64(start), exclusive, op.f)))
		return nil
	}
	// Sums and products of unsigned integers are those of signed ones, modulo 2^width.
	c.give(fromInts(x.DType, x.Shape, scan(l, intsOf(x), start, exclusive, op.i)))
	return nil
}

func scan[T any](l lanes, x []T, start T, exclusive bool, f func(a, b T) T) []T {
	out := make([]T, len(x))
	for _, b := range l.bases {
		acc := start
		for _, w := range l.within {
			next := f(acc, x[b+w])
			if exclusive {
				out[b+w] = acc
			} else {
				out[b+w] = next
			}
			acc = next
		}
	}
	return out
}

// CumSum is the running sum along an axis.
func CumSum(c *Call) error { return running(c, opAdd, 0) }

// CumProd is the running product along an axis.
func CumProd(c *Call) error { return running(c, opMul, 1) }

// alongAxis rewrites each lane of x along one axis, in float64.
func alongAxis(c *Call, f func(v []float64)) (err error) {
	defer guard(&err)
	x := c.in(0)
	check(x.DType.IsFloat(), "floats wanted, got %s", x.TypeString())
	if len(x.Shape) == 0 {
		v := floatsOf(x)
		f(v)
		c.give(fromFloats(x.DType, x.Shape, v))
		return nil
	}
	l := lanesOf(x, []int{normAxis(c.Attrs.Int("axis", -1), len(x.Shape))}, false)
	vals := floatsOf(x)
	buf := make([]float64, len(l.within))
	for _, b := range l.bases {
		for k, w := range l.within {
			buf[k] = vals[b+w]
		}
		f(buf)
		for k, w := range l.within {
			vals[b+w] = buf[k]
		}
	}
	c.give(fromFloats(x.DType, x.Shape, vals))
	return nil
}

// Softmax gives exponentials normalised to sum 1 along an axis; a lane of -Inf gives NaN.
func Softmax(c *Call) error {
	return alongAxis(c, softmax)
}

func softmax(v []float64) {
	m, s := fold(math.Inf(-1), v, maxNaN), 0.0
	for i, x := range v {
		v[i] = math.Exp(x - m)
		s += v[i]
	}
	for i := range v {
		v[i] /= s
	}
}

// LogSoftmax is the logarithm of Softmax.
func LogSoftmax(c *Call) error {
	return alongAxis(c, func(v []float64) {
		m, s := fold(math.Inf(-1), v, maxNaN), 0.0
		for _, x := range v {
			s += math.Exp(x - m)
		}
		for i, x := range v {
			v[i] = x - m - math.Log(s)
		}
	})
}

// Hardmax has 1 at the first maximum along an axis, 0 elsewhere.
func Hardmax(c *Call) error {
	return alongAxis(c, func(v []float64) {
		best := 0
		for i, x := range v {
			if better(x, v[best]) {
				best = i
			}
		}
		for i := range v {
			v[i] = 0
			if i == best {
				v[i] = 1
			}
		}
	})
}

// LpNormalization divides by the p-norm along an axis; a norm of 0 leaves zeros.
func LpNormalization(c *Call) error {
	p := c.Attrs.Int("p", 2)
	if p != 1 && p != 2 {
		return Errorf("p is %d, want 1 or 2", p)
	}
	return alongAxis(c, func(v []float64) {
		n := sumOf(math.Abs)(v)
		if p == 2 {
			n = math.Sqrt(sumOf(square[float64])(v))
		}
		if n == 0 {
			return
		}
		for i := range v {
			v[i] /= n
		}
	})
}
