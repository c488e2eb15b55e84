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

// intMatMul is a product of matrices of 8-bit integers. Zero points are nil, single, or one per row of A
// or column of B.
type intMatMul struct {
	op             *ir.Op
	a, b, out      *ir.Value
	azp, bzp       *ir.Value
	m, n, k        ir.Dim
	batch          []ir.Dim
	aBatch, bBatch []ir.Dim // strides
	extra          []*ir.Value
	finish         func(k *K, sum *loop.Value, row, col func(v *ir.Value) *loop.Value) *loop.Value
}

// newIntMatMul sets up the shapes.
func newIntMatMul(op *ir.Op, a, b, azp, bzp *ir.Value) (*intMatMul, error) {
	if !isByte(a) || !isByte(b) || a.Type.Rank() < 2 || b.Type.Rank() < 2 {
		return nil, errDecline
	}
	as, bs := a.Type.Shape, b.Type.Shape
	ra, rb := len(as), len(bs)
	g := &intMatMul{op: op, a: a, b: b, out: op.Results[0], azp: azp, bzp: bzp, m: as[ra-2], n: bs[rb-1], k: as[ra-1]}
	if !g.k.Equal(bs[rb-2]) {
		return nil, errDecline
	}
	for _, z := range []struct {
		v *ir.Value
		n ir.Dim
	}{{azp, g.m}, {bzp, g.n}} {
		if err := fitsVector(z.v, z.n); err != nil {
			return nil, err
		}
	}
	out := g.out.Type.Shape
	if len(out) < 2 {
		return nil, errDecline
	}
	g.batch = out[:len(out)-2]
	g.aBatch, g.bBatch = batchStrides(as, g.batch), batchStrides(bs, g.batch)
	if g.aBatch == nil || g.bBatch == nil {
		return nil, errDecline
	}
	return g, nil
}

// fitsVector declines unless v is absent, single, or a vector of n elements.
func fitsVector(v *ir.Value, n ir.Dim) error {
	if v == nil || single(v) || v.Type.Rank() == 1 && v.Type.Shape[0].Equal(n) {
		return nil
	}
	return errDecline
}

// batchStrides are the strides of a stack of matrices of the given shape over the dimensions batch; nil
// where only the run time can tell.
func batchStrides(shape, batch []ir.Dim) []ir.Dim {
	r := len(shape)
	if r-2 > len(batch) {
		return nil
	}
	st, ok := BroadcastStrides(shape[:r-2], batch)
	if !ok {
		return nil
	}
	out := make([]ir.Dim, len(batch))
	for i := range st {
		out[i] = st[i].Mul(shape[r-2]).Mul(shape[r-1])
	}
	return out
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
	total := ir.Product(g.batch)
	return c.Kernel(Step{
		Op: g.op, Name: "int_matmul", Ins: append(present(g.a, g.b, g.azp, g.bzp), g.extra...), Outs: []*ir.Value{g.out},
		ParAt:     func(l *target.Level) ir.Dim { return total.Mul(tall).Mul(colTiles(l, g.n)) },
		NsPerIter: ns, Flops: total.Mul(g.m).Mul(g.n).Mul(g.k).MulInt(2), Bytes: bytesOf(g.a).Add(bytesOf(g.b)).Add(bytesOf(g.out)),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				dims := append(append([]ir.Dim{}, g.batch...), tall, colTiles(k.Level, g.n))
				co := k.Unflatten(i, dims...)
				nb := len(g.batch)
				aAt, bAt, oAt := k.Int(0), k.Int(0), k.Int(0)
				for d, s := range Strides(g.batch) {
					aAt, bAt = k.Add(aAt, k.MulDim(co[d], g.aBatch[d])), k.Add(bAt, k.MulDim(co[d], g.bBatch[d]))
					oAt = k.Add(oAt, k.MulDim(co[d], s))
				}
				row := make([]*loop.Value, rows)
				for r := range row {
					row[r] = k.MinIdx(k.AddInt(k.MulInt(co[nb], rows), int64(r)), k.Dim(g.m.AddInt(-1)))
				}
				k.cols(co[nb+1], g.n, func(x *loop.Value, v, lanes int) { g.tile(k, aAt, bAt, k.MulDim(oAt, g.m), row, x, v, lanes) })
			})
		},
	})
}

// tile computes the rows given, some of which may be equal, by v vectors of columns from x on.
func (g *intMatMul) tile(k *K, aAt, bAt, first *loop.Value, row []*loop.Value, x *loop.Value, v, lanes int) {
	col := func(j int) *loop.Value { return k.AddInt(x, int64(j*lanes)) }
	at := func(v *ir.Value, i *loop.Value, lanes int) *loop.Value {
		if single(v) {
			return k.Broadcast(k.Load(k.Buf(v), k.Int(0), 1), lanes)
		}
		return k.Load(k.Buf(v), i, lanes)
	}
	float := func(x *loop.Value) *loop.Value { return k.Convert(k.Convert(x, tensor.I32), tensor.F32) }
	az, bz := make([]*loop.Value, len(row)), make([]*loop.Value, v)
	for r := range az {
		if g.azp != nil {
			az[r] = float(at(g.azp, row[r], 1))
		}
	}
	for j := range bz {
		if g.bzp != nil {
			bz[j] = float(at(g.bzp, col(j), lanes))
		}
	}
	sums := k.exactSum(g.k, 1, len(row)*v, lanes, func(i *loop.Value, acc []*loop.Value) []*loop.Value {
		b := make([]*loop.Value, v)
		for j := range b {
			b[j] = k.loadByte(k.Buf(g.b), k.Add(bAt, k.Add(k.MulDim(i, g.n), col(j))), lanes)
			if bz[j] != nil {
				b[j] = k.Sub(b[j], bz[j])
			}
		}
		next := make([]*loop.Value, len(acc))
		for r := range row {
			a := k.loadByte(k.Buf(g.a), k.Add(aAt, k.Add(k.MulDim(row[r], g.k), i)), 1)
			if az[r] != nil {
				a = k.Sub(a, az[r])
			}
			for j := range b {
				next[r*v+j] = k.FMA(k.Broadcast(a, lanes), b[j], acc[r*v+j])
			}
		}
		return next
	})
	for r := range row {
		for j := range v {
			sum := sums[r*v+j]
			if g.finish != nil {
				sum = g.finish(k, sum, func(v *ir.Value) *loop.Value { return k.Broadcast(at(v, row[r], 1), lanes) }, func(v *ir.Value) *loop.Value { return at(v, col(j), lanes) })
			}
			k.Store(k.Buf(g.out), k.Add(k.MulDim(k.Add(first, row[r]), g.n), col(j)), sum)
		}
	}
}

func lowerMatMulInteger(c *Ctx, op *ir.Op) error {
	g, err := newIntMatMul(op, op.Operands[0], op.Operands[1], op.Operand(2), op.Operand(3))
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

// scaleFits declines unless v is f32, and single or a vector of n.
func scaleFits(v *ir.Value, n ir.Dim) error {
	if v.Type.DType != tensor.F32 {
		return errDecline
	}
	return fitsVector(v, n)
}

func lowerQLinearMatMul(c *Ctx, op *ir.Op) error {
	o := op.Operands
	as, bs, ys, yz := o[1], o[4], o[6], o[7]
	g, err := newIntMatMul(op, o[0], o[3], o[2], o[5])
	if err != nil {
		return err
	}
	if scaleFits(as, g.m) != nil || scaleFits(bs, g.n) != nil || scaleFits(ys, ir.Const(1)) != nil || !single(yz) || !isByte(yz) {
		return errDecline
	}
	g.extra = []*ir.Value{as, bs, ys, yz}
	g.finish = func(k *K, sum *loop.Value, row, col func(v *ir.Value) *loop.Value) *loop.Value {
		return k.requantize(sum, row(as), col(bs), row(ys), row(yz), g.out.Type.DType)
	}
	return g.lower(c)
}
