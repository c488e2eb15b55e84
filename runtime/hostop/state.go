package hostop

import (
	"math"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// RotaryEmbedding turns pairs of features of [B,H,L,D] or [B,L,H*D] by the angles of their position.
func RotaryEmbedding(c *Call) (err error) {
	defer guard(&err)
	t, ids := c.in(0), c.opt(3)
	x := headsOf(t, c.Attrs.Int("num_heads", 0), "X")
	n := c.Attrs.Int("rotary_embedding_dim", 0)
	if n == 0 {
		n = x.d
	}
	check(n%2 == 0 && n > 0 && n <= x.d, "rotary_embedding_dim is %d, want an even number up to the head size %d", n, x.d)
	half, pair, step := n/2, n/2, int64(1)
	if c.Attrs.Int("interleaved", 0) != 0 {
		pair, step = 1, 2
	}
	cosT, sinT := c.in(1), c.in(2)
	want := 3
	if ids != nil {
		want = 2
		check(ids.Len() == x.b*x.l, "position_ids is %s, want [%d,%d]", ids.TypeString(), x.b, x.l)
	}
	check(len(cosT.Shape) == want && cosT.Shape[want-1] == half, "cos_cache is %s, want rank %d with %d last", cosT.TypeString(), want, half)
	check(tensor.ShapeString(cosT.Shape) == tensor.ShapeString(sinT.Shape), "cos_cache is %s, sin_cache %s", cosT.TypeString(), sinT.TypeString())
	check(ids != nil || cosT.Shape[0] == x.b && cosT.Shape[1] == x.l, "cos_cache is %s, want [%d,%d,%d]", cosT.TypeString(), x.b, x.l, half)
	cos, sin := floatsOf(cosT), floatsOf(sinT)
	for b := range x.b {
		for l := range x.l {
			at := b*x.l + l
			if ids != nil {
				id, _ := ids.IntAt(at)
				check(id >= -cosT.Shape[0] && id < cosT.Shape[0], "position %d is out of range [%d, %d)", id, -cosT.Shape[0], cosT.Shape[0])
				if at = id; id < 0 {
					at += cosT.Shape[0]
				}
			}
			for h := range x.h {
				row := x.row(b, h, l)
				for i := range half {
					re, im := row[i*step], row[i*step+pair]
					cs, sn := cos[at*half+i], sin[at*half+i]
					row[i*step], row[i*step+pair] = cs*re-sn*im, sn*re+cs*im
				}
			}
		}
	}
	c.give(x.tensor(t.DType, len(t.Shape)))
	return nil
}

// CausalConvWithState convolves each channel of [B,C,L] with its kernel [C,1,k] over the last k inputs, those of
// past_state or zeros before the first; the last k-1 inputs are the next state.
func CausalConvWithState(c *Call) (err error) {
	defer guard(&err)
	x, w, bias, past := c.in(0), c.in(1), c.opt(2), c.opt(3)
	check(len(x.Shape) == 3 && len(w.Shape) == 3, "input is %s and weight %s, want rank 3", x.TypeString(), w.TypeString())
	b, ch, l, k := x.Shape[0], x.Shape[1], x.Shape[2], w.Shape[2]
	check(w.Shape[0] == ch && w.Shape[1] == 1 && k > 0, "weight is %s, want [%d,1,k]", w.TypeString(), ch)
	act := c.Attrs.Str("activation", "none")
	oneOf("activation", act, "none", "silu", "swish")
	add := make([]float64, ch)
	if bias != nil {
		add = perChannel(bias, ch, "bias")
	}
	seq := make([]float64, (l+k-1)*b*ch)
	if past != nil {
		check(past.Len() == b*ch*(k-1), "past_state is %s, want [%d,%d,%d]", past.TypeString(), b, ch, k-1)
	}
	xs, ws := floatsOf(x), floatsOf(w)
	y, state := make([]float64, len(xs)), make([]float64, b*ch*(k-1))
	for r := range b * ch {
		s := seq[r*(l+k-1) : (r+1)*(l+k-1)]
		if past != nil {
			for i := range k - 1 {
				s[i] = past.At(r*(k-1) + i)
			}
		}
		copy(s[k-1:], xs[r*l:(r+1)*l])
		copy(state[r*(k-1):(r+1)*(k-1)], s[l:])
		for i := range l {
			sum := add[r%ch]
			for j := range k {
				sum += ws[r%ch*k+j] * s[i+j]
			}
			if act != "none" {
				sum *= sigmoid(sum)
			}
			y[r*l+i] = sum
		}
	}
	c.give(fromFloats(x.DType, x.Shape, y), fromFloats(x.DType, []int64{b, ch, k - 1}, state))
	return nil
}

// linearState is one application of LinearAttention.
type linearState struct {
	q, k, v     *headed
	state       []float64 // [B,Hk,dk,dv]
	decay, beta func(b, h, t int64) []float64
}

// perStep gives the part of t, [B,T,w], that belongs to a step of a head; w is one of the widths. Without t there is none.
func (a *linearState) perStep(t *tensor.Tensor, name string, widths ...int64) func(b, h, t int64) []float64 {
	if t == nil {
		return nil
	}
	check(len(t.Shape) == 3, "%s is %s, want rank 3", name, t.TypeString())
	w := t.Shape[2]
	check(t.Len() == a.q.b*a.q.l*w && (w == widths[0] || w == widths[1]), "%s is %s, want [%d,%d,%d] or [%d,%d,%d]",
		name, t.TypeString(), a.q.b, a.q.l, widths[0], a.q.b, a.q.l, widths[1])
	vals, n := floatsOf(t), max(1, w/a.k.h)
	return func(b, h, t int64) []float64 {
		if w == 1 {
			h = 0
		}
		return vals[(b*a.q.l+t)*w+h*n:][:n]
	}
}

// step updates the state of head h of the keys by position t.
func (a *linearState) step(b, h, t int64) {
	dv := a.v.d
	s := a.state[(b*a.k.h+h)*a.k.d*dv:][:a.k.d*dv]
	key, val := a.k.row(b, h, t), append([]float64{}, a.v.row(b, h, t)...)
	if a.decay != nil {
		g := a.decay(b, h, t)
		for i := range s {
			s[i] *= math.Exp(g[int64(i)/dv%int64(len(g))])
		}
	}
	if a.beta != nil {
		f := a.beta(b, h, t)[0]
		for m := range val {
			for d, x := range key {
				val[m] -= s[int64(d)*dv+int64(m)] * x
			}
			val[m] *= f
		}
	}
	for i := range s {
		s[i] += key[int64(i)/dv] * val[int64(i)%dv]
	}
}

// read gives what query head h reads at position t.
func (a *linearState) read(out []float64, b, h, t int64, scale float64) {
	s := a.state[(b*a.k.h+h/(a.q.h/a.k.h))*a.k.d*a.v.d:]
	for d, x := range a.q.row(b, h, t) {
		for m := range out {
			out[m] += scale * x * s[int64(d)*a.v.d+int64(m)]
		}
	}
}

// LinearAttention carries a matrix [dk,dv] per head of keys and values along the sequence: each step decays it, adds
// the outer product of key and value (in the delta rules, of what the value differs from what the key recalls), and
// reads it by the query.
func LinearAttention(c *Call) (err error) {
	defer guard(&err)
	rule := c.Attrs.Str("update_rule", "gated_delta")
	oneOf("update_rule", rule, "linear", "gated", "delta", "gated_delta")
	hq, hk := c.Attrs.Int("q_num_heads", 0), c.Attrs.Int("kv_num_heads", 0)
	check(hq > 0 && hk > 0 && hq%hk == 0, "q_num_heads %d, want a multiple of kv_num_heads %d", hq, hk)
	for i := range 3 {
		check(len(c.in(i).Shape) == 3, "input %d is %s, want rank 3", i, c.in(i).TypeString())
	}
	q, k, v := headsOf(c.in(0), hq, "query"), headsOf(c.in(1), hk, "key"), headsOf(c.in(2), hk, "value")
	check(q.b == k.b && k.b == v.b && q.l == k.l && k.l == v.l && q.d == k.d, "query is %s, key %s, value %s", c.in(0).TypeString(), c.in(1).TypeString(), c.in(2).TypeString())
	past, decay, beta := c.opt(3), c.opt(4), c.opt(5)
	check((decay != nil) == (rule == "gated" || rule == "gated_delta"), "decay goes with the gated rules, not with %s", rule)
	check((beta != nil) == (rule == "delta" || rule == "gated_delta"), "beta goes with the delta rules, not with %s", rule)
	a := &linearState{q: q, k: k, v: v, state: make([]float64, q.b*hk*q.d*v.d)}
	kind := c.in(0).DType // of the state
	if past != nil {
		check(past.Len() == int64(len(a.state)), "past_state is %s, want [%d,%d,%d,%d]", past.TypeString(), q.b, hk, q.d, v.d)
		a.state, kind = floatsOf(past), past.DType
	}
	scale := c.Attrs.Float("scale", 0)
	if scale == 0 {
		scale = 1 / math.Sqrt(float64(q.d))
	}
	a.decay, a.beta = a.perStep(decay, "decay", hk, hk*q.d), a.perStep(beta, "beta", hk, 1)
	y := &headed{make([]float64, q.b*hq*q.l*v.d), q.b, hq, q.l, v.d}
	for b := range q.b {
		for t := range q.l {
			for h := range hk {
				a.step(b, h, t)
			}
			for h := range hq {
				a.read(y.row(b, h, t), b, h, t, scale)
			}
		}
	}
	c.give(y.tensor(c.in(0).DType, 3), fromFloats(kind, []int64{q.b, hk, q.d, v.d}, a.state))
	return nil
}
