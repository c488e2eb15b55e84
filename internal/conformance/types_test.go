package conformance

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/nnc-go/nnc/backend/llvm"
	"github.com/nnc-go/nnc/frontend/onnx"
	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
	"github.com/nnc-go/nnc/internal/driver"
	"github.com/nnc-go/nnc/internal/testcase"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/eval"
	rt "github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/runtime/tensorio"
)

// typed is one of ONNX's cases with another element type.
type typed struct {
	key    string // "Relu T bf16": the operator, the variable and the type
	name   string // of the case
	module *ir.Module
	in     []hostop.Value
	want   []hostop.Value
	random bool
	// host: it may run as host functions, which alone work on strings and containers.
	host bool
	// plain: compiled with -O=0, as every other case is.
	plain bool
	// refused is why the importer does not take it.
	refused error
}

// TestTypes runs operators in all element types that ONNX lists for them: the cases of single nodes with their
// inputs cast. The evaluator must compute them, and compiled code, optimised and not, must agree, without host
// functions but for strings.
func TestTypes(t *testing.T) {
	cases, err := testcase.Find("../../../shared/onnx-tests/node")
	if _, tools := llvm.New(); err != nil || tools != nil || testing.Short() {
		t.Skip("no ../shared/onnx-tests/node, no LLVM, or -short: ", err, tools)
	}
	failed := map[string]string{}
	fail := func(key, format string, args ...any) {
		if failed[key] == "" {
			failed[key] = fmt.Sprintf(format, args...)
		}
	}
	seen := variants{done: map[string]int{}, accepted: map[string]bool{}, refused: map[string]error{}}
	var all []*typed
	for _, c := range cases {
		b, err := os.ReadFile(c.Model)
		require.NoError(t, err)
		m := &onnxpb.ModelProto{}
		require.NoError(t, proto.Unmarshal(b, m))
		all = append(all, seen.of(c.Name, m, inputsOf(m, c), fail)...)
	}
	for _, c := range readVersions(t) {
		all = append(all, seen.of("versions.txt", c.m, c.in, fail)...)
	}
	seen.check(fail)
	for chunk := range slices.Chunk(all, 48) {
		compileTyped(t, chunk, fail)
	}
	t.Logf("%d combinations of operator and type, with opsets %d, in %d cases", len(seen.accepted), len(seen.done), len(all))
	for _, key := range slices.Sorted(maps.Keys(failed)) {
		t.Errorf("%s: %s", key, failed[key])
	}
}

// casesEach is how many cases of an operator in an opset are run in each type: they differ in attributes and forms.
const casesEach = 2

// variants is what TestTypes has seen so far: how many cases of an operator, opset and type it took, and, by operator and
// type, whether the importer took one, and an error if it refused one.
type variants struct {
	done     map[string]int
	accepted map[string]bool
	refused  map[string]error
}

// check fails for the types of operands that no case ran in.
func (vs *variants) check(fail func(key, format string, args ...any)) {
	for _, v := range onnx.Versions() {
		for _, o := range onnx.Operands(v.Domain, v.Op, int64(v.Since)) {
			for _, d := range o.Types {
				key := fmt.Sprintf("%s %s %v", v.Op, o.Variable, d)
				switch {
				case o.Variable == "" || vs.accepted[key]:
				case vs.refused[key] != nil:
					fail(key, "importer, in all cases: %v", vs.refused[key])
				default:
					fail(key, "no case takes this type: give testdata/versions.txt one")
				}
			}
		}
	}
}

// inputsOf reads the inputs of a case, nil where they are not all given.
func inputsOf(m *onnxpb.ModelProto, c testcase.Case) (in []hostop.Value) {
	files, err := testcase.Files(c.Sets[0], "input")
	if err != nil || len(files) < len(m.Graph.Input) {
		return nil
	}
	for i, x := range m.Graph.Input {
		w := tensorio.Want{}
		if x.GetType().GetSequenceType() != nil {
			w.Kind = tensorio.KindSeq
		} else if x.GetType().GetTensorType() == nil {
			return nil
		}
		v, err := tensorio.ReadFile(files[i], w)
		if err != nil {
			return nil
		}
		in = append(in, v)
	}
	return in
}

// of gives the variants of a case whose operator, opset and type have not been seen often enough, evaluated.
func (vs *variants) of(name string, m *onnxpb.ModelProto, in []hostop.Value, fail func(key, format string, args ...any)) (out []*typed) {
	if len(m.Graph.Node) != 1 || len(m.Functions) > 0 || len(m.Graph.Initializer) > 0 || in == nil {
		return nil
	}
	n := m.Graph.Node[0]
	opset := int64(0)
	for _, o := range m.OpsetImport {
		if o.GetDomain() == n.GetDomain() {
			opset = o.GetVersion()
		}
	}
	operands := onnx.Operands(n.GetDomain(), n.GetOpType(), opset)
	variables := map[string][]tensor.DType{}
	for i := range n.Input {
		if i < len(operands) && operands[i].Variable != "" {
			variables[operands[i].Variable] = operands[i].Types
		}
	}
	for _, v := range slices.Sorted(maps.Keys(variables)) {
		for _, d := range variables[v] {
			key := fmt.Sprintf("%s %s %v", n.GetOpType(), v, d)
			seen := fmt.Sprintf("%s %d", key, opset)
			if vs.done[seen] >= casesEach {
				continue
			}
			x := variant(m, in, operands, v, d)
			switch {
			case x == nil:
			case x.refused != nil:
				vs.refused[key] = x.refused
			default:
				vs.done[seen]++
				vs.accepted[key] = true
				x.key, x.name, x.plain = key, name, vs.done[seen]%2 == 0
				want, err := eval.Run(x.module.Clone(), x.in, eval.Options{})
				if err != nil {
					fail(key, "evaluator: %s: %v", name, err)
					continue
				}
				x.want = want
				out = append(out, x)
			}
		}
	}
	return out
}

// variant is a case whose operands of a variable have type d, nil where it cannot be made.
func variant(m *onnxpb.ModelProto, in []hostop.Value, operands []onnx.Operand, variable string, d tensor.DType) *typed {
	m = proto.CloneOf(m)
	n := m.Graph.Node[0]
	change := map[string]bool{}
	for i, name := range n.Input {
		// The elements of a sequence are of the type T of what is inserted.
		if v := operands[min(i, len(operands)-1)].Variable; name != "" && (v == variable || v == "S" && variable == "T") {
			change[name] = true
		}
	}
	x := &typed{in: slices.Clone(in)}
	for i, p := range m.Graph.Input {
		if !change[p.GetName()] {
			continue
		}
		if x.in[i] = castAll(in[i], d); x.in[i] == nil {
			return nil
		}
		tt := p.GetType().GetTensorType()
		if s := p.GetType().GetSequenceType(); s != nil {
			tt = s.GetElemType().GetTensorType()
		}
		if tt == nil {
			return nil
		}
		tt.ElemType = proto.Int32(int32(d))
	}
	for _, o := range m.Graph.Output {
		o.Type = nil
	}
	b, err := proto.Marshal(m)
	if err != nil {
		return nil
	}
	if x.module, _, x.refused = onnx.LoadBytes(b, "", onnx.Options{}); x.refused != nil {
		return x // it may be right: attributes that name a type, zero points and so on need not fit
	}
	x.look()
	return x
}

// look finds what the module allows: of random numbers no value is expected, and of strings, containers and unknown ranks no
// kernels.
func (x *typed) look() {
	x.module.Graph.Walk(func(op *ir.Op) {
		x.random = x.random || op.Info.Has(ir.Impure)
		for _, v := range append(slices.Clone(op.Operands), op.Results...) {
			x.host = x.host || v != nil && (v.Type.Kind != ir.KindTensor || v.Type.DType == tensor.String || !v.Type.Ranked)
		}
	})
}

// castAll is a tensor or a sequence of tensors with elements of type d, nil where there is none.
func castAll(v hostop.Value, d tensor.DType) hostop.Value {
	switch v := v.(type) {
	case *tensor.Tensor:
		call := &hostop.Call{In: []hostop.Value{v}, Attrs: hostop.Attrs{"to": d}, NumOut: 1}
		if v.DType == tensor.String && d != v.DType || hostop.Cast(call) != nil {
			return nil
		}
		mirrorParts(call.Out[0].(*tensor.Tensor))
		return call.Out[0]
	case hostop.Seq:
		out := hostop.Seq{}
		for _, e := range v {
			x := castAll(e, d)
			if x == nil {
				return nil
			}
			out = append(out, x)
		}
		return out
	}
	return nil
}

// mirrorParts gives complex numbers imaginary parts: the real ones in reverse.
func mirrorParts(x *tensor.Tensor) {
	if x.DType.Class() != tensor.ClassComplex {
		return
	}
	size := x.DType.Size()
	for i := range int(x.Len()) {
		copy(x.Data[i*size+size/2:(i+1)*size], x.Data[(int(x.Len())-1-i)*size:])
	}
}

// compileTyped compiles variants together and holds them against the evaluator.
func compileTyped(t *testing.T, xs []*typed, fail func(key, format string, args ...any)) {
	ctx := context.Background()
	var compiled []*driver.Compiled
	var of []*typed
	for _, x := range xs {
		c, err := driver.CompileModule(ctx, x.module.Clone(), driver.Options{CPU: "native", NoOptimize: x.plain})
		if err != nil {
			fail(x.key, "compile: %s: %v", x.name, err)
			continue
		}
		defer c.Close()
		if h := slices.DeleteFunc(slices.Clone(c.Program.HostSteps), isHostOnly); len(h) > 0 && !x.host {
			fail(x.key, "not compiled: %s: %v", x.name, h)
		}
		compiled, of = append(compiled, c), append(of, x)
	}
	loaded, err := driver.LoadAll(ctx, compiled, rt.Options{})
	require.NoError(t, err)
	for i, l := range loaded {
		defer l.Close()
		x := of[i]
		got := make([]hostop.Value, len(x.want))
		if err := l.Run(ctx, x.in, got); err != nil {
			fail(x.key, "run: %s: %v", x.name, err)
			continue
		}
		for k := range got {
			if why := testcase.Compare(got[k], x.want[k], looseFor(x.want[k])); why != "" && !x.random {
				fail(x.key, "differs: %s: %s", x.name, why)
			}
		}
	}
}

// hostOnly are operators on numbers that run as host functions by design.
var hostOnly = map[string]bool{"Unique": true, "ImageDecoder": true, "OptionalHasElement": true, "OptionalGetElement": true}

// isHostOnly reports whether a step ("Unique node") is of an operator that runs as a host function by design.
func isHostOnly(step string) bool {
	name, _, _ := strings.Cut(step, " ")
	return hostOnly[name]
}

// looseFor allows what a few roundings in another order do.
func looseFor(v hostop.Value) testcase.Tolerance {
	x, ok := v.(*tensor.Tensor)
	switch {
	case !ok || !x.DType.IsFloat() && x.DType.Class() != tensor.ClassComplex:
		return testcase.Tolerance{}
	case x.DType == tensor.F64 || x.DType == tensor.C128:
		return testcase.Tolerance{Rel: 1e-6, Abs: 1e-9}
	case x.DType == tensor.F32 || x.DType == tensor.C64:
		return testcase.Tolerance{Rel: 1e-3, Abs: 1e-5}
	case strings.HasPrefix(x.DType.String(), "f8"):
		return testcase.Tolerance{Rel: 0.2, Abs: 0.1}
	}
	return testcase.Tolerance{Rel: 3e-2, Abs: 3e-2}
}
