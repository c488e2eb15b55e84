package cmd

import "github.com/spf13/cobra"

func dumpCommand() *cobra.Command { return &cobra.Command{Use: "dump", Short: "dump", Run: func(*cobra.Command, []string) {}} }
