// Command bench compares programs that nnc builds with ONNX Runtime on the same machine in the same
// run: interleaved pairs of processes, medians, ratios. It is a module of its own, so that nnc does not
// depend on ONNX Runtime.
//
//	go run . -nnc ../nnc -lib libonnxruntime.so.1 ../models/*/model.onnx
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/runtime/tensorio"
)

var (
	nnc     = flag.String("nnc", "nnc", "the nnc command")
	lib     = flag.String("lib", os.Getenv("ORT_LIB"), "libonnxruntime.so.1 (of the npm package onnxruntime-node)")
	threads = flag.String("threads", "1,2", "numbers of threads")
	pairs   = flag.Int("pairs", 3, "pairs of processes per model and number of threads")
	dur     = flag.Duration("time", 3*time.Second, "time of one measurement")
	dims    = flag.String("dim", "", "values of symbolic dimensions: N=1,T=8; others are 1")
	jsonOut = flag.Bool("json", false, "print JSON lines")
	child   = flag.Bool("ort", false, "run as the child process that runs ONNX Runtime (internal)")
	inputs  = flag.String("inputs", "", "with -ort: input files, comma-separated")
	outDir  = flag.String("out", "", "with -ort: folder for the outputs")
)

// row is what is reported of a model.
type row struct {
	Model        string             `json:"model"`
	BuildS       float64            `json:"build_s"`
	BuildRSS     int64              `json:"build_rss_bytes"`
	LessWeights  int64              `json:"exe_less_weights_bytes"`
	StartMS      float64            `json:"start_to_output_ms"`
	ORTStartMS   float64            `json:"ort_start_to_output_ms"`
	RSS          int64              `json:"rss_bytes"`
	ORTRSS       int64              `json:"ort_rss_bytes"`
	P50          map[string]float64 `json:"p50_ms"`
	ORTP50       map[string]float64 `json:"ort_p50_ms"`
	Ratio        map[string]float64 `json:"ort_over_nnc"`
	WorstRelDiff float64            `json:"worst_diff_over_max"`
}

func main() {
	flag.Parse()
	if *lib == "" || flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: bench -lib libonnxruntime.so.1 [flags] MODEL...")
		os.Exit(2)
	}
	if *child {
		n, _ := strconv.Atoi(*threads)
		var files []string
		if *inputs != "" {
			files = strings.Split(*inputs, ",")
		}
		if err := runORT(*lib, flag.Arg(0), n, *dur, files, *outDir); err != nil {
			log.Fatal(err)
		}
		return
	}
	bad := false
	for _, m := range flag.Args() {
		r, err := measure(m)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", m, err)
			bad = true
			continue
		}
		r.print()
	}
	if bad {
		os.Exit(1)
	}
}

func (r *row) print() {
	if *jsonOut {
		json.NewEncoder(os.Stdout).Encode(r)
		return
	}
	fmt.Printf("%s: build %.1f s, %d MB; executable less weights %.2f MB; start to output %.1f ms (ORT %.1f); RSS %d MB (ORT %d); worst difference / largest output %.1e\n",
		r.Model, r.BuildS, r.BuildRSS>>20, float64(r.LessWeights)/(1<<20), r.StartMS, r.ORTStartMS, r.RSS>>20, r.ORTRSS>>20, r.WorstRelDiff)
	for _, t := range strings.Split(*threads, ",") {
		fmt.Printf("  %s threads: p50 %.3f ms, ORT %.3f ms, ORT/nnc %.2f\n", t, r.P50[t], r.ORTP50[t], r.Ratio[t])
	}
}

// run runs a command and gives its output, wall time and peak RSS.
func run(name string, args ...string) ([]byte, time.Duration, int64, error) {
	cmd := exec.Command(name, args...)
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

type ioInfo struct {
	Name  string   `json:"name"`
	DType string   `json:"dtype"`
	Dims  []string `json:"dims"`
}

func measure(model string) (*row, error) {
	tmp, err := os.MkdirTemp("", "nnc-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	exe := filepath.Join(tmp, "exe")
	r := &row{Model: filepath.Base(strings.TrimSuffix(model, "/model.onnx")), P50: map[string]float64{}, ORTP50: map[string]float64{}, Ratio: map[string]float64{}}
	_, wall, rss, err := run(*nnc, "build", model, "-o", exe)
	if err != nil {
		return nil, err
	}
	r.BuildS, r.BuildRSS = wall.Seconds(), rss
	b, _, _, err := run(exe, "info", "-json")
	if err != nil {
		return nil, err
	}
	var info struct {
		Inputs  []ioInfo `json:"inputs"`
		Weights int64    `json:"weights_bytes"`
	}
	if err := json.Unmarshal(b, &info); err != nil {
		return nil, fmt.Errorf("info -json: %w", err)
	}
	st, err := os.Stat(exe)
	if err != nil {
		return nil, err
	}
	r.LessWeights = st.Size() - info.Weights
	files, err := makeInputs(model, tmp, info.Inputs)
	if err != nil {
		return nil, err
	}
	return r, r.compare(model, exe, tmp, files)
}

// compare runs the pairs.
func (r *row) compare(model, exe, tmp string, files []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var in []string
	for _, f := range files {
		in = append(in, "-input="+f)
	}
	ortRun := func(t string, d time.Duration, extra ...string) ([]byte, time.Duration, int64, error) {
		args := append([]string{"-ort", "-lib", *lib, "-threads", t, "-time", d.String(), "-inputs", strings.Join(files, ",")}, extra...)
		return run(self, append(args, model)...)
	}
	nOut, oOut := filepath.Join(tmp, "n"), filepath.Join(tmp, "o")
	os.Mkdir(oOut, 0o777)
	if _, _, _, err := run(exe, append([]string{"run", "-output-dir", nOut, "-output-format", "pb"}, in...)...); err != nil {
		return err
	}
	if _, _, _, err := ortRun("1", 0, "-out", oOut); err != nil {
		return err
	}
	if r.WorstRelDiff, err = worst(nOut, oOut); err != nil {
		return err
	}
	var start, ostart []float64
	for range 5 {
		_, w, rss, err := run(exe, append([]string{"run", "-threads=1"}, in...)...)
		if err != nil {
			return err
		}
		_, ow, orss, err := ortRun("1", 0)
		if err != nil {
			return err
		}
		start, ostart = append(start, ms(w)), append(ostart, ms(ow))
		r.RSS, r.ORTRSS = rss, orss
	}
	r.StartMS, r.ORTStartMS = median(start), median(ostart)
	for _, t := range strings.Split(*threads, ",") {
		var a, o, ratio []float64
		for range *pairs {
			b, _, _, err := run(exe, append([]string{"bench", "-json", "-threads=" + t, "-time=" + dur.String()}, in...)...)
			if err != nil {
				return err
			}
			var n struct {
				P50 float64 `json:"p50_ms"`
			}
			if err := json.Unmarshal(b, &n); err != nil {
				return err
			}
			b, _, _, err = ortRun(t, *dur)
			if err != nil {
				return err
			}
			var res ortResult
			if err := json.Unmarshal(b, &res); err != nil {
				return err
			}
			a, o, ratio = append(a, n.P50), append(o, res.P50MS), append(ratio, res.P50MS/n.P50)
		}
		r.P50[t], r.ORTP50[t], r.Ratio[t] = median(a), median(o), median(ratio)
	}
	return nil
}

func median(x []float64) float64 {
	sort.Float64s(x)
	return x[len(x)/2]
}

// makeInputs takes the inputs of test_data_set_0 beside the model, or makes random ones.
func makeInputs(model, tmp string, ins []ioInfo) ([]string, error) {
	var files []string
	for k := range ins {
		f := filepath.Join(filepath.Dir(model), "test_data_set_0", fmt.Sprintf("input_%d.pb", k))
		if _, err := os.Stat(f); err != nil {
			break
		}
		files = append(files, f)
	}
	// Inputs beyond the files have defaults: initialisers that a caller may override.
	if len(files) > 0 {
		return files, nil
	}
	sizes := map[string]int64{}
	for _, kv := range strings.Split(*dims, ",") {
		if k, v, ok := strings.Cut(kv, "="); ok {
			sizes[k], _ = strconv.ParseInt(v, 10, 64)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	files = nil
	for k, in := range ins {
		var shape []int64
		for _, d := range in.Dims {
			n, err := strconv.ParseInt(d, 10, 64)
			if err != nil {
				if n = sizes[d]; n == 0 {
					n = 1
				}
			}
			shape = append(shape, n)
		}
		d, _ := tensor.ParseDType(in.DType)
		t := tensor.New(d, shape...)
		if d == tensor.F32 {
			for i := range tensor.View[float32](t) {
				tensor.View[float32](t)[i] = rng.Float32()
			}
		}
		f := filepath.Join(tmp, fmt.Sprintf("in_%d.pb", k))
		if err := tensorio.WriteFile(f, hostop.Value(t)); err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// worst is the largest difference between two folders of outputs, each relative to its output's largest element.
func worst(a, b string) (float64, error) {
	files, err := filepath.Glob(filepath.Join(b, "output_*.pb"))
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("no outputs of ONNX Runtime: %w", io.ErrUnexpectedEOF)
	}
	w := 0.0
	for _, f := range files {
		x, err := tensorio.ReadFile(filepath.Join(a, filepath.Base(f)), tensorio.Want{})
		if err != nil {
			return 0, err
		}
		y, err := tensorio.ReadFile(f, tensorio.Want{})
		if err != nil {
			return 0, err
		}
		p, q := x.(*tensor.Tensor), y.(*tensor.Tensor)
		if p.TypeString() != q.TypeString() {
			return 0, fmt.Errorf("%s: nnc gives %s, ONNX Runtime %s", filepath.Base(f), p.TypeString(), q.TypeString())
		}
		top, diff := 0.0, 0.0
		for i := range q.Len() {
			top = max(top, abs(q.At(i)))
			diff = max(diff, abs(p.At(i)-q.At(i)))
		}
		if top > 0 {
			w = max(w, diff/top)
		}
	}
	return w, nil
}

func abs(x float64) float64 { return max(x, -x) }
