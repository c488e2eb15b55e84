package opt

import "github.com/nnc-go/nnc/ir/loop"

// pipeline is what Optimize does, in order.
var pipeline = []struct {
	name string
	run  func(f *loop.Func, t *Target)
	why  string
}{
	{"straighten", straighten, "the counter of a loop that runs once is a number, and it is no loop around what is inside"},
	{"fold", fold, "constants are then known as such"},
	{"divide", divide, "before products of quotients are spread over sums"},
	{"simplify", simplify, "equal values are one to all that follows"},
	{"hoist", hoist, "what is left in a loop changes in it"},
	{"address", address, "indices of loads and stores are sums by loop"},
	{"sweep", sweep, "what address has replaced needs no index any more"},
	{"carry", carry, "those sums grow evenly in inner loops"},
	{"simplify", simplify, "addresses that were written anew are equal to others, and their old computation is dead"},
	{"reload", reload, "equal addresses are one value now"},
	{"refetch", refetch, "nothing changes after it that would need a register"},
}

func sweep(f *loop.Func, _ *Target) { loop.Sweep(f) }

func simplify(f *loop.Func, _ *Target) { loop.Simplify(f) }

// Optimize takes work out of f's loops without changing a bit of what it computes. It keeps what Legalize has made:
// of vectors it moves and drops instructions, and makes none but constants.
func Optimize(f *loop.Func, t *Target) {
	for _, p := range pipeline {
		p.run(f, t)
	}
}
