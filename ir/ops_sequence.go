package ir

// Sequences and optionals.
var opsSequence = []*OpInfo{
	row("SequenceEmpty() -> output", "dtype:dtype", 0, inferSequenceEmpty, "an empty sequence of tensors"),
	row("SequenceConstruct(inputs*) -> output_sequence", "", 0, inferSequenceConstruct, "a sequence of the operands"),
	row("SequenceInsert(input_sequence, tensor, position?) -> output_sequence", "", 0, inferSequenceInsert, "a sequence with an element inserted, at the end by default"),
	row("SequenceErase(input_sequence, position?) -> output_sequence", "", 0, inferIdentity, "a sequence without an element, the last by default"),
	row("SequenceAt(input_sequence, position) -> tensor", "", 0, inferSequenceAt, "element of a sequence"),
	row("SequenceLength(input_sequence) -> length", "", 0, inferSequenceLength, "number of elements, i64 scalar"),
	row("SplitToSequence(input, split?) -> output_sequence", "axis:int keepdims:int", 0, inferSplitToSequence, "cuts along an axis into a sequence"),
	row("ConcatFromSequence(input_sequence) -> concat_result", "axis:int new_axis:int", 0, inferConcatFromSequence, "joins the elements of a sequence along an axis"),
	row("Optional(input?) -> output", "", 0, inferOptional, "an optional that holds the operand, or nothing"),
	row("OptionalGetElement(input) -> output", "", 0, inferOptionalGetElement, "what an optional holds; a tensor or sequence is itself"),
	row("OptionalHasElement(input?) -> output", "", 0, inferOptionalHasElement, "whether an optional holds something"),
}
