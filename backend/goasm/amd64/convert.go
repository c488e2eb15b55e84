package amd64

import (
	"github.com/nnc-go/nnc/backend/goasm/mach"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

func bitcastRule(s *sel, in *loop.Instr) {
	from, to := in.Args[0].Type, in.Results[0].Type
	x := s.Reg(in.Args[0])
	a, b := s.classOf(from), s.classOf(to)
	switch {
	case a == b:
		s.Regs[in.Results[0]] = x
	case b == mach.GPR:
		s.F.Emit("VMOVQ", mach.R(x, vX), mach.W(s.result(in), 0))
	default:
		s.F.Emit("VMOVQ", mach.R(x, 0), mach.W(s.result(in), vX))
	}
}

func convertRule(s *sel, in *loop.Instr) {
	from, to := in.Args[0].Type, in.Results[0].Type
	switch {
	case from.Elem == to.Elem:
		s.Regs[in.Results[0]] = s.Reg(in.Args[0])
	case from.Elem == tensor.Bool && to.Lanes > 1:
		s.maskToInt(in)
	case from.Elem == tensor.F16 || to.Elem == tensor.F16:
		s.convertHalf(in)
	case to.Lanes == 1:
		s.convertScalar(in)
	case isFloat(from) && isFloat(to):
		s.resizeFloat(in)
	case isFloat(to):
		s.intToFloat(in)
	case isFloat(from):
		s.floatToInt(in)
	default:
		s.Regs[in.Results[0]] = s.resizeInt(s.Reg(in.Args[0]), from, to)
	}
}

// maskToInt gives 1 where the mask is set.
func (s *sel) maskToInt(in *loop.Instr) {
	t := in.Results[0].Type
	one := mach.R(s.vecConst(t, 1), s.view(t))
	if s.wide {
		s.F.Emit(wideMaskedMove(t)+".Z", one, s.r(in.Args[0]), mach.W(s.result(in), s.view(t)))
		return
	}
	s.F.Emit("VPAND", one, mach.R(s.mask(in.Args[0], t.Elem.Size()), s.view(t)), mach.W(s.result(in), s.view(t)))
}

// convertHalf converts between f16 and f32.
func (s *sel) convertHalf(in *loop.Instr) {
	from, to := in.Args[0].Type, in.Results[0].Type
	if from.Elem != tensor.F32 && to.Elem != tensor.F32 {
		s.Fail("%v to %v", from, to)
	}
	x := s.Reg(in.Args[0])
	switch {
	case to.Elem == tensor.F32 && to.Lanes == 1:
		t := s.F.New(mach.Vec, 16)
		s.F.Emit("VMOVQ", mach.R(x, 0), mach.W(t, vX))
		s.F.Emit("VCVTPH2PS", mach.R(t, vX), mach.W(s.result(in), vX))
	case to.Elem == tensor.F32:
		s.F.Emit("VCVTPH2PS", mach.R(x, s.view(from)), mach.W(s.result(in), s.view(to)))
	case to.Lanes == 1:
		t := s.F.New(mach.Vec, 16)
		s.F.Emit("VCVTPS2PH", mach.Imm(0), mach.R(x, vX), mach.W(t, vX))
		s.F.Emit("VMOVQ", mach.R(t, vX), mach.W(s.result(in), 0))
	default:
		s.F.Emit("VCVTPS2PH", mach.Imm(0), mach.R(x, s.view(from)), mach.W(s.result(in), s.view(to)))
	}
}

func (s *sel) convertScalar(in *loop.Instr) {
	from, to := in.Args[0].Type, in.Results[0].Type
	single := map[tensor.DType]string{tensor.F32: "SS", tensor.F64: "SD"}
	switch {
	case isFloat(from) && isFloat(to):
		x := s.r(in.Args[0])
		s.F.Emit("VCVT"+single[from.Elem]+"2"+single[to.Elem], x, x, mach.W(s.result(in), vX))
	case isFloat(to):
		x := s.extended(in.Args[0])
		op := "VCVTSI2" + single[to.Elem] + "Q"
		if from.Elem == tensor.U64 {
			op = "VCVTUSI2" + single[to.Elem] + "Q"
		}
		zero := s.F.New(mach.Vec, 16)
		w := mach.W(zero, vX)
		s.F.Emit(s.xorOp(), w, w, w)
		s.F.Emit(op, mach.R(x, 0), mach.R(zero, vX), mach.W(s.result(in), vX))
	case isFloat(from):
		op := "VCVTT" + single[from.Elem] + "2SIQ"
		if to.Elem == tensor.U64 {
			op = "VCVTT" + single[from.Elem] + "2USIQ"
		}
		x := s.r(in.Args[0])
		s.F.Emit(op, x, mach.W(s.result(in), 0))
	case from.Elem.Bits() < to.Elem.Bits():
		s.Regs[in.Results[0]] = s.extended(in.Args[0])
	default:
		s.Regs[in.Results[0]] = s.Reg(in.Args[0])
	}
}

// sized adds what Go's assembler appends to conversions to half the width, which else do not say their
// operand's size.
func (s *sel) sized(op string, source loop.Type) string {
	switch s.view(source) {
	case vX:
		return op + "X"
	case vY:
		return op + "Y"
	}
	return op
}

func (s *sel) resizeFloat(in *loop.Instr) {
	from, to := in.Args[0].Type, in.Results[0].Type
	x := s.r(in.Args[0])
	op := "VCVTPS2PD"
	if from.Elem == tensor.F64 {
		op = s.sized("VCVTPD2PS", from)
	}
	s.F.Emit(op, x, mach.W(s.result(in), s.view(to)))
}

// resizeInt truncates or extends vectors of integers.
func (s *sel) resizeInt(x mach.Reg, from, to loop.Type) mach.Reg {
	a, b := from.Elem.Size(), to.Elem.Size()
	switch {
	case a == b:
		return x
	case a > b:
		return s.narrow(x, from.Lanes, a, b)
	}
	op := "VPMOVZX"
	if from.Elem.Class() == tensor.ClassInt {
		op = "VPMOVSX"
	}
	r := s.F.New(mach.Vec, to.Lanes*b)
	s.F.Emit(op+letter(a)+letter(b), mach.R(x, viewOf(from.Lanes*a)), mach.W(r, viewOf(to.Lanes*b)))
	return r
}

// narrow truncates n lanes from a to b bytes.
func (s *sel) narrow(x mach.Reg, n, a, b int) mach.Reg {
	r := s.F.New(mach.Vec, n*b)
	from := viewOf(n * a)
	if s.wide {
		s.F.Emit("VPMOV"+letter(a)+letter(b), mach.R(x, from), mach.W(r, viewOf(n*b)))
		return r
	}
	pick := make([]byte, min(n*a, 32))
	for i := range pick {
		pick[i] = 0x80
	}
	for at := 0; at < len(pick); at += 16 {
		for i := 0; i < 16/a && i < n; i++ {
			for j := range b {
				pick[at+i*b+j] = byte(i*a + j)
			}
		}
	}
	if len(pick) < 16 {
		pick = append(pick, make([]byte, 16-len(pick))...)
	}
	if from == vX {
		s.F.Emit("VPSHUFB", mach.R(s.bytesConst(pick[:16]), vX), mach.R(x, vX), mach.W(r, vX))
		return r
	}
	t, hi := s.F.New(mach.Vec, 32), s.F.New(mach.Vec, 16)
	s.F.Emit("VPSHUFB", mach.R(s.bytesConst(pick), vY), mach.R(x, vY), mach.W(t, vY))
	s.F.Emit("VEXTRACTI128", mach.Imm(1), mach.R(t, vY), mach.W(hi, vX))
	unpack := map[int]string{2: "VPUNPCKLQDQ", 4: "VPUNPCKLDQ", 8: "VPUNPCKLWD"}[a/b]
	s.F.Emit(unpack, mach.R(hi, vX), mach.R(t, vX), mach.W(r, vX))
	return r
}

// intToFloat: through i32 for narrower integers.
func (s *sel) intToFloat(in *loop.Instr) {
	from, to := in.Args[0].Type, in.Results[0].Type
	x := s.Reg(in.Args[0])
	signed := from.Elem.Class() == tensor.ClassInt
	if from.Elem.Size() < 4 {
		i32 := loop.Vec(tensor.I32, from.Lanes)
		x, from, signed = s.resizeInt(x, from, i32), i32, true
	}
	var op string
	switch {
	case from.Elem.Size() == 4:
		op = map[bool]string{true: "VCVTDQ2", false: "VCVTUDQ2"}[signed] + floatSuffix(to)
	case to.Elem == tensor.F64:
		op = map[bool]string{true: "VCVTQQ2PD", false: "VCVTUQQ2PD"}[signed]
	default:
		op = s.sized(map[bool]string{true: "VCVTQQ2PS", false: "VCVTUQQ2PS"}[signed], from)
	}
	s.F.Emit(op, mach.R(x, s.view(from)), mach.W(s.result(in), s.view(to)))
}

// floatToInt: through i32 for narrower integers, which the value must fit.
func (s *sel) floatToInt(in *loop.Instr) {
	from, to := in.Args[0].Type, in.Results[0].Type
	x := s.r(in.Args[0])
	signed := to.Elem.Class() == tensor.ClassInt
	mid := to
	if to.Elem.Size() < 4 {
		mid, signed = loop.Vec(tensor.I32, to.Lanes), true
	}
	r := s.F.New(mach.Vec, mid.Lanes*mid.Elem.Size())
	u := map[bool]string{true: "", false: "U"}[signed]
	op := "VCVTT" + floatSuffix(from) + "2"
	switch {
	case mid.Elem.Size() == 8:
		op += u + "QQ"
	case from.Elem == tensor.F64:
		op = s.sized(op+u+"DQ", from)
	default:
		op += u + "DQ"
	}
	s.F.Emit(op, x, mach.W(r, s.view(mid)))
	s.Regs[in.Results[0]] = s.resizeInt(r, mid, to)
}
