package amd64

import (
	"slices"

	"github.com/nnc-go/nnc/backend/goasm/mach"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// survey counts uses and decides what becomes part of other instructions.
func (s *sel) survey(b *loop.Block) {
	s.count(b)
	s.fuse(b)
}

func (s *sel) count(b *loop.Block) {
	for _, in := range b.Instrs {
		for _, r := range in.Results {
			s.def[r] = in
		}
		for _, a := range in.Args {
			s.uses[a]++
		}
		for _, sub := range in.Blocks {
			s.count(sub)
		}
	}
	for _, y := range b.Yield {
		s.uses[y]++
	}
}

// fuse marks what is not computed where it is defined: additions of constants that only addresses
// use, comparisons of scalars that only branches and selections use, and loads that their only user,
// in the same block with no store to that buffer between, reads from memory itself.
func (s *sel) fuse(b *loop.Block) {
	inAddr := map[*loop.Value]int{}
	asFlag := map[*loop.Value]int{}
	s.eachUse(b, func(in *loop.Instr, i int) {
		switch {
		case (in.Op.Reads() || in.Op.Writes()) && i == 0:
			inAddr[in.Args[i]]++
		case i == 0 && (in.Op == loop.OpIf || in.Op == loop.OpSelect && s.classOf(in.Results[0].Type) == mach.GPR):
			asFlag[in.Args[i]]++
		}
	})
	for at, in := range b.Instrs {
		for _, sub := range in.Blocks {
			s.fuse(sub)
		}
		switch {
		case in.Op == loop.OpAdd && in.Results[0].Type == loop.Index && inAddr[in.Results[0]] == s.uses[in.Results[0]]:
			if _, ok := s.integer(in.Args[1]); ok {
				s.fused[in.Results[0]] = true
			}
		case in.Op == loop.OpCmp && in.Args[0].Type.Lanes == 1 && s.classOf(in.Args[0].Type) == mach.GPR && in.Args[0].Type.Elem.Bits() >= 32 && asFlag[in.Results[0]] == s.uses[in.Results[0]]:
			s.fused[in.Results[0]] = true
		case in.Op == loop.OpCmp && s.onlySelects(b, in):
			s.fused[in.Results[0]] = true
		case in.Op == loop.OpLoad && s.uses[in.Results[0]] == 1:
			s.fuseLoad(b, at, in)
		}
	}
}

// onlySelects reports whether all uses of a comparison of floats are selections, in its block, that contain it: those that are a
// minimum or a maximum, and those of scalars of its type.
func (s *sel) onlySelects(b *loop.Block, c *loop.Instr) bool {
	t := c.Args[0].Type
	n := 0
	for _, in := range b.Instrs {
		if in.Op == loop.OpSelect && in.Args[0] == c.Results[0] {
			op, _, _ := minMaxOf(c, in)
			if op != "" || t.Lanes == 1 && isFloat(t) && in.Results[0].Type == t {
				n++
			}
		}
	}
	return n > 0 && n == s.uses[c.Results[0]]
}

// eachUse visits the operands of a block's instructions and those inside them.
func (s *sel) eachUse(b *loop.Block, visit func(in *loop.Instr, i int)) {
	for _, in := range b.Instrs {
		for i := range in.Args {
			visit(in, i)
		}
		for _, sub := range in.Blocks {
			s.eachUse(sub, visit)
		}
	}
}

// fuseLoad marks a load, and a broadcast of it, whose users follow in the block before any store to its buffer.
// With AVX-512 a broadcast is part of its user where it has one, and of all where registers would not
// suffice for it besides what the loop carries and as many vectors as it is multiplied by.
func (s *sel) fuseLoad(b *loop.Block, at int, in *loop.Instr) {
	v, left := in.Results[0], 1
	spread := false
	for _, user := range b.Instrs[at+1:] {
		if slices.Contains(user.Args, v) {
			switch {
			case !spread && user.Op == loop.OpBroadcast && user.Results[0].Type.Elem != tensor.Bool:
				s.fused[v] = true
				v, spread = user.Results[0], true
				if left = s.uses[v]; !s.wide || left > 1 && left+s.carries(b)+1 <= s.level.Regs {
					return
				}
				continue
			case !s.takesMemory(user, v):
				return
			}
			if left--; left == 0 {
				s.fused[v] = true
				return
			}
		}
		if in.Buf.Write && (user.Op.Writes() && user.Buf == in.Buf || len(user.Blocks) > 0) {
			return
		}
	}
}

// carries counts the vectors that the loop with body b carries.
func (s *sel) carries(b *loop.Block) (n int) {
	for _, p := range b.Params {
		if s.classOf(p.Type) == mach.Vec {
			n++
		}
	}
	return n
}

// takesMemory reports whether a full-width vector or a scalar may be a memory operand of its user.
func (s *sel) takesMemory(user *loop.Instr, v *loop.Value) bool {
	t := v.Type
	if s.classOf(t) != mach.Vec || s.sizeOf(t) < 16 || t.Elem != tensor.F32 && t.Elem != tensor.F64 {
		return false
	}
	switch user.Op {
	case loop.OpAdd, loop.OpMul:
		return user.Args[0] != user.Args[1]
	case loop.OpSub, loop.OpDiv:
		return user.Args[1] == v && user.Args[0] != v
	case loop.OpFMA:
		return user.Args[2] != v && user.Args[0] != user.Args[1]
	}
	return false
}

func (s *sel) block(b *loop.Block) {
	for _, in := range b.Instrs {
		if in.Op == loop.OpConst || len(in.Results) == 1 && s.fused[in.Results[0]] {
			continue
		}
		s.instr(in)
	}
}

// forLoop writes a loop that tests at its end, guarded by a test before it. The carried values have
// registers of their own, which are the results after it.
func (s *sel) forLoop(in *loop.Instr) {
	body := in.Blocks[0]
	lo, hi := in.Args[0], in.Args[1]
	for i, p := range body.Params[1:] {
		r := s.newReg(p.Type)
		s.regs[p], s.regs[in.Results[i]] = r, r
		s.assign(p.Type, r, in.Args[2+i])
	}
	iv := s.newReg(loop.Index)
	s.assign(loop.Index, iv, lo)
	s.regs[body.Params[0]] = iv
	top, end := s.f.NewLabel(), s.f.NewLabel()
	l, okl := s.integer(lo)
	h, okh := s.integer(hi)
	if !okl || !okh || l >= h {
		s.compare(loop.Index, mach.R(iv, 0), s.limit(hi))
		s.branch("JGE", end)
	}
	s.f.Depth++
	if s.innermost(body) {
		s.f.Emit("PCALIGN", mach.Imm(32))
	}
	s.f.Place(top).Comment = loop.Heading(in, s.constant)
	s.block(body)
	s.yield(body.Params[1:], body.Yield)
	step := mach.Imm(int64(in.Imm))
	if step.Imm != int64(int32(step.Imm)) {
		r := s.newReg(loop.Index)
		s.setInt(r, step.Imm)
		step = mach.R(r, 0)
	}
	s.f.Emit("ADDQ", step, mach.RW(iv, 0))
	s.compare(loop.Index, mach.R(iv, 0), s.limit(hi))
	s.branch("JLT", top)
	s.f.Depth--
	s.f.Place(end)
}

func (s *sel) innermost(b *loop.Block) bool {
	for _, in := range b.Instrs {
		if in.Op == loop.OpFor {
			return false
		}
	}
	return true
}

// limit is an integer operand of a comparison.
func (s *sel) limit(v *loop.Value) mach.Arg {
	if n, ok := s.integer(v); ok {
		return mach.Imm(n)
	}
	return s.r(v)
}

func (s *sel) branch(op string, label int) {
	s.f.Add(&mach.Inst{Op: op, Flow: mach.Branch, Args: []mach.Arg{mach.Label(label)}})
}

func (s *sel) jump(label int) {
	s.f.Add(&mach.Inst{Op: "JMP", Flow: mach.Jump, Args: []mach.Arg{mach.Label(label)}})
}

// assign sets a register that outlives this place to v.
func (s *sel) assign(t loop.Type, dst mach.Reg, v *loop.Value) {
	if n, ok := s.integer(v); ok && s.classOf(t) == mach.GPR {
		s.setIntPlain(dst, n)
		return
	}
	if bits, ok := s.constant(v); ok && s.classOf(t) == mach.Vec && t.Elem != tensor.Bool {
		s.f.Add(s.setVec(dst, t, bits))
		return
	}
	s.move(t, dst, s.carried(v))
}

// setIntPlain is setInt for a register with several definitions, which must not be repeated.
func (s *sel) setIntPlain(r mach.Reg, n int64) { s.f.Emit("MOVQ", mach.Imm(n), mach.W(r, 0)) }

// carried is v in the form in which values cross from block to block.
func (s *sel) carried(v *loop.Value) mach.Reg {
	if v.Type.Elem == tensor.Bool && v.Type.Lanes > 1 && !s.wide {
		return s.mask(v, s.maskWidth(v.Type))
	}
	return s.reg(v)
}

// yield moves values into the registers of params, all at once: values that are themselves among those
// registers are saved first.
func (s *sel) yield(params, values []*loop.Value) {
	targets := map[mach.Reg]bool{}
	for _, p := range params {
		targets[s.regs[p]] = true
	}
	from := make([]mach.Reg, len(values))
	for i, v := range values {
		if _, ok := s.integer(v); ok && s.classOf(v.Type) == mach.GPR {
			continue
		}
		from[i] = s.carried(v)
		if from[i] != s.regs[params[i]] && targets[from[i]] {
			t := s.newReg(v.Type)
			s.move(v.Type, t, from[i])
			from[i] = t
		}
	}
	for i, v := range values {
		dst := s.regs[params[i]]
		switch n, ok := s.integer(v); {
		case from[i] == dst:
		case from[i] == 0 && ok:
			s.setIntPlain(dst, n)
		default:
			s.move(v.Type, dst, from[i])
		}
	}
}

// cond writes a conditional; its results are registers that both sides set.
func (s *sel) cond(in *loop.Instr) {
	for _, v := range in.Results {
		s.regs[v] = s.newReg(v.Type)
	}
	els, end := s.f.NewLabel(), s.f.NewLabel()
	s.branchUnless(in.Args[0], els)
	s.block(in.Blocks[0])
	s.yield(in.Results, in.Blocks[0].Yield)
	if len(in.Blocks[1].Instrs) == 0 && len(in.Results) == 0 {
		s.f.Place(els)
		return
	}
	s.jump(end)
	s.f.Place(els)
	s.block(in.Blocks[1])
	s.yield(in.Results, in.Blocks[1].Yield)
	s.f.Place(end)
}
