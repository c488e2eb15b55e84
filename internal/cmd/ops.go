package cmd

import "github.com/spf13/cobra"

func opsCommand() *cobra.Command { return &cobra.Command{Use: "ops", Short: "ops", Run: func(*cobra.Command, []string) {}} }
