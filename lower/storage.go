package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// storageRules are the ops that change how elements are stored; pass storage makes them.
func storageRules() map[string]rule {
	return map[string]rule{"Unpack": lowerUnpack, "Pack": lowerPack, "Part": lowerPart, "Join": lowerJoin}
}

func decode(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	return k.DecodeMini(x[0], op.Attrs.DType("from", tensor.Invalid)), nil
}

func encode(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	return k.EncodeMini(x[0], op.Attrs.DType("to", tensor.Invalid), op.Attrs.Int("saturate", 1) != 0, op.Attrs.Str("round_mode", "up")), nil
}

// flat emits a step over the n elements of out, in chunks of whole vectors.
func (c *Ctx) flat(op *ir.Op, name string, ins []*ir.Value, out *ir.Value, build func(k *K, lo, hi *loop.Value)) error {
	n := ir.Product(out.Type.Shape)
	chunk, chunks := chunked(n)
	bytes := bytesOf(out)
	for _, v := range ins {
		bytes = bytes.Add(bytesOf(v))
	}
	return c.Kernel(Step{
		Op: op, Name: name, Ins: ins, Outs: []*ir.Value{out}, Par: chunks, NsPerIter: perChunk(chunk, 0.1), Bytes: bytes,
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				lo, hi := k.chunkRange(i, chunk, n)
				build(k, lo, hi)
			})
		},
	})
}

// interleave gives x[0], y[0], x[1], y[1], ...
func (k *K) interleave(x, y *loop.Value) *loop.Value {
	n := x.Type.Lanes
	at := make([]int, 2*n)
	for i := range n {
		at[2*i], at[2*i+1] = i, n+i
	}
	return k.Shuffle(x, y, at...)
}

// every gives lanes first, first+step, ... of x.
func (k *K) every(x *loop.Value, first, step int) *loop.Value {
	var at []int
	for i := first; i < x.Type.Lanes; i += step {
		at = append(at, i)
	}
	return k.Shuffle(x, x, at...)
}

// unpackLanes puts the elements of d in bytes into a byte each, in order.
func (k *K) unpackLanes(x *loop.Value, d tensor.DType) *loop.Value {
	bits, t := d.Bits(), x.Type
	part := func(i int) *loop.Value {
		return k.And(k.Shr(x, k.IntOf(t, int64(i*bits))), k.IntOf(t, 1<<bits-1))
	}
	var v *loop.Value
	if bits == 4 {
		v = k.interleave(part(0), part(1))
	} else {
		v = k.interleave(k.interleave(part(0), part(2)), k.interleave(part(1), part(3)))
	}
	return k.signExtend(v, d)
}

// signExtend makes the low bits of bytes an i8 where d is signed.
func (k *K) signExtend(v *loop.Value, d tensor.DType) *loop.Value {
	if d.Class() != tensor.ClassInt {
		return v
	}
	top := k.IntOf(v.Type, 1<<(d.Bits()-1))
	return k.Bitcast(k.Sub(k.Xor(v, top), top), loop.Vec(tensor.I8, v.Type.Lanes))
}

// unpackAt reads element e of packed memory.
func (k *K) unpackAt(b *loop.Buf, e *loop.Value, d tensor.DType) *loop.Value {
	bits := int64(d.Bits())
	per := k.Int(8 / bits)
	x := k.Load(b, k.Div(e, per), 1)
	shift := k.Convert(k.MulInt(k.Rem(e, per), bits), tensor.U8)
	return k.signExtend(k.And(k.Shr(x, shift), k.IntOf(x.Type, 1<<bits-1)), d)
}

func lowerUnpack(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	d := x.Type.DType
	if !out.Type.Ranked {
		return errDecline
	}
	per := int64(8 / d.Bits())
	return c.flat(op, "unpack", []*ir.Value{x}, out, func(k *K, lo, hi *loop.Value) {
		k.vectorLoop(lo, hi, k.Level.Lanes(1), func(e *loop.Value, lanes int) {
			if lanes == 1 {
				k.Store(k.Buf(out), e, k.unpackAt(k.Buf(x), e, d))
				return
			}
			v := k.Load(k.Buf(x), k.Div(e, k.Int(per)), lanes/int(per))
			k.Store(k.Buf(out), e, k.unpackLanes(v, d))
		})
	})
}

// lowerPack writes whole bytes; what is left of the last one is 0.
func lowerPack(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	if !out.Type.Ranked {
		return errDecline
	}
	bits := out.Type.DType.Bits()
	per := 8 / bits
	n := ir.Product(out.Type.Shape)
	return c.flat(op, "pack", []*ir.Value{x}, out, func(k *K, lo, hi *loop.Value) {
		code := func(v *loop.Value, i int) *loop.Value {
			v = k.Bitcast(v, loop.Vec(tensor.U8, v.Type.Lanes))
			return k.Shl(k.And(v, k.IntOf(v.Type, 1<<bits-1)), k.IntOf(v.Type, int64(i*bits)))
		}
		first := k.Div(lo, k.Int(int64(per)))
		last := k.Div(k.AddInt(hi, int64(per-1)), k.Int(int64(per)))
		whole := k.Div(hi, k.Int(int64(per)))
		w := k.Level.Lanes(1) / per
		mid := k.Add(first, k.MulInt(k.Div(k.Sub(whole, first), k.Int(int64(w))), int64(w)))
		k.Range(first, mid, int64(w), func(b *loop.Value) {
			v := k.Load(k.Buf(x), k.MulInt(b, int64(per)), w*per)
			sum := code(k.every(v, 0, per), 0)
			for i := 1; i < per; i++ {
				sum = k.Or(sum, code(k.every(v, i, per), i))
			}
			k.Store(k.Buf(out), b, sum)
		})
		k.Range(mid, last, 1, func(b *loop.Value) {
			sum := k.IntOf(loop.Scalar(tensor.U8), 0)
			for i := range per {
				e := k.AddInt(k.MulInt(b, int64(per)), int64(i))
				v := code(k.Load(k.Buf(x), k.MinIdx(e, k.Dim(n.AddInt(-1))), 1), i)
				sum = k.Or(sum, k.Select(k.Cmp(loop.LT, e, k.Dim(n)), v, k.IntOf(v.Type, 0)))
			}
			k.Store(k.Buf(out), b, sum)
		})
	})
}

func lowerPart(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	if !out.Type.Ranked {
		return errDecline
	}
	return c.flat(op, "part", []*ir.Value{x}, out, func(k *K, lo, hi *loop.Value) {
		k.Range(lo, hi, 1, func(e *loop.Value) {
			k.Store(k.Buf(out), e, k.Load(k.bufAs(x, out.Type.DType), k.AddInt(k.MulInt(e, 2), op.Attrs.Int("index", 0)), 1))
		})
	})
}

func lowerJoin(c *Ctx, op *ir.Op) error {
	out := op.Results[0]
	if !out.Type.Ranked {
		return errDecline
	}
	return c.flat(op, "join", op.Operands, out, func(k *K, lo, hi *loop.Value) {
		k.Range(lo, hi, 1, func(e *loop.Value) {
			for i, v := range op.Operands {
				k.Store(k.bufAs(out, v.Type.DType), k.AddInt(k.MulInt(e, 2), int64(i)), k.Load(k.Buf(v), e, 1))
			}
		})
	})
}
