package passes

import (
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/target"
)

// The layout pass turns 2-D convolutions of f32 and the ops around them to channel-blocked tensors:
// [N,C,H,W] becomes [N,ceil(C/16),H,W,16]. Convolutions always work blocked; pools, elementwise ops and
// concatenations do where that costs less than converting, by a greedy descent on the bytes that
// conversions move. Regions that hold no convolution stay plain.

// layoutOp is an op that has a blocked form.
type layoutOp struct {
	op      *ir.Op
	name    string // of the blocked form
	conv    bool
	data    []int    // operands read in blocked form
	attrs   ir.Attrs // if not nil, those of the blocked form, which has no operands but data
	blocked bool
}

// layouter decides and converts one region.
type layouter struct {
	s       *State
	r       *ir.Region
	ops     map[*ir.Op]*layoutOp
	users   map[*ir.Value][]*ir.Op
	escapes map[*ir.Value]bool // results of the region, values that nested regions read
	form    map[*ir.Value]*ir.Value
	out     []*ir.Op
	origin  ir.Origin

	inside     map[*ir.Op]bool // ops of the region
	moves      map[*ir.Op]bool // ops that move planes
	planes     map[*ir.Value]*planes
	planeList  []planeOf
	selections map[*ir.Value][]planeOf
	reads      map[*ir.Value][]reading
}

func layoutPass(s *State) error {
	if err := s.infer(); err != nil {
		return err
	}
	if err := layoutRegion(s, s.M.Graph); err != nil {
		return err
	}
	// Constants that were blocked become constants.
	return rewrite(s, foldRules)
}

func layoutRegion(s *State, r *ir.Region) error {
	for _, op := range r.Ops {
		if op.Name() == "Fused" {
			continue
		}
		for _, sub := range op.Regions {
			if err := layoutRegion(s, sub); err != nil {
				return err
			}
		}
	}
	l := &layouter{s: s, r: r, ops: map[*ir.Op]*layoutOp{}, users: map[*ir.Value][]*ir.Op{}, escapes: map[*ir.Value]bool{}, form: map[*ir.Value]*ir.Value{},
		inside: map[*ir.Op]bool{}, moves: map[*ir.Op]bool{}, planes: map[*ir.Value]*planes{}, selections: map[*ir.Value][]planeOf{}, reads: map[*ir.Value][]reading{}}
	found := false
	for _, op := range r.Ops {
		l.inside[op] = true
		for _, v := range op.Operands {
			if v != nil {
				l.users[v] = append(l.users[v], op)
			}
		}
		for _, sub := range op.Regions {
			for v := range sub.Uses() {
				l.escapes[v] = true
			}
		}
		if lo := blockable(op); lo != nil {
			l.ops[op] = lo
			found = found || lo.conv
		}
	}
	for _, v := range r.Results {
		l.escapes[v] = true
	}
	if !found {
		return nil
	}
	for _, op := range r.Ops {
		if movesPlanes[op.Name()] && op.Results[0] != nil {
			l.planesOf(op.Results[0])
		}
	}
	l.start()
	l.descend()
	return l.convert()
}

// channels gives the extent of dimension 1 of an f32 tensor of rank 4 where it is an integer.
func channels(v *ir.Value) (int64, bool) {
	if !isF32(v) || len(v.Type.Shape) != 4 || !v.Type.Shape[1].IsConst() {
		return 0, false
	}
	return v.Type.Shape[1].Value(), true
}

// blockedNames gives the blocked form of ops that read one tensor.
var blockedNames = map[string]string{
	"MaxPool": "BlockedMaxPool", "AveragePool": "BlockedAveragePool", "GlobalAveragePool": "BlockedGlobalAveragePool",
	"ChannelNorm": "BlockedChannelNorm",
}

// blockable describes the blocked form of op, nil when it has none.
func blockable(op *ir.Op) *layoutOp {
	if len(op.Results) != 1 || len(op.Regions) > 0 {
		return nil
	}
	c, ok := channels(op.Results[0])
	if !ok {
		return nil
	}
	name := op.Name()
	switch auto := op.Attrs.Str("auto_pad", "NOTSET"); {
	case auto == "SAME_UPPER" || auto == "SAME_LOWER": // of sizes that the run time decides
		return nil
	case name == "Conv":
		return blockableConv(op)
	case name == "Resize":
		return blockableResize(op)
	case blockedNames[name] != "":
		if _, ok := channels(op.Operands[0]); ok && (name != "ChannelNorm" || c%target.Block == 0) {
			return &layoutOp{op: op, name: blockedNames[name], data: []int{0}}
		}
	case name == "Concat":
		if a := op.Attrs.Int("axis", 0); a != 1 && a != -3 {
			return nil
		}
		lo := &layoutOp{op: op, name: name}
		for i, v := range op.Operands {
			// Lanes of padding may stand at the end alone.
			if c, ok := channels(v); !ok || c%target.Block != 0 && i != len(op.Operands)-1 {
				return nil
			}
			lo.data = append(lo.data, i)
		}
		return lo
	case op.Info.Has(ir.Elementwise):
		lo := &layoutOp{op: op, name: name}
		for i, v := range op.Operands {
			switch sideForm(v, c) {
			case formBlocked:
				lo.data = append(lo.data, i)
			case formNone:
				return nil
			}
		}
		if len(lo.data) > 0 {
			return lo
		}
	}
	return nil
}

// largeKernel is the size of a kernel that is worth taking the input out of blocks for.
const largeKernel = 9

func blockableConv(op *ir.Op) *layoutOp {
	in, ok := channels(op.Operands[0])
	w, static := ir.StaticShape(op.Operands[1].Type.Shape)
	if !ok || !static || len(w) != 4 || !isF32(op.Operands[1]) {
		return nil
	}
	g, out := op.Attrs.Int("group", 1), w[0]
	if s := op.Attrs.Ints("strides", []int64{1, 1}); out == 1 && s[1] <= 2 && w[2]*w[3] >= largeKernel {
		return nil // a block would be padding but for one lane; plain rows have full vectors
	}
	depthwise := g == in && g == out
	if g != 1 && !depthwise && (in/g%target.Block != 0 || out/g%target.Block != 0) {
		return nil
	}
	return &layoutOp{op: op, name: "BlockedConv", conv: true, data: []int{0}, blocked: true}
}

// The forms that an operand of a blocked elementwise op can take.
type operandForm int

const (
	formNone    operandForm = iota // none: the op stays plain
	formBlocked                    // a tensor with the result's channels
	formChannel                    // a constant per channel
	formPlane                      // [N,1,H,W]: one more dimension
	formAsIs                       // absent, or one element
)

func sideForm(v *ir.Value, c int64) operandForm {
	if v == nil {
		return formAsIs
	}
	if !isTensor(v) {
		return formNone
	}
	if ir.Product(v.Type.Shape).Is(1) && len(v.Type.Shape) <= 4 && c != 1 {
		return formAsIs
	}
	if d := ir.ConstOf(v); d != nil && isF32(v) && perChannelShape(d.Shape, c) {
		return formChannel
	}
	n, ok := channels(v)
	switch {
	case ok && n == c:
		return formBlocked
	case ok && n == 1:
		return formPlane
	case ir.Product(v.Type.Shape).Is(1) && len(v.Type.Shape) <= 4:
		return formAsIs
	}
	return formNone
}

// perChannelShape reports whether a shape, broadcast to rank 4, is c in dimension 1 and 1 elsewhere.
func perChannelShape(s []int64, c int64) bool {
	if len(s) < 3 || len(s) > 4 {
		return false
	}
	for i, d := range s {
		if i == len(s)-3 {
			if d != c {
				return false
			}
		} else if d != 1 {
			return false
		}
	}
	return true
}

// start marks blocked every op that is connected to a convolution through blockable ops.
func (l *layouter) start() {
	for changed := true; changed; {
		changed = false
		touch := func(op *ir.Op) {
			lo := l.ops[op]
			if lo == nil || lo.blocked {
				return
			}
			near := l.blockedDef(lo)
			for _, r := range l.readings(op.Results[0]) {
				near = near || r.op != nil && l.wantsBlocked(r.op, r.v)
			}
			if near {
				lo.blocked, changed = true, true
			}
		}
		for _, op := range l.r.Ops {
			touch(op)
		}
		for _, op := range slices.Backward(l.r.Ops) {
			touch(op)
		}
	}
}

// blockedDef reports whether an operand of lo comes from a blocked op.
func (l *layouter) blockedDef(lo *layoutOp) bool {
	return slices.ContainsFunc(lo.data, func(i int) bool { return l.hasBlocked(lo.op.Operands[i]) })
}

// hasBlocked reports whether v has a blocked form without a plain one.
func (l *layouter) hasBlocked(v *ir.Value) bool { return l.isBlocked(v) || l.selected(v) }

func (l *layouter) isBlocked(v *ir.Value) bool {
	return v.Def != nil && l.ops[v.Def] != nil && l.ops[v.Def].blocked
}

// plainInput is the number of channels up to which a convolution reads a plain tensor as it is: a
// block would be mostly padding.
const plainInput = 4

// readsPlain reports whether a blocked convolution reads its plain input directly.
func (l *layouter) readsPlain(lo *layoutOp) bool {
	x := lo.op.Operands[0]
	c, _ := channels(x)
	return lo.conv && c <= plainInput && lo.op.Attrs.Int("group", 1) == 1 && !l.hasBlocked(x)
}

// wantsBlocked reports whether op reads v in blocked form.
func (l *layouter) wantsBlocked(op *ir.Op, v *ir.Value) bool {
	lo := l.ops[op]
	if lo == nil || !lo.blocked || l.readsPlain(lo) {
		return false
	}
	return slices.ContainsFunc(lo.data, func(i int) bool { return op.Operands[i] == v })
}

// wantsPlain reports whether anything reads v, or what ops that move planes make of it, as it was.
func (l *layouter) wantsPlain(v *ir.Value) bool {
	return slices.ContainsFunc(l.readings(v), func(r reading) bool {
		lo := l.ops[r.op]
		if lo == nil || !lo.blocked || l.readsPlain(lo) || !l.hasBlocked(r.v) {
			return true
		}
		for i, w := range r.op.Operands { // read beside the data, as a plane
			if w == r.v && !slices.Contains(lo.data, i) {
				return true
			}
		}
		return false
	})
}

// symbolGuess stands for dimensions that are known only at run time.
const symbolGuess = 32

// elements estimates the elements of v, with channels padded to blocks where padded.
func elements(v *ir.Value, padded bool) float64 {
	n := 1.0
	for i, d := range v.Type.Shape {
		env := map[string]int64{}
		for _, s := range d.Symbols(nil) {
			env[s] = symbolGuess
		}
		x, ok := d.Eval(env)
		if !ok {
			x = symbolGuess
		}
		if i == 1 && padded {
			x = (x + target.Block - 1) / target.Block * target.Block
		}
		n *= float64(x)
	}
	return n
}

// cost is what conversions of v move.
func (l *layouter) cost(v *ir.Value) float64 {
	if _, ok := channels(v); !ok || ir.ConstOf(v) != nil {
		return 0
	}
	convert := l.isBlocked(v) && l.wantsPlain(v)
	if !l.isBlocked(v) {
		convert = slices.ContainsFunc(l.users[v], func(u *ir.Op) bool { return l.wantsBlocked(u, v) })
	}
	if !convert {
		return 0
	}
	return elements(v, false) + elements(v, true)
}

// around is the cost that depends on lo's choice.
func (l *layouter) around(lo *layoutOp) float64 {
	sum := 0.0
	seen := map[*ir.Value]bool{}
	add := func(v *ir.Value) {
		if !seen[v] {
			seen[v] = true
			sum += l.cost(v)
		}
	}
	add(lo.op.Results[0])
	for _, r := range l.readings(lo.op.Results[0]) {
		add(r.v)
	}
	for _, i := range lo.data {
		add(lo.op.Operands[i])
		for _, p := range l.selection(lo.op.Operands[i]) {
			add(p.root)
		}
	}
	if lo.blocked {
		v := lo.op.Results[0]
		sum += elements(v, true) - elements(v, false)
	}
	return sum
}

// descend flips single choices while that lowers the cost. On equal cost an op goes with what produces
// its operands, whose epilogue it then can be.
func (l *layouter) descend() {
	for range 16 {
		changed := false
		for _, op := range l.r.Ops {
			lo := l.ops[op]
			if lo == nil || lo.conv {
				continue
			}
			was := lo.blocked
			before := l.around(lo)
			lo.blocked = !was
			after := l.around(lo)
			if after < before || after == before && l.blockedDef(lo) == !was {
				changed = true
			} else {
				lo.blocked = was
			}
		}
		if !changed {
			return
		}
	}
}
