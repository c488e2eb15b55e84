package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// Products of 8-bit integers less their zero points are at most 255*255, so that f32 holds sums of
// exactBlock of them exactly, and multiplies and adds them faster than integer arithmetic does.
const exactBlock = 256

// exactSum adds up over [0, n) what body adds to count f32 accumulators of some lanes, at most per products
// in an iteration, and gives the sums as i32.
func (k *K) exactSum(n ir.Dim, per int64, count, lanes int, body func(i *loop.Value, a []*loop.Value) []*loop.Value) []*loop.Value {
	block := exactBlock / per
	part := func(lo, hi *loop.Value) []*loop.Value {
		sums := make([]*loop.Value, count)
		for i, f := range k.For(lo, hi, 1, repeat(count, k.Float(loop.Vec(tensor.F32, lanes), 0)), body) {
			sums[i] = k.Convert(f, tensor.I32)
		}
		return sums
	}
	if n.IsConst() && n.Value() <= block {
		return part(k.Int(0), k.Dim(n))
	}
	return k.For(k.Int(0), k.Dim(n), block, repeat(count, k.IntOf(loop.Vec(tensor.I32, lanes), 0)), func(lo *loop.Value, a []*loop.Value) []*loop.Value {
		r := part(lo, k.MinIdx(k.AddInt(lo, block), k.Dim(n)))
		for i := range r {
			r[i] = k.Add(r[i], a[i])
		}
		return r
	})
}

func repeat(n int, v *loop.Value) []*loop.Value {
	out := make([]*loop.Value, n)
	for i := range out {
		out[i] = v
	}
	return out
}

// colTile is how a row of n results is cut at a level: into tiles of v vectors of some lanes. The last
// tile of a row of constant size starts earlier, so that it is whole.
func colTile(l *target.Level, n ir.Dim) (v, lanes int) {
	v, lanes = 2, l.Lanes(4)
	if l.Regs >= 32 {
		v = 4
	}
	if n.IsConst() {
		for lanes > 1 && int64(lanes) > n.Value() {
			lanes /= 2
		}
		v = int(max(1, min(int64(v), n.Value()/int64(lanes))))
	}
	return v, lanes
}

func colTiles(l *target.Level, n ir.Dim) ir.Dim {
	v, lanes := colTile(l, n)
	return n.CeilDiv(int64(v * lanes))
}

// cols has body compute tile i: v vectors of some lanes from column x on.
func (k *K) cols(i *loop.Value, n ir.Dim, body func(x *loop.Value, v, lanes int)) {
	v, lanes := colTile(k.Level, n)
	width := int64(v * lanes)
	x := k.MulInt(i, width)
	if n.IsConst() {
		body(k.MinIdx(x, k.Int(n.Value()-width)), v, lanes)
		return
	}
	k.If(k.Cmp(loop.LE, k.AddInt(x, width), k.Dim(n)), func() []*loop.Value { body(x, v, lanes); return nil }, func() []*loop.Value {
		k.vectorLoop(x, k.Dim(n), lanes, func(x *loop.Value, lanes int) { body(x, 1, lanes) })
		return nil
	})
}

// loadByte reads 8-bit integers as f32.
func (k *K) loadByte(b *loop.Buf, at *loop.Value, lanes int) *loop.Value {
	return k.Convert(k.Convert(k.Load(b, at, lanes), tensor.I32), tensor.F32)
}

func isByte(v *ir.Value) bool {
	return v.Type.Rank() >= 0 && (v.Type.DType == tensor.U8 || v.Type.DType == tensor.I8)
}

// single reports whether v holds one element.
func single(v *ir.Value) bool { return v.Type.Ranked && ir.Product(v.Type.Shape).Is(1) }

// present drops absent values.
func present(vs ...*ir.Value) []*ir.Value {
	var out []*ir.Value
	for _, v := range vs {
		if v != nil {
			out = append(out, v)
		}
	}
	return out
}

// intMatMul is a product of matrices of 8-bit integers. Zero points and scales are one, one per row of A
// or column of B, or tensors that broadcast to the stack of results.
type intMatMul struct {
	op       *ir.Op
	a, b     matrix
	azp, bzp *matrix // nil for none
	out      *ir.Value
	m, n, k  ir.Dim
	batch    []ir.Dim
	extra    []*ir.Value
	finish   func(k *K, sum *loop.Value, at func(m *matrix) *loop.Value) *loop.Value
}

// newIntMatMul sets up the shapes.
func (c *Ctx) newIntMatMul(op *ir.Op, a, b, azp, bzp *ir.Value) (*intMatMul, error) {
	if !isByte(a) || !isByte(b) || a.Type.Rank() < 1 || b.Type.Rank() < 1 {
		return nil, errDecline
	}
	as, bs, out := a.Type.Shape, b.Type.Shape, op.Results[0].Type.Shape
	nb := len(out) - min(1, len(as)-1) - min(1, len(bs)-1)
	if len(as) == 1 {
		as = []ir.Dim{ir.Const(1), as[0]}
	}
	if len(bs) == 1 {
		bs = []ir.Dim{bs[0], ir.Const(1)}
	}
	ra, rb := len(as), len(bs)
	g := &intMatMul{op: op, out: op.Results[0], m: as[ra-2], n: bs[rb-1], k: as[ra-1], batch: out[:nb:nb]}
	c.checkEqual(op, g.k, bs[rb-2], "the inner dimensions")
	stack := func(v *ir.Value, shape []ir.Dim) (matrix, error) {
		n := len(shape)
		st, err := c.broadcastStrides(op, shape, append(append([]ir.Dim{}, g.batch...), shape[n-2], shape[n-1]))
		if err != nil {
			return matrix{}, err
		}
		return matrix{v: v, batch: st[:nb], row: st[nb], col: st[nb+1]}, nil
	}
	var err error
	if g.a, err = stack(a, as); err != nil {
		return nil, err
	}
	if g.b, err = stack(b, bs); err != nil {
		return nil, err
	}
	if g.azp, err = g.param(c, azp, true); err != nil {
		return nil, err
	}
	g.bzp, err = g.param(c, bzp, false)
	return g, err
}

// param places a zero point or scale, by rows of A or by columns of B; nil for none.
func (g *intMatMul) param(c *Ctx, v *ir.Value, rows bool) (*matrix, error) {
	if v == nil {
		return nil, nil
	}
	nb := len(g.batch)
	p := &matrix{v: v, batch: make([]ir.Dim, nb)}
	switch {
	case !v.Type.Ranked || !compiled(v.Type.DType):
		return nil, errDecline
	case single(v):
		return p, nil
	}
	shape := v.Type.Shape
	if len(shape) == 1 && rows {
		shape = []ir.Dim{shape[0], ir.Const(1)}
	}
	st, err := c.broadcastStrides(g.op, shape, append(append([]ir.Dim{}, g.batch...), g.m, g.n))
	if err != nil {
		return nil, err
	}
	p.batch, p.row, p.col = st[:nb], st[nb], st[nb+1]
	return p, nil
}

// fitsVector declines unless v is absent, single, or a vector of n elements.
func fitsVector(v *ir.Value, n ir.Dim) error {
	if v == nil || single(v) || v.Type.Rank() == 1 && v.Type.Shape[0].Equal(n) {
		return nil
	}
	return errDecline
}

// rows is how many rows a tile has.
func (g *intMatMul) rows() int64 {
	if g.m.IsConst() {
		return max(1, min(4, g.m.Value()))
	}
	return 4
}

func (g *intMatMul) lower(c *Ctx) error {
	rows := g.rows()
	tall := g.m.CeilDiv(rows)
	ns := 500.0
	if g.k.IsConst() {
		ns = 10 + float64(g.k.Value()*rows)
	}
	ins := append([]*ir.Value{g.a.v, g.b.v}, g.extra...)
	for _, p := range []*matrix{g.azp, g.bzp} {
		if p != nil {
			ins = append(ins, p.v)
		}
	}
	total := ir.Product(g.batch)
	return c.Kernel(Step{
		Op: g.op, Name: "int_matmul", Ins: ins, Outs: []*ir.Value{g.out},
		ParAt:     func(l *target.Level) ir.Dim { return total.Mul(tall).Mul(colTiles(l, g.n)) },
		NsPerIter: ns, Flops: total.Mul(g.m).Mul(g.n).Mul(g.k).MulInt(2), Bytes: bytesOf(g.a.v).Add(bytesOf(g.b.v)).Add(bytesOf(g.out)),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				dims := append(append([]ir.Dim{}, g.batch...), tall, colTiles(k.Level, g.n))
				co := k.Unflatten(i, dims...)
				nb := len(g.batch)
				row := make([]*loop.Value, rows)
				for r := range row {
					row[r] = k.MinIdx(k.AddInt(k.MulInt(co[nb], rows), int64(r)), k.Dim(g.m.AddInt(-1)))
				}
				k.cols(co[nb+1], g.n, func(x *loop.Value, v, lanes int) { g.tile(k, co[:nb], row, x, v, lanes) })
			})
		},
	})
}

// quantAt reads lanes columns of a zero point or scale, in its compute type.
func (k *K) quantAt(m *matrix, batch []*loop.Value, row, col *loop.Value, lanes int) *loop.Value {
	at := m.at(k, batch, row, col)
	if m.col.Is(1) {
		return k.fromMemory(k.Load(k.Buf(m.v), at, lanes), m.v.Type.DType)
	}
	if m.col.Is(0) || lanes == 1 {
		return k.Broadcast(k.fromMemory(k.Load(k.Buf(m.v), at, 1), m.v.Type.DType), lanes)
	}
	step := k.Mul(k.steps(lanes), k.Broadcast(k.Dim(m.col), lanes))
	return k.fromMemory(k.Gather(k.Buf(m.v), k.Add(k.Broadcast(at, lanes), step)), m.v.Type.DType)
}

// tile computes the rows given, some of which may be equal, by v vectors of columns from x on.
func (g *intMatMul) tile(k *K, batch, row []*loop.Value, x *loop.Value, v, lanes int) {
	col := func(j int) *loop.Value { return k.AddInt(x, int64(j*lanes)) }
	float := func(x *loop.Value) *loop.Value { return k.Convert(k.Convert(x, tensor.I32), tensor.F32) }
	az, bz := make([]*loop.Value, len(row)), make([]*loop.Value, v)
	for r := range az {
		if g.azp != nil {
			az[r] = float(k.quantAt(g.azp, batch, row[r], k.Int(0), 1))
		}
	}
	for j := range bz {
		if g.bzp != nil {
			bz[j] = float(k.quantAt(g.bzp, batch, k.Int(0), col(j), lanes))
		}
	}
	sums := k.exactSum(g.k, 1, len(row)*v, lanes, func(i *loop.Value, acc []*loop.Value) []*loop.Value {
		b := make([]*loop.Value, v)
		for j := range b {
			b[j] = k.loadByte(k.Buf(g.b.v), g.b.at(k, batch, i, col(j)), lanes)
			if bz[j] != nil {
				b[j] = k.Sub(b[j], bz[j])
			}
		}
		next := make([]*loop.Value, len(acc))
		for r := range row {
			a := k.loadByte(k.Buf(g.a.v), g.a.at(k, batch, row[r], i), 1)
			if az[r] != nil {
				a = k.Sub(a, az[r])
			}
			for j := range b {
				next[r*v+j] = k.FMA(k.Broadcast(a, lanes), b[j], acc[r*v+j])
			}
		}
		return next
	})
	out := matrix{v: g.out, row: g.n, col: ir.Const(1)}
	for _, s := range Strides(g.batch) {
		out.batch = append(out.batch, s.Mul(g.m).Mul(g.n))
	}
	for r := range row {
		for j := range v {
			sum := sums[r*v+j]
			if g.finish != nil {
				sum = g.finish(k, sum, func(m *matrix) *loop.Value { return k.quantAt(m, batch, row[r], col(j), lanes) })
			}
			k.Store(k.Buf(g.out), out.at(k, batch, row[r], col(j)), sum)
		}
	}
}

func lowerMatMulInteger(c *Ctx, op *ir.Op) error {
	g, err := c.newIntMatMul(op, op.Operands[0], op.Operands[1], op.Operand(2), op.Operand(3))
	if err != nil {
		return err
	}
	return g.lower(c)
}

// requantize turns sums into quantised results: saturate(round(sum * (xs*ws/ys)) + zp).
func (k *K) requantize(sum, xs, ws, ys, zp *loop.Value, d tensor.DType) *loop.Value {
	v := k.Mul(k.Convert(sum, tensor.F32), k.Div(k.Mul(xs, ws), ys))
	return k.quantize(v, k.Convert(k.Convert(zp, tensor.I32), tensor.F32), d)
}

// scaleFits declines unless v is a float, and single or a vector of n.
func scaleFits(v *ir.Value, n ir.Dim) error {
	if !isHalfOrFloat(v.Type.DType) {
		return errDecline
	}
	return fitsVector(v, n)
}

func lowerQLinearMatMul(c *Ctx, op *ir.Op) error {
	o := op.Operands
	ys, yz := o[6], o[7]
	g, err := c.newIntMatMul(op, o[0], o[3], o[2], o[5])
	if err != nil {
		return err
	}
	if scaleFits(ys, ir.Const(1)) != nil || !single(yz) || !isByte(yz) || !isHalfOrFloat(o[1].Type.DType) || !isHalfOrFloat(o[4].Type.DType) {
		return errDecline
	}
	var ps []*matrix
	for _, s := range []struct {
		v    *ir.Value
		rows bool
	}{{o[1], true}, {o[4], false}, {ys, true}, {yz, true}} {
		p, err := g.param(c, s.v, s.rows)
		if err != nil {
			return err
		}
		ps, g.extra = append(ps, p), append(g.extra, s.v)
	}
	g.finish = func(k *K, sum *loop.Value, at func(m *matrix) *loop.Value) *loop.Value {
		return k.requantize(sum, at(ps[0]), at(ps[1]), at(ps[2]), at(ps[3]), g.out.Type.DType)
	}
	return g.lower(c)
}
