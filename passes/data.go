package passes

import (
	"math"
	"math/bits"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// f32s gives the elements of f32 data in memory that may be written to; nil when d is not f32 or cannot be read.
func f32s(d *ir.Data) []float32 {
	if d == nil || d.DType != tensor.F32 {
		return nil
	}
	t, err := d.Tensor()
	if err != nil {
		return nil
	}
	b := tensor.AlignedBytes(int64(len(t.Data)))
	copy(b, t.Data)
	return tensor.BytesAs[float32](b)
}

// f64s gives the elements of float data of 32 or 64 bits as float64; nil for others.
func f64s(d *ir.Data) []float64 {
	if d != nil && d.DType == tensor.F64 {
		t, err := d.Tensor()
		if err != nil {
			return nil
		}
		b := tensor.AlignedBytes(int64(len(t.Data)))
		copy(b, t.Data)
		return tensor.BytesAs[float64](b)
	}
	x := f32s(d)
	if x == nil {
		return nil
	}
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// floatData makes data of a float type; values are rounded to it.
func floatData(d tensor.DType, vals []float64, shape ...int64) *ir.Data {
	switch d {
	case tensor.F64:
		return ir.DataOf(tensor.Of(vals, shape...))
	case tensor.F16, tensor.BF16:
		t := tensor.New(d, shape...)
		for i, v := range vals {
			bits := tensor.F32ToF16(float32(v))
			if d == tensor.BF16 {
				bits = tensor.F32ToBF16(float32(v))
			}
			tensor.BytesAs[uint16](t.Data)[i] = bits
		}
		return ir.DataOf(t)
	}
	x := make([]float32, len(vals))
	for i, v := range vals {
		x[i] = float32(v)
	}
	return ir.DataOf(tensor.Of(x, shape...))
}

func f32Data(x []float32, shape []int64) *ir.Data { return ir.DataOf(tensor.Of(x, shape...)) }

func intData(vals []int64) *ir.Data { return ir.DataOf(tensor.Of(vals, int64(len(vals)))) }

// smallFloats gives the elements of a float constant of at most 4096 elements.
func smallFloats(v *ir.Value) []float64 {
	d := ir.ConstOf(v)
	if d == nil || d.Len() > 4096 {
		return nil
	}
	return f64s(d)
}

// scalarFloat gives the only element of a float constant.
func scalarFloat(v *ir.Value) (float64, bool) {
	d := ir.ConstOf(v)
	if d == nil || d.Len() != 1 {
		return 0, false
	}
	x := f64s(d)
	if len(x) != 1 {
		return 0, false
	}
	return x[0], true
}

// boolOf gives the only element of a constant of bool.
func (rw *rewriter) boolOf(v *ir.Value) (x, ok bool) {
	d := ir.ConstOf(v)
	if d == nil || d.DType != tensor.Bool || d.Len() != 1 {
		return false, false
	}
	t, err := d.Tensor()
	if err != nil {
		rw.err = err
		return false, false
	}
	return t.Data[0] != 0, true
}

// isScalar reports whether v is a float constant with one element near x (to f32 precision).
func isScalar(v *ir.Value, x float64) bool {
	y, ok := scalarFloat(v)
	return ok && math.Abs(y-x) <= 1e-6*math.Abs(x)
}

// allFloats reports whether v is a non-empty small float constant whose elements all satisfy f.
func allFloats(v *ir.Value, f func(float64) bool) bool {
	x := smallFloats(v)
	for _, e := range x {
		if !f(e) {
			return false
		}
	}
	return len(x) > 0
}

// allInts is allFloats for i32 and i64.
func allInts(v *ir.Value, f func(int64) bool) bool {
	d := ir.ConstOf(v)
	if d == nil || d.Len() > 4096 {
		return false
	}
	x, ok := d.Int64s()
	for _, e := range x {
		if !f(e) {
			return false
		}
	}
	return ok && len(x) > 0
}

// isPow2 reports whether 1/x is a normal f32 and exact: x is a power of two with a moderate exponent.
func isPow2(x float64) bool {
	fr, e := math.Frexp(math.Abs(x))
	return fr == 0.5 && e > -100 && e < 100
}

// bytesOf is the storage of a tensor type of static shape; false when it is not static.
func bytesOf(t ir.Type) (int64, bool) {
	if t.Kind != ir.KindTensor || !t.Ranked {
		return 0, false
	}
	s, ok := ir.StaticShape(t.Shape)
	if !ok {
		return 0, false
	}
	n := uint64(1)
	for _, d := range s {
		hi, lo := bits.Mul64(n, uint64(d))
		if hi != 0 || lo > 1<<48 {
			return 1 << 48, true
		}
		n = lo
	}
	if t.DType == tensor.String {
		return int64(n) * 16, true
	}
	return t.DType.Bytes(int64(n)), true
}

// intsOf gives the contents of an integer operand that is constant or known from inference.
func (rw *rewriter) intsOf(v *ir.Value) ([]int64, bool) { return rw.s.Inf.Ints(v) }

// reshapeOperand finds constant contents for the shape operand of a Reshape from in to out: integers, 0
// where a symbolic dimension is the input's at the same place, and one -1 where the others are nonzero
// integers. False when out needs more than that.
func reshapeOperand(in, out []ir.Dim) ([]int64, bool) {
	s := make([]int64, len(out))
	free, safe := -1, true
	for i, d := range out {
		switch {
		case d.IsConst() && d.Value() != 0:
			s[i] = d.Value()
		case i < len(in) && d.Equal(in[i]):
			s[i], safe = 0, false
		case d.IsConst() || free >= 0:
			return nil, false
		default:
			free = i
			s[i] = -1
		}
	}
	// -1 beside a dimension that may be 0 has no meaning.
	return s, free < 0 || safe
}

// reshape makes a Reshape of x to shape out, nil when it cannot be expressed. A Reshape that changes
// nothing is x itself.
func (rw *rewriter) reshape(x *ir.Value, out []ir.Dim) *ir.Value {
	if sameShape(x.Type, ir.Type{Ranked: true, Shape: out}) {
		return x
	}
	s, ok := reshapeOperand(x.Type.Shape, out)
	if !ok {
		return nil
	}
	return rw.op("Reshape", nil, x, rw.constant(intData(s)))
}
