package purego

import (
	"fmt"
	"strconv"

	"github.com/nnc-go/nnc/ir/loop"
)

// at is the address of element idx+off of a buffer.
func (r *renderer) at(b *loop.Buf, idx string, off int) string {
	size := b.Elem.Size()
	base := r.bufs[b]
	n, err := strconv.ParseInt(idx, 10, 64)
	switch {
	case err == nil && n == -int64(off):
		return base
	case err == nil:
		idx = strconv.FormatInt((n+int64(off))*int64(size), 10)
	default:
		if off != 0 {
			idx = fmt.Sprintf("(%s+%d)", idx, off)
		}
		if size > 1 {
			idx += fmt.Sprintf("*%d", size)
		}
	}
	return fmt.Sprintf("unsafe.Add(%s, %s)", base, idx)
}

// cell is an element of a buffer.
func (r *renderer) cell(b *loop.Buf, idx string, off int) string {
	return fmt.Sprintf("*(*%s)(%s)", goType(b.Elem), r.at(b, idx, off))
}

// vector is a new variable with the address of n elements from idx on.
func (r *renderer) vector(b *loop.Buf, idx string, n int) string {
	return r.def(r.temp(), "(*[%d]%s)(%s)", n, goType(b.Elem), r.at(b, idx, 0))
}

func load(r *renderer, in *loop.Instr, l int, dst string) string {
	idx, n := r.arg(lane{in.Args[0], 0}), in.Results[0].Type.Lanes
	if n == 1 {
		return r.def(dst, "%s", r.cell(in.Buf, idx, 0))
	}
	p, ok := r.ptrs[in]
	if !ok {
		p = r.vector(in.Buf, idx, n)
		if !r.dry {
			r.ptrs[in] = p
		}
	}
	return r.def(dst, "%s[%d]", p, l)
}

func loadMask(r *renderer, in *loop.Instr, l int, dst string) string {
	idx, m := r.arg(lane{in.Args[0], 0}), r.arg(lane{in.Args[1], l})
	d := in.Results[0].Type.Elem
	r.put("var %s %s", dst, goType(d))
	r.put("if %s {\n%s = %s\n}", m, dst, r.cell(in.Buf, idx, l))
	return dst
}

func gather(r *renderer, in *loop.Instr, l int, dst string) string {
	return r.def(dst, "%s", r.cell(in.Buf, r.arg(lane{in.Args[0], l}), 0))
}

// store writes OpStore and OpStoreMask.
func (r *renderer) store(in *loop.Instr) {
	idx, v := r.arg(lane{in.Args[0], 0}), in.Args[1]
	if in.Op == loop.OpStore && v.Type.Lanes > 1 {
		p := r.vector(in.Buf, idx, v.Type.Lanes)
		for l := range v.Type.Lanes {
			r.put("%s[%d] = %s", p, l, r.arg(lane{v, l}))
		}
		return
	}
	for l := range v.Type.Lanes {
		set := fmt.Sprintf("%s = %s", r.cell(in.Buf, idx, l), r.arg(lane{v, l}))
		if in.Op == loop.OpStoreMask {
			set = fmt.Sprintf("if %s {\n%s\n}", r.arg(lane{in.Args[2], l}), set)
		}
		r.put("%s", set)
	}
}
