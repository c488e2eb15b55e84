// Package passes transforms the tensor IR into the shape that lowering wants: constants folded, shape
// arithmetic gone, idioms of exporters recognised, layouts chosen, elementwise work fused.
//
// A pass is a function on a State; the manager (manager.go) owns everything around it: dumping,
// verifying, timing, statistics, subsets. Local rewrites are small named rules (rewrite.go and
// rules_*.go), each with its algebra in the table and a text test in testdata.
package passes

// Pass is a row of the pipeline.
type Pass struct {
	Name string
	Func func(s *State) error
	// Why says why the pass exists and why it stands where it does.
	Why string
	// Needed passes also run at -O0, because lowering relies on their result.
	Needed bool
}

// Pipeline is the order in which passes run.
var Pipeline = []Pass{
	{"infer", inferPass, "types every value and resolves shape arithmetic; all else relies on types", true},
	{"fold", foldPass, "constants, shape constants, Ifs with a constant condition and no-ops go first: what they hide is the input of every pattern below", true},
	{"storage", storagePass, "element types that kernels do not hold become bytes and words; after fold, which computes constants of any type as they are", true},
	{"widen", widenPass, "half floats are computed in f32; before the patterns, which then see f32 alone", false},
	{"cse", csePass, "exporters repeat shape arithmetic and constants; patterns below need single uses and shared operands", false},
	{"idioms", idiomsPass, "exporters' spellings of LayerNormalization, Gelu and pooling, before algebra takes them apart", false},
	{"algebra", algebraPass, "strength reduction, and per-channel scales and shifts into weights, while Conv and its consumers are still plain ops", false},
	{"clean", cleanPass, "merges and removes what the rewrites left over, so that layout and fuse count true uses", true},
	{"layout", layoutPass, "channel-blocked regions around convolutions, with as few conversions as possible; before fuse, which then works on blocked ops too", false},
	{"narrow", narrowPass, "products of bf16 where -math=fast allows them; after layout, when it is known what multiplies what, and before fuse, by which results are rounded as they are written", false},
	{"fuse", fusePass, "elementwise groups and the epilogues of convolutions and matrix products; last, since nothing looks into a Fused", false},
	{"final", cleanPass, "no dead op reaches lowering, and every value has its final type", true},
}
