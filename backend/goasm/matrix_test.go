//go:build linux

package goasm

import (
	"context"
	"maps"
	"slices"
	"testing"

	"github.com/nnc-go/nnc/backend"
	"github.com/nnc-go/nnc/internal/kerneltest"
	"github.com/nnc-go/nnc/internal/native"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/abi"
	"github.com/nnc-go/nnc/target"
)

// eachLevel runs a test on the levels that there is code for and that this machine has.
func eachLevel(t *testing.T, test func(t *testing.T, level *target.Level, generate kerneltest.Generator)) {
	kerneltest.EachLevel(t, GoAsm{}.Has, func(t *testing.T, arch *target.Arch, level *target.Level) {
		test(t, level, func(fs []*loop.Func) (map[string]kerneltest.Entry, error) { return compile(t, arch, level, fs) })
	})
}

// TestMatrix holds every operation in every type against package loop's evaluator.
func TestMatrix(t *testing.T) {
	eachLevel(t, func(t *testing.T, level *target.Level, generate kerneltest.Generator) {
		kerneltest.Run(t, kerneltest.Matrix(level), generate)
	})
}

// TestRandomKernels holds kernels of loops, conditionals and operations in any order against the evaluator. More of
// them, and others, run by the flags -kernels and -seed.
func TestRandomKernels(t *testing.T) { eachLevel(t, kerneltest.RunRandom) }

// compile generates and loads kernels.
func compile(t *testing.T, arch *target.Arch, level *target.Level, fs []*loop.Func) (map[string]kerneltest.Entry, error) {
	files, err := GoAsm{}.Generate(context.Background(), &target.Target{OS: "linux", Arch: arch}, []backend.Kernels{{Level: level, Funcs: fs}}, backend.GoAssembly)
	if err != nil {
		return nil, err
	}
	return enter(t, arch, level, fs, files[0])
}

// enter loads the code of kernels.
func enter(t *testing.T, arch *target.Arch, level *target.Level, fs []*loop.Func, file backend.File) (map[string]kerneltest.Entry, error) {
	code, err := native.LoadGoAsm(context.Background(), map[string][]byte{"kernels_" + arch.Name + ".s": file.Data}, slices.Collect(maps.Values(file.Funcs)))
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { code.Close() })
	entries := map[string]kerneltest.Entry{}
	for _, f := range fs {
		entry := code.Symbol(file.Funcs[backend.Symbol(f.Name, level.Name)])
		entries[f.Name] = func(args *int64, lo, hi int64) { abi.CallGo(entry, args, lo, hi) }
	}
	return entries, nil
}
