package passes

import (
	"maps"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// narrowPass lets products with constant weights multiply bf16, where processors do that faster and -math=fast
// allows it: weights are rounded once, the operand in memory, and sums stay f32. A tensor that
// otherwise feeds only elementwise ops is kept as bf16 alone, so that what computes it writes half the
// bytes; what else it feeds reads it in f32, as before.
func narrowPass(s *State) error {
	if s.Opts.Narrow == nil {
		return nil
	}
	if err := s.infer(); err != nil {
		return err
	}
	narrowRegion(s, s.M.Graph)
	return s.infer()
}

// narrower works on one region.
type narrower struct {
	s       *State
	product map[*ir.Op]bool // those that will multiply bf16
	form    map[*ir.Value]*ir.Value
	weights map[*ir.Data]*ir.Data
	out     []*ir.Op
}

func narrowRegion(s *State, r *ir.Region) {
	n := &narrower{s: s, product: map[*ir.Op]bool{}, form: map[*ir.Value]*ir.Value{}, weights: map[*ir.Data]*ir.Data{}}
	for _, op := range r.Ops {
		for _, sub := range op.Regions {
			narrowRegion(s, sub)
		}
		n.product[op] = s.Opts.Narrow(op, true)
	}
	alone := n.keptAlone(r)
	for _, op := range r.Ops {
		n.product[op] = n.product[op] && s.Opts.Narrow(op, alone[op.Operands[0]])
	}
	alone = n.keptAlone(r)
	for _, op := range r.Ops {
		switch {
		case n.product[op]:
			n.narrow(op)
		case fusable(op):
			for i, v := range op.Operands {
				if alone[v] {
					op.Operands[i] = n.emit("Cast", ir.Attrs{"to": tensor.F32}, op.Origin, n.rounded(v, op.Origin))
				}
			}
		}
		n.out = append(n.out, op)
	}
	r.Ops = n.out
}

// keptAlone gives the values that are kept as bf16 alone: each is the data of a product, comes from an op
// that can round it as it writes it, and otherwise feeds only elementwise ops.
func (n *narrower) keptAlone(r *ir.Region) map[*ir.Value]bool {
	here := map[*ir.Op]bool{}
	for _, op := range r.Ops {
		here[op] = true
	}
	alone := map[*ir.Value]bool{}
	for v, users := range usersOf(r) {
		def := v.Def
		if def == nil || !here[def] || !isF32(v) || !fusable(def) && !isAnchor(def) || slices.Contains(r.Results, v) {
			continue
		}
		feeds := func(u *ir.Op) bool {
			return here[u] && (fusable(u) || n.product[u] && !slices.Contains(u.Operands[1:], v))
		}
		data := slices.ContainsFunc(users, func(u *ir.Op) bool { return n.product[u] })
		alone[v] = data && !slices.ContainsFunc(users, func(u *ir.Op) bool { return !feeds(u) })
	}
	return alone
}

func (n *narrower) emit(name string, attrs ir.Attrs, at ir.Origin, args ...*ir.Value) *ir.Value {
	op := n.s.M.NewOp(name, args, 1, attrs, at)
	n.out = append(n.out, op)
	return op.Results[0]
}

// rounded is v in bf16.
func (n *narrower) rounded(v *ir.Value, at ir.Origin) *ir.Value {
	if n.form[v] == nil {
		n.form[v] = n.emit("Cast", ir.Attrs{"to": tensor.BF16}, at, v)
	}
	return n.form[v]
}

// narrow makes op multiply bf16.
func (n *narrower) narrow(op *ir.Op) {
	d := ir.ConstOf(op.Operands[1])
	if n.weights[d] == nil {
		n.weights[d] = roundedData(d)
	}
	w := n.s.M.NewConst(op.Operands[1].Name, n.weights[d])
	w.Origin = op.Origin
	n.out = append(n.out, w)
	x := n.rounded(op.Operands[0], op.Origin)
	op.Operands = append([]*ir.Value{x, w.Results[0]}, op.Operands[2:]...)
	attrs := ir.Attrs{"to": tensor.F32}
	maps.Copy(attrs, op.Attrs)
	op.Attrs = attrs
	n.s.hit("narrow-product")
}

// roundedData is d in bf16, rounded when it is read.
func roundedData(d *ir.Data) *ir.Data {
	return &ir.Data{DType: tensor.BF16, Shape: d.Shape, Name: d.Name, Load: func() ([]byte, error) {
		t, err := d.Tensor()
		if err != nil {
			return nil, err
		}
		out := make([]uint16, t.Len())
		for i, x := range tensor.View[float32](t) {
			out[i] = tensor.F32ToBF16(x)
		}
		return tensor.AsBytes(out), nil
	}}
}
