package archtest

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/nnc-go/nnc/ir"
)

// elsewhere are the ops whose text test is the file of another op, which makes their operands or reads
// their results.
var elsewhere = map[string]string{
	"Unblock": "Block", "SequenceEmpty": "SequenceAt", "SequenceConstruct": "SequenceAt", "SequenceInsert": "SequenceAt",
	"SequenceErase": "SequenceAt", "SequenceLength": "SequenceAt", "SplitToSequence": "SequenceAt", "ConcatFromSequence": "SequenceAt",
	"Optional": "OptionalGetElement", "OptionalHasElement": "OptionalGetElement",
}

// plain says why an op has no such case.
var plain = map[string]string{"Seed": "no operand, no attribute and a scalar as its result"}

// textCase is a case of a text test: the ops in it, and whether it has what ONNX's own cases have not.
type textCase struct {
	ops []string
	odd bool
}

// textCases reads testdata/ops, by the names of the files.
func textCases(t *testing.T) map[string][]textCase {
	files, err := filepath.Glob(root + "/testdata/ops/*.nir")
	require.NoError(t, err)
	all := map[string][]textCase{}
	for _, f := range files {
		a, err := txtar.ParseFile(f)
		require.NoError(t, err)
		name := strings.TrimSuffix(filepath.Base(f), ".nir")
		for _, c := range a.Files {
			m, err := ir.Parse(string(c.Data))
			require.NoError(t, err, "%s: %s", name, c.Name)
			_, _ = ir.Infer(m) // some cases are errors
			all[name] = append(all[name], inspect(m))
		}
	}
	return all
}

// inspect finds the ops of a module, and whether the module has an input with a symbolic dimension or of
// unknown rank, an empty tensor, or an axis that is counted from the end.
func inspect(m *ir.Module) (c textCase) {
	for _, p := range m.Graph.Params {
		c.odd = c.odd || oddType(p.Type)
	}
	m.Graph.Walk(func(op *ir.Op) {
		c.ops = append(c.ops, op.Name())
		for _, name := range []string{"axis", "batch_axis", "time_axis"} {
			c.odd = c.odd || op.Attrs.Int(name, 0) < 0
		}
		for _, r := range op.Results {
			c.odd = c.odd || r != nil && slices.ContainsFunc(r.Type.Shape, func(d ir.Dim) bool { return d.Is(0) })
		}
	})
	return c
}

func oddType(t ir.Type) bool {
	for t.Elem != nil {
		t = *t.Elem
	}
	return !t.Ranked || slices.ContainsFunc(t.Shape, func(d ir.Dim) bool { return !d.IsConst() || d.Is(0) })
}

// TestEveryOpHasATextTest: an op has the file of its name, without the domain or with it, and a case there
// that no test of ONNX has.
func TestEveryOpHasATextTest(t *testing.T) {
	cases := textCases(t)
	for _, op := range ir.Ops() {
		name := op.Name
		if plain[name] != "" {
			continue
		}
		if other, ok := elsewhere[name]; ok {
			name = other
		}
		_, short, _ := strings.Cut(name, ".")
		list := append(cases[name], cases[short]...)
		held := slices.ContainsFunc(list, func(c textCase) bool { return c.odd && slices.Contains(c.ops, op.Name) })
		if !held {
			t.Errorf("testdata/ops/%s.nir has no case of %s with a symbolic dimension, an empty tensor, an unknown rank or a negative axis", name, op.Name)
		}
	}
}
