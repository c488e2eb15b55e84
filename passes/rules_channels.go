package passes

import (
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/target"
)

// channelRules bring what is computed with channels last between two transpositions to channels first, where the layout
// pass finds it. Sums over channels take another order, hence inexact.
var channelRules = []*rule{
	{"channels-first", []string{"Transpose"}, "Transpose(f(Transpose(x, NHWC)), NCHW) -> f'(x), f of products by constants (1x1 convolutions of x), LayerNormalization over channels and elementwise ops", true, channelsFirst},
}

var (
	toChannelsLast  = []int64{0, 2, 3, 1}
	toChannelsFirst = []int64{0, 3, 1, 2}
)

// fewPixels is the size of images below which a product takes those of several images at a time.
const fewPixels = 16

// channelDepth bounds how far up a chain is followed.
const channelDepth = 32

func channelsFirst(rw *rewriter, op *ir.Op) []*ir.Value {
	x := op.Operands[0]
	if !slices.Equal(permOf(op), toChannelsFirst) || def(x, "Transpose") != nil || !rw.turns(x, channelDepth) {
		return nil
	}
	if y := rw.turned(x, map[*ir.Value]*ir.Value{}); y != nil {
		return one(y)
	}
	return nil
}

// turns reports whether v, [N,H,W,C], can be had as [N,C,H,W] without a transposition.
func (rw *rewriter) turns(v *ir.Value, depth int) bool {
	if !isF32(v) || len(v.Type.Shape) != 4 || v.Def == nil || len(v.Def.Results) != 1 || len(v.Def.Regions) > 0 || depth == 0 {
		return false
	}
	s, op := v.Type.Shape, v.Def
	if op.Name() == "Transpose" {
		return slices.Equal(permOf(op), toChannelsLast)
	}
	// Blocks hold channels; rows of unknown length would not be one.
	if !rw.single(v) || !s[3].IsConst() || s[3].Value()%target.Block != 0 || !s[1].IsConst() || !s[2].IsConst() {
		return false
	}
	switch {
	case op.Name() == "MatMul":
		w := ir.ConstOf(op.Operands[1])
		return (s[0].Is(1) || s[1].Value()*s[2].Value() >= fewPixels) && w != nil && len(w.Shape) == 2 && isF32(op.Operands[1]) && rw.turns(op.Operands[0], depth-1)
	case op.Name() == "LayerNormalization":
		axis := op.Attrs.Int("axis", -1)
		return (axis == -1 || axis == 3) && !slices.ContainsFunc(op.Operands[1:], func(p *ir.Value) bool { return p != nil && !(isF32(p) && channelVector(p, s[3])) }) &&
			rw.turns(op.Operands[0], depth-1)
	case op.Info.Has(ir.Elementwise):
		some := false
		for _, p := range op.Operands {
			switch {
			case p == nil || isTensor(p) && ir.Product(p.Type.Shape).Is(1) && len(p.Type.Shape) <= 4 || channelVector(p, s[3]):
			case isTensor(p) && sameShape(p.Type, v.Type) && rw.turns(p, depth-1):
				some = true
			default:
				return false
			}
		}
		return some
	}
	return false
}

// channelVector reports whether v has one element for each of n channels.
func channelVector(v *ir.Value, n ir.Dim) bool {
	return isTensor(v) && len(v.Type.Shape) == 1 && v.Type.Shape[0].Equal(n)
}

// turned makes the [N,C,H,W] form of a value that turns.
func (rw *rewriter) turned(v *ir.Value, done map[*ir.Value]*ir.Value) *ir.Value {
	if y := done[v]; y != nil {
		return y
	}
	op := v.Def
	if op.Name() == "Transpose" {
		return op.Operands[0]
	}
	rw.origin = op.Origin
	args := slices.Clone(op.Operands)
	for i, p := range args {
		switch {
		case p == nil:
		case i == 0 && !op.Info.Has(ir.Elementwise), op.Info.Has(ir.Elementwise) && isTensor(p) && sameShape(p.Type, v.Type):
			args[i] = rw.turned(p, done)
		case op.Name() == "MatMul":
			args[i] = rw.pointwise(ir.ConstOf(p))
		case op.Info.Has(ir.Elementwise) && channelVector(p, v.Type.Shape[3]):
			args[i] = rw.reshape(p, append(slices.Clone(p.Type.Shape), ir.Const(1), ir.Const(1)))
		}
		if p != nil && args[i] == nil {
			return nil
		}
	}
	rw.origin = op.Origin
	name, attrs := op.Name(), op.Attrs
	switch name {
	case "MatMul":
		name, attrs = "Conv", nil
	case "LayerNormalization":
		name, attrs = "ChannelNorm", ir.Attrs{"epsilon": op.Attrs.Float("epsilon", 1e-5)}
	}
	y := rw.op(name, attrs, args...)
	y.Name = v.Name
	done[v] = y
	return y
}

// pointwise makes the kernel of a 1x1 convolution of a product's right side.
func (rw *rewriter) pointwise(w *ir.Data) *ir.Value {
	from, n, k := f32s(w), w.Shape[1], w.Shape[0]
	to := make([]float32, len(from))
	for i, x := range from {
		to[int64(i)%n*k+int64(i)/n] = x
	}
	return rw.constant(f32Data(to, []int64{n, k, 1, 1}))
}
