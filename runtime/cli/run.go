package cli

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/plan"
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
	var table string
	if a.profile {
		if table, err = a.profiled(m, in, out); err != nil {
			return err
		}
	}
	if a.outputDir != "" {
		err = a.writeOutputs(out)
	} else {
		_, err = a.out.Write([]byte(a.summary(out)))
	}
	if err == nil && a.profile {
		_, err = fmt.Fprint(a.out, table)
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

// stepTime is what a profile knows of a step; a step in a loop counts all its turns.
type stepTime struct {
	name         string
	runs         int
	time         time.Duration
	flops, bytes int64
}

// profiled runs the model and gives the table of its steps.
func (a *app) profiled(m *exec.Model, in, out []hostop.Value) (string, error) {
	rows := make([]stepTime, len(a.Plan.Steps))
	var total time.Duration
	err := m.Profile(context.Background(), in, out, func(i int, s *plan.Step, d time.Duration, flops, bytes int64) {
		r := &rows[i]
		r.name = s.Name
		switch {
		case s.Kind == plan.StepHost:
			r.name = s.HostOp + " (host) " + s.Name
		case s.Kind == plan.StepKernel && r.name == "":
			r.name = a.Plan.Kernels[s.Kernel]
		}
		r.runs++
		r.time += d
		r.flops += max(flops, 0)
		r.bytes += max(bytes, 0)
		total += d
	})
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%5s %6s %10s %6s %9s %8s  %s\n", "step", "runs", "ms", "share", "GFLOP/s", "GB/s", "name")
	for i, r := range rows {
		if r.runs == 0 || r.name == "" && r.time < total/1000 {
			continue
		}
		share := 100 * float64(r.time) / float64(max(total, 1))
		fmt.Fprintf(&b, "%5d %6d %10.4f %5.1f%% %9s %8s  %s\n", i, r.runs, ms(r.time), share, rate(r.flops, r.time), rate(r.bytes, r.time), r.name)
	}
	fmt.Fprintf(&b, "%5s %6s %10.4f\n", "all", "", ms(total))
	return b.String(), nil
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

func rate(n int64, d time.Duration) string {
	if n <= 0 || d <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", float64(n)/float64(d))
}
