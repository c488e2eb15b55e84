package lower

import (
	"fmt"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
)

func controlRules() map[string]rule {
	return map[string]rule{"If": lowerIf, "Loop": lowerLoop, "Scan": lowerScan}
}

// jump emits a step whose target is set by land.
func (c *Ctx) jump(s plan.Step) int {
	s.A, s.B = max(s.A, -1), max(s.B, -1)
	c.addStep(s)
	return len(c.p.Steps) - 1
}

// lowerIf compiles If to jumps around its branches.
func lowerIf(c *Ctx, op *ir.Op) error {
	cond, err := c.unbox(op, op.Operands[0])
	if err != nil {
		return err
	}
	test, err := c.ref(cond)
	if err != nil {
		return op.Errorf("%w", err)
	}
	for _, v := range op.Results {
		if v == nil {
			continue
		}
		c.bindFresh(v)
		if _, err := c.define(v); err != nil {
			return op.Errorf("%w", err)
		}
	}
	toElse := c.jump(plan.Step{Kind: plan.StepJumpIf, Name: "If " + op.Origin.Node, In: []plan.TensorRef{test}})
	if err := c.branch(op, op.Regions[0]); err != nil {
		return err
	}
	toEnd := c.jump(plan.Step{Kind: plan.StepJump, Name: "end of then"})
	c.p.Steps[toElse].A = int32(len(c.p.Steps))
	if err := c.branch(op, op.Regions[1]); err != nil {
		return err
	}
	c.p.Steps[toEnd].A = int32(len(c.p.Steps))
	return nil
}

// branch lowers a region of an If and moves its results to those of op.
func (c *Ctx) branch(op *ir.Op, r *ir.Region) error {
	defer c.forget(len(c.lazy))
	if err := c.region(r); err != nil {
		return err
	}
	for i, v := range r.Results {
		out := op.Results[i]
		if out == nil {
			continue
		}
		if err := c.assign(op, v, out); err != nil {
			return err
		}
	}
	return nil
}

// assign copies v to out, whose dimensions take those of v where they are bound at run time.
func (c *Ctx) assign(op *ir.Op, v, out *ir.Value) error {
	if boxed(v.Type) || boxed(out.Type) {
		return c.hostCall(op, "Identity", tensor.Attrs{}, []*ir.Value{v}, []*ir.Value{out}, [][]plan.Slot{c.differing(v, out)})
	}
	if v.Type.Rank() != out.Type.Rank() {
		return op.Errorf("value %q has rank %d, want %d", v.Name, v.Type.Rank(), out.Type.Rank())
	}
	c.sizeLike(v, out)
	st, err := c.define(out)
	if err != nil {
		return op.Errorf("%w", err)
	}
	if c.p.Bufs[st.buf].Kind == plan.BufHeap {
		c.addStep(plan.Step{Kind: plan.StepAlloc, Name: "memory of " + out.Name, A: st.buf, B: -1})
	}
	return c.copy(op, v, out)
}

// differing gives for each dimension of out the slot that a step must set when it makes out from v: those
// that are bound at run time and not the same expression in v. -1 for the others.
func (c *Ctx) differing(v, out *ir.Value) []plan.Slot {
	if out.Type.Kind != ir.KindTensor || !out.Type.Ranked {
		return nil
	}
	slots := make([]plan.Slot, len(out.Type.Shape))
	for i, d := range out.Type.Shape {
		slots[i] = -1
		if s := c.slot(d); c.p.Slots[s].Op == plan.SlotBound && (!v.Type.Ranked || !d.Equal(v.Type.Shape[i])) {
			slots[i] = s // of others, inference has proved that they are equal
		}
	}
	return slots
}

// sizeLike emits the steps that give those dimensions of out which are bound at run time the sizes of v.
func (c *Ctx) sizeLike(v, out *ir.Value) {
	first := int32(-1)
	for i, s := range c.differing(v, out) {
		if s < 0 {
			continue
		}
		c.addStep(plan.Step{Kind: plan.StepSetSlot, Name: "size of " + out.Name, A: s, B: c.slot(v.Type.Shape[i])})
		if first < 0 || s < first {
			first = s
		}
	}
	if first >= 0 {
		c.evalFrom(first)
	}
}

// lowerRequire compiles Require to a branch around a failure; the value itself is shared.
func lowerRequire(c *Ctx, op *ir.Op) error {
	cond, err := c.ref(op.Operands[1])
	if err != nil {
		return op.Errorf("%w", err)
	}
	st, err := c.at(op.Operands[0])
	if err != nil {
		return op.Errorf("%w", err)
	}
	test := c.jump(plan.Step{Kind: plan.StepJumpIf, Name: "Require " + op.Origin.Node, In: []plan.TensorRef{cond}})
	skip := c.jump(plan.Step{Kind: plan.StepJump, Name: "Require " + op.Origin.Node})
	c.p.Steps[test].A = int32(len(c.p.Steps))
	c.addStep(plan.Step{Kind: plan.StepFail, A: -1, B: -1,
		Name: fmt.Sprintf("%v: compiled for the case that its condition holds, which it does not for these input shapes", op.Origin)})
	c.p.Steps[skip].A = int32(len(c.p.Steps))
	if out, ok := c.storage[op.Results[0]]; ok && out != st {
		return c.copy(op, op.Operands[0], op.Results[0])
	}
	c.storage[op.Results[0]] = st
	return nil
}
