package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"unsafe"

	"github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/runtime/tensorio"
	"github.com/nnc-go/nnc/runtime/weights"
	"github.com/stretchr/testify/require"
)

// product is out = a - b, for f32[N], with a kernel written in Go.
func product() Info {
	io := func(name string) plan.IO {
		return plan.IO{Name: name, DType: tensor.F32, Shape: []int32{0}, Dims: []string{"N"}, Default: -1}
	}
	arg := func(n int32) plan.Arg { return plan.Arg{Kind: plan.ArgBuf, N: n, Off: -1} }
	buf := func(k plan.BufKind, i int32) plan.Buf { return plan.Buf{Kind: k, Index: i, Bytes: 2} }
	return Info{
		Plan: &plan.Plan{
			Name: "sub", Inputs: []plan.IO{io("a"), io("b")}, Outputs: []plan.IO{io("../out"), io(".. out")},
			Slots: []plan.SlotDef{{Op: plan.SlotInput}, {Op: plan.SlotConst, Imm: 4}, {Op: plan.SlotMul, A: 0, B: 1}},
			Bufs:  []plan.Buf{buf(plan.BufInput, 0), buf(plan.BufInput, 1), buf(plan.BufOutput, 0), buf(plan.BufOutput, 1)},
			Steps: []plan.Step{
				{Name: "Sub", Args: []plan.Arg{arg(0), arg(1), arg(2)}, Par: []int32{0}, Grain: 1 << 20, Flops: 0, MemBytes: -1},
				{Name: "Sub2", Args: []plan.Arg{arg(0), arg(1), arg(3)}, Par: []int32{0}, Grain: 1 << 20, Flops: -1, MemBytes: -1},
			},
			ArenaSize: -1, Kernels: []string{"sub"},
		},
		Levels: []exec.Level{{Name: "go", Kernels: []uintptr{1}, Enter: func(_ uintptr, args *int64, lo, hi int64) {
			p := unsafe.Slice((*unsafe.Pointer)(unsafe.Pointer(args)), 3)
			at := func(i int, j int64) *float32 { return (*float32)(unsafe.Add(p[i], 4*j)) }
			for j := lo; j < hi; j++ {
				*at(2, j) = *at(0, j) - *at(1, j)
			}
		}}},
		Version: "1.2.3", HostOps: []string{"NonZero n1"},
		Weights: func() (*weights.Data, error) { return weights.FromBytes(nil), nil },
	}
}

func run(t *testing.T, code int, args ...string) (out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	got := Run(product(), append([]string{"/x/sub"}, args...), &o, &e)
	require.Equal(t, code, got, "%s%s", o.String(), e.String())
	if code == 0 {
		require.Empty(t, e.String())
	} else {
		require.NotEmpty(t, e.String())
	}
	return o.String(), e.String()
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	a, b, out := filepath.Join(dir, "a.npy"), filepath.Join(dir, "b.pb"), filepath.Join(dir, "o")
	require.NoError(t, tensorio.WriteFile(a, tensor.Of([]float32{5, 7, 9}, 3)))
	require.NoError(t, tensorio.WriteFile(b, tensor.Of([]float32{1, 2, 3}, 3)))
	for _, args := range [][]string{
		{"run", "-input=" + a, b}, {a, b}, {"-input=b=" + b, a}, {"run", "--input", a, "--input=" + b}, {"b=" + b, "--", a},
		{"-threads=2", a, "-input", b},
	} {
		for _, format := range []string{"npy", "pb", "json"} {
			run(t, 0, slices.Concat(args[:1], []string{"-output-dir=" + out, "-output-format", format}, args[1:])...)
			name := map[string]string{"npy": "_.._out", "pb": "output_0", "json": "output_0"}[format]
			v, err := tensorio.ReadFile(filepath.Join(out, name+"."+format), tensorio.Want{})
			require.NoError(t, err)
			require.Equal(t, []float32{4, 5, 6}, tensor.View[float32](v.(*tensor.Tensor)), args)
			require.NoError(t, os.RemoveAll(out))
		}
	}
	o, _ := run(t, 0, a, b)
	require.Contains(t, o, "f32[3]  min 4  max 6  mean 5  argmax 2\n  4 5 6\n")
	o, _ = run(t, 0, "-profile", "-random=1", "-dim=N=1000", "-max-memory", "1G")
	require.Contains(t, o, "f32[1000]")
	require.Contains(t, o, "Sub2")
	again, _ := run(t, 0, "-random=1", "-dim=N=1000")
	require.Contains(t, o, again)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "r.bin"), make([]byte, 12), 0o600))
	run(t, 0, a, filepath.Join(dir, "r.bin"))
}

func TestWrongUsage(t *testing.T) {
	dir := t.TempDir()
	a, bad := filepath.Join(dir, "a.npy"), filepath.Join(dir, "bad.npy")
	require.NoError(t, tensorio.WriteFile(a, tensor.Of([]float32{5, 7, 9}, 3)))
	require.NoError(t, os.WriteFile(bad, []byte("x"), 0o600))
	out := filepath.Join(dir, "out")
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{2, `no file for input "a"`, nil},
		{2, `no file for input "b"`, []string{a}},
		{2, "the model has 2", []string{a, a, a}},
		{2, "two files", []string{"a=" + a, "a=" + a, "-random=1"}},
		{2, "not defined", []string{"-nope"}},
		{2, "want npy, pb or json", []string{a, a, "-output-format=zip"}},
		{2, "positive number", []string{"-max-memory=0"}},
		{2, "takes no arguments", []string{"info", "x"}},
		{2, "too large", []string{"-random=1", "-dim=N=9000000000000000000"}},
		{2, "no input \"c\"", []string{"c=" + a, a}},
		{1, "no such file", []string{a, filepath.Join(dir, "none.npy")}},
		{1, "malformed", []string{a, bad}},
		{1, "at most 1024 bytes", []string{"-random=1", "-dim=N=200", "-max-memory=1K"}},
		{1, "level", []string{a, a, "-cpu=z80"}},
	} {
		if !slices.Contains(c.args, "info") {
			c.args = append(c.args, "-output-dir="+out)
		}
		_, e := run(t, c.code, c.args...)
		require.Contains(t, e, c.says, c.args)
		require.NoDirExists(t, out)
	}
}

func TestInfoBenchHelp(t *testing.T) {
	o, _ := run(t, 0, "-h")
	require.Contains(t, o, "sub run -input a=a.npy -input b=b.npy -output-dir out")
	o, _ = run(t, 0, "run", "-h")
	require.Contains(t, o, "Example:")
	o, _ = run(t, 0, "info")
	require.Contains(t, o, "NonZero n1")
	o, _ = run(t, 0, "info", "-json")
	var i about
	require.NoError(t, json.Unmarshal([]byte(o), &i))
	require.Equal(t, "go", i.Level)
	require.Equal(t, []string{"N"}, i.Inputs[1].Dims)
	o, _ = run(t, 0, "bench", "-json", "-iterations=20", "-time=0", "-dim=N=100000")
	var r map[string]any
	require.NoError(t, json.Unmarshal([]byte(o), &r))
	for _, k := range []string{"p50_ms", "p90_ms", "p99_ms", "mean_ms", "min_ms", "cov", "load_ms", "first_ms", "peak_rss_bytes", "threads", "cpu", "iterations", "model"} {
		require.Contains(t, r, k)
	}
	require.Equal(t, 20.0, r["iterations"])
}

func TestInnermost(t *testing.T) {
	for typ, want := range map[string]tensor.DType{"seq<f32[2,3]>": tensor.F32, "map<string,f64[...]>": tensor.F64, "seq<map<i64,string[]>>": tensor.String, "opt<seq<i64[...]>>": tensor.I64, "seq<?>": tensor.Invalid} {
		require.Equal(t, want, innermost(typ), typ)
	}
}

func TestProfile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trace.json")
	limits := []string{"-dim=N=1000", "-peak-gflops=10", "-peak-gbps=20"}
	o, _ := run(t, 0, append([]string{"profile", "-json", "-time=0", "-trace", file}, limits...)...)
	var p profile
	require.NoError(t, json.Unmarshal([]byte(o), &p))
	require.Equal(t, profileRuns, p.Runs)
	require.Len(t, p.Steps, 2)
	require.Equal(t, "Sub sub", p.Steps[0].Op)
	require.Len(t, p.Ops, 2)
	s := p.Steps[0]
	require.EqualValues(t, 1000, s.FLOPs) // the plan says: slot 0, N
	require.Equal(t, "flops", s.Limit)
	require.InDelta(t, 1000/10/1e6/s.MS, s.Roof, 1e-9)
	require.Zero(t, p.Steps[1].Roof, "the plan does not know its operations")
	require.EqualValues(t, 1000, p.Total.FLOPs)

	b, err := os.ReadFile(file)
	require.NoError(t, err)
	var trace struct{ TraceEvents []traceEvent }
	require.NoError(t, json.Unmarshal(b, &trace))
	require.Len(t, trace.TraceEvents, 4, "two say what the process and the thread are")
	first, second := trace.TraceEvents[2], trace.TraceEvents[3]
	require.Equal(t, "X", first.Phase)
	require.LessOrEqual(t, first.Start+first.Time, second.Start+1e-3, "steps follow each other")

	for _, command := range []string{"profile", "bench", "run"} {
		args := append([]string{command, "-random=1", "-iterations=1", "-time=0", "-profile"}, limits...)
		switch command {
		case "profile":
			args = slices.DeleteFunc(args, func(s string) bool { return s == "-profile" })
		case "run":
			args = slices.DeleteFunc(args, func(s string) bool { return s == "-iterations=1" || s == "-time=0" })
		}
		o, _ := run(t, 0, args...)
		require.Regexp(t, `median of [15] runs; limits 10\.0 GFLOP/s, 20\.0 GB/s`, o, command)
		require.Regexp(t, `(?m)^ +0 +1 .* flops +Sub sub $`, o, command)
	}
	_, e := run(t, 1, "profile", "-trace", filepath.Join(t.TempDir(), "absent", "trace.json"))
	require.Contains(t, e, "-trace")
	run(t, 2, "profile", "-iterations=0")
}
