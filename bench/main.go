// Command bench compares programs that nnc builds with other runtimes, and with what nnc's other backends make, on
// the same machine in the same run: rounds of one process each, medians, ratios. It is a module of its own, so that nnc
// does not depend on what it is compared with; the Go runtimes are in bench/peers, another one.
//
//	go run . -nnc ../nnc -lib libonnxruntime.so.1 ../models/*/model.onnx
//	go run . -nnc ../nnc -backend=llvm -with=goasm,gomlx,gonnx,onnxgo ../models/*/model.onnx
//
// Run it in its own folder: it builds the programs of the runtimes there.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

var (
	nnc     = flag.String("nnc", "nnc", "the nnc command")
	backend = flag.String("backend", "auto", "nnc's backend")
	with    = flag.String("with", "ort", "what to compare with: "+names())
	lib     = flag.String("lib", os.Getenv("ORT_LIB"), "libonnxruntime.so.1 (of the npm package onnxruntime-node), for ort")
	threads = flag.String("threads", "1,2", "numbers of threads")
	pairs   = flag.Int("pairs", 3, "rounds per model and number of threads")
	dur     = flag.Duration("time", 3*time.Second, "time of one measurement")
	dims    = flag.String("dim", "", "values of symbolic dimensions: N=1,T=8; others are 1")
	jsonOut = flag.Bool("json", false, "print JSON lines")

	cases   = flag.String("cases", "", "`FILE` with the models, instead of arguments (cases.txt)")
	folders = flag.String("folders", "", "folders of its suites, `NAME=DIR,...`")
	results = flag.String("results", "results.jsonl", "`FILE` for the rows of cases; those that it has from the same commit and flags are not measured again")
	report  = flag.String("report", ".", "`FOLDER` for RESULTS.md and results.svg, made from the rows of cases")
)

func main() {
	flag.Parse()
	log.SetFlags(0)
	if (flag.NArg() == 0) == (*cases == "") {
		fmt.Fprintln(os.Stderr, "usage: bench [flags] MODEL...\n       bench [flags] -cases FILE")
		os.Exit(2)
	}
	tmp, err := os.MkdirTemp("", "nnc-bench-")
	if err != nil {
		log.Fatal(err)
	}
	failed, err := all(tmp)
	os.RemoveAll(tmp)
	if err != nil {
		log.Fatal(err)
	}
	if failed {
		os.Exit(1)
	}
}

// all measures the models and reports whether nnc failed on one.
func all(tmp string) (failed bool, err error) {
	cs, err := choose(tmp)
	if err != nil {
		return false, err
	}
	if *cases != "" {
		list, err := readCases(*cases, *folders)
		if err != nil {
			return false, err
		}
		return false, record(list, tmp, cs)
	}
	for _, m := range flag.Args() {
		r, err := measure(&testCase{model: m, dims: *dims}, tmp, cs)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", m, err)
			failed = true
			continue
		}
		r.print()
	}
	return failed, nil
}

// row is what is reported of a model: what nnc's program does, and the others.
type row struct {
	Suite   string              `json:"suite,omitempty"`
	Model   string              `json:"model"`
	NNC     figures             `json:"nnc"`
	Profile map[string]*profile `json:"profile"` // by number of threads
	Others  []*other            `json:"others"`
	Error   string              `json:"error,omitempty"`
	Setting setting             `json:"setting"`
}

// profile is what nnc's program says of its operations.
type profile struct {
	Peak struct {
		GFLOPS float64 `json:"gflops"`
	} `json:"peak"`
	Total struct {
		FLOPs float64 `json:"flops"`
		Roof  float64 `json:"roofline"`
	} `json:"total"`
}

// figures are of one contender.
type figures struct {
	StartMS float64            `json:"start_to_output_ms"`
	RSS     int64              `json:"rss_bytes"`
	P50     map[string]float64 `json:"p50_ms"`
	built
}

// built is what the building of nnc's program took.
type built struct {
	BuildS      float64 `json:"build_s,omitempty"`
	BuildRSS    int64   `json:"build_rss_bytes,omitempty"`
	Size        int64   `json:"exe_bytes,omitempty"`
	LessWeights int64   `json:"exe_less_weights_bytes,omitempty"`
}

func (f *figures) String() string {
	s := fmt.Sprintf("start to output %.1f ms; RSS %d MB", f.StartMS, f.RSS>>20)
	if f.BuildS > 0 {
		s = fmt.Sprintf("build %.1f s, %d MB; executable less weights %.2f MB; ", f.BuildS, f.BuildRSS>>20, float64(f.LessWeights)/(1<<20)) + s
	}
	return s
}

// other is a contender beside nnc.
type other struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	figures
	Ratio        map[string]float64    `json:"p50_over_nnc"`
	Range        map[string][2]float64 `json:"p50_over_nnc_range"` // of the rounds
	WorstRelDiff float64               `json:"worst_diff_over_max"`
	Error        string                `json:"error,omitempty"`
}

func (r *row) print() {
	if *jsonOut {
		json.NewEncoder(os.Stdout).Encode(r)
		return
	}
	fmt.Printf("%s: nnc -backend=%s: %s\n", r.Model, *backend, &r.NNC)
	for _, o := range r.Others {
		if o.Error != "" {
			fmt.Printf("  %s: %s\n", o.Name, o.Error)
			continue
		}
		fmt.Printf("  %s: %s; worst difference / largest output %.1e\n", o.Name, &o.figures, o.WorstRelDiff)
		for _, t := range strings.Split(*threads, ",") {
			fmt.Printf("    %s threads: p50 nnc %.4g ms, %s %.4g ms, %s/nnc %.3g (%.3g to %.3g)\n", t, r.NNC.P50[t], o.Name, o.P50[t], o.Name, o.Ratio[t], o.Range[t][0], o.Range[t][1])
		}
	}
}

// run runs a command and gives its output, wall time and peak RSS.
func run(name string, args ...string) ([]byte, time.Duration, int64, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "ORT_LIB="+*lib)
	var out, msg bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &msg
	start := time.Now()
	err := cmd.Run()
	wall := time.Since(start)
	if err != nil {
		return nil, 0, 0, fmt.Errorf("%s: %w\n%s", name, err, msg.String())
	}
	ru, _ := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return out.Bytes(), wall, ru.Maxrss << 10, nil
}
