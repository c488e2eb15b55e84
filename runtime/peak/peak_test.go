package peak

import (
	"testing"

	"github.com/nnc-go/nnc/runtime/abi"
	"github.com/stretchr/testify/require"
)

// needs says what loops of levels need of the processor.
var needs = map[string][]string{"avx2": {"avx2", "fma"}, "avx512": {"avx512f"}, "avx512bf16": {"avx512f", "avx512bf16"}}

func TestPeaks(t *testing.T) {
	for level := range loops {
		if !abi.HasFeatures(needs[level]) {
			continue
		}
		one := GFLOPS(level, 1)
		t.Logf("%s: %.1f GFLOP/s", level, one)
		require.Greater(t, one, 0.5, level)
		require.Less(t, one, 2000.0, level)
	}
	require.Zero(t, GFLOPS("purego", 1))
	for threads := 1; threads <= 2; threads++ {
		bs := Bandwidths(threads)
		require.Len(t, bs, len(sizes))
		for _, b := range bs {
			t.Logf("%d threads: %.1f GB/s of %d KB", threads, b.GBPS, b.Bytes>>10)
			require.Greater(t, b.GBPS, 0.1)
			require.Less(t, b.GBPS, 20000.0)
		}
	}
}
