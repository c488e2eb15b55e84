package lower

import (
	"fmt"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// panels is a packed B operand: weights, or a scratch tensor.
type panels struct {
	weights int32 // plan buffer, -1 when scratch is used
	scratch *ir.Value
}

func (g *gemm) panelBuf(k *K) *loop.Buf {
	if g.b.scratch != nil {
		return k.Buf(g.b.scratch)
	}
	return k.WeightBuf(g.b.weights, packedType(g.pairs))
}

// constant makes d, or its transpose, B; w is its value.
func (g *gemm) constant(c *Ctx, d *ir.Data, w *ir.Value, product *ir.Value, trans bool) (err error) {
	kk := g.k.Value()
	if g.pairs = g.aK.Is(1) && pairs(g.a, w, product, g.k); g.pairs {
		if g.a, err = c.words(g.a); err != nil {
			return err
		}
		g.k, g.aRow = ir.Const(kk/2), ir.Const(kk/2)
	}
	g.b, err = c.weightPanels(d, kk, g.n.Value(), trans, g.pairs)
	return err
}

// weightPanels packs a constant B[k,n], or its transpose, into panels in the weights.
func (c *Ctx) weightPanels(d *ir.Data, kk, n int64, trans, pairs bool) (panels, error) {
	off, err := c.weights.Packed(d, fmt.Sprintf("panels %d %d %v %v", kk, n, trans, pairs), func(t *tensor.Tensor) ([]byte, error) {
		src, err := floats(t)
		if err != nil {
			return nil, err
		}
		nb := (n + target.Block - 1) / target.Block
		dst := make([]float32, nb*kk*target.Block)
		rs, cs := n, int64(1)
		if trans {
			rs, cs = 1, kk
		}
		for p := range nb {
			for q := range kk {
				at := dst[(p*kk+q)*target.Block:]
				for j := range min(target.Block, n-p*target.Block) {
					at[j] = src[q*rs+(p*target.Block+j)*cs]
				}
			}
		}
		if pairs {
			return tensor.AsBytes(pairRows(dst)), nil
		}
		return tensor.AsBytes(dst), nil
	})
	if err != nil {
		return panels{}, err
	}
	size := (n + 15) / 16 * 16 * kk * 4
	if pairs {
		size /= 2
	}
	return panels{weights: c.addBuf(plan.Buf{Kind: plan.BufWeight, Offset: off, Bytes: c.constSlot(size), Name: d.Name})}, nil
}
