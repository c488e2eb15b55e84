package mach

import (
	"cmp"
	"container/heap"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sort"

	"golang.org/x/sync/errgroup"

	"github.com/nnc-go/nnc/runtime/abi"
)

// Machine is what allocation and printing need to know of an architecture.
type Machine struct {
	// Regs are the registers of each class that may be given out, in order of preference.
	Regs [classes][]Phys
	// Name is how the assembler writes a register.
	Name func(p Phys, c Class, view uint8) string
	// Load and Store move values of size bytes between a register and memory; dst and src are what W and R
	// make without a view.
	Load  func(c Class, size int, dst Reg, at Arg) *Inst
	Store func(c Class, size int, src Reg, at Arg) *Inst
	// Fold reports whether operand i of an instruction, a register that is only read, can be memory of size bytes instead.
	Fold func(in *Inst, i, size int) bool
	// SP is the hardware stack pointer, FrameBase the offset of the first free byte of a function's frame from it.
	SP        string
	FrameBase int64
	// Word is the directive for the words that Encode gives.
	Word string
	// Index is how a memory operand's index is written; without it, "(R*4)".
	Index func(reg string, scale uint8) string
}

// maxFrame is how much of a goroutine's stack a function may use without checking that it is there:
// the linker allows 800 bytes for a chain of such functions.
const maxFrame = 512

// maxRounds bounds how often allocation starts over after spilling; each round spills what is cheapest, so a few do.
const maxRounds = 40

// splitRounds is for how many of them registers are given back in loops. Where that does not come to an end, the loops themselves
// need more registers than there are.
const splitRounds = 8

// Allocate gives f's registers machine registers: moves are coalesced where the two registers are never needed at once,
// then registers are handed out to the long-lived first, the more often used taking them from the less
// often used; what gets none lives in memory and is loaded and stored around each use. Lifetimes have
// holes: a register is free where its value is not needed, as between the last use of a loop's carried
// value and the end of the body. (Priority and eviction follow the idea of LLVM's greedy allocator; Olesen, 2011.)
func Allocate(f *Func, m *Machine) ([]Phys, error) {
	for round := range maxRounds {
		a := newAllocator(f, m)
		a.coalesce()
		spilled, err := a.assign()
		if err != nil {
			return nil, err
		}
		if len(spilled) == 0 {
			if f.Locals > abi.StackSize {
				return nil, fmt.Errorf("goasm: %s: needs %d bytes of scratch memory, there are %d", f.Name, f.Locals, abi.StackSize)
			}
			return a.result(), nil
		}
		f.spill(m, a, spilled, round < splitRounds)
	}
	return nil, fmt.Errorf("goasm: %s: registers do not suffice after %d rounds of spilling", f.Name, maxRounds)
}

// AllocateAll is Allocate for several functions, at once.
func AllocateAll(fs []*Func, m *Machine) ([][]Phys, error) {
	phys := make([][]Phys, len(fs))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, f := range fs {
		g.Go(func() (err error) {
			phys[i], err = Allocate(f, m)
			return err
		})
	}
	return phys, g.Wait()
}

// owned is a segment of a machine register's time and whose it is.
type owned struct {
	segment
	reg Reg
}

type allocator struct {
	f     *Func
	m     *Machine
	ivs   []interval
	size  []int
	rep   []Reg // of coalesced registers
	taken [classes][]([]owned)
	phys  []Phys
	hints map[Reg][]Reg
	queue queue
}

func newAllocator(f *Func, m *Machine) *allocator {
	a := &allocator{f: f, m: m, ivs: f.intervals(), rep: make([]Reg, len(f.regs)), phys: make([]Phys, len(f.regs)), size: make([]int, len(f.regs)), hints: map[Reg][]Reg{}}
	for i := range a.rep {
		a.rep[i], a.phys[i], a.size[i] = Reg(i), -1, f.regs[i].size
	}
	for c := range a.taken {
		n := 0
		for _, p := range m.Regs[c] {
			n = max(n, int(p)+1)
		}
		a.taken[c] = make([][]owned, max(n, 64))
	}
	return a
}

func (a *allocator) find(r Reg) Reg {
	for a.rep[r] != r {
		a.rep[r] = a.rep[a.rep[r]]
		r = a.rep[r]
	}
	return r
}

// coalesce makes the two registers of a move one where their lifetimes allow it, inner loops first.
func (a *allocator) coalesce() {
	var moves []*Inst
	for _, in := range a.f.Insts {
		if in.Move {
			moves = append(moves, in)
		}
	}
	slices.SortStableFunc(moves, func(x, y *Inst) int { return cmp.Compare(y.Depth, x.Depth) })
	for _, in := range moves {
		d, s := a.find(in.Args[1].Reg), a.find(in.Args[0].Reg)
		switch {
		case d == s:
		case a.f.regs[d].fixed >= 0 || a.f.regs[s].fixed >= 0 || a.f.regs[d].class != a.f.regs[s].class || overlaps(a.ivs[d].segs, a.ivs[s].segs):
			a.hints[d], a.hints[s] = append(a.hints[d], s), append(a.hints[s], d)
		default:
			a.rep[s] = d
			a.ivs[d].segs = merge(a.ivs[d].segs, a.ivs[s].segs)
			a.ivs[d].weight += a.ivs[s].weight - 2*weightAt(in.Depth)
			a.size[d] = max(a.size[d], a.size[s])
			a.hints[d] = append(a.hints[d], a.hints[s]...)
		}
	}
}

// conflicts lists who holds machine register p where r is live.
func (a *allocator) conflicts(r Reg, c Class, p Phys, found []Reg) []Reg {
	t := a.taken[c][p]
	for _, s := range a.ivs[r].segs {
		i := sort.Search(len(t), func(i int) bool { return t[i].to > s.from })
		for ; i < len(t) && t[i].from < s.to; i++ {
			if !slices.Contains(found, t[i].reg) {
				found = append(found, t[i].reg)
			}
		}
	}
	return found
}

func (a *allocator) take(r Reg, c Class, p Phys) {
	t := a.taken[c][p]
	for _, s := range a.ivs[r].segs {
		t = append(t, owned{s, r})
	}
	slices.SortFunc(t, func(x, y owned) int { return cmp.Compare(x.from, y.from) })
	a.taken[c][p] = t
	a.phys[r] = p
}

func (a *allocator) release(r Reg) {
	c, p := a.f.regs[r].class, a.phys[r]
	a.taken[c][p] = slices.DeleteFunc(a.taken[c][p], func(o owned) bool { return o.reg == r })
	a.phys[r] = -1
}

// cost is what spilling r costs per position that it frees.
func (a *allocator) cost(r Reg) float64 {
	if a.f.regs[r].fixed >= 0 || a.unspillable(r) {
		return math.Inf(1)
	}
	return a.ivs[r].weight / float64(a.ivs[r].length())
}

// unspillable: so short that spilling would only make the same register again.
func (a *allocator) unspillable(r Reg) bool {
	s := a.ivs[r].segs
	return len(s) == 1 && s[0].to-s[0].from <= 3 && a.rep[r] == r
}

// assign hands out registers and lists those that get none.
func (a *allocator) assign() (spilled []Reg, err error) {
	local := a.localRegs()
	for r := 1; r < len(a.f.regs); r++ {
		v := Reg(r)
		if a.find(v) != v || len(a.ivs[v].segs) == 0 {
			continue
		}
		if p := a.f.regs[v].fixed; p >= 0 {
			a.take(v, a.f.regs[v].class, p)
			continue
		}
		s := a.ivs[v].segs
		item := queued{reg: v, local: local[v], key: -a.ivs[v].length()}
		if item.local {
			item.key = int(s[0].from)
		}
		a.queue = append(a.queue, item)
	}
	heap.Init(&a.queue)
	for len(a.queue) > 0 {
		item := heap.Pop(&a.queue).(queued)
		if a.place(item.reg) {
			continue
		}
		if a.unspillable(item.reg) {
			return nil, fmt.Errorf("goasm: %s: no register of class %d at instruction %d: %s", a.f.Name, a.f.regs[item.reg].class, a.ivs[item.reg].segs[0].from/2, a.f.Insts[a.ivs[item.reg].segs[0].from/2].Op)
		}
		spilled = append(spilled, item.reg)
	}
	return spilled, nil
}

// place finds a register for r, if need be by taking it from others that are cheaper to spill.
func (a *allocator) place(r Reg) bool {
	c := a.f.regs[r].class
	for _, h := range a.hints[r] {
		if p := a.phys[a.find(h)]; p >= 0 && slices.Contains(a.m.Regs[c], p) && len(a.conflicts(r, c, p, nil)) == 0 {
			a.take(r, c, p)
			return true
		}
	}
	best, bestCost := Phys(-1), a.cost(r)
	var victims []Reg
	for _, p := range a.m.Regs[c] {
		found := a.conflicts(r, c, p, nil)
		if len(found) == 0 {
			a.take(r, c, p)
			return true
		}
		worst := 0.0
		for _, o := range found {
			worst = max(worst, a.cost(o))
		}
		if worst < bestCost {
			best, bestCost, victims = p, worst, found
		}
	}
	if best < 0 {
		return false
	}
	for _, o := range victims {
		a.release(o)
		heap.Push(&a.queue, queued{reg: o, key: -a.ivs[o].length()})
	}
	a.take(r, c, best)
	return true
}

// localRegs are the registers that live in one basic block: they are handed out in the order of the
// program, which colours intervals best.
func (a *allocator) localRegs() []bool {
	local := make([]bool, len(a.f.regs))
	var starts []int32
	for _, b := range a.f.blocks() {
		starts = append(starts, int32(2*b.from))
	}
	for r := range local {
		s := a.ivs[r].segs
		if len(s) == 0 {
			continue
		}
		i := sort.Search(len(starts), func(i int) bool { return starts[i] > s[0].from })
		local[r] = i == len(starts) || s[len(s)-1].to <= starts[i]
	}
	return local
}

func (a *allocator) result() []Phys {
	out := make([]Phys, len(a.f.regs))
	for r := range out {
		out[r] = a.phys[a.find(Reg(r))]
	}
	return out
}

// queued is a register that waits for a machine register: those that live across blocks first, the
// longest first; then the local ones in order.
type queued struct {
	reg   Reg
	local bool
	key   int
}

type queue []queued

func (q queue) Len() int      { return len(q) }
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(queued)) }
func (q *queue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}
func (q queue) Less(i, j int) bool {
	x, y := q[i], q[j]
	if x.local != y.local {
		return !x.local
	}
	if x.key != y.key {
		return x.key < y.key
	}
	return x.reg < y.reg
}
