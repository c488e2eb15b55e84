package eval_test

import (
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/eval"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// TestNames holds the table against the op table and the names of the functions.
func TestNames(t *testing.T) {
	for op, f := range eval.Funcs {
		require.NotNil(t, ir.OpByName(op), op)
		name := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
		require.Equal(t, eval.HostName(op), name[strings.LastIndexByte(name, '.')+1:])
	}
	require.Equal(t, "TreeEnsembleRegressor", eval.HostName("ml.TreeEnsembleRegressor"))
	require.Empty(t, eval.HostName("If"))
}

// TestNonsense calls every op with operands and attributes that fit at random or not at all: it must
// give results or an error.
func TestNonsense(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, info := range ir.Ops() {
		if eval.Lookup(info.Name) == nil {
			continue
		}
		for range 200 {
			op := &ir.Op{Info: info, Attrs: randomAttrs(rng, info), Results: make([]*ir.Value, 1+rng.IntN(2))}
			require.NotPanics(t, func() { _, _ = eval.Op(op, randomOperands(rng)) }, info.Name)
		}
	}
}

var someTypes = []tensor.DType{tensor.F32, tensor.F32, tensor.F32, tensor.I64, tensor.I64, tensor.U8, tensor.F16, tensor.Bool, tensor.I4, tensor.String, tensor.C64}

func randomOperands(rng *rand.Rand) []hostop.Value {
	d := someTypes[rng.IntN(len(someTypes))]
	in := make([]hostop.Value, rng.IntN(6))
	for i := range in {
		if rng.IntN(4) == 0 {
			d = someTypes[rng.IntN(len(someTypes))]
		}
		shape := make([]int64, rng.IntN(5))
		for k := range shape {
			shape[k] = rng.Int64N(4)
		}
		x := tensor.New(d, shape...)
		switch {
		case d == tensor.I64:
			for k := range tensor.View[int64](x) {
				tensor.View[int64](x)[k] = rng.Int64N(7) - 3
			}
		case d != tensor.Bool:
			for k := range x.Data {
				x.Data[k] = byte(rng.IntN(256))
			}
		}
		switch rng.IntN(12) {
		case 0: // absent
		case 1:
			in[i] = hostop.Seq{x, x}
		default:
			in[i] = x
		}
	}
	return in
}

func randomAttrs(rng *rand.Rand, info *ir.OpInfo) ir.Attrs {
	a := ir.Attrs{}
	for n, k := range info.Attrs {
		if rng.IntN(2) == 0 {
			continue
		}
		ints := make([]int64, rng.IntN(5))
		floats := make([]float64, len(ints))
		strs := make([]string, len(ints))
		for i := range ints {
			ints[i], floats[i], strs[i] = rng.Int64N(5)-1, rng.Float64(), "LEAF"
		}
		a[n] = map[ir.AttrKind]any{
			ir.AttrInt: rng.Int64N(5) - 1, ir.AttrFloat: rng.Float64(), ir.AttrString: "linear", ir.AttrInts: ints, ir.AttrFloats: floats,
			ir.AttrStrs: strs, ir.AttrDType: someTypes[rng.IntN(len(someTypes))], ir.AttrData: ir.DataOf(tensor.Of(floats, int64(len(floats)))),
		}[k]
	}
	return a
}

// adder makes a module f32[2] -> x + x in which the input has a default.
func adder() *ir.Module {
	m := ir.NewModule("adder")
	x := m.Graph.AddParam(m.NewValue("x", ir.TensorType(tensor.F32, ir.Const(2))))
	op := m.NewOp("Add", []*ir.Value{x, x}, 1, nil, ir.Origin{})
	op.Results[0].Type = x.Type
	m.Graph.Ops = []*ir.Op{op}
	m.Graph.Results = op.Results
	m.Inputs, m.Outputs = []string{"x"}, []string{"y"}
	return m
}

func TestRun(t *testing.T) {
	m := adder()
	_, err := eval.Run(m, nil, eval.Options{})
	require.ErrorContains(t, err, `input "x" is missing`)
	m.Defaults["x"] = ir.DataOf(tensor.Of([]float32{1, 2}, 2))
	var traced []string
	out, err := eval.Run(m, nil, eval.Options{Trace: func(op *ir.Op, _ []hostop.Value) { traced = append(traced, op.Name()) }})
	require.NoError(t, err)
	require.Equal(t, tensor.Of([]float32{2, 4}, 2).Data, out[0].(*tensor.Tensor).Data)
	require.Equal(t, []string{"Add"}, traced)
	_, err = eval.Run(m, nil, eval.Options{MaxBytes: 15})
	require.ErrorContains(t, err, "bytes of tensors are alive")
}

// TestApply: ops in regions too are evaluated by the function that the options name.
func TestApply(t *testing.T) {
	m, err := ir.Parse(`module "m"
graph (%c: bool[], %x: f32[]) -> (%z) {
  %y = If(%c) region () -> (%a) {
  %a = Neg(%x)
  } region () -> (%x) {
  }
  %z = Neg(%y)
}`)
	require.NoError(t, err)
	twice := func(op *ir.Op, in []hostop.Value) ([]hostop.Value, error) {
		return []hostop.Value{tensor.Of([]float32{float32(2 * in[0].(*tensor.Tensor).At(0))})}, nil
	}
	out, err := eval.Run(m, []hostop.Value{tensor.Of([]bool{true}), tensor.Of([]float32{3})}, eval.Options{Apply: twice})
	require.NoError(t, err)
	require.EqualValues(t, 12, out[0].(*tensor.Tensor).At(0))
}

// TestLoopOfNone: with M <= 0 carried values pass through and scan outputs are empty.
func TestLoopOfNone(t *testing.T) {
	m := ir.NewModule("loop")
	n := m.Graph.AddParam(m.NewValue("n", ir.TensorType(tensor.I64)))
	x := m.Graph.AddParam(m.NewValue("x", ir.TensorType(tensor.F32, ir.Const(2))))
	op := m.NewOp("Loop", []*ir.Value{n, nil, x}, 2, nil, ir.Origin{})
	body := &ir.Region{}
	body.AddParam(m.NewValue("i", ir.TensorType(tensor.I64)))
	cond := body.AddParam(m.NewValue("c", ir.TensorType(tensor.Bool)))
	v := body.AddParam(m.NewValue("v", x.Type))
	sum := m.NewOp("Add", []*ir.Value{v, x}, 1, nil, ir.Origin{})
	sum.Results[0].Type = x.Type
	body.Ops, body.Results = []*ir.Op{sum}, []*ir.Value{cond, sum.Results[0], v}
	op.Regions = []*ir.Region{body}
	m.Graph.Ops, m.Graph.Results = []*ir.Op{op}, op.Results
	for _, c := range []struct {
		n    int64
		sum  []float32
		scan string
	}{{-1, []float32{1, 2}, "f32[0,2]"}, {0, []float32{1, 2}, "f32[0,2]"}, {3, []float32{4, 8}, "f32[3,2]"}} {
		out, err := eval.Run(m, []hostop.Value{tensor.Of([]int64{c.n}), tensor.Of([]float32{1, 2}, 2)}, eval.Options{})
		require.NoError(t, err)
		require.Equal(t, c.sum, tensor.View[float32](out[0].(*tensor.Tensor)))
		require.Equal(t, c.scan, out[1].(*tensor.Tensor).TypeString())
	}
}
