// Package target describes the machines that nnc compiles for, as data: operating systems,
// architectures, and per architecture the instruction-set levels with their vector widths.
package target

import (
	"fmt"
	"slices"
)

// Level is an instruction-set level of an architecture. Kernels are built once per level.
type Level struct {
	Name     string   // "avx512"; a suffix of symbol names
	CPU      string   // LLVM -mcpu
	Features []string // LLVM -mattr, e.g. "+avx512vnni", "-prefer-256-bit"
	VecBytes int      // width of a vector register
	Regs     int      // number of vector registers
	FMA      bool     // fused multiply-add
	F16C     bool     // hardware conversion between f16 and f32
	BF16     bool     // products of pairs of bf16 that add to f32
	Masks    bool     // masked loads and stores cost no more than plain ones
	// TileM x 16 floats times TileN is the register tile of GEMM and convolution: TileM*TileN*16
	// accumulators' floats fit the registers with room for operands.
	Tile int // accumulators available for a tile, in vector registers
	// CPUID are the names, known to the runtime's feature detection, that the level needs.
	CPUID []string
}

// Lanes is the number of elements of the given size in bytes that a vector register holds.
func (l *Level) Lanes(size int) int { return l.VecBytes / size }

// BF16 reports whether a level of t multiplies bf16.
func (t *Target) BF16() bool {
	return slices.ContainsFunc(t.Levels, func(l *Level) bool { return l.BF16 })
}

// Arch is an architecture.
type Arch struct {
	Name   string // GOARCH
	Triple map[string]string
	Levels []*Level // lowest first
}

// Target is what a build is for.
type Target struct {
	OS     string
	Arch   *Arch
	Levels []*Level // those to build, lowest first
}

// String is "linux/amd64".
func (t *Target) String() string { return t.OS + "/" + t.Arch.Name }

// Triple is the LLVM target triple.
func (t *Target) Triple() string { return t.Arch.Triple[t.OS] }

// Block is the number of channels in a block of the blocked layouts, on every target.
const Block = 16

// Archs is the table of architectures.
var Archs = []*Arch{
	{
		Name:   "amd64",
		Triple: map[string]string{"linux": "x86_64-unknown-linux-gnu", "darwin": "x86_64-apple-macosx11.0.0", "windows": "x86_64-pc-windows-gnu"},
		Levels: []*Level{
			{Name: "sse", CPU: "x86-64-v2", VecBytes: 16, Regs: 16, Tile: 12},
			{Name: "avx2", CPU: "x86-64-v3", VecBytes: 32, Regs: 16, FMA: true, F16C: true, Tile: 12, CPUID: []string{"avx2", "fma", "f16c", "bmi2"}},
			{Name: "avx512", CPU: "x86-64-v4", Features: []string{"-prefer-256-bit"}, VecBytes: 64, Regs: 32, FMA: true, F16C: true, Masks: true, Tile: 28,
				CPUID: []string{"avx2", "fma", "f16c", "bmi2", "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}},
			{Name: "avx512bf16", CPU: "x86-64-v4", Features: []string{"-prefer-256-bit", "+avx512bf16"}, VecBytes: 64, Regs: 32, FMA: true, F16C: true, BF16: true, Masks: true, Tile: 28,
				CPUID: []string{"avx2", "fma", "f16c", "bmi2", "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512bf16"}},
		},
	},
	{
		Name:   "arm64",
		Triple: map[string]string{"linux": "aarch64-unknown-linux-gnu", "darwin": "arm64-apple-macosx11.0.0", "windows": "aarch64-pc-windows-gnu"},
		Levels: []*Level{
			{Name: "neon", CPU: "generic", Features: []string{"+neon", "+reserve-x28", "+reserve-x18"}, VecBytes: 16, Regs: 32, FMA: true, F16C: true, Tile: 20},
		},
	},
}

// Portable stands for every architecture: its kernels are Go, and so scalar code. One row of a tile, 16 columns
// in as many variables, is what the registers of most machines hold. Without fused multiply-add, results are the same
// everywhere. It is not among Archs, since no machine code is made for it.
var Portable = &Arch{
	Name:   "portable",
	Levels: []*Level{{Name: "purego", VecBytes: 16, Regs: 16, Tile: 4}},
}

// ArchByName finds an architecture by its GOARCH; "portable" is Portable.
func ArchByName(name string) (*Arch, error) {
	if name == Portable.Name {
		return Portable, nil
	}
	for _, a := range Archs {
		if a.Name == name {
			return a, nil
		}
	}
	return nil, fmt.Errorf("target: no architecture %q (see nnc targets)", name)
}
