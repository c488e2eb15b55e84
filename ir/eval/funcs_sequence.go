package eval

import "github.com/nnc-go/nnc/runtime/hostop"

// loopFuncs are what compiled loops call besides the functions of ops.
var loopFuncs = map[string]hostop.Func{"Collect": hostop.Collect, "Stack": hostop.Stack}

// sequenceFuncs: the functions of the ops in ir/ops_sequence.go.
var sequenceFuncs = map[string]hostop.Func{
	"ConcatFromSequence": hostop.ConcatFromSequence,
	"Optional":           hostop.Optional,
	"OptionalGetElement": hostop.OptionalGetElement,
	"OptionalHasElement": hostop.OptionalHasElement,
	"SequenceAt":         hostop.SequenceAt,
	"SequenceConstruct":  hostop.SequenceConstruct,
	"SequenceEmpty":      hostop.SequenceEmpty,
	"SequenceErase":      hostop.SequenceErase,
	"SequenceInsert":     hostop.SequenceInsert,
	"SequenceLength":     hostop.SequenceLength,
	"SplitToSequence":    hostop.SplitToSequence,
}
