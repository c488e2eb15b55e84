package eval

import "github.com/nnc-go/nnc/runtime/hostop"

// reduceFuncs: the functions of the ops in ir/ops_reduce.go.
var reduceFuncs = map[string]hostop.Func{
	"ArgMax":          hostop.ArgMax,
	"ArgMin":          hostop.ArgMin,
	"Compress":        hostop.Compress,
	"CumProd":         hostop.CumProd,
	"CumSum":          hostop.CumSum,
	"Hardmax":         hostop.Hardmax,
	"LogSoftmax":      hostop.LogSoftmax,
	"NonZero":         hostop.NonZero,
	"ReduceL1":        hostop.ReduceL1,
	"ReduceL2":        hostop.ReduceL2,
	"ReduceLogSum":    hostop.ReduceLogSum,
	"ReduceLogSumExp": hostop.ReduceLogSumExp,
	"ReduceMax":       hostop.ReduceMax,
	"ReduceMean":      hostop.ReduceMean,
	"ReduceMin":       hostop.ReduceMin,
	"ReduceProd":      hostop.ReduceProd,
	"ReduceSum":       hostop.ReduceSum,
	"ReduceSumSquare": hostop.ReduceSumSquare,
	"Softmax":         hostop.Softmax,
	"TopK":            hostop.TopK,
	"Unique":          hostop.Unique,
}
