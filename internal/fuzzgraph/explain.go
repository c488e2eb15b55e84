package main

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"

	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
	"github.com/nnc-go/nnc/runtime/tensor"
)

const runtimeArch = runtime.GOARCH

// difference is a known difference between nnc and the peer, seen on a graph that was shrunk: where nnc follows
// the specification, or its own rule where that is silent, and the peer does otherwise. A row must not cover more
// than what it says, lest it hide a bug of the same operator.
type difference struct {
	ops  string                                // one of these is in the graph; "" for any
	say  string                                // part of the complaint, which begins with "peer differs" or "peer refuses"
	when func(g *graph, complaint string) bool // nil for always
	why  string
}

const reduces = "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare"

var differences = []difference{
	{"NonZero", "want i64[0,", nil, "of a scalar, NonZero has no rows by the specification; the peer does as numpy does"},
	{"NonZero", "by zero", nil, "the same, and then divides by the row"},
	{"Resize", "u8[", attrIs("mode", "linear"), "nnc rounds interpolated bytes to the nearest, the peer cuts them off (docs/semantics.md)"},
	{"Resize", "peer differs", attrIs("coordinate_transformation_mode", "align_corners"),
		"align_corners with scales: ONNX's tests want the size that the scale gives, the peer rounds it first"},
	{"Resize", "got NaN", notFinite, "the peer computes linear interpolation with infinities where their weight is 0"},
	{"Resize", "want NaN", both(attrIs("mode", "cubic"), notFinite), "infinities whose cubic weight is 0 make NaN in nnc, not always in the peer"},
	{"Resize", "Tensor type mismatch", nil, "the peer has no cubic interpolation of bytes"},
	{"Sign", "got 0, want NaN", both(ofType(tensor.F16), notFinite), "the sign of NaN of f16 is 0 in the peer"},
	{"Det", "got NaN, want 0 ", notFinite, "a matrix without a pivot has determinant 0 in nnc, beside infinities too"},
	{"Det", "got NaN, want -0 ", notFinite, "a matrix without a pivot has determinant 0 in nnc, beside infinities too"},
	{"Where", "got Infinity, want -Infinity", negativeZero, "the peer adds 0 to what it chooses, and -0 is lost"},
	{"Div Mod", "crashed", overflowing, "the peer divides the least integer by -1"},
	{"Shrink", "output 0, i", largeInts, "the peer computes integers in f32"},
	{"Shrink", "output 0, u", largeInts, "the peer computes integers in f32"},
	{"Shrink", "f64", within(1e-5), "the peer computes in f32"},
	{"RMSNormalization LayerNormalization GroupNormalization", "f64", within(1e-5), "the peer rounds to f32 (stash_type), nnc keeps f64"},
	{"GroupNormalization InstanceNormalization", "f32[", within(1e-3), "the peer takes the variance as a difference of means, which cancels"},
	{"Sigmoid", "f32[", within(1e-5), "the peer's sigmoid is a rational approximation"},
	{"Gelu", "f64", both(attrIs("approximate", "tanh"), within(1e-6)), "the peer's expansion of Gelu has its constants in f32"},
	{"Attention", "f64", within(1e-5), "the peer computes scores of f64 in f32"},
	{"Attention", "got NaN, want 0", masked, "a row that is masked altogether is zeros in nnc (docs/semantics.md)"},
	{"Attention", "bound to different types", nil, "the peer's expansion of bf16 attention does not type"},
	{"QuantizeLinear", "-128", notFinite, "NaN becomes the least integer in nnc, in the peer that depends on the type"},
	{"QuantizeLinear", "got 0, want 255", both(ofType(tensor.F16), notFinite), "Inf of f16 does not saturate in the peer"},
	{"ScatterElements ScatterND", "want NaN", notFinite, "the peer's maximum and minimum do not propagate NaN"},
	{"ScatterElements ScatterND", "is not supported with", nil, "the peer has no such reduction"},
	{"ArgMax ArgMin Hardmax TopK", "peer differs", notFinite, "NaN is the largest in nnc; where it is in the peer depends on its position"},
	{"GlobalMaxPool MaxPool ReduceMax ReduceMin ReduceLogSumExp", "want NaN", notFinite, "whether the peer's maximum propagates NaN depends on its position"},
	{"GlobalMaxPool MaxPool", "3.4028235e+38", notFinite, "the peer's maximum begins at the least float, not at -Inf"},
	{"MaxPool", "i64[", notFinite, "the peer's index of a maximum among NaN"},
	{"Clip", "65504, want ", both(ofType(tensor.F16), notFinite), "the peer's bounds are the largest floats where none are given"},
	{"Clip", "3.4028235e+38", notFinite, "the peer's bounds are the largest floats where none are given"},
	{"LSTM GRU RNN", "want NaN", notFinite, "the peer's gates do not propagate NaN"},
	{"LSTM GRU RNN", "does not support double", nil, "the peer has no recurrent layers in f64"},
	{"LRN", "got NaN", notFinite, "the peer's sum over a window keeps what has left it"},
	{"InstanceNormalization", "got NaN", notFinite, "the peer folds the mean into the bias, which makes NaN of infinities"},
	{"ReduceLogSumExp ReduceLogSum ReduceL2", "output 0, i", nil, "the peer rounds integers on the way"},
	{"ReduceSum ReduceMean ReduceProd ReduceSumSquare ReduceL1 Einsum", "output 0, i", largeInts, "the peer's sums of integers do not wrap"},
	{"ReduceProd", "output 0, i", largeProduct, "the peer's products of integers do not wrap"},
	{"Pow", "output 0, i", largePower, "the peer computes powers of integers in floats; nnc's wrap, and 0 to a negative power is 0"},
	{"Mod", "output 0, ", both(isSet("fmod"), beyondDoubles), "the peer takes remainders of integers as those of doubles"},
	{"GlobalMaxPool MaxPool ReduceMax Max", "got -Infinity, want Infinity", negativeZero, "of zeros nnc's maximum is +0, the peer's is either"},
	{"Unique", "peer differs", notFinite, "NaN equals NaN in nnc, as in NumPy; the peer's order is not one with NaN"},
	{"Unique", "output 0 is ", upstream, "which values are equal hangs on the rounding of those before"},
	{"ArgMax ArgMin " + reduces, "output 0 is ", empty, "the peer gives a wrong shape when it reduces an empty tensor"},
	{"ArgMax ArgMin " + reduces, "peer refuses", empty, "the peer gives a wrong shape when it reduces an empty tensor, which does not fit what follows"},
	{"", "attempting to re-use buffer", empty, "the peer's plan of memory takes a wrong shape of an empty tensor for true"},
	{"Unique TopK", "crashed", empty, "the peer divides by zero where there is nothing"},
	{"LogSoftmax", "want NaN", both(ofType(tensor.F64), notFinite), "the peer takes the logarithm of at least 1e-20, which NaN becomes"},
	{"Gemm", "peer differs", both(empty, factor("beta")), "the peer adds the bias to a sum of nothing without its factor"},
	{"MatMul", "want 0", empty, "the peer leaves what is a sum of nothing as it found it"},
	{"MatMul", "left operand cannot broadcast", empty, "the peer refuses an empty batch with a vector"},
	{"LayerNormalization RMSNormalization", "must be at least 1", empty, "the peer refuses to normalise nothing"},
	{"LayerNormalization RMSNormalization", "Missing Input", empty, "the peer takes an empty scale for an absent one"},
	{"Scan", "Dimension 0 is 0", empty, "the peer refuses to scan nothing"},
	{"Loop", "output 0 is ", noIteration, "what is not known of the shape of a scan output of no iterations is 0 in nnc; the peer knows more of it, or less"},
	{"Scan", "must have the shape set for all outputs", nil, "the peer wants to know the shapes of a scan's results"},
	{"Div Mod", "by zero", empty, "the peer refuses a constant divisor of zero though nothing is divided"},
	{"Pad", "Unexpected mode", both(attrIs("mode", "wrap"), empty), "the peer does not know how to wrap nothing"},
	{"Pad", "peer differs", attrIs("mode", "wrap"), "the peer does not wrap around more than once"},
	{"Split", "exceeds the", nil, "parts that are not left any element are empty in nnc; the peer refuses"},
	{"Split", "Invalid num_outputs", nil, "num_outputs beyond the size leaves empty parts in nnc, as in ONNX's reference; the peer refuses"},
	{"ConvTranspose", "<= 0", nil, "a transposed convolution of so much padding gives nothing in nnc; the peer refuses"},
	{"MaxPool AveragePool LpPool Conv", "padding values must be non-negative", nil, "SAME padding of a stride larger than the kernel is negative in the peer; ONNX's is at least 0"},
}

// anyAttr reports whether ok holds for an attribute of a node.
func anyAttr(g *graph, ok func(a *onnxpb.AttributeProto) bool) bool {
	return slices.ContainsFunc(all(g.nodes), func(n *nodeProto) bool { return slices.ContainsFunc(n.Attribute, ok) })
}

// attrIs: a node has an attribute of this value.
func attrIs(name, value string) func(*graph, string) bool {
	return func(g *graph, _ string) bool {
		return anyAttr(g, func(a *onnxpb.AttributeProto) bool { return a.GetName() == name && string(a.S) == value })
	}
}

// isSet: a node has an integer attribute that is not 0.
func isSet(name string) func(*graph, string) bool {
	return func(g *graph, _ string) bool {
		return anyAttr(g, func(a *onnxpb.AttributeProto) bool { return a.GetName() == name && a.GetI() != 0 })
	}
}

// factor: a node has a factor of this name other than 1.
func factor(name string) func(*graph, string) bool {
	return func(g *graph, _ string) bool {
		return anyAttr(g, func(a *onnxpb.AttributeProto) bool { return a.GetName() == name && a.GetF() != 1 })
	}
}

// noIteration: a loop or scan makes a scan output of no iterations.
func noIteration(g *graph, _ string) bool {
	for i, n := range g.nodes {
		if n.GetOpType() != "Loop" && n.GetOpType() != "Scan" {
			continue
		}
		vals, err := evaluate(&graph{inputs: g.inputs, nodes: g.nodes[:i+1], outputs: n.Output}, nil)
		if err == nil && vals[len(vals)-1].Shape[0] == 0 {
			return true
		}
	}
	return false
}

// both: every condition holds.
func both(conditions ...func(*graph, string) bool) func(*graph, string) bool {
	return func(g *graph, complaint string) bool {
		return !slices.ContainsFunc(conditions, func(c func(*graph, string) bool) bool { return !c(g, complaint) })
	}
}

// ofType: elements of this type come in.
func ofType(d tensor.DType) func(*graph, string) bool {
	return func(g *graph, _ string) bool { return anyInput(g, func(t *tensor.Tensor) bool { return t.DType == d }) }
}

// anyInput reports whether ok holds for an input or constant.
func anyInput(g *graph, ok func(t *tensor.Tensor) bool) bool {
	return slices.ContainsFunc(g.inputs, func(in *input) bool { return ok(in.t) })
}

// anyElement reports whether ok holds for an element of a tensor.
func anyElement(t *tensor.Tensor, ok func(v float64) bool) bool {
	for i := range t.Len() {
		if ok(t.At(i)) {
			return true
		}
	}
	return false
}

// empty: an input has no elements.
func empty(g *graph, _ string) bool {
	return anyInput(g, func(t *tensor.Tensor) bool { return t.Len() == 0 })
}

// notFinite: NaN or infinities come in.
func notFinite(g *graph, _ string) bool {
	return anyInput(g, func(t *tensor.Tensor) bool {
		return t.DType.IsFloat() && anyElement(t, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
	})
}

// largeInts: integers come in that are negative, as exponents may be, or so large that sums wrap.
func largeInts(g *graph, _ string) bool {
	return anyInput(g, func(t *tensor.Tensor) bool {
		return t.DType.IsInt() && anyElement(t, func(v float64) bool { return v < 0 || v > 1<<20 })
	})
}

// largeProduct: integers come in whose product is beyond 32 bits.
func largeProduct(g *graph, _ string) bool {
	return anyInput(g, func(t *tensor.Tensor) bool {
		p := 1.0
		return t.DType.IsInt() && anyElement(t, func(v float64) bool { p *= max(1, math.Abs(v)); return p >= 1<<31 })
	})
}

// largePower: integers come in that are negative, as exponents may be, or whose powers by each other may be beyond 32 bits.
func largePower(g *graph, _ string) bool {
	return anyInput(g, func(t *tensor.Tensor) bool {
		return t.DType.IsInt() && anyElement(t, func(v float64) bool { return v < 0 || v >= 8 })
	})
}

// overflowing: least integers come in, and -1.
func overflowing(g *graph, _ string) bool {
	has := func(ok func(t *tensor.Tensor, v float64) bool) bool {
		return anyInput(g, func(t *tensor.Tensor) bool {
			return t.DType.Class() == tensor.ClassInt && anyElement(t, func(v float64) bool { return ok(t, v) })
		})
	}
	return has(func(t *tensor.Tensor, v float64) bool { return v == -math.Ldexp(1, 8*t.DType.Size()-1) }) &&
		has(func(_ *tensor.Tensor, v float64) bool { return v == -1 })
}

// masked: attention has a mask of truths.
func masked(g *graph, _ string) bool {
	return slices.ContainsFunc(all(g.nodes), func(n *nodeProto) bool { return n.GetOpType() == "Attention" && len(n.Input) > 3 }) &&
		anyInput(g, func(t *tensor.Tensor) bool { return t.DType == tensor.Bool })
}

// beyondDoubles: integers come in that a double does not hold.
func beyondDoubles(g *graph, _ string) bool {
	return anyInput(g, func(t *tensor.Tensor) bool {
		return t.DType.IsInt() && anyElement(t, func(v float64) bool { return math.Abs(v) > 1<<53 })
	})
}

// negativeZero: -0 comes in.
func negativeZero(g *graph, _ string) bool {
	return anyInput(g, func(t *tensor.Tensor) bool {
		return t.DType.IsFloat() && anyElement(t, func(v float64) bool { return v == 0 && math.Signbit(v) })
	})
}

// upstream: there are nodes before the last.
func upstream(g *graph, _ string) bool { return len(all(g.nodes)) > 1 }

// within: the first numbers that differ are no farther apart.
func within(tol float64) func(*graph, string) bool {
	return func(_ *graph, complaint string) bool {
		var got, want float64
		_, numbers, _ := strings.Cut(complaint, ": got ")
		n, err := fmt.Sscanf(numbers, "%g, want %g", &got, &want)
		return n == 2 && err == nil && math.Abs(got-want) <= tol*math.Max(1, math.Abs(want))
	}
}

// limits are complaints about nnc's own ways that documented limits of its account for.
var limits = []difference{
	{"", "broadcasts only as 1 to", nil, "of two sizes that only the run knows, the result has the first operand's (docs/RATIONALE.md, 11)"},
	{"", "-O differs", both(ofType(tensor.F16), overflows), "with the passes, f16 is f32 between inputs and outputs, where it overflows later (docs/RATIONALE.md)"},
	{"Sigmoid", "got 0, want", subnormal, "where e^-x overflows, the sigmoid is 0 instead of a subnormal number"},
	{"Scan", "output 0 is ", noIteration, "what is not known of the shape of a scan output of no iterations is the compiler's to choose"},
	{"Split", "none below zero", nil, "num_outputs beyond a size that only the run knows is an error"},
	{"ArgMax ArgMin", "the axis): wrong shape: got 0", empty, "an axis that only the run knows to be empty is an error, even if the result is empty"},
}

// overflows: something was to be infinite or NaN.
func overflows(_ *graph, complaint string) bool {
	return strings.Contains(complaint, "want NaN") || strings.Contains(complaint, "want Infinity") || strings.Contains(complaint, "want -Infinity")
}

// subnormal: a number of f32 was to be smaller than what that holds with full precision.
func subnormal(_ *graph, complaint string) bool {
	var want float64
	_, numbers, _ := strings.Cut(complaint, ", want ")
	n, err := fmt.Sscanf(numbers, "%g", &want)
	return n == 1 && err == nil && math.Abs(want) < 0x1p-126
}

// explain names the known difference that accounts for a complaint about a graph, "" where there is none.
func explain(g *graph, complaint string) string {
	rows := limits
	if strings.HasPrefix(complaint, "peer ") {
		rows = differences
	}
	for _, d := range rows {
		if !strings.Contains(complaint, d.say) || d.when != nil && !d.when(g, complaint) {
			continue
		}
		for _, n := range all(g.nodes) {
			if d.ops == "" || slices.Contains(strings.Fields(d.ops), n.GetOpType()) {
				return d.why
			}
		}
	}
	return ""
}
