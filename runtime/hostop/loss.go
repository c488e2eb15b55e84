package hostop

import "github.com/nnc-go/nnc/runtime/tensor"

// NegativeLogLikelihoodLoss picks -x[n,target[n,...],...], weighted by class and reduced to a sum or a
// weighted mean. Targets equal to ignore_index count for nothing; that index may be no class at all.
func NegativeLogLikelihoodLoss(c *Call) (err error) {
	defer guard(&err)
	c.give(nllLoss(c, c.in(0)))
	return nil
}

// SoftmaxCrossEntropyLoss is NegativeLogLikelihoodLoss of the logarithm of softmax along axis 1, which is
// the second result.
func SoftmaxCrossEntropyLoss(c *Call) (err error) {
	defer guard(&err)
	sub := &Call{In: c.In[:1], Attrs: Attrs{"axis": int64(1)}, NumOut: 1}
	if err := LogSoftmax(sub); err != nil {
		return err
	}
	logs := sub.Out[0].(*tensor.Tensor)
	c.give(nllLoss(c, logs), logs)
	return nil
}

func nllLoss(c *Call, x *tensor.Tensor) *tensor.Tensor {
	target, weight := c.in(1), c.opt(2)
	reduction := c.Attrs.Str("reduction", "mean")
	oneOf("reduction", reduction, "none", "sum", "mean")
	r := len(x.Shape)
	check(r >= 2 && len(target.Shape) == r-1, "targets %s for %s", target.TypeString(), x.TypeString())
	for i, d := range append([]int64{x.Shape[0]}, x.Shape[2:]...) {
		check(d == target.Shape[i], "targets %s for %s", target.TypeString(), x.TypeString())
	}
	classes, inner := x.Shape[1], product(x.Shape[2:])
	var w []float64
	if weight != nil {
		check(weight.Len() == classes, "weights %s for %d classes", weight.TypeString(), classes)
		w = floatsOf(weight)
	}
	ignore, ignores := c.Attrs["ignore_index"].(int64)
	vals := floatsOf(x)
	loss := make([]float64, target.Len())
	sum, total := 0.0, 0.0
	for i, t := range intsOf(target) {
		if ignores && t == ignore {
			continue
		}
		t = wrapIndex(t, classes)
		scale := 1.0
		if w != nil {
			scale = w[t]
		}
		n, at := int64(i)/max(inner, 1), int64(i)%max(inner, 1)
		loss[i] = -vals[(n*classes+t)*inner+at] * scale
		sum, total = sum+loss[i], total+scale
	}
	switch reduction {
	case "none":
		return fromFloats(x.DType, target.Shape, loss)
	case "mean":
		sum /= total
	}
	return fromFloats(x.DType, []int64{}, []float64{sum})
}
