package opt_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/ir/loop/opt"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// optimized gives the kernel of a text, optimised.
func optimized(t *testing.T, src string) *loop.Func {
	t.Helper()
	fs, err := loop.Parse(src)
	require.NoError(t, err)
	require.NoError(t, loop.Verify(fs[0]))
	opt.Optimize(fs[0], &opt.Target{VecBytes: 32, Registers: 16})
	require.NoError(t, loop.Verify(fs[0]), "%v", fs[0])
	return fs[0]
}

// optimizations are kernels before and after.
var optimizations = []struct{ name, before, after string }{
	{"addresses grow by themselves, and the loop counts in one of them", `
kernel k (b0 f32 arg 0, b1 f32 arg 1, b2 f32 arg 2 write, %s arg 3) range %lo %hi {
  %0 i64 = const 0
  %1 i64 = const 1
  %8 i64 = const 8
  %z f32x8 = const 0
  for %lo %hi step 1 (%i i64) {
    %r f32x8 = for %0 %8 %z step 4 (%k i64, %a f32x8) {
      %row i64 = mul %i %s
      %k8 i64 = mul %k %8
      %x i64 = add %row %k
      %f f32 = load b0 %x
      %v f32x8 = broadcast %f
      %w f32x8 = load b1 %k8
      %a1 f32x8 = fma %v %w %a
      %k1 i64 = add %k %1
      %x1 i64 = add %k1 %row
      %f1 f32 = load b0 %x1
      %v1 f32x8 = broadcast %f1
      %k18 i64 = mul %k1 %8
      %w1 f32x8 = load b1 %k18
      %a2 f32x8 = fma %v1 %w1 %a1
      yield %a2
    }
    %to i64 = mul %i %8
    store b2 %to %r
    yield
  }
}`, `
kernel k (b0 f32 arg 0, b1 f32 arg 1, b2 f32 arg 2 write, %0 arg 3) range %1 %2 {
  %3 i64 = const 0x0
  %4 i64 = const 0x1
  %5 i64 = const 0x8
  %6 f32x8 = const 0x0
  %7 i64 = const 0x4
  %8 i64 = const 0x40
  for %1 %2 step 1 (%9 i64) {
    %10 i64 = mul %9 %0
    %14 f32x8, %15 i64 = for %3 %8 %6 %10 step 32 (%11 i64, %12 f32x8, %13 i64) {
      %16 f32 = load b0 %13
      %17 f32x8 = broadcast %16
      %18 f32x8 = load b1 %11
      %19 f32x8 = fma %17 %18 %12
      %20 i64 = add %13 %4
      %21 f32 = load b0 %20
      %22 f32x8 = broadcast %21
      %23 i64 = add %11 %5
      %24 f32x8 = load b1 %23
      %25 f32x8 = fma %22 %24 %19
      %26 i64 = add %13 %7
      yield %25 %26
    }
    %27 i64 = mul %9 %5
    store b2 %27 %14
    yield
  }
}
`},
	{"what does not change leaves inner loops, loads if they run", `
kernel k (b0 f32 arg 0, b1 f32 arg 1 write, %n arg 2) range %lo %hi {
  %0 i64 = const 0
  %8 i64 = const 8
  %64 i64 = const 64
  %c f32 = const 0x3f800000
  for %lo %hi step 1 (%i i64) {
    for %0 %n step 8 (%j i64) {
      %s f32 = load b0 %i
      %v f32x8 = broadcast %s
      %one f32x8 = broadcast %c
      %x f32x8 = load b1 %j
      %y f32x8 = fma %x %v %one
      store b1 %j %y
      yield
    }
    for %0 %64 step 8 (%j1 i64) {
      %s1 f32 = load b0 %8
      %v1 f32x8 = broadcast %s1
      %x1 f32x8 = load b1 %j1
      %y1 f32x8 = mul %x1 %v1
      store b1 %j1 %y1
      yield
    }
    yield
  }
}`, `
kernel k (b0 f32 arg 0, b1 f32 arg 1 write, %0 arg 2) range %1 %2 {
  %3 i64 = const 0x0
  %4 i64 = const 0x8
  %5 i64 = const 0x40
  %6 f32x8 = const 0x3f800000
  %7 f32 = const 0x0
  %8 bool = cmp lt %3 %0
  for %1 %2 step 1 (%9 i64) {
    %10 f32 = if %8 {
      %11 f32 = load b0 %9
      yield %11
    } else {
      yield %7
    }
    %12 f32x8 = broadcast %10
    for %3 %0 step 8 (%13 i64) {
      %14 f32x8 = load b1 %13
      %15 f32x8 = fma %14 %12 %6
      store b1 %13 %15
      yield
    }
    %16 f32 = load b0 %4
    %17 f32x8 = broadcast %16
    for %3 %5 step 8 (%18 i64) {
      %19 f32x8 = load b1 %18
      %20 f32x8 = mul %19 %17
      store b1 %18 %20
      yield
    }
    yield
  }
}
`},
	{"quotients are shifts, remainders use them, and no load is repeated", `
kernel k (b0 i64 arg 0, b1 i64 arg 1 write, %n arg 2) range %lo %hi {
  %8 i64 = const 8
  for %lo %hi step 1 (%i i64) {
    %a i64 = rem %i %8
    %b i64 = div %i %8
    %c i64 = rem %b %n
    %d i64 = div %b %n
    %x i64 = load b0 %a
    %y i64 = load b0 %c
    store b1 %d %x
    %z i64 = load b0 %c
    %w i64 = load b1 %d
    %u i64 = add %y %z
    %v i64 = add %u %w
    store b1 %i %v
    yield
  }
}`, `
kernel k (b0 i64 arg 0, b1 i64 arg 1 write, %0 arg 2) range %1 %2 {
  %3 i64 = const 0x7
  %4 i64 = const 0x3
  for %1 %2 step 1 (%5 i64) {
    %6 i64 = and %5 %3
    %7 i64 = shr %5 %4
    %8 i64 = div %7 %0
    %9 i64 = mul %8 %0
    %10 i64 = sub %7 %9
    %11 i64 = load b0 %6
    %12 i64 = load b0 %10
    store b1 %8 %11
    %13 i64 = load b1 %8
    %14 i64 = add %12 %12
    %15 i64 = add %14 %13
    store b1 %5 %15
    yield
  }
}
`},
	{"a choice between equals is none", `
kernel k (x f32 arg 0, y f32 arg 1 write) range %lo %hi {
  %0 f32 = load x %lo
  %1 bool = cmp lt %0 %0
  %2 bool = or %1 %1
  %3 f32 = select %2 %0 %0
  store y %lo %3
}`, `
kernel k (x f32 arg 0, y f32 arg 1 write) range %0 %1 {
  %2 f32 = load x %0
  store y %0 %2
}
`},
}

func TestOptimize(t *testing.T) {
	for _, o := range optimizations {
		t.Run(o.name, func(t *testing.T) {
			require.Equal(t, o.after[1:], optimized(t, o.before).String())
		})
	}
}

// TestOptimizeRandom holds kernels made at random, of index arithmetic in loops and conditionals, against themselves.
func TestOptimizeRandom(t *testing.T) {
	for seed := range uint64(400) {
		g := &generator{rng: rand.New(rand.NewPCG(seed, 1)), b: loop.NewFunc("k", &target.Level{FMA: true}), bits: map[*loop.Value]int{}}
		g.kernel()
		require.NoError(t, loop.Verify(g.b.F))
		f := loop.Clone(g.b.F)
		opt.Optimize(f, &opt.Target{VecBytes: 16, Registers: 16})
		require.NoError(t, loop.Verify(f), "%v", f)
		m := memory{0: numbers(g.rng, tensor.F32, 256, 4, false), 1: numbers(g.rng, tensor.I64, 256, 0, false), 2: make([]byte, 4*256), 3: make([]byte, 8*256)}
		sameResults(t, g.b.F, f, m, map[int]int64{4: int64(g.rng.IntN(9)), 5: int64(g.rng.IntN(5) - 2)}, 0, int64(g.rng.IntN(5)))
	}
}

// generator makes kernels that read b0 and b1, and read and write b2 and b3.
type generator struct {
	rng    *rand.Rand
	b      *loop.Builder
	floats [2]*loop.Buf
	ints   [2]*loop.Buf
	index  []*loop.Value // that are in scope
	bits   map[*loop.Value]int
}

func (g *generator) kernel() {
	g.floats = [2]*loop.Buf{g.b.Param("b0", tensor.F32, 0, false), g.b.Param("b2", tensor.F32, 2, true)}
	g.ints = [2]*loop.Buf{g.b.Param("b1", tensor.I64, 1, false), g.b.Param("b3", tensor.I64, 3, true)}
	g.index = []*loop.Value{g.b.IntParam("n", 4), g.b.IntParam("m", 5)}
	g.b.Parallel(func(i *loop.Value) {
		g.index = append(g.index, i)
		for _, v := range g.index {
			g.bits[v] = 4
		}
		g.block(3)
	})
}

func (g *generator) pick() *loop.Value { return g.index[g.rng.IntN(len(g.index))] }

// expr adds an index to those in scope.
func (g *generator) expr() *loop.Value {
	x, y := g.pick(), g.pick()
	k := g.b.Int([]int64{1, 2, 3, 8, 16, -1, 5, 40}[g.rng.IntN(8)])
	var v *loop.Value
	switch g.rng.IntN(9) {
	case 0, 1:
		v = g.b.Add(x, y)
	case 2:
		v = g.b.Sub(x, y)
	case 3:
		v = g.b.Add(k, x)
	case 4, 5, 6:
		if y = g.small(y); g.rng.IntN(2) == 0 {
			y = k
		}
		v = g.b.Mul(g.small(x), y)
		g.bits[v] = g.width(x) + g.width(y) + 6
		g.index = append(g.index, v)
		return v
	case 7:
		v = g.b.Div(x, g.b.Int([]int64{1, 2, 3, 8, 64}[g.rng.IntN(5)]))
		if g.rng.IntN(2) == 0 {
			v = g.b.Rem(x, g.b.Add(g.b.And(y, g.b.Int(7)), g.b.Int(1)))
		}
	case 8:
		v = g.b.Select(g.b.Cmp(loop.LT, x, y), x, y)
	}
	g.bits[v] = max(g.width(x), g.width(y)) + 1
	g.index = append(g.index, v)
	return v
}

// width bounds the bits of an index; what memory, loops and conditionals give may have all.
func (g *generator) width(x *loop.Value) int {
	if n, ok := g.bits[x]; ok {
		return n
	}
	if _, ok := g.b.ConstInt(x); ok {
		return 6
	}
	return 64
}

// small is x, or some of its bits if it is large: indices do not overflow.
func (g *generator) small(x *loop.Value) *loop.Value {
	if g.width(x) < 20 {
		return x
	}
	v := g.b.And(x, g.b.Int(0xfff))
	g.bits[v] = 12
	return v
}

// place is an index inside of the buffers, four elements before their end: what it adds after masking is for addresses to take apart.
func (g *generator) place() *loop.Value {
	v := g.b.And(g.expr(), g.b.Int(63))
	for range g.rng.IntN(3) {
		v = g.b.Add(v, g.b.Int(int64(g.rng.IntN(20))))
	}
	if g.rng.IntN(3) == 0 {
		v = g.b.Add(v, g.b.And(g.pick(), g.b.Int(31)))
	}
	return v
}

// block makes some statements, with as many levels of regions inside as depth says.
func (g *generator) block(depth int) {
	scope := len(g.index)
	for range 2 + g.rng.IntN(5) {
		switch g.rng.IntN(6) {
		case 0:
			g.index = append(g.index, g.b.Load(g.ints[g.rng.IntN(2)], g.place(), 1))
		case 1:
			g.b.Store(g.ints[1], g.place(), g.expr())
		case 2:
			x := g.b.Load(g.floats[g.rng.IntN(2)], g.place(), 4)
			y := g.b.Broadcast(g.b.Load(g.floats[0], g.place(), 1), 4)
			g.b.Store(g.floats[1], g.place(), g.b.Add(x, y))
		case 3, 4:
			if depth > 0 {
				g.loop(depth)
			}
		case 5:
			if depth > 0 {
				r := g.b.If(g.b.Cmp(loop.GT, g.pick(), g.pick()), func() []*loop.Value { return g.side(depth) }, func() []*loop.Value { return g.side(depth) })
				g.index = append(g.index, r...)
			}
		}
	}
	g.index = g.index[:scope]
}

func (g *generator) side(depth int) []*loop.Value {
	g.block(depth - 1)
	return []*loop.Value{g.pick()}
}

// loop runs over a few numbers, which may be far from 0.
func (g *generator) loop(depth int) {
	lo := g.pick()
	hi := g.b.Add(lo, g.b.Int(int64(g.rng.IntN(6))))
	if g.rng.IntN(2) == 0 {
		lo, hi = g.b.Int(0), g.b.Int(int64(g.rng.IntN(8)))
	}
	r := g.b.For(lo, hi, int64(1+g.rng.IntN(3)), []*loop.Value{g.pick()}, func(i *loop.Value, c []*loop.Value) []*loop.Value {
		scope := len(g.index)
		g.bits[i] = g.width(lo) + 4
		g.index = append(g.index, i, c[0])
		g.block(depth - 1)
		next := g.expr()
		g.index = g.index[:scope]
		return []*loop.Value{next}
	})
	g.index = append(g.index, r...)
}
