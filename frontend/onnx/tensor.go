package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// tensor checks a TensorProto and makes it constant data; each is looked at once.
func (im *importer) tensor(t *onnxpb.TensorProto) (*ir.Data, error) {
	if d := im.tensors[t]; d != nil {
		return d, nil
	}
	d, err := im.newTensor(t)
	if err != nil {
		if t.GetName() != "" {
			err = fmt.Errorf("tensor %q: %w", t.GetName(), err)
		}
		return nil, err
	}
	im.tensors[t] = d
	return d, nil
}

func (im *importer) newTensor(t *onnxpb.TensorProto) (*ir.Data, error) {
	dt, err := dtypeOf(t.GetDataType())
	if err != nil {
		return nil, err
	}
	n, err := im.elements(t.GetDims())
	if err != nil {
		return nil, err
	}
	if t.Segment != nil {
		return nil, fmt.Errorf("segmented tensors are not supported")
	}
	d := &ir.Data{DType: dt, Shape: append([]int64{}, t.Dims...)}
	b, strs, err := im.payload(t, dt, n)
	if err != nil {
		return nil, err
	}
	if dt == tensor.String {
		d.Strs = strs
		d.Load = func() ([]byte, error) { return nil, nil }
		return d, nil
	}
	if dt == tensor.Bool {
		b = normalBools(b)
	}
	d.Load = im.src.view(b)
	return d, nil
}

// dtypeOf makes an ONNX data type, whose numbers ir shares, an element type.
func dtypeOf(v int32) (tensor.DType, error) {
	d := tensor.DType(v)
	if v <= 0 || v > int32(tensor.I2) {
		return tensor.Invalid, fmt.Errorf("data type %d is unknown, want 1 to %d", v, int(tensor.I2))
	}
	return d, nil
}

// elements is the number of elements of a tensor, within the budgets.
func (im *importer) elements(dims []int64) (int64, error) {
	if len(dims) > im.opts.MaxRank {
		return 0, fmt.Errorf("rank %d, want at most %d", len(dims), im.opts.MaxRank)
	}
	if i := slices.IndexFunc(dims, func(d int64) bool { return d < 0 }); i >= 0 {
		return 0, fmt.Errorf("dimension %d is %d, want at least 0", i, dims[i])
	}
	if slices.Contains(dims, 0) {
		return 0, nil
	}
	n := int64(1)
	for _, d := range dims {
		if d > im.opts.MaxElements/n {
			return 0, fmt.Errorf("dimensions %v: more than %d elements", dims, im.opts.MaxElements)
		}
		n *= d
	}
	return n, nil
}

// payload gives the bytes, or the strings, of a tensor of n elements of type dt, from the one field that
// holds them.
func (im *importer) payload(t *onnxpb.TensorProto, dt tensor.DType, n int64) ([]byte, []string, error) {
	raw, hasRaw, err := im.src.rawData(t)
	if err != nil {
		return nil, nil, err
	}
	var given []string
	for _, f := range []struct {
		name string
		n    int
	}{{"raw_data", len(raw)}, {"float_data", len(t.FloatData)}, {"int32_data", len(t.Int32Data)}, {"string_data", len(t.StringData)},
		{"int64_data", len(t.Int64Data)}, {"double_data", len(t.DoubleData)}, {"uint64_data", len(t.Uint64Data)},
		{"external_data", len(t.ExternalData)}} {
		if f.n > 0 {
			given = append(given, f.name)
		}
	}
	isExternal := t.GetDataLocation() == onnxpb.TensorProto_EXTERNAL
	switch {
	case len(given) > 1:
		return nil, nil, fmt.Errorf("data is given twice, as %s and %s", given[0], given[1])
	case len(t.ExternalData) > 0 && !isExternal:
		return nil, nil, fmt.Errorf("external data is given but the data location is %v", t.GetDataLocation())
	case isExternal && hasRaw:
		return nil, nil, fmt.Errorf("data is given twice, as raw_data and external_data")
	case dt == tensor.String && (isExternal || hasRaw):
		return nil, nil, fmt.Errorf("strings must be given as string_data")
	case isExternal:
		b, err := im.src.external(t, dt.Bytes(n))
		return b, nil, err
	case hasRaw && (len(raw) > 0 || len(given) == 0):
		if int64(len(raw)) != dt.Bytes(n) {
			return nil, nil, fmt.Errorf("raw data has %d bytes, want %d for %v%v", len(raw), dt.Bytes(n), dt, t.Dims)
		}
		return raw, nil, nil
	}
	if dt == tensor.String {
		return im.strings(t, n, given)
	}
	b, err := typedData(t, dt, n, given)
	return b, nil, err
}

func (im *importer) strings(t *onnxpb.TensorProto, n int64, given []string) ([]byte, []string, error) {
	if len(given) == 1 && given[0] != "string_data" || int64(len(t.StringData)) != n {
		return nil, nil, fmt.Errorf("%d strings in string_data, want %d", len(t.StringData), n)
	}
	strs := make([]string, n)
	for i, s := range t.StringData {
		strs[i] = string(s)
	}
	return nil, strs, nil
}

// typedField tells in which field a type's elements are, and how many entries of the field n elements make.
func typedField(dt tensor.DType) (name string, perEntry, entries int64) {
	switch dt {
	case tensor.F32:
		return "float_data", 1, 1
	case tensor.C64:
		return "float_data", 1, 2
	case tensor.F64:
		return "double_data", 1, 1
	case tensor.C128:
		return "double_data", 1, 2
	case tensor.I64:
		return "int64_data", 1, 1
	case tensor.U32, tensor.U64:
		return "uint64_data", 1, 1
	case tensor.U4, tensor.I4, tensor.F4E2M1:
		return "int32_data", 2, 1
	case tensor.U2, tensor.I2:
		return "int32_data", 4, 1
	}
	return "int32_data", 1, 1
}

// typedData makes the little-endian bytes of the elements in one of the typed fields.
func typedData(t *onnxpb.TensorProto, dt tensor.DType, n int64, given []string) ([]byte, error) {
	field, perEntry, entries := typedField(dt)
	if len(given) == 1 && given[0] != field {
		return nil, fmt.Errorf("elements of type %v in %s, want %s", dt, given[0], field)
	}
	have := int64(len(t.FloatData) + len(t.Int32Data) + len(t.Int64Data) + len(t.DoubleData) + len(t.Uint64Data))
	if want := (n + perEntry - 1) / perEntry * entries; have != want {
		return nil, fmt.Errorf("%d entries in %s, want %d for %v%v", have, field, want, dt, t.Dims)
	}
	b := tensor.AlignedBytes(dt.Bytes(n))[:0]
	le := binary.LittleEndian
	switch field {
	case "float_data":
		for _, x := range t.FloatData {
			b = le.AppendUint32(b, math.Float32bits(x))
		}
	case "double_data":
		for _, x := range t.DoubleData {
			b = le.AppendUint64(b, math.Float64bits(x))
		}
	case "int64_data":
		for _, x := range t.Int64Data {
			b = le.AppendUint64(b, uint64(x))
		}
	case "uint64_data":
		return unsignedData(t.Uint64Data, dt, b)
	default:
		return int32Data(t.Int32Data, dt, b)
	}
	return b, nil
}

func unsignedData(v []uint64, dt tensor.DType, b []byte) ([]byte, error) {
	for i, x := range v {
		if dt == tensor.U64 {
			b = binary.LittleEndian.AppendUint64(b, x)
			continue
		}
		if x > math.MaxUint32 {
			return nil, fmt.Errorf("entry %d of uint64_data is %d, which is no %v", i, x, dt)
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(x))
	}
	return b, nil
}

// int32Range gives the entries of int32_data that are allowed for a type; floats and packed types are
// given by their bits.
func int32Range(dt tensor.DType) (low, high int64) {
	switch dt {
	case tensor.I32:
		return math.MinInt32, math.MaxInt32
	case tensor.I16:
		return math.MinInt16, math.MaxInt16
	case tensor.I8:
		return math.MinInt8, math.MaxInt8
	case tensor.U16, tensor.F16, tensor.BF16:
		return 0, math.MaxUint16
	case tensor.Bool:
		return 0, 1
	}
	return 0, math.MaxUint8
}

func int32Data(v []int32, dt tensor.DType, b []byte) ([]byte, error) {
	low, high := int32Range(dt)
	size := max(dt.Size(), 1)
	for i, x := range v {
		if int64(x) < low || int64(x) > high {
			return nil, fmt.Errorf("entry %d of int32_data is %d, want %d to %d for %v", i, x, low, high, dt)
		}
		for k := range size {
			b = append(b, byte(x>>(8*k)))
		}
	}
	return b, nil
}

// normalBools makes every byte 0 or 1, copying only where one is not.
func normalBools(b []byte) []byte {
	if !slices.ContainsFunc(b, func(x byte) bool { return x > 1 }) {
		return b
	}
	b = slices.Clone(b)
	for i, x := range b {
		b[i] = min(x, 1)
	}
	return b
}

// sparse checks a sparse tensor and makes it dense data; the dense bytes are made when they are loaded.
func (im *importer) sparse(s *onnxpb.SparseTensorProto) (*ir.Data, error) {
	d, err := im.newSparse(s)
	if err != nil {
		return nil, fmt.Errorf("sparse tensor %q: %w", s.GetValues().GetName(), err)
	}
	return d, nil
}

func (im *importer) newSparse(s *onnxpb.SparseTensorProto) (*ir.Data, error) {
	if s.GetValues() == nil || s.GetIndices() == nil {
		return nil, fmt.Errorf("values or indices are missing")
	}
	vals, err := im.tensor(s.Values)
	if err != nil {
		return nil, err
	}
	idx, err := im.tensor(s.Indices)
	if err != nil {
		return nil, err
	}
	n, err := im.elements(s.Dims)
	if err != nil {
		return nil, err
	}
	bits := int64(vals.DType.Bits())
	if bits == 0 {
		return nil, fmt.Errorf("values of type %v, want numbers", vals.DType)
	}
	if len(vals.Shape) != 1 {
		return nil, fmt.Errorf("values have shape %v, want one dimension", vals.Shape)
	}
	flat, err := flatIndices(idx, vals.Shape[0], s.Dims)
	if err != nil {
		return nil, err
	}
	bytes := vals.DType.Bytes(n)
	if im.densified += bytes; im.densified > im.opts.MaxFoldBytes {
		return nil, fmt.Errorf("dense data of %d bytes, want at most %d for all sparse tensors", im.densified, im.opts.MaxFoldBytes)
	}
	dense := sync.OnceValues(func() ([]byte, error) {
		v, err := vals.Load()
		if err != nil {
			return nil, err
		}
		out := tensor.AlignedBytes(bytes)
		for i, at := range flat {
			scatterBits(out, at, v, int64(i), bits)
		}
		return out, nil
	})
	return &ir.Data{DType: vals.DType, Shape: append([]int64{}, s.Dims...), Load: dense}, nil
}

// scatterBits makes element at of dst, which is 0, element i of src; elements have a number of bits, of which
// those of less than a byte are packed.
func scatterBits(dst []byte, at int64, src []byte, i, bits int64) {
	if size := bits / 8; size > 0 {
		copy(dst[at*size:(at+1)*size], src[i*size:])
		return
	}
	per := 8 / bits
	code := src[i/per] >> (i % per * bits) & (1<<bits - 1)
	dst[at/per] |= code << (at % per * bits)
}

// flatIndices reads the indices of nnz values: linear, or one row of coordinates per value; they ascend.
func flatIndices(idx *ir.Data, nnz int64, dims []int64) ([]int64, error) {
	if idx.DType != tensor.I64 {
		return nil, fmt.Errorf("indices of type %v, want i64", idx.DType)
	}
	linear := len(idx.Shape) == 1 && idx.Shape[0] == nnz
	if !linear && !(len(idx.Shape) == 2 && idx.Shape[0] == nnz && idx.Shape[1] == int64(len(dims))) {
		return nil, fmt.Errorf("indices have shape %v, want [%d] or [%d,%d]", idx.Shape, nnz, nnz, len(dims))
	}
	v, ok := idx.Int64s()
	if !ok {
		return nil, fmt.Errorf("indices cannot be read")
	}
	if linear {
		n := tensor.NumElements(dims)
		for i, x := range v {
			if x < 0 || x >= n {
				return nil, fmt.Errorf("index %d is %d, want 0 to %d", i, x, n-1)
			}
		}
	} else {
		flat := make([]int64, nnz)
		for i := range flat {
			for k, d := range dims {
				x := v[i*len(dims)+k]
				if x < 0 || x >= d {
					return nil, fmt.Errorf("index %d is %d along dimension %d, want 0 to %d", i, x, k, d-1)
				}
				flat[i] = flat[i]*d + x
			}
		}
		v = flat
	}
	for i := 1; i < len(v); i++ {
		if v[i] <= v[i-1] {
			return nil, fmt.Errorf("indices do not ascend: %d follows %d", v[i], v[i-1])
		}
	}
	return v, nil
}
