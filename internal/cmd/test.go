package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/nnc-go/nnc/frontend/onnx"
	"github.com/nnc-go/nnc/internal/conformance"
	"github.com/nnc-go/nnc/internal/testcase"
	"github.com/nnc-go/nnc/target"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

// testFlags are the flags of nnc test.
type testFlags struct {
	compileFlags
	run  string
	jobs int
	json bool
	exe  bool
	eval bool
	tol  testcase.Tolerance
	// ownTol: the tolerance was given on the command line, and holds for all cases.
	ownTol bool
	sample int
	table  bool
	known  string
}

func testCommand() *cobra.Command {
	f := testFlags{}
	c := &cobra.Command{
		Use:   "test DIR...",
		Short: "run test cases in ONNX's layout",
		Long: `Run test cases in ONNX's layout: a DIR with model.onnx and test_data_set_K/{input,output}_N.pb, or a folder of such.
Cases run inside nnc, or, with -exe or for another target, as the executables that nnc build makes, or, with -eval, on the evaluator.
What is allowed is in a case's data.json, or is what ONNX's runner allows. Of what depends on random numbers, types and shapes are compared.

A file of -known has a case's name a line: that it fails is no error, and that it passes is one. Behind the name, rtol=R atol=A
allow the case more instead. "#" begins a comment.`,
		Example: `  nnc test examples
  nnc test node -run '^test_conv' -j 2
  nnc test models -target=arm64 -rtol 1e-3 -atol 1e-4
  nnc test node -table -known known.txt`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("want a DIR with model.onnx and test_data_set_0")
			}
			return nil
		},
	}
	fs := c.Flags()
	f.add(fs, "")
	fs.Lookup("cpu").Usage = "instruction-set `LEVEL` to test: the best of this machine by default; auto for all, of which the best runs"
	fs.StringVar(&f.run, "run", "", "only cases whose names match `REGEX`")
	fs.IntVar(&f.jobs, "j", runtime.NumCPU(), "run `N` cases at a time")
	fs.BoolVar(&f.json, "json", false, "print a JSON object a line for each case, and one for the sums")
	fs.BoolVar(&f.exe, "exe", false, "build and run executables")
	fs.BoolVar(&f.eval, "eval", false, "run on the evaluator, without compiling")
	fs.IntVar(&f.sample, "sample", 0, "run only `N` cases, chosen to cover as many operators as possible")
	fs.BoolVar(&f.table, "table", false, "print at the end how many cases passed for each operator")
	fs.StringVar(&f.known, "known", "", "a `FILE` with known failures and tolerances")
	fs.Float64Var(&f.tol.Rel, "rtol", testcase.Default.Rel, "allowed relative `ERROR`")
	fs.Float64Var(&f.tol.Abs, "atol", testcase.Default.Abs, "allowed absolute `ERROR`")
	c.RunE = func(c *cobra.Command, args []string) error {
		f.ownTol = fs.Changed("rtol") || fs.Changed("atol")
		return f.test(c, args)
	}
	return c
}

func (f *testFlags) test(c *cobra.Command, dirs []string) error {
	want, err := regexp.Compile(f.run)
	if err != nil {
		return usagef("-run: %w", err)
	}
	if f.jobs < 1 {
		return usagef("-j %d: want 1 or more", f.jobs)
	}
	t, err := f.parseTarget()
	if err != nil {
		return err
	}
	way, err := f.way(c, t)
	if err != nil {
		return err
	}
	cases, err := testcase.Find(dirs...)
	if err != nil {
		return err
	}
	var selected []testcase.Case
	for _, cs := range cases {
		if want.MatchString(cs.Name) {
			selected = append(selected, cs)
		}
	}
	if len(selected) == 0 {
		return fmt.Errorf("-run %s matches none of %d cases", f.run, len(cases))
	}
	if f.sample > 0 {
		if selected, err = conformance.Sample(selected, f.sample); err != nil {
			return err
		}
	}
	known := conformance.Known{}
	if f.known != "" {
		if known, err = conformance.ReadKnown(f.known); err != nil {
			return fmt.Errorf("%s: %w", f.known, err)
		}
	}
	return report(c, selected, f, known, way)
}

// way is how cases run for a target.
func (f *testFlags) way(c *cobra.Command, t *target.Target) (way conformance.Way, err error) {
	foreign := t.Arch.Name != runtime.GOARCH || t.OS != runtime.GOOS || runtime.GOOS != "linux"
	if f.eval && (f.exe || foreign && f.target != "") {
		return nil, usagef("-eval: the evaluator makes no program, so neither -exe nor -target fits")
	}
	if f.cpu == "" && t.Arch.Name == runtime.GOARCH {
		f.cpu = "native"
	}
	o, err := f.options(c.ErrOrStderr())
	switch {
	case err != nil:
		return nil, err
	case f.eval:
		return conformance.Evaluated(o.Load), nil
	case !f.exe && !foreign:
		return conformance.Compiled(o), nil
	}
	launch, err := launcherFor(t)
	if err != nil {
		return nil, err
	}
	return conformance.Executable(o, version(), launch), nil
}

// result is what became of a case; the JSON names are fixed.
type result struct {
	Name    string   `json:"name"`
	Dir     string   `json:"dir"`
	Status  string   `json:"status"` // pass, fail, unsupported: operators that nnc does not have; known: fails as expected, skipped: there is no model
	Error   string   `json:"error,omitempty"`
	Host    []string `json:"host,omitempty"` // steps that ran as host functions
	Seconds float64  `json:"seconds"`
}

// report runs the cases, prints as it goes, in the order of the cases, and fails if one did.
func report(c *cobra.Command, cases []testcase.Case, f *testFlags, known conformance.Known, way conformance.Way) error {
	results := make([]chan result, len(cases))
	for i := range results {
		results[i] = make(chan result, 1)
	}
	g, ctx := errgroup.WithContext(c.Context())
	g.SetLimit(f.jobs)
	go func() {
		for i, cs := range cases {
			g.Go(func() error {
				results[i] <- f.outcome(ctx, cs, known, way)
				return nil
			})
		}
	}()
	start, count, ops := time.Now(), map[string]int{}, conformance.Table{}
	for i, ch := range results {
		r := <-ch
		count[r.Status]++
		printResult(c.OutOrStdout(), r, f.json)
		if err := ops.Add(cases[i], r.Status == "pass", r.Host); f.table && err != nil {
			return err
		}
	}
	if err := f.sums(c.OutOrStdout(), len(cases), count, ops, time.Since(start)); err != nil {
		return err
	}
	if err := c.Context().Err(); err != nil {
		return err
	}
	if count["pass"]+count["known"]+count["skipped"] < len(cases) {
		return exitError(1)
	}
	return nil
}

// sums prints what the cases come to.
func (f *testFlags) sums(w io.Writer, cases int, count map[string]int, ops conformance.Table, d time.Duration) error {
	if f.table {
		var rows [][]string
		for _, r := range ops.Rows() {
			rows = append(rows, []string{r.Op, fmt.Sprint(r.Cases), fmt.Sprint(r.Passed), fmt.Sprint(r.Host)})
		}
		if err := table(w, []string{"op", "cases", "passed", "on host"}, rows, false, f.json); err != nil {
			return err
		}
	}
	if f.json {
		return json.NewEncoder(w).Encode(map[string]any{"cases": cases, "pass": count["pass"], "fail": count["fail"],
			"unsupported": count["unsupported"], "known": count["known"], "skipped": count["skipped"], "seconds": d.Seconds()})
	}
	_, err := fmt.Fprintf(w, "%d cases: %d passed, %d failed, %d unsupported, %d known to fail, %d skipped, in %.1f s\n",
		cases, count["pass"], count["fail"], count["unsupported"], count["known"], count["skipped"], d.Seconds())
	return err
}

func printResult(w io.Writer, r result, asJSON bool) {
	if asJSON {
		json.NewEncoder(w).Encode(r)
		return
	}
	if r.Status != "pass" {
		fmt.Fprintf(w, "%-11s %s: %s\n", strings.ToUpper(r.Status), r.Name, strings.Join(strings.Fields(r.Error), " "))
	}
}

// outcome runs a case. A panic of the compiler is a failure of this case alone.
func (f *testFlags) outcome(ctx context.Context, cs testcase.Case, known conformance.Known, way conformance.Way) (r result) {
	start := time.Now()
	r = result{Name: cs.Name, Dir: cs.Dir, Status: "pass"}
	if cs.Link {
		r.Status, r.Error = "skipped", cs.Model+" is the text of a link that was not followed when it was copied, not a model"
		return r
	}
	defer func() {
		if p := recover(); p != nil {
			r.Status, r.Error = "fail", fmt.Sprintf("panic: %v", p)
		}
		switch {
		case !known.Fails(cs.Name):
		case r.Status == "pass":
			r.Status, r.Error = "fail", "passes, but stands in "+f.known
		default:
			r.Status = "known"
		}
		r.Seconds = time.Since(start).Seconds()
	}()
	host, err := way(ctx, cs, f.tolerance(cs, known))
	r.Host = host
	var unsupported *onnx.UnsupportedError
	switch {
	case errors.As(err, &unsupported):
		r.Status, r.Error = "unsupported", err.Error()
	case err != nil:
		r.Status, r.Error = "fail", err.Error()
	}
	return r
}

// tolerance is what a case is allowed: what the command line says, the list of -known, the case itself, or
// ONNX's runner, in this order.
func (f *testFlags) tolerance(cs testcase.Case, known conformance.Known) testcase.Tolerance {
	if f.ownTol {
		return f.tol
	}
	if t, ok := known.Tolerance(cs.Name); ok {
		return t
	}
	if cs.Tolerance != nil {
		return *cs.Tolerance
	}
	return f.tol
}
