package lower

import (
	"slices"

	"github.com/nnc-go/nnc/ir/loop"
)

// cookToom are the matrices of minimal filtering F(m,r): m outputs of a filter of r taps are A^T((G g)*(B^T d)), with
// m+r-1 products (Winograd, "Arithmetic Complexity of Computations", 1980).
type cookToom struct {
	m, r, n   int
	at, g, bt [][]float64 // m x n, n x r, n x n
}

// newCookToom makes them from m+r-2 points of interpolation; the last is infinity.
func newCookToom(m, r int, points []float64) *cookToom {
	t := &cookToom{m: m, r: r, n: m + r - 1}
	powers := func(n int, scale []float64) [][]float64 { // row i is scale[i] * points[i]^j
		var rows [][]float64
		for i, p := range points {
			row := make([]float64, n)
			for j, x := 0, scale[i]; j < n; j, x = j+1, x*p {
				row[j] = x
			}
			rows = append(rows, row)
		}
		last := make([]float64, n)
		last[n-1] = 1
		return append(rows, last)
	}
	ones, inverse := make([]float64, len(points)), make([]float64, len(points))
	for i, p := range points {
		ones[i], inverse[i] = 1, 1
		product := []float64{1} // of (x - q) for all other points q, by powers of x
		for j, q := range points {
			if j != i {
				inverse[i] /= p - q
				product = timesLinear(product, q)
			}
		}
		t.bt = append(t.bt, append(product, 0))
	}
	all := []float64{1}
	for _, q := range points {
		all = timesLinear(all, q)
	}
	t.bt = append(t.bt, all)
	t.g = powers(r, inverse)
	for i := range m {
		t.at = append(t.at, make([]float64, t.n))
		for j, row := range powers(m, ones) {
			t.at[i][j] = row[i]
		}
	}
	return t
}

// timesLinear is the polynomial p times x - q.
func timesLinear(p []float64, q float64) []float64 {
	r := make([]float64, len(p)+1)
	for i, c := range p {
		r[i+1] += c
		r[i] -= q * c
	}
	return r
}

// filter is G g G^T of the taps that g gives.
func (t *cookToom) filter(g func(i, j int) float64) []float64 {
	u := make([]float64, t.n*t.n)
	for q := range u {
		for i, x := range t.g[q/t.n] {
			for j, y := range t.g[q%t.n] {
				u[q] += x * y * g(i, j)
			}
		}
	}
	return u
}

// times is the matrix times x. Columns that differ in signs alone, those of points p and -p, are taken as the sums
// and differences of their elements, and such rows as the sum and difference of two parts.
func (k *K) times(matrix [][]float64, x []*loop.Value) []*loop.Value {
	x = append([]*loop.Value{}, x...)
	rows := make([][]float64, len(matrix))
	for i, r := range matrix {
		rows[i] = append([]float64{}, r...)
	}
	for j := 0; j+1 < len(x); j++ {
		if !mirrored(rows, j) {
			continue
		}
		x[j], x[j+1] = k.Add(x[j], x[j+1]), k.Sub(x[j], x[j+1])
		for _, r := range rows {
			if r[j] == r[j+1] {
				r[j+1] = 0
			} else {
				r[j], r[j+1] = 0, r[j]
			}
		}
		j++
	}
	var out []*loop.Value
	for i := 0; i < len(rows); i++ {
		if i+1 < len(rows) {
			if same, opposed := parts(rows[i], rows[i+1]); same != nil {
				s, o := k.combine(same, x), k.combine(opposed, x)
				out, i = append(out, k.Add(s, o), k.Sub(s, o)), i+1
				continue
			}
		}
		out = append(out, k.combine(rows[i], x))
	}
	return out
}

// timesBoth is the matrix times the square matrix x, by rows, times the transposed matrix.
func (k *K) timesBoth(matrix [][]float64, x []*loop.Value) []*loop.Value {
	n, m := len(matrix[0]), len(matrix)
	half, out := make([]*loop.Value, m*n), []*loop.Value{}
	for j := range n {
		column := make([]*loop.Value, n)
		for i := range column {
			column[i] = x[i*n+j]
		}
		for i, y := range k.times(matrix, column) {
			half[i*n+j] = y
		}
	}
	for i := range m {
		out = append(out, k.times(matrix, half[i*n:(i+1)*n])...)
	}
	return out
}

// parts are what two rows that differ in signs alone have in common and what they have opposed in the first's signs; nil for
// others, or where one of the parts is all.
func parts(r, s []float64) (same, opposed []float64) {
	n, m := 0, 0
	same, opposed = make([]float64, len(r)), make([]float64, len(r))
	for j, c := range r {
		switch {
		case c == 0 && s[j] == 0:
		case c == s[j]:
			same[j], n = c, n+1
		case c == -s[j]:
			opposed[j], m = c, m+1
		default:
			return nil, nil
		}
	}
	if n == 0 || m == 0 {
		return nil, nil
	}
	return same, opposed
}

// mirrored reports whether columns j and j+1 have no zeros, and the same absolute values.
func mirrored(rows [][]float64, j int) bool {
	for _, r := range rows {
		if r[j] == 0 || r[j] != r[j+1] && r[j] != -r[j+1] {
			return false
		}
	}
	return true
}

// combine is the sum of x times coefficients.
func (k *K) combine(coefficients []float64, x []*loop.Value) *loop.Value {
	var sum *loop.Value
	first := slices.Index(coefficients, 1) // which takes no multiplication
	if first >= 0 {
		sum = x[first]
	}
	for j, c := range coefficients {
		switch {
		case c == 0 || j == first:
		case sum == nil:
			sum = k.Mul(k.Float(x[j].Type, c), x[j])
		case c == 1:
			sum = k.Add(sum, x[j])
		case c == -1:
			sum = k.Sub(sum, x[j])
		default:
			sum = k.FMA(k.Float(x[j].Type, c), x[j], sum)
		}
	}
	return sum
}
