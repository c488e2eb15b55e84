package ir

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// The text form, as Parse reads it ("#" begins a comment, line breaks are spaces):
//
//	module "mnist"
//	meta "producer" = "pytorch"
//	default "x" = f32[2] [1, 2]
//	graph (%x: f32[N,2], %1 "conv 1": f32[N,2] as "input 1") -> (%y as "out") {
//	  %w: f32[2] = Const() {value = f32[2] [1, 2]}
//	  %y: f32[N,2] = Add(%x, %w) @ "node1" Add ai.onnx 13
//	  %a, _ = If(%c, _) @ "node2" If ai.onnx 13 region () -> (%b) {
//	    ...
//	  } region () -> (%d) {
//	    ...
//	  }
//	}
//
// A value is written by its name where that is a word and no other value has it, else by a number,
// with the name after it where it is defined. "_" is an absent operand or an unused result. A type may be
// left out: it is then unknown. Constants of more than maxInline elements are references:
// "f32[64,3,7,7] sha256:0123456789abcdef0123456789abcdef". For tests, "f32[64,3,7,7] random(1)" is read as
// pseudorandom multiples of 1/64 from -1/2 to 1/2, which the seed in parentheses decides.

// maxInline is the number of elements up to which constants are printed in place.
const maxInline = 16

// String is the module in the text form.
func (m *Module) String() string { return Print(m) }

// Print gives m in the text form.
func Print(m *Module) string {
	var b strings.Builder
	_ = Fprint(&b, m) // a strings.Builder does not fail
	return b.String()
}

// Fprint writes m in the text form; the error is that of w.
func Fprint(w io.Writer, m *Module) error {
	p := &printer{w: bufio.NewWriter(w), numbers: map[*Value]int{}, count: map[string]int{}}
	p.countNames(m.Graph)
	p.module(m)
	return p.w.Flush()
}

// String is the op in the text form, without its regions; values are named as a module would only
// where their names are words.
func (op *Op) String() string {
	var b strings.Builder
	p := &printer{w: bufio.NewWriter(&b), numbers: map[*Value]int{}, count: map[string]int{}}
	flat := *op
	flat.Regions = nil
	for _, v := range slices.Concat(op.Results, op.Operands) {
		if v != nil {
			p.numbers[v] = v.ID
		}
	}
	p.op(&flat)
	_ = p.w.Flush()
	return strings.TrimSpace(b.String())
}

type printer struct {
	w       *bufio.Writer
	depth   int
	count   map[string]int // how many values have a name
	numbers map[*Value]int
}

func (p *printer) print(parts ...string) {
	for _, s := range parts {
		p.w.WriteString(s)
	}
}

func (p *printer) line(parts ...string) {
	p.print(strings.Repeat("  ", p.depth))
	p.print(parts...)
}

func (p *printer) countNames(r *Region) {
	see := func(vs []*Value) {
		for _, v := range vs {
			if v != nil {
				p.count[v.Name]++
			}
		}
	}
	if r == nil {
		return
	}
	see(r.Params)
	for _, op := range r.Ops {
		see(op.Results)
		for _, s := range op.Regions {
			p.countNames(s)
		}
	}
}

// isWord reports whether s can be written without quotes.
func isWord(s string) bool {
	for i := range len(s) {
		if !isWordByte(s[i], i == 0) {
			return false
		}
	}
	return s != "" && s != "_"
}

func isWordByte(c byte, first bool) bool {
	return isIdent(c, first) || c == '/' || !first && c == '.'
}

// word quotes s where it must be.
func word(s string) string {
	if isWord(s) {
		return s
	}
	return strconv.Quote(s)
}

// named reports whether v is written by its name.
func (p *printer) named(v *Value) bool { return p.count[v.Name] <= 1 && isWord(v.Name) }

// def writes a value where it is defined.
func (p *printer) def(v *Value) {
	switch {
	case v == nil:
		p.print("_")
		return
	case p.named(v):
		p.print("%", v.Name)
	default:
		if _, ok := p.numbers[v]; !ok {
			p.numbers[v] = len(p.numbers)
		}
		p.print("%", strconv.Itoa(p.numbers[v]))
		if v.Name != "" {
			p.print(" ", strconv.Quote(v.Name))
		}
	}
	if !v.Type.Untyped() {
		p.print(": ", v.Type.String())
	}
}

// use writes a value where it is used; "%?" is one that nothing defined before.
func (p *printer) use(v *Value) {
	switch n, ok := p.numbers[v]; {
	case v == nil:
		p.print("_")
	case p.named(v):
		p.print("%", v.Name)
	case ok:
		p.print("%", strconv.Itoa(n))
	default:
		p.print("%?")
	}
}

// list writes vs, separated by commas.
func (p *printer) list(vs []*Value, each func(i int, v *Value)) {
	for i, v := range vs {
		if i > 0 {
			p.print(", ")
		}
		each(i, v)
	}
}

func (p *printer) module(m *Module) {
	p.print("module ", strconv.Quote(m.Name), "\n")
	for _, k := range slices.Sorted(maps.Keys(m.Meta)) {
		p.print("meta ", strconv.Quote(k), " = ", strconv.Quote(m.Meta[k]), "\n")
	}
	for _, k := range slices.Sorted(maps.Keys(m.Defaults)) {
		p.print("default ", strconv.Quote(k), " = ", dataText(m.Defaults[k]), "\n")
	}
	if m.Graph == nil {
		return
	}
	external := func(names []string, i int, v *Value) {
		if i < len(names) && (v == nil || names[i] != v.Name) {
			p.print(" as ", strconv.Quote(names[i]))
		}
	}
	p.print("graph ")
	p.region(m.Graph, func(i int, v *Value) { external(m.Inputs, i, v) }, func(i int, v *Value) { external(m.Outputs, i, v) })
	p.print("\n")
}

// region writes "(params) -> (results) {", the ops and "}". The results come first but are defined
// inside, so the body is written before them.
func (p *printer) region(r *Region, afterParam, afterResult func(i int, v *Value)) {
	p.print("(")
	p.list(r.Params, func(i int, v *Value) { p.def(v); afterParam(i, v) })
	p.print(") -> (")
	out := p.w
	var body strings.Builder
	p.w = bufio.NewWriter(&body)
	p.depth++
	for _, op := range r.Ops {
		p.op(op)
	}
	p.depth--
	_ = p.w.Flush()
	p.w = out
	p.list(r.Results, func(i int, v *Value) { p.use(v); afterResult(i, v) })
	p.print(") {\n", body.String())
	p.line("}")
}

func (p *printer) op(op *Op) {
	p.line()
	if len(op.Results) > 0 {
		p.list(op.Results, func(_ int, v *Value) { p.def(v) })
		p.print(" = ")
	}
	p.print(op.Info.Name, "(")
	p.list(op.Operands, func(_ int, v *Value) { p.use(v) })
	p.print(")")
	if len(op.Attrs) > 0 {
		p.print(" {")
		for i, k := range op.Attrs.Keys() {
			if i > 0 {
				p.print(", ")
			}
			p.print(word(k), " = ", attrText(op.Attrs[k]))
		}
		p.print("}")
	}
	if o := op.Origin; o != (Origin{}) {
		d := o.Domain
		if d == "" {
			d = "ai.onnx"
		}
		p.print(" @ ", strconv.Quote(o.Node), " ", word(o.Op), " ", word(d), " ", strconv.Itoa(o.Opset))
	}
	none := func(int, *Value) {}
	for _, r := range op.Regions {
		p.print(" region ")
		p.region(r, none, none)
	}
	p.print("\n")
}

func attrText(a any) string {
	switch v := a.(type) {
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return floatText(v, 64)
	case string:
		return strconv.Quote(v)
	case []int64:
		return listText(v, func(x int64) string { return strconv.FormatInt(x, 10) })
	case []float64:
		return listText(v, func(x float64) string { return floatText(x, 64) })
	case []string:
		return listText(v, strconv.Quote)
	case tensor.DType:
		return v.String()
	case *Data:
		return dataText(v)
	}
	return fmt.Sprintf("!%T", a) // Verify refuses such an attribute
}

// floatText prints x so that it reads back as the same number; NaNs are all alike.
func floatText(x float64, bits int) string { return strconv.FormatFloat(x, 'g', -1, bits) }

func listText[T any](v []T, each func(T) string) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, x := range v {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(each(x))
	}
	b.WriteByte(']')
	return b.String()
}

// dataText is a constant: its type, then its elements, its bytes in hex ("0x...") where the elements
// would not read back the same, or a reference.
func dataText(d *Data) string {
	if d == nil {
		return "!nil"
	}
	head := d.DType.String() + tensor.ShapeString(d.Shape) + " "
	if d.Len() > maxInline || d.Len() < 0 {
		return head + d.Hash()
	}
	t, err := d.Tensor()
	if err != nil {
		return head + d.Hash()
	}
	if d.DType == tensor.String {
		return head + listText(d.Strs, strconv.Quote)
	}
	elem := func(i int64) string {
		v, _ := t.IntAt(i)
		return strconv.FormatInt(v, 10)
	}
	switch {
	case d.DType == tensor.Bool:
		for _, b := range t.Data {
			if b > 1 {
				return head + "0x" + hex.EncodeToString(t.Data)
			}
		}
		elem = func(i int64) string { return strconv.FormatBool(t.Data[i] != 0) }
	case d.DType == tensor.F32 || d.DType == tensor.F64:
		for i := range d.Len() {
			if math.IsNaN(t.At(i)) {
				return head + "0x" + hex.EncodeToString(t.Data)
			}
		}
		elem = func(i int64) string { return floatText(t.At(i), d.DType.Bits()) }
	case !d.DType.IsInt() || d.DType.Size() == 0 || d.DType == tensor.U64:
		return head + "0x" + hex.EncodeToString(t.Data)
	}
	var b strings.Builder
	b.WriteByte('[')
	for i := range d.Len() {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(elem(i))
	}
	b.WriteByte(']')
	return head + b.String()
}

// hashMu guards Data.hash: modules share constants.
var hashMu sync.Mutex

// Hash names the contents of d: "sha256:" and half of the digits, which the text form refers to.
// "sha256:unreadable" is the hash of what cannot be loaded.
func (d *Data) Hash() string {
	hashMu.Lock()
	defer hashMu.Unlock()
	if d.hash != "" {
		return d.hash
	}
	t, err := d.Tensor()
	if err != nil {
		return "sha256:unreadable"
	}
	h := sha256.New()
	h.Write(t.Data)
	for _, s := range t.Strings {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	d.hash = "sha256:" + hex.EncodeToString(h.Sum(nil)[:16])
	return d.hash
}
