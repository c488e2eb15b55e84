package lower

import (
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Products of bf16 that are summed in f32 work on pairs along the reduction: two elements of the operand,
// which are neighbours in memory, are one word, which is broadcast like an f32 is otherwise; the packed weights
// have the pairs of 16 columns side by side. So the kernels are those of f32 with half as many steps,
// and each of them adds two products (loop.OpDot2).

// pairs reports whether a product of x and w, of kk terms, is computed so.
func pairs(x, w, out *ir.Value, kk ir.Dim) bool {
	return x.Type.DType == tensor.BF16 && w.Type.DType == tensor.BF16 && out.Type.DType == tensor.F32 && kk.IsConst() && kk.Value()%2 == 0
}

// Where a product is too small, rounding its operand costs what it gains.
const (
	narrowTerms   = 16 // of a sum
	narrowColumns = 48 // for which an element of the operand is used
)

// Narrows reports whether a product is to multiply bf16 where that is allowed and the processor can; free means that
// its operand is rounded at no cost.
func Narrows(op *ir.Op, free bool) bool {
	name := op.Info.Name
	if name != "MatMul" && name != "Gemm" && name != "BlockedConv" {
		return false
	}
	x, w, out := op.Operands[0], op.Operands[1], op.Results[0]
	ws, static := ir.StaticShape(w.Type.Shape)
	if ir.ConstOf(w) == nil || !static || !x.Type.Ranked || x.Type.Rank() < 1 || x.Type.DType != tensor.F32 || w.Type.DType != tensor.F32 || out.Type.DType != tensor.F32 {
		return false
	}
	if name == "BlockedConv" {
		return narrowsConv(op, ws, free)
	}
	if len(ws) != 2 || op.Attrs.Int("transA", 0) != 0 {
		return false
	}
	terms, columns := ws[0], ws[1]
	if op.Attrs.Int("transB", 0) != 0 {
		terms, columns = columns, terms
	}
	return terms >= narrowTerms && terms%2 == 0 && (free || columns >= narrowColumns)
}

// narrowsConv is Narrows for a blocked convolution: none that reads a plain tensor, works channel by channel, or is done
// faster by Winograd's algorithm, which bf16 is not accurate enough for.
func narrowsConv(op *ir.Op, ws []int64, free bool) bool {
	bias := op.Operand(2)
	if op.Attrs.Int("plain_input", 0) != 0 || ws[1] < narrowTerms || ws[1]%2 != 0 || !free && ws[0]/op.Attrs.Int("group", 1)*ws[2]*ws[3] < narrowColumns ||
		bias != nil && ir.ConstOf(bias) == nil {
		return false
	}
	if _, err := newConv(op); err != nil {
		return false
	}
	v := (&Ctx{}).winogradConv(op)
	if v == nil {
		return true
	}
	const speed = 1.9 // of direct convolution, measured
	return v.directNs()/speed < v.winogradNs()
}

// words is a tensor of bf16 seen as words of two elements.
func (c *Ctx) words(v *ir.Value) (*ir.Value, error) {
	st, err := c.at(v)
	if err != nil {
		return nil, err
	}
	shape := slices.Clone(v.Type.Shape)
	last := len(shape) - 1
	shape[last] = shape[last].CeilDiv(2)
	w := c.M.NewValue(v.Name, ir.TensorType(tensor.U32, shape...))
	c.storage[w] = st
	return w, nil
}

// pairRows turns rows of a block's 16 columns into words of two rows each.
func pairRows(rows []float32) []uint32 {
	out := make([]uint32, len(rows)/2)
	for i := range out {
		at := i/block*2*block + i%block
		out[i] = uint32(tensor.F32ToBF16(rows[at])) | uint32(tensor.F32ToBF16(rows[at+block]))<<16
	}
	return out
}

// accumulate is acc + x*w: of f32, or of words that are pairs.
func (k *K) accumulate(acc, x, w *loop.Value) *loop.Value {
	if x.Type.Elem != tensor.U32 {
		return k.FMA(x, w, acc)
	}
	t := loop.Vec(tensor.BF16, 2*x.Type.Lanes)
	return k.Dot2(acc, k.Bitcast(x, t), k.Bitcast(w, t))
}

// packedType is the element type of packed weights.
func packedType(pairs bool) tensor.DType {
	if pairs {
		return tensor.U32
	}
	return tensor.F32
}

// setType sees pairs of bf16 as words, and declines other types than these and f32.
func (v *conv) setType(c *Ctx, anchor *ir.Op) (err error) {
	if v.x.Type.DType == tensor.F32 {
		return nil
	}
	constant := c.constOf(anchor.Operands[1]) != nil && (anchor.Operand(2) == nil || c.constOf(anchor.Operand(2)) != nil)
	v.pairs = constant && !v.plain && !v.depthwise && pairs(v.x, anchor.Operands[1], anchor.Results[0], ir.Const(v.c/v.group))
	if !v.pairs {
		return errDecline
	}
	v.x, err = c.words(v.x)
	return err
}

// lanesIn is the number of elements, of words if there are pairs, of a pixel in a block of the input.
func (v *conv) lanesIn() int64 {
	if v.pairs {
		return block / 2
	}
	return block
}

// waits reports whether sums of a tile can wait for a long epilogue: in the result, or beside it where its elements are narrower.
func waits(out *ir.Value) bool { return out.Type.DType == tensor.F32 || out.Type.DType == tensor.BF16 }

// waiting is memory for n sums that wait for the epilogue.
func (k *K) waiting(n int64) *loop.Buf {
	if k.sums == nil {
		k.sums = k.Local("sums", tensor.F32, n)
	}
	k.sums.N = max(k.sums.N, n)
	return k.sums
}
