// Package tensor is the tensor of nnc's runtime: an element type, a shape and bytes. It ships inside
// every product of nnc, so it imports the standard library alone. The compiler uses the same types.
package tensor

import "fmt"

// DType is an element type. The zero value is Invalid.
type DType uint8

// The element types, in the order of ONNX's TensorProto.DataType, whose numbers they share.
const (
	Invalid DType = iota
	F32
	U8
	I8
	U16
	I16
	I32
	I64
	String
	Bool
	F16
	F64
	U32
	U64
	C64
	C128
	BF16
	F8E4M3FN
	F8E4M3FNUZ
	F8E5M2
	F8E5M2FNUZ
	U4
	I4
	F4E2M1
	F8E8M0
	U2
	I2
	numDTypes
)

// Class groups element types by how arithmetic treats them.
type Class uint8

// The classes of element types.
const (
	ClassNone Class = iota
	ClassFloat
	ClassInt
	ClassUint
	ClassBool
	ClassComplex
	ClassString
)

// dtypes is the one table of facts about element types.
var dtypes = [numDTypes]struct {
	name  string
	bits  int
	class Class
}{
	Invalid: {"invalid", 0, ClassNone},
	F32:     {"f32", 32, ClassFloat}, U8: {"u8", 8, ClassUint}, I8: {"i8", 8, ClassInt},
	U16: {"u16", 16, ClassUint}, I16: {"i16", 16, ClassInt}, I32: {"i32", 32, ClassInt},
	I64: {"i64", 64, ClassInt}, String: {"string", 0, ClassString}, Bool: {"bool", 8, ClassBool},
	F16: {"f16", 16, ClassFloat}, F64: {"f64", 64, ClassFloat}, U32: {"u32", 32, ClassUint},
	U64: {"u64", 64, ClassUint}, C64: {"c64", 64, ClassComplex}, C128: {"c128", 128, ClassComplex},
	BF16: {"bf16", 16, ClassFloat}, F8E4M3FN: {"f8e4m3fn", 8, ClassFloat},
	F8E4M3FNUZ: {"f8e4m3fnuz", 8, ClassFloat}, F8E5M2: {"f8e5m2", 8, ClassFloat},
	F8E5M2FNUZ: {"f8e5m2fnuz", 8, ClassFloat}, U4: {"u4", 4, ClassUint}, I4: {"i4", 4, ClassInt},
	F4E2M1: {"f4e2m1", 4, ClassFloat}, F8E8M0: {"f8e8m0", 8, ClassFloat},
	U2: {"u2", 2, ClassUint}, I2: {"i2", 2, ClassInt},
}

// String gives the name used in IR text: "f32", "i64", "bool".
func (d DType) String() string {
	if d < numDTypes {
		return dtypes[d].name
	}
	return fmt.Sprintf("dtype(%d)", uint8(d))
}

// ParseDType is the inverse of String.
func ParseDType(s string) (DType, bool) {
	for d := range dtypes {
		if DType(d) != Invalid && dtypes[d].name == s {
			return DType(d), true
		}
	}
	return Invalid, false
}

// Bits is the width of one element as stored; 0 for strings.
func (d DType) Bits() int { return dtypes[d].bits }

// Size is the width of one element in bytes; 0 for strings and for types narrower than a byte.
func (d DType) Size() int { return dtypes[d].bits / 8 }

// Class tells how arithmetic treats d.
func (d DType) Class() Class { return dtypes[d].class }

// IsFloat reports whether d is a real floating-point type of any width.
func (d DType) IsFloat() bool { return d.Class() == ClassFloat }

// IsInt reports whether d is a signed or unsigned integer type.
func (d DType) IsInt() bool { return d.Class() == ClassInt || d.Class() == ClassUint }

// Bytes is the storage of n elements: sub-byte types are packed, low bits first.
func (d DType) Bytes(n int64) int64 { return (n*int64(d.Bits()) + 7) / 8 }
