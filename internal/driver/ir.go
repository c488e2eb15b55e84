package driver

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/lower"
	"github.com/nnc-go/nnc/passes"
)

// RunPasses runs the passes that opts select on m, which they change.
func RunPasses(m *ir.Module, opts Options) (*passes.Stats, error) {
	c, err := start(m.Name, opts)
	if err != nil {
		return nil, err
	}
	return c.runPasses(m)
}

func (c *Compiled) runPasses(m *ir.Module) (*passes.Stats, error) {
	o := passes.Options{Optimize: !c.opts.NoOptimize, Strict: c.opts.Math == "strict", Passes: c.opts.Passes, Debug: c.opts.Debug, Log: c.opts.Log,
		After: c.opts.After, CanFuse: lower.CanFuse, FoldBudget: c.opts.Load.MaxFoldBytes}
	if c.narrows() {
		o.Narrow = lower.Narrows
	}
	st, err := passes.Run(m, o)
	if err == nil && c.opts.fast() && o.Narrow == nil {
		st.Warnings = append(st.Warnings, "-math=fast changes nothing: no level that is compiled for multiplies bf16")
	}
	return st, err
}
