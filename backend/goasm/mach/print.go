package mach

import (
	"fmt"
	"io"
	"strings"
)

// Print writes an allocated function: header is its comment lines, params the size of its arguments.
func Print(w io.Writer, f *Func, m *Machine, phys []Phys, header string, params int) {
	for _, l := range strings.Split(strings.TrimSpace(header), "\n") {
		fmt.Fprintf(w, "// %s\n", l)
	}
	fmt.Fprintf(w, "TEXT ·%s(SB), NOSPLIT, $%d-%d\n", f.Name, f.FrameSize(m), params)
	p := &printer{w, f, m, phys}
	for _, in := range f.Insts {
		p.inst(in)
	}
	fmt.Fprintln(w)
}

// FrameSize is the size of the function's frame.
func (f *Func) FrameSize(m *Machine) int64 {
	if f.frame == 0 {
		return 0
	}
	return m.FrameBase + f.frame
}

type printer struct {
	w    io.Writer
	f    *Func
	m    *Machine
	phys []Phys
}

func (p *printer) inst(in *Inst) {
	comment := ""
	if in.Comment != "" {
		comment = " // " + in.Comment
	}
	if in.Flow == Mark {
		fmt.Fprintf(p.w, "L%d:%s\n", in.Args[0].Imm, comment)
		return
	}
	if in.Op == "" || in.Move && p.phys[in.Args[0].Reg] == p.phys[in.Args[1].Reg] && in.Encode == nil {
		return
	}
	var args []string
	for _, a := range in.Args {
		if a.Hidden {
			continue
		}
		args = append(args, p.arg(a))
	}
	text := in.Op
	if len(args) > 0 {
		text += "\t" + strings.Join(args, ", ")
	}
	if in.Encode == nil {
		fmt.Fprintf(p.w, "\t%s%s\n", text, comment)
		return
	}
	if in.Move && p.phys[in.Args[0].Reg] == p.phys[in.Args[1].Reg] {
		return
	}
	var regs []Phys
	in.eachReg(func(r *Reg, _ Mode) { regs = append(regs, p.phys[*r]) })
	for i, word := range in.Encode(regs) {
		c := ""
		if i == 0 {
			c = " // " + strings.ReplaceAll(text, "\t", " ")
		}
		fmt.Fprintf(p.w, "\t%s\t$%#x%s\n", p.m.Word, word, c)
	}
}

func (p *printer) reg(r Reg, view uint8) string {
	return p.m.Name(p.phys[r], p.f.regs[r].class, view)
}

func (p *printer) arg(a Arg) string {
	switch a.Kind {
	case KReg:
		return p.reg(a.Reg, a.View)
	case KImm:
		return fmt.Sprintf("$%d", a.Imm)
	case KLabel:
		return fmt.Sprintf("L%d", a.Imm)
	case KText:
		return a.Sym
	}
	s := ""
	if a.Sym != "" {
		s = a.Sym
	}
	if a.Imm != 0 || s != "" {
		s += fmt.Sprint(a.Imm)
	}
	s += "(" + p.reg(a.Reg, 0) + ")"
	if a.Index == 0 {
		return s
	}
	index := p.reg(a.Index, a.View)
	if p.m.Index != nil {
		return s + p.m.Index(index, a.Scale)
	}
	return fmt.Sprintf("%s(%s*%d)", s, index, a.Scale)
}
