package lower

import (
	"math"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// signalRules are the transforms of signals and what they are used with.
func signalRules() map[string]rule {
	m := map[string]rule{"DFT": lowerDFT, "STFT": lowerSTFT, "MelWeightMatrix": lowerMel}
	for name := range cosineWindows {
		m[name] = lowerCosineWindow
	}
	return m
}

// cosineWindows are the constants k of the windows k[0] - k[1]*cos(2 pi i/d) + k[2]*cos(4 pi i/d).
var cosineWindows = map[string][3]float64{
	"HannWindow": {0.5, 0.5, 0}, "HammingWindow": {25.0 / 46, 21.0 / 46, 0}, "BlackmanWindow": {0.42, 0.5, 0.08},
}

// truncated turns an f64 into an element of type d as it is stored.
func (k *K) truncated(x *loop.Value, d tensor.DType) *loop.Value {
	return k.toMemory(k.CastTo(x, computeType(d)), d)
}

// lowerCosineWindow computes a window in f64.
func lowerCosineWindow(c *Ctx, op *ir.Op) error {
	out := op.Results[0]
	d := out.Type.DType
	if !compiled(d) || d == tensor.Bool {
		return errDecline
	}
	if err := c.bindDims(op, op.Operands[0], out.Type.Shape, 0, "size"); err != nil {
		return err
	}
	n, w := out.Type.Shape[0], cosineWindows[op.Info.Name]
	period := n
	if op.Attrs.Int("periodic", 1) == 0 {
		period = n.AddInt(-1)
	}
	chunk, chunks := chunked(n)
	return c.Kernel(Step{
		Op: op, Name: "window", Outs: []*ir.Value{out}, Par: chunks, NsPerIter: perChunk(chunk, 10),
		Build: func(k *K) {
			k.Parallel(func(i *loop.Value) {
				lo, hi := k.chunkRange(i, chunk, n)
				k.vectorLoop(lo, hi, k.Level.Lanes(8), func(e *loop.Value, lanes int) {
					num := func(v float64) *loop.Value { return k.Float(loop.Vec(tensor.F64, lanes), v) }
					at := k.Add(k.Broadcast(k.Convert(e, tensor.F64), lanes), k.Convert(k.steps(lanes), tensor.F64))
					den := k.Broadcast(k.Convert(k.Dim(period), tensor.F64), lanes)
					cos := func(turn float64) *loop.Value { return k.Cos(k.Div(k.Mul(at, num(turn*math.Pi)), den)) }
					v := num(0)
					if w[2] != 0 {
						v = k.Mul(num(w[2]), cos(4))
					}
					v = k.Add(k.Sub(v, k.Mul(num(w[1]), cos(2))), num(w[0])) // in this order the middle of Blackman's is 1
					v = k.Select(k.Cmp(loop.GT, den, num(0)), v, num(1))
					k.Store(k.Buf(out), e, k.truncated(v, d))
				})
			})
		},
	})
}

// lowerMel compiles MelWeightMatrix: a kernel finds the corners of the triangles, another fills them in.
func lowerMel(c *Ctx, op *ir.Op) error {
	out := op.Results[0]
	d := out.Type.DType
	if !compiled(d) || d == tensor.Bool {
		return errDecline
	}
	for _, v := range op.Operands {
		if v.Type.Rank() < 0 || !ir.Product(v.Type.Shape).Is(1) || !isFloat(v.Type.DType) && !isIndex(v) {
			return errDecline
		}
	}
	bins, mels := out.Type.Shape[0], out.Type.Shape[1]
	for _, b := range []struct {
		v     *ir.Value
		dim   ir.Dim
		least int64
	}{{op.Operands[0], mels, 0}, {op.Operands[1], bins, 0}} {
		if err := c.bindDims(op, b.v, []ir.Dim{b.dim}, b.least, "num_mel_bins or dft_length"); err != nil {
			return err
		}
	}
	corners, bad := c.Scratch(ir.TensorType(tensor.I64, mels.AddInt(2))), c.Scratch(ir.TensorType(tensor.I64))
	if err := c.melCorners(op, corners, bad, bins); err != nil {
		return err
	}
	if err := c.checkFaults(op, bad, "edges that do not fit the bins of the spectrogram"); err != nil {
		return err
	}
	return c.Kernel(Step{
		Op: op, Name: "mel", Ins: []*ir.Value{corners}, Outs: []*ir.Value{out}, Par: bins, NsPerIter: perChunk(mels, 5),
		Build: func(k *K) {
			k.Parallel(func(j *loop.Value) {
				row := k.MulDim(j, mels)
				k.vectorLoop(k.Int(0), k.Dim(mels), k.Level.Lanes(8), func(i *loop.Value, lanes int) {
					num := func(v float64) *loop.Value { return k.Float(loop.Vec(tensor.F64, lanes), v) }
					corner := func(n int64) *loop.Value {
						return k.Convert(k.Load(k.Buf(corners), k.AddInt(i, n), lanes), tensor.F64)
					}
					l, m, h := corner(0), corner(1), corner(2)
					x := k.Broadcast(k.Convert(j, tensor.F64), lanes)
					v := k.Select(k.And(k.Cmp(loop.GE, x, l), k.Cmp(loop.LT, x, m)), k.Div(k.Sub(x, l), k.Sub(m, l)), num(0))
					v = k.Select(k.Cmp(loop.EQ, x, m), num(1), v)
					v = k.Select(k.And(k.Cmp(loop.GT, x, m), k.Cmp(loop.LT, x, h)), k.Div(k.Sub(h, x), k.Sub(h, m)), v)
					k.Store(k.Buf(out), k.Add(row, i), k.truncated(v, d))
				})
			})
		},
	})
}

// melCorners emits the kernel that finds the bins between which the triangles lie, evenly spaced in mels.
func (c *Ctx) melCorners(op *ir.Op, corners, bad *ir.Value, bins ir.Dim) error {
	ins := append([]*ir.Value{}, op.Operands...)
	return c.Kernel(Step{
		Op: op, Name: "mel_corners", Ins: ins, Outs: []*ir.Value{corners, bad}, Par: ir.Const(1), NsPerIter: 1000,
		Build: func(k *K) {
			k.Parallel(func(*loop.Value) {
				arg := func(i int) *loop.Value {
					v := op.Operands[i]
					return k.Convert(k.fromMemory(k.Load(k.Buf(v), k.Int(0), 1), v.Type.DType), tensor.F64)
				}
				num := func(v float64) *loop.Value { return k.Float(loop.Scalar(tensor.F64), v) }
				mel := func(i int) *loop.Value {
					return k.Mul(num(2595), k.Div(k.Log(k.Add(num(1), k.Div(arg(i), num(700)))), num(math.Ln10)))
				}
				low, high, length, rate := mel(3), mel(4), k.Add(arg(1), num(1)), arg(2)
				count := k.Dim(corners.Type.Shape[0])
				step := k.Div(k.Sub(high, low), k.Convert(count, tensor.F64))
				faults := k.For(k.Int(0), count, 1, []*loop.Value{k.Int(0)}, func(i *loop.Value, a []*loop.Value) []*loop.Value {
					m := k.Add(k.Mul(k.Convert(i, tensor.F64), step), low)
					hertz := k.Mul(num(700), k.Sub(k.Pow(num(10), k.Div(m, num(2595))), num(1)))
					at := k.Unary(loop.OpFloor, k.Div(k.Mul(length, hertz), rate))
					ok := k.And(k.Cmp(loop.GE, at, num(0)), k.Cmp(loop.LE, at, k.Convert(k.Dim(bins), tensor.F64)))
					k.Store(k.Buf(corners), i, k.Convert(k.Select(ok, at, num(0)), tensor.I64))
					return []*loop.Value{k.Add(a[0], k.Select(ok, k.Int(0), k.Int(1)))}
				})[0]
				positive := k.Cmp(loop.GT, rate, num(0))
				k.Store(k.Buf(bad), k.Int(0), k.Add(faults, k.Select(positive, k.Int(0), k.Int(1))))
			})
		},
	})
}
