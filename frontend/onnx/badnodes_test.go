package onnx

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
	"github.com/nnc-go/nnc/runtime/tensor"
)

var update = flag.Bool("update", false, "write the errors of testdata/bad_nodes.txt anew")

// TestBadNodes: wrong types, ranks, sizes, attributes and opsets are errors of the import that name the node, what
// was wanted and what was got. testdata/bad_nodes.txt says which.
func TestBadNodes(t *testing.T) {
	const path = "testdata/bad_nodes.txt"
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.SplitN(line, " | ", 4)
		require.Len(t, f, 4, line)
		op, opset, _ := strings.Cut(f[0], " ")
		m := badModel(t, op, opset, f[1], f[2])
		_, _, err := importModel(t, m, Options{})
		if err == nil {
			t.Errorf("%s: no error", line)
			continue
		}
		_, said, named := strings.Cut(err.Error(), fmt.Sprintf("%s %q (", op[strings.Index(op, ".")+1:], "bad"))
		require.True(t, named, "%s: the error does not name the node: %v", line, err)
		_, said, _ = strings.Cut(said, "): ")
		lines[i] = strings.Join(append(f[:3], said), " | ")
		if !*update {
			assert.Equal(t, line, lines[i])
		}
	}
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o644))
	}
}

// badModel is a model of one node, "bad".
func badModel(t *testing.T, op, opset, operands, attrs string) *onnxpb.ModelProto {
	v, err := strconv.ParseInt(opset, 10, 64)
	require.NoError(t, err)
	m := model(v, nil, nil)
	n := node(op, operandsOf(t, m, operands), names("y"), attrsOf(t, attrs)...)
	n.Name = proto.String("bad")
	if domain, name, ok := strings.Cut(op, "."); ok {
		n.OpType, n.Domain = proto.String(name), proto.String(map[string]string{"ml": "ai.onnx.ml", "ms": "com.microsoft"}[domain])
		m.OpsetImport = []*onnxpb.OperatorSetIdProto{{Domain: n.Domain, Version: proto.Int64(v)}}
	}
	m.Graph.Node = []*onnxpb.NodeProto{n}
	return m
}

// operandsOf adds inputs and initialisers to a model, and gives their names.
func operandsOf(t *testing.T, m *onnxpb.ModelProto, text string) (list []string) {
	for i, f := range strings.Fields(text) {
		name := fmt.Sprint("x", i)
		if f == "_" {
			list = append(list, "")
			continue
		}
		list = append(list, name)
		if dtype, rest, ok := strings.Cut(f, "{"); ok {
			elems, scalar, _ := strings.Cut(rest, "}")
			m.Graph.Initializer = append(m.Graph.Initializer, initialiser(t, name, dtype, numbers(t, elems), scalar != ""))
			continue
		}
		dtype, rest, _ := strings.Cut(f, "[")
		d, ok := tensor.ParseDType(dtype)
		require.True(t, ok, f)
		var dims []any
		for _, s := range split(strings.TrimSuffix(rest, "]")) {
			if n, err := strconv.Atoi(s); err == nil {
				dims = append(dims, n)
			} else {
				dims = append(dims, s)
			}
		}
		m.Graph.Input = append(m.Graph.Input, value(name, int32(d), dims...))
	}
	return list
}

func split(s string) []string { return strings.FieldsFunc(s, func(r rune) bool { return r == ',' }) }

func numbers(t *testing.T, list string) (v []float64) {
	for _, s := range split(list) {
		x, err := strconv.ParseFloat(s, 64)
		require.NoError(t, err)
		v = append(v, x)
	}
	return v
}

// as converts numbers.
func as[T int64 | float32](v []float64) []T {
	out := make([]T, len(v))
	for i, x := range v {
		out[i] = T(x)
	}
	return out
}

func initialiser(t *testing.T, name, dtype string, v []float64, scalar bool) *onnxpb.TensorProto {
	p := int64s(name, as[int64](v)...)
	if dtype != "i64" {
		require.Equal(t, "f32", dtype)
		p = floats(name, []int64{int64(len(v))}, as[float32](v)...)
	}
	if scalar {
		p.Dims = nil
	}
	return p
}

// attrsOf reads attributes name=value: a number, a string in quotes, or a list of integers or (with points) of floats.
func attrsOf(t *testing.T, text string) (list []*onnxpb.AttributeProto) {
	for _, f := range strings.Fields(text) {
		name, v, _ := strings.Cut(f, "=")
		elems, isList := strings.CutPrefix(strings.TrimSuffix(v, "]"), "[")
		switch {
		case isList && strings.Contains(v, "."):
			list = append(list, attrOf(name, as[float32](numbers(t, elems))))
		case isList:
			list = append(list, attrOf(name, as[int64](numbers(t, elems))))
		case v[0] == '"':
			list = append(list, attrOf(name, strings.Trim(v, `"`)))
		default:
			n, err := strconv.Atoi(v)
			require.NoError(t, err)
			list = append(list, attrOf(name, n))
		}
	}
	return list
}

// TestBadGraphs: graphs in nodes that do not fit them.
func TestBadGraphs(t *testing.T) {
	x, n, c := value("x", 1, 2), value("n", 7), value("c", 9)
	graph := func(in []*onnxpb.ValueInfoProto, out []string, nodes ...*onnxpb.NodeProto) *onnxpb.GraphProto {
		return &onnxpb.GraphProto{Name: proto.String("inner"), Input: in, Output: outputs(out...), Node: nodes}
	}
	neg := graph(nil, names("a"), node("Neg", names("x"), names("a")))
	cast := graph(nil, names("b"), node("Cast", names("x"), names("b"), attrOf("to", 7)))
	two := graph(nil, names("d", "e"), node("Neg", names("x"), names("d")), node("Abs", names("x"), names("e")))
	params := inputs(value("i", 7), value("k", 9), value("v", 1, 2))
	step := node("Neg", names("v"), names("w"))
	for _, b := range []struct {
		name string
		node *onnxpb.NodeProto
		want string
	}{
		{"branches of one and two results", node("If", names("c"), names("y"), attrOf("then_branch", neg), attrOf("else_branch", two)), "0 inputs and 2 outputs, want none and 1"},
		{"branches of different types", node("If", names("c"), names("y"), attrOf("then_branch", neg), attrOf("else_branch", cast)), "f32[2] and i64[2]"},
		{"a branch with parameters", node("If", names("c"), names("y"), attrOf("then_branch", neg), attrOf("else_branch", graph(inputs(value("v", 1, 2)), names("w"), step))), "1 inputs and 1 outputs, want none and 1"},
		{"a condition that is a number", node("If", names("x"), names("y"), attrOf("then_branch", neg), attrOf("else_branch", neg)), "want one of the element types bool"},
		{"one branch", node("If", names("c"), names("y"), attrOf("then_branch", neg)), `"else_branch" is missing`},
		{"a body with too few parameters", node("Loop", names("n", "c", "x"), names("y"), attrOf("body", graph(params[:2], names("k", "a"), node("Neg", names("x"), names("a"))))), "body has 2 inputs and 2 outputs, which does not fit 3 inputs and 1 outputs"},
		{"a body with too few results", node("Loop", names("n", "c", "x"), names("y"), attrOf("body", graph(params, names("k"), step))), "body has 3 inputs and 1 outputs, which does not fit 3 inputs and 1 outputs"},
		{"a condition of a body that is a number", node("Loop", names("n", "c", "x"), names("y"), attrOf("body", graph(params, names("w", "w"), step))), "want a bool"},
		{"a carried value of another type", node("Loop", names("n", "c", "x"), names("y"), attrOf("body", graph(params, names("k", "w"), node("Cast", names("v"), names("w"), attrOf("to", 11))))), "f64[2]"},
		{"a count that is a float", node("Loop", names("x", "c", "x"), names("y"), attrOf("body", graph(params, names("k", "w"), step))), "want one of the element types i64"},
		{"more scan inputs than operands", node("Scan", names("x"), names("y"), attrOf("body", graph(params[2:], names("w"), step)), attrOf("num_scan_inputs", 2)), "num_scan_inputs"},
		{"a scan of a scalar", node("Scan", names("n"), names("y"), attrOf("body", graph(inputs(value("v", 7)), names("w"), step)), attrOf("num_scan_inputs", 1)), "rank"},
	} {
		t.Run(b.name, func(t *testing.T) {
			b.node.Name = proto.String("bad")
			m := model(17, inputs(x, n, c), nil, b.node)
			_, _, err := importModel(t, m, Options{})
			require.ErrorContains(t, err, b.want)
			require.ErrorContains(t, err, b.node.GetOpType()+` "bad" (ai.onnx 17)`)
		})
	}
}
