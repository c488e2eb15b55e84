package passes

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// widenPass computes in f32 what a model computes in f16 or bf16: processors without arithmetic on
// half floats widen each operand anyway, and rounding once, at the outputs, is faster and closer to the
// exact result than rounding after every op. It is what ONNX Runtime does on CPUs. Explicit casts to
// half floats still round. -math=strict keeps the model's types.
func widenPass(s *State) error {
	if s.Opts.Strict || !widenable(s.M.Graph) {
		return nil
	}
	if err := s.infer(); err != nil {
		return err
	}
	w := &widener{s: s, repl: map[*ir.Value]*ir.Value{}, half: map[*ir.Value]tensor.DType{}}
	g := s.M.Graph
	results := make([]tensor.DType, len(g.Results))
	for i, v := range g.Results {
		results[i] = v.Type.DType
	}
	for _, p := range g.Params {
		if isHalf(p) {
			w.repl[p] = w.cast(p, tensor.F32)
		}
	}
	for _, op := range g.Ops {
		w.op(op)
	}
	for i, v := range g.Results {
		if !isHalfType(results[i]) {
			g.Results[i] = w.find(v)
			continue
		}
		g.Results[i] = w.cast(w.find(v), results[i])
		g.Results[i].Name = v.Name
	}
	g.Ops = w.out
	return s.infer()
}

func isHalfType(d tensor.DType) bool { return d == tensor.F16 || d == tensor.BF16 }

func isHalf(v *ir.Value) bool {
	return v != nil && v.Type.Kind == ir.KindTensor && isHalfType(v.Type.DType)
}

// widenable reports whether a graph has half floats, and none in nested regions or containers.
func widenable(g *ir.Region) bool {
	found := false
	for _, p := range g.Params {
		found = found || isHalf(p)
	}
	for _, op := range g.Ops {
		for _, v := range op.Results {
			found = found || isHalf(v)
			if v != nil && v.Type.Kind != ir.KindTensor {
				return false
			}
		}
		for _, r := range op.Regions {
			if widenable(r) {
				return false
			}
		}
	}
	return found
}

// sameForm lists the ops, besides elementwise ones and views, that compute the same in f32 when all
// their floating-point operands are f32.
var sameForm = map[string]bool{
	"MatMul": true, "Gemm": true, "Conv": true, "ConvTranspose": true, "AveragePool": true, "MaxPool": true, "GlobalAveragePool": true,
	"GlobalMaxPool": true, "BatchNormalization": true, "LayerNormalization": true, "InstanceNormalization": true, "Softmax": true, "LogSoftmax": true,
	"ReduceMean": true, "ReduceSum": true, "ReduceMax": true, "ReduceMin": true, "ReduceProd": true, "ReduceSumSquare": true, "ReduceL1": true, "ReduceL2": true,
	"Transpose": true, "Concat": true, "Split": true, "Slice": true, "Pad": true, "Gather": true, "GatherElements": true, "GatherND": true, "Expand": true,
	"Tile": true, "Resize": true, "LSTM": true, "GRU": true, "LRN": true, "Dropout": true, "Shape": true, "Size": true, "ArgMax": true, "ArgMin": true,
	"RNN": true, "RMSNormalization": true, "GroupNormalization": true, "MeanVarianceNormalization": true, "LpNormalization": true, "LpPool": true,
	"GlobalLpPool": true, "DeformConv": true, "Col2Im": true, "MaxUnpool": true,
	"DepthToSpace": true, "SpaceToDepth": true, "ScatterND": true, "ScatterElements": true, "OneHot": true, "CumSum": true, "Trilu": true,
	"Attention": true, "RotaryEmbedding": true, "CausalConvWithState": true, "LinearAttention": true,
}

type widener struct {
	s    *State
	out  []*ir.Op
	repl map[*ir.Value]*ir.Value    // a half value to the f32 value that stands for it
	half map[*ir.Value]tensor.DType // values that were half floats before their op was widened
}

func (w *widener) find(v *ir.Value) *ir.Value {
	if r, ok := w.repl[v]; ok {
		return r
	}
	return v
}

func (w *widener) cast(v *ir.Value, to tensor.DType) *ir.Value {
	op := w.s.M.NewOp("Cast", []*ir.Value{v}, 1, ir.Attrs{"to": to}, ir.Origin{})
	op.Results[0].Type = ir.Type{DType: to, Ranked: v.Type.Ranked, Shape: v.Type.Shape}
	w.out = append(w.out, op)
	return op.Results[0]
}

func (w *widener) op(op *ir.Op) {
	if op.Name() == "Const" {
		if d := ir.ConstOf(op.Results[0]); isHalfType(d.DType) {
			w.half[op.Results[0]] = d.DType
			op.Attrs = ir.Attrs{"value": widened(d)}
		}
		w.out = append(w.out, op)
		return
	}
	same := op.Name() != "Cast" && (op.Info.Has(ir.Elementwise) || op.Info.Has(ir.View) && op.Name() != "BitCast" || sameForm[op.Name()])
	for i, v := range op.Operands {
		if v == nil {
			continue
		}
		op.Operands[i] = w.find(v)
		if d, was := w.half[v]; !same && (was || w.repl[v] != nil) && op.Name() != "Cast" {
			if !was {
				d = v.Type.DType
			}
			op.Operands[i] = w.cast(w.find(v), d)
		}
	}
	w.out = append(w.out, op)
	for _, v := range op.Results {
		if !isHalf(v) {
			continue
		}
		if same {
			w.half[v] = v.Type.DType
			v.Type.DType = tensor.F32
		} else {
			w.repl[v] = w.cast(v, tensor.F32)
		}
	}
}

// widened is d in f32, converted when it is read.
func widened(d *ir.Data) *ir.Data {
	return &ir.Data{DType: tensor.F32, Shape: d.Shape, Name: d.Name, Load: func() ([]byte, error) {
		t, err := d.Tensor()
		if err != nil {
			return nil, err
		}
		out := make([]float32, t.Len())
		for i := range out {
			out[i] = float32(t.At(int64(i)))
		}
		return tensor.AsBytes(out), nil
	}}
}
