package main

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// controlSpecs are the operators with subgraphs. Each occurs twice, lest the many others leave them few.
var controlSpecs = []spec{
	{op: "If", types: "all", make: branches},
	{op: "If", types: "all", make: branches},
	{op: "Loop", types: "all", make: loop},
	{op: "Loop", types: "all", make: loop},
	{op: "Scan", types: "all", make: scan},
	{op: "Scan", types: "all", make: scan},
}

// sub is a subgraph that is being made. Its nodes may take values from outside.
type sub struct {
	*gen
	g *onnxpb.GraphProto
}

func (r *gen) sub() *sub { return &sub{r, &onnxpb.GraphProto{Name: proto.String("sub")}} }

// param adds a parameter.
func (s *sub) param(d tensor.DType, shape ...int64) *input {
	s.names++
	p := &input{name: fmt.Sprintf("p%d", s.names), t: &tensor.Tensor{DType: d, Shape: shape}, dims: make([]string, len(shape))}
	s.g.Input = append(s.g.Input, valueInfo(p))
	return p
}

// paramLike adds a parameter with the type of a value, whose shape it mostly tells.
func (s *sub) paramLike(d tensor.DType, shape []int64) *input {
	p := s.param(d, shape...)
	if s.chance(3) {
		s.g.Input[len(s.g.Input)-1].Type.GetTensorType().Shape = nil
	}
	return p
}

// add appends a node and gives its result, which is like x.
func (s *sub) add(op string, x *input, a attrs, in ...*input) *input {
	s.names++
	out := &input{name: fmt.Sprintf("s%d", s.names), t: &tensor.Tensor{DType: x.t.DType, Shape: x.t.Shape}}
	s.g.Node = append(s.g.Node, newNode(op, names(in...), []string{out.name}, a))
	return out
}

// result makes a value a result.
func (s *sub) result(v *input) {
	typ := &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(int32(v.t.DType))}
	s.g.Output = append(s.g.Output, &onnxpb.ValueInfoProto{Name: proto.String(v.name), Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: typ}}})
}

// likes are operators whose result has the type and shape of their first operand: with one operand, and with two.
var likes = map[tensor.Class][2]string{
	tensor.ClassFloat: {"Tanh Sigmoid Neg Abs Relu Softsign Erf Identity Floor", "Add Sub Mul Max Min"},
	tensor.ClassInt:   {"Neg Abs Identity Sign", "Add Sub Mul Max Min"},
	tensor.ClassUint:  {"Identity Abs Sign", "Add Sub Mul Max Min"},
	tensor.ClassBool:  {"Not Identity", "And Or Xor Equal"},
}

// chain appends a few nodes behind x; others are operands from outside that broadcast to its shape.
func (s *sub) chain(x *input) *input {
	ops := likes[x.t.DType.Class()]
	for range 1 + s.IntN(3) {
		switch s.IntN(5) {
		case 0:
			x = s.add(s.oneOf(ops[0]), x, nil, x)
		case 1:
			x = s.add("Where", x, nil, s.narrower(tensor.Bool, x.t.Shape), x, s.narrower(x.t.DType, x.t.Shape))
		default:
			x = s.add(s.oneOf(ops[1]), x, nil, x, s.narrower(x.t.DType, x.t.Shape))
		}
	}
	return x
}

// narrower gives a value from outside that broadcasts to a shape without widening it.
func (r *gen) narrower(d tensor.DType, shape []int64) *input {
	fits := func(s []int64) bool {
		if len(s) > len(shape) {
			return false
		}
		for i := 1; i <= len(s); i++ {
			if n := s[len(s)-i]; n != 1 && n != shape[len(shape)-i] {
				return false
			}
		}
		return true
	}
	if v := r.pick(d.String(), fits); v != nil && v.t.DType == d && r.chance(2) {
		return v
	}
	s := slices.Clone(shape[r.IntN(len(shape)+1):])
	for i := range s {
		if r.chance(4) {
			s[i] = 1
		}
	}
	return r.input(d, s...)
}

// flag gives a scalar truth.
func (r *gen) flag() *input {
	return r.input(tensor.Bool)
}

func branches(r *gen, s *spec) *call {
	x := r.pick(s.types, nil)
	if x == nil {
		return nil
	}
	results := 1 + r.IntN(2)
	branch := func() *onnxpb.GraphProto {
		b := r.sub()
		for range results {
			b.result(b.chain(x))
		}
		return b.g
	}
	return &call{in: names(r.flag()), attrs: attrs{"then_branch": branch(), "else_branch": branch()}, results: results}
}

// loop carries one or two values like x for a few iterations, and has a scan output.
func loop(r *gen, s *spec) *call {
	x := r.pick(s.types, nil)
	if x == nil {
		return nil
	}
	states := []*input{x}
	if r.chance(2) {
		states = append(states, r.input(x.t.DType, x.t.Shape...))
	}
	count := r.add(tensor.Of([]int64{r.Int64N(5)}), r.chance(2))
	var cond *input
	if r.chance(2) {
		cond = r.flag()
	}
	b := r.sub()
	i, more := b.param(tensor.I64), b.param(tensor.Bool)
	var now []*input
	for _, v := range states {
		now = append(now, b.paramLike(v.t.DType, v.t.Shape))
	}
	if r.chance(3) {
		more = b.add("Less", more, nil, i, r.konst(tensor.Of([]int64{r.Int64N(4)})))
	} else {
		more = b.add("Identity", more, nil, more)
	}
	b.result(more)
	for k, v := range now {
		if k == 0 && x.t.DType != tensor.Bool && r.chance(3) {
			v = b.add("Add", v, nil, v, b.add("Cast", &input{t: &tensor.Tensor{DType: x.t.DType}}, attrs{"to": x.t.DType}, i))
		}
		now[k] = b.chain(v)
	}
	r.Shuffle(len(now), func(i, j int) { now[i], now[j] = now[j], now[i] })
	for _, v := range now {
		b.result(v)
	}
	b.result(b.chain(now[0]))
	return &call{in: names(append([]*input{count, cond}, states...)...), attrs: attrs{"body": b.g}, results: len(states) + 1}
}

// scan carries a value like a slice of x along its first dimension.
func scan(r *gen, s *spec) *call {
	x := r.pick(s.types, func(s []int64) bool { return len(s) > 0 && s[0] < 10 })
	if x == nil || len(x.t.Shape) == 0 {
		return nil
	}
	part := x.t.Shape[1:]
	b := r.sub()
	state, slice := b.paramLike(x.t.DType, part), b.paramLike(x.t.DType, part)
	next := b.chain(b.add(r.oneOf(likes[x.t.DType.Class()][1]), slice, nil, state, slice))
	b.result(next)
	b.result(b.chain(next))
	a := attrs{"body": b.g, "num_scan_inputs": 1}
	if r.chance(3) {
		a["scan_input_directions"] = []int64{1}
	}
	if r.chance(3) {
		a["scan_output_directions"] = []int64{1}
	}
	return &call{in: names(r.input(x.t.DType, part...), x), attrs: a, results: 2}
}
