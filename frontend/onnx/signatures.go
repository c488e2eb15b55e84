package onnx

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// signatures.txt says which element types the operands of each version of each operator may have.
//
//go:embed signatures.txt
var signaturesText string

// typeSet is a set of element types (bit DType) and of kinds of containers (bit 32 + Kind).
type typeSet uint64

// typeGroups are the names in signatures.txt that stand for several types.
var typeGroups = map[string][]tensor.DType{
	"half": {tensor.F16, tensor.BF16}, "int": {tensor.I8, tensor.I16, tensor.I32, tensor.I64}, "uint": {tensor.U8, tensor.U16, tensor.U32, tensor.U64},
	"f8":      {tensor.F8E4M3FN, tensor.F8E4M3FNUZ, tensor.F8E5M2, tensor.F8E5M2FNUZ},
	"complex": {tensor.C64, tensor.C128}, "4bit": {tensor.U4, tensor.I4}, "2bit": {tensor.U2, tensor.I2},
}

// typeKinds are the names of containers.
var typeKinds = map[string]ir.Kind{"seq": ir.KindSeq, "optional": ir.KindOptional, "map": ir.KindMap}

// operandType is what an operand may be; operands of one variable have one element type.
type operandType struct {
	name     string
	variable string
	set      typeSet
}

// typeKey is a version of an operator.
type typeKey struct {
	opKey
	since int
}

// signatures is signatures.txt.
var signatures = sync.OnceValue(func() map[typeKey][]operandType {
	all := map[typeKey][]operandType{}
	for line := range strings.Lines(signaturesText) {
		if f := strings.Fields(line); len(f) > 0 && f[0] != "#" {
			key, ts, err := parseTypes(f)
			if err != nil {
				panic(fmt.Sprintf("onnx: signatures.txt: %s: %v", strings.TrimSpace(line), err))
			}
			all[key] = ts
		}
	}
	return all
})

// Operand is what ONNX says of an operand of an operator. Operands of one Variable have one element type, which is "" where
// there is no such bond. Containers are left out of Types.
type Operand struct {
	Name, Variable string
	Types          []tensor.DType
}

// Operands lists the operands of an operator as an opset of its domain has it, nil where there is none.
func Operands(domain, op string, opset int64) (out []Operand) {
	r := findRow(allRows()[opKey{domain, op}], opset)
	if r == nil {
		return nil
	}
	for _, t := range signatures()[typeKey{opKey{domain, op}, r.since}] {
		o := Operand{Name: t.name, Variable: t.variable}
		for d := tensor.F32; d <= tensor.I2; d++ {
			if t.set>>d&1 == 1 {
				o.Types = append(o.Types, d)
			}
		}
		out = append(out, o)
	}
	return out
}

// parseTypes reads the fields of a line of signatures.txt.
func parseTypes(f []string) (key typeKey, ts []operandType, err error) {
	key.op = f[0]
	if i := strings.LastIndexByte(f[0], '.'); i >= 0 {
		key.domain, key.op = f[0][:i], f[0][i+1:]
	}
	if len(f) < 2 {
		return key, nil, fmt.Errorf("no version")
	}
	if key.since, err = strconv.Atoi(f[1]); err != nil {
		return key, nil, err
	}
	sets := map[string]typeSet{}
	for _, s := range f[2:] {
		if name, set, ok := strings.Cut(s, "="); ok {
			if sets[name], err = parseTypeSet(set); err != nil {
				return key, nil, err
			}
		}
	}
	for _, s := range f[2:] {
		name, typ, ok := strings.Cut(s, ":")
		if !ok {
			continue
		}
		variable, mixed := strings.CutSuffix(typ, "*")
		t := operandType{name: name, set: sets[variable]}
		if _, isVariable := sets[variable]; !isVariable {
			if t.set, err = parseTypeSet(typ); err != nil {
				return key, nil, err
			}
		} else if !mixed {
			t.variable = variable
		}
		ts = append(ts, t)
	}
	return key, ts, nil
}

func parseTypeSet(s string) (set typeSet, err error) {
	for name := range strings.SplitSeq(s, "|") {
		if k, ok := typeKinds[name]; ok {
			set |= 1 << (32 + k)
			continue
		}
		ds := typeGroups[name]
		if ds == nil {
			d, ok := tensor.ParseDType(name)
			if !ok {
				return 0, fmt.Errorf("no type %q", name)
			}
			ds = []tensor.DType{d}
		}
		for _, d := range ds {
			set |= 1 << d
		}
	}
	return set, nil
}

// has reports whether a value of type t, as far as that is known, is in the set.
func (s typeSet) has(t ir.Type) bool {
	if t.Kind != ir.KindTensor {
		return s>>(32+t.Kind)&1 == 1
	}
	return t.DType == tensor.Invalid || s>>t.DType&1 == 1
}

// String lists the types in the order of ONNX.
func (s typeSet) String() string {
	var names []string
	for d := tensor.F32; d <= tensor.I2; d++ {
		if s>>d&1 == 1 {
			names = append(names, d.String())
		}
	}
	for _, k := range []string{"seq", "optional", "map"} {
		if s>>(32+typeKinds[k])&1 == 1 {
			names = append(names, k+"<...>")
		}
	}
	return strings.Join(names, ", ")
}

// checkTypes holds the operands' element types, as far as they are known, against those that this version of
// the operator has by the specification.
func (c *nodeCtx) checkTypes() error {
	ts := signatures()[typeKey{opKey{c.row.domain, c.row.op}, c.row.since}]
	if len(ts) == 0 {
		return nil
	}
	first := map[string]int{}
	for i, v := range c.in {
		if v == nil || v.Type.Untyped() {
			continue
		}
		t := ts[min(i, len(ts)-1)]
		if !t.set.has(v.Type) {
			return fmt.Errorf("input %d (%s), %q, is %v, want one of the element types %v", i, t.name, v.Name, v.Type, t.set)
		}
		if t.variable == "" || v.Type.Kind != ir.KindTensor || v.Type.DType == tensor.Invalid {
			continue
		}
		k, seen := first[t.variable]
		if !seen {
			first[t.variable] = i
		} else if w := c.in[k]; w.Type.DType != v.Type.DType {
			return fmt.Errorf("inputs %d (%q) and %d (%q) are %v and %v, want the same element type", k, w.Name, i, v.Name, w.Type, v.Type)
		}
	}
	return nil
}

// Version is a version of an operator that ONNX defines: it holds from the opset Since of its domain until the next one.
type Version struct {
	Domain, Op string
	Since      int
}

// Versions lists the versions of all operators, in no order, less those that take an operator away.
func Versions() (list []Version) {
	for key, rows := range allRows() {
		for _, r := range rows {
			if _, ok := signatures()[typeKey{key, r.since}]; ok && r.fn != nil {
				list = append(list, Version{key.domain, key.op, r.since})
			}
		}
	}
	return list
}

// VersionOf gives the version of an operator that an opset has; ok is false where it has none.
func VersionOf(domain, op string, opset int64) (v Version, ok bool) {
	r := findRow(allRows()[opKey{domain, op}], opset)
	if r == nil || r.fn == nil {
		return Version{}, false
	}
	return Version{domain, op, r.since}, true
}
