package passes

import (
	"slices"

	"github.com/nnc-go/nnc/ir"
)

// samePads writes auto_pad SAME as explicit padding where that does not depend on sizes which the run time
// decides: with a stride of 1, or with constant sizes.
func samePads(rw *rewriter, op *ir.Op) []*ir.Value {
	auto := op.Attrs.Str("auto_pad", "NOTSET")
	x, y := op.Operands[0], op.Results[0]
	if auto != "SAME_UPPER" && auto != "SAME_LOWER" || !isTensor(x) || !isTensor(y) || len(x.Type.Shape) < 3 {
		return nil
	}
	in, out := x.Type.Shape[2:], y.Type.Shape[2:]
	n := len(in)
	kernel := op.Attrs.Ints("kernel_shape", nil)
	if kernel == nil && len(op.Operands) > 1 && isTensor(op.Operands[1]) && len(op.Operands[1].Type.Shape) == n+2 {
		kernel, _ = ir.StaticShape(op.Operands[1].Type.Shape[2:])
	}
	ones := slices.Repeat([]int64{1}, n)
	strides, dilations := op.Attrs.Ints("strides", ones), op.Attrs.Ints("dilations", ones)
	if len(kernel) != n || len(strides) != n || len(dilations) != n {
		return nil
	}
	pads := make([]int64, 2*n)
	for i := range n {
		extent := (kernel[i]-1)*dilations[i] + 1
		total := extent - 1
		if strides[i] != 1 {
			if !in[i].IsConst() || !out[i].IsConst() {
				return nil
			}
			total = max(0, (out[i].Value()-1)*strides[i]+extent-in[i].Value())
		}
		pads[i], pads[n+i] = total/2, total-total/2
		if auto == "SAME_LOWER" {
			pads[i], pads[n+i] = pads[n+i], pads[i]
		}
	}
	attrs := ir.Attrs{"pads": pads}
	for k, v := range op.Attrs {
		if k != "auto_pad" && k != "pads" && k != "ceil_mode" { // SAME does not look at ceil_mode
			attrs[k] = v
		}
	}
	c := rw.s.M.NewOp(op.Name(), op.Operands, len(op.Results), attrs, op.Origin)
	for i, v := range op.Results {
		if v == nil {
			c.Results[i] = nil
		}
	}
	rw.insert(c)
	return c.Results
}
