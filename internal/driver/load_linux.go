package driver

import (
	"context"
	"fmt"
	"runtime"

	"github.com/nnc-go/nnc/backend"
	"github.com/nnc-go/nnc/internal/native"
	"github.com/nnc-go/nnc/runtime/exec"
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
	l.Model, err = c.model(opts, func(level, kernel int) uintptr {
		return l.code.Symbol(backend.Symbol(c.Program.Kernels[level][kernel].Name, c.Program.Levels[level].Name))
	})
	if err != nil {
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
