package arm64

import (
	"fmt"

	"github.com/nnc-go/nnc/backend/goasm/mach"
	"github.com/nnc-go/nnc/backend/goasm/selection"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// sel selects the instructions of one kernel.
type sel struct {
	selection.Selector

	users     map[*loop.Value][]use
	addresses map[address]mach.Reg // computed in this block or one around it
	shared    map[address]int      // how many accesses have the address
	consts    map[constKey]mach.Reg
}

// address is where a buffer's element is whose index is a value that is no sum with a constant.
type address struct {
	buf *loop.Buf
	idx *loop.Value
}

type constKey struct {
	lo, hi uint64
	size   int
}

// selectFunc turns a kernel into machine instructions.
func selectFunc(f *loop.Func, level *target.Level, symbol string) (*mach.Func, error) {
	s := &sel{Selector: selection.New(symbol, level), addresses: map[address]mach.Reg{}, shared: map[address]int{}, consts: map[constKey]mach.Reg{}}
	return s.F, s.Select(f, s)
}

// LoadWord implements selection.Arch.
func (s *sel) LoadWord(at mach.Arg, again bool) mach.Reg {
	r := s.general()
	s.F.Add(&mach.Inst{Op: "MOVD", Args: []mach.Arg{at, mach.W(r, 0)}, Remat: again})
	return r
}

// Return implements selection.Arch.
func (s *sel) Return() { s.F.Emit("RET") }

// isFloat reports whether a type's arithmetic is that of f32 or f64.
func isFloat(t loop.Type) bool { return t.Elem == tensor.F32 || t.Elem == tensor.F64 }

func isSigned(t loop.Type) bool { return t.Elem.Class() == tensor.ClassInt }

// classOf is the register class of a type's values. Scalars of f16 and bf16 are in general registers.
func classOf(t loop.Type) mach.Class {
	if t.Lanes == 1 && !isFloat(t) {
		return mach.GPR
	}
	return mach.Vec
}

// sizeOf is the number of bytes of a type's values in registers.
func (s *sel) sizeOf(t loop.Type) int {
	switch {
	case classOf(t) == mach.GPR:
		return 8
	case t.Elem == tensor.Bool:
		return t.Lanes * s.MaskWidth(t)
	}
	return t.Lanes * t.Elem.Size()
}

// shape is the shape of a type's vectors.
func (s *sel) shape(t loop.Type) shape {
	size := t.Elem.Size()
	if t.Lanes*size > s.Level.VecBytes {
		s.Fail("%v does not fit a register", t)
	}
	return shapeOf(t.Lanes, size)
}

func (s *sel) NewReg(t loop.Type) mach.Reg { return s.F.New(classOf(t), s.sizeOf(t)) }
func (s *sel) general() mach.Reg           { return s.F.New(mach.GPR, 8) }

// vector makes a register for a vector of a shape.
func (s *sel) vector(sh shape) mach.Reg { return s.F.New(mach.Vec, 8<<sh.q) }

// result makes the register of an instruction's result.
func (s *sel) result(in *loop.Instr) mach.Reg {
	v := in.Results[0]
	r := s.NewReg(v.Type)
	s.Regs[v] = r
	return r
}

// integer is the value of a constant in a general register.
func (s *sel) integer(v *loop.Value) (int64, bool) {
	bits, ok := s.Constant(v)
	if !ok || classOf(v.Type) != mach.GPR {
		return 0, false
	}
	shift := 64 - max(v.Type.Elem.Bits(), 1)
	if isSigned(v.Type) {
		return int64(bits<<shift) >> shift, true
	}
	return int64(bits << shift >> shift), true
}

// small is an integer constant that additions and comparisons take as it is.
func (s *sel) small(v *loop.Value) (int64, bool) {
	n, ok := s.integer(v)
	return n, ok && n > -4096 && n < 4096
}

// r is v as a scalar that is read.
func (s *sel) r(v *loop.Value) mach.Arg { return mach.R(s.Reg(v), 0) }

// Const is a register with a constant. General registers are set where they are needed; vectors where the
// kernel begins, and again where registers are short.
func (s *sel) Const(t loop.Type, bits uint64) mach.Reg {
	switch {
	case classOf(t) == mach.GPR:
		r := s.general()
		s.setInt(r, int64(bits))
		return r
	case t.Elem == tensor.Bool:
		return s.maskConst(t.Lanes*s.MaskWidth(t), bits&1 == 1)
	}
	return s.splat(t.Lanes*t.Elem.Size(), t.Elem.Size(), bits)
}

// setInt sets a register that has no other definition.
func (s *sel) setInt(r mach.Reg, n int64) {
	s.F.Add(&mach.Inst{Op: "MOVD", Args: []mach.Arg{mach.Imm(n), mach.W(r, 0)}, Remat: true})
}

// splat is a register of size bytes in which each element of elem bytes is bits.
func (s *sel) splat(size, elem int, bits uint64) mach.Reg {
	if elem < 8 {
		bits &= 1<<(8*elem) - 1
	}
	for ; elem < 8; elem *= 2 {
		bits |= bits << (8 * elem)
	}
	return s.vecConst(bits, bits, size)
}

// vecConst is a register of size bytes with a constant, of which lo is the first half.
func (s *sel) vecConst(lo, hi uint64, size int) mach.Reg {
	key := constKey{lo, hi, size}
	if size < 16 {
		key.hi = 0
	}
	r, ok := s.consts[key]
	if !ok {
		r = s.F.New(mach.Vec, size)
		s.consts[key] = r
		in := setVec(r, lo, hi, size)
		in.Remat = true
		s.Entry = append(s.Entry, in)
	}
	return r
}

// bytesConst is vecConst from bytes.
func (s *sel) bytesConst(b []byte) mach.Reg {
	var halves [2]uint64
	for i, x := range b {
		halves[i/8] |= uint64(x) << (i % 8 * 8)
	}
	return s.vecConst(halves[0], halves[1], len(b))
}

// setVec is the instruction that sets a register to a constant: from itself where all bytes are the same, else
// from memory, where the assembler keeps each constant once.
func setVec(r mach.Reg, lo, hi uint64, size int) *mach.Inst {
	hex := func(n uint64) mach.Arg { return mach.Text(fmt.Sprintf("$%#x", n)) }
	switch {
	case lo == lo&0xff*0x0101010101010101 && (lo == hi || size <= 8):
		return &mach.Inst{Op: "VMOVI", Args: []mach.Arg{mach.Imm(int64(lo & 0xff)), mach.W(r, whole.view())}}
	case size > 8:
		return &mach.Inst{Op: "VMOVQ", Args: []mach.Arg{hex(lo), hex(hi), mach.W(r, vSingle)}}
	case size > 4:
		return &mach.Inst{Op: "VMOVD", Args: []mach.Arg{hex(lo), mach.W(r, vSingle)}}
	}
	return &mach.Inst{Op: "VMOVS", Args: []mach.Arg{hex(lo & 0xffffffff), mach.W(r, vSingle)}}
}

// Move copies a value; the copy is dropped where both can be one register.
func (s *sel) Move(_ loop.Type, dst, src mach.Reg) {
	op, view := "MOVD", uint8(0)
	if s.F.Class(dst) == mach.Vec {
		op, view = "VMOV", whole.view()
	}
	s.F.Add(&mach.Inst{Op: op, Args: []mach.Arg{mach.R(src, view), mach.W(dst, view)}, Move: true})
}

// copyOf is a new register with what is in src, to be written over.
func (s *sel) copyOf(src mach.Reg) mach.Reg {
	r := s.F.New(s.F.Class(src), s.F.Size(src))
	s.Move(loop.Type{}, r, src)
	return r
}

// neon emits an instruction of the table: regs are its operands, the destination first.
func (s *sel) neon(key string, sh shape, imm int, regs ...mach.Reg) {
	n, ok := insns[key]
	if !ok || !n.takes(sh) {
		s.Fail("no instruction %s of shape %v", key, sh)
	}
	s.F.Add(n.build(key, sh, imm, regs))
}

// vec emits an instruction of the table that gives a vector of the shape, and gives its register.
func (s *sel) vec(key string, sh shape, sources ...mach.Reg) mach.Reg {
	return s.vecImm(key, sh, 0, sources...)
}

// vecImm is vec with an immediate.
func (s *sel) vecImm(key string, sh shape, imm int, sources ...mach.Reg) mach.Reg {
	size := 8 << sh.q
	if insns[key].operands[0] == 'w' {
		size = 16
	}
	r := s.F.New(mach.Vec, size)
	s.neon(key, sh, imm, append([]mach.Reg{r}, sources...)...)
	return r
}

// give makes r the result of in.
func (s *sel) give(in *loop.Instr, r mach.Reg) { s.Regs[in.Results[0]] = r }

// Instr selects one instruction.
func (s *sel) Instr(in *loop.Instr) {
	rule := rules[in.Op]
	if rule == nil {
		s.Fail("no rule for %v", in.Op)
	}
	rule(s, in)
}

// rule selects the instructions of an operation.
type rule func(s *sel, in *loop.Instr)

// rules is the table of operations. It is filled by init since rules use it.
var rules map[loop.Op]rule

func init() {
	rules = map[loop.Op]rule{
		loop.OpAdd: arith, loop.OpSub: arith, loop.OpMul: arith, loop.OpDiv: arith, loop.OpRem: arith, loop.OpAnd: arith, loop.OpOr: arith, loop.OpXor: arith,
		loop.OpNot: arith, loop.OpNeg: arith, loop.OpAbs: arith, loop.OpMin: arith, loop.OpMax: arith, loop.OpShl: arith, loop.OpShr: arith,
		loop.OpFMA: fmaRule, loop.OpSqrt: arith, loop.OpFloor: arith, loop.OpCeil: arith, loop.OpTrunc: arith, loop.OpRound: arith,
		loop.OpCmp: cmpRule, loop.OpSelect: selectRule, loop.OpConvert: convertRule, loop.OpBitcast: bitcastRule, loop.OpBroadcast: broadcastRule,
		loop.OpExtract: extractRule, loop.OpShuffle: shuffleRule, loop.OpIota: iotaRule,
		loop.OpReduceAdd: reduceRule(loop.OpAdd), loop.OpReduceMul: reduceRule(loop.OpMul), loop.OpReduceMin: reduceRule(loop.OpMin), loop.OpReduceMax: reduceRule(loop.OpMax),
		loop.OpLoad: loadRule, loop.OpStore: storeRule, loop.OpLoadMask: loadMaskRule, loop.OpStoreMask: storeMaskRule, loop.OpGather: gatherRule,
		loop.OpDot4: dot4Rule, loop.OpFor: func(s *sel, in *loop.Instr) { s.Loop(in) }, loop.OpIf: func(s *sel, in *loop.Instr) { s.Cond(in) },
	}
}

// arith sorts arithmetic by kind of operand.
func arith(s *sel, in *loop.Instr) {
	switch t := in.Results[0].Type; {
	case isFloat(t) && t.Lanes == 1:
		s.scalarFloat(in)
	case isFloat(t):
		s.vectorFloat(in)
	case t.Lanes == 1:
		s.scalarInt(in)
	case t.Elem == tensor.Bool:
		s.maskLogic(in)
	default:
		s.vectorInt(in)
	}
}
