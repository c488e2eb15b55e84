// Package filetest runs text tests of the whole compiler below the importer. A file is a txtar archive
// (golang.org/x/tools/txtar); each section is a case, a module in the text form of package ir with
// directives in comments:
//
//	-- tails --
//	#! dims N=1,7,8,9 M=3       # sizes of symbols; a list makes a run per size
//	#! in x = [[1, 2], [3, NaN]] # an input as JSON, a list of them for a sequence; the others are random
//	#! out y = [[1, 2]]         # an expected result; -update writes it anew
//	#! range x 0 5              # bounds of random elements of an input, the upper one excluded
//	#! special                  # NaN, infinities and zeros of both signs among random floats
//	#! seed 3
//	#! ulp 8                    # units in the last place that compiled code may be off, 4 when absent
//	#! tol 1e-5                 # and in addition this much, relative and absolute
//	#! signs                    # zeros must have the right sign
//	#! optimize                 # compile with the optimising passes too
//	#! fast                     # likewise, with -math=fast
//	#! compiled                 # no op may run as a host function
//	#! error divisor            # every way of running gives an error that contains this; another line, this too
//	module "m"
//	graph (%x: f32[N,2]) -> (%y) { ... }
//
// A case runs on the evaluator and, compiled, at every instruction-set level of this machine. All must
// agree, and agree with what is expected. Kernels of levels that this machine has not, those of other
// architectures among them, are run by package loop's evaluator. What cannot run here is a skip.
package filetest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/nnc-go/nnc/internal/driver"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/eval"
	"github.com/nnc-go/nnc/runtime/abi"
	"github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

var update = flag.Bool("update", false, "write the expected results (#! out) of text tests anew, from the evaluator")

// Run runs the cases of the files that match a pattern, each file a subtest.
func Run(t *testing.T, pattern string) {
	files, err := filepath.Glob(pattern)
	require.NoError(t, err)
	require.NotEmpty(t, files, "no files match %s", pattern)
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".nir"), func(t *testing.T) {
			t.Parallel()
			runFile(t, f)
		})
	}
}

func runFile(t *testing.T, path string) {
	a, err := txtar.ParseFile(path)
	require.NoError(t, err)
	require.NotEmpty(t, a.Files, "no cases")
	b := &batch{done: map[way][]built{}}
	defer b.close()
	errs := make([]error, len(a.Files))
	for i, f := range a.Files {
		c, err := parseCase(string(f.Data))
		b.cases, errs[i] = append(b.cases, c), err
	}
	for i := range a.Files {
		f := &a.Files[i]
		t.Run(f.Name, func(t *testing.T) {
			require.NoError(t, errs[i])
			c := b.cases[i]
			c.run(t, b)
			if *update {
				f.Data = []byte(c.updated(string(f.Data)))
			}
		})
	}
	if *update {
		require.NoError(t, os.WriteFile(path, txtar.Format(a), 0o644))
	}
}

// level is a way of running compiled code on this machine.
type level struct {
	name, backend string
	bf16          bool  // it is another level that multiplies bf16
	skip          error // why it cannot run here
}

// title is the level's part of a test's name.
func (l level) title() string {
	if l.backend == "llvm" {
		return l.name
	}
	return l.backend + "/" + l.name
}

// levels lists the levels of this machine's architecture by backend.
func levels() []level {
	a, err := target.ArchByName(runtime.GOARCH)
	if err != nil {
		return []level{{name: runtime.GOARCH, skip: err}}
	}
	var ls []level
	for _, name := range []string{"llvm", "goasm"} {
		be, tools := driver.OpenBackend(name)
		if tools == nil && runtime.GOOS != "linux" {
			tools = errors.New("compiled code is loaded into this process on linux alone")
		}
		for _, l := range a.Levels {
			why := tools
			switch {
			case why != nil:
			case !be.Has(l):
				continue
			case !abi.HasFeatures(l.CPUID):
				why = fmt.Errorf("the processor has not all of %v", l.CPUID)
			}
			ls = append(ls, level{l.Name, name, l.BF16, why})
		}
	}
	return ls
}

// shorten keeps with -short the best level of each backend that runs here.
func shorten(ls []level) []level {
	if !testing.Short() {
		return ls
	}
	var best []level
	for i, l := range ls {
		better := func(m level) bool { return m.backend == l.backend && m.skip == nil }
		if l.skip == nil && !slices.ContainsFunc(ls[i+1:], better) {
			best = append(best, l)
		}
	}
	if best == nil {
		return ls
	}
	return best
}

// useful leaves out levels that differ by products of bf16 alone where a case has none.
func (c *testCase) useful(ls []level) []level {
	has := c.fast
	c.module.Graph.Walk(func(op *ir.Op) {
		has = has || slices.ContainsFunc(op.Operands, func(v *ir.Value) bool { return v != nil && v.Type.DType == tensor.BF16 })
	})
	return slices.DeleteFunc(ls, func(l level) bool { return l.bf16 && !has })
}

// run runs the case in every way.
func (c *testCase) run(t *testing.T, b *batch) {
	runs := c.runs(t)
	for _, r := range runs {
		t.Run("eval"+r.suffix(), func(t *testing.T) { c.checkEval(t, r) })
	}
	for _, l := range c.useful(levelsElsewhere()) {
		t.Run("kernels/"+l.name, func(t *testing.T) { c.evaluated(t, l, runs) })
	}
	modes := []bool{true}
	if c.optimize {
		modes = append(modes, false)
	}
	for _, l := range shorten(c.useful(levels())) {
		for _, plain := range modes {
			name := l.title()
			if !plain {
				name += "-O"
			}
			t.Run(name, func(t *testing.T) {
				if l.skip != nil {
					t.Skip(l.skip)
				}
				c.compiled(t, b.get(way{l.name, l.backend, plain}, c), name[len(l.title())-len(l.name):], runs)
			})
		}
	}
}

// runs are the case's choices of sizes, with the evaluator's answers.
func (c *testCase) runs(t *testing.T) (runs []*oneRun) {
	for i, dims := range c.bindings() {
		r := &oneRun{dims: dims, bits: map[string][]hostop.Value{}}
		var err error
		r.in, err = c.inputs(dims, uint64(i))
		require.NoError(t, err, "%v", dims)
		r.want, r.err = eval.Run(c.module.Clone(), r.in, eval.Options{})
		runs = append(runs, r)
	}
	return runs
}

// oneRun is a choice of sizes with its inputs and the evaluator's answer.
type oneRun struct {
	dims     map[string]int64
	in, want []hostop.Value
	err      error
	bits     map[string][]hostop.Value // of compiled code, by level and whether it is optimised
}

func (r *oneRun) suffix() string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(r.dims)) {
		fmt.Fprintf(&b, " %s=%d", k, r.dims[k])
	}
	return b.String()
}

func (c *testCase) checkEval(t *testing.T, r *oneRun) {
	if c.wantErr != nil {
		require.True(t, c.refused(t, r.err), "no error, want %q", c.wantErr)
		return
	}
	require.NoError(t, r.err)
	c.got = r.want
	if *update {
		return
	}
	for name, want := range c.out {
		i := slices.Index(c.module.Outputs, name)
		v, err := decode(want, c.module.Graph.Results[i].Type, r.want[i])
		require.NoError(t, err, "out %s", name)
		require.Empty(t, c.compare(r.want[i], v), "the evaluator's %s against what is expected", name)
	}
}

// compiled holds the compiled case against the evaluator, and what backends make of it for the same level against each other.
func (c *testCase) compiled(t *testing.T, b built, level string, runs []*oneRun) {
	if c.refused(t, b.err) {
		return
	}
	require.NoError(t, b.err)
	for _, s := range b.compiled.Program.HostSteps {
		t.Log("not compiled: ", s)
	}
	if c.noHost {
		require.Empty(t, b.compiled.Program.HostSteps, "host steps")
	}
	c.compareRuns(t, b.loaded.Model, level, runs)
}

// compareRuns runs a model on all inputs and compares with the evaluator, and where it ran before at the same level, compiled by
// another backend, to the bit with that.
func (c *testCase) compareRuns(t *testing.T, l *exec.Model, level string, runs []*oneRun) {
	for _, r := range runs {
		if (r.err != nil) != (c.wantErr != nil) {
			continue // checkEval has said so
		}
		out := make([]hostop.Value, len(c.module.Outputs))
		err := l.Run(context.Background(), r.in, out)
		if c.refused(t, err) {
			continue
		}
		if c.wantErr != nil {
			require.Fail(t, "no error", "%v: want %q", r.dims, c.wantErr)
		}
		require.NoError(t, err, "%v", r.dims)
		for i := range out {
			why := c.compare(out[i], r.want[i])
			require.Empty(t, why, "%s at%s", c.module.Outputs[i], r.suffix())
		}
		if level == "" {
			continue
		}
		if before, ok := r.bits[level]; ok {
			for i := range out {
				require.Empty(t, differentBits(before[i], out[i]), "%s at%s against the other backend", c.module.Outputs[i], r.suffix())
			}
		}
		r.bits[level] = out
	}
}

// levelsElsewhere lists the levels of all architectures that this machine cannot run.
func levelsElsewhere() (ls []level) {
	for _, a := range target.Archs {
		for _, l := range a.Levels {
			if a.Name != runtime.GOARCH || !abi.HasFeatures(l.CPUID) {
				ls = append(ls, level{name: a.Name + "/" + l.Name, bf16: l.BF16})
			}
		}
	}
	return ls
}

// evaluated is compiled with kernels that the evaluator of package loop runs: the check of levels that
// this machine has not.
func (c *testCase) evaluated(t *testing.T, l level, runs []*oneRun) {
	c.elsewhere(t, l.name, runs, func(m *driver.Compiled) (*exec.Model, error) { return m.LoadEvaluated(exec.Options{Threads: 1}) })
}

// elsewhere is compiled for "arch/level", with kernels that are not machine code.
func (c *testCase) elsewhere(t *testing.T, level string, runs []*oneRun, load func(m *driver.Compiled) (*exec.Model, error)) {
	m, err := c.compileFor(level)
	if c.refused(t, err) {
		return
	}
	require.NoError(t, err)
	defer m.Close()
	e, err := load(m)
	require.NoError(t, err)
	defer e.Close()
	c.compareRuns(t, e, "", runs)
}

func (c *testCase) compileFor(level string) (*driver.Compiled, error) {
	arch, name, _ := strings.Cut(level, "/")
	backend := "llvm" // it has all levels; no code is wanted of it
	if arch == target.Portable.Name {
		backend = "goasm"
	}
	o := c.options(backend, name, !c.optimize)
	o.Target = arch
	return driver.CompileModule(context.Background(), c.module.Clone(), o)
}

// options are those of compiling the case in some way.
func (c *testCase) options(backend, level string, plain bool) driver.Options {
	o := driver.Options{CPU: level, Backend: backend, NoOptimize: plain}
	if c.fast && !plain {
		o.Math = "fast"
	}
	return o
}

// refused reports whether err is the error that the case wants.
func (c *testCase) refused(t *testing.T, err error) bool {
	if c.wantErr == nil || err == nil {
		return false
	}
	for _, want := range c.wantErr {
		require.ErrorContains(t, err, want)
	}
	return true
}
