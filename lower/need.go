package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// shapeOperands lists the operands that only say what the result looks like: when their contents are
// known as symbolic dimensions, the rules take those and no step has to compute the tensor.
var shapeOperands = map[string][]int{
	"Reshape": {1}, "Expand": {1}, "Slice": {1, 2, 3, 4}, "Pad": {1, 3}, "ConstantOfShape": {0}, "Range": {0, 1, 2},
	"Resize": {1, 2, 3}, "Tile": {1}, "Squeeze": {1}, "Unsqueeze": {1}, "Split": {1}, "OneHot": {1},
	"ReduceSum": {1}, "ReduceMean": {1}, "ReduceMax": {1}, "ReduceMin": {1}, "ReduceProd": {1}, "ReduceSumSquare": {1},
	"TopK": {1}, "CumSum": {1}, "CumProd": {1}, "CenterCropPad": {1}, "ReduceL1": {1}, "ReduceL2": {1}, "ReduceLogSum": {1}, "ReduceLogSumExp": {1},
}

// noData lists the ops whose results follow from the types of their operands.
var noData = map[string]bool{"Shape": true, "Size": true}

// need marks the ops that some result depends on, given what is known of shapes.
func (c *Ctx) need(v *ir.Value) {
	if v == nil {
		return
	}
	v = c.resolve(v)
	if v.Def == nil || c.needed[v.Def] || c.known(v) {
		return
	}
	c.needOp(v.Def)
}

func (c *Ctx) needOp(op *ir.Op) {
	c.needed[op] = true
	if noData[op.Info.Name] && op.Operands[0].Type.Ranked {
		return
	}
	skip := map[int]bool{}
	for _, i := range shapeOperands[op.Info.Name] {
		skip[i] = i < len(op.Operands) && c.known(op.Operands[i])
	}
	for i, v := range op.Operands {
		if !skip[i] {
			c.need(v)
		}
	}
	for _, r := range op.Regions {
		for _, v := range r.Results {
			c.need(v)
		}
	}
}

// known reports whether the contents of an integer tensor are known as dimensions whose symbols are
// all bound by the inputs, or will be bound by the time they are used.
func (c *Ctx) known(v *ir.Value) bool {
	_, ok := c.elems(v)
	return ok
}

// elems gives the contents of a small integer tensor as dimensions.
func (c *Ctx) elems(v *ir.Value) ([]ir.Dim, bool) {
	if v == nil || v.Type.DType != tensor.I64 && v.Type.DType != tensor.I32 {
		return nil, false
	}
	return c.infer.Elems(c.resolve(v))
}

// ints gives contents that are all constant.
func (c *Ctx) ints(v *ir.Value) ([]int64, bool) {
	e, ok := c.elems(v)
	if !ok {
		return nil, false
	}
	return ir.StaticShape(e)
}

// materialise emits the step that writes known contents to memory, for those that read v as a tensor.
func (c *Ctx) materialise(v *ir.Value, e []ir.Dim) (storage, error) {
	op := copyOf(c.M, v)
	op.Origin.Op = "sizes"
	st := storage{c.newBuf(bytesOf(v), v.Name), -1}
	c.storage[v] = st
	c.lazy = append(c.lazy, v)
	err := c.Kernel(Step{
		Op: op, Name: "sizes", Outs: []*ir.Value{v}, Par: ir.Const(1), NsPerIter: 10,
		Build: func(k *K) {
			k.Parallel(func(*loop.Value) {
				for i, d := range e {
					k.Store(k.Buf(v), k.Int(int64(i)), k.Convert(k.Dim(d), v.Type.DType))
				}
			})
		},
	})
	return st, err
}
