package lower

import (
	"errors"
	"math"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
)

// How a feature compares with the value of a node; a node's condition is the set of those that take the
// yes branch.
const (
	ifLess uint8 = 1 << iota
	ifEqual
	ifGreater
	ifNaN // either of them
)

// branchModes are the conditions of nodes, by their names and in the order of TreeEnsemble's numbers.
var branchModes = []struct {
	name string
	yes  uint8
}{
	{"BRANCH_LEQ", ifLess | ifEqual}, {"BRANCH_LT", ifLess}, {"BRANCH_GTE", ifGreater | ifEqual}, {"BRANCH_GT", ifGreater},
	{"BRANCH_EQ", ifEqual}, {"BRANCH_NEQ", ifLess | ifGreater | ifNaN},
}

// branchMember is the number of the mode that looks for a feature in a set.
const branchMember = 6

// branchPreds are the comparisons that the conditions are, NaN apart.
var branchPreds = map[uint8]loop.Pred{
	ifLess | ifEqual: loop.LE, ifLess: loop.LT, ifGreater | ifEqual: loop.GE, ifGreater: loop.GT, ifEqual: loop.EQ, ifLess | ifGreater: loop.NE,
}

// forest is an ensemble packed for walking: node i goes to yes[i] or no[i], a leaf to itself, so that
// a tree is left after as many steps as it is deep.
type forest struct {
	feature      []int32
	value        []float64
	take         []uint8 // the condition
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
	if d, ok := op.Attrs[name+"_as_tensor"].(*ir.Data); ok && d != nil {
		return dataFloats(d)
	}
	return op.Attrs.Floats(name, nil), nil
}

// dataFloats gives the elements of real data.
func dataFloats(d *ir.Data) ([]float64, error) {
	if d == nil {
		return nil, errDecline
	}
	t, err := d.Tensor()
	if err != nil {
		return nil, err
	}
	out := make([]float64, t.Len())
	for i := range out {
		out[i] = t.At(int64(i))
	}
	return out, nil
}

// add appends a node and gives its number.
func (f *forest) add(feature int64, value float64, take uint8, yes, no int32) int32 {
	if value != value { // all compare as NaN: so does anything with 0, but for the set
		value = 0
		if take&(ifLess|ifGreater) == ifLess|ifGreater {
			take = ifLess | ifEqual | ifGreater | ifNaN
		} else {
			take &= ifNaN
		}
	}
	f.feature, f.value, f.take = append(f.feature, int32(feature)), append(f.value, value), append(f.take, take)
	f.yes, f.no, f.leaf, f.scores = append(f.yes, yes), append(f.no, no), append(f.leaf, false), append(f.scores, nil)
	f.features = max(f.features, feature+1)
	return int32(len(f.leaf) - 1)
}

func (f *forest) addLeaf(scores ...treeScore) int32 {
	i := f.add(0, 0, 0, int32(len(f.leaf)), int32(len(f.leaf)))
	f.leaf[i], f.scores[i] = true, scores
	return i
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
	if n == 0 || n > math.MaxInt32/2 || len(missing) != 0 && len(missing) != n {
		return nil, errDecline
	}
	f := &forest{features: 1}
	index := make(map[treeKey]int32, n)
	for i := range ids {
		index[treeKey{trees[i], ids[i]}] = int32(i)
	}
	child := make([]bool, n)
	for i := range ids {
		if modes[i] == "LEAF" {
			f.addLeaf()
			continue
		}
		take, known := conditionOf(modes[i])
		y, ok1 := index[treeKey{trees[i], yes[i]}]
		m, ok2 := index[treeKey{trees[i], no[i]}]
		if !known || !ok1 || !ok2 || features[i] < 0 || features[i] > math.MaxInt32-1 {
			return nil, errDecline
		}
		if len(missing) > 0 && missing[i] != 0 {
			take |= ifNaN
		}
		f.add(features[i], values[i], take, y, m)
		child[y], child[m] = true, true
	}
	if len(index) != n || !f.findRoots(trees, child) {
		return nil, errDecline
	}
	return f, f.readScores(op, prefix, index)
}

func conditionOf(mode string) (yes uint8, known bool) {
	for _, m := range branchModes {
		if m.name == mode {
			return m.yes, true
		}
	}
	return 0, false
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
		f.roots = append(f.roots, int32(i))
	}
	return f.measure() && !slices.ContainsFunc(trees, func(t int64) bool { return !seen[t] })
}

// measure finds how deep each tree is; false where one has a cycle. Subtrees may be shared.
func (f *forest) measure() bool {
	heights := make([]int32, len(f.leaf))
	for i := range heights {
		heights[i] = heightUnknown
	}
	f.trees, f.depth = len(f.roots), nil
	for _, r := range f.roots {
		if !f.height(r, heights) {
			return false
		}
		f.depth = append(f.depth, heights[r])
	}
	return true
}

const (
	heightUnknown = -1
	heightOpen    = -2 // its children are being looked at
)

// height sets heights[i], and those below it; false where i leads to itself.
func (f *forest) height(i int32, heights []int32) bool {
	switch {
	case heights[i] >= 0:
		return true
	case heights[i] == heightOpen:
		return false
	case f.leaf[i]:
		heights[i] = 0
		return true
	}
	heights[i] = heightOpen
	if !f.height(f.yes[i], heights) || !f.height(f.no[i], heights) {
		return false
	}
	heights[i] = 1 + max(heights[f.yes[i]], heights[f.no[i]])
	return true
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

// newEnsemble reads the nodes and leaves of a TreeEnsemble.
func newEnsemble(op *ir.Op) (*forest, error) {
	a := op.Attrs
	data := func(name string) ([]float64, error) {
		d, _ := a[name].(*ir.Data)
		return dataFloats(d)
	}
	modes, err1 := data("nodes_modes")
	splits, err2 := data("nodes_splits")
	weights, err3 := data("leaf_weights")
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	features, targets, missing, roots := a.Ints("nodes_featureids", nil), a.Ints("leaf_targetids", nil), a.Ints("nodes_missing_value_tracks_true", nil), a.Ints("tree_roots", nil)
	n, leaves := len(modes), len(weights)
	if len(splits) != n || len(features) != n || len(missing) != 0 && len(missing) != n || len(targets) != leaves || n == 0 || n+leaves > math.MaxInt32/4 {
		return nil, errDecline
	}
	yes, no := ensembleChildren(a, "true", n, leaves), ensembleChildren(a, "false", n, leaves)
	if yes == nil || no == nil || slices.ContainsFunc(roots, func(r int64) bool { return r < 0 || r >= int64(n) }) {
		return nil, errDecline
	}
	var members []float64
	if a["membership_values"] != nil {
		var err error
		if members, err = data("membership_values"); err != nil {
			return nil, err
		}
	}
	f := &forest{features: 1}
	sets := map[int32][]float64{}
	for i := range n {
		if features[i] < 0 || features[i] > math.MaxInt32-1 || modes[i] < 0 || modes[i] > branchMember {
			return nil, errDecline
		}
		take := ifEqual
		if modes[i] == branchMember {
			end := slices.IndexFunc(members, func(x float64) bool { return x != x })
			if end < 0 {
				return nil, errDecline
			}
			sets[int32(i)], members = members[:end], members[end+1:]
		} else {
			take = branchModes[int(modes[i])].yes
		}
		if len(missing) > 0 && missing[i] != 0 {
			take |= ifNaN
		}
		f.add(features[i], splits[i], take, yes[i], no[i])
	}
	for i, w := range weights {
		if targets[i] < 0 {
			return nil, errDecline
		}
		f.addLeaf(treeScore{targets[i], w})
	}
	for i := range int32(n) {
		if set, ok := sets[i]; ok {
			f.member(i, sortedSet(set))
		}
	}
	for _, r := range roots {
		f.roots = append(f.roots, int32(r))
	}
	if !f.measure() {
		return nil, errDecline
	}
	return f, nil
}

func sortedSet(set []float64) []float64 {
	set = slices.Clone(set)
	slices.Sort(set)
	return slices.Compact(set)
}

// member makes node i, whose branches are set, look for its feature in a sorted set by halving: nodes
// that ask for less, and at the end nodes that ask for equal.
func (f *forest) member(i int32, set []float64) {
	yes, no, nan, feature := f.yes[i], f.no[i], f.take[i]&ifNaN, int64(f.feature[i])
	var build func(set []float64) (value float64, take uint8, y, n int32)
	build = func(set []float64) (float64, uint8, int32, int32) {
		if len(set) == 1 {
			return set[0], ifEqual | nan, yes, no
		}
		half := len(set) / 2
		lv, lt, ly, ln := build(set[:half])
		rv, rt, ry, rn := build(set[half:])
		return set[half], ifLess, f.add(feature, lv, lt, ly, ln), f.add(feature, rv, rt, ry, rn)
	}
	if len(set) == 0 {
		f.value[i], f.take[i] = 0, nan
		return
	}
	f.value[i], f.take[i], f.yes[i], f.no[i] = build(set)
}

// ensembleChildren gives the nodes that one branch of each of n nodes leads to, leaves behind nodes; nil
// where one leads nowhere.
func ensembleChildren(a ir.Attrs, branch string, n, leaves int) []int32 {
	ids, leaf, out := a.Ints("nodes_"+branch+"nodeids", nil), a.Ints("nodes_"+branch+"leafs", nil), make([]int32, n)
	if len(ids) != n || len(leaf) != n {
		return nil
	}
	for i, to := range ids {
		most, off := n, 0
		if leaf[i] != 0 {
			most, off = leaves, n
		}
		if to < 0 || to >= int64(most) {
			return nil
		}
		out[i] = int32(int(to) + off)
	}
	return out
}
