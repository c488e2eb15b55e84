package kerneltest

import (
	"math/rand/v2"

	"github.com/nnc-go/nnc/target"
)

// Matrix makes the kernels for a level: what the level has not (fused multiply-add, conversion of f16) is not
// among them. They are the same at each call.
func Matrix(level *target.Level) []*Kernel {
	r := rand.New(rand.NewPCG(1, 2))
	var ks []*Kernel
	for _, f := range []func(*target.Level, *rand.Rand) []*Kernel{arithmeticKernels, selections, conversions, expansions, moves, memory, flows} {
		ks = append(ks, f(level, r)...)
	}
	return ks
}
