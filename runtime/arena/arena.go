// Package arena decides where intermediate values live in one block of memory. The compiler uses it
// for plans whose sizes are constants, the executor for those whose sizes depend on input shapes, so
// both follow the same rule.
package arena

import "slices"

// Align is the alignment in bytes of every offset: one cache line, one AVX-512 vector.
const Align = 64

// Interval is a buffer of Bytes bytes that steps First to Last, inclusive, use.
type Interval struct {
	Bytes       int64
	First, Last int32
}

// placed is an interval that has its offset; end is past its last byte, rounded up to Align.
type placed struct {
	off, end    int64
	first, last int32
}

// Layout gives each buffer an offset, a multiple of Align, such that buffers whose lifetimes meet do
// not overlap, and the size of the arena that holds them all. It is greedy: larger buffers choose
// first, and each takes the smallest gap that fits it among the buffers alive at the same time. (The
// greedy-by-size rule of Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net
// Inference", 2020.) Equal inputs give equal results. Time is quadratic in len(bufs). Buffers without
// bytes are at 0.
func Layout(bufs []Interval) (offsets []int64, total int64) {
	order := make([]int, 0, len(bufs))
	for i, b := range bufs {
		if b.Bytes > 0 {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(i, j int) int {
		switch a, b := bufs[i], bufs[j]; {
		case a.Bytes != b.Bytes:
			if a.Bytes > b.Bytes {
				return -1
			}
			return 1
		default:
			return int(a.First) - int(b.First)
		}
	})
	offsets = make([]int64, len(bufs))
	done := make([]placed, 0, len(order)) // by offset
	for _, i := range order {
		b := bufs[i]
		off := bestGap(done, b)
		offsets[i] = off
		p := placed{off, off + (b.Bytes+Align-1)&^(Align-1), b.First, b.Last}
		at, _ := slices.BinarySearchFunc(done, off, func(p placed, off int64) int {
			if p.off < off {
				return -1
			}
			return 1
		})
		done = slices.Insert(done, at, p)
		total = max(total, p.end)
	}
	return offsets, total
}

// bestGap finds the smallest gap that holds b between those of done, sorted by offset, that are alive
// at the same time; behind the last of them if there is none.
func bestGap(done []placed, b Interval) int64 {
	best, bestSize := int64(-1), int64(0)
	end := int64(0)
	for _, p := range done {
		if p.last < b.First || b.Last < p.first {
			continue
		}
		if gap := p.off - end; gap >= b.Bytes && (best < 0 || gap < bestSize) {
			best, bestSize = end, gap
		}
		end = max(end, p.end)
	}
	if best < 0 {
		return end
	}
	return best
}
