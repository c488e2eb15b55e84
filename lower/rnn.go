package lower

import (
	"fmt"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

func recurrentRules() map[string]rule {
	return map[string]rule{"RNN": lowerRNNAny, "LSTM": lowerRNN, "GRU": lowerRNN}
}

// cell describes a recurrent cell: how many gates its matrices hold and how a step combines them.
type cell struct {
	gates int
	// step gets for each gate x's part (with bias) and h's part (with bias), the previous h and c, and
	// gives the next ones; c is nil for cells without it.
	step func(k *K, x, h []*loop.Value, hPrev, cPrev *loop.Value) (hNext, cNext *loop.Value)
}

// cells by op, by the equations of ONNX's LSTM (gates i, o, f, c) and GRU (z, r, h with
// linear_before_reset).
var cells = map[string]cell{
	"LSTM": {gates: 4, step: func(k *K, x, h []*loop.Value, _, c *loop.Value) (*loop.Value, *loop.Value) {
		i, o, f := k.Sigmoid(k.Add(x[0], h[0])), k.Sigmoid(k.Add(x[1], h[1])), k.Sigmoid(k.Add(x[2], h[2]))
		next := k.FMA(f, c, k.Mul(i, k.Tanh(k.Add(x[3], h[3]))))
		return k.Mul(o, k.Tanh(next)), next
	}},
	"GRU": {gates: 3, step: func(k *K, x, h []*loop.Value, hp, _ *loop.Value) (*loop.Value, *loop.Value) {
		z, r := k.Sigmoid(k.Add(x[0], h[0])), k.Sigmoid(k.Add(x[1], h[1]))
		n := k.Tanh(k.FMA(r, h[2], x[2]))
		return k.FMA(z, k.Sub(hp, n), n), nil // (1-z)*n + z*h
	}},
}

// rnn is a recurrent layer. The input half of all steps and directions is one product; the recurrent half is one
// kernel, which runs step by step, a tile of batch elements of a direction to an iteration, with the hidden size
// padded to blocks of 16.
type rnn struct {
	c       *Ctx
	op      *ir.Op
	cell    cell
	t, b    ir.Dim
	in, h   int64 // input and hidden sizes
	hp      int64 // h padded to a block
	dirs    int64
	x       *ir.Value
	xproj   *ir.Value // [T*B, dirs*gates*hp]
	states  *ir.Value // [T+1, dirs*B, hp]: h before each step
	cell0   *ir.Value // [dirs*B, hp]: c
	rBuf    int32     // packed R: [dirs][hp/16][h][gates][16]
	biasBuf int32     // [dirs][2][gates*hp]: Wb, Rb
}

// lowerRNN compiles LSTM and GRU: f32 layers with constant weights and the standard equations with packed weights.
func lowerRNN(c *Ctx, op *ir.Op) error {
	return c.either(func() error { return lowerRNNPacked(c, op) }, func() error { return lowerRNNAny(c, op) })
}

func lowerRNNPacked(c *Ctx, op *ir.Op) error {
	x, w, rw := op.Operands[0], c.constOf(op.Operands[1]), c.constOf(op.Operands[2])
	if w == nil || rw == nil || x.Type.DType != tensor.F32 || !rnnDefaults(op) || !x.Type.Shape[2].IsConst() {
		return errDecline
	}
	cl := cells[op.Info.Name]
	r := &rnn{c: c, op: op, cell: cl, x: x, t: x.Type.Shape[0], b: x.Type.Shape[1], in: w.Shape[2], h: rw.Shape[2], dirs: w.Shape[0]}
	r.hp = blocks(r.h) * block
	bias := op.Operand(3)
	if bias != nil && c.constOf(bias) == nil {
		return errDecline
	}
	for _, v := range op.Results {
		if v != nil {
			if _, err := c.define(v); err != nil {
				return op.Errorf("%w", err)
			}
		}
	}
	return r.lower(w, rw, c.constOf(bias))
}

// rnnDefaults reports whether op uses nothing beyond the standard equations.
func rnnDefaults(op *ir.Op) bool {
	a := op.Attrs
	_, clip := a["clip"]
	ok := !clip && a.Int("layout", 0) == 0 && a.Int("input_forget", 0) == 0 && op.Operand(4) == nil && op.Operand(7) == nil
	if acts, given := a["activations"].([]string); given {
		want := []string{"Sigmoid", "Tanh", "Tanh"}
		if op.Info.Name == "GRU" {
			want = want[:2]
		}
		for i, s := range acts {
			ok = ok && s == want[i%len(want)]
		}
	}
	return ok && (op.Info.Name != "GRU" || a.Int("linear_before_reset", 0) != 0)
}

func (r *rnn) lower(w, rw, bias *ir.Data) error {
	if err := firstError(r.weights(rw, bias), r.project(w)); err != nil {
		return err
	}
	rows := r.b.MulInt(r.dirs)
	r.states = r.c.Scratch(ir.TensorType(tensor.F32, r.t.AddInt(1), rows, ir.Const(r.hp)))
	if err := r.initial(r.op.Operand(5), r.states); err != nil {
		return err
	}
	if r.op.Info.Name == "LSTM" {
		r.cell0 = r.c.Scratch(ir.TensorType(tensor.F32, rows, ir.Const(r.hp)))
		if err := r.initial(r.op.Operand(6), r.cell0); err != nil {
			return err
		}
	}
	if err := r.recur(); err != nil {
		return err
	}
	if v := r.op.Result(1); v != nil {
		if err := r.final(v, r.states, r.t.Mul(rows).MulInt(r.hp)); err != nil {
			return err
		}
	}
	if v := r.op.Result(2); v != nil {
		return r.final(v, r.cell0, ir.Dim{})
	}
	return nil
}

// weights packs the recurrent matrices and the biases.
func (r *rnn) weights(rw, bias *ir.Data) error {
	g, h, hp := int64(r.cell.gates), r.h, r.hp
	off, err := r.c.weights.Packed(rw, fmt.Sprintf("rnn r %d", g), func(t *tensor.Tensor) ([]byte, error) {
		src, err := floats(t)
		if err != nil {
			return nil, err
		}
		dst := make([]float32, r.dirs*hp*h*g)
		for q := range r.dirs * g {
			for j := range h {
				for i := range h {
					dst[(((q/g*hp+j)/block*h+i)*g+q%g)*block+j%block] = src[(q*h+j)*h+i]
				}
			}
		}
		return tensor.AsBytes(dst), nil
	})
	if err != nil {
		return err
	}
	r.rBuf = r.c.weightBuf(off, r.dirs*hp*h*g*4, "R")
	both := make([]float32, r.dirs*2*g*hp)
	if bias != nil {
		t, err := bias.Tensor()
		if err != nil {
			return err
		}
		src, err := floats(t)
		if err != nil {
			return err
		}
		for q := range r.dirs * 2 * g {
			copy(both[q*hp:q*hp+h], src[q*h:(q+1)*h])
		}
	}
	if off, err = r.c.weights.Add(tensor.AsBytes(both)); err != nil {
		return err
	}
	r.biasBuf = r.c.weightBuf(off, int64(len(both))*4, "B")
	return nil
}

// project emits X*W^T for all steps, each gate of each direction padded to hp columns.
func (r *rnn) project(w *ir.Data) error {
	g, h, hp, in := r.dirs*int64(r.cell.gates), r.h, r.hp, r.in
	off, err := r.c.weights.Packed(w, fmt.Sprintf("rnn w %d", g), func(t *tensor.Tensor) ([]byte, error) {
		src, err := floats(t)
		if err != nil {
			return nil, err
		}
		dst := make([]float32, g*hp*in)
		for q := range g {
			for j := range h {
				col := q*hp + j
				for i := range in {
					dst[(col/block*in+i)*block+col%block] = src[(q*h+j)*in+i]
				}
			}
		}
		return tensor.AsBytes(dst), nil
	})
	if err != nil {
		return err
	}
	rows := r.t.Mul(r.b)
	r.xproj = r.c.Scratch(ir.TensorType(tensor.F32, rows, ir.Const(g*hp)))
	p := &gemm{op: r.op, m: rows, n: ir.Const(g * hp), k: ir.Const(in), lead: []ir.Dim{rows}, a: r.x, aRow: ir.Const(in), aK: ir.Const(1),
		b: panels{weights: r.c.weightBuf(off, g*hp*in*4, "W")}, out: r.xproj, body: &body{c: r.c, anchor: r.xproj, result: r.xproj}}
	return p.lower(r.c)
}

// initial writes the initial states, zeros if there are none, to the first [dirs*B, hp] of dst.
func (r *rnn) initial(init, dst *ir.Value) error {
	var ins []*ir.Value
	if init != nil {
		ins = append(ins, init)
	}
	return r.c.Kernel(Step{
		Op: r.op, Name: "rnn_init", Ins: ins, Outs: []*ir.Value{dst}, Par: r.b.MulInt(r.dirs), NsPerIter: float64(r.hp) / 8,
		Build: func(k *K) {
			k.Parallel(func(b *loop.Value) {
				to := k.MulInt(b, r.hp)
				k.Range(k.Int(0), k.Int(r.hp), block, func(j *loop.Value) {
					for l := int64(0); l < block; l += int64(k.Level.Lanes(4)) {
						k.Store(k.Buf(dst), k.AddInt(k.Add(to, j), l), k.Float(loop.Vec(tensor.F32, k.Level.Lanes(4)), 0))
					}
				})
				if init == nil {
					return
				}
				from := k.MulInt(b, r.h)
				k.vectorLoop(k.Int(0), k.Int(r.h), k.Level.Lanes(4), func(j *loop.Value, lanes int) {
					k.Store(k.Buf(dst), k.Add(to, j), k.Load(k.Buf(init), k.Add(from, j), lanes))
				})
			})
		},
	})
}

// final copies the last states at offset from of src to out [dirs, B, H].
func (r *rnn) final(out, src *ir.Value, from ir.Dim) error {
	m := &move{dims: []ir.Dim{r.b.MulInt(r.dirs), ir.Const(r.h)}, from: []ir.Dim{ir.Const(r.hp), ir.Const(1)}, to: []ir.Dim{ir.Const(r.h), ir.Const(1)}, fromBase: from}
	return m.emit(r.c, r.op, "rnn_final", src, out)
}
