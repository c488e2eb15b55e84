package lower

import (
	"fmt"
	"math"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// attentionRules are attention and what goes with it.
func attentionRules() map[string]rule {
	return map[string]rule{"Attention": lowerAttention, "QKVAttention": lowerQKVAttention, "RotaryEmbedding": lowerRotary, "CausalConvWithState": lowerCausalConv, "LinearAttention": lowerLinearAttention}
}

// headView is a tensor of heads in memory: strides of batch, head and position, and where it begins; features are neighbours.
type headView struct {
	v           *ir.Value
	b, h, l, at ir.Dim
}

// headViewOf views [B,H,L,D] or [B,L,H*D] of the given heads and head size.
func headViewOf(v *ir.Value, heads, size ir.Dim) headView {
	s := Strides(v.Type.Shape)
	if len(s) == 4 {
		return headView{v: v, b: s[0], h: s[1], l: s[2]}
	}
	return headView{v: v, b: s[0], h: size, l: heads.Mul(size)}
}

// at is the index of a position's first feature.
func (k *K) headAt(x headView, b, h, l *loop.Value) *loop.Value {
	return k.Add(k.Add(k.Add(k.Dim(x.at), k.MulDim(b, x.b)), k.MulDim(h, x.h)), k.MulDim(l, x.l))
}

const (
	attnRows = 4   // queries that share the loads of a key, at least
	attnKeys = 256 // keys whose scores wait in local memory: their maxima and sums take as long as many products
	attnPad  = 64  // keys that a tile of scores may take at most
)

// attention is an Attention op on its way to a kernel. Each parallel iteration takes a few queries of one head
// through all keys they may see, attnKeys at a time: scores, their running maximum and sum, and the weighted sum of
// values, which is scaled down whenever the maximum grows (the online softmax of M. Milakov and N. Gimelshein, 2018;
// T. Dao et al., "FlashAttention", 2022). Scores never leave local memory, unless they are an output.
type attention struct {
	c                        *Ctx
	op                       *ir.Op
	ct                       tensor.DType // what is computed in
	b, hq, hk, lq, lk, d, dv ir.Dim
	past                     ir.Dim
	q, k, v, y, acc          headView
	panels                   *ir.Value // K in panels of 16 keys by feature, nil if queries come one by one
	panelsPerHead            ir.Dim
	mask                     *ir.Value
	maskStrides              []ir.Dim // by batch, head, query
	nonpad, sink             *ir.Value
	causal                   bool
	left, right              int64
	scale, cap               float64
	masked                   float64   // the score where the mask is false
	plain                    bool      // rows that see nothing are as Softmax has them
	qk, wait                 *ir.Value // the output of scores, and the scores that wait for the last sum
	mode                     int64
}

func lowerAttention(c *Ctx, op *ir.Op) error {
	a, err := newAttention(c, op)
	if err != nil {
		return err
	}
	if err := a.checks(); err != nil {
		return err
	}
	if err := a.state(); err != nil {
		return err
	}
	if err := a.pack(); err != nil {
		return err
	}
	return a.kernel()
}

func newAttention(c *Ctx, op *ir.Op) (*attention, error) {
	q, k, v := op.Operands[0], op.Operands[1], op.Operands[2]
	at := op.Attrs
	for _, x := range []*ir.Value{q, k, v, op.Operand(4), op.Operand(5)} {
		if x != nil && (x.Type.Rank() < 3 || !x.Type.DType.IsFloat() || !compiled(x.Type.DType)) {
			return nil, errDecline
		}
	}
	a := &attention{c: c, op: op, mask: op.Operand(3), nonpad: op.Operand(6), sink: op.Operand(7), causal: at.Int("is_causal", 0) != 0, left: at.Int("left_window_size", -1),
		right: at.Int("right_window_size", -1), cap: at.Float("softcap", 0), mode: at.Int("qk_matmul_output_mode", 0), qk: op.Result(3)}
	a.masked = at.Float("masked_score", math.Inf(-1))
	_, a.plain = at["masked_score"]
	// Half floats are computed in f32 whatever softmax_precision is: that is never less exact.
	a.ct = computeType(q.Type.DType)
	if a.ct == tensor.F64 || at.Int("softmax_precision", 0) == int64(tensor.F64) {
		a.ct = tensor.F64
	}
	if !loop.MathSupported("Exp", a.ct) || a.cap > 0 && !loop.MathSupported("Tanh", a.ct) {
		return nil, errDecline
	}
	if a.sink != nil && (a.sink.Type.Rank() != 1 || !a.sink.Type.DType.IsFloat() || !compiled(a.sink.Type.DType)) {
		return nil, errDecline
	}
	dims := func(v *ir.Value, attr string) (b, h, l, d ir.Dim) {
		s := v.Type.Shape
		if len(s) == 4 {
			return s[0], s[1], s[2], s[3]
		}
		n := ir.Const(at.Int(attr, 1))
		return s[0], n, s[1], s[2].Div(n)
	}
	a.b, a.hq, a.lq, a.d = dims(q, "q_num_heads")
	_, a.hk, a.lk, _ = dims(k, "kv_num_heads")
	_, _, _, a.dv = dims(v, "kv_num_heads")
	a.q, a.k, a.v = headViewOf(q, a.hq, a.d), headViewOf(k, a.hk, a.d), headViewOf(v, a.hk, a.dv)
	if p := op.Operand(4); p != nil {
		a.past = p.Type.Shape[2]
	}
	if a.mask != nil && (a.mask.Type.Rank() < 1 || !compiled(a.mask.Type.DType)) || a.nonpad != nil && (a.nonpad.Type.Rank() != 1 || !isIndex(a.nonpad)) {
		return nil, errDecline
	}
	size := 1.0
	if a.d.IsConst() {
		size = float64(a.d.Value())
	} else if _, ok := at["scale"]; !ok {
		return nil, errDecline
	}
	a.scale = at.Float("scale", 1/math.Sqrt(size))
	return a, nil
}

// same emits a check that two dimensions are equal, where that is not known.
func (c *Ctx) same(op *ir.Op, x, y ir.Dim, what string) error {
	switch {
	case x.Equal(y):
		return nil
	case x.IsConst() && y.IsConst():
		return op.Errorf("%s are %v and %v, want the same", what, x, y)
	}
	c.addStep(plan.Step{Kind: plan.StepCheck, Name: fmt.Sprintf("%s %q: %s", op.Info.Name, op.Origin.Node, what), A: c.slot(x), B: c.slot(y)})
	return nil
}

// checks emits what of the shapes only the run time can tell, and finds how the mask is walked.
func (a *attention) checks() error {
	type pair struct {
		x, y ir.Dim
		what string
	}
	pairs := []pair{{a.hq, a.hq.Div(a.hk).Mul(a.hk), "the heads of Q and a multiple of those of K"}}
	var lengths []ir.Dim
	for i, x := range []struct{ heads, size ir.Dim }{{a.hq, a.d}, {a.hk, a.d}, {a.hk, a.dv}} {
		name, s := a.op.Info.Operands[i], a.op.Operands[i].Type.Shape
		pairs = append(pairs, pair{a.b, s[0], "the batches of Q and " + name})
		if len(s) == 3 {
			pairs = append(pairs, pair{x.heads.Mul(x.size), s[2], "the size of " + name + " and of its heads"})
			lengths = append(lengths, s[1])
			continue
		}
		pairs = append(pairs, pair{x.heads, s[1], "the heads of K and " + name}, pair{x.size, s[3], "the head sizes of Q and " + name})
		lengths = append(lengths, s[2])
	}
	pairs = append(pairs, pair{lengths[1], lengths[2], "the lengths of K and V"})
	for i, x := range map[int]ir.Dim{4: a.d, 5: a.dv} {
		if p := a.op.Operand(i); p != nil {
			s := p.Type.Shape
			pairs = append(pairs, pair{s[0], a.b, "the batches of Q and the past"}, pair{s[1], a.hk, "the heads of K and the past"},
				pair{s[2], a.past, "the lengths of past_key and past_value"}, pair{s[3], x, "the head sizes of K or V and the past"})
		}
	}
	if a.nonpad != nil {
		pairs = append(pairs, pair{a.nonpad.Type.Shape[0], a.b, "the batch and the length of nonpad_kv_seqlen"})
	}
	if a.sink != nil {
		pairs = append(pairs, pair{a.sink.Type.Shape[0], a.hq, "the heads of Q and the length of head_sink"})
	}
	for _, p := range pairs {
		if err := a.c.same(a.op, p.x, p.y, p.what); err != nil {
			return err
		}
	}
	return a.walkMask()
}

// walkMask finds the strides of the mask: 0 where a dimension is 1, which may be known at run time only.
func (a *attention) walkMask() error {
	if a.mask == nil {
		return nil
	}
	shape := a.mask.Type.Shape
	own, want := Strides(shape), []ir.Dim{a.b, a.hq, a.lq}
	a.maskStrides = make([]ir.Dim, 3)
	for i, d := range shape[:len(shape)-1] {
		j := i + 4 - len(shape)
		switch {
		case d.Equal(want[j]):
			a.maskStrides[j] = own[i]
		case d.Is(1):
		default:
			many := d.AddInt(-1).Max(ir.Const(0)).Min(ir.Const(1)) // 0 if d is 1
			a.maskStrides[j] = own[i].Mul(many)
			if err := a.c.same(a.op, d, want[j].Mul(many).Add(ir.Const(1).Sub(many)), "the mask's dimension and what it broadcasts to"); err != nil {
				return err
			}
		}
	}
	return nil
}

// state writes the present keys and values, and has attention read them if there is a past.
func (a *attention) state() error {
	for i, x := range []*headView{&a.k, &a.v} {
		past, out, size := a.op.Operand(4+i), a.op.Result(1+i), a.d
		if i == 1 {
			size = a.dv
		}
		if past == nil && out == nil {
			continue
		}
		total := a.lk.Add(a.past)
		if out == nil {
			out = a.c.Scratch(ir.TensorType(x.v.Type.DType, a.b, a.hk, total, size))
		}
		to := Strides([]ir.Dim{a.b, a.hk, total, size})
		if past != nil {
			m := &move{dims: []ir.Dim{a.b, a.hk, a.past, size}, from: Strides(past.Type.Shape), to: to}
			if err := m.emit(a.c, a.op, "attention_past", past, out); err != nil {
				return err
			}
		}
		m := &move{dims: []ir.Dim{a.b, a.hk, a.lk, size}, from: []ir.Dim{x.b, x.h, x.l, ir.Const(1)}, to: to, toBase: a.past.Mul(size)}
		if err := m.emit(a.c, a.op, "attention_present", x.v, out); err != nil {
			return err
		}
		if past != nil {
			*x = headView{v: out, b: to[0], h: to[1], l: to[2]}
		}
	}
	a.lk = a.lk.Add(a.past)
	return nil
}

// few reports whether there are too few queries to pay for panels.
func (a *attention) few() bool { return a.lq.IsConst() && a.lq.Value() < attnRows }

// tiles splits the queries of a head into iterations: as many queries as leave registers for a key and a query, where
// their number is known. A second run is of one query less.
func (a *attention) tiles(l *target.Level) []run {
	if a.few() {
		return []run{{1, a.lq.Value()}, {}}
	}
	nv := attnVectors(l)
	return evenly(a.lq.Value(), int64(max(attnRows, min(l.Tile, l.Regs-nv-1)/nv)))
}

// attnVectors is how many vectors of keys, or of features of values, are accumulated at a time.
func attnVectors(l *target.Level) int {
	if l.Regs >= 32 {
		return 4
	}
	return 2
}

// iterations is the number of iterations of a head.
func (a *attention) iterations(l *target.Level) ir.Dim {
	if !a.lq.IsConst() {
		return a.lq.CeilDiv(attnRows)
	}
	t := a.tiles(l)
	return ir.Const(t[0].tiles + t[1].tiles)
}

// oneBlock reports whether all keys are one block, so that no sums are ever scaled down.
func (a *attention) oneBlock() bool {
	return a.lk.IsConst() && a.lk.Value() <= attnKeys && a.sink == nil
}

// pack emits the step that turns K into panels, unless there are too few queries to pay for it.
func (a *attention) pack() error {
	if a.few() {
		return nil
	}
	a.panelsPerHead = a.lk.CeilDiv(attnPad).MulInt(attnPad / target.Block)
	heads := a.b.Mul(a.hk)
	a.panels = a.c.Scratch(ir.TensorType(a.ct, heads, a.panelsPerHead, a.d, ir.Const(target.Block)))
	par := heads.Mul(a.panelsPerHead).Mul(a.lq.Div(ir.Const(attnRows)).Min(ir.Const(1)))
	return a.c.Kernel(Step{
		Op: a.op, Name: "attention_pack", Ins: []*ir.Value{a.k.v}, Outs: []*ir.Value{a.panels}, Par: par, NsPerIter: perChunk(a.d.MulInt(target.Block), 0.5), Bytes: bytesOf(a.panels).MulInt(2),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, a.b, a.hk, a.panelsPerHead)
				key := k.MulInt(co[2], target.Block)
				from := k.headAt(a.k, co[0], co[1], key)
				to := k.Mul(i, k.Dim(a.d.MulInt(target.Block)))
				if a.squares(k.Level) {
					a.packSquares(k, co[2], from, to)
					return
				}
				left := k.MinIdx(k.Sub(k.Dim(a.lk), key), k.Int(target.Block))
				k.Range(k.Int(0), left, 1, func(j *loop.Value) {
					row := k.Add(from, k.MulDim(j, a.k.l))
					k.Range(k.Int(0), k.Dim(a.d), 1, func(d *loop.Value) {
						k.Store(k.Buf(a.panels), k.Add(k.Add(to, j), k.MulInt(d, target.Block)), k.loadAs(a.k.v, k.Add(row, d), 1, a.ct))
					})
				})
			})
		},
	})
}

// squares reports whether panels are whole squares of vectors, the last of keys aside.
func (a *attention) squares(l *target.Level) bool {
	return a.ct == tensor.F32 && a.lk.IsConst() && a.d.IsConst() && a.d.Value()%int64(l.Lanes(4)) == 0
}

// packSquares packs a panel by squares that are transposed in registers; keys past the end are 0.
func (a *attention) packSquares(k *K, panel, from, to *loop.Value) {
	lanes := k.Level.Lanes(4)
	keys := func(n int) func() {
		return func() {
			k.Range(k.Int(0), k.Dim(a.d), int64(lanes), func(e *loop.Value) {
				for first := 0; first < target.Block; first += lanes {
					rows := repeat(lanes, k.Float(loop.Vec(tensor.F32, lanes), 0))
					for j := range min(lanes, max(0, n-first)) {
						rows[j] = k.loadAs(a.k.v, k.Add(k.Add(from, k.MulDim(k.Int(int64(first+j)), a.k.l)), e), lanes, a.ct)
					}
					for j, x := range k.transpose(rows) {
						k.Store(k.Buf(a.panels), k.AddInt(k.Add(to, k.MulInt(k.AddInt(e, int64(j)), target.Block)), int64(first)), x)
					}
				}
			})
		}
	}
	n := a.lk.Value()
	k.choose(k.Cmp(loop.LT, panel, k.Int(n/target.Block)), keys(target.Block), func() {
		if rest := n % target.Block; rest > 0 {
			k.choose(k.Cmp(loop.EQ, panel, k.Int(n/target.Block)), keys(int(rest)), nil)
		}
	})
}

// loadAs reads lanes floats of v as type ct.
func (k *K) loadAs(v *ir.Value, at *loop.Value, lanes int, ct tensor.DType) *loop.Value {
	return k.Convert(k.fromMemory(k.Load(k.Buf(v), at, lanes), v.Type.DType), ct)
}

// kernel emits the step that computes.
func (a *attention) kernel() error {
	out := a.op.Results[0]
	if out == nil {
		out = a.c.Scratch(ir.TensorType(a.q.v.Type.DType, a.b, a.hq, a.lq, a.dv))
	}
	a.y = headViewOf(out, a.hq, a.dv)
	a.acc = a.y
	ins, outs := []*ir.Value{a.q.v, a.k.v, a.v.v}, []*ir.Value{out}
	if out.Type.DType != a.ct {
		a.acc.v = a.c.Scratch(ir.TensorType(a.ct, out.Type.Shape...))
		outs = append(outs, a.acc.v)
	}
	for _, v := range []*ir.Value{a.panels, a.mask, a.nonpad, a.sink} {
		if v != nil {
			ins = append(ins, v)
		}
	}
	if a.qk != nil {
		outs = append(outs, a.qk)
		if a.mode == 3 {
			a.wait = a.c.Scratch(ir.TensorType(a.ct, a.qk.Type.Shape...))
			outs = append(outs, a.wait)
		}
	}
	ns := float64(chunkNs)
	if n := a.lk.Mul(a.d.Add(a.dv)); n.IsConst() {
		ns = 50 + float64(n.Value()*attnRows)/16
	}
	pairs := a.b.Mul(a.hq).Mul(a.lq).Mul(a.lk)
	return a.c.Kernel(Step{
		Op: a.op, Name: "attention", Ins: ins, Outs: outs, NsPerIter: ns,
		ParAt: func(l *target.Level) ir.Dim { return a.b.Mul(a.hq).Mul(a.iterations(l)) },
		Flops: pairs.Mul(a.d.Add(a.dv)).MulInt(2), Bytes: bytesOf(a.q.v).Add(bytesOf(a.k.v)).Add(bytesOf(a.v.v)).Add(bytesOf(out)),
		Build: a.build,
	})
}

func (a *attention) build(k *K) {
	most := int64(attnRows)
	if a.lq.IsConst() {
		most = a.tiles(k.Level)[0].rows
	}
	s := k.Local("scores", a.ct, most*attnKeys)
	k.Parallel(func(i *loop.Value) {
		co := k.Unflatten(i, a.b, a.hq, a.iterations(k.Level))
		do := func(rows int, q *loop.Value) {
			(&queries{K: k, a: a, s: s, b: co[0], h: co[1], hk: k.Div(co[1], k.Dim(a.hq.Div(a.hk))), q: q, rows: rows}).emit()
		}
		if !a.lq.IsConst() {
			first := k.MulInt(co[2], attnRows)
			k.choose(k.Cmp(loop.LE, k.AddInt(first, attnRows), k.Dim(a.lq)), func() { do(attnRows, first) }, func() {
				k.Range(first, k.MinIdx(k.AddInt(first, attnRows), k.Dim(a.lq)), 1, func(q *loop.Value) { do(1, q) })
			})
			return
		}
		t := a.tiles(k.Level)
		long, short := t[0], t[1]
		switch {
		case short.tiles == 0:
			do(int(long.rows), k.MulInt(co[2], long.rows))
		case long.tiles == 0:
			do(int(short.rows), k.MulInt(co[2], short.rows))
		default:
			first := k.Add(k.MulInt(co[2], short.rows), k.MinIdx(co[2], k.Int(long.tiles)))
			k.choose(k.Cmp(loop.LT, co[2], k.Int(long.tiles)), func() { do(int(long.rows), first) }, func() { do(int(short.rows), first) })
		}
	})
}
