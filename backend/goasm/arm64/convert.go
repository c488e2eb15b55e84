package arm64

import (
	"github.com/nnc-go/nnc/backend/goasm/mach"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

func bitcastRule(s *sel, in *loop.Instr) {
	from, to := in.Args[0].Type, in.Results[0].Type
	x := s.Reg(in.Args[0])
	if classOf(from) == classOf(to) {
		s.give(in, x)
		return
	}
	op := "FMOVS"
	if from.Lanes*from.Elem.Size() > 4 {
		op = "FMOVD"
	}
	s.F.Emit(op, mach.R(x, 0), mach.W(s.result(in), 0))
}

func convertRule(s *sel, in *loop.Instr) {
	from, to := in.Args[0].Type, in.Results[0].Type
	half := from.Elem == tensor.F16 || to.Elem == tensor.F16
	switch {
	case from.Elem == to.Elem:
		s.give(in, s.Reg(in.Args[0]))
	case half && to.Lanes == 1:
		s.convertHalf(in)
	case to.Lanes == 1:
		s.convertScalar(in)
	default:
		s.convertVec(in, half)
	}
}

// convertHalf converts a scalar between f16, in a general register, and f32.
func (s *sel) convertHalf(in *loop.Instr) {
	x, f := s.Reg(in.Args[0]), s.F.New(mach.Vec, 4)
	if in.Results[0].Type.Elem == tensor.F32 {
		s.F.Emit("FMOVS", mach.R(x, 0), mach.W(f, 0))
		s.F.Emit("FCVTHS", mach.R(f, 0), mach.W(s.result(in), 0))
		return
	}
	s.F.Emit("FCVTSH", mach.R(x, 0), mach.W(f, 0))
	s.F.Emit("FMOVS", mach.R(f, 0), mach.W(s.result(in), 0))
}

// convertScalar converts by way of 64-bit integers.
func (s *sel) convertScalar(in *loop.Instr) {
	v, to := in.Args[0], in.Results[0].Type
	from := v.Type
	sign := func(t loop.Type) string {
		if t.Elem == tensor.U64 {
			return "U"
		}
		return "S"
	}
	switch {
	case isFloat(from) && isFloat(to):
		s.F.Emit("FCVT"+scalarSuffix(from)+scalarSuffix(to), s.r(v), mach.W(s.result(in), 0))
	case isFloat(to):
		s.F.Emit(sign(from)+"CVTF"+scalarSuffix(to), mach.R(s.extended(v), 0), mach.W(s.result(in), 0))
	case isFloat(from):
		s.F.Emit("FCVTZ"+sign(to)+scalarSuffix(from), s.r(v), mach.W(s.result(in), 0))
	case from.Elem.Bits() < to.Elem.Bits():
		s.give(in, s.extended(v))
	default:
		s.give(in, s.Reg(v))
	}
}

// convertVec converts vectors. Between integers and floats both are made as wide as the wider of them, 4 bytes at least,
// and converted there.
func (s *sel) convertVec(in *loop.Instr, half bool) {
	from, to := in.Args[0].Type, in.Results[0].Type
	x, n, a, b := s.Reg(in.Args[0]), to.Lanes, from.Elem.Size(), to.Elem.Size()
	w := max(a, b, 4)
	floatFrom, floatTo := half || isFloat(from), half || isFloat(to)
	switch {
	case floatFrom && floatTo:
		x = s.resizeFloat(x, n, a, b)
	case floatTo:
		x = s.resizeInt(x, n, a, w, isSigned(from))
		x = s.vec(either(isSigned(from), "scvtf", "ucvtf"), shapeOf(n, w), x)
		x = s.resizeFloat(x, n, w, b)
	case floatFrom:
		x = s.resizeFloat(x, n, a, w)
		x = s.vec(either(isSigned(to), "fcvtzs", "fcvtzu"), shapeOf(n, w), x)
		x = s.resizeInt(x, n, w, b, true)
	default:
		x = s.resizeInt(x, n, a, b, isSigned(from))
	}
	s.give(in, x)
}

// either is yes or no.
func either(c bool, yes, no string) string {
	if c {
		return yes
	}
	return no
}

// resizeInt truncates n lanes of integers, or extends them.
func (s *sel) resizeInt(x mach.Reg, n, from, to int, signed bool) mach.Reg {
	if from > to {
		return s.narrow(x, n, from, to)
	}
	return s.extend(either(signed, "sxtl", "uxtl"), x, n, from, to)
}

// resizeFloat converts n lanes of floats between neighbouring sizes.
func (s *sel) resizeFloat(x mach.Reg, n, from, to int) mach.Reg {
	switch {
	case from < to:
		return s.vec("fcvtl", shape{logOf(from), 0}, x)
	case from > to:
		return s.vec("fcvtn", shape{logOf(to), 0}, x)
	}
	return x
}
