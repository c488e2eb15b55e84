package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"
)

// packages are the folders of the Go tests that docs/semantics.md names.
var packages = map[string]string{"onnx": "frontend/onnx", "driver": "internal/driver"}

// TestEveryRuleHasATest: the rows of docs/semantics.md name tests that are there, and every file of
// testdata/semantics stands in a row.
func TestEveryRuleHasATest(t *testing.T) {
	doc, err := os.ReadFile(root + "/docs/semantics.md")
	require.NoError(t, err)
	_, table, ok := strings.Cut(string(doc), "|---|---|---|\n")
	require.True(t, ok, "no table")
	var named []string
	for _, line := range strings.Split(strings.TrimSpace(table), "\n") {
		cells := strings.Split(strings.Trim(line, "|"), "|")
		require.Len(t, cells, 3, line)
		for _, test := range strings.Split(strings.TrimSpace(cells[2]), ", ") {
			if pkg, name, ok := strings.Cut(test, "."); ok {
				require.Regexp(t, `(?m)^func `+regexp.QuoteMeta(name)+`\(t `, goTests(t, packages[pkg]), "%s: there is no %s", cells[0], test)
				continue
			}
			checkRule(t, test)
			named = append(named, test)
		}
	}
	files, err := filepath.Glob(root + "/testdata/semantics/*.nir")
	require.NoError(t, err)
	for _, f := range files {
		require.Contains(t, named, strings.TrimSuffix(filepath.Base(f), ".nir"), "docs/semantics.md does not name it")
	}
}

// checkRule wants a text test that says what a rule gives, or that it gives an error: runs that are only
// compared with each other may all be wrong in the same way.
func checkRule(t *testing.T, name string) {
	a, err := txtar.ParseFile(root + "/testdata/semantics/" + name + ".nir")
	require.NoError(t, err)
	says := func(f txtar.File) bool {
		s := string(f.Data)
		return strings.Contains(s, "#! out ") || strings.Contains(s, "#! error ")
	}
	require.True(t, slices.ContainsFunc(a.Files, says), "testdata/semantics/%s.nir: no case says what is expected", name)
}

// goTests is the text of a folder's tests.
func goTests(t *testing.T, dir string) string {
	files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
	require.NoError(t, err)
	var all strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		all.Write(b)
	}
	return all.String()
}
