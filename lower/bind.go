package lower

import (
	"fmt"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/plan"
)

// bindsSizes lists the ops whose rules learn sizes of their results at run time and bind them
// themselves (bindDims). Such a rule declines, if it must, before it binds anything.
var bindsSizes = map[string]bool{
	"ReduceL1": true, "ReduceL2": true, "ReduceLogSum": true, "ReduceLogSumExp": true, "ReduceMax": true, "ReduceMean": true,
	"ReduceMin": true, "ReduceProd": true, "ReduceSum": true, "ReduceSumSquare": true,
	"TopK": true, "Slice": true, "Pad": true, "Tile": true, "Expand": true, "ConstantOfShape": true, "Split": true, "CenterCropPad": true,
	"Range": true, "OneHot": true, "NonZero": true, "Compress": true, "NonMaxSuppression": true,
	"Reshape": true, "Squeeze": true, "Unsqueeze": true,
	"Col2Im": true, "MaxUnpool": true,
	"Resize": true, "AffineGrid": true,
	"DFT": true, "STFT": true, "BlackmanWindow": true, "HammingWindow": true, "HannWindow": true, "MelWeightMatrix": true,
}

// unboundIn gives the symbol of d that no step has bound yet, "" if there is none.
func (c *Ctx) unboundIn(d ir.Dim) string {
	for _, s := range d.Symbols(nil) {
		if _, ok := c.slots[s]; !ok {
			return s
		}
	}
	return ""
}

// bindDims emits the steps that bind the one unknown symbol of each of dims, where there is one, to the
// element of the same position of the integer tensor v, which earlier steps have computed. It fails at
// run time where an element is less than least. what names the sizes in that error.
func (c *Ctx) bindDims(op *ir.Op, v *ir.Value, dims []ir.Dim, least int64, what string) error {
	name := fmt.Sprintf("%s %q: %s", op.Info.Name, op.Origin.Node, what)
	first := int32(-1)
	for i, d := range dims {
		sym := c.unboundIn(d)
		if sym == "" {
			continue
		}
		ref, err := c.ref(v)
		if err != nil {
			return op.Errorf("%w", err)
		}
		s := c.symSlot(sym)
		if first < 0 {
			first = s
		}
		c.addStep(plan.Step{Kind: plan.StepBind, Name: name, A: s, B: int32(i), In: []plan.TensorRef{ref}})
		low := c.addSlot(plan.SlotDef{Op: plan.SlotMax, A: s, B: c.constSlot(least)})
		c.evalFrom(low)
		c.addStep(plan.Step{Kind: plan.StepCheck, Name: name, A: s, B: low})
	}
	if first >= 0 {
		c.evalFrom(first)
	}
	return nil
}

// checkFaults emits the steps that fail with the given words unless the integer scalar bad, in which a
// kernel has counted faults, is 0.
func (c *Ctx) checkFaults(op *ir.Op, bad *ir.Value, what string) error {
	ref, err := c.ref(bad)
	if err != nil {
		return op.Errorf("%w", err)
	}
	slot := c.addSlot(plan.SlotDef{Op: plan.SlotBound})
	name := fmt.Sprintf("%s %q: %s", op.Info.Name, op.Origin.Node, what)
	c.addStep(plan.Step{Kind: plan.StepBind, Name: name, A: slot, B: 0, In: []plan.TensorRef{ref}})
	c.addStep(plan.Step{Kind: plan.StepCheck, Name: name, A: slot, B: c.constSlot(0)})
	return nil
}
