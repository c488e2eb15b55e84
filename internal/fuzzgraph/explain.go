package main

import (
	"runtime"
	"slices"
	"strings"
)

const runtimeArch = runtime.GOARCH

// difference is a known difference between nnc and the peer, seen on a graph that was shrunk: where nnc follows
// the specification, or its own rule where that is silent, and the peer does otherwise.
type difference struct {
	ops string // one of these is in the graph; "" for any
	say string // part of the complaint, which begins with "peer differs" or "peer refuses"
	why string
}

var differences = []difference{
	{"NonZero", "peer differs", "of a scalar, NonZero has no rows by the specification; the peer does as numpy does"},
	{"Resize", "output 0, u8", "nnc rounds interpolated bytes to the nearest, the peer cuts them off"},
	{"Resize", "output 0, f", "align_corners with scales: ONNX's tests want the size that the scale gives, the peer rounds it first"},
	{"Shrink", "f64", "the peer computes in f32"},
	{"QuantizeLinear", "-128", "NaN becomes the least integer in nnc, in the peer that depends on the type"},
	{"ScatterElements ScatterND", "want NaN", "the peer's maximum and minimum do not propagate NaN"},
	{"ScatterND ScatterElements", "is not supported with", "the peer has no such reduction"},
	{"ReduceLogSumExp ReduceLogSum ReduceL2", "output 0, i", "the peer rounds integers on the way"},
	{"ArgMax ArgMin", "peer differs", "NaN is the largest in nnc; whether it is in the peer depends on its position"},
	{"Div Mod", "by zero", "the peer refuses a constant divisor of zero though nothing is divided"},
	{"CenterCropPad", "does not match the number of axes", "fewer sizes than dimensions"},
	{"RMSNormalization LayerNormalization GroupNormalization", "f64", "the peer rounds to f32 (stash_type), nnc keeps f64"},
	{"LSTM GRU RNN", "want NaN", "the peer's gates do not propagate NaN"},
	{"ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare", "output 0 is ",
		"the peer gives a wrong shape when it reduces an empty tensor without keepdims"},
	{"GlobalMaxPool MaxPool ReduceMax ReduceMin", "want NaN", "whether the peer's maximum propagates NaN depends on its position"},
	{"ReduceLogSumExp", "want NaN", "the peer takes the maximum without NaN"},
	{"Attention", "bound to different types", "the peer's expansion of bf16 attention does not type"},
	{"Attention", "f64", "the peer computes scores of f64 in f32"},
	{"ReduceSum ReduceMean ReduceProd ReduceSumSquare ReduceL1", "output 0, i", "the peer's sums of integers do not wrap"},
	{"Resize", "got NaN", "the peer computes linear interpolation with infinities where their weight is 0"},
	{"Resize", "Tensor type mismatch", "the peer has no cubic interpolation of bytes"},
	{"LSTM GRU RNN", "does not support double", "the peer has no recurrent layers in f64"},
	{"Tile", "incorrect number of values", "the peer gives a wrong shape when it reduces an empty tensor without keepdims"},
	{"Unique", "crashed", "the peer does not find the distinct slices of nothing"},
	{"Clip", "3.4028235e+38", "the peer's bounds are the largest floats where none are given"},
	{"Unique", "output 0 is ", "which values are equal hangs on rounding, and whether NaN and zeros of both signs are on the implementation"},
	{"MatMul", "want 0", "the peer leaves what is a sum of nothing as it found it"},
	{"MaxPool", "output 0, i64", "the peer's index of a maximum among NaN"},
	{"LayerNormalization", "Missing Input", "the peer takes an empty scale for an absent one"},
	{"ConvTranspose", "<= 0", "a transposed convolution of so much padding gives nothing in nnc; the peer refuses"},
	{"ReduceMean ReduceMax ReduceMin ReduceProd ReduceSum ReduceSumSquare ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp", "Incompatible dimensions", "the peer gives a wrong shape when it reduces an empty tensor"},
	{"Pow", "output 0, i", "the peer computes powers of integers in floats; nnc's wrap, and 0 to a negative power is 0"},
	{"TopK", "crashed", "the peer divides by zero in TopK of nothing"},
	{"MatMul", "left operand cannot broadcast", "the peer refuses an empty batch with a vector"},
	{"ReduceLogSumExp ReduceLogSum", "Incompatible dimensions", "the peer gives a wrong shape when it reduces an empty tensor"},
	{"InstanceNormalization", "got NaN", "the peer folds the mean into the bias, which makes NaN of infinities"},
	{"Hardmax TopK", "peer differs", "NaN is the largest in nnc, as for ArgMax; its place among the peer's values varies"},
	{"", "attempting to re-use buffer", "the peer's plan of memory takes a wrong shape of an empty tensor for true"},
	{"GlobalMaxPool MaxPool", "3.4028235e+38", "the peer's maximum begins at the least float, not at -Inf"},
	{"LRN", "got NaN", "the peer's sum over a window keeps what has left it"},
	{"Attention", "got NaN", "the peer multiplies values that the mask hides by 0, which makes NaN of infinite ones"},
	{"Split", "exceeds the", "the peer refuses sizes of parts that nnc accepts"},
	{"Pad", "peer differs", "the peer does not wrap around more than once"},
	{"Split", "Invalid num_outputs", "num_outputs beyond the size leaves empty parts in nnc, as in ONNX's reference; the peer refuses"},
	{"LayerNormalization RMSNormalization", "must be at least 1", "the peer refuses to normalise nothing"},
	{"MaxPool AveragePool LpPool Conv", "padding values must be non-negative", "SAME padding of a stride larger than the kernel is negative in the peer; ONNX's is at least 0"},
}

// explain names the known difference that accounts for a complaint about a graph, "" where there is none.
func explain(g *graph, complaint string) string {
	if !strings.HasPrefix(complaint, "peer ") {
		return ""
	}
	for _, d := range differences {
		if !strings.Contains(complaint, d.say) {
			continue
		}
		for _, n := range g.nodes {
			if d.ops == "" || slices.Contains(strings.Fields(d.ops), n.GetOpType()) {
				return d.why
			}
		}
	}
	return ""
}
