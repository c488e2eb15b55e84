package loop

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

var minis = []tensor.DType{tensor.F8E4M3FN, tensor.F8E4M3FNUZ, tensor.F8E5M2, tensor.F8E5M2FNUZ, tensor.F4E2M1, tensor.F8E8M0}

// kernel1 makes a kernel of one vector operation and runs it on x.
func kernel1(t *testing.T, from, to tensor.DType, x []byte, f func(b *Builder, x *Value) *Value) []byte {
	n := len(x) / from.Size()
	b := NewFunc("mini", fmaLevel)
	in, out := b.Param("x", from, 0, false), b.Param("y", to, 1, true)
	b.Parallel(func(i *Value) { b.Store(out, i, f(b, b.Load(in, i, 1))) })
	Simplify(b.F)
	require.NoError(t, Verify(b.F))
	y := make([]byte, n*to.Size())
	require.NoError(t, Eval(b.F, map[int][]byte{0: x, 1: y}, nil, 0, int64(n)))
	return y
}

func TestDecodeMini(t *testing.T) {
	for _, d := range minis {
		codes := make([]byte, 1<<d.Bits())
		for i := range codes {
			codes[i] = byte(i)
		}
		got := tensor.BytesAs[float32](kernel1(t, tensor.U8, tensor.F32, codes, func(b *Builder, x *Value) *Value { return b.DecodeMini(x, d) }))
		for i, c := range codes {
			want := tensor.MiniToF64(d, c)
			if want != want {
				assert.True(t, got[i] != got[i], "%v code %#x", d, c)
				continue
			}
			assert.Equal(t, math.Float64bits(want), math.Float64bits(float64(got[i])), "%v code %#x", d, c)
		}
	}
}

// TestEncodeMini holds the kernel against the host function on all numbers of each type, the middles
// between them, and their neighbours.
func TestEncodeMini(t *testing.T) {
	for _, d := range minis {
		xs := []float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat32, 1e-45, -1e-45, 1e-40, 1e-39}
		last := 0.0
		for c := range 1 << d.Bits() {
			v := tensor.MiniToF64(d, byte(c))
			if v != v || math.IsInf(v, 0) {
				continue
			}
			for _, m := range []float64{v, (v + last) / 2, 2*v - (v+last)/2} {
				f := float32(m)
				xs = append(xs, float64(f), float64(math.Nextafter32(f, float32(math.Inf(1)))), float64(math.Nextafter32(f, float32(math.Inf(-1)))))
			}
			last = v
		}
		narrow := make([]float32, len(xs))
		for i, x := range xs {
			narrow[i] = float32(x)
		}
		for _, saturate := range []int64{1, 0} {
			for _, round := range []string{"up", "down", "nearest"} {
				call := &hostop.Call{In: []hostop.Value{tensor.Of(xs, int64(len(xs)))}, NumOut: 1,
					Attrs: tensor.Attrs{"to": d, "saturate": saturate, "round_mode": round}}
				require.NoError(t, hostop.Encode(call))
				want := call.Out[0].(*tensor.Tensor).Data
				f := func(b *Builder, x *Value) *Value { return b.EncodeMini(x, d, saturate != 0, round) }
				wide := kernel1(t, tensor.F64, tensor.U8, tensor.AsBytes(xs), f)
				got := kernel1(t, tensor.F32, tensor.U8, tensor.AsBytes(narrow), f)
				for i, x := range xs {
					assert.Equal(t, want[i], wide[i], "%v of f64 %g, saturate %d, round %s", d, x, saturate, round)
					assert.Equal(t, want[i], got[i], "%v of f32 %g, saturate %d, round %s", d, x, saturate, round)
				}
				if d != tensor.F8E8M0 {
					break
				}
			}
		}
	}
}
