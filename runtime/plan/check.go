package plan

import "fmt"

// Check verifies that every index of p is in range and that its buffers fit the arena and the
// weights, so that the executor, which trusts p after this, cannot run into a bad index. Buffers that
// are alive together must not overlap; that is the layout's business and its tests'.
func Check(p *Plan) error {
	c := &checker{p: p}
	c.slots()
	c.bufs()
	for i := range p.Inputs {
		c.io("input", &p.Inputs[i])
	}
	for i := range p.Outputs {
		c.io("output", &p.Outputs[i])
	}
	for i := range p.Steps {
		c.step(i, &p.Steps[i])
	}
	return c.err
}

type checker struct {
	p   *Plan
	err error
}

// want records a complaint unless ok; the first one counts.
func (c *checker) want(ok bool, format string, args ...any) {
	if !ok && c.err == nil {
		c.err = fmt.Errorf("plan "+c.p.Name+": "+format, args...)
	}
}

func (c *checker) slot(s Slot, what string) {
	c.want(s >= 0 && int(s) < len(c.p.Slots), "%s: no slot %d of %d", what, s, len(c.p.Slots))
}

func (c *checker) buf(b int32, what string) {
	c.want(b >= 0 && int(b) < len(c.p.Bufs), "%s: no buffer %d of %d", what, b, len(c.p.Bufs))
}

func (c *checker) box(b int32, what string) {
	c.want(b >= 0 && b < c.p.Boxes, "%s: no box %d of %d", what, b, c.p.Boxes)
}

func (c *checker) slots() {
	for i, d := range c.p.Slots {
		switch d.Op {
		case SlotConst, SlotBound:
		case SlotInput:
			c.want(d.A >= 0 && int(d.A) < len(c.p.Inputs), "slot %d: no input %d", i, d.A)
			if c.err == nil {
				c.want(d.B >= 0 && int(d.B) < len(c.p.Inputs[d.A].Shape), "slot %d: input %q has no dimension %d", i, c.p.Inputs[d.A].Name, d.B)
			}
		case SlotAdd, SlotMul, SlotDiv, SlotMod, SlotMax, SlotMin:
			c.want(d.A >= 0 && int(d.A) < i && d.B >= 0 && int(d.B) < i, "slot %d uses slots %d and %d, which must come before it", i, d.A, d.B)
		default:
			c.want(false, "slot %d: operation %d", i, d.Op)
		}
	}
}

func (c *checker) bufs() {
	for i, b := range c.p.Bufs {
		c.slot(b.Bytes, fmt.Sprintf("buffer %d (%s)", i, b.Name))
		if c.err != nil {
			return
		}
		s := c.p.Slots[b.Bytes]
		switch b.Kind {
		case BufArena:
			if c.p.ArenaSize < 0 || b.First < 0 {
				continue
			}
			c.want(s.Op == SlotConst && s.Imm >= 0 && b.Offset >= 0 && b.Offset <= c.p.ArenaSize-s.Imm,
				"buffer %d (%s): %d bytes at %d of a static arena of %d", i, b.Name, s.Imm, b.Offset, c.p.ArenaSize)
		case BufWeight:
			c.want(s.Op == SlotConst && s.Imm >= 0 && b.Offset >= 0 && b.Offset <= c.p.WeightsSize-s.Imm,
				"buffer %d (%s): %d bytes at %d of %d bytes of weights", i, b.Name, s.Imm, b.Offset, c.p.WeightsSize)
		case BufInput:
			c.want(b.Index >= 0 && int(b.Index) < len(c.p.Inputs), "buffer %d: no input %d", i, b.Index)
		case BufOutput:
			c.want(b.Index >= 0 && int(b.Index) < len(c.p.Outputs), "buffer %d: no output %d", i, b.Index)
		case BufPart:
			c.part(i, &b)
		case BufHeap:
		default:
			c.want(false, "buffer %d: kind %d", i, b.Kind)
		}
	}
}

// part checks that a part lies in a buffer of the arena, as far as sizes are constant.
func (c *checker) part(i int, b *Buf) {
	c.slot(b.Start, fmt.Sprintf("buffer %d (%s)", i, b.Name))
	c.want(b.Index >= 0 && int(b.Index) < len(c.p.Bufs) && c.p.Bufs[b.Index].Kind == BufArena, "buffer %d (%s): part of %d, which is not in the arena", i, b.Name, b.Index)
	if c.err != nil {
		return
	}
	whole, start, n := c.p.Slots[c.p.Bufs[b.Index].Bytes], c.p.Slots[b.Start], c.p.Slots[b.Bytes]
	if whole.Op == SlotConst && start.Op == SlotConst && n.Op == SlotConst {
		c.want(start.Imm >= 0 && n.Imm >= 0 && start.Imm <= whole.Imm-n.Imm, "buffer %d (%s): %d bytes at %d of %d", i, b.Name, n.Imm, start.Imm, whole.Imm)
	}
}

func (c *checker) io(kind string, io *IO) {
	what := kind + " " + io.Name
	for _, s := range io.Shape {
		c.slot(s, what)
	}
	c.want(len(io.Dims) == len(io.Shape), "%s: %d names of dimensions for %d dimensions", what, len(io.Dims), len(io.Shape))
	if io.Boxed() {
		c.box(io.Box, what)
	}
	if io.Default >= 0 && !io.Boxed() {
		c.buf(io.Default, what)
		if c.err == nil {
			c.want(c.p.Bufs[io.Default].Kind == BufWeight, "%s: its default is not in the weights", what)
		}
	}
}

func (c *checker) ref(r *TensorRef, what string) {
	if r.Buf >= 0 {
		c.buf(r.Buf, what)
	} else if r.Box >= 0 {
		c.box(r.Box, what)
	}
	for _, s := range r.Shape {
		c.slot(s, what)
	}
}

func (c *checker) step(i int, s *Step) {
	what := fmt.Sprintf("step %d (%s)", i, s.Name)
	for j := range s.In {
		c.ref(&s.In[j], what)
	}
	for j := range s.Out {
		c.ref(&s.Out[j], what)
	}
	target := func(n int64) {
		c.want(n >= 0 && n <= int64(len(c.p.Steps)), "%s: jumps to %d of %d steps", what, n, len(c.p.Steps))
	}
	switch s.Kind {
	case StepKernel:
		c.kernel(s, what)
	case StepHost:
		c.want(s.Host != nil, "%s: no host function %q", what, s.HostOp)
		c.want(s.Fresh == nil || len(s.Fresh) == len(s.Out), "%s: Fresh has %d rows for %d results", what, len(s.Fresh), len(s.Out))
		for j := range s.Fresh {
			c.want(s.Fresh[j] == nil || len(s.Fresh[j]) == len(s.Out[j].Shape), "%s: Fresh of result %d", what, j)
			for _, f := range s.Fresh[j] {
				if f >= 0 {
					c.bound(f, what)
				}
			}
		}
	case StepEval:
		c.slot(s.A, what)
	case StepBind:
		c.want(len(s.In) == 1 && s.In[0].Buf >= 0 && s.B >= 0, "%s: binds from element %d of %d tensors", what, s.B, len(s.In))
		c.bound(s.A, what)
	case StepSetSlot:
		c.bound(s.A, what)
		c.slot(s.B, what)
	case StepJump:
		target(int64(s.A))
	case StepJumpIf:
		c.want(len(s.In) == 1 && s.In[0].Buf >= 0, "%s: needs its condition", what)
		target(int64(s.A))
	case StepJumpLt:
		c.slot(s.A, what)
		c.slot(s.B, what)
		target(s.Grain)
	case StepCheck:
		c.slot(s.A, what)
		c.slot(s.B, what)
	case StepFail:
	case StepAlloc:
		c.buf(s.A, what)
		if c.err == nil {
			k := c.p.Bufs[s.A].Kind
			c.want(k == BufHeap || k == BufOutput, "%s: allocates buffer %d, which is not on the heap", what, s.A)
		}
	default:
		c.want(false, "%s: kind %d", what, s.Kind)
	}
}

func (c *checker) kernel(s *Step, what string) {
	c.want(s.Kernel >= 0 && int(s.Kernel) < len(c.p.Kernels), "%s: no kernel %d of %d", what, s.Kernel, len(c.p.Kernels))
	c.want(len(s.Par) > 0, "%s: no parallel extent", what)
	for _, p := range s.Par {
		c.slot(p, what)
	}
	for _, a := range s.Args {
		if a.Kind == ArgSlot {
			c.slot(a.N, what)
			continue
		}
		c.want(a.Kind == ArgBuf, "%s: argument of kind %d", what, a.Kind)
		c.buf(a.N, what)
		if a.Off >= 0 {
			c.slot(a.Off, what)
		}
	}
}

// bound checks that a step may assign slot s.
func (c *checker) bound(s Slot, what string) {
	c.slot(s, what)
	if c.err == nil {
		c.want(c.p.Slots[s].Op == SlotBound, "%s: assigns slot %d, which is not a SlotBound", what, s)
	}
}
