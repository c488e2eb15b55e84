package lower

import (
	"math"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// reduction describes how a Reduce op folds: the neutral element, what is done to each element first,
// the fold, and what is done to the result given the count.
type reduction struct {
	op     loop.Op // OpAdd, OpMul, OpMin, OpMax: fold
	unit   float64
	before func(k *K, x *loop.Value) *loop.Value
	after  func(k *K, x, count *loop.Value) *loop.Value
	floats bool // floats only
}

var reductions = map[string]reduction{
	"ReduceSum":       {op: loop.OpAdd},
	"ReduceProd":      {op: loop.OpMul, unit: 1},
	"ReduceMax":       {op: loop.OpMax, unit: math.Inf(-1), floats: true},
	"ReduceMin":       {op: loop.OpMin, unit: math.Inf(1), floats: true},
	"ReduceMean":      {op: loop.OpAdd, floats: true, after: func(k *K, x, n *loop.Value) *loop.Value { return k.Div(x, k.Max(n, k.num(n, 1))) }}, // the mean of nothing is 0
	"ReduceSumSquare": {op: loop.OpAdd, before: func(k *K, x *loop.Value) *loop.Value { return k.Mul(x, x) }},
	"ReduceL1":        {op: loop.OpAdd, floats: true, before: func(k *K, x *loop.Value) *loop.Value { return k.Unary(loop.OpAbs, x) }},
	"ReduceL2": {op: loop.OpAdd, floats: true, before: func(k *K, x *loop.Value) *loop.Value { return k.Mul(x, x) },
		after: func(k *K, x, _ *loop.Value) *loop.Value { return k.Unary(loop.OpSqrt, x) }},
}

// reduceOps maps a fold to its reduction of lanes.
var reduceOps = map[loop.Op]loop.Op{loop.OpAdd: loop.OpReduceAdd, loop.OpMul: loop.OpReduceMul, loop.OpMin: loop.OpReduceMin, loop.OpMax: loop.OpReduceMax}

func reduceRules() map[string]rule {
	m := map[string]rule{"Softmax": lowerSoftmax, "LogSoftmax": lowerSoftmax, "LayerNormalization": lowerLayerNorm, "GlobalAveragePool": lowerGlobalPool, "GlobalMaxPool": lowerGlobalPool}
	for name := range reductions {
		m[name] = lowerReduce
	}
	return m
}

func (k *K) fold(op loop.Op, x, y *loop.Value) *loop.Value {
	switch op {
	case loop.OpAdd:
		return k.Add(x, y)
	case loop.OpMul:
		return k.Mul(x, y)
	case loop.OpMin:
		return k.Min(x, y)
	}
	return k.Max(x, y)
}

// reduceAxes gives the axes of a Reduce op in order; all of them when none are given.
func (c *Ctx) reduceAxes(op *ir.Op) ([]int, bool) {
	rank := op.Operands[0].Type.Rank()
	var axes []int64
	if v := op.Operand(1); v != nil {
		var ok bool
		if axes, ok = c.ints(v); !ok {
			return nil, false
		}
	}
	var out []int
	for _, a := range axes {
		out = append(out, axisOf(a, rank))
	}
	if len(axes) == 0 {
		if op.Attrs.Int("noop_with_empty_axes", 0) != 0 {
			return nil, false
		}
		for i := range rank {
			out = append(out, i)
		}
	}
	slices.Sort(out)
	return out, true
}

func lowerReduce(c *Ctx, op *ir.Op) error {
	x := op.Operands[0]
	if x.Type.Rank() < 0 {
		return errDecline
	}
	axes, ok := c.reduceAxes(op)
	if !ok {
		return errDecline
	}
	return c.reduce(op, x, op.Results[0], axes, reductions[op.Info.Name])
}

func lowerGlobalPool(c *Ctx, op *ir.Op) error {
	name := "ReduceMean"
	if op.Info.Name == "GlobalMaxPool" {
		name = "ReduceMax"
	}
	x := op.Operands[0]
	if x.Type.Rank() < 3 {
		return errDecline
	}
	var axes []int
	for i := 2; i < x.Type.Rank(); i++ {
		axes = append(axes, i)
	}
	return c.reduce(op, x, op.Results[0], axes, reductions[name])
}

// nest is a list of dimensions with the strides by which a tensor is walked over them.
type nest struct{ dims, strides []ir.Dim }

func (n *nest) add(d, s ir.Dim) {
	if d.Is(1) {
		return
	}
	if i := len(n.dims) - 1; i >= 0 && n.strides[i].Equal(s.Mul(d)) {
		n.dims[i], n.strides[i] = n.dims[i].Mul(d), s
		return
	}
	n.dims, n.strides = append(n.dims, d), append(n.strides, s)
}

// last gives the innermost dimension, a single element if there is none.
func (n *nest) last() (d, s ir.Dim) {
	if len(n.dims) == 0 {
		return ir.Const(1), ir.Dim{}
	}
	return n.dims[len(n.dims)-1], n.strides[len(n.strides)-1]
}

// splitAxes separates kept and reduced dimensions of x.
func splitAxes(x *ir.Value, axes []int) (kept, red nest) {
	st := Strides(x.Type.Shape)
	for i, d := range x.Type.Shape {
		if slices.Contains(axes, i) {
			red.add(d, st[i])
		} else {
			kept.add(d, st[i])
		}
	}
	return kept, red
}

// reduce emits a reduction of x over axes. The vector runs along the innermost kept dimension if that
// is contiguous, else along the innermost reduced one.
func (c *Ctx) reduce(op *ir.Op, x, out *ir.Value, axes []int, rd reduction) error {
	ct := computeType(x.Type.DType)
	if !compiled(ct) || ct == tensor.Bool || rd.floats && !ct.IsFloat() || out.Type.DType != x.Type.DType {
		return errDecline
	}
	kept, red := splitAxes(x, axes)
	_, ks := kept.last()
	across := ks.Is(1) // vector along a kept dimension
	count := ir.Product(red.dims)
	par, width := ir.Product(kept.dims), ir.Const(1)
	if across {
		width, _ = kept.last()
		par = ir.Product(kept.dims[:len(kept.dims)-1])
	}
	ns := 200.0
	if count.IsConst() && width.IsConst() {
		ns = 5 + float64(count.Value()*width.Value())/8
	}
	return c.Kernel(Step{
		Op: op, Name: "reduce", Ins: []*ir.Value{x}, Outs: []*ir.Value{out}, Par: par, NsPerIter: ns, Flops: ir.Product(x.Type.Shape), Bytes: bytesOf(x),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				n := len(kept.dims)
				if across {
					n--
				}
				base := k.nestBase(i, &nest{kept.dims[:n], kept.strides[:n]})
				emit := func(at, from *loop.Value, lanes int, inner bool) {
					r := k.reduceNest(x, from, &red, rd, ct, lanes, inner)
					if rd.after != nil {
						r = rd.after(k, r, k.Broadcast(k.Convert(k.Dim(count), ct), lanes))
					}
					k.Store(k.Buf(out), at, k.toMemory(r, out.Type.DType))
				}
				if !across {
					_, rs := red.last()
					emit(i, base, 1, rs.Is(1))
					return
				}
				row := k.MulDim(i, width)
				k.vectorLoop(k.Int(0), k.Dim(width), k.Level.Lanes(4), func(e *loop.Value, lanes int) {
					emit(k.Add(row, e), k.Add(base, e), lanes, false)
				})
			})
		},
	})
}

// reduceLanes is how many partial results a reduction along contiguous elements keeps: one, in the
// order of the elements, with -math=strict.
func (k *K) reduceLanes() int {
	if k.C.Opts.Strict {
		return 1
	}
	return k.Level.Lanes(4)
}

// nestBase is the offset at the i-th point of a nest.
func (k *K) nestBase(i *loop.Value, n *nest) *loop.Value {
	base := k.Int(0)
	if len(n.dims) == 0 {
		return base
	}
	for d, x := range k.Unflatten(i, n.dims...) {
		base = k.Add(base, k.MulDim(x, n.strides[d]))
	}
	return base
}

// reduceNest folds over all dimensions of red from base on. With inner, the innermost dimension is
// contiguous and folded by vectors, whose lanes are combined at the end; else every fold is on lanes
// that are neighbours in memory.
func (k *K) reduceNest(x *ir.Value, base *loop.Value, red *nest, rd reduction, ct tensor.DType, lanes int, inner bool) *loop.Value {
	unit := func(n int) *loop.Value { return k.num(&loop.Value{Type: loop.Vec(ct, n)}, rd.unit) }
	load := func(at *loop.Value, n int) *loop.Value {
		v := k.fromMemory(k.Load(k.Buf(x), at, n), x.Type.DType)
		if rd.before != nil {
			v = rd.before(k, v)
		}
		return v
	}
	wide := k.reduceLanes()
	var walk func(d int, base *loop.Value, acc []*loop.Value) []*loop.Value
	walk = func(d int, base *loop.Value, acc []*loop.Value) []*loop.Value {
		if d == len(red.dims) {
			return []*loop.Value{k.fold(rd.op, acc[0], load(base, lanes))}
		}
		n := k.Dim(red.dims[d])
		if inner && d == len(red.dims)-1 {
			mid := k.MulInt(k.Div(n, k.Int(int64(wide))), int64(wide))
			v := k.For(k.Int(0), mid, int64(wide), acc[:1], func(e *loop.Value, a []*loop.Value) []*loop.Value {
				return []*loop.Value{k.fold(rd.op, a[0], load(k.Add(base, e), wide))}
			})
			s := k.For(mid, n, 1, acc[1:], func(e *loop.Value, a []*loop.Value) []*loop.Value {
				return []*loop.Value{k.fold(rd.op, a[0], load(k.Add(base, e), 1))}
			})
			return []*loop.Value{v[0], s[0]}
		}
		return k.For(k.Int(0), n, 1, acc, func(e *loop.Value, a []*loop.Value) []*loop.Value {
			return walk(d+1, k.Add(base, k.MulDim(e, red.strides[d])), a)
		})
	}
	if inner {
		r := walk(0, base, []*loop.Value{unit(wide), unit(1)})
		return k.fold(rd.op, k.Reduce(reduceOps[rd.op], r[0]), r[1])
	}
	return walk(0, base, []*loop.Value{unit(lanes)})[0]
}

// lowerSoftmax compiles Softmax and LogSoftmax along any axis: the maximum, the sum of exponentials of
// what is below it, the quotient. Rows of all -inf give NaN, as the definition does.
func lowerSoftmax(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	if !isHalfOrFloat(x.Type.DType) || x.Type.Rank() < 1 {
		return errDecline
	}
	axis := axisOf(op.Attrs.Int("axis", -1), x.Type.Rank())
	n := x.Type.Shape[axis]
	inner := ir.Product(x.Type.Shape[axis+1:])
	outer := ir.Product(x.Type.Shape[:axis])
	ns := 500.0
	if n.IsConst() {
		ns = 20 + float64(n.Value())
	}
	logs := op.Info.Name == "LogSoftmax"
	par := outer
	if !inner.Is(1) {
		par = outer.Mul(inner)
	}
	return c.Kernel(Step{
		Op: op, Name: "softmax", Ins: []*ir.Value{x}, Outs: []*ir.Value{out}, Par: par, NsPerIter: ns,
		Flops: ir.Product(x.Type.Shape).MulInt(10), Bytes: bytesOf(x).MulInt(2),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				s := &softmaxRow{K: k, x: x, out: out, n: k.Dim(n), logs: logs, stride: inner}
				if inner.Is(1) {
					s.base = k.MulDim(i, n)
				} else {
					co := k.Unflatten(i, outer, inner)
					s.base = k.Add(k.MulDim(co[0], n.Mul(inner)), co[1])
				}
				s.emit()
			})
		},
	})
}

type softmaxRow struct {
	*K
	x, out  *ir.Value
	base, n *loop.Value
	stride  ir.Dim
	logs    bool
}

// each folds f over the row, with vectors when it is contiguous, and combines the lanes.
func (s *softmaxRow) each(op loop.Op, unit float64, f func(at *loop.Value, lanes int) *loop.Value) *loop.Value {
	w := s.reduceLanes()
	mid := s.Int(0)
	acc := s.Float(loop.Scalar(tensor.F32), unit)
	if s.stride.Is(1) {
		mid = s.MulInt(s.Div(s.n, s.Int(int64(w))), int64(w))
		v := s.For(s.Int(0), mid, int64(w), []*loop.Value{s.Float(loop.Vec(tensor.F32, w), unit)}, func(e *loop.Value, a []*loop.Value) []*loop.Value {
			return []*loop.Value{s.fold(op, a[0], f(s.Add(s.base, e), w))}
		})
		acc = s.Reduce(reduceOps[op], v[0])
	}
	r := s.For(mid, s.n, 1, []*loop.Value{acc}, func(e *loop.Value, a []*loop.Value) []*loop.Value {
		return []*loop.Value{s.fold(op, a[0], f(s.at(e), 1))}
	})
	return r[0]
}

func (s *softmaxRow) at(e *loop.Value) *loop.Value { return s.Add(s.base, s.MulDim(e, s.stride)) }

func (s *softmaxRow) load(at *loop.Value, lanes int) *loop.Value {
	return s.fromMemory(s.Load(s.Buf(s.x), at, lanes), s.x.Type.DType)
}

func (s *softmaxRow) emit() {
	top := s.each(loop.OpMax, math.Inf(-1), s.load)
	// With f32 results the exponentials wait in the result; narrower ones are computed twice.
	keep := !s.logs && s.out.Type.DType == tensor.F32
	sum := s.each(loop.OpAdd, 0, func(at *loop.Value, lanes int) *loop.Value {
		e := s.Exp(s.Sub(s.load(at, lanes), s.Broadcast(top, lanes)))
		if keep {
			s.Store(s.Buf(s.out), at, e)
		}
		return e
	})
	var logSum *loop.Value
	if s.logs {
		logSum = s.Log(sum)
	}
	finish := func(at *loop.Value, lanes int) {
		var r *loop.Value
		switch {
		case s.logs:
			r = s.Sub(s.Sub(s.load(at, lanes), s.Broadcast(top, lanes)), s.Broadcast(logSum, lanes))
		case keep:
			r = s.Div(s.Load(s.Buf(s.out), at, lanes), s.Broadcast(sum, lanes))
		default:
			r = s.Div(s.Exp(s.Sub(s.load(at, lanes), s.Broadcast(top, lanes))), s.Broadcast(sum, lanes))
		}
		s.Store(s.Buf(s.out), at, s.toMemory(r, s.out.Type.DType))
	}
	if s.stride.Is(1) {
		s.vectorLoop(s.Int(0), s.n, s.Level.Lanes(4), func(e *loop.Value, lanes int) { finish(s.Add(s.base, e), lanes) })
		return
	}
	s.Range(s.Int(0), s.n, 1, func(e *loop.Value) { finish(s.at(e), 1) })
}

// lowerLayerNorm compiles LayerNormalization over trailing axes: mean, variance about it, scale and bias.
func lowerLayerNorm(c *Ctx, op *ir.Op) error {
	x, scale, bias, out := op.Operands[0], op.Operands[1], op.Operand(2), op.Results[0]
	if x.Type.DType != tensor.F32 || op.Result(1) != nil || op.Result(2) != nil || x.Type.Rank() < 1 {
		return errDecline
	}
	axis := axisOf(op.Attrs.Int("axis", -1), x.Type.Rank())
	n, rows := ir.Product(x.Type.Shape[axis:]), ir.Product(x.Type.Shape[:axis])
	if !ir.Product(scale.Type.Shape).Equal(n) || bias != nil && !ir.Product(bias.Type.Shape).Equal(n) {
		return errDecline
	}
	eps := op.Attrs.Float("epsilon", 1e-5)
	ins := []*ir.Value{x, scale}
	if bias != nil {
		ins = append(ins, bias)
	}
	ns := 500.0
	if n.IsConst() {
		ns = 20 + float64(n.Value())/4
	}
	return c.Kernel(Step{
		Op: op, Name: "layernorm", Ins: ins, Outs: []*ir.Value{out}, Par: rows, NsPerIter: ns,
		Flops: ir.Product(x.Type.Shape).MulInt(8), Bytes: bytesOf(x).MulInt(2),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				s := &softmaxRow{K: k, x: x, out: out, n: k.Dim(n), stride: ir.Const(1), base: k.MulDim(i, n)}
				count := k.Convert(k.Dim(n), tensor.F32)
				mean := k.Div(s.each(loop.OpAdd, 0, s.load), count)
				variance := k.Div(s.each(loop.OpAdd, 0, func(at *loop.Value, lanes int) *loop.Value {
					d := k.Sub(s.load(at, lanes), k.Broadcast(mean, lanes))
					return k.Mul(d, d)
				}), count)
				inv := k.Div(k.num(variance, 1), k.Unary(loop.OpSqrt, k.Add(variance, k.num(variance, eps))))
				k.vectorLoop(k.Int(0), s.n, k.Level.Lanes(4), func(e *loop.Value, lanes int) {
					at := k.Add(s.base, e)
					r := k.Mul(k.Mul(k.Sub(s.load(at, lanes), k.Broadcast(mean, lanes)), k.Broadcast(inv, lanes)), k.Load(k.Buf(scale), e, lanes))
					if bias != nil {
						r = k.Add(r, k.Load(k.Buf(bias), e, lanes))
					}
					k.Store(k.Buf(out), at, r)
				})
			})
		},
	})
}
