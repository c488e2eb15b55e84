package lower

import (
	"fmt"
	"math"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// computeType is the element type in which kernels compute on d: half floats as f32, booleans as
// predicates, the rest as stored.
func computeType(d tensor.DType) tensor.DType {
	if d == tensor.F16 || d == tensor.BF16 {
		return tensor.F32
	}
	return d
}

// compiled reports whether kernels can load and store d.
func compiled(d tensor.DType) bool {
	switch d {
	case tensor.F32, tensor.F64, tensor.F16, tensor.BF16, tensor.Bool, tensor.U8, tensor.I8, tensor.U16, tensor.I16, tensor.U32, tensor.I32, tensor.U64, tensor.I64:
		return true
	}
	return false
}

// fromMemory turns what a load gave into the compute type of d.
func (k *K) fromMemory(x *loop.Value, d tensor.DType) *loop.Value {
	switch d {
	case tensor.F16, tensor.BF16:
		return k.ToF32(x)
	case tensor.Bool:
		return k.Cmp(loop.NE, x, k.IntOf(x.Type, 0))
	}
	return x
}

// toMemory is the inverse of fromMemory.
func (k *K) toMemory(x *loop.Value, d tensor.DType) *loop.Value {
	switch d {
	case tensor.F16, tensor.BF16:
		return k.FromF32(x, d)
	case tensor.Bool:
		t := loop.Vec(tensor.U8, x.Type.Lanes)
		return k.Select(x, k.IntOf(t, 1), k.IntOf(t, 0))
	}
	return x
}

// splat makes a constant of the compute type of a one-element constant.
func (k *K) splat(d *ir.Data, lanes int) *loop.Value {
	t, err := d.Tensor()
	if err != nil {
		k.Fail(err)
		return k.IntOf(loop.Vec(tensor.U8, lanes), 0)
	}
	var bits uint64
	for i := d.DType.Size() - 1; i >= 0; i-- {
		bits = bits<<8 | uint64(t.Data[i])
	}
	ct := loop.Vec(computeType(d.DType), lanes)
	switch d.DType {
	case tensor.F16, tensor.BF16:
		return k.Broadcast(k.ToF32(k.Bits(loop.Scalar(d.DType), bits)), lanes)
	case tensor.Bool:
		return k.Bits(ct, min(bits, 1))
	}
	return k.Bits(ct, bits)
}

// LoadAt reads operand v, broadcast to shape out, at coordinates co and the lanes-1 that follow in the
// last dimension, in its compute type. mask, if not nil, selects the lanes to touch.
func (k *K) LoadAt(v *ir.Value, out []ir.Dim, co []*loop.Value, lanes int, mask *loop.Value) *loop.Value {
	if d := k.C.constOf(v); d != nil && d.Len() == 1 {
		return k.splat(d, lanes)
	}
	strides, ok := BroadcastStrides(v.Type.Shape, out)
	if !ok {
		k.Fail(errDecline)
		return k.IntOf(loop.Vec(computeType(v.Type.DType), lanes), 0)
	}
	return k.loadStrided(v, strides, co, lanes, mask)
}

func (k *K) loadStrided(v *ir.Value, strides []ir.Dim, co []*loop.Value, lanes int, mask *loop.Value) *loop.Value {
	idx := k.Int(0)
	for i, s := range strides {
		if !s.Is(0) {
			idx = k.Add(idx, k.MulDim(co[i], s))
		}
	}
	buf := k.Buf(v)
	last := len(strides) - 1
	switch {
	case last < 0 || strides[last].Is(0):
		return k.Broadcast(k.fromMemory(k.Load(buf, idx, 1), v.Type.DType), lanes)
	case mask != nil:
		return k.fromMemory(k.LoadMask(buf, idx, mask), v.Type.DType)
	}
	return k.fromMemory(k.Load(buf, idx, lanes), v.Type.DType)
}

// body is what elementwise work a kernel does on each element: the ops of a Fused region after its
// anchor, or a single elementwise op.
type body struct {
	c      *Ctx
	ops    []*ir.Op
	anchor *ir.Value // the value that the anchor computes, nil without one
	result *ir.Value
	inputs []*ir.Value // values read from memory, as seen in the region
}

// newBody collects the elementwise ops of op: of its region past the first anchors ops if it is Fused.
func (c *Ctx) newBody(op *ir.Op, anchor *ir.Op) (*body, error) {
	b := &body{c: c}
	ops := []*ir.Op{op}
	if op.Info.Name == "Fused" {
		r := op.Regions[0]
		if len(r.Results) != 1 {
			return nil, errDecline
		}
		for i, p := range r.Params {
			c.alias[p] = op.Operands[i]
		}
		ops, b.result = r.Ops, r.Results[0]
	} else if anchor == nil {
		b.result = op.Results[0]
	}
	if anchor != nil {
		b.anchor = anchor.Results[0]
		if b.result == nil {
			b.result = b.anchor
		}
	}
	local := map[*ir.Value]bool{}
	for _, o := range ops {
		if o == anchor || o == op && anchor != nil {
			continue
		}
		if o.Info.Name != "Const" && elementwise[o.Info.Name] == nil {
			return nil, errDecline
		}
		for _, v := range o.Operands {
			if v == nil || v == b.anchor || local[v] {
				continue
			}
			if !v.Type.Ranked || !compiled(v.Type.DType) {
				return nil, errDecline
			}
			b.inputs = append(b.inputs, v)
		}
		for _, v := range o.Results {
			if v != nil && !compiled(v.Type.DType) {
				return nil, errDecline
			}
			local[v] = true
		}
		if c.mayDivideByZero(o) {
			if local[o.Operands[1]] {
				return nil, errDecline
			}
			if err := c.checkDivisor(o); err != nil {
				return nil, err
			}
		}
		b.ops = append(b.ops, o)
	}
	return b, nil
}

// apply computes the body given the anchor's value and a way to load the inputs. All values have the same lanes.
func (b *body) apply(k *K, acc *loop.Value, lanes int, load func(v *ir.Value) *loop.Value) *loop.Value {
	env := map[*ir.Value]*loop.Value{}
	if b.anchor != nil {
		env[b.anchor] = acc
	}
	get := func(v *ir.Value) *loop.Value {
		if v == nil {
			return nil
		}
		if x, ok := env[v]; ok {
			return x
		}
		var x *loop.Value
		if d := k.C.constOf(v); d != nil && d.Len() == 1 {
			x = k.splat(d, lanes)
		} else {
			x = load(v)
		}
		env[v] = x
		return x
	}
	for _, op := range b.ops {
		if op.Info.Name == "Const" {
			continue
		}
		x := make([]*loop.Value, len(op.Operands))
		for i, v := range op.Operands {
			x[i] = get(v)
		}
		r, err := elementwise[op.Info.Name](k, op, x)
		if err != nil {
			k.Fail(err)
			return k.IntOf(loop.Vec(computeType(b.result.Type.DType), lanes), 0)
		}
		env[op.Results[0]] = r
	}
	return get(b.result)
}

// longActivations are the functions that are not among those of package loop but use them.
var longActivations = map[string]bool{"Elu": true, "Selu": true, "Celu": true, "Gelu": true, "Mish": true, "Swish": true, "SwiGLU": true}

// long reports whether the body, once for each register of a tile, would keep most sums out of registers and fill the
// instruction cache.
func (b *body) long() bool {
	return slices.ContainsFunc(b.ops, func(op *ir.Op) bool {
		return longActivations[op.Info.Name] || loop.MathSupported(op.Info.Name, tensor.F32)
	})
}

// memInputs are the inputs that are read from memory: all but one-element constants.
func (b *body) memInputs() []*ir.Value {
	var out []*ir.Value
	for _, v := range b.inputs {
		if d := b.c.constOf(v); d == nil || d.Len() != 1 {
			out = append(out, v)
		}
	}
	return out
}

// elemChunk is how many elements a parallel iteration of a one-dimensional elementwise kernel covers.
const elemChunk = 4096

// sizes says what an elementwise kernel takes dimensions for that inference could not compare.
type sizes uint8

const (
	sizesKnown sizes = iota // there are none
	sizesEqual              // equal, as they mostly are
	sizesAsked              // equal or 1: their strides are computed at run time
)

// lowerElementwise compiles an elementwise op or a Fused group of them into one pass over the result.
func lowerElementwise(c *Ctx, op *ir.Op) error {
	unequal := ir.Dim{}
	if op.Info.Name != "Fused" {
		unequal = unsureDims(op)
	}
	if unequal.Is(0) {
		return c.elementwise(op, sizesKnown)
	}
	// One kernel serves equal dimensions; where one of them broadcasts after all, another does.
	test := c.jump(plan.Step{Kind: plan.StepJumpLt, Name: "same shapes " + op.Origin.Node, A: c.slot(unequal), B: c.constSlot(1)})
	if err := c.elementwise(op, sizesEqual); err != nil {
		return err
	}
	skip := c.jump(plan.Step{Kind: plan.StepJump, Name: "same shapes " + op.Origin.Node})
	c.p.Steps[test].Grain = int64(len(c.p.Steps))
	c.checkBroadcast(op)
	if err := c.elementwise(op, sizesAsked); err != nil {
		return err
	}
	c.p.Steps[skip].A = int32(len(c.p.Steps))
	return nil
}

// eachUnsure calls f for the dimensions d of operands v that are neither known to equal those of the result, o, nor known to
// be 1; o is dimension i of the result.
func eachUnsure(op *ir.Op, f func(v *ir.Value, d, o ir.Dim, i int)) {
	out := op.Results[0].Type.Shape
	for _, v := range op.Operands {
		if v == nil || len(v.Type.Shape) > len(out) { // what the kernel cannot broadcast it declines
			continue
		}
		off := len(out) - len(v.Type.Shape)
		for i, d := range v.Type.Shape {
			if o := out[off+i]; !d.Equal(o) && !d.Is(1) {
				f(v, d, o, off+i)
			}
		}
	}
}

// square is (x-y)^2: 0 exactly when they are equal.
func square(x, y ir.Dim) ir.Dim {
	diff := x.Sub(y)
	return diff.Mul(diff)
}

// unsureDims is 0 exactly when all dimensions that inference could not compare are equal.
func unsureDims(op *ir.Op) ir.Dim {
	sum := ir.Const(0)
	eachUnsure(op, func(_ *ir.Value, d, o ir.Dim, _ int) { sum = sum.Add(square(d, o)) })
	return sum
}

// checkBroadcast emits the steps that fail where a dimension that inference could not compare is neither 1 nor the
// result's. Of two that it does not know it takes the first operand's for the result; so that one must not broadcast.
func (c *Ctx) checkBroadcast(op *ir.Op) {
	eachUnsure(op, func(v *ir.Value, d, o ir.Dim, i int) {
		fits := c.jump(plan.Step{Kind: plan.StepJumpLt, Name: "broadcast " + op.Origin.Node, A: c.constSlot(0), B: c.slot(square(d, o).Mul(square(d, ir.Const(1))))})
		from := slices.IndexFunc(op.Operands, func(w *ir.Value) bool {
			at := i - len(op.Results[0].Type.Shape) + len(w.Type.Shape)
			return at >= 0 && w.Type.Shape[at].Equal(o)
		})
		name := fmt.Sprintf("%s %q: dimension %v of %q, which is %v, broadcasts only as 1 to %v", op.Info.Name, op.Origin.Node, d, v.Name, v.Type, o)
		if from >= 0 {
			name += fmt.Sprintf(", the result's, taken from %q, which is %v", op.Operands[from].Name, op.Operands[from].Type)
		}
		if !o.IsConst() {
			name += fmt.Sprintf("; if %v is to be 1, compile with it as a number (-shape)", o)
		}
		c.addStep(plan.Step{Kind: plan.StepCheck, Name: name, A: c.slot(d), B: c.slot(o)})
		c.p.Steps[fits].Grain = int64(len(c.p.Steps))
	})
}

// elementwise emits the kernel.
func (c *Ctx) elementwise(op *ir.Op, unsure sizes) error {
	b, err := c.newBody(op, nil)
	if err != nil {
		return err
	}
	out := op.Results[0]
	if !out.Type.Ranked || !compiled(out.Type.DType) {
		return errDecline
	}
	e := &elemPass{body: b, out: out, ins: b.memInputs()}
	if e.dims, e.strides, err = collapse(out.Type.Shape, e.ins, unsure); err != nil {
		return err
	}
	last := len(e.dims) - 1
	e.outer, e.inner = e.dims[:last], e.dims[last]
	e.chunk, e.chunks = chunked(e.inner)
	perIter := float64(elemChunk)
	if e.chunk.IsConst() {
		perIter = float64(e.chunk.Value())
	}
	par := ir.Product(e.outer).Mul(e.chunks)
	if n := e.bands(); n > 1 {
		perIter *= float64(e.outer[1].Value() / n)
		par = e.outer[0].MulInt(n)
	}
	bytes := bytesOf(out)
	for _, v := range e.ins {
		bytes = bytes.Add(bytesOf(v))
	}
	s := Step{
		Op: op, Name: elemName(op), Ins: e.ins, Outs: []*ir.Value{out}, Par: par,
		NsPerIter: 5 + perIter*float64(1+len(b.ops))/16, Flops: ir.Product(out.Type.Shape).MulInt(int64(len(b.ops))), Bytes: bytes, Build: e.build,
	}
	if unsure == sizesKnown {
		s.InPlace = e.ins
	}
	return c.Kernel(s)
}

// elemPass is a pass over all elements of a result.
type elemPass struct {
	body          *body
	out           *ir.Value
	ins           []*ir.Value
	dims          []ir.Dim   // the result's, merged where all tensors allow
	strides       [][]ir.Dim // of the result and of ins
	outer         []ir.Dim   // dims without the last
	inner         ir.Dim     // the last, in chunks
	chunk, chunks ir.Dim
}

func (e *elemPass) build(k *K) {
	k.Parallel(func(i *loop.Value) {
		n := e.bands()
		if n == 1 {
			e.chunkAt(k, k.Unflatten(i, append(append([]ir.Dim{}, e.outer...), e.chunks)...))
			return
		}
		co, per := k.Unflatten(i, ir.Const(n), e.outer[0]), e.outer[1].Value()/n
		first := k.MulInt(co[0], per)
		k.Range(first, k.AddInt(first, per), 1, func(pixel *loop.Value) {
			e.chunkAt(k, []*loop.Value{co[1], pixel, k.Int(0)})
		})
	})
}

// chunkAt computes a chunk of the last dimension; co are coordinates of outer and the number of the chunk.
func (e *elemPass) chunkAt(k *K, co []*loop.Value) {
	last := len(e.outer)
	lanes := k.Level.Lanes(4)
	for _, s := range e.strides {
		if d := s[last]; !d.Is(0) && !d.Is(1) { // only the run time knows
			lanes = 1
		}
	}
	lo, hi := k.chunkRange(co[last], e.chunk, e.inner)
	base := make([]*loop.Value, len(e.strides))
	for j := range base {
		base[j] = k.Int(0)
		for d := range last {
			if s := e.strides[j][d]; !s.Is(0) {
				base[j] = k.Add(base[j], k.MulDim(co[d], s))
			}
		}
	}
	k.vectorLoop(lo, hi, lanes, func(x *loop.Value, lanes int) {
		r := e.body.apply(k, nil, lanes, func(v *ir.Value) *loop.Value {
			j := indexOf(e.ins, v) + 1
			step := e.strides[j][last]
			if step.Is(0) {
				return k.Broadcast(k.fromMemory(k.Load(k.Buf(v), base[j], 1), v.Type.DType), lanes)
			}
			return k.fromMemory(k.Load(k.Buf(v), k.Add(base[j], k.MulDim(x, step)), lanes), v.Type.DType)
		})
		k.Store(k.Buf(e.out), k.Add(base[0], x), k.toMemory(r, e.out.Type.DType))
	})
}

// bands is the number of parts in which the pixels of a tensor in channel blocks are gone through, each for all channels, when
// an operand has one value per channel: threads then share the images by rows, as they do for the convolutions before and after.
func (e *elemPass) bands() int64 {
	const most = 16
	if len(e.outer) != 2 || !e.outer[1].IsConst() || !e.inner.Is(block) || !slices.ContainsFunc(e.strides, func(st []ir.Dim) bool { return st[1].Is(0) && st[2].Is(1) }) {
		return 1
	}
	for n := int64(most); n > 1; n-- {
		if e.outer[1].Value()%n == 0 {
			return n
		}
	}
	return 1
}

func indexOf(vs []*ir.Value, v *ir.Value) int {
	for i, w := range vs {
		if w == v {
			return i
		}
	}
	panic(fmt.Sprintf("lower: %q is not an input", v.Name))
}

func elemName(op *ir.Op) string {
	if op.Info.Name == "Fused" {
		return "fused"
	}
	return "elem_" + op.Info.Name
}

// collapse merges adjacent dimensions in which the result and all operands are contiguous or all
// broadcast. strides[0] belongs to the result, strides[i+1] to ins[i].
func collapse(out []ir.Dim, ins []*ir.Value, unsure sizes) (dims []ir.Dim, strides [][]ir.Dim, err error) {
	if len(out) == 0 {
		out = []ir.Dim{ir.Const(1)}
	}
	all := [][]ir.Dim{Strides(out)}
	for _, v := range ins {
		s, ok := unsure.strides(v.Type.Shape, out)
		if !ok {
			return nil, nil, errDecline
		}
		all = append(all, s)
	}
	strides = make([][]ir.Dim, len(all))
	for i := range out {
		if out[i].Is(1) && i < len(out)-1 {
			continue
		}
		if n := len(dims); n > 0 && mergeable(all, strides, out[i], i) {
			dims[n-1] = dims[n-1].Mul(out[i])
			for j := range all {
				strides[j][n-1] = all[j][i]
			}
			continue
		}
		dims = append(dims, out[i])
		for j := range all {
			strides[j] = append(strides[j], all[j][i])
		}
	}
	return dims, strides, nil
}

// strides are BroadcastStrides where some dimensions of shape are not known to be 1 or those of out.
func (u sizes) strides(shape, out []ir.Dim) ([]ir.Dim, bool) {
	if u == sizesKnown || len(shape) > len(out) {
		return BroadcastStrides(shape, out)
	}
	off := len(out) - len(shape)
	same := append([]ir.Dim{}, shape...) // taken to be equal
	for i, d := range shape {
		if !d.Is(1) {
			same[i] = out[off+i]
		}
	}
	if u == sizesEqual {
		return BroadcastStrides(same, out)
	}
	st := make([]ir.Dim, len(out))
	for i, s := range Strides(shape) {
		switch d := shape[i]; {
		case d.Is(1):
		case d.Equal(out[off+i]):
			st[off+i] = s
		default: // 0 where the dimension is 1
			st[off+i] = s.Mul(d.AddInt(-1).Min(ir.Const(1)).Max(ir.Const(0)))
		}
	}
	return st, true
}

// mergeable: the last kept dimension of every operand steps over exactly the n elements of dimension i.
func mergeable(all, kept [][]ir.Dim, n ir.Dim, i int) bool {
	for j := range all {
		last := kept[j][len(kept[j])-1]
		if !last.Equal(all[j][i].Mul(n)) || last.Is(0) != all[j][i].Is(0) {
			return false
		}
	}
	return true
}

// MinIdx is the smaller of two indices.
func (k *K) MinIdx(x, y *loop.Value) *loop.Value {
	a, oka := k.ConstInt(x)
	b, okb := k.ConstInt(y)
	if oka && okb {
		return k.Int(min(a, b))
	}
	return k.Select(k.Cmp(loop.LT, x, y), x, y)
}

// MaxIdx is the larger of two indices.
func (k *K) MaxIdx(x, y *loop.Value) *loop.Value {
	a, oka := k.ConstInt(x)
	b, okb := k.ConstInt(y)
	if oka && okb {
		return k.Int(max(a, b))
	}
	return k.Select(k.Cmp(loop.GT, x, y), x, y)
}

// vectorLoop covers [lo, hi) with vectors of n lanes, then with scalars.
func (k *K) vectorLoop(lo, hi *loop.Value, n int, body func(x *loop.Value, lanes int)) {
	if a, ok := k.ConstInt(lo); ok {
		if b, ok := k.ConstInt(hi); ok && b-a < int64(n) {
			k.Range(lo, hi, 1, func(x *loop.Value) { body(x, 1) })
			return
		}
	}
	count := k.Sub(hi, lo)
	mid := k.Add(lo, k.MulInt(k.Div(count, k.Int(int64(n))), int64(n)))
	k.Range(lo, mid, int64(n), func(x *loop.Value) { body(x, n) })
	if m, ok := k.ConstInt(mid); ok {
		if h, ok := k.ConstInt(hi); ok && m == h {
			return
		}
	}
	k.Range(mid, hi, 1, func(x *loop.Value) { body(x, 1) })
}

// ceilLog2 is the number of halvings that bring n to 1.
func ceilLog2(n int64) int { return int(math.Ceil(math.Log2(float64(n)))) }
