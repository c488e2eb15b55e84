package build

import (
	"bytes"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWrap(t *testing.T) {
	b := &blob{machine: elf.EM_AARCH64, data: bytes.Repeat([]byte{1, 2, 3, 4}, 9), align: 64, syms: []blobSym{{"nnc_a_neon", 0, 8}, {"nnc_b_neon", 16, 20}}}
	file := func(system string) *bytes.Reader {
		f, err := b.wrap(system)
		require.NoError(t, err)
		return bytes.NewReader(f)
	}
	e, err := elf.NewFile(file("linux"))
	require.NoError(t, err)
	data, err := e.Section(".text").Data()
	require.NoError(t, err)
	require.Equal(t, b.data, data)
	require.EqualValues(t, 64, e.Section(".text").Addralign)
	es, err := e.Symbols()
	require.NoError(t, err)
	require.Equal(t, "nnc_b_neon", es[1].Name)
	require.EqualValues(t, 16, es[1].Value)

	m, err := macho.NewFile(file("darwin"))
	require.NoError(t, err)
	data, err = m.Section("__text").Data()
	require.NoError(t, err)
	require.Equal(t, b.data, data)
	require.Equal(t, "_nnc_b_neon", m.Symtab.Syms[1].Name)
	require.EqualValues(t, 16, m.Symtab.Syms[1].Value)

	p, err := pe.NewFile(file("windows"))
	require.NoError(t, err)
	data, err = p.Section(".text").Data()
	require.NoError(t, err)
	require.Equal(t, b.data, data)
	require.Equal(t, "nnc_b_neon", p.Symbols[1].Name)
	require.EqualValues(t, 16, p.Symbols[1].Value)

	_, err = b.wrap("plan9")
	require.ErrorContains(t, err, "plan9")
}

// TestRelocateARM64 decodes what ADRP and the instruction after it become.
func TestRelocateARM64(t *testing.T) {
	b := &blob{machine: elf.EM_AARCH64, data: make([]byte, 0x3000)}
	le := binary.LittleEndian
	le.PutUint32(b.data[0x1100:], 0x90000008) // adrp x8, page
	le.PutUint32(b.data[0x1104:], 0x3dc00100) // ldr q0, [x8, #0]
	const to = 0x2340
	require.NoError(t, b.relocate(uint32(elf.R_AARCH64_ADR_PREL_PG_HI21), 0x1100, to))
	require.NoError(t, b.relocate(uint32(elf.R_AARCH64_LDST128_ABS_LO12_NC), 0x1104, to))
	adr, ldr := le.Uint32(b.data[0x1100:]), le.Uint32(b.data[0x1104:])
	require.EqualValues(t, 0x10000008, adr&0x9f00001f, "adr x8")
	x8 := 0x1100 + int64(int32(adr<<8)>>13<<2) + int64(adr>>29&3)
	require.EqualValues(t, to, x8+int64(ldr>>10&0xfff)*16)
	require.Error(t, b.relocate(uint32(elf.R_AARCH64_ADR_PREL_PG_HI21), 0x1100, 4<<20))
	require.Error(t, b.relocate(uint32(elf.R_AARCH64_ABS64), 0x1100, to))
	require.Error(t, b.relocate(uint32(elf.R_AARCH64_PREL32), 0x2ffe, to))
}

func TestAllowUnaligned(t *testing.T) {
	for _, c := range []struct{ from, to []byte }{
		{[]byte{0x62, 0xf1, 0x7c, 0x48, 0x28, 0x05}, []byte{0x62, 0xf1, 0x7c, 0x48, 0x10, 0x05}}, // vmovaps zmm0, [rip]
		{[]byte{0x62, 0xf1, 0xfd, 0x48, 0x6f, 0x05}, []byte{0x62, 0xf1, 0xfe, 0x48, 0x6f, 0x05}}, // vmovdqa64 zmm0, [rip]
		{[]byte{0x62, 0xf1, 0x7c, 0x48, 0x58, 0x05}, []byte{0x62, 0xf1, 0x7c, 0x48, 0x58, 0x05}}, // vaddps needs no alignment
		{[]byte{0x62, 0xf2, 0xfd, 0x48, 0x28, 0x05}, []byte{0x62, 0xf2, 0xfd, 0x48, 0x28, 0x05}}, // vpmuldq: the opcode of another map
	} {
		b := &blob{data: append(c.from, 0, 0, 0, 0)}
		b.allowUnaligned(6)
		require.Equal(t, c.to, b.data[:6])
	}
}
