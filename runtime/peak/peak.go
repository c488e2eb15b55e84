// Package peak measures what a machine can do at most: floating-point operations per second at a level of
// instructions, and bytes per second from caches and memory. They are the two lines of the roofline (Williams, Waterman,
// Patterson, "Roofline: an insightful visual performance model for multicore architectures", 2009).
package peak

import (
	"runtime"
	"sync"
	"time"
)

// loop runs n rounds of independent multiplications and additions on all registers.
type loop struct {
	run   func(n int64)
	flops int64 // of a round, in float32
}

// Times of a measurement. The shortest of some is the least disturbed one.
const (
	rounds  = 20_000
	repeats = 40
	sweeps  = 8        // over memory; more over less
	atLeast = 64 << 20 // bytes to read at each size
)

// GFLOPS is the peak of some threads together, in 10^9 operations per second, at a level; 0 where that is not known.
func GFLOPS(level string, threads int) float64 {
	l, ok := loops[level]
	if !ok {
		return 0
	}
	return together(threads, repeats, float64(l.flops*rounds), func(int) { l.run(rounds) })
}

// Bandwidth is how many 10^9 bytes per second some threads together read again and again of so many bytes.
type Bandwidth struct {
	Bytes int64   `json:"bytes"`
	GBPS  float64 `json:"gbytes_per_s"`
}

// sizes stand for what caches of usual sizes hold, the last for memory.
var sizes = []int64{256 << 10, 1 << 20, 8 << 20, 128 << 20}

// Bandwidths measures reading, from the fastest place to memory.
func Bandwidths(threads int) []Bandwidth {
	parts := make([][]uint64, threads)
	for i := range parts {
		parts[i] = make([]uint64, sizes[len(sizes)-1]/8/int64(threads))
		for j := 0; j < len(parts[i]); j += 512 { // a page each, not all the one page of zeros
			parts[i][j] = 1
		}
	}
	var bs []Bandwidth
	sums := make([]uint64, 8*threads)
	for _, size := range sizes {
		n := int(size) / 8 / threads
		again := max(1, atLeast/int(size)/sweeps)
		rate := together(threads, sweeps, float64(8*n*again), func(i int) {
			for range again {
				sums[8*i] += lines(parts[i][:n])
			}
		})
		bs = append(bs, Bandwidth{size, rate})
	}
	runtime.KeepAlive(sums)
	return bs
}

// lines reads a word of each cache line.
func lines(x []uint64) (s uint64) {
	const line = 8
	for len(x) >= 4*line {
		s += x[0] + x[line] + x[2*line] + x[3*line]
		x = x[4*line:]
	}
	return s
}

// together runs f on some threads at once and adds their best rates: work per nanosecond.
func together(threads, repeats int, work float64, f func(thread int)) float64 {
	rates := make([]float64, threads)
	var wg sync.WaitGroup
	for i := range threads {
		wg.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for range repeats {
				start := time.Now()
				f(i)
				rates[i] = max(rates[i], work/float64(max(time.Since(start), 1)))
			}
		})
	}
	wg.Wait()
	sum := 0.0
	for _, r := range rates {
		sum += r
	}
	return sum
}
