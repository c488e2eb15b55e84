package driver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/nnc-go/nnc/backend"
	"github.com/nnc-go/nnc/internal/native"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/abi"
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

// LoadAll is Load for several models that were compiled for the same target: the tools run once for all of them, and
// compile kernels that are alike once.
func LoadAll(ctx context.Context, cs []*Compiled, opts exec.Options) (ls []*Loaded, err error) {
	if len(cs) == 0 {
		return nil, nil
	}
	if cs[0].Target.Arch.Name != runtime.GOARCH {
		return nil, fmt.Errorf("compiled for %s, this machine is %s", cs[0].Target.Arch.Name, runtime.GOARCH)
	}
	ks, names := together(cs)
	code := &sharedCode{}
	enter, symbols, err := code.generate(ctx, cs[0], ks)
	if err != nil {
		return nil, err
	}
	code.users.Store(int32(len(cs)))
	for _, c := range cs {
		l := &Loaded{code: code}
		l.Model, err = c.model(opts, enter, func(level, kernel int) uintptr {
			s := backend.Symbol(names[c.Program.Kernels[level][kernel]], c.Program.Levels[level].Name)
			if symbols != nil {
				s = symbols[s]
			}
			return code.Symbol(s)
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

// generate generates code with c's backend and loads it. It gives how kernels are entered, and for Go assembly
// their functions by symbol.
func (s *sharedCode) generate(ctx context.Context, c *Compiled, ks []backend.Kernels) (enter func(fn uintptr, args *int64, lo, hi int64), symbols map[string]string, err error) {
	if c.missing != nil {
		return nil, nil, c.missing
	}
	form := c.Backend.Form()
	files, err := c.generate(ctx, "linux", form, ks)
	if err != nil || len(files) == 0 {
		return nil, nil, err
	}
	if form == backend.GoAssembly {
		text, funcs := map[string][]byte{}, map[string]string{}
		for _, f := range files {
			text[f.Name+"_"+runtime.GOARCH+".s"] = f.Data
			maps.Copy(funcs, f.Funcs)
		}
		s.Code, err = native.LoadGoAsm(ctx, text, slices.Sorted(maps.Values(funcs)))
		return abi.CallGo, funcs, err
	}
	objs := make([][]byte, len(files))
	for i, f := range files {
		objs[i] = f.Data
	}
	s.Code, err = native.Load(objs...)
	return nil, nil, err
}

// together lists the kernels of several models by level, those that are alike once, and what each is called.
func together(cs []*Compiled) (ks []backend.Kernels, names map[*loop.Func]string) {
	names = map[*loop.Func]string{}
	for i, level := range cs[0].Program.Levels {
		k := backend.Kernels{Level: level}
		alike := map[string]string{} // names by text
		for n, c := range cs {
			for _, f := range c.Program.Kernels[i] {
				g := *f
				g.Name, g.Comment = "", ""
				text := g.String()
				if alike[text] == "" {
					alike[text] = fmt.Sprintf("m%d_%s", n, f.Name)
					g.Name, g.Comment = alike[text], f.Comment
					k.Funcs = append(k.Funcs, &g)
				}
				names[f] = alike[text]
			}
		}
		ks = append(ks, k)
	}
	return ks, names
}

// Close stops the model, and unmaps its code once no other model uses it.
func (l *Loaded) Close() error {
	l.Model.Close()
	return l.code.release()
}
