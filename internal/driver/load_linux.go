package driver

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/nnc-go/nnc/backend"
	"github.com/nnc-go/nnc/internal/native"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/exec"
)

// Loaded is a compiled model that runs in this process.
type Loaded struct {
	*exec.Model
	code *sharedCode
}

// sharedCode is machine code that several models are made of.
type sharedCode struct {
	*native.Code
	users atomic.Int32
}

func (s *sharedCode) release() error {
	if s.users.Add(-1) > 0 || s.Code == nil {
		return nil
	}
	return s.Code.Close()
}

// Load generates code for this machine and loads it, without a program around it: for `nnc test` and
// for the compiler's own tests.
func (c *Compiled) Load(ctx context.Context, opts exec.Options) (*Loaded, error) {
	ls, err := LoadAll(ctx, []*Compiled{c}, opts)
	if err != nil {
		return nil, err
	}
	return ls[0], nil
}

// LoadAll is Load for several models that were compiled with the same options: the tools run once for all of them.
func LoadAll(ctx context.Context, cs []*Compiled, opts exec.Options) (ls []*Loaded, err error) {
	if len(cs) == 0 {
		return nil, nil
	}
	if cs[0].Target.Arch.Name != runtime.GOARCH {
		return nil, fmt.Errorf("compiled for %s, this machine is %s", cs[0].Target.Arch.Name, runtime.GOARCH)
	}
	files, err := cs[0].generate(ctx, "linux", backend.Object, together(cs))
	if err != nil {
		return nil, err
	}
	code := &sharedCode{}
	if len(files) > 0 {
		objs := make([][]byte, len(files))
		for i, f := range files {
			objs[i] = f.Data
		}
		if code.Code, err = native.Load(objs...); err != nil {
			return nil, err
		}
	}
	code.users.Store(int32(len(cs)))
	for i, c := range cs {
		l := &Loaded{code: code}
		l.Model, err = c.model(opts, nil, func(level, kernel int) uintptr {
			return code.Symbol(backend.Symbol(kernelName(i, c.Program.Kernels[level][kernel]), c.Program.Levels[level].Name))
		})
		if err != nil {
			for _, l := range ls {
				l.Model.Close()
			}
			if code.Code != nil {
				err = errors.Join(err, code.Code.Close())
			}
			return nil, err
		}
		ls = append(ls, l)
	}
	return ls, nil
}

// kernelName is the name of a kernel of model i of several.
func kernelName(i int, f *loop.Func) string { return fmt.Sprintf("m%d_%s", i, f.Name) }

// together lists the kernels of several models by level, under names that tell them apart.
func together(cs []*Compiled) []backend.Kernels {
	var ks []backend.Kernels
	for i, level := range cs[0].Program.Levels {
		k := backend.Kernels{Level: level}
		for n, c := range cs {
			for _, f := range c.Program.Kernels[i] {
				g := *f
				g.Name = kernelName(n, f)
				k.Funcs = append(k.Funcs, &g)
			}
		}
		ks = append(ks, k)
	}
	return ks
}

// Close stops the model, and unmaps its code once no other model uses it.
func (l *Loaded) Close() error {
	l.Model.Close()
	return l.code.release()
}
