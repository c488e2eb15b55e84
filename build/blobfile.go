package build

import (
	"bytes"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"encoding/binary"
	"strings"
)

// put writes fixed-size values one after the other, little-endian.
func put(b *bytes.Buffer, values ...any) {
	for _, v := range values {
		if s, ok := v.(string); ok {
			b.WriteString(s)
			continue
		}
		binary.Write(b, binary.LittleEndian, v) // a bytes.Buffer takes all; the types are ours
	}
}

// pad makes the length of b a multiple of n.
func pad(b *bytes.Buffer, n int) {
	for b.Len()%n != 0 {
		b.WriteByte(0)
	}
}

// elf is b as a relocatable ELF file.
func (b *blob) elf() []byte {
	var names, table bytes.Buffer
	put(&names, "\x00")
	put(&table, elf.Sym64{})
	for _, s := range b.syms {
		put(&table, elf.Sym64{Name: uint32(names.Len()), Info: byte(elf.STB_GLOBAL)<<4 | byte(elf.STT_FUNC), Shndx: 1, Value: s.off, Size: s.size})
		put(&names, s.name, "\x00")
	}
	const headers = "\x00.text\x00.symtab\x00.strtab\x00.shstrtab\x00.note.GNU-stack\x00"
	name := func(s string) uint32 { return uint32(strings.Index(headers, "\x00"+s+"\x00") + 1) }
	var out, sections bytes.Buffer
	out.Write(make([]byte, 64))
	section := func(h elf.Section64, data []byte) {
		for uint64(out.Len())%h.Addralign != 0 {
			out.WriteByte(0)
		}
		h.Off, h.Size = uint64(out.Len()), uint64(len(data))
		out.Write(data)
		put(&sections, h)
	}
	put(&sections, elf.Section64{})
	section(elf.Section64{Name: name(".text"), Type: uint32(elf.SHT_PROGBITS), Flags: uint64(elf.SHF_ALLOC | elf.SHF_EXECINSTR), Addralign: b.align}, b.data)
	section(elf.Section64{Name: name(".symtab"), Type: uint32(elf.SHT_SYMTAB), Link: 3, Info: 1, Addralign: 8, Entsize: 24}, table.Bytes())
	section(elf.Section64{Name: name(".strtab"), Type: uint32(elf.SHT_STRTAB), Addralign: 1}, names.Bytes())
	section(elf.Section64{Name: name(".shstrtab"), Type: uint32(elf.SHT_STRTAB), Addralign: 1}, []byte(headers))
	section(elf.Section64{Name: name(".note.GNU-stack"), Type: uint32(elf.SHT_PROGBITS), Addralign: 1}, nil)
	pad(&out, 8)
	h := elf.Header64{Type: uint16(elf.ET_REL), Machine: uint16(b.machine), Version: 1, Shoff: uint64(out.Len()), Ehsize: 64, Shentsize: 64, Shnum: 6, Shstrndx: 4}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	out.Write(sections.Bytes())
	var head bytes.Buffer
	put(&head, h)
	file := out.Bytes()
	copy(file, head.Bytes())
	return file
}

// macho is b as a Mach-O object.
func (b *blob) macho() []byte {
	cpu, sub := uint32(macho.CpuAmd64), uint32(3)
	if b.machine == elf.EM_AARCH64 {
		cpu, sub = uint32(macho.CpuArm64), 0
	}
	const commands = 72 + 80 + 24 + 24
	start := uint32(32 + commands)
	start = (start + 63) &^ 63
	size := uint64(len(b.data))
	var names, table, out bytes.Buffer
	put(&names, "\x00")
	for _, s := range b.syms {
		put(&table, macho.Nlist64{Name: uint32(names.Len()), Type: 0x0f, Sect: 1, Value: s.off}) // N_SECT|N_EXT
		put(&names, "_", s.name, "\x00")
	}
	tableAt := (start + uint32(size) + 7) &^ 7
	put(&out, uint32(macho.Magic64), cpu, sub, uint32(macho.TypeObj), uint32(3), uint32(commands), uint32(0), uint32(0))
	seg := macho.Segment64{Cmd: macho.LoadCmdSegment64, Len: 72 + 80, Memsz: size, Offset: uint64(start), Filesz: size, Maxprot: 7, Prot: 7, Nsect: 1}
	put(&out, seg)
	sect := macho.Section64{Size: size, Offset: start, Align: 6, Flags: 0x80000400} // pure instructions, some instructions
	copy(sect.Name[:], "__text")
	copy(sect.Seg[:], "__TEXT")
	put(&out, sect)
	put(&out, uint32(0x32), uint32(24), uint32(1), uint32(11<<16), uint32(0), uint32(0)) // LC_BUILD_VERSION: macOS 11
	put(&out, macho.SymtabCmd{Cmd: macho.LoadCmdSymtab, Len: 24, Symoff: tableAt, Nsyms: uint32(len(b.syms)), Stroff: tableAt + uint32(table.Len()), Strsize: uint32(names.Len())})
	pad(&out, 64)
	out.Write(b.data)
	pad(&out, 8)
	out.Write(table.Bytes())
	out.Write(names.Bytes())
	return out.Bytes()
}

// coff is b as a Windows object.
func (b *blob) coff() []byte {
	machine := uint16(pe.IMAGE_FILE_MACHINE_AMD64)
	if b.machine == elf.EM_AARCH64 {
		machine = pe.IMAGE_FILE_MACHINE_ARM64
	}
	var names, table, out bytes.Buffer
	for _, s := range b.syms {
		put(&table, uint32(0), uint32(4+names.Len()), uint32(s.off), int16(1), uint16(0x20), uint8(2), uint8(0)) // a function, external
		put(&names, s.name, "\x00")
	}
	const start = 20 + 40
	put(&out, pe.FileHeader{Machine: machine, NumberOfSections: 1, PointerToSymbolTable: uint32(start + len(b.data)), NumberOfSymbols: uint32(len(b.syms))})
	h := pe.SectionHeader32{SizeOfRawData: uint32(len(b.data)), PointerToRawData: start,
		Characteristics: pe.IMAGE_SCN_CNT_CODE | pe.IMAGE_SCN_MEM_EXECUTE | pe.IMAGE_SCN_MEM_READ | 7<<20} // aligned to 64
	copy(h.Name[:], ".text")
	put(&out, h)
	out.Write(b.data)
	out.Write(table.Bytes())
	put(&out, uint32(4+names.Len()), names.String())
	return out.Bytes()
}
