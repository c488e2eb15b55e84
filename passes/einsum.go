package passes

import (
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// labelled is a tensor whose dimensions have the labels of an Einsum.
type labelled struct {
	v      *ir.Value
	labels []rune
}

// einsumParts reads an Einsum whose operands have no label twice and agree, for certain, in the sizes of theirs.
func einsumParts(op *ir.Op) (xs []labelled, out []rune) {
	var ranks []int
	for _, v := range op.Operands {
		if !isTensor(v) {
			return nil, nil
		}
		ranks = append(ranks, len(v.Type.Shape))
	}
	eq, err := hostop.ParseEquation(op.Attrs.Str("equation", ""), ranks)
	if err != nil {
		return nil, nil
	}
	size := map[rune]ir.Dim{}
	for i, t := range eq.Terms {
		for j, l := range t {
			d := op.Operands[i].Type.Shape[j]
			if old, ok := size[l]; ok && !old.Equal(d) || slices.Contains(t[:j], l) {
				return nil, nil
			}
			size[l] = d
		}
		xs = append(xs, labelled{op.Operands[i], t})
	}
	return xs, eq.Out
}

// einsumPairs takes the first two of several operands together.
func einsumPairs(rw *rewriter, op *ir.Op) []*ir.Value {
	xs, out := einsumParts(op)
	if len(xs) < 3 {
		return nil
	}
	later := slices.Clone(out)
	for _, x := range xs[2:] {
		later = append(later, x.labels...)
	}
	var both []rune
	for _, l := range slices.Concat(xs[0].labels, xs[1].labels) {
		if slices.Contains(later, l) && !slices.Contains(both, l) {
			both = append(both, l)
		}
	}
	name := letters(xs, out)
	text := func(labels []rune) string {
		s := ""
		for _, l := range labels {
			s += string(name[l])
		}
		return s
	}
	pair := rw.op("Einsum", ir.Attrs{"equation": text(xs[0].labels) + "," + text(xs[1].labels) + "->" + text(both)}, xs[0].v, xs[1].v)
	equation, args := text(both), []*ir.Value{pair}
	for _, x := range xs[2:] {
		equation, args = equation+","+text(x.labels), append(args, x.v)
	}
	return one(rw.op("Einsum", ir.Attrs{"equation": equation + "->" + text(out)}, args...))
}

// letters names the labels of an equation, those of ellipses too, by letters.
func letters(xs []labelled, out []rune) map[rune]rune {
	name, used := map[rune]rune{}, map[rune]bool{}
	all := slices.Clone(out)
	for _, x := range xs {
		all = append(all, x.labels...)
	}
	for _, l := range all {
		if l >= 0 {
			name[l], used[l] = l, true
		}
	}
	next := 'a'
	for _, l := range all {
		if _, ok := name[l]; ok {
			continue
		}
		for used[next] {
			if next++; next == 'z'+1 {
				next = 'A'
			}
		}
		name[l], used[next] = next, true
	}
	return name
}

// einsumOne is a sum along axes and a transposition.
func einsumOne(rw *rewriter, op *ir.Op) []*ir.Value {
	xs, out := einsumParts(op)
	if len(xs) != 1 {
		return nil
	}
	r := xs[0].sumTo(rw, out).arrange(rw, out).v
	if r == op.Operands[0] {
		r = rw.op("Identity", nil, r)
	}
	return one(r)
}

// einsumTwo is a product of matrices, or of elements where nothing that both have is summed.
func einsumTwo(rw *rewriter, op *ir.Op) []*ir.Value {
	xs, out := einsumParts(op)
	if len(xs) != 2 {
		return nil
	}
	a, b := xs[0], xs[1]
	in := func(l rune, s ...[]rune) bool { return slices.Contains(slices.Concat(s...), l) }
	var batch, sum, left, right []rune
	for _, l := range a.labels {
		switch {
		case in(l, b.labels) && in(l, out):
			batch = append(batch, l)
		case in(l, b.labels):
			sum = append(sum, l)
		case in(l, out):
			left = append(left, l)
		}
	}
	for _, l := range b.labels {
		if in(l, out) && !in(l, a.labels) {
			right = append(right, l)
		}
	}
	all := slices.Concat(batch, left, right)
	if len(sum) == 0 {
		a, b = a.sumTo(rw, out).arrange(rw, slices.Concat(batch, left)), b.sumTo(rw, out).arrange(rw, slices.Concat(batch, right))
		x, y := a.insert(rw, len(a.labels), len(right)), b.insert(rw, len(batch), len(left))
		return one(labelled{rw.op("Mul", nil, x, y), all}.arrange(rw, out).v)
	}
	if !op.Operands[0].Type.DType.IsFloat() {
		return nil
	}
	keep := slices.Concat(out, sum)
	a = a.sumTo(rw, keep).arrange(rw, slices.Concat(batch, left, sum))
	b = b.sumTo(rw, keep).arrange(rw, slices.Concat(batch, sum, right))
	n := len(batch)
	x, ok1 := grouped(rw, a.v, n, len(left), len(sum))
	y, ok2 := grouped(rw, b.v, n, len(sum), len(right))
	rows, cols := a.v.Type.Shape[n:n+len(left)], b.v.Type.Shape[n+len(sum):]
	if !ok1 || !ok2 {
		return nil
	}
	z, ok := shaped(rw, rw.op("MatMul", nil, x, y), n, slices.Concat(rows, cols), len(left) == 1 && len(right) == 1)
	if !ok {
		return nil
	}
	return one(labelled{z, all}.arrange(rw, out).v)
}

// sumTo sums along the dimensions whose labels are not in keep.
func (x labelled) sumTo(rw *rewriter, keep []rune) labelled {
	var axes []int64
	var labels []rune
	for i, l := range x.labels {
		if slices.Contains(keep, l) {
			labels = append(labels, l)
		} else {
			axes = append(axes, int64(i))
		}
	}
	if axes == nil {
		return x
	}
	at := rw.constant(ir.DataOf(tensor.Of(axes, int64(len(axes)))))
	return labelled{rw.op("ReduceSum", ir.Attrs{"keepdims": int64(0)}, x.v, at), labels}
}

// arrange transposes the dimensions into an order.
func (x labelled) arrange(rw *rewriter, order []rune) labelled {
	if slices.Equal(x.labels, order) {
		return x
	}
	var perm []int64
	for _, l := range order {
		perm = append(perm, int64(slices.Index(x.labels, l)))
	}
	return labelled{rw.op("Transpose", ir.Attrs{"perm": perm}, x.v), order}
}

// insert puts n dimensions of size 1 before dimension at.
func (x labelled) insert(rw *rewriter, at, n int) *ir.Value {
	if n == 0 {
		return x.v
	}
	axes := make([]int64, n)
	for i := range axes {
		axes[i] = int64(at + i)
	}
	return rw.op("Unsqueeze", nil, x.v, rw.constant(ir.DataOf(tensor.Of(axes, int64(n)))))
}

// grouped makes one dimension each of the m and the n dimensions that come after the first lead.
func grouped(rw *rewriter, v *ir.Value, lead, m, n int) (*ir.Value, bool) {
	s := v.Type.Shape[lead:]
	return shaped(rw, v, lead, []ir.Dim{ir.Product(s[:m]), ir.Product(s[m : m+n])}, m == 1 && n == 1)
}

// shaped gives v the dimensions dims after the first lead ones, unless it has them already; false where more than one is symbolic.
func shaped(rw *rewriter, v *ir.Value, lead int, dims []ir.Dim, already bool) (*ir.Value, bool) {
	if already {
		return v, true
	}
	target, holes := make([]int64, lead, lead+len(dims)), 0
	for _, d := range dims {
		if !d.IsConst() {
			holes++
			target = append(target, -1)
			continue
		}
		target = append(target, d.Value())
	}
	zeros := slices.ContainsFunc(dims, func(d ir.Dim) bool { return d.Is(0) })
	if holes > 1 || zeros {
		return nil, false
	}
	return rw.op("Reshape", nil, v, rw.constant(ir.DataOf(tensor.Of(target, int64(len(target)))))), true
}
