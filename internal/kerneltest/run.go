//go:build linux

package kerneltest

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/abi"
	"github.com/nnc-go/nnc/target"
)

// Entry runs a kernel's code.
type Entry func(args *int64, lo, hi int64)

// Generator compiles kernels, all at once, and gives their code by the names of the kernels.
type Generator func(fs []*loop.Func) (map[string]Entry, error)

// Run has a generator compile kernels and holds the code of each against the evaluator, a subtest per kernel.
func Run(t *testing.T, ks []*Kernel, generate Generator) {
	var fs []*loop.Func
	want := make([]map[int][]byte, len(ks))
	seen := map[string]bool{}
	for i, k := range ks {
		require.False(t, seen[k.F.Name], "two kernels %s", k.F.Name)
		seen[k.F.Name] = true
		require.NoError(t, loop.Verify(k.F))
		var err error
		want[i], err = k.Expected()
		require.NoError(t, err, "%v", k)
		fs = append(fs, k.F)
	}
	entries, err := generate(fs)
	require.NoError(t, err)
	for i, k := range ks {
		t.Run(k.F.Name, func(t *testing.T) {
			e := entries[k.F.Name]
			require.NotNil(t, e, "no code")
			if why := k.check(e, want[i]); why != "" {
				t.Errorf("%s\n%v", why, k)
			}
		})
	}
}

// check runs code and says what differs from what is expected, "" where nothing does. Buffers stand once at
// the ends of pages and once at their beginnings, next to pages that must not be touched.
func (k *Kernel) check(e Entry, want map[int][]byte) string {
	for _, atEnd := range []bool{true, false} {
		m, err := newMemory(k, atEnd)
		if err != nil {
			return err.Error()
		}
		e(&m.args[0], k.Lo, k.Hi)
		why := k.Differ(m.bufs, want)
		if args := m.touched(); len(args) > 0 {
			why = fmt.Sprintf("the kernel writes beside the buffers of arguments %v", args)
		}
		runtime.KeepAlive(m)
		if err := m.close(); why == "" && err != nil {
			why = err.Error()
		}
		if why != "" {
			return why
		}
	}
	return ""
}

// EachLevel runs a test on the levels of this machine's architecture that it has and that has holds for.
func EachLevel(t *testing.T, has func(l *target.Level) bool, test func(t *testing.T, arch *target.Arch, level *target.Level)) {
	arch, err := target.ArchByName(runtime.GOARCH)
	require.NoError(t, err)
	for _, level := range arch.Levels {
		if !has(level) {
			continue
		}
		t.Run(level.Name, func(t *testing.T) {
			if !abi.HasFeatures(level.CPUID) {
				t.Skipf("the processor has not all of %v", level.CPUID)
			}
			test(t, arch, level)
		})
	}
}
