package hostop

import (
	"math"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// activation is one of the functions that recurrent layers know: defaults of alpha and beta, how many of
// the two it takes, and its form with them given.
type activation struct {
	alpha, beta float64
	takes       int
	make        func(a, b float64) func(x float64) float64
}

func plainAct(f func(x float64) float64) activation {
	return activation{make: func(_, _ float64) func(float64) float64 { return f }}
}

var activations = map[string]activation{
	"Relu": plainAct(relu), "Tanh": plainAct(math.Tanh), "Sigmoid": plainAct(sigmoid), "Softsign": plainAct(softsign), "Softplus": plainAct(softplus),
	"Affine":          {1, 0, 2, func(a, b float64) func(float64) float64 { return func(x float64) float64 { return a*x + b } }},
	"LeakyRelu":       {0.01, 0, 1, func(a, _ float64) func(float64) float64 { return leakyRelu(a) }},
	"ThresholdedRelu": {1, 0, 1, func(a, _ float64) func(float64) float64 { return thresholdedRelu(a) }},
	"ScaledTanh":      {1, 1, 2, func(a, b float64) func(float64) float64 { return func(x float64) float64 { return a * math.Tanh(b*x) } }},
	"HardSigmoid":     {0.2, 0.5, 2, hardSigmoid},
	"Elu":             {1, 0, 1, func(a, _ float64) func(float64) float64 { return elu(a) }},
}

// activationsOf reads the activations attributes: n names, the defaults repeated when absent. alpha
// and beta are consumed in order by those that take them.
func activationsOf(a Attrs, defaults []string, dirs int, clip float64) []func(float64) float64 {
	names := a.Strs("activations", nil)
	if names == nil {
		for range dirs {
			names = append(names, defaults...)
		}
	}
	check(len(names) == dirs*len(defaults), "%d activations, want %d", len(names), dirs*len(defaults))
	alphas, betas := a.Floats("activation_alpha", nil), a.Floats("activation_beta", nil)
	take := func(list *[]float64, def float64) float64 {
		if len(*list) == 0 {
			return def
		}
		v := (*list)[0]
		*list = (*list)[1:]
		return v
	}
	out := make([]func(float64) float64, len(names))
	for i, n := range names {
		act, ok := activations[n]
		check(ok, "activation %q is not known", n)
		alpha, beta := act.alpha, act.beta
		if act.takes > 0 {
			alpha = take(&alphas, alpha)
		}
		if act.takes > 1 {
			beta = take(&betas, beta)
		}
		f := act.make(alpha, beta)
		out[i] = f
		if clip > 0 {
			out[i] = func(x float64) float64 { return f(max(-clip, min(clip, x))) }
		}
	}
	return out
}

// layer is a recurrent layer and its operands, whatever its kind.
type layer struct {
	x             []float64
	dtype         tensor.DType
	t, b, in, h   int64 // steps, batch, input and hidden size
	dirs          int
	layout        int64
	w, r, bias, p []float64
	gates         int64
	lens          []int64
	h0, c0        []float64
	acts          []func(float64) float64
	perDir        int // activations per direction
	linear        bool
	inputForget   bool
	y, yh, yc     []float64
}

// newLayer reads the operands of RNN, GRU and LSTM, of 1, 3 and 4 gates.
func newLayer(c *Call, gates int64, defaults ...string) *layer {
	x, w, r := c.in(0), c.in(1), c.in(2)
	sameType(x, w, r)
	check(len(x.Shape) == 3 && len(w.Shape) == 3 && len(r.Shape) == 3, "tensors of rank 3 wanted, got %s, %s, %s", x.TypeString(), w.TypeString(), r.TypeString())
	l := &layer{dtype: x.DType, t: x.Shape[0], b: x.Shape[1], in: x.Shape[2], h: r.Shape[2], gates: gates, layout: c.Attrs.Int("layout", 0), dirs: 1, perDir: len(defaults)}
	dir := c.Attrs.Str("direction", "forward")
	oneOf("direction", dir, "forward", "reverse", "bidirectional")
	if dir == "bidirectional" {
		l.dirs = 2
	}
	d := int64(l.dirs)
	l.x = floatsOf(x)
	if l.layout != 0 {
		l.t, l.b = l.b, l.t
		l.x = floatsOf(permute(x, []int{1, 0, 2}))
	}
	if h := c.Attrs.Int("hidden_size", l.h); h != l.h {
		fail("hidden_size is %d, the weights have %d", h, l.h)
	}
	wantShape("W", w, d, gates*l.h, l.in)
	wantShape("R", r, d, gates*l.h, l.h)
	l.w, l.r = floatsOf(w), floatsOf(r)
	l.bias = make([]float64, d*2*gates*l.h)
	if b := c.opt(3); b != nil {
		wantShape("B", b, d, 2*gates*l.h)
		l.bias = floatsOf(b)
	}
	l.lens = make([]int64, l.b)
	for i := range l.lens {
		l.lens[i] = l.t
	}
	if s := c.opt(4); s != nil {
		wantShape("sequence_lens", s, l.b)
		l.lens = intsOf(s)
		for _, n := range l.lens {
			check(n >= 0 && n <= l.t, "sequence length %d of %d steps", n, l.t)
		}
	}
	l.h0, l.c0 = l.initial(c.opt(5), "initial_h"), l.initial(nil, "")
	l.acts = activationsOf(c.Attrs, defaults, l.dirs, c.Attrs.Float("clip", 0))
	elemCount([]int64{l.t, d, l.b, l.h}, 64)
	l.y = make([]float64, l.t*d*l.b*l.h)
	l.yh, l.yc = make([]float64, d*l.b*l.h), make([]float64, d*l.b*l.h)
	return l
}

func wantShape(name string, t *tensor.Tensor, shape ...int64) {
	check(tensor.ShapeString(t.Shape) == tensor.ShapeString(shape), "%s is %s, want shape %s", name, t.TypeString(), tensor.ShapeString(shape))
}

// initial reads a state as [dirs, batch, hidden]; zeros when absent.
func (l *layer) initial(t *tensor.Tensor, name string) []float64 {
	d := int64(l.dirs)
	switch {
	case t == nil:
		return make([]float64, elemCount([]int64{d, l.b, l.h}, 64))
	case l.layout != 0:
		wantShape(name, t, l.b, d, l.h)
		return floatsOf(permute(t, []int{1, 0, 2}))
	}
	wantShape(name, t, d, l.b, l.h)
	return floatsOf(t)
}

// pass is one direction.
type pass struct {
	l          *layer
	w, r       []float64
	wb, rb     []float64 // biases of the input's and the state's part
	p          []float64
	acts       []func(float64) float64
	xw, hr     []float64 // scratch: W*x + wb and R*h + rb of all gates
	tmp, gated []float64
}

// run walks all sequences in all directions. step computes the next state from x's part of the gates,
// which is in p.xw, in place.
func (l *layer) run(c *Call, reverse bool, step func(p *pass, h, c []float64)) {
	for d := range int64(l.dirs) {
		gh := l.gates * l.h
		p := &pass{l: l, w: l.w[d*gh*l.in:][:gh*l.in], r: l.r[d*gh*l.h:][:gh*l.h], xw: make([]float64, gh), hr: make([]float64, gh), tmp: make([]float64, l.h), gated: make([]float64, l.h)}
		p.wb, p.rb = l.bias[d*2*gh:][:gh], l.bias[d*2*gh+gh:][:gh]
		p.acts = l.acts[int(d)*l.perDir:][:l.perDir]
		if l.p != nil {
			p.p = l.p[d*3*l.h:][:3*l.h]
		}
		for b := range l.b {
			h, cell := l.yh[(d*l.b+b)*l.h:][:l.h], l.yc[(d*l.b+b)*l.h:][:l.h]
			copy(h, l.h0[(d*l.b+b)*l.h:])
			copy(cell, l.c0[(d*l.b+b)*l.h:])
			for k := range l.lens[b] {
				t := k
				if reverse || d == 1 {
					t = l.lens[b] - 1 - k
				}
				affineVec(p.xw, p.w, l.x[(t*l.b+b)*l.in:][:l.in], p.wb)
				step(p, h, cell)
				copy(l.y[((t*int64(l.dirs)+d)*l.b+b)*l.h:][:l.h], h)
			}
		}
	}
	l.finish(c)
}

// affineVec is out = m*v + bias for a row-major m.
func affineVec(out, m, v, bias []float64) {
	n := len(v)
	for i := range out {
		s := bias[i]
		row := m[i*n : (i+1)*n]
		for j, x := range v {
			s += row[j] * x
		}
		out[i] = s
	}
}

// finish sets the results in the layout asked for.
func (l *layer) finish(c *Call) {
	d := int64(l.dirs)
	y := fromFloats(l.dtype, []int64{l.t, d, l.b, l.h}, l.y)
	out := []*tensor.Tensor{y}
	if l.layout != 0 {
		out[0] = permute(y, []int{2, 0, 1, 3})
	}
	for _, s := range [][]float64{l.yh, l.yc} {
		t := fromFloats(l.dtype, []int64{d, l.b, l.h}, s)
		if l.layout != 0 {
			t = permute(t, []int{1, 0, 2})
		}
		out = append(out, t)
	}
	c.give(out...)
}

// RNN is the simple recurrent layer: H = f(X*W + H*R + Wb + Rb).
func RNN(c *Call) (err error) {
	defer guard(&err)
	l := newLayer(c, 1, "Tanh")
	l.run(c, c.Attrs.Str("direction", "") == "reverse", func(p *pass, h, _ []float64) {
		affineVec(p.hr, p.r, h, p.rb)
		for j := range h {
			h[j] = p.acts[0](p.xw[j] + p.hr[j])
		}
	})
	c.Out = c.Out[:2]
	return nil
}

// GRU is the gated recurrent layer; gates in the order z, r, h.
func GRU(c *Call) (err error) {
	defer guard(&err)
	l := newLayer(c, 3, "Sigmoid", "Tanh")
	l.linear = c.Attrs.Int("linear_before_reset", 0) != 0
	l.run(c, c.Attrs.Str("direction", "") == "reverse", gruStep)
	c.Out = c.Out[:2]
	return nil
}

func gruStep(p *pass, h, _ []float64) {
	n := int64(len(h))
	affineVec(p.hr[:2*n], p.r, h, p.rb)
	f, g := p.acts[0], p.acts[1]
	reset := func(j int64) float64 { return f(p.xw[n+j] + p.hr[n+j]) }
	if p.l.linear {
		affineVec(p.hr[2*n:], p.r[2*n*n:], h, p.rb[2*n:])
		for j := range n {
			p.tmp[j] = reset(j) * p.hr[2*n+j]
		}
	} else {
		for j := range n {
			p.gated[j] = reset(j) * h[j]
		}
		affineVec(p.tmp, p.r[2*n*n:], p.gated, p.rb[2*n:])
	}
	for j := range n {
		z := f(p.xw[j] + p.hr[j])
		h[j] = (1-z)*g(p.xw[2*n+j]+p.tmp[j]) + z*h[j]
	}
}

// LSTM is the long short-term memory layer; gates in the order i, o, f, c, peepholes i, o, f.
func LSTM(c *Call) (err error) {
	defer guard(&err)
	l := newLayer(c, 4, "Sigmoid", "Tanh", "Tanh")
	l.c0 = l.initial(c.opt(6), "initial_c")
	if p := c.opt(7); p != nil {
		wantShape("P", p, int64(l.dirs), 3*l.h)
		l.p = floatsOf(p)
	}
	l.inputForget = c.Attrs.Int("input_forget", 0) != 0
	l.run(c, c.Attrs.Str("direction", "") == "reverse", lstmStep)
	return nil
}

func lstmStep(p *pass, h, c []float64) {
	n := int64(len(h))
	affineVec(p.hr, p.r, h, p.rb)
	peep := func(k, j int64, cell float64) float64 {
		if p.p == nil {
			return 0
		}
		return p.p[k*n+j] * cell
	}
	f, g, out := p.acts[0], p.acts[1], p.acts[2]
	for j := range n {
		gate := func(k int64) float64 { return p.xw[k*n+j] + p.hr[k*n+j] }
		i := f(gate(0) + peep(0, j, c[j]))
		forget := 1 - i
		if !p.l.inputForget {
			forget = f(gate(2) + peep(2, j, c[j]))
		}
		c[j] = forget*c[j] + i*g(gate(3))
		o := f(gate(1) + peep(1, j, c[j]))
		h[j] = o * out(c[j])
	}
}
