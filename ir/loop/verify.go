package loop

import (
	"errors"
	"fmt"
	"slices"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// Verify checks what every consumer of a kernel may rely on:
//
//   - a value is defined once, before its uses, in the block of the use or one around it;
//   - operands and results have the number and the types that the operation says; vectors have a power of two
//     of lanes, at most MaxLanes;
//   - stores go to buffers marked Write; buffers have a byte-sized element type;
//   - loop bodies take the counter and the carried values and yield as many of the same types, and the
//     two sides of a conditional yield the types of its results.
func Verify(f *Func) error {
	v := &verifier{seen: map[*Value]bool{}, bufs: map[*Buf]bool{}}
	for _, b := range f.Bufs {
		v.bufs[b] = true
		v.check(b.Elem.Size() > 0 && b.Elem != tensor.Bool && b.Elem != tensor.String, "buffer %s of %v", b.Name, b.Elem)
		v.check(b.Arg >= 0 || b.N > 0, "buffer %s has no argument and no size", b.Name)
	}
	v.define(append(append([]*Value{}, f.Ints...), f.Lo, f.Hi))
	v.block(f.Body)
	if len(v.errs) > 0 {
		return fmt.Errorf("loop: %s: %w", f.Name, errors.Join(v.errs...))
	}
	return nil
}

type verifier struct {
	seen map[*Value]bool
	bufs map[*Buf]bool
	errs []error
}

func (v *verifier) check(ok bool, format string, args ...any) {
	if !ok && len(v.errs) < 20 {
		v.errs = append(v.errs, fmt.Errorf(format, args...))
	}
}

func (v *verifier) define(vs []*Value) {
	for _, x := range vs {
		n := x.Type.Lanes
		v.check(n >= 1 && n <= MaxLanes && n&(n-1) == 0, "value %d has %d lanes, want a power of two up to %d", x.ID, n, MaxLanes)
		v.check(!v.seen[x], "value %d is defined twice", x.ID)
		v.seen[x] = true
	}
}

func (v *verifier) use(what string, vs []*Value) {
	for _, x := range vs {
		v.check(x != nil && v.seen[x], "%s uses a value that is not defined there", what)
	}
}

// block checks a block; what it defines is not visible after it.
func (v *verifier) block(b *Block) {
	var local []*Value
	define := func(vs []*Value) { v.define(vs); local = append(local, vs...) }
	define(b.Params)
	for _, in := range b.Instrs {
		v.use(in.Op.String(), in.Args)
		v.instr(in)
		for _, s := range in.Blocks {
			v.block(s)
		}
		define(in.Results)
	}
	v.use("yield", b.Yield)
	for _, x := range local {
		delete(v.seen, x)
	}
}

func types(vs []*Value) string {
	s := ""
	for _, x := range vs {
		s += " " + x.Type.String()
	}
	return s
}

func (v *verifier) instr(in *Instr) {
	switch in.Op {
	case OpFor:
		ok := len(in.Args) >= 2 && in.Args[0].Type == Index && in.Args[1].Type == Index && len(in.Blocks) == 1 && int64(in.Imm) > 0
		v.check(ok, "malformed for")
		if ok {
			b := in.Blocks[0]
			want := types(in.Args[2:])
			v.check(len(b.Params) > 0 && b.Params[0].Type == Index && types(b.Params[1:]) == want && types(b.Yield) == want && types(in.Results) == want,
				"for carries%s, body takes%s and yields%s, results%s", want, types(b.Params), types(b.Yield), types(in.Results))
		}
		return
	case OpIf:
		ok := len(in.Args) == 1 && in.Args[0].Type == Scalar(tensor.Bool) && len(in.Blocks) == 2
		v.check(ok, "malformed if")
		if ok {
			r := types(in.Results)
			v.check(types(in.Blocks[0].Yield) == r && types(in.Blocks[1].Yield) == r, "if gives%s, its sides%s and%s", r, types(in.Blocks[0].Yield), types(in.Blocks[1].Yield))
		}
		return
	}
	v.check(len(in.Blocks) == 0, "%v has a block", in.Op)
	if in.Op.Addresses() {
		v.check(in.Buf != nil && v.bufs[in.Buf], "%v has no buffer of the kernel", in.Op)
		v.check(!in.Op.Writes() || in.Buf == nil || in.Buf.Write, "store to a buffer that is only read")
	}
	args, results := shapes[in.Op].args, 1
	if in.Op.Effect() {
		results = 0
	}
	v.check(len(in.Args) == args && len(in.Results) == results, "%v has %d operands and %d results, want %d and %d", in.Op, len(in.Args), len(in.Results), args, results)
	if len(in.Args) == args && len(in.Results) == results && shapes[in.Op].ok != nil {
		v.check(shapes[in.Op].ok(in), "%v of%s gives%s", in.Op, types(in.Args), types(in.Results))
	}
}

// shapes gives for each operation the number of operands and what their types must satisfy.
var shapes = map[Op]struct {
	args int
	ok   func(in *Instr) bool
}{
	OpConst: {0, nil}, OpIota: {0, func(in *Instr) bool { return integers(in.Results[0].Type.Elem) && in.Results[0].Type.Lanes > 1 }},
	OpAdd: {2, same(numbers)}, OpSub: {2, same(numbers)}, OpMul: {2, same(numbers)}, OpDiv: {2, same(numbers)}, OpRem: {2, same(integers)},
	OpMin: {2, same(numbers)}, OpMax: {2, same(numbers)}, OpFMA: {3, same(floats)}, OpNeg: {1, same(numbers)}, OpAbs: {1, same(signed)},
	OpSqrt: {1, same(floats)}, OpFloor: {1, same(floats)}, OpCeil: {1, same(floats)}, OpTrunc: {1, same(floats)}, OpRound: {1, same(floats)},
	OpAnd: {2, same(bitwise)}, OpOr: {2, same(bitwise)}, OpXor: {2, same(bitwise)}, OpNot: {1, same(bitwise)},
	OpShl: {2, same(integers)}, OpShr: {2, same(integers)},
	OpCmp: {2, func(in *Instr) bool {
		a := in.Args[0].Type
		return numbers(a.Elem) && in.Args[1].Type == a && in.Results[0].Type == Vec(tensor.Bool, a.Lanes)
	}},
	OpSelect: {3, func(in *Instr) bool {
		r := in.Results[0].Type
		return in.Args[1].Type == r && in.Args[2].Type == r && in.Args[0].Type == Vec(tensor.Bool, r.Lanes)
	}},
	OpConvert: {1, func(in *Instr) bool {
		a, r := in.Args[0].Type, in.Results[0].Type
		half := a.Elem == tensor.F16 && r.Elem == tensor.F32 || a.Elem == tensor.F32 && (r.Elem == tensor.F16 || r.Elem == tensor.BF16)
		return a.Lanes == r.Lanes && (half || numbers(a.Elem) && numbers(r.Elem))
	}},
	OpBitcast: {1, func(in *Instr) bool {
		a, r := in.Args[0].Type, in.Results[0].Type
		return a.Elem != tensor.Bool && r.Elem != tensor.Bool && a.Elem.Bits()*a.Lanes == r.Elem.Bits()*r.Lanes
	}},
	OpBroadcast: {1, func(in *Instr) bool {
		r := in.Results[0].Type
		return r.Lanes > 1 && in.Args[0].Type == Scalar(r.Elem)
	}},
	OpExtract: {1, func(in *Instr) bool {
		a := in.Args[0].Type
		return a.Lanes > 1 && in.Imm < uint64(a.Lanes) && in.Results[0].Type == Scalar(a.Elem)
	}},
	OpShuffle: {2, func(in *Instr) bool {
		a := in.Args[0].Type
		outside := func(l int) bool { return l < 0 || l >= 2*a.Lanes }
		return a.Lanes > 1 && in.Args[1].Type == a && in.Results[0].Type == Vec(a.Elem, len(in.Lanes)) && !slices.ContainsFunc(in.Lanes, outside)
	}},
	OpReduceAdd: {1, reduces}, OpReduceMul: {1, reduces}, OpReduceMin: {1, reduces}, OpReduceMax: {1, reduces},
	OpLoad: {1, func(in *Instr) bool { return in.Args[0].Type == Index && in.Results[0].Type.Elem == in.Buf.Elem }},
	OpLoadMask: {2, func(in *Instr) bool {
		return in.Args[1].Type.Lanes > 1 && in.Args[0].Type == Index && in.Results[0].Type.Elem == in.Buf.Elem && in.Args[1].Type == Vec(tensor.Bool, in.Results[0].Type.Lanes)
	}},
	OpGather: {1, func(in *Instr) bool {
		return in.Args[0].Type == Vec(tensor.I64, in.Results[0].Type.Lanes) && in.Results[0].Type.Elem == in.Buf.Elem
	}},
	OpPrefetch: {1, func(in *Instr) bool { return in.Args[0].Type == Index }},
	OpStore:    {2, func(in *Instr) bool { return in.Args[0].Type == Index && in.Args[1].Type.Elem == in.Buf.Elem }},
	OpStoreMask: {3, func(in *Instr) bool {
		return in.Args[2].Type.Lanes > 1 && in.Args[0].Type == Index && in.Args[1].Type.Elem == in.Buf.Elem && in.Args[2].Type == Vec(tensor.Bool, in.Args[1].Type.Lanes)
	}},
	OpDot4: {3, func(in *Instr) bool {
		n := in.Results[0].Type.Lanes
		return in.Args[0].Type == Vec(tensor.I32, n) && in.Args[1].Type == Vec(tensor.U8, 4*n) && in.Args[2].Type == Vec(tensor.I8, 4*n)
	}},
	OpDot2: {3, func(in *Instr) bool {
		pairs := Vec(tensor.BF16, 2*in.Results[0].Type.Lanes)
		return in.Args[0].Type == in.Results[0].Type && in.Args[0].Type.Elem == tensor.F32 && in.Args[1].Type == pairs && in.Args[2].Type == pairs
	}},
}

// The element types that operations work on: f16 and bf16 are only moved and converted, and bf16 multiplied in pairs.
func floats(d tensor.DType) bool   { return d == tensor.F32 || d == tensor.F64 }
func integers(d tensor.DType) bool { return d.IsInt() && d.Bits() >= 8 }
func numbers(d tensor.DType) bool  { return floats(d) || integers(d) }
func signed(d tensor.DType) bool   { return floats(d) || integers(d) && d.Class() == tensor.ClassInt }
func bitwise(d tensor.DType) bool  { return integers(d) || d == tensor.Bool }

// same wants one type for all, with elements that are of the operation.
func same(elem func(tensor.DType) bool) func(in *Instr) bool {
	return func(in *Instr) bool {
		r := in.Results[0].Type
		return elem(r.Elem) && !slices.ContainsFunc(in.Args, func(a *Value) bool { return a.Type != r })
	}
}

func reduces(in *Instr) bool {
	a := in.Args[0].Type
	return numbers(a.Elem) && a.Lanes > 1 && in.Results[0].Type == Scalar(a.Elem)
}
