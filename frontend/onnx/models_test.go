package onnx

import (
	"os"
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

// TestONNXModels imports the models of ONNX's own tests and counts what is not supported.
func TestONNXModels(t *testing.T) {
	if testing.Short() {
		t.Skip("1,900 models")
	}
	paths := sharedModels(t, "onnx-tests/*/*/model.onnx")
	unsupported := 0
	for _, p := range paths {
		if fi, err := os.Stat(p); err != nil || fi.Size() > 64<<20 {
			continue
		}
		_, rep, err := Load(p, Options{})
		if _, ok := err.(interface{ Unwrap() []error }); ok || err != nil {
			unsupported++
			t.Log(err)
			continue
		}
		require.NoError(t, rep.Close())
	}
	t.Logf("%d models, %d refused", len(paths), unsupported)
}
