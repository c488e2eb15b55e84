package loop

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Print writes f as text that Parse reads. Values are numbered in the order of their definition, so
// that kernels that do the same print the same.
//
//	kernel relu (b0 f32 arg 0, b1 f32 arg 1 write, t f32 local 64, %0 arg 2) range %1 %2 {
//	  %3 i64 = const 0x0
//	  for %1 %2 step 1 (%4 i64) {
//	    %5 f32x16 = load b0 %4
//	    store b1 %4 %5
//	    yield
//	  }
//	}
func Print(w io.Writer, f *Func) error {
	p := &printer{w: bufio.NewWriter(w), num: map[*Value]int{}}
	p.kernel(f)
	return p.w.Flush()
}

// String is the text form of f.
func (f *Func) String() string {
	var b strings.Builder
	Print(&b, f)
	return b.String()
}

type printer struct {
	w   *bufio.Writer
	num map[*Value]int
}

func (p *printer) def(v *Value) string {
	p.num[v] = len(p.num)
	return p.use(v)
}

func (p *printer) use(v *Value) string {
	n, ok := p.num[v]
	if !ok {
		return fmt.Sprintf("%%undefined%d", v.ID)
	}
	return fmt.Sprintf("%%%d", n)
}

func (p *printer) kernel(f *Func) {
	if f.Comment != "" {
		fmt.Fprintf(p.w, "// %s\n", strings.ReplaceAll(f.Comment, "\n", " "))
	}
	var params []string
	for _, b := range f.Bufs {
		s := fmt.Sprintf("%s %v", b.Name, b.Elem)
		if b.Arg < 0 {
			s += fmt.Sprintf(" local %d", b.N)
		} else {
			s += fmt.Sprintf(" arg %d", b.Arg)
			if b.Write {
				s += " write"
			}
		}
		params = append(params, s)
	}
	for i, v := range f.Ints {
		params = append(params, fmt.Sprintf("%s arg %d", p.def(v), f.IntArgs[i]))
	}
	fmt.Fprintf(p.w, "kernel %s (%s) range %s %s {\n", f.Name, strings.Join(params, ", "), p.def(f.Lo), p.def(f.Hi))
	p.block(f.Body, 1, false)
	fmt.Fprintln(p.w, "}")
}

func (p *printer) block(b *Block, depth int, yield bool) {
	for _, in := range b.Instrs {
		p.instr(in, depth)
	}
	if yield {
		fmt.Fprintf(p.w, "%*syield%s\n", 2*depth, "", p.args(b.Yield))
	}
}

func (p *printer) args(vs []*Value) string {
	var b strings.Builder
	for _, v := range vs {
		b.WriteString(" " + p.use(v))
	}
	return b.String()
}

func (p *printer) results(in *Instr) string {
	var s []string
	for _, v := range in.Results {
		s = append(s, p.def(v)+" "+v.Type.String())
	}
	if len(s) == 0 {
		return ""
	}
	return strings.Join(s, ", ") + " = "
}

func (p *printer) instr(in *Instr, depth int) {
	pad := strings.Repeat("  ", depth)
	switch in.Op {
	case OpFor:
		args := p.args(in.Args)
		var params []string
		blk := in.Blocks[0]
		for _, v := range blk.Params {
			params = append(params, p.def(v)+" "+v.Type.String())
		}
		head := fmt.Sprintf("for%s step %d (%s) {\n", args, in.Imm, strings.Join(params, ", "))
		fmt.Fprintf(p.w, "%s%s%s", pad, p.results(in), head)
		p.block(blk, depth+1, true)
		fmt.Fprintf(p.w, "%s}\n", pad)
		return
	case OpIf:
		args := p.args(in.Args)
		fmt.Fprintf(p.w, "%s%sif%s {\n", pad, p.results(in), args)
		p.block(in.Blocks[0], depth+1, true)
		fmt.Fprintf(p.w, "%s} else {\n", pad)
		p.block(in.Blocks[1], depth+1, true)
		fmt.Fprintf(p.w, "%s}\n", pad)
		return
	}
	rest := p.args(in.Args)
	switch in.Op {
	case OpConst:
		rest = fmt.Sprintf(" %#x", in.Imm)
	case OpExtract:
		rest += fmt.Sprintf(" %d", in.Imm)
	case OpCmp:
		rest = " " + in.Pred.String() + rest
	case OpShuffle:
		rest += " " + strings.ReplaceAll(fmt.Sprint(in.Lanes), " ", ",")
	}
	if in.Buf != nil {
		rest = " " + in.Buf.Name + rest
	}
	fmt.Fprintf(p.w, "%s%s%v%s\n", pad, p.results(in), in.Op, rest)
}

// Heading says in a few words what an OpFor runs over, as in "for 0 to %12 step 4"; constant gives the bits of
// those bounds that are constants.
func Heading(in *Instr, constant func(v *Value) (bits uint64, ok bool)) string {
	bound := func(v *Value) string {
		if n, ok := constant(v); ok {
			return fmt.Sprint(int64(n))
		}
		return fmt.Sprintf("%%%d", v.ID)
	}
	return fmt.Sprintf("for %s to %s step %d", bound(in.Args[0]), bound(in.Args[1]), int64(in.Imm))
}
