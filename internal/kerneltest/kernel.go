// Package kerneltest holds code generators against package loop's evaluator, kernel by kernel: a matrix of
// small kernels, of every operation in every type that it has, and random ones. Code and evaluator get the
// same memory and must leave the same in all of it.
package kerneltest

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// Kernel is a kernel with the memory and the numbers that it runs on.
type Kernel struct {
	F      *loop.Func
	Bufs   map[int][]byte // the contents of buffer parameters before it runs, by argument
	Ints   map[int]int64  // integer parameters, by argument
	Lo, Hi int64
	Parts  []Part // of what it writes
}

// Part is a run of elements of a buffer with a name, for messages, and with what counts as equal there.
type Part struct {
	Name       string
	Arg, At, N int
	Like       Like
}

// Like is what of two floats counts as equal beside equal bits.
type Like uint8

// The ways to compare. Which NaN arithmetic gives, and which zero the minimum of two, is not defined.
const (
	Exact Like = iota
	AnyNaN
	AnyNaNOrZero
)

// maker builds a kernel.
type maker struct {
	*loop.Builder
	k    *Kernel
	args int
}

func newKernel(level *target.Level, format string, a ...any) *maker {
	b := loop.NewFunc(fmt.Sprintf(format, a...), level)
	return &maker{Builder: b, k: &Kernel{F: b.F, Bufs: map[int][]byte{}, Ints: map[int]int64{}, Hi: 1}}
}

func (m *maker) arg() int { m.args++; return m.args - 1 }

// in adds a buffer that holds the elements given by their bits.
func (m *maker) in(d tensor.DType, bits []uint64) *loop.Buf {
	p := m.Param(fmt.Sprintf("x%d", m.args), d, m.args, false)
	m.k.Bufs[m.arg()] = pack(p.Elem, bits)
	return p
}

// out adds a buffer of n elements for results; each byte is one that is seldom a result.
func (m *maker) out(d tensor.DType, n int) *loop.Buf {
	p := m.Param(fmt.Sprintf("y%d", m.args), d, m.args, true)
	b := make([]byte, n*p.Elem.Size())
	for i := range b {
		b[i] = 0xa5
	}
	m.k.Bufs[m.arg()] = b
	return p
}

// int adds an integer parameter of value v.
func (m *maker) int(v int64) *loop.Value {
	p := m.IntParam(fmt.Sprintf("n%d", m.args), m.args)
	m.k.Ints[m.arg()] = v
	return p
}

// part names n elements of p from at on.
func (m *maker) part(p *loop.Buf, at, n int, like Like, format string, a ...any) {
	m.k.Parts = append(m.k.Parts, Part{fmt.Sprintf(format, a...), p.Arg, at, n, like})
}

// done gives the kernel as lowering would leave it.
func (m *maker) done() *Kernel {
	loop.Simplify(m.F)
	return m.k
}

// load reads n elements; those of a buffer of booleans become a predicate.
func (m *maker) load(p *loop.Buf, d tensor.DType, at *loop.Value, n int) *loop.Value {
	v := m.Load(p, at, n)
	if d == tensor.Bool {
		return m.Cmp(loop.NE, v, m.IntOf(v.Type, 0))
	}
	return v
}

// store writes v; a predicate becomes bytes of 0 and 1.
func (m *maker) store(p *loop.Buf, at, v *loop.Value) {
	if t := v.Type; t.Elem == tensor.Bool {
		u := loop.Vec(tensor.U8, t.Lanes)
		v = m.Select(v, m.IntOf(u, 1), m.IntOf(u, 0))
	}
	m.Store(p, at, v)
}

func pack(d tensor.DType, bits []uint64) []byte {
	var b []byte
	for _, v := range bits {
		b = append(b, binary.LittleEndian.AppendUint64(nil, v)[:d.Size()]...)
	}
	return b
}

func unpack(d tensor.DType, b []byte, i int) uint64 {
	var w [8]byte
	copy(w[:], b[i*d.Size():(i+1)*d.Size()])
	return binary.LittleEndian.Uint64(w[:])
}

// lengths are the lengths of vectors, the scalar first.
var lengths = []int{1, 2, 4, 8, 16, 32, 64}

// column is an operand of a lanewise kernel: elements of one type by their bits.
type column struct {
	d    tensor.DType
	bits []uint64
}

// lanewise makes a kernel that computes f of the elements of its operands, in vectors of each length.
func lanewise(level *target.Level, name string, in []column, out tensor.DType, like Like, f func(m *maker, x []*loop.Value) *loop.Value) *Kernel {
	m := newKernel(level, "%s", name)
	n := roundUp(len(in[0].bits))
	var xs []*loop.Buf
	for _, c := range in {
		xs = append(xs, m.in(c.d, pad(c.bits, n)))
	}
	y := m.out(out, n*len(lengths))
	m.k.Hi = int64(n / loop.MaxLanes)
	lo, hi := m.MulInt(m.F.Lo, loop.MaxLanes), m.MulInt(m.F.Hi, loop.MaxLanes)
	for z, lanes := range lengths {
		m.part(y, z*n, n, like, "%v", loop.Vec(out, lanes))
		m.Range(lo, hi, int64(lanes), func(i *loop.Value) {
			var args []*loop.Value
			for k, c := range in {
				args = append(args, m.load(xs[k], c.d, i, lanes))
			}
			m.store(y, m.AddInt(i, int64(z*n)), f(m, args))
		})
	}
	return m.done()
}

func roundUp(n int) int { return (n + loop.MaxLanes - 1) / loop.MaxLanes * loop.MaxLanes }

// pad repeats elements, or drops some, so that there are n.
func pad(bits []uint64, n int) []uint64 {
	out := slices.Clone(bits[:min(n, len(bits))])
	for len(out) < n {
		out = append(out, bits[len(out)%len(bits)])
	}
	return out
}

func (k *Kernel) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "lo %d hi %d", k.Lo, k.Hi)
	for i := range 64 {
		if v, ok := k.Ints[i]; ok {
			fmt.Fprintf(&b, " arg %d = %d", i, v)
		}
	}
	return b.String() + "\n" + k.F.String()
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
