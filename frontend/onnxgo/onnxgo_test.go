package onnxgo_test

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/owulveryck/onnx-go"
	"github.com/owulveryck/onnx-go/backend"
	"github.com/owulveryck/onnx-go/backend/testbackend"
	_ "github.com/owulveryck/onnx-go/backend/testbackend/onnx"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/nnc-go/nnc/frontend/onnxgo"
)

var _ backend.ComputationBackend = (*onnxgo.Graph)(nil)

// excluded are the cases of onnx-go's suite that do not run, by regular expressions for whole titles, with
// the reason.
var excluded = map[string]string{
	"TestScan9Sum": "onnx-go does not decode attributes that are graphs",
	"TestModBroadcast|TestTopK|TestSliceEndOutOfBounds|TestSliceNeg|TestNonmaxsuppression.*": "the suite has lost an operand of integers: it gives f32[1] in its place",
	"TestSize|TestSizeExample": "the suite wants the scalar result as a vector of one element",
	"TestReduce(L1|Prod|Sum|SumSquare)DefaultAxesKeepdimsRandom|TestPow": "the suite allows 1e-6 where a unit in the last place of the result is more",
	"TestRoialign": "the suite has the results to four digits and allows 1e-6",
	"TestResizeNearest|TestResizeDownsampleNearest": "before opset 11 shrinking to the nearest element was not defined; the suite rounds up",
}

func reasonOf(title string) string {
	for re, why := range excluded {
		if regexp.MustCompile("^(" + re + ")$").MatchString(title) {
			return why
		}
	}
	return ""
}

// TestSuite runs onnx-go's suite, which it made of ONNX's cases for operators.
func TestSuite(t *testing.T) {
	tests := testbackend.GetAllRegisteredTests()
	require.NotEmpty(t, tests)
	slices.SortFunc(tests, func(a, b func() *testbackend.TestCase) int { return strings.Compare(a().Title, b().Title) })
	used, passed := map[string]bool{}, 0
	for _, test := range tests {
		tc := test()
		if why := reasonOf(tc.Title); why != "" {
			used[why] = true
			continue
		}
		if t.Run(tc.Title, tc.RunTest(onnxgo.NewGraph(nil), false)) {
			passed++
		}
		require.False(t, tc.Skipped, "%s was skipped", tc.Title)
	}
	for re, why := range excluded {
		require.True(t, used[why], "%s excludes no case", re)
	}
	t.Logf("%d of %d cases pass", passed, len(tests))
}

// TestInputs: a model runs again with other inputs of another type and shape, and says what is wrong with them.
func TestInputs(t *testing.T) {
	tc := testbackend.FindAllTestsMatching(regexp.MustCompile("^TestAddBcast$"))[0]()
	g := onnxgo.NewGraph(nil)
	m := onnx.NewModel(g)
	require.NoError(t, m.UnmarshalBinary(tc.ModelB))
	run := func(x, y tensor.Tensor) (tensor.Tensor, error) {
		require.NoError(t, m.SetInput(0, x))
		require.NoError(t, m.SetInput(1, y))
		if err := g.Run(); err != nil {
			return nil, err
		}
		out, err := m.GetOutputTensors()
		require.NoError(t, err)
		require.Len(t, out, 1)
		return out[0], nil
	}
	for range 2 {
		z, err := run(tensor.New(tensor.WithBacking([]float32{1, 2}), tensor.WithShape(2)), tensor.New(tensor.FromScalar(float32(3))))
		require.NoError(t, err)
		require.Equal(t, []float32{4, 5}, z.Data())
		z, err = run(tensor.New(tensor.WithBacking([]int64{1, 2}), tensor.WithShape(2, 1)), tensor.New(tensor.WithBacking([]int64{10, 20}), tensor.WithShape(2)))
		require.NoError(t, err)
		require.Equal(t, []int64{11, 21, 12, 22}, z.Data())
	}
	_, err := run(tensor.New(tensor.WithBacking([]float32{1, 2}), tensor.WithShape(2)), tensor.New(tensor.WithBacking([]float32{1, 2, 3}), tensor.WithShape(3)))
	require.ErrorContains(t, err, "broadcast")
}

// TestNotImplemented: what nnc lacks is onnx-go's own error.
func TestNotImplemented(t *testing.T) {
	tc := testbackend.FindAllTestsMatching(regexp.MustCompile("^TestAddBcast$"))[0]()
	g := onnxgo.NewGraph(nil)
	m := onnx.NewModel(g)
	require.NoError(t, m.UnmarshalBinary(bytes.ReplaceAll(tc.ModelB, []byte("\"\x03Add"), []byte("\"\x03Adx"))))
	for i, x := range tc.Input {
		require.NoError(t, m.SetInput(i, x))
	}
	var missing *onnx.ErrNotImplemented
	require.ErrorAs(t, g.Run(), &missing)
	require.Equal(t, "Adx", missing.Operator)
}
