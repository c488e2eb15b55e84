package llvm

import (
	"github.com/llir/llvm/ir"
	"github.com/llir/llvm/ir/types"
	"github.com/llir/llvm/ir/value"
)

// opaque hides from llc that a choice is of the result of a bitwise operation. On AVX-512 it merges the two into
// one masked vpternlog, and where an operand is a broadcast constant, LLVM 19 pairs operands and truth table
// wrongly: select(c, x, copysign(y, x)) came out as nonsense. An empty piece of assembly in between
// costs no instruction.
func (r *renderer) opaque(v value.Value) value.Value {
	t, isVector := v.Type().(*types.VectorType)
	if !r.level.Masks || !isVector || types.Equal(t.ElemType, types.I1) || !bitwise(v) {
		return v
	}
	return r.add(ir.NewCall(ir.NewInlineAsm(types.NewPointer(types.NewFunc(t, t)), "", "=v,0"), v))
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
