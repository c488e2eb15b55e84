package onnx

import (
	"fmt"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// swapped is the permutation of rank dimensions that swaps the last two, after moving the first behind the batch
// dimensions if batch is set.
func swapped(rank int, batch, swap bool) []int64 {
	perm := make([]int64, rank)
	for i := range perm {
		perm[i] = int64(i)
	}
	if batch {
		copy(perm, perm[1:rank-1])
		perm[rank-2] = 0
	}
	if swap {
		perm[rank-2], perm[rank-1] = perm[rank-1], perm[rank-2]
	}
	return perm
}

// fusedMatMul imports com.microsoft FusedMatMul: alpha * op(A) * op(B). transBatch moves the first dimension
// behind the batch dimensions.
func fusedMatMul(c *nodeCtx) error {
	for i, side := range []string{"A", "B"} {
		swap, batch := take(c, "trans"+side, int64(0)) != 0, take(c, "transBatch"+side, int64(0)) != 0
		r := rank(c.in[i])
		if !swap && !batch || r == 1 { // vectors are not transposed
			continue
		}
		if r < 0 {
			return unsupportedf("a transposed operand of unknown rank")
		}
		if batch && r < 3 {
			return fmt.Errorf("transBatch%s needs rank 3 or more, the operand has %d", side, r)
		}
		c.in[i] = c.one("Transpose", ir.Attrs{"perm": swapped(r, batch, swap)}, c.in[i])
	}
	alpha := take(c, "alpha", 1.0)
	y := c.one("MatMul", nil, c.in...)
	if alpha != 1 {
		y = c.one("Mul", nil, y, c.scalar(alpha, y))
	}
	return c.bind(0, y)
}

// fusedActs are the activations of FusedConv and FusedGemm, with the attributes that their parameters are.
var fusedActs = map[string][]string{
	"Relu": {}, "Sigmoid": {}, "Tanh": {}, "Softplus": {}, "Softsign": {},
	"LeakyRelu": {"alpha"}, "Elu": {"alpha"}, "ThresholdedRelu": {"alpha"}, "HardSigmoid": {"alpha", "beta"}, "Selu": {"alpha", "gamma"},
}

// activated applies an activation, if one is named.
func (c *nodeCtx) activated(name string, params []float64, v *ir.Value) (*ir.Value, error) {
	attrs, ok := fusedActs[name]
	switch {
	case name == "":
		return v, nil
	case name == "Clip" && len(params) == 2:
		return c.one("Clip", nil, v, c.scalar(params[0], v), c.scalar(params[1], v)), nil
	case name == "HardSwish":
		return c.one("HardSwish", nil, v), nil
	case !ok || len(params) != 0 && len(params) != len(attrs):
		return nil, fmt.Errorf("activation %q with parameters %v is not known", name, params)
	}
	given := ir.Attrs{}
	for i, x := range params {
		given[attrs[i]] = x
	}
	return c.one(name, given, v), nil
}

// fusedGemm imports com.microsoft FusedGemm.
func fusedGemm(c *nodeCtx) error {
	name := take(c, "activation", "")
	var params []float64
	for _, attr := range fusedActs[name] {
		full := "activation_" + attr
		if p, ok := c.attrs[full].(float64); ok {
			params = append(params, p)
		}
	}
	for _, attr := range []string{"alpha", "beta", "gamma"} {
		delete(c.attrs, "activation_"+attr)
	}
	y, err := c.activated(name, params, c.one("Gemm", c.attrs, c.in...))
	if err != nil {
		return err
	}
	return c.bind(0, y)
}

// fusedConv imports com.microsoft FusedConv: activation(Conv(X, W, B) + Z).
func fusedConv(c *nodeCtx) error {
	name, params := take(c, "activation", ""), take(c, "activation_params", []float64(nil))
	z := c.operand(3)
	y := c.one("Conv", c.attrs, c.in[:min(3, len(c.in))]...)
	if z != nil {
		y = c.one("Add", nil, y, z)
	}
	y, err := c.activated(name, params, y)
	if err != nil {
		return err
	}
	return c.bind(0, y)
}

func biasGelu(c *nodeCtx) error {
	return c.define1("Gelu", nil, c.one("Add", nil, c.in[0], c.in[1]))
}

// fastGelu imports com.microsoft FastGelu, the tanh form.
func fastGelu(c *nodeCtx) error {
	x := c.in[0]
	if b := c.operand(1); b != nil {
		x = c.one("Add", nil, x, b)
	}
	return c.define1("Gelu", ir.Attrs{"approximate": "tanh"}, x)
}

// quickGelu imports com.microsoft QuickGelu: x*sigmoid(alpha*x).
func quickGelu(c *nodeCtx) error {
	x := c.in[0]
	return c.define1("Mul", nil, x, c.one("Sigmoid", nil, c.one("Mul", nil, x, c.scalar(c.attrs.Float("alpha", 1.702), x))))
}

// biasSplitGelu imports com.microsoft BiasSplitGelu: the first half of X+bias times Gelu of the second.
func biasSplitGelu(c *nodeCtx) error {
	x := c.one("Add", nil, c.in[0], c.in[1])
	halves := c.emit("Split", []*ir.Value{x}, 2, ir.Attrs{"axis": int64(-1), "num_outputs": int64(2)})
	c.infer(halves)
	return c.define1("Mul", nil, halves.Results[0], c.one("Gelu", nil, halves.Results[1]))
}

// skipLayerNorm imports com.microsoft SkipLayerNormalization and SkipSimplifiedLayerNormalization: the
// normalisation of input+skip(+bias), which is a result too.
func skipLayerNorm(c *nodeCtx) error {
	simple := c.row.ir == "RMSNormalization"
	sum := c.one("Add", nil, c.in[0], c.in[1])
	shift, bias := c.operand(3), c.operand(4)
	if simple {
		shift, bias = nil, shift
	}
	if bias != nil {
		sum = c.one("Add", nil, sum, bias)
	}
	if err := c.bind(3, sum); err != nil {
		return err
	}
	if simple && c.wants(1) {
		return unsupportedf("output \"mean\" of a normalisation without one")
	}
	return c.normalise(sum, c.in[2], shift, 1, 2)
}

// normalise makes the node's first output the normalisation of x that the row's op is, and the given outputs its
// mean and inverse deviation.
func (c *nodeCtx) normalise(x, scale, bias *ir.Value, mean, inv int) error {
	attrs := ir.Attrs{}
	if eps := c.attrs.Float("epsilon", 1e-12); float32(eps) != 1e-5 {
		attrs["epsilon"] = eps
	}
	places := []int{0, mean, inv}
	if c.row.ir == "RMSNormalization" {
		places = []int{0, inv}
	}
	op := c.emit(c.row.ir, []*ir.Value{x, scale, bias}, len(places), attrs)
	for i, p := range places {
		if p < 0 || !c.wants(p) {
			op.Results[i] = nil
			continue
		}
		if err := c.bind(p, op.Results[i]); err != nil {
			return err
		}
	}
	c.infer(op)
	return nil
}

// embedLayerNorm imports com.microsoft EmbedLayerNormalization: the normalised sum of the embeddings of words, positions
// and segments. mask_index counts the ones of each row of the mask.
func embedLayerNorm(c *nodeCtx) error {
	ids, segments, mask, positions := c.in[0], c.operand(1), c.operand(7), c.operand(8)
	if positions == nil {
		length := c.one("Gather", nil, c.one("Shape", nil, ids), c.constant(tensor.Of([]int64{1})))
		positions = c.one("Range", nil, c.constant(tensor.Of([]int64{0})), length, c.constant(tensor.Of([]int64{1})))
	}
	sum := c.one("Add", nil, c.one("Gather", nil, c.in[2], ids), c.one("Gather", nil, c.in[3], positions))
	if segments != nil {
		if c.operand(4) == nil {
			return fmt.Errorf("segment_ids without segment_embedding")
		}
		sum = c.one("Add", nil, sum, c.one("Gather", nil, c.in[4], segments))
	}
	if err := c.bind(2, sum); err != nil {
		return err
	}
	if c.wants(1) {
		var index *ir.Value
		i32 := ir.Attrs{"to": tensor.I32}
		if mask != nil {
			ones := c.one("Cast", i32, c.one("Equal", nil, mask, c.constant(tensor.Of([]int32{1}))))
			index = c.one("ReduceSum", ir.Attrs{"keepdims": int64(0)}, ones, c.ints(1))
		} else {
			batch := c.one("Slice", nil, c.one("Shape", nil, ids), c.ints(0), c.ints(1))
			index = c.one("ConstantOfShape", ir.Attrs{"value": ir.DataOf(tensor.Of([]int32{0}, 1))}, batch)
		}
		if err := c.bind(1, index); err != nil {
			return err
		}
	}
	return c.normalise(sum, c.in[5], c.in[6], -1, -1)
}
