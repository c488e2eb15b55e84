package lower

import (
	"fmt"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/plan"
)

// matrix is an operand of a product: a tensor walked by strides, in elements.
type matrix struct {
	v        *ir.Value
	base     ir.Dim
	batch    []ir.Dim // strides by batch dimension
	row, col ir.Dim
}

// product is a matrix product C[b,m,n] = sum over k of A[b,m,k]*B[b,k,n] in any element type and with
// any strides; gemm is the faster one for f32. Vectors run along the columns of B.
type product struct {
	op      *ir.Op
	m, n, k ir.Dim
	batch   []ir.Dim
	a, b    matrix
	out     *ir.Value // contiguous [batch, m, n]
	// finish, if set, turns the sum at (batch, row, column) into the result; ins are the tensors that it reads.
	finish func(k *K, sum *loop.Value, co []*loop.Value) *loop.Value
	ins    []*ir.Value
}

const (
	productRows = 4   // of a register tile
	productCols = 128 // columns of a parallel iteration
)

// mulAdd is x*y+z: with one rounding where the level can, wrapping for integers.
func (k *K) mulAdd(x, y, z *loop.Value) *loop.Value {
	if x.Type.Elem.IsFloat() {
		return k.FMA(x, y, z)
	}
	return k.Add(k.Mul(x, y), z)
}

// broadcastStride is the stride of a dimension d of an operand that is read at the coordinates of a dimension
// out of the result: own, or 0 where it is broadcast, which the run time may decide. A step checks that it is one of the two.
func (c *Ctx) broadcastStride(op *ir.Op, d, out, own ir.Dim) ir.Dim {
	switch {
	case d.Is(1):
		return ir.Dim{}
	case d.Equal(out):
		return own
	}
	c.addStep(plan.Step{Kind: plan.StepCheck, Name: fmt.Sprintf("%s %q: a dimension of size %v does not broadcast to %v", op.Info.Name, op.Origin.Node, d, out),
		A: c.slot(d.AddInt(-1).Mul(d.Sub(out))), B: c.constSlot(0)})
	return own.Mul(d.AddInt(-1).Max(ir.Dim{}).Min(ir.Const(1)))
}

// broadcastStrides are the strides with which an operand of the given shape is read at coordinates of out.
func (c *Ctx) broadcastStrides(op *ir.Op, shape, out []ir.Dim) ([]ir.Dim, error) {
	off := len(out) - len(shape)
	if off < 0 {
		return nil, errDecline
	}
	own, st := Strides(shape), make([]ir.Dim, len(out))
	for i, d := range shape {
		st[off+i] = c.broadcastStride(op, d, out[off+i], own[i])
	}
	return st, nil
}

// lower emits the product.
func (p *product) lower(c *Ctx) error {
	if !p.b.col.Is(1) && !p.n.Is(1) {
		if err := p.turnB(c); err != nil {
			return err
		}
	}
	size := int64(p.a.v.Type.DType.Size())
	ns := 500.0
	if p.k.IsConst() {
		ns = 20 + float64(p.k.Value())*float64(size)*4
	}
	nbatch := ir.Product(p.batch)
	return c.Kernel(Step{
		Op: p.op, Name: "product", Ins: append([]*ir.Value{p.a.v, p.b.v}, p.ins...), Outs: []*ir.Value{p.out},
		Par: nbatch.Mul(p.m.CeilDiv(productRows)).Mul(p.n.CeilDiv(productCols)), NsPerIter: ns,
		Flops: nbatch.Mul(p.m).Mul(p.n).Mul(p.k).MulInt(2), Bytes: bytesOf(p.a.v).Add(bytesOf(p.b.v)).Add(bytesOf(p.out)),
		Build: p.build,
	})
}

// turnB copies B so that its columns are neighbours.
func (p *product) turnB(c *Ctx) error {
	dims := append(append([]ir.Dim{}, p.batch...), p.k, p.n)
	from := append(append([]ir.Dim{}, p.b.batch...), p.b.row, p.b.col)
	for i, s := range p.b.batch { // a broadcast batch is copied once
		if s.Is(0) {
			dims[i] = ir.Const(1)
		}
	}
	t := c.Scratch(ir.TensorType(p.b.v.Type.DType, dims...))
	to := Strides(dims)
	m := &move{dims: dims, from: from, to: to, fromBase: p.b.base}
	if err := m.emit(c, p.op, "transpose", p.b.v, t); err != nil {
		return err
	}
	n := len(p.batch)
	turned := matrix{v: t, batch: to[:n:n], row: to[n], col: ir.Const(1)}
	for i, s := range p.b.batch {
		if s.Is(0) {
			turned.batch[i] = ir.Dim{}
		}
	}
	p.b = turned
	return nil
}

// at is where the element (batch, row, col) of a matrix lies.
func (x *matrix) at(k *K, batch []*loop.Value, row, col *loop.Value) *loop.Value {
	i := k.Add(k.Dim(x.base), k.Add(k.MulDim(row, x.row), k.MulDim(col, x.col)))
	for d, s := range x.batch {
		i = k.Add(i, k.MulDim(batch[d], s))
	}
	return i
}

func (p *product) build(k *K) {
	ct := computeType(p.a.v.Type.DType)
	nb := len(p.batch)
	k.Parallel(func(i *loop.Value) {
		co := k.Unflatten(i, append(append([]ir.Dim{}, p.batch...), p.m.CeilDiv(productRows), p.n.CeilDiv(productCols))...)
		row, lo := k.MulInt(co[nb], productRows), k.MulInt(co[nb+1], productCols)
		hi := k.MinIdx(k.AddInt(lo, productCols), k.Dim(p.n))
		rows := func(rows int, row *loop.Value) {
			k.vectorLoop(lo, hi, k.Level.Lanes(ct.Size()), func(col *loop.Value, lanes int) { p.tile(k, co[:nb], row, col, rows, lanes) })
		}
		left := k.Sub(k.Dim(p.m), row)
		k.choose(k.Cmp(loop.GE, left, k.Int(productRows)), func() { rows(productRows, row) }, func() { k.binaryRows(productRows, left, row, rows) })
	})
}

// tile computes rows rows of lanes columns.
func (p *product) tile(k *K, batch []*loop.Value, row, col *loop.Value, rows, lanes int) {
	da, db := p.a.v.Type.DType, p.b.v.Type.DType
	init, from := make([]*loop.Value, rows), make([]*loop.Value, rows)
	for r := range init {
		init[r] = k.Bits(loop.Vec(computeType(da), lanes), 0)
		from[r] = p.a.at(k, batch, k.AddInt(row, int64(r)), k.Int(0))
	}
	first := p.b.at(k, batch, k.Int(0), col)
	sums := k.For(k.Int(0), k.Dim(p.k), 1, init, func(j *loop.Value, acc []*loop.Value) []*loop.Value {
		y := k.fromMemory(k.Load(k.Buf(p.b.v), k.Add(first, k.MulDim(j, p.b.row)), lanes), db)
		next := make([]*loop.Value, rows)
		for r := range next {
			x := k.fromMemory(k.Load(k.Buf(p.a.v), k.Add(from[r], k.MulDim(j, p.a.col)), 1), da)
			next[r] = k.mulAdd(k.Broadcast(x, lanes), y, acc[r])
		}
		return next
	})
	for r, s := range sums {
		at := append(append([]*loop.Value{}, batch...), k.AddInt(row, int64(r)), col)
		if p.finish != nil {
			s = p.finish(k, s, at)
		}
		shape := append(append([]ir.Dim{}, p.batch...), p.m, p.n)
		k.Store(k.Buf(p.out), k.Flatten(at, shape), k.toMemory(s, p.out.Type.DType))
	}
}

// multiplied reports whether product computes with elements of v.
func multiplied(v *ir.Value) bool {
	d := v.Type.DType
	return v.Type.Ranked && compiled(d) && (d.IsFloat() || d.IsInt() && d.Size() >= 4)
}

// lowerMatMulAny compiles MatMul in any element type, and with batch dimensions that only the run time can compare.
func lowerMatMulAny(c *Ctx, op *ir.Op, out *ir.Value) error {
	a, b := c.resolve(op.Operands[0]), c.resolve(op.Operands[1])
	if !multiplied(a) || !multiplied(b) || a.Type.DType != b.Type.DType || a.Type.Rank() < 1 || b.Type.Rank() < 1 {
		return errDecline
	}
	as, bs, batch := a.Type.Shape, b.Type.Shape, out.Type.Shape
	if len(as) == 1 {
		as = []ir.Dim{ir.Const(1), as[0]}
	} else {
		batch = batch[:len(batch)-1]
	}
	if len(bs) == 1 {
		bs = []ir.Dim{bs[0], ir.Const(1)}
	} else {
		batch = batch[:len(batch)-1]
	}
	na, nb := len(as)-2, len(bs)-2
	p := &product{op: op, m: as[na], k: as[na+1], n: bs[nb+1], batch: batch, out: out}
	c.checkEqual(op, as[na+1], bs[nb], "the inner dimensions")
	side := func(v *ir.Value, s []ir.Dim) (matrix, error) {
		n := len(s) - 2
		x := matrix{v: v, row: s[n+1], col: ir.Const(1)}
		for i := range batch {
			j := i - len(batch) + n
			if j < 0 {
				x.batch = append(x.batch, ir.Dim{})
				continue
			}
			x.batch = append(x.batch, c.broadcastStride(op, s[j], batch[i], ir.Product(s[j+1:])))
		}
		return x, nil
	}
	var err error
	if p.a, err = side(a, as); err != nil {
		return err
	}
	if p.b, err = side(b, bs); err != nil {
		return err
	}
	return p.lower(c)
}

// lowerGemmAny compiles Gemm in any element type.
func lowerGemmAny(c *Ctx, op *ir.Op, out *ir.Value) error {
	a, b, bias := c.resolve(op.Operands[0]), c.resolve(op.Operands[1]), op.Operand(2)
	if !multiplied(a) || !multiplied(b) || a.Type.DType != b.Type.DType || a.Type.Rank() != 2 || b.Type.Rank() != 2 {
		return errDecline
	}
	side := func(v *ir.Value, trans string) (x matrix, rows, cols ir.Dim) {
		s := v.Type.Shape
		if op.Attrs.Int(trans, 0) != 0 {
			return matrix{v: v, row: ir.Const(1), col: s[1]}, s[1], s[0]
		}
		return matrix{v: v, row: s[1], col: ir.Const(1)}, s[0], s[1]
	}
	p := &product{op: op, out: out}
	var inner ir.Dim
	p.a, p.m, p.k = side(a, "transA")
	p.b, inner, p.n = side(b, "transB")
	c.checkEqual(op, p.k, inner, "the inner dimensions")
	alpha, beta := op.Attrs.Float("alpha", 1), op.Attrs.Float("beta", 1)
	var st []ir.Dim
	if beta == 0 {
		bias = nil // C is ignored, NaN included
	}
	if bias != nil {
		var err error
		if st, err = c.broadcastStrides(op, bias.Type.Shape, []ir.Dim{p.m, p.n}); err != nil {
			return err
		}
		p.ins = []*ir.Value{bias}
	}
	p.finish = func(k *K, sum *loop.Value, co []*loop.Value) *loop.Value {
		if alpha != 1 {
			sum = k.Mul(sum, k.num(sum, alpha))
		}
		if bias == nil {
			return sum
		}
		x := k.loadStrided(bias, st, co, sum.Type.Lanes, nil)
		if beta != 1 {
			x = k.Mul(x, k.num(x, beta))
		}
		return k.Add(sum, x)
	}
	return p.lower(c)
}
