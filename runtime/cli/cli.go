// Package cli is the command line of the executables that nnc builds: run, bench, profile and info.
//
// It never writes half a result: outputs are computed first and then written under temporary names
// and renamed. Errors go to standard error. Exit codes: 0 for success, 1 for failure, 2 for wrong usage.
package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/weights"
)

// started is about when the process did; the Go runtime needs a millisecond before it.
var started = time.Now()

// Info is the product whose command line this is.
type Info struct {
	Plan    *plan.Plan
	Levels  []exec.Level
	HostOps []string // operations that run as plain Go, with their nodes
	Version string   // of nnc
	// Weights loads the weights; nil means those behind the executable.
	Weights func() (*weights.Data, error)
}

// Main runs the command line of the process and exits.
func Main(info Info) { os.Exit(Run(info, os.Args, os.Stdout, os.Stderr)) }

// app is one run of the command line.
type app struct {
	Info
	name        string
	out, errOut io.Writer
	fs          *flag.FlagSet

	files     []string // as given: [NAME=]FILE
	random    *int64
	dims      map[string]int64
	threads   int
	cpu       string
	maxMemory int64
	json      bool

	outputDir, outputFormat string
	profiling               bool
	peakGFLOPS, peakGBPS    float64
	trace                   string
	cpuProfile              string
	iterations              int
	minTime                 time.Duration
	verify                  bool

	weights *weights.Data
	began   time.Time // when bench did
}

// command is a row of the table of commands.
type command struct {
	name, args, does string
	flags            func(a *app)
	run              func(a *app) error
}

func commands() []command {
	return []command{
		{"run", "[NAME=]FILE...", "compute the model's outputs (the default command)", (*app).runFlags, (*app).run},
		{"bench", "[[NAME=]FILE...]", "measure the time of a run", (*app).benchFlags, (*app).bench},
		{"profile", "[[NAME=]FILE...]", "measure the time of each step, and how near that is to what the machine can do", (*app).profileFlags, (*app).profileOnly},
		{"info", "", "describe the model", (*app).infoFlags, (*app).info},
		{"ready", "", "", (*app).engineFlags, (*app).ready},
	}
}

// usageError is an error of the user's, with exit code 2.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// Run is Main for tests: args start with the program's name; the result is the exit code.
func Run(info Info, args []string, out, errOut io.Writer) int {
	a := &app{Info: info, out: out, errOut: errOut, name: "model", dims: map[string]int64{}}
	if len(args) > 0 {
		a.name = filepath.Base(args[0])
		args = args[1:]
	}
	if len(args) > 0 && (args[0] == "help" || len(args) == 1 && isHelp(args[0])) {
		a.overview(out)
		return 0
	}
	cmd := commands()[0]
	for _, c := range commands() {
		if len(args) > 0 && args[0] == c.name {
			cmd, args = c, args[1:]
			break
		}
	}
	err := a.parse(cmd, args)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil {
		err = a.underProfiler(cmd.run)
	}
	if err == nil {
		return 0
	}
	fmt.Fprintf(errOut, "%s: %v\n", a.name, err)
	var u usageError
	if errors.As(err, &u) {
		fmt.Fprintf(errOut, "See %s %s -h.\n", a.name, cmd.name)
		return 2
	}
	return 1
}

// underProfiler runs a command, under Go's profiler if that is wanted.
func (a *app) underProfiler(command func(a *app) error) (err error) {
	if a.cpuProfile == "" {
		return command(a)
	}
	f, err := os.Create(a.cpuProfile)
	if err != nil {
		return fmt.Errorf("-cpuprofile: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := pprof.StartCPUProfile(f); err != nil {
		return fmt.Errorf("-cpuprofile: %w", err)
	}
	defer pprof.StopCPUProfile()
	return command(a)
}

func isHelp(s string) bool { return s == "-h" || s == "-help" || s == "--help" }

func (a *app) overview(w io.Writer) {
	fmt.Fprintf(w, "%s is the neural network %q, compiled by nnc %s.\n\n", a.name, a.Plan.Name, a.Version)
	for _, c := range commands() {
		if c.does != "" {
			fmt.Fprintf(w, "  %-36s %s\n", strings.TrimSpace(a.name+" "+c.name+" "+c.args), c.does)
		}
	}
	fmt.Fprintf(w, "\n%s COMMAND -h lists the flags. For example:\n\n  %s\n  %s bench -random 1\n", a.name, a.example(), a.name)
}

// example is a command that runs this very model.
func (a *app) example() string {
	s := a.name + " run"
	for _, in := range a.Plan.Inputs {
		if required(&in) {
			s += " -input " + in.Name + "=" + fileName(in.Name) + ".npy"
		}
	}
	return s + " -output-dir out"
}

// parse takes flags and files in any order.
func (a *app) parse(cmd command, args []string) error {
	a.fs = flag.NewFlagSet(cmd.name, flag.ContinueOnError)
	a.fs.SetOutput(io.Discard)
	a.fs.Usage = func() {}
	cmd.flags(a)
	for {
		if err := a.fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				a.help(cmd)
				return err
			}
			return usageError{err}
		}
		rest := a.fs.Args()
		if len(rest) == 0 {
			return nil
		}
		if cmd.args == "" {
			return usagef("%s takes no arguments, got %q", cmd.name, rest[0])
		}
		if n := len(args) - len(rest); n > 0 && args[n-1] == "--" {
			a.files = append(a.files, rest...)
			return nil
		}
		a.files = append(a.files, rest[0])
		args = rest[1:]
	}
}

func (a *app) help(cmd command) {
	fmt.Fprintf(a.out, "%s %s [flags] %s\n\n%s.\n\n", a.name, cmd.name, cmd.args, strings.ToUpper(cmd.does[:min(1, len(cmd.does))])+cmd.does[min(1, len(cmd.does)):])
	if cmd.args != "" {
		fmt.Fprintf(a.out, "Inputs:\n%s\n", a.types(a.Plan.Inputs))
	}
	fmt.Fprintf(a.out, "Flags:\n")
	a.fs.SetOutput(a.out)
	a.fs.PrintDefaults()
	if cmd.name == "run" {
		fmt.Fprintf(a.out, "\nExample:\n  %s\n", a.example())
	}
}

// types lists inputs or outputs, one a line.
func (a *app) types(ios []plan.IO) string {
	var b strings.Builder
	for i := range ios {
		note := ""
		if ios[i].Default >= 0 || ios[i].Optional {
			note = "  (may be absent)"
		}
		fmt.Fprintf(&b, "  %s  %s%s\n", ios[i].Name, ios[i].TypeString(), note)
	}
	return b.String()
}

func (a *app) runFlags() {
	a.inputFlags()
	a.engineFlags()
	a.fs.StringVar(&a.outputDir, "output-dir", "", "write the outputs to files in `DIR` instead of printing a summary")
	a.fs.StringVar(&a.outputFormat, "output-format", "npy", "`FORMAT` of the files: npy (NAME.npy), pb (output_0.pb, ...) or json (output_0.json, ...)")
	a.iterations, a.minTime = profileRuns, 0
	a.profilingFlags()
}

func (a *app) benchFlags() {
	a.inputFlags()
	a.engineFlags()
	a.timeFlags(10, 3*time.Second)
	a.profilingFlags()
}

func (a *app) profileFlags() {
	a.inputFlags()
	a.engineFlags()
	a.timeFlags(profileRuns, time.Second)
	a.limitFlags()
}

func (a *app) timeFlags(iterations int, d time.Duration) {
	a.fs.IntVar(&a.iterations, "iterations", iterations, "run at least `N` times")
	a.fs.DurationVar(&a.minTime, "time", d, "run for at least `DURATION`")
	a.fs.BoolVar(&a.json, "json", false, "print JSON")
}

// profilingFlags are those of commands that do something else too.
func (a *app) profilingFlags() {
	a.fs.BoolVar(&a.profiling, "profile", false, "print the time of each step too, from runs of their own")
	a.limitFlags()
	a.cpuProfileFlag()
}

func (a *app) limitFlags() {
	a.fs.Float64Var(&a.peakGFLOPS, "peak-gflops", 0, "what all threads can compute, in 10^9 float32 operations per second, for -profile; 0 measures it")
	a.fs.Float64Var(&a.peakGBPS, "peak-gbps", 0, "what they can read, in 10^9 bytes per second; 0 measures it, for caches and memory")
	a.fs.Func("trace", "write the steps of a run to `FILE`, for ui.perfetto.dev or chrome://tracing", func(s string) error {
		a.trace, a.profiling = s, true
		return nil
	})
}

func (a *app) cpuProfileFlag() {
	a.fs.StringVar(&a.cpuProfile, "cpuprofile", "", "write a profile of the processor's time to `FILE`, for go tool pprof")
}

func (a *app) infoFlags() {
	a.engineFlags()
	a.fs.BoolVar(&a.json, "json", false, "print JSON")
	a.fs.BoolVar(&a.verify, "verify", false, "read all weights and verify their checksum")
}

func (a *app) inputFlags() {
	a.fs.Func("input", "read an input from a `[NAME=]FILE` (.npy, .npz, .pb, .json, else raw bytes); files without a name go to the inputs in order", func(s string) error {
		a.files = append(a.files, s)
		return nil
	})
	a.fs.Func("random", "fill the inputs that no file is given for from a generator with this `SEED`", func(s string) error {
		n, err := strconv.ParseInt(s, 0, 64)
		a.random = &n
		return err
	})
	a.fs.Func("dim", "let a symbolic dimension have a size, `NAME=SIZE`, in inputs from -random (else 1) and raw files", func(s string) error {
		name, size, _ := strings.Cut(s, "=")
		n, err := strconv.ParseInt(size, 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("want NAME=SIZE with a size of 0 or more")
		}
		a.dims[name] = n
		return nil
	})
}

func (a *app) engineFlags() {
	a.fs.IntVar(&a.threads, "threads", 0, "run on `N` threads; 0 means as many as there are processors")
	a.fs.StringVar(&a.cpu, "cpu", "", "use the machine code of level `NAME` instead of the best (see info)")
	a.fs.Func("max-memory", "fail rather than use more than this many `BYTES` (suffixes K, M, G); -1 for no bound (default three quarters of the machine's)", func(s string) (err error) {
		a.maxMemory, err = parseBytes(s)
		return err
	})
}

// parseBytes reads a size such as 512M.
func parseBytes(s string) (int64, error) {
	digits, unit := s, int64(1)
	if n := len(s); n > 0 {
		if i := strings.IndexByte("KMGT", s[n-1]&^0x20); i >= 0 {
			digits, unit = s[:n-1], 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > math.MaxInt64/unit || n == 0 || n < 0 && s != "-1" {
		return 0, fmt.Errorf("want a positive number of bytes such as 512M")
	}
	return n * unit, nil
}

// options are the engine's for the flags.
func (a *app) options() exec.Options {
	return exec.Options{Threads: a.threads, CPU: a.cpu, MaxMemory: a.maxMemory}
}

// load makes the model ready to run.
func (a *app) load() (*exec.Model, error) {
	if a.threads < 0 {
		return nil, usagef("-threads %d: want 0 or more", a.threads)
	}
	if err := a.loadWeights(); err != nil {
		return nil, err
	}
	m, err := exec.New(a.Plan, a.Levels, a.weights.Bytes, a.options())
	if err == nil {
		hostop.Limit(m.MaxMemory()) // of the whole process, which here is this model
	}
	return m, err
}

func (a *app) loadWeights() (err error) {
	open := a.Weights
	if open == nil {
		open = weights.OpenSelf
	}
	a.weights, err = open()
	return err
}
