package passes

import (
	"maps"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// canonRules bring ops into the one form that lowering knows. They run at every level of optimisation.
var canonRules = []*rule{
	{"if-rank", []string{"If"}, "If(c){views}{other}, of different ranks -> views of Require(operand, c)", false, ifRank},
	{"bn-arith", []string{"BatchNormalization"}, "BN(x, s, b, m, v) -> x*a + (b - m*a), a = s/sqrt(v+eps)", false, bnArith},
	{"sce-split", []string{"SoftmaxCrossEntropyLoss"}, "SCE(x, t, w) -> NLL(LogSoftmax(x), t, w)", false, crossEntropy},
	{"nll-gather", []string{"NegativeLogLikelihoodLoss"}, "NLL(x, t, w) -> reduce(-x[n,t[n]] * w[t[n]]), masked where t is ignored", false, negLogLikelihood},
	{"castlike", []string{"CastLike"}, "CastLike(x, y) -> Cast(x, to=type of y)", false, castLike},
	{"same-pads", []string{"Conv", "MaxPool", "AveragePool", "LpPool"}, "f(x, auto_pad=SAME) -> f(x, pads), where the sizes or a stride of 1 give them", false, samePads},
	{"einsum-pairs", []string{"Einsum"}, "Einsum(a, b, c, ...) -> Einsum(Einsum(a, b), c, ...)", false, einsumPairs},
	{"einsum-one", []string{"Einsum"}, "Einsum(a) -> Transpose(ReduceSum(a))", false, einsumOne},
	{"einsum-two", []string{"Einsum"}, "Einsum(a, b) -> Transpose(MatMul(a', b')), or Mul where nothing is summed; operands summed and transposed first", false, einsumTwo},
	{"scan-axes", []string{"Scan"}, "Scan over axis k -> Scan over axis 0 of the transposed input or output", false, scanAxes},
}

// ifRank resolves an If whose branches give different ranks, when one branch only changes the view of
// its operand: exporters write torch's squeeze as If(dim == 1){Squeeze(x)}{x}, and what follows was
// traced for the squeezed rank. The program checks the condition when it runs.
func ifRank(rw *rewriter, op *ir.Op) []*ir.Value {
	// One per sweep: what it settles may make the conditions of those after it constant.
	if ir.ConstOf(op.Operands[0]) != nil || rw.ranksSettled {
		return nil
	}
	differ := false
	for i := range op.Results {
		a, b := op.Regions[0].Results[i].Type, op.Regions[1].Results[i].Type
		if a.Kind != ir.KindTensor || b.Kind != ir.KindTensor || !a.Ranked || !b.Ranked {
			return nil
		}
		differ = differ || a.Rank() != b.Rank()
	}
	if !differ {
		return nil
	}
	for i, r := range op.Regions {
		views := len(r.Ops) > 0
		for _, o := range r.Ops {
			views = views && (o.Info.Has(ir.View) || o.Name() == "Const")
		}
		if !views || slices.ContainsFunc(op.Regions[1-i].Ops, func(o *ir.Op) bool { return o.Info.Has(ir.View) && o.Name() != "Identity" }) {
			continue
		}
		cond := op.Operands[0]
		if i == 1 {
			cond = rw.op("Not", nil, cond)
		}
		rw.ranksSettled = true
		rw.s.warn("%v: the rank of its result depends on the input; compiled for the branch of rank %d, and checked at run time", op.Origin, r.Results[0].Type.Rank())
		// The check stands before the views: they are wrong where the condition does not hold.
		inside := map[*ir.Value]bool{}
		require := func(v *ir.Value) *ir.Value {
			if inside[v] || ir.ConstOf(v) != nil {
				return v
			}
			return rw.op("Require", nil, v, cond)
		}
		for _, o := range r.Ops {
			if len(o.Operands) > 0 {
				o.Operands[0] = require(o.Operands[0])
			}
			rw.out = append(rw.out, o)
			for _, v := range o.Results {
				inside[v] = true
			}
		}
		res := make([]*ir.Value, len(r.Results))
		for j, v := range r.Results {
			res[j] = require(v)
		}
		return res
	}
	return nil
}

// bnArith writes inference-mode BatchNormalization as arithmetic. Constant parameters are left to
// bn-split, which computes in f64, where that may run.
func bnArith(rw *rewriter, op *ir.Op) []*ir.Value {
	x := op.Operands[0]
	if !isTensor(x) || !x.Type.DType.IsFloat() || len(x.Type.Shape) < 2 || op.Attrs.Int("training_mode", 0) != 0 {
		return nil
	}
	for _, v := range op.Results[1:] {
		if v != nil && rw.uses[v] > 0 {
			return nil
		}
	}
	constants := true
	for _, v := range op.Operands[1:] {
		if !isTensor(v) || v.Type.DType != x.Type.DType {
			return nil
		}
		constants = constants && ir.ConstOf(v) != nil
	}
	if constants && rw.s.Opts.Optimize && !rw.s.Opts.Strict && isF32(x) {
		return nil
	}
	p := slices.Clone(op.Operands)
	half := isHalf(x)
	for i, v := range p {
		if half { // rounded once, at the end
			p[i] = rw.op("Cast", ir.Attrs{"to": tensor.F32}, v)
		}
	}
	eps := rw.constant(floatData(p[0].Type.DType, []float64{op.Attrs.Float("epsilon", 1e-5)}))
	s, b, m, v := p[1], p[2], p[3], p[4]
	a := rw.op("Div", nil, s, rw.op("Sqrt", nil, rw.op("Add", nil, v, eps)))
	shift := rw.op("Sub", nil, b, rw.op("Mul", nil, m, a))
	if rank := len(x.Type.Shape); rank > 2 { // to [1,C,1,...], which the layout pass can block
		axes := []int64{0}
		for i := 2; i < rank; i++ {
			axes = append(axes, int64(i))
		}
		ax := rw.constant(ir.DataOf(tensor.Of(axes, int64(len(axes)))))
		a, shift = rw.op("Unsqueeze", nil, a, ax), rw.op("Unsqueeze", nil, shift, ax)
	}
	y := rw.op("Add", nil, rw.op("Mul", nil, p[0], a), shift)
	if half {
		y = rw.op("Cast", ir.Attrs{"to": x.Type.DType}, y)
	}
	return append(one(y), make([]*ir.Value, len(op.Results)-1)...)
}

// moveAxis is the permutation that moves an axis to the front, or back with back.
func moveAxis(rank int, axis int64, back bool) []int64 {
	var perm []int64
	if !back {
		perm = append(perm, axis)
	}
	for i := range int64(rank) {
		if !back && i != axis {
			perm = append(perm, i)
		}
	}
	if back { // result axis i comes from: axis -> 0, those before it from one later
		for i := range int64(rank) {
			switch {
			case i < axis:
				perm = append(perm, i+1)
			case i == axis:
				perm = append(perm, 0)
			default:
				perm = append(perm, i)
			}
		}
	}
	return perm
}

func scanAxes(rw *rewriter, op *ir.Op) []*ir.Value {
	states := len(op.Operands) - int(op.Attrs.Int("num_scan_inputs", 0))
	inAxes, outAxes := slices.Clone(op.Attrs.Ints("scan_input_axes", nil)), slices.Clone(op.Attrs.Ints("scan_output_axes", nil))
	args := slices.Clone(op.Operands)
	changed := false
	// Of unknown rank: the host function that cuts it knows axes.
	for i, a := range inAxes {
		if v := args[states+i]; a != 0 && isTensor(v) {
			a = (a + int64(v.Type.Rank())) % int64(v.Type.Rank())
			args[states+i], inAxes[i], changed = rw.op("Transpose", ir.Attrs{"perm": moveAxis(v.Type.Rank(), a, false)}, v), 0, true
		}
	}
	perms := make([][]int64, len(op.Results))
	for i, a := range outAxes {
		if v := op.Result(states + i); a != 0 && isTensor(v) {
			a = (a + int64(v.Type.Rank())) % int64(v.Type.Rank())
			perms[states+i], outAxes[i], changed = moveAxis(v.Type.Rank(), a, true), 0, true
		}
	}
	if !changed {
		return nil
	}
	attrs := maps.Clone(op.Attrs)
	for name, axes := range map[string][]int64{"scan_input_axes": inAxes, "scan_output_axes": outAxes} {
		if attrs[name] = axes; !slices.ContainsFunc(axes, func(a int64) bool { return a != 0 }) {
			delete(attrs, name)
		}
	}
	s := rw.s.M.NewOp("Scan", args, len(op.Results), attrs, op.Origin)
	s.Regions = op.Regions
	rw.insert(s)
	res := slices.Clone(s.Results)
	for i, perm := range perms {
		if perm != nil {
			res[i] = rw.op("Transpose", ir.Attrs{"perm": perm}, res[i])
		}
	}
	return res
}
