package lower

import (
	"fmt"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Strings and containers (sequences, optionals, maps) have no place in memory that kernels could work
// on: they live in boxes, which host steps read and write.

// boxed reports whether values of type t live in boxes.
func boxed(t ir.Type) bool { return t.Kind != ir.KindTensor || t.DType.Bits() == 0 }

func (c *Ctx) newBox() int32 {
	c.p.Boxes++
	return c.p.Boxes - 1
}

// boxedIO describes an input or output that lives in a box.
func boxedIO(name string, t ir.Type) plan.IO {
	io := plan.IO{Name: name, DType: tensor.String, Default: -1}
	if t.Kind != ir.KindTensor {
		io.DType, io.Type, io.Optional = tensor.Invalid, t.String(), t.Kind == ir.KindOptional
		return io
	}
	for _, d := range t.Shape {
		io.Dims = append(io.Dims, d.String())
	}
	return io
}

// boxInput gives input i of the model its box.
func (c *Ctx) boxInput(io *plan.IO, v *ir.Value, i int32) error {
	*io = boxedIO(io.Name, v.Type)
	io.Box = c.newBox()
	c.storage[v] = storage{-1, io.Box}
	switch {
	case c.M.Defaults[io.Name] != nil:
		return fmt.Errorf("input %q: a default value of type %v is not supported", io.Name, v.Type)
	case v.Type.Kind != ir.KindTensor:
		return nil
	case !v.Type.Ranked:
		return fmt.Errorf("input %q: its rank is not known; give its shape with -shape %s=AxBxC", io.Name, io.Name)
	}
	for j, d := range v.Type.Shape {
		io.Shape = append(io.Shape, c.inputSlot(d, i, int32(j)))
	}
	return nil
}

// stringConsts puts the constants that are strings into boxes, before all else: what needs them first may
// be inside a branch that is not taken.
func (c *Ctx) stringConsts(r *ir.Region) (err error) {
	r.Walk(func(op *ir.Op) {
		if d := ir.ConstOf(op.Result(0)); d != nil && c.needed[op] && boxed(op.Results[0].Type) && err == nil {
			c.fallback = true // it is no work
			err = c.host(op)
			c.fallback = false
		}
	})
	return err
}
