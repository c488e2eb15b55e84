package loop

import "fmt"

// Simplify removes what a kernel does not need, without changing what it computes: constants are made
// once, at the top; equal pure instructions are merged where one dominates the other; instructions
// without a use are dropped, as are loops and conditionals that do nothing.
func Simplify(f *Func) {
	s := &simplifier{repl: make([]*Value, f.nextID+1), consts: map[key]*Value{}}
	s.block(f.Body, nil)
	f.Body.Instrs = append(s.top, f.Body.Instrs...)
	Sweep(f)
	numberValues(f)
}

// Sweep drops instructions without a use, and loops and conditionals that do nothing.
func Sweep(f *Func) { sweep(f.Body, make([]bool, f.nextID+1)) }

type simplifier struct {
	repl   []*Value // by the number of the value
	consts map[key]*Value
	top    []*Instr
}

// key is what a pure instruction computes.
type key struct {
	op    Op
	pred  Pred
	imm   uint64
	t     Type
	args  [3]*Value
	lanes string
}

func keyOf(in *Instr) key {
	k := key{op: in.Op, pred: in.Pred, imm: in.Imm, t: in.Results[0].Type}
	copy(k.args[:], in.Args)
	if len(in.Lanes) > 0 {
		k.lanes = fmt.Sprint(in.Lanes)
	}
	return k
}

// scope holds the pure instructions that are visible, by what they compute.
type scope struct {
	outer *scope
	known map[key]*Value
}

func (s *scope) find(k key) *Value {
	for ; s != nil; s = s.outer {
		if v := s.known[k]; v != nil {
			return v
		}
	}
	return nil
}

func (s *simplifier) block(b *Block, outer *scope) {
	sc := &scope{outer, map[key]*Value{}}
	kept := b.Instrs[:0]
	for _, in := range b.Instrs {
		s.replace(in.Args)
		switch {
		case in.Op == OpConst:
			k := keyOf(in)
			if v := s.consts[k]; v != nil {
				s.repl[in.Results[0].ID] = v
				continue
			}
			s.consts[k] = in.Results[0]
			s.top = append(s.top, in)
			continue
		case opInfos[in.Op].pure:
			k := keyOf(in)
			if v := sc.find(k); v != nil {
				s.repl[in.Results[0].ID] = v
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
		if w := s.repl[v.ID]; w != nil {
			vs[i] = w
		}
	}
}

// sweep drops instructions of b whose results are not in used, and adds what the rest uses.
func sweep(b *Block, used []bool) {
	for _, v := range b.Yield {
		used[v.ID] = true
	}
	var kept []*Instr
	for i := len(b.Instrs) - 1; i >= 0; i-- {
		in := b.Instrs[i]
		live := in.Op.Effect()
		for _, r := range in.Results {
			live = live || used[r.ID]
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
			used[a.ID] = true
		}
		kept = append(kept, in)
	}
	for i, j := 0, len(kept)-1; i < j; i, j = i+1, j-1 {
		kept[i], kept[j] = kept[j], kept[i]
	}
	b.Instrs = kept
}

func writes(in *Instr) bool {
	if in.Op.Effect() {
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
