package opt

import (
	"slices"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Rules for vectors of bytes and 16-bit words, which machines treat worst.

// shiftInWords shifts all elements of 32 bits at once by a constant, and clears what came from the neighbours. A sign
// is extended after that: (x>>n ^ m) - m with the sign bit's place m.
func shiftInWords(b *loop.Builder, in *loop.Instr) *loop.Value {
	x := in.Args[0]
	n, ok := b.ConstBits(in.Args[1])
	if bytes := x.Type.Lanes * x.Type.Elem.Size(); !ok || bytes < 8 {
		return nil
	}
	words := loop.Vec(tensor.U32, x.Type.Lanes*x.Type.Elem.Size()/4)
	w := b.Emit(&loop.Instr{Op: in.Op, Args: []*loop.Value{b.Bitcast(x, words), b.IntOf(words, int64(n))}}, words)
	all := uint64(1)<<x.Type.Elem.Bits() - 1
	left := all >> n
	if in.Op == loop.OpShl {
		left = all << n & all
	}
	v := b.And(b.Bitcast(w, x.Type), b.Bits(x.Type, left))
	if in.Op == loop.OpShl || isUnsigned(x.Type.Elem) {
		return v
	}
	sign := b.Bits(x.Type, (all+1)/2>>n)
	return b.Sub(b.Xor(v, sign), sign)
}

// shuffleHalves picks lanes from halves of the operands, for machines that pick from short vectors alone, down to
// 16 bytes. Halves and joins themselves are what it is made of.
func shuffleHalves(b *loop.Builder, in *loop.Instr) *loop.Value {
	x, y := in.Args[0], in.Args[1]
	n, h := len(in.Lanes), x.Type.Lanes/2
	if x.Type.Lanes*x.Type.Elem.Size() <= 16 || n < 2 || n == h && isCount(in.Lanes) || n == 4*h && slices.Equal(in.Lanes, count(0, n)) {
		return nil
	}
	if n > h { // each half of the result, joined
		lo := b.Shuffle(x, y, in.Lanes[:n/2]...)
		hi := b.Shuffle(x, y, in.Lanes[n/2:]...)
		return b.Shuffle(lo, hi, count(0, n)...)
	}
	var src []*loop.Value
	for _, v := range []*loop.Value{x, y} {
		src = append(src, b.Shuffle(v, v, count(0, h)...), b.Shuffle(v, v, count(h, h)...))
	}
	return pick(b, src, h, in.Lanes)
}
