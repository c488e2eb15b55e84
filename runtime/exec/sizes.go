package exec

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"

	"github.com/nnc-go/nnc/runtime/arena"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// maxLayouts is how many combinations of input dimensions a model remembers.
const maxLayouts = 64

// layout is what follows from the dimensions of the inputs: the sizes that do not depend on data, and
// where the buffers of the arena are.
type layout struct {
	dims    []int64
	slots   []int64
	offsets []int64 // by buffer; -1 outside the arena
	total   int64
}

// eval computes the slots [from, to). Sums and products that do not fit saturate: no such size can be
// allocated, and the error then names the buffer.
func (m *Model) eval(slots, dims []int64, from, to int) {
	defs := m.p.Slots
	for i := from; i < to; i++ {
		d := &defs[i]
		switch d.Op {
		case plan.SlotConst:
			slots[i] = d.Imm
		case plan.SlotInput:
			slots[i] = dims[m.dimAt[d.A]+int(d.B)]
		case plan.SlotBound:
		default:
			slots[i] = slotOps[d.Op](slots[d.A], slots[d.B])
		}
	}
}

// derive finds for each step that binds slots those which follow from them.
func (m *Model) derive() {
	m.derived = make([][]int32, len(m.p.Steps))
	varies := make([]bool, len(m.p.Slots))
	for i := range m.p.Steps {
		switch s := &m.p.Steps[i]; s.Kind {
		case plan.StepEval:
			m.derived[i] = m.derivedFrom(m.boundBefore(i), s.A, varies)
		case plan.StepHost:
			var bound []int32
			for _, fresh := range s.Fresh {
				for _, slot := range fresh {
					if slot >= 0 {
						bound = append(bound, slot)
					}
				}
			}
			if bound != nil {
				m.derived[i] = m.derivedFrom(bound, slices.Min(bound), varies)
			}
		}
	}
}

// boundBefore lists the slots that steps bind between step i and what computes before it.
func (m *Model) boundBefore(i int) (bound []int32) {
	for i--; i >= 0; i-- {
		switch s := &m.p.Steps[i]; s.Kind {
		case plan.StepBind, plan.StepSetSlot:
			bound = append(bound, s.A)
		case plan.StepKernel, plan.StepHost:
			return bound
		}
	}
	return bound
}

// derivedFrom lists the slots from first on that depend on those of bound, in order. varies is all false before and after.
func (m *Model) derivedFrom(bound []int32, first int32, varies []bool) (list []int32) {
	if len(bound) == 0 {
		return nil
	}
	least := slices.Min(bound)
	for _, slot := range bound {
		varies[slot] = true
	}
	for i := least; int(i) < len(m.p.Slots); i++ {
		switch d := &m.p.Slots[i]; d.Op {
		case plan.SlotConst, plan.SlotInput, plan.SlotBound:
		default:
			if varies[d.A] || varies[d.B] {
				varies[i] = true
				if i >= first {
					list = append(list, i)
				}
			}
		}
	}
	clear(varies[least:])
	return list
}

// evalDerived computes the slots of a list.
func (m *Model) evalDerived(slots []int64, list []int32) {
	for _, i := range list {
		d := &m.p.Slots[i]
		slots[i] = slotOps[d.Op](slots[d.A], slots[d.B])
	}
}

var slotOps = [...]func(a, b int64) int64{
	plan.SlotAdd: func(a, b int64) int64 {
		if c := a + b; (c > a) == (b > 0) || b == 0 {
			return c
		}
		return math.MaxInt64
	},
	plan.SlotMul: mulSat,
	plan.SlotDiv: func(a, b int64) int64 {
		if b == 0 {
			return 0
		}
		q := a / b
		if a%b != 0 && (a < 0) != (b < 0) {
			q--
		}
		return q
	},
	plan.SlotMod: func(a, b int64) int64 {
		if b == 0 {
			return a
		}
		r := a % b
		if r != 0 && (r < 0) != (b < 0) {
			r += b
		}
		return r
	},
	plan.SlotMax: func(a, b int64) int64 { return max(a, b) },
	plan.SlotMin: func(a, b int64) int64 { return min(a, b) },
}

func mulSat(a, b int64) int64 {
	if a >= 0 && b >= 0 {
		hi, lo := bits.Mul64(uint64(a), uint64(b))
		if hi != 0 || lo > math.MaxInt64 {
			return math.MaxInt64
		}
		return int64(lo)
	}
	if c := a * b; a == 0 || c/a == b && !(a == -1 && b == math.MinInt64) {
		return c
	}
	return math.MaxInt64
}

// layoutFor gives the layout of f's input dimensions, from memory if they have occurred before.
func (m *Model) layoutFor(f *frame) (*layout, error) {
	if f.layout != nil && slices.Equal(f.layout.dims, f.dims) {
		return f.layout, nil
	}
	for _, l := range *m.layouts.Load() {
		if slices.Equal(l.dims, f.dims) {
			return l, nil
		}
	}
	l, err := m.newLayout(slices.Clone(f.dims))
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	ls := *m.layouts.Load()
	if len(ls) == maxLayouts {
		ls = ls[1:]
	}
	ls = append(slices.Clip(ls), l)
	m.layouts.Store(&ls)
	return l, nil
}

func (m *Model) newLayout(dims []int64) (*layout, error) {
	p := m.p
	l := &layout{dims: dims, slots: make([]int64, len(p.Slots)), offsets: make([]int64, len(p.Bufs)), total: max(p.ArenaSize, 0)}
	m.eval(l.slots, dims, 0, len(p.Slots))
	for i := range p.Inputs {
		if err := m.checkShape(i, l); err != nil {
			return nil, err
		}
	}
	var iv []arena.Interval
	var which []int
	largest := -1
	for i := range p.Bufs {
		b := &p.Bufs[i]
		l.offsets[i] = -1
		if b.Kind != plan.BufArena {
			continue
		}
		l.offsets[i] = b.Offset
		n := l.slots[b.Bytes]
		if n < 0 {
			return nil, &Error{Kind: ErrShape, What: m.bufName(i), Got: fmt.Sprintf("a size of %d bytes", n), Want: "none below zero"}
		}
		if b.First < 0 {
			l.offsets[i] = -1
			continue
		}
		// A buffer by itself too large is found here, before sizes can overflow in the layout.
		if m.limit > 0 && n > m.limit || n > math.MaxInt64/int64(4*len(p.Bufs)) {
			return nil, m.memoryError(m.bufName(i), n)
		}
		if largest < 0 || n > l.slots[p.Bufs[largest].Bytes] {
			largest = i
		}
		iv = append(iv, arena.Interval{Bytes: n, First: b.First, Last: b.Last})
		which = append(which, i)
	}
	if p.ArenaSize < 0 {
		var offs []int64
		offs, l.total = arena.Layout(iv)
		for k, i := range which {
			l.offsets[i] = offs[k]
		}
	}
	if err := m.placeParts(l); err != nil {
		return nil, err
	}
	if m.limit > 0 && l.total > m.limit-p.WeightsSize {
		return nil, m.memoryError("intermediate values, of which "+m.bufName(largest)+" is the largest, and weights", l.total+p.WeightsSize)
	}
	return l, nil
}

// placeParts gives the buffers that are parts of others their offsets.
func (m *Model) placeParts(l *layout) error {
	for i := range m.p.Bufs {
		b := &m.p.Bufs[i]
		if b.Kind != plan.BufPart || l.offsets[b.Index] < 0 || b.First < 0 {
			continue
		}
		start, n, whole := l.slots[b.Start], l.slots[b.Bytes], l.slots[m.p.Bufs[b.Index].Bytes]
		if start < 0 || n < 0 || start > whole-n {
			return &Error{Kind: ErrShape, What: m.bufName(i), Got: fmt.Sprintf("%d bytes at %d", n, start), Want: fmt.Sprintf("a part of %d bytes", whole)}
		}
		l.offsets[i] = l.offsets[b.Index] + start
	}
	return nil
}

// bufName names a buffer and the step that computes it.
func (m *Model) bufName(i int) string {
	b := &m.p.Bufs[i]
	name := fmt.Sprintf("value %q", b.Name)
	for j := range m.p.Steps {
		s := &m.p.Steps[j]
		writes := slices.ContainsFunc(s.Out, func(r plan.TensorRef) bool { return r.Buf == int32(i) })
		reads := slices.ContainsFunc(s.Args, func(a plan.Arg) bool { return a.Kind == plan.ArgBuf && a.N == int32(i) })
		if writes || reads {
			return name + " of " + m.stepName(j)
		}
	}
	return name
}

// checkShape holds input i's dimensions against those that the model declares.
func (m *Model) checkShape(i int, l *layout) error {
	io := &m.p.Inputs[i]
	for j, s := range io.Shape {
		if d := l.dims[m.dimAt[i]+j]; d != l.slots[s] {
			want := make([]string, len(io.Shape))
			for k, s := range io.Shape {
				want[k] = io.Dims[k]
				if v := fmt.Sprint(l.slots[s]); v != io.Dims[k] && m.p.Slots[s].Op != plan.SlotInput {
					want[k] += "=" + v
				} else if k == j && v != io.Dims[k] {
					want[k] += fmt.Sprintf("=%s of input %q", v, m.p.Inputs[m.p.Slots[s].A].Name)
				}
			}
			return &Error{
				Kind: ErrShape, What: fmt.Sprintf("input %q", io.Name),
				Got: tensor.ShapeString(l.dims[m.dimAt[i] : m.dimAt[i]+len(io.Shape)]), Want: "[" + strings.Join(want, ",") + "]",
			}
		}
	}
	return nil
}
