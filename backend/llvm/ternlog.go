package llvm

import (
	"github.com/llir/llvm/ir"
	"github.com/llir/llvm/ir/value"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// fenced are the float types by the width of the lanes that a mask can choose.
var fenced = map[int]tensor.DType{32: tensor.F32, 64: tensor.F64}

// opaque hides from llc that a choice is of the result of a bitwise operation. On AVX-512 it merges the two into
// one masked vpternlog, and where an operand is a broadcast constant, LLVM 19 pairs operands and truth table
// wrongly: select(c, x, copysign(y, x)) came out as nonsense. A fence against arithmetic costs no instruction.
func (r *renderer) opaque(v value.Value, t loop.Type) value.Value {
	d, ok := fenced[t.Elem.Bits()]
	if !r.level.Masks || t.Lanes == 1 || !ok || !bitwise(v) {
		return v
	}
	f := loop.Vec(d, t.Lanes)
	return r.bitcast(r.call("llvm.arithmetic.fence."+mangle(f), typeOf(f), r.bitcast(v, typeOf(f))), typeOf(t))
}

// bitwise reports whether v is made by and, or and xor, seen as another type or not.
func bitwise(v value.Value) bool {
	switch v := v.(type) {
	case *ir.InstBitCast:
		return bitwise(v.From)
	case *ir.InstAnd, *ir.InstOr, *ir.InstXor:
		return true
	}
	return false
}
