//go:build linux

package goasm

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/backend"
	"github.com/nnc-go/nnc/internal/kerneltest"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/target"
)

// generated is the variable that names the file in which TestGenerated finds code.
const generated = "NNC_GENERATED"

// TestArm64 holds a part of the matrix against the evaluator as code for arm64, in qemu. (All of it, generated in qemu too: GOARCH=arm64
// go test -exec qemu-aarch64 -run TestMatrix ./backend/goasm; that takes minutes.)
func TestArm64(t *testing.T) {
	const every = 4
	if testing.Short() || runtime.GOARCH == "arm64" {
		t.Skip("TestMatrix does on arm64 what this does elsewhere")
	}
	if _, err := exec.LookPath("qemu-aarch64"); err != nil {
		t.Skip("code for arm64 runs in qemu here: ", err)
	}
	arch, err := target.ArchByName("arm64")
	require.NoError(t, err)
	level := arch.Levels[0]
	var fs []*loop.Func
	for i, k := range kerneltest.Matrix(level) {
		if i%every == 0 {
			fs = append(fs, k.F)
		}
	}
	files, err := GoAsm{}.Generate(context.Background(), &target.Target{OS: "linux", Arch: arch}, []backend.Kernels{{Level: level, Funcs: fs}}, backend.GoAssembly)
	require.NoError(t, err)
	text, err := json.Marshal(files[0])
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "kernels.json")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	cmd := exec.Command("go", "test", "-count=1", "-exec", "qemu-aarch64", "-run", "^TestGenerated$", ".")
	cmd.Env = append(os.Environ(), "GOARCH=arm64", "CGO_ENABLED=0", generated+"="+path)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// TestGenerated is the part of TestArm64 that runs in qemu.
func TestGenerated(t *testing.T) {
	path := os.Getenv(generated)
	if path == "" {
		t.Skip("TestArm64 runs it")
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var file backend.File
	require.NoError(t, json.Unmarshal(text, &file))
	arch, err := target.ArchByName(runtime.GOARCH)
	require.NoError(t, err)
	level := arch.Levels[0]
	var ks []*kerneltest.Kernel
	for _, k := range kerneltest.Matrix(level) {
		if file.Funcs[backend.Symbol(k.F.Name, level.Name)] != "" {
			ks = append(ks, k)
		}
	}
	require.Len(t, ks, len(file.Funcs))
	kerneltest.Run(t, ks, func(fs []*loop.Func) (map[string]kerneltest.Entry, error) { return enter(t, arch, level, fs, file) })
}
