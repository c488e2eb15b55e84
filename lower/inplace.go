package lower

import (
	"math"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/plan"
)

// In-place results: a kernel that reads an operand only at the place that it then writes can put its
// result where the operand was, if nobody reads the operand afterwards. This is decided for the ops of
// the graph itself; inside branches and loops, "afterwards" may be an earlier step.

// lifetimes notes for each value that owns memory the last op of the graph that reads it.
func (c *Ctx) lifetimes() {
	c.last = map[*ir.Value]int{}
	for i, op := range c.M.Graph.Ops {
		use := func(v *ir.Value) {
			if v != nil {
				c.last[owner(v)] = i
			}
		}
		for _, v := range op.Operands {
			use(v)
		}
		for _, r := range op.Regions {
			for _, v := range r.Results {
				use(v)
			}
			r.Walk(func(o *ir.Op) {
				for _, v := range o.Operands {
					use(v)
				}
				for _, s := range o.Regions {
					for _, v := range s.Results {
						use(v)
					}
				}
			})
		}
	}
	for _, v := range c.M.Graph.Results {
		c.last[owner(v)] = math.MaxInt
	}
}

// owner follows views to the value whose memory they share.
func owner(v *ir.Value) *ir.Value {
	for v.Def != nil && (isView(v.Def) || v.Def.Info.Name == "Require") {
		v = v.Def.Operands[0]
	}
	return v
}

// inPlace gives out the memory of one of s.InPlace if that is over with this step and the step reads it
// through no other operand.
func (c *Ctx) inPlace(s *Step, out *ir.Value) {
	if _, ok := c.storage[out]; ok || c.depth != 1 {
		return
	}
	for _, v := range s.InPlace {
		v = c.resolve(v)
		o := owner(v)
		if !v.Type.Equal(out.Type) || c.last[o] != c.now {
			continue
		}
		st, ok := c.storage[v]
		if _, shared := c.places[st.buf]; !ok || shared || st.buf < 0 || c.p.Bufs[st.buf].Kind != plan.BufArena || c.readTwice(s, st.buf) {
			continue
		}
		c.storage[out] = st
		return
	}
}

func (c *Ctx) readTwice(s *Step, buf int32) bool {
	n := 0
	for _, v := range s.Ins {
		if st, ok := c.storage[c.resolve(v)]; ok && st.buf == buf {
			n++
		}
	}
	return n != 1
}
