package hostop

import (
	"slices"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// linear computes rows x coefficients^T + intercepts. coefficients are those of one function after the other.
func linear(rows [][]float64, coefficients, intercepts []float64, functions int) [][]float64 {
	out := make([][]float64, len(rows))
	for i, row := range rows {
		f := len(row)
		check(f*functions == len(coefficients), "%d coefficients for %d features and %d linear functions", len(coefficients), f, functions)
		out[i] = make([]float64, functions)
		for k := range out[i] {
			if len(intercepts) > 0 {
				out[i][k] = intercepts[k]
			}
			for j, x := range row {
				out[i][k] += x * coefficients[k*f+j]
			}
		}
	}
	return out
}

// LinearRegressor is linear functions of the rows of X, f32[N,targets].
func LinearRegressor(c *Call) (err error) {
	defer guard(&err)
	rows, n, a := rowsOf(c.in(0)), c.Attrs.Int("targets", 1), c.Attrs
	intercepts := a.Floats("intercepts", nil)
	check(n >= 1 && (len(intercepts) == 0 || int64(len(intercepts)) == n), "%d intercepts for %d targets", len(intercepts), n)
	scores := linear(rows, a.Floats("coefficients", nil), intercepts, int(n))
	c.give(giveScores(scores, n, a.Str("post_transform", "NONE")))
	return nil
}

// giveScores transforms the scores of all rows and makes f32[N,n] of them.
func giveScores(scores [][]float64, n int64, post string) *tensor.Tensor {
	var out []float64
	for _, s := range scores {
		postTransform(post, s)
		out = append(out, s...)
	}
	return fromFloats(tensor.F32, []int64{int64(len(scores)), n}, out)
}

// LinearClassifier gives the label of the linear function that is largest [N] and all scores [N,C]. With
// one function and two labels, the second label is that of positive values; their scores are 1-s and s
// (-s and s where they are transformed).
func LinearClassifier(c *Call) (err error) {
	defer guard(&err)
	rows, a := rowsOf(c.in(0)), c.Attrs
	ints, strs := a.Ints("classlabels_ints", nil), a.Strs("classlabels_strings", nil)
	coefficients, intercepts, post := a.Floats("coefficients", nil), a.Floats("intercepts", nil), a.Str("post_transform", "NONE")
	classes := max(len(ints), len(strs))
	functions := classes
	if len(intercepts) > 0 {
		functions = len(intercepts)
	}
	check(functions > 0 && (functions == classes || functions == 1), "%d linear functions for %d class labels", functions, classes)
	scores, best := linear(rows, coefficients, intercepts, functions), make([]int64, len(rows))
	width := int64(functions)
	if functions == 1 && classes == 2 {
		width = 2
	}
	for i, s := range scores {
		best[i] = int64(argmax(s))
		if functions != 1 {
			continue
		}
		best[i] = 0
		if s[0] > 0 {
			best[i] = 1
		}
		switch {
		case classes != 2:
		case post == "NONE" || post == "PROBIT":
			scores[i] = []float64{1 - s[0], s[0]}
		default:
			scores[i] = []float64{-s[0], s[0]}
		}
	}
	if functions == 1 && classes != 2 {
		ints, strs = []int64{0, 1}, map[bool][]string{true: {"0", "1"}}[len(strs) > 0]
	}
	c.give(labels(best, ints, strs), giveScores(scores, width, post))
	return nil
}

// argmax is the place of the largest, the first of several.
func argmax(s []float64) int {
	return slices.Index(s, slices.Max(s))
}
