package driver

import (
	"context"
	"fmt"
	"io"
	"runtime"

	"github.com/nnc-go/nnc/backend"
	"github.com/nnc-go/nnc/internal/native"
	"github.com/nnc-go/nnc/ir/eval"
	"github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Loaded is a compiled model that runs in this process.
type Loaded struct {
	*exec.Model
	code *native.Code
}

// Load generates code for this machine and loads it, without a program around it: for `nnc test` and
// for the compiler's own tests.
func (c *Compiled) Load(ctx context.Context, opts exec.Options) (*Loaded, error) {
	if c.Target.Arch.Name != runtime.GOARCH {
		return nil, fmt.Errorf("compiled for %s, this machine is %s", c.Target.Arch.Name, runtime.GOARCH)
	}
	files, err := c.Generate(ctx, "linux", backend.Object)
	if err != nil {
		return nil, err
	}
	l := &Loaded{}
	if len(files) > 0 {
		objs := make([][]byte, len(files))
		for i, f := range files {
			objs[i] = f.Data
		}
		if l.code, err = native.Load(objs...); err != nil {
			return nil, err
		}
	}
	r, err := c.Weights()
	if err != nil {
		return nil, err
	}
	w := tensor.AlignedBytes(r.Size())
	if _, err := io.ReadFull(r, w); err != nil {
		return nil, err
	}
	var levels []exec.Level
	for i, lv := range c.Program.Levels {
		e := exec.Level{Name: lv.Name, Features: lv.CPUID}
		for _, k := range c.Program.Kernels[i] {
			e.Kernels = append(e.Kernels, l.code.Symbol(backend.Symbol(k.Name, lv.Name)))
		}
		levels = append(levels, e)
	}
	for i := range c.Program.Plan.Steps {
		if s := &c.Program.Plan.Steps[i]; s.Kind == plan.StepHost {
			s.Host = eval.Lookup(s.HostOp)
		}
	}
	if l.Model, err = exec.New(c.Program.Plan, levels, w, opts); err != nil {
		return nil, err
	}
	return l, nil
}

// Close stops the model and unmaps its code.
func (l *Loaded) Close() error {
	l.Model.Close()
	if l.code != nil {
		return l.code.Close()
	}
	return nil
}
