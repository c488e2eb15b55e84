package main

import (
	"context"
	"errors"
	"strings"

	"github.com/nnc-go/nnc/runtime/abi"
	"github.com/nnc-go/nnc/target"
)

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

// way is one of nnc's own ways of running a graph: a level, with or without the optimising passes.
type way struct {
	level string
	plain bool
}

func (w way) String() string {
	if w.plain {
		return "-O=0 on " + w.level
	}
	return "-O on " + w.level
}

// chunk is how many graphs are compiled together: starting LLVM costs more than what it does for one of them.
const chunk = 64

// waysOf are the ways in which graph seed is run. They are the same for a chunk, and of one level, since most kernels
// are the same with and without the passes, and are compiled once.
func waysOf(seed uint64) []way {
	l := levels[seed/chunk%uint64(len(levels))]
	return []way{{l, true}, {l, false}}
}

// complaint says how a way of running a graph does not agree with the evaluator.
type complaint struct {
	by   *way   // nil for the evaluator and the peer
	kind string // which way, and whether it fails or differs: what stays when a graph is shrunk
	text string
}

func (c *complaint) String() string { return c.kind + ": " + c.text }

// member is a graph on its way through a chunk.
type member struct {
	seed      uint64
	g         *graph
	ref       *reference
	ran       []string // for the report
	complaint *complaint
	small     *graph // what is left of g with the complaint
	known     string // what explains it
	gone      bool   // the peer has no complaint when the graph is run again
}

// checker runs graphs in all ways.
type checker struct {
	ctx  context.Context
	peer *peer // nil for none
}

// checkAll runs the graphs of some seeds of a chunk.
func (w *checker) checkAll(seeds []uint64) []*member {
	var ms []*member
	for _, seed := range seeds {
		m := &member{seed: seed, g: &generate(seed).g}
		m.ref, m.complaint = referOrComplain(m.g)
		ms = append(ms, m)
	}
	w.checkWays(waysOf(seeds[0]), ms)
	if w.peer == nil {
		return ms
	}
	for _, m := range ms {
		if m.complaint == nil && w.ctx.Err() == nil {
			var what string
			m.complaint, what = w.checkPeer(m.g, m.ref)
			m.ran = append(m.ran, what)
		}
	}
	return ms
}

func referOrComplain(g *graph) (*reference, *complaint) {
	ref, err := refer(g)
	if err != nil {
		return nil, &complaint{kind: "evaluator fails", text: err.Error()}
	}
	return ref, nil
}

// checkWays compiles the graphs that have no complaint yet in some ways of one level, together, and sets the complaints
// of those that do not do as they should.
func (w *checker) checkWays(ways []way, ms []*member) {
	var jobs []*job
	var of []*member
	for _, by := range ways {
		for _, m := range ms {
			if m.complaint == nil {
				jobs, of = append(jobs, &job{way: by, g: m.g}), append(of, m)
			}
		}
	}
	compile(w.ctx, jobs)
	for i, j := range jobs {
		m, by := of[i], j.way
		m.ran = append(m.ran, by.String())
		if m.complaint != nil {
			continue
		}
		name, _, _ := strings.Cut(by.String(), " ")
		if j.err != nil {
			m.complaint = &complaint{&by, name + " fails", j.err.Error()}
		} else if why := m.ref.check(j.out); why != "" {
			m.complaint = &complaint{&by, name + " differs", why + " on " + by.level}
		}
	}
}

// checkPeer compares with the peer; what is for the report.
func (w *checker) checkPeer(g *graph, ref *reference) (why *complaint, what string) {
	out, err := w.peer.run(g, ref)
	var refuses peerError
	switch {
	case errors.As(err, &refuses) && (strings.Contains(err.Error(), "NOT_IMPLEMENTED") || strings.Contains(err.Error(), "Could not find an implementation") || strings.Contains(err.Error(), "Failed to find kernel")):
		return nil, "peer: no kernel"
	case errors.As(err, &refuses):
		return &complaint{kind: "peer refuses", text: err.Error()}, "peer refuses"
	case err != nil:
		return &complaint{kind: "peer fails", text: err.Error()}, "peer fails"
	}
	if why := ref.check(out); why != "" {
		return &complaint{kind: "peer differs", text: why}, "peer differs"
	}
	return nil, "peer agrees"
}

// again looks at a graph in the way that a complaint is about; nil if there is none.
func (w *checker) again(g *graph, c *complaint) *complaint {
	m := &member{g: g}
	m.ref, m.complaint = referOrComplain(g)
	switch {
	case m.complaint != nil:
	case c.by != nil:
		w.checkWays([]way{*c.by}, []*member{m})
	case w.peer != nil:
		m.complaint, _ = w.checkPeer(g, m.ref)
	}
	return m.complaint
}

// settle makes the graph of a complaint smaller and looks for what explains it.
func (m *member) settle(w *checker) {
	m.small = shrink(m.g, func(g *graph) bool {
		c := w.again(g, m.complaint)
		return c != nil && c.kind == m.complaint.kind
	})
	if c := w.again(m.small, m.complaint); c != nil {
		m.complaint = c
	} else {
		m.gone = m.complaint.kind == "peer differs" // it may compute on what it finds in memory; nnc may not
	}
	m.known = explain(m.small, m.complaint.String())
}
