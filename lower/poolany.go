package lower

import (
	"math"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// windowRules are the ops that slide windows over plain tensors, but for the convolutions, which are anchors.
func windowRules() map[string]rule {
	return map[string]rule{"MaxPool": lowerPool, "AveragePool": lowerPool, "LpPool": lowerPool, "MaxUnpool": lowerMaxUnpool, "DeformConv": lowerDeformConv, "Col2Im": lowerCol2Im}
}

// poolAny is a pooling of plain tensors of any rank and element type: what the layout pass leaves.
type poolAny struct {
	*spatial
	op           *ir.Op
	x, out, idx  *ir.Value // idx nil where not wanted
	fold         poolFold
	includePad   bool
	columnMajor  bool
	planeSize    ir.Dim
	planes       ir.Dim
	elem         tensor.DType // of x
	compute      tensor.DType
	p            int64 // of LpPool
	outPlaneSize ir.Dim
}

// poolFold is how a window becomes a number: start, what a tap does to the sum, and the end.
type poolFold struct {
	start  float64
	step   func(k *K, p *poolAny, sum, x *loop.Value) *loop.Value
	finish func(k *K, p *poolAny, at place, sum *loop.Value) *loop.Value
}

// poolFolds by op. The maximum of integers starts at the least of them.
var poolFolds = map[string]poolFold{
	"MaxPool": {math.Inf(-1), func(k *K, _ *poolAny, s, x *loop.Value) *loop.Value { return k.Max(s, x) },
		func(_ *K, _ *poolAny, _ place, s *loop.Value) *loop.Value { return s }},
	"AveragePool": {0, func(k *K, _ *poolAny, s, x *loop.Value) *loop.Value { return k.Add(s, x) },
		func(k *K, p *poolAny, at place, s *loop.Value) *loop.Value {
			n := k.MaxIdx(p.count(k, at, p.includePad), k.Int(1))
			return k.Div(s, k.Broadcast(k.Convert(n, s.Type.Elem), s.Type.Lanes))
		}},
	"LpPool": {0, func(k *K, p *poolAny, s, x *loop.Value) *loop.Value {
		return k.Add(s, k.powInt(k.Unary(loop.OpAbs, x), p.p))
	},
		func(k *K, p *poolAny, _ place, s *loop.Value) *loop.Value { return k.root(s, p.p) }},
}

// powInt is x^n by squaring, n >= 1.
func (k *K) powInt(x *loop.Value, n int64) *loop.Value {
	var r *loop.Value
	for ; n > 0; n /= 2 {
		if n%2 != 0 {
			if r == nil {
				r = x
			} else {
				r = k.Mul(r, x)
			}
		}
		if n > 1 {
			x = k.Mul(x, x)
		}
	}
	return r
}

// root is the n-th root of x >= 0.
func (k *K) root(x *loop.Value, n int64) *loop.Value {
	switch n {
	case 1:
		return x
	case 2:
		return k.Unary(loop.OpSqrt, x)
	}
	return k.Pow(x, k.num(x, 1/float64(n)))
}

// lowerPool compiles MaxPool, AveragePool and LpPool.
func lowerPool(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	rank := x.Type.Rank()
	if rank < 3 || !compiled(x.Type.DType) || x.Type.DType == tensor.Bool || !x.Type.DType.IsFloat() && op.Info.Name != "MaxPool" {
		return errDecline
	}
	xs, os := x.Type.Shape, out.Type.Shape
	geo, err := newSpatial(op, xs[2:], os[2:], ir.Dims(op.Attrs.Ints("kernel_shape", nil)...))
	if err != nil {
		return err
	}
	p := &poolAny{spatial: geo, op: op, x: x, out: out, idx: op.Result(1), fold: poolFolds[op.Info.Name], planes: xs[0].Mul(xs[1]), planeSize: ir.Product(xs[2:]),
		outPlaneSize: ir.Product(os[2:]), elem: x.Type.DType, compute: computeType(x.Type.DType), p: op.Attrs.Int("p", 2),
		includePad: op.Attrs.Int("count_include_pad", 0) != 0, columnMajor: op.Attrs.Int("storage_order", 0) != 0}
	if op.Info.Name == "LpPool" && (p.p < 1 || p.p > 2 && !loop.MathSupported("Pow", p.compute)) {
		return errDecline
	}
	outs := []*ir.Value{out}
	if p.idx != nil {
		outs = append(outs, p.idx)
	}
	return c.Kernel(Step{
		Op: op, Name: "pool_any", Ins: []*ir.Value{x}, Outs: outs, Par: p.planes.Mul(p.rows()), NsPerIter: 500, Bytes: bytesOf(x).Add(bytesOf(out)),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				co := k.Unflatten(i, p.planes, p.rows())
				p.row(k, co[1], k.Level.Lanes(p.compute.Size()), func(at place) { p.window(k, co[0], at) })
			})
		},
	})
}

// window computes the results at a place of a plane.
func (p *poolAny) window(k *K, plane *loop.Value, at place) {
	from, to := k.MulDim(plane, p.planeSize), k.Add(k.MulDim(plane, p.outPlaneSize), p.flat(k, at))
	load := func(i *loop.Value) *loop.Value {
		return k.fromMemory(k.Load(k.Buf(p.x), k.Add(from, i), at.lanes), p.elem)
	}
	t := loop.Vec(p.compute, at.lanes)
	search := &argSearch{K: k}
	start := search.worst(t)
	if t.Elem.IsFloat() {
		start = k.Float(t, p.fold.start)
	}
	if p.idx == nil {
		sum := p.taps(k, at, []*loop.Value{start}, func(i, _ *loop.Value, acc []*loop.Value) []*loop.Value {
			return []*loop.Value{p.fold.step(k, p, acc[0], load(i))}
		})
		k.Store(k.Buf(p.out), to, k.toMemory(p.fold.finish(k, p, at, sum[0]), p.elem))
		return
	}
	i64 := loop.Vec(tensor.I64, at.lanes)
	best := p.taps(k, at, []*loop.Value{start, k.IntOf(i64, -1)}, func(i, _ *loop.Value, acc []*loop.Value) []*loop.Value {
		v := load(i)
		here := k.Add(k.Broadcast(i, at.lanes), k.steps(at.lanes))
		c := k.Or(search.better(v, acc[0]), k.Cmp(loop.LT, acc[1], k.IntOf(i64, 0)))
		return []*loop.Value{k.Select(c, v, acc[0]), k.Select(c, here, acc[1])}
	})
	k.Store(k.Buf(p.out), to, k.toMemory(best[0], p.elem))
	k.Store(k.Buf(p.idx), to, p.index(k, from, best[1]))
}

// index is the index in the whole input of an offset in a plane, -1 for that of nothing.
func (p *poolAny) index(k *K, plane, at *loop.Value) *loop.Value {
	lanes := at.Type.Lanes
	r := at
	if p.columnMajor {
		rest := at
		r = k.IntOf(at.Type, 0)
		for d := len(p.in) - 1; d >= 0; d-- {
			n := k.Broadcast(k.Dim(p.in[d].Max(ir.Const(1))), lanes)
			r = k.Add(r, k.Mul(k.Rem(rest, n), k.Broadcast(k.Dim(ir.Product(p.in[:d])), lanes)))
			rest = k.Div(rest, n)
		}
	}
	return k.Select(k.Cmp(loop.LT, at, k.IntOf(at.Type, 0)), at, k.Add(r, k.Broadcast(plane, lanes)))
}
