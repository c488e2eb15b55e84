package cmd

import "github.com/spf13/cobra"

func targetsCommand() *cobra.Command { return &cobra.Command{Use: "targets", Short: "targets", Run: func(*cobra.Command, []string) {}} }
