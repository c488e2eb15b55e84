package loop

import "fmt"

// Simplify removes what a kernel does not need, without changing what it computes: constants are made
// once, at the top; equal pure instructions are merged where one dominates the other; instructions
// without a use are dropped, as are loops and conditionals that do nothing.
func Simplify(f *Func) {
	s := &simplifier{repl: map[*Value]*Value{}, consts: map[string]*Value{}, ids: map[*Value]int{}}
	s.block(f.Body, nil)
	f.Body.Instrs = append(s.top, f.Body.Instrs...)
	used := map[*Value]bool{}
	sweep(f.Body, used)
	numberValues(f)
}

type simplifier struct {
	repl   map[*Value]*Value
	consts map[string]*Value
	top    []*Instr
	ids    map[*Value]int
}

// scope holds the pure instructions that are visible, by what they compute.
type scope struct {
	outer *scope
	known map[string]*Value
}

func (s *scope) find(key string) *Value {
	for ; s != nil; s = s.outer {
		if v := s.known[key]; v != nil {
			return v
		}
	}
	return nil
}

func (s *simplifier) id(v *Value) int {
	n, ok := s.ids[v]
	if !ok {
		n = len(s.ids)
		s.ids[v] = n
	}
	return n
}

func (s *simplifier) key(in *Instr) string {
	b := fmt.Appendf(nil, "%d %d %d %v %v", in.Op, in.Imm, in.Pred, in.Results[0].Type, in.Lanes)
	for _, a := range in.Args {
		b = fmt.Appendf(b, " %d", s.id(a))
	}
	return string(b)
}

func (s *simplifier) block(b *Block, outer *scope) {
	sc := &scope{outer, map[string]*Value{}}
	kept := b.Instrs[:0]
	for _, in := range b.Instrs {
		s.replace(in.Args)
		switch {
		case in.Op == OpConst:
			k := s.key(in)
			if v := s.consts[k]; v != nil {
				s.repl[in.Results[0]] = v
				continue
			}
			s.consts[k] = in.Results[0]
			s.top = append(s.top, in)
			continue
		case opInfos[in.Op].pure:
			k := s.key(in)
			if v := sc.find(k); v != nil {
				s.repl[in.Results[0]] = v
				continue
			}
			sc.known[k] = in.Results[0]
		}
		for _, sub := range in.Blocks {
			s.block(sub, sc)
		}
		kept = append(kept, in)
	}
	b.Instrs = kept
	s.replace(b.Yield)
}

func (s *simplifier) replace(vs []*Value) {
	for i, v := range vs {
		if w, ok := s.repl[v]; ok {
			vs[i] = w
		}
	}
}

// sweep drops instructions of b whose results are not in used, and adds what the rest uses.
func sweep(b *Block, used map[*Value]bool) {
	for _, v := range b.Yield {
		used[v] = true
	}
	var kept []*Instr
	for i := len(b.Instrs) - 1; i >= 0; i-- {
		in := b.Instrs[i]
		live := in.Op.Writes()
		for _, r := range in.Results {
			live = live || used[r]
		}
		if len(in.Blocks) > 0 && !live {
			live = writes(in)
		}
		if !live {
			continue
		}
		for _, sub := range in.Blocks {
			sweep(sub, used)
		}
		for _, a := range in.Args {
			used[a] = true
		}
		kept = append(kept, in)
	}
	for i, j := 0, len(kept)-1; i < j; i, j = i+1, j-1 {
		kept[i], kept[j] = kept[j], kept[i]
	}
	b.Instrs = kept
}

func writes(in *Instr) bool {
	if in.Op.Writes() {
		return true
	}
	for _, b := range in.Blocks {
		for _, i := range b.Instrs {
			if writes(i) {
				return true
			}
		}
	}
	return false
}

// numberValues gives values their numbers in the order of definition.
func numberValues(f *Func) {
	f.nextID = 0
	num := func(vs []*Value) {
		for _, v := range vs {
			f.nextID++
			v.ID = f.nextID
		}
	}
	num(f.Ints)
	num([]*Value{f.Lo, f.Hi})
	var block func(b *Block)
	block = func(b *Block) {
		num(b.Params)
		for _, in := range b.Instrs {
			num(in.Results)
			for _, s := range in.Blocks {
				block(s)
			}
		}
	}
	block(f.Body)
}
