package eval

import (
	"maps"

	"github.com/nnc-go/nnc/runtime/hostop"
)

// Funcs finds the reference implementation of each op that has one, by its name in the op table. The
// families are those of package ir.
var Funcs = func() map[string]hostop.Func {
	all := map[string]hostop.Func{}
	for _, family := range []map[string]hostop.Func{
		mathFuncs,
		mlFuncs,
		nnFuncs,
		ownFuncs,
		quantFuncs,
		recurrentFuncs,
		reduceFuncs,
		sequenceFuncs,
		shapeFuncs,
		signalFuncs,
		textFuncs,
	} {
		maps.Copy(all, family)
	}
	return all
}()
