package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// matMulNBits is a product with packed weights, which are unpacked in registers: a row of the weights is
// read once for a tile of rows of A, and scaled once for each block.
type matMulNBits struct {
	a, b, scales, zps, bias, out *ir.Value // zps and bias may be nil
	code                         tensor.DType
	k, n, block, blocks          int64
	m                            ir.Dim
}

// fewRows is up to how many rows of A the product is bound by reading the weights.
const fewRows = 8

func lowerMatMulNBits(c *Ctx, op *ir.Op) error {
	at := op.Attrs
	v := &matMulNBits{a: op.Operands[0], b: op.Operands[1], scales: op.Operands[2], zps: op.Operand(3), bias: op.Operand(5), out: op.Results[0],
		k: at.Int("K", 0), n: at.Int("N", 0), block: at.Int("block_size", 0)}
	v.code = map[int64]tensor.DType{2: tensor.U2, 4: tensor.U4, 8: tensor.U8}[at.Int("bits", 4)]
	if op.Operand(4) != nil || !v.a.Type.Ranked || !isHalfOrFloat(v.a.Type.DType) || !isHalfOrFloat(v.scales.Type.DType) || v.zps != nil && !compiled(v.zps.Type.DType) {
		return errDecline
	}
	v.blocks = (v.k + v.block - 1) / v.block
	v.m = ir.Product(v.a.Type.Shape[:v.a.Type.Rank()-1])
	c.checkEqual(op, v.a.Type.Shape[v.a.Type.Rank()-1], ir.Const(v.k), "the last dimension of A and K")
	if v.m.IsConst() {
		if v.m.Value() > fewRows {
			return v.tall(c, op)
		}
		return v.flat(c, op)
	}
	few := c.jump(plan.Step{Kind: plan.StepJumpLt, Name: "rows of " + op.Origin.Node, A: c.slot(v.m), B: c.constSlot(fewRows + 1)})
	if err := v.flat(c, op); err != nil {
		return err
	}
	done := c.jump(plan.Step{Kind: plan.StepJump, Name: "rows of " + op.Origin.Node})
	c.p.Steps[few].Grain = int64(len(c.p.Steps))
	if err := v.tall(c, op); err != nil {
		return err
	}
	c.p.Steps[done].A = int32(len(c.p.Steps))
	return nil
}

// flat unpacks the weights in registers, for a tile of few rows.
func (v *matMulNBits) flat(c *Ctx, op *ir.Op) error {
	rows := int64(4)
	if v.m.IsConst() {
		rows = max(1, min(rows, v.m.Value()))
	}
	tiles := v.m.CeilDiv(rows)
	s := v.step(op, "matmul_nbits")
	s.Par, s.NsPerIter = tiles.MulInt(v.n), 20+float64(v.k*(1+rows))/16
	s.Build = func(k *K) {
		k.Parallel(func(i *loop.Value) {
			co := k.Unflatten(i, tiles, ir.Const(v.n))
			row := make([]*loop.Value, rows)
			for r := range row {
				row[r] = k.MinIdx(k.AddInt(k.MulInt(co[0], rows), int64(r)), k.Dim(v.m.AddInt(-1)))
			}
			v.column(k, row, co[1])
		})
	}
	return c.Kernel(s)
}

// step is the common part of the kernels.
func (v *matMulNBits) step(op *ir.Op, name string) Step {
	return Step{Op: op, Name: name, Ins: present(v.a, v.b, v.scales, v.zps, v.bias), Outs: []*ir.Value{v.out},
		Flops: v.m.MulInt(2 * v.n * v.k), Bytes: bytesOf(v.a).Add(bytesOf(v.b)).Add(bytesOf(v.out))}
}

// number reads element i of a float tensor as f32.
func (k *K) number(v *ir.Value, i *loop.Value) *loop.Value {
	return k.CastTo(k.fromMemory(k.Load(k.Buf(v), i, 1), v.Type.DType), tensor.F32)
}

// zero is the zero point of block b of row n of the weights.
func (v *matMulNBits) zero(k *K, n, b *loop.Value) *loop.Value {
	switch {
	case v.zps == nil:
		return k.Float(loop.Scalar(tensor.F32), float64(int64(1)<<(v.code.Bits()-1)))
	case v.zps.Type.DType != tensor.U8:
		return k.number(v.zps, k.Add(k.MulInt(n, v.blocks), b))
	}
	per := int64(8 / v.code.Bits())
	padded := (v.blocks + per - 1) / per * per
	z := k.unpackAt(k.Buf(v.zps), k.Add(k.MulInt(n, padded), b), v.code)
	return k.Convert(k.Convert(z, tensor.I32), tensor.F32)
}

// weights reads lanes elements from e on, a multiple of lanes, less the zero point.
func (v *matMulNBits) weights(k *K, e, zero *loop.Value, lanes int) *loop.Value {
	var q *loop.Value
	if per := 8 / v.code.Bits(); lanes == 1 {
		q = k.unpackAt(k.Buf(v.b), e, v.code)
	} else if q = k.Load(k.Buf(v.b), k.Div(e, k.Int(int64(per))), lanes/per); per > 1 {
		q = k.unpackLanes(q, v.code)
	}
	return k.Sub(k.Convert(k.Convert(q, tensor.I32), tensor.F32), k.Broadcast(zero, lanes))
}

// blockSums adds to each row's sums what the elements [lo, hi) of block b contribute, lanes at a time.
func (v *matMulNBits) blockSums(k *K, row []*loop.Value, n, b, lo, hi *loop.Value, sums []*loop.Value, lanes int) []*loop.Value {
	at := k.Add(k.MulInt(n, v.blocks), b)
	zero, scale := v.zero(k, n, b), k.Broadcast(k.number(v.scales, at), lanes)
	parts := k.For(lo, hi, int64(lanes), repeat(len(row), k.Float(loop.Vec(tensor.F32, lanes), 0)), func(e *loop.Value, acc []*loop.Value) []*loop.Value {
		w := v.weights(k, k.Add(k.MulInt(at, v.block), e), zero, lanes)
		next := make([]*loop.Value, len(acc))
		for r := range row {
			x := k.Load(k.Buf(v.a), k.Add(k.MulInt(row[r], v.k), k.Add(k.MulInt(b, v.block), e)), lanes)
			next[r] = k.FMA(k.fromMemory(x, v.a.Type.DType), w, acc[r])
		}
		return next
	})
	out := make([]*loop.Value, len(sums))
	for r := range sums {
		out[r] = k.FMA(parts[r], scale, sums[r])
	}
	return out
}

// lanes is how many weights are unpacked at a time: whole bytes.
func (v *matMulNBits) lanes(k *K) int { return min(max(8, k.Level.Lanes(4)), int(v.block)) }

// column computes the results of some rows with row n of the weights.
func (v *matMulNBits) column(k *K, row []*loop.Value, n *loop.Value) {
	lanes := v.lanes(k)
	whole := k.Int(v.k / v.block)
	wide := k.For(k.Int(0), whole, 1, repeat(len(row), k.Float(loop.Vec(tensor.F32, lanes), 0)), func(b *loop.Value, acc []*loop.Value) []*loop.Value {
		return v.blockSums(k, row, n, b, k.Int(0), k.Int(v.block), acc, lanes)
	})
	sums := make([]*loop.Value, len(row))
	for r := range sums {
		sums[r] = k.Reduce(loop.OpReduceAdd, wide[r])
	}
	if rest := v.k % v.block; rest > 0 {
		sums = v.blockSums(k, row, n, whole, k.Int(0), k.Int(rest), sums, 1)
	}
	for r, y := range sums {
		if v.bias != nil {
			y = k.Add(y, k.number(v.bias, n))
		}
		k.Store(k.Buf(v.out), k.Add(k.MulInt(row[r], v.n), n), k.toMemory(y, v.out.Type.DType))
	}
}
