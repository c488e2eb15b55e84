//go:build linux

package kerneltest

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
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
		want[i], err = k.expected()
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

// expected is what memory holds after the kernel, by the evaluator.
func (k *Kernel) expected() (map[int][]byte, error) {
	bufs := map[int][]byte{}
	for i, b := range k.Bufs {
		bufs[i] = slices.Clone(b)
	}
	return bufs, loop.Eval(k.F, bufs, k.Ints, k.Lo, k.Hi)
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
		why := m.compare(k, want)
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

// compare looks for differences in all memory.
func (m *fenced) compare(k *Kernel, want map[int][]byte) string {
	if args := m.touched(); len(args) > 0 {
		return fmt.Sprintf("the kernel writes beside the buffers of arguments %v", args)
	}
	for _, i := range slices.Sorted(maps.Keys(want)) {
		b := k.buf(i)
		parts := append(slices.Clone(k.Parts), Part{Name: "memory", Arg: i, N: len(want[i]) / b.Elem.Size()})
		for _, p := range parts {
			if p.Arg != i {
				continue
			}
			p.Like = max(p.Like, k.likeAt(p))
			if why := p.compare(b, m.bufs[i], want[i]); why != "" {
				return why
			}
		}
	}
	return ""
}

// likeAt is how to compare a buffer as a whole: as its parts are.
func (k *Kernel) likeAt(p Part) (like Like) {
	for _, q := range k.Parts {
		if q.Arg == p.Arg {
			like = max(like, q.Like)
		}
	}
	return like
}

func (k *Kernel) buf(arg int) *loop.Buf {
	return k.F.Bufs[slices.IndexFunc(k.F.Bufs, func(b *loop.Buf) bool { return b.Arg == arg })]
}

func (p Part) compare(b *loop.Buf, got, want []byte) string {
	s, bad := "", 0
	for i := p.At; i < p.At+p.N; i++ {
		g, w := unpack(b.Elem, got, i), unpack(b.Elem, want, i)
		if same(b.Elem, p.Like, g, w) {
			continue
		}
		if bad++; bad <= 4 {
			s += fmt.Sprintf("\n%s[%d] (%s, element %d): got %s, want %s", b.Name, i, p.Name, i-p.At, text(b.Elem, g), text(b.Elem, w))
		}
	}
	if bad == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d elements differ:%s", bad, p.N, s)
}

func text(d tensor.DType, bits uint64) string {
	if d.IsFloat() {
		return fmt.Sprintf("%#x (%g)", bits, toFloat(d, bits))
	}
	return fmt.Sprintf("%#x", bits)
}

func same(d tensor.DType, like Like, g, w uint64) bool {
	if g == w || like == Exact || !d.IsFloat() {
		return g == w
	}
	x, y := toFloat(d, g), toFloat(d, w)
	return x != x && y != y || like == AnyNaNOrZero && x == 0 && y == 0
}
