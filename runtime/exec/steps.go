package exec

import (
	"context"
	"fmt"
	"slices"
	"time"
	"unsafe"

	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// stepFunc executes step pc and says which is next.
type stepFunc func(m *Model, f *frame, s *plan.Step, pc int) (next int, err error)

// stepFuncs is the executor: what each kind of step does.
var stepFuncs = [...]stepFunc{
	plan.StepKernel: (*Model).kernel,
	plan.StepHost:   (*Model).host,
	plan.StepEval:   evalStep,
	plan.StepBind:   (*Model).bind,
	plan.StepSetSlot: func(_ *Model, f *frame, s *plan.Step, pc int) (int, error) {
		f.slots[s.A] = f.slots[s.B]
		return pc + 1, nil
	},
	plan.StepJump:   func(_ *Model, _ *frame, s *plan.Step, _ int) (int, error) { return int(s.A), nil },
	plan.StepJumpIf: (*Model).jumpIf,
	plan.StepJumpLt: jumpLt,
	plan.StepCheck:  (*Model).check,
	plan.StepFail: func(m *Model, _ *frame, s *plan.Step, pc int) (int, error) {
		return 0, m.stepError(pc, ErrStep, "the model cannot go on")
	},
	// The executor makes room for the buffers that a step uses before every step, so for this one too.
	plan.StepAlloc: func(_ *Model, _ *frame, _ *plan.Step, pc int) (int, error) { return pc + 1, nil },
}

// steps executes the plan.
func (m *Model) steps(ctx context.Context, f *frame) error {
	m.pool.calls.Add(1)
	defer m.pool.calls.Add(-1)
	done := ctx.Done()
	steps := m.p.Steps
	for pc := 0; pc < len(steps); {
		if done != nil {
			select {
			case <-done:
				return ctx.Err()
			default:
			}
		}
		for _, b := range m.free[pc] {
			f.release(b)
		}
		for _, b := range m.grow[pc] {
			if err := m.ensure(f, b); err != nil {
				return err
			}
		}
		s := &steps[pc]
		var start time.Time
		if f.report != nil {
			start = time.Now()
		}
		next, err := stepFuncs[s.Kind](m, f, s, pc)
		if err != nil {
			return err
		}
		if f.report != nil {
			f.report(pc, s, time.Since(start), f.slotOr(s.Flops), f.slotOr(s.MemBytes))
		}
		pc = next
	}
	return nil
}

// slotOr is the value of slot s, -1 where there is none.
func (f *frame) slotOr(s plan.Slot) int64 {
	if s < 0 || int(s) >= len(f.slots) {
		return -1
	}
	return f.slots[s]
}

func (m *Model) kernel(f *frame, s *plan.Step, pc int) (int, error) {
	for i, a := range s.Args {
		if a.Kind == plan.ArgSlot {
			f.args[i] = f.slots[a.N]
			continue
		}
		f.args[i] = f.addr[a.N]
		if a.Off >= 0 {
			f.args[i] += f.slots[a.Off]
		}
	}
	m.pool.run(f.task, m.level.Enter, m.level.Kernels[s.Kernel], unsafe.SliceData(f.args), f.slots[m.par[pc]], s.Grain)
	return pc + 1, nil
}

func evalStep(m *Model, f *frame, s *plan.Step, pc int) (int, error) {
	m.evalDerived(f.slots, m.derived[pc])
	return pc + 1, nil
}

// bind sets slot A to element B of an integer tensor.
func (m *Model) bind(f *frame, s *plan.Step, pc int) (int, error) {
	t := m.tensorOf(f, &s.In[0])
	if int64(s.B) >= t.Len() {
		return 0, m.stepError(pc, ErrShape, "needs element %d of %s", s.B, t.TypeString())
	}
	v, ok := t.IntAt(int64(s.B))
	if !ok {
		return 0, m.stepError(pc, ErrPlan, "binds a size from %s", t.TypeString())
	}
	f.slots[s.A] = v
	return pc + 1, nil
}

func (m *Model) jumpIf(f *frame, s *plan.Step, pc int) (int, error) {
	b := f.mem[s.In[0].Buf]
	if len(b) == 0 {
		return 0, m.stepError(pc, ErrShape, "its condition is empty")
	}
	if b[0] != 0 {
		return pc + 1, nil
	}
	return int(s.A), nil
}

func jumpLt(_ *Model, f *frame, s *plan.Step, pc int) (int, error) {
	if f.slots[s.A] < f.slots[s.B] {
		return pc + 1, nil
	}
	return int(s.Grain), nil
}

func (m *Model) check(f *frame, s *plan.Step, pc int) (int, error) {
	if a, b := f.slots[s.A], f.slots[s.B]; a != b {
		if d := &m.p.Slots[s.B]; d.Op == plan.SlotConst && d.Imm == 0 { // slot A counts faults
			return 0, m.stepError(pc, ErrStep, "found %d", a)
		}
		return 0, &Error{Kind: ErrShape, What: m.stepName(pc), Got: fmt.Sprint(a), Want: fmt.Sprint(b)}
	}
	return pc + 1, nil
}

// tensorOf makes a tensor of a buffer's memory.
func (m *Model) tensorOf(f *frame, r *plan.TensorRef) *tensor.Tensor {
	t := &tensor.Tensor{DType: r.DType, Shape: make([]int64, len(r.Shape))}
	n := int64(1)
	for i, s := range r.Shape {
		t.Shape[i] = f.slots[s]
		n = mulSat(n, max(f.slots[s], 0))
	}
	t.Data = f.mem[r.Buf]
	if b := (mulSat(n, int64(r.DType.Bits())) + 7) / 8; b < int64(len(t.Data)) {
		t.Data = t.Data[:b:b]
	}
	return t
}

// host calls a host operation on fresh tensor headers, which it may keep, over memory, which it may not.
func (m *Model) host(f *frame, s *plan.Step, pc int) (int, error) {
	c := hostop.Call{In: make([]hostop.Value, len(s.In)), Attrs: s.Attrs, NumOut: len(s.Out)}
	var memory [][]byte
	for i := range s.In {
		switch r := &s.In[i]; {
		case r.Buf >= 0:
			t := m.tensorOf(f, r)
			if want := t.DType.Bytes(t.Len()); want != int64(len(t.Data)) {
				return 0, m.stepError(pc, ErrShape, "operand %d is %s, but its buffer has %d bytes", i, t.TypeString(), len(t.Data))
			}
			c.In[i] = t
			memory = append(memory, t.Data)
		case r.Box >= 0:
			c.In[i] = f.boxes[r.Box]
		}
	}
	if err := protect(s.Host, &c); err != nil {
		return 0, &Error{Kind: ErrStep, What: m.stepName(pc), Err: err}
	}
	for i := range s.Out {
		r := &s.Out[i]
		if r.Buf < 0 && r.Box < 0 {
			continue
		}
		if i >= len(c.Out) {
			return 0, m.stepError(pc, ErrStep, "gave %d results, want %d", len(c.Out), len(s.Out))
		}
		if err := m.store(f, s, pc, i, c.Out[i], memory); err != nil {
			return 0, err
		}
	}
	return pc + 1, nil
}

// protect turns a panic of a host operation into an error.
func protect(op hostop.Func, c *hostop.Call) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("internal error: %v", r)
		}
	}()
	return op(c)
}

// store puts result i of a host operation where the plan wants it, and binds the sizes that it brings.
func (m *Model) store(f *frame, s *plan.Step, pc, i int, v hostop.Value, memory [][]byte) error {
	r := &s.Out[i]
	t, isTensor := v.(*tensor.Tensor)
	if isTensor && t != nil && r.DType != tensor.Invalid {
		if err := m.bindShape(f, s, pc, i, t); err != nil {
			return err
		}
	}
	if r.Buf < 0 {
		if r.DType != tensor.Invalid && (!isTensor || t == nil) {
			return m.stepError(pc, ErrStep, "result %d is %s, want %v", i, describe(v), r.DType)
		}
		f.boxes[r.Box] = own(v, memory)
		return nil
	}
	if !isTensor || t == nil {
		return m.stepError(pc, ErrStep, "result %d is %s, want %v", i, describe(v), r.DType)
	}
	if err := m.growTo(f, r.Buf); err != nil {
		return err
	}
	n := t.DType.Bytes(t.Len())
	if n != int64(len(t.Data)) || n > int64(len(f.mem[r.Buf])) {
		return m.stepError(pc, ErrShape, "result %d is %s of %d bytes for a buffer of %d", i, t.TypeString(), len(t.Data), len(f.mem[r.Buf]))
	}
	copy(f.mem[r.Buf], t.Data)
	return nil
}

// growTo is ensure for buffers that can grow.
func (m *Model) growTo(f *frame, buf int32) error {
	if k := m.p.Bufs[buf].Kind; k == plan.BufHeap || k == plan.BufOutput {
		return m.ensure(f, buf)
	}
	return nil
}

// bindShape checks the type of result i and binds the dimensions that only the operation knew.
func (m *Model) bindShape(f *frame, s *plan.Step, pc, i int, t *tensor.Tensor) error {
	r := &s.Out[i]
	if t.DType != r.DType || len(t.Shape) != len(r.Shape) {
		return m.stepError(pc, ErrStep, "result %d is %s, want %v of rank %d", i, t.TypeString(), r.DType, len(r.Shape))
	}
	if s.Fresh != nil && s.Fresh[i] != nil {
		bound := false
		for j, slot := range s.Fresh[i] {
			if slot >= 0 {
				f.slots[slot] = t.Shape[j]
				bound = true
			}
		}
		if bound {
			m.evalDerived(f.slots, m.derived[pc])
		}
	}
	want := make([]int64, len(r.Shape))
	for j, slot := range r.Shape {
		want[j] = f.slots[slot]
	}
	if !slices.Equal(want, t.Shape) {
		return &Error{Kind: ErrShape, What: m.stepName(pc), Got: t.TypeString(), Want: tensor.ShapeString(want)}
	}
	return nil
}
