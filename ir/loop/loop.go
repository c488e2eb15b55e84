// Package loop is nnc's kernel-level intermediate representation: structured loops over buffers,
// scalars and fixed-width vectors, in SSA.
//
// A Func is one kernel. It gets an argument block (buffers and 64-bit integers) and a half-open range
// [lo, hi) of its parallel iterations, and it calls nothing: transcendental functions are expanded
// into arithmetic (math.go), so that every backend gives the same answer and no libm is linked.
// Loops, conditionals and straight-line code nest as regions; values defined in a region are visible
// in it and in the regions inside it. Lowering builds kernels with Builder, once per target level,
// since the vector width and the presence of FMA are part of the code.
package loop

import (
	"fmt"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// Type is a scalar (Lanes 1) or vector type. Bool is a predicate; it is never stored: buffers of
// booleans have element type U8.
type Type struct {
	Elem  tensor.DType
	Lanes int
}

// MaxLanes is the longest vector: a register of bytes at the widest level.
const MaxLanes = 64

// Scalar is the scalar type of d.
func Scalar(d tensor.DType) Type { return Type{d, 1} }

// Vec is the vector type of n lanes of d.
func Vec(d tensor.DType, n int) Type { return Type{d, n} }

// Index is the type of indices, extents and loop counters.
var Index = Type{tensor.I64, 1}

// String is "f32", "f32x16".
func (t Type) String() string {
	if t.Lanes == 1 {
		return t.Elem.String()
	}
	return fmt.Sprintf("%vx%d", t.Elem, t.Lanes)
}

// Value is an SSA value.
type Value struct {
	ID   int
	Type Type
	Name string // optional; printed as a hint
}

// Buf is a memory operand: a kernel parameter, or local memory of the kernel (N > 0 elements, on the stack).
type Buf struct {
	Name  string
	Elem  tensor.DType
	Arg   int   // index in the argument block; -1 for local memory
	N     int64 // elements of local memory
	Write bool  // the kernel stores to it
}

// Func is a kernel. Its argument block holds len(Bufs that are parameters)+len(Ints) 64-bit words:
// Buf.Arg and IntArgs give the index of each.
type Func struct {
	Name    string
	Bufs    []*Buf
	Ints    []*Value // i64 parameters
	IntArgs []int    // their indices in the argument block
	Lo, Hi  *Value   // the parallel range
	Body    *Block
	// Comment says which ONNX nodes the kernel computes, for dumps and assembly.
	Comment string
	nextID  int
}

// Block is a region: parameters, instructions, and the values it yields to the instruction it belongs to.
type Block struct {
	Params []*Value
	Instrs []*Instr
	Yield  []*Value
}

// Pred is a comparison. Float comparisons are ordered (false with NaN) but for NE, which is true with NaN.
type Pred uint8

// The comparisons; signedness follows the element type.
const (
	EQ Pred = iota
	NE
	LT
	LE
	GT
	GE
)

// Op is an instruction's operation.
type Op uint8

// The operations. Arithmetic works lane by lane on operands of one type: integers, f32 and f64. Integers wrap.
// f16 and bf16 are loaded, stored and moved between lanes; f16 is converted from and to f32, and bf16 from it.
const (
	OpConst     Op = iota // Imm: the bits of the element, splat over the lanes
	OpAdd                 // a+b
	OpSub                 // a-b
	OpMul                 // a*b
	OpDiv                 // a/b; integers truncate; the divisor must not be 0, nor MIN/-1
	OpRem                 // integer remainder with the dividend's sign
	OpFMA                 // a*b+c in one rounding
	OpNeg                 // -a; floats flip the sign bit
	OpAbs                 // |a|, of signed types; floats clear the sign bit
	OpMin                 // floats: NaN if either is NaN; of -0 and 0 either
	OpMax                 // likewise
	OpSqrt                // float
	OpFloor               // float
	OpCeil                // float
	OpTrunc               // float
	OpRound               // float, half to even
	OpAnd                 // integers and Bool
	OpOr                  //
	OpXor                 //
	OpNot                 //
	OpShl                 // a<<b; b < width
	OpShr                 // a>>b: arithmetic when signed, logical when unsigned; b < width
	OpCmp                 // Pred; result Bool
	OpSelect              // cond ? a : b; cond is Bool with as many lanes
	OpConvert             // to the result's element type. float->int truncates and must be in range (lowering clamps first); int->int truncates or extends by the source's signedness; int->float and float->float round to nearest even
	OpBitcast             // same number of bits
	OpBroadcast           // scalar to vector
	OpExtract             // lane Imm of a vector
	OpShuffle             // lanes Lanes[i] of the concatenation a,b
	OpReduceAdd           // sum of the lanes, by halving: lane i + lane i+n/2, and so on
	OpReduceMul           //
	OpReduceMin           //
	OpReduceMax           //
	OpIota                // vector 0,1,2,... of an integer type
	OpLoad                // Buf[idx .. idx+lanes)
	OpLoadMask            // lanes whose mask bit is set; others 0. operands idx, mask
	OpGather              // Buf[idx[i]] for a vector of I64 indices
	OpStore               // Buf[idx ..] = a. operands idx, a
	OpStoreMask           // operands idx, a, mask
	OpPrefetch            // brings the cache line of Buf[idx] nearer; idx may be outside of the buffer
	OpDot4                // acc i32xN + dot of groups of four: a u8x4N, b i8x4N; exact (no saturation)
	OpDot2                // acc f32xN + dot of pairs: a, b bf16x2N; the odd product is added first, each sum is rounded; subnormal numbers may count as 0
	OpFor                 // operands lo, hi, init...; Imm: step > 0; Blocks[0] has params iv, carried...; results are the carried values at the end
	OpIf                  // operand cond (Bool scalar); Blocks[0] then, Blocks[1] else; results are what they yield
)

// Instr is an instruction.
type Instr struct {
	Op      Op
	Args    []*Value
	Results []*Value
	Imm     uint64
	Pred    Pred
	Buf     *Buf
	Lanes   []int
	Blocks  []*Block
}
