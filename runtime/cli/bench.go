package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nnc-go/nnc/runtime/hostop"
)

// report is the result of bench; the JSON names are fixed.
type report struct {
	Model      string  `json:"model"`
	CPU        string  `json:"cpu"`
	Threads    int     `json:"threads"`
	Iterations int     `json:"iterations"`
	P50        float64 `json:"p50_ms"`
	P90        float64 `json:"p90_ms"`
	P99        float64 `json:"p99_ms"`
	Mean       float64 `json:"mean_ms"`
	Min        float64 `json:"min_ms"`
	CoV        float64 `json:"cov"`
	Load       float64 `json:"load_ms"`
	First      float64 `json:"first_ms"`
	PeakRSS    int64   `json:"peak_rss_bytes"`
	Warning    string  `json:"warning,omitempty"`

	Profile *profile `json:"profile,omitempty"`
}

// Fewer runs than these before the measurement would time page faults and cold caches.
const (
	warmUpRuns = 3
	warmUpTime = 200 * time.Millisecond
	maxRuns    = 10_000_000
)

func (a *app) bench() error {
	if err := a.checkTimes(); err != nil {
		return err
	}
	a.began = time.Now()
	m, err := a.load()
	if err != nil {
		return err
	}
	loaded := time.Since(a.began)
	defer m.Close()
	// Inputs come after loading, so that reading them counts for nothing.
	in, err := a.anyInputs()
	if err != nil {
		return err
	}
	out := make([]hostop.Value, len(a.Plan.Outputs))
	once := func() (time.Duration, error) {
		t := time.Now()
		err := m.Run(context.Background(), in, out)
		return time.Since(t), err
	}
	first, err := once()
	if err != nil {
		return err
	}
	for i, t := 0, time.Now(); i < warmUpRuns || time.Since(t) < warmUpTime && i < maxRuns; i++ {
		if _, err := once(); err != nil {
			return err
		}
	}
	var times []time.Duration
	err = a.repeat(func() error {
		d, err := once()
		times = append(times, d)
		return err
	})
	if err != nil {
		return err
	}
	r := statisticsOf(times)
	r.Model, r.CPU, r.Threads, r.First, r.PeakRSS = a.Plan.Name, m.Level(), m.Threads(), ms(first), peakRSS()
	r.Load = ms(a.startTime(loaded))
	if a.profiling {
		if r.Profile, err = a.measure(m, in, out); err != nil {
			return err
		}
	}
	return a.print(r)
}

func (a *app) checkTimes() error {
	if a.iterations < 1 || a.minTime < 0 {
		return usagef("want -iterations of 1 or more and -time of 0 or more, got %d and %v", a.iterations, a.minTime)
	}
	return nil
}

// repeat calls run as often and as long as the flags say.
func (a *app) repeat(run func() error) error {
	for n, t := 0, time.Now(); n < a.iterations || time.Since(t) < a.minTime && n < maxRuns; n++ {
		if err := run(); err != nil {
			return err
		}
	}
	return nil
}

// anyInputs are random ones where no file is given.
func (a *app) anyInputs() ([]hostop.Value, error) {
	if a.random == nil && len(a.files) == 0 {
		a.random = new(int64)
	}
	return a.inputs()
}

func statisticsOf(times []time.Duration) *report {
	slices.Sort(times)
	n := len(times)
	r := &report{Iterations: n, Min: ms(times[0])}
	at := func(p float64) float64 { return ms(times[max(int(math.Ceil(p*float64(n)))-1, 0)]) }
	r.P50, r.P90, r.P99 = at(0.5), at(0.9), at(0.99)
	for _, t := range times {
		r.Mean += ms(t) / float64(n)
	}
	for _, t := range times {
		r.CoV += (ms(t) - r.Mean) * (ms(t) - r.Mean) / float64(n)
	}
	if r.Mean > 0 {
		r.CoV = math.Sqrt(r.CoV) / r.Mean
	}
	if r.CoV > 0.1 {
		r.Warning = fmt.Sprintf("unstable: the standard deviation is %.0f%% of the mean; other programs or a changing clock disturb the measurement", 100*r.CoV)
	}
	return r
}

func (a *app) print(r *report) error {
	if a.json {
		return json.NewEncoder(a.out).Encode(r)
	}
	_, err := fmt.Fprintf(a.out, "%s: level %s, %d threads, %d runs\n"+
		"  min %.3f ms  mean %.3f ms  p50 %.3f ms  p90 %.3f ms  p99 %.3f ms  deviation %.1f%%\n"+
		"  load %.2f ms  first run %.3f ms  peak memory %.1f MiB\n",
		r.Model, r.CPU, r.Threads, r.Iterations, r.Min, r.Mean, r.P50, r.P90, r.P99, 100*r.CoV, r.Load, r.First, float64(r.PeakRSS)/(1<<20))
	if err == nil && r.Profile != nil {
		_, err = fmt.Fprintf(a.out, "\n%s", r.Profile.table())
	}
	if r.Warning != "" {
		fmt.Fprintln(a.errOut, "warning: "+r.Warning)
	}
	return err
}

// startTime measures how long it takes from starting a process until the model is ready: the median of
// a few child processes that load the model and say so. Where that does not work it is this process's
// own time, which misses what happened before main.
func (a *app) startTime(loaded time.Duration) time.Duration {
	var times []time.Duration
	for range 5 {
		d, err := a.startOnce()
		if err != nil {
			return a.began.Sub(started) + loaded
		}
		times = append(times, d)
	}
	slices.Sort(times)
	return times[len(times)/2]
}

func (a *app) startOnce() (time.Duration, error) {
	if a.Weights != nil {
		return 0, fmt.Errorf("not an executable of its own")
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	args := []string{self, "ready", fmt.Sprint("-threads=", a.threads), "-cpu=" + a.cpu}
	if a.maxMemory != 0 {
		args = append(args, fmt.Sprint("-max-memory=", a.maxMemory))
	}
	t := time.Now()
	p, err := os.StartProcess(self, args, &os.ProcAttr{Files: []*os.File{nil, w, nil}})
	w.Close()
	if err != nil {
		return 0, err
	}
	var said [len(readyWord)]byte
	_, err = io.ReadFull(r, said[:])
	d := time.Since(t)
	if _, werr := p.Wait(); err == nil {
		err = werr
	}
	if err == nil && string(said[:]) != readyWord {
		err = fmt.Errorf("it said %q", strings.TrimSpace(string(said[:])))
	}
	return d, err
}

const readyWord = "ready\n"

// ready loads the model, says so, and ends: the other side of startTime.
func (a *app) ready() error {
	m, err := a.load()
	if err != nil {
		return err
	}
	defer m.Close()
	_, err = io.WriteString(a.out, readyWord)
	return err
}
