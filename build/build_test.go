package build

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/runtime/tensorio"
	"github.com/nnc-go/nnc/runtime/weights"
	"github.com/nnc-go/nnc/target"
	"github.com/stretchr/testify/require"
)

// addIR is z[i] = x[i] + y[i%4] for i in [lo, hi), as the compiler's kernels are called.
const addIR = `
define void @nnc_add_%s(ptr %%args, i64 %%lo, i64 %%hi) noredzone nounwind {
entry:
  %%px = load i64, ptr %%args
  %%x = inttoptr i64 %%px to ptr
  %%a1 = getelementptr i64, ptr %%args, i64 1
  %%py = load i64, ptr %%a1
  %%y = inttoptr i64 %%py to ptr
  %%a2 = getelementptr i64, ptr %%args, i64 2
  %%pz = load i64, ptr %%a2
  %%z = inttoptr i64 %%pz to ptr
  br label %%head
head:
  %%i = phi i64 [ %%lo, %%entry ], [ %%next, %%body ]
  %%more = icmp slt i64 %%i, %%hi
  br i1 %%more, label %%body, label %%done
body:
  %%j = and i64 %%i, 3
  %%xp = getelementptr float, ptr %%x, i64 %%i
  %%yp = getelementptr float, ptr %%y, i64 %%j
  %%zp = getelementptr float, ptr %%z, i64 %%i
  %%xv = load float, ptr %%xp
  %%yv = load float, ptr %%yp
  %%zv = fadd float %%xv, %%yv
  store float %%zv, ptr %%zp
  %%next = add i64 %%i, 1
  br label %%head
done:
  ret void
}
`

// tiny is z f32[N,4] = x f32[N,4] + a weight f32[4], for linux/amd64.
func tiny(t *testing.T) (*Model, *target.Target) {
	t.Helper()
	if runtime.GOARCH != "amd64" || runtime.GOOS != "linux" {
		t.Skip("runs what it builds for linux/amd64")
	}
	return tinyFor(t, "linux", "amd64")
}

func tinyFor(t *testing.T, system, archName string) (*Model, *target.Target) {
	t.Helper()
	llc, err := exec.LookPath("llc-19")
	if err != nil {
		t.Skip("needs llc-19")
	}
	arch, err := target.ArchByName(archName)
	require.NoError(t, err)
	tg := &target.Target{OS: system, Arch: arch, Levels: arch.Levels[:min(2, len(arch.Levels))]}
	var ir strings.Builder
	for _, l := range tg.Levels {
		text := fmt.Sprintf(addIR, l.Name)
		if archName == "amd64" {
			text = strings.ReplaceAll(text, "define void", "define x86_64_sysvcc void")
		}
		ir.WriteString(text)
	}
	cmd := exec.Command(llc, "-O2", "-filetype=obj", "-relocation-model=pic", "-mtriple="+arch.Triple["linux"])
	cmd.Stdin = strings.NewReader(ir.String())
	cmd.Stderr = os.Stderr
	obj, err := cmd.Output()
	require.NoError(t, err)
	return tinyModel(Arch{Target: tg, Plan: tinyPlan(), Systems: []string{system}, Objects: []Object{{Name: "all", Data: obj}}}), tg
}

func tinyModel(a Arch) *Model {
	w := tensor.AsBytes([]float32{1, 2, 3, 4})
	return &Model{Name: "Tiny-model.1", Version: "test", HostOps: []string{"none"}, Archs: []Arch{a}, Weights: io.NewSectionReader(bytes.NewReader(w), 0, int64(len(w)))}
}

// TestCross links for other platforms, and runs where an emulator is found.
func TestCross(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles Go's library for four platforms")
	}
	for platform, start := range map[string]string{"linux/arm64": "\x7fELF", "darwin/arm64": "\xcf\xfa\xed\xfe", "darwin/amd64": "\xcf\xfa\xed\xfe", "windows/amd64": "MZ"} {
		system, arch, _ := strings.Cut(platform, "/")
		m, tg := tinyFor(t, system, arch)
		exe := filepath.Join(t.TempDir(), "tiny")
		require.NoError(t, m.Exe(context.Background(), exe, tg), platform)
		b, err := os.ReadFile(exe)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(b), start), platform)
		w, err := weights.Open(exe)
		require.NoError(t, err)
		require.Len(t, w.Bytes, 16)
		require.NoError(t, w.Close())
		if qemu, err := exec.LookPath("qemu-aarch64"); err == nil && platform == "linux/arm64" {
			require.Contains(t, command(t, ".", qemu, exe, "-random=1", "-dim=N=2"), "f32[2,4]")
		}
	}
}

func tinyPlan() *plan.Plan {
	slots := []plan.SlotDef{
		{Op: plan.SlotInput},
		{Op: plan.SlotConst, Imm: 4},
		{Op: plan.SlotMul, A: 0, B: 1},
		{Op: plan.SlotMul, A: 2, B: 1},
		{Op: plan.SlotConst, Imm: 16},
	}
	io := func(name string) plan.IO {
		return plan.IO{Name: name, DType: tensor.F32, Shape: []int32{0, 1}, Dims: []string{"N", "4"}, Default: -1}
	}
	return &plan.Plan{
		Name: "Tiny-model.1", Inputs: []plan.IO{io("x:0")}, Outputs: []plan.IO{io("z/out")}, Slots: slots,
		Bufs: []plan.Buf{
			{Kind: plan.BufInput, Bytes: 3, Name: "x"},
			{Kind: plan.BufWeight, Bytes: 4, Name: "w"},
			{Kind: plan.BufOutput, Bytes: 3, Name: "z"},
		},
		Steps: []plan.Step{{
			Name: "Add", Args: []plan.Arg{{Kind: plan.ArgBuf, N: 0, Off: -1}, {Kind: plan.ArgBuf, N: 1, Off: -1}, {Kind: plan.ArgBuf, N: 2, Off: -1}},
			Par: []int32{2}, Grain: 64, Flops: 2, MemBytes: 3,
		}},
		WeightsSize: 16, ArenaSize: -1, Kernels: []string{"add"},
	}
}

func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %v: %s", name, args, out)
	return string(out)
}

func TestExe(t *testing.T) {
	m, tg := tiny(t)
	dir := t.TempDir()
	exe := filepath.Join(dir, "tiny")
	litter := filepath.Join(dir, ".tiny.nnc-tmp-999999999-1")
	require.NoError(t, os.WriteFile(litter, nil, 0o600))
	require.NoError(t, m.Exe(context.Background(), exe, tg))
	require.NoFileExists(t, litter)
	one, err := os.ReadFile(exe)
	require.NoError(t, err)
	t.Setenv("TMPDIR", t.TempDir())
	require.NoError(t, m.Exe(context.Background(), filepath.Join(t.TempDir(), "other"), tg))
	require.NoError(t, m.Exe(context.Background(), exe, tg))
	two, err := os.ReadFile(exe)
	require.NoError(t, err)
	require.True(t, bytes.Equal(one, two), "two builds differ")

	in := filepath.Join(dir, "in.npy")
	require.NoError(t, tensorio.WriteFile(in, tensor.Of([]float32{10, 20, 30, 40, 50, 60, 70, 80}, 2, 4)))
	for _, cpu := range []string{"sse", "avx2", ""} {
		out := filepath.Join(dir, "out"+cpu)
		command(t, dir, exe, in, "-cpu="+cpu, "-output-dir", out, "--output-format=pb")
		v, err := tensorio.ReadFile(filepath.Join(out, "output_0.pb"), tensorio.Want{})
		require.NoError(t, err)
		require.Equal(t, []float32{11, 22, 33, 44, 51, 62, 73, 84}, tensor.View[float32](v.(*tensor.Tensor)))
	}
	require.Contains(t, command(t, dir, exe, "run", "-input", "x:0="+in, "-profile"), "Add")
	var b map[string]any
	require.NoError(t, json.Unmarshal([]byte(command(t, dir, exe, "bench", "-json", "-time=10ms", "-dim=N=3")), &b))
	require.Greater(t, b["load_ms"], 0.0)
	require.Contains(t, command(t, dir, exe, "info", "-verify"), "checksum verified")
	t.Logf("%v", b)
	entries, err := filepath.Glob(filepath.Join(dir, ".*"))
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestGoPackage(t *testing.T) {
	m, _ := tiny(t)
	dir := filepath.Join(t.TempDir(), "pkg")
	g := &Golden{In: []*tensor.Tensor{tensor.Of([]float32{1, 2, 3, 4}, 1, 4)}, Out: []*tensor.Tensor{tensor.Of([]float32{2, 4, 6, 8}, 1, 4)}}
	for range 2 {
		require.NoError(t, m.GoPackage(dir, PackageOptions{Module: "example.com/tiny", Golden: g}))
	}
	command(t, dir, "go", "vet", "./...")
	out := command(t, dir, "go", "test", "-v", "-bench=.", "-benchtime=100x", "-benchmem", ".")
	for _, want := range []string{"--- PASS: TestGolden", "--- PASS: TestRun"} {
		require.Contains(t, out, want)
	}
	t.Log(out)
	require.Empty(t, command(t, dir, "gofmt", "-l", "."))
	// Elsewhere it builds too, and says at run time that it cannot.
	cmd := exec.Command("go", "build", "./...")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOOS=linux", "GOARCH=riscv64", "GOWORK=off")
	msg, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", msg)
	require.NoError(t, filepath.Walk(dir, func(path string, st os.FileInfo, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") {
			b, _ := os.ReadFile(path)
			require.True(t, bytes.HasPrefix(b, []byte(generated)), path)
		}
		return err
	}))
	own := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(own, "mine"), nil, 0o600))
	require.ErrorContains(t, m.GoPackage(own, PackageOptions{}), "not generated by nnc")
}

func TestCLib(t *testing.T) {
	m, tg := tiny(t)
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("needs gcc")
	}
	tryCLib(t, m, tg)
}

// tryCLib builds a C library of the tiny model and uses it.
func tryCLib(t *testing.T, m *Model, tg *target.Target) {
	dir := t.TempDir()
	require.NoError(t, m.CLib(context.Background(), dir, tg))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "t.c"), []byte(cTest), 0o600))
	for _, f := range []string{"Tiny_model_1_example.c", "t.c"} {
		command(t, dir, "gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", f, "libTiny_model_1.a", "-lpthread", "-o", f+".out")
	}
	require.Equal(t, "z/out: [1,4], 16 bytes\n", command(t, dir, "./Tiny_model_1_example.c.out"))
	require.Equal(t, "ok\n", command(t, dir, "./t.c.out"))
}

const cTest = `
#include <stdio.h>
#include <string.h>
#include "Tiny_model_1.h"
#define CHECK(c) do { if (!(c)) { printf("line %d: %s: %s\n", __LINE__, #c, err ? err : ""); return 1; } } while (0)
int main(void) {
	char *err = 0;
	Tiny_model_1_options o = {0};
	Tiny_model_1_info info;
	float x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, z[8];
	int64_t xs[2] = {2, 4}, zs[2];
	Tiny_model_1_tensor in = {x, TINY_MODEL_1_F32, 2, xs, sizeof x}, out = {z, 0, 2, zs, sizeof z};
	o.cpu = "none";
	CHECK(!Tiny_model_1_create(&o, &err) && strstr(err, "none"));
	Tiny_model_1_free(err);
	o.cpu = 0; o.threads = 2;
	Tiny_model_1_model *m = Tiny_model_1_create(&o, &err);
	CHECK(m && !err);
	CHECK(Tiny_model_1_input_count(m) == 1 && Tiny_model_1_output_count(m) == 1);
	CHECK(Tiny_model_1_input(m, 1, &info) == TINY_MODEL_1_ERR_ARGUMENT);
	CHECK(!Tiny_model_1_input(m, 0, &info) && !strcmp(info.name, "x:0") && info.rank == 2 && info.dims[0] == -1 && info.dims[1] == 4);
	CHECK(!Tiny_model_1_run(m, &in, &out, &err));
	CHECK(z[0] == 2 && z[7] == 12 && zs[0] == 2 && zs[1] == 4 && out.dtype == TINY_MODEL_1_F32);
	out.bytes = 4;
	CHECK(Tiny_model_1_run(m, &in, &out, &err) == TINY_MODEL_1_ERR_BUFFER && err && out.bytes == sizeof z);
	Tiny_model_1_free(err);
	xs[1] = 2; xs[0] = 4;
	CHECK(Tiny_model_1_run(m, &in, &out, &err) == TINY_MODEL_1_ERR_SHAPE && err);
	Tiny_model_1_free(err);
	Tiny_model_1_destroy(m);
	puts("ok");
	return 0;
}
`
