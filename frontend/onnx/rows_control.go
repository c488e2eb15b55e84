package onnx

// rowsControl: see rowSpec.
var rowsControl = []rowSpec{
	{"If(cond) -> outputs*", "If", []int{1, 11, 13, 16, 19, 21, 23, 24, 25}, "else_branch:graph! then_branch:graph!", ifOp},
	{"Loop(M?, cond?, v_initial*) -> v_final_and_scan_outputs*", "Loop", []int{1, 11, 13, 16, 19, 21, 23, 24, 25}, "body:graph!", bodyOp},
	{"Scan(sequence_lens?, initial_state_and_scan_inputs*) -> final_state_and_scan_outputs*", "Scan", []int{8}, "body:graph! directions:ints num_scan_inputs:int!", scan8},
	{"Scan(initial_state_and_scan_inputs*) -> final_state_and_scan_outputs*", "Scan", []int{9, 11, 16, 19, 21, 23, 24, 25}, "body:graph! num_scan_inputs:int! scan_input_axes:ints scan_input_directions:ints scan_output_axes:ints scan_output_directions:ints", bodyOp},
	{"SequenceMap(input_sequence, additional_inputs*) -> out_sequence*", "SequenceMap", []int{17}, "body:graph!", bodyOp},
}
