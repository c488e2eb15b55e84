package purego

import (
	"bytes"
	"encoding/binary"
	"go/format"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

const (
	elems  = 512 // of every buffer
	number = 5   // every integer parameter
	lo, hi = 1, 4
)

// compile makes a program of kernels in a folder of the test, for a system and architecture, and checks it by vet.
func compile(t *testing.T, fs []*loop.Func, env ...string) string {
	dir := t.TempDir()
	src, err := render("main", "", fs)
	require.NoError(t, err)
	pretty, err := format.Source(src)
	require.NoError(t, err)
	require.Equal(t, string(pretty), string(src), "not as gofmt has it")
	program, err := os.ReadFile("testdata/run.go.txt")
	require.NoError(t, err)
	for name, data := range map[string][]byte{"go.mod": []byte("module kernels\n\ngo 1.24\n"), "kernels_purego.go": src, "main.go": program} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
	exe := filepath.Join(dir, "kernels")
	for _, args := range [][]string{{"build", "-o", exe, "."}, {"vet", "."}} {
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Env = dir, append(append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=mod", "GOWORK=off"), env...)
		msg, err := cmd.CombinedOutput()
		require.NoError(t, err, "go %v: %s", args, msg)
	}
	return exe
}

// call is a run of a kernel: its argument words, of buffers the bytes.
type call struct {
	bufs map[int][]byte
	ints map[int]int64
	n    int
}

// kernels are those of the matrix and of testdata.
func kernels(t *testing.T) []*loop.Func {
	fs, err := loop.Parse(matrix())
	require.NoError(t, err)
	text, err := os.ReadFile("testdata/kernels.loop")
	require.NoError(t, err)
	more, err := loop.Parse(string(text))
	require.NoError(t, err)
	for _, f := range append(fs, more...) {
		require.NoError(t, loop.Verify(f))
	}
	return append(fs, more...)
}

func newCall(r *rand.Rand, f *loop.Func) call {
	c := call{bufs: map[int][]byte{}, ints: map[int]int64{}}
	for _, b := range f.Bufs {
		if b.Arg >= 0 {
			c.bufs[b.Arg] = fill(r, f, b.Elem)
			c.n = max(c.n, b.Arg+1)
		}
	}
	for _, a := range f.IntArgs {
		c.ints[a] = number
		c.n = max(c.n, a+1)
	}
	return c
}

// fill makes elements with the awkward ones among them; where floats become integers, those that fit.
func fill(r *rand.Rand, f *loop.Func, d tensor.DType) []byte {
	b := make([]byte, elems*d.Size())
	for i := range b {
		b[i] = byte(r.Uint32())
		if r.IntN(4) == 0 {
			b[i] = []byte{0, 1, 0x7f, 0x80, 0xff}[r.IntN(5)]
		}
	}
	if d != tensor.F32 && d != tensor.F64 {
		return b
	}
	special := []float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), 1e38, -3e9, 2147483648, 0.5, -2.5, 1e-40, 5e-324}
	to := f.Bufs[len(f.Bufs)-1].Elem
	for i := range elems {
		v := math.Ldexp(r.Float64()-0.5, r.IntN(60)-30)
		switch {
		case strings.HasPrefix(f.Name, "m_convert") && to.IsInt():
			v = r.Float64() * math.Ldexp(0.999, r.IntN(to.Bits()))
			if to.Class() == tensor.ClassInt {
				v *= float64(1 - 2*r.IntN(2))
			} else if r.IntN(2) == 0 {
				v *= 2
			}
		case r.IntN(4) == 0:
			v = special[r.IntN(len(special))]
		case r.IntN(8) == 0: // any bits
			continue
		}
		if d == tensor.F32 {
			binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(float32(v)))
		} else {
			binary.LittleEndian.PutUint64(b[8*i:], math.Float64bits(v))
		}
	}
	return b
}

func (c *call) encode(b *bytes.Buffer, kernel int) {
	word := func(n int64) { binary.Write(b, binary.LittleEndian, n) }
	word(int64(kernel))
	word(lo)
	word(hi)
	word(int64(c.n))
	for i := range c.n {
		if m, ok := c.bufs[i]; ok {
			word(math.MinInt64 | int64(len(m)))
			b.Write(m)
			b.Write(make([]byte, -len(m)&7))
			continue
		}
		word(c.ints[i])
	}
}

// TestKernels holds every operation, on every element type, as scalars and as vectors, and kernels that are
// hard to write, against package loop's evaluator, bit for bit (NaNs are all the same).
func TestKernels(t *testing.T) { hold(t, nil) }

// TestElsewhere is TestKernels where Go fuses products and sums (arm64, riscv64) and where words have 32 bits (386), as
// far as there is an emulator.
func TestElsewhere(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles for three architectures")
	}
	for _, p := range []struct{ arch, emulator string }{{"386", ""}, {"arm64", "qemu-aarch64"}, {"riscv64", "qemu-riscv64"}} {
		t.Run(p.arch, func(t *testing.T) {
			var emulator []string
			if p.emulator == "" && (runtime.GOOS != "linux" || runtime.GOARCH != "amd64") {
				t.Skip("runs on linux/amd64 alone")
			}
			if p.emulator != "" {
				path, err := exec.LookPath(p.emulator)
				if err != nil {
					t.Skip(err)
				}
				emulator = []string{path}
			}
			hold(t, emulator, "GOOS=linux", "GOARCH="+p.arch)
		})
	}
}

// hold runs all kernels, by an emulator where there is one.
func hold(t *testing.T, emulator []string, env ...string) {
	fs := kernels(t)
	r := rand.New(rand.NewPCG(1, 2))
	var in bytes.Buffer
	calls := make([]call, len(fs))
	for i, f := range fs {
		calls[i] = newCall(r, f)
		calls[i].encode(&in, i)
	}
	args := append(emulator, compile(t, fs, env...))
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	for i, f := range fs {
		c := calls[i]
		require.NoError(t, loop.Eval(f, c.bufs, c.ints, lo, hi), f.Name)
		for a := range c.n {
			size := len(c.bufs[a])
			got := out[:size]
			out = out[(size+7)&^7:]
			j := slices.IndexFunc(f.Bufs, func(b *loop.Buf) bool { return b.Arg == a })
			if j >= 0 {
				assert.Empty(t, differ(f.Bufs[j].Elem, got, c.bufs[a]), "%s: %s\n%v", f.Name, f.Bufs[j].Name, f)
			}
		}
		if t.Failed() {
			return
		}
	}
}

// differ lists the first elements that are not the same.
func differ(d tensor.DType, got, want []byte) (why []any) {
	g, w := &tensor.Tensor{DType: d, Data: got}, &tensor.Tensor{DType: d, Data: want}
	s := d.Size()
	for i := range len(want) / s {
		if bytes.Equal(got[i*s:(i+1)*s], want[i*s:(i+1)*s]) || d.IsFloat() && g.At(int64(i)) != g.At(int64(i)) && w.At(int64(i)) != w.At(int64(i)) {
			continue
		}
		if why = append(why, i, g.At(int64(i)), w.At(int64(i))); len(why) > 12 {
			break
		}
	}
	return why
}

// TestEveryOperationIsRendered: a new operation of package loop cannot be forgotten.
func TestEveryOperationIsRendered(t *testing.T) {
	for op := loop.OpConst; op < loop.OpFor; op++ {
		require.True(t, op.Writes() || table[op] != nil, "%v", op)
	}
}

func TestRefuses(t *testing.T) {
	for want, text := range map[string]string{
		"type c64":   "kernel k (x c64 arg 0 write) range %0 %1 {\n%2 c64 = load x %0\nstore x %1 %2\n}",
		"identifier": "kernel a-b (x f16 arg 0 write) range %0 %1 {\n}",
	} {
		fs, err := loop.Parse(text)
		require.NoError(t, err)
		_, err = Render("main", "", fs)
		require.ErrorContains(t, err, want)
	}
}
