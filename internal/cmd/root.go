// Package cmd is the command line of nnc, a file for each command.
package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// usageError is a mistake in the command line: exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitError is an exit code without a message: everything was said already.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// Main runs a command line and gives the exit code: 0, 1 for failure, 2 for wrong usage.
func Main(args []string, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetOut(out)
	root.SetErr(errOut)
	root.SetArgs(normalise(args))
	cmd, err := root.ExecuteContextC(ctx)
	var code exitError
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		err = errors.New("interrupted")
	}
	fmt.Fprintf(errOut, "nnc: %v\n", err)
	if errors.As(err, &usage) {
		fmt.Fprintf(errOut, "See %s -h.\n", cmd.CommandPath())
		return 2
	}
	return 1
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "nnc",
		Short: "compile ONNX models to programs",
		Long:  "nnc compiles an ONNX model ahead of time into a static executable, a Go package or a C library.",
		Example: `  nnc build model.onnx -o model      then ./model run, ./model bench, ./model profile, ./model info
  nnc run model.onnx -input x.npy
  nnc bench model.onnx
  nnc doctor`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("no command %q, want one of those that nnc -h lists", args[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetVersionTemplate("nnc {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return usagef("%s", strings.ReplaceAll(err.Error(), "--", "-"))
	})
	root.SetHelpFunc(help)
	root.AddCommand(buildCommand(), runCommand(), benchCommand(), profileCommand(), dumpCommand(), optCommand(), testCommand(), targetsCommand(), opsCommand(),
		doctorCommand(), versionCommand())
	root.InitDefaultCompletionCmd()
	return root
}

// normalise gives flags with one dash a second one. All flags have long names only, -o and -v too.
func normalise(args []string) []string {
	out := make([]string, len(args))
	copy(out, args)
	for i, a := range out {
		switch {
		case a == "--":
			return out
		case a == "-h":
			out[i] = "--help"
		case len(a) > 1 && a[0] == '-' && a[1] != '-' && a[1] != '.' && (a[1] < '0' || a[1] > '9'):
			out[i] = "-" + a
		}
	}
	return out
}

// modelArg wants a model, and further arguments where more is set.
func modelArg(more bool) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return usagef("want a MODEL, the path of an .onnx file")
		case len(args) > 1 && !more:
			return usagef("want one MODEL, got %q besides %q", args[1], args[0])
		}
		return nil
	}
}

func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no arguments, got %q", c.CommandPath(), args[0])
	}
	return nil
}

// completeModel offers model files to shells.
func completeModel(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"onnx"}, cobra.ShellCompDirectiveFilterFileExt
}
