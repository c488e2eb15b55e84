package ir

const (
	reduceAttrs = "keepdims:int noop_with_empty_axes:int"
	argAttrs    = "axis:int keepdims:int select_last_index:int"
)

// Reductions, selections of extremes, and what works along one axis.
var opsReduce = []*OpInfo{
	row("ReduceL1(data, axes?) -> reduced", reduceAttrs, 0, inferReduce, "sum of absolute values along axes"),
	row("ReduceL2(data, axes?) -> reduced", reduceAttrs, 0, inferReduce, "square root of the sum of squares along axes"),
	row("ReduceLogSum(data, axes?) -> reduced", reduceAttrs, 0, inferReduce, "logarithm of the sum along axes"),
	row("ReduceLogSumExp(data, axes?) -> reduced", reduceAttrs, 0, inferReduce, "logarithm of the sum of exponentials along axes"),
	row("ReduceMax(data, axes?) -> reduced", reduceAttrs, 0, inferReduce, "maximum along axes"),
	row("ReduceMean(data, axes?) -> reduced", reduceAttrs, 0, inferReduce, "mean along axes"),
	row("ReduceMin(data, axes?) -> reduced", reduceAttrs, 0, inferReduce, "minimum along axes"),
	row("ReduceProd(data, axes?) -> reduced", reduceAttrs, 0, inferReduce, "product along axes"),
	row("ReduceSum(data, axes?) -> reduced", reduceAttrs, 0, inferReduce, "sum along axes"),
	row("ReduceSumSquare(data, axes?) -> reduced", reduceAttrs, 0, inferReduce, "sum of squares along axes"),
	row("ArgMax(data) -> reduced", argAttrs, 0, inferArg, "index of the maximum along an axis"),
	row("ArgMin(data) -> reduced", argAttrs, 0, inferArg, "index of the minimum along an axis"),
	row("TopK(X, K) -> Values, Indices", "axis:int largest:int sorted:int", 0, inferTopK, "the K largest or smallest along an axis"),
	row("CumSum(x, axis) -> y", "exclusive:int reverse:int", 0, formed("- #", "", inferCumulative), "running sum along an axis"),
	row("CumProd(x, axis) -> y", "exclusive:int reverse:int", 0, formed("- #", "", inferCumulative), "running product along an axis"),
	row("Hardmax(input) -> output", "axis:int", 0, formed("", "axis", inferSame), "1 at the first maximum along an axis, 0 elsewhere"),
	row("LogSoftmax(input) -> output", "axis:int", 0, formed("", "axis", inferSame), "logarithm of softmax along an axis"),
	row("Softmax(input) -> output", "axis:int", 0, formed("", "axis", inferSame), "exponentials normalised to sum 1 along an axis"),
	row("NonZero(X) -> Y", "", 0, inferNonZero, "indices of the non-zero elements, [rank, count]"),
	row("Unique(X) -> Y, indices?, inverse_indices?, counts?", "axis:int sorted:int", 0, inferUnique, "distinct elements or slices"),
	row("Compress(input, condition) -> output", "axis:int", 0, formed("- C", "", inferCompress), "slices along an axis where the condition holds"),
}
