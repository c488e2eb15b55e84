package build

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
)

// Go's linker ignores the relocations of ELF objects when it makes a static program (cmd/link: doelf
// sets -d, which skips dynreloc, which alone translates them), and does not align sections of Mach-O
// and PE objects. So kernels reach it as blobs: code and constants in one section, with all references
// resolved, that run at any address. They are made from ELF objects for all operating systems, since
// kernels have one calling convention everywhere.

// blob is position-independent code with its constants.
type blob struct {
	machine elf.Machine
	data    []byte
	align   uint64
	syms    []blobSym // in the object's order
}

// blobSym is a function in a blob.
type blobSym struct {
	name      string
	off, size uint64
}

// newBlob lays an object out, the code first, and resolves its relocations.
func newBlob(obj []byte) (*blob, error) {
	f, err := elf.NewFile(bytes.NewReader(obj))
	if err != nil {
		return nil, fmt.Errorf("build: object of kernels: %w", err)
	}
	b := &blob{machine: f.Machine, align: 16}
	place := map[int]uint64{} // section -> offset
	for _, code := range []bool{true, false} {
		for i, s := range f.Sections {
			if s.Flags&elf.SHF_ALLOC == 0 || s.Name == ".eh_frame" || s.Flags&elf.SHF_EXECINSTR != 0 != code {
				continue
			}
			if s.Type != elf.SHT_PROGBITS || s.Flags&elf.SHF_WRITE != 0 {
				return nil, fmt.Errorf("build: object of kernels has a section %s (%v, %v); want code and constants only", s.Name, s.Type, s.Flags)
			}
			if err := b.add(s, i, place); err != nil {
				return nil, err
			}
		}
	}
	return b, b.link(f, place)
}

func (b *blob) add(s *elf.Section, i int, place map[int]uint64) error {
	data, err := s.Data()
	if err != nil {
		return err
	}
	align := max(s.Addralign, 1)
	b.align = max(b.align, align)
	for uint64(len(b.data))%align != 0 {
		b.data = append(b.data, 0)
	}
	place[i] = uint64(len(b.data))
	b.data = append(b.data, data...)
	return nil
}

// link notes the functions and applies the relocations.
func (b *blob) link(f *elf.File, place map[int]uint64) error {
	syms, err := f.Symbols()
	if err != nil {
		return fmt.Errorf("build: object of kernels: %w", err)
	}
	for _, s := range syms {
		if at, ok := place[int(s.Section)]; ok && elf.ST_BIND(s.Info) == elf.STB_GLOBAL && elf.ST_TYPE(s.Info) == elf.STT_FUNC {
			b.syms = append(b.syms, blobSym{s.Name, at + s.Value, s.Size})
		}
	}
	for _, s := range f.Sections {
		at, ok := place[int(s.Info)]
		if !ok || s.Type != elf.SHT_RELA && s.Type != elf.SHT_REL {
			continue
		}
		rela, err := s.Data()
		if err != nil {
			return err
		}
		for ; len(rela) >= 24; rela = rela[24:] {
			le := binary.LittleEndian
			off, info, addend := le.Uint64(rela), le.Uint64(rela[8:]), int64(le.Uint64(rela[16:]))
			n := info >> 32
			if n == 0 || n > uint64(len(syms)) {
				return fmt.Errorf("build: object of kernels: relocation of symbol %d of %d", n, len(syms))
			}
			sym := syms[n-1]
			base, ok := place[int(sym.Section)]
			if !ok {
				return fmt.Errorf("build: object of kernels refers to %q outside of it", sym.Name)
			}
			if err := b.relocate(uint32(info), at+off, int64(base+sym.Value)+addend); err != nil {
				return err
			}
			if b.machine == elf.EM_X86_64 && f.Sections[sym.Section].Addralign > 32 {
				b.allowUnaligned(at + off)
			}
		}
	}
	return nil
}

// relocate resolves one reference at offset at to offset to.
func (b *blob) relocate(kind uint32, at uint64, to int64) error {
	if at+4 > uint64(len(b.data)) {
		return fmt.Errorf("build: object of kernels: relocation at %d of %d bytes", at, len(b.data))
	}
	word := b.data[at : at+4]
	le := binary.LittleEndian
	rel := to - int64(at)
	if b.machine == elf.EM_X86_64 {
		switch elf.R_X86_64(kind) {
		case elf.R_X86_64_PC32, elf.R_X86_64_PLT32:
			le.PutUint32(word, uint32(int32(rel)))
			return nil
		}
		return fmt.Errorf("build: object of kernels: relocation %v", elf.R_X86_64(kind))
	}
	r := elf.R_AARCH64(kind)
	switch r {
	case elf.R_AARCH64_PREL32:
		le.PutUint32(word, uint32(int32(rel)))
		return nil
	case elf.R_AARCH64_CALL26, elf.R_AARCH64_JUMP26:
		le.PutUint32(word, le.Uint32(word)&^0x3ffffff|uint32(rel>>2)&0x3ffffff)
		return nil
	case elf.R_AARCH64_ADR_PREL_PG_HI21, elf.R_AARCH64_ADR_PREL_PG_HI21_NC:
		// ADRP is relative to the page that the code will be in, which is not known: ADR takes its place.
		// Pages count from the start of the blob.
		rel = to&^0xfff - int64(at)
		if rel < -1<<20 || rel >= 1<<20 {
			return fmt.Errorf("build: object of kernels: a constant is %d bytes from the code, want less than 1 MiB", rel)
		}
		le.PutUint32(word, le.Uint32(word)&0x1f|1<<28|uint32(rel&3)<<29|uint32(rel>>2)&0x7ffff<<5)
		return nil
	}
	shift, ok := lo12[r]
	if !ok {
		return fmt.Errorf("build: object of kernels: relocation %v", r)
	}
	le.PutUint32(word, le.Uint32(word)&^(0xfff<<10)|uint32(to&0xfff)>>shift<<10)
	return nil
}

// lo12 are the relocations for the low 12 bits of an address, with the scale of the instruction.
var lo12 = map[elf.R_AARCH64]uint{
	elf.R_AARCH64_ADD_ABS_LO12_NC: 0, elf.R_AARCH64_LDST8_ABS_LO12_NC: 0, elf.R_AARCH64_LDST16_ABS_LO12_NC: 1,
	elf.R_AARCH64_LDST32_ABS_LO12_NC: 2, elf.R_AARCH64_LDST64_ABS_LO12_NC: 3, elf.R_AARCH64_LDST128_ABS_LO12_NC: 4,
}

// allowUnaligned makes an EVEX move from the constant whose address is at offset at one that needs no
// alignment: of the 64 bytes that it may want, Go's linker gives 32 in Mach-O and PE.
func (b *blob) allowUnaligned(at uint64) {
	if at < 6 || b.data[at-6] != 0x62 || b.data[at-5]&7 != 1 { // EVEX, opcode map 0F
		return
	}
	p1, op := &b.data[at-4], &b.data[at-2]
	switch {
	case *op == 0x28: // vmovaps, vmovapd to vmovups, vmovupd
		*op = 0x10
	case *op == 0x6f && *p1&3 == 1: // vmovdqa32, vmovdqa64 to vmovdqu32, vmovdqu64
		*p1 = *p1&^3 | 2
	}
}

// wrap makes an object file of a blob for an operating system.
func (b *blob) wrap(system string) ([]byte, error) {
	w := map[string]func(*blob) []byte{"linux": (*blob).elf, "darwin": (*blob).macho, "windows": (*blob).coff}[system]
	if w == nil {
		return nil, fmt.Errorf("build: no form of objects for %s", system)
	}
	return w(b), nil
}
