package ir

func inferRNN(c *InferCtx, op *Op) error {
	d := dtypeOf(op, 0)
	if anyUnranked(op, 0) {
		if op.Attrs["hidden_size"] == nil {
			return c.unranked(op, d)
		}
	} else if err := wantRank(op, 0, 3, 3); err != nil {
		return err
	}
	seq, batch := c.Fresh(), c.Fresh()
	if op.Operands[0].Type.Ranked {
		seq, batch = shapeOf(op, 0)[0], shapeOf(op, 0)[1]
	}
	layout := op.Attrs.Int("layout", 0)
	if layout == 1 {
		seq, batch = batch, seq
	}
	dirs := Const(1)
	if op.Attrs.Str("direction", "forward") == "bidirectional" {
		dirs = Const(2)
	}
	hidden, err := c.hiddenSize(op, dirs)
	if err != nil {
		return err
	}
	all, last := []Dim{seq, dirs, batch, hidden}, []Dim{dirs, batch, hidden}
	if layout == 1 {
		all, last = []Dim{batch, seq, dirs, hidden}, []Dim{batch, dirs, hidden}
	}
	c.Set(op, 0, d, all)
	c.Set(op, 1, d, last)
	c.Set(op, 2, d, last)
	return nil
}

// hiddenSize reads the size of the state from hidden_size or from R, [directions, gates*hidden, hidden].
func (c *InferCtx) hiddenSize(op *Op, dirs Dim) (Dim, error) {
	h, given := op.Attrs["hidden_size"].(int64)
	if !op.Operands[2].Type.Ranked {
		if given {
			return Const(h), nil
		}
		return c.Fresh(), nil
	}
	if err := wantRank(op, 2, 3, 3); err != nil {
		return Dim{}, err
	}
	r := shapeOf(op, 2)
	if _, err := unify(op, "the number of directions of R", r[0], dirs); err != nil || !given {
		return r[2], err
	}
	return unify(op, "hidden_size and the last dimension of R", Const(h), r[2])
}
