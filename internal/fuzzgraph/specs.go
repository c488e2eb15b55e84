package main

import (
	"slices"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// call is a node to be: operands and attributes. results is set where the operator's number of them varies.
type call struct {
	in      []string
	attrs   attrs
	results int
}

// spec is an operator that graphs may contain. types are those of its main operand.
type spec struct {
	op      string
	types   string
	make    func(r *gen, s *spec) *call
	results int
}

func names(vs ...*input) []string {
	var s []string
	for _, v := range vs {
		if v == nil {
			s = append(s, "")
			continue
		}
		s = append(s, v.name)
	}
	return s
}

// rows makes the specs of several operators that are alike.
func rows(types string, make func(r *gen, s *spec) *call, ops ...string) (out []spec) {
	for _, op := range ops {
		out = append(out, spec{op: op, types: types, make: make})
	}
	return out
}

// specs is the table of operators.
var specs = slices.Concat(
	rows("float", unary, "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Cosh", "Erf", "Exp", "Floor", "Log", "Reciprocal", "Round",
		"Sigmoid", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Tan", "Tanh", "HardSwish", "Mish", "IsNaN"),
	rows("num", unary, "Abs", "Sign"),
	rows("float i8 i16 i32 i64", unary, "Relu"),
	rows("float i8 i16 i32 i64", unary, "Neg"),
	rows("all", unary, "Identity", "Shape", "Size", "NonZero"),
	rows("bool", unary, "Not"),
	rows("int", unary, "BitwiseNot"),
	rows("float", withAlpha, "Elu", "LeakyRelu", "Selu", "ThresholdedRelu", "HardSigmoid"),
	rows("f32", withAlpha, "Celu"),
	[]spec{
		{op: "Gelu", types: "float", make: func(r *gen, s *spec) *call {
			return with(unary(r, s), attrs{"approximate": r.oneOf("none tanh")})
		}},
		{op: "Shrink", types: "num", make: func(r *gen, s *spec) *call { return with(unary(r, s), attrs{"lambd": 0.5, "bias": 0.25}) }},
		{op: "IsInf", types: "f32 f64", make: func(r *gen, s *spec) *call { return with(unary(r, s), attrs{"detect_negative": r.IntN(2)}) }},
		{op: "Cast", types: "all", make: cast},
		{op: "Clip", types: "num", make: clip},
		{op: "Where", types: "all", make: where},
		{op: "Pow", types: "float i32 i64", make: pow},
		{op: "BitShift", types: "u8 u16 u32 u64", make: func(r *gen, s *spec) *call { return with(binary(r, s), attrs{"direction": r.oneOf("LEFT RIGHT")}) }},
		{op: "Mod", types: "num", make: mod},
	},
	rows("num", binary, "Add", "Sub", "Mul", "Div", "Add", "Mul"),
	rows("num", binary, "Greater", "GreaterOrEqual", "Less", "LessOrEqual"),
	rows("all", binary, "Equal"),
	rows("bool", binary, "And", "Or", "Xor"),
	rows("int", binary, "BitwiseAnd", "BitwiseOr", "BitwiseXor"),
	rows("float i32 i64 u32 u64", binary, "PRelu"),
	rows("num", variadic, "Max", "Min"),
	rows("float", variadic, "Sum", "Mean"),

	rows("float i32 i64", reduce, "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMean", "ReduceProd", "ReduceSum", "ReduceSumSquare"),
	rows("num", reduce, "ReduceMax", "ReduceMin"),
	rows("num", arg, "ArgMax", "ArgMin"),
	rows("float", alongAxis, "Softmax", "LogSoftmax", "Hardmax"),
	rows("float i32 i64", cumulate, "CumSum"),
	[]spec{
		{op: "TopK", types: "num", make: topK, results: 2},
		{op: "Compress", types: "all", make: compress},
		{op: "OneHot", types: "index", make: oneHot},
		{op: "Unique", types: "f32 f64 i8 i64", make: unique},
	},
	moveSpecs, nnSpecs, controlSpecs,
)

func with(c *call, a attrs) *call {
	if c != nil {
		c.attrs = a
	}
	return c
}

func unary(r *gen, s *spec) *call {
	x := r.pick(s.types, nil)
	if x == nil {
		return nil
	}
	return &call{in: names(x)}
}

func withAlpha(r *gen, s *spec) *call {
	if r.chance(2) {
		return unary(r, s)
	}
	return with(unary(r, s), attrs{"alpha": float64(1+r.IntN(6)) / 4})
}

// partner gives an operand that broadcasts with x: a value that is there, or a new one with some of x's dimensions.
func (r *gen) partner(x *input, d tensor.DType) *input {
	if r.chance(2) {
		if y := r.pick(d.String(), func(s []int64) bool { return broadcasts(s, x.t.Shape) }); y != nil && y.t.DType == d && broadcasts(y.t.Shape, x.t.Shape) {
			return y
		}
	}
	s := slices.Clone(x.t.Shape)
	s = s[r.IntN(len(s)+1):]
	for i := range s {
		if r.chance(4) {
			s[i] = 1
		}
	}
	if r.chance(6) {
		s = append([]int64{sizes[r.IntN(6)]}, s...)
	}
	return r.input(d, s...)
}

func broadcasts(a, b []int64) bool {
	for i := 1; i <= min(len(a), len(b)); i++ {
		if x, y := a[len(a)-i], b[len(b)-i]; x != y && x != 1 && y != 1 {
			return false
		}
	}
	return true
}

func binary(r *gen, s *spec) *call {
	x := r.pick(s.types, nil)
	if x == nil {
		return nil
	}
	y := r.partner(x, x.t.DType)
	if r.chance(2) && s.op != "PRelu" {
		x, y = y, x
	}
	return &call{in: names(x, y)}
}

func variadic(r *gen, s *spec) *call {
	x := r.pick(s.types, nil)
	if x == nil {
		return nil
	}
	in := names(x)
	for range r.IntN(3) {
		in = append(in, r.partner(x, x.t.DType).name)
	}
	return &call{in: in}
}

func cast(r *gen, s *spec) *call {
	all := r.types("all")
	return with(unary(r, s), attrs{"to": all[r.IntN(len(all))]})
}

func clip(r *gen, s *spec) *call {
	x := r.pick(s.types, nil)
	if x == nil {
		return nil
	}
	bound := func() *input {
		if r.chance(3) {
			return nil
		}
		return r.input(x.t.DType)
	}
	return &call{in: names(x, bound(), bound())}
}

func where(r *gen, s *spec) *call {
	x := r.pick(s.types, nil)
	if x == nil {
		return nil
	}
	return &call{in: names(r.partner(x, tensor.Bool), x, r.partner(x, x.t.DType))}
}

func pow(r *gen, s *spec) *call {
	x := r.pick(s.types, nil)
	if x == nil {
		return nil
	}
	ds := r.types("f32 f64 i32 i64")
	d := ds[r.IntN(len(ds))]
	if r.chance(2) {
		t := tensor.New(d)
		if d.IsFloat() {
			setFloat(t, 0, []float64{0.5, 2, 3, -1, 0}[r.IntN(5)])
		} else {
			setInt(t, 0, int64(r.IntN(4)))
		}
		return &call{in: names(x, r.konst(t))}
	}
	return &call{in: names(x, r.partner(x, d))}
}

func mod(r *gen, s *spec) *call {
	c := binary(r, s)
	if c == nil {
		return nil
	}
	fmod := r.IntN(2)
	for _, v := range r.pool {
		if v.name == c.in[0] && v.t.DType.IsFloat() {
			fmod = 1
		}
	}
	return with(c, attrs{"fmod": fmod})
}

func reduce(r *gen, s *spec) *call {
	x := r.pick(s.types, nil)
	if x == nil {
		return nil
	}
	a := attrs{"keepdims": r.IntN(2)}
	if r.chance(4) {
		a["noop_with_empty_axes"] = 1
	}
	if r.chance(4) {
		return &call{in: names(x), attrs: a}
	}
	return &call{in: names(x, r.ints(r.axes(len(x.t.Shape))...)), attrs: a}
}

func arg(r *gen, s *spec) *call {
	x := r.pick(s.types, minRank(1))
	if x == nil {
		return nil
	}
	return &call{in: names(x), attrs: attrs{"axis": r.axis(len(x.t.Shape)), "keepdims": r.IntN(2), "select_last_index": r.IntN(2)}}
}

func alongAxis(r *gen, s *spec) *call {
	x := r.pick(s.types, minRank(1))
	if x == nil {
		return nil
	}
	return &call{in: names(x), attrs: attrs{"axis": r.axis(len(x.t.Shape))}}
}

func cumulate(r *gen, s *spec) *call {
	x := r.pick(s.types, minRank(1))
	if x == nil {
		return nil
	}
	axis := r.konst(tensor.Of([]int64{int64(r.axis(len(x.t.Shape)))}))
	return &call{in: names(x, axis), attrs: attrs{"exclusive": r.IntN(2), "reverse": r.IntN(2)}}
}

func topK(r *gen, s *spec) *call {
	x := r.pick(s.types, minRank(1))
	if x == nil {
		return nil
	}
	axis := r.axis(len(x.t.Shape))
	n := x.t.Shape[(axis+len(x.t.Shape))%len(x.t.Shape)]
	return &call{in: names(x, r.ints(r.Int64N(n+1))), attrs: attrs{"axis": axis, "largest": r.IntN(2), "sorted": 1}}
}

func compress(r *gen, s *spec) *call {
	x := r.pick(s.types, minRank(1))
	if x == nil {
		return nil
	}
	if r.chance(3) {
		return &call{in: names(x, r.input(tensor.Bool, min(x.t.Len(), 1+r.Int64N(8))))}
	}
	axis := r.axis(len(x.t.Shape))
	n := x.t.Shape[(axis+len(x.t.Shape))%len(x.t.Shape)]
	return &call{in: names(x, r.input(tensor.Bool, n)), attrs: attrs{"axis": axis}}
}

func oneHot(r *gen, s *spec) *call {
	x := r.pick(s.types, minRank(1))
	if x == nil {
		return nil
	}
	ds := r.types("f32 i64 i32")
	return &call{in: names(x, r.ints(1+r.Int64N(9)), r.input(ds[r.IntN(len(ds))], 2)), attrs: attrs{"axis": r.IntN(len(x.t.Shape)+1) - 1}}
}

// unique is not for NaN, which the peer tells apart now and then.
func unique(r *gen, s *spec) *call {
	x := r.pick(s.types, minRank(1))
	if x == nil || r.special {
		return nil
	}
	a := attrs{"sorted": r.IntN(2)}
	if r.chance(2) {
		a["axis"] = r.axis(len(x.t.Shape))
	}
	return &call{in: names(x), attrs: a, results: 4}
}
