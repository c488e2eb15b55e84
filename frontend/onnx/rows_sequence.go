package onnx

// rowsSequence: see rowSpec.
var rowsSequence = []rowSpec{
	{"ConcatFromSequence(input_sequence) -> concat_result", "ConcatFromSequence", []int{11}, "axis:int! new_axis:int=0", direct},
	{"Optional(input?) -> output", "Optional", []int{15}, "type:type", optional},
	{"OptionalGetElement(input) -> output", "OptionalGetElement", []int{15, 18}, "", direct},
	{"OptionalHasElement(input) -> output", "OptionalHasElement", []int{15}, "", direct},
	{"OptionalHasElement(input?) -> output", "OptionalHasElement", []int{18}, "", direct},
	{"SequenceAt(input_sequence, position) -> tensor", "SequenceAt", []int{11}, "", direct},
	{"SequenceConstruct(inputs*) -> output_sequence", "SequenceConstruct", []int{11}, "", direct},
	{"SequenceEmpty() -> output", "SequenceEmpty", []int{11}, "dtype:dtype", direct},
	{"SequenceErase(input_sequence, position?) -> output_sequence", "SequenceErase", []int{11}, "", direct},
	{"SequenceInsert(input_sequence, tensor, position?) -> output_sequence", "SequenceInsert", []int{11}, "", direct},
	{"SequenceLength(input_sequence) -> length", "SequenceLength", []int{11}, "", direct},
	{"SplitToSequence(input, split?) -> output_sequence", "SplitToSequence", []int{11, 24}, "axis:int=0 keepdims:int=1", direct},
}
