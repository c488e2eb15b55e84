package ir

import (
	"math/rand/v2"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// maxRandom is the most elements of a constant that is random.
const maxRandom = 1 << 24

// random makes n elements of type d: multiples of 1/64 from -1/2 to 1/2.
func (p *parser) random(d tensor.DType, n int64, seed uint64) []byte {
	if d != tensor.F32 && d != tensor.F64 || n > maxRandom {
		p.fail("%d random elements of type %v: want at most %d, f32 or f64", n, d, maxRandom)
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	var b []byte
	for range n {
		bits := floatBits(float64(rng.IntN(65)-32)/64, d)
		for i := range d.Size() {
			b = append(b, byte(bits>>(8*i)))
		}
	}
	return b
}
