package onnx

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// rowSpec is a form of an operator that one or more versions share. sig is its signature as in ir's op
// table, with "ml.", "ms." or "train." before names of other domains; ir the op that it becomes; since the versions.
// attrs lists "name:kind", "!" behind a required one and "=value" behind one with a default, which must be
// ir's default too. A nil fn marks versions that ONNX took out of the language.
type rowSpec struct {
	sig, ir string
	since   []int
	attrs   string
	fn      func(*nodeCtx) error
}

// rowTables are all rows.
var rowTables = [][]rowSpec{rowsAttention, rowsControl, rowsMath, rowsMl, rowsMsQuant, rowsNn, rowsOwn, rowsQuant, rowsRecurrent, rowsReduce, rowsSequence, rowsShape, rowsSignal, rowsMsNn, rowsTrain}

// newestOpset is the newest version of each domain that the tables know.
var newestOpset = map[string]int64{"": 28, "ai.onnx.ml": 5, "ai.onnx.preview": 1, "com.microsoft": 1, "ai.onnx.preview.training": 1}

// domainPrefix tells how sig names domains.
var domainPrefix = map[string]string{"ml.": "ai.onnx.ml", "ms.": "com.microsoft", "preview.": "ai.onnx.preview", "train.": "ai.onnx.preview.training"}

// row is a version of an operator.
type row struct {
	domain, op string
	since      int
	ir         string
	ins, outs  signature
	attrs      []attrSpec
	fn         func(*nodeCtx) error
}

// signature is a list of operands or results.
type signature struct {
	names    []string
	min, max int // max -1: any number
}

type attrSpec struct {
	name, kind string
	required   bool
	def        string
}

type opKey struct{ domain, op string }

// allRows is rowIndex, computed once.
var allRows = sync.OnceValue(rowIndex)

// rowIndex parses the tables: the versions of each operator, oldest first.
func rowIndex() map[opKey][]*row {
	index := map[opKey][]*row{}
	for _, table := range rowTables {
		for _, spec := range table {
			proto := parseSpec(spec)
			for _, since := range spec.since {
				r := proto
				r.since = since
				k := opKey{r.domain, r.op}
				index[k] = append(index[k], &r)
			}
		}
	}
	for _, rs := range index {
		slices.SortFunc(rs, func(a, b *row) int { return a.since - b.since })
	}
	return index
}

func parseSpec(spec rowSpec) row {
	head, results, _ := strings.Cut(spec.sig, ") -> ")
	name, operands, _ := strings.Cut(head, "(")
	r := row{op: name, ir: spec.ir, fn: spec.fn, ins: parseSignature(operands), outs: parseSignature(results)}
	for prefix, domain := range domainPrefix {
		if op, ok := strings.CutPrefix(name, prefix); ok {
			r.op, r.domain = op, domain
		}
	}
	for f := range strings.FieldsSeq(spec.attrs) {
		f, def, _ := strings.Cut(f, "=")
		name, kind, _ := strings.Cut(f, ":")
		kind, required := strings.CutSuffix(kind, "!")
		r.attrs = append(r.attrs, attrSpec{name, kind, required, def})
	}
	return r
}

func parseSignature(s string) signature {
	sig := signature{}
	if s == "" {
		return sig
	}
	sig.names = strings.Split(s, ", ")
	sig.max = len(sig.names)
	for i, n := range sig.names {
		switch n[len(n)-1] {
		case '*':
			sig.max = -1
		case '?':
		default:
			sig.min = i + 1
		}
	}
	return sig
}

// check says what is wrong with a number of operands or results.
func (s signature) check(what string, n int) error {
	switch {
	case n < s.min:
		return fmt.Errorf("%d %ss, want at least %d (%s)", n, what, s.min, strings.Join(s.names, ", "))
	case s.max >= 0 && n > s.max:
		return fmt.Errorf("%d %ss, want at most %d (%s)", n, what, s.max, strings.Join(s.names, ", "))
	}
	return nil
}

// find gives the row of an operator in an opset, nil where there is none.
func findRow(versions []*row, opset int64) *row {
	var best *row
	for _, r := range versions {
		if int64(r.since) <= opset {
			best = r
		}
	}
	return best
}

// whyNot says in which opsets an operator is that has no row in another; found is what findRow gave there.
func whyNot(versions []*row, found *row) string {
	switch {
	case len(versions) == 0:
		return ""
	case found == nil:
		return fmt.Sprintf("the operator is there from opset %d on", versions[0].since)
	}
	return fmt.Sprintf("the operator is there up to opset %d", found.since-1)
}

// OpRow is a version of an operator that nnc imports: since which opset of its domain, and as what.
type OpRow struct {
	Domain, Op string
	Since      int
	IR         string
}

// Rows lists all versions of all operators that nnc imports, by domain, operator and version.
func Rows() []OpRow {
	var out []OpRow
	for _, rs := range allRows() {
		for _, r := range rs {
			if r.fn != nil {
				out = append(out, OpRow{r.domain, r.op, r.since, r.ir})
			}
		}
	}
	slices.SortFunc(out, func(a, b OpRow) int {
		if c := strings.Compare(a.Domain, b.Domain); c != 0 {
			return c
		}
		if c := strings.Compare(a.Op, b.Op); c != 0 {
			return c
		}
		return a.Since - b.Since
	})
	return out
}

// isDefault reports whether v is the attribute's default, which ir leaves out.
func (a attrSpec) isDefault(v any) bool {
	if a.def == "" {
		return false
	}
	switch v := v.(type) {
	case int64:
		return strconv.FormatInt(v, 10) == a.def
	case float64:
		d, err := strconv.ParseFloat(a.def, 32)
		return err == nil && float32(d) == float32(v)
	case string:
		return v == a.def
	case tensor.DType:
		return strconv.Itoa(int(v)) == a.def
	case []int64:
		return joinInts(v) == a.def
	}
	return false
}

func joinInts(v []int64) string {
	s := make([]string, len(v))
	for i, x := range v {
		s[i] = strconv.FormatInt(x, 10)
	}
	return strings.Join(s, ",")
}
