// Package conformance runs ONNX test cases in every way in which nnc runs a model: compiled into this
// process, as an executable, and on the evaluator.
package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/nnc-go/nnc/frontend/onnx"
	"github.com/nnc-go/nnc/internal/driver"
	"github.com/nnc-go/nnc/internal/testcase"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/eval"
	rt "github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Way runs the data sets of a case and says what differs from the expected outputs, and which steps of
// the program were host functions.
type Way func(ctx context.Context, c testcase.Case, tol testcase.Tolerance) (host []string, err error)

// Compiled runs cases in this process.
func Compiled(o driver.Options) Way {
	return func(ctx context.Context, cs testcase.Case, tol testcase.Tolerance) ([]string, error) {
		c, err := driver.Compile(ctx, cs.Model, o)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		l, err := c.Load(ctx, rt.Options{})
		if err != nil {
			return nil, err
		}
		defer l.Close()
		p := c.Program.Plan
		return c.Program.HostSteps, eachSet(cs, p.Inputs, p.Outputs, judge(tol, c.Module), func(in []string) ([]hostop.Value, error) {
			x, err := testcase.Read(in, p.Inputs)
			if err != nil {
				return nil, err
			}
			out := make([]hostop.Value, len(p.Outputs))
			return out, l.Run(ctx, x, out)
		})
	}
}

// Executable builds an executable for each case and runs it; launch is what has to stand before its path.
func Executable(o driver.Options, version string, launch []string) Way {
	return func(ctx context.Context, cs testcase.Case, tol testcase.Tolerance) ([]string, error) {
		dir, err := os.MkdirTemp("", "nnc-test-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		exe := filepath.Join(dir, "model")
		b, err := driver.Build(ctx, cs.Model, o, driver.EmitOptions{Out: exe, Version: version})
		if err != nil {
			return nil, err
		}
		defer b.Compiled.Close()
		p := b.Compiled.Program.Plan
		n := 0
		return b.Compiled.Program.HostSteps, eachSet(cs, p.Inputs, p.Outputs, judge(tol, b.Compiled.Module), func(in []string) ([]hostop.Value, error) {
			n++
			return runExe(ctx, append(append([]string{}, launch...), exe), p, in, filepath.Join(dir, fmt.Sprint("out", n)))
		})
	}
}

// runExe runs a product on input files; its outputs go to the folder out.
func runExe(ctx context.Context, args []string, p *plan.Plan, in []string, out string) ([]hostop.Value, error) {
	args = append(args, "run", "-output-dir", out, "-output-format", "pb")
	for i, f := range in {
		if f != "" {
			args = append(args, "-input", p.Inputs[i].Name+"="+f)
		}
	}
	if b, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
		line, _, _ := bytes.Cut(bytes.TrimSpace(b), []byte("\n"))
		return nil, fmt.Errorf("%w: %s", err, line)
	}
	got, err := testcase.Files(out, "output")
	if err != nil {
		return nil, err
	}
	return testcase.Read(got, p.Outputs)
}

// Evaluated runs cases on the evaluator of package eval, without compiling.
func Evaluated(o onnx.Options) Way {
	return func(_ context.Context, cs testcase.Case, tol testcase.Tolerance) ([]string, error) {
		m, rep, err := onnx.Load(cs.Model, o)
		if err != nil {
			return nil, err
		}
		defer rep.Close()
		inputs, outputs := describe(m.Inputs, m.Graph.Params), describe(m.Outputs, m.Graph.Results)
		return nil, eachSet(cs, inputs, outputs, judge(tol, m), func(in []string) ([]hostop.Value, error) {
			x, err := testcase.Read(in, inputs)
			if err != nil {
				return nil, err
			}
			return eval.Run(m, x, eval.Options{})
		})
	}
}

// describe gives the inputs or outputs of a module as a plan names them.
func describe(names []string, vals []*ir.Value) []plan.IO {
	ios := make([]plan.IO, len(vals))
	for i, v := range vals {
		ios[i] = plan.IO{Name: names[i], DType: v.Type.DType}
		if v.Type.Kind != ir.KindTensor {
			ios[i].DType, ios[i].Type = tensor.Invalid, v.Type.String()
		}
	}
	return ios
}

// judge gives the comparison for a module. Where an op draws random numbers whose generator ONNX leaves open, no
// value can be expected, only its type and shape. That of a Dropout with a seed is fixed by ONNX's own cases.
func judge(tol testcase.Tolerance, m *ir.Module) func(got, want hostop.Value) string {
	random := false
	m.Graph.Walk(func(op *ir.Op) {
		random = random || op.Info.Has(ir.Impure) && !(op.Name() == "Dropout" && op.Attrs["seed"] != nil)
	})
	if random {
		return testcase.CompareTypes
	}
	return func(got, want hostop.Value) string { return testcase.Compare(got, want, tol) }
}

// eachSet runs the data sets of a case and compares; the errors of all sets and outputs are one.
func eachSet(cs testcase.Case, inputs, outputs []plan.IO, differs func(got, want hostop.Value) string, run func(files []string) ([]hostop.Value, error)) error {
	var errs []error
	for _, set := range cs.Sets {
		fail := func(err error) { errs = append(errs, fmt.Errorf("%s: %w", filepath.Base(set), err)) }
		in, err := testcase.Files(set, "input")
		if err != nil {
			return err
		}
		if len(in) > len(inputs) {
			return fmt.Errorf("%s: %d inputs, want at most the model's %d", set, len(in), len(inputs))
		}
		expected, err := testcase.Files(set, "output")
		if err != nil {
			return err
		}
		want, err := testcase.Read(expected, outputs)
		if err != nil {
			return err
		}
		got, err := run(in)
		if err != nil {
			fail(err)
			continue
		}
		for i := range want {
			if i >= len(got) {
				fail(fmt.Errorf("output %q is missing", outputs[i].Name))
			} else if why := differs(got[i], want[i]); why != "" {
				fail(fmt.Errorf("output %q: %s", outputs[i].Name, why))
			}
		}
	}
	return errors.Join(errs...)
}
