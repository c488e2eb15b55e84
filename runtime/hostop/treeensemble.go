package hostop

import "math"

// The enumerations of TreeEnsemble, by their numbers.
var (
	ensembleModes      = []string{"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER"}
	ensembleAggregates = []string{"AVERAGE", "SUM", "MIN", "MAX"}
	ensembleTransforms = []string{"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"}
)

// enum is word number i of a list.
func enum(what string, words []string, i int64) string {
	check(i >= 0 && i < int64(len(words)), "%s is %d, want 0 to %d", what, i, len(words)-1)
	return words[i]
}

// newEnsemble reads the nodes of a TreeEnsemble; its leaves follow them.
func (c *Call) newEnsemble() *forest {
	a := c.Attrs
	modes, splits, weights := intsOf(c.tensorAttr("nodes_modes")), floatsOf(c.tensorAttr("nodes_splits")), floatsOf(c.tensorAttr("leaf_weights"))
	features, targets, missing := a.Ints("nodes_featureids", nil), a.Ints("leaf_targetids", nil), a.Ints("nodes_missing_value_tracks_true", nil)
	n, leaves := len(modes), len(weights)
	check(len(targets) == leaves, "%d leaf_targetids for %d leaf_weights", len(targets), leaves)
	check(len(splits) == n && len(features) == n && (len(missing) == 0 || len(missing) == n), "the lists of %d nodes differ in length", n)
	f := &forest{nodes: make([]treeNode, n+leaves)}
	var members []float64
	if a["membership_values"] != nil {
		members = floatsOf(c.tensorAttr("membership_values"))
	}
	yes, no := ensembleChildren(a, "true", n, leaves), ensembleChildren(a, "false", n, leaves)
	for i := range n {
		f.nodes[i] = treeNode{mode: enum("a mode", ensembleModes, modes[i]), feature: features[i], value: splits[i], missing: len(missing) > 0 && missing[i] != 0, yes: yes[i], no: no[i]}
		if f.nodes[i].mode == "BRANCH_MEMBER" {
			end := 0
			for end < len(members) && !math.IsNaN(members[end]) {
				end++
			}
			check(end < len(members), "membership_values has no set for node %d", i)
			f.nodes[i].members, members = members[:end], members[end+1:]
		}
	}
	for i, w := range weights {
		f.nodes[n+i] = treeNode{mode: "LEAF", scores: []leafScore{{targets[i], w}}}
		check(targets[i] >= 0, "leaf_targetids[%d] is %d", i, targets[i])
	}
	for _, r := range a.Ints("tree_roots", nil) {
		check(r >= 0 && r < int64(n), "tree root %d of %d nodes", r, n)
		f.roots = append(f.roots, int(r))
	}
	return f
}

// ensembleChildren gives the nodes that one branch of each of n nodes leads to.
func ensembleChildren(a Attrs, branch string, n, leaves int) []int {
	ids, leaf, out := a.Ints("nodes_"+branch+"nodeids", nil), a.Ints("nodes_"+branch+"leafs", nil), make([]int, n)
	check(len(ids) == n && len(leaf) == n, "%d children and %d marks of leaves on the %s branch of %d nodes", len(ids), len(leaf), branch, n)
	for i, to := range ids {
		most := n
		if leaf[i] != 0 {
			most = leaves
		}
		check(to >= 0 && to < int64(most), "node %d leads to %d of %d", i, to, most)
		out[i] = int(to)
		if leaf[i] != 0 {
			out[i] += n
		}
	}
	return out
}

// TreeEnsemble is the sum, mean, least or largest of what decision trees give each target, [N,targets]
// in the type of X.
func TreeEnsemble(c *Call) (err error) {
	defer guard(&err)
	x, n := c.in(0), c.Attrs.Int("n_targets", 1)
	check(x.DType.IsFloat(), "floats wanted, got %s", x.TypeString())
	how, post := enum("aggregate_function", ensembleAggregates, c.Attrs.Int("aggregate_function", 1)), enum("post_transform", ensembleTransforms, c.Attrs.Int("post_transform", 0))
	f, rows := c.newEnsemble(), rowsOf(x)
	shape := []int64{int64(len(rows)), n}
	elemCount(shape, 64)
	var out []float64
	for _, row := range rows {
		s, _ := f.aggregate(row, n, how)
		postTransform(post, s)
		out = append(out, s...)
	}
	c.give(fromFloats(x.DType, shape, out))
	return nil
}
