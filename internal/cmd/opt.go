package cmd

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/nnc-go/nnc/frontend/onnx"
	"github.com/nnc-go/nnc/internal/driver"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/passes"
	"github.com/spf13/cobra"
)

func optCommand() *cobra.Command {
	var list, math, weights string
	var debug []string
	var stats, table bool
	c := &cobra.Command{
		Use:   "opt FILE",
		Short: "run passes on IR text or a model, and print the result",
		Long: `Run passes on a module in text form (as nnc dump prints it; - reads standard input) or on an .onnx model, and print the result.
Large constants are references in the text; -weights names the model that they come from.

Passes: ` + strings.Join(passNames(), ", "),
		Example: "  nnc dump model.onnx -after=import > m.nir\n  nnc opt m.nir -weights=model.onnx -passes=infer,fold,algebra -v\n  nnc opt - -passes=fuse -d=fuse/check < m.nir",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 && !table {
				return usagef("want one FILE, got %d", len(args))
			}
			return nil
		},
	}
	fs := c.Flags()
	fs.StringVar(&list, "passes", "", "run these passes in this order: `A,B,C`; by default the whole pipeline")
	fs.StringVar(&weights, "weights", "", "take large constants from this `MODEL`")
	fs.StringVar(&math, "math", "default", "how results may differ by rounding: `strict|default|fast`")
	fs.StringArrayVar(&debug, "d", nil, "watch a pass: `PASS/dump,time,check` (repeatable)")
	fs.BoolVar(&stats, "v", false, "print statistics of passes and rules to standard error")
	fs.BoolVar(&table, "list", false, "list the passes and the rewrite rules, and do nothing")
	c.RunE = func(c *cobra.Command, args []string) error {
		if table {
			printPasses(c.OutOrStdout())
			return nil
		}
		f := compileFlags{backend: "auto", math: math, optimize: true, debug: debug}
		o, err := f.options(c.ErrOrStderr())
		if err != nil {
			return err
		}
		if list != "" {
			o.Passes = strings.Split(list, ",")
			for _, p := range o.Passes {
				if _, err := passes.PassByName(p); err != nil {
					return usageError{err}
				}
			}
		}
		m, done, err := readModule(c.InOrStdin(), args[0], weights)
		if err != nil {
			return err
		}
		defer done()
		st, err := driver.RunPasses(m, o)
		if err != nil {
			return err
		}
		if stats {
			fmt.Fprint(c.ErrOrStderr(), st)
		}
		return ir.Fprint(c.OutOrStdout(), m)
	}
	return c
}

// printPasses lists the pipeline with the reason of each pass, and the rewrite rules.
func printPasses(w io.Writer) {
	for _, p := range passes.Pipeline {
		fmt.Fprintf(w, "%-10s %s\n", p.Name, p.Why)
	}
	fmt.Fprintln(w)
	for _, r := range passes.Rules() {
		note := ""
		if r.Inexact {
			note = "  (not with -math=strict)"
		}
		fmt.Fprintf(w, "%-18s %s%s\n", r.Name, r.Algebra, note)
	}
}

// readModule reads IR text or a model; done unmaps what it holds.
func readModule(in io.Reader, path, weights string) (m *ir.Module, done func() error, err error) {
	done = func() error { return nil }
	if filepath.Ext(path) == ".onnx" {
		m, r, err := onnx.Load(path, onnx.Options{})
		if err != nil {
			return nil, nil, err
		}
		return m, r.Close, nil
	}
	b, err := os.ReadFile(path)
	if path == "-" {
		b, err = io.ReadAll(in)
	}
	if err != nil {
		return nil, nil, err
	}
	known := map[string]*ir.Data{}
	if weights != "" {
		from, r, err := onnx.Load(weights, onnx.Options{})
		if err != nil {
			return nil, nil, fmt.Errorf("-weights: %w", err)
		}
		done = r.Close
		for _, d := range constants(from) {
			known[d.Hash()] = d
		}
	}
	m, err = ir.ParseWith(string(b), func(hash string) *ir.Data { return known[hash] })
	if err != nil {
		done()
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, done, nil
}

// constants lists all data in a module.
func constants(m *ir.Module) []*ir.Data {
	var ds []*ir.Data
	for _, d := range m.Defaults {
		ds = append(ds, d)
	}
	m.Graph.Walk(func(op *ir.Op) {
		for _, a := range op.Attrs {
			if d, ok := a.(*ir.Data); ok {
				ds = append(ds, d)
			}
		}
	})
	return ds
}
