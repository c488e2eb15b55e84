package lower

import (
	"math"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// lowerQKVAttention compiles QKVAttention: the kernel of Attention reads queries, keys and values where one product left them.
func lowerQKVAttention(c *Ctx, op *ir.Op) error {
	x, heads := op.Operands[0], op.Attrs.Int("heads", 1)
	s := x.Type.Shape
	if len(s) != 3 || x.Type.DType != tensor.F32 || !s[2].IsConst() || s[2].Value()%(3*heads) != 0 {
		return errDecline
	}
	n := s[2].Value() / 3
	size := ir.Const(n / heads)
	a := &attention{c: c, op: op, ct: tensor.F32, b: s[0], hq: ir.Const(heads), hk: ir.Const(heads), lq: s[1], lk: s[1], d: size, dv: size,
		mask: op.Operand(1), left: -1, right: -1, scale: op.Attrs.Float("scale", 1), masked: op.Attrs.Float("masked_score", math.Inf(-1)), plain: true}
	for i, view := range []*headView{&a.q, &a.k, &a.v} {
		*view = headView{v: x, b: s[1].Mul(s[2]), h: size, l: s[2], at: ir.Const(int64(i) * n)}
	}
	if a.mask != nil && (a.mask.Type.Rank() < 1 || !compiled(a.mask.Type.DType)) {
		return errDecline
	}
	if err := a.walkMask(); err != nil {
		return err
	}
	if err := a.pack(); err != nil {
		return err
	}
	return a.kernel()
}
