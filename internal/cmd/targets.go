package cmd

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/nnc-go/nnc/internal/driver"
	"github.com/nnc-go/nnc/runtime/abi"
	"github.com/nnc-go/nnc/target"
	"github.com/spf13/cobra"
)

// table prints rows as aligned text, as Markdown, or as a JSON list of objects with the heads as names.
func table(w io.Writer, heads []string, rows [][]string, md, asJSON bool) error {
	if asJSON {
		objects := make([]map[string]string, len(rows))
		for i, r := range rows {
			objects[i] = map[string]string{}
			for j, h := range heads {
				objects[i][h] = r[j]
			}
		}
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(objects)
	}
	if md {
		fmt.Fprintf(w, "| %s |\n|%s\n", strings.Join(heads, " | "), strings.Repeat("---|", len(heads)))
		for _, r := range rows {
			fmt.Fprintf(w, "| %s |\n", strings.Join(r, " | "))
		}
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(heads, "\t"))
	for _, r := range rows {
		fmt.Fprintln(t, strings.Join(r, "\t"))
	}
	return t.Flush()
}

// formatFlags are -md and -json.
type formatFlags struct{ md, json bool }

func (f *formatFlags) add(c *cobra.Command) {
	c.Flags().BoolVar(&f.md, "md", false, "print Markdown")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON")
}

func targetsCommand() *cobra.Command {
	var f formatFlags
	c := &cobra.Command{
		Use: "targets", Short: "list what nnc compiles for", Example: "  nnc targets\n  nnc build model.onnx -target=linux/arm64 -cpu=neon", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var rows [][]string
			for _, a := range append(slices.Clip(target.Archs), target.Portable) {
				var systems []string
				for s := range a.Triple {
					systems = append(systems, s)
				}
				slices.Sort(systems)
				if a == target.Portable {
					systems = []string{"all, with -emit=go"}
				}
				for _, l := range a.Levels {
					here := "no"
					if (a.Name == runtime.GOARCH || a == target.Portable) && abi.HasFeatures(l.CPUID) {
						here = "yes"
					}
					rows = append(rows, []string{a.Name, strings.Join(systems, " "), l.Name, fmt.Sprint(8 * l.VecBytes), strings.Join(l.CPUID, " "), strings.Join(driver.Backends(l), " "), here})
				}
			}
			return table(c.OutOrStdout(), []string{"target", "systems", "level", "bits", "needs", "backends", "here"}, rows, f.md, f.json)
		},
	}
	f.add(c)
	return c
}
