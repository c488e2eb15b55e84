// Command nnc compiles ONNX models ahead of time to programs. See nnc help.
package main

import (
	"os"

	"github.com/nnc-go/nnc/internal/cmd"
)

func main() { os.Exit(cmd.Main(os.Args[1:], os.Stdout, os.Stderr)) }
