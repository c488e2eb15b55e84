package purego

import (
	"slices"
	"strings"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// block writes the instructions of b. At the end of a straight line stands all of it that what follows needs.
func (r *renderer) block(b *loop.Block) {
	for i := 0; i < len(b.Instrs); i++ {
		from := i
		for i < len(b.Instrs) && straight(b.Instrs[i]) {
			i++
		}
		r.line(b.Instrs[from:i])
		if i == len(b.Instrs) {
			return
		}
		switch in := b.Instrs[i]; {
		case r.uses.idle(in):
		case in.Op == loop.OpFor:
			r.forLoop(in)
		case in.Op == loop.OpIf:
			r.cond(in)
		default:
			r.store(in)
		}
	}
}

func (r *renderer) line(ins []*loop.Instr) {
	for _, in := range ins {
		v := in.Results[0]
		for l := range v.Type.Lanes {
			if r.uses.far[lane{v, l}] {
				r.arg(lane{v, l})
			}
		}
	}
}

// carried calls f for the lanes that a loop carries or a conditional gives.
func (r *renderer) carried(in *loop.Instr, f func(k, l int)) {
	for k, v := range in.Results {
		for l := range v.Type.Lanes {
			need := r.uses.of(lane{v, l})
			if in.Op == loop.OpFor {
				need = need || r.uses.of(lane{in.Blocks[0].Params[k+1], l})
			}
			if need {
				f(k, l)
			}
		}
	}
}

func (r *renderer) forLoop(in *loop.Instr) {
	b := in.Blocks[0]
	r.carried(in, func(k, l int) {
		name := r.name(lane{in.Results[k], l})
		r.put("%s := %s", name, typed(in.Results[k].Type.Elem, r.arg(lane{in.Args[2+k], l})))
		r.env[lane{in.Results[k], l}], r.env[lane{b.Params[k+1], l}] = name, name
	})
	i := r.name(lane{b.Params[0], 0})
	r.env[lane{b.Params[0], 0}] = i
	step := i + "++"
	if in.Imm != 1 {
		step = i + " += " + literal(tensor.I64, in.Imm)
	}
	r.put("for %s := %s; %s < %s; %s {", i, typed(tensor.I64, r.arg(lane{in.Args[0], 0})), i, r.arg(lane{in.Args[1], 0}), step)
	r.block(b)
	r.yield(in, b)
	r.put("}")
}

func (r *renderer) cond(in *loop.Instr) {
	r.carried(in, func(k, l int) {
		name := r.name(lane{in.Results[k], l})
		r.put("var %s %s", name, goType(in.Results[k].Type.Elem))
		r.env[lane{in.Results[k], l}] = name
	})
	r.put("if %s {", r.arg(lane{in.Args[0], 0}))
	r.block(in.Blocks[0])
	r.yield(in, in.Blocks[0])
	if els := in.Blocks[1]; len(els.Instrs)+len(els.Yield) > 0 {
		r.put("} else {")
		r.block(els)
		r.yield(in, els)
	}
	r.put("}")
}

// yield gives the variables of in their values at the end of b, all at once where one of them is another's.
func (r *renderer) yield(in *loop.Instr, b *loop.Block) {
	var to, from []string
	atOnce := false
	r.carried(in, func(k, l int) {
		v, y := r.env[lane{in.Results[k], l}], r.arg(lane{b.Yield[k], l})
		if v != y {
			atOnce = atOnce || slices.Contains(to, y)
			to, from = append(to, v), append(from, y)
		}
	})
	if atOnce {
		r.put("%s = %s", strings.Join(to, ", "), strings.Join(from, ", "))
		return
	}
	for i := range to {
		r.put("%s = %s", to[i], from[i])
	}
}
