package opt_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/ir/loop/opt"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// everything is native, so that vectors are cut and no more.
func everything(*loop.Instr) bool { return true }

// little is what a poor machine has: moves, bitwise operations, the arithmetic of 32-bit integers and floats,
// signed comparisons; everything on scalars but what the rules are for.
func little(in *loop.Instr) bool {
	d := in.Results
	var t loop.Type
	if len(d) > 0 {
		t = d[0].Type
	}
	switch in.Op {
	case loop.OpLoad, loop.OpStore, loop.OpBitcast, loop.OpAnd, loop.OpOr, loop.OpXor:
		return true
	case loop.OpCmp:
		c := in.Args[0].Type.Elem
		return c.IsFloat() || c.Class() == tensor.ClassInt && (c.Bits() > 8 || in.Args[0].Type.Lanes == 1) || c == tensor.U8 && in.Pred == loop.NE
	case loop.OpSelect:
		return t.Elem != tensor.Bool && t.Elem != tensor.F16
	case loop.OpMin, loop.OpMax, loop.OpAbs, loop.OpNeg, loop.OpNot, loop.OpReduceAdd, loop.OpReduceMul, loop.OpReduceMin, loop.OpReduceMax, loop.OpDot4:
		return false
	case loop.OpConvert:
		return littleConverts(in.Args[0].Type, t)
	case loop.OpBroadcast:
		return t.Elem.Bits() >= 32
	case loop.OpAdd, loop.OpSub:
		return t.Elem.Bits() >= 32 || t.Lanes == 1
	case loop.OpMul, loop.OpShl:
		return t.Elem.Bits() == 32 || t.Lanes == 1 || t.Elem.IsFloat()
	case loop.OpShr:
		return t.Elem.Bits() == 32 || t.Elem == tensor.U64 || t.Lanes == 1
	case loop.OpDiv:
		return t.Elem.IsFloat() || t.Lanes == 1
	case loop.OpFMA, loop.OpSqrt, loop.OpFloor, loop.OpTrunc, loop.OpRound, loop.OpCeil:
		return t.Elem == tensor.F64 || t.Lanes == 1
	}
	return t.Lanes == 1 && in.Op != loop.OpExtract && in.Op != loop.OpGather
}

func littleConverts(from, to loop.Type) bool {
	f, t := from.Elem, to.Elem
	wide := func(d tensor.DType) bool { return d == tensor.I32 || d == tensor.F32 || d == tensor.F64 }
	if f == tensor.Bool || t == tensor.Bool {
		return false
	}
	if wide(f) && wide(t) || f == tensor.F16 && t == tensor.F32 || f == tensor.F32 && t == tensor.F16 {
		return true
	}
	return f.IsInt() && t.IsInt() && (f.Bits() < t.Bits() || from.Lanes == 1 && f.Bits() > t.Bits())
}

var targets = map[string]*opt.Target{
	"wide32": {VecBytes: 32, Native: everything}, "wide16": {VecBytes: 16, Native: everything}, "wide64": {VecBytes: 64, Masks: true, Native: everything},
	"poor32": {VecBytes: 32, Native: little}, "poor16": {VecBytes: 16, Native: little}, "poor64": {VecBytes: 64, Masks: true, Native: little},
}

// checkLegal holds f against what Legalize promises.
func checkLegal(t *testing.T, f *loop.Func, tg *opt.Target) {
	t.Helper()
	require.NoError(t, loop.Verify(f), "%v", f)
	var block func(b *loop.Block)
	block = func(b *loop.Block) {
		for _, in := range b.Instrs {
			for _, vs := range [][]*loop.Value{in.Args, in.Results} {
				for _, v := range vs {
					require.True(t, v.Type.Lanes == 1 || v.Type.Lanes*v.Type.Elem.Size() <= tg.VecBytes, "%v of %v in\n%v", in.Op, v.Type, f)
				}
			}
			if len(in.Blocks) == 0 && in.Op != loop.OpConst {
				require.True(t, tg.Native(in), "%v is left in\n%v", in.Op, f)
			}
			for _, s := range in.Blocks {
				block(s)
			}
		}
	}
	block(f.Body)
}

// memory are the buffers of a kernel.
type memory map[int][]byte

func (m memory) clone() memory {
	c := memory{}
	for k, v := range m {
		c[k] = append([]byte(nil), v...)
	}
	return c
}

// sameResults runs f and g on the same memory.
func sameResults(t *testing.T, f, g *loop.Func, m memory, ints map[int]int64, lo, hi int64) {
	t.Helper()
	a, b := m.clone(), m.clone()
	require.NoError(t, loop.Eval(f, a, ints, lo, hi), "%v", f)
	require.NoError(t, loop.Eval(g, b, ints, lo, hi), "before\n%v\nafter\n%v", f, g)
	require.Equal(t, a, b, "before\n%v\nafter\n%v", f, g)
}

// number gives bits of a number of type d that op takes.
func number(rng *rand.Rand, d tensor.DType, limit float64, nonzero bool) uint64 {
	if d.IsInt() {
		v := rng.Uint64() >> rng.IntN(64)
		if rng.IntN(2) == 0 {
			v = -v
		}
		v &= ^uint64(0) >> (64 - d.Bits())
		if top := uint64(1) << (d.Bits() - 1); nonzero && (v == 0 || v == top || d.Class() == tensor.ClassInt && v == ^uint64(0)>>(64-d.Bits())) {
			return 7
		}
		return v
	}
	specials := []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 0, 1, 0.5, 1.5, 2.5, -0.5}
	x := specials[rng.IntN(len(specials))]
	if rng.IntN(3) > 0 || limit > 0 {
		x = (rng.Float64()*2 - 1) * math.Ldexp(1, rng.IntN(80))
	}
	if limit > 0 {
		x = math.Mod(x, limit)
	}
	switch d {
	case tensor.F32:
		return uint64(math.Float32bits(float32(x)))
	case tensor.F16:
		return uint64(tensor.F32ToF16(float32(x)))
	}
	return math.Float64bits(x)
}

func numbers(rng *rand.Rand, d tensor.DType, n int, limit float64, nonzero bool) []byte {
	var out []byte
	for range n {
		out = append(out, binary.LittleEndian.AppendUint64(nil, number(rng, d, limit, nonzero))[:d.Size()]...)
	}
	return out
}

var elemTypes = []tensor.DType{tensor.F32, tensor.F64, tensor.I8, tensor.U8, tensor.I16, tensor.U16, tensor.I32, tensor.U32, tensor.I64, tensor.U64}

// lanewise are kernels of one operation: from operands of one type, to a result.
func lanewise(b *loop.Builder, op loop.Op, d tensor.DType, n int) {
	in := []*loop.Value{}
	for i := range 3 {
		in = append(in, b.Load(b.Param(fmt.Sprintf("b%d", i), d, i, false), b.Int(1), n))
	}
	out := b.Param("out", d, 3, true)
	args := map[loop.Op]int{loop.OpFMA: 3, loop.OpNeg: 1, loop.OpNot: 1, loop.OpAbs: 1, loop.OpSqrt: 1, loop.OpFloor: 1, loop.OpCeil: 1, loop.OpTrunc: 1, loop.OpRound: 1,
		loop.OpReduceAdd: 1, loop.OpReduceMul: 1, loop.OpReduceMin: 1, loop.OpReduceMax: 1}[op]
	if args == 0 {
		args = 2
	}
	t := in[0].Type
	switch op {
	case loop.OpReduceAdd, loop.OpReduceMul, loop.OpReduceMin, loop.OpReduceMax:
		t.Lanes = 1
	case loop.OpShl, loop.OpShr:
		in[1] = b.And(in[1], b.IntOf(in[1].Type, int64(d.Bits()-1)))
	}
	b.Store(out, b.Int(2), b.Emit(&loop.Instr{Op: op, Args: in[:args]}, t))
}

var intOps = []loop.Op{loop.OpAdd, loop.OpSub, loop.OpMul, loop.OpDiv, loop.OpRem, loop.OpNeg, loop.OpAbs, loop.OpMin, loop.OpMax, loop.OpAnd, loop.OpOr, loop.OpXor, loop.OpNot,
	loop.OpShl, loop.OpShr, loop.OpReduceAdd, loop.OpReduceMul, loop.OpReduceMin, loop.OpReduceMax}

var floatOps = []loop.Op{loop.OpAdd, loop.OpSub, loop.OpMul, loop.OpDiv, loop.OpFMA, loop.OpNeg, loop.OpAbs, loop.OpMin, loop.OpMax, loop.OpSqrt, loop.OpFloor, loop.OpCeil, loop.OpTrunc, loop.OpRound,
	loop.OpReduceAdd, loop.OpReduceMul, loop.OpReduceMin, loop.OpReduceMax}

// legalize checks a kernel that build makes on all targets.
func legalize(t *testing.T, build func(b *loop.Builder), m memory) {
	t.Helper()
	b := loop.NewFunc("k", &target.Level{FMA: true, F16C: true})
	build(b)
	require.NoError(t, loop.Verify(b.F), "%v", b.F)
	for name, tg := range targets {
		g := loop.Clone(b.F)
		require.NoError(t, opt.Legalize(g, tg), "%s: %v", name, b.F)
		checkLegal(t, g, tg)
		sameResults(t, b.F, g, m, nil, 0, 1)
	}
}

func TestLegalizeLanewise(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, d := range elemTypes {
		ops := intOps
		if d.IsFloat() {
			ops = floatOps
		}
		for _, op := range ops {
			if op == loop.OpAbs && d.Class() == tensor.ClassUint {
				continue
			}
			for _, n := range []int{2, 16, 64} {
				m := memory{3: make([]byte, 80*d.Size())}
				for i := range 3 {
					m[i] = numbers(rng, d, 80, 0, op == loop.OpDiv || op == loop.OpRem)
				}
				legalize(t, func(b *loop.Builder) { lanewise(b, op, d, n) }, m)
			}
		}
	}
}

func TestLegalizeConvert(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, from := range elemTypes {
		for _, to := range elemTypes {
			for _, n := range []int{1, 2, 16, 64} {
				limit := 0.0
				if from.IsFloat() && to.IsInt() {
					limit = math.Ldexp(1, to.Bits()-1) * (1 - 0x1p-24)
				}
				m := memory{0: numbers(rng, from, 64, limit, false), 1: make([]byte, 64*to.Size())}
				if limit > 0 && to.Class() == tensor.ClassUint {
					positive(m[0], from)
				}
				legalize(t, func(b *loop.Builder) {
					x := b.Load(b.Param("x", from, 0, false), b.Int(0), n)
					b.Store(b.Param("y", to, 1, true), b.Int(0), b.Convert(x, to))
				}, m)
			}
		}
	}
}

// positive makes floats positive, and twice as large: the range of unsigned integers.
func positive(data []byte, d tensor.DType) {
	for i := 0; i < len(data); i += d.Size() {
		if d == tensor.F32 {
			x := math.Float32frombits(binary.LittleEndian.Uint32(data[i:]))
			binary.LittleEndian.PutUint32(data[i:], math.Float32bits(2*float32(math.Abs(float64(x)))))
		} else {
			x := math.Float64frombits(binary.LittleEndian.Uint64(data[i:]))
			binary.LittleEndian.PutUint64(data[i:], math.Float64bits(2*math.Abs(x)))
		}
	}
}
