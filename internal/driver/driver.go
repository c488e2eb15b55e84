// Package driver is the whole compiler on one page: Compile takes a model file through every level.
package driver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/nnc-go/nnc/backend"
	"github.com/nnc-go/nnc/backend/goasm"
	"github.com/nnc-go/nnc/backend/llvm"
	"github.com/nnc-go/nnc/frontend/onnx"
	"github.com/nnc-go/nnc/internal/tune"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/eval"
	"github.com/nnc-go/nnc/lower"
	"github.com/nnc-go/nnc/passes"
	"github.com/nnc-go/nnc/runtime/abi"
	"github.com/nnc-go/nnc/target"
)

// Options say what to compile for and how.
type Options struct {
	Target, CPU string // as target.Parse takes them
	Backend     string // "auto", "llvm" or "goasm"
	NoOptimize  bool   // -O=0
	Math        string // "strict", "default", "fast"
	Load        onnx.Options
	Passes      []string // instead of the pipeline
	Debug       map[string]passes.Debug
	Log         io.Writer                         // dumps and times that Debug asks for
	After       func(pass string, m *ir.Module)   // snapshots
	Progress    func(stage string, share float64) // may be nil
	Tune        *Tune                             // nil: the cost models choose schedules

	narrow bool // products are of bf16 whatever the levels, as those of the architecture that has the same weights
}

// Compiled is a model on its way to code.
type Compiled struct {
	Name    string
	Target  *target.Target
	Report  *onnx.Report
	Module  *ir.Module // after the passes
	Stats   *passes.Stats
	Program *lower.Program
	Backend backend.Backend
	Times   []StageTime
	Tuned   *tune.Report // nil without Options.Tune

	missing error // why there is no Backend
	opts    Options
	dir     string
	weights *lower.Weights
	memory  []byte                   // the weights, where they are in memory already
	choose  func(c lower.Choice) int // nil for the cost models
}

// StageTime is how long a level took.
type StageTime struct {
	Stage string
	Time  time.Duration
}

// mathModes are the values of -math.
var mathModes = map[string]bool{"": true, "strict": true, "default": true, "fast": true}

// fast is -math=fast: products may be of bf16.
func (o *Options) fast() bool { return o.Math == "fast" }

// narrows reports whether products are of bf16.
func (c *Compiled) narrows() bool { return c.opts.narrow || c.opts.fast() && c.Target.BF16() }

// Compile loads a model and takes it down to kernels and a plan. Close the result.
func Compile(ctx context.Context, path string, opts Options) (c *Compiled, err error) {
	if c, err = start(modelName(path), opts); err != nil {
		return nil, err
	}
	defer closeOnError(c, &err)
	if err := c.stage(ctx, "load", func() (err error) {
		c.Module, c.Report, err = onnx.Load(path, opts.Load)
		return err
	}); err != nil {
		return c, err
	}
	return c, c.middle(ctx)
}

// CompileModule is Compile from a module in memory, which the passes change.
func CompileModule(ctx context.Context, m *ir.Module, opts Options) (c *Compiled, err error) {
	if c, err = start(m.Name, opts); err != nil {
		return nil, err
	}
	defer closeOnError(c, &err)
	c.Module = m
	return c, c.middle(ctx)
}

// start checks the options.
func start(name string, opts Options) (*Compiled, error) {
	t, err := target.Parse(opts.Target, opts.CPU, opts.fast(), runtime.GOOS, runtime.GOARCH, abi.HasFeatures)
	if err != nil {
		return nil, err
	}
	if !mathModes[opts.Math] {
		return nil, fmt.Errorf("-math=%s: want strict, default or fast", opts.Math)
	}
	c := &Compiled{Name: name, Target: t, opts: opts}
	if err := c.chooseBackend(); err != nil || opts.Tune == nil {
		return c, err
	}
	return c, c.tunable()
}

// chooseBackend finds the backend, and keeps of the target's levels those that it has code for. That it is not
// installed matters when code is wanted.
func (c *Compiled) chooseBackend() (err error) {
	if c.Backend, err = OpenBackend(c.opts.Backend, c.Target.Levels...); err != nil {
		if errors.Is(err, llvm.ErrNotFound) {
			c.missing, err = err, nil
		}
		return err
	}
	t := *c.Target
	t.Levels = nil
	var names []string
	for _, l := range c.Target.Levels {
		if names = append(names, l.Name); c.Backend.Has(l) {
			t.Levels = append(t.Levels, l)
		}
	}
	if len(t.Levels) == 0 {
		return fmt.Errorf("-backend=%s has no code for %s at level %s; nnc targets lists what there is", c.Backend.Name(), c.Target, strings.Join(names, ", "))
	}
	c.Target = &t
	return nil
}

func closeOnError(c *Compiled, err *error) {
	if *err != nil {
		c.Close()
	}
}

// middle runs the passes and lowers.
func (c *Compiled) middle(ctx context.Context) error {
	if err := c.stage(ctx, "passes", func() (err error) {
		c.Stats, err = c.runPasses(c.Module)
		return err
	}); err != nil {
		return err
	}
	var err error
	if c.dir, err = os.MkdirTemp("", "nnc-"); err != nil {
		return err
	}
	if c.opts.Tune != nil {
		if err := c.stage(ctx, "tune", func() error { return c.tune(ctx) }); err != nil {
			return err
		}
		c.choose = c.Tuned.Choose
	}
	return c.stage(ctx, "lower", func() (err error) {
		if c.weights, err = lower.NewWeights(c.dir); err != nil {
			return err
		}
		c.Program, err = lower.Lower(c.Module, c.Target, c.weights, c.loweringOptions(c.choose))
		return err
	})
}

func (c *Compiled) loweringOptions(choose func(lower.Choice) int) lower.Options {
	return lower.Options{HasHost: hasHost, Strict: c.opts.Math == "strict", Choose: choose}
}

func hasHost(op string) bool { return eval.Lookup(op) != nil }

// stage runs one level, times it, and stops between levels when ctx is done.
func (c *Compiled) stage(ctx context.Context, name string, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.opts.Progress != nil {
		c.opts.Progress(name, 0)
	}
	start := time.Now()
	err := f()
	c.Times = append(c.Times, StageTime{name, time.Since(start)})
	return err
}

// modelName is the file's name without extension; where that says nothing (model.onnx), the folder's.
func modelName(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	base := filepath.Base(abs)
	base = base[:len(base)-len(filepath.Ext(base))]
	if base == "model" {
		if dir := filepath.Base(filepath.Dir(abs)); dir != "." && dir != string(filepath.Separator) {
			return dir
		}
	}
	return base
}

// backends are the code generators by name, in the order in which "auto" tries them.
var backends = []struct {
	name string
	has  func(l *target.Level) bool
	open func() (backend.Backend, error)
}{
	{"llvm", (*llvm.LLVM)(nil).Has, func() (backend.Backend, error) { return llvm.New() }},
	{"goasm", goasm.GoAsm{}.Has, func() (backend.Backend, error) { return goasm.GoAsm{}, nil }},
}

// Backends lists the backends that generate code for a level, installed or not.
func Backends(l *target.Level) (names []string) {
	for _, b := range backends {
		if b.has(l) {
			names = append(names, b.name)
		}
	}
	return names
}

// ErrNoBackend is the error for the name of a backend that there is not.
var ErrNoBackend = errors.New("want auto, llvm or goasm")

// OpenBackend finds a backend; "auto" and "" mean the first that works here, and that has code for one of the
// levels, if any backend has.
func OpenBackend(name string, levels ...*target.Level) (found backend.Backend, err error) {
	for _, b := range backends {
		if name != "" && name != "auto" && name != b.name {
			continue
		}
		be, e := b.open()
		switch {
		case e != nil:
			err = cmp.Or(err, e)
		case len(levels) == 0 || slices.ContainsFunc(levels, be.Has):
			return be, nil
		case found == nil:
			found = be
		}
	}
	if found == nil && err == nil {
		err = fmt.Errorf("-backend=%s: %w", name, ErrNoBackend)
	}
	if found != nil {
		err = nil
	}
	return found, err
}

// Generate compiles the kernels for an operating system of the target's architecture.
func (c *Compiled) Generate(ctx context.Context, os string, form backend.Form) ([]backend.File, error) {
	return c.generate(ctx, os, form, c.Kernels())
}

func (c *Compiled) generate(ctx context.Context, os string, form backend.Form, ks []backend.Kernels) (files []backend.File, err error) {
	err = c.stage(ctx, "codegen", func() error {
		if c.missing != nil {
			return c.missing
		}
		t := *c.Target
		t.OS = os
		files, err = c.Backend.Generate(ctx, &t, ks, form)
		return err
	})
	return files, err
}

// Kernels lists the kernels of each level.
func (c *Compiled) Kernels() []backend.Kernels {
	var ks []backend.Kernels
	for i, l := range c.Program.Levels {
		ks = append(ks, backend.Kernels{Level: l, Funcs: c.Program.Kernels[i]})
	}
	return ks
}

// Warnings are what the user should know: of the importer, then of the passes.
func (c *Compiled) Warnings() (ws []string) {
	if c.Report != nil {
		ws = append(ws, c.Report.Warnings...)
	}
	if c.Stats != nil {
		ws = append(ws, c.Stats.Warnings...)
	}
	if c.Tuned != nil {
		ws = append(ws, c.Tuned.Warnings...)
	}
	return ws
}

// Weights reads the packed weights.
func (c *Compiled) Weights() (*io.SectionReader, error) { return c.weights.Reader() }

// Close removes temporary files and unmaps the model.
func (c *Compiled) Close() error {
	if c.weights != nil {
		c.weights.Close()
	}
	if c.dir != "" {
		os.RemoveAll(c.dir)
	}
	if c.Report != nil && c.Report.Close != nil {
		return c.Report.Close()
	}
	return nil
}
