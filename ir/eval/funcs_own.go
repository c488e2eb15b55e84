package eval

import "github.com/nnc-go/nnc/runtime/hostop"

// ownFuncs: the functions of the ops in ir/ops_own.go.
var ownFuncs = map[string]hostop.Func{
	"Const":                    hostop.Const,
	"Block":                    hostop.Block,
	"BlockedAveragePool":       hostop.BlockedAveragePool,
	"BlockedChannelNorm":       hostop.BlockedChannelNorm,
	"BlockedConv":              hostop.BlockedConv,
	"BlockedGlobalAveragePool": hostop.BlockedGlobalAveragePool,
	"BlockedMaxPool":           hostop.BlockedMaxPool,
	"BlockedPick":              hostop.BlockedPick,
	"BlockedSelect":            hostop.BlockedSelect,
	"ChannelNorm":              hostop.ChannelNorm,
	"Decode":                   hostop.Decode,
	"Encode":                   hostop.Encode,
	"Join":                     hostop.Join,
	"Pack":                     hostop.Pack,
	"Part":                     hostop.Part,
	"PairwiseCoupling":         hostop.PairwiseCoupling,
	"SquaredDistance":          hostop.SquaredDistance,
	"QKVAttention":             hostop.QKVAttention,
	"Regroup":                  hostop.Regroup,
	"Require":                  hostop.Require,
	"Seed":                     hostop.Seed,
	"Unblock":                  hostop.Unblock,
	"Unpack":                   hostop.Unpack,
}
