package cmd

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/nnc-go/nnc/internal/driver"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/passes"
	"github.com/nnc-go/nnc/runtime/abi"
	"github.com/nnc-go/nnc/target"
	"github.com/spf13/pflag"
)

// compileFlags are the flags of all commands that compile.
type compileFlags struct {
	target, cpu, backend, math string
	optimize, hardlinks        bool
	shapes, debug              []string
}

// add declares the flags; cpu is the default of -cpu.
func (f *compileFlags) add(fs *pflag.FlagSet, cpu string) {
	fs.StringVar(&f.target, "target", "", "what to compile for: `amd64|arm64|OS/ARCH`, OS one of linux, darwin, windows; this machine by default")
	fs.StringVar(&f.cpu, "cpu", cpu, "instruction-set `LEVEL`: auto (all of them; the program picks one when it starts), native, or a name from nnc targets")
	fs.StringVar(&f.backend, "backend", "auto", "code `GENERATOR`: llvm; goasm, which needs nothing but Go; auto, the first of them that is there")
	fs.BoolVar(&f.optimize, "O", true, "optimise; -O=0 runs only the passes that compiling needs")
	fs.StringVar(&f.math, "math", "default", "how results may differ by rounding: `strict|default|fast`; strict changes no order of operations, fast multiplies bf16 where the processor does that faster")
	fs.StringArrayVar(&f.shapes, "shape", nil, "fix the shape of an input: `NAME=1x3x224x224` (repeatable)")
	fs.StringArrayVar(&f.debug, "d", nil, "watch a pass: `PASS/dump,time,check`, PASS all or one that nnc dump -h lists (repeatable)")
	fs.BoolVar(&f.hardlinks, "allow-hardlinks", false, "accept external data files that have more than one name")
}

// options checks the flags.
func (f *compileFlags) options(log io.Writer) (o driver.Options, err error) {
	o = driver.Options{Target: f.target, CPU: f.cpu, Backend: f.backend, NoOptimize: !f.optimize, Math: f.math, Log: log}
	if _, err := f.parseTarget(); err != nil {
		return o, err
	}
	switch f.math {
	case "strict", "default", "fast":
	default:
		return o, usagef("-math=%s: want strict, default or fast", f.math)
	}
	if _, err := driver.OpenBackend(f.backend); errors.Is(err, driver.ErrNoBackend) {
		return o, usagef("%v", err)
	}
	o.Load.AllowHardlinks = f.hardlinks
	if o.Load.Shapes, err = parseShapes(f.shapes); err != nil {
		return o, err
	}
	o.Debug, err = parseDebug(f.debug)
	return o, err
}

func (f *compileFlags) parseTarget() (*target.Target, error) {
	t, err := target.Parse(f.target, f.cpu, f.math == "fast", runtime.GOOS, runtime.GOARCH, abi.HasFeatures)
	if err != nil {
		return nil, usageError{err}
	}
	return t, nil
}

// parseShapes reads NAME=1x3x224x224; NAME= is a scalar. A size may be a symbol: NAME=Nx3.
func parseShapes(flags []string) (map[string][]ir.Dim, error) {
	shapes := map[string][]ir.Dim{}
	for _, s := range flags {
		i := strings.LastIndexByte(s, '=')
		if i <= 0 {
			return nil, usagef("-shape %s: want NAME=1x3x224x224", s)
		}
		name, shape := s[:i], []ir.Dim{}
		if _, twice := shapes[name]; twice {
			return nil, usagef("-shape %s: input %q has a shape already", s, name)
		}
		for _, part := range strings.Split(s[i+1:], "x") {
			if s[i+1:] == "" {
				break
			}
			d, err := ir.ParseDim(part)
			if err != nil || d.IsConst() && d.Value() < 0 {
				return nil, usagef("-shape %s: size %q: want a number of 0 or more, or a symbol", s, part)
			}
			shape = append(shape, d)
		}
		shapes[name] = shape
	}
	return shapes, nil
}

// parseDebug reads PASS/dump,time,check.
func parseDebug(flags []string) (map[string]passes.Debug, error) {
	debug := map[string]passes.Debug{}
	for _, s := range flags {
		name, what, ok := strings.Cut(s, "/")
		if _, err := passes.PassByName(name); err != nil && name != "all" || !ok {
			return nil, usagef("-d=%s: want PASS/dump,time,check with PASS all or one of %s", s, strings.Join(passNames(), ", "))
		}
		d := debug[name]
		for _, w := range strings.Split(what, ",") {
			switch w {
			case "dump":
				d.Dump = true
			case "time":
				d.Time = true
			case "check":
				d.Check = true
			default:
				return nil, usagef("-d=%s: %q: want dump, time or check, with commas between them", s, w)
			}
		}
		debug[name] = d
	}
	return debug, nil
}

func passNames() []string {
	var names []string
	for _, p := range passes.Pipeline {
		names = append(names, p.Name)
	}
	return names
}

// size prints bytes for people.
func size(n int64) string {
	switch {
	case n < 0:
		return "depends on input shapes"
	case n < 10<<10:
		return fmt.Sprintf("%d bytes", n)
	case n < 10<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// warn prints what the frontend has to say about a model.
func warn(w io.Writer, warnings []string) {
	for _, s := range warnings {
		fmt.Fprintf(w, "warning: %s\n", s)
	}
}
