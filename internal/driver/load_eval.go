package driver

import (
	"fmt"
	"unsafe"

	"github.com/nnc-go/nnc/ir/eval"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/plan"
)

// model makes the executor of a compiled model whose kernels are at the given addresses and entered by enter.
func (c *Compiled) model(opts exec.Options, enter func(fn uintptr, args *int64, lo, hi int64), addr func(level, kernel int) uintptr) (*exec.Model, error) {
	w := c.memory
	if w == nil {
		var err error
		if w, err = readWeights(c.weights); err != nil {
			return nil, err
		}
	}
	var levels []exec.Level
	for i, lv := range c.Program.Levels {
		e := exec.Level{Name: lv.Name, Features: lv.CPUID, Enter: enter}
		for k := range c.Program.Kernels[i] {
			e.Kernels = append(e.Kernels, addr(i, k))
		}
		levels = append(levels, e)
	}
	for i := range c.Program.Plan.Steps {
		if s := &c.Program.Plan.Steps[i]; s.Kind == plan.StepHost {
			s.Host = eval.Lookup(s.HostOp)
		}
	}
	return exec.New(c.Program.Plan, levels, w, opts)
}

// LoadEvaluated makes a model of one level whose kernels package loop evaluates: slow, but it runs the
// kernels of any level of any architecture on any machine.
func (c *Compiled) LoadEvaluated(opts exec.Options) (*exec.Model, error) {
	return c.LoadFuncs(opts, func(f *loop.Func) Kernel {
		return func(args *int64, lo, hi int64) {
			if err := evalKernel(f, args, lo, hi); err != nil {
				panic(err)
			}
		}
	})
}

// Kernel is a kernel as a Go function.
type Kernel = func(args *int64, lo, hi int64)

// LoadFuncs makes a model of one level whose kernels are functions of this process.
func (c *Compiled) LoadFuncs(opts exec.Options, kernel func(f *loop.Func) Kernel) (*exec.Model, error) {
	if len(c.Program.Levels) != 1 {
		return nil, fmt.Errorf("compiled for %d levels, want one", len(c.Program.Levels))
	}
	var ks []Kernel
	for _, f := range c.Program.Kernels[0] {
		ks = append(ks, kernel(f))
	}
	opts.HasFeatures = func([]string) bool { return true }
	enter := func(fn uintptr, args *int64, lo, hi int64) { ks[fn-1](args, lo, hi) }
	return c.model(opts, enter, func(_, kernel int) uintptr { return uintptr(kernel + 1) })
}

// evalKernel runs f on an argument block. The block does not say how long buffers are, so accesses are
// not checked.
func evalKernel(f *loop.Func, args *int64, lo, hi int64) error {
	const unbounded = 1 << 40
	word := func(i int) *int64 { return (*int64)(unsafe.Add(unsafe.Pointer(args), 8*i)) }
	bufs, ints := map[int][]byte{}, map[int]int64{}
	for _, b := range f.Bufs {
		if b.Arg >= 0 {
			p := *(*unsafe.Pointer)(unsafe.Pointer(word(b.Arg)))
			bufs[b.Arg] = unsafe.Slice((*byte)(p), unbounded)
		}
	}
	for _, a := range f.IntArgs {
		ints[a] = *word(a)
	}
	return loop.Eval(f, bufs, ints, lo, hi)
}
