package llvm

import (
	"fmt"

	"github.com/llir/llvm/ir"
	"github.com/llir/llvm/ir/value"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// dot4 multiplies in 32 bits and adds the four products of a group.
func dot4(r *renderer, in *loop.Instr, x []value.Value) value.Value {
	acc := in.Results[0].Type
	wide := loop.Type{Elem: tensor.I32, Lanes: 4 * acc.Lanes}
	p := r.add(ir.NewMul(r.add(ir.NewZExt(x[1], typeOf(wide))), r.add(ir.NewSExt(x[2], typeOf(wide)))))
	sum := x[0]
	for j := range 4 {
		sum = r.add(ir.NewAdd(sum, r.shuffle(p, p, acc, func(i int) int { return 4*i + j })))
	}
	return sum
}

// dot2 is an instruction for 4, 8 and 16 sums. Fewer are part of 4, more are done 16 at a time.
func dot2(r *renderer, in *loop.Instr, x []value.Value) value.Value {
	t := in.Results[0].Type
	lanes := min(max(t.Lanes, 4), 16)
	var sum value.Value
	for at := 0; at < t.Lanes; at += lanes {
		args := make([]value.Value, 3)
		for i, a := range in.Args {
			per := a.Type.Lanes / t.Lanes
			part := loop.Type{Elem: a.Type.Elem, Lanes: per * lanes}
			args[i] = r.lanesFrom(x[i], a.Type.Lanes, part, at*per)
			if i > 0 {
				args[i] = r.bitcast(args[i], bfloats(part.Lanes))
			}
		}
		acc := loop.Type{Elem: tensor.F32, Lanes: lanes}
		s := r.call(fmt.Sprintf("llvm.x86.avx512bf16.dpbf16ps.%d", 32*lanes), typeOf(acc), args...)
		if sum == nil {
			sum = s
		} else {
			both := loop.Type{Elem: tensor.F32, Lanes: at + lanes}
			sum = r.shuffle(r.lanesFrom(sum, at, both, 0), r.lanesFrom(s, lanes, both, 0), both, func(i int) int {
				if i < at {
					return i
				}
				return i + lanes
			})
		}
	}
	return r.lanesFrom(sum, max(t.Lanes, lanes), t, 0)
}

// lanesFrom is x, of n lanes, from lane at on; lanes that it has not repeat its last.
func (r *renderer) lanesFrom(x value.Value, n int, t loop.Type, at int) value.Value {
	switch {
	case n == t.Lanes:
		return x
	case n == 1:
		return r.splat(x, t)
	}
	return r.shuffle(x, x, t, func(i int) int { return min(at+i, n-1) })
}
