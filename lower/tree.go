package lower

import (
	"math"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// treeRules are the ensembles of decision trees. Their transforms of scores and labels that are strings
// are gone by now (package passes).
func treeRules() map[string]rule {
	return map[string]rule{"ml.TreeEnsembleRegressor": lowerTreeRegressor, "ml.TreeEnsembleClassifier": lowerTreeClassifier, "ml.TreeEnsemble": lowerTreeEnsemble}
}

// treesAtOnce is how many trees a kernel walks together, so that their loads overlap.
const treesAtOnce = 4

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
		f.roots, f.depth = append(f.roots, f.addLeaf(treeScore{0, score})), append(f.depth, 0)
	}
}

// treeKernel is a forest under construction: its tables in the weights.
type treeKernel struct {
	*forest
	c           *Ctx
	op          *ir.Op
	x           *ir.Value
	rows, width ir.Dim
	compare     tensor.DType // f32 where that loses nothing, else f64
	targets     int64
	how         string // SUM, AVERAGE, MIN or MAX
	single      bool   // each leaf scores target 0 once
	base        []float64
	// pred is the comparison of all nodes where uniform; else each has its own condition.
	pred    loop.Pred
	uniform bool
	sums    *ir.Value // f64[rows,targets] without single

	tFeature, tValue, tTake, tYes, tNo         int32
	tRoots, tDepth, tFirst, tTargets, tWeights int32
	tBase                                      int32
}

// newTreeKernel packs the ensemble f of op. There may be no base values.
func newTreeKernel(c *Ctx, op *ir.Op, f *forest, targets int64, how string, base []float64) (*treeKernel, error) {
	x := op.Operands[0]
	rank := x.Type.Rank()
	switch x.Type.DType {
	case tensor.F16, tensor.F32, tensor.F64, tensor.I32, tensor.I64:
	default:
		return nil, errDecline
	}
	if rank != 1 && rank != 2 || targets < 1 || len(base) != 0 && int64(len(base)) != targets || !slices.Contains([]string{"SUM", "AVERAGE", "MIN", "MAX"}, how) {
		return nil, errDecline
	}
	t := &treeKernel{forest: f, c: c, op: op, x: x, rows: ir.Const(1), width: x.Type.Shape[rank-1], targets: targets, how: how, single: targets == 1 && f.lone(),
		base: base, compare: tensor.F64}
	if rank == 2 {
		t.rows = x.Type.Shape[0]
	}
	for _, s := range f.scores {
		for _, e := range s {
			if e.target >= targets || e.weight != e.weight {
				return nil, errDecline
			}
		}
	}
	t.uniform, t.pred = f.sameCondition()
	narrow := x.Type.DType == tensor.F32 || x.Type.DType == tensor.F16
	if narrow && !slices.ContainsFunc(f.value, func(v float64) bool { return float64(float32(v)) != v }) {
		t.compare = tensor.F32
	}
	if t.single {
		f.padTrees(map[string]float64{"MIN": math.Inf(1), "MAX": math.Inf(-1)}[how])
	} else {
		t.sums = c.Scratch(ir.TensorType(tensor.F64, t.rows, ir.Const(targets)))
	}
	return t, t.pack()
}

// sameCondition gives the comparison of all nodes, if they have one.
func (f *forest) sameCondition() (bool, loop.Pred) {
	cond, first := uint8(0), true
	for i, leaf := range f.leaf {
		if leaf {
			continue
		}
		take := f.take[i] &^ ifNaN
		if take == ifLess|ifGreater && f.take[i]&ifNaN == 0 {
			return false, 0 // the comparison is true for NaN
		}
		if !first && take != cond {
			return false, 0
		}
		cond, first = take, false
	}
	p, known := branchPreds[cond]
	return known || first, p
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
	t.tRoots, t.tTake, t.tBase = table(c, &err, t.roots), -1, -1
	if t.compare == tensor.F32 {
		v := make([]float32, len(t.value))
		for i := range v {
			v[i] = float32(t.value[i])
		}
		t.tValue = table(c, &err, v)
	} else {
		t.tValue = table(c, &err, t.value)
	}
	if !t.uniform || t.pred != loop.NE && slices.ContainsFunc(t.take, func(x uint8) bool { return x&ifNaN != 0 }) {
		t.tTake = table(c, &err, t.take)
	}
	if len(t.base) > 0 {
		t.tBase = table(c, &err, t.base)
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

// takes tells whether feature x takes the yes branch of node n.
func (t *treeKernel) takes(k *K, x, n *loop.Value) *loop.Value {
	v := t.load(k, t.tValue, t.compare, n)
	if t.uniform {
		c := k.Cmp(t.pred, x, v)
		if t.tTake >= 0 {
			m := t.load(k, t.tTake, tensor.U8, n)
			nan := k.Cmp(loop.GE, m, k.IntOf(m.Type, int64(ifNaN)))
			c = k.Or(c, k.And(k.Cmp(loop.NE, x, x), nan))
		}
		return c
	}
	m := t.load(k, t.tTake, tensor.U8, n)
	bit := func(b uint8) *loop.Value { return k.IntOf(m.Type, int64(b)) }
	how := k.Select(k.Cmp(loop.GT, x, v), bit(ifGreater), bit(ifNaN))
	how = k.Select(k.Cmp(loop.EQ, x, v), bit(ifEqual), how)
	how = k.Select(k.Cmp(loop.LT, x, v), bit(ifLess), how)
	return k.Cmp(loop.NE, k.And(m, how), bit(0))
}

// walk takes depth steps from each node of at, for the row of features that begins at row.
func (t *treeKernel) walk(k *K, row, depth *loop.Value, at []*loop.Value) []*loop.Value {
	return k.For(k.Int(0), depth, 1, at, func(_ *loop.Value, at []*loop.Value) []*loop.Value {
		next := make([]*loop.Value, len(at))
		for i, n := range at {
			x := k.Load(k.Buf(t.x), k.Add(row, t.load(k, t.tFeature, tensor.I32, n)), 1)
			x = k.Convert(k.fromMemory(x, t.x.Type.DType), t.compare)
			next[i] = k.Select(t.takes(k, x, n), t.load(k, t.tYes, tensor.I32, n), t.load(k, t.tNo, tensor.I32, n))
		}
		return next
	})
}

// aggregate combines all trees for row i of features and gives what target j has, base value included.
// All is in f64 and in the order of the trees, as in the host function.
func (t *treeKernel) aggregate(k *K, i *loop.Value) func(j *loop.Value) *loop.Value {
	row := k.MulDim(i, t.width)
	finish := func(v, j *loop.Value) *loop.Value {
		if t.how == "AVERAGE" {
			v = k.Div(v, k.Float(v.Type, float64(t.trees)))
		}
		if t.tBase >= 0 {
			v = k.Add(v, t.load(k, t.tBase, tensor.F64, j))
		}
		return v
	}
	if t.single {
		v := t.singleSum(k, row)
		return func(j *loop.Value) *loop.Value { return finish(v, j) }
	}
	f64, acc, to := loop.Scalar(tensor.F64), k.Buf(t.sums), k.MulInt(i, t.targets)
	empty := 0.0
	if t.how == "MIN" || t.how == "MAX" {
		empty = math.NaN() // marks targets that no tree has given anything
	}
	k.Range(k.Int(0), k.Int(t.targets), 1, func(j *loop.Value) { k.Store(acc, k.Add(to, j), k.Float(f64, empty)) })
	k.Range(k.Int(0), k.Int(int64(t.trees)), 1, func(i *loop.Value) {
		n := t.walk(k, row, t.load(k, t.tDepth, tensor.I32, i), []*loop.Value{t.load(k, t.tRoots, tensor.I32, i)})[0]
		k.Range(t.load(k, t.tFirst, tensor.I32, n), t.load(k, t.tFirst, tensor.I32, k.AddInt(n, 1)), 1, func(s *loop.Value) {
			at := k.Add(to, t.load(k, t.tTargets, tensor.I32, s))
			old, w := k.Load(acc, at, 1), t.load(k, t.tWeights, tensor.F64, s)
			v := k.fold(t.reduction(), old, w)
			if empty != 0 {
				v = k.Select(k.Cmp(loop.NE, old, old), w, v)
			}
			k.Store(acc, at, v)
		})
	})
	return func(j *loop.Value) *loop.Value {
		v := k.Load(acc, k.Add(to, j), 1)
		if empty != 0 {
			v = k.Select(k.Cmp(loop.NE, v, v), k.Float(f64, 0), v)
		}
		return finish(v, j)
	}
}

func (t *treeKernel) reduction() loop.Op {
	switch t.how {
	case "MIN":
		return loop.OpMin
	case "MAX":
		return loop.OpMax
	}
	return loop.OpAdd
}

// singleSum walks treesAtOnce trees at a time.
func (t *treeKernel) singleSum(k *K, row *loop.Value) *loop.Value {
	unit := map[string]float64{"MIN": math.Inf(1), "MAX": math.Inf(-1)}[t.how]
	groups := int64(len(t.roots) / treesAtOnce)
	r := k.For(k.Int(0), k.Int(groups), 1, []*loop.Value{k.Float(loop.Scalar(tensor.F64), unit)}, func(g *loop.Value, a []*loop.Value) []*loop.Value {
		at := make([]*loop.Value, treesAtOnce)
		for j := range at {
			at[j] = t.load(k, t.tRoots, tensor.I32, k.AddInt(k.MulInt(g, treesAtOnce), int64(j)))
		}
		s := a[0]
		for _, n := range t.walk(k, row, t.load(k, t.tDepth, tensor.I32, g), at) {
			s = k.fold(t.reduction(), s, t.load(k, t.tWeights, tensor.F64, n))
		}
		return []*loop.Value{s}
	})
	return r[0]
}

// lower emits the kernel; row gets the number of the row and what its targets have.
func (t *treeKernel) lower(outs []*ir.Value, row func(k *K, i *loop.Value, target func(j *loop.Value) *loop.Value)) error {
	if t.width.IsConst() && t.width.Value() < t.features {
		return t.op.Errorf("rows of %v features, want at least %d: nodes ask for feature %d", t.width, t.features, t.features-1)
	}
	if err := t.c.checkSize(t.op, t.width, t.features, "features of a row"); err != nil {
		return err
	}
	steps := 0
	for _, d := range t.depth {
		steps += int(d)
	}
	if t.sums != nil {
		outs = append(slices.Clone(outs), t.sums)
	}
	return t.c.Kernel(Step{
		Op: t.op, Name: "trees", Ins: []*ir.Value{t.x}, Outs: outs, Par: t.rows, NsPerIter: 20 + 2*float64(steps), Bytes: bytesOf(t.x),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) { row(k, i, t.aggregate(k, i)) })
		},
	})
}

// store rounds the scores of row i to the type of out.
func (t *treeKernel) store(k *K, out *ir.Value, i *loop.Value, target func(j *loop.Value) *loop.Value) {
	if out == nil {
		return
	}
	d := out.Type.DType
	k.Range(k.Int(0), k.Int(t.targets), 1, func(j *loop.Value) {
		v := k.Convert(target(j), computeType(d))
		k.Store(k.Buf(out), k.Add(k.MulInt(i, t.targets), j), k.toMemory(v, d))
	})
}

// lowerTrees compiles the ensembles whose result are the scores.
func lowerTrees(c *Ctx, op *ir.Op, f *forest, how string, base []float64) error {
	t, err := newTreeKernel(c, op, f, op.Attrs.Int("n_targets", 1), how, base)
	if err != nil {
		return err
	}
	return t.lower(op.Results[:1], func(k *K, i *loop.Value, target func(*loop.Value) *loop.Value) { t.store(k, op.Results[0], i, target) })
}

func lowerTreeRegressor(c *Ctx, op *ir.Op) error {
	base, err := treeFloats(op, "base_values")
	if err != nil {
		return err
	}
	if op.Attrs.Str("post_transform", "NONE") != "NONE" {
		return errDecline
	}
	f, err := newForest(op, "target")
	if err != nil {
		return err
	}
	return lowerTrees(c, op, f, op.Attrs.Str("aggregate_function", "SUM"), base)
}

func lowerTreeEnsemble(c *Ctx, op *ir.Op) error {
	how := op.Attrs.Int("aggregate_function", 1)
	if op.Attrs.Int("post_transform", 0) != 0 || how < 0 || how > 3 {
		return errDecline
	}
	f, err := newEnsemble(op)
	if err != nil {
		return err
	}
	return lowerTrees(c, op, f, []string{"AVERAGE", "SUM", "MIN", "MAX"}[how], nil)
}

func lowerTreeClassifier(c *Ctx, op *ir.Op) error {
	labels := op.Attrs.Ints("classlabels_int64s", nil)
	n := int64(len(labels))
	base, err := treeFloats(op, "base_values")
	if err != nil {
		return err
	}
	// A transform matters only to scores.
	if n == 0 || len(op.Attrs.Strs("classlabels_strings", nil)) > 0 || op.Result(1) != nil && op.Attrs.Str("post_transform", "NONE") != "NONE" || int64(len(base)) > n {
		return errDecline
	}
	f, err := newForest(op, "class")
	if err != nil {
		return err
	}
	binary := f.binary(op, n, base)
	if binary != nil || len(base) == 0 {
		base = nil
	} else { // those that are missing are 0
		base = append(slices.Clone(base), make([]float64, n-int64(len(base)))...)
	}
	t, err := newTreeKernel(c, op, f, n, "SUM", base)
	if err != nil {
		return err
	}
	names := table(c, &err, labels)
	if err != nil {
		return err
	}
	label, scores := op.Results[0], op.Result(1)
	return t.lower(present(label, scores), func(k *K, i *loop.Value, target func(*loop.Value) *loop.Value) {
		var class *loop.Value
		if binary != nil {
			target, class = binary.finish(k, target)
		} else {
			class = k.For(k.Int(1), k.Int(n), 1, []*loop.Value{target(k.Int(0)), k.Int(0)}, func(j *loop.Value, best []*loop.Value) []*loop.Value {
				v := target(j)
				more := k.Cmp(loop.GT, v, best[0])
				return []*loop.Value{k.Select(more, v, best[0]), k.Select(more, j, best[1])}
			})[1]
		}
		t.store(k, scores, i, target)
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
	base     float64
}

func (f *forest) binary(op *ir.Op, classes int64, base []float64) *binaryScores {
	ids := op.Attrs.Ints("class_ids", nil)
	if classes != 2 || len(ids) == 0 || ids[0] > 1 || slices.ContainsFunc(ids, func(i int64) bool { return i != ids[0] }) {
		return nil
	}
	b := &binaryScores{ids[0], len(base) < 2, 0}
	if len(base) > 0 {
		b.base = base[len(base)-1]
	}
	for _, s := range f.scores {
		for _, e := range s {
			b.positive = b.positive && !(e.weight < 0)
		}
	}
	return b
}

// finish gives both scores and the number of the class.
func (b *binaryScores) finish(k *K, target func(*loop.Value) *loop.Value) (func(*loop.Value) *loop.Value, *loop.Value) {
	pos := target(k.Int(b.id))
	num := func(x float64) *loop.Value { return k.Float(pos.Type, x) }
	pos = k.Add(pos, num(b.base))
	limit, other := 0.0, k.Neg(pos)
	if b.positive {
		limit, other = 0.5, k.Sub(num(1), pos)
	}
	class := k.Select(k.Cmp(loop.GT, pos, num(limit)), k.Int(1), k.Int(0))
	return func(j *loop.Value) *loop.Value { return k.Select(k.Cmp(loop.EQ, j, k.Int(1)), pos, other) }, class
}
