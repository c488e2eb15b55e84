package opt

import (
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// fold computes what constants become in vectors, so that they are constants again, which a backend keeps in memory
// or makes anew at will, where an instruction's result would hold a register throughout a loop; and arithmetic of index
// constants, which there is where a loop that runs once was. It puts constants second, where instructions have their
// immediate operand. What gives one of its operands in any case is that operand.
func fold(f *loop.Func, _ *Target) {
	o := &folder{defs: definitions(f)}
	o.block(f.Body)
}

type folder struct {
	defs *table[*loop.Instr]
	repl table[*loop.Value]
}

func (o *folder) block(b *loop.Block) {
	for _, in := range b.Instrs {
		o.replace(in.Args)
		for _, s := range in.Blocks {
			o.block(s)
		}
		if len(in.Results) == 1 && len(in.Args) > 0 {
			o.instr(in)
		}
	}
	o.replace(b.Yield)
}

func (o *folder) replace(vs []*loop.Value) {
	for i, v := range vs {
		if w := o.repl.get(v); w != nil {
			vs[i] = w
		}
	}
}

// bits gives a constant's.
func (o *folder) bits(v *loop.Value) (uint64, bool) {
	d := o.defs.get(v)
	if d == nil || d.Op != loop.OpConst {
		return 0, false
	}
	return d.Imm, true
}

func (o *folder) instr(in *loop.Instr) {
	r := in.Results[0].Type
	if v := idle(in); v != nil {
		o.repl.set(in.Results[0], v)
		return
	}
	x, known := o.bits(in.Args[0])
	switch in.Op {
	case loop.OpAdd, loop.OpMul, loop.OpAnd, loop.OpOr, loop.OpXor:
		if _, second := o.bits(in.Args[1]); known && !second {
			in.Args[0], in.Args[1] = in.Args[1], in.Args[0]
		}
	}
	if f := indexOps[in.Op]; f != nil && r == loop.Index {
		o.index(in, f)
	}
	if !known {
		return
	}
	switch in.Op {
	case loop.OpBroadcast, loop.OpExtract:
		becomes(in, x)
	case loop.OpBitcast:
		if in.Args[0].Type.Lanes == 1 && r.Lanes == 1 { // a vector's bits need no instruction
			becomes(in, x)
		}
	case loop.OpNot:
		if r.Elem == tensor.Bool {
			becomes(in, x^1)
		} else {
			becomes(in, ^x&(1<<(r.Elem.Bits()-1)<<1-1))
		}
	}
}

// idle is the operand that an instruction gives whatever it does, or nil.
func idle(in *loop.Instr) *loop.Value {
	switch n := len(in.Args); in.Op {
	case loop.OpAnd, loop.OpOr, loop.OpSelect:
		if in.Args[n-1] == in.Args[n-2] {
			return in.Args[n-1]
		}
	}
	return nil
}

// indexOps is the arithmetic of indices that addresses are made of.
var indexOps = map[loop.Op]func(x, y int64) int64{
	loop.OpAdd: func(x, y int64) int64 { return x + y },
	loop.OpSub: func(x, y int64) int64 { return x - y },
	loop.OpMul: func(x, y int64) int64 { return x * y },
}

// neutral are the second operands that change nothing.
var neutral = map[loop.Op]int64{loop.OpAdd: 0, loop.OpSub: 0, loop.OpMul: 1}

func (o *folder) index(in *loop.Instr, f func(x, y int64) int64) {
	x, ok := constant(o.defs, in.Args[0])
	y, known := constant(o.defs, in.Args[1])
	switch {
	case ok && known:
		becomes(in, uint64(f(x, y)))
	case known && y == neutral[in.Op]:
		o.repl.set(in.Results[0], in.Args[0])
	case known && y == 0 && in.Op == loop.OpMul:
		becomes(in, 0)
	}
}

// becomes makes in a constant.
func becomes(in *loop.Instr, bits uint64) {
	in.Op, in.Imm, in.Args = loop.OpConst, bits, nil
}
