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

	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/runtime/tensorio"
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

// fuzz runs graphs and prints a report; failed is the number of those that differ.
func fuzz(ctx context.Context, c config) (failed int, err error) {
	start := time.Now()
	r := &report{counts: map[string]int{}, ops: map[string]int{}}
	next := make(chan []uint64)
	errs := make(chan error, c.jobs)
	for range c.jobs {
		go func() { errs <- worker(ctx, c, r, next) }()
	}
	for _, seeds := range chunks(c.seed, c.n) {
		select {
		case next <- seeds:
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

// chunks splits seeds into those that are compiled together, which are in the same ways.
func chunks(first uint64, n int) (cs [][]uint64) {
	for i := range uint64(n) {
		seed := first + i
		if i == 0 || seed%chunk == 0 {
			cs = append(cs, nil)
		}
		cs[len(cs)-1] = append(cs[len(cs)-1], seed)
	}
	return cs
}

func worker(ctx context.Context, c config, r *report, next <-chan []uint64) error {
	dir, err := os.MkdirTemp("", "fuzzgraph-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	w := &checker{ctx: ctx}
	if c.peer != "" {
		w.peer = newPeer(c.peer, dir)
		defer w.peer.close()
	}
	for seeds := range next {
		members := w.checkAll(seeds)
		for _, m := range members {
			if m.complaint != nil && ctx.Err() == nil {
				m.settle(w)
			}
		}
		if ctx.Err() != nil {
			return nil // what was interrupted has not failed, nor has it run
		}
		for _, m := range members {
			if err := r.add(m, c.out); err != nil {
				return err
			}
		}
	}
	return nil
}

// add counts a graph, and writes it to a folder in out if its complaint is not explained.
func (r *report) add(m *member, out string) error {
	r.Lock()
	defer r.Unlock()
	r.graphs++
	r.nodes += len(all(m.g.nodes))
	for _, n := range all(m.g.nodes) {
		r.ops[n.GetOpType()]++
	}
	for _, what := range m.ran {
		r.counts[what]++
	}
	switch {
	case m.complaint == nil:
		return nil
	case m.known != "":
		r.counts["known: "+m.known]++
		return nil
	case m.gone:
		r.counts["gone when run again: "+m.complaint.kind]++
		fmt.Printf("seed %d, gone when run again: %s\n", m.seed, m.complaint)
		return nil
	}
	r.failed++
	fmt.Printf("seed %d: %s\n", m.seed, m.complaint)
	return save(filepath.Join(out, fmt.Sprint(m.seed)), m.small, m.complaint.String())
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
