package build

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/nnc-go/nnc/runtime/weights"
	"github.com/nnc-go/nnc/target"
)

// exeModule is the module path of generated programs: always the same, so that Go's build cache has
// the runtime after the first build.
const exeModule = "nncproduct"

// Exe writes an executable for t, which must be one of m's platforms. The file appears whole or not at all, and depends on nothing but m.
func (m *Model) Exe(ctx context.Context, path string, t *target.Target) error {
	one, err := m.only(t)
	if err != nil {
		return err
	}
	dir, remove, err := TempDir()
	if err != nil {
		return err
	}
	defer remove()
	prefix := exeModule + "/internal/nnc"
	if err := one.core(dir, "main", prefix, "nnc_", staticLinkage); err != nil {
		return err
	}
	if err := copyRuntime(filepath.Join(dir, "internal", "nnc"), prefix, nil); err != nil {
		return err
	}
	if err := render(dir, "exe", map[string]any{"Module": exeModule, "Runtime": prefix, "Version": m.Version, "HostOps": m.HostOps}, "go.mod", "main.go"); err != nil {
		return err
	}
	bin := filepath.Join(dir, "program.bin")
	if err := GoBuild(ctx, dir, []string{"CGO_ENABLED=0", "GOOS=" + t.OS, "GOARCH=" + t.Arch.Name}, "-o", bin); err != nil {
		return err
	}
	return writeWhole(path, 0o755, func(f *os.File) error {
		b, err := os.Open(bin)
		if err != nil {
			return err
		}
		defer b.Close()
		n, err := io.Copy(f, b)
		if err != nil {
			return err
		}
		return weights.Append(f, n, io.NewSectionReader(m.Weights, 0, m.Weights.Size()))
	})
}

// only is m for one platform.
func (m *Model) only(t *target.Target) (*Model, error) {
	for _, a := range m.Archs {
		if a.Target.Arch.Name != t.Arch.Name {
			continue
		}
		if !slices.Contains(a.Systems, t.OS) {
			break
		}
		one := *m
		a.Systems = []string{t.OS}
		one.Archs = []Arch{a}
		return &one, nil
	}
	return nil, fmt.Errorf("build: model %s was not compiled for %s", m.Name, t)
}

// render executes the named templates of a folder into dir.
func render(dir, folder string, data any, names ...string) error {
	for _, name := range names {
		b, err := tmpl(folder+"/"+name, data)
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(dir, name), b); err != nil {
			return err
		}
	}
	return nil
}
