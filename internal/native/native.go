//go:build linux

// Package native loads compiled kernels into the running process, so that tests and `nnc test` can run
// them without building a program around them. Products do not use it: there the Go linker does this.
package native

import (
	"debug/elf"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"unsafe"
)

// Code is loaded machine code.
type Code struct {
	mem []byte
	sym map[string]uintptr
}

// Load links position-independent objects with lld and maps the result. The objects must refer to
// nothing but each other.
func Load(objects ...[]byte) (*Code, error) {
	dir, err := os.MkdirTemp("", "nnc-native-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	lld, err := findLLD()
	if err != nil {
		return nil, err
	}
	so := filepath.Join(dir, "k.so")
	args := []string{"-shared", "-z", "separate-code", "-o", so}
	for i, o := range objects {
		p := filepath.Join(dir, fmt.Sprintf("k%d.o", i))
		if err := os.WriteFile(p, o, 0o600); err != nil {
			return nil, err
		}
		args = append(args, p)
	}
	if out, err := exec.Command(lld, args...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("native: %s: %w\n%s", lld, err, out)
	}
	return load(so, (*elf.File).DynamicSymbols)
}

func findLLD() (string, error) {
	for _, n := range []string{"ld.lld-19", "ld.lld", "/usr/lib/llvm-19/bin/ld.lld"} {
		if p, err := exec.LookPath(n); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("native: ld.lld-19 not found; install it with: apt-get install -y lld-19")
}

// load maps the segments of an ELF file at the distances that they want of each other.
func load(path string, symbols func(*elf.File) ([]elf.Symbol, error)) (*Code, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	start, end := uint64(math.MaxUint64), uint64(0)
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD {
			start, end = min(start, p.Vaddr), max(end, p.Vaddr+p.Memsz)
		}
	}
	if start >= end {
		return nil, fmt.Errorf("native: %s has nothing to load", path)
	}
	for _, s := range f.Sections {
		if s.Type == elf.SHT_RELA && s.Size > 0 {
			return nil, fmt.Errorf("native: the code needs relocations (%s)", s.Name)
		}
	}
	mem, err := syscall.Mmap(-1, 0, int(end-start), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("native: mmap: %w", err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD {
			if _, err := p.ReadAt(mem[p.Vaddr-start:][:p.Filesz], 0); err != nil {
				return nil, err
			}
		}
	}
	if err := syscall.Mprotect(mem, syscall.PROT_READ|syscall.PROT_EXEC); err != nil {
		return nil, fmt.Errorf("native: mprotect: %w", err)
	}
	c := &Code{mem, map[string]uintptr{}}
	syms, err := symbols(f)
	if err != nil {
		return nil, err
	}
	base := uintptr(unsafe.Pointer(unsafe.SliceData(mem)))
	for _, s := range syms {
		c.sym[s.Name] = base + uintptr(s.Value-start)
	}
	return c, nil
}

// Symbol is the address of a function, 0 where there is none of that name.
func (c *Code) Symbol(name string) uintptr { return c.sym[name] }

// Close unmaps the code. Nothing may be running in it.
func (c *Code) Close() error { return syscall.Munmap(c.mem) }
