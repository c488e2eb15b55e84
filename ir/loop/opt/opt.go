// Package opt prepares kernels for a backend that has no optimiser of its own: Optimize takes work out of inner
// loops, and Legalize cuts vectors to the width of a register and writes what a machine lacks as what it has.
// Both turn loop IR into loop IR, so that package loop's evaluator can hold a kernel against its former self.
package opt

import (
	"fmt"
	"slices"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/target"
)

// Target is what Legalize needs to know of a machine.
type Target struct {
	VecBytes  int                       // width of a vector register; 16 at least
	Registers int                       // vector registers; 0 means 16
	Masks     bool                      // predicates have registers of their own, a bit per lane
	Native    func(in *loop.Instr) bool // the backend has an instruction, or a sequence, for in
}

func (t *Target) registers() int {
	if t.Registers == 0 {
		return 16
	}
	return t.Registers
}

// level is what expansions are written for: they make FMA only from FMA, and convert f16 only where that is native.
var level = &target.Level{FMA: true, F16C: true}

// maxDepth bounds how often a rule's result is expanded again: rules lead from rarer to more common operations.
const maxDepth = 20

// Legalize changes f so that
//
//   - each vector fits one register: Lanes*Elem.Size() <= VecBytes. A Bool counts a byte per lane; where it meets
//     vectors of wider elements it has as many lanes as those, and is cut or joined by OpShuffle where they differ;
//   - each instruction is one for which t.Native is true; constants, loops and conditionals are taken to be.
//
// Prefetches are dropped. Bits of results stay. The error names an operation that has neither a native form nor a rule.
func Legalize(f *loop.Func, t *Target) error {
	WithoutPrefetches(f)
	for range maxDepth {
		wide := false
		walk(f.Body, func(in *loop.Instr) { wide = wide || tooWide(in, t) })
		if wide {
			split(f, t)
		}
		again, err := expand(f, t)
		if err != nil {
			return err
		}
		loop.Simplify(f)
		if !again {
			return nil
		}
	}
	return fmt.Errorf("opt: %s: expansions do not end", f.Name)
}

// WithoutPrefetches drops f's prefetches, which are worth no instruction that would stand between a loop's others.
func WithoutPrefetches(f *loop.Func) {
	isPrefetch := func(in *loop.Instr) bool { return in.Op == loop.OpPrefetch }
	f.Body.Instrs = slices.DeleteFunc(f.Body.Instrs, isPrefetch)
	walk(f.Body, func(in *loop.Instr) {
		for _, b := range in.Blocks {
			b.Instrs = slices.DeleteFunc(b.Instrs, isPrefetch)
		}
	})
	loop.Sweep(f)
}

// walk visits the instructions of b and of the blocks inside.
func walk(b *loop.Block, visit func(in *loop.Instr)) {
	for _, in := range b.Instrs {
		visit(in)
		for _, s := range in.Blocks {
			walk(s, visit)
		}
	}
}

func tooWide(in *loop.Instr, t *Target) bool {
	for _, vs := range [][]*loop.Value{in.Results, in.Args} {
		for _, v := range vs {
			if v.Type.Lanes > 1 && v.Type.Lanes*v.Type.Elem.Size() > t.VecBytes {
				return true
			}
		}
	}
	return false
}
