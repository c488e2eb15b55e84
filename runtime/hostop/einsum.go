package hostop

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// Equation is an equation of Einsum for operands of given ranks: each dimension of an operand, and of the
// result, has a label. Letters stand for themselves; what "..." stands for has the labels -1, -2, ...,
// from the right, so that the ellipses of several operands broadcast.
type Equation struct {
	Terms [][]rune // labels of each operand
	Out   []rune   // labels of the result, each once
}

// ParseEquation reads an equation for operands of the given ranks. Without "->" the result has what the
// ellipses stand for and then the letters that occur once, in order.
func ParseEquation(equation string, ranks []int) (*Equation, error) {
	eq := strings.ReplaceAll(equation, " ", "")
	left, right, explicit := strings.Cut(eq, "->")
	terms := strings.Split(left, ",")
	if len(terms) != len(ranks) {
		return nil, fmt.Errorf("equation %q has %d terms for %d operands", eq, len(terms), len(ranks))
	}
	e := &Equation{}
	count, dots := map[rune]int{}, 0
	for i, term := range terms {
		letters := len([]rune(strings.Replace(term, "...", "", 1)))
		n := ranks[i] - letters
		if has := strings.Contains(term, "..."); n < 0 || n > 0 && !has {
			return nil, fmt.Errorf("equation term %q for an operand of rank %d", term, ranks[i])
		}
		labels, err := labelsOf(term, n)
		if err != nil {
			return nil, fmt.Errorf("equation %q: %w", eq, err)
		}
		for _, l := range labels {
			count[l]++
		}
		dots = max(dots, n)
		e.Terms = append(e.Terms, labels)
	}
	if !explicit {
		right = "..."
		var once []rune
		for l, n := range count {
			if n == 1 && l >= 0 {
				once = append(once, l)
			}
		}
		slices.Sort(once)
		right += string(once)
	}
	var err error
	if e.Out, err = labelsOf(right, dots); err != nil {
		return nil, fmt.Errorf("equation %q: %w", eq, err)
	}
	for i, l := range e.Out {
		switch {
		case l >= 0 && count[l] == 0:
			return nil, fmt.Errorf("equation %q: %q is in no operand", eq, l)
		case slices.Contains(e.Out[:i], l):
			return nil, fmt.Errorf("equation %q: %q is in the result twice", eq, l)
		}
	}
	return e, nil
}

// labelsOf reads a term whose ellipsis stands for n dimensions.
func labelsOf(term string, n int) ([]rune, error) {
	before, after, has := strings.Cut(term, "...")
	labels := []rune(before)
	for i := n; has && i > 0; i-- {
		labels = append(labels, rune(-i))
	}
	labels = append(labels, []rune(after)...)
	for _, l := range labels {
		if l >= 0 && (l < 'A' || l > 'Z') && (l < 'a' || l > 'z') {
			return nil, fmt.Errorf("%q is no letter", l)
		}
	}
	return labels, nil
}

// LabelName is a label as errors show it.
func LabelName(l rune) string {
	if l < 0 {
		return "..."
	}
	return string(l)
}

// Summed lists the labels that the result lacks, in order of their first occurrence.
func (e *Equation) Summed() (out []rune) {
	for _, t := range e.Terms {
		for _, l := range t {
			if !slices.Contains(e.Out, l) && !slices.Contains(out, l) {
				out = append(out, l)
			}
		}
	}
	return out
}

// Einsum is a sum of products by Einstein's convention: floats in float64, integers modulo 2^width.
// Dimensions of one label agree or are 1.
func Einsum(c *Call) (err error) {
	defer guard(&err)
	var xs []*tensor.Tensor
	var ranks []int
	for i := range c.In {
		xs = append(xs, c.in(i))
		ranks = append(ranks, len(xs[i].Shape))
	}
	check(len(xs) > 0, "no operands")
	sameType(xs...)
	e, err := ParseEquation(c.Attrs.Str("equation", ""), ranks)
	if err != nil {
		return err
	}
	size := map[rune]int64{}
	for i, t := range e.Terms {
		for j, l := range t {
			d := xs[i].Shape[j]
			old, seen := size[l]
			check(!seen || old == d || old == 1 || d == 1, "label %s has the sizes %d and %d", LabelName(l), old, d)
			if !seen || old == 1 {
				size[l] = d
			}
		}
	}
	if xs[0].DType.IsFloat() {
		c.give(fromFloats(xs[0].DType, shapeBy(e.Out, size), sumProducts(e, size, xs, floatsOf)))
	} else {
		c.give(fromInts(xs[0].DType, shapeBy(e.Out, size), sumProducts(e, size, xs, intsOf)))
	}
	return nil
}

func shapeBy(labels []rune, size map[rune]int64) []int64 {
	s := make([]int64, len(labels))
	for i, l := range labels {
		s[i] = size[l]
	}
	return s
}

// sumProducts computes the elements of an Einsum.
func sumProducts[T float64 | int64](e *Equation, size map[rune]int64, xs []*tensor.Tensor, read func(t *tensor.Tensor) []T) []T {
	all := slices.Concat(e.Out, e.Summed())
	data, strides := make([][]T, len(xs)), make([][]int64, len(xs))
	for i, x := range xs {
		data[i], strides[i] = read(x), make([]int64, len(all))
		own := stridesOf(x.Shape)
		for j, l := range e.Terms[i] {
			if x.Shape[j] != 1 {
				strides[i][slices.Index(all, l)] += own[j] // of a diagonal, both
			}
		}
	}
	shape := shapeBy(e.Out, size)
	inner := shapeBy(all[len(e.Out):], size)
	out := make([]T, elemCount(shape, 64))
	eachIndex(shape, func(o int64, idx []int64) {
		eachIndex(inner, func(_ int64, sub []int64) {
			p := T(1)
			for i := range data {
				p *= data[i][dot(idx, strides[i])+dot(sub, strides[i][len(idx):])]
			}
			if len(inner) == 0 { // nothing is added, not even 0
				out[o] = p
				return
			}
			out[o] += p
		})
	})
	return out
}
