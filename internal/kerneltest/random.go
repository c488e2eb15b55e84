package kerneltest

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// Random makes a kernel of choices: each byte of them decides something, and where they end, the simplest is
// chosen. Fewer and smaller bytes make a smaller kernel.
func Random(level *target.Level, name string, choices []byte) *Kernel {
	h := fnv.New64a()
	h.Write(choices)
	g := &dice{maker: newKernel(level, "%s", name), choices: choices, r: rand.New(rand.NewPCG(h.Sum64(), 1)),
		ins: map[tensor.DType]*loop.Buf{}, outs: map[tensor.DType]*loop.Buf{}, res: map[tensor.DType]*results{}, loose: map[*loop.Value]bool{}}
	g.kernel()
	return g.k
}

// RandomKernels makes n kernels of a seed, under the names random_0 and so on.
func RandomKernels(level *target.Level, n int, seed uint64) (ks []*Kernel) {
	for i := range n {
		ks = append(ks, Random(level, fmt.Sprintf("random_%d", i), randomChoices(rand.New(rand.NewPCG(seed, uint64(i))))))
	}
	return ks
}

func randomChoices(r *rand.Rand) []byte {
	choices := make([]byte, 40+r.IntN(500))
	for j := range choices {
		choices[j] = byte(r.Uint32())
	}
	return choices
}

// dice is a kernel on its way, and what is left of the choices.
type dice struct {
	*maker
	choices []byte
	r       *rand.Rand // of the contents of memory
	lanes   []int      // the lengths of vectors in this kernel
	about   []tensor.DType
	seen    []*loop.Value
	small   []*loop.Value // indices from 0 to 7
	ins     map[tensor.DType]*loop.Buf
	outs    map[tensor.DType]*loop.Buf
	locals  []*loop.Buf
	res     map[tensor.DType]*results
	loose   map[*loop.Value]bool // floats that may be a NaN of undefined bits
	depth   int
}

// extent is the number of elements of every buffer: an index below 128 and a vector from there.
const extent = 128 + loop.MaxLanes

// n is the next choice, of k.
func (g *dice) n(k int) int {
	if len(g.choices) == 0 {
		return 0
	}
	b := int(g.choices[0])
	g.choices = g.choices[1:]
	return b % k
}

// elem chooses one of some element types, mostly one of those that this kernel is about.
func (g *dice) elem(of []tensor.DType) tensor.DType {
	if d := g.about[g.n(len(g.about))]; slices.Contains(of, d) && g.n(8) > 0 {
		return d
	}
	return of[g.n(len(of))]
}

// length chooses one of the kernel's lengths for elements of a type; a vector spans four registers at most.
func (g *dice) length(d tensor.DType) int {
	n := g.lanes[g.n(len(g.lanes))]
	if n*d.Size() > 4*g.Level.VecBytes {
		return 1
	}
	return n
}

func (g *dice) typ(of []tensor.DType) loop.Type {
	d := g.elem(of)
	return loop.Vec(d, g.length(d))
}

func (g *dice) kernel() {
	g.lanes = []int{1, 1 << (1 + g.n(6)), 1 << (1 + g.n(6))}
	for range 4 {
		g.about = append(g.about, all[g.n(len(all))])
	}
	simple := g.n(2) == 0
	for range 2 {
		g.small = append(g.small, g.int(int64(g.n(8))))
	}
	for range g.n(3) {
		g.local(g.elem(stored))
	}
	g.k.Hi = int64(g.n(4))
	body := func(i *loop.Value) {
		if i != nil {
			g.small = append(g.small, i)
		}
		g.statements(4 + g.n(40))
	}
	if g.n(3) == 1 {
		g.region(func() []*loop.Value { g.Parallel(body); return nil })
	}
	body(nil)
	for _, v := range slices.Clone(g.seen) {
		g.result(v)
	}
	if simple {
		loop.Simplify(g.F)
	}
}

// local adds memory of the kernel, written all over first.
func (g *dice) local(d tensor.DType) {
	p := g.Local(string(rune('s'+len(g.locals))), d, extent)
	in := g.in1(d)
	g.Range(g.Int(0), g.Int(extent), 16, func(i *loop.Value) { g.Store(p, i, g.Load(in, i, 16)) })
	g.locals = append(g.locals, p)
}

func (g *dice) in1(d tensor.DType) *loop.Buf {
	if g.ins[d] == nil {
		g.ins[d] = g.in(d, append(values(d), random(d, g.r, extent-len(values(d)))...))
	}
	return g.ins[d]
}

// result stores v where it is seen.
func (g *dice) result(v *loop.Value) {
	d := v.Type.Elem
	if g.res[d] == nil {
		like := AnyNaN
		if d == tensor.BF16 {
			like = Exact
		}
		g.res[d] = g.results(d, like)
	}
	g.res[d].add(v, "%v", v.Type)
}

// statements makes n instructions, loops and conditionals.
func (g *dice) statements(n int) {
	for range n {
		k := g.n(100)
		for _, s := range kinds {
			if k -= s.weight; k < 0 {
				s.make(g)
				break
			}
		}
	}
}

// region makes a block: what is defined in it is not seen after it.
func (g *dice) region(f func() []*loop.Value) []*loop.Value {
	seen, small := len(g.seen), len(g.small)
	g.depth++
	out := f()
	g.depth--
	g.seen, g.small = g.seen[:seen], g.small[:small]
	return out
}

// see makes v an operand for what follows. Its NaN may be any if those of its operands may, or where an operation makes it.
func (g *dice) see(v *loop.Value, loose bool, from ...*loop.Value) {
	for _, x := range from {
		loose = loose || g.loose[x]
	}
	if d := v.Type.Elem; d.IsFloat() && d != tensor.BF16 { // bf16 is only moved
		g.loose[v] = loose
	}
	g.seen = append(g.seen, v)
}

// pick is a value of a type, one of the last few seen or a new one.
func (g *dice) pick(t loop.Type) *loop.Value {
	if k := g.n(8); k < 6 {
		for i := len(g.seen) - 1; i >= 0; i-- {
			if g.seen[i].Type == t {
				if k == 0 {
					return g.seen[i]
				}
				k--
			}
		}
	}
	return g.fresh(t)
}

// fresh loads or makes a constant of a type.
func (g *dice) fresh(t loop.Type) *loop.Value {
	var v *loop.Value
	switch {
	case t == loop.Index && g.n(2) == 0:
		return g.small[g.n(len(g.small))]
	case t.Elem == tensor.Bool:
		v = g.load(g.in1(tensor.Bool), tensor.Bool, g.index(), t.Lanes)
	case g.n(3) == 0:
		vs := values(t.Elem)
		v = g.Bits(t, vs[g.n(len(vs))])
	default:
		v = g.Load(g.in1(t.Elem), g.index(), t.Lanes)
	}
	g.see(v, false)
	return v
}

// index is one below 128: a constant, a sum of products of small ones, or of any bits.
func (g *dice) index() *loop.Value {
	switch c := g.Int(int64(g.n(64))); g.n(4) {
	case 0:
		return c
	case 1:
		return g.Add(g.small[g.n(len(g.small))], c)
	case 2:
		i := g.Add(g.MulInt(g.small[g.n(len(g.small))], int64(g.n(6))), g.small[g.n(len(g.small))])
		return g.Add(i, c)
	}
	return g.And(g.pick(loop.Index), g.Int(127))
}

// settled is v with a number instead of NaN if that may be any.
func (g *dice) settled(v *loop.Value) *loop.Value {
	if !g.loose[v] {
		return v
	}
	return g.Select(g.Cmp(loop.EQ, v, v), v, g.Float(v.Type, 1))
}

// buffer is memory that is written.
func (g *dice) buffer(d tensor.DType) *loop.Buf {
	for _, p := range g.locals {
		if p.Elem == d && g.n(2) == 0 {
			return p
		}
	}
	if g.outs[d] == nil {
		g.outs[d] = g.out(d, extent)
		if d.IsFloat() && d != tensor.BF16 {
			g.part(g.outs[d], 0, extent, AnyNaN, "all")
		}
	}
	return g.outs[d]
}

// source is memory to read, and whether NaN in it may be any.
func (g *dice) source(d tensor.DType) (p *loop.Buf, loose bool) {
	if g.n(3) == 0 {
		return g.buffer(d), true
	}
	return g.in1(d), false
}

// kinds are the statements with their weights, which add up to 100.
var kinds []struct {
	weight int
	make   func(g *dice)
}

func init() {
	kinds = []struct {
		weight int
		make   func(g *dice)
	}{
		{32, (*dice).arithmetic}, {8, (*dice).compare}, {6, (*dice).choose}, {8, (*dice).convert}, {4, (*dice).bitcast},
		{4, (*dice).spread}, {3, (*dice).extract}, {5, (*dice).shuffle}, {3, (*dice).reduce}, {2, (*dice).iota},
		{5, (*dice).read}, {3, (*dice).readMask}, {2, (*dice).gather}, {4, (*dice).write}, {3, (*dice).writeMask}, {1, (*dice).dot}, {1, (*dice).pair}, {1, (*dice).prefetch},
		{3, (*dice).loop}, {2, (*dice).cond},
	}
}

func (g *dice) arithmetic() {
	a := arithmetic[g.n(len(arithmetic))]
	if a.op == loop.OpFMA && !g.Level.FMA {
		return
	}
	t := g.typ(a.types)
	var x []*loop.Value
	for range a.arity {
		x = append(x, g.pick(t))
	}
	d := t.Elem
	switch {
	case (a.op == loop.OpDiv || a.op == loop.OpRem) && !d.IsFloat():
		one := g.IntOf(t, 1)
		if d.Class() == tensor.ClassInt && g.n(2) == 0 { // half of x is not the least number
			x[0], x[1] = g.Shr(x[0], one), g.Or(x[1], one)
		} else {
			x[1] = g.Or(g.And(x[1], g.IntOf(t, math.MaxInt64>>(64-d.Bits()))), one)
		}
	case a.op == loop.OpShl || a.op == loop.OpShr:
		x[1] = g.And(x[1], g.IntOf(t, int64(d.Bits()-1)))
	}
	v := g.apply(a.op, x)
	if d.IsFloat() && (a.op == loop.OpMin || a.op == loop.OpMax) { // of the zeros either
		v = g.Add(v, g.Float(t, 0))
	}
	g.see(v, a.like != Exact, x...)
}

func (g *dice) compare() {
	t := g.typ(numbers)
	x, y := g.pick(t), g.pick(t)
	g.see(g.Cmp(preds[g.n(len(preds))], x, y), false)
}

func (g *dice) choose() {
	t := g.typ(all)
	c, x, y := g.pick(loop.Vec(tensor.Bool, t.Lanes)), g.pick(t), g.pick(t)
	g.see(g.Select(c, x, y), false, x, y)
}

func (g *dice) convert() {
	t := g.typ(numbers)
	to := g.elem(numbers)
	switch {
	case g.Level.F16C && g.n(6) == 1:
		t.Elem, to = tensor.F32, tensor.F16
		if g.n(2) == 0 {
			t.Elem, to = to, t.Elem
		}
	case t.Elem.IsFloat() && !to.IsFloat():
		x := g.pick(t)
		lo, hi := 0.0, math.Ldexp(1, to.Bits())
		if to.Class() == tensor.ClassInt {
			lo, hi = -hi/2, hi/2
		}
		fits := g.And(g.Cmp(loop.GE, x, g.Float(t, lo)), g.Cmp(loop.LT, x, g.Float(t, hi)))
		g.see(g.Convert(g.Select(fits, x, g.Float(t, 1.5)), to), false)
		return
	case t.Elem == to:
		return
	}
	x := g.pick(t)
	g.see(g.Convert(x, to), to.IsFloat())
}

func (g *dice) bitcast() {
	t := g.typ(stored)
	to := g.elem(stored)
	n := t.Lanes * t.Elem.Bits() / to.Bits()
	if n < 1 || n > loop.MaxLanes {
		return
	}
	x := g.pick(t)
	if g.loose[x] && t.Elem == tensor.F16 {
		return
	}
	g.see(g.Bitcast(g.settled(x), loop.Vec(to, n)), false)
}

func (g *dice) spread() {
	t := g.typ(all)
	if t.Lanes == 1 {
		return
	}
	x := g.pick(loop.Scalar(t.Elem))
	g.see(g.Broadcast(x, t.Lanes), false, x)
}

func (g *dice) extract() {
	t := g.typ(all)
	if t.Lanes == 1 {
		return
	}
	x := g.pick(t)
	g.see(g.Extract(x, g.n(t.Lanes)), false, x)
}

func (g *dice) shuffle() {
	t := g.typ(all)
	if t.Lanes == 1 {
		return
	}
	x, y := g.pick(t), g.pick(t)
	ps := patterns(t.Lanes, g.r)
	names := sortedKeys(ps)
	g.see(g.Shuffle(x, y, ps[names[g.n(len(names))]]...), false, x, y)
}

func (g *dice) reduce() {
	t := g.typ(numbers)
	if t.Lanes == 1 {
		return
	}
	op := []loop.Op{loop.OpReduceAdd, loop.OpReduceMul, loop.OpReduceMin, loop.OpReduceMax}[g.n(4)]
	v := g.Reduce(op, g.pick(t))
	if t.Elem.IsFloat() {
		v = g.Add(v, g.Float(v.Type, 0))
	}
	g.see(v, true)
}

func (g *dice) iota() {
	if t := g.typ(integers); t.Lanes > 1 {
		g.see(g.Iota(t), false)
	}
}

func (g *dice) read() {
	t := g.typ(stored)
	p, loose := g.source(t.Elem)
	g.see(g.Load(p, g.index(), t.Lanes), loose)
}

func (g *dice) readMask() {
	t := g.typ(stored)
	if t.Lanes == 1 {
		return
	}
	p, loose := g.source(t.Elem)
	at, m := g.index(), g.pick(loop.Vec(tensor.Bool, t.Lanes))
	g.see(g.LoadMask(p, at, m), loose)
}

func (g *dice) gather() {
	t := g.typ(stored)
	p, loose := g.source(t.Elem)
	it := loop.Vec(tensor.I64, t.Lanes)
	g.see(g.Gather(p, g.And(g.pick(it), g.IntOf(it, 127))), loose)
}

func (g *dice) write() {
	v := g.pick(g.typ(stored))
	g.Store(g.buffer(v.Type.Elem), g.index(), v)
}

func (g *dice) writeMask() {
	t := g.typ(stored)
	if t.Lanes == 1 {
		return
	}
	v, m := g.pick(t), g.pick(loop.Vec(tensor.Bool, t.Lanes))
	g.StoreMask(g.buffer(t.Elem), g.index(), v, m)
}

func (g *dice) prefetch() {
	p, _ := g.source(g.typ(stored).Elem)
	g.Prefetch(p, g.pick(loop.Index))
}

func (g *dice) dot() {
	n := g.length(tensor.I32)
	if 4*n > loop.MaxLanes {
		return
	}
	g.see(g.Dot4(g.pick(loop.Vec(tensor.I32, n)), g.pick(loop.Vec(tensor.U8, 4*n)), g.pick(loop.Vec(tensor.I8, 4*n))), false)
}

// picks chooses up to most values of any types.
func (g *dice) picks(most int) (vs []*loop.Value) {
	for range g.n(most + 1) {
		vs = append(vs, g.pick(g.typ(all)))
	}
	return vs
}

// yields are values of the types of vs.
func (g *dice) yields(vs []*loop.Value) (out []*loop.Value) {
	for _, v := range vs {
		out = append(out, g.pick(v.Type))
	}
	return out
}

func (g *dice) loop() {
	if g.depth == 3 {
		return
	}
	init := g.picks(5)
	lo, hi := g.Int(int64(g.n(3))), g.Int(int64(1+g.n(7)))
	if g.n(2) == 0 {
		hi = g.small[g.n(len(g.small))]
	}
	out := g.For(lo, hi, int64(1+g.n(3)), init, func(iv *loop.Value, c []*loop.Value) []*loop.Value {
		return g.region(func() []*loop.Value {
			g.small = append(g.small, iv)
			for _, v := range c {
				g.see(v, true)
			}
			g.statements(1 + g.n(10))
			return g.yields(c)
		})
	})
	for _, v := range out {
		g.see(v, true)
	}
}

func (g *dice) cond() {
	if g.depth == 3 {
		return
	}
	like := g.picks(3)
	side := func() []*loop.Value {
		return g.region(func() []*loop.Value {
			g.statements(g.n(8))
			return g.yields(like)
		})
	}
	c := g.pick(loop.Scalar(tensor.Bool))
	for _, v := range g.If(c, side, side) {
		g.see(v, true)
	}
}
