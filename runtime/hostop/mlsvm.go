package hostop

import (
	"math"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// svmKernels are the kernels of support vector machines: functions of two vectors and the parameters
// gamma, coef0 and degree.
var svmKernels = map[string]func(a, b []float64, p [3]float64) float64{
	"LINEAR":  func(a, b []float64, _ [3]float64) float64 { return innerProduct(a, b) },
	"POLY":    func(a, b []float64, p [3]float64) float64 { return math.Pow(p[0]*innerProduct(a, b)+p[1], p[2]) },
	"SIGMOID": func(a, b []float64, p [3]float64) float64 { return math.Tanh(p[0]*innerProduct(a, b) + p[1]) },
	"RBF":     func(a, b []float64, p [3]float64) float64 { return math.Exp(-p[0] * squaredDistance(a, b)) },
}

func innerProduct(a, b []float64) (sum float64) {
	for i, x := range a {
		sum += x * b[i]
	}
	return sum
}

func squaredDistance(a, b []float64) (sum float64) {
	for i, x := range a {
		sum += (x - b[i]) * (x - b[i])
	}
	return sum
}

// kernelValues applies the kernel of an SVM to each row and each of n support vectors.
func kernelValues(a Attrs, rows [][]float64, n int) [][]float64 {
	kernel, sv, params := svmKernels[a.Str("kernel_type", "LINEAR")], a.Floats("support_vectors", nil), [3]float64{}
	check(kernel != nil, "kernel_type is %q, want LINEAR, POLY, RBF or SIGMOID", a.Str("kernel_type", ""))
	copy(params[:], a.Floats("kernel_params", nil))
	out := make([][]float64, len(rows))
	for i, row := range rows {
		f := len(row)
		check(n*f == len(sv), "%d numbers in %d support vectors for %d features", len(sv), n, f)
		out[i] = make([]float64, n)
		for k := range out[i] {
			out[i][k] = kernel(row, sv[k*f:(k+1)*f], params)
		}
	}
	return out
}

// SVMRegressor is the weighted sum of kernel values plus rho, f32[N,1]; with one_class, its sign. Without
// support vectors it is a linear function.
func SVMRegressor(c *Call) (err error) {
	defer guard(&err)
	rows, a := rowsOf(c.in(0)), c.Attrs
	coefficients, rho, n := a.Floats("coefficients", nil), a.Floats("rho", nil), a.Int("n_supports", 0)
	check(len(rho) >= 1, "rho is missing")
	if n > 0 {
		rows = kernelValues(a, rows, int(n))
	}
	scores := linear(rows, coefficients, rho[:1], 1)
	if a.Int("one_class", 0) != 0 {
		for _, s := range scores {
			if s[0] > 0 {
				s[0] = 1
			} else {
				s[0] = -1
			}
		}
	}
	c.give(giveScores(scores, 1, a.Str("post_transform", "NONE")))
	return nil
}

// SVMClassifier gives the label of the best class [N] and scores. With support vectors each pair of
// classes has a function of the kernel values; the class that wins most pairs is the best, and the
// scores are those of the pairs (of two classes -s and s), or with prob_a and prob_b probabilities of the
// classes. Without, each class has a linear function.
func SVMClassifier(c *Call) (err error) {
	defer guard(&err)
	rows, a := rowsOf(c.in(0)), c.Attrs
	ints, strs := a.Ints("classlabels_ints", nil), a.Strs("classlabels_strings", nil)
	classes, rho, post := max(len(ints), len(strs)), a.Floats("rho", nil), a.Str("post_transform", "NONE")
	check(classes >= 2, "%d class labels, want at least 2", classes)
	check(len(rho) >= 1, "rho is missing")
	var scores [][]float64
	best, width := make([]int64, len(rows)), int64(classes)
	if starts := a.Ints("vectors_per_class", nil); sumInts(starts) == 0 {
		intercepts := make([]float64, classes)
		for i := range intercepts {
			intercepts[i] = rho[0]
		}
		scores = linear(rows, a.Floats("coefficients", nil), intercepts, classes)
		for i, s := range scores {
			best[i] = int64(argmax(s))
		}
	} else {
		s := newPairs(a, classes, starts)
		for i, k := range kernelValues(a, rows, s.vectors) {
			var v []float64
			v, best[i] = s.scores(k)
			scores = append(scores, v)
		}
		width = int64(s.width())
	}
	c.give(labels(best, ints, strs), giveScores(scores, width, post))
	return nil
}

func sumInts(v []int64) (sum int64) {
	for _, x := range v {
		sum += x
	}
	return sum
}

// pairs are the functions of pairs of classes of an SVM.
type pairs struct {
	classes, vectors          int
	starts                    []int // of the support vectors of each class, and their end
	coefficients, rho, pa, pb []float64
}

func newPairs(a Attrs, classes int, perClass []int64) *pairs {
	check(len(perClass) == classes, "vectors_per_class has %d entries for %d classes", len(perClass), classes)
	p := &pairs{classes: classes, starts: []int{0}, coefficients: a.Floats("coefficients", nil), rho: a.Floats("rho", nil), pa: a.Floats("prob_a", nil), pb: a.Floats("prob_b", nil)}
	for _, n := range perClass {
		check(n >= 0, "vectors_per_class %v", perClass)
		p.vectors += int(n)
		p.starts = append(p.starts, p.vectors)
	}
	n := classes * (classes - 1) / 2
	check(len(p.rho) >= n && len(p.coefficients) >= (classes-1)*p.vectors, "%d coefficients and %d of rho for %d classes and %d support vectors",
		len(p.coefficients), len(p.rho), classes, p.vectors)
	check(len(p.pa) == len(p.pb) && (len(p.pa) == 0 || len(p.pa) >= n), "%d of prob_a and %d of prob_b for %d pairs of classes", len(p.pa), len(p.pb), n)
	return p
}

func (p *pairs) width() int {
	if len(p.pa) > 0 || p.classes == 2 {
		return p.classes
	}
	return p.classes * (p.classes - 1) / 2
}

// scores gives the scores for the kernel values k and the class with most votes.
func (p *pairs) scores(k []float64) (s []float64, best int64) {
	votes := make([]float64, p.classes)
	for i := range p.classes {
		for j := i + 1; j < p.classes; j++ {
			v := p.rho[len(s)]
			for m := p.starts[i]; m < p.starts[i+1]; m++ {
				v += p.coefficients[(j-1)*p.vectors+m] * k[m]
			}
			for m := p.starts[j]; m < p.starts[j+1]; m++ {
				v += p.coefficients[i*p.vectors+m] * k[m]
			}
			if v > 0 {
				votes[i]++
			} else {
				votes[j]++
			}
			s = append(s, v)
		}
	}
	best = int64(argmax(votes))
	switch {
	case len(p.pa) > 0:
		for i := range s {
			s[i] = min(max(sigmoid(-(s[i]*p.pa[i]+p.pb[i])), 1e-7), 1-1e-7)
		}
		return coupled(s, p.classes), best
	case p.classes == 2:
		return []float64{-s[0], s[0]}, best
	}
	return s, best
}

// coupled finds the probabilities of n classes of which those of the pairs are r: r[i<j] that it is i of
// the two. It is the second method of Wu, Lin and Weng, "Probability Estimates for Multi-class
// Classification by Pairwise Coupling" (2004), with the number of steps and the precision of LIBSVM.
func coupled(r []float64, n int) []float64 {
	q, p := make([][]float64, n), make([]float64, n)
	for i := range q {
		q[i], p[i] = make([]float64, n), 1/float64(n)
	}
	pair := 0
	for i := range n {
		for j := i + 1; j < n; j++ {
			a, b := r[pair], 1-r[pair]
			q[i][i], q[j][j] = q[i][i]+b*b, q[j][j]+a*a
			q[i][j], q[j][i] = -a*b, -a*b
			pair++
		}
	}
	qp := make([]float64, n)
	for range 100 {
		pqp, worst := 0.0, 0.0
		for i := range n {
			qp[i] = innerProduct(q[i], p)
			pqp += p[i] * qp[i]
		}
		for _, x := range qp {
			worst = max(worst, math.Abs(x-pqp))
		}
		if worst < 0.005/float64(n) {
			break
		}
		for i := range n {
			d := (pqp - qp[i]) / q[i][i]
			p[i] += d
			pqp = (pqp + d*(d*q[i][i]+2*qp[i])) / (1 + d) / (1 + d)
			for j := range n {
				qp[j] = (qp[j] + d*q[i][j]) / (1 + d)
				p[j] /= 1 + d
			}
		}
	}
	return p
}

// SquaredDistance is the square of the distance of each row of X [N,F] from each column of Y [F,M], [N,M].
func SquaredDistance(c *Call) (err error) {
	defer guard(&err)
	x, y := c.in(0), c.in(1)
	check(len(x.Shape) == 2 && len(y.Shape) == 2 && x.Shape[1] == y.Shape[0], "%s and %s", x.TypeString(), y.TypeString())
	var out []float64
	ys := rowsOf(permute(y, []int{1, 0}))
	for _, a := range rowsOf(x) {
		for _, b := range ys {
			out = append(out, squaredDistance(a, b))
		}
	}
	c.give(fromFloats(x.DType, []int64{x.Shape[0], y.Shape[1]}, out))
	return nil
}

// PairwiseCoupling gives the probabilities of classes [N,C] of which those of the pairs are R [N,C(C-1)/2].
func PairwiseCoupling(c *Call) (err error) {
	defer guard(&err)
	r, n := c.in(0), c.Attrs.Int("classes", 2)
	check(len(r.Shape) == 2 && r.Shape[1] == n*(n-1)/2, "%s for the pairs of %d classes", r.TypeString(), n)
	var out []float64
	for _, row := range rowsOf(r) {
		out = append(out, coupled(row, int(n))...)
	}
	c.give(fromFloats(tensor.F32, []int64{r.Shape[0], n}, out))
	return nil
}
