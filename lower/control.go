package lower

import (
	"fmt"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/plan"
)

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
	if boxed(out.Type) {
		return c.copy(op, v, out)
	}
	if v.Type.Rank() != out.Type.Rank() {
		return op.Errorf("value %q has rank %d, want %d", v.Name, v.Type.Rank(), out.Type.Rank())
	}
	first := int32(-1)
	for i, d := range out.Type.Shape {
		if d.Equal(v.Type.Shape[i]) {
			continue
		}
		s := c.slot(d)
		if c.p.Slots[s].Op != plan.SlotBound {
			continue // inference proved them equal
		}
		c.addStep(plan.Step{Kind: plan.StepSetSlot, Name: "size of " + out.Name, A: s, B: c.slot(v.Type.Shape[i])})
		if first < 0 || s < first {
			first = s
		}
	}
	if first >= 0 {
		c.evalFrom(first)
	}
	if st := c.storage[out]; st.buf >= 0 && c.p.Bufs[st.buf].Kind == plan.BufHeap {
		c.addStep(plan.Step{Kind: plan.StepAlloc, Name: "memory of " + out.Name, A: st.buf, B: -1})
	}
	return c.copy(op, v, out)
}

// lowerScan compiles Scan over axis 0 to a loop of steps: each iteration copies its slices in, runs
// the body, and copies states and slices out.
func lowerScan(c *Ctx, op *ir.Op) error {
	body := op.Regions[0]
	nin := int(op.Attrs.Int("num_scan_inputs", 0))
	nstate := len(op.Operands) - nin
	for _, name := range []string{"scan_input_axes", "scan_output_axes"} { // passes rewrite these
		for _, x := range op.Attrs.Ints(name, nil) {
			if x != 0 {
				return op.Errorf("attribute %s other than 0 is not supported", name)
			}
		}
	}
	length := op.Operands[nstate].Type.Shape[0]
	for i := range nstate {
		if err := c.state(op, op.Operands[i], body.Params[i], body.Results[i]); err != nil {
			return err
		}
	}
	for i := nstate; i < len(op.Operands); i++ {
		c.storage[body.Params[i]] = storage{c.newBuf(bytesOf(body.Params[i]), body.Params[i].Name), -1}
	}
	for _, v := range op.Results {
		if v != nil {
			if _, err := c.define(v); err != nil {
				return op.Errorf("%w", err)
			}
		}
	}
	iter, next := c.counter()
	head := len(c.p.Steps)
	exit := c.jump(plan.Step{Kind: plan.StepJumpLt, Name: "Scan " + op.Origin.Node, A: c.slot(iter), B: c.slot(length)})
	dirs := op.Attrs.Ints("scan_input_directions", nil)
	for i := range nin {
		at := iter
		if i < len(dirs) && dirs[i] != 0 {
			at = length.AddInt(-1).Sub(iter)
		}
		p := body.Params[nstate+i]
		n := ir.Product(p.Type.Shape)
		if err := c.copyAt(op, op.Operands[nstate+i], p, at.Mul(n), ir.Dim{}, n); err != nil {
			return err
		}
	}
	if err := c.region(body); err != nil {
		return err
	}
	outDirs := op.Attrs.Ints("scan_output_directions", nil)
	for i := nstate; i < len(body.Results); i++ {
		if out := op.Results[i]; out != nil {
			at := iter
			if i-nstate < len(outDirs) && outDirs[i-nstate] != 0 {
				at = length.AddInt(-1).Sub(iter)
			}
			n := ir.Product(body.Results[i].Type.Shape)
			if err := c.copyAt(op, body.Results[i], out, ir.Dim{}, at.Mul(n), n); err != nil {
				return err
			}
		}
	}
	if err := c.carry(op, body.Results[:nstate], body.Params[:nstate]); err != nil {
		return err
	}
	c.addStep(plan.Step{Kind: plan.StepSetSlot, Name: "iteration", A: c.slot(iter), B: next})
	c.evalFrom(c.slot(iter))
	c.jump(plan.Step{Kind: plan.StepJump, Name: "next iteration", A: int32(head)})
	c.p.Steps[exit].Grain = int64(len(c.p.Steps))
	for i := range nstate {
		if out := op.Results[i]; out != nil {
			if err := c.copy(op, body.Params[i], out); err != nil {
				return err
			}
		}
	}
	return nil
}

// counter makes an iteration counter that starts at 0: its symbol and the slot that holds it plus one.
func (c *Ctx) counter() (iter ir.Dim, next int32) {
	iter = c.M.NewSym()
	s := c.symSlot(iter.SymName())
	next = c.slot(iter.AddInt(1))
	c.addStep(plan.Step{Kind: plan.StepSetSlot, Name: "iteration", A: s, B: c.constSlot(0)})
	c.evalFrom(s)
	return iter, next
}

// state gives a loop-carried parameter memory and its first value.
func (c *Ctx) state(op *ir.Op, init, param, result *ir.Value) error {
	for i, d := range param.Type.Shape {
		if !d.Equal(init.Type.Shape[i]) || !d.Equal(result.Type.Shape[i]) {
			return op.Errorf("state %q changes shape from %v to %v between iterations, which is not supported", param.Name, init.Type, result.Type)
		}
	}
	c.storage[param] = storage{c.newBuf(bytesOf(param), param.Name), -1}
	return c.copy(op, init, param)
}

// carry moves the body's results to its parameters for the next iteration. A result that is itself a
// parameter is saved first, since the moves are simultaneous.
func (c *Ctx) carry(op *ir.Op, results, params []*ir.Value) error {
	src := append([]*ir.Value{}, results...)
	for i, v := range src {
		if viewRoot(v).Def == nil && v != params[i] {
			src[i] = c.Scratch(v.Type)
			if err := c.copy(op, v, src[i]); err != nil {
				return err
			}
		}
	}
	for i, v := range src {
		if v == params[i] {
			continue
		}
		if err := c.copy(op, v, params[i]); err != nil {
			return err
		}
	}
	return nil
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
