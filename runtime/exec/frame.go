package exec

import (
	"fmt"
	"slices"
	"time"
	"unsafe"

	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
)

type reportFunc func(step int, s *plan.Step, d time.Duration, flops, bytes int64)

// frame is the state of one call.
type frame struct {
	task   *task
	dims   []int64 // of all inputs, one after the other
	slots  []int64
	layout *layout // that mem and addr of arena buffers follow
	arena  []byte
	// mem is the memory of each buffer; it keeps alive what addr points to. addr is its address, never
	// 0. An output or heap buffer is as long as its size when it was last written.
	mem    [][]byte
	addr   []int64
	args   []int64
	boxes  []hostop.Value
	spare  [][]byte // heap memory that no buffer uses
	grown  []bool   // output buffers that have memory made in this call
	heap   int64    // bytes of heap and output buffers allocated in this call
	report reportFunc
}

// none is what empty buffers point to.
var none = tensor.AlignedBytes(tensor.Align)

// keepSpare bounds the heap memory that an idle frame keeps.
const keepSpare = 64 << 20

func address(b []byte) int64 {
	if len(b) == 0 {
		b = none
	}
	return int64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
}

func aligned64(b []byte) bool { return len(b) == 0 || address(b)%tensor.Align == 0 }

// overlap reports whether a and b share memory.
func overlap(a, b []byte) bool {
	return len(a) > 0 && len(b) > 0 && address(a) < address(b)+int64(len(b)) && address(b) < address(a)+int64(len(a))
}

func (m *Model) newFrame() *frame {
	p := m.p
	f := &frame{
		task: m.pool.newTask(), dims: make([]int64, m.numDims), slots: make([]int64, len(p.Slots)),
		mem: make([][]byte, len(p.Bufs)), addr: make([]int64, len(p.Bufs)), args: make([]int64, max(m.argMax, 1)), grown: make([]bool, len(p.Bufs)), boxes: make([]hostop.Value, p.Boxes),
	}
	for i, b := range p.Bufs {
		if b.Kind == plan.BufWeight {
			f.set(int32(i), m.weights[b.Offset:b.Offset+p.Slots[b.Bytes].Imm])
		} else {
			f.set(int32(i), nil)
		}
	}
	return f
}

func (f *frame) set(buf int32, b []byte) { f.mem[buf], f.addr[buf] = b, address(b) }

// clear lets go of the caller's memory and of values.
func (f *frame) clear(m *Model) {
	for i := range m.p.Bufs {
		switch m.p.Bufs[i].Kind {
		case plan.BufInput, plan.BufOutput:
			f.set(int32(i), nil)
		case plan.BufHeap:
			f.release(int32(i))
		}
	}
	clear(f.boxes)
	clear(f.grown)
	total := 0
	for i, b := range f.spare {
		if total += cap(b); total > keepSpare {
			clear(f.spare[i:])
			f.spare = f.spare[:i]
			break
		}
	}
	f.heap = 0
	f.report = nil
}

// begin takes the inputs and outputs of a call and computes its sizes.
func (m *Model) begin(f *frame, in, out []hostop.Value) error {
	p := m.p
	if len(in) != len(p.Inputs) {
		return &Error{Kind: ErrInput, What: p.Name, Got: fmt.Sprintf("%d inputs", len(in)), Want: fmt.Sprint(len(p.Inputs))}
	}
	if len(out) != len(p.Outputs) {
		return &Error{Kind: ErrInput, What: p.Name, Got: fmt.Sprintf("room for %d outputs", len(out)), Want: fmt.Sprint(len(p.Outputs))}
	}
	for i := range p.Inputs {
		if err := m.checkInput(f, i, in[i]); err != nil {
			return err
		}
	}
	l, err := m.layoutFor(f)
	if err != nil {
		return err
	}
	copy(f.slots, l.slots)
	if f.layout != l {
		f.layOut(m, l)
	}
	for i := range p.Bufs {
		b := &p.Bufs[i]
		switch b.Kind {
		case plan.BufInput:
			if p.Inputs[b.Index].Boxed() {
				continue
			}
			t, _ := in[b.Index].(*tensor.Tensor)
			if t == nil {
				f.set(int32(i), f.mem[p.Inputs[b.Index].Default])
				continue
			}
			data := t.Data
			if !tensor.IsAligned(data, t.DType) {
				data = tensor.AlignedBytes(int64(len(data)))
				copy(data, t.Data)
			}
			f.set(int32(i), data)
		case plan.BufOutput:
			f.set(int32(i), reusable(in, out, int(b.Index), p.Outputs[b.Index].DType))
		}
	}
	return nil
}

// layOut points the arena buffers to where l has them.
func (f *frame) layOut(m *Model, l *layout) {
	if int64(len(f.arena)) < l.total {
		f.arena = nil // first, so that the old one may go
		f.arena = tensor.AlignedBytes(l.total)
	}
	for i, off := range l.offsets {
		if off >= 0 {
			f.set(int32(i), f.arena[off:off+l.slots[m.p.Bufs[i].Bytes]])
		}
	}
	f.layout = l
}

// checkInput verifies all about an input but its dimensions, which it notes in f.dims.
func (m *Model) checkInput(f *frame, i int, v hostop.Value) error {
	io := &m.p.Inputs[i]
	wrong := func(kind error, got, want string) error {
		return &Error{Kind: kind, What: fmt.Sprintf("input %q", io.Name), Got: got, Want: want}
	}
	t, isTensor := v.(*tensor.Tensor)
	if v == nil || isTensor && t == nil {
		shape := io.DefaultShape
		switch {
		case io.Default >= 0 && shape == nil:
			for _, s := range io.Shape {
				shape = append(shape, m.p.Slots[s].Imm)
			}
		case io.Default < 0 && !io.Optional:
			return wrong(ErrInput, "nothing", io.TypeString())
		}
		copy(f.dims[m.dimAt[i]:], shape)
		if io.Boxed() {
			f.boxes[io.Box] = nil
		}
		return nil
	}
	if io.Type != "" {
		return m.boxInput(f, io, i, v)
	}
	if !isTensor {
		return wrong(ErrInput, describe(v), io.TypeString())
	}
	if t.DType != io.DType {
		return wrong(ErrDType, t.DType.String(), io.DType.String())
	}
	if len(t.Shape) != len(io.Shape) {
		return wrong(ErrShape, t.TypeString(), io.TypeString())
	}
	n := int64(1)
	for _, d := range t.Shape {
		if d < 0 {
			return wrong(ErrShape, t.TypeString(), "no dimension below 0")
		}
		n = mulSat(n, d)
	}
	have := int64(len(t.Strings))
	unit := "strings"
	if t.DType != tensor.String {
		have, unit = int64(len(t.Data)), "bytes"
		n = (mulSat(n, int64(t.DType.Bits())) + 7) / 8
	}
	if have != n {
		return wrong(ErrShape, fmt.Sprintf("%d %s of data", have, unit), fmt.Sprintf("%d for %s", n, t.TypeString()))
	}
	copy(f.dims[m.dimAt[i]:], t.Shape)
	if io.Boxed() {
		f.boxes[io.Box] = t
	}
	return nil
}

// describe names a value's kind for errors.
func describe(v hostop.Value) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case *tensor.Tensor:
		return v.TypeString()
	case hostop.Seq:
		return fmt.Sprintf("a sequence of %d", len(v))
	case *hostop.Map:
		return fmt.Sprintf("a map of %d keys", len(v.Values))
	}
	return fmt.Sprintf("a %T", v)
}

// reusable gives the memory of output i that the caller offers, nil where it cannot be used: it must be
// aligned and apart from all inputs and from the outputs before it.
func reusable(in, out []hostop.Value, i int, d tensor.DType) []byte {
	t, _ := out[i].(*tensor.Tensor)
	if t == nil || cap(t.Data) == 0 {
		return nil
	}
	b := t.Data[:cap(t.Data)]
	if !tensor.IsAligned(b, d) {
		return nil
	}
	for _, v := range in {
		if shares(v, b) {
			return nil
		}
	}
	for _, v := range out[:i] {
		if u, ok := v.(*tensor.Tensor); ok && u != nil && overlap(u.Data[:cap(u.Data)], b) {
			return nil
		}
	}
	return b
}

// shares reports whether a tensor in v has memory in common with b.
func shares(v hostop.Value, b []byte) bool {
	switch v := v.(type) {
	case *tensor.Tensor:
		return v != nil && overlap(v.Data, b)
	case hostop.Seq:
		return slices.ContainsFunc(v, func(e hostop.Value) bool { return shares(e, b) })
	case *hostop.Map:
		return shares(v.Keys, b) || shares(v.Values, b)
	}
	return false
}

// ensure makes an output or heap buffer as long as its size says now. What it holds stays.
func (m *Model) ensure(f *frame, buf int32) error {
	b := &m.p.Bufs[buf]
	n := f.slots[b.Bytes]
	old := f.mem[buf]
	if n < 0 {
		return &Error{Kind: ErrShape, What: m.bufName(int(buf)), Got: fmt.Sprintf("a size of %d bytes", n), Want: "none below zero"}
	}
	if int64(cap(old)) >= n {
		f.set(buf, old[:n])
		return nil
	}
	if m.limit > 0 && n > m.limit-m.p.WeightsSize-f.layout.total-f.heap || n > 1<<48 {
		return m.memoryError(m.bufName(int(buf)), mulSat(n, 1)+min(f.heap+f.layout.total+m.p.WeightsSize, 1<<61))
	}
	var now []byte
	if b.Kind == plan.BufHeap {
		now = f.allocate(n, int64(len(old)))
	} else {
		// One that this call has made already grows in a loop.
		if f.grown[buf] {
			n += n / 2
		}
		now = tensor.AlignedBytes(n)[:f.slots[b.Bytes]]
		f.grown[buf] = true
	}
	f.heap += int64(cap(now))
	copy(now, old)
	if b.Kind == plan.BufHeap {
		f.release(buf)
	}
	f.set(buf, now)
	return nil
}

// allocate gives n bytes of heap memory, from what lies spare if that fits well. A buffer that grows
// (old bytes so far) gets room to grow further, so that a loop which appends is not quadratic.
func (f *frame) allocate(n, old int64) []byte {
	best := -1
	for i, b := range f.spare {
		if int64(cap(b)) >= n && int64(cap(b)) <= 2*n+4096 && (best < 0 || cap(b) < cap(f.spare[best])) {
			best = i
		}
	}
	if best >= 0 {
		b := f.spare[best][:n]
		last := len(f.spare) - 1
		f.spare[best], f.spare[last] = f.spare[last], nil
		f.spare = f.spare[:last]
		return b
	}
	if old > 0 {
		return tensor.AlignedBytes(n + n/2)[:n]
	}
	return tensor.AlignedBytes(n)
}

// release makes a heap buffer's memory available to others.
func (f *frame) release(buf int32) {
	if b := f.mem[buf]; cap(b) > 0 {
		f.heap -= int64(cap(b))
		f.spare = append(f.spare, b[:0:cap(b)])
		f.set(buf, nil)
	}
}

// finish gives the results to the caller.
func (m *Model) finish(f *frame, in, out []hostop.Value) error {
	for i := range m.p.Bufs {
		b := &m.p.Bufs[i]
		if b.Kind != plan.BufOutput || m.p.Outputs[b.Index].Boxed() {
			continue
		}
		if err := m.ensure(f, int32(i)); err != nil {
			return err
		}
		t := m.outTensor(f, out, int(b.Index))
		n := t.DType.Bytes(t.Len())
		if n > int64(len(f.mem[i])) {
			return &Error{Kind: ErrShape, What: fmt.Sprintf("output %q", m.p.Outputs[b.Index].Name), Got: fmt.Sprintf("%d bytes", len(f.mem[i])), Want: t.TypeString()}
		}
		t.Data, t.Strings = f.mem[i][:n], nil
		if n == 0 {
			t.Data = []byte{}
		}
	}
	for i := range m.p.Outputs {
		io := &m.p.Outputs[i]
		if !io.Boxed() {
			continue
		}
		v := f.boxes[io.Box]
		s, isTensor := v.(*tensor.Tensor)
		if !isTensor || io.Type != "" {
			out[i] = m.handOut(v, in)
			continue
		}
		t, _ := out[i].(*tensor.Tensor)
		if t == nil {
			t = &tensor.Tensor{}
			out[i] = t
		}
		t.DType, t.Data = tensor.String, nil
		t.Shape = append(t.Shape[:0], s.Shape...)
		t.Strings = append(t.Strings[:0], s.Strings...)
	}
	return nil
}

// outTensor gives the tensor of output i, with its type and shape.
func (m *Model) outTensor(f *frame, out []hostop.Value, i int) *tensor.Tensor {
	io := &m.p.Outputs[i]
	t, _ := out[i].(*tensor.Tensor)
	if t == nil {
		t = &tensor.Tensor{Shape: make([]int64, 0, len(io.Shape))}
		out[i] = t
	}
	t.DType = io.DType
	t.Shape = t.Shape[:0]
	for _, s := range io.Shape {
		t.Shape = append(t.Shape, f.slots[s])
	}
	if t.Shape == nil {
		t.Shape = []int64{}
	}
	return t
}
