package lower

import (
	"fmt"
	"strings"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/plan"
)

// checkEqual emits a step that fails unless two dimensions are equal, where that is not known; lowering fails
// where they are not. what names them: "the inner dimensions".
func (c *Ctx) checkEqual(op *ir.Op, x, y ir.Dim, what string) {
	diff := x.Sub(y)
	if diff.Is(0) {
		return
	}
	if diff.IsConst() && c.unequal == nil {
		c.unequal = op.Errorf("%s, %v and %v, differ", what, x, y)
	}
	c.addStep(plan.Step{
		Kind: plan.StepCheck, A: c.slot(x), B: c.slot(y),
		Name: fmt.Sprintf("%s %q of %s: %s, %v and %v, differ", op.Info.Name, op.Origin.Node, operandNames(op), what, x, y),
	})
}

// operandNames lists the operands with their types, as errors of a run name them.
func operandNames(op *ir.Op) string {
	var s []string
	for _, v := range op.Operands {
		if v != nil {
			s = append(s, fmt.Sprintf("%q %v", v.Name, v.Type))
		}
	}
	return strings.Join(s, ", ")
}

// relations emits checks of the equalities that op's shape rule took for granted, and for a group those of its
// members. Kernels rely on them: without, a violated one would read beyond a buffer.
func (c *Ctx) relations(op *ir.Op) {
	for _, r := range op.Relations() {
		if c.bindable(r.X) && c.bindable(r.Y) {
			c.checkEqual(op, r.X, r.Y, r.What)
		}
	}
	if op.Info.Name == "Fused" {
		for _, o := range op.Regions[0].Ops {
			c.relations(o)
		}
	}
}

// bindable reports whether the symbols of d have values before the op that is being lowered.
func (c *Ctx) bindable(d ir.Dim) bool {
	for _, s := range d.Symbols(nil) {
		if _, ok := c.slots[s]; !ok {
			return false
		}
	}
	return true
}
