package ir

// Control flow. Regions see the values around them; their parameters and results are those of the
// ONNX body graphs.
var opsControl = []*OpInfo{
	withRegions(2, row("If(cond) -> outputs*", "", 0, inferIf, "the results of region 0 (then) where cond holds, else of region 1 (else)")),
	withRegions(1, row("Loop(M?, cond?, v_initial*) -> v_final_and_scan_outputs*", "", 0, inferLoop,
		"repeats the region (iteration, cond, carried...) -> (cond, carried..., scanned...)")),
	withRegions(1, row("Scan(initial_state_and_scan_inputs*) -> final_state_and_scan_outputs*",
		"num_scan_inputs:int scan_input_axes:ints scan_input_directions:ints scan_output_axes:ints scan_output_directions:ints", 0, inferScan,
		"runs the region (state..., slices...) -> (state..., slices...) over slices of its inputs")),
	withRegions(1, row("SequenceMap(input_sequence, additional_inputs*) -> out_sequence*", "", 0, inferSequenceMap,
		"runs the region on each element of the sequences")),
}
