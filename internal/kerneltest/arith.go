package kerneltest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

var (
	bitTypes    = append(append([]tensor.DType{}, integers...), tensor.Bool)
	signedTypes = append(append([]tensor.DType{}, floats...), tensor.I8, tensor.I16, tensor.I32, tensor.I64)
)

// arithmetic are the operations that work lane by lane on operands of the result's type.
var arithmetic = []struct {
	op    loop.Op
	arity int
	types []tensor.DType
	like  Like
}{
	{loop.OpAdd, 2, numbers, AnyNaN}, {loop.OpSub, 2, numbers, AnyNaN}, {loop.OpMul, 2, numbers, AnyNaN}, {loop.OpDiv, 2, numbers, AnyNaN}, {loop.OpRem, 2, integers, Exact},
	{loop.OpMin, 2, numbers, AnyNaNOrZero}, {loop.OpMax, 2, numbers, AnyNaNOrZero}, {loop.OpFMA, 3, floats, AnyNaN},
	{loop.OpNeg, 1, numbers, Exact}, {loop.OpAbs, 1, signedTypes, Exact},
	{loop.OpSqrt, 1, floats, AnyNaN}, {loop.OpFloor, 1, floats, AnyNaN}, {loop.OpCeil, 1, floats, AnyNaN}, {loop.OpTrunc, 1, floats, AnyNaN}, {loop.OpRound, 1, floats, AnyNaN},
	{loop.OpAnd, 2, bitTypes, Exact}, {loop.OpOr, 2, bitTypes, Exact}, {loop.OpXor, 2, bitTypes, Exact}, {loop.OpNot, 1, bitTypes, Exact},
	{loop.OpShl, 2, integers, Exact}, {loop.OpShr, 2, integers, Exact},
}

var preds = []loop.Pred{loop.EQ, loop.NE, loop.LT, loop.LE, loop.GT, loop.GE}

// apply makes an operation whose result has the type of its first operand.
func (m *maker) apply(op loop.Op, x []*loop.Value) *loop.Value {
	switch op {
	case loop.OpFMA:
		return m.FMA(x[0], x[1], x[2])
	case loop.OpAdd:
		return m.Add(x[0], x[1])
	case loop.OpSub:
		return m.Sub(x[0], x[1])
	case loop.OpMul:
		return m.Mul(x[0], x[1])
	case loop.OpDiv:
		return m.Div(x[0], x[1])
	case loop.OpRem:
		return m.Rem(x[0], x[1])
	case loop.OpMin:
		return m.Min(x[0], x[1])
	case loop.OpMax:
		return m.Max(x[0], x[1])
	case loop.OpAnd:
		return m.And(x[0], x[1])
	case loop.OpOr:
		return m.Or(x[0], x[1])
	case loop.OpXor:
		return m.Xor(x[0], x[1])
	case loop.OpShl:
		return m.Shl(x[0], x[1])
	case loop.OpShr:
		return m.Shr(x[0], x[1])
	}
	return m.Unary(op, x[0])
}

// operands are the columns for an operation on type d: what its operands must not be is left out.
func operands(op loop.Op, arity int, d tensor.DType, r *rand.Rand) []column {
	one := func(bits []uint64) column { return column{d, bits} }
	switch {
	case arity == 1:
		return []column{one(many(d, r, 64))}
	case arity == 3:
		x, y := pairs(values(d)[:20], values(d)[:20])
		for range 200 {
			x, y = append(x, random(d, r, 1)...), append(y, random(d, r, 1)...)
		}
		z := random(d, r, len(x))
		for i := range z {
			if i%2 == 0 {
				z[i] = values(d)[r.IntN(len(values(d)))]
			}
		}
		return []column{one(x), one(y), one(z)}
	}
	x, y := pairs(values(d), values(d))
	x, y = append(x, random(d, r, 100)...), append(y, random(d, r, 100)...)
	switch op {
	case loop.OpDiv, loop.OpRem:
		if !d.IsFloat() {
			x, y = divisible(d, x, y)
		}
	case loop.OpShl, loop.OpShr:
		for i := range y {
			y[i] %= uint64(d.Bits())
		}
	}
	return []column{one(x), one(y)}
}

// arithmeticKernels are those of the table, of shifts and divisions by constants, and of comparisons.
func arithmeticKernels(level *target.Level, r *rand.Rand) (ks []*Kernel) {
	for _, a := range arithmetic {
		if a.op == loop.OpFMA && !level.FMA {
			continue
		}
		for _, d := range a.types {
			ks = append(ks, lanewise(level, fmt.Sprintf("%v_%v", a.op, d), operands(a.op, a.arity, d, r), d, a.like, func(m *maker, x []*loop.Value) *loop.Value { return m.apply(a.op, x) }))
		}
	}
	for _, d := range numbers {
		x, y := pairs(values(d), values(d))
		for _, p := range preds {
			ks = append(ks, lanewise(level, fmt.Sprintf("cmp_%v_%v", p, d), []column{{d, x}, {d, y}}, tensor.U8, Exact, func(m *maker, x []*loop.Value) *loop.Value { return m.Cmp(p, x[0], x[1]) }))
		}
		if d.IsInt() {
			ks = append(ks, byConstants(level, d, r)...)
		}
	}
	return ks
}

// byConstants are shifts, divisions and remainders whose second operand is a constant.
func byConstants(level *target.Level, d tensor.DType, r *rand.Rand) (ks []*Kernel) {
	n := uint64(d.Bits())
	use := func(op loop.Op, cs ...uint64) {
		for _, c := range cs {
			x := many(d, r, 100)
			if op == loop.OpDiv || op == loop.OpRem {
				x, _ = divisible(d, x, slices.Repeat([]uint64{c}, len(x)))
			}
			ks = append(ks, lanewise(level, fmt.Sprintf("%v_%v_by_%d", op, d, c), []column{{d, x}}, d, Exact, func(m *maker, x []*loop.Value) *loop.Value {
				return m.apply(op, []*loop.Value{x[0], m.Bits(x[0].Type, c)})
			}))
		}
	}
	use(loop.OpShl, 0, 1, n/2, n-1)
	use(loop.OpShr, 0, 3, n-1)
	for _, op := range []loop.Op{loop.OpDiv, loop.OpRem} {
		use(op, 1, 2, 3, 7, 16, 100, 1<<(n-1), ones(int(n)), ones(int(n))-1, ones(int(n))-6)
	}
	return ks
}

// selections choose by a predicate: of each type, by comparisons of every width, since masks may be as wide
// as what was compared.
func selections(level *target.Level, r *rand.Rand) (ks []*Kernel) {
	for _, by := range []tensor.DType{tensor.U8, tensor.I16, tensor.F32, tensor.F64, tensor.Bool} {
		for _, d := range all {
			in := []column{{by, random(by, r, 192)}, {by, random(by, r, 192)}, {d, many(d, r, 192)}, {d, random(d, r, 192)}}
			ks = append(ks, lanewise(level, fmt.Sprintf("select_%v_by_%v", d, by), in, loop.Memory(d), Exact, func(m *maker, x []*loop.Value) *loop.Value {
				c := x[0]
				if by != tensor.Bool {
					c = m.Cmp(loop.GT, x[0], x[1])
				}
				return m.Select(c, x[2], x[3])
			}))
		}
	}
	return ks
}

// conversions are those between all types that have one.
func conversions(level *target.Level, r *rand.Rand) (ks []*Kernel) {
	convert := func(from, to tensor.DType) {
		ks = append(ks, lanewise(level, fmt.Sprintf("convert_%v_%v", from, to), []column{{from, convertible(from, to, many(from, r, 150))}}, to, AnyNaN, func(m *maker, x []*loop.Value) *loop.Value { return m.Convert(x[0], to) }))
	}
	for _, from := range numbers {
		for _, to := range numbers {
			if from != to {
				convert(from, to)
			}
		}
	}
	if level.F16C {
		convert(tensor.F16, tensor.F32)
		convert(tensor.F32, tensor.F16)
	}
	if level.BF16 {
		in := []column{{tensor.F32, normal(tensor.F32, many(tensor.F32, r, 150))}}
		ks = append(ks, lanewise(level, "convert_f32_bf16", in, tensor.BF16, AnyNaN, func(m *maker, x []*loop.Value) *loop.Value { return m.Convert(x[0], tensor.BF16) }))
	}
	return ks
}

// expansions are the functions that package loop expands into arithmetic.
func expansions(level *target.Level, r *rand.Rand) (ks []*Kernel) {
	type unary = func(b *loop.Builder, x *loop.Value) *loop.Value
	funcs := map[string]unary{"exp": (*loop.Builder).Exp, "log": (*loop.Builder).Log, "tanh": (*loop.Builder).Tanh, "erf": (*loop.Builder).Erf, "sin": (*loop.Builder).Sin, "atan": (*loop.Builder).Atan, "sigmoid": (*loop.Builder).Sigmoid}
	for _, d := range floats {
		for _, name := range []string{"exp", "log", "tanh", "erf", "sin", "atan", "sigmoid"} {
			ks = append(ks, lanewise(level, fmt.Sprintf("%s_%v", name, d), []column{{d, many(d, r, 50)}}, d, AnyNaN, func(m *maker, x []*loop.Value) *loop.Value { return funcs[name](m.Builder, x[0]) }))
		}
		for _, to := range numbers {
			if to != d {
				ks = append(ks, lanewise(level, fmt.Sprintf("cast_%v_%v", d, to), []column{{d, many(d, r, 50)}}, to, AnyNaN, func(m *maker, x []*loop.Value) *loop.Value { return m.CastTo(x[0], to) }))
			}
		}
		ks = append(ks, lanewise(level, fmt.Sprintf("pow_%v", d), []column{{d, many(d, r, 50)}, {d, random(d, r, 300)}}, d, AnyNaN, func(m *maker, x []*loop.Value) *loop.Value { return m.Pow(x[0], x[1]) }))
	}
	for _, d := range halves {
		ks = append(ks, lanewise(level, fmt.Sprintf("widen_%v", d), []column{{d, many(d, r, 100)}}, tensor.F32, AnyNaN, func(m *maker, x []*loop.Value) *loop.Value { return m.ToF32(x[0]) }))
		from := many(tensor.F32, r, 100)
		if level.BF16 {
			from = normal(tensor.F32, from)
		}
		ks = append(ks, lanewise(level, fmt.Sprintf("narrow_%v", d), []column{{tensor.F32, from}}, d, AnyNaN, func(m *maker, x []*loop.Value) *loop.Value { return m.FromF32(x[0], d) }))
	}
	return ks
}
