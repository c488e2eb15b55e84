package lower_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/lower"
	"github.com/nnc-go/nnc/target"
)

// TestUnsupportedListsAll: every op without code is named at once, with its node.
func TestUnsupportedListsAll(t *testing.T) {
	m, err := ir.Parse(`module "m"
graph (%x: string[3], %y: f32[2]) -> (%d, %e, %f) {
  %d = StringConcat(%x, %x) @ "first" StringConcat ai.onnx 20
  %e = RegexFullMatch(%x) {pattern = "a"} @ "second" RegexFullMatch ai.onnx 20
  %f = Neg(%y) @ "third" Neg ai.onnx 13
}`)
	require.NoError(t, err)
	_, err = ir.Infer(m)
	require.NoError(t, err)
	w, err := lower.NewWeights(t.TempDir())
	require.NoError(t, err)
	defer w.Close()
	a := target.Archs[0]
	_, err = lower.Lower(m, &target.Target{OS: "linux", Arch: a, Levels: a.Levels}, w, lower.Options{HasHost: func(string) bool { return false }})
	require.Error(t, err)
	for _, s := range []string{"2 nodes are not supported", `StringConcat "first" (ai.onnx 20) with operands (string[3], string[3])`, `RegexFullMatch "second" (ai.onnx 20)`, "nnc ops"} {
		require.ErrorContains(t, err, s)
	}
}
