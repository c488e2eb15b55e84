//go:build linux

package kerneltest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/target"
)

var (
	count = flag.Int("kernels", 60, "how many random kernels a test runs")
	seed  = flag.Uint64("seed", 1, "which random kernels")
)

// RunRandom holds random kernels against the evaluator. One that fails is made smaller, as long as it fails.
func RunRandom(t *testing.T, level *target.Level, generate Generator) {
	var all [][]byte
	for i := range *count {
		all = append(all, randomChoices(rand.New(rand.NewPCG(*seed, uint64(i)))))
	}
	for i, why := range tryAll(level, all, generate) {
		if why == "" {
			continue
		}
		small := shrink(all[i], func(cs [][]byte) int {
			return slices.IndexFunc(tryAll(level, cs, generate), func(w string) bool { return w != "" })
		})
		t.Errorf("kernel %d of seed %d: %s\nand smaller: %s\n%v", i, *seed, why, tryAll(level, [][]byte{small}, generate)[0], Random(level, "small", small))
		return
	}
}

// tryAll says of each kernel why it fails, "" where it does not.
func tryAll(level *target.Level, all [][]byte, generate Generator) []string {
	why := make([]string, len(all))
	var ks []*Kernel
	var fs []*loop.Func
	for i, c := range all {
		ks = append(ks, Random(level, fmt.Sprintf("random_%d", i), c))
		fs = append(fs, ks[i].F)
	}
	entries, err := generate(fs)
	for i, k := range ks {
		own := entries
		if err != nil { // one of them is to blame: alone, each shows whether it is
			one, err := generate(fs[i : i+1])
			if err != nil {
				why[i] = err.Error()
				continue
			}
			own = one
		}
		why[i] = k.run(own)
	}
	return why
}

// run says why a kernel fails, "" where it does not.
func (k *Kernel) run(entries map[string]Entry) string {
	if err := loop.Verify(k.F); err != nil {
		return err.Error()
	}
	want, err := k.Expected()
	if err != nil {
		return err.Error()
	}
	return k.check(entries[k.F.Name], want)
}

// shrink drops choices as long as what is left fails: failing gives the first of several that does, or -1.
func shrink(choices []byte, failing func([][]byte) int) []byte {
	for size := len(choices) / 2; size > 0; {
		var smaller [][]byte
		for at := 0; at+size <= len(choices); at += size {
			smaller = append(smaller, slices.Delete(slices.Clone(choices), at, at+size))
		}
		i := failing(smaller)
		if i < 0 {
			size /= 2
			continue
		}
		choices = smaller[i]
		size = min(size, len(choices)/2)
	}
	return choices
}
