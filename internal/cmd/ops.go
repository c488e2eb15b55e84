package cmd

import (
	"fmt"
	"strings"

	"github.com/nnc-go/nnc/frontend/onnx"
	"github.com/nnc-go/nnc/ir"
	"github.com/nnc-go/nnc/ir/eval"
	"github.com/nnc-go/nnc/lower"
	"github.com/nnc-go/nnc/passes"
	"github.com/spf13/cobra"
)

func opsCommand() *cobra.Command {
	var f formatFlags
	c := &cobra.Command{
		Use: "ops", Short: "list the operators that nnc knows and how each runs",
		Long: `List the operators that nnc knows, the opsets in which their versions begin, and how each runs:
compiled to kernels, as a host function in Go (what has a rule may fall back to that for types that have no kernel), or not yet (unsupported).`,
		Example: "  nnc ops\n  nnc ops -md", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.md {
				fmt.Fprint(c.OutOrStdout(), opsPage)
			}
			return table(c.OutOrStdout(), []string{"domain", "op", "opsets", "runs"}, opRows(), f.md, f.json)
		},
	}
	f.add(c)
	return c
}

// opRows joins the versions of each operator; onnx.Rows has them one after the other.
func opRows() [][]string {
	var rows [][]string
	var last onnx.OpRow
	for _, r := range onnx.Rows() {
		since := fmt.Sprint(r.Since)
		if n := len(rows); n > 0 && r.Domain == last.Domain && r.Op == last.Op {
			rows[n-1][2] += ", " + since
			rows[n-1][3] = runsAs(r.IR) // the newest version decides
		} else {
			rows = append(rows, []string{domainName(r.Domain), r.Op, since, runsAs(r.IR)})
		}
		last = r
	}
	return rows
}

func domainName(d string) string {
	if d == "" {
		return "ai.onnx"
	}
	return d
}

// opsPage is what docs/ops.md begins with.
const opsPage = `# Operators

What nnc imports, the opsets in which the versions of each operator begin, and how it runs: *compiled* to kernels, as itself or as the
operators that it is written as; or as a *host* function in Go, which is left for strings, containers, image files and Unique.
What is compiled may fall back to a host function for a form that has no kernel, strings above all; nnc build names such steps.
Made by "nnc ops -md".

`

// sizes are ops that the plan computes as numbers, from shapes.
var sizes = map[string]bool{"Shape": true, "Size": true}

// runsAs says how an op of ir runs. Ops of several, for which the importer writes others ("A+B"), count
// as the worst of them.
func runsAs(name string) string {
	info := ir.OpByName(name)
	switch {
	case name == "" || lower.Compiled(name) || passes.Expands(name) || sizes[name] || info != nil && info.Has(ir.View):
		return "compiled"
	case eval.Lookup(name) != nil:
		return "host"
	case strings.Contains(name, "+"):
		worst := "compiled"
		for _, n := range strings.Split(name, "+") {
			if r := runsAs(n); r != "compiled" && worst != "unsupported" {
				worst = r
			}
		}
		return worst
	}
	return "unsupported"
}
