package cmd

import "github.com/spf13/cobra"

func testCommand() *cobra.Command { return &cobra.Command{Use: "test", Short: "test", Run: func(*cobra.Command, []string) {}} }
