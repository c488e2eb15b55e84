package build

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// CIdentifier makes a C identifier of a model name, the prefix of all names of its library.
func CIdentifier(name string) string {
	s := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, name)
	if s = strings.Trim(s, "_"); s == "" || s[0] <= '9' {
		s = "model_" + s
	}
	return strings.TrimRight(s, "_")
}

// CLib writes a static C library for t into dir: libNAME.a, NAME.h, and NAME_example.c, a program
// that shows their use. The machine must have a C compiler for t; one for another platform is named by CC in the environment.
func (m *Model) CLib(ctx context.Context, dir string, t *target.Target) error {
	one, err := m.only(t)
	if err != nil {
		return err
	}
	if n := m.Weights.Size(); n > maxEmbed {
		return fmt.Errorf("build: %d bytes of weights are too many for a C library (at most %d); use -emit=exe", n, maxEmbed)
	}
	work, remove, err := TempDir()
	if err != nil {
		return err
	}
	defer remove()
	name := CIdentifier(m.Name)
	data, err := one.clibData(name)
	if err != nil {
		return err
	}
	prefix := exeModule + "/internal/nnc"
	if err := one.clibCore(work, prefix, "nnc_"+name+"_"); err != nil {
		return err
	}
	if err := writeWhole(filepath.Join(work, "weights.bin"), 0o666, func(f *os.File) error { return copyTo(f, m.Weights) }); err != nil {
		return err
	}
	if err := copyRuntime(filepath.Join(work, "internal", "nnc"), prefix, library); err != nil {
		return err
	}
	if err := render(work, "clib", data, "go.mod", "main.go", "api.c", "api.h", "example.c"); err != nil {
		return err
	}
	// go build would compile the example into the library.
	if err := os.Rename(filepath.Join(work, "example.c"), filepath.Join(work, "example.txt")); err != nil {
		return err
	}
	lib := filepath.Join(work, "lib.a")
	env := []string{"CGO_ENABLED=1", "GOOS=" + t.OS, "GOARCH=" + t.Arch.Name}
	if err := GoBuild(ctx, work, env, "-buildmode=c-archive", "-o", lib); err != nil {
		return fmt.Errorf("%w\n(a C library needs a C compiler, gcc or clang, besides Go)", err)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for _, f := range [][2]string{{lib, "lib" + name + ".a"}, {filepath.Join(work, "api.h"), name + ".h"}, {filepath.Join(work, "example.txt"), name + "_example.c"}} {
		if err := install(f[0], filepath.Join(dir, f[1])); err != nil {
			return err
		}
	}
	return nil
}

// clibCore is core for a package with cgo. That cannot have Go assembly, and so gets it from a package of its own.
func (m *Model) clibCore(dir, prefix, names string) error {
	if !m.Archs[0].GoAsm {
		return m.core(dir, "main", prefix, names, cLinkage)
	}
	code := filepath.Join(dir, "internal", "code")
	if err := m.core(code, "code", prefix, names, staticLinkage); err != nil {
		return err
	}
	data := map[string]any{"Runtime": prefix, "Code": exeModule + "/internal/code"}
	if err := render(code, "clib", data, "export.go"); err != nil {
		return err
	}
	return render(dir, "clib", data, "code.go")
}

func install(from, to string) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	return writeWhole(to, 0o644, func(f *os.File) error {
		_, err := f.ReadFrom(r)
		return err
	})
}

// clibData is what the templates of a C library are filled from.
func (m *Model) clibData(name string) (map[string]any, error) {
	p := m.Archs[0].Plan
	for _, ios := range [][]plan.IO{p.Inputs, p.Outputs} {
		for i := range ios {
			if ios[i].Boxed() {
				return nil, fmt.Errorf("build: %q has type %s, which a C library cannot take; use -emit=exe", ios[i].Name, ios[i].TypeString())
			}
		}
	}
	type dtype struct {
		Name   string
		Number int
	}
	var dtypes []dtype
	for d := tensor.F32; d.String() != fmt.Sprintf("dtype(%d)", uint8(d)); d++ {
		if d != tensor.String {
			dtypes = append(dtypes, dtype{strings.ToUpper(d.String()), int(d)})
		}
	}
	return map[string]any{"Module": exeModule, "Runtime": exeModule + "/internal/nnc", "Name": name, "Upper": strings.ToUpper(name), "Model": m.Name,
		"Inputs": p.Inputs, "Outputs": p.Outputs, "DTypes": dtypes, "Version": m.Version}, nil
}
