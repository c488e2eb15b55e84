package lower

import (
	"fmt"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Sizes that depend on data. An op whose parameters are tensors of the run, or that counts, has a kernel
// of one iteration that computes them; steps then bind them to symbols. From there on they are
// dimensions like others, and the rules that work on symbolic dimensions do the rest.

// learning is a kernel that computes sizes.
type learning struct {
	op *ir.Op
	// ins are what it reads, outs what it writes besides the sizes.
	ins, outs []*ir.Value
	// dims are what the sizes are: symbols that nothing has bound are bound, others must agree.
	dims []ir.Dim
	// fault says what is wrong when build counts faults.
	fault string
	// build gives a value, none negative, for each of dims, and the number of faults, nil if there is none.
	build func(k *K) (sizes []*loop.Value, faults *loop.Value)
}

// newSyms makes n symbols.
func (c *Ctx) newSyms(n int) []ir.Dim {
	s := make([]ir.Dim, n)
	for i := range s {
		s[i] = c.M.NewSym()
	}
	return s
}

// learn emits the steps of l.
func (c *Ctx) learn(l learning) error {
	vec := c.Scratch(ir.TensorType(tensor.I64, ir.Const(int64(len(l.dims)))))
	bad := c.Scratch(ir.TensorType(tensor.I64))
	err := c.Kernel(Step{
		Op: l.op, Name: "learn", Ins: l.ins, Outs: append([]*ir.Value{vec, bad}, l.outs...), Par: ir.Const(1), NsPerIter: 50,
		Build: func(k *K) {
			k.Parallel(func(*loop.Value) {
				sizes, faults := l.build(k)
				for i, s := range sizes {
					k.Store(k.Buf(vec), k.Int(int64(i)), s)
				}
				if faults == nil {
					faults = k.Int(0)
				}
				k.Store(k.Buf(bad), k.Int(0), faults)
			})
		},
	})
	if err != nil {
		return err
	}
	if l.fault != "" {
		if err := c.checkFaults(l.op, bad, l.fault); err != nil {
			return err
		}
	}
	if err := c.agree(l.op, vec, l.dims); err != nil {
		return err
	}
	return c.bindDims(l.op, vec, l.dims, 0, "sizes")
}

// agree emits the steps that fail unless those of dims that are known are what vec says.
func (c *Ctx) agree(op *ir.Op, vec *ir.Value, dims []ir.Dim) error {
	ref, err := c.ref(vec)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s %q: sizes", op.Info.Name, op.Origin.Node)
	for i, d := range dims {
		if c.unboundIn(d) != "" {
			continue
		}
		s := c.addSlot(plan.SlotDef{Op: plan.SlotBound})
		c.addStep(plan.Step{Kind: plan.StepBind, Name: name, A: s, B: int32(i), In: []plan.TensorRef{ref}})
		c.addStep(plan.Step{Kind: plan.StepCheck, Name: name, A: s, B: c.slot(d)})
	}
	return nil
}

// binding holds a rule of bindsSizes to its word that it binds the sizes of op's results.
func binding(r rule) rule {
	return func(c *Ctx, op *ir.Op) error {
		var open []string
		for _, v := range op.Results {
			switch {
			case v == nil:
				continue
			case !v.Type.Ranked:
				return errDecline
			}
			for _, d := range v.Type.Shape {
				if s := c.unboundIn(d); s != "" {
					open = append(open, s)
				}
			}
		}
		begin := len(c.p.Steps)
		if err := r(c, op); err != nil {
			return err
		}
		for _, sym := range open {
			if !slices.ContainsFunc(c.p.Steps[begin:], func(s plan.Step) bool {
				return (s.Kind == plan.StepBind || s.Kind == plan.StepSetSlot) && s.A == c.slots[sym]
			}) {
				return op.Errorf("internal error: no step binds the size %s of its result", sym)
			}
		}
		return nil
	}
}

// far bounds parameters, so that arithmetic on them and on sizes cannot overflow: no dimension is that large.
const far = 1 << 40

// param is element i of an integer tensor, within [-far, far].
func (k *K) param(v *ir.Value, i int64) *loop.Value { return k.paramAt(v, k.Int(i)) }

func (k *K) paramAt(v *ir.Value, i *loop.Value) *loop.Value {
	x := k.CastTo(k.fromMemory(k.Load(k.Buf(v), i, 1), v.Type.DType), tensor.I64)
	return k.MaxIdx(k.MinIdx(x, k.Int(far)), k.Int(-far))
}

// flag is 1 where cond holds, else 0.
func (k *K) flag(cond *loop.Value) *loop.Value { return k.Select(cond, k.Int(1), k.Int(0)) }

// ifNeg is a where x < 0, else b.
func (k *K) ifNeg(x, a, b *loop.Value) *loop.Value {
	return k.Select(k.Cmp(loop.LT, x, k.Int(0)), a, b)
}

// axisParam reads an axis for a tensor of the given rank: non-negative, and 1 if it is out of range, else 0.
func (k *K) axisParam(v *ir.Value, i *loop.Value, rank int) (axis, bad *loop.Value) {
	a := k.paramAt(v, i)
	a = k.ifNeg(a, k.AddInt(a, int64(rank)), a)
	out := k.Or(k.Cmp(loop.LT, a, k.Int(0)), k.Cmp(loop.GE, a, k.Int(int64(rank))))
	return a, k.flag(out)
}
