package lower

import (
	"maps"
	"math/bits"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// gramNode is a node of the tree of n-grams: what its words lead to, and the column that counts it, -1
// for none.
type gramNode struct {
	next   map[int64]int
	column int64
}

// gramTree is the vocabulary of a TfIdfVectorizer. Node 0 has no words.
type gramTree struct {
	nodes             []gramNode
	weights           []float64 // of each column
	width             int64
	shortest, longest int64
	skips             int64
	mode              string
}

// newGramTree reads the attributes; what the host function would refuse, and what depends on which of
// several n-grams of a column was found, is declined.
func newGramTree(op *ir.Op) (*gramTree, error) {
	a := op.Attrs
	pool, columns, weights := a.Ints("pool_int64s", nil), a.Ints("ngram_indexes", nil), a.Floats("weights", nil)
	t := &gramTree{nodes: []gramNode{{map[int64]int{}, -1}}, shortest: a.Int("min_gram_length", 1), longest: a.Int("max_gram_length", 1), skips: a.Int("max_skip_count", 0), mode: a.Str("mode", "")}
	if len(pool) == 0 || len(columns) == 0 || slices.Min(columns) < 0 || len(weights) != 0 && len(weights) != len(columns) ||
		t.shortest < 1 || t.longest < t.shortest || t.skips < 0 || !slices.Contains([]string{"TF", "IDF", "TFIDF"}, t.mode) {
		return nil, errDecline
	}
	t.width = slices.Max(columns) + 1
	t.weights = slices.Repeat([]float64{1}, int(t.width))
	starts := append(slices.Clone(a.Ints("ngram_counts", nil)), int64(len(pool)))
	used, id := map[int64]bool{}, 0
	for i := range len(starts) - 1 {
		n, lo, hi := int64(i+1), starts[i], starts[i+1]
		if lo < 0 || lo > hi || hi > int64(len(pool)) || (hi-lo)%n != 0 {
			return nil, errDecline
		}
		for ; lo < hi; lo, id = lo+n, id+1 {
			if n < t.shortest || n > t.longest {
				continue
			}
			node := t.insert(pool[lo : lo+n])
			if node.column >= 0 {
				continue
			}
			if id >= len(columns) || used[columns[id]] && t.mode != "TF" {
				return nil, errDecline
			}
			node.column, used[columns[id]] = columns[id], true
			if len(weights) > 0 {
				t.weights[columns[id]] = weights[id]
			}
		}
	}
	return t, nil
}

// insert finds the node of an n-gram, or makes it.
func (t *gramTree) insert(words []int64) *gramNode {
	at := 0
	for _, w := range words {
		next, ok := t.nodes[at].next[w]
		if !ok {
			next = len(t.nodes)
			t.nodes[at].next[w] = next
			t.nodes = append(t.nodes, gramNode{map[int64]int{}, -1})
		}
		at = next
	}
	return &t.nodes[at]
}

// gramKernel is the tree as tables: children first[i] to first[i+1] of node i, by rising words.
type gramKernel struct {
	*gramTree
	tFirst, tWords, tChild, tColumn, tWeights int32
	dead                                      int64 // a node without children
	steps                                     int   // that find a child among the most that a node has
}

func (t *gramTree) pack(c *Ctx) (*gramKernel, error) {
	g := &gramKernel{gramTree: t, dead: int64(len(t.nodes))}
	var first, child, column []int32
	var words []int64
	for _, n := range append(slices.Clone(t.nodes), gramNode{column: -1}) {
		first, column = append(first, int32(len(words))), append(column, int32(n.column))
		for _, w := range slices.Sorted(maps.Keys(n.next)) {
			words, child = append(words, w), append(child, int32(n.next[w]))
		}
		g.steps = max(g.steps, bits.Len(uint(len(n.next))))
	}
	first = append(first, int32(len(words)))
	weights := make([]float32, t.width)
	for i := range weights {
		weights[i] = float32(t.weights[i])
	}
	var err error
	g.tFirst, g.tWords, g.tChild = table(c, &err, first), table(c, &err, append(words, 0)), table(c, &err, append(child, 0))
	g.tColumn, g.tWeights = table(c, &err, column), table(c, &err, weights)
	return g, err
}

func (g *gramKernel) load(k *K, buf int32, at *loop.Value) *loop.Value {
	return k.Convert(k.Load(k.WeightBuf(buf, tensor.I32), at, 1), tensor.I64)
}

// step gives the node that word leads to from a node.
func (g *gramKernel) step(k *K, node, word *loop.Value) *loop.Value {
	at := g.load(k, g.tFirst, node)
	count := k.Sub(g.load(k, g.tFirst, k.AddInt(node, 1)), at)
	words, none := k.WeightBuf(g.tWords, tensor.I64), k.Cmp(loop.EQ, count, k.Int(0))
	for range g.steps {
		half := k.Div(count, k.Int(2))
		probe := k.Add(at, half)
		at = k.Select(k.Cmp(loop.LE, k.Load(words, probe, 1), word), probe, at)
		count = k.Sub(count, half)
	}
	found := k.And(k.Not(none), k.Cmp(loop.EQ, k.Load(words, at, 1), word))
	return k.Select(found, g.load(k, g.tChild, at), k.Int(g.dead))
}

// count counts the n-grams of the row that begins at from and has n words in the columns from to on.
func (g *gramKernel) count(k *K, x *ir.Value, out *loop.Buf, from, to, n *loop.Value) {
	one := k.Float(loop.Scalar(tensor.F32), 1)
	k.Range(k.Int(1), k.Int(g.skips+2), 1, func(distance *loop.Value) {
		k.Range(k.Int(0), n, 1, func(first *loop.Value) {
			k.For(k.Int(1), k.Int(g.longest+1), 1, []*loop.Value{k.Int(0)}, func(length *loop.Value, a []*loop.Value) []*loop.Value {
				at := k.Add(first, k.Mul(k.AddInt(length, -1), distance))
				inside := k.Cmp(loop.LT, at, n)
				word := k.Convert(k.Load(k.Buf(x), k.Add(from, k.Select(inside, at, first)), 1), tensor.I64)
				node := k.Select(inside, g.step(k, a[0], word), k.Int(g.dead))
				column := g.load(k, g.tColumn, node)
				counts := k.And(k.Cmp(loop.GE, column, k.Int(0)), k.Cmp(loop.GE, length, k.Int(g.shortest)))
				// Single words are the same at every distance.
				counts = k.And(counts, k.Or(k.Cmp(loop.GT, length, k.Int(1)), k.Cmp(loop.EQ, distance, k.Int(1))))
				k.If(counts, func() []*loop.Value {
					to := k.Add(to, column)
					k.Store(out, to, k.Add(k.Load(out, to, 1), one))
					return nil
				}, nil)
				return []*loop.Value{node}
			})
		})
	})
}

// lowerTfIdf compiles TfIdfVectorizer on integers: each row walks the tree of n-grams from each of its
// words, at each distance between words.
func lowerTfIdf(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	rank := x.Type.Rank()
	if rank < 1 || rank > 2 || x.Type.DType != tensor.I64 && x.Type.DType != tensor.I32 {
		return errDecline
	}
	t, err := newGramTree(op)
	if err != nil {
		return err
	}
	g, err := t.pack(c)
	if err != nil {
		return err
	}
	n, rows := x.Type.Shape[rank-1], ir.Product(x.Type.Shape[:rank-1])
	return c.Kernel(Step{
		Op: op, Name: "ngrams", Ins: []*ir.Value{x}, Outs: []*ir.Value{out}, Par: rows, NsPerIter: perChunk(n.MulInt((g.skips+1)*g.longest), 10) + float64(g.width)/4,
		Bytes: bytesOf(x).Add(bytesOf(out)),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				to := k.MulInt(i, g.width)
				each := func(f func(at, w *loop.Value) *loop.Value) {
					k.vectorLoop(k.Int(0), k.Int(g.width), k.Level.Lanes(4), func(e *loop.Value, lanes int) {
						at := k.Add(to, e)
						k.Store(k.Buf(out), at, f(k.Load(k.Buf(out), at, lanes), k.Load(k.WeightBuf(g.tWeights, tensor.F32), e, lanes)))
					})
				}
				each(func(v, _ *loop.Value) *loop.Value { return k.Float(v.Type, 0) })
				g.count(k, x, k.Buf(out), k.MulDim(i, n), to, k.Dim(n))
				switch g.mode {
				case "IDF":
					each(func(v, w *loop.Value) *loop.Value {
						return k.Select(k.Cmp(loop.GT, v, k.Float(v.Type, 0)), w, k.Float(v.Type, 0))
					})
				case "TFIDF":
					each(func(v, w *loop.Value) *loop.Value { return k.Mul(v, w) })
				}
			})
		},
	})
}
