package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// runtimes are what nnc can be compared with: programs that package child describes, by module and package, and
// nnc's own backends, which have none.
var runtimes = []struct {
	name, module, pkg string
}{
	{"ort", ".", "./ort"},
	{"gomlx", "peers", "./gomlx"},
	{"gonnx", "peers", "./gonnx"},
	{"onnxgo", "peers", "./onnxgo"},
	{"llvm", "", ""},
	{"goasm", "", ""},
}

func names() string {
	var ns []string
	for _, r := range runtimes {
		ns = append(ns, r.name)
	}
	return strings.Join(ns, ",")
}

// contender runs models in some way.
type contender struct {
	name    string
	program string // of a runtime
	backend string // of nnc
}

// choose gives nnc with the backend that was asked for, and then what -with says, with their programs built.
func choose(tmp string) ([]*contender, error) {
	cs := []*contender{{name: "nnc", backend: *backend}}
	if *with == "" {
		return cs, nil
	}
next:
	for _, name := range strings.Split(*with, ",") {
		for _, r := range runtimes {
			if r.name != name {
				continue
			}
			c := &contender{name: name}
			cs = append(cs, c)
			if r.module == "" {
				c.backend = name
				continue next
			}
			if name == "ort" && *lib == "" {
				return nil, errors.New("ort needs -lib libonnxruntime.so.1")
			}
			c.program = filepath.Join(tmp, name)
			build := exec.Command("go", "build", "-o", c.program, r.pkg)
			build.Dir = r.module
			if out, err := build.CombinedOutput(); err != nil {
				return nil, fmt.Errorf("%s: %w (bench runs in its own folder)\n%s", build, err, out)
			}
			continue next
		}
		return nil, fmt.Errorf("-with=%s: want some of %s", name, names())
	}
	return cs, nil
}

// ready is a contender with a model.
type ready struct {
	*contender
	model string
	exe   string // nnc's
	in    []input
}

// input is a file with the value of an input.
type input struct{ name, file string }

// files gives the inputs as nnc's programs take them.
func (r *ready) files() (args []string) {
	for _, i := range r.in {
		args = append(args, "-input="+i.file)
	}
	return args
}

// child gives the arguments of a program of a runtime.
func (r *ready) child(threads string, d time.Duration, extra ...string) []string {
	var in []string
	for _, i := range r.in {
		in = append(in, i.name+"="+i.file)
	}
	args := append([]string{"-threads=" + threads, "-time=" + d.String(), "-inputs=" + strings.Join(in, ",")}, extra...)
	return append(args, r.model)
}

// outputs writes the outputs to dir.
func (r *ready) outputs(dir string) error {
	var err error
	if r.program == "" {
		_, _, _, err = run(r.exe, append([]string{"run", "-output-dir", dir, "-output-format", "pb"}, r.files()...)...)
	} else {
		_, _, _, err = run(r.program, r.child("1", 0, "-out="+dir)...)
	}
	return err
}

// start runs the model once in a new process and gives the process's time.
func (r *ready) start() (wall time.Duration, err error) {
	if r.program == "" {
		_, wall, _, err = run(r.exe, append([]string{"run", "-threads=1"}, r.files()...)...)
	} else {
		_, wall, _, err = run(r.program, r.child("1", 0)...)
	}
	return wall, err
}

// timed is what a contender's program says of its runs.
type timed struct {
	P50     float64 `json:"p50_ms"`
	PeakRSS int64   `json:"peak_rss_bytes"`
	Version string  `json:"version"` // of a runtime
}

// bench runs the model for some time.
func (r *ready) bench(threads string) (res timed, err error) {
	var b []byte
	if r.program == "" {
		b, _, _, err = run(r.exe, append([]string{"bench", "-json", "-threads=" + threads, "-time=" + dur.String()}, r.files()...)...)
	} else {
		b, _, _, err = run(r.program, r.child(threads, *dur)...)
	}
	if err != nil {
		return res, err
	}
	if err := json.Unmarshal(b, &res); err != nil {
		return res, fmt.Errorf("%s: %w", r.name, err)
	}
	return res, nil
}

// profile asks nnc's program how many operations it does, and how many the machine could.
func (r *ready) profile(threads string) (*profile, error) {
	b, _, _, err := run(r.exe, append([]string{"profile", "-json", "-iterations=3", "-time=0", "-threads=" + threads}, r.files()...)...)
	if err != nil {
		return nil, err
	}
	p := &profile{}
	return p, json.Unmarshal(b, p)
}
