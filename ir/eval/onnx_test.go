package eval_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/frontend/onnx"
	"github.com/nnc-go/nnc/internal/testcase"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/eval"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/runtime/tensorio"
)

// notChecked lists cases whose outputs no evaluator can match, and why.
var notChecked = map[string]string{
	"test_training_dropout": random, "test_training_dropout_default": random,
	"test_training_dropout_default_mask": random, "test_training_dropout_mask": random,
	"test_bernoulli":                 random,
	"test_bernoulli_double":          random,
	"test_bernoulli_double_expanded": random,
	"test_bernoulli_expanded":        random,
	"test_bernoulli_seed":            random,
	"test_bernoulli_seed_expanded":   random,
}

const random = "draws random numbers"

// TestModels runs the whole models that lie beside the cases.
func TestModels(t *testing.T) {
	if testing.Short() {
		t.Skip("whole models take long")
	}
	runCases(t, "../models", modelTolerance)
}

// TestNodeCases runs ONNX's own cases for single operators whose ops all have an implementation.
func TestNodeCases(t *testing.T) { runCases(t, "node", caseTolerance) }

// TestConvertedCases runs those that were made from PyTorch models.
func TestConvertedCases(t *testing.T) {
	for _, set := range []string{"simple", "pytorch-operator", "pytorch-converted"} {
		runCases(t, set, caseTolerance)
	}
}

func runCases(t *testing.T, set string, tol tolerance) {
	root := filepath.Join("..", "..", "..", "shared", "onnx-tests", set)
	dirs, err := os.ReadDir(root)
	if err != nil {
		t.Skipf("no ONNX test data at %s", root)
	}
	run, skipped := 0, map[string]int{}
	for _, d := range dirs {
		dir := filepath.Join(root, d.Name())
		why := notChecked[d.Name()]
		m, rep, err := onnx.Load(filepath.Join(dir, "model.onnx"), onnx.Options{})
		if err != nil {
			why = "the importer refuses the model"
		} else if why == "" {
			why = missing(m.Graph)
		}
		if why != "" {
			skipped[why]++
			continue
		}
		run++
		t.Run(set+"/"+d.Name(), func(t *testing.T) { runCase(t, m, dir, tol) })
		require.NoError(t, rep.Close())
	}
	t.Logf("%s: %d cases run; skipped: %v", set, run, skipped)
	require.Positive(t, run)
}

// missing names an op of r that has no implementation, "" when all have.
func missing(r *ir.Region) string {
	name := ""
	r.Walk(func(op *ir.Op) {
		if len(op.Regions) == 0 && op.Name() != "Const" && eval.Lookup(op.Name()) == nil {
			name = "no " + op.Name()
		}
	})
	return name
}

var kinds = map[ir.Kind]tensorio.Kind{ir.KindSeq: tensorio.KindSeq, ir.KindOptional: tensorio.KindOptional, ir.KindMap: tensorio.KindMap}

func runCase(t *testing.T, m *ir.Module, dir string, tol tolerance) {
	sets, err := filepath.Glob(filepath.Join(dir, "test_data_set_*"))
	require.NoError(t, err)
	for _, set := range sets {
		in := readValues(t, set, "input", m.Graph.Params)
		want := readValues(t, set, "output", m.Graph.Results)
		got, err := eval.Run(m, in, eval.Options{})
		require.NoError(t, err)
		require.Len(t, got, len(want))
		for i := range want {
			require.NoError(t, same(got[i], want[i], tol), "output %d", i)
		}
	}
}

func readValues(t *testing.T, dir, kind string, vals []*ir.Value) []hostop.Value {
	var out []hostop.Value
	for i, v := range vals {
		path := filepath.Join(dir, fmt.Sprintf("%s_%d.pb", kind, i))
		if _, err := os.Stat(path); err != nil && kind == "input" {
			break
		}
		x, err := tensorio.ReadFile(path, tensorio.Want{Kind: kinds[v.Type.Kind]})
		require.NoError(t, err)
		out = append(out, x)
	}
	return out
}

// tolerance says how far a float may be from the one that is wanted: the sum of a part of it, a part of
// the largest in its tensor, and an absolute distance.
type tolerance struct{ rel, ofMax, abs float64 }

var (
	// caseTolerance is that of ONNX's own test data.
	caseTolerance = tolerance{rel: 1e-3, abs: 1e-7}
	// modelTolerance allows for the float32 roundings that add up over many layers where terms cancel.
	modelTolerance = tolerance{rel: 1e-3, ofMax: 1e-5, abs: 1e-6}
)

func same(got, want hostop.Value, tol tolerance) error {
	switch w := want.(type) {
	case nil:
		if got != nil {
			return fmt.Errorf("got %T, want nothing", got)
		}
		return nil
	case hostop.Seq:
		g, ok := got.(hostop.Seq)
		if !ok || len(g) != len(w) {
			return fmt.Errorf("got %T, want a sequence of %d", got, len(w))
		}
		for i := range w {
			if err := same(g[i], w[i], tol); err != nil {
				return fmt.Errorf("element %d: %w", i, err)
			}
		}
		return nil
	case *hostop.Map:
		if why := testcase.Compare(got, w, testcase.Tolerance{Rel: tol.rel, Abs: tol.abs}); why != "" {
			return errors.New(why)
		}
		return nil
	}
	w, _ := want.(*tensor.Tensor)
	g, _ := got.(*tensor.Tensor)
	if g == nil || w == nil || g.TypeString() != w.TypeString() {
		return fmt.Errorf("got %v, want %v", typeString(got), typeString(want))
	}
	if w.DType == tensor.String {
		if !slices.Equal(g.Strings, w.Strings) {
			return fmt.Errorf("got %q, want %q", g.Strings, w.Strings)
		}
		return nil
	}
	if w.DType.Class() == tensor.ClassComplex {
		return sameComplex(g, w, tol)
	}
	if w.DType == tensor.F16 || w.DType == tensor.BF16 {
		tol.rel *= 5
	}
	largest := 0.0
	for i := range w.Len() {
		if x := math.Abs(w.At(i)); x < math.Inf(1) {
			largest = max(largest, x)
		}
	}
	for i := range w.Len() {
		a, b := g.At(i), w.At(i)
		if a == b || a != a && b != b {
			continue
		}
		if !w.DType.IsFloat() || !(math.Abs(a-b) <= tol.abs+tol.rel*math.Abs(b)+tol.ofMax*largest) {
			return fmt.Errorf("element %d is %g, want %g", i, a, b)
		}
	}
	return nil
}

func sameComplex(g, w *tensor.Tensor, tol tolerance) error {
	f := &tensor.Tensor{DType: tensor.F32, Shape: []int64{2 * w.Len()}, Data: g.Data}
	v := &tensor.Tensor{DType: tensor.F32, Shape: []int64{2 * w.Len()}, Data: w.Data}
	if w.DType == tensor.C128 {
		f.DType, v.DType = tensor.F64, tensor.F64
	}
	return same(f, v, tol)
}

func typeString(v hostop.Value) string {
	if t, ok := v.(*tensor.Tensor); ok && t != nil {
		return t.TypeString()
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", v), "hostop.")
}
