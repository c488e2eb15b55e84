package loop

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// Eval runs f: bufs holds the bytes of each buffer parameter by its argument index, ints the integer
// parameters by theirs. Every access is checked. Values are kept as the bits of each lane.
func Eval(f *Func, bufs map[int][]byte, ints map[int]int64, lo, hi int64) (err error) {
	e := &evaluator{env: make([][]uint64, f.nextID+1), mem: map[*Buf][]byte{}}
	for _, b := range f.Bufs {
		if b.Arg >= 0 {
			e.mem[b] = bufs[b.Arg]
		} else {
			e.mem[b] = make([]byte, b.N*int64(b.Elem.Size()))
		}
	}
	for i, v := range f.Ints {
		e.env[v.ID] = []uint64{uint64(ints[f.IntArgs[i]])}
	}
	e.env[f.Lo.ID], e.env[f.Hi.ID] = []uint64{uint64(lo)}, []uint64{uint64(hi)}
	defer func() {
		if r := recover(); r != nil {
			s, ok := r.(evalError)
			if !ok {
				panic(r)
			}
			err = fmt.Errorf("loop: %s: %s", f.Name, string(s))
		}
	}()
	e.block(f.Body)
	return nil
}

type evalError string

type evaluator struct {
	env [][]uint64 // by the number of the value
	mem map[*Buf][]byte
}

func (e *evaluator) block(b *Block) {
	for _, in := range b.Instrs {
		e.instr(in)
	}
}

func (e *evaluator) int(v *Value) int64 { return int64(e.env[v.ID][0]) }

func (e *evaluator) bind(to, from []*Value) {
	vals := make([][]uint64, len(from))
	for i, v := range from {
		vals[i] = e.env[v.ID]
	}
	for i, v := range to {
		e.env[v.ID] = vals[i]
	}
}

func (e *evaluator) instr(in *Instr) {
	switch {
	case in.Op == OpFor:
		blk := in.Blocks[0]
		e.bind(blk.Params[1:], in.Args[2:])
		for i := e.int(in.Args[0]); i < e.int(in.Args[1]); i += int64(in.Imm) {
			e.env[blk.Params[0].ID] = []uint64{uint64(i)}
			e.block(blk)
			e.bind(blk.Params[1:], blk.Yield)
		}
		e.bind(in.Results, blk.Params[1:])
	case in.Op == OpIf:
		blk := in.Blocks[0]
		if e.env[in.Args[0].ID][0] == 0 {
			blk = in.Blocks[1]
		}
		e.block(blk)
		e.bind(in.Results, blk.Yield)
	case in.Op == OpPrefetch:
	case in.Op.Reads() || in.Op.Writes():
		e.memory(in)
	default:
		e.env[in.Results[0].ID] = e.pure(in)
	}
}

// memory runs loads and stores.
func (e *evaluator) memory(in *Instr) {
	n := 0
	var val, mask []uint64
	idx := e.env[in.Args[0].ID]
	switch in.Op {
	case OpLoad, OpGather:
		n = in.Results[0].Type.Lanes
	case OpLoadMask:
		n, mask = in.Results[0].Type.Lanes, e.env[in.Args[1].ID]
	case OpStore, OpStoreMask:
		val = e.env[in.Args[1].ID]
		n = len(val)
		if in.Op == OpStoreMask {
			mask = e.env[in.Args[2].ID]
		}
	}
	out := make([]uint64, n)
	for i := range n {
		if mask != nil && mask[i] == 0 {
			continue
		}
		at := int64(idx[0]) + int64(i)
		if in.Op == OpGather {
			at = int64(idx[i])
		}
		cell := e.cell(in.Buf, at)
		if val != nil {
			putBits(cell, val[i])
		} else {
			out[i] = getBits(cell)
		}
	}
	if val == nil {
		e.env[in.Results[0].ID] = out
	}
}

func (e *evaluator) cell(b *Buf, at int64) []byte {
	size := int64(b.Elem.Size())
	m := e.mem[b]
	if at < 0 || at >= int64(len(m))/size {
		panic(evalError(fmt.Sprintf("element %d of buffer %s is outside of its %d", at, b.Name, int64(len(m))/size)))
	}
	return m[at*size : (at+1)*size]
}

func getBits(b []byte) uint64 {
	var w [8]byte
	copy(w[:], b)
	return binary.LittleEndian.Uint64(w[:])
}

func putBits(b []byte, v uint64) {
	var w [8]byte
	binary.LittleEndian.PutUint64(w[:], v)
	copy(b, w[:])
}

// pure runs what only computes.
func (e *evaluator) pure(in *Instr) []uint64 {
	r := in.Results[0].Type
	out := make([]uint64, r.Lanes)
	arg := func(k int) []uint64 { return e.env[in.Args[k].ID] }
	switch in.Op {
	case OpConst:
		for i := range out {
			out[i] = in.Imm
		}
	case OpBroadcast:
		for i := range out {
			out[i] = arg(0)[0]
		}
	case OpIota:
		for i := range out {
			out[i] = uint64(i)
		}
	case OpExtract:
		out[0] = arg(0)[in.Imm]
	case OpShuffle:
		both := append(append([]uint64{}, arg(0)...), arg(1)...)
		for i, l := range in.Lanes {
			out[i] = both[l]
		}
	case OpSelect:
		for i := range out {
			out[i] = arg(2)[i]
			if arg(0)[i] != 0 {
				out[i] = arg(1)[i]
			}
		}
	case OpCmp:
		for i := range out {
			out[i] = compare(in.Args[0].Type.Elem, in.Pred, arg(0)[i], arg(1)[i])
		}
	case OpConvert:
		for i := range out {
			out[i] = convert(in.Args[0].Type.Elem, r.Elem, arg(0)[i])
		}
	case OpBitcast:
		bitcast(out, r.Elem.Bits(), arg(0), in.Args[0].Type.Elem.Bits())
	case OpReduceAdd, OpReduceMul, OpReduceMin, OpReduceMax:
		out[0] = reduceLanes(in, arg(0))
	case OpDot4:
		for i := range out {
			acc := int32(arg(0)[i])
			for j := range 4 {
				acc += int32(uint8(arg(1)[4*i+j])) * int32(int8(arg(2)[4*i+j]))
			}
			out[i] = uint64(uint32(acc))
		}
	case OpDot2:
		for i := range out {
			acc := math.Float32frombits(uint32(arg(0)[i]))
			for j := 1; j >= 0; j-- { // products of 8 bits by 8 are exact
				acc += float32(asFloat(tensor.BF16, arg(1)[2*i+j]) * asFloat(tensor.BF16, arg(2)[2*i+j]))
			}
			out[i] = uint64(math.Float32bits(acc))
		}
	default:
		for i := range out {
			var x [3]uint64
			for k := range in.Args {
				x[k] = arg(k)[i]
			}
			out[i] = arith(in.Op, r.Elem, x)
		}
	}
	return out
}

// bitcast lays the lanes of in out as bytes and reads them again in another width.
func bitcast(out []uint64, to int, in []uint64, from int) {
	var b []byte
	for _, v := range in {
		b = append(b, binary.LittleEndian.AppendUint64(nil, v)[:from/8]...)
	}
	for i := range out {
		out[i] = getBits(b[i*to/8 : (i+1)*to/8])
	}
}

// reduceLanes combines by halving, as OpReduceAdd says.
func reduceLanes(in *Instr, x []uint64) uint64 {
	op := map[Op]Op{OpReduceAdd: OpAdd, OpReduceMul: OpMul, OpReduceMin: OpMin, OpReduceMax: OpMax}[in.Op]
	v := append([]uint64{}, x...)
	for n := len(v) / 2; n > 0; n /= 2 {
		for i := range n {
			v[i] = arith(op, in.Results[0].Type.Elem, [3]uint64{v[i], v[i+n]})
		}
	}
	return v[0]
}

func asFloat(d tensor.DType, b uint64) float64 {
	switch d {
	case tensor.F32:
		return float64(math.Float32frombits(uint32(b)))
	case tensor.F16:
		return float64(tensor.F16ToF32(uint16(b)))
	case tensor.BF16:
		return float64(tensor.BF16ToF32(uint16(b)))
	}
	return math.Float64frombits(b)
}

func fromFloat(d tensor.DType, f float64) uint64 {
	switch d {
	case tensor.F32:
		return uint64(math.Float32bits(float32(f)))
	case tensor.F16:
		return uint64(tensor.F32ToF16(float32(f)))
	case tensor.BF16:
		return uint64(tensor.F32ToBF16(float32(f)))
	}
	return math.Float64bits(f)
}

// extend gives an integer element as 64 bits by its signedness.
func extend(d tensor.DType, b uint64) int64 {
	if d == tensor.Bool {
		return int64(b & 1)
	}
	s := 64 - d.Bits()
	if d.Class() == tensor.ClassInt {
		return int64(b<<s) >> s
	}
	return int64(b << s >> s)
}

func mask(d tensor.DType, v int64) uint64 {
	if d == tensor.Bool {
		return uint64(v) & 1
	}
	s := 64 - d.Bits()
	return uint64(v) << s >> s
}

func compare(d tensor.DType, p Pred, x, y uint64) uint64 {
	var c int
	if d.IsFloat() {
		a, b := asFloat(d, x), asFloat(d, y)
		if a != a || b != b {
			if p == NE {
				return 1
			}
			return 0
		}
		c = order(a < b, a > b)
	} else if a, b := extend(d, x), extend(d, y); d == tensor.U64 {
		c = order(uint64(a) < uint64(b), uint64(a) > uint64(b))
	} else {
		c = order(a < b, a > b)
	}
	if [...]bool{EQ: c == 0, NE: c != 0, LT: c < 0, LE: c <= 0, GT: c > 0, GE: c >= 0}[p] {
		return 1
	}
	return 0
}

func order(less, more bool) int {
	switch {
	case less:
		return -1
	case more:
		return 1
	}
	return 0
}

func convert(from, to tensor.DType, b uint64) uint64 {
	switch {
	case from.IsFloat() && to.IsFloat():
		return fromFloat(to, asFloat(from, b))
	case from.IsFloat():
		f := asFloat(from, b)
		if to == tensor.U64 && f >= 0x1p63 {
			return uint64(f)
		}
		return mask(to, int64(f))
	case to.IsFloat():
		v := extend(from, b)
		switch {
		case from == tensor.U64 && to == tensor.F32:
			return uint64(math.Float32bits(float32(uint64(v))))
		case from == tensor.U64:
			return math.Float64bits(float64(uint64(v)))
		case to == tensor.F32:
			return uint64(math.Float32bits(float32(v)))
		}
		return fromFloat(to, float64(v))
	}
	return mask(to, extend(from, b))
}

func arith(op Op, d tensor.DType, x [3]uint64) uint64 {
	switch {
	case d == tensor.F32:
		return arithF32(op, x)
	case d.IsFloat():
		return fromFloat(d, arithF64(op, asFloat(d, x[0]), asFloat(d, x[1]), asFloat(d, x[2])))
	}
	return mask(d, arithInt(op, d, extend(d, x[0]), extend(d, x[1])))
}

// arithF32 rounds once: a product or sum of two f32 is exact or correctly rounded via f64; the fused
// form needs care where f64 rounds before f32 does.
func arithF32(op Op, x [3]uint64) uint64 {
	a, b, c := asFloat(tensor.F32, x[0]), asFloat(tensor.F32, x[1]), asFloat(tensor.F32, x[2])
	switch op {
	case OpNeg:
		return x[0] ^ 1<<31
	case OpAbs:
		return x[0] &^ (1 << 31)
	case OpFMA:
		return uint64(math.Float32bits(fma32(a, b, c)))
	}
	return fromFloat(tensor.F32, arithF64(op, a, b, c))
}

// fma32 rounds a*b+c to f32 once: the sum in f64 is rounded to odd first.
func fma32(a, b, c float64) float32 {
	p := a * b // exact
	s := p + c
	if s == 0 || math.IsInf(s, 0) || s != s {
		return float32(s)
	}
	bb := s - p
	err := (p - (s - bb)) + (c - bb)
	if err != 0 && math.Float64bits(s)&1 == 0 {
		if (err > 0) == (s > 0) {
			s = math.Float64frombits(math.Float64bits(s) + 1)
		} else {
			s = math.Float64frombits(math.Float64bits(s) - 1)
		}
	}
	return float32(s)
}

func arithF64(op Op, a, b, c float64) float64 {
	switch op {
	case OpAdd:
		return a + b
	case OpSub:
		return a - b
	case OpMul:
		return a * b
	case OpDiv:
		return a / b
	case OpFMA:
		return math.FMA(a, b, c)
	case OpNeg:
		return -a
	case OpAbs:
		return math.Abs(a)
	case OpMin, OpMax:
		switch { // math.Min lets infinities win over NaN
		case a != a || b != b:
			return math.NaN()
		case op == OpMin:
			return math.Min(a, b)
		}
		return math.Max(a, b)
	case OpSqrt:
		return math.Sqrt(a)
	case OpFloor:
		return math.Floor(a)
	case OpCeil:
		return math.Ceil(a)
	case OpTrunc:
		return math.Trunc(a)
	case OpRound:
		return math.RoundToEven(a)
	}
	panic(evalError(fmt.Sprintf("%v on floats", op)))
}

func arithInt(op Op, d tensor.DType, a, b int64) int64 {
	unsigned := d.Class() != tensor.ClassInt
	switch op {
	case OpAdd:
		return a + b
	case OpSub:
		return a - b
	case OpMul:
		return a * b
	case OpDiv, OpRem:
		if b == 0 {
			panic(evalError("division by zero"))
		}
		if unsigned {
			q, r := bits.Div64(0, uint64(a), uint64(b))
			return map[Op]int64{OpDiv: int64(q), OpRem: int64(r)}[op]
		}
		if op == OpDiv {
			return a / b
		}
		return a % b
	case OpNeg:
		return -a
	case OpAbs:
		if unsigned {
			return a
		}
		return max(a, -a)
	case OpMin, OpMax:
		less := a < b
		if unsigned {
			less = uint64(a) < uint64(b)
		}
		if less == (op == OpMin) {
			return a
		}
		return b
	case OpAnd:
		return a & b
	case OpOr:
		return a | b
	case OpXor:
		return a ^ b
	case OpNot:
		return ^a
	case OpShl:
		return a << uint(b)
	case OpShr:
		if unsigned {
			return int64(uint64(a) >> uint(b))
		}
		return a >> uint(b)
	}
	panic(evalError(fmt.Sprintf("%v on integers", op)))
}
