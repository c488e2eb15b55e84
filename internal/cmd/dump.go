package cmd

import (
	"bytes"
	"context"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/nnc-go/nnc/backend"
	"github.com/nnc-go/nnc/frontend/onnx"
	"github.com/nnc-go/nnc/internal/driver"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/spf13/cobra"
)

// imported is the name of the state before the first pass.
const imported = "import"

// stages are what dump can print of a compiled model.
var stages = map[string]func(ctx context.Context, w io.Writer, c *driver.Compiled) error{
	"loop": dumpLoop,
	"plan": dumpPlan,
	"llvm": dumpCode(backend.Source),
	"asm":  dumpCode(backend.Assembly),
}

func dumpCommand() *cobra.Command {
	var f compileFlags
	var after []string
	var stage string
	var html bool
	c := &cobra.Command{
		Use:   "dump MODEL",
		Short: "print a model at any level of the compiler",
		Long: `Print a model at any level of the compiler: by default its IR as imported and after the last pass.

Passes: ` + imported + ", " + strings.Join(passNames(), ", "),
		Example: `  nnc dump model.onnx -after=fuse
  nnc dump model.onnx -stage=plan
  nnc dump model.onnx -stage=asm -cpu=avx2
  nnc dump model.onnx -html > model.html`,
		Args:              modelArg(false),
		ValidArgsFunction: completeModel,
	}
	fs := c.Flags()
	f.add(fs, "auto")
	fs.StringArrayVar(&after, "after", nil, "print the IR after `PASS` (repeatable; all for every pass, "+imported+" for before the first)")
	fs.StringVar(&stage, "stage", "ir", "what to print: `ir|loop|plan|llvm|asm`")
	fs.BoolVar(&html, "html", false, "print one page with all stages side by side")
	c.RunE = func(c *cobra.Command, args []string) error {
		o, err := f.options(c.ErrOrStderr())
		if err != nil {
			return err
		}
		if stages[stage] == nil && stage != "ir" {
			return usagef("-stage=%s: want ir, loop, plan, llvm or asm", stage)
		}
		if after, err = wanted(after); err != nil {
			return err
		}
		w := c.OutOrStdout()
		if html {
			return dumpHTML(c.Context(), w, args[0], o)
		}
		if stage == "ir" {
			return dumpIR(args[0], o, func(pass string, m *ir.Module) error {
				if !slices.Contains(after, pass) && !slices.Contains(after, "all") {
					return nil
				}
				if pass != imported {
					fmt.Fprintln(w)
				}
				fmt.Fprintf(w, "# after %s\n", pass)
				return ir.Fprint(w, m)
			})
		}
		p, err := driver.Compile(c.Context(), args[0], o)
		if err != nil {
			return err
		}
		defer p.Close()
		return stages[stage](c.Context(), w, p)
	}
	return c
}

// wanted checks -after and gives its default.
func wanted(after []string) ([]string, error) {
	names := append(passNames(), imported, "all")
	for _, a := range after {
		if !slices.Contains(names, a) {
			return nil, usagef("-after=%s: want one of %s", a, strings.Join(names, ", "))
		}
	}
	if len(after) == 0 {
		return []string{imported, passNames()[len(passNames())-1]}, nil
	}
	return after, nil
}

// dumpIR calls show for a model as imported and after each pass.
func dumpIR(path string, o driver.Options, show func(pass string, m *ir.Module) error) error {
	m, r, err := onnx.Load(path, o.Load)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := show(imported, m); err != nil {
		return err
	}
	var failed error
	o.After = func(pass string, m *ir.Module) {
		if failed == nil {
			failed = show(pass, m)
		}
	}
	if _, err := driver.RunPasses(m, o); err != nil {
		return err
	}
	return failed
}

func dumpLoop(_ context.Context, w io.Writer, c *driver.Compiled) error {
	for _, k := range c.Kernels() {
		fmt.Fprintf(w, "// level %s\n", k.Level.Name)
		for _, f := range k.Funcs {
			if err := loop.Print(w, f); err != nil {
				return err
			}
		}
	}
	return nil
}

func dumpCode(form backend.Form) func(context.Context, io.Writer, *driver.Compiled) error {
	return func(ctx context.Context, w io.Writer, c *driver.Compiled) error {
		files, err := c.Generate(ctx, c.Target.OS, form)
		for _, f := range files {
			w.Write(f.Data)
		}
		return err
	}
}

var page = template.Must(template.New("").Parse(`<!doctype html>
<meta charset="utf-8"><title>{{.Model}}</title>
<style>
body { font-family: sans-serif; margin: 0; display: flex; flex-direction: column; height: 100vh }
h1 { font-size: 1.1em; margin: .5em } h2 { font-size: 1em; margin: .4em }
main { display: flex; flex: 1; overflow-x: auto; min-height: 0 }
section { flex: 0 0 42em; display: flex; flex-direction: column; border-left: 1px solid #ccc; resize: horizontal; overflow: hidden }
pre { flex: 1; overflow: auto; margin: 0; padding: .4em; font-size: 12px; background: #f8f8f8 }
</style>
<h1>{{.Model}}</h1>
<main>{{range .Columns}}<section><h2>{{.Name}}</h2><pre>{{.Text}}</pre></section>{{end}}</main>
`))

// dumpHTML makes a page with a column for each stage. Code is that of the target's best level.
func dumpHTML(ctx context.Context, w io.Writer, path string, o driver.Options) error {
	type column struct{ Name, Text string }
	var columns []column
	last := passNames()[len(passNames())-1]
	err := dumpIR(path, o, func(pass string, m *ir.Module) error {
		if pass == imported || pass == last {
			columns = append(columns, column{"IR after " + pass, ir.Print(m)})
		}
		return nil
	})
	if err != nil {
		return err
	}
	t, err := driver.Compile(ctx, path, o)
	if err != nil {
		return err
	}
	defer t.Close()
	n := len(t.Program.Levels) - 1
	t.Program.Levels, t.Program.Kernels = t.Program.Levels[n:], t.Program.Kernels[n:]
	for _, s := range []struct{ stage, name string }{{"plan", "plan"}, {"loop", "loop IR"}, {"llvm", "LLVM IR"}, {"asm", "assembly"}} {
		if s.stage == "llvm" && t.Backend != nil && t.Backend.Form() == backend.GoAssembly {
			continue
		}
		var b bytes.Buffer
		if err := stages[s.stage](ctx, &b, t); err != nil {
			return err
		}
		columns = append(columns, column{s.name, b.String()})
	}
	return page.Execute(w, map[string]any{"Model": t.Name, "Columns": columns})
}
