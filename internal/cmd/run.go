package cmd

import (
	"fmt"
	"os/exec"
	"runtime"
	"slices"

	"github.com/nnc-go/nnc/target"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// passedOn are flags that the built executable reads; nnc hands them over as they are.
type passedOn struct {
	fs    *pflag.FlagSet
	flags []string // as given, "-name=value"
	files []placed
}

// placed is an -input with the number of arguments before it, so that files keep their order.
type placed struct {
	file   string
	behind int
}

// handOver is the value of a flag that is handed over.
type handOver struct {
	p    *passedOn
	name string
}

func (h handOver) String() string { return "" }
func (h handOver) Type() string   { return "string" }

// Set notes the flag; the executable will check the value.
func (h handOver) Set(s string) error {
	if h.name == "input" {
		h.p.files = append(h.p.files, placed{s, len(h.p.fs.Args())})
		return nil
	}
	h.p.flags = append(h.p.flags, "-"+h.name+"="+s)
	return nil
}

// exeFlag is a row of the tables of handed-over flags.
type exeFlag struct {
	name, usage string
	toggle      bool
}

var inputFlags = []exeFlag{
	{"input", "read an input from `[NAME=]FILE`: .npy, .npz, .pb, .json, else raw bytes (repeatable; without a name in the model's order)", false},
	{"random", "fill the inputs that no file is given for from a generator with this `SEED`", false},
	{"dim", "size of a symbolic dimension, `NAME=SIZE`, for -random and raw files (repeatable)", false},
	{"threads", "run on `N` threads; as many as there are processors by default", false},
	{"max-memory", "fail rather than use more than this many `BYTES` (suffixes K, M, G)", false},
}

var runFlags = []exeFlag{
	{"output-dir", "write the outputs to files in `DIR` instead of printing a summary", false},
	{"output-format", "`FORMAT` of the files: npy, pb or json", false},
}

var timeFlags = []exeFlag{
	{"iterations", "run at least `N` times (bench 10, profile 5)", false},
	{"time", "run for at least `DURATION` (bench 3s, profile 1s)", false},
	{"json", "print JSON", true},
}

// limitFlags are about profiles of steps.
var limitFlags = []exeFlag{
	{"peak-gflops", "what all threads can compute, in 10^9 float32 operations per second; measured by default", false},
	{"peak-gbps", "what they can read, in 10^9 bytes per second; by default measured, for caches and memory", false},
	{"trace", "write the steps of a run to `FILE`, for ui.perfetto.dev or chrome://tracing", false},
}

var profiling = []exeFlag{
	{"profile", "print the time of each step too", true},
	cpuProfile,
}

var cpuProfile = exeFlag{"cpuprofile", "write a profile of the processor's time to `FILE`, for go tool pprof", false}

func (p *passedOn) add(fs *pflag.FlagSet, tables ...[]exeFlag) {
	p.fs = fs
	for _, t := range tables {
		for _, f := range t {
			fs.Var(handOver{p, f.name}, f.name, f.usage)
			if f.toggle {
				fs.Lookup(f.name).NoOptDefVal = "true"
			}
		}
	}
}

// args is the command line for the executable; rest are the arguments behind MODEL, which are inputs.
func (p *passedOn) args(rest []string) []string {
	out := append([]string{}, p.flags...)
	input := func(file string) { out = append(out, "-input", file) }
	i := 0
	for _, f := range p.files {
		for ; i < len(rest) && i+1 < f.behind; i++ { // the first argument was MODEL
			input(rest[i])
		}
		input(f.file)
	}
	for _, r := range rest[i:] {
		input(r)
	}
	return out
}

func runCommand() *cobra.Command {
	return executeCommand("run", slices.Concat(runFlags, profiling, limitFlags), cobra.Command{
		Use:   "run MODEL [[NAME=]FILE...]",
		Short: "compile a model and compute its outputs",
		Long:  "Compile a model for this machine, into a cache, and compute its outputs.",
		Example: `  nnc run model.onnx -input x.npy
  nnc run model.onnx -input mask=m.npy -input x=x.npy -output-dir out -output-format pb
  nnc run model.onnx -random 1 -shape x=1x3x224x224`,
	})
}

func benchCommand() *cobra.Command {
	return executeCommand("bench", slices.Concat(timeFlags, profiling, limitFlags), cobra.Command{
		Use:   "bench MODEL [[NAME=]FILE...]",
		Short: "compile a model and measure how fast it runs",
		Long:  "Compile a model for this machine, into a cache, and measure the time of a run, on random inputs where no file is given.",
		Example: `  nnc bench model.onnx
  nnc bench model.onnx -threads 1 -json`,
	})
}

func profileCommand() *cobra.Command {
	return executeCommand("profile", slices.Concat(timeFlags, limitFlags), cobra.Command{
		Use:   "profile MODEL [[NAME=]FILE...]",
		Short: "compile a model and measure each of its steps",
		Long: `Compile a model for this machine, into a cache, and measure the time of each step, on random inputs where no file is given.
"roof" is the least time that the operations and bytes of a step take on this machine, by what it can compute and read
at most, from the smallest cache that holds so many bytes or from memory, as a part of the step's time.`,
		Example: `  nnc profile model.onnx -threads 1
  nnc profile model.onnx -trace steps.json    then open it at ui.perfetto.dev`,
	})
}

// executeCommand builds a model into the cache and turns the process into a command of the executable.
func executeCommand(name string, flags []exeFlag, c cobra.Command) *cobra.Command {
	var f compileFlags
	var p passedOn
	c.Args, c.ValidArgsFunction = modelArg(true), completeModel
	f.add(c.Flags(), "")
	c.Flags().Lookup("cpu").Usage = "instruction-set `LEVEL` to compile: a name from nnc targets, auto (all) or native; the best of this machine by default"
	p.add(c.Flags(), inputFlags, flags)
	c.RunE = func(c *cobra.Command, args []string) error {
		start, err := f.launcher()
		if err != nil {
			return err
		}
		exe, err := cachedExe(c, args[0], &f)
		if err != nil {
			return err
		}
		return execute(append(append(start, exe, name), p.args(args[1:])...))
	}
	return &c
}

// emulators run programs for other architectures on Linux.
var emulators = map[string]string{"amd64": "qemu-x86_64", "arm64": "qemu-aarch64"}

// launcher is what has to stand before a program for the target to run it here: nothing or an emulator.
// It also settles -cpu: this machine's level where the user does not say.
func (f *compileFlags) launcher() ([]string, error) {
	t, err := f.parseTarget()
	if err != nil {
		return nil, err
	}
	if t.Arch.Name == runtime.GOARCH && f.cpu == "" {
		f.cpu = "native"
	}
	return launcherFor(t)
}

func launcherFor(t *target.Target) ([]string, error) {
	if t.OS != runtime.GOOS {
		return nil, fmt.Errorf("a program for %s does not run on %s; nnc build makes one to take there", t, runtime.GOOS)
	}
	if t.Arch.Name == runtime.GOARCH {
		return nil, nil
	}
	name := emulators[t.Arch.Name]
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("a program for %s runs on this machine in %s, which is not in PATH; install it with: %s", t, name, qemuHint)
	}
	return []string{path}, nil
}

const qemuHint = "apt-get install -y qemu-user"
