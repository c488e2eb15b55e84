package conformance

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/backend/llvm"
	"github.com/nnc-go/nnc/frontend/onnx"
	"github.com/nnc-go/nnc/internal/driver"
	"github.com/nnc-go/nnc/internal/testcase"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/runtime/tensorio"
)

func examples(t *testing.T) []testcase.Case {
	cases, err := testcase.Find("../../examples")
	require.NoError(t, err)
	require.Len(t, cases, 2)
	return cases
}

func ways(t *testing.T) map[string]Way {
	w := map[string]Way{"evaluated": Evaluated(onnx.Options{})}
	if _, err := llvm.New(); err == nil {
		w["compiled"] = Compiled(driver.Options{CPU: "native"})
	} else {
		t.Log("not compiled: ", err)
	}
	return w
}

// TestWays: each way passes the examples, and none passes when the tolerance or the expected output is wrong.
func TestWays(t *testing.T) {
	for name, way := range ways(t) {
		for _, c := range examples(t) {
			_, err := way(context.Background(), c, testcase.Tolerance{Rel: 1e-3, Abs: 1e-5})
			require.NoError(t, err, "%s %s", name, c.Name)

			wrong := c
			dir := t.TempDir()
			copyFile(t, filepath.Join(c.Sets[0], "input_0.pb"), filepath.Join(dir, "input_0.pb"))
			copyFile(t, filepath.Join(c.Sets[0], "input_0.pb"), filepath.Join(dir, "output_0.pb"))
			wrong.Sets = []string{dir}
			_, err = way(context.Background(), wrong, testcase.Default)
			require.ErrorContains(t, err, "want", "%s %s", name, c.Name)
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	b, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, b, 0o644))
}

func TestKnown(t *testing.T) {
	k, err := parseKnown(strings.NewReader("# none\n\ntest_a # reason\ntest_b  rtol=1e-2 atol=0.5\n"))
	require.NoError(t, err)
	require.True(t, k.Fails("test_a"))
	require.False(t, k.Fails("test_b"))
	require.False(t, k.Fails("test_c"))
	tol, ok := k.Tolerance("test_b")
	require.True(t, ok)
	require.Equal(t, testcase.Tolerance{Rel: 1e-2, Abs: 0.5}, tol)
	_, ok = k.Tolerance("test_a")
	require.False(t, ok)
	for _, bad := range []string{"a\na", "a rtol=1", "a b", "a rtol=x atol=1"} {
		_, err := parseKnown(strings.NewReader(bad))
		require.Error(t, err, bad)
	}
	_, err = ReadKnown("onnx.txt")
	require.NoError(t, err)
}

func TestTable(t *testing.T) {
	table := Table{}
	for i, c := range examples(t) {
		require.NoError(t, table.Add(c, i == 0, []string{"Gemm some_node"}))
	}
	n := 0
	for _, r := range table.Rows() {
		require.Positive(t, r.Cases)
		if r.Op == "Gemm" {
			n++
			require.Equal(t, Count{Op: "Gemm", Cases: 2, Passed: 1, Host: 2}, *r)
		}
	}
	require.Equal(t, 1, n)
}

// TestSample: the sample covers what can be covered, and is as large as asked for.
func TestSample(t *testing.T) {
	cases := examples(t)
	all := append(append([]testcase.Case{}, cases[0], cases[0], cases[0]), cases[1])
	s, err := Sample(all, 2)
	require.NoError(t, err)
	require.Equal(t, []testcase.Case{cases[0], cases[1]}, s)
	s, err = Sample(all, 3)
	require.NoError(t, err)
	require.Len(t, s, 3)
	s, err = Sample(all, 9)
	require.NoError(t, err)
	require.Equal(t, all, s)
}

// TestONNX runs ONNX's own cases on the evaluator; `make conformance` also compiles them.
func TestONNX(t *testing.T) {
	dirs, _ := filepath.Glob("../../../shared/onnx-tests/*")
	if len(dirs) == 0 || testing.Short() {
		t.Skip("no ../shared/onnx-tests, or -short")
	}
	cases, err := testcase.Find(dirs...)
	require.NoError(t, err)
	known, err := ReadKnown("onnx.txt")
	require.NoError(t, err)
	way := Evaluated(onnx.Options{})
	for _, c := range cases {
		if c.Link {
			t.Logf("%s: not a model but the text of a link", c.Model)
			continue
		}
		tol, ok := known.Tolerance(c.Name)
		switch {
		case ok:
		case c.Tolerance != nil:
			tol = *c.Tolerance
		default:
			tol = testcase.Default
		}
		_, err := way(context.Background(), c, tol)
		if known.Fails(c.Name) {
			require.Error(t, err, "%s passes, but stands in onnx.txt", c.Name)
		} else if err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
}

// TestModels runs the real models on the evaluator; their outputs are ONNX Runtime's.
func TestModels(t *testing.T) {
	cases, err := testcase.Find("../../../shared/models")
	if err != nil || testing.Short() {
		t.Skip("no ../shared/models, or -short")
	}
	for _, c := range cases {
		tol := testcase.Tolerance{Rel: 1e-3, Abs: 1e-4}
		if v, err := tensorio.ReadFile(filepath.Join(c.Sets[0], "output_0.pb"), tensorio.Want{}); err == nil && v.(*tensor.Tensor).DType == tensor.F16 {
			tol.Rel = 5e-3 // the evaluator rounds after each op
		}
		_, err := Evaluated(onnx.Options{})(context.Background(), c, tol)
		require.NoError(t, err, c.Name)
	}
}
