package lower

import (
	"fmt"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// rnnAny is a recurrent layer in every form: any activations, peepholes, lengths by batch element, layouts, element types,
// and weights that are data. The input half of all steps is one product; the recurrent half runs step by step, one
// batch element to an iteration: all gates of a step first, by columns of the transposed R, then the states.
type rnnAny struct {
	c                  *Ctx
	op                 *ir.Op
	kind               rnnKind
	ct                 tensor.DType // of the states and gates
	t, b, in, h        ir.Dim
	dirs               int
	batchFirst         bool
	w, r               *ir.Value // [dirs, in, gates*h] and [dirs, h, gates*h]
	bias, lens, h0, c0 *ir.Value
	peep               *ir.Value
	acts               []rnnFunc
	linear             bool // GRU: linear_before_reset
	coupled            bool // LSTM: input_forget
	xproj              *ir.Value
	state, cell, gate  *ir.Value // scratch by batch element: [b, h], [b, h], [b, gates*h]
	gated              *ir.Value // GRU: [b, h], the state times the reset gate
	y, lastH, lastC    *ir.Value // results, nil where not wanted
}

// rnnKind is what differs between RNN, GRU and LSTM.
type rnnKind struct {
	gates int64
	acts  []string
	step  func(s *rnnStep)
}

var rnnKinds = map[string]rnnKind{
	"RNN":  {1, []string{"Tanh"}, (*rnnStep).rnn},
	"GRU":  {3, []string{"Sigmoid", "Tanh"}, (*rnnStep).gru},
	"LSTM": {4, []string{"Sigmoid", "Tanh", "Tanh"}, (*rnnStep).lstm},
}

func lowerRNNAny(c *Ctx, op *ir.Op) error {
	x, w, rw := op.Operands[0], op.Operands[1], op.Operands[2]
	for _, v := range []*ir.Value{x, w, rw} {
		if !isFloatTensor(v) || v.Type.Rank() != 3 || v.Type.DType != x.Type.DType {
			return errDecline
		}
	}
	r := &rnnAny{c: c, op: op, kind: rnnKinds[op.Info.Name], ct: computeType(x.Type.DType), t: x.Type.Shape[0], b: x.Type.Shape[1], in: x.Type.Shape[2], h: rw.Type.Shape[2],
		dirs: 1, batchFirst: op.Attrs.Int("layout", 0) != 0, bias: op.Operand(3), lens: op.Operand(4), h0: op.Operand(5), c0: op.Operand(6), peep: op.Operand(7),
		linear: op.Attrs.Int("linear_before_reset", 0) != 0, coupled: op.Attrs.Int("input_forget", 0) != 0,
		y: op.Result(0), lastH: op.Result(1), lastC: op.Result(2)}
	if r.batchFirst {
		r.t, r.b = r.b, r.t
	}
	direction := op.Attrs.Str("direction", "forward")
	if direction == "bidirectional" {
		r.dirs = 2
	}
	var err error
	if r.acts, err = rnnActivations(op, r.kind.acts, r.dirs); err != nil {
		return err
	}
	if err := r.checkShapes(); err != nil {
		return err
	}
	if r.w, err = c.turned(op, w); err != nil {
		return err
	}
	if r.r, err = c.turned(op, rw); err != nil {
		return err
	}
	for _, v := range op.Results {
		if v != nil {
			if _, err := c.define(v); err != nil {
				return op.Errorf("%w", err)
			}
		}
	}
	row := r.h.MulInt(r.kind.gates)
	r.state, r.gate = c.Scratch(ir.TensorType(r.ct, r.b, r.h)), c.Scratch(ir.TensorType(r.ct, r.b, row))
	r.cell, r.gated = c.Scratch(ir.TensorType(r.ct, r.b, r.h)), c.Scratch(ir.TensorType(r.ct, r.b, r.h))
	for d := range r.dirs {
		if err := r.project(d); err != nil {
			return err
		}
		if err := r.recur(d, d == 1 || direction == "reverse"); err != nil {
			return err
		}
	}
	return nil
}

// checkShapes holds the operands' shapes against each other, and the lengths against the number of steps.
func (r *rnnAny) checkShapes() error {
	dirs, gh := ir.Const(int64(r.dirs)), r.h.MulInt(r.kind.gates)
	state := []ir.Dim{dirs, r.b, r.h}
	if r.batchFirst {
		state = []ir.Dim{r.b, dirs, r.h}
	}
	for i, want := range [][]ir.Dim{1: {dirs, gh, r.in}, 2: {dirs, gh, r.h}, 3: {dirs, gh.MulInt(2)}, 4: {r.b}, 5: state, 6: state, 7: {dirs, r.h.MulInt(3)}} {
		v := r.op.Operand(i)
		if v == nil || want == nil {
			continue
		}
		if v.Type.Rank() != len(want) || i != 4 && !isFloatTensor(v) {
			return errDecline
		}
		for j, d := range want {
			r.c.checkEqual(r.op, v.Type.Shape[j], d, fmt.Sprintf("dimension %d of %s and what the other operands say", j, r.op.Info.Operands[i]))
		}
	}
	if r.lens == nil {
		return nil
	}
	if !isIndex(r.lens) {
		return errDecline
	}
	return r.c.checkBetween(r.op, r.lens, ir.Dim{}, r.t, "sequence lengths")
}

// checkBetween emits steps that fail unless all elements of the integer tensor v lie in [lo, hi].
func (c *Ctx) checkBetween(op *ir.Op, v *ir.Value, lo, hi ir.Dim, what string) error {
	bad := c.Scratch(ir.TensorType(tensor.I64))
	err := c.Kernel(Step{
		Op: op, Name: "check_between", Ins: []*ir.Value{v}, Outs: []*ir.Value{bad}, Par: ir.Const(1), NsPerIter: 10, Bytes: bytesOf(v),
		Build: func(k *K) {
			k.Parallel(func(*loop.Value) {
				n := k.For(k.Int(0), k.Dim(ir.Product(v.Type.Shape)), 1, []*loop.Value{k.Int(0)}, func(i *loop.Value, sum []*loop.Value) []*loop.Value {
					x := k.Convert(k.Load(k.Buf(v), i, 1), tensor.I64)
					out := k.Or(k.Cmp(loop.LT, x, k.Dim(lo)), k.Cmp(loop.GT, x, k.Dim(hi)))
					return []*loop.Value{k.Add(sum[0], k.Select(out, k.Int(1), k.Int(0)))}
				})
				k.Store(k.Buf(bad), k.Int(0), n[0])
			})
		},
	})
	if err != nil {
		return err
	}
	return c.checkFaults(op, bad, fmt.Sprintf("%s outside [%v, %v]", what, lo, hi))
}

// turned swaps the last two dimensions of a tensor of rank 3, at compile time where it is constant.
func (c *Ctx) turned(op *ir.Op, v *ir.Value) (*ir.Value, error) {
	s := v.Type.Shape
	shape := []ir.Dim{s[0], s[2], s[1]}
	if d := c.constOf(v); d != nil {
		size := int64(d.DType.Size())
		t := &ir.Data{DType: d.DType, Shape: []int64{d.Shape[0], d.Shape[2], d.Shape[1]}, Load: func() ([]byte, error) {
			src, err := d.Tensor()
			if err != nil {
				return nil, err
			}
			dst := make([]byte, len(src.Data))
			n, rows, cols := d.Shape[0], d.Shape[1], d.Shape[2]
			for i := range n * rows * cols {
				m, r, q := i/(rows*cols), i/cols%rows, i%cols
				copy(dst[((m*cols+q)*rows+r)*size:][:size], src.Data[i*size:])
			}
			return dst, nil
		}}
		return c.M.NewConst("", t).Results[0], nil
	}
	t := c.Scratch(ir.TensorType(v.Type.DType, shape...))
	st := Strides(s)
	m := &move{dims: shape, from: []ir.Dim{st[0], st[2], st[1]}, to: Strides(shape)}
	return t, m.emit(c, op, "transpose", v, t)
}

// project emits X*W + Wb for all steps of a direction: [b, t, gates*h].
func (r *rnnAny) project(d int) error {
	gh := r.h.MulInt(r.kind.gates)
	r.xproj = r.c.Scratch(ir.TensorType(r.ct, r.b, r.t, gh))
	a := matrix{v: r.op.Operands[0], batch: []ir.Dim{r.in}, row: r.b.Mul(r.in), col: ir.Const(1)}
	if r.batchFirst {
		a.batch, a.row = []ir.Dim{r.t.Mul(r.in)}, r.in
	}
	p := &product{op: r.op, m: r.t, n: gh, k: r.in, batch: []ir.Dim{r.b}, a: a, out: r.xproj,
		b: matrix{v: r.w, base: r.in.Mul(gh).MulInt(int64(d)), batch: []ir.Dim{{}}, row: gh, col: ir.Const(1)}}
	if r.bias != nil {
		p.ins = []*ir.Value{r.bias}
		p.finish = func(k *K, sum *loop.Value, co []*loop.Value) *loop.Value {
			return k.Add(sum, r.load(k, r.bias, k.Add(k.Dim(gh.MulInt(int64(2*d))), co[2]), sum.Type.Lanes))
		}
	}
	return p.lower(r.c)
}

// load reads an operand in the type of the computation.
func (r *rnnAny) load(k *K, v *ir.Value, at *loop.Value, lanes int) *loop.Value {
	return k.Convert(k.fromMemory(k.Load(k.Buf(v), at, lanes), v.Type.DType), r.ct)
}

// recur emits the recurrence of a direction.
func (r *rnnAny) recur(d int, reverse bool) error {
	ins := []*ir.Value{r.xproj, r.r}
	for _, v := range []*ir.Value{r.bias, r.lens, r.h0, r.c0, r.peep} {
		if v != nil {
			ins = append(ins, v)
		}
	}
	outs := []*ir.Value{r.state, r.cell, r.gate, r.gated}
	for _, v := range []*ir.Value{r.y, r.lastH, r.lastC} {
		if v != nil {
			outs = append(outs, v)
		}
	}
	ns := 10000.0
	if r.h.IsConst() {
		ns = float64(r.h.Value()*r.h.Value()*r.kind.gates) / 4
	}
	return r.c.Kernel(Step{
		Op: r.op, Name: "rnn_any", Ins: ins, Outs: outs, Par: r.b, NsPerIter: ns, Flops: r.t.Mul(r.b).Mul(r.h).Mul(r.h).MulInt(2 * r.kind.gates), Bytes: bytesOf(r.r),
		Build: func(k *K) {
			k.Parallel(func(b *loop.Value) {
				s := &rnnStep{K: k, rnnAny: r, d: d, batch: b, lanes: k.Level.Lanes(r.ct.Size())}
				s.run(reverse)
			})
		},
	})
}
