// Package archtest holds the architecture of nnc as tests: who may import whom, and that no op of the
// table is forgotten.
package archtest

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/eval"
	"github.com/nnc-go/nnc/lower"
	"github.com/nnc-go/nnc/passes"
)

const (
	root   = "../.."
	module = "github.com/nnc-go/nnc"
)

// imports lists for every folder with Go files, relative to the root, what its files import, tests left
// out. A package of this module is "./" and its folder.
func imports(t *testing.T) map[string][]string {
	all := map[string][]string{}
	require.NoError(t, filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		dir = filepath.ToSlash(dir)
		for _, i := range f.Imports {
			p := strings.Trim(i.Path.Value, `"`)
			if own, ok := strings.CutPrefix(p, module+"/"); ok {
				p = "./" + own
			}
			all[dir] = append(all[dir], p)
		}
		return nil
	}))
	return all
}

func under(pkg, dir string) bool { return pkg == dir || strings.HasPrefix(pkg, dir+"/") }

// forbidden says what a folder and those below it may not import, and why.
var forbidden = []struct {
	from string
	to   []string
	why  string
}{
	{"ir", []string{"frontend", "passes", "lower", "backend", "build", "cmd", "internal"}, "the IR knows nothing of those who make and use it"},
	{"target", []string{"ir", "frontend", "passes", "lower", "backend", "build", "cmd", "internal"}, "machines are data"},
	{"frontend", []string{"passes", "lower", "backend", "build", "cmd", "internal/driver"}, "a frontend only makes IR"},
	{"passes", []string{"frontend", "lower", "backend", "build", "cmd", "internal/driver"}, "passes work on IR alone"},
	{"lower", []string{"frontend", "passes", "backend", "build", "cmd", "internal/driver"}, "lowering comes after the passes and before a backend"},
	{"backend", []string{"frontend", "passes", "lower", "build", "cmd", "internal/driver"}, "a backend sees kernels alone"},
	{"ir/loop", []string{"ir/eval"}, "kernels know nothing of tensors' ops"},
}

func TestImportDirections(t *testing.T) {
	all := imports(t)
	require.Contains(t, all, "ir")
	for dir, list := range all {
		for _, f := range forbidden {
			if !under(dir, f.from) {
				continue
			}
			for _, p := range list {
				bad := slices.ContainsFunc(f.to, func(to string) bool { return under(p, "./"+to) })
				require.False(t, bad, "%s imports %s: %s", dir, p, f.why)
			}
		}
	}
}

// TestRuntimeIsSelfContained: products copy the runtime, and must build without any other module.
func TestRuntimeIsSelfContained(t *testing.T) {
	for dir, list := range imports(t) {
		if !under(dir, "runtime") {
			continue
		}
		for _, p := range list {
			first, _, _ := strings.Cut(p, "/")
			std := first != "." && !strings.Contains(first, ".")
			require.True(t, std || under(p, "./runtime"), "%s imports %s; the runtime may import the standard library and itself", dir, p)
		}
	}
}

// control are the ops that the evaluator runs without a function of their own, since they hold regions
// or a constant.
var control = []string{"Const", "Fused", "If", "Loop", "Scan", "SequenceMap"}

// TestEveryOpRuns: an op of the table has a lowering, a rule that writes it as others, or a host function.
func TestEveryOpRuns(t *testing.T) {
	for _, op := range ir.Ops() {
		require.True(t, passes.Expands(op.Name) || lower.Compiled(op.Name) || eval.Lookup(op.Name) != nil, "%s has no lowering, rule or host function", op.Name)
		if op.Regions > 0 {
			require.Contains(t, control, op.Name, "an op with regions that the evaluator does not know")
		}
	}
}
