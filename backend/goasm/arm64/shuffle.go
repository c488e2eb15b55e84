package arm64

import (
	"slices"

	"github.com/nnc-go/nnc/backend/goasm/mach"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// extractRule takes one lane out of a vector.
func extractRule(s *sel, in *loop.Instr) {
	s.extract(in, in.Args[0], int(in.Imm))
}

func (s *sel) extract(in *loop.Instr, v *loop.Value, i int) {
	t := v.Type
	x := s.Reg(v)
	switch {
	case t.Lanes == 1:
		s.give(in, x)
	case t.Elem == tensor.Bool:
		g := s.general()
		s.neon("umov", shape{logOf(s.WidthOf(v)), 1}, i, g, x)
		s.give(in, s.general2("AND", g, mach.Imm(1)))
	case !isFloat(t):
		s.neon("umov", shape{logOf(t.Elem.Size()), 1}, i, s.result(in), x)
	case i == 0:
		s.give(in, x)
	default:
		s.neon("dup scalar", shape{logOf(t.Elem.Size()), 1}, i, s.result(in), x)
	}
}

// shuffleRule picks lanes out of two vectors.
func shuffleRule(s *sel, in *loop.Instr) {
	a, b := in.Args[0], in.Args[1]
	n := a.Type.Lanes
	switch {
	case len(in.Lanes) == 1 && in.Lanes[0] < n:
		s.extract(in, a, in.Lanes[0])
	case len(in.Lanes) == 1:
		s.extract(in, b, in.Lanes[0]-n)
	case a.Type.Elem != tensor.Bool:
		s.give(in, s.pick(lanes{s.Reg(a), s.Reg(b), n, a.Type.Elem.Size(), in.Lanes}))
	default:
		w := s.Common(a, b)
		for len(in.Lanes)*w > s.Level.VecBytes {
			w /= 2
		}
		s.SetMask(in, s.pick(lanes{s.mask(a, w), s.mask(b, w), n, w, in.Lanes}), w)
	}
}

// lanes are the lanes of a vector out of the concatenation of a and b, which have n lanes of size bytes.
type lanes struct {
	a, b    mach.Reg
	n, size int
	from    []int
}

// are reports whether the lanes are those of a function.
func (l lanes) are(f func(i int) int) bool {
	for i, x := range l.from {
		if x != f(i) {
			return false
		}
	}
	return true
}

// shape is that of the result.
func (l lanes) shape() shape { return shapeOf(len(l.from), l.size) }

// pick selects the lanes by the first way that can.
func (s *sel) pick(l lanes) mach.Reg {
	switch first, last := slices.Min(l.from), slices.Max(l.from); {
	case first >= l.n:
		l = l.of(l.b)
	case last < l.n || l.a == l.b:
		l = l.of(l.a)
	}
	l = l.coarse()
	for _, way := range []func(s *sel, l lanes) mach.Reg{pickRun, pickSplat, pickZip, pickReverse} {
		if r := way(s, l); r != 0 {
			return r
		}
	}
	return pickTable(s, l)
}

// of takes all lanes from x.
func (l lanes) of(x mach.Reg) lanes {
	from := make([]int, len(l.from))
	for i, k := range l.from {
		from[i] = k % l.n
	}
	return lanes{x, x, l.n, l.size, from}
}

// coarse makes lanes that go together one of twice the size, up to 8 bytes.
func (l lanes) coarse() lanes {
	for l.size < 8 && l.n%2 == 0 && len(l.from)%2 == 0 {
		half := make([]int, len(l.from)/2)
		for i := range half {
			if l.from[2*i]%2 != 0 || l.from[2*i+1] != l.from[2*i]+1 {
				return l
			}
			half[i] = l.from[2*i] / 2
		}
		l = lanes{l.a, l.b, l.n / 2, 2 * l.size, half}
	}
	return l
}

// pickRun is for consecutive lanes.
func pickRun(s *sel, l lanes) mach.Reg {
	first, k, bytes := l.from[0], len(l.from), l.n*l.size
	run := l.are(func(i int) int { return first + i })
	switch {
	case !run && l.a == l.b && bytes >= 8 && k <= l.n && l.are(func(i int) int { return (first + i) % l.n }): // turned
		return s.vecImm("ext", shapeOf(l.n, l.size).octets(), first*l.size, l.a, l.a)
	case !run:
		return 0
	case first == 0 && k <= l.n:
		return l.a
	case first == 0 && k == 2*l.n: // both, of which each is an element
		return s.vec("zip1", shapeOf(2, bytes), l.a, l.b)
	case first+k <= l.n:
		return s.vecImm("ext", whole, first*l.size, l.a, l.a)
	case bytes == 16 || bytes == 8 && k*l.size <= 8:
		return s.vecImm("ext", shapeOf(l.n, l.size).octets(), first*l.size, l.a, l.b)
	}
	return 0
}

// pickSplat is for one lane many times.
func pickSplat(s *sel, l lanes) mach.Reg {
	i := l.from[0]
	if !l.are(func(int) int { return i }) {
		return 0
	}
	return s.vecImm("dup lane", l.shape(), i, l.a)
}

// zips are the instructions that interleave vectors, and where lane i of n comes from in the concatenation of the sources.
var zips = []struct {
	op   string
	lane func(i, n int) int
}{
	{"zip1", func(i, n int) int { return i/2 + i%2*n }},
	{"zip2", func(i, n int) int { return n/2 + i/2 + i%2*n }},
	{"uzp1", func(i, n int) int { return 2 * i }},
	{"uzp2", func(i, n int) int { return 2*i + 1 }},
	{"trn1", func(i, n int) int { return i&^1 + i%2*n }},
	{"trn2", func(i, n int) int { return i | 1 + i%2*n }},
}

// pickZip is for interleaved lanes, in 8 bytes or in 16. The instruction's sources may be longer than ours.
func pickZip(s *sel, l lanes) mach.Reg {
	for q := range uint8(2) {
		sh := shape{logOf(l.size), q}
		n := sh.lanes()
		if n < 2 || len(l.from) > n {
			continue
		}
		for _, z := range zips {
			ok := l.are(func(i int) int {
				at := z.lane(i, n)
				switch {
				case l.a == l.b:
					return at % n
				case at >= n:
					return at - n + l.n
				case at >= l.n:
					return -1
				}
				return at
			})
			if ok {
				return s.vec(z.op, sh, l.a, l.b)
			}
		}
	}
	return 0
}

// pickReverse is for lanes in reverse order within 8, 4 or 2 bytes.
func pickReverse(s *sel, l lanes) mach.Reg {
	for _, r := range []struct {
		op    string
		bytes int
	}{{"rev64", 8}, {"rev32", 4}, {"rev16", 2}} {
		k := r.bytes / l.size
		if k > 1 && len(l.from)%k == 0 && l.are(func(i int) int { return i ^ (k - 1) }) && l.a == l.b {
			return s.vec(r.op, l.shape(), l.a)
		}
	}
	return 0
}

// pickTable looks the bytes up: those of a, and over the others those of b.
func pickTable(s *sel, l lanes) mach.Reg {
	r := s.vec("tbl", whole, l.a, s.bytesConst(l.table(0)))
	if l.a != l.b {
		s.neon("tbx", whole, 0, r, l.b, s.bytesConst(l.table(l.n)))
	}
	return r
}

// table is where the bytes of the lanes from first on are in their source; others are beyond its end.
func (l lanes) table(first int) []byte {
	t := make([]byte, 16)
	for i := range t {
		t[i] = 0xff
		if k := i / l.size; k < len(l.from) && l.from[k] >= first && l.from[k] < first+l.n {
			t[i] = byte((l.from[k]-first)*l.size + i%l.size)
		}
	}
	return t
}
