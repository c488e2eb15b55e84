package exec

import (
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// kernelFunc calls the kernel at fn with its argument words on iterations [lo, hi).
type kernelFunc func(fn uintptr, args *int64, lo, hi int64)

// How long a goroutine spins before it sleeps. To wake a thread takes as long as a step of a small
// model (50 to 100 microseconds on a virtual machine), so a worker stays awake while a call is in
// progress, unless that call has had nothing to share for longer than anyone would notice.
const (
	spinIdle = 30 * time.Microsecond  // a worker, between calls
	spinCall = 1 * time.Millisecond   // a worker, during a call
	spinWait = 200 * time.Microsecond // a call that waits for the last worker of a step
)

// maxChunks bounds a chunk to so many grains. A grain is meant to take some 20 microseconds, and the
// garbage collector cannot stop a goroutine inside a kernel.
const maxChunks = 10

// task is the parallel loop of a step of one call. The call's goroutine owns it: it writes the plain
// fields while the task is closed and no worker is active, opens it, claims chunks itself like every
// worker, and returns from run once the last worker has left.
//
// A worker enters by adding itself to active and then looking at open, while the owner closes and
// then looks at active: whichever comes second sees the other, so that no worker can read the fields
// while the owner writes those of the next step.
type task struct {
	open   atomic.Bool
	active atomic.Int32
	_      [56]byte
	// taken holds how many iterations are claimed from the front (low half) and the back (high half).
	taken atomic.Uint64
	_     [56]byte
	// waiting says that the owner sleeps until done gets a token from the last worker to leave.
	waiting atomic.Bool
	done    chan struct{}

	call       kernelFunc
	fn         uintptr
	args       *int64
	base, par  int64 // iterations [base, base+par)
	grain, cap int64 // the least and the most iterations of a chunk
	share      int64 // a chunk is one part in so many of what is left
}

// work claims chunks until none is left, and closes the task. Chunks get smaller towards the end
// (guided self-scheduling, Polychronopoulos and Kuck 1987): few claims, and little to wait for. The
// owner claims from the front and workers from the back, so that a core finds in its cache what it
// wrote in the step before.
func (t *task) work(owner bool) {
	for {
		v := t.taken.Load()
		front, back := int64(v&math.MaxUint32), int64(v>>32)
		left := t.par - front - back
		if left == 0 {
			t.open.Store(false)
			return
		}
		n := min(max(left/t.share, t.grain), t.cap, left)
		lo, claim := front, uint64(n)
		if !owner {
			lo, claim = t.par-back-n, uint64(n)<<32
		}
		if t.taken.CompareAndSwap(v, v+claim) {
			t.call(t.fn, t.args, t.base+lo, t.base+lo+n)
		}
	}
}

// join works on t if it is open and reports whether it was.
func (t *task) join() bool {
	if !t.open.Load() {
		return false
	}
	t.active.Add(1)
	ok := t.open.Load()
	if ok {
		t.work(false)
	}
	if t.active.Add(-1) == 0 && t.waiting.CompareAndSwap(true, false) {
		t.done <- struct{}{}
	}
	return ok
}

// wait returns once no worker is active.
func (t *task) wait() {
	if t.active.Load() == 0 {
		return
	}
	start := time.Now()
	for i := 1; t.active.Load() != 0; i++ {
		if i%256 != 0 || time.Since(start) < spinWait {
			continue
		}
		t.waiting.Store(true)
		if t.active.Load() == 0 && t.waiting.CompareAndSwap(true, false) {
			return
		}
		<-t.done
		return
	}
}

// pool is a set of worker goroutines that all calls of a model share. Workers start with the first
// parallel step.
type pool struct {
	threads int          // with the caller
	calls   atomic.Int32 // calls in progress
	tasks   atomic.Pointer[[]*task]
	mu      sync.Mutex // of changes to tasks and of starting
	started atomic.Bool
	closed  atomic.Bool
	parked  atomic.Int32 // workers that sleep and have no token coming
	wake    chan struct{}
	running sync.WaitGroup
}

func newPool(threads int) *pool {
	p := &pool{threads: threads, wake: make(chan struct{}, threads)}
	p.tasks.Store(&[]*task{})
	return p
}

// newTask makes a task that the workers of p look at.
func (p *pool) newTask() *task {
	t := &task{done: make(chan struct{}, 1)}
	p.mu.Lock()
	defer p.mu.Unlock()
	ts := append(slices.Clip(*p.tasks.Load()), t)
	p.tasks.Store(&ts)
	return t
}

// drop forgets a task.
func (p *pool) drop(t *task) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ts := slices.DeleteFunc(slices.Clone(*p.tasks.Load()), func(u *task) bool { return u == t })
	p.tasks.Store(&ts)
}

// run calls a kernel over [0, par) in chunks of at least grain iterations, and returns when all are
// done. t is the caller's own.
func (p *pool) run(t *task, call kernelFunc, fn uintptr, args *int64, par, grain int64) {
	grain = max(grain, 1)
	if par <= grain {
		if par > 0 {
			call(fn, args, 0, par)
		}
		return
	}
	largest := grain
	if grain < 1<<32 {
		largest = grain * maxChunks
	}
	if p.threads == 1 || p.closed.Load() {
		for lo := int64(0); lo < par; lo += largest {
			call(fn, args, lo, min(lo+largest, par))
		}
		return
	}
	if !p.started.Load() {
		p.start()
	}
	t.call, t.fn, t.args = call, fn, args
	t.grain, t.cap, t.share = grain, largest, int64(2*p.threads)
	for t.base = 0; t.base < par; t.base += t.par {
		t.par = min(par-t.base, math.MaxInt32) // its halves fit taken
		t.taken.Store(0)
		t.open.Store(true)
		p.rouse((t.par - 1) / grain)
		t.work(true)
		t.wait()
	}
}

func (p *pool) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started.Load() || p.closed.Load() {
		return
	}
	p.started.Store(true)
	for range p.threads - 1 {
		p.running.Add(1)
		go p.worker()
	}
}

// rouse wakes up to n sleeping workers.
func (p *pool) rouse(n int64) {
	for ; n > 0; n-- {
		c := p.parked.Load()
		if c == 0 {
			return
		}
		if p.parked.CompareAndSwap(c, c-1) {
			p.wake <- struct{}{} // never blocks: a token per worker at most
		}
	}
}

// look joins an open task and reports whether there was one.
func (p *pool) look() bool {
	for _, t := range *p.tasks.Load() {
		if t.join() {
			return true
		}
	}
	return false
}

func (p *pool) worker() {
	defer p.running.Done()
	for !p.closed.Load() {
		if p.spin() {
			continue
		}
		// Announce the sleep, then look again: a task that was opened before the announcement is
		// seen now, one opened later sees the announcement.
		p.parked.Add(1)
		if p.look() || p.closed.Load() {
			p.unpark()
			continue
		}
		<-p.wake
	}
}

// unpark takes back a sleep that was announced.
func (p *pool) unpark() {
	for {
		c := p.parked.Load()
		if c == 0 { // somebody has already sent a token for it
			<-p.wake
			return
		}
		if p.parked.CompareAndSwap(c, c-1) {
			return
		}
	}
}

// spin looks for work for as long as that is worth it.
func (p *pool) spin() bool {
	start := time.Now()
	for {
		for range 64 {
			if p.look() {
				return true
			}
		}
		if idle := time.Since(start); idle > spinCall || idle > spinIdle && p.calls.Load() == 0 {
			return false
		}
		runtime.Gosched()
	}
}

// close stops the workers. Calls in progress finish on their own goroutines.
func (p *pool) close() {
	p.mu.Lock()
	p.closed.Store(true)
	p.mu.Unlock()
	p.rouse(int64(p.threads))
}
