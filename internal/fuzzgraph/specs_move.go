package main

import (
	"math"
	"slices"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// moveSpecs are the operators that move elements.
var moveSpecs = slices.Concat(
	[]spec{
		{op: "Transpose", types: "all", make: transpose},
		{op: "Reshape", types: "all", make: reshape},
		{op: "Flatten", types: "all", make: func(r *gen, s *spec) *call {
			x := r.pick(s.types, nil)
			if x == nil {
				return nil
			}
			return &call{in: names(x), attrs: attrs{"axis": r.IntN(len(x.t.Shape) + 1)}}
		}},
		{op: "Squeeze", types: "all", make: squeeze},
		{op: "Unsqueeze", types: "all", make: unsqueeze},
		{op: "Concat", types: "all", make: concat},
		{op: "Split", types: "all", make: split},
		{op: "Slice", types: "all", make: slice},
		{op: "Slice", types: "all", make: slice},
		{op: "Pad", types: "num", make: pad},
		{op: "Tile", types: "all", make: tile},
		{op: "Expand", types: "all", make: expand},
		{op: "Gather", types: "all", make: gather},
		{op: "GatherElements", types: "all", make: gatherElements},
		{op: "GatherND", types: "all", make: gatherND},
		{op: "ScatterElements", types: "num", make: scatterElements},
		{op: "ScatterND", types: "num", make: scatterND},
		{op: "DepthToSpace", types: "float", make: depthToSpace},
		{op: "SpaceToDepth", types: "float", make: depthToSpace},
		{op: "Trilu", types: "all", make: trilu},
		{op: "Range", types: "f32 f64 i32 i64 i16", make: rangeOf},
		{op: "EyeLike", types: "num", make: func(r *gen, s *spec) *call {
			x := r.pick(s.types, rankIs(2))
			if x == nil {
				return nil
			}
			return &call{in: names(x), attrs: attrs{"k": r.IntN(5) - 2}}
		}},
		{op: "ConstantOfShape", types: "i64", make: func(r *gen, s *spec) *call { return &call{in: names(r.ints(r.shape(r.IntN(4))...))} }},
		{op: "ReverseSequence", types: "all", make: reverseSequence},
		{op: "CenterCropPad", types: "all", make: func(r *gen, s *spec) *call {
			x := r.pick(s.types, minRank(1))
			if x == nil {
				return nil
			}
			return &call{in: names(x, r.ints(r.shape(len(x.t.Shape))...))}
		}},
	},
)

func transpose(r *gen, s *spec) *call {
	x := r.pick(s.types, nil)
	if x == nil {
		return nil
	}
	if r.chance(3) {
		return &call{in: names(x)}
	}
	perm := make([]int64, len(x.t.Shape))
	for i, p := range r.Perm(len(perm)) {
		perm[i] = int64(p)
	}
	return &call{in: names(x), attrs: attrs{"perm": perm}}
}

// reshape regroups the dimensions; one may be -1, and one that stays 0.
func reshape(r *gen, s *spec) *call {
	x := r.pick(s.types, nil)
	if x == nil {
		return nil
	}
	to := []int64{}
	for _, d := range x.t.Shape {
		switch {
		case len(to) > 0 && r.chance(3):
			to[len(to)-1] *= d
		case d > 3 && d%2 == 0 && r.chance(3):
			to = append(to, 2, d/2)
		case r.chance(5):
			to = append(to, 1, d)
		default:
			to = append(to, d)
		}
	}
	if len(to) > 0 && x.t.Len() > 0 && r.chance(2) {
		to[r.IntN(len(to))] = -1
	}
	a := attrs{}
	if slices.Contains(to, 0) {
		a["allowzero"] = 1
	}
	return &call{in: names(x, r.ints(to...)), attrs: a}
}

func squeeze(r *gen, s *spec) *call {
	x := r.pick(s.types, func(s []int64) bool { return slices.Contains(s, 1) })
	if x == nil {
		return nil
	}
	var ones []int64
	for i, d := range x.t.Shape {
		if d == 1 && r.chance(2) {
			ones = append(ones, int64(i))
		}
	}
	if len(ones) == 0 {
		return &call{in: names(x)}
	}
	return &call{in: names(x, r.ints(ones...))}
}

func unsqueeze(r *gen, s *spec) *call {
	x := r.pick(s.types, func(s []int64) bool { return len(s) < 5 })
	if x == nil {
		return nil
	}
	return &call{in: names(x, r.ints(int64(r.axis(len(x.t.Shape)+1))))}
}

func concat(r *gen, s *spec) *call {
	x := r.pick(s.types, minRank(1))
	if x == nil {
		return nil
	}
	axis := r.axis(len(x.t.Shape))
	in := names(x)
	for range r.IntN(3) {
		shape := slices.Clone(x.t.Shape)
		shape[(axis+len(shape))%len(shape)] = sizes[r.IntN(8)]
		y := r.pick(x.t.DType.String(), func(s []int64) bool { return slices.Equal(s, shape) })
		if y == nil || !slices.Equal(y.t.Shape, shape) {
			y = r.input(x.t.DType, shape...)
		}
		in = append(in, y.name)
	}
	r.Shuffle(len(in), func(i, j int) { in[i], in[j] = in[j], in[i] })
	return &call{in: in, attrs: attrs{"axis": axis}}
}

func split(r *gen, s *spec) *call {
	x := r.pick(s.types, minRank(1))
	if x == nil {
		return nil
	}
	axis := r.axis(len(x.t.Shape))
	n := x.t.Shape[(axis+len(x.t.Shape))%len(x.t.Shape)]
	parts := 1 + r.IntN(3)
	if r.chance(2) {
		return &call{in: names(x), attrs: attrs{"axis": axis, "num_outputs": parts}, results: parts}
	}
	var list []int64
	for i := range parts {
		p := r.Int64N(n + 1)
		if i == parts-1 {
			p = n
		}
		list = append(list, p)
		n -= p
	}
	return &call{in: names(x, r.ints(list...)), attrs: attrs{"axis": axis}, results: parts}
}

func slice(r *gen, s *spec) *call {
	x := r.pick(s.types, minRank(1))
	if x == nil {
		return nil
	}
	axes := r.axes(len(x.t.Shape))
	if len(axes) == 0 {
		axes = []int64{0}
	}
	var starts, ends, steps []int64
	for range axes {
		starts, ends, steps = append(starts, r.Int64N(12)-4), append(ends, r.Int64N(14)-2), append(steps, 1)
		last := len(axes) - 1
		switch r.IntN(6) {
		case 0:
			ends[min(last, len(ends)-1)] = math.MaxInt64
		case 1:
			steps[len(steps)-1] = 2 + r.Int64N(2)
		case 2:
			starts[len(starts)-1], ends[len(ends)-1], steps[len(steps)-1] = -1, math.MinInt64+1, -1-r.Int64N(2)
		}
	}
	return &call{in: names(x, r.ints(starts...), r.ints(ends...), r.ints(axes...), r.ints(steps...))}
}

func pad(r *gen, s *spec) *call {
	x := r.pick(s.types, minRank(1))
	if x == nil {
		return nil
	}
	mode := r.oneOf("constant constant edge reflect wrap")
	pads := make([]int64, 2*len(x.t.Shape))
	for i := range pads {
		pads[i] = r.Int64N(3)
		if mode == "constant" && r.chance(6) {
			pads[i] = -1
		}
	}
	in := names(x, r.ints(pads...))
	if mode == "constant" && r.chance(2) {
		in = append(in, r.input(x.t.DType).name)
	}
	return &call{in: in, attrs: attrs{"mode": mode}}
}

func tile(r *gen, s *spec) *call {
	x := r.pick(s.types, minRank(1))
	if x == nil {
		return nil
	}
	rep := make([]int64, len(x.t.Shape))
	for i := range rep {
		rep[i] = []int64{1, 1, 2, 3, 0}[r.IntN(5)]
	}
	return &call{in: names(x, r.ints(rep...))}
}

func expand(r *gen, s *spec) *call {
	x := r.pick(s.types, nil)
	if x == nil {
		return nil
	}
	to := slices.Clone(x.t.Shape)
	for i := range to {
		if to[i] == 1 {
			to[i] = sizes[r.IntN(len(sizes))]
		} else if r.chance(3) {
			to[i] = 1
		}
	}
	if r.chance(3) {
		to = append([]int64{1 + r.Int64N(3)}, to...)
	}
	return &call{in: names(x, r.ints(to...))}
}

// indices makes indices into n elements, some counted from the end.
func (r *gen) indices(n int64, shape ...int64) *input {
	ds := r.types("index")
	return r.indicesOf(ds[r.IntN(len(ds))], n, shape...)
}

func (r *gen) indicesOf(d tensor.DType, n int64, shape ...int64) *input {
	t := tensor.New(d, shape...)
	for i := range t.Len() {
		v := int64(0)
		if n > 0 {
			v = r.Int64N(n)
			if r.chance(3) {
				v -= n
			}
		}
		setInt(t, i, v)
	}
	return r.add(t, r.chance(3))
}

func gather(r *gen, s *spec) *call {
	x := r.pick(s.types, minRank(1))
	if x == nil {
		return nil
	}
	axis := r.axis(len(x.t.Shape))
	n := x.t.Shape[(axis+len(x.t.Shape))%len(x.t.Shape)]
	return &call{in: names(x, r.indices(n, r.shape(r.IntN(3))...)), attrs: attrs{"axis": axis}}
}

// within makes a shape that lies in another.
func (r *gen) within(shape []int64) []int64 {
	s := slices.Clone(shape)
	for i := range s {
		if r.chance(3) && s[i] > 0 {
			s[i] = 1 + r.Int64N(s[i])
		}
	}
	return s
}

func gatherElements(r *gen, s *spec) *call {
	x := r.pick(s.types, minRank(1))
	if x == nil {
		return nil
	}
	axis := r.axis(len(x.t.Shape))
	n := x.t.Shape[(axis+len(x.t.Shape))%len(x.t.Shape)]
	return &call{in: names(x, r.indices(n, r.within(x.t.Shape)...)), attrs: attrs{"axis": axis}}
}

// tuples makes a list of index tuples into the first k dimensions of a shape.
func (r *gen) tuples(shape []int64, k int, lead ...int64) *input {
	t := tensor.New(tensor.I64, append(slices.Clone(lead), int64(k))...)
	for i := range t.Len() {
		n := shape[int(i)%k]
		if n == 0 {
			continue
		}
		v := r.Int64N(n)
		if r.chance(4) {
			v -= n
		}
		setInt(t, i, v)
	}
	return r.add(t, r.chance(3))
}

func gatherND(r *gen, s *spec) *call {
	x := r.pick(s.types, minRank(1))
	if x == nil {
		return nil
	}
	return &call{in: names(x, r.tuples(x.t.Shape, 1+r.IntN(len(x.t.Shape)), r.shape(1+r.IntN(2))...))}
}

func scatterElements(r *gen, s *spec) *call {
	x := r.pick(s.types, minRank(1))
	if x == nil {
		return nil
	}
	axis := r.axis(len(x.t.Shape))
	n := x.t.Shape[(axis+len(x.t.Shape))%len(x.t.Shape)]
	idx := r.indices(n, r.within(x.t.Shape)...)
	return &call{in: names(x, idx, r.input(x.t.DType, idx.t.Shape...)), attrs: attrs{"axis": axis, "reduction": r.oneOf("none add mul max min")}}
}

func scatterND(r *gen, s *spec) *call {
	x := r.pick(s.types, minRank(1))
	if x == nil {
		return nil
	}
	k := 1 + r.IntN(len(x.t.Shape))
	n := 1 + r.Int64N(6)
	upd := append([]int64{n}, x.t.Shape[k:]...)
	return &call{in: names(x, r.tuples(x.t.Shape, k, n), r.input(x.t.DType, upd...)), attrs: attrs{"reduction": r.oneOf("none add mul max min")}}
}

func depthToSpace(r *gen, s *spec) *call {
	ds := r.types(s.types)
	x := r.input(ds[r.IntN(len(ds))], 1+r.Int64N(2), 4*(1+r.Int64N(3)), 2*(1+r.Int64N(3)), 2*(1+r.Int64N(3)))
	a := attrs{"blocksize": 2}
	if s.op == "DepthToSpace" {
		a["mode"] = r.oneOf("DCR CRD")
	}
	return &call{in: names(x), attrs: a}
}

func trilu(r *gen, s *spec) *call {
	x := r.pick(s.types, minRank(2))
	if x == nil {
		return nil
	}
	in := names(x)
	if r.chance(2) {
		in = append(in, r.konst(tensor.Of([]int64{r.Int64N(7) - 3})).name)
	}
	return &call{in: in, attrs: attrs{"upper": r.IntN(2)}}
}

func rangeOf(r *gen, s *spec) *call {
	ds := r.types(s.types)
	d := ds[r.IntN(len(ds))]
	scalar := func(v int64) *input {
		t := tensor.New(d)
		if d.IsFloat() {
			setFloat(t, 0, float64(v))
		} else {
			setInt(t, 0, v)
		}
		return r.konst(t)
	}
	return &call{in: names(scalar(r.Int64N(5)-2), scalar(r.Int64N(20)-5), scalar([]int64{1, 2, -1, 3}[r.IntN(4)]))}
}

func reverseSequence(r *gen, s *spec) *call {
	x := r.pick(s.types, func(s []int64) bool { return len(s) >= 2 && s[0] > 0 && s[1] > 0 })
	if x == nil {
		return nil
	}
	time := r.IntN(2)
	lens := make([]int64, x.t.Shape[1-time])
	for i := range lens {
		lens[i] = 1 + r.Int64N(x.t.Shape[time])
	}
	return &call{in: names(x, r.ints(lens...)), attrs: attrs{"time_axis": time, "batch_axis": 1 - time}}
}
