package opt

import "github.com/nnc-go/nnc/ir/loop"

// reload drops loads of what a load before it in the block has read and no store since may have changed, where the
// value can stay in a register until then: a machine that is out of registers would store it and load it again,
// which is worse than what there was. Buffers do not overlap.
func reload(f *loop.Func, t *Target) {
	r := &reloader{regs: t.registers(), defs: definitions(f)}
	r.block(f.Body)
}

type reloader struct {
	regs int
	defs *table[*loop.Instr]
	repl table[*loop.Value]
}

// cell is what a load reads.
type cell struct {
	op        loop.Op
	buf       *loop.Buf
	idx, mask *loop.Value
	t         loop.Type
}

// read is a load that stands.
type read struct {
	v  *loop.Value
	at int
}

func (r *reloader) block(b *loop.Block) {
	for _, in := range b.Instrs {
		for _, s := range in.Blocks {
			r.block(s)
		}
	}
	known := map[cell]read{}
	spread := spreads(b)
	var live []int
	dropped := false
	for i, in := range b.Instrs {
		r.replace(in.Args)
		for _, s := range in.Blocks {
			r.replaceInside(s)
		}
		switch {
		case in.Op.Reads() && spread[in.Results[0]]:
		case in.Op.Reads():
			k := cell{op: in.Op, buf: in.Buf, idx: in.Args[0], t: in.Results[0].Type}
			if len(in.Args) > 1 {
				k.mask = in.Args[1]
			}
			first, ok := known[k]
			if ok && live == nil && !isInteger(first.v) {
				live = pressure(b, r.defs)
			}
			if ok && r.fits(first, live, i) {
				r.repl.set(in.Results[0], first.v)
				b.Instrs[i] = nil
				dropped = true
			} else {
				known[k] = read{in.Results[0], i}
			}
		case in.Op == loop.OpFor:
			clear(known)
		default:
			forget(known, in)
		}
	}
	r.replace(b.Yield)
	if dropped {
		b.Instrs = compact(b.Instrs)
	}
}

// spreads finds the floats of b that are broadcast: load and broadcast are one instruction, or none where arithmetic has
// an operand that memory holds once for all lanes.
func spreads(b *loop.Block) map[*loop.Value]bool {
	m := map[*loop.Value]bool{}
	for _, in := range b.Instrs {
		if in.Op == loop.OpBroadcast && !isInteger(in.Args[0]) {
			m[in.Args[0]] = true
		}
	}
	return m
}

func compact(ins []*loop.Instr) []*loop.Instr {
	kept := ins[:0]
	for _, in := range ins {
		if in != nil {
			kept = append(kept, in)
		}
	}
	return kept
}

func (r *reloader) replace(vs []*loop.Value) {
	for i, v := range vs {
		if w := r.repl.get(v); w != nil {
			vs[i] = w
		}
	}
}

func (r *reloader) replaceInside(b *loop.Block) {
	walk(b, func(in *loop.Instr) {
		r.replace(in.Args)
		for _, s := range in.Blocks {
			r.replace(s.Yield)
		}
	})
	r.replace(b.Yield)
}

// forget drops what in, or an instruction inside it, may change.
func forget(known map[cell]read, in *loop.Instr) {
	if in.Op.Writes() {
		for k := range known {
			if k.buf == in.Buf {
				delete(known, k)
			}
		}
	}
	for _, s := range in.Blocks {
		walk(s, func(i *loop.Instr) { forget(known, i) })
	}
}

// fits reports whether the value of a load can stay in a register until instruction i, and if so counts it.
func (r *reloader) fits(first read, live []int, i int) bool {
	if isInteger(first.v) {
		return true
	}
	for _, n := range live[first.at:i] {
		if n >= r.regs-spare {
			return false
		}
	}
	for at := first.at; at < i; at++ {
		live[at]++
	}
	return true
}
