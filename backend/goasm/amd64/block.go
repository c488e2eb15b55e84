package amd64

import (
	"slices"

	"github.com/nnc-go/nnc/backend/goasm/mach"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Survey counts uses and decides what becomes part of other instructions.
func (s *sel) Survey(b *loop.Block) {
	s.count(b)
	s.fuse(b)
}

func (s *sel) count(b *loop.Block) {
	for _, in := range b.Instrs {
		for _, r := range in.Results {
			s.Def[r] = in
		}
		for _, a := range in.Args {
			s.Uses[a]++
		}
		for _, sub := range in.Blocks {
			s.count(sub)
		}
	}
	for _, y := range b.Yield {
		s.Uses[y]++
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
		case in.Op == loop.OpAdd && in.Results[0].Type == loop.Index && inAddr[in.Results[0]] == s.Uses[in.Results[0]]:
			if _, ok := s.integer(in.Args[1]); ok {
				s.Fused[in.Results[0]] = true
			}
		case in.Op == loop.OpCmp && in.Args[0].Type.Lanes == 1 && s.classOf(in.Args[0].Type) == mach.GPR && in.Args[0].Type.Elem.Bits() >= 32 && asFlag[in.Results[0]] == s.Uses[in.Results[0]]:
			s.Fused[in.Results[0]] = true
		case in.Op == loop.OpCmp && s.onlySelects(b, in):
			s.Fused[in.Results[0]] = true
		case in.Op == loop.OpLoad && s.Uses[in.Results[0]] == 1:
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
	return n > 0 && n == s.Uses[c.Results[0]]
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
				s.Fused[v] = true
				v, spread = user.Results[0], true
				if left = s.Uses[v]; !s.wide || left > 1 && left+s.carries(b)+1 <= s.Level.Regs {
					return
				}
				continue
			case !s.takesMemory(user, v):
				return
			}
			if left--; left == 0 {
				s.Fused[v] = true
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

// Block implements selection.Arch.
func (s *sel) Block(b *loop.Block) {
	for _, in := range b.Instrs {
		if in.Op == loop.OpConst || len(in.Results) == 1 && s.Fused[in.Results[0]] {
			continue
		}
		s.Instr(in)
	}
}

// Align implements selection.Arch.
func (s *sel) Align(b *loop.Block) {
	if !slices.ContainsFunc(b.Instrs, func(in *loop.Instr) bool { return in.Op == loop.OpFor }) {
		s.F.Emit("PCALIGN", mach.Imm(32))
	}
}

// Done implements selection.Arch.
func (s *sel) Done(iv mach.Reg, hi *loop.Value, label int) {
	s.compare(loop.Index, mach.R(iv, 0), s.limit(hi))
	s.branch("JGE", label)
}

// Again implements selection.Arch.
func (s *sel) Again(iv mach.Reg, step int64, hi *loop.Value, label int) {
	n := mach.Imm(step)
	if step != int64(int32(step)) {
		r := s.NewReg(loop.Index)
		s.setInt(r, step)
		n = mach.R(r, 0)
	}
	s.F.Emit("ADDQ", n, mach.RW(iv, 0))
	s.compare(loop.Index, mach.R(iv, 0), s.limit(hi))
	s.branch("JLT", label)
}

// limit is an integer operand of a comparison.
func (s *sel) limit(v *loop.Value) mach.Arg {
	if n, ok := s.integer(v); ok {
		return mach.Imm(n)
	}
	return s.r(v)
}

func (s *sel) branch(op string, label int) {
	s.F.Add(&mach.Inst{Op: op, Flow: mach.Branch, Args: []mach.Arg{mach.Label(label)}})
}

// Jump implements selection.Arch.
func (s *sel) Jump(label int) {
	s.F.Add(&mach.Inst{Op: "JMP", Flow: mach.Jump, Args: []mach.Arg{mach.Label(label)}})
}

// Assign implements selection.Arch.
func (s *sel) Assign(dst mach.Reg, v *loop.Value) {
	bits, ok := s.Constant(v)
	switch class := s.classOf(v.Type); {
	case ok && class == mach.GPR:
		n, _ := s.integer(v)
		s.setIntPlain(dst, n)
	case ok && class == mach.Vec && v.Type.Elem != tensor.Bool:
		s.F.Add(s.setVec(dst, v.Type, bits))
	default:
		s.Move(v.Type, dst, s.Carried(v))
	}
}

// setIntPlain is setInt for a register with several definitions, which must not be repeated.
func (s *sel) setIntPlain(r mach.Reg, n int64) { s.F.Emit("MOVQ", mach.Imm(n), mach.W(r, 0)) }

// Carried is v in the form in which values cross from block to block.
func (s *sel) Carried(v *loop.Value) mach.Reg {
	if v.Type.Elem == tensor.Bool && v.Type.Lanes > 1 && !s.wide {
		return s.mask(v, s.MaskWidth(v.Type))
	}
	return s.Reg(v)
}
