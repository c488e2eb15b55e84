// Command fuzzgraph holds the ways of running a model against each other on random graphs: the evaluator, code
// compiled with and without the optimising passes, and another runtime (ONNX Runtime, through bench/ortserve).
// What differs by more than rounding can explain is made smaller and written as a test case, in ONNX's layout.
//
//	go run ./internal/fuzzgraph -n 1000 -out /tmp/fuzz -peer './ortserve -lib libonnxruntime.so.1'
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nnc-go/nnc/internal/driver"
	"github.com/nnc-go/nnc/runtime/abi"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/runtime/tensorio"
	"github.com/nnc-go/nnc/target"
)

type config struct {
	n, jobs int
	seed    uint64
	out     string
	peer    string
}

func main() {
	c := config{}
	flag.IntVar(&c.n, "n", 1000, "number of graphs")
	flag.Uint64Var(&c.seed, "seed", 1, "seed of the first graph; the others count up from it")
	flag.IntVar(&c.jobs, "j", 2, "graphs at a time")
	flag.StringVar(&c.out, "out", "fuzz-failures", "folder for what differs")
	flag.StringVar(&c.peer, "peer", "", "command of another runtime; none when empty")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	failed, err := fuzz(ctx, c)
	if err != nil {
		fmt.Fprintln(os.Stderr, "fuzzgraph:", err)
		os.Exit(2)
	}
	if failed > 0 {
		os.Exit(1)
	}
}

// report counts what became of the graphs.
type report struct {
	sync.Mutex
	graphs, nodes, failed int
	counts                map[string]int
	ops                   map[string]int
}

func (r *report) count(what string) {
	r.Lock()
	r.counts[what]++
	r.Unlock()
}

// fuzz runs graphs and prints a report; failed is the number of those that differ.
func fuzz(ctx context.Context, c config) (failed int, err error) {
	start := time.Now()
	r := &report{counts: map[string]int{}, ops: map[string]int{}}
	next := make(chan uint64)
	errs := make(chan error, c.jobs)
	for range c.jobs {
		go func() { errs <- worker(ctx, c, r, next) }()
	}
	for i := range c.n {
		select {
		case next <- c.seed + uint64(i):
		case err = <-errs:
			return r.failed, err
		case <-ctx.Done():
		}
	}
	close(next)
	for range c.jobs {
		err = errors.Join(err, <-errs)
	}
	fmt.Printf("%d graphs, %d nodes, %d differ, %.0f s\n", r.graphs, r.nodes, r.failed, time.Since(start).Seconds())
	for _, k := range slices.Sorted(maps.Keys(r.counts)) {
		fmt.Printf("%7d %s\n", r.counts[k], k)
	}
	var ops []string
	for _, k := range slices.Sorted(maps.Keys(r.ops)) {
		ops = append(ops, fmt.Sprintf("%s %d", k, r.ops[k]))
	}
	fmt.Println("nodes by op:", strings.Join(ops, ", "))
	return r.failed, err
}

func worker(ctx context.Context, c config, r *report, next <-chan uint64) error {
	dir, err := os.MkdirTemp("", "fuzzgraph-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	w := &checker{ctx: ctx, report: r}
	if c.peer != "" {
		w.peer = newPeer(c.peer, dir)
		defer w.peer.close()
	}
	for seed := range next {
		if ctx.Err() != nil {
			return nil
		}
		g := generate(seed)
		r.Lock()
		r.graphs++
		r.nodes += len(g.g.nodes)
		for _, n := range g.g.nodes {
			r.ops[n.GetOpType()]++
		}
		r.Unlock()
		w.level = levels[seed%uint64(len(levels))]
		why := w.check(&g.g, true)
		if ctx.Err() != nil {
			return nil // what was interrupted has not failed
		}
		if why == "" {
			continue
		}
		small := shrink(&g.g, func(g *graph) bool { return kind(w.check(g, false)) == kind(why) })
		why = w.check(small, false)
		if ctx.Err() != nil {
			return nil
		}
		if why == "" {
			r.count("peer: not the same twice")
			continue
		}
		if known := explain(small, why); known != "" {
			r.count("known: " + known)
			continue
		}
		if err := save(filepath.Join(c.out, fmt.Sprint(seed)), small, why); err != nil {
			return err
		}
		r.Lock()
		r.failed++
		r.Unlock()
		fmt.Printf("seed %d: %s\n", seed, why)
	}
	return nil
}

// levels are the instruction-set levels of this machine.
var levels = func() (ls []string) {
	for _, a := range target.Archs {
		for _, l := range a.Levels {
			if a.Name == runtimeArch && abi.HasFeatures(l.CPUID) {
				ls = append(ls, l.Name)
			}
		}
	}
	return ls
}()

// checker runs a graph in all ways.
type checker struct {
	ctx    context.Context
	report *report
	peer   *peer
	level  string
}

// kind is the part of a complaint that stays when a graph is shrunk: which way, and whether it failed or differed.
func kind(why string) string {
	k, _, _ := strings.Cut(why, ": ")
	return k
}

// check says how the ways disagree, "" where they do not; with count, it adds to the report.
func (w *checker) check(g *graph, count bool) string {
	ref, err := refer(g)
	if err != nil {
		return "evaluator fails: " + err.Error()
	}
	for _, way := range []struct {
		name string
		opts driver.Options
	}{{"-O=0", driver.Options{CPU: w.level, NoOptimize: true}}, {"-O", driver.Options{CPU: w.level}}} {
		out, err := compiled(w.ctx, g, way.opts)
		if err != nil {
			return way.name + " fails: " + err.Error()
		}
		if why := ref.check(out); why != "" {
			return way.name + " differs: " + why + " on " + w.level
		}
	}
	if w.peer == nil {
		return ""
	}
	why, what := w.checkPeer(g, ref)
	if count {
		w.report.count(what)
	}
	return why
}

// checkPeer is check against the peer; what is for the report.
func (w *checker) checkPeer(g *graph, ref *reference) (why, what string) {
	out, err := w.peer.run(g, ref)
	var refuses peerError
	switch {
	case errors.As(err, &refuses) && (strings.Contains(err.Error(), "NOT_IMPLEMENTED") || strings.Contains(err.Error(), "Could not find an implementation") || strings.Contains(err.Error(), "Failed to find kernel")):
		return "", "peer: no kernel"
	case errors.As(err, &refuses):
		return "peer refuses: " + err.Error(), "peer refuses"
	case err != nil:
		return "peer fails: " + err.Error(), "peer fails"
	}
	if why := ref.check(out); why != "" {
		return "peer differs: " + why, "peer differs"
	}
	return "", "peer agrees"
}

// save writes a case in ONNX's layout, with the evaluator's outputs, and what is wrong with it.
func save(dir string, g *graph, why string) error {
	set := filepath.Join(dir, "test_data_set_0")
	if err := os.MkdirAll(set, 0o755); err != nil {
		return err
	}
	b, err := g.bytes()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "model.onnx"), b, 0o644); err != nil {
		return err
	}
	text := why + "\n\n"
	if m, err := g.module(); err == nil {
		text += m.String()
	}
	write := func(kind string, i int, t *tensor.Tensor) error {
		return tensorio.WriteFile(filepath.Join(set, fmt.Sprintf("%s_%d.pb", kind, i)), t)
	}
	for i, in := range g.feeds() {
		if err := write("input", i, in.t); err != nil {
			return err
		}
	}
	if ref, err := refer(g); err == nil {
		for i, t := range ref.out {
			if err := write("output", i, t); err != nil {
				return err
			}
		}
	}
	return os.WriteFile(filepath.Join(dir, "why.txt"), []byte(text), 0o644)
}
