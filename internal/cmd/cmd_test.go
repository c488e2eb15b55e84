package cmd

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/analysis/passes/asmdecl"
	"golang.org/x/tools/go/packages"

	"github.com/nnc-go/nnc/backend/llvm"
	"github.com/nnc-go/nnc/internal/testcase"
	"github.com/nnc-go/nnc/runtime/tensorio"
)

const (
	cnn    = "../../examples/digits_cnn"
	cnnNNC = cnn + "/model.onnx"
	cnnSet = cnn + "/test_data_set_0"
)

// nncPath is the binary that the tests run, built by TestMain.
var nncPath string

func TestMain(m *testing.M) { os.Exit(withBinary(m)) }

func withBinary(m *testing.M) int {
	dir, err := os.MkdirTemp("", "nnc-cmd-test-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	nncPath = filepath.Join(dir, "nnc")
	if out, err := exec.Command("go", "build", "-o", nncPath, "../../cmd/nnc").CombinedOutput(); err != nil {
		panic(string(out))
	}
	return m.Run()
}

// command runs a program in dir and gives its output, both streams, and its exit code.
func command(t *testing.T, dir string, env []string, name string, args ...string) (string, int) {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir = dir
	c.Env = append(os.Environ(), env...)
	out, err := c.CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatalf("%s: %v", name, err)
	}
	return string(out), c.ProcessState.ExitCode()
}

// nnc runs a command line that must give the exit code.
func nnc(t *testing.T, code int, args ...string) string {
	t.Helper()
	out, got := command(t, "", nil, nncPath, args...)
	require.Equal(t, code, got, "nnc %s: %s", strings.Join(args, " "), out)
	return out
}

func must(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	out, code := command(t, dir, env, name, args...)
	require.Zero(t, code, "%s %s: %s", name, strings.Join(args, " "), out)
	return out
}

func needLLVM(t *testing.T) {
	t.Helper()
	if _, err := llvm.New(); err != nil {
		t.Skip(err)
	}
}

// eachBackend runs a test with every backend.
func eachBackend(t *testing.T, f func(t *testing.T, backend string)) {
	for _, b := range []string{"llvm", "goasm"} {
		t.Run(b, func(t *testing.T) {
			if b == "llvm" {
				needLLVM(t)
			}
			f(t, "-backend="+b)
		})
	}
}

func needTool(t *testing.T, name, install string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not in PATH; install it with: %s", name, install)
	}
}

// sameAsSet compares output_0.pb in dir with that of the example.
func sameAsSet(t *testing.T, dir string) {
	t.Helper()
	read := func(dir string) any {
		v, err := tensorio.ReadFile(filepath.Join(dir, "output_0.pb"), tensorio.Want{})
		require.NoError(t, err)
		return v
	}
	assert.Empty(t, testcase.Compare(read(dir), read(cnnSet), testcase.Tolerance{Rel: 1e-3, Abs: 1e-5}))
}

func TestBuildAndRun(t *testing.T) {
	needLLVM(t)
	dir := t.TempDir()
	exe := filepath.Join(dir, "digits")
	out := nnc(t, 0, "build", cnnNNC, "-target=amd64", "-o", exe, "-v")
	for _, want := range []string{"less weights", "arena", "kernel steps", "levels sse avx2 avx512", "codegen", "link"} {
		assert.Contains(t, out, want)
	}
	again := filepath.Join(t.TempDir(), "other")
	nnc(t, 0, "build", "--target", "linux/amd64", "--o="+again, cnnNNC)
	one, err := os.ReadFile(exe)
	require.NoError(t, err)
	two, err := os.ReadFile(again)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(one, two), "two builds differ")
	launch, err := (&compileFlags{target: "linux/amd64"}).launcher()
	if err != nil {
		t.Skip(err)
	}
	args := append(launch, exe, "-input", cnnSet+"/input_0.pb", "-output-dir", filepath.Join(dir, "out"), "-output-format=pb")
	must(t, "", nil, args[0], args[1:]...)
	sameAsSet(t, filepath.Join(dir, "out"))
}

func TestOtherPlatforms(t *testing.T) {
	needLLVM(t)
	dir := t.TempDir()
	for target, magic := range map[string]string{"darwin/arm64": "\xcf\xfa\xed\xfe", "windows/amd64": "MZ"} {
		exe := filepath.Join(dir, strings.ReplaceAll(target, "/", "_"))
		nnc(t, 0, "build", cnnNNC, "-target", target, "-o", exe)
		b, err := os.ReadFile(exe)
		require.NoError(t, err)
		assert.True(t, strings.HasPrefix(string(b), magic), target)
	}
}

func TestRunCached(t *testing.T) {
	needLLVM(t)
	dir := t.TempDir()
	cache := []string{"XDG_CACHE_HOME=" + filepath.Join(dir, "cache"), "GOCACHE=" + strings.TrimSpace(must(t, "", nil, "go", "env", "GOCACHE"))}
	for _, args := range [][]string{
		{"run", cnnNNC, "-input", cnnSet + "/input_0.pb"},
		{"run", cnnNNC, cnnSet + "/input_0.pb"},
		{"run", "-cpu=sse", cnnNNC, "--input=image=" + cnnSet + "/input_0.pb"},
	} {
		out := filepath.Join(t.TempDir(), "out")
		must(t, "", cache, nncPath, append(args, "-output-dir", out, "-output-format=pb")...)
		sameAsSet(t, out)
	}
	entries, err := filepath.Glob(filepath.Join(dir, "cache", "nnc", "*"))
	require.NoError(t, err)
	assert.Len(t, entries, 2, "the first two have the same flags")
	var b map[string]any
	text := must(t, "", cache, nncPath, "bench", cnnNNC, "-json", "-time=10ms", "-threads", "1")
	require.NoError(t, json.Unmarshal([]byte(text), &b), text)
	for _, field := range []string{"p50_ms", "p90_ms", "p99_ms", "mean_ms", "load_ms", "first_ms", "peak_rss_bytes", "threads", "cpu"} {
		assert.Contains(t, b, field)
	}
	assert.EqualValues(t, 1, b["threads"])
	text = must(t, "", cache, nncPath, "profile", cnnNNC, "-time=10ms", "-threads", "1", "-trace", filepath.Join(dir, "trace.json"))
	assert.Regexp(t, `(?m)^ +\d+ .*Conv`, text)
	assert.Regexp(t, `(?m)^ .* all$`, text)
	assert.FileExists(t, filepath.Join(dir, "trace.json"))
}

func TestARM64(t *testing.T) {
	needTool(t, "qemu-aarch64", qemuHint)
	eachBackend(t, func(t *testing.T, backend string) {
		out := filepath.Join(t.TempDir(), "out")
		nnc(t, 0, "run", cnnNNC, backend, "-target=arm64", "-input", cnnSet+"/input_0.pb", "-output-dir", out, "-output-format", "pb")
		sameAsSet(t, out)
	})
}

func TestGo(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		dir := filepath.Join(t.TempDir(), "digits")
		out := nnc(t, 0, "build", cnnNNC, backend, "-emit=go", "-o", dir)
		assert.NotContains(t, out, "no golden test")
		must(t, dir, nil, "go", "vet", "./...")
		assert.Contains(t, must(t, dir, nil, "go", "test", "-v", "."), "PASS: TestGolden")
		platforms := []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64"}
		if backend == "-backend=goasm" {
			goAssembly(t, dir)
			platforms = append(platforms, "windows/arm64", "linux/riscv64", "js/wasm", "wasip1/wasm")
		}
		for _, platform := range platforms {
			system, arch, _ := strings.Cut(platform, "/")
			// A test binary is linked, which go build of a package is not.
			must(t, dir, []string{"CGO_ENABLED=0", "GOOS=" + system, "GOARCH=" + arch}, "go", "test", "-c", "-o", os.DevNull, ".")
		}
		if testing.Short() {
			return
		}
		needTool(t, "gcc", "apt-get install -y gcc")
		must(t, dir, []string{"CGO_ENABLED=1"}, "go", "test", "-race", ".")
	})
}

// TestGenerate takes the line for go generate from a package's documentation and has go generate make the package anew.
func TestGenerate(t *testing.T) {
	dir := t.TempDir()
	model, err := os.ReadFile(cnnNNC)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "digits.onnx"), model, 0o600))
	nnc(t, 0, "build", filepath.Join(dir, "digits.onnx"), "-backend=goasm", "-shape=image=2x1x8x8", "-math=strict", "-emit=go", "-o", filepath.Join(dir, "digits"))
	files, err := filepath.Glob(filepath.Join(dir, "digits", "*.*"))
	require.NoError(t, err)
	first := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		first[f] = string(b)
	}
	line := regexp.MustCompile(`//go:generate nnc build .*`).FindString(first[filepath.Join(dir, "digits", "doc.go")])
	require.NotEmpty(t, line)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "digits")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module user\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "user.go"), []byte("package user\n\n"+line+"\n"), 0o600))
	must(t, dir, []string{"PATH=" + filepath.Dir(nncPath) + string(filepath.ListSeparator) + os.Getenv("PATH")}, "go", "generate", ".")
	for f, want := range first {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		assert.True(t, want == string(b), "%s differs", f)
	}
}

// goAssembly checks what is special about a package of Go assembly: that it is in order, that there is no object
// file, and that plain Go stands in for it.
func goAssembly(t *testing.T, dir string) {
	for _, arch := range []string{"amd64", "arm64"} {
		asmdeclClean(t, dir, arch)
	}
	objects, err := filepath.Glob(filepath.Join(dir, "*.syso"))
	require.NoError(t, err)
	assert.Empty(t, objects)
	assert.Contains(t, must(t, dir, nil, "go", "test", "-v", "-tags=purego", "."), "PASS: TestGolden")
}

// asmdeclClean holds the package's assembly against its Go declarations.
func asmdeclClean(t *testing.T, dir, arch string) {
	env := append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod", "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	pkgs, err := packages.Load(&packages.Config{Mode: packages.LoadAllSyntax, Dir: dir, Env: env}, ".")
	require.NoError(t, err)
	require.Len(t, pkgs, 1)
	require.Contains(t, pkgs[0].OtherFiles, filepath.Join(dir, "kernels_"+arch+".s"))
	g, err := checker.Analyze([]*analysis.Analyzer{asmdecl.Analyzer}, pkgs, nil)
	require.NoError(t, err)
	for _, a := range g.Roots {
		require.NoError(t, a.Err)
		for _, d := range a.Diagnostics {
			assert.Fail(t, d.Message, "%s: %v", arch, pkgs[0].Fset.Position(d.Pos))
		}
	}
}

// TestProfile: a profile of the processor's time shows kernels, under names that say the node.
func TestProfile(t *testing.T) {
	if _, err := (&compileFlags{}).launcher(); err != nil {
		t.Skip(err)
	}
	eachBackend(t, func(t *testing.T, backend string) {
		dir := t.TempDir()
		exe, profile := filepath.Join(dir, "digits"), filepath.Join(dir, "cpu.prof")
		nnc(t, 0, "build", cnnNNC, backend, "-o", exe)
		must(t, "", nil, exe, "bench", "-time=500ms", "-dim=N=16", "-cpuprofile", profile)
		assert.Regexp(t, `conv3x3_\d+_net_\w+_Conv_\w+`, must(t, "", nil, "go", "tool", "pprof", "-top", profile))
		out, code := command(t, "", nil, exe, "bench", "-cpuprofile", filepath.Join(dir, "absent", "cpu.prof"))
		assert.Equal(t, 1, code)
		assert.Contains(t, out, "-cpuprofile")
	})
}

// TestOnlyGo: the first command of the README, with nothing but Go on the machine.
func TestOnlyGo(t *testing.T) {
	path, err := exec.LookPath("go")
	require.NoError(t, err)
	path, err = filepath.EvalSymlinks(path)
	require.NoError(t, err)
	bin := t.TempDir()
	require.NoError(t, os.Symlink(path, filepath.Join(bin, "go")))
	cache := strings.TrimSpace(must(t, "", nil, "go", "env", "GOCACHE"))
	out := must(t, "", []string{"PATH=" + bin, "NNC_LLVM=/nowhere", "XDG_CACHE_HOME=" + t.TempDir(), "GOCACHE=" + cache}, nncPath, "run", cnnNNC, "-input", cnn+"/input.npy")
	assert.Contains(t, out, "logits")
}

func TestLib(t *testing.T) {
	needTool(t, "gcc", "apt-get install -y gcc")
	eachBackend(t, func(t *testing.T, backend string) {
		dir := t.TempDir()
		nnc(t, 0, "build", cnnNNC, backend, "-emit=lib", "-o", dir)
		must(t, dir, nil, "gcc", "digits_cnn_example.c", "libdigits_cnn.a", "-lpthread", "-o", "example")
		assert.Equal(t, "logits: [1,10], 40 bytes\n", must(t, dir, nil, "./example"))
	})
}

func TestText(t *testing.T) {
	dir := t.TempDir()
	text := nnc(t, 0, "dump", cnnNNC, "-after=import")
	assert.Contains(t, text, "# after import")
	file := filepath.Join(dir, "m.nir")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	assert.Contains(t, nnc(t, 0, "opt", file, "-weights", cnnNNC), "Fused")
	assert.Contains(t, nnc(t, 0, "opt", file, "-passes=infer,clean", "-d=clean/check"), "Conv")
	nnc(t, 0, "build", cnnNNC, "-emit=ir", "-o", file)
	nnc(t, 0, "opt", file, "-passes=infer", "-weights="+cnnNNC)
	assert.Contains(t, nnc(t, 0, "dump", cnnNNC, "-stage=plan", "-shape=image=1x1x8x8"), "arena of")
	assert.Contains(t, nnc(t, 0, "dump", cnnNNC, "-stage=loop", "-cpu=avx2", "-target=amd64"), "kernel ")
	assert.Contains(t, nnc(t, 0, "dump", cnnNNC, "-backend=goasm", "-html", "-cpu=avx2", "-target=amd64"), "<h2>assembly</h2>")
	nnc(t, 0, "build", cnnNNC, "-backend=goasm", "-emit=asm", "-target=arm64", "-o", filepath.Join(dir, "k.s"))
	asm, err := os.ReadFile(filepath.Join(dir, "k.s"))
	require.NoError(t, err)
	assert.Regexp(t, `TEXT ·conv3x3_1_net_stem_\w*_neon\(SB\), NOSPLIT`, string(asm), "the function's name says the node")
	if _, err := llvm.New(); err == nil {
		assert.Contains(t, nnc(t, 0, "dump", cnnNNC, "-stage=asm", "-target=arm64"), "nnc_")
		assert.Contains(t, nnc(t, 0, "dump", cnnNNC, "-html", "-backend=llvm"), "<h2>assembly</h2>")
		nnc(t, 0, "build", cnnNNC, "-emit=obj", "-target=amd64", "-o", filepath.Join(dir, "k.o"))
		assert.FileExists(t, filepath.Join(dir, "k_avx2.o"))
	}
}

func TestTest(t *testing.T) {
	needLLVM(t)
	assert.Contains(t, nnc(t, 0, "test", "../../examples", "-j=1"), "2 passed, 0 failed")
	assert.Contains(t, nnc(t, 0, "test", "../../examples", "-run", "cnn", "-exe"), "1 passed, 0 failed")
	out := nnc(t, 1, "test", cnn, "-rtol=0", "-atol=1e-12")
	assert.Regexp(t, `FAIL +digits_cnn: test_data_set_0: output "logits": \d+ of \d+ elements differ, the worst at`, out)
	var r result
	first, _, _ := strings.Cut(nnc(t, 0, "test", cnn, "-json"), "\n")
	require.NoError(t, json.Unmarshal([]byte(first), &r))
	assert.Equal(t, "pass", r.Status)
}

func TestTables(t *testing.T) {
	assert.Contains(t, nnc(t, 0, "targets"), "avx2")
	assert.Regexp(t, `(?m)^\| ai.onnx \| Conv \| 1, 11, 22 \| compiled \|$`, nnc(t, 0, "ops", "-md"))
	var rows []map[string]string
	require.NoError(t, json.Unmarshal([]byte(nnc(t, 0, "ops", "-json")), &rows))
	assert.Greater(t, len(rows), 150)
	assert.Contains(t, nnc(t, 0, "version"), "nnc ")
	assert.Contains(t, nnc(t, 0, "completion", "bash"), "nnc")
	if _, err := llvm.New(); err == nil {
		assert.Contains(t, nnc(t, 0, "doctor"), "backend llvm")
	}
	missing, code := command(t, "", []string{"NNC_LLVM=/nowhere"}, nncPath, "doctor")
	assert.Zero(t, code)
	assert.Contains(t, missing, llvm.InstallHint)
	assert.Contains(t, missing, "backend goasm")
	missing, code = command(t, "", []string{"PATH="}, nncPath, "doctor")
	assert.Equal(t, 1, code)
	assert.Contains(t, missing, "https://go.dev/dl")
}

func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.onnx")
	require.NoError(t, os.WriteFile(broken, []byte("\x08\x07 this is no model"), 0o600))
	for _, c := range []struct {
		code int
		want string
		args string
	}{
		{2, "unknown flag: -nonsense", "build m.onnx -nonsense"},
		{2, "no command \"nonsense\"", "nonsense"},
		{2, "want a MODEL", "build"},
		{2, "want one MODEL", "build a b"},
		{2, "-emit=x: want one of exe, go", "build " + cnnNNC + " -emit=x"},
		{2, "-math=x", "build " + cnnNNC + " -math=x"},
		{2, "no architecture", "build " + cnnNNC + " -target=vax"},
		{2, "want NAME=1x3x224x224", "build " + cnnNNC + " -shape=3x4"},
		{2, "-backend=x: want auto, llvm or goasm", "build " + cnnNNC + " -backend=x"},
		{1, "use -emit=asm", "build " + cnnNNC + " -backend=goasm -emit=obj"},
		{1, "use -emit=loop", "build " + cnnNNC + " -backend=goasm -emit=llvm"},
		{1, "no code for linux/amd64 at level sse", "build " + cnnNNC + " -backend=goasm -target=linux/amd64 -cpu=sse"},
		{1, "use -emit=go", "build " + cnnNNC + " -backend=goasm -target=portable"},
		{2, "want PASS/dump", "build " + cnnNNC + " -d=fuse"},
		{2, "-after=x", "dump " + cnnNNC + " -after=x"},
		{2, "-run", "test " + cnn + " -run=["},
		{1, "broken.onnx", "build " + broken + " -o " + dir + "/out"},
		{1, "no such file", "run " + dir + "/absent.onnx"},
		{1, "there is no folder", "build " + cnnNNC + " -o " + dir + "/absent/out"},
		{1, "is a folder", "build " + cnnNNC + " -o " + dir},
	} {
		assert.Contains(t, nnc(t, c.code, strings.Fields(c.args)...), c.want, c.args)
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1, "only the broken model")
}

func TestHelp(t *testing.T) {
	for _, c := range newRoot().Commands() {
		if c.Name() == "completion" {
			continue
		}
		assert.Contains(t, nnc(t, 0, c.Name(), "-h"), "Example:", c.Name())
	}
}

func TestNormalise(t *testing.T) {
	assert.Equal(t, []string{"build", "--o", "x", "--target=arm64", "--v", "--help", "-", "-5", "--json", "--", "-x"},
		normalise([]string{"build", "-o", "x", "-target=arm64", "-v", "-h", "-", "-5", "--json", "--", "-x"}))
}

func TestInputOrder(t *testing.T) {
	var p passedOn
	c := runCommand()
	fs := c.Flags()
	p.fs = fs
	fs.Lookup("input").Value = handOver{&p, "input"}
	require.NoError(t, fs.Parse(normalise(strings.Fields("model -input a b -input c d"))))
	assert.Equal(t, strings.Fields("-input a -input b -input c -input d"), p.args(fs.Args()[1:]))
}
