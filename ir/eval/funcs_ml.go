package eval

import "github.com/nnc-go/nnc/runtime/hostop"

// mlFuncs: the functions of the ops in ir/ops_ml.go.
var mlFuncs = map[string]hostop.Func{
	"ml.TreeEnsembleClassifier": hostop.TreeEnsembleClassifier,
	"ml.TreeEnsembleRegressor":  hostop.TreeEnsembleRegressor,
}
