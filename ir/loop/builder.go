package loop

import (
	"fmt"
	"math"

	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// Builder appends instructions to a Func. Its methods panic on operands whose types do not fit: that
// is a bug in lowering, never in a model. Where all operands are constants, integer arithmetic on
// indices is folded as it is built.
type Builder struct {
	F     *Func
	Level *target.Level
	cur   *Block
	// konst remembers constants per block so that each is made once where it dominates its uses.
	konst map[*Value]uint64
}

// NewFunc starts a kernel for a level.
func NewFunc(name string, level *target.Level) *Builder {
	f := &Func{Name: name, Body: &Block{}}
	b := &Builder{F: f, Level: level, cur: f.Body, konst: map[*Value]uint64{}}
	f.Lo, f.Hi = f.newValue(Index, "lo"), f.newValue(Index, "hi")
	return b
}

func (f *Func) newValue(t Type, name string) *Value {
	f.nextID++
	return &Value{ID: f.nextID, Type: t, Name: name}
}

// Memory is the element type with which kernels see memory that holds d: bytes for booleans, 8-bit floats
// and packed elements, 64-bit words for complex numbers.
func Memory(d tensor.DType) tensor.DType {
	switch {
	case d == tensor.Bool || d.IsFloat() && d.Bits() == 8 || d.Bits() < 8:
		return tensor.U8
	case d.Class() == tensor.ClassComplex:
		return tensor.U64
	}
	return d
}

// Param adds a buffer parameter at index arg of the argument block.
func (b *Builder) Param(name string, elem tensor.DType, arg int, write bool) *Buf {
	p := &Buf{Name: name, Elem: Memory(elem), Arg: arg, Write: write}
	b.F.Bufs = append(b.F.Bufs, p)
	return p
}

// Local adds n elements of kernel-local memory.
func (b *Builder) Local(name string, elem tensor.DType, n int64) *Buf {
	p := &Buf{Name: name, Elem: elem, Arg: -1, N: n, Write: true}
	b.F.Bufs = append(b.F.Bufs, p)
	return p
}

// IntParam adds an integer parameter at index arg of the argument block.
func (b *Builder) IntParam(name string, arg int) *Value {
	v := b.F.newValue(Index, name)
	b.F.Ints = append(b.F.Ints, v)
	b.F.IntArgs = append(b.F.IntArgs, arg)
	return v
}

func (b *Builder) emit(in *Instr, types ...Type) *Value {
	for _, t := range types {
		in.Results = append(in.Results, b.F.newValue(t, ""))
	}
	b.cur.Instrs = append(b.cur.Instrs, in)
	if len(in.Results) > 0 {
		return in.Results[0]
	}
	return nil
}

func must(ok bool, format string, args ...any) {
	if !ok {
		panic("loop: " + fmt.Sprintf(format, args...))
	}
}

// Bits makes a constant from the bits of its element.
func (b *Builder) Bits(t Type, bits uint64) *Value {
	v := b.emit(&Instr{Op: OpConst, Imm: bits}, t)
	b.konst[v] = bits
	return v
}

// Int makes an index constant.
func (b *Builder) Int(n int64) *Value { return b.Bits(Index, uint64(n)) }

// IntOf makes an integer constant of any integer or Bool type.
func (b *Builder) IntOf(t Type, n int64) *Value {
	return b.Bits(t, uint64(n)&(^uint64(0)>>(64-max(t.Elem.Bits(), 1))))
}

// Float makes a constant of type t (f32 or f64).
func (b *Builder) Float(t Type, x float64) *Value {
	if t.Elem == tensor.F64 {
		return b.Bits(t, math.Float64bits(x))
	}
	must(t.Elem == tensor.F32, "float constant of %v", t)
	return b.Bits(t, uint64(math.Float32bits(float32(x))))
}

// ConstInt gives the value of an index constant.
func (b *Builder) ConstInt(v *Value) (int64, bool) {
	n, ok := b.konst[v]
	return int64(n), ok && v.Type == Index
}

func (b *Builder) binary(op Op, x, y *Value) *Value {
	must(x.Type == y.Type, "op %d on %v and %v", op, x.Type, y.Type)
	return b.emit(&Instr{Op: op, Args: []*Value{x, y}}, x.Type)
}

// fold computes index arithmetic on constants and drops neutral operands.
func (b *Builder) fold(op Op, x, y *Value) *Value {
	m, okm := b.ConstInt(x)
	n, okn := b.ConstInt(y)
	if okm && okn {
		switch {
		case op == OpAdd:
			return b.Int(m + n)
		case op == OpSub:
			return b.Int(m - n)
		case op == OpMul:
			return b.Int(m * n)
		case op == OpDiv && n > 0:
			return b.Int(m / n)
		case op == OpRem && n > 0:
			return b.Int(m % n)
		}
	}
	switch {
	case okn && n == 0 && (op == OpAdd || op == OpSub), okn && n == 1 && (op == OpMul || op == OpDiv):
		return x
	case okm && m == 0 && op == OpAdd, okm && m == 1 && op == OpMul:
		return y
	case okn && n == 0 && op == OpMul, okn && n == 1 && op == OpRem:
		return b.Int(0)
	case okm && m == 0 && op == OpMul:
		return x
	}
	return b.binary(op, x, y)
}

func (b *Builder) arith(op Op, x, y *Value) *Value {
	if x.Type == Index {
		return b.fold(op, x, y)
	}
	return b.binary(op, x, y)
}

// Add, Sub, Mul, Div and Rem are the arithmetic on two values of one type.
func (b *Builder) Add(x, y *Value) *Value { return b.arith(OpAdd, x, y) }

// Sub is x-y.
func (b *Builder) Sub(x, y *Value) *Value { return b.arith(OpSub, x, y) }

// Mul is x*y.
func (b *Builder) Mul(x, y *Value) *Value { return b.arith(OpMul, x, y) }

// Div is x/y; integers truncate.
func (b *Builder) Div(x, y *Value) *Value { return b.arith(OpDiv, x, y) }

// Rem is the integer remainder with the dividend's sign.
func (b *Builder) Rem(x, y *Value) *Value { return b.arith(OpRem, x, y) }

// AddInt is the index x+n.
func (b *Builder) AddInt(x *Value, n int64) *Value { return b.Add(x, b.Int(n)) }

// MulInt is the index x*n.
func (b *Builder) MulInt(x *Value, n int64) *Value { return b.Mul(x, b.Int(n)) }

// FMA is x*y+z: one rounding where the level has FMA, two where it has not.
func (b *Builder) FMA(x, y, z *Value) *Value {
	must(x.Type == y.Type && y.Type == z.Type, "fma on %v, %v, %v", x.Type, y.Type, z.Type)
	if !b.Level.FMA {
		return b.Add(b.Mul(x, y), z)
	}
	return b.emit(&Instr{Op: OpFMA, Args: []*Value{x, y, z}}, x.Type)
}

// Min is the smaller of x and y; NaN if either is.
func (b *Builder) Min(x, y *Value) *Value { return b.binary(OpMin, x, y) }

// Max is the larger of x and y; NaN if either is.
func (b *Builder) Max(x, y *Value) *Value { return b.binary(OpMax, x, y) }

// And, Or and Xor work on integers and predicates.
func (b *Builder) And(x, y *Value) *Value { return b.binary(OpAnd, x, y) }

// Or is x|y.
func (b *Builder) Or(x, y *Value) *Value { return b.binary(OpOr, x, y) }

// Xor is x^y.
func (b *Builder) Xor(x, y *Value) *Value { return b.binary(OpXor, x, y) }

// Shl is x<<y.
func (b *Builder) Shl(x, y *Value) *Value { return b.binary(OpShl, x, y) }

// Shr is x>>y: arithmetic when signed, logical when unsigned.
func (b *Builder) Shr(x, y *Value) *Value { return b.binary(OpShr, x, y) }

// Unary applies OpNeg, OpAbs, OpSqrt, OpFloor, OpCeil, OpTrunc, OpRound or OpNot.
func (b *Builder) Unary(op Op, x *Value) *Value {
	return b.emit(&Instr{Op: op, Args: []*Value{x}}, x.Type)
}

// Neg is -x.
func (b *Builder) Neg(x *Value) *Value { return b.Unary(OpNeg, x) }

// Not is ^x.
func (b *Builder) Not(x *Value) *Value { return b.Unary(OpNot, x) }

// Cmp compares; the result is a predicate with as many lanes.
func (b *Builder) Cmp(p Pred, x, y *Value) *Value {
	must(x.Type == y.Type, "compare %v with %v", x.Type, y.Type)
	return b.emit(&Instr{Op: OpCmp, Pred: p, Args: []*Value{x, y}}, Type{tensor.Bool, x.Type.Lanes})
}

// Select is c ? x : y.
func (b *Builder) Select(c, x, y *Value) *Value {
	must(x.Type == y.Type && c.Type == Type{tensor.Bool, x.Type.Lanes}, "select %v ? %v : %v", c.Type, x.Type, y.Type)
	return b.emit(&Instr{Op: OpSelect, Args: []*Value{c, x, y}}, x.Type)
}

// Convert changes the element type; see OpConvert.
func (b *Builder) Convert(x *Value, d tensor.DType) *Value {
	if x.Type.Elem == d {
		return x
	}
	return b.emit(&Instr{Op: OpConvert, Args: []*Value{x}}, Type{d, x.Type.Lanes})
}

// Bitcast reinterprets the bits of x.
func (b *Builder) Bitcast(x *Value, t Type) *Value {
	must(x.Type.Elem.Bits()*x.Type.Lanes == t.Elem.Bits()*t.Lanes, "bitcast %v to %v", x.Type, t)
	return b.emit(&Instr{Op: OpBitcast, Args: []*Value{x}}, t)
}

// Broadcast copies a scalar to n lanes.
func (b *Builder) Broadcast(x *Value, n int) *Value {
	if n == x.Type.Lanes {
		return x
	}
	must(x.Type.Lanes == 1, "broadcast of %v", x.Type)
	return b.emit(&Instr{Op: OpBroadcast, Args: []*Value{x}}, Type{x.Type.Elem, n})
}

// Extract takes lane i.
func (b *Builder) Extract(x *Value, i int) *Value {
	return b.emit(&Instr{Op: OpExtract, Imm: uint64(i), Args: []*Value{x}}, Type{x.Type.Elem, 1})
}

// Shuffle picks lanes of the concatenation of x and y.
func (b *Builder) Shuffle(x, y *Value, lanes ...int) *Value {
	must(x.Type == y.Type, "shuffle %v with %v", x.Type, y.Type)
	return b.emit(&Instr{Op: OpShuffle, Lanes: lanes, Args: []*Value{x, y}}, Type{x.Type.Elem, len(lanes)})
}

// Reduce applies OpReduceAdd, OpReduceMul, OpReduceMin or OpReduceMax; a scalar is its own reduction.
func (b *Builder) Reduce(op Op, x *Value) *Value {
	if x.Type.Lanes == 1 {
		return x
	}
	return b.emit(&Instr{Op: op, Args: []*Value{x}}, Type{x.Type.Elem, 1})
}

// Iota is the vector 0, 1, 2, ...
func (b *Builder) Iota(t Type) *Value { return b.emit(&Instr{Op: OpIota}, t) }

// Load reads n lanes of p from element idx on.
func (b *Builder) Load(p *Buf, idx *Value, n int) *Value {
	must(idx.Type == Index, "index of type %v", idx.Type)
	return b.emit(&Instr{Op: OpLoad, Buf: p, Args: []*Value{idx}}, Type{p.Elem, n})
}

// LoadMask reads the lanes whose mask bit is set; the others are 0 and not touched in memory.
func (b *Builder) LoadMask(p *Buf, idx, mask *Value) *Value {
	return b.emit(&Instr{Op: OpLoadMask, Buf: p, Args: []*Value{idx, mask}}, Type{p.Elem, mask.Type.Lanes})
}

// Gather reads p at each lane of the I64 vector idx.
func (b *Builder) Gather(p *Buf, idx *Value) *Value {
	return b.emit(&Instr{Op: OpGather, Buf: p, Args: []*Value{idx}}, Type{p.Elem, idx.Type.Lanes})
}

// Prefetch brings the cache line of element idx of p nearer to the core. It never fails, wherever that is.
func (b *Builder) Prefetch(p *Buf, idx *Value) {
	must(idx.Type == Index, "index of type %v", idx.Type)
	b.emit(&Instr{Op: OpPrefetch, Buf: p, Args: []*Value{idx}})
}

// Store writes x to p from element idx on.
func (b *Builder) Store(p *Buf, idx, x *Value) {
	must(idx.Type == Index && x.Type.Elem == p.Elem && p.Write, "store %v to %s of %v (writable %v)", x.Type, p.Name, p.Elem, p.Write)
	b.emit(&Instr{Op: OpStore, Buf: p, Args: []*Value{idx, x}})
}

// StoreMask writes the lanes of x whose mask bit is set.
func (b *Builder) StoreMask(p *Buf, idx, x, mask *Value) {
	must(x.Type.Elem == p.Elem && p.Write && mask.Type.Lanes == x.Type.Lanes, "masked store %v to %s of %v", x.Type, p.Name, p.Elem)
	b.emit(&Instr{Op: OpStoreMask, Buf: p, Args: []*Value{idx, x, mask}})
}

// Dot4 adds to acc (i32xN) the dot products of groups of four of x (u8x4N) and y (i8x4N).
func (b *Builder) Dot4(acc, x, y *Value) *Value {
	return b.emit(&Instr{Op: OpDot4, Args: []*Value{acc, x, y}}, acc.Type)
}

// Dot2 adds to acc (f32xN) the products of pairs of x and y (bf16x2N). A level without the instruction widens
// them, with the same result.
func (b *Builder) Dot2(acc, x, y *Value) *Value {
	n := acc.Type.Lanes
	must(acc.Type.Elem == tensor.F32 && x.Type == Type{tensor.BF16, 2 * n} && y.Type == x.Type, "dot2 on %v, %v, %v", acc.Type, x.Type, y.Type)
	if b.Level.BF16 {
		return b.emit(&Instr{Op: OpDot2, Args: []*Value{acc, x, y}}, acc.Type)
	}
	u32 := Type{tensor.U32, n}
	x, y = b.Bitcast(x, u32), b.Bitcast(y, u32)
	odd := func(v *Value) *Value { return b.Bitcast(b.And(v, b.IntOf(u32, 0xffff0000)), acc.Type) }
	even := func(v *Value) *Value { return b.Bitcast(b.Shl(v, b.IntOf(u32, 16)), acc.Type) }
	return b.FMA(even(x), even(y), b.FMA(odd(x), odd(y), acc))
}

// For builds a loop from lo to hi by step with carried values; body gets the counter and the carried
// values and returns their next values. It gives the carried values after the last iteration.
func (b *Builder) For(lo, hi *Value, step int64, init []*Value, body func(iv *Value, carried []*Value) []*Value) []*Value {
	must(step > 0, "step %d", step)
	blk := &Block{Params: []*Value{b.F.newValue(Index, "")}}
	var types []Type
	for _, v := range init {
		blk.Params = append(blk.Params, b.F.newValue(v.Type, ""))
		types = append(types, v.Type)
	}
	outer := b.cur
	b.cur = blk
	blk.Yield = body(blk.Params[0], blk.Params[1:])
	b.cur = outer
	must(len(blk.Yield) == len(init), "loop carries %d values, yields %d", len(init), len(blk.Yield))
	in := &Instr{Op: OpFor, Imm: uint64(step), Args: append([]*Value{lo, hi}, init...), Blocks: []*Block{blk}}
	b.emit(in, types...)
	return in.Results
}

// Range is For without carried values.
func (b *Builder) Range(lo, hi *Value, step int64, body func(iv *Value)) {
	b.For(lo, hi, step, nil, func(iv *Value, _ []*Value) []*Value { body(iv); return nil })
}

// Parallel is Range over the kernel's parallel range: the outermost loop of a kernel.
func (b *Builder) Parallel(body func(i *Value)) { b.Range(b.F.Lo, b.F.Hi, 1, body) }

// If builds a conditional; both sides return values of the same types. els may be nil when there are none.
func (b *Builder) If(cond *Value, then, els func() []*Value) []*Value {
	must(cond.Type == Scalar(tensor.Bool), "condition of type %v", cond.Type)
	in := &Instr{Op: OpIf, Args: []*Value{cond}, Blocks: []*Block{{}, {}}}
	outer := b.cur
	b.cur = in.Blocks[0]
	in.Blocks[0].Yield = then()
	b.cur = in.Blocks[1]
	if els != nil {
		in.Blocks[1].Yield = els()
	}
	b.cur = outer
	var types []Type
	for _, v := range in.Blocks[0].Yield {
		types = append(types, v.Type)
	}
	b.emit(in, types...)
	return in.Results
}
