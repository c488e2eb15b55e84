package cmd

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/nnc-go/nnc/internal/driver"
	"github.com/nnc-go/nnc/internal/tune"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func buildCommand() *cobra.Command {
	var f compileFlags
	var e driver.EmitOptions
	var verbose bool
	c := &cobra.Command{
		Use:   "build MODEL",
		Short: "compile a model to an executable, a Go package or a C library",
		Example: `  nnc build model.onnx -o model && ./model run -input x.npy
  nnc build model.onnx -target=linux/arm64
  nnc build model.onnx -emit=go -o ./model`,
		Args:              modelArg(false),
		ValidArgsFunction: completeModel,
	}
	fs := c.Flags()
	fs.StringVar(&e.Out, "o", "", "write to `PATH`; by default the model's name in this folder")
	fs.StringVar(&e.Kind, "emit", "exe", "`WHAT` to make:"+kindList())
	f.add(fs, "auto")
	fs.BoolVar(&verbose, "v", false, "say more: times of the stages, passes, host operations")
	var measured bool
	var t driver.Tune
	fs.BoolVar(&measured, "tune", false, "measure on this machine which schedules are the fastest, for this machine; remembers what it has measured")
	fs.StringVar(&t.Cache, "tune-cache", "", "the `DIR` where -tune remembers; nnc/tune in the user's cache by default")
	fs.DurationVar(&t.Time, "tune-time", driver.TuneTime, "the `DURATION` after which -tune leaves the rest to the cost models")
	c.RunE = func(c *cobra.Command, args []string) error {
		tg, err := f.parseTarget()
		if err != nil {
			return err
		}
		if measured && !fs.Changed("cpu") && tg.Arch.Name == runtime.GOARCH {
			f.cpu = "native"
		}
		o, err := f.options(c.ErrOrStderr())
		if err != nil {
			return err
		}
		if measured {
			o.Tune = &t
		}
		e.Version, e.Command = version(), commandLine(fs, args[0])
		p, err := buildProduct(c, args[0], o, e)
		if err != nil {
			return err
		}
		defer p.Compiled.Close()
		printProduct(c.OutOrStdout(), p, verbose)
		return nil
	}
	return c
}

// commandLine is how to make the product again, where the model is in the current folder.
func commandLine(fs *pflag.FlagSet, model string) string {
	s := "nnc build " + filepath.Base(model)
	fs.Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if l, ok := f.Value.(pflag.SliceValue); ok {
			values = l.GetSlice()
		}
		for _, v := range values {
			if f.Name != "o" && f.Name != "v" && f.Name != "d" {
				s += " -" + f.Name + "=" + v
			}
		}
	})
	return s
}

func kindList() string {
	s := ""
	for _, k := range driver.Kinds() {
		s += "\n\t" + k[0] + ": " + k[1]
	}
	return s
}

// buildProduct is driver.Build with progress, warnings and usage errors.
func buildProduct(c *cobra.Command, model string, o driver.Options, e driver.EmitOptions) (*driver.Product, error) {
	pr := newProgress(c.ErrOrStderr())
	o.Progress = pr.set
	p, err := driver.Build(c.Context(), model, o, e)
	pr.end()
	var kind *driver.KindError
	if errors.As(err, &kind) {
		return nil, usageError{err}
	}
	if err != nil {
		return nil, err
	}
	warn(c.ErrOrStderr(), p.Compiled.Warnings())
	return p, nil
}

func printProduct(w io.Writer, p *driver.Product, verbose bool) {
	c := p.Compiled
	fmt.Fprintf(w, "%s  %s", strings.Join(p.Paths, " "), size(p.Size))
	if p.Weights > 0 {
		fmt.Fprintf(w, " (%s less weights)", size(max(p.Size-p.Weights, 0)))
	}
	var levels []string
	for _, l := range c.Program.Levels {
		levels = append(levels, l.Name)
	}
	kernel, host := c.Steps()
	fmt.Fprintf(w, "\n  weights %s, arena %s, %d kernel steps, %d host steps\n", size(c.Program.Plan.WeightsSize), size(c.Program.Plan.ArenaSize), kernel, host)
	if host > 0 {
		fmt.Fprintf(w, "  host: %s\n", hostList(c.Program.HostSteps, verbose))
	}
	if c.Tuned != nil {
		printTuned(w, c.Tuned, verbose)
	}
	if p.Golden != "" {
		fmt.Fprintf(w, "  no golden test: %s\n", p.Golden)
	}
	fmt.Fprintf(w, "  %s, levels %s, backend %s, compiled in %v\n", c.Target, strings.Join(levels, " "), c.Backend.Name(), round(p.Total()))
	if !verbose {
		return
	}
	for _, s := range p.Stages {
		fmt.Fprintf(w, "    %-8s %v\n", s.Stage, round(s.Time))
	}
	fmt.Fprintf(w, "%s", c.Stats)
}

// printTuned says what measuring has changed.
func printTuned(w io.Writer, r *tune.Report, verbose bool) {
	if len(r.Decisions) == 0 && r.Left == 0 {
		fmt.Fprintln(w, "  tuned: no choice came up whose sizes are known (-shape fixes those of inputs)")
		return
	}
	changed, cached := 0, 0
	for _, d := range r.Decisions {
		if d.Chosen != 0 {
			changed++
		}
		if d.Cached {
			cached++
		}
	}
	fmt.Fprintf(w, "  tuned: %d of %d choices are not the cost models', for %v less a run on one thread; %d were known", changed, len(r.Decisions), round(r.Gain()), cached)
	if r.Left > 0 {
		fmt.Fprintf(w, "; -tune-time left %d to the cost models", r.Left)
	}
	fmt.Fprintln(w)
	if verbose {
		r.Print(w)
	}
}

// hostShown is how many host steps a line names.
const hostShown = 8

func hostList(steps []string, all bool) string {
	if len(steps) <= hostShown || all {
		return strings.Join(steps, ", ")
	}
	return fmt.Sprintf("%s and %d more (-v lists them)", strings.Join(steps[:hostShown], ", "), len(steps)-hostShown)
}

func round(d time.Duration) time.Duration {
	if d > time.Second {
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}
