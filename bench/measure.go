package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
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

func measure(c *testCase, tmp string, cs []*contender) (*row, error) {
	model := c.model
	dir, err := os.MkdirTemp(tmp, "")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	r := &row{Model: c.name(), Profile: map[string]*profile{}}
	first := &ready{contender: cs[0], model: model}
	info, err := first.build(dir, &r.NNC.built)
	if err != nil {
		return nil, err
	}
	if first.in, err = makeInputs(c, dir, info.Inputs); err != nil {
		return nil, err
	}
	if err := first.outputs(filepath.Join(dir, "nnc-out")); err != nil {
		return nil, err
	}
	all, entries := []*ready{first}, []*other{nil}
	for _, t := range strings.Split(*threads, ",") {
		if r.Profile[t], err = first.profile(t); err != nil {
			return nil, err
		}
	}
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
	*b = built{wall.Seconds(), rss, st.Size(), st.Size() - info.Weights}
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
		o.Ratio, o.Range = map[string]float64{}, map[string][2]float64{}
		fs = append(fs, &o.figures)
	}
	start := make([][]float64, len(all))
	for range starts {
		for i, x := range all {
			wall, err := x.start()
			if err != nil {
				return err
			}
			start[i] = append(start[i], ms(wall))
		}
	}
	for i, f := range fs {
		f.StartMS, f.P50 = median(start[i]), map[string]float64{}
	}
	for _, t := range strings.Split(*threads, ",") {
		p50, ratio := make([][]float64, len(all)), make([][]float64, len(all))
		for range *pairs {
			for i, x := range all {
				res, err := x.bench(t)
				if err != nil {
					return err
				}
				if i > 0 {
					entries[i].Version = res.Version
				}
				fs[i].RSS = max(fs[i].RSS, res.PeakRSS)
				p50[i] = append(p50[i], res.P50)
				ratio[i] = append(ratio[i], res.P50/p50[0][len(p50[0])-1])
			}
		}
		for i, f := range fs {
			f.P50[t] = median(p50[i])
			if i > 0 {
				entries[i].Ratio[t] = median(ratio[i])
				entries[i].Range[t] = [2]float64{slices.Min(ratio[i]), slices.Max(ratio[i])}
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
func makeInputs(c *testCase, dir string, ins []ioInfo) ([]input, error) {
	var in []input
	for k, i := range ins {
		f := filepath.Join(filepath.Dir(c.model), "test_data_set_0", fmt.Sprintf("input_%d.pb", k))
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
	for _, kv := range strings.Split(c.dims, ",") {
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
				var ok bool
				if n, ok = sizes[d]; !ok {
					n = 1
				}
			}
			shape = append(shape, n)
		}
		d, ok := tensor.ParseDType(i.DType)
		if !ok {
			return nil, fmt.Errorf("input %q: random values of type %s", i.Name, i.DType)
		}
		t := tensor.New(d, shape...)
		fill(t, rng)
		f := filepath.Join(dir, fmt.Sprintf("in_%d.pb", k))
		if err := tensorio.WriteFile(f, hostop.Value(t)); err != nil {
			return nil, err
		}
		in = append(in, input{i.Name, f})
	}
	return in, nil
}

// fill makes floats from [0,1), and integers 0 or 1, which are good as indices of any table, and as masks.
func fill(t *tensor.Tensor, rng *rand.Rand) {
	switch t.DType {
	case tensor.F32:
		set(t, rng.Float32)
	case tensor.F64:
		set(t, rng.Float64)
	case tensor.F16:
		set(t, func() uint16 { return tensor.F32ToF16(rng.Float32()) })
	case tensor.I64, tensor.U64:
		set(t, func() int64 { return rng.Int64N(2) })
	case tensor.I32, tensor.U32:
		set(t, func() int32 { return rng.Int32N(2) })
	case tensor.U8, tensor.I8, tensor.Bool:
		set(t, func() uint8 { return uint8(rng.Int32N(2)) })
	}
}

func set[T tensor.Native](t *tensor.Tensor, next func() T) {
	v := tensor.BytesAs[T](t.Data)
	for i := range v {
		v[i] = next()
	}
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
