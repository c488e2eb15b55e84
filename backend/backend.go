// Package backend is what all code generators have in common: kernels in, files out.
package backend

import (
	"context"
	"strings"
	"unicode"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/target"
)

// Kernels are the kernels of a program for one level of its target.
type Kernels struct {
	Level *target.Level
	Funcs []*loop.Func
}

// Symbol is the name of a kernel's code in object files.
func Symbol(kernel, level string) string { return "nnc_" + kernel + "_" + level }

// maxNode bounds how much of a node's name gets into the name of a function.
const maxNode = 48

// Function is the name of a kernel's function in programs, for profiles: what it is, the first ONNX node that it computes, and the level.
func Function(f *loop.Func, level string) string {
	name := f.Name
	if _, node, ok := strings.Cut(f.Comment, " "); ok {
		node, _, _ = strings.Cut(node, " ")
		if node = identifier(node); node != "" {
			name += "_" + node[:min(len(node), maxNode)]
		}
	}
	return name + "_" + level
}

// identifier keeps of a name what may stand in one of Go's: the rest become underscores, several one.
func identifier(s string) string {
	parts := strings.FieldsFunc(s, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	return strings.Join(parts, "_")
}

// Form is the form in which code is wanted.
type Form uint8

// The forms.
const (
	Object     Form = iota // relocatable object file, by package abi's convention for abi.Call
	GoAssembly             // Go assembly, for abi.CallGo
	Assembly               // assembly text, for people
	Source                 // the backend's own input language, before optimisation: LLVM IR
)

// File is a piece of generated code.
type File struct {
	Name string // without extension: level, or level and part
	Data []byte
	// Funcs gives for GoAssembly the function of each kernel, by Symbol.
	Funcs map[string]string
}

// Backend generates code. All of it follows package abi's calling convention.
type Backend interface {
	// Name is the backend's name on the command line.
	Name() string
	// Form is the form of code that programs are made of.
	Form() Form
	// Has reports whether it generates code for a level.
	Has(l *target.Level) bool
	// Generate compiles kernels for an operating system of t. The result does not depend on anything
	// else than its arguments and the version of the tools.
	Generate(ctx context.Context, t *target.Target, ks []Kernels, form Form) ([]File, error)
}
