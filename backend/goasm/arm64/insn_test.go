package arm64

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/backend/goasm/mach"
)

// form is an instruction of the table with registers, as text and as its word.
type form struct {
	text string
	word uint32
}

// forms writes every instruction of the table in every shape, with several registers and immediates.
func forms(t *testing.T, write func(in *mach.Inst, f *mach.Func, phys []mach.Phys) string, of func(n insn) insn) (fs []form) {
	for _, key := range slices.Sorted(maps.Keys(insns)) {
		n := of(insns[key])
		for log := range uint8(4) {
			for q := range uint8(2) {
				sh := shape{log, q}
				if !n.takes(sh) || n.ofLane() && q == 0 {
					continue
				}
				for _, imm := range immediates(insns[key], sh) {
					f := mach.NewFunc("f")
					phys := []mach.Phys{0}
					var regs []mach.Reg
					for i, letter := range strings.ReplaceAll(n.operands, "i", "") {
						class := mach.Vec
						if letter == 'g' {
							class = mach.GPR
						}
						regs = append(regs, f.New(class, 16))
						phys = append(phys, mach.Phys(25-5*i+imm%3))
					}
					in := n.build(key, sh, imm, regs)
					fs = append(fs, form{write(in, f, phys), n.encode(sh, imm, phys[1:])})
				}
			}
		}
	}
	require.NotEmpty(t, fs)
	return fs
}

// immediates are those that an instruction takes, some of them.
func immediates(n insn, sh shape) []int {
	bits := 8 << sh.log
	switch {
	case strings.HasSuffix(n.operands, "ti") && n.golang == "VSHL":
		return []int{0, 1, bits - 1}
	case strings.HasSuffix(n.operands, "ti") && n.golang == "VEXT":
		return []int{1, 7}
	case strings.HasSuffix(n.operands, "ti"):
		return []int{1, bits / 2, bits}
	case strings.ContainsAny(n.operands, "eE"):
		return []int{0, 16>>sh.log - 1}
	}
	return []int{0}
}

// TestArm holds the words against LLVM's assembler, which reads Arm's notation.
func TestArm(t *testing.T) {
	tool, err := exec.LookPath("llvm-mc-19")
	if err != nil {
		t.Skip("no llvm-mc-19 to hold the encodings against: ", err)
	}
	var src strings.Builder
	fs := forms(t, armText, func(n insn) insn { n.golang = ""; return n })
	for _, f := range fs {
		fmt.Fprintln(&src, f.text)
	}
	cmd := exec.Command(tool, "-triple=aarch64", "-mattr=+neon,+fullfp16", "-show-encoding")
	cmd.Stdin = strings.NewReader(src.String())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", stderr.String())
	found := regexp.MustCompile(`encoding: \[(.*)\]`).FindAllStringSubmatch(string(out), -1)
	require.Len(t, found, len(fs))
	for i, f := range fs {
		b, err := hex.DecodeString(strings.ReplaceAll(strings.ReplaceAll(found[i][1], "0x", ""), ",", ""))
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("%08x", binary.LittleEndian.Uint32(b)), fmt.Sprintf("%08x", f.word), f.text)
	}
}

// armText is what the comment beside an instruction's word says.
func armText(in *mach.Inst, f *mach.Func, phys []mach.Phys) string {
	_, comment, _ := strings.Cut(printed(in, f, phys), " // ")
	return comment
}

func printed(in *mach.Inst, f *mach.Func, phys []mach.Phys) string {
	f.Add(in)
	var b strings.Builder
	mach.Print(&b, f, machine, phys, "", 0)
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// TestGo holds the table against Go's assembler for the instructions that are given to it by name.
func TestGo(t *testing.T) {
	fs := forms(t, printed, func(n insn) insn {
		if n.golang == "" {
			n.size = sizing{lo: 9} // takes nothing
		}
		return n
	})
	dir := t.TempDir()
	src := "TEXT ·f(SB), 4, $0-0\n"
	for _, f := range fs {
		src += "\t" + f.text + "\n"
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "f_arm64.s"), []byte(src), 0o600))
	cmd := exec.Command("go", "tool", "asm", "-p", "f", "-o", "f.o", "f_arm64.s")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOARCH=arm64")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	cmd = exec.Command("go", "tool", "objdump", "f.o")
	cmd.Dir = dir
	out, err = cmd.Output()
	require.NoError(t, err)
	words := regexp.MustCompile(`(?m)^\s+\S+\s+\S+\s+([0-9a-f]{8})\s`).FindAllStringSubmatch(string(out), -1)
	require.GreaterOrEqual(t, len(words), len(fs))
	for i, f := range fs {
		require.Equal(t, words[i][1], fmt.Sprintf("%08x", f.word), f.text)
	}
}
