package eval

import "github.com/nnc-go/nnc/runtime/hostop"

// mlFuncs: the functions of the ops in ir/ops_ml.go.
var mlFuncs = map[string]hostop.Func{
	"ml.ArrayFeatureExtractor":  hostop.ArrayFeatureExtractor,
	"ml.Binarizer":              hostop.Binarizer,
	"ml.CastMap":                hostop.CastMap,
	"ml.CategoryMapper":         hostop.CategoryMapper,
	"ml.DictVectorizer":         hostop.DictVectorizer,
	"ml.FeatureVectorizer":      hostop.FeatureVectorizer,
	"ml.Imputer":                hostop.Imputer,
	"ml.LabelEncoder":           hostop.LabelEncoder,
	"ml.LinearClassifier":       hostop.LinearClassifier,
	"ml.LinearRegressor":        hostop.LinearRegressor,
	"ml.Normalizer":             hostop.Normalizer,
	"ml.OneHotEncoder":          hostop.OneHotEncoder,
	"ml.SVMClassifier":          hostop.SVMClassifier,
	"ml.SVMRegressor":           hostop.SVMRegressor,
	"ml.Scaler":                 hostop.Scaler,
	"ml.TreeEnsemble":           hostop.TreeEnsemble,
	"ml.TreeEnsembleClassifier": hostop.TreeEnsembleClassifier,
	"ml.TreeEnsembleRegressor":  hostop.TreeEnsembleRegressor,
	"ml.ZipMap":                 hostop.ZipMap,
}
