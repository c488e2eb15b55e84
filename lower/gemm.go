package lower

import (
	"cmp"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// gemm is a matrix product C[b,m,n] = sum over k of A[b,m,k]*B[b,k,n] with an epilogue, where B is in
// panels of 16 columns: [ceil(N/16)][K][16], padded with zeros. Whole K is accumulated in registers;
// a panel group is read from L2 once per tile of rows.
type gemm struct {
	op      *ir.Op
	m, n, k ir.Dim
	batch   []ir.Dim // batch dimensions of the result
	lead    []ir.Dim // dimensions that m flattens
	a       *ir.Value
	aBatch  []ir.Dim // strides of A by batch dimension
	aRow    ir.Dim   // stride of A by row and by k, in elements
	aK      ir.Dim
	packedA *ir.Value // A in tiles [batch][ceil(M/rows)][K][rows] when not read in place
	b       panels
	bBatch  []ir.Dim // strides of the packed B by batch dimension, in elements
	out     *ir.Value
	body    *body
	// before turns the accumulator into the value of the anchor: alpha and C of Gemm.
	before func(k *K, acc *loop.Value, load func(v *ir.Value) *loop.Value) *loop.Value
	extra  []*ir.Value // operands that before loads
	pairs  bool        // of bf16: k counts words of two, and A is seen as such
}

// gemmTile picks the register tile for a level: the one with the least estimated time for the shape, whose rows
// are split into tiles by split.
func gemmTile(l *target.Level, m, n ir.Dim, split splitter) tile { return bestTiles(l, m, n, split)[0] }

// rowPanels is how many panels one row reads at once: each is a stream from memory, and eight are slower than four.
const rowPanels = 4

// bestTiles are the best tile, and the best of other widths that are worth measuring, by estimated time.
func bestTiles(l *target.Level, m, n ir.Dim, split splitter) []tile {
	rows, blocks := int64(1<<20), int64(1<<20)
	if m.IsConst() {
		rows = max(1, m.Value())
	}
	if n.IsConst() {
		blocks = max(1, (n.Value()+15)/16)
	}
	most := int64(8)
	if rows == 1 {
		most = rowPanels
	}
	cost := map[tile]float64{}
	var best []tile // of each width
	for b := 1; int64(b) <= max(1, min(most, blocks)); b++ {
		for r := 1; r <= l.Tile && int64(r) <= rows; r++ {
			t := tile{r, b}
			if !t.fits(l) {
				continue
			}
			cost[t] = tilesCost(l, split(rows, int64(r)), blocks, int64(b))
			switch {
			case r == 1:
				best = append(best, t)
			case cost[t] < cost[best[len(best)-1]]:
				best[len(best)-1] = t
			}
		}
	}
	slices.SortStableFunc(best, func(x, y tile) int { return cmp.Or(cmp.Compare(cost[x], cost[y]), x.rows-y.rows) })
	worth := 1
	for worth < min(len(best), 4) && cost[best[worth]] <= doubt*cost[best[0]] {
		worth++
	}
	return best[:worth]
}

// run is a number of tiles with as many rows each.
type run struct{ rows, tiles int64 }

// splitter cuts n rows into tiles of at most r.
type splitter func(n, r int64) []run

// remainder makes all tiles full but the last.
func remainder(n, r int64) []run { return []run{{r, n / r}, {n % r, 1}} }

// evenly makes as few tiles, but none that is more than a row smaller than another: a tile of few rows reads
// panels faster than they come from L2.
func evenly(n, r int64) []run {
	tiles := (n + r - 1) / r
	return []run{{n/tiles + 1, n % tiles}, {n / tiles, tiles - n%tiles}}
}

// tilesCost is the time of covering rows x blocks with the tiles of a split by b blocks, and what blocks remain.
func tilesCost(l *target.Level, split []run, blocks, b int64) float64 {
	cost := 0.0
	for _, s := range split {
		if s.rows == 0 {
			continue
		}
		c := float64(blocks/b) * tile{int(s.rows), int(b)}.cycles(l)
		if rem := blocks % b; rem > 0 {
			c += tile{int(s.rows), int(rem)}.cycles(l)
		}
		cost += c * float64(s.tiles)
	}
	return cost
}

// tileFor picks the register tile for a level.
func (g *gemm) tileFor(l *target.Level) tile {
	return g.body.c.chooseTile(gemmTiles, l, evenTiles(l, g.m, g.n), append([]ir.Dim{g.m, g.n, g.k}, g.batch...), g.aRow, g.pairs, g.body)
}

// evenTiles are the best tiles where rows are split evenly; where M is known, there are tiles with as many rows as each.
func evenTiles(l *target.Level, m, n ir.Dim) []tile {
	best := bestTiles(l, m, n, evenly)
	if !m.IsConst() || m.Value() == 0 {
		return best
	}
	for i := range best {
		tiles := m.CeilDiv(int64(best[i].rows)).Value()
		best[i].rows = int(m.CeilDiv(tiles).Value())
	}
	return best
}

// firstRow is the first row of tile i of those that cut m rows evenly into tiles of at most rows.
func (k *K) firstRow(m ir.Dim, rows int, i *loop.Value) *loop.Value {
	if !m.IsConst() || m.Value()%int64(rows) == 0 {
		return k.MulInt(i, int64(rows))
	}
	s := evenly(m.Value(), int64(rows))
	return k.Add(k.MulInt(i, s[1].rows), k.MinIdx(i, k.Int(s[0].tiles)))
}

// inPlaceA reports whether rows of A can be broadcast from where they are: unit stride along k, a
// constant row stride, and rows that do not fall on the same L1 set.
func (g *gemm) inPlaceA() bool {
	if !g.aK.Is(1) || !g.aRow.IsConst() {
		return g.m.Is(1) && g.aK.Is(1)
	}
	return g.aRow.Value()%1024 != 0 || g.m.IsConst() && g.m.Value() < 8
}

// lower emits the steps of the product.
func (g *gemm) lower(c *Ctx) error {
	nbatch := ir.Product(g.batch)
	if !g.inPlaceA() {
		pack := g.packA
		if g.aK.Is(1) && g.aRow.IsConst() {
			pack = g.padA
		}
		if err := pack(c, nbatch); err != nil {
			return err
		}
	}
	mem := g.body.memInputs()
	ins := append(append([]*ir.Value{}, mem...), g.extra...)
	if g.packedA != nil {
		ins = append(ins, g.packedA)
	} else {
		ins = append(ins, g.a)
	}
	if g.b.scratch != nil {
		ins = append(ins, g.b.scratch)
	}
	flops := nbatch.Mul(g.m).Mul(g.n).Mul(g.k).MulInt(2)
	if g.pairs {
		flops = flops.MulInt(2)
	}
	bytes := bytesOf(g.a).Add(bytesOf(g.out)).Add(nbatch.Mul(g.n).Mul(g.k).MulInt(4))
	inPlace := mem
	if g.twice() {
		inPlace = nil // sums are where the operand was before it is read
	}
	top := c.Target.Levels[len(c.Target.Levels)-1]
	t := g.tileFor(top)
	ns := 100.0
	if g.k.IsConst() {
		ns = float64(g.k.Value())*t.cycles(top)/4 + 20
	}
	return c.Kernel(Step{
		Op: g.op, Name: "gemm", Ins: ins, Outs: []*ir.Value{g.out}, InPlace: inPlace, NsPerIter: ns, Flops: flops, Bytes: bytes,
		ParAt: func(l *target.Level) ir.Dim {
			t := g.tileFor(l)
			return nbatch.Mul(g.m.CeilDiv(int64(t.rows))).Mul(g.n.CeilDiv(int64(t.blocks * target.Block)))
		},
		Build: g.build,
	})
}

func (g *gemm) build(k *K) {
	t := g.tileFor(k.Level)
	mt := g.m.CeilDiv(int64(t.rows))
	ng := g.n.CeilDiv(int64(t.blocks * target.Block))
	k.Parallel(func(i *loop.Value) {
		co := k.Unflatten(i, append(append([]ir.Dim{}, g.batch...), ng, mt)...)
		nb := len(g.batch)
		g.columns(k, t, co[:nb], co[nb], co[nb+1])
	})
}

// columns picks full or tail columns for a group of panels.
func (g *gemm) columns(k *K, t tile, batch []*loop.Value, group, i *loop.Value) {
	width := int64(t.blocks * target.Block)
	full := func() { g.rows(k, t, batch, group, t, i, -1) }
	if g.n.IsConst() {
		n := g.n.Value()
		rem := n % width
		tailed := func() {
			tb := tile{t.rows, int((rem + 15) / 16)}
			last := int(rem % 16)
			if last == 0 {
				last = -1
			}
			g.rows(k, t, batch, group, tb, i, last)
		}
		switch {
		case rem == 0:
			full()
		case n < width:
			tailed()
		default:
			k.choose(k.Cmp(loop.LT, group, k.Int(n/width)), full, tailed)
		}
		return
	}
	end := k.MulInt(k.AddInt(group, 1), width)
	k.choose(k.Cmp(loop.LE, end, k.Dim(g.n)), full, func() { g.rows(k, t, batch, group, t, i, 0) })
}

// choose is an If without results.
func (k *K) choose(c *loop.Value, then, els func()) {
	wrap := func(f func()) func() []*loop.Value {
		if f == nil {
			return nil
		}
		return func() []*loop.Value { f(); return nil }
	}
	k.If(c, wrap(then), wrap(els))
}

// rows picks a full or a smaller tile for the rows of tile i. tail: -1 all columns are there; > 0 lanes of the last
// block; 0 known at run time.
func (g *gemm) rows(k *K, full tile, batch []*loop.Value, group *loop.Value, t tile, i *loop.Value, tail int) {
	k.evenRows(g.m, t.rows, i, func(rows int, off *loop.Value) { g.tile(k, full, batch, group, tile{rows, t.blocks}, i, off, tail) })
}

// evenRows covers the rows of tile i, of those that cut m rows into tiles of at most rows: do gets how many and the first
// within the tile.
func (k *K) evenRows(m ir.Dim, rows int, i *loop.Value, do func(rows int, off *loop.Value)) {
	whole := func() { do(rows, k.Int(0)) }
	if m.IsConst() {
		if m.Value()%int64(rows) == 0 {
			whole()
			return
		}
		s := evenly(m.Value(), int64(rows))
		k.choose(k.Cmp(loop.LT, i, k.Int(s[0].tiles)), whole, func() { do(int(s[1].rows), k.Int(0)) })
		return
	}
	if rows == 1 {
		whole()
		return
	}
	left := k.Sub(k.Dim(m), k.firstRow(m, rows, i))
	k.choose(k.Cmp(loop.GE, left, k.Int(int64(rows))), whole, func() { k.binaryRows(rows, left, k.Int(0), do) })
}

// binaryRows covers left < rows rows by tiles whose sizes are powers of two.
func (k *K) binaryRows(rows int, left, row *loop.Value, do func(rows int, r *loop.Value)) {
	for s := 1 << (ceilLog2(int64(rows)) - 1); s > 0; s /= 2 {
		bit := k.And(left, k.Int(int64(s)))
		at := k.Add(row, k.And(left, k.Int(^int64(2*s-1)))) // the larger tiles come first
		k.choose(k.Cmp(loop.NE, bit, k.Int(0)), func() { do(s, at) }, nil)
	}
}

// tile computes and stores one register tile: the rows from off on of tile i.
func (g *gemm) tile(k *K, full tile, batch []*loop.Value, group *loop.Value, t tile, i, off *loop.Value, tail int) {
	row := k.Add(k.firstRow(g.m, full.rows, i), off)
	v := vectors(k.Level)
	lanes := k.Level.Lanes(4)
	kd := k.Dim(g.k)
	// Panels of this group: block vector j is vector j%v of panel j/v.
	bbase := k.MulDim(group, g.k.MulInt(int64(full.blocks*target.Block)))
	for i, s := range g.bBatch {
		bbase = k.Add(bbase, k.MulDim(batch[i], s))
	}
	bbuf := g.panelBuf(k)
	bases := make([]*loop.Value, t.blocks)
	for j := range bases {
		bases[j] = k.Add(bbase, k.MulDim(k.Int(int64(j)), g.k.MulInt(target.Block)))
	}
	w := func(j int, i *loop.Value, d int64) *loop.Value {
		idx := k.AddInt(k.Add(bases[j/v], k.MulInt(i, target.Block)), d*target.Block+int64(j%v*lanes))
		return k.Load(bbuf, idx, lanes)
	}
	a := k.reduceK(k.Int(0), kd, 4, k.zeroAccs(t), g.loadA(k, full, batch, i, off, row), w)
	col := k.MulInt(group, int64(full.blocks*target.Block))
	twice := g.twice() && t.rows > 1
	beside := twice && g.out.Type.DType != tensor.F32
	each := func(p *loop.Value, accs []*loop.Value, finish bool) {
		for j, acc := range accs {
			at := k.AddInt(k.MulInt(p, int64(t.blocks*target.Block)), int64(j*lanes))
			switch {
			case beside && !finish:
				k.Store(k.waiting(int64(t.rows*t.blocks*target.Block)), at, acc)
				continue
			case beside:
				acc = k.Load(k.waiting(0), at, lanes)
			}
			g.store(k, batch, k.Add(row, p), k.AddInt(col, int64(j*lanes)), acc, j, len(accs), tail, finish)
		}
	}
	for p := range a {
		each(k.Int(int64(p)), a[p], !twice)
	}
	if twice {
		k.Range(k.Int(0), k.Int(int64(t.rows)), 1, func(p *loop.Value) { each(p, make([]*loop.Value, len(a[0])), true) })
	}
}

// twice reports whether a tile's sums wait to be finished in a loop over its rows.
func (g *gemm) twice() bool { return waits(g.out) && g.body.long() }

// loadA gives the reader of A's scalars for the rows of tile i from off, which is row, on.
func (g *gemm) loadA(k *K, full tile, batch []*loop.Value, i, off, row *loop.Value) func(p int, i *loop.Value, d int64) *loop.Value {
	if g.packedA != nil {
		buf := k.Buf(g.packedA)
		base := k.Add(k.packedBase(full, g, batch, i), off)
		return func(p int, i *loop.Value, d int64) *loop.Value {
			return k.Load(buf, k.AddInt(k.Add(base, k.MulInt(i, int64(full.rows))), d*int64(full.rows)+int64(p)), 1)
		}
	}
	buf := k.Buf(g.a)
	base := k.MulDim(row, g.aRow)
	for i, s := range g.aBatch {
		base = k.Add(base, k.MulDim(batch[i], s))
	}
	return func(p int, i *loop.Value, d int64) *loop.Value {
		at := k.Add(k.Add(base, i), k.MulDim(k.Int(int64(p)), g.aRow))
		return k.fromMemory(k.Load(buf, k.AddInt(at, d), 1), g.a.Type.DType)
	}
}

// packedBase is where a tile of packed A starts.
func (k *K) packedBase(full tile, g *gemm, batch []*loop.Value, mt *loop.Value) *loop.Value {
	tileSize := g.k.MulInt(int64(full.rows))
	base := k.MulDim(mt, tileSize)
	perBatch := tileSize.Mul(g.m.CeilDiv(int64(full.rows)))
	return k.Add(base, k.MulDim(k.Flatten(batch, g.batch), perBatch))
}

// store writes a vector of the tile, after the epilogue if finish is set; without acc, it is what is there.
func (g *gemm) store(k *K, batch []*loop.Value, row, col, acc *loop.Value, j, nvec, tail int, finish bool) {
	lanes := k.Level.Lanes(4)
	var mask *loop.Value
	switch v := vectors(k.Level); {
	case tail == 0:
		t := loop.Vec(tensor.I64, lanes)
		mask = k.Cmp(loop.LT, k.Add(k.Iota(t), k.Broadcast(col, lanes)), k.Broadcast(k.Dim(g.n), lanes))
	case tail > 0 && j >= nvec-v:
		n := tail - (j-(nvec-v))*lanes
		if n <= 0 {
			return
		}
		if n < lanes {
			mask = k.laneMask(n)
		}
	}
	idx := k.Add(k.MulDim(k.Add(k.MulDim(k.Flatten(batch, g.batch), g.m), row), g.n), col)
	switch {
	case acc == nil && mask != nil:
		acc = k.LoadMask(k.Buf(g.out), idx, mask)
	case acc == nil:
		acc = k.Load(k.Buf(g.out), idx, lanes)
	}
	if finish {
		acc = g.finish(k, batch, row, col, acc, mask)
	}
	if mask != nil {
		k.StoreMask(k.Buf(g.out), idx, acc, mask)
	} else {
		k.Store(k.Buf(g.out), idx, acc)
	}
}

// finish applies the epilogue.
func (g *gemm) finish(k *K, batch []*loop.Value, row, col, acc, mask *loop.Value) *loop.Value {
	lanes := acc.Type.Lanes
	shape := append(append(append([]ir.Dim{}, g.batch...), g.lead...), g.n)
	load := func(v *ir.Value) *loop.Value { return g.loadExtra(k, v, shape, batch, row, col, lanes, mask) }
	if g.before != nil {
		acc = g.before(k, acc, load)
	}
	return k.toMemory(g.body.apply(k, acc, lanes, load), g.out.Type.DType)
}

// loadExtra reads an epilogue operand at (batch, row, col); row stands for all of lead.
func (g *gemm) loadExtra(k *K, v *ir.Value, shape []ir.Dim, batch []*loop.Value, row, col *loop.Value, lanes int, mask *loop.Value) *loop.Value {
	st, ok := BroadcastStrides(v.Type.Shape, shape)
	if !ok {
		k.Fail(errDecline)
		return k.IntOf(loop.Vec(computeType(v.Type.DType), lanes), 0)
	}
	nb, nl := len(g.batch), len(g.lead)
	lead := st[nb : nb+nl]
	co := append([]*loop.Value{}, batch...)
	strides := append([]ir.Dim{}, st[:nb]...)
	if unit, ok := rowStride(lead, g.lead); ok {
		co, strides = append(co, row), append(strides, unit)
	} else {
		co, strides = append(co, k.Unflatten(row, g.lead...)...), append(strides, lead...)
	}
	return k.loadStrided(v, append(strides, st[nb+nl]), append(co, col), lanes, mask)
}

// rowStride is the one stride by which the flattened dimensions are stepped, if there is one.
func rowStride(st, dims []ir.Dim) (ir.Dim, bool) {
	if len(st) == 0 {
		return ir.Dim{}, true
	}
	for i := len(st) - 1; i > 0; i-- {
		if !st[i-1].Equal(st[i].Mul(dims[i])) {
			return ir.Dim{}, false
		}
	}
	return st[len(st)-1], true
}

// padA emits the step that copies A to rows that do not fall on the same L1 set.
func (g *gemm) padA(c *Ctx, nbatch ir.Dim) error {
	n := len(g.batch)
	row := g.k.AddInt(target.Block)
	dims := append(append([]ir.Dim{}, g.batch...), g.m, g.k)
	padded := c.Scratch(ir.TensorType(g.a.Type.DType, nbatch, g.m, row))
	to := append(Strides(append(append([]ir.Dim{}, dims[:n+1]...), row))[:n+1:n+1], ir.Const(1))
	m := &move{dims: dims, from: append(append([]ir.Dim{}, g.aBatch...), g.aRow, ir.Const(1)), to: to}
	if err := m.emit(c, g.op, "pad_a", g.a, padded); err != nil {
		return err
	}
	g.a, g.aRow, g.aBatch = padded, row, to[:n]
	return nil
}

// packA emits the step that copies A into tiles.
func (g *gemm) packA(c *Ctx, nbatch ir.Dim) error {
	slack := int64(0)
	for _, l := range c.Target.Levels {
		slack = max(slack, int64(l.Tile))
	}
	g.packedA = c.Scratch(ir.TensorType(tensor.F32, nbatch, g.m.AddInt(slack), g.k))
	return c.Kernel(Step{
		Op: g.op, Name: "pack_a", Ins: []*ir.Value{g.a}, Outs: []*ir.Value{g.packedA}, NsPerIter: 2000,
		Bytes: bytesOf(g.a).MulInt(2),
		ParAt: func(l *target.Level) ir.Dim { return nbatch.Mul(g.m.CeilDiv(int64(g.tileFor(l).rows))) },
		Build: func(k *K) {
			t := g.tileFor(k.Level)
			rows := int64(t.rows)
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, append(append([]ir.Dim{}, g.batch...), g.m.CeilDiv(rows))...)
				nb := len(g.batch)
				dst := k.packedBase(t, g, co[:nb], co[nb])
				src := k.Int(0)
				for j, s := range g.aBatch {
					src = k.Add(src, k.MulDim(co[j], s))
				}
				k.Range(k.Int(0), k.Int(rows), 1, func(p *loop.Value) {
					// Rows past the end repeat the last one: they are computed and never stored.
					r := k.MinIdx(k.Add(k.firstRow(g.m, t.rows, co[nb]), p), k.Dim(g.m.AddInt(-1)))
					from := k.Add(src, k.MulDim(r, g.aRow))
					k.Range(k.Int(0), k.Dim(g.k), 1, func(q *loop.Value) {
						x := k.fromMemory(k.Load(k.Buf(g.a), k.Add(from, k.MulDim(q, g.aK)), 1), g.a.Type.DType)
						k.Store(k.Buf(g.packedA), k.Add(k.Add(dst, k.MulInt(q, rows)), p), x)
					})
				})
			})
		},
	})
}

// packB emits the step that copies a B computed at run time into panels; row and col are its strides
// by k and n, batch those by batch dimension.
func (g *gemm) packB(c *Ctx, b *ir.Value, dims, batch []ir.Dim, row, col ir.Dim) error {
	const group = 8 * target.Block // the widest tile reads whole groups
	nb := ir.Product(dims)
	panel := g.k.MulInt(target.Block)
	cols := g.n.CeilDiv(target.Block)
	per := g.n.CeilDiv(group).MulInt(8).Mul(panel)
	g.b = panels{weights: -1, scratch: c.Scratch(ir.TensorType(tensor.F32, nb, per))}
	g.bBatch = nil
	st := Strides(dims)
	for i := range dims {
		g.bBatch = append(g.bBatch, st[i].Mul(per))
	}
	return c.Kernel(Step{
		Op: g.op, Name: "pack_b", Ins: []*ir.Value{b}, Outs: []*ir.Value{g.b.scratch}, NsPerIter: 2000,
		Bytes: bytesOf(b).MulInt(2), Par: nb.Mul(cols),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, append(append([]ir.Dim{}, dims...), cols)...)
				nd := len(dims)
				dst := k.Add(k.MulDim(k.Flatten(co[:nd], dims), per), k.MulDim(co[nd], panel))
				src := k.Int(0)
				for j, s := range batch {
					src = k.Add(src, k.MulDim(co[j], s))
				}
				g.packPanel(k, b, k.MulInt(co[nd], target.Block), src, dst, row, col)
			})
		},
	})
}

// packPanel copies 16 columns from column c0 on; columns past the end repeat the last one.
func (g *gemm) packPanel(k *K, b *ir.Value, c0, src, dst *loop.Value, row, col ir.Dim) {
	buf, out := k.Buf(b), k.Buf(g.b.scratch)
	scalar := func() {
		k.Range(k.Int(0), k.Int(target.Block), 1, func(j *loop.Value) {
			n := k.MinIdx(k.Add(c0, j), k.Dim(g.n.AddInt(-1)))
			from := k.Add(src, k.MulDim(n, col))
			k.Range(k.Int(0), k.Dim(g.k), 1, func(q *loop.Value) {
				x := k.fromMemory(k.Load(buf, k.Add(from, k.MulDim(q, row)), 1), b.Type.DType)
				k.Store(out, k.Add(k.Add(dst, k.MulInt(q, target.Block)), j), x)
			})
		})
	}
	if !col.Is(1) {
		scalar()
		return
	}
	lanes := k.Level.Lanes(4)
	vector := func() {
		k.Range(k.Int(0), k.Dim(g.k), 1, func(q *loop.Value) {
			for j := 0; j < target.Block; j += lanes {
				from := k.AddInt(k.Add(k.Add(src, c0), k.MulDim(q, row)), int64(j))
				x := k.fromMemory(k.Load(buf, from, lanes), b.Type.DType)
				k.Store(out, k.AddInt(k.Add(dst, k.MulInt(q, target.Block)), int64(j)), x)
			}
		})
	}
	k.choose(k.Cmp(loop.LE, k.AddInt(c0, target.Block), k.Dim(g.n)), vector, scalar)
}
