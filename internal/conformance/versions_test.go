package conformance

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/nnc-go/nnc/backend/llvm"
	"github.com/nnc-go/nnc/frontend/onnx"
	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
	"github.com/nnc-go/nnc/internal/testcase"
	"github.com/nnc-go/nnc/ir/eval"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/runtime/tensorio"
)

// TestEveryVersionRuns: every version of every operator is imported, evaluated and compiled with known results. They are those of
// testdata/versions.txt and, where ONNX's cases are there, those of a case with its opset changed; versions that a case has as it is
// are left to make conformance.
func TestEveryVersionRuns(t *testing.T) {
	seen := map[onnx.Version]bool{}
	all := ownVersions(t, seen)
	const shared = "../../../shared/onnx-tests/"
	cases, err := testcase.Find(shared+"node", shared+"simple", shared+"pytorch-operator", shared+"pytorch-converted")
	switch {
	case err != nil:
		t.Log("without ONNX's cases: ", err)
	case !testing.Short():
		all = append(all, changedVersions(t, cases, seen)...)
		for _, v := range onnx.Versions() {
			if !seen[v] {
				t.Errorf("no case runs %s %s %d: give testdata/versions.txt one", v.Domain, v.Op, v.Since)
			}
		}
	}
	if _, err := llvm.New(); err != nil {
		t.Skip("not compiled: ", err)
	}
	for chunk := range slices.Chunk(all, 48) {
		compileTyped(t, chunk, func(key, format string, args ...any) { t.Errorf("%s: "+format, append([]any{key}, args...)...) })
	}
	t.Logf("%d versions, %d of them by cases of this test", len(seen), len(all))
}

// ownVersions evaluates the cases of testdata/versions.txt.
func ownVersions(t *testing.T, seen map[onnx.Version]bool) (all []*typed) {
	for _, c := range readVersions(t) {
		b, err := proto.Marshal(c.m)
		require.NoError(t, err, c.key)
		x := &typed{key: c.key, name: "versions.txt", in: c.in, plain: len(all)%2 == 0}
		x.module, _, err = onnx.LoadBytes(b, "", onnx.Options{})
		require.NoError(t, err, c.key)
		x.look()
		x.want, err = eval.Run(x.module.Clone(), x.in, eval.Options{})
		require.NoError(t, err, c.key)
		for i, w := range c.want {
			require.Empty(t, testcase.Compare(x.want[i], w, testcase.Tolerance{Rel: 1e-6, Abs: 1e-7}), "%s: result %d", c.key, i)
		}
		seen[c.version] = true
		all = append(all, x)
	}
	return all
}

// versionCase is a line of versions.txt.
type versionCase struct {
	t        *testing.T
	key      string
	version  onnx.Version
	m        *onnxpb.ModelProto
	in, want []hostop.Value
}

func readVersions(t *testing.T) (list []*versionCase) {
	text, err := os.ReadFile("testdata/versions.txt")
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSuffix(line, "\n"); line == "" || line[0] == '#' {
			continue
		}
		f := strings.Split(line, " | ")
		require.Len(t, f, 4, line)
		c := &versionCase{t: t, key: f[0]}
		c.read(f)
		list = append(list, c)
	}
	return list
}

// read makes the model of a line's fields.
func (c *versionCase) read(f []string) {
	v, n, g := onnx.Version{}, &onnxpb.NodeProto{}, &onnxpb.GraphProto{Name: proto.String("g")}
	op, opset, _ := strings.Cut(f[0], " ")
	since, err := strconv.Atoi(opset)
	require.NoError(c.t, err)
	if name, ok := strings.CutPrefix(op, "ml."); ok {
		op, v.Domain = name, "ai.onnx.ml"
	}
	n.OpType, n.Domain = proto.String(op), proto.String(v.Domain)
	v.Op, v.Since = op, since
	for i, text := range strings.Split(f[1], " ; ") {
		if text == "" || text == "_" {
			n.Input = append(n.Input, make([]string, len(text))...)
			continue
		}
		name := fmt.Sprint("x", i)
		n.Input = append(n.Input, name)
		text, constant := strings.CutPrefix(text, "=")
		val, typ := c.value(text)
		if x, ok := val.(*tensor.Tensor); ok && constant {
			init := &onnxpb.TensorProto{Name: proto.String(name), Dims: x.Shape, DataType: proto.Int32(int32(x.DType)), RawData: x.Data}
			g.Initializer = append(g.Initializer, init)
			continue
		}
		c.in = append(c.in, val)
		g.Input = append(g.Input, &onnxpb.ValueInfoProto{Name: proto.String(name), Type: typ})
	}
	for _, a := range strings.Fields(f[2]) {
		name, text, _ := strings.Cut(a, "=")
		n.Attribute = append(n.Attribute, c.attr(name, text))
	}
	for i, text := range strings.Split(f[3], " ; ") {
		name := fmt.Sprint("y", i)
		val, _ := c.value(text)
		c.want, n.Output = append(c.want, val), append(n.Output, name)
		g.Output = append(g.Output, &onnxpb.ValueInfoProto{Name: proto.String(name)})
	}
	g.Node = []*onnxpb.NodeProto{n}
	imports := []*onnxpb.OperatorSetIdProto{{Domain: proto.String(v.Domain), Version: proto.Int64(int64(since))}}
	c.version, c.m = v, &onnxpb.ModelProto{IrVersion: proto.Int64(3), Graph: g, OpsetImport: imports}
}

// value reads "TYPE JSON".
func (c *versionCase) value(text string) (hostop.Value, *onnxpb.TypeProto) {
	typ, data, _ := strings.Cut(text, " ")
	w := tensorio.Want{}
	name, rest, _ := strings.Cut(typ, "[")
	switch {
	case strings.HasPrefix(typ, "seq<"):
		w.Kind, name = tensorio.KindSeq, name[strings.LastIndexAny(name, ",<")+1:]
	case strings.HasPrefix(typ, "map<"):
		w.Kind, name = tensorio.KindMap, name[strings.LastIndexByte(name, ',')+1:]
	}
	d, ok := tensor.ParseDType(name)
	require.True(c.t, ok, text)
	w.DType = d
	v, err := tensorio.DecodeJSON([]byte(data), w)
	require.NoError(c.t, err, text)
	tt := &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(int32(d)), Shape: &onnxpb.TensorShapeProto{}}
	out := &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: tt}}
	switch w.Kind {
	case tensorio.KindSeq:
		tt.Shape = nil // of any
		return v, &onnxpb.TypeProto{Value: &onnxpb.TypeProto_SequenceType{SequenceType: &onnxpb.TypeProto_Sequence{ElemType: out}}}
	case tensorio.KindMap:
		key, _ := tensor.ParseDType(strings.TrimPrefix(typ[:strings.IndexByte(typ, ',')], "map<"))
		return v, &onnxpb.TypeProto{Value: &onnxpb.TypeProto_MapType{MapType: &onnxpb.TypeProto_Map{KeyType: proto.Int32(int32(key)), ValueType: out}}}
	}
	shape := []int64{}
	for _, s := range strings.FieldsFunc(rest, func(r rune) bool { return r == ',' || r == ']' }) {
		n, err := strconv.ParseInt(s, 10, 64)
		require.NoError(c.t, err, text)
		shape = append(shape, n)
		tt.Shape.Dim = append(tt.Shape.Dim, &onnxpb.TensorShapeProto_Dimension{Value: &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: n}})
	}
	require.Equal(c.t, tensor.NumElements(shape), v.(*tensor.Tensor).Len(), text)
	v.(*tensor.Tensor).Shape = shape
	return v, out
}

// attr reads the value of an attribute.
func (c *versionCase) attr(name, text string) *onnxpb.AttributeProto {
	a := &onnxpb.AttributeProto{Name: proto.String(name)}
	elems, isList := strings.CutPrefix(strings.TrimSuffix(text, "]"), "[")
	for _, s := range strings.FieldsFunc(elems, func(r rune) bool { return r == ',' }) {
		switch {
		case s[0] == '"':
			a.Strings, a.Type = append(a.Strings, []byte(strings.Trim(s, `"`))), onnxpb.AttributeProto_STRINGS.Enum()
		case s == "&double":
			a.G, a.Type = doubling(), onnxpb.AttributeProto_GRAPH.Enum()
		case s[0] == '&':
			a.T, a.Type = namedTensors[s], onnxpb.AttributeProto_TENSOR.Enum()
			require.NotNil(c.t, a.T, s)
		case strings.ContainsAny(s, ".e"):
			x, err := strconv.ParseFloat(s, 32)
			require.NoError(c.t, err, text)
			a.Floats, a.Type = append(a.Floats, float32(x)), onnxpb.AttributeProto_FLOATS.Enum()
		default:
			x, err := strconv.ParseInt(s, 10, 64)
			require.NoError(c.t, err, text)
			a.Ints, a.Type = append(a.Ints, x), onnxpb.AttributeProto_INTS.Enum()
		}
	}
	if isList {
		return a
	}
	switch a.GetType() {
	case onnxpb.AttributeProto_STRINGS:
		a.S, a.Strings, a.Type = a.Strings[0], nil, onnxpb.AttributeProto_STRING.Enum()
	case onnxpb.AttributeProto_FLOATS:
		a.F, a.Floats, a.Type = &a.Floats[0], nil, onnxpb.AttributeProto_FLOAT.Enum()
	case onnxpb.AttributeProto_INTS:
		a.I, a.Ints, a.Type = &a.Ints[0], nil, onnxpb.AttributeProto_INT.Enum()
	}
	return a
}

// namedTensors are attributes that versions.txt names.
var namedTensors = map[string]*onnxpb.TensorProto{
	"&weights": {Dims: []int64{2}, DataType: proto.Int32(int32(tensor.F64)), DoubleData: []float64{2, 3}},
	"&i32":     {Dims: []int64{2}, DataType: proto.Int32(int32(tensor.I32)), Int32Data: []int32{2, 3}},
	"&i16":     {Dims: []int64{2}, DataType: proto.Int32(int32(tensor.I16)), Int32Data: []int32{2, 3}},
	"&splits":  {Dims: []int64{3}, DataType: proto.Int32(int32(tensor.F64)), DoubleData: []float64{0.5, 0, 0}},
}

// doubling is a body of Loop that doubles its value and gives what it was.
func doubling() *onnxpb.GraphProto {
	value := func(name string, d tensor.DType) *onnxpb.ValueInfoProto {
		tt := &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(int32(d))}
		return &onnxpb.ValueInfoProto{Name: proto.String(name), Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: tt}}}
	}
	node := func(op, out string, in ...string) *onnxpb.NodeProto {
		return &onnxpb.NodeProto{OpType: proto.String(op), Input: in, Output: []string{out}}
	}
	return &onnxpb.GraphProto{
		Name:   proto.String("double"),
		Input:  []*onnxpb.ValueInfoProto{value("i", tensor.I64), value("c", tensor.Bool), value("v", tensor.F32)},
		Node:   []*onnxpb.NodeProto{node("Identity", "more", "c"), node("Add", "w", "v", "v"), node("Identity", "was", "v")},
		Output: []*onnxpb.ValueInfoProto{value("more", tensor.Bool), value("w", tensor.F32), value("was", tensor.F32)},
	}
}

// changedVersions marks the versions that cases of ONNX have, and evaluates cases of one node in the other versions of its
// operator that take it and give what the case expects.
func changedVersions(t *testing.T, cases []testcase.Case, seen map[onnx.Version]bool) (all []*typed) {
	models := make([]*onnxpb.ModelProto, len(cases))
	for i, c := range cases {
		b, err := os.ReadFile(c.Model)
		require.NoError(t, err)
		models[i] = &onnxpb.ModelProto{}
		require.NoError(t, proto.Unmarshal(b, models[i]), c.Name)
		markVersions(models[i], models[i].Graph, seen)
	}
	versions := map[string][]onnx.Version{}
	for _, v := range onnx.Versions() {
		versions[v.Domain+" "+v.Op] = append(versions[v.Domain+" "+v.Op], v)
	}
	for i, m := range models {
		if len(m.Graph.Node) != 1 || len(m.Functions) > 0 {
			continue
		}
		for _, v := range versions[m.Graph.Node[0].GetDomain()+" "+m.Graph.Node[0].GetOpType()] {
			if seen[v] {
				continue
			}
			if x := inVersion(cases[i], m, v); x != nil {
				seen[v] = true
				x.plain = len(all)%2 == 0
				all = append(all, x)
			}
		}
	}
	return all
}

// markVersions marks the versions of the nodes of a graph and of those inside it.
func markVersions(m *onnxpb.ModelProto, g *onnxpb.GraphProto, seen map[onnx.Version]bool) {
	for _, n := range g.Node {
		for _, o := range m.OpsetImport {
			if v, ok := onnx.VersionOf(n.GetDomain(), n.GetOpType(), o.GetVersion()); ok && o.GetDomain() == n.GetDomain() {
				seen[v] = true
			}
		}
		for _, a := range n.Attribute {
			if a.G != nil {
				markVersions(m, a.G, seen)
			}
		}
	}
}

// inVersion is a case in another opset, nil where that does not take it or makes something else of it.
func inVersion(c testcase.Case, m *onnxpb.ModelProto, v onnx.Version) *typed {
	m = proto.CloneOf(m)
	for _, o := range m.OpsetImport {
		if o.GetDomain() == v.Domain {
			o.Version = proto.Int64(int64(v.Since))
		}
	}
	b, err := proto.Marshal(m)
	if err != nil {
		return nil
	}
	x := &typed{key: fmt.Sprintf("%s %d", v.Op, v.Since), name: c.Name}
	if x.module, _, err = onnx.LoadBytes(b, "", onnx.Options{}); err != nil {
		return nil
	}
	inputs, outputs := describe(x.module.Inputs, x.module.Graph.Params), describe(x.module.Outputs, x.module.Graph.Results)
	one := c
	one.Sets = c.Sets[:1]
	err = eachSet(one, inputs, outputs, judge(testcase.Default, x.module), func(files []string) ([]hostop.Value, error) {
		if x.in, err = testcase.Read(files, inputs); err != nil {
			return nil, err
		}
		x.want, err = eval.Run(x.module.Clone(), x.in, eval.Options{})
		return x.want, err
	})
	if err != nil {
		return nil
	}
	x.look()
	return x
}
