package filetest

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/nnc-go/nnc/internal/driver"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/hostop"
)

// Transformed runs the cases of the files that match a pattern on kernels that the evaluator of package loop runs,
// as lowering has made them for a level ("amd64/avx2") and as change leaves them, and wants the same bits.
func Transformed(t *testing.T, pattern, level string, change func(f *loop.Func) error) {
	files, err := filepath.Glob(pattern)
	require.NoError(t, err)
	require.NotEmpty(t, files, "no files match %s", pattern)
	for _, f := range files {
		a, err := txtar.ParseFile(f)
		require.NoError(t, err)
		for _, s := range a.Files {
			c, err := parseCase(string(s.Data))
			require.NoError(t, err, "%s: %s", f, s.Name)
			t.Run(filepath.Base(f)+"/"+s.Name, func(t *testing.T) { c.transformed(t, level, change) })
		}
	}
}

func (c *testCase) transformed(t *testing.T, level string, change func(f *loop.Func) error) {
	arch, cpu, _ := strings.Cut(level, "/")
	m, err := driver.CompileModule(context.Background(), c.module.Clone(), driver.Options{Target: arch, CPU: cpu, Backend: "llvm", NoOptimize: !c.optimize})
	if c.refused(t, err) {
		return
	}
	require.NoError(t, err)
	defer m.Close()
	want := c.evaluatedOutputs(t, m)
	for _, k := range m.Program.Kernels[0] {
		require.NoError(t, change(k))
		require.NoError(t, loop.Verify(k), "%v", k)
	}
	require.Equal(t, want, c.evaluatedOutputs(t, m))
}

// evaluatedOutputs runs the case with all sizes, and gives errors as text.
func (c *testCase) evaluatedOutputs(t *testing.T, m *driver.Compiled) (all []any) {
	e, err := m.LoadEvaluated(exec.Options{Threads: 1})
	require.NoError(t, err)
	defer e.Close()
	for i, dims := range c.bindings() {
		in, err := c.inputs(dims, uint64(i))
		require.NoError(t, err)
		out := make([]hostop.Value, len(c.module.Outputs))
		if err := e.Run(context.Background(), in, out); err != nil {
			all = append(all, err.Error())
			continue
		}
		all = append(all, out)
	}
	return all
}
