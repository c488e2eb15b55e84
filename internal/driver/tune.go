package driver

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/nnc-go/nnc/internal/tune"
	"github.com/nnc-go/nnc/lower"
	"github.com/nnc-go/nnc/runtime/abi"
	"github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Tune says how to measure schedules; see package tune.
type Tune struct {
	Cache string        // folder; "" is nnc/tune in the user's cache folder
	Time  time.Duration // after which no round of measurements begins; one that has begun takes as much again at most
}

// TuneTime is what tuning takes at most where the user does not say.
const TuneTime = 30 * time.Second

// ErrTune is the error for a target whose kernels cannot be measured here.
var ErrTune = errors.New("-tune measures on the machine that the program is for")

// tunable checks that kernels for the target can be measured.
func (c *Compiled) tunable() error {
	switch {
	case c.Target.OS != runtime.GOOS || c.Target.Arch.Name != runtime.GOARCH:
		return fmt.Errorf("%w, which is %s: run nnc there; this is %s/%s", ErrTune, c.Target, runtime.GOOS, runtime.GOARCH)
	case runtime.GOOS != "linux":
		return fmt.Errorf("%w and inside nnc, which needs linux; this is %s", ErrTune, runtime.GOOS)
	case len(c.Target.Levels) != 1:
		return fmt.Errorf("%w, at one level of instructions: give -cpu=native", ErrTune)
	case !abi.HasFeatures(c.Target.Levels[0].CPUID):
		return fmt.Errorf("%w; this one lacks instructions of level %s", ErrTune, c.Target.Levels[0].Name)
	}
	return c.missing
}

// tune measures the choices of the model and gives what to lower it with. Where it cannot run, the cost models decide.
func (c *Compiled) tune(ctx context.Context) error {
	cache, err := c.tuneCache()
	if err != nil {
		return err
	}
	w, err := lower.NewWeights(c.dir)
	if err != nil {
		return err
	}
	defer w.Close()
	m := &tuned{c: c, weights: w}
	o := tune.Options{Cache: cache, Budget: cmp.Or(c.opts.Tune.Time, TuneTime)}
	if c.opts.Progress != nil {
		o.Progress = func(share float64) { c.opts.Progress("tune", share) }
	}
	c.Tuned, err = tune.Run(ctx, m, o)
	var bad *exec.Error
	if errors.As(err, &bad) || errors.Is(err, errInvent) {
		c.Tuned = &tune.Report{Warnings: []string{"-tune: the model does not take the sample input (1 for each symbolic dimension): " + err.Error()}}
		return nil
	}
	return err
}

// tuneCache finds the cache: a decision in it holds for this nnc, its code generator and this model of processor.
func (c *Compiled) tuneCache() (*tune.Cache, error) {
	dir := c.opts.Tune.Cache
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("no folder for the cache of measured choices: %w; give -tune-cache=DIR", err)
		}
		dir = filepath.Join(base, "nnc", "tune")
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	f, err := os.Open(self)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, err
	}
	id := fmt.Sprintf("%s, level %s, backend %s, math %s, nnc %x", tune.CPU(), c.Target.Levels[0].Name, c.Backend.Name(), c.opts.Math, h.Sum(nil)[:8])
	return &tune.Cache{Dir: dir, ID: id}, nil
}

// errInvent is why a model cannot be run on inputs of chance.
var errInvent = errors.New("no values")

// tuned is a tune.Model. All its programs share their weights.
type tuned struct {
	c       *Compiled
	weights *lower.Weights
}

func (t *tuned) Lower(choose func(lower.Choice) int) (*lower.Program, error) {
	return lower.Lower(t.c.Module, t.c.Target, t.weights, t.c.loweringOptions(choose))
}

// Runner compiles the programs at once.
func (t *tuned) Runner(ctx context.Context, ps []*lower.Program) (_ tune.Runner, err error) {
	r := &runner{}
	p := ps[0].Plan
	for i := range p.Inputs {
		x, err := invent(p, &p.Inputs[i], uint64(i))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errInvent, err)
		}
		if x == nil {
			r.in = append(r.in, nil)
			continue
		}
		r.in = append(r.in, x)
	}
	b, err := readWeights(t.weights)
	if err != nil {
		return nil, err
	}
	var cs []*Compiled
	for _, p := range ps {
		cs = append(cs, &Compiled{Name: t.c.Name, Target: t.c.Target, Module: t.c.Module, Program: p, Backend: t.c.Backend, memory: b[:p.Plan.WeightsSize]})
		r.out = append(r.out, make([]hostop.Value, len(p.Plan.Outputs)))
	}
	r.ls, err = LoadAll(ctx, cs, exec.Options{Threads: 1})
	return r, err
}

// runner is a tune.Runner.
type runner struct {
	ls  []*Loaded
	in  []hostop.Value
	out [][]hostop.Value
}

func (r *runner) Run(ctx context.Context, i int) ([]time.Duration, error) {
	times := make([]time.Duration, len(r.ls[i].Plan().Steps))
	err := r.ls[i].Profile(ctx, r.in, r.out[i], func(step int, _ *plan.Step, d time.Duration, _, _ int64) { times[step] += d })
	return times, err
}

func (r *runner) Close() (err error) {
	for _, l := range r.ls {
		err = errors.Join(err, l.Close())
	}
	return err
}

// readWeights reads what has been packed so far.
func readWeights(w *lower.Weights) ([]byte, error) {
	r, err := w.Reader()
	if err != nil {
		return nil, err
	}
	b := tensor.AlignedBytes(r.Size())
	_, err = io.ReadFull(r, b)
	return b, err
}
