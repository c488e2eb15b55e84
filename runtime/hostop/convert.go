package hostop

import (
	"encoding/binary"
	"math"
	"sort"
	"strconv"
	"strings"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// floatsOf gives the elements of a real tensor as float64.
func floatsOf(t *tensor.Tensor) []float64 {
	switch t.DType.Class() {
	case tensor.ClassFloat, tensor.ClassInt, tensor.ClassUint, tensor.ClassBool:
	default:
		fail("numbers wanted, got %s", t.TypeString())
	}
	out := make([]float64, t.Len())
	switch t.DType {
	case tensor.F32:
		for i, x := range view[float32](t) {
			out[i] = float64(x)
		}
	case tensor.F64:
		copy(out, view[float64](t))
	default:
		for i := range out {
			out[i] = t.At(int64(i))
		}
	}
	return out
}

// fromFloats rounds vals to a float type; to an integer or Bool type it casts.
func fromFloats(d tensor.DType, shape []int64, vals []float64) *tensor.Tensor {
	t := alloc(d, shape...)
	put := floatPutter(t, true)
	for i, x := range vals {
		put(int64(i), x)
	}
	return t
}

// floatPutter stores float64s in t, whose type is any but String and the complex ones. saturate says
// what becomes of numbers beyond an 8-bit float type's range.
func floatPutter(t *tensor.Tensor, saturate bool) func(i int64, x float64) {
	b, le := t.Data, binary.LittleEndian
	switch t.DType {
	case tensor.F32:
		return func(i int64, x float64) { le.PutUint32(b[4*i:], math.Float32bits(float32(x))) }
	case tensor.F64:
		return func(i int64, x float64) { le.PutUint64(b[8*i:], math.Float64bits(x)) }
	case tensor.F16:
		return func(i int64, x float64) { le.PutUint16(b[2*i:], tensor.F32ToF16(float32(x))) }
	case tensor.BF16:
		return func(i int64, x float64) { le.PutUint16(b[2*i:], tensor.F32ToBF16(float32(x))) }
	case tensor.Bool:
		return func(i int64, x float64) {
			b[i] = 0
			if x != 0 {
				b[i] = 1
			}
		}
	case tensor.F4E2M1:
		return func(i int64, x float64) { putBits(t, i, miniCode(tensor.F4E2M1, x, saturate)) }
	case tensor.F8E8M0, tensor.F8E4M3FN, tensor.F8E4M3FNUZ, tensor.F8E5M2, tensor.F8E5M2FNUZ:
		return func(i int64, x float64) { b[i] = miniCode(t.DType, x, saturate) }
	}
	put := intPutter(t)
	return func(i int64, x float64) { put(i, floatToInt(t.DType, x)) }
}

// floatToInt casts as docs/semantics.md has it: truncation; out of range and NaN give the minimum of i32 and
// i64, and narrower types go through i32.
func floatToInt(d tensor.DType, x float64) int64 {
	switch d {
	case tensor.I64:
		if !(x >= -(1<<63) && x < 1<<63) {
			return math.MinInt64
		}
		return int64(x)
	case tensor.U64:
		if x >= 1<<63 { // through i64 less 2^63
			return floatToInt(tensor.I64, x-(1<<63)) ^ math.MinInt64
		}
		return floatToInt(tensor.I64, x)
	case tensor.U32:
		// Through i64, whose low half it is.
		return int64(uint32(floatToInt(tensor.I64, x)))
	}
	if x = math.Trunc(x); !(x >= math.MinInt32 && x <= math.MaxInt32) {
		return math.MinInt32
	}
	return int64(x)
}

// fromInts stores integers, truncated to the width of d, an integer or Bool type.
func fromInts(d tensor.DType, shape []int64, vals []int64) *tensor.Tensor {
	t := alloc(d, shape...)
	put := intPutter(t)
	for i, x := range vals {
		put(int64(i), x)
	}
	return t
}

func intPutter(t *tensor.Tensor) func(i, x int64) {
	b, le := t.Data, binary.LittleEndian
	switch t.DType {
	case tensor.Bool:
		return func(i, x int64) {
			b[i] = 0
			if x != 0 {
				b[i] = 1
			}
		}
	case tensor.I8, tensor.U8:
		return func(i, x int64) { b[i] = byte(x) }
	case tensor.I16, tensor.U16:
		return func(i, x int64) { le.PutUint16(b[2*i:], uint16(x)) }
	case tensor.I32, tensor.U32:
		return func(i, x int64) { le.PutUint32(b[4*i:], uint32(x)) }
	case tensor.I64, tensor.U64:
		return func(i, x int64) { le.PutUint64(b[8*i:], uint64(x)) }
	case tensor.I4, tensor.U4, tensor.I2, tensor.U2:
		return func(i, x int64) { putBits(t, i, byte(x)) }
	}
	fail("integers wanted, got element type %v", t.DType)
	return nil
}

// intRange gives the limits of an integer type; those of U64 are given as int64 and wrap.
func intRange(d tensor.DType) (lo, hi int64) {
	w := d.Bits()
	if d.Class() == tensor.ClassUint {
		if w == 64 {
			return 0, -1
		}
		return 0, 1<<w - 1
	}
	return -1 << (w - 1), 1<<(w-1) - 1
}

// saturateInt clamps a whole number to d; NaN gives the minimum.
func saturateInt(d tensor.DType, x float64) int64 {
	lo, hi := intRange(d)
	if d == tensor.U64 && x > 0 && x < 1<<64 {
		return floatToInt(d, x)
	}
	switch {
	case !(x > float64(lo)):
		return lo
	case x >= float64(hi):
		return hi
	}
	return int64(x)
}

// miniTable lists the finite non-negative numbers of a type of at most 8 bits in rising order, with codes.
type miniTable struct {
	vals  []float64
	codes []byte
}

var miniTables = map[tensor.DType]*miniTable{}

func init() {
	for _, d := range []tensor.DType{tensor.F8E4M3FN, tensor.F8E4M3FNUZ, tensor.F8E5M2, tensor.F8E5M2FNUZ, tensor.F4E2M1, tensor.F8E8M0} {
		m := &miniTable{}
		half := 1 << (d.Bits() - 1)
		if d == tensor.F8E8M0 {
			half = 256
		}
		for c := range half {
			if x := tensor.MiniToF64(d, byte(c)); x == x && !math.IsInf(x, 0) {
				m.vals, m.codes = append(m.vals, x), append(m.codes, byte(c))
			}
		}
		miniTables[d] = m
	}
}

// miniCode rounds x to the nearest number of an 8-bit or 4-bit float type, ties to the even code.
func miniCode(d tensor.DType, x float64, saturate bool) byte {
	m := miniTables[d]
	sign := byte(0)
	if math.Signbit(x) {
		sign = 1 << (d.Bits() - 1)
	}
	top := len(m.vals) - 1
	nan := map[tensor.DType]byte{tensor.F8E4M3FN: 0x7f, tensor.F8E5M2: 0x7f, tensor.F8E4M3FNUZ: 0x80, tensor.F8E5M2FNUZ: 0x80, tensor.F8E8M0: 0xff, tensor.F4E2M1: 8}
	unsigned := d == tensor.F8E8M0
	fnuz := d == tensor.F8E4M3FNUZ || d == tensor.F8E5M2FNUZ
	switch {
	case x != x && !fnuz && !unsigned && d != tensor.F4E2M1:
		return sign | nan[d]
	case x != x:
		return nan[d]
	case unsigned && x < 0:
		return 0
	case unsigned:
		sign = 0
	}
	a := math.Abs(x)
	i := sort.SearchFloat64s(m.vals, a) // the first not below
	if i > top {
		// Beyond the largest: what would round to the next number above it, were there one, overflows.
		gap := m.vals[top] - m.vals[top-1]
		edge := m.vals[top] + gap/2
		if !saturate && !unsigned && d != tensor.F4E2M1 && (a > edge || a == edge && m.codes[top]&1 == 1) {
			if d == tensor.F8E5M2 {
				return sign | 0x7c
			}
			if fnuz {
				return nan[d]
			}
			return sign | nan[d]
		}
		return sign | m.codes[top]
	}
	if i > 0 && m.vals[i] != a {
		lo, hi := a-m.vals[i-1], m.vals[i]-a
		if lo < hi || lo == hi && m.codes[i-1]&1 == 0 {
			i--
		}
	}
	if fnuz && i == 0 {
		return 0 // no negative zero
	}
	return sign | m.codes[i]
}

// castTo converts t as Cast does.
func castTo(t *tensor.Tensor, to tensor.DType, saturate bool, round string) *tensor.Tensor {
	if t.DType == to {
		return t
	}
	out := alloc(to, t.Shape...)
	n := t.Len()
	from, dst := t.DType.Class(), to.Class()
	switch {
	case to == tensor.String:
		for i := range n {
			out.Strings[i] = formatElem(t, i)
		}
	case from == tensor.ClassString:
		parseElems(out, t.Strings, saturate)
	case from == tensor.ClassComplex || dst == tensor.ClassComplex:
		castComplex(out, t)
	case to == tensor.Bool && from != tensor.ClassFloat, (from == tensor.ClassInt || from == tensor.ClassUint || from == tensor.ClassBool) && dst != tensor.ClassFloat:
		put := intPutter(out)
		for i := range n {
			x, _ := t.IntAt(i)
			put(i, x)
		}
	case to == tensor.F8E8M0:
		for i := range n {
			out.Data[i] = e8m0Code(t.At(i), saturate, round)
		}
	default:
		put := floatPutter(out, saturate)
		for i := range n {
			put(i, intToFloat(t, i, to))
		}
	}
	return out
}

// intToFloat gives element i; a 64-bit integer that f32 and narrower receive is rounded to f32 at once.
func intToFloat(t *tensor.Tensor, i int64, to tensor.DType) float64 {
	if to != tensor.F64 {
		switch t.DType {
		case tensor.I64:
			x, _ := t.IntAt(i)
			return float64(float32(x))
		case tensor.U64:
			x, _ := t.IntAt(i)
			return float64(float32(uint64(x)))
		}
	}
	return t.At(i)
}

// e8m0Code converts to a power of two: up, down or to the nearest.
func e8m0Code(x float64, saturate bool, round string) byte {
	if x != x || math.IsInf(x, 0) && !saturate || x < 0 {
		return 0xff
	}
	if x == 0 {
		return 0
	}
	if math.IsInf(x, 0) {
		return 0xfe
	}
	frac, e := math.Frexp(x) // x = frac * 2^e, frac in [0.5, 1)
	e += 127 - 1
	switch {
	case round == "up" || round == "":
		if frac > 0.5 {
			e++
		}
	case round == "nearest" && frac >= 0.75:
		e++
	}
	switch {
	case e < 0:
		return 0
	case e > 254 && saturate:
		return 0xfe
	case e > 254:
		return 0xff
	}
	return byte(e)
}

func formatElem(t *tensor.Tensor, i int64) string {
	switch t.DType.Class() {
	case tensor.ClassFloat:
		x := t.At(i)
		switch {
		case x != x:
			return "NaN"
		case math.IsInf(x, 1):
			return "INF"
		case math.IsInf(x, -1):
			return "-INF"
		}
		if t.DType == tensor.F64 {
			return strconv.FormatFloat(x, 'g', 17, 64)
		}
		return strconv.FormatFloat(x, 'g', -1, 32)
	case tensor.ClassBool:
		if t.Data[i] != 0 {
			return "True"
		}
		return "False"
	}
	v, ok := t.IntAt(i)
	check(ok, "cannot cast %v to string", t.DType)
	if t.DType == tensor.U64 {
		return strconv.FormatUint(uint64(v), 10)
	}
	return strconv.FormatInt(v, 10)
}

func parseElems(out *tensor.Tensor, strs []string, saturate bool) {
	if out.DType.IsInt() {
		put := intPutter(out)
		for i, s := range strs {
			if v, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64); err == nil {
				put(int64(i), v)
				continue
			}
			if v, err := strconv.ParseUint(strings.TrimSpace(s), 10, 64); err == nil {
				put(int64(i), int64(v))
				continue
			}
			put(int64(i), floatToInt(out.DType, parseFloat(s)))
		}
		return
	}
	put := floatPutter(out, saturate)
	for i, s := range strs {
		put(int64(i), parseFloat(s))
	}
}

func parseFloat(s string) float64 {
	x, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	check(err == nil || math.IsInf(x, 0), "cannot cast %q to a number", s)
	return x
}

func castComplex(out, t *tensor.Tensor) {
	at := func(i int64) complex128 {
		switch t.DType {
		case tensor.C64:
			return complex128(view[complex64](t)[i])
		case tensor.C128:
			return view[complex128](t)[i]
		}
		return complex(t.At(i), 0)
	}
	for i := range t.Len() {
		switch out.DType {
		case tensor.C64:
			view[complex64](out)[i] = complex64(at(i))
		case tensor.C128:
			view[complex128](out)[i] = at(i)
		default:
			fail("cannot cast %v to %v", t.DType, out.DType)
		}
	}
}
