package lower

import "github.com/nnc-go/nnc/ir/loop"

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
// and differences of their elements.
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
	out := make([]*loop.Value, len(rows))
	for i, r := range rows {
		out[i] = k.combine(r, x)
	}
	return out
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
	for j, c := range coefficients {
		switch {
		case c == 0:
		case sum == nil && c == 1:
			sum = x[j]
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
