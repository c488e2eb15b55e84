package purego

import (
	"fmt"
	"strings"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

func convert(r *renderer, in *loop.Instr, l int, dst string) string {
	from, to := in.Args[0].Type.Elem, in.Results[0].Type.Elem
	x := r.variable(from, r.arg(lane{in.Args[0], l}))
	f := goType(to)
	switch tensor.F16 {
	case from:
		f = r.helper("f16ToF32")
	case to:
		f = r.helper("f32ToF16")
	}
	return r.def(dst, "%s(%s)", f, x)
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
