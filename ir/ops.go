package ir

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// opTable lists the rows of all families; the families are in ops_*.go.
var opTable = [][]*OpInfo{opsMath, opsReduce, opsShape, opsNN, opsRecurrent, opsQuant, opsSignal, opsControl, opsSequence, opsML, opsOwn}

// opIndex finds rows by name.
var opIndex = func() map[string]*OpInfo {
	m := map[string]*OpInfo{}
	for _, fam := range opTable {
		for _, o := range fam {
			if m[o.Name] != nil {
				panic("ir: op " + o.Name + " has two rows")
			}
			m[o.Name] = o
		}
	}
	return m
}()

// Ops lists all rows in the table's order.
func Ops() []*OpInfo {
	var all []*OpInfo
	for _, fam := range opTable {
		all = append(all, fam...)
	}
	return all
}

// inferFn is a shape rule.
type inferFn = func(c *InferCtx, op *Op) error

var attrKinds = map[string]AttrKind{
	"int": AttrInt, "float": AttrFloat, "string": AttrString, "ints": AttrInts, "floats": AttrFloats,
	"strings": AttrStrs, "dtype": AttrDType, "data": AttrData,
}

// String is the kind's name in the op table.
func (k AttrKind) String() string {
	for n, v := range attrKinds {
		if v == k {
			return n
		}
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// row makes a row from a signature "Name(operands) -> results", where "?" marks an optional and "*" a
// variadic one, and attributes "name:kind ...". It panics where these do not parse: the table is wrong.
func row(sig, attrs string, traits Trait, infer inferFn, doc string) *OpInfo {
	head, results, ok := strings.Cut(sig, ") -> ")
	name, operands, ok2 := strings.Cut(head, "(")
	if !ok || !ok2 {
		panic("ir: signature " + sig)
	}
	list := func(s string) []string {
		if s == "" {
			return nil
		}
		return strings.Split(s, ", ")
	}
	o := &OpInfo{Name: name, Doc: doc, Operands: list(operands), Results: list(results), Traits: traits, Infer: infer}
	o.Attrs = parseAttrs(attrs)
	return o
}

func parseAttrs(s string) map[string]AttrKind {
	m := map[string]AttrKind{}
	for _, f := range strings.Fields(s) {
		n, k, _ := strings.Cut(f, ":")
		kind, ok := attrKinds[k]
		if !ok || m[n] != 0 {
			panic("ir: attribute " + f)
		}
		m[n] = kind
	}
	return m
}

// withRegions says how many regions the op of a row has.
func withRegions(n int, o *OpInfo) *OpInfo {
	o.Regions = n
	return o
}

// operandRange gives how many operands or results a list of names allows; max is -1 without bound.
func operandRange(names []string) (min, max int) {
	for i, n := range names {
		switch {
		case strings.HasSuffix(n, "*"):
			return min, -1
		case !strings.HasSuffix(n, "?"):
			min = i + 1
		}
	}
	return min, len(names)
}

// AttrNames lists the attributes of the op in order.
func (o *OpInfo) AttrNames() []string { return slices.Sorted(maps.Keys(o.Attrs)) }
