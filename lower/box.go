package lower

import (
	"fmt"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Strings, containers (sequences, optionals, maps) and tensors whose rank only the run time knows have no
// place in memory that kernels could work on: they live in boxes, which host steps read and write. A
// value moves between a box and a buffer by a host step too, which checks it and binds the sizes that it
// brings.

// boxed reports whether values of type t live in boxes.
func boxed(t ir.Type) bool { return t.Kind != ir.KindTensor || !t.Ranked || t.DType.Bits() == 0 }

// touchesBox reports whether an operand or a result of op lives in a box.
func touchesBox(op *ir.Op) bool {
	for _, vs := range [][]*ir.Value{op.Operands, op.Results} {
		for _, v := range vs {
			if v != nil && boxed(v.Type) {
				return true
			}
		}
	}
	return false
}

func (c *Ctx) newBox() int32 {
	c.p.Boxes++
	return c.p.Boxes - 1
}

// boxedIO describes an input or output that lives in a box.
func boxedIO(name string, t ir.Type) plan.IO {
	io := plan.IO{Name: name, DType: t.DType, Default: -1}
	switch {
	case t.Kind != ir.KindTensor:
		io.DType, io.Type, io.Optional = tensor.Invalid, t.String(), t.Kind == ir.KindOptional
	case !t.Ranked:
		io.Type = t.String()
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
	if c.M.Defaults[io.Name] != nil {
		return fmt.Errorf("input %q: a default value of type %v is not supported", io.Name, v.Type)
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

// call emits a step that calls a host function for op or a part of it; it binds those dimensions of outs
// that nothing has bound yet.
func (c *Ctx) call(op *ir.Op, function string, attrs tensor.Attrs, ins, outs []*ir.Value) error {
	var fresh [][]plan.Slot
	for _, v := range outs {
		f, _ := c.bindFresh(v)
		fresh = append(fresh, f)
	}
	return c.hostCall(op, function, attrs, ins, outs, fresh)
}

// hostCall is call where fresh lists the slots that the step sets, as in plan.Step.
func (c *Ctx) hostCall(op *ir.Op, function string, attrs tensor.Attrs, ins, outs []*ir.Value, fresh [][]plan.Slot) error {
	step := plan.Step{Kind: plan.StepHost, Name: op.Info.Name + " " + op.Origin.Node, HostOp: function, A: -1, B: -1, Flops: -1, MemBytes: -1, Attrs: attrs, Fresh: fresh}
	refs := func(vs []*ir.Value) (refs []plan.TensorRef, err error) {
		for _, v := range vs {
			r, err := c.ref(v)
			if err != nil {
				return nil, op.Errorf("%w", err)
			}
			refs = append(refs, r)
		}
		return refs, nil
	}
	for _, v := range outs {
		if v == nil {
			continue
		}
		if _, err := c.define(v); err != nil {
			return op.Errorf("%w", err)
		}
	}
	var err error
	if step.In, err = refs(ins); err != nil {
		return err
	}
	if step.Out, err = refs(outs); err != nil {
		return err
	}
	c.addStep(step)
	return nil
}

// unbox gives v itself, or for a value of unknown rank that must be a scalar, a scalar in a buffer.
func (c *Ctx) unbox(op *ir.Op, v *ir.Value) (*ir.Value, error) {
	v = c.resolve(v)
	if !boxed(v.Type) || v.Type.Kind != ir.KindTensor || v.Type.DType.Bits() == 0 {
		return v, nil
	}
	scalar := c.M.NewConst("scalar", ir.DataOf(tensor.New(tensor.I64, 0)))
	out := c.M.NewValue(v.Name, ir.TensorType(v.Type.DType))
	return out, c.call(op, "Reshape", tensor.Attrs{}, []*ir.Value{v, scalar.Results[0]}, []*ir.Value{out})
}
