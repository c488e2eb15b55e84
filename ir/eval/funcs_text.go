package eval

import "github.com/nnc-go/nnc/runtime/hostop"

// textFuncs: the functions of the ops on strings in ir/ops_signal.go.
var textFuncs = map[string]hostop.Func{
	"RegexFullMatch":   hostop.RegexFullMatch,
	"StringConcat":     hostop.StringConcat,
	"StringNormalizer": hostop.StringNormalizer,
	"StringSplit":      hostop.StringSplit,
	"TfIdfVectorizer":  hostop.TfIdfVectorizer,
}
