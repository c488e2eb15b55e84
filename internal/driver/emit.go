package driver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/nnc-go/nnc/backend"
	"github.com/nnc-go/nnc/backend/goasm/purego"
	"github.com/nnc-go/nnc/build"
	"github.com/nnc-go/nnc/ir/eval"
	"github.com/nnc-go/nnc/runtime/abi"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/target"
)

// EmitOptions say what to make of a compiled model.
type EmitOptions struct {
	Kind    string // a name of Kinds; "" is exe
	Out     string // path; "" is the model's name in the current directory, with the kind's extension
	Version string // of nnc, for the product to tell
	Command string // how the product is made, for its documentation
}

// Product is what Build has made.
type Product struct {
	Paths    []string
	Size     int64 // bytes of all Paths; of the folder's files where a path is one
	Weights  int64 // bytes of weights in it
	Compiled *Compiled
	Golden   string // why a Go package has no golden test, "" where it has
	Warnings []string
	Stages   []StageTime
}

// Steps counts the plan's steps that run kernels and those that call host functions.
func (c *Compiled) Steps() (kernel, host int) {
	for i := range c.Program.Plan.Steps {
		switch c.Program.Plan.Steps[i].Kind {
		case plan.StepKernel:
			kernel++
		case plan.StepHost:
			host++
		}
	}
	return kernel, host
}

// kind is a row of the table of products.
type kind struct {
	name string
	does string
	ext  string // of the default output; exe has that of its operating system
	make func(ctx context.Context, b *making) error
}

var kinds []kind

func init() {
	kinds = []kind{
		{"exe", "static executable", "", makeExe},
		{"go", "folder with a complete Go module", "", makeGo},
		{"lib", "C library: libNAME.a, NAME.h, NAME_example.c in a folder", "", makeLib},
		{"obj", "object files (backend llvm)", ".o", makeCode(backend.Object)},
		{"asm", "assembly text; Go assembly with backend goasm", ".s", makeCode(backend.Assembly)},
		{"llvm", "the input of backend llvm: LLVM IR", ".ll", makeCode(backend.Source)},
		{"loop", "kernels as loop IR", ".loop", makeLoop},
		{"ir", "the model as tensor IR, after the passes", ".nir", makeIR},
	}
}

// Kinds lists the kinds of products with a line on each, in the order in which to show them.
func Kinds() [][2]string {
	var ks [][2]string
	for _, k := range kinds {
		ks = append(ks, [2]string{k.name, k.does})
	}
	return ks
}

// KindError is the error for a kind that does not exist.
type KindError struct{ Kind string }

func (e *KindError) Error() string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return fmt.Sprintf("-emit=%s: want one of %s", e.Kind, strings.Join(names, ", "))
}

// making is a product on its way.
type making struct {
	kind
	path string
	opts Options
	e    EmitOptions
	c    *Compiled   // for the first target
	more []*Compiled // for the others
	p    *Product
}

// Build compiles the model file at path and writes a product. What it writes appears whole or not at
// all. Close the product's Compiled.
func Build(ctx context.Context, path string, opts Options, e EmitOptions) (p *Product, err error) {
	b := &making{path: path, opts: opts, e: e, p: &Product{}}
	if e.Kind == "" {
		b.e.Kind = "exe"
	}
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == b.e.Kind })
	if i < 0 {
		return nil, &KindError{e.Kind}
	}
	b.kind = kinds[i]
	if err := b.checkOut(); err != nil {
		return nil, err
	}
	if b.c, err = Compile(ctx, path, opts); err != nil {
		return nil, err
	}
	defer func() {
		for _, c := range b.more {
			err = errors.Join(err, c.Close())
		}
		if err != nil {
			b.c.Close()
		}
	}()
	b.p.Compiled, b.p.Warnings = b.c, b.c.Report.Warnings
	if err := b.make(ctx, b); err != nil {
		return nil, err
	}
	b.p.Stages = sumStages(append([]*Compiled{b.c}, b.more...))
	b.p.Size, err = sizeOf(b.p.Paths)
	return b.p, err
}

// checkOut finds out early, before minutes of compiling, that the result cannot be written.
func (b *making) checkOut() error {
	if b.name == "lib" || b.name == "go" {
		return nil // package build checks
	}
	st, err := os.Stat(b.out(modelName(b.path), targetOS(b.opts.Target)))
	if err == nil && st.IsDir() {
		return fmt.Errorf("%s is a folder; choose another name with -o", b.out(modelName(b.path), targetOS(b.opts.Target)))
	}
	if b.e.Out == "" {
		return nil
	}
	if st, err := os.Stat(filepath.Dir(b.e.Out)); err != nil || !st.IsDir() {
		return fmt.Errorf("-o %s: there is no folder %s", b.e.Out, filepath.Dir(b.e.Out))
	}
	return nil
}

func targetOS(spec string) string {
	if system, _, pair := strings.Cut(spec, "/"); pair {
		return system
	}
	return runtime.GOOS
}

// out is the path of the product.
func (b *making) out(name, system string) string {
	switch {
	case b.e.Out != "":
		return b.e.Out
	case b.name == "exe" && system == "windows":
		return name + ".exe"
	}
	return name + b.ext
}

// arch compiles the kernels of c, once for all operating systems.
func arch(ctx context.Context, c *Compiled, systems []string) (build.Arch, error) {
	a := build.Arch{Target: c.Target, Plan: c.Program.Plan, Systems: systems}
	if c.missing != nil {
		return a, c.missing
	}
	a.GoAsm = c.Backend.Form() == backend.GoAssembly
	files, err := c.Generate(ctx, "linux", c.Backend.Form())
	names := map[string]string{}
	for _, k := range c.Kernels() {
		for _, f := range k.Funcs {
			names[backend.Symbol(f.Name, k.Level.Name)] = backend.Function(f, k.Level.Name)
		}
	}
	for _, f := range files {
		a.Objects = append(a.Objects, build.Object{Name: f.Name, Data: f.Data, Funcs: names})
	}
	return a, err
}

// model is the product's description for package build, with c's code only.
func (b *making) model(ctx context.Context) (*build.Model, error) {
	a, err := arch(ctx, b.c, []string{b.c.Target.OS})
	if err != nil {
		return nil, err
	}
	return b.modelOf(a)
}

func (b *making) modelOf(archs ...build.Arch) (*build.Model, error) {
	w, err := b.c.Weights()
	if err != nil {
		return nil, err
	}
	b.p.Weights = w.Size()
	return &build.Model{Name: b.c.Name, Archs: archs, Weights: w, HostName: eval.HostName, HostOps: b.c.Program.HostSteps, Version: b.e.Version}, nil
}

func makeExe(ctx context.Context, b *making) error {
	m, err := b.model(ctx)
	if err != nil {
		return err
	}
	out := b.out(b.c.Name, b.c.Target.OS)
	b.p.Paths = []string{out}
	return b.c.stage(ctx, "link", func() error { return m.Exe(ctx, out, b.c.Target) })
}

func makeLib(ctx context.Context, b *making) error {
	m, err := b.model(ctx)
	if err != nil {
		return err
	}
	dir := b.e.Out
	if strings.HasSuffix(dir, ".a") {
		base := strings.TrimSuffix(filepath.Base(dir), ".a")
		if m.Name = strings.TrimPrefix(base, "lib"); base == m.Name || m.Name != build.CIdentifier(m.Name) {
			return fmt.Errorf("-o %s: want the name of a folder, or libNAME.a with NAME a C identifier", dir)
		}
		dir = filepath.Dir(dir)
	}
	if dir == "" {
		dir = "."
	}
	name := build.CIdentifier(m.Name)
	b.p.Paths = []string{filepath.Join(dir, "lib"+name+".a"), filepath.Join(dir, name+".h"), filepath.Join(dir, name+"_example.c")}
	return b.c.stage(ctx, "link", func() error { return m.CLib(ctx, dir, b.c.Target) })
}

// goPlatforms are what a Go package is compiled for where the user does not say.
var goPlatforms = map[string][]string{"amd64": {"linux", "darwin", "windows"}, "arm64": {"linux", "darwin"}}

// goSystems are the operating systems of the Go package for the first target.
func (b *making) goSystems() []string {
	if strings.Contains(b.opts.Target, "/") {
		return []string{b.c.Target.OS}
	}
	return goPlatforms[b.c.Target.Arch.Name]
}

// otherArchs are the further architectures of a Go package: all that have the wanted CPU level,
// where the user has not named one.
func (b *making) otherArchs() []string {
	var names []string
	if b.opts.Target != "" || b.opts.CPU == "native" {
		return nil
	}
	for _, a := range target.Archs {
		t, err := target.Parse(a.Name, b.opts.CPU, b.opts.fast(), runtime.GOOS, runtime.GOARCH, abi.HasFeatures)
		if err == nil && a.Name != b.c.Target.Arch.Name && slices.ContainsFunc(t.Levels, b.c.Backend.Has) {
			names = append(names, a.Name)
		}
	}
	return names
}

func makeGo(ctx context.Context, b *making) error {
	var archs []build.Arch
	if b.c.Target.Arch != target.Portable {
		a, err := arch(ctx, b.c, b.goSystems())
		if err != nil {
			return err
		}
		archs = append(archs, a)
		for _, name := range b.otherArchs() {
			c, err := b.compileFor(ctx, name, b.opts.CPU)
			if err != nil {
				return err
			}
			if a, err = arch(ctx, c, goPlatforms[name]); err != nil {
				return err
			}
			archs = append(archs, a)
		}
	}
	m, err := b.modelOf(archs...)
	if err != nil {
		return err
	}
	if b.c.Backend.Form() == backend.GoAssembly {
		if m.Pure, err = b.pure(ctx); err != nil {
			return err
		}
	}
	golden, why := b.c.golden(ctx)
	b.p.Golden = why
	out := b.out(b.c.Name, "")
	b.p.Paths = []string{out}
	return b.c.stage(ctx, "package", func() error {
		return m.GoPackage(out, build.PackageOptions{Command: b.e.Command, Golden: golden})
	})
}

// compileFor compiles the model for one more architecture, whose weights must be the same.
func (b *making) compileFor(ctx context.Context, arch, cpu string) (*Compiled, error) {
	opts := b.opts
	opts.Target, opts.CPU, opts.After, opts.Debug, opts.narrow = arch, cpu, nil, nil, b.c.narrows()
	c, err := Compile(ctx, b.path, opts)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", arch, err)
	}
	b.more = append(b.more, c)
	return c, sameWeights(b.c, c)
}

// pure is the model in plain Go.
func (b *making) pure(ctx context.Context) (p *build.Pure, err error) {
	c := b.c
	if c.Target.Arch != target.Portable {
		if c, err = b.compileFor(ctx, target.Portable.Name, ""); err != nil {
			return nil, err
		}
	}
	return &build.Pure{Level: c.Target.Levels[0], Plan: c.Program.Plan, Render: func(pkg, constraint string) ([]byte, error) {
		return purego.Render(pkg, constraint, c.Program.Kernels[0])
	}}, nil
}

// sumStages adds up the times of equal stages.
func sumStages(cs []*Compiled) []StageTime {
	var sum []StageTime
	for _, c := range cs {
		for _, t := range c.Times {
			i := slices.IndexFunc(sum, func(s StageTime) bool { return s.Stage == t.Stage })
			if i < 0 {
				i, sum = len(sum), append(sum, StageTime{Stage: t.Stage})
			}
			sum[i].Time += t.Time
		}
	}
	return sum
}

// Total is the time of all stages.
func (p *Product) Total() (d time.Duration) {
	for _, s := range p.Stages {
		d += s.Time
	}
	return d
}

func sizeOf(paths []string) (n int64, err error) {
	for _, p := range paths {
		err = errors.Join(err, filepath.WalkDir(p, func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			st, err := d.Info()
			if err == nil {
				n += st.Size()
			}
			return err
		}))
	}
	return n, err
}

// ExeName is the default name of the executable of the model file at path, for this machine.
func ExeName(path string) string {
	if runtime.GOOS == "windows" {
		return modelName(path) + ".exe"
	}
	return modelName(path)
}
