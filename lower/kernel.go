package lower

import (
	"fmt"
	"strings"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// K is a kernel under construction for one level: a loop.Builder plus the step's arguments. The
// argument block is shared by all levels; each level's build adds what it needs to it.
type K struct {
	*loop.Builder
	C     *Ctx
	Level *target.Level

	step *stepArgs
	bufs map[bufKey]*loop.Buf
	dims map[int32]*loop.Value
	sums *loop.Buf // of a tile, that wait for the epilogue
	err  error
}

// bufKey is a buffer as seen with an element type: BitCast gives a buffer several.
type bufKey struct {
	buf  int32
	elem tensor.DType
}

// stepArgs is the argument block of a step.
type stepArgs struct {
	args  []plan.Arg
	index map[plan.Arg]int
	write map[int32]bool
	elem  map[int32]tensor.DType
	names map[int32]string
}

func (s *stepArgs) arg(a plan.Arg) int {
	if i, ok := s.index[a]; ok {
		return i
	}
	s.index[a] = len(s.args)
	s.args = append(s.args, a)
	return len(s.args) - 1
}

// Step describes a kernel step.
type Step struct {
	Op   *ir.Op // for its name and origin
	Name string // what the kernel is: "conv3x3", "softmax"
	// Ins and Outs are the tensors that it reads and writes.
	Ins, Outs []*ir.Value
	// InPlace are those of Ins that each iteration reads only where it then writes the result.
	InPlace []*ir.Value
	// Par is the number of parallel iterations; NsPerIter estimates the time of one on one core.
	// ParAt, if set, gives the number by level instead.
	Par       ir.Dim
	ParAt     func(l *target.Level) ir.Dim
	NsPerIter float64
	// Flops and Bytes of the whole step, for profiles; zero Dims when not known.
	Flops, Bytes ir.Dim
	// Build writes the kernel for one level.
	Build func(k *K)
}

// chunkNs is how long a chunk of parallel iterations should take at least: long enough to pay for
// claiming it, short enough that the garbage collector never waits.
const chunkNs = 20_000

// Kernel emits a step that runs a kernel. All storage must exist: operands computed, results defined
// by this call.
func (c *Ctx) Kernel(s Step) error {
	args := &stepArgs{index: map[plan.Arg]int{}, write: map[int32]bool{}, elem: map[int32]tensor.DType{}, names: map[int32]string{}}
	for _, v := range s.Ins {
		if _, err := c.at(v); err != nil {
			return s.Op.Errorf("%w", err)
		}
	}
	for _, v := range s.Outs {
		c.inPlace(&s, v)
		st, err := c.define(v)
		if err != nil {
			return s.Op.Errorf("%w", err)
		}
		if st.buf < 0 {
			return s.Op.Errorf("result %q of type %v cannot be written by a kernel", v.Name, v.Type.DType)
		}
		args.write[st.buf] = true
	}
	funcs := make([]*loop.Func, len(c.Target.Levels))
	for i, level := range c.Target.Levels {
		k := &K{Builder: loop.NewFunc(s.Name, level), C: c, Level: level, step: args, bufs: map[bufKey]*loop.Buf{}, dims: map[int32]*loop.Value{}}
		s.Build(k)
		if k.err != nil {
			return k.err
		}
		k.F.Comment = origins(s.Op)
		loop.Simplify(k.F)
		funcs[i] = k.F
	}
	par := []plan.Slot{c.slot(s.Par)}
	if s.ParAt != nil {
		par = nil
		for _, level := range c.Target.Levels {
			par = append(par, c.slot(s.ParAt(level)))
		}
	}
	c.addStep(plan.Step{
		Kind: plan.StepKernel, Name: s.Op.Info.Name + " " + s.Op.Origin.Node, Kernel: c.addKernel(s.Name, funcs), Args: args.args,
		Par: par, Grain: max(1, int64(chunkNs/max(s.NsPerIter, 0.1))), A: -1, B: -1,
		Flops: c.slot(s.Flops), MemBytes: c.slot(s.Bytes),
	})
	return nil
}

// origins names the ONNX nodes of an op or of the ops in its region.
func origins(op *ir.Op) string {
	if len(op.Regions) == 0 || op.Info.Name != "Fused" {
		return op.Origin.String()
	}
	var s []string
	for _, o := range op.Regions[0].Ops {
		if o.Info.Name != "Const" {
			s = append(s, o.Origin.Op+" "+o.Origin.Node)
		}
	}
	return strings.Join(s, " + ")
}

// addKernel numbers a kernel; the same code serves all steps that need it.
func (c *Ctx) addKernel(name string, funcs []*loop.Func) int32 {
	var key strings.Builder
	for _, f := range funcs {
		f.Name = "k"
		comment := f.Comment
		f.Comment = ""
		loop.Print(&key, f)
		f.Comment = comment
	}
	if i, ok := c.kernels[key.String()]; ok {
		return i
	}
	c.names[name]++
	name = fmt.Sprintf("%s_%d", name, c.names[name])
	i := int32(len(c.p.Kernels))
	c.kernels[key.String()] = i
	c.p.Kernels = append(c.p.Kernels, name)
	for l, f := range funcs {
		f.Name = name
		c.prog.Kernels[l] = append(c.prog.Kernels[l], f)
	}
	return i
}

// Fail records an error; building goes on and Kernel returns the first.
func (k *K) Fail(err error) {
	if k.err == nil {
		k.err = err
	}
}

// Buf is the kernel's view of a value's buffer.
func (k *K) Buf(v *ir.Value) *loop.Buf { return k.bufAs(v, v.Type.DType) }

// bufAs is the kernel's view of a value's buffer as elements of another type.
func (k *K) bufAs(v *ir.Value, d tensor.DType) *loop.Buf {
	st, err := k.C.at(v)
	if err != nil {
		k.Fail(err)
		return &loop.Buf{Elem: d, Write: true}
	}
	return k.bufAt(st.buf, d)
}

// WeightBuf is the kernel's view of packed weights at an offset of the weights.
func (k *K) WeightBuf(buf int32, d tensor.DType) *loop.Buf { return k.bufAt(buf, d) }

func (k *K) bufAt(buf int32, d tensor.DType) *loop.Buf {
	key := bufKey{buf, loop.Memory(d)}
	if b, ok := k.bufs[key]; ok {
		return b
	}
	i := k.step.arg(plan.Arg{Kind: plan.ArgBuf, N: buf, Off: -1})
	b := k.Param(fmt.Sprintf("b%d", i), d, i, k.step.write[buf])
	k.bufs[key] = b
	return b
}

// Dim is a dimension as an index value: a constant, or an argument of the kernel.
func (k *K) Dim(d ir.Dim) *loop.Value {
	if d.IsConst() {
		return k.Int(d.Value())
	}
	s := k.C.slot(d)
	if v, ok := k.dims[s]; ok {
		return v
	}
	i := k.step.arg(plan.Arg{Kind: plan.ArgSlot, N: s, Off: -1})
	v := k.IntParam(fmt.Sprintf("n%d", i), i)
	k.dims[s] = v
	return v
}

// MulDim is x*d.
func (k *K) MulDim(x *loop.Value, d ir.Dim) *loop.Value { return k.Mul(x, k.Dim(d)) }

// Unflatten splits a linear index over shape into coordinates.
func (k *K) Unflatten(i *loop.Value, shape ...ir.Dim) []*loop.Value {
	co := make([]*loop.Value, len(shape))
	for d := len(shape) - 1; d > 0; d-- {
		if shape[d].Is(1) {
			co[d] = k.Int(0)
			continue
		}
		n := k.Dim(shape[d])
		co[d] = k.Rem(i, n)
		i = k.Div(i, n)
	}
	if len(shape) > 0 {
		co[0] = i
	}
	return co
}

// Strides are the row-major strides of a shape in elements.
func Strides(shape []ir.Dim) []ir.Dim {
	s := make([]ir.Dim, len(shape))
	n := ir.Const(1)
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = n
		n = n.Mul(shape[i])
	}
	return s
}

// Flatten is the linear index of coordinates in shape.
func (k *K) Flatten(co []*loop.Value, shape []ir.Dim) *loop.Value {
	idx := k.Int(0)
	for i, s := range Strides(shape) {
		idx = k.Add(idx, k.MulDim(co[i], s))
	}
	return idx
}

// BroadcastStrides are the strides with which an operand of the given shape is read at coordinates of
// out: 0 where it is broadcast. ok is false where only the run time can tell.
func BroadcastStrides(shape, out []ir.Dim) (strides []ir.Dim, ok bool) {
	own := Strides(shape)
	strides = make([]ir.Dim, len(out))
	off := len(out) - len(shape)
	if off < 0 {
		return nil, false
	}
	for i, d := range shape {
		switch o := out[off+i]; {
		case d.Equal(o):
			strides[off+i] = own[i]
		case d.Is(1):
		default:
			return nil, false
		}
	}
	return strides, true
}

// weightBuf adds a buffer over bytes of the weights.
func (c *Ctx) weightBuf(off, size int64, name string) int32 {
	return c.addBuf(plan.Buf{Kind: plan.BufWeight, Offset: off, Bytes: c.constSlot(size), Name: name})
}
