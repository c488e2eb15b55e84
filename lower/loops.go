package lower

import (
	"fmt"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Loop and Scan become steps between a jump that leaves and a jump back. What one iteration hands to the
// next lies in the memory of the body's parameter, which the loop's end overwrites; so does the loop's
// result afterwards. Sizes that change between iterations are slots that the loop's end sets, and such
// values lie in heap buffers; what has no memory of its own (package comment of box.go) in boxes.

// looping is a Loop or Scan that is being lowered.
type looping struct {
	*Ctx
	op     *ir.Op
	body   *ir.Region
	states []*carried
	scans  []*stacked
	iter   ir.Dim // number of the iteration
	next   int32  // slot of that plus one
	exits  []int  // steps that leave the loop: their targets are set at its end
	head   int    // the step to go back to
	lazy   int    // len(c.lazy) before the body
	// counted are the symbols of the number of iterations that the loop itself binds, as it counts.
	counted map[string]bool
}

// carried is a value that one iteration hands to the next.
type carried struct {
	init, param, result, out *ir.Value
	// wait is where the result waits until all results are computed: the parameter may be what another
	// result, or a size, is still taken from. nil where that cannot be.
	wait *ir.Value
}

// stacked is a result of the loop that joins a result of each iteration along a new axis.
type stacked struct {
	slice, out *ir.Value
	axis       int64
	back       bool // the last iteration's is first
	// seq collects the slices where they live in boxes.
	seq *ir.Value
	// own are the dimensions of a slice that only the first iteration knows, as indices.
	own []int
	// counted: the number of iterations is not known before.
	counted bool
}

// enter emits what comes before the loop: memory and first values of all that it carries.
func (l *looping) enter() error {
	l.bindCount()
	for _, s := range l.states {
		if err := l.enterState(s); err != nil {
			return err
		}
	}
	for _, s := range l.scans {
		if err := l.enterScan(s); err != nil {
			return err
		}
	}
	at := l.symSlot(l.iter.SymName())
	l.next = l.slot(l.iter.AddInt(1))
	l.addStep(plan.Step{Kind: plan.StepSetSlot, Name: "iteration", A: at, B: l.constSlot(0)})
	l.evalFrom(at)
	l.head, l.lazy = len(l.p.Steps), len(l.Ctx.lazy)
	return nil
}

func (l *looping) enterState(s *carried) error {
	fresh, varies := l.bindFresh(s.param)
	if _, err := l.define(s.param); err != nil {
		return l.op.Errorf("%w", err)
	}
	if err := l.assign(l.op, s.init, s.param); err != nil {
		return err
	}
	if s.result == s.param || !varies && !l.isParam(s.result) {
		return nil
	}
	t := s.param.Type
	t.Shape = append([]ir.Dim{}, t.Shape...)
	for i, slot := range fresh {
		if slot >= 0 {
			t.Shape[i] = l.M.NewSym()
		}
	}
	s.wait = l.M.NewValue(s.param.Name+"_next", t)
	l.bindFresh(s.wait)
	_, err := l.define(s.wait)
	return err
}

// isParam reports whether v is a parameter of the body, or a view of one.
func (l *looping) isParam(v *ir.Value) bool {
	v = l.resolve(owner(v))
	for _, s := range l.states {
		if v == s.param {
			return true
		}
	}
	return false
}

func (l *looping) enterScan(s *stacked) error {
	if s.out == nil {
		return nil
	}
	if boxed(s.slice.Type) {
		elem := s.slice.Type
		s.seq = l.M.NewValue(s.out.Name+"_slices", ir.Type{Kind: ir.KindSeq, Elem: &elem})
		return l.call(l.op, "SequenceEmpty", tensor.Attrs{}, nil, []*ir.Value{s.seq})
	}
	first := int32(-1)
	zero := func(slot plan.Slot) {
		l.addStep(plan.Step{Kind: plan.StepSetSlot, Name: "size of " + s.out.Name, A: slot, B: l.constSlot(0)})
		if first < 0 || slot < first {
			first = slot
		}
	}
	for i, d := range s.out.Type.Shape {
		slot := l.slot(d)
		switch {
		case l.p.Slots[slot].Op != plan.SlotBound:
		case i == 0 && l.counted[d.SymName()]:
			s.counted = true
			zero(slot)
		case i > 0 && !d.Equal(s.slice.Type.Shape[i-1]):
			s.own = append(s.own, i-1)
			zero(slot)
		}
	}
	if first >= 0 {
		l.evalFrom(first)
	}
	_, err := l.define(s.out)
	return err
}

// bindCount notes the symbols of results' first dimensions that nothing has bound.
func (l *looping) bindCount() {
	l.counted = map[string]bool{}
	for _, s := range l.scans {
		if s.out == nil || boxed(s.out.Type) {
			continue
		}
		if name := l.unboundIn(s.out.Type.Shape[0]); name != "" {
			l.counted[name] = true
			l.symSlot(name)
		}
	}
}

// leaveUnless emits a jump out of the loop, of kind StepJumpIf or StepJumpLt.
func (l *looping) leaveUnless(s plan.Step) { l.exits = append(l.exits, l.jump(s)) }

// end emits what comes after the body: slices are stored, values carried, and the jump back.
func (l *looping) end(again *ir.Value) error {
	for _, s := range l.scans {
		if err := l.store(s); err != nil {
			return err
		}
	}
	var cond *plan.TensorRef
	if again != nil {
		r, err := l.condition(again)
		if err != nil {
			return err
		}
		cond = &r
	}
	if err := l.carry(); err != nil {
		return err
	}
	l.addStep(plan.Step{Kind: plan.StepSetSlot, Name: "iteration", A: l.slot(l.iter), B: l.next})
	l.evalFrom(l.slot(l.iter))
	if cond != nil {
		l.leaveUnless(plan.Step{Kind: plan.StepJumpIf, Name: "goes on", In: []plan.TensorRef{*cond}})
	}
	l.jump(plan.Step{Kind: plan.StepJump, Name: "next iteration", A: int32(l.head)})
	l.forget(l.lazy)
	for _, i := range l.exits {
		if s := &l.p.Steps[i]; s.Kind == plan.StepJumpLt {
			s.Grain = int64(len(l.p.Steps))
		} else {
			s.A = int32(len(l.p.Steps))
		}
	}
	return l.results()
}

// condition is the body's condition in a place that carrying does not overwrite.
func (l *looping) condition(v *ir.Value) (plan.TensorRef, error) {
	v, err := l.unbox(l.op, v)
	if err == nil && l.isParam(v) {
		saved := l.Scratch(v.Type)
		err = l.copy(l.op, v, saved)
		v = saved
	}
	if err != nil {
		return plan.TensorRef{}, err
	}
	return l.ref(v)
}

// carry moves the body's results to its parameters.
func (l *looping) carry() error {
	for _, s := range l.states {
		if s.wait != nil {
			if err := l.assign(l.op, s.result, s.wait); err != nil {
				return err
			}
		}
	}
	for _, s := range l.states {
		from := s.result
		if s.wait != nil {
			from = s.wait
		}
		if from == s.param {
			continue
		}
		if err := l.assign(l.op, from, s.param); err != nil {
			return err
		}
	}
	return nil
}

// store puts an iteration's slice into its place in the result.
func (l *looping) store(s *stacked) error {
	switch {
	case s.out == nil:
		return nil
	case s.seq != nil:
		return l.hostCall(l.op, "Collect", tensor.Attrs{}, []*ir.Value{s.seq, s.slice}, []*ir.Value{s.seq}, nil)
	}
	first := int32(-1)
	set := func(d ir.Dim, to int32) {
		slot := l.slot(d)
		l.addStep(plan.Step{Kind: plan.StepSetSlot, Name: "size of " + s.out.Name, A: slot, B: to})
		if first < 0 || slot < first {
			first = slot
		}
	}
	if len(s.own) > 0 {
		later := l.jump(plan.Step{Kind: plan.StepJumpLt, Name: "first slice", A: l.slot(l.iter), B: l.constSlot(1)})
		for _, i := range s.own {
			set(s.out.Type.Shape[i+1], l.slot(s.slice.Type.Shape[i]))
		}
		done := l.jump(plan.Step{Kind: plan.StepJump, Name: "end of first slice"})
		l.p.Steps[later].Grain = int64(len(l.p.Steps))
		for _, i := range s.own {
			name := fmt.Sprintf("%s %q: dimension %d of result %q in a later iteration", l.op.Info.Name, l.op.Origin.Node, i, s.out.Name)
			l.addStep(plan.Step{Kind: plan.StepCheck, Name: name, A: l.slot(s.slice.Type.Shape[i]), B: l.slot(s.out.Type.Shape[i+1])})
		}
		l.p.Steps[done].A = int32(len(l.p.Steps))
	}
	if s.counted {
		set(s.out.Type.Shape[0], l.next)
	}
	if first >= 0 {
		l.evalFrom(first)
	}
	at := l.iter
	if s.back {
		at = s.out.Type.Shape[0].AddInt(-1).Sub(l.iter)
	}
	n := ir.Product(s.slice.Type.Shape)
	return l.copyAt(l.op, s.slice, s.out, ir.Dim{}, at.Mul(n), n)
}

// results gives the loop's results their values.
func (l *looping) results() error {
	for _, s := range l.states {
		if s.out == nil {
			continue
		}
		l.bindFresh(s.out)
		if _, ok := l.storage[s.out]; ok {
			if err := l.assign(l.op, s.param, s.out); err != nil {
				return err
			}
			continue
		}
		l.sizeLike(s.param, s.out)
		l.storage[s.out] = l.storage[s.param]
	}
	for _, s := range l.scans {
		if s.seq == nil {
			continue
		}
		attrs := tensor.Attrs{"axis": s.axis, "dtype": s.slice.Type.DType, "back": int64(0)}
		if s.back {
			attrs["back"] = int64(1)
		}
		if s.slice.Type.Ranked {
			attrs["shape"] = stackShape(s.slice.Type.Shape)
		}
		if err := l.call(l.op, "Stack", attrs, []*ir.Value{s.seq}, []*ir.Value{s.out}); err != nil {
			return err
		}
	}
	return nil
}

// stackShape is a shape with 0 for what is not known.
func stackShape(dims []ir.Dim) []int64 {
	shape := make([]int64, len(dims))
	for i, d := range dims {
		if d.IsConst() {
			shape[i] = d.Value()
		}
	}
	return shape
}

// isTrue reports whether a condition is known to hold always.
func (c *Ctx) isTrue(v *ir.Value) bool {
	d := c.constOf(owner(v))
	if d == nil {
		return false
	}
	t, err := d.Tensor()
	return err == nil && t.DType == tensor.Bool && len(t.Data) > 0 && t.Data[0] != 0
}

// lowerLoop compiles Loop: operands M?, cond?, carried...; body (iteration, cond, carried...) ->
// (cond, carried..., slices...).
func lowerLoop(c *Ctx, op *ir.Op) error {
	l := &looping{Ctx: c, op: op, body: op.Regions[0]}
	body := l.body
	n := len(op.Operands) - 2
	for i := range n {
		l.states = append(l.states, &carried{init: op.Operands[2+i], param: body.Params[2+i], result: body.Results[1+i], out: op.Result(i)})
	}
	for i := n; i < len(op.Results); i++ {
		l.scans = append(l.scans, &stacked{slice: body.Results[1+i], out: op.Results[i]})
	}
	e, ok := c.infer.Elems(body.Params[0])
	if !ok {
		return op.Errorf("internal error: no symbol for the number of the iteration")
	}
	l.iter = e[0]
	limit, bounded, err := l.limit(op.Operands[0])
	if err != nil {
		return err
	}
	if err := l.enter(); err != nil {
		return err
	}
	if cond := op.Operands[1]; cond != nil && !c.isTrue(cond) {
		// Before the loop's head: what the body gives is tested at its end.
		v, err := c.unbox(op, cond)
		if err != nil {
			return err
		}
		r, err := c.ref(v)
		if err != nil {
			return op.Errorf("%w", err)
		}
		l.leaveUnless(plan.Step{Kind: plan.StepJumpIf, Name: "Loop " + op.Origin.Node, In: []plan.TensorRef{r}})
		l.head = len(c.p.Steps)
	}
	if bounded {
		l.leaveUnless(plan.Step{Kind: plan.StepJumpLt, Name: "Loop " + op.Origin.Node, A: c.slot(l.iter), B: limit})
	}
	// In the body the condition holds.
	yes := tensor.New(tensor.Bool)
	yes.Data[0] = 1
	c.alias[body.Params[1]] = c.M.NewConst("true", ir.DataOf(yes)).Results[0]
	if err := c.region(body); err != nil {
		return err
	}
	again := body.Results[0]
	if c.isTrue(again) {
		again = nil
	}
	return l.end(again)
}

// limit gives the slot of the trip count.
func (l *looping) limit(m *ir.Value) (slot int32, ok bool, err error) {
	if m == nil {
		return 0, false, nil
	}
	if e, known := l.elems(m); known && len(e) == 1 {
		return l.slot(e[0]), true, nil
	}
	m, err = l.unbox(l.op, m)
	if err != nil {
		return 0, false, err
	}
	r, err := l.ref(m)
	if err != nil {
		return 0, false, l.op.Errorf("%w", err)
	}
	slot = l.addSlot(plan.SlotDef{Op: plan.SlotBound})
	l.addStep(plan.Step{Kind: plan.StepBind, Name: "trip count of Loop " + l.op.Origin.Node, A: slot, B: 0, In: []plan.TensorRef{r}})
	return slot, true, nil
}

// scanned is an operand of Scan that is cut into slices.
type scanned struct {
	v, param *ir.Value
	axis     int64
	back     bool
	seq      *ir.Value // its slices, where they live in boxes
	length   ir.Dim
}

// lowerScan compiles Scan: operands states..., scanned...; body (states..., slices...) -> (states..., slices...).
func lowerScan(c *Ctx, op *ir.Op) error {
	l := &looping{Ctx: c, op: op, body: op.Regions[0], iter: c.M.NewSym()}
	body := l.body
	n := len(op.Operands) - int(op.Attrs.Int("num_scan_inputs", 0))
	ints := func(name string, i int) int64 {
		if a := op.Attrs.Ints(name, nil); i < len(a) {
			return a[i]
		}
		return 0
	}
	for i := range n {
		l.states = append(l.states, &carried{init: op.Operands[i], param: body.Params[i], result: body.Results[i], out: op.Result(i)})
	}
	for i := n; i < len(op.Results); i++ {
		l.scans = append(l.scans, &stacked{slice: body.Results[i], out: op.Results[i], axis: ints("scan_output_axes", i-n), back: ints("scan_output_directions", i-n) != 0})
	}
	var in []*scanned
	for i := n; i < len(op.Operands); i++ {
		s := &scanned{v: op.Operands[i], param: body.Params[i], axis: ints("scan_input_axes", i-n), back: ints("scan_input_directions", i-n) != 0}
		if err := l.enterScanned(s); err != nil {
			return err
		}
		in = append(in, s)
	}
	for i, s := range l.scans {
		if s.axis != 0 && !boxed(s.slice.Type) {
			return op.Errorf("internal error: scan output %d has axis %d", i, s.axis) // canonicalised
		}
	}
	length := in[0].length
	for i, s := range in[1:] {
		if !s.length.Equal(length) {
			name := fmt.Sprintf("Scan %q: length of scan input %d", op.Origin.Node, i+1)
			c.addStep(plan.Step{Kind: plan.StepCheck, Name: name, A: c.slot(s.length), B: c.slot(length)})
		}
	}
	if err := l.enter(); err != nil {
		return err
	}
	l.leaveUnless(plan.Step{Kind: plan.StepJumpLt, Name: "Scan " + op.Origin.Node, A: c.slot(l.iter), B: c.slot(length)})
	for _, s := range in {
		if err := l.slice(s); err != nil {
			return err
		}
	}
	if err := c.region(body); err != nil {
		return err
	}
	return l.end(nil)
}

// enterScanned finds the number of slices.
func (l *looping) enterScanned(s *scanned) error {
	if !boxed(s.v.Type) {
		if s.axis != 0 {
			return l.op.Errorf("internal error: scan input %q has axis %d", s.v.Name, s.axis) // canonicalised
		}
		s.length = s.v.Type.Shape[0]
		return nil
	}
	elem := s.param.Type
	s.seq = l.M.NewValue(s.v.Name+"_slices", ir.Type{Kind: ir.KindSeq, Elem: &elem})
	if err := l.call(l.op, "SplitToSequence", tensor.Attrs{"axis": s.axis, "keepdims": int64(0)}, []*ir.Value{s.v}, []*ir.Value{s.seq}); err != nil {
		return err
	}
	n := l.M.NewValue(s.v.Name+"_length", ir.TensorType(tensor.I64))
	if err := l.call(l.op, "SequenceLength", tensor.Attrs{}, []*ir.Value{s.seq}, []*ir.Value{n}); err != nil {
		return err
	}
	s.length = l.M.NewSym()
	return l.bindDims(l.op, n, []ir.Dim{s.length}, 0, "length of "+s.v.Name)
}

// slice emits the step that cuts an iteration's slice.
func (l *looping) slice(s *scanned) error {
	at := l.iter
	if s.back {
		at = s.length.AddInt(-1).Sub(l.iter)
	}
	if s.seq == nil {
		if _, err := l.define(s.param); err != nil {
			return l.op.Errorf("%w", err)
		}
		n := ir.Product(s.param.Type.Shape)
		return l.copyAt(l.op, s.v, s.param, at.Mul(n), ir.Dim{}, n)
	}
	pos := l.M.NewValue(s.param.Name+"_position", ir.TensorType(tensor.I64))
	if _, err := l.materialise(pos, []ir.Dim{at}); err != nil {
		return l.op.Errorf("%w", err)
	}
	return l.call(l.op, "SequenceAt", tensor.Attrs{}, []*ir.Value{s.seq, pos}, []*ir.Value{s.param})
}
