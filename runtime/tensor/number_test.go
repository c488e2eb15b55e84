package tensor

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestF16RoundTrip(t *testing.T) {
	for i := range 1 << 16 {
		h := uint16(i)
		f := F16ToF32(h)
		if f != f {
			require.True(t, h&0x7fff > 0x7c00)
			require.True(t, F16ToF32(F32ToF16(f)) != F16ToF32(F32ToF16(f)))
			continue
		}
		require.Equal(t, h, F32ToF16(f), "%#x %g", h, f)
		b := BF16ToF32(h)
		if b == b {
			require.Equal(t, h, F32ToBF16(b))
		} else {
			require.NotEqual(t, BF16ToF32(F32ToBF16(b)), BF16ToF32(F32ToBF16(b)))
		}
	}
}

func TestF16Rounding(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, c := range []struct{ in, want float32 }{
		{65519, 65504}, {65520, inf}, {1e9, inf}, {-65520, -inf}, {2049, 2048}, {2051, 2052},
		{1 << 24 >> 24, 1}, {float32(math.Ldexp(1, -25)), 0}, {float32(math.Ldexp(1.5, -25)), float32(math.Ldexp(1, -24))},
		{float32(math.Ldexp(1023.75, -24)), float32(math.Ldexp(1, -14))}, {0.1, 0.0999755859375},
	} {
		require.Equal(t, c.want, F16ToF32(F32ToF16(c.in)), "%g", c.in)
	}
	require.Equal(t, uint16(0x8000), F32ToF16(float32(math.Copysign(0, -1))))
	require.Equal(t, uint16(0x3f80), F32ToBF16(1))
	require.Equal(t, float32(1.0078125)+0, BF16ToF32(F32ToBF16(1.00781251)))
	require.Equal(t, inf, BF16ToF32(F32ToBF16(math.MaxFloat32)))
}

func TestMini(t *testing.T) {
	for _, c := range []struct {
		d    DType
		code uint8
		want float64
	}{
		{F8E4M3FN, 0x7e, 448}, {F8E4M3FN, 0x01, math.Ldexp(1, -9)}, {F8E4M3FNUZ, 0x7f, 240}, {F8E5M2, 0x7b, 57344},
		{F8E5M2, 0xfc, math.Inf(-1)}, {F8E5M2FNUZ, 0x7f, 57344}, {F4E2M1, 7, 6}, {F4E2M1, 9, -0.5}, {F8E8M0, 127, 1}, {F8E8M0, 130, 8},
	} {
		require.Equal(t, c.want, MiniToF64(c.d, c.code), "%v %#x", c.d, c.code)
	}
	for d, code := range map[DType]uint8{F8E4M3FN: 0xff, F8E4M3FNUZ: 0x80, F8E5M2: 0x7d, F8E5M2FNUZ: 0x80, F8E8M0: 0xff} {
		require.True(t, math.IsNaN(MiniToF64(d, code)), d)
	}
}

func TestAt(t *testing.T) {
	x := &Tensor{DType: I4, Shape: []int64{3}, Data: []byte{0x7f, 0x08}}
	require.Equal(t, []float64{-1, 7, -8}, []float64{x.At(0), x.At(1), x.At(2)})
	x = &Tensor{DType: U2, Shape: []int64{5}, Data: []byte{0b11100100, 0b10}}
	require.Equal(t, []float64{0, 1, 2, 3, 2}, []float64{x.At(0), x.At(1), x.At(2), x.At(3), x.At(4)})
	x = &Tensor{DType: I2, Shape: []int64{2}, Data: []byte{0b1001}}
	require.Equal(t, []float64{1, -2}, []float64{x.At(0), x.At(1)})
	require.Equal(t, -2.5, Of([]float32{1, -2.5}, 2).At(1))
	v, ok := Of([]int16{-3}, 1).IntAt(0)
	require.True(t, ok)
	require.Equal(t, int64(-3), v)
	_, ok = Of([]float32{1}, 1).IntAt(0)
	require.False(t, ok)
}

// TestDefaultIsRounded: a default is the number that the same text in a model would be.
func TestDefaultIsRounded(t *testing.T) {
	written := Attrs{"epsilon": float64(float32(1e-5))}
	require.Equal(t, written.Float("epsilon", 1), Attrs{}.Float("epsilon", 1e-5))
}
