package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/plan"
)

// addSlot gives the slot that d defines: a new one if it is bound, else the one that there is.
func (c *Ctx) addSlot(d plan.SlotDef) int32 {
	if s, ok := c.defs[d]; ok && d.Op != plan.SlotBound {
		return s
	}
	c.p.Slots = append(c.p.Slots, d)
	s := int32(len(c.p.Slots) - 1)
	c.defs[d] = s
	switch d.Op {
	case plan.SlotBound:
		c.bound[s] = true
	case plan.SlotConst, plan.SlotInput:
	default:
		if c.bound[d.A] || c.bound[d.B] {
			c.bound[s] = true
		}
	}
	return s
}

// slot gives the slot that holds d, adding the integer program that computes it.
func (c *Ctx) slot(d ir.Dim) int32 {
	key := d.String()
	if s, ok := c.slots[key]; ok {
		return s
	}
	bin := func(op plan.SlotOp) func(a, b int32) int32 {
		return func(a, b int32) int32 { return c.addSlot(plan.SlotDef{Op: op, A: a, B: b}) }
	}
	s := ir.Fold(d,
		func(n int64) int32 { return c.constSlot(n) },
		func(name string) int32 { return c.symSlot(name) },
		bin(plan.SlotAdd), bin(plan.SlotMul),
		func(o ir.DimOp, a, b int32) int32 {
			return bin(map[ir.DimOp]plan.SlotOp{ir.DimDiv: plan.SlotDiv, ir.DimMod: plan.SlotMod, ir.DimMax: plan.SlotMax, ir.DimMin: plan.SlotMin}[o])(a, b)
		})
	c.slots[key] = s
	return s
}

func (c *Ctx) constSlot(n int64) int32 {
	key := ir.Const(n).String()
	if s, ok := c.slots[key]; ok {
		return s
	}
	s := c.addSlot(plan.SlotDef{Op: plan.SlotConst, Imm: n})
	c.slots[key] = s
	return s
}

// symSlot gives the slot of a symbol; one that no input binds is bound by the step that learns it.
func (c *Ctx) symSlot(name string) int32 {
	if s, ok := c.slots[name]; ok {
		return s
	}
	s := c.addSlot(plan.SlotDef{Op: plan.SlotBound})
	c.slots[name] = s
	return s
}

// evalFrom recomputes the slots that depend on slot s, after a step that bound it.
func (c *Ctx) evalFrom(s int32) {
	c.addStep(plan.Step{Kind: plan.StepEval, Name: "sizes", A: s, B: -1})
}
