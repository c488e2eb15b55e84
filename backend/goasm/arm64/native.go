package arm64

import (
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// Native reports whether there are instructions for an operation whose vectors fit the registers, or a sequence that is
// better than what package opt would write.
func Native(*target.Level) func(in *loop.Instr) bool {
	return func(in *loop.Instr) bool {
		if len(in.Results) == 0 || in.Results[0].Type.Lanes == 1 {
			return true
		}
		t := in.Results[0].Type
		integer := t.Elem != tensor.Bool && !isFloat(t)
		switch in.Op {
		case loop.OpDiv, loop.OpRem:
			return !integer
		case loop.OpMin, loop.OpMax:
			return !integer || t.Elem.Size() < 8
		case loop.OpConvert: // an i64 that becomes an f64 and then an f32 is rounded twice
			return t.Elem != tensor.F32 || isFloat(in.Args[0].Type) || in.Args[0].Type.Elem.Size() < 8
		}
		return true
	}
}
