package lower

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Minimal filtering gives the sums that the definition of a filter gives.
func TestCookToom(t *testing.T) {
	dot := func(a, b []float64) (s float64) {
		for i, x := range a {
			s += x * b[i]
		}
		return s
	}
	for r, f := range phaseFilters {
		d, g := make([]float64, f.n), make([]float64, r)
		for i := range d {
			d[i] = float64(i*i%7) - 2.5
		}
		for i := range g {
			g[i] = float64(i*i%5) + 0.25
		}
		products := make([]float64, f.n)
		for i := range products {
			products[i] = dot(f.g[i], g) * dot(f.bt[i], d)
		}
		for i, row := range f.at {
			require.InDelta(t, dot(g, d[i:int64(i)+r]), dot(row, products), 1e-9, "F(%d,%d) output %d", f.m, r, i)
		}
	}
}
