//go:build linux

package kerneltest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"syscall"
	"unsafe"
)

// fenced is memory for a kernel: each buffer on pages of its own between pages that fault.
type fenced struct {
	args  []int64
	bufs  map[int][]byte
	rest  map[int][]byte // of the pages
	pages [][]byte
}

const (
	page   = 4096
	canary = 0x5c
)

// newMemory lays out a kernel's buffers, at the ends or at the beginnings of pages.
func newMemory(k *Kernel, atEnd bool) (*fenced, error) {
	m := &fenced{bufs: map[int][]byte{}, rest: map[int][]byte{}, args: make([]int64, len(k.Bufs)+len(k.Ints)+1)}
	for i, v := range k.Ints {
		m.args[i] = v
	}
	for _, i := range slices.Sorted(maps.Keys(k.Bufs)) {
		if err := m.place(i, k.Bufs[i], atEnd); err != nil {
			return nil, errors.Join(err, m.close())
		}
	}
	return m, nil
}

func (m *fenced) place(i int, data []byte, atEnd bool) error {
	n := max(1, (len(data)+page-1)/page) * page
	all, err := syscall.Mmap(-1, 0, n+2*page, syscall.PROT_NONE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return fmt.Errorf("kerneltest: mmap: %w", err)
	}
	m.pages = append(m.pages, all)
	mid := all[page : page+n]
	if err := syscall.Mprotect(mid, syscall.PROT_READ|syscall.PROT_WRITE); err != nil {
		return fmt.Errorf("kerneltest: mprotect: %w", err)
	}
	for j := range mid {
		mid[j] = canary
	}
	if m.bufs[i], m.rest[i] = mid[:len(data)], mid[len(data):]; atEnd {
		m.bufs[i], m.rest[i] = mid[n-len(data):], mid[:n-len(data)]
	}
	copy(m.bufs[i], data)
	m.args[i] = int64(uintptr(unsafe.Pointer(unsafe.SliceData(m.bufs[i]))))
	return nil
}

// touched names the buffers around which a kernel has written.
func (m *fenced) touched() (args []int) {
	for i, b := range m.rest {
		if len(bytes.Trim(b, string(rune(canary)))) > 0 {
			args = append(args, i)
		}
	}
	slices.Sort(args)
	return args
}

func (m *fenced) close() (err error) {
	for _, p := range m.pages {
		err = errors.Join(err, syscall.Munmap(p))
	}
	m.pages = nil
	return err
}
