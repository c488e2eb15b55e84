package lower

import (
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// einsum is an Einsum that the passes have not made into products of matrices: a nest of loops over the
// labels of the result, and inside over those that are summed. A label that an operand has twice walks
// its diagonal: the strides add up.
type einsum struct {
	xs      []*ir.Value
	strides [][]ir.Dim // [operand][label]
	dims    []ir.Dim   // sizes of the labels: those of the result, then those summed
	kept    int
	acc     tensor.DType
}

func lowerEinsum(c *Ctx, op *ir.Op) error {
	out := op.Results[0]
	d := out.Type.DType
	if !compiled(d) || d == tensor.Bool || out.Type.Rank() < 0 {
		return errDecline
	}
	var ranks []int
	for _, x := range op.Operands {
		if x.Type.Rank() < 0 || x.Type.DType != d {
			return errDecline
		}
		ranks = append(ranks, x.Type.Rank())
	}
	eq, err := hostop.ParseEquation(op.Attrs.Str("equation", ""), ranks)
	if err != nil {
		return op.Errorf("%w", err)
	}
	e := c.newEinsum(op, eq)
	width := ir.Const(1)
	rows := e.dims[:e.kept]
	if e.kept > 0 {
		width, rows = e.dims[e.kept-1], e.dims[:e.kept-1]
	}
	count := ir.Product(e.dims[e.kept:])
	return c.Kernel(Step{
		Op: op, Name: "einsum", Ins: op.Operands, Outs: []*ir.Value{out}, Par: ir.Product(rows), NsPerIter: perChunk(width.Mul(count), 1), Bytes: bytesOf(out),
		Flops: ir.Product(e.dims).MulInt(int64(len(op.Operands))),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				base := make([]*loop.Value, len(e.xs))
				for x := range e.xs {
					base[x] = k.nestBase(i, &nest{rows, e.strides[x][:len(rows)]})
				}
				row := k.MulDim(i, width)
				store := func(at *loop.Value, base []*loop.Value, lanes int) {
					k.Store(k.Buf(out), at, k.toMemory(k.Convert(e.sum(k, base, lanes), computeType(d)), d))
				}
				if e.kept == 0 {
					store(row, base, 1)
					return
				}
				lanes := 1
				if e.vectors() {
					lanes = k.Level.Lanes(4)
				}
				each := func(p *loop.Value, lanes int) { store(k.Add(row, p), e.step(k, base, e.kept-1, p), lanes) }
				if lanes == 1 {
					k.Range(k.Int(0), k.Dim(width), 1, func(p *loop.Value) { each(p, 1) })
					return
				}
				k.vectorLoop(k.Int(0), k.Dim(width), lanes, each)
			})
		},
	})
}

// newEinsum finds the sizes and strides of the labels. Sizes that may be 1 or that of the label have a stride that
// says so.
func (c *Ctx) newEinsum(op *ir.Op, eq *hostop.Equation) *einsum {
	all := slices.Concat(eq.Out, eq.Summed())
	e := &einsum{xs: op.Operands, dims: make([]ir.Dim, len(all)), kept: len(eq.Out), acc: computeType(op.Results[0].Type.DType)}
	if e.acc == tensor.F32 {
		e.acc = tensor.F64
	}
	for i, l := range all {
		size := ir.Const(1)
		for x, t := range eq.Terms {
			for j, m := range t {
				if m == l && size.Is(1) {
					size = op.Operands[x].Type.Shape[j]
				}
			}
		}
		e.dims[i] = size
	}
	copy(e.dims, op.Results[0].Type.Shape)
	for x, t := range eq.Terms {
		st := make([]ir.Dim, len(all))
		shape := op.Operands[x].Type.Shape
		own := Strides(shape)
		for j, l := range t {
			at := slices.Index(all, l)
			st[at] = st[at].Add(c.broadcastStride(op, shape[j], e.dims[at], own[j]))
		}
		e.strides = append(e.strides, st)
	}
	return e
}

// vectors reports whether neighbours along the last label of the result are neighbours, or the same, in each operand.
func (e *einsum) vectors() bool {
	for _, st := range e.strides {
		if s := st[e.kept-1]; !s.Is(0) && !s.Is(1) {
			return false
		}
	}
	return true
}

// step moves to index p of a label.
func (e *einsum) step(k *K, base []*loop.Value, label int, p *loop.Value) []*loop.Value {
	next := make([]*loop.Value, len(base))
	for x := range base {
		next[x] = k.Add(base[x], k.MulDim(p, e.strides[x][label]))
	}
	return next
}

// sum adds the products up over the labels that the result lacks.
func (e *einsum) sum(k *K, base []*loop.Value, lanes int) *loop.Value {
	var walk func(label int, base []*loop.Value, acc *loop.Value) *loop.Value
	walk = func(label int, base []*loop.Value, acc *loop.Value) *loop.Value {
		if label == len(e.dims) {
			var p *loop.Value
			for x, v := range e.xs {
				w := k.Convert(e.load(k, x, v, base[x], lanes), e.acc)
				if p == nil {
					p = w
				} else {
					p = k.Mul(p, w)
				}
			}
			if e.kept == len(e.dims) { // nothing is added, not even 0
				return p
			}
			return k.Add(acc, p)
		}
		return k.For(k.Int(0), k.Dim(e.dims[label]), 1, []*loop.Value{acc}, func(p *loop.Value, a []*loop.Value) []*loop.Value {
			return []*loop.Value{walk(label+1, e.step(k, base, label, p), a[0])}
		})[0]
	}
	return walk(e.kept, base, k.Bits(loop.Vec(e.acc, lanes), 0))
}

// load reads neighbours, or one element for all lanes.
func (e *einsum) load(k *K, x int, v *ir.Value, at *loop.Value, lanes int) *loop.Value {
	if lanes > 1 && e.strides[x][e.kept-1].Is(0) {
		return k.Broadcast(k.fromMemory(k.Load(k.Buf(v), at, 1), v.Type.DType), lanes)
	}
	return k.fromMemory(k.Load(k.Buf(v), at, lanes), v.Type.DType)
}
