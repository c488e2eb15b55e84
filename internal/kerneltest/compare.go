package kerneltest

import (
	"fmt"
	"maps"
	"slices"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Expected is what memory holds after the kernel, by the evaluator.
func (k *Kernel) Expected() (map[int][]byte, error) {
	bufs := map[int][]byte{}
	for i, b := range k.Bufs {
		bufs[i] = slices.Clone(b)
	}
	return bufs, loop.Eval(k.F, bufs, k.Ints, k.Lo, k.Hi)
}

// Differ says what differs between the buffers after a run and what they should hold, "" where nothing does.
func (k *Kernel) Differ(got, want map[int][]byte) string {
	for _, i := range slices.Sorted(maps.Keys(want)) {
		b := k.buf(i)
		parts := append(slices.Clone(k.Parts), Part{Name: "memory", Arg: i, N: len(want[i]) / b.Elem.Size()})
		for _, p := range parts {
			if p.Arg != i {
				continue
			}
			p.Like = max(p.Like, k.likeAt(p))
			if why := p.compare(b, got[i], want[i]); why != "" {
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
