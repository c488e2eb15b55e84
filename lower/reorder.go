package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// lowerBlock compiles Block: [N,C,H,W] to [N,ceil(C/16),H,W,16].
func lowerBlock(c *Ctx, op *ir.Op) error {
	return (&reorder{name: "block", plain: op.Operands[0], blocked: op.Results[0]}).lower(c, op)
}

// lowerUnblock compiles Unblock, its inverse.
func lowerUnblock(c *Ctx, op *ir.Op) error {
	return (&reorder{name: "unblock", plain: op.Results[0], blocked: op.Operands[0], back: true}).lower(c, op)
}

// reorder moves between a plain tensor and its blocked form, squares of pixels by channels at a time, which
// are transposed in registers.
type reorder struct {
	*K
	name           string
	plain, blocked *ir.Value
	back           bool // from blocked to plain
	channels       int64
	pixels         ir.Dim
}

func (r *reorder) lower(c *Ctx, op *ir.Op) error {
	s := r.plain.Type.Shape
	if r.plain.Type.DType != tensor.F32 || len(s) != 4 || !s[1].IsConst() {
		return errDecline
	}
	r.channels, r.pixels = s[1].Value(), s[2].Mul(s[3])
	from, to := r.plain, r.blocked
	if r.back {
		from, to = to, from
	}
	nb := blocks(r.channels)
	return c.Kernel(Step{
		Op: op, Name: r.name, Ins: []*ir.Value{from}, Outs: []*ir.Value{to}, Par: s[0].MulInt(nb), NsPerIter: perChunk(r.pixels, 2), Bytes: bytesOf(from).Add(bytesOf(to)),
		Build: func(k *K) {
			r := *r
			r.K = k
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, s[0], ir.Const(nb))
				plain := k.MulDim(k.Add(k.MulInt(co[0], r.channels), k.MulInt(co[1], block)), r.pixels)
				blocked := k.MulDim(i, r.pixels.MulInt(block))
				whole := func() { r.block(plain, blocked, block) }
				last := func() { r.block(plain, blocked, r.channels-(nb-1)*block) }
				switch {
				case r.channels%block == 0:
					whole()
				case nb == 1:
					last()
				default:
					k.choose(k.Cmp(loop.EQ, co[1], k.Int(nb-1)), last, whole)
				}
			})
		},
	})
}

// block moves a block with so many channels, which begins at plain and at blocked. The last square of pixels
// may overlap the one before it; images smaller than a square are moved by elements.
func (r *reorder) block(plain, blocked *loop.Value, channels int64) {
	lanes := int64(r.Level.Lanes(4))
	n := r.Dim(r.pixels)
	squares := func(p *loop.Value) {
		for c := int64(0); c < channels; c += lanes {
			r.square(r.Add(r.Add(plain, r.Dim(r.pixels.MulInt(c))), p), r.AddInt(r.Add(blocked, r.MulInt(p, block)), c), int(min(lanes, channels-c)))
		}
	}
	few := func() { r.elements(plain, blocked, channels) }
	if r.pixels.IsConst() && r.pixels.Value() < lanes {
		few()
		return
	}
	many := func() {
		last := r.AddInt(n, -lanes)
		r.Range(r.Int(0), last, lanes, squares)
		squares(last)
	}
	if r.pixels.IsConst() {
		many()
		return
	}
	r.choose(r.Cmp(loop.GE, n, r.Int(lanes)), many, few)
}

// elements moves a block by single elements.
func (r *reorder) elements(plain, blocked *loop.Value, channels int64) {
	r.Range(r.Int(0), r.Dim(r.pixels), 1, func(p *loop.Value) {
		r.Range(r.Int(0), r.Int(channels), 1, func(c *loop.Value) {
			a := r.Add(r.Add(plain, r.MulDim(c, r.pixels)), p)
			b := r.Add(r.Add(blocked, r.MulInt(p, block)), c)
			if r.back {
				r.Store(r.Buf(r.plain), a, r.Load(r.Buf(r.blocked), b, 1))
			} else {
				r.Store(r.Buf(r.blocked), b, r.Load(r.Buf(r.plain), a, 1))
			}
		})
	})
}

// square moves as many pixels as a vector has lanes, with so many channels.
func (r *reorder) square(plain, blocked *loop.Value, channels int) {
	lanes := r.Level.Lanes(4)
	row := func(c int) *loop.Value { return r.Add(plain, r.Dim(r.pixels.MulInt(int64(c)))) }
	v := make([]*loop.Value, lanes)
	if !r.back {
		for c := range v {
			v[c] = r.Float(loop.Vec(tensor.F32, lanes), 0)
			if c < channels {
				v[c] = r.Load(r.Buf(r.plain), row(c), lanes)
			}
		}
		for p, x := range r.transpose(v) {
			r.Store(r.Buf(r.blocked), r.AddInt(blocked, int64(p*block)), x)
		}
		return
	}
	for p := range v {
		v[p] = r.Load(r.Buf(r.blocked), r.AddInt(blocked, int64(p*block)), lanes)
	}
	for c, x := range r.transpose(v)[:channels] {
		r.Store(r.Buf(r.plain), row(c), x)
	}
}

// transpose gives the columns of a square of vectors. Fours of lanes, which every level moves fastest among themselves, are
// transposed first, then squares of them change places.
func (k *K) transpose(rows []*loop.Value) []*loop.Value {
	n := len(rows)
	pick := func(x, y *loop.Value, of func(lane int) int) *loop.Value {
		at := make([]int, n)
		for i := range at {
			at[i] = of(i)
		}
		return k.Shuffle(x, y, at...)
	}
	v := make([]*loop.Value, n)
	copy(v, rows)
	for q := 0; q < n; q += 4 {
		var pairs, square [4]*loop.Value
		for i := range 4 { // lanes x0 y0 x1 y1, or 2 and 3, of each four
			x, y, from := v[q+i/2*2], v[q+i/2*2+1], i%2*2
			pairs[i] = pick(x, y, func(l int) int { return l/4*4 + from + l%4/2 + l%2*n })
		}
		for i := range 4 {
			x, y, from := pairs[i/2], pairs[i/2+2], i%2*2
			square[i] = pick(x, y, func(l int) int { return l/4*4 + from + l%2 + l%4/2*n })
		}
		copy(v[q:], square[:])
	}
	for s := 4; s < n; s *= 2 {
		for i := range n {
			if i&s == 0 {
				x, y := v[i], v[i+s]
				v[i] = pick(x, y, func(l int) int { return l&^s + l/s%2*n })
				v[i+s] = pick(x, y, func(l int) int { return l | s + l/s%2*n })
			}
		}
	}
	return v
}
