// Package child is what the programs that bench times have in common: each loads a model into the runtime that
// it stands for, runs it for some time, and tells how long a run took.
//
//	PROGRAM -threads 1 -time 3s -inputs x=x.pb,y=y.pb -out DIR MODEL
package child

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"time"

	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/runtime/tensorio"
)

// Input is a model's input and its name.
type Input struct {
	Name string
	*tensor.Tensor
}

// Run computes the outputs, in the model's order. It returns them if keep says so, since to convert them costs time
// that is not the runtime's.
type Run func(keep bool) ([]*tensor.Tensor, error)

// Load loads a model that will run on in.
type Load func(model string, threads int, in []Input) (Run, error)

// Result is what a program prints, as JSON.
type Result struct {
	LoadMS  float64 `json:"load_ms"`
	FirstMS float64 `json:"first_ms"`
	P50MS   float64 `json:"p50_ms"`
	N       int     `json:"iterations"`
	PeakRSS int64   `json:"peak_rss_bytes"`
	Version string  `json:"version,omitempty"` // of the runtime
}

// Version is what Load found out about the runtime.
var Version string

// Main is the body of a program. A runtime that panics has an error.
func Main(load Load) {
	threads := flag.Int("threads", 1, "threads to run on")
	dur := flag.Duration("time", 0, "how long to run after the first run")
	inputs := flag.String("inputs", "", "inputs as `NAME=FILE,...`")
	out := flag.String("out", "", "`FOLDER` for the outputs of the last run")
	flag.Parse()
	log.SetFlags(0)
	if flag.NArg() != 1 {
		log.Fatal("want one MODEL")
	}
	runtime.GOMAXPROCS(*threads)
	res, err := measure(load, flag.Arg(0), *threads, *dur, *inputs, *out)
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(res); err != nil {
		log.Fatal(err)
	}
}

func measure(load Load, model string, threads int, dur time.Duration, inputs, out string) (res Result, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	in, err := read(inputs)
	if err != nil {
		return res, err
	}
	start := time.Now()
	run, err := load(model, threads, in)
	if err != nil {
		return res, err
	}
	res.LoadMS = ms(time.Since(start))
	start = time.Now()
	if _, err := run(false); err != nil {
		return res, err
	}
	res.FirstMS = ms(time.Since(start))
	var ts []float64
	for start = time.Now(); dur > 0 && (time.Since(start) < dur || len(ts) < 10); {
		t := time.Now()
		if _, err := run(false); err != nil {
			return res, err
		}
		ts = append(ts, ms(time.Since(t)))
	}
	res.Version, res.PeakRSS = Version, peakRSS()
	sort.Float64s(ts)
	if res.N = len(ts); res.N > 0 {
		res.P50MS = ts[res.N/2]
	}
	if out == "" {
		return res, nil
	}
	ys, err := run(true)
	if err != nil {
		return res, err
	}
	for k, y := range ys {
		if err := tensorio.WriteFile(filepath.Join(out, fmt.Sprintf("output_%d.pb", k)), y); err != nil {
			return res, err
		}
	}
	return res, nil
}

// peakRSS is this process's peak memory, as Linux counts it from the process's own start; what wait4 tells of a process
// begins with the memory of its parent. It is 0 elsewhere.
func peakRSS() int64 {
	b, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	var kb int64
	fmt.Sscan(rest, &kb)
	return kb << 10
}

func read(inputs string) (in []Input, err error) {
	if inputs == "" {
		return nil, nil
	}
	for _, kv := range strings.Split(inputs, ",") {
		name, file, ok := strings.Cut(kv, "=")
		if !ok {
			return nil, fmt.Errorf("-inputs: got %q, want NAME=FILE", kv)
		}
		v, err := tensorio.ReadFile(file, tensorio.Want{})
		if err != nil {
			return nil, err
		}
		t, ok := v.(*tensor.Tensor)
		if !ok {
			return nil, fmt.Errorf("%s: got %T, want a tensor", file, v)
		}
		in = append(in, Input{name, t})
	}
	return in, nil
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
