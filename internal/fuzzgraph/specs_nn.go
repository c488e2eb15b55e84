package main

import (
	"slices"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// nnSpecs are products, convolutions, pools, normalisations, quantisation and recurrent nets.
var nnSpecs = slices.Concat(
	[]spec{
		{op: "MatMul", types: "float i32 i64 u32 u64", make: matmul},
		{op: "MatMul", types: "float", make: matmul},
		{op: "Gemm", types: "float i32 i64", make: gemm},
		{op: "Einsum", types: "float i32", make: einsum},
		{op: "Conv", types: "float", make: conv},
		{op: "Conv", types: "float", make: conv},
		{op: "ConvTranspose", types: "float", make: convTranspose},
		{op: "MaxPool", types: "f32 f64 f16 i8 u8", make: pool},
		{op: "AveragePool", types: "float", make: pool},
		{op: "LpPool", types: "float", make: pool},
	},
	rows("float", image, "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"),
	[]spec{
		{op: "BatchNormalization", types: "float", make: batchNorm},
		{op: "InstanceNormalization", types: "float", make: channelNorm},
		{op: "GroupNormalization", types: "float", make: channelNorm},
		{op: "LayerNormalization", types: "float", make: layerNorm},
		{op: "RMSNormalization", types: "float", make: layerNorm},
		{op: "LpNormalization", types: "float", make: alongAxis},
		{op: "LRN", types: "f32", make: func(r *gen, s *spec) *call {
			x := r.imageOf(s, 2)
			if x == nil {
				return nil
			}
			return &call{in: names(x), attrs: attrs{"size": []int{1, 3, 5}[r.IntN(3)]}}
		}},
		{op: "Resize", types: "float u8", make: resize},
		{op: "QuantizeLinear", types: "f32 f16", make: quantize},
		{op: "DequantizeLinear", types: "byte i32 u16 i16", make: quantize},
		{op: "DynamicQuantizeLinear", types: "f32", make: func(r *gen, s *spec) *call { return &call{in: names(r.finite(tensor.F32, r.shape(1+r.IntN(3))...))} }, results: 3},
		{op: "MatMulInteger", types: "byte", make: matmulInteger},
		{op: "QLinearMatMul", types: "byte", make: qlinearMatMul},
		{op: "LSTM", types: "f32 f64", make: recurrent(4, 3), results: 3},
		{op: "GRU", types: "f32 f64", make: recurrent(3, 2), results: 2},
		{op: "RNN", types: "f32 f64", make: recurrent(1, 2), results: 2},
		{op: "Attention", types: "float", make: attention},
		{op: "Det", types: "f32 f64", make: func(r *gen, s *spec) *call {
			n := 1 + r.Int64N(4)
			return &call{in: names(r.input(r.typeOf(s), append(r.shape(r.IntN(2)), n, n)...))}
		}},
	},
)

func (r *gen) typeOf(s *spec) tensor.DType {
	ds := r.types(s.types)
	return ds[r.IntN(len(ds))]
}

func matmul(r *gen, s *spec) *call {
	x := r.pick(s.types, minRank(1))
	if x == nil {
		return nil
	}
	n := sizes[r.IntN(len(sizes))]
	k := x.t.Shape[len(x.t.Shape)-1]
	shape := []int64{k, n}
	switch r.IntN(4) {
	case 0:
		shape = shape[:1]
	case 1:
		if len(x.t.Shape) > 2 {
			shape = append(slices.Clone(x.t.Shape[:len(x.t.Shape)-2]), k, n)
		}
	}
	return &call{in: names(x, r.input(x.t.DType, shape...))}
}

func gemm(r *gen, s *spec) *call {
	x := r.pick(s.types, rankIs(2))
	if x == nil {
		return nil
	}
	ta, tb := r.IntN(2), r.IntN(2)
	m, k, n := x.t.Shape[ta], x.t.Shape[1-ta], sizes[r.IntN(len(sizes))]
	w := []int64{k, n}
	if tb == 1 {
		w = []int64{n, k}
	}
	in := names(x, r.input(x.t.DType, w...))
	if r.chance(2) {
		bias := [][]int64{{}, {n}, {1, n}, {m, 1}, {m, n}}[r.IntN(5)]
		in = append(in, r.input(x.t.DType, bias...).name)
	}
	a := attrs{"transA": ta, "transB": tb}
	if r.chance(2) && x.t.DType.IsFloat() {
		a["alpha"], a["beta"] = 0.5, []float64{0, 1, 2}[r.IntN(3)]
	}
	return &call{in: in, attrs: a}
}

// einsum has finite operands: in which order it sums is its own.
func einsum(r *gen, s *spec) *call {
	d := r.typeOf(s)
	a, b, c := 1+r.Int64N(5), 1+r.Int64N(9), 1+r.Int64N(5)
	switch r.IntN(4) {
	case 0:
		return &call{in: names(r.finite(d, a, b), r.finite(d, b, c)), attrs: attrs{"equation": r.oneOf("ij,jk->ik ij,jk->ki ij,jk")}}
	case 1:
		return &call{in: names(r.finite(d, 2, a, b), r.finite(d, 2, b, c)), attrs: attrs{"equation": r.oneOf("bij,bjk->bik bij,bjk->kb ...ij,...jk->...ik")}}
	case 2:
		return &call{in: names(r.finite(d, a, b)), attrs: attrs{"equation": r.oneOf("ij->ji ij->i ij-> ij->j")}}
	}
	return &call{in: names(r.finite(d, a), r.finite(d, b)), attrs: attrs{"equation": r.oneOf("i,j->ij i,j->ji")}}
}

// image picks an operand [N,C,...] with one to three spatial dimensions.
func image(r *gen, s *spec) *call {
	x := r.imageOf(s, 1+r.IntN(2))
	if x == nil {
		return nil
	}
	return &call{in: names(x)}
}

func (r *gen) imageOf(s *spec, spatial int) *input {
	if r.chance(2) {
		if x := r.pick(s.types, func(s []int64) bool { return len(s) == 2+spatial && !slices.Contains(s, 0) }); x != nil && len(x.t.Shape) == 2+spatial {
			return x
		}
	}
	shape := []int64{1 + r.Int64N(2), []int64{1, 2, 3, 4, 8, 16, 17}[r.IntN(7)]}
	for range spatial {
		shape = append(shape, 3+r.Int64N(7))
	}
	return r.input(r.typeOf(s), shape...)
}

func fillInts(n int, f func() int64) []int64 {
	v := make([]int64, n)
	for i := range v {
		v[i] = f()
	}
	return v
}

// window makes the attributes of a window over n spatial dimensions.
func (r *gen) window(n int, kernel []int64) attrs {
	a := attrs{"kernel_shape": kernel}
	if r.chance(2) {
		a["strides"] = fillInts(n, func() int64 { return 1 + r.Int64N(3) })
	}
	switch r.IntN(4) {
	case 0:
		a["auto_pad"] = r.oneOf("SAME_UPPER SAME_LOWER VALID")
		if s, ok := a["strides"].([]int64); ok { // larger than the kernel, the padding would be negative
			for i := range s {
				s[i] = min(s[i], kernel[i])
			}
		}
	case 1:
		pads := make([]int64, 2*n)
		for i := range pads {
			pads[i] = r.Int64N(kernel[i%n])
		}
		a["pads"] = pads
	}
	return a
}

func conv(r *gen, s *spec) *call {
	spatial := 1 + r.IntN(2)
	if r.chance(8) {
		spatial = 3
	}
	x := r.imageOf(s, spatial)
	if x == nil {
		return nil
	}
	c := x.t.Shape[1]
	group := int64(1)
	if r.chance(3) {
		group = c
	} else if c%2 == 0 && r.chance(3) {
		group = 2
	}
	m := group * (1 + r.Int64N(3))
	if group == 1 {
		m = []int64{1, 2, 3, 8, 16, 17}[r.IntN(6)]
	}
	kernel := fillInts(spatial, func() int64 { return 1 + r.Int64N(3) })
	in := names(x, r.finite(x.t.DType, append([]int64{m, c / group}, kernel...)...))
	if r.chance(2) {
		in = append(in, r.input(x.t.DType, m).name)
	}
	a := r.window(spatial, kernel)
	a["group"] = int(group)
	if _, same := a["auto_pad"]; !same && r.chance(4) {
		a["dilations"] = fillInts(spatial, func() int64 { return 1 + r.Int64N(2) })
	}
	return &call{in: in, attrs: a}
}

func convTranspose(r *gen, s *spec) *call {
	x := r.imageOf(s, 1+r.IntN(2))
	if x == nil {
		return nil
	}
	spatial := len(x.t.Shape) - 2
	c := x.t.Shape[1]
	group := int64(1)
	if c%2 == 0 && r.chance(3) {
		group = 2
	}
	kernel := fillInts(spatial, func() int64 { return 1 + r.Int64N(3) })
	m := 1 + r.Int64N(4)
	in := names(x, r.finite(x.t.DType, append([]int64{c, m}, kernel...)...))
	if r.chance(2) {
		in = append(in, r.input(x.t.DType, m*group).name)
	}
	a := attrs{"kernel_shape": kernel, "group": int(group)}
	if r.chance(2) {
		a["strides"] = fillInts(spatial, func() int64 { return 1 + r.Int64N(2) })
	}
	if r.chance(3) {
		a["pads"] = fillInts(2*spatial, func() int64 { return r.Int64N(2) })
	}
	return &call{in: in, attrs: a}
}

func pool(r *gen, s *spec) *call {
	x := r.imageOf(s, 1+r.IntN(2))
	if x == nil {
		return nil
	}
	spatial := len(x.t.Shape) - 2
	a := r.window(spatial, fillInts(spatial, func() int64 { return 1 + r.Int64N(3) }))
	if _, same := a["auto_pad"]; !same && r.chance(3) {
		a["ceil_mode"] = 1
	}
	c := &call{in: names(x), attrs: a}
	switch s.op {
	case "MaxPool":
		c.results = 1 + r.IntN(2)
	case "AveragePool":
		a["count_include_pad"] = r.IntN(2)
	case "LpPool":
		a["p"] = 1 + r.IntN(2)
	}
	return c
}

func batchNorm(r *gen, s *spec) *call {
	x := r.imageOf(s, r.IntN(3))
	if x == nil {
		return nil
	}
	c := x.t.Shape[1]
	variance := tensor.New(x.t.DType, c)
	for i := range c {
		setFloat(variance, i, 0.25+r.Float64())
	}
	return &call{in: names(x, r.finite(x.t.DType, c), r.finite(x.t.DType, c), r.finite(x.t.DType, c), r.konst(variance))}
}

func channelNorm(r *gen, s *spec) *call {
	x := r.imageOf(s, 1+r.IntN(2))
	if x == nil {
		return nil
	}
	c := x.t.Shape[1]
	a := attrs{}
	if s.op == "GroupNormalization" {
		a["num_groups"] = 1
		if c%2 == 0 {
			a["num_groups"] = 2
		}
	}
	return &call{in: names(x, r.input(x.t.DType, c), r.input(x.t.DType, c)), attrs: a}
}

func layerNorm(r *gen, s *spec) *call {
	x := r.pick(s.types, minRank(1))
	if x == nil {
		return nil
	}
	axis := r.axis(len(x.t.Shape))
	inner := x.t.Shape[(axis+len(x.t.Shape))%len(x.t.Shape):]
	in := names(x, r.input(x.t.DType, inner...))
	if s.op == "LayerNormalization" && r.chance(2) {
		in = append(in, r.input(x.t.DType, inner...).name)
	}
	return &call{in: in, attrs: attrs{"axis": axis}}
}

func resize(r *gen, s *spec) *call {
	x := r.imageOf(s, 1+r.IntN(2))
	if x == nil {
		return nil
	}
	a := attrs{"mode": r.oneOf("nearest linear cubic"), "coordinate_transformation_mode": r.oneOf("half_pixel asymmetric align_corners pytorch_half_pixel")}
	if a["mode"] == "nearest" {
		a["nearest_mode"] = r.oneOf("round_prefer_floor round_prefer_ceil floor ceil")
	}
	if a["mode"] == "cubic" && len(x.t.Shape) != 4 {
		a["mode"] = "linear"
	}
	if r.chance(2) {
		to := slices.Clone(x.t.Shape)
		for i := 2; i < len(to); i++ {
			to[i] = 1 + r.Int64N(12)
		}
		return &call{in: names(x, nil, nil, r.ints(to...)), attrs: a}
	}
	scales := make([]float32, len(x.t.Shape))
	for i := range scales {
		scales[i] = 1
		if i >= 2 {
			scales[i] = []float32{0.5, 1, 2, 1.5, 3}[r.IntN(5)]
		}
	}
	return &call{in: names(x, nil, r.konst(tensor.Of(scales, int64(len(scales))))), attrs: a}
}

// scaleOf makes positive scales.
func (r *gen) scaleOf(d tensor.DType, shape ...int64) *input {
	t := tensor.New(d, shape...)
	for i := range t.Len() {
		setFloat(t, i, []float64{0.02, 0.125, 0.5, 1}[r.IntN(4)])
	}
	return r.konst(t)
}

func quantize(r *gen, s *spec) *call {
	x := r.pick(s.types, nil)
	if x == nil {
		return nil
	}
	scale, q := tensor.F32, x.t.DType
	if s.op == "QuantizeLinear" {
		scale, q = x.t.DType, r.types("u8 i8 u16 i16")[r.IntN(2)]
	}
	shape, a := []int64{}, attrs{}
	if len(x.t.Shape) > 0 && r.chance(2) {
		axis := r.axis(len(x.t.Shape))
		a["axis"] = axis
		shape = []int64{x.t.Shape[(axis+len(x.t.Shape))%len(x.t.Shape)]}
	}
	in := names(x, r.scaleOf(scale, shape...))
	if q != tensor.I32 && !r.chance(4) {
		in = append(in, r.input(q, shape...).name)
	}
	return &call{in: in, attrs: a}
}

func matmulInteger(r *gen, s *spec) *call {
	m, k, n := sizes[r.IntN(len(sizes))], 1+r.Int64N(40), sizes[r.IntN(len(sizes))]
	a, b := r.typeOf(s), r.typeOf(s)
	in := names(r.input(a, m, k), r.input(b, k, n))
	if r.chance(2) {
		in = append(in, r.input(a).name)
		if r.chance(2) {
			shape := [][]int64{{}, {n}}[r.IntN(2)]
			in = append(in, r.input(b, shape...).name)
		}
	}
	return &call{in: in}
}

func qlinearMatMul(r *gen, s *spec) *call {
	m, k, n := 1+r.Int64N(9), 1+r.Int64N(40), 1+r.Int64N(17)
	a, b := r.typeOf(s), tensor.I8
	return &call{in: names(r.input(a, m, k), r.scaleOf(tensor.F32), r.input(a), r.input(b, k, n), r.scaleOf(tensor.F32), r.input(b), r.scaleOf(tensor.F32), r.input(a))}
}

// recurrent makes a net with a number of gates; it has outputs Y, Y_h and, with three, Y_c.
func recurrent(gates int64, outs int) func(r *gen, s *spec) *call {
	return func(r *gen, s *spec) *call {
		d := r.typeOf(s)
		seq, batch, size, hidden := 1+r.Int64N(4), 1+r.Int64N(3), 1+r.Int64N(9), []int64{1, 3, 8, 9}[r.IntN(4)]
		dir := r.oneOf("forward reverse bidirectional")
		dirs := int64(1)
		if dir == "bidirectional" {
			dirs = 2
		}
		in := names(r.input(d, seq, batch, size), r.input(d, dirs, gates*hidden, size), r.input(d, dirs, gates*hidden, hidden))
		if r.chance(2) {
			in = append(in, r.input(d, dirs, 2*gates*hidden).name)
		}
		a := attrs{"hidden_size": int(hidden), "direction": dir}
		if s.op == "GRU" {
			a["linear_before_reset"] = r.IntN(2)
		}
		return &call{in: in, attrs: a, results: outs}
	}
}

func attention(r *gen, s *spec) *call {
	d := r.typeOf(s)
	b, hkv, q, k, e, v := 1+r.Int64N(2), 1+r.Int64N(2), 1+r.Int64N(9), 1+r.Int64N(17), 1+r.Int64N(9), 1+r.Int64N(9)
	h := hkv * (1 + r.Int64N(2))
	// Finite: whether a value that the mask hides is multiplied by 0 or left out is the implementation's.
	in := names(r.finite(d, b, h, q, e), r.finite(d, b, hkv, k, e), r.finite(d, b, hkv, k, v))
	if r.chance(3) {
		m := d
		if r.chance(2) {
			m = tensor.Bool
		}
		in = append(in, r.finite(m, q, k).name)
	}
	a := attrs{"is_causal": r.IntN(2)}
	if r.chance(3) {
		a["softcap"] = 2.0
	}
	return &call{in: in, attrs: a}
}
