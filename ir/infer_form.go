package ir

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// formed is a shape rule that first holds operands and attributes against a form. The form of the operands
// has a word for each: "-" for any, "#" for one element, else its dimensions: a number, a letter that
// stands for the same size everywhere, a multiple of a letter (4H), "." for any size; behind them "..." for
// any more, or "*" and a letter for more that are the same in all operands with that letter. The form of the
// attributes has words "name=a|b", "name>=n", and "axis" for an axis of operand 0. What is absent is right.
func formed(shapes, attrs string, f inferFn) inferFn {
	operands, checks := parseForm(shapes), parseAttrForm(attrs)
	return func(c *InferCtx, op *Op) error {
		for _, check := range checks {
			if err := check(op); err != nil {
				return err
			}
		}
		if err := checkForm(op, operands); err != nil {
			return err
		}
		return f(c, op)
	}
}

// operandForm is the form of an operand.
type operandForm struct {
	text string
	dims []dimForm
	any  bool   // nothing is asked
	one  bool   // one element
	open bool   // more dimensions may follow
	rest string // the letter of those
}

// dimForm is n, or n times what a letter stands for; any size where n is below 0.
type dimForm struct {
	n      int64
	letter string
}

func parseForm(shapes string) (list []operandForm) {
	for _, text := range strings.Fields(shapes) {
		f := operandForm{text: text, any: text == "-", one: text == "#"}
		for _, d := range strings.Split(text, ",") {
			switch {
			case f.any || f.one:
			case d == "...":
				f.open = true
			case d[0] == '*':
				f.open, f.rest = true, d[1:]
			case d == ".":
				f.dims = append(f.dims, dimForm{n: -1})
			default:
				letter := strings.TrimLeft(d, "0123456789")
				n, err := strconv.ParseInt("0"+strings.TrimSuffix(d, letter), 10, 64)
				if err == nil && n == 0 && letter != "" {
					n = 1
				}
				f.dims = append(f.dims, dimForm{n, letter})
			}
		}
		list = append(list, f)
	}
	return list
}

// checkForm holds the operands of known rank against their forms. Equalities of sizes that are not known
// become relations, which the run checks.
func checkForm(op *Op, forms []operandForm) error {
	size, rank := map[string]Dim{}, map[string]int{}
	var multiples []func() error
	for i, f := range forms {
		v := op.Operand(i)
		if v == nil || !v.Type.Ranked || f.any {
			continue
		}
		if f.one {
			if n := Product(v.Type.Shape); n.IsConst() && !n.Is(1) {
				return op.Errorf("operand %d %q is %v, want one element", i, v.Name, v.Type)
			}
			continue
		}
		high := len(f.dims)
		if f.open {
			high = anyRank
		}
		if err := wantRank(op, i, len(f.dims), high); err != nil {
			return err
		}
		want := slices.Clone(f.dims)
		for j := len(want); j < len(v.Type.Shape) && f.rest != ""; j++ {
			want = append(want, dimForm{1, f.rest + strconv.Itoa(j-len(f.dims))})
		}
		if f.rest != "" {
			if n, ok := rank[f.rest]; ok && n != len(want) {
				return op.Errorf("operand %d %q is %v, want rank %d", i, v.Name, v.Type, n)
			}
			rank[f.rest] = len(want)
		}
		for j, w := range want {
			if w.n == 1 || w.letter == "" {
				if err := checkDim(op, i, j, f, w, size); err != nil {
					return err
				}
				continue
			}
			multiples = append(multiples, func() error { return checkDim(op, i, j, f, w, size) })
		}
	}
	for _, check := range multiples { // by now the letters have sizes
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// checkDim holds dimension j of operand i against its form, and gives a letter a size that has none.
func checkDim(op *Op, i, j int, f operandForm, w dimForm, size map[string]Dim) error {
	v := op.Operands[i]
	have, want, where := v.Type.Shape[j], Const(w.n), ""
	switch known, ok := size[w.letter]; {
	case w.n < 0:
		return nil
	case w.letter == "":
	case !ok && w.n > 1:
		return nil
	case !ok:
		size[w.letter] = have
		return nil
	default:
		want = known.MulInt(w.n)
		where = fmt.Sprintf(" where %s is %v", w.letter, known)
	}
	diff := have.Sub(want)
	if bad := diff.IsConst() && !diff.Is(0); bad && j >= len(f.dims) {
		return op.Errorf("operand %d %q is %v, want the shape of an operand before it: dimension %d is %v, not %v", i, v.Name, v.Type, j, have, want)
	} else if bad {
		return op.Errorf("operand %d %q is %v, want [%s]%s: dimension %d is %v, not %v", i, v.Name, v.Type, f.text, where, j, have, want)
	}
	if !have.Equal(want) {
		op.relations = append(op.relations, Relation{fmt.Sprintf("dimension %d of operand %d", j, i), have, want})
	}
	if w.n == 1 && w.letter != "" && have.IsConst() {
		size[w.letter] = have
	}
	return nil
}

// parseAttrForm makes the checks of attributes.
func parseAttrForm(attrs string) (checks []func(op *Op) error) {
	for _, word := range strings.Fields(attrs) {
		name, least, isLeast := strings.Cut(word, ">=")
		key, list, isList := strings.Cut(word, "=")
		switch {
		case isLeast:
			n, err := strconv.ParseInt(least, 10, 64)
			if err != nil {
				panic("ir: form of an attribute " + word)
			}
			checks = append(checks, func(op *Op) error {
				if x := op.Attrs.Int(name, n); x < n {
					return op.Errorf("%s is %d, want at least %d", name, x, n)
				}
				return nil
			})
		case isList:
			checks = append(checks, func(op *Op) error { return wantOneOf(op, key, strings.Split(list, "|")) })
		default:
			checks = append(checks, func(op *Op) error { return wantAxis(op, word) })
		}
	}
	return checks
}

// wantOneOf refuses a string or an integer that is none of the list.
func wantOneOf(op *Op, attr string, list []string) error {
	v, ok := op.Attrs[attr]
	if !ok || slices.Contains(list, fmt.Sprint(v)) {
		return nil
	}
	if s, ok := v.(string); ok {
		v = strconv.Quote(s)
	}
	return op.Errorf("%s is %v, want one of %s", attr, v, strings.Join(list, ", "))
}

// wantAxis refuses an axis that operand 0 has not.
func wantAxis(op *Op, attr string) error {
	axis, ok := op.Attrs[attr].(int64)
	if !ok || anyUnranked(op, 0) {
		return nil
	}
	_, err := normAxis(op, axis, len(shapeOf(op, 0)))
	return err
}
