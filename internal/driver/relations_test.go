package driver

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// TestRelations: dimensions that the model takes to be equal, and which are not, are an error that names both tensors.
func TestRelations(t *testing.T) {
	for _, c := range []struct {
		graph string
		a, b  []int64
		want  string
	}{
		{`graph (%a: f32[N,4], %b: f32[N,4]) -> (%c) { %c = Add(%a, %b) }`, []int64{3, 4}, []int64{5, 4},
			`input "b": wrong shape: got [5,4], want [N=3 of input "a",4]`},
		{`graph (%a: f32[N,K], %b: f32[L,5]) -> (%c) { %c = MatMul(%a, %b) }`, []int64{2, 3}, []int64{7, 5},
			`"a" f32[N,K], "b" f32[L,5]: the inner dimension of [N,K] and [L,5], K and L, differ): wrong shape: got 3, want 7`},
		{`graph (%a: f32[N,K], %b: f32[L,M]) -> (%c) { %c = Concat(%a, %b) {axis = 0} }`, []int64{2, 3}, []int64{4, 5},
			`"a" f32[N,K], "b" f32[L,M]: a dimension that is not joined, K and M, differ): wrong shape: got 3, want 5`},
		{`graph (%a: f32[N,C,9], %b: f32[6,D,3]) -> (%c) { %c = Conv(%a, %b) }`, []int64{1, 3, 9}, []int64{6, 4, 3}, `"a" f32[N,C,9], "b" f32[6,D,3]`},
		{`graph (%a: f32[N,M], %b: f32[N,K]) -> (%c) { %c = Add(%a, %b) }`, []int64{2, 1}, []int64{2, 3},
			`dimension K of "b", which is f32[N,K], broadcasts only as 1 to M, the result's, taken from "a", which is f32[N,M]; if M is to be 1, compile with it as a number (-shape)`},
	} {
		m, err := ir.Parse("module \"m\"\n" + c.graph)
		require.NoError(t, err)
		p, err := CompileModule(context.Background(), m, Options{CPU: "sse", Target: "amd64", Backend: "llvm"})
		require.NoError(t, err, c.graph)
		defer p.Close()
		l, err := p.LoadEvaluated(exec.Options{Threads: 1})
		require.NoError(t, err)
		defer l.Close()
		in := []hostop.Value{tensor.New(tensor.F32, c.a...), tensor.New(tensor.F32, c.b...)}
		require.ErrorContains(t, l.Run(context.Background(), in, make([]hostop.Value, 1)), c.want)
	}
}
