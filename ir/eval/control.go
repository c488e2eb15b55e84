package eval

import (
	"fmt"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// controls run the ops that have regions.
var controls map[string]func(r *runner, op *ir.Op, s *scope, in []hostop.Value) ([]hostop.Value, error)

func init() { // not a composite literal: the functions reach the table again
	controls = map[string]func(r *runner, op *ir.Op, s *scope, in []hostop.Value) ([]hostop.Value, error){
		"If": (*runner).runIf, "Loop": (*runner).runLoop, "Scan": (*runner).runScan,
		"Fused": (*runner).runFused, "SequenceMap": (*runner).runSequenceMap,
	}
}

func truth(v hostop.Value, what string) (bool, error) {
	t, _ := v.(*tensor.Tensor)
	if t == nil || t.DType != tensor.Bool || t.Len() != 1 {
		return false, fmt.Errorf("%s must be one bool", what)
	}
	return t.Data[0] != 0, nil
}

func (r *runner) runIf(op *ir.Op, s *scope, in []hostop.Value) ([]hostop.Value, error) {
	cond, err := truth(in[0], "the condition")
	if err != nil {
		return nil, err
	}
	if cond {
		return r.region(op.Regions[0], s, nil)
	}
	return r.region(op.Regions[1], s, nil)
}

func (r *runner) runFused(op *ir.Op, s *scope, in []hostop.Value) ([]hostop.Value, error) {
	return r.region(op.Regions[0], s, in)
}

// runLoop repeats the region while the condition holds, at most M times; without either, for ever,
// which is an error here.
func (r *runner) runLoop(op *ir.Op, s *scope, in []hostop.Value) ([]hostop.Value, error) {
	limit, bounded, cond := int64(0), false, true
	if m, _ := operand(in, 0).(*tensor.Tensor); m != nil {
		v, ok := int64(0), false
		if m.Len() == 1 {
			v, ok = m.IntAt(0)
		}
		if !ok {
			return nil, fmt.Errorf("the trip count M must be one integer, got %s", m.TypeString())
		}
		limit, bounded = v, true
	}
	hasCond := !isNil(operand(in, 1))
	if hasCond {
		var err error
		if cond, err = truth(in[1], "cond"); err != nil {
			return nil, err
		}
	}
	body := op.Regions[0]
	carried := slices.Clone(in[min(2, len(in)):])
	if len(body.Params) != 2+len(carried) || len(body.Results) < 1+len(carried) {
		return nil, fmt.Errorf("the body has %d parameters and %d results for %d carried values", len(body.Params), len(body.Results), len(carried))
	}
	n := len(carried)
	scans := make([][]hostop.Value, len(body.Results)-1-n)
	for i := int64(0); cond && (!bounded || i < limit); i++ {
		c := byte(0)
		if cond {
			c = 1
		}
		params := append([]hostop.Value{tensor.Of([]int64{i}), boolScalar(c)}, carried...)
		out, err := r.region(body, s, params)
		if err != nil {
			return nil, err
		}
		next, err := truth(out[0], "the condition that the body gives")
		if err != nil {
			return nil, err
		}
		if !bounded && !hasCond && i >= 1<<32 {
			return nil, fmt.Errorf("the loop has no bound")
		}
		cond = next
		carried = slices.Clone(out[1 : 1+n])
		for k := range scans {
			scans[k] = append(scans[k], out[1+n+k])
		}
	}
	for k, sc := range scans {
		t, err := r.stack(sc, 0, false, body.Results[1+n+k].Type)
		if err != nil {
			return nil, err
		}
		carried = append(carried, t)
	}
	return carried, nil
}

func boolScalar(b byte) *tensor.Tensor {
	t := tensor.New(tensor.Bool)
	t.Data[0] = b
	return t
}

func operand(in []hostop.Value, i int) hostop.Value {
	if i < len(in) {
		return in[i]
	}
	return nil
}

// stack joins tensors along a new axis; of none it makes an empty tensor of the type's shape, in which
// dimensions that are not known become 0.
func (r *runner) stack(vals []hostop.Value, axis int64, back bool, typ ir.Type) (hostop.Value, error) {
	if len(vals) == 0 && typ.DType == tensor.Invalid {
		return nil, fmt.Errorf("no iteration, and the type %v does not tell the scan output's", typ)
	}
	shape := make([]int64, len(typ.Shape))
	for i, d := range typ.Shape {
		shape[i], _ = d.Eval(r.dims)
	}
	c := &hostop.Call{In: []hostop.Value{hostop.Seq(vals)}, Attrs: hostop.Attrs{"axis": axis, "dtype": typ.DType, "shape": shape, "back": int64(0)}, NumOut: 1}
	if back {
		c.Attrs["back"] = int64(1)
	}
	if err := hostop.Stack(c); err != nil {
		return nil, err
	}
	return c.Out[0], nil
}

// runScan runs the region over slices of its inputs.
func (r *runner) runScan(op *ir.Op, s *scope, in []hostop.Value) ([]hostop.Value, error) {
	n := int(op.Attrs.Int("num_scan_inputs", 0))
	body := op.Regions[0]
	if n < 1 || n > len(in) || len(body.Params) != len(in) {
		return nil, fmt.Errorf("num_scan_inputs is %d for %d inputs and %d parameters", n, len(in), len(body.Params))
	}
	state := slices.Clone(in[:len(in)-n])
	if len(body.Results) < len(state) {
		return nil, fmt.Errorf("the body has %d results for %d states", len(body.Results), len(state))
	}
	slicesOf, count, err := scanInputs(op, in[len(state):])
	if err != nil {
		return nil, err
	}
	nout := len(body.Results) - len(state)
	outs := make([][]hostop.Value, nout)
	for i := range count {
		params := slices.Clone(state)
		for _, sl := range slicesOf {
			params = append(params, sl[i])
		}
		out, err := r.region(body, s, params)
		if err != nil {
			return nil, err
		}
		state = slices.Clone(out[:len(state)])
		for k := range outs {
			outs[k] = append(outs[k], out[len(state)+k])
		}
	}
	axes, dirs := op.Attrs.Ints("scan_output_axes", nil), op.Attrs.Ints("scan_output_directions", nil)
	res := state
	for k, o := range outs {
		t, err := r.stack(o, at(axes, k), at(dirs, k) != 0, body.Results[len(state)+k].Type)
		if err != nil {
			return nil, err
		}
		res = append(res, t)
	}
	return res, nil
}

func at(v []int64, i int) int64 {
	if i < len(v) {
		return v[i]
	}
	return 0
}

// scanInputs cuts each input into its slices, in the order of iteration.
func scanInputs(op *ir.Op, in []hostop.Value) (out [][]hostop.Value, count int, err error) {
	axes, dirs := op.Attrs.Ints("scan_input_axes", nil), op.Attrs.Ints("scan_input_directions", nil)
	for k, v := range in {
		c := &hostop.Call{In: []hostop.Value{v}, Attrs: hostop.Attrs{"axis": at(axes, k), "keepdims": int64(0)}, NumOut: 1}
		if err := hostop.SplitToSequence(c); err != nil {
			return nil, 0, err
		}
		seq := []hostop.Value(c.Out[0].(hostop.Seq))
		if at(dirs, k) == 1 {
			slices.Reverse(seq)
		}
		if k > 0 && len(seq) != count {
			return nil, 0, fmt.Errorf("scan inputs of different length: %d and %d", count, len(seq))
		}
		count = len(seq)
		out = append(out, seq)
	}
	return out, count, nil
}

// runSequenceMap runs the region on each element of its first operand, with the elements at the same
// place of those further operands that are sequences.
func (r *runner) runSequenceMap(op *ir.Op, s *scope, in []hostop.Value) ([]hostop.Value, error) {
	first, ok := in[0].(hostop.Seq)
	if !ok {
		return nil, fmt.Errorf("a sequence wanted, got %T", in[0])
	}
	outs := make([]hostop.Seq, len(op.Regions[0].Results))
	for i := range first {
		var params []hostop.Value
		for _, v := range in {
			if seq, ok := v.(hostop.Seq); ok {
				if len(seq) < len(first) {
					return nil, fmt.Errorf("sequences of %d and %d elements", len(first), len(seq))
				}
				v = seq[i]
			}
			params = append(params, v)
		}
		out, err := r.region(op.Regions[0], s, params)
		if err != nil {
			return nil, err
		}
		for k := range outs {
			outs[k] = append(outs[k], out[k])
		}
	}
	res := make([]hostop.Value, len(outs))
	for k, o := range outs {
		if o == nil {
			o = hostop.Seq{}
		}
		res[k] = o
	}
	return res, nil
}
