package purego

import (
	"fmt"
	"strings"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// widen and narrow are the functions of support.go that convert to f32 and back.
var (
	widen  = map[tensor.DType]string{tensor.F16: "f16ToF32", tensor.BF16: "bf16ToF32"}
	narrow = map[tensor.DType]string{tensor.F16: "f32ToF16", tensor.BF16: "f32ToBF16"}
)

func convert(r *renderer, in *loop.Instr, l int, dst string) string {
	from, to := in.Args[0].Type.Elem, in.Results[0].Type.Elem
	x := r.arg(lane{in.Args[0], l})
	if from == to {
		return x
	}
	x = r.variable(from, x)
	if isHalf(from) {
		x, from = fmt.Sprintf("%s(%s)", r.helper(widen[from]), x), tensor.F32
	}
	switch {
	case from == tensor.Bool:
		r.def(dst, "%s", typed(to, literal(to, 0)))
		r.put("if %s {\n%s = %s\n}", x, dst, one(to))
		return dst
	case to == tensor.Bool && from.IsFloat():
		return r.def(dst, "int64(%s)&1 != 0", x)
	case to == tensor.Bool:
		return r.def(dst, "%s&1 != 0", x)
	case isHalf(to):
		if from != tensor.F32 {
			x = "float32(" + x + ")"
		}
		return r.def(dst, "%s(%s)", r.helper(narrow[to]), x)
	case from == to: // it was a half
		return r.def(dst, "%s", x)
	}
	return r.def(dst, "%s(%s)", goType(to), x)
}

// one is the literal of 1; of the halves, its bits.
func one(d tensor.DType) string {
	return map[tensor.DType]string{tensor.F16: "0x3c00", tensor.BF16: "0x3f80"}[d] + map[bool]string{false: "1"}[isHalf(d)]
}

// bitcast lays the lanes one after the other, the first lowest, and cuts them anew.
func bitcast(r *renderer, in *loop.Instr, l int, dst string) string {
	from, to := in.Args[0].Type.Elem, in.Results[0].Type.Elem
	x := func(i int) string { return bitsOf(from, r.variable(from, r.arg(lane{in.Args[0], i}))) }
	fb, tb := from.Bits(), to.Bits()
	switch {
	case from == to:
		return r.arg(lane{in.Args[0], l})
	case fb == tb:
		return r.def(dst, "%s", fromBits(to, x(l)))
	case fb > tb:
		return r.def(dst, "%s", fromBits(to, fmt.Sprintf("%s(%s >> %d)", uintType(tb), x(l*tb/fb), l*tb%fb)))
	}
	var parts []string
	for i := range tb / fb {
		p := fmt.Sprintf("%s(%s)", uintType(tb), x(l*tb/fb+i))
		if i > 0 {
			p += fmt.Sprintf("<<%d", i*fb)
		}
		parts = append(parts, p)
	}
	return r.def(dst, "%s", fromBits(to, strings.Join(parts, " | ")))
}
