package opt

import (
	"fmt"

	"github.com/nnc-go/nnc/ir/loop"
)

// expander replaces what is not native by what rules make of it.
type expander struct {
	b     *loop.Builder
	t     *Target
	defs  map[*loop.Value]*loop.Instr
	repl  map[*loop.Value]*loop.Value
	local map[string]*loop.Buf // memory of operations that are done lane by lane
	again bool                 // a rule made vectors that are too wide
	err   error
}

// expand reports whether what it made is to be split, and expanded again.
func expand(f *loop.Func, t *Target) (again bool, err error) {
	e := &expander{b: loop.Rewrite(f, level), t: t, defs: map[*loop.Value]*loop.Instr{}, repl: map[*loop.Value]*loop.Value{}, local: map[string]*loop.Buf{}}
	for _, b := range f.Bufs {
		e.local[b.Name] = b
	}
	e.block(f.Body, 0)
	if e.err != nil {
		return false, fmt.Errorf("opt: %s: %w", f.Name, e.err)
	}
	return e.again, nil
}

func (e *expander) block(b *loop.Block, depth int) {
	old := b.Instrs
	b.Instrs = nil
	e.b.In(b, func() { e.list(old, depth) })
	e.replace(b.Yield)
}

func (e *expander) replace(vs []*loop.Value) {
	for i, v := range vs {
		if w := e.repl[v]; w != nil {
			vs[i] = w
		}
	}
}

func (e *expander) list(ins []*loop.Instr, depth int) {
	for _, in := range ins {
		e.replace(in.Args)
		for _, s := range in.Blocks {
			e.block(s, depth)
		}
		switch {
		case in.Op == loop.OpConst, len(in.Blocks) > 0:
			e.keep(in)
		case tooWide(in, e.t):
			e.again = true
			e.keep(in)
		case e.t.Native(in):
			e.keep(in)
		default:
			e.rule(in, depth)
		}
	}
}

func (e *expander) keep(in *loop.Instr) {
	for _, r := range in.Results {
		e.defs[r] = in
	}
	e.b.Append(in)
}

// rule writes in as something else, which may need rules itself.
func (e *expander) rule(in *loop.Instr, depth int) {
	if depth == maxDepth {
		e.fail(in)
		return
	}
	made := &loop.Block{}
	var r *loop.Value
	e.b.In(made, func() {
		for _, ru := range rules {
			if ru.op == in.Op && ru.when(in) {
				if r = ru.make(e.b, in); r != nil {
					return
				}
			}
		}
		r = e.lanes(in)
	})
	if len(made.Instrs) == 0 && r == nil {
		e.fail(in)
		return
	}
	e.list(made.Instrs, depth+1)
	if len(in.Results) > 0 {
		if w := e.repl[r]; w != nil {
			r = w
		}
		e.repl[in.Results[0]] = r
	}
}

func (e *expander) fail(in *loop.Instr) {
	if e.err != nil {
		return
	}
	s := ""
	for _, a := range in.Args {
		s += " " + a.Type.String()
	}
	for _, r := range in.Results {
		s += " -> " + r.Type.String()
	}
	e.err = fmt.Errorf("%v%s has neither a native form nor a rule", in.Op, s)
}
