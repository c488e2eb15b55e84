// Package build turns a compiled model into what the user asked for: an executable, a Go module, a C
// library. All three are the same Go module at heart: a copy of the runtime, the plan as a Go literal
// (zplan.go), a table of kernel addresses in assembly, the kernels as a .syso for each platform or as Go
// assembly, and the weights; they differ in the package around it and in who runs `go build`.
package build

import (
	"bytes"
	"embed"
	"fmt"
	"go/format"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"unicode"

	"github.com/nnc-go/nnc/runtime"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/target"
)

// Arch is what was compiled for one architecture. Plans differ between architectures (tiles and
// scratch sizes do), weights do not.
type Arch struct {
	Target  *target.Target // of any of the operating systems: its architecture and levels
	Plan    *plan.Plan
	Systems []string // operating systems to package for; Go assembly serves all
	Objects []Object
	GoAsm   bool // what Objects are
}

// Object is a piece of code: Go assembly, or a relocatable ELF file for all operating systems (see blob.go).
// Name, of letters, digits and underscores, tells it from the others.
type Object struct {
	Name string
	Data []byte
	// Funcs are the functions of Go assembly by kernel and level, as Symbol joins them. In an ELF file, kernel K of level L
	// is that very symbol, nnc_K_L, which products call by the name that is in Funcs, if there is one.
	Funcs map[string]string
}

// Pure is what was compiled to plain Go, for the architectures that have no assembly.
type Pure struct {
	Level *target.Level
	Plan  *plan.Plan
	// Render gives a file of package pkg, under a build constraint, that lists the plan's kernels in the variable pureKernels.
	Render func(pkg, constraint string) ([]byte, error)
}

// Model is a compiled model, ready to be packaged.
type Model struct {
	Name     string // of the model; package and file names derive from it
	Archs    []Arch
	Pure     *Pure // of a Go package, for all other architectures and with the tag purego; may be nil
	Weights  *io.SectionReader
	HostName func(op string) string // Go name of an op's host function
	HostOps  []string               // lower.Program.HostSteps, for people
	Version  string                 // of nnc
}

// plan is one of the plans, which agree on inputs and outputs.
func (m *Model) plan() *plan.Plan {
	if len(m.Archs) == 0 {
		return m.Pure.Plan
	}
	return m.Archs[0].Plan
}

const runtimePath = "github.com/nnc-go/nnc/runtime"

// Identifier makes a Go package name of a model name: lower-case letters and digits.
func Identifier(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' && b.Len() > 0 {
			b.WriteRune(r)
		}
	}
	if b.Len() == 0 {
		return "model"
	}
	return b.String()
}

//go:embed templates
var templates embed.FS

// inComment makes a name that may stand in a comment of Go or C.
func inComment(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	return strings.ReplaceAll(s, "*/", "* /")
}

// tmpl executes a template of the folder and gofmts Go files.
func tmpl(name string, data any) ([]byte, error) {
	src, err := templates.ReadFile("templates/" + name + ".tmpl")
	if err != nil {
		return nil, err
	}
	t, err := template.New(name).Funcs(template.FuncMap{"comment": inComment}).Parse(string(src))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := t.Execute(&out, data); err != nil {
		return nil, err
	}
	if !strings.HasSuffix(name, ".go") {
		return out.Bytes(), nil
	}
	b, err := format.Source(out.Bytes())
	if err != nil {
		return nil, fmt.Errorf("template %s: %w\n%s", name, err, out.Bytes())
	}
	return b, nil
}

// library are the packages of the runtime that a Go package or a C library needs; an executable has all.
var library = []string{"abi", "arena", "exec", "hostop", "imagedec", "plan", "tensor"}

// copyRuntime writes the sources of packages of the runtime below dir with their import paths changed
// to prefix; nil means all packages.
func copyRuntime(dir, prefix string, packages []string) error {
	return fs.WalkDir(runtime.Source, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(name, "_test.go") || strings.Contains(name, "testdata/") {
			return err
		}
		if packages != nil && !slices.Contains(packages, strings.Split(name, "/")[0]) {
			return nil
		}
		b, err := runtime.Source.ReadFile(name)
		if err != nil {
			return err
		}
		b = bytes.ReplaceAll(b, []byte(`"`+runtimePath), []byte(`"`+prefix))
		if strings.HasSuffix(name, ".go") || strings.HasSuffix(name, ".s") {
			b = append([]byte(generated), b...)
		}
		return writeFile(filepath.Join(dir, filepath.FromSlash(name)), b)
	})
}

// generated marks files as not to be edited, in the form that tools know.
const generated = "// Code generated by nnc; DO NOT EDIT.\n\n"

func writeFile(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o666)
}

// Symbol is the name of a kernel in object files.
func Symbol(kernel, level string) string { return "nnc_" + kernel + "_" + level }

// core writes what every product shares into dir: plans, code, and the tables of kernels as link
// makes them. Where there are none for a platform, levels() is empty. names begins the names of symbols
// in place of "nnc_".
func (m *Model) core(dir, pkg, prefix, names string, link linkage) error {
	p := &parts{Model: m, pkg: pkg, prefix: prefix, names: names, link: link, files: map[string][]byte{}}
	if m.Pure != nil {
		p.tag = "!purego"
	}
	for i := range m.Archs {
		if err := p.arch(&m.Archs[i]); err != nil {
			return err
		}
	}
	if err := p.others(); err != nil {
		return err
	}
	for name, b := range p.files {
		if err := writeFile(filepath.Join(dir, name), b); err != nil {
			return err
		}
	}
	return nil
}

// parts are the files of core.
type parts struct {
	*Model
	pkg, prefix, names string
	link               linkage
	tag                string // build constraint on all code for an architecture
	files              map[string][]byte
	archs, platforms   []string // build constraints that there are a plan and code for
}

// constrained is a line with a build constraint, of the parts that are not empty.
func constrained(parts ...string) string {
	parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
	if len(parts) == 0 {
		return ""
	}
	return "//go:build " + strings.Join(parts, " && ") + "\n\n"
}

// arch adds what there is for an architecture.
func (p *parts) arch(a *Arch) (err error) {
	arch := a.Target.Arch.Name
	p.archs = append(p.archs, arch)
	if p.files["zplan_"+arch+".go"], err = PlanLiteral(p.pkg, constrained(p.tag), p.prefix, a.Plan, p.HostName); err != nil {
		return err
	}
	data := map[string]any{"Package": p.pkg, "Runtime": p.prefix, "Constraint": constrained(p.tag), "Levels": a.Target.Levels, "N": len(a.Plan.Kernels)}
	if a.GoAsm {
		p.platforms = append(p.platforms, arch)
		return p.goAssembly(a, data)
	}
	levels, err := tmpl(p.link.levels, data)
	if err != nil {
		return err
	}
	code, err := newCode(a, p.names)
	if err != nil {
		return err
	}
	for _, os := range a.Systems {
		p.platforms = append(p.platforms, os+" && "+arch)
		p.files["zkernels_"+os+"_"+arch+".go"] = levels
		if err := code.objects(os, p.files); err != nil {
			return err
		}
	}
	p.link.tables(code, p.files)
	return nil
}

// others adds what there is for all other platforms: portable code, or nothing but words.
func (p *parts) others() (err error) {
	slices.Sort(p.platforms)
	if p.Pure == nil {
		for name, from := range map[string]string{"zkernels_other.go": "other.go", "zplan_other.go": "otherplan.go"} {
			data := map[string]any{"Package": p.pkg, "Runtime": p.prefix, "Platforms": p.platforms, "Archs": p.archs}
			if p.files[name], err = tmpl(from, data); err != nil {
				return err
			}
		}
		return nil
	}
	var constraint string // with no code for any architecture, always
	if len(p.platforms) > 0 {
		constraint = "purego"
	}
	for i, s := range p.platforms {
		constraint += []string{" || !", " && !"}[min(i, 1)] + s // without parentheses: Go assembly is for architectures
	}
	line := constrained(constraint)
	if p.files["zplan_purego.go"], err = PlanLiteral(p.pkg, line, p.prefix, p.Pure.Plan, p.HostName); err != nil {
		return err
	}
	if p.files["kernels_purego.go"], err = p.Pure.Render(p.pkg, constraint); err != nil {
		return err
	}
	p.files["zkernels_purego.go"], err = tmpl("purego.go", map[string]any{"Package": p.pkg, "Runtime": p.prefix, "Constraint": line, "Level": p.Pure.Level.Name})
	return err
}
