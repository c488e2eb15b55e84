package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
)

// rotary is a RotaryEmbedding on its way to a kernel: x and y are the tensors of heads, half the number of pairs.
type rotary struct {
	x, y             headView
	cos, sin, ids    *ir.Value
	b, h, l, d, half ir.Dim
	interleaved      bool
}

func lowerRotary(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	r := &rotary{cos: op.Operands[1], sin: op.Operands[2], ids: op.Operand(3), interleaved: op.Attrs.Int("interleaved", 0) != 0}
	s := x.Type.Shape
	for _, v := range op.Operands[:3] {
		if v.Type.Rank() < 2 || !v.Type.DType.IsFloat() || !compiled(v.Type.DType) {
			return errDecline
		}
	}
	if len(s) == 4 {
		r.b, r.h, r.l, r.d = s[0], s[1], s[2], s[3]
	} else {
		r.b, r.h, r.l = s[0], ir.Const(op.Attrs.Int("num_heads", 1)), s[1]
		r.d = s[2].Div(r.h)
	}
	n := r.d
	if e := op.Attrs.Int("rotary_embedding_dim", 0); e > 0 {
		n = ir.Const(e)
	}
	r.half = n.Div(ir.Const(2))
	r.x, r.y = headViewOf(x, r.h, r.d), headViewOf(out, r.h, r.d)
	if err := r.checks(c, op, n); err != nil {
		return err
	}
	ins := []*ir.Value{x, r.cos, r.sin}
	if r.ids != nil {
		ins = append(ins, r.ids)
	}
	return c.Kernel(Step{
		Op: op, Name: "rotary", Ins: ins, Outs: []*ir.Value{out}, Par: r.b.Mul(r.l).Mul(r.h), NsPerIter: perChunk(r.d, 0.3), Bytes: bytesOf(x).MulInt(2),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, r.b, r.l, r.h)
				r.row(k, co[0], co[2], co[1])
			})
		},
	})
}

// checks emits what of the shapes and positions only the run time can tell.
func (r *rotary) checks(c *Ctx, op *ir.Op, n ir.Dim) error {
	cos := r.cos.Type.Shape
	last := len(cos) - 1
	err := firstError(
		c.same(op, n, r.half.MulInt(2), "the number of features that are turned, want it even; it"),
		c.same(op, ir.Product(r.x.v.Type.Shape), r.b.Mul(r.h).Mul(r.l).Mul(r.d), "the size of X and of its heads"),
		c.same(op, n.Max(r.d), r.d, "the number of features that are turned and the head size"),
		c.same(op, cos[last], r.half, "the last dimension of cos_cache and half the features that are turned"),
		c.same(op, r.sin.Type.Shape[len(r.sin.Type.Shape)-1], r.half, "the last dimension of sin_cache and half the features that are turned"),
		c.same(op, ir.Product(cos), ir.Product(r.sin.Type.Shape), "the sizes of cos_cache and sin_cache"))
	if err != nil {
		return err
	}
	if r.ids == nil {
		if last != 2 {
			return errDecline
		}
		return firstError(c.same(op, cos[0], r.b, "the batches of cos_cache and X"), c.same(op, cos[1], r.l, "the lengths of cos_cache and X"))
	}
	if last != 1 || !isIndex(r.ids) {
		return errDecline
	}
	if err := c.same(op, ir.Product(r.ids.Type.Shape), r.b.Mul(r.l), "the number of position_ids and of positions"); err != nil {
		return err
	}
	return c.checkIndices(op, r.ids, cos[:1])
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// row turns one head of one position.
func (r *rotary) row(k *K, b, h, l *loop.Value) {
	from, to := k.headAt(r.x, b, h, l), k.headAt(r.y, b, h, l)
	pos := k.Add(k.MulDim(b, r.l), l)
	if r.ids != nil {
		pos = k.loadIndex(r.ids, pos, 1, r.cos.Type.Shape[0])
	}
	angle := k.MulDim(pos, r.half)
	ct := computeType(r.x.v.Type.DType)
	turn := func(e, x, y *loop.Value) (*loop.Value, *loop.Value) {
		n := x.Type.Lanes
		cos, sin := k.loadAs(r.cos, k.Add(angle, e), n, ct), k.loadAs(r.sin, k.Add(angle, e), n, ct)
		return k.Sub(k.Mul(cos, x), k.Mul(sin, y)), k.Add(k.Mul(sin, x), k.Mul(cos, y))
	}
	load := func(at *loop.Value, n int) *loop.Value { return k.loadAs(r.x.v, k.Add(from, at), n, ct) }
	store := func(at, v *loop.Value) { k.storeAs(r.y.v, k.Add(to, at), v) }
	w := k.Level.VecBytes / ct.Size()
	k.vectorLoop(k.Int(0), k.Dim(r.half), w, func(e *loop.Value, n int) {
		if !r.interleaved {
			second := k.Add(e, k.Dim(r.half))
			re, im := turn(e, load(e, n), load(second, n))
			store(e, re)
			store(second, im)
			return
		}
		first := k.MulInt(e, 2)
		second := k.AddInt(first, int64(n))
		x, y := load(first, n), load(second, n)
		if n == 1 {
			x, y = turn(e, x, y)
		} else {
			var even, odd, low, high []int
			for i := range n {
				even, odd = append(even, 2*i), append(odd, 2*i+1)
				low, high = append(low, i/2+i%2*n), append(high, n/2+i/2+i%2*n)
			}
			re, im := turn(e, k.Shuffle(x, y, even...), k.Shuffle(x, y, odd...))
			x, y = k.Shuffle(re, im, low...), k.Shuffle(re, im, high...)
		}
		store(first, x)
		store(second, y)
	})
	if rest := r.half.MulInt(2); !rest.Equal(r.d) {
		k.vectorLoop(k.Dim(rest), k.Dim(r.d), w, func(e *loop.Value, n int) { store(e, load(e, n)) })
	}
}
