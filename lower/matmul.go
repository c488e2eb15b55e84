package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// floats converts constant data to f32.
func floats(t *tensor.Tensor) ([]float32, error) {
	out := make([]float32, t.Len())
	aligned := &tensor.Tensor{DType: t.DType, Shape: t.Shape, Data: tensor.AlignedBytes(int64(len(t.Data)))}
	copy(aligned.Data, t.Data)
	switch t.DType {
	case tensor.F32:
		return tensor.View[float32](aligned), nil
	case tensor.F16:
		for i, x := range tensor.View[uint16](aligned) {
			out[i] = tensor.F16ToF32(x)
		}
	case tensor.BF16:
		for i, x := range tensor.View[uint16](aligned) {
			out[i] = tensor.BF16ToF32(x)
		}
	default:
		return nil, errDecline
	}
	return out, nil
}

func isHalfOrFloat(d tensor.DType) bool {
	return d == tensor.F32 || d == tensor.F16 || d == tensor.BF16
}

// lowerMatMul compiles MatMul by the rules of numpy.matmul: by gemm, else by the general product.
func lowerMatMul(c *Ctx, op, anchor *ir.Op, out *ir.Value) error {
	return c.either(func() error { return lowerMatMulF32(c, op, anchor, out) }, func() error {
		if op != anchor {
			return errDecline
		}
		return lowerMatMulAny(c, op, out)
	})
}

func lowerMatMulF32(c *Ctx, op, anchor *ir.Op, out *ir.Value) error {
	a, b := c.resolve(anchor.Operands[0]), c.resolve(anchor.Operands[1])
	if !isHalfOrFloat(a.Type.DType) || a.Type.Rank() < 1 || b.Type.Rank() < 1 {
		return errDecline
	}
	bd, err := c.newBody(op, anchor)
	if err != nil {
		return err
	}
	as, bs := a.Type.Shape, b.Type.Shape
	c.checkEqual(op, as[len(as)-1], bs[max(0, len(bs)-2)], "the inner dimensions")
	if ir.Product(out.Type.Shape).Is(0) { // strides of nothing do not tell what is broadcast
		_, err := c.define(out)
		return err
	}
	if len(as) == 1 {
		as = append([]ir.Dim{ir.Const(1)}, as...)
	}
	if len(bs) == 1 {
		bs = append(append([]ir.Dim{}, bs...), ir.Const(1))
	}
	g := &gemm{op: op, a: a, out: out, body: bd, n: bs[len(bs)-1], k: as[len(as)-1], aK: ir.Const(1)}
	g.aRow = g.k
	if len(bs) == 2 || ir.Product(bs[:len(bs)-2]).Is(1) {
		// One B for all: the batch dimensions of A are rows.
		g.lead = as[:len(as)-1]
		if len(bs) > len(as) { // B has more leading ones than A
			g.lead = append(oneDims(len(bs)-len(as)), g.lead...)
		}
		g.m = ir.Product(g.lead)
		if d := c.constOf(b); d != nil && g.k.IsConst() && g.n.IsConst() {
			if err := g.constant(c, d, b, anchor.Results[0], false); err != nil {
				return err
			}
		} else if err := g.packB(c, b, nil, nil, g.n, ir.Const(1)); err != nil {
			return err
		}
	} else if err := g.batched(c, b, as, bs); err != nil {
		return err
	}
	// The result's shape lacks the dimension that a vector operand was given.
	if a.Type.Rank() == 1 || b.Type.Rank() == 1 {
		if len(bd.ops) > 0 {
			return errDecline
		}
	}
	return g.lower(c)
}

func oneDims(n int) []ir.Dim {
	s := make([]ir.Dim, n)
	for i := range s {
		s[i] = ir.Const(1)
	}
	return s
}

// batched sets up a product in which B has batch dimensions of its own.
func (g *gemm) batched(c *Ctx, b *ir.Value, as, bs []ir.Dim) error {
	na, nb := as[:len(as)-2], bs[:len(bs)-2]
	rank := max(len(na), len(nb))
	na = append(oneDims(rank-len(na)), na...)
	nb = append(oneDims(rank-len(nb)), nb...)
	for i := range na {
		switch {
		case na[i].Equal(nb[i]) || nb[i].Is(1):
			g.batch = append(g.batch, na[i])
		case na[i].Is(1):
			g.batch = append(g.batch, nb[i])
		default:
			return errDecline
		}
	}
	g.m = as[len(as)-2]
	g.lead = []ir.Dim{g.m}
	aSize, bSize := g.m.Mul(g.k), g.k.Mul(g.n)
	ast, bst := Strides(na), Strides(nb)
	for i := range na {
		s := ast[i].Mul(aSize)
		if na[i].Is(1) {
			s = ir.Dim{}
		}
		g.aBatch = append(g.aBatch, s)
	}
	src := make([]ir.Dim, rank)
	for i := range src {
		src[i] = bst[i].Mul(bSize)
	}
	if err := g.packB(c, b, nb, src, g.n, ir.Const(1)); err != nil {
		return err
	}
	for i := range nb {
		if nb[i].Is(1) {
			g.bBatch[i] = ir.Dim{}
		}
	}
	return nil
}

// lowerGemm compiles Gemm: alpha*op(A)*op(B) + beta*C.
func lowerGemm(c *Ctx, op, anchor *ir.Op, out *ir.Value) error {
	return c.either(func() error { return lowerGemmF32(c, op, anchor, out) }, func() error {
		if op != anchor {
			return errDecline
		}
		return lowerGemmAny(c, op, out)
	})
}

func lowerGemmF32(c *Ctx, op, anchor *ir.Op, out *ir.Value) error {
	a, b := c.resolve(anchor.Operands[0]), c.resolve(anchor.Operands[1])
	if !isHalfOrFloat(a.Type.DType) {
		return errDecline
	}
	bd, err := c.newBody(op, anchor)
	if err != nil {
		return err
	}
	ta, tb := anchor.Attrs.Int("transA", 0) != 0, anchor.Attrs.Int("transB", 0) != 0
	as, bs := a.Type.Shape, b.Type.Shape
	g := &gemm{op: op, a: a, out: out, body: bd, m: as[0], k: as[1], aRow: as[1], aK: ir.Const(1), n: bs[1]}
	if ta {
		g.m, g.k, g.aRow, g.aK = as[1], as[0], ir.Const(1), as[1]
	}
	bRow, bCol, inner := bs[1], ir.Const(1), bs[0]
	if tb {
		g.n, bRow, bCol, inner = bs[0], ir.Const(1), bs[1], bs[1]
	}
	c.checkEqual(op, g.k, inner, "the inner dimensions")
	if inner.IsConst() {
		g.k = inner
	}
	g.lead = []ir.Dim{g.m}
	if d := c.constOf(b); d != nil {
		if err := g.constant(c, d, b, anchor.Results[0], tb); err != nil {
			return err
		}
	} else if err := g.packB(c, b, nil, nil, bRow, bCol); err != nil {
		return err
	}
	alpha, beta, bias := anchor.Attrs.Float("alpha", 1), anchor.Attrs.Float("beta", 1), anchor.Operand(2)
	if beta == 0 {
		bias = nil // C is ignored, NaN included
	}
	if bias != nil && (c.constOf(bias) == nil || c.constOf(bias).Len() != 1) {
		g.extra = append(g.extra, bias)
	}
	g.before = func(k *K, acc *loop.Value, load func(v *ir.Value) *loop.Value) *loop.Value {
		if alpha != 1 {
			acc = k.Mul(acc, k.Float(acc.Type, alpha))
		}
		if bias == nil {
			return acc
		}
		var x *loop.Value
		if d := k.C.constOf(bias); d != nil && d.Len() == 1 {
			x = k.splat(d, acc.Type.Lanes)
		} else {
			x = load(bias)
		}
		if beta != 1 {
			return k.FMA(x, k.Float(acc.Type, beta), acc)
		}
		return k.Add(acc, x)
	}
	return g.lower(c)
}
