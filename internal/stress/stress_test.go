// Package stress holds the runtime under load. Its test makes Go packages of models, adds
// testdata/load_test.go to them and runs that there, so what is tried is what users get: the generated
// package with the code that is linked into it. Kernels write memory that only integers point to, on
// stacks that the collector, the profiler and the tracer walk; this is where that would show.
//
//	go test ./internal/stress                 a short form
//	go test ./internal/stress -full -v        64 goroutines, 1000 runs each, on real models (make stress)
package stress

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/build"
	"github.com/nnc-go/nnc/internal/driver"
)

var (
	full    = flag.Bool("full", false, "64 goroutines with 1000 runs each, on real models too")
	back    = flag.String("backend", "", "the backend to compile with; by default each that works here")
	callers = flag.Int("callers", 64, "with -full: goroutines")
	runs    = flag.Int("runs", 1000, "with -full: runs of each")
)

// model is a model to try.
type model struct {
	dir    string
	batch  int  // that gives the workers something to do
	steady bool // runs do not allocate
	why    string
}

// models differ in what they ask of the runtime. The first is always tried.
var models = []model{
	{"../../examples/digits_cnn", 40, true, "runs so short that calls and frames weigh most"},
	{shared + "cifar_resnet20", 2, true, "kernels long enough for all workers"},
	{shared + "own_mnist_lstm_op13", 8, true, "recurrence"},
	{shared + "gtcrn_simple", 1, true, "hundreds of short steps"},
	{shared + "stories260k_llama_kv", 1, false, "inputs that grow from call to call"},
}

const shared = "../../../shared/models/"

// mode is a way to build the test.
type mode struct {
	name string
	args []string
	cgo  string
	slow bool   // so few runs do
	only string // backend
}

var modes = []mode{
	{"plain", nil, "CGO_ENABLED=0", false, ""},
	{"race", []string{"-race"}, "CGO_ENABLED=1", false, ""},
	// Kernels in Go, whose every access to memory the race detector sees.
	{"portable-race", []string{"-race", "-tags=purego"}, "CGO_ENABLED=1", true, "goasm"},
}

func TestLoad(t *testing.T) {
	for _, backend := range []string{"llvm", "goasm"} {
		if *back != "" && *back != backend {
			continue
		}
		t.Run(backend, func(t *testing.T) {
			if _, err := driver.OpenBackend(backend); err != nil {
				t.Skip(err)
			}
			for i, m := range models {
				if i > 0 && !*full {
					break
				}
				t.Run(filepath.Base(m.dir), func(t *testing.T) {
					if _, err := os.Stat(m.dir); err != nil {
						t.Skip(err)
					}
					dir := generate(t, m.dir, backend)
					for _, mode := range modes {
						if mode.only == "" || mode.only == backend {
							t.Run(mode.name, func(t *testing.T) { load(t, dir, m, mode) })
						}
					}
				})
			}
		})
	}
}

func needGCC(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("-race needs a C compiler; install it with: apt-get install -y gcc libc6-dev")
	}
}

// TestWorkers has the race detector watch the data of kernels, which it cannot see inside machine code.
func TestWorkers(t *testing.T) {
	needGCC(t)
	out, err := exec.Command("go", "test", "-race", "-run=^TestGoKernels$", "../../runtime/exec").CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// generate makes the Go package of a model, with load_test.go in it.
func generate(t *testing.T, model, backend string) string {
	dir := filepath.Join(t.TempDir(), "model")
	p, err := driver.Build(context.Background(), filepath.Join(model, "model.onnx"), driver.Options{Backend: backend}, driver.EmitOptions{Kind: "go", Out: dir})
	require.NoError(t, err)
	require.NoError(t, p.Compiled.Close())
	test, err := os.ReadFile("testdata/load_test.go")
	require.NoError(t, err)
	clause := []byte("package " + build.Identifier(p.Compiled.Name) + "\n")
	renamed := bytes.Replace(test, []byte("package model\n"), clause, 1)
	require.NotEqual(t, string(test), string(renamed))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "load_test.go"), renamed, 0o600))
	return dir
}

// load runs the tests of the package in dir, which is of model m.
func load(t *testing.T, dir string, m model, mode mode) {
	race := slices.Contains(mode.args, "-race")
	if race {
		needGCC(t)
	}
	args := append([]string{"test", "-count=1", "-timeout=2h"}, mode.args...)
	args = append(args, "-run=^(TestLoad|TestCloseUnderLoad|TestSteady|TestDropped)$", "-v", ".")
	// With the race detector, a sync.Pool forgets at random.
	args = append(args, fmt.Sprint("-steady=", m.steady && !race))
	switch {
	case mode.slow:
		args = append(args, "-callers=8", "-runs=5", "-batch=2")
	case *full:
		args = append(args, fmt.Sprint("-callers=", *callers), fmt.Sprint("-runs=", *runs), fmt.Sprint("-batch=", m.batch))
	default:
		args = append(args, fmt.Sprint("-batch=", m.batch))
	}
	// The collector is to check its marks, and to overwrite what it frees.
	c := exec.Command("go", args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "GODEBUG=gccheckmark=1,clobberfree=1", mode.cgo)
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s: %s", c, out)
	for _, line := range strings.Split(string(out), "\n") {
		if _, said, ok := strings.Cut(line, "load_test.go:"); ok {
			t.Log(said)
		}
	}
}
