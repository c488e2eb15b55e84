package lower

import (
	"fmt"
	"strings"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// sizesKnown reports whether all dimensions of op's results can be computed before op runs.
func (c *Ctx) sizesKnown(op *ir.Op) bool {
	for _, v := range op.Results {
		if v == nil {
			continue
		}
		if !v.Type.Ranked {
			return false
		}
		for _, d := range v.Type.Shape {
			for _, s := range d.Symbols(nil) {
				if _, ok := c.slots[s]; !ok {
					return false
				}
			}
		}
	}
	return true
}

// host emits a step that calls op's host function.
func (c *Ctx) host(op *ir.Op) error {
	if c.Opts.HasHost == nil || !c.Opts.HasHost(op.Info.Name) {
		return c.unsupported(op)
	}
	attrs := tensor.Attrs{}
	for k, v := range op.Attrs {
		if d, ok := v.(*ir.Data); ok {
			t, err := d.Tensor()
			if err != nil {
				return op.Errorf("%w", err)
			}
			v = t
		}
		attrs[k] = v
	}
	if err := c.call(op, op.Info.Name, attrs, op.Operands, op.Results); err != nil {
		return err
	}
	if !c.fallback {
		c.prog.HostSteps = append(c.prog.HostSteps, op.Info.Name+" "+op.Origin.Node)
	}
	return nil
}

// unsupported notes op and gives its results storage, so that lowering goes on and finds the others.
func (c *Ctx) unsupported(op *ir.Op) error {
	c.missing = append(c.missing, fmt.Sprintf("%v with operands (%s)", op.Origin, operandTypes(op)))
	for _, v := range op.Results {
		if v == nil {
			continue
		}
		if _, err := c.define(v); err != nil {
			return op.Errorf("%w", err)
		}
		for _, d := range v.Type.Shape {
			c.slot(d)
		}
	}
	return nil
}

// missingError lists the ops that are not supported, nil when there are none.
func (c *Ctx) missingError() error {
	if len(c.missing) == 0 {
		return nil
	}
	n := "node is"
	if len(c.missing) > 1 {
		n = "nodes are"
	}
	return fmt.Errorf("%d %s not supported (see nnc ops):\n  %s", len(c.missing), n, strings.Join(c.missing, "\n  "))
}

func operandTypes(op *ir.Op) string {
	s := ""
	for i, v := range op.Operands {
		if i > 0 {
			s += ", "
		}
		if v != nil {
			s += v.Type.String()
		}
	}
	return s
}

// bindFresh gives the slots of those dimensions of v that are symbols nothing has bound yet, -1 for
// the others, and whether there are any.
func (c *Ctx) bindFresh(v *ir.Value) (out []plan.Slot, any bool) {
	if v == nil || !v.Type.Ranked {
		return nil, false
	}
	out = make([]plan.Slot, len(v.Type.Shape))
	for i, d := range v.Type.Shape {
		out[i] = -1
		name := d.SymName()
		if name == "" {
			continue
		}
		if _, ok := c.slots[name]; ok {
			continue
		}
		out[i], any = c.symSlot(name), true
	}
	return out, any
}

// ref is a value as the operand of a host step.
func (c *Ctx) ref(v *ir.Value) (plan.TensorRef, error) {
	if v == nil {
		return plan.TensorRef{Buf: -1, Box: -1}, nil
	}
	st, err := c.at(v)
	if err != nil {
		return plan.TensorRef{}, err
	}
	r := plan.TensorRef{Buf: st.buf, Box: st.box, DType: v.Type.DType}
	if v.Type.Kind != ir.KindTensor || !v.Type.Ranked {
		r.DType = tensor.Invalid
	}
	for _, d := range v.Type.Shape {
		r.Shape = append(r.Shape, c.slot(d))
	}
	return r, nil
}

// copyOf is a stand-in op that names the copying of v in plans and dumps.
func copyOf(m *ir.Module, v *ir.Value) *ir.Op {
	op := m.NewOp("Identity", []*ir.Value{v}, 0, nil, ir.Origin{Op: "copy", Node: v.Name})
	return op
}

// copy emits a step that copies src to dst, which has the same type.
func (c *Ctx) copy(op *ir.Op, src, dst *ir.Value) error {
	if boxed(src.Type) || boxed(dst.Type) {
		return c.call(op, "Identity", tensor.Attrs{}, []*ir.Value{src}, []*ir.Value{dst})
	}
	return c.copyAt(op, src, dst, ir.Dim{}, ir.Dim{}, ir.Product(src.Type.Shape))
}

// copyAt emits a step that copies n elements from offset from of src to offset to of dst. Types that
// kernels cannot compute with are copied as bytes or words.
func (c *Ctx) copyAt(op *ir.Op, src, dst *ir.Value, from, to, n ir.Dim) error {
	d := src.Type.DType
	mem := loop.Memory(d)
	switch bits := int64(d.Bits()); {
	case bits == 0:
		return op.Errorf("copying %v is not supported", src.Type)
	case bits < 8 && !(from.Is(0) && to.Is(0)):
		return op.Errorf("copying a part of %v is not supported", src.Type)
	case bits < 8:
		n = n.MulInt(bits).CeilDiv(8)
	default:
		words := bits / int64(mem.Bits())
		from, to, n = from.MulInt(words), to.MulInt(words), n.MulInt(words)
	}
	return c.Kernel(Step{
		Op: op, Name: "copy", Ins: []*ir.Value{src}, Outs: []*ir.Value{dst}, Par: n.CeilDiv(elemChunk), NsPerIter: 500, Bytes: n.MulInt(int64(2 * mem.Size())),
		Build: func(k *K) {
			a, b := k.Buf(src), k.Buf(dst)
			k.Parallel(func(i *loop.Value) {
				lo := k.MulInt(i, elemChunk)
				hi := k.MinIdx(k.AddInt(lo, elemChunk), k.Dim(n))
				k.vectorLoop(lo, hi, k.Level.Lanes(mem.Size()), func(x *loop.Value, lanes int) {
					k.Store(b, k.Add(k.Dim(to), x), k.Load(a, k.Add(k.Dim(from), x), lanes))
				})
			})
		},
	})
}
