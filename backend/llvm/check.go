package llvm

import (
	"bytes"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"fmt"
	"strings"
)

// checkObject refuses an object that refers to anything outside of itself: kernels call nothing.
func checkObject(os string, obj []byte) error {
	undefined, err := map[string]func([]byte) ([]string, error){"darwin": machoUndefined, "windows": peUndefined, "linux": elfUndefined}[os](obj)
	if err != nil {
		return fmt.Errorf("llvm: unreadable object: %w", err)
	}
	if len(undefined) > 0 {
		return fmt.Errorf("llvm: generated code calls %s; kernels must call nothing", strings.Join(undefined, ", "))
	}
	return nil
}

func elfUndefined(obj []byte) (names []string, err error) {
	f, err := elf.NewFile(bytes.NewReader(obj))
	if err != nil {
		return nil, err
	}
	syms, err := f.Symbols()
	if err != nil {
		return nil, err
	}
	for _, s := range syms {
		if s.Section == elf.SHN_UNDEF && s.Name != "" {
			names = append(names, s.Name)
		}
	}
	return names, nil
}

func machoUndefined(obj []byte) (names []string, err error) {
	f, err := macho.NewFile(bytes.NewReader(obj))
	if err != nil {
		return nil, err
	}
	return f.ImportedSymbols()
}

func peUndefined(obj []byte) (names []string, err error) {
	f, err := pe.NewFile(bytes.NewReader(obj))
	if err != nil {
		return nil, err
	}
	for _, s := range f.Symbols {
		if s.SectionNumber == 0 && s.StorageClass == 2 && s.Value == 0 {
			names = append(names, s.Name)
		}
	}
	return names, nil
}
