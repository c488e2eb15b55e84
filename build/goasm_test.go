package build

import (
	"context"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
	"github.com/stretchr/testify/require"
)

// addGo are the kernels of the tiny model in Go assembly, by level.
const addGo = `
#include "textflag.h"

TEXT ·addSSE(SB), NOSPLIT, $0-32
	JMP ·addAVX2(SB)

TEXT ·addAVX2(SB), NOSPLIT, $0-32
	MOVQ args+0(FP), AX
	MOVQ (AX), R8
	MOVQ 8(AX), R9
	MOVQ 16(AX), R10
	MOVQ lo+8(FP), CX
	JMP test
loop:
	MOVQ CX, DX
	ANDQ $3, DX
	MOVSS (R8)(CX*4), X0
	ADDSS (R9)(DX*4), X0
	MOVSS X0, (R10)(CX*4)
	INCQ CX
test:
	CMPQ CX, hi+16(FP)
	JLT loop
	RET
`

// addPure is the kernel in Go.
const addPure = `package PKG

import "unsafe"

var pureKernels = [...]func(args *int64, lo, hi int64){add}

func add(args *int64, lo, hi int64) {
	p := unsafe.Slice((**[1 << 20]float32)(unsafe.Pointer(args)), 3)
	for i := lo; i < hi; i++ {
		p[2][i] = p[0][i] + p[1][i&3]
	}
}
`

// tinyGoAsm is the tiny model in Go assembly and in Go.
func tinyGoAsm(t *testing.T) (*Model, *target.Target) {
	if runtime.GOARCH != "amd64" || runtime.GOOS != "linux" {
		t.Skip("runs what it builds for linux/amd64")
	}
	arch, err := target.ArchByName("amd64")
	require.NoError(t, err)
	tg := &target.Target{OS: "linux", Arch: arch, Levels: arch.Levels[:2]}
	m := tinyModel(Arch{Target: tg, Plan: tinyPlan(), Systems: []string{"linux"}, GoAsm: true, Objects: []Object{{Name: "kernels", Data: []byte("//go:build !purego\n" + addGo),
		Funcs: map[string]string{"nnc_add_sse": "addSSE", "nnc_add_avx2": "addAVX2"}}}})
	m.Pure = &Pure{Level: &target.Level{Name: "plain"}, Plan: tinyPlan(), Render: func(pkg, constraint string) ([]byte, error) {
		return []byte(generated + constrained(constraint) + strings.Replace(addPure, "PKG", pkg, 1)), nil
	}}
	return m, tg
}

func TestGoAsmPackage(t *testing.T) {
	m, _ := tinyGoAsm(t)
	dir := filepath.Join(t.TempDir(), "pkg")
	g := &Golden{In: []*tensor.Tensor{tensor.Of([]float32{1, 2, 3, 4}, 1, 4)}, Out: []*tensor.Tensor{tensor.Of([]float32{2, 4, 6, 8}, 1, 4)}}
	require.NoError(t, m.GoPackage(dir, PackageOptions{Module: "example.com/tiny", Golden: g}))
	command(t, dir, "go", "vet", "./...")
	for _, tags := range []string{"", "purego"} {
		out := command(t, dir, "go", "test", "-v", "-tags="+tags, ".")
		require.Contains(t, out, "--- PASS: TestGolden")
		require.Contains(t, out, "--- PASS: TestRun")
	}
	require.Empty(t, command(t, dir, "gofmt", "-l", "."))
}

func TestGoAsmProducts(t *testing.T) {
	m, tg := tinyGoAsm(t)
	m.Pure = nil
	exe := filepath.Join(t.TempDir(), "tiny")
	require.NoError(t, m.Exe(context.Background(), exe, tg))
	for _, cpu := range []string{"sse", "avx2"} {
		require.Contains(t, command(t, ".", exe, "-random=1", "-dim=N=2", "-cpu="+cpu), "f32[2,4]")
	}
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("the C library needs gcc")
	}
	tryCLib(t, m, tg)
	delete(m.Archs[0].Objects[0].Funcs, "nnc_add_sse")
	require.ErrorContains(t, m.Exe(context.Background(), exe, tg), "no code for kernel add of level sse")
}
