package hostop

import (
	"slices"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// seq is the sequence operand i.
func (c *Call) seq(i int) Seq {
	check(i < len(c.In), "input %d is missing", i)
	s, ok := c.In[i].(Seq)
	check(ok, "input %d must be a sequence, got %T", i, c.In[i])
	return s
}

// position is the optional operand i as an index into n elements, def when absent.
func (c *Call) position(i, n, def int) int {
	t := c.opt(i)
	if t == nil {
		check(def >= 0, "the sequence is empty")
		return def
	}
	p := scalarInt(t, "position")
	if p < 0 {
		p += int64(n)
	}
	return int(min(max(p, -1), int64(n)+1))
}

// SequenceEmpty is an empty sequence.
func SequenceEmpty(c *Call) error { return c.Return(Seq{}) }

// SequenceConstruct is a sequence of the operands.
func SequenceConstruct(c *Call) error { return c.Return(append(Seq{}, c.In...)) }

// SequenceInsert inserts an element, at the end by default.
func SequenceInsert(c *Call) (err error) {
	defer guard(&err)
	s, v := c.seq(0), c.in(1)
	p := c.position(2, len(s), len(s))
	check(p >= 0 && p <= len(s), "position out of range for %d elements", len(s))
	out := append(make(Seq, 0, len(s)+1), s[:p]...)
	return c.Return(append(append(out, v), s[p:]...))
}

// SequenceErase removes an element, the last by default.
func SequenceErase(c *Call) (err error) {
	defer guard(&err)
	s := c.seq(0)
	p := c.position(1, len(s), len(s)-1)
	check(p >= 0 && p < len(s), "position out of range for %d elements", len(s))
	return c.Return(append(append(Seq{}, s[:p]...), s[p+1:]...))
}

// SequenceAt is an element of a sequence.
func SequenceAt(c *Call) (err error) {
	defer guard(&err)
	s := c.seq(0)
	p := c.position(1, len(s), -1)
	check(p >= 0 && p < len(s), "position out of range for %d elements", len(s))
	return c.Return(s[p])
}

// SequenceLength is the number of elements.
func SequenceLength(c *Call) (err error) {
	defer guard(&err)
	return c.Return(tensor.Of([]int64{int64(len(c.seq(0)))}))
}

// SplitToSequence cuts along an axis into a sequence: into single slices without split.
func SplitToSequence(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	a := normAxis(c.Attrs.Int("axis", 0), len(x.Shape))
	n, keep := x.Shape[a], true
	var sizes []int64
	switch t := c.opt(1); {
	case t == nil:
		keep = c.Attrs.Int("keepdims", 1) != 0
		for range n {
			sizes = append(sizes, 1)
		}
	case len(t.Shape) == 0:
		each := scalarInt(t, "split")
		check(each > 0, "split is %d", each)
		for at := int64(0); at < n; at += each {
			sizes = append(sizes, min(each, n-at))
		}
	default:
		sizes = intsOf(t)
	}
	out := Seq{}
	for _, p := range cut(x, a, sizes) {
		if !keep {
			p = reshaped(p, append(append([]int64{}, x.Shape[:a]...), x.Shape[a+1:]...)...)
		}
		out = append(out, p)
	}
	return c.Return(out)
}

// ConcatFromSequence joins the elements of a sequence along an axis, a new one with new_axis.
func ConcatFromSequence(c *Call) (err error) {
	defer guard(&err)
	var xs []*tensor.Tensor
	axis := c.Attrs.Int("axis", 0)
	for _, v := range c.seq(0) {
		x, ok := v.(*tensor.Tensor)
		check(ok, "tensors wanted, got %T", v)
		if c.Attrs.Int("new_axis", 0) != 0 {
			a := normAxis(axis, len(x.Shape)+1)
			x = reshaped(x, append(append(append([]int64{}, x.Shape[:a]...), 1), x.Shape[a:]...)...)
		}
		xs = append(xs, x)
	}
	check(len(xs) > 0, "an empty sequence")
	c.give(concat(xs, axis))
	return nil
}

// Collect appends the second operand to the sequence that is the first, which nobody else may hold: what
// a loop gathers from iteration to iteration.
func Collect(c *Call) (err error) {
	defer guard(&err)
	check(len(c.In) == 2, "2 inputs wanted, got %d", len(c.In))
	return c.Return(append(c.seq(0), c.In[1]))
}

// Stack joins the tensors of a sequence along a new axis, in reverse order where the attribute back is set.
// Of none it makes an empty tensor, whose other dimensions are the attribute shape and whose element
// type is dtype.
func Stack(c *Call) (err error) {
	defer guard(&err)
	s, axis := c.seq(0), c.Attrs.Int("axis", 0)
	if len(s) == 0 {
		shape := append([]int64{}, c.Attrs.Ints("shape", nil)...)
		a := normAxis(axis, len(shape)+1)
		shape = append(append(append([]int64{}, shape[:a]...), 0), shape[a:]...)
		return c.Return(tensor.New(c.Attrs.DType("dtype", tensor.F32), shape...))
	}
	if c.Attrs.Int("back", 0) != 0 {
		s = slices.Clone(s)
		slices.Reverse(s)
	}
	for _, v := range s {
		t, ok := v.(*tensor.Tensor)
		check(ok, "tensors wanted, got %T", v)
		first := s[0].(*tensor.Tensor)
		check(slices.Equal(t.Shape, first.Shape), "slices of %s and %s, want one shape in every iteration", first.TypeString(), t.TypeString())
	}
	c.In, c.Attrs = []Value{s}, Attrs{"axis": axis, "new_axis": int64(1)}
	return ConcatFromSequence(c)
}

// Optional holds the operand, or nothing.
func Optional(c *Call) error {
	if len(c.In) == 0 {
		return c.Return(nil)
	}
	return c.Return(c.In[0])
}

// OptionalGetElement is what an optional holds.
func OptionalGetElement(c *Call) error {
	if len(c.In) == 0 || c.In[0] == nil {
		return Errorf("the optional is empty")
	}
	return c.Return(c.In[0])
}

// OptionalHasElement tells whether an optional holds something.
func OptionalHasElement(c *Call) error {
	out := tensor.New(tensor.Bool)
	if len(c.In) > 0 && c.In[0] != nil {
		out.Data[0] = 1
	}
	return c.Return(out)
}
