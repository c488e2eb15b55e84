package onnx

import (
	"fmt"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// msHeads is what the attention ops of com.microsoft have in common once Q, K and V are apart.
type msHeads struct {
	q, k, v            *ir.Value // [B,L,H*D], or K and V [B,H,L,D]
	pastK, pastV, bias *ir.Value // bias is added to scores
	nonpad, sink       *ir.Value // as Attention has them
	attrs              ir.Attrs
}

// attend emits Attention and gives its results, those presents that are wanted among them.
func (c *nodeCtx) attend(h *msHeads, presents bool) []*ir.Value {
	op := c.emit("Attention", []*ir.Value{h.q, h.k, h.v, h.bias, h.pastK, h.pastV, h.nonpad, h.sink}, 3, h.attrs)
	if !presents {
		op.Results[1], op.Results[2] = nil, nil
	}
	c.infer(op)
	return op.Results
}

// msAttrs are the attributes of Attention that those of the node stand for.
func msAttrs(c *nodeCtx, q, kv int64) (ir.Attrs, error) {
	if q < 1 || kv < 1 || q%kv != 0 {
		return nil, fmt.Errorf("%d heads of queries for %d of keys, want a multiple", q, kv)
	}
	a := ir.Attrs{"q_num_heads": q, "kv_num_heads": kv}
	if s, ok := c.attrs["scale"].(float64); ok && s != 0 {
		a["scale"] = s
	}
	if c.attrs.Int("unidirectional", 0) != 0 {
		a["is_causal"] = int64(1)
	}
	return a, nil
}

// msAttention imports com.microsoft's Attention, which projects its input to Q, K and V first.
func msAttention(c *nodeCtx) error {
	x := c.one("MatMul", nil, c.in[0], c.in[1])
	if b := c.operand(2); b != nil {
		x = c.one("Add", nil, x, b)
	}
	return c.projected(x, c.operand(3), c.operand(4), c.operand(5), c.operand(6))
}

// qAttention imports QAttention, whose input and weights are quantised.
func qAttention(c *nodeCtx) error {
	product := c.one("MatMulInteger", nil, c.in[0], c.in[1], c.operand(6), c.operand(7))
	x := c.one("Mul", nil, c.one("CastLike", nil, product, c.in[3]), c.one("Mul", nil, c.in[3], c.in[4]))
	return c.projected(c.one("Add", nil, x, c.in[2]), c.operand(5), c.operand(8), nil, nil)
}

// projected finishes Attention and QAttention: x is Q, K and V side by side.
func (c *nodeCtx) projected(x, mask, past, bias, pastLen *ir.Value) error {
	if c.attrs.Int("do_rotary", 0) != 0 || c.attrs.Int("past_present_share_buffer", 0) != 0 || pastLen != nil {
		return unsupportedf("do_rotary and past_present_share_buffer are not supported")
	}
	n := c.attrs.Int("num_heads", 0)
	attrs, err := msAttrs(c, n, n)
	if err != nil {
		return err
	}
	sizes := c.attrs.Ints("qkv_hidden_sizes", nil)
	if sizes == nil {
		w := c.in[1].Type
		if !w.Ranked || len(w.Shape) != 2 || !w.Shape[1].IsConst() || w.Shape[1].Value()%3 != 0 {
			return fmt.Errorf("weights are %v, want a number of columns that is known and a multiple of 3", w)
		}
		s := w.Shape[1].Value() / 3
		sizes = []int64{s, s, s}
	}
	if len(sizes) != 3 {
		return fmt.Errorf("%d qkv_hidden_sizes, want 3", len(sizes))
	}
	parts := c.parts(x, -1, sizes...)
	h := &msHeads{q: parts[0], k: parts[1], v: parts[2], bias: bias, attrs: attrs}
	if past != nil {
		h.pastK = c.one("Gather", ir.Attrs{"axis": int64(0)}, past, c.constant(tensor.Of([]int64{0})))
		h.pastV = c.one("Gather", ir.Attrs{"axis": int64(0)}, past, c.constant(tensor.Of([]int64{1})))
	}
	if err := c.addPadding(h, mask); err != nil {
		return err
	}
	r := c.attend(h, c.wants(1))
	if err := c.bind(0, r[0]); err != nil || !c.wants(1) {
		return err
	}
	axes := c.ints(0)
	return c.bind(1, c.one("Concat", ir.Attrs{"axis": int64(0)}, c.one("Unsqueeze", nil, r[1], axes), c.one("Unsqueeze", nil, r[2], axes)))
}

// parts splits x along an axis.
func (c *nodeCtx) parts(x *ir.Value, axis int64, sizes ...int64) []*ir.Value {
	op := c.emit("Split", []*ir.Value{x, c.ints(sizes...)}, len(sizes), ir.Attrs{"axis": axis})
	c.infer(op)
	return op.Results
}

// total is the number of keys, those of the past included, as a scalar.
func (c *nodeCtx) total(h *msHeads) *ir.Value {
	length := func(v *ir.Value, axis int64) *ir.Value {
		return c.one("Squeeze", nil, c.one("Shape", ir.Attrs{"start": axis, "end": axis + 1}, v), c.ints(0))
	}
	axis := int64(1)
	if rank(h.k) == 4 {
		axis = 2
	}
	n := length(h.k, axis)
	if h.pastK != nil {
		n = c.one("Add", nil, n, length(h.pastK, 2))
	}
	return n
}

// counting is 0, 1, ... below the scalar n.
func (c *nodeCtx) counting(n *ir.Value) *ir.Value {
	return c.one("Range", nil, c.constant(tensor.Of([]int64{0})), n, c.constant(tensor.Of([]int64{1})))
}

// addPadding adds to the bias of scores what a padding mask forbids: mask_filter_value, which is finite. The mask has
// a number for each key, or for each pair of query and key, or it is the number of keys, or where they end and begin.
func (c *nodeCtx) addPadding(h *msHeads, mask *ir.Value) error {
	if mask == nil {
		return nil
	}
	var allowed *ir.Value
	switch rank(mask) {
	case 1:
		batch := ir.Dim{}
		if h.q.Type.Ranked {
			batch = h.q.Type.Shape[0]
		}
		n := mask.Type.Shape[0]
		keys := c.counting(c.total(h))
		column := func(v *ir.Value) *ir.Value {
			return c.one("Unsqueeze", nil, c.one("Cast", ir.Attrs{"to": tensor.I64}, v), c.ints(1))
		}
		switch {
		case n.Equal(batch):
			allowed = c.one("Less", nil, keys, column(mask))
		case n.Equal(batch.MulInt(2)) && batch.IsConst():
			p := c.parts(mask, 0, batch.Value(), batch.Value())
			allowed = c.one("And", nil, c.one("Less", nil, keys, column(p[0])), c.one("GreaterOrEqual", nil, keys, column(p[1])))
		default:
			return unsupportedf("a mask of %v for a batch of %v", mask.Type, batch)
		}
		allowed = c.one("Unsqueeze", nil, allowed, c.ints(1, 2))
	case 2:
		allowed = c.one("Unsqueeze", nil, c.one("Cast", ir.Attrs{"to": tensor.Bool}, mask), c.ints(1, 2))
	case 3:
		allowed = c.one("Unsqueeze", nil, c.one("Cast", ir.Attrs{"to": tensor.Bool}, mask), c.ints(1))
	default:
		return unsupportedf("a mask of %v", mask.Type)
	}
	m := c.one("Where", nil, allowed, c.scalar(0, h.q), c.scalar(c.attrs.Float("mask_filter_value", -10000), h.q))
	if h.bias != nil {
		m = c.one("Add", nil, m, h.bias)
	}
	h.bias = m
	return nil
}

// multiHeadAttention imports MultiHeadAttention in its forms: Q, K and V apart, K and V or all three in one tensor
// [B,L,H,2 or 3,D], K and V as [B,H,L,D].
func multiHeadAttention(c *nodeCtx) error {
	if c.operand(8) != nil || c.operand(9) != nil || c.uses(3) {
		return unsupportedf("past_sequence_length, cache_indirection and the output qk are not supported")
	}
	n := c.attrs.Int("num_heads", 0)
	attrs, err := msAttrs(c, n, n)
	if err != nil {
		return err
	}
	h := &msHeads{q: c.in[0], k: c.operand(1), v: c.operand(2), bias: c.operand(5), pastK: c.operand(6), pastV: c.operand(7), attrs: attrs}
	flat := func(v *ir.Value) *ir.Value { return c.one("Reshape", nil, v, c.ints(0, 0, -1)) }
	switch {
	case h.k == nil && rank(h.q) == 5:
		p := c.parts(h.q, 3, 1, 1, 1)
		h.q, h.k, h.v = flat(p[0]), flat(p[1]), flat(p[2])
	case h.k != nil && h.v == nil && rank(h.k) == 5:
		p := c.parts(h.k, 3, 1, 1)
		h.k, h.v = flat(p[0]), flat(p[1])
	case h.k == nil || h.v == nil:
		return fmt.Errorf("key or value is missing, and query is not [B,L,H,3,D] nor key [B,L,H,2,D]")
	}
	if b := c.operand(3); b != nil {
		if err := c.addQKVBias(h, b); err != nil {
			return err
		}
	}
	if err := c.addPadding(h, c.operand(4)); err != nil {
		return err
	}
	return c.bindAll(c.attend(h, c.wants(1) || c.wants(2)))
}

// bindAll makes values the outputs that they have the places of.
func (c *nodeCtx) bindAll(values []*ir.Value) error {
	for i, v := range values {
		if v == nil {
			continue
		}
		if err := c.bind(i, v); err != nil {
			return err
		}
	}
	return nil
}

// addQKVBias adds the parts of a bias to Q, K and V, of which the latter two get none where they come as heads.
func (c *nodeCtx) addQKVBias(h *msHeads, b *ir.Value) error {
	var sizes []int64
	for _, v := range []*ir.Value{h.q, h.k, h.v} {
		if rank(v) < 3 {
			return unsupportedf("a bias of operands of unknown rank")
		}
		d := v.Type.Shape[2]
		if rank(v) == 4 {
			d = v.Type.Shape[1].Mul(v.Type.Shape[3])
		}
		if !d.IsConst() {
			return unsupportedf("a bias of operands of unknown size")
		}
		sizes = append(sizes, d.Value())
	}
	p := c.parts(b, 0, sizes...)
	for i, v := range []**ir.Value{&h.q, &h.k, &h.v} {
		if rank(*v) == 3 {
			*v = c.one("Add", nil, *v, p[i])
		}
	}
	return nil
}

// msRotary imports com.microsoft's RotaryEmbedding, whose positions may be one offset for all.
func msRotary(c *nodeCtx) error {
	if c.attrs.Int("is_packed_batching", 0) != 0 || c.attrs.Float("scale", 1) != 1 {
		return unsupportedf("is_packed_batching and scale are not supported")
	}
	x, ids := c.in[0], c.in[1]
	ids = c.one("Cast", ir.Attrs{"to": tensor.I64}, ids)
	switch rank(ids) {
	case 1:
		axis := int64(1)
		if rank(x) == 4 {
			axis = 2
		}
		n := c.one("Squeeze", nil, c.one("Shape", ir.Attrs{"start": axis, "end": axis + 1}, x), c.ints(0))
		row := c.one("Unsqueeze", nil, c.one("Add", nil, c.counting(n), ids), c.ints(0))
		batch := c.one("Shape", ir.Attrs{"start": int64(0), "end": int64(1)}, x)
		ids = c.one("Expand", nil, row, c.one("Concat", ir.Attrs{"axis": int64(0)}, batch, c.ints(1)))
	case 2:
	default:
		return fmt.Errorf("position_ids are %v, want rank 1 or 2", c.in[1].Type)
	}
	a := ir.Attrs{}
	for _, name := range []string{"interleaved", "num_heads", "rotary_embedding_dim"} {
		if v := c.attrs.Int(name, 0); v != 0 {
			a[name] = v
		}
	}
	if rank(x) == 3 && a["num_heads"] == nil {
		cos := c.in[2].Type
		if !cos.Ranked || len(cos.Shape) != 2 || !cos.Shape[1].IsConst() || !x.Type.Shape[2].IsConst() {
			return unsupportedf("num_heads is not given and cannot be told from the shapes")
		}
		a["num_heads"] = x.Type.Shape[2].Value() / (2 * cos.Shape[1].Value())
	}
	return c.define1("RotaryEmbedding", a, x, c.in[2], c.in[3], ids)
}

// groupQueryAttention imports GroupQueryAttention: queries at the end of a cache of keys and values that holds
// seqlens_k+1 of them, or in the first call, when there are as many queries as keys, at its beginning.
func groupQueryAttention(c *nodeCtx) error {
	n, kv := c.attrs.Int("num_heads", 0), c.attrs.Int("kv_num_heads", 0)
	attrs, err := msAttrs(c, n, kv)
	if err != nil {
		return err
	}
	if c.uses(3) {
		return unsupportedf("the output of scores is not supported")
	}
	attrs["is_causal"] = int64(1)
	if w := c.attrs.Int("local_window_size", -1); w > 0 {
		attrs["left_window_size"] = w - 1
	}
	if s := c.attrs.Float("softcap", 0); s != 0 {
		attrs["softcap"] = s
	}
	h := &msHeads{q: c.in[0], k: c.operand(1), v: c.operand(2), bias: c.operand(10), sink: c.operand(11), attrs: attrs}
	if h.sink == nil && c.attrs.Int("smooth_softmax", 0) > 0 { // a further score of 0
		h.sink = c.one("CastLike", nil, c.constant(tensor.New(tensor.F32, n)), h.q)
	}
	hidden := ir.Dim{}
	if rank(h.q) == 3 {
		hidden = h.q.Type.Shape[2]
	}
	if h.k == nil {
		if !hidden.IsConst() || hidden.Value()%(n+2*kv) != 0 {
			return fmt.Errorf("query is %v, want %d heads of Q, K and V side by side", h.q.Type, n+2*kv)
		}
		d := hidden.Value() / (n + 2*kv)
		p := c.parts(h.q, -1, n*d, kv*d, kv*d)
		h.q, h.k, h.v = p[0], p[1], p[2]
		hidden = ir.Const(n * d)
	}
	cache := c.cache(h, kv)
	if c.attrs.Int("do_rotary", 0) != 0 {
		if err := c.rotate(h, cache, n, kv, hidden); err != nil {
			return err
		}
	}
	if c.operand(3) == nil {
		return c.bindAll(c.attend(h, c.wants(1) || c.wants(2)))
	}
	h.k, h.v = c.cached(h.k, c.in[3], cache, kv), c.cached(h.v, c.in[4], cache, kv)
	h.nonpad = c.one("Add", nil, cache.before, cache.queries)
	y := c.attend(h, false)[0]
	for i, v := range []*ir.Value{1: h.k, 2: h.v} {
		if v == nil || !c.wants(i) {
			continue
		}
		if err := c.bind(i, c.one("Identity", nil, v)); err != nil {
			return err
		}
	}
	return c.bind(0, y)
}

// msCache is where queries stand in a cache: how many there are (a list of one), how many keys come before
// them in each sample, and how many keys there are in all, a scalar.
type msCache struct{ queries, before, total *ir.Value }

func (c *nodeCtx) cache(h *msHeads, kv int64) *msCache {
	to := ir.Attrs{"to": tensor.I64}
	k := &msCache{queries: c.one("Shape", ir.Attrs{"start": int64(1), "end": int64(2)}, h.q)}
	k.total = c.one("Reshape", nil, c.one("Cast", to, c.in[6]), c.ints(1))
	lens := c.one("Reshape", nil, c.one("Cast", to, c.in[5]), c.ints(-1))
	before := c.one("Sub", nil, c.one("Add", nil, lens, c.ints(1)), k.queries)
	k.before = c.one("Where", nil, c.one("Equal", nil, k.total, k.queries), c.ints(0), before)
	return k
}

// cached is the cache of keys or values with x, [B,L,H*D], written behind those that are there. It grows to the number
// of keys if it is shorter.
func (c *nodeCtx) cached(x, past *ir.Value, k *msCache, heads int64) *ir.Value {
	x = c.one("Transpose", ir.Attrs{"perm": []int64{0, 2, 1, 3}}, c.one("Reshape", nil, x, c.ints(0, 0, heads, -1)))
	room := c.one("Shape", ir.Attrs{"start": int64(2), "end": int64(3)}, past)
	grow := c.one("Max", nil, c.one("Sub", nil, k.total, room), c.ints(0))
	pads := c.one("Concat", ir.Attrs{"axis": int64(0)}, c.ints(0, 0, 0, 0, 0, 0), grow, c.ints(0))
	return c.one("TensorScatter", nil, c.one("Pad", nil, past, pads), x, k.before)
}

// rotate turns Q and K by their positions.
func (c *nodeCtx) rotate(h *msHeads, k *msCache, n, kv int64, hidden ir.Dim) error {
	cos, sin, ids := c.operand(7), c.operand(8), c.operand(9)
	if cos == nil || sin == nil {
		return fmt.Errorf("do_rotary without cos_cache and sin_cache")
	}
	if rank(cos) != 2 || !cos.Type.Shape[1].IsConst() || !hidden.IsConst() {
		return unsupportedf("do_rotary with sizes of heads that are not known")
	}
	if ids == nil {
		steps := c.counting(c.one("Squeeze", nil, k.queries, c.ints(0)))
		ids = c.one("Add", nil, c.one("Unsqueeze", nil, k.before, c.ints(1)), steps)
	}
	turn := func(x *ir.Value, heads int64) *ir.Value {
		a := ir.Attrs{"num_heads": heads}
		if d := 2 * cos.Type.Shape[1].Value(); d != hidden.Value()/n {
			a["rotary_embedding_dim"] = d
		}
		if c.attrs.Int("rotary_interleaved", 0) != 0 {
			a["interleaved"] = int64(1)
		}
		return c.one("RotaryEmbedding", a, x, cos, sin, ids)
	}
	h.q, h.k = turn(h.q, n), turn(h.k, kv)
	return nil
}
