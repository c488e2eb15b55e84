package hostop

import (
	"math"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// squares calls f with each matrix of x, [..., n, n], in float64, and where its elements begin.
func squares(x *tensor.Tensor, f func(m []float64, n, at int)) {
	r := len(x.Shape)
	check(r >= 2 && x.Shape[r-1] == x.Shape[r-2] && x.DType.IsFloat(), "square matrices of floats wanted, got %s", x.TypeString())
	n := int(x.Shape[r-1])
	vals := floatsOf(x)
	for i := range int(product(x.Shape[:r-2])) {
		f(vals[i*n*n:(i+1)*n*n], n, i*n*n)
	}
}

// pivotRow is the row from k on with the largest element in column k.
func pivotRow(m []float64, n, k int) int {
	p := k
	for i := k + 1; i < n; i++ {
		if math.Abs(m[i*n+k]) > math.Abs(m[p*n+k]) {
			p = i
		}
	}
	return p
}

func swapRows(m []float64, n, i, j int) {
	for c := range n {
		m[i*n+c], m[j*n+c] = m[j*n+c], m[i*n+c]
	}
}

// Det is the determinant of matrices, by Gaussian elimination with partial pivoting in float64.
func Det(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	out := []float64{}
	squares(x, func(m []float64, n, _ int) {
		det := 1.0
		for k := range n {
			if p := pivotRow(m, n, k); p != k {
				swapRows(m, n, p, k)
				det = -det
			}
			pivot := m[k*n+k]
			det *= pivot
			if pivot == 0 {
				break
			}
			for i := k + 1; i < n; i++ {
				f := m[i*n+k] / pivot
				for j := k + 1; j < n; j++ {
					m[i*n+j] -= f * m[k*n+j]
				}
			}
		}
		out = append(out, det)
	})
	c.give(fromFloats(x.DType, x.Shape[:len(x.Shape)-2], out))
	return nil
}

// Inverse is the inverse of matrices, by Gauss-Jordan elimination with partial pivoting in float64. That of a
// singular matrix holds infinities and NaN.
func Inverse(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	out := make([]float64, x.Len())
	squares(x, func(m []float64, n, at int) {
		inv := out[at : at+n*n]
		for i := range n {
			inv[i*n+i] = 1
		}
		for k := range n {
			p := pivotRow(m, n, k)
			swapRows(m, n, p, k)
			swapRows(inv, n, p, k)
			pivot := m[k*n+k]
			for j := range n {
				m[k*n+j] /= pivot
				inv[k*n+j] /= pivot
			}
			for i := range n {
				f := m[i*n+k]
				for j := 0; i != k && j < n; j++ {
					m[i*n+j] -= f * m[k*n+j]
					inv[i*n+j] -= f * inv[k*n+j]
				}
			}
		}
	})
	c.give(fromFloats(x.DType, x.Shape, out))
	return nil
}
