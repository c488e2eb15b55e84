package cli

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/runtime/tensorio"
)

var formats = map[string]bool{"npy": true, "pb": true, "json": true}

func (a *app) run() error {
	if !formats[a.outputFormat] {
		return usagef("-output-format %s: want npy, pb or json", a.outputFormat)
	}
	in, err := a.inputs()
	if err != nil {
		return err
	}
	m, err := a.load()
	if err != nil {
		return err
	}
	defer m.Close()
	out := make([]hostop.Value, len(a.Plan.Outputs))
	if err := m.Run(context.Background(), in, out); err != nil {
		return err
	}
	var prof *profile
	if a.profiling {
		if prof, err = a.measure(m, in, out); err != nil {
			return err
		}
	}
	if a.outputDir != "" {
		err = a.writeOutputs(out)
	} else {
		_, err = a.out.Write([]byte(a.summary(out)))
	}
	if err == nil && prof != nil {
		_, err = fmt.Fprintf(a.out, "\n%s", prof.table())
	}
	return err
}

// fileName makes a file name of a value's name.
func fileName(s string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.+", r) {
			return r
		}
		return '_'
	}, s)
	if len(name) > 100 {
		name = name[:100]
	}
	if strings.Trim(name, ".") == "" || name[0] == '.' || name[0] == '-' {
		name = "_" + name
	}
	return name
}

// outputNames are the file names of the outputs, all different even where case does not matter.
func (a *app) outputNames() []string {
	used := map[string]bool{}
	var names []string
	for i, io := range a.Plan.Outputs {
		name := fmt.Sprintf("output_%d", i)
		if a.outputFormat == "npy" {
			name = fileName(io.Name)
			for used[strings.ToLower(name)] {
				name += fmt.Sprintf("_%d", i)
			}
		}
		used[strings.ToLower(name)] = true
		names = append(names, name+"."+a.outputFormat)
	}
	return names
}

func (a *app) writeOutputs(out []hostop.Value) error {
	if err := os.MkdirAll(a.outputDir, 0o777); err != nil {
		return err
	}
	for i, name := range a.outputNames() {
		path := filepath.Join(a.outputDir, name)
		var err error
		if a.outputFormat == "pb" && strings.HasPrefix(a.Plan.Outputs[i].Type, "opt") {
			err = tensorio.WriteAtomic(path, tensorio.EncodeOptionalPB(out[i], a.Plan.Outputs[i].Name))
		} else {
			err = tensorio.WriteFile(path, out[i])
		}
		if err != nil {
			return fmt.Errorf("output %q: %w", a.Plan.Outputs[i].Name, err)
		}
	}
	return nil
}

// summary describes each output in a line or two.
func (a *app) summary(out []hostop.Value) string {
	var b strings.Builder
	for i, v := range out {
		fmt.Fprintf(&b, "%s  ", a.Plan.Outputs[i].Name)
		describe(&b, v)
	}
	return b.String()
}

const firstValues = 8

func describe(b *strings.Builder, v hostop.Value) {
	t, ok := v.(*tensor.Tensor)
	if s, isSeq := v.(hostop.Seq); isSeq {
		fmt.Fprintf(b, "sequence of %d\n", len(s))
		for i, e := range s[:min(len(s), firstValues)] {
			fmt.Fprintf(b, "  %d: ", i)
			describe(b, e)
		}
		return
	}
	if m, isMap := v.(*hostop.Map); isMap {
		fmt.Fprintf(b, "map of %d keys\n", len(m.Values))
		for i, e := range m.Values[:min(len(m.Values), firstValues)] {
			fmt.Fprintf(b, "  %s: ", tensorio.FormatElement(m.Keys, int64(i)))
			describe(b, e)
		}
		return
	}
	if !ok || t == nil {
		fmt.Fprintf(b, "%v\n", map[bool]any{true: "nothing", false: v}[v == nil || ok])
		return
	}
	b.WriteString(t.TypeString())
	n := t.Len()
	if n > 1 && t.DType != tensor.String && t.DType.Class() != tensor.ClassComplex {
		b.WriteString(statistics(t, n))
	}
	b.WriteString("\n ")
	for i := range min(n, firstValues) {
		b.WriteString(" " + tensorio.FormatElement(t, i))
	}
	if n > firstValues {
		b.WriteString(" ...")
	}
	b.WriteByte('\n')
}

// statistics gives the least, largest and mean value of t, and for a vector of scores the place of the largest.
func statistics(t *tensor.Tensor, n int64) string {
	least, most, sum, at, bad := math.Inf(1), math.Inf(-1), 0.0, int64(-1), 0
	for i := range n {
		x := t.At(i)
		if x != x {
			bad++
			continue
		}
		least = min(least, x)
		if x > most || at < 0 {
			most, at = x, i
		}
		sum += x
	}
	s := ""
	if at >= 0 {
		s = fmt.Sprintf("  min %.6g  max %.6g  mean %.6g", least, most, sum/float64(n-int64(bad)))
		if t.DType.IsFloat() && n == t.Shape[len(t.Shape)-1] && len(t.Shape) <= 2 {
			s += fmt.Sprintf("  argmax %d", at)
		}
	}
	if bad > 0 {
		s += fmt.Sprintf("  NaN %d", bad)
	}
	return s
}
