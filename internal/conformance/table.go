package conformance

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nnc-go/nnc/frontend/onnx"
	"github.com/nnc-go/nnc/internal/testcase"
)

// Count is a row of the table per operator.
type Count struct {
	Op string
	// Cases contain the operator; of these, Passed passed, and in Host the operator ran as a host function.
	Cases, Passed, Host int
}

// Table counts cases by operator.
type Table map[string]*Count

// Add counts a case; host are the program's host steps ("Unique node").
func (t Table) Add(cs testcase.Case, passed bool, host []string) error {
	if cs.Link {
		return nil
	}
	ops, err := onnx.Operators(cs.Model)
	if err != nil {
		return err
	}
	hosted := map[string]bool{}
	for _, h := range host {
		name, _, _ := strings.Cut(h, " ")
		hosted[name] = true
	}
	for _, op := range ops {
		c := t[op]
		if c == nil {
			c = &Count{Op: op}
			t[op] = c
		}
		c.Cases++
		if passed {
			c.Passed++
		}
		// Ops of ir carry a short prefix in place of the domain.
		if short := op[strings.LastIndexByte(op, '.')+1:]; hosted[op] || hosted[short] || hosted["ml."+short] {
			c.Host++
		}
	}
	return nil
}

// Rows lists the operators in alphabetical order.
func (t Table) Rows() []*Count {
	return slices.SortedFunc(maps.Values(t), func(a, b *Count) int { return cmp.Compare(a.Op, b.Op) })
}

// Sample picks n cases, or all where there are not more: first, in order, each that has an operator which
// none before it has, so that all operators are covered if n allows; then others, evenly spread.
func Sample(cases []testcase.Case, n int) ([]testcase.Case, error) {
	if n >= len(cases) {
		return cases, nil
	}
	cases = slices.DeleteFunc(slices.Clone(cases), func(c testcase.Case) bool { return c.Link })
	seen := map[string]bool{}
	chosen := make([]bool, len(cases))
	left := n
	for i, c := range cases {
		ops, err := onnx.Operators(c.Model)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Model, err)
		}
		for _, op := range ops {
			if !seen[op] && left > 0 && !chosen[i] {
				chosen[i] = true
				left--
			}
			if chosen[i] {
				seen[op] = true
			}
		}
	}
	var rest []int
	for i := range cases {
		if !chosen[i] {
			rest = append(rest, i)
		}
	}
	for k := range left {
		chosen[rest[k*len(rest)/left]] = true
	}
	var out []testcase.Case
	for i, c := range cases {
		if chosen[i] {
			out = append(out, c)
		}
	}
	return out, nil
}
