package mach

import (
	"math/bits"
	"slices"
)

// Positions: instruction i reads at 2i and writes at 2i+1. A segment is half open.
type segment struct{ from, to int32 }

// interval is where a register holds a value that is needed, as sorted segments.
type interval struct {
	segs   []segment
	weight float64 // what spilling it costs: its uses and definitions by loop depth
}

func (v *interval) length() (n int) {
	for _, s := range v.segs {
		n += int(s.to - s.from)
	}
	return n
}

// overlaps reports whether two sorted lists of segments have a position in common.
func overlaps(a, b []segment) bool {
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].to <= b[0].from:
			a = a[1:]
		case b[0].to <= a[0].from:
			b = b[1:]
		default:
			return true
		}
	}
	return false
}

// merge is the union of two sorted lists, adjacent segments joined.
func merge(a, b []segment) []segment {
	out := make([]segment, 0, len(a)+len(b))
	for len(a) > 0 || len(b) > 0 {
		var s segment
		if len(b) == 0 || len(a) > 0 && a[0].from <= b[0].from {
			s, a = a[0], a[1:]
		} else {
			s, b = b[0], b[1:]
		}
		if n := len(out); n > 0 && out[n-1].to >= s.from {
			out[n-1].to = max(out[n-1].to, s.to)
			continue
		}
		out = append(out, s)
	}
	return out
}

// bitset is a set of registers.
type bitset []uint64

func (b bitset) set(r Reg)      { b[r>>6] |= 1 << (r & 63) }
func (b bitset) clear(r Reg)    { b[r>>6] &^= 1 << (r & 63) }
func (b bitset) has(r Reg) bool { return b[r>>6]>>(r&63)&1 == 1 }

// or adds c to b and reports whether that changed b.
func (b bitset) or(c bitset) (changed bool) {
	for i, w := range c {
		if w&^b[i] != 0 {
			b[i] |= w
			changed = true
		}
	}
	return changed
}

func (b bitset) each(visit func(r Reg)) {
	for i, w := range b {
		for ; w != 0; w &= w - 1 {
			visit(Reg(i<<6 + bits.TrailingZeros64(w)))
		}
	}
}

// block is a basic block: instructions [from, to) and its successors.
type block struct {
	from, to           int
	succ               []int
	gen, kill, in, out bitset
}

// blocks cuts f at labels and jumps.
func (f *Func) blocks() []*block {
	var bs []*block
	at := map[int64]int{} // block by label
	start := func(i int) {
		if n := len(bs); n > 0 {
			bs[n-1].to = i
			if bs[n-1].from == i {
				return
			}
		}
		bs = append(bs, &block{from: i})
	}
	start(0)
	for i, in := range f.Insts {
		switch in.Flow {
		case Mark:
			start(i)
			at[in.Args[0].Imm] = len(bs) - 1
		case Jump, Branch:
			start(i + 1)
		}
	}
	bs[len(bs)-1].to = len(f.Insts)
	for i, b := range bs {
		fall := true
		if b.to > b.from {
			if last := f.Insts[b.to-1]; last.Flow == Jump || last.Flow == Branch {
				b.succ = append(b.succ, at[last.Args[len(last.Args)-1].Imm])
				fall = last.Flow == Branch
			}
		}
		if fall && i+1 < len(bs) {
			b.succ = append(b.succ, i+1)
		}
	}
	return bs
}

// liveness computes the registers that are live where each block ends.
func (f *Func) liveness() []*block {
	bs := f.blocks()
	words := (len(f.regs) + 63) / 64
	for _, b := range bs {
		all := make(bitset, 4*words)
		b.gen, b.kill, b.in, b.out = all[:words], all[words:2*words], all[2*words:3*words], all[3*words:]
		for i := b.to - 1; i >= b.from; i-- {
			in := f.Insts[i]
			in.eachReg(func(r *Reg, m Mode) {
				if m == Def || m == Early {
					b.kill.set(*r)
					b.gen.clear(*r)
				}
			})
			in.eachReg(func(r *Reg, m Mode) {
				if m == Use || m == UseDef {
					b.gen.set(*r)
				}
			})
		}
	}
	for changed := true; changed; {
		changed = false
		for i := len(bs) - 1; i >= 0; i-- {
			b := bs[i]
			for _, s := range b.succ {
				b.out.or(bs[s].in)
			}
			for w := range b.in {
				n := b.gen[w] | b.out[w]&^b.kill[w]
				changed = changed || n != b.in[w]
				b.in[w] = n
			}
		}
	}
	return bs
}

// depthWeight is how often an instruction at a depth is taken to run.
var depthWeight = [...]float64{1, 8, 64, 512, 4096, 32768, 262144}

func weightAt(depth uint8) float64 { return depthWeight[min(int(depth), len(depthWeight)-1)] }

// intervals computes where each register is live.
func (f *Func) intervals() []interval {
	ivs := make([]interval, len(f.regs))
	end := make([]int32, len(f.regs)) // of the segment that is open, going backwards; 0 is none
	open := func(r Reg, to int32) {
		if end[r] == 0 {
			end[r] = to
		}
	}
	shut := func(r Reg, from int32) {
		if end[r] == 0 {
			end[r] = from + 1 // written, never read
		}
		ivs[r].segs = append(ivs[r].segs, segment{from, end[r]})
		end[r] = 0
	}
	bs := f.liveness()
	for k := len(bs) - 1; k >= 0; k-- {
		b := bs[k]
		b.out.each(func(r Reg) { open(r, int32(2*b.to)) })
		for i := b.to - 1; i >= b.from; i-- {
			in, w := f.Insts[i], weightAt(f.Insts[i].Depth)
			at := int32(2 * i)
			in.eachReg(func(r *Reg, m Mode) {
				ivs[*r].weight += w
				switch m {
				case Def:
					shut(*r, at+1)
				case Early:
					shut(*r, at)
				}
			})
			in.eachReg(func(r *Reg, m Mode) {
				switch m {
				case Use:
					open(*r, at+1)
				case UseDef:
					ivs[*r].weight += w
					open(*r, at+2)
				}
			})
		}
		b.in.each(func(r Reg) {
			if end[r] != 0 {
				ivs[r].segs = append(ivs[r].segs, segment{int32(2 * b.from), end[r]})
				end[r] = 0
			}
		})
	}
	for i := range ivs {
		slices.Reverse(ivs[i].segs)
		ivs[i].segs = merge(ivs[i].segs, nil)
	}
	return ivs
}
