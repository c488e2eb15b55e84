package passes

import (
	"math"
	"slices"

	"github.com/nnc-go/nnc/ir"
)

// attentionRules recognise attention as frameworks without an op for it export it, with the transposes that split
// and merge heads around it. The kernel of Attention takes another order of roundings, hence inexact.
var attentionRules = []*rule{
	{"attention", []string{"MatMul"}, "Softmax(c*q*k^T [+ masks | where mask, else fill]) * v -> Attention(q, k, v, mask), on [B,L,H*D] where heads were split; unless keys are few", true, spelledAttention},
	{"qkv-attention", []string{"Attention"}, "Attention(thirds of the last dimension of x in order, mask) as of Softmax -> QKVAttention(x, mask)", false, qkvAttention},
	{"dropout-off", []string{"Dropout"}, "Dropout(x, ratio, training_mode=false) -> x", false, dropoutOff},
}

// fewKeys is the number of keys below which products of all heads at once are as fast: what the kernel does once
// for a row of scores then takes as long as the products.
const fewKeys = 16

func dropoutOff(rw *rewriter, op *ir.Op) []*ir.Value {
	if op.Result(1) != nil {
		return nil
	}
	if t := op.Operand(2); t != nil {
		if on, ok := rw.boolOf(t); on || !ok {
			return nil
		}
	}
	return one(op.Operands[0])
}

// scored is c * scaled(q) * scaled(k)^T with masks, on the way from Softmax down to the product.
type scored struct {
	product *ir.Op
	scale   float64
	masks   []*ir.Value // added to the scores, or one of bool
	fill    float64     // the score where the mask of bool is false
	where   bool        // the mask is one of bool
	negate  bool        // it is true where fill is
}

// unit strips leading dimensions of 1, which broadcasting ignores.
func unit(s []ir.Dim) []ir.Dim {
	for len(s) > 0 && s[0].Is(1) {
		s = s[1:]
	}
	return s
}

func sameBut1s(a, b *ir.Value) bool {
	return isTensor(a) && isTensor(b) && sameShape(ir.Type{Ranked: true, Shape: unit(a.Type.Shape)}, ir.Type{Ranked: true, Shape: unit(b.Type.Shape)})
}

// scaledBy matches v = x * c or x / c with a scalar constant.
func scaledBy(v *ir.Value) (x *ir.Value, c float64) {
	op := def(v, "Mul", "Div")
	if op == nil {
		return nil, 0
	}
	for i := range 2 {
		c, ok := scalarFloat(op.Operands[1-i])
		switch {
		case !ok || !isTensor(op.Operands[i]) || !sameType(op.Operands[i].Type, v.Type):
		case op.Name() == "Mul":
			return op.Operands[i], c
		case i == 0:
			return op.Operands[0], 1 / c
		}
	}
	return nil, 0
}

// scores matches v as scores that nothing else uses. Outermost come the masks, then the scale.
func (rw *rewriter) scores(v *ir.Value) *scored {
	if !isF32(v) || !rw.single(v) {
		return nil
	}
	if op := def(v, "MatMul"); op != nil {
		return &scored{product: op, scale: 1, fill: math.Inf(-1)}
	}
	if x, c := scaledBy(v); x != nil {
		if s := rw.scores(x); s != nil && len(s.masks) == 0 {
			s.scale *= c
			return s
		}
		return nil
	}
	op := def(v, "Reshape", "Add", "Where")
	if op == nil {
		return nil
	}
	if op.Name() == "Reshape" {
		if !sameBut1s(v, op.Operands[0]) {
			return nil
		}
		return rw.scores(op.Operands[0])
	}
	return rw.maskedScores(op)
}

// maskedScores matches op = Add(scores, mask), Where(mask, scores, fill) or Where(mask, fill, scores).
func (rw *rewriter) maskedScores(op *ir.Op) *scored {
	args := op.Operands[len(op.Operands)-2:]
	for i, x := range args {
		if !isTensor(x) || !sameBut1s(x, op.Results[0]) {
			continue
		}
		mask := args[1-i]
		fill, filled := scalarFloat(mask)
		if op.Name() == "Where" {
			mask = op.Operands[0]
		}
		if !isTensor(mask) || len(unit(mask.Type.Shape)) > 4 || !lastDim(mask).Equal(lastDim(x)) {
			continue
		}
		s := rw.scores(x)
		switch {
		case s == nil || s.where:
			continue
		case op.Name() == "Add":
			s.masks = append(s.masks, mask)
			return s
		case filled && len(s.masks) == 0:
			s.masks, s.fill, s.where, s.negate = []*ir.Value{mask}, fill, true, i == 1
			return s
		}
	}
	return nil
}

// lastDim is the last dimension of v, that of a scalar is 1.
func lastDim(v *ir.Value) ir.Dim {
	if s := v.Type.Shape; len(s) > 0 {
		return s[len(s)-1]
	}
	return ir.Const(1)
}

// permuted is scale * Transpose(x, perm).
type permuted struct {
	x     *ir.Value
	perm  []int64
	scale float64
}

// permutedOf looks through the transposes and scales that make v.
func permutedOf(v *ir.Value) permuted {
	p := permuted{v, nil, 1}
	for i := range v.Type.Shape {
		p.perm = append(p.perm, int64(i))
	}
	return p.look()
}

// look looks through further transposes and scales.
func (p permuted) look() permuted {
	for {
		if x, c := scaledBy(p.x); x != nil {
			p.x, p.scale = x, p.scale*c
			continue
		}
		op := def(p.x, "Transpose")
		if op == nil {
			return p
		}
		inner := permOf(op)
		if inner == nil {
			return p
		}
		for i, d := range p.perm {
			p.perm[i] = inner[d]
		}
		p.x = op.Operands[0]
	}
}

// unrepeated looks through the repetition of each head for a group of queries' heads: [B,H,L,D] viewed as
// [B,H,1,L,D], expanded to [B,H,n,L,D] and viewed as [B,H*n,L,D]. n is 1 where there is none.
func (p permuted) unrepeated() (permuted, int64) {
	flat := def(p.x, "Reshape")
	if flat == nil || len(p.perm) != 4 || p.perm[1] != 1 {
		return p, 1
	}
	wide := def(flat.Operands[0], "Expand")
	if wide == nil || !isTensor(wide.Results[0]) || !isTensor(wide.Operands[0]) {
		return p, 1
	}
	from := def(wide.Operands[0], "Reshape", "Unsqueeze")
	w := wide.Results[0].Type.Shape
	if from == nil || !isTensor(from.Operands[0]) || len(w) != 5 || !w[2].IsConst() {
		return p, 1
	}
	n, x := w[2].Value(), from.Operands[0]
	same := func(v *ir.Value, shape ...ir.Dim) bool { return sameShape(v.Type, ir.Type{Ranked: true, Shape: shape}) }
	if !same(x, w[0], w[1], w[3], w[4]) || !same(wide.Operands[0], w[0], w[1], ir.Const(1), w[3], w[4]) || !same(p.x, w[0], w[1].MulInt(n), w[3], w[4]) {
		return p, 1
	}
	p.x = x
	return p.look(), n
}

// swapLast exchanges the last two dimensions.
func (p permuted) swapLast() permuted {
	n := len(p.perm)
	p.perm[n-1], p.perm[n-2] = p.perm[n-2], p.perm[n-1]
	return p
}

// dims are the dimensions as heads: batch, heads, length and size.
func (p permuted) dims() []ir.Dim {
	var d []ir.Dim
	for _, i := range p.perm {
		d = append(d, p.x.Type.Shape[i])
	}
	if len(d) == 3 {
		d = slices.Insert(d, 0, ir.Const(1))
	}
	return d
}

// splitHeads is the permutation, by rank, that turns positions of heads into heads of positions.
var splitHeads = map[int][]int64{3: {1, 0, 2}, 4: {0, 2, 1, 3}}

// operand makes an operand of Attention of p: [B,L,H*D] where a transposition of that has split the heads, else
// [B,H,L,D].
func (rw *rewriter) operand(p permuted) *ir.Value {
	d := p.dims()
	if slices.Equal(p.perm, splitHeads[len(p.perm)]) && d[1].IsConst() && d[1].Value() > 0 {
		if v := rw.reshape(p.x, []ir.Dim{d[0], d[2], d[1].Mul(d[3])}); v != nil {
			return v
		}
	}
	v := p.x
	if !slices.IsSorted(p.perm) {
		v = rw.op("Transpose", ir.Attrs{"perm": p.perm}, v)
	}
	return rw.reshape(v, d)
}

func spelledAttention(rw *rewriter, op *ir.Op) []*ir.Value {
	out := op.Results[0]
	soft := def(op.Operands[0], "Softmax")
	if soft == nil || !rw.single(soft.Results[0]) || !isF32(out) || !isTensor(op.Operands[1]) {
		return nil
	}
	rank := len(out.Type.Shape)
	if axis := soft.Attrs.Int("axis", -1); splitHeads[rank] == nil || axis != -1 && axis != int64(rank-1) {
		return nil
	}
	s := rw.scores(soft.Operands[0])
	if s == nil {
		return nil
	}
	var p [3]permuted
	for i, v := range []*ir.Value{s.product.Operands[0], s.product.Operands[1], op.Operands[1]} {
		if !isTensor(v) || len(v.Type.Shape) != rank {
			return nil
		}
		p[i] = permutedOf(v)
	}
	if slices.IsSorted(p[1].perm) { // k is as the product wants it; the kernel wants it the other way
		return nil
	}
	p[1] = p[1].swapLast()
	k, nk := p[1].unrepeated()
	v, nv := p[2].unrepeated()
	if nk != nv {
		return rw.makeAttention(s, p, 1, out)
	}
	return rw.makeAttention(s, [3]permuted{p[0], k, v}, nk, out)
}

// makeAttention builds Attention of q, k and v, in which n heads of q share one of k and v, and has its result look
// like out.
func (rw *rewriter) makeAttention(s *scored, p [3]permuted, n int64, out *ir.Value) []*ir.Value {
	q, k, v := p[0].dims(), p[1].dims(), p[2].dims()
	for i, n := range []int64{1, n} { // products broadcast, heads of attention do not
		if !q[i].Equal(k[i].MulInt(n)) || !q[i].Equal(v[i].MulInt(n)) {
			return nil
		}
	}
	if !q[3].IsConst() || p[2].scale != 1 || k[2].IsConst() && k[2].Value() < fewKeys {
		return nil
	}
	args := make([]*ir.Value, 3, 4)
	for i := range p {
		if args[i] = rw.operand(p[i]); args[i] == nil {
			return nil
		}
	}
	attrs := ir.Attrs{"scale": s.scale * p[0].scale * p[1].scale, "masked_score": s.fill}
	if q[1].IsConst() {
		attrs["q_num_heads"], attrs["kv_num_heads"] = q[1].Value(), q[1].Value()/n
	}
	if len(s.masks) > 0 {
		args = append(args, rw.maskOf(s))
	}
	y := rw.op("Attention", attrs, args...)
	if rw.err == nil && len(y.Type.Shape) == 3 {
		split := splitHeads[len(out.Type.Shape)]
		d := make([]ir.Dim, len(split))
		for i, j := range split { // its own inverse
			d[i] = out.Type.Shape[j]
		}
		if y = rw.reshape(y, d); y == nil {
			return nil
		}
		return one(rw.op("Transpose", ir.Attrs{"perm": split}, y))
	}
	if y = rw.reshape(y, out.Type.Shape); y == nil {
		return nil
	}
	return one(y)
}

// maskOf makes the one mask that Attention takes.
func (rw *rewriter) maskOf(s *scored) *ir.Value {
	var sum *ir.Value
	for _, m := range s.masks {
		if n := len(m.Type.Shape) - len(unit(m.Type.Shape)); n > 0 { // not reshape, which cannot express several symbols
			axes := make([]int64, n)
			for i := range axes {
				axes[i] = int64(i)
			}
			m = rw.op("Squeeze", nil, m, rw.ints(axes...))
		}
		if sum == nil {
			sum = m
		} else {
			sum = rw.op("Add", nil, sum, m)
		}
	}
	if s.negate {
		sum = rw.op("Not", nil, sum)
	}
	return sum
}
