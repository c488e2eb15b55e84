package hostop

import "github.com/nnc-go/nnc/runtime/tensor"

// matrices is a stack of row-major matrices.
type matrices[T float64 | int64] struct {
	v     []T
	batch []int64
	r, c  int64
}

// stacked reads a tensor of rank 2 or more as matrices.
func stacked[T float64 | int64](v []T, shape []int64) matrices[T] {
	n := len(shape)
	return matrices[T]{v, shape[:n-2], shape[n-2], shape[n-1]}
}

// transposed turns a single matrix around.
func (m matrices[T]) transposed() matrices[T] {
	out := make([]T, len(m.v))
	for i := range m.r {
		for j := range m.c {
			out[j*m.r+i] = m.v[i*m.c+j]
		}
	}
	return matrices[T]{out, m.batch, m.c, m.r}
}

// mul is the product of stacks of matrices, whose batch dimensions broadcast.
func mul[T float64 | int64](a, b matrices[T]) matrices[T] {
	check(a.c == b.r, "cannot multiply matrices of %dx%d and %dx%d", a.r, a.c, b.r, b.c)
	batch := broadcastShape(a.batch, b.batch)
	shape := append(append([]int64{}, batch...), a.r, b.c)
	out := matrices[T]{make([]T, elemCount(shape, 64)), batch, a.r, b.c}
	sa, sb := broadcastStrides(a.batch, batch), broadcastStrides(b.batch, batch)
	eachIndex(batch, func(o int64, idx []int64) {
		x, y := a.v[dot(idx, sa)*a.r*a.c:], b.v[dot(idx, sb)*b.r*b.c:]
		for i := range a.r {
			row := out.v[(o*a.r+i)*b.c : (o*a.r+i+1)*b.c]
			for k := range a.c {
				f := x[i*a.c+k]
				for j, e := range y[k*b.c : (k+1)*b.c] {
					row[j] += f * e
				}
			}
		}
	})
	return out
}

// matmulShapes gives the shapes of numpy's matmul: those of the operands as matrices, and the result's.
func matmulShapes(a, b []int64) (sa, sb, out []int64) {
	check(len(a) > 0 && len(b) > 0, "matrices wanted, got shapes %s and %s", tensor.ShapeString(a), tensor.ShapeString(b))
	sa, sb = a, b
	if len(a) == 1 {
		sa = []int64{1, a[0]}
	}
	if len(b) == 1 {
		sb = []int64{b[0], 1}
	}
	out = broadcastShape(sa[:len(sa)-2], sb[:len(sb)-2])
	if len(a) > 1 {
		out = append(out, a[len(a)-2])
	}
	if len(b) > 1 {
		out = append(out, b[len(b)-1])
	}
	return sa, sb, out
}

// productType is the type of a product's result: that of its operands, or what `to` says.
func (c *Call) productType(x *tensor.Tensor) tensor.DType { return c.Attrs.DType("to", x.DType) }

// MatMul is the product of (batches of) matrices, as numpy's matmul.
func MatMul(c *Call) (err error) {
	defer guard(&err)
	a, b := c.in(0), c.in(1)
	sameType(a, b)
	sa, sb, shape := matmulShapes(a.Shape, b.Shape)
	if a.DType.IsInt() {
		c.give(fromInts(a.DType, shape, mul(stacked(intsOf(a), sa), stacked(intsOf(b), sb)).v))
		return nil
	}
	c.give(fromFloats(c.productType(a), shape, mul(stacked(floatsOf(a), sa), stacked(floatsOf(b), sb)).v))
	return nil
}

// Gemm is alpha*A*B + beta*C; with beta 0, C is not read.
func Gemm(c *Call) (err error) {
	defer guard(&err)
	a, b := c.in(0), c.in(1)
	sameType(a, b)
	check(len(a.Shape) == 2 && len(b.Shape) == 2, "matrices wanted, got %s and %s", a.TypeString(), b.TypeString())
	if a.DType.IsInt() {
		p := gemmProduct(c, stacked(intsOf(a), a.Shape), stacked(intsOf(b), b.Shape))
		alpha, beta := int64(c.Attrs.Float("alpha", 1)), int64(c.Attrs.Float("beta", 1))
		c.give(fromInts(a.DType, []int64{p.r, p.c}, gemmAdd(p, alpha, beta, c.opt(2), intsOf)))
		return nil
	}
	p := gemmProduct(c, stacked(floatsOf(a), a.Shape), stacked(floatsOf(b), b.Shape))
	c.give(fromFloats(c.productType(a), []int64{p.r, p.c}, gemmAdd(p, c.Attrs.Float("alpha", 1), c.Attrs.Float("beta", 1), c.opt(2), floatsOf)))
	return nil
}

func gemmProduct[T float64 | int64](c *Call, a, b matrices[T]) matrices[T] {
	if c.Attrs.Int("transA", 0) != 0 {
		a = a.transposed()
	}
	if c.Attrs.Int("transB", 0) != 0 {
		b = b.transposed()
	}
	return mul(a, b)
}

func gemmAdd[T float64 | int64](p matrices[T], alpha, beta T, ct *tensor.Tensor, read func(*tensor.Tensor) []T) []T {
	for i := range p.v {
		p.v[i] *= alpha
	}
	if ct == nil || beta == 0 {
		return p.v
	}
	shape := []int64{p.r, p.c}
	broadcastStrides(ct.Shape, shape)
	return zip(shape, shape, ct.Shape, p.v, read(ct), func(x, y T) T { return x + beta*y })
}
