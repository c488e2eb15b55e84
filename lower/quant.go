package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// quantRules are the ops on quantised tensors. All sums are exact.
func quantRules() map[string]rule {
	return map[string]rule{
		"QuantizeLinear": lowerLinear, "DequantizeLinear": lowerLinear, "DynamicQuantizeLinear": lowerDynamicQuantize,
		"MatMulInteger": lowerMatMulInteger, "QLinearMatMul": lowerQLinearMatMul, "ConvInteger": lowerConvInteger, "QLinearConv": lowerQLinearConv,
		"ms.MatMulNBits": lowerMatMulNBits,
	}
}

// quantRange is the range of an integer type that kernels quantise to.
func quantRange(d tensor.DType) (lo, hi float64, ok bool) {
	switch d {
	case tensor.U8:
		return 0, 255, true
	case tensor.I8:
		return -128, 127, true
	case tensor.U16:
		return 0, 65535, true
	case tensor.I16:
		return -32768, 32767, true
	}
	return 0, 0, false
}

// scalesFit reports whether the scale and zero point of op apply to x by broadcasting: one for all, or
// shaped so by lowerLinear.
func scalesFit(op *ir.Op) bool {
	x, scale, zp := op.Operands[0].Type, op.Operands[1].Type, op.Operand(2)
	if op.Attrs.Int("block_size", 0) != 0 || !x.Ranked {
		return false
	}
	fits := func(t ir.Type) bool {
		return t.Ranked && (len(t.Shape) == len(x.Shape) || ir.Product(t.Shape).Is(1) && len(t.Shape) <= max(len(x.Shape), 1))
	}
	return fits(scale) && (zp == nil || fits(zp.Type) && ir.Product(zp.Type.Shape).Equal(ir.Product(scale.Shape)))
}

// elementwiseQuantize is quantizeOne where the scale broadcasts.
func elementwiseQuantize(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	if !scalesFit(op) {
		return nil, errDecline
	}
	return quantizeOne(k, op, x)
}

// elementwiseDequantize is dequantizeOne where the scale broadcasts.
func elementwiseDequantize(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	if !scalesFit(op) {
		return nil, errDecline
	}
	return dequantizeOne(k, op, x)
}

// quantizeOne is saturate(round(x/scale) + zero_point), or x/scale where the result is a float. Integers
// are divided in f64 and, as the host function does, rounded to f32 unless more precision is asked for.
func quantizeOne(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	d := op.Results[0].Type.DType
	v, scale := x[0], x[1]
	if _, _, ok := quantRange(d); !ok && d != tensor.F32 {
		return nil, errDecline
	}
	precise := tensor.DType(op.Attrs.Int("precision", 0)) == tensor.F64 || v.Type.Elem == tensor.F64
	if precise || v.Type.Elem != tensor.F32 || scale.Type.Elem != tensor.F32 {
		v, scale = k.CastTo(v, tensor.F64), k.CastTo(scale, tensor.F64)
	}
	v = k.Div(v, scale)
	if !precise || d == tensor.F32 {
		v = k.Convert(v, tensor.F32)
	}
	if d == tensor.F32 {
		return v, nil
	}
	var zp *loop.Value
	if len(x) > 2 && x[2] != nil {
		zp = k.Convert(x[2], v.Type.Elem)
	}
	return k.quantize(v, zp, d), nil
}

// quantize is saturate(round(v) + zp) for a float v; NaN gives the least value. zp may be nil.
func (k *K) quantize(v, zp *loop.Value, d tensor.DType) *loop.Value {
	lo, hi, _ := quantRange(d)
	v = k.Unary(loop.OpRound, v)
	if zp != nil {
		v = k.Add(v, zp)
	}
	least, most := k.Float(v.Type, lo), k.Float(v.Type, hi)
	v = k.Select(k.Cmp(loop.GT, v, least), v, least)
	v = k.Select(k.Cmp(loop.LT, v, most), v, most)
	return k.Convert(k.Convert(v, tensor.I32), d)
}

// dequantizeOne is (x - zero_point) * scale. What f32 may not hold exactly is scaled in f64, as the host
// function does.
func dequantizeOne(k *K, op *ir.Op, x []*loop.Value) (*loop.Value, error) {
	from, out := op.Operands[0].Type.DType, op.Results[0].Type.DType
	_, _, narrow := quantRange(from)
	if !narrow && from != tensor.I32 && from != tensor.F32 || !isHalfOrFloat(out) {
		return nil, errDecline
	}
	ct := tensor.F32
	if from == tensor.I32 || x[1].Type.Elem != tensor.F32 {
		ct = tensor.F64
	}
	v := k.Convert(x[0], ct)
	if len(x) > 2 && x[2] != nil {
		v = k.Sub(v, k.Convert(x[2], ct))
	}
	return k.Convert(k.Mul(v, k.Convert(x[1], ct)), tensor.F32), nil
}

// lowerLinear compiles QuantizeLinear and DequantizeLinear as elementwise ops. Scales and zero points
// along an axis are seen as tensors of the rank of x, so that they broadcast.
func lowerLinear(c *Ctx, op *ir.Op) error {
	x, scale := op.Operands[0], op.Operands[1]
	if !x.Type.Ranked || !scale.Type.Ranked {
		return errDecline
	}
	if op.Attrs.Int("block_size", 0) != 0 {
		return lowerBlockedLinear(c, op)
	}
	if len(scale.Type.Shape) <= 1 && !ir.Product(scale.Type.Shape).Is(1) {
		axis := axisOf(op.Attrs.Int("axis", 1), x.Type.Rank())
		if axis < 0 || axis >= x.Type.Rank() {
			return errDecline
		}
		operands := []*ir.Value{x}
		for _, v := range op.Operands[1:] {
			w, err := c.alongAxis(op, v, axis, x.Type.Shape)
			if err != nil {
				return err
			}
			operands = append(operands, w)
		}
		o := *op
		o.Operands = operands
		op = &o
	}
	return lowerElementwise(c, op)
}

// lowerBlockedLinear compiles the forms with a scale for each block of elements along an axis.
func lowerBlockedLinear(c *Ctx, op *ir.Op) error {
	x, scale, out := op.Operands[0], op.Operands[1], op.Results[0]
	block, rank := op.Attrs.Int("block_size", 0), x.Type.Rank()
	axis := axisOf(op.Attrs.Int("axis", 1), rank)
	for _, v := range op.Operands {
		if v != nil && !compiled(v.Type.DType) {
			return errDecline
		}
	}
	if block < 1 || axis < 0 || axis >= rank || scale.Type.Rank() != rank || !compiled(out.Type.DType) {
		return errDecline
	}
	n := x.Type.Shape[axis]
	blocks := n.CeilDiv(block)
	for i, d := range x.Type.Shape {
		if i == axis {
			d = blocks
		}
		c.checkEqual(op, scale.Type.Shape[i], d, "sizes of data and scale")
	}
	if zp := op.Operand(2); zp != nil {
		c.checkEqual(op, ir.Product(zp.Type.Shape), ir.Product(scale.Type.Shape), "the numbers of scales and zero points")
	}
	outer, inner := around(x.Type.Shape, axis)
	one := quantizeOne
	if op.Info.Name == "DequantizeLinear" {
		one = dequantizeOne
	}
	s := Step{Op: op, Name: "blocked", Ins: present(op.Operands...), Outs: []*ir.Value{out}, Bytes: bytesOf(x).Add(bytesOf(out))}
	// put computes the elements at `at`, whose scales are at `scaled` on or, with one, all there.
	put := func(k *K, at, scaled *loop.Value, lanes int, all bool) {
		args := make([]*loop.Value, len(op.Operands))
		for i, v := range op.Operands {
			switch {
			case v == nil:
			case i == 0:
				args[i] = k.fromMemory(k.Load(k.Buf(v), at, lanes), v.Type.DType)
			case all:
				args[i] = k.Broadcast(k.fromMemory(k.Load(k.Buf(v), scaled, 1), v.Type.DType), lanes)
			default:
				args[i] = k.fromMemory(k.Load(k.Buf(v), scaled, lanes), v.Type.DType)
			}
		}
		r, err := one(k, op, args)
		if err != nil {
			k.Fail(err)
			return
		}
		k.Store(k.Buf(out), at, k.toMemory(r, out.Type.DType))
	}
	if inner.Is(1) { // a scale for neighbours
		s.Par, s.NsPerIter = outer.Mul(blocks), 5+float64(block)*0.3
		s.Build = func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, outer, blocks)
				lo := k.MulInt(co[1], block)
				hi := k.MinIdx(k.AddInt(lo, block), k.Dim(n))
				row := k.MulDim(co[0], n)
				lanes := k.Level.Lanes(4)
				for lanes > 1 && int64(lanes) > block {
					lanes /= 2
				}
				k.vectorLoop(lo, hi, lanes, func(e *loop.Value, lanes int) { put(k, k.Add(row, e), i, lanes, true) })
			})
		}
		return c.Kernel(s)
	}
	s.Par, s.NsPerIter = outer.Mul(n), perChunk(inner, 0.3)
	s.Build = func(k *K) {
		k.Parallel(func(i *loop.Value) {
			co := k.Unflatten(i, outer, n)
			row := k.MulDim(i, inner)
			scales := k.MulDim(k.Add(k.MulDim(co[0], blocks), k.Div(co[1], k.Int(block))), inner)
			k.vectorLoop(k.Int(0), k.Dim(inner), k.Level.Lanes(4), func(e *loop.Value, lanes int) {
				put(k, k.Add(row, e), k.Add(scales, e), lanes, false)
			})
		})
	}
	return c.Kernel(s)
}

// alongAxis is a vector seen as a tensor of the rank of x, whose only dimension other than 1 is that along axis.
func (c *Ctx) alongAxis(op *ir.Op, v *ir.Value, axis int, x []ir.Dim) (*ir.Value, error) {
	if v == nil {
		return nil, nil
	}
	if v.Type.Rank() != 1 {
		return nil, errDecline
	}
	c.checkEqual(op, v.Type.Shape[0], x[axis], "the number of scales or zero points and the size of the axis")
	shape := oneDims(len(x))
	shape[axis] = x[axis]
	st, err := c.at(v)
	if err != nil {
		return nil, op.Errorf("%w", err)
	}
	w := c.M.NewValue(v.Name, ir.TensorType(v.Type.DType, shape...))
	c.storage[w] = st
	return w, nil
}

// lowerDynamicQuantize finds the range of the data, chunk by chunk and then over the chunks, from which
// scale and zero point follow.
func lowerDynamicQuantize(c *Ctx, op *ir.Op) error {
	x := op.Operands[0]
	if x.Type.DType != tensor.F32 || x.Type.Rank() < 0 {
		return errDecline
	}
	n := ir.Product(x.Type.Shape)
	chunk, chunks := chunked(n)
	ends := c.Scratch(ir.TensorType(tensor.F32, chunks, ir.Const(2)))
	outs := append([]*ir.Value{}, op.Results...)
	for len(outs) < 3 {
		outs = append(outs, nil)
	}
	for i, d := range []tensor.DType{tensor.U8, tensor.F32, tensor.U8} {
		if outs[i] == nil {
			outs[i] = c.Scratch(ir.TensorType(d, []ir.Dim{n}[:1-min(i, 1)]...))
		}
	}
	err := c.Kernel(Step{
		Op: op, Name: "range_of", Ins: []*ir.Value{x}, Outs: []*ir.Value{ends}, Par: chunks, NsPerIter: perChunk(chunk, 0.1), Bytes: bytesOf(x),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				lo, hi := k.chunkRange(i, chunk, n)
				k.rangeOf(x, ends, k.MulInt(i, 2), lo, hi)
			})
		},
	})
	if err != nil {
		return err
	}
	err = c.Kernel(Step{
		Op: op, Name: "quant_params", Ins: []*ir.Value{ends}, Outs: outs[1:], Par: ir.Const(1), NsPerIter: 50,
		Build: func(k *K) {
			k.Parallel(func(*loop.Value) {
				f := loop.Scalar(tensor.F32)
				r := k.For(k.Int(0), k.Dim(chunks), 1, []*loop.Value{k.Float(f, 0), k.Float(f, 0)}, func(e *loop.Value, a []*loop.Value) []*loop.Value {
					at := k.MulInt(e, 2)
					return []*loop.Value{k.Min(a[0], k.Load(k.Buf(ends), at, 1)), k.Max(a[1], k.Load(k.Buf(ends), k.AddInt(at, 1), 1))}
				})
				scale := k.Div(k.Sub(r[1], r[0]), k.Float(f, 255))
				scale = k.Select(k.Cmp(loop.EQ, scale, k.Float(f, 0)), k.Float(f, 1), scale)
				k.Store(k.Buf(outs[1]), k.Int(0), scale)
				k.Store(k.Buf(outs[2]), k.Int(0), k.quantize(k.Div(k.Neg(r[0]), scale), nil, tensor.U8))
			})
		},
	})
	if err != nil {
		return err
	}
	return c.Kernel(Step{
		Op: op, Name: "quantize", Ins: append([]*ir.Value{x}, outs[1:]...), Outs: outs[:1], Par: chunks, NsPerIter: perChunk(chunk, 0.2), Bytes: bytesOf(x),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				lo, hi := k.chunkRange(i, chunk, n)
				scale, zp := k.Load(k.Buf(outs[1]), k.Int(0), 1), k.Convert(k.Load(k.Buf(outs[2]), k.Int(0), 1), tensor.F32)
				k.vectorLoop(lo, hi, k.Level.Lanes(4), func(e *loop.Value, lanes int) {
					v := k.Div(k.Load(k.Buf(x), e, lanes), k.Broadcast(scale, lanes))
					k.Store(k.Buf(outs[0]), e, k.quantize(v, k.Broadcast(zp, lanes), tensor.U8))
				})
			})
		},
	})
}

// rangeOf stores, at to, the least and the largest of 0 and the elements [lo, hi) of x; NaN if there is one.
func (k *K) rangeOf(x, ends *ir.Value, to, lo, hi *loop.Value) {
	w := k.Level.Lanes(4)
	over := func(lo, hi *loop.Value, lanes int, init ...*loop.Value) []*loop.Value {
		return k.For(lo, hi, int64(lanes), init, func(e *loop.Value, a []*loop.Value) []*loop.Value {
			v := k.Load(k.Buf(x), e, lanes)
			return []*loop.Value{k.Min(a[0], v), k.Max(a[1], v)}
		})
	}
	mid := k.Add(lo, k.MulInt(k.Div(k.Sub(hi, lo), k.Int(int64(w))), int64(w)))
	zero := k.Float(loop.Vec(tensor.F32, w), 0)
	wide := over(lo, mid, w, zero, zero)
	r := over(mid, hi, 1, k.Reduce(loop.OpReduceMin, wide[0]), k.Reduce(loop.OpReduceMax, wide[1]))
	k.Store(k.Buf(ends), to, r[0])
	k.Store(k.Buf(ends), k.AddInt(to, 1), r[1])
}
