// Package arm64 selects instructions for kernels on 64-bit Arm with NEON, and prints them as Go assembly. What Go's
// assembler has no mnemonic for is written as words, each with Arm's notation in a comment (insn.go).
//
// Vectors of booleans are vectors whose lanes are all ones or all zeros, as wide as the elements that were
// compared; where they meet elements of another width they are widened or narrowed (mask.go).
package arm64

import (
	"fmt"
	"io"

	"github.com/nnc-go/nnc/backend/goasm/mach"
	"github.com/nnc-go/nnc/backend/goasm/selection"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/target"
)

// machine describes the registers. R18 is the platform's, R27 the assembler's, R28 holds g, R29 the frame pointer and
// R30 the return address.
var machine = &mach.Machine{
	Regs: [...][]mach.Phys{
		mach.GPR:  append(physRange(0, 17), physRange(19, 26)...),
		mach.Vec:  physRange(0, 31),
		mach.Pred: nil,
	},
	Name: name, Load: load, Store: store, SP: "RSP", FrameBase: 8, Word: "WORD",
	Index: func(reg string, scale uint8) string {
		if scale == 1 {
			return "(" + reg + ")"
		}
		return fmt.Sprintf("(%s<<%d)", reg, logOf(int(scale)))
	},
}

func physRange(from, to mach.Phys) (ps []mach.Phys) {
	for p := from; p <= to; p++ {
		ps = append(ps, p)
	}
	return ps
}

// moveOp is the instruction that moves size bytes of a vector register from or to memory.
func moveOp(size int) string {
	switch {
	case size > 8:
		return "FMOVQ"
	case size > 4:
		return "FMOVD"
	}
	return "FMOVS"
}

func load(c mach.Class, size int, dst mach.Reg, at mach.Arg) *mach.Inst {
	op := "MOVD"
	if c == mach.Vec {
		op = moveOp(size)
	}
	return &mach.Inst{Op: op, Args: []mach.Arg{at, mach.W(dst, 0)}}
}

func store(c mach.Class, size int, src mach.Reg, at mach.Arg) *mach.Inst {
	op := "MOVD"
	if c == mach.Vec {
		op = moveOp(size)
	}
	return &mach.Inst{Op: op, Args: []mach.Arg{mach.R(src, 0), at}}
}

// Render writes kernels of a level; names gives the symbol of each. The assembler pools the constants itself.
func Render(w io.Writer, level *target.Level, funcs []*loop.Func, names func(f *loop.Func) string, _ *mach.Pool) error {
	return selection.Render(w, machine, funcs, names, func(f *loop.Func, symbol string) (*mach.Func, error) {
		return selectFunc(f, level, symbol)
	})
}
