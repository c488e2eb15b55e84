package passes

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/nnc-go/nnc/ir"
)

// removeDead removes ops none of whose results are used, to a fixed point, and forgets optional results
// that nobody wants, so that lowering does not compute them. It gives the number of ops removed.
func removeDead(s *State) int {
	live := map[*ir.Value]bool{}
	markRegion(s.M.Graph, live)
	n := 0
	sweepRegion(s.M.Graph, live, &n)
	return n
}

// markRegion walks backwards: an op is live when a result is, and then so is all that it reads. Uses
// stand after definitions, so one walk is enough.
func markRegion(r *ir.Region, live map[*ir.Value]bool) {
	for _, v := range r.Results {
		live[v] = true
	}
	for i := len(r.Ops) - 1; i >= 0; i-- {
		op := r.Ops[i]
		if !anyLive(op, live) {
			continue
		}
		for _, sub := range op.Regions {
			markRegion(sub, live)
		}
		for _, v := range op.Operands {
			if v != nil {
				live[v] = true
			}
		}
	}
}

func anyLive(op *ir.Op, live map[*ir.Value]bool) bool {
	for _, v := range op.Results {
		if v != nil && live[v] {
			return true
		}
	}
	return false
}

func sweepRegion(r *ir.Region, live map[*ir.Value]bool, n *int) {
	kept := r.Ops[:0]
	for _, op := range r.Ops {
		if !anyLive(op, live) {
			*n++
			continue
		}
		for i, v := range op.Results {
			if i > 0 && i < len(op.Info.Results) && v != nil && !live[v] && strings.HasSuffix(op.Info.Results[i], "?") {
				op.Results[i] = nil
			}
		}
		for len(op.Results) > 1 && op.Results[len(op.Results)-1] == nil {
			op.Results = op.Results[:len(op.Results)-1]
		}
		for _, sub := range op.Regions {
			sweepRegion(sub, live, n)
		}
		kept = append(kept, op)
	}
	clear(r.Ops[len(kept):])
	r.Ops = kept
}

// csePass merges ops that compute the same thing: equal op, operands and attributes, within a region or
// with a region around it. Constants merge by content.
func csePass(s *State) error {
	repl := map[*ir.Value]*ir.Value{}
	cseRegion(s, s.M.Graph, nil, repl)
	removeDead(s)
	return nil
}

// scope is the ops available in a region and those around it, by key.
type scope struct {
	ops   map[string]*ir.Op
	outer *scope
}

func (sc *scope) find(key string) *ir.Op {
	for ; sc != nil; sc = sc.outer {
		if op := sc.ops[key]; op != nil {
			return op
		}
	}
	return nil
}

func cseRegion(s *State, r *ir.Region, outer *scope, repl map[*ir.Value]*ir.Value) {
	sc := &scope{map[string]*ir.Op{}, outer}
	follow := func(vs []*ir.Value) {
		for i, v := range vs {
			if w, ok := repl[v]; ok && v != nil {
				vs[i] = w
			}
		}
	}
	kept := r.Ops[:0]
	for _, op := range r.Ops {
		follow(op.Operands)
		key, ok := opKey(op)
		if same := sc.find(key); ok && same != nil {
			for i, v := range op.Results {
				if v != nil {
					repl[v] = same.Results[i]
				}
			}
			s.hit("cse")
			continue
		}
		if ok {
			sc.ops[key] = op
		}
		for _, sub := range op.Regions {
			if op.Name() != "Fused" { // which sees its parameters alone
				cseRegion(s, sub, sc, repl)
			}
		}
		kept = append(kept, op)
	}
	clear(r.Ops[len(kept):])
	r.Ops = kept
	follow(r.Results)
}

// maxHashed bounds the constants that merge by content: larger ones are told apart by identity.
const maxHashed = 1 << 20

// opKey is a string that two ops share if and only if they compute the same; false when the op may not merge.
func opKey(op *ir.Op) (string, bool) {
	if op.Info.Has(ir.Impure) || len(op.Regions) > 0 {
		return "", false
	}
	var b strings.Builder
	b.WriteString(op.Name())
	for _, v := range op.Operands {
		if v == nil {
			b.WriteString(" _")
		} else {
			fmt.Fprintf(&b, " %%%d", v.ID)
		}
	}
	for _, v := range op.Results { // ops that leave out different results do not merge
		fmt.Fprintf(&b, " %t", v != nil)
	}
	for _, k := range op.Attrs.Keys() {
		if d, ok := op.Attrs[k].(*ir.Data); ok {
			fmt.Fprintf(&b, " %s=%s", k, dataKey(d))
		} else {
			fmt.Fprintf(&b, " %s=%#v", k, op.Attrs[k])
		}
	}
	return b.String(), true
}

func dataKey(d *ir.Data) string {
	if len(d.Strs) == 0 && d.DType.Bytes(d.Len()) <= maxHashed {
		if t, err := d.Tensor(); err == nil {
			return fmt.Sprintf("%v%v:%x", d.DType, d.Shape, sha256.Sum256(t.Data))
		}
	}
	return fmt.Sprintf("%p", d)
}
