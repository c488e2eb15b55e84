package lower_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/nnc-go/nnc/internal/filetest"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/lower"
	"github.com/nnc-go/nnc/runtime/abi"
	"github.com/nnc-go/nnc/target"
)

// TestData holds kernels of the ops that work on indices, quantised tensors and trees against the evaluator.
func TestData(t *testing.T) { filetest.Run(t, "testdata/*.nir") }

// TestDataCompiled checks that those cases are compiled for all levels: without host functions, lowering
// would fail.
func TestDataCompiled(t *testing.T) {
	files, err := filepath.Glob("testdata/*.nir")
	require.NoError(t, err)
	tg, err := target.Parse("amd64", "", false, "linux", "amd64", abi.HasFeatures)
	require.NoError(t, err)
	for _, f := range files {
		a, err := txtar.ParseFile(f)
		require.NoError(t, err)
		for _, s := range a.Files {
			m, err := ir.Parse(string(s.Data))
			require.NoError(t, err, "%s: %s", f, s.Name)
			w, err := lower.NewWeights(t.TempDir())
			require.NoError(t, err)
			p, err := lower.Lower(m, tg, w, lower.Options{})
			require.NoError(t, err, "%s: %s", f, s.Name)
			for _, level := range p.Kernels {
				for _, k := range level {
					require.NoError(t, loop.Verify(k), "%s: %s", f, s.Name)
				}
			}
			require.NoError(t, w.Close())
		}
	}
}
