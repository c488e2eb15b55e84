package filetest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/nnc-go/nnc/backend/goasm/purego"
	"github.com/nnc-go/nnc/internal/driver"
	"github.com/nnc-go/nnc/ir/loop"
	run "github.com/nnc-go/nnc/runtime/exec"
)

// pure are the kernels of all cases as Go functions, by their text. It is nil but in the program that TestPurego
// makes, which has a file more: the kernels.
var pure map[string]driver.Kernel

// TestPurego runs all cases with kernels rendered as Go. It lowers them, and tests this package again with the
// kernels compiled in.
func TestPurego(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the kernels of all cases")
	}
	if pure != nil {
		eachCase(t, func(t *testing.T, c *testCase) {
			c.elsewhere(t, "portable/purego", c.runs(t), func(m *driver.Compiled) (*run.Model, error) {
				return m.LoadFuncs(run.Options{Threads: 2}, func(f *loop.Func) driver.Kernel {
					k := pure[textOf(f)]
					require.NotNil(t, k, "no Go function for %s", f.Name)
					return k
				})
			})
		})
		return
	}
	var funcs []*loop.Func
	known := map[string]bool{}
	eachCase(t, func(t *testing.T, c *testCase) {
		m, err := c.compileFor("portable/purego")
		if c.refused(t, err) {
			return
		}
		require.NoError(t, err)
		defer m.Close()
		for _, f := range m.Program.Kernels[0] {
			if text := textOf(f); !known[text] {
				known[text] = true
				g := *f
				g.Name = fmt.Sprintf("%s_%d", f.Name, len(funcs))
				funcs = append(funcs, &g)
			}
		}
	})
	testAgain(t, funcs)
}

// testAgain runs TestPurego in a program with the functions in it.
func testAgain(t *testing.T, funcs []*loop.Func) {
	dir := t.TempDir()
	src, err := purego.Render("filetest", "", funcs)
	require.NoError(t, err)
	var table strings.Builder
	fmt.Fprintf(&table, "package filetest\n\nimport %q\n\nfunc init() {\npure = map[string]driver.Kernel{\n", "github.com/nnc-go/nnc/internal/driver")
	for i, f := range funcs {
		fmt.Fprintf(&table, "%q: %s[%d],\n", textOf(f), purego.Table, i)
	}
	table.WriteString("}\n}\n")
	here, err := os.Getwd()
	require.NoError(t, err)
	replace := map[string]string{}
	for name, data := range map[string][]byte{"zkernels_test.go": src, "ztable_test.go": []byte(table.String())} {
		replace[filepath.Join(here, name)] = filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	file := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(file, overlay, 0o644))
	cmd := exec.Command("go", "test", "-v", "-count=1", "-vet=off", "-overlay="+file, "-run=^TestPurego$", "-timeout=20m", ".")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: TestPurego/", "no case ran")
	t.Logf("%d kernels, %d bytes of Go", len(funcs), len(src))
}

// eachCase calls f for all cases of all files that can be parsed; TestOps complains of others.
func eachCase(t *testing.T, f func(t *testing.T, c *testCase)) {
	files, err := filepath.Glob(opsFiles)
	require.NoError(t, err)
	for _, path := range files {
		a, err := txtar.ParseFile(path)
		require.NoError(t, err)
		for _, s := range a.Files {
			if c, err := parseCase(string(s.Data)); err == nil {
				t.Run(strings.TrimSuffix(filepath.Base(path), ".nir")+"/"+s.Name, func(t *testing.T) { f(t, c) })
			}
		}
	}
}

// textOf is what a kernel does, without its name.
func textOf(f *loop.Func) string {
	g := *f
	g.Name, g.Comment = "k", ""
	return g.String()
}
