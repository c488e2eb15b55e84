package purego

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

var (
	floats   = []tensor.DType{tensor.F32, tensor.F64}
	integers = []tensor.DType{tensor.U8, tensor.U16, tensor.U32, tensor.U64, tensor.I8, tensor.I16, tensor.I32, tensor.I64}
	halves   = []tensor.DType{tensor.F16, tensor.BF16}
	signed   = []tensor.DType{tensor.I8, tensor.I16, tensor.I32, tensor.I64, tensor.F32, tensor.F64}
	numbers  = append(slices.Clone(floats), integers...)
)

// lanewise is the operations that work on lanes of one type: on which, and how many operands they take.
var lanewise = []struct {
	op    loop.Op
	args  int
	types []tensor.DType
}{
	{loop.OpAdd, 2, numbers}, {loop.OpSub, 2, numbers}, {loop.OpMul, 2, numbers}, {loop.OpDiv, 2, numbers}, {loop.OpRem, 2, integers},
	{loop.OpFMA, 3, floats}, {loop.OpNeg, 1, numbers}, {loop.OpAbs, 1, signed}, {loop.OpMin, 2, numbers}, {loop.OpMax, 2, numbers},
	{loop.OpSqrt, 1, floats}, {loop.OpFloor, 1, floats}, {loop.OpCeil, 1, floats}, {loop.OpTrunc, 1, floats}, {loop.OpRound, 1, floats},
	{loop.OpAnd, 2, integers}, {loop.OpOr, 2, integers}, {loop.OpXor, 2, integers}, {loop.OpNot, 1, integers}, {loop.OpShl, 2, integers}, {loop.OpShr, 2, integers},
}

// matrix is the text of kernels of one operation each, on every element type and as scalars and vectors.
func matrix() string {
	var b strings.Builder
	for _, lanes := range []int{1, 4, 16} {
		vec := func(d tensor.DType) string { return loop.Vec(d, lanes).String() }
		for _, o := range lanewise {
			for _, d := range o.types {
				kernel(&b, fmt.Sprintf("%v_%v_%d", o.op, d, lanes), d, d, lanes, o.op, fmt.Sprintf("%%9 %s = %v %s", vec(d), o.op, strings.Join([]string{"%6", "%7", "%8"}[:o.args], " ")))
			}
		}
		for _, d := range numbers {
			for p := loop.EQ; p <= loop.GE; p++ {
				kernel(&b, fmt.Sprintf("cmp_%v_%v_%d", p, d, lanes), d, tensor.U8, lanes, loop.OpCmp, fmt.Sprintf("%%20 %s = cmp %v %%6 %%7", vec(tensor.Bool), p), fmt.Sprintf("%%21 %[1]s = const 3\n%%22 %[1]s = const 8\n%%9 %[1]s = select %%20 %%21 %%22", vec(tensor.U8)))
			}
			kernel(&b, fmt.Sprintf("select_%v_%d", d, lanes), d, d, lanes, loop.OpSelect, fmt.Sprintf("%%20 %s = cmp lt %%6 %%7", vec(tensor.Bool)), fmt.Sprintf("%%9 %s = select %%20 %%7 %%8", vec(d)))
			for _, to := range numbers {
				kernel(&b, fmt.Sprintf("convert_%v_%v_%d", d, to, lanes), d, to, lanes, loop.OpConvert, fmt.Sprintf("%%9 %s = convert %%6", vec(to)))
			}
		}
		kernel(&b, fmt.Sprintf("widen_%d", lanes), tensor.F16, tensor.F32, lanes, loop.OpConst, fmt.Sprintf("%%9 %s = convert %%6", vec(tensor.F32)))
		kernel(&b, fmt.Sprintf("narrow_%d", lanes), tensor.F32, tensor.F16, lanes, loop.OpConst, fmt.Sprintf("%%9 %s = convert %%6", vec(tensor.F16)))
	}
	for _, lanes := range []int{2, 4, 16} {
		for _, op := range []loop.Op{loop.OpReduceAdd, loop.OpReduceMul, loop.OpReduceMin, loop.OpReduceMax} {
			for _, d := range numbers {
				kernel(&b, fmt.Sprintf("%v_%v_%d", op, d, lanes), d, d, lanes, op, fmt.Sprintf("%%20 %v = %v %%6", d, op), fmt.Sprintf("%%9 %s = broadcast %%20", loop.Vec(d, lanes)))
			}
		}
	}
	for _, from := range append(slices.Clone(numbers), halves...) {
		for _, to := range append(slices.Clone(numbers), halves...) {
			a, r := loop.Vec(from, 64/from.Bits()), loop.Vec(to, 64/to.Bits())
			kernel(&b, fmt.Sprintf("bitcast_%v_%v", from, to), from, to, a.Lanes, loop.OpBitcast, fmt.Sprintf("%%9 %v = bitcast %%6", r))
		}
	}
	return b.String()
}

// kernel writes one that loads %6, %7, %8 and stores %9. Its operands are made such that op is defined on them.
func kernel(b *strings.Builder, name string, from, to tensor.DType, lanes int, op loop.Op, lines ...string) {
	vec := loop.Vec(from, lanes)
	fmt.Fprintf(b, "kernel m_%s (x %v arg 0, y %v arg 1, z %v arg 2, o %v arg 3 write) range %%0 %%1 {\n", name, from, from, from, to)
	fmt.Fprintf(b, "for %%0 %%1 step 1 (%%2 i64) {\n%%3 i64 = const %d\n%%4 i64 = mul %%2 %%3\n", lanes)
	fmt.Fprintf(b, "%%6 %v = load x %%4\n%%8 %v = load z %%4\n", vec, vec)
	y := "%%7 %v = load y %%4\n"
	limit := uint64(1)
	switch {
	case op == loop.OpShl || op == loop.OpShr:
		limit = uint64(from.Bits() - 1)
		y = "%%10 %v = load y %%4\n%%11 %[1]v = const %[2]d\n%%7 %[1]v = and %%10 %%11\n"
	case (op == loop.OpDiv || op == loop.OpRem) && from.IsInt(): // from 1 on
		y = "%%10 %v = load y %%4\n%%11 %[1]v = const %[2]d\n%%12 %[1]v = shr %%10 %%11\n%%13 %[1]v = not %%12\n%%14 %[1]v = max %%12 %%13\n%%7 %[1]v = or %%14 %%11\n"
	default:
		y = "%%7 %v = load y %%4\n"
	}
	fmt.Fprintf(b, strings.ReplaceAll(y, "%v = load", "%[1]v = load"), vec, limit)
	fmt.Fprintf(b, "%s\nstore o %%4 %%9\nyield\n}\n}\n", strings.Join(lines, "\n"))
}
