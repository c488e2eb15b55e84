package purego

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// goTypes are the Go types of elements; f16 and bf16 travel as their bits.
var goTypes = map[tensor.DType]string{
	tensor.F32: "float32", tensor.F64: "float64", tensor.F16: "uint16", tensor.BF16: "uint16", tensor.Bool: "bool",
	tensor.U8: "uint8", tensor.U16: "uint16", tensor.U32: "uint32", tensor.U64: "uint64",
	tensor.I8: "int8", tensor.I16: "int16", tensor.I32: "int32", tensor.I64: "int64",
}

func goType(d tensor.DType) string {
	t, ok := goTypes[d]
	if !ok {
		panic(refusal(fmt.Sprintf("no Go type for elements of type %v", d)))
	}
	return t
}

func isHalf(d tensor.DType) bool { return d == tensor.F16 || d == tensor.BF16 }

// literal is the text of a constant.
func literal(d tensor.DType, bits uint64) string {
	switch {
	case d == tensor.F32:
		f := math.Float32frombits(uint32(bits))
		return floatLiteral(float64(f), 32, fmt.Sprintf("math.Float32frombits(%#x)", uint32(bits)))
	case d == tensor.F64:
		return floatLiteral(math.Float64frombits(bits), 64, fmt.Sprintf("math.Float64frombits(%#x)", bits))
	case d == tensor.Bool:
		return strconv.FormatBool(bits&1 == 1)
	case d.Class() == tensor.ClassInt:
		s := 64 - d.Bits()
		return strconv.FormatInt(int64(bits<<s)>>s, 10)
	}
	s := 64 - d.Bits()
	if bits = bits << s >> s; bits > 0xff {
		return fmt.Sprintf("%#x", bits)
	}
	return strconv.FormatUint(bits, 10)
}

// floatLiteral is a decimal, or other where Go has no literal of the number.
func floatLiteral(f float64, bits int, other string) string {
	if f != f || math.IsInf(f, 0) || f == 0 && math.Signbit(f) {
		return other
	}
	return strconv.FormatFloat(f, 'g', -1, bits)
}

// isLiteral reports whether a is a constant to Go's compiler.
func isLiteral(a string) bool {
	return a == "true" || a == "false" || strings.HasPrefix(a, "-") || a[0] >= '0' && a[0] <= '9'
}

// typed is a with a type: what to define a variable of type d by.
func typed(d tensor.DType, a string) string {
	if !isLiteral(a) || d == tensor.Bool {
		return a
	}
	return goType(d) + "(" + a + ")"
}

// bitsOf is the bits of x as an unsigned integer of its width.
func bitsOf(d tensor.DType, x string) string {
	switch {
	case d == tensor.F32:
		return "math.Float32bits(" + x + ")"
	case d == tensor.F64:
		return "math.Float64bits(" + x + ")"
	case isHalf(d) || d.Class() == tensor.ClassUint:
		return x
	}
	return uintType(d.Bits()) + "(" + x + ")"
}

// fromBits is the inverse of bitsOf.
func fromBits(d tensor.DType, x string) string {
	switch {
	case d == tensor.F32:
		return "math.Float32frombits(" + x + ")"
	case d == tensor.F64:
		return "math.Float64frombits(" + x + ")"
	case isHalf(d) || d.Class() == tensor.ClassUint:
		return x
	}
	return goType(d) + "(" + x + ")"
}

func uintType(bits int) string { return fmt.Sprintf("uint%d", bits) }
