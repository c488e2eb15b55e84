package passes

import (
	"slices"
	"unsafe"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/eval"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// foldRules compute at compile time what does not depend on inputs.
var foldRules = []*rule{
	{"shape-const", []string{"*"}, "op whose integer contents inference knows -> Const", false, shapeConst},
	{"if-const", []string{"If"}, "If(true){a}{b} -> a; If(false){a}{b} -> b", false, ifConst},
	{"splat", []string{"ConstantOfShape"}, "ConstantOfShape(const) -> Const whose bytes are made when read", false, splat},
	{"const", []string{"*"}, "op(consts) -> Const, by the evaluator; not where that blows up memory for nothing", false, foldConst},
}

// foldPass folds, and removes no-ops, since both uncover more of the other.
func foldPass(s *State) error {
	if !s.Opts.Optimize {
		return rewrite(s, slices.Concat(foldRules, canonRules, expandRules))
	}
	return rewrite(s, slices.Concat(foldRules, canonRules, expandRules, viewRules))
}

// shapeConst makes a Const of an integer value that inference found to be constant: the end of Shape
// arithmetic on static dimensions, whatever it was made of.
func shapeConst(rw *rewriter, op *ir.Op) []*ir.Value {
	if op.Name() == "Const" || len(op.Results) != 1 || op.Results[0] == nil || op.Info.Has(ir.Impure) {
		return nil
	}
	v := op.Results[0]
	if !isTensor(v) || len(v.Type.Shape) > 1 {
		return nil
	}
	n, ok := rw.s.Inf.Ints(v)
	if !ok || len(v.Type.Shape) == 0 && len(n) != 1 {
		return nil
	}
	shape := []int64{int64(len(n))}
	if len(v.Type.Shape) == 0 {
		shape = []int64{}
	}
	switch v.Type.DType {
	case tensor.I64:
		return one(rw.constant(ir.DataOf(tensor.Of(n, shape...))))
	case tensor.I32:
		x := make([]int32, len(n))
		for i, e := range n {
			if x[i] = int32(e); int64(x[i]) != e {
				return nil
			}
		}
		return one(rw.constant(ir.DataOf(tensor.Of(x, shape...))))
	}
	return nil
}

// ifConst moves the ops of the branch that is taken into the region around the If.
func ifConst(rw *rewriter, op *ir.Op) []*ir.Value {
	taken, ok := rw.boolOf(op.Operand(0))
	if !ok {
		return nil
	}
	branch := op.Regions[1]
	if taken {
		branch = op.Regions[0]
	}
	rw.out = append(rw.out, branch.Ops...)
	return slices.Clone(branch.Results)
}

// smallConst is the size in bytes up to which folding never asks whether it pays.
const smallConst = 64 << 10

// mayFold decides whether a constant of the given size may replace op. Ops that make much of little
// (Expand, Tile, ...) are left alone where elementwise ops, which broadcast by themselves, are the only
// users; anything that reads weights gets them.
func (rw *rewriter) mayFold(op *ir.Op, in, out int64) bool {
	if out <= smallConst {
		return true
	}
	if out > rw.s.budget {
		return false
	}
	if op.Name() == "DequantizeLinear" && op.Operands[0].Type.DType.Bits() < 8 {
		return false // the product would be many times the size of the model
	}
	if out > 2*in {
		if rw.uses[op.Results[0]] > len(rw.users[op.Results[0]]) {
			return false // a result of the module: the product would carry it
		}
		all := true
		for _, u := range rw.users[op.Results[0]] {
			all = all && u.Info.Has(ir.Elementwise)
		}
		if all {
			return false
		}
	}
	rw.s.budget -= out
	return true
}

func foldConst(rw *rewriter, op *ir.Op) []*ir.Value {
	if op.Name() == "Const" || len(op.Regions) > 0 || op.Info.Has(ir.Impure) || len(op.Operands) == 0 {
		return nil
	}
	var in, out int64
	for _, v := range op.Operands {
		if v == nil {
			continue
		}
		if ir.ConstOf(v) == nil {
			return nil
		}
		n, _ := bytesOf(v.Type)
		in += n
	}
	for _, v := range op.Results {
		if v == nil {
			continue
		}
		// Data-dependent sizes (NonZero) are bounded by their rank times what they read.
		n, ok := bytesOf(v.Type)
		if !ok {
			n = 8 * in * int64(max(1, v.Type.Rank()))
		}
		if v.Type.Kind != ir.KindTensor {
			return nil
		}
		out += n
	}
	if op.Results[0] == nil || !rw.mayFold(op, in, out) {
		return nil
	}
	args := make([]hostop.Value, len(op.Operands))
	for i, v := range op.Operands {
		if v == nil {
			continue
		}
		t, err := ir.ConstOf(v).Tensor()
		if err != nil {
			rw.err = err
			return nil
		}
		args[i] = aligned(t)
	}
	vals, err := eval.Op(op, args)
	if err != nil {
		// The op fails at run time too, if it runs at all: it may stand in a branch never taken.
		return nil
	}
	res := make([]*ir.Value, len(op.Results))
	for i, v := range op.Results {
		if v == nil {
			continue
		}
		t, ok := vals[i].(*tensor.Tensor)
		if !ok {
			return nil
		}
		res[i] = rw.constant(ir.DataOf(t))
	}
	return res
}

// aligned copies t where the mapped model file does not align it for its element type.
func aligned(t *tensor.Tensor) *tensor.Tensor {
	if uintptr(unsafe.Pointer(unsafe.SliceData(t.Data)))%16 == 0 {
		return t
	}
	c := &tensor.Tensor{DType: t.DType, Shape: t.Shape, Strings: t.Strings, Data: tensor.AlignedBytes(int64(len(t.Data)))}
	copy(c.Data, t.Data)
	return c
}

// splat folds a ConstantOfShape of any size within the budget without holding its bytes: models with
// weights left out are made of it.
func splat(rw *rewriter, op *ir.Op) []*ir.Value {
	shape, ok := rw.intsOf(op.Operand(0))
	if !ok {
		return nil
	}
	out, ok := bytesOf(ir.TensorType(op.Results[0].Type.DType, ir.Dims(shape...)...))
	if !ok || out <= smallConst || !rw.mayFold(op, 0, out) {
		return nil
	}
	dt := op.Results[0].Type.DType
	size := dt.Size()
	if size == 0 {
		return nil
	}
	elem := make([]byte, size) // the default value is a zero
	if d, ok := op.Attrs["value"].(*ir.Data); ok {
		t, err := d.Tensor()
		if err != nil || len(t.Data) != size {
			rw.err = err
			return nil
		}
		copy(elem, t.Data)
	}
	return one(rw.constant(&ir.Data{DType: dt, Shape: shape, Load: func() ([]byte, error) {
		b := tensor.AlignedBytes(out)
		if len(b) > 0 {
			for n := copy(b, elem); n < len(b); n *= 2 {
				copy(b[n:], b[:n])
			}
		}
		return b, nil
	}}))
}
