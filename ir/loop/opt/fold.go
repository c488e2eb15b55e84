package opt

import (
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// fold computes what constants become in vectors, so that they are constants again, which a backend keeps in memory
// or makes anew at will, where an instruction's result would hold a register throughout a loop. It also puts
// constants second, where instructions have their immediate operand.
func fold(f *loop.Func, _ *Target) {
	defs := definitions(f)
	walk(f.Body, func(in *loop.Instr) {
		if len(in.Results) != 1 || len(in.Args) == 0 {
			return
		}
		d := defs.get(in.Args[0])
		if d == nil || d.Op != loop.OpConst {
			return
		}
		r := in.Results[0].Type
		switch in.Op {
		case loop.OpAdd, loop.OpMul, loop.OpAnd, loop.OpOr, loop.OpXor:
			if second := defs.get(in.Args[1]); second == nil || second.Op != loop.OpConst {
				in.Args[0], in.Args[1] = in.Args[1], in.Args[0]
			}
		case loop.OpBroadcast, loop.OpExtract:
			becomes(in, d.Imm)
		case loop.OpBitcast:
			if in.Args[0].Type.Lanes == 1 && r.Lanes == 1 { // a vector's bits need no instruction
				becomes(in, d.Imm)
			}
		case loop.OpNot:
			if r.Elem == tensor.Bool {
				becomes(in, d.Imm^1)
			} else {
				becomes(in, ^d.Imm&(1<<(r.Elem.Bits()-1)<<1-1))
			}
		}
	})
}

// becomes makes in a constant.
func becomes(in *loop.Instr, bits uint64) {
	in.Op, in.Imm, in.Args = loop.OpConst, bits, nil
}
