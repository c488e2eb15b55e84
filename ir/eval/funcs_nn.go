package eval

import "github.com/nnc-go/nnc/runtime/hostop"

// nnFuncs: the functions of the ops in ir/ops_nn.go.
var nnFuncs = map[string]hostop.Func{
	"Attention":                 hostop.Attention,
	"AveragePool":               hostop.AveragePool,
	"BatchNormalization":        hostop.BatchNormalization,
	"Col2Im":                    hostop.Col2Im,
	"Conv":                      hostop.Conv,
	"ConvTranspose":             hostop.ConvTranspose,
	"DeformConv":                hostop.DeformConv,
	"Dropout":                   hostop.Dropout,
	"Gemm":                      hostop.Gemm,
	"GlobalAveragePool":         hostop.GlobalAveragePool,
	"GlobalLpPool":              hostop.GlobalLpPool,
	"GlobalMaxPool":             hostop.GlobalMaxPool,
	"GroupNormalization":        hostop.GroupNormalization,
	"InstanceNormalization":     hostop.InstanceNormalization,
	"LRN":                       hostop.LRN,
	"LayerNormalization":        hostop.LayerNormalization,
	"LpNormalization":           hostop.LpNormalization,
	"LpPool":                    hostop.LpPool,
	"MatMul":                    hostop.MatMul,
	"MaxPool":                   hostop.MaxPool,
	"MaxUnpool":                 hostop.MaxUnpool,
	"MeanVarianceNormalization": hostop.MeanVarianceNormalization,
	"RMSNormalization":          hostop.RMSNormalization,
	"Resize":                    hostop.Resize,
	"RotaryEmbedding":           hostop.RotaryEmbedding,
	"NegativeLogLikelihoodLoss": hostop.NegativeLogLikelihoodLoss,
	"SoftmaxCrossEntropyLoss":   hostop.SoftmaxCrossEntropyLoss,
	"AffineGrid":                hostop.AffineGrid,
	"GridSample":                hostop.GridSample,
	"MaxRoiPool":                hostop.MaxRoiPool,
	"RoiAlign":                  hostop.RoiAlign,
}
