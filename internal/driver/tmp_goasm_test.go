package driver

import (
	"context"
	"testing"
	"os"
	"fmt"
	"time"
	"math"

	"github.com/nnc-go/nnc/backend/goasm"
	"github.com/nnc-go/nnc/internal/native"
	"github.com/nnc-go/nnc/runtime/abi"
	"github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

func loadGoAsm(ctx context.Context, c *Compiled) (*exec.Model, error) {
	files := map[string][]byte{}
	var names []string
	for _, k := range c.Kernels() {
		b, err := goasm.Assembly(c.Target, k)
		if err != nil {
			return nil, err
		}
		files["kernels_"+k.Level.Name+"_amd64.s"] = b
		for _, f := range k.Funcs {
			names = append(names, goasm.Symbol(f.Name, k.Level.Name))
		}
	}
	code, err := native.LoadGoAsm(ctx, files, names)
	if err != nil {
		return nil, err
	}
	return c.model(exec.Options{Threads: 1}, abi.CallGo, func(l, k int) uintptr {
		return code.Symbol(goasm.Symbol(c.Program.Kernels[l][k].Name, c.Program.Levels[l].Name))
	})
}

func TestTmpGoAsm(t *testing.T) {
	ctx := context.Background()
	for _, cpu := range []string{"avx2", "avx512"} {
		c, err := Compile(ctx, os.Getenv("MODEL"), Options{CPU: cpu})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		a, err := loadGoAsm(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		t.Log("goasm", time.Since(start))
		start = time.Now()
		b, err := c.Load(ctx, exec.Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Log("llvm", time.Since(start))
		compareModels(t, c, a, b.Model)
	}
}

func compareModels(t *testing.T, c *Compiled, a, b *exec.Model) {
	p := c.Program.Plan
	var ins []hostop.Value
	for _, io := range p.Inputs {
		var shape []int64
		for _, s := range io.Shape {
			n := int64(1)
			if p.Slots[s].Op == 0 {
				n = p.Slots[s].Imm
			}
			shape = append(shape, n)
		}
		x := tensor.New(io.DType, shape...)
		if io.DType == tensor.F32 {
			for i := range tensor.View[float32](x) {
				tensor.View[float32](x)[i] = float32(math.Sin(float64(i)))
			}
		}
		ins = append(ins, x)
	}
	run := func(m *exec.Model) ([]hostop.Value, time.Duration) {
		var best time.Duration = time.Hour
		var out []hostop.Value
		for range 30 {
			start := time.Now()
			o := make([]hostop.Value, len(p.Outputs)); err := m.Run(context.Background(), ins, o)
			if err != nil {
				t.Fatal(err)
			}
			best = min(best, time.Since(start))
			out = o
		}
		return out, best
	}
	x, ta := run(a)
	y, tb := run(b)
	for i := range x {
		diff := 0
		xd, yd := x[i].(*tensor.Tensor).Data, y[i].(*tensor.Tensor).Data
		for k := range xd {
			if xd[k] != yd[k] {
				diff++
			}
		}
		t.Log(fmt.Sprintf("output %d: %d of %d bytes differ; goasm %v llvm %v ratio %.3f", i, diff, len(xd), ta, tb, float64(tb)/float64(ta)))
	}
}
