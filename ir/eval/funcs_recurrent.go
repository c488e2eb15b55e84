package eval

import "github.com/nnc-go/nnc/runtime/hostop"

// recurrentFuncs: the functions of the ops in ir/ops_recurrent.go.
var recurrentFuncs = map[string]hostop.Func{
	"CausalConvWithState": hostop.CausalConvWithState,
	"GRU":                 hostop.GRU,
	"LSTM":                hostop.LSTM,
	"LinearAttention":     hostop.LinearAttention,
	"RNN":                 hostop.RNN,
}
