// Package amd64 selects instructions for kernels on x86-64 with AVX2 and FMA or with AVX-512 (F, BW, CD, DQ, VL),
// and prints them as Go assembly.
//
// The levels differ in how they hold vectors of booleans. With AVX-512 they are predicate registers.
// With AVX2 they are vectors whose lanes are all ones or all zeros, as wide as the elements that were
// compared; where they meet elements of another width they are widened or narrowed (mask.go).
package amd64

import (
	"fmt"
	"io"
	"strings"

	"github.com/nnc-go/nnc/backend/goasm/mach"
	"github.com/nnc-go/nnc/backend/goasm/selection"
	"github.com/nnc-go/nnc/ir/loop"
	"github.com/nnc-go/nnc/target"
)

// Views of a vector register: how much of it an instruction works on.
const (
	vX uint8 = iota
	vY
	vZ
)

var gprNames = [...]string{"AX", "CX", "DX", "BX", "SP", "BP", "SI", "DI", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15"}

// Numbers of general registers that instructions want.
const (
	rAX mach.Phys = 0
	rDX mach.Phys = 2
)

func name(p mach.Phys, c mach.Class, view uint8) string {
	switch c {
	case mach.GPR:
		return gprNames[p]
	case mach.Pred:
		return fmt.Sprintf("K%d", p)
	}
	return fmt.Sprintf("%c%d", "XYZ"[view], p)
}

func physRange(from, to mach.Phys) (ps []mach.Phys) {
	for p := from; p <= to; p++ {
		ps = append(ps, p)
	}
	return ps
}

// machineOf describes the registers of a level. BP stays the frame pointer.
func machineOf(l *target.Level) *mach.Machine {
	return &mach.Machine{
		Regs: [...][]mach.Phys{
			mach.GPR:  {0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
			mach.Vec:  physRange(0, mach.Phys(l.Regs-1)),
			mach.Pred: physRange(1, 7),
		},
		Name: name, Load: load, Store: store, Fold: fold, SP: "SP",
	}
}

// viewOf is the view for a value of size bytes.
func viewOf(size int) uint8 {
	switch {
	case size <= 16:
		return vX
	case size <= 32:
		return vY
	}
	return vZ
}

// moveOp is the instruction that moves size bytes of a vector register from or to memory.
func moveOp(size int) string {
	switch size {
	case 1, 2, 4:
		return "VMOVSS"
	case 8:
		return "VMOVSD"
	}
	return "VMOVUPS"
}

func load(c mach.Class, size int, dst mach.Reg, at mach.Arg) *mach.Inst {
	switch c {
	case mach.GPR:
		return &mach.Inst{Op: "MOVQ", Args: []mach.Arg{at, mach.W(dst, 0)}}
	case mach.Pred:
		return &mach.Inst{Op: "KMOVQ", Args: []mach.Arg{at, mach.W(dst, 0)}}
	}
	return &mach.Inst{Op: moveOp(size), Args: []mach.Arg{at, mach.W(dst, viewOf(size))}}
}

func store(c mach.Class, size int, src mach.Reg, at mach.Arg) *mach.Inst {
	switch c {
	case mach.GPR:
		return &mach.Inst{Op: "MOVQ", Args: []mach.Arg{mach.R(src, 0), at}}
	case mach.Pred:
		return &mach.Inst{Op: "KMOVQ", Args: []mach.Arg{mach.R(src, 0), at}}
	}
	return &mach.Inst{Op: moveOp(size), Args: []mach.Arg{mach.R(src, viewOf(size)), at}}
}

// foldable are the instructions that take memory of a register's full width in place of one operand, and
// the number of that operand.
var foldable = map[string]int{}

func init() {
	for i, ops := range []string{
		`VADDPS VADDPD VSUBPS VSUBPD VMULPS VMULPD VDIVPS VDIVPD VMINPS VMINPD VMAXPS VMAXPD VFMADD231PS VFMADD231PD VFMADD213PS VFMADD213PD
		VADDSS VADDSD VSUBSS VSUBSD VMULSS VMULSD VDIVSS VDIVSD VMINSS VMINSD VMAXSS VMAXSD VFMADD231SS VFMADD231SD VFMADD213SS VFMADD213SD
		VPAND VPOR VPXOR VPANDQ VPORQ VPXORQ VPADDB VPADDW VPADDD VPADDQ VPSUBB VPSUBW VPSUBD VPSUBQ VPMULLW VPMULLD VPMULLQ
		VPCMPEQB VPCMPEQW VPCMPEQD VPCMPEQQ VPCMPGTB VPCMPGTW VPCMPGTD VPCMPGTQ VPSHUFB ADDQ SUBQ ANDQ ORQ XORQ IMULQ`,
		`VCMPPS VCMPPD VCMPSS VCMPSD VPCMPB VPCMPW VPCMPD VPCMPQ VPCMPUB VPCMPUW VPCMPUD VPCMPUQ VBLENDVPS VBLENDVPD VPBLENDVB`,
	} {
		for _, op := range strings.Fields(ops) {
			foldable[op] = i
		}
	}
}

// fold: scalar instructions read as much of memory as they need.
func fold(in *mach.Inst, i, size int) bool {
	at, ok := foldable[in.Op]
	switch {
	case !ok || at != i:
		return false
	case in.Op[0] != 'V':
		return true
	case strings.HasSuffix(in.Op, "SS"):
		return size >= 4
	case strings.HasSuffix(in.Op, "SD"):
		return size >= 8
	}
	return size >= 16 && size == 16<<in.Args[i].View
}

// Render writes kernels of a level; names gives the symbol of each, pool takes their constants.
func Render(w io.Writer, level *target.Level, funcs []*loop.Func, names func(f *loop.Func) string, pool *mach.Pool) error {
	return selection.Render(w, machineOf(level), funcs, names, func(f *loop.Func, symbol string) (*mach.Func, error) {
		return selectFunc(f, level, symbol, pool)
	})
}
