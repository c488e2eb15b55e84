package onnx

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
	"github.com/nnc-go/nnc/ir/eval"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// gradCase is a function of a and b, of the given shapes.
type gradCase struct {
	a, b  []int
	nodes []*onnxpb.NodeProto
}

func ab(s ...string) []string { return append([]string{"a"}, s...) }

// gradCases by what they are about.
var gradCases = map[string]gradCase{
	"add, sub, broadcast": {[]int{2, 3}, []int{3}, []*onnxpb.NodeProto{node("Add", ab("b"), names("s")), node("Sub", names("s", "b"), names("t")), node("Mul", names("t", "s"), names("y"))}},
	"mul, div":            {[]int{2, 1}, []int{1, 3}, []*onnxpb.NodeProto{node("Div", ab("b"), names("s")), node("Mul", names("s", "a"), names("y"))}},
	"unary":               {[]int{3}, []int{3}, []*onnxpb.NodeProto{node("Exp", ab(), names("e")), node("Log", names("b"), names("l")), node("Sqrt", names("b"), names("q")), node("Sum", names("e", "l", "q"), names("y"))}},
	"more unary": {[]int{3}, []int{3}, []*onnxpb.NodeProto{node("Tanh", ab(), names("e")), node("Sigmoid", names("b"), names("l")), node("Neg", names("e"), names("n")), node("Reciprocal", names("b"), names("r")),
		node("Sin", ab(), names("i")), node("Cos", names("r"), names("c")), node("Abs", names("n"), names("m")), node("Identity", names("m"), names("d")), node("Sum", names("d", "l", "r", "i", "c"), names("y"))}},
	"relu":   {[]int{2, 2}, []int{2, 2}, []*onnxpb.NodeProto{node("Mul", names("b", "b"), names("q")), node("Sub", ab("q"), names("s")), node("Relu", names("s"), names("r")), node("Mul", names("r", "b"), names("y"))}},
	"pow":    {[]int{3}, []int{3}, []*onnxpb.NodeProto{node("Pow", ab("b"), names("y"))}},
	"matmul": {[]int{2, 3, 4}, []int{4, 2}, []*onnxpb.NodeProto{node("MatMul", ab("b"), names("y"))}},
	"gemm":   {[]int{4, 3}, []int{2, 4}, []*onnxpb.NodeProto{node("Gemm", names("a", "b"), names("g"), attrOf("transA", 1), attrOf("transB", 1), attrOf("alpha", float32(0.5))), node("Mul", names("g", "g"), names("y"))}},
	"views and reductions": {[]int{2, 3, 4}, []int{3, 8}, []*onnxpb.NodeProto{node("Transpose", ab(), names("t"), attrOf("perm", []int64{1, 2, 0})), node("Flatten", names("t"), names("f")), node("Mul", names("f", "b"), names("m")),
		node("ReduceSum", names("m", "axes"), names("s"), attrOf("keepdims", 0)), node("ReduceMean", names("m"), names("n")), node("Mul", names("s", "n"), names("p")), node("Mul", names("p", "s"), names("y"))}},
	"conv": {[]int{2, 2, 5, 6}, []int{3, 2, 2, 3}, []*onnxpb.NodeProto{node("Conv", ab("b"), names("c"), attrOf("strides", []int64{2, 1}), attrOf("dilations", []int64{1, 2}), attrOf("pads", []int64{0, 1, 1, 0})), node("Mul", names("c", "c"), names("y"))}},
}

// TestGradient holds gradients against differences.
func TestGradient(t *testing.T) {
	for name, c := range gradCases {
		t.Run(name, func(t *testing.T) {
			m := gradModel(c)
			m.Graph.Output = outputs("y", "da", "db")
			r, _, err := importModel(t, m, Options{})
			require.NoError(t, err)
			x := []*tensor.Tensor{ramp(c.a), ramp(c.b)}
			run := func() []hostop.Value {
				out, err := eval.Run(r, []hostop.Value{x[0], x[1]}, eval.Options{})
				require.NoError(t, err)
				return out
			}
			sum := func() (s float64) {
				for _, v := range tensor.View[float64](run()[0].(*tensor.Tensor)) {
					s += v
				}
				return s
			}
			got := run()
			for i, v := range x {
				grad := tensor.View[float64](got[1+i].(*tensor.Tensor))
				require.Equal(t, v.Shape, got[1+i].(*tensor.Tensor).Shape)
				for j := range grad {
					const h = 1e-5
					e := &tensor.View[float64](v)[j]
					old := *e
					*e = old + h
					up := sum()
					*e = old - h
					require.InDelta(t, (up-sum())/(2*h), grad[j], 1e-5*max(1, abs(grad[j])), "input %d, element %d", i, j)
					*e = old
				}
			}
		})
	}
}

func abs(x float64) float64 { return max(x, -x) }

// ramp is a tensor of distinct positive numbers.
func ramp(dims []int) *tensor.Tensor {
	var shape []int64
	for _, d := range dims {
		shape = append(shape, int64(d))
	}
	x := tensor.New(tensor.F64, shape...)
	v := tensor.View[float64](x)
	for i := range v {
		v[i] = 0.3 + float64(i*7%11)/8 + float64(i)/100
	}
	return x
}

func gradModel(c gradCase) *onnxpb.ModelProto {
	dims := func(n []int) (out []any) {
		for _, d := range n {
			out = append(out, d)
		}
		return out
	}
	in := []*onnxpb.ValueInfoProto{value("a", 11, dims(c.a)...), value("b", 11, dims(c.b)...)}
	xs := &onnxpb.AttributeProto{Name: proto.String("xs"), Strings: [][]byte{[]byte("a"), []byte("b")}, Type: onnxpb.AttributeProto_STRINGS.Enum()}
	g := node("Gradient", names("a", "b"), names("da", "db"), xs, attrOf("y", "y"))
	g.Domain = proto.String("ai.onnx.preview.training")
	m := model(17, in, []*onnxpb.TensorProto{int64s("axes", 1)}, append(c.nodes, g)...)
	m.OpsetImport = append(m.OpsetImport, &onnxpb.OperatorSetIdProto{Domain: proto.String("ai.onnx.preview.training"), Version: proto.Int64(1)})
	return m
}

// TestGradientElsewhere: the inputs of Gradient need not be those that y was computed from.
func TestGradientElsewhere(t *testing.T) {
	m := gradModel(gradCase{[]int{1}, []int{1}, []*onnxpb.NodeProto{node("Mul", names("a", "a"), names("s")), node("Mul", names("s", "b"), names("y"))}})
	for _, n := range m.Graph.Node {
		if n.GetOpType() == "Gradient" {
			n.Input = names("b", "a")
		}
	}
	m.Graph.Output = outputs("y", "da", "db")
	r, _, err := importModel(t, m, Options{})
	require.NoError(t, err)
	out, err := eval.Run(r, []hostop.Value{tensor.Of([]float64{3}, 1), tensor.Of([]float64{5}, 1)}, eval.Options{})
	require.NoError(t, err)
	for i, want := range []float64{45, 2 * 5 * 3, 25} { // d(a*a*b) at a=5, b=3
		require.Equal(t, want, tensor.View[float64](out[i].(*tensor.Tensor))[0])
	}
}

// TestGradientFirst: nodes may be in any order; a value on which y does not depend has a gradient of 0.
func TestGradientFirst(t *testing.T) {
	m := gradModel(gradCase{[]int{1}, []int{2}, []*onnxpb.NodeProto{node("Mul", names("a", "a"), names("s")), node("Neg", names("s"), names("y"))}})
	slices.Reverse(m.Graph.Node)
	m.Graph.Output = outputs("y", "da", "db")
	r, _, err := importModel(t, m, Options{})
	require.NoError(t, err)
	out, err := eval.Run(r, []hostop.Value{tensor.Of([]float64{3}, 1), tensor.Of([]float64{5, 7}, 2)}, eval.Options{})
	require.NoError(t, err)
	require.Equal(t, []float64{-6}, tensor.View[float64](out[1].(*tensor.Tensor)))
	require.Equal(t, []float64{0, 0}, tensor.View[float64](out[2].(*tensor.Tensor)))
}

func TestGradientWithoutRule(t *testing.T) {
	_, _, err := importModel(t, gradModel(gradCase{[]int{2}, []int{2}, []*onnxpb.NodeProto{node("Add", ab("b"), names("s")), node("Erf", names("s"), names("y"))}}), Options{})
	require.Error(t, err)
	require.True(t, strings.Contains(err.Error(), "no gradient of Erf"), "%v", err)
}
