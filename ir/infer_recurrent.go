package ir

import "fmt"

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
	if lens := op.Operand(4); lens != nil && lens.Type.Ranked {
		if err := wantRank(op, 4, 1, 1); err != nil {
			return err
		}
		if _, err := unify(op, "the size of the batch and the number of sequence_lens", batch, lens.Type.Shape[0]); err != nil {
			return err
		}
	}
	dirs := Const(1)
	if op.Attrs.Str("direction", "forward") == "bidirectional" {
		dirs = Const(2)
	}
	hidden, err := c.hiddenSize(op, dirs)
	if err != nil {
		return err
	}
	state := []Dim{dirs, batch}
	if layout == 1 {
		state = []Dim{batch, dirs}
	}
	for i := 5; i <= 6; i++ { // initial_h, initial_c
		if v := op.Operand(i); v != nil && v.Type.Ranked {
			for j, want := range state {
				if _, err := unify(op, fmt.Sprintf("dimension %d of the initial state %q", j, v.Name), v.Type.Shape[j], want); err != nil {
					return err
				}
			}
		}
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
