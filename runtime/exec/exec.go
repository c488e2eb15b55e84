// Package exec runs plans: it is the engine of every product of nnc.
//
// A Model is immutable and safe for concurrent use. Each call borrows a frame (an arena for the
// intermediate values, the table of sizes, the argument words of the kernels) and gives it back, so
// that a call whose outputs are reused allocates nothing, unless the plan has host operations or
// sizes that depend on data.
//
// Where sizes depend on input shapes, they are computed and the arena is laid out once per distinct
// combination of input dimensions; the latest combinations are remembered.
//
// Kernels run on the calling goroutine and on workers that all calls share (pool.go). Which
// goroutine computes what never changes a result: a kernel's iterations are independent.
package exec

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nnc-go/nnc/runtime/abi"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Level is the machine code of a plan for one instruction-set level: the entry points of its kernels,
// numbered as in plan.Plan.Kernels.
type Level struct {
	Name string
	// Features are what the processor must have, as abi.HasFeatures names them.
	Features []string
	Kernels  []uintptr
	// Enter runs kernel fn over [lo, hi) on its argument words; nil means abi.Call. Where it is a function of
	// Go's, what it takes for fn need not be an address, but not 0.
	Enter func(fn uintptr, args *int64, lo, hi int64)
	// Else says what to do where a processor has none of the levels; "" means to compile for a lower one.
	Else string
}

// Options steer a Model. The zero value is good for most.
type Options struct {
	// Threads is how many goroutines a call uses, its own included; 0 means GOMAXPROCS.
	Threads int
	// MaxMemory in bytes bounds weights and intermediate values of one call; 0 means three quarters of
	// the memory of the machine or control group, negative no bound.
	MaxMemory int64
	// CPU names the level to use; "" means the environment variable NNC_CPU, and without it the best
	// one that the processor has.
	CPU string
	// HasFeatures reports whether the processor has all features; nil means abi.HasFeatures.
	HasFeatures func(names []string) bool
}

// Model is a plan with its machine code and weights, ready to run.
type Model struct {
	p        *plan.Plan
	weights  []byte
	level    Level
	levelNum int
	opts     Options
	limit    int64 // of memory in bytes; 0 for none

	// Facts about the plan, computed once.
	dimAt   []int        // where an input's dimensions are in a call's vector of them
	numDims int          // their number
	argMax  int          // most argument words of a step
	derived [][]int32    // step -> the slots to compute after it
	grow    [][]int32    // step -> the output and heap buffers it uses
	free    [][]int32    // step -> the heap buffers dead before it
	par     []int32      // step -> slot of its parallel extent on this level
	types   []*plan.Type // of boxed inputs

	pool    *pool
	mu      sync.Mutex
	idle    []*frame
	layouts atomic.Pointer[[]*layout]
	closed  atomic.Bool
}

// New prepares a plan. levels are its builds, worst first, of which New chooses one. weights are the
// plan's weights, which New copies only if they do not start at a multiple of 64 bytes. Errors:
// ErrPlan, ErrLevel, ErrMemory.
func New(p *plan.Plan, levels []Level, weights []byte, opts Options) (*Model, error) {
	if err := plan.Check(p); err != nil {
		return nil, &Error{Kind: ErrPlan, What: p.Name, Err: err}
	}
	if int64(len(weights)) != p.WeightsSize {
		return nil, &Error{Kind: ErrPlan, What: p.Name + ": weights", Want: fmt.Sprintf("%d bytes", p.WeightsSize), Got: fmt.Sprint(len(weights))}
	}
	m := &Model{p: p, weights: weights, opts: opts}
	if m.opts.HasFeatures == nil {
		m.opts.HasFeatures = abi.HasFeatures
	}
	if err := m.chooseLevel(levels); err != nil {
		return nil, err
	}
	if err := m.setLimit(); err != nil {
		return nil, err
	}
	if !tensor.IsAligned(weights, tensor.F64) || !aligned64(weights) {
		m.weights = tensor.AlignedBytes(int64(len(weights)))
		copy(m.weights, weights)
	}
	if err := m.prepare(len(levels)); err != nil {
		return nil, err
	}
	threads := opts.Threads
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	m.opts.Threads = threads
	m.pool = newPool(threads)
	m.layouts.Store(&[]*layout{})
	runtime.AddCleanup(m, func(p *pool) { p.close() }, m.pool)
	return m, nil
}

// chooseLevel picks the level that was asked for, or the best that the processor has.
func (m *Model) chooseLevel(levels []Level) error {
	name := m.opts.CPU
	if name == "" {
		name = os.Getenv("NNC_CPU")
	}
	if len(levels) == 0 {
		if len(m.p.Kernels) > 0 {
			return &Error{Kind: ErrPlan, What: m.p.Name, Err: fmt.Errorf("no machine code for its kernels")}
		}
		return nil
	}
	var names []string
	best := -1
	for i, l := range levels {
		names = append(names, l.Name)
		switch {
		case name != "" && l.Name != name:
		case m.opts.HasFeatures(l.Features):
			best = i
		case l.Name == name:
			return &Error{Kind: ErrLevel, What: m.p.Name, Err: fmt.Errorf("level %s needs %s, which this processor lacks", name, strings.Join(l.Features, ", "))}
		}
	}
	switch {
	case best < 0 && name != "":
		return &Error{Kind: ErrLevel, What: m.p.Name, Want: "one of " + strings.Join(names, ", "), Got: name}
	case best < 0:
		what := cmp.Or(levels[0].Else, "compile for a lower one (-cpu)")
		return &Error{Kind: ErrLevel, What: m.p.Name, Err: fmt.Errorf("this processor has none of the levels %s; %s", strings.Join(names, ", "), what)}
	}
	m.level, m.levelNum = levels[best], best
	if m.level.Enter == nil {
		m.level.Enter = abi.Call
	}
	if got := len(m.level.Kernels); got != len(m.p.Kernels) || slices.Contains(m.level.Kernels, 0) {
		return &Error{Kind: ErrPlan, What: "level " + m.level.Name, Want: fmt.Sprintf("%d kernels, all with an address", len(m.p.Kernels)), Got: fmt.Sprint(got)}
	}
	return nil
}

// setLimit computes the bound on memory and holds the weights and a static arena against it.
func (m *Model) setLimit() error {
	switch {
	case m.opts.MaxMemory > 0:
		m.limit = m.opts.MaxMemory
	case m.opts.MaxMemory == 0:
		m.limit = machineMemory() / 4 * 3
	}
	if m.limit > 0 && m.p.WeightsSize > m.limit {
		return m.memoryError(m.p.Name+": weights", m.p.WeightsSize)
	}
	return nil
}

func (m *Model) memoryError(what string, want int64) error {
	return &Error{Kind: ErrMemory, What: what, Want: fmt.Sprintf("at most %d bytes (see -max-memory)", m.limit), Got: fmt.Sprintf("%d bytes", want)}
}

// prepare computes what the executor needs to know about the plan besides the plan.
func (m *Model) prepare(levels int) error {
	p := m.p
	for i := range p.Inputs {
		m.dimAt = append(m.dimAt, m.numDims)
		m.numDims += len(p.Inputs[i].Shape)
		m.types = append(m.types, plan.ParseType(p.Inputs[i].Type))
	}
	m.grow = make([][]int32, len(p.Steps))
	m.free = make([][]int32, len(p.Steps))
	m.par = make([]int32, len(p.Steps))
	m.derive()
	for i := range p.Steps {
		s := &p.Steps[i]
		m.argMax = max(m.argMax, len(s.Args))
		touch := func(b int32) {
			if b >= 0 && (p.Bufs[b].Kind == plan.BufOutput || p.Bufs[b].Kind == plan.BufHeap) && !slices.Contains(m.grow[i], b) {
				m.grow[i] = append(m.grow[i], b)
			}
		}
		for _, a := range s.Args {
			if a.Kind == plan.ArgBuf {
				touch(a.N)
			}
		}
		for _, o := range s.Out {
			touch(o.Buf)
		}
		switch {
		case s.Kind == plan.StepAlloc:
			touch(s.A)
		case s.Kind != plan.StepKernel:
		case len(s.Par) == 1:
			m.par[i] = s.Par[0]
		case len(s.Par) == levels:
			m.par[i] = s.Par[m.levelNum]
		default:
			return &Error{Kind: ErrPlan, What: m.stepName(i), Want: fmt.Sprintf("1 or %d parallel extents", levels), Got: fmt.Sprint(len(s.Par))}
		}
	}
	for i, b := range p.Bufs {
		if b.Kind == plan.BufHeap && b.First >= 0 && int(b.Last)+1 < len(p.Steps) {
			m.free[b.Last+1] = append(m.free[b.Last+1], int32(i))
		}
	}
	return nil
}

// Plan gives the model's plan, to be read only.
func (m *Model) Plan() *plan.Plan { return m.p }

// MaxMemory is the bound on memory in bytes that is in force; 0 means none.
func (m *Model) MaxMemory() int64 { return m.limit }

// Level names the instruction-set level in use; "" if the model has no kernels.
func (m *Model) Level() string { return m.level.Name }

// Threads is the number of goroutines that a call uses.
func (m *Model) Threads() int { return m.opts.Threads }

// Close stops the worker goroutines and refuses further calls; those in progress finish. A Model that
// is dropped without Close is closed some time after it has become garbage.
func (m *Model) Close() {
	m.closed.Store(true)
	m.pool.close()
	m.mu.Lock()
	m.idle = nil
	m.mu.Unlock()
}

// Run computes the model. in has a value for each input in the plan's order: *tensor.Tensor,
// hostop.Seq, *hostop.Map, or nil for an input that has a default or may be absent. out has room for each output:
// a *tensor.Tensor that is already there is reused (its Data, up to its capacity, if it is aligned
// and shared with no other value of the call); nil is replaced. Run does not keep in and out, and does not write
// to inputs. After an error the contents of out are undefined.
//
// Errors are of type *Error, except for ctx's own, which ends a run between two steps. Run never
// panics.
func (m *Model) Run(ctx context.Context, in, out []hostop.Value) error {
	return m.run(ctx, in, out, nil)
}

// Profile is Run, and afterwards calls report for each executed step in order, with its time and the
// floating-point operations and bytes moved that the plan states for it (-1 if unknown).
func (m *Model) Profile(ctx context.Context, in, out []hostop.Value, report func(step int, s *plan.Step, d time.Duration, flops, bytes int64)) error {
	return m.run(ctx, in, out, report)
}

func (m *Model) run(ctx context.Context, in, out []hostop.Value, report reportFunc) (err error) {
	if m.closed.Load() {
		return &Error{Kind: ErrClosed, What: m.p.Name}
	}
	f := m.take()
	defer func() {
		if r := recover(); r != nil {
			// The frame may still be in use: leave it to the garbage collector.
			m.pool.drop(f.task)
			err = &Error{Kind: ErrPlan, What: m.p.Name, Err: fmt.Errorf("internal error: %v", r)}
		}
	}()
	f.report = report
	err = m.begin(f, in, out)
	if err == nil {
		err = m.steps(ctx, f)
	}
	if err == nil {
		err = m.finish(f, in, out)
	}
	m.give(f)
	runtime.KeepAlive(m)
	return err
}

// take gets an idle frame or makes one.
func (m *Model) take() *frame {
	m.mu.Lock()
	if n := len(m.idle); n > 0 {
		f := m.idle[n-1]
		m.idle[n-1] = nil
		m.idle = m.idle[:n-1]
		m.mu.Unlock()
		return f
	}
	m.mu.Unlock()
	return m.newFrame()
}

// give returns a frame, without what belongs to the caller. As many as GOMAXPROCS stay for later calls.
func (m *Model) give(f *frame) {
	f.clear(m)
	m.mu.Lock()
	if len(m.idle) < runtime.GOMAXPROCS(0) && !m.closed.Load() {
		m.idle = append(m.idle, f)
		m.mu.Unlock()
		return
	}
	m.mu.Unlock()
	m.pool.drop(f.task)
}
