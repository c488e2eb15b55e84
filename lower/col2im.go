package lower

import (
	"math"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// lowerCol2Im compiles Col2Im: each pixel sums the taps of the windows that cover it.
func lowerCol2Im(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	d := x.Type.DType
	if x.Type.Rank() != 3 || out.Type.Rank() < 3 || !compiled(d) {
		return errDecline
	}
	os := out.Type.Shape
	block, ok := c.elems(op.Operands[2])
	if !ok {
		block = c.newSyms(len(os) - 2)
	}
	if len(block) != len(os)-2 {
		return errDecline
	}
	if err := c.learnCol2Im(op, block); err != nil {
		return err
	}
	s, err := newSpatial(&ir.Op{Info: op.Info, Attrs: op.Attrs}, os[2:], os[2:], block)
	if err != nil {
		return err
	}
	for i := range s.in { // the positions of the windows
		s.out = append([]ir.Dim{}, s.out...)
		s.out[i] = s.in[i].Add(s.before[i]).Add(s.after[i]).Sub(s.extent(i)).Max(ir.Const(-s.stride[i])).Div(ir.Const(s.stride[i])).AddInt(1)
	}
	taps, points := ir.Product(block), ir.Product(s.out)
	c.checkEqual(op, x.Type.Shape[2], points, "the number of columns and that of the positions of blocks")
	c.checkEqual(op, x.Type.Shape[1], os[1].Mul(taps), "the number of rows and a multiple of the size of a block")
	last := len(s.in) - 1
	return c.Kernel(Step{
		Op: op, Name: "col2im", Ins: []*ir.Value{x}, Outs: []*ir.Value{out}, Par: os[0].Mul(os[1]).Mul(ir.Product(s.in[:last])), NsPerIter: 2000, Bytes: bytesOf(x).Add(bytesOf(out)),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, append([]ir.Dim{os[0], os[1]}, s.in[:last]...)...)
				from := k.MulDim(k.Flatten(co[:2], os[:2]), taps.Mul(points))
				k.Range(k.Int(0), k.Dim(s.in[last]), 1, func(q *loop.Value) {
					pixel := append(co[2:len(co):len(co)], q)
					zero := k.Bits(loop.Scalar(computeType(d)), 0)
					sum := s.covering(k, pixel, zero, func(tap, at *loop.Value) *loop.Value {
						return k.fromMemory(k.Load(k.Buf(x), k.Add(from, k.Add(k.MulDim(tap, points), at)), 1), d)
					})
					k.Store(k.Buf(out), k.Add(k.MulDim(i, s.in[last]), q), k.toMemory(sum, d))
				})
			})
		},
	})
}

// covering sums f over the taps and positions of the windows that cover a pixel; a sum of truths is whether one is.
func (s *spatial) covering(k *K, pixel []*loop.Value, zero *loop.Value, f func(tap, at *loop.Value) *loop.Value) *loop.Value {
	add := k.Add
	if zero.Type.Elem == tensor.Bool {
		add = k.Or
	}
	var walk func(d int, tap, at, sum *loop.Value) *loop.Value
	walk = func(d int, tap, at, sum *loop.Value) *loop.Value {
		if d == len(pixel) {
			return add(sum, f(tap, at))
		}
		return k.For(k.Int(0), k.Dim(s.kernel[d]), 1, []*loop.Value{sum}, func(t *loop.Value, acc []*loop.Value) []*loop.Value {
			x := k.Sub(k.Add(pixel[d], k.Dim(s.before[d])), k.MulInt(t, s.dilation[d]))
			p := k.Div(x, k.Int(s.stride[d]))
			hit := k.And(k.Cmp(loop.GE, x, k.Int(0)), k.And(k.Cmp(loop.LT, p, k.Dim(s.out[d])), k.Cmp(loop.EQ, k.MulInt(p, s.stride[d]), x)))
			return k.If(hit, func() []*loop.Value {
				return []*loop.Value{walk(d+1, k.Add(k.MulDim(tap, s.kernel[d]), t), k.Add(k.MulDim(at, s.out[d]), p), acc[0])}
			}, func() []*loop.Value { return acc })
		})[0]
	}
	return walk(0, k.Int(0), k.Int(0), zero)
}

// learnCol2Im binds what only the run time knows of the image's and the block's shape.
func (c *Ctx) learnCol2Im(op *ir.Op, block []ir.Dim) error {
	image, shape, os, x := op.Operands[1], op.Operands[2], op.Results[0].Type.Shape, op.Operands[0]
	if c.known(image) && c.known(shape) {
		return nil
	}
	if !isIndex(image) || !isIndex(shape) {
		return errDecline
	}
	return c.learn(learning{op: op, ins: []*ir.Value{image, shape}, dims: append(append([]ir.Dim{}, os[1:]...), block...), fault: "sizes of the image that are negative or of the block that are not positive",
		build: func(k *K) ([]*loop.Value, *loop.Value) {
			var sizes []*loop.Value
			faults, taps := k.Int(0), k.Int(1)
			read := func(v *ir.Value, i int, least int64) *loop.Value {
				n := k.Convert(k.Load(k.Buf(v), k.Int(int64(i)), 1), tensor.I64)
				faults = k.Add(faults, k.Select(k.Cmp(loop.LT, n, k.Int(least)), k.Int(1), k.Int(0)))
				n = k.MaxIdx(k.MinIdx(n, k.Int(math.MaxInt32)), k.Int(least))
				sizes = append(sizes, n)
				return n
			}
			for i := range block {
				read(image, i, 0)
			}
			for i := range block {
				taps = k.MinIdx(k.Mul(taps, read(shape, i, 1)), k.Int(math.MaxInt32))
			}
			return append([]*loop.Value{k.Div(k.Dim(x.Type.Shape[1]), taps)}, sizes...), faults
		}})
}

// lowerMaxUnpool compiles MaxUnpool: zeros, and the elements at their indices, which count in the shape that
// the attributes give; output_shape may be larger.
func lowerMaxUnpool(c *Ctx, op *ir.Op) error {
	x, idx, want, out := op.Operands[0], op.Operands[1], op.Operand(2), op.Results[0]
	rank := x.Type.Rank()
	if rank < 3 || !compiled(x.Type.DType) || !isIndex(idx) || idx.Type.Rank() != rank || out.Type.Rank() != rank {
		return errDecline
	}
	natural, err := unpooled(op, x.Type.Shape)
	if err != nil {
		return err
	}
	if want != nil && !c.known(want) {
		if !isIndex(want) {
			return errDecline
		}
		c.checkEqual(op, want.Type.Shape[0], ir.Const(int64(rank)), "the size of output_shape and the rank")
		if err := c.bindDims(op, want, out.Type.Shape, 0, "output_shape"); err != nil {
			return err
		}
	}
	for i, d := range x.Type.Shape {
		c.checkEqual(op, idx.Type.Shape[i], d, "the shapes of data and indices")
	}
	if _, err := c.define(out); err != nil {
		return op.Errorf("%w", err)
	}
	if err := c.fill(op, out, zeroOf(x.Type.DType)); err != nil {
		return err
	}
	bad := c.Scratch(ir.TensorType(tensor.I64))
	err = c.Kernel(Step{ // one iteration: the last of equal indices wins
		Op: op, Name: "unpool", Ins: []*ir.Value{x, idx}, Outs: []*ir.Value{out, bad}, Par: ir.Const(1), NsPerIter: chunkNs, Bytes: bytesOf(x).Add(bytesOf(idx)),
		Build: func(k *K) {
			k.Parallel(func(*loop.Value) {
				faults := k.For(k.Int(0), k.Dim(ir.Product(x.Type.Shape)), 1, []*loop.Value{k.Int(0)}, func(i *loop.Value, sum []*loop.Value) []*loop.Value {
					rest := k.Convert(k.Load(k.Buf(idx), i, 1), tensor.I64)
					ok := k.And(k.Cmp(loop.GE, rest, k.Int(0)), k.Cmp(loop.LT, rest, k.Dim(ir.Product(natural))))
					to := k.Int(0)
					st := Strides(out.Type.Shape)
					for d := rank - 1; d >= 0; d-- {
						n := k.Dim(natural[d].Max(ir.Const(1)))
						p := k.Rem(rest, n)
						rest = k.Div(rest, n)
						ok = k.And(ok, k.Cmp(loop.LT, p, k.Dim(out.Type.Shape[d])))
						to = k.Add(to, k.MulDim(p, st[d]))
					}
					k.choose(ok, func() { k.Store(k.Buf(out), to, k.Load(k.Buf(x), i, 1)) }, nil)
					return []*loop.Value{k.Add(sum[0], k.Select(ok, k.Int(0), k.Int(1)))}
				})
				k.Store(k.Buf(bad), k.Int(0), faults[0])
			})
		},
	})
	if err != nil {
		return err
	}
	return c.checkFaults(op, bad, "an index is out of range for the result")
}

// unpooled is the shape whose MaxPool has the given one.
func unpooled(op *ir.Op, shape []ir.Dim) ([]ir.Dim, error) {
	n := len(shape) - 2
	s, err1 := intsOr(op, "strides", n, 1)
	k, err2 := intsOr(op, "kernel_shape", n, 1)
	p, err3 := intsOr(op, "pads", 2*n, 0)
	if err1 != nil || err2 != nil || err3 != nil {
		return nil, errDecline
	}
	out := append([]ir.Dim{}, shape...)
	for i := range n {
		out[2+i] = shape[2+i].AddInt(-1).MulInt(s[i]).AddInt(k[i] - p[i] - p[n+i])
	}
	return out, nil
}
