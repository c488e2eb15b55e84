// Package backend is what all code generators have in common: kernels in, files out.
package backend

import (
	"context"

	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/target"
)

// Kernels are the kernels of a program for one level of its target.
type Kernels struct {
	Level *target.Level
	Funcs []*loop.Func
}

// Symbol is the name of a kernel's code.
func Symbol(kernel, level string) string { return "nnc_" + kernel + "_" + level }

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
