package ir

import (
	"slices"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// blockLanes is the number of channels that a blocked tensor keeps side by side.
const blockLanes = 16

func inferConst(c *InferCtx, op *Op) error {
	d, _ := op.Attrs["value"].(*Data)
	if d == nil {
		return op.Errorf("attribute value is missing")
	}
	c.SetType(op, 0, d.Type())
	return nil
}

// inferFused gives the region's parameters the operands' types and the op the types of the region's results.
func inferFused(c *InferCtx, op *Op) error {
	r := op.Regions[0]
	if len(r.Params) != len(op.Operands) || len(r.Results) != len(op.Results) {
		return op.Errorf("%d operands and %d results for a region of %d and %d", len(op.Operands), len(op.Results), len(r.Params), len(r.Results))
	}
	for i, p := range r.Params {
		p.Type = op.Operands[i].Type
		c.passElems(op.Operands[i], p)
	}
	if err := c.inferRegion(r); err != nil {
		return err
	}
	for i, v := range r.Results {
		c.SetType(op, i, v.Type)
		c.passElems(v, op.Results[i])
	}
	return nil
}

// passElems gives `to` the contents of `from`, where they are known.
func (c *InferCtx) passElems(from, to *Value) {
	delete(c.elems, to)
	if e, ok := c.Elems(from); ok {
		c.SetElems(to, e)
	}
}

func inferBlock(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	if !t.Ranked {
		return c.set(op, t.DType, append(c.FreshShape(4), Const(blockLanes)))
	}
	if err := wantRank(op, 0, 4, 4); err != nil {
		return err
	}
	s := t.Shape
	return c.set(op, t.DType, []Dim{s[0], s[1].CeilDiv(blockLanes), s[2], s[3], Const(blockLanes)})
}

// blockedOperand checks that operand 0 is a blocked tensor of the attribute's channels and gives its
// shape as a plain one, [N,channels,H,W].
func (c *InferCtx) blockedOperand(op *Op) ([]Dim, error) {
	ch, t := op.Attrs.Int("channels", 0), op.Operands[0].Type
	if ch < 1 {
		return nil, op.Errorf("attribute channels is %d, want at least 1", ch)
	}
	if !t.Ranked {
		return append([]Dim{c.Fresh(), Const(ch)}, c.FreshShape(2)...), nil
	}
	if err := wantRank(op, 0, 5, 5); err != nil {
		return nil, err
	}
	s := t.Shape
	if _, err := unify(op, "the number of lanes", s[4], Const(blockLanes)); err != nil {
		return nil, err
	}
	if _, err := unify(op, "the number of blocks of channels", s[1], Const(ch).CeilDiv(blockLanes)); err != nil {
		return nil, err
	}
	return []Dim{s[0], Const(ch), s[2], s[3]}, nil
}

// setBlocked types result 0 as the blocked form of a plain shape.
func (c *InferCtx) setBlocked(op *Op, d tensor.DType, n, channels Dim, spatial []Dim) error {
	return c.set(op, d, []Dim{n, channels.CeilDiv(blockLanes), spatial[0], spatial[1], Const(blockLanes)})
}

func inferUnblock(c *InferCtx, op *Op) error {
	s, err := c.blockedOperand(op)
	if err != nil {
		return err
	}
	return c.set(op, dtypeOf(op, 0), s)
}

func inferBlockedConv(c *InferCtx, op *Op) error {
	var x *Value
	if op.Attrs.Int("plain_input", 0) != 0 {
		x = op.Operands[0]
	} else {
		s, err := c.blockedOperand(op)
		if err != nil {
			return err
		}
		x = &Value{Type: TensorType(dtypeOf(op, 0), s...)}
	}
	if !x.Type.Ranked || !op.Operands[1].Type.Ranked {
		return c.set(op, productType(op), append(c.FreshShape(4), Const(blockLanes)))
	}
	plain := *op // the same convolution on the plain shape
	plain.Operands = append([]*Value{x}, op.Operands[1:]...)
	if err := wantRank(&plain, 0, 4, 4); err != nil {
		return err
	}
	shape, err := c.convShape(&plain, 0, 1)
	if err != nil {
		return err
	}
	return c.setBlocked(op, productType(op), shape[0], shape[1], shape[2:])
}

func inferBlockedPool(c *InferCtx, op *Op) error {
	s, err := c.blockedOperand(op)
	if err != nil {
		return err
	}
	win, err := newWindow(op, 2, nil)
	if err != nil {
		return err
	}
	out, err := win.spatial(op, s[2:])
	if err != nil {
		return err
	}
	return c.setBlocked(op, dtypeOf(op, 0), s[0], s[1], out)
}

func inferBlockedGlobalPool(c *InferCtx, op *Op) error {
	s, err := c.blockedOperand(op)
	if err != nil {
		return err
	}
	return c.setBlocked(op, dtypeOf(op, 0), s[0], s[1], Dims(1, 1))
}

func inferBlockedPick(c *InferCtx, op *Op) error {
	t := op.Operands[0].Type
	if !t.Ranked {
		return c.set(op, t.DType, append(c.FreshShape(4), Const(blockLanes)))
	}
	if err := wantRank(op, 0, 5, 5); err != nil {
		return err
	}
	shape := slices.Clone(t.Shape)
	for i, name := range []string{"rows", "columns"} {
		from, d := op.Attrs.Ints(name, nil), shape[2+i]
		for _, x := range from {
			if x < 0 || d.IsConst() && x >= d.Value() {
				return op.Errorf("%s has %d, beyond %v", name, x, d)
			}
		}
		shape[2+i] = Const(int64(len(from)))
	}
	return c.set(op, t.DType, shape)
}

func inferBlockedSelect(c *InferCtx, op *Op) error {
	var n, h, w Dim
	lanes := Const(0)
	for i, x := range op.Operands {
		if !x.Type.Ranked {
			return c.set(op, dtypeOf(op, 0), append(c.FreshShape(4), Const(blockLanes)))
		}
		if err := wantRank(op, i, 5, 5); err != nil {
			return err
		}
		s := x.Type.Shape
		lanes = lanes.Add(s[1].Mul(s[4]))
		if i == 0 {
			n, h, w = s[0], s[2], s[3]
			continue
		}
		for _, d := range [][2]Dim{{n, s[0]}, {h, s[2]}, {w, s[3]}} {
			if _, err := unify(op, "a dimension", d[0], d[1]); err != nil {
				return err
			}
		}
	}
	from := op.Attrs.Ints("from", nil)
	for _, l := range from {
		if l < 0 || lanes.IsConst() && l >= lanes.Value() {
			return op.Errorf("lane %d of %v", l, lanes)
		}
	}
	return c.setBlocked(op, dtypeOf(op, 0), n, Const(int64(len(from))), []Dim{h, w})
}

func inferQKVAttention(c *InferCtx, op *Op) error {
	if err := wantRank(op, 0, 3, 3); err != nil {
		return err
	}
	s := op.Operands[0].Type.Shape
	if len(s) != 3 {
		return c.set(op, dtypeOf(op, 0), c.FreshShape(3))
	}
	return c.set(op, dtypeOf(op, 0), []Dim{s[0], s[1], s[2].Div(Const(3))})
}

// knownBool reports whether v is a bool constant, and which.
func knownBool(v *Value) (value, known bool) {
	d := ConstOf(v)
	if d == nil || d.DType != tensor.Bool || d.Len() != 1 {
		return false, false
	}
	t, err := d.Tensor()
	if err != nil || len(t.Data) != 1 {
		return false, false
	}
	return t.Data[0] != 0, true
}

func inferRequire(c *InferCtx, op *Op) error {
	if t := op.Operands[1].Type; t.Kind != KindTensor || t.DType != tensor.Bool && t.DType != tensor.Invalid {
		return op.Errorf("condition is %v, want a bool", t)
	}
	c.SetType(op, 0, op.Operands[0].Type)
	if e, ok := c.Elems(op.Operands[0]); ok {
		c.SetElems(op.Results[0], e)
	}
	return nil
}

func inferSeed(c *InferCtx, op *Op) error { return c.set(op, tensor.I64, nil) }
