package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/nnc-go/nnc/internal/driver"
	"github.com/nnc-go/nnc/internal/testcase"
	rt "github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/plan"
)

// testInside runs the data sets of a case in this process.
func testInside(ctx context.Context, cs testcase.Case, o driver.Options, tol testcase.Tolerance) error {
	c, err := driver.Compile(ctx, cs.Model, o)
	if err != nil {
		return err
	}
	defer c.Close()
	l, err := c.Load(ctx, rt.Options{})
	if err != nil {
		return err
	}
	defer l.Close()
	return eachSet(cs, c.Program.Plan, tol, func(files []string) ([]hostop.Value, error) {
		in, err := testcase.Read(files, c.Program.Plan.Inputs)
		if err != nil {
			return nil, err
		}
		out := make([]hostop.Value, len(c.Program.Plan.Outputs))
		return out, l.Run(ctx, in, out)
	})
}

// testExe builds an executable for a case and runs it on the data sets; launch is what has to stand
// before its path.
func testExe(ctx context.Context, cs testcase.Case, o driver.Options, launch []string, tol testcase.Tolerance) error {
	dir, err := os.MkdirTemp("", "nnc-test-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	exe := filepath.Join(dir, "model")
	p, err := driver.Build(ctx, cs.Model, o, driver.EmitOptions{Out: exe, Version: version()})
	if err != nil {
		return err
	}
	defer p.Compiled.Close()
	pl := p.Compiled.Program.Plan
	n := 0
	return eachSet(cs, pl, tol, func(files []string) ([]hostop.Value, error) {
		n++
		out := filepath.Join(dir, fmt.Sprint("out", n))
		args := append(append([]string{}, launch...), exe, "run", "-output-dir", out, "-output-format", "pb")
		for i, f := range files {
			if f != "" {
				args = append(args, "-input", pl.Inputs[i].Name+"="+f)
			}
		}
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		if b, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%w: %s", err, firstLine(b))
		}
		got, err := testcase.Files(out, "output")
		if err != nil {
			return nil, err
		}
		return testcase.Read(got, pl.Outputs)
	})
}

func firstLine(b []byte) []byte {
	line, _, _ := bytes.Cut(bytes.TrimSpace(b), []byte("\n"))
	return line
}

// eachSet runs the data sets of a case and compares; the errors of all sets and outputs are one.
func eachSet(cs testcase.Case, p *plan.Plan, tol testcase.Tolerance, run func(files []string) ([]hostop.Value, error)) error {
	var errs []error
	for _, set := range cs.Sets {
		fail := func(err error) { errs = append(errs, fmt.Errorf("%s: %w", filepath.Base(set), err)) }
		in, err := testcase.Files(set, "input")
		if err != nil {
			return err
		}
		if len(in) > len(p.Inputs) {
			return fmt.Errorf("%s: %d inputs, want at most the model's %d", set, len(in), len(p.Inputs))
		}
		expected, err := testcase.Files(set, "output")
		if err != nil {
			return err
		}
		want, err := testcase.Read(expected, p.Outputs)
		if err != nil {
			return err
		}
		got, err := run(in)
		if err != nil {
			fail(err)
			continue
		}
		for i := range want {
			if why := testcase.Compare(got[i], want[i], tol); why != "" {
				fail(fmt.Errorf("output %q: %s", p.Outputs[i].Name, why))
			}
		}
	}
	return errors.Join(errs...)
}
