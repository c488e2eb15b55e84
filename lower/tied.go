package lower

import (
	"bytes"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// A language model's last product is often by the transpose of the table from which its first Gather takes rows.
// Exporters write both, each a good part of all weights. The product's panels serve the Gather too: a row of the
// table is one lane of a panel.

// tiedMin is the number of elements from which a table is worth looking for its transpose: rows are read a cache
// line for each element.
const tiedMin = 1 << 14

// tiedTable gives the panels of a product with the transpose of the constant x of two dimensions, if there is one.
func (c *Ctx) tiedTable(x *ir.Value) (panels, bool, error) {
	table := c.constOf(x)
	if table == nil || table.DType != tensor.F32 || len(table.Shape) != 2 || table.Len() < tiedMin {
		return panels{}, false, nil
	}
	n, width := table.Shape[0], table.Shape[1]
	for _, op := range c.M.Graph.Ops {
		b, turned := productWeights(op)
		if b == nil || b.DType != tensor.F32 || len(b.Shape) != 2 {
			continue
		}
		if turned && b == table || !turned && b.Shape[0] == width && b.Shape[1] == n && transposed(table, b) {
			p, err := c.weightPanels(b, width, n, turned, false)
			return p, true, err
		}
	}
	return panels{}, false, nil
}

// productWeights gives the constant by which a product of two dimensions, alone or in a group, multiplies, and
// whether it does so by its transpose.
func productWeights(op *ir.Op) (b *ir.Data, turned bool) {
	outer := func(v *ir.Value) *ir.Value { return v }
	if op.Info.Name == "Fused" {
		group := op
		outer = func(v *ir.Value) *ir.Value {
			if i := slices.Index(group.Regions[0].Params, v); i >= 0 {
				return group.Operands[i]
			}
			return v
		}
		op = group.Regions[0].Ops[0]
	}
	switch op.Info.Name {
	case "MatMul":
		return ir.ConstOf(outer(op.Operands[1])), false
	case "Gemm":
		return ir.ConstOf(outer(op.Operands[1])), op.Attrs.Int("transB", 0) != 0
	}
	return nil, false
}

// transposed reports whether y [k,n] is the transpose of x [n,k], elements of 4 bytes.
func transposed(x, y *ir.Data) bool {
	tx, err := x.Tensor()
	if err != nil {
		return false
	}
	ty, err := y.Tensor()
	if err != nil {
		return false
	}
	const size = 4
	n, k := x.Shape[0], x.Shape[1]
	for i := int64(0); i < n; i += target.Block { // the rows of a block stay in cache
		for j := range k {
			for r := i; r < min(i+target.Block, n); r++ {
				a, b := (r*k+j)*size, (j*n+r)*size
				if !bytes.Equal(tx.Data[a:a+size], ty.Data[b:b+size]) {
					return false
				}
			}
		}
	}
	return true
}

// gatherPanels emits the step that takes rows of a table [n, width] from panels of its transpose.
func (c *Ctx) gatherPanels(op *ir.Op, p panels, idx, out *ir.Value, n, width ir.Dim) error {
	return c.Kernel(Step{
		Op: op, Name: "gather_panels", Ins: []*ir.Value{idx}, Outs: []*ir.Value{out}, Bytes: bytesOf(out).MulInt(1 + target.Block),
		Par: ir.Product(idx.Type.Shape), NsPerIter: perChunk(width, 2),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				row := k.loadIndex(idx, i, 1, n)
				from := k.Add(k.MulDim(k.Div(row, k.Int(target.Block)), width.MulInt(target.Block)), k.Rem(row, k.Int(target.Block)))
				to := k.MulDim(i, width)
				k.Range(k.Int(0), k.Dim(width), 1, func(e *loop.Value) {
					k.Store(k.Buf(out), k.Add(to, e), k.Load(k.WeightBuf(p.weights, tensor.F32), k.Add(from, k.MulInt(e, target.Block)), 1))
				})
			})
		},
	})
}
