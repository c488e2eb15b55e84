package filetest

import (
	"context"
	"slices"
	"sync"

	"github.com/nnc-go/nnc/internal/driver"
	"github.com/nnc-go/nnc/runtime/exec"
)

// batch compiles all cases of a file for one level at once: starting the tools costs more than what they do
// for the kernels of one case.
type batch struct {
	cases []*testCase
	mu    sync.Mutex
	done  map[way][]built
}

// way is a level, with or without the optimising passes.
type way struct {
	level, backend string
	plain          bool
}

// built is a case compiled in some way, or why it is not.
type built struct {
	compiled *driver.Compiled
	loaded   *driver.Loaded
	err      error
}

// get compiles the cases, at the first call, and gives that of c.
func (b *batch) get(w way, c *testCase) built {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done[w] == nil {
		b.done[w] = b.build(w)
	}
	return b.done[w][slices.Index(b.cases, c)]
}

func (b *batch) build(w way) []built {
	ctx := context.Background()
	out := make([]built, len(b.cases))
	var good []*driver.Compiled
	var at []int
	for i, c := range b.cases {
		if c == nil { // it does not parse
			continue
		}
		out[i].compiled, out[i].err = driver.CompileModule(ctx, c.module.Clone(), c.options(w.backend, w.level, w.plain))
		if out[i].err == nil {
			good, at = append(good, out[i].compiled), append(at, i)
		}
	}
	opts := exec.Options{Threads: 2}
	loaded, err := driver.LoadAll(ctx, good, opts)
	for k, i := range at {
		if err == nil {
			out[i].loaded = loaded[k]
			continue
		}
		// One of them is to blame: alone, each shows whether it is.
		out[i].loaded, out[i].err = out[i].compiled.Load(ctx, opts)
	}
	return out
}

// close frees what was compiled.
func (b *batch) close() {
	for _, cases := range b.done {
		for _, c := range cases {
			if c.loaded != nil {
				c.loaded.Close()
			}
			if c.compiled != nil {
				c.compiled.Close()
			}
		}
	}
}
