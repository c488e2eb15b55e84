package ir

import (
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// Parse reads a module in the text form (see Print). Large constants are references there, which
// cannot be loaded afterwards: ParseWith can resolve them. Errors begin with the line number.
func Parse(src string) (*Module, error) { return ParseWith(src, nil) }

// ParseWith is Parse that asks resolve for the contents of references, "sha256:...", as Data.Hash
// gives them; where it answers nil, loading the constant is an error.
func ParseWith(src string, resolve func(hash string) *Data) (m *Module, err error) {
	p := &parser{src: src, resolve: resolve, scope: map[string]*Value{}}
	defer func() {
		switch e := recover().(type) {
		case nil:
		case parseError:
			m, err = nil, fmt.Errorf("line %d: %s", 1+strings.Count(src[:min(p.i, len(src))], "\n"), e)
		default:
			panic(e)
		}
	}()
	return p.module(), nil
}

// parseError unwinds the parser; it never leaves the package.
type parseError string

// maxDepth bounds the nesting of regions and types.
const maxDepth = 64

type parser struct {
	src     string
	i       int
	depth   int
	m       *Module
	resolve func(hash string) *Data
	scope   map[string]*Value // the values that are visible, by what stands after "%"
}

func (p *parser) fail(format string, args ...any) { panic(parseError(fmt.Sprintf(format, args...))) }

// space skips spaces and comments.
func (p *parser) space() {
	for p.i < len(p.src) {
		switch c := p.src[p.i]; {
		case c == '#':
			n := strings.IndexByte(p.src[p.i:], '\n')
			if n < 0 {
				n = len(p.src) - p.i
			}
			p.i += n
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			p.i++
		default:
			return
		}
	}
}

// next is the beginning of what is left, for messages.
func (p *parser) next() string {
	s := p.src[p.i:]
	if s == "" {
		return "the end"
	}
	s, _, _ = strings.Cut(s, "\n")
	return strconv.Quote(s[:min(len(s), 20)])
}

// eat skips tok where it comes next.
func (p *parser) eat(tok string) bool {
	p.space()
	if !strings.HasPrefix(p.src[p.i:], tok) {
		return false
	}
	end := p.i + len(tok)
	if isWord(tok) && end < len(p.src) && isWordByte(p.src[end], false) {
		return false // a longer word
	}
	p.i = end
	return true
}

func (p *parser) want(tok string) {
	if !p.eat(tok) {
		p.fail("want %q, got %s", tok, p.next())
	}
}

// span takes the bytes for which ok holds.
func (p *parser) span(ok func(c byte, first bool) bool) string {
	start := p.i
	for p.i < len(p.src) && ok(p.src[p.i], p.i == start) {
		p.i++
	}
	return p.src[start:p.i]
}

func (p *parser) word(what string) string {
	p.space()
	if p.i < len(p.src) && p.src[p.i] == '"' {
		return p.str()
	}
	w := p.span(isWordByte)
	if w == "" {
		p.fail("want %s, got %s", what, p.next())
	}
	return w
}

func (p *parser) str() string {
	p.space()
	q, err := strconv.QuotedPrefix(p.src[p.i:])
	if err != nil || q[0] != '"' {
		p.fail("want a quoted string, got %s", p.next())
	}
	s, err := strconv.Unquote(q)
	if err != nil {
		p.fail("string %s: %v", q, err)
	}
	p.i += len(q)
	return s
}

func isNumberByte(c byte, _ bool) bool {
	return c == '-' || c == '+' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (p *parser) int() int64 {
	p.space()
	s := p.span(isNumberByte)
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		p.fail("want an integer, got %q %s", s, p.next())
	}
	return n
}

func (p *parser) float(bits int) float64 {
	p.space()
	s := p.span(isNumberByte)
	x, err := strconv.ParseFloat(s, bits)
	if err != nil {
		p.fail("want a number, got %q %s", s, p.next())
	}
	return x
}

// until calls each for the parts between here and the token end, separated by commas.
func (p *parser) until(end string, each func()) {
	if p.eat(end) {
		return
	}
	for {
		each()
		if p.eat(end) {
			return
		}
		p.want(",")
	}
}

func (p *parser) module() *Module {
	p.want("module")
	p.m = NewModule(p.str())
	for {
		switch {
		case p.eat("meta"):
			k := p.str()
			p.want("=")
			p.m.Meta[k] = p.str()
			continue
		case p.eat("default"):
			k := p.str()
			p.want("=")
			p.m.Defaults[k] = p.data()
			continue
		}
		break
	}
	p.want("graph")
	p.m.Graph = &Region{}
	p.region(p.m.Graph, true)
	if p.space(); p.i < len(p.src) {
		p.fail("want the end, got %s", p.next())
	}
	p.m.reserveSyms()
	return p.m
}

// external reads the name that a value has outside of the graph, where it differs from its own.
func (p *parser) external(own string) string {
	if p.eat("as") {
		return p.str()
	}
	return own
}

// region reads "(params) -> (results) { ops }"; the graph's values have external names too.
func (p *parser) region(r *Region, graph bool) {
	if p.depth++; p.depth > maxDepth {
		p.fail("regions are nested more than %d deep", maxDepth)
	}
	var own []string // the names that end with the region
	p.want("(")
	p.until(")", func() {
		v, key := p.def()
		if v == nil {
			p.fail("a parameter is absent")
		}
		r.AddParam(v)
		own = append(own, key)
		if graph {
			p.m.Inputs = append(p.m.Inputs, p.external(v.Name))
		}
	})
	p.want("->")
	p.want("(")
	resultsAt := p.i
	type result struct {
		key, external string
		named         bool
	}
	var results []result
	p.until(")", func() {
		res := result{key: p.key()}
		if graph && p.eat("as") {
			res.external, res.named = p.str(), true
		}
		results = append(results, res)
	})
	p.want("{")
	for !p.eat("}") {
		op, keys := p.op()
		r.Ops = append(r.Ops, op)
		own = append(own, keys...)
	}
	after := p.i
	p.i = resultsAt // for the line of an error
	for _, res := range results {
		v := p.scope[res.key]
		if v == nil {
			p.fail("result %%%s is not defined", res.key)
		}
		r.Results = append(r.Results, v)
		if graph && !res.named {
			res.external = v.Name
		}
		if graph {
			p.m.Outputs = append(p.m.Outputs, res.external)
		}
	}
	p.i = after
	for _, k := range own {
		delete(p.scope, k)
	}
	p.depth--
}

// key reads "%" and what names a value.
func (p *parser) key() string {
	p.want("%")
	k := p.span(func(c byte, _ bool) bool { return isWordByte(c, false) })
	if k == "" {
		p.fail("want the name of a value after %%, got %s", p.next())
	}
	return k
}

// def reads a value where it is defined, nil for "_", and makes it visible.
func (p *parser) def() (*Value, string) {
	if p.eat("_") {
		return nil, ""
	}
	key := p.key()
	if p.scope[key] != nil {
		p.fail("%%%s is defined twice", key)
	}
	name := key
	if key[0] >= '0' && key[0] <= '9' {
		name = ""
	}
	if p.space(); p.i < len(p.src) && p.src[p.i] == '"' {
		name = p.str()
	}
	v := p.m.NewValue(name, Type{})
	if p.eat(":") {
		v.Type = p.typ(0)
	}
	p.scope[key] = v
	return v, key
}

// use reads a value, nil for "_".
func (p *parser) use() *Value {
	if p.eat("_") {
		return nil
	}
	key := p.key()
	v := p.scope[key]
	if v == nil {
		p.fail("%%%s is not defined here", key)
	}
	return v
}

// op reads an op and gives the names of its results as well. The results become visible after its
// regions.
func (p *parser) op() (*Op, []string) {
	op := &Op{}
	var keys []string
	p.space()
	if c := p.i; c < len(p.src) && (p.src[c] == '%' || p.src[c] == '_') {
		p.until("=", func() {
			v, key := p.def()
			if v != nil {
				v.Def, v.Index = op, len(op.Results)
				keys = append(keys, key)
			}
			op.Results = append(op.Results, v)
		})
	}
	name := p.word("an op")
	if op.Info = OpByName(name); op.Info == nil {
		p.fail("no op %q", name)
	}
	hidden := make([]*Value, len(keys))
	for i, k := range keys { // an op does not see its own results
		hidden[i] = p.scope[k]
		delete(p.scope, k)
	}
	p.want("(")
	p.until(")", func() { op.Operands = append(op.Operands, p.use()) })
	if p.eat("{") {
		op.Attrs = Attrs{}
		p.until("}", func() { p.attr(op) })
	}
	if p.eat("@") {
		op.Origin.Node = p.str()
		op.Origin.Op, op.Origin.Domain = p.word("an ONNX op"), p.word("a domain")
		if op.Origin.Domain == "ai.onnx" {
			op.Origin.Domain = ""
		}
		op.Origin.Opset = int(p.int())
	}
	for p.eat("region") {
		r := &Region{}
		op.Regions = append(op.Regions, r)
		p.region(r, false)
	}
	for i, k := range keys {
		p.scope[k] = hidden[i]
	}
	return op, keys
}

func (p *parser) attr(op *Op) {
	name := p.word("an attribute")
	kind, ok := op.Info.Attrs[name]
	if !ok {
		p.fail("%s has no attribute %q, want one of %v", op.Info.Name, name, op.Info.AttrNames())
	}
	if op.Attrs[name] != nil {
		p.fail("attribute %q is given twice", name)
	}
	p.want("=")
	op.Attrs[name] = p.attrOf(kind)
}

func (p *parser) attrOf(kind AttrKind) any {
	switch kind {
	case AttrInt:
		return p.int()
	case AttrFloat:
		return p.float(64)
	case AttrString:
		return p.str()
	case AttrInts:
		return parseList(p, p.int)
	case AttrFloats:
		return parseList(p, func() float64 { return p.float(64) })
	case AttrStrs:
		return parseList(p, p.str)
	case AttrDType:
		return p.dtype()
	}
	return p.data()
}

func parseList[T any](p *parser, each func() T) []T {
	p.want("[")
	v := []T{}
	p.until("]", func() { v = append(v, each()) })
	return v
}

func (p *parser) dtype() tensor.DType {
	p.space()
	s := p.span(isIdent)
	d, ok := tensor.ParseDType(s)
	if !ok {
		p.fail("want an element type, got %q %s", s, p.next())
	}
	return d
}

// typ reads what Type.String prints.
func (p *parser) typ(depth int) Type {
	if depth > maxDepth {
		p.fail("types are nested more than %d deep", maxDepth)
	}
	for kind, name := range kindNames {
		if !p.eat(name) {
			continue
		}
		t := Type{Kind: kind}
		p.want("<")
		if kind == KindMap {
			t.DType = p.dtype()
			p.want(",")
		}
		e := p.typ(depth + 1)
		t.Elem = &e
		p.want(">")
		return t
	}
	t := Type{}
	if !p.eat("?") {
		t.DType = p.dtype()
	}
	if p.eat("[...]") {
		return t
	}
	if t.DType == tensor.Invalid && !strings.HasPrefix(p.src[p.i:], "[") {
		return t
	}
	p.want("[")
	t.Ranked = true
	t.Shape = []Dim{}
	p.until("]", func() { t.Shape = append(t.Shape, p.dim()) })
	return t
}

// dim reads up to the comma or bracket that ends it.
func (p *parser) dim() Dim {
	p.space()
	parens := 0
	s := p.span(func(c byte, _ bool) bool {
		switch c {
		case '(':
			parens++
		case ')':
			parens--
		}
		return c != ']' && c != '\n' && (c != ',' || parens > 0)
	})
	d, err := ParseDim(strings.TrimSpace(s))
	if err != nil {
		p.fail("%v", err)
	}
	return d
}

// data reads what dataText prints.
func (p *parser) data() *Data {
	d := &Data{DType: p.dtype()}
	d.Shape = parseList(p, p.int)
	n := int64(1)
	for _, x := range d.Shape {
		if x < 0 || x > 0 && n > (1<<56)/x {
			p.fail("shape %v", d.Shape)
		}
		n *= x
	}
	switch {
	case p.eat("sha256:"):
		p.reference(d)
		return d
	case p.eat("0x"):
		b, err := hex.DecodeString(p.span(func(c byte, _ bool) bool { return isIdent(c, false) }))
		if err != nil || int64(len(b)) != d.DType.Bytes(n) || d.DType == tensor.String {
			p.fail("want %d bytes in hex", d.DType.Bytes(n))
		}
		d.Load = loaded(b)
		return d
	case p.eat("random"):
		p.want("(")
		d.Load = loaded(p.random(d.DType, n, uint64(p.int())))
		p.want(")")
		return d
	}
	if d.DType == tensor.String {
		d.Strs = parseList(p, p.str)
		if int64(len(d.Strs)) != n {
			p.fail("%d strings for %v%v", len(d.Strs), d.DType, d.Shape)
		}
		return d
	}
	b := []byte{}
	count := int64(0)
	parseList(p, func() bool {
		b = p.element(b, d.DType)
		count++
		return true
	})
	if count != n {
		p.fail("%d elements for %v%v", count, d.DType, d.Shape)
	}
	d.Load = loaded(b)
	return d
}

func loaded(b []byte) func() ([]byte, error) {
	a := tensor.AlignedBytes(int64(len(b)))
	copy(a, b)
	return func() ([]byte, error) { return a, nil }
}

// reference reads the digits of a hash and resolves it.
func (p *parser) reference(d *Data) {
	d.hash = "sha256:" + p.span(func(c byte, _ bool) bool { return isIdent(c, false) })
	if p.resolve != nil {
		if r := p.resolve(d.hash); r != nil {
			if r.DType != d.DType || !slices.Equal(r.Shape, d.Shape) {
				p.fail("%s is %v%v, want %v%v", d.hash, r.DType, r.Shape, d.DType, d.Shape)
			}
			d.Load, d.Strs, d.Name = r.Load, r.Strs, r.Name
			return
		}
	}
	hash := d.hash
	d.Load = func() ([]byte, error) { return nil, fmt.Errorf("the contents of %s are not at hand", hash) }
}

// element reads an element of type d and appends its bytes.
func (p *parser) element(b []byte, d tensor.DType) []byte {
	var bits uint64
	switch {
	case d == tensor.Bool:
		if p.eat("true") {
			bits = 1
		} else {
			p.want("false")
		}
	case d == tensor.F32 || d == tensor.F64:
		bits = floatBits(p.float(d.Bits()), d)
	case d.IsInt() && d.Size() > 0 && d != tensor.U64:
		x := p.int()
		bits = uint64(x)
		low, high := int64(0), int64(1)<<(d.Bits()-1)-1
		if d.Class() == tensor.ClassInt {
			low = -high - 1
		} else {
			high = high<<1 | 1
		}
		if x < low || x > high {
			p.fail("%d does not fit %v", x, d)
		}
	default:
		p.fail("elements of type %v must be given in hex: 0x...", d)
	}
	for i := range d.Size() {
		b = append(b, byte(bits>>(8*i)))
	}
	return b
}

func floatBits(x float64, d tensor.DType) uint64 {
	if d == tensor.F32 {
		return uint64(math.Float32bits(float32(x)))
	}
	return math.Float64bits(x)
}
