package amd64

import (
	"encoding/binary"
	"slices"

	"github.com/nnc-go/nnc/backend/goasm/mach"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// extractRule takes one lane out of a vector.
func extractRule(s *sel, in *loop.Instr) {
	v := in.Args[0]
	t, i := v.Type, int(in.Imm)
	if t.Lanes == 1 {
		s.Regs[in.Results[0]] = s.Reg(v)
		return
	}
	if t.Elem == tensor.Bool {
		s.extractBool(in, i)
		return
	}
	size := t.Elem.Size()
	x := s.quarter(s.Reg(v), t.Lanes*size, i*size/16)
	at := i * size % 16 / size
	switch {
	case isFloat(t) && at == 0:
		s.Regs[in.Results[0]] = x
	case t.Elem == tensor.F32:
		s.F.Emit("VPERMILPS", mach.Imm(int64(at)), mach.R(x, vX), mach.W(s.result(in), vX))
	case t.Elem == tensor.F64:
		s.F.Emit("VPERMILPD", mach.Imm(1), mach.R(x, vX), mach.W(s.result(in), vX))
	default:
		s.F.Emit("VPEXTR"+letter(size), mach.Imm(int64(at)), mach.R(x, vX), mach.W(s.result(in), 0))
	}
}

// quarter is the 16 bytes of x, of size bytes, with the given number.
func (s *sel) quarter(x mach.Reg, size, n int) mach.Reg {
	if n == 0 {
		return x
	}
	op := "VEXTRACTI128"
	if s.wide {
		op = "VEXTRACTI32X4"
	}
	r := s.F.New(mach.Vec, 16)
	s.F.Emit(op, mach.Imm(int64(n)), mach.R(x, viewOf(size)), mach.W(r, vX))
	return r
}

func (s *sel) extractBool(in *loop.Instr, i int) {
	v := in.Args[0]
	r, g := s.result(in), s.F.New(mach.GPR, 8)
	if s.wide {
		s.F.Emit("KMOVQ", s.r(v), mach.W(g, 0))
		s.Move(loop.Index, r, g)
		if i > 0 {
			s.F.Emit("SHRQ", mach.Imm(int64(i)), mach.RW(r, 0))
		}
	} else {
		m, w := s.Reg(v), s.WidthOf(v)
		x := s.quarter(m, v.Type.Lanes*w, i*w/16)
		s.F.Emit("VPEXTRB", mach.Imm(int64(i*w%16)), mach.R(x, vX), mach.W(g, 0))
		s.Move(loop.Index, r, g)
	}
	s.F.Emit("ANDQ", mach.Imm(1), mach.RW(r, 0))
}

// shuffleRule picks lanes out of two vectors.
func shuffleRule(s *sel, in *loop.Instr) {
	a, b := in.Args[0], in.Args[1]
	if len(in.Lanes) == 1 {
		lane := in.Lanes[0]
		if lane >= a.Type.Lanes {
			a, lane = b, lane-a.Type.Lanes
		}
		c := *in
		c.Args, c.Imm = []*loop.Value{a}, uint64(lane)
		extractRule(s, &c)
		return
	}
	if a.Type.Elem != tensor.Bool {
		size := a.Type.Elem.Size()
		s.Regs[in.Results[0]] = s.pick(s.Reg(a), s.Reg(b), a.Type.Lanes, size, in.Lanes)
		return
	}
	if !s.wide {
		w := s.Common(a, b)
		for len(in.Lanes)*w > s.Level.VecBytes {
			w /= 2
		}
		s.SetMask(in, s.pick(s.mask(a, w), s.mask(b, w), a.Type.Lanes, w, in.Lanes), w)
		return
	}
	s.pickMask(in)
}

// pickMask picks lanes of predicates: by shifting where they are consecutive, else as vectors of bytes.
func (s *sel) pickMask(in *loop.Instr) {
	a, b := in.Args[0], in.Args[1]
	n := a.Type.Lanes
	if from, ok := run(in.Lanes); ok && from+len(in.Lanes) <= n {
		if from == 0 {
			s.Regs[in.Results[0]] = s.Reg(a)
			return
		}
		s.F.Emit("KSHIFTRQ", mach.Imm(int64(from)), s.r(a), mach.W(s.result(in), 0))
		return
	}
	w := max(1, min(4, 64/max(n, len(in.Lanes))))
	l := letter(w)
	vec := func(v *loop.Value) mach.Reg {
		r := s.F.New(mach.Vec, n*w)
		s.F.Emit("VPMOVM2"+l, s.r(v), mach.W(r, viewOf(n*w)))
		return r
	}
	x := vec(a)
	y := x
	if b != a {
		y = vec(b)
	}
	r := s.pick(x, y, n, w, in.Lanes)
	s.F.Emit("VPMOV"+l+"2M", mach.R(r, viewOf(len(in.Lanes)*w)), mach.W(s.result(in), 0))
}

// run reports whether lanes are consecutive, and the first.
func run(lanes []int) (from int, ok bool) {
	for i, l := range lanes {
		if l != lanes[0]+i {
			return 0, false
		}
	}
	return lanes[0], true
}

// pick is the vector of the given lanes of the concatenation of a and b, which have n lanes of size bytes.
func (s *sel) pick(a, b mach.Reg, n, size int, lanes []int) mach.Reg {
	bytes := n * size
	out := len(lanes) * size
	from, ok := run(lanes)
	if a == b && !(ok && len(lanes) == 2*n) { // the lanes of the second are those of the first
		lanes = slices.Clone(lanes)
		for i := range lanes {
			lanes[i] %= n
		}
		from, ok = run(lanes)
	}
	if ok {
		switch {
		case from == 0 && len(lanes) <= n:
			return a
		case from == n && len(lanes) <= n:
			return b
		case from == 0 && len(lanes) == 2*n:
			return s.join(a, b, bytes)
		case from+len(lanes) <= n && (from*size == 16 && out <= 16 || from*size == 32 && out <= 32 || from*size == 48 && out <= 16):
			return s.part(a, bytes, from*size, out)
		}
	}
	one := true
	for _, l := range lanes {
		one = one && l < n
	}
	if one {
		b = a
	}
	switch view := viewOf(max(bytes, out)); {
	case view == vX:
		return s.pickX(a, b, n, size, lanes)
	case s.wide && size > 1:
		return s.pickWide(a, b, n, size, lanes, view)
	case view == vY:
		return s.pickY(a, b, n, size, lanes)
	}
	s.Fail("shuffle %v of %d lanes of %d bytes", lanes, n, size)
	return 0
}

// join puts b, of size bytes, behind a.
func (s *sel) join(a, b mach.Reg, size int) mach.Reg {
	r := s.F.New(mach.Vec, 2*size)
	switch size {
	case 32:
		s.F.Emit("VINSERTI64X4", mach.Imm(1), mach.R(b, vY), mach.R(a, vZ), mach.W(r, vZ))
	case 16:
		op := "VINSERTI128"
		if s.wide {
			op = "VINSERTI32X4"
		}
		s.F.Emit(op, mach.Imm(1), mach.R(b, vX), mach.R(a, vY), mach.W(r, vY))
	default:
		op := map[int]string{2: "VPUNPCKLWD", 4: "VPUNPCKLDQ", 8: "VPUNPCKLQDQ"}[size]
		s.F.Emit(op, mach.R(b, vX), mach.R(a, vX), mach.W(r, vX))
	}
	return r
}

// part is out bytes of a, of size bytes, from an offset that is a multiple of 16.
func (s *sel) part(a mach.Reg, size, from, out int) mach.Reg {
	if out <= 16 {
		return s.quarter(a, size, from/16)
	}
	r := s.F.New(mach.Vec, 32)
	s.F.Emit("VEXTRACTI64X4", mach.Imm(int64(from/32)), mach.R(a, vZ), mach.W(r, vY))
	return r
}

// pickX picks within 16 bytes: bytes of each source, those of the other zero, combined.
func (s *sel) pickX(a, b mach.Reg, n, size int, lanes []int) mach.Reg {
	x := s.shuffleBytes(a, vX, s.byteMask(lanes, 0, n, size, 16, 0))
	if a == b {
		return x
	}
	y := s.shuffleBytes(b, vX, s.byteMask(lanes, n, n, size, 16, 0))
	return s.or(x, y, vX)
}

func (s *sel) or(x, y mach.Reg, view uint8) mach.Reg {
	r := s.F.New(mach.Vec, 16<<view)
	s.F.Emit(s.logic("OR"), mach.R(x, view), mach.R(y, view), mach.W(r, view))
	return r
}

func (s *sel) shuffleBytes(x mach.Reg, view uint8, mask []byte) mach.Reg {
	r := s.F.New(mach.Vec, 16<<view)
	s.F.Emit("VPSHUFB", mach.R(s.bytesConst(mask), view), mach.R(x, view), mach.W(r, view))
	return r
}

// byteMask is the operand of VPSHUFB that picks those of lanes that are in [first, first+n): within 16-byte
// parts if swap is 0, from the other part of 32 bytes if it is 1.
func (s *sel) byteMask(lanes []int, first, n, size, total, swap int) []byte {
	m := make([]byte, total)
	for i := range m {
		m[i] = 0x80
		lane := i / size
		if lane >= len(lanes) {
			continue
		}
		from := lanes[lane] - first
		if from < 0 || from >= n {
			continue
		}
		if at := from*size + i%size; at/16 == i/16^swap {
			m[i] = byte(at % 16)
		}
	}
	return m
}

// pickY picks within 32 bytes: what stays in its half, and what crosses.
func (s *sel) pickY(a, b mach.Reg, n, size int, lanes []int) mach.Reg {
	var r mach.Reg
	add := func(x mach.Reg) {
		if r == 0 {
			r = x
		} else {
			r = s.or(r, x, vY)
		}
	}
	for i, x := range []mach.Reg{a, b} {
		if i == 1 && a == b {
			break
		}
		for swap := range 2 {
			m := s.byteMask(lanes, i*n, n, size, 32, swap)
			if empty(m) {
				continue
			}
			y := x
			if swap == 1 {
				y = s.F.New(mach.Vec, 32)
				s.F.Emit("VPERMQ", mach.Imm(0x4e), mach.R(x, vY), mach.W(y, vY))
			}
			add(s.shuffleBytes(y, vY, m))
		}
	}
	return r
}

func empty(m []byte) bool {
	for _, b := range m {
		if b != 0x80 {
			return false
		}
	}
	return true
}

// pickWide picks by a vector of indices.
func (s *sel) pickWide(a, b mach.Reg, n, size int, lanes []int, view uint8) mach.Reg {
	total := 16 << view / size
	idx := make([]byte, 16<<view)
	for i, l := range lanes {
		if l >= n {
			l += total - n // the second source's lanes begin behind a whole register
		}
		at := idx[i*size:]
		switch size {
		case 2:
			binary.LittleEndian.PutUint16(at, uint16(l))
		case 4:
			binary.LittleEndian.PutUint32(at, uint32(l))
		case 8:
			binary.LittleEndian.PutUint64(at, uint64(l))
		}
	}
	r := s.F.New(mach.Vec, 16<<view)
	k := s.bytesConst(idx)
	if a == b {
		s.F.Emit("VPERM"+letter(size), mach.R(a, view), mach.R(k, view), mach.W(r, view))
		return r
	}
	s.F.Add(&mach.Inst{Op: "VMOVAPS", Args: []mach.Arg{mach.R(k, view), mach.W(r, view)}, Move: true})
	s.F.Emit("VPERMI2"+letter(size), mach.R(b, view), mach.R(a, view), mach.RW(r, view))
	return r
}
