package lower

import (
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// noData lists the ops whose results follow from the types of their operands.
var noData = map[string]bool{"Shape": true, "Size": true}

// need marks the ops that some result depends on, given what is known of shapes: of a value whose contents
// are known as dimensions, those that bind the symbols in them.
func (c *Ctx) need(v *ir.Value) {
	if v == nil {
		return
	}
	v = c.resolve(v)
	if v.Def == nil || c.needed[v.Def] {
		return
	}
	if e, ok := c.elems(v); ok {
		c.needSizes(e)
		return
	}
	c.needOp(v.Def)
}

// needSizes marks the ops that bind the symbols of dims.
func (c *Ctx) needSizes(dims []ir.Dim) {
	for _, d := range dims {
		for _, s := range d.Symbols(nil) {
			if op := c.binder[s]; op != nil && !c.needed[op] {
				c.needOp(op)
			}
		}
	}
}

// binders finds for each symbol that no input has the op that brings it.
func (c *Ctx) binders() map[string]*ir.Op {
	of := map[string]*ir.Op{}
	see := func(v *ir.Value, op *ir.Op) {
		if v == nil {
			return
		}
		for _, d := range v.Type.Shape {
			for _, s := range d.Symbols(nil) {
				if _, seen := of[s]; !seen {
					of[s] = op
				}
			}
		}
	}
	for _, v := range c.M.Graph.Params {
		see(v, nil)
	}
	c.M.Graph.Walk(func(op *ir.Op) {
		for _, v := range op.Results {
			see(v, op)
		}
	})
	return of
}

func (c *Ctx) needOp(op *ir.Op) {
	c.needed[op] = true
	if noData[op.Info.Name] && op.Operands[0].Type.Ranked {
		c.needSizes(op.Operands[0].Type.Shape)
		return
	}
	for _, v := range op.Operands {
		c.need(v)
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
