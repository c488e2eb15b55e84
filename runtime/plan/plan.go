// Package plan defines the program that the executor runs: buffers, sizes and steps. The compiler
// builds a Plan, checks it, and prints it as a Go literal into the generated package (zplan.go); the
// runtime only reads it. A Plan is immutable and shared by all calls.
//
// Sizes are slots: 64-bit integers in a table that each call owns. A slot is a constant, a dimension
// of an input, an operation on earlier slots, or bound by a step at run time (sizes that depend on
// data). Control flow is a linear list of steps with jumps, so that liveness is an interval of steps.
package plan

import (
	"strings"

	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Slot is an index into Plan.Slots and into a call's table of sizes.
type Slot = int32

// SlotOp says how a slot gets its value.
type SlotOp uint8

// The slot operations. A and B are slots unless said otherwise.
const (
	SlotConst SlotOp = iota // Imm
	SlotInput               // dimension B of input A (indices, not slots)
	SlotBound               // assigned by a step (Bind, SetSlot, or a host op's result shape)
	SlotAdd
	SlotMul
	SlotDiv // floor; 0 when the divisor is 0
	SlotMod // a - b*floor(a/b)
	SlotMax
	SlotMin
)

// SlotDef is a row of the table of sizes.
type SlotDef struct {
	Op   SlotOp
	A, B int32
	Imm  int64
}

// BufKind says where a buffer lives.
type BufKind uint8

// The kinds of buffers.
const (
	BufArena  BufKind = iota // in the call's arena: size known once the input shapes are
	BufWeight                // in the weights, at Offset
	BufInput                 // the caller's input Index
	BufOutput                // the caller's output Index
	BufPart                  // bytes of the arena buffer Index from Start on
	BufHeap                  // outside the arena: size depends on data, known when a step writes it
)

// Buf is a buffer. Steps First to Last (inclusive) use it; a buffer that a loop touches is in use
// during the whole loop. Before a step that uses an output or a heap buffer, the executor makes it at
// least Bytes long. With BufArena, Offset is its place in the
// arena if the whole plan is static (Plan.ArenaSize >= 0); otherwise the executor lays the arena out
// by the same rule once per distinct input shapes.
type Buf struct {
	Kind        BufKind
	Index       int32
	Offset      int64
	Bytes       Slot // size in bytes
	Start       Slot // of BufPart: where it begins in buffer Index, in bytes
	First, Last int32
	Name        string // the value it holds, for dumps
}

// TensorRef is a buffer seen as a tensor. Strings, containers and tensors of unknown rank live in boxes:
// Box >= 0 is an index into the call's table of Go values, and Buf is -1. Both are -1 for an absent
// operand and for a result that nobody uses. DType is Invalid in a box that may hold anything; of other
// results type and shape are checked.
type TensorRef struct {
	Buf   int32
	Box   int32
	DType tensor.DType
	Shape []Slot
}

// ArgKind says what a kernel argument is.
type ArgKind uint8

// The kinds of arguments.
const (
	ArgBuf  ArgKind = iota // address of buffer N, plus slot Off bytes when Off >= 0
	ArgSlot                // value of slot N
)

// Arg is a word of a kernel's argument block.
type Arg struct {
	Kind ArgKind
	N    int32
	Off  int32 // byte offset slot, -1 for none
}

// StepKind says what a step does.
type StepKind uint8

// The kinds of steps.
const (
	StepKernel  StepKind = iota // run kernel Kernel over [0, Par) in chunks of at least Grain iterations
	StepHost                    // call Host on In, Out
	StepEval                    // compute again the slots from slot A on that depend on those which the steps before it bound, after the last kernel or host call
	StepBind                    // slot A = element B of integer tensor In[0]
	StepSetSlot                 // slot A = slot B
	StepJump                    // continue at step A
	StepJumpIf                  // continue at step A unless In[0] (a Bool scalar) is true
	StepJumpLt                  // continue at step Grain unless slot A < slot B
	StepCheck                   // fail unless slot A == slot B; Name says what they are, or, where B is the constant 0, what A counts
	StepFail                    // fail with the message Name
	StepAlloc                   // allocate heap buffer A at its present size (results of If, whose first writer varies)
)

// Step is one instruction of the plan.
type Step struct {
	Kind   StepKind
	Name   string // ops and ONNX nodes it computes
	Kernel int32
	Args   []Arg
	// Par is the number of parallel iterations: one slot, or one for each level of the program.
	Par    []Slot
	Grain  int64
	A, B   int32
	Host   hostop.Func
	HostOp string // its name in hostop's table, for the literal
	In     []TensorRef
	Out    []TensorRef
	Attrs  hostop.Attrs
	// Fresh lists the slots of result dimensions that Host determines, for each Out, -1 where the
	// dimension is known; nil where all are. When it has bound any, the executor computes all slots
	// that follow again.
	Fresh [][]Slot
	// Flops and MemBytes per run, for profiles; slots, -1 when unknown.
	Flops, MemBytes Slot
}

// IO is an input or output of the model.
type IO struct {
	Name string
	// DType is Invalid for a container (a sequence, map or optional).
	DType tensor.DType
	// Type is the type of a container as text ("seq<f32[?]>"), or that of a tensor of unknown rank
	// ("f32[...]"); "" for other tensors.
	Type string
	// Optional: the input may be absent, and is then nil in its box.
	Optional bool
	// Box is the box of strings, containers and tensors of unknown rank. It means nothing for other types.
	Box int32
	// Shape gives the dimensions as slots. For an input, a slot that is SlotInput of this very
	// dimension is free; any other is a check.
	Shape []Slot
	// Dims is the shape as text for people: "N", "3", "224".
	Dims []string
	// Default is the buffer of the default value of an optional input, -1 for none.
	Default int32
	// DefaultShape is the shape of that value; nil where Shape is constant.
	DefaultShape []int64
}

// Boxed reports whether the value lives in a box and not in a buffer.
func (io *IO) Boxed() bool { return io.DType == tensor.String || io.Type != "" }

// TypeString gives the type as people read it: "f32[N,3,224,224]".
func (io *IO) TypeString() string {
	if io.Type != "" {
		return io.Type
	}
	return io.DType.String() + "[" + strings.Join(io.Dims, ",") + "]"
}

// Plan is a compiled model without its machine code and weights.
type Plan struct {
	Name    string
	Inputs  []IO
	Outputs []IO
	Slots   []SlotDef
	Bufs    []Buf
	Boxes   int32
	Steps   []Step
	// ArenaSize is the size of the arena in bytes; -1 when it depends on input shapes.
	ArenaSize int64
	// WeightsSize is the size of the weights in bytes.
	WeightsSize int64
	// Kernels names the kernels by number.
	Kernels []string
}
