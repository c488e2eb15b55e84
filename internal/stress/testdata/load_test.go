// This file is added to a package that nnc has generated, whose package clause it gets. Package stress
// runs it there: see stress_test.go.
package model

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"runtime/pprof"
	"runtime/trace"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	callers = flag.Int("callers", 16, "goroutines that share one model")
	runs    = flag.Int("runs", 100, "runs of each; a tenth where one disturbance is tried alone")
	threads = flag.Int("threads", 4, "goroutines of each run")
	profile = flag.String("profile", "", "file for the processor profile")
	steady  = flag.Bool("steady", false, "runs may not allocate")
	batch   = flag.Int64("batch", 3, "largest batch, where the model takes batches")
)

// variant is an input with the result that a model of one thread gives for it before anything disturbs.
type variant struct {
	in   *Inputs
	want uint64
}

// makeVariants makes inputs of different values and, where the model takes them, batch sizes.
func makeVariants(t *testing.T) []variant {
	one, err := New(Threads(1))
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	var vs []variant
	for k := range 8 {
		in, out := fill(k, []int64{1, 2, *batch}[k%3]), &Outputs{}
		if one.Run(context.Background(), in, out) != nil {
			in = fill(k, 1)
			if err := one.Run(context.Background(), in, out); err != nil {
				t.Fatal(err)
			}
		}
		vs = append(vs, variant{in, digest(out)})
	}
	return vs
}

// fill gives sampleInputs with random floats, in a batch.
func fill(seed int, batch int64) *Inputs {
	rng := rand.New(rand.NewPCG(uint64(seed), 1))
	in := sampleInputs()
	v := reflect.ValueOf(in).Elem()
	for i := 0; i+1 < v.NumField(); i += 2 {
		shape := slices.Clone(v.Field(i + 1).Interface().([]int64))
		data := v.Field(i)
		if len(shape) > 1 && shape[0] == 1 {
			shape[0] = batch
			data = reflect.MakeSlice(data.Type(), data.Len()*int(batch), data.Len()*int(batch))
		}
		if x, ok := data.Interface().([]float32); ok {
			for j := range x {
				x[j] = rng.Float32()
			}
		}
		v.Field(i).Set(data)
		v.Field(i + 1).Set(reflect.ValueOf(shape))
	}
	return in
}

// goIn is wg.Go, which generated modules are too old for.
func goIn(wg *sync.WaitGroup, f func()) {
	wg.Add(1)
	go func() {
		defer wg.Done()
		f()
	}()
}

// deep calls f with a stack that is depth frames deep. Its frames hold something that must survive.
func deep(depth int, f func()) int {
	var frame [64]int
	frame[depth%len(frame)] = depth
	if depth == 0 {
		f()
		return 0
	}
	return deep(depth-1, f) + frame[depth%len(frame)] - depth
}

// onFreshStack calls f on a new goroutine, whose stack is small and has to grow.
func onFreshStack(depth int, f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if deep(depth, f) != 0 {
			panic("a stack frame has changed")
		}
	}()
	<-done
}

// caller runs a model again and again, in the ways that callers do.
type caller struct {
	m         *Model
	vs        []variant
	rng       *rand.Rand
	out       *Outputs
	cancelled *atomic.Int64
}

func (c *caller) run(i int) error {
	v := c.vs[c.rng.IntN(len(c.vs))]
	switch i % 4 {
	case 0:
		c.out = &Outputs{}
	case 1:
		err := c.cancel(v)
		if errors.Is(err, context.Canceled) {
			c.cancelled.Add(1)
			return nil
		}
		return err
	case 2:
		var err error
		onFreshStack(c.rng.IntN(100), func() { err = c.hold(context.Background(), v) })
		return err
	}
	return c.hold(context.Background(), v)
}

// cancel is hold with a context that ends at some time during the run, or just before or after.
func (c *caller) cancel(v variant) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	timer := time.AfterFunc(time.Duration(c.rng.IntN(200))*time.Microsecond, cancel)
	defer timer.Stop()
	return c.hold(ctx, v)
}

// hold runs the model on v and holds the result against the wanted one.
func (c *caller) hold(ctx context.Context, v variant) error {
	if err := c.m.Run(ctx, v.in, c.out); err != nil {
		return err
	}
	if got := digest(c.out); got != v.want {
		return fmt.Errorf("result %x, want %x", got, v.want)
	}
	return nil
}

// disturbances are what goes on beside the runs. Each works until stop is closed.
var disturbances = []struct {
	name  string
	share int // of the runs, one in so many
	work  func(stop <-chan struct{}) error
}{
	{"quiet", 1, func(stop <-chan struct{}) error { <-stop; return nil }},
	{"collector", 10, collect},
	{"profile", 10, profileAt1kHz},
	{"trace", 10, traceExecution},
	{"procs", 10, changeProcs},
	{"stacks", 10, readStacks},
	{"everything", 1, func(stop <-chan struct{}) error {
		errs := make([]error, 4)
		var wg sync.WaitGroup
		for i, f := range []func(<-chan struct{}) error{collect, profileAt1kHz, changeProcs, readStacks} {
			goIn(&wg, func() { errs[i] = f(stop) })
		}
		wg.Wait()
		return errors.Join(errs...)
	}},
}

// until calls f again and again.
func until(stop <-chan struct{}, f func()) error {
	for {
		select {
		case <-stop:
			return nil
		default:
			f()
		}
	}
}

// collect keeps the garbage collector running, which shrinks stacks too.
func collect(stop <-chan struct{}) error {
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	return until(stop, runtime.GC)
}

// profileAt1kHz takes a processor profile with a signal every millisecond.
func profileAt1kHz(stop <-chan struct{}) error {
	var w io.Writer = io.Discard
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		w = f
	}
	runtime.SetCPUProfileRate(1000) // StartCPUProfile says on stderr that it cannot set its own
	if err := pprof.StartCPUProfile(w); err != nil {
		return err
	}
	<-stop
	pprof.StopCPUProfile()
	return nil
}

// traceExecution takes execution traces, which walk stacks by their frame pointers.
func traceExecution(stop <-chan struct{}) error {
	var err error
	until(stop, func() {
		if e := trace.Start(io.Discard); e != nil {
			err = e
			return
		}
		time.Sleep(20 * time.Millisecond)
		trace.Stop()
	})
	return err
}

// changeProcs changes GOMAXPROCS.
func changeProcs(stop <-chan struct{}) error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	n := 0
	return until(stop, func() {
		n++
		runtime.GOMAXPROCS(1 + n%5)
		time.Sleep(time.Millisecond)
	})
}

// readStacks walks the stacks of all goroutines.
func readStacks(stop <-chan struct{}) error {
	b := make([]byte, 1<<20)
	return until(stop, func() {
		runtime.Stack(b, true)
		pprof.Lookup("goroutine").WriteTo(io.Discard, 0)
		time.Sleep(time.Millisecond)
	})
}

// TestLoad: whatever goes on beside them, concurrent runs give the bits of undisturbed ones.
func TestLoad(t *testing.T) {
	vs := makeVariants(t)
	for _, d := range disturbances {
		t.Run(d.name, func(t *testing.T) {
			m, err := New(Threads(*threads))
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			stop, failed := make(chan struct{}), make(chan error, 1)
			go func() { failed <- d.work(stop) }()
			start, runs := time.Now(), max(*runs/d.share, 1)
			var wg sync.WaitGroup
			var cancelled atomic.Int64
			for k := range *callers {
				goIn(&wg, func() {
					c := &caller{m: m, vs: vs, rng: rand.New(rand.NewPCG(uint64(k), 2)), out: &Outputs{}, cancelled: &cancelled}
					for i := range runs {
						if err := c.run(i + k); err != nil {
							t.Errorf("caller %d, run %d: %v", k, i, err)
							return
						}
					}
				})
			}
			wg.Wait()
			took := time.Since(start)
			close(stop)
			if err := <-failed; err != nil {
				t.Error(err)
			}
			t.Logf("%s: %d callers x %d runs in %.1f s, %d cancelled; longest wait to stop the world %s", d.name, *callers, runs, took.Seconds(), cancelled.Load(), longestStop())
		})
	}
}

// longestStop is the upper bound of the slowest class of waits until all goroutines had stopped, since the
// process began.
func longestStop() string {
	worst := 0.0
	for _, name := range []string{"/sched/pauses/stopping/gc:seconds", "/sched/pauses/stopping/other:seconds"} {
		s := []metrics.Sample{{Name: name}}
		metrics.Read(s)
		h := s[0].Value.Float64Histogram()
		for i, n := range h.Counts {
			if n > 0 {
				worst = max(worst, h.Buckets[i])
			}
		}
	}
	return time.Duration(worst * 1e9).Round(time.Microsecond).String()
}

// TestCloseUnderLoad: runs that are in progress when the model is closed finish with the right result, later
// ones are refused.
func TestCloseUnderLoad(t *testing.T) {
	vs := makeVariants(t)
	for range max(*runs/50, 2) {
		m, err := New(Threads(*threads))
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for k := range *callers {
			goIn(&wg, func() {
				c := &caller{m: m, vs: vs, rng: rand.New(rand.NewPCG(uint64(k), 3)), out: &Outputs{}}
				var err error
				for err == nil {
					err = c.hold(context.Background(), vs[k%len(vs)])
				}
				if !errors.Is(err, ErrClosed) {
					t.Errorf("caller %d: %v", k, err)
				}
			})
		}
		time.Sleep(2 * time.Millisecond)
		m.Close()
		wg.Wait()
	}
}

// TestSteady: a run that gets its results in the memory of the one before allocates nothing.
func TestSteady(t *testing.T) {
	if !*steady {
		t.Skip("without -steady")
	}
	m, err := New(Threads(*threads))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	in, out := makeVariants(t)[2].in, &Outputs{}
	if n := testing.AllocsPerRun(100, func() { err = m.Run(context.Background(), in, out) }); n != 0 || err != nil {
		t.Errorf("%v allocations a run (%v)", n, err)
	}
}

// TestDropped: a model that nobody holds any more stops its goroutines.
func TestDropped(t *testing.T) {
	in := makeVariants(t)[2].in
	before := runtime.NumGoroutine()
	for range 10 {
		m, err := New(Threads(*threads))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Run(context.Background(), in, &Outputs{}); err != nil {
			t.Fatal(err)
		}
	}
	for range 500 {
		runtime.GC()
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	var b bytes.Buffer
	pprof.Lookup("goroutine").WriteTo(&b, 1)
	t.Errorf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), b.String())
}
