package driver

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/lower"
	"github.com/nnc-go/nnc/passes"
)

// RunPasses runs the passes that opts select on m, which they change.
func RunPasses(m *ir.Module, opts Options) (*passes.Stats, error) {
	strict := opts.Math == "strict"
	return passes.Run(m, passes.Options{Optimize: !opts.NoOptimize, Strict: strict, Passes: opts.Passes, Debug: opts.Debug, Log: opts.Log,
		After: opts.After, CanFuse: lower.CanFuse, FoldBudget: opts.Load.MaxFoldBytes})
}
