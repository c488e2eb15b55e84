package tensorio

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// jnode is a JSON value. Numbers, true, false and null keep their text.
type jnode struct {
	kind byte // '[' array, '{' object, '"' string, '0' number, 't' true or false, 'n' null
	text string
	arr  []jnode
	keys []string
}

type jparser struct {
	b   []byte
	i   int
	err error
}

func (p *jparser) fail(what string) jnode {
	if p.err == nil {
		p.err = formatErr("JSON: %s at byte %d", what, p.i)
	}
	p.i = len(p.b)
	return jnode{}
}

func (p *jparser) peek() byte {
	for p.i < len(p.b) && (p.b[p.i] == ' ' || p.b[p.i] == '\n' || p.b[p.i] == '\t' || p.b[p.i] == '\r') {
		p.i++
	}
	if p.i >= len(p.b) {
		return 0
	}
	return p.b[p.i]
}

// jsonWords are the values that are words; those of Python's json module for non-finite numbers too.
var jsonWords = map[string]byte{"true": 't', "false": 't', "null": 'n', "NaN": '0', "Infinity": '0', "-Infinity": '0'}

func (p *jparser) value(depth int) jnode {
	if depth > 64 {
		return p.fail("nested too deep")
	}
	switch c := p.peek(); {
	case c == '[':
		return p.list('[', ']', depth)
	case c == '{':
		return p.list('{', '}', depth)
	case c == '"':
		return jnode{kind: '"', text: p.str()}
	}
	end := p.i
	for end < len(p.b) && strings.IndexByte(" \n\t\r,]}:[{\"", p.b[end]) < 0 {
		end++
	}
	w := string(p.b[p.i:end])
	k, ok := jsonWords[w]
	if !ok {
		if _, err := strconv.ParseFloat(w, 64); err != nil && !strings.Contains(err.Error(), "range") || strings.ContainsAny(w, "xXnNiI_pP") {
			return p.fail("no value")
		}
		k = '0'
	}
	p.i = end
	return jnode{kind: k, text: w}
}

// list reads an array or an object.
func (p *jparser) list(open, end byte, depth int) jnode {
	n := jnode{kind: open}
	p.i++
	for first := true; ; first = false {
		c := p.peek()
		if c == end {
			p.i++
			return n
		}
		if !first {
			if c != ',' {
				return p.fail("want a comma or the end of the list")
			}
			p.i++
			c = p.peek()
		}
		if open == '{' {
			if c != '"' {
				return p.fail("want a key")
			}
			n.keys = append(n.keys, p.str())
			if p.peek() != ':' {
				return p.fail("want a colon")
			}
			p.i++
		}
		n.arr = append(n.arr, p.value(depth+1))
		if p.err != nil {
			return n
		}
	}
}

func (p *jparser) str() string {
	p.i++
	var out []byte
	for p.i < len(p.b) {
		c := p.b[p.i]
		p.i++
		switch {
		case c == '"':
			return string(out)
		case c < ' ':
			p.fail("control character in a string")
			return ""
		case c != '\\':
			out = append(out, c)
		default:
			out = p.escape(out)
		}
	}
	p.fail("string without end")
	return ""
}

var jsonEscapes = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

func (p *jparser) escape(out []byte) []byte {
	if p.i >= len(p.b) {
		return out
	}
	c := p.b[p.i]
	p.i++
	if e, ok := jsonEscapes[c]; ok {
		return append(out, e)
	}
	r := p.hex()
	if c != 'u' || r < 0 {
		p.fail("unknown escape")
		return out
	}
	if utf16.IsSurrogate(r) && bytes.HasPrefix(p.b[p.i:], []byte(`\u`)) {
		p.i += 2
		r = utf16.DecodeRune(r, p.hex())
	}
	return utf8.AppendRune(out, r)
}

// hex reads four hexadecimal digits; -1 where there are none.
func (p *jparser) hex() rune {
	if p.i+4 > len(p.b) {
		return -1
	}
	v, err := strconv.ParseUint(string(p.b[p.i:p.i+4]), 16, 16)
	if err != nil {
		return -1
	}
	p.i += 4
	return rune(v)
}

// DecodeJSON reads a value: nested lists of numbers, booleans or strings as a tensor of w.DType
// (Invalid: f32 for numbers, or i64 where all are integers); {"dtype": "f32", "shape": [2,3], "data":
// [...]} with data nested or flat, complex numbers as [re, im] one after the other; a list of such
// objects or w.Kind KindSeq for a sequence; {"keys": [...], "values": ...} for a map, its values a sequence or a
// tensor (of w.DType) of which slice i belongs to key i; null for an absent optional.
func DecodeJSON(b []byte, w Want) (hostop.Value, error) {
	p := &jparser{b: b}
	n := p.value(0)
	if p.err == nil && p.peek() != 0 {
		p.fail("something after the value")
	}
	if p.err != nil {
		return nil, p.err
	}
	return fromJSON(n, w)
}

func fromJSON(n jnode, w Want) (hostop.Value, error) {
	switch {
	case n.kind == 'n':
		return nil, nil
	case n.kind == '[' && (w.Kind == KindSeq || len(n.arr) > 0 && n.arr[0].kind == '{'):
		s := hostop.Seq{}
		for _, e := range n.arr {
			v, err := fromJSON(e, Want{DType: w.DType})
			if err != nil {
				return nil, err
			}
			s = append(s, v)
		}
		return s, nil
	case n.kind == '{' && slices.Contains(n.keys, "keys"):
		return jsonMap(n, w)
	case n.kind == '{':
		return asValue(jsonObject(n, w.DType))
	}
	return asValue(jsonTensor(n, w.DType, jsonShapeOf(n, nil, w.DType)))
}

func jsonMap(n jnode, w Want) (hostop.Value, error) {
	var keys, values hostop.Value
	for i, k := range n.keys {
		var err error
		switch k {
		case "keys":
			keys, err = asValue(jsonTensor(n.arr[i], tensor.Invalid, jsonShape(n.arr[i], nil)))
		case "values":
			values, err = fromJSON(n.arr[i], Want{DType: w.DType})
		default:
			err = formatErr(`JSON: key %q; want "keys" and "values"`, k)
		}
		if err != nil {
			return nil, err
		}
	}
	kt, ok := keys.(*tensor.Tensor)
	if ok && kt.Len() == 0 {
		kt = tensor.New(tensor.I64, 0)
	}
	if !ok || kt.DType != tensor.I64 && kt.DType != tensor.String {
		return nil, formatErr("JSON: the keys of a map must be integers or strings")
	}
	m := &hostop.Map{Keys: kt, Values: hostop.Seq{}}
	switch v := values.(type) {
	case hostop.Seq:
		m.Values = v
	case *tensor.Tensor:
		var err error
		if m, err = hostop.NewMap(kt, v); err != nil {
			return nil, formatErr("JSON: %w", err)
		}
	default:
		return nil, formatErr(`JSON: a map without "values"`)
	}
	return m, checkMap(m)
}

// jsonShape follows the first elements of nested lists.
func jsonShape(n jnode, shape []int64) []int64 {
	shape = append([]int64{}, shape...)
	for n.kind == '[' {
		shape = append(shape, int64(len(n.arr)))
		if len(n.arr) == 0 {
			break
		}
		n = n.arr[0]
	}
	return shape
}

func jsonObject(n jnode, d tensor.DType) (*tensor.Tensor, error) {
	var data *jnode
	var shape []int64
	for i, k := range n.keys {
		v := n.arr[i]
		switch k {
		case "dtype":
			var ok bool
			if d, ok = tensor.ParseDType(v.text); !ok || v.kind != '"' {
				return nil, formatErr("JSON: no dtype %q", v.text)
			}
		case "shape":
			shape = []int64{}
			for _, e := range v.arr {
				x, err := strconv.ParseInt(e.text, 10, 64)
				if err != nil || x < 0 {
					return nil, formatErr("JSON: dimension %q", e.text)
				}
				shape = append(shape, x)
			}
		case "data":
			data = &v
		default:
			return nil, formatErr(`JSON: key %q; want "dtype", "shape" and "data"`, k)
		}
	}
	if data == nil {
		return nil, formatErr(`JSON: an object without "data"`)
	}
	if shape == nil {
		shape = jsonShapeOf(*data, nil, d)
	}
	return jsonTensor(*data, d, shape)
}

// jsonShapeOf is jsonShape of lists of elements of type d: a complex one is a list [re, im].
func jsonShapeOf(n jnode, shape []int64, d tensor.DType) []int64 {
	shape = jsonShape(n, shape)
	if d.Class() == tensor.ClassComplex && len(shape) > 0 {
		shape = shape[:len(shape)-1]
	}
	return shape
}

// leaves appends the scalars of n in order.
func (n *jnode) leaves(to []*jnode) []*jnode {
	if n.kind != '[' {
		return append(to, n)
	}
	for i := range n.arr {
		to = n.arr[i].leaves(to)
	}
	return to
}

// regular reports whether nested lists have the given shape.
func (n *jnode) regular(shape []int64) bool {
	if n.kind != '[' || len(shape) == 0 {
		return n.kind != '[' && len(shape) == 0
	}
	if int64(len(n.arr)) != shape[0] {
		return false
	}
	for i := range n.arr {
		if !n.arr[i].regular(shape[1:]) {
			return false
		}
	}
	return true
}

func jsonTensor(n jnode, d tensor.DType, shape []int64) (*tensor.Tensor, error) {
	ls := n.leaves(nil)
	if d == tensor.Invalid {
		d = guessDType(ls)
	}
	per := 1
	if d.Class() == tensor.ClassComplex {
		per = 2
	}
	count, err := elements(shape, 8, int64(len(ls)))
	if err != nil {
		return nil, err
	}
	flat := n.regular([]int64{int64(len(ls))})
	if count*int64(per) != int64(len(ls)) || per == 1 && !flat && !n.regular(shape) {
		return nil, formatErr("JSON: %d values in lists that do not have the shape %s", len(ls), tensor.ShapeString(shape))
	}
	if d == tensor.String {
		ss := make([]string, len(ls))
		for i, l := range ls {
			if l.kind != '"' {
				return nil, formatErr("JSON: %s where a string is wanted", l.text)
			}
			ss[i] = l.text
		}
		return tensor.OfStrings(ss, shape...), nil
	}
	t := tensor.New(d, shape...)
	for i, l := range ls {
		if err := setJSON(t, i, l); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func guessDType(ls []*jnode) tensor.DType {
	d := tensor.F32
	for i, l := range ls {
		switch {
		case l.kind == '"':
			return tensor.String
		case l.kind == 't':
			return tensor.Bool
		case strings.ContainsAny(l.text, ".eENI"):
			return tensor.F32
		case i == 0:
			d = tensor.I64
		}
	}
	return d
}

// setJSON stores scalar l as element i of t (part i of a complex tensor).
func setJSON(t *tensor.Tensor, i int, l *jnode) error {
	text := l.text
	switch {
	case l.kind == 't' && (t.DType == tensor.Bool || t.DType.IsInt()):
		text = map[string]string{"true": "1", "false": "0"}[text]
	case l.kind != '0':
		return formatErr("JSON: %q where a number of type %v is wanted", l.text, t.DType)
	}
	bad := formatErr("JSON: %s does not fit %v", text, t.DType)
	bits := t.DType.Bits()
	switch t.DType.Class() {
	case tensor.ClassInt:
		v, err := strconv.ParseInt(text, 10, bits)
		if err != nil {
			return bad
		}
		putBits(t.Data, i, bits, uint64(v))
	case tensor.ClassUint, tensor.ClassBool:
		if t.DType == tensor.Bool {
			bits = 1
		}
		v, err := strconv.ParseUint(text, 10, bits)
		if err != nil {
			return bad
		}
		putBits(t.Data, i, t.DType.Bits(), v)
	default:
		// Out of the range of float64: the infinity that ParseFloat returns.
		f, _ := strconv.ParseFloat(text, 64)
		putFloat(t, i, f)
	}
	return nil
}

// putBits stores the low w bits of v as element i of width w.
func putBits(b []byte, i, w int, v uint64) {
	if w < 8 {
		b[i*w/8] |= uint8(v) & (1<<w - 1) << (i * w % 8)
		return
	}
	var x [8]byte
	binary.LittleEndian.PutUint64(x[:], v)
	copy(b[i*w/8:(i+1)*w/8], x[:])
}

// putFloat rounds f to t's type. Types of at most 8 bits get the nearest finite number, even codes at ties.
func putFloat(t *tensor.Tensor, i int, f float64) {
	switch t.DType {
	case tensor.F64, tensor.C128:
		putBits(t.Data, i, 64, math.Float64bits(f))
	case tensor.F32, tensor.C64:
		putBits(t.Data, i, 32, uint64(math.Float32bits(float32(f))))
	case tensor.F16:
		putBits(t.Data, i, 16, uint64(tensor.F32ToF16(float32(f))))
	case tensor.BF16:
		putBits(t.Data, i, 16, uint64(tensor.F32ToBF16(float32(f))))
	default:
		w := t.DType.Bits()
		best, dist := 0, math.Inf(1)
		for code := range 1 << w {
			v := tensor.MiniToF64(t.DType, uint8(code))
			if f != f {
				if v != v {
					best = code
				}
				continue
			}
			d := math.Abs(v - min(max(f, -1e300), 1e300))
			if v == f { // infinities too
				d = 0
			}
			if d < dist || d == dist && code%2 == 0 && math.Signbit(v) == math.Signbit(f) {
				best, dist = code, d
			}
		}
		putBits(t.Data, i, w, uint64(best))
	}
}

// EncodeJSON writes a tensor as {"dtype", "shape", "data"} with flat data, a sequence as a list of
// those, a map as {"keys", "values"}, nil as null. NaN and infinities are written as Python's json module does.
func EncodeJSON(w io.Writer, v hostop.Value) error {
	_, err := w.Write(append(appendJSON(nil, v), '\n'))
	return err
}

func appendJSON(b []byte, v hostop.Value) []byte {
	switch v := v.(type) {
	case *tensor.Tensor:
		b = append(b, `{"dtype":"`+v.DType.String()+`","shape":`...)
		b = append(b, tensor.ShapeString(v.Shape)...)
		b = append(b, `,"data":[`...)
		for i := range int(scalars(v)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendScalar(b, v, i)
		}
		return append(b, "]}"...)
	case hostop.Seq:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, e)
		}
		return append(b, ']')
	case *hostop.Map:
		b = append(b, `{"keys":[`...)
		for i := range int(v.Keys.Len()) {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendScalar(b, v.Keys, i)
		}
		b = append(b, `],"values":`...)
		if t, ok := v.Stacked(); ok {
			b = appendJSON(b, t)
		} else {
			b = appendJSON(b, v.Values)
		}
		return append(b, '}')
	}
	return append(b, "null"...)
}

// scalars counts the numbers or strings of t: two per complex element.
func scalars(t *tensor.Tensor) int64 {
	if t.DType.Class() == tensor.ClassComplex {
		return 2 * t.Len()
	}
	return t.Len()
}

// FormatElement gives element i as text: a number as short as identifies it, a quoted string, true or
// false, (re+imi).
func FormatElement(t *tensor.Tensor, i int64) string {
	if t.DType.Class() == tensor.ClassComplex {
		im := string(appendScalar(nil, t, int(2*i+1)))
		if im[0] != '-' {
			im = "+" + im
		}
		return "(" + string(appendScalar(nil, t, int(2*i))) + im + "i)"
	}
	return string(appendScalar(nil, t, int(i)))
}

func appendScalar(b []byte, t *tensor.Tensor, i int) []byte {
	le := binary.LittleEndian
	switch t.DType {
	case tensor.String:
		return AppendQuoted(b, t.Strings[i])
	case tensor.Bool:
		return strconv.AppendBool(b, t.Data[i] != 0)
	case tensor.U64:
		return strconv.AppendUint(b, le.Uint64(t.Data[8*i:]), 10)
	case tensor.C64:
		return AppendFloat(b, float64(math.Float32frombits(le.Uint32(t.Data[4*i:]))), 32)
	case tensor.C128:
		return AppendFloat(b, math.Float64frombits(le.Uint64(t.Data[8*i:])), 64)
	}
	if v, ok := t.IntAt(int64(i)); ok {
		return strconv.AppendInt(b, v, 10)
	}
	bits := 32
	if t.DType == tensor.F64 {
		bits = 64
	}
	return AppendFloat(b, t.At(int64(i)), bits)
}

// AppendFloat appends a JSON number, NaN, Infinity or -Infinity.
func AppendFloat(b []byte, f float64, bits int) []byte {
	switch {
	case f != f:
		return append(b, "NaN"...)
	case math.IsInf(f, 1):
		return append(b, "Infinity"...)
	case math.IsInf(f, -1):
		return append(b, "-Infinity"...)
	}
	return strconv.AppendFloat(b, f, 'g', -1, bits)
}

// AppendQuoted appends a JSON string. Bytes that are not UTF-8 become U+FFFD.
func AppendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ':
			b = append(b, `\u00`...)
			b = append(b, "0123456789abcdef"[r>>4], "0123456789abcdef"[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}
