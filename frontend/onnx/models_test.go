package onnx

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/ir"
)

// sharedModels lists the model files below a folder of the shared data, and skips where it is absent.
func sharedModels(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("../../../shared", pattern))
	require.NoError(t, err)
	if len(paths) == 0 {
		t.Skipf("../shared/%s is absent", pattern)
	}
	return paths
}

// TestSharedModels imports every trained model.
func TestSharedModels(t *testing.T) {
	for _, p := range sharedModels(t, "models/*/model.onnx") {
		t.Run(filepath.Base(filepath.Dir(p)), func(t *testing.T) {
			m, rep, err := Load(p, Options{})
			require.NoError(t, err)
			for _, v := range m.Graph.Params {
				require.True(t, v.Type.Ranked, v.Name)
			}
			require.Len(t, m.Outputs, len(m.Graph.Results))
			m.Graph.Walk(func(op *ir.Op) {
				if op.Name() == "Const" {
					_, err := ir.ConstOf(op.Results[0]).Tensor()
					require.NoError(t, err)
				}
			})
			require.NoError(t, rep.Close())
			for _, w := range rep.Warnings {
				t.Log(w)
			}
		})
	}
}

// TestONNXModels imports the models of ONNX's own tests. What is refused must be refused for an operator
// that has no row, with the exceptions of those named here.
func TestONNXModels(t *testing.T) {
	if testing.Short() {
		t.Skip("1,900 models")
	}
	known := map[string]string{
		"test_affine_grid_3d_align_corners_expanded": "a branch that is never taken splits 4 into [-1, ...]",
		"test_affine_grid_3d_expanded":               "the same",
		"test_loop16_seq_none":                       "an optional becomes a sequence while it is carried",
	}
	unsupported, others := 0, 0
	paths := sharedModels(t, "onnx-tests/[nsp]*/*/model.onnx") // the light networks' files are no models
	for _, p := range paths {
		name := filepath.Base(filepath.Dir(p))
		_, rep, err := Load(p, Options{})
		var u *UnsupportedError
		switch {
		case errors.As(err, &u):
			unsupported++
		case err != nil && known[name] != "":
			others++
		default:
			require.NoError(t, err, name)
			require.NoError(t, rep.Close())
		}
	}
	t.Logf("%d models, %d with unsupported operators, %d refused otherwise", len(paths), unsupported, others)
}
