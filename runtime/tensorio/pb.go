package tensorio

import (
	"encoding/binary"

	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// Field numbers of ONNX's messages (onnx.proto and onnx-data.proto of ONNX 1.19).
const (
	tpDims, tpType, tpSegment, tpFloat, tpInt32, tpString, tpInt64, tpName, tpRaw = 1, 2, 3, 4, 5, 6, 7, 8, 9
	tpDouble, tpUint64, tpExternal, tpLocation                                    = 10, 11, 13, 14

	seqName, seqElem, seqTensors, seqSparse, seqSeqs, seqMaps, seqOptionals = 1, 2, 3, 4, 5, 6, 7
	// OptionalProto has the same kinds of values under the same numbers, once.
	elemTensor, elemSeq, elemMap, elemOptional = 1, 3, 4, 5

	mapName, mapKeyType, mapInts, mapStrings, mapValues = 1, 2, 3, 4, 5
)

// maxDepth bounds how deep sequences nest.
const maxDepth = 32

// DecodePB reads a TensorProto, SequenceProto, MapProto or OptionalProto, as kind says; the message itself does
// not tell. The result of an empty optional is nil. Tensors may share b.
func DecodePB(b []byte, kind Kind) (hostop.Value, error) {
	switch kind {
	case KindSeq:
		return decodeSeq(b, 0)
	case KindOptional:
		return decodeOptional(b, 0)
	case KindMap:
		return decodeMap(b, 0)
	}
	return asValue(DecodeTensorPB(b))
}

// tensorProto collects the fields of a TensorProto.
type tensorProto struct {
	dims                 []int64
	dtype                tensor.DType
	raw                  []byte
	hasRaw               bool
	floats, doubles      []byte
	int32s, int64s, uint []uint64
	strings              []string
	external             bool
}

// DecodeTensorPB reads a TensorProto. Its data may be in raw_data or in any typed field that ONNX
// allows for the element type; external data and segments are errors.
func DecodeTensorPB(b []byte) (*tensor.Tensor, error) {
	p := tensorProto{dims: []int64{}, strings: []string{}}
	r := wireReader{b: b}
	for f, ok := r.next(); ok; f, ok = r.next() {
		p.field(&r, f)
	}
	if r.err != nil {
		return nil, r.err
	}
	return p.tensor()
}

func (p *tensorProto) field(r *wireReader, f field) {
	switch f.id {
	case tpDims:
		for _, d := range r.varints(f, "dims", nil) {
			p.dims = append(p.dims, int64(d))
		}
	case tpType:
		if r.want(f, "data_type", wireVarint) {
			p.dtype = tensor.DType(min(f.num, 255))
		}
	case tpFloat:
		p.floats = r.fixed(f, "float_data", 4, p.floats)
	case tpDouble:
		p.doubles = r.fixed(f, "double_data", 8, p.doubles)
	case tpInt32:
		p.int32s = r.varints(f, "int32_data", p.int32s)
	case tpInt64:
		p.int64s = r.varints(f, "int64_data", p.int64s)
	case tpUint64:
		p.uint = r.varints(f, "uint64_data", p.uint)
	case tpString:
		if r.want(f, "string_data", wireBytes) {
			p.strings = append(p.strings, string(f.b))
		}
	case tpRaw:
		if r.want(f, "raw_data", wireBytes) {
			p.raw, p.hasRaw = f.b, true
		}
	case tpSegment:
		r.err = formatErr("TensorProto: segments are not supported")
	case tpExternal:
		p.external = true
	case tpLocation:
		p.external = p.external || f.num == 1
	}
}

func (p *tensorProto) tensor() (*tensor.Tensor, error) {
	if p.external {
		return nil, formatErr("TensorProto: external data is not supported in an input file; inline it (onnx.external_data_helper)")
	}
	if p.dtype.String() == "invalid" || p.dtype > tensor.I2 {
		return nil, formatErr("TensorProto: data_type %d", p.dtype)
	}
	if p.dtype == tensor.String {
		n, err := elements(p.dims, 8, int64(len(p.strings)))
		if err != nil {
			return nil, err
		}
		if n != int64(len(p.strings)) {
			return nil, formatErr("TensorProto: %d strings for shape %s", len(p.strings), tensor.ShapeString(p.dims))
		}
		return tensor.OfStrings(p.strings, p.dims...), nil
	}
	data, err := p.bytes()
	if err != nil {
		return nil, err
	}
	n, err := elements(p.dims, p.dtype.Bits(), int64(len(data)))
	if err != nil {
		return nil, err
	}
	if want := p.dtype.Bytes(n); int64(len(data)) != want {
		return nil, formatErr("TensorProto: %d bytes of data for %v%s, want %d", len(data), p.dtype, tensor.ShapeString(p.dims), want)
	}
	if p.dtype == tensor.Bool {
		data = normalBool(data)
	}
	if data == nil {
		data = []byte{}
	}
	return &tensor.Tensor{DType: p.dtype, Shape: p.dims, Data: aligned(data, p.dtype)}, nil
}

// bytes gives the elements as they lie in memory, from whichever field has them.
func (p *tensorProto) bytes() ([]byte, error) {
	if p.hasRaw {
		return p.raw, nil
	}
	switch p.dtype {
	case tensor.F32, tensor.C64:
		return p.floats, nil
	case tensor.F64, tensor.C128:
		return p.doubles, nil
	case tensor.I64:
		return narrow(p.int64s, 8, func(uint64) bool { return true })
	case tensor.U64:
		return narrow(p.uint, 8, func(uint64) bool { return true })
	case tensor.U32:
		return narrow(p.uint, 4, func(v uint64) bool { return v < 1<<32 })
	}
	// Types narrower than a byte keep several elements in each int32.
	return narrow(p.int32s, max(p.dtype.Size(), 1), fitsInt32)
}

// narrow stores the low size bytes of each number.
func narrow(v []uint64, size int, fits func(uint64) bool) ([]byte, error) {
	out := tensor.AlignedBytes(int64(len(v)) * int64(size))[:0]
	for _, x := range v {
		if !fits(x) {
			return nil, formatErr("TensorProto: element %d is out of range", int64(x))
		}
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], x)
		out = append(out, b[:size]...)
	}
	return out, nil
}

// decodeElem reads one element of a sequence or optional.
func decodeElem(f field, depth int) (hostop.Value, error) {
	if depth > maxDepth {
		return nil, formatErr("sequences nest more than %d deep", maxDepth)
	}
	switch f.id {
	case seqTensors:
		return asValue(DecodeTensorPB(f.b))
	case seqSeqs:
		return decodeSeq(f.b, depth+1)
	case seqOptionals:
		return decodeOptional(f.b, depth+1)
	case seqMaps:
		return decodeMap(f.b, depth+1)
	}
	return nil, formatErr("sparse tensors are not supported")
}

// decodeSeq reads a SequenceProto.
func decodeSeq(b []byte, depth int) (hostop.Value, error) {
	r := wireReader{b: b}
	s := hostop.Seq{}
	for f, ok := r.next(); ok; f, ok = r.next() {
		if f.id < seqTensors || f.id > seqOptionals || !r.want(f, "values", wireBytes) {
			continue
		}
		v, err := decodeElem(f, depth)
		if err != nil {
			return nil, err
		}
		s = append(s, v)
	}
	if r.err != nil {
		return nil, r.err
	}
	return s, nil
}

// decodeMap reads a MapProto.
func decodeMap(b []byte, depth int) (hostop.Value, error) {
	r := wireReader{b: b}
	m := &hostop.Map{Values: hostop.Seq{}}
	keyType, ints, strs := tensor.Invalid, []uint64{}, []string{}
	for f, ok := r.next(); ok; f, ok = r.next() {
		switch f.id {
		case mapKeyType:
			if r.want(f, "key_type", wireVarint) {
				keyType = tensor.DType(min(f.num, 255))
			}
		case mapInts:
			ints = r.varints(f, "keys", ints)
		case mapStrings:
			if r.want(f, "string_keys", wireBytes) {
				strs = append(strs, string(f.b))
			}
		case mapValues:
			if !r.want(f, "values", wireBytes) {
				continue
			}
			v, err := decodeSeq(f.b, depth+1)
			if err != nil {
				return nil, err
			}
			m.Values, _ = v.(hostop.Seq)
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	if keyType == tensor.String {
		m.Keys = tensor.OfStrings(strs, int64(len(strs)))
	} else { // the other integer types may be keys in files
		keys := make([]int64, len(ints))
		for i, x := range ints {
			keys[i] = int64(x)
		}
		m.Keys = tensor.Of(keys, int64(len(keys)))
	}
	return m, checkMap(m)
}

// checkMap complains where there is not one value for each key, or a key is there twice.
func checkMap(m *hostop.Map) error {
	n := m.Keys.Len()
	if int64(len(m.Values)) != n {
		return formatErr("a map of %d keys and %d values", n, len(m.Values))
	}
	seen := make(map[string]bool, n)
	for i := range n {
		k := FormatElement(m.Keys, i)
		if seen[k] {
			return formatErr("a map with key %s twice", k)
		}
		seen[k] = true
	}
	return nil
}

func encodeMap(m *hostop.Map, name string) []byte {
	var b []byte
	if name != "" {
		b = appendBytes(b, mapName, []byte(name))
	}
	b = appendInt(b, mapKeyType, int64(m.Keys.DType))
	for i := range m.Keys.Len() {
		if m.Keys.DType == tensor.String {
			b = appendBytes(b, mapStrings, []byte(m.Keys.Strings[i]))
		} else {
			k, _ := m.Keys.IntAt(i)
			b = appendInt(b, mapInts, k)
		}
	}
	return appendBytes(b, mapValues, EncodePB(m.Values, ""))
}

// decodeOptional reads an OptionalProto.
func decodeOptional(b []byte, depth int) (hostop.Value, error) {
	r := wireReader{b: b}
	var v hostop.Value
	for f, ok := r.next(); ok; f, ok = r.next() {
		if f.id < seqTensors || f.id > seqOptionals || !r.want(f, "value", wireBytes) {
			continue
		}
		var err error
		if v, err = decodeElem(f, depth); err != nil {
			return nil, err
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	return v, nil
}

// EncodePB writes v: a tensor as a TensorProto, a sequence as a SequenceProto, a map as a MapProto, nil as an OptionalProto
// without a value.
func EncodePB(v hostop.Value, name string) []byte {
	switch v := v.(type) {
	case *tensor.Tensor:
		return encodeTensor(v, name)
	case hostop.Seq:
		var b []byte
		if name != "" {
			b = appendBytes(b, seqName, []byte(name))
		}
		kind, id := elemTensor, seqTensors
		if len(v) > 0 {
			kind, id = elemOf(v[0])
		}
		b = appendInt(b, seqElem, int64(kind))
		for _, e := range v {
			b = appendBytes(b, id, EncodePB(e, ""))
		}
		return b
	case *hostop.Map:
		return encodeMap(v, name)
	}
	return EncodeOptionalPB(nil, name)
}

// EncodeOptionalPB writes v as an OptionalProto.
func EncodeOptionalPB(v hostop.Value, name string) []byte {
	var b []byte
	if name != "" {
		b = appendBytes(b, seqName, []byte(name))
	}
	if v == nil {
		return b
	}
	kind, id := elemOf(v)
	return appendBytes(appendInt(b, seqElem, int64(kind)), id, EncodePB(v, ""))
}

// elemOf gives the elem_type of a value and the field that holds it.
func elemOf(v hostop.Value) (kind, id int) {
	switch v.(type) {
	case *tensor.Tensor:
		return elemTensor, seqTensors
	case hostop.Seq:
		return elemSeq, seqSeqs
	case *hostop.Map:
		return elemMap, seqMaps
	}
	return elemOptional, seqOptionals
}

func encodeTensor(t *tensor.Tensor, name string) []byte {
	b := make([]byte, 0, len(t.Data)+len(name)+64)
	for _, d := range t.Shape {
		b = appendInt(b, tpDims, d)
	}
	b = appendInt(b, tpType, int64(t.DType))
	if t.DType == tensor.String {
		for _, s := range t.Strings {
			b = appendBytes(b, tpString, []byte(s))
		}
	}
	if name != "" {
		b = appendBytes(b, tpName, []byte(name))
	}
	if t.DType != tensor.String {
		b = appendBytes(b, tpRaw, t.Data)
	}
	return b
}
