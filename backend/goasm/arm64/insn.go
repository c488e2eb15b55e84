package arm64

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nnc-go/nnc/backend/goasm/mach"
)

// insn is a NEON instruction: its word without registers, shape and immediate, and where these go. The destination's
// number is in bits 0 to 4, those of the sources in 5 to 9 and 16 to 20.
type insn struct {
	word     uint32
	operands string // a letter each, the destination first
	size     sizing
	imm      func(sh shape, imm int) uint32
	golang   string // Go's mnemonic; without one the word is written
}

// The letters of operands, for an instruction of some shape; capitals are read and written.
//
//	t T  a vector of the shape
//	w W  of lanes twice as wide, in 16 bytes
//	p P  of lanes twice as wide, and half as many
//	l    a list of one register of 16 bytes
//	e E  the lane that the immediate says
//	0    the first lane
//	s    a scalar
//	g    a general register
//	i    the immediate

// sizing is which lanes an instruction takes, from 1<<lo to 1<<hi bytes. Bits 22 and 23 say how far above lo they are,
// unless the immediate says it.
type sizing struct {
	lo, hi uint8
	none   bool
}

var (
	ints   = sizing{0, 3, false}
	ints4  = sizing{0, 2, false} // not of 8 bytes
	floats = sizing{2, 3, false}
	halves = sizing{1, 2, false} // the narrower of two float types
	octets = sizing{0, 0, false}
	byImm  = sizing{0, 3, true}
	byImm4 = sizing{0, 2, true}
)

// What immediates put into words: shifts, the first byte, the number of a lane.
func left(sh shape, n int) uint32     { return uint32(8<<sh.log+n) << 16 }
func right(sh shape, n int) uint32    { return uint32(16<<sh.log-n) << 16 }
func widen(sh shape, _ int) uint32    { return left(sh, 0) } // extending is a shift by nothing
func fromByte(_ shape, n int) uint32  { return uint32(n) << 11 }
func lane(sh shape, i int) uint32     { return uint32(2*i+1) << sh.log << 16 }
func laneZero(sh shape, _ int) uint32 { return lane(sh, 0) }

// laneOut has the length of the general register, too.
func laneOut(sh shape, i int) uint32 { return lane(sh, i) | uint32(sh.log/3)<<30 }

// multiplier is the number of the lane that multiplies all.
func multiplier(sh shape, i int) uint32 {
	if sh.log == 3 {
		return uint32(i) << 11
	}
	return uint32(i&1)<<21 | uint32(i>>1)<<11
}

// insns is the table of instructions, by Arm's mnemonic and, where it has several forms, a word for the form.
var insns = map[string]insn{
	"fadd": {0x0e20d400, "ttt", floats, nil, ""}, "fsub": {0x0ea0d400, "ttt", floats, nil, ""}, "fmul": {0x2e20dc00, "ttt", floats, nil, ""}, "fdiv": {0x2e20fc00, "ttt", floats, nil, ""},
	"fmin": {0x0ea0f400, "ttt", floats, nil, ""}, "fmax": {0x0e20f400, "ttt", floats, nil, ""}, "fmla": {0x0e20cc00, "Ttt", floats, nil, "VFMLA"},
	"fcmeq": {0x0e20e400, "ttt", floats, nil, ""}, "fcmge": {0x2e20e400, "ttt", floats, nil, ""}, "fcmgt": {0x2ea0e400, "ttt", floats, nil, ""},
	"fabs": {0x0ea0f800, "tt", floats, nil, ""}, "fneg": {0x2ea0f800, "tt", floats, nil, ""}, "fsqrt": {0x2ea1f800, "tt", floats, nil, ""},
	"frintn": {0x0e218800, "tt", floats, nil, ""}, "frintm": {0x0e219800, "tt", floats, nil, ""}, "frintp": {0x0ea18800, "tt", floats, nil, ""}, "frintz": {0x0ea19800, "tt", floats, nil, ""},
	"scvtf": {0x0e21d800, "tt", floats, nil, ""}, "ucvtf": {0x2e21d800, "tt", floats, nil, ""}, "fcvtzs": {0x0ea1b800, "tt", floats, nil, ""}, "fcvtzu": {0x2ea1b800, "tt", floats, nil, ""},
	"fcvtl": {0x0e217800, "wt", halves, nil, ""}, "fcvtn": {0x0e216800, "tw", halves, nil, ""},
	"fmla lane": {0x0f801000, "Tte", floats, multiplier, ""}, "fmul lane": {0x0f809000, "tte", floats, multiplier, ""},

	"add": {0x0e208400, "ttt", ints, nil, "VADD"}, "sub": {0x2e208400, "ttt", ints, nil, "VSUB"}, "mul": {0x0e209c00, "ttt", ints4, nil, ""}, "addp": {0x0e20bc00, "ttt", ints, nil, "VADDP"},
	"smax": {0x0e206400, "ttt", ints4, nil, ""}, "smin": {0x0e206c00, "ttt", ints4, nil, ""}, "umax": {0x2e206400, "ttt", ints4, nil, "VUMAX"}, "umin": {0x2e206c00, "ttt", ints4, nil, "VUMIN"},
	"cmeq": {0x2e208c00, "ttt", ints, nil, "VCMEQ"}, "cmgt": {0x0e203400, "ttt", ints, nil, ""}, "cmge": {0x0e203c00, "ttt", ints, nil, ""}, "cmhi": {0x2e203400, "ttt", ints, nil, ""}, "cmhs": {0x2e203c00, "ttt", ints, nil, ""},
	"sshl": {0x0e204400, "ttt", ints, nil, ""}, "ushl": {0x2e204400, "ttt", ints, nil, ""}, "abs": {0x0e20b800, "tt", ints, nil, ""}, "neg": {0x2e20b800, "tt", ints, nil, ""},
	"shl": {0x0f005400, "tti", byImm, left, "VSHL"}, "sshr": {0x0f000400, "tti", byImm, right, ""}, "ushr": {0x2f000400, "tti", byImm, right, "VUSHR"},
	"sxtl": {0x0f00a400, "wt", byImm4, widen, ""}, "uxtl": {0x2f00a400, "wt", byImm4, widen, "VUXTL"}, "xtn": {0x0e212800, "tw", ints4, nil, ""},
	"umlal": {0x2e208000, "Wtt", ints4, nil, ""}, "saddlp": {0x0e202800, "pt", ints4, nil, ""}, "uaddlp": {0x2e202800, "pt", ints4, nil, ""},

	"and": {0x0e201c00, "ttt", octets, nil, "VAND"}, "orr": {0x0ea01c00, "ttt", octets, nil, "VORR"}, "eor": {0x2e201c00, "ttt", octets, nil, "VEOR"}, "mvn": {0x2e205800, "tt", octets, nil, ""},
	"bsl": {0x2e601c00, "Ttt", octets, nil, "VBSL"}, "bit": {0x2ea01c00, "Ttt", octets, nil, "VBIT"}, "bif": {0x2ee01c00, "Ttt", octets, nil, "VBIF"},

	"zip1": {0x0e003800, "ttt", ints, nil, "VZIP1"}, "zip2": {0x0e007800, "ttt", ints, nil, "VZIP2"}, "uzp1": {0x0e001800, "ttt", ints, nil, "VUZP1"}, "uzp2": {0x0e005800, "ttt", ints, nil, "VUZP2"},
	"trn1": {0x0e002800, "ttt", ints, nil, "VTRN1"}, "trn2": {0x0e006800, "ttt", ints, nil, "VTRN2"}, "ext": {0x2e000000, "ttti", octets, fromByte, "VEXT"},
	"rev16": {0x0e201800, "tt", octets, nil, "VREV16"}, "rev32": {0x2e200800, "tt", sizing{0, 1, false}, nil, "VREV32"}, "rev64": {0x0e200800, "tt", ints4, nil, "VREV64"},
	"tbl": {0x0e000000, "tlt", octets, nil, "VTBL"}, "tbx": {0x0e001000, "Tlt", octets, nil, "VTBX"},
	"dup": {0x0e000c00, "tg", byImm, laneZero, "VDUP"}, "dup lane": {0x0e000400, "te", byImm, lane, "VDUP"}, "dup scalar": {0x5e000400, "se", byImm, lane, "VMOV"},
	"ins": {0x4e001c00, "Eg", byImm, lane, "VMOV"}, "ins lane": {0x6e000400, "E0", byImm, lane, "VMOV"}, "umov": {0x0e003c00, "ge", byImm, laneOut, "VMOV"},
}

// ofLane reports whether the instruction works on one lane and has bit 30 for something else than its length.
func (n insn) ofLane() bool { return slices.Contains([]string{"se", "Eg", "E0", "ge"}, n.operands) }

// takes reports whether the instruction has a form for a shape. Vectors of one lane are none.
func (n insn) takes(sh shape) bool {
	return sh.log >= n.size.lo && sh.log <= n.size.hi && (sh.lanes() > 1 || n.size == halves)
}

// encode is the instruction's word.
func (n insn) encode(sh shape, imm int, regs []mach.Phys) uint32 {
	w := n.word | uint32(regs[0]) | uint32(regs[1])<<5
	if len(regs) > 2 {
		w |= uint32(regs[2]) << 16
	}
	if !n.ofLane() {
		w |= uint32(sh.q) << 30
	}
	if !n.size.none {
		w |= uint32(sh.log-n.size.lo) << 22
	}
	if n.imm != nil {
		w |= n.imm(sh, imm)
	}
	return w
}

// build makes the instruction called key. One with a mnemonic of Go is in Go's order of operands, the destination last.
func (n insn) build(key string, sh shape, imm int, regs []mach.Reg) *mach.Inst {
	if !n.takes(sh) {
		panic(fmt.Sprintf("arm64: %s of shape %v", key, sh))
	}
	notation := arm
	if n.golang != "" {
		notation = 0
	}
	upper := ""
	if sh.q == 1 && strings.ContainsAny(n.operands, "wW") {
		upper = "2" // from or to the upper half
	}
	in := &mach.Inst{}
	for _, letter := range []byte(n.operands) {
		if letter == 'i' {
			in.Args = append(in.Args, mach.Imm(int64(imm)))
			continue
		}
		in.Args = append(in.Args, operand(letter, sh, imm, notation, regs[0]))
		regs = regs[1:]
	}
	in.Args[0].Mode = mach.Def
	if n.operands[0] < 'a' || upper != "" && n.operands == "tw" {
		in.Args[0].Mode = mach.UseDef
	}
	if n.golang != "" {
		in.Op = n.golang + upper
		slices.Reverse(in.Args)
		return in
	}
	mnemonic, _, _ := strings.Cut(key, " ")
	in.Op = mnemonic + upper
	if last := &in.Args[len(in.Args)-1]; last.Kind == mach.KImm {
		*last = mach.Text(fmt.Sprintf("#%d", imm))
	}
	in.Encode = func(p []mach.Phys) []uint32 { return []uint32{n.encode(sh, imm, p)} }
	return in
}

// operand is the operand of a letter.
func operand(letter byte, sh shape, imm int, notation uint8, r mach.Reg) mach.Arg {
	var view uint8
	switch letter | 0x20 {
	case 't':
		view = sh.view()
	case 'w':
		view = shape{sh.log + 1, 1}.view()
	case 'p':
		view = shape{sh.log + 1, sh.q}.view()
	case 'l':
		view = vList + whole.view() - vShape
	case 'e':
		view = sh.element(imm)
	case '0' | 0x20:
		view = sh.element(0)
	case 's':
		view = vSingle + sh.log
	case 'g':
		if notation == arm && sh.log < 3 {
			view = 1
		}
	}
	return mach.R(r, view|notation)
}
