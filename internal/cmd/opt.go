package cmd

import "github.com/spf13/cobra"

func optCommand() *cobra.Command { return &cobra.Command{Use: "opt", Short: "opt", Run: func(*cobra.Command, []string) {}} }
