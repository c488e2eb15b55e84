//go:build unix

package cmd

import (
	"fmt"
	"os"
	"syscall"
)

// execute replaces this process by a program; args[0] is its path.
func execute(args []string) error {
	return fmt.Errorf("%s: %w", args[0], syscall.Exec(args[0], args, os.Environ()))
}
