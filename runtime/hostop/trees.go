package hostop

import (
	"math"
	"slices"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// treeNode is a node of a decision tree.
type treeNode struct {
	mode    string
	feature int64
	value   float64
	members []float64 // that a BRANCH_MEMBER node looks for
	missing bool      // NaN takes the true branch
	yes, no int
	scores  []leafScore // of a leaf
}

type leafScore struct {
	id     int64
	weight float64
}

// forest is the ensemble of an op: nodes in the order of the attributes, and the trees' roots.
type forest struct {
	nodes []treeNode
	roots []int
}

// floatsAttr reads floats, or the tensor that stands for them in double precision.
func floatsAttr(a Attrs, name string) []float64 {
	if t, ok := a[name+"_as_tensor"].(*tensor.Tensor); ok && t != nil {
		return floatsOf(t)
	}
	return a.Floats(name, nil)
}

type nodeKey struct{ tree, node int64 }

var branchModes = []string{"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"}

// newForest reads the nodes and the weights of the leaves, whose attributes start with prefix.
func newForest(a Attrs, prefix string) *forest {
	trees, ids := a.Ints("nodes_treeids", nil), a.Ints("nodes_nodeids", nil)
	modes, features, values := a.Strs("nodes_modes", nil), a.Ints("nodes_featureids", nil), floatsAttr(a, "nodes_values")
	yes, no, missing := a.Ints("nodes_truenodeids", nil), a.Ints("nodes_falsenodeids", nil), a.Ints("nodes_missing_value_tracks_true", nil)
	n := len(ids)
	check(len(trees) == n && len(modes) == n && len(features) == n && len(values) == n && len(yes) == n && len(no) == n && (len(missing) == 0 || len(missing) == n),
		"the lists of %d nodes differ in length", n)
	index := make(map[nodeKey]int, n)
	for i := range ids {
		k := nodeKey{trees[i], ids[i]}
		_, twice := index[k]
		check(!twice, "node %d of tree %d is there twice", k.node, k.tree)
		index[k] = i
	}
	f := &forest{nodes: make([]treeNode, n)}
	child := make([]bool, n)
	for i := range f.nodes {
		f.nodes[i] = treeNode{mode: modes[i], feature: features[i], value: values[i], missing: len(missing) > 0 && missing[i] != 0}
		if modes[i] == "LEAF" {
			continue
		}
		check(slices.Contains(branchModes, modes[i]), "node mode %q is not known", modes[i])
		for k, to := range [2]int64{yes[i], no[i]} {
			j, ok := index[nodeKey{trees[i], to}]
			check(ok, "node %d of tree %d leads to node %d, which is not there", ids[i], trees[i], to)
			child[j] = true
			if k == 0 {
				f.nodes[i].yes = j
			} else {
				f.nodes[i].no = j
			}
		}
	}
	seen := map[int64]bool{}
	for i := range f.nodes {
		if !child[i] && !seen[trees[i]] {
			seen[trees[i]] = true
			f.roots = append(f.roots, i)
		}
	}
	for _, t := range trees {
		check(seen[t], "tree %d has no root", t)
	}
	f.readScores(a, prefix, index)
	return f
}

func (f *forest) readScores(a Attrs, prefix string, index map[nodeKey]int) {
	trees, nodes, ids, weights := a.Ints(prefix+"_treeids", nil), a.Ints(prefix+"_nodeids", nil), a.Ints(prefix+"_ids", nil), floatsAttr(a, prefix+"_weights")
	check(len(trees) == len(ids) && len(nodes) == len(ids) && len(weights) == len(ids), "the lists of %d leaf weights differ in length", len(ids))
	for i := range ids {
		j, ok := index[nodeKey{trees[i], nodes[i]}]
		check(ok, "a weight of node %d of tree %d, which is not there", nodes[i], trees[i])
		check(ids[i] >= 0, "%s id %d", prefix, ids[i])
		f.nodes[j].scores = append(f.nodes[j].scores, leafScore{ids[i], weights[i]})
	}
}

// leaf walks from root to the leaf that a row of features reaches.
func (f *forest) leaf(root int, row []float64) *treeNode {
	at := root
	for range len(f.nodes) + 1 {
		n := &f.nodes[at]
		if n.mode == "LEAF" {
			return n
		}
		check(n.feature >= 0 && n.feature < int64(len(row)), "feature %d of %d", n.feature, len(row))
		at = n.no
		if n.takes(row[n.feature]) {
			at = n.yes
		}
	}
	fail("a tree has a cycle")
	return nil
}

func (n *treeNode) takes(x float64) bool {
	if x != x && n.missing {
		return true
	}
	switch n.mode {
	case "BRANCH_LEQ":
		return x <= n.value
	case "BRANCH_LT":
		return x < n.value
	case "BRANCH_GTE":
		return x >= n.value
	case "BRANCH_GT":
		return x > n.value
	case "BRANCH_EQ":
		return x == n.value
	case "BRANCH_MEMBER":
		return slices.Contains(n.members, x)
	}
	return x != n.value
}

// rowsOf reads X as rows of features; a vector is one row.
func rowsOf(x *tensor.Tensor) [][]float64 {
	check(len(x.Shape) == 1 || len(x.Shape) == 2, "[N,F] or [F] wanted, got %s", x.TypeString())
	v, f := floatsOf(x), x.Shape[len(x.Shape)-1]
	n := int64(1)
	if len(x.Shape) == 2 {
		n = x.Shape[0]
	}
	rows := make([][]float64, n)
	for i := range rows {
		rows[i] = v[int64(i)*f : (int64(i)+1)*f]
	}
	return rows
}

// aggregate combines the weights that the trees give each of n targets; has tells which got any.
func (f *forest) aggregate(row []float64, n int64, how string) (sum []float64, has []bool) {
	sum, has = make([]float64, n), make([]bool, n)
	for _, r := range f.roots {
		for _, s := range f.leaf(r, row).scores {
			check(s.id < n, "target %d of %d", s.id, n)
			switch {
			case !has[s.id]:
				sum[s.id] = s.weight
			case how == "MIN":
				sum[s.id] = min(sum[s.id], s.weight)
			case how == "MAX":
				sum[s.id] = max(sum[s.id], s.weight)
			default:
				sum[s.id] += s.weight
			}
			has[s.id] = true
		}
	}
	if how == "AVERAGE" {
		for i := range sum {
			sum[i] /= float64(len(f.roots))
		}
	}
	return sum, has
}

// TreeEnsembleRegressor is the sum, mean, min or max over decision trees, f32[N,targets].
func TreeEnsembleRegressor(c *Call) (err error) {
	defer guard(&err)
	x, n := c.in(0), c.Attrs.Int("n_targets", 1)
	how := c.Attrs.Str("aggregate_function", "SUM")
	oneOf("aggregate_function", how, "SUM", "AVERAGE", "MIN", "MAX")
	f, base := newForest(c.Attrs, "target"), floatsAttr(c.Attrs, "base_values")
	rows := rowsOf(x)
	shape := []int64{int64(len(rows)), n}
	elemCount(shape, 64)
	check(len(base) == 0 || int64(len(base)) == n, "%d base values for %d targets", len(base), n)
	var out []float64
	for _, row := range rows {
		s, _ := f.aggregate(row, n, how)
		for i := range base {
			s[i] += base[i]
		}
		postTransform(c.Attrs.Str("post_transform", "NONE"), s)
		out = append(out, s...)
	}
	c.give(fromFloats(tensor.F32, shape, out))
	return nil
}

// postTransform maps the scores of one row in place.
func postTransform(name string, s []float64) {
	switch name {
	case "NONE":
	case "LOGISTIC":
		for i := range s {
			s[i] = sigmoid(s[i])
		}
	case "SOFTMAX":
		softmax(s)
	case "SOFTMAX_ZERO":
		softmaxZero(s)
	case "PROBIT":
		for i := range s {
			s[i] = probit(s[i])
		}
	default:
		fail("post_transform is %q", name)
	}
}

// probit is the inverse of the normal distribution, by Winitzki's approximation of the inverse error
// function with a = 0.147 ("A handy approximation for the error function and its inverse", 2008), which is
// off by 2e-3 at most: it is what other implementations of ONNX give.
func probit(p float64) float64 {
	const a = 0.147
	x := 2*p - 1
	l := math.Log1p(-x * x)
	v := 2/(math.Pi*a) + l/2
	e := math.Sqrt(-v + math.Sqrt(v*v-l/a))
	if math.IsInf(l, -1) {
		e = math.Inf(1)
	}
	return math.Sqrt2 * math.Copysign(e, x)
}

// softmaxZero is softmax over the scores that are not 0; those stay 0.
func softmaxZero(s []float64) {
	m, sum := fold(math.Inf(-1), s, maxNaN), 0.0
	for i, x := range s {
		if math.Abs(x) > 1e-7 {
			s[i] = math.Exp(x - m)
			sum += s[i]
		} else {
			s[i] = x * math.Exp(-m)
		}
	}
	if sum == 0 {
		return
	}
	for i := range s {
		s[i] /= sum
	}
}

// TreeEnsembleClassifier gives the label of the best class [N] and scores [N,classes].
func TreeEnsembleClassifier(c *Call) (err error) {
	defer guard(&err)
	x := c.in(0)
	f, base := newForest(c.Attrs, "class"), floatsAttr(c.Attrs, "base_values")
	ints, strs := c.Attrs.Ints("classlabels_int64s", nil), c.Attrs.Strs("classlabels_strings", nil)
	n := int64(max(len(ints), len(strs)))
	check(n > 0, "no class labels")
	check(len(base) <= int(n), "%d base values for %d classes", len(base), n)
	rows := rowsOf(x)
	b := newBinaryScores(c.Attrs, n)
	best := make([]int64, len(rows))
	var out []float64
	for i, row := range rows {
		s, _ := f.aggregate(row, n, "SUM")
		if b != nil {
			best[i] = b.finish(s, base)
		} else {
			for k := range base {
				s[k] += base[k]
			}
			for k := range s {
				if s[k] > s[best[i]] {
					best[i] = int64(k)
				}
			}
			postTransform(c.Attrs.Str("post_transform", "NONE"), s)
		}
		out = append(out, s...)
	}
	c.give(labels(best, ints, strs), fromFloats(tensor.F32, []int64{int64(len(rows)), n}, out))
	return nil
}

// labels turns class numbers into labels.
func labels(best, ints []int64, strs []string) *tensor.Tensor {
	shape := []int64{int64(len(best))}
	if len(strs) > 0 {
		out := alloc(tensor.String, shape...)
		for i, k := range best {
			out.Strings[i] = strs[k]
		}
		return out
	}
	out := make([]int64, len(best))
	for i, k := range best {
		out[i] = ints[k]
	}
	return fromInts(tensor.I64, shape, out)
}

// binaryScores handles two classes of which the leaves score one only, the positive. The specification
// leaves open what the other gets; this is what ONNX Runtime does: the complement where all weights are
// positive (they are probabilities, which it does not transform) and there is one base value at most, else
// the negation.
type binaryScores struct {
	id       int64
	positive bool
	post     string
}

func newBinaryScores(a Attrs, n int64) *binaryScores {
	ids := a.Ints("class_ids", nil)
	if n != 2 || len(ids) == 0 || slices.ContainsFunc(ids, func(i int64) bool { return i != ids[0] }) || ids[0] > 1 {
		return nil
	}
	w := floatsAttr(a, "class_weights")
	positive := len(floatsAttr(a, "base_values")) < 2 && !slices.ContainsFunc(w, func(x float64) bool { return x < 0 })
	return &binaryScores{ids[0], positive, a.Str("post_transform", "NONE")}
}

// finish sets both scores and gives the class.
func (b *binaryScores) finish(s, base []float64) int64 {
	pos := s[b.id]
	if len(base) > 0 {
		pos += base[len(base)-1]
	}
	class, limit := int64(0), 0.0
	if b.positive {
		limit = 0.5
	}
	if pos > limit {
		class = 1
	}
	if b.positive {
		s[0], s[1] = 1-pos, pos
	} else {
		s[0], s[1] = -pos, pos
	}
	if !b.positive || b.post == "PROBIT" {
		postTransform(b.post, s)
	}
	return class
}
