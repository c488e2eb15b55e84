//go:build linux

package driver

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/backend/llvm"
	"github.com/nnc-go/nnc/internal/testcase"
	"github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// runCase compiles a case and runs its data sets.
func runCase(t *testing.T, c testcase.Case, opts Options, tol testcase.Tolerance) {
	m, err := Compile(context.Background(), c.Model, opts)
	require.NoError(t, err)
	defer m.Close()
	l, err := m.Load(context.Background(), exec.Options{})
	require.NoError(t, err)
	defer l.Close()
	if len(m.Program.HostSteps) > 0 {
		t.Logf("host steps: %v", m.Program.HostSteps)
	}
	for _, set := range c.Sets {
		in, err := testcase.Files(set, "input")
		require.NoError(t, err)
		out, err := testcase.Files(set, "output")
		require.NoError(t, err)
		x, err := testcase.Read(in, m.Program.Plan.Inputs)
		require.NoError(t, err)
		want, err := testcase.Read(out, m.Program.Plan.Outputs)
		require.NoError(t, err)
		got := make([]hostop.Value, len(want))
		require.NoError(t, l.Run(context.Background(), x, got))
		for i := range want {
			tol := tol
			if w, ok := want[i].(*tensor.Tensor); ok && w.DType == tensor.F16 {
				tol.Rel = 5e-3
			}
			assert.Empty(t, testcase.Compare(got[i], want[i], tol), "%s output %s", set, m.Program.Plan.Outputs[i].Name)
		}
	}
}

// TestModels compiles the real models (or the cases in the folder NNC_CASES) for this machine and
// compares with the outputs beside them.
func TestModels(t *testing.T) {
	if _, err := llvm.New(); err != nil {
		t.Skip(err)
	}
	dir := "../../../shared/models"
	if d := os.Getenv("NNC_CASES"); d != "" {
		dir = d
	}
	cases, err := testcase.Find(dir)
	if err != nil {
		t.Skip("no ../shared/models: ", err)
	}
	for _, c := range cases {
		for _, o := range []struct {
			name string
			Options
		}{{"O", Options{CPU: "native"}}, {"O0", Options{CPU: "native", NoOptimize: true}}} {
			t.Run(c.Name+"/"+o.name, func(t *testing.T) { runCase(t, c, o.Options, testcase.Tolerance{Rel: 1e-3, Abs: 1e-4}) })
		}
	}
}
