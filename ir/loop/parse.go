package loop

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// Parse reads the kernels that Print wrote, one after the other.
func Parse(src string) (fs []*Func, err error) {
	p := &parser{}
	for i, l := range strings.Split(src, "\n") {
		l, _, _ = strings.Cut(l, "//")
		if t := strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ", ",", " , ", "[", " [ ", "]", " ] ").Replace(l)); len(t) > 0 {
			p.lines = append(p.lines, line{i + 1, t})
		}
	}
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(parseError)
			if !ok {
				panic(r)
			}
			fs, err = nil, e
		}
	}()
	for p.at < len(p.lines) {
		fs = append(fs, p.kernel())
	}
	return fs, nil
}

type line struct {
	no  int
	tok []string
}

type parser struct {
	lines []line
	at    int
	cur   line
	f     *Func
	vals  map[string]*Value
	bufs  map[string]*Buf
}

type parseError struct {
	line int
	msg  string
}

func (e parseError) Error() string { return fmt.Sprintf("loop: line %d: %s", e.line, e.msg) }

func (p *parser) fail(format string, args ...any) {
	panic(parseError{p.cur.no, fmt.Sprintf(format, args...)})
}

func (p *parser) nextLine() {
	if p.at >= len(p.lines) {
		p.fail("the text ends inside a kernel")
	}
	p.cur = p.lines[p.at]
	p.at++
}

func (p *parser) peek() string {
	if len(p.cur.tok) == 0 {
		return ""
	}
	return p.cur.tok[0]
}

func (p *parser) tok() string {
	if len(p.cur.tok) == 0 {
		p.fail("the line ends too early")
	}
	t := p.cur.tok[0]
	p.cur.tok = p.cur.tok[1:]
	return t
}

func (p *parser) want(t string) {
	if g := p.tok(); g != t {
		p.fail("got %q, want %q", g, t)
	}
}

func (p *parser) number() uint64 {
	t := p.tok()
	n, err := strconv.ParseUint(t, 0, 64)
	if err != nil {
		p.fail("%q is not a number", t)
	}
	return n
}

func (p *parser) typ() Type {
	t := p.tok()
	elem, lanes, vec := t, "1", false
	if i := strings.LastIndexByte(t, 'x'); i > 0 && !strings.HasSuffix(t[:i], "e") {
		elem, lanes, vec = t[:i], t[i+1:], true
	}
	d, ok := tensor.ParseDType(elem)
	n, err := strconv.Atoi(lanes)
	if !ok || err != nil || n < 1 || n > 1024 || vec && n == 1 {
		p.fail("%q is not a type", t)
	}
	return Type{d, n}
}

func (p *parser) define(t Type) *Value {
	name := p.tok()
	return p.defineAs(name, t)
}

func (p *parser) defineAs(name string, t Type) *Value {
	if !strings.HasPrefix(name, "%") || p.vals[name] != nil {
		p.fail("%q is not a new value", name)
	}
	v := p.f.newValue(t, "")
	p.vals[name] = v
	return v
}

func (p *parser) value() *Value {
	t := p.tok()
	v := p.vals[t]
	if v == nil {
		p.fail("value %q is not defined", t)
	}
	return v
}

func (p *parser) values() (vs []*Value) {
	for strings.HasPrefix(p.peek(), "%") {
		vs = append(vs, p.value())
	}
	return vs
}

func (p *parser) kernel() *Func {
	p.nextLine()
	p.want("kernel")
	p.f = &Func{Name: p.tok(), Body: &Block{}}
	p.vals, p.bufs = map[string]*Value{}, map[string]*Buf{}
	p.want("(")
	for p.peek() != ")" {
		p.param()
		if p.peek() == "," {
			p.tok()
		}
	}
	p.want(")")
	p.want("range")
	p.f.Lo, p.f.Hi = p.define(Index), p.define(Index)
	p.want("{")
	p.block(p.f.Body)
	return p.f
}

func (p *parser) param() {
	name := p.tok()
	if strings.HasPrefix(name, "%") {
		v := p.defineAs(name, Index)
		p.want("arg")
		p.f.Ints, p.f.IntArgs = append(p.f.Ints, v), append(p.f.IntArgs, p.small())
		return
	}
	b := &Buf{Name: name, Elem: p.typ().Elem, Arg: -1}
	switch k := p.tok(); k {
	case "local":
		b.N, b.Write = int64(p.small()), true
	case "arg":
		b.Arg = p.small()
		if p.peek() == "write" {
			p.tok()
			b.Write = true
		}
	default:
		p.fail("got %q, want arg or local", k)
	}
	if p.bufs[name] != nil {
		p.fail("two buffers %q", name)
	}
	p.bufs[name] = b
	p.f.Bufs = append(p.f.Bufs, b)
}

// small reads a number that is an index or a size.
func (p *parser) small() int {
	n := p.number()
	if n > 1<<20 {
		p.fail("%d is too large", n)
	}
	return int(n)
}

// block reads lines up to the closing brace, which stays the current line.
func (p *parser) block(b *Block) {
	for {
		p.nextLine()
		switch p.peek() {
		case "}":
			p.tok()
			return
		case "yield":
			p.tok()
			b.Yield = p.values()
			continue
		}
		b.Instrs = append(b.Instrs, p.instr())
	}
}

var opByName = func() map[string]Op {
	m := map[string]Op{}
	for o, i := range opInfos {
		m[i.name] = Op(o)
	}
	return m
}()

func (p *parser) instr() *Instr {
	type result struct {
		name string
		t    Type
	}
	var res []result
	for strings.HasPrefix(p.peek(), "%") {
		n := p.tok()
		res = append(res, result{n, p.typ()})
		if p.tok() == "=" {
			break
		}
	}
	name := p.tok()
	op, ok := opByName[name]
	if !ok {
		p.fail("no operation %q", name)
	}
	in := &Instr{Op: op}
	p.operands(in)
	for _, r := range res {
		in.Results = append(in.Results, p.defineAs(r.name, r.t))
	}
	if len(p.cur.tok) > 0 {
		p.fail("%q is left over", p.peek())
	}
	return in
}

func (p *parser) operands(in *Instr) {
	switch in.Op {
	case OpConst:
		in.Imm = p.number()
		return
	case OpCmp:
		t := p.tok()
		for i, n := range predNames {
			if n == t {
				in.Pred = Pred(i)
				in.Args = p.values()
				return
			}
		}
		p.fail("no comparison %q", t)
	case OpFor:
		p.forLoop(in)
		return
	case OpIf:
		in.Args = p.values()
		p.want("{")
		in.Blocks = []*Block{{}, {}}
		p.block(in.Blocks[0])
		p.want("else")
		p.want("{")
		p.block(in.Blocks[1])
		return
	}
	if in.Op.Addresses() {
		t := p.tok()
		if in.Buf = p.bufs[t]; in.Buf == nil {
			p.fail("no buffer %q", t)
		}
	}
	in.Args = p.values()
	switch in.Op {
	case OpExtract:
		in.Imm = uint64(p.small())
	case OpShuffle:
		p.want("[")
		for p.peek() != "]" {
			in.Lanes = append(in.Lanes, p.small())
			if p.peek() == "," {
				p.tok()
			}
		}
		p.want("]")
	}
}

func (p *parser) forLoop(in *Instr) {
	in.Args = p.values()
	p.want("step")
	in.Imm = uint64(p.small())
	p.want("(")
	blk := &Block{}
	for p.peek() != ")" {
		n := p.tok()
		blk.Params = append(blk.Params, p.defineAs(n, p.typ()))
		if p.peek() == "," {
			p.tok()
		}
	}
	p.want(")")
	p.want("{")
	in.Blocks = []*Block{blk}
	p.block(blk)
}
