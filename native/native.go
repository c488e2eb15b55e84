// Package native compiles modules to machine code in this process: the Compile function that makes
// nnc a fast backend of onnx-go (package frontend/onnxgo).
//
// It needs the tools of LLVM that nnc build needs, and Linux. Where it cannot compile, the program
// interprets the module instead, with the same results.
package native

import (
	"context"
	"runtime"

	"github.com/nnc-go/nnc/frontend/onnxgo"
	"github.com/nnc-go/nnc/internal/driver"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/hostop"
)

// Compile compiles m for this machine; m is not changed. Its code is freed when nothing uses the program
// any more. The error is that of the module; that of a machine that cannot compile is not one.
func Compile(m *ir.Module) (onnxgo.Program, error) { return compileOrEvaluate(m, compile) }

func compileOrEvaluate(m *ir.Module, compile onnxgo.Compile) (onnxgo.Program, error) {
	if p, err := compile(m.Clone()); err == nil {
		return p, nil
	}
	return onnxgo.Evaluate(m)
}

// program is compiled code that is loaded.
type program struct {
	model   *exec.Model
	outputs int
}

func compile(m *ir.Module) (onnxgo.Program, error) {
	ctx := context.Background()
	outputs := len(m.Graph.Results)
	c, err := driver.CompileModule(ctx, m, driver.Options{CPU: "native"})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	l, err := c.Load(ctx, exec.Options{})
	if err != nil {
		return nil, err
	}
	p := &program{l.Model, outputs}
	runtime.AddCleanup(p, func(l *driver.Loaded) { l.Close() }, l)
	return p.run, nil
}

func (p *program) run(in []hostop.Value) ([]hostop.Value, error) {
	out := make([]hostop.Value, p.outputs)
	err := p.model.Run(context.Background(), in, out)
	runtime.KeepAlive(p)
	return out, err
}
