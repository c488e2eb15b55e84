package lower

import (
	"math"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// twisted emits a step that draws n numbers of [0, 1), f64, from MT19937 as hostop's twister does, which says
// where it is from. Each of its blocks of 624 words is made of the one before, so it is no parallel work.
func (c *Ctx) twisted(op *ir.Op, seed uint32, n ir.Dim) (*ir.Value, error) {
	const words, shift = 624, 397
	out := c.Scratch(ir.TensorType(tensor.F64, n))
	return out, c.Kernel(Step{
		Op: op, Name: "mt19937", Outs: []*ir.Value{out}, Par: ir.Const(1), NsPerIter: 20_000, Bytes: bytesOf(out),
		Build: func(k *K) {
			state, u32 := k.Local("state", tensor.U32, words), loop.Scalar(tensor.U32)
			num := func(v uint32) *loop.Value { return k.IntOf(u32, int64(v)) }
			load := func(i *loop.Value) *loop.Value { return k.Load(state, i, 1) }
			// after is index i plus by, around the end.
			after := func(i *loop.Value, by int64) *loop.Value {
				j := k.AddInt(i, by)
				return k.Select(k.Cmp(loop.LT, j, k.Int(words)), j, k.AddInt(j, -words))
			}
			word := func(i *loop.Value) *loop.Value {
				y := load(i)
				y = k.Xor(y, k.Shr(y, num(11)))
				y = k.Xor(y, k.And(k.Shl(y, num(7)), num(0x9d2c5680)))
				y = k.Xor(y, k.And(k.Shl(y, num(15)), num(0xefc60000)))
				return k.Xor(y, k.Shr(y, num(18)))
			}
			k.Parallel(func(*loop.Value) {
				k.Store(state, k.Int(0), num(seed))
				k.For(k.Int(1), k.Int(words), 1, []*loop.Value{num(seed)}, func(i *loop.Value, a []*loop.Value) []*loop.Value {
					next := k.Add(k.Mul(k.Xor(a[0], k.Shr(a[0], num(30))), num(1812433253)), k.Convert(i, tensor.U32))
					k.Store(state, i, next)
					return []*loop.Value{next}
				})
				k.Range(k.Int(0), k.Dim(n), words/2, func(from *loop.Value) {
					k.Range(k.Int(0), k.Int(words), 1, func(i *loop.Value) {
						y := k.Or(k.And(load(i), num(0x80000000)), k.And(load(after(i, 1)), num(math.MaxInt32)))
						odd := k.Sub(num(0), k.And(y, num(1))) // all bits set where y is odd
						k.Store(state, i, k.Xor(k.Xor(load(after(i, shift)), k.Shr(y, num(1))), k.And(odd, num(0x9908b0df))))
					})
					k.Range(k.Int(0), k.MinIdx(k.Int(words/2), k.Sub(k.Dim(n), from)), 1, func(i *loop.Value) {
						a, b := word(k.MulInt(i, 2)), word(k.AddInt(k.MulInt(i, 2), 1))
						k.Store(k.Buf(out), k.Add(from, i), k.unitOf(k.Convert(a, tensor.U64), k.Convert(b, tensor.U64)))
					})
				})
			})
		},
	})
}
