package tensor

import (
	"fmt"
	"slices"
	"strings"
	"unsafe"
)

// Align is the alignment in bytes of the memory that New returns: one AVX-512 vector, one cache line.
const Align = 64

// Tensor is a dense row-major array. Data holds the elements (little-endian, sub-byte types packed
// low bits first, bool one byte 0 or 1); Strings holds them where DType is String.
type Tensor struct {
	DType   DType
	Shape   []int64
	Data    []byte
	Strings []string
}

// New allocates a zeroed tensor whose Data is aligned to Align.
func New(d DType, shape ...int64) *Tensor {
	t := &Tensor{DType: d, Shape: slices.Clone(shape)}
	if t.Shape == nil {
		t.Shape = []int64{}
	}
	if d == String {
		t.Strings = make([]string, NumElements(shape))
	} else {
		t.Data = AlignedBytes(d.Bytes(NumElements(shape)))
	}
	return t
}

// AlignedBytes allocates n zeroed bytes that start on a multiple of Align.
func AlignedBytes(n int64) []byte {
	if n == 0 {
		return []byte{}
	}
	b := make([]byte, n+Align-1)
	off := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (Align - 1)
	return b[off : int64(off)+n : int64(off)+n]
}

// NumElements is the product of the dimensions; 1 for a scalar.
func NumElements(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

// Len is the number of elements of t.
func (t *Tensor) Len() int64 { return NumElements(t.Shape) }

// Native lists the Go types that view tensor elements directly.
type Native interface {
	~float32 | ~float64 | ~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~bool | ~complex64 | ~complex128
}

// View reinterprets t's bytes as a slice of T without copying. T must be as wide as the element type:
// f16 and bf16 are viewed as uint16.
func View[T Native](t *Tensor) []T {
	var z T
	if int(unsafe.Sizeof(z)) != t.DType.Size() {
		panic(fmt.Sprintf("tensor: view of %v as %T", t.DType, z))
	}
	return BytesAs[T](t.Data)
}

// BytesAs reinterprets b as a slice of T. b must be aligned for T.
func BytesAs[T Native](b []byte) []T {
	var z T
	n := len(b) / int(unsafe.Sizeof(z))
	if n == 0 {
		return []T{}
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n)
}

// AsBytes reinterprets s as bytes without copying.
func AsBytes[T Native](s []T) []byte {
	var z T
	if len(s) == 0 {
		return []byte{}
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(z)))
}

// Of makes a tensor that shares vals; the element type follows from T.
func Of[T Native](vals []T, shape ...int64) *Tensor {
	var z T
	d := map[string]DType{"float32": F32, "float64": F64, "int8": I8, "int16": I16, "int32": I32, "int64": I64,
		"uint8": U8, "uint16": U16, "uint32": U32, "uint64": U64, "bool": Bool, "complex64": C64, "complex128": C128}[fmt.Sprintf("%T", z)]
	if int64(len(vals)) != NumElements(shape) {
		panic(fmt.Sprintf("tensor: %d values for shape %v", len(vals), shape))
	}
	return &Tensor{DType: d, Shape: append([]int64{}, shape...), Data: AsBytes(vals)}
}

// OfStrings makes a string tensor that shares vals.
func OfStrings(vals []string, shape ...int64) *Tensor {
	return &Tensor{DType: String, Shape: append([]int64{}, shape...), Strings: vals}
}

// TypeString gives the type as in IR text: "f32[1,64,56,56]".
func (t *Tensor) TypeString() string { return t.DType.String() + ShapeString(t.Shape) }

// ShapeString gives a shape as in IR text: "[1,64,56,56]".
func ShapeString(shape []int64) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, d := range shape {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d", d)
	}
	b.WriteByte(']')
	return b.String()
}

// IsAligned reports whether b starts at a multiple of the size of d's elements (of half of it for
// complex numbers), as View and kernels need. Empty b always does.
func IsAligned(b []byte, d DType) bool {
	size := uintptr(max(d.Size(), 1))
	if d.Class() == ClassComplex {
		size /= 2
	}
	return len(b) == 0 || uintptr(unsafe.Pointer(unsafe.SliceData(b)))%size == 0
}
