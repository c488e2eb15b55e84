//go:build linux

package kerneltest

import (
	"fmt"
	"slices"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

func everyLevel(t *testing.T, test func(t *testing.T, l *target.Level)) {
	for _, a := range append(slices.Clone(target.Archs), target.Portable) {
		for _, l := range a.Levels {
			t.Run(l.Name, func(t *testing.T) { test(t, l) })
		}
	}
}

// tally counts the operations of a block, each with the element types of its results and operands.
func tally(b *loop.Block, n map[string]int) {
	for _, in := range b.Instrs {
		n[in.Op.String()]++
		for _, v := range append(slices.Clone(in.Results), in.Args...) {
			n[fmt.Sprintf("%v %v", in.Op, v.Type.Elem)]++
		}
		for _, sub := range in.Blocks {
			tally(sub, n)
		}
	}
}

// holdsAll wants every operation among kernels, but those that the level has not.
func holdsAll(t *testing.T, l *target.Level, ks []*Kernel) map[string]int {
	n := map[string]int{}
	for _, k := range ks {
		require.NoError(t, loop.Verify(k.F), "%v", k)
		_, err := k.Expected()
		require.NoError(t, err, "%v", k)
		tally(k.F.Body, n)
	}
	for op := loop.OpConst; op <= loop.OpIf; op++ {
		has := (op != loop.OpFMA || l.FMA) && (op != loop.OpDot2 || l.BF16)
		assert.Equal(t, has, n[op.String()] > 0, "%v", op)
	}
	return n
}

func TestMatrixIsComplete(t *testing.T) {
	everyLevel(t, func(t *testing.T, l *target.Level) {
		n := holdsAll(t, l, Matrix(l))
		for _, a := range arithmetic {
			for _, d := range a.types {
				assert.True(t, n[fmt.Sprintf("%v %v", a.op, d)] > 0 || a.op == loop.OpFMA && !l.FMA, "%v of %v", a.op, d)
			}
		}
		for _, d := range all {
			for _, op := range []loop.Op{loop.OpConst, loop.OpSelect, loop.OpShuffle, loop.OpBroadcast, loop.OpExtract, loop.OpFor, loop.OpIf} {
				assert.Positive(t, n[fmt.Sprintf("%v %v", op, d)], "%v of %v", op, d)
			}
		}
		for _, d := range stored {
			for _, op := range []loop.Op{loop.OpLoad, loop.OpStore, loop.OpLoadMask, loop.OpStoreMask, loop.OpGather, loop.OpBitcast} {
				assert.Positive(t, n[fmt.Sprintf("%v %v", op, d)], "%v of %v", op, d)
			}
		}
	})
}

func TestRandomKernelsAreValid(t *testing.T) {
	everyLevel(t, func(t *testing.T, l *target.Level) {
		holdsAll(t, l, RandomKernels(l, 150, 3))
	})
}

// TestWrongCodeIsSeen: code that leaves memory as it is, writes one bit wrong, or writes beside a buffer.
func TestWrongCodeIsSeen(t *testing.T) {
	m := newKernel(target.Portable.Levels[0], "copy")
	x, y := m.in(tensor.F32, []uint64{1, 0x7fc00000}), m.out(tensor.F32, 2)
	m.Store(y, m.Int(0), m.Load(x, m.Int(0), 2))
	k := m.done()
	want, err := k.Expected()
	require.NoError(t, err)
	write := func(at int, v uint32) func(args *int64) {
		return func(args *int64) {
			words := unsafe.Slice(args, 2)
			*(*uint32)(unsafe.Add(*(*unsafe.Pointer)(unsafe.Pointer(&words[1])), 4*at)) = v
		}
	}
	for name, c := range map[string]struct {
		writes []func(*int64)
		want   string
	}{
		"right":      {[]func(*int64){write(0, 1), write(1, 0x7fc00000)}, ""},
		"nothing":    {nil, "2 of 2 elements differ"},
		"wrong bit":  {[]func(*int64){write(0, 3), write(1, 0x7fc00000)}, "1 of 2 elements differ"},
		"wrong NaN":  {[]func(*int64){write(0, 1), write(1, 0x7fc00001)}, "y1[1] (memory, element 1): got 0x7fc00001 (NaN), want 0x7fc00000 (NaN)"},
		"beside":     {[]func(*int64){write(0, 1), write(1, 0x7fc00000), write(-1, 1)}, "beside the buffers of arguments [1]"},
		"in operand": {[]func(*int64){write(0, 1), write(1, 0x7fc00000), func(args *int64) { write(0, 2)((*int64)(unsafe.Add(unsafe.Pointer(args), -8))) }}, "x0[0]"},
	} {
		got := k.check(func(args *int64, _, _ int64) {
			for _, w := range c.writes {
				w(args)
			}
		}, want)
		if c.want == "" {
			require.Empty(t, got, name)
		}
		require.Contains(t, got, c.want, name)
	}
}

// TestShrink drops all choices but those that make code fail.
func TestShrink(t *testing.T) {
	fails := func(cs [][]byte) int {
		return slices.IndexFunc(cs, func(c []byte) bool { return slices.Contains(c, 7) && slices.Contains(c, 9) })
	}
	require.Equal(t, []byte{9, 7}, shrink([]byte{1, 2, 9, 3, 4, 4, 4, 5, 7, 8, 1}, fails))
}
