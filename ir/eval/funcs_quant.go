package eval

import "github.com/nnc-go/nnc/runtime/hostop"

// quantFuncs: the functions of the ops in ir/ops_quant.go.
var quantFuncs = map[string]hostop.Func{
	"ConvInteger":           hostop.ConvInteger,
	"DequantizeLinear":      hostop.DequantizeLinear,
	"DynamicQuantizeLinear": hostop.DynamicQuantizeLinear,
	"MatMulInteger":         hostop.MatMulInteger,
	"QLinearConv":           hostop.QLinearConv,
	"QLinearMatMul":         hostop.QLinearMatMul,
	"QuantizeLinear":        hostop.QuantizeLinear,
	"ms.MatMulNBits":        hostop.MatMulNBits,
}
