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
	"github.com/nnc-go/nnc/internal/testcase"
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
	tol  testcase.Tolerance
}

func testCommand() *cobra.Command {
	f := testFlags{}
	c := &cobra.Command{
		Use:   "test DIR...",
		Short: "run test cases in ONNX's layout",
		Long: `Run test cases in ONNX's layout: a DIR with model.onnx and test_data_set_K/{input,output}_N.pb, or a folder of such.
Cases run inside nnc, or, with -exe or for another target, as the executables that nnc build makes.`,
		Example: `  nnc test examples
  nnc test node -run '^test_conv' -j 2
  nnc test models -target=arm64 -rtol 1e-3 -atol 1e-4`,
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
	fs.Float64Var(&f.tol.Rel, "rtol", testcase.Default.Rel, "allowed relative `ERROR`")
	fs.Float64Var(&f.tol.Abs, "atol", testcase.Default.Abs, "allowed absolute `ERROR`")
	c.RunE = func(c *cobra.Command, args []string) error { return f.test(c, args) }
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
	var launch []string
	if f.exe = f.exe || t.Arch.Name != runtime.GOARCH || t.OS != runtime.GOOS || runtime.GOOS != "linux"; f.exe {
		if launch, err = launcherFor(t); err != nil {
			return err
		}
	}
	if f.cpu == "" && t.Arch.Name == runtime.GOARCH {
		f.cpu = "native"
	}
	o, err := f.options(c.ErrOrStderr())
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
	return report(c, selected, f, func(ctx context.Context, cs testcase.Case) error {
		if f.exe {
			return testExe(ctx, cs, o, launch, f.tol)
		}
		return testInside(ctx, cs, o, f.tol)
	})
}

// result is what became of a case; the JSON names are fixed.
type result struct {
	Name    string  `json:"name"`
	Dir     string  `json:"dir"`
	Status  string  `json:"status"` // pass, fail, or unsupported: operators that nnc does not have
	Error   string  `json:"error,omitempty"`
	Seconds float64 `json:"seconds"`
}

// report runs the cases, prints as it goes, in the order of the cases, and fails if one did.
func report(c *cobra.Command, cases []testcase.Case, f *testFlags, run func(context.Context, testcase.Case) error) error {
	results := make([]chan result, len(cases))
	for i := range results {
		results[i] = make(chan result, 1)
	}
	g, ctx := errgroup.WithContext(c.Context())
	g.SetLimit(f.jobs)
	go func() {
		for i, cs := range cases {
			g.Go(func() error {
				results[i] <- outcome(ctx, cs, run)
				return nil
			})
		}
	}()
	start, count := time.Now(), map[string]int{}
	for _, ch := range results {
		r := <-ch
		count[r.Status]++
		printResult(c.OutOrStdout(), r, f.json)
	}
	seconds := time.Since(start).Seconds()
	if f.json {
		json.NewEncoder(c.OutOrStdout()).Encode(map[string]any{"cases": len(cases), "pass": count["pass"], "fail": count["fail"],
			"unsupported": count["unsupported"], "seconds": seconds})
	} else {
		fmt.Fprintf(c.OutOrStdout(), "%d cases: %d passed, %d failed, %d unsupported, in %.1f s\n", len(cases), count["pass"], count["fail"], count["unsupported"], seconds)
	}
	if err := c.Context().Err(); err != nil {
		return err
	}
	if count["pass"] < len(cases) {
		return exitError(1)
	}
	return nil
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
func outcome(ctx context.Context, cs testcase.Case, run func(context.Context, testcase.Case) error) (r result) {
	start := time.Now()
	r = result{Name: cs.Name, Dir: cs.Dir, Status: "pass"}
	defer func() {
		if p := recover(); p != nil {
			r.Status, r.Error = "fail", fmt.Sprintf("panic: %v", p)
		}
		r.Seconds = time.Since(start).Seconds()
	}()
	err := run(ctx, cs)
	var unsupported *onnx.UnsupportedError
	switch {
	case errors.As(err, &unsupported):
		r.Status, r.Error = "unsupported", err.Error()
	case err != nil:
		r.Status, r.Error = "fail", err.Error()
	}
	return r
}
