//go:build linux

package llvm

import (
	"context"
	"testing"

	"github.com/nnc-go/nnc/backend"
	"github.com/nnc-go/nnc/internal/kerneltest"
	"github.com/nnc-go/nnc/internal/native"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/abi"
	"github.com/nnc-go/nnc/target"
)

// eachLevel runs a test on the levels that this machine has.
func eachLevel(t *testing.T, test func(t *testing.T, level *target.Level, generate kerneltest.Generator)) {
	back, err := New()
	if err != nil {
		t.Skip(err)
	}
	kerneltest.EachLevel(t, back.Has, func(t *testing.T, arch *target.Arch, level *target.Level) {
		test(t, level, func(fs []*loop.Func) (map[string]kerneltest.Entry, error) { return compile(t, back, arch, level, fs) })
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
func compile(t *testing.T, back *LLVM, arch *target.Arch, level *target.Level, fs []*loop.Func) (map[string]kerneltest.Entry, error) {
	files, err := back.Generate(context.Background(), &target.Target{OS: "linux", Arch: arch, Levels: arch.Levels}, []backend.Kernels{{Level: level, Funcs: fs}}, backend.Object)
	if err != nil {
		return nil, err
	}
	var objs [][]byte
	for _, f := range files {
		objs = append(objs, f.Data)
	}
	code, err := native.Load(objs...)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { code.Close() })
	entries := map[string]kerneltest.Entry{}
	for _, f := range fs {
		entry := code.Symbol(backend.Symbol(f.Name, level.Name))
		entries[f.Name] = func(args *int64, lo, hi int64) { abi.Call(entry, args, lo, hi) }
	}
	return entries, nil
}
