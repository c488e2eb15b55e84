package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/runtime/tensorio"
)

type ioInfo struct {
	Name  string   `json:"name"`
	DType string   `json:"dtype"`
	Dims  []string `json:"dims"`
}

// starts is how often a process is started to see how long that takes.
const starts = 5

// tolerance of the worst difference relative to the largest output: beyond it a contender is wrong, and is not timed.
const tolerance = 1e-2

func measure(model, tmp string, cs []*contender) (*row, error) {
	dir, err := os.MkdirTemp(tmp, "")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	r := &row{Model: filepath.Base(strings.TrimSuffix(strings.TrimSuffix(model, "/model.onnx"), ".onnx"))}
	first := &ready{contender: cs[0], model: model}
	info, err := first.build(dir, &r.NNC.built)
	if err != nil {
		return nil, err
	}
	if first.in, err = makeInputs(model, dir, info.Inputs); err != nil {
		return nil, err
	}
	if err := first.outputs(filepath.Join(dir, "nnc-out")); err != nil {
		return nil, err
	}
	all, entries := []*ready{first}, []*other{nil}
	for _, c := range cs[1:] {
		o := &other{Name: c.name}
		r.Others = append(r.Others, o)
		x := &ready{contender: c, model: model, in: first.in}
		if o.WorstRelDiff, err = x.prepare(dir, &o.built); err != nil {
			o.Error = strings.TrimSpace(err.Error())
			continue
		}
		all, entries = append(all, x), append(entries, o)
	}
	return r, r.time(all, entries)
}

// about is what nnc's program says of its model.
type about struct {
	Inputs  []ioInfo `json:"inputs"`
	Weights int64    `json:"weights_bytes"`
}

// build builds nnc's program.
func (x *ready) build(dir string, b *built) (info about, err error) {
	x.exe = filepath.Join(dir, x.name)
	_, wall, rss, err := run(*nnc, "build", x.model, "-backend="+x.backend, "-o", x.exe)
	if err != nil {
		return info, err
	}
	text, _, _, err := run(x.exe, "info", "-json")
	if err != nil {
		return info, err
	}
	if err := json.Unmarshal(text, &info); err != nil {
		return info, fmt.Errorf("info -json: %w", err)
	}
	st, err := os.Stat(x.exe)
	if err != nil {
		return info, err
	}
	*b = built{wall.Seconds(), rss, st.Size() - info.Weights}
	return info, nil
}

// prepare makes a contender ready and compares its outputs with nnc's.
func (x *ready) prepare(dir string, b *built) (float64, error) {
	if x.program == "" {
		if _, err := x.build(dir, b); err != nil {
			return 0, err
		}
	}
	out := filepath.Join(dir, x.name+"-out")
	if err := os.Mkdir(out, 0o777); err != nil {
		return 0, err
	}
	if err := x.outputs(out); err != nil {
		return 0, err
	}
	diff, err := worst(filepath.Join(dir, "nnc-out"), out)
	if err == nil && !(diff <= tolerance) {
		err = fmt.Errorf("its outputs differ from nnc's by %.1e of the largest", diff)
	}
	return diff, err
}

// time runs the rounds. Of entries, the first is nnc's and has none.
func (r *row) time(all []*ready, entries []*other) error {
	fs := []*figures{&r.NNC}
	for _, o := range entries[1:] {
		o.Ratio = map[string]float64{}
		fs = append(fs, &o.figures)
	}
	start := make([][]float64, len(all))
	for range starts {
		for i, x := range all {
			wall, rss, err := x.start()
			if err != nil {
				return err
			}
			start[i], fs[i].RSS = append(start[i], ms(wall)), rss
		}
	}
	for i, f := range fs {
		f.StartMS, f.P50 = median(start[i]), map[string]float64{}
	}
	for _, t := range strings.Split(*threads, ",") {
		p50, ratio := make([][]float64, len(all)), make([][]float64, len(all))
		for range *pairs {
			for i, x := range all {
				p, err := x.p50(t)
				if err != nil {
					return err
				}
				p50[i] = append(p50[i], p)
				ratio[i] = append(ratio[i], p/p50[0][len(p50[0])-1])
			}
		}
		for i, f := range fs {
			f.P50[t] = median(p50[i])
			if i > 0 {
				entries[i].Ratio[t] = median(ratio[i])
			}
		}
	}
	return nil
}

func median(x []float64) float64 {
	sort.Float64s(x)
	return x[len(x)/2]
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// makeInputs takes the inputs of test_data_set_0 beside the model, or makes random ones.
func makeInputs(model, dir string, ins []ioInfo) ([]input, error) {
	var in []input
	for k, i := range ins {
		f := filepath.Join(filepath.Dir(model), "test_data_set_0", fmt.Sprintf("input_%d.pb", k))
		if _, err := os.Stat(f); err != nil {
			break
		}
		in = append(in, input{i.Name, f})
	}
	// Inputs beyond the files have defaults: initialisers that a caller may override.
	if len(in) > 0 {
		return in, nil
	}
	sizes := map[string]int64{}
	for _, kv := range strings.Split(*dims, ",") {
		if k, v, ok := strings.Cut(kv, "="); ok {
			sizes[k], _ = strconv.ParseInt(v, 10, 64)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for k, i := range ins {
		var shape []int64
		for _, d := range i.Dims {
			n, err := strconv.ParseInt(d, 10, 64)
			if err != nil {
				if n = sizes[d]; n == 0 {
					n = 1
				}
			}
			shape = append(shape, n)
		}
		d, _ := tensor.ParseDType(i.DType)
		t := tensor.New(d, shape...)
		if d == tensor.F32 {
			for i := range tensor.View[float32](t) {
				tensor.View[float32](t)[i] = rng.Float32()
			}
		}
		f := filepath.Join(dir, fmt.Sprintf("in_%d.pb", k))
		if err := tensorio.WriteFile(f, hostop.Value(t)); err != nil {
			return nil, err
		}
		in = append(in, input{i.Name, f})
	}
	return in, nil
}

// worst is the largest difference between the outputs in two folders, each relative to its output's largest element.
func worst(a, b string) (float64, error) {
	files, err := filepath.Glob(filepath.Join(a, "output_*.pb"))
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("nnc has written no outputs to %s", a)
	}
	w := 0.0
	for _, f := range files {
		x, err := tensorio.ReadFile(f, tensorio.Want{})
		if err != nil {
			return 0, err
		}
		y, err := tensorio.ReadFile(filepath.Join(b, filepath.Base(f)), tensorio.Want{})
		if err != nil {
			return 0, err
		}
		p, q := x.(*tensor.Tensor), y.(*tensor.Tensor)
		if p.TypeString() != q.TypeString() {
			return 0, fmt.Errorf("%s: nnc gives %s, this %s", filepath.Base(f), p.TypeString(), q.TypeString())
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
