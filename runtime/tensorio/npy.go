package tensorio

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nnc-go/nnc/runtime/tensor"
)

const npyMagic = "\x93NUMPY"

// npyTypes maps type characters and sizes of NumPy's array protocol to element types.
var npyTypes = map[string]tensor.DType{
	"f4": tensor.F32, "f8": tensor.F64, "f2": tensor.F16, "c8": tensor.C64, "c16": tensor.C128, "b1": tensor.Bool,
	"i1": tensor.I8, "i2": tensor.I16, "i4": tensor.I32, "i8": tensor.I64, "u1": tensor.U8, "u2": tensor.U16, "u4": tensor.U32, "u8": tensor.U64,
}

// npyStore says how element types without a NumPy type of their own are written: as opaque bytes of
// their size, the way the ml_dtypes package does, and those narrower than a byte as one byte each.
var npyStore = map[tensor.DType]string{
	tensor.BF16: "V2", tensor.F8E4M3FN: "V1", tensor.F8E4M3FNUZ: "V1", tensor.F8E5M2: "V1", tensor.F8E5M2FNUZ: "V1",
	tensor.F8E8M0: "V1", tensor.F4E2M1: "V1", tensor.I4: "i1", tensor.I2: "i1", tensor.U4: "u1", tensor.U2: "u1",
}

// DecodeNPY reads an .npy file of version 1 to 3 from b, which the result may share. want says which
// type opaque elements ("V1", "V2") and 4- and 2-bit integers stored in bytes have; Invalid if
// unknown.
func DecodeNPY(b []byte, want tensor.DType) (*tensor.Tensor, error) {
	h, data, err := npyHeader(b)
	if err != nil {
		return nil, err
	}
	swap := len(h.descr) > 0 && h.descr[0] == '>'
	code := strings.TrimLeft(h.descr, "<>|=")
	if code == "" {
		return nil, formatErr("npy: no type %q", h.descr)
	}
	if code[0] == 'U' || code[0] == 'S' || code[0] == 'a' {
		return npyStrings(h, code, swap, data)
	}
	d, ok := npyTypes[code]
	narrow := false
	if s, special := npyStore[want]; special && s == code {
		d, ok, narrow = want, true, want.Size() == 0
	}
	if !ok {
		return nil, formatErr("npy: type %q has no equivalent in ONNX", h.descr)
	}
	width := max(d.Bits(), 8)
	n, err := elements(h.shape, width, int64(len(data)))
	if err != nil {
		return nil, err
	}
	data = data[:n*int64(width/8)]
	if swap {
		data = swapped(data, d)
	}
	if h.fortran && len(h.shape) > 1 && n > 0 {
		data = fromFortran(data, h.shape, width/8)
	}
	if d == tensor.Bool {
		data = normalBool(data)
	}
	if narrow {
		data = pack(data, d)
	}
	return &tensor.Tensor{DType: d, Shape: h.shape, Data: aligned(data, d)}, nil
}

// swapped reverses the bytes of each number.
func swapped(data []byte, d tensor.DType) []byte {
	size := d.Size()
	if d.Class() == tensor.ClassComplex {
		size /= 2
	}
	out := tensor.AlignedBytes(int64(len(data)))
	copy(out, data)
	for i := 0; i+size <= len(out); i += size {
		slices.Reverse(out[i : i+size])
	}
	return out
}

// fromFortran turns column-major data into row-major.
func fromFortran(data []byte, shape []int64, size int) []byte {
	out := tensor.AlignedBytes(int64(len(data)))
	idx := make([]int64, len(shape))
	stride := make([]int64, len(shape))
	s := int64(size)
	for i, d := range shape {
		stride[i] = s
		s *= d
	}
	src := int64(0)
	for dst := 0; dst < len(out); dst += size {
		copy(out[dst:dst+size], data[src:])
		for i := len(shape) - 1; i >= 0; i-- {
			idx[i]++
			src += stride[i]
			if idx[i] < shape[i] {
				break
			}
			src -= stride[i] * shape[i]
			idx[i] = 0
		}
	}
	return out
}

// normalBool makes every nonzero byte 1, in a copy if there is another.
func normalBool(b []byte) []byte {
	for i, x := range b {
		if x > 1 {
			b = slices.Clone(b)
			for j := i; j < len(b); j++ {
				b[j] = min(b[j], 1)
			}
			return b
		}
	}
	return b
}

// pack puts one element per byte into as few bytes as d's elements fill, low bits first.
func pack(b []byte, d tensor.DType) []byte {
	w := d.Bits()
	out := tensor.AlignedBytes(d.Bytes(int64(len(b))))
	for i, x := range b {
		out[i*w/8] |= x & (1<<w - 1) << (i * w % 8)
	}
	return out
}

// unpack is the inverse of pack for n elements; signed integers are sign-extended.
func unpack(b []byte, d tensor.DType, n int64) []byte {
	w := d.Bits()
	out := make([]byte, n)
	for i := range out {
		x := b[i*w/8] >> (i * w % 8) & (1<<w - 1)
		if d.Class() == tensor.ClassInt && x>>(w-1) == 1 {
			x |= 0xff << w
		}
		out[i] = x
	}
	return out
}

type npyHead struct {
	descr   string
	fortran bool
	shape   []int64
}

// npyHeader splits a file into its header and the data.
func npyHeader(b []byte) (npyHead, []byte, error) {
	var h npyHead
	if len(b) < 10 || string(b[:6]) != npyMagic {
		return h, nil, formatErr("npy: no NumPy magic at the start")
	}
	off, n := 10, int(binary.LittleEndian.Uint16(b[8:]))
	switch b[6] {
	case 1:
	case 2, 3:
		if len(b) < 12 {
			return h, nil, formatErr("npy: header cut short")
		}
		off, n = 12, int(binary.LittleEndian.Uint32(b[8:]))
	default:
		return h, nil, formatErr("npy: version %d.%d, want 1 to 3", b[6], b[7])
	}
	if n > len(b)-off {
		return h, nil, formatErr("npy: header cut short")
	}
	p := &npyParser{s: string(b[off : off+n])}
	p.dict(&h)
	if p.err != nil {
		return h, nil, p.err
	}
	if h.shape == nil || h.descr == "" {
		return h, nil, formatErr("npy: header %q lacks descr or shape", strings.TrimSpace(p.s))
	}
	return h, b[off+n:], nil
}

// npyParser reads the Python dictionary that an .npy header is.
type npyParser struct {
	s   string
	i   int
	err error
}

func (p *npyParser) fail() {
	if p.err == nil {
		p.err = formatErr("npy: header not understood at byte %d: %q", p.i, strings.TrimSpace(p.s))
	}
	p.i = len(p.s)
}

// peek skips white space and gives the next byte, 0 at the end.
func (p *npyParser) peek() byte {
	for p.i < len(p.s) && strings.IndexByte(" \t\n", p.s[p.i]) >= 0 {
		p.i++
	}
	if p.i == len(p.s) {
		return 0
	}
	return p.s[p.i]
}

func (p *npyParser) expect(c byte) {
	if p.peek() != c {
		p.fail()
		return
	}
	p.i++
}

func (p *npyParser) str() string {
	q := p.peek()
	if q != '\'' && q != '"' {
		p.fail()
		return ""
	}
	end := strings.IndexByte(p.s[p.i+1:], q)
	if end < 0 {
		p.fail()
		return ""
	}
	s := p.s[p.i+1 : p.i+1+end]
	p.i += end + 2
	return s
}

func (p *npyParser) dict(h *npyHead) {
	p.expect('{')
	for p.err == nil && p.peek() != '}' {
		key := p.str()
		p.expect(':')
		switch key {
		case "descr":
			h.descr = p.str()
		case "fortran_order":
			p.peek()
			rest := p.s[p.i:]
			h.fortran = strings.HasPrefix(rest, "True")
			if !h.fortran && !strings.HasPrefix(rest, "False") {
				p.fail()
				return
			}
			p.i += len("True")
			if !h.fortran {
				p.i++
			}
		case "shape":
			p.tuple(h)
		default:
			p.fail()
		}
		if p.peek() == ',' {
			p.i++
		}
	}
	p.expect('}')
}

func (p *npyParser) tuple(h *npyHead) {
	p.expect('(')
	h.shape = []int64{}
	for p.err == nil && p.peek() != ')' {
		end := p.i
		for end < len(p.s) && (p.s[end] >= '0' && p.s[end] <= '9' || p.s[end] == '-') {
			end++
		}
		n, err := strconv.ParseInt(p.s[p.i:end], 10, 64)
		if err != nil || len(h.shape) >= 64 {
			p.fail()
			return
		}
		p.i = end
		h.shape = append(h.shape, n)
		if p.peek() == 'L' { // Python 2 wrote long integers so
			p.i++
		}
		if p.peek() == ',' {
			p.i++
		}
	}
	p.expect(')')
}

// npyStrings reads fixed-width strings: UCS-4 ("U") or bytes ("S"), padded with zeros.
func npyStrings(h npyHead, code string, swap bool, data []byte) (*tensor.Tensor, error) {
	width, err := strconv.Atoi(code[1:])
	if err != nil || width < 0 || width > 1<<28 {
		return nil, formatErr("npy: type %q", h.descr)
	}
	if code[0] == 'U' {
		width *= 4
	}
	// Strings of no characters need no data: let the shape be bounded as if they needed a byte.
	n, err := elements(h.shape, max(width, 1)*8, max(int64(len(data)), int64(1-min(width, 1))<<20))
	if err != nil {
		return nil, err
	}
	out := make([]string, n)
	for i := range out {
		b := data[i*width : (i+1)*width]
		if code[0] == 'U' {
			b = fromUCS4(b, swap)
		}
		out[i] = strings.TrimRight(string(b), "\x00")
	}
	if h.fortran && len(h.shape) > 1 {
		return nil, formatErr("npy: strings in Fortran order are not supported; save a C-contiguous copy")
	}
	return tensor.OfStrings(out, h.shape...), nil
}

func fromUCS4(b []byte, swap bool) []byte {
	var out []byte
	for ; len(b) >= 4; b = b[4:] {
		r := binary.LittleEndian.Uint32(b)
		if swap {
			r = bits.ReverseBytes32(r)
		}
		out = utf8.AppendRune(out, rune(min(r, utf8.MaxRune+1)))
	}
	return out
}

// EncodeNPY writes t as an .npy file of version 1 (3 if it must), row-major, little-endian. Types
// that NumPy lacks are stored as npyStore says.
func EncodeNPY(w io.Writer, t *tensor.Tensor) error {
	descr, data := "", t.Data
	if t.DType == tensor.String {
		descr, data = toUCS4(t.Strings)
	} else if s, ok := npyStore[t.DType]; ok {
		descr = "|" + s
		if s == "V2" {
			descr = "<V2"
		}
		if t.DType.Size() == 0 {
			data = unpack(t.Data, t.DType, t.Len())
		}
	} else {
		for code, d := range npyTypes {
			if d == t.DType {
				descr = "<" + code
			}
		}
		if t.DType.Size() == 1 {
			descr = "|" + descr[1:]
		}
	}
	var shape strings.Builder
	for i, d := range t.Shape {
		if i > 0 {
			shape.WriteByte(' ')
		}
		shape.WriteString(strconv.FormatInt(d, 10) + ",")
	}
	s := shape.String()
	if len(t.Shape) > 1 {
		s = s[:len(s)-1]
	}
	head := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, s)
	pad := 63 - (10+len(head))%64
	n := len(head) + pad + 1
	if n > 0xffff {
		return fmt.Errorf("npy: a shape of %d dimensions does not fit the header", len(t.Shape))
	}
	pre := append([]byte(npyMagic), 1, 0, byte(n), byte(n>>8))
	if _, err := w.Write(slices.Concat(pre, []byte(head), bytes.Repeat([]byte{' '}, pad), []byte{'\n'})); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

// toUCS4 gives the NumPy type and the bytes of strings.
func toUCS4(ss []string) (string, []byte) {
	width := 1
	for _, s := range ss {
		width = max(width, utf8.RuneCountInString(s))
	}
	var out []byte
	for _, s := range ss {
		end := len(out) + 4*width
		for _, r := range s {
			out = binary.LittleEndian.AppendUint32(out, uint32(r))
		}
		out = append(out, make([]byte, end-len(out))...)
	}
	return fmt.Sprintf("<U%d", width), out
}

// Named is an array of an .npz file.
type Named struct {
	Name string
	*tensor.Tensor
}

// maxNPZ bounds what one array of an .npz file may unpack to.
const maxNPZ = 16 << 30

// DecodeNPZ reads the arrays of an .npz file in their order. want gives the expected type of a name.
func DecodeNPZ(b []byte, want func(name string) tensor.DType) ([]Named, error) {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, formatErr("npz: %v", err)
	}
	var out []Named
	for _, f := range z.File {
		name := strings.TrimSuffix(f.Name, ".npy")
		r, err := f.Open()
		if err != nil {
			return nil, formatErr("npz: %s: %v", f.Name, err)
		}
		data, err := io.ReadAll(io.LimitReader(r, maxNPZ))
		r.Close()
		if err != nil {
			return nil, formatErr("npz: %s: %v", f.Name, err)
		}
		t, err := DecodeNPY(data, want(name))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		out = append(out, Named{name, t})
	}
	return out, nil
}

// fromNPZ chooses one array: the one named w.Name, or the only one.
func fromNPZ(b []byte, w Want) (*tensor.Tensor, error) {
	all, err := DecodeNPZ(b, func(string) tensor.DType { return w.DType })
	if err != nil {
		return nil, err
	}
	var names []string
	for _, n := range all {
		if n.Name == w.Name || len(all) == 1 {
			return n.Tensor, nil
		}
		names = append(names, n.Name)
	}
	return nil, fmt.Errorf("npz: no array %q; the file has %s", w.Name, strings.Join(names, ", "))
}
