package amd64

import (
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// Native reports whether the level has instructions for an operation whose vectors fit its registers. What
// it lacks is expanded before (package opt).
func Native(l *target.Level) func(in *loop.Instr) bool {
	return func(in *loop.Instr) bool {
		if len(in.Results) == 0 {
			return !in.Op.Writes() || in.Op == loop.OpStore || maskable(l, in.Args[1].Type)
		}
		t := in.Results[0].Type
		switch in.Op {
		case loop.OpConvert:
			return nativeConvert(l, in.Args[0].Type, t)
		case loop.OpShuffle:
			return nativeShuffle(l, in)
		case loop.OpLoadMask:
			return maskable(l, t)
		case loop.OpGather:
			return t.Lanes == 1 || t.Elem.Size() >= 4
		case loop.OpReduceAdd:
			return nativeInt(l, loop.OpAdd, in.Args[0].Type)
		case loop.OpReduceMul:
			return nativeInt(l, loop.OpMul, in.Args[0].Type)
		case loop.OpReduceMin, loop.OpReduceMax:
			return nativeInt(l, loop.OpMin, in.Args[0].Type)
		case loop.OpShl, loop.OpShr:
			return nativeShift(l, in)
		}
		return nativeInt(l, in.Op, t)
	}
}

// nativeInt is for arithmetic; all of floats, of scalars and of booleans is there.
func nativeInt(l *target.Level, op loop.Op, t loop.Type) bool {
	if isFloat(t) || t.Lanes == 1 || t.Elem == tensor.Bool {
		return true
	}
	size := t.Elem.Size()
	switch op {
	case loop.OpMul:
		return size > 1
	case loop.OpDiv, loop.OpRem:
		return false
	case loop.OpMin, loop.OpMax:
		return size < 8 || l.Masks
	case loop.OpAbs:
		return size < 8 || l.Masks || t.Elem.Class() != tensor.ClassInt
	}
	return true
}

// nativeShift: amounts that are constants are not told from others here, but for what they share.
func nativeShift(l *target.Level, in *loop.Instr) bool {
	t := in.Results[0].Type
	size := t.Elem.Size()
	if t.Lanes == 1 {
		return true
	}
	arithmetic := in.Op == loop.OpShr && t.Elem.Class() == tensor.ClassInt
	return size == 4 || size == 8 && (l.Masks || !arithmetic) || size == 2 && l.Masks
}

func maskable(l *target.Level, t loop.Type) bool { return l.Masks || t.Elem.Size() >= 4 }

func nativeConvert(l *target.Level, from, to loop.Type) bool {
	if from.Elem == to.Elem {
		return true
	}
	if from.Elem == tensor.F16 || to.Elem == tensor.F16 {
		return from.Elem == tensor.F32 || to.Elem == tensor.F32
	}
	if to.Elem == tensor.Bool || from.Elem == tensor.Bool && isFloat(to) && to.Lanes > 1 {
		return false
	}
	if to.Lanes == 1 {
		return l.Masks || !(from.Elem == tensor.U64 && isFloat(to)) && !(isFloat(from) && to.Elem == tensor.U64)
	}
	integer := from
	if isFloat(from) {
		integer = to
	}
	if isFloat(from) == isFloat(to) || integer.Elem.Size() < 4 {
		return true
	}
	return l.Masks || integer.Elem == tensor.I32
}

// nativeShuffle: with AVX-512, bytes are picked from more than 32 only as whole parts.
func nativeShuffle(l *target.Level, in *loop.Instr) bool {
	t := in.Args[0].Type
	if !l.Masks || t.Elem != tensor.Bool && t.Elem.Size() > 1 || max(t.Lanes, len(in.Lanes)) <= 32 {
		return true
	}
	from, ok := run(in.Lanes)
	return ok && (from+len(in.Lanes) <= t.Lanes && from%16 == 0 || from == 0 && len(in.Lanes) == 2*t.Lanes && t.Elem != tensor.Bool)
}
