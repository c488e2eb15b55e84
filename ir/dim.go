package ir

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Dim is a dimension: an integer, or a symbolic expression over named symbols such as N, 2*L+1 or
// (H+1)/2 (division floors). It is an immutable polynomial in canonical form whose atoms are symbols
// and the non-polynomial operations on Dims, so two Dims are equal if and only if their Strings are.
// The zero Dim is 0. Symbols stand for values >= 0.
type Dim struct {
	c     int64
	terms []dimTerm // sorted by key; no zero coefficients
}

type dimTerm struct {
	coef  int64
	atoms []dimAtom // sorted by key; repeated for powers
}

// dimAtom is a symbol (op 0) or op(a, b).
type dimAtom struct {
	op   DimOp
	name string
	a, b *Dim
}

// DimOp is a non-polynomial operation on dimensions.
type DimOp byte

// The operations that an expression can hold besides +, - and *.
const (
	DimSym DimOp = iota
	DimDiv       // floor division
	DimMod       // a - b*floor(a/b)
	DimMax
	DimMin
)

var dimOpNames = [...]string{DimDiv: "div", DimMod: "mod", DimMax: "max", DimMin: "min"}

// Const is the integer dimension n.
func Const(n int64) Dim { return Dim{c: n} }

// Sym is the symbol name: a letter or underscore, then letters, digits and underscores.
func Sym(name string) Dim { return atomDim(dimAtom{name: name}) }

// Dims makes a shape of integers.
func Dims(n ...int64) []Dim {
	s := make([]Dim, len(n))
	for i, x := range n {
		s[i] = Const(x)
	}
	return s
}

func atomDim(a dimAtom) Dim { return Dim{terms: []dimTerm{{1, []dimAtom{a}}}} }

// IsConst reports whether d is an integer.
func (d Dim) IsConst() bool { return len(d.terms) == 0 }

// Value is the integer that d is; it panics on a symbolic dimension.
func (d Dim) Value() int64 {
	if !d.IsConst() {
		panic("ir: Value of symbolic dimension " + d.String())
	}
	return d.c
}

// Is reports whether d is the integer n.
func (d Dim) Is(n int64) bool { return d.IsConst() && d.c == n }

// Equal reports whether d and e are the same expression. Unequal symbolic expressions may still be
// equal at run time.
func (d Dim) Equal(e Dim) bool { return d.c == e.c && d.String() == e.String() }

func (a dimAtom) key() string {
	if a.op == DimSym {
		return a.name
	}
	return dimOpNames[a.op] + "(" + a.a.String() + "," + a.b.String() + ")"
}

func (t dimTerm) key() string {
	k := make([]string, len(t.atoms))
	for i, a := range t.atoms {
		k[i] = a.key()
	}
	return strings.Join(k, "*")
}

func normDim(c int64, terms []dimTerm) Dim {
	m := map[string]*dimTerm{}
	var keys []string
	for _, t := range terms {
		k := t.key()
		if e, ok := m[k]; ok {
			e.coef += t.coef
			continue
		}
		t := t
		m[k] = &t
		keys = append(keys, k)
	}
	slices.Sort(keys)
	d := Dim{c: c}
	for _, k := range keys {
		if m[k].coef != 0 {
			d.terms = append(d.terms, *m[k])
		}
	}
	return d
}

// Add is d+e.
func (d Dim) Add(e Dim) Dim { return normDim(d.c+e.c, slices.Concat(d.terms, e.terms)) }

// AddInt is d+n.
func (d Dim) AddInt(n int64) Dim { return d.Add(Const(n)) }

// Sub is d-e.
func (d Dim) Sub(e Dim) Dim { return d.Add(e.MulInt(-1)) }

// MulInt is n*d.
func (d Dim) MulInt(n int64) Dim { return d.Mul(Const(n)) }

// Mul is d*e.
func (d Dim) Mul(e Dim) Dim {
	var ts []dimTerm
	for _, t := range d.terms {
		ts = append(ts, dimTerm{t.coef * e.c, t.atoms})
		for _, u := range e.terms {
			at := slices.Concat(t.atoms, u.atoms)
			slices.SortStableFunc(at, func(x, y dimAtom) int { return strings.Compare(x.key(), y.key()) })
			ts = append(ts, dimTerm{t.coef * u.coef, at})
		}
	}
	for _, u := range e.terms {
		ts = append(ts, dimTerm{u.coef * d.c, u.atoms})
	}
	return normDim(d.c*e.c, ts)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// Div is floor(d/e). What divides exactly is divided: (6*N)/3 is 2*N, (N*M)/M is N.
func (d Dim) Div(e Dim) Dim {
	if e.IsConst() && e.c != 0 {
		if e.c == 1 {
			return d
		}
		// Split off the terms that divide: (4*N+3)/2 = 2*N + 3/2 floor, valid since 2*N is an integer.
		q, r := Dim{}, Dim{c: d.c}
		for _, t := range d.terms {
			if t.coef%e.c == 0 {
				q.terms = append(q.terms, dimTerm{t.coef / e.c, t.atoms})
			} else {
				r.terms = append(r.terms, t)
			}
		}
		if r.IsConst() {
			q.c = floorDiv(r.c, e.c)
			return q
		}
		// Keep the constant of the rest within [0, |e|).
		k := floorDiv(r.c, e.c)
		r.c -= k * e.c
		q.c = k
		return q.Add(atomDim(dimAtom{op: DimDiv, a: &r, b: &e}))
	}
	if q, ok := d.divExact(e); ok {
		return q
	}
	return atomDim(dimAtom{op: DimDiv, a: &d, b: &e})
}

// divExact divides term by term by a single-term e.
func (d Dim) divExact(e Dim) (Dim, bool) {
	if d.Equal(e) {
		return Const(1), true
	}
	if e.c != 0 || len(e.terms) != 1 || d.c != 0 {
		return Dim{}, false
	}
	q := Dim{}
	for _, t := range d.terms {
		if t.coef%e.terms[0].coef != 0 {
			return Dim{}, false
		}
		rest := slices.Clone(t.atoms)
		for _, a := range e.terms[0].atoms {
			i := slices.IndexFunc(rest, func(b dimAtom) bool { return a.key() == b.key() })
			if i < 0 {
				return Dim{}, false
			}
			rest = slices.Delete(rest, i, i+1)
		}
		c := t.coef / e.terms[0].coef
		if len(rest) == 0 {
			q = q.AddInt(c)
		} else {
			q = q.Add(Dim{terms: []dimTerm{{c, rest}}})
		}
	}
	return q, true
}

// CeilDiv is ceil(d/n) for n > 0.
func (d Dim) CeilDiv(n int64) Dim { return d.AddInt(n - 1).Div(Const(n)) }

// Mod is d - e*floor(d/e).
func (d Dim) Mod(e Dim) Dim {
	if d.IsConst() && e.IsConst() && e.c != 0 {
		return Const(d.c - e.c*floorDiv(d.c, e.c))
	}
	if _, ok := d.divExact(e); ok || e.Is(1) {
		return Dim{}
	}
	return atomDim(dimAtom{op: DimMod, a: &d, b: &e})
}

// Max is the larger of d and e.
func (d Dim) Max(e Dim) Dim { return d.pick(e, DimMax) }

// Min is the smaller of d and e.
func (d Dim) Min(e Dim) Dim { return d.pick(e, DimMin) }

func (d Dim) pick(e Dim, op DimOp) Dim {
	if d.IsConst() && e.IsConst() { // whose difference may not fit
		if op == DimMax {
			return Const(max(d.c, e.c))
		}
		return Const(min(d.c, e.c))
	}
	diff := d.Sub(e)
	if diff.NonNegative() { // d is evidently the larger
		if op == DimMax {
			return d
		}
		return e
	}
	if diff.MulInt(-1).NonNegative() {
		if op == DimMax {
			return e
		}
		return d
	}
	if d.String() > e.String() {
		d, e = e, d
	}
	return atomDim(dimAtom{op: op, a: &d, b: &e})
}

// NonNegative reports whether d is certainly >= 0, given that symbols are.
func (d Dim) NonNegative() bool {
	for _, t := range d.terms {
		if t.coef < 0 {
			return false
		}
		for _, a := range t.atoms {
			if !a.nonNegative() {
				return false
			}
		}
	}
	return d.c >= 0
}

func (a dimAtom) nonNegative() bool {
	switch a.op {
	case DimSym:
		return true
	case DimMod:
		return a.b.NonNegative()
	case DimMax:
		return a.a.NonNegative() || a.b.NonNegative()
	}
	return a.a.NonNegative() && a.b.NonNegative()
}

// Symbols appends the names of the symbols that d mentions to out, each once, and returns it.
func (d Dim) Symbols(out []string) []string {
	for _, t := range d.terms {
		for _, a := range t.atoms {
			if a.op != DimSym {
				out = a.b.Symbols(a.a.Symbols(out))
			} else if !slices.Contains(out, a.name) {
				out = append(out, a.name)
			}
		}
	}
	return out
}

// SymName is the name of the symbol that d is, "" if it is anything else.
func (d Dim) SymName() string {
	if d.c == 0 && len(d.terms) == 1 && d.terms[0].coef == 1 && len(d.terms[0].atoms) == 1 && d.terms[0].atoms[0].op == DimSym {
		return d.terms[0].atoms[0].name
	}
	return ""
}

// Fold rebuilds d bottom-up in another domain: the one traversal behind Eval, Subst and the compiling
// of dimensions to integer programs.
func Fold[T any](d Dim, konst func(int64) T, sym func(string) T, add, mul func(a, b T) T, op func(o DimOp, a, b T) T) T {
	acc := konst(d.c)
	first := d.c == 0
	for _, t := range d.terms {
		var x T
		for i, a := range t.atoms {
			var y T
			if a.op == DimSym {
				y = sym(a.name)
			} else {
				y = op(a.op, Fold(*a.a, konst, sym, add, mul, op), Fold(*a.b, konst, sym, add, mul, op))
			}
			if i == 0 {
				x = y
			} else {
				x = mul(x, y)
			}
		}
		if t.coef != 1 {
			x = mul(x, konst(t.coef))
		}
		if first {
			acc, first = x, false
		} else {
			acc = add(acc, x)
		}
	}
	return acc
}

// Subst replaces symbols; those that are not in env stay.
func (d Dim) Subst(env map[string]Dim) Dim {
	if d.IsConst() {
		return d
	}
	return Fold(d, Const, func(n string) Dim {
		if v, ok := env[n]; ok {
			return v
		}
		return Sym(n)
	}, Dim.Add, Dim.Mul, func(o DimOp, a, b Dim) Dim {
		switch o {
		case DimDiv:
			return a.Div(b)
		case DimMod:
			return a.Mod(b)
		case DimMax:
			return a.Max(b)
		default:
			return a.Min(b)
		}
	})
}

// Eval computes d; false when a symbol is missing or a division is by zero.
func (d Dim) Eval(env map[string]int64) (int64, bool) {
	m := make(map[string]Dim, len(env))
	for k, v := range env {
		m[k] = Const(v)
	}
	r := d.Subst(m)
	return r.c, r.IsConst()
}

// String prints d so that ParseDim reads it back: "2*N+1", "div(H+1,2)".
func (d Dim) String() string {
	if d.IsConst() {
		return strconv.FormatInt(d.c, 10)
	}
	var b strings.Builder
	for _, t := range d.terms {
		switch {
		case t.coef == -1:
			b.WriteByte('-')
		case t.coef < 0:
			fmt.Fprintf(&b, "%d*", t.coef)
		default:
			if b.Len() > 0 {
				b.WriteByte('+')
			}
			if t.coef != 1 {
				fmt.Fprintf(&b, "%d*", t.coef)
			}
		}
		b.WriteString(t.key())
	}
	if d.c > 0 {
		b.WriteByte('+')
	}
	if d.c != 0 {
		fmt.Fprintf(&b, "%d", d.c)
	}
	return b.String()
}

// ParseDim reads what String prints.
func ParseDim(s string) (Dim, error) {
	p := dimParser{s: s}
	d, err := p.sum()
	if err == nil && p.i != len(s) {
		err = fmt.Errorf("dimension %q: unexpected %q", s, s[p.i:])
	}
	return d, err
}

// maxDimTerms bounds what ParseDim multiplies out.
const maxDimTerms = 256

type dimParser struct {
	s     string
	i     int
	depth int
}

func (p *dimParser) eat(c byte) bool {
	if p.i < len(p.s) && p.s[p.i] == c {
		p.i++
		return true
	}
	return false
}

func (p *dimParser) sum() (Dim, error) {
	if p.depth++; p.depth > 64 {
		return Dim{}, fmt.Errorf("dimension %q: nested too deeply", p.s)
	}
	defer func() { p.depth-- }()
	acc := Dim{}
	for first := true; ; first = false {
		neg := p.eat('-')
		if !neg && !p.eat('+') && !first {
			return acc, nil
		}
		t, err := p.product()
		if err != nil {
			return Dim{}, err
		}
		if neg {
			t = t.MulInt(-1)
		}
		acc = acc.Add(t)
	}
}

func (p *dimParser) product() (Dim, error) {
	acc, err := p.atom()
	for err == nil && p.eat('*') {
		var f Dim
		if f, err = p.atom(); err == nil {
			if (len(acc.terms)+1)*(len(f.terms)+1) > maxDimTerms {
				return Dim{}, fmt.Errorf("dimension %q: more than %d terms", p.s, maxDimTerms)
			}
			acc = acc.Mul(f)
		}
	}
	return acc, err
}

func isIdent(c byte, first bool) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || !first && c >= '0' && c <= '9'
}

func (p *dimParser) atom() (Dim, error) {
	start := p.i
	for p.i < len(p.s) && p.s[p.i] >= '0' && p.s[p.i] <= '9' {
		p.i++
	}
	if p.i > start {
		n, err := strconv.ParseInt(p.s[start:p.i], 10, 64)
		return Const(n), err
	}
	for p.i < len(p.s) && isIdent(p.s[p.i], p.i == start) {
		p.i++
	}
	if p.i == start {
		return Dim{}, fmt.Errorf("dimension %q: want a number or a name at offset %d", p.s, start)
	}
	name := p.s[start:p.i]
	if !p.eat('(') {
		return Sym(name), nil
	}
	op := slices.Index(dimOpNames[:], name)
	if op <= 0 {
		return Dim{}, fmt.Errorf("dimension %q: no operation %q", p.s, name)
	}
	a, err := p.sum()
	if err != nil || !p.eat(',') {
		return Dim{}, fmt.Errorf("dimension %q: want two operands of %s", p.s, name)
	}
	b, err := p.sum()
	if err != nil || !p.eat(')') {
		return Dim{}, fmt.Errorf("dimension %q: want two operands of %s", p.s, name)
	}
	switch DimOp(op) {
	case DimDiv:
		return a.Div(b), nil
	case DimMod:
		return a.Mod(b), nil
	case DimMax:
		return a.Max(b), nil
	}
	return a.Min(b), nil
}

// Product is the number of elements of a shape.
func Product(shape []Dim) Dim {
	n := Const(1)
	for _, d := range shape {
		n = n.Mul(d)
	}
	return n
}

// StaticShape gives the integers of a shape that has no symbols.
func StaticShape(shape []Dim) ([]int64, bool) {
	s := make([]int64, len(shape))
	for i, d := range shape {
		if !d.IsConst() {
			return nil, false
		}
		s[i] = d.c
	}
	return s, true
}
