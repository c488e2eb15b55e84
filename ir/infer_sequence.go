package ir

import (
	"slices"

	"github.com/nnc-go/nnc/runtime/tensor"
)

func seqOf(t Type) Type { return Type{Kind: KindSeq, Elem: &t} }

// elemOf is the type of an element of the sequence or optional v. A dimension that is not an integer or
// an expression of symbols that tensor inputs bind may differ from element to element, so each use gets a
// fresh one.
func (c *InferCtx) elemOf(op *Op, v *Value) (Type, error) {
	switch {
	case v.Type.Untyped():
		return Type{}, nil
	case v.Type.Kind != KindSeq && v.Type.Kind != KindOptional:
		return Type{}, op.Errorf("operand %q is %v, want a sequence", v.Name, v.Type)
	case v.Type.Elem == nil:
		return Type{}, nil
	}
	return c.refresh(*v.Type.Elem, func(d Dim) bool {
		return slices.ContainsFunc(d.Symbols(nil), func(s string) bool { return !c.inputSymbol(s) })
	}), nil
}

// inputSymbol reports whether a tensor input of the model has a dimension that is just the symbol s.
func (c *InferCtx) inputSymbol(s string) bool {
	return slices.ContainsFunc(c.M.Graph.Params, func(p *Value) bool {
		return p.Type.Kind == KindTensor && slices.ContainsFunc(p.Type.Shape, func(d Dim) bool { return d.SymName() == s })
	})
}

// refresh replaces those dimensions by fresh symbols that vary.
func (c *InferCtx) refresh(t Type, vary func(d Dim) bool) Type {
	if t.Elem != nil {
		e := c.refresh(*t.Elem, vary)
		t.Elem = &e
	}
	t.Shape = slices.Clone(t.Shape)
	for i, d := range t.Shape {
		if vary(d) {
			t.Shape[i] = c.Fresh()
		}
	}
	return t
}

// newer reports whether a dimension mentions symbols that NewSym made after mark.
func newer(mark int) func(d Dim) bool { return func(d Dim) bool { return newerThan(d, mark) } }

func newerThan(d Dim, mark int) bool {
	return slices.ContainsFunc(d.Symbols(nil), func(s string) bool { return symNumber(s) > mark })
}

// join is the type that values of type a and of type b have: dimensions that differ become fresh, ranks
// that differ unknown. The kinds and element types must be the same.
func (c *InferCtx) join(op *Op, what string, a, b Type) (Type, error) {
	switch {
	case a.Untyped() && b.Kind == KindTensor:
		return Type{DType: b.DType}, nil
	case b.Untyped() && a.Kind == KindTensor:
		return Type{DType: a.DType}, nil
	case a.Untyped():
		return b, nil
	case b.Untyped():
		return a, nil
	case a.Kind != b.Kind || a.DType != b.DType && a.DType != tensor.Invalid && b.DType != tensor.Invalid:
		return a, op.Errorf("%s is %v and %v, want the same kind of type", what, a, b)
	}
	if a.DType == tensor.Invalid {
		a.DType = b.DType
	}
	if a.Elem != nil && b.Elem != nil {
		e, err := c.join(op, what, *a.Elem, *b.Elem)
		a.Elem = &e
		return a, err
	}
	if !a.Ranked || !b.Ranked || len(a.Shape) != len(b.Shape) {
		a.Ranked, a.Shape = false, nil
		return a, nil
	}
	a.Shape = slices.Clone(a.Shape)
	for i, d := range a.Shape {
		if !d.Equal(b.Shape[i]) {
			a.Shape[i] = c.Fresh()
		}
	}
	return a, nil
}

func inferSequenceEmpty(c *InferCtx, op *Op) error {
	c.SetType(op, 0, seqOf(Type{DType: op.Attrs.DType("dtype", tensor.F32)}))
	return nil
}

func inferSequenceConstruct(c *InferCtx, op *Op) error {
	if len(op.Operands) == 0 {
		return op.Errorf("no operands, want at least one")
	}
	t := op.Operands[0].Type
	for _, v := range op.Operands[1:] {
		var err error
		if t, err = c.join(op, "an element", t, v.Type); err != nil {
			return err
		}
	}
	c.SetType(op, 0, seqOf(t))
	return nil
}

func inferSequenceInsert(c *InferCtx, op *Op) error {
	t, err := c.elemOf(op, op.Operands[0])
	if err != nil {
		return err
	}
	t, err = c.join(op, "an element", t, op.Operands[1].Type)
	c.SetType(op, 0, seqOf(t))
	return err
}

func inferSequenceAt(c *InferCtx, op *Op) error {
	t, err := c.elemOf(op, op.Operands[0])
	c.SetType(op, 0, t)
	return err
}

func inferSequenceLength(c *InferCtx, op *Op) error { return c.set(op, tensor.I64, nil) }

func inferSplitToSequence(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	if !t.Ranked {
		c.SetType(op, 0, seqOf(Type{DType: t.DType}))
		return nil
	}
	axis, err := normAxis(op, op.Attrs.Int("axis", 0), len(t.Shape))
	if err != nil {
		return err
	}
	shape := slices.Clone(t.Shape)
	e, ok := c.Elems(op.Operand(1))
	if split := op.Operand(1); ok && split.Type.Ranked {
		if err := wantParts(op, e, len(split.Type.Shape) == 0, t.Shape[axis]); err != nil {
			return err
		}
	}
	switch {
	case op.Operand(1) == nil && op.Attrs.Int("keepdims", 1) == 0:
		shape = slices.Delete(shape, axis, axis+1)
	case op.Operand(1) == nil:
		shape[axis] = Const(1)
	case ok && len(e) > 0 && dividesInto(e, t.Shape[axis]):
		shape[axis] = e[0]
	default:
		shape[axis] = c.Fresh()
	}
	c.SetType(op, 0, seqOf(TensorType(t.DType, shape...)))
	return nil
}

// dividesInto reports whether a dimension d cut by sizes e gives equal parts: one size is repeated and
// may leave a smaller last part.
func dividesInto(e []Dim, d Dim) bool {
	if len(e) > 1 {
		return !slices.ContainsFunc(e, func(x Dim) bool { return !x.Equal(e[0]) })
	}
	return e[0].IsConst() && e[0].c > 0 && d.Div(e[0]).Mul(e[0]).Equal(d)
}

func inferConcatFromSequence(c *InferCtx, op *Op) error {
	t, err := c.elemOf(op, op.Operands[0])
	if err != nil {
		return err
	}
	if !t.Ranked {
		return c.unranked(op, t.DType)
	}
	rank, isNew := len(t.Shape), op.Attrs.Int("new_axis", 0) != 0
	if isNew {
		rank++
	}
	axis, err := normAxis(op, op.Attrs.Int("axis", 0), rank)
	if err != nil {
		return err
	}
	shape := slices.Clone(t.Shape)
	if isNew {
		shape = slices.Insert(shape, axis, c.Fresh())
	} else {
		shape[axis] = c.Fresh()
	}
	return c.set(op, t.DType, shape)
}

func inferOptional(c *InferCtx, op *Op) error {
	t := Type{}
	if v := op.Operand(0); v != nil {
		t = v.Type
	} else if r := op.Result(0); r != nil && r.Type.Kind == KindOptional {
		return nil // an empty one is what it was declared to be
	}
	c.SetType(op, 0, Type{Kind: KindOptional, Elem: &t})
	return nil
}

func inferOptionalGetElement(c *InferCtx, op *Op) error {
	v := op.Operands[0]
	if v.Type.Kind != KindOptional {
		return inferIdentity(c, op)
	}
	t, err := c.elemOf(op, v)
	c.SetType(op, 0, t)
	return err
}

func inferOptionalHasElement(c *InferCtx, op *Op) error { return c.set(op, tensor.Bool, nil) }
