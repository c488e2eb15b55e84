package lower

import (
	"fmt"
	"math"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// treeRules are the ensembles of decision trees.
func treeRules() map[string]rule {
	return map[string]rule{"ml.TreeEnsembleRegressor": lowerTreeRegressor, "ml.TreeEnsembleClassifier": lowerTreeClassifier}
}

// branchPreds are the comparisons of a feature with a node's value.
var branchPreds = map[string]loop.Pred{
	"BRANCH_LEQ": loop.LE, "BRANCH_LT": loop.LT, "BRANCH_GTE": loop.GE, "BRANCH_GT": loop.GT, "BRANCH_EQ": loop.EQ, "BRANCH_NEQ": loop.NE,
}

// maxTreeTargets bounds the sums that a kernel keeps on its stack.
const maxTreeTargets = 256

// treesAtOnce is how many trees a kernel walks together, so that their loads overlap.
const treesAtOnce = 4

// forest is an ensemble packed for walking: node i goes to yes[i] or no[i], a leaf to itself, so that
// a tree is left after as many steps as it is deep. Scores first[i] to first[i+1] are those of node i.
type forest struct {
	pred         loop.Pred
	feature      []int32
	value        []float64
	missing      []uint8 // NaN takes the yes branch
	yes, no      []int32
	leaf         []bool
	roots, depth []int32
	scores       [][]treeScore // of each node
	features     int64         // how many the rows must have
	trees        int
}

type treeScore struct {
	target int64
	weight float64
}

// treeFloats reads floats, or the tensor that stands for them in double precision.
func treeFloats(op *ir.Op, name string) ([]float64, error) {
	d, ok := op.Attrs[name+"_as_tensor"].(*ir.Data)
	if !ok || d == nil {
		return op.Attrs.Floats(name, nil), nil
	}
	t, err := d.Tensor()
	if err != nil {
		return nil, err
	}
	if t.DType != tensor.F32 && t.DType != tensor.F64 {
		return nil, errDecline
	}
	out := make([]float64, t.Len())
	for i := range out {
		out[i] = t.At(int64(i))
	}
	return out, nil
}

type treeKey struct{ tree, node int64 }

// newForest reads the nodes and the scores, whose attributes start with prefix. What the host function
// would refuse is declined, so that it does.
func newForest(op *ir.Op, prefix string) (*forest, error) {
	a := op.Attrs
	trees, ids, modes, features := a.Ints("nodes_treeids", nil), a.Ints("nodes_nodeids", nil), a.Strs("nodes_modes", nil), a.Ints("nodes_featureids", nil)
	values, err := treeFloats(op, "nodes_values")
	if err != nil {
		return nil, err
	}
	yes, no, missing := a.Ints("nodes_truenodeids", nil), a.Ints("nodes_falsenodeids", nil), a.Ints("nodes_missing_value_tracks_true", nil)
	n := len(ids)
	for _, l := range []int{len(trees), len(modes), len(features), len(values), len(yes), len(no)} {
		if l != n {
			return nil, errDecline
		}
	}
	if n == 0 || n > math.MaxInt32 || len(missing) != 0 && len(missing) != n {
		return nil, errDecline
	}
	f := &forest{feature: make([]int32, n), value: make([]float64, n), missing: make([]uint8, n), yes: make([]int32, n), no: make([]int32, n),
		leaf: make([]bool, n), scores: make([][]treeScore, n), features: 1}
	index := make(map[treeKey]int32, n)
	for i := range ids {
		index[treeKey{trees[i], ids[i]}] = int32(i)
	}
	mode, child := "", make([]bool, n)
	for i := range ids {
		if modes[i] == "LEAF" {
			f.leaf[i], f.yes[i], f.no[i] = true, int32(i), int32(i)
			continue
		}
		p, known := branchPreds[modes[i]]
		y, ok1 := index[treeKey{trees[i], yes[i]}]
		m, ok2 := index[treeKey{trees[i], no[i]}]
		if !known || mode != "" && mode != modes[i] || !ok1 || !ok2 || features[i] < 0 || features[i] > math.MaxInt32-1 {
			return nil, errDecline // trees that mix comparisons are rare
		}
		mode, f.pred = modes[i], p
		f.feature[i], f.value[i], f.yes[i], f.no[i] = int32(features[i]), values[i], y, m
		if len(missing) > 0 && missing[i] != 0 {
			f.missing[i] = 1
		}
		child[y], child[m] = true, true
		f.features = max(f.features, features[i]+1)
	}
	if len(index) != n || !f.findRoots(trees, child) {
		return nil, errDecline
	}
	return f, f.readScores(op, prefix, index)
}

// findRoots lists the first node of each tree that is no child, and measures the trees; false where
// there is none or a tree has a cycle.
func (f *forest) findRoots(trees []int64, child []bool) bool {
	seen := map[int64]bool{}
	for i, t := range trees {
		if child[i] || seen[t] {
			continue
		}
		seen[t] = true
		d, ok := f.measure(int32(i))
		if !ok {
			return false
		}
		f.roots, f.depth = append(f.roots, int32(i)), append(f.depth, d)
	}
	f.trees = len(f.roots)
	return !slices.ContainsFunc(trees, func(t int64) bool { return !seen[t] })
}

// measure walks a tree level by level. A node that is reached more often than there are nodes is on a
// cycle, as is one deeper than their number; sharing of nodes is declined with them.
func (f *forest) measure(root int32) (depth int32, ok bool) {
	level, reached := []int32{root}, 0
	for ; ; depth++ {
		var next []int32
		for _, i := range level {
			if !f.leaf[i] {
				next = append(next, f.yes[i], f.no[i])
			}
		}
		if len(next) == 0 {
			return depth, true
		}
		if reached += len(next); reached > 2*len(f.leaf) {
			return 0, false
		}
		level = next
	}
}

func (f *forest) readScores(op *ir.Op, prefix string, index map[treeKey]int32) error {
	a := op.Attrs
	trees, nodes, ids := a.Ints(prefix+"_treeids", nil), a.Ints(prefix+"_nodeids", nil), a.Ints(prefix+"_ids", nil)
	weights, err := treeFloats(op, prefix+"_weights")
	if err != nil {
		return err
	}
	if len(trees) != len(ids) || len(nodes) != len(ids) || len(weights) != len(ids) {
		return errDecline
	}
	for i := range ids {
		n, ok := index[treeKey{trees[i], nodes[i]}]
		if !ok || ids[i] < 0 {
			return errDecline
		}
		f.scores[n] = append(f.scores[n], treeScore{ids[i], weights[i]})
	}
	return nil
}

// lone reports whether every leaf has one score, for target 0.
func (f *forest) lone() bool {
	for i, leaf := range f.leaf {
		if leaf && (len(f.scores[i]) != 1 || f.scores[i][0].target != 0) {
			return false
		}
	}
	return true
}

// padTrees adds trees of a single leaf with the given score until treesAtOnce divides their number.
func (f *forest) padTrees(score float64) {
	for len(f.roots)%treesAtOnce != 0 {
		i := int32(len(f.leaf))
		f.feature, f.value, f.missing, f.leaf = append(f.feature, 0), append(f.value, 0), append(f.missing, 0), append(f.leaf, true)
		f.yes, f.no, f.scores = append(f.yes, i), append(f.no, i), append(f.scores, []treeScore{{0, score}})
		f.roots, f.depth = append(f.roots, i), append(f.depth, 0)
	}
}

// treeKernel is a forest under construction: its tables in the weights.
type treeKernel struct {
	*forest
	c                                          *Ctx
	op                                         *ir.Op
	x                                          *ir.Value
	rows, width                                ir.Dim
	compare                                    tensor.DType // f32 where that loses nothing, else f64
	targets                                    int64
	how                                        string // SUM, AVERAGE, MIN or MAX
	single                                     bool   // each leaf scores target 0 once
	tFeature, tValue, tMissing, tYes, tNo      int32
	tRoots, tDepth, tFirst, tTargets, tWeights int32
}

// newTreeKernel packs the ensemble of op.
func newTreeKernel(c *Ctx, op *ir.Op, prefix string, targets int64, how string) (*treeKernel, error) {
	x := op.Operands[0]
	rank := x.Type.Rank()
	switch x.Type.DType {
	case tensor.F32, tensor.F64, tensor.I32, tensor.I64:
	default:
		return nil, errDecline
	}
	if rank != 1 && rank != 2 || targets < 1 || targets > maxTreeTargets {
		return nil, errDecline
	}
	f, err := newForest(op, prefix)
	if err != nil {
		return nil, err
	}
	t := &treeKernel{forest: f, c: c, op: op, x: x, rows: ir.Const(1), width: x.Type.Shape[rank-1], targets: targets, how: how, single: targets == 1 && f.lone(),
		compare: tensor.F64}
	if rank == 2 {
		t.rows = x.Type.Shape[0]
	}
	unit, known := map[string]float64{"SUM": 0, "AVERAGE": 0, "MIN": math.Inf(1), "MAX": math.Inf(-1)}[how]
	if !known || unit != 0 && !t.single {
		return nil, errDecline
	}
	for _, s := range f.scores {
		for _, e := range s {
			if e.target >= targets {
				return nil, errDecline
			}
		}
	}
	if x.Type.DType == tensor.F32 && !slices.ContainsFunc(f.value, func(v float64) bool { return float64(float32(v)) != v && v == v }) {
		t.compare = tensor.F32
	}
	if t.single {
		f.padTrees(unit)
	}
	return t, t.pack()
}

// table adds an array to the weights.
func table[T tensor.Native](c *Ctx, err *error, v []T) int32 {
	b := tensor.AsBytes(v)
	off, e := c.weights.Add(b)
	if e != nil && *err == nil {
		*err = e
	}
	return c.weightBuf(off, int64(len(b)), "trees")
}

func (t *treeKernel) pack() (err error) {
	c := t.c
	t.tFeature, t.tYes, t.tNo = table(c, &err, t.feature), table(c, &err, t.yes), table(c, &err, t.no)
	t.tRoots, t.tDepth, t.tMissing = table(c, &err, t.roots), -1, -1
	if t.compare == tensor.F32 {
		v := make([]float32, len(t.value))
		for i := range v {
			v[i] = float32(t.value[i])
		}
		t.tValue = table(c, &err, v)
	} else {
		t.tValue = table(c, &err, t.value)
	}
	if slices.Contains(t.missing, 1) {
		t.tMissing = table(c, &err, t.missing)
	}
	depth := t.depth
	if t.single { // trees walked together take as many steps
		depth = nil
		for i := 0; i < len(t.depth); i += treesAtOnce {
			depth = append(depth, slices.Max(t.depth[i:i+treesAtOnce]))
		}
	}
	t.tDepth = table(c, &err, depth)
	first, targets, weights := []int32{0}, []int32{}, []float64{}
	for _, s := range t.scores {
		for _, e := range s {
			targets, weights = append(targets, int32(e.target)), append(weights, e.weight)
		}
		first = append(first, int32(len(weights)))
	}
	if !t.single {
		t.tFirst, t.tTargets, t.tWeights = table(c, &err, first), table(c, &err, append(targets, 0)), table(c, &err, append(weights, 0))
		return err
	}
	byNode := make([]float64, len(t.scores))
	for i, s := range t.scores {
		if len(s) > 0 {
			byNode[i] = s[0].weight
		}
	}
	t.tWeights = table(c, &err, byNode)
	return err
}

func (t *treeKernel) load(k *K, buf int32, d tensor.DType, at *loop.Value) *loop.Value {
	v := k.Load(k.WeightBuf(buf, d), at, 1)
	if d == tensor.I32 {
		return k.Convert(v, tensor.I64)
	}
	return v
}

// walk takes depth steps from each node of at, for the row of features that begins at row.
func (t *treeKernel) walk(k *K, row, depth *loop.Value, at []*loop.Value) []*loop.Value {
	return k.For(k.Int(0), depth, 1, at, func(_ *loop.Value, at []*loop.Value) []*loop.Value {
		next := make([]*loop.Value, len(at))
		for i, n := range at {
			x := k.Convert(k.Load(k.Buf(t.x), k.Add(row, t.load(k, t.tFeature, tensor.I32, n)), 1), t.compare)
			c := k.Cmp(t.pred, x, t.load(k, t.tValue, t.compare, n))
			if t.tMissing >= 0 {
				m := t.load(k, t.tMissing, tensor.U8, n)
				c = k.Or(c, k.And(k.Cmp(loop.NE, x, x), k.Cmp(loop.NE, m, k.IntOf(m.Type, 0))))
			}
			next[i] = k.Select(c, t.load(k, t.tYes, tensor.I32, n), t.load(k, t.tNo, tensor.I32, n))
		}
		return next
	})
}

// sums aggregates all trees for a row of features. Sums are in f64 in the order of the trees, as those
// of the host function.
func (t *treeKernel) sums(k *K, row *loop.Value) func(target int64) *loop.Value {
	f64 := loop.Scalar(tensor.F64)
	scale := func(v *loop.Value) *loop.Value {
		if t.how == "AVERAGE" {
			return k.Div(v, k.Float(f64, float64(t.trees)))
		}
		return v
	}
	if t.single {
		v := scale(t.singleSum(k, row))
		return func(int64) *loop.Value { return v }
	}
	acc := k.Local("sums", tensor.F64, t.targets)
	k.Range(k.Int(0), k.Int(t.targets), 1, func(i *loop.Value) { k.Store(acc, i, k.Float(f64, 0)) })
	k.Range(k.Int(0), k.Int(int64(t.trees)), 1, func(i *loop.Value) {
		n := t.walk(k, row, t.load(k, t.tDepth, tensor.I32, i), []*loop.Value{t.load(k, t.tRoots, tensor.I32, i)})[0]
		k.Range(t.load(k, t.tFirst, tensor.I32, n), t.load(k, t.tFirst, tensor.I32, k.AddInt(n, 1)), 1, func(s *loop.Value) {
			to := t.load(k, t.tTargets, tensor.I32, s)
			k.Store(acc, to, k.Add(k.Load(acc, to, 1), t.load(k, t.tWeights, tensor.F64, s)))
		})
	})
	return func(target int64) *loop.Value { return scale(k.Load(acc, k.Int(target), 1)) }
}

// singleSum walks treesAtOnce trees at a time.
func (t *treeKernel) singleSum(k *K, row *loop.Value) *loop.Value {
	op, unit := loop.OpAdd, 0.0
	switch t.how {
	case "MIN":
		op, unit = loop.OpMin, math.Inf(1)
	case "MAX":
		op, unit = loop.OpMax, math.Inf(-1)
	}
	groups := int64(len(t.roots) / treesAtOnce)
	r := k.For(k.Int(0), k.Int(groups), 1, []*loop.Value{k.Float(loop.Scalar(tensor.F64), unit)}, func(g *loop.Value, a []*loop.Value) []*loop.Value {
		at := make([]*loop.Value, treesAtOnce)
		for j := range at {
			at[j] = t.load(k, t.tRoots, tensor.I32, k.AddInt(k.MulInt(g, treesAtOnce), int64(j)))
		}
		s := a[0]
		for _, n := range t.walk(k, row, t.load(k, t.tDepth, tensor.I32, g), at) {
			s = k.fold(op, s, t.load(k, t.tWeights, tensor.F64, n))
		}
		return []*loop.Value{s}
	})
	return r[0]
}

// checkWidth emits the check that rows have all the features that nodes ask for.
func (t *treeKernel) checkWidth() error {
	if t.width.IsConst() {
		if t.width.Value() < t.features {
			return errDecline
		}
		return nil
	}
	t.c.addStep(plan.Step{Kind: plan.StepCheck, Name: fmt.Sprintf("%s %q: features of a row", t.op.Info.Name, t.op.Origin.Node),
		A: t.c.slot(t.width), B: t.c.slot(t.width.Max(ir.Const(t.features)))})
	return nil
}

// lower emits the kernel; row gets the number of the row and its sums.
func (t *treeKernel) lower(outs []*ir.Value, row func(k *K, i *loop.Value, sum func(target int64) *loop.Value)) error {
	if err := t.checkWidth(); err != nil {
		return err
	}
	steps := 0
	for _, d := range t.depth {
		steps += int(d)
	}
	return t.c.Kernel(Step{
		Op: t.op, Name: "trees", Ins: []*ir.Value{t.x}, Outs: outs, Par: t.rows, NsPerIter: 20 + 2*float64(steps), Bytes: bytesOf(t.x),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) { row(k, i, t.sums(k, k.MulDim(i, t.width))) })
		},
	})
}

// postTransforms map the scores of a row.
var postTransforms = map[string]func(k *K, s []*loop.Value) []*loop.Value{
	"NONE": func(_ *K, s []*loop.Value) []*loop.Value { return s },
	"LOGISTIC": func(k *K, s []*loop.Value) []*loop.Value {
		out := make([]*loop.Value, len(s))
		for i := range s {
			out[i] = k.Sigmoid(s[i])
		}
		return out
	},
	"SOFTMAX": func(k *K, s []*loop.Value) []*loop.Value {
		top := s[0]
		for _, x := range s[1:] {
			top = k.Max(top, x)
		}
		out := make([]*loop.Value, len(s))
		var sum *loop.Value
		for i := range s {
			out[i] = k.Exp(k.Sub(s[i], top))
			if sum == nil {
				sum = out[i]
			} else {
				sum = k.Add(sum, out[i])
			}
		}
		for i := range out {
			out[i] = k.Div(out[i], sum)
		}
		return out
	},
}

// maxPostTargets bounds the scores of a row that are transformed, since the code for each is written out.
const maxPostTargets = 64

// storeScores transforms the scores of row i and stores them.
func (t *treeKernel) storeScores(k *K, out *ir.Value, i *loop.Value, s []*loop.Value, post func(k *K, s []*loop.Value) []*loop.Value) {
	if out == nil {
		return
	}
	f := make([]*loop.Value, len(s))
	for j := range s {
		f[j] = k.Convert(s[j], tensor.F32)
	}
	for j, v := range post(k, f) {
		k.Store(k.Buf(out), k.AddInt(k.MulInt(i, t.targets), int64(j)), v)
	}
}

func lowerTreeRegressor(c *Ctx, op *ir.Op) error {
	post := postTransforms[op.Attrs.Str("post_transform", "NONE")]
	n := op.Attrs.Int("n_targets", 1)
	base, err := treeFloats(op, "base_values")
	if err != nil {
		return err
	}
	if post == nil || n > maxPostTargets || len(base) != 0 && int64(len(base)) != n {
		return errDecline
	}
	t, err := newTreeKernel(c, op, "target", n, op.Attrs.Str("aggregate_function", "SUM"))
	if err != nil {
		return err
	}
	return t.lower(op.Results[:1], func(k *K, i *loop.Value, sum func(int64) *loop.Value) {
		t.storeScores(k, op.Results[0], i, t.withBase(k, sum, base), post)
	})
}

// withBase gives the sums of all targets plus the base values, which may be fewer.
func (t *treeKernel) withBase(k *K, sum func(int64) *loop.Value, base []float64) []*loop.Value {
	s := make([]*loop.Value, t.targets)
	for j := range s {
		s[j] = sum(int64(j))
		if j < len(base) {
			s[j] = k.Add(s[j], k.Float(s[j].Type, base[j]))
		}
	}
	return s
}

func lowerTreeClassifier(c *Ctx, op *ir.Op) error {
	labels := op.Attrs.Ints("classlabels_int64s", nil)
	n := int64(len(labels))
	name := op.Attrs.Str("post_transform", "NONE")
	base, err := treeFloats(op, "base_values")
	if err != nil {
		return err
	}
	post := postTransforms[name]
	if post == nil || n == 0 || n > maxPostTargets || len(op.Attrs.Strs("classlabels_strings", nil)) > 0 || int64(len(base)) > n {
		return errDecline
	}
	t, err := newTreeKernel(c, op, "class", n, "SUM")
	if err != nil {
		return err
	}
	names := table(c, &err, labels)
	if err != nil {
		return err
	}
	label, scores := op.Results[0], op.Result(1)
	binary := t.binary(op)
	return t.lower(present(label, scores), func(k *K, i *loop.Value, sum func(int64) *loop.Value) {
		var class *loop.Value
		if binary != nil {
			s, c := binary.finish(k, sum, base)
			class = c
			p := post
			if binary.positive {
				p = postTransforms["NONE"]
			}
			t.storeScores(k, scores, i, s, p)
		} else {
			s := t.withBase(k, sum, base)
			best := s[0]
			class = k.Int(0)
			for j, v := range s[1:] {
				more := k.Cmp(loop.GT, v, best)
				best, class = k.Select(more, v, best), k.Select(more, k.Int(int64(j+1)), class)
			}
			t.storeScores(k, scores, i, s, post)
		}
		if label != nil {
			k.Store(k.Buf(label), i, k.Load(k.WeightBuf(names, tensor.I64), class, 1))
		}
	})
}

// binaryScores handles two classes of which the leaves score one only, the positive: the other gets the
// complement where all weights are positive, else the negation, as the host function has it.
type binaryScores struct {
	id       int64
	positive bool
}

func (t *treeKernel) binary(op *ir.Op) *binaryScores {
	ids := op.Attrs.Ints("class_ids", nil)
	if t.targets != 2 || len(ids) == 0 || ids[0] > 1 || slices.ContainsFunc(ids, func(i int64) bool { return i != ids[0] }) {
		return nil
	}
	b := &binaryScores{ids[0], true}
	for _, s := range t.scores {
		for _, e := range s {
			b.positive = b.positive && !(e.weight < 0)
		}
	}
	return b
}

// finish gives both scores, before they are transformed, and the number of the class.
func (b *binaryScores) finish(k *K, sum func(int64) *loop.Value, base []float64) (s []*loop.Value, class *loop.Value) {
	pos := sum(b.id)
	if len(base) > 0 {
		pos = k.Add(pos, k.Float(pos.Type, base[len(base)-1]))
	}
	limit, other := 0.0, k.Neg(pos)
	if b.positive {
		limit, other = 0.5, k.Sub(k.Float(pos.Type, 1), pos)
	}
	class = k.Select(k.Cmp(loop.GT, pos, k.Float(pos.Type, limit)), k.Int(1), k.Int(0))
	return []*loop.Value{other, pos}, class
}
