package driver

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"

	"github.com/nnc-go/nnc/build"
	"github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// golden records a run of c in this process on random inputs, with 1 for each symbolic dimension. Where
// that cannot be, why says so.
func (c *Compiled) golden(ctx context.Context) (g *build.Golden, why string) {
	if c.Target.Arch.Name != runtime.GOARCH || runtime.GOOS != "linux" {
		return nil, fmt.Sprintf("this machine (%s/%s) cannot run code for %s", runtime.GOOS, runtime.GOARCH, c.Target.Arch.Name)
	}
	g = &build.Golden{}
	p := c.Program.Plan
	for i := range p.Outputs {
		if io := &p.Outputs[i]; io.Boxed() {
			return nil, fmt.Sprintf("output %q has type %s", io.Name, io.TypeString())
		}
	}
	in := make([]hostop.Value, len(p.Inputs))
	for i := range p.Inputs {
		t, err := invent(p, &p.Inputs[i], uint64(i))
		if err != nil {
			return nil, err.Error()
		}
		g.In = append(g.In, t)
		if t != nil {
			in[i] = t
		}
	}
	l, err := c.Load(ctx, exec.Options{})
	if err != nil {
		return nil, err.Error()
	}
	defer l.Close()
	out := make([]hostop.Value, len(p.Outputs))
	if err := l.Run(ctx, in, out); err != nil {
		return nil, "the model does not take the sample input (1 for each symbolic dimension): " + err.Error()
	}
	for i, v := range out {
		t, ok := v.(*tensor.Tensor)
		if !ok {
			return nil, fmt.Sprintf("output %q is not a tensor", p.Outputs[i].Name)
		}
		g.Out = append(g.Out, t)
	}
	return g, ""
}

// invent makes a value for an input: floats from [-1,1), integers and booleans 0 or 1; nil for one that
// may be absent.
func invent(p *plan.Plan, io *plan.IO, seed uint64) (*tensor.Tensor, error) {
	if io.Default >= 0 || io.Optional {
		return nil, nil
	}
	if io.Boxed() {
		return nil, fmt.Errorf("input %q has type %s", io.Name, io.TypeString())
	}
	shape := make([]int64, len(io.Shape))
	for i, s := range io.Shape {
		switch d := p.Slots[s]; d.Op {
		case plan.SlotConst:
			shape[i] = d.Imm
		case plan.SlotInput:
			shape[i] = 1
		default:
			return nil, fmt.Errorf("dimension %s of input %q is computed", io.Dims[i], io.Name)
		}
	}
	t := tensor.New(io.DType, shape...)
	r := rand.New(rand.NewPCG(1, seed))
	float := func() float64 { return float64(r.IntN(1<<24))/(1<<23) - 1 }
	bit := func() int { return r.IntN(2) }
	switch io.DType {
	case tensor.F32:
		fill(t, func() float32 { return float32(float()) })
	case tensor.F64:
		fill(t, float)
	case tensor.F16:
		fill(t, func() uint16 { return tensor.F32ToF16(float32(float())) })
	case tensor.BF16:
		fill(t, func() uint16 { return tensor.F32ToBF16(float32(float())) })
	case tensor.I16, tensor.U16:
		fill(t, func() uint16 { return uint16(bit()) })
	case tensor.I32, tensor.U32:
		fill(t, func() uint32 { return uint32(bit()) })
	case tensor.I64, tensor.U64:
		fill(t, func() uint64 { return uint64(bit()) })
	default:
		fill(t, func() uint8 { return uint8(bit()) })
	}
	return t, nil
}

func fill[T tensor.Native](t *tensor.Tensor, next func() T) {
	v := tensor.BytesAs[T](t.Data)
	for i := range v {
		v[i] = next()
	}
}
