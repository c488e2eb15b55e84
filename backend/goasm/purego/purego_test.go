package purego

import (
	"bytes"
	"encoding/binary"
	"go/format"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/internal/kerneltest"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
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

// kernels are those of the matrix and of testdata, and random ones.
func kernels(t *testing.T) (ks []*kerneltest.Kernel) {
	fs, err := loop.Parse(matrix())
	require.NoError(t, err)
	text, err := os.ReadFile("testdata/kernels.loop")
	require.NoError(t, err)
	more, err := loop.Parse(string(text))
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(1, 2))
	for _, f := range append(fs, more...) {
		require.NoError(t, loop.Verify(f))
		ks = append(ks, filled(r, f))
	}
	return append(ks, kerneltest.RandomKernels(target.Portable.Levels[0], 60, 1)...)
}

// filled is a kernel with memory to run on.
func filled(r *rand.Rand, f *loop.Func) *kerneltest.Kernel {
	k := &kerneltest.Kernel{F: f, Bufs: map[int][]byte{}, Ints: map[int]int64{}, Lo: lo, Hi: hi}
	for _, b := range f.Bufs {
		if b.Arg >= 0 {
			k.Bufs[b.Arg] = fill(r, f, b.Elem)
			k.Parts = append(k.Parts, kerneltest.Part{Name: "all", Arg: b.Arg, N: elems, Like: kerneltest.AnyNaN})
		}
	}
	for _, a := range f.IntArgs {
		k.Ints[a] = number
	}
	return k
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

// encode writes a run of kernel number i as testdata/run.go.txt reads it.
func encode(b *bytes.Buffer, i int, k *kerneltest.Kernel) {
	word := func(n int64) { binary.Write(b, binary.LittleEndian, n) }
	n := len(k.Bufs) + len(k.Ints)
	for _, w := range []int64{int64(i), k.Lo, k.Hi, int64(n)} {
		word(w)
	}
	for a := range n {
		if m, ok := k.Bufs[a]; ok {
			word(int64(len(m)))
			b.Write(m)
			b.Write(make([]byte, -len(m)&7))
			continue
		}
		word(-1)
		word(k.Ints[a])
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
	ks := kernels(t)
	var fs []*loop.Func
	var in bytes.Buffer
	for i, k := range ks {
		fs = append(fs, k.F)
		encode(&in, i, k)
	}
	args := append(emulator, compile(t, fs, env...))
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	for _, k := range ks {
		want, err := k.Expected()
		require.NoError(t, err, k.F.Name)
		got := map[int][]byte{}
		for _, a := range slices.Sorted(maps.Keys(k.Bufs)) {
			size := len(k.Bufs[a])
			got[a], out = out[:size], out[(size+7)&^7:]
		}
		if why := k.Differ(got, want); why != "" {
			t.Fatalf("%s: %s\n%v", k.F.Name, why, k)
		}
	}
}

// TestEveryOperationIsRendered: a new operation of package loop cannot be forgotten. Dot2 is built for levels that
// multiply bf16 alone.
func TestEveryOperationIsRendered(t *testing.T) {
	for op := loop.OpConst; op < loop.OpFor; op++ {
		require.True(t, op.Effect() || op == loop.OpDot2 || table[op] != nil, "%v", op)
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
