package lower

import (
	"math"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// reduction describes how a Reduce op folds: in which type, what is done to each element first, the
// fold, and what is done to the result given the count.
type reduction struct {
	op loop.Op // OpAdd, OpMul, OpMin, OpMax: fold
	// acc gives the type in which elements of type d are folded, the compute type when nil.
	acc func(d tensor.DType) tensor.DType
	// before gets the largest element, with shifted, which is taken out first.
	before  func(k *K, x, top *loop.Value) *loop.Value
	after   func(k *K, x, count, top *loop.Value) *loop.Value
	shifted bool
	bools   bool     // booleans too
	needs   []string // functions that the type must have
}

var reductions = map[string]reduction{
	"ReduceSum":       {op: loop.OpAdd},
	"ReduceProd":      {op: loop.OpMul},
	"ReduceMax":       {op: loop.OpMax, bools: true},
	"ReduceMin":       {op: loop.OpMin, bools: true},
	"ReduceMean":      {op: loop.OpAdd, acc: wideInt, after: func(k *K, x, n, _ *loop.Value) *loop.Value { return k.Div(x, k.Max(n, k.num(n, 1))) }}, // the mean of nothing is 0
	"ReduceSumSquare": {op: loop.OpAdd, before: squared},
	"ReduceL1": {op: loop.OpAdd, before: func(k *K, x, _ *loop.Value) *loop.Value {
		if x.Type.Elem.Class() == tensor.ClassUint {
			return x
		}
		return k.Unary(loop.OpAbs, x)
	}},
	"ReduceL2":     {op: loop.OpAdd, acc: float, before: squared, after: func(k *K, x, _, _ *loop.Value) *loop.Value { return k.Unary(loop.OpSqrt, x) }},
	"ReduceLogSum": {op: loop.OpAdd, acc: float, needs: []string{"Log"}, after: func(k *K, x, _, _ *loop.Value) *loop.Value { return k.Log(x) }},
	"ReduceLogSumExp": {op: loop.OpAdd, acc: float, needs: []string{"Exp", "Log"}, shifted: true,
		before: func(k *K, x, top *loop.Value) *loop.Value { return k.Exp(k.Sub(x, k.Broadcast(top, x.Type.Lanes))) },
		after:  func(k *K, x, _, top *loop.Value) *loop.Value { return k.Add(k.Log(x), top) }},
}

func squared(k *K, x, _ *loop.Value) *loop.Value { return k.Mul(x, x) }

// wideInt is the type for sums of integers that must not wrap before they are divided.
func wideInt(d tensor.DType) tensor.DType {
	switch d.Class() {
	case tensor.ClassInt:
		return tensor.I64
	case tensor.ClassUint:
		return tensor.U64
	}
	return computeType(d)
}

// float is the type for what integers have no arithmetic for.
func float(d tensor.DType) tensor.DType {
	if d.IsFloat() {
		return computeType(d)
	}
	return tensor.F64
}

// identity is what a fold begins with: the result over nothing.
func (k *K) identity(op loop.Op, t loop.Type) *loop.Value {
	bits := t.Elem.Bits()
	switch {
	case op == loop.OpAdd:
		return k.Bits(t, 0)
	case op == loop.OpMul:
		return k.num(&loop.Value{Type: t}, 1)
	case t.Elem.IsFloat() && op == loop.OpMax:
		return k.Float(t, math.Inf(-1))
	case t.Elem.IsFloat():
		return k.Float(t, math.Inf(1))
	case t.Elem.Class() == tensor.ClassInt && op == loop.OpMax:
		return k.IntOf(t, math.MinInt64>>(64-bits))
	case t.Elem.Class() == tensor.ClassInt:
		return k.IntOf(t, math.MaxInt64>>(64-bits))
	case op == loop.OpMax:
		return k.IntOf(t, 0)
	}
	return k.IntOf(t, -1)
}

// reduceOps maps a fold to its reduction of lanes.
var reduceOps = map[loop.Op]loop.Op{loop.OpAdd: loop.OpReduceAdd, loop.OpMul: loop.OpReduceMul, loop.OpMin: loop.OpReduceMin, loop.OpMax: loop.OpReduceMax}

func reduceRules() map[string]rule {
	m := map[string]rule{"Softmax": lowerSoftmax, "LogSoftmax": lowerSoftmax, "Hardmax": lowerHardmax, "GlobalAveragePool": lowerGlobalPool, "GlobalMaxPool": lowerGlobalPool}
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

// reduceAxes gives the axes of a Reduce op in order, where they are known; all of them when none are given.
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
	if len(axes) == 0 && op.Attrs.Int("noop_with_empty_axes", 0) == 0 {
		for i := range rank {
			out = append(out, i)
		}
	}
	slices.Sort(out)
	return out, true
}

func lowerReduce(c *Ctx, op *ir.Op) error {
	x, rd := op.Operands[0], reductions[op.Info.Name]
	if x.Type.Rank() < 0 || !rd.can(x.Type.DType) || op.Results[0].Type.DType != x.Type.DType {
		return errDecline
	}
	axes, ok := c.reduceAxes(op)
	if !ok {
		kept, red, err := c.learnAxes(op)
		if err != nil {
			return err
		}
		return c.reduce(op, x, op.Results[0], kept, red, rd)
	}
	if !c.sizesKnown(op) {
		return errDecline
	}
	kept, red := splitAxes(x, axes)
	return c.reduce(op, x, op.Results[0], kept, red, rd)
}

// can reports whether the reduction can be compiled for elements of type d.
func (rd *reduction) can(d tensor.DType) bool {
	if !compiled(d) || d == tensor.Bool && !rd.bools {
		return false
	}
	for _, f := range rd.needs {
		if !loop.MathSupported(f, rd.accType(d)) {
			return false
		}
	}
	return true
}

func (rd *reduction) accType(d tensor.DType) tensor.DType {
	switch {
	case d == tensor.Bool:
		return tensor.U8 // as it is stored
	case rd.acc != nil:
		return rd.acc(d)
	}
	return computeType(d)
}

// learnAxes reads axes at run time: a symbol for each dimension says whether it is reduced, and has it on
// one side of the nest with its size, on the other with 1.
func (c *Ctx) learnAxes(op *ir.Op) (kept, red nest, err error) {
	x, axes, out := op.Operands[0], op.Operands[1], op.Results[0]
	rank := x.Type.Rank()
	if axes.Type.Rank() != 1 || !isIndex(axes) {
		return kept, red, errDecline
	}
	n := axes.Type.Shape[0]
	keep, noop := op.Attrs.Int("keepdims", 1) != 0, op.Attrs.Int("noop_with_empty_axes", 0) != 0
	masks := c.newSyms(rank)
	err = c.learn(learning{op: op, ins: []*ir.Value{axes}, dims: append(slices.Clone(masks), out.Type.Shape...), fault: "an axis is out of range or given twice",
		build: func(k *K) ([]*loop.Value, *loop.Value) {
			got, faults := k.axisMarks(axes, rank)
			none := k.Cmp(loop.EQ, k.Dim(n), k.Int(0))
			var m []*loop.Value
			for _, v := range got {
				if !noop {
					v = k.Select(none, k.Int(1), v)
				}
				m = append(m, v)
			}
			return append(m, k.reducedSizes(x.Type.Shape, m, keep, len(out.Type.Shape))...), faults
		}})
	if err != nil {
		return kept, red, err
	}
	st := Strides(x.Type.Shape)
	for i, d := range x.Type.Shape {
		less := d.AddInt(-1).Mul(masks[i]) // what the size of a reduced dimension is above 1
		kept.add(d.Sub(less), st[i])
		red.add(less.AddInt(1), st[i])
	}
	return kept, red, nil
}

// axisMarks reads axes: for each of rank dimensions 1 if it is among them, else 0, and the number of axes
// that are out of range or given twice.
func (k *K) axisMarks(axes *ir.Value, rank int) (marks []*loop.Value, faults *loop.Value) {
	init := make([]*loop.Value, rank+1)
	for i := range init {
		init[i] = k.Int(0)
	}
	got := k.For(k.Int(0), k.Dim(axes.Type.Shape[0]), 1, init, func(i *loop.Value, a []*loop.Value) []*loop.Value {
		axis, bad := k.axisParam(axes, i, rank)
		next := []*loop.Value{}
		for d := range rank {
			next = append(next, k.Add(a[d], k.flag(k.Cmp(loop.EQ, axis, k.Int(int64(d))))))
		}
		return append(next, k.Add(a[rank], bad))
	})
	faults = got[rank]
	for _, n := range got[:rank] {
		faults = k.Add(faults, k.flag(k.Cmp(loop.GT, n, k.Int(1))))
	}
	return got[:rank], faults
}

// reducedSizes are the sizes of the result, of n dimensions, when those of shape that m marks are reduced.
func (k *K) reducedSizes(shape []ir.Dim, m []*loop.Value, keep bool, n int) []*loop.Value {
	out := make([]*loop.Value, n)
	for i := range out {
		out[i] = k.Int(1)
	}
	at := k.Int(0)
	for d, size := range shape {
		is := k.Cmp(loop.NE, m[d], k.Int(0))
		if keep {
			out[d] = k.Select(is, k.Int(1), k.Dim(size))
			continue
		}
		for j := range out {
			here := k.And(k.Not(is), k.Cmp(loop.EQ, at, k.Int(int64(j))))
			out[j] = k.Select(here, k.Dim(size), out[j])
		}
		at = k.Add(at, k.Select(is, k.Int(0), k.Int(1)))
	}
	return out
}

func lowerGlobalPool(c *Ctx, op *ir.Op) error {
	name := "ReduceMean"
	if op.Info.Name == "GlobalMaxPool" {
		name = "ReduceMax"
	}
	x := op.Operands[0]
	if x.Type.Rank() < 2 {
		return errDecline
	}
	var axes []int
	for i := 2; i < x.Type.Rank(); i++ {
		axes = append(axes, i)
	}
	rd := reductions[name]
	if !rd.can(x.Type.DType) {
		return errDecline
	}
	kept, red := splitAxes(x, axes)
	return c.reduce(op, x, op.Results[0], kept, red, rd)
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

// reduce emits a reduction of x. The vector runs along the innermost kept dimension if that is
// contiguous, else along the innermost reduced one.
func (c *Ctx) reduce(op *ir.Op, x, out *ir.Value, kept, red nest, rd reduction) error {
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
			f := &folding{K: k, x: x, red: &red, rd: rd, acc: rd.accType(x.Type.DType)}
			k.Parallel(func(i *loop.Value) {
				n := len(kept.dims)
				if across {
					n--
				}
				base := k.nestBase(i, &nest{kept.dims[:n], kept.strides[:n]})
				if !across {
					_, rs := red.last()
					k.Store(k.Buf(out), i, f.result(base, count, 1, rs.Is(1)))
					return
				}
				row := k.MulDim(i, width)
				k.vectorLoop(k.Int(0), k.Dim(width), k.Level.Lanes(4), func(e *loop.Value, lanes int) {
					k.Store(k.Buf(out), k.Add(row, e), f.result(k.Add(base, e), count, lanes, false))
				})
			})
		},
	})
}

// folding is a reduction in a kernel.
type folding struct {
	*K
	x   *ir.Value
	red *nest
	rd  reduction
	acc tensor.DType
}

// result folds from base on and gives what is stored.
func (f *folding) result(base *loop.Value, count ir.Dim, lanes int, inner bool) *loop.Value {
	var top *loop.Value
	if f.rd.shifted {
		top = f.fold(loop.OpMax, base, lanes, inner, nil)
		// Infinities and NaN are found again in the sum.
		finite := f.Cmp(loop.LT, f.Unary(loop.OpAbs, top), f.Float(top.Type, math.Inf(1)))
		top = f.Select(finite, top, f.Float(top.Type, 0))
	}
	r := f.fold(f.rd.op, base, lanes, inner, func(v *loop.Value) *loop.Value {
		if f.rd.before == nil {
			return v
		}
		return f.rd.before(f.K, v, top)
	})
	if f.rd.after != nil {
		r = f.rd.after(f.K, r, f.Broadcast(f.Convert(f.Dim(count), f.acc), lanes), top)
	}
	switch d := f.x.Type.DType; {
	case d == tensor.Bool:
		return f.And(r, f.IntOf(r.Type, 1)) // the minimum of nothing is not 255
	case f.acc.IsFloat() && !d.IsFloat():
		return f.CastTo(r, d)
	default:
		return f.toMemory(f.Convert(r, computeType(d)), d)
	}
}

func (f *folding) load(at *loop.Value, lanes int) *loop.Value {
	v := f.Load(f.Buf(f.x), at, lanes)
	if d := f.x.Type.DType; d != tensor.Bool {
		v = f.fromMemory(v, d)
	}
	return f.Convert(v, f.acc)
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

// fold folds what each makes of the elements over all dimensions of red from base on. With inner, the innermost
// dimension is contiguous and folded by vectors, whose lanes are combined at the end; else every fold is
// on lanes that are neighbours in memory.
func (f *folding) fold(op loop.Op, base *loop.Value, lanes int, inner bool, each func(v *loop.Value) *loop.Value) *loop.Value {
	load := func(at *loop.Value, n int) *loop.Value {
		if v := f.load(at, n); each == nil {
			return v
		} else {
			return each(v)
		}
	}
	unit := func(n int) *loop.Value { return f.identity(op, loop.Vec(f.acc, n)) }
	wide := f.reduceLanes()
	var walk func(d int, base *loop.Value, acc []*loop.Value) []*loop.Value
	walk = func(d int, base *loop.Value, acc []*loop.Value) []*loop.Value {
		if d == len(f.red.dims) {
			return []*loop.Value{f.K.fold(op, acc[0], load(base, lanes))}
		}
		n := f.Dim(f.red.dims[d])
		if inner && d == len(f.red.dims)-1 {
			mid := f.MulInt(f.Div(n, f.Int(int64(wide))), int64(wide))
			v := f.For(f.Int(0), mid, int64(wide), acc[:1], func(e *loop.Value, a []*loop.Value) []*loop.Value {
				return []*loop.Value{f.K.fold(op, a[0], load(f.Add(base, e), wide))}
			})
			s := f.For(mid, n, 1, acc[1:], func(e *loop.Value, a []*loop.Value) []*loop.Value {
				return []*loop.Value{f.K.fold(op, a[0], load(f.Add(base, e), 1))}
			})
			return []*loop.Value{v[0], s[0]}
		}
		return f.For(f.Int(0), n, 1, acc, func(e *loop.Value, a []*loop.Value) []*loop.Value {
			return walk(d+1, f.Add(base, f.MulDim(e, f.red.strides[d])), a)
		})
	}
	if inner {
		r := walk(0, base, []*loop.Value{unit(wide), unit(1)})
		return f.K.fold(op, f.Reduce(reduceOps[op], r[0]), r[1])
	}
	return walk(0, base, []*loop.Value{unit(lanes)})[0]
}

// lowerSoftmax compiles Softmax and LogSoftmax along any axis: the maximum, the sum of exponentials of
// what is below it, the quotient. Rows of all -inf give NaN, as the definition does.
func lowerSoftmax(c *Ctx, op *ir.Op) error {
	x, out := op.Operands[0], op.Results[0]
	logs := op.Info.Name == "LogSoftmax"
	if ct := computeType(x.Type.DType); !loop.MathSupported("Exp", ct) || logs && !loop.MathSupported("Log", ct) || x.Type.Rank() < 0 {
		return errDecline
	}
	outer, n, inner := axisOr1(x.Type.Shape, op.Attrs.Int("axis", -1))
	ns := 500.0
	if n.IsConst() {
		ns = 20 + float64(n.Value())
	}
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
	ct := computeType(s.x.Type.DType)
	mid := s.Int(0)
	acc := s.Float(loop.Scalar(ct), unit)
	if s.stride.Is(1) {
		mid = s.MulInt(s.Div(s.n, s.Int(int64(w))), int64(w))
		v := s.For(s.Int(0), mid, int64(w), []*loop.Value{s.Float(loop.Vec(ct, w), unit)}, func(e *loop.Value, a []*loop.Value) []*loop.Value {
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
	// Exponentials wait in the result; for narrower ones they are computed twice.
	keep := !s.logs && s.out.Type.DType.Size() >= 4
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
