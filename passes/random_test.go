package passes

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// graphGen grows random image networks out of what the passes work on.
type graphGen struct {
	t    *testing.T
	rng  *rand.Rand
	m    *ir.Module
	inf  *ir.InferCtx
	vals []*ir.Value // f32 of rank 4
}

func (g *graphGen) op(name string, attrs ir.Attrs, args ...*ir.Value) *ir.Value {
	op := g.m.NewOp(name, args, 1, attrs, ir.Origin{Op: name, Node: fmt.Sprint("n", len(g.m.Graph.Ops))})
	require.NoError(g.t, op.Info.Infer(g.inf, op))
	g.m.Graph.Ops = append(g.m.Graph.Ops, op)
	return op.Results[0]
}

func (g *graphGen) constant(lo, hi float64, shape ...int64) *ir.Value {
	x := make([]float32, tensor.NumElements(shape))
	for i := range x {
		x[i] = float32(lo + g.rng.Float64()*(hi-lo))
	}
	op := g.m.NewConst("", f32Data(x, shape))
	g.m.Graph.Ops = append(g.m.Graph.Ops, op)
	return op.Results[0]
}

func (g *graphGen) ints(n ...int64) *ir.Value {
	op := g.m.NewConst("", intData(n))
	g.m.Graph.Ops = append(g.m.Graph.Ops, op)
	return op.Results[0]
}

// shape gives the integers of a shape, -1 for symbolic dimensions.
func (g *graphGen) shape(v *ir.Value) []int64 {
	s := make([]int64, len(v.Type.Shape))
	for i, d := range v.Type.Shape {
		s[i] = -1
		if d.IsConst() {
			s[i] = d.Value()
		}
	}
	return s
}

// steps are the productions, each a value from a value x of shape s = [N,C,H,W].
var steps = []func(g *graphGen, x *ir.Value, s []int64) *ir.Value{
	func(g *graphGen, x *ir.Value, s []int64) *ir.Value { // convolution with or without bias
		out := []int64{3, 16, 20, 32}[g.rng.IntN(4)]
		k := 1 + 2*g.rng.Int64N(2)
		args := []*ir.Value{x, g.constant(-0.3, 0.3, out, s[1], k, k)}
		if g.rng.IntN(2) == 0 {
			args = append(args, g.constant(-1, 1, out))
		}
		return g.op("Conv", ir.Attrs{"pads": []int64{k / 2, k / 2, k / 2, k / 2}, "strides": []int64{1 + g.rng.Int64N(2), 1}}, args...)
	},
	func(g *graphGen, x *ir.Value, s []int64) *ir.Value { // depthwise
		return g.op("Conv", ir.Attrs{"group": s[1], "pads": []int64{1, 1, 1, 1}}, x, g.constant(-1, 1, s[1], 1, 3, 3))
	},
	func(g *graphGen, x *ir.Value, s []int64) *ir.Value { // pad, then convolution
		p := g.op("Pad", nil, x, g.ints(0, 0, 1, 0, 0, 0, 1, 2))
		return g.op("Conv", nil, p, g.constant(-0.3, 0.3, 16, s[1], 3, 3))
	},
	func(g *graphGen, x *ir.Value, s []int64) *ir.Value {
		return g.op([]string{"Relu", "Sigmoid", "Tanh", "HardSwish", "Abs"}[g.rng.IntN(5)], nil, x)
	},
	func(g *graphGen, x *ir.Value, s []int64) *ir.Value {
		return g.op("BatchNormalization", nil, x, g.constant(0.5, 1.5, s[1]), g.constant(-1, 1, s[1]), g.constant(-1, 1, s[1]), g.constant(0.5, 2, s[1]))
	},
	func(g *graphGen, x *ir.Value, s []int64) *ir.Value { // per channel, either side
		name := []string{"Mul", "Add", "Sub"}[g.rng.IntN(3)]
		if g.rng.IntN(2) == 0 {
			return g.op(name, nil, x, g.constant(-1, 1, 1, s[1], 1, 1))
		}
		return g.op(name, nil, g.constant(-1, 1, s[1], 1, 1), x)
	},
	func(g *graphGen, x *ir.Value, s []int64) *ir.Value { // residual
		for _, y := range g.vals {
			if y != x && sameShape(x.Type, y.Type) {
				return g.op("Add", nil, x, y)
			}
		}
		return g.op("Mul", nil, x, g.op("Sigmoid", nil, x))
	},
	func(g *graphGen, x *ir.Value, s []int64) *ir.Value { // squeeze and excite
		e := g.op("ReduceMean", nil, x, g.ints(-1, -2))
		return g.op("Mul", nil, x, g.op("Sigmoid", nil, g.op("Conv", nil, e, g.constant(-1, 1, s[1], s[1], 1, 1))))
	},
	func(g *graphGen, x *ir.Value, s []int64) *ir.Value { // a mask over pixels
		return g.op("Mul", nil, x, g.op("Sigmoid", nil, g.op("ReduceMean", nil, x, g.ints(1))))
	},
	func(g *graphGen, x *ir.Value, s []int64) *ir.Value {
		name := []string{"MaxPool", "AveragePool"}[g.rng.IntN(2)]
		return g.op(name, ir.Attrs{"kernel_shape": []int64{3, 3}, "pads": []int64{1, 1, 1, 1}}, x)
	},
	func(g *graphGen, x *ir.Value, s []int64) *ir.Value {
		args := []*ir.Value{x}
		for _, y := range g.vals {
			a, b := x.Type.Shape, y.Type.Shape
			if len(args) < 3 && a[0].Equal(b[0]) && a[2].Equal(b[2]) && a[3].Equal(b[3]) {
				args = append(args, y)
			}
		}
		return g.op("Concat", ir.Attrs{"axis": int64(1)}, args...)
	},
	func(g *graphGen, x *ir.Value, s []int64) *ir.Value { // some channels
		last := g.rng.Int64N(s[1])
		return g.op("Slice", nil, x, g.ints(g.rng.Int64N(last+1)), g.ints(last+1), g.ints(1), g.ints(1+g.rng.Int64N(2)))
	},
	func(g *graphGen, x *ir.Value, s []int64) *ir.Value { // channels in another order, or half of them
		if s[1]%2 > 0 || s[2] < 0 {
			return g.op("Concat", ir.Attrs{"axis": int64(1)}, g.op("Neg", nil, x), x)
		}
		y := g.op("Reshape", nil, x, g.ints(s[0], s[1]/2, 2, s[2]*s[3]))
		switch g.rng.IntN(3) {
		case 0:
			y = g.op("Gather", ir.Attrs{"axis": int64(2)}, y, g.ints(1))
			return g.op("Reshape", nil, y, g.ints(s[0], -1, s[2], s[3]))
		case 1: // which moves images among each other where there are several
			y = g.op("Reshape", nil, g.op("Transpose", ir.Attrs{"perm": []int64{2, 1, 0, 3}}, y), g.ints(s[0], s[1], s[2], s[3]))
			return y
		}
		return g.op("Reshape", nil, g.op("Transpose", ir.Attrs{"perm": []int64{0, 2, 1, 3}}, y), g.ints(s[0], s[1], s[2], s[3]))
	},
	func(g *graphGen, x *ir.Value, s []int64) *ir.Value { // nearest pixels
		op := g.m.NewConst("", f32Data([]float32{1, 1, []float32{1, 2}[g.rng.IntN(2)], 1.5}, []int64{4}))
		g.m.Graph.Ops = append(g.m.Graph.Ops, op)
		return g.op("Resize", ir.Attrs{"mode": "nearest"}, x, nil, op.Results[0])
	},
	func(g *graphGen, x *ir.Value, s []int64) *ir.Value { // there and back
		y := g.op("Relu", nil, g.op("Transpose", ir.Attrs{"perm": []int64{0, 2, 3, 1}}, x))
		return g.op("Transpose", ir.Attrs{"perm": []int64{0, 3, 1, 2}}, y)
	},
	func(g *graphGen, x *ir.Value, s []int64) *ir.Value { // through another view
		y := g.op("Reshape", nil, x, g.ints(0, -1))
		sh := g.op("Shape", nil, x)
		return g.op("Reshape", nil, g.op("Identity", nil, y), sh)
	},
	func(g *graphGen, x *ir.Value, s []int64) *ir.Value {
		y := g.op("Pow", nil, x, g.constant(2, 2))
		return g.op("Pow", nil, g.op("Add", nil, y, g.constant(1, 1)), g.constant(0.5, 0.5))
	},
	func(g *graphGen, x *ir.Value, s []int64) *ir.Value { // Gelu as exported
		e := g.op("Add", nil, g.op("Erf", nil, g.op("Div", nil, x, g.constant(1.4142135, 1.4142135))), g.constant(1, 1))
		return g.op("Mul", nil, g.op("Mul", nil, x, e), g.constant(0.5, 0.5))
	},
	func(g *graphGen, x *ir.Value, s []int64) *ir.Value { // LayerNormalization as exported
		if s[3] < 0 {
			return g.op("Neg", nil, x)
		}
		d := g.op("Sub", nil, x, g.op("ReduceMean", nil, x, g.ints(-1)))
		v := g.op("ReduceMean", nil, g.op("Pow", nil, d, g.constant(2, 2)), g.ints(-1))
		n := g.op("Div", nil, d, g.op("Sqrt", nil, g.op("Add", nil, v, g.constant(1e-3, 1e-3))))
		return g.op("Add", nil, g.op("Mul", nil, n, g.constant(-1, 1, s[3])), g.constant(-1, 1, s[3]))
	},
}

// randomModule makes a model with n steps and up to three results, of an image of [1 or 2,C,6,5] or [N,C,H,W].
func randomModule(t *testing.T, seed uint64, n int, dynamic bool) *ir.Module {
	g := &graphGen{t: t, rng: rand.New(rand.NewPCG(seed, 1)), m: ir.NewModule(fmt.Sprint("random", seed))}
	g.inf = ir.NewInferCtx(g.m)
	c := []int64{1, 3, 16, 20}[g.rng.IntN(4)]
	x := g.m.Graph.AddParam(g.m.NewValue("x", ir.TensorType(tensor.F32, ir.Dims(1+g.rng.Int64N(2), c, 6, 5)...)))
	if dynamic {
		x.Type.Shape = []ir.Dim{ir.Sym("N"), ir.Const(c), ir.Sym("H"), ir.Sym("W")}
	}
	g.m.Inputs = []string{"x"}
	g.vals = append(g.vals, x)
	for range n {
		// Mostly go on from the newest value.
		x := g.vals[len(g.vals)-1]
		if g.rng.IntN(4) == 0 {
			x = g.vals[g.rng.IntN(len(g.vals))]
		}
		if s := g.shape(x); s[1] <= 96 {
			g.vals = append(g.vals, steps[g.rng.IntN(len(steps))](g, x, s))
		}
	}
	for i := range 1 + g.rng.IntN(3) {
		g.m.Graph.Results = append(g.m.Graph.Results, g.vals[max(0, len(g.vals)-1-2*i)])
		g.m.Outputs = append(g.m.Outputs, fmt.Sprint("y", i))
	}
	return g.m
}

// TestRandomGraphs evaluates random graphs before and after every pass. With -math=strict the answers keep
// their bits, counted from the canonical forms on.
func TestRandomGraphs(t *testing.T) {
	n := uint64(60)
	if testing.Short() {
		n = 10
	}
	for seed := range n {
		for _, strict := range []bool{false, true} {
			checkRandomGraph(t, seed, strict)
		}
	}
}

func checkRandomGraph(t *testing.T, seed uint64, strict bool) {
	m := randomModule(t, seed, 3+int(seed%10), seed%3 == 0)
	in := randomInputs(t, m, seed, false)
	want, text := evaluate(t, m, in), m.String()
	if strict {
		plain := m.Clone()
		_, err := Run(plain, Options{Strict: true})
		require.NoError(t, err, "seed %d\n%s", seed, text)
		canon := evaluate(t, plain, in)
		requireClose(t, want, canon, false)
		want = canon
	}
	_, err := Run(m, Options{Optimize: true, Strict: strict, Debug: map[string]Debug{"all": {Check: true}}, After: func(pass string, m *ir.Module) {
		if pass == "infer" {
			return
		}
		defer func() {
			if t.Failed() {
				t.Logf("seed %d, strict %t: wrong after %s\n%s\nit was\n%s", seed, strict, pass, m, text)
			}
		}()
		requireClose(t, want, evaluate(t, m, in), strict)
	}})
	require.NoError(t, err, "seed %d\n%s", seed, text)
}
