package passes

import (
	"maps"
	"slices"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Kernels hold elements in bytes and words. What else ONNX has is put into those here: floats of 8 bits
// are seen as their codes, complex numbers as bits (the c128 as two tensors), and elements of less than a
// byte are unpacked before and packed after an op. Ops that only move then move bytes; conversions
// decode and encode. Ops that this pass does not know stay as they are, and run as host functions.
func storagePass(s *State) error { return rewrite(s, storageRules) }

var storageRules = []*rule{
	{"store-rows", []string{"Gather"}, "Gather of rows of whole bytes, of elements of less than a byte -> Gather of bytes", false, storeRows},
	{"store-move", movers(), "move(x) -> packed(move(bytes(x))), for types that kernels do not hold", false, storeMove},
	{"store-fill", []string{"ConstantOfShape"}, "the same for a fill", false, storeFill},
	{"store-cast", []string{"Cast"}, "Cast(x) -> packed(encode(Cast(decode(bytes(x)))))", false, storeCast},
	{"store-test", []string{"IsNaN", "IsInf"}, "test(x) -> test(decode(bytes(x)))", false, storeTest},
	{"store-quantize", []string{"QuantizeLinear"}, "QuantizeLinear to less than a byte -> Pack(Clip(QuantizeLinear to bytes)); to small floats -> encode(x/scale)", false, storeQuantize},
	{"store-qmatmul", []string{"QLinearMatMul"}, "QLinearMatMul with small floats -> encode or quantise(MatMul(a-az, b-bz) * (as*bs/ys))", false, storeProduct},
	{"store-dequantize", []string{"DequantizeLinear"}, "DequantizeLinear(x) -> DequantizeLinear(decode(bytes(x)))", false, storeDequantize},
	{"store-dropout", []string{"Dropout"}, "Dropout(x) -> encode(Dropout(decode(bytes(x))))", false, storeDropout},
	{"store-parts", []string{"Resize", "GridSample", "Col2Im"}, "op(x) -> Join(op(real parts), op(imaginary parts)) where op is linear", false, storeParts},
	{"store-nonzero", []string{"NonZero"}, "NonZero(x) -> NonZero(real part or imaginary part)", false, storeNonZero},
}

// moved lists for each op that only moves elements which operands hold them, nil for all.
var moved = map[string][]int{
	"Transpose": {0}, "Concat": nil, "Split": {0}, "Slice": {0}, "Expand": {0}, "Tile": {0}, "Pad": {0, 2}, "Where": {1, 2},
	"Gather": {0}, "GatherElements": {0}, "GatherND": {0}, "ScatterElements": {0, 2}, "ScatterND": {0, 2}, "OneHot": {2},
	"DepthToSpace": {0}, "SpaceToDepth": {0}, "ReverseSequence": {0}, "Compress": {0}, "Trilu": {0}, "CenterCropPad": {0},
	"TensorScatter": {0, 1},
}

func movers() []string { return slices.Sorted(maps.Keys(moved)) }

// isMini: a float of at most 8 bits.
func isMini(d tensor.DType) bool {
	_, _, _, ok := tensor.MiniFormat(d)
	return ok
}

// odd reports whether kernels cannot hold d as it is.
func odd(d tensor.DType) bool {
	return isMini(d) || d.Class() == tensor.ClassComplex || d.IsInt() && d.Bits() < 8
}

func oddValue(v *ir.Value) bool { return v != nil && v.Type.Kind == ir.KindTensor && odd(v.Type.DType) }

// bits is v seen as another element type of the same width.
func (rw *rewriter) bits(v *ir.Value, to tensor.DType) *ir.Value {
	if d := ir.ConstOf(v); d != nil {
		return rw.constant(&ir.Data{DType: to, Shape: d.Shape, Name: d.Name, Load: d.Load})
	}
	return rw.op("BitCast", ir.Attrs{"to": to}, v)
}

// planes gives a value of an odd type as tensors that kernels hold.
func (rw *rewriter) planes(v *ir.Value) []*ir.Value {
	switch d := v.Type.DType; {
	case d == tensor.C64:
		return one(rw.bits(v, tensor.U64))
	case d == tensor.C128:
		return []*ir.Value{rw.op("Part", nil, v), rw.op("Part", ir.Attrs{"index": int64(1)}, v)}
	case d.Bits() == 8:
		return one(rw.bits(v, tensor.U8))
	}
	mark := len(rw.out)
	b := rw.op("Unpack", nil, v)
	if d := ir.ConstOf(v); d != nil && d.Len() <= smallConst {
		if folded := foldConst(rw, b.Def); folded != nil {
			rw.out = append(rw.out[:mark], folded[0].Def)
			return folded
		}
	}
	return one(b)
}

// joined is the inverse of planes.
func (rw *rewriter) joined(planes []*ir.Value, d tensor.DType) *ir.Value {
	switch {
	case d == tensor.C128:
		return rw.op("Join", nil, planes...)
	case d.Bits() >= 8:
		return rw.bits(planes[0], d)
	}
	return rw.op("Pack", ir.Attrs{"to": d}, planes[0])
}

// plain gives the numbers of v in a type that kernels compute with.
func (rw *rewriter) plain(v *ir.Value) *ir.Value {
	if !oddValue(v) {
		return v
	}
	b := rw.planes(v)[0]
	if d := v.Type.DType; isMini(d) {
		return rw.op("Decode", ir.Attrs{"from": d}, b)
	}
	return b
}

// cast is v in a type that kernels hold.
func (rw *rewriter) cast(v *ir.Value, to tensor.DType) *ir.Value {
	if v.Type.DType == to {
		return v
	}
	return rw.op("Cast", ir.Attrs{"to": to}, v)
}

// stored converts numbers to any type; attrs may have saturate and round_mode.
func (rw *rewriter) stored(v *ir.Value, d tensor.DType, attrs ir.Attrs) *ir.Value {
	switch {
	case isMini(d):
		if v.Type.DType != tensor.F64 {
			v = rw.cast(v, tensor.F32)
		}
		to := ir.Attrs{"to": d}
		for _, a := range []string{"saturate", "round_mode"} {
			if x, ok := attrs[a]; ok {
				to[a] = x
			}
		}
		return rw.joined(one(rw.op("Encode", to, v)), d)
	case odd(d):
		b, _ := ir.Unpacked(d)
		return rw.joined(one(rw.cast(v, b)), d)
	}
	return rw.cast(v, d)
}

func storeMove(rw *rewriter, op *ir.Op) []*ir.Value {
	which := moved[op.Name()]
	if which == nil {
		for i := range op.Operands {
			which = append(which, i)
		}
	}
	first := op.Operand(which[0])
	if !oddValue(first) || op.Attrs.Str("reduction", "none") != "none" {
		return nil
	}
	d := first.Type.DType
	split := map[int][]*ir.Value{}
	for _, i := range which {
		if v := op.Operand(i); v != nil {
			if v.Type.DType != d {
				return nil
			}
			split[i] = rw.planes(v)
		}
	}
	results := make([][]*ir.Value, len(op.Results)) // of each, its planes
	for p := range split[which[0]] {
		operands := append([]*ir.Value{}, op.Operands...)
		for i, planes := range split {
			operands[i] = planes[p]
		}
		o := rw.s.M.NewOp(op.Name(), operands, len(op.Results), op.Attrs, op.Origin)
		for i, v := range op.Results {
			if v == nil {
				o.Results[i] = nil
			}
		}
		rw.insert(o)
		for i, v := range o.Results {
			results[i] = append(results[i], v)
		}
	}
	out := make([]*ir.Value, len(op.Results))
	for i, v := range op.Results {
		if v != nil {
			out[i] = rw.joined(results[i], d)
		}
	}
	return out
}

// storeRows gathers from packed data where rows are whole bytes: only what is gathered is unpacked, not
// a table of embeddings for each token.
func storeRows(rw *rewriter, op *ir.Op) []*ir.Value {
	x := op.Operands[0]
	if !oddValue(x) || !isTensor(x) || x.Type.DType.Bits() >= 8 || x.Type.Rank() < 2 {
		return nil
	}
	rank := x.Type.Rank()
	axis, last := op.Attrs.Int("axis", 0), x.Type.Shape[rank-1]
	if axis == -1 || axis == int64(rank-1) || !last.IsConst() || last.Value()*int64(x.Type.DType.Bits())%8 != 0 {
		return nil
	}
	if axis < 0 {
		axis += int64(rank)
	}
	b := rw.regroup(x, tensor.U8)
	return one(rw.op("Regroup", ir.Attrs{"to": x.Type.DType}, rw.op("Gather", ir.Attrs{"axis": axis}, b, op.Operands[1])))
}

// regroup is v with the bytes of its last dimension, a constant, as elements of another width.
func (rw *rewriter) regroup(v *ir.Value, to tensor.DType) *ir.Value {
	d := ir.ConstOf(v)
	if d == nil {
		return rw.op("Regroup", ir.Attrs{"to": to}, v)
	}
	shape := slices.Clone(d.Shape)
	last := len(shape) - 1
	shape[last] = shape[last] * int64(d.DType.Bits()) / int64(to.Bits())
	return rw.constant(&ir.Data{DType: to, Shape: shape, Name: d.Name, Load: d.Load})
}

func storeFill(rw *rewriter, op *ir.Op) []*ir.Value {
	d, _ := op.Attrs["value"].(*ir.Data)
	if d == nil || !odd(d.DType) {
		return nil
	}
	v := rw.constant(d)
	var planes []*ir.Value
	for _, p := range rw.planes(v) {
		// The value must be data: a plane that is not constant yet is computed.
		folded := one(p)
		if ir.ConstOf(p) == nil {
			folded = foldConst(rw, p.Def)
		}
		if folded == nil {
			return nil
		}
		planes = append(planes, rw.op("ConstantOfShape", ir.Attrs{"value": ir.ConstOf(folded[0])}, op.Operands[0]))
	}
	return one(rw.joined(planes, d.DType))
}

func storeCast(rw *rewriter, op *ir.Op) []*ir.Value {
	x, to := op.Operands[0], op.Results[0].Type.DType
	from := x.Type.DType
	for _, d := range []tensor.DType{from, to} {
		if c := d.Class(); c == tensor.ClassString || c == tensor.ClassComplex || c == tensor.ClassNone {
			return nil
		}
	}
	switch {
	case !odd(from) && !odd(to):
		return nil
	case from == to:
		return one(x)
	}
	return one(rw.stored(rw.plain(x), to, op.Attrs))
}

func storeTest(rw *rewriter, op *ir.Op) []*ir.Value {
	if !oddValue(op.Operands[0]) {
		return nil
	}
	return one(rw.op(op.Name(), op.Attrs, rw.plain(op.Operands[0])))
}

// withDType is attrs with output_dtype.
func withDType(attrs ir.Attrs, d tensor.DType) ir.Attrs {
	a := maps.Clone(attrs)
	if a == nil {
		a = ir.Attrs{}
	}
	a["output_dtype"] = d
	return a
}

func storeQuantize(rw *rewriter, op *ir.Op) []*ir.Value {
	d := op.Results[0].Type.DType
	x, scale, zp := op.Operands[0], op.Operands[1], op.Operand(2)
	if !odd(d) && !oddValue(scale) {
		return nil
	}
	scale = rw.plain(scale)
	switch {
	case isMini(d): // whose zero point is 0
		q := rw.op("QuantizeLinear", withDType(op.Attrs, tensor.F32), x, scale)
		return one(rw.stored(q, d, op.Attrs))
	case !odd(d):
		return one(rw.op("QuantizeLinear", withDType(op.Attrs, d), x, scale, zp))
	}
	b, _ := ir.Unpacked(d)
	operands := []*ir.Value{x, scale}
	if zp != nil {
		operands = append(operands, rw.plain(zp))
	}
	lo, hi := int64(0), int64(1)<<d.Bits()-1
	if b == tensor.I8 {
		lo, hi = lo-(hi+1)/2, hi/2
	}
	bound := func(n int64) *ir.Value {
		t := tensor.New(b)
		t.Data[0] = byte(n)
		return rw.constant(ir.DataOf(t))
	}
	q := rw.op("QuantizeLinear", withDType(op.Attrs, b), operands...)
	return one(rw.joined(one(rw.op("Clip", nil, q, bound(lo), bound(hi))), d))
}

func storeDequantize(rw *rewriter, op *ir.Op) []*ir.Value {
	found := false
	var operands []*ir.Value
	for _, v := range op.Operands {
		found = found || oddValue(v)
	}
	if !found || odd(op.Results[0].Type.DType) {
		return nil
	}
	for _, v := range op.Operands {
		operands = append(operands, rw.plain(v))
	}
	return one(rw.op("DequantizeLinear", withDType(op.Attrs, op.Results[0].Type.DType), operands...))
}

// storeDropout drops small floats as f32; the ratio may be one too.
func storeDropout(rw *rewriter, op *ir.Op) []*ir.Value {
	if !slices.ContainsFunc(op.Operands, oddValue) {
		return nil
	}
	operands := slices.Clone(op.Operands)
	for i, v := range operands {
		operands[i] = rw.plain(v)
	}
	o := rw.s.M.NewOp("Dropout", operands, len(op.Results), op.Attrs, op.Origin)
	rw.insert(o)
	return append(one(rw.stored(o.Results[0], op.Results[0].Type.DType, nil)), o.Results[1:]...)
}

// storeProduct multiplies small floats, in f32; together with integers in f64, which holds the sums as well
// as integers would. A result of small floats has no zero point.
func storeProduct(rw *rewriter, op *ir.Op) []*ir.Value {
	o, d := op.Operands, op.Results[0].Type.DType
	minis := 0
	for _, t := range []tensor.DType{o[0].Type.DType, o[3].Type.DType, d} {
		if isMini(t) {
			minis++
		}
	}
	if minis == 0 {
		return nil
	}
	for _, v := range o {
		if !isTensor(v) {
			return nil
		}
	}
	// A vector of A's is one number per row.
	perRow := func(v *ir.Value) *ir.Value {
		if v.Type.Rank() != 1 || ir.Product(v.Type.Shape).Is(1) {
			return v
		}
		return rw.op("Unsqueeze", nil, v, rw.constant(ir.DataOf(tensor.Of([]int64{-1}, 1))))
	}
	number := func(v *ir.Value) *ir.Value {
		if minis == 3 {
			return rw.plain(v)
		}
		return rw.op("Cast", ir.Attrs{"to": tensor.F64}, rw.plain(v))
	}
	a := rw.op("Sub", nil, number(o[0]), perRow(number(o[2])))
	b := rw.op("Sub", nil, number(o[3]), number(o[5]))
	f32 := func(v *ir.Value) *ir.Value { return rw.cast(v, tensor.F32) }
	scale := rw.op("Div", nil, rw.op("Mul", nil, perRow(f32(o[1])), f32(o[4])), f32(o[6]))
	sum := rw.op("MatMul", nil, a, b)
	if minis < 3 {
		sum = rw.op("Cast", ir.Attrs{"to": tensor.F32}, sum)
	}
	y := rw.op("Mul", nil, sum, scale)
	if isMini(d) {
		return one(rw.stored(y, d, nil))
	}
	return one(rw.op("QuantizeLinear", nil, y, rw.constant(ir.DataOf(tensor.Of([]float32{1}))), o[7]))
}
