package exec_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// boxes is a model that gives its only input back.
func boxes(t *testing.T, typ string, optional bool) *exec.Model {
	p := &plan.Plan{Name: "boxes", Boxes: 1, Inputs: []plan.IO{{Name: "x", Type: typ, Optional: optional, Default: -1}}, Outputs: []plan.IO{{Name: "y", Type: typ, Default: -1}}}
	m, err := exec.New(p, nil, nil, exec.Options{Threads: 1})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	return m
}

func TestBoxedInputs(t *testing.T) {
	f := tensor.Of([]float32{1, 2}, 2)
	keys := tensor.OfStrings([]string{"a"}, 1)
	for _, c := range []struct {
		typ      string
		optional bool
		in       hostop.Value
		got      string // in the error, "" where there is none
	}{
		{"seq<f32[N]>", false, hostop.Seq{f, f}, ""},
		{"seq<f32[N]>", false, hostop.Seq{}, ""},
		{"seq<f32[N]>", false, f, "f32[2]"},
		{"seq<f32[N]>", false, nil, "nothing"},
		{"seq<f32[N]>", false, hostop.Seq{f, tensor.Of([]int64{1}, 1)}, "element 1: i64[1]"},
		{"seq<f32[N,max(N,M)]>", false, hostop.Seq{f}, "element 0: f32[2]"},
		{"seq<f32[...]>", false, hostop.Seq{f, tensor.Of([]float32{1})}, ""},
		{"seq<f32[3]>", false, hostop.Seq{f}, "element 0: f32[2]"},
		{"seq<f32[2]>", false, hostop.Seq{&tensor.Tensor{DType: tensor.F32, Shape: []int64{2}}}, "0 bytes"},
		{"seq<seq<f32[N]>>", false, hostop.Seq{hostop.Seq{f}}, ""},
		{"seq<seq<f32[N]>>", false, hostop.Seq{f}, "element 0: f32[2]"},
		{"opt<f32[N]>", true, nil, ""},
		{"opt<f32[N]>", true, f, ""},
		{"opt<seq<f32[N]>>", true, f, "f32[2]"},
		{"map<string,f32[N]>", false, &hostop.Map{Keys: keys, Values: hostop.Seq{f}}, ""},
		{"map<i64,f32[N]>", false, &hostop.Map{Keys: keys, Values: hostop.Seq{f}}, "a map"},
		{"f32[...]", false, f, ""},
		{"f32[...]", false, tensor.Of([]int64{1}, 1), "i64[1]"},
	} {
		out := make([]hostop.Value, 1)
		err := boxes(t, c.typ, c.optional).Run(context.Background(), []hostop.Value{c.in}, out)
		if c.got == "" {
			require.NoError(t, err, "%s of %T", c.typ, c.in)
			require.Equal(t, c.in, out[0])
			continue
		}
		require.ErrorIs(t, err, exec.ErrInput, c.typ)
		require.ErrorContains(t, err, c.got)
		require.ErrorContains(t, err, "want "+c.typ)
	}
}

// TestResultsAreTheCallers: a result shares no memory with an input, so that the caller may change either.
func TestResultsAreTheCallers(t *testing.T) {
	f := tensor.Of([]float32{1, 2}, 2)
	out := make([]hostop.Value, 1)
	require.NoError(t, boxes(t, "seq<f32[N]>", false).Run(context.Background(), []hostop.Value{hostop.Seq{f}}, out))
	tensor.View[float32](f)[0] = 9
	require.Equal(t, []float32{1, 2}, tensor.View[float32](out[0].(hostop.Seq)[0].(*tensor.Tensor)))
}

// TestUnaligned: what lies anywhere in the caller's memory comes to host operations where they can view it.
func TestUnaligned(t *testing.T) {
	b := tensor.AlignedBytes(16)[1:9:9]
	x := &tensor.Tensor{DType: tensor.F32, Shape: []int64{2}, Data: b}
	out := make([]hostop.Value, 1)
	require.NoError(t, boxes(t, "seq<f32[N]>", false).Run(context.Background(), []hostop.Value{hostop.Seq{x}}, out))
	require.True(t, tensor.IsAligned(out[0].(hostop.Seq)[0].(*tensor.Tensor).Data, tensor.F32))
}

// TestCancel: a loop without end ends with its context.
func TestCancel(t *testing.T) {
	p := &plan.Plan{Name: "forever", Steps: []plan.Step{{Kind: plan.StepJump, A: 0}}}
	m, err := exec.New(p, nil, nil, exec.Options{Threads: 1})
	require.NoError(t, err)
	defer m.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, m.Run(ctx, nil, nil), context.DeadlineExceeded)
}

// TestDerived: after a slot is bound, those that follow from it are computed anew, and no others.
func TestDerived(t *testing.T) {
	p := &plan.Plan{
		Name:    "derived",
		Outputs: []plan.IO{{Name: "y", DType: tensor.U8, Shape: []plan.Slot{4}, Dims: []string{"?"}, Default: -1}},
		Slots: []plan.SlotDef{
			{Op: plan.SlotConst, Imm: 3}, {Op: plan.SlotBound}, {Op: plan.SlotMul, A: 1, B: 0},
			{Op: plan.SlotConst, Imm: 20}, {Op: plan.SlotAdd, A: 2, B: 3},
		},
		Bufs: []plan.Buf{{Kind: plan.BufOutput, Bytes: 4}},
		Steps: []plan.Step{
			{Kind: plan.StepSetSlot, A: 1, B: 0}, {Kind: plan.StepEval, A: 1, B: -1},
			{Kind: plan.StepSetSlot, A: 1, B: 3}, {Kind: plan.StepEval, A: 2, B: -1},
			{Kind: plan.StepAlloc, A: 0},
		},
	}
	m, err := exec.New(p, nil, nil, exec.Options{Threads: 1})
	require.NoError(t, err)
	defer m.Close()
	out := make([]hostop.Value, 1)
	require.NoError(t, m.Run(context.Background(), nil, out))
	require.Equal(t, []int64{80}, out[0].(*tensor.Tensor).Shape)
}
