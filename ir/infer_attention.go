package ir

// headsOf gives batch, heads, length and size of a head of an attention operand: [B,H,L,D] or, with the
// number of heads in an attribute, [B,L,H*D].
func (c *InferCtx) headsOf(op *Op, i int, attr string) (b, h, l, d Dim, err error) {
	if err := wantRank(op, i, 3, 4); err != nil {
		return b, h, l, d, err
	}
	s := shapeOf(op, i)
	if len(s) == 4 {
		return s[0], s[1], s[2], s[3], nil
	}
	n := op.Attrs.Int(attr, 0)
	if n < 1 {
		return b, h, l, d, op.Errorf("attribute %s is %d, want at least 1 with operands of rank 3", attr, n)
	}
	if s[2].IsConst() && s[2].Value()%n != 0 {
		return b, h, l, d, op.Errorf("operand %d %q is %v, want %d heads in its last dimension", i, op.Operands[i].Name, op.Operands[i].Type, n)
	}
	return s[0], Const(n), s[1], s[2].Div(Const(n)), nil
}

func inferAttention(c *InferCtx, op *Op) error {
	d := dtypeOf(op, 0)
	if anyUnranked(op, 0, 1, 2, 4, 5) {
		return c.unranked(op, d, dtypeOf(op, 1), dtypeOf(op, 2), d)
	}
	b, hq, lq, dq, err1 := c.headsOf(op, 0, "q_num_heads")
	bk, hk, lk, dk, err2 := c.headsOf(op, 1, "kv_num_heads")
	bv, hv, lv, dv, err3 := c.headsOf(op, 2, "kv_num_heads")
	if err := firstErr(err1, err2, err3); err != nil {
		return err
	}
	for i, l := range map[int]*Dim{4: &lk, 5: &lv} {
		if op.Operand(i) != nil {
			if err := wantRank(op, i, 4, 4); err != nil {
				return err
			}
			*l = l.Add(shapeOf(op, i)[2])
		}
	}
	if err := checkAttention(op, hq, hk, hv, dq, dk); err != nil {
		return err
	}
	_, err1 = unify(op, "the batch of Q and K", b, bk)
	_, err2 = unify(op, "the batch of Q and V", b, bv)
	_, err3 = unify(op, "the length of K and V", lk, lv)
	if err := firstErr(err1, err2, err3); err != nil {
		return err
	}
	if m := op.Operand(3); m != nil && m.Type.Ranked && len(m.Type.Shape) > 1 {
		if d := m.Type.Shape[len(m.Type.Shape)-2]; d.IsConst() && !d.Is(1) && lq.IsConst() && !d.Equal(lq) {
			return op.Errorf("attn_mask %q is %v, want 1 or %v rows, one for each of Q", m.Name, m.Type, lq)
		}
	}
	if len(shapeOf(op, 0)) == 4 {
		c.Set(op, 0, d, []Dim{b, hq, lq, dv})
	} else {
		c.Set(op, 0, d, []Dim{b, lq, hq.Mul(dv)})
	}
	c.Set(op, 1, dtypeOf(op, 1), []Dim{b, hk, lk, dk})
	c.Set(op, 2, dtypeOf(op, 2), []Dim{b, hv, lv, dv})
	c.Set(op, 3, d, []Dim{b, hq, lq, lk})
	return nil
}

// checkAttention holds what Attention's operands and attributes must have in common, as far as it is known.
func checkAttention(op *Op, hq, hk, hv, dq, dk Dim) error {
	_, err1 := unify(op, "the number of heads of K and V", hk, hv)
	_, err2 := unify(op, "the head size of Q and K", dq, dk)
	if err := firstErr(err1, err2); err != nil {
		return err
	}
	if hq.IsConst() && hk.IsConst() && hk.Value() > 0 && hq.Value()%hk.Value() != 0 {
		return op.Errorf("Q has %v heads, want a multiple of the %v heads of K", hq, hk)
	}
	if (op.Operand(4) == nil) != (op.Operand(5) == nil) {
		return op.Errorf("past_key and past_value go together")
	}
	if n := op.Operand(6); n != nil && op.Operand(4) != nil {
		return op.Errorf("nonpad_kv_seqlen cannot be given together with past_key")
	}
	if s := op.Operand(7); s != nil && s.Type.Ranked {
		if err := wantRank(op, 7, 1, 1); err != nil {
			return err
		}
		if _, err := unify(op, "the heads of Q and head_sink", hq, s.Type.Shape[0]); err != nil {
			return err
		}
	}
	for _, name := range []string{"left_window_size", "right_window_size"} {
		if w := op.Attrs.Int(name, -1); w < -1 {
			return op.Errorf("%s is %d, want at least -1", name, w)
		}
	}
	if m := op.Attrs.Int("qk_matmul_output_mode", 0); m < 0 || m > 3 {
		return op.Errorf("qk_matmul_output_mode is %d, want 0 to 3", m)
	}
	if m := op.Operand(3); m != nil && m.Type.Ranked {
		return wantRank(op, 3, 1, 4)
	}
	return nil
}

func inferCausalConv(c *InferCtx, op *Op) error {
	x, w := op.Operands[0].Type, op.Operands[1].Type
	c.SetType(op, 0, x)
	state := c.FreshShape(3)
	if x.Ranked {
		if err := wantRank(op, 0, 3, 3); err != nil {
			return err
		}
		state[0], state[1] = x.Shape[0], x.Shape[1]
	}
	if w.Ranked {
		if err := wantRank(op, 1, 3, 3); err != nil {
			return err
		}
		_, err1 := unify(op, "the number of channels of input and weight", state[1], w.Shape[0])
		_, err2 := unify(op, "the middle dimension of weight and", w.Shape[1], Const(1))
		if err := firstErr(err1, err2); err != nil {
			return err
		}
		state[2] = w.Shape[2].AddInt(-1)
	}
	if a := op.Attrs.Str("activation", "none"); a != "none" && a != "silu" && a != "swish" {
		return op.Errorf("activation is %q, want none, silu or swish", a)
	}
	c.Set(op, 1, x.DType, state)
	return noNegative(op, state)
}

func inferLinearAttention(c *InferCtx, op *Op) error {
	d := dtypeOf(op, 0)
	state := d
	if v := op.Operand(3); v != nil {
		state = v.Type.DType
	}
	if err := checkUpdateRule(op); err != nil {
		return err
	}
	if anyUnranked(op, 0, 2) {
		return c.unranked(op, d, state)
	}
	hq, hkv := op.Attrs.Int("q_num_heads", 0), op.Attrs.Int("kv_num_heads", 0)
	if hq < 1 || hkv < 1 || hq%hkv != 0 {
		return op.Errorf("q_num_heads is %d, want a multiple of kv_num_heads, which is %d", hq, hkv)
	}
	if err := firstErr(wantRank(op, 0, 3, 3), wantRank(op, 2, 3, 3)); err != nil {
		return err
	}
	q := shapeOf(op, 0)
	_, _, _, dk, err1 := c.headsOf(op, 0, "q_num_heads")
	_, _, _, dv, err2 := c.headsOf(op, 2, "kv_num_heads")
	if err := firstErr(err1, err2); err != nil {
		return err
	}
	c.Set(op, 0, d, []Dim{q[0], q[1], dv.MulInt(hq)})
	c.Set(op, 1, state, []Dim{q[0], Const(hkv), dk, dv})
	return nil
}

// checkUpdateRule holds the operands of LinearAttention against its rule.
func checkUpdateRule(op *Op) error {
	rule := op.Attrs.Str("update_rule", "gated_delta")
	uses, known := map[string][2]bool{"linear": {}, "gated": {true, false}, "delta": {false, true}, "gated_delta": {true, true}}[rule]
	if !known {
		return op.Errorf("update_rule is %q, want linear, gated, delta or gated_delta", rule)
	}
	for i, name := range []string{"decay", "beta"} {
		v := op.Operand(4 + i)
		if (v != nil) != uses[i] {
			return op.Errorf("update_rule %s with%s %s", rule, map[bool]string{true: "", false: "out"}[v != nil], name)
		}
		if v != nil && v.Type.Ranked {
			if err := wantRank(op, 4+i, 3, 3); err != nil {
				return err
			}
		}
	}
	if v := op.Operand(3); v != nil && v.Type.Ranked {
		return wantRank(op, 3, 4, 4)
	}
	return nil
}

func inferRotary(c *InferCtx, op *Op) error {
	x := op.Operands[0].Type
	c.SetType(op, 0, x)
	if anyUnranked(op, 0, 1, 2, 3) {
		return nil
	}
	b, _, l, d, err := c.headsOf(op, 0, "num_heads")
	if err != nil {
		return err
	}
	if n := op.Attrs.Int("rotary_embedding_dim", 0); n != 0 {
		if n < 0 || n%2 != 0 || d.IsConst() && n > d.Value() {
			return op.Errorf("rotary_embedding_dim is %d, want an even number up to the head size %v", n, d)
		}
		d = Const(n)
	}
	if d.IsConst() && d.Value()%2 != 0 {
		return op.Errorf("%v features to turn, want an even number", d)
	}
	rank := 3
	if op.Operand(3) != nil {
		rank = 2
		if err := wantRank(op, 3, 2, 2); err != nil {
			return err
		}
		ids := shapeOf(op, 3)
		_, err1 := unify(op, "the batches of X and position_ids", b, ids[0])
		_, err2 := unify(op, "the lengths of X and position_ids", l, ids[1])
		if err := firstErr(err1, err2); err != nil {
			return err
		}
	}
	for i, name := range []string{"cos_cache", "sin_cache"} {
		if err := wantRank(op, i+1, rank, rank); err != nil {
			return err
		}
		if _, err := unify(op, "half the features to turn and the last dimension of "+name, d.Div(Const(2)), shapeOf(op, i+1)[rank-1]); err != nil {
			return err
		}
	}
	return nil
}
