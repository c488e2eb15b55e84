package arena

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// lowerBound is the most bytes alive at any step: no layout can need less.
func lowerBound(bufs []Interval, steps int32) int64 {
	var peak int64
	for s := range steps {
		var n int64
		for _, b := range bufs {
			if b.First <= s && s <= b.Last {
				n += b.Bytes
			}
		}
		peak = max(peak, n)
	}
	return peak
}

func check(t *testing.T, bufs []Interval, offs []int64, total int64) {
	t.Helper()
	for i, a := range bufs {
		require.Zero(t, offs[i]%Align)
		require.GreaterOrEqual(t, offs[i], int64(0))
		require.LessOrEqual(t, offs[i]+a.Bytes, total)
		for j, b := range bufs[:i] {
			alive := a.First <= b.Last && b.First <= a.Last
			meet := offs[i] < offs[j]+b.Bytes && offs[j] < offs[i]+a.Bytes
			require.False(t, alive && meet && a.Bytes > 0 && b.Bytes > 0, "%v at %d and %v at %d", a, offs[i], b, offs[j])
		}
	}
}

func TestLayoutRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		steps := int32(1 + r.IntN(40))
		bufs := make([]Interval, r.IntN(60))
		for i := range bufs {
			first := r.Int32N(steps)
			bufs[i] = Interval{r.Int64N(5000), first, first + r.Int32N(min(steps-first, 6))}
		}
		offs, total := Layout(bufs)
		check(t, bufs, offs, total)
		require.GreaterOrEqual(t, total, lowerBound(bufs, steps))
		again, total2 := Layout(bufs)
		require.Equal(t, offs, again)
		require.Equal(t, total, total2)
	}
}

func TestLayoutReuses(t *testing.T) {
	// A chain of equal buffers needs two of them, however long it is.
	var bufs []Interval
	for i := range int32(10) {
		bufs = append(bufs, Interval{1000, i, i + 1})
	}
	offs, total := Layout(bufs)
	check(t, bufs, offs, total)
	require.Equal(t, int64(2*1024), total)

	// The small buffer goes into the gap that fits it best, not the first.
	bufs = []Interval{{64 * 8, 0, 0}, {64 * 7, 0, 9}, {64 * 2, 0, 0}, {64, 5, 9}}
	offs, total = Layout(bufs)
	check(t, bufs, offs, total)
	require.Equal(t, int64(64*17), total)
	require.Equal(t, int64(0), offs[3])
}

func TestLayoutEmpty(t *testing.T) {
	offs, total := Layout(nil)
	require.Empty(t, offs)
	require.Zero(t, total)
	offs, total = Layout([]Interval{{0, 0, 3}})
	require.Equal(t, []int64{0}, offs)
	require.Zero(t, total)
}
