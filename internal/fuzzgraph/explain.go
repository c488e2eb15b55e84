package main

import (
	"runtime"
	"strings"
)

const runtimeArch = runtime.GOARCH

// difference is a known difference between nnc and the peer: where nnc follows the specification, or its own
// rule where that is silent, and the peer does otherwise.
type difference struct {
	op  string // of the node that causes it; the graph must contain it
	say string // part of the complaint
	why string
}

var differences = []difference{
	{"NonZero", "output", "of a scalar, NonZero has no rows by the specification; the peer does as numpy does"},
	{"RMSNormalization", "f64", "the peer rounds to f32 (stash_type), nnc keeps f64"},
	{"LayerNormalization", "f64", "the peer rounds to f32 (stash_type), nnc keeps f64"},
}

// explain names the known difference that accounts for a complaint, "" where there is none.
func explain(g *graph, complaint string) string {
	for _, d := range differences {
		if !strings.Contains(complaint, d.say) {
			continue
		}
		for _, n := range g.nodes {
			if d.op == "" || n.GetOpType() == d.op {
				return d.why
			}
		}
	}
	return ""
}
