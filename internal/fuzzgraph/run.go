package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/nnc-go/nnc/internal/driver"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/eval"
	"github.com/nnc-go/nnc/runtime/exec"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// noise moves numbers by up to so many units in the last place.
type noise struct {
	*rand.Rand
	units float64
}

// evaluate runs a graph on the evaluator and gives its outputs. With n, the operands and results of ops that
// round are moved by about noise.units in the last place: how far that moves the outputs tells how far those of
// another correct implementation may be.
func evaluate(g *graph, n *noise) (out []*tensor.Tensor, err error) {
	err = caught(func() error {
		out, err = evaluated(g, n)
		return err
	})
	return out, err
}

func evaluated(g *graph, n *noise) (out []*tensor.Tensor, err error) {
	m, err := g.module()
	if err != nil {
		return nil, err
	}
	var in []hostop.Value
	for _, i := range g.feeds() {
		in = append(in, i.t)
	}
	opts := eval.Options{}
	if n != nil {
		opts.Apply = n.apply
	}
	vals, err := eval.Run(m, in, opts)
	if err != nil {
		return nil, err
	}
	return tensors(vals)
}

// tensors are the outputs of a graph, all of which are such.
func tensors(vals []hostop.Value) (out []*tensor.Tensor, err error) {
	for i, v := range vals {
		t, ok := v.(*tensor.Tensor)
		if !ok {
			return nil, fmt.Errorf("output %d is %T", i, v)
		}
		out = append(out, t)
	}
	return out, nil
}

// apply evaluates an op with noise.
func (n *noise) apply(op *ir.Op, in []hostop.Value) ([]hostop.Value, error) {
	if exact(op) {
		return eval.Op(op, in)
	}
	for i, v := range in {
		if i == 0 || op.Name() != "Resize" { // scales decide about sizes
			in[i] = shake(n, v, 1, 0)
		}
	}
	out, err := eval.Op(op, in)
	if err != nil {
		return nil, err
	}
	for i := range out {
		out[i] = shake(n, out[i], max(1, math.Sqrt(terms(op, in, out[i]))/4), compound[op.Name()])
	}
	return out, nil
}

// exactOps give the same bits in every correct implementation.
var exactOps = func() map[string]bool {
	m := map[string]bool{}
	for _, s := range moveSpecs {
		m[s.op] = true
	}
	for _, op := range []string{"Const", "Ceil", "Floor", "Round", "Abs", "Sign", "Relu", "Neg", "Identity", "Shape", "Size", "NonZero", "IsNaN", "IsInf", "Cast",
		"Clip", "Where", "Max", "Min", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "ReduceMax", "ReduceMin", "ArgMax", "ArgMin", "Hardmax", "TopK",
		"Compress", "OneHot", "Unique", "MaxPool", "GlobalMaxPool"} {
		m[op] = true
	}
	return m
}()

// exact reports whether an op rounds nothing.
func exact(op *ir.Op) bool {
	if r := op.Attrs.Str("reduction", "none"); exactOps[op.Name()] && r != "add" && r != "mul" {
		return true
	}
	for _, v := range append(append([]*ir.Value{}, op.Operands...), op.Results...) {
		if v != nil && v.Type.DType.IsFloat() {
			return false
		}
	}
	return true
}

// compound are ops that round on the way to numbers of this size, whose differences may be much smaller.
var compound = map[string]float64{
	"Gelu": 1, "Mish": 1, "Elu": 1, "Selu": 1, "Celu": 1, "Softplus": 1, "LSTM": 4, "GRU": 4, "RNN": 4, "Attention": 1, "LogSoftmax": 1, "Cos": 1, "Sin": 1,
	"Resize": 2, "InstanceNormalization": 512, "GroupNormalization": 8, "LayerNormalization": 8, "RMSNormalization": 8,
	"ScatterElements": 4, "ScatterND": 4,
}

// terms is about how many numbers an op sums into an element of its result: the roundings of partial sums add up as
// the square root of that.
func terms(op *ir.Op, in []hostop.Value, out hostop.Value) float64 {
	y, ok := out.(*tensor.Tensor)
	if !ok || y.Len() == 0 {
		return 0
	}
	switch x := in[0].(*tensor.Tensor); op.Name() {
	case "Conv", "ConvTranspose":
		w := in[1].(*tensor.Tensor)
		return float64(w.Len()) / float64(min(w.Shape[0], w.Shape[1]))
	case "MatMul", "Gemm":
		return math.Sqrt(float64(x.Len()) * float64(in[1].(*tensor.Tensor).Len()) / float64(y.Len()))
	case "ReduceSum", "ReduceMean", "ReduceL1", "ReduceSumSquare":
		return float64(x.Len()) / float64(y.Len())
	}
	return 0
}

// shake gives a copy of a float tensor with each element moved by up to some units in the last place of it, or of
// size if that is larger.
func shake(n *noise, v hostop.Value, units, size float64) hostop.Value {
	t, ok := v.(*tensor.Tensor)
	if !ok || t == nil || !t.DType.IsFloat() {
		return v
	}
	c := tensor.New(t.DType, t.Shape...)
	copy(c.Data, t.Data)
	for i := range t.Len() {
		x := t.At(i)
		if x == 0 {
			continue // mostly exact, and its neighbours are other cases altogether: of logarithms, of quotients
		}
		setFloat(c, i, x+float64(n.IntN(3)-1)*n.units*units*max(ulp(x, t.DType), ulp(size, t.DType)))
	}
	return c
}

// job is a graph to be compiled in some way and run, and what that gives.
type job struct {
	way
	g        *graph
	compiled *driver.Compiled
	out      []*tensor.Tensor
	err      error
}

// compile does jobs of one level together.
func compile(ctx context.Context, jobs []*job) {
	var good []*job
	var cs []*driver.Compiled
	for _, j := range jobs {
		j.err = caught(func() error {
			m, err := j.g.module()
			if err != nil {
				return err
			}
			j.compiled, err = driver.CompileModule(ctx, m, driver.Options{CPU: j.level, NoOptimize: j.plain})
			return err
		})
		if j.err == nil {
			good, cs = append(good, j), append(cs, j.compiled)
			defer j.compiled.Close()
		}
	}
	opts := exec.Options{Threads: 2}
	loaded, failed := driver.LoadAll(ctx, cs, opts)
	for k, j := range good {
		j.err = caught(func() (err error) {
			var l *driver.Loaded
			if failed == nil {
				l = loaded[k]
			} else if l, err = j.compiled.Load(ctx, opts); err != nil { // one of them is to blame: alone, each shows whether it is
				return err
			}
			defer l.Close()
			j.out, err = run(ctx, l, j.g)
			return err
		})
	}
}

// caught makes an error of a panic.
func caught(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return f()
}

// run runs a compiled graph.
func run(ctx context.Context, l *driver.Loaded, g *graph) (out []*tensor.Tensor, err error) {
	var in []hostop.Value
	for _, i := range g.feeds() {
		in = append(in, i.t)
	}
	got := make([]hostop.Value, len(g.outputs))
	if err := l.Run(ctx, in, got); err != nil {
		return nil, err
	}
	return tensors(got)
}
