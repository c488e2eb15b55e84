package passes

import (
	"maps"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/target"
)

// convert rebuilds the region as decided. A value that stays wanted in plain form is the result of an
// Unblock after its op, so that users outside the decision do not change.
func (l *layouter) convert() error {
	for _, op := range l.r.Ops {
		lo := l.ops[op]
		if l.moves[op] && !slices.ContainsFunc(op.Results, l.wantsPlain) {
			continue
		}
		if lo == nil || !lo.blocked {
			l.out = append(l.out, op)
			continue
		}
		l.origin = op.Origin
		attrs := maps.Clone(op.Attrs)
		if lo.attrs != nil {
			attrs = lo.attrs
		} else if attrs == nil {
			attrs = ir.Attrs{}
		}
		v := op.Results[0]
		c, _ := channels(v)
		args, err := l.operands(lo, c, attrs)
		if err != nil {
			return err
		}
		nv, err := l.emit(lo.name, attrs, args...)
		if err != nil {
			return err
		}
		nv.Name = v.Name
		l.form[v] = nv
		l.s.hit("layout-" + op.Name())
		if l.wantsPlain(v) {
			un := l.s.M.NewOp("Unblock", []*ir.Value{nv}, 0, ir.Attrs{"channels": c}, op.Origin)
			un.Results = []*ir.Value{v}
			v.Def, v.Index = un, 0
			l.out = append(l.out, un)
			l.s.hit("layout-unblock")
		}
	}
	l.r.Ops = l.out
	return nil
}

// operands gives the operands of lo's blocked form and completes its attributes; c is the number of the
// result's channels.
func (l *layouter) operands(lo *layoutOp, c int64, attrs ir.Attrs) ([]*ir.Value, error) {
	op := lo.op
	args := slices.Clone(op.Operands)
	if lo.attrs != nil {
		x, err := l.blockedForm(args[0])
		return []*ir.Value{x}, err
	}
	if lo.name != op.Name() { // an op that knows of channels
		attrs["channels"], _ = channels(op.Operands[0])
		if l.readsPlainNow(lo) {
			attrs["plain_input"] = int64(1)
			return args, nil
		}
	}
	if op.Name() == "Concat" {
		attrs["axis"] = int64(1)
	}
	for i, v := range args {
		var err error
		switch {
		case slices.Contains(lo.data, i):
			args[i], err = l.blockedForm(v)
		case lo.name != op.Name() || op.Name() == "Concat":
		default:
			args[i], err = l.side(v, c)
		}
		if err != nil {
			return nil, err
		}
	}
	return args, nil
}

// readsPlainNow is readsPlain during conversion, when a blocked operand has a form already.
func (l *layouter) readsPlainNow(lo *layoutOp) bool {
	return l.form[lo.op.Operands[0]] == nil && l.readsPlain(lo)
}

// blockedForm gives v blocked, converting it once.
func (l *layouter) blockedForm(v *ir.Value) (*ir.Value, error) {
	if f := l.form[v]; f != nil {
		return f, nil
	}
	name := "layout-block"
	convert := func() (*ir.Value, error) { return l.emit("Block", nil, v) }
	if l.selected(v) {
		name, convert = "layout-select", func() (*ir.Value, error) { return l.emitSelect(v) }
	}
	f, err := convert()
	if err != nil {
		return nil, err
	}
	f.Name = v.Name
	l.form[v] = f
	l.s.hit(name)
	return f, nil
}

// side gives an operand of an elementwise op that is not blocked data.
func (l *layouter) side(v *ir.Value, c int64) (*ir.Value, error) {
	switch sideForm(v, c) {
	case formChannel:
		d := ir.ConstOf(v)
		x := f32s(d)
		blocks := (c + target.Block - 1) / target.Block
		t := tensor.New(tensor.F32, 1, blocks, 1, 1, target.Block)
		copy(tensor.View[float32](t), x)
		return l.constant(ir.DataOf(t)), nil
	case formPlane:
		return l.emit("Unsqueeze", nil, v, l.constant(intData([]int64{4})))
	}
	return v, nil
}

func (l *layouter) constant(d *ir.Data) *ir.Value {
	op := l.s.M.NewConst("", d)
	op.Origin = l.origin
	l.out = append(l.out, op)
	return op.Results[0]
}

func (l *layouter) emit(name string, attrs ir.Attrs, args ...*ir.Value) (*ir.Value, error) {
	op := l.s.M.NewOp(name, args, 1, attrs, l.origin)
	if err := op.Info.Infer(l.s.Inf, op); err != nil {
		return nil, op.Errorf("the blocked form has no type: %w", err)
	}
	l.out = append(l.out, op)
	return op.Results[0], nil
}
