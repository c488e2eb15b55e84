package purego

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// rendering writes the statements that give variable dst the value of lane l of an instruction. It returns
// dst, or another variable or a literal that is the same, and then it has written nothing.
type rendering func(r *renderer, in *loop.Instr, l int, dst string) string

// table is the operations that have a result and no regions.
var table map[loop.Op]rendering

func init() { // a map of functions that use the map
	table = map[loop.Op]rendering{
		loop.OpConst: func(_ *renderer, in *loop.Instr, _ int, _ string) string {
			return literal(in.Results[0].Type.Elem, in.Imm)
		},
		loop.OpIota: func(_ *renderer, in *loop.Instr, l int, _ string) string {
			return literal(in.Results[0].Type.Elem, uint64(l))
		},
		loop.OpBroadcast: func(r *renderer, in *loop.Instr, _ int, _ string) string { return r.arg(lane{in.Args[0], 0}) },
		loop.OpExtract:   func(r *renderer, in *loop.Instr, _ int, _ string) string { return r.arg(lane{in.Args[0], int(in.Imm)}) },
		loop.OpShuffle:   shuffle,

		loop.OpAdd: plain("%s + %s"), loop.OpSub: plain("%s - %s"), loop.OpMul: mul, loop.OpDiv: div, loop.OpRem: div,
		loop.OpMin: plain("min(%s, %s)"), loop.OpMax: plain("max(%s, %s)"),
		loop.OpAnd: logical("%s & %s", "%s && %s"), loop.OpOr: logical("%s | %s", "%s || %s"), loop.OpXor: logical("%s ^ %s", "%s != %s"), loop.OpNot: logical("^%s", "!%s"),
		loop.OpShl: shift("<<"), loop.OpShr: shift(">>"),
		loop.OpFMA: fma, loop.OpNeg: plain("-%s"), loop.OpAbs: abs,
		loop.OpSqrt: viaF64("math.Sqrt"), loop.OpFloor: viaF64("math.Floor"), loop.OpCeil: viaF64("math.Ceil"), loop.OpTrunc: viaF64("math.Trunc"), loop.OpRound: viaF64("math.RoundToEven"),

		loop.OpCmp: cmp, loop.OpSelect: choose, loop.OpConvert: convert, loop.OpBitcast: bitcast, loop.OpDot4: dot4,
		loop.OpReduceAdd: halving("%s + %s"), loop.OpReduceMul: halving("%s * %s"), loop.OpReduceMin: halving("min(%s, %s)"), loop.OpReduceMax: halving("max(%s, %s)"),
		loop.OpLoad: load, loop.OpLoadMask: loadMask, loop.OpGather: gather,
	}
}

func (r *renderer) instr(in *loop.Instr, l int, dst string) string {
	f := table[in.Op]
	if f == nil {
		panic(refusal(fmt.Sprintf("no rendering of %v", in.Op)))
	}
	return f(r, in, l, dst)
}

// def defines dst.
func (r *renderer) def(dst, format string, args ...any) string {
	if !r.dry {
		fmt.Fprintf(r.file, "%s := %s\n", dst, fmt.Sprintf(format, args...))
	}
	return dst
}

// variable is a, or a variable that holds it where it is a literal: of constants Go's compiler computes with
// infinite precision, and refuses results that do not fit.
func (r *renderer) variable(d tensor.DType, a string) string {
	if !isLiteral(a) {
		return a
	}
	return r.def(r.temp(), "%s", typed(d, a))
}

// operands are lane l of all operands, of which at least one is a variable. The one that takes longest to compute
// comes first, so that the others need not be kept meanwhile.
func (r *renderer) operands(in *loop.Instr, l int) []any {
	order := []int{0, 1, 2}[:len(in.Args)]
	slices.SortStableFunc(order, func(i, j int) int { return r.uses.depth[in.Args[j]] - r.uses.depth[in.Args[i]] })
	xs := make([]any, len(in.Args))
	literals := true
	for _, k := range order {
		a := r.arg(lane{in.Args[k], l})
		literals = literals && isLiteral(a)
		xs[k] = a
	}
	if literals {
		xs[0] = r.variable(in.Args[0].Type.Elem, xs[0].(string))
	}
	return xs
}

func plain(format string) rendering {
	return func(r *renderer, in *loop.Instr, l int, dst string) string {
		return r.def(dst, format, r.operands(in, l)...)
	}
}

// rounded is the product in text form; its conversion keeps it apart from a sum that follows.
func rounded(d tensor.DType, product string) string {
	if d.IsFloat() {
		return goType(d) + "(" + product + ")"
	}
	return product
}

func mul(r *renderer, in *loop.Instr, l int, dst string) string {
	d := in.Results[0].Type.Elem
	return r.def(dst, "%s", rounded(d, fmt.Sprintf("%s * %s", r.operands(in, l)...)))
}

func div(r *renderer, in *loop.Instr, l int, dst string) string {
	x := r.operands(in, l)
	if x[1] == "0" && !in.Results[0].Type.Elem.IsFloat() { // of no elements: never run, but compiled
		x[1] = r.variable(in.Results[0].Type.Elem, "0")
	}
	if in.Op == loop.OpRem {
		return r.def(dst, "%s %% %s", x...)
	}
	return r.def(dst, "%s / %s", x...)
}

func logical(integer, predicate string) rendering {
	return func(r *renderer, in *loop.Instr, l int, dst string) string {
		if in.Results[0].Type.Elem == tensor.Bool {
			return r.def(dst, predicate, r.operands(in, l)...)
		}
		return r.def(dst, integer, r.operands(in, l)...)
	}
}

func shift(op string) rendering {
	return func(r *renderer, in *loop.Instr, l int, dst string) string {
		d := in.Results[0].Type.Elem
		x, n := r.arg(lane{in.Args[0], l}), r.arg(lane{in.Args[1], l})
		x = r.variable(d, x)
		if !isLiteral(n) { // tells the compiler that it is less than the width
			n = fmt.Sprintf("(uint8(%s) & %d)", n, d.Bits()-1)
		}
		return r.def(dst, "%s %s %s", x, op, n)
	}
}

func fma(r *renderer, in *loop.Instr, l int, dst string) string {
	f := "math.FMA"
	if in.Results[0].Type.Elem == tensor.F32 {
		f = r.helper("fma32")
	}
	return r.def(dst, f+"(%s, %s, %s)", r.operands(in, l)...)
}

func abs(r *renderer, in *loop.Instr, l int, dst string) string {
	d := in.Results[0].Type.Elem
	x := r.variable(d, r.arg(lane{in.Args[0], l}))
	switch {
	case d == tensor.F32:
		return r.def(dst, "math.Float32frombits(math.Float32bits(%s) &^ (1 << 31))", x)
	case d == tensor.F64:
		return r.def(dst, "math.Abs(%s)", x)
	case d.Class() == tensor.ClassInt:
		return r.def(dst, "max(%s, -%s)", x, x)
	}
	return x
}

// viaF64 calls a function of float64 whose result for an f32 is one, or rounds to the same as in f32.
func viaF64(f string) rendering {
	return func(r *renderer, in *loop.Instr, l int, dst string) string {
		d := in.Results[0].Type.Elem
		x := r.variable(d, r.arg(lane{in.Args[0], l}))
		if d == tensor.F32 {
			return r.def(dst, "float32(%s(float64(%s)))", f, x)
		}
		return r.def(dst, "%s(%s)", f, x)
	}
}

var comparisons = [...]string{loop.EQ: "%s == %s", loop.NE: "%s != %s", loop.LT: "%s < %s", loop.LE: "%s <= %s", loop.GT: "%s > %s", loop.GE: "%s >= %s"}

func cmp(r *renderer, in *loop.Instr, l int, dst string) string {
	return r.def(dst, comparisons[in.Pred], r.operands(in, l)...)
}

func choose(r *renderer, in *loop.Instr, l int, dst string) string {
	c, a, b := r.arg(lane{in.Args[0], l}), r.arg(lane{in.Args[1], l}), r.arg(lane{in.Args[2], l})
	r.def(dst, "%s", typed(in.Results[0].Type.Elem, b))
	r.put("if %s {\n%s = %s\n}", c, dst, a)
	return dst
}

func shuffle(r *renderer, in *loop.Instr, l int, _ string) string {
	i, n := in.Lanes[l], in.Args[0].Type.Lanes
	return r.arg(lane{in.Args[i/n], i % n})
}

// halving combines the halves of a vector until one lane is left.
func halving(format string) rendering {
	return func(r *renderer, in *loop.Instr, _ int, dst string) string {
		t := in.Args[0].Type
		x := make([]string, t.Lanes)
		for i := range x {
			x[i] = r.arg(lane{in.Args[0], i})
		}
		for n := t.Lanes / 2; n > 0; n /= 2 {
			for i := range n {
				name := dst
				if n > 1 {
					name = r.temp()
				}
				e := fmt.Sprintf(format, r.variable(t.Elem, x[i]), x[i+n])
				if in.Op == loop.OpReduceMul {
					e = rounded(t.Elem, e)
				}
				x[i] = r.def(name, "%s", e)
			}
		}
		return x[0]
	}
}

func dot4(r *renderer, in *loop.Instr, l int, dst string) string {
	sum := []string{r.arg(lane{in.Args[0], l})}
	for j := 4 * l; j < 4*l+4; j++ {
		sum = append(sum, fmt.Sprintf("int32(%s)*int32(%s)", r.arg(lane{in.Args[1], j}), r.arg(lane{in.Args[2], j})))
	}
	sum[0] = r.variable(tensor.I32, sum[0])
	return r.def(dst, "%s", strings.Join(sum, " + "))
}
