package opt

import (
	"math/bits"

	"github.com/nnc-go/nnc/ir/loop"
)

// divide makes shifts and masks of divisions of what is not negative by powers of two, and lets a remainder use
// the quotient where both are wanted: a division is the slowest instruction there is.
func divide(f *loop.Func, _ *Target) {
	d := &divider{b: loop.Rewrite(f, level), quotients: map[[2]*loop.Value]*loop.Value{}, both: map[[2]*loop.Value]bool{}}
	d.natural.set(f.Lo, true)
	d.natural.set(f.Hi, true)
	walk(f.Body, func(in *loop.Instr) {
		if in.Op == loop.OpDiv && in.Results[0].Type == loop.Index {
			d.both[[2]*loop.Value(in.Args)] = true
		}
	})
	d.block(f.Body)
}

type divider struct {
	b         *loop.Builder
	natural   table[bool] // not negative
	defs      table[*loop.Instr]
	repl      table[*loop.Value]
	quotients map[[2]*loop.Value]*loop.Value // visible here
	both      map[[2]*loop.Value]bool        // divided somewhere
}

func (d *divider) block(b *loop.Block) {
	old := b.Instrs
	b.Instrs = make([]*loop.Instr, 0, len(old))
	var own [][2]*loop.Value
	d.b.In(b, func() {
		for _, in := range old {
			var key [2]*loop.Value // the operands as they stood, for both
			copy(key[:], in.Args)
			d.replace(in.Args)
			if len(in.Results) != 1 || in.Results[0].Type != loop.Index {
				d.regions(in)
				d.b.Append(in)
				continue
			}
			r := in.Results[0]
			if in.Op == loop.OpDiv || in.Op == loop.OpRem {
				if d.quotients[key] == nil {
					own = append(own, key)
				}
				if v := d.quotient(in, key); v != nil {
					d.repl.set(r, v)
					d.natural.set(v, d.naturals(in.Args))
					continue
				}
			}
			d.regions(in)
			d.defs.set(r, in)
			d.natural.set(r, d.isNatural(in))
			d.b.Append(in)
		}
	})
	d.replace(b.Yield)
	for _, k := range own {
		delete(d.quotients, k)
	}
}

func (d *divider) replace(vs []*loop.Value) {
	for i, v := range vs {
		if w := d.repl.get(v); w != nil {
			vs[i] = w
		}
	}
}

func (d *divider) regions(in *loop.Instr) {
	if in.Op == loop.OpFor {
		d.natural.set(in.Blocks[0].Params[0], d.natural.get(in.Args[0]))
	}
	for _, s := range in.Blocks {
		d.block(s)
	}
}

// quotient gives the result of a division or remainder in another way, if there is a better one.
func (d *divider) quotient(in *loop.Instr, key [2]*loop.Value) *loop.Value {
	x, y := in.Args[0], in.Args[1]
	if c, ok := constant(&d.defs, y); ok && c > 0 && c&(c-1) == 0 && d.natural.get(x) {
		if in.Op == loop.OpRem {
			return d.b.And(x, d.b.Int(c-1))
		}
		return d.b.Shr(x, d.b.Int(int64(bits.TrailingZeros64(uint64(c)))))
	}
	q := d.quotients[key]
	if in.Op == loop.OpDiv {
		if q == nil {
			d.quotients[key] = in.Results[0]
		}
		return q
	}
	if !d.both[key] {
		return nil
	}
	if q == nil {
		q = d.b.Div(x, y)
		d.quotients[key] = q
		d.natural.set(q, d.naturals(in.Args))
	}
	return d.b.Sub(x, d.b.Mul(q, y))
}

func (d *divider) naturals(vs []*loop.Value) bool {
	for _, v := range vs {
		if !d.natural.get(v) {
			return false
		}
	}
	return true
}

// isNatural: what is made of numbers that are not negative by operations other than subtraction. Indices do not overflow.
func (d *divider) isNatural(in *loop.Instr) bool {
	switch in.Op {
	case loop.OpConst:
		return int64(in.Imm) >= 0
	case loop.OpAdd, loop.OpMul, loop.OpDiv, loop.OpMin, loop.OpShr, loop.OpShl:
		return d.naturals(in.Args)
	case loop.OpRem:
		return d.natural.get(in.Args[0])
	case loop.OpAnd, loop.OpMax:
		return d.natural.get(in.Args[0]) || d.natural.get(in.Args[1])
	case loop.OpSelect:
		return d.naturals(in.Args[1:])
	}
	return false
}
