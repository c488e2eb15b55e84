package tensorio

import (
	"encoding/binary"
	"math"
)

// The wire types of protobuf.
const (
	wireVarint = 0
	wire64     = 1
	wireBytes  = 2
	wire32     = 5
)

// field is one field of a protobuf message: num for varint and fixed wire types, b for bytes.
type field struct {
	id   int
	wire int
	num  uint64
	b    []byte
}

// wireReader splits a message into fields.
type wireReader struct {
	b   []byte
	err error
}

func (r *wireReader) varint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.err = formatErr("protobuf: number cut short or too long")
		r.b = nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// take gives the next n bytes.
func (r *wireReader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.err = formatErr("protobuf: field of %d bytes where %d are left", n, len(r.b))
		r.b = nil
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

// next gives the next field; false at the end or after an error.
func (r *wireReader) next() (f field, ok bool) {
	if r.err != nil || len(r.b) == 0 {
		return f, false
	}
	tag := r.varint()
	if r.err == nil && (tag>>3 == 0 || tag>>3 > 1<<29-1) {
		r.err = formatErr("protobuf: field number %d", tag>>3)
	}
	f.id, f.wire = int(tag>>3), int(tag&7)
	if r.err != nil {
		return f, false
	}
	switch f.wire {
	case wireVarint:
		f.num = r.varint()
	case wire64:
		if b := r.take(8); b != nil {
			f.num = binary.LittleEndian.Uint64(b)
		}
	case wire32:
		if b := r.take(4); b != nil {
			f.num = uint64(binary.LittleEndian.Uint32(b))
		}
	case wireBytes:
		f.b = r.take(r.varint())
	default:
		r.err = formatErr("protobuf: wire type %d", f.wire)
	}
	return f, r.err == nil
}

// want complains where a field has another wire type than its definition allows.
func (r *wireReader) want(f field, name string, wires ...int) bool {
	for _, w := range wires {
		if f.wire == w {
			return true
		}
	}
	if r.err == nil {
		r.err = formatErr("protobuf: field %s has wire type %d", name, f.wire)
	}
	return false
}

// varints appends the numbers of a repeated integer field, packed or not.
func (r *wireReader) varints(f field, name string, to []uint64) []uint64 {
	if !r.want(f, name, wireVarint, wireBytes) {
		return to
	}
	if f.wire == wireVarint {
		return append(to, f.num)
	}
	p := wireReader{b: f.b}
	for len(p.b) > 0 {
		to = append(to, p.varint())
	}
	if p.err != nil && r.err == nil {
		r.err = p.err
	}
	return to
}

// fixed appends the little-endian bytes of a repeated fixed-width field, packed or not.
func (r *wireReader) fixed(f field, name string, size int, to []byte) []byte {
	wire := wire32
	if size == 8 {
		wire = wire64
	}
	if !r.want(f, name, wire, wireBytes) {
		return to
	}
	switch {
	case f.wire != wireBytes && size == 4:
		return binary.LittleEndian.AppendUint32(to, uint32(f.num))
	case f.wire != wireBytes:
		return binary.LittleEndian.AppendUint64(to, f.num)
	case len(f.b)%size != 0:
		r.err = formatErr("protobuf: %s: %d bytes are no multiple of %d", name, len(f.b), size)
		return to
	case to == nil:
		return f.b
	}
	return append(to, f.b...)
}

func appendTag(b []byte, id, wire int) []byte {
	return binary.AppendUvarint(b, uint64(id)<<3|uint64(wire))
}

func appendInt(b []byte, id int, v int64) []byte {
	return binary.AppendUvarint(appendTag(b, id, wireVarint), uint64(v))
}

func appendBytes(b []byte, id int, v []byte) []byte {
	return append(binary.AppendUvarint(appendTag(b, id, wireBytes), uint64(len(v))), v...)
}

// fitsInt32 reports whether a varint holds an int32, sign-extended to 64 bits as protobuf does, or
// cut to 32 as some writers do.
func fitsInt32(v uint64) bool {
	return int64(v) == int64(int32(v)) || v <= math.MaxUint32
}
