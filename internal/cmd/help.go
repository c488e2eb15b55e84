package cmd

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// help prints what a command does, with flags the way they are documented: one dash.
func help(c *cobra.Command, _ []string) {
	w := c.OutOrStdout()
	text := c.Long
	if text == "" {
		text = strings.ToUpper(c.Short[:1]) + c.Short[1:] + "."
	}
	fmt.Fprintf(w, "%s\n\nUsage:\n  %s\n", text, strings.ReplaceAll(c.UseLine(), "--", "-"))
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(w, "\nCommands:\n")
		t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(t, "  %s\t%s\n", sub.Name(), sub.Short)
			}
		}
		t.Flush()
	}
	if c.LocalFlags().HasAvailableFlags() {
		fmt.Fprintf(w, "\nFlags (with one dash or two, before or after arguments):\n")
		t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
		c.LocalFlags().VisitAll(func(f *pflag.Flag) { flagLine(t, f) })
		t.Flush()
	}
	if c.Example != "" {
		fmt.Fprintf(w, "\nExample:\n%s\n", c.Example)
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(w, "\n%s COMMAND -h says more about a command.\n", c.CommandPath())
	}
}

func flagLine(w *tabwriter.Writer, f *pflag.Flag) {
	if f.Hidden {
		return
	}
	value, usage := pflag.UnquoteUsage(f)
	if value != "" {
		value = " " + value
	}
	note := ""
	switch f.DefValue {
	case "", "[]", "false", "0":
	default:
		note = fmt.Sprintf(" (default %s)", f.DefValue)
	}
	fmt.Fprintf(w, "  -%s%s\t%s%s\n", f.Name, value, usage, note)
}
