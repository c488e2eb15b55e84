// Package testcase reads directories in ONNX's test-case layout and compares outputs as ONNX's own
// runner does: NAME/model.onnx and NAME/test_data_set_*/{input,output}_K.pb.
package testcase

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/runtime/tensorio"
)

// Case is a model with sets of inputs and expected outputs.
type Case struct {
	Name, Dir, Model string
	Sets             []string
	// Link: model.onnx is the text of a symbolic link that was not followed when the folder was copied, and no model.
	Link bool
	// Tolerance is that of the case's data.json, nil where it has none.
	Tolerance *Tolerance
}

// Find lists the cases below dirs, a dir being a case or a folder of cases, in order of name.
func Find(dirs ...string) ([]Case, error) {
	var cases []Case
	for _, d := range dirs {
		if c, ok := open(d); ok {
			cases = append(cases, c)
			continue
		}
		entries, err := os.ReadDir(d)
		if err != nil {
			return nil, err
		}
		n := len(cases)
		for _, e := range entries {
			if c, ok := open(filepath.Join(d, e.Name())); ok {
				cases = append(cases, c)
			}
		}
		if len(cases) == n {
			return nil, fmt.Errorf("%s: no model.onnx with a test_data_set_0 there or one folder below", d)
		}
	}
	return cases, nil
}

func open(dir string) (Case, bool) {
	c := Case{Name: filepath.Base(dir), Dir: dir, Model: filepath.Join(dir, "model.onnx")}
	if _, err := os.Stat(c.Model); err != nil {
		return c, false
	}
	c.Sets, _ = filepath.Glob(filepath.Join(dir, "test_data_set_*"))
	sort.Strings(c.Sets)
	c.Link = isLinkText(c.Model)
	c.Tolerance = readTolerance(filepath.Join(dir, "data.json"))
	return c, len(c.Sets) > 0
}

// isLinkText reports whether a file is one absolute path and nothing else.
func isLinkText(path string) bool {
	st, err := os.Stat(path)
	if err != nil || st.Size() > 1024 {
		return false
	}
	b, err := os.ReadFile(path)
	return err == nil && filepath.IsAbs(string(b)) && strings.HasSuffix(strings.TrimSpace(string(b)), ".onnx")
}

// readTolerance reads what ONNX's runner allows for a case, whose description may hold rtol and atol.
func readTolerance(path string) *Tolerance {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	d := struct {
		Rtol, Atol *float64
	}{}
	if json.Unmarshal(b, &d) != nil || d.Rtol == nil && d.Atol == nil {
		return nil
	}
	t := Default
	if d.Rtol != nil {
		t.Rel = *d.Rtol
	}
	if d.Atol != nil {
		t.Abs = *d.Atol
	}
	return &t
}

// Files lists the files PREFIX_K.pb of a data set by K; absent numbers are "".
func Files(set, prefix string) ([]string, error) {
	names, err := filepath.Glob(filepath.Join(set, prefix+"_*.pb"))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, n := range names {
		k, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(filepath.Base(n), prefix+"_"), ".pb"))
		if err != nil || k < 0 || k > 1000 {
			return nil, fmt.Errorf("%s: want %s_K.pb with K a number", n, prefix)
		}
		for len(out) <= k {
			out = append(out, "")
		}
		out[k] = n
	}
	return out, nil
}

// Read reads the files that Files gave, as values of the kinds that ios says.
func Read(files []string, ios []plan.IO) ([]hostop.Value, error) {
	if len(files) > len(ios) {
		return nil, fmt.Errorf("%d files for %d inputs or outputs", len(files), len(ios))
	}
	out := make([]hostop.Value, len(ios))
	for i, f := range files {
		if f == "" {
			continue
		}
		w := tensorio.Want{DType: ios[i].DType}
		if strings.HasPrefix(ios[i].Type, "seq") {
			w.Kind = tensorio.KindSeq
		} else if strings.HasPrefix(ios[i].Type, "opt") {
			w.Kind = tensorio.KindOptional
		} else if strings.HasPrefix(ios[i].Type, "map") {
			w.Kind = tensorio.KindMap
		}
		v, err := tensorio.ReadFile(f, w)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

// Tolerance is how far an element may be from the expected one: Abs + Rel*|expected|.
type Tolerance struct{ Rel, Abs float64 }

// Default is what ONNX's runner allows.
var Default = Tolerance{1e-3, 1e-7}

// Compare gives the worst disagreement as text, "" where got is what was wanted. Integers and
// booleans must be equal; NaN equals NaN.
func Compare(got, want hostop.Value, tol Tolerance) string {
	switch w := want.(type) {
	case nil:
		return ""
	case hostop.Seq:
		g, ok := got.(hostop.Seq)
		if !ok || len(g) != len(w) {
			return fmt.Sprintf("got %T, want a sequence of %d", got, len(w))
		}
		for i := range w {
			if why := Compare(g[i], w[i], tol); why != "" {
				return fmt.Sprintf("element %d of the sequence: %s", i, why)
			}
		}
		return ""
	case *hostop.Map:
		return compareMaps(got, w, tol)
	case *tensor.Tensor:
		g, ok := got.(*tensor.Tensor)
		if !ok || g == nil {
			return fmt.Sprintf("got %T, want %s", got, w.TypeString())
		}
		return compareTensors(g, w, tol)
	}
	return fmt.Sprintf("cannot compare with %T", want)
}

// compareMaps compares values key by key; the order of keys does not matter.
func compareMaps(got hostop.Value, want *hostop.Map, tol Tolerance) string {
	g, ok := got.(*hostop.Map)
	if !ok || g == nil || g.Keys.DType != want.Keys.DType || len(g.Values) != len(want.Values) {
		return fmt.Sprintf("got %T, want a map of %d keys of type %v", got, len(want.Values), want.Keys.DType)
	}
	for i, w := range want.Values {
		key := tensorio.FormatElement(want.Keys, int64(i))
		v, ok := g.Find(want.Keys, int64(i))
		if !ok {
			return fmt.Sprintf("the map has no key %s", key)
		}
		if why := Compare(v, w, tol); why != "" {
			return fmt.Sprintf("key %s of the map: %s", key, why)
		}
	}
	return ""
}

// CompareTypes is Compare of everything but the elements.
func CompareTypes(got, want hostop.Value) string {
	g, ok := got.(*tensor.Tensor)
	w, isTensor := want.(*tensor.Tensor)
	if !isTensor {
		return ""
	}
	if !ok || g == nil {
		return fmt.Sprintf("got %T, want %s", got, w.TypeString())
	}
	if g.TypeString() != w.TypeString() {
		return fmt.Sprintf("got %s, want %s", g.TypeString(), w.TypeString())
	}
	return ""
}

func compareTensors(got, want *tensor.Tensor, tol Tolerance) string {
	if got.DType != want.DType || !slices.Equal(got.Shape, want.Shape) {
		return fmt.Sprintf("got %s, want %s", got.TypeString(), want.TypeString())
	}
	if got.DType == tensor.String {
		for i := range want.Strings {
			if got.Strings[i] != want.Strings[i] {
				return fmt.Sprintf("element %d is %q, want %q", i, got.Strings[i], want.Strings[i])
			}
		}
		return ""
	}
	if got.DType.Class() == tensor.ClassComplex {
		return compareTensors(AsParts(got), AsParts(want), tol)
	}
	worst, at, bad := 0.0, int64(-1), 0
	for i := range want.Len() {
		if over := excess(got, want, i, tol); over > 0 {
			bad++
			if over > worst || at < 0 {
				worst, at = over, i
			}
		}
	}
	if at < 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d elements differ, the worst at %v: got %s, want %s", bad, want.Len(), index(at, want.Shape),
		tensorio.FormatElement(got, at), tensorio.FormatElement(want, at))
}

// AsParts is a complex tensor with real and imaginary parts along a last dimension of 2.
func AsParts(x *tensor.Tensor) *tensor.Tensor {
	half := tensor.F32
	if x.DType == tensor.C128 {
		half = tensor.F64
	}
	return &tensor.Tensor{DType: half, Shape: append(slices.Clone(x.Shape), 2), Data: x.Data}
}

// excess is by how much element i is outside of its tolerance, relative to it; 0 where it is inside.
func excess(got, want *tensor.Tensor, i int64, tol Tolerance) float64 {
	if !want.DType.IsFloat() {
		if tensorio.FormatElement(got, i) == tensorio.FormatElement(want, i) {
			return 0
		}
		return 1
	}
	g, w := got.At(i), want.At(i)
	switch {
	case g == w || g != g && w != w:
		return 0
	case g != g || w != w || math.IsInf(g, 0) || math.IsInf(w, 0):
		return math.Inf(1)
	}
	return max(0, math.Abs(g-w)/(tol.Abs+tol.Rel*math.Abs(w))-1)
}

func index(at int64, shape []int64) []int64 {
	out := make([]int64, len(shape))
	for d := len(shape) - 1; d >= 0; d-- {
		if shape[d] > 0 {
			out[d] = at % shape[d]
			at /= shape[d]
		}
	}
	return out
}
