// Package lower turns the tensor IR into a program: kernels in ir/loop, one build of each per target
// level, and the plan that runs them.
//
// Each op, or Fused group, has a row in the rules table (rules.go): a function that emits steps. An
// op without a row, or whose rule declines (errDecline), becomes a step that calls its host function;
// `nnc build` lists those. Views (Reshape, Squeeze, ...) cost nothing: the result shares the
// operand's buffer. Sizes are slots of the plan: constants, or integer programs over the input
// shapes; kernels take those they need as arguments and are specialised on the constant ones.
package lower

import (
	"errors"
	"fmt"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/runtime/arena"
	"github.com/nnc-go/nnc/runtime/plan"
	"github.com/nnc-go/nnc/target"
)

// Options steer lowering.
type Options struct {
	// HasHost reports whether a host function exists for an op.
	HasHost func(op string) bool
	// Strict keeps reductions in the order of their elements.
	Strict bool
	// Choose makes the choices that come up, nil as the cost models do.
	Choose func(c Choice) int
}

// Program is a lowered module.
type Program struct {
	Plan    *plan.Plan
	Levels  []*target.Level
	Kernels [][]*loop.Func // [level][kernel]
	Weights *Weights
	// HostSteps names the ops that run as host functions, with their nodes.
	HostSteps []string
	// Asked are the choices that came up, if there is Options.Choose.
	Asked []Asked
}

// errDecline is what a rule returns when it cannot compile an op in this configuration.
var errDecline = errors.New("not compiled")

// Ctx is the state of lowering one module.
type Ctx struct {
	M      *ir.Module
	Target *target.Target
	Opts   Options

	rules   map[string]rule
	infer   *ir.InferCtx      // what is known of integer tensors
	needed  map[*ir.Op]bool   // ops that results depend on
	binder  map[string]*ir.Op // the op that brings a symbol
	p       *plan.Plan
	prog    *Program
	weights *Weights

	slots   map[string]int32 // Dim.String() -> slot
	defs    map[plan.SlotDef]int32
	bound   map[int32]bool // slots that are, or derive from, SlotBound
	storage map[*ir.Value]storage
	places  map[int32]spot          // of buffers that are parts of others or have parts
	alias   map[*ir.Value]*ir.Value // region parameter -> the value it stands for
	kernels map[string]int32        // text of all levels -> kernel
	names   map[string]int          // kernel name -> times used
	scratch int
	lazy    []*ir.Value // values that a step computes where they were first asked for

	winograd map[*ir.Op]*cookToom // convolutions that are done so

	// For in-place results: the last graph op that reads a value, the graph op that is being lowered, and
	// how many regions deep it is.
	last       map[*ir.Value]int
	now, depth int

	missing []string // ops that have neither a rule nor a host function
	// fallback: the host step being emitted is not to be counted as one.
	fallback bool
	// unequal is the error of dimensions that had to be equal and certainly are not, see checkEqual.
	unequal error
}

// storage is where a value lives: a plan buffer, or a box for values that are not numeric tensors.
type storage struct{ buf, box int32 }

// Lower compiles m for t. Weights are written to w as they are packed.
func Lower(m *ir.Module, t *target.Target, w *Weights, opts Options) (*Program, error) {
	c := &Ctx{
		M: m, Target: t, Opts: opts, weights: w,
		p:     &plan.Plan{Name: m.Name},
		rules: allRules(),
		prog:  &Program{Levels: t.Levels, Kernels: make([][]*loop.Func, len(t.Levels)), Weights: w},
		slots: map[string]int32{}, defs: map[plan.SlotDef]int32{}, bound: map[int32]bool{}, storage: map[*ir.Value]storage{}, places: map[int32]spot{},
		alias: map[*ir.Value]*ir.Value{}, needed: map[*ir.Op]bool{}, kernels: map[string]int32{}, names: map[string]int{},
	}
	c.prog.Plan = c.p
	var err error
	if c.infer, _, err = ir.InferAll(m); err != nil {
		return nil, err
	}
	c.binder = c.binders()
	for _, v := range m.Graph.Results {
		c.need(v)
	}
	c.lifetimes()
	c.chooseWinograd()
	if err := c.inputs(); err != nil {
		return nil, err
	}
	if err := c.outputs(); err != nil {
		return nil, err
	}
	c.concatParts()
	if err := c.stringConsts(m.Graph); err != nil {
		return nil, err
	}
	err = c.region(m.Graph)
	if missing := c.missingError(); missing != nil {
		return nil, missing
	}
	if err != nil {
		return nil, err
	}
	if err := c.results(); err != nil {
		return nil, err
	}
	c.finish()
	return c.prog, nil
}

func (c *Ctx) inputs() error {
	for i, v := range c.M.Graph.Params {
		io := plan.IO{Name: c.M.Inputs[i], DType: v.Type.DType, Default: -1}
		if boxed(v.Type) {
			if err := c.boxInput(&io, v, int32(i)); err != nil {
				return err
			}
			c.p.Inputs = append(c.p.Inputs, io)
			continue
		}
		for j, d := range v.Type.Shape {
			slot := c.inputSlot(d, int32(i), int32(j))
			io.Shape = append(io.Shape, slot)
			io.Dims = append(io.Dims, d.String())
		}
		if d := c.M.Defaults[c.M.Inputs[i]]; d != nil {
			off, err := c.weights.Raw(d)
			if err != nil {
				return fmt.Errorf("default of input %q: %w", io.Name, err)
			}
			io.Default = c.addBuf(plan.Buf{Kind: plan.BufWeight, Offset: off, Bytes: c.slot(bytesOf(v)), Name: io.Name})
		}
		c.p.Inputs = append(c.p.Inputs, io)
		c.storage[v] = storage{c.addBuf(plan.Buf{Kind: plan.BufInput, Index: int32(i), Bytes: c.slot(bytesOf(v)), Name: io.Name}), -1}
	}
	return nil
}

// inputSlot gives the slot of dimension j of input i: the first input dimension that is just a symbol binds it.
func (c *Ctx) inputSlot(d ir.Dim, i, j int32) int32 {
	if name := d.SymName(); name != "" {
		if s, ok := c.slots[name]; ok {
			return s
		}
		s := c.addSlot(plan.SlotDef{Op: plan.SlotInput, A: i, B: j})
		c.slots[name] = s
		return s
	}
	return c.slot(d)
}

// bytesOf is the size of a tensor value in bytes.
func bytesOf(v *ir.Value) ir.Dim {
	n := ir.Product(v.Type.Shape)
	if s := int64(v.Type.DType.Size()); s > 0 {
		return n.MulInt(s)
	}
	return n.MulInt(int64(v.Type.DType.Bits())).CeilDiv(8)
}

func (c *Ctx) addBuf(b plan.Buf) int32 {
	b.First, b.Last = -1, -1
	c.p.Bufs = append(c.p.Bufs, b)
	return int32(len(c.p.Bufs) - 1)
}

// outputs gives each result that a single op of the graph defines the caller's buffer to live in.
func (c *Ctx) outputs() error {
	seen := map[*ir.Value]bool{}
	for i, v := range c.M.Graph.Results {
		if boxed(v.Type) {
			c.p.Outputs = append(c.p.Outputs, boxedIO(c.M.Outputs[i], v.Type))
			continue
		}
		io := plan.IO{Name: c.M.Outputs[i], DType: v.Type.DType, Default: -1}
		for _, d := range v.Type.Shape {
			io.Dims = append(io.Dims, d.String())
		}
		c.p.Outputs = append(c.p.Outputs, io)
		root := viewRoot(v)
		if root.Def == nil || ir.ConstOf(root) != nil || c.known(root) || seen[root] || !definedIn(c.M.Graph, root) {
			continue // copied by results
		}
		seen[root] = true
		c.storage[root] = storage{c.addBuf(plan.Buf{Kind: plan.BufOutput, Index: int32(i), Name: io.Name}), -1}
	}
	return nil
}

func definedIn(r *ir.Region, v *ir.Value) bool { return slices.Contains(r.Ops, v.Def) }

// viewRoot follows views to the value whose buffer they share.
func viewRoot(v *ir.Value) *ir.Value {
	for v.Def != nil && isView(v.Def) {
		v = v.Def.Operands[0]
	}
	return v
}

// isView reports whether op's result shares its operand's buffer.
func isView(op *ir.Op) bool {
	return op.Info.Has(ir.View) && !touchesBox(op) && ir.ConstOf(op.Operands[0]) == nil && viewKnown(op)
}

// viewKnown reports whether the result's dimensions follow from the operand's, so that no step is needed to learn them.
func viewKnown(op *ir.Op) bool {
	var in []string
	for _, d := range op.Operands[0].Type.Shape {
		in = d.Symbols(in)
	}
	return bytesOf(op.Operands[0]).Equal(bytesOf(op.Results[0]))
}

// results copies those graph results that could not be computed in place, and types the outputs.
func (c *Ctx) results() error {
	for i, v := range c.M.Graph.Results {
		st, err := c.at(v)
		if err != nil {
			return fmt.Errorf("output %q: %w", c.M.Outputs[i], err)
		}
		if boxed(v.Type) {
			c.p.Outputs[i].Box = st.box
			for _, d := range v.Type.Shape {
				c.p.Outputs[i].Shape = append(c.p.Outputs[i].Shape, c.slot(d))
			}
			continue
		}
		buf := &c.p.Bufs[st.buf]
		if buf.Kind != plan.BufOutput || buf.Index != int32(i) {
			out := c.M.NewValue(c.M.Outputs[i], v.Type)
			c.storage[out] = storage{c.addBuf(plan.Buf{Kind: plan.BufOutput, Index: int32(i), Name: c.M.Outputs[i], Bytes: c.slot(bytesOf(v))}), -1}
			if err := c.copy(copyOf(c.M, v), v, out); err != nil {
				return err
			}
		} else {
			buf.Bytes = c.slot(bytesOf(v))
		}
		for _, d := range v.Type.Shape {
			c.p.Outputs[i].Shape = append(c.p.Outputs[i].Shape, c.slot(d))
		}
	}
	return nil
}

// region lowers the ops of r in order.
func (c *Ctx) region(r *ir.Region) error {
	c.depth++
	defer func() { c.depth-- }()
	for i, op := range r.Ops {
		if c.depth == 1 {
			c.now = i
		}
		if err := c.op(op); err != nil {
			return err
		}
	}
	return nil
}

func (c *Ctx) op(op *ir.Op) error {
	if op.Info.Name == "Const" || !c.needed[op] {
		return nil // a constant is placed where it is used
	}
	if isView(op) {
		return nil
	}
	c.relations(op)
	if rule := c.rules[op.Info.Name]; rule != nil && (len(op.Regions) > 0 || !touchesBox(op)) && (len(op.Regions) > 0 || bindsSizes[op.Info.Name] || c.sizesKnown(op)) {
		if bindsSizes[op.Info.Name] {
			rule = binding(rule)
		}
		mark := c.mark()
		err := rule(c, op)
		c.answered(mark.asked, mark.steps)
		if err == nil {
			err = c.unequal
		}
		if !errors.Is(err, errDecline) {
			return err
		}
		c.reset(mark)
	}
	return c.host(op)
}

func (c *Ctx) addStep(s plan.Step) { c.p.Steps = append(c.p.Steps, s) }

// mark is a state of lowering to which reset goes back.
type mark struct{ steps, lazy, asked int }

// mark and reset undo the steps of a rule that declined half way.
func (c *Ctx) mark() mark { return mark{len(c.p.Steps), len(c.lazy), len(c.prog.Asked)} }

func (c *Ctx) reset(m mark) {
	c.p.Steps, c.prog.Asked = c.p.Steps[:m.steps], c.prog.Asked[:m.asked]
	c.unequal = nil
	c.forget(m.lazy)
}

// forget lets those values be computed anew that were, where they were asked for, after the first n:
// steps that may be jumped over have computed them.
func (c *Ctx) forget(n int) {
	for _, v := range c.lazy[n:] {
		delete(c.storage, v)
	}
	c.lazy = c.lazy[:n]
}

// either tries a rule that is fast on what it covers, and then one that covers more.
func (c *Ctx) either(fast, general func() error) error {
	mark := c.mark()
	err := fast()
	if errors.Is(err, errDecline) {
		c.reset(mark)
		return general()
	}
	return err
}

// at gives the storage of a value that has been computed, materialising constants.
func (c *Ctx) at(v *ir.Value) (storage, error) {
	v = c.resolve(v)
	if st, ok := c.storage[v]; ok {
		return st, nil
	}
	if d := ir.ConstOf(v); d != nil {
		off, err := c.weights.Raw(d)
		if err != nil {
			return storage{}, fmt.Errorf("constant %q: %w", v.Name, err)
		}
		st := storage{c.addBuf(plan.Buf{Kind: plan.BufWeight, Offset: off, Bytes: c.slot(bytesOf(v)), Name: v.Name}), -1}
		c.storage[v] = st
		return st, nil
	}
	if e, ok := c.elems(v); ok {
		return c.materialise(v, e)
	}
	if v.Def != nil && isView(v.Def) {
		st, err := c.at(v.Def.Operands[0])
		if err == nil {
			c.storage[v] = st
		}
		return st, err
	}
	return storage{}, fmt.Errorf("value %q is used before it is computed", v.Name)
}

// resolve follows region parameters to the value they stand for.
func (c *Ctx) resolve(v *ir.Value) *ir.Value {
	for w, ok := c.alias[v]; ok; w, ok = c.alias[v] {
		v = w
	}
	return v
}

// constOf is ir.ConstOf through region parameters.
func (c *Ctx) constOf(v *ir.Value) *ir.Data {
	if v == nil {
		return nil
	}
	return ir.ConstOf(c.resolve(v))
}

// define gives a result storage of its own (or the output buffer reserved for it).
func (c *Ctx) define(v *ir.Value) (storage, error) {
	if st, ok := c.storage[v]; ok {
		return st, nil
	}
	st := storage{-1, -1}
	if boxed(v.Type) {
		st.box = c.newBox()
	} else {
		st.buf = c.newBuf(bytesOf(v), v.Name)
	}
	c.storage[v] = st
	return st, nil
}

// newBuf makes an arena or heap buffer, by whether its size is known once the input shapes are.
func (c *Ctx) newBuf(bytes ir.Dim, name string) int32 {
	s := c.slot(bytes)
	kind := plan.BufArena
	if c.bound[s] {
		kind = plan.BufHeap
	}
	return c.addBuf(plan.Buf{Kind: kind, Bytes: s, Name: name})
}

// Scratch makes a temporary tensor for the steps of one op.
func (c *Ctx) Scratch(t ir.Type) *ir.Value {
	c.scratch++
	v := c.M.NewValue(fmt.Sprintf("scratch%d", c.scratch), t)
	c.storage[v] = storage{c.newBuf(bytesOf(v), v.Name), -1}
	return v
}

// finish computes live ranges and, where all sizes are constant, the arena.
func (c *Ctx) finish() {
	p := c.p
	touch := func(buf int32, step int) {
		if buf < 0 {
			return
		}
		b := &p.Bufs[buf]
		if b.Kind == plan.BufPart {
			buf = b.Index // which is no part
			b.Last = int32(step)
			if b.First < 0 {
				b.First = int32(step)
			}
			b = &p.Bufs[buf]
		}
		if b.First < 0 {
			b.First = int32(step)
		}
		b.Last = max(b.Last, int32(step))
	}
	for i := range p.Steps {
		s := &p.Steps[i]
		for _, a := range s.Args {
			if a.Kind == plan.ArgBuf {
				touch(a.N, i)
			}
		}
		for _, t := range slices.Concat(s.In, s.Out) {
			touch(t.Buf, i)
		}
	}
	c.extendLoops()
	p.WeightsSize = c.weights.Size()
	p.ArenaSize = 0
	var iv []arena.Interval
	var idx []int
	for i, b := range p.Bufs {
		if b.Kind != plan.BufArena || b.First < 0 {
			continue
		}
		if p.Slots[b.Bytes].Op != plan.SlotConst {
			p.ArenaSize = -1
			return
		}
		iv = append(iv, arena.Interval{Bytes: p.Slots[b.Bytes].Imm, First: b.First, Last: b.Last})
		idx = append(idx, i)
	}
	offs, total := arena.Layout(iv)
	for k, i := range idx {
		p.Bufs[i].Offset = offs[k]
	}
	for i := range p.Bufs {
		if b := &p.Bufs[i]; b.Kind == plan.BufPart {
			b.Offset = p.Bufs[b.Index].Offset + p.Slots[b.Start].Imm
		}
	}
	p.ArenaSize = total
}

// extendLoops keeps the buffers that a loop touches alive for the whole loop. Those of the arena that are
// written and used up within an iteration need not be: an iteration writes them before it reads them.
// Heap buffers stay, which spares allocating them in each iteration.
func (c *Ctx) extendLoops() {
	for end := range c.p.Steps {
		s := &c.p.Steps[end]
		if s.Kind != plan.StepJump || int(s.A) > end {
			continue
		}
		for i := range c.p.Bufs {
			b := &c.p.Bufs[i]
			inside := b.First >= s.A && b.Last < int32(end)
			if b.First <= int32(end) && b.Last >= s.A && b.First >= 0 && !(inside && b.Kind == plan.BufArena) {
				b.First, b.Last = min(b.First, s.A), max(b.Last, int32(end))
			}
		}
	}
}
