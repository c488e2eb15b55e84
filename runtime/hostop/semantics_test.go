package hostop_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

var (
	nan, inf = float32(math.NaN()), float32(math.Inf(1))
	negZero  = float32(math.Copysign(0, -1))
)

func run(f hostop.Func, attrs hostop.Attrs, in ...hostop.Value) ([]hostop.Value, error) {
	c := &hostop.Call{In: in, Attrs: attrs, NumOut: 3}
	err := f(c)
	return c.Out, err
}

func f(v ...float32) *tensor.Tensor { return tensor.Of(v, int64(len(v))) }

func vec[T tensor.Native](v ...T) *tensor.Tensor {
	if v == nil {
		v = []T{}
	}
	return tensor.Of(v, int64(len(v)))
}

func one[T tensor.Native](v T) *tensor.Tensor { return tensor.Of([]T{v}) }

func bytesOf(d tensor.DType, b ...byte) *tensor.Tensor {
	return &tensor.Tensor{DType: d, Shape: []int64{int64(len(b))}, Data: b}
}

func attrs(kv ...any) hostop.Attrs {
	a := hostop.Attrs{}
	for i := 0; i < len(kv); i += 2 {
		if n, ok := kv[i+1].(int); ok {
			kv[i+1] = int64(n)
		}
		a[kv[i].(string)] = kv[i+1]
	}
	return a
}

// row is a case: what an op makes of operands.
type row struct {
	name  string
	f     hostop.Func
	attrs hostop.Attrs
	in    []hostop.Value
	want  *tensor.Tensor // result 0; nil for an error
}

func ins(v ...hostop.Value) []hostop.Value { return v }

func check(t *testing.T, rows []row) {
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			out, err := run(r.f, r.attrs, r.in...)
			if r.want == nil {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			got := out[0].(*tensor.Tensor)
			require.Equal(t, r.want.TypeString(), got.TypeString())
			require.Equal(t, r.want.Strings, got.Strings)
			for i := range r.want.Len() {
				a, b := got.At(i), r.want.At(i)
				if b != b {
					require.True(t, a != a, "element %d is %g, want NaN", i, a)
					continue
				}
				require.Equal(t, b, a, "element %d", i)
				require.Equal(t, math.Signbit(b), math.Signbit(a), "sign of element %d", i)
			}
		})
	}
}

// TestSemantics has a case for each row of docs/semantics.md that concerns single ops.
func TestSemantics(t *testing.T) {
	i32min, i64min := int32(math.MinInt32), int64(math.MinInt64)
	to := func(d tensor.DType) hostop.Attrs { return attrs("to", d) }
	wild := f(nan, inf, -inf, 3e9, -1.9, 300.5)
	check(t, []row{
		{"Max of NaN", hostop.Max, nil, ins(f(1, nan, 2), f(nan, 1, 3)), f(nan, nan, 3)},
		{"Min of NaN", hostop.Min, nil, ins(f(1, nan, 2), f(nan, 1, 3)), f(nan, nan, 2)},
		{"Relu", hostop.Relu, nil, ins(f(nan, negZero, -1, 2)), f(nan, negZero, 0, 2)},
		{"Clip of NaN", hostop.Clip, nil, ins(f(nan, 5), one[float32](0), one[float32](1)), f(nan, 1)},
		{"Clip with min above max", hostop.Clip, nil, ins(f(-1, 2, 9), one[float32](5), one[float32](3)), f(3, 3, 3)},
		{"ReduceMax of NaN", hostop.ReduceMax, nil, ins(f(1, nan, 2)), f(nan)},
		{"ReduceMin of NaN", hostop.ReduceMin, nil, ins(f(nan, 1)), f(nan)},
		{"MaxPool of -inf", hostop.MaxPool, attrs("kernel_shape", []int64{2}), ins(tensor.Of([]float32{-inf, -inf}, 1, 1, 2)), tensor.Of([]float32{-inf}, 1, 1, 1)},
		{"Div truncates", hostop.Div, nil, ins(vec[int32](-7, 7, i32min), vec[int32](2, -2, -1)), vec[int32](-3, -3, i32min)},
		{"Div by zero", hostop.Div, nil, ins(vec[int32](1), vec[int32](0)), nil},
		{"Div u8 by zero", hostop.Div, nil, ins(vec[uint8](1), vec[uint8](0)), nil},
		{"Mod", hostop.Mod, nil, ins(vec[int32](-7, 7, i32min), vec[int32](3, -3, -1)), vec[int32](2, -2, 0)},
		{"Mod with fmod", hostop.Mod, attrs("fmod", 1), ins(vec[int32](-7, 7), vec[int32](3, -3)), vec[int32](-1, 1)},
		{"Mod i64", hostop.Mod, nil, ins(vec(i64min), vec[int64](-1)), vec[int64](0)},
		{"Mod by zero", hostop.Mod, nil, ins(vec[int64](1), vec[int64](0)), nil},
		{"BitShift by the width", hostop.BitShift, attrs("direction", "LEFT"), ins(vec[uint8](3, 3, 129), vec[uint8](8, 200, 1)), vec[uint8](0, 0, 2)},
		{"BitShift right", hostop.BitShift, attrs("direction", "RIGHT"), ins(vec[uint64](1<<63), vec[uint64](64)), vec[uint64](0)},
		{"Abs of MIN", hostop.Abs, nil, ins(vec[int8](-128, -5)), vec[int8](-128, 5)},
		{"Neg of MIN", hostop.Neg, nil, ins(vec(i32min)), vec(i32min)},
		{"Add wraps", hostop.Add, nil, ins(vec[int8](127), vec[int8](1)), vec[int8](-128)},
		{"Cast to i32", hostop.Cast, to(tensor.I32), ins(wild), vec(i32min, i32min, i32min, i32min, -1, 300)},
		{"Cast to i64", hostop.Cast, to(tensor.I64), ins(wild), vec(i64min, i64min, i64min, 3e9, -1, 300)},
		{"Cast to u8", hostop.Cast, to(tensor.U8), ins(wild), vec[uint8](0, 0, 0, 0, 255, 44)},
		{"Cast to i8", hostop.Cast, to(tensor.I8), ins(wild), vec[int8](0, 0, 0, 0, -1, 44)},
		{"Cast int to narrower", hostop.Cast, to(tensor.I8), ins(vec[int32](300, -129)), vec[int8](44, 127)},
		{"Cast to bool", hostop.Cast, to(tensor.Bool), ins(f(0, 0.3, nan)), vec(false, true, true)},
		{"Cast to e4m3fn", hostop.Cast, to(tensor.F8E4M3FN), ins(f(inf, 1e6, 1.0625, -448)), bytesOf(tensor.F8E4M3FN, 0x7e, 0x7e, 0x38, 0xfe)},
		{"Cast to e4m3fn unsaturated", hostop.Cast, attrs("to", tensor.F8E4M3FN, "saturate", 0), ins(f(inf, 1e6, 465)), bytesOf(tensor.F8E4M3FN, 0x7f, 0x7f, 0x7f)},
		{"Cast to e5m2", hostop.Cast, to(tensor.F8E5M2), ins(f(inf, -1e6)), bytesOf(tensor.F8E5M2, 0x7b, 0xfb)},
		{"Cast to e5m2 unsaturated", hostop.Cast, attrs("to", tensor.F8E5M2, "saturate", 0), ins(f(inf, -1e6)), bytesOf(tensor.F8E5M2, 0x7c, 0xfc)},
		{"Round", hostop.Round, nil, ins(f(0.5, 1.5, -2.5)), f(0, 2, -2)},
		{"QuantizeLinear", hostop.QuantizeLinear, nil, ins(f(0.5, 1.5, 1e9, -1e9, nan), one[float32](1), one[uint8](10)), vec[uint8](10, 12, 255, 0, 0)},
		{"DynamicQuantizeLinear of zeros", hostop.DynamicQuantizeLinear, nil, ins(f(0, 0)), vec[uint8](0, 0)},
		{"Softmax of -inf", hostop.Softmax, nil, ins(f(-inf, -inf)), f(nan, nan)},
		{"Softmax of large numbers", hostop.Softmax, nil, ins(f(1e4, 1e4)), f(0.5, 0.5)},
		{"ReduceSum of nothing", hostop.ReduceSum, nil, ins(f()), f(0)},
		{"ReduceProd of nothing", hostop.ReduceProd, nil, ins(f()), f(1)},
		{"ReduceMax of nothing", hostop.ReduceMax, nil, ins(f()), f(-inf)},
		{"ReduceMin of nothing", hostop.ReduceMin, nil, ins(vec[int8]()), vec[int8](127)},
		{"ReduceMean of nothing", hostop.ReduceMean, nil, ins(f()), f(0)},
		{"MatMul with K = 0", hostop.MatMul, nil, ins(tensor.Of([]float32{}, 2, 0), tensor.Of([]float32{}, 0, 1)), tensor.Of([]float32{0, 0}, 2, 1)},
		{"Gemm with beta 0", hostop.Gemm, attrs("beta", 0.0), ins(tensor.Of([]float32{2}, 1, 1), tensor.Of([]float32{3}, 1, 1), f(nan)), tensor.Of([]float32{6}, 1, 1)},
		{"broadcast 0 with 1", hostop.Add, nil, ins(f(), f(1)), f()},
		{"broadcast 0 with 2", hostop.Add, nil, ins(f(), f(1, 2)), nil},
		{"TopK ties and NaN", hostop.TopK, nil, ins(f(1, 3, nan, 3), vec[int64](3)), f(nan, 3, 3)},
		{"ArgMax ties", hostop.ArgMax, nil, ins(f(1, 3, 3)), vec[int64](1)},
		{"ArgMax last of ties", hostop.ArgMax, attrs("select_last_index", 1), ins(f(1, 3, 3)), vec[int64](2)},
		{"ArgMax of NaN", hostop.ArgMax, nil, ins(f(1, nan, 3)), vec[int64](1)},
		{"ArgMin of NaN", hostop.ArgMin, nil, ins(f(nan, 4, 3)), vec[int64](2)},
		{"Resize linear 4 to 1", hostop.Resize, attrs("mode", "linear"), ins(f(1, 2, 3, 4), nil, nil, vec[int64](1)), f(2.5)},
		{"Resize align_corners 4 to 1", hostop.Resize, attrs("mode", "linear", "coordinate_transformation_mode", "align_corners"), ins(f(1, 2, 3, 4), nil, nil, vec[int64](1)), f(1)},
		{"Pad crops", hostop.Pad, nil, ins(f(1, 2, 3), vec[int64](-1, 1)), f(2, 3, 0)},
		{"Pad crops too much", hostop.Pad, nil, ins(f(1, 2, 3), vec[int64](-2, -2)), nil},
		{"Pad reflects", hostop.Pad, attrs("mode", "reflect"), ins(f(1, 2, 3), vec[int64](2, 1)), f(3, 2, 1, 2, 3, 2)},
		{"Pad reflects too much", hostop.Pad, attrs("mode", "reflect"), ins(f(1, 2, 3), vec[int64](3, 0)), nil},
		{"Slice clamps", hostop.Slice, nil, ins(f(1, 2, 3), vec[int64](1), vec[int64](math.MaxInt64)), f(2, 3)},
		{"Slice backwards", hostop.Slice, nil, ins(f(1, 2, 3), vec[int64](-1), vec(i64min), vec[int64](0), vec[int64](-2)), f(3, 1)},
		{"Slice step 0", hostop.Slice, nil, ins(f(1), vec[int64](0), vec[int64](1), vec[int64](0), vec[int64](0)), nil},
		{"Slice least step", hostop.Slice, nil, ins(f(1, 2, 3), vec[int64](2), vec(i64min), vec[int64](0), vec(i64min)), f(3)},
		{"Gather by -s", hostop.Gather, nil, ins(f(1, 2), vec[int64](-2)), f(1)},
		{"Gather out of range", hostop.Gather, nil, ins(f(1, 2), vec[int64](2)), nil},
		{"GatherND out of range", hostop.GatherND, nil, ins(f(1, 2), tensor.Of([]int64{-3}, 1, 1)), nil},
		{"ScatterND last wins", hostop.ScatterND, nil, ins(f(0, 0), tensor.Of([]int64{1, 1}, 2, 1), f(5, 6)), f(0, 6)},
		{"ScatterElements last wins", hostop.ScatterElements, nil, ins(f(0, 0), vec[int64](-2, 0), f(5, 6)), f(6, 0)},
		{"OneHot out of range", hostop.OneHot, nil, ins(vec[int64](-1, 2), one[int64](2), f(0, 1)), tensor.Of([]float32{0, 1, 0, 0}, 2, 2)},
		{"Mul of 0 by inf", hostop.Mul, nil, ins(f(0, -1), f(inf, 0)), f(nan, negZero)},
		{"Dropout", hostop.Dropout, nil, ins(f(1, 2)), f(1, 2)},
	})
}

func TestHalf(t *testing.T) {
	out, err := run(hostop.Cast, attrs("to", tensor.F16), f(65519, 65520))
	require.NoError(t, err)
	require.Equal(t, []uint16{0x7bff, 0x7c00}, tensor.View[uint16](out[0].(*tensor.Tensor)))
}

func TestBatchNormTraining(t *testing.T) {
	x := tensor.Of([]float32{1, 3}, 2, 1)
	out, err := run(hostop.BatchNormalization, attrs("training_mode", 1, "momentum", 0.5, "epsilon", 0.0), x, f(1), f(0), f(0), f(0))
	require.NoError(t, err)
	require.Equal(t, []float32{-1, 1}, tensor.View[float32](out[0].(*tensor.Tensor)))
	require.Equal(t, []float32{1}, tensor.View[float32](out[1].(*tensor.Tensor)))
	require.Equal(t, []float32{0.5}, tensor.View[float32](out[2].(*tensor.Tensor)))
}

// TestTooLarge: results that would not fit are errors, before memory is asked for.
func TestTooLarge(t *testing.T) {
	big := vec[int64](1<<31, 1<<31, 1<<31)
	check(t, []row{
		{"Expand", hostop.Expand, nil, ins(f(1), big), nil},
		{"ConstantOfShape", hostop.ConstantOfShape, nil, ins(big), nil},
		{"Tile", hostop.Tile, nil, ins(f(1), vec[int64](1<<40)), nil},
		{"Pad", hostop.Pad, nil, ins(f(1), vec[int64](1<<33, 1<<33)), nil},
		{"Range", hostop.Range, nil, ins(one[int64](math.MinInt64), one[int64](math.MaxInt64), one[int64](1)), nil},
		{"Resize", hostop.Resize, nil, ins(f(1), nil, nil, vec[int64](1<<40)), nil},
		{"OneHot", hostop.OneHot, nil, ins(vec[int64](1, 2), one[int64](1<<33), f(0, 1)), nil},
		{"empty is small", hostop.Expand, nil, ins(tensor.Of([]float32{}, 1, 0), vec[int64](1<<31, 1<<31, 1<<31, 1, 0)), &tensor.Tensor{DType: tensor.F32, Shape: []int64{1 << 31, 1 << 31, 1 << 31, 1, 0}}},
	})
}

// TestBlocked holds the blocked ops against the plain ones.
func TestBlocked(t *testing.T) {
	ramp := func(shape ...int64) *tensor.Tensor {
		x := tensor.New(tensor.F32, shape...)
		for i := range tensor.View[float32](x) {
			tensor.View[float32](x)[i] = float32(i*7%23) - 11
		}
		return x
	}
	x, w, b := ramp(2, 5, 6, 7), ramp(18, 5, 3, 3), ramp(18)
	blocked, err := run(hostop.Block, nil, x)
	require.NoError(t, err)
	require.Equal(t, "f32[2,1,6,7,16]", blocked[0].(*tensor.Tensor).TypeString())
	win := attrs("kernel_shape", []int64{3, 3}, "strides", []int64{2, 1}, "pads", []int64{1, 1, 1, 1}, "channels", 5)
	for _, c := range []struct {
		plain, blocked hostop.Func
		more           []hostop.Value
		channels       int64
	}{
		{hostop.Conv, hostop.BlockedConv, ins(w, b), 18},
		{hostop.MaxPool, hostop.BlockedMaxPool, nil, 5},
		{hostop.AveragePool, hostop.BlockedAveragePool, nil, 5},
		{hostop.GlobalAveragePool, hostop.BlockedGlobalAveragePool, nil, 5},
	} {
		want, err := run(c.plain, win, append(ins(x), c.more...)...)
		require.NoError(t, err)
		got, err := run(c.blocked, win, append(ins(blocked[0]), c.more...)...)
		require.NoError(t, err)
		plain, err := run(hostop.Unblock, attrs("channels", c.channels), got[0])
		require.NoError(t, err)
		require.Equal(t, want[0], plain[0])
	}
}
