package hostop

import (
	"math"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// headed is a tensor of heads, [batch, heads, length, size], in f64.
type headed struct {
	v          []float64
	b, h, l, d int64
}

// row is the vector of one position.
func (x *headed) row(b, h, l int64) []float64 {
	at := ((b*x.h+h)*x.l + l) * x.d
	return x.v[at : at+x.d]
}

// headsOf reads [B,H,L,D], or [B,L,H*D] with the number of heads.
func headsOf(t *tensor.Tensor, heads int64, name string) *headed {
	v := floatsOf(t)
	if len(t.Shape) == 4 {
		return &headed{v, t.Shape[0], t.Shape[1], t.Shape[2], t.Shape[3]}
	}
	check(len(t.Shape) == 3, "%s is %s, want rank 3 or 4", name, t.TypeString())
	check(heads > 0 && t.Shape[2]%heads == 0, "%s is %s, want %d heads in its last dimension", name, t.TypeString(), heads)
	x := &headed{make([]float64, len(v)), t.Shape[0], heads, t.Shape[1], t.Shape[2] / heads}
	for b := range x.b {
		for h := range x.h {
			for l := range x.l {
				copy(x.row(b, h, l), v[((b*x.l+l)*x.h+h)*x.d:])
			}
		}
	}
	return x
}

// tensor is the inverse of headsOf for the given rank.
func (x *headed) tensor(d tensor.DType, rank int) *tensor.Tensor {
	if rank == 4 {
		return fromFloats(d, []int64{x.b, x.h, x.l, x.d}, x.v)
	}
	v := make([]float64, len(x.v))
	for b := range x.b {
		for h := range x.h {
			for l := range x.l {
				copy(v[((b*x.l+l)*x.h+h)*x.d:], x.row(b, h, l))
			}
		}
	}
	return fromFloats(d, []int64{x.b, x.l, x.h * x.d}, v)
}

// after is x behind past along the length.
func (x *headed) after(past *tensor.Tensor, name string) *headed {
	if past == nil {
		return x
	}
	check(len(past.Shape) == 4, "%s is %s, want rank 4", name, past.TypeString())
	p := headsOf(past, 0, name)
	check(p.b == x.b && p.h == x.h && p.d == x.d, "%s is %s, want [%d,%d,?,%d]", name, past.TypeString(), x.b, x.h, x.d)
	r := &headed{make([]float64, x.b*x.h*(p.l+x.l)*x.d), x.b, x.h, p.l + x.l, x.d}
	for b := range x.b {
		for h := range x.h {
			for l := range p.l {
				copy(r.row(b, h, l), p.row(b, h, l))
			}
			for l := range x.l {
				copy(r.row(b, h, p.l+l), x.row(b, h, l))
			}
		}
	}
	return r
}

// attention is one application of Attention.
type attention struct {
	q, k, v     *headed
	mask        *tensor.Tensor
	maskVals    []float64
	nonpad      []int64   // keys that are there, by batch; nil for all
	sink        []float64 // a further score of each head, of a value of zeros; nil for none
	past        int64
	causal      bool
	left, right int64 // window, -1 for none
	scale, cap  float64
	mode        int64
	masked      float64 // the score where the mask is false
	plain       bool    // rows that see nothing are as Softmax has them
}

func attentionOf(c *Call) *attention {
	q, k, v := c.in(0), c.in(1), c.in(2)
	hq, hk := c.Attrs.Int("q_num_heads", 0), c.Attrs.Int("kv_num_heads", 0)
	a := &attention{q: headsOf(q, hq, "Q"), k: headsOf(k, hk, "K"), v: headsOf(v, hk, "V"), mask: c.opt(3),
		causal: c.Attrs.Int("is_causal", 0) != 0, left: c.Attrs.Int("left_window_size", -1), right: c.Attrs.Int("right_window_size", -1),
		cap: c.Attrs.Float("softcap", 0), mode: c.Attrs.Int("qk_matmul_output_mode", 0)}
	_, a.plain = c.Attrs["masked_score"]
	a.masked = c.Attrs.Float("masked_score", math.Inf(-1))
	pk, pv := c.opt(4), c.opt(5)
	check((pk == nil) == (pv == nil), "past_key and past_value go together")
	if pk != nil {
		a.past = pk.Shape[2]
	}
	a.k, a.v = a.k.after(pk, "past_key"), a.v.after(pv, "past_value")
	check(a.q.b == a.k.b && a.k.b == a.v.b, "batches of %d, %d and %d", a.q.b, a.k.b, a.v.b)
	check(a.q.d == a.k.d, "heads of size %d and %d", a.q.d, a.k.d)
	check(a.k.l == a.v.l && a.k.h == a.v.h, "the lengths or heads of K and V differ: %s and %s", k.TypeString(), v.TypeString())
	check(a.k.h > 0 && a.q.h%a.k.h == 0, "%d heads of Q for %d of K", a.q.h, a.k.h)
	check(a.left >= -1 && a.right >= -1, "window of %d and %d, want at least -1", a.left, a.right)
	check(a.mode >= 0 && a.mode <= 3, "qk_matmul_output_mode is %d, want 0 to 3", a.mode)
	a.scale = c.Attrs.Float("scale", 1/math.Sqrt(float64(a.q.d)))
	if n := c.opt(6); n != nil {
		check(pk == nil, "nonpad_kv_seqlen cannot be given together with past_key")
		check(n.Len() == a.q.b, "nonpad_kv_seqlen is %s, want [%d]", n.TypeString(), a.q.b)
		a.nonpad = intsOf(n)
	}
	if s := c.opt(7); s != nil {
		check(s.Len() == a.q.h, "head_sink is %s, want [%d]", s.TypeString(), a.q.h)
		a.sink = floatsOf(s)
	}
	if a.mask != nil {
		check(len(a.mask.Shape) >= 1 && len(a.mask.Shape) <= 4, "attn_mask is %s, want rank 1 to 4", a.mask.TypeString())
		a.maskVals = floatsOf(a.mask)
		want := []int64{a.q.b, a.q.h, a.q.l}
		for i, d := range a.mask.Shape[:len(a.mask.Shape)-1] {
			w := want[4-len(a.mask.Shape)+i]
			check(d == 1 || d == w, "attn_mask is %s, want what broadcasts to [%d,%d,%d,%d]", a.mask.TypeString(), a.q.b, a.q.h, a.q.l, a.k.l)
		}
	}
	return a
}

// bias is what is added to a score, -Inf where the mask forbids the key.
func (a *attention) bias(b, h, i, j int64) float64 {
	if a.mask == nil {
		return 0
	}
	s := a.mask.Shape
	n := len(s)
	if j >= s[n-1] { // outside what is visible
		return math.Inf(-1)
	}
	at, step := j, s[n-1]
	for k, x := range []int64{i, h, b} {
		if d := n - 2 - k; d >= 0 {
			if s[d] > 1 {
				at += x * step
			}
			step *= s[d]
		}
	}
	v := a.maskVals[at]
	if a.mask.DType != tensor.Bool {
		return v
	}
	if v != 0 {
		return 0
	}
	return math.Inf(-1)
}

// visible is the range of keys that position i of the queries may see, the mask aside; a mask that is shorter
// than the keys forbids those that it lacks.
func (a *attention) visible(b, i int64) (lo, hi int64) {
	p := a.past + i
	hi = a.k.l
	if a.nonpad != nil {
		p = a.nonpad[b] - a.q.l + i
		hi = min(hi, a.nonpad[b])
	}
	if a.mask != nil {
		hi = min(hi, a.mask.Shape[len(a.mask.Shape)-1])
	}
	if a.causal {
		hi = min(hi, p+1)
	}
	if a.right >= 0 {
		hi = min(hi, p+a.right+1)
	}
	if a.left >= 0 {
		lo = max(0, p-a.left)
	}
	return lo, max(lo, hi)
}

// scores gives the probabilities of the keys for a query, and what the output of scores holds in this mode.
// A query that may see no key has zero probabilities, plain ones NaN.
func (a *attention) scores(b, h, i int64) (prob, out []float64) {
	lo, hi := a.visible(b, i)
	q := a.q.row(b, h, i)
	prob, out = make([]float64, a.k.l), make([]float64, a.k.l)
	top, seen, sum := math.Inf(-1), false, 0.0
	if a.sink != nil {
		top, seen = a.sink[h], true
	}
	for j := range a.k.l {
		s := 0.0
		for d, x := range a.k.row(b, h/(a.q.h/a.k.h), j) {
			s += q[d] * x
		}
		s *= a.scale
		out[j] = s
		if a.cap > 0 {
			s = a.cap * math.Tanh(s/a.cap)
		}
		if a.mode == 1 {
			out[j] = s
		}
		bias := a.bias(b, h, i, j)
		switch s += bias; {
		case j < lo || j >= hi:
			s = math.Inf(-1)
		case math.IsInf(bias, -1) && a.mask.DType == tensor.Bool:
			s = a.masked // whatever the score is, NaN included
		case math.IsInf(bias, -1) && !a.plain:
			s = math.Inf(-1)
		}
		if a.mode == 2 {
			out[j] = s
		}
		prob[j] = s
		if !math.IsInf(s, -1) {
			top, seen = math.Max(top, s), true
		}
	}
	if a.sink != nil {
		sum = math.Exp(a.sink[h] - top)
	}
	for j, s := range prob {
		prob[j] = 0
		if seen || a.plain {
			prob[j] = math.Exp(s - top)
		}
		sum += prob[j]
	}
	for j := range prob {
		if seen || a.plain {
			prob[j] /= sum
		}
	}
	if a.mode == 3 {
		copy(out, prob)
	}
	return prob, out
}

// Attention is softmax(scale*Q*K^T + mask) * V per head, in f64. A query that may see no key gives zeros;
// values of keys outside the visible range (causal, window, padding) are not touched.
func Attention(c *Call) (err error) {
	defer guard(&err)
	a := attentionOf(c)
	d, rank := c.in(0).DType, len(c.in(0).Shape)
	y := &headed{make([]float64, elemCount([]int64{a.q.b, a.q.h, a.q.l, a.v.d}, 64)), a.q.b, a.q.h, a.q.l, a.v.d}
	var qk *tensor.Tensor
	var put func(i int64, x float64)
	if c.wants(3) {
		qk = alloc(d, a.q.b, a.q.h, a.q.l, a.k.l)
		put = floatPutter(qk, true)
	}
	row := int64(0)
	for b := range a.q.b {
		for h := range a.q.h {
			for i := range a.q.l {
				prob, out := a.scores(b, h, i)
				lo, hi := a.visible(b, i)
				to := y.row(b, h, i)
				for j := lo; j < hi; j++ {
					for e, x := range a.v.row(b, h/(a.q.h/a.k.h), j) {
						to[e] += prob[j] * x
					}
				}
				for j, x := range out {
					if put != nil {
						put(row*a.k.l+int64(j), x)
					}
				}
				row++
			}
		}
	}
	c.give(y.tensor(d, rank), a.k.tensor(c.in(1).DType, 4), a.v.tensor(c.in(2).DType, 4), qk)
	return nil
}

// QKVAttention is Attention of the thirds of the last dimension of its operand.
func QKVAttention(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	check(len(x.Shape) == 3 && x.Shape[2]%3 == 0, "[B,L,3*n] wanted, got %s", x.TypeString())
	heads, n := c.Attrs.Int("heads", 1), x.Shape[2]/3
	sub := &Call{Attrs: Attrs{"q_num_heads": heads, "kv_num_heads": heads, "scale": c.Attrs.Float("scale", 1), "masked_score": c.Attrs.Float("masked_score", math.Inf(-1))}, NumOut: 1}
	for i := range int64(3) {
		sub.In = append(sub.In, stridedCopy(x, i*n, []int64{x.Shape[0], x.Shape[1], n}, stridesOf(x.Shape)))
	}
	if len(c.In) > 1 {
		sub.In = append(sub.In, c.In[1])
	}
	if err := Attention(sub); err != nil {
		return err
	}
	c.give(sub.Out[0].(*tensor.Tensor))
	return nil
}
