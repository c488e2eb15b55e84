//go:build linux

package native

import (
	"context"
	"debug/elf"
	"os"
	"path/filepath"
	"runtime"

	"github.com/nnc-go/nnc/build"
)

// goMain is the program around kernels in Go assembly. It is never run; what it refers to, Go's linker keeps.
const goMain = `package main

func kernelTable() *uintptr

func main() { println(kernelTable()) }
`

// LoadGoAsm has the Go toolchain make a program of kernels in Go assembly, given by file name, and maps that
// program's segments. The kernels are those that names lists; they call nothing, and so nothing else of the
// program ever runs.
func LoadGoAsm(ctx context.Context, files map[string][]byte, names []string) (*Code, error) {
	dir, err := os.MkdirTemp("", "nnc-native-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	all := map[string][]byte{"go.mod": []byte("module kernels\n\ngo 1.24\n"), "main.go": []byte(goMain), "ztable_" + runtime.GOARCH + ".s": build.GoTable(runtime.GOARCH, "", names)}
	for name, text := range files {
		all[name] = text
	}
	for name, text := range all {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return nil, err
		}
	}
	bin := filepath.Join(dir, "kernels.bin")
	env := []string{"CGO_ENABLED=0", "GOOS=" + runtime.GOOS, "GOARCH=" + runtime.GOARCH}
	if err := build.GoBuild(ctx, dir, env, "-ldflags=-w", "-o", bin); err != nil {
		return nil, err
	}
	c, err := load(bin, (*elf.File).Symbols)
	if err != nil {
		return nil, err
	}
	kernels := map[string]uintptr{}
	for _, name := range names {
		if kernels[name] = c.sym["main."+name]; kernels[name] == 0 {
			kernels[name] = c.sym["main."+name+".abi0"]
		}
	}
	c.sym = kernels
	return c, nil
}
