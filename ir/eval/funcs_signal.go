package eval

import "github.com/nnc-go/nnc/runtime/hostop"

// signalFuncs: the functions of the ops in ir/ops_signal.go.
var signalFuncs = map[string]hostop.Func{
	"BlackmanWindow":    hostop.BlackmanWindow,
	"DFT":               hostop.DFT,
	"HammingWindow":     hostop.HammingWindow,
	"HannWindow":        hostop.HannWindow,
	"MelWeightMatrix":   hostop.MelWeightMatrix,
	"STFT":              hostop.STFT,
	"RandomNormal":      hostop.RandomNormal,
	"RandomUniform":     hostop.RandomUniform,
	"RandomNormalLike":  hostop.RandomNormalLike,
	"RandomUniformLike": hostop.RandomUniformLike,
	"Bernoulli":         hostop.Bernoulli,
	"Multinomial":       hostop.Multinomial,
}
