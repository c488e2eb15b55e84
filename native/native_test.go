package native

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/owulveryck/onnx-go/backend/testbackend"
	_ "github.com/owulveryck/onnx-go/backend/testbackend/onnx"
	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/backend/llvm"
	"github.com/nnc-go/nnc/frontend/onnxgo"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// TestSuite runs a part of onnx-go's suite on compiled code; all of it runs in package onnxgo.
func TestSuite(t *testing.T) {
	if _, err := llvm.New(); err != nil {
		t.Skip(err)
	}
	tests := testbackend.FindAllTestsMatching(regexp.MustCompile("^Test(AddBcast|BasicConvWithPadding|GemmNobroadcast|MaxpoolWithArgmax2dPrecomputedPads|SoftmaxAxis1|TransposeDefault|GatherNegativeIndices|Concat3dAxis1|LstmDefaults|WhereExample)$"))
	slices.SortFunc(tests, func(a, b func() *testbackend.TestCase) int { return strings.Compare(a().Title, b().Title) })
	require.Greater(t, len(tests), 5)
	for _, test := range tests {
		tc := test()
		compiled := false
		g := onnxgo.NewGraph(func(m *ir.Module) (onnxgo.Program, error) {
			compiled = true
			return compile(m)
		})
		t.Run(tc.Title, tc.RunTest(g, false))
		require.True(t, compiled, tc.Title)
	}
}

// TestFallback: without LLVM models run all the same.
func TestFallback(t *testing.T) {
	m, err := ir.Parse("module \"m\"\ngraph (%x: f32[2]) -> (%y) {\n %y = Neg(%x)\n}\n")
	require.NoError(t, err)
	p, err := compileOrEvaluate(m, func(*ir.Module) (onnxgo.Program, error) { return nil, llvm.ErrNotFound })
	require.NoError(t, err)
	out, err := p([]hostop.Value{tensor.Of([]float32{1, -2}, 2)})
	require.NoError(t, err)
	require.Equal(t, []float32{-1, 2}, tensor.View[float32](out[0].(*tensor.Tensor)))
}
